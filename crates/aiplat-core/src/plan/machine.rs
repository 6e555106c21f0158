//! `host/local`: the machine itself. Nothing is done to it: it is looked at, and said what of it matters.

use super::{Readiness, Step, World, gpu, room};
use crate::{
    ResourceId,
    condition::{Condition, ConditionType, Reason},
    observed::{Driver, HostFacts, Mismatch, ObservedState, Vendor},
    tier::Capacity,
};

pub(super) fn plan(world: &World<'_>) -> Step {
    let conditions =
        [Some(disk_pressure(world)), reboot_required(world), driver_mismatch(world), gpu_ready(world)];
    Step::converged().with(conditions.into_iter().flatten().collect())
}

/// It is there, whatever is wrong with it.
pub(super) fn readiness() -> Readiness {
    Readiness::ready(Reason::AsDesired)
}

/// Whether it has been looked at.
#[must_use]
pub fn is_known(machine: &HostFacts) -> bool {
    *machine != HostFacts::default()
}

fn disk_pressure(world: &World<'_>) -> Condition {
    let kind = ConditionType::DiskPressure;
    let short = room::all_short(world);
    if world.observed.machine.file_systems.values().all(|file_system| file_system.room.is_none()) {
        return Condition::unknown(kind, Reason::NotObserved, "no file system has been looked at yet");
    }
    let Some(worst) = short.first() else { return Condition::normal(kind, Reason::RoomEnough) };
    let reason =
        if worst.pressure == room::Pressure::Full { Reason::StorageFull } else { Reason::DiskPressure };
    let all: Vec<String> = short.iter().map(ToString::to_string).collect();
    Condition::abnormal(kind, reason, all.join("; "))
}

fn reboot_required(world: &World<'_>) -> Option<Condition> {
    let kind = ConditionType::RebootRequired;
    let by = world.observed.machine.reboot_required_by.clone();
    // Whatever the distribution says: without a restart, or the module loaded anew, nothing on the GPU can begin.
    let for_gpu =
        matches!(world.observed.gpus.nvidia, Driver::Mismatch(_)).then(|| "NVIDIA's driver".to_owned());
    if by.is_none() && for_gpu.is_none() {
        return None;
    }
    let by: Vec<String> = for_gpu.into_iter().chain(by.into_iter().flatten()).collect();
    let message =
        || format!("the machine asks for a restart, for {}; until then it runs on as it is", by.join(", "));
    Some(match by.is_empty() {
        true => Condition::normal(kind, Reason::AsDesired),
        false => Condition::abnormal(kind, Reason::RebootRequired, message()),
    })
}

fn driver_mismatch(world: &World<'_>) -> Option<Condition> {
    let kind = ConditionType::GPUDriverMismatch;
    let driver = &world.observed.gpus.nvidia;
    if let Driver::Mismatch(mismatch) = driver {
        return Some(Condition::abnormal(kind, Reason::GPUDriverMismatch, mismatch_sentence(mismatch)));
    }
    driver.version().map(|_| Condition::normal(kind, Reason::AsDesired))
}

/// What is wrong, with the versions and the package manager's own line, and what cures it.
fn mismatch_sentence(mismatch: &Mismatch) -> String {
    let Mismatch { module, library, history } = mismatch;
    let version = |of: &Option<String>| of.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
    let since = history.as_ref().map(|line| format!(" ({line})")).unwrap_or_default();
    format!(
        "the loaded NVIDIA kernel module{} and the library{} do not belong together{since}: what runs on the GPU runs on, and \
         nothing else can begin; restart the machine, or, with nobody on the GPU, load the module anew: `sudo rmmod nvidia_uvm \
         nvidia_drm nvidia_modeset nvidia && sudo modprobe nvidia`",
        version(module),
        version(library)
    )
}

/// Said only where there is a GPU, or something of one.
fn gpu_ready(world: &World<'_>) -> Option<Condition> {
    let kind = ConditionType::GPUReady;
    let gpus = &world.observed.gpus;
    if let Some((reason, message)) = driver_trouble(&gpus.nvidia) {
        return Some(Condition::abnormal(kind, reason, message));
    }
    match &gpus.nvidia {
        Driver::Absent if !gpus.gpus.is_empty() => Some(Condition::normal(kind, Reason::Present)),
        Driver::Ready { .. } => {
            let unwell = gpus.gpus.iter().find_map(|(id, gpu)| gpu::unwell(world, id, gpu));
            Some(match unwell.or_else(|| gone(world)) {
                Some((reason, message)) => Condition::abnormal(kind, reason, message),
                None => Condition::normal(kind, Reason::Present),
            })
        }
        Driver::Absent
        | Driver::NotObserved
        | Driver::NoLibrary { .. }
        | Driver::NotLoaded { .. }
        | Driver::NoPermission { .. }
        | Driver::Mismatch(_)
        | Driver::Hung { .. }
        | Driver::Failed { .. } => None,
    }
}

