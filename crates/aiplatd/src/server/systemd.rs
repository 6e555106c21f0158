//! What systemd says of itself, asked when somebody looks.

use std::{collections::BTreeSet, sync::Arc};

use aiplat_api::v1::{FailedUnit, SystemdReport};
use aiplat_core::plan;
use aiplat_host::SystemdOverview;
use axum::{
    Json,
    extract::State as Part,
    http::StatusCode,
    response::{IntoResponse, Response},
};

use super::routes::problem;
use crate::shared::Shared;

pub(super) async fn systemd(Part(shared): Part<Arc<Shared>>) -> Response {
    match report(&shared).await {
        Ok(report) => Json(report).into_response(),
        Err(message) => problem(StatusCode::BAD_GATEWAY, message).into_response(),
    }
}

async fn report(shared: &Shared) -> Result<SystemdReport, String> {
    let services: Vec<(String, String)> = {
        let state = shared.lock();
        let world = state.world(shared.now());
        let units = world.iter().flat_map(|world| plan::units(world));
        units.map(|(unit, id)| (unit.to_owned(), id.key().to_owned())).collect()
    };
    let units: BTreeSet<String> = services.iter().map(|(unit, _)| unit.clone()).collect();
    let overview = shared.units.overview(units).await.map_err(|error| error.message)?;
    let SystemdOverview { version, state, failed } = overview;
    let failed = failed.into_iter().map(|(name, needed_by)| {
        let of = services.iter().filter(|(unit, _)| needed_by.contains(unit));
        // A timer and what it starts are one service.
        let needed_by: BTreeSet<String> = of.map(|(_, service)| service.clone()).collect();
        FailedUnit { name, needed_by: needed_by.into_iter().collect() }
    });
    Ok(SystemdReport { version, state, failed: failed.collect() })
}
