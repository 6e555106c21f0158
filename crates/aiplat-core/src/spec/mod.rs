//! The compiled desired state: a flat graph of resources, already valid.

mod container;
mod file;
mod gpu;
mod host;
mod model;
mod options;
mod probe;
mod unit;

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize};

pub use container::{
    Attachment, Condition as DependencyCondition, ContainerLive, ContainerPolicy, ContainerRuntime,
    ContainerSpec, Dependency, EngineCheck, FailureAction, Limits, Mount, MountOptions, MountSource,
    PortBinding, Protocol, Recursive, RestartMode, UpdateOrder, UpdatePolicy,
};
pub use file::{Content, ContentHash, FileSpec, OnChange};
pub use gpu::{CDI_KIND, DriverVersion, GpuNeeds, GpuRequest, WantedGpus, WrittenGpus, cdi_gpu};
pub use host::{DiskPressure, DockerSpec, HostSpec};
pub use model::{InvalidModelName, ModelName, ModelSpec};
pub use options::{
    Blkio, Confinement, Device, DeviceRequest, Hardware, Identity, Logging, Namespace, Options, Process,
    Ulimit, Words,
};
pub use probe::{
    HttpProbe, Password, PostgresProbe, ProbeKind, ProbeSpec, RedisProbe, Role, Scheme, Trust, Via,
};
pub use unit::{Hardening, Management, OwnUnit, SANDBOX, TimerSpec, UnitSpec, WRITTEN_BY};

use crate::{
    Kind, ResourceId, Timestamp,
    fingerprint::{self, Fingerprint},
};

/// Who owns what: the identity of one state folder, written on every object we make (`io.aiplat.instance`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstanceId(pub String);

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What `platform.yaml` asks for, compiled: every reference resolved, every name final.
#[derive(Debug, Clone, PartialEq)]
pub struct Platform {
    /// The platform's name, the prefix of names on the host.
    pub name: String,
    /// Whose objects these are.
    pub instance: InstanceId,
    /// Counts the accepted versions of the file, from 1.
    pub generation: u64,
    /// The `reconcile:` section.
    pub settings: Settings,
    /// The `host:` section, and the tier in force.
    pub host: HostSpec,
    /// Networks by `network/<key>`.
    pub networks: BTreeMap<ResourceId, NetworkSpec>,
    /// Volumes by `volume/<key>`.
    pub volumes: BTreeMap<ResourceId, VolumeSpec>,
    /// Files that aiplatd writes, by `file/<key>`.
    pub files: BTreeMap<ResourceId, FileSpec>,
    /// Images by `image/<reference>`.
    pub images: BTreeMap<ResourceId, ImageSpec>,
    /// Containers by `container/<service>`.
    pub containers: BTreeMap<ResourceId, ContainerSpec>,
    /// systemd units by `unit/<service>`.
    pub units: BTreeMap<ResourceId, UnitSpec>,
    /// Models by `model/<key>`.
    pub models: BTreeMap<ResourceId, ModelSpec>,
    /// Named conditions over several resources, by name.
    pub gates: BTreeMap<String, Vec<ResourceId>>,
    /// When what is no longer in the file may be removed.
    pub removals: Removals,
}

/// What a person calls a service: a container or a unit.
#[derive(Debug, Clone, Copy)]
pub enum ServiceSpec<'a> {
    /// A container of the engine's.
    Container(&'a ContainerSpec),
    /// A unit of systemd's.
    Unit(&'a UnitSpec),
}

impl<'a> ServiceSpec<'a> {
    /// Its name in the file.
    #[must_use]
    pub fn name(self) -> &'a str {
        match self {
            Self::Container(spec) => &spec.service,
            Self::Unit(spec) => &spec.service,
        }
    }

    /// What must be ready first.
    #[must_use]
    pub fn dependencies(self) -> &'a BTreeMap<ResourceId, Dependency> {
        match self {
            Self::Container(spec) => &spec.policy.dependencies,
            Self::Unit(spec) => &spec.dependencies,
        }
    }

    /// What it asks of the machine's GPUs.
    #[must_use]
    pub fn gpus(self) -> &'a [GpuRequest] {
        match self {
            Self::Container(spec) => &spec.policy.gpus,
            Self::Unit(spec) => &spec.gpus,
        }
    }

    /// The probe for `role`, if the file has one.
    #[must_use]
    pub fn probe_for(self, role: Role) -> Option<&'a ProbeSpec> {
        match self {
            Self::Container(spec) => spec.policy.probe_for(role),
            Self::Unit(spec) => spec.probe_for(role),
        }
    }

    /// Whether planning it looks at `id`.
    #[must_use]
    pub fn needs(self, id: &ResourceId) -> bool {
        match self {
            Self::Container(spec) => spec.needs(id),
            Self::Unit(spec) => spec.dependencies.contains_key(id) || *id == ResourceId::systemd(),
        }
    }
}

