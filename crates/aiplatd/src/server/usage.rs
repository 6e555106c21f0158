//! What the services use, asked of the engine and of systemd when somebody looks.

use std::{collections::BTreeMap, sync::Arc};

use aiplat_api::v1::ServiceUsage;
use aiplat_core::{
    observed::{ActiveState, ContainerId},
    plan::{self, Members},
};
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

/// Measured at once: each takes a second or two.
const AT_ONCE: usize = 32;

pub(super) async fn usage(Part(shared): Part<Arc<Shared>>) -> Response {
    let asked = running(&shared);
    let count = asked.len();
    let (host, units) = (&shared.host, &shared.units);
    let measure = |(service, what): (String, Measured)| async move {
        let usage = match &what {
            Measured::Container(container) => host.usage(container).await,
            Measured::Unit(unit) => units.usage(unit).await,
        };
        (service, usage)
    };
    let measured: Vec<_> = stream::iter(asked).map(measure).buffered(AT_ONCE).collect().await;
    let on_gpus = on_gpus(&shared);
    let mut failure = None;
    let mut rows = Vec::with_capacity(count);
    for (service, result) in measured {
        match result {
            Ok(usage) => {
                let on_gpu = on_gpus.get(&service).cloned().unwrap_or_default();
                rows.push(row(service, usage, on_gpu));
            }
            // It may have ended meanwhile; the others are worth showing.
            Err(error) => failure = Some(error.message),
        }
    }
    match failure {
        Some(message) if rows.is_empty() => problem(StatusCode::BAD_GATEWAY, message).into_response(),
        Some(_) | None => Json(rows).into_response(),
    }
}

/// What is measured of a service.
enum Measured {
    Container(ContainerId),
    Unit(String),
}

/// The services that run.
fn running(shared: &Shared) -> Vec<(String, Measured)> {
    let state = shared.lock();
    let Some(world) = state.world(shared.now()) else { return Vec::new() };
    let running = world.desired.containers.iter().filter_map(|(id, spec)| {
        let current = Members::of(&world, id, spec).current?;
        let measured = Measured::Container(current.id.clone());
        current.state.is_alive().then(|| (spec.service.clone(), measured))
    });
    let units = world.desired.units.values().filter(|spec| {
        let unit = world.observed.units.get(&spec.unit);
        unit.is_some_and(|unit| matches!(unit.active, ActiveState::Active | ActiveState::Reloading))
    });
    let units = units.map(|spec| (spec.service.clone(), Measured::Unit(spec.unit.clone())));
    running.chain(units).collect()
}

/// What a service has of GPUs, as of the last look at them.
#[derive(Clone, Default)]
struct OnGpus {
    gpus: Vec<String>,
    memory: Option<u64>,
}

fn on_gpus(shared: &Shared) -> BTreeMap<String, OnGpus> {
    let state = shared.lock();
    let Some(world) = state.world(shared.now()) else { return BTreeMap::new() };
    let mut all: BTreeMap<String, OnGpus> = BTreeMap::new();
    for (gpu, report) in plan::gpu_reports(&world) {
        for user in report.users.into_iter().filter(|user| user.runs) {
            let known = all.entry(user.service.key().to_owned()).or_default();
            known.gpus.push(gpu.short().to_owned());
            known.memory = known.memory.into_iter().chain(user.used).reduce(u64::saturating_add);
        }
    }
    all
}

fn row(service: String, usage: Usage, on_gpu: OnGpus) -> ServiceUsage {
    let Usage { cpu_percent, memory, memory_limit, received, sent, read, written, pids } = usage;
    let OnGpus { gpus, memory: gpu_memory } = on_gpu;
    ServiceUsage {
        service,
        cpu_percent,
        memory,
        memory_limit,
        received,
        sent,
        read,
        written,
        pids,
        gpus,
        gpu_memory,
    }
}
