//! `platform.yaml.d/*.yaml`, in lexical order.

use std::path::{Path, PathBuf};

use super::{Join, Role};
use crate::load::{
    decode::Content,
    diagnostic::Problem,
    tree::{FileId, Node},
};

/// No platform has more overlays.
const OVERLAYS_MAX: usize = 100;

/// The folder of the overlays of `root`: `platform.yaml.d` beside `platform.yaml`.
pub(in crate::load) fn folder_of(root: &Path) -> PathBuf {
    let mut name = root.file_name().unwrap_or_default().to_owned();
    name.push(".d");
    root.with_file_name(name)
}

impl Join<'_> {
    /// The overlays that can be read, in order.
    pub(super) fn overlays(&mut self, root: &Path) -> Vec<(FileId, Node)> {
        let folder = folder_of(root);
        self.reader.folders.push(folder.clone());
        let names = match self.files.list(&folder) {
            Ok(Some(names)) => names,
            Ok(None) => return Vec::new(),
            Err(error) => {
                let file = self.reader.sources.add(&folder, "", false);
                let message = format!("cannot list {}: {error}", folder.display());
                self.sink.add(
                    Problem::of_file("file-unreadable", file, message)
                        .because(
                            "it may hold overlays, and without them the platform may mean something else",
                        )
                        .help("mend its mode, or remove it"),
                );
                return Vec::new();
            }
        };
        let mut paths: Vec<PathBuf> = names.into_iter().filter(|path| self.is_overlay(path)).collect();
        paths.sort();
        if paths.len() > OVERLAYS_MAX {
            let file = self.reader.sources.add(&folder, "", false);
            let message = format!("{} holds more than {OVERLAYS_MAX} overlays", folder.display());
            self.sink.add(Problem::of_file("file-too-complex", file, message).help("join some of them"));
            return Vec::new();
        }
        paths.iter().filter_map(|path| self.overlay(path)).collect()
    }

    /// Hidden files are what editors leave; what almost has the right name is worth a word.
    fn is_overlay(&mut self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') {
            return false;
        }
        if name.ends_with(".yml") {
            let file = self.reader.sources.add(path, "", false);
            let message = format!("{} is not read: overlays end in `.yaml`", path.display());
            self.sink.add(Problem::warning_of_file("not-an-overlay", file, message).help("rename it"));
        }
        name.ends_with(".yaml")
    }

    fn overlay(&mut self, path: &Path) -> Option<(FileId, Node)> {
        let file = match self.reader.read(self.files, path, false, None, self.sink) {
            Content::Text(file) => file,
            // It went away between the list and the read: the next look finds it gone, or here again.
            Content::Missing | Content::Bad => return None,
        };
        self.parts.push(path.to_owned());
        Some((file, self.parse(file, Role::Part)?))
    }
}
