//! `pull`: the engine asks the registry anew what a tag means. It changes no container: that takes an `update`.
//!
//! Not an order in the ledger: somebody waits for the answer, and a daemon that is started anew pulls nothing unasked.

use std::sync::Arc;

use aiplat_api::v1::PullReply;
use aiplat_core::{
    ResourceId,
    action::Action,
    plan::{self, Members},
};
use aiplat_host::HostError;
use axum::{
    Json,
    extract::{ConnectInfo, Path as UrlPath, State as Part},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use tokio_util::sync::CancellationToken;

use super::{
    auth::Peer,
    routes::{no_such_service, problem, who},
};
use crate::shared::Shared;

pub(super) async fn pull(
    Part(shared): Part<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    UrlPath(service): UrlPath<String>,
) -> Response {
    let id = ResourceId::container(&service);
    let reference = {
        let state = shared.lock();
        let spec = state.desired.as_deref().and_then(|desired| desired.containers.get(&id));
        spec.map(|spec| spec.runtime.image.clone())
    };
    if shared.lock().desired.as_deref().is_some_and(|it| it.units.contains_key(&ResourceId::unit(&service))) {
        let message = format!("{service} is a unit of systemd: it has no image to pull");
        return problem(StatusCode::CONFLICT, message).into_response();
    }
    let Some(reference) = reference else { return no_such_service(&service).into_response() };
    let image = ResourceId::image(&reference);
    let before = on_this_machine(&shared, &id);
    let failure = ask(&shared, &image, &reference).await.err();
    if let Err(error) = shared.look(&image).await {
        return problem(StatusCode::BAD_GATEWAY, error.message).into_response();
    }
    let reply = reply(&shared, &id, reference, failure);
    if reply.now != before {
        let text = format!("{} pulled it, and it means another image now", who(peer));
        shared.lock().events.note(shared.clock.wall_ms(), "TagMoved", &image.to_string(), text);
    }
    shared.changed();
    shared.schedule([image, id]);
    Json(reply).into_response()
}

/// The pull itself, with its bytes shown like those of any other.
async fn ask(shared: &Arc<Shared>, image: &ResourceId, reference: &str) -> Result<(), HostError> {
    let action = Action::PullImage { reference: reference.to_owned() };
    // Who goes away meanwhile drops this call, and with it the pull.
    let call = shared.pull(image, &action, shared.pull_progress(image), CancellationToken::new());
    let result = tokio::time::timeout(action.deadline(), call).await;
    result.unwrap_or_else(|_elapsed| {
        Err(HostError::new(
            aiplat_host::HostErrorKind::OutcomeUnknown,
            aiplat_core::condition::ErrorClass::Transient,
            aiplat_core::condition::Reason::RegistryUnavailable,
            format!("the pull of {reference} took longer than an hour"),
        ))
    })
}

fn on_this_machine(shared: &Shared, id: &ResourceId) -> Option<String> {
    let state = shared.lock();
    let world = state.world(shared.now())?;
    plan::image_now(&world, id).map(str::to_owned)
}

fn reply(shared: &Shared, id: &ResourceId, image: String, failure: Option<HostError>) -> PullReply {
    let state = shared.lock();
    let world = state.world(shared.now());
    let runs = world.and_then(|world| {
        let spec = world.desired.containers.get(id)?;
        let current = Members::of(&world, id, spec).current?;
        Some(current.image_id.clone()).filter(|image| !image.is_empty())
    });
    PullReply {
        image,
        runs,
        now: world.and_then(|world| plan::image_now(&world, id).map(str::to_owned)),
        moved: world.is_some_and(|world| plan::moved(&world, id).is_some()),
        failure: failure.map(|error| error.message),
    }
}
