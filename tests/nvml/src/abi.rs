//! NVML's types as `nvml.h` lays them out, written down from it a second time: a double that took them from the bindings under
//! test would agree with every mistake in there.

use std::ffi::{c_char, c_int, c_longlong, c_uint, c_ulonglong};

/// `NVML_SUCCESS`.
pub const SUCCESS: u32 = 0;
/// `NVML_ERROR_UNINITIALIZED`.
pub const UNINITIALIZED: u32 = 1;
/// `NVML_ERROR_INVALID_ARGUMENT`.
pub const INVALID_ARGUMENT: u32 = 2;
/// `NVML_ERROR_NOT_SUPPORTED`.
pub const NOT_SUPPORTED: u32 = 3;
/// `NVML_ERROR_NOT_FOUND`.
pub const NOT_FOUND: u32 = 6;
/// `NVML_ERROR_INSUFFICIENT_SIZE`.
pub const INSUFFICIENT_SIZE: u32 = 7;
/// `NVML_ERROR_TIMEOUT`.
pub const TIMEOUT: u32 = 10;
/// `NVML_ERROR_FUNCTION_NOT_FOUND`.
pub const FUNCTION_NOT_FOUND: u32 = 13;
/// `NVML_ERROR_UNKNOWN`.
pub const UNKNOWN: u32 = 999;
/// `NVML_VALUE_NOT_AVAILABLE`.
pub const NOT_AVAILABLE: c_ulonglong = c_ulonglong::MAX;
/// `NVML_FI_DEV_GET_GPU_RECOVERY_ACTION`.
pub const FIELD_RECOVERY_ACTION: c_uint = 230;
/// `NVML_VALUE_TYPE_UNSIGNED_INT`.
pub const VALUE_UNSIGNED_INT: c_uint = 1;

/// `nvmlDevice_t`: nothing that is pointed to, only a number that the caller gives back.
pub type Handle = usize;

/// `nvmlMemory_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct MemoryV2 {
    pub version: c_uint,
    pub total: c_ulonglong,
    pub reserved: c_ulonglong,
    pub free: c_ulonglong,
    pub used: c_ulonglong,
}

/// `nvmlUtilization_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Utilization {
    pub gpu: c_uint,
    pub memory: c_uint,
}

/// `nvmlPciInfo_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct PciInfo {
    pub bus_id_legacy: [c_char; 16],
    pub domain: c_uint,
    pub bus: c_uint,
    pub device: c_uint,
    pub pci_device_id: c_uint,
    pub pci_sub_system_id: c_uint,
    pub bus_id: [c_char; 32],
}

/// `nvmlProcessInfo_v2_t`, which `_v3` of the function takes as well.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ProcessInfo {
    pub pid: c_uint,
    pub used_gpu_memory: c_ulonglong,
    pub gpu_instance_id: c_uint,
    pub compute_instance_id: c_uint,
}

/// `nvmlFieldValue_t`; its union is as long as its longest member.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FieldValue {
    pub field_id: c_uint,
    pub scope_id: c_uint,
    pub timestamp: c_longlong,
    pub latency: c_longlong,
    pub value_type: c_uint,
    pub result: c_uint,
    pub value: c_ulonglong,
}

/// `nvmlEventData_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct EventData {
    pub device: Handle,
    pub event_type: c_ulonglong,
    pub event_data: c_ulonglong,
    pub gpu_instance_id: c_uint,
    pub compute_instance_id: c_uint,
}

/// Writes `value` to where the caller wants it.
///
/// # Safety
/// `place` is null or may be written to.
pub unsafe fn put<T>(place: *mut T, value: T) -> Result<(), u32> {
    if place.is_null() {
        return Err(INVALID_ARGUMENT);
    }
    // SAFETY: not null, and the caller's to answer for otherwise.
    unsafe { place.write(value) };
    Ok(())
}

/// Writes a text with its zero into the caller's `length` bytes.
///
/// # Safety
/// `place` is null or `length` bytes at it may be written to.
pub unsafe fn put_text(place: *mut c_char, length: c_uint, text: &str) -> Result<(), u32> {
    if place.is_null() {
        return Err(INVALID_ARGUMENT);
    }
    if text.len() + 1 > length as usize {
        return Err(INSUFFICIENT_SIZE);
    }
    // SAFETY: the text and its zero fit, and they do not overlap with memory of the caller's.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr().cast(), place, text.len());
        place.add(text.len()).write(0);
    }
    Ok(())
}

/// A text in a field of a struct, cut to fit.
pub fn text<const LENGTH: usize>(text: &str) -> [c_char; LENGTH] {
    let mut field = [0; LENGTH];
    for (place, byte) in field.iter_mut().take(LENGTH - 1).zip(text.bytes()) {
        *place = c_char::from_ne_bytes([byte]);
    }
    field
}

/// As NVML gives small numbers.
pub fn int(value: u32) -> c_int {
    c_int::try_from(value).unwrap_or(c_int::MAX)
}
