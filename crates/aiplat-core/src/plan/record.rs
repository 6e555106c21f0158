//! What must be remembered of a step. Decided here, written by the daemon **before** the action is done: a crash in
//! between over-counts, which only makes us more careful.

use std::collections::BTreeMap;

use super::{
    Cause, Members, Planned, Step, World, contents, ended, fight, file, gpu, image, moved,
    readiness::ready_incarnation, running,
};
use crate::{
    Kind, ResourceId,
    action::Action,
    classify::FailureClass,
    condition::Status,
    fingerprint::{self, FieldHashes, Fingerprint, Fingerprinted},
    ledger::{
        AssignedGpus, Basis, Contents, FileRecord, Ledger, Orders, Proven, REVERTS_KEPT, RefusedGpus,
        Restart, Revert, STOPPED_MAX, TakenBack, UnitRecord,
    },
    observed::{ContainerId, Incarnation},
    spec::{ContainerSpec, Dependency},
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
        /// What it is made on, besides the spec.
        basis: Basis,
    },
    /// This run ended while something that it needs was down.
    Excused(Incarnation),
    /// Drift is put right.
    Reverted(Revert),
    /// We end this run ourselves.
    Stopping(Incarnation),
    /// What its dependencies ran as when it was started, or when it was first seen.
    Dependencies(BTreeMap<ResourceId, Incarnation>),
    /// What its objects are made from, field by field: the one about to be made, and those that exist.
    Fields(BTreeMap<Fingerprint, FieldHashes>),
    /// It is Ready as made from this, asked like this.
    Proven(Box<Proven>),
    /// This edit is taken back, and not tried again.
    TakenBack(TakenBack),
    /// What a person has ordered.
    Orders(Orders),
    /// The update to this image is done. Not an `Orders`: a person may have ordered something else since it was decided.
    Updated(String),
    /// Failures and restarts do not count any more.
    Forget,
    /// An edit that was taken back may be tried again.
    ForgetEdit,
    /// A pull for these users.
    Pulled(Vec<Fingerprint>),
    /// What is remembered of a file.
    File(FileRecord),
    /// Which contents of its configs a run was started with.
    Contents(Box<Contents>),
    /// What is remembered of a unit.
    Unit(Box<UnitRecord>),
    /// Which GPUs it was given.
    Gpus(AssignedGpus),
    /// The container, and its run, that is restarted because it does not reach its GPUs; `None`: one does again.
    GpuLost(Option<(ContainerId, Incarnation)>),
    /// The engine has refused to start it with a GPU, and it may do without.
    GpuRefused(RefusedGpus),
}

/// What `step` changes in the record of `id`.
#[must_use]
pub fn entries(world: &World<'_>, id: &ResourceId, step: &Step) -> Vec<Entry> {
    if id.kind == Kind::Unit {
        return super::unit::entries(world, id, step);
    }
    if *id == ResourceId::systemd() {
        return super::systemd::entries(world, id, step);
    }
    if id.kind == Kind::File {
        return file::entries(world, id, step);
    }
    // Nothing of it is ours: the copy beside it is all the memory there is, besides who undoes what.
    if *id == ResourceId::docker() {
        return fight::revert(world, id, step).map(Entry::Reverted).into_iter().collect();
    }
    let mut entries: Vec<Entry> = proven(world, id).into_iter().chain(excused(world, id)).collect();
    let Some(planned) = &step.action else {
        entries.extend(adopt(world, id));
        entries.extend(contents::followed(world, id));
        entries.extend(updated(world, id));
        entries.extend(gpu::regained(world, id));
        entries.extend(gpu::refusal(world, id));
        return entries;
    };
    if let Cause::TakenBack { why } = &planned.cause {
        let edit = world.desired.fingerprint(id).map(|fingerprint| TakenBack {
            fingerprint,
            image: moved::ordered(world, id).map(str::to_owned),
            why: why.clone(),
        });
        entries.extend(edit.map(Entry::TakenBack));
    }
    // What failed was the other image's.
    entries.extend(matches!(planned.cause, Cause::ImageReplaced { .. }).then_some(Entry::Forget));
    entries.extend(fight::revert(world, id, step).map(Entry::Reverted));
    entries.extend(of_action(world, id, planned));
    entries
}

