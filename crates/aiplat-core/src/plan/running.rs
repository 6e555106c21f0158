//! A container whose process runs: health.

use std::time::Duration;

use super::{
    Gate, Readiness, Step, Verdict, World,
    ended::{count, is_job},
    readiness::of_dependency,
};
use crate::{
    ResourceId,
    condition::{Condition, ConditionType, Reason, Status},
    ledger::Order,
    observed::{ContainerState, EngineHealth, Incarnation, ObservedContainer, ProbeFacts, Sighting},
    spec::{ContainerSpec, Dependency, DependencyCondition, ProbeSpec, Role, ServiceSpec},
    time::human,
};

/// Whether a running container is healthy.
pub(super) fn health(
    world: &World<'_>,
    id: &ResourceId,
    spec: &ContainerSpec,
    current: &ObservedContainer,
) -> Readiness {
    match &current.state {
        ContainerState::Running => {}
        ContainerState::Paused => {
            return Readiness::not_ready(Reason::Running, format!("{} is paused", id.key()));
        }
        ContainerState::Restarting => {
            return Readiness::not_ready(
                Reason::Starting,
                format!("{} is being restarted by the engine", id.key()),
            );
        }
        ContainerState::Other(word) => {
            return Readiness::unknown(
                Reason::NotObserved,
                format!("{} is in the engine's state `{word}`", id.key()),
            );
        }
        ContainerState::Created
        | ContainerState::Exited
        | ContainerState::Dead
        | ContainerState::Removing => {
            return Readiness::not_ready(Reason::Exited, format!("{} does not run", id.key()));
        }
    }
    if let Some(why) = failed_liveness(world, id, spec, current) {
        return Readiness::not_ready(Reason::Unresponsive, format!("{} does not answer: {why}", id.key()));
    }
    let asked = |role| probe(world, id, spec, current, role).map(|probe| (role, probe));
    let first = asked(Role::Startup).filter(|_| is_starting(world, id, spec, current));
    match first.or_else(|| asked(Role::Readiness)).or_else(|| asked(Role::Startup)) {
        Some((role, probe)) => probed(world, id, role, probe, current.incarnation().as_ref()),
        None => match still_proving(world, id, spec, current) {
            Some(unproven) => unproven,
            None => engine_health(id, current),
        },
    }
}

/// Nothing is asked of it, and its last runs have ended by themselves: that it runs says little until it has done so for a
/// moment. The first restart gets the benefit of the doubt.
fn still_proving(
    world: &World<'_>,
    id: &ResourceId,
    spec: &ContainerSpec,
    current: &ObservedContainer,
) -> Option<Readiness> {
    let ended_before = count(world, id, spec, current).attempt;
    // Of a job it is its end that counts.
    if ended_before < 2 || is_job(world, id) {
        return None;
    }
    left_to_prove(world, spec, current)?;
    let monitor = human(spec.policy.update.monitor);
    let message = format!(
        "{} runs, and has ended {ended_before} times in a row before: it is ready when it has run for {monitor}",
        id.key()
    );
    Some(Readiness::progressing(Reason::Starting, message))
}

/// Whether anybody asks it for its health, or running is all there is to know.
fn is_asked(spec: &ContainerSpec, current: &ObservedContainer) -> bool {
    spec.policy.startup.is_some()
        || spec.policy.probe.is_some()
        || current.detail.as_ref().is_some_and(|detail| detail.health.is_some())
}

/// What the probe for `role` has found out of `run`.
pub(super) fn facts<'a>(
    world: &World<'a>,
    id: &ResourceId,
    run: Option<&Incarnation>,
    role: Role,
) -> Option<&'a ProbeFacts> {
    let facts = world.observed.probes.get(&(id.clone(), role))?;
    (Some(&facts.incarnation) == run).then_some(facts)
}

/// Whether the startup probe still holds the others back: it has neither passed nor used up its time.
pub(crate) fn is_starting(
    world: &World<'_>,
    id: &ResourceId,
    spec: &ContainerSpec,
    current: &ObservedContainer,
) -> bool {
    probe(world, id, spec, current, Role::Startup).is_some()
        && facts(world, id, current.incarnation().as_ref(), Role::Startup)
            .is_none_or(|facts| facts.healthy.is_none())
}

