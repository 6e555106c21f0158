//! `host/systemd`: systemd reads its files anew, once for all units, and only when one of ours has really changed. A reload
//! can take the GPU from running containers (NVIDIA/nvidia-container-toolkit#48), so none is made without need.

use std::collections::BTreeSet;

use super::{Cause, Entry, Gate, Readiness, Step, World, unit};
use crate::{
    ResourceId,
    action::Action,
    condition::{Condition, ConditionType, Reason},
    ledger::UnitRecord,
    observed::{LoadState, ObservedUnit},
    spec::{Management, WRITTEN_BY},
};

/// The units that this platform has, or has written files for: name and service.
#[must_use]
pub fn units<'a>(world: &World<'a>) -> BTreeSet<(&'a str, &'a ResourceId)> {
    let units = world.desired.units.iter();
    let desired = units.flat_map(|(id, spec)| [(spec.unit.as_str(), id), (spec.main(), id)]);
    let written = world.ledger.records.iter().flat_map(|(id, record)| {
        let names = record.unit.files_of.iter().chain(record.unit.owned.keys());
        names.map(move |name| (name.as_str(), id))
    });
    desired.chain(written).collect()
}

/// Whether systemd has yet to read the file of `name`, one of ours, as it is now. A reload that did not help is not made
/// again for the same file.
pub(super) fn is_unread(world: &World<'_>, name: &str) -> bool {
    let read = world.ledger.get(&ResourceId::systemd()).and_then(|record| record.unit.reread.get(name));
    world
        .observed
        .units
        .get(name)
        .is_some_and(|unit| (unit.needs_reload || was_gone(unit)) && read != Some(&stamp(unit)))
}

/// Whether systemd has yet to read the drop-in of ours that is there, or to let go of one.
pub(super) fn is_drop_in_unread(unit: &ObservedUnit) -> bool {
    let own = &unit.own;
    own.drop_in.is_some() != own.loaded || is_misread(unit)
}

/// What systemd has read in the place of our drop-in was somebody else's, who has let it read that: it does not know of our
/// environment. A drop-in that differs from what it has read in anything else is not worth a reload.
pub(super) fn is_misread(unit: &ObservedUnit) -> bool {
    let own = &unit.own;
    let is_ours = own.drop_in.as_ref().is_some_and(|text| text.starts_with(WRITTEN_BY));
    // Where a later file makes void what ours names, no reload brings it back.
    let is_unknown = unit.files_void_in.is_none() && !unit.environment_files.contains(&own.environment_path);
    is_ours && own.loaded && unit.needs_reload && is_unknown
}

/// It runs, and its file was gone when systemd read all files, and is there again: systemd says that it cannot load it, and not
/// that a reload would help.
fn was_gone(unit: &ObservedUnit) -> bool {
    unit.load == LoadState::Error && unit.active.is_alive() && unit.own.unit_file.is_some()
}

fn stamp(unit: &ObservedUnit) -> String {
    unit.fragment_stamp.as_ref().map(|stamp| stamp.0.clone()).unwrap_or_default()
}

/// What must be remembered before systemd reads its files anew: which they were.
pub(super) fn entries(world: &World<'_>, id: &ResourceId, step: &Step) -> Vec<Entry> {
    if step.action.as_ref().is_none_or(|planned| planned.action != Action::ReloadSystemd) {
        return Vec::new();
    }
    let reread = owned(world).into_iter().filter_map(|name| {
        let unit = world.observed.units.get(name)?;
        Some((name.to_owned(), stamp(unit)))
    });
    let before = world.ledger.get(id).map(|record| record.unit.clone()).unwrap_or_default();
    vec![Entry::Unit(Box::new(UnitRecord { reread: reread.collect(), ..before }))]
}

/// The units whose files are ours.
fn owned<'a>(world: &World<'a>) -> BTreeSet<&'a str> {
    world.ledger.records.values().flat_map(|record| record.unit.owned.keys().map(String::as_str)).collect()
}

pub(super) fn plan(world: &World<'_>, id: &ResourceId) -> Step {
    let wanted = world.desired.wants(id);
    let accepted = wanted.then(|| Condition::normal(ConditionType::Accepted, Reason::InFile));
    if let Some(reason) = &world.observed.systemd.away {
        return unit::away(world, reason);
    }
    let unread = unread(world);
    if unread.is_empty() {
        let ready = wanted.then(|| Condition::normal(ConditionType::Ready, Reason::AsDesired));
        return Step::converged().with(accepted.into_iter().chain(ready).collect());
    }
    let message = format!("systemd has not read the files of {}", unread.join(", "));
    let ready = Condition::abnormal(ConditionType::Ready, Reason::ReloadPending, message);
    let conditions = accepted.into_iter().chain([ready]).collect();
    let pending: Vec<Gate> = units(world)
        .into_iter()
        .filter(|(_, id)| unit::has_pending_writes(world, id))
        .map(|(name, _)| Gate::StillUsed { by: format!("a write that is due for {name}") })
        .collect();
    if !pending.is_empty() {
        return Step::blocked(world, pending).with(conditions);
    }
    let endangered = endangered(world);
    Step::act(Action::ReloadSystemd, Cause::DropInsUnread { units: unread, endangered }).with(conditions)
}

pub(super) fn readiness(world: &World<'_>) -> Readiness {
    match (&world.observed.systemd.away, unread(world).is_empty()) {
        (Some(reason), _) => Readiness::unknown(Reason::SystemdUnreachable, unit::away_sentence(reason)),
        (None, true) => Readiness::ready(Reason::AsDesired),
        (None, false) => Readiness::progressing(Reason::ReloadPending, "systemd has files to read"),
    }
}

/// Units whose drop-in or mask, or whose file of ours, came, went or changed without systemd having been told.
fn unread(world: &World<'_>) -> Vec<String> {
    let is_ours_to_unmask =
        |id: &ResourceId| world.desired.units.get(id).is_some_and(|spec| spec.management == Management::Full);
    let owned = owned(world);
    let is_unread = |(name, id): &(&str, &ResourceId)| {
        let differs = world.observed.units.get(*name).is_some_and(|unit| {
            let drop_in = is_drop_in_unread(unit) && unit.load == LoadState::Loaded;
            drop_in || (unit::waits_for_unmasking(unit) && is_ours_to_unmask(id))
        });
        differs || (owned.contains(*name) && is_unread(world, name))
    };
    let names: BTreeSet<&str> = units(world).into_iter().filter(is_unread).map(|(name, _)| name).collect();
    names.into_iter().map(str::to_owned).collect()
}

/// The running containers that may lose their GPU.
fn endangered(world: &World<'_>) -> Vec<String> {
    let has_gpu = |id: &ResourceId| {
        world
            .desired
            .containers
            .get(id)
            .is_some_and(|spec| !spec.runtime.options.hardware.requests.is_empty())
    };
    let runs = world
        .observed
        .owned
        .iter()
        .filter(|(id, members)| has_gpu(id) && members.iter().any(|member| member.state.is_alive()));
    runs.map(|(id, _)| id.key().to_owned()).collect()
}
