//! HTTP/JSON v1 over the Unix socket. Every route names its verb; one check, before anything is read.

pub mod auth;
mod models;
mod orders;
mod prune;
mod pull;
mod routes;
mod systemd;
mod usage;

use std::{io, os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use axum::{
    Router,
    extract::connect_info::{ConnectInfo, Connected},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
    serve::IncomingStream,
};
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

use auth::{Peer, Verb};

use crate::shared::Shared;

/// A request body larger than this is refused before it is looked at.
const BODY_MAX: usize = 8 << 20;

/// Takes the socket: a dead one is replaced, a live one means that another daemon answers there.
///
/// # Errors
/// When it cannot be taken.
pub async fn listen(path: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    if path.exists() {
        if tokio::net::UnixStream::connect(path).await.is_ok() {
            let text =
                format!("another program answers at {}; stop it, or choose another --socket", path.display());
            return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
        }
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    auth::give_to_group(path);
    Ok(listener)
}

/// Serves until cancelled.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: UnixListener, shared: Arc<Shared>, cancel: CancellationToken) -> io::Result<()> {
    let service = router(shared).into_make_service_with_connect_info::<Peer>();
    axum::serve(listener, service).with_graceful_shutdown(async move { cancel.cancelled().await }).await
}

/// Every route with its verb. What is not here does not exist.
fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/version", allow(Verb::Read, get(routes::version)))
        .route("/v1/status", allow(Verb::Read, get(routes::status)))
        .route("/v1/events", allow(Verb::Read, get(routes::events)))
        .route("/v1/diff", allow(Verb::Read, post(routes::diff)))
        .route("/v1/logs/{service}", allow(Verb::Read, get(routes::logs)))
        .route("/v1/apply", allow(Verb::Administer, post(routes::apply)))
        .route("/v1/systemd", allow(Verb::Read, get(systemd::systemd)))
        .route("/v1/usage", allow(Verb::Read, get(usage::usage)))
        .route("/v1/history", allow(Verb::Read, get(routes::history)))
        .route("/v1/history/{revision}", allow(Verb::Administer, get(routes::revision)))
        .route("/v1/rollback", allow(Verb::Administer, post(routes::rollback)))
        .route("/v1/prune", allow(Verb::Administer, post(prune::prune)))
        .route("/v1/models/remove", allow(Verb::Administer, post(models::remove)))
        .route("/v1/models/{model}/pull", allow(Verb::Operate, post(models::pull)))
        .route("/v1/reload", allow(Verb::Operate, post(routes::reload)))
        .route("/v1/services/{service}/pull", allow(Verb::Operate, post(pull::pull)))
        .route("/v1/services/{service}/{command}", allow(Verb::Operate, post(orders::order)))
        .fallback(routes::not_found)
        .layer(axum::extract::DefaultBodyLimit::max(BODY_MAX))
        .with_state(shared)
}

fn allow(verb: Verb, route: MethodRouter<Arc<Shared>>) -> MethodRouter<Arc<Shared>> {
    route.layer(middleware::from_fn(move |peer: ConnectInfo<Peer>, request, next| {
        check(verb, peer, request, next)
    }))
}

async fn check(
    verb: Verb,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: axum::extract::Request,
    next: Next,
) -> Response {
    if peer.may(verb) {
        return next.run(request).await;
    }
    let message = match verb {
        Verb::Read | Verb::Operate => format!(
            "user {} may not do this: only root and the group `{}` may (`usermod -aG {} NAME`, then log in anew)",
            peer.uid,
            auth::GROUP,
            auth::GROUP
        ),
        Verb::Administer => {
            format!("user {} may not do this: whoever writes the file is root; use sudo", peer.uid)
        }
    };
    routes::problem(StatusCode::FORBIDDEN, message).into_response()
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        match stream.io().peer_cred() {
            Ok(credentials) => Self::of(&credentials),
            // Who cannot be told apart from anybody is nobody.
            Err(_unknown) => Self { uid: u32::MAX, pid: None, in_group: false },
        }
    }
}
