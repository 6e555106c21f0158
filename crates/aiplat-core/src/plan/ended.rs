//! A container whose process has ended: why, and what follows.

use std::time::Duration;

use super::{Cause, Members, World, readiness::ready_incarnation};
use crate::{
    ResourceId, Timestamp,
    classify::{Diagnosis, End, FailureClass, classify},
    condition::{Condition, ConditionType, Reason},
    fingerprint::{self, Fingerprint},
    ledger::{Basis, ENGINE_STOP_WINDOW, Record, Restart},
    observed::{ContainerDetail, ContainerState, Incarnation, ObservedContainer, Sighting},
    secret,
    spec::{
        ContainerSpec, Dependency, DependencyCondition, MountSource, OnExhausted, ProbeSpec, RestartMode,
        Role,
    },
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
    /// No further attempt: another one would end the same way, or `on_exhausted` is `hold`.
    Held {
        /// How it ended.
        how: String,
        /// Restarts in a row.
        attempt: u32,
        /// It looped, and the file says to stop then.
        exhausted: bool,
    },
}

/// A process is at its start for as long as it may take to become ready, and for a minute at least.
const START: Duration = Duration::from_secs(60);

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
    if record.is_some_and(|record| {
        record.orders.restart.is_some() && record.orders.restart == current.incarnation()
    }) {
        return Ended::Start(Cause::RestartOrdered);
    }
    let sighting = world.observed.sightings.get(&current.id).cloned().unwrap_or_default();
    let settings = &world.desired.settings.restart;
    let Count { attempt, counted } = count(world, id, spec, current);
    match spec.policy.restart {
        RestartMode::No if detail.exit_code == 0 => return Ended::Completed,
        RestartMode::No => return Ended::Failed(how),
        // Whatever its exit code: it was told to stop, and did. A job that has done its work has done it.
        RestartMode::Default | RestartMode::Always | RestartMode::OnFailure(_)
            if by_the_machine(world, id, &sighting) && !(detail.exit_code == 0 && is_job(world, id)) =>
        {
            return Ended::Start(Cause::EngineStopped);
        }
        RestartMode::Default | RestartMode::OnFailure(_) if detail.exit_code == 0 => return Ended::Completed,
        RestartMode::OnFailure(Some(most)) if attempt >= most => return Ended::Failed(how),
        RestartMode::Default | RestartMode::Always | RestartMode::OnFailure(_) => {}
    }
    if is_excused(world, id, spec, current) {
        return Ended::Start(Cause::DependencyDown);
    }
    // What was counted for this very end has been decided already: its start is under way, or has failed.
    let exhausted = settings.on_exhausted == OnExhausted::Hold && attempt >= settings.crash_loop;
    if !counted && (exhausted || is_hopeless(world, id, spec, current)) {
        return match released(world, id, spec) {
            Some(what) => Ended::Start(Cause::Released { how, what }),
            None => Ended::Held { how, attempt, exhausted },
        };
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

/// Restarts in a row before the end of `current`.
pub(super) struct Count {
    pub(super) attempt: u32,
    /// The restart that answers this very end is counted, and not in `attempt`.
    pub(super) counted: bool,
}

pub(super) fn count(
    world: &World<'_>,
    id: &ResourceId,
    spec: &ContainerSpec,
    current: &ObservedContainer,
) -> Count {
    let record = world.ledger.get(id);
    let run = current.incarnation();
    let counted = record.zip(run).is_some_and(|(record, run)| record.restarts.has_counted(&run));
    let sighting = world.observed.sightings.get(&current.id).cloned().unwrap_or_default();
    let print = print_of(spec, current);
    let settings = &world.desired.settings.restart;
    let in_a_row =
        record.map_or(0, |record| record.restarts.in_a_row(settings, &print, run_length(&sighting)));
    Count { attempt: in_a_row.saturating_sub(u32::from(counted)), counted }
}

/// What restarts of `current` are counted under. What serves again after an edit was taken back does not pay for that.
pub(super) fn print_of(spec: &ContainerSpec, current: &ObservedContainer) -> Fingerprint {
    let own = current.fingerprint().filter(|own| !own.matches(&spec.runtime));
    own.cloned().unwrap_or_else(|| fingerprint::of(&spec.runtime))
}

/// What is thought to have ended `current`.
pub(super) fn diagnose(
    world: &World<'_>,
    id: &ResourceId,
    spec: &ContainerSpec,
    current: &ObservedContainer,
) -> Diagnosis {
    let sighting = world.observed.sightings.get(&current.id).cloned().unwrap_or_default();
    let probes = [&spec.policy.startup, &spec.policy.probe].into_iter().flatten();
    let budget = probes.map(ProbeSpec::budget).fold(Duration::ZERO, Duration::saturating_add);
    let detail = current.detail.as_ref();
    classify(&End {
        exit_code: detail.map_or(0, |detail| detail.exit_code),
        oom_killed: detail.is_some_and(|detail| detail.oom_killed),
        with_engine: by_the_machine(world, id, &sighting),
        dependency_down: is_excused(world, id, spec, current),
        at_start: run_length(&sighting) <= budget.max(START),
        tail: detail.map(|detail| detail.tail.as_slice()).unwrap_or_default(),
    })
}

/// It ended twice in a row for a reason that another try does not change.
fn is_hopeless(
    world: &World<'_>,
    id: &ResourceId,
    spec: &ContainerSpec,
    current: &ObservedContainer,
) -> bool {
    let Count { attempt, .. } = count(world, id, spec, current);
    let before = world.ledger.get(id).and_then(|record| record.restarts.recent.last());
    // The log is read through only where its answer counts: this is asked in every pass.
    let is_same = |before: &Restart| {
        before.class.is_permanent() && diagnose(world, id, spec, current).class == before.class
    };
    attempt > 0 && before.is_some_and(is_same)
}

/// What has changed of what the last restart was made on: worth another try.
fn released(world: &World<'_>, id: &ResourceId, spec: &ContainerSpec) -> Option<String> {
    world.ledger.get(id)?.restarts.basis.change(&basis(world, id, spec))
}

/// What a start now would be made on, besides the spec; as far as it is known.
pub(super) fn basis(world: &World<'_>, id: &ResourceId, spec: &ContainerSpec) -> Basis {
    let stamp = |path: String| Some((path.clone(), world.observed.files.get(&path)?.clone()));
    let dependencies = spec.policy.dependencies.keys();
    Basis {
        files: paths_in_doubt(world, id).into_iter().filter_map(stamp).collect(),
        dependencies: dependencies
            .filter_map(|on| Some((on.clone(), ready_incarnation(world, on)?)))
            .collect(),
    }
}

/// The paths of the host that `id` mounts, while it is in trouble: their change may be its cure.
#[must_use]
pub fn paths_in_doubt(world: &World<'_>, id: &ResourceId) -> Vec<String> {
    let Some(spec) = world.desired.containers.get(id) else { return Vec::new() };
    let current = Members::of(world, id, spec).current;
    let ended_badly =
        current.and_then(|current| current.detail.as_ref().filter(|_| !current.state.is_alive()));
    if ended_badly.is_none_or(|detail| detail.exit_code == 0) {
        return Vec::new();
    }
    let mounts = spec.runtime.mounts.iter();
    let paths = mounts.filter_map(|mount| match &mount.source {
        MountSource::Bind { path, .. } | MountSource::File { path, .. } => Some(path.clone()),
        MountSource::Volume { .. } | MountSource::Anonymous | MountSource::Tmpfs { .. } => None,
    });
    paths.collect()
}

/// The run of `current` ended while something that it needs was down, and this is not known yet.
pub(super) fn newly_excused(
    world: &World<'_>,
    id: &ResourceId,
    spec: &ContainerSpec,
    current: &ObservedContainer,
) -> Option<Incarnation> {
    let run = current.incarnation()?;
    let ended_badly =
        current.state == ContainerState::Exited && !is_known_excused(world.ledger.get(id), &run);
    (ended_badly && ended(world, id, spec, current) == Ended::Start(Cause::DependencyDown)).then_some(run)
}

fn is_known_excused(record: Option<&Record>, run: &Incarnation) -> bool {
    record.is_some_and(|record| record.excused.as_ref() == Some(run))
}

fn is_excused(world: &World<'_>, id: &ResourceId, spec: &ContainerSpec, current: &ObservedContainer) -> bool {
    let Some(run) = current.incarnation() else { return false };
    let record = world.ledger.get(id);
    let counted = record.is_some_and(|record| record.restarts.has_counted(&run));
    let mut edges = spec.policy.dependencies.iter().filter(|(_, edge)| edge.required);
    is_known_excused(record, &run) || (!counted && edges.any(|(on, edge)| is_down(world, on, edge)))
}

/// Whether the dependency `on` is seen not to serve. Not whether its gate is closed: that asks what follows its own end,
/// and so on down the chain.
fn is_down(world: &World<'_>, on: &ResourceId, edge: &Dependency) -> bool {
    let Some(spec) = world.desired.containers.get(on) else { return false };
    if edge.condition == DependencyCondition::CompletedSuccessfully {
        return false;
    }
    let Some(current) = Members::of(world, on, spec).current else { return true };
    let facts = world.observed.probes.get(&(on.clone(), Role::Readiness));
    let facts = facts.filter(|facts| Some(&facts.incarnation) == current.incarnation().as_ref());
    let fails = edge.condition == DependencyCondition::Healthy
        && facts.is_some_and(|facts| facts.healthy == Some(false) || !facts.waits_for.is_empty());
    let completed = current.detail.as_ref().is_some_and(|detail| detail.exit_code == 0);
    fails || (!current.state.is_alive() && !completed)
}

/// Whether others wait for `id` to complete.
pub(super) fn is_job(world: &World<'_>, id: &ResourceId) -> bool {
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

/// It ended with the engine, or with the machine.
fn by_the_machine(world: &World<'_>, id: &ResourceId, sighting: &Sighting) -> bool {
    ended_with_engine(world, sighting) || (sighting.began().is_none() && world.ledger.ran_before_reboot(id))
}

/// A death within ten seconds before the engine was lost, or found after it came back, is the engine's doing.
fn ended_with_engine(world: &World<'_>, sighting: &Sighting) -> bool {
    let (Some(lost), Some(ended)) = (world.observed.engine.lost_at, sighting.ended_at) else { return false };
    let shortly_before = ended <= lost && lost.since(ended) <= ENGINE_STOP_WINDOW;
    let found_after = ended >= lost && sighting.last_running.is_some_and(|seen| seen <= lost);
    shortly_before || found_after
}

/// The line of its log that tells why a process ended badly, as an appendix to a sentence.
pub(super) fn evidence(
    world: &World<'_>,
    id: &ResourceId,
    spec: &ContainerSpec,
    current: &ObservedContainer,
) -> String {
    let last_line = current.detail.as_ref().and_then(|detail| detail.tail.last());
    // What a program writes of its own secrets is not repeated.
    secret::redacted_for(&quoted(&diagnose(world, id, spec, current), last_line), &spec.runtime.environment)
}

/// Whether `id`, made from `print`, is started again and again. `ran` is how long its present or last run lasted.
pub(super) fn crash_loop(
    world: &World<'_>,
    id: &ResourceId,
    print: &Fingerprint,
    ran: Duration,
) -> Condition {
    let kind = ConditionType::CrashLoop;
    let settings = &world.desired.settings.restart;
    let Some(record) = world.ledger.get(id) else { return Condition::normal(kind, Reason::AsDesired) };
    let restarts = &record.restarts;
    let in_a_row = restarts.in_a_row(settings, print, ran);
    let within = restarts.within_window(settings, print, world.now);
    if in_a_row.max(within) < settings.crash_loop || ran >= settings.reset_after {
        return Condition::normal(kind, Reason::AsDesired);
    }
    let last = restarts.recent.last().map(|restart| restart.ending.as_str()).unwrap_or_default();
    // The longer it waits between them, the fewer fall into the window: what counts is that none has lasted.
    let count = if in_a_row > within {
        format!("{in_a_row} times in a row")
    } else {
        format!("{within} times within {}", human(settings.window))
    };
    let message = format!("restarted {count} (last end: {last})");
    Condition::abnormal(kind, Reason::CrashLoop, message)
}

/// The same of a diagnosis; where that has no line to quote, the last one.
pub(super) fn quoted(diagnosis: &Diagnosis, last_line: Option<&String>) -> String {
    let Diagnosis { class, quote, advice: _ } = diagnosis;
    match (quote, last_line) {
        (Some(quote), _) => format!(" ({}: `{}`)", class.sentence(), short(quote)),
        (None, Some(line)) => format!(" (its last line: `{}`)", short(line)),
        (None, None) => String::new(),
    }
}

/// A line that fits into a sentence.
fn short(line: &str) -> String {
    let mut chars = line.chars();
    let cut: String = chars.by_ref().take(200).collect();
    if chars.next().is_some() { format!("{cut}…") } else { cut }
}

/// The sentence of a service that is not tried again by itself; whether another image would have it `renewed`.
pub(super) fn held(
    world: &World<'_>,
    id: &ResourceId,
    spec: &ContainerSpec,
    current: &ObservedContainer,
    renewed: bool,
) -> String {
    let Ended::Held { how, attempt, exhausted } = ended(world, id, spec, current) else {
        return String::new();
    };
    let evidence = evidence(world, id, spec, current);
    let Diagnosis { class, advice, quote: _ } = diagnose(world, id, spec, current);
    let advice = if advice.is_empty() { String::new() } else { format!("; {advice}") };
    let why = if exhausted { "; on_exhausted is `hold`" } else { "" };
    let paths = paths_in_doubt(world, id);
    let is_of_image = renewed && class == FailureClass::ImageDefect;
    let image =
        if is_of_image { format!(" or {} is another image", spec.runtime.image) } else { String::new() };
    let mounted =
        if paths.is_empty() { String::new() } else { format!(" or {} changes", paths.join(" or ")) };
    format!(
        "it ended {} times in a row, last with {how}{evidence}{advice}{why}; it is tried again when its entry in the \
         file is edited{image}{mounted}, or with `aiplatctl reset-failed {}`",
        attempt + 1,
        id.key()
    )
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
