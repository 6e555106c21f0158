//! A client for the daemon's Unix socket: bare HTTP/1.1, one connection a call.
//!
//! A connection to a Unix socket costs 0.1 ms; keeping one alive would cost care, for a daemon that was restarted
//! leaves stale ones behind. Nothing here retries: who calls knows whether trying again makes sense.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, Response, body::Incoming, header};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{net::UnixStream, task::JoinHandle, time::timeout};

use aiplat_core::plan::Command;

use crate::v1::{
    ApplyReply, ApplyRequest, DiffReply, DiffRequest, Done, Error, Event, LogRecord, PruneReply,
    PruneRequest, PullReply, RemoveModelRequest, RevisionInfo, RevisionText, RollbackRequest, ServiceUsage,
    StatusDoc, SystemdReport, Version,
};

/// No answer that is read as a whole may be larger: the status of 2,000 services is 20 MB.
const ANSWER_MAX: usize = 64 << 20;
/// A log line longer than this is not a line.
const LINE_MAX: usize = 4 << 20;
/// What a daemon that is alive answers within; planning 2,000 services on a loaded machine is the slowest of it.
const PATIENCE: Duration = Duration::from_secs(30);

/// The state is in memory: a daemon that does not tell it within this hangs, and who asks wants to know that.
const STATUS_PATIENCE: Duration = Duration::from_secs(10);

/// As long as the daemon gives a pull.
const LONGEST_PULL: Duration = Duration::from_secs(3_600);

/// As long as somebody waits for volumes to be removed.
const LONGEST_PRUNE: Duration = Duration::from_secs(3_600);

/// The daemon behind one socket.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

/// Why there is no answer to use.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The daemon did not get the question, or did not answer it.
    #[error("aiplatd is not reachable: {0}")]
    NotReachable(NotReachable),
    /// The daemon said no.
    #[error("{message}")]
    Api {
        /// HTTP status.
        status: u16,
        /// The daemon's sentence.
        message: String,
    },
    /// The daemon speaks another language.
    #[error("the answer of aiplatd to {what} cannot be read")]
    Malformed {
        /// Method and path.
        what: String,
        /// What was expected.
        #[source]
        source: serde_json::Error,
    },
    /// The daemon says more than it should.
    #[error("the answer of aiplatd to {what} is larger than {limit} bytes")]
    TooLarge {
        /// Method and path.
        what: String,
        /// The bound.
        limit: usize,
    },
}

/// Why the daemon is not reachable. Each has its sentence and its cure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotReachable {
    /// There is no socket: it was never started, or was stopped.
    NoSocket(PathBuf),
    /// A socket that nobody listens on: it has crashed.
    Refused(PathBuf),
    /// The caller is neither root nor in the group.
    Denied(PathBuf),
    /// It takes the connection and says nothing.
    Silent(PathBuf, Duration),
    /// It hung up in the middle.
    Broken(PathBuf, String),
    /// The system refused the connection in another way.
    Other(PathBuf, String),
}

impl NotReachable {
    fn connect(socket: &Path, error: &io::Error) -> Self {
        let socket = socket.to_owned();
        let kind = error.kind();
        if kind == io::ErrorKind::NotFound {
            Self::NoSocket(socket)
        } else if kind == io::ErrorKind::ConnectionRefused {
            Self::Refused(socket)
        } else if kind == io::ErrorKind::PermissionDenied {
            Self::Denied(socket)
        } else {
            Self::Other(socket, error.to_string())
        }
    }

    /// What to do next.
    #[must_use]
    pub fn next_step(&self) -> String {
        match self {
            Self::NoSocket(_) => {
                "start it with `systemctl start aiplatd`, or name its socket with --socket".into()
            }
            Self::Refused(_) => {
                "start it with `systemctl start aiplatd`; `journalctl -u aiplatd -e` says how it ended".into()
            }
            Self::Denied(_) => {
                "run it as root, or join the group with `usermod -aG aiplat $USER` and log in again".into()
            }
            Self::Silent(..) => {
                "`systemctl status aiplatd` says what it does; its watchdog restarts it when it hangs".into()
            }
            Self::Broken(..) => "try again; `journalctl -u aiplatd -e` says whether it was restarted".into(),
            Self::Other(socket, _) => {
                format!("is {} the socket of aiplatd? name it with --socket", socket.display())
            }
        }
    }
}

