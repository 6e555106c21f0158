//! What a failed action means for the next attempt: the class of the error decides.

use aiplat_core::{
    ResourceId, Timestamp,
    condition::{ErrorClass, Reason},
    fingerprint::Fingerprint,
    ledger::Failure,
};
use aiplat_host::HostError;
use aiplat_runtime::backoff::{self, Backoff};

use std::time::Duration;

/// Causes that we can see go away by trying: the spec is right, the host is not (yet). Asked often enough that a
/// person who mends the cause does not wait.
const OBSERVABLE: Backoff = Backoff::doubling(Duration::from_secs(1), Duration::from_secs(30));

/// The record of an action that has just failed; `before` is the failure it follows, if any.
#[must_use]
pub fn failure(
    id: &ResourceId,
    verb: &str,
    error: &HostError,
    fingerprint: Option<Fingerprint>,
    before: Option<&Failure>,
    now: Timestamp,
) -> Failure {
    let repeated = before.filter(|before| before.action == verb && before.fingerprint == fingerprint);
    let attempts = repeated.map_or(1, |before| before.attempts.saturating_add(1));
    Failure {
        action: verb.to_owned(),
        class: error.class,
        reason: error.reason,
        message: error.message.clone(),
        attempts,
        retry_at: retry_at(id, error, attempts, now),
        fingerprint,
        room: error.needs_room,
    }
}

fn retry_at(id: &ResourceId, error: &HostError, attempts: u32, now: Timestamp) -> Option<Timestamp> {
    let seed = seed(id);
    // Its plan holds it until there is room, and no longer.
    if error.needs_room.is_some() {
        return Some(now);
    }
    if matches!(
        error.reason,
        Reason::PortTaken | Reason::HostPathMissing | Reason::DiskFull | Reason::NameTaken
    ) {
        return Some(now + backoff::delay(&OBSERVABLE, attempts, seed));
    }
    // It may have been looked at while its image was being replaced.
    if error.reason == Reason::ExecutableMissing && attempts < 2 {
        return Some(now + Duration::from_secs(1));
    }
    let class = match error.class {
        ErrorClass::Transient => backoff::ErrorClass::Transient,
        ErrorClass::Changed => backoff::ErrorClass::Changed,
        ErrorClass::Rejected => backoff::ErrorClass::Rejected,
        ErrorClass::Denied => backoff::ErrorClass::Denied,
        ErrorClass::Unsupported => backoff::ErrorClass::Unsupported,
        ErrorClass::Bug => backoff::ErrorClass::Bug,
    };
    match backoff::retry(class, attempts, seed) {
        aiplat_runtime::Requeue::Now => Some(now),
        aiplat_runtime::Requeue::After(delay) => Some(now + delay),
        aiplat_runtime::Requeue::OnChange => None,
    }
}

/// The same for the same resource in every run: jitter without randomness.
fn seed(id: &ResourceId) -> u64 {
    // FNV-1a; stable between releases, unlike the standard library's hashers.
    id.to_string()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
