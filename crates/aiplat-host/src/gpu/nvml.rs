//! One look at NVIDIA's GPUs. Handles are asked for anew in each look: they die with the driver.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use aiplat_core::observed::{Driver, GpuId, GpuMemory, GpuProcess, ObservedGpu, Recovery, Vendor};
use nvml_wrapper::{
    Device,
    enum_wrappers::device::TemperatureSensor,
    enums::device::{SampleValue, UsedGpuMemory},
    error::NvmlError,
    struct_wrappers::device::ProcessInfo,
    structs::device::FieldId,
    sys_exports::field_id::NVML_FI_DEV_GET_GPU_RECOVERY_ACTION,
};

use crate::listeners::{owner_of, program_of};

use super::{
    GpuOptions, NvidiaFacts,
    calls::Calls,
    session::{Session, Sessions, said},
    sysfs,
};

/// No machine has more; a driver that says otherwise is not believed.
const MAX_GPUS: u32 = 64;
/// A GPU has at most seven slices.
const MAX_SLICES: u32 = 16;

/// Looks, and remembers which GPU had which index: one that fell off the bus does not say who it is any more.
#[derive(Debug)]
pub(super) struct Reader {
    options: Arc<GpuOptions>,
    known: BTreeMap<u32, (GpuId, ObservedGpu)>,
}

/// Why the look ended: the session is of no use any more.
struct Broken {
    call: &'static str,
    error: NvmlError,
}

type Found = Vec<(GpuId, ObservedGpu)>;

impl Reader {
    pub(super) fn new(options: Arc<GpuOptions>) -> Self {
        Self { options, known: BTreeMap::new() }
    }

    /// Everything that the driver knows.
    pub(super) fn look(&mut self, sessions: &Sessions, calls: &Calls) -> NvidiaFacts {
        let session = match sessions.acquire(calls) {
            Ok(session) => session,
            Err(driver) => return NvidiaFacts { driver, gpus: BTreeMap::new() },
        };
        let facts = match self.read(&session, calls) {
            Ok(gpus) if gpus.is_empty() => {
                sessions.succeeded();
                let message = "nvmlDeviceGetCount_v2: the driver answers, and knows of no GPU".to_owned();
                NvidiaFacts { driver: Driver::NotLoaded { message }, gpus: BTreeMap::new() }
            }
            Ok(gpus) => {
                if gpus.iter().any(|(_, gpu)| gpu.lost.is_some()) {
                    sessions.refresh(&session);
                } else {
                    sessions.succeeded();
                }
                let (version, cuda) = (session.version.clone(), session.cuda.clone());
                NvidiaFacts { driver: Driver::Ready { version, cuda }, gpus: gpus.into_iter().collect() }
            }
            Err(Broken { call, error }) => {
                NvidiaFacts { driver: sessions.failed(&session, call, error), gpus: BTreeMap::new() }
            }
        };
        sessions.give_back(session, calls);
        facts
    }

    fn read(&mut self, session: &Session, calls: &Calls) -> Result<Found, Broken> {
        let (nvml, deadlines) = (&session.nvml, self.options.deadlines);
        let call = "nvmlDeviceGetCount_v2";
        let count = calls.make(call, deadlines.call, || nvml.device_count());
        let count = count.map_err(|error| Broken { call, error })?.min(MAX_GPUS);
        self.known.retain(|index, _| *index < count);
        let mut found = Found::new();
        for index in 0..count {
            let call = "nvmlDeviceGetHandleByIndex_v2";
            let device = calls.make(call, deadlines.open, || nvml.device_by_index(index));
            let read = match device {
                Ok(device) => self.gpu(index, &device, calls)?,
                Err(error) if ends_the_session(&error) => return Err(Broken { call, error }),
                Err(error) => Err(format!("{call}: {}", said(error))),
            };
            match read {
                Ok(gpus) => {
                    self.known.extend(gpus.first().map(|gpu| (index, gpu.clone())));
                    found.extend(gpus);
                }
                Err(lost) => found.push(self.lost(index, count, lost)),
            }
        }
        Ok(found)
    }

