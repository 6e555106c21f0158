//! A service that was a unit and is no longer in the file: what we wrote goes, and the unit runs on.

use crate::{
    ResourceId,
    action::Action,
    condition::{Condition, ConditionType, Reason},
    plan::{Cause, Gate, Step, World, container::removal_gate},
};

pub(super) fn undesired(world: &World<'_>, id: &ResourceId) -> Step {
    let Some(name) = world.ledger.get(id).and_then(|record| record.unit.files_of.clone()) else {
        return Step::converged();
    };
    let Some(unit) = world.observed.units.get(&name) else { return Step::progressing() };
    let stays = if unit.active.is_alive() { "runs on" } else { "stays as it is" };
    let message =
        format!("it is no longer in the file: what aiplatd wrote for {name} is removed, and {name} {stays}");
    let conditions = vec![
        Condition::abnormal(ConditionType::Accepted, Reason::NotInFile, "it is no longer in the file"),
        Condition::abnormal(ConditionType::Ready, Reason::NotInFile, message),
    ];
    if let Some(gate) = removal_gate(world) {
        return Step::blocked(world, vec![gate]).with(conditions);
    }
    let own = &unit.own;
    if own.drop_in.is_some() || own.environment.is_some() {
        let cause = Cause::UnitNotInFile { unit: name.clone() };
        return Step::act(Action::RemoveUnitFiles { unit: name }, cause).with(conditions);
    }
    if own.loaded {
        let message = "waits until systemd has let go of its drop-in".to_owned();
        let gate = Gate::Resource { id: ResourceId::systemd(), reason: Reason::ReloadPending, message };
        return Step::blocked(world, vec![gate]).with(conditions);
    }
    Step::converged()
}

/// Whether nothing of ours is left on a unit that the file does not ask anything of any more.
pub(in crate::plan) fn is_gone(world: &World<'_>, name: &str) -> bool {
    world.observed.units.get(name).is_some_and(|unit| {
        let own = &unit.own;
        own.drop_in.is_none() && own.environment.is_none() && !own.loaded
    })
}
