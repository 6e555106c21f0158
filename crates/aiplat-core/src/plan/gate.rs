//! Gates: what must hold before an action, evaluated anew in each pass. A closed gate is a sentence.

mod holders;

use std::{collections::BTreeMap, fmt};

pub use holders::ports_in_doubt;
pub(super) use holders::{describe, holder, is_port_foreign, overlaps, ports_taken, volumes_in_use};

use super::{Readiness, World, gpu, readiness};
use crate::{
    ResourceId, Timestamp,
    condition::{Condition, ConditionType, Reason, Status},
    observed::{ComposeOrigin, ObservedContainer, Ownership},
    spec::{ContainerSpec, Dependency},
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
    /// The disk that it would be written to is short of room.
    DiskPressure {
        /// `DiskPressure`, or `DiskFull` for what would fill it.
        reason: Reason,
        /// The sentence.
        message: String,
    },
    /// It gets no GPU as it asks, or cannot be started with the one that it has.
    Gpu {
        /// Why.
        reason: Reason,
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
            | Self::DiskPressure { .. }
            | Self::Gpu { .. }
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
            | Self::DiskPressure { .. }
            | Self::Gpu { .. }
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
            Self::Dependency { unknown: true, .. }
                | Self::Image { reason: Reason::NotObserved, .. }
                | Self::Gpu { reason: Reason::NotObserved, .. }
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
                crate::Kind::File => Some(ConditionType::ConfigRendered),
                crate::Kind::Host => Some(ConditionType::DropInApplied),
                crate::Kind::Network
                | crate::Kind::Image
                | crate::Kind::Container
                | crate::Kind::Unit
                | crate::Kind::Model => None,
            },
            Self::VolumeInUse { .. } => Some(ConditionType::StorageReady),
            Self::DiskPressure { .. } => Some(ConditionType::ImageAvailable),
            Self::Gpu { .. } => Some(ConditionType::GPUAllocated),
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
            | Self::Gpu { reason, .. }
            | Self::DiskPressure { reason, .. }
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
            | Self::DiskPressure { message, .. }
            | Self::Gpu { message, .. }
            | Self::PortTaken { message }
            | Self::BackOff { message, .. }
            | Self::Failed { message, .. } => f.write_str(message),
            Self::Dependency { on, .. } => write!(f, "waits for {}", on.key()),
            Self::ReplacementPending { on } => write!(f, "waits until {} runs anew", on.key()),
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
pub(super) fn before_start(
    world: &World<'_>,
    id: &ResourceId,
    spec: &ContainerSpec,
    container: Option<&ObservedContainer>,
) -> Vec<Gate> {
    let mut gates = before_start_but_gpus(world, id, spec);
    gates.extend(gpu::before_start(world, id, container));
    gates
}

/// All of `before_start` but what concerns GPUs.
pub(super) fn before_start_but_gpus(world: &World<'_>, id: &ResourceId, spec: &ContainerSpec) -> Vec<Gate> {
    let mut gates = resources(world, spec);
    gates.extend(volumes_in_use(world, id, spec));
    gates.extend(ports_taken(world, id, spec));
    gates.extend(dependencies(world, &spec.policy.dependencies));
    gates
}

/// The gates of a disruption of `id` by choice: nobody that we depend on is about to be replaced, and its GPU would have it again.
pub(super) fn before_disruption(
    world: &World<'_>,
    id: &ResourceId,
    dependencies: &BTreeMap<ResourceId, Dependency>,
) -> Vec<Gate> {
    let pending =
        dependencies.keys().filter(|dependency| super::readiness::replacement_pending(world, dependency));
    let pending = pending.map(|dependency| Gate::ReplacementPending { on: dependency.clone() });
    gpu::freeze(world, id).into_iter().chain(pending).collect()
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
    let volumes = spec.volumes().map(|(volume, _)| volume);
    let ids = spec.live.networks.keys().chain(volumes).chain(spec.files().map(|(file, _)| file));
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