impl fmt::Display for NotReachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSocket(socket) => write!(f, "there is no socket at {}", socket.display()),
            Self::Refused(socket) => write!(f, "nobody listens at {}", socket.display()),
            Self::Denied(socket) => write!(f, "permission denied for {}", socket.display()),
            Self::Silent(socket, limit) => {
                write!(f, "no answer at {} within {}s", socket.display(), limit.as_secs())
            }
            Self::Broken(socket, reason) => {
                write!(f, "the connection to {} broke: {reason}", socket.display())
            }
            Self::Other(socket, reason) => write!(f, "cannot connect to {}: {reason}", socket.display()),
        }
    }
}

impl ClientError {
    /// Why the daemon is not reachable, if that is what it is.
    #[must_use]
    pub fn not_reachable(&self) -> Option<&NotReachable> {
        match self {
            Self::NotReachable(reason) => Some(reason),
            Self::Api { .. } | Self::Malformed { .. } | Self::TooLarge { .. } => None,
        }
    }
}

/// Which lines of a log to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// Go on with what is written from now on.
    pub follow: bool,
    /// No more than the last so many.
    pub tail: Option<u64>,
    /// Not before, RFC 3339.
    pub since: Option<String>,
    /// The run before the present one, also when its container is gone: its last 200 lines.
    pub previous: bool,
}

/// The lines of a log as they come. Dropping it closes the connection.
#[derive(Debug)]
pub struct LogStream {
    socket: PathBuf,
    what: String,
    body: Incoming,
    buffer: BytesMut,
    ended: bool,
    _driver: Driver,
}

/// The task that moves one connection's bytes; it ends with its owner.
#[derive(Debug)]
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One call and how long its answer may take.
struct Call {
    method: Method,
    path: String,
    body: Option<Bytes>,
    patience: Duration,
}

impl Call {
    fn get(path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), body: None, patience: PATIENCE }
    }

    fn post<T: Serialize>(path: impl Into<String>, body: &T) -> Self {
        let body = serde_json::to_vec(body).expect("wire types are JSON");
        Self { method: Method::POST, path: path.into(), body: Some(body.into()), patience: PATIENCE }
    }

    /// The daemon holds the answer back for up to `wait`.
    fn held_for(mut self, wait: Duration) -> Self {
        self.patience = wait.saturating_add(PATIENCE);
        self
    }

    fn what(&self) -> String {
        let path = self.path.split('?').next().unwrap_or_default();
        format!("{} {path}", self.method)
    }
}

impl Client {
    /// The daemon that listens at `socket`. Nothing is sent yet.
    #[must_use]
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// `GET /v1/version`
    ///
    /// # Errors
    /// As [`ClientError`] says; so for every call below.
    pub async fn version(&self) -> Result<Version, ClientError> {
        self.json(Call::get("/v1/version")).await
    }

    /// `GET /v1/status`
    pub async fn status(&self) -> Result<StatusDoc, ClientError> {
        self.json(Call { patience: STATUS_PATIENCE, ..Call::get("/v1/status") }).await
    }

    /// `GET /v1/status`, once its version is above `after` or `wait` has passed.
    pub async fn status_after(&self, after: u64, wait: Duration) -> Result<StatusDoc, ClientError> {
        let path = format!("/v1/status?after={after}&timeout={}", wait.as_secs());
        self.json(Call::get(path).held_for(wait)).await
    }

    /// `GET /v1/events`, those above `after`, at once.
    pub async fn events(&self, after: u64) -> Result<Vec<Event>, ClientError> {
        self.json(Call::get(format!("/v1/events?after={after}&timeout=0"))).await
    }

    /// `GET /v1/events`, those above `after`, once there is one or `wait` has passed.
    pub async fn events_after(&self, after: u64, wait: Duration) -> Result<Vec<Event>, ClientError> {
        let path = format!("/v1/events?after={after}&timeout={}", wait.as_secs());
        self.json(Call::get(path).held_for(wait)).await
    }

    /// `POST /v1/diff`
    pub async fn diff(&self, request: &DiffRequest) -> Result<DiffReply, ClientError> {
        self.json(Call::post("/v1/diff", request)).await
    }

    /// `POST /v1/apply`
    pub async fn apply(&self, request: &ApplyRequest) -> Result<ApplyReply, ClientError> {
        self.json(Call::post("/v1/apply", request)).await
    }

    /// `GET /v1/usage`
    pub async fn usage(&self) -> Result<Vec<ServiceUsage>, ClientError> {
        self.json(Call::get("/v1/usage")).await
    }

    /// `GET /v1/systemd`
    pub async fn systemd(&self) -> Result<SystemdReport, ClientError> {
        self.json(Call::get("/v1/systemd")).await
    }

