//! HTTP by hand over the engine's socket, independent of the adapter under contract.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use serde_json::Value;

/// Status and JSON of one call; `None` when nobody answers.
pub(crate) fn call(socket: &Path, method: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    let body = if body.is_null() { String::new() } else { body.to_string() };
    // HTTP/1.0: the answer comes in one piece and ends with the connection.
    let head = format!(
        "{method} {path} HTTP/1.0\r\nhost: docker\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let split = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&answer[..split]);
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, serde_json::from_slice(&answer[split + 4..]).unwrap_or(Value::Null)))
}
