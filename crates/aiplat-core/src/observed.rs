//! What the hosts were last seen to be like: plain values, merged from listings and single looks.

mod container;
mod diagnosis;
mod file;
mod gpu;
mod host;
mod listening;
mod machine;
mod model;
mod probes;
mod unit;
mod volumes;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use container::{
    AsOf, ComposeOrigin, ContainerDetail, ContainerState, Endpoint, EngineHealth, ObservedContainer,
    ObservedMount, Ownership, PublishedPort,
};
pub use diagnosis::{UnitDiagnosis, UnitEvidence};
pub use file::ObservedFile;
pub use gpu::{
    Driver, Given, GivenGpus, GpuEvent, GpuEventKind, GpuFacts, GpuId, GpuMemory, GpuProcess, LogWords,
    Mismatch, ObservedGpu, Recovery, Sight, Sighted, Vendor,
};
pub use host::{
    CdiSpec, Cpu, EngineSettings, FileSystem, Firewall, HostFacts, Memory, NvidiaTools, Room, Route,
};
pub use listening::{ASKED_AT, Holder, Listener, Listening, Owner, Reach, Reached, elsewhere, stranger, who};
pub use machine::{FolderFacts, HeldPort, Instance, InstanceOwner};
pub use model::{
    LoadedModel, ModelAnswer, ModelEndpoint, ModelFacts, ModelManifest, ModelServer, ModelSize, ServerPlace,
    StoredModel,
};
pub use probes::{ProbeFacts, ProbeOutcome, Sighting};
pub use unit::{ActiveState, Layer, LoadState, ObservedUnit, OwnFiles, SystemdFacts};
pub use volumes::{Growth, VolumeSize, VolumeSizes};

use crate::{
    ResourceId, Timestamp,
    spec::{InstanceId, Role},
};

/// A container's id in the engine (64 hex digits).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContainerId(pub String);

impl ContainerId {
    /// The first twelve digits, as the engine prints them; the id of a container that is only predicted, whole.
    #[must_use]
    pub fn short(&self) -> &str {
        if self.0.starts_with('(') { &self.0 } else { self.0.get(..12).unwrap_or(&self.0) }
    }
}

impl std::fmt::Display for ContainerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.short())
    }
}

/// One run of one container: its id and the engine's start time. Opaque; only compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Incarnation(pub String);

/// Everything known of the hosts. Missing knowledge is explicit: `engine.listed`, an image that is not in `images`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ObservedState {
    /// The engine itself.
    pub engine: EngineFacts,
    /// Our containers, by the resource that their label names.
    pub owned: BTreeMap<ResourceId, Vec<ObservedContainer>>,
    /// Everybody else's containers.
    pub foreign: Vec<ObservedContainer>,
    /// All networks. Their names are not unique: only the engine's ids are.
    pub networks: Vec<ObservedNetwork>,
    /// Of the youngest listing of containers taken in.
    pub containers_as_of: AsOf,
    /// Of the youngest listing of networks taken in.
    pub networks_as_of: AsOf,
    /// Volumes by name.
    pub volumes: BTreeMap<String, ObservedVolume>,
    /// What they take on their disks, as of the last measurement.
    pub volume_sizes: VolumeSizes,
    /// Images by reference as written. Absent: not looked at yet.
    pub images: BTreeMap<String, ObservedImage>,
    /// What probes have found out, by container resource and by what they are for, of one incarnation each.
    pub probes: BTreeMap<(ResourceId, Role), ProbeFacts>,
    /// Bytes of a pull in progress, by image or model resource.
    pub pulls: BTreeMap<ResourceId, PullProgress>,
    /// Bytes that were free on the engine's disk when that pull began, where it was known.
    pub room_before_pull: BTreeMap<ResourceId, u64>,
    /// What the servers of models last said, by the service that each of them is. Absent: not asked yet.
    pub model_servers: BTreeMap<ResourceId, ModelServer>,
    /// What is known of the size of models that are to be pulled.
    pub model_sizes: BTreeMap<ResourceId, ModelSize>,
    /// When we saw each of our containers run, and end.
    pub sightings: BTreeMap<ContainerId, Sighting>,
    /// Paths of the host that troubled services mount. Absent: not looked at.
    pub files: BTreeMap<String, FileStamp>,
    /// What is at the places of files that are ours, by path. Absent: not looked at yet.
    pub own_files: BTreeMap<String, ObservedFile>,
    /// systemd itself.
    pub systemd: SystemdFacts,
    /// Units by name. Absent: not looked at yet.
    pub units: BTreeMap<String, ObservedUnit>,
    /// When we saw each unit run, and end; by name.
    pub unit_sightings: BTreeMap<String, Sighting>,
    /// Folders of data that a unit is about to leave, and those that it is about to use. Absent: not looked at.
    pub folders: BTreeMap<String, FolderFacts>,
    /// Host ports that a service is about to take and that processes hold. Absent: not looked at.
    pub held_ports: BTreeMap<ResourceId, Vec<HeldPort>>,
    /// The machine itself, as of the last look.
    pub machine: HostFacts,
    /// Its GPUs, as of the last look.
    pub gpus: GpuFacts,
    /// Processes that run the program of a service ([`crate::plan::programs`]), as of the last listing.
    pub instances: Vec<Instance>,
    /// Who listens on the port that a unit is asked at. Absent: not looked up.
    pub listening: BTreeMap<ResourceId, Listening>,
    /// Whether a unit, the first, was reached from inside a container, the second. Absent: not tried.
    pub reached: BTreeMap<(ResourceId, ResourceId), Reached>,
    /// The line in which a run said that it has found no GPU, by service. Absent: its log was not read.
    pub log_words: BTreeMap<ResourceId, LogWords>,
    /// Whether a container reaches the GPUs that it was given, by service. Absent: not looked.
    pub sights: BTreeMap<ResourceId, Sighted>,
    /// What was found out when a unit last failed, or lost a stage of its readiness.
    pub diagnoses: BTreeMap<ResourceId, UnitDiagnosis>,
}

