//! Prometheus metrics: computed when asked for. Off by default; no secret and no free text in any of them.

mod host;
mod models;
mod volumes;

use std::{net::SocketAddr, sync::Arc};

use aiplat_api::metrics;
use aiplat_core::condition::Status;
use axum::{Router, extract::State, http::header, response::IntoResponse, routing::get};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{shared::Shared, status};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Service {
    service: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabels {
    service: String,
    status: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ActionLabels {
    action: String,
    result: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConditionLabels {
    condition: String,
    status: String,
}

/// Serves `/metrics` until cancelled.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    cancel: CancellationToken,
) -> std::io::Result<()> {
    let router = Router::new().route("/metrics", get(answer)).with_state(shared);
    axum::serve(listener, router).with_graceful_shutdown(async move { cancel.cancelled().await }).await
}

/// Takes the address.
///
/// # Errors
/// When it is taken, or not ours.
pub async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

async fn answer(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], render(&shared))
}

/// The metrics as text.
#[must_use]
pub fn render(shared: &Shared) -> String {
    let mut registry = Registry::with_prefix("aiplat");
    services(shared, &mut registry);
    controller(shared, &mut registry);
    let mut text = String::new();
    encode(&mut text, &registry).unwrap_or_else(|_infallible| unreachable!("a String takes every text"));
    text
}

fn services(shared: &Shared, registry: &mut Registry) {
    let document = status::document(shared, *shared.versions().borrow());
    let words = Family::<StatusLabels, Gauge>::default();
    let ready = Family::<Service, Gauge>::default();
    let restarts = Family::<Service, Gauge>::default();
    for service in &document.services {
        let name = service.name.clone();
        words
            .get_or_create(&StatusLabels { service: name.clone(), status: service.status.to_string() })
            .set(1);
        ready.get_or_create(&Service { service: name.clone() }).set(i64::from(status::is_well(service)));
        restarts.get_or_create(&Service { service: name }).set(i64::from(service.restarts));
    }
    registry.register("service_status", metrics::help("service_status"), words);
    registry.register("service_ready", metrics::help("service_ready"), ready);
    registry.register("service_restarts", metrics::help("service_restarts"), restarts);
    let conditions = Family::<ConditionLabels, Gauge>::default();
    for condition in &document.platform.conditions {
        let labels = ConditionLabels {
            condition: condition.condition.kind.to_string(),
            status: condition.condition.status.to_string(),
        };
        conditions.get_or_create(&labels).set(i64::from(condition.condition.status != Status::Unknown));
    }
    registry.register("platform_condition", metrics::help("platform_condition"), conditions);
    let generation: Gauge = Gauge::default();
    generation.set(i64::try_from(document.platform.generation).unwrap_or(i64::MAX));
    registry.register("spec_generation", metrics::help("spec_generation"), generation);
    volumes::register(&document.resources, registry);
    if let Some(machine) = &document.host {
        host::register(machine, registry);
    }
    models::register(&document.models, registry);
}

fn controller(shared: &Shared, registry: &mut Registry) {
    let actions = Family::<ActionLabels, Counter>::default();
    for ((action, succeeded), count) in &shared.lock().actions {
        let result = if *succeeded { "success" } else { "failure" };
        let labels = ActionLabels { action: (*action).to_owned(), result: result.to_owned() };
        actions.get_or_create(&labels).inc_by(*count);
    }
    registry.register("actions", metrics::help("actions"), actions);
    let stats = shared.controller().stats();
    let passes: Counter = Counter::default();
    passes.inc_by(stats.totals.passes);
    registry.register("passes", metrics::help("passes"), passes);
    let mut gauge = |name: &str, value: usize| {
        let gauge: Gauge = Gauge::default();
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        registry.register(name, metrics::help(name), gauge);
    };
    gauge("controller_scheduled", stats.scheduled);
    gauge("controller_running", stats.running);
    gauge("controller_waiting_for_permit", stats.waiting_for_permit);
}
