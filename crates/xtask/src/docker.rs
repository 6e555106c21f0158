//! A small client of the Docker Engine API over its Unix socket.
//!
//! Ours rather than the docker CLI: Debian 13 packages the CLI apart from the engine, and a CLI call costs 30 to
//! 50 ms, which would make the engine's floor look worse than it is. HTTP/1.0, so that answers are never chunked.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(60);
/// Unpacking half a gigabyte on a slow disk.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(300);

/// A way to the engine; every call opens its own connection.
#[derive(Debug, Clone)]
pub struct Docker {
    socket: PathBuf,
}

/// What the engine answered.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body as it came.
    pub body: Vec<u8>,
}

impl Docker {
    /// The engine of `DOCKER_HOST`, or the machine's own.
    pub fn from_environment() -> Result<Self> {
        Self::at(std::env::var("DOCKER_HOST").ok().as_deref())
    }

    /// The engine at this `DOCKER_HOST`.
    pub fn at(host: Option<&str>) -> Result<Self> {
        let socket = match host.filter(|host| !host.is_empty()) {
            None => "/var/run/docker.sock",
            Some(host) => host.strip_prefix("unix://").ok_or_else(|| {
                anyhow!("DOCKER_HOST={host} is not a Unix socket: unset it, or use unix:///path")
            })?,
        };
        Ok(Self { socket: socket.into() })
    }

    /// Where it listens.
    pub fn socket(&self) -> &std::path::Path {
        &self.socket
    }

    /// Its version, if it answers.
    pub fn version(&self) -> Result<String> {
        let version = self.get("/version")?;
        Ok(format!("{} (API {})", text(&version, "Version"), text(&version, "ApiVersion")))
    }

    /// GET, decoded.
    pub fn get(&self, path: &str) -> Result<Value> {
        let answer = self.success("GET", path, b"", "application/json")?;
        serde_json::from_slice(&answer.body)
            .with_context(|| format!("the engine's answer to GET {path} is not JSON"))
    }

    /// POST of JSON; the answer may be empty, which is null.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(body)? };
        let answer = self.success("POST", path, &body, "application/json")?;
        Ok(serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
    }

    /// DELETE; what is gone already is a success.
    pub fn delete(&self, path: &str) -> Result<()> {
        let answer = self.request("DELETE", path, b"", "application/json")?;
        match answer.status {
            200..=299 | 404 => Ok(()),
            _ => Err(refusal("DELETE", path, &answer)),
        }
    }

    /// A call that must succeed.
    pub fn success(&self, method: &str, path: &str, body: &[u8], content_type: &str) -> Result<Answer> {
        let answer = self.request(method, path, body, content_type)?;
        match answer.status {
            200..=299 => Ok(answer),
            _ => Err(refusal(method, path, &answer)),
        }
    }

    /// POST of an archive that does not have to fit into memory; must succeed.
    pub fn upload(&self, path: &str, archive: std::fs::File) -> Result<Answer> {
        let raw = self.send_file(path, archive).with_context(|| {
            format!("cannot send an archive to the engine at {}: POST {}", self.socket.display(), plain(path))
        })?;
        let answer = parse(&raw).ok_or_else(|| anyhow!("the engine's answer to POST {path} is not HTTP"))?;
        match answer.status {
            200..=299 => Ok(answer),
            _ => Err(refusal("POST", path, &answer)),
        }
    }

