//! Room on the disks that the platform lives on: who lives where, who is short of it, and what is not done for that.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Gate, Step, World, model};
use crate::{
    Kind, ResourceId,
    action::Action,
    bytes,
    condition::{Condition, ConditionType, Reason, Status},
    observed::{FileSystem, PullProgress, Room},
    spec::{DiskPressure, Mount, MountSource, VolumeSpec},
};

/// Nobody can do anything with less: a file system with so little left is full.
const FULL_BYTES: u64 = 32 << 20;

/// How short of room a file system is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pressure {
    /// Less than `host.disk_pressure.warn` is free.
    Low,
    /// Less than `host.disk_pressure.stop_pulls` is free.
    StopsPulls,
    /// Nothing is.
    Full,
}

/// Bytes below which a file system of this size is full.
fn full_below(room: Room) -> u64 {
    FULL_BYTES.min(room.total / 100)
}

/// A file system that is short of room.
#[derive(Debug, Clone, Copy)]
pub(super) struct Short<'a> {
    pub(super) mount: &'a str,
    file_system: &'a FileSystem,
    room: Room,
    pub(super) pressure: Pressure,
}

/// How short of room `file_system` is; `None`: it is not, or it is not known.
#[must_use]
pub fn pressure(file_system: &FileSystem, limits: DiskPressure) -> Option<Pressure> {
    let room = file_system.room.filter(|room| room.total > 0)?;
    // What cannot be written anyway (squashfs, a CD) is full by nature.
    if file_system.read_only {
        return None;
    }
    let free = room.free_permille();
    if room.free < full_below(room) || (room.inodes > 0 && room.inodes_free == 0) {
        Some(Pressure::Full)
    } else if free < limits.stop_pulls {
        Some(Pressure::StopsPulls)
    } else if free < limits.warn {
        Some(Pressure::Low)
    } else {
        None
    }
}

impl std::fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { mount, file_system: FileSystem { source, kind, .. }, room, pressure } = self;
        let verb = if *pressure == Pressure::Full { "is full" } else { "is short of room" };
        write!(f, "the file system {mount} ({kind} on {source}) {verb}: ")?;
        if room.lacks_inodes_first() {
            // However much room there is in bytes: each file takes one.
            write!(f, "{} of {} inodes are free", room.inodes_free, room.inodes)
        } else {
            write!(f, "{} of {} are free", bytes::human(room.free), bytes::human(room.total))
        }
    }
}

/// The paths that something of the platform lives at, and what: the engine, and services by name.
#[must_use]
pub fn places(world: &World<'_>) -> BTreeMap<String, BTreeSet<String>> {
    let mut places = host_paths(world);
    if let Some(root) = engine_root(world) {
        let users = places.entry(root.to_owned()).or_default();
        users.insert("the engine".to_owned());
        users.extend(world.desired.containers.keys().map(|id| id.key().to_owned()));
    }
    for runner in model::servers(world) {
        if let Some(folder) = model::folder(world, runner) {
            places.entry(folder).or_default().insert(runner.key().to_owned());
        }
    }
    places
}

/// The paths of the machine that services write to, by the names of those: what is mounted as it is, or as a volume.
#[must_use]
pub fn host_paths(world: &World<'_>) -> BTreeMap<String, BTreeSet<String>> {
    let mut paths: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for id in world.desired.containers.keys() {
        for path in host_paths_of(world, id) {
            paths.entry(path).or_default().insert(id.key().to_owned());
        }
    }
    paths
}

pub(super) fn engine_root<'a>(world: &World<'a>) -> Option<&'a str> {
    world.observed.engine.settings.as_ref().map(|settings| settings.data_root.as_str())
}

/// Where the data of a service are: the host's paths that it may write to, and the engine's folder for its volumes and its own
/// layer. A unit writes where its own file says, which is not looked up but for models.
fn places_of(world: &World<'_>, id: &ResourceId) -> BTreeSet<String> {
    if !world.desired.containers.contains_key(id) {
        return BTreeSet::new();
    }
    host_paths_of(world, id).into_iter().chain(engine_root(world).map(str::to_owned)).collect()
}

