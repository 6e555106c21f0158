//! What there is to say of one service's containers.

use super::{Look, returning};
use crate::{
    condition::{Condition, ConditionType, Reason, Status},
    fingerprint,
    observed::ObservedContainer,
    plan::{
        Cause, Gate, Readiness, Step, Verdict,
        ended::{self, Ended, ended},
        gate, members, running,
    },
    time::human,
};

impl Look<'_> {
    /// Everything there is to say of it, in the order of cure.
    pub(super) fn conditions(&self, step: &Step) -> Vec<Condition> {
        let world = self.world;
        let mut gates: Vec<Gate> = gate::name(world, self.spec).into_iter().collect();
        gates.extend(gate::before_start(world, self.id, self.spec));
        // What a container was made from is asked for again only when one is to be made.
        if !self.members.current_matches && self.members.candidate.is_none() {
            gates.extend(gate::image(world, self.spec));
        }
        let mut conditions = vec![Condition::normal(ConditionType::Accepted, Reason::InFile)];
        for kind in [
            ConditionType::NameTaken,
            ConditionType::ImageAvailable,
            ConditionType::StorageReady,
            ConditionType::PortsFree,
            ConditionType::DependenciesReady,
        ] {
            let mut closed = gates.iter().filter(|gate| gate.condition() == Some(kind)).peekable();
            conditions.push(match closed.peek() {
                None => self.failed(kind).unwrap_or_else(|| Condition::normal(kind, Reason::AsDesired)),
                Some(first) => {
                    let reason = first.reason();
                    let closed: Vec<&Gate> = closed.collect();
                    let messages: Vec<String> = closed.iter().map(ToString::to_string).collect();
                    // A dependency that has not been asked yet is not one that is not ready.
                    if closed.iter().all(|gate| gate.is_unknown()) {
                        Condition::unknown(kind, Reason::NotObserved, messages.join("; "))
                    } else {
                        Condition::abnormal(kind, reason, messages.join("; "))
                    }
                }
            });
        }
        conditions.extend(self.life(step));
        conditions
    }

    /// What only the host's refusal told us: a port that a process holds, a folder that is not there.
    fn failed(&self, kind: ConditionType) -> Option<Condition> {
        let failure = self.world.ledger.get(self.id)?.failure.as_ref()?;
        let about = if failure.reason == Reason::PortTaken {
            ConditionType::PortsFree
        } else if matches!(failure.reason, Reason::HostPathMissing | Reason::DiskFull) {
            ConditionType::StorageReady
        } else if failure.reason == Reason::NameTaken {
            ConditionType::NameTaken
        } else {
            return None;
        };
        let same_spec = failure.fingerprint.as_ref() == Some(&fingerprint::of(&self.spec.runtime));
        (about == kind && same_spec)
            .then(|| Condition::abnormal(kind, failure.reason, failure.message.clone()))
    }

    fn life(&self, step: &Step) -> Vec<Condition> {
        let (started, health) = match self.members.current {
            None => (
                Condition::abnormal(ConditionType::Started, Reason::Missing, "it does not exist yet"),
                Readiness::progressing(Reason::Missing, "it does not exist yet"),
            ),
            Some(current) if self.serves_beside().is_some() => {
                (self.started(current), Readiness::ready(Reason::Running))
            }
            Some(current) => (self.started(current), self.health(current)),
        };
        let healthy = Condition {
            kind: ConditionType::Healthy,
            status: health.status,
            reason: health.reason,
            message: health.message.clone(),
        };
        let drifted = self.drifted();
        let ready = match (healthy.status, drifted.status) {
            // It serves its dependants, but it is not what the file says: who waits for an edit waits for this.
            (Status::True, Status::True) => {
                Condition::abnormal(ConditionType::Ready, drifted.reason, drifted.message.clone())
            }
            (Status::True | Status::False | Status::Unknown, _) => {
                Condition { kind: ConditionType::Ready, ..healthy.clone() }
            }
        };
        let mut conditions = vec![started, healthy, self.crash_loop(), drifted, held(step), ready];
        if self.members.current.is_some_and(|current| !current.state.is_alive()) {
            conditions.retain(|condition| condition.kind != ConditionType::Healthy);
        }
        conditions
    }

    fn started(&self, current: &ObservedContainer) -> Condition {
        let kind = ConditionType::Started;
        if current.state.is_alive() {
            return Condition::normal(kind, Reason::Running);
        }
        if let Some(order) = self.world.ledger.get(self.id).and_then(|record| record.orders.stopped.as_ref())
        {
            return Condition::abnormal(
                kind,
                Reason::StoppedByHand,
                running::stopped_by_hand(self.id, order),
            );
        }
        let evidence = ended::evidence(self.world, self.id, self.spec, current);
        let class = ended::diagnose(self.world, self.id, self.spec, current).class;
        let (reason, message) = match ended(self.world, self.id, self.spec, current) {
            Ended::Completed => return Condition::normal(kind, Reason::Completed),
            Ended::Failed(how) => (Reason::Failed, format!("it ended with {how}{evidence}")),
            Ended::BackOff { until, how, attempt } => {
                let wait = human(self.world.now.until(until));
                // The same reason as when the attempt is due: waiting is no news.
                (class.reason(), format!("it ended with {how}, restart {} in {wait}{evidence}", attempt + 1))
            }
            Ended::Held { .. } => (class.reason(), self.held(current)),
            Ended::Start(Cause::NotStarted | Cause::StoppedByUs) => {
                let waits = running::awaits(self.spec).map(|waits| format!("; {waits}")).unwrap_or_default();
                (Reason::Starting, format!("it is being started{waits}"))
            }
            Ended::Start(cause) => (class.reason(), format!("{cause}{evidence}")),
        };
        Condition::abnormal(kind, reason, message)
    }

    fn health(&self, current: &ObservedContainer) -> Readiness {
        if current.state.is_alive() {
            return running::health(self.world, self.id, self.spec, current);
        }
        let started = self.started(current);
        Readiness {
            status: started.status,
            reason: started.reason,
            message: started.message,
            progressing: started.reason == Reason::Starting,
        }
    }

    fn crash_loop(&self) -> Condition {
        let kind = ConditionType::CrashLoop;
        let world = self.world;
        let settings = &world.desired.settings.restart;
        let print = fingerprint::of(&self.spec.runtime);
        let sighting = self.members.current.and_then(|current| world.observed.sightings.get(&current.id));
        let ran = sighting.map(ended::run_length).unwrap_or_default();
        let Some(record) = world.ledger.get(self.id) else {
            return Condition::normal(kind, Reason::AsDesired);
        };
        let restarts = &record.restarts;
        let looping = restarts.in_a_row(settings, &print, ran) >= settings.crash_loop
            || restarts.within_window(settings, &print, world.now) >= settings.crash_loop;
        if !looping || ran >= settings.reset_after {
            return Condition::normal(kind, Reason::AsDesired);
        }
        let last = restarts.recent.last().map(|restart| restart.ending.as_str()).unwrap_or_default();
        let count = restarts.within_window(settings, &print, world.now);
        let message = format!("restarted {count} times within {} (last end: {last})", human(settings.window));
        Condition::abnormal(kind, Reason::CrashLoop, message)
    }

    fn drifted(&self) -> Condition {
        let kind = ConditionType::Drifted;
        if let Some(edit) = self.members.taken_back {
            return Condition::abnormal(kind, Reason::TakenBack, returning::taken_back(self.id, edit));
        }
        if self.serves_beside().is_some() {
            let message = "it serves as of an earlier file until its replacement is ready";
            return Condition::abnormal(kind, Reason::FingerprintDiffers, message);
        }
        match self.members.current {
            Some(current) if !self.members.current_matches => {
                let lost = members::lost_namespaces(self.world, current, self.spec);
                let message = match (lost.first(), self.moved(current)) {
                    (Some(key), _) => format!("it has joined a container that has been replaced (`{key}`)"),
                    (None, Some(moved)) => moved.to_string(),
                    (None, None) => {
                        format!("it is of an earlier file: {}", Cause::fields(&self.changed_fields(current)))
                    }
                };
                Condition::abnormal(kind, Reason::FingerprintDiffers, message)
            }
            Some(_) | None => Condition::normal(kind, Reason::AsDesired),
        }
    }
}

/// Whether an attempt of ours would come by itself.
fn held(step: &Step) -> Condition {
    match &step.verdict {
        Verdict::Held { reason, message } => {
            Condition::abnormal(ConditionType::Held, *reason, message.clone())
        }
        Verdict::Converged | Verdict::Progressing | Verdict::Blocked { .. } | Verdict::Unsatisfied { .. } => {
            Condition::normal(ConditionType::Held, Reason::AsDesired)
        }
    }
}
