//! A test double of `libnvidia-ml.so.1`: NVML's C symbols over a file that says what the machine is like.
//!
//! The file is `$AIPLAT_FAKE_NVML`, or else `scenario.json` beside this library; it is read anew with each call, so that a test
//! changes the machine under whoever has the library open. What it may say is [`scenario::Scenario`]. Each call is noted in a file
//! of the same name with `.calls` at its end, one name a line.
//!
//! It keeps to NVML where that hurts: without an initialisation nothing answers, initialisations are counted, handles die with the
//! driver's `generation`, and an event that came before a set was made is told to nobody.

mod abi;
mod device;
mod events;
mod scenario;
mod session;

use abi::{FUNCTION_NOT_FOUND, SUCCESS, UNKNOWN};
use scenario::Scenario;

/// Does one call of the name `call`: notes it, hangs for as long as the file says so, and fails as the file says.
fn answer(call: &'static str, work: impl FnOnce(&Scenario) -> Result<(), u32>) -> u32 {
    scenario::note(call);
    let Some(scenario) = scenario::when_it_does_not_hang(call) else { return UNKNOWN };
    if scenario.missing.iter().any(|missing| missing == call) {
        return FUNCTION_NOT_FOUND;
    }
    if let Some(code) = scenario.errors.get(call) {
        return *code;
    }
    match work(&scenario) {
        Ok(()) => SUCCESS,
        Err(code) => code,
    }
}