/// What a path of the host was like: another stamp is another content, owner or mode. Opaque; only compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FileStamp(pub String);

/// The engine's reachability. A broken socket makes nothing dead.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EngineFacts {
    /// A complete listing has been read since the engine was last out of reach.
    pub listed: bool,
    /// Why it is out of reach, if it is.
    pub away: Option<String>,
    /// When the event stream was last lost.
    pub lost_at: Option<Timestamp>,
    /// How it is set up, as of its last answer.
    pub settings: Option<EngineSettings>,
}
/// A network as listed.
#[derive(Debug, Clone, PartialEq)]
pub struct ObservedNetwork {
    /// Engine id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Our labels.
    pub owner: Option<Ownership>,
    /// Compose's labels.
    pub compose: Option<ComposeOrigin>,
    /// Driver.
    pub driver: String,
    /// No route to the outside.
    pub internal: bool,
}

/// A volume as listed.
#[derive(Debug, Clone, PartialEq)]
pub struct ObservedVolume {
    /// Name.
    pub name: String,
    /// Our labels.
    pub owner: Option<Ownership>,
    /// Compose's labels.
    pub compose: Option<ComposeOrigin>,
    /// Driver.
    pub driver: String,
}

/// An image that was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObservedImage {
    /// Not on this machine.
    Absent,
    /// On this machine.
    Present {
        /// Content id.
        id: String,
        /// It declares a HEALTHCHECK.
        has_healthcheck: bool,
    },
}

/// Bytes of a pull in progress.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullProgress {
    /// Bytes downloaded.
    pub done: u64,
    /// Bytes in all, as far as the registry said.
    pub total: u64,
}

/// A complete listing of what the engine has: three calls.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Listing {
    /// When it was asked for.
    pub as_of: AsOf,
    /// All containers, in any state.
    pub containers: Vec<ObservedContainer>,
    /// All networks.
    pub networks: Vec<ObservedNetwork>,
    /// All volumes.
    pub volumes: Vec<ObservedVolume>,
}

/// A fresh look at one resource.
#[derive(Debug, Clone, PartialEq)]
pub enum Observed {
    /// All containers as listed; those of the resource looked at with `detail`.
    Containers(AsOf, Vec<ObservedContainer>),
    /// All networks, and all containers as listed: who is on them decides what can be done to one.
    Networks(AsOf, Vec<ObservedNetwork>, Vec<ObservedContainer>),
    /// The volume of that name, if there is one.
    Volume(String, Option<ObservedVolume>),
    /// The image of that reference.
    Image(String, ObservedImage),
    /// What is at that path now.
    File(String, ObservedFile),
    /// Units by name, as systemd has them now.
    Units(Vec<(String, ObservedUnit)>),
}

impl ObservedState {
    /// Takes in a complete listing.
    pub fn record_listing(&mut self, listing: Listing, instance: &InstanceId, now: Timestamp) {
        self.record_networks(listing.as_of, listing.networks);
        self.volumes = listing.volumes.into_iter().map(|volume| (volume.name.clone(), volume)).collect();
        self.record_containers(listing.as_of, listing.containers, instance, now);
        self.engine.listed = true;
        self.engine.away = None;
    }