    /// A GPU and its slices; the inner error is why it does not answer.
    fn gpu(&self, index: u32, device: &Device<'_>, calls: &Calls) -> Result<Result<Found, String>, Broken> {
        let mut asked = Asked { device, calls, options: &self.options, trouble: None };
        let Some(uuid) = asked.must("nvmlDeviceGetUUID", Device::uuid) else { return asked.gave_up() };
        let mut gpu = asked.common();
        gpu.index = Some(index);
        gpu.mig = asked.get("nvmlDeviceGetMigMode", Device::mig_mode).map(|mode| mode.current == 1);
        gpu.power = asked.get("nvmlDeviceGetPowerUsage", Device::power_usage);
        gpu.power_limit = asked.get("nvmlDeviceGetEnforcedPowerLimit", Device::enforced_power_limit);
        gpu.persistence = asked.get("nvmlDeviceGetPersistenceMode", Device::is_in_persistent_mode);
        gpu.temperature =
            asked.get("nvmlDeviceGetTemperature", |device| device.temperature(TemperatureSensor::Gpu));
        gpu.recovery = asked.recovery();
        let id = GpuId(uuid);
        let mut found = vec![(id.clone(), gpu)];
        if found[0].1.mig == Some(true) {
            found.extend(asked.slices(&id, &found[0].1));
        }
        match asked.trouble {
            None => Ok(Ok(found)),
            Some(_) => asked.gave_up(),
        }
    }

    /// One that does not answer is the one that had its index before; one that never answered is told by its place on the bus,
    /// in whose order NVML counts.
    fn lost(&self, index: u32, count: u32, lost: String) -> (GpuId, ObservedGpu) {
        let known = self.known.get(&index).cloned();
        let cards = sysfs::nvidia_cards(&self.options.sys);
        let same = u32::try_from(cards.len()) == Ok(count);
        let bus = cards.into_iter().nth(index as usize).filter(|_| same);
        let id = bus.as_ref().map_or_else(|| format!("nvidia-{index}"), |bus| format!("pci-{bus}"));
        let (id, last) =
            known.unwrap_or_else(|| (GpuId(id), ObservedGpu { bus, ..ObservedGpu::new(Vendor::Nvidia) }));
        let ObservedGpu { name, bus, compute_capability, .. } = last;
        let gpu = ObservedGpu {
            index: Some(index),
            name,
            bus,
            compute_capability,
            ..ObservedGpu::new(Vendor::Nvidia)
        };
        (id, ObservedGpu { lost: Some(lost), ..gpu })
    }
}

/// Asks one device one thing after the other, until it does not answer.
struct Asked<'a> {
    device: &'a Device<'a>,
    calls: &'a Calls,
    options: &'a GpuOptions,
    trouble: Option<Broken>,
}

