//! The least HTTP that talks to a Unix socket, or to a container: 1.0, so that answers are never chunked, one connection a
//! call.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

/// No answer takes longer, a load of an image included.
const TIMEOUT: Duration = Duration::from_secs(15);

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One call, whatever its status.
pub(crate) fn request(socket: &Path, method: &str, path: &str, body: &[u8]) -> io::Result<Answer> {
    receive(send(socket, method, path, body)?, &format!("{method} {path}"))
}

/// GET over TCP, whatever its status.
pub(crate) fn request_at(address: &str, port: u16, path: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect((address, port))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: x\r\n\r\n").as_bytes())?;
    receive(stream, &format!("GET {path} of {address}"))
}

fn receive(mut stream: impl Read, what: &str) -> io::Result<Answer> {
    let mut raw = Vec::new();
    let received = stream.read_to_end(&mut raw);
    parse(&raw).ok_or_else(|| {
        let text = format!("no answer to {what}: {:?}", String::from_utf8_lossy(&raw));
        received.err().unwrap_or_else(|| io::Error::new(io::ErrorKind::InvalidData, text))
    })
}

/// Sends a request and leaves the answer to be read.
pub(crate) fn send(socket: &Path, method: &str, path: &str, body: &[u8]) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let content = if path.contains("/images/load") { "application/x-tar" } else { "application/json" };
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: x\r\nContent-Type: {content}\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    // Who refuses early closes its end while we still send; its reason is there to be read.
    drop(stream.write_all(body));
    Ok(stream)
}

fn parse(raw: &[u8]) -> Option<Answer> {
    let end = raw.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(raw.get(..end)?).ok()?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, body: raw.get(end + 4..)?.to_vec() })
}
