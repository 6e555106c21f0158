//! Which NVIDIA driver is loaded, which library is on disk, and what the package manager did last: evidence for a mismatch.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use aiplat_core::observed::Mismatch;

use super::GpuOptions;

/// The name under which the loader finds NVML.
pub(super) const LIBRARY: &str = "libnvidia-ml.so.1";
/// Every file of the library begins like this; what follows is its version.
const FILES: &str = "libnvidia-ml.so.";
/// What happened last is at the end of a log: no more than this is read of it.
const TAIL: u64 = 256 * 1024;
/// What a line of a log says that was done to the driver, if it says that.
type Entry = fn(&str) -> Option<String>;
/// The logs of package managers, newest first.
const LOGS: [(&str, Entry); 4] =
    [("dpkg.log", dpkg), ("dnf.rpm.log", dnf), ("dpkg.log.1", dpkg), ("dnf.rpm.log.1", dnf)];

/// What a session was opened over: one opened over anything else would be another session.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Stamp {
    /// Of the module that is loaded.
    pub(super) module: Option<String>,
    /// The library's file that a new user would load.
    pub(super) library: Option<PathBuf>,
}

impl Stamp {
    /// What is there now.
    pub(super) fn now(options: &GpuOptions) -> Self {
        let library = folders(options).iter().find_map(|folder| folder.join(LIBRARY).canonicalize().ok());
        Self { module: module(&options.sys), library }
    }

    /// Whether the library that is mapped into this process is another one than a new user would get, and does not belong to
    /// the driver: a new user fails, though we do not.
    pub(super) fn outdates(&self) -> bool {
        let (Some(disk), Some(module)) = (self.library.as_deref().and_then(version), &self.module) else {
            return false;
        };
        let folder = self.library.as_deref().and_then(Path::parent);
        let loaded: Vec<String> =
            mapped().iter().filter(|file| file.parent() == folder).filter_map(|file| version(file)).collect();
        !loaded.is_empty() && !loaded.contains(&disk) && disk != *module
    }

    /// As evidence.
    pub(super) fn mismatch(&self, options: &GpuOptions) -> Mismatch {
        let library = self.library.as_deref().and_then(version);
        Mismatch { module: self.module.clone(), library, history: history(&options.logs) }
    }
}

/// The version of the kernel module that is loaded.
pub(super) fn module(sys: &Path) -> Option<String> {
    let text = std::fs::read_to_string(sys.join("module/nvidia/version")).ok()?;
    Some(text.trim().to_owned()).filter(|version| !version.is_empty())
}

/// What the package manager did last to NVIDIA's driver.
fn history(logs: &Path) -> Option<String> {
    let last = |(name, read): &(&str, Entry)| tail(&logs.join(name)).lines().rev().find_map(read);
    LOGS.iter().find_map(last)
}

/// Where to look: the folder of a library that is given by its path, that of the one which is loaded, or all that are known.
fn folders(options: &GpuOptions) -> Vec<PathBuf> {
    let given = options.library.parent().filter(|_| options.library.is_absolute()).map(Path::to_owned);
    let mapped = || mapped().first().and_then(|file| file.parent()).map(Path::to_owned);
    given.or_else(mapped).into_iter().chain(options.library_folders.iter().cloned()).collect()
}

/// The library's files in this process. One that was replaced on disk is still under its old name here.
fn mapped() -> Vec<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let files = maps.lines().filter_map(|line| Some(&line[line.find('/')?..]));
    let files = files.map(|file| Path::new(file.trim_end_matches(" (deleted)")));
    let ours =
        files.filter(|file| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with(FILES)));
    let mut ours: Vec<PathBuf> = ours.map(Path::to_owned).collect();
    ours.dedup();
    ours
}

/// Of `libnvidia-ml.so.550.54.15`; that of `libnvidia-ml.so.1` is not known.
fn version(file: &Path) -> Option<String> {
    let version = file.file_name()?.to_str()?.strip_prefix(FILES)?;
    version.contains('.').then(|| version.to_owned())
}

fn tail(path: &Path) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        let mut text = Vec::new();
        file.take(TAIL).read_to_end(&mut text)?;
        Ok(text)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}

/// NVIDIA's container toolkit changes without the driver.
fn is_driver(package: &str) -> bool {
    package.contains("nvidia") && !package.contains("container")
}

/// `2026-11-20 06:12:33 upgrade libnvidia-compute-550:amd64 550.54.15-1 550.90.07-1`
fn dpkg(line: &str) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [date, time, verb @ ("install" | "upgrade" | "remove" | "purge"), package, from, to] = words[..]
    else {
        return None;
    };
    let package = package.split(':').next()?;
    is_driver(package)
        .then(|| format!("{date} {} {verb} {package} {from} {to}", time.get(..5).unwrap_or(time)))
}

/// `2026-11-20T06:12:33+0000 SUBDEBUG Upgrade: nvidia-driver-cuda-libs-3:550.90.07-1.fc40.x86_64`
fn dnf(line: &str) -> Option<String> {
    let (time, rest) = line.split_once(' ')?;
    let (verb, package) = rest.split_once(' ')?.1.split_once(": ")?;
    let done = ["Install", "Installed", "Upgrade", "Upgraded", "Downgrade", "Erase"].contains(&verb.trim());
    let (date, hour) = time.split_once('T')?;
    let said = || {
        format!("{date} {} {} {}", hour.get(..5).unwrap_or(hour), verb.trim().to_lowercase(), package.trim())
    };
    (done && is_driver(package)).then(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_change_of_the_driver_is_found_and_the_toolkit_is_none() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(history(folder.path()), None);
        let dnf = "2026-11-19T05:00:00+0000 DDEBUG Command: dnf upgrade\n\
            2026-11-19T05:01:02+0000 SUBDEBUG Upgrade: nvidia-driver-cuda-libs-3:550.90.07-1.fc40.x86_64\n\
            2026-11-19T05:01:03+0000 SUBDEBUG Upgrade: bash-5.2-1.x86_64\n";
        std::fs::write(folder.path().join("dnf.rpm.log"), dnf).expect("written");
        let upgraded = "2026-11-19 05:01 upgrade nvidia-driver-cuda-libs-3:550.90.07-1.fc40.x86_64";
        assert_eq!(history(folder.path()).as_deref(), Some(upgraded));
        let dpkg = "2026-11-20 06:12:33 upgrade libnvidia-compute-550:amd64 550.54.15-1 550.90.07-1\n\
            2026-11-20 06:12:34 status half-configured libnvidia-compute-550:amd64 550.90.07-1\n\
            2026-11-20 06:12:35 upgrade libnvidia-container1:amd64 1.17.0-1 1.18.0-1\n";
        std::fs::write(folder.path().join("dpkg.log"), dpkg).expect("written");
        let upgraded = "2026-11-20 06:12 upgrade libnvidia-compute-550 550.54.15-1 550.90.07-1";
        assert_eq!(history(folder.path()).as_deref(), Some(upgraded));
    }

    #[test]
    fn a_library_has_the_version_of_its_file_and_a_plain_link_has_none() {
        assert_eq!(version(Path::new("/x/libnvidia-ml.so.550.54.15")).as_deref(), Some("550.54.15"));
        assert_eq!(version(Path::new("/x/libnvidia-ml.so.1")), None);
    }
}
