//! Which contents of its configs a run was started with. A container sees a file as it was at its start, so this is known
//! from the start on, and compared with what the file asks for in each pass: nothing has to be told of an edit.

use std::collections::BTreeMap;

use super::{Entry, Members, World, file, readiness::readiness};
use crate::{
    ResourceId,
    condition::Status,
    ledger::Contents,
    observed::{ContainerId, ContainerState, Incarnation, ObservedContainer},
    spec::{ContainerSpec, ContentHash, OnChange},
};

/// The files whose change is followed by a restart, and of which the run of `current` has seen another content than the
/// platform asks for. What nobody knows is taken to be seen.
pub(super) fn unseen<'a>(
    world: &World<'_>,
    id: &ResourceId,
    spec: &'a ContainerSpec,
    current: &ObservedContainer,
) -> Vec<&'a ResourceId> {
    let Some(seen) = seen(world, id, current) else { return Vec::new() };
    let restarts = spec.policy.on_change.iter().filter(|(_, follows)| **follows == OnChange::Restart);
    let differs = |id: &&ResourceId| {
        let wanted = world.desired.files.get(*id).map(|file| file.content.hash());
        seen.get(*id).is_some_and(|seen| wanted.is_some_and(|wanted| wanted != seen))
    };
    restarts.map(|(file, _)| file).filter(differs).collect()
}

/// Whether a restart for the sake of a config is due, and nothing of the config's own keeps it from being.
pub(super) fn restart_pending(
    world: &World<'_>,
    id: &ResourceId,
    spec: &ContainerSpec,
    current: &ObservedContainer,
) -> bool {
    let comes = |file: &&ResourceId| {
        let readiness = readiness(world, file);
        readiness.status == Status::True || readiness.progressing
    };
    let unseen = unseen(world, id, spec, current);
    current.state == ContainerState::Running && !unseen.is_empty() && unseen.iter().all(comes)
}

/// What is remembered before `container` is started: it will see what is in its files now.
pub(super) fn starting(
    world: &World<'_>,
    id: &ResourceId,
    spec: &ContainerSpec,
    container: &ContainerId,
) -> Option<Entry> {
    let members = world.observed.owned.get(id).map(Vec::as_slice).unwrap_or_default();
    let before = members.iter().find(|member| member.id == *container)?.incarnation();
    entry(world, id, Contents { run: None, before, seen: on_disk(world, spec) })
}

/// A run that has begun gets its name; one that somebody else has started has seen what is there.
pub(super) fn followed(world: &World<'_>, id: &ResourceId) -> Option<Entry> {
    let spec = world.desired.containers.get(id)?;
    let members = Members::of(world, id, spec);
    let current = members.current.filter(|it| members.current_matches && it.state.is_alive())?;
    let run = Some(current.incarnation()?);
    let seen = match seen(world, id, current) {
        Some(seen) => seen.clone(),
        None => Some(on_disk(world, spec)).filter(|all| all.len() == spec.policy.on_change.len())?,
    };
    entry(world, id, Contents { run, before: None, seen })
}

fn entry(world: &World<'_>, id: &ResourceId, after: Contents) -> Option<Entry> {
    let before = world.ledger.get(id).map(|record| &record.contents);
    // Nothing is remembered of a service without configs.
    let is_news = match before {
        Some(before) => *before != after && !(before.seen.is_empty() && after.seen.is_empty()),
        None => !after.seen.is_empty(),
    };
    is_news.then(|| Entry::Contents(Box::new(after)))
}

/// What the run of `current` was started with, if that is known.
fn seen<'a>(
    world: &World<'a>,
    id: &ResourceId,
    current: &ObservedContainer,
) -> Option<&'a BTreeMap<ResourceId, ContentHash>> {
    let Contents { run, before, seen } = &world.ledger.get(id)?.contents;
    let present: Option<Incarnation> = current.incarnation();
    let is_it = match run {
        Some(_) => *run == present,
        None => *before != present,
    };
    is_it.then_some(seen)
}

fn on_disk(world: &World<'_>, spec: &ContainerSpec) -> BTreeMap<ResourceId, ContentHash> {
    let files = spec.policy.on_change.keys();
    files.filter_map(|id| Some((id.clone(), file::content_on_disk(world, id)?))).collect()
}
