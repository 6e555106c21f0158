//! Where it is measured: the engine, a folder, a name of our own for everything, and the broom.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::compose::Compose;
use super::load::{self, Reading};
use super::numbers;
use super::shape::Shape;
use crate::docker::{self, Docker, text};
use crate::process::{self, command};
use crate::{foreign, image};

/// On everything that is made here; its value is the run.
const LABEL: &str = "aiplat-bench.run";
/// The folder of a run, under /tmp; its name ends in the run.
const FOLDER: &str = "aiplat-bench-";
/// After a removal the engine still tidies up networks and mounts, which the next block must not pay for.
const REST: Duration = Duration::from_millis(300);
/// Above this share of the processor, a block is loud.
const LOUD: f64 = 0.10;
/// A calibration that moved by more makes a section's seconds worthless.
const MOVED: f64 = 0.15;

/// Everything that a measurement needs. Dropping it removes what was made.
pub struct Bed {
    /// The engine.
    pub docker: Docker,
    /// The rival, if it is on this machine.
    pub compose: Option<Compose>,
    /// Few rounds.
    pub quick: bool,
    aiplatd: PathBuf,
    run: String,
    folder: PathBuf,
    names: AtomicU32,
}

/// A running aiplatd; dropping it kills it, which stops no container.
pub struct Daemon(Child);

/// One measurement, and what else went on meanwhile.
#[derive(Debug)]
pub struct Block<T> {
    /// What was measured.
    pub measured: T,
    /// What else went on.
    pub noise: Noise,
}

/// What others did during a block.
#[derive(Debug, Clone)]
pub struct Noise {
    /// The share of the processor that others used.
    pub foreign: f64,
    /// What the engine did to containers of others meanwhile: its own time for that looks like ours.
    pub foreign_events: usize,
}

/// How long a plain container took to be created and started, before and after a section.
#[derive(Debug, Clone)]
pub struct Calibration {
    before: f64,
    after: f64,
}

