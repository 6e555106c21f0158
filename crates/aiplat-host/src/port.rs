//! The `Backend` port: what the daemon asks of a machine, real or simulated.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use aiplat_core::{
    ResourceId,
    action::{Action, PullModel},
    condition::{ErrorClass, Reason},
    observed::{
        ContainerId, EngineSettings, FileStamp, FolderFacts, GpuEvent, GpuFacts, HeldPort, HostFacts,
        Instance, Listener, Listing, ModelAnswer, ModelEndpoint, ModelManifest, Observed, ObservedContainer,
        ObservedFile, ObservedUnit, PullProgress, Reach, Sight, UnitEvidence,
    },
    spec::{InstanceId, ModelName, ProbeKind, Protocol},
};
use futures_util::{future::BoxFuture, stream::BoxStream};
use tokio_util::sync::CancellationToken;

/// What to look at for one resource: its id and the name by which its host knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The resource.
    pub id: ResourceId,
    /// The network's or volume's name, the image's reference; unused for containers, which are found by label.
    pub host_name: String,
}

/// Takes the bytes of a pull as they come. Called often; must not block.
pub type Progress = Arc<dyn Fn(PullProgress) + Send + Sync>;

/// A container's log, line by line; an `Err` is the last item.
pub type LogStream = BoxStream<'static, Result<LogLine, HostError>>;

/// "Look at this again." Never news: a hint may be lost, doubled, late or wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// The stream of hints has begun: list everything now (subscribe first, then list).
    Connected,
    /// The stream broke; what was observed may be stale. The adapter reconnects by itself, with jittered back-off.
    Lost {
        /// Why, for a person.
        reason: String,
    },
    /// Something about this resource of ours may have changed.
    Changed(ResourceId),
    /// Something foreign, or unknown, may have changed: list everything.
    Relist,
}

/// Which lines of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Go on with new lines.
    pub follow: bool,
    /// Only the last so many; `None`: all.
    pub tail: Option<u32>,
    /// Only since this many seconds since 1970; `None`: from the beginning.
    pub since: Option<i64>,
}

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// RFC 3339, as the engine wrote it.
    pub timestamp: String,
    /// It came from stderr.
    pub stderr: bool,
    /// Without its end, invalid UTF-8 replaced.
    pub text: String,
}

/// What a running container or unit uses, measured over about a second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// Of one CPU, in percent: 250 are two and a half.
    pub cpu_percent: f64,
    /// Bytes, without what the kernel would give up (inactive pages of files).
    pub memory: u64,
    /// Bytes that it may use: its own limit, or all of the machine; 0: its limit was lifted while it ran.
    pub memory_limit: u64,
    /// Bytes received since its start, over all networks.
    pub received: u64,
    /// Bytes sent.
    pub sent: u64,
    /// Bytes read from disks.
    pub read: u64,
    /// Bytes written to disks.
    pub written: u64,
    /// Processes and threads.
    pub pids: u64,
}

/// The kinds of thing that can go wrong with a host call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostErrorKind {
    /// The host cannot be reached at all: nothing was done.
    Unreachable,
    /// The call was sent and its outcome is unknown: observe, never assume.
    OutcomeUnknown,
    /// The host answered, and refused.
    Refused,
}

/// A host call that failed: what, to what, why, and what to do next.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct HostError {
    /// How it failed.
    pub kind: HostErrorKind,
    /// Decides the retry.
    pub class: ErrorClass,
    /// For the condition.
    pub reason: Reason,
    /// The whole sentence, cause and next step included.
    pub message: String,
    /// Bytes that must be free before it is worth another try.
    pub needs_room: Option<u64>,
}

