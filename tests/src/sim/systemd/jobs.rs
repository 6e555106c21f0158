//! What becomes of a unit: jobs, starts and ends, systemd's own restarts and its limit.

use std::time::Duration;

use aiplat_core::observed::{ActiveState, Incarnation};
use tokio::time::{Instant, sleep};

use super::{Program, Restarts, Systemd, Unit};

/// systemd's own defaults: five starts in ten seconds, 100 ms between them, 90 s for a start.
const LIMIT: u32 = 5;
const LIMIT_WINDOW: Duration = Duration::from_secs(10);
const RESTART_SEC: Duration = Duration::from_millis(100);
const START_TIMEOUT: Duration = Duration::from_secs(90);

/// How long a job waits for its turn, and takes.
const JOB: Duration = Duration::from_millis(4);

/// SIGTERM.
const TERMINATED: i32 = 15;

/// The starts of the present window: the first of them opens it.
#[derive(Debug, Clone, Default)]
pub(super) struct Limit {
    begun: Option<Instant>,
    count: u32,
}

impl Limit {
    fn allows_one_more(&mut self) -> bool {
        let is_open = self.begun.is_some_and(|begun| begun.elapsed() <= LIMIT_WINDOW);
        if !is_open {
            *self = Self { begun: Some(Instant::now()), count: 0 };
        }
        let allowed = self.count < LIMIT;
        self.count += u32::from(allowed);
        allowed
    }
}

/// Who starts a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Job,
    /// Its own `Restart=`.
    Itself,
}

impl Unit {
    fn waits_for_its_restart(&self) -> bool {
        self.seen.sub == "auto-restart"
    }

    /// A stop that was asked for.
    fn stop(&mut self, is_timer: bool) {
        if !self.seen.active.is_alive() {
            return;
        }
        // Of one that waits for its restart there is nothing to end: what it ended with stays.
        if !self.waits_for_its_restart() {
            self.seen.result = "success".to_owned();
            self.seen.tail.clear();
            if !is_timer {
                (self.seen.exit_status, self.seen.killed) = (TERMINATED, true);
            }
        }
        self.seen.active = ActiveState::Inactive;
        self.rests("dead");
    }

    fn rests(&mut self, sub: &str) {
        self.seen.sub = sub.to_owned();
        self.seen.effective = None;
        self.seen.main_pid = 0;
    }

    /// It has failed for good, or is done.
    fn fail(&mut self, result: &str) {
        self.seen.result = result.to_owned();
        self.seen.active = ActiveState::Failed;
        self.rests("failed");
    }

    /// A new run, the `run`th of the machine.
    fn begin(&mut self, is_timer: bool, run: u32) {
        let is_slow = !self.activates_for.is_zero() || self.inside.is_oneshot;
        let seen = &mut self.seen;
        seen.active = if is_slow { ActiveState::Activating } else { ActiveState::Active };
        seen.sub = if is_slow { "start" } else { "running" }.to_owned();
        seen.result = "success".to_owned();
        (seen.exit_status, seen.killed, seen.given_up) = (0, false, false);
        // What it said is in the journal of its last run; this one has said nothing yet.
        seen.tail.clear();
        seen.invocation = Some(Incarnation(format!("{run:032x}")));
        self.runs.push(self.command.clone());
        if is_timer {
            self.seen.sub = "waiting".to_owned();
            return;
        }
        self.seen.main_pid = 1_000 + run;
        let mut environment = self.seen.environment.clone();
        for (_, variables) in self.files() {
            environment.extend(variables);
        }
        environment.retain(|name, _| !self.seen.unset.contains(name));
        environment.extend(self.wrapped.clone());
        self.seen.effective = Some(environment);
    }

    /// Its process has ended; whether systemd starts it again.
    fn end(&mut self, status: i32, killed: bool, words: &str) -> bool {
        let is_bad = killed || status != 0;
        (self.seen.exit_status, self.seen.killed) = (status, killed);
        self.seen.result = match (killed, status) {
            (true, _) => "signal",
            (false, 0) => "success",
            (false, _) => "exit-code",
        }
        .to_owned();
        let is_told = is_bad && !words.is_empty();
        self.seen.tail = is_told.then(|| words.to_owned()).into_iter().collect();
        self.seen.denials = self.denials.clone();
        self.seen.job = None;
        let again = match self.restarts {
            Restarts::No => false,
            Restarts::Always => true,
            Restarts::OnFailure => is_bad,
        };
        let (active, sub) = match (again, is_bad) {
            (true, _) => (ActiveState::Activating, "auto-restart"),
            (false, true) => (ActiveState::Failed, "failed"),
            (false, false) => (ActiveState::Inactive, "dead"),
        };
        self.seen.active = active;
        self.rests(sub);
        again
    }
}

