//! What the services use, asked of the engine when somebody looks.

use std::sync::Arc;

use aiplat_api::v1::ServiceUsage;
use aiplat_core::{observed::ContainerId, plan::Members};
use aiplat_host::Usage;
use axum::{
    Json,
    extract::State as Part,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, stream};

use super::routes::problem;
use crate::shared::Shared;

/// Measured at once: the engine takes a second or two for each.
const AT_ONCE: usize = 32;

pub(super) async fn usage(Part(shared): Part<Arc<Shared>>) -> Response {
    let asked = running(&shared);
    let count = asked.len();
    let host = &shared.host;
    let measure =
        |(service, container): (String, ContainerId)| async move { (service, host.usage(&container).await) };
    let measured: Vec<_> = stream::iter(asked).map(measure).buffered(AT_ONCE).collect().await;
    let mut failure = None;
    let mut rows = Vec::with_capacity(count);
    for (service, result) in measured {
        match result {
            Ok(usage) => rows.push(row(service, usage)),
            // It may have ended meanwhile; the others are worth showing.
            Err(error) => failure = Some(error.message),
        }
    }
    match failure {
        Some(message) if rows.is_empty() => problem(StatusCode::BAD_GATEWAY, message).into_response(),
        Some(_) | None => Json(rows).into_response(),
    }
}

/// The services that run, with their containers.
fn running(shared: &Shared) -> Vec<(String, ContainerId)> {
    let state = shared.lock();
    let Some(world) = state.world(shared.now()) else { return Vec::new() };
    let running = world.desired.containers.iter().filter_map(|(id, spec)| {
        let current = Members::of(&world, id, spec).current?;
        current.state.is_alive().then(|| (spec.service.clone(), current.id.clone()))
    });
    running.collect()
}

fn row(service: String, usage: Usage) -> ServiceUsage {
    let Usage { cpu_percent, memory, memory_limit, received, sent, read, written, pids } = usage;
    ServiceUsage { service, cpu_percent, memory, memory_limit, received, sent, read, written, pids }
}
