//! The next step for one volume: made when absent, never changed, never removed.

use super::{Cause, Gate, Readiness, Step, World, container, gate};
use crate::{
    ResourceId,
    action::{Action, OwnLabels},
    condition::{Condition, ConditionType, Reason},
    fingerprint,
    observed::ObservedVolume,
    spec::VolumeSpec,
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
    let mut conditions = vec![
        Condition::normal(ConditionType::Accepted, Reason::InFile),
        Condition { kind: ConditionType::Ready, status, reason, message: message.clone() },
    ];
    let step = match world.observed.volumes.get(&spec.host_name) {
        None if spec.external => Step::unsatisfied(Reason::ExternalMissing, message),
        None => {
            let labels = OwnLabels::of(world.desired, id, fingerprint::of(spec));
            Step::act(Action::CreateVolume { labels, spec: spec.clone() }, Cause::Missing)
        }
        Some(volume) if !spec.external && !is_ours(world, volume) => {
            Step::blocked(world, vec![taken(world, volume)])
        }
        Some(volume) => match change(world, id, spec, volume) {
            Some(message) => {
                let reason = Reason::FingerprintDiffers;
                conditions.push(Condition::abnormal(ConditionType::Drifted, reason, message.clone()));
                Step::unsatisfied(reason, message)
            }
            None => Step::converged(),
        },
    };
    step.with(conditions)
}

/// What the file has changed of a volume that exists. It holds data: a person decides.
fn change(world: &World<'_>, id: &ResourceId, spec: &VolumeSpec, volume: &ObservedVolume) -> Option<String> {
    let print = volume.owner.as_ref().and_then(|owner| owner.fingerprint.as_ref());
    if spec.external || print.is_none_or(|print| print.matches(spec)) {
        return None;
    }
    Some(format!(
        "{what}, and aiplatd never makes a volume anew, for it holds data: undo the edit; or give the new one another \
         `name:` and copy the data over; or, if the data may go, remove its services from the file, wait until they are \
         gone, and run `docker volume rm {name}`",
        what = Cause::fields(&world.changed_fields(id, print, spec)),
        name = volume.name
    ))
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
        None => gate::missing(spec.external, "volume", &spec.host_name),
        Some(volume) if !spec.external && !is_ours(world, volume) => {
            let gate = taken(world, volume);
            Readiness::not_ready(gate.reason(), gate.to_string())
        }
        Some(_) => Readiness::ready(Reason::Present),
    }
}
