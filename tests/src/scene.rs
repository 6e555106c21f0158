//! A world on the model, and a hand that carries out plans: the daemon's pass, without the daemon.
//!
//! Everything is observed as the Docker adapter would, planned by the real `plan`, remembered by the real `entries`,
//! and done to the model. Tests build a situation with it and print what is planned; laws iterate it to the end.

mod models;
mod units;

use std::{collections::BTreeMap, time::Duration};

use aiplat_core::{
    Kind, ResourceId, Timestamp,
    action::Action,
    condition::ErrorClass,
    ledger::{Failure, Ledger},
    observed::{Incarnation, ObservedState, ProbeFacts, ProbeOutcome},
    plan::{
        Command, Planned, Requeue, Step, Verdict, World, entries, file_path, plan, ports_in_doubt, waits_for,
    },
    preview::resources,
    spec::{Platform, ProbeSpec, Role},
    watch::{ProbeSchedule, watch},
};
use aiplat_host::{HostError, Target};

use crate::{
    build::{Sketch, instance},
    check,
    generate::gpus::two_cards,
    orders::{self, Orders},
    sim::{Engine, engine::Image, models::ModelWorld},
};

pub use models::models_differ;
pub use units::Machine;

/// A platform, a model of an engine and of systemd, and what is known of them.
#[derive(Debug)]
pub struct Scene {
    /// The file in force.
    pub desired: Platform,
    /// The machine.
    pub engine: Engine,
    /// Its systemd.
    pub machine: Machine,
    /// Its servers of models.
    pub models: ModelWorld,
    /// As last observed.
    pub observed: ObservedState,
    /// What is remembered.
    pub ledger: Ledger,
    /// When the next probe of each service is due, of which run. A first probe is due so long after the first pass that
    /// asked for it: `watch` counts from now, so the earliest answer stands.
    pub probes_due: BTreeMap<(ResourceId, Role), (Incarnation, Timestamp)>,
    /// What people have ordered.
    pub orders: Orders,
    /// Nothing happens behind our back: gates are checked against the truth.
    pub exact_gates: bool,
}

/// What one pass did.
#[derive(Debug, Clone)]
pub struct Pass {
    /// What was decided.
    pub step: Step,
    /// What came of its action.
    pub outcome: Option<Result<(), HostError>>,
}

/// An hour after boot.
pub const START: Timestamp = Timestamp::from_boot(Duration::from_secs(3_600));

impl Scene {
    /// A machine that has every image of `sketch`, and nothing else. Nothing is observed yet.
    #[must_use]
    pub fn new(sketch: &Sketch) -> Self {
        let mut scene = Self {
            desired: sketch.platform(),
            engine: Engine { now: START, ..Engine::default() },
            machine: Machine::default(),
            models: ModelWorld::with_registry(),
            observed: ObservedState::default(),
            ledger: Ledger::default(),
            probes_due: BTreeMap::new(),
            orders: Orders::default(),
            exact_gates: true,
        };
        scene.load(sketch);
        scene
    }

    /// A person gives `command`, for a while if it is a suspension; whether it is taken.
    pub fn order(&mut self, id: &ResourceId, command: Command, lasts: Option<Duration>) -> bool {
        let Some(taken) = orders::take(&self.world(), id, command, lasts, 0) else { return false };
        self.orders.note(id, command, &taken, self.engine.now);
        taken.entries.into_iter().for_each(|entry| self.ledger.enter(id, entry));
        true
    }

    fn load(&mut self, sketch: &Sketch) {
        for service in &sketch.services {
            let Self { engine, .. } = self;
            if !engine.registry.contains_key(&service.image) {
                engine.add_image(&service.image, Image::default());
            }
            engine.install_in_all(&service.name, &service.image, &service.app);
        }
        self.load_units(sketch);
        self.desired = sketch.platform();
    }

    /// Another file is in force.
    pub fn edit(&mut self, sketch: &Sketch) {
        let generation = self.desired.generation + 1;
        self.load(sketch);
        self.desired.generation = generation;
    }

