//! What must hold of units: at every call, and at the end.

use std::collections::BTreeMap;

use aiplat_core::{
    ResourceId,
    action::{Action, UnitVerb},
    observed::{ActiveState, LoadState, ObservedUnit},
    spec::{DependencyCondition, Management, Platform, UnitSpec},
};

use super::{Truth, satisfied};
use crate::{
    orders::Orders,
    sim::systemd::{Program, Unit},
};

/// The units of a machine, by name.
pub type Units = BTreeMap<String, Unit>;

/// What begins the names of units that are nobody's of ours.
pub const BYSTANDER: &str = "bystander";

/// An action on a unit, or on systemd.
#[derive(Clone, Copy)]
pub struct UnitCall<'a> {
    /// The machine before the effect.
    pub truth: Truth<'a>,
    /// The file in force.
    pub desired: &'a Platform,
    /// What.
    pub action: &'a Action,
    /// What people have ordered.
    pub orders: &'a Orders,
    /// Somebody else has just let systemd read its files.
    pub was_read: bool,
}

/// Everything that `call` violates.
#[must_use]
pub fn violations(call: &UnitCall<'_>) -> Vec<String> {
    let found = [
        foreign(call),
        without_need(call),
        observed_only(call),
        gate_open(call),
        stopped_without_order(call),
    ];
    let found = found.into_iter().flatten();
    found.chain(call.orders.unit_violations(call)).map(|text| format!("{text} ({})", call.action)).collect()
}

/// The unit that `action` is done to.
#[must_use]
pub fn unit_of(action: &Action) -> Option<&str> {
    if let Action::WriteUnitFiles(files) = action {
        Some(&files.unit)
    } else if let Action::WriteUnit(file) = action {
        Some(&file.unit)
    } else if let Action::RemoveUnitFiles { unit } | Action::RemoveUnit { unit } | Action::Unit { unit, .. } =
        action
    {
        Some(unit)
    } else {
        None
    }
}

/// The service whose unit that is, in the file in force.
pub(crate) fn service_of<'a>(desired: &'a Platform, unit: &str) -> Option<(&'a ResourceId, &'a UnitSpec)> {
    desired.units.iter().find(|(_, spec)| spec.unit == unit || spec.main() == unit)
}

/// U1: what no file has named is never touched, and what a package brings is never written over.
fn foreign(call: &UnitCall<'_>) -> Option<String> {
    let unit = unit_of(call.action)?;
    if unit.starts_with(BYSTANDER) {
        return Some("U1: it is somebody else's".to_owned());
    }
    let writes = matches!(call.action, Action::WriteUnit(_));
    let is_packaged = call.truth.units.get(unit).is_some_and(Unit::is_packaged);
    (writes && is_packaged).then(|| "U1: a package brings it".to_owned())
}

/// U2: systemd is not told to read its files where it has read them: that can take the GPU from containers.
fn without_need(call: &UnitCall<'_>) -> Option<String> {
    let is_reload = *call.action == Action::ReloadSystemd;
    let has_news = |unit: &Unit| {
        let seen = unit.view();
        // One whose file was gone when systemd read all files, and is back under what runs on.
        let was_gone =
            seen.load == LoadState::Error && seen.active.is_alive() && seen.own.unit_file.is_some();
        seen.needs_reload || was_gone || seen.own.drop_in.is_some() != seen.own.loaded
    };
    (is_reload && !call.was_read && !call.truth.units.values().any(has_news))
        .then(|| "U2: there is nothing to read".to_owned())
}

/// U3: `management: observe`.
fn observed_only(call: &UnitCall<'_>) -> Option<String> {
    let (_, spec) = service_of(call.desired, unit_of(call.action)?)?;
    (spec.management == Management::Observe).then(|| "U3: it is to be looked at alone".to_owned())
}

/// U4: a unit of somebody else's is stopped by order alone.
fn stopped_without_order(call: &UnitCall<'_>) -> Option<String> {
    let Action::Unit { unit, verb: UnitVerb::Stop } = call.action else { return None };
    let is_packaged = call.truth.units.get(unit).is_some_and(Unit::is_packaged);
    let ordered = service_of(call.desired, unit)
        .is_some_and(|(id, _)| call.orders.was_stopped(id, call.truth.engine.now));
    (is_packaged && !ordered).then(|| "U4: nobody has ordered that".to_owned())
}

/// S7: what a start waits for holds.
fn gate_open(call: &UnitCall<'_>) -> Option<String> {
    let Action::Unit { unit, verb: UnitVerb::Start | UnitVerb::Restart } = call.action else { return None };
    let (_, spec) = service_of(call.desired, unit)?;
    let mut required = spec.dependencies.iter().filter(|(_, edge)| edge.required);
    required.find_map(|(on, edge)| {
        let is_open = satisfied(call.truth, call.desired, on, edge.condition);
        (!is_open).then(|| format!("S7: it waits for {on} to be {:?}", edge.condition))
    })
}

