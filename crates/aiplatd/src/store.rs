//! The real store: redb, on a thread of its own, with a snapshot beside it for the day it is damaged.

mod logs;

use std::{
    fs,
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::mpsc,
};

use aiplat_core::{
    ResourceId,
    ledger::{Ledger, Record},
    spec::InstanceId,
};
use futures_util::future::BoxFuture;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use tokio::sync::oneshot;

use crate::ports::{Batch, Revision, SpecFiles, StateStore, StoreError, Stored};

/// One record of the ledger a resource, as JSON.
const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");
/// `boot_id`, `last_good` and `history`.
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

/// Events as JSON, by their number.
const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");

/// redb's default cache is 1 GiB; the ledger is a few hundred kilobytes.
const CACHE_BYTES: usize = 1 << 20;

/// A state folder that could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another daemon has it.
    #[error(
        "another aiplatd uses the state folder {0}: two daemons on one folder would fight; stop the other one, or give this one its own --state-dir"
    )]
    Taken(String),
    /// Another daemon has a copy of it.
    #[error(
        "another aiplatd runs as instance {0}: this state folder is a copy of its; remove `instance-id` here, or stop the other one"
    )]
    InstanceTaken(String),
    /// It cannot be made or written.
    #[error("cannot use the state folder {0}: it must be a folder that this user may write")]
    Unusable(String, #[source] std::io::Error),
}

/// An instance, ours alone while this value lives: two daemons of one instance (a copied state folder) would each take
/// the other's containers for its own.
#[derive(Debug)]
pub struct InstanceLock(#[expect(dead_code, reason = "held, never used")] std::os::unix::net::UnixListener);

impl InstanceLock {
    /// Takes the instance on this machine.
    ///
    /// # Errors
    /// When another daemon has it.
    pub fn take(instance: &InstanceId) -> Result<Self, OpenError> {
        use std::os::{
            linux::net::SocketAddrExt,
            unix::net::{SocketAddr, UnixListener},
        };
        // An abstract socket: it goes with the process, and no file is left behind.
        let taken = |_error| OpenError::InstanceTaken(instance.to_string());
        let address = SocketAddr::from_abstract_name(format!("aiplatd-{instance}")).map_err(taken)?;
        UnixListener::bind_addr(&address).map(Self).map_err(taken)
    }
}

/// The state folder, ours alone while this value lives.
#[derive(Debug)]
pub struct StateFolder {
    path: PathBuf,
    /// The lock is the open file's; it goes with the process, however that ends.
    _lock: fs::File,
}

impl StateFolder {
    /// Takes the folder, making it when absent.
    ///
    /// # Errors
    /// When another daemon has it, or it cannot be written.
    pub fn take(path: &Path) -> Result<Self, OpenError> {
        let unusable = |error| OpenError::Unusable(path.display().to_string(), error);
        fs::create_dir_all(path).map_err(unusable)?;
        let lock = fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join("lock"))
            .map_err(unusable)?;
        match rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(OpenError::Taken(path.display().to_string())),
            Err(errno) => return Err(unusable(errno.into())),
        }
        remove_leftovers(path);
        // The group may pass through to status.json and read nothing else.
        fs::set_permissions(path, fs::Permissions::from_mode(0o710)).map_err(unusable)?;
        crate::server::auth::give_to_group(path);
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whose folder this is: made once, a file of its own, so that no damage to the ledger makes our own objects foreign.
    ///
    /// # Errors
    /// When it cannot be read, or made.
    pub fn instance_id(&self) -> Result<InstanceId, OpenError> {
        let path = self.path.join("instance-id");
        let unusable = |error| OpenError::Unusable(self.path.display().to_string(), error);
        match fs::read_to_string(&path) {
            Ok(text) if !text.trim().is_empty() => return Ok(InstanceId(text.trim().to_owned())),
            Ok(_empty) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(unusable(error)),
        }
        let mut bytes = [0_u8; 8];
        getrandom::fill(&mut bytes).map_err(|error| unusable(std::io::Error::other(error.to_string())))?;
        let id: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut file = tempfile::NamedTempFile::new_in(&self.path).map_err(unusable)?;
        writeln!(file, "{id}").map_err(unusable)?;
        file.as_file().sync_all().map_err(unusable)?;
        file.persist(&path).map_err(|error| unusable(error.error))?;
        sync_folder(&self.path).map_err(unusable)?;
        Ok(InstanceId(id))
    }
}

/// A kill in the middle of an atomic write leaves its temporary file. The folder is ours alone, so it is nobody's.
fn remove_leftovers(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(".tmp")) {
        drop(fs::remove_file(entry.path()));
    }
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    fs::File::open(path)?.sync_all()
}

/// The ledger on disk. Its blocking library has a thread of its own.
pub struct RedbStore {
    requests: mpsc::Sender<Request>,
}

enum Request {
    Load(oneshot::Sender<Result<Stored, StoreError>>),
    Commit(Batch, oneshot::Sender<Result<(), StoreError>>),
    KeepLog(String, Vec<Vec<u8>>, oneshot::Sender<Result<(), StoreError>>),
    KeptLog(String, oneshot::Sender<Result<Vec<Vec<u8>>, StoreError>>),
}

