//! Whether a container still reaches the GPUs that it was given. A reload of systemd can take them from it (with the engine's
//! cgroup driver `systemd`, NVIDIA/nvidia-container-toolkit#48), and nobody says so: the host's own driver is fine, and the
//! service computes on the CPU, ten times slower.

use std::time::Duration;

use super::{Allocation, allocation, freeze, given, requests};
use crate::{
    ResourceId,
    condition::{Condition, ConditionType, Reason},
    observed::{ContainerId, ContainerState, Driver, Given, Incarnation, ObservedContainer, Sight},
    plan::{Entry, Members, World},
};

/// Asking takes a process inside the container, 50 ms of a CPU: once a minute, and whenever systemd has read its files anew.
const AGAIN: Duration = Duration::from_secs(60);
/// NVIDIA's hook has done its work before the process starts; a program that has just been loaded asks for the GPU itself.
const SETTLED: Duration = Duration::from_secs(3);

/// A look from inside a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SightCheck {
    /// The container.
    pub container: ContainerId,
    /// Its run.
    pub run: Incarnation,
}

/// The container of `id` that was given GPUs and runs, and its run.
fn runs<'a>(world: &World<'a>, id: &ResourceId) -> Option<(&'a ObservedContainer, Incarnation)> {
    let spec = world.desired.containers.get(id).filter(|_| !requests(world, id).is_empty())?;
    let current = Members::of(world, id, spec).current.filter(|it| it.state == ContainerState::Running)?;
    let has_some = given(current).is_some_and(|given| given.gpus != Given::None);
    Some((current, current.incarnation().filter(|_| has_some)?))
}

/// The look that is due for `id`. None while the host's own driver does not answer: what is wrong is known then.
#[must_use]
pub fn sight_due(world: &World<'_>, id: &ResourceId) -> Option<SightCheck> {
    if !matches!(world.observed.gpus.nvidia, Driver::Ready { .. }) {
        return None;
    }
    let (current, run) = runs(world, id)?;
    let since = world.observed.sightings.get(&current.id).and_then(|sighting| sighting.running_since);
    if since.is_some_and(|since| world.now.since(since) < SETTLED) {
        return None;
    }
    let known = world.observed.sights.get(id).filter(|known| known.run == run);
    let due = known.is_none_or(|known| {
        let reloaded = world.observed.systemd.reloaded_at.is_some_and(|at| at > known.at);
        reloaded || world.now.since(known.at) >= AGAIN
    });
    due.then(|| SightCheck { container: current.id.clone(), run })
}

/// What the present run of `id` has said when it could not reach its GPUs.
pub(super) fn blind<'a>(world: &World<'a>, id: &ResourceId) -> Option<(&'a ObservedContainer, &'a str)> {
    let (current, run) = runs(world, id)?;
    let known = world.observed.sights.get(id).filter(|known| known.run == run)?;
    match &known.sight {
        Sight::Blind(said) => Some((current, said)),
        Sight::Sees(_) | Sight::Untried(_) => None,
    }
}

/// What is done for a container that does not reach its GPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cure {
    /// It is restarted: it gets its devices anew.
    Restart,
    /// It was, in vain: it is made anew.
    Recreate,
    /// That was in vain, too.
    None,
}

fn cure(world: &World<'_>, id: &ResourceId, container: &ObservedContainer) -> Cure {
    let restarted = world.ledger.get(id).and_then(|record| record.gpus.restarted.as_ref());
    match restarted {
        None => Cure::Restart,
        // Remembered before it is done: this is the run that is about to end.
        Some((_, run)) if container.incarnation().as_ref() == Some(run) => Cure::Restart,
        Some((restarted, _)) if *restarted == container.id => Cure::Recreate,
        Some(_) => Cure::None,
    }
}

/// Whether the run of `id` is to end, for it does not reach its GPUs, and what it has said. Not where the host cannot give them to
/// it either.
pub(in crate::plan) fn lost(world: &World<'_>, id: &ResourceId) -> Option<String> {
    let (container, said) = blind(world, id)?;
    let helps = cure(world, id, container) == Cure::Restart
        && freeze(world, id).is_none()
        && matches!(allocation(world, id), Allocation::Granted(_));
    helps.then(|| said.to_owned())
}

/// Whether `container` is to be made anew, for a restart was in vain.
pub(super) fn is_to_be_made_anew(world: &World<'_>, id: &ResourceId, container: &ObservedContainer) -> bool {
    // Not `runs`: who `current` is depends on this.
    let known = world.observed.sights.get(id);
    let is_blind = known.is_some_and(|known| {
        matches!(known.sight, Sight::Blind(_)) && container.incarnation().as_ref() == Some(&known.run)
    });
    is_blind && cure(world, id, container) == Cure::Recreate
}

/// What is to be remembered now: it sees its GPUs again, and what was done for it counts no more.
pub(in crate::plan) fn regained(world: &World<'_>, id: &ResourceId) -> Option<Entry> {
    let record = world.ledger.get(id)?;
    record.gpus.restarted.as_ref()?;
    let (_, run) = runs(world, id)?;
    let known = world.observed.sights.get(id).filter(|known| known.run == run)?;
    let sees = matches!(known.sight, Sight::Sees(_));
    sees.then_some(Entry::GpuLost(None))
}

/// What is said of a container that does not reach its GPUs.
pub(super) fn condition(world: &World<'_>, id: &ResourceId) -> Option<Condition> {
    let (container, said) = blind(world, id)?;
    let next = match cure(world, id, container) {
        Cure::Restart => "it is restarted",
        Cure::Recreate => "a restart was in vain, it is made anew",
        Cure::None => "it was restarted and made anew in vain",
    };
    let message =
        format!("it does not reach its GPU any more, though the host does ({said}): {next}; {}", root(world));
    Some(Condition::abnormal(ConditionType::GPUAllocated, Reason::GPULost, message))
}

/// What keeps it from happening again.
fn root(world: &World<'_>) -> String {
    let engine = world.observed.engine.settings.as_ref();
    let links = world.observed.machine.nvidia_tools.as_ref().and_then(|tools| tools.dev_char_links);
    let by_systemd = engine.is_none_or(|engine| engine.cgroup_driver == "systemd");
    let knows_cdi = engine.is_some_and(|engine| engine.cdi_dirs.is_some());
    if !by_systemd {
        return "`sudo dmesg | grep -i -e nvrm -e xid` may say why".to_owned();
    }
    let cdi = "`sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml` lets aiplatd hand GPUs out in a way that lasts";
    let char = "`sudo nvidia-ctk system create-dev-char-symlinks --create-all` keeps a reload of systemd from taking it";
    match (links, knows_cdi) {
        (Some(true), true) => cdi.to_owned(),
        (Some(true), false) => {
            "an engine of version 25 or newer with the Container Device Interface hands GPUs out in a way that lasts".to_owned()
        }
        (Some(false) | None, true) => format!("{char}, or {cdi}"),
        (Some(false) | None, false) => char.to_owned(),
    }
}