/// When what is no longer in the file may be removed. Set by whoever accepted the file, for only they know when it last changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removals {
    /// From this moment on: the file has then been unchanged for two seconds.
    From(Timestamp),
    /// Not while the file on disk is refused: it may be half of the one that is meant.
    WhenFileIsGood,
    /// Only after `aiplatctl apply --confirm`: this file removes more than half of the services, or renames the platform.
    AwaitConfirmation,
}

/// The `reconcile:` section of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `auto` acts, `observe` only says what it would do.
    pub mode: Mode,
    /// Whether saving the file is enough.
    pub apply: ApplyMode,
    /// How often everything is listed again, whatever the events said.
    pub resync: Duration,
    /// Restart windows and back-off.
    pub restart: RestartSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: Mode::Auto,
            apply: ApplyMode::OnSave,
            resync: Duration::from_secs(60),
            restart: RestartSettings::default(),
        }
    }
}

/// `reconcile.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Converge.
    Auto,
    /// Change nothing; conditions and `diff` still say what is wrong.
    Observe,
}

/// `reconcile.apply`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApplyMode {
    /// A saved, valid file is in force.
    OnSave,
    /// Only `aiplatctl apply` puts a file in force.
    OnCommand,
}

/// `reconcile.restart_policy`: how crashes are answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestartSettings {
    /// The second restart waits this long; the first is immediate.
    pub delay: Duration,
    /// No wait is longer.
    pub max_delay: Duration,
    /// After running this long the count starts anew.
    pub reset_after: Duration,
    /// This many restarts within `window` are a crash loop.
    pub crash_loop: u32,
    /// See `crash_loop`.
    pub window: Duration,
    /// What follows a crash loop.
    pub on_exhausted: OnExhausted,
}

impl Default for RestartSettings {
    fn default() -> Self {
        Self {
            delay: Duration::from_secs(1),
            max_delay: Duration::from_secs(300),
            reset_after: Duration::from_secs(600),
            crash_loop: 5,
            window: Duration::from_secs(600),
            on_exhausted: OnExhausted::Retry,
        }
    }
}

/// `reconcile.restart_policy.on_exhausted`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnExhausted {
    /// Go on at `max_delay`, for ever.
    Retry,
    /// Stop trying until the spec changes.
    Hold,
}

/// One Docker network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// Its name in the engine.
    pub host_name: String,
    /// It is somebody else's: it must exist and is never changed.
    pub external: bool,
    /// `None`: the engine's default, bridge.
    pub driver: Option<String>,
    /// Driver options.
    pub driver_opts: BTreeMap<String, String>,
    /// No route to the outside.
    pub internal: bool,
    /// IPv6 addresses too.
    pub enable_ipv6: bool,
    /// No IPv4 addresses.
    pub ipv4_off: bool,
    /// Standalone containers may attach (overlay only).
    pub attachable: bool,
    /// The user's labels.
    pub labels: BTreeMap<String, String>,
    /// Address pools; empty: the engine chooses.
    pub subnets: Vec<Subnet>,
    /// `ipam.driver`; `None`: the engine's own.
    pub ipam_driver: Option<String>,
    /// Of that driver.
    pub ipam_options: BTreeMap<String, String>,
}

/// One address pool of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// CIDR.
    pub subnet: String,
    /// Gateway address.
    pub gateway: Option<String>,
    /// CIDR within the subnet from which containers get addresses.
    pub ip_range: Option<String>,
    /// Addresses that are somebody else's, by name.
    pub aux_addresses: BTreeMap<String, String>,
}

/// One Docker volume. Never removed by aiplatd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeSpec {
    /// Its name in the engine.
    pub host_name: String,
    /// It is somebody else's: it must exist and is never changed.
    pub external: bool,
    /// `None`: local.
    pub driver: Option<String>,
    /// Driver options.
    pub driver_opts: BTreeMap<String, String>,
    /// The user's labels.
    pub labels: BTreeMap<String, String>,
}

/// One image, as referred to by one or more services.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSpec {
    /// The reference as written in the file.
    pub reference: String,
    /// When to pull.
    pub pull: PullPolicy,
}

/// `pull_policy`. Evaluated at start and edit, never in a loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PullPolicy {
    /// Never pulled: it must be there.
    Never,
    /// Pulled when absent.
    Missing,
    /// Pulled once for each accepted file that changes a service using it, and when absent.
    Always,
}

