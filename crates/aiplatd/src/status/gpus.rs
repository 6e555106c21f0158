//! The GPUs, for those who ask.

use aiplat_api::v1::{GpuProcessStatus, GpuStatus, GpuUserStatus};
use aiplat_core::{
    observed::{Driver, GpuId, ObservedGpu, Recovery, Vendor},
    plan::{self, GpuReport, GpuUser, World},
};

/// Those that there are, and those that were.
pub(super) fn gpus(world: &World<'_>) -> Vec<GpuStatus> {
    let seen = &world.observed.gpus.gpus;
    let answers = matches!(world.observed.gpus.nvidia, Driver::Ready { .. });
    plan::gpu_reports(world)
        .into_iter()
        .map(|(id, report)| gpu(&id, seen.get(&id), report, answers))
        .collect()
}

fn gpu(id: &GpuId, seen: Option<&ObservedGpu>, report: GpuReport, driver_answers: bool) -> GpuStatus {
    let GpuReport { conditions, users, known } = report;
    let user = |GpuUser { service, runs, reserved, used }| GpuUserStatus {
        service: service.key().to_owned(),
        runs,
        reserved,
        used,
    };
    let used_by: Vec<GpuUserStatus> = users.into_iter().map(user).collect();
    let Some(it) = seen else {
        let message = conditions.iter().map(|it| it.message.clone()).collect::<Vec<_>>().join("; ");
        let known = known.unwrap_or_default();
        return GpuStatus {
            id: id.0.clone(),
            name: known.name,
            bus: known.bus,
            vendor: vendor(Vendor::Nvidia),
            gone: true,
            message,
            used_by,
            conditions,
            ..GpuStatus::default()
        };
    };
    let processes = it.processes.as_ref().map(|processes| {
        let process = |it: &aiplat_core::observed::GpuProcess| GpuProcessStatus {
            pid: it.pid,
            memory: it.memory,
            name: it.name.clone(),
        };
        processes.iter().map(process).collect()
    });
    // What changes by itself is not told for what it was when the driver last answered.
    let is_stale = it.vendor == Vendor::Nvidia && !driver_answers;
    let now = |value: Option<u32>| value.filter(|_| !is_stale);
    GpuStatus {
        id: id.0.clone(),
        name: it.name.clone(),
        vendor: vendor(it.vendor),
        index: it.index,
        bus: it.bus.clone(),
        parent: it.parent.as_ref().map(|parent| parent.0.clone()),
        memory: it.memory.map(|memory| memory.total),
        memory_free: it.memory.map(|memory| memory.free).filter(|_| !is_stale),
        compute_capability: it.compute_capability.map(|(major, minor)| format!("{major}.{minor}")),
        utilisation: now(it.utilisation),
        temperature: now(it.temperature),
        power: now(it.power),
        power_limit: it.power_limit,
        processes: processes.filter(|_| !is_stale),
        lost: it.lost.is_some(),
        gone: false,
        used_by,
        conditions,
        message: if is_stale {
            "the driver cannot be asked: `aiplatctl describe host`".to_owned()
        } else {
            complaint(it)
        },
    }
}

fn vendor(vendor: Vendor) -> String {
    match vendor {
        Vendor::Nvidia => "nvidia",
        Vendor::Amd => "amd",
        Vendor::Intel => "intel",
    }
    .to_owned()
}

/// What is wrong with a GPU; empty when nothing is.
fn complaint(it: &ObservedGpu) -> String {
    let wanted = match it.recovery {
        None | Some(Recovery::None) => None,
        Some(Recovery::Reset) => Some("the driver asks for a reset of it".to_owned()),
        Some(Recovery::Reboot) => Some("the driver asks for a restart of the machine".to_owned()),
        Some(Recovery::DrainPeers) => {
            Some("the driver asks to take the work off it that talks to other GPUs".to_owned())
        }
        Some(Recovery::DrainAndReset) => {
            Some("the driver asks to take all work off it and to reset it".to_owned())
        }
        Some(Recovery::Other(number)) => {
            Some(format!("the driver asks for recovery action {number}, which this aiplatd does not know"))
        }
    };
    let lost = it.lost.as_ref().map(|said| format!("it does not answer any more: {said}"));
    [lost, wanted].into_iter().flatten().collect::<Vec<_>>().join("; ")
}
