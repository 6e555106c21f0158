//! Volumes and paths of the machine: what they take, and the room that there is for them.

use aiplat_api::v1::{HostPathStatus, StatusDoc, VolumeGrowth, VolumeUsage};
use aiplat_core::{Kind, plan::Pressure, time::human};

use super::{
    View, lists, style,
    table::{Cell, Table, cell, column, message},
    text::bytes,
};

/// Of less than this, growth is told by the hour.
const DAY: u64 = 86_400;
const HOUR: u64 = 3_600;

/// `get volumes`: volumes, and behind them the paths that services write to.
#[must_use]
pub fn volumes(doc: &StatusDoc, names: &[String], view: View) -> Table {
    let mut columns = vec![
        column("NAME"),
        column("VOLUME").drops(5),
        column("SIZE"),
        column("GROWTH").drops(3).volatile(),
        column("FREE").drops(2).volatile(),
        column("USED-BY").drops(1),
        column("STATUS"),
    ];
    if view.wide {
        columns.extend([column("FILE-SYSTEM"), column("MEASURED").volatile()]);
    }
    columns.push(column("MESSAGE").flexible());
    let mut table = Table::new(&columns);
    for it in lists::resources(doc, Kind::Volume, names) {
        let usage = it.usage.clone().unwrap_or_default();
        let mut row = vec![
            it.id.key().into(),
            (&it.host_name).into(),
            text(usage.size.map(bytes)),
            text(usage.growth.as_ref().map(growth)),
            room(usage.free, usage.pressure),
            it.used_by.join(",").into(),
            lists::word(it.status),
        ];
        if view.wide {
            row.extend([text(usage.mount), text(usage.measured_secs_ago.map(ago))]);
        }
        row.push(lists::resource_message(it));
        table.push(row);
    }
    let paths = doc.host.iter().flat_map(|host| &host.host_paths);
    for it in paths.filter(|it| lists::chosen(names, &it.path)) {
        table.push(path_row(it, view));
    }
    table
}

/// A path is the machine's: it has no state of its own, and nobody counts what is in it.
fn path_row(it: &HostPathStatus, view: View) -> Vec<Cell> {
    let HostPathStatus { path, mount, free, pressure, used_by } = it;
    let mut row = vec![
        path.into(),
        "host path".into(),
        text(None),
        text(None),
        room(*free, *pressure),
        used_by.join(",").into(),
        text(None),
    ];
    if view.wide {
        row.extend([text(mount.clone()), text(None)]);
    }
    row.push(message(if *pressure == Some(Pressure::Full) { "its file system is full" } else { "" }));
    row
}

/// What `describe` tells of a volume.
pub(super) fn facts(usage: &VolumeUsage) -> Vec<(&'static str, String)> {
    let VolumeUsage { size, measured_secs_ago, growth: grown, mount, free, pressure } = usage;
    let measured = measured_secs_ago.map(|secs| format!(", measured {}", ago(secs))).unwrap_or_default();
    let size = match size {
        Some(size) => format!("{}{measured}", bytes(*size)),
        None => "not known: the engine has not measured it yet, or its driver cannot tell".to_owned(),
    };
    let mut facts = vec![("Size", size)];
    facts.extend(grown.as_ref().map(|it| {
        let over = human(std::time::Duration::from_secs(it.secs));
        ("Growth", format!("{} ({} in {over})", growth(it), signed(it.bytes)))
    }));
    let full = match pressure {
        None => "",
        Some(Pressure::Low) => ", which is little",
        Some(Pressure::StopsPulls) => ", too little to pull anything",
        Some(Pressure::Full) => ": it is full",
    };
    facts.extend(mount.as_ref().map(|mount| {
        let free = free
            .map_or_else(|| "it does not answer".to_owned(), |free| format!("{} free{full}", bytes(free)));
        ("File system", format!("{mount}, {free}"))
    }));
    facts
}

/// By the day where a day has been seen, by the hour otherwise: what an hour tells of a day is little.
fn growth(growth: &VolumeGrowth) -> String {
    let VolumeGrowth { bytes, secs } = *growth;
    let (unit, name) = if secs >= DAY { (DAY, "day") } else { (HOUR, "h") };
    let rate = i128::from(bytes) * i128::from(unit) / i128::from(secs.max(1));
    match i64::try_from(rate) {
        Ok(0) => "none".to_owned(),
        Ok(rate) => format!("{}/{name}", signed(rate)),
        Err(_) => String::new(),
    }
}

fn signed(change: i64) -> String {
    let sign = if change < 0 { "-" } else { "+" };
    format!("{sign}{}", bytes(change.unsigned_abs()))
}

fn ago(secs: u64) -> String {
    format!("{} ago", human(std::time::Duration::from_secs(secs)))
}

fn room(free: Option<u64>, pressure: Option<Pressure>) -> Cell {
    let style = match pressure {
        None => style::PLAIN,
        Some(Pressure::Low) => style::UNDERWAY,
        Some(Pressure::StopsPulls | Pressure::Full) => style::BAD,
    };
    cell(style, &free.map(bytes).unwrap_or_default())
}

fn text(value: Option<String>) -> Cell {
    value.unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_told_by_the_hour_until_a_day_has_been_seen() {
        let told = |bytes, secs| growth(&VolumeGrowth { bytes, secs });
        assert_eq!(told(10 << 20, 600), "+60 MiB/h");
        assert_eq!(told(-(10 << 20), 1_200), "-30 MiB/h");
        assert_eq!(told(48 << 20, 2 * DAY), "+24 MiB/day");
        assert_eq!(told(0, 600), "none");
    }
}
