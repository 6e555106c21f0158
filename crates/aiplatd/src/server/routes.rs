//! The routes: parse, ask the daemon, answer.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use aiplat_api::v1::{
    ApplyRequest, DiffRequest, Done, Error, Event, RevisionInfo, RollbackRequest, SpecUpload, StatusDoc,
    Version,
};
use aiplat_core::{ResourceId, load::Files, observed::ContainerId, plan::Members, spec::Platform};
use aiplat_host::{HostError, LogOptions, LogStream};
use axum::{
    Json,
    body::Body,
    extract::{ConnectInfo, Path as UrlPath, Query, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::StreamExt;
use jiff::Timestamp;
use serde::Deserialize;

use super::auth::Peer;
use crate::{
    history, kept_logs,
    shared::Shared,
    spec::{self, Intent},
    status,
};

/// A failure with a sentence.
pub(super) type Problem = (StatusCode, Json<Error>);

pub(super) fn problem(status: StatusCode, message: impl Into<String>) -> Problem {
    (status, Json(Error { message: message.into() }))
}

/// No client waits longer than this for a change.
const LONGEST_POLL: Duration = Duration::from_secs(60);

#[derive(Debug, Default, Deserialize)]
pub(super) struct Poll {
    #[serde(default)]
    after: u64,
    timeout: Option<u64>,
}

impl Poll {
    fn timeout(&self) -> Duration {
        self.timeout.map_or(Duration::ZERO, Duration::from_secs).min(LONGEST_POLL)
    }
}

pub(super) async fn version(State(shared): State<Arc<Shared>>) -> Json<Version> {
    Json(Version {
        daemon: env!("CARGO_PKG_VERSION").to_owned(),
        api: "v1".to_owned(),
        engine: shared.host.version(),
    })
}

pub(super) async fn status(State(shared): State<Arc<Shared>>, Query(poll): Query<Poll>) -> Json<StatusDoc> {
    let mut versions = shared.versions();
    let newer = versions.wait_for(|version| *version > poll.after);
    // After the timeout the present state is the answer, changed or not.
    drop(tokio::time::timeout(poll.timeout(), newer).await);
    let version = *shared.versions().borrow();
    Json(status::document(&shared, version))
}

pub(super) async fn events(State(shared): State<Arc<Shared>>, Query(poll): Query<Poll>) -> Json<Vec<Event>> {
    let deadline = tokio::time::Instant::now() + poll.timeout();
    let mut versions = shared.versions();
    loop {
        versions.mark_unchanged();
        let events = shared.lock().events.after(poll.after);
        if !events.is_empty() || tokio::time::timeout_at(deadline, versions.changed()).await.is_err() {
            return Json(events);
        }
    }
}

pub(super) async fn diff(State(shared): State<Arc<Shared>>, Json(request): Json<DiffRequest>) -> Response {
    let examine = |SpecUpload { root, files }| spec::examine(&shared, Path::new(&root), &Uploaded(files));
    let file = request.file.map(examine);
    match spec::diff(&shared, file).await {
        Ok(reply) => Json(reply).into_response(),
        Err(message) => problem(StatusCode::CONFLICT, message).into_response(),
    }
}

/// Files that a client sent: nothing is read from this machine on its behalf.
struct Uploaded(std::collections::BTreeMap<String, String>);

impl Files for Uploaded {
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, String> {
        Ok(self.0.get(&path.display().to_string()).map(|text| text.clone().into_bytes()))
    }

    fn list(&self, folder: &Path) -> Result<Option<Vec<PathBuf>>, String> {
        let inside: Vec<PathBuf> =
            self.0.keys().map(PathBuf::from).filter(|path| path.parent() == Some(folder)).collect();
        Ok((!inside.is_empty()).then_some(inside))
    }
}

pub(super) async fn apply(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(request): Json<ApplyRequest>,
) -> Response {
    let ApplyRequest { content, confirm } = request;
    let wrote = content.is_some();
    match spec::apply(&shared, content, confirm).await {
        Ok(reply) => {
            if wrote && !reply.invalid && reply.needs_confirmation.is_none() {
                audit(&shared, peer, "applied a file");
            }
            Json(reply).into_response()
        }
        Err(message) => problem(StatusCode::INTERNAL_SERVER_ERROR, message).into_response(),
    }
}

pub(super) async fn history(State(shared): State<Arc<Shared>>) -> Json<Vec<RevisionInfo>> {
    Json(history::list(&shared))
}

pub(super) async fn revision(State(shared): State<Arc<Shared>>, UrlPath(number): UrlPath<u64>) -> Response {
    match history::text(&shared, number) {
        Some(text) => Json(text).into_response(),
        None => {
            let message =
                format!("there is no revision {number}; `aiplatctl history` lists those that are kept");
            problem(StatusCode::NOT_FOUND, message).into_response()
        }
    }
}

pub(super) async fn rollback(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(RollbackRequest { revision, confirm }): Json<RollbackRequest>,
) -> Response {
    match history::rollback(&shared, revision, confirm).await {
        Ok(reply) => {
            if !reply.invalid && reply.needs_confirmation.is_none() {
                audit(&shared, peer, &format!("went back to the file of generation {revision}"));
            }
            Json(reply).into_response()
        }
        Err(message) => problem(StatusCode::CONFLICT, message).into_response(),
    }
}

pub(super) async fn reload(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
) -> Json<Done> {
    audit(&shared, peer, "asked to read the file again");
    spec::reload(&shared, Intent::default()).await;
    let message = match &shared.lock().spec.refused {
        None => "the file is in force".to_owned(),
        Some(refusal) => refusal.message.clone(),
    };
    Json(Done { message })
}

pub(super) fn no_such_service(service: &str) -> Problem {
    let message = format!("there is no service `{service}` in the file; `aiplatctl get services` lists them");
    problem(StatusCode::NOT_FOUND, message)
}

pub(super) fn who(peer: Peer) -> String {
    format!("uid {}{}", peer.uid, peer.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default())
}

/// Who did what is an event.
pub(super) fn audit(shared: &Shared, peer: Peer, what: &str) {
    let text = format!("{} {what}", who(peer));
    shared.lock().events.note(shared.clock.wall_ms(), "Operated", "platform", text);
    shared.changed();
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct LogQuery {
    #[serde(default)]
    follow: bool,
    tail: Option<u32>,
    /// RFC 3339, or seconds since 1970.
    since: Option<String>,
    /// The run before the present one.
    #[serde(default)]
    previous: bool,
}

pub(super) async fn logs(
    State(shared): State<Arc<Shared>>,
    UrlPath(service): UrlPath<String>,
    Query(query): Query<LogQuery>,
) -> Response {
    let unit = {
        let state = shared.lock();
        let unit =
            |desired: &Platform| desired.units.get(&ResourceId::unit(&service)).map(|spec| spec.unit.clone());
        state.desired.as_deref().and_then(unit)
    };
    if let Some(unit) = unit {
        return unit_log(&shared, &service, &unit, &query).await;
    }
    let container = {
        let state = shared.lock();
        let id = ResourceId::container(&service);
        let spec = state.desired.as_ref().and_then(|desired| desired.containers.get(&id).cloned());
        let world = state.world(shared.now());
        match (spec, world) {
            // What is kept outlives the service.
            (None, _) if query.previous => None,
            (None, _) => return no_such_service(&service).into_response(),
            (Some(spec), world) => world.and_then(|world| {
                let current = Members::of(&world, &id, &spec).current?;
                Some((current.id.clone(), kept_logs::end_of_run_before(current)))
            }),
        }
    };
    if query.previous {
        return previous_log(&shared, &service, container, query.tail).await;
    }
    let container = container.map(|(container, _)| container);
    let Some(container) = container else {
        let message =
            format!("{service} has no container yet; `aiplatctl why {service}` says what it waits for");
        return problem(StatusCode::CONFLICT, message).into_response();
    };
    let since = match query.since.as_deref().map(seconds).transpose() {
        Ok(since) => since,
        Err(message) => return problem(StatusCode::BAD_REQUEST, message).into_response(),
    };
    let options = LogOptions { follow: query.follow, tail: query.tail, since };
    stream_log(service, shared.host.logs(&container, &options).await)
}

/// The journal of a unit. It keeps earlier runs itself.
async fn unit_log(shared: &Shared, service: &str, unit: &str, query: &LogQuery) -> Response {
    if query.previous {
        let message = format!(
            "the journal keeps the earlier runs of {unit}: `aiplatctl logs {service}` and `journalctl -u {unit}` show them"
        );
        return problem(StatusCode::CONFLICT, message).into_response();
    }
    let since = match query.since.as_deref().map(seconds).transpose() {
        Ok(since) => since,
        Err(message) => return problem(StatusCode::BAD_REQUEST, message).into_response(),
    };
    let options = LogOptions { follow: query.follow, tail: query.tail, since };
    stream_log(service.to_owned(), shared.units.logs(unit, &options).await)
}

fn stream_log(service: String, lines: Result<LogStream, HostError>) -> Response {
    match lines {
        Ok(lines) => {
            let lines = lines.map(move |line| {
                let record = match line {
                    Ok(line) => kept_logs::record(&service, line),
                    Err(error) => return Err(std::io::Error::other(error.message)),
                };
                let mut text = serde_json::to_vec(&record).map_err(std::io::Error::other)?;
                text.push(b'\n');
                Ok(Bytes::from(text))
            });
            ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
        }
        Err(error) => problem(StatusCode::BAD_GATEWAY, error.message).into_response(),
    }
}

/// The last lines before the present run: of this container if it has run before, else of the one before it.
async fn previous_log(
    shared: &Shared,
    service: &str,
    current: Option<(ContainerId, Option<Timestamp>)>,
    tail: Option<u32>,
) -> Response {
    let earlier = match current {
        Some((container, Some(ended))) => kept_logs::until(shared, service, &container, ended).await,
        Some((_, None)) | None => Vec::new(),
    };
    // What ran in between may have been another container: an edit that was taken back.
    let lines = shared.store.kept_log(service).await.map(|kept| kept_logs::later(earlier, kept));
    match lines {
        Ok(lines) if lines.is_empty() => {
            let message = format!("{service} has had no earlier run that is known; leave `--previous` out");
            problem(StatusCode::NOT_FOUND, message).into_response()
        }
        Ok(lines) => {
            let skip = tail.map_or(0, |tail| lines.len().saturating_sub(tail as usize));
            ([(header::CONTENT_TYPE, "application/x-ndjson")], lines[skip..].concat()).into_response()
        }
        Err(error) => {
            problem(StatusCode::INTERNAL_SERVER_ERROR, format!("its kept lines cannot be read: {error}"))
                .into_response()
        }
    }
}

fn seconds(text: &str) -> Result<i64, String> {
    let parsed = text.parse().ok().or_else(|| Some(text.parse::<jiff::Timestamp>().ok()?.as_second()));
    parsed.ok_or_else(|| format!("`{text}` is no time: write RFC 3339, as in 2026-01-31T12:00:00Z"))
}

pub(super) async fn not_found() -> Problem {
    problem(StatusCode::NOT_FOUND, "there is no such route in v1; is aiplatctl newer than aiplatd?")
}
