//! One service is a set of containers: told apart by labels and state, never by name.

use super::World;
use crate::{
    ResourceId,
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
        let mut matching: Vec<_> = present().filter(|member| matches(member, spec)).collect();
        let mut older: Vec<_> = present().filter(|member| !matches(member, spec)).collect();
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
        let mut matching = matching.into_iter();
        let mut older = older.into_iter();
        let roles = Roles { new: matching.next(), old: older.next() };
        Self { strays: matching.chain(older).collect(), removing, ..roles.sort() }
    }
}

struct Roles<'a> {
    new: Option<&'a ObservedContainer>,
    old: Option<&'a ObservedContainer>,
}

impl<'a> Roles<'a> {
    fn sort(self) -> Members<'a> {
        let none = Members::default();
        match (self.new, self.old) {
            (None, None) => none,
            (Some(new), None) => Members { current: Some(new), current_matches: true, ..none },
            (None, Some(old)) => Members { current: Some(old), ..none },
            (Some(new), Some(old)) if old.state.is_alive() && !new.state.is_alive() => {
                Members { current: Some(old), candidate: Some(new), ..none }
            }
            (Some(new), Some(old)) => {
                Members { current: Some(new), current_matches: true, previous: Some(old), ..none }
            }
        }
    }
}

/// Whether `container` was made from what the file asks for.
fn matches(container: &ObservedContainer, spec: &ContainerSpec) -> bool {
    container.fingerprint().is_some_and(|fingerprint| fingerprint.matches(&spec.runtime))
}