/// The port to the hosts. Real adapters and one simulator implement it, and pass the same contract suite.
pub trait Backend: Send + Sync + 'static {
    /// Looks at one resource now. For a container: one listing of all containers, and an inspect of each that is
    /// this resource's (by our labels).
    fn observe<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Observed, HostError>>;

    /// Lists everything: containers, networks, volumes. Three calls whatever the size.
    fn observe_all(&self) -> BoxFuture<'_, Result<Listing, HostError>>;

    /// Adds to a container that was just listed what only an inspect shows. One call. Without it, what a listing does
    /// not show is learned when the resource is looked at for another reason.
    fn detail<'a>(&'a self, container: &'a mut ObservedContainer) -> BoxFuture<'a, Result<(), HostError>> {
        let _ = container;
        Box::pin(async { Ok(()) })
    }

    /// Does one action. Creating what exists (as ours, of the same fingerprint) and removing what is gone are successes. Stop, remove,
    /// rename, start, connect and the like inspect by id first and refuse (`Changed`) what does not carry our labels for `id`.
    fn apply<'a>(
        &'a self,
        id: &'a ResourceId,
        action: &'a Action,
        progress: Progress,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Result<(), HostError>>;

    /// Removes a volume and its data: a person's word, which no plan gives. It is looked at by name first, and refused
    /// (`Changed`) if it does not carry our instance's label. Never by force: one that any container names stays. One that
    /// is gone is a success.
    fn remove_volume<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), HostError>>;

    /// Hints, from now on, for ever: it reconnects by itself. Its reader never blocks the host.
    fn hints(&self) -> BoxStream<'static, Hint>;

    /// Makes one probe of a running container: the transcript for a person on both sides, `Ok` when it passed.
    fn probe<'a>(
        &'a self,
        container: &'a ContainerId,
        address: Option<IpAddr>,
        kind: &'a ProbeKind,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<String, String>>;

    /// Connects from inside a running container to `port` at the address that the name `host` has in there.
    fn reach<'a>(
        &'a self,
        container: &'a ContainerId,
        host: &'a str,
        port: u16,
        timeout: Duration,
    ) -> BoxFuture<'a, Reach>;

    /// Whether a running container reaches the GPUs that it was given: NVIDIA's library is asked inside it.
    fn sight<'a>(&'a self, container: &'a ContainerId, timeout: Duration) -> BoxFuture<'a, Sight>;

    /// A container's log.
    fn logs<'a>(
        &'a self,
        container: &'a ContainerId,
        options: &'a LogOptions,
    ) -> BoxFuture<'a, Result<LogStream, HostError>>;

    /// What these paths of the host look like now; a path that cannot be looked at in time is left out.
    fn stamps(&self, paths: Vec<String>) -> BoxFuture<'_, BTreeMap<String, FileStamp>>;

    /// Which processes listen on these ports of the host, besides the engine's own proxies; those that cannot be found out are
    /// left out.
    fn port_holders(&self, ports: Vec<(u16, Protocol)>) -> BoxFuture<'_, Vec<HeldPort>>;

    /// What a running container uses. Takes a second or two: the engine measures.
    fn usage<'a>(&'a self, container: &'a ContainerId) -> BoxFuture<'a, Result<Usage, HostError>>;

    /// How the engine is set up; `None`: it does not say.
    fn settings(&self) -> BoxFuture<'_, Result<Option<EngineSettings>, HostError>> {
        Box::pin(async { Ok(None) })
    }

    /// Bytes that volumes take, by name; one that cannot be measured is left out. The engine walks all of them for the
    /// answer, which may take minutes. `None`: it does not say.
    fn volume_sizes(&self) -> BoxFuture<'_, Result<Option<BTreeMap<String, u64>>, HostError>> {
        Box::pin(async { Ok(None) })
    }

    /// Whose objects are ours.
    fn instance(&self) -> &InstanceId;

    /// The engine's version and API as of the last contact, for people: `20.10.24 (API 1.41)`.
    fn version(&self) -> Option<String> {
        None
    }
}

/// The port to the files that aiplatd writes on the host. A real adapter and a simulated one implement it.
pub trait FileHost: Send + Sync + 'static {
    /// Looks at what is at `path` now. Links are not followed.
    fn observe<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<ObservedFile, HostError>>;

    /// Does one action on a file, of the resource `id`. What is in the place is looked at first, and left alone (`Changed`)
    /// where it is not what the action says. Writing what is there already and removing what is gone are successes.
    fn apply<'a>(&'a self, id: &'a ResourceId, action: &'a Action) -> BoxFuture<'a, Result<(), HostError>>;
}

/// "Look at this unit again." Never news.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnitHint {
    /// The stream of hints has begun, or systemd has read its files anew: look at every unit.
    Relist,
    /// The bus, or systemd, is away; the adapter connects again by itself.
    Lost {
        /// Why, for a person.
        reason: String,
    },
    /// Something about the unit of this name may have changed.
    Changed(String),
}

/// The answer to a probe of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitAnswer {
    /// The transcript for a person on both sides, `Ok` when it passed and it was the unit that answered, as far as that can
    /// be seen.
    pub said: Result<String, String>,
    /// Who listens on the port that was asked; `None`: not looked up this time.
    pub listeners: Option<Vec<Listener>>,
}

impl UnitAnswer {
    /// An answer of which it was not looked up who gave it.
    #[must_use]
    pub fn unseen(said: Result<String, String>) -> Self {
        Self { said, listeners: None }
    }
}

