//! The way down, when the whole machine is shut down: which containers may be stopped now.
//!
//! No step of a plan: what is asked for has not changed, and the next boot starts everything again. The engine would stop
//! all of them at the same moment, a database together with those who write to it.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    ResourceId,
    observed::{ContainerId, Incarnation, ObservedContainer},
    plan::World,
    spec::Mode,
};

/// The grace of a container that the file no longer has.
const GRACE: Duration = Duration::from_secs(10);

/// A container that may be stopped.
#[derive(Debug, Clone, PartialEq)]
pub struct Stop {
    /// Whose.
    pub id: ResourceId,
    /// Which.
    pub container: ContainerId,
    /// What it has between the signal and the kill.
    pub grace: Duration,
    /// The run that it ends, as far as it is known: to be remembered, for it is no crash.
    pub run: Option<Incarnation>,
}

/// What runs and is needed by nothing that runs. Asked again after each stop, until nothing is left.
///
/// What a person has suspended or released is left to the engine: who stops what was released keeps the engine from
/// starting it at the next boot.
#[must_use]
pub fn stops(world: &World<'_>) -> Vec<Stop> {
    if world.desired.settings.mode == Mode::Observe || !world.observed.engine.listed {
        return Vec::new();
    }
    let running: Vec<(&ResourceId, &ObservedContainer)> = ours(world).collect();
    let is_needed = |id: &ResourceId| {
        running.iter().any(|(other, container)| *other != id && needs(world, other, container, id))
    };
    let free: Vec<_> = running.iter().filter(|(id, _)| !is_needed(id)).collect();
    // Containers of two files ago may name each other. Better in no order than by the engine, which waits for nobody.
    let next = if free.is_empty() { running.iter().collect() } else { free };
    next.into_iter().map(|(id, container)| stop(world, id, container)).collect()
}

/// What runs and is aiplatd's to stop.
fn ours<'a>(world: &'a World<'_>) -> impl Iterator<Item = (&'a ResourceId, &'a ObservedContainer)> {
    let owned = world.observed.owned.iter();
    let ours = owned.filter(|(id, _)| world.ledger.suspension(id, world.now).is_none());
    ours.flat_map(|(id, members)| members.iter().map(move |member| (id, member)))
        .filter(|(_, member)| member.state.is_alive())
}

/// By the file, and by what the container was made with; also by way of units, which systemd stops in its own time.
fn needs(world: &World<'_>, id: &ResourceId, container: &ObservedContainer, other: &ResourceId) -> bool {
    match world.desired.containers.get(id) {
        Some(spec) => {
            let mut seen = BTreeSet::new();
            let by_way_of = |on: &ResourceId| unit_needs(world, on, other, &mut seen);
            spec.needs(other) || spec.policy.dependencies.keys().any(by_way_of)
        }
        None => container.owner.as_ref().is_some_and(|owner| owner.depends_on.contains(other)),
    }
}

fn unit_needs(
    world: &World<'_>,
    unit: &ResourceId,
    other: &ResourceId,
    seen: &mut BTreeSet<ResourceId>,
) -> bool {
    let Some(spec) = world.desired.units.get(unit).filter(|_| seen.insert(unit.clone())) else {
        return false;
    };
    spec.dependencies.keys().any(|on| on == other || unit_needs(world, on, other, seen))
}

fn stop(world: &World<'_>, id: &ResourceId, container: &ObservedContainer) -> Stop {
    let grace = world.desired.containers.get(id).map_or(GRACE, |spec| spec.policy.stop_grace);
    Stop { id: id.clone(), container: container.id.clone(), grace, run: container.incarnation() }
}
