//! Containers as they were last seen.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{ContainerId, GivenGpus, Incarnation};
use crate::{
    ResourceId,
    fingerprint::Fingerprint,
    spec::{InstanceId, Limits, Protocol},
};

/// The state that the engine reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerState {
    /// Made, never started, or its start failed.
    Created,
    /// Its process runs.
    Running,
    /// Frozen by hand.
    Paused,
    /// The engine's own restart policy is at work.
    Restarting,
    /// Its process has ended.
    Exited,
    /// The engine could not remove it.
    Dead,
    /// Being removed.
    Removing,
    /// A word that this version does not know (newer engines, Podman).
    Other(String),
}

impl ContainerState {
    /// Whether a process of this container may be alive.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        match self {
            Self::Running | Self::Paused | Self::Restarting | Self::Other(_) => true,
            Self::Created | Self::Exited | Self::Dead | Self::Removing => false,
        }
    }
}

/// One container as listed, with what only an inspect shows in `detail`.
#[derive(Debug, Clone, PartialEq)]
pub struct ObservedContainer {
    /// Engine id.
    pub id: ContainerId,
    /// Name without the leading slash.
    pub name: String,
    /// Image reference or id it was made from.
    pub image: String,
    /// Content id of that image; empty where the engine does not say.
    pub image_id: String,
    /// The engine's state.
    pub state: ContainerState,
    /// Our labels, if it carries any.
    pub owner: Option<Ownership>,
    /// Docker Compose's labels, if it carries them.
    pub compose: Option<ComposeOrigin>,
    /// Seconds since 1970 at which it was made; only compared with others.
    pub created: i64,
    /// Connections by network name.
    pub networks: BTreeMap<String, Endpoint>,
    /// What is mounted.
    pub mounts: Vec<ObservedMount>,
    /// Host ports held while it runs.
    pub ports: Vec<PublishedPort>,
    /// From an inspect; listings do not show it.
    pub detail: Option<ContainerDetail>,
    /// The moment of the call that showed all this: an answer that comes late undoes nothing that is younger.
    pub as_of: AsOf,
}

/// When a host was asked, in the host's own counting; only compared. Answers overtake each other: an inspect waits for a
/// start that is under way, a listing beside it does not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct AsOf(pub u64);

/// What our labels say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ownership {
    /// `io.aiplat.instance`.
    pub instance: InstanceId,
    /// `io.aiplat.resource`.
    pub resource: ResourceId,
    /// `io.aiplat.fingerprint`.
    pub fingerprint: Option<Fingerprint>,
    /// `io.aiplat.depends-on`: container resources, for a removal in reverse order.
    pub depends_on: Vec<ResourceId>,
    /// `io.aiplat.gpus`: what it was given when it was made; absent where it asked for none.
    pub gpus: Option<GivenGpus>,
}

/// Which Compose project made an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComposeOrigin {
    /// `com.docker.compose.project`.
    pub project: String,
    /// `com.docker.compose.project.working_dir`.
    pub folder: Option<String>,
}

/// A connection to a network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// The network's id; it stays the old one when the network was made anew.
    pub network_id: String,
    /// Address, while running.
    pub ip: Option<IpAddr>,
    /// Names it answers to; only an inspect shows them.
    pub aliases: Option<Vec<String>>,
}

/// A mount of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedMount {
    /// The volume's name, for volumes.
    pub volume: Option<String>,
    /// The host path, for binds.
    pub bind: Option<String>,
    /// Path inside.
    pub target: String,
    /// Writable.
    pub writable: bool,
}

/// A host port that a container publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedPort {
    /// Host address.
    pub host_ip: IpAddr,
    /// Host port.
    pub host_port: u16,
    /// Where it leads inside.
    pub container_port: u16,
    /// Transport.
    pub protocol: Protocol,
}

/// What only an inspect shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ContainerDetail {
    /// The engine's text, only compared.
    pub started_at: String,
    /// The engine's text, for display.
    pub finished_at: String,
    /// Of the last run; 0 if there was none.
    pub exit_code: i64,
    /// The engine's error of the last start.
    pub error: String,
    /// The kernel killed it for memory.
    pub oom_killed: bool,
    /// The engine's own health check, if it runs one.
    pub health: Option<EngineHealth>,
    /// Limits in force.
    pub limits: Limits,
    /// The containers whose namespaces it has joined, for as long as it lives.
    pub joins: BTreeSet<ContainerId>,
    /// The engine has a restart policy for it: somebody gave it one by hand, for ours is `no`.
    pub engine_restarts: bool,
    /// The last lines of a run that ended badly, oldest first, 40 at most: the evidence that a person asks for first.
    /// Hostile bytes: printable and short when it comes from an adapter.
    pub tail: Vec<String>,
}

/// The result of the engine's own health check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineHealth {
    /// Within its start period.
    Starting,
    /// Passed.
    Healthy,
    /// Failed often enough.
    Unhealthy,
}

impl ObservedContainer {
    /// This run of it; `None` until it has been inspected.
    #[must_use]
    pub fn incarnation(&self) -> Option<Incarnation> {
        let detail = self.detail.as_ref()?;
        Some(Incarnation(format!("{}@{}", self.id.short(), detail.started_at)))
    }

    /// Whether our labels of `instance` are on it.
    #[must_use]
    pub fn is_owned_by(&self, instance: &InstanceId) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.instance == *instance)
    }

    /// The fingerprint that it was made with.
    #[must_use]
    pub fn fingerprint(&self) -> Option<&Fingerprint> {
        self.owner.as_ref()?.fingerprint.as_ref()
    }
}
