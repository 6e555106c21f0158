//! What there is to say of one service's containers.

use super::{Look, returning};
use crate::{
    condition::{Condition, ConditionType, Reason, Status},
    fingerprint,
    observed::ObservedContainer,
    plan::{
        Cause, Gate, Readiness, Step,
        ended::{self, Ended, ended},
        gate, gpu, members, running,
    },
    spec::ServiceSpec,
    time::human,
};

impl Look<'_> {
    /// Everything there is to say of it, in the order of cure.
    pub(super) fn conditions(&self, step: &Step) -> Vec<Condition> {
        let world = self.world;
        let mut gates: Vec<Gate> = gate::name(world, self.spec).into_iter().collect();
        gates.extend(gate::before_start_but_gpus(world, self.id, self.spec));
        // What a container was made from is asked for again only when one is to be made.
        if !self.members.current_matches && self.members.candidate.is_none() {
            gates.extend(gate::image(world, self.spec));
        }
        let mut conditions = vec![Condition::normal(ConditionType::Accepted, Reason::InFile)];
        for kind in [
            ConditionType::NameTaken,
            ConditionType::ImageAvailable,
            ConditionType::ConfigRendered,
            ConditionType::StorageReady,
            ConditionType::PortsFree,
            ConditionType::DependenciesReady,
        ] {
            let closed: Vec<&Gate> = gates.iter().filter(|gate| gate.condition() == Some(kind)).collect();
            if kind == ConditionType::ConfigRendered && self.spec.policy.on_change.is_empty() {
                continue;
            }
            let refused = self.failed(kind).filter(|_| closed.is_empty());
            conditions.push(refused.unwrap_or_else(|| gate::condition(kind, &closed)));
        }
        conditions.extend(self.gpus());
        conditions.extend(self.life(step));
        conditions
    }

    fn gpus(&self) -> Option<Condition> {
        let container = self.members.candidate.or(self.members.current);
        let alive = self.members.current.is_some_and(|current| current.state.is_alive());
        gpu::condition(self.world, self.id, container, alive)
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
        let drifted = self.drifted(&health);
        let ready = match (healthy.status, drifted.status) {
            // It serves its dependants, but it is not what the file says: who waits for an edit waits for this.
            (Status::True, Status::True) => {
                Condition::abnormal(ConditionType::Ready, drifted.reason, drifted.message.clone())
            }
            (Status::True | Status::False | Status::Unknown, _) => {
                Condition { kind: ConditionType::Ready, ..healthy.clone() }
            }
        };
        let mut conditions = vec![started, healthy, self.crash_loop(), drifted, running::held(step), ready];
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
                running::stopped_by_hand(self.world, self.id, order),
            );
        }
        let evidence = ended::evidence(self.world, self.id, self.spec, current);
        let class = ended::diagnose(self.world, self.id, self.spec, current).class;
        let (reason, message) = match ended(self.world, self.id, self.spec, current) {
            Ended::Completed => return Condition::normal(kind, Reason::Completed),
            Ended::Failed(how) => (Reason::Failed, format!("it ended with {how}{evidence}")),
            // Nobody restarts it.
            Ended::BackOff { how, .. } | Ended::Start(Cause::Ended { how, .. }) if self.is_suspended() => {
                (class.reason(), format!("it ended with {how}{evidence}"))
            }
            Ended::BackOff { until, how, attempt } => {
                let wait = human(self.world.now.until(until));
                // The same reason as when the attempt is due: waiting is no news.
                (class.reason(), format!("it ended with {how}, restart {} in {wait}{evidence}", attempt + 1))
            }
            Ended::Held { .. } => (class.reason(), self.held(current)),
            Ended::Start(Cause::NotStarted | Cause::StoppedByUs) => {
                (Reason::Starting, running::starting(ServiceSpec::Container(self.spec)))
            }
            Ended::Start(cause) => (class.reason(), format!("{cause}{evidence}")),
        };
        Condition::abnormal(kind, reason, message)
    }

    fn is_suspended(&self) -> bool {
        self.world.ledger.suspension(self.id, self.world.now).is_some()
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
        let sightings = &self.world.observed.sightings;
        let sighting = self.members.current.and_then(|current| sightings.get(&current.id));
        let ran = sighting.map(ended::run_length).unwrap_or_default();
        let wanted = || fingerprint::of(&self.spec.runtime);
        let print = self.members.current.map_or_else(wanted, |current| ended::print_of(self.spec, current));
        ended::crash_loop(self.world, self.id, &print, ran)
    }

    /// Whether it is what the file says; of what it is instead, `health`.
    fn drifted(&self, health: &Readiness) -> Condition {
        let kind = ConditionType::Drifted;
        if let Some(edit) = self.members.taken_back {
            let stopped = self.world.ledger.get(self.id).is_some_and(|it| it.orders.stopped.is_some());
            let does = match (health.status, stopped) {
                (Status::True, _) => "serves".to_owned(),
                (Status::False | Status::Unknown, true) => "is there".to_owned(),
                (Status::False | Status::Unknown, false) if health.progressing => self.coming_back(),
                (Status::False | Status::Unknown, false) => "is not ready either".to_owned(),
            };
            let message = returning::taken_back(self.id, edit, &does);
            return Condition::abnormal(kind, Reason::TakenBack, message);
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
