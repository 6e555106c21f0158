//! The machine, for those who ask.

use std::collections::{BTreeMap, BTreeSet};

use aiplat_api::v1::{EngineStatus, FileSystemStatus, HostStatus, StatusCondition, TierStatus};
use aiplat_core::{
    ResourceId,
    observed::{CdiSpec, Driver, EngineSettings, FileSystem, Firewall, HostFacts},
    plan::{self, World},
    tier::{Tier, default_models},
};

use super::{gpus, volumes, with_times};
use crate::state::State;

/// Nothing before the first look.
pub(super) fn host(state: &State, world: &World<'_>) -> Option<HostStatus> {
    let machine = &world.observed.machine;
    if !plan::machine_is_known(machine) {
        return None;
    }
    let id = ResourceId::local();
    let conditions = with_times(state, world.desired, &id, &plan::plan(world, &id));
    Some(status(world, machine, conditions))
}

fn status(world: &World<'_>, machine: &HostFacts, conditions: Vec<StatusCondition>) -> HostStatus {
    let tier = world.desired.host.tier.clone().map(|Tier { name, because }| TierStatus { name, because });
    let gpus = gpus::gpus(world);
    let driver = &world.observed.gpus.nvidia;
    let used_by = |mount: &str| -> Vec<String> {
        let here = |path: &String| machine.mounted_on.get(path).is_some_and(|on| on == mount);
        let users =
            plan::places(world).into_iter().filter(|(path, _)| here(path)).flat_map(|(_, users)| users);
        users.collect::<BTreeSet<String>>().into_iter().collect()
    };
    let cdi = machine.nvidia_tools.iter().flat_map(|tools| &tools.cdi_specs);
    let mut status = HostStatus {
        tier,
        cpu: machine.cpu.as_ref().map(|cpu| cpu.model.clone()),
        cores: machine.cpu.as_ref().map(|cpu| cpu.cores),
        threads: machine.cpu.as_ref().map(|cpu| cpu.threads),
        memory: machine.memory.map(|memory| memory.total),
        memory_available: machine.memory.map(|memory| memory.available),
        kernel: machine.kernel.clone(),
        distribution: machine.distribution.clone(),
        virtualisation: machine.virtualisation.clone(),
        cgroups: machine.cgroups,
        clock_synchronised: machine.clock_synchronised,
        reboot_required_by: machine.reboot_required_by.clone(),
        addresses: machine.addresses.clone(),
        routes: machine.routes.as_ref().map(|routes| {
            routes.iter().map(|it| format!("{}/{} by {}", it.network, it.prefix, it.interface)).collect()
        }),
        firewalls: machine.firewalls.as_ref().map(|firewalls| {
            firewalls.iter().map(|Firewall { name, active }| (name.clone(), *active)).collect()
        }),
        conflicting_packages: machine.conflicting_packages.clone(),
        engine: world.observed.engine.settings.as_ref().map(engine),
        file_systems: machine
            .file_systems
            .iter()
            .map(|(at, it)| file_system(world, at, used_by(at), it))
            .collect(),
        host_paths: volumes::host_paths(world),
        driver: driver_sentence(driver),
        driver_version: driver.version().map(str::to_owned),
        cdi_drivers: cdi
            .clone()
            .filter_map(|(path, spec)| Some((path.clone(), spec.driver.clone()?)))
            .collect(),
        cdi_specs: cdi.map(|(path, spec)| (path.clone(), cdi_sentence(spec))).collect(),
        gpus,
        environment: BTreeMap::new(),
        conditions,
    };
    let models = world.desired.models.values().map(|spec| spec.model.to_string()).collect::<BTreeSet<_>>();
    status.environment = environment(&status, &models.into_iter().collect::<Vec<_>>());
    status
}

fn engine(settings: &EngineSettings) -> EngineStatus {
    EngineStatus {
        version: settings.version.clone(),
        data_root: settings.data_root.clone(),
        storage_driver: settings.storage_driver.clone(),
        cgroup_driver: settings.cgroup_driver.clone(),
        runtimes: settings.runtimes.clone(),
        default_runtime: settings.default_runtime.clone(),
        live_restore: settings.live_restore,
        cdi: settings.cdi_dirs.is_some(),
        address_pools: settings
            .address_pools
            .iter()
            .map(|(base, size)| format!("{base} in /{size}"))
            .collect(),
    }
}

