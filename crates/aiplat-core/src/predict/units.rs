//! What an action on a unit will have changed.

use std::collections::BTreeMap;

use super::{AFTER_APPLY, becomes_ready};
use crate::{
    ResourceId, Timestamp,
    action::{Action, UnitFile, UnitVerb},
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
            unit.needs_reload |= unit.own.loaded && unit.own.drop_in.as_ref() != Some(&files.drop_in);
            unit.own.drop_in = Some(files.drop_in.clone());
            unit.own.environment = Some(files.environment.clone());
        });
    } else if let Action::RemoveUnitFiles { unit } = action {
        change(observed, unit, |unit| {
            unit.own.drop_in = None;
            unit.own.environment = None;
        });
    } else if let Action::WriteUnit(file) = action {
        change(observed, &file.unit, |unit| written(unit, file));
    } else if let Action::RemoveUnit { unit } = action {
        change(observed, unit, |unit| {
            unit.own.unit_file = None;
            unit.own.environment = None;
            unit.needs_reload = true;
            unit.fragment_stamp = None;
        });
    } else if let Action::ReloadSystemd = action {
        observed.units.values_mut().for_each(reloaded);
    } else if let Action::Unit { unit, verb } = action {
        let spec = desired.units.get(id).filter(|spec| spec.timer().is_none());
        let environment = spec.map(|spec| spec.environment.clone());
        let mut run = None;
        change(observed, unit, |unit| run = queued(unit, *verb, environment));
        if let Some(run) = run {
            becomes_ready(observed, id, run, now);
        }
    }
}

/// systemd reads a file that is new to it when it is first asked for the unit, and any other with a reload.
fn written(unit: &mut ObservedUnit, file: &UnitFile) {
    let is_another = unit.own.unit_file.as_ref() != Some(&file.text);
    unit.own.unit_file = Some(file.text.clone());
    unit.own.environment.clone_from(&file.environment);
    if unit.fragment.is_empty() {
        unit.load = LoadState::Loaded;
        unit.fragment.clone_from(&unit.own.unit_path);
        unit.file_state = "disabled".to_owned();
    } else if is_another {
        unit.needs_reload = true;
        unit.fragment_stamp = None;
    }
}

fn reloaded(unit: &mut ObservedUnit) {
    unit.own.loaded = unit.own.drop_in.is_some();
    if unit.own.loaded && !unit.environment_files.contains(&unit.own.environment_path) {
        unit.environment_files.push(unit.own.environment_path.clone());
    }
    unit.needs_reload = false;
    if unit.load == LoadState::Masked && !unit.file_state.starts_with("masked") {
        unit.load = LoadState::Loaded;
    }
    if unit.own.unit_file.is_none() && unit.fragment == unit.own.unit_path {
        unit.load = LoadState::NotFound;
        unit.fragment.clear();
    }
}

/// What comes of a job, and the run that it begins.
fn queued(
    unit: &mut ObservedUnit,
    verb: UnitVerb,
    environment: Option<BTreeMap<String, String>>,
) -> Option<Incarnation> {
    match verb {
        UnitVerb::Start | UnitVerb::Restart => {
            let earlier = unit.invocation.as_ref().map_or(0, |run| run.0.len());
            let run = Incarnation(format!("{AFTER_APPLY} {earlier}"));
            unit.invocation = Some(run.clone());
            unit.active = ActiveState::Active;
            unit.sub = "running".to_owned();
            unit.result = "success".to_owned();
            unit.given_up = false;
            // A timer has no process.
            unit.effective = environment;
            return Some(run);
        }
        UnitVerb::Stop => unit.active = ActiveState::Inactive,
        UnitVerb::ResetFailed => {
            unit.active = ActiveState::Inactive;
            unit.result = "success".to_owned();
            unit.given_up = false;
        }
        // systemd sees it at once where nothing runs, and otherwise when it is told to reload.
        UnitVerb::Unmask if unit.active.is_alive() => unit.file_state = "enabled".to_owned(),
        UnitVerb::Unmask => unit.load = LoadState::Loaded,
        UnitVerb::Enable => unit.file_state = "enabled".to_owned(),
        UnitVerb::Disable => unit.file_state = "disabled".to_owned(),
    }
    None
}

fn change(observed: &mut ObservedState, name: &str, apply: impl FnOnce(&mut ObservedUnit)) {
    if let Some(unit) = observed.units.get_mut(name) {
        apply(unit);
    }
}
