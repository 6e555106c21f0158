//! What NVIDIA's error numbers mean for whoever uses a GPU. The driver's own advice
//! (`NVML_FI_DEV_GET_GPU_RECOVERY_ACTION`) decides what is started; these are words for an event.

use super::report;
use crate::{
    observed::{GpuId, Recovery},
    plan::World,
};

/// Errors that an application makes, and that end with it. NVIDIA's device plugin for Kubernetes leaves the same ones out of
/// account; the meanings are those of NVIDIA's catalogue of XIDs.
const OF_APPLICATIONS: [(u64, &str); 6] = [
    (13, "a kernel went wrong (graphics engine exception)"),
    (31, "a page fault: a program has reached beyond its memory"),
    (43, "a program's channel was stopped"),
    (45, "a program was ended while it computed"),
    (68, "the video processor met an error in what it was given"),
    (109, "a context switch took too long"),
];

/// Errors of the card, its memory or its bus.
const OF_HARDWARE: [(u64, &str); 9] = [
    (48, "a memory error that could not be corrected"),
    (63, "a bad row of memory is put out of use at the next reset"),
    (64, "a bad row of memory could not be put out of use"),
    (74, "the link to another GPU has failed (NVLink)"),
    (79, "the GPU has fallen off the bus"),
    (92, "many memory errors were corrected"),
    (94, "a memory error was contained: the program that met it ends"),
    (95, "a memory error was not contained"),
    (119, "the GPU's system processor does not answer"),
];

/// The sentence of an event: XID `number` of `gpu`, and whom it concerns.
#[must_use]
pub fn xid_sentence(world: &World<'_>, gpu: Option<&GpuId>, number: u64) -> String {
    let of = gpu.map_or_else(|| "the driver".to_owned(), |gpu| super::named(world, gpu));
    let reports = report::gpu_reports(world);
    let users: Vec<String> = gpu
        .and_then(|gpu| reports.get(gpu))
        .map(|report| {
            report.users.iter().filter(|user| user.runs).map(|user| user.service.key().to_owned()).collect()
        })
        .unwrap_or_default();
    let whose =
        if users.is_empty() { String::new() } else { format!(", on which {} runs", users.join(" and ")) };
    let known = |table: &[(u64, &'static str)]| {
        table.iter().find(|(known, _)| *known == number).map(|(_, what)| *what)
    };
    if let Some(what) = known(&OF_APPLICATIONS) {
        return format!(
            "{of}{whose} reports XID {number}: {what}; that is an error of a program and says nothing of the card"
        );
    }
    let advice = gpu.and_then(|gpu| world.observed.gpus.gpus.get(gpu)?.recovery).and_then(advice);
    let advice = advice.unwrap_or("`sudo dmesg | grep -i xid` shows what the driver said");
    match known(&OF_HARDWARE) {
        Some(what) => format!("{of}{whose} reports XID {number}: {what}; {advice}"),
        None => {
            format!("{of}{whose} reports XID {number}, which NVIDIA's catalogue of XIDs explains; {advice}")
        }
    }
}

fn advice(recovery: Recovery) -> Option<&'static str> {
    match recovery {
        Recovery::Reset | Recovery::DrainAndReset => {
            Some("the driver asks for a reset of it: nothing more is started on it before that")
        }
        Recovery::Reboot => {
            Some("the driver asks for a restart of the machine: nothing more is started on it before that")
        }
        Recovery::None | Recovery::DrainPeers | Recovery::Other(_) => None,
    }
}
