//! Which GPUs fit a request, and which of them it gets.

use std::collections::{BTreeMap, BTreeSet};

use super::{Closed, named, nvidia};
use crate::{
    bytes,
    condition::Reason,
    observed::{Driver, GpuId, ObservedGpu, Recovery},
    plan::World,
    spec::{DriverVersion, GpuNeeds, GpuRequest, WantedGpus},
};

/// The GPUs for all of `requests`: those that it has, as far as they are asked for and fit, and else those with the least `load`.
pub(super) fn choose(
    world: &World<'_>,
    requests: &[GpuRequest],
    has: &BTreeSet<GpuId>,
    load: &BTreeMap<GpuId, (u64, usize)>,
) -> Result<BTreeSet<GpuId>, Closed> {
    let mut chosen = BTreeSet::new();
    for GpuRequest { wanted, needs, .. } in requests {
        new_enough(world, needs)?;
        let fitting = || nvidia(world).filter(|(_, gpu)| misfit(gpu, needs).is_none()).map(|(id, _)| id);
        match wanted {
            WantedGpus::All => {
                let all: Vec<&GpuId> = fitting().collect();
                if all.is_empty() {
                    return Err(none_fits(world, needs, 1));
                }
                chosen.extend(all.into_iter().cloned());
            }
            // By index, or by the UUID. Whom an index has meant once it goes on meaning: a boot may number them anew.
            WantedGpus::These(_) if !has.is_empty() => chosen.extend(still_there(world, has, needs)?),
            WantedGpus::These(names) => {
                for name in names {
                    let gpu = find(world, name)?;
                    chosen.extend(still_there(world, &BTreeSet::from([gpu]), needs)?);
                }
            }
            WantedGpus::Count(count) => {
                let kept = still_there(world, has, &GpuNeeds::default())?;
                let kept = kept.into_iter().filter(|id| fitting().any(|other| other == id));
                let mut own: Vec<GpuId> = kept.filter(|id| !chosen.contains(id)).take(*count).collect();
                let mut others: Vec<&GpuId> =
                    fitting().filter(|id| !own.contains(id) && !chosen.contains(*id)).collect();
                // One with room first: what is free now counts beside what has been promised.
                let has_no_room = |id: &GpuId| {
                    let memory = world.observed.gpus.gpus.get(id).and_then(|gpu| gpu.memory);
                    needs.vram > memory.map(|memory| memory.free)
                };
                others.sort_by_key(|id| {
                    (has_no_room(id), load.get(*id).copied().unwrap_or_default(), (*id).clone())
                });
                let missing = count.saturating_sub(own.len());
                own.extend(others.into_iter().take(missing).cloned());
                if own.len() < *count {
                    return Err(none_fits(world, needs, *count));
                }
                chosen.extend(own);
            }
        }
    }
    Ok(chosen)
}

/// `has`, if all of them are still there, in their right mind, and as `needs` says.
fn still_there(
    world: &World<'_>,
    has: &BTreeSet<GpuId>,
    needs: &GpuNeeds,
) -> Result<BTreeSet<GpuId>, Closed> {
    for id in has {
        let Some(gpu) = world.observed.gpus.gpus.get(id) else { return Err(gone(world, id)) };
        if gpu.mig == Some(true) {
            let message = format!(
                "{} is divided into slices now (MIG), and is handed out no more as a whole: name a slice in `device_ids`, or \
                 undo that with `sudo nvidia-smi -i {} -mig 0`",
                named(world, id),
                id.0
            );
            return Err(Closed::new(Reason::GPUGone, message));
        }
        if let Some(closed) = unwell(world, id, gpu) {
            return Err(closed);
        }
        if let Some(why) = misfit(gpu, needs) {
            return Err(Closed::new(Reason::GPUMissing, format!("{} {why}", named(world, id))));
        }
    }
    Ok(has.clone())
}

fn gone(world: &World<'_>, id: &GpuId) -> Closed {
    let known = world.ledger.get(&crate::ResourceId::local()).and_then(|record| record.inventory.get(id));
    let (name, since) = match known {
        Some(known) => (
            known.name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default(),
            known.gone.as_ref().map(|gone| format!(" {}", gone.since)).unwrap_or_default(),
        ),
        None => (String::new(), String::new()),
    };
    Closed::new(
        Reason::GPUGone,
        format!(
            "{}{name}, which it has, is gone{since}: `nvidia-smi -L` lists those that are there, `sudo dmesg | grep -i -e nvrm -e \
             xid` what the driver says; it is moved to another only by an edit of its `gpus`, or with `aiplatctl reset-failed`",
            id.short()
        ),
    )
}

