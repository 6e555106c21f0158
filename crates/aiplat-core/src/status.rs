//! Status as people read it: one word, one sentence, one chain from the symptom to the cause. Computed, never stored.

use std::collections::BTreeSet;

use crate::{
    Kind, ResourceId,
    condition::{Condition, ConditionType, Reason, Status, Word},
    observed::ObservedContainer,
    plan::{Gate, Members, Step, Verdict, World, closed_dependencies, model_word, plan},
};

/// The word and the sentence of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The printed word.
    pub word: Word,
    /// What is wrong and what to do; empty when all is well.
    pub message: String,
}

/// One link of a cause chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Of which resource.
    pub resource: ResourceId,
    /// `litellm waits for postgres`, or the cause itself.
    pub sentence: String,
}

/// What a table prints of the service `id`, whose step is `step`.
#[must_use]
pub fn summary(world: &World<'_>, id: &ResourceId, step: &Step) -> Summary {
    let word = word(world, id, step);
    let message = match word {
        // It is no fault of the service, and a person should know.
        Word::Ready => {
            let second = message_of(step, ConditionType::SecondInstance);
            if second.is_empty() { message_of(step, ConditionType::ModelsPresent) } else { second }
        }
        Word::Completed => String::new(),
        Word::CrashLoop => {
            let looping = message_of(step, ConditionType::CrashLoop);
            let next = message_of(step, ConditionType::Started);
            let next = if next.is_empty() { message_of(step, ConditionType::Active) } else { next };
            if next.is_empty() { looping } else { format!("{looping}; {next}") }
        }
        Word::Suspended => suspended(step),
        Word::Held
        | Word::Unknown
        | Word::BackOff
        | Word::Pulling
        | Word::Pending
        | Word::Starting
        | Word::NotReady
        | Word::Degraded
        | Word::Stopped
        | Word::Failed => sentence(step),
    };
    Summary { word, message: with_edit(step, message) }
}

/// Who keeps our hands off it, and what is wrong with it besides.
fn suspended(step: &Step) -> String {
    let said = message_of(step, ConditionType::Suspended);
    let kinds = [ConditionType::Started, ConditionType::Active, ConditionType::Ready];
    let wrong = step.conditions.iter().find(|it| kinds.contains(&it.kind) && !it.message.is_empty());
    match wrong {
        Some(Condition { kind: ConditionType::Ready, message, .. }) => format!("{said}; {message}"),
        Some(down) => format!("{said}; it does not run: {}", down.message),
        None => said,
    }
}

/// `message`, and the edit that was taken back where something else is wrong by now.
fn with_edit(step: &Step, message: String) -> String {
    let mut edits = step.conditions.iter().filter(|it| it.reason == Reason::TakenBack);
    match edits.find(|it| it.kind == ConditionType::Drifted) {
        Some(edit) if message.is_empty() => edit.message.clone(),
        Some(edit) if !message.contains("taken back") => format!("{message}; {}", edit.message),
        Some(_) | None => message,
    }
}

/// What a table prints of the model `id`, whose step is `step`.
#[must_use]
pub fn model_summary(world: &World<'_>, id: &ResourceId, step: &Step) -> Summary {
    let word = model_word(world, id, step);
    let message = match word {
        Word::Pulling => message_of(step, ConditionType::Pulling),
        Word::Ready => String::new(),
        Word::Suspended
        | Word::Held
        | Word::Unknown
        | Word::CrashLoop
        | Word::BackOff
        | Word::Pending
        | Word::Starting
        | Word::NotReady
        | Word::Degraded
        | Word::Stopped
        | Word::Completed
        | Word::Failed => sentence(step),
    };
    Summary { word, message }
}

fn word(world: &World<'_>, id: &ResourceId, step: &Step) -> Word {
    if status_of(step, ConditionType::Suspended) == Some(Status::True) {
        return Word::Suspended;
    }
    let ready = status_of(step, ConditionType::Ready);
    let alive = is_alive(world, id);
    match &step.verdict {
        // What was brought back serves, and so does what somebody meddles with.
        Verdict::Held { reason: Reason::TakenBack | Reason::FoughtOver | Reason::DataLeftBehind, .. }
            if alive => {}
        Verdict::Held { .. } => return Word::Held,
        Verdict::Unsatisfied { reason: Reason::StoppedByHand | Reason::StoppedByAdministrator, .. } => {
            return Word::Stopped;
        }
        Verdict::Blocked { on }
            if on.iter().any(|gate| matches!(gate, Gate::EngineAway { .. } | Gate::SystemdAway { .. })) =>
        {
            return Word::Unknown;
        }
        Verdict::Blocked { .. } | Verdict::Converged | Verdict::Progressing | Verdict::Unsatisfied { .. } => {
        }
    }
    if status_of(step, ConditionType::CrashLoop) == Some(Status::True) && ready != Some(Status::True) {
        return Word::CrashLoop;
    }
    if alive { running_word(step, ready) } else { stopped_word(step) }
}

