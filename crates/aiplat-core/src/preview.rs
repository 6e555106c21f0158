//! The whole plan: `plan` and `predict`, iterated to a fixpoint. What `diff` prints.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    Kind, ResourceId, Timestamp,
    condition::{ConditionType, Reason, Status},
    ledger::{Ledger, Record},
    observed::{
        ActiveState, ContainerState, Incarnation, ModelAnswer, ModelServer, ObservedFile, ObservedImage,
        ObservedState,
    },
    plan::{
        Requeue, Step, Verdict, World, entries, incarnation, is_model_server_unasked, machine_is_known,
        model_servers, notes, plan,
    },
    predict::{becomes_ready, predict},
    spec::{ContainerPolicy, GpuNeeds, GpuRequest, OnChange, Platform, Role, UnitSpec},
};

/// Actions that can be done side by side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wave {
    /// In order of resource.
    pub actions: Vec<PreviewedAction>,
}

/// One action of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviewedAction {
    /// Of which resource.
    pub resource: ResourceId,
    /// One word: `create`, `stop`.
    pub verb: String,
    /// The whole action.
    pub action: String,
    /// Why.
    pub cause: String,
    /// What it interrupts, if anything.
    pub interrupts: Option<String>,
}

/// What the daemon would do from here, if nothing else happened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// Waves of actions, in order; empty when everything is as the file says.
    pub waves: Vec<Wave>,
    /// What cannot be done, and why: `(resource, sentence)`.
    pub blocked: Vec<(ResourceId, String)>,
    /// What a person should know before it is done, and keeps nothing from being done.
    #[serde(default)]
    pub notes: Vec<(ResourceId, String)>,
}

impl Preview {
    /// Whether a container of `id` is made.
    #[must_use]
    pub fn makes(&self, id: &ResourceId) -> bool {
        let mut actions = self.waves.iter().flat_map(|wave| &wave.actions);
        actions.any(|action| action.resource == *id && action.verb == "create")
    }
}

/// A chain of as many services as a file may have, each taking a handful of steps, fits; nothing sane needs more.
const WAVES_MAX: usize = 20_000;

/// Every resource that has something to plan: what the file asks for, and what of ours is there.
#[must_use]
pub fn resources(desired: &Platform, observed: &ObservedState, ledger: &Ledger) -> BTreeSet<ResourceId> {
    let mut ids: BTreeSet<ResourceId> = desired.ids().cloned().collect();
    ids.extend(observed.owned.keys().cloned());
    let owners = observed.networks.iter().map(|network| &network.owner);
    let owners = owners.chain(observed.volumes.values().map(|volume| &volume.owner));
    let ours = owners.flatten().filter(|owner| owner.instance == desired.instance);
    ids.extend(ours.map(|owner| owner.resource.clone()));
    let is_written = |record: &Record| {
        record.unit.files_of.is_some() || !record.unit.owned.is_empty() || record.file.path.is_some()
    };
    let written = ledger.records.iter().filter(|(_, record)| is_written(record));
    ids.extend(written.map(|(id, _)| id.clone()));
    if ids.iter().any(|id| id.kind == Kind::Unit) {
        ids.insert(ResourceId::systemd());
    }
    if desired.host.docker.is_some() {
        ids.insert(ResourceId::docker());
    }
    if machine_is_known(&observed.machine) {
        ids.insert(ResourceId::local());
    }
    ids
}

/// Waits in a row without an action between them; a wait that never leads to one ends the preview.
const WAITS_MAX: u32 = 100;

/// The plan from `observed` to what `desired` asks for. Waits (grace, back-off) are taken to pass, removals under way
/// to end; an image that has not been looked for is taken to be there.
#[must_use]
pub fn preview(desired: &Platform, observed: &ObservedState, ledger: &Ledger, now: Timestamp) -> Preview {
    let mut future = Future { desired, observed: observed.clone(), ledger: ledger.clone(), now };
    future.assume();
    let ids = resources(desired, &future.observed, ledger);
    let notes = notes_of(&future.world(), &ids);
    let mut waves = Vec::new();
    let mut pending = ids.clone();
    let mut waits = 0;
    while waves.len() < WAVES_MAX {
        let steps = future.steps(&pending);
        if steps.iter().any(|(_, step)| step.action.is_some()) {
            waits = 0;
            waves.push(wave(&steps));
            pending = future.carry_out(&steps);
            continue;
        }
        // Only what the last wave touched was planned: before the end, everything is.
        if pending.len() < ids.len() {
            pending.clone_from(&ids);
            continue;
        }
        waits += 1;
        match next_wait(&steps).filter(|_| waits <= WAITS_MAX) {
            // At least a millisecond, so that a wait of zero gets on.
            Some(wait) => future.now = future.now + wait.max(Duration::from_millis(1)),
            None => return Preview { waves, blocked: blocked(&steps), notes },
        }
    }
    Preview { waves, blocked: Vec::new(), notes }
}

