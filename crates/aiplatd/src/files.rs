//! The real spec source: files, watched through their folders.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use aiplat_core::load::Files;
use futures_util::future::BoxFuture;
use notify::{
    EventKind, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, ModifyKind},
};
use tokio::sync::Notify;

use crate::ports::SpecSource;

/// `platform.yaml` on disk, and what it names.
pub struct DiskSource {
    root: PathBuf,
    watched: Mutex<Watched>,
    news: Arc<News>,
}

struct Watched {
    watcher: Option<notify::RecommendedWatcher>,
    /// With device and inode: a folder of the same name may be another one.
    folders: BTreeMap<PathBuf, (u64, u64)>,
}

/// What the watcher's thread and the daemon share.
#[derive(Default)]
struct News {
    /// A file is whole: it was closed after writing, renamed, linked or removed. An open one is never judged.
    whole: Notify,
    /// The watched files, as named and as resolved: a neighbour's writes are no news.
    names: Mutex<BTreeSet<PathBuf>>,
    /// The folders of overlays, as named and as resolved: whatever is written in them is news.
    folders: Mutex<BTreeSet<PathBuf>>,
}

impl DiskSource {
    /// Watches nothing yet.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        let news = Arc::new(News::default());
        let told = Arc::clone(&news);
        let watcher =
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| told.tell(&event));
        let watcher = watcher
            .inspect_err(
                |error| tracing::error!(error = %error, "Files cannot be watched; send SIGHUP after an edit."),
            )
            .ok();
        Self { root, watched: Mutex::new(Watched { watcher, folders: BTreeMap::new() }), news }
    }
}

impl News {
    /// Reading a file raises events too; only what may have changed a whole file is passed on.
    fn tell(&self, event: &notify::Result<notify::Event>) {
        let is_news = match event {
            Err(_) => true,
            Ok(event) if event.need_rescan() => true,
            Ok(event) => match event.kind {
                // In place: this very file is whole now.
                EventKind::Access(AccessKind::Close(AccessMode::Write)) => self.names_one_of(event),
                // A name may be anything that the file is reached through: a rename or a swapped link in its folder
                // is always looked at.
                EventKind::Modify(ModifyKind::Name(_)) | EventKind::Remove(_) => true,
                // A plain new file is news when it is closed; a link is never opened.
                EventKind::Create(_) => event.paths.iter().any(|path| is_link(path) || self.is_folder(path)),
                EventKind::Modify(_) | EventKind::Access(_) | EventKind::Any | EventKind::Other => false,
            },
        };
        if is_news {
            self.whole.notify_one();
        }
    }

    fn names_one_of(&self, event: &notify::Event) -> bool {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let inside = |path: &PathBuf| path.parent().is_some_and(|folder| self.is_folder(folder));
        event.paths.iter().any(|path| names.contains(path) || inside(path))
    }

    /// Whether `path` is a folder of overlays.
    fn is_folder(&self, path: &Path) -> bool {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner).contains(path)
    }
}

/// A symbolic link, or one more name of a file that exists.
fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink() || metadata.nlink() > 1)
}

impl Files for DiskSource {
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, String> {
        match read_plain(path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("{error}")),
        }
    }

    fn list(&self, folder: &Path) -> Result<Option<Vec<PathBuf>>, String> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let paths: std::io::Result<Vec<PathBuf>> =
            entries.map(|entry| entry.map(|entry| entry.path())).collect();
        paths.map(Some).map_err(|error| error.to_string())
    }
}

/// A larger file than this is none of ours; the loader has a bound of its own below it.
const FILE_MAX: u64 = 16 << 20;

