//! Gates: what must hold before an action, evaluated anew in each pass. A closed gate is a sentence.

use std::{collections::BTreeMap, fmt};

use super::{Readiness, World, readiness};
use crate::{
    ResourceId, Timestamp,
    condition::{Condition, ConditionType, Reason, Status},
    observed::{ComposeOrigin, ObservedContainer, ObservedImage, Ownership},
    spec::{ContainerSpec, Dependency, MountSource, PortBinding, PullPolicy},
    time::human,
};

/// One thing that keeps an action from being done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// The engine does not answer.
    EngineAway {
        /// The sentence.
        message: String,
    },
    /// systemd does not answer.
    SystemdAway {
        /// The sentence.
        message: String,
    },
    /// Somebody else's object has our name.
    NameTaken {
        /// `NameTaken` or `InstanceMismatch`.
        reason: Reason,
        /// The sentence.
        message: String,
    },
    /// The image is not there (yet).
    Image {
        /// Which.
        image: ResourceId,
        /// Why.
        reason: Reason,
        /// The sentence.
        message: String,
    },
    /// A network or volume is not there (yet).
    Resource {
        /// Which.
        id: ResourceId,
        /// Why.
        reason: Reason,
        /// The sentence.
        message: String,
    },
    /// Another running container writes to the same place.
    VolumeInUse {
        /// The sentence.
        message: String,
    },
    /// A host port is held.
    PortTaken {
        /// The sentence.
        message: String,
    },
    /// A dependency is not ready.
    Dependency {
        /// Which.
        on: ResourceId,
        /// Its own sentence.
        message: String,
        /// It has not been asked yet.
        unknown: bool,
    },
    /// A disruptive action waits for the replacement of a dependency, so that one edit restarts a service once.
    ReplacementPending {
        /// Of which.
        on: ResourceId,
    },
    /// The next restart attempt is not due.
    BackOff {
        /// When it is.
        until: Timestamp,
        /// The sentence.
        message: String,
    },
    /// The action failed, and its next attempt is not due.
    Failed {
        /// Why it failed.
        reason: Reason,
        /// The sentence.
        message: String,
        /// The next attempt.
        retry_at: Timestamp,
    },
    /// A removal waits until the file has been unchanged for two seconds.
    RemovalGrace {
        /// Until when.
        until: Timestamp,
    },
    /// A removal waits until the file on disk is good again.
    FileRefused,
    /// A removal waits for a person.
    ConfirmationNeeded,
    /// Something that is to be removed first still runs or refers to it.
    StillUsed {
        /// By what.
        by: String,
    },
}

impl Gate {
    /// When it opens by time alone.
    #[must_use]
    pub fn opens_at(&self) -> Option<Timestamp> {
        match self {
            Self::BackOff { until, .. } | Self::RemovalGrace { until } => Some(*until),
            Self::Failed { retry_at, .. } => Some(*retry_at),
            Self::EngineAway { .. }
            | Self::SystemdAway { .. }
            | Self::NameTaken { .. }
            | Self::Image { .. }
            | Self::Resource { .. }
            | Self::VolumeInUse { .. }
            | Self::PortTaken { .. }
            | Self::Dependency { .. }
            | Self::ReplacementPending { .. }
            | Self::FileRefused
            | Self::ConfirmationNeeded
            | Self::StillUsed { .. } => None,
        }
    }

    /// The resource that it waits for: the next link of the cause chain.
    #[must_use]
    pub fn waits_for(&self) -> Option<&ResourceId> {
        match self {
            Self::Image { image: id, .. }
            | Self::Resource { id, .. }
            | Self::Dependency { on: id, .. }
            | Self::ReplacementPending { on: id } => Some(id),
            Self::EngineAway { .. }
            | Self::SystemdAway { .. }
            | Self::NameTaken { .. }
            | Self::VolumeInUse { .. }
            | Self::PortTaken { .. }
            | Self::BackOff { .. }
            | Self::Failed { .. }
            | Self::RemovalGrace { .. }
            | Self::FileRefused
            | Self::ConfirmationNeeded
            | Self::StillUsed { .. } => None,
        }
    }