fn running_word(step: &Step, ready: Option<Status>) -> Word {
    match ready {
        Some(Status::True) => {
            let settled = [
                ConditionType::CrashLoop,
                ConditionType::PortsFree,
                ConditionType::SecondInstance,
                ConditionType::ModelsPresent,
            ];
            // Whether containers reach it may never be known, as where none of them runs.
            let unknown = |c: &Condition| c.kind == ConditionType::Reachable && c.status == Status::Unknown;
            let mut conditions = step.conditions.iter().filter(|c| !settled.contains(&c.kind) && !unknown(c));
            let wrong = conditions.any(|c| !c.is_normal());
            if wrong { Word::Degraded } else { Word::Ready }
        }
        // It serves, as of an earlier file.
        Some(Status::False)
            if matches!(
                reason_of(step, ConditionType::Ready),
                Some(Reason::FingerprintDiffers | Reason::TakenBack)
            ) =>
        {
            Word::Degraded
        }
        // Asked for the first time within milliseconds.
        Some(Status::Unknown) if reason_of(step, ConditionType::Ready) == Some(Reason::ProbePending) => {
            Word::Starting
        }
        Some(Status::Unknown) => Word::Unknown,
        Some(Status::False) | None => match step.verdict {
            Verdict::Progressing => Word::Starting,
            Verdict::Converged
            | Verdict::Blocked { .. }
            | Verdict::Unsatisfied { .. }
            | Verdict::Held { .. } => Word::NotReady,
        },
    }
}

fn stopped_word(step: &Step) -> Word {
    let reason = |kind| reason_of(step, kind);
    match (&step.verdict, reason(ConditionType::Started).or_else(|| reason(ConditionType::Active))) {
        (_, Some(Reason::Completed)) => Word::Completed,
        (_, Some(Reason::Failed)) => Word::Failed,
        (Verdict::Blocked { on }, _)
            if on.iter().any(|g| matches!(g, Gate::BackOff { .. } | Gate::Failed { .. })) =>
        {
            Word::BackOff
        }
        (_, _) if reason(ConditionType::ImageAvailable) == Some(Reason::Pulling) => Word::Pulling,
        (Verdict::Blocked { .. } | Verdict::Unsatisfied { .. }, _) => Word::Pending,
        // There is nothing yet that could be starting.
        (_, Some(Reason::Missing)) => Word::Pending,
        (Verdict::Converged | Verdict::Progressing | Verdict::Held { .. }, _) => Word::Starting,
    }
}

fn is_alive(world: &World<'_>, id: &ResourceId) -> bool {
    match world.desired.units.get(id) {
        Some(spec) => world.observed.units.get(spec.main()).is_some_and(|unit| unit.active.is_alive()),
        None => current(world, id).is_some_and(|current| current.state.is_alive()),
    }
}

fn current<'a>(world: &World<'a>, id: &ResourceId) -> Option<&'a ObservedContainer> {
    match world.desired.containers.get(id) {
        Some(spec) => Members::of(world, id, spec).current,
        None => world.observed.owned.get(id)?.first(),
    }
}

fn status_of(step: &Step, kind: ConditionType) -> Option<Status> {
    step.conditions.iter().find(|condition| condition.kind == kind).map(|condition| condition.status)
}

fn reason_of(step: &Step, kind: ConditionType) -> Option<Reason> {
    step.conditions.iter().find(|condition| condition.kind == kind).map(|condition| condition.reason)
}

fn message_of(step: &Step, kind: ConditionType) -> String {
    let found = step.conditions.iter().find(|condition| condition.kind == kind);
    found.map(|condition| condition.message.clone()).unwrap_or_default()
}

/// The one sentence of a step that is not as desired.
#[must_use]
pub fn sentence(step: &Step) -> String {
    match &step.verdict {
        Verdict::Blocked { on } if !on.is_empty() => {
            let gates: Vec<String> = on.iter().map(ToString::to_string).collect();
            gates.join("; ")
        }
        Verdict::Unsatisfied { message, .. } | Verdict::Held { message, .. } => message.clone(),
        Verdict::Blocked { .. } | Verdict::Converged | Verdict::Progressing => {
            first_abnormal(step).map(|condition| condition.message.clone()).unwrap_or_default()
        }
    }
}

/// The first condition that is not as one wants it, in the order of cure.
#[must_use]
pub fn first_abnormal(step: &Step) -> Option<&Condition> {
    step.conditions.iter().find(|condition| !condition.is_normal())
}

/// Whether `id` is on its way somewhere by itself: worth waiting for. A service that loops, or whose action has failed
/// three times, goes on trying, but nobody should wait for it.
#[must_use]
pub fn is_moving(world: &World<'_>, id: &ResourceId) -> bool {
    is_moving_beyond(world, id, &mut BTreeSet::new())
}