    /// `GET /v1/history`
    pub async fn history(&self) -> Result<Vec<RevisionInfo>, ClientError> {
        self.json(Call::get("/v1/history")).await
    }

    /// `GET /v1/history/{revision}`
    pub async fn revision(&self, revision: u64) -> Result<RevisionText, ClientError> {
        self.json(Call::get(format!("/v1/history/{revision}"))).await
    }

    /// `POST /v1/rollback`
    pub async fn rollback(&self, request: &RollbackRequest) -> Result<ApplyReply, ClientError> {
        self.json(Call::post("/v1/rollback", request)).await
    }

    /// `POST /v1/prune`: as long as the engine takes to remove what may be large.
    pub async fn prune(&self, request: &PruneRequest) -> Result<PruneReply, ClientError> {
        self.json(Call::post("/v1/prune", request).held_for(LONGEST_PRUNE)).await
    }

    /// `POST /v1/reload`
    pub async fn reload(&self) -> Result<Done, ClientError> {
        self.json(Call { body: None, ..Call::post("/v1/reload", &()) }).await
    }

    /// `POST /v1/services/{service}/{command}`
    pub async fn order(&self, service: &str, command: Command) -> Result<Done, ClientError> {
        let word = serde_json::to_value(command).expect("wire types are JSON");
        let path = format!("/v1/services/{}/{}", escape(service), word.as_str().unwrap_or_default());
        self.json(Call { body: None, ..Call::post(path, &()) }).await
    }

    /// `POST /v1/services/{service}/pull`: as long as a pull takes.
    pub async fn pull(&self, service: &str) -> Result<PullReply, ClientError> {
        let call = Call::post(format!("/v1/services/{}/pull", escape(service)), &());
        self.json(Call { body: None, ..call }.held_for(LONGEST_PULL)).await
    }

    /// `POST /v1/models/{model}/pull`: an order; the pull itself is seen in the status.
    pub async fn pull_model(&self, model: &str) -> Result<Done, ClientError> {
        let call = Call::post(format!("/v1/models/{}/pull", escape(model)), &());
        self.json(Call { body: None, ..call }).await
    }

    /// `POST /v1/models/remove`
    pub async fn remove_model(&self, request: &RemoveModelRequest) -> Result<Done, ClientError> {
        self.json(Call::post("/v1/models/remove", request)).await
    }

    /// `POST /v1/services/{service}/suspend`, for a while or until it is resumed.
    pub async fn suspend(&self, service: &str, lasts: Option<Duration>) -> Result<Done, ClientError> {
        let terms = lasts.map(|lasts| format!("?for={}", lasts.as_secs())).unwrap_or_default();
        let path = format!("/v1/services/{}/suspend{terms}", escape(service));
        self.json(Call { body: None, ..Call::post(path, &()) }).await
    }

    /// `GET /v1/logs/{service}`
    pub async fn logs(&self, service: &str, query: &LogQuery) -> Result<LogStream, ClientError> {
        let LogQuery { follow, tail, since, previous } = query;
        let mut path = format!("/v1/logs/{}?follow={follow}", escape(service));
        if let Some(tail) = tail {
            path.push_str(&format!("&tail={tail}"));
        }
        if let Some(since) = since {
            path.push_str(&format!("&since={}", escape(since)));
        }
        if *previous {
            path.push_str("&previous=true");
        }
        let call = Call::get(path);
        let what = call.what();
        let (response, driver) = self.send(call).await?;
        Ok(LogStream {
            socket: self.socket.clone(),
            what,
            body: response.into_body(),
            buffer: BytesMut::new(),
            ended: false,
            _driver: driver,
        })
    }

    async fn json<T: DeserializeOwned>(&self, call: Call) -> Result<T, ClientError> {
        let what = call.what();
        let patience = call.patience;
        let (response, _driver) = self.send(call).await?;
        let body = self.collect(response.into_body(), &what, patience).await?;
        serde_json::from_slice(&body).map_err(|source| ClientError::Malformed { what, source })
    }

    /// Connects, asks, and returns the answer if it is a good one.
    async fn send(&self, call: Call) -> Result<(Response<Incoming>, Driver), ClientError> {
        let what = call.what();
        let patience = call.patience;
        let silent = |_| self.not_reachable(NotReachable::Silent(self.socket.clone(), patience));
        let (response, driver) = timeout(patience, self.exchange(call)).await.map_err(silent)??;
        let status = response.status();
        if status.is_success() {
            return Ok((response, driver));
        }
        let body = self.collect(response.into_body(), &what, PATIENCE).await?;
        let message = match serde_json::from_slice::<Error>(&body) {
            Ok(error) => error.message,
            Err(_) => format!("aiplatd answered {status} to {what}"),
        };
        Err(ClientError::Api { status: status.as_u16(), message })
    }

