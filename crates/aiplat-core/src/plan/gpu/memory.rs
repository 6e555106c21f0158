//! The memory of GPUs: what services have said that they take of it, and what is taken, added up before a start.

use std::collections::BTreeSet;

use super::{Allocation, Closed, allocation, named, requests, runs_with};
use crate::{
    ResourceId, bytes,
    condition::Reason,
    observed::{ContainerState, GpuId, ObservedGpu, Owner},
    plan::{Members, World, ended, gate},
};

/// What `id` says it takes of each of its GPUs.
pub(super) fn declared(world: &World<'_>, id: &ResourceId) -> Option<u64> {
    requests(world, id).iter().filter_map(|request| request.needs.vram).max()
}

/// A share of a GPU's memory, and whose it is.
struct Share {
    who: String,
    bytes: u64,
}

/// What does not fit on one of `gpus`, and who has it.
pub(super) fn short(world: &World<'_>, id: &ResourceId, gpus: &BTreeSet<GpuId>) -> Option<Closed> {
    let wanted = declared(world, id)?;
    gpus.iter().find_map(|gpu| on(world, id, gpu, wanted, true))
}

/// `queued`: those count that are about to start, too.
fn on(world: &World<'_>, id: &ResourceId, gpu: &GpuId, wanted: u64, queued: bool) -> Option<Closed> {
    let observed = world.observed.gpus.gpus.get(gpu)?;
    let name = named(world, gpu);
    let Some(memory) = observed.memory else {
        let message = format!(
            "{name} does not say how much memory is free, and {} is to be reserved on it",
            bytes::human(wanted)
        );
        return Some(Closed::new(Reason::GPUUnknown, message));
    };
    let reserved = reservations(world, id, gpu, observed, queued);
    let foreign = foreign(world, gpu, observed);
    let ours: u64 = reserved.iter().map(|share| share.bytes).sum();
    let others: u64 = foreign.iter().map(|share| share.bytes).sum();
    let left = memory.total.saturating_sub(ours).saturating_sub(others);
    if wanted <= left {
        return None;
    }
    let mut holders: Vec<Share> =
        reserved.into_iter().chain(foreign).filter(|share| share.bytes > 0).collect();
    holders.sort_by_key(|share| std::cmp::Reverse(share.bytes));
    let held: Vec<String> =
        holders.iter().take(4).map(|share| format!("{} {}", share.who, bytes::human(share.bytes))).collect();
    let message = if held.is_empty() {
        format!(
            "it takes {} of {name}, which has {} in all: lower its `vram`",
            bytes::human(wanted),
            bytes::human(memory.total)
        )
    } else {
        format!(
            "it takes {} of {name}, of which {} of {} are left: {}; stop one of them, or lower what `vram` says",
            bytes::human(wanted),
            bytes::human(left),
            bytes::human(memory.total),
            held.join(", ")
        )
    };
    Some(Closed::new(Reason::GPUMemoryTaken, message))
}

/// What other services have of `gpu`: what they declare, or what they use, whichever is more. Those count that run, and those
/// that are about to and come first.
fn reservations(
    world: &World<'_>,
    id: &ResourceId,
    gpu: &GpuId,
    observed: &ObservedGpu,
    queued: bool,
) -> Vec<Share> {
    let others = world.desired.services().filter(|(other, spec)| *other != id && !spec.gpus().is_empty());
    let share = |other: &ResourceId| {
        let used = used_by(world, other, observed);
        let declared = declared(world, other).unwrap_or(0);
        let runs = runs_with(world, other);
        let comes = || {
            let first = queued && declared > 0 && other < id;
            // One that waits for memory itself holds none back.
            let fits = || on(world, other, gpu, declared, false).is_none();
            first
                && matches!(allocation(world, other), Allocation::Granted(gpus) if gpus.contains(gpu))
                && fits()
                && is_about_to_start(world, other)
        };
        let holds = match &runs {
            Some(gpus) => gpus.contains(gpu),
            None => comes(),
        };
        holds.then(|| Share { who: format!("{} has", other.key()), bytes: declared.max(used) })
    };
    others.filter_map(|(other, _)| share(other)).collect()
}

