//! A small HTTP/1.1 client over the engine's Unix socket: one connection a call.
//!
//! A connection costs 0.1 ms, less than keeping one alive would cost in care: there is none to go stale, an engine
//! that comes back is simply found by the next call, and a caller that gives up closes what it opened.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, StatusCode, body::Incoming, header};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{net::UnixStream, task::JoinHandle};

use super::calls::{Calls, Counter, Endpoint, escape_query};

/// The oldest API that has all that we send (Docker Engine 20.10).
const OLDEST: ApiVersion = ApiVersion { major: 1, minor: 41 };
/// The newest API that we were written against; newer engines answer it as well.
const NEWEST: ApiVersion = ApiVersion { major: 1, minor: 44 };
/// No answer of the engine that is read as a whole may be larger: 10,000 containers make 7 MB.
const MAX_ANSWER: usize = 64 << 20;

/// A version of the engine's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ApiVersion {
    major: u16,
    minor: u16,
}

/// What of a call needs a newer engine than the oldest that we speak to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Since {
    /// The API that brought it.
    pub(crate) api: ApiVersion,
    /// The engine that speaks it: `26`.
    pub(crate) engine: u16,
    /// The key of the file.
    pub(crate) key: String,
}

/// Why there is no answer to use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// No connection: nothing was sent.
    #[error("{source}")]
    Connect {
        /// Why.
        source: std::io::Error,
    },
    /// The connection broke before the answer was whole.
    #[error("the connection broke: {reason}")]
    Broken {
        /// What hyper said.
        reason: String,
        /// The call may have changed something.
        mutating: bool,
    },
    /// The engine answered with an error.
    #[error("{status}: {message}")]
    Answered {
        /// HTTP status.
        status: StatusCode,
        /// The engine's sentence.
        message: String,
    },
    /// An answer that cannot be read.
    #[error("an answer that cannot be read: {reason}")]
    Malformed {
        /// Why.
        reason: String,
    },
    /// The engine is older than what this call needs; nothing was sent.
    #[error("`{}` needs API {}, and the engine speaks {found}", since.key, since.api)]
    Lacks {
        /// What it lacks.
        since: Since,
        /// What it speaks.
        found: ApiVersion,
    },
    /// The engine is older than what we need.
    #[error("API {found}, older than {OLDEST}")]
    TooOld {
        /// What it speaks.
        found: ApiVersion,
    },
}

/// The engine behind one socket.
#[derive(Debug)]
pub(crate) struct Client {
    socket: PathBuf,
    /// Of the engine that answered last; forgotten when a connection fails, for the next engine may be another.
    version: Mutex<Option<ApiVersion>>,
    /// The driver that the engine gives containers which name none. Forgotten with the version.
    log_driver: Mutex<Option<String>>,
    /// The engine as it last called itself, for people; outlives a broken connection.
    described: Mutex<Option<String>>,
    counter: Counter,
}

/// One call to make.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    endpoint: Endpoint<'a>,
    query: Vec<(&'static str, String)>,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
    since: Option<Since>,
}

/// An answer whose body is still coming. Dropping it closes the connection and ends its task.
#[derive(Debug)]
pub(crate) struct Stream {
    response: Response<Incoming>,
    mutating: bool,
    _driver: Driver,
}

/// The task that moves one connection's bytes; it ends with its owner.
#[derive(Debug)]
struct Driver(JoinHandle<()>);

impl<'a> Call<'a> {
    pub(crate) fn new(endpoint: Endpoint<'a>) -> Self {
        Self { endpoint, query: Vec::new(), headers: Vec::new(), body: Bytes::new(), since: None }
    }

