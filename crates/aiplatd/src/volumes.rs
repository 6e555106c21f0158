//! What volumes take on their disks. The engine walks all of them to find out: it is asked when the first work is done, and
//! then seldom.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::shared::Shared;

/// How often they are measured, and no oftener.
const EVERY: Duration = Duration::from_secs(600);
/// The first measurement waits for the first work to be done, and no longer than this: a platform that never settles has disks
/// too.
const PATIENCE: Duration = Duration::from_secs(120);
/// An engine that walks for so long is left alone.
const DEADLINE: Duration = Duration::from_secs(300);
/// It walks for one part of the time in so many.
const SHARE: u32 = 20;

/// Measures again and again, for ever.
pub(crate) async fn follow(shared: Arc<Shared>) {
    let mut versions = shared.versions();
    // There is nothing to measure before the engine has been listed.
    while !shared.lock().observed.engine.listed {
        if versions.changed().await.is_err() {
            return;
        }
    }
    drop(tokio::time::timeout(PATIENCE, shared.controller().settled()).await);
    loop {
        let begun = Instant::now();
        shared.measure_volumes().await;
        tokio::time::sleep(EVERY.max(begun.elapsed() * SHARE)).await;
    }
}

impl Shared {
    async fn measure_volumes(&self) {
        if self.lock().observed.volumes.is_empty() {
            return;
        }
        match tokio::time::timeout(DEADLINE, self.host.volume_sizes()).await {
            Ok(Ok(Some(sizes))) => {
                let now = self.now();
                self.lock().observed.volume_sizes.take_in(sizes, now);
                self.changed();
            }
            Ok(Ok(None)) => {}
            Ok(Err(error)) => {
                tracing::debug!(error = %error, "The volumes cannot be measured; what was measured before has its age.");
            }
            Err(_elapsed) => tracing::debug!("The engine takes too long to measure the volumes."),
        }
    }
}
