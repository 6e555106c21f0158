//! The stages of a unit's readiness: it is active, it listens, containers reach it, it answers. A stage is not judged before
//! the one that it needs is reached: there is one complaint at a time, and it is the one to cure.

use super::Look;
use crate::{
    condition::{Condition, ConditionType, Reason, Status},
    observed::{ASKED_AT, Listening, Reach, Reached, elsewhere, stranger},
    plan::{Readiness, gate, running},
    spec::{Management, Role},
};

/// Where Ollama listens.
const OLLAMA_HOST: &str = "OLLAMA_HOST";

impl Look<'_> {
    /// `Active`, `Listening`, `Reachable`, `Healthy`, as far as there is something to ask.
    pub(super) fn stages(&self) -> Vec<Condition> {
        let active = self.active();
        let is_active = active.status == Status::True;
        let mut stages = vec![active];
        if let Some(port) = self.spec.port() {
            let listening =
                if is_active { self.listens(port) } else { waits(ConditionType::Listening, "active") };
            let listens = listening.status == Status::True;
            let consumers = super::reach::consumers(self.world, self.id);
            let reachable = (!consumers.is_empty()).then(|| {
                if listens {
                    self.reachable(port, &consumers)
                } else {
                    waits(ConditionType::Reachable, "listening")
                }
            });
            stages.push(listening);
            stages.extend(reachable);
        }
        let lost = stages.iter().any(|it| it.kind == ConditionType::Listening && it.status == Status::False);
        stages.push(match (is_active, lost) {
            (false, _) => waits(ConditionType::Healthy, "active"),
            (true, true) => waits(ConditionType::Healthy, "listening"),
            (true, false) => {
                let Readiness { status, reason, message, .. } = self.probed();
                Condition { kind: ConditionType::Healthy, status, reason, message }
            }
        });
        // Of a run that a timer has started, its failure is told with the stage itself.
        let job = Look { unit: self.service, ..*self };
        if !self.has_failed()
            && !job.has_failed()
            && let Some(first) = stages.iter_mut().find(|it| it.status != Status::True)
        {
            first.message.push_str(&self.failed_before());
        }
        stages
    }

    fn listening(&self, port: u16) -> Option<&Listening> {
        let facts = self.world.observed.listening.get(self.id)?;
        let is_of_this_run = Some(&facts.incarnation) == self.unit.invocation.as_ref() && facts.port == port;
        is_of_this_run.then_some(facts)
    }

    /// What is wrong with its port, as far as it is known who listens there.
    fn port_trouble(&self) -> Option<(Reason, String)> {
        let port = self.spec.port()?;
        let facts = self.listening(port)?;
        let (unit, service) = (&self.spec.unit, &self.spec.service);
        if let Some(stranger) = stranger(&facts.listeners, ASKED_AT, unit) {
            let who = gate::holder(self.world, stranger, port);
            let message = format!(
                "port {port} is held by {who}, not by {unit}: stop one of the two, or let one of them listen elsewhere"
            );
            return Some((Reason::PortHeldByOther, message));
        }
        if facts.is_asked_one() {
            return None;
        }
        let said = elsewhere(&facts.listeners, port);
        if !facts.listeners.is_empty() {
            return Some((Reason::ListensElsewhere, said));
        }
        let message = format!(
            "{unit} runs, and {said}: let it listen there, or correct `port:` of its healthcheck; `aiplatctl logs {service}` \
             has what it says"
        );
        Some((Reason::NobodyListens, message))
    }

    /// The trouble that its probe fails for, once its time is up: before that it may just be starting.
    pub(super) fn lost_port(&self, probed: &Readiness) -> Option<(Reason, String)> {
        let has_failed = probed.status == Status::False
            && matches!(probed.reason, Reason::ProbeFailed | Reason::Unresponsive);
        self.port_trouble().filter(|_| has_failed)
    }

    fn listens(&self, port: u16) -> Condition {
        let kind = ConditionType::Listening;
        let probed = self.probed();
        if let Some((reason, message)) = self.lost_port(&probed) {
            return Condition::abnormal(kind, reason, message);
        }
        let facts = self.listening(port);
        let is_proven = probed.status == Status::True && probed.reason == Reason::ProbePassed;
        if !is_proven && let Some((_, message)) = self.port_trouble() {
            return Condition::unknown(kind, Reason::ProbePending, format!("not yet: {message}"));
        }
        let Some(facts) = facts.filter(|facts| facts.is_asked_one()) else {
            // Somebody answers whom we do not see: a unit with a network of its own, and a proxy before it.
            if is_proven {
                return Condition::normal(kind, Reason::Listens);
            }
            let message = format!("who listens on port {port} has not been looked up yet");
            return Condition::unknown(kind, Reason::ProbePending, message);
        };
        let message = format!("port {port} at {}", facts.addresses(&self.spec.unit));
        Condition { message, ..Condition::normal(kind, Reason::Listens) }
    }

    fn reachable(&self, port: u16, consumers: &[super::reach::Consumer<'_>]) -> Condition {
        let kind = ConditionType::Reachable;
        let tried: Vec<(&str, &Reached)> = consumers
            .iter()
            .filter_map(|consumer| Some((consumer.id.key(), consumer.reached(self.world, self.id)?)))
            .collect();
        let refused = |(_, reached): &&(&str, &Reached)| match reached.reach {
            Reach::Refused(_) | Reach::NoAnswer(_) | Reach::NoRoute(_) => true,
            Reach::Connected(_) | Reach::Untried(_) => false,
        };
        let first_refused = tried.iter().find(refused);
        let is_reached = tried.iter().any(|(_, reached)| matches!(reached.reach, Reach::Connected(_)));
        let facts = self.listening(port);
        let loopback_only = facts.is_some_and(|facts| facts.is_loopback_only(&self.spec.unit));
        match (first_refused, facts) {
            // Something else may lead there, such as a rule of the firewall: what was seen is stronger.
            (None, _) if is_reached => {
                let from: Vec<String> = tried.iter().filter_map(|(name, it)| reached_at(name, it)).collect();
                let message = format!("port {port} from {}", from.join(", "));
                Condition { message, ..Condition::normal(kind, Reason::Reached) }
            }
            (_, Some(_)) if loopback_only => {
                Condition::abnormal(kind, Reason::ListensOnLoopback, self.loopback(port))
            }
            (Some((name, reached)), facts) => {
                let listens = facts.map(|facts| facts.addresses(&self.spec.unit)).unwrap_or_default();
                let (reason, message) = self.refused(name, &reached.reach, port, &listens);
                Condition::abnormal(kind, reason, message)
            }
            (None, Some(facts)) if facts.is_asked_one() => {
                let listens = facts.addresses(&self.spec.unit);
                let why = tried.iter().find_map(|(name, it)| untried(name, it));
                let why = why.unwrap_or_else(|| "no container has asked it there yet".to_owned());
                let message = format!("it listens at {listens}; {why}");
                Condition { message, ..Condition::normal(kind, Reason::ListensForContainers) }
            }
            (None, _) => {
                Condition::unknown(kind, Reason::NotObserved, "it is not known at which addresses it listens")
            }
        }
    }

    /// The sentence of a unit that listens where no container is.
    fn loopback(&self, port: u16) -> String {
        let (unit, service) = (&self.spec.unit, &self.spec.service);
        let consumers = super::reach::consumers(self.world, self.id);
        let names: Vec<&str> = consumers.iter().map(|consumer| consumer.id.key()).collect();
        let cure = if unit.contains("ollama") {
            let host = if port == 11434 { "0.0.0.0".to_owned() } else { format!("0.0.0.0:{port}") };
            format!("`{OLLAMA_HOST}: {host}`")
        } else {
            "its variable for the address to listen on, 0.0.0.0,".to_owned()
        };
        if let Some(host) = self.spec.environment.get(OLLAMA_HOST).filter(|_| unit.contains("ollama")) {
            let overruled = self.overruled();
            let why = Some(overruled.message).filter(|why| !why.is_empty()).or_else(|| self.overridden());
            let why = why.unwrap_or_else(|| "its process has not been started with that".to_owned());
            return format!(
                "{unit} listens on port {port} at 127.0.0.1 only, where {} cannot reach it, though `environment:` of `{service}` has \
                 `{OLLAMA_HOST}: {host}`: {why}",
                names.join(", ")
            );
        }
        let place = match self.spec.management {
            Management::Observe => "into its own configuration".to_owned(),
            Management::Configure | Management::Full => format!("into `environment:` of `{service}`"),
        };
        format!(
            "{unit} listens on port {port} at 127.0.0.1 only, where {} cannot reach it: write {cure} {place}, and see that \
             a firewall keeps others out",
            names.join(", ")
        )
    }

    fn refused(&self, consumer: &str, reach: &Reach, port: u16, listens: &str) -> (Reason, String) {
        let unit = &self.spec.unit;
        match reach {
            Reach::Refused(at) => (
                Reason::ConnectionRefused,
                format!(
                    "{consumer} is refused at {at}:{port}, and {unit} listens at {listens}: let it listen on 0.0.0.0; if it \
                     does, a firewall refuses containers: allow them tcp port {port}"
                ),
            ),
            Reach::NoAnswer(at) => (
                Reason::ConnectionTimedOut,
                format!(
                    "{consumer} has no answer at {at}:{port}, though {unit} listens at {listens}: as a rule a firewall drops \
                     what containers send; allow it, as in `ufw allow proto tcp from 172.16.0.0/12 to any port {port}`"
                ),
            ),
            Reach::NoRoute(at) => (
                Reason::NoRoute,
                format!(
                    "{consumer} has no way to {at}:{port}, where {unit} is reached: put it on a network that is not \
                     `internal: true`"
                ),
            ),
            Reach::Connected(_) | Reach::Untried(_) => (Reason::Reached, String::new()),
        }
    }

    /// Whether a unit that is active answers, and if it does not, which stage is to blame.
    pub(super) fn health(&self) -> Readiness {
        let probed = self.probed();
        match self.lost_port(&probed) {
            Some((reason, message)) => Readiness::not_ready(reason, format!("{}: {message}", self.id.key())),
            None => probed,
        }
    }

    /// What its probes alone say of it.
    pub(super) fn probed(&self) -> Readiness {
        if self.spec.timer().is_some() {
            return self.job_health();
        }
        let run = self.unit.invocation.as_ref();
        if let Some(why) = self.failed_liveness() {
            let message = format!("{} does not answer: {why}", self.id.key());
            return Readiness::not_ready(Reason::Unresponsive, message);
        }
        let asked = |role| self.spec.probe_for(role).map(|probe| (role, probe));
        let first = asked(Role::Startup).filter(|_| super::life::is_starting(self));
        match first.or_else(|| asked(Role::Readiness)).or_else(|| asked(Role::Startup)) {
            Some((role, probe)) => running::probed(self.world, self.id, role, probe, run),
            None => Readiness::ready(Reason::NoProbe),
        }
    }
}

fn reached_at(name: &str, reached: &Reached) -> Option<String> {
    if let Reach::Connected(at) = reached.reach { Some(format!("{name} at {at}")) } else { None }
}

fn untried(name: &str, reached: &Reached) -> Option<String> {
    let Reach::Untried(why) = &reached.reach else { return None };
    Some(format!("it could not be tried from {name}: {why}"))
}

fn waits(kind: ConditionType, stage: &str) -> Condition {
    Condition::unknown(kind, Reason::WaitingForStage, format!("not judged before it is {stage}"))
}
