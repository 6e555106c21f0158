//! The daemon's other three ports, each with a real adapter here and a simulated twin in `tests/`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use aiplat_api::v1::Event;
use aiplat_core::{
    ResourceId, Timestamp,
    ledger::{Ledger, Record},
    load::Files,
};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

/// Time. Boot time for every decision, wall time for display only.
pub trait Clock: Send + Sync + 'static {
    /// Time since boot, suspend included.
    fn now(&self) -> Timestamp;
    /// Milliseconds since 1970.
    fn wall_ms(&self) -> i64;
}

/// Where the ledger lives.
pub trait StateStore: Send + Sync + 'static {
    /// Reads everything, once, at the start. A damaged ledger falls back to its previous snapshot and says so.
    fn load(&self) -> BoxFuture<'_, Result<Stored, StoreError>>;
    /// Writes a batch, all of it or nothing. Durable when it resolves.
    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<(), StoreError>>;
    /// Keeps the last lines of a container of `service` that is about to be removed, instead of those of an earlier one.
    fn keep_log(&self, service: &str, lines: Vec<Vec<u8>>) -> BoxFuture<'_, Result<(), StoreError>>;
    /// The lines that are kept of `service`; none if there are none.
    fn kept_log(&self, service: &str) -> BoxFuture<'_, Result<Vec<Vec<u8>>, StoreError>>;
}

/// What a store holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stored {
    /// The ledger; boot times of another boot are already forgotten.
    pub ledger: Ledger,
    /// The last good spec: every file that it was read from.
    pub last_good: Option<SpecFiles>,
    /// The good specs that were in force, the present one last.
    pub history: Vec<Revision>,
    /// What happened under the daemons before, oldest first.
    pub events: Vec<KeptEvent>,
    /// Why the ledger had to be given up for an older one, if it was.
    pub lost: Option<String>,
}

/// One atomic change of the store.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// Records to write, or to forget.
    pub records: BTreeMap<ResourceId, Option<Record>>,
    /// A new last good spec.
    pub last_good: Option<SpecFiles>,
    /// The good specs, all of those that are kept.
    pub history: Option<Vec<Revision>>,
    /// Events by their number, to write or to forget.
    pub events: BTreeMap<u64, Option<KeptEvent>>,
}

/// An event, with the time by which it is told from a repetition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptEvent {
    /// When it happened last, in milliseconds since 1970.
    pub wall_ms: i64,
    /// What happened.
    pub event: Event,
}

/// A spec that was in force.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Its generation.
    pub number: u64,
    /// When it came into force, in milliseconds since 1970.
    pub wall_ms: i64,
    /// What it changed, in a line.
    pub change: String,
    /// It came into force by going back to this one.
    #[serde(default)]
    pub back_to: Option<u64>,
    /// What its services ran when the next one came, by name: content ids of images.
    pub images: BTreeMap<String, String>,
    /// The services whose edit was taken back when the next one came.
    #[serde(default)]
    pub taken_back: Vec<String>,
    /// Contents by path; `None`: did not exist.
    pub files: BTreeMap<PathBuf, Option<Vec<u8>>>,
}

/// The files of a spec, as they were when it was found good.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpecFiles {
    /// The spec's generation.
    pub generation: u64,
    /// Its removals wait for a person's word: a restart of the daemon does not give it.
    #[serde(default)]
    pub awaits_confirmation: bool,
    /// Contents by path; `None`: did not exist.
    pub files: BTreeMap<PathBuf, Option<Vec<u8>>>,
}

impl Files for SpecFiles {
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, String> {
        Ok(self.files.get(path).cloned().flatten())
    }

    fn list(&self, folder: &Path) -> Result<Option<Vec<PathBuf>>, String> {
        let there = self.files.iter().filter(|(_, content)| content.is_some()).map(|(path, _)| path);
        let inside: Vec<PathBuf> = there.filter(|path| path.parent() == Some(folder)).cloned().collect();
        Ok((!inside.is_empty()).then_some(inside))
    }
}

/// A store that failed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);

/// Where `platform.yaml` and what it includes come from.
pub trait SpecSource: Files + Send + Sync + 'static {
    /// The path of `platform.yaml`.
    fn root(&self) -> &Path;
    /// Watches these files (through their folders), and whatever comes and goes in these folders, from now on instead of
    /// those of the last call.
    fn watch(&self, files: &[PathBuf], folders: &[PathBuf]);
    /// Replaces the content of `platform.yaml` atomically.
    ///
    /// # Errors
    /// When it cannot be written: why, and where.
    fn replace(&self, content: &[u8]) -> Result<(), String>;
    /// Keeps `content` in a file of its own beside `platform.yaml`, whose name ends in `ending`; answers with its path.
    ///
    /// # Errors
    /// When it cannot be written: why, and where.
    fn keep(&self, content: &[u8], ending: &str) -> Result<PathBuf, String>;
    /// Resolves when something may have changed since the last call. A hint: the bytes decide.
    fn changed(&self) -> BoxFuture<'_, ()>;
}
