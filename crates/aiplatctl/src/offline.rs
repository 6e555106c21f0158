//! Files of a platform, read by the command itself.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use aiplat_api::v1::SpecUpload;
use aiplat_core::{
    load::{Diagnostic, Facts, Files, Loaded, Origin, load, origins, render},
    spec::InstanceId,
};

use crate::{args::Globals, console, exit::Failure};

/// No file of a platform is larger.
const FILE_MAX: u64 = 16 << 20;
/// Where nobody sees the end of a line, snippets are drawn for this many columns.
const REPORT_WIDTH: usize = 110;

/// A file as it is understood here.
pub(crate) struct Offline {
    pub(crate) path: PathBuf,
    pub(crate) loaded: Loaded,
    contents: BTreeMap<PathBuf, String>,
    disk: Disk,
}

/// By whose rules a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rules {
    /// A newcomer's: a plain Compose file is taken, with a warning, and `~` is the caller's home.
    Newcomer,
    /// The daemon's, which insists on `apiVersion` and has no home: for a file that is to be put in force.
    Daemon,
}

/// The disk, with one file replaced by a text that is not saved yet.
struct Disk {
    edited: Option<(PathBuf, String)>,
    read: RefCell<BTreeMap<PathBuf, String>>,
}

impl Files for Disk {
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, String> {
        let bytes = match &self.edited {
            Some((edited, text)) if edited == path => text.clone().into_bytes(),
            Some(_) | None => match read_bounded(path) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error.to_string()),
            },
        };
        if let Ok(text) = std::str::from_utf8(&bytes) {
            self.read.borrow_mut().insert(path.to_owned(), text.to_owned());
        }
        Ok(Some(bytes))
    }

    fn list(&self, folder: &Path) -> Result<Option<Vec<PathBuf>>, String> {
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let paths: io::Result<Vec<PathBuf>> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
        paths.map(Some).map_err(|error| error.to_string())
    }
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let metadata = std::fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(io::Error::other("it is a folder"));
    }
    // A pipe or a device could be read for ever.
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a plain file"));
    }
    if metadata.len() > FILE_MAX {
        return Err(io::Error::other("it is larger than 16 MiB"));
    }
    std::fs::read(path)
}

/// Reads `path` and what it names. With `edited`, that text stands for the file's.
pub(crate) fn read(
    globals: &Globals,
    path: &Path,
    rules: Rules,
    edited: Option<String>,
) -> Result<Offline, Failure> {
    let path = std::path::absolute(path).map_err(|error| {
        Failure::usage(format!("cannot make sense of the path {}: {error}", path.display()))
    })?;
    let disk = Disk { edited: edited.map(|text| (path.clone(), text)), read: RefCell::default() };
    let facts = Facts {
        instance: InstanceId("offline".to_owned()),
        state_dir: globals.state_dir.clone(),
        home: std::env::home_dir().filter(|_| rules == Rules::Newcomer),
        capacity: None,
        accept_compose: rules == Rules::Newcomer,
    };
    let loaded = load(&path, &disk, &facts);
    let contents = disk.read.borrow().clone();
    Ok(Offline { path, loaded, contents, disk })
}

impl Offline {
    /// Errors and warnings with their snippets, for the terminal.
    pub(crate) fn report(&self, diagnostics: &[Diagnostic]) -> String {
        // Coloured in any case: the console takes colours out where they are not seen.
        render(diagnostics, &self.loaded.sources, true, console::screen().width.unwrap_or(REPORT_WIDTH))
    }

    /// The file and those that it names, for the daemon.
    pub(crate) fn upload(&self) -> SpecUpload {
        let shown = |path: &Path| path.to_string_lossy().into_owned();
        let files = self.contents.iter().map(|(path, text)| (shown(path), text.clone()));
        SpecUpload { root: shown(&self.path), files: files.collect() }
    }

    /// Which file and line set each value.
    pub(crate) fn origins(&self) -> Vec<Origin> {
        origins(&self.path, &self.disk)
    }

    /// The contents of all of them.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        self.contents.values().map(String::as_str)
    }

    /// The content of the file itself.
    pub(crate) fn content(&self) -> Option<&str> {
        self.contents.get(&self.path).map(String::as_str)
    }

    /// The other files that were found.
    pub(crate) fn companions(&self) -> impl Iterator<Item = &Path> {
        self.contents.keys().map(PathBuf::as_path).filter(|path| *path != self.path)
    }

    /// `2 errors and 1 warning in /etc/aiplatd/platform.yaml`.
    pub(crate) fn tally(&self) -> String {
        use crate::render::text::count;
        let errors = self.loaded.diagnostics.iter().filter(|it| it.is_error()).count();
        let warnings = self.loaded.diagnostics.len() - errors;
        let parts = [(errors, "error"), (warnings, "warning")];
        let parts: Vec<String> = parts
            .into_iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, one)| count(number, one))
            .collect();
        format!("{} in {}", parts.join(" and "), self.path.display())
    }
}
