//! The engine's side of `exec`: three calls, and a connection that becomes a stream of the engine's own protocol.

use std::io;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::unix::{OwnedReadHalf, OwnedWriteHalf},
    sync::mpsc,
};

use crate::{
    args::ExecArgs,
    engine::{Engine, message},
    exit::Failure,
};

/// Of a frame: which stream, three zeros, the length.
const HEADER: usize = 8;

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

impl Engine {
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
