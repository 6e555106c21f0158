//! What people order, given as the daemon takes it and kept apart from the ledger: safety is checked against this.

use std::{collections::BTreeMap, time::Duration};

use aiplat_core::{
    ResourceId, Timestamp,
    action::{Action, UnitVerb, label},
    fingerprint,
    ledger::{Order, Until},
    observed::ContainerId,
    plan::{Command, Entry, World, image_now, order, refused},
    spec::Platform,
};

use crate::{
    check::{
        Call, is_alive, is_of, members, print,
        units::{UnitCall, Units, left_over, service_of, unit_of},
    },
    sim::engine::{Engine, State},
};

/// An order that the daemon has taken.
#[derive(Debug, Clone)]
pub struct Taken {
    /// What it changes in the record of its service.
    pub entries: Vec<Entry>,
    until: Option<Timestamp>,
    image: Option<String>,
}

/// `command` on the service `id`, for a while if it is a suspension; `None` where the daemon refuses it. `wall_ms` is now.
#[must_use]
pub fn take(
    world: &World<'_>,
    id: &ResourceId,
    command: Command,
    lasts: Option<Duration>,
    wall_ms: i64,
) -> Option<Taken> {
    let suspended = world.ledger.suspension(id, world.now).is_some();
    let is_for_nobody = !is_asked_for(world.desired, id);
    if (suspended && command.acts()) || (is_for_nobody && !(suspended && command == Command::Resume)) {
        return None;
    }
    if refused(world, id, command).is_some() {
        return None;
    }
    let by = Order { by: "uid 0".to_owned(), wall_ms: 0 };
    let lasts = lasts.filter(|_| command == Command::Suspend);
    // As the daemon: it would come back by itself, which nobody has ordered.
    if lasts.is_some() && world.ledger.suspension(id, world.now).is_some_and(|it| it.released) {
        return None;
    }
    let until = lasts.map(|lasts| Until {
        at: world.now + lasts,
        wall_ms: wall_ms.saturating_add(i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX)),
        text: "12:00".to_owned(),
    });
    Some(Taken {
        entries: order(world, id, command, by, until.clone()),
        until: until.map(|until| until.at),
        image: image_now(world, id).map(str::to_owned),
    })
}

fn is_asked_for(desired: &Platform, id: &ResourceId) -> bool {
    desired.containers.contains_key(id) || desired.units.contains_key(id)
}

#[derive(Debug, Clone, Copy)]
struct Suspended {
    since: Timestamp,
    until: Option<Timestamp>,
    released: bool,
}

/// The orders in force.
#[derive(Debug, Clone, Default)]
pub struct Orders {
    tolerance: Duration,
    suspended: BTreeMap<ResourceId, Suspended>,
    stopped: BTreeMap<ResourceId, Timestamp>,
    /// Who was ordered stopped, in the file or not, and when started since.
    once_stopped: BTreeMap<ResourceId, Option<Timestamp>>,
    updated: BTreeMap<ResourceId, String>,
}

impl Orders {
    /// None yet. What is under way when one comes may still be done for so long.
    #[must_use]
    pub fn within(tolerance: Duration) -> Self {
        Self { tolerance, ..Self::default() }
    }

    /// `command` on `id` was taken at `now`.
    pub fn note(&mut self, id: &ResourceId, command: Command, taken: &Taken, now: Timestamp) {
        let id = id.clone();
        match command {
            Command::Start | Command::Restart => {
                self.once_stopped.entry(id.clone()).and_modify(|over| *over = over.or(Some(now)));
            }
            Command::Stop => drop(self.once_stopped.insert(id.clone(), None)),
            Command::Update
            | Command::Suspend
            | Command::Release
            | Command::Resume
            | Command::ResetFailed => {}
        }
        match command {
            Command::Start | Command::Restart => drop(self.stopped.remove(&id)),
            Command::Stop => drop(self.stopped.insert(id, now)),
            Command::Update => self.updated.extend(taken.image.clone().map(|image| (id, image))),
            // Who is released stays so.
            Command::Suspend if taken.entries.is_empty() => {}
            Command::Suspend | Command::Release => {
                let released = command == Command::Release;
                self.suspended.insert(id, Suspended { since: now, until: taken.until, released });
            }
            Command::Resume => drop(self.suspended.remove(&id)),
            Command::ResetFailed => {}
        }
    }

    /// What is neither in the file nor on the machine is forgotten, with what was ordered of it.
    pub fn forget_gone(&mut self, engine: &Engine, units: &Units, desired: &Platform) {
        let has_ours = |id: &ResourceId| {
            let mut units = units.iter().filter(|(name, _)| name.starts_with(id.key()));
            units.any(|(_, unit)| left_over(&unit.view()).is_some())
        };
        let is_gone = |id: &ResourceId| {
            let is_there = members(engine, desired, id).next().is_some() || has_ours(id);
            !is_asked_for(desired, id) && !is_there
        };
        self.suspended.retain(|id, _| !is_gone(id));
        self.stopped.retain(|id, _| !is_gone(id));
        self.updated.retain(|id, _| !is_gone(id));
    }

    /// Whether `id` is to be kept stopped.
    pub(crate) fn is_stopped(&self, id: &ResourceId) -> bool {
        self.stopped.contains_key(id)
    }

