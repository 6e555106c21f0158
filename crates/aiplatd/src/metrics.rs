//! Prometheus metrics: computed when asked for. Off by default; no secret and no free text in any of them.

use std::{net::SocketAddr, sync::Arc};

use aiplat_core::condition::{Status, Word};
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
    let router = Router::new().route("/metrics", get(metrics)).with_state(shared);
    axum::serve(listener, router).with_graceful_shutdown(async move { cancel.cancelled().await }).await
}

/// Takes the address.
///
/// # Errors
/// When it is taken, or not ours.
pub async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

async fn metrics(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
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
        let is_ready = matches!(service.status, Word::Ready | Word::Completed | Word::Degraded);
        ready.get_or_create(&Service { service: name.clone() }).set(i64::from(is_ready));
        restarts.get_or_create(&Service { service: name }).set(i64::from(service.restarts));
    }
    registry.register("service_status", "1 for the printed word of each service", words);
    registry.register("service_ready", "1 if the service does what it is there for", ready);
    registry.register("service_restarts", "Restarts that were counted", restarts);
    let conditions = Family::<ConditionLabels, Gauge>::default();
    for condition in &document.platform.conditions {
        let labels = ConditionLabels {
            condition: condition.condition.kind.to_string(),
            status: condition.condition.status.to_string(),
        };
        conditions.get_or_create(&labels).set(i64::from(condition.condition.status != Status::Unknown));
    }
    registry.register("platform_condition", "Conditions of the platform; 1 where known", conditions);
    let generation: Gauge = Gauge::default();
    generation.set(i64::try_from(document.platform.generation).unwrap_or(i64::MAX));
    registry.register("spec_generation", "Accepted versions of the file", generation);
}

fn controller(shared: &Shared, registry: &mut Registry) {
    let actions = Family::<ActionLabels, Counter>::default();
    for ((action, succeeded), count) in &shared.lock().actions {
        let result = if *succeeded { "success" } else { "failure" };
        let labels = ActionLabels { action: (*action).to_owned(), result: result.to_owned() };
        actions.get_or_create(&labels).inc_by(*count);
    }
    registry.register("actions", "Calls that change a host, since the start", actions);
    let stats = shared.controller().stats();
    let passes: Counter = Counter::default();
    passes.inc_by(stats.totals.passes);
    registry.register("passes", "Reconcile passes since the start", passes);
    let mut gauge = |name: &str, help: &str, value: usize| {
        let gauge: Gauge = Gauge::default();
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        registry.register(name, help, gauge);
    };
    gauge("controller_scheduled", "Resources with a pass ahead", stats.scheduled);
    gauge("controller_running", "Passes that run", stats.running);
    gauge(
        "controller_waiting_for_permit",
        "Resources that wait for a place to start or pull",
        stats.waiting_for_permit,
    );
}