fn is_moving_beyond(world: &World<'_>, id: &ResourceId, seen: &mut BTreeSet<ResourceId>) -> bool {
    if !seen.insert(id.clone()) {
        return false;
    }
    let step = plan(world, id);
    let failures = world.ledger.get(id).and_then(|record| record.failure.as_ref()).map_or(0, |f| f.attempts);
    match &step.verdict {
        Verdict::Progressing => failures < 3,
        Verdict::Converged | Verdict::Unsatisfied { .. } | Verdict::Held { .. } => false,
        Verdict::Blocked { on } => on.iter().any(|gate| match gate {
            Gate::BackOff { .. } => status_of(&step, ConditionType::CrashLoop) != Some(Status::True),
            Gate::Failed { .. } => failures < 3,
            Gate::RemovalGrace { .. }
            | Gate::StillUsed { .. }
            | Gate::EngineAway { .. }
            | Gate::SystemdAway { .. } => true,
            Gate::Image { image: on, .. }
            | Gate::Resource { id: on, .. }
            | Gate::Dependency { on, .. }
            | Gate::ReplacementPending { on } => is_moving_beyond(world, on, seen),
            // The first look is under way.
            Gate::Gpu { reason: Reason::NotObserved, .. } => true,
            Gate::Gpu { .. }
            | Gate::NameTaken { .. }
            | Gate::VolumeInUse { .. }
            | Gate::DiskPressure { .. }
            | Gate::PortTaken { .. }
            | Gate::FileRefused
            | Gate::ConfirmationNeeded => false,
        }),
    }
}

/// The chain from the symptom at `id` to its cause. Empty when `id` is as desired.
#[must_use]
pub fn why(world: &World<'_>, id: &ResourceId) -> Vec<Link> {
    let mut chain = Vec::new();
    let mut seen = BTreeSet::new();
    let mut next = Some(id.clone());
    while let Some(id) = next.take() {
        if !seen.insert(id.clone()) {
            break;
        }
        let step = plan(world, &id);
        let waits = waited_for(world, &id, &step);
        let link = match (&waits, &step.verdict) {
            (Some(on), _) => format!("{} waits for {}", id.key(), on.key()),
            (None, verdict) => match cause(&id, &step, verdict) {
                Some(sentence) => sentence,
                None => break,
            },
        };
        chain.push(Link { resource: id, sentence: link });
        next = waits;
    }
    let beyond = chain.last().and_then(|last| out_of_reach(world, &last.resource));
    chain.extend(beyond);
    chain
}

/// What `id` depends on and is known not to reach: it waits for nobody then, and fails by itself.
fn out_of_reach(world: &World<'_>, id: &ResourceId) -> Option<Link> {
    let spec = world.desired.containers.get(id)?;
    spec.policy.dependencies.keys().filter(|on| on.kind == Kind::Unit).find_map(|on| {
        let step = plan(world, on);
        let reachable = step.conditions.iter().find(|it| it.kind == ConditionType::Reachable)?;
        let Condition { kind, status, message, .. } = reachable;
        let sentence = format!("{} {kind}={status}: {message}", on.key());
        (*status == Status::False).then(|| Link { resource: on.clone(), sentence })
    })
}

fn waited_for(world: &World<'_>, id: &ResourceId, step: &Step) -> Option<ResourceId> {
    let closed = match &step.verdict {
        Verdict::Blocked { on } => on.clone(),
        // Whoever is waited for, a person's word keeps it down.
        Verdict::Unsatisfied { reason: Reason::StoppedByHand | Reason::StoppedByAdministrator, .. } => {
            Vec::new()
        }
        // It runs on while a dependency is down: the chain goes on there all the same.
        Verdict::Converged | Verdict::Progressing | Verdict::Unsatisfied { .. } | Verdict::Held { .. } => {
            closed_dependencies(world, id)
        }
    };
    closed.iter().find_map(Gate::waits_for).cloned()
}

fn cause(id: &ResourceId, step: &Step, verdict: &Verdict) -> Option<String> {
    let name = id.key();
    let blocked_by_failure = match verdict {
        Verdict::Blocked { on } => on.iter().any(|gate| matches!(gate, Gate::Failed { .. })),
        Verdict::Held { .. } => true,
        Verdict::Converged | Verdict::Progressing | Verdict::Unsatisfied { .. } => false,
    };
    if blocked_by_failure {
        return Some(format!("{name}: {}", sentence(step)));
    }
    if let Some(condition) = first_abnormal(step) {
        let Condition { kind, status, message, reason } = condition;
        let looping = message_of(step, ConditionType::CrashLoop);
        let said = if *kind == ConditionType::Suspended {
            suspended(step)
        } else if !looping.is_empty() && *kind != ConditionType::CrashLoop {
            return Some(format!(
                "{name} CrashLoop=True: {}",
                with_edit(step, format!("{looping}; {message}"))
            ));
        } else if message.is_empty() {
            reason.to_string()
        } else {
            message.clone()
        };
        return Some(format!("{name} {kind}={status}: {}", with_edit(step, said)));
    }
    match verdict {
        Verdict::Converged => None,
        Verdict::Progressing => step
            .action
            .as_ref()
            .map(|planned| format!("{name}: {} because {}", planned.action, planned.cause)),
        Verdict::Blocked { .. } | Verdict::Unsatisfied { .. } | Verdict::Held { .. } => {
            Some(format!("{name}: {}", sentence(step)))
        }
    }
}