    /// Whether it is closed only because nobody has been asked yet.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(
            self,
            Self::Dependency { unknown: true, .. } | Self::Image { reason: Reason::NotObserved, .. }
        )
    }

    /// The condition that says it, if it has one of its own.
    #[must_use]
    pub fn condition(&self) -> Option<ConditionType> {
        match self {
            Self::NameTaken { .. } => Some(ConditionType::NameTaken),
            Self::Image { .. } => Some(ConditionType::ImageAvailable),
            Self::Resource { id, .. } => match id.kind {
                crate::Kind::Volume => Some(ConditionType::StorageReady),
                crate::Kind::Host => Some(ConditionType::DropInApplied),
                crate::Kind::Network | crate::Kind::Image | crate::Kind::Container | crate::Kind::Unit => {
                    None
                }
            },
            Self::VolumeInUse { .. } => Some(ConditionType::StorageReady),
            Self::PortTaken { .. } => Some(ConditionType::PortsFree),
            Self::Dependency { .. } | Self::ReplacementPending { .. } => {
                Some(ConditionType::DependenciesReady)
            }
            Self::EngineAway { .. }
            | Self::SystemdAway { .. }
            | Self::BackOff { .. }
            | Self::Failed { .. }
            | Self::RemovalGrace { .. }
            | Self::FileRefused
            | Self::ConfirmationNeeded
            | Self::StillUsed { .. } => None,
        }
    }

    /// Why it is closed.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::EngineAway { .. } => Reason::EngineUnreachable,
            Self::SystemdAway { .. } => Reason::SystemdUnreachable,
            Self::NameTaken { reason, .. }
            | Self::Image { reason, .. }
            | Self::Resource { reason, .. }
            | Self::Failed { reason, .. } => *reason,
            Self::VolumeInUse { .. } => Reason::VolumeInUse,
            Self::PortTaken { .. } => Reason::PortTaken,
            Self::Dependency { .. } => Reason::WaitingForDependencies,
            Self::ReplacementPending { .. } => Reason::ReplacementPending,
            Self::BackOff { .. } => Reason::BackOff,
            Self::RemovalGrace { .. } => Reason::RemovalGrace,
            Self::FileRefused => Reason::SpecInvalid,
            Self::ConfirmationNeeded => Reason::ConfirmationNeeded,
            Self::StillUsed { .. } => Reason::InUse,
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EngineAway { message }
            | Self::SystemdAway { message }
            | Self::NameTaken { message, .. }
            | Self::Image { message, .. }
            | Self::Resource { message, .. }
            | Self::VolumeInUse { message }
            | Self::PortTaken { message }
            | Self::BackOff { message, .. }
            | Self::Failed { message, .. } => f.write_str(message),
            Self::Dependency { on, .. } => write!(f, "waits for {}", on.key()),
            Self::ReplacementPending { on } => write!(f, "waits until {} has been replaced", on.key()),
            Self::RemovalGrace { .. } => {
                f.write_str("is no longer in the file; removed once the file has been unchanged for 2s")
            }
            Self::FileRefused => f.write_str(
                "is not in the file in force; removed only once the file on disk is good again, for it may be half of another",
            ),
            Self::ConfirmationNeeded => f.write_str(
                "is no longer in the file, which removes more than half of the services or renames the platform; \
                 confirm with `aiplatctl apply --confirm`",
            ),
            Self::StillUsed { by } => write!(f, "waits until {by} is gone"),
        }
    }
}

