//! Probes that we make ourselves: HTTP, TCP, Redis and PostgreSQL, to the container's address or inside its network
//! namespace.
//!
//! Each returns its transcript in one line, whichever way it went: what was asked, and what came of it. What a server
//! says is hostile bytes: bounded, made printable, and without the password that it was sent.

mod http;
mod postgres;
mod redis;
mod scram;
mod tls;
mod vantage;

use std::{io, time::Duration};

use aiplat_core::spec::{HttpProbe, PostgresProbe, ProbeKind, RedisProbe, Trust};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
pub(crate) use vantage::{Namespace, Vantage};

/// What is asked over the network.
pub(crate) enum Ask<'a> {
    Http(&'a HttpProbe),
    Tcp { port: u16 },
    Redis(&'a RedisProbe),
    Postgres(&'a PostgresProbe),
}

/// A probe that did not pass.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    /// The transcript.
    pub(crate) transcript: String,
    /// Nobody listens there.
    pub(crate) is_refused: bool,
}

/// Why an exchange failed.
#[derive(Debug)]
enum Cause {
    Refused,
    Other(String),
}

/// Makes one probe. No part of it takes longer than `timeout` in all.
pub(crate) async fn ask(vantage: &Vantage, what: &Ask<'_>, timeout: Duration) -> Result<String, Failed> {
    let asked = what.to_text(vantage);
    let failed = |why: &str, is_refused| Failed { transcript: format!("{asked}: {why}"), is_refused };
    match tokio::time::timeout(timeout, exchange(vantage, what, timeout)).await {
        Err(_) => {
            let missing = if matches!(what, Ask::Tcp { .. }) { "connection" } else { "answer" };
            Err(failed(&format!("timed out, no {missing} within {}", precise(timeout)), false))
        }
        Ok(Err(Cause::Refused)) => Err(failed("connection refused", true)),
        Ok(Err(Cause::Other(why))) => Err(failed(&why, false)),
        Ok(Ok(said)) => Ok(format!("{asked}: {said}")),
    }
}

async fn exchange(vantage: &Vantage, what: &Ask<'_>, timeout: Duration) -> Result<String, Cause> {
    let stream = vantage.connect(what.port(), timeout).await.map_err(|error| Cause::of(&error))?;
    match what {
        Ask::Http(probe) => http::exchange(stream, vantage, probe).await,
        Ask::Tcp { port: _ } => Ok("connected".to_owned()),
        Ask::Redis(probe) => redis::exchange(stream, vantage, probe).await,
        Ask::Postgres(probe) => postgres::exchange(stream, probe).await,
    }
}

impl<'a> Ask<'a> {
    /// What `kind` asks over the network; `None`: it runs a program instead.
    pub(crate) fn of(kind: &'a ProbeKind) -> Option<Self> {
        match kind {
            ProbeKind::Exec { .. } => None,
            ProbeKind::Http(http) => Some(Self::Http(http)),
            ProbeKind::Tcp { port } => Some(Self::Tcp { port: *port }),
            ProbeKind::Redis(redis) => Some(Self::Redis(redis)),
            ProbeKind::Postgres(postgres) => Some(Self::Postgres(postgres)),
        }
    }
}

impl Ask<'_> {
    pub(crate) fn port(&self) -> u16 {
        match self {
            Self::Http(HttpProbe { port, .. })
            | Self::Tcp { port }
            | Self::Redis(RedisProbe { port, .. })
            | Self::Postgres(PostgresProbe { port, .. }) => *port,
        }
    }

    fn to_text(&self, vantage: &Vantage) -> String {
        let address = vantage.address(self.port());
        let inside = vantage.inside();
        match self {
            Self::Http(probe) => {
                format!("{} {}://{address}{}{inside}", probe.method, probe.scheme.as_str(), probe.path)
            }
            Self::Tcp { .. } => format!("tcp {address}{inside}"),
            Self::Redis(_) => format!("redis {address}{inside}"),
            Self::Postgres(_) => format!("postgres {address}{inside}"),
        }
    }
}

impl Cause {
    fn of(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::ConnectionRefused {
            Self::Refused
        } else if error.kind() == io::ErrorKind::UnexpectedEof {
            Self::other("it closed the connection in the middle of its answer")
        } else {
            Self::Other(plain(error))
        }
    }

    fn other(why: impl Into<String>) -> Self {
        Self::Other(why.into())
    }
}

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Self {
        Self::of(&error)
    }
}

/// A TLS session over `stream`, with a server whose certificate one of the authorities in the file `trusted` vouches for.
pub(crate) async fn in_tls(
    stream: TcpStream,
    trusted: &str,
    name: &str,
) -> Result<TlsStream<TcpStream>, String> {
    let address = stream.peer_addr().map_err(|error| plain(&error))?.ip();
    match tls::wrap(stream, &Trust::Authority(trusted.to_owned()), Some(name), address).await {
        Ok(session) => Ok(session),
        Err(Cause::Other(why)) => Err(why),
        Err(Cause::Refused) => Err("connection refused".to_owned()),
    }
}

/// Without "(os error 111)".
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

/// A time-out as it was written: `800ms`, `1.5s`, `10s`.
pub(crate) fn precise(duration: Duration) -> String {
    format!("{duration:?}")
}

/// What a server said, fit for one line: printable, short, and without `secret` should it come back.
fn quoted(text: &[u8], secret: Option<&str>) -> String {
    const MAX: usize = 120;
    let text = String::from_utf8_lossy(text);
    let text = match secret.filter(|secret| !secret.is_empty()) {
        Some(secret) => text.replace(secret, "***"),
        None => text.into_owned(),
    };
    let clean: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match clean.char_indices().nth(MAX) {
        Some((end, _)) => format!("{}…", &clean[..end]),
        None => clean,
    }
}

#[cfg(test)]
mod tests;
