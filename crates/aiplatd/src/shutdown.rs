//! When the whole machine goes down: the services are stopped in their order, before the engine stops them in none.
//!
//! Whether it goes down, systemd is asked at the moment when it stops us; a plain stop or restart of the daemon stops no
//! service (ADR 10).

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use aiplat_core::{
    action::Action,
    observed::ContainerId,
    plan::Entry,
    shutdown::{self, Stop},
};
use aiplat_host::Progress;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{notify, shared::Shared};

/// The answer of a systemd that is busy with a shutdown; without one nothing is stopped.
const ASK: Duration = Duration::from_secs(5);
/// Beside a container's own grace: for the engine to answer.
const ENGINE: Duration = Duration::from_secs(30);

/// Whether the machine is being shut down, halted or restarted. Without systemd, or without an answer, it is not.
pub async fn machine_goes_down() -> bool {
    match tokio::time::timeout(ASK, system_state()).await {
        Ok(Ok(state)) => state == "stopping",
        Ok(Err(error)) => {
            tracing::debug!(error = %error, "systemd cannot be asked whether the machine goes down.");
            false
        }
        Err(_elapsed) => {
            tracing::warn!(
                "systemd has not said within 5s whether the machine goes down; no service is stopped."
            );
            false
        }
    }
}

/// As `systemctl is-system-running` prints it: `stopping` from the moment the shutdown is queued.
async fn system_state() -> zbus::Result<String> {
    let bus = zbus::Connection::system().await?;
    let reply = bus
        .call_method(
            Some("org.freedesktop.systemd1"),
            "/org/freedesktop/systemd1",
            Some("org.freedesktop.DBus.Properties"),
            "Get",
            &("org.freedesktop.systemd1.Manager", "SystemState"),
        )
        .await?;
    let value: zbus::OwnedVariant = reply.body().deserialize()?;
    String::try_from(value)
}

/// Stops every service of ours, each as soon as nothing that needs it runs any more. Each container is tried once: what
/// cannot be stopped is the engine's, which ends next. No pass runs any more.
pub async fn stop_services(shared: &Arc<Shared>) {
    tracing::info!("The machine goes down: the services are stopped in their order.");
    let mut tried: BTreeSet<ContainerId> = BTreeSet::new();
    let mut under_way = JoinSet::new();
    let mut until = shared.now();
    loop {
        if let Err(error) = shared.relist().await {
            tracing::warn!(error = %error, "The engine cannot be listed; it stops the services that still run.");
            return;
        }
        for stop in next(shared) {
            if tried.insert(stop.container.clone()) {
                until = until.max(shared.now() + stop.grace + ENGINE);
                notify::stopping_service(stop.id.key(), until.since(shared.now()));
                remember(shared, &stop).await;
                under_way.spawn(carry_out(Arc::clone(shared), stop));
            }
        }
        if under_way.join_next().await.is_none() {
            return;
        }
    }
}

fn next(shared: &Shared) -> Vec<Stop> {
    let state = shared.lock();
    state.world(shared.now()).map(|world| shutdown::stops(&world)).unwrap_or_default()
}

/// Before it is done, as always: a run that we end is no crash, whatever becomes of us in between.
async fn remember(shared: &Shared, stop: &Stop) {
    let Some(run) = stop.run.clone() else { return };
    shared.lock().ledger.enter(&stop.id, Entry::Stopping(run));
    shared.commit(std::slice::from_ref(&stop.id)).await;
}

async fn carry_out(shared: Arc<Shared>, stop: Stop) {
    let action = Action::StopContainer { id: stop.container, grace: stop.grace };
    let progress: Progress = Arc::new(|_| {});
    let call = shared.host.apply(&stop.id, &action, progress, CancellationToken::new());
    match tokio::time::timeout(stop.grace + ENGINE, call).await {
        Ok(Ok(())) => {
            tracing::info!(event = "Stopped", service = stop.id.key(), "{action}: the machine goes down")
        }
        Ok(Err(error)) => tracing::warn!(service = stop.id.key(), "{error}"),
        Err(_elapsed) => tracing::warn!(service = stop.id.key(), "{action} had no answer in time"),
    }
}
