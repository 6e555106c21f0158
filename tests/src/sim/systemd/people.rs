//! What people, packages and programs do to units behind the daemon's back.

use std::time::Duration;

use aiplat_core::{
    observed::{ActiveState, LoadState},
    spec::WRITTEN_BY,
};

use super::{Program, Systemd, own};
use crate::{build::RUN, check::units::BYSTANDER, sim::Rng};

/// What a package writes as the file of a unit: a restart or none, another program or the same.
#[must_use]
pub fn packaged(version: u64) -> String {
    let restart =
        *["no", "always", "on-failure"].get(usize::try_from(version % 3).unwrap_or(0)).unwrap_or(&"no");
    format!(
        "[Service]\nExecStart=/usr/bin/served v{version}\nRestart={restart}\n[Install]\nWantedBy=multi-user.target\n"
    )
}

/// A unit that no file names.
#[must_use]
pub fn bystander() -> String {
    format!("{BYSTANDER}.service")
}

/// What a service called `name` is as a unit: that of a package, ours, and our timer.
fn names(name: &str) -> (String, String, String) {
    (format!("{name}-package.service"), format!("{name}-own.service"), format!("{name}-own.timer"))
}

impl Systemd {
    /// Packages bring a unit for each name, and one that no file names, which runs.
    pub fn furnish<'a>(&self, services: impl IntoIterator<Item = &'a str>) {
        for name in services {
            self.package(&names(name).0, Some(&packaged(1)));
        }
        self.package(&bystander(), Some(&packaged(0)));
        self.start_by_hand(&bystander());
    }

    /// Something happens to some unit of the service `name`.
    pub fn meddle(&self, rng: &mut Rng, name: &str) {
        let (packages, ours, timer) = names(name);
        let is_there = |unit: &str| self.unit(unit).load != LoadState::NotFound;
        let has_timer = is_there(&timer);
        let unit = match rng.below(4) {
            0 | 1 => &packages,
            2 if has_timer => &timer,
            _ => &ours,
        };
        let is_there = is_there(unit);
        match rng.below(15) {
            0 | 1 => self.kill(unit),
            2 => self.stop_by_hand(unit),
            3 if is_there => self.start_by_hand(unit),
            4 if is_there => self.restart_by_hand(unit),
            5 => self.mask_by_hand(&packages),
            6 => self.unmask_by_hand(&packages),
            7 => {
                self.package(&packages, Some(&packaged(rng.below(9))));
                if rng.percent(70) {
                    self.reload_by_hand();
                }
            }
            8 => self.reexec(),
            9 if self.unit(unit).own.unit_file.is_some() => {
                let text = "[Service]\nExecStart=/bin/other\n";
                self.write_by_hand(unit, rng.percent(50).then_some(text));
            }
            10 => self.meddle_with_drop_in(rng, &packages),
            11 if is_there => self.disable_by_hand(unit),
            12 | 13 if self.unit(&timer).active == ActiveState::Active => self.fire(&timer),
            _ if is_there => {
                let program = Program::Ends(Duration::from_millis(rng.below(3_000)), 1, "it crashed");
                self.by_hand(unit, |unit| unit.program = program);
                self.kill(unit);
            }
            _ => {}
        }
    }

    /// Somebody changes or removes the drop-in that is there.
    fn meddle_with_drop_in(&self, rng: &mut Rng, name: &str) {
        if self.unit(name).own.drop_in.is_some() {
            let text = "[Service]\nNice=5\n";
            self.drop_in_by_hand(name, rng.percent(50).then_some(text));
        }
    }

    /// A file in the place of our drop-in is written, or removed, by hand. systemd is not told.
    pub fn drop_in_by_hand(&self, name: &str, text: Option<&str>) {
        own::write_drop_in(self.lock().entry(name), text);
        self.hint(name);
    }

    /// `systemctl disable`, which reloads.
    pub fn disable_by_hand(&self, name: &str) {
        self.by_hand(name, |unit| {
            if unit.seen.file_state == "enabled" {
                unit.seen.file_state = "disabled".to_owned();
            }
        });
        self.reload_by_hand();
    }

    /// What nobody but a person can undo of all that is undone; jobs that are queued want their time.
    pub fn mend<'a>(&self, services: impl IntoIterator<Item = &'a str>) {
        for name in services {
            let (packages, ours, timer) = names(name);
            self.unmask_by_hand(&packages);
            self.package(&packages, Some(&packaged(1)));
            let drop_in = self.unit(&packages).own.drop_in;
            if drop_in.is_some_and(|text| !text.starts_with(WRITTEN_BY)) {
                self.drop_in_by_hand(&packages, None);
            }
            self.reload_by_hand();
            for unit in [packages, ours] {
                if self.snapshot().contains_key(&unit) {
                    self.by_hand(&unit, |unit| unit.program = unit.good_program());
                }
            }
            // Its next run does well.
            if self.unit(&timer).active == ActiveState::Active {
                self.fire(&timer);
            }
        }
    }
}

impl super::Unit {
    fn good_program(&self) -> Program {
        if self.inside.is_oneshot { RUN } else { Program::Serves }
    }
}
