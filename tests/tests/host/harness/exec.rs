//! Commands inside the host, by the engine's exec: argv in, code and both streams out.

use std::{
    io::{self, Read},
    time::Duration,
};

use serde_json::{Value, json};

use super::{engine::Engine, http};

/// An installation of a package, or a wait of `aiplatctl`, takes no longer.
const TIMEOUT: Duration = Duration::from_secs(120);

/// How a command ended and what it said.
#[derive(Debug, Clone)]
pub(crate) struct Ran {
    pub(crate) code: i64,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// Both streams.
    pub(crate) fn said(&self) -> String {
        format!("{}{}", self.out, self.err)
    }
}

/// Runs `argv` in `container` to its end; any exit code is a value.
pub(super) fn run(engine: &Engine, container: &str, argv: &[&str]) -> io::Result<Ran> {
    let body = json!({"AttachStdout": true, "AttachStderr": true, "Cmd": argv, "Env": ["LC_ALL=C.UTF-8", "NO_COLOR=1"]});
    let created = call(engine, "POST", &format!("/containers/{container}/exec"), &body)?;
    let id = created["Id"].as_str().ok_or_else(|| io::Error::other(format!("it does not run: {created}")))?;
    let start = json!({"Detach": false, "Tty": false}).to_string();
    let mut stream = http::send(&engine.socket, "POST", &format!("/exec/{id}/start"), start.as_bytes())?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let mut raw = Vec::new();
    stream.read_to_end(&mut raw)?;
    let head = raw.windows(4).position(|window| window == b"\r\n\r\n").map_or(raw.len(), |at| at + 4);
    let [out, err] = streams(&raw[head..]);
    let ended = call(engine, "GET", &format!("/exec/{id}/json"), &Value::Null)?;
    let code =
        ended["ExitCode"].as_i64().ok_or_else(|| io::Error::other(format!("no exit code: {ended}")))?;
    Ok(Ran { code, out, err })
}

fn call(engine: &Engine, method: &str, path: &str, body: &Value) -> io::Result<Value> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = http::request(&engine.socket, method, path, body.as_bytes())?;
    serde_json::from_slice(&answer.body).map_err(|_| io::Error::other(answer.text()))
}

/// The engine mixes both streams in frames: the stream's number, three zeros, the length, the bytes.
fn streams(mut mixed: &[u8]) -> [String; 2] {
    let mut streams = [Vec::new(), Vec::new()];
    while let Some((head, rest)) = mixed.split_first_chunk::<8>() {
        let [number, _, _, _, length @ ..] = *head;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(rest.len()).min(rest.len());
        let (frame, next) = rest.split_at(length);
        streams[usize::from(number == 2)].extend_from_slice(frame);
        mixed = next;
    }
    streams.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}
