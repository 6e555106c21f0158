//! GPUs: who gets which, and what is not started for want of one.
//!
//! A service keeps the GPUs that it was once given: it is never moved to others because of what happens to a GPU, only by an
//! edit or a person's word. A running service is left alone whatever becomes of its GPU's driver.

mod access;
mod fit;
mod memory;
mod report;
mod sight;
mod usage;
mod xid;

pub use report::{GpuReport, GpuUser, gpu_reports};
pub use sight::{SightCheck, sight_due};
pub(super) use sight::{lost, regained};
pub use usage::{LogCheck, log_due, word_of_cpu};
pub use xid::xid_sentence;

use std::collections::{BTreeMap, BTreeSet};

use super::{Entry, Gate, Members, Step, World, machine};
use crate::{
    ResourceId,
    condition::{Condition, ConditionType, Reason},
    ledger::{AssignedGpus, RefusedGpus},
    observed::{Driver, Given, GivenGpus, GpuId, ObservedContainer, ObservedGpu, Vendor},
    spec::{DeviceRequest, GpuRequest, WantedGpus, WrittenGpus},
};

/// Why a service gets no GPU, or is not started with the one that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Closed {
    reason: Reason,
    message: String,
}

impl Closed {
    fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    fn gate(self) -> Gate {
        Gate::Gpu { reason: self.reason, message: self.message }
    }
}

/// What comes of a service's requests.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Allocation {
    /// It asks for none.
    NotAsked,
    /// It has these, or is to have them.
    Granted(BTreeSet<GpuId>),
    /// It does without.
    Without(Closed),
    /// It is not started.
    Closed(Closed),
}

/// What a container is to be made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Grant {
    /// For its label.
    pub(super) given: GivenGpus,
    /// In place of its requests for GPUs; `None`: as they are written.
    pub(super) requests: Option<Vec<DeviceRequest>>,
}

fn requests<'a>(world: &World<'a>, id: &ResourceId) -> &'a [GpuRequest] {
    world.desired.service(id).map(|spec| spec.gpus()).unwrap_or_default()
}

fn is_optional(requests: &[GpuRequest]) -> bool {
    requests.iter().all(|request| request.needs.optional)
}

/// What a person reads of what was asked: by this an assignment is known to be of these requests.
fn asked(requests: &[GpuRequest]) -> String {
    let word = |request: &GpuRequest| match &request.wanted {
        WantedGpus::All => "all".to_owned(),
        WantedGpus::Count(count) => count.to_string(),
        WantedGpus::These(names) => names.join(","),
    };
    requests.iter().map(word).collect::<Vec<_>>().join(" and ")
}

/// The GPUs that `id` was given, as far as anybody knows: the ledger, or else the label of its container.
fn remembered(world: &World<'_>, id: &ResourceId) -> BTreeSet<GpuId> {
    let requests = requests(world, id);
    if let Some(record) = world.ledger.get(id).map(|record| &record.gpus).filter(|it| it.is_known()) {
        let same = record.asked == asked(requests);
        return if same { record.gpus.clone() } else { BTreeSet::new() };
    }
    let Some(spec) = world.desired.containers.get(id) else { return BTreeSet::new() };
    let owned = world.observed.owned.get(id).map(Vec::as_slice).unwrap_or_default();
    let of_this_file = |container: &&ObservedContainer| {
        container.fingerprint().is_some_and(|print| print.matches(&spec.runtime))
    };
    let given = owned.iter().filter(of_this_file).find_map(|container| match &given(container)?.gpus {
        Given::These(gpus) => Some(gpus.clone()),
        Given::None | Given::All => None,
    });
    given.unwrap_or_default()
}

fn given(container: &ObservedContainer) -> Option<&GivenGpus> {
    container.owner.as_ref()?.gpus.as_ref()
}

/// What comes of the requests of `id`. All services are gone through in the order of their names, those that have GPUs already
/// first: who is planned first makes no difference.
fn allocation(world: &World<'_>, id: &ResourceId) -> Allocation {
    if requests(world, id).is_empty() {
        return Allocation::NotAsked;
    }
    let mut users: Vec<(&ResourceId, BTreeSet<GpuId>)> = world
        .desired
        .services()
        .filter(|(_, spec)| !spec.gpus().is_empty())
        .map(|(id, _)| (id, remembered(world, id)))
        .collect();
    users.sort_by_key(|(id, has)| (has.is_empty(), (*id).clone()));
    let mut load: BTreeMap<GpuId, (u64, usize)> = BTreeMap::new();
    for (user, has) in users {
        let allocation = allocate(world, user, &has, &load);
        if user == id {
            return allocation;
        }
        let vram = requests(world, user).iter().filter_map(|request| request.needs.vram).max().unwrap_or(0);
        if let Allocation::Granted(gpus) = allocation {
            for gpu in gpus {
                let (bytes, users) = load.entry(gpu).or_default();
                (*bytes, *users) = (bytes.saturating_add(vram), *users + 1);
            }
        }
    }
    Allocation::NotAsked
}