/// What the processes of `id` use of a GPU.
pub(super) fn used_by(world: &World<'_>, id: &ResourceId, observed: &ObservedGpu) -> u64 {
    let processes = observed.processes.iter().flatten();
    processes.filter(|it| owner(world, &it.owner).as_ref() == Some(id)).filter_map(|it| it.memory).sum()
}

/// Whether the driver lists a process of `id` on a GPU.
pub(super) fn has_process(world: &World<'_>, id: &ResourceId, observed: &ObservedGpu) -> bool {
    observed.processes.iter().flatten().any(|it| owner(world, &it.owner).as_ref() == Some(id))
}

/// The service that a process belongs to.
fn owner(world: &World<'_>, owner: &Owner) -> Option<ResourceId> {
    match owner {
        Owner::Container(container) => {
            let mut owned = world.observed.owned.iter();
            owned
                .find(|(_, members)| members.iter().any(|member| member.id == *container))
                .map(|(id, _)| id.clone())
        }
        Owner::Unit(unit) => {
            world.desired.units.iter().find(|(_, spec)| spec.unit == *unit).map(|(id, _)| id.clone())
        }
        Owner::Nothing => None,
    }
}

/// What those have that are no services of the file. Of a driver that names no processes all that is taken beyond what services
/// have declared is theirs.
fn foreign(world: &World<'_>, gpu: &GpuId, observed: &ObservedGpu) -> Vec<Share> {
    let Some(memory) = observed.memory else { return Vec::new() };
    let taken = memory.total.saturating_sub(memory.free);
    let running = world.desired.services().filter(|(_, spec)| !spec.gpus().is_empty());
    let ours: u64 = running
        .filter(|(id, _)| runs_with(world, id).is_some_and(|gpus| gpus.contains(gpu)))
        .map(|(id, _)| match &observed.processes {
            Some(processes) if processes.iter().all(|it| it.memory.is_some()) => used_by(world, id, observed),
            Some(_) | None => declared(world, id).unwrap_or(0),
        })
        .sum();
    let mut left = taken.saturating_sub(ours);
    let mut shares = Vec::new();
    for process in observed.processes.iter().flatten() {
        if owner(world, &process.owner).is_some() {
            continue;
        }
        let bytes = process.memory.unwrap_or(0).min(left);
        left -= bytes;
        let who = match &process.owner {
            Owner::Container(id) => format!("container {} has", id.short()),
            Owner::Unit(unit) => format!("{unit} has"),
            Owner::Nothing if process.name.is_empty() => format!("pid {} has", process.pid),
            Owner::Nothing => format!("{} (pid {}) has", process.name, process.pid),
        };
        shares.push(Share { who, bytes });
    }
    // Whatever the driver keeps for itself is there on an idle card, too.
    shares.push(Share { who: "the driver and others have".to_owned(), bytes: left });
    shares
}

/// Nothing but its memory keeps `id` from being started in the next pass.
fn is_about_to_start(world: &World<'_>, id: &ResourceId) -> bool {
    let record = world.ledger.get(id);
    let kept = record.is_some_and(|it| it.failure.is_some() || it.orders.stopped.is_some())
        || world.ledger.suspension(id, world.now).is_some();
    if kept {
        return false;
    }
    if let Some(spec) = world.desired.units.get(id) {
        return gate::dependencies(world, &spec.dependencies).is_empty();
    }
    let Some(spec) = world.desired.containers.get(id) else { return false };
    let Some(current) = Members::of(world, id, spec).current else { return false };
    let may_run = matches!(current.state, ContainerState::Created | ContainerState::Exited)
        && matches!(ended::ended(world, id, spec, current), ended::Ended::Start(_));
    may_run && gate::before_start_but_gpus(world, id, spec).is_empty()
}