fn host_paths_of(world: &World<'_>, id: &ResourceId) -> BTreeSet<String> {
    let Some(spec) = world.desired.containers.get(id) else { return BTreeSet::new() };
    let written = spec.runtime.mounts.iter().filter(|mount| !mount.read_only);
    let path = |mount: &Mount| match &mount.source {
        MountSource::Bind { path, .. } => Some(path.clone()),
        MountSource::Volume { volume, .. } => bound(world.desired.volumes.get(volume)?).map(str::to_owned),
        MountSource::File { .. } | MountSource::Anonymous | MountSource::Tmpfs { .. } => None,
    };
    written.filter_map(path).collect()
}

/// The path of the machine that a volume stands for: the driver `local` with `o: bind`.
fn bound(spec: &VolumeSpec) -> Option<&str> {
    let option = |name: &str| spec.driver_opts.get(name).map(String::as_str);
    let binds = option("o")?.split(',').any(|word| word.trim() == "bind");
    option("device").filter(|_| binds && is_local(spec.driver.as_deref()))
}

fn is_local(driver: Option<&str>) -> bool {
    driver.is_none_or(|driver| driver == "local")
}

/// Where the data of the volume that the engine calls `name` are on this machine; `None`: in memory, on another machine, or
/// nobody can tell.
#[must_use]
pub fn volume_place(world: &World<'_>, name: &str) -> Option<String> {
    let observed = world.observed.volumes.get(name).map(|volume| volume.driver.as_str());
    let spec = world.desired.volumes.values().find(|spec| spec.host_name == name);
    if !is_local(observed.or(spec.and_then(|spec| spec.driver.as_deref()))) {
        return None;
    }
    match spec {
        Some(spec) if !spec.driver_opts.is_empty() => bound(spec).map(str::to_owned),
        Some(_) | None => engine_root(world).map(str::to_owned),
    }
}

fn short<'a>(world: &World<'a>, path: &str) -> Option<Short<'a>> {
    let (mount, file_system) = world.observed.machine.file_system_of(path)?;
    let pressure = pressure(file_system, world.desired.host.disk_pressure)?;
    Some(Short { mount, file_system, room: file_system.room?, pressure })
}

/// All that are short of room, the worst first, each once: one that is mounted in several places by the first of them.
pub(super) fn all_short<'a>(world: &World<'a>) -> Vec<Short<'a>> {
    let mut found: BTreeMap<&str, Short<'a>> = BTreeMap::new();
    for path in world.observed.machine.mounted_on.keys() {
        if let Some(short) = short(world, path) {
            // A source that is no device (`tmpfs`, `overlay`) is another one each time.
            let source = short.file_system.source.as_str();
            let key = if source.starts_with('/') { source } else { short.mount };
            let known = found.entry(key).or_insert(short);
            if short.mount < known.mount {
                *known = short;
            }
        }
    }
    let mut found: Vec<Short<'a>> = found.into_values().collect();
    found.sort_by_key(|short| std::cmp::Reverse(short.pressure));
    found
}

/// Pulls wait while the engine's disk is short of room: half an image helps nobody, and takes the room of those who run.
/// So does one that was ended because its image does not fit.
pub(super) fn no_pull(world: &World<'_>, image: &ResourceId) -> Option<Gate> {
    let root = engine_root(world)?;
    if let Some(short) = short(world, root).filter(|short| short.pressure >= Pressure::StopsPulls) {
        let message = format!("nothing is pulled, for {short}; {FREES_IMAGES}");
        return Some(Gate::DiskPressure { reason: Reason::DiskPressure, message });
    }
    let needed = world.ledger.get(image)?.failure.as_ref()?.room?;
    let disk = Disk::of(world, root).filter(|disk| disk.usable() < needed)?;
    let message = format!(
        "it does not fit: it needs {} or more, and {disk}; it is pulled by itself when there is room; {FREES_IMAGES}",
        bytes::human(needed)
    );
    Some(Gate::DiskPressure { reason: Reason::DiskFull, message })
}

/// What frees room where the engine keeps its images.
const FREES_IMAGES: &str =
    "`docker system df` shows what takes it, `docker image prune` frees images that nobody uses";

/// A pull whose image does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoRoom {
    /// Of which image.
    pub image: ResourceId,
    /// Bytes that must be free for another try.
    pub needed: u64,
    /// The sentence.
    pub message: String,
}

