//! A daemon that is played: the routes of v1 over a socket in a folder of its own, with what a test put in.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use aiplat_api::v1::{
    ApplyReply, DiffReply, Done, Error, LogRecord, PruneReply, PruneRequest, PullReply, RemoveModelRequest,
    RevisionInfo, RevisionText, StatusDoc, SystemdReport, Version,
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tempfile::TempDir;
use tokio::{net::UnixListener, sync::oneshot};

/// How often a held request looks again.
const LOOK: Duration = Duration::from_millis(5);

/// What it answers, and what it was asked.
pub(crate) struct State {
    pub(crate) doc: StatusDoc,
    pub(crate) diff: DiffReply,
    pub(crate) apply: ApplyReply,
    pub(crate) pull: PullReply,
    pub(crate) history: Vec<RevisionInfo>,
    pub(crate) texts: BTreeMap<u64, RevisionText>,
    pub(crate) logs: BTreeMap<String, Vec<LogRecord>>,
    /// Method, path and body of each request that is not a read.
    pub(crate) asked: Vec<(String, String)>,
    /// The state after an apply.
    pub(crate) after_apply: Option<StatusDoc>,
    /// What systemd says of itself; `None`: it does not answer.
    pub(crate) systemd: Option<SystemdReport>,
    /// An order to this service is refused with this sentence.
    pub(crate) refused: Option<(String, String)>,
    /// Removals of models are answered with this.
    pub(crate) refusal_of_models: Option<(u16, String)>,
    /// Answers everything with this.
    pub(crate) refusal: Option<(u16, String)>,
}

/// It stops when it is dropped.
pub(crate) struct Server {
    folder: TempDir,
    state: Arc<Mutex<State>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    pub(crate) fn new(doc: StatusDoc) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let state = Arc::new(Mutex::new(State {
            doc,
            diff: DiffReply::default(),
            apply: ApplyReply::default(),
            pull: PullReply::default(),
            history: Vec::new(),
            texts: BTreeMap::new(),
            logs: BTreeMap::new(),
            asked: Vec::new(),
            after_apply: None,
            systemd: None,
            refused: None,
            refusal_of_models: None,
            refusal: None,
        }));
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (socket, shared) = (folder.path().join("aiplatd.sock"), state.clone());
        let thread = std::thread::spawn(move || serve(&socket, &shared, stopped, &ready));
        is_ready.recv().expect("it listens");
        Self { folder, state, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics with it")
    }

    /// Changes the state; a held request is answered.
    pub(crate) fn change(&self, change: impl FnOnce(&mut StatusDoc)) {
        let mut state = self.state();
        change(&mut state.doc);
        state.doc.version += 1;
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("aiplatd.sock")
    }

    /// A folder for files of the test.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn serve(
    socket: &Path,
    state: &Arc<Mutex<State>>,
    mut stopped: oneshot::Receiver<()>,
    ready: &std::sync::mpsc::Sender<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = UnixListener::bind(socket).expect("a fresh folder");
        ready.send(()).expect("the test waits");
        loop {
            tokio::select! {
                _ = &mut stopped => return,
                accepted = listener.accept() => {
                    let (stream, _) = accepted.expect("a connection");
                    let state = state.clone();
                    let service = service_fn(move |request| answer(state.clone(), request));
                    tokio::spawn(async move {
                        drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
                    });
                }
            }
        }
    });
}

