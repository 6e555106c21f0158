//! A request of HTTP/1.1, as far as this program needs it.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(5);
const HEAD_MAX: u64 = 16 * 1024;
const BODY_MAX: u64 = 64 * 1024;

/// What was asked.
#[derive(Debug, Default, PartialEq)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub body: String,
}

impl Request {
    /// Reads one; nothing where there is none.
    pub fn read(stream: &TcpStream) -> Option<Self> {
        stream.set_read_timeout(Some(TIMEOUT)).ok()?;
        stream.set_write_timeout(Some(TIMEOUT)).ok()?;
        let mut reader = BufReader::new(stream.take(HEAD_MAX + BODY_MAX));
        let mut first = String::new();
        reader.read_line(&mut first).ok()?;
        let mut words = first.split_whitespace();
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut length = 0_u64;
        // The whole head is read: closing a socket with unread input resets the connection under the answer.
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 || line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = String::new();
        reader.take(length.min(BODY_MAX)).read_to_string(&mut body).ok()?;
        Some(Self { method, target, body })
    }
}
