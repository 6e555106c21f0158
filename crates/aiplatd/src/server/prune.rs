//! `prune`: volumes that the file no longer has.

use std::{collections::BTreeSet, sync::Arc};

use aiplat_api::v1::{PruneReply, PruneRequest};
use aiplat_core::plan::Kept;
use aiplat_host::HostErrorKind;
use axum::{
    Json,
    extract::{ConnectInfo, State as Part},
    http::StatusCode,
    response::{IntoResponse, Response},
};

use super::{
    auth::Peer,
    routes::{problem, who},
};
use crate::{
    prune::{self, NotPruned},
    shared::Shared,
};

pub(super) async fn prune(
    Part(shared): Part<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(PruneRequest { volumes, dry_run }): Json<PruneRequest>,
) -> Response {
    let names: BTreeSet<String> = volumes.into_iter().collect();
    let (by, asked) = (who(peer), names.clone());
    // A task of its own: what was begun is finished, and told of, even when who asked has gone away meanwhile.
    let work = tokio::spawn(async move { prune::prune(&shared, &by, &asked, dry_run).await });
    let (status, message) = match work.await {
        Ok(Ok(())) => return Json(PruneReply { volumes: names.into_iter().collect() }).into_response(),
        Ok(Err(NotPruned::Kept(kept))) => {
            let status = match &kept {
                Kept::NoSuch(_) => StatusCode::NOT_FOUND,
                Kept::Stays(_) => StatusCode::CONFLICT,
            };
            (status, kept.to_string())
        }
        Ok(Err(NotPruned::Host(error))) => {
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