impl Platform {
    /// Every desired resource, in order of kind and key.
    pub fn ids(&self) -> impl Iterator<Item = &ResourceId> {
        self.networks
            .keys()
            .chain(self.volumes.keys())
            .chain(self.files.keys())
            .chain(self.images.keys())
            .chain(self.containers.keys())
            .chain(self.units.keys())
            .chain(self.models.keys())
    }

    /// Every service, in order of name within its kind.
    pub fn services(&self) -> impl Iterator<Item = (&ResourceId, ServiceSpec<'_>)> {
        let containers = self.containers.iter().map(|(id, spec)| (id, ServiceSpec::Container(spec)));
        containers.chain(self.units.iter().map(|(id, spec)| (id, ServiceSpec::Unit(spec))))
    }

    /// The service that `id` is.
    #[must_use]
    pub fn service(&self, id: &ResourceId) -> Option<ServiceSpec<'_>> {
        let container = self.containers.get(id).map(ServiceSpec::Container);
        container.or_else(|| self.units.get(id).map(ServiceSpec::Unit))
    }

    /// The resource that the service `name` is, by the file; that of a container where the file does not know it.
    #[must_use]
    pub fn service_id(&self, name: &str) -> ResourceId {
        let unit = ResourceId::unit(name);
        if self.units.contains_key(&unit) { unit } else { ResourceId::container(name) }
    }

    /// Whether the file asks for `id`.
    #[must_use]
    pub fn wants(&self, id: &ResourceId) -> bool {
        self.networks.contains_key(id)
            || self.volumes.contains_key(id)
            || self.files.contains_key(id)
            || self.images.contains_key(id)
            || self.containers.contains_key(id)
            || self.units.contains_key(id)
            || self.models.contains_key(id)
            || (*id == ResourceId::systemd() && !self.units.is_empty())
            || (*id == ResourceId::docker() && self.host.docker.is_some())
            || *id == ResourceId::local()
    }

    /// What `id` is made from today, if it is of a kind that has a fingerprint.
    #[must_use]
    pub fn fingerprint(&self, id: &ResourceId) -> Option<Fingerprint> {
        match id.kind {
            Kind::Network => self.networks.get(id).map(fingerprint::of),
            Kind::Volume => self.volumes.get(id).map(fingerprint::of),
            Kind::File => self.files.get(id).map(fingerprint::of),
            Kind::Container => self.containers.get(id).map(|spec| fingerprint::of(&spec.runtime)),
            Kind::Unit => self.units.get(id).map(fingerprint::of),
            Kind::Model => self.models.get(id).map(fingerprint::of),
            Kind::Image | Kind::Host => None,
        }
    }

    /// The resources that look at `id` when they are planned: they are woken when its readiness changes.
    #[must_use]
    pub fn dependants(&self, id: &ResourceId) -> Vec<ResourceId> {
        let services = self.services().filter(|(_, spec)| spec.needs(id)).map(|(other, _)| other.clone());
        // A model looks at its server, and that says which of its models are there.
        let models = self.models_of(id).map(|(model, _)| model.clone());
        let runner = self.models.get(id).map(|spec| spec.runner.clone());
        services.chain(models).chain(runner).collect()
    }

    /// The models that the service `runner` is to serve.
    pub fn models_of<'a>(
        &'a self,
        runner: &'a ResourceId,
    ) -> impl Iterator<Item = (&'a ResourceId, &'a ModelSpec)> {
        self.models.iter().filter(move |(_, spec)| spec.runner == *runner)
    }

    /// For each service, the number of services on the longest path that waits for it: what to do first.
    #[must_use]
    pub fn critical_paths(&self) -> BTreeMap<ResourceId, u32> {
        let mut heights = BTreeMap::new();
        for (id, _) in self.services() {
            self.height(id, &mut heights);
        }
        heights
    }

    fn height(&self, id: &ResourceId, heights: &mut BTreeMap<ResourceId, u32>) -> u32 {
        if let Some(known) = heights.get(id) {
            return *known;
        }
        // Placed first, so that a cycle (which `compile` refuses) could not recurse for ever.
        heights.insert(id.clone(), 0);
        let waiting = self.services().filter(|(_, spec)| spec.dependencies().contains_key(id));
        let above: Vec<ResourceId> = waiting.map(|(other, _)| other.clone()).collect();
        let height = above.iter().map(|other| self.height(other, heights) + 1).max().unwrap_or(0);
        heights.insert(id.clone(), height);
        height
    }
}
