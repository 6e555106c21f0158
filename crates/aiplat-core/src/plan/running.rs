//! A container whose process runs, or has ended: health, and what follows an end.

use std::time::Duration;

use super::{Cause, Readiness, World};
use crate::{
    ResourceId, Timestamp,
    condition::Reason,
    fingerprint,
    ledger::{ENGINE_STOP_WINDOW, Order},
    observed::{ContainerDetail, ContainerState, EngineHealth, Incarnation, ObservedContainer, Sighting},
    spec::{ContainerSpec, DependencyCondition, OnExhausted, ProbeSpec, RestartMode},
    time::human,
};

/// What follows the end of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// Start it, for this cause.
    Start(Cause),
    /// Start it, but not before `until`.
    BackOff {
        /// The next attempt.
        until: Timestamp,
        /// How it ended.
        how: String,
        /// Restarts in a row so far.
        attempt: u32,
    },
    /// It has done its work.
    Completed,
    /// It ended badly and its policy leaves it so.
    Failed(String),
    /// It looped, and `on_exhausted` is `hold`.
    Exhausted {
        /// How it ended.
        how: String,
        /// Restarts in a row.
        attempt: u32,
    },
}

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
    match probe(world, id, spec, current) {
        Some(probe) => probed(world, id, probe, current),
        None => engine_health(id, current),
    }
}

/// The sentence of a service that a person keeps stopped.
pub(super) fn stopped_by_hand(id: &ResourceId, order: &Order) -> String {
    format!("{} stopped it with `aiplatctl stop`; `aiplatctl start {}` starts it", order.by, id.key())
}

/// How `current` is asked whether it is ready. One of an earlier file is asked as that file said.
pub(crate) fn probe<'a>(
    world: &World<'a>,
    id: &ResourceId,
    spec: &'a ContainerSpec,
    current: &ObservedContainer,
) -> Option<&'a ProbeSpec> {
    let proven = world.ledger.get(id).and_then(|record| record.proven.as_ref());
    let earlier = proven.filter(|proven| {
        current.fingerprint() == Some(&proven.fingerprint) && !proven.fingerprint.matches(&spec.runtime)
    });
    earlier.map_or(spec.policy.probe.as_ref(), |proven| proven.probe.as_ref())
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

/// What a run has to say for itself whose time to become ready is up.
pub(super) fn overdue(
    world: &World<'_>,
    id: &ResourceId,
    spec: &ContainerSpec,
    current: &ObservedContainer,
) -> Option<String> {
    let budget = human(probe(world, id, spec, current)?.budget());
    let run = current.incarnation();
    let facts = world.observed.probes.get(id).filter(|facts| Some(&facts.incarnation) == run.as_ref())?;
    let transcript = facts.last.as_ref().map(|last| last.transcript.as_str()).unwrap_or_default();
    (facts.healthy == Some(false) && !facts.has_passed)
        .then(|| format!("it was not ready within {budget}: {transcript}"))
}

