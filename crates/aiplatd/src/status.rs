//! The status document: computed from the state when somebody asks, never stored.

mod gpus;
mod host;
mod models;
mod service;
mod units;
mod volumes;
mod worst;

use aiplat_api::v1::{GateStatus, PlatformStatus, ResourceStatus, ServiceStatus, StatusCondition, StatusDoc};
use aiplat_core::{
    Kind, ResourceId,
    condition::{Condition, ConditionType, Reason, Status, Word},
    plan::{self, Members, Requeue, Step, Verdict, World},
    spec::{ContainerSpec, Mode, Platform, Removals},
    status,
};

use crate::{events::rfc3339, shared::Shared, state::State};

/// Events that a status document carries; all of them are at `/v1/events`.
const EVENTS: usize = 200;

/// Everything, now.
#[must_use]
pub fn document(shared: &Shared, version: u64) -> StatusDoc {
    let now = shared.now();
    let state = shared.lock();
    let events = state.events.newest(EVENTS);
    let time = rfc3339(shared.clock.wall_ms());
    let (services, resources, gates, host, models) = match state.world(now) {
        Some(world) => {
            let resources = resources(&state, &world);
            let host = host::host(&state, &world);
            (service::all(&state, &world), resources, gates(&world), host, models::all(&state, &world))
        }
        None => (Vec::new(), Vec::new(), Vec::new(), None, Vec::new()),
    };
    let platform = platform(shared, &state, &services, &gates);
    StatusDoc { version, time, platform, services, resources, gates, host, models, events }
}

fn platform(
    shared: &Shared,
    state: &State,
    services: &[ServiceStatus],
    gates: &[GateStatus],
) -> PlatformStatus {
    let desired = state.desired.as_deref();
    let generation = desired.map_or(0, |desired| desired.generation);
    let said = |condition| StatusCondition {
        condition,
        last_transition_time: None,
        observed_generation: generation,
    };
    let conditions = [
        Some(spec_valid(state)),
        Some(docker_reachable(state)),
        units::systemd_reachable(state),
        Some(ledger(state)),
        Some(instance_mismatch(shared, state)),
        Some(ready(state, services, gates)),
    ];
    let sentence = sentence(state, services);
    PlatformStatus {
        name: desired.map(|desired| desired.name.clone()).unwrap_or_default(),
        instance: shared.instance.to_string(),
        daemon: env!("CARGO_PKG_VERSION").to_owned(),
        config: shared.source.root().display().to_string(),
        generation,
        mode: match desired.map(|desired| desired.settings.mode) {
            Some(Mode::Observe) => "observe".to_owned(),
            Some(Mode::Auto) | None => "auto".to_owned(),
        },
        conditions: conditions.into_iter().flatten().map(said).collect(),
        spec_report: state.spec.report.clone(),
        sentence,
        engine: shared.host.version(),
    }
}

fn condition(kind: ConditionType, status: Status, reason: Reason, message: String) -> Condition {
    Condition { kind, status, reason, message }
}

fn spec_valid(state: &State) -> Condition {
    let kind = ConditionType::SpecValid;
    match (&state.spec.refused, &state.desired) {
        (Some(refusal), _) => condition(kind, Status::False, refusal.reason, refusal.message.clone()),
        (None, Some(_)) => condition(kind, Status::True, Reason::SpecAccepted, String::new()),
        (None, None) => {
            condition(kind, Status::Unknown, Reason::NotObserved, "no file has been read yet".to_owned())
        }
    }
}

fn docker_reachable(state: &State) -> Condition {
    let kind = ConditionType::DockerReachable;
    match &state.observed.engine.away {
        Some(reason) => condition(
            kind,
            Status::False,
            Reason::EngineUnreachable,
            format!("the engine does not answer: {reason}; see `systemctl status docker`"),
        ),
        None if state.observed.engine.listed => {
            condition(kind, Status::True, Reason::EngineReachable, String::new())
        }
        None => condition(
            kind,
            Status::Unknown,
            Reason::NotObserved,
            "the engine has not been listed yet".to_owned(),
        ),
    }
}

