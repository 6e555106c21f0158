//! What a person orders by a verb: `start`, `stop`, `restart`, `reset-failed`. An order is remembered, never carried out
//! on the spot: the next pass sees it in the ledger like everything else, and so does the pass after a crash.

use serde::{Deserialize, Serialize};

use super::{
    Entry, Members, World,
    ended::{Ended, ended},
    gpu, moved, unit,
};
use crate::{
    Kind, ResourceId,
    condition::Reason,
    ledger::{AssignedGpus, Order, Orders, Suspension, Until},
    observed::{Incarnation, ObservedContainer},
};

/// An order for one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// Take `Stop` back.
    Start,
    /// Keep it stopped until `Start` or `Restart`.
    Stop,
    /// End its present run; another follows. One that is stopped is started.
    Restart,
    /// Forget its failures, restarts and taken-back edits, and try at once.
    ResetFailed,
    /// Make it anew from what the tag of its image means now.
    Update,
    /// Leave it alone, for a while or until `Resume`. One that is released is left alone already, and stays released.
    Suspend,
    /// Take `Suspend` and `Release` back.
    Resume,
    /// Let the engine restart it, and leave it alone until `Resume`.
    Release,
}

impl Command {
    /// Every command.
    pub const ALL: [Self; 8] = [
        Self::Start,
        Self::Stop,
        Self::Restart,
        Self::ResetFailed,
        Self::Update,
        Self::Suspend,
        Self::Resume,
        Self::Release,
    ];

    /// Whether it asks aiplatd to act on the service, which it does not while that is suspended.
    #[must_use]
    pub fn acts(self) -> bool {
        match self {
            Self::Start | Self::Stop | Self::Restart | Self::Update => true,
            Self::ResetFailed | Self::Suspend | Self::Resume | Self::Release => false,
        }
    }
}

fn is_released(orders: &Orders) -> bool {
    orders.suspended.as_ref().is_some_and(|suspension| suspension.released)
}

/// Whether `id` runs, and its present or last run.
fn present_run(world: &World<'_>, id: &ResourceId) -> (bool, Option<Incarnation>) {
    if let Some(spec) = world.desired.units.get(id) {
        let unit = world.observed.units.get(spec.main());
        let is_alive = unit.is_some_and(|unit| unit.active.is_alive());
        let last = || world.ledger.get(id)?.unit.active.clone();
        return (is_alive, unit.and_then(|unit| unit.invocation.clone()).or_else(last));
    }
    let spec = world.desired.containers.get(id);
    let current = spec.and_then(|spec| Members::of(world, id, spec).current);
    let is_alive = current.is_some_and(|current| current.state.is_alive());
    (is_alive, current.and_then(ObservedContainer::incarnation))
}

/// Whether `id` has ended badly, and its policy leaves it so.
fn is_failed(world: &World<'_>, id: &ResourceId) -> bool {
    let Some(spec) = world.desired.containers.get(id) else { return false };
    let current = Members::of(world, id, spec).current.filter(|current| !current.state.is_alive());
    current.is_some_and(|current| matches!(ended(world, id, spec, current), Ended::Failed(_)))
}

/// Why `command` on the service `id` cannot be carried out whoever waits for it, with the cure: somebody else has its place, or
/// keeps a unit that runs from being started again. What does not run yet and lacks something is started once that is there.
#[must_use]
pub fn refused(world: &World<'_>, id: &ResourceId, command: Command) -> Option<String> {
    if !command.acts() {
        return None;
    }
    let is_up = present_run(world, id).0;
    let name = id.key();
    if let Some(gate) = gpu::freeze(world, id).filter(|_| is_up && command != Command::Stop) {
        return Some(format!("nothing is done to {name} before this is mended: {gate}"));
    }
    let (reason, message) = unit::in_the_way(world, id)?;
    (reason == Reason::NameTaken || is_up)
        .then(|| format!("nothing is done to {name} before this is mended: {message}"))
}

/// What `command` on the service `id` changes in its record; a suspension ends by itself at `until`.
#[must_use]
pub fn order(
    world: &World<'_>,
    id: &ResourceId,
    command: Command,
    order: Order,
    until: Option<Until>,
) -> Vec<Entry> {
    let present = world.ledger.get(id).map(|record| record.orders.clone()).unwrap_or_default();
    match command {
        Command::Start => {
            let (alive, run) = present_run(world, id);
            // A job that has failed for good is tried once more, and so is a unit that somebody else has stopped.
            let is_over = is_failed(world, id) || (id.kind == Kind::Unit && !alive);
            let restart = if is_over { run } else { present.restart.clone() };
            vec![Entry::Orders(Orders { stopped: None, restart, ..present }), Entry::Forget]
        }
        Command::Stop => vec![Entry::Orders(Orders { stopped: Some(order), restart: None, ..present })],
        Command::Update => match moved::image_now(world, id) {
            // An image that was tried and taken back is asked for once more by a person who means it.
            Some(image) => vec![
                Entry::Orders(Orders { image: Some(image.to_owned()), ..present }),
                Entry::Forget,
                Entry::ForgetEdit,
            ],
            None => Vec::new(),
        },
        // The engine goes on restarting what was released: to call that suspended would hide who does.
        Command::Suspend if is_released(&present) => Vec::new(),
        Command::Suspend | Command::Release => {
            let released = command == Command::Release;
            let suspended = Some(Suspension { order, until, released });
            vec![Entry::Orders(Orders { suspended, ..present })]
        }
        Command::Resume => vec![Entry::Orders(Orders { suspended: None, ..present })],
        Command::Restart => {
            let (alive, restart) = present_run(world, id);
            // One that does not run is started, also a job that has done its work: neither back-off nor success is a
            // reason to make a person wait.
            let mut entries = vec![Entry::Orders(Orders { stopped: None, restart, ..present })];
            if !alive {
                entries.push(Entry::Forget);
            }
            entries
        }
        Command::ResetFailed => {
            // It waits for a GPU that it had: a person who says this lets it have another.
            let others = gpu::waits_for_its_own(world, id)
                .then(|| Entry::Gpus(AssignedGpus { given_up: true, ..AssignedGpus::default() }));
            [Entry::Forget, Entry::ForgetEdit].into_iter().chain(others).collect()
        }
    }
}
