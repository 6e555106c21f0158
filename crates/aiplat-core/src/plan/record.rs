//! What must be remembered of a step. Decided here, written by the daemon **before** the action is done: a crash in
//! between over-counts, which only makes us more careful.

use std::collections::BTreeMap;

use super::{Cause, Members, Planned, Step, World, image, readiness::ready_incarnation, running};
use crate::{
    ResourceId,
    action::Action,
    condition::Status,
    fingerprint::{self, FieldHashes, Fingerprint, Fingerprinted},
    ledger::{Ledger, Orders, Proven, Restart, STOPPED_MAX, TakenBack},
    observed::{ContainerId, Incarnation},
};

/// One change of a resource's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A start that counts as a restart.
    Restart {
        /// When, and what ended before it.
        restart: Restart,
        /// The spec it happens under.
        fingerprint: Fingerprint,
    },
    /// We end this run ourselves.
    Stopping(Incarnation),
    /// What its dependencies ran as when it was started, or when it was first seen.
    Dependencies(BTreeMap<ResourceId, Incarnation>),
    /// What its objects are made from, field by field: the one about to be made, and those that exist.
    Fields(BTreeMap<Fingerprint, FieldHashes>),
    /// It is Ready as made from this, asked like this.
    Proven(Proven),
    /// This edit is taken back, and not tried again.
    TakenBack(TakenBack),
    /// What a person has ordered.
    Orders(Orders),
    /// Failures and restarts do not count any more.
    Forget,
    /// An edit that was taken back may be tried again.
    ForgetEdit,
    /// A pull for these users.
    Pulled(Vec<Fingerprint>),
}

/// What `step` changes in the record of `id`.
#[must_use]
pub fn entries(world: &World<'_>, id: &ResourceId, step: &Step) -> Vec<Entry> {
    let mut entries: Vec<Entry> = proven(world, id).into_iter().collect();
    let Some(planned) = &step.action else {
        entries.extend(adopt(world, id));
        return entries;
    };
    if let Cause::TakenBack { why } = &planned.cause {
        let edit =
            world.desired.fingerprint(id).map(|fingerprint| TakenBack { fingerprint, why: why.clone() });
        entries.extend(edit.map(Entry::TakenBack));
    }
    entries.extend(of_action(world, id, planned));
    entries
}

fn of_action(world: &World<'_>, id: &ResourceId, planned: &Planned) -> Vec<Entry> {
    match &planned.action {
        Action::StartContainer { id: container } => starting(world, id, container, &planned.cause),
        Action::StopContainer { id: container, .. } => {
            incarnation(world, id, container).map(Entry::Stopping).into_iter().collect()
        }
        Action::CreateContainer(create) => vec![fields(world, id, &create.spec.runtime)],
        Action::CreateNetwork { spec, .. } => vec![fields(world, id, spec)],
        Action::CreateVolume { spec, .. } => vec![fields(world, id, spec)],
        Action::PullImage { .. } => vec![Entry::Pulled(image::users(world, id))],
        Action::RemoveNetwork { .. }
        | Action::UnpauseContainer { .. }
        | Action::RemoveContainer { .. }
        | Action::RenameContainer { .. }
        | Action::Connect { .. }
        | Action::Disconnect { .. }
        | Action::UpdateLimits { .. } => Vec::new(),
    }
}

/// What serves as the file asks, if that is news.
fn proven(world: &World<'_>, id: &ResourceId) -> Option<Entry> {
    let spec = world.desired.containers.get(id)?;
    let members = Members::of(world, id, spec);
    let current = members.current.filter(|current| members.current_matches && current.state.is_alive())?;
    if running::health(world, id, spec, current).status != Status::True {
        return None;
    }
    let known = world.ledger.get(id).and_then(|record| record.proven.as_ref());
    // While what is known to have served is still there to go back to, an edit has to hold for a moment.
    let served = known.zip(members.previous);
    let can_return = served.is_some_and(|(known, old)| old.fingerprint() == Some(&known.fingerprint));
    if can_return && running::left_to_watch(world, spec, current).is_some() {
        return None;
    }
    let proven = Proven { fingerprint: current.fingerprint()?.clone(), probe: spec.policy.probe.clone() };
    (known != Some(&proven)).then_some(Entry::Proven(proven))
}

