//! What a person orders by a verb: `start`, `stop`, `restart`, `reset-failed`. An order is remembered, never carried out
//! on the spot: the next pass sees it in the ledger like everything else, and so does the pass after a crash.

use serde::{Deserialize, Serialize};

use super::{Entry, Members, World};
use crate::{
    ResourceId,
    ledger::{Order, Orders},
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
}

/// What `command` on the service `id` changes in its record.
#[must_use]
pub fn order(world: &World<'_>, id: &ResourceId, command: Command, order: Order) -> Vec<Entry> {
    let present = world.ledger.get(id).map(|record| record.orders.clone()).unwrap_or_default();
    match command {
        Command::Start => vec![Entry::Orders(Orders { stopped: None, ..present }), Entry::Forget],
        Command::Stop => vec![Entry::Orders(Orders { stopped: Some(order), restart: None })],
        Command::Restart => {
            let spec = world.desired.containers.get(id);
            let current = spec.and_then(|spec| Members::of(world, id, spec).current);
            let run = current.filter(|current| current.state.is_alive()).and_then(|it| it.incarnation());
            // One that does not run is started: its back-off is no reason to make a person wait.
            let mut entries = vec![Entry::Orders(Orders { stopped: None, restart: run.clone() })];
            if run.is_none() {
                entries.push(Entry::Forget);
            }
            entries
        }
        Command::ResetFailed => vec![Entry::Forget, Entry::ForgetEdit],
    }
}
