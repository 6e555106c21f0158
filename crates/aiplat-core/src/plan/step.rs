//! Making steps.

use std::time::Duration;

use super::{Cause, Gate, Planned, Requeue, Step, Verdict, World};
use crate::{
    Kind, ResourceId,
    action::Action,
    condition::{Condition, ConditionType, Reason, Status},
};

impl Condition {
    pub(super) fn normal(kind: ConditionType, reason: Reason) -> Self {
        Self { kind, status: Status::of(!kind.abnormal_when_true()), reason, message: String::new() }
    }

    pub(super) fn abnormal(kind: ConditionType, reason: Reason, message: impl Into<String>) -> Self {
        Self { kind, status: Status::of(kind.abnormal_when_true()), reason, message: message.into() }
    }

    pub(super) fn unknown(kind: ConditionType, reason: Reason, message: impl Into<String>) -> Self {
        Self { kind, status: Status::Unknown, reason, message: message.into() }
    }
}

impl Step {
    /// As the file says; nothing to do.
    pub(super) fn converged() -> Self {
        Self::of(None, Verdict::Converged, Requeue::OnChange)
    }

    /// One action, and then look again.
    pub(super) fn act(action: Action, cause: Cause) -> Self {
        Self::of(Some(Planned { action, cause }), Verdict::Progressing, Requeue::Now)
    }

    /// Nothing to do, but not there yet: a hint will come.
    pub(super) fn progressing() -> Self {
        Self::of(None, Verdict::Progressing, Requeue::OnChange)
    }

    /// Nothing to do before `after`.
    pub(super) fn again(after: Duration) -> Self {
        Self::of(None, Verdict::Progressing, Requeue::After(after))
    }

    /// Something else comes first.
    pub(super) fn blocked(world: &World<'_>, on: Vec<Gate>) -> Self {
        let requeue = match on.iter().filter_map(Gate::opens_at).min() {
            Some(at) => Requeue::After(world.now.until(at)),
            None => Requeue::OnChange,
        };
        Self::of(None, Verdict::Blocked { on }, requeue)
    }

    /// Not as the file says, and not ours to change.
    pub(super) fn unsatisfied(reason: Reason, message: impl Into<String>) -> Self {
        Self::of(None, Verdict::Unsatisfied { reason, message: message.into() }, Requeue::OnChange)
    }

    /// No further attempt until something changes.
    pub(super) fn held(reason: Reason, message: impl Into<String>) -> Self {
        Self::of(None, Verdict::Held { reason, message: message.into() }, Requeue::OnChange)
    }

    fn of(action: Option<Planned>, verdict: Verdict, requeue: Requeue) -> Self {
        Self { action, verdict, requeue, conditions: Vec::new() }
    }

    /// The same step, saying `conditions`.
    pub(super) fn with(mut self, conditions: Vec<Condition>) -> Self {
        self.conditions = conditions;
        self
    }

    /// The same step, saying `condition` too, in its place.
    pub(super) fn saying(mut self, condition: Option<Condition>) -> Self {
        if let Some(condition) = condition {
            let place = self.conditions.iter().position(|it| it.kind > condition.kind);
            self.conditions.insert(place.unwrap_or(self.conditions.len()), condition);
        }
        self
    }

    /// An action that has just failed under the same spec waits for its next attempt.
    pub(super) fn unless_failed(self, world: &World<'_>, id: &ResourceId) -> Self {
        let Some(planned) = &self.action else { return self };
        let Some(failure) = world.ledger.get(id).and_then(|record| record.failure.as_ref()) else {
            return self;
        };
        if failure.action != planned.action.verb() || failure.fingerprint != world.desired.fingerprint(id) {
            return self;
        }
        let step = match failure.retry_at {
            Some(at) if at <= world.now => return self,
            Some(at) => Self::blocked(
                world,
                vec![Gate::Failed { reason: failure.reason, message: failure.message.clone(), retry_at: at }],
            ),
            None => Self::held(failure.reason, held(id, &failure.message)),
        };
        let mut conditions = self.conditions;
        conditions.retain(|condition| condition.kind != ConditionType::Progressing);
        if failure.retry_at.is_none() {
            conditions.retain(|condition| condition.kind != ConditionType::Held);
            conditions.push(Condition::abnormal(
                ConditionType::Held,
                failure.reason,
                held(id, &failure.message),
            ));
        }
        for condition in &mut conditions {
            let follows = matches!(condition.kind, ConditionType::Started | ConditionType::Ready);
            if follows && condition.status != Status::True {
                // It serves, as of an earlier file: that goes on being so.
                let serves = condition.reason == Reason::FingerprintDiffers;
                condition.reason = if serves { condition.reason } else { failure.reason };
                condition.message.clone_from(&failure.message);
            }
        }
        step.with(conditions)
    }

    /// The same step with its action only said.
    pub(super) fn observe_only(self) -> Self {
        let Some(planned) = &self.action else { return self };
        let message =
            format!("reconcile.mode is `observe`: would {} because {}", planned.action, planned.cause);
        Self::unsatisfied(Reason::ObserveOnly, message).with(self.conditions)
    }
}

/// What has failed for good, and what lets it go.
fn held(id: &ResourceId, message: &str) -> String {
    let name = id.key();
    if id.kind == Kind::Model {
        return format!(
            "{message}; it is tried again when its entry in the file is edited, or with `aiplatctl model pull {name}`"
        );
    }
    if !id.is_service() {
        return message.to_owned();
    }
    format!(
        "{message}; it is tried again when its entry in the file is edited, or with `aiplatctl reset-failed {name}`"
    )
}