impl Bed {
    /// A folder and a name for this run; what a run left that was killed goes first.
    pub fn new(docker: Docker, aiplatd: PathBuf, compose: Option<Compose>, quick: bool) -> Result<Self> {
        let run = format!("{}-{:06}", std::process::id(), clock()?.subsec_micros());
        let folder = PathBuf::from(format!("/tmp/{FOLDER}{run}"));
        fs::create_dir(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let bed = Self { docker, compose, quick, aiplatd, run, folder, names: AtomicU32::new(0) };
        bed.remove_orphans()?;
        Ok(bed)
    }

    /// The label of all that this run makes.
    pub fn label(&self) -> (&str, &str) {
        (LABEL, &self.run)
    }

    /// A name that nothing had before.
    pub fn fresh_name(&self) -> String {
        format!("bench{}-{}", self.run, self.names.fetch_add(1, Ordering::Relaxed))
    }

    /// Writes a file of this run.
    pub fn file(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// aiplatd for this platform, with a state folder that nobody used before.
    pub fn aiplatd(&self, shape: &Shape) -> Result<Command> {
        let name = self.fresh_name();
        let file = self.file(&format!("{name}.yaml"), &shape.platform(&name, self.label()))?;
        let mut aiplatd = command(&self.aiplatd);
        aiplatd.arg("--config").arg(file).arg("--state-dir").arg(self.folder.join(&name));
        aiplatd.arg("--socket").arg(self.folder.join("aiplatd.sock"));
        aiplatd.arg("--docker-socket").arg(self.docker.socket());
        Ok(aiplatd)
    }

    /// aiplatd as a daemon, once all its containers run.
    pub fn daemon(&self, shape: &Shape) -> Result<Daemon> {
        let mut aiplatd = self.aiplatd(shape)?;
        aiplatd.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut daemon = Daemon(aiplatd.spawn().context("cannot start aiplatd")?);
        crate::wait::until(
            "all containers to run",
            Duration::from_secs(60),
            Duration::from_millis(20),
            || {
                daemon.check_alive()?;
                let running = self.containers()?;
                let running =
                    running.iter().filter(|container| text(container, "State") == "running").count();
                Ok((running >= shape.services).then_some(()))
            },
        )?;
        Ok(daemon)
    }

    /// The containers of this run.
    pub fn containers(&self) -> Result<Vec<Value>> {
        let path = format!("/containers/json?all=1&filters={}", self.filter());
        Ok(self.docker.get(&path)?.as_array().cloned().unwrap_or_default())
    }

    /// Measures one block, and removes what it made.
    pub fn block<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<Block<T>> {
        let begun = clock()?;
        let before = self.reading()?;
        let measured = work()?;
        let after = self.reading()?;
        let foreign_events = self.foreign_events(begun)?;
        self.clean()?;
        Ok(Block { measured, noise: Noise { foreign: after.foreign_since(&before), foreign_events } })
    }

    /// Calibrates, works, calibrates.
    pub fn calibrated<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<(T, Calibration)> {
        let before = self.calibrate()?;
        let outcome = work()?;
        Ok((outcome, Calibration { before, after: self.calibrate()? }))
    }

    /// Creates and starts one plain container in this network; says which one.
    pub fn start_plain(&self, network: &str) -> Result<String> {
        let (key, value) = self.label();
        let container = serde_json::json!({
            "Image": format!("{}:1", image::REPOSITORY), "Labels": {key: value},
            "HostConfig": {"NetworkMode": network},
        });
        let created = self.docker.post("/containers/create", &container)?;
        let id = text(&created, "Id").to_owned();
        self.docker.post(&format!("/containers/{id}/start"), &Value::Null)?;
        Ok(id)
    }

    /// Removes all that this run made, and lets the engine come to rest.
    pub fn clean(&self) -> Result<()> {
        foreign::remove_labelled(&self.docker, &self.filter()).context("cannot remove what was measured")?;
        thread::sleep(REST);
        Ok(())
    }

    fn calibrate(&self) -> Result<f64> {
        let count = if self.quick { 8 } else { 20 };
        let timed = |_| {
            let begun = Instant::now();
            self.start_plain("bridge").map(|_| begun.elapsed())
        };
        let took = (0..count).map(timed).collect::<Result<Vec<_>>>()?;
        self.clean()?;
        Ok(numbers::median(&numbers::seconds(took)))
    }

    fn reading(&self) -> Result<Reading> {
        let ids: BTreeSet<String> =
            self.containers()?.iter().map(|container| text(container, "Id").to_owned()).collect();
        Reading::take(&ids)
    }

    /// When the engine last started a container of ours, by the clock on the wall.
    pub fn last_start(&self, since: Duration) -> Result<Duration> {
        let events = self.events(since)?;
        let ours = events.iter().filter(|event| self.is_ours(event) && text(event, "Action") == "start");
        let last = ours.filter_map(|event| event["timeNano"].as_u64()).max();
        Ok(Duration::from_nanos(last.context("the engine says that it started nothing")?))
    }

    fn foreign_events(&self, since: Duration) -> Result<usize> {
        Ok(self.events(since)?.iter().filter(|event| !self.is_ours(event)).count())
    }

    fn is_ours(&self, event: &Value) -> bool {
        text(&event["Actor"]["Attributes"], LABEL) == self.run
    }

    /// The comings and goings of containers until now.
    fn events(&self, since: Duration) -> Result<Vec<Value>> {
        let stamp = |time: Duration| format!("{}.{:09}", time.as_secs(), time.subsec_nanos());
        // Not their health checks: those cost little of the engine, and their processor time is counted.
        let moves = docker::encode(r#"{"type":["container"],"event":["create","start","die","destroy"]}"#);
        let (since, until) = (stamp(since), stamp(clock()?));
        let path = format!("/events?since={since}&until={until}&filters={moves}");
        let answer = self.docker.success("GET", &path, b"", "application/json")?;
        let stream = String::from_utf8_lossy(&answer.body).into_owned();
        Ok(stream.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    fn filter(&self) -> String {
        docker::label_filter(&format!("{LABEL}={}", self.run))
    }

    /// What is left of runs whose process is gone: the daemon first, which would heal what is removed under it.
    fn remove_orphans(&self) -> Result<()> {
        for entry in fs::read_dir("/tmp").context("cannot list /tmp")?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(run) = name.strip_prefix(FOLDER).filter(|run| is_orphan(run)) else { continue };
            let folder = entry.path();
            for pid in
                load::pids().into_iter().filter(|pid| process::is_alive(*pid, &folder.to_string_lossy()))
            {
                process::run(command("kill").arg("-KILL").arg(pid.to_string()))?;
            }
            let left = docker::label_filter(&format!("{LABEL}={run}"));
            foreign::remove_labelled(&self.docker, &left)?;
            fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        Ok(())
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if let Err(error) = self.clean() {
            eprintln!("left in the engine, with the label {LABEL}={}: {error:#}", self.run);
        }
        drop(fs::remove_dir_all(&self.folder));
    }
}

impl Daemon {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Fails if it is gone.
    pub fn check_alive(&mut self) -> Result<()> {
        match self.0.try_wait()? {
            Some(status) => bail!("aiplatd ended with {status}"),
            None => Ok(()),
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Noise {
    /// Whether somebody else was at the machine or at the engine; says who.
    pub fn loud(&self) -> Option<String> {
        let processor = (self.foreign > LOUD).then(|| format!("{:.0} % CPU", self.foreign * 100.0));
        let engine = (self.foreign_events > 0).then(|| format!("{} foreign events", self.foreign_events));
        let causes: Vec<String> = processor.into_iter().chain(engine).collect();
        (!causes.is_empty()).then(|| causes.join(", "))
    }
}

impl Calibration {
    /// In a sentence.
    pub fn sentence(&self) -> String {
        let moved = self.after / self.before - 1.0;
        let verdict = if moved.abs() > MOVED { ", so **this section is not to be trusted**" } else { "" };
        format!(
            "Calibration, create and start of a plain container: {} before, {} after ({:+.0} %{verdict}).",
            numbers::time(self.before),
            numbers::time(self.after),
            moved * 100.0
        )
    }
}

/// The release build, which it makes sure of.
pub fn release_build(root: &Path) -> Result<PathBuf> {
    let mut cargo = process::cargo();
    process::run(cargo.current_dir(root).args(["build", "--release", "--package", "aiplatd"]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(target.join("release/aiplatd"))
}

/// Where a running container is reached.
pub fn address(docker: &Docker, id: &str) -> Result<String> {
    let inspected = docker.get(&format!("/containers/{id}/json"))?;
    let networks = inspected["NetworkSettings"]["Networks"].as_object();
    let found =
        networks.into_iter().flat_map(|networks| networks.values()).map(|network| text(network, "IPAddress"));
    found
        .into_iter()
        .find(|address| !address.is_empty())
        .map(str::to_owned)
        .context("a container has no address")
}

/// Whether this is the name of a run whose process is gone.
fn is_orphan(run: &str) -> bool {
    let pid = run.split('-').next().and_then(|pid| pid.parse().ok());
    pid.is_some_and(|pid| !process::is_alive(pid, "xtask"))
}

/// The wall's clock, which is the engine's too.
pub fn clock() -> Result<Duration> {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).context("the clock is before 1970")
}