fn file_system(world: &World<'_>, mount: &str, used_by: Vec<String>, it: &FileSystem) -> FileSystemStatus {
    FileSystemStatus {
        mount: mount.to_owned(),
        source: it.source.clone(),
        kind: it.kind.clone(),
        total: it.room.map(|room| room.total),
        free: it.room.map(|room| room.free),
        inodes: it.room.map(|room| room.inodes),
        inodes_free: it.room.map(|room| room.inodes_free),
        medium: it.rotational.map(|turns| if turns { "disk" } else { "flash" }.to_owned()),
        read_only: it.read_only,
        pressure: plan::pressure(it, world.desired.host.disk_pressure),
        used_by,
    }
}

fn driver_sentence(driver: &Driver) -> Option<String> {
    match driver {
        Driver::NotObserved | Driver::Absent => None,
        Driver::NoLibrary { card } => Some(format!("an NVIDIA card at {card}, and no driver")),
        Driver::NotLoaded { message } => Some(format!("installed and not loaded ({message})")),
        Driver::NoPermission { message } => Some(format!("aiplatd may not use it ({message})")),
        Driver::Mismatch(_) => Some("the kernel module and the library do not belong together".to_owned()),
        Driver::Hung { call } => Some(format!("it hangs (in {call})")),
        Driver::Failed { message } => Some(format!("it cannot be asked ({message})")),
        Driver::Ready { version, cuda: Some(cuda) } => Some(format!("{version}, CUDA up to {cuda}")),
        Driver::Ready { version, cuda: None } => Some(version.clone()),
    }
}

fn cdi_sentence(spec: &CdiSpec) -> String {
    let CdiSpec { kind, devices, driver, broken } = spec;
    match (broken, driver) {
        (Some(why), _) => format!("broken: {why}"),
        (None, Some(driver)) => format!("{kind}: {}, made for driver {driver}", devices.join(", ")),
        (None, None) => format!("{kind}: {}", devices.join(", ")),
    }
}

/// The names of the hardware profile that the scripts before aiplatd wrote. What is not known is empty; memory is rounded
/// down to whole units, as theirs was.
fn environment(status: &HostStatus, models: &[String]) -> BTreeMap<String, String> {
    const GIB: u64 = 1 << 30;
    const MIB: u64 = 1 << 20;
    let text = |value: Option<String>| value.unwrap_or_default();
    let number = |value: Option<u64>| value.map(|value| value.to_string()).unwrap_or_default();
    let disk = status.engine.as_ref().and_then(|engine| {
        let covers = |it: &&FileSystemStatus| std::path::Path::new(&engine.data_root).starts_with(&it.mount);
        status.file_systems.iter().filter(covers).max_by_key(|it| it.mount.len())
    });
    let disk = disk.or_else(|| status.file_systems.first());
    let whole = || status.gpus.iter().filter(|gpu| gpu.parent.is_none() && !gpu.gone);
    let largest = whole().max_by_key(|gpu| gpu.memory);
    let of_tier = || status.tier.as_ref().map(|tier| default_models(&tier.name).join(","));
    // What the file asks for; a file without models has those that its tier once stood for.
    let models = if models.is_empty() { of_tier() } else { Some(models.join(",")) };
    let medium = |it: &FileSystemStatus| match it.medium.as_deref() {
        Some("disk") => "HDD",
        Some(_) => "SSD",
        None => "",
    };
    [
        ("CPU_CORES", number(status.threads.map(u64::from))),
        ("CPU_MODEL", text(status.cpu.clone())),
        ("TOTAL_RAM_GB", number(status.memory.map(|bytes| bytes / GIB))),
        ("DISK_FREE_GB", number(disk.and_then(|it| it.free).map(|bytes| bytes / GIB))),
        ("DISK_TOTAL_GB", number(disk.and_then(|it| it.total).map(|bytes| bytes / GIB))),
        ("DISK_TYPE", disk.map(medium).unwrap_or_default().to_owned()),
        ("GPU_AVAILABLE", (whole().count() > 0).to_string()),
        ("GPU_MODEL", text(largest.and_then(|gpu| gpu.name.clone()))),
        ("GPU_VRAM_MB", number(largest.and_then(|gpu| gpu.memory).map(|bytes| bytes / MIB))),
        ("GPU_DRIVER_VERSION", text(status.driver_version.clone())),
        ("SYSTEM_TIER", text(status.tier.as_ref().map(|tier| tier.name.clone()))),
        ("DEFAULT_MODELS", text(models)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
