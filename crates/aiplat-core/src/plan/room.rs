//! Room on the disks that the platform lives on: who lives where, who is short of it, and what is not done for that.

use std::collections::{BTreeMap, BTreeSet};

use super::{Gate, Step, World, model};
use crate::{
    Kind, ResourceId,
    action::Action,
    bytes,
    condition::{Condition, ConditionType, Reason, Status},
    observed::{FileSystem, Room},
    spec::MountSource,
};

/// Nobody can do anything with less: a file system with so little left is full.
const FULL_BYTES: u64 = 32 << 20;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Grade {
    /// Less than `host.disk_pressure.warn` is free.
    Low,
    /// Less than `host.disk_pressure.stop_pulls` is free.
    StopsPulls,
    /// Nothing is.
    Full,
}

/// A file system that is short of room.
#[derive(Debug, Clone, Copy)]
pub(super) struct Short<'a> {
    pub(super) mount: &'a str,
    file_system: &'a FileSystem,
    room: Room,
    pub(super) grade: Grade,
}

impl std::fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { mount, file_system: FileSystem { source, kind, .. }, room, grade } = self;
        let scarce_inodes = Room { inodes: 0, ..*room }.free_permille() > room.free_permille();
        let verb = if *grade == Grade::Full { "is full" } else { "is short of room" };
        write!(f, "the file system {mount} ({kind} on {source}) {verb}: ")?;
        if scarce_inodes {
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
    let mut places: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    if let Some(root) = engine_root(world) {
        places.entry(root.to_owned()).or_default().insert("the engine".to_owned());
    }
    for (id, _) in world.desired.services() {
        for path in places_of(world, id) {
            places.entry(path).or_default().insert(id.key().to_owned());
        }
    }
    for runner in model::servers(world) {
        if let Some(folder) = model::folder(world, runner) {
            places.entry(folder).or_default().insert(runner.key().to_owned());
        }
    }
    places
}

pub(super) fn engine_root<'a>(world: &World<'a>) -> Option<&'a str> {
    world.observed.engine.settings.as_ref().map(|settings| settings.data_root.as_str())
}

/// Where the data of a service are: the host's paths that it may write to, and the engine's folder for its volumes and its own
/// layer. A unit writes where its own file says, which is not looked up but for models.
fn places_of(world: &World<'_>, id: &ResourceId) -> BTreeSet<String> {
    let Some(spec) = world.desired.containers.get(id) else { return BTreeSet::new() };
    let paths =
        spec.runtime.mounts.iter().filter(|mount| !mount.read_only).filter_map(|mount| match &mount.source {
            MountSource::Bind { path, .. } => Some(path.clone()),
            MountSource::Volume { .. }
            | MountSource::File { .. }
            | MountSource::Anonymous
            | MountSource::Tmpfs { .. } => None,
        });
    paths.chain(engine_root(world).map(str::to_owned)).collect()
}

fn short<'a>(world: &World<'a>, path: &str) -> Option<Short<'a>> {
    let (mount, file_system) = world.observed.machine.file_system_of(path)?;
    let room = file_system.room.filter(|room| room.total > 0)?;
    // What cannot be written anyway (squashfs, a CD) is full by nature.
    if file_system.read_only {
        return None;
    }
    let limits = world.desired.host.disk_pressure;
    let free = room.free_permille();
    let is_full = room.free < FULL_BYTES.min(room.total / 100) || (room.inodes > 0 && room.inodes_free == 0);
    let grade = if is_full {
        Grade::Full
    } else if free < limits.stop_pulls {
        Grade::StopsPulls
    } else if free < limits.warn {
        Grade::Low
    } else {
        return None;
    };
    Some(Short { mount, file_system, room, grade })
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
    found.sort_by_key(|short| std::cmp::Reverse(short.grade));
    found
}

/// Pulls wait while the engine's disk is short of room: half an image helps nobody, and takes the room of those who run.
pub(super) fn no_pull(world: &World<'_>) -> Option<Gate> {
    let short = short(world, engine_root(world)?).filter(|short| short.grade >= Grade::StopsPulls)?;
    let message = format!(
        "nothing is pulled, for {short}; `docker system df` shows what takes it, `docker image prune` frees images that nobody uses"
    );
    Some(Gate::DiskPressure { message })
}

/// The same for models that are kept in `folder`.
pub(super) fn no_model(world: &World<'_>, folder: &str) -> Option<String> {
    let short = short(world, folder).filter(|short| short.grade >= Grade::StopsPulls)?;
    Some(format!(
        "no model is pulled to {folder}, for {short}; `aiplatctl get models` shows how large each is, `aiplatctl model rm MODEL` \
         removes one"
    ))
}

/// The step of a service that lives on a full disk says so, while it runs too: what it cannot write fails in ways of its own.
pub(super) fn apply(world: &World<'_>, id: &ResourceId, mut step: Step) -> Step {
    match id.kind {
        Kind::Container => {
            let places = places_of(world, id);
            let full =
                places.iter().filter_map(|path| short(world, path)).find(|short| short.grade == Grade::Full);
            let Some(full) = full else { return step };
            let message = format!("{full}; {} writes there", id.key());
            let condition = Condition::abnormal(ConditionType::StorageReady, Reason::StorageFull, message);
            match step.conditions.iter_mut().find(|it| it.kind == ConditionType::StorageReady) {
                Some(known) if known.status == Status::False => {}
                Some(known) => *known = condition,
                None => step.conditions.insert(0, condition),
            }
            step
        }
        Kind::Image => match (&step.action, no_pull(world)) {
            (Some(planned), Some(gate)) if matches!(planned.action, Action::PullImage { .. }) => {
                let conditions = std::mem::take(&mut step.conditions);
                Step::blocked(world, vec![gate]).with(conditions)
            }
            _ => step,
        },
        Kind::Network | Kind::Volume | Kind::File | Kind::Unit | Kind::Model | Kind::Host => step,
    }
}
