//! The systemd of a scene: the simulated one, whose time passes as the scene lets it pass.

use std::{fmt, time::Duration};

use aiplat_core::{
    Kind, ResourceId, Timestamp,
    action::Action,
    observed::{ASKED_AT, Observed},
    plan,
    spec::Management,
};
use aiplat_host::HostError;
use tokio::runtime::Runtime;

use super::{START, Scene};
use crate::{
    build::{Sketch, instance},
    check::{self, units::Units},
    sim::Systemd,
};

/// A simulated systemd, and the runtime in which its jobs and programs live.
pub struct Machine {
    /// What people and packages do, they do to this.
    pub systemd: Systemd,
    runtime: Runtime,
    /// How far its time has passed.
    at: Timestamp,
}

/// A job is carried out so soon after it was queued, and is looked at then.
const JOB: Duration = Duration::from_millis(5);

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").field("units", &self.systemd.snapshot()).finish_non_exhaustive()
    }
}

impl Default for Machine {
    fn default() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        Self { systemd: Systemd::default(), runtime: runtime.expect("a runtime"), at: START }
    }
}

impl Machine {
    fn pass(&self, time: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(time).await });
    }

    fn catch_up(&mut self, now: Timestamp) {
        if now > self.at {
            self.pass(now.since(self.at));
            self.at = now;
        }
    }

    /// Somebody does something to systemd; what he queues is carried out in its own time.
    fn by_hand<T>(&self, act: impl FnOnce(&Systemd) -> T) -> T {
        let _inside = self.runtime.enter();
        act(&self.systemd)
    }
}

impl Scene {
    /// Somebody does something to systemd.
    pub fn units_by_hand<T>(&mut self, act: impl FnOnce(&Systemd) -> T) -> T {
        self.catch_up();
        let done = self.machine.by_hand(act);
        // The job that he has queued is over before anybody looks.
        self.pass(JOB);
        done
    }

    /// Its units, as they are.
    #[must_use]
    pub fn units(&self) -> Units {
        self.machine.systemd.snapshot()
    }

    /// How the machine differs from what the file asks for.
    #[must_use]
    pub fn differences(&self) -> Vec<String> {
        let units = check::units::differences(&self.units(), &self.desired);
        let models = self.models_differ();
        check::differences(&self.engine, &self.desired).into_iter().chain(units).chain(models).collect()
    }

    /// What its units run and hold that are in the file, a line each. Whether a timer's time has come is systemd's.
    #[must_use]
    pub fn units_text(&self) -> String {
        let all = self.units();
        let names =
            self.desired.units.values().flat_map(|spec| [(spec, spec.unit.as_str()), (spec, spec.main())]);
        let mut lines: Vec<String> = names
            .filter_map(|(spec, name)| {
                let unit = all.get(name)?;
                let (seen, last) = (unit.view(), unit.runs.last().filter(|_| name == spec.main()));
                Some(format!(
                    "{name}: {:?} {} {:?} {last:?} {:?}",
                    seen.active, seen.file_state, seen.effective, seen.own
                ))
            })
            .collect();
        lines.sort();
        lines.dedup();
        lines.join("\n")
    }

    pub(super) fn catch_up(&mut self) {
        let now = self.engine.now;
        // Of a machine without units nothing is due.
        if self.has_units() {
            self.machine.catch_up(now);
        }
    }

    fn has_units(&self) -> bool {
        !self.desired.units.is_empty() || self.machine.systemd.has_units()
    }

    /// The programs of the units of `sketch` do what it says.
    pub(super) fn load_units(&mut self, sketch: &Sketch) {
        for (command, program) in sketch.units.iter().filter_map(|unit| unit.programs()) {
            self.machine.systemd.program(&command, program);
        }
    }

    /// Looks at all units of the file and of the ledger, as a listing of the engine shows all containers.
    pub(super) fn look_at_units(&mut self) {
        if !self.has_units() {
            return;
        }
        self.catch_up();
        let names: Vec<String> =
            plan::units(&self.world()).into_iter().map(|(name, _)| name.to_owned()).collect();
        let seen: Result<Vec<_>, HostError> =
            names.into_iter().map(|name| Ok((name.clone(), self.machine.systemd.look(&name)?))).collect();
        let now = self.now();
        match seen {
            Ok(seen) => self.observed.record(Observed::Units(seen), &instance(), now),
            Err(error) => self.observed.record_systemd_loss(error.message),
        }
    }

    /// What a daemon's end does to systemd: nobody asks it any more to keep what has ended.
    pub(super) fn let_go_of_units(&self) {
        self.machine.systemd.let_go();
    }

    /// Whether `action` is one of systemd's.
    pub(super) fn is_of_systemd(id: &ResourceId) -> bool {
        matches!(id.kind, Kind::Unit | Kind::Host)
    }

    /// Does `action` to systemd, and waits until its job is carried out. Panics where a safety checker objects.
    pub(super) fn apply_to_systemd(&mut self, action: &Action) -> Result<(), HostError> {
        self.catch_up();
        let units = self.units();
        let truth = check::Truth { engine: &self.engine, units: &units };
        let was_read = self.machine.by_hand(Systemd::was_read_of_late);
        let call =
            check::units::UnitCall { truth, desired: &self.desired, action, orders: &self.orders, was_read };
        let violations = check::units::violations(&call);
        assert!(violations.is_empty(), "{}\n{}", violations.join("\n"), self.text());
        let done = self.machine.by_hand(|systemd| systemd.change(action));
        self.pass(JOB);
        done
    }

    /// Whether the unit `id` answers its probe.
    pub(super) fn unit_answers(&self, id: &ResourceId) -> bool {
        let Some(spec) = self.desired.units.get(id) else { return false };
        self.units().get(&spec.unit).is_some_and(|unit| unit.answers(&spec.unit, ASKED_AT))
    }

    /// Those of the file that aiplatd starts.
    #[must_use]
    pub fn managed_units(&self) -> Vec<ResourceId> {
        let managed = self.desired.units.iter().filter(|(_, spec)| spec.management != Management::Observe);
        managed.map(|(id, _)| id.clone()).collect()
    }
}
