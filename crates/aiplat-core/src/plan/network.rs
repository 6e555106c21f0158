//! The next step for one network.

use super::{Cause, Gate, Readiness, Step, World, container, gate};
use crate::{
    ResourceId,
    action::{Action, OwnLabels},
    condition::{Condition, ConditionType, Reason, Status},
    observed::ObservedNetwork,
    spec::NetworkSpec,
};

pub(super) fn plan(world: &World<'_>, id: &ResourceId) -> Step {
    if let Some(step) = container::engine_away(world) {
        return step;
    }
    let Some(spec) = world.desired.networks.get(id) else { return undesired(world, id) };
    let found = world.observed.networks.get(&spec.host_name);
    let conditions = conditions(world, id);
    let step = match found {
        None if spec.external => Step::unsatisfied(Reason::ExternalMissing, readiness(world, id).message),
        None => {
            let labels = OwnLabels {
                instance: world.desired.instance.clone(),
                resource: id.clone(),
                fingerprint: None,
                depends_on: Vec::new(),
            };
            Step::act(Action::CreateNetwork { labels, spec: spec.clone() }, Cause::Missing)
        }
        Some(network) if !spec.external && !is_ours(world, network) => {
            Step::blocked(world, vec![taken(world, network)])
        }
        Some(network) => match drift(spec, network) {
            Some(message) => Step::unsatisfied(Reason::FingerprintDiffers, message),
            None => Step::converged(),
        },
    };
    step.with(conditions)
}

/// What the file has changed of a network that exists. This version does not make it anew by itself.
fn drift(spec: &NetworkSpec, network: &ObservedNetwork) -> Option<String> {
    let mut changed = Vec::new();
    if spec.internal != network.internal {
        changed.push("internal");
    }
    if spec.driver.as_ref().is_some_and(|driver| *driver != network.driver) {
        changed.push("driver");
    }
    (!spec.external && !changed.is_empty()).then(|| {
        format!(
            "{} changed, and a network is made anew only when nothing is connected to it: comment its services out, save, \
             wait until they are gone, and put them back",
            changed.join(", ")
        )
    })
}

fn is_ours(world: &World<'_>, network: &ObservedNetwork) -> bool {
    network.owner.as_ref().is_some_and(|owner| owner.instance == world.desired.instance)
}

fn taken(world: &World<'_>, network: &ObservedNetwork) -> Gate {
    gate::name_taken(world, "network", &network.name, network.owner.as_ref(), network.compose.as_ref())
}

fn conditions(world: &World<'_>, id: &ResourceId) -> Vec<Condition> {
    let Readiness { status, reason, message, .. } = readiness(world, id);
    let found = world
        .desired
        .networks
        .get(id)
        .and_then(|spec| Some((spec, world.observed.networks.get(&spec.host_name)?)));
    let drifted = match found.and_then(|(spec, network)| drift(spec, network)) {
        Some(message) => Condition::abnormal(ConditionType::Drifted, Reason::FingerprintDiffers, message),
        None => Condition::normal(ConditionType::Drifted, Reason::AsDesired),
    };
    vec![
        Condition::normal(ConditionType::Accepted, Reason::InFile),
        drifted,
        Condition { kind: ConditionType::Ready, status, reason, message },
    ]
}

pub(super) fn readiness(world: &World<'_>, id: &ResourceId) -> Readiness {
    let Some(spec) = world.desired.networks.get(id) else {
        return Readiness::not_ready(Reason::NotInFile, "it is not in the file");
    };
    match world.observed.networks.get(&spec.host_name) {
        None if spec.external => Readiness::not_ready(
            Reason::ExternalMissing,
            format!(
                "external network `{0}` does not exist: create it with `docker network create {0}`",
                spec.host_name
            ),
        ),
        None => Readiness::progressing(Reason::Missing, "it does not exist yet"),
        Some(network) if !spec.external && !is_ours(world, network) => {
            let gate = taken(world, network);
            Readiness::not_ready(gate.reason(), gate.to_string())
        }
        Some(_) => Readiness { status: Status::True, ..Readiness::ready(Reason::Present) },
    }
}

/// A network that the file no longer has: removed once no container, running or not, names it.
fn undesired(world: &World<'_>, id: &ResourceId) -> Step {
    let mut networks = world.observed.networks.values();
    let ours = networks
        .find(|network| is_ours(world, network) && network.owner.as_ref().is_some_and(|o| o.resource == *id));
    let Some(network) = ours else { return Step::converged() };
    let conditions =
        vec![Condition::abnormal(ConditionType::Accepted, Reason::NotInFile, "it is no longer in the file")];
    if let Some(gate) = container::removal_gate(world) {
        return Step::blocked(world, vec![gate]).with(conditions);
    }
    let everybody = world.observed.owned.values().flatten().chain(&world.observed.foreign);
    let user = everybody.into_iter().find(|container| {
        container
            .networks
            .iter()
            .any(|(name, endpoint)| *name == network.name || endpoint.network_id == network.id)
    });
    match user {
        Some(container) => {
            Step::blocked(world, vec![Gate::StillUsed { by: format!("container `{}`", container.name) }])
        }
        None => {
            let action = Action::RemoveNetwork { id: network.id.clone(), name: network.name.clone() };
            Step::act(action, Cause::NotInFile)
        }
    }
    .with(conditions)
}
