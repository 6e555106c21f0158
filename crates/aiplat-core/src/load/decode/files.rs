//! The files beside the root, read through the caller.

use std::path::{Component, Path, PathBuf};

use crate::load::{
    Files,
    diagnostic::{Problem, Sink, SourceMap},
    parse::BYTES_MAX,
    tree::{FileId, Place},
};

/// The files that were read, and those that were looked for.
#[derive(Default)]
pub(in crate::load) struct Reader {
    pub(in crate::load) sources: SourceMap,
    /// Read or looked for.
    pub(in crate::load) read: Vec<PathBuf>,
    /// Folders that were looked through, whether they exist or not.
    pub(in crate::load) folders: Vec<PathBuf>,
}

/// What became of reading a file.
pub(in crate::load) enum Content {
    Text(FileId),
    Missing,
    /// Unreadable, which has been said.
    Bad,
}

impl Reader {
    /// The bytes of `path`, whatever they are. Never shown.
    pub(in crate::load) fn bytes(
        &mut self,
        files: &dyn Files,
        path: &Path,
    ) -> Result<Option<Vec<u8>>, String> {
        self.note(path);
        files.read(path)
    }

    fn note(&mut self, path: &Path) {
        if !self.read.iter().any(|known| known == path) {
            self.read.push(path.to_owned());
        }
    }

    /// Reads `path`; lines of a `private` file are never shown. Trouble is reported at `place`, or as the file's own.
    pub(in crate::load) fn read(
        &mut self,
        files: &dyn Files,
        path: &Path,
        private: bool,
        place: Option<Place>,
        sink: &mut Sink,
    ) -> Content {
        self.note(path);
        if let Some(known) = self.sources.find(path) {
            return Content::Text(known);
        }
        let text = match files.read(path) {
            Ok(None) => return Content::Missing,
            Err(error) => {
                Err(("file-unreadable", format!("cannot read {}: {error}", path.display()), String::new()))
            }
            Ok(Some(bytes)) => decode(bytes, path),
        };
        match text {
            Ok(text) => Content::Text(self.sources.add(path, &text, private)),
            Err((code, message, help)) => {
                let problem = match place {
                    Some(place) => Problem::error(code, place, message),
                    None => Problem::of_file(code, self.sources.add(path, "", private), message),
                };
                sink.add(problem.maybe_help(Some(help).filter(|help| !help.is_empty())));
                Content::Bad
            }
        }
    }
}

fn decode(bytes: Vec<u8>, path: &Path) -> Result<String, (&'static str, String, String)> {
    let path = path.display();
    if bytes.len() > BYTES_MAX {
        return Err((
            "file-too-large",
            format!("{path} is larger than 4 MiB"),
            "is this the right file?".to_owned(),
        ));
    }
    let utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    String::from_utf8(bytes).map_err(|error| {
        let error = error.utf8_error();
        let message = format!("{path} is not UTF-8: byte {} is no text", error.valid_up_to());
        let help = if utf16 { "it looks like UTF-16: save it as UTF-8" } else { "save it as UTF-8" };
        ("file-not-utf8", message, help.to_owned())
    })
}

/// `path` as seen from `folder`, without `.`, `..`, doubled and trailing slashes.
pub(in crate::load) fn absolute(folder: &Path, path: &str) -> PathBuf {
    normal(&folder.join(path))
}

/// Lexically normal: what `..` means behind a symbolic link is for whoever opens it.
pub(in crate::load) fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if normal.file_name().is_some() => drop(normal.pop()),
            Component::ParentDir if normal.has_root() => {}
            Component::ParentDir | Component::Normal(_) | Component::RootDir | Component::Prefix(_) => {
                normal.push(part);
            }
        }
    }
    normal
}
