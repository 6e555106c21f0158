//! What to probe and when: decided here, beside `plan`; the host only executes.

use std::{net::IpAddr, time::Duration};

use crate::{
    ResourceId,
    observed::{ASKED_AT, ContainerId, ContainerState, Incarnation, ObservedContainer, ProbeFacts},
    plan::{self, Members, World},
    spec::{ProbeKind, ProbeSpec, Role, UnitSpec, Via},
};

/// The next probe of one service.
#[derive(Debug, Clone, PartialEq)]
pub struct ProbeSchedule {
    /// Which container; `None`: a unit, which is asked from the host.
    pub container: Option<ContainerId>,
    /// What it is for.
    pub role: Role,
    /// Which run of it: facts of another run are void.
    pub incarnation: Incarnation,
    /// Where it listens; `None`: it is asked inside its network namespace.
    pub address: Option<IpAddr>,
    /// What to ask.
    pub probe: ProbeSpec,
    /// How long from now.
    pub after: Duration,
}

/// The first probe comes this soon after the start.
const FIRST: Duration = Duration::from_millis(5);
/// An exec costs about 50 ms of CPU: it is asked less eagerly.
const FIRST_EXEC: Duration = Duration::from_millis(250);
/// While a service starts, the next probe comes after this fraction of the time it has taken so far: a service
/// is found ready at most an eighth of its boot time late, at a logarithmic number of probes.
const EAGERNESS: u32 = 8;

/// The next probe of `id` for `role`, or `None` when there is nothing to probe: no such probe in the file, nothing runs,
/// `startup` has passed or holds the others back, or, for liveness, a dependency is down.
#[must_use]
pub fn watch(world: &World<'_>, id: &ResourceId, role: Role) -> Option<ProbeSchedule> {
    if let Some(spec) = world.desired.units.get(id) {
        return watch_unit(world, id, spec, role);
    }
    let spec = world.desired.containers.get(id)?;
    let current = Members::of(world, id, spec).current.filter(|c| c.state == ContainerState::Running)?;
    let probe = plan::probe(world, id, spec, current, role)?;
    let incarnation = current.incarnation()?;
    let facts =
        world.observed.probes.get(&(id.clone(), role)).filter(|facts| facts.incarnation == incarnation);
    let is_due = match role {
        Role::Startup => facts.is_none_or(|facts| !facts.has_passed),
        Role::Readiness => !plan::is_starting(world, id, spec, current),
        Role::Liveness => {
            !plan::is_starting(world, id, spec, current) && plan::waits_for(world, id).is_empty()
        }
    };
    if !is_due {
        return None;
    }
    let networks = spec.live.networks.values().map(|network| network.host_name.as_str());
    let address = match probe.via {
        Via::Address => address(current, networks),
        Via::Namespace => None,
    };
    Some(ProbeSchedule {
        container: Some(current.id.clone()),
        role,
        after: due_in(world, id, probe, facts),
        incarnation,
        address,
        probe: probe.clone(),
    })
}

/// A unit is asked where it most often listens: on the loopback address of the host.
fn watch_unit(world: &World<'_>, id: &ResourceId, spec: &UnitSpec, role: Role) -> Option<ProbeSchedule> {
    let probe = spec.probe_for(role)?;
    let incarnation = plan::incarnation(world, id)?;
    let facts = |role| {
        world.observed.probes.get(&(id.clone(), role)).filter(|facts| facts.incarnation == incarnation)
    };
    let is_starting =
        spec.startup.is_some() && facts(Role::Startup).is_none_or(|facts| facts.healthy.is_none());
    let is_due = match role {
        Role::Startup => facts(role).is_none_or(|facts| !facts.has_passed),
        Role::Readiness => !is_starting,
        Role::Liveness => !is_starting && plan::waits_for(world, id).is_empty(),
    };
    is_due.then(|| ProbeSchedule {
        container: None,
        role,
        after: due_in(world, id, probe, facts(role)),
        incarnation: incarnation.clone(),
        address: Some(ASKED_AT),
        probe: probe.clone(),
    })
}

/// How long from now the next probe is due.
fn due_in(world: &World<'_>, id: &ResourceId, probe: &ProbeSpec, facts: Option<&ProbeFacts>) -> Duration {
    let last = facts.and_then(|facts| Some((facts, facts.last.as_ref()?)));
    let first = match probe.kind {
        ProbeKind::Exec { .. } => FIRST_EXEC,
        ProbeKind::Http(_) | ProbeKind::Tcp { .. } | ProbeKind::Redis(_) | ProbeKind::Postgres(_) => FIRST,
    };
    match last {
        None => first.min(probe.interval),
        // What it waited for is ready: no reason to wait any longer.
        Some((facts, _)) if !facts.waits_for.is_empty() && plan::waits_for(world, id).is_empty() => {
            Duration::ZERO
        }
        Some((facts, last)) => {
            let gap = if facts.has_passed {
                probe.interval
            } else {
                (world.now.since(facts.since) / EAGERNESS).max(first).min(probe.interval)
            };
            gap.saturating_sub(world.now.since(last.at))
        }
    }
}

/// The container's address on the first of its networks that has one.
pub(crate) fn address<'a>(
    container: &ObservedContainer,
    mut networks: impl Iterator<Item = &'a str>,
) -> Option<IpAddr> {
    networks.find_map(|name| container.networks.get(name)?.ip)
}
