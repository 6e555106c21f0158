//! A container that the file no longer has.

use std::time::Duration;

use crate::{
    ResourceId,
    action::Action,
    condition::{Condition, ConditionType, Reason},
    observed::{ContainerState, ObservedContainer},
    plan::{Cause, Gate, Step, World},
    spec::Removals,
};

/// Stopped and removed, dependants first.
pub(super) fn undesired(world: &World<'_>, id: &ResourceId) -> Step {
    let members = world.observed.owned.get(id).map(Vec::as_slice).unwrap_or_default();
    let conditions = vec![
        Condition::abnormal(ConditionType::Accepted, Reason::NotInFile, "it is no longer in the file"),
        Condition::abnormal(ConditionType::Ready, Reason::NotInFile, what_follows(world, id)),
    ];
    let Some(next) = members.iter().find(|member| member.state.is_alive()).or(members.first()) else {
        return Step::converged();
    };
    if let Some(gate) = removal_gate(world) {
        return Step::blocked(world, vec![gate]).with(conditions);
    }
    if let Some(by) = dependant(world, id) {
        return Step::blocked(world, vec![Gate::StillUsed { by: by.to_string() }]).with(conditions);
    }
    let action = match next.state {
        ContainerState::Removing => return Step::again(Duration::from_millis(200)).with(conditions),
        ContainerState::Created | ContainerState::Exited | ContainerState::Dead => {
            Action::RemoveContainer { id: next.id.clone() }
        }
        ContainerState::Running
        | ContainerState::Paused
        | ContainerState::Restarting
        | ContainerState::Other(_) => {
            Action::StopContainer { id: next.id.clone(), grace: Duration::from_secs(10) }
        }
    };
    Step::act(action, Cause::NotInFile).with(conditions)
}

/// What becomes of it.
fn what_follows(world: &World<'_>, id: &ResourceId) -> String {
    let name = id.key();
    if world.ledger.suspension(id, world.now).is_some() {
        return format!("it is no longer in the file, and is removed after `aiplatctl resume {name}`");
    }
    match removal_gate(world) {
        Some(gate) => format!("it {gate}"),
        None => "it is no longer in the file and is being removed".to_owned(),
    }
}

/// What keeps things that are no longer in the file.
pub(in crate::plan) fn removal_gate(world: &World<'_>) -> Option<Gate> {
    match world.desired.removals {
        Removals::AwaitConfirmation => Some(Gate::ConfirmationNeeded),
        Removals::WhenFileIsGood => Some(Gate::FileRefused),
        Removals::From(at) if at > world.now => Some(Gate::RemovalGrace { until: at }),
        Removals::From(_) => None,
    }
}

/// Another service that is to be removed, still has a container, and depended on `id` when that was made.
pub(in crate::plan) fn dependant<'a>(world: &World<'a>, id: &ResourceId) -> Option<&'a ResourceId> {
    let leaving =
        world.observed.owned.iter().filter(|(other, _)| !world.desired.wants(other) && *other != id);
    let needs = |set: &[ObservedContainer]| {
        set.iter().any(|member| member.owner.as_ref().is_some_and(|owner| owner.depends_on.contains(id)))
    };
    // Two that name each other (two files ago) must not wait for each other: the first in order goes first.
    let mutual = |other: &ResourceId| {
        let own = world.observed.owned.get(id).map(Vec::as_slice).unwrap_or_default();
        own.iter().any(|member| member.owner.as_ref().is_some_and(|owner| owner.depends_on.contains(other)))
    };
    leaving
        .filter(|(_, set)| needs(set))
        .map(|(other, _)| other)
        .find(|other| !(mutual(other) && id < *other))
}