fn allocate(
    world: &World<'_>,
    id: &ResourceId,
    has: &BTreeSet<GpuId>,
    load: &BTreeMap<GpuId, (u64, usize)>,
) -> Allocation {
    let requests = requests(world, id);
    let chosen = driver(world).and_then(|()| fit::choose(world, requests, has, load));
    // What the engine cannot hand out is not given, whatever there is.
    let given = chosen.and_then(|gpus| match world.desired.containers.contains_key(id) {
        true => {
            access::grant(world, id, requests, gpus.clone()).and_then(|_| refused(world, id)).map(|()| gpus)
        }
        false => Ok(gpus),
    });
    match given {
        Ok(gpus) => Allocation::Granted(gpus),
        // Whoever has not looked yet does not know that there is none.
        Err(closed) if is_optional(requests) && closed.reason != Reason::NotObserved => {
            Allocation::Without(closed)
        }
        Err(Closed { reason: Reason::GPUMissing, message }) => Allocation::Closed(Closed::new(
            Reason::GPUMissing,
            format!("{message}; with `optional: true` it would start without"),
        )),
        Err(closed) => Allocation::Closed(closed),
    }
}

/// That the engine has refused to start `id` with a GPU, for as long as it is set up as it was then.
fn refused(world: &World<'_>, id: &ResourceId) -> Result<(), Closed> {
    let known = world.ledger.get(id).and_then(|record| record.gpus.refused.as_ref());
    match known.filter(|it| it.set_up == access::set_up(world)) {
        Some(it) if is_optional(requests(world, id)) => {
            Err(Closed::new(Reason::GPURuntimeMissing, it.said.clone()))
        }
        Some(_) | None => Ok(()),
    }
}

/// What is to be remembered now: a start with a GPU was refused, by an engine that is set up like this, and the service may do
/// without. Nobody else tries again what an edit alone can cure.
pub(super) fn refusal(world: &World<'_>, id: &ResourceId) -> Option<Entry> {
    let record = world.ledger.get(id)?;
    let failure = record.failure.as_ref().filter(|it| it.action == "start" && it.retry_at.is_none())?;
    let spec = world.desired.containers.get(id).filter(|_| is_optional(requests(world, id)))?;
    let members = Members::of(world, id, spec);
    let failed = members.current.into_iter().chain(members.candidate).find(|it| !it.state.is_alive())?;
    let had_gpu = given(failed).is_some_and(|given| given.gpus != Given::None);
    let refused = RefusedGpus { said: failure.message.clone(), set_up: access::set_up(world) };
    (had_gpu && record.gpus.refused.as_ref() != Some(&refused)).then_some(Entry::GpuRefused(refused))
}

/// Why nothing is started on a GPU; nothing where all is well with it.
pub(super) fn unwell(world: &World<'_>, id: &GpuId, gpu: &ObservedGpu) -> Option<(Reason, String)> {
    fit::unwell(world, id, gpu).map(|closed| (closed.reason, closed.message))
}

/// Whether anything can begin on NVIDIA's GPUs at all.
fn driver(world: &World<'_>) -> Result<(), Closed> {
    let gpus = &world.observed.gpus;
    match &gpus.nvidia {
        Driver::Ready { .. } => Ok(()),
        Driver::NotObserved => Err(Closed::new(Reason::NotObserved, "the GPUs have not been looked at yet")),
        Driver::Absent => {
            let other = gpus.gpus.values().find(|gpu| gpu.vendor != Vendor::Nvidia);
            let message = match other {
                Some(other) => format!(
                    "it asks for a GPU; the engine hands out NVIDIA's alone, and this machine has {}: give it the device \
                     files instead, as in `devices: [/dev/dri]` (AMD's ROCm needs /dev/kfd besides)",
                    other.name.as_deref().unwrap_or("one of another vendor")
                ),
                None => "it asks for a GPU, and this machine has none".to_owned(),
            };
            Err(Closed::new(Reason::GPUMissing, message))
        }
        Driver::NoLibrary { .. }
        | Driver::NotLoaded { .. }
        | Driver::NoPermission { .. }
        | Driver::Mismatch(_)
        | Driver::Hung { .. }
        | Driver::Failed { .. } => {
            let (reason, message) =
                machine::driver_trouble(&gpus.nvidia).unwrap_or((Reason::GPUUnknown, String::new()));
            Err(Closed::new(reason, message))
        }
    }
}

