//! What the model of an engine consists of.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use aiplat_core::{
    Timestamp,
    observed::{ContainerId, PublishedPort},
    spec::{ContentHash, Limits, PortBinding},
};

/// A container.
#[derive(Debug, Clone, PartialEq)]
pub struct Container {
    /// 64 hex digits.
    pub id: String,
    /// Without the slash.
    pub name: String,
    /// Reference.
    pub image: String,
    /// Content id of what that meant when it was made.
    pub image_id: String,
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// Seconds since 1970.
    pub created: i64,
    /// Counts creations: the engine lists the youngest first.
    pub serial: u64,
    /// Its state.
    pub state: State,
    /// When it was last started, if it ever was.
    pub started: Option<Timestamp>,
    /// When it last ended.
    pub finished: Option<Timestamp>,
    /// Of the last run.
    pub exit_code: i64,
    /// Of the last start.
    pub error: String,
    /// The kernel ended the last run for memory.
    pub oom_killed: bool,
    /// By network name; no entry: none.
    pub networks: BTreeMap<String, Connection>,
    /// Mounts.
    pub mounts: Vec<Mounted>,
    /// What was in the files that it mounts when it was last started: it sees no other, whatever is put in their places.
    pub read: BTreeMap<String, ContentHash>,
    /// What it publishes when it runs.
    pub bindings: Vec<PortBinding>,
    /// What it publishes now.
    pub ports: Vec<PublishedPort>,
    /// In force.
    pub limits: Limits,
    /// The containers whose namespaces it has joined.
    pub joins: BTreeSet<ContainerId>,
    /// When its program ends by itself, and how.
    pub ends: Option<(Timestamp, i64, bool)>,
    /// The engine starts it again (`always`); ours never have it.
    pub restart_always: bool,
    /// The engine checks its health.
    pub engine_health: bool,
    /// What its runs have written.
    pub log: Vec<Written>,
}

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// When.
    pub at: Timestamp,
    /// To stderr.
    pub stderr: bool,
    /// What.
    pub text: String,
}

/// The states of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Made.
    Created,
    /// Runs.
    Running,
    /// Frozen.
    Paused,
    /// Ended.
    Exited,
    /// Could not be removed.
    Dead,
}

/// A container's connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Connection {
    /// Empty until the first start.
    pub network_id: String,
    /// While it runs.
    pub ip: Option<IpAddr>,
    /// Names.
    pub aliases: Vec<String>,
}

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted {
    /// Volume name.
    pub volume: Option<String>,
    /// Host path.
    pub bind: Option<String>,
    /// Inside.
    pub target: String,
    /// Writable.
    pub writable: bool,
}

/// A network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Engine id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Driver.
    pub driver: String,
    /// No way out.
    pub internal: bool,
}

/// A volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Name.
    pub name: String,
    /// Labels; those of the first creation.
    pub labels: BTreeMap<String, String>,
    /// Driver.
    pub driver: String,
    /// Bytes that it takes.
    pub size: u64,
}

/// An image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// It has a HEALTHCHECK.
    pub healthcheck: bool,
    /// Its VOLUMEs.
    pub volumes: Vec<String>,
    /// Which of those that its tag has meant, the first being 0.
    pub content: u32,
    /// Bytes that its registry tells; 0: a few mebibytes.
    pub size: u64,
}

impl Image {
    /// Its content id, for the tag `reference`.
    #[must_use]
    pub fn id(&self, reference: &str) -> String {
        match self.content {
            0 => format!("sha256:{reference}"),
            later => format!("sha256:{reference}#{later}"),
        }
    }
}

/// What is said on the event stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// `start`, `die`, `destroy`, ...
    pub action: &'static str,
    /// What it is about.
    pub of: Subject,
}

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A container, a network or a volume, with its labels.
    Labelled(BTreeMap<String, String>),
    /// An image, by reference.
    Image(String),
}

/// How to make a container.
#[derive(Debug, Clone, Default)]
pub struct NewContainer {
    /// Name.
    pub name: String,
    /// Reference.
    pub image: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The first network, by name, and the names there.
    pub network: Option<(String, Vec<String>)>,
    /// Mounts; a volume without a name is anonymous.
    pub mounts: Vec<Mounted>,
    /// Published ports.
    pub bindings: Vec<PortBinding>,
    /// Limits.
    pub limits: Limits,
    /// The containers whose namespaces it joins.
    pub joins: BTreeSet<ContainerId>,
    /// The engine restarts it.
    pub restart_always: bool,
    /// The image's health check is switched off.
    pub health_off: bool,
}