fn probed(world: &World<'_>, id: &ResourceId, probe: &ProbeSpec, current: &ObservedContainer) -> Readiness {
    let facts = world
        .observed
        .probes
        .get(id)
        .filter(|facts| Some(&facts.incarnation) == current.incarnation().as_ref());
    let Some(facts) = facts.filter(|facts| facts.last.is_some()) else {
        return Readiness::unknown(Reason::ProbePending, format!("{} has not been probed yet", id.key()));
    };
    let transcript = facts.last.as_ref().map(|last| last.transcript.as_str()).unwrap_or_default();
    match facts.healthy {
        Some(true) => Readiness::ready(Reason::ProbePassed),
        Some(false) => Readiness::not_ready(
            Reason::ProbeFailed,
            format!("{}'s probe fails (attempt {}): {transcript}", id.key(), facts.attempts),
        ),
        None => Readiness::progressing(
            Reason::ProbePending,
            format!(
                "{} is starting (attempt {}, {} of {}): {transcript}",
                id.key(),
                facts.attempts,
                human(world.now.since(facts.since)),
                human(probe.budget()),
            ),
        ),
    }
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

/// What follows the end of `current`, which does not run.
pub(super) fn ended(
    world: &World<'_>,
    id: &ResourceId,
    spec: &ContainerSpec,
    current: &ObservedContainer,
) -> Ended {
    let Some(detail) = current.detail.as_ref().filter(|_| current.state != ContainerState::Created) else {
        return Ended::Start(Cause::NotStarted);
    };
    let record = world.ledger.get(id);
    let stopped = |run: &Incarnation| record.is_some_and(|record| record.stopped.contains(run));
    let ours = current.incarnation().as_ref().is_some_and(stopped);
    let how = ending(detail);
    if ours {
        // We ended it to start it again, or to try another one first: neither is a crash.
        return Ended::Start(Cause::StoppedByUs);
    }
    let sighting = world.observed.sightings.get(&current.id).cloned().unwrap_or_default();
    let ran = run_length(&sighting);
    let settings = &world.desired.settings.restart;
    let print = fingerprint::of(&spec.runtime);
    let counted =
        record.zip(current.incarnation()).is_some_and(|(record, run)| record.restarts.has_counted(&run));
    // What was counted for this very end is not before it: its start is under way, or has failed.
    let in_a_row = record.map_or(0, |record| record.restarts.in_a_row(settings, &print, ran));
    let attempt = in_a_row.saturating_sub(u32::from(counted));
    let by_the_machine = ended_with_engine(world, &sighting)
        || (sighting.began().is_none() && world.ledger.ran_before_reboot(id));
    match spec.policy.restart {
        RestartMode::No if detail.exit_code == 0 => return Ended::Completed,
        RestartMode::No => return Ended::Failed(how),
        // Whatever its exit code: it was told to stop, and did. A job that has done its work has done it.
        RestartMode::Default | RestartMode::Always | RestartMode::OnFailure(_)
            if by_the_machine && !(detail.exit_code == 0 && is_job(world, id)) =>
        {
            return Ended::Start(Cause::EngineStopped);
        }
        RestartMode::Default | RestartMode::OnFailure(_) if detail.exit_code == 0 => return Ended::Completed,
        RestartMode::OnFailure(Some(most)) if attempt >= most => return Ended::Failed(how),
        RestartMode::Default | RestartMode::Always | RestartMode::OnFailure(_) => {}
    }
    if settings.on_exhausted == OnExhausted::Hold && attempt >= settings.crash_loop {
        return Ended::Exhausted { how, attempt };
    }
    let delay = record.map_or(Duration::ZERO, |record| record.restarts.delay(settings, attempt));
    let until = sighting.ended_at.unwrap_or(world.now) + delay;
    if until > world.now {
        return Ended::BackOff { until, how, attempt };
    }
    Ended::Start(match sighting.began() {
        Some(_) => Cause::Ended { how, attempt },
        None => Cause::EndedUnseen { how },
    })
}

/// Whether others wait for `id` to complete.
fn is_job(world: &World<'_>, id: &ResourceId) -> bool {
    let mut edges = world.desired.containers.values().filter_map(|spec| spec.policy.dependencies.get(id));
    edges.any(|edge| edge.condition == DependencyCondition::CompletedSuccessfully)
}

/// How long the present or last run lasted, as far as we saw it.
pub(super) fn run_length(sighting: &Sighting) -> Duration {
    match (sighting.began(), sighting.ended_at.or(sighting.last_running)) {
        (Some(from), Some(to)) => to.since(from),
        (None, _) | (_, None) => Duration::ZERO,
    }
}

/// A death within ten seconds before the engine was lost, or found after it came back, is the engine's doing.
fn ended_with_engine(world: &World<'_>, sighting: &Sighting) -> bool {
    let (Some(lost), Some(ended)) = (world.observed.engine.lost_at, sighting.ended_at) else { return false };
    let shortly_before = ended <= lost && lost.since(ended) <= ENGINE_STOP_WINDOW;
    let found_after = ended >= lost && sighting.last_running.is_some_and(|seen| seen <= lost);
    shortly_before || found_after
}

/// The last words of a process that ended badly, as an appendix to a sentence.
pub(super) fn evidence(current: &ObservedContainer) -> String {
    let last_line = current.detail.as_ref().and_then(|detail| detail.last_line.as_deref());
    last_line.map(|line| format!(" (its last line: `{line}`)")).unwrap_or_default()
}

/// How a process ended, in a few words.
pub(super) fn ending(detail: &ContainerDetail) -> String {
    let because = match detail.exit_code {
        _ if detail.oom_killed => " (out of memory)",
        134 => " (SIGABRT)",
        137 => " (SIGKILL)",
        139 => " (SIGSEGV)",
        143 => " (SIGTERM)",
        _ => "",
    };
    format!("exit {}{because}", detail.exit_code)
}
