//! Readiness probes as the file declares them.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// `healthcheck:` of one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeSpec {
    /// What is asked.
    pub kind: ProbeKind,
    /// Time between two probes of a steady service.
    pub interval: Duration,
    /// A probe that takes longer has failed.
    pub timeout: Duration,
    /// Failures in a row that make it unhealthy.
    pub retries: u32,
    /// Failures this soon after the start do not count.
    pub start_period: Duration,
}

/// What a probe asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeKind {
    /// An HTTP request from the daemon to the container's address.
    Http(HttpProbe),
    /// A TCP connection from the daemon to the container's address.
    Tcp {
        /// The port inside.
        port: u16,
    },
    /// A program inside the container; exit 0 is success. Costs about 50 ms of CPU a time.
    Exec {
        /// Its argv.
        argv: Vec<String>,
    },
}

/// `healthcheck.http`. Redirects are not followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpProbe {
    /// Plain or TLS.
    pub scheme: Scheme,
    /// The port inside.
    pub port: u16,
    /// Path and query.
    pub path: String,
    /// Request method.
    pub method: String,
    /// `Host` header; `None`: the address.
    pub host: Option<String>,
    /// Further headers.
    pub headers: BTreeMap<String, String>,
    /// Accepted status codes, inclusive.
    pub status: (u16, u16),
}

/// Scheme of an HTTP probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scheme {
    /// Plain HTTP/1.1.
    Http,
}

impl ProbeSpec {
    /// How long a service may take to pass for the first time before it counts as unhealthy: Docker's
    /// `start_period`, and then `retries` failures an `interval` apart.
    #[must_use]
    pub fn budget(&self) -> Duration {
        self.start_period.saturating_add(self.interval.saturating_mul(self.retries.max(1)))
    }
}

impl fmt::Display for ProbeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(http) => write!(f, "{} http :{}{}", http.method, http.port, http.path),
            Self::Tcp { port } => write!(f, "tcp :{port}"),
            Self::Exec { argv } => write!(f, "exec {}", argv.join(" ")),
        }
    }
}