/// The gate for a name that a foreign object holds: what it is, whose, and the way in.
pub(super) fn name_taken(
    world: &World<'_>,
    what: &str,
    name: &str,
    owner: Option<&Ownership>,
    compose: Option<&ComposeOrigin>,
) -> Gate {
    if let Some(owner) = owner.filter(|owner| owner.instance != world.desired.instance) {
        return Gate::NameTaken {
            reason: Reason::InstanceMismatch,
            message: format!(
                "{what} `{name}` belongs to another aiplatd, instance {}: use another name; or, only if that aiplatd and \
                 its state folder are gone for good, stop this one and take its objects over with \
                 `echo {} > instance-id` in this one's state folder (its --state-dir)",
                owner.instance, owner.instance
            ),
        };
    }
    let (whose, way_in) = match compose {
        Some(origin) => (
            format!("Docker Compose's project `{}`{}", origin.project, in_folder(origin)),
            match what {
                "container" => format!(
                    "take it down there with `docker compose -p {} down` (volumes stay), or set `container_name`",
                    origin.project
                ),
                _ => format!("use it as it is with `external: true` and `name: {name}`"),
            },
        ),
        None => (
            "somebody else".to_owned(),
            match what {
                "container" => format!(
                    "remove it with `docker stop {name} && docker rm {name}`, or set another `container_name`"
                ),
                _ => format!("use it as it is with `external: true` and `name: {name}`"),
            },
        ),
    };
    Gate::NameTaken {
        reason: Reason::NameTaken,
        message: format!("the name is taken: {what} `{name}` belongs to {whose}; {way_in}"),
    }
}

/// A network or volume that is not there: ours to make, or somebody else's.
pub(super) fn missing(external: bool, what: &str, name: &str) -> Readiness {
    if external {
        let message =
            format!("external {what} `{name}` does not exist: create it with `docker {what} create {name}`");
        return Readiness::not_ready(Reason::ExternalMissing, message);
    }
    Readiness::progressing(Reason::Missing, "it does not exist yet")
}

fn in_folder(origin: &ComposeOrigin) -> String {
    origin.folder.as_ref().map(|folder| format!(" in {folder}")).unwrap_or_default()
}

/// The gates of making a container: image, networks, volumes, name.
pub(super) fn before_create(world: &World<'_>, spec: &ContainerSpec) -> Vec<Gate> {
    let mut gates: Vec<Gate> = name(world, spec).into_iter().collect();
    gates.extend(image(world, spec));
    gates.extend(resources(world, spec));
    gates.extend(joined(world, spec));
    gates
}

/// Whom it joins has to exist, and to stay: a container is joined by its id.
fn joined(world: &World<'_>, spec: &ContainerSpec) -> Vec<Gate> {
    let closed = |on: &ResourceId| {
        if super::members::serving(world, on).is_none() {
            let message = format!("{} does not exist yet", on.key());
            return Some(Gate::Dependency { on: on.clone(), message, unknown: false });
        }
        super::readiness::replacement_pending(world, on).then(|| Gate::ReplacementPending { on: on.clone() })
    };
    spec.runtime.options.joins().filter_map(|(_, on)| closed(on)).collect()
}

/// The gates of starting a container: whatever it was made from must still be there, and the rest of the world ready.
pub(super) fn before_start(world: &World<'_>, id: &ResourceId, spec: &ContainerSpec) -> Vec<Gate> {
    let mut gates = resources(world, spec);
    gates.extend(volumes_in_use(world, id, spec));
    gates.extend(ports_taken(world, id, spec));
    gates.extend(dependencies(world, &spec.policy.dependencies));
    gates
}

/// The gates of a disruption by choice: nobody that we depend on is about to be replaced.
pub(super) fn before_disruption(
    world: &World<'_>,
    dependencies: &BTreeMap<ResourceId, Dependency>,
) -> Vec<Gate> {
    let pending =
        dependencies.keys().filter(|dependency| super::readiness::replacement_pending(world, dependency));
    pending.map(|dependency| Gate::ReplacementPending { on: dependency.clone() }).collect()
}

pub(super) fn name(world: &World<'_>, spec: &ContainerSpec) -> Option<Gate> {
    let holder = world.observed.foreign.iter().find(|container| container.name == spec.host_name)?;
    Some(name_taken(world, "container", &spec.host_name, holder.owner.as_ref(), holder.compose.as_ref()))
}

pub(super) fn image(world: &World<'_>, spec: &ContainerSpec) -> Option<Gate> {
    let image = ResourceId::image(&spec.runtime.image);
    let Readiness { status, reason, message, .. } = readiness(world, &image);
    (status != Status::True).then_some(Gate::Image { image, reason, message })
}

fn resources(world: &World<'_>, spec: &ContainerSpec) -> Vec<Gate> {
    let ids = spec.live.networks.keys().chain(spec.volumes().map(|(volume, _)| volume));
    let mut gates = Vec::new();
    for id in ids {
        let Readiness { status, reason, message, .. } = readiness(world, id);
        if status != Status::True {
            gates.push(Gate::Resource {
                id: id.clone(),
                reason,
                message: format!("waits for {id}: {message}"),
            });
        }
    }
    gates
}

