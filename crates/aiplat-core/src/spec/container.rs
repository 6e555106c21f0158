//! One service's container, in three parts by what a change of it costs.

use std::{collections::BTreeMap, fmt, net::IpAddr, time::Duration};

use serde::{Deserialize, Serialize};

use super::{GpuRequest, Namespace, OnChange, Options, ProbeSpec, Role};
use crate::ResourceId;

/// What one service wants of the engine and of us. Where a field goes decides what a change of it does:
/// `runtime` recreates the container, `live` changes it while it runs, `policy` never reaches the engine.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerSpec {
    /// The service's name in the file.
    pub service: String,
    /// The container's name in the engine.
    pub host_name: String,
    /// Hashed into the fingerprint: a change recreates.
    pub runtime: ContainerRuntime,
    /// Changed on the existing container, running or not.
    pub live: ContainerLive,
    /// Ours alone.
    pub policy: ContainerPolicy,
}

/// The part of a container that the engine fixes when it is made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerRuntime {
    /// Image reference as written.
    pub image: String,
    /// `None`: the image's.
    pub command: Option<Vec<String>>,
    /// `None`: the image's.
    pub entrypoint: Option<Vec<String>>,
    /// Complete: `env_file` and `environment` merged.
    pub environment: BTreeMap<String, String>,
    /// `user[:group]`; `None`: the image's.
    pub user: Option<String>,
    /// The user's labels (ours are added at creation and are not part of the fingerprint).
    pub labels: BTreeMap<String, String>,
    /// `None`: the image's.
    pub stop_signal: Option<String>,
    /// Published ports.
    pub ports: Vec<PortBinding>,
    /// Volumes and binds, sorted by target.
    pub mounts: Vec<Mount>,
    /// The engine's own health check is switched off, because ours replaces the image's.
    pub engine_health_off: bool,
    /// `healthcheck.source: engine` with something to say: what the engine is told of its own check.
    pub engine_check: Option<EngineCheck>,
    /// Everything else.
    pub options: Options,
}

/// A health check that the engine runs. What is not said is as the image has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineCheck {
    /// In the engine's words, `["CMD-SHELL", ...]`; empty: the image's.
    pub test: Vec<String>,
    /// Time between two.
    pub interval: Option<Duration>,
    /// One that takes longer has failed.
    pub timeout: Option<Duration>,
    /// Failures in a row that make it unhealthy.
    pub retries: Option<u32>,
    /// Failures this soon after the start do not count.
    pub start_period: Option<Duration>,
}

/// The part that can be changed on an existing container.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ContainerLive {
    /// Networks it is connected to, by `network/<key>`.
    pub networks: BTreeMap<ResourceId, Attachment>,
    /// `deploy.resources.limits`, and Compose's older words for the same.
    pub limits: Limits,
}

/// How a container is connected to one network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The network's name in the engine.
    pub host_name: String,
    /// Names it answers to, the service's own first.
    pub aliases: Vec<String>,
    /// A fixed address.
    pub ipv4_address: Option<String>,
    /// A fixed address.
    pub ipv6_address: Option<String>,
    /// Further addresses, of this link alone.
    pub link_local_ips: Vec<String>,
    /// A fixed hardware address.
    pub mac_address: Option<String>,
    /// Options of the driver; the name of the interface is one of them.
    pub driver_opts: BTreeMap<String, String>,
    /// The network with the highest is the way out.
    pub gw_priority: i64,
    /// The highest is connected first.
    pub priority: i64,
}

/// Resource limits; zero is "none", as the engine has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes.
    pub memory: i64,
    /// Bytes that it keeps when memory is short.
    pub memory_reservation: i64,
    /// Bytes of memory and swap together; 0: twice the memory, -1: no limit.
    pub memory_swap: i64,
    /// Billionths of a CPU.
    pub nano_cpus: i64,
    /// Against the others, when the CPUs are short; 0: 1024.
    pub cpu_shares: i64,
    /// The CPUs it may run on, as in `0-2,4`; empty: all.
    pub cpuset: String,
    /// Processes.
    pub pids: i64,
}

impl Limits {
    /// Whether a container with the limits `observed` needs none of these changed. An engine whose kernel cannot count
    /// swap sets no limit to it, whatever was asked: that is no drift where nothing was asked.
    #[must_use]
    pub fn are_met_by(&self, observed: &Self) -> bool {
        let swap = if self.memory_swap == 0 && observed.memory_swap < 0 { 0 } else { observed.memory_swap };
        *self == Self { memory_swap: swap, ..observed.clone() }
    }
}

/// The part that only aiplatd carries out.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerPolicy {
    /// What follows the end of its process.
    pub restart: RestartMode,
    /// What follows a change of the files that it mounts, by `file/<key>`.
    pub on_change: BTreeMap<ResourceId, OnChange>,
    /// What must be ready first, by `container/<service>`.
    pub dependencies: BTreeMap<ResourceId, Dependency>,
    /// How readiness is found out; `None`: the image's own HEALTHCHECK if it has one, else running is ready.
    pub probe: Option<ProbeSpec>,
    /// What holds the other probes back until it has passed, or its time is up.
    pub startup: Option<ProbeSpec>,
    /// What it is restarted for when it fails.
    pub liveness: Option<ProbeSpec>,
    /// How long a stop waits before the kill.
    pub stop_grace: Duration,
    /// What follows an edit that does not become ready.
    pub update: UpdatePolicy,
    /// What it asks of GPUs: which it gets is decided when it is made, and no matter of its fingerprint.
    pub gpus: Vec<GpuRequest>,
}