    pub(crate) fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    /// The engine's `filters` parameter.
    pub(crate) fn filters(self, filters: &[(&str, &[&str])]) -> Self {
        let filters: BTreeMap<_, _> = filters.iter().copied().collect();
        let json = serde_json::to_string(&filters).expect("a map of strings is JSON");
        self.query("filters", json)
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn json(mut self, body: &impl Serialize) -> Self {
        self.body = serde_json::to_vec(body).expect("our own bodies are JSON").into();
        self.header("content-type", "application/json")
    }

    /// The call needs an engine that knows all of `needs`.
    pub(crate) fn since(mut self, needs: Vec<Since>) -> Self {
        self.since = needs.into_iter().chain(self.since).max();
        self
    }

    fn request(&self, version: Option<ApiVersion>) -> Result<Request<Full<Bytes>>, CallError> {
        let mut target = version.map(|version| format!("/v{version}")).unwrap_or_default();
        target.push_str(&self.endpoint.path());
        for (index, (name, value)) in self.query.iter().enumerate() {
            target.push_str(&format!("{}{name}={}", if index == 0 { '?' } else { '&' }, escape_query(value)));
        }
        let mut request =
            Request::builder().method(self.endpoint.method()).uri(target).header(header::HOST, "docker");
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let malformed = |error: hyper::http::Error| CallError::Malformed { reason: error.to_string() };
        request.body(Full::new(self.body.clone())).map_err(malformed)
    }
}

impl Client {
    pub(crate) fn new(socket: PathBuf) -> Arc<Self> {
        Arc::new(Self {
            socket,
            version: Mutex::new(None),
            log_driver: Mutex::new(None),
            described: Mutex::new(None),
            counter: Counter::default(),
        })
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    pub(crate) fn calls(&self) -> Calls {
        self.counter.snapshot()
    }

    /// The engine as it last called itself: `20.10.24 (API 1.41)`.
    pub(crate) fn described(&self) -> Option<String> {
        super::lock(&self.described).clone()
    }

    /// Agree anew on a version before the next call.
    pub(crate) fn forget_version(&self) {
        *super::lock(&self.version) = None;
        *super::lock(&self.log_driver) = None;
    }

    /// The log driver of containers that name none; asked for once. What cannot be asked is nothing known.
    pub(crate) async fn log_driver(&self) -> Option<String> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Info {
            logging_driver: String,
        }
        let known = super::lock(&self.log_driver).clone();
        if known.is_some() {
            return known;
        }
        let Info { logging_driver } = self.read(Call::new(Endpoint::Info)).await.ok()?;
        *super::lock(&self.log_driver) = Some(logging_driver.clone());
        Some(logging_driver)
    }

    /// Makes a call and reads its answer as JSON.
    pub(crate) async fn read<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, CallError> {
        let (_, body) = self.send(call).await?;
        serde_json::from_slice(&body).map_err(|error| CallError::Malformed { reason: error.to_string() })
    }

    /// Makes a call and reads its whole answer. 304 is an answer, not an error.
    pub(crate) async fn send(&self, call: Call<'_>) -> Result<(StatusCode, Bytes), CallError> {
        let mut stream = self.open(call).await?;
        let status = stream.response.status();
        Ok((status, stream.rest(MAX_ANSWER).await?))
    }

    /// Makes a call, and hands over its answer once the engine has accepted it.
    pub(crate) async fn open(&self, call: Call<'_>) -> Result<Stream, CallError> {
        let version = self.engine_version().await?;
        if let Some(since) = call.since.as_ref().filter(|since| since.api > version) {
            return Err(CallError::Lacks { since: since.clone(), found: version });
        }
        match self.exchange(&call, Some(version)).await {
            // The engine was replaced under us. Its version check comes before anything else, so nothing was done.
            Err(CallError::Answered { status: StatusCode::BAD_REQUEST, message })
                if is_version_refusal(&message) =>
            {
                self.forget_version();
                let version = self.engine_version().await?;
                self.exchange(&call, Some(version)).await
            }
            other => other,
        }
    }

    /// What the engine speaks, which may be newer than what we do.
    pub(crate) async fn engine_version(&self) -> Result<ApiVersion, CallError> {
        let known = *super::lock(&self.version);
        if let Some(version) = known {
            return Ok(version);
        }
        let ping = self.exchange(&Call::new(Endpoint::Ping), None).await?;
        let engine = match api_version(&ping.response) {
            Some(version) => version,
            None => self.version_of_body().await?,
        };
        if engine < OLDEST {
            return Err(CallError::TooOld { found: engine });
        }
        let version = engine.min(NEWEST);
        *super::lock(&self.version) = Some(engine);
        *super::lock(&self.described) = Some(match server(&ping.response) {
            Some(server) => format!("{server} (API {engine})"),
            None => format!("API {engine}"),
        });
        tracing::debug!(%engine, %version, "Agreed on the engine's API version.");
        Ok(engine)
    }