/// The port to systemd. A real adapter and a simulated one implement it, and pass the same contract suite.
pub trait Units: Send + Sync + 'static {
    /// Looks at one unit now, and at what aiplatd has written for it.
    fn observe<'a>(&'a self, unit: &'a str) -> BoxFuture<'a, Result<ObservedUnit, HostError>>;

    /// Does one action on a unit, or on systemd. A job that is queued is a success: what comes of it is observed.
    fn apply<'a>(&'a self, action: &'a Action) -> BoxFuture<'a, Result<(), HostError>>;

    /// Hints, from now on, for ever: it reconnects by itself. Connects to nothing before it is read.
    fn hints(&self) -> BoxStream<'static, UnitHint>;

    /// Makes one probe of a unit from the host, and looks up who listens there where it fails, or it is time to.
    fn probe<'a>(
        &'a self,
        unit: &'a str,
        address: IpAddr,
        kind: &'a ProbeKind,
        timeout: Duration,
    ) -> BoxFuture<'a, UnitAnswer>;

    /// What the present run of a unit has left behind; what could be read of it.
    fn evidence<'a>(&'a self, unit: &'a str) -> BoxFuture<'a, UnitEvidence>;

    /// What a unit has written to the journal.
    fn logs<'a>(
        &'a self,
        unit: &'a str,
        options: &'a LogOptions,
    ) -> BoxFuture<'a, Result<LogStream, HostError>>;

    /// What a unit that runs uses. Takes a second: it is measured.
    fn usage<'a>(&'a self, unit: &'a str) -> BoxFuture<'a, Result<Usage, HostError>>;

    /// The files below these folders of the machine; a folder that cannot be read in time is left out.
    fn folders(&self, paths: Vec<String>) -> BoxFuture<'_, BTreeMap<String, FolderFacts>>;

    /// The processes of the machine that run one of `programs`.
    fn instances(&self, programs: BTreeSet<String>) -> BoxFuture<'_, Vec<Instance>>;

    /// What systemd says of itself, and which of `units` need one that has failed.
    fn overview(&self, units: BTreeSet<String>) -> BoxFuture<'_, Result<SystemdOverview, HostError>>;

    /// systemd's version as of the last contact.
    fn version(&self) -> Option<String> {
        None
    }
}

/// The port to the machine itself: what it consists of. It changes nothing.
pub trait Machine: Send + Sync + 'static {
    /// Looks at all there is to know, and at the file systems that `paths` are on. What cannot be read in time is left out.
    fn facts(&self, paths: BTreeSet<String>) -> BoxFuture<'_, HostFacts>;
}

/// The port to the machine's GPUs. It changes nothing, and resets nothing.
pub trait Gpus: Send + Sync + 'static {
    /// Looks at all GPUs now. Always answers in time: a driver that hangs is told as that ([`Driver::Hung`]), and asked again
    /// only when the call that hangs has come back.
    fn observe(&self) -> BoxFuture<'_, GpuFacts>;

    /// What the driver tells of by itself, from now on, for ever: it connects again by itself. Connects to nothing before it
    /// is read.
    ///
    /// [`Driver::Hung`]: aiplat_core::observed::Driver::Hung
    fn events(&self) -> BoxStream<'static, GpuEvent>;
}

/// The port to servers of models, which speak Ollama's API. A real adapter and a simulated one implement it.
pub trait Models: Send + Sync + 'static {
    /// Asks a server what it has, and what of it is in memory. Always answers in time: one that does not answer is told as that.
    fn observe<'a>(&'a self, at: &'a ModelEndpoint) -> BoxFuture<'a, ModelAnswer>;

    /// Asks the registry of a model how large it is, which is possible only where it can be reached from here; why not, in words.
    fn manifest<'a>(&'a self, model: &'a ModelName) -> BoxFuture<'a, Result<ModelManifest, String>>;

    /// Lets a server pull a model, also one that it has: then it gets the newest. A pull that was interrupted goes on where it
    /// was. It ends when it gets no new byte for a while, and at once when it announces more than there is room for.
    fn pull<'a>(
        &'a self,
        pull: &'a PullModel,
        progress: Progress,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Result<(), HostError>>;

    /// Removes a model from a server: a person's word, which no plan gives. One that is gone is a success.
    fn delete<'a>(
        &'a self,
        at: &'a ModelEndpoint,
        model: &'a ModelName,
    ) -> BoxFuture<'a, Result<(), HostError>>;
}

/// systemd as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SystemdOverview {
    /// Its version: `252.39-1~deb12u1`.
    pub version: String,
    /// `SystemState`: `running`, `degraded`, `starting`, ...
    pub state: String,
    /// The units that have failed, and which of those that were asked about are it, or name it in their files.
    pub failed: BTreeMap<String, Vec<String>>,
}

impl HostError {
    /// An error with the sentence `message`.
    pub fn new(kind: HostErrorKind, class: ErrorClass, reason: Reason, message: impl Into<String>) -> Self {
        Self { kind, class, reason, message: message.into(), needs_room: None }
    }

    /// A host was asked for what another one does. `doing`: "start ollama.service".
    #[must_use]
    pub fn misdirected(doing: impl fmt::Display, host: &str) -> Self {
        let message =
            format!("cannot {doing}: {host} was asked, which does not do that; report this as a bug");
        Self::new(HostErrorKind::Refused, ErrorClass::Bug, Reason::InternalError, message)
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected => f.write_str("connected"),
            Self::Lost { reason } => write!(f, "lost: {reason}"),
            Self::Changed(id) => write!(f, "changed {id}"),
            Self::Relist => f.write_str("relist"),
        }
    }
}