/// `deploy.update_config`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpdatePolicy {
    /// `None`: by what it mounts, see [`ContainerSpec::returns_on_failure`].
    pub failure_action: Option<FailureAction>,
    /// How long an edit has to run, ready or not, before what it replaced is removed.
    pub monitor: Duration,
    /// Which of the two runs first.
    pub order: UpdateOrder,
}

/// `deploy.update_config.order`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UpdateOrder {
    /// The old one ends before the new one starts.
    #[default]
    StopFirst,
    /// The new one is ready before the old one ends, where both can run at once.
    StartFirst,
}

/// `deploy.update_config.failure_action`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureAction {
    /// Bring back what served before.
    Rollback,
    /// Leave the new one as it is, and heal it as any other.
    Pause,
}

impl Default for UpdatePolicy {
    fn default() -> Self {
        Self { failure_action: None, monitor: Duration::from_secs(5), order: UpdateOrder::StopFirst }
    }
}

/// `restart:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestartMode {
    /// Absent from the file: exit 0 is Completed, any other end is healed.
    Default,
    /// `no`: no end is healed.
    No,
    /// `always` and `unless-stopped`: every end is healed.
    Always,
    /// `on-failure[:N]`: ends other than exit 0 are healed, at most N times in a row.
    OnFailure(Option<u32>),
}

/// One edge of `depends_on`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dependency {
    /// What must hold of it.
    pub condition: Condition,
    /// `false`: its failure does not keep us from starting.
    pub required: bool,
    /// Restart us when it has been restarted.
    pub restart: bool,
}

/// `depends_on.*.condition`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// `service_started`.
    Started,
    /// `service_healthy`.
    Healthy,
    /// `service_completed_successfully`.
    CompletedSuccessfully,
}

/// One published port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PortBinding {
    /// The host's address.
    pub host_ip: IpAddr,
    /// The host's port; `None`: the engine chooses one.
    pub host_port: Option<u16>,
    /// The port inside.
    pub container_port: u16,
    /// Transport.
    pub protocol: Protocol,
}

/// Transport of a published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

impl fmt::Display for PortBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.host_port, self.host_ip) {
            (Some(port), IpAddr::V6(ip)) => write!(f, "[{ip}]:{port}")?,
            (Some(port), IpAddr::V4(ip)) => write!(f, "{ip}:{port}")?,
            (None, ip) => write!(f, "{ip}:(any)")?,
        }
        match self.protocol {
            Protocol::Tcp => Ok(()),
            Protocol::Udp => f.write_str("/udp"),
        }
    }
}

/// Something mounted into the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute path inside.
    pub target: String,
    /// What is mounted.
    pub source: MountSource,
    /// No writes from inside.
    pub read_only: bool,
    /// How.
    pub options: MountOptions,
}

/// How something is mounted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountOptions {
    /// Of a bind: which mounts of the other side are seen; `None`: `rprivate`.
    pub propagation: Option<String>,
    /// Of a bind: what becomes of mounts below it.
    pub recursive: Recursive,
    /// Of a volume: a new one stays empty, whatever the image has at the target.
    pub nocopy: bool,
    /// Of a volume: only this folder of it.
    pub subpath: Option<String>,
    /// Of an anonymous volume: its labels.
    pub labels: BTreeMap<String, String>,
    /// Of a file system in memory: its permissions, as in `1777` octal.
    pub mode: Option<u32>,
}

/// `bind.recursive`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Recursive {
    /// They come along; a read-only bind makes them read-only where the kernel can.
    #[default]
    Enabled,
    /// They do not.
    Disabled,
    /// They come along, and stay writable below a read-only bind.
    Writable,
    /// They come along, and are read-only or nothing starts.
    Readonly,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountSource {
    /// A volume of the file.
    Volume {
        /// `volume/<key>`.
        volume: ResourceId,
        /// Its name in the engine.
        host_name: String,
    },
    /// A path of the host, absolute.
    Bind {
        /// The path.
        path: String,
        /// Make the folder when it is missing: Compose's default in both forms, unless `create_host_path: false`.
        create: bool,
    },
    /// A file that aiplatd writes: a config.
    File {
        /// Which.
        file: ResourceId,
        /// Where it is on the host. Its content is none of the container's, unless the path has a name for it.
        path: String,
    },
    /// A volume that the engine names; a recreate carries it over.
    Anonymous,
    /// Memory.
    Tmpfs {
        /// Bytes; `None`: no limit.
        size: Option<i64>,
    },
}

