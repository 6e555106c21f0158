//! The engine's own floor: the same number of containers, created and started by bare API calls.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};

use crate::docker::{self, Docker};
use crate::{foreign, image};

const LABEL: &str = "aiplat-demo.floor";
/// As many at once as aiplatd starts on two cores; more only adds latency.
const AT_ONCE: usize = 4;

/// Creates and starts that many containers, takes the time, and removes them.
pub fn measure(docker: &Docker, containers: usize) -> Result<Duration> {
    remove(docker)?;
    let begun = Instant::now();
    let outcome = start_all(docker, containers);
    let took = begun.elapsed();
    remove(docker)?;
    outcome.context("cannot measure the engine's floor")?;
    Ok(took)
}

/// Removes what a measurement left that was interrupted.
pub fn remove(docker: &Docker) -> Result<()> {
    foreign::remove_labelled(docker, &docker::label_filter(LABEL)).map(drop)
}

fn start_all(docker: &Docker, containers: usize) -> Result<()> {
    let next = AtomicUsize::new(0);
    let work = || {
        while next.fetch_add(1, Ordering::Relaxed) < containers {
            start_one(docker)?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| anyhow!("a worker panicked"))?)
    })
}

fn start_one(docker: &Docker) -> Result<()> {
    let container = json!({"Image": format!("{}:1", image::REPOSITORY), "Labels": {LABEL: ""}});
    let created = docker.post("/containers/create", &container)?;
    docker.post(&format!("/containers/{}/start", docker::text(&created, "Id")), &Value::Null)?;
    Ok(())
}