/// Reads a plain file: a pipe, a device or a folder in its place must neither hold us nor fill us up.
fn read_plain(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut options = fs::OpenOptions::new();
    let file =
        options.read(true).custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("it is not a plain file"));
    }
    let mut bytes = Vec::new();
    file.take(FILE_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl SpecSource for DiskSource {
    fn root(&self) -> &Path {
        &self.root
    }

    fn watch(&self, files: &[PathBuf], folders: &[PathBuf]) {
        let names = with_targets(files.iter().chain([&self.root]));
        let overlays = with_targets(folders);
        // The folder of a folder shows how that one comes and goes.
        let around = names.iter().chain(&overlays).filter_map(|path| path.parent().map(folder));
        let wanted: BTreeSet<PathBuf> =
            around.chain(overlays.iter().filter(|it| it.is_dir()).cloned()).collect();
        *self.news.names.lock().unwrap_or_else(PoisonError::into_inner) = names;
        *self.news.folders.lock().unwrap_or_else(PoisonError::into_inner) = overlays;
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let Watched { watcher, folders } = &mut *watched;
        let Some(watcher) = watcher else { return };
        for gone in folders.keys().filter(|path| !wanted.contains(*path)) {
            // It may have gone by itself.
            drop(watcher.unwatch(gone));
        }
        let mut now = BTreeMap::new();
        for path in wanted {
            let identity = identity(&path);
            let known = folders.get(&path).copied();
            if known.is_some() && known == identity {
                now.extend(identity.map(|identity| (path, identity)));
                continue;
            }
            if known.is_some() {
                drop(watcher.unwatch(&path)); // Another folder has its name by now.
            }
            match identity.filter(|_| watcher.watch(&path, RecursiveMode::NonRecursive).is_ok()) {
                Some(identity) => {
                    // What was written between the read that named the file and this moment is read now.
                    self.news.whole.notify_one();
                    now.insert(path, identity);
                }
                None => {
                    tracing::warn!(folder = %path.display(), "The folder cannot be watched; send SIGHUP after an edit.")
                }
            }
        }
        *folders = now;
    }

    fn replace(&self, content: &[u8]) -> Result<(), String> {
        let path = fs::canonicalize(&self.root).unwrap_or_else(|_missing| self.root.clone());
        write(&path, content, &path).map_err(|error| unwritten(&path, &error))
    }

    fn keep(&self, content: &[u8], ending: &str) -> Result<PathBuf, String> {
        let mut name = self.root.clone().into_os_string();
        name.push(ending);
        let path = PathBuf::from(name);
        write(&path, content, &self.root)
            .map_err(|error| format!("cannot write {}: {}", path.display(), unwritten(&path, &error)))?;
        Ok(path)
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.news.whole.notified())
    }
}

/// These paths, and what they are links to: a target is edited elsewhere, and events name it as its folder was given.
fn with_targets<'p>(paths: impl IntoIterator<Item = &'p PathBuf>) -> BTreeSet<PathBuf> {
    let mut paths: BTreeSet<PathBuf> = paths.into_iter().cloned().collect();
    let resolved: Vec<PathBuf> = paths.iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
    paths.extend(resolved);
    paths
}

fn identity(folder: &Path) -> Option<(u64, u64)> {
    fs::metadata(folder).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

fn folder(path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() { PathBuf::from(".") } else { path.to_owned() }
}

/// Why `path` could not be written, and what to do where the unit is why.
fn unwritten(path: &Path, error: &std::io::Error) -> String {
    let folder = folder(path.parent().unwrap_or(Path::new("/")));
    match aiplat_host::files::read_only(&folder, error) {
        Some(cure) => format!("{error}: {cure}"),
        None => error.to_string(),
    }
}

/// Writes beside `path` and renames over it; owner and mode are those of `like`.
fn write(path: &Path, content: &[u8], like: &Path) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    match fs::metadata(like) {
        Ok(old) => {
            file.as_file().set_permissions(old.permissions())?;
            std::os::unix::fs::fchown(file.as_file(), Some(old.uid()), Some(old.gid()))?;
        }
        Err(_missing) => file.as_file().set_permissions(fs::Permissions::from_mode(0o640))?,
    }
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    fs::File::open(folder)?.sync_all()
}