pub(super) fn dependencies(world: &World<'_>, dependencies: &BTreeMap<ResourceId, Dependency>) -> Vec<Gate> {
    let closed = |(on, edge): (&ResourceId, &Dependency)| {
        let Readiness { status, message, progressing, .. } =
            readiness::of_dependency(world, on, edge.condition);
        let unknown = status == Status::Unknown;
        // What is not required is waited for only while it is on its way: its failure must not keep us down.
        let open = status == Status::True || (!edge.required && !progressing);
        (!open).then(|| Gate::Dependency { on: on.clone(), message, unknown })
    };
    dependencies.iter().filter_map(closed).collect()
}

/// What `closed` gates come to as the condition `kind`.
pub(super) fn condition(kind: ConditionType, closed: &[&Gate]) -> Condition {
    let Some(first) = closed.first() else { return Condition::normal(kind, Reason::AsDesired) };
    let messages: Vec<String> = closed.iter().map(ToString::to_string).collect();
    // A dependency that has not been asked yet is not one that is not ready.
    if closed.iter().all(|gate| gate.is_unknown()) {
        Condition::unknown(kind, Reason::NotObserved, messages.join("; "))
    } else {
        Condition::abnormal(kind, first.reason(), messages.join("; "))
    }
}

/// Two writers on one volume destroy it. Services of one file share by choice; a foreign container, or one of
/// ours that the file no longer has (a service that was renamed), does not.
pub(super) fn volumes_in_use(world: &World<'_>, id: &ResourceId, spec: &ContainerSpec) -> Vec<Gate> {
    let mut gates = Vec::new();
    for mount in spec.runtime.mounts.iter().filter(|mount| !mount.read_only) {
        let (what, volume, bind) = match &mount.source {
            MountSource::Volume { host_name, .. } => (format!("volume `{host_name}`"), Some(host_name), None),
            MountSource::Bind { path, .. } => (format!("host path `{path}`"), None, Some(path)),
            MountSource::Anonymous | MountSource::Tmpfs { .. } => continue,
        };
        let writes = |container: &&ObservedContainer| {
            container.state.is_alive()
                && container.mounts.iter().any(|other| {
                    other.writable
                        && ((volume.is_some() && other.volume.as_ref() == volume)
                            || (bind.is_some() && other.bind.as_ref() == bind))
                })
        };
        if let Some(holder) = outsiders(world, id).find(writes) {
            gates.push(Gate::VolumeInUse {
                message: format!(
                    "{what} is open for writing in {}: stop that first (`docker stop {}`)",
                    describe(world, holder),
                    holder.name
                ),
            });
        }
    }
    gates
}

pub(super) fn ports_taken(world: &World<'_>, id: &ResourceId, spec: &ContainerSpec) -> Vec<Gate> {
    let mut gates = Vec::new();
    let is_leaving = |holder: &ObservedContainer| {
        let ours = holder.owner.as_ref().filter(|_| holder.is_owned_by(&world.desired.instance));
        ours.is_some_and(|owner| !world.desired.wants(&owner.resource))
    };
    for binding in &spec.runtime.ports {
        let holds = |container: &&ObservedContainer| {
            container.state.is_alive() && container.ports.iter().any(|port| overlaps(binding, port))
        };
        let others = world.observed.owned.iter().filter(|(other, _)| *other != id).flat_map(|(_, set)| set);
        if let Some(holder) = world.observed.foreign.iter().chain(others).find(holds) {
            gates.push(Gate::PortTaken {
                message: format!(
                    "host port {binding} is held by {}: {}",
                    describe(world, holder),
                    if is_leaving(holder) {
                        "it is no longer in the file, and the port is free once it is removed"
                    } else {
                        "stop that, or publish another port"
                    }
                ),
            });
        }
    }
    gates
}

