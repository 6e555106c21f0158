//! Initialisation, and what the driver says of itself.

use std::{
    ffi::{c_char, c_int, c_uint},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    abi::{Handle, NOT_SUPPORTED, UNINITIALIZED, UNKNOWN, put, put_text},
    answer,
    scenario::Scenario,
};

/// How often it was initialised, and the driver's generation at the first of these.
static OPEN: Mutex<(u32, u32)> = Mutex::new((0, 0));

fn open() -> MutexGuard<'static, (u32, u32)> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether there is a session, and of the driver that is loaded now.
pub fn alive(scenario: &Scenario) -> Result<(), u32> {
    match *open() {
        (0, _) => Err(UNINITIALIZED),
        (_, generation) if generation != scenario.generation => Err(UNKNOWN),
        (_, _) => Ok(()),
    }
}

/// Begins a session, or counts one more.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlInit_v2() -> u32 {
    answer("nvmlInit_v2", |scenario| {
        let mut open = open();
        if open.0 == 0 {
            open.1 = scenario.generation;
        }
        open.0 += 1;
        Ok(())
    })
}

/// Ends a session, or counts one less.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlShutdown() -> u32 {
    answer("nvmlShutdown", |_| {
        let mut open = open();
        open.0 = open.0.checked_sub(1).ok_or(UNINITIALIZED)?;
        Ok(())
    })
}

/// The driver's version.
///
/// # Safety
/// As NVML has it: `length` bytes at `version`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetDriverVersion(version: *mut c_char, length: c_uint) -> u32 {
    answer("nvmlSystemGetDriverVersion", |scenario| {
        alive(scenario)?;
        if scenario.driver.is_empty() {
            return Err(NOT_SUPPORTED);
        }
        // SAFETY: the caller's to answer for.
        unsafe { put_text(version, length, &scenario.driver) }
    })
}

/// The newest CUDA that the driver can run.
///
/// # Safety
/// As NVML has it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetCudaDriverVersion_v2(version: *mut c_int) -> u32 {
    answer("nvmlSystemGetCudaDriverVersion_v2", |scenario| {
        alive(scenario)?;
        // SAFETY: the caller's to answer for.
        unsafe { put(version, scenario.cuda) }
    })
}

/// How many GPUs there are.
///
/// # Safety
/// As NVML has it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetCount_v2(count: *mut c_uint) -> u32 {
    answer("nvmlDeviceGetCount_v2", |scenario| {
        alive(scenario)?;
        // SAFETY: the caller's to answer for.
        unsafe { put(count, u32::try_from(scenario.gpus.len()).map_err(|_| UNKNOWN)?) }
    })
}

/// The handle of a GPU.
///
/// # Safety
/// As NVML has it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetHandleByIndex_v2(index: c_uint, handle: *mut Handle) -> u32 {
    answer("nvmlDeviceGetHandleByIndex_v2", |scenario| {
        alive(scenario)?;
        let made = crate::device::handle(scenario, index as usize, None);
        crate::device::find(scenario, made, "nvmlDeviceGetHandleByIndex_v2")?;
        // SAFETY: the caller's to answer for.
        unsafe { put(handle, made) }
    })
}
