//! Predicates over the status document.

use aiplat_api::v1::{ServiceStatus, StatusDoc};
use aiplat_core::condition::{Condition, ConditionType, Status, Word};

/// Whether the platform as a whole is Ready, and nothing of it is only half so.
pub(crate) fn all_ready(status: &StatusDoc) -> bool {
    let done = |row: &ServiceStatus| matches!(row.status, Word::Ready | Word::Completed);
    !status.services.is_empty()
        && status.services.iter().all(done)
        && has(status, None, ConditionType::Ready, Status::True)
}

/// The row of a service.
pub(crate) fn service<'a>(status: &'a StatusDoc, name: &str) -> &'a ServiceStatus {
    let found = status.services.iter().find(|service| service.name == name);
    found.unwrap_or_else(|| panic!("the status has no service {name}: {:#?}", status.services))
}

/// A condition of the platform or, with a name, of a service.
pub(crate) fn condition<'a>(
    status: &'a StatusDoc,
    of: Option<&str>,
    kind: ConditionType,
) -> Option<&'a Condition> {
    let conditions = match of {
        None => &status.platform.conditions,
        Some(name) => &status.services.iter().find(|service| service.name == name)?.conditions,
    };
    conditions.iter().map(|said| &said.condition).find(|condition| condition.kind == kind)
}

/// Whether a condition has that status.
pub(crate) fn has(status: &StatusDoc, of: Option<&str>, kind: ConditionType, wanted: Status) -> bool {
    condition(status, of, kind).is_some_and(|condition| condition.status == wanted)
}

/// A moment of RFC 3339 in UTC, so that two of them compare as text whatever their number of digits.
pub(crate) fn moment(rfc3339: &str) -> String {
    let (whole, fraction) =
        rfc3339.trim_end_matches('Z').split_once('.').unwrap_or((rfc3339.trim_end_matches('Z'), ""));
    format!("{whole}.{fraction:0<9}")
}
