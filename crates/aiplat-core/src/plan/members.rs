//! One service is a set of containers: told apart by labels and state, never by name.

use super::{World, gpu, moved};
use crate::{
    ResourceId, fingerprint,
    ledger::TakenBack,
    observed::{ContainerState, ObservedContainer},
    spec::ContainerSpec,
};

/// The containers of one service.
#[derive(Debug, Clone, Default)]
pub struct Members<'a> {
    /// What serves, or served last: the one to keep running or to replace.
    pub current: Option<&'a ObservedContainer>,
    /// Whether `current` is what the file asks for.
    pub current_matches: bool,
    /// Made from the present file, not started, beside a `current` of an earlier one.
    pub candidate: Option<&'a ObservedContainer>,
    /// Of an earlier file, kept until `current` is ready.
    pub previous: Option<&'a ObservedContainer>,
    /// The file's edit was tried and taken back: `current` is what served before, and stays.
    pub taken_back: Option<&'a TakenBack>,
    /// More than these.
    pub strays: Vec<&'a ObservedContainer>,
    /// Some are on their way out of the engine.
    pub removing: bool,
}

impl<'a> Members<'a> {
    /// The containers that carry our labels for `id`, sorted into their roles by what `spec` asks for.
    #[must_use]
    pub fn of(world: &World<'a>, id: &ResourceId, spec: &ContainerSpec) -> Self {
        let all = world.observed.owned.get(id).map(Vec::as_slice).unwrap_or_default();
        let removing = all.iter().any(|member| member.state == ContainerState::Removing);
        let present = || all.iter().filter(|member| member.state != ContainerState::Removing);
        let mut matching: Vec<_> = present().filter(|member| matches(world, id, member, spec)).collect();
        let mut older: Vec<_> = present().filter(|member| !matches(world, id, member, spec)).collect();
        let preference = |member: &&ObservedContainer| {
            (
                !member.state.is_alive(),
                member.name != spec.host_name,
                std::cmp::Reverse(member.created),
                member.id.clone(),
            )
        };
        matching.sort_by_key(preference);
        // Of the older ones, what has served comes before what was made for a file that never came into force.
        older.sort_by_key(|member| {
            (!member.state.is_alive(), member.state == ContainerState::Created, preference(member))
        });
        let record = world.ledger.get(id);
        let taken_back = record.and_then(|record| record.taken_back.as_ref());
        let taken_back = taken_back.filter(|it| {
            !older.is_empty()
                && it.fingerprint == fingerprint::of(&spec.runtime)
                && it.image.as_deref() == moved::ordered(world, id)
        });
        let proven = record.and_then(|record| record.proven.as_ref()).map(|proven| &proven.fingerprint);
        let is_proven = |member: &&&ObservedContainer| proven.is_some() && member.fingerprint() == proven;
        let set = Set {
            new: matching.first().copied().filter(|_| taken_back.is_none()),
            proven: older.iter().find(is_proven).copied(),
            old: older.first().copied(),
        };
        let mut members = Self { removing, taken_back, ..set.roles(taken_back.is_some()) };
        let roles = [members.current, members.candidate, members.previous];
        let has_role =
            |member: &&ObservedContainer| roles.iter().flatten().any(|other| other.id == member.id);
        members.strays = matching.into_iter().chain(older).filter(|member| !has_role(member)).collect();
        members
    }
}

impl<'a> Members<'a> {
    /// The old one, while it serves beside its replacement (`order: start-first`).
    #[must_use]
    pub fn beside(&self, spec: &ContainerSpec) -> Option<&'a ObservedContainer> {
        let both = self.current_matches && self.current.is_some_and(|current| current.state.is_alive());
        self.previous.filter(|old| both && old.state.is_alive() && spec.starts_first())
    }
}

/// Of each sort, the one that matters most.
struct Set<'a> {
    /// As the file asks.
    new: Option<&'a ObservedContainer>,
    /// Of an earlier file, and known to have been Ready.
    proven: Option<&'a ObservedContainer>,
    /// Of an earlier file.
    old: Option<&'a ObservedContainer>,
}

impl<'a> Set<'a> {
    fn roles(self, taken_back: bool) -> Members<'a> {
        let none = Members::default();
        let Self { new, proven, old } = self;
        // What an unproven edit has replaced is kept beside it, for it is what one goes back to.
        let beside = |old: &ObservedContainer| proven.filter(|proven| proven.id != old.id);
        match (new, old) {
            (None, None) => none,
            (Some(new), None) => Members { current: Some(new), current_matches: true, ..none },
            (None, Some(old)) if taken_back => Members { current: proven.or(Some(old)), ..none },
            (None, Some(old)) => Members { current: Some(old), previous: beside(old), ..none },
            (Some(new), Some(old)) if old.state.is_alive() && !new.state.is_alive() => {
                Members { current: Some(old), candidate: Some(new), previous: beside(old), ..none }
            }
            (Some(new), Some(old)) => {
                Members { current: Some(new), current_matches: true, previous: proven.or(Some(old)), ..none }
            }
        }
    }
}

/// Whether `container` was made from what the file asks for, of what is still there, and from the image that a person has
/// asked for.
fn matches(world: &World<'_>, id: &ResourceId, container: &ObservedContainer, spec: &ContainerSpec) -> bool {
    container.fingerprint().is_some_and(|fingerprint| fingerprint.matches(&spec.runtime))
        && lost_namespaces(world, container, spec).is_empty()
        && !moved::is_outdated(world, id, container)
        && gpu::outdated(world, id, container).is_none()
}

/// The keys by which `container` joined another that has been replaced since: the engine joins containers by id, once
/// and for all.
pub(super) fn lost_namespaces(
    world: &World<'_>,
    container: &ObservedContainer,
    spec: &ContainerSpec,
) -> Vec<&'static str> {
    let Some(detail) = &container.detail else { return Vec::new() };
    let is_lost = |id: &ResourceId| serving(world, id).is_some_and(|other| !detail.joins.contains(&other.id));
    spec.runtime.options.joins().filter(|(_, id)| is_lost(id)).map(|(key, _)| key).collect()
}

/// The container that serves, or served last, for the service `id` of the file.
pub(super) fn serving<'a>(world: &World<'a>, id: &ResourceId) -> Option<&'a ObservedContainer> {
    Members::of(world, id, world.desired.containers.get(id)?).current
}