fn of_action(world: &World<'_>, id: &ResourceId, planned: &Planned) -> Vec<Entry> {
    match &planned.action {
        Action::StartContainer { id: container } => starting(world, id, container, &planned.cause),
        Action::StopContainer { id: container, .. } => {
            let run = incarnation(world, id, container);
            let mut entries: Vec<Entry> =
                unresponsive(world, id, container, &planned.cause).into_iter().collect();
            if let Cause::GpuLost { .. } = &planned.cause {
                entries.extend(run.clone().map(|run| Entry::GpuLost(Some((container.clone(), run)))));
            }
            entries.extend(run.map(Entry::Stopping));
            entries
        }
        Action::CreateContainer(create) => {
            let given = create.labels.gpus.as_ref().map(|given| gpu::assigned(world, id, given));
            let given = given.filter(|it| world.ledger.get(id).is_none_or(|record| record.gpus != *it));
            std::iter::once(fields(world, id, &create.spec.runtime)).chain(given.map(Entry::Gpus)).collect()
        }
        Action::CreateNetwork { spec, .. } => vec![fields(world, id, spec)],
        Action::CreateVolume { spec, .. } => vec![fields(world, id, spec)],
        Action::PullImage { .. } => vec![Entry::Pulled(image::users(world, id))],
        Action::RemoveNetwork { .. }
        | Action::PullModel(_)
        | Action::UnpauseContainer { .. }
        | Action::RemoveContainer { .. }
        | Action::RenameContainer { .. }
        | Action::Connect { .. }
        | Action::Disconnect { .. }
        | Action::HandBack { .. }
        | Action::WriteFile(_)
        | Action::RemoveFile { .. }
        | Action::WriteUnitFiles(_)
        | Action::RemoveUnitFiles { .. }
        | Action::WriteUnit(_)
        | Action::RemoveUnit { .. }
        | Action::ReloadSystemd
        | Action::Unit { .. }
        | Action::UpdateLimits { .. } => Vec::new(),
    }
}

/// The restart of what does not answer is counted before its stop, once a run: its start is then our own doing.
fn unresponsive(world: &World<'_>, id: &ResourceId, container: &ContainerId, cause: &Cause) -> Option<Entry> {
    let Cause::Unresponsive { why, .. } = cause else { return None };
    let spec = world.desired.containers.get(id)?;
    counted(world, id, spec, container, format!("no answer ({why})"), FailureClass::Unresponsive)
}

/// A restart of `container`, unless the end of this run has been counted.
fn counted(
    world: &World<'_>,
    id: &ResourceId,
    spec: &ContainerSpec,
    container: &ContainerId,
    ending: String,
    class: FailureClass,
) -> Option<Entry> {
    let run = incarnation(world, id, container);
    let restarts = world.ledger.get(id).map(|record| &record.restarts);
    if restarts.zip(run.as_ref()).is_some_and(|(restarts, run)| restarts.has_counted(run)) {
        return None;
    }
    let sighting = world.observed.sightings.get(container);
    let ran = sighting.map(ended::run_length).unwrap_or_default();
    let restart = Restart { of: run, at: world.now, ran, ending, class };
    let basis = ended::basis(world, id, spec);
    let members = world.observed.owned.get(id).map(Vec::as_slice).unwrap_or_default();
    let print = members.iter().find(|it| it.id == *container).map(|it| ended::print_of(spec, it));
    let fingerprint = print.unwrap_or_else(|| fingerprint::of(&spec.runtime));
    Some(Entry::Restart { restart, fingerprint, basis })
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
    // Of one that nobody asks for its health, only time can tell.
    if running::left_to_prove(world, spec, current).is_some() {
        return None;
    }
    let proven = Proven {
        fingerprint: current.fingerprint()?.clone(),
        probe: spec.policy.probe.clone(),
        startup: spec.policy.startup.clone(),
        liveness: spec.policy.liveness.clone(),
    };
    (known != Some(&proven)).then(|| Entry::Proven(Box::new(proven)))
}

