//! What there is to say of each GPU: who has it, and what is wrong with it.

use std::collections::BTreeMap;

use super::{Allocation, allocation, driver, fit, memory, runs_with};
use crate::{
    ResourceId,
    condition::{Condition, ConditionType, Reason},
    inventory::KnownGpu,
    observed::{Driver, GpuId, ObservedGpu, Vendor},
    plan::World,
};

/// One GPU, there or gone.
#[derive(Debug, Clone, PartialEq)]
pub struct GpuReport {
    /// `Present`, `DriverOk`, `Healthy`.
    pub conditions: Vec<Condition>,
    /// The services that have it, or are to have it.
    pub users: Vec<GpuUser>,
    /// Of one that is gone: what it was.
    pub known: Option<KnownGpu>,
}

/// A service that has a GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuUser {
    /// Which.
    pub service: ResourceId,
    /// It runs.
    pub runs: bool,
    /// Bytes that it says it takes.
    pub reserved: Option<u64>,
    /// Bytes that its processes use; `None`: the driver does not say.
    pub used: Option<u64>,
}

/// All GPUs that there are, and those that were.
#[must_use]
pub fn gpu_reports(world: &World<'_>) -> BTreeMap<GpuId, GpuReport> {
    let allocations: Vec<(&ResourceId, Allocation)> = world
        .desired
        .services()
        .filter(|(_, spec)| !spec.gpus().is_empty())
        .map(|(id, _)| (id, allocation(world, id)))
        .collect();
    let users = |gpu: &GpuId, observed: &ObservedGpu| -> Vec<GpuUser> {
        let user = |(service, allocation): &(&ResourceId, Allocation)| {
            let runs = runs_with(world, service).is_some_and(|gpus| gpus.contains(gpu));
            let given = matches!(allocation, Allocation::Granted(gpus) if gpus.contains(gpu));
            (runs || given).then(|| GpuUser {
                service: (*service).clone(),
                runs,
                reserved: memory::declared(world, service),
                used: observed.processes.is_some().then(|| memory::used_by(world, service, observed)),
            })
        };
        allocations.iter().filter_map(user).collect()
    };
    let there = world.observed.gpus.gpus.iter().map(|(id, gpu)| {
        let report = GpuReport { conditions: conditions(world, id, gpu), users: users(id, gpu), known: None };
        (id.clone(), report)
    });
    let inventory = world.ledger.get(&ResourceId::local()).map(|record| &record.inventory);
    let gone = inventory.into_iter().flatten().filter_map(|(id, known)| {
        let gone = known.gone.as_ref()?;
        let absent = Condition::abnormal(
            ConditionType::Present,
            Reason::GPUGone,
            format!("it is gone {}", gone.since),
        );
        Some((
            id.clone(),
            GpuReport { conditions: vec![absent], users: Vec::new(), known: Some(known.clone()) },
        ))
    });
    there.chain(gone).collect()
}

fn conditions(world: &World<'_>, id: &GpuId, gpu: &ObservedGpu) -> Vec<Condition> {
    let present = Condition::normal(ConditionType::Present, Reason::Present);
    // Nothing is asked of the other vendors' drivers that they could answer wrongly.
    if gpu.vendor != Vendor::Nvidia {
        return vec![present];
    }
    let driver_ok = match (&world.observed.gpus.nvidia, driver(world)) {
        (Driver::Ready { .. }, _) => Condition::normal(ConditionType::DriverOk, Reason::Present),
        (_, Err(closed)) => Condition::abnormal(ConditionType::DriverOk, closed.reason, closed.message),
        (_, Ok(())) => Condition::unknown(ConditionType::DriverOk, Reason::NotObserved, ""),
    };
    let healthy = match fit::unwell(world, id, gpu) {
        Some(closed) => Condition::abnormal(ConditionType::Healthy, closed.reason, closed.message),
        None if driver_ok.is_normal() => Condition::normal(ConditionType::Healthy, Reason::Present),
        None => Condition::unknown(ConditionType::Healthy, Reason::NotObserved, "its driver cannot be asked"),
    };
    vec![present, driver_ok, healthy]
}