fn fields(world: &World<'_>, id: &ResourceId, made: &impl Fingerprinted) -> Entry {
    let mut fields = world.ledger.get(id).map(|record| record.fields.clone()).unwrap_or_default();
    let members = world.observed.owned.get(id).map(Vec::as_slice).unwrap_or_default();
    fields.retain(|print, _| members.iter().any(|member| member.fingerprint() == Some(print)));
    fields.insert(fingerprint::of(made), fingerprint::fields(made));
    Entry::Fields(fields)
}

fn starting(world: &World<'_>, id: &ResourceId, container: &ContainerId, cause: &Cause) -> Vec<Entry> {
    let Some(spec) = world.desired.containers.get(id) else { return Vec::new() };
    let mut entries = Vec::new();
    let run = incarnation(world, id, container);
    let counted =
        |run: &Incarnation| world.ledger.get(id).is_some_and(|record| record.restarts.has_counted(run));
    if let Cause::Ended { how, .. } = cause
        && !run.as_ref().is_some_and(counted)
    {
        let sighting = world.observed.sightings.get(container);
        entries.push(Entry::Restart {
            restart: Restart {
                of: run,
                at: world.now,
                ran: sighting.map(running::run_length).unwrap_or_default(),
                ending: how.clone(),
            },
            fingerprint: fingerprint::of(&spec.runtime),
        });
    }
    let edges = spec.policy.dependencies.iter().filter(|(_, edge)| edge.restart);
    let present: BTreeMap<_, _> =
        edges.filter_map(|(on, _)| Some((on.clone(), ready_incarnation(world, on)?))).collect();
    if !present.is_empty() || world.ledger.get(id).is_some_and(|record| !record.dependencies.is_empty()) {
        entries.push(Entry::Dependencies(present));
    }
    entries
}

/// A running container with an edge of which nothing is remembered takes what runs now as what it was started with.
fn adopt(world: &World<'_>, id: &ResourceId) -> Vec<Entry> {
    let Some(spec) = world.desired.containers.get(id) else { return Vec::new() };
    let runs = Members::of(world, id, spec).current.is_some_and(|current| current.state.is_alive());
    let known = world.ledger.get(id).map(|record| record.dependencies.clone()).unwrap_or_default();
    let edges = spec.policy.dependencies.iter().filter(|(on, edge)| edge.restart && !known.contains_key(*on));
    let mut all = known.clone();
    all.extend(edges.filter_map(|(on, _)| Some((on.clone(), ready_incarnation(world, on)?))));
    if runs && all != known { vec![Entry::Dependencies(all)] } else { Vec::new() }
}

fn incarnation(world: &World<'_>, id: &ResourceId, container: &ContainerId) -> Option<Incarnation> {
    let members = world.observed.owned.get(id)?;
    members.iter().find(|member| member.id == *container)?.incarnation()
}

impl Ledger {
    /// Writes `entry` into the record of `id`.
    pub fn enter(&mut self, id: &ResourceId, entry: Entry) {
        let record = self.entry(id);
        match entry {
            Entry::Restart { restart, fingerprint } => record.restarts.count(restart, &fingerprint),
            Entry::Stopping(incarnation) => {
                record.stopped.retain(|known| *known != incarnation);
                record.stopped.push(incarnation);
                if record.stopped.len() > STOPPED_MAX {
                    record.stopped.remove(0);
                }
            }
            Entry::Dependencies(dependencies) => record.dependencies = dependencies,
            Entry::Fields(fields) => record.fields = fields,
            Entry::Orders(orders) => record.orders = orders,
            Entry::Forget => {
                record.failure = None;
                record.restarts.recent.clear();
            }
            Entry::ForgetEdit => record.taken_back = None,
            Entry::Proven(proven) => record.proven = Some(proven),
            Entry::TakenBack(edit) => {
                record.taken_back = Some(edit);
                // What failed was the edit's.
                record.failure = None;
            }
            Entry::Pulled(users) => record.pulled_for = users,
        }
    }
}
