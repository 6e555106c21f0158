//! The demo's work folder: the file that the visitor edits, the daemon's state, its socket and its log.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::process;

/// Where everything of the demo lies. Under /tmp: the path of a Unix socket has room for 107 bytes only, and a
/// repository may lie deeper.
#[derive(Debug, Clone)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// The folder of this user, whether or not it exists.
    pub fn of_user() -> Result<Self> {
        Ok(Self { root: PathBuf::from(format!("/tmp/aiplat-demo-{}", process::user_id()?)) })
    }

    /// Makes it, readable by this user only; refuses one that somebody else put there.
    pub fn create(&self) -> Result<()> {
        match fs::DirBuilder::new().mode(0o700).create(&self.root) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => self.check_ours()?,
            Err(error) => {
                return Err(error).with_context(|| format!("cannot create {}", self.root.display()));
            }
        }
        fs::create_dir_all(self.state()).context("cannot create the state folder")
    }

    fn check_ours(&self) -> Result<()> {
        let found = fs::symlink_metadata(&self.root)?;
        if !found.is_dir() || found.uid() != process::user_id()? || found.mode() & 0o022 != 0 {
            bail!("{} is not a folder of yours alone: look at it, and remove it", self.root.display());
        }
        Ok(())
    }

    /// Removes it with all that is in it.
    pub fn remove(&self) -> Result<()> {
        match fs::remove_dir_all(&self.root) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", self.root.display()))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// The desired state.
    pub fn file(&self) -> PathBuf {
        self.root.join("platform.yaml")
    }

    /// aiplatd's state.
    pub fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    /// aiplatd's socket.
    pub fn socket(&self) -> PathBuf {
        self.root.join("aiplatd.sock")
    }

    /// aiplatd's log.
    pub fn log(&self) -> PathBuf {
        self.root.join("aiplatd.log")
    }

    /// The process id of aiplatd.
    pub fn pid_file(&self) -> PathBuf {
        self.root.join("aiplatd.pid")
    }

    /// The instance label of what aiplatd made, noted for the clean-up.
    pub fn instance_file(&self) -> PathBuf {
        self.root.join("instance")
    }

    /// Saves the desired state as good editors do: a new file, moved over the old one.
    pub fn save(&self, text: &str) -> Result<()> {
        let fresh = self.root.join(".platform.yaml.new");
        fs::write(&fresh, text).with_context(|| format!("cannot write {}", fresh.display()))?;
        fs::rename(&fresh, self.file()).with_context(|| format!("cannot replace {}", self.file().display()))
    }

    /// The end of aiplatd's log.
    pub fn log_tail(&self, lines: usize) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let all: Vec<&str> = log.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}
