//! GPUs.

use aiplat_api::v1::{GpuProcessStatus, GpuStatus, GpuUserStatus, StatusDoc};
use aiplat_core::observed::GpuId;

use super::{
    View, describe, lists,
    table::{Table, column, message},
    text::{bytes, clean},
};

/// As people write it.
pub(super) fn short(id: &str) -> String {
    GpuId(id.to_owned()).short().to_owned()
}

/// `get gpus`.
#[must_use]
pub fn gpus(doc: &StatusDoc, names: &[String], view: View) -> Table {
    let columns = [
        column("GPU"),
        column("MODEL").drops(4),
        column("MEMORY"),
        column("FREE").volatile(),
        column("USE").drops(2).volatile(),
        column("TEMP").drops(1).volatile(),
        column("POWER").drops(1).volatile(),
        column("COMPUTE").drops(3),
        column("USED BY"),
        column("MESSAGE").flexible(),
    ];
    let mut table = Table::new(&columns);
    let all = doc.host.iter().flat_map(|host| &host.gpus);
    for it in all.filter(|gpu| lists::chosen(names, &gpu.id)) {
        let text = |value: Option<String>| value.unwrap_or_default();
        let watts = |milliwatts: u32| format!("{} W", milliwatts / 1_000);
        let power = match (it.power, it.power_limit) {
            (Some(power), Some(limit)) => format!("{} of {}", watts(power), watts(limit)),
            (Some(power), None) => watts(power),
            (None, _) => String::new(),
        };
        table.push(vec![
            if view.wide { it.id.clone() } else { short(&it.id) }.into(),
            text(it.name.clone()).into(),
            text(it.memory.map(bytes)).into(),
            text(it.memory_free.map(bytes)).into(),
            text(it.utilisation.map(|percent| format!("{percent}%"))).into(),
            text(it.temperature.map(|degrees| format!("{degrees} C"))).into(),
            power.into(),
            text(it.compute_capability.clone()).into(),
            users(it).into(),
            message(&it.message),
        ]);
    }
    table
}

/// Who has a GPU: services by name, in brackets those that wait to run on it, and how many processes are nobody's of these.
fn users(gpu: &GpuStatus) -> String {
    let name = |user: &GpuUserStatus| match user.runs {
        true => user.service.clone(),
        false => format!("({})", user.service),
    };
    let names: Vec<String> = gpu.used_by.iter().map(name).collect();
    match (&gpu.processes, names.is_empty()) {
        (Some(processes), true) if !processes.is_empty() => format!("{} processes", processes.len()),
        (Some(_) | None, _) => names.join(", "),
    }
}

/// `describe gpu/GPU-8f3a1c2e`.
#[must_use]
pub fn describe_gpu(gpu: &GpuStatus, view: View) -> String {
    let text = |value: Option<String>| value.unwrap_or_else(|| "not known".to_owned());
    let watts = |milliwatts: u32| format!("{} W", milliwatts / 1_000);
    let mut lines = vec![
        ("GPU".to_owned(), gpu.id.clone()),
        ("model".to_owned(), text(gpu.name.clone())),
        ("vendor".to_owned(), gpu.vendor.clone()),
        ("bus".to_owned(), text(gpu.bus.clone())),
    ];
    if !gpu.gone {
        let memory = gpu.memory.zip(gpu.memory_free);
        lines.extend([
            ("index".to_owned(), text(gpu.index.map(|index| index.to_string()))),
            (
                "memory".to_owned(),
                text(memory.map(|(all, free)| format!("{} of {} are free", bytes(free), bytes(all)))),
            ),
            ("compute capability".to_owned(), text(gpu.compute_capability.clone())),
            ("use".to_owned(), text(gpu.utilisation.map(|percent| format!("{percent}%")))),
            ("temperature".to_owned(), text(gpu.temperature.map(|degrees| format!("{degrees} C")))),
            ("power".to_owned(), text(gpu.power.map(watts))),
        ]);
    }
    lines.extend(gpu.parent.clone().map(|parent| ("slice of".to_owned(), parent)));
    let pairs = |name: &'static str, value: &'static str, rows: Vec<(String, String)>| {
        let mut table = Table::new(&[column(name), column(value).flexible()]);
        rows.into_iter().for_each(|(name, value)| table.push(vec![name.into(), message(&value)]));
        describe::indented(&table, view)
    };
    let mut out = pairs("FACT", "VALUE", lines);
    if !gpu.conditions.is_empty() {
        describe::section(&mut out, "Conditions");
        let said = gpu.conditions.iter().map(|it| {
            let why = if it.message.is_empty() { it.reason.to_string() } else { clean(&it.message) };
            (it.kind.to_string(), format!("{} {why}", it.status))
        });
        out.push_str(&pairs("CONDITION", "SAYS", said.collect()));
    }
    let user = |user: &GpuUserStatus| {
        let reserved = user.reserved.map(|reserved| format!("{} reserved", bytes(reserved)));
        let used = user.used.filter(|_| user.runs).map(|used| format!("{} in use", bytes(used)));
        let waits = (!user.runs).then(|| "does not run".to_owned());
        let said: Vec<String> = [waits, reserved, used].into_iter().flatten().collect();
        (user.service.clone(), if said.is_empty() { "runs".to_owned() } else { said.join(", ") })
    };
    if !gpu.used_by.is_empty() {
        describe::section(&mut out, "Services");
        out.push_str(&pairs("SERVICE", "MEMORY", gpu.used_by.iter().map(user).collect()));
    }
    let process = |it: &GpuProcessStatus| {
        let memory = it.memory.map_or_else(|| "memory not known".to_owned(), bytes);
        (
            it.pid.to_string(),
            if it.name.is_empty() { memory } else { format!("{}, {memory}", clean(&it.name)) },
        )
    };
    if let Some(processes) = gpu.processes.as_ref().filter(|processes| !processes.is_empty()) {
        describe::section(&mut out, "Processes");
        out.push_str(&pairs("PID", "PROGRAM", processes.iter().map(process).collect()));
    }
    out
}