impl ContainerPolicy {
    /// The probe for `role`, if the file has one.
    #[must_use]
    pub fn probe_for(&self, role: Role) -> Option<&ProbeSpec> {
        match role {
            Role::Startup => self.startup.as_ref(),
            Role::Readiness => self.probe.as_ref(),
            Role::Liveness => self.liveness.as_ref(),
        }
    }
}

impl ContainerLive {
    /// The network that it is made on: the one with the highest priority, and of several the first by name.
    #[must_use]
    pub fn first_network(&self) -> Option<&Attachment> {
        self.networks.values().rev().max_by_key(|attachment| attachment.priority)
    }
}

impl ContainerSpec {
    /// Whether planning this container looks at `id`.
    #[must_use]
    pub fn needs(&self, id: &ResourceId) -> bool {
        self.policy.dependencies.contains_key(id)
            || self.live.networks.contains_key(id)
            || (id.kind == crate::Kind::Image && id.key() == self.runtime.image)
            || self.volumes().any(|(volume, _)| volume == id)
            || self.files().any(|(file, _)| file == id)
    }

    /// What it is made from: its image, networks, volumes and files.
    pub fn parts(&self) -> impl Iterator<Item = ResourceId> {
        let image = ResourceId::image(&self.runtime.image);
        let volumes = self.volumes().map(|(volume, _)| volume.clone());
        let files = self.files().map(|(file, _)| file.clone());
        std::iter::once(image).chain(self.live.networks.keys().cloned()).chain(volumes).chain(files)
    }

    /// Whether an edit that does not become ready is taken back by itself. Where nothing is said: unless it writes to a
    /// volume or to the host, for what the new one has written the old one may not be able to read.
    #[must_use]
    pub fn returns_on_failure(&self) -> bool {
        let writes = |mount: &Mount| match &mount.source {
            MountSource::Volume { .. } | MountSource::Bind { .. } => !mount.read_only,
            MountSource::File { .. } | MountSource::Anonymous | MountSource::Tmpfs { .. } => false,
        };
        match self.policy.update.failure_action {
            Some(FailureAction::Rollback) => true,
            Some(FailureAction::Pause) => false,
            None => !self.runtime.mounts.iter().any(writes),
        }
    }

    /// Whether a replacement runs beside what it replaces. Not where both would want the same port of the host or the
    /// same address, or would write to the same volume.
    #[must_use]
    pub fn starts_first(&self) -> bool {
        self.policy.update.order == UpdateOrder::StartFirst && self.kept_from_starting_first().is_none()
    }

    /// What keeps two containers of this service from running at once, in words.
    #[must_use]
    pub fn kept_from_starting_first(&self) -> Option<String> {
        let fixed = |binding: &&PortBinding| binding.host_port.is_some();
        let port =
            self.runtime.ports.iter().find(fixed).map(|binding| format!("both would hold port {binding}"));
        let writes = |mount: &&Mount| match &mount.source {
            MountSource::Volume { .. } | MountSource::Bind { .. } => !mount.read_only,
            MountSource::Anonymous => true,
            MountSource::File { .. } | MountSource::Tmpfs { .. } => false,
        };
        let mount = self.runtime.mounts.iter().find(writes);
        let mount = mount.map(|mount| format!("both would write to what is mounted at {}", mount.target));
        let mut networks = self.live.networks.values();
        let address =
            networks.find_map(|network| network.ipv4_address.as_ref().or(network.ipv6_address.as_ref()));
        // What listens in a network that is not its own is in the way of its successor there.
        let mode = &self.runtime.options.identity.network_mode;
        let shared = matches!(mode, Namespace::Host | Namespace::Service(_) | Namespace::Container(_))
            .then(|| format!("both would listen in one network (`network_mode: {mode}`)"));
        let port = port.or(shared);
        let vram = self.policy.gpus.iter().any(|request| request.needs.vram.is_some());
        let vram = vram.then(|| "both would take their `vram` of the GPU".to_owned());
        let port = port.or(vram);
        let mac = self.runtime.options.identity.mac_address.as_ref();
        let mac =
            mac.or_else(|| self.live.networks.values().find_map(|network| network.mac_address.as_ref()));
        let address = address.or(mac);
        port.or(mount).or(address.map(|address| format!("both would have the address {address}")))
    }

    /// The volumes of the file that it mounts, with their names in the engine.
    pub fn volumes(&self) -> impl Iterator<Item = (&ResourceId, &str)> {
        self.runtime.mounts.iter().filter_map(|mount| match &mount.source {
            MountSource::Volume { volume, host_name } => Some((volume, host_name.as_str())),
            MountSource::Bind { .. }
            | MountSource::File { .. }
            | MountSource::Anonymous
            | MountSource::Tmpfs { .. } => None,
        })
    }

    /// The files of ours that it mounts, with their paths on the host.
    pub fn files(&self) -> impl Iterator<Item = (&ResourceId, &str)> {
        self.runtime.mounts.iter().filter_map(|mount| match &mount.source {
            MountSource::File { file, path } => Some((file, path.as_str())),
            MountSource::Volume { .. }
            | MountSource::Bind { .. }
            | MountSource::Anonymous
            | MountSource::Tmpfs { .. } => None,
        })
    }
}
