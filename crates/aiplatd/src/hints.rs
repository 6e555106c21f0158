//! Hints and the resync: when to look. Nothing is decided here.

use std::{sync::Arc, time::Duration};

use aiplat_host::{Hint, UnitHint};
use futures_util::StreamExt;
use tokio::sync::Notify;

use crate::shared::Shared;

/// Follows the host's hints for ever.
pub async fn follow(shared: Arc<Shared>) {
    let mut hints = shared.host.hints();
    let relist = Arc::new(Notify::new());
    let lister = relist_on_demand(Arc::clone(&shared), Arc::clone(&relist));
    let reader = async {
        while let Some(hint) = hints.next().await {
            match hint {
                // Subscribed first, listed second: what happens in between is a hint that is already waiting.
                Hint::Connected => {
                    relist.notify_one();
                    shared.engine_is_new();
                }
                Hint::Relist => relist.notify_one(),
                Hint::Changed(id) => shared.hint(id),
                Hint::Lost { reason } => shared.record_loss(&reason),
            }
        }
    };
    tokio::join!(reader, lister);
}

/// Follows systemd's hints from the first file on that has a unit, or a GPU that a reload can take from a container, for ever.
pub async fn follow_units(shared: Arc<Shared>) {
    let mut versions = shared.versions();
    while !shared.lock().follows_systemd() {
        if versions.changed().await.is_err() {
            return;
        }
    }
    let mut hints = shared.units.hints();
    while let Some(hint) = hints.next().await {
        match hint {
            UnitHint::Relist => shared.relist_units(),
            UnitHint::Changed(name) => shared.hint_unit(&name),
            UnitHint::Lost { reason } => shared.record_systemd_loss(&reason),
        }
    }
}

/// One listing at a time, and one more if asked for meanwhile: a burst of hints costs two.
async fn relist_on_demand(shared: Arc<Shared>, wanted: Arc<Notify>) {
    loop {
        wanted.notified().await;
        let mut wait = Duration::from_millis(100);
        while let Err(error) = shared.relist().await {
            tracing::info!(error = %error, "The engine cannot be listed; trying again.");
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(5));
        }
    }
}

/// Lists everything every `reconcile.resync`, jittered, whatever the hints said: without any hint aiplatd is slower,
/// not wrong.
pub async fn resync(shared: Arc<Shared>) {
    let mut turn = 0_u32;
    loop {
        let interval = shared.lock().desired.as_ref().map_or(Duration::from_secs(60), |d| d.settings.resync);
        // A tenth to either side, so that several machines, or several daemons, do not list together.
        let jitter = interval / 100 * (turn.wrapping_mul(7) % 21);
        tokio::time::sleep(interval - interval / 10 + jitter).await;
        turn = turn.wrapping_add(1);
        shared.relist_units();
        if let Err(error) = shared.relist().await {
            tracing::info!(error = %error, "The resync could not list the engine.");
        }
    }
}
