//! What an action on a unit will have changed.

use std::collections::BTreeMap;

use super::{AFTER_APPLY, becomes_ready};
use crate::{
    ResourceId, Timestamp,
    action::{Action, UnitVerb},
    observed::{ActiveState, Incarnation, LoadState, ObservedState, ObservedUnit},
    spec::Platform,
};

pub(super) fn predict(
    observed: &mut ObservedState,
    desired: &Platform,
    id: &ResourceId,
    action: &Action,
    now: Timestamp,
) {
    if let Action::WriteUnitFiles(files) = action {
        change(observed, &files.unit, |unit| {
            unit.own.drop_in = Some(files.drop_in.clone());
            unit.own.environment = Some(files.environment.clone());
        });
    } else if let Action::RemoveUnitFiles { unit } = action {
        change(observed, unit, |unit| {
            unit.own.drop_in = None;
            unit.own.environment = None;
        });
    } else if let Action::ReloadSystemd = action {
        for unit in observed.units.values_mut() {
            unit.own.loaded = unit.own.drop_in.is_some();
            unit.needs_reload = false;
            if unit.load == LoadState::Masked && !unit.file_state.starts_with("masked") {
                unit.load = LoadState::Loaded;
            }
        }
    } else if let Action::Unit { unit, verb } = action {
        let environment = desired.units.get(id).map(|spec| spec.environment.clone()).unwrap_or_default();
        let mut run = None;
        change(observed, unit, |unit| run = queued(unit, *verb, environment));
        if let Some(run) = run {
            becomes_ready(observed, id, run, now);
        }
    }
}

/// What comes of a job, and the run that it begins.
fn queued(
    unit: &mut ObservedUnit,
    verb: UnitVerb,
    environment: BTreeMap<String, String>,
) -> Option<Incarnation> {
    match verb {
        UnitVerb::Start | UnitVerb::Restart => {
            let earlier = unit.invocation.as_ref().map_or(0, |run| run.0.len());
            let run = Incarnation(format!("{AFTER_APPLY} {earlier}"));
            unit.invocation = Some(run.clone());
            unit.active = ActiveState::Active;
            unit.sub = "running".to_owned();
            unit.result = "success".to_owned();
            unit.effective = Some(environment);
            return Some(run);
        }
        UnitVerb::Stop => unit.active = ActiveState::Inactive,
        UnitVerb::ResetFailed => {
            unit.active = ActiveState::Inactive;
            unit.result = "success".to_owned();
        }
        // systemd sees it at once where nothing runs, and otherwise when it is told to reload.
        UnitVerb::Unmask if unit.active.is_alive() => unit.file_state = "enabled".to_owned(),
        UnitVerb::Unmask => unit.load = LoadState::Loaded,
        UnitVerb::Enable => unit.file_state = "enabled".to_owned(),
    }
    None
}

fn change(observed: &mut ObservedState, name: &str, apply: impl FnOnce(&mut ObservedUnit)) {
    if let Some(unit) = observed.units.get_mut(name) {
        apply(unit);
    }
}
