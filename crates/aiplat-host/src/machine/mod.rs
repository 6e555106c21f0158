//! This machine: what it consists of, read from /proc, /sys, /etc and the package manager's own files. Nothing is changed, no
//! program is run, and what cannot be read is not known.

mod clock;
mod disks;
mod hardware;
mod network;
mod nvidia;
mod software;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use aiplat_core::observed::HostFacts;
use futures_util::future::BoxFuture;

use crate::port::Machine;

/// What is read of files that somebody wrote: more than this is not what it claims to be.
const FILE_MAX: u64 = 8 << 20;
/// A file system that does not answer (NFS) costs a look no more than this.
const DEADLINE: Duration = Duration::from_secs(5);

/// The machine whose root folder is given: `/`.
#[derive(Debug, Clone)]
pub struct ThisMachine {
    root: PathBuf,
    clock: clock::Synchronisation,
}

impl ThisMachine {
    /// A machine as it shows itself below `root`.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), clock: clock::Synchronisation::default() }
    }
}

impl Default for ThisMachine {
    fn default() -> Self {
        Self::at("/")
    }
}

impl Machine for ThisMachine {
    fn facts(&self, paths: BTreeSet<String>) -> BoxFuture<'_, HostFacts> {
        Box::pin(async move {
            let root = self.root.clone();
            let read = tokio::task::spawn_blocking(move || read(&root));
            let (read, disks, clock) = tokio::join!(
                tokio::time::timeout(DEADLINE, read),
                disks::file_systems(&self.root, paths),
                self.clock.look(&self.root),
            );
            let (file_systems, mounted_on) = disks;
            let facts = match read {
                Ok(Ok(facts)) => facts,
                Ok(Err(_)) | Err(_) => HostFacts::default(),
            };
            HostFacts { clock_synchronised: clock, file_systems, mounted_on, ..facts }
        })
    }
}

/// What needs no file system but the root's.
fn read(root: &Path) -> HostFacts {
    HostFacts {
        cpu: hardware::cpu(root),
        memory: hardware::memory(root),
        kernel: text(&root.join("proc/sys/kernel/osrelease")).map(|text| text.trim().to_owned()),
        distribution: software::distribution(root),
        virtualisation: hardware::virtualisation(root),
        cgroups: hardware::cgroups(root),
        clock_synchronised: None,
        reboot_required_by: software::reboot_required_by(root),
        addresses: network::addresses(),
        routes: network::routes(root),
        firewalls: network::firewalls(root),
        conflicting_packages: software::conflicting_packages(root),
        file_systems: std::collections::BTreeMap::new(),
        mounted_on: std::collections::BTreeMap::new(),
        nvidia_tools: Some(nvidia::tools(root)),
        engine_flags: software::engine_flags(root),
    }
}

/// A file's text; `None` when it is not there, cannot be read, or is no text of a sensible size.
fn text(path: &Path) -> Option<String> {
    use std::io::Read as _;
    let mut text = String::new();
    let file = fs::File::open(path).ok()?;
    let read = file.take(FILE_MAX + 1).read_to_string(&mut text).ok()?;
    (u64::try_from(read).ok()? <= FILE_MAX).then_some(text)
}

/// A file below `/sys` or `/proc` that holds a number.
fn number(path: &Path) -> Option<u64> {
    text(path)?.trim().parse().ok()
}

/// The value of `KEY=value` or `KEY="value"` in a file of settings.
fn setting(text: &str, key: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='))?;
    Some(line.trim().trim_matches(['"', '\'']).to_owned())
}