/// While driver and library disagree, or the driver hangs, nothing of the GPU's is ended: it would not come back.
pub(super) fn freeze(world: &World<'_>, id: &ResourceId) -> Option<Gate> {
    if requests(world, id).is_empty() {
        return None;
    }
    match &world.observed.gpus.nvidia {
        Driver::Mismatch(_) | Driver::Hung { .. } => driver(world).err().map(Closed::gate),
        Driver::NotObserved
        | Driver::Absent
        | Driver::NoLibrary { .. }
        | Driver::NotLoaded { .. }
        | Driver::NoPermission { .. }
        | Driver::Failed { .. }
        | Driver::Ready { .. } => None,
    }
}

/// What keeps the service from being started, as far as GPUs go. `container`: the one that would be started.
pub(super) fn before_start(
    world: &World<'_>,
    id: &ResourceId,
    container: Option<&ObservedContainer>,
) -> Option<Gate> {
    let closed = match allocation(world, id) {
        Allocation::NotAsked | Allocation::Without(_) => return None,
        Allocation::Closed(closed) => Some(closed),
        Allocation::Granted(gpus) => {
            let stale = container.and_then(given).filter(|given| given.cdi);
            stale
                .and_then(|given| access::unusable(world, &given.gpus))
                .or_else(|| memory::short(world, id, &gpus))
        }
    };
    closed.map(Closed::gate)
}

/// What a container of `id` is made with; nothing where it asks for no GPU.
pub(super) fn grant(world: &World<'_>, id: &ResourceId) -> Result<Option<Grant>, Gate> {
    let gpus = match allocation(world, id) {
        Allocation::NotAsked => return Ok(None),
        Allocation::Closed(closed) => return Err(closed.gate()),
        Allocation::Without(_) => {
            let given = GivenGpus { gpus: Given::None, cdi: false };
            let others = access::without_gpus(world, id);
            return Ok(Some(Grant { given, requests: Some(others) }));
        }
        Allocation::Granted(gpus) => gpus,
    };
    access::grant(world, id, requests(world, id), gpus).map(Some).map_err(Closed::gate)
}

/// Why `container` is not as the file asks, as far as GPUs go, though it was made from it: it was made without one, or has others
/// than an edit or a person has asked for. What becomes of a GPU under a running container is no reason.
pub(super) fn outdated(world: &World<'_>, id: &ResourceId, container: &ObservedContainer) -> Option<String> {
    let given = &given(container)?.gpus;
    if sight::is_to_be_made_anew(world, id, container) {
        return Some("gpus (it does not reach them, and a restart was in vain)".to_owned());
    }
    match (allocation(world, id), given) {
        (Allocation::Granted(_), Given::None) => Some("gpus (made without one, and there is one)".to_owned()),
        (Allocation::Granted(gpus), Given::These(has)) if gpus != *has => {
            let is_there =
                |gpu: &GpuId| world.observed.gpus.gpus.get(gpu).is_some_and(|it| it.lost.is_none());
            let by_choice = !container.state.is_alive() || has.iter().all(is_there);
            let short = |gpus: &BTreeSet<GpuId>| gpus.iter().map(GpuId::short).collect::<Vec<_>>().join(", ");
            by_choice.then(|| format!("gpus ({} instead of {})", short(&gpus), short(has)))
        }
        // What it had is gone, and it may do without.
        (Allocation::Without(_), Given::All | Given::These(_)) if !container.state.is_alive() => {
            Some("gpus (there is none to be had, and it may do without)".to_owned())
        }
        (
            Allocation::NotAsked | Allocation::Granted(_) | Allocation::Without(_) | Allocation::Closed(_),
            _,
        ) => None,
    }
}

/// `step` of the service `id`, with what there is to say of the GPU that it has.
pub(super) fn apply(world: &World<'_>, id: &ResourceId, step: Step) -> Step {
    step.saying(usage::condition(world, id))
}

/// What is to be remembered of a container that is made with `given`.
pub(super) fn assigned(world: &World<'_>, id: &ResourceId, given: &GivenGpus) -> AssignedGpus {
    let gpus = match &given.gpus {
        Given::These(gpus) => gpus.clone(),
        // What it had before it had to do without, it gets again.
        Given::None => remembered(world, id),
        Given::All => BTreeSet::new(),
    };
    let known = world.ledger.get(id).map(|record| record.gpus.clone()).unwrap_or_default();
    AssignedGpus { gpus, asked: asked(requests(world, id)), given_up: false, ..known }
}

