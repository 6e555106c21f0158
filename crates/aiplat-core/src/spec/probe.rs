//! Probes as the file declares them.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// One probe of `healthcheck:`: its own, or that of `liveness:` or `startup:`.
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
    /// From where it is asked.
    #[serde(default)]
    pub via: Via,
}

/// What a probe is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Until it has passed, or its time is up, nothing else is asked.
    Startup,
    /// Whether it can do its work: what dependants wait for.
    Readiness,
    /// Whether it still answers at all: what it is restarted for.
    Liveness,
}

/// From where a container is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// From the host, at the container's address; inside its network namespace where it has none.
    #[default]
    Address,
    /// At 127.0.0.1 inside its network namespace.
    Namespace,
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
    /// A log-in and a PING, in Redis' own protocol.
    Redis(RedisProbe),
    /// The beginning of a session, in PostgreSQL's own protocol.
    Postgres(PostgresProbe),
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
    /// Accepted status codes, each range inclusive.
    pub status: Vec<(u16, u16)>,
    /// What the body of the answer must contain.
    #[serde(default)]
    pub body: Option<String>,
}

/// Scheme of an HTTP probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scheme {
    /// Plain HTTP/1.1.
    Http,
    /// HTTP/1.1 over TLS.
    Https(Trust),
}

/// Whose certificates a probe over TLS takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trust {
    /// Anybody's. A container's own address is in no certificate, and a probe asks whether the service works.
    Anyone,
    /// Those that an authority in this PEM file has signed, for the name that was asked.
    Authority(String),
}

/// `healthcheck.redis`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedisProbe {
    /// The port inside.
    pub port: u16,
    /// `None`: the default user.
    pub username: Option<String>,
    /// `None`: no log-in.
    pub password: Option<Password>,
    /// `None`: plain.
    pub tls: Option<Trust>,
}

/// `healthcheck.postgres`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostgresProbe {
    /// The port inside.
    pub port: u16,
    /// As whom.
    pub user: String,
    /// `None`: of the user's name, as in PostgreSQL itself.
    pub database: Option<String>,
    /// `None`: a server that asks for one is alive, and that is all that is found out.
    pub password: Option<Password>,
}

/// A password. It has no `Display` and its `Debug` does not show it; it is written nowhere but into the ledger, which is
/// root's alone, as is the file that it comes from.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Password(String);

impl Password {
    /// The password `text`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// For the one who sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(***)")
    }
}

impl Role {
    /// All of them, in the order in which they begin.
    pub const ALL: [Self; 3] = [Self::Startup, Self::Readiness, Self::Liveness];
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Startup => "startup",
            Self::Readiness => "readiness",
            Self::Liveness => "liveness",
        })
    }
}

impl Scheme {
    /// As in a URL.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https(_) => "https",
        }
    }
}

impl HttpProbe {
    /// Whether `code` is one of those that are accepted.
    #[must_use]
    pub fn accepts(&self, code: u16) -> bool {
        self.status.iter().any(|(from, to)| (*from..=*to).contains(&code))
    }

    /// The accepted codes as a person says them: `200 to 399`, `200, 301 to 308`.
    #[must_use]
    pub fn wanted(&self) -> String {
        let range =
            |(from, to): &(u16, u16)| if from == to { from.to_string() } else { format!("{from} to {to}") };
        self.status.iter().map(range).collect::<Vec<_>>().join(", ")
    }
}

impl ProbeSpec {
    /// How long a service may take to pass for the first time before it counts as unhealthy: Docker's
    /// `start_period`, and then `retries` failures an `interval` apart.
    #[must_use]
    pub fn budget(&self) -> Duration {
        self.start_period.saturating_add(self.interval.saturating_mul(self.retries.max(1)))
    }
}

impl ProbeKind {
    /// The port that is asked; `None`: it runs a program instead.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Http(HttpProbe { port, .. })
            | Self::Tcp { port }
            | Self::Redis(RedisProbe { port, .. })
            | Self::Postgres(PostgresProbe { port, .. }) => Some(*port),
            Self::Exec { .. } => None,
        }
    }
}

impl fmt::Display for ProbeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(http) => {
                write!(f, "{} {} :{}{}", http.method, http.scheme.as_str(), http.port, http.path)
            }
            Self::Tcp { port } => write!(f, "tcp :{port}"),
            Self::Redis(redis) => write!(f, "redis :{}", redis.port),
            Self::Postgres(postgres) => write!(f, "postgres :{}", postgres.port),
            Self::Exec { argv } => write!(f, "exec {}", argv.join(" ")),
        }
    }
}