/// A GPU that was in the machine, and is not.
fn gone(world: &World<'_>) -> Option<(Reason, String)> {
    let known = &world.ledger.get(&ResourceId::local())?.inventory;
    let (id, gone) = known.iter().find_map(|(id, it)| Some((id, it.gone.as_ref()?)))?;
    let message = format!(
        "{} is gone {}: `sudo dmesg | grep -i -e nvrm -e xid` says what the driver says of it",
        id.short(),
        gone.since
    );
    Some((Reason::GPUGone, message))
}

/// What is wrong with NVIDIA's driver, and what cures it; nothing where it answers, or nobody has looked, or there is no card.
pub(super) fn driver_trouble(driver: &Driver) -> Option<(Reason, String)> {
    match driver {
        Driver::NotObserved | Driver::Absent | Driver::Ready { .. } => None,
        Driver::NoLibrary { card } => Some((
            Reason::GPUDriverMissing,
            format!(
                "there is an NVIDIA card at {card}, and no libnvidia-ml.so.1: install the driver (Ubuntu: `sudo ubuntu-drivers \
                 install`; Debian: `sudo apt install nvidia-driver`), or leave it unused"
            ),
        )),
        Driver::NotLoaded { message } => Some((
            Reason::GPUDriverMissing,
            format!(
                "NVIDIA's library is installed, and its kernel module answers not ({message}): `sudo modprobe nvidia`; if that \
                 fails, `sudo dmesg | grep -i nvidia` says why"
            ),
        )),
        Driver::NoPermission { message } => Some((
            Reason::GPUNoPermission,
            format!(
                "aiplatd may not open NVIDIA's devices ({message}): look at `ls -l /dev/nvidia*`, and at DeviceAllow= in \
                 `systemctl cat aiplatd`"
            ),
        )),
        Driver::Mismatch(mismatch) => Some((Reason::GPUDriverMismatch, mismatch_sentence(mismatch))),
        Driver::Hung { call } => Some((
            Reason::GPUHung,
            format!(
                "NVIDIA's driver has not answered {call}, as `nvidia-smi` would not return either: what runs on the GPU is left \
                 alone; `sudo dmesg | grep -i -e nvrm -e xid` says why, and a restart of the machine cures it"
            ),
        )),
        Driver::Failed { message } => Some((
            Reason::GPUUnknown,
            format!("NVIDIA's driver cannot be asked ({message}); asked again every half minute"),
        )),
    }
}

/// What the tiers are decided by, if all of it is known: a GPU that cannot be asked is not none, and a card whose driver is not
/// loaded (any more) is still there. `known` is what the machine was judged by so far.
#[must_use]
pub fn capacity(observed: &ObservedState, known: Option<Capacity>) -> Option<Capacity> {
    let gpus = &observed.gpus;
    let of_others = gpus.gpus.values().filter(|gpu| gpu.vendor != Vendor::Nvidia);
    let largest_of_others = of_others.filter_map(|gpu| gpu.memory).map(|memory| memory.total).max();
    let had_gpu = known.is_some_and(|known| known.vram > 0);
    let vram = match &gpus.nvidia {
        Driver::NoLibrary { .. } | Driver::NotLoaded { .. } if had_gpu => return None,
        Driver::Absent | Driver::NoLibrary { .. } | Driver::NotLoaded { .. } => {
            largest_of_others.unwrap_or(0)
        }
        Driver::Ready { .. } => {
            let whole = gpus.gpus.values().filter(|gpu| gpu.parent.is_none());
            let sizes: Option<Vec<u64>> = whole.map(|gpu| Some(gpu.memory?.total)).collect();
            sizes?.into_iter().max().unwrap_or(0)
        }
        Driver::NotObserved
        | Driver::NoPermission { .. }
        | Driver::Mismatch(_)
        | Driver::Hung { .. }
        | Driver::Failed { .. } => return None,
    };
    let cpus = observed.machine.cpu.as_ref()?.threads;
    Some(Capacity { vram, ram: observed.machine.memory?.total, cpus })
}