    /// Time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.engine.now
    }

    /// What a decision looks at.
    #[must_use]
    pub fn world(&self) -> World<'_> {
        World { desired: &self.desired, observed: &self.observed, ledger: &self.ledger, now: self.engine.now }
    }

    /// Every resource that there is something to plan for.
    #[must_use]
    pub fn resources(&self) -> Vec<ResourceId> {
        resources(&self.desired, &self.observed, &self.ledger).into_iter().collect()
    }

    /// Lists everything, and looks at every resource.
    pub fn observe(&mut self) {
        let now = self.now();
        self.observed.record_listing(self.engine.listing(), &instance(), now);
        // A machine that nobody has described has what its services ask for.
        let asks = self.desired.services().any(|(_, spec)| !spec.gpus().is_empty());
        if asks && !self.observed.gpus.is_known() {
            self.observed.gpus = two_cards();
        }
        for id in self.resources() {
            self.look(&id);
        }
    }

    /// Looks at one resource.
    pub fn look(&mut self, id: &ResourceId) {
        self.look_at_units();
        if id.kind == Kind::Model {
            self.look_at_model(id);
        }
        if Self::is_of_systemd(id) || id.kind == Kind::Model {
            return;
        }
        let host_name = match id.kind {
            // What is no longer in the file is found by its label.
            Kind::Network => self.desired.networks.get(id).map(|spec| spec.host_name.clone()).or_else(|| {
                let mut ours = self.observed.networks.iter();
                ours.find(|n| n.owner.as_ref().is_some_and(|o| o.resource == *id)).map(|n| n.name.clone())
            }),
            Kind::Volume => self.desired.volumes.get(id).map(|spec| spec.host_name.clone()),
            Kind::File => file_path(&self.world(), id),
            Kind::Image | Kind::Container | Kind::Unit | Kind::Model | Kind::Host => {
                Some(id.key().to_owned())
            }
        };
        let target = Target { id: id.clone(), host_name: host_name.unwrap_or_else(|| id.key().to_owned()) };
        let observed = self.engine.look(&target, &instance());
        let now = self.now();
        self.observed.record(observed, &instance(), now);
        let held = self.engine.held_by_processes(&ports_in_doubt(&self.world(), id));
        self.observed.held_ports.insert(id.clone(), held);
    }

    /// Lets time pass.
    pub fn pass(&mut self, time: Duration) {
        let to = self.now() + time;
        self.engine.advance(to);
        self.catch_up();
    }

    /// What is decided for `id` as things were last observed.
    #[must_use]
    pub fn plan(&self, id: &ResourceId) -> Step {
        plan(&self.world(), id)
    }

    /// One pass over `id`: look, plan, remember, do. An error is remembered as the daemon would.
    pub fn reconcile(&mut self, id: &ResourceId) -> Pass {
        self.look(id);
        let step = self.plan(id);
        for entry in entries(&self.world(), id, &step) {
            self.ledger.enter(id, entry);
        }
        if let Some(Action::StartContainer { id: container }) =
            step.action.as_ref().map(|planned| &planned.action)
        {
            let now = self.now();
            self.observed.record_start(container, now);
        }
        if let Some(Planned { cause, action: _ }) = &step.action {
            let units = self.units();
            let truth = check::Truth { engine: &self.engine, units: &units };
            let found = check::blamed(truth, &self.desired, id, cause);
            assert_eq!(found, None, "{id}: {}", self.text());
        }
        let outcome = step.action.as_ref().map(|planned| self.attempt(id, &planned.action));
        Pass { step, outcome }
    }

    /// Does `action`, and looks at what has come of it. An error is remembered as the daemon would.
    ///
    /// # Errors
    /// As the host.
    pub fn attempt(&mut self, id: &ResourceId, action: &Action) -> Result<(), HostError> {
        let outcome = self.apply(id, action);
        self.remember(id, action, &outcome);
        self.look(id);
        outcome
    }

    /// Does `action`, in its time. Panics where a safety checker objects.
    ///
    /// # Errors
    /// As the host.
    pub fn apply(&mut self, id: &ResourceId, action: &Action) -> Result<(), HostError> {
        if Self::is_of_systemd(id) {
            return self.apply_to_systemd(action);
        }
        if id.kind == Kind::Model {
            return self.apply_to_models(id, action);
        }
        let (takes, exit_code) = self.engine.takes(action);
        let units = self.units();
        let Self { engine, desired, orders, .. } = &*self;
        let call = check::Call { before: engine, units: &units, desired, id, action, orders };
        let mut violations = check::violations(&call, self.exact_gates);
        self.pass(takes);
        let before = self.engine.clone();
        let done = self.engine.act(&instance(), id, action, exit_code);
        violations.extend(check::untouched(&before, &self.engine, &instance().0));
        assert!(violations.is_empty(), "{}", violations.join("\n"));
        // The answer takes its time, too: what ends at once has ended before anybody looks.
        self.pass(Duration::from_millis(1));
        self.engine.events.clear();
        done
    }

    fn remember(&mut self, id: &ResourceId, action: &Action, outcome: &Result<(), HostError>) {
        let now = self.now();
        let fingerprint = self.desired.fingerprint(id);
        self.ledger.note_done(id, action);
        let record = self.ledger.entry(id);
        let Err(error) = outcome else {
            if record.failure.as_ref().is_some_and(|failure| failure.action == action.verb()) {
                record.failure = None;
            }
            return;
        };
        let attempts = record.failure.as_ref().map_or(0, |failure| failure.attempts) + 1;
        let retry_at = match error.class {
            ErrorClass::Transient | ErrorClass::Bug => {
                Some(now + Duration::from_secs(u64::from(attempts.min(60))))
            }
            ErrorClass::Changed if attempts <= 3 => Some(now),
            ErrorClass::Changed => Some(now + Duration::from_secs(u64::from(attempts.min(60)))),
            ErrorClass::Denied => Some(now + Duration::from_secs(60)),
            ErrorClass::Rejected | ErrorClass::Unsupported => None,
        };
        record.failure = Some(Failure {
            action: action.verb().to_owned(),
            class: error.class,
            reason: error.reason,
            message: error.message.clone(),
            attempts,
            retry_at,
            fingerprint,
            room: error.needs_room,
        });
    }

    /// Makes every probe that is due; how long until the next one is.
    pub fn probe(&mut self) -> Option<Duration> {
        self.look_at_units();
        let ids: Vec<ResourceId> = self.desired.services().map(|(id, _)| id.clone()).collect();
        for key in ids.into_iter().flat_map(|id| Role::ALL.map(|role| (id.clone(), role))) {
            let Some((schedule, due)) = self.arm(&key) else { continue };
            if due <= self.now() {
                let container = schedule.container.as_ref().and_then(|id| self.engine.containers.get(&id.0));
                let passed = match schedule.container {
                    Some(_) => container.is_some_and(|container| self.engine.answers(container)),
                    None => self.unit_answers(&key.0),
                };
                self.record_probe(&key, schedule.incarnation, &schedule.probe, passed);
                self.probes_due.remove(&key);
                self.arm(&key);
            }
        }
        let Self { probes_due, desired, .. } = self;
        probes_due.retain(|(id, _), _| desired.wants(id));
        self.probes_due.values().map(|(_, due)| self.now().until(*due)).min()
    }

    fn arm(&mut self, key: &(ResourceId, Role)) -> Option<(ProbeSchedule, Timestamp)> {
        let Some(schedule) = watch(&self.world(), &key.0, key.1) else {
            self.probes_due.remove(key);
            // As the daemon does: what failed before a dependency was seen to be down does not count.
            if key.1 == Role::Liveness {
                self.observed.probes.remove(key);
            }
            return None;
        };
        let now = self.now();
        let fresh = (schedule.incarnation.clone(), now + schedule.after);
        let due = self.probes_due.entry(key.clone()).or_insert_with(|| fresh.clone());
        if due.0 != fresh.0 || fresh.1 < due.1 {
            *due = fresh;
        }
        let due = due.1;
        Some((schedule, due))
    }

    fn record_probe(
        &mut self,
        key: &(ResourceId, Role),
        incarnation: Incarnation,
        spec: &ProbeSpec,
        passed: bool,
    ) {
        let now = self.now();
        let waits_for = if passed { Vec::new() } else { waits_for(&self.world(), &key.0) };
        let transcript = if passed { "connected" } else { "connection refused" }.to_owned();
        let fresh = || ProbeFacts::new(incarnation.clone(), now);
        let facts = self.observed.probes.entry(key.clone()).or_insert_with(fresh);
        if facts.incarnation != incarnation {
            *facts = fresh();
        }
        facts.record(
            ProbeOutcome { at: now, passed, transcript, took: Duration::from_millis(1) },
            spec,
            waits_for,
        );
    }

    /// Passes over everything, in order, until nothing is due for `quiet`: probes are made, time is let pass. Panics
    /// after too many passes: a loop is a bug.
    pub fn converge(&mut self) -> &mut Self {
        self.settle(Duration::from_secs(30));
        self
    }

    /// The same for other lengths of quiet; the verdicts at the end.
    pub fn settle(&mut self, quiet: Duration) -> BTreeMap<ResourceId, Verdict> {
        self.observe();
        let mut quiet_since = self.now();
        for _ in 0..2_000 {
            let mut verdicts = BTreeMap::new();
            let mut wait = Duration::from_secs(1);
            for id in self.resources() {
                let Pass { step, outcome } = self.reconcile(&id);
                if outcome.is_some() {
                    quiet_since = self.now();
                }
                if let Requeue::After(after) = step.requeue {
                    wait = wait.min(after);
                }
                verdicts.insert(id, step.verdict);
            }
            let probing = self.probe();
            if self.now().since(quiet_since) >= quiet {
                return verdicts;
            }
            wait = wait.min(probing.unwrap_or(wait)).max(Duration::from_millis(1));
            self.pass(wait);
        }
        panic!("it does not settle:\n{}", self.text());
    }

    /// What is planned for every resource, a line each, as things were last observed; ids replaced by names.
    #[must_use]
    pub fn text(&self) -> String {
        let lines = self.resources().into_iter().map(|id| format!("{id}: {}", self.line(&id)));
        self.named(&lines.collect::<Vec<_>>().join("\n"))
    }

    /// What is planned for one resource.
    #[must_use]
    pub fn line(&self, id: &ResourceId) -> String {
        let Step { action, verdict, requeue, conditions: _ } = self.plan(id);
        // What is on its way, or there, says nothing of when it is looked at again.
        let is_stuck = !matches!(verdict, Verdict::Converged | Verdict::Progressing);
        let wait = match requeue {
            Requeue::After(_) if !is_stuck => String::new(),
            Requeue::Now | Requeue::OnChange => String::new(),
            Requeue::After(after) => format!(" (again in {})", aiplat_core::time::human(after)),
        };
        let verdict = match (action, verdict) {
            (Some(planned), _) => format!("{} because {}", planned.action, planned.cause),
            (None, Verdict::Converged) => "converged".to_owned(),
            (None, Verdict::Progressing) => "progressing".to_owned(),
            (None, Verdict::Blocked { on }) => {
                let gates: Vec<String> = on.iter().map(ToString::to_string).collect();
                format!("blocked: {}", gates.join("; "))
            }
            (None, Verdict::Unsatisfied { reason, message }) => format!("unsatisfied ({reason}): {message}"),
            (None, Verdict::Held { reason, message }) => format!("held ({reason}): {message}"),
        };
        self.named(&format!("{verdict}{wait}"))
    }

    /// `text` with the ids of containers and networks replaced by their names in brackets.
    #[must_use]
    pub fn named(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for container in self.engine.containers.values() {
            let short = container.id.get(..12).unwrap_or_default();
            text = text.replace(&container.id, &format!("<{}>", container.name));
            text = text.replace(short, &format!("<{}>", container.name));
        }
        for network in self.engine.networks.values() {
            text = text.replace(&network.id, &format!("<{}>", network.name));
        }
        text
    }
}

