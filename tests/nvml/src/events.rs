//! Sets of events. One counter serves all sets, as there is one driver: what came before the youngest set was made is not told.

use std::{
    collections::BTreeMap,
    ffi::c_uint,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    abi::{EventData, Handle, INVALID_ARGUMENT, NOT_SUPPORTED, TIMEOUT, UNKNOWN, put},
    answer,
    device::{find, handle},
    scenario::{POLL, now},
    session::alive,
};

/// How many of the file's events are past.
static PAST: AtomicUsize = AtomicUsize::new(0);
/// Which types of events were asked for, by handle: others are not told.
static ASKED: Mutex<BTreeMap<Handle, u64>> = Mutex::new(BTreeMap::new());
/// Sets are numbered, so that no two are the same.
static SETS: AtomicUsize = AtomicUsize::new(0);

/// A new set.
///
/// # Safety
/// As NVML has it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlEventSetCreate(set: *mut usize) -> u32 {
    answer("nvmlEventSetCreate", |scenario| {
        alive(scenario)?;
        PAST.store(scenario.events.len(), Ordering::SeqCst);
        ASKED.lock().unwrap_or_else(PoisonError::into_inner).clear();
        // SAFETY: the caller's to answer for.
        unsafe { put(set, SETS.fetch_add(1, Ordering::SeqCst) + 1) }
    })
}

/// Gives a set back.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlEventSetFree(set: usize) -> u32 {
    answer("nvmlEventSetFree", |_| if set == 0 { Err(INVALID_ARGUMENT) } else { Ok(()) })
}

/// Adds a GPU to a set; a type of event that it cannot tell of is refused.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceRegisterEvents(device: Handle, types: u64, set: usize) -> u32 {
    answer("nvmlDeviceRegisterEvents", |scenario| {
        alive(scenario)?;
        let supported = find(scenario, device, "nvmlDeviceRegisterEvents")?.events;
        match (set, types & !supported) {
            (0, _) => Err(INVALID_ARGUMENT),
            (_, 0) => {
                ASKED.lock().unwrap_or_else(PoisonError::into_inner).insert(device, types);
                Ok(())
            }
            (_, _) => Err(NOT_SUPPORTED),
        }
    })
}

/// Waits for the next event of any set.
///
/// # Safety
/// As NVML has it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlEventSetWait_v2(set: usize, data: *mut EventData, timeout: c_uint) -> u32 {
    let until = Instant::now() + Duration::from_millis(timeout.into());
    answer("nvmlEventSetWait_v2", |_| {
        loop {
            let scenario = now().ok_or(UNKNOWN)?;
            alive(&scenario)?;
            if let Some(code) = scenario.errors.get("nvmlEventSetWait_v2") {
                return Err(*code);
            }
            let past = PAST.load(Ordering::SeqCst);
            if let Some(event) = scenario.events.get(past).filter(|_| set != 0) {
                PAST.store(past + 1, Ordering::SeqCst);
                let device = handle(&scenario, event.gpu, None);
                let (event_type, event_data) = (event.kind, event.data);
                let asked = ASKED.lock().unwrap_or_else(PoisonError::into_inner).get(&device).copied();
                if asked.is_none_or(|asked| asked & event_type == 0) {
                    continue;
                }
                let whole = u32::MAX;
                let event = EventData {
                    device,
                    event_type,
                    event_data,
                    gpu_instance_id: whole,
                    compute_instance_id: whole,
                };
                // SAFETY: the caller's to answer for.
                return unsafe { put(data, event) };
            }
            if Instant::now() >= until {
                return Err(TIMEOUT);
            }
            std::thread::sleep(POLL);
        }
    })
}
