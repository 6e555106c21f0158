//! Unit files: when systemd reads them, and what it makes of them.

use std::{collections::BTreeMap, time::Duration};

use aiplat_core::observed::{ActiveState, LoadState, ObservedUnit};

use super::{Package, Program, Restarts, Unit, files};

/// What of a unit's files systemd has read.
#[derive(Debug, Clone, Default)]
pub(super) struct Read {
    /// Which writing of its file.
    file: u32,
    /// Which writing of our drop-in; `None`: there was none.
    drop_in: Option<u32>,
    /// That one did not name the file of our environment.
    pub(super) is_foreign: bool,
    /// The folder of its drop-ins was there: systemd looks into no other without a reload.
    has_folder: bool,
}

impl Unit {
    /// Whether the file that systemd has read is one of /etc, and not of a package.
    pub(super) fn is_ours(&self) -> bool {
        self.seen.fragment == self.seen.own.unit_path
    }

    /// `NeedDaemonReload`.
    pub(crate) fn needs_reload(&self) -> bool {
        let file = match self.seen.load {
            LoadState::Masked => self.inside.mask.is_none(),
            LoadState::NotFound => false,
            LoadState::Loaded | LoadState::BadSetting | LoadState::Error | LoadState::Other(_) => {
                self.inside.package != Package::Good && self.inside.read.file != self.inside.written
            }
        };
        let is_there = self.seen.own.drop_in.is_some();
        let drop_in = match self.inside.read.drop_in {
            Some(version) => !is_there || version != self.inside.drop_in_written,
            None => is_there && self.inside.read.has_folder,
        };
        file || (drop_in && self.seen.load == LoadState::Loaded)
    }

    /// Whether the file that its package brings asks for the unit `other`.
    pub(super) fn names(&self, other: &str) -> bool {
        let Package::File(text) = &self.inside.package else { return false };
        let mut lines =
            text.lines().filter_map(|line| line.strip_prefix("Wants=").or(line.strip_prefix("Requires=")));
        lines.any(|names| names.split_whitespace().any(|name| name == other))
    }

    pub(super) fn unmask(&mut self) {
        if let Some(before) = self.inside.mask.take() {
            self.seen.file_state = before;
        }
    }
}

/// The file of a unit in /etc is written, or removed.
pub(super) fn write(unit: &mut Unit, text: Option<&str>) {
    if unit.seen.own.unit_file.as_deref() != text {
        unit.seen.own.unit_file = text.map(str::to_owned);
        unit.inside.written += 1;
    }
}

/// Our drop-in is written, or removed.
pub(super) fn write_drop_in(unit: &mut Unit, text: Option<&str>) {
    if unit.seen.own.drop_in.as_deref() != text {
        unit.seen.own.drop_in = text.map(str::to_owned);
        unit.inside.drop_in_written += 1;
    }
}

/// systemd reads the files that are there now.
pub(super) fn read(unit: &mut Unit, name: &str, programs: &BTreeMap<String, Program>) {
    let has_drop_in = unit.seen.own.drop_in.is_some();
    unit.inside.read = Read {
        file: unit.inside.written,
        drop_in: has_drop_in.then_some(unit.inside.drop_in_written),
        is_foreign: unit.seen.own.drop_in.as_ref().is_some_and(|text| !text.contains("\nEnvironmentFile=")),
        has_folder: has_drop_in || !unit.others.is_empty(),
    };
    unit.seen.own.loaded = has_drop_in;
    unit.inside.is_wanted = unit.inside.mask.as_ref().unwrap_or(&unit.seen.file_state) == "enabled";
    if unit.inside.mask.is_some() {
        unit.seen.load = LoadState::Masked;
        unit.seen.file_state = "masked".to_owned();
        return;
    }
    let (path, text) = match (&unit.seen.own.unit_file, &unit.inside.package) {
        (Some(text), _) => (unit.seen.own.unit_path.clone(), text.clone()),
        (None, Package::File(text)) => (files::packaged(name), text.clone()),
        (None, Package::Good) => {
            if unit.seen.load == LoadState::Masked {
                unit.seen.load = LoadState::Loaded;
            }
            return;
        }
        (None, Package::Nobody) => {
            unit.seen.load = LoadState::NotFound;
            unit.seen.fragment = String::new();
            unit.seen.file_state = String::new();
            unit.seen.own.loaded = false;
            unit.restarts = Restarts::No;
            return;
        }
    };
    unit.seen.fragment = path;
    digest(unit, &text, programs);
}

/// What was not found is looked for whenever somebody asks. What runs meanwhile is in the way of a file that is found then, until
/// all are read anew.
pub(super) fn find(unit: &mut Unit, name: &str) {
    let path = match (&unit.seen.own.unit_file, &unit.inside.package) {
        (Some(_), _) => unit.seen.own.unit_path.clone(),
        (None, Package::File(_) | Package::Good) => files::packaged(name),
        (None, Package::Nobody) => return,
    };
    unit.seen.load = LoadState::Error;
    unit.seen.fragment = path;
    unit.inside.read.file = unit.inside.written;
}

fn digest(unit: &mut Unit, text: &str, programs: &BTreeMap<String, Program>) {
    let find = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let is_good = find("ExecStart").is_some() || find("OnCalendar").is_some();
    unit.seen.load = if is_good { LoadState::Loaded } else { LoadState::BadSetting };
    if unit.seen.file_state != "enabled" {
        let starts_with_the_machine = text.lines().any(|line| line == "[Install]");
        unit.seen.file_state = if starts_with_the_machine { "disabled" } else { "static" }.to_owned();
    }
    unit.command = find("ExecStart").unwrap_or_default().to_owned();
    unit.restarts = match find("Restart") {
        Some("always") => Restarts::Always,
        Some("on-failure") => Restarts::OnFailure,
        Some(_) | None => Restarts::No,
    };
    unit.program = programs.get(&unit.command).cloned().unwrap_or_default();
    unit.inside.restart_delay = find("RestartSec").map(duration);
    unit.inside.start_timeout = find("TimeoutStartSec").map(duration);
    unit.inside.is_oneshot = find("Type") == Some("oneshot");
    // No program of these tests ever says that it is up.
    unit.activates_for = if find("Type") == Some("notify") { Duration::MAX } else { Duration::ZERO };
}

fn duration(text: &str) -> Duration {
    let number =
        |digits: &str| digits.parse().unwrap_or_else(|_| panic!("`{text}` is no duration of these tests"));
    match text.strip_suffix("ms") {
        Some(digits) => Duration::from_millis(number(digits)),
        None => Duration::from_secs(number(text.trim_end_matches('s'))),
    }
}

/// systemd has no use for what it knows of the unit's runs any more.
pub(super) fn forget(unit: &mut Unit) {
    unit.seen = ObservedUnit {
        active: ActiveState::Inactive,
        sub: "dead".to_owned(),
        result: "success".to_owned(),
        invocation: None,
        main_pid: 0,
        exit_status: 0,
        killed: false,
        given_up: false,
        restarts: 0,
        job: None,
        effective: None,
        last_wall_ms: None,
        tail: Vec::new(),
        denials: Vec::new(),
        ..std::mem::take(&mut unit.seen)
    };
}
