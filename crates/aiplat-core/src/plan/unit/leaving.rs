//! A service that was a unit and is no longer in the file: what we wrote goes. A unit of somebody else's runs on; one of ours
//! is stopped first.

use std::time::Duration;

use super::{folders, heirs, own};
use crate::{
    ResourceId,
    action::Action,
    condition::{Condition, ConditionType, Reason},
    ledger::UnitRecord,
    observed::ObservedUnit,
    plan::{
        Cause, Gate, Step, Verdict, World,
        container::{dependant, removal_gate},
        systemd,
    },
};

/// So soon it is looked again whether another entry has taken over what was this one's.
const HEIR: Duration = Duration::from_secs(1);

pub(super) fn undesired(world: &World<'_>, id: &ResourceId) -> Step {
    let Some(record) = world.ledger.get(id).map(|record| &record.unit) else { return Step::converged() };
    let (names, files_of) = left(world, id, record);
    let Some(step) = removing(world, id, &names, files_of) else {
        let left = record.owned.keys().map(String::as_str).chain(record.files_of.as_deref());
        let mut inherited = left.filter(|name| heirs::heir(world, id, name).is_some());
        let waits_for_heir = inherited.any(|name| !heirs::is_handed_over(world, id, name));
        return if waits_for_heir { Step::again(HEIR) } else { Step::converged() };
    };
    let message = match (files_of, names.as_slice()) {
        (Some(name), []) if matches!(step.verdict, Verdict::Held { .. }) => {
            format!(
                "it is no longer in the file, and what aiplatd wrote for {name} stays for now: {}",
                held(&step)
            )
        }
        (Some(name), []) => {
            let is_alive = world.observed.units.get(name).is_some_and(|unit| unit.active.is_alive());
            let stays = if is_alive { "runs on" } else { "stays as it is" };
            format!(
                "it is no longer in the file: what aiplatd wrote for {name} is removed, and {name} {stays}"
            )
        }
        (_, names) => {
            format!("it is no longer in the file: {} is stopped, and its file removed", names.join(", "))
        }
    };
    step.with(vec![
        Condition::abnormal(ConditionType::Accepted, Reason::NotInFile, "it is no longer in the file"),
        Condition::abnormal(ConditionType::Ready, Reason::NotInFile, message),
    ])
}

/// Units of ours: nothing of them stays.
fn retiring(world: &World<'_>, id: &ResourceId, names: &[&str]) -> Option<Step> {
    let step = own::retire(world, names, None);
    if let (Some(by), Some(_)) = (dependant(world, id), step.as_ref().and_then(|step| step.action.as_ref())) {
        return Some(Step::blocked(world, vec![Gate::StillUsed { by: by.to_string() }]));
    }
    let unread = names.iter().any(|name| systemd::is_unread(world, name));
    let waiting = || Step::blocked(world, vec![own::unread_gate("let go of its unit file")]);
    step.or_else(|| unread.then(waiting))
}

/// The unit of somebody else's loses what we wrote for it.
fn bare(world: &World<'_>, name: &str) -> Option<Step> {
    let Some(unit) = world.observed.units.get(name) else { return Some(Step::progressing()) };
    let own = &unit.own;
    let is_written = own.drop_in.is_some() || own.environment.is_some();
    if let Some(gate) = removal_gate(world).filter(|_| is_written) {
        return Some(Step::blocked(world, vec![gate]));
    }
    if is_written {
        if let Some(message) = folders::left_behind_without_ours(world, name, unit) {
            return Some(Step::held(Reason::DataLeftBehind, message));
        }
        let cause = Cause::UnitNotInFile { unit: name.to_owned() };
        return Some(Step::act(Action::RemoveUnitFiles { unit: name.to_owned() }, cause));
    }
    own.loaded.then(|| Step::blocked(world, vec![own::unread_gate("let go of its drop-in")]))
}

/// Whether something of the service `id`, which left the file, is about to be removed: systemd is told once of all that goes.
pub(super) fn has_pending_removals(world: &World<'_>, id: &ResourceId) -> bool {
    let Some(record) = world.ledger.get(id).filter(|record| record.failure.is_none()) else { return false };
    let (names, files_of) = left(world, id, &record.unit);
    let is_under_way = |step: Step| step.action.is_some() || matches!(step.verdict, Verdict::Progressing);
    world.ledger.suspension(id, world.now).is_none()
        && removing(world, id, &names, files_of).is_some_and(is_under_way)
}

/// The unit that is about to lose our drop-in: the service `id` has left the file, or is another unit now.
pub(super) fn let_go<'a>(world: &World<'a>, id: &ResourceId) -> Option<&'a ObservedUnit> {
    let (_, files_of) = left(world, id, &world.ledger.get(id)?.unit);
    let name = files_of?;
    let is_kept = world.desired.units.get(id).is_some_and(|spec| spec.unit == name);
    world.observed.units.get(name).filter(|unit| !is_kept && unit.own.environment.is_some())
}

fn held(step: &Step) -> &str {
    if let Verdict::Held { message, .. } = &step.verdict { message } else { "" }
}

/// What is ours of the service `id`, and nobody's from now on: units, and the one with a drop-in. What another entry is now stays as
/// it is.
fn left<'a>(world: &World<'_>, id: &ResourceId, record: &'a UnitRecord) -> (Vec<&'a str>, Option<&'a str>) {
    let is_nobodys = |name: &&str| heirs::heir(world, id, name).is_none();
    let names = record.owned.keys().map(String::as_str).filter(is_nobodys).collect();
    (names, record.files_of.as_deref().filter(is_nobodys))
}

fn removing(world: &World<'_>, id: &ResourceId, names: &[&str], files_of: Option<&str>) -> Option<Step> {
    let step = if names.is_empty() { None } else { retiring(world, id, names) };
    step.or_else(|| bare(world, files_of?))
}

/// Whether `record` has something of ours, and none of that is left.
pub(super) fn has_left(world: &World<'_>, id: &ResourceId, record: &UnitRecord) -> bool {
    let is_written = record.files_of.is_some() || !record.owned.is_empty();
    let is_handed_over = |name: &str| heirs::is_handed_over(world, id, name);
    is_written
        && record.files_of.as_deref().is_none_or(|name| is_gone(world, name) || is_handed_over(name))
        && record.owned.keys().all(|name| own::is_removed(world, name) || is_handed_over(name))
}

/// Whether nothing of ours is left on a unit that the file does not ask anything of any more.
pub(in crate::plan) fn is_gone(world: &World<'_>, name: &str) -> bool {
    world.observed.units.get(name).is_some_and(|unit| {
        let own = &unit.own;
        own.drop_in.is_none() && own.environment.is_none() && !own.loaded
    })
}