    async fn exchange(&self, call: Call) -> Result<(Response<Incoming>, Driver), ClientError> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| self.not_reachable(NotReachable::connect(&self.socket, &error)))?;
        let broken = |error: hyper::Error| self.broken(&error);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // How the connection ends is seen by whoever reads the answer.
        let driver = Driver(tokio::spawn(async move { drop(connection.await) }));
        let request = Request::builder()
            .method(call.method)
            .uri(call.path)
            .header(header::HOST, "aiplatd")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(call.body.unwrap_or_default()))
            .expect("paths are escaped");
        let response = sender.send_request(request).await.map_err(broken)?;
        Ok((response, driver))
    }

    async fn collect(
        &self,
        mut body: Incoming,
        what: &str,
        patience: Duration,
    ) -> Result<Vec<u8>, ClientError> {
        let mut whole = Vec::new();
        loop {
            let silent = |_| self.not_reachable(NotReachable::Silent(self.socket.clone(), patience));
            let Some(frame) = timeout(patience, body.frame()).await.map_err(silent)? else {
                return Ok(whole);
            };
            let frame = frame.map_err(|error| self.broken(&error))?;
            whole.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
            if whole.len() > ANSWER_MAX {
                return Err(ClientError::TooLarge { what: what.to_owned(), limit: ANSWER_MAX });
            }
        }
    }

    fn broken(&self, error: &hyper::Error) -> ClientError {
        self.not_reachable(NotReachable::Broken(self.socket.clone(), error.to_string()))
    }

    fn not_reachable(&self, reason: NotReachable) -> ClientError {
        ClientError::NotReachable(reason)
    }
}

impl LogStream {
    /// The next line; `None` at the end. Cancel-safe: what was read stays in the buffer.
    pub async fn next(&mut self) -> Result<Option<LogRecord>, ClientError> {
        loop {
            if let Some(line) = self.line() {
                if line.is_empty() {
                    continue;
                }
                let what = || self.what.clone();
                let record = serde_json::from_slice(&line);
                return record.map(Some).map_err(|source| ClientError::Malformed { what: what(), source });
            }
            if self.ended {
                return Ok(None);
            }
            if self.buffer.len() > LINE_MAX {
                return Err(ClientError::TooLarge { what: self.what.clone(), limit: LINE_MAX });
            }
            match self.body.frame().await {
                None => self.ended = true,
                Some(Ok(frame)) => {
                    self.buffer.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data))
                }
                Some(Err(error)) => {
                    let reason = NotReachable::Broken(self.socket.clone(), error.to_string());
                    return Err(ClientError::NotReachable(reason));
                }
            }
        }
    }

    /// A whole line of the buffer, or what is left of it at the end.
    fn line(&mut self) -> Option<Bytes> {
        match self.buffer.iter().position(|byte| *byte == b'\n') {
            Some(end) => {
                let line = self.buffer.split_to(end).freeze();
                self.buffer.advance(1);
                Some(line)
            }
            None if self.ended && !self.buffer.is_empty() => Some(self.buffer.split().freeze()),
            None => None,
        }
    }
}

/// Percent-encodes what is not unreserved, for a path segment or a value of a query.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_of_being_away_has_its_own_cure() {
        let socket = Path::new("/run/aiplatd/aiplatd.sock");
        let of = |kind: io::ErrorKind| NotReachable::connect(socket, &io::Error::from(kind));
        assert!(of(io::ErrorKind::NotFound).next_step().contains("systemctl start aiplatd"));
        assert!(of(io::ErrorKind::ConnectionRefused).next_step().contains("journalctl"));
        let denied = of(io::ErrorKind::PermissionDenied);
        assert_eq!(denied.to_string(), "permission denied for /run/aiplatd/aiplatd.sock");
        assert!(denied.next_step().contains("usermod -aG aiplat"));
        assert!(matches!(of(io::ErrorKind::NotADirectory), NotReachable::Other(..)));
    }

    #[test]
    fn names_cannot_leave_their_place_in_a_path() {
        assert_eq!(escape("open-webui_1.x~"), "open-webui_1.x~");
        assert_eq!(escape("../a b?c&d#é"), "..%2Fa%20b%3Fc%26d%23%C3%A9");
    }
}
