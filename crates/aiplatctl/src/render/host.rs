//! The machine: what it consists of, for people and for shells.

use aiplat_api::v1::{EngineStatus, FileSystemStatus, GpuStatus, HostStatus, StatusDoc};
use aiplat_core::ResourceId;

use super::{
    View, describe,
    gpus::short,
    table::{Table, column, message},
    text::{bytes, clean},
};

/// `get host`: one fact a line.
#[must_use]
pub fn facts(host: &HostStatus) -> Table {
    let mut table = Table::new(&[column("FACT"), column("VALUE").flexible()]);
    for (name, value) in lines(host) {
        table.push(vec![name.into(), message(&value)]);
    }
    table
}

/// What is known, in the order in which one asks.
fn lines(host: &HostStatus) -> Vec<(String, String)> {
    let joined = |values: &[String]| if values.is_empty() { "none".to_owned() } else { values.join(", ") };
    let mut lines: Vec<(&str, Option<String>)> = vec![
        ("tier", host.tier.as_ref().map(|tier| format!("{}: {}", tier.name, tier.because))),
        ("cpu", cpu(host)),
        ("memory", host.memory.map(|total| memory(total, host.memory_available))),
        ("kernel", host.kernel.clone()),
        ("distribution", host.distribution.clone()),
        ("virtualisation", host.virtualisation.clone()),
        ("cgroups", host.cgroups.map(|version| format!("version {version}"))),
        (
            "clock",
            host.clock_synchronised
                .map(|is| if is { "kept right" } else { "nobody keeps it right" }.to_owned()),
        ),
        (
            "restart",
            host.reboot_required_by.as_ref().map(|by| match by.as_slice() {
                [] => "not asked for".to_owned(),
                by => format!("asked for by {}", by.join(", ")),
            }),
        ),
    ];
    if let Some(engine) = &host.engine {
        lines.extend(of_engine(engine).map(|(name, value)| (name, Some(value))));
    }
    lines.extend([
        ("driver", host.driver.clone()),
        ("conflicts", host.conflicting_packages.as_deref().map(joined)),
        ("routes", host.routes.as_deref().map(joined)),
    ]);
    let mut lines: Vec<(String, String)> =
        lines.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    for (interface, addresses) in host.addresses.iter().flatten() {
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        lines.push((format!("address {interface}"), addresses.join(", ")));
    }
    for (name, active) in host.firewalls.iter().flatten() {
        let state = match active {
            Some(true) => "at work; ports that Docker publishes go past it",
            Some(false) => "installed, and off",
            None => "installed",
        };
        lines.push((format!("firewall {name}"), state.to_owned()));
    }
    lines.extend(host.file_systems.iter().map(|it| (format!("disk {}", it.mount), disk(it))));
    lines.extend(host.cdi_specs.iter().map(|(path, what)| (format!("cdi {path}"), what.clone())));
    lines.extend(host.gpus.iter().map(|gpu| (format!("gpu {}", short(&gpu.id)), gpu_line(gpu))));
    lines
}

fn cpu(host: &HostStatus) -> Option<String> {
    let cores = host.cores.map(|cores| format!("{cores} cores"));
    let threads = host.threads.map(|threads| format!("{threads} threads"));
    Some([host.cpu.clone(), cores, threads].into_iter().flatten().collect::<Vec<_>>().join(", "))
        .filter(|text| !text.is_empty())
}

fn memory(total: u64, available: Option<u64>) -> String {
    let rest = available.map(|bytes_| format!(", {} available", bytes(bytes_))).unwrap_or_default();
    format!("{}{rest}", bytes(total))
}

fn of_engine(engine: &EngineStatus) -> [(&'static str, String); 3] {
    let EngineStatus { version, data_root, storage_driver, cgroup_driver, .. } = engine;
    let words = [
        format!("{storage_driver} at {data_root}"),
        format!("cgroup driver {cgroup_driver}"),
        if engine.cdi { "CDI".to_owned() } else { "no CDI".to_owned() },
        if engine.live_restore { "containers outlive its restart" } else { "its restart ends containers" }
            .to_owned(),
    ];
    let pools = if engine.address_pools.is_empty() {
        "its own defaults".to_owned()
    } else {
        engine.address_pools.join(", ")
    };
    [
        ("engine", format!("Docker {version}, {}", words.join(", "))),
        ("runtimes", format!("{} (default {})", engine.runtimes.join(", "), engine.default_runtime)),
        ("pools", pools),
    ]
}

fn disk(it: &FileSystemStatus) -> String {
    let room = match (it.free, it.total) {
        (Some(free), Some(total)) if total > 0 => {
            let percent = u128::from(free) * 100 / u128::from(total);
            format!("{} of {} free ({percent}%)", bytes(free), bytes(total))
        }
        _ => "it does not answer".to_owned(),
    };
    let inodes = match (it.inodes, it.inodes_free) {
        (Some(all), Some(free)) if all > 0 => {
            format!(", {}% of inodes", u128::from(free) * 100 / u128::from(all))
        }
        _ => String::new(),
    };
    let medium = it.medium.as_deref().map(|medium| format!(", {medium}")).unwrap_or_default();
    let read_only = if it.read_only { ", read-only" } else { "" };
    let users = if it.used_by.is_empty() { String::new() } else { format!("; {}", it.used_by.join(", ")) };
    format!("{room}{inodes}, {} on {}{medium}{read_only}{users}", it.kind, it.source)
}

fn gpu_line(gpu: &GpuStatus) -> String {
    let memory = gpu.memory.map(bytes);
    let free = gpu.memory_free.map(|free| format!("{} free", bytes(free)));
    let said = Some(gpu.message.clone()).filter(|said| !said.is_empty());
    [gpu.name.clone(), memory, free, said].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// `get host -o env`: lines for a shell. A value is quoted so that a shell takes nothing in it for its own.
#[must_use]
pub fn environment(host: &HostStatus) -> String {
    let plain = |value: &str| value.chars().all(|c| c.is_ascii_alphanumeric() || "._:/,-".contains(c));
    let line = |(name, value): (&String, &String)| {
        let value = clean(value);
        if plain(&value) {
            format!("{name}={value}\n")
        } else {
            format!("{name}=\"{}\"\n", value.replace(['"', '\\', '$', '`'], ""))
        }
    };
    host.environment.iter().map(line).collect()
}

/// `describe host`.
#[must_use]
pub fn describe(doc: &StatusDoc, host: &HostStatus, view: View) -> String {
    let page = doc.resources.iter().find(|it| it.id == ResourceId::local());
    let mut out = page.map(|it| describe::resource(doc, it, view)).unwrap_or_default();
    describe::section(&mut out, "Facts");
    out.push_str(&describe::indented(&facts(host), view));
    out
}