/// Whether the unit `id` satisfies `condition`, in truth.
pub(super) fn is_satisfied(
    units: &Units,
    desired: &Platform,
    id: &ResourceId,
    condition: DependencyCondition,
) -> bool {
    let Some(spec) = desired.units.get(id) else { return false };
    let Some(unit) = units.get(spec.main()) else { return false };
    let is_up = unit.seen.active == ActiveState::Active;
    // Between two runs there is nobody to ask: it is well while the last one has not failed.
    let has_failed = |name: &str| units.get(name).is_some_and(|it| it.seen.active == ActiveState::Failed);
    match condition {
        DependencyCondition::Started => unit.seen.active.is_alive(),
        DependencyCondition::Healthy if spec.timer().is_some() => is_up && !has_failed(&spec.unit),
        DependencyCondition::Healthy => is_up && (spec.probe.is_none() || unit.program == Program::Serves),
        DependencyCondition::CompletedSuccessfully => !is_up && unit.seen.result == "success",
    }
}

/// How the units of the machine differ from what the file asks for; empty when they are as asked.
#[must_use]
pub fn differences(units: &Units, desired: &Platform) -> Vec<String> {
    let mut found = Vec::new();
    for (id, spec) in &desired.units {
        found.extend(differ(units, spec).map(|text| format!("{id}: {text}")));
    }
    for (name, unit) in units {
        if service_of(desired, name).is_none() {
            found.extend(
                left_over(&unit.view()).map(|text| format!("{name}: {text}, and is not in the file")),
            );
        }
    }
    found
}

fn differ(units: &Units, spec: &UnitSpec) -> Option<String> {
    let find = |name: &str| units.get(name).ok_or_else(|| format!("{name} is not there"));
    let (main, service) = match (find(spec.main()), find(&spec.unit)) {
        (Ok(main), Ok(service)) => (main, service),
        (Err(missing), _) | (_, Err(missing)) => return Some(missing),
    };
    let seen = main.view();
    if seen.load != LoadState::Loaded || seen.active != ActiveState::Active || seen.job.is_some() {
        return Some(format!("{:?}, {:?} ({}), job {:?}", seen.load, seen.active, seen.sub, seen.job));
    }
    if spec.management == Management::Observe {
        return None;
    }
    if spec.management == Management::Full && seen.file_state == "disabled" {
        return Some("is not enabled".to_owned());
    }
    files_differ(units, service, spec)
        .or_else(|| if spec.timer().is_none() { runs_otherwise(main, spec) } else { None })
}

/// Its process is of another file than the present one.
fn runs_otherwise(unit: &Unit, spec: &UnitSpec) -> Option<String> {
    let effective = unit.view().effective.unwrap_or_default();
    if let Some((name, value)) =
        spec.environment.iter().find(|(name, value)| effective.get(*name) != Some(value))
    {
        return Some(format!("runs with {name}={:?} and not {value}", effective.get(name)));
    }
    let is_old = spec.own.is_some() && unit.runs.last() != Some(&unit.command);
    is_old.then(|| format!("runs {:?} and not {}", unit.runs.last(), unit.command))
}

fn files_differ(units: &Units, service: &Unit, spec: &UnitSpec) -> Option<String> {
    let own = service.view().own;
    let written = spec.unit_files(&own.environment_path).into_iter().find_map(|(name, text)| {
        let there = units.get(name).and_then(|unit| unit.view().own.unit_file);
        (there.as_ref() != Some(&text))
            .then(|| format!("the file of {name} is not as it should be: {there:?}"))
    });
    if written.is_some() {
        return written;
    }
    // Where a unit's own files say the same there is nothing to add.
    let is_bare = own.drop_in.is_none() && own.environment.is_none() && spec.own.is_none();
    let wants_drop_in = spec.own.is_none() && !spec.environment.is_empty();
    let drop_in = wants_drop_in.then(|| spec.drop_in(&own.environment_path));
    let environment = (!spec.environment.is_empty()).then(|| spec.environment_file());
    // Of which entry it was written is a remark.
    let said = |text: &Option<String>| {
        let lines = |text: &String| {
            text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
        };
        text.as_ref().map(lines)
    };
    if !is_bare && (said(&own.drop_in) != said(&drop_in) || own.environment != environment) {
        return Some(format!("its files are not as the file says: {own:?}"));
    }
    let is_unread = |name: &str| {
        units
            .get(name)
            .map(Unit::view)
            .is_some_and(|seen| seen.own.loaded != seen.own.drop_in.is_some() || seen.needs_reload)
    };
    [spec.unit.as_str(), spec.main()]
        .into_iter()
        .find(|name| is_unread(name))
        .map(|name| format!("systemd has not read the files of {name}"))
}

/// What is ours of a unit that the file does not name.
pub(crate) fn left_over(seen: &ObservedUnit) -> Option<String> {
    let own = &seen.own;
    let is_written =
        own.drop_in.is_some() || own.environment.is_some() || own.unit_file.is_some() || own.loaded;
    let is_ours_and_runs = seen.fragment.is_empty() && seen.active.is_alive();
    let nothing = !is_written && !is_ours_and_runs;
    (!nothing).then(|| format!("{:?}, {own:?}", seen.active))
}