impl RedbStore {
    /// A store in `folder`. `boot_id` tells this boot from others.
    #[must_use]
    pub fn open(folder: &Path, boot_id: String) -> Self {
        let (requests, inbox) = mpsc::channel();
        let disk = Disk { folder: folder.to_owned(), boot_id, database: None };
        std::thread::spawn(move || disk.serve(&inbox));
        Self { requests }
    }
}

impl RedbStore {
    fn ask<T: Send + 'static>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Request,
    ) -> BoxFuture<'_, Result<T, StoreError>> {
        let (reply, answer) = oneshot::channel();
        let sent = self.requests.send(request(reply));
        Box::pin(async move {
            sent.map_err(|_gone| gone())?;
            answer.await.map_err(|_gone| gone())?
        })
    }
}

impl StateStore for RedbStore {
    fn load(&self) -> BoxFuture<'_, Result<Stored, StoreError>> {
        self.ask(Request::Load)
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<(), StoreError>> {
        self.ask(|reply| Request::Commit(batch, reply))
    }

    fn keep_log(&self, service: &str, lines: Vec<Vec<u8>>) -> BoxFuture<'_, Result<(), StoreError>> {
        self.ask(|reply| Request::KeepLog(service.to_owned(), lines, reply))
    }

    fn kept_log(&self, service: &str) -> BoxFuture<'_, Result<Vec<Vec<u8>>, StoreError>> {
        self.ask(|reply| Request::KeptLog(service.to_owned(), reply))
    }
}

fn gone() -> StoreError {
    StoreError("the store's thread has ended".to_owned())
}

/// What the thread owns.
struct Disk {
    folder: PathBuf,
    boot_id: String,
    database: Option<Database>,
}

impl Disk {
    fn serve(mut self, inbox: &mpsc::Receiver<Request>) {
        while let Ok(request) = inbox.recv() {
            // An answer that nobody waits for any more is dropped.
            match request {
                Request::Load(reply) => drop(reply.send(self.load())),
                Request::Commit(batch, reply) => drop(reply.send(self.commit(&batch).map_err(store_error))),
                Request::KeepLog(service, lines, reply) => {
                    let kept = logs::write(&self.folder, &service, &lines);
                    drop(reply.send(kept.map_err(|error| StoreError(error.to_string()))));
                }
                Request::KeptLog(service, reply) => {
                    let kept = logs::read(&self.folder, &service);
                    drop(reply.send(kept.map_err(|error| StoreError(error.to_string()))));
                }
            }
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.join("ledger.redb")
    }

    fn snapshot_path(&self) -> PathBuf {
        self.folder.join("ledger.snapshot.json")
    }

    fn load(&mut self) -> Result<Stored, StoreError> {
        let mut stored = match self.open().and_then(|()| self.read()) {
            Ok(stored) => stored,
            // The disk is not the ledger's fault: what is on it stays as it is.
            Err(error) if is_of_the_disk(&*error) => return Err(store_error(error)),
            Err(error) => self.fall_back(&error.to_string())?,
        };
        if stored.boot_id.as_deref() != Some(self.boot_id.as_str()) {
            stored.content.ledger.forget_boot_times();
        }
        // The state as it was found good: what a damaged ledger falls back to.
        if let Err(error) = self.snapshot(&stored.content) {
            tracing::warn!(error = %error, "The ledger's snapshot cannot be written.");
        }
        Ok(stored.content)
    }

    fn open(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES);
        let database = builder.create(self.path())?;
        fs::set_permissions(self.path(), fs::Permissions::from_mode(0o600))?;
        let transaction = database.begin_write()?;
        transaction.open_table(RECORDS)?;
        transaction.open_table(META)?;
        transaction.open_table(EVENTS)?;
        transaction.commit()?;
        self.database = Some(database);
        Ok(())
    }

    fn read(&self) -> Result<Read, Box<dyn std::error::Error>> {
        let database = self.database.as_ref().ok_or("the ledger is not open")?;
        let transaction = database.begin_read()?;
        let mut ledger = Ledger::default();
        for entry in transaction.open_table(RECORDS)?.iter()? {
            let (key, value) = entry?;
            let id: ResourceId = key.value().parse()?;
            let record: Record = serde_json::from_slice(value.value())?;
            ledger.records.insert(id, record);
        }
        let meta = transaction.open_table(META)?;
        let boot_id = meta.get("boot_id")?.map(|value| String::from_utf8_lossy(value.value()).into_owned());
        let last_good: Option<SpecFiles> =
            meta.get("last_good")?.map(|value| serde_json::from_slice(value.value())).transpose()?;
        // What one cannot go back to any more is no reason not to start.
        let history = meta.get("history")?.and_then(|value| serde_json::from_slice(value.value()).ok());
        let history = history.unwrap_or_default();
        let mut events = Vec::new();
        for entry in transaction.open_table(EVENTS)?.iter()? {
            // Nor is an event that an older version wrote otherwise.
            events.extend(serde_json::from_slice(entry?.1.value()).ok());
        }
        Ok(Read { boot_id, content: Stored { ledger, last_good, history, events, lost: None } })
    }