/// An end that is none of its own doing, if that is news: what was down may be up again when it is asked next.
fn excused(world: &World<'_>, id: &ResourceId) -> Option<Entry> {
    let spec = world.desired.containers.get(id)?;
    let current = Members::of(world, id, spec).current?;
    ended::newly_excused(world, id, spec, current).map(Entry::Excused)
}

fn class(world: &World<'_>, id: &ResourceId, spec: &ContainerSpec, container: &ContainerId) -> FailureClass {
    let members = world.observed.owned.get(id).map(Vec::as_slice).unwrap_or_default();
    let ended = members.iter().find(|member| member.id == *container);
    ended.map(|ended| ended::diagnose(world, id, spec, ended).class).unwrap_or_default()
}

/// An update that was ordered, has been carried out, and holds: what its tag means later is another matter.
fn updated(world: &World<'_>, id: &ResourceId) -> Option<Entry> {
    let wanted = world.ledger.get(id)?.orders.image.as_ref()?;
    let spec = world.desired.containers.get(id)?;
    let Members { current, current_matches, previous, .. } = Members::of(world, id, spec);
    let is_done = current_matches && previous.is_none() && current.is_some_and(|it| it.image_id == *wanted);
    is_done.then(|| Entry::Updated(wanted.clone()))
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
    if let Cause::Ended { how, .. } | Cause::Released { how, .. } = cause {
        let class = class(world, id, spec, container);
        entries.extend(counted(world, id, spec, container, how.clone(), class));
    }
    entries.extend(started_for(world, id, &spec.policy.dependencies));
    entries.extend(contents::starting(world, id, spec, container));
    entries
}

/// What the dependencies run as, at the start of who follows them.
pub(super) fn started_for(
    world: &World<'_>,
    id: &ResourceId,
    dependencies: &BTreeMap<ResourceId, Dependency>,
) -> Option<Entry> {
    let edges = dependencies.iter().filter(|(_, edge)| edge.restart);
    let present: BTreeMap<_, _> =
        edges.filter_map(|(on, _)| Some((on.clone(), ready_incarnation(world, on)?))).collect();
    let is_news =
        !present.is_empty() || world.ledger.get(id).is_some_and(|record| !record.dependencies.is_empty());
    is_news.then_some(Entry::Dependencies(present))
}

/// A running service with an edge of which nothing is remembered takes what runs now as what it was started with.
pub(super) fn adopt(world: &World<'_>, id: &ResourceId) -> Vec<Entry> {
    let Some(spec) = world.desired.service(id) else { return Vec::new() };
    let runs = super::incarnation(world, id).is_some();
    let known = world.ledger.get(id).map(|record| record.dependencies.clone()).unwrap_or_default();
    let edges = spec.dependencies().iter().filter(|(on, edge)| edge.restart && !known.contains_key(*on));
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
            Entry::Restart { restart, fingerprint, basis } => {
                record.restarts.count(restart, &fingerprint, basis);
            }
            Entry::Excused(run) => record.excused = Some(run),
            Entry::Reverted(revert) => {
                record.reverts.push(revert);
                if record.reverts.len() > REVERTS_KEPT {
                    record.reverts.remove(0);
                }
            }
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
            Entry::Updated(image) => {
                record.orders.image = record.orders.image.take().filter(|it| *it != image)
            }
            Entry::Forget => {
                record.failure = None;
                record.restarts.recent.clear();
                record.reverts.clear();
            }
            Entry::ForgetEdit => record.taken_back = None,
            Entry::Proven(proven) => record.proven = Some(*proven),
            Entry::TakenBack(edit) => {
                record.taken_back = Some(edit);
                // What failed was the edit's.
                record.failure = None;
            }
            Entry::Pulled(users) => record.pulled_for = users,
            Entry::Unit(unit) => record.unit = *unit,
            Entry::Gpus(gpus) => record.gpus = gpus,
            Entry::GpuLost(restarted) => record.gpus.restarted = restarted,
            Entry::GpuRefused(refused) => {
                record.gpus.refused = Some(refused);
                // What failed was the start with a GPU; what follows is another.
                record.failure = None;
            }
            Entry::File(file) => record.file = file,
            Entry::Contents(contents) => record.contents = *contents,
        }
    }
}