    /// For engines that do not name their version in a header.
    async fn version_of_body(&self) -> Result<ApiVersion, CallError> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Version {
            api_version: String,
        }
        let body = self.exchange(&Call::new(Endpoint::Version), None).await?.rest(MAX_ANSWER).await?;
        let malformed = |reason: String| CallError::Malformed { reason };
        let version: Version = serde_json::from_slice(&body).map_err(|error| malformed(error.to_string()))?;
        ApiVersion::parse(&version.api_version)
            .ok_or_else(|| malformed(format!("API version `{}`", version.api_version)))
    }

    async fn exchange(&self, call: &Call<'_>, version: Option<ApiVersion>) -> Result<Stream, CallError> {
        self.counter.add(call.endpoint);
        // A call that needs more than what we were written against is made in the version that brought it.
        let newest = call.since.as_ref().map_or(NEWEST, |since| since.api.max(NEWEST));
        let request = call.request(version.map(|engine| engine.min(newest)))?;
        let result = self.connect_and_send(request, call.endpoint.mutates()).await;
        match result {
            Ok(stream) => self.check(stream, version).await,
            Err(error) => {
                self.forget_version();
                Err(error)
            }
        }
    }

    async fn connect_and_send(
        &self,
        request: Request<Full<Bytes>>,
        mutating: bool,
    ) -> Result<Stream, CallError> {
        let socket =
            UnixStream::connect(&self.socket).await.map_err(|source| CallError::Connect { source })?;
        let broken = |error: hyper::Error| CallError::Broken { reason: chain(&error), mutating };
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.map_err(broken)?;
        let driver = Driver(tokio::spawn(async move {
            // Its error reaches the caller through the response.
            connection.await.ok();
        }));
        let response = sender.send_request(request).await.map_err(broken)?;
        Ok(Stream { response, mutating, _driver: driver })
    }

    async fn check(&self, mut stream: Stream, version: Option<ApiVersion>) -> Result<Stream, CallError> {
        // Every answer of dockerd names its version: an engine upgraded between two calls is noticed here.
        if let (Some(known), Some(engine)) = (version, api_version(&stream.response))
            && engine != known
        {
            self.forget_version();
        }
        let status = stream.response.status();
        if status.is_success() || status == StatusCode::NOT_MODIFIED {
            return Ok(stream);
        }
        let body = stream.rest(1 << 20).await.unwrap_or_default();
        Err(CallError::Answered { status, message: message_of(&body) })
    }
}

impl Stream {
    /// The next piece of the body; `None` at its end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, CallError> {
        while let Some(frame) = self.response.body_mut().frame().await {
            let frame = frame
                .map_err(|error| CallError::Broken { reason: chain(&error), mutating: self.mutating })?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    async fn rest(&mut self, limit: usize) -> Result<Bytes, CallError> {
        let mut body = BytesMut::new();
        while let Some(piece) = self.next().await? {
            if body.len() + piece.len() > limit {
                return Err(CallError::Malformed { reason: format!("it is longer than {limit} bytes") });
            }
            body.extend_from_slice(&piece);
        }
        Ok(body.freeze())
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl ApiVersion {
    pub(crate) const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }

    fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.trim().split_once('.')?;
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

impl std::fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

fn api_version(response: &Response<Incoming>) -> Option<ApiVersion> {
    ApiVersion::parse(response.headers().get("api-version")?.to_str().ok()?)
}

/// `Docker/20.10.24 (linux)` in the header `Server` is `20.10.24`; another engine is named whole.
fn server(response: &Response<Incoming>) -> Option<String> {
    let header = response.headers().get("server")?.to_str().ok()?;
    let name = header.split(" (").next().unwrap_or(header);
    Some(name.strip_prefix("Docker/").unwrap_or(name).to_owned())
}

fn is_version_refusal(message: &str) -> bool {
    message.starts_with("client version") && (message.contains("too new") || message.contains("too old"))
}

/// The engine's sentence: `{"message": …}`, or the text itself.
fn message_of(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Message {
        message: String,
    }
    match serde_json::from_slice::<Message>(body) {
        Ok(Message { message }) => message.trim().to_owned(),
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        let version = |text| ApiVersion::parse(text).expect("a version");
        assert!(version("1.9") < version("1.41"));
        assert_eq!(version("1.53").min(NEWEST).to_string(), "1.44");
        assert_eq!(ApiVersion::parse("one"), None);
    }

    #[test]
    fn the_message_is_found_with_and_without_json() {
        assert_eq!(message_of(br#"{"message":"No such container: x"}"#), "No such container: x");
        assert_eq!(message_of(b"404 page not found\n"), "404 page not found");
    }
}