/// Nothing is started on a GPU that has failed.
pub(super) fn unwell(world: &World<'_>, id: &GpuId, gpu: &ObservedGpu) -> Option<Closed> {
    let name = named(world, id);
    if let Some(said) = &gpu.lost {
        let message = format!(
            "{name} does not answer any more ({said}); `sudo dmesg | grep -i xid` says why, and a restart of the machine may \
             bring it back"
        );
        return Some(Closed::new(Reason::GPULost, message));
    }
    let wanted = match gpu.recovery {
        None | Some(Recovery::None | Recovery::DrainPeers | Recovery::Other(_)) => return None,
        Some(Recovery::Reset | Recovery::DrainAndReset) => format!(
            "the driver asks for a reset of {name}: nothing is started on it before; when nobody uses it, `sudo nvidia-smi \
             --gpu-reset -i {}`",
            id.0
        ),
        Some(Recovery::Reboot) => {
            format!(
                "the driver asks for a restart of the machine, for {name}: nothing is started on it before"
            )
        }
    };
    Some(Closed::new(Reason::GPUUnhealthy, wanted))
}

fn find(world: &World<'_>, name: &str) -> Result<GpuId, Closed> {
    let gpus = &world.observed.gpus.gpus;
    let by_index =
        |index: u32| nvidia(world).find(|(_, gpu)| gpu.index == Some(index) && gpu.parent.is_none());
    let found = match name.parse::<u32>() {
        Ok(index) => by_index(index).map(|(id, _)| id.clone()),
        // The driver takes the beginning of a UUID for all of it.
        Err(_) => gpus.keys().find(|id| id.0 == name || (name.len() > 8 && id.0.starts_with(name))).cloned(),
    };
    found.ok_or_else(|| {
        let there: Vec<String> = nvidia(world).map(|(id, _)| named(world, id)).collect();
        let there = if there.is_empty() {
            "there is none".to_owned()
        } else {
            format!("there is {}", there.join(", "))
        };
        Closed::new(
            Reason::GPUMissing,
            format!("it asks for GPU `{name}`, which is not in this machine: {there}"),
        )
    })
}

fn new_enough(world: &World<'_>, needs: &GpuNeeds) -> Result<(), Closed> {
    let Some(least) = &needs.min_driver else { return Ok(()) };
    let Driver::Ready { version, .. } = &world.observed.gpus.nvidia else { return Ok(()) };
    match DriverVersion::parse(version) {
        Some(present) if present >= *least => Ok(()),
        Some(_) => Err(Closed::new(
            Reason::GPUMissing,
            format!(
                "it needs NVIDIA's driver {least} or newer, and {version} is loaded: install a newer one (Ubuntu: `sudo \
                 ubuntu-drivers install`; Debian: `sudo apt install nvidia-driver`) and restart the machine"
            ),
        )),
        None => Err(Closed::new(
            Reason::GPUUnknown,
            format!(
                "it needs NVIDIA's driver {least} or newer, and `{version}` is no version that can be compared"
            ),
        )),
    }
}

/// What of `needs` the GPU has not; `None`: it fits.
fn misfit(gpu: &ObservedGpu, needs: &GpuNeeds) -> Option<String> {
    if gpu.lost.is_some() {
        return Some("does not answer".to_owned());
    }
    if matches!(gpu.recovery, Some(Recovery::Reset | Recovery::DrainAndReset | Recovery::Reboot)) {
        return Some("waits for a reset".to_owned());
    }
    // What is taken must be there; what a card is called is a little more than it has.
    let least = needs.vram.max(needs.min_vram.map(|least| least - least / 16));
    if let Some(least) = least {
        match gpu.memory {
            None => return Some("does not say how much memory it has".to_owned()),
            Some(memory) if memory.total < least => {
                return Some(format!("has {} of memory", bytes::human(memory.total)));
            }
            Some(_) => {}
        }
    }
    let least = needs.min_compute_capability?;
    match gpu.compute_capability {
        None => Some("does not say its compute capability".to_owned()),
        Some(present) if present < least => {
            Some(format!("has compute capability {}.{}", present.0, present.1))
        }
        Some(_) => None,
    }
}

fn none_fits(world: &World<'_>, needs: &GpuNeeds, count: usize) -> Closed {
    let mut wanted = Vec::new();
    wanted.extend(needs.min_vram.max(needs.vram).map(|least| format!("{} of memory", bytes::human(least))));
    wanted.extend(
        needs.min_compute_capability.map(|(major, minor)| format!("compute capability {major}.{minor}")),
    );
    let with = if wanted.is_empty() { String::new() } else { format!(" with {}", wanted.join(" and ")) };
    let of = if count == 1 { "a GPU".to_owned() } else { format!("{count} GPUs") };
    let there: Vec<String> = nvidia(world)
        .map(|(id, gpu)| {
            let why = misfit(gpu, needs).unwrap_or_else(|| "fits".to_owned());
            format!("{} {why}", named(world, id))
        })
        .collect();
    let there = if there.is_empty() { "the driver lists none".to_owned() } else { there.join(", ") };
    let fit = nvidia(world).filter(|(_, gpu)| misfit(gpu, needs).is_none()).count();
    let fit = if count > 1 { format!(", and there are {fit}") } else { String::new() };
    Closed::new(Reason::GPUMissing, format!("it needs {of}{with}{fit}: {there}"))
}