impl Systemd {
    /// A job is queued; it takes the place of one that has not begun.
    pub(super) fn queue(&self, name: &str, job: &'static str) {
        let id = {
            let mut inner = self.lock();
            let Some(unit) = inner.loaded(name) else { return };
            unit.inside.jobs += 1;
            unit.seen.job = Some(job.to_owned());
            unit.inside.jobs
        };
        self.hint(name);
        let (systemd, name) = (self.clone(), name.to_owned());
        drop(tokio::spawn(async move {
            sleep(JOB).await;
            systemd.carry_out(&name, id, job);
            systemd.hint(&name);
        }));
    }

    fn carry_out(&self, name: &str, id: u64, job: &str) {
        {
            let mut inner = self.lock();
            let Some(unit) = inner.units.get_mut(name).filter(|unit| unit.inside.jobs == id) else { return };
            // It is left to the restart that is due anyway.
            if job == "start" && unit.waits_for_its_restart() {
                return;
            }
            if job != "start" {
                unit.stop(name.ends_with(".timer"));
            }
        }
        if job != "stop" {
            self.started(name, By::Job);
        }
        let mut inner = self.lock();
        let Some(unit) = inner.units.get_mut(name) else { return };
        // Else it is over when it has been started, or has failed to.
        if job == "stop" || unit.seen.active != ActiveState::Activating {
            unit.seen.job = None;
        }
    }

    fn started(&self, name: &str, by: By) {
        let is_timer = name.ends_with(".timer");
        let mut inner = self.lock();
        inner.runs += 1;
        let run = inner.runs;
        let Some(unit) = inner.units.get_mut(name) else { return };
        let is_up = unit.seen.active.is_alive() && !unit.waits_for_its_restart();
        if is_up {
            return;
        }
        if !unit.inside.limit.allows_one_more() {
            // As systemd: the fault of the last run, if it had one, stays in `Result`.
            let earlier = Some(unit.seen.result.clone());
            let earlier = earlier.filter(|it| !matches!(it.as_str(), "" | "success"));
            unit.seen.given_up |= by == By::Itself;
            unit.fail(earlier.as_deref().unwrap_or("start-limit-hit"));
            unit.seen.job = None;
            return;
        }
        if by == By::Job {
            unit.seen.restarts = 0;
        }
        unit.begin(is_timer, run);
        if is_timer {
            return;
        }
        let (of, program, slow) = (unit.seen.invocation.clone(), unit.program.clone(), unit.activates_for);
        let limit = unit.inside.start_timeout.unwrap_or(START_TIMEOUT.max(slow));
        drop(inner);
        if !slow.is_zero() {
            self.later(name, of.clone(), slow.min(limit), move |unit| {
                if slow <= limit {
                    unit.activated()
                } else {
                    unit.fail("timeout")
                }
                unit.seen.job = None;
            });
        }
        if let Program::Ends(after, code, words) = program {
            let (systemd, name) = (self.clone(), name.to_owned());
            drop(tokio::spawn(async move {
                sleep(after).await;
                if systemd.unit(&name).invocation == of {
                    systemd.ended(&name, code, false, words);
                }
            }));
        }
    }

    /// Something happens to the run `of` after a while, if that still goes on.
    fn later(
        &self,
        name: &str,
        of: Option<Incarnation>,
        after: Duration,
        change: impl FnOnce(&mut Unit) + Send + 'static,
    ) {
        let (systemd, name) = (self.clone(), name.to_owned());
        drop(tokio::spawn(async move {
            sleep(after).await;
            if let Some(unit) = systemd.lock().units.get_mut(&name) {
                if unit.seen.invocation != of || !unit.seen.active.is_alive() {
                    return;
                }
                change(unit);
            }
            systemd.hint(&name);
        }));
    }

    /// The process of a unit that runs ends.
    pub(super) fn ended(&self, name: &str, status: i32, killed: bool, words: &str) {
        let (again, of, delay) = {
            let mut inner = self.lock();
            let Some(unit) = inner.units.get_mut(name).filter(|unit| unit.seen.main_pid != 0) else { return };
            let again = unit.end(status, killed, words);
            (again, unit.seen.invocation.clone(), unit.inside.restart_delay.unwrap_or(RESTART_SEC))
        };
        self.hint(name);
        if again {
            let (systemd, name) = (self.clone(), name.to_owned());
            drop(tokio::spawn(async move {
                sleep(delay).await;
                systemd.restarted(&name, of);
                systemd.hint(&name);
            }));
        }
    }

    fn restarted(&self, name: &str, of: Option<Incarnation>) {
        {
            let mut inner = self.lock();
            let Some(unit) = inner.units.get_mut(name) else { return };
            if unit.seen.invocation != of || !unit.waits_for_its_restart() {
                return;
            }
            unit.seen.restarts += 1;
            unit.seen.job = None;
        }
        self.started(name, By::Itself);
    }
}

impl Unit {
    fn activated(&mut self) {
        self.seen.active = ActiveState::Active;
        self.seen.sub = "running".to_owned();
    }
}
