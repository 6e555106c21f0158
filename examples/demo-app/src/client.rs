//! The client side: probes, fetches, and whether an upstream accepts a connection.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(2);
const BODY_MAX: u64 = 1 << 20;

/// An HTTP answer.
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body, at most 1 MiB of it.
    pub body: String,
}

/// Succeeds if the URL answers 2xx, or for `tcp://host:port` if it accepts a connection.
pub fn probe(url: &str) -> Result<(), String> {
    if let Some(address) = url.strip_prefix("tcp://") {
        return connect(address).map(drop);
    }
    let answer = get(url)?;
    match answer.status {
        200..=299 => Ok(()),
        status => Err(format!("{url} answered {status}: {}", answer.body.trim_end())),
    }
}

/// Fetches an `http://` URL.
pub fn get(url: &str) -> Result<Answer, String> {
    let (address, path) = split_url(url)?;
    let mut stream = connect(&address)?;
    let failed = |error: std::io::Error| format!("{url}: {error}");
    stream.set_read_timeout(Some(TIMEOUT)).map_err(failed)?;
    stream.set_write_timeout(Some(TIMEOUT)).map_err(failed)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").map_err(failed)?;
    let mut answer = String::new();
    stream.take(BODY_MAX).read_to_string(&mut answer).map_err(failed)?;
    parse_answer(&answer).ok_or_else(|| format!("{url} did not answer in HTTP"))
}

/// Connects to the first address of `host:port` that accepts.
pub fn connect(address: &str) -> Result<TcpStream, String> {
    let failed = |error: std::io::Error| format!("{address}: {error}");
    let mut last = format!("{address}: no address");
    for candidate in address.to_socket_addrs().map_err(failed)? {
        match TcpStream::connect_timeout(&candidate, TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = failed(error),
        }
    }
    Err(last)
}

fn split_url(url: &str) -> Result<(String, String), String> {
    let rest = url
        .strip_prefix("http://")
        .ok_or_else(|| format!("`{url}` does not start with http:// or tcp://"))?;
    let (host, path) = match rest.split_once('/') {
        Some((host, path)) => (host, format!("/{path}")),
        None => (rest, "/".to_owned()),
    };
    let address = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    Ok((address, path))
}

fn parse_answer(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_split_into_address_and_path() {
        assert_eq!(split_url("http://db:5432/ready?x=1"), Ok(("db:5432".into(), "/ready?x=1".into())));
        assert_eq!(split_url("http://db"), Ok(("db:80".into(), "/".into())));
        assert!(split_url("db:80").is_err());
    }

    #[test]
    fn answers_are_split_into_status_and_body() {
        let answer = parse_answer("HTTP/1.1 503 Service Unavailable\r\nA: b\r\n\r\nnot yet").unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (503, "not yet"));
        assert!(parse_answer("+PONG\r\n\r\n").is_none());
    }
}
