//! Processors, memory, and what kind of machine it is.

use std::{collections::BTreeSet, path::Path};

use aiplat_core::observed::{Cpu, Memory};
use procfs_core::{CpuInfo, FromRead as _, Meminfo};

use super::text;

pub(super) fn cpu(root: &Path) -> Option<Cpu> {
    let info = CpuInfo::from_file(root.join("proc/cpuinfo")).ok()?;
    let threads = u32::try_from(info.num_cores()).ok()?;
    let field = |cpu: usize, name: &str| info.get_field(cpu, name).map(str::to_owned);
    // ARM's kernel names an implementer instead of a model.
    let model = ["model name", "Model", "Hardware", "Processor", "CPU implementer"];
    let model = model.iter().find_map(|name| field(0, name)).unwrap_or_else(|| "unknown".to_owned());
    let core = |cpu: usize| Some((field(cpu, "physical id")?, field(cpu, "core id")?));
    let cores: Option<BTreeSet<_>> = (0..info.num_cores()).map(core).collect();
    let cores = cores.filter(|cores| !cores.is_empty()).and_then(|cores| u32::try_from(cores.len()).ok());
    Some(Cpu { model, threads, cores: cores.unwrap_or(threads) })
}

pub(super) fn memory(root: &Path) -> Option<Memory> {
    let info = Meminfo::from_file(root.join("proc/meminfo")).ok()?;
    Some(Memory { total: info.mem_total, available: info.mem_available.unwrap_or(info.mem_free) })
}

/// The version of control groups at the usual place: only version 2 lists its controllers there.
pub(super) fn cgroups(root: &Path) -> Option<u8> {
    let folder = root.join("sys/fs/cgroup");
    let two = folder.join("cgroup.controllers").try_exists().ok()?;
    if two { Some(2) } else { folder.try_exists().ok()?.then_some(1) }
}

/// What systemd would print as `systemd-detect-virt`, as far as it can be told without asking the processor.
pub(super) fn virtualisation(root: &Path) -> Option<String> {
    if let Some(container) = text(&root.join("run/systemd/container")) {
        return Some(format!("container ({})", container.trim()));
    }
    if root.join(".dockerenv").exists() {
        return Some("container (docker)".to_owned());
    }
    let info = CpuInfo::from_file(root.join("proc/cpuinfo")).ok()?;
    let is_virtual = info.flags(0).is_some_and(|flags| flags.contains(&"hypervisor"));
    let dmi = |name: &str| text(&root.join("sys/class/dmi/id").join(name)).map(|text| text.trim().to_owned());
    match (is_virtual, dmi("sys_vendor")) {
        (true, Some(vendor)) => Some(format!("virtual machine ({vendor})")),
        (true, None) => Some("virtual machine".to_owned()),
        (false, _) => Some("none".to_owned()),
    }
}
