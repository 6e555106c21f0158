//! Readiness: what a gate asks of another resource.

use super::{
    Members, World, contents,
    ended::{Ended, ended},
    gate, gpu, running,
};
use crate::{
    Kind, ResourceId,
    condition::{Reason, Status},
    observed::{ContainerState, Incarnation, ObservedContainer},
    spec::{ContainerSpec, DependencyCondition},
};

/// Whether a resource is ready, and the sentence that says why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// Ready or not; `Unknown` when its source cannot be asked.
    pub status: Status,
    /// Why.
    pub reason: Reason,
    /// A sentence for a person; empty when ready.
    pub message: String,
    /// It is on its way and its time is not up.
    pub progressing: bool,
}

impl Readiness {
    pub(super) fn ready(reason: Reason) -> Self {
        Self { status: Status::True, reason, message: String::new(), progressing: false }
    }

    pub(super) fn not_ready(reason: Reason, message: impl Into<String>) -> Self {
        Self { status: Status::False, reason, message: message.into(), progressing: false }
    }

    pub(super) fn progressing(reason: Reason, message: impl Into<String>) -> Self {
        Self { status: Status::False, reason, message: message.into(), progressing: true }
    }

    pub(super) fn unknown(reason: Reason, message: impl Into<String>) -> Self {
        Self { status: Status::Unknown, reason, message: message.into(), progressing: true }
    }
}

/// Whether `id` is ready.
#[must_use]
pub fn readiness(world: &World<'_>, id: &ResourceId) -> Readiness {
    // A model is its server's: whether that can be asked is its own question.
    let of_engine = !matches!(id.kind, Kind::Unit | Kind::Host | Kind::File | Kind::Model);
    if let Some(reason) = world.observed.engine.away.as_ref().filter(|_| of_engine) {
        return Readiness::unknown(
            Reason::EngineUnreachable,
            format!("the engine does not answer: {reason}"),
        );
    }
    match id.kind {
        Kind::Network => super::network::readiness(world, id),
        Kind::Volume => super::volume::readiness(world, id),
        Kind::File => super::file::readiness(world, id),
        Kind::Image => super::image::readiness(world, id),
        Kind::Container | Kind::Unit => of_dependency(world, id, DependencyCondition::Healthy),
        Kind::Model => super::model::readiness(world, id),
        Kind::Host if *id == ResourceId::local() => super::machine::readiness(),
        Kind::Host if super::docker::is_it(id) => super::docker::readiness(world),
        Kind::Host => super::systemd::readiness(world),
    }
}

/// Whether the service `id` satisfies `condition`.
pub(super) fn of_dependency(world: &World<'_>, id: &ResourceId, condition: DependencyCondition) -> Readiness {
    if id.kind == Kind::Unit {
        return super::unit::readiness(world, id, condition);
    }
    let Some(spec) = world.desired.containers.get(id) else {
        return Readiness::not_ready(Reason::NotInFile, format!("{} is not in the file", id.key()));
    };
    let members = Members::of(world, id, spec);
    let Some(current) = members.current else {
        return Readiness::progressing(Reason::Missing, format!("{} does not exist yet", id.key()));
    };
    // While an old one serves beside its replacement it is the new one that is asked: nobody starts for what is not probed.
    match condition {
        DependencyCondition::Started => started(world, id, spec, current),
        DependencyCondition::Healthy => healthy(world, id, spec, current),
        DependencyCondition::CompletedSuccessfully => completed(id, &members, current),
    }
}

fn started(
    world: &World<'_>,
    id: &ResourceId,
    spec: &ContainerSpec,
    current: &ObservedContainer,
) -> Readiness {
    if current.state.is_alive() {
        return Readiness::ready(Reason::Running);
    }
    if let Some(order) = world.ledger.get(id).and_then(|record| record.orders.stopped.as_ref()) {
        let message = format!("{} is stopped: {}", id.key(), running::stopped_by_hand(world, id, order));
        return Readiness::not_ready(Reason::StoppedByHand, message);
    }
    match ended(world, id, spec, current) {
        Ended::Completed => Readiness::ready(Reason::Completed),
        Ended::Failed(how) => {
            Readiness::not_ready(Reason::Failed, format!("{} has failed with {how}", id.key()))
        }
        Ended::Held { how, .. } => {
            let message = format!("{} is held, it ended with {how}", id.key());
            Readiness::not_ready(Reason::Exited, message)
        }
        Ended::Start(_) | Ended::BackOff { .. } => {
            Readiness::progressing(Reason::Exited, format!("{} does not run", id.key()))
        }
    }
}