    /// Whether a stop of `id` that is late was ordered: one that left the file meanwhile may be forgotten, or not yet.
    pub(crate) fn was_stopped(&self, id: &ResourceId, now: Timestamp) -> bool {
        let over = self.once_stopped.get(id);
        over.is_some_and(|over| over.is_none_or(|over| now.since(over) <= self.tolerance))
    }

    /// Who is suspended or kept stopped, ended or not.
    #[must_use]
    pub fn held(&self) -> Vec<ResourceId> {
        self.suspended.keys().chain(self.stopped.keys()).cloned().collect()
    }

    /// S15 to S18: what `call` does against an order, or without one that it needs.
    #[must_use]
    pub(crate) fn violations(&self, call: &Call<'_>) -> Vec<String> {
        let found =
            [self.hands_off(call), self.kept_stopped(call), self.same_file(call), self.ends_for_good(call)];
        found.into_iter().flatten().collect()
    }

    /// The same of an action on a unit.
    #[must_use]
    pub(crate) fn unit_violations(&self, call: &UnitCall<'_>) -> Vec<String> {
        let Some((id, _)) = unit_of(call.action).and_then(|unit| service_of(call.desired, unit)) else {
            return Vec::new();
        };
        let now = call.truth.engine.now;
        let starts = matches!(call.action, Action::Unit { verb: UnitVerb::Start | UnitVerb::Restart, .. });
        let suspended = self.in_force(id, now).map(|_| "S15: it is suspended".to_owned());
        let stopped = self.stopped.get(id).is_some_and(|since| *since + self.tolerance <= now);
        let stopped = (starts && stopped).then(|| "S16: it is ordered stopped".to_owned());
        suspended.into_iter().chain(stopped).collect()
    }

    fn in_force(&self, id: &ResourceId, now: Timestamp) -> Option<Suspended> {
        let is_now = |it: &&Suspended| it.since + self.tolerance <= now && it.until.is_none_or(|at| at > now);
        self.suspended.get(id).filter(is_now).copied()
    }

    /// S15: nothing is done to a service that is suspended, but to hand one back that is released.
    fn hands_off(&self, call: &Call<'_>) -> Option<String> {
        let suspended = self.in_force(call.id, call.before.now)?;
        let handed_back = suspended.released && matches!(call.action, Action::HandBack { .. });
        (!handed_back).then(|| "S15: it is suspended".to_owned())
    }

    /// S16: what is ordered stopped is not started.
    fn kept_stopped(&self, call: &Call<'_>) -> Option<String> {
        let starts = matches!(call.action, Action::StartContainer { .. });
        let in_force = |since: &Timestamp| *since + self.tolerance <= call.before.now;
        let stopped = self.stopped.get(call.id).is_some_and(in_force);
        (starts && stopped).then(|| "S16: it is ordered stopped".to_owned())
    }

    /// S17: beside one of the same file, joined to the same containers and with the same GPUs, another is made for an update that
    /// was ordered, or when it does not reach its GPUs.
    fn same_file(&self, call: &Call<'_>) -> Option<String> {
        let Action::CreateContainer(create) = call.action else { return None };
        let wanted = fingerprint::of(&create.spec.runtime);
        let gpus = create.labels.gpus.as_ref().map(ToString::to_string);
        let mut others = members(call.before, call.desired, call.id);
        let same = others.find(|other| {
            other.state != State::Dead
                && other.joins == create.joins.values().cloned().collect()
                && print(other) == Some(wanted.as_str())
                && other.labels.get(label::GPUS) == gpus.as_ref()
                && !call.before.is_blind(&ContainerId(other.id.clone()))
        })?;
        (!self.updated.contains_key(call.id)).then(|| format!("S17: {} is of the same file", same.name))
    }

    /// S18: the only container of a service of the file that runs with a GPU is not ended while driver and library disagree, but
    /// on a person's word. aiplatd looks twice a minute.
    fn ends_for_good(&self, call: &Call<'_>) -> Option<String> {
        const LOOKED: Duration = Duration::from_secs(40);
        let Action::StopContainer { id, .. } = call.action else { return None };
        let frozen = call.before.gpus_frozen.is_some_and(|since| since + LOOKED <= call.before.now);
        let target = call.before.containers.get(&id.0)?;
        let has_gpu = target.labels.get(label::GPUS).is_some_and(|gpus| gpus != "none");
        let is_last = members(call.before, call.desired, call.id).filter(|it| is_alive(it)).count() == 1;
        let ordered = self.is_stopped(call.id) || self.was_stopped(call.id, call.before.now);
        let is_wrong = frozen
            && has_gpu
            && is_last
            && is_alive(target)
            && !ordered
            && is_asked_for(call.desired, call.id);
        is_wrong.then(|| format!("S18: {} has a GPU, and nothing with a GPU comes back now", target.name))
    }

    /// Who runs from another image than was ordered, though the tag still means that one.
    #[must_use]
    pub fn undone(&self, engine: &Engine, desired: &Platform) -> Vec<String> {
        let undone = |(id, image): (&ResourceId, &String)| {
            let reference = &desired.containers.get(id)?.runtime.image;
            let is_meant = engine.images.get(reference).is_some_and(|now| now.id(reference) == *image);
            let mut ours = engine.containers.values().filter(|it| is_of(&it.labels, desired, id));
            let other = ours.find(|it| is_alive(it) && it.image_id != *image).filter(|_| is_meant)?;
            Some(format!("{id} runs from {}, and {image} was ordered", other.image_id))
        };
        self.updated.iter().filter_map(undone).collect()
    }
}
