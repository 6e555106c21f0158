//! aiplatd as a child in its own session.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::folder::Folder;
use crate::process::{self, command, run};
use crate::wait;

const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// A running aiplatd that we started.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    folder: Folder,
}

/// The two binaries of a dev build.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// `aiplatd`.
    pub daemon: PathBuf,
    /// `aiplatctl`.
    pub ctl: PathBuf,
}

impl Binaries {
    /// Where `cargo build` puts them.
    pub fn of(root: &Path) -> Self {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        Self { daemon: target.join("debug/aiplatd"), ctl: target.join("debug/aiplatctl") }
    }
}

impl Daemon {
    /// Starts it and notes its process id; it keeps running when we end.
    pub fn start(binaries: &Binaries, folder: &Folder) -> Result<Self> {
        let log =
            OpenOptions::new().create(true).append(true).open(folder.log()).context("cannot open the log")?;
        let mut aiplatd = process::in_own_session(&binaries.daemon);
        aiplatd.arg("--config").arg(folder.file()).arg("--state-dir").arg(folder.state());
        aiplatd.arg("--socket").arg(folder.socket());
        aiplatd.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = aiplatd.spawn().with_context(|| format!("cannot start {}", binaries.daemon.display()))?;
        fs::write(folder.pid_file(), child.id().to_string()).context("cannot note the process id")?;
        Ok(Self { child, folder: folder.clone() })
    }

    /// Fails with the end of its log if it is gone.
    pub fn check_alive(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!(
                "aiplatd ended with {status}; the end of {}:\n{}",
                self.folder.log().display(),
                self.folder.log_tail(15)
            );
        }
        Ok(())
    }

    /// SIGKILL: no goodbye, as in a crash.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill().context("cannot kill aiplatd")?;
        self.child.wait().context("aiplatd does not die")?;
        Ok(())
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

/// Stops the aiplatd of an earlier run, if one still lives; true if there was one.
pub fn stop_recorded(folder: &Folder) -> Result<bool> {
    let recorded = fs::read_to_string(folder.pid_file()).unwrap_or_default();
    let Ok(pid) = recorded.trim().parse::<u32>() else { return Ok(false) };
    let argv_has = folder.socket().to_string_lossy().into_owned();
    if !process::is_alive(pid, &argv_has) {
        return Ok(false);
    }
    run(command("kill").arg(pid.to_string())).context("cannot stop aiplatd")?;
    wait::until("aiplatd to stop", STOP_DEADLINE, Duration::from_millis(20), || {
        Ok((!process::is_alive(pid, &argv_has)).then_some(()))
    })?;
    Ok(true)
}