fn healthy(
    world: &World<'_>,
    id: &ResourceId,
    spec: &ContainerSpec,
    current: &ObservedContainer,
) -> Readiness {
    if current.state.is_alive() {
        running::health(world, id, spec, current)
    } else {
        started(world, id, spec, current)
    }
}

fn completed(id: &ResourceId, members: &Members<'_>, current: &ObservedContainer) -> Readiness {
    // One that was made and never started has an exit code of 0 too.
    let ended = current.state == ContainerState::Exited;
    match current.detail.as_ref().map(|detail| detail.exit_code) {
        Some(0) if ended && members.current_matches => Readiness::ready(Reason::Completed),
        Some(code) if ended && members.current_matches => {
            Readiness::not_ready(Reason::Failed, format!("{} ended with exit {code}", id.key()))
        }
        Some(_) | None => {
            Readiness::progressing(Reason::Running, format!("{} has not completed yet", id.key()))
        }
    }
}

/// Whether `id` is about to run anew: it serves, its file has changed or a person wants another run, and nothing keeps
/// that from happening.
#[must_use]
pub fn replacement_pending(world: &World<'_>, id: &ResourceId) -> bool {
    if id.kind == Kind::Unit {
        return super::unit::restart_pending(world, id);
    }
    let Some(spec) = world.desired.containers.get(id) else { return false };
    let members = Members::of(world, id, spec);
    let serves_old =
        members.current.is_some_and(|current| current.state.is_alive()) && !members.current_matches;
    let serves_old = serves_old || members.beside(spec).is_some();
    let restarts = members
        .current
        .filter(|_| members.current_matches)
        .is_some_and(|current| contents::restart_pending(world, id, spec, current));
    let serves_old = serves_old
        || restarts
        || restart_ordered(world, id, members.current)
        || gpu::lost(world, id).is_some();
    if members.taken_back.is_some() || world.ledger.suspension(id, world.now).is_some() {
        return false;
    }
    // A replacement that cannot be made (its image cannot be pulled, its start fails) must not hold up its dependants for ever.
    let failed = |id: &ResourceId| world.ledger.get(id).is_some_and(|record| record.failure.is_some());
    serves_old
        && !failed(id)
        && !failed(&ResourceId::image(&spec.runtime.image))
        // Nor one that waits for what a dependant holds: the dependant would wait for it in turn.
        && gate::ports_taken(world, id, spec).is_empty()
        && gate::volumes_in_use(world, id, spec).is_empty()
        && gpu::freeze(world, id).is_none()
        && gpu::before_start(world, id, members.candidate).is_none()
}

/// A person wants another run of `id` than the one that `current` is in.
pub(super) fn restart_ordered(
    world: &World<'_>,
    id: &ResourceId,
    current: Option<&ObservedContainer>,
) -> bool {
    let order = world.ledger.get(id).and_then(|record| record.orders.restart.as_ref());
    let run = current.filter(|current| current.state.is_alive()).and_then(ObservedContainer::incarnation);
    order.is_some() && order == run.as_ref()
}

/// The run of `id` that serves, ready or not.
#[must_use]
pub fn incarnation(world: &World<'_>, id: &ResourceId) -> Option<Incarnation> {
    if id.kind == Kind::Unit {
        return super::unit::incarnation(world, id);
    }
    if id.kind == Kind::File {
        return super::file::incarnation(world, id);
    }
    let spec = world.desired.containers.get(id)?;
    let members = Members::of(world, id, spec);
    let current = members.beside(spec).or(members.current)?;
    if current.state.is_alive() { current.incarnation() } else { None }
}

/// The run of `id` that serves, if one does and it is ready.
pub(super) fn ready_incarnation(world: &World<'_>, id: &ResourceId) -> Option<Incarnation> {
    let running = incarnation(world, id)?;
    (of_dependency(world, id, DependencyCondition::Healthy).status == Status::True).then_some(running)
}
