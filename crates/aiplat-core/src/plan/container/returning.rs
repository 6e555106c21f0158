//! The way back: an edit that does not become ready is taken back, and what served before serves again.
//!
//! That it was taken back is remembered before anything is done (`plan::record`). From then on [`crate::plan::Members`] sees the
//! edit's container as one too many and the old one as the one to run: the same ladder does the rest, after a crash too.

use super::Look;
use crate::{
    ResourceId,
    action::Action,
    condition::{ErrorClass, Reason},
    fingerprint,
    ledger::TakenBack,
    observed::ObservedContainer,
    plan::{
        Cause, Step, Verdict,
        ended::{self, Ended, ended},
        members, running,
    },
    time::human,
};

impl Look<'_> {
    /// `current` is what the file asks for, and its predecessor is kept: if it fails, it goes.
    pub(super) fn take_back(&self, current: &ObservedContainer) -> Option<Step> {
        if !self.spec.returns_on_failure() || !self.members.previous.is_some_and(|it| self.has_served(it)) {
            return None;
        }
        let cause = Cause::TakenBack { why: self.failure(current)? };
        let action = if current.state.is_alive() {
            self.stop(current)
        } else {
            Action::RemoveContainer { id: current.id.clone() }
        };
        Some(Step::act(action, cause))
    }

    /// Whether `member` is of what was last known to be Ready: only that is worth going back to.
    pub(super) fn has_served(&self, member: &ObservedContainer) -> bool {
        let proven = self.world.ledger.get(self.id).and_then(|record| record.proven.as_ref());
        // One that has joined a container which is gone cannot run again.
        proven.is_some_and(|proven| member.fingerprint() == Some(&proven.fingerprint))
            && members::lost_namespaces(self.world, member, self.spec).is_empty()
    }

    /// What is wrong with an edit, once waiting longer would only prolong the outage.
    pub(super) fn failure(&self, current: &ObservedContainer) -> Option<String> {
        if current.state.is_alive() {
            let overdue = running::overdue(self.world, self.id, self.spec, current);
            return overdue.or_else(|| {
                let why = running::unresponsive(self.world, self.id, self.spec, current)?;
                Some(format!("it does not answer: {why}"))
            });
        }
        let evidence = ended::evidence(self.world, self.id, self.spec, current);
        match ended(self.world, self.id, self.spec, current) {
            Ended::Failed(how) => Some(format!("it ended with {how}{evidence}")),
            // The first end may have been bad luck.
            Ended::BackOff { how, attempt, .. } | Ended::Held { how, attempt, .. } if attempt > 0 => {
                Some(format!("it ended {} times in a row, last with {how}{evidence}", attempt + 1))
            }
            Ended::Start(Cause::Ended { how, attempt }) if attempt > 0 => {
                Some(format!("it ended {} times in a row, last with {how}{evidence}", attempt + 1))
            }
            Ended::Start(_) => self.refused(),
            Ended::BackOff { .. } | Ended::Held { .. } | Ended::Completed => None,
        }
    }

    /// What served before does while its time to become ready runs.
    pub(super) fn coming_back(&self) -> String {
        let alive = self.members.current.filter(|current| current.state.is_alive());
        let sightings = &self.world.observed.sightings;
        match alive.and_then(|current| sightings.get(&current.id)?.began()) {
            Some(began) => format!("has been coming back for {}", human(self.world.now.since(began))),
            None => "is being brought back".to_owned(),
        }
    }

    /// The engine refuses to start it, and would again.
    fn refused(&self) -> Option<String> {
        let failure = self.world.ledger.get(self.id)?.failure.as_ref()?;
        let is_of_edit = failure.fingerprint.as_ref() == Some(&fingerprint::of(&self.spec.runtime));
        (failure.action == "start" && is_of_edit && failure.class == ErrorClass::Rejected)
            .then(|| failure.message.clone())
    }

    /// The edit was taken back: what served before takes its name back and runs, and stays.
    pub(super) fn bring_back(&self, current: &ObservedContainer, edit: &TakenBack) -> Step {
        let step = self.take_name(current).unwrap_or_else(|| self.run(current));
        match step.verdict {
            Verdict::Converged => Step::held(Reason::TakenBack, taken_back(self.id, edit, "serves")),
            Verdict::Progressing
            | Verdict::Blocked { .. }
            | Verdict::Unsatisfied { .. }
            | Verdict::Held { .. } => step,
        }
    }
}

/// The sentence of an edit that was taken back; what it replaced `does`: serve again, or not.
pub(super) fn taken_back(id: &ResourceId, edit: &TakenBack, does: &str) -> String {
    let what = if edit.image.is_some() { "update" } else { "edit" };
    format!(
        "the last {what} was taken back, what served before {does}: {}; edit its entry, or run `aiplatctl reset-failed {}`, to try again",
        edit.why,
        id.key()
    )
}