fn notes_of(world: &World<'_>, ids: &BTreeSet<ResourceId>) -> Vec<(ResourceId, String)> {
    let of =
        |id: &ResourceId| notes(world, id).into_iter().map(|note| (id.clone(), note)).collect::<Vec<_>>();
    ids.iter().flat_map(of).collect()
}

/// The world as it will have become.
struct Future<'a> {
    desired: &'a Platform,
    observed: ObservedState,
    ledger: Ledger,
    now: Timestamp,
}

impl Future<'_> {
    fn assume(&mut self) {
        for image in self.desired.images.values() {
            let present = ObservedImage::Present { id: String::new(), has_healthcheck: false };
            self.observed.images.entry(image.reference.clone()).or_insert(present);
        }
        for file in self.desired.files.values() {
            self.observed.own_files.entry(file.path.clone()).or_insert(ObservedFile::Absent);
        }
        self.assume_answers();
        self.assume_models();
        // A person's word does not pass by waiting for it.
        for suspended in
            self.ledger.records.values_mut().filter_map(|record| record.orders.suspended.as_mut())
        {
            if let Some(until) = suspended.until.as_mut().filter(|until| until.at > self.now) {
                until.at = Timestamp::from_boot(Duration::MAX);
            }
        }
        for members in self.observed.owned.values_mut() {
            members.retain(|member| member.state != ContainerState::Removing);
        }
        self.observed.owned.retain(|_, members| !members.is_empty());
    }

    /// A unit that runs, and that nobody has asked yet, is taken to answer: so it is before its service is in force.
    fn assume_answers(&mut self) {
        let running = self.desired.units.iter().filter_map(|(id, spec)| {
            let unit = self.observed.units.get(spec.main())?;
            let run = unit.invocation.clone().filter(|_| unit.active == ActiveState::Active)?;
            let is_of = |role| self.observed.probes.get(&(id.clone(), role)).map(|facts| &facts.incarnation);
            let is_asked = Role::ALL.into_iter().any(|role| is_of(role) == Some(&run));
            (!is_asked).then(|| (id.clone(), run))
        });
        for (id, run) in running.collect::<Vec<_>>() {
            becomes_ready(&mut self.observed, &id, run, self.now);
        }
    }

    /// A server of models that is ready, and was not asked since it runs, is taken to answer, and to have what it had before.
    fn assume_models(&mut self) {
        let servers: Vec<(ResourceId, Option<Incarnation>)> = {
            let world = self.world();
            let unasked = model_servers(&world).into_iter().filter(|id| is_model_server_unasked(&world, id));
            unasked.map(|id| (id.clone(), incarnation(&world, id))).collect()
        };
        for (id, run) in servers {
            let before = self.observed.model_servers.remove(&id);
            let facts = before.and_then(|server| server.facts().cloned()).unwrap_or_default();
            self.observed.model_servers.insert(id, ModelServer { run, answer: ModelAnswer::Answers(facts) });
        }
    }

    fn world(&self) -> World<'_> {
        World { desired: self.desired, observed: &self.observed, ledger: &self.ledger, now: self.now }
    }

    fn steps(&self, ids: &BTreeSet<ResourceId>) -> Vec<(ResourceId, Step)> {
        ids.iter().map(|id| (id.clone(), plan(&self.world(), id))).collect()
    }

    /// Does what is due, successfully; answers with whose step may differ now.
    fn carry_out(&mut self, steps: &[(ResourceId, Step)]) -> BTreeSet<ResourceId> {
        let mut done = Vec::new();
        let mut remembered = Vec::new();
        for (id, step) in steps {
            let Some(planned) = &step.action else { continue };
            remembered.extend(entries(&self.world(), id, step).into_iter().map(|entry| (id.clone(), entry)));
            done.push((id.clone(), planned.action.clone()));
        }
        for (id, entry) in remembered {
            self.ledger.enter(&id, entry);
        }
        for (id, action) in &done {
            predict(&mut self.observed, self.desired, id, action, self.now);
            self.ledger.note_done(id, action);
            if let Some(record) = self.ledger.records.get_mut(id) {
                record.failure = None;
            }
        }
        self.assume_models();
        affected(self.desired, &done)
    }
}

/// What `after` changes of the services of `before` without any action: aiplatd itself behaves differently.
#[must_use]
pub fn without_action(before: &Platform, after: &Platform) -> Vec<(ResourceId, String)> {
    let mut changes = containers_without_action(before, after);
    changes.extend(units_without_action(before, after));
    changes
}

fn units_without_action(before: &Platform, after: &Platform) -> Vec<(ResourceId, String)> {
    let both = after.units.iter().filter_map(|(id, new)| Some((id, before.units.get(id)?, new)));
    let changes = both.filter_map(|(id, old, new)| {
        let UnitSpec {
            service: _,
            unit,
            management,
            // Written, and followed by a reload or a restart.
            environment: _,
            own: _,
            restart,
            dependencies,
            probe,
            startup,
            liveness,
            gpus,
        } = old;
        // It is another unit from now on: that is actions enough.
        if *unit != new.unit {
            return None;
        }
        let same_probes = (probe, startup, liveness) == (&new.probe, &new.startup, &new.liveness);
        let changed = [
            ("management", *management != new.management),
            ("restart", *restart != new.restart),
            ("depends_on", *dependencies != new.dependencies),
            ("healthcheck", !same_probes),
            ("gpus", *gpus != new.gpus),
        ];
        Some((id.clone(), followed(&changed)?))
    });
    changes.collect()
}