fn ledger(state: &State) -> Condition {
    let kind = ConditionType::LedgerLost;
    match (&state.ledger_lost, &state.store_failing) {
        (Some(why), _) => condition(kind, Status::True, Reason::LedgerDamaged, why.clone()),
        (None, Some(why)) => condition(
            kind,
            Status::Unknown,
            Reason::DiskFull,
            format!("the ledger cannot be written: {why}; healing goes on from memory"),
        ),
        (None, None) => condition(kind, Status::False, Reason::LedgerIntact, String::new()),
    }
}

fn instance_mismatch(shared: &Shared, state: &State) -> Condition {
    let kind = ConditionType::InstanceMismatch;
    match state.world(shared.now()).filter(|world| world.observed.engine.listed) {
        None => condition(kind, Status::Unknown, Reason::NotObserved, String::new()),
        Some(world) => match plan::instance_mismatch(&world) {
            Some(gate) => condition(kind, Status::True, gate.reason(), gate.to_string()),
            None => condition(kind, Status::False, Reason::AsDesired, String::new()),
        },
    }
}

fn ready(state: &State, services: &[ServiceStatus], gates: &[GateStatus]) -> Condition {
    let kind = ConditionType::Ready;
    if state.desired.is_none() {
        return condition(
            kind,
            Status::Unknown,
            Reason::NotObserved,
            "no good file has been read yet".to_owned(),
        );
    }
    let unwell = in_file(services).filter(|service| !is_well(service));
    let not: Vec<&str> = unwell.map(|service| service.name.as_str()).collect();
    if let Some(message) = held_removals(state) {
        return condition(kind, Status::False, Reason::ConfirmationNeeded, message);
    }
    let closed = gates.iter().filter(|gate| gate.condition.condition.status != Status::True).count();
    match not.as_slice() {
        [] if closed == 0 => condition(kind, Status::True, Reason::AllReady, String::new()),
        [] => condition(kind, Status::False, Reason::MembersNotReady, format!("{closed} gates are closed")),
        names => condition(
            kind,
            Status::False,
            Reason::MembersNotReady,
            format!("not ready: {}", names.join(", ")),
        ),
    }
}

/// What is no longer in the file, still runs, and waits for a person's word.
#[must_use]
pub fn held_removals(state: &State) -> Option<String> {
    let desired = state.desired.as_deref()?;
    let leaving: Vec<&str> =
        state.observed.owned.keys().filter(|id| !desired.wants(id)).map(ResourceId::key).collect();
    (desired.removals == Removals::AwaitConfirmation && !leaving.is_empty()).then(|| {
        format!(
            "{} no longer in the file and not removed until you confirm with `aiplatctl apply --confirm`",
            match leaving.as_slice() {
                [one] => format!("{one} is"),
                many => format!("{} are", many.join(", ")),
            }
        )
    })
}

fn in_file(services: &[ServiceStatus]) -> impl Iterator<Item = &ServiceStatus> {
    services.iter().filter(|service| service.desired)
}

/// Whether a service does what the file says. One that is suspended may, or may not; one that serves as of an earlier file, or
/// whose edit was taken back, does not.
#[must_use]
pub fn is_well(service: &ServiceStatus) -> bool {
    let is_ready = |it: &StatusCondition| {
        it.condition.kind == ConditionType::Ready && it.condition.status == Status::True
    };
    let serves = matches!(service.status, Word::Suspended | Word::Degraded);
    (serves && service.conditions.iter().any(is_ready))
        || matches!(service.status, Word::Ready | Word::Completed)
}

