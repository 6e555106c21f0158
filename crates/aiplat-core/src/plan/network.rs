//! The next step for one network: made when absent, made anew when the file changes it, removed when the file drops it.
//!
//! A network cannot be changed, renamed, or replaced beside its predecessor. So its containers leave it (each in a pass
//! of its own, `plan::container`), it is removed, made, and they come back: every step is seen in the world alone.

use super::{Cause, Gate, Readiness, Step, World, container, gate};
use crate::{
    ResourceId,
    action::{Action, OwnLabels},
    condition::{Condition, ConditionType, Reason},
    fingerprint,
    observed::{Endpoint, ObservedContainer, ObservedNetwork},
    spec::NetworkSpec,
};

pub(super) fn plan(world: &World<'_>, id: &ResourceId) -> Step {
    if let Some(step) = container::engine_away(world) {
        return step;
    }
    match world.desired.networks.get(id) {
        Some(spec) => desired(world, id, spec).with(conditions(world, id, spec)),
        None => undesired(world, id),
    }
}

fn desired(world: &World<'_>, id: &ResourceId, spec: &NetworkSpec) -> Step {
    let Some(network) = named(world, &spec.host_name) else {
        if spec.external {
            return Step::unsatisfied(Reason::ExternalMissing, readiness(world, id).message);
        }
        let labels = OwnLabels::of(world.desired, id, fingerprint::of(spec));
        return Step::act(Action::CreateNetwork { labels, spec: spec.clone() }, Cause::Missing);
    };
    if !spec.external && !is_ours(world, network) {
        return Step::blocked(world, vec![taken(world, network)]);
    }
    if let Some(step) = leftovers(world, id, spec) {
        return step;
    }
    match change(world, id, spec, network) {
        None => Step::converged(),
        Some(Change { stranger: Some(_), message, .. }) => {
            Step::unsatisfied(Reason::FingerprintDiffers, message)
        }
        Some(Change { changed, .. }) => remove(world, network, Cause::Outdated { changed }),
    }
}

/// A network of ours that is not as the file says.
struct Change {
    changed: Vec<String>,
    /// Somebody who is connected, and whom we may not disconnect.
    stranger: Option<String>,
    message: String,
}

fn change(
    world: &World<'_>,
    id: &ResourceId,
    spec: &NetworkSpec,
    network: &ObservedNetwork,
) -> Option<Change> {
    let print = network.owner.as_ref().and_then(|owner| owner.fingerprint.as_ref());
    if spec.external || !is_ours(world, network) || print.is_none_or(|print| print.matches(spec)) {
        return None;
    }
    let changed = world.changed_fields(id, print, spec);
    let what = Cause::fields(&changed);
    let stranger = stranger(world, network).map(|user| user.name.clone());
    let message = match &stranger {
        Some(name) => match suspended(world, name) {
            Some(service) => format!(
                "{what}, and it can only be made anew once container `{name}` has left it, whose service is suspended: \
                 `aiplatctl resume {}`",
                service.key()
            ),
            None => format!(
                "{what}, and it can only be made anew once container `{name}`, which is not of this file, has left it: \
                 `docker network disconnect {} {name}`",
                network.name
            ),
        },
        None => format!("{what}: its containers leave it, it is made anew, and they come back"),
    };
    Some(Change { changed, stranger, message })
}

/// Whether a container of this file leaves the network that it knows as `name` now: it is to be made anew, or is the
/// second one of its name.
pub(super) fn must_be_left(world: &World<'_>, name: &str, endpoint: &Endpoint) -> bool {
    let entry = world.desired.networks.iter().find(|(_, spec)| spec.host_name == name && !spec.external);
    let Some((id, spec)) = entry else { return false };
    let Some(network) = named(world, name) else { return false };
    twins(world, network).any(|twin| twin.id == endpoint.network_id)
        || change(world, id, spec, network).is_some_and(|change| change.stranger.is_none())
}

/// The network of that name. Of several (the engine's own check for duplicates can be outrun by a crash), ours, and of
/// these the one that a stranger is on, or else the one in use.
pub(super) fn named<'a>(world: &World<'a>, host_name: &str) -> Option<&'a ObservedNetwork> {
    let named = || world.observed.networks.iter().filter(|network| network.name == host_name);
    if named().nth(1).is_none() {
        return named().next();
    }
    named().min_by_key(|network| {
        let unused = user(world, network).is_none();
        (!is_ours(world, network), stranger(world, network).is_none(), unused, &network.id)
    })
}

/// Others of ours with the name of `network`.
fn twins<'a>(world: &World<'a>, network: &'a ObservedNetwork) -> impl Iterator<Item = &'a ObservedNetwork> {
    let ours = world.observed.networks.iter().filter(|other| is_ours(world, other));
    ours.filter(|other| other.name == network.name && other.id != network.id)
}

/// What else carries our label for `id`: a second one of the same name, or one of an earlier `name:`.
fn leftovers(world: &World<'_>, id: &ResourceId, spec: &NetworkSpec) -> Option<Step> {
    let keep = named(world, &spec.host_name)?;
    let extra = twins(world, keep).chain(of(world, id)).find(|network| network.id != keep.id)?;
    Some(remove(world, extra, Cause::StrayNetwork))
}