/// The sentence of what changed, if anything did.
fn followed(changed: &[(&str, bool)]) -> Option<String> {
    let changed: Vec<&str> = changed.iter().filter(|(_, differs)| *differs).map(|(name, _)| *name).collect();
    let sentence = format!("{} changed, which aiplatd follows without touching it", changed.join(", "));
    (!changed.is_empty()).then_some(sentence)
}

fn containers_without_action(before: &Platform, after: &Platform) -> Vec<(ResourceId, String)> {
    let both = after.containers.iter().filter_map(|(id, new)| Some((id, before.containers.get(id)?, new)));
    let changes = both.filter_map(|(id, old, new)| {
        let ContainerPolicy {
            restart,
            on_change,
            dependencies,
            probe,
            startup,
            liveness,
            stop_grace,
            update,
            gpus,
        } = &old.policy;
        let same_probes =
            (probe, startup, liveness) == (&new.policy.probe, &new.policy.startup, &new.policy.liveness);
        let changed = [
            ("restart", *restart != new.policy.restart),
            ("on_change", on_change_differs(on_change, &new.policy.on_change)),
            ("depends_on", *dependencies != new.policy.dependencies),
            ("healthcheck", !same_probes),
            ("stop_grace_period", *stop_grace != new.policy.stop_grace),
            ("update_config", *update != new.policy.update),
            ("gpus", !needs(gpus).eq(needs(&new.policy.gpus))),
        ];
        Some((id.clone(), followed(&changed)?))
    });
    changes.collect()
}

/// What of a request is aiplatd's alone: the rest of it changes the container.
fn needs(gpus: &[GpuRequest]) -> impl Iterator<Item = &GpuNeeds> {
    gpus.iter().map(|request| &request.needs)
}

/// A config that comes or goes changes the container; one that is followed in another way does not.
fn on_change_differs(
    before: &BTreeMap<ResourceId, OnChange>,
    after: &BTreeMap<ResourceId, OnChange>,
) -> bool {
    after.iter().any(|(id, follows)| before.get(id).is_some_and(|before| before != follows))
}

fn wave(steps: &[(ResourceId, Step)]) -> Wave {
    let actions = steps.iter().filter_map(|(id, step)| {
        let planned = step.action.as_ref()?;
        Some(PreviewedAction {
            resource: id.clone(),
            verb: planned.action.verb().to_owned(),
            action: planned.action.to_string(),
            cause: planned.cause.to_string(),
            interrupts: planned.interrupts().map(str::to_owned),
        })
    });
    Wave { actions: actions.collect() }
}

fn next_wait(steps: &[(ResourceId, Step)]) -> Option<Duration> {
    let suspended = |step: &Step| {
        let mut conditions = step.conditions.iter();
        conditions.any(|it| it.kind == ConditionType::Suspended && it.status == Status::True)
    };
    let waits =
        steps.iter().filter(|(_, step)| !suspended(step)).filter_map(|(_, step)| match step.requeue {
            Requeue::After(wait) => Some(wait),
            Requeue::Now | Requeue::OnChange => None,
        });
    waits.min()
}

/// Whose step may differ after these actions: their own resources, and what looks at those. Everything is planned
/// once more before the end, so that this is a matter of speed only.
fn affected(desired: &Platform, done: &[(ResourceId, crate::action::Action)]) -> BTreeSet<ResourceId> {
    let mut ids: BTreeSet<ResourceId> = done.iter().map(|(id, _)| id.clone()).collect();
    for (id, spec) in desired.services() {
        if done.iter().any(|(other, _)| !other.is_service() || spec.needs(other)) {
            ids.insert(id.clone());
        }
    }
    for (id, spec) in &desired.models {
        if done.iter().any(|(other, _)| *other == spec.runner) {
            ids.insert(id.clone());
        }
    }
    if ids.iter().any(|id| id.kind == Kind::Unit) {
        ids.insert(ResourceId::systemd());
    }
    ids
}

fn blocked(steps: &[(ResourceId, Step)]) -> Vec<(ResourceId, String)> {
    let sentence = |verdict: &Verdict| match verdict {
        Verdict::Blocked { on } => {
            let gates: Vec<String> = on.iter().map(ToString::to_string).collect();
            Some(gates.join("; "))
        }
        // It is as the file says, and does not do well: `why` says so, and no plan waits for it.
        Verdict::Unsatisfied { reason: Reason::ProbeFailed | Reason::Failed | Reason::RunFailed, .. } => None,
        Verdict::Unsatisfied { message, .. } | Verdict::Held { message, .. } => Some(message.clone()),
        Verdict::Converged | Verdict::Progressing => None,
    };
    steps.iter().filter_map(|(id, step)| Some((id.clone(), sentence(&step.verdict)?))).collect()
}
