//! What a person orders of one service: written into the ledger, where the next pass finds it.

use std::{sync::Arc, time::Duration};

use aiplat_api::v1::Done;
use aiplat_core::{
    ResourceId,
    ledger::{Order, Until},
    plan::{self, Command},
    spec::{Management, ServiceSpec, UnitSpec},
};
use axum::{
    Json,
    extract::{ConnectInfo, Path as UrlPath, Query, State as Part},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use super::{
    auth::Peer,
    routes::{Problem, no_such_service, problem, who},
};
use crate::{events::rfc3339, shared::Shared};

/// A suspension that should last longer has no end.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 86_400);

#[derive(Debug, Default, Deserialize)]
pub(super) struct Terms {
    /// Of `suspend`: it ends by itself after so many seconds.
    #[serde(rename = "for")]
    secs: Option<u64>,
}

impl Terms {
    fn until(&self, shared: &Shared) -> Option<Until> {
        let lasts = Duration::from_secs(self.secs?).min(LONGEST);
        let millis = i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX);
        let wall_ms = shared.clock.wall_ms().saturating_add(millis);
        let text = rfc3339(wall_ms - wall_ms.rem_euclid(1_000)).replace(".000Z", "Z");
        Some(Until { at: shared.now() + lasts, wall_ms, text })
    }
}

pub(super) async fn order(
    Part(shared): Part<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    UrlPath((service, command)): UrlPath<(String, Command)>,
    Query(terms): Query<Terms>,
) -> Response {
    let word = serde_json::to_value(command).ok().and_then(|word| Some(word.as_str()?.to_owned()));
    let word = word.unwrap_or_default();
    let until = terms.until(&shared);
    if until.is_some() && command != Command::Suspend {
        let message = format!("`{word}` has no end to set: only `suspend` takes `for`");
        return problem(StatusCode::BAD_REQUEST, message).into_response();
    }
    let id = {
        let state = shared.lock();
        let known = state.desired.as_deref().map(|desired| desired.service_id(&service));
        known.unwrap_or_else(|| ResourceId::container(&service))
    };
    let order = Order { by: who(peer), wall_ms: shared.clock.wall_ms() };
    if let Err(refusal) = note(&shared, &id, command, order, until) {
        return refusal.into_response();
    }
    shared.commit(std::slice::from_ref(&id)).await;
    shared.lock().events.note(
        shared.clock.wall_ms(),
        "Operated",
        &id.to_string(),
        format!("{} gave `{word}`", who(peer)),
    );
    shared.changed();
    // What kept it from running may be gone: it is looked at afresh.
    shared.lock().mark_stale(&id);
    shared.schedule([id]);
    let failing = shared.lock().store_failing.clone();
    if let Some(why) = failing {
        let message = format!(
            "{service}: `{word}` is carried out, and forgotten when aiplatd is restarted: its state cannot be written ({why})"
        );
        return problem(StatusCode::INSUFFICIENT_STORAGE, message).into_response();
    }
    Json(Done { message: format!("{service}: {word} is noted") }).into_response()
}

/// What makes no sense for a unit, in a sentence.
fn refuse_for_unit(spec: &UnitSpec, command: Command, away: Option<&str>) -> Result<(), Problem> {
    let UnitSpec { service, unit, management, own, .. } = spec;
    let message = match command {
        Command::Update => format!("{service} is the unit {unit}: it has no image to update"),
        Command::Release if own.is_some() => {
            format!(
                "{service} is the unit {unit}, which systemd restarts anyway: `management: full` lets it start with the \
                 machine; `suspend` takes our hands off it"
            )
        }
        Command::Release => {
            format!(
                "{service} is the unit {unit}, which systemd restarts anyway; `suspend` takes our hands off it"
            )
        }
        Command::Start | Command::Stop | Command::Restart if *management == Management::Observe => {
            format!("{service} is only observed (`management: observe`): use `systemctl` for {unit}")
        }
        Command::Start | Command::Stop | Command::Restart if away.is_some() => {
            format!("systemd does not answer: {}", away.unwrap_or_default())
        }
        Command::Start
        | Command::Stop
        | Command::Restart
        | Command::ResetFailed
        | Command::Suspend
        | Command::Resume => return Ok(()),
    };
    Err(problem(StatusCode::CONFLICT, message))
}

fn note(
    shared: &Shared,
    id: &ResourceId,
    command: Command,
    order: Order,
    until: Option<Until>,
) -> Result<(), Problem> {
    let mut state = shared.lock();
    let now = shared.now();
    let suspension = state.ledger.suspension(id, now);
    let suspended = suspension.is_some();
    if until.is_some() && suspension.is_some_and(|suspension| suspension.released) {
        let name = id.key();
        let message = format!(
            "{name} is released to the engine until `aiplatctl resume {name}`: a suspension with an end would take it \
             back by itself; resume it first"
        );
        return Err(problem(StatusCode::CONFLICT, message));
    }
    let world = state.world(now).ok_or_else(|| no_such_service(id.key()))?;
    // What has left the file while it was suspended is let go of by `resume`.
    let may_be_gone = suspended && command == Command::Resume;
    let spec = world.desired.service(id);
    if !may_be_gone && spec.is_none() {
        let name = id.key();
        let message = format!(
            "{name} has left the file, and stays as it is only while it is suspended; `aiplatctl resume {name}` lets it \
             be removed"
        );
        return Err(if suspended { problem(StatusCode::CONFLICT, message) } else { no_such_service(name) });
    }
    if let Some(ServiceSpec::Unit(unit)) = spec {
        refuse_for_unit(unit, command, world.observed.systemd.away.as_deref())?;
    }
    if suspended && command.acts() {
        let name = id.key();
        let message = format!(
            "nothing is done to {name} while it is suspended; `aiplatctl resume {name}` takes it back first"
        );
        return Err(problem(StatusCode::CONFLICT, message));
    }
    if let Some(message) = plan::refused(&world, id, command) {
        return Err(problem(StatusCode::CONFLICT, message));
    }
    for entry in plan::order(&world, id, command, order, until) {
        state.ledger.enter(id, entry);
    }
    Ok(())
}
