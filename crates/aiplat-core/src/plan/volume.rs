//! The next step for one volume: made when absent, never removed.

use super::{Cause, Gate, Readiness, Step, World, container, gate};
use crate::{
    ResourceId,
    action::{Action, OwnLabels},
    condition::{Condition, ConditionType, Reason},
    observed::ObservedVolume,
};

pub(super) fn plan(world: &World<'_>, id: &ResourceId) -> Step {
    if let Some(step) = container::engine_away(world) {
        return step;
    }
    let Some(spec) = world.desired.volumes.get(id) else {
        // Data outlives the file: it is listed, and goes only when a person types its name.
        let message = "it is no longer in the file; its data stays";
        let kept = Condition::abnormal(ConditionType::Accepted, Reason::NotInFile, message);
        return Step::converged().with(vec![kept]);
    };
    let Readiness { status, reason, message, .. } = readiness(world, id);
    let conditions = vec![
        Condition::normal(ConditionType::Accepted, Reason::InFile),
        Condition { kind: ConditionType::Ready, status, reason, message: message.clone() },
    ];
    let step = match world.observed.volumes.get(&spec.host_name) {
        None if spec.external => Step::unsatisfied(Reason::ExternalMissing, message),
        None => {
            let labels = OwnLabels {
                instance: world.desired.instance.clone(),
                resource: id.clone(),
                fingerprint: None,
                depends_on: Vec::new(),
            };
            Step::act(Action::CreateVolume { labels, spec: spec.clone() }, Cause::Missing)
        }
        Some(volume) if !spec.external && !is_ours(world, volume) => {
            Step::blocked(world, vec![taken(world, volume)])
        }
        Some(_) => Step::converged(),
    };
    step.with(conditions)
}

fn is_ours(world: &World<'_>, volume: &ObservedVolume) -> bool {
    volume.owner.as_ref().is_some_and(|owner| owner.instance == world.desired.instance)
}

fn taken(world: &World<'_>, volume: &ObservedVolume) -> Gate {
    gate::name_taken(world, "volume", &volume.name, volume.owner.as_ref(), volume.compose.as_ref())
}

pub(super) fn readiness(world: &World<'_>, id: &ResourceId) -> Readiness {
    let Some(spec) = world.desired.volumes.get(id) else {
        return Readiness::not_ready(Reason::NotInFile, "it is not in the file");
    };
    match world.observed.volumes.get(&spec.host_name) {
        None if spec.external => Readiness::not_ready(
            Reason::ExternalMissing,
            format!(
                "external volume `{0}` does not exist: create it with `docker volume create {0}`",
                spec.host_name
            ),
        ),
        None => Readiness::progressing(Reason::Missing, "it does not exist yet"),
        Some(volume) if !spec.external && !is_ours(world, volume) => {
            let gate = taken(world, volume);
            Readiness::not_ready(gate.reason(), gate.to_string())
        }
        Some(_) => Readiness::ready(Reason::Present),
    }
}