/// One sentence for `systemctl status` and the head of `aiplatctl status`.
fn sentence(state: &State, services: &[ServiceStatus]) -> String {
    let Some(desired) = state.desired.as_deref() else {
        return match &state.spec.refused {
            Some(refusal) => format!("no good file yet: {}", refusal.message),
            None => "starting".to_owned(),
        };
    };
    let well = in_file(services).filter(|service| is_well(service)).count();
    let mut text = format!("{}: {well} of {} services ready", desired.name, in_file(services).count());
    let unwell: Vec<&ServiceStatus> = in_file(services).filter(|service| !is_well(service)).collect();
    let first =
        worst::worst(&unwell).or_else(|| in_file(services).find(|service| service.status == Word::Degraded));
    if let Some(reason) = &state.observed.engine.away {
        text.push_str(&format!("; the engine does not answer ({reason})"));
    } else if let Some(service) = first {
        text.push_str(&format!(", {} {}", service.name, service.status));
        if !service.message.is_empty() {
            text.push_str(&format!(": {}", service.message));
        }
    }
    if let Some(held) = held_removals(state) {
        text.push_str(&format!("; {held}"));
    }
    if let Some(refusal) = &state.spec.refused {
        text.push_str(&format!("; the file on disk is not in force ({})", refusal.reason));
    }
    text
}

fn resources(state: &State, world: &World<'_>) -> Vec<ResourceStatus> {
    let ids = state.ids();
    // Volumes outlive their entry, and an entry may have had several.
    let is_listed = |id: &&ResourceId| id.kind != Kind::Volume || world.desired.wants(id);
    let mut all: Vec<ResourceStatus> =
        ids.iter().filter(is_listed).map(|id| resource(state, world, id)).collect();
    all.extend(left_volumes(world));
    all
}

/// Volumes of ours that no entry of the file names any more: their data stays until a person removes it.
fn left_volumes(world: &World<'_>) -> Vec<ResourceStatus> {
    let left = plan::left_volumes(world).map(|(volume, owner)| ResourceStatus {
        id: owner.resource.clone(),
        host_name: volume.name.clone(),
        desired: false,
        status: Word::Ready,
        message: match plan::mounted_by(world, &volume.name) {
            Some(user) => format!("its data stays; it is mounted in {user}"),
            None => "its data stays".to_owned(),
        },
        conditions: Vec::new(),
        used_by: Vec::new(),
        pull: None,
        usage: Some(volumes::usage(world, &volume.name)),
        moving: false,
    });
    left.collect()
}

fn resource(state: &State, world: &World<'_>, id: &ResourceId) -> ResourceStatus {
    let step = plan::plan(world, id);
    let (word, message) = match id.kind {
        Kind::Container | Kind::Unit => {
            let summary = status::summary(world, id, &step);
            (summary.word, summary.message)
        }
        Kind::Image => {
            let (word, message) = passive(id, &step);
            if message.is_empty() { (word, moved(world, id)) } else { (word, message) }
        }
        Kind::Model => {
            let summary = status::model_summary(world, id, &step);
            (summary.word, summary.message)
        }
        Kind::Network | Kind::Volume | Kind::File | Kind::Host => passive(id, &step),
    };
    let runner = world.desired.models.get(id).map(|spec| spec.runner.key().to_owned());
    let users = world.desired.services().filter(|(_, spec)| spec.needs(id));
    ResourceStatus {
        id: id.clone(),
        host_name: state.host_name(id),
        desired: world.desired.wants(id),
        status: word,
        message,
        conditions: with_times(state, world.desired, id, &step),
        used_by: users.map(|(_, spec)| spec.name().to_owned()).chain(runner).collect(),
        pull: state.observed.pulls.get(id).copied(),
        usage: (id.kind == Kind::Volume).then(|| volumes::usage(world, &state.host_name(id))),
        moving: status::is_moving(world, id) || is_on_trial(&step),
    }
}

/// It does what the file says, and only time can tell whether it goes on doing so.
fn is_on_trial(step: &Step) -> bool {
    step.verdict == Verdict::Converged && matches!(step.requeue, Requeue::After(_))
}

fn with_times(state: &State, desired: &Platform, id: &ResourceId, step: &Step) -> Vec<StatusCondition> {
    let transitions = state.ledger.get(id).map(|record| &record.transitions);
    let since = |condition: &Condition| {
        let transition = transitions?.get(&condition.kind)?;
        (transition.status == condition.status).then(|| rfc3339(transition.wall_ms))
    };
    let conditions = step.conditions.iter().map(|condition| StatusCondition {
        condition: condition.clone(),
        last_transition_time: since(condition),
        observed_generation: desired.generation,
    });
    conditions.collect()
}

