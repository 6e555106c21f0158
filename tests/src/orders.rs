//! What people order, given as the daemon takes it and kept apart from the ledger: safety is checked against this.

use std::{collections::BTreeMap, time::Duration};

use aiplat_core::{
    ResourceId, Timestamp,
    action::Action,
    fingerprint,
    ledger::{Order, Until},
    plan::{Command, Entry, World, image_now, order},
    spec::Platform,
};

use crate::{
    check::{Call, is_alive, is_of, members, print},
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

/// `command` on the service `id`, for a while if it is a suspension; `None` where the daemon refuses it.
#[must_use]
pub fn take(world: &World<'_>, id: &ResourceId, command: Command, lasts: Option<Duration>) -> Option<Taken> {
    let suspended = world.ledger.suspension(id, world.now).is_some();
    let is_for_nobody = !world.desired.containers.contains_key(id);
    if (suspended && command.acts()) || (is_for_nobody && !(suspended && command == Command::Resume)) {
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
        wall_ms: i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX),
        text: "12:00".to_owned(),
    });
    Some(Taken {
        entries: order(world, id, command, by, until.clone()),
        until: until.map(|until| until.at),
        image: image_now(world, id).map(str::to_owned),
    })
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
    pub fn forget_gone(&mut self, engine: &Engine, desired: &Platform) {
        let is_gone = |id: &ResourceId| {
            !desired.containers.contains_key(id) && members(engine, desired, id).next().is_none()
        };
        self.suspended.retain(|id, _| !is_gone(id));
        self.stopped.retain(|id, _| !is_gone(id));
        self.updated.retain(|id, _| !is_gone(id));
    }

    /// Whether `id` is to be kept stopped.
    pub(crate) fn is_stopped(&self, id: &ResourceId) -> bool {
        self.stopped.contains_key(id)
    }

    /// Who is suspended or kept stopped, ended or not.
    #[must_use]
    pub fn held(&self) -> Vec<ResourceId> {
        self.suspended.keys().chain(self.stopped.keys()).cloned().collect()
    }

    /// S15 to S17: what `call` does against an order, or without one that it needs.
    #[must_use]
    pub(crate) fn violations(&self, call: &Call<'_>) -> Vec<String> {
        let found = [self.hands_off(call), self.kept_stopped(call), self.same_file(call)];
        found.into_iter().flatten().collect()
    }

    /// S15: nothing is done to a service that is suspended, but to hand one back that is released.
    fn hands_off(&self, call: &Call<'_>) -> Option<String> {
        let suspended = self.suspended.get(call.id)?;
        let now = call.before.now;
        let in_force = suspended.since + self.tolerance <= now && suspended.until.is_none_or(|at| at > now);
        let handed_back = suspended.released && matches!(call.action, Action::HandBack { .. });
        (in_force && !handed_back).then(|| "S15: it is suspended".to_owned())
    }

    /// S16: what is ordered stopped is not started.
    fn kept_stopped(&self, call: &Call<'_>) -> Option<String> {
        let starts = matches!(call.action, Action::StartContainer { .. });
        let in_force = |since: &Timestamp| *since + self.tolerance <= call.before.now;
        let stopped = self.stopped.get(call.id).is_some_and(in_force);
        (starts && stopped).then(|| "S16: it is ordered stopped".to_owned())
    }

    /// S17: beside one of the same file, joined to the same containers, another is made for an update that was ordered.
    fn same_file(&self, call: &Call<'_>) -> Option<String> {
        let Action::CreateContainer(create) = call.action else { return None };
        let wanted = fingerprint::of(&create.spec.runtime);
        let mut others = members(call.before, call.desired, call.id);
        let same = others.find(|other| {
            other.state != State::Dead
                && other.joins == create.joins.values().cloned().collect()
                && print(other) == Some(wanted.as_str())
        })?;
        (!self.updated.contains_key(call.id)).then(|| format!("S17: {} is of the same file", same.name))
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
