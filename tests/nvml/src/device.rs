//! What is asked of one GPU, or of one slice of one.

use std::ffi::{c_char, c_int, c_uint};

use crate::{
    abi::{
        FIELD_RECOVERY_ACTION, FieldValue, Handle, INSUFFICIENT_SIZE, INVALID_ARGUMENT, MemoryV2,
        NOT_AVAILABLE, NOT_FOUND, NOT_SUPPORTED, PciInfo, ProcessInfo, SUCCESS, Utilization,
        VALUE_UNSIGNED_INT, int, put, put_text, text,
    },
    answer,
    scenario::{Device, Scenario},
    session::alive,
};

/// Room for this many slices in a GPU's handles, and for this many GPUs in a driver's.
const ROOM: usize = 1000;

/// A handle names the load of the driver, the GPU and the slice: it is worth nothing after the next load.
pub fn handle(scenario: &Scenario, gpu: usize, slice: Option<usize>) -> Handle {
    ((scenario.generation as usize + 1) * ROOM + gpu) * ROOM + slice.map_or(0, |slice| slice + 1)
}

/// Index of the GPU, and of the slice, that a handle names.
fn places(scenario: &Scenario, handle: Handle) -> Result<(usize, Option<usize>), u32> {
    if handle / ROOM / ROOM != scenario.generation as usize + 1 {
        return Err(INVALID_ARGUMENT);
    }
    Ok((handle / ROOM % ROOM, (handle % ROOM).checked_sub(1)))
}

/// The device that a handle names, if `call` may be made on it.
pub fn find<'a>(scenario: &'a Scenario, handle: Handle, call: &str) -> Result<&'a Device, u32> {
    let (gpu, slice) = places(scenario, handle)?;
    let gpu = scenario.gpus.get(gpu).ok_or(INVALID_ARGUMENT)?;
    if let Some(code) = gpu.lost {
        return Err(code);
    }
    let device = match slice {
        None => gpu,
        Some(slice) => gpu.slices.get(slice).and_then(Option::as_ref).ok_or(NOT_FOUND)?,
    };
    device.errors.get(call).map_or(Ok(device), |code| Err(*code))
}

fn on(call: &'static str, handle: Handle, work: impl FnOnce(&Device) -> Result<(), u32>) -> u32 {
    answer(call, |scenario| {
        alive(scenario)?;
        work(find(scenario, handle, call)?)
    })
}

/// Answers with one value of a device, which may be unsupported.
fn value<T, P>(
    call: &'static str,
    handle: Handle,
    place: *mut P,
    of: impl FnOnce(&Device) -> Option<T>,
) -> u32
where
    P: From<T>,
{
    on(call, handle, |device| {
        let value = of(device).ok_or(NOT_SUPPORTED)?;
        // SAFETY: a pointer that the caller of the exported function gave for exactly this.
        unsafe { put(place, P::from(value)) }
    })
}

/// Functions with one result, which is a value of the device.
macro_rules! getters {
    ($($name:ident: $type:ty = $of:expr;)*) => { $(
        /// As NVML has it.
        ///
        /// # Safety
        /// The caller's pointer is null or may be written to.
        #[unsafe(no_mangle)]
        #[allow(non_snake_case, reason = "NVML's names")]
        pub unsafe extern "C" fn $name(handle: Handle, place: *mut $type) -> u32 {
            value(stringify!($name), handle, place, $of)
        }
    )* };
}

getters! {
    nvmlDeviceGetPowerUsage: c_uint = |device| device.power;
    nvmlDeviceGetEnforcedPowerLimit: c_uint = |device| device.power_limit;
    nvmlDeviceGetPersistenceMode: c_uint = |device| device.persistence.map(u32::from);
    nvmlDeviceGetUtilizationRates: Utilization = |device| device.utilisation.map(|gpu| Utilization { gpu, memory: 0 });
    nvmlDeviceGetPciInfo_v3: PciInfo = |device| device.bus.as_deref().map(pci);
    nvmlDeviceGetSupportedEventTypes: u64 = |device| Some(device.events);
    nvmlDeviceGetMaxMigDeviceCount: c_uint = |device| u32::try_from(device.slices.len()).ok();
}

/// The UUID.
///
/// # Safety
/// As NVML has it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetUUID(handle: Handle, place: *mut c_char, length: c_uint) -> u32 {
    // SAFETY: the caller's to answer for.
    on("nvmlDeviceGetUUID", handle, |device| unsafe { put_text(place, length, &device.uuid) })
}

/// The model.
///
/// # Safety
/// As NVML has it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetName(handle: Handle, place: *mut c_char, length: c_uint) -> u32 {
    on("nvmlDeviceGetName", handle, |device| {
        let name = device.name.as_deref().ok_or(NOT_SUPPORTED)?;
        // SAFETY: the caller's to answer for.
        unsafe { put_text(place, length, name) }
    })
}

/// The memory, of the struct's second version.
///
/// # Safety
/// As NVML has it: the caller has written the struct's version.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMemoryInfo_v2(handle: Handle, place: *mut MemoryV2) -> u32 {
    on("nvmlDeviceGetMemoryInfo_v2", handle, |device| {
        // SAFETY: the caller's to answer for.
        let version = unsafe { place.as_ref() }.ok_or(INVALID_ARGUMENT)?.version;
        let expected = u32::try_from(size_of::<MemoryV2>()).map_err(|_| INVALID_ARGUMENT)? | 2 << 24;
        let (total, free, used) = device.memory.ok_or(NOT_SUPPORTED)?;
        if version != expected {
            return Err(25); // NVML_ERROR_ARGUMENT_VERSION_MISMATCH
        }
        let reserved = total.saturating_sub(free).saturating_sub(used);
        // SAFETY: as above.
        unsafe { put(place, MemoryV2 { version, total, reserved, free, used }) }
    })
}

