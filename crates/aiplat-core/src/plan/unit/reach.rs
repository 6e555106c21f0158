//! From which containers a unit is to be reached, and when that is tried.

use std::time::Duration;

use crate::{
    Kind, ResourceId,
    condition::Status,
    observed::{ContainerId, ContainerState, Incarnation, Reach, Reached},
    plan::{Members, World},
    spec::{ContainerSpec, DependencyCondition},
};

/// What a connection that was taken is worth: a firewall may change under it.
const AGAIN: Duration = Duration::from_secs(300);
/// Somebody may be mending it.
const AGAIN_SOON: Duration = Duration::from_secs(10);

/// A container that depends on a unit and has a network of its own, from where it reaches the host.
pub(super) struct Consumer<'a> {
    pub(super) id: &'a ResourceId,
    spec: &'a ContainerSpec,
}

/// One connection to be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReachCheck {
    /// To which unit.
    pub unit: ResourceId,
    /// Its run.
    pub run: Incarnation,
    /// From inside which service's container.
    pub consumer: ResourceId,
    /// The container.
    pub container: ContainerId,
    /// Its run.
    pub consumer_run: Incarnation,
    /// To which port, at the address that the name below has inside.
    pub port: u16,
}

/// The name under which a container has the host's address.
pub const HOST_NAME: &str = "host.docker.internal";

/// The containers from which `unit` is to be reached.
pub(super) fn consumers<'a>(world: &World<'a>, unit: &ResourceId) -> Vec<Consumer<'a>> {
    let all = world.desired.containers.iter().map(|(id, spec)| Consumer { id, spec });
    all.filter(|consumer| {
        let hosts = &consumer.spec.runtime.options.identity.extra_hosts;
        consumer.spec.policy.dependencies.contains_key(unit)
            && hosts.iter().any(|(name, _)| name == HOST_NAME)
    })
    .collect()
}

impl Consumer<'_> {
    fn runs_as(&self, world: &World<'_>) -> Option<(ContainerId, Incarnation)> {
        let current = Members::of(world, self.id, self.spec).current?;
        let runs = current.state == ContainerState::Running;
        Some((current.id.clone(), current.incarnation().filter(|_| runs)?))
    }

    /// What came of the last connection of its present run to the present run of `unit`.
    pub(super) fn reached<'a>(&self, world: &World<'a>, unit: &ResourceId) -> Option<&'a Reached> {
        let known = world.observed.reached.get(&(unit.clone(), self.id.clone()))?;
        let (_, run) = self.runs_as(world)?;
        let is_present =
            known.consumer == run && super::incarnation(world, unit).as_ref() == Some(&known.unit);
        is_present.then_some(known)
    }

    fn check(&self, world: &World<'_>, unit: &ResourceId) -> Option<ReachCheck> {
        let spec = world.desired.units.get(unit)?;
        let (container, consumer_run) = self.runs_as(world)?;
        let is_due = self.reached(world, unit).is_none_or(|known| {
            let again = match known.reach {
                Reach::Connected(_) | Reach::Untried(_) => AGAIN,
                Reach::Refused(_) | Reach::NoAnswer(_) | Reach::NoRoute(_) => AGAIN_SOON,
            };
            world.now.since(known.at) >= again
        });
        let (run, port) = (super::incarnation(world, unit)?, spec.port()?);
        let consumer = self.id.clone();
        is_due.then(|| ReachCheck { unit: unit.clone(), run, consumer, container, consumer_run, port })
    }
}

/// The connections that are due for `id`: from inside its container, or to its unit. None to a unit that does not answer on
/// the host itself: that comes first.
#[must_use]
pub fn reaches(world: &World<'_>, id: &ResourceId) -> Vec<ReachCheck> {
    let units: Vec<&ResourceId> = match world.desired.containers.get(id) {
        Some(spec) => spec.policy.dependencies.keys().filter(|on| on.kind == Kind::Unit).collect(),
        None => vec![id],
    };
    let answers = |unit: &&ResourceId| {
        super::readiness(world, unit, DependencyCondition::Healthy).status == Status::True
    };
    let due = units.into_iter().filter(answers).flat_map(|unit| {
        let consumers = consumers(world, unit).into_iter();
        let asked = consumers.filter(|consumer| id.kind == Kind::Unit || consumer.id == id);
        asked.filter_map(|consumer| consumer.check(world, unit)).collect::<Vec<_>>()
    });
    due.collect()
}