    fn send_file(&self, path: &str, mut archive: std::fs::File) -> std::io::Result<Vec<u8>> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(UPLOAD_TIMEOUT))?;
        let length = archive.metadata()?.len();
        write!(
            stream,
            "POST {path} HTTP/1.0\r\nHost: docker\r\nContent-Type: application/x-tar\r\nContent-Length: {length}\r\n\r\n"
        )?;
        // As in `exchange`: who refuses early is to be heard.
        let sent = std::io::copy(&mut archive, &mut stream);
        let mut raw = Vec::new();
        let received = stream.read_to_end(&mut raw);
        if raw.is_empty() {
            sent?;
            received?;
        }
        Ok(raw)
    }

    /// One call, whatever its status.
    pub fn request(&self, method: &str, path: &str, body: &[u8], content_type: &str) -> Result<Answer> {
        let raw = self.exchange(method, path, body, content_type).with_context(|| {
            format!("cannot talk to the engine at {}: {method} {path}", self.socket.display())
        })?;
        parse(&raw).ok_or_else(|| anyhow!("the engine's answer to {method} {path} is not HTTP"))
    }

    /// A GET whose answer comes line by line as things happen; what follows the HTTP head is left to be read.
    pub fn stream(&self, path: &str) -> Result<BufReader<UnixStream>> {
        let opened = self.open_stream(path);
        opened.with_context(|| format!("cannot read GET {path} from the engine at {}", self.socket.display()))
    }

    fn open_stream(&self, path: &str) -> Result<BufReader<UnixStream>> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n")?;
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line)?;
        if !line.contains(" 200 ") {
            bail!("it answered `{}`", line.trim_end());
        }
        while !line.trim_end().is_empty() {
            line.clear();
            stream.read_line(&mut line)?;
        }
        Ok(stream)
    }

    fn exchange(
        &self,
        method: &str,
        path: &str,
        body: &[u8],
        content_type: &str,
    ) -> std::io::Result<Vec<u8>> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nHost: docker\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )?;
        // An engine that refuses early closes its end while we still send, but its reason is there to be read.
        let sent = stream.write_all(body);
        let mut raw = Vec::new();
        let received = stream.read_to_end(&mut raw);
        if raw.is_empty() {
            sent?;
            received?;
        }
        Ok(raw)
    }
}

/// A string field, empty if it is missing.
pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// The elements of an array field; of an absent or null one, none.
pub fn items<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

/// Percent-encodes a query value.
pub fn encode(value: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    value
        .bytes()
        .map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// The `filters` query of list calls, for one label.
pub fn label_filter(label: &str) -> String {
    encode(&serde_json::json!({ "label": [label] }).to_string())
}

/// Fails if the engine's progress stream reports an error: those calls answer 200 before they have tried.
pub fn check_progress(stream: &[u8]) -> Result<()> {
    for line in String::from_utf8_lossy(stream).lines() {
        let message: Value = serde_json::from_str(line).unwrap_or(Value::Null);
        if let Some(error) = message["error"].as_str() {
            bail!("the engine says: {error}");
        }
    }
    Ok(())
}

fn parse(raw: &[u8]) -> Option<Answer> {
    let end = raw.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&raw[..end]).ok()?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, body: raw[end + 4..].to_vec() })
}

fn refusal(method: &str, path: &str, answer: &Answer) -> anyhow::Error {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    anyhow!("the engine refused {method} {} with {}: {}", plain(path), answer.status, text(&body, "message"))
}

/// The path without its query, for people.
fn plain(path: &str) -> &str {
    path.split('?').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remote_engine_is_refused_with_the_way_out() {
        let error = Docker::at(Some("tcp://10.0.0.1:2375")).unwrap_err().to_string();
        assert!(error.contains("unset it"), "{error}");
        assert_eq!(Docker::at(Some("unix:///x.sock")).unwrap().socket().to_str(), Some("/x.sock"));
    }

    #[test]
    fn answers_are_parsed() {
        let answer = parse(b"HTTP/1.0 404 Not Found\r\nA: b\r\n\r\n{\"message\":\"no such thing\"}").unwrap();
        assert_eq!(answer.status, 404);
        let error = refusal("GET", "/containers/x/json?a=b", &answer).to_string();
        assert_eq!(error, "the engine refused GET /containers/x/json with 404: no such thing");
        assert!(parse(b"garbage").is_none());
    }

    #[test]
    fn an_error_in_a_progress_stream_is_an_error() {
        assert!(check_progress(b"{\"status\":\"ok\"}\r\n{\"error\":\"no space\"}\r\n").is_err());
        assert!(check_progress(b"{\"status\":\"ok\"}").is_ok());
    }

    #[test]
    fn query_values_are_encoded() {
        assert_eq!(encode("CMD [\"/a b\"]"), "CMD%20%5B%22%2Fa%20b%22%5D");
    }
}
