//! What comes of reading a unit's file: why it cannot be started at all, with the cure.

use crate::{
    condition::Reason,
    observed::{LoadState, ObservedUnit},
    spec::{Management, UnitSpec},
};

/// Its mask is gone from disk, and systemd has not read that yet: it does not by itself while it has the unit in memory, for it
/// runs, has failed, or another unit wants it. To take the mask away once more would change nothing.
pub(in crate::plan) fn waits_for_unmasking(unit: &ObservedUnit) -> bool {
    let is_masked = unit.file_state.is_empty() || unit.file_state.starts_with("masked");
    unit.load == LoadState::Masked && !is_masked
}

/// Why a unit cannot be started at all, with the cure. One that runs already runs on.
pub(super) fn unusable(spec: &UnitSpec, unit: &ObservedUnit) -> Option<(Reason, String)> {
    let (reason, message) = unloaded(&spec.unit, spec, unit)?;
    // Under its own name nothing is wrong with it.
    if !unit.active.is_alive() || reason == Reason::UnitAlias {
        return Some((reason, message));
    }
    let runs_on = "it runs on, and once it ends it does not come back";
    Some((reason, format!("{message}; {runs_on}")))
}

/// Why the unit `name` of the entry `spec` cannot be started.
pub(super) fn unloaded(name: &str, spec: &UnitSpec, unit: &ObservedUnit) -> Option<(Reason, String)> {
    let service = &spec.service;
    let why = if unit.load_error.is_empty() { String::new() } else { format!(" ({})", unit.load_error) };
    match &unit.load {
        // What is done under one name is known under the other: two services could have the same unit.
        LoadState::Loaded if !unit.name.is_empty() && unit.name != name => Some((
            Reason::UnitAlias,
            format!("{name} is another name of {}: write `unit: {}` for `{service}`", unit.name, unit.name),
        )),
        LoadState::Loaded => None,
        LoadState::NotFound => Some((
            Reason::UnitNotFound,
            format!(
                "systemd has no unit {name}: install the program that brings it, or correct `unit:` of `{service}`; \
                 `systemctl list-unit-files` lists those that there are"
            ),
        )),
        LoadState::Masked if spec.management == Management::Full => Some((
            Reason::UnitMasked,
            format!(
                "{name} is masked, which forbids its start: `management: full` has aiplatd take that away, and systemd read \
                 its files anew where it does not see it by itself"
            ),
        )),
        LoadState::Masked => Some((
            Reason::UnitMasked,
            format!(
                "{name} is masked, which forbids its start: `systemctl unmask {name}` allows it, or `management: full` \
                 lets aiplatd do so"
            ),
        )),
        LoadState::BadSetting | LoadState::Error => Some((
            Reason::UnitInvalid,
            format!(
                "systemd cannot use the file of {name}{why}: `systemd-analyze verify {name}` shows the line; then \
                 `systemctl daemon-reload`"
            ),
        )),
        LoadState::Other(word) => Some((
            Reason::NotObserved,
            format!("systemd reports the load state `{word}` of {name}, which this version does not know"),
        )),
    }
}
