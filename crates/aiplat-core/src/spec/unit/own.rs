//! A unit whose file is ours: the file of the service, and that of its timer.

use std::time::Duration;

use super::{UnitSpec, WRITTEN_BY};
use crate::spec::RestartMode;

/// The program of a unit that aiplatd writes itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnUnit {
    /// Program and arguments; the program by its absolute path.
    pub command: Vec<String>,
    /// Who it runs as; `None`: root.
    pub user: Option<String>,
    /// `None`: that user's own.
    pub group: Option<String>,
    /// Where it starts; `None`: `/`.
    pub working_dir: Option<String>,
    /// What asks it to stop; `None`: `SIGTERM`.
    pub stop_signal: Option<String>,
    /// How long a stop waits before the kill.
    pub stop_grace: Duration,
    /// What it may not do.
    pub hardening: Hardening,
    /// It runs at times, and not all the time.
    pub timer: Option<TimerSpec>,
}

/// When a unit of ours runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimerSpec {
    /// The timer's name in systemd: `backup.timer`.
    pub unit: String,
    /// As man 7 `systemd.time` has it.
    pub on_calendar: String,
}

/// What a unit of ours may not do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hardening {
    /// What ordinary programs never miss is taken away: see [`SANDBOX`].
    #[default]
    Default,
    /// Nothing is.
    None,
}

/// `hardening: default`. What is left out breaks ordinary programs: a home that cannot be read (programs live there), devices
/// that cannot be opened (`ProtectClock=` and `PrivateDevices=` take the GPU away), memory that cannot be made executable
/// (compilers at run time), namespaces (browsers).
pub const SANDBOX: &[(&str, &str)] = &[
    ("NoNewPrivileges", "yes"),
    ("PrivateTmp", "yes"),
    ("ProtectSystem", "full"),
    ("ProtectControlGroups", "yes"),
    ("ProtectHostname", "yes"),
    ("ProtectKernelLogs", "yes"),
    ("ProtectKernelModules", "yes"),
    ("ProtectKernelTunables", "yes"),
    ("LockPersonality", "yes"),
    ("RestrictRealtime", "yes"),
    ("RestrictSUIDSGID", "yes"),
];

/// Name and value of a line of a unit's file.
type Line = (&'static str, String);

impl UnitSpec {
    /// The unit that aiplatd starts, stops and watches: the timer, where it has one.
    #[must_use]
    pub fn main(&self) -> &str {
        self.timer().map_or(&self.unit, |timer| &timer.unit)
    }

    /// When it runs, if that is not all the time.
    #[must_use]
    pub fn timer(&self) -> Option<&TimerSpec> {
        self.own.as_ref().and_then(|own| own.timer.as_ref())
    }

    /// The files that are written for a unit of ours: name and text. None for a unit that somebody else brings.
    #[must_use]
    pub fn unit_files(&self, environment_path: &str) -> Vec<(&str, String)> {
        let Some(own) = &self.own else { return Vec::new() };
        // The timer after what it starts: there is never one that has nothing to start.
        let service = (self.unit.as_str(), self.service_file(own, environment_path));
        let timer = own.timer.as_ref().map(|timer| (timer.unit.as_str(), self.timer_file(timer)));
        std::iter::once(service).chain(timer).collect()
    }

    fn service_file(&self, own: &OwnUnit, environment_path: &str) -> String {
        let OwnUnit { command, user, group, working_dir, stop_signal, stop_grace, hardening, timer } = own;
        let argv: Vec<String> = command.iter().map(|word| quoted(word)).collect();
        // A program that cannot be run at all is then a failed start, and not one that ended.
        let kind = if timer.is_some() { "oneshot" } else { "exec" };
        let mut lines: Vec<Line> = vec![("Type", kind.to_owned()), ("ExecStart", argv.join(" "))];
        let named = [("User", user), ("Group", group), ("WorkingDirectory", working_dir)];
        lines.extend(named.into_iter().filter_map(|(name, value)| Some((name, escaped(value.as_ref()?)))));
        if !self.environment.is_empty() {
            lines.push(("EnvironmentFile", environment_path.to_owned()));
        }
        lines.push(("Restart", if timer.is_some() { "no" } else { restart(self.restart) }.to_owned()));
        lines.extend(stop_signal.iter().map(|signal| ("KillSignal", signal.clone())));
        // 0 means for ever there.
        lines.push(("TimeoutStopSec", format!("{}ms", stop_grace.as_millis().max(1))));
        lines.extend(match hardening {
            Hardening::Default => {
                SANDBOX.iter().map(|(name, value)| (*name, (*value).to_owned())).collect::<Vec<_>>()
            }
            Hardening::None => Vec::new(),
        });
        let install = timer.is_none().then_some("multi-user.target");
        let after = ("After", "network.target".to_owned());
        // What runs at times has no place in the order: aiplatd would wait for the end of a run before it starts.
        let order = if timer.is_none() { self.order() } else { None };
        let about: Vec<Line> = std::iter::once(after).chain(order).collect();
        self.file(&self.unit, &about, "Service", &lines, install)
    }

    /// When the machine goes down systemd stops every unit at once, except what is ordered before another one: that is stopped
    /// after it. So a unit that others need is there until aiplatd has stopped those, and ends. One that itself needs others
    /// ends at once, before them.
    fn order(&self) -> Option<Line> {
        self.dependencies.is_empty().then(|| ("Before", "aiplatd.service".to_owned()))
    }

    fn timer_file(&self, timer: &TimerSpec) -> String {
        let lines = [
            ("OnCalendar", escaped(&timer.on_calendar)),
            // A run that was missed while the machine was off is made up for.
            ("Persistent", "true".to_owned()),
            // Within the second, and not within the minute that is systemd's default.
            ("AccuracySec", "1s".to_owned()),
            ("Unit", self.unit.clone()),
        ];
        let order: Vec<Line> = self.order().into_iter().collect();
        self.file(&timer.unit, &order, "Timer", &lines, Some("timers.target"))
    }

    fn file(
        &self,
        unit: &str,
        about: &[Line],
        section: &str,
        lines: &[Line],
        install: Option<&str>,
    ) -> String {
        let service = &self.service;
        let text = |lines: &[Line]| {
            lines.iter().map(|(name, value)| format!("{name}={value}\n")).collect::<String>()
        };
        let mut file = format!(
            "{WRITTEN_BY} for the service `{service}` of platform.yaml, and written anew when it differs: edit it there.\n\
             # What platform.yaml has no word for goes into a drop-in: `systemctl edit {unit}`.\n\
             [Unit]\nDescription={service} of platform.yaml\n{}\n[{section}]\n{}",
            text(about),
            text(lines),
        );
        if let Some(target) = install {
            file.push_str(&format!("\n[Install]\nWantedBy={target}\n"));
        }
        file
    }
}

fn restart(mode: RestartMode) -> &'static str {
    match mode {
        RestartMode::Default | RestartMode::Always => "always",
        RestartMode::OnFailure(_) => "on-failure",
        RestartMode::No => "no",
    }
}

/// A word of a command line, as man 5 `systemd.service` reads it: in double quotes, nothing in it expanded.
fn quoted(word: &str) -> String {
    let mut text = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            '%' | '$' => text.extend([c, c]),
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

/// A value in which `%` begins a specifier.
fn escaped(value: &str) -> String {
    value.replace('%', "%%")
}
