//! Whether a unit runs and is well; and if it does not run, why, and what follows.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Look,
    exits::{set_up, signal_name},
};
use crate::{
    Timestamp,
    action::UnitVerb,
    classify::{Diagnosis, End, classify},
    condition::{Reason, Status},
    ledger::{Basis, Restart, RestartWindow, UnitRecord},
    observed::{ActiveState, FileStamp, Incarnation, ObservedUnit, Sighting},
    plan::{Cause, Gate, Readiness, Step, ended, gate, gpu, running},
    spec::{DependencyCondition, Management, OnExhausted, ProbeSpec, RestartMode, Role},
    time::human,
};

/// What follows when a unit does not run.
pub(super) enum Next {
    /// Start it.
    Start(Cause),
    /// systemd refuses to start it until its failures are forgotten.
    Forgive(Cause),
    /// Not before `until`.
    BackOff { until: Timestamp, reason: Reason, message: String },
    /// It stays as it is, and this is why.
    Stays { reason: Reason, message: String },
    /// No further attempt.
    Held { reason: Reason, message: String },
}

/// Restarts of a unit so far.
struct Attempts {
    /// In a row, without the one that answers this very run.
    attempt: u32,
    /// That one is counted already.
    counted: bool,
    /// It looped, and the file says to stop then.
    exhausted: bool,
    /// The next one is not due before.
    due: Option<Timestamp>,
}

/// `DefaultTimeoutStartSec` of systemd.
const START: Duration = Duration::from_secs(90);

/// SIGHUP, SIGINT, SIGPIPE and SIGTERM: systemd calls it a success when one of them ends a program that it was told to stop.
const GENTLE: [i32; 4] = [1, 2, 13, 15];

