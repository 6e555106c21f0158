//! `order: start-first`: the replacement runs beside what it replaces until it has been ready for a moment, and takes the
//! service's name on its networks only then. Where both cannot run at once ([`ContainerSpec::starts_first`]) the old one
//! goes first, as always.

use std::collections::BTreeMap;

use super::Look;
use crate::{
    ResourceId,
    action::Action,
    condition::Status,
    observed::{ContainerState, ObservedContainer},
    plan::{
        Cause, Step,
        ended::{Ended, ended},
        running,
    },
    spec::Attachment,
};

impl Look<'_> {
    /// The old one, while it serves beside its replacement and nobody has ordered a stop.
    pub(super) fn serves_beside(&self) -> Option<&ObservedContainer> {
        let stopped = self.world.ledger.get(self.id).is_some_and(|record| record.orders.stopped.is_some());
        self.members.beside(self.spec).filter(|_| !stopped)
    }

    /// Both run: the old one ends when the new one is ready, has been so for a moment, and bears the service's name. Until
    /// then the new one is restarted for whatever it would be restarted for alone: nothing else may ever make it ready.
    pub(super) fn hand_over(&self, current: &ObservedContainer) -> Option<Step> {
        let old = self.serves_beside()?;
        if let Some(step) =
            self.take_back(current).or_else(|| self.mend(current)).or_else(|| self.restart(current))
        {
            return Some(step);
        }
        let health = running::health(self.world, self.id, self.spec, current);
        Some(match (health.status, running::left_to_watch(self.world, self.spec, current)) {
            (Status::True, Some(left)) => Step::again(left),
            (Status::True, None) => Step::act(self.stop(old), Cause::Superseded),
            (Status::Unknown, _) => Step::progressing(),
            (Status::False, _) if health.progressing => Step::progressing(),
            (Status::False, _) => Step::unsatisfied(health.reason, health.message),
        })
    }

    /// `candidate` is made, `current` serves, and nothing keeps it from being started: start it, and again if it ends, unless it
    /// is taken back.
    pub(super) fn start_beside(
        &self,
        current: &ObservedContainer,
        candidate: &ObservedContainer,
        changed: Vec<String>,
    ) -> Step {
        if self.spec.returns_on_failure()
            && self.has_served(current)
            && let Some(why) = self.failure(candidate)
        {
            let action = Action::RemoveContainer { id: candidate.id.clone() };
            return Step::act(action, Cause::TakenBack { why });
        }
        if candidate.state == ContainerState::Created {
            let action = Action::StartContainer { id: candidate.id.clone() };
            return Step::act(action, Cause::StartedBeside { changed });
        }
        if ended(self.world, self.id, self.spec, candidate) == Ended::Completed {
            return Step::act(self.stop(current), Cause::Superseded);
        }
        self.start(candidate)
    }

    /// Whether it is ready, and has been so for a moment.
    fn has_held(&self, container: &ObservedContainer) -> bool {
        running::health(self.world, self.id, self.spec, container).status == Status::True
            && running::left_to_watch(self.world, self.spec, container).is_none()
    }

    /// Why `container` is connected to `network` anew while the old one still serves beside it.
    pub(super) fn naming(&self, container: &ObservedContainer, network: &str) -> Option<Cause> {
        let is_beside = self.members.current.is_some_and(|current| current.id == container.id)
            && self.serves_beside().is_some();
        is_beside.then(|| Cause::TakesNameOn { network: network.to_owned() })
    }

    /// The connections of `container` as they are to be now: until it serves it has no name of the service's.
    pub(super) fn wanted_networks(&self, container: &ObservedContainer) -> BTreeMap<ResourceId, Attachment> {
        let is_of =
            |member: Option<&ObservedContainer>| member.is_some_and(|member| member.id == container.id);
        let begins =
            is_of(self.members.current) && self.serves_beside().is_some() && !self.has_held(container);
        let waits = self.spec.starts_first() && (is_of(self.members.candidate) || begins);
        let mut networks = self.spec.live.networks.clone();
        if waits {
            networks.values_mut().for_each(|attachment| attachment.aliases.clear());
        }
        networks
    }
}
