//! What the tests of this crate share: the hand of a person at the engine, a guard that leaves nothing behind, a test
//! image out of nothing, and builders of specs.
#![allow(dead_code, reason = "each test target uses a part of it")]

pub mod raw;
pub mod spec;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use aiplat_core::{ResourceId, action::Action};
use aiplat_host::{Backend, HostError, Progress, docker::DockerBackend};
use tokio_util::sync::CancellationToken;

/// The engine under test.
pub fn socket() -> PathBuf {
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    PathBuf::from(host.strip_prefix("unix://").unwrap_or("/var/run/docker.sock"))
}

/// Eight random hex digits.
pub fn random() -> String {
    format!("{:08x}", getrandom::u32().expect("randomness"))
}

/// A progress that nobody looks at.
pub fn no_progress() -> Progress {
    Arc::new(|_| {})
}

/// Applies one action, uncancelled.
pub async fn apply(backend: &DockerBackend, id: &ResourceId, action: Action) -> Result<(), HostError> {
    backend.apply(id, &action, no_progress(), CancellationToken::new()).await
}

/// Waits until `look` finds something, for at most ten seconds.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within ten seconds");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
