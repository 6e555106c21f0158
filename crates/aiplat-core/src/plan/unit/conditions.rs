//! What there is to say of one unit, in the order of cure.

use super::{Look, life};
use crate::{
    condition::{Condition, ConditionType, Reason, Status},
    observed::ActiveState,
    plan::{Cause, Gate, Readiness, Step, World, ended, gate, gpu, running},
    secret::redacted,
    spec::{DependencyCondition, Management, ServiceSpec},
};

pub(in crate::plan) fn away_sentence(reason: &str) -> String {
    format!("systemd does not answer: {reason}")
}

/// Nothing is known of a unit while systemd cannot be asked; it is not dead for that.
pub(in crate::plan) fn away(world: &World<'_>, reason: &str) -> Step {
    let message = away_sentence(reason);
    let ready = Condition::unknown(ConditionType::Ready, Reason::SystemdUnreachable, message.clone());
    Step::blocked(world, vec![Gate::SystemdAway { message }]).with(vec![ready])
}

pub(super) fn not_looked_at() -> Step {
    let message = "it has not been looked at yet";
    Step::progressing().with(vec![Condition::unknown(ConditionType::Ready, Reason::NotObserved, message)])
}

impl Look<'_> {
    pub(super) fn conditions(&self, step: &Step) -> Vec<Condition> {
        let closed = gate::dependencies(self.world, &self.spec.dependencies);
        let mut conditions = vec![
            Condition::normal(ConditionType::Accepted, Reason::InFile),
            self.loaded(),
            self.applied(),
            self.overruled(),
            gate::condition(ConditionType::DependenciesReady, &closed.iter().collect::<Vec<_>>()),
        ];
        let Readiness { status, reason, message, .. } = self.readiness(DependencyCondition::Healthy);
        let ready = Condition { kind: ConditionType::Ready, status, reason, message };
        if let Some((Reason::NameTaken, message)) = self.trouble() {
            conditions.insert(1, Condition::abnormal(ConditionType::NameTaken, Reason::NameTaken, message));
        }
        let drifted = self.drifted();
        let ready = match (ready.status, drifted.status, drifted.reason) {
            // It serves its dependants, but it is not what the file says.
            (Status::True, Status::True, Reason::FingerprintDiffers) => {
                Condition::abnormal(ConditionType::Ready, drifted.reason, drifted.message.clone())
            }
            (_, _, _) => ready,
        };
        conditions.extend(gpu::condition(self.world, self.id, None, self.unit.active.is_alive()));
        conditions.extend(self.stages());
        conditions.extend([self.crash_loop(), drifted, running::held(step), ready]);
        conditions
    }

    fn loaded(&self) -> Condition {
        match self.trouble() {
            Some((reason, message)) => Condition::abnormal(ConditionType::UnitLoaded, reason, message),
            None if self.unit.file_state == "disabled" && self.spec.own.is_none() => Condition {
                message: self.disabled(),
                ..Condition::normal(ConditionType::UnitLoaded, Reason::UnitDisabled)
            },
            None => Condition::normal(ConditionType::UnitLoaded, Reason::AsDesired),
        }
    }

    /// That systemd does not start it with the machine is no fault: somebody else may.
    fn disabled(&self) -> String {
        let name = &self.spec.unit;
        let who = match self.spec.management {
            Management::Observe => "and `management: observe` keeps aiplatd from doing so",
            Management::Configure => "aiplatd does, when what it depends on is ready",
            Management::Full => "aiplatd is about to enable it",
        };
        format!(
            "{name} is disabled, so that systemd does not start it with the machine; {who}: `systemctl enable {name}` \
             changes that"
        )
    }

    fn applied(&self) -> Condition {
        let kind = ConditionType::DropInApplied;
        if self.spec.management == Management::Observe {
            let message = self.left_to_observe().unwrap_or_default();
            return Condition { message, ..Condition::normal(kind, Reason::ObserveOnly) };
        }
        if let Some((_, cause)) = self.files_to_write() {
            return Condition::abnormal(kind, Reason::FingerprintDiffers, cause.to_string());
        }
        if self.is_unread() {
            let message = format!("systemd has not read its {} yet", self.what_is_read());
            return Condition::abnormal(kind, Reason::ReloadPending, message);
        }
        Condition::normal(kind, Reason::AsDesired)
    }

    pub(super) fn active(&self) -> Condition {
        let kind = ConditionType::Active;
        match &self.unit.active {
            ActiveState::Active | ActiveState::Reloading => Condition::normal(kind, Reason::Running),
            ActiveState::Activating | ActiveState::Deactivating => {
                let (reason, message) = self.on_its_way();
                Condition::abnormal(kind, reason, format!("it {message}"))
            }
            ActiveState::Other(word) => {
                Condition::unknown(kind, Reason::NotObserved, format!("it is in systemd's state `{word}`"))
            }
            ActiveState::Inactive | ActiveState::Failed => {
                if let Some((reason, message)) = self.trouble() {
                    return Condition::abnormal(kind, reason, message);
                }
                if let Some(order) = self.record().and_then(|record| record.orders.stopped.as_ref()) {
                    let message = running::stopped_by_hand(self.world, self.id, order);
                    return Condition::abnormal(kind, Reason::StoppedByHand, message);
                }
                let (reason, message) = match self.next() {
                    life::Next::Start(Cause::NotStarted | Cause::StoppedByUs) => {
                        (Reason::Starting, running::starting(ServiceSpec::Unit(self.spec)))
                    }
                    life::Next::Start(cause) => {
                        let failed = self.unit.active == ActiveState::Failed;
                        let reason = if failed { Reason::UnitFailed } else { Reason::Starting };
                        (reason, format!("{cause}{}", self.evidence()))
                    }
                    life::Next::Forgive(cause) => {
                        (Reason::StartLimitHit, format!("{cause}{}", self.evidence()))
                    }
                    life::Next::BackOff { until: _, reason, message } => (reason, message),
                    life::Next::Stays { reason, message } | life::Next::Held { reason, message } => {
                        (reason, message)
                    }
                };
                Condition::abnormal(kind, reason, message)
            }
        }
    }

    fn crash_loop(&self) -> Condition {
        let settings = &self.world.desired.settings.restart;
        if self.unit.sub == "auto-restart" && self.unit.restarts >= settings.crash_loop {
            let message = format!(
                "systemd has restarted it {} times (last end: {})",
                self.unit.restarts,
                self.ending()
            );
            return Condition::abnormal(ConditionType::CrashLoop, Reason::CrashLoop, message);
        }
        let mut looping = ended::crash_loop(self.world, self.id, &self.print(), self.run_length());
        // Between two ends nothing else says why.
        if looping.status == Status::True && !self.has_failed() {
            looping.message.push_str(&self.evidence());
        }
        looping
    }

    fn drifted(&self) -> Condition {
        let kind = ConditionType::Drifted;
        let runs = matches!(self.unit.active, ActiveState::Active | ActiveState::Reloading);
        if !runs || self.spec.management == Management::Observe {
            return Condition::normal(kind, Reason::AsDesired);
        }
        if self.is_outdated() || (self.files_to_write().is_some() && self.differing() != Some(Vec::new())) {
            let changed = self.changed();
            let what = Cause::fields(&changed);
            let message = format!("its process has the environment of an earlier file: {what}");
            return Condition::abnormal(kind, Reason::FingerprintDiffers, message);
        }
        match self.overridden() {
            Some(message) => Condition::abnormal(kind, Reason::EnvironmentOverridden, message),
            None => Condition::normal(kind, Reason::AsDesired),
        }
    }

    /// A restart with our drop-in has not changed it: somebody else has the last word.
    pub(super) fn overridden(&self) -> Option<String> {
        let differing = self.differing()?;
        let name = differing.first()?;
        let effective = self.unit.effective.as_ref()?;
        let shown = |value: Option<&String>| match value {
            None => "not set".to_owned(),
            Some(value) => format!("`{}`", redacted(name, value).chars().take(80).collect::<String>()),
        };
        let own = &self.unit.own.drop_in_path;
        let others: Vec<&str> =
            self.unit.drop_ins.iter().map(String::as_str).filter(|path| path != own).collect();
        let who = if others.is_empty() {
            format!("what {} starts sets it itself", self.spec.unit)
        } else {
            format!("see {}, or what the unit starts sets it itself", others.join(", "))
        };
        let more = match differing.len() {
            1 => String::new(),
            many => format!(" (and {} more)", many - 1),
        };
        Some(format!(
            "{name} is {} in its process and {} in the file{more}: {who}",
            shown(effective.get(*name)),
            shown(self.spec.environment.get(*name)),
        ))
    }
}
