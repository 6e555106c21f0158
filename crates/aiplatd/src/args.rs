//! The daemon's arguments.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Parser, ValueEnum};

/// Keeps a self-hosted AI platform on this machine the way platform.yaml says it should be.
#[derive(Debug, Clone, Parser)]
#[command(name = "aiplatd", version, about)]
pub struct Args {
    /// The desired state.
    #[arg(long, env = "AIPLATD_CONFIG", value_name = "FILE", default_value = "/etc/aiplatd/platform.yaml")]
    pub config: PathBuf,
    /// The ledger, the instance id and status.json.
    #[arg(long, env = "AIPLATD_STATE_DIR", value_name = "DIR", default_value = "/var/lib/aiplatd")]
    pub state_dir: PathBuf,
    /// Where aiplatctl finds this daemon.
    #[arg(long, env = "AIPLATD_SOCKET", value_name = "PATH", default_value = "/run/aiplatd/aiplatd.sock")]
    pub socket: PathBuf,
    /// Where the Docker Engine listens.
    #[arg(long, env = "AIPLATD_DOCKER_SOCKET", value_name = "PATH", default_value = "/var/run/docker.sock")]
    pub docker_socket: PathBuf,
    /// Converge, then exit: 0 when everything is ready, 3 when not, 2 when the file is invalid.
    #[arg(long, env = "AIPLATD_ONCE")]
    pub once: bool,
    /// With --once: removing more than half of the services, or renaming the platform, is meant.
    #[arg(long, requires = "once")]
    pub confirm: bool,
    /// How the log is written.
    #[arg(long, env = "AIPLATD_LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,
    /// Serves Prometheus metrics at /metrics on this address, without any protection; off by default.
    #[arg(long, env = "AIPLATD_METRICS_LISTEN", value_name = "ADDR")]
    pub metrics_listen: Option<SocketAddr>,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