/// A network that the file no longer has: removed once no container, running or not, names it.
fn undesired(world: &World<'_>, id: &ResourceId) -> Step {
    // Another entry of the file may have taken it over, name and all.
    let wanted = |network: &&ObservedNetwork| {
        world.desired.networks.values().any(|spec| spec.host_name == network.name)
    };
    let Some(network) = of(world, id).find(|network| !wanted(network)) else { return Step::converged() };
    let conditions =
        vec![Condition::abnormal(ConditionType::Accepted, Reason::NotInFile, "it is no longer in the file")];
    match container::removal_gate(world) {
        Some(gate) => Step::blocked(world, vec![gate]),
        None => remove(world, network, Cause::NotInFile),
    }
    .with(conditions)
}

fn remove(world: &World<'_>, network: &ObservedNetwork, cause: Cause) -> Step {
    match user(world, network) {
        Some(container) => {
            let by = format!("the connection of container `{}`", container.name);
            Step::blocked(world, vec![Gate::StillUsed { by }])
        }
        None => {
            Step::act(Action::RemoveNetwork { id: network.id.clone(), name: network.name.clone() }, cause)
        }
    }
}

fn of<'a>(world: &World<'a>, id: &ResourceId) -> impl Iterator<Item = &'a ObservedNetwork> {
    world.observed.networks.iter().filter(move |network| {
        let owner = network.owner.as_ref();
        is_ours(world, network) && owner.is_some_and(|owner| owner.resource == *id)
    })
}

/// A container, running or not, that names it.
fn user<'a>(world: &World<'a>, network: &ObservedNetwork) -> Option<&'a ObservedContainer> {
    let everybody = world.observed.owned.values().flatten().chain(&world.observed.foreign);
    everybody.into_iter().find(|container| uses(world, container, network))
}

fn uses(world: &World<'_>, container: &ObservedContainer, network: &ObservedNetwork) -> bool {
    let is_only = || !world.observed.networks.iter().any(|n| n.name == network.name && n.id != network.id);
    let mut connections = container.networks.iter();
    connections.any(|(name, endpoint)| match endpoint.network_id.as_str() {
        // A container that has never run knows its networks by name only: any of that name will do.
        "" => *name == network.name && is_only(),
        id => id == network.id,
    })
}

/// A service that is left alone has a container of that name.
fn suspended<'a>(world: &World<'a>, name: &str) -> Option<&'a ResourceId> {
    let mut suspended =
        world.observed.owned.iter().filter(|(id, _)| world.ledger.suspension(id, world.now).is_some());
    suspended.find(|(_, members)| members.iter().any(|member| member.name == name)).map(|(id, _)| id)
}

/// A container on it that no plan of ours disconnects: a foreign one, one that is no longer in the file, or one whose
/// service is left alone.
fn stranger<'a>(world: &World<'a>, network: &ObservedNetwork) -> Option<&'a ObservedContainer> {
    let is_left =
        |id: &ResourceId| !world.desired.wants(id) || world.ledger.suspension(id, world.now).is_some();
    let leaving = world.observed.owned.iter().filter(|(id, _)| is_left(id));
    let strangers = world.observed.foreign.iter().chain(leaving.flat_map(|(_, members)| members));
    strangers.into_iter().find(|container| uses(world, container, network))
}

fn is_ours(world: &World<'_>, network: &ObservedNetwork) -> bool {
    network.owner.as_ref().is_some_and(|owner| owner.instance == world.desired.instance)
}

fn taken(world: &World<'_>, network: &ObservedNetwork) -> Gate {
    gate::name_taken(world, "network", &network.name, network.owner.as_ref(), network.compose.as_ref())
}

fn conditions(world: &World<'_>, id: &ResourceId, spec: &NetworkSpec) -> Vec<Condition> {
    let Readiness { status, reason, message, .. } = readiness(world, id);
    let change = named(world, &spec.host_name).and_then(|network| change(world, id, spec, network));
    let drifted = match change {
        Some(Change { message, .. }) => {
            Condition::abnormal(ConditionType::Drifted, Reason::FingerprintDiffers, message)
        }
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
    let Some(network) = named(world, &spec.host_name) else {
        return gate::missing(spec.external, "network", &spec.host_name);
    };
    if !spec.external && !is_ours(world, network) {
        let gate = taken(world, network);
        return Readiness::not_ready(gate.reason(), gate.to_string());
    }
    if !spec.external && twins(world, network).next().is_some() {
        // The engine refuses the name until there is one.
        let message = "it exists twice; the one without containers is removed";
        return Readiness::progressing(Reason::InUse, message);
    }
    match change(world, id, spec, network) {
        Some(Change { stranger: None, message, .. }) => {
            Readiness::progressing(Reason::FingerprintDiffers, message)
        }
        Some(_) | None => Readiness::ready(Reason::Present),
    }
}