/// The required dependencies of `id` that are not ready: what its probes fail for meanwhile is not its own fault.
#[must_use]
pub fn waits_for(world: &World<'_>, id: &ResourceId) -> Vec<ResourceId> {
    let Some(spec) = world.desired.service(id) else { return Vec::new() };
    let is_down = |(on, edge): &(&ResourceId, &Dependency)| {
        let condition = match edge.condition {
            // To run is enough for a start; it is not enough to blame the dependant.
            DependencyCondition::Started | DependencyCondition::Healthy => DependencyCondition::Healthy,
            DependencyCondition::CompletedSuccessfully => DependencyCondition::CompletedSuccessfully,
        };
        edge.required && of_dependency(world, on, condition).status != Status::True
    };
    spec.dependencies().iter().filter(is_down).map(|(on, _)| on.clone()).collect()
}

/// What keeps its probe from passing, as the gates of a step.
pub(super) fn excuse(world: &World<'_>, id: &ResourceId, run: Option<&Incarnation>) -> Vec<Gate> {
    let facts = [Role::Startup, Role::Readiness].map(|role| facts(world, id, run, role));
    let mut waits: Vec<&ResourceId> =
        facts.into_iter().flatten().flat_map(|facts| &facts.waits_for).collect();
    waits.dedup();
    let gate = |on: &ResourceId| {
        let message = of_dependency(world, on, DependencyCondition::Healthy).message;
        Gate::Dependency { on: on.clone(), message, unknown: false }
    };
    waits.into_iter().map(gate).collect()
}

/// The transcript of a liveness probe that has failed often enough.
fn failed_liveness(
    world: &World<'_>,
    id: &ResourceId,
    spec: &ContainerSpec,
    current: &ObservedContainer,
) -> Option<String> {
    probe(world, id, spec, current, Role::Liveness)?;
    let facts = facts(world, id, current.incarnation().as_ref(), Role::Liveness)
        .filter(|facts| facts.healthy == Some(false) && current.state == ContainerState::Running)?;
    facts.last.as_ref().map(|last| last.transcript.clone())
}

/// The same, unless a dependency is to blame. Not for `health`: that of a dependency would ask for its dependencies'.
pub(super) fn unresponsive(
    world: &World<'_>,
    id: &ResourceId,
    spec: &ContainerSpec,
    current: &ObservedContainer,
) -> Option<String> {
    failed_liveness(world, id, spec, current).filter(|_| waits_for(world, id).is_empty())
}

/// Whether an attempt of ours would come by itself.
pub(super) fn held(step: &Step) -> Condition {
    match &step.verdict {
        Verdict::Held { reason, message } => {
            Condition::abnormal(ConditionType::Held, *reason, message.clone())
        }
        Verdict::Converged | Verdict::Progressing | Verdict::Blocked { .. } | Verdict::Unsatisfied { .. } => {
            Condition::normal(ConditionType::Held, Reason::AsDesired)
        }
    }
}

/// The sentence of a service that a person keeps stopped.
pub(super) fn stopped_by_hand(world: &World<'_>, id: &ResourceId, order: &Order) -> String {
    format!("{} stopped it with `aiplatctl stop {}`; {}", order.by, id.key(), starts_it(world, id))
}

/// What a person does to have it started. Of one that is suspended an order to start it is refused.
pub(super) fn starts_it(world: &World<'_>, id: &ResourceId) -> String {
    let name = id.key();
    match world.ledger.suspension(id, world.now) {
        Some(_) => format!("`aiplatctl resume {name}`, and then `aiplatctl start {name}`, starts it"),
        None => format!("`aiplatctl start {name}` starts it"),
    }
}

/// How `current` is asked whether it is ready. One of an earlier file is asked as that file said.
pub(crate) fn probe<'a>(
    world: &World<'a>,
    id: &ResourceId,
    spec: &'a ContainerSpec,
    current: &ObservedContainer,
    role: Role,
) -> Option<&'a ProbeSpec> {
    let proven = world.ledger.get(id).and_then(|record| record.proven.as_ref());
    let earlier = proven.filter(|proven| {
        current.fingerprint() == Some(&proven.fingerprint) && !proven.fingerprint.matches(&spec.runtime)
    });
    earlier.map_or(spec.policy.probe_for(role), |proven| proven.probe_for(role))
}

/// How long a run is still watched before it counts as proven: many a program answers its first probe and dies.
pub(super) fn left_to_watch(
    world: &World<'_>,
    spec: &ContainerSpec,
    current: &ObservedContainer,
) -> Option<Duration> {
    let began = world.observed.sightings.get(&current.id).and_then(Sighting::began)?;
    let left = spec.policy.update.monitor.saturating_sub(world.now.since(began));
    (current.state.is_alive() && !left.is_zero()).then_some(left)
}