    /// The ledger is damaged: it is put aside, not deleted, and the last snapshot takes its place.
    fn fall_back(&mut self, why: &str) -> Result<Read, StoreError> {
        self.database = None;
        let aside = self.folder.join("ledger.redb.damaged");
        if self.path().exists() {
            fs::rename(self.path(), &aside).map_err(|error| {
                StoreError(format!("cannot put the damaged ledger {} aside: {error}", self.path().display()))
            })?;
        }
        let snapshot = fs::read(self.snapshot_path())
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Snapshot>(&bytes).ok());
        let how = if snapshot.is_some() { "its previous snapshot is used" } else { "it starts anew" };
        let lost =
            format!("the ledger was damaged ({why}): {how}; the damaged one is kept as {}", aside.display());
        let Snapshot { ledger, last_good, history } = snapshot.unwrap_or_default();
        self.open().map_err(store_error)?;
        let content = Stored { ledger, last_good, history, events: Vec::new(), lost: Some(lost) };
        let records =
            content.ledger.records.iter().map(|(id, record)| (id.clone(), Some(record.clone()))).collect();
        let batch = Batch {
            records,
            last_good: content.last_good.clone(),
            history: Some(content.history.clone()),
            ..Batch::default()
        };
        self.commit(&batch).map_err(store_error)?;
        Ok(Read { boot_id: None, content })
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), Box<dyn std::error::Error>> {
        if self.database.is_none() {
            self.open()?;
        }
        let result = self.write(batch);
        if result.is_err() {
            // After an I/O error redb wants to be opened anew; the next commit does.
            self.database = None;
        }
        result
    }

    fn write(&self, batch: &Batch) -> Result<(), Box<dyn std::error::Error>> {
        let database = self.database.as_ref().ok_or("the ledger is not open")?;
        let transaction = database.begin_write()?;
        {
            let mut records = transaction.open_table(RECORDS)?;
            for (id, record) in &batch.records {
                let key = id.to_string();
                match record {
                    Some(record) => {
                        drop(records.insert(key.as_str(), serde_json::to_vec(record)?.as_slice())?)
                    }
                    None => drop(records.remove(key.as_str())?),
                }
            }
            let mut events = transaction.open_table(EVENTS)?;
            for (number, event) in &batch.events {
                match event {
                    Some(event) => drop(events.insert(number, serde_json::to_vec(event)?.as_slice())?),
                    None => drop(events.remove(number)?),
                }
            }
            let mut meta = transaction.open_table(META)?;
            meta.insert("boot_id", self.boot_id.as_bytes())?;
            if let Some(last_good) = &batch.last_good {
                meta.insert("last_good", serde_json::to_vec(last_good)?.as_slice())?;
            }
            if let Some(history) = &batch.history {
                meta.insert("history", serde_json::to_vec(history)?.as_slice())?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    fn snapshot(&self, content: &Stored) -> std::io::Result<()> {
        let snapshot = Snapshot {
            ledger: content.ledger.clone(),
            last_good: content.last_good.clone(),
            history: content.history.clone(),
        };
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(&serde_json::to_vec(&snapshot)?)?;
        file.as_file().sync_all()?;
        file.persist(self.snapshot_path()).map_err(|error| error.error)?;
        Ok(())
    }
}

struct Read {
    boot_id: Option<String>,
    content: Stored,
}

#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Snapshot {
    ledger: Ledger,
    last_good: Option<SpecFiles>,
    #[serde(default)]
    history: Vec<Revision>,
}

/// Full, read-only, or not ours: an answer of the file system that says nothing of what the ledger holds.
fn is_of_the_disk(error: &(dyn std::error::Error + 'static)) -> bool {
    use std::io::ErrorKind as Kind;
    let kinds = [Kind::StorageFull, Kind::QuotaExceeded, Kind::ReadOnlyFilesystem, Kind::PermissionDenied];
    let of_io = |error: &std::io::Error| kinds.contains(&error.kind());
    let of_storage =
        |error: &redb::StorageError| matches!(error, redb::StorageError::Io(error) if of_io(error));
    if let Some(redb::DatabaseError::Storage(error)) = error.downcast_ref() {
        return of_storage(error);
    }
    if let Some(redb::CommitError::Storage(error)) = error.downcast_ref() {
        return of_storage(error);
    }
    if let Some(redb::TableError::Storage(error)) = error.downcast_ref() {
        return of_storage(error);
    }
    error.downcast_ref::<std::io::Error>().is_some_and(of_io)
        || error.downcast_ref::<redb::StorageError>().is_some_and(of_storage)
}

fn store_error(error: impl std::fmt::Display) -> StoreError {
    StoreError(error.to_string())
}

/// This boot's identity, from the kernel.
///
/// # Errors
/// When procfs is not there.
pub fn boot_id() -> std::io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}
