//! The wire format of aiplatd, version 1, and a client for its Unix socket.

pub mod client;
pub mod metrics;
pub mod v1;
