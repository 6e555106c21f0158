//! `model pull` and `model rm`.

use std::sync::Arc;

use aiplat_api::v1::{Done, RemoveModelRequest};
use aiplat_core::{
    ResourceId,
    ledger::{Order, Orders},
    plan::{Entry, Kept},
    spec::ModelName,
};
use aiplat_host::HostErrorKind;
use axum::{
    Json,
    extract::{ConnectInfo, Path as UrlPath, State as Part},
    http::StatusCode,
    response::{IntoResponse, Response},
};

use super::{
    auth::Peer,
    routes::{problem, who},
};
use crate::{
    models::{self, NotRemoved},
    shared::Shared,
};

/// An order like any other: written into the ledger, where the next pass finds it, and so does the pass after a crash.
pub(super) async fn pull(
    Part(shared): Part<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    UrlPath(model): UrlPath<String>,
) -> Response {
    let id = ResourceId::model(&model);
    let order = Order { by: who(peer), wall_ms: shared.clock.wall_ms() };
    {
        let mut state = shared.lock();
        let known = state.desired.as_deref().is_some_and(|desired| desired.models.contains_key(&id));
        if !known {
            let message = format!(
                "there is no model `{model}` in the file; `aiplatctl get models` lists them, and one more is an entry of `models:`"
            );
            return problem(StatusCode::NOT_FOUND, message).into_response();
        }
        let present = state.ledger.get(&id).map(|record| record.orders.clone()).unwrap_or_default();
        state.ledger.enter(&id, Entry::Orders(Orders { pull: Some(order), ..present }));
        // What kept it from being pulled may be gone: it is tried at once, and its size is asked for anew.
        state.ledger.enter(&id, Entry::Forget);
        state.observed.model_sizes.remove(&id);
        let text = format!("{} gave `model pull`", who(peer));
        state.events.note(shared.clock.wall_ms(), "Operated", &id.to_string(), text);
        state.mark_stale(&id);
    }
    shared.commit(std::slice::from_ref(&id)).await;
    shared.changed();
    shared.schedule([id]);
    Json(Done { message: format!("{model}: its pull is noted") }).into_response()
}

pub(super) async fn remove(
    Part(shared): Part<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(RemoveModelRequest { model, runner, dry_run }): Json<RemoveModelRequest>,
) -> Response {
    let name: ModelName = match model.parse() {
        Ok(name) => name,
        Err(error) => {
            let message = format!("`{model}` is no name of a model: {error}");
            return problem(StatusCode::BAD_REQUEST, message).into_response();
        }
    };
    let by = who(peer);
    // A task of its own: what was begun is finished, and told of, even when who asked has gone away meanwhile.
    let work =
        tokio::spawn(async move { models::remove(&shared, &by, &name, runner.as_deref(), dry_run).await });
    let (status, message) = match work.await {
        Ok(Ok(message)) => return Json(Done { message }).into_response(),
        Ok(Err(NotRemoved::Kept(Kept::NoSuch(message)))) => (StatusCode::NOT_FOUND, message),
        Ok(Err(NotRemoved::Kept(Kept::Stays(message)))) => (StatusCode::CONFLICT, message),
        Ok(Err(NotRemoved::Host(error))) => {
            let status = match error.kind {
                HostErrorKind::Refused => StatusCode::CONFLICT,
                HostErrorKind::Unreachable | HostErrorKind::OutcomeUnknown => StatusCode::BAD_GATEWAY,
            };
            (status, error.message)
        }
        Err(error) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("a mistake in aiplatd: {error}; please report it"))
        }
    };
    problem(status, message).into_response()
}