/// How an engine goes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// SIGTERM: programs get their stop signal.
    Graceful,
    /// SIGKILL: programs are killed at the restore.
    Killed,
    /// live-restore: programs run on.
    Live,
}

impl Scene {
    /// The id of the container of that name.
    #[must_use]
    pub fn id_of(&self, name: &str) -> String {
        self.engine.find(name).unwrap_or_else(|| panic!("no container `{name}`")).id.clone()
    }

    /// A person does something to the engine, in order of the table; then everything is looked at.
    pub fn by_hand(&mut self, act: impl FnOnce(&mut Engine)) -> &mut Self {
        act(&mut self.engine);
        self.observe();
        self
    }

    /// The engine restarts; its loss is seen when it happens, and everything is listed when it is back.
    pub fn restart_engine(&mut self, how: Restart) -> &mut Self {
        let now = self.now();
        self.observed.record_loss("connection refused".to_owned(), now);
        match how {
            Restart::Graceful => self.engine.restart_gracefully(Duration::from_millis(1_500)),
            Restart::Killed => self.engine.restart_killed(Duration::from_secs(11)),
            Restart::Live => self.engine.restart_live(Duration::from_secs(5)),
        }
        self.observe();
        self
    }

    /// aiplatd restarts: what it had only in memory is gone.
    pub fn restart_daemon(&mut self) -> &mut Self {
        self.observed = ObservedState::default();
        self.let_go_of_units();
        self.observe();
        self
    }

    /// Names and states of our containers, a line each.
    #[must_use]
    pub fn containers(&self) -> String {
        let mut lines: Vec<String> = self
            .engine
            .containers
            .values()
            .map(|container| format!("{} {:?} exit={}", container.name, container.state, container.exit_code))
            .collect();
        lines.sort();
        lines.join("\n")
    }
}