impl<'a> Asked<'a> {
    /// A fact; one that this GPU, this driver or this library does not have is `None`.
    fn get<T>(
        &mut self,
        call: &'static str,
        ask: impl FnOnce(&Device<'a>) -> Result<T, NvmlError>,
    ) -> Option<T> {
        if self.trouble.is_some() {
            return None;
        }
        let answer = self.calls.make(call, self.options.deadlines.call, || ask(self.device));
        match answer {
            Ok(fact) => Some(fact),
            Err(error) if is_lost(&error) || ends_the_session(&error) => {
                self.trouble = Some(Broken { call, error });
                None
            }
            Err(_) => None,
        }
    }

    /// A fact without which the rest is of no use.
    fn must<T>(
        &mut self,
        call: &'static str,
        ask: impl FnOnce(&Device<'a>) -> Result<T, NvmlError>,
    ) -> Option<T> {
        let answer = self.calls.make(call, self.options.deadlines.call, || ask(self.device));
        answer.map_err(|error| self.trouble = Some(Broken { call, error })).ok()
    }

    fn gave_up(self) -> Result<Result<Found, String>, Broken> {
        match self.trouble {
            Some(broken) if ends_the_session(&broken.error) => Err(broken),
            Some(Broken { call, error }) => Ok(Err(format!("{call}: {}", said(error)))),
            None => Ok(Ok(Found::new())),
        }
    }

    /// What a GPU and a slice of one have both.
    fn common(&mut self) -> ObservedGpu {
        ObservedGpu {
            name: self.get("nvmlDeviceGetName", Device::name),
            bus: self.get("nvmlDeviceGetPciInfo_v3", Device::pci_info).map(|pci| address(&pci.bus_id)),
            memory: self
                .get("nvmlDeviceGetMemoryInfo_v2", Device::memory_info)
                .map(|memory| GpuMemory { total: memory.total, free: memory.free }),
            compute_capability: self
                .get("nvmlDeviceGetCudaComputeCapability", Device::cuda_compute_capability)
                .and_then(|of| Some((u32::try_from(of.major).ok()?, u32::try_from(of.minor).ok()?))),
            utilisation: self
                .get("nvmlDeviceGetUtilizationRates", Device::utilization_rates)
                .map(|rates| rates.gpu),
            processes: self.processes(),
            ..ObservedGpu::new(Vendor::Nvidia)
        }
    }

    /// Drivers before R510 have only the older function.
    fn processes(&mut self) -> Option<Vec<GpuProcess>> {
        let processes =
            self.get("nvmlDeviceGetComputeRunningProcesses_v3", Device::running_compute_processes).or_else(
                || self.get("nvmlDeviceGetComputeRunningProcesses_v2", Device::running_compute_processes_v2),
            )?;
        let process = |process: ProcessInfo| {
            let memory = match process.used_gpu_memory {
                UsedGpuMemory::Used(bytes) => Some(bytes),
                UsedGpuMemory::Unavailable => None,
            };
            let proc = Path::new("/proc");
            let (name, owner) = (program_of(proc, process.pid), owner_of(proc, process.pid));
            GpuProcess { pid: process.pid, memory, name, owner }
        };
        let mut processes: Vec<GpuProcess> = processes.into_iter().map(process).collect();
        processes.sort_by_key(|process| process.pid);
        Some(processes)
    }

    fn recovery(&mut self) -> Option<Recovery> {
        let field = [FieldId(NVML_FI_DEV_GET_GPU_RECOVERY_ACTION)];
        let values = self.get("nvmlDeviceGetFieldValues", |device| device.field_values_for(&field))?;
        let sample = values.into_iter().next()?.ok()?;
        let action = match sample.value.ok()? {
            SampleValue::U32(action) => action,
            SampleValue::U64(action) => u32::try_from(action).ok()?,
            SampleValue::I64(action) => u32::try_from(action).ok()?,
            SampleValue::F64(_) => return None,
        };
        Some(match action {
            0 => Recovery::None,
            1 => Recovery::Reset,
            2 => Recovery::Reboot,
            3 => Recovery::DrainPeers,
            4 => Recovery::DrainAndReset,
            other => Recovery::Other(other),
        })
    }

    /// The slices of a GPU that is divided. A place that no slice is in is passed over.
    fn slices(&mut self, parent: &GpuId, whole: &ObservedGpu) -> Found {
        let places = self.get("nvmlDeviceGetMaxMigDeviceCount", Device::mig_device_count).unwrap_or(0);
        let (mut found, mut seen) = (Found::new(), BTreeSet::new());
        for index in 0..places.min(MAX_SLICES) {
            let handle = "nvmlDeviceGetMigDeviceHandleByIndex";
            let Some(device) = self.get(handle, |device| device.mig_device_by_index(index)) else { continue };
            let mut asked =
                Asked { device: &device, calls: self.calls, options: self.options, trouble: None };
            if let Some(uuid) = asked.get("nvmlDeviceGetUUID", Device::uuid) {
                let slice = asked.common();
                let (index, parent) = (Some(index), Some(parent.clone()));
                // What the driver says of the whole alone is true of the slice.
                let bus = slice.bus.clone().or_else(|| whole.bus.clone());
                let compute_capability = slice.compute_capability.or(whole.compute_capability);
                if seen.insert(uuid.clone()) {
                    found
                        .push((GpuId(uuid), ObservedGpu { index, parent, bus, compute_capability, ..slice }));
                }
            }
            // A slice that was taken away meanwhile says nothing of the whole.
            self.trouble = self
                .trouble
                .take()
                .or(asked.trouble.filter(|trouble| !matches!(trouble.error, NvmlError::NotFound)));
        }
        found
    }
}

/// The GPU does not answer, and others may.
fn is_lost(error: &NvmlError) -> bool {
    matches!(error, NvmlError::GpuLost | NvmlError::ResetRequired)
}

/// Nothing will answer in this session.
fn ends_the_session(error: &NvmlError) -> bool {
    matches!(error, NvmlError::Uninitialized | NvmlError::DriverNotLoaded | NvmlError::LibRmVersionMismatch)
}

/// As the kernel writes it: `0000:01:00.0` of NVML's `00000000:01:00.0`.
fn address(bus: &str) -> String {
    let (domain, rest) = bus.split_once(':').unwrap_or(("", bus));
    let domain = u32::from_str_radix(domain, 16).unwrap_or(0);
    format!("{domain:04x}:{}", rest.to_lowercase())
}
