//! The engine's side of `exec`: three calls, and a connection that becomes a stream.
//!
//! The stream is the engine's own protocol on a connection that HTTP has handed over, so this speaks HTTP by hand: one
//! request a connection, an answer of a head and a body.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
};

use crate::{args::ExecArgs, exit::Failure, render::text::clean};

/// Docker Engine 20.10, the oldest that aiplatd works with.
const API: &str = "/v1.41";
/// No head of an answer is longer, and no answer that is read as a whole.
const ANSWER_MAX: usize = 1 << 20;
/// Of a frame: which stream, three zeros, the length.
const HEADER: usize = 8;

pub(super) struct Engine {
    socket: PathBuf,
}

/// A program that runs.
pub(super) struct Exec {
    id: String,
    reader: OwnedReadHalf,
    writer: Option<OwnedWriteHalf>,
    buffer: Vec<u8>,
    ended: bool,
}

/// A piece of its output.
pub(super) enum Piece {
    Out(Vec<u8>),
    Err(Vec<u8>),
}

/// An answer's head, and what came behind it.
struct Answer {
    status: u16,
    rest: Vec<u8>,
    stream: UnixStream,
}

impl Engine {
    pub(super) fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// Starts the program.
    pub(super) async fn exec(&self, container: &str, args: &ExecArgs, tty: bool) -> Result<Exec, Failure> {
        let ExecArgs { name, argv, user, workdir, env, docker_socket: _ } = args;
        let mut body = json!({
            "AttachStdin": true, "AttachStdout": true, "AttachStderr": true, "Tty": tty, "Cmd": argv, "Env": env,
        });
        if let Some(user) = user {
            body["User"] = json!(user);
        }
        if let Some(workdir) = workdir {
            body["WorkingDir"] = json!(workdir);
        }
        let created = self.call("POST", &format!("/containers/{container}/exec"), &body).await?;
        let id = created["Id"].as_str().unwrap_or_default().to_owned();
        let start = json!({"Detach": false, "Tty": tty});
        let path = format!("/exec/{id}/start");
        let answer = self.send("POST", &path, &start, "Connection: Upgrade\r\nUpgrade: tcp\r\n").await?;
        // 101, or 200 from engines that hand over without the ceremony.
        if !matches!(answer.status, 101 | 200) {
            let said = message(&self.whole(answer).await?);
            return Err(Failure::failed(format!("cannot run `{}` in {name}: {said}", argv.join(" "))));
        }
        let (reader, writer) = answer.stream.into_split();
        Ok(Exec { id, reader, writer: Some(writer), buffer: answer.rest, ended: false })
    }

    /// Tells the program the size of its window. One that has just ended has no window.
    pub(super) async fn resize(&self, exec: &Exec, (rows, columns): (u16, u16)) {
        let path = format!("/exec/{}/resize?h={rows}&w={columns}", exec.id);
        drop(self.call("POST", &path, &Value::Null).await);
    }

    pub(super) async fn exit_code(&self, exec: &Exec) -> Result<u8, Failure> {
        let inspect = self.call("GET", &format!("/exec/{}/json", exec.id), &Value::Null).await?;
        let code = inspect["ExitCode"].as_u64().and_then(|code| u8::try_from(code).ok());
        code.ok_or_else(|| Failure::failed("the connection to the program broke; it may still run"))
    }

    async fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value, Failure> {
        let answer = self.send(method, path, body, "Connection: close\r\n").await?;
        let status = answer.status;
        let body = self.whole(answer).await?;
        if (200..300).contains(&status) {
            return Ok(serde_json::from_slice(&body).unwrap_or_default());
        }
        Err(Failure::failed(format!("the engine refused: {}", message(&body))))
    }

    async fn send(&self, method: &str, path: &str, body: &Value, headers: &str) -> Result<Answer, Failure> {
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
    async fn whole(&self, answer: Answer) -> Result<Vec<u8>, Failure> {
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

impl Exec {
    /// Sends `input` to the program, and its end.
    pub(super) fn send(
        &mut self,
        mut input: mpsc::Receiver<Vec<u8>>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let writer = self.writer.take();
        async move {
            let Some(mut writer) = writer else { return };
            while let Some(piece) = input.recv().await {
                // Where it breaks, the program has ended.
                if writer.write_all(&piece).await.is_err() {
                    return;
                }
            }
            drop(writer.shutdown().await);
        }
    }

    /// The next piece of output; `None` at the end. Cancel-safe: what was read stays in the buffer.
    pub(super) async fn next(&mut self, tty: bool) -> Result<Option<Piece>, Failure> {
        loop {
            if let Some(piece) = self.piece(tty) {
                return Ok(Some(piece));
            }
            if self.ended {
                return Ok(None);
            }
            let broke =
                |error: io::Error| Failure::failed(format!("the connection to the program broke: {error}"));
            self.ended = self.reader.read_buf(&mut self.buffer).await.map_err(broke)? == 0;
        }
    }

    fn piece(&mut self, tty: bool) -> Option<Piece> {
        if tty {
            return (!self.buffer.is_empty()).then(|| Piece::Out(std::mem::take(&mut self.buffer)));
        }
        let header: [u8; HEADER] = self.buffer.get(..HEADER)?.try_into().ok()?;
        let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
        if self.buffer.len() < HEADER + length {
            return None;
        }
        let bytes = self.buffer[HEADER..HEADER + length].to_vec();
        self.buffer.drain(..HEADER + length);
        Some(if header[0] == 2 { Piece::Err(bytes) } else { Piece::Out(bytes) })
    }
}

fn message(body: &[u8]) -> String {
    let parsed: Option<Value> = serde_json::from_slice(body).ok();
    let said = parsed.as_ref().and_then(|it| it["message"].as_str()).map(str::to_owned);
    clean(&said.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned()))
}