async fn answer(
    state: Arc<Mutex<State>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let body = String::from_utf8_lossy(&body).into_owned();
    let query: BTreeMap<String, String> = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let number = |name: &str| query.get(name).and_then(|value| value.parse::<u64>().ok());
    let lock = || state.lock().expect("no test panics with it");
    if let Some((status, message)) = lock().refusal.clone() {
        return Ok(json(StatusCode::from_u16(status).expect("a status"), &Error { message }));
    }
    let ok = StatusCode::OK;
    let path = uri.path();
    if method == Method::POST || path.starts_with("/v1/logs/") {
        lock().asked.push((format!("{method} {uri}"), body));
    }
    Ok(match (method, path) {
        (Method::GET, "/v1/version") => {
            let engine = lock().doc.platform.engine.clone();
            json(ok, &Version { daemon: "0.1.0".to_owned(), api: "v1".to_owned(), engine })
        }
        (Method::GET, "/v1/status") => {
            hold(number("timeout"), || number("after").is_none_or(|after| lock().doc.version > after)).await;
            json(ok, &lock().doc)
        }
        (Method::GET, "/v1/events") => {
            let after = number("after").unwrap_or(0);
            hold(number("timeout"), || lock().doc.events.iter().any(|event| event.number > after)).await;
            let events: Vec<_> =
                lock().doc.events.iter().filter(|event| event.number > after).cloned().collect();
            json(ok, &events)
        }
        (Method::GET, "/v1/systemd") => match &lock().systemd {
            Some(report) => json(ok, report),
            None => {
                json(StatusCode::BAD_GATEWAY, &Error { message: "the system bus does not answer".to_owned() })
            }
        },
        (Method::POST, "/v1/diff") => json(ok, &lock().diff),
        (Method::POST, "/v1/apply") => {
            let mut state = lock();
            if let Some(doc) = state.after_apply.take() {
                let version = state.doc.version + 1;
                state.doc = StatusDoc { version, ..doc };
            }
            json(ok, &state.apply)
        }
        (Method::POST, "/v1/prune") => {
            let asked = lock().asked.last().and_then(|(_, body)| serde_json::from_str(body).ok());
            let PruneRequest { volumes, .. } = asked.unwrap_or_default();
            json(ok, &PruneReply { volumes })
        }
        (Method::POST, "/v1/rollback") => json(ok, &lock().apply),
        (Method::POST, path) if path.starts_with("/v1/services/") && path.ends_with("/pull") => {
            json(ok, &lock().pull)
        }
        (Method::POST, path) if path.starts_with("/v1/services/") => match lock().refused.clone() {
            Some((name, message)) if path.starts_with(&format!("/v1/services/{name}/")) => {
                json(StatusCode::CONFLICT, &Error { message })
            }
            Some(_) | None => json(ok, &Done::default()),
        },
        (Method::POST, "/v1/models/remove") => {
            let state = lock();
            let asked = state.asked.last().and_then(|(_, body)| serde_json::from_str(body).ok());
            let RemoveModelRequest { model, dry_run, .. } = asked.unwrap_or_default();
            let verb = if dry_run { "would remove" } else { "removed" };
            match state.refusal_of_models.clone() {
                Some((status, message)) => {
                    json(StatusCode::from_u16(status).expect("a status"), &Error { message })
                }
                None => json(ok, &Done { message: format!("{verb} {model}") }),
            }
        }
        (Method::POST, path) if path.starts_with("/v1/models/") => json(ok, &Done::default()),
        (Method::GET, "/v1/history") => json(ok, &lock().history),
        (Method::GET, path) if path.starts_with("/v1/history/") => {
            let number = path.trim_start_matches("/v1/history/").parse().unwrap_or_default();
            match lock().texts.get(&number) {
                Some(text) => json(ok, text),
                None => json(StatusCode::NOT_FOUND, &Error { message: format!("no revision {number}") }),
            }
        }
        (Method::GET, path) if path.starts_with("/v1/logs/") => {
            let name = path.trim_start_matches("/v1/logs/");
            match lock().logs.get(name) {
                Some(records) => {
                    let lines =
                        records.iter().map(|it| serde_json::to_string(it).expect("it is JSON") + "\n");
                    Response::new(Full::from(lines.collect::<String>()))
                }
                None => {
                    json(StatusCode::CONFLICT, &Error { message: format!("{name} has no container yet") })
                }
            }
        }
        (_, path) => json(StatusCode::NOT_FOUND, &Error { message: format!("there is no {path}") }),
    })
}

async fn hold(timeout: Option<u64>, is_due: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_due() && started.elapsed() < Duration::from_secs(timeout.unwrap_or(0)) {
        tokio::time::sleep(LOOK).await;
    }
}

fn json<T: Serialize>(status: StatusCode, value: &T) -> Response<Full<Bytes>> {
    let body = serde_json::to_vec(value).expect("it is JSON");
    Response::builder().status(status).body(Full::from(body)).expect("it is a response")
}
