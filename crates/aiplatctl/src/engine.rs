//! The engine's own socket, for what does not go through the daemon: programs in containers, and a machine whose daemon does
//! not answer. HTTP by hand: one request a connection, an answer of a head and a body.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

use crate::{exit::Failure, render::text::clean};

/// Where Docker listens unless it is told otherwise.
pub(crate) const DOCKER_SOCKET: &str = "/var/run/docker.sock";
/// Docker Engine 20.10, the oldest that aiplatd works with.
const API: &str = "/v1.41";
/// No head of an answer is longer, and no answer that is read as a whole.
const ANSWER_MAX: usize = 1 << 20;
/// An engine that says nothing for so long is as good as away.
const PATIENCE: Duration = Duration::from_secs(5);

/// The engine behind a socket.
pub(crate) struct Engine {
    socket: PathBuf,
}

/// An answer's head, and what came behind it.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) rest: Vec<u8>,
    pub(crate) stream: UnixStream,
}

/// The socket that `DOCKER_HOST` names, or the usual one.
///
/// # Errors
/// When that variable names no Unix socket: its value.
pub(crate) fn socket() -> Result<PathBuf, String> {
    let host = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
    match host.as_deref().map(|host| (host, host.strip_prefix("unix://"))) {
        None => Ok(DOCKER_SOCKET.into()),
        Some((_, Some(path))) => Ok(path.into()),
        Some((host, None)) => Err(host.to_owned()),
    }
}

impl Engine {
    pub(crate) fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// What the engine answers to a question, within a few seconds.
    pub(crate) async fn ask(&self, path: &str) -> Result<Value, Failure> {
        let asked = tokio::time::timeout(PATIENCE, self.call("GET", path, &Value::Null));
        asked.await.unwrap_or_else(|_| {
            let after = PATIENCE.as_secs();
            Err(Failure::failed(format!(
                "the engine at {} has not answered within {after}s",
                self.socket.display()
            )))
        })
    }

    pub(crate) async fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value, Failure> {
        let answer = self.send(method, path, body, "Connection: close\r\n").await?;
        let status = answer.status;
        let body = self.whole(answer).await?;
        if (200..300).contains(&status) {
            return Ok(serde_json::from_slice(&body).unwrap_or_default());
        }
        Err(Failure::failed(format!("the engine refused: {}", message(&body))))
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        body: &Value,
        headers: &str,
    ) -> Result<Answer, Failure> {
        let mut stream = UnixStream::connect(&self.socket).await.map_err(|error| self.unreachable(&error))?;
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let head = format!(
            "{method} {API}{path} HTTP/1.1\r\nHost: docker\r\n{headers}Content-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        let broke =
            |error: io::Error| Failure::failed(format!("the connection to the engine broke: {error}"));
        stream.write_all(head.as_bytes()).await.map_err(broke)?;
        stream.write_all(body.as_bytes()).await.map_err(broke)?;
        let mut read = Vec::new();
        loop {
            if let Some(end) = read.windows(4).position(|it| it == b"\r\n\r\n") {
                let rest = read.split_off(end + 4);
                let head = String::from_utf8_lossy(&read).into_owned();
                let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
                return Ok(Answer { status, rest, stream });
            }
            if read.len() > ANSWER_MAX || stream.read_buf(&mut read).await.map_err(broke)? == 0 {
                return Err(Failure::failed("the engine's answer cannot be read"));
            }
        }
    }

    /// The body of a short answer on a connection that closes behind it; chunked or not, its JSON is between the braces.
    pub(crate) async fn whole(&self, answer: Answer) -> Result<Vec<u8>, Failure> {
        let Answer { status: _, mut rest, stream } = answer;
        let broke =
            |error: io::Error| Failure::failed(format!("the connection to the engine broke: {error}"));
        stream.take(ANSWER_MAX as u64).read_to_end(&mut rest).await.map_err(broke)?;
        let from = rest.iter().position(|byte| *byte == b'{').unwrap_or(0);
        let to = rest.iter().rposition(|byte| *byte == b'}').map_or(rest.len(), |at| at + 1);
        Ok(rest[from.min(to)..to].to_vec())
    }

    fn unreachable(&self, error: &io::Error) -> Failure {
        let failure =
            Failure::failed(format!("cannot reach the engine at {}: {error}", self.socket.display()));
        match error.kind() == io::ErrorKind::PermissionDenied {
            true => failure.tip("who runs programs in containers is root on this machine: use sudo"),
            false => failure.tip("name its socket with --docker-socket"),
        }
    }
}

/// The engine's sentence in an answer that is an error.
pub(crate) fn message(body: &[u8]) -> String {
    let parsed: Option<Value> = serde_json::from_slice(body).ok();
    let said = parsed.as_ref().and_then(|it| it["message"].as_str()).map(str::to_owned);
    clean(&said.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned()))
}
