//! What systemd is told: READY, a human sentence, and that the controller loop turns.

use std::{sync::Arc, time::Duration};

use sd_notify::NotifyState;

use crate::{shared::Shared, status};

/// Tells systemd `states`; without systemd nothing happens.
pub fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(error = %error, "systemd cannot be notified.");
    }
}

/// The API listens and the file has been judged.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// We are on our way out; workloads run on.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping; the services run on")]);
}

/// The machine goes down and a service is being stopped: systemd is asked to wait for so long.
pub fn stopping_service(name: &str, patience: Duration) {
    let patience = u32::try_from(patience.as_micros()).unwrap_or(u32::MAX);
    let status = format!("the machine goes down; stopping {name}");
    tell(&[NotifyState::ExtendTimeoutUsec(patience), NotifyState::Status(&status)]);
}

/// Writes the status sentence after each change, at most once a second, for ever.
pub async fn follow_status(shared: Arc<Shared>) {
    let mut versions = shared.versions();
    let mut last = String::new();
    loop {
        let version = *versions.borrow_and_update();
        let sentence = status::document(&shared, version).platform.sentence;
        if sentence != last {
            tell(&[NotifyState::Status(&sentence)]);
            last = sentence;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        if versions.changed().await.is_err() {
            return;
        }
    }
}

/// Feeds the watchdog while the controller's loop turns, and only then.
pub async fn feed_watchdog(shared: Arc<Shared>) {
    let Some(timeout) = sd_notify::watchdog_enabled() else { return };
    let mut last = None;
    loop {
        let turns = shared.controller().turns();
        if last != Some(turns) {
            tell(&[NotifyState::Watchdog]);
        }
        last = Some(turns);
        tokio::time::sleep(timeout / 3).await;
    }
}

/// SIGHUP is being answered.
pub fn reloading() {
    tell(&[NotifyState::Reloading]);
}