/// Whether somebody else's container holds one of the ports.
pub(super) fn is_port_foreign(world: &World<'_>, spec: &ContainerSpec) -> bool {
    let holds = |container: &ObservedContainer| {
        let mut ports = container.ports.iter();
        container.state.is_alive()
            && ports.any(|port| spec.runtime.ports.iter().any(|own| overlaps(own, port)))
    };
    world.observed.foreign.iter().any(holds)
}

pub(super) fn overlaps(binding: &PortBinding, port: &crate::observed::PublishedPort) -> bool {
    binding.host_port == Some(port.host_port)
        && binding.protocol == port.protocol
        && binding.host_ip.is_ipv4() == port.host_ip.is_ipv4()
        && (binding.host_ip == port.host_ip
            || binding.host_ip.is_unspecified()
            || port.host_ip.is_unspecified())
}

/// Containers that are not of the services in the file: foreign ones, and ours that are to be removed.
fn outsiders<'a>(world: &World<'a>, id: &'a ResourceId) -> impl Iterator<Item = &'a ObservedContainer> {
    let desired = world.desired;
    let leaving = world.observed.owned.iter().filter(move |(other, _)| *other != id && !desired.wants(other));
    world.observed.foreign.iter().chain(leaving.flat_map(|(_, set)| set))
}

/// Which container, and whose.
pub(super) fn describe(world: &World<'_>, container: &ObservedContainer) -> String {
    match (&container.compose, &container.owner) {
        (Some(origin), _) => {
            format!(
                "container `{}` of Docker Compose's project `{}`{}",
                container.name,
                origin.project,
                in_folder(origin)
            )
        }
        (None, Some(owner)) if owner.instance != world.desired.instance => {
            format!("container `{}` of {}", container.name, another_platform(container, owner))
        }
        (None, Some(owner)) => format!("container `{}` ({})", container.name, owner.resource),
        (None, None) => format!("container `{}`, which is not ours", container.name),
    }
}

/// The platform of another aiplatd on this machine. Its name is the beginning of its containers' names, unless the file
/// there names them itself.
fn another_platform(container: &ObservedContainer, owner: &Ownership) -> String {
    let of_service = container.name.strip_suffix(owner.resource.key());
    match of_service.and_then(|name| name.strip_suffix('-')).filter(|name| !name.is_empty()) {
        Some(platform) => format!("another aiplatd's platform `{platform}` ({})", owner.resource),
        None => format!("another aiplatd, instance {} ({})", owner.instance, owner.resource),
    }
}

/// The readiness of an image, in words.
pub(super) fn image_readiness(world: &World<'_>, id: &ResourceId) -> Readiness {
    let reference = id.key();
    let failure = world.ledger.get(id).and_then(|record| record.failure.as_ref());
    let pull = world.desired.images.get(id).map_or(PullPolicy::Missing, |spec| spec.pull);
    match (world.observed.images.get(reference), failure) {
        (Some(ObservedImage::Present { .. }), _) => Readiness::ready(Reason::Present),
        (None, None) => {
            Readiness::unknown(Reason::NotObserved, format!("image {reference} has not been looked for yet"))
        }
        (_, Some(failure)) => {
            let next = match failure.retry_at {
                Some(at) => format!("next attempt in {}", human(world.now.until(at))),
                None => "next attempt on edit".to_owned(),
            };
            Readiness::not_ready(failure.reason, format!("{}, {next}", failure.message))
        }
        (Some(ObservedImage::Absent), None) if pull == PullPolicy::Never => Readiness::not_ready(
            Reason::PullNever,
            format!(
                "image {reference} is not on this machine and pull_policy is `never`: load it with `docker load`, or pull it"
            ),
        ),
        (Some(ObservedImage::Absent), None) => Readiness::progressing(Reason::Pulling, pulling(world, id)),
    }
}

/// Bytes, as `aiplatctl` counts them too.
const MIB: f64 = 1_048_576.0;

fn pulling(world: &World<'_>, id: &ResourceId) -> String {
    match world.observed.pulls.get(id) {
        Some(progress) if progress.total > 0 => format!(
            "pulling {}: {:.1} of {:.1} MiB",
            id.key(),
            progress.done as f64 / MIB,
            progress.total as f64 / MIB
        ),
        Some(_) | None => format!("pulling {}", id.key()),
    }
}