/// The pull to end, if what is still to come of all that are under way does not fit on the engine's disk: the one with the most
/// to come. Registries tell sizes compressed, and layer by layer: what fits by this may yet turn out not to.
#[must_use]
pub fn pull_without_room(world: &World<'_>) -> Option<NoRoom> {
    // Models are kept elsewhere.
    let pulls: Vec<(&ResourceId, &PullProgress)> =
        world.observed.pulls.iter().filter(|(id, _)| id.kind == Kind::Image).collect();
    let to_come = |pull: &PullProgress| pull.total.saturating_sub(pull.done);
    let (image, pull) = pulls.iter().copied().max_by_key(|(_, pull)| to_come(pull))?;
    let disk = Disk::of(world, engine_root(world)?)?;
    let of_all = pulls.iter().map(|(_, pull)| to_come(pull)).fold(0, u64::saturating_add);
    if of_all <= disk.usable() {
        return None;
    }
    let others = if pulls.len() > 1 { " (others are being pulled there too)" } else { "" };
    let message = format!(
        "{} does not fit: at least {} of it are still to come, and more unpacked, for registries tell sizes compressed, and \
         {disk}{others}; its pull is ended before it fills the disk; {FREES_IMAGES}",
        image.key(),
        bytes::human(to_come(pull))
    );
    // What it has taken beyond what was told is what it unpacks to. That others write there too must not make it huge.
    let before = world.observed.room_before_pull.get(image).copied().unwrap_or(disk.room.free);
    let unpacked = before.saturating_sub(disk.room.free).saturating_sub(pull.done).min(2 * pull.total);
    Some(NoRoom { image: image.clone(), needed: pull.total.saturating_add(unpacked), message })
}

/// A file system that answers, for a sentence.
struct Disk<'a> {
    mount: &'a str,
    file_system: &'a FileSystem,
    room: Room,
}

impl<'a> Disk<'a> {
    fn of(world: &World<'a>, path: &str) -> Option<Self> {
        let (mount, file_system) = world.observed.machine.file_system_of(path)?;
        let room = file_system.room.filter(|room| room.total > 0)?;
        Some(Self { mount, file_system, room })
    }

    /// What can be written before it is full.
    fn usable(&self) -> u64 {
        self.room.free.saturating_sub(full_below(self.room))
    }
}

impl std::fmt::Display for Disk<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { mount, file_system: FileSystem { source, kind, .. }, room } = self;
        write!(f, "{} are free on the file system {mount} ({kind} on {source})", bytes::human(room.free))
    }
}

/// A full file system that `id` writes to. As a rule none is full at all, and this is asked in every pass.
fn full_place<'a>(world: &World<'a>, id: &ResourceId) -> Option<Short<'a>> {
    let limits = world.desired.host.disk_pressure;
    let is_full = |it: &FileSystem| pressure(it, limits) == Some(Pressure::Full);
    if !world.observed.machine.file_systems.values().any(is_full) {
        return None;
    }
    let places = places_of(world, id);
    places.iter().filter_map(|path| short(world, path)).find(|short| short.pressure == Pressure::Full)
}

/// The same for models that are kept in `folder`.
pub(super) fn no_model(world: &World<'_>, folder: &str) -> Option<String> {
    let short = short(world, folder).filter(|short| short.pressure >= Pressure::StopsPulls)?;
    Some(format!(
        "no model is pulled to {folder}, for {short}; `aiplatctl get models` shows how large each is, `aiplatctl model rm MODEL` \
         removes one"
    ))
}

/// The step of a service that lives on a full disk says so, while it runs too: what it cannot write fails in ways of its own.
pub(super) fn apply(world: &World<'_>, id: &ResourceId, mut step: Step) -> Step {
    match id.kind {
        Kind::Container => {
            let Some(full) = full_place(world, id) else { return step };
            let message = format!("{full}; {} writes there", id.key());
            let condition = Condition::abnormal(ConditionType::StorageReady, Reason::StorageFull, message);
            match step.conditions.iter_mut().find(|it| it.kind == ConditionType::StorageReady) {
                Some(known) if known.status == Status::False => {}
                Some(known) => *known = condition,
                None => step.conditions.insert(0, condition),
            }
            step
        }
        Kind::Image => match (&step.action, no_pull(world, id)) {
            (Some(planned), Some(gate)) if matches!(planned.action, Action::PullImage { .. }) => {
                let conditions = std::mem::take(&mut step.conditions);
                Step::blocked(world, vec![gate]).with(conditions)
            }
            _ => step,
        },
        Kind::Network | Kind::Volume | Kind::File | Kind::Unit | Kind::Model | Kind::Host => step,
    }
}