    /// Takes in a fresh look at one resource.
    pub fn record(&mut self, observed: Observed, instance: &InstanceId, now: Timestamp) {
        match observed {
            Observed::Containers(as_of, containers) => {
                self.record_containers(as_of, containers, instance, now);
            }
            Observed::Networks(as_of, networks, containers) => {
                self.record_networks(as_of, networks);
                self.record_containers(as_of, containers, instance, now);
            }
            Observed::Volume(name, Some(volume)) => drop(self.volumes.insert(name, volume)),
            Observed::Volume(name, None) => drop(self.volumes.remove(&name)),
            Observed::Image(reference, image) => drop(self.images.insert(reference, image)),
            Observed::File(path, file) => drop(self.own_files.insert(path, file)),
            Observed::Units(units) => self.record_units(units, now),
        }
    }

    fn record_units(&mut self, units: Vec<(String, ObservedUnit)>, now: Timestamp) {
        self.systemd.away = None;
        for (name, unit) in units {
            let sighting = self.unit_sightings.entry(name.clone()).or_default();
            sighting.record(unit.invocation.clone(), unit.active.is_alive(), now);
            match self.units.get(&name) {
                Some(younger) if younger.as_of > unit.as_of => {}
                Some(_) | None => drop(self.units.insert(name, unit)),
            }
        }
    }

    /// systemd cannot be reached. What was last seen stays, marked as such.
    pub fn record_systemd_loss(&mut self, reason: String) {
        self.systemd.away = Some(reason);
    }

    /// We are about to start `container`.
    pub fn record_start(&mut self, container: &ContainerId, now: Timestamp) {
        self.sightings.entry(container.clone()).or_default().started_by_us = Some(now);
    }

    /// The engine cannot be reached. What was last seen stays, marked as such: nothing is dead because a socket is.
    pub fn record_loss(&mut self, reason: String, now: Timestamp) {
        if self.engine.away.is_none() {
            self.engine.lost_at = Some(now);
        }
        self.engine.listed = false;
        self.engine.away = Some(reason);
    }

    fn record_networks(&mut self, as_of: AsOf, networks: Vec<ObservedNetwork>) {
        if as_of >= self.networks_as_of {
            self.networks = networks;
            self.networks_as_of = as_of;
        }
    }

    fn record_containers(
        &mut self,
        as_of: AsOf,
        containers: Vec<ObservedContainer>,
        instance: &InstanceId,
        now: Timestamp,
    ) {
        let is_newest = as_of >= self.containers_as_of;
        self.containers_as_of = self.containers_as_of.max(as_of);
        let mut known: BTreeMap<ContainerId, ObservedContainer> = std::mem::take(&mut self.owned)
            .into_values()
            .flatten()
            .map(|container| (container.id.clone(), container))
            .collect();
        if is_newest {
            self.foreign.clear();
        }
        let mut ours = Vec::new();
        for mut container in containers {
            if !container.is_owned_by(instance) {
                self.foreign.extend(Some(container).filter(|_| is_newest));
                continue;
            }
            match known.remove(&container.id) {
                Some(younger) if younger.as_of > container.as_of => ours.push(younger),
                // A younger listing has it no more.
                None if !is_newest => {}
                before => {
                    keep_detail(&mut container, before);
                    ours.push(container);
                }
            }
        }
        // What is not in the listing is gone, unless it was seen after that.
        ours.extend(known.into_values().filter(|other| other.as_of > as_of));
        let mut present = BTreeSet::new();
        for container in ours {
            present.insert(container.id.clone());
            let sighting = self.sightings.entry(container.id.clone()).or_default();
            sighting.record(container.incarnation(), container.state.is_alive(), now);
            if let Some(owner) = &container.owner {
                self.owned.entry(owner.resource.clone()).or_default().push(container);
            }
        }
        for members in self.owned.values_mut() {
            members.sort_by(|a, b| a.id.cmp(&b.id));
        }
        self.sightings.retain(|id, _| present.contains(id));
        let owned = &self.owned;
        self.probes.retain(|(id, _), _| id.kind != crate::Kind::Container || owned.contains_key(id));
    }
}

/// A listing shows neither limits nor start time: what an earlier inspect of the same state showed is kept.
fn keep_detail(container: &mut ObservedContainer, before: Option<ObservedContainer>) {
    let Some(before) = before else { return };
    if container.detail.is_some() || before.state != container.state {
        return;
    }
    container.detail = before.detail;
    for (name, endpoint) in &mut container.networks {
        let old = before.networks.get(name).filter(|old| old.network_id == endpoint.network_id);
        endpoint.aliases = endpoint.aliases.take().or_else(|| old?.aliases.clone());
    }
}