impl Look<'_> {
    /// How its last run ended, in a few words.
    pub(super) fn ending(&self) -> String {
        let unit = self.unit;
        match unit.result.as_str() {
            "exit-code" => match set_up(unit.exit_status) {
                Some(why) => format!("exit {} ({why})", unit.exit_status),
                None => format!("exit {}", unit.exit_status),
            },
            "signal" | "core-dump" => format!("signal {}", signal_name(unit.exit_status)),
            "oom-kill" => "exit 137 (out of memory)".to_owned(),
            "timeout" => "a timeout: it took longer to start or stop than its file allows".to_owned(),
            "watchdog" => "its watchdog: it stopped to report that it lives".to_owned(),
            "protocol" => "a protocol error: it did not report its start as `Type=` says".to_owned(),
            "resources" => "missing resources: systemd could not set up what its file asks for".to_owned(),
            "start-limit-hit" => "too many starts in a row".to_owned(),
            "success" | "" => "exit 0".to_owned(),
            other => format!("the result `{other}`"),
        }
    }

    pub(super) fn diagnose(&self) -> Diagnosis {
        let down = |(on, edge): (&crate::ResourceId, &crate::spec::Dependency)| {
            let readiness =
                crate::plan::readiness::of_dependency(self.world, on, DependencyCondition::Started);
            edge.required && readiness.status != Status::True
        };
        let killed = matches!(self.unit.result.as_str(), "signal" | "core-dump");
        let exit_status = i64::from(self.unit.exit_status);
        classify(&End {
            exit_code: if killed { 128 + exit_status } else { exit_status },
            oom_killed: self.unit.result == "oom-kill",
            with_engine: false,
            dependency_down: self.spec.dependencies.iter().any(down),
            // systemd keeps the journal of one run apart from that of another: all of it is about this one.
            at_start: true,
            tail: &self.unit.tail,
        })
    }

    /// What follows, now that it does not run.
    pub(super) fn next(&self) -> Next {
        let record = self.record();
        let unit = self.unit;
        let mut remembered = self.remembered();
        // The service was another unit then, which tells nothing of this one.
        if remembered.active_of.as_deref().is_some_and(|of| of != self.spec.main()) {
            remembered.active = None;
        }
        // systemd forgets a unit that has ended and that nobody asks for: its last run is then the one that we remember.
        let forgotten = remembered.active.as_ref().filter(|_| remembered.systemd == unit.systemd);
        let run = unit.invocation.as_ref().or(forgotten);
        // Whatever it was to be started for: the same start would be refused again, without a pause.
        if self.is_refused() {
            return Next::Forgive(Cause::Ended { how: self.ending(), attempt: self.attempts().attempt });
        }
        let ended_by_us = run.is_some_and(|run| record.is_some_and(|record| record.stopped.contains(run)));
        if ended_by_us {
            return Next::Start(self.forgiven(run).unwrap_or(Cause::StoppedByUs));
        }
        if record
            .is_some_and(|record| record.orders.restart.is_some() && record.orders.restart.as_ref() == run)
        {
            return Next::Start(Cause::RestartOrdered);
        }
        if self.spec.management == Management::Observe {
            return self.left_alone(run.is_some() && run == remembered.active.as_ref());
        }
        match unit.active {
            ActiveState::Failed => self.after_failure(),
            ActiveState::Inactive
            | ActiveState::Active
            | ActiveState::Reloading
            | ActiveState::Activating
            | ActiveState::Deactivating
            | ActiveState::Other(_) => {
                let was_active = run.is_some() && run == remembered.active.as_ref();
                self.after_stop(was_active || self.has_run_its_course(forgotten))
            }
        }
    }

    /// Its end was counted, and systemd has been told to forget it: the start that follows answers that end.
    fn forgiven(&self, run: Option<&Incarnation>) -> Option<Cause> {
        let restarts = &self.record()?.restarts;
        let last = restarts.recent.last().filter(|last| last.of.is_some() && last.of.as_ref() == run)?;
        let Attempts { attempt, .. } = self.attempts();
        Some(Cause::Ended { how: last.ending.clone(), attempt })
    }

    /// It does not run, and nothing is done about it.
    fn left_alone(&self, ran: bool) -> Next {
        let name = &self.spec.unit;
        let left = "`management: observe` leaves it so";
        let cure = format!("{left}: `systemctl start {name}` starts it");
        let (reason, message) = match (&self.unit.active, ran) {
            (ActiveState::Failed, _) => {
                let ending = self.ending();
                let cure = if self.has_hit_limit() {
                    format!(
                        "{left}: `systemctl reset-failed {name}` has systemd forget that, and then `systemctl start {name}` \
                         starts it"
                    )
                } else {
                    cure
                };
                (self.failed_as(), format!("it failed with {ending}{}, and {cure}", self.evidence()))
            }
            (_, true) => {
                let message = format!("{name} was stopped by somebody else, or has ended by itself; {cure}");
                (Reason::StoppedByAdministrator, message)
            }
            (_, false) if self.unit.file_state == "disabled" => (
                Reason::UnitDisabled,
                format!(
                    "{name} does not run, for it is disabled, and {cure}; `systemctl enable {name}` has it started with \
                     the machine"
                ),
            ),
            (_, false) => (Reason::Exited, format!("{name} does not run, and {cure}")),
        };
        Next::Stays { reason, message }
    }

    /// Its last run began after aiplatd had started it, or had seen it run, and is over for good, though nobody may have seen it
    /// active: it was done at once, or was stopped while it was being started.
    fn has_run_its_course(&self, active: Option<&Incarnation>) -> bool {
        let UnitRecord { applied, replacing, .. } = self.remembered();
        let run = &self.unit.invocation;
        let is_known = applied.is_some() || active.is_some();
        is_known && run.is_some() && replacing != *run && self.has_ended_for_good()
    }

    /// Of one that is inactive: it has done its work, or somebody has stopped it. `systemctl reset-failed` lets a failed run count
    /// as a success as well, and its exit status stand.
    fn has_ended_for_good(&self) -> bool {
        let ObservedUnit { result, exit_status, killed, .. } = self.unit;
        match (result.as_str(), killed) {
            ("success" | "", true) => GENTLE.contains(exit_status),
            ("success" | "", false) => *exit_status == 0,
            // What has a fault and has not failed was stopped while systemd waited with its restart.
            (_, _) => true,
        }
    }

    /// It is inactive, and nothing went wrong: it has not been started since the machine was, or somebody has stopped it.
    fn after_stop(&self, ran: bool) -> Next {
        let name = self.spec.main();
        if ran {
            let message = format!(
                "{name} was stopped by somebody else, or has ended by itself with success; it is left so: {}",
                running::starts_it(self.world, self.id)
            );
            return Next::Stays { reason: Reason::StoppedByAdministrator, message };
        }
        Next::Start(Cause::NotStarted)
    }

    fn after_failure(&self) -> Next {
        let how = self.ending();
        let evidence = self.evidence();
        let reason = self.failed_as();
        if self.spec.restart == RestartMode::No {
            let message = format!(
                "it failed with {how}{evidence}, and `restart: no` leaves it so: {}",
                running::starts_it(self.world, self.id)
            );
            return Next::Stays { reason, message };
        }
        let Attempts { attempt, counted, exhausted, due } = self.attempts();
        let before = self.record().and_then(|record| record.restarts.recent.last());
        if !counted && (exhausted || self.is_hopeless(attempt, before)) {
            if let Some(what) = self.mended() {
                return self.tried_again(Cause::Released { how, what });
            }
            let Diagnosis { class, advice, .. } = self.diagnose();
            let advice = if advice.is_empty() { String::new() } else { format!("; {advice}") };
            let message = format!(
                "it failed {} times in a row, last with {how}{evidence}{advice}; it is tried again when its entry in the \
                 file is edited, or {} is and systemd has read that, or with `aiplatctl reset-failed {}`",
                attempt + 1,
                self.what_may_be_mended(),
                self.id.key()
            );
            let known = if class.is_permanent() { class.reason() } else { reason };
            let reason = if exhausted { Reason::CrashLoop } else { known };
            return Next::Held { reason, message };
        }
        if let Some(until) = due {
            let wait = human(self.world.now.until(until));
            let limit = if self.has_hit_limit() { " (systemd has given up)" } else { "" };
            let message = format!("it failed with {how}{limit}, restart {} in {wait}{evidence}", attempt + 1);
            return Next::BackOff { until, reason, message };
        }
        self.tried_again(Cause::Ended { how, attempt })
    }

    fn tried_again(&self, cause: Cause) -> Next {
        if self.has_hit_limit() { Next::Forgive(cause) } else { Next::Start(cause) }
    }

    /// Somebody has edited what it is started from since its last failure, and systemd has read that: worth another try.
    fn mended(&self) -> Option<String> {
        let change = self.record()?.restarts.basis.change(&self.basis())?;
        (!self.unit.needs_reload).then_some(change)
    }

    /// What a start now would be made on, besides the entry, as far as systemd tells.
    pub(super) fn basis(&self) -> Basis {
        let ObservedUnit { fragment, fragment_stamp, drop_ins, user, own, .. } = self.service;
        let name = &self.spec.unit;
        let others: Vec<&str> =
            drop_ins.iter().map(String::as_str).filter(|path| *path != own.drop_in_path).collect();
        let mut files = BTreeMap::from([
            (format!("the list of drop-ins of {name}"), FileStamp(others.join(" "))),
            (format!("`User=` of {name}"), FileStamp(user.clone())),
        ]);
        files.extend(fragment_stamp.clone().map(|stamp| (fragment.clone(), stamp)));
        Basis { files, ..Basis::default() }
    }

    fn what_may_be_mended(&self) -> &str {
        let fragment = &self.service.fragment;
        if fragment.is_empty() { "the unit's own file" } else { fragment }
    }

    /// systemd starts it no more by itself, nor for anybody, until its failures are forgotten.
    fn has_hit_limit(&self) -> bool {
        self.unit.given_up || self.unit.result == "start-limit-hit"
    }

    fn failed_as(&self) -> Reason {
        if self.has_hit_limit() { Reason::StartLimitHit } else { Reason::UnitFailed }
    }

    /// A start of ours was to follow its last run, and none has: systemd refuses it for its start limit, and `Result` goes
    /// on naming the fault of that run.
    fn is_refused(&self) -> bool {
        let replacing = self.remembered().replacing;
        let is_at_rest = self.unit.active == ActiveState::Failed && self.unit.job.is_none();
        let is_ours_to_start = self.spec.management != Management::Observe;
        is_ours_to_start && is_at_rest && replacing.is_some() && replacing == self.unit.invocation
    }

    /// How often it was restarted in a row, and when it may be again.
    fn attempts(&self) -> Attempts {
        let settings = &self.world.desired.settings.restart;
        let default = RestartWindow::default();
        let restarts = self.record().map_or(&default, |record| &record.restarts);
        let counted = self.unit.invocation.as_ref().is_some_and(|run| restarts.has_counted(run));
        let attempt =
            restarts.in_a_row(settings, &self.print(), self.run_length()).saturating_sub(u32::from(counted));
        let last = restarts.recent.last().filter(|_| attempt > 0 && !counted);
        let due = last.map(|last| last.at + restarts.delay(settings, attempt));
        Attempts {
            attempt,
            counted,
            exhausted: settings.on_exhausted == OnExhausted::Hold && attempt >= settings.crash_loop,
            due: due.filter(|until| *until > self.world.now),
        }
    }

    /// It failed before for the same reason, which another try does not change.
    fn is_hopeless(&self, attempt: u32, before: Option<&Restart>) -> bool {
        let Some(before) = before.filter(|_| attempt > 0) else { return false };
        // systemd could not even set it up, and not the first time.
        let not_set_up = self.unit.result == "exit-code" && set_up(self.unit.exit_status).is_some();
        (not_set_up && before.ending == self.ending())
            || (before.class.is_permanent() && self.diagnose().class == before.class)
    }

    pub(super) fn sighting(&self) -> Sighting {
        self.world.observed.unit_sightings.get(self.spec.main()).cloned().unwrap_or_default()
    }

    pub(super) fn run_length(&self) -> Duration {
        ended::run_length(&self.sighting())
    }

    /// It does not run.
    pub(super) fn start(&self) -> Step {
        let (verb, cause) = match self.next() {
            Next::Start(cause) => (UnitVerb::Start, cause),
            Next::Forgive(cause) => (UnitVerb::ResetFailed, cause),
            Next::BackOff { until, reason: _, message } => {
                return Step::blocked(self.world, vec![Gate::BackOff { until, message }]);
            }
            Next::Stays { reason, message } => return Step::unsatisfied(reason, message),
            Next::Held { reason, message } => return Step::held(reason, message),
        };
        let mut gates = gate::dependencies(self.world, &self.spec.dependencies);
        gates.extend(gpu::before_start(self.world, self.id, None));
        if gates.is_empty() { self.verb(verb, cause) } else { Step::blocked(self.world, gates) }
    }

    /// It runs and does not answer: restarted, no more often than a failure would be answered.
    pub(super) fn revive(&self) -> Option<Step> {
        let why = self.failed_liveness().filter(|_| running::waits_for(self.world, self.id).is_empty())?;
        if self.spec.restart == RestartMode::No {
            return None;
        }
        if let Some(gate) = gpu::freeze(self.world, self.id) {
            return Some(Step::blocked(self.world, vec![gate]));
        }
        let Attempts { attempt, counted, exhausted, due } = self.attempts();
        if !counted && exhausted {
            let message = format!(
                "it was restarted {attempt} times in a row and does not answer ({why}); on_exhausted is `hold`: edit its \
                 entry in the file to try again"
            );
            return Some(Step::held(Reason::CrashLoop, message));
        }
        if let Some(until) = due {
            let wait = human(self.world.now.until(until));
            let message = format!("it does not answer ({why}), restart {} in {wait}", attempt + 1);
            return Some(Step::blocked(self.world, vec![Gate::BackOff { until, message }]));
        }
        Some(self.verb(UnitVerb::Restart, Cause::Unresponsive { why, attempt }))
    }

    pub(super) fn failed_liveness(&self) -> Option<String> {
        self.spec.probe_for(Role::Liveness)?;
        let facts = running::facts(self.world, self.id, self.unit.invocation.as_ref(), Role::Liveness)
            .filter(|facts| facts.healthy == Some(false))?;
        facts.last.as_ref().map(|last| last.transcript.clone())
    }

    pub(super) fn readiness(&self, condition: DependencyCondition) -> Readiness {
        let name = self.id.key();
        // What cannot be started and runs serves as before; but not somebody else's under our name.
        let is_other = |reason: Reason| reason == Reason::NameTaken && self.spec.own.is_some();
        let trouble = self.trouble().filter(|(reason, _)| !self.unit.active.is_alive() || is_other(*reason));
        if let Some((reason, message)) = trouble {
            return Readiness::not_ready(reason, format!("{name}: {message}"));
        }
        match &self.unit.active {
            ActiveState::Active | ActiveState::Reloading => match condition {
                DependencyCondition::Started => Readiness::ready(Reason::Running),
                DependencyCondition::Healthy | DependencyCondition::CompletedSuccessfully => self.health(),
            },
            ActiveState::Activating | ActiveState::Deactivating => {
                let (reason, message) = self.on_its_way();
                let message = format!("{name} {message}");
                if reason == Reason::ActivatingTooLong {
                    Readiness::not_ready(reason, message)
                } else {
                    Readiness::progressing(reason, message)
                }
            }
            ActiveState::Other(word) => {
                Readiness::unknown(Reason::NotObserved, format!("{name} is in systemd's state `{word}`"))
            }
            ActiveState::Inactive | ActiveState::Failed => self.not_running(),
        }
    }

    /// It is being started: nothing to do but to notice when that takes too long.
    pub(super) fn activating(&self) -> Option<Step> {
        if self.unit.active != ActiveState::Activating || self.unit.sub == "auto-restart" {
            return None;
        }
        if let Some(message) = self.late() {
            return Some(Step::unsatisfied(
                Reason::ActivatingTooLong,
                format!("{} {message}", self.spec.unit),
            ));
        }
        Some(Step::again(self.may_take().saturating_sub(self.starting_for())))
    }

    /// How long it has been on its way, as far as we saw.
    fn starting_for(&self) -> Duration {
        let since = self.sighting().running_since;
        since.map(|since| self.world.now.since(since)).unwrap_or_default()
    }

    /// How long it may be started: as long as its probe may take, or as long as systemd gives a unit that says nothing.
    fn may_take(&self) -> Duration {
        let probe = self.spec.probe_for(Role::Startup).or_else(|| self.spec.probe_for(Role::Readiness));
        probe.map_or(START, ProbeSpec::budget)
    }

    /// The sentence of one that is being started for too long.
    fn late(&self) -> Option<String> {
        let (took, may) = (self.starting_for(), self.may_take());
        (took >= may && self.unit.sub != "auto-restart").then(|| {
            format!(
                "is being started for longer than {} ({}): `systemctl status {}` shows what it does; a program that never \
                 reports its start wants another `Type=` than its file has",
                human(may),
                self.unit.sub,
                self.spec.unit
            )
        })
    }

    /// What systemd does with it right now.
    pub(super) fn on_its_way(&self) -> (Reason, String) {
        let sub = &self.unit.sub;
        match (&self.unit.active, sub.as_str()) {
            (_, "auto-restart") => (
                Reason::RestartedBySystemd,
                format!(
                    "failed with {} and is restarted by systemd (restart {}){}",
                    self.ending(),
                    self.unit.restarts.saturating_add(1),
                    self.evidence()
                ),
            ),
            (ActiveState::Activating, _) if let Some(message) = self.late() => {
                (Reason::ActivatingTooLong, message)
            }
            (ActiveState::Deactivating, _) => (Reason::Starting, format!("is being stopped ({sub})")),
            (_, _) => (Reason::Starting, format!("is being started ({sub})")),
        }
    }

    fn not_running(&self) -> Readiness {
        let name = self.id.key();
        if let Some(order) = self.record().and_then(|record| record.orders.stopped.as_ref()) {
            let message =
                format!("{name} is stopped: {}", running::stopped_by_hand(self.world, self.id, order));
            return Readiness::not_ready(Reason::StoppedByHand, message);
        }
        match self.next() {
            Next::Start(_) | Next::Forgive(_) | Next::BackOff { .. } => {
                Readiness::progressing(Reason::Exited, format!("{name} does not run"))
            }
            Next::Stays { reason, message } | Next::Held { reason, message } => {
                Readiness::not_ready(reason, format!("{name}: {message}"))
            }
        }
    }
}

/// Whether the startup probe still holds the others back.
pub(super) fn is_starting(look: &Look<'_>) -> bool {
    let facts = running::facts(look.world, look.id, look.unit.invocation.as_ref(), Role::Startup);
    look.spec.probe_for(Role::Startup).is_some() && facts.is_none_or(|facts| facts.healthy.is_none())
}
