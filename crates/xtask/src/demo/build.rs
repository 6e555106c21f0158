//! Builds the binaries and the image's content in the background, while the engine is looked after.

use std::fs::{self, File};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::folder::Folder;
use crate::image;
use crate::process;
use crate::wait::{self, seconds};

/// A cold build on two slow cores takes a few minutes.
const DEADLINE: Duration = Duration::from_secs(1800);

/// A build that runs.
#[derive(Debug)]
pub struct Build {
    child: Child,
    log: PathBuf,
    begun: Instant,
}

impl Build {
    /// Starts the dev build of aiplatd and aiplatctl.
    pub fn start(root: &Path, folder: &Folder) -> Result<Self> {
        let log = folder.path().join("build.log");
        let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut cargo = process::cargo();
        cargo.current_dir(root).args(["build", "--package", "aiplatd", "--package", "aiplatctl"]);
        cargo.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = cargo.spawn().context("cannot start cargo")?;
        Ok(Self { child, log, begun: Instant::now() })
    }

    /// Waits for its end, then builds the static binary too; returns that.
    pub fn finish(mut self, root: &Path) -> Result<PathBuf> {
        let terminal = std::io::stdout().is_terminal();
        let status = wait::until("the build to end", DEADLINE, Duration::from_millis(100), || {
            if terminal {
                tick(self.begun, &self.last_line())?;
            }
            Ok(self.child.try_wait()?)
        })?;
        if terminal {
            print!("\r\x1b[2K");
        }
        if !status.success() {
            bail!("the build failed:\n{}", self.log_text());
        }
        let binary = image::build(root)?;
        println!("Built in {}.", seconds(self.begun.elapsed()));
        Ok(binary)
    }

    fn log_text(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn last_line(&self) -> String {
        self.log_text().lines().last().unwrap_or_default().trim().chars().take(55).collect()
    }
}

fn tick(begun: Instant, line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    write!(out, "\r\x1b[2KBuilding: {:>3} s  {line}", begun.elapsed().as_secs())?;
    Ok(out.flush()?)
}
