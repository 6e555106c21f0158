//! The simulated twins of the daemon's other ports: clock, store, file.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aiplat_core::{Timestamp, load::Files};
use aiplatd::ports::{Batch, Clock, SpecSource, StateStore, StoreError, Stored};
use futures_util::{FutureExt, future::BoxFuture};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::host::{SimHost, wall_ms};

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The machine's clock: paused time.
#[derive(Clone)]
pub struct SimClock(pub SimHost);

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn wall_ms(&self) -> i64 {
        wall_ms(self.0.now())
    }
}

/// The state folder: it outlives its daemons.
#[derive(Clone, Default)]
pub struct Disk {
    stored: Arc<Mutex<Stored>>,
    full: Arc<Mutex<bool>>,
    rebooted: Arc<Mutex<bool>>,
    logs: Arc<Mutex<BTreeMap<String, Vec<Vec<u8>>>>>,
}

impl Disk {
    /// What is on it.
    #[must_use]
    pub fn stored(&self) -> Stored {
        lock(&self.stored).clone()
    }

    /// The machine is rebooted: what the ledger measured in boot times means nothing to the next daemon.
    pub fn reboot(&self) {
        *lock(&self.rebooted) = true;
    }

    /// What the next daemon reads.
    #[must_use]
    pub fn load(&self) -> Stored {
        let mut stored = self.stored();
        if std::mem::take(&mut *lock(&self.rebooted)) {
            stored.ledger.forget_boot_times();
        }
        stored
    }

    /// No further write succeeds, or they do again.
    pub fn fill(&self, full: bool) {
        *lock(&self.full) = full;
    }

    /// The store of one daemon.
    #[must_use]
    pub fn port(&self, dead: CancellationToken) -> Arc<SimStore> {
        Arc::new(SimStore { disk: self.clone(), dead })
    }
}

/// A store in memory.
pub struct SimStore {
    disk: Disk,
    dead: CancellationToken,
}

impl StateStore for SimStore {
    fn load(&self) -> BoxFuture<'_, Result<Stored, StoreError>> {
        async { Ok(self.disk.load()) }.boxed()
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            tokio::time::sleep(Duration::from_millis(2)).await;
            if self.dead.is_cancelled() {
                return std::future::pending().await;
            }
            if *lock(&self.disk.full) {
                return Err(StoreError("no space left on device".to_owned()));
            }
            let mut stored = lock(&self.disk.stored);
            let Batch { records, last_good, history, events } = batch;
            for (number, event) in events {
                stored.events.retain(|kept| kept.event.number != number);
                stored.events.extend(event);
            }
            for (id, record) in records {
                match record {
                    Some(record) => drop(stored.ledger.records.insert(id, record)),
                    None => drop(stored.ledger.records.remove(&id)),
                }
            }
            if last_good.is_some() {
                stored.last_good = last_good;
            }
            if let Some(history) = history {
                stored.history = history;
            }
            Ok(())
        }
        .boxed()
    }

    fn keep_log(&self, service: &str, lines: Vec<Vec<u8>>) -> BoxFuture<'_, Result<(), StoreError>> {
        lock(&self.disk.logs).insert(service.to_owned(), lines);
        async { Ok(()) }.boxed()
    }

    fn kept_log(&self, service: &str) -> BoxFuture<'_, Result<Vec<Vec<u8>>, StoreError>> {
        let lines = lock(&self.disk.logs).get(service).cloned().unwrap_or_default();
        async { Ok(lines) }.boxed()
    }
}

/// A folder with `platform.yaml` in it.
#[derive(Clone)]
pub struct Folder {
    files: Arc<Mutex<Contents>>,
    version: watch::Sender<u64>,
}

/// By path: what a file holds, or why it cannot be read.
type Contents = BTreeMap<PathBuf, Result<Vec<u8>, String>>;

/// Where the file is.
pub const ROOT: &str = "/etc/aiplatd/platform.yaml";

impl Default for Folder {
    fn default() -> Self {
        Self { files: Arc::default(), version: watch::Sender::new(0) }
    }
}

impl Folder {
    /// Writes the file, and tells.
    pub fn write(&self, content: &[u8]) {
        lock(&self.files).insert(PathBuf::from(ROOT), Ok(content.to_vec()));
        self.touch();
    }

    /// Writes another file of the folder, and tells.
    pub fn write_beside(&self, name: &str, content: &[u8]) {
        lock(&self.files).insert(Path::new(ROOT).with_file_name(name), Ok(content.to_vec()));
        self.touch();
    }

    /// Deletes another file of the folder; a folder in it that holds no more files is gone too.
    pub fn delete_beside(&self, name: &str) {
        lock(&self.files).remove(&Path::new(ROOT).with_file_name(name));
        self.touch();
    }

    /// The file cannot be read.
    pub fn deny(&self) {
        lock(&self.files).insert(PathBuf::from(ROOT), Err("permission denied".to_owned()));
        self.touch();
    }

    /// Deletes the file.
    pub fn delete(&self) {
        lock(&self.files).remove(Path::new(ROOT));
        self.touch();
    }

    fn touch(&self) {
        self.version.send_modify(|version| *version += 1);
    }

    /// The source of one daemon.
    #[must_use]
    pub fn port(&self) -> Arc<SimSpec> {
        Arc::new(SimSpec { folder: self.clone(), seen: tokio::sync::Mutex::new(self.version.subscribe()) })
    }
}

/// A file in memory.
pub struct SimSpec {
    folder: Folder,
    seen: tokio::sync::Mutex<watch::Receiver<u64>>,
}

impl Files for SimSpec {
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, String> {
        lock(&self.folder.files).get(path).cloned().transpose()
    }

    fn list(&self, folder: &Path) -> Result<Option<Vec<PathBuf>>, String> {
        let files = lock(&self.folder.files);
        let inside: Vec<PathBuf> =
            files.keys().filter(|path| path.parent() == Some(folder)).cloned().collect();
        Ok((!inside.is_empty()).then_some(inside))
    }
}

impl SpecSource for SimSpec {
    fn root(&self) -> &Path {
        Path::new(ROOT)
    }

    fn watch(&self, _files: &[PathBuf], _folders: &[PathBuf]) {}

    fn replace(&self, content: &[u8]) -> Result<(), String> {
        self.folder.write(content);
        Ok(())
    }

    fn keep(&self, content: &[u8], ending: &str) -> Result<PathBuf, String> {
        let path = PathBuf::from(format!("{ROOT}{ending}"));
        lock(&self.folder.files).insert(path.clone(), Ok(content.to_vec()));
        self.folder.touch();
        Ok(path)
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        async {
            let changed = self.seen.lock().await.changed().await;
            if changed.is_err() {
                std::future::pending().await
            }
        }
        .boxed()
    }
}