/// The compute capability.
///
/// # Safety
/// As NVML has it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetCudaComputeCapability(
    handle: Handle,
    major: *mut c_int,
    minor: *mut c_int,
) -> u32 {
    on("nvmlDeviceGetCudaComputeCapability", handle, |device| {
        let capability = device.capability.ok_or(NOT_SUPPORTED)?;
        // SAFETY: the caller's to answer for.
        unsafe {
            put(major, int(capability.0))?;
            put(minor, int(capability.1))
        }
    })
}

/// The temperature; the sensor is 0, for there is no other.
///
/// # Safety
/// As NVML has it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetTemperature(handle: Handle, sensor: c_uint, place: *mut c_uint) -> u32 {
    let of = |device: &Device| device.temperature.filter(|_| sensor == 0);
    value("nvmlDeviceGetTemperature", handle, place, of)
}

/// Whether it is divided, and whether it will be after the next reset.
///
/// # Safety
/// As NVML has it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMigMode(
    handle: Handle,
    current: *mut c_uint,
    pending: *mut c_uint,
) -> u32 {
    on("nvmlDeviceGetMigMode", handle, |device| {
        let mode = u32::from(device.mig.ok_or(NOT_SUPPORTED)?);
        // SAFETY: the caller's to answer for.
        unsafe {
            put(current, mode)?;
            put(pending, mode)
        }
    })
}

/// The handle of a slice; a place without one is `NOT_FOUND`.
///
/// # Safety
/// As NVML has it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMigDeviceHandleByIndex(
    parent: Handle,
    index: c_uint,
    place: *mut Handle,
) -> u32 {
    let call = "nvmlDeviceGetMigDeviceHandleByIndex";
    answer(call, |scenario| {
        alive(scenario)?;
        find(scenario, parent, call)?;
        let (gpu, _) = places(scenario, parent)?;
        let made = handle(scenario, gpu, Some(index as usize));
        find(scenario, made, call)?;
        // SAFETY: the caller's to answer for.
        unsafe { put(place, made) }
    })
}

/// Values of fields. That a driver does not know a field is an answer in the field, not a failure of the call.
///
/// # Safety
/// As NVML has it: `count` of them at `values`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetFieldValues(
    handle: Handle,
    count: c_int,
    values: *mut FieldValue,
) -> u32 {
    on("nvmlDeviceGetFieldValues", handle, |device| {
        let count = usize::try_from(count).ok().filter(|_| !values.is_null()).ok_or(INVALID_ARGUMENT)?;
        // SAFETY: the caller's to answer for.
        for field in unsafe { std::slice::from_raw_parts_mut(values, count) } {
            let known = device.recovery.filter(|_| field.field_id == FIELD_RECOVERY_ACTION);
            (field.result, field.value_type) = (known.map_or(NOT_SUPPORTED, |_| SUCCESS), VALUE_UNSIGNED_INT);
            field.value = known.unwrap_or_default().into();
        }
        Ok(())
    })
}

/// Who computes on it, as drivers from R510 on are asked.
///
/// # Safety
/// As NVML has it: room for `count` of them at `infos`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetComputeRunningProcesses_v3(
    handle: Handle,
    count: *mut c_uint,
    infos: *mut ProcessInfo,
) -> u32 {
    // SAFETY: the caller's to answer for.
    on("nvmlDeviceGetComputeRunningProcesses_v3", handle, |device| unsafe { processes(device, count, infos) })
}

/// Who computes on it, as older drivers are asked.
///
/// # Safety
/// As NVML has it: room for `count` of them at `infos`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetComputeRunningProcesses_v2(
    handle: Handle,
    count: *mut c_uint,
    infos: *mut ProcessInfo,
) -> u32 {
    // SAFETY: the caller's to answer for.
    on("nvmlDeviceGetComputeRunningProcesses_v2", handle, |device| unsafe { processes(device, count, infos) })
}

unsafe fn processes(device: &Device, count: *mut c_uint, infos: *mut ProcessInfo) -> Result<(), u32> {
    let processes = device.processes.as_deref().ok_or(NOT_SUPPORTED)?;
    // SAFETY: the caller's to answer for.
    let room = *unsafe { count.as_ref() }.ok_or(INVALID_ARGUMENT)? as usize;
    let many = u32::try_from(processes.len()).map_err(|_| INVALID_ARGUMENT)?;
    // SAFETY: as above.
    unsafe { put(count, many)? };
    if processes.len() > room {
        return Err(INSUFFICIENT_SIZE);
    }
    for (at, &(pid, memory)) in processes.iter().enumerate() {
        let used_gpu_memory = memory.unwrap_or(NOT_AVAILABLE);
        let info =
            ProcessInfo { pid, used_gpu_memory, gpu_instance_id: u32::MAX, compute_instance_id: u32::MAX };
        // SAFETY: `at` is below `room`.
        unsafe { put(infos.add(at), info)? };
    }
    Ok(())
}

fn pci(bus: &str) -> PciInfo {
    PciInfo {
        bus_id_legacy: text(bus),
        domain: 0,
        bus: 0,
        device: 0,
        pci_device_id: 0,
        pci_sub_system_id: 0,
        bus_id: text(bus),
    }
}
