//! Unit files that come with a write: when systemd reads them, and what it makes of them.

use std::collections::BTreeMap;

use aiplat_core::observed::{FileStamp, LoadState, ObservedUnit};

use super::{Program, Unit, paths};

/// Whether the file that systemd has read is one of /etc, and not of a package.
pub(super) fn is_ours(unit: &Unit) -> bool {
    unit.seen.fragment == unit.seen.own.unit_path
}

/// The file of `name` is written, or removed. systemd reads one that is new to it when it is asked for, and any other with a
/// reload.
pub(super) fn write(unit: &mut Unit, name: &str, text: Option<&str>, programs: &BTreeMap<String, Program>) {
    if unit.seen.own.unit_path.is_empty() {
        unit.seen.own = paths(name);
    }
    if unit.seen.own.unit_file.as_deref() == text {
        return;
    }
    unit.seen.own.unit_file = text.map(str::to_owned);
    let was_known = !unit.seen.fragment.is_empty();
    if was_known {
        unit.seen.needs_reload = true;
        unit.written += 1;
        unit.seen.fragment_stamp = Some(FileStamp(match text {
            Some(_) => unit.written.to_string(),
            None => "absent".to_owned(),
        }));
    } else {
        read(unit, name, programs);
    }
}

/// systemd reads the file that is there now.
pub(super) fn read(unit: &mut Unit, name: &str, programs: &BTreeMap<String, Program>) {
    let Some(text) = unit.seen.own.unit_file.clone() else {
        if is_ours(unit) {
            unit.seen = ObservedUnit { own: paths(name), ..gone(unit) };
        }
        return;
    };
    let of = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default().to_owned();
    unit.seen.fragment.clone_from(&unit.seen.own.unit_path);
    unit.seen.file_state = "disabled".to_owned();
    unit.seen.load = if text.contains("OnCalendar=") || text.contains("ExecStart=") {
        LoadState::Loaded
    } else {
        LoadState::BadSetting
    };
    unit.command = of("ExecStart=");
    unit.restarts = of("Restart=") == "always";
    unit.program = programs.get(&unit.command).cloned().unwrap_or_default();
}

/// A unit without a file that still runs, or has failed, is known to systemd all the same.
fn gone(unit: &Unit) -> ObservedUnit {
    ObservedUnit {
        load: LoadState::NotFound,
        active: unit.seen.active.clone(),
        sub: unit.seen.sub.clone(),
        systemd: unit.seen.systemd.clone(),
        ..ObservedUnit::default()
    }
}
