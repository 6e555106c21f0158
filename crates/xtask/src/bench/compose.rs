//! Docker Compose, if it is on this machine.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::bed::Bed;
use super::numbers;
use super::shape::Shape;
use crate::process::{self, capture, command, stdout_of};

const DEADLINE: Duration = Duration::from_secs(300);

/// One Compose.
#[derive(Debug, Clone)]
pub struct Compose {
    /// Whether it is `docker compose`, or the program `docker-compose`.
    plugin: bool,
    /// What it calls itself.
    pub version: String,
    /// How long it takes to say so: part of every figure of it.
    pub own_start: f64,
}

impl Compose {
    /// The plugin, else the program, else none.
    pub fn find() -> Option<Self> {
        [true, false].into_iter().find_map(|plugin| {
            process::find(if plugin { "docker" } else { "docker-compose" })?;
            let version =
                || capture(program(plugin).args(["version", "--short"]), Duration::from_secs(30)).ok();
            // The first call reads the program from the disk.
            let said = version().filter(process::Finished::ok)?;
            let begun = Instant::now();
            version()?;
            let own_start = begun.elapsed().as_secs_f64();
            Some(Self { plugin, version: said.stdout.trim().to_owned(), own_start })
        })
    }

    /// How it is called, and which one it is.
    pub fn title(&self) -> String {
        format!("{} {}", if self.plugin { "docker compose" } else { "docker-compose" }, self.version)
    }

    /// How long `up -d` takes.
    pub fn up(&self, bed: &Bed, shape: &Shape, interval_secs: u32) -> Result<f64> {
        let name = bed.fresh_name();
        let file = bed.file(&format!("{name}.yaml"), &shape.compose(bed.label(), interval_secs))?;
        let begun = Instant::now();
        stdout_of(&mut self.command(&name, &file, bed), DEADLINE)?;
        Ok(numbers::seconds([begun.elapsed()])[0])
    }

    fn command(&self, project: &str, file: &Path, bed: &Bed) -> Command {
        let mut compose = program(self.plugin);
        compose.env("DOCKER_HOST", format!("unix://{}", bed.docker.socket().display()));
        compose.args(["-p", project, "-f"]).arg(file).args(["up", "-d"]);
        compose
    }
}

fn program(plugin: bool) -> Command {
    if plugin {
        let mut docker = command("docker");
        docker.arg("compose");
        docker
    } else {
        command("docker-compose")
    }
}
