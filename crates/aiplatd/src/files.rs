//! The real spec source: files, watched through their folders.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
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
    folders: BTreeSet<PathBuf>,
}

/// What the watcher's thread tells the daemon.
#[derive(Default)]
struct News {
    /// A file was closed after writing, or renamed: it is whole.
    whole: Notify,
    /// Some bytes changed: it may be half written.
    partial: Notify,
}

/// A bare modify waits this long for more of them: an editor that writes in place is then done.
const SETTLE: Duration = Duration::from_millis(50);

impl DiskSource {
    /// Watches nothing yet.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        let news = Arc::new(News::default());
        let told = Arc::clone(&news);
        let watcher =
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| tell(&told, &event));
        let watcher = watcher
            .inspect_err(|error| tracing::error!(error = %error, "Files cannot be watched; send SIGHUP after an edit."))
            .ok();
        Self { root, watched: Mutex::new(Watched { watcher, folders: BTreeSet::new() }), news }
    }
}

/// Reading a file raises events too; only what may have changed bytes is passed on. Names are not looked at: a
/// swapped symlink or an editor's rename names another file than the one that changed.
fn tell(news: &News, event: &notify::Result<notify::Event>) {
    let Ok(event) = event else { return news.whole.notify_one() };
    if event.need_rescan() {
        return news.whole.notify_one();
    }
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Create(_)
        | EventKind::Remove(_)
        | EventKind::Modify(ModifyKind::Name(_)) => news.whole.notify_one(),
        EventKind::Modify(_) | EventKind::Any | EventKind::Other => news.partial.notify_one(),
        EventKind::Access(_) => {}
    }
}

impl Files for DiskSource {
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, String> {
        match fs::read(path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("{error}")),
        }
    }
}

impl SpecSource for DiskSource {
    fn root(&self) -> &Path {
        &self.root
    }

    fn watch(&self, paths: &[PathBuf]) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let Watched { watcher, folders } = &mut *watched;
        let Some(watcher) = watcher else { return };
        let mut wanted: BTreeSet<PathBuf> = BTreeSet::new();
        for path in paths.iter().chain([&self.root]) {
            wanted.extend(path.parent().map(folder));
            // A symlink's target is edited elsewhere.
            wanted.extend(fs::canonicalize(path).ok().and_then(|target| target.parent().map(folder)));
        }
        for gone in folders.difference(&wanted) {
            // It may have gone by itself.
            drop(watcher.unwatch(gone));
        }
        let mut now = BTreeSet::new();
        for path in wanted {
            let known = folders.contains(&path);
            if known || watcher.watch(&path, RecursiveMode::NonRecursive).is_ok() {
                if !known {
                    // What was written between the read that named the file and this moment is read now.
                    self.news.whole.notify_one();
                }
                now.insert(path);
            } else {
                tracing::warn!(folder = %path.display(), "The folder cannot be watched; send SIGHUP after an edit.");
            }
        }
        *folders = now;
    }

    fn replace(&self, content: &[u8]) -> Result<(), String> {
        replace(&self.root, content).map_err(|error| error.to_string())
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            tokio::select! {
                biased;
                // Both arms are cancel-safe: a notification that was not taken is kept for the next call.
                () = self.news.whole.notified() => return,
                () = self.news.partial.notified() => {}
            }
            tokio::select! {
                biased;
                () = self.news.whole.notified() => {}
                () = tokio::time::sleep(SETTLE) => {}
            }
        })
    }
}

fn folder(path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() { PathBuf::from(".") } else { path.to_owned() }
}

/// Writes beside the file and renames over it; owner and mode of the old one are kept.
fn replace(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let path = fs::canonicalize(path).unwrap_or_else(|_missing| path.to_owned());
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    match fs::metadata(&path) {
        Ok(old) => {
            file.as_file().set_permissions(old.permissions())?;
            std::os::unix::fs::fchown(file.as_file(), Some(old.uid()), Some(old.gid()))?;
        }
        Err(_missing) => file.as_file().set_permissions(fs::Permissions::from_mode(0o640))?,
    }
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|error| error.error)?;
    fs::File::open(folder)?.sync_all()
}