/// Whether `id` waits for a GPU of its own that is not there any more: what a person can give up.
pub(super) fn waits_for_its_own(world: &World<'_>, id: &ResourceId) -> bool {
    let reason = match allocation(world, id) {
        Allocation::Closed(closed) | Allocation::Without(closed) => closed.reason,
        // It waits for others on this one; there may be room on another.
        Allocation::Granted(gpus) => {
            return runs_with(world, id).is_none() && memory::short(world, id, &gpus).is_some();
        }
        Allocation::NotAsked => return false,
    };
    matches!(reason, Reason::GPUGone | Reason::GPULost | Reason::GPUUnhealthy)
}

/// Whether it has what it asks for; nothing where it asks for none. `container`: the one that runs, or would be started.
pub(super) fn condition(
    world: &World<'_>,
    id: &ResourceId,
    container: Option<&ObservedContainer>,
    alive: bool,
) -> Option<Condition> {
    let kind = ConditionType::GPUAllocated;
    let abnormal = |closed: Closed| Some(Condition::abnormal(kind, closed.reason, closed.message));
    let present = |gpus: &BTreeSet<GpuId>| {
        let message = gpus.iter().map(|gpu| named(world, gpu)).collect::<Vec<_>>().join(", ");
        Some(Condition { message, ..Condition::normal(kind, Reason::Present) })
    };
    if let Some(lost) = sight::condition(world, id) {
        return Some(lost);
    }
    match allocation(world, id) {
        Allocation::NotAsked => None,
        // At its own start aiplatd has not looked yet; that says nothing of what runs.
        Allocation::Closed(closed) if closed.reason == Reason::NotObserved => {
            (!alive).then(|| Condition::unknown(kind, closed.reason, closed.message))
        }
        Allocation::Closed(closed) => abnormal(closed),
        Allocation::Without(closed) => {
            let has = container.and_then(given).is_some_and(|given| given.gpus != Given::None);
            let message = if alive && has {
                closed.message
            } else {
                format!("it runs without a GPU, as `optional` allows: {}", closed.message)
            };
            abnormal(Closed { message, ..closed })
        }
        Allocation::Granted(gpus) if alive => present(&gpus),
        Allocation::Granted(gpus) => {
            // What is still to be made has to be handed its GPUs, too.
            let refused = container.is_none().then(|| grant(world, id).err()).flatten();
            match refused.or_else(|| before_start(world, id, container)) {
                Some(Gate::Gpu { reason, message }) => Some(Condition::abnormal(kind, reason, message)),
                Some(_) | None => present(&gpus),
            }
        }
    }
}

/// `GPU-8f3a1c2e (NVIDIA GeForce RTX 4090)`.
fn named(world: &World<'_>, id: &GpuId) -> String {
    let name = world.observed.gpus.gpus.get(id).and_then(|gpu: &ObservedGpu| gpu.name.as_ref());
    match name {
        Some(name) => format!("{} ({name})", id.short()),
        None => id.short().to_owned(),
    }
}

/// The GPUs that `id` runs with, if it runs.
fn runs_with(world: &World<'_>, id: &ResourceId) -> Option<BTreeSet<GpuId>> {
    let all = || nvidia(world).map(|(id, _)| id.clone()).collect();
    if let Some(spec) = world.desired.units.get(id) {
        let unit = world.observed.units.get(&spec.unit)?;
        return unit.active.is_alive().then(all);
    }
    let spec = world.desired.containers.get(id)?;
    let current = Members::of(world, id, spec).current.filter(|it| it.state.is_alive())?;
    match &given(current)?.gpus {
        Given::None => None,
        Given::All => Some(all()),
        Given::These(gpus) => Some(gpus.clone()),
    }
}

/// NVIDIA's GPUs, and their slices instead of those that are divided.
fn nvidia<'a>(world: &World<'a>) -> impl Iterator<Item = (&'a GpuId, &'a ObservedGpu)> {
    let gpus = &world.observed.gpus.gpus;
    gpus.iter().filter(|(_, gpu)| gpu.vendor == Vendor::Nvidia && gpu.mig != Some(true))
}

/// Whether aiplatd chooses the GPUs of these requests.
fn is_chosen(requests: &[GpuRequest]) -> bool {
    requests.iter().all(|request| request.written == WrittenGpus::Request)
}