/// The same of one that nobody asks for its health.
pub(super) fn left_to_prove(
    world: &World<'_>,
    spec: &ContainerSpec,
    current: &ObservedContainer,
) -> Option<Duration> {
    left_to_watch(world, spec, current).filter(|_| !is_asked(spec, current))
}

/// What a run has to say for itself whose time to become ready is up.
pub(super) fn overdue(
    world: &World<'_>,
    id: &ResourceId,
    spec: &ContainerSpec,
    current: &ObservedContainer,
) -> Option<String> {
    [Role::Startup, Role::Readiness].into_iter().find_map(|role| {
        let budget = human(probe(world, id, spec, current, role)?.budget());
        let facts = facts(world, id, current.incarnation().as_ref(), role)?;
        let transcript = facts.last.as_ref().map(|last| last.transcript.as_str()).unwrap_or_default();
        (facts.healthy == Some(false) && !facts.has_passed)
            .then(|| format!("it was not ready within {budget}: {transcript}"))
    })
}

/// The sentence of a start, with what it is followed by before it is ready.
pub(super) fn starting(spec: ServiceSpec<'_>) -> String {
    match spec.probe_for(Role::Startup).or(spec.probe_for(Role::Readiness)) {
        Some(probe) => {
            format!("it is being started; it has {} to answer {}", human(probe.budget()), probe.kind)
        }
        None => "it is being started".to_owned(),
    }
}

/// What the probe for `role` says of `run`.
pub(super) fn probed(
    world: &World<'_>,
    id: &ResourceId,
    role: Role,
    probe: &ProbeSpec,
    run: Option<&Incarnation>,
) -> Readiness {
    let Some(facts) = facts(world, id, run, role).filter(|facts| facts.last.is_some()) else {
        let (name, budget) = (id.key(), human(probe.budget()));
        let message = format!("{name} has not been probed yet: it has {budget} to answer {}", probe.kind);
        return Readiness::unknown(Reason::ProbePending, message);
    };
    let transcript = facts.last.as_ref().map(|last| last.transcript.as_str()).unwrap_or_default();
    match facts.healthy {
        Some(true) => Readiness::ready(Reason::ProbePassed),
        Some(false) => Readiness::not_ready(
            Reason::ProbeFailed,
            format!("{}'s probe fails (attempt {}): {transcript}", id.key(), facts.attempts),
        ),
        None if !facts.waits_for.is_empty() => {
            let waits: Vec<&str> = facts.waits_for.iter().map(ResourceId::key).collect();
            Readiness::not_ready(
                Reason::WaitingForDependencies,
                format!("{} waits for {}: {transcript}", id.key(), waits.join(", ")),
            )
        }
        // Ready as last remembered, and asked by an aiplatd that has just begun: one failure says nothing yet.
        None if !facts.has_passed && was_ready(world, id) => Readiness::unknown(
            Reason::ProbePending,
            format!(
                "{} has not passed since aiplatd began to ask (attempt {}): {transcript}",
                id.key(),
                facts.attempts
            ),
        ),
        None if facts.has_passed => Readiness::progressing(
            Reason::ProbePending,
            format!(
                "{} has not passed since it waited for a dependency (failure {} of {}): {transcript}",
                id.key(),
                facts.failures,
                probe.retries
            ),
        ),
        None => Readiness::progressing(
            Reason::ProbePending,
            format!(
                "{} is starting (attempt {}, {} of {}): {transcript}",
                id.key(),
                facts.attempts,
                human(world.now.since(facts.budget_from)),
                human(probe.budget()),
            ),
        ),
    }
}

fn was_ready(world: &World<'_>, id: &ResourceId) -> bool {
    let ready = world.ledger.get(id).and_then(|record| record.transitions.get(&ConditionType::Ready));
    ready.is_some_and(|ready| ready.status == Status::True)
}

fn engine_health(id: &ResourceId, current: &ObservedContainer) -> Readiness {
    match current.detail.as_ref().and_then(|detail| detail.health) {
        None => Readiness::ready(Reason::NoProbe),
        Some(EngineHealth::Healthy) => Readiness::ready(Reason::ProbePassed),
        Some(EngineHealth::Starting) => Readiness::progressing(
            Reason::ProbePending,
            format!("{}'s image has a health check that has not passed yet", id.key()),
        ),
        Some(EngineHealth::Unhealthy) => Readiness::not_ready(
            Reason::ProbeFailed,
            format!("the health check of {}'s image fails", id.key()),
        ),
    }
}