/// Who is of an earlier image than the tag `image` means now; empty when nobody is.
fn moved(world: &World<'_>, image: &ResourceId) -> String {
    let users = world.desired.containers.iter().filter(|(_, spec)| spec.runtime.image == image.key());
    let is_tried = |id: &ResourceId, spec: &ContainerSpec| {
        let taken_back = Members::of(world, id, spec).taken_back.and_then(|it| it.image.as_deref());
        taken_back.is_some() && taken_back == plan::image_now(world, id)
    };
    let (mut tried, mut behind) = (Vec::new(), Vec::new());
    for (id, spec) in users.filter(|(id, _)| plan::moved(world, id).is_some()) {
        let of = if is_tried(id, spec) { &mut tried } else { &mut behind };
        of.push(spec.service.as_str());
    }
    match behind.as_slice() {
        [] if !tried.is_empty() => {
            format!("the update to what it means now was taken back: {}", tried.join(", "))
        }
        [] => String::new(),
        [one] => format!("it means another image now than {one} runs; `aiplatctl update {one}` moves to it"),
        many => format!(
            "it means another image now than {} run; `aiplatctl update {}` moves to it",
            many.join(", "),
            many.join(" ")
        ),
    }
}

/// The word of something that does not run.
fn passive(id: &ResourceId, step: &Step) -> (Word, String) {
    let Some(condition) = status::first_abnormal(step) else { return (Word::Ready, String::new()) };
    let word = match (condition.status, condition.reason) {
        (Status::Unknown, _) => Word::Unknown,
        (_, Reason::Pulling) => Word::Pulling,
        // A volume that the file no longer has keeps its data and is well.
        (_, Reason::NotInFile) if id.kind == Kind::Volume => Word::Ready,
        // It is there, and something is wrong with it.
        (_, _) if [ResourceId::local(), ResourceId::docker()].contains(id) => Word::Degraded,
        (_, _) => Word::Pending,
    };
    (word, condition.message.clone())
}

fn gates(world: &World<'_>) -> Vec<GateStatus> {
    world.desired.gates.iter().map(|(name, members)| gate(world, name, members)).collect()
}

/// When the last of its members became ready; of one that is closed, when the first of those that are not ready ceased
/// to be. `None` while one of them has not been seen yet.
fn gate_since(world: &World<'_>, closed: &[&ResourceId], members: &[ResourceId]) -> Option<String> {
    let ready_since = |id: &ResourceId, status: Status| {
        let transition = world.ledger.get(id)?.transitions.get(&ConditionType::Ready)?;
        (transition.status == status).then_some(transition.wall_ms)
    };
    let since = if closed.is_empty() {
        let times = members.iter().map(|id| ready_since(id, Status::True));
        times.collect::<Option<Vec<_>>>()?.into_iter().max()
    } else {
        closed.iter().filter_map(|id| ready_since(id, Status::False)).min()
    };
    since.map(rfc3339)
}

fn gate(world: &World<'_>, name: &str, members: &[ResourceId]) -> GateStatus {
    let not_ready = |id: &&ResourceId| plan::readiness(world, id).status != Status::True;
    let closed: Vec<&ResourceId> = members.iter().filter(not_ready).collect();
    let last_transition_time = gate_since(world, &closed, members);
    let closed: Vec<&str> = closed.into_iter().map(ResourceId::key).collect();
    let condition = if closed.is_empty() {
        condition(ConditionType::Ready, Status::True, Reason::AllReady, String::new())
    } else {
        condition(
            ConditionType::Ready,
            Status::False,
            Reason::MembersNotReady,
            format!("not ready: {}", closed.join(", ")),
        )
    };
    GateStatus {
        name: name.to_owned(),
        condition: StatusCondition {
            condition,
            last_transition_time,
            observed_generation: world.desired.generation,
        },
        members: members.to_vec(),
    }
}
