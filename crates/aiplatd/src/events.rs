//! What happened, for people: a bounded ring. One event a transition, never one a pass.

use std::collections::VecDeque;

use aiplat_api::v1::{Event, EventType};
use aiplat_core::{
    ResourceId,
    condition::{Condition, ConditionType, Reason, Status},
};

/// The newest events.
#[derive(Debug, Default)]
pub struct Events {
    ring: VecDeque<Event>,
    last: u64,
}

/// Events kept.
const KEPT: usize = 1_000;

impl Events {
    /// Something as expected happened.
    pub fn note(&mut self, wall_ms: i64, reason: &str, resource: &str, message: String) {
        self.push(wall_ms, EventType::Normal, reason, resource, message);
    }

    /// Something happened that a person may want to look at.
    pub fn warn(&mut self, wall_ms: i64, reason: &str, resource: &str, message: String) {
        self.push(wall_ms, EventType::Warning, reason, resource, message);
    }

    fn push(&mut self, wall_ms: i64, kind: EventType, reason: &str, resource: &str, message: String) {
        self.last += 1;
        self.ring.push_back(Event {
            number: self.last,
            time: rfc3339(wall_ms),
            kind,
            reason: reason.to_owned(),
            resource: resource.to_owned(),
            message,
        });
        if self.ring.len() > KEPT {
            self.ring.pop_front();
        }
    }

    /// Events with a number above `after`, oldest first.
    #[must_use]
    pub fn after(&self, after: u64) -> Vec<Event> {
        self.ring.iter().filter(|event| event.number > after).cloned().collect()
    }

    /// The newest `count`, oldest first.
    #[must_use]
    pub fn newest(&self, count: usize) -> Vec<Event> {
        self.ring.iter().skip(self.ring.len().saturating_sub(count)).cloned().collect()
    }

    /// Takes note of a condition that has changed its status, and writes capability I1's line to the log.
    pub fn transition(&mut self, wall_ms: i64, id: &ResourceId, condition: &Condition) {
        let Some((reason, kind)) = name(condition) else { return };
        // Capability I1: one word, the service, a sentence; level and time are the log line's own.
        let said = if condition.message.is_empty() {
            format!("{}={} ({})", condition.kind, condition.status, condition.reason)
        } else {
            condition.message.clone()
        };
        let service = id.key();
        match kind {
            EventType::Normal => tracing::info!(event = reason, service, "{said}"),
            EventType::Warning => tracing::warn!(event = reason, service, "{said}"),
        }
        self.push(wall_ms, kind, reason, &id.to_string(), said);
    }
}

/// The event type of a transition; `None` for those that say nothing new.
fn name(condition: &Condition) -> Option<(&'static str, EventType)> {
    use EventType::{Normal, Warning};
    let because = |reasons: &[Reason]| reasons.contains(&condition.reason);
    let on_its_way = because(&[Reason::Missing, Reason::Starting, Reason::NotObserved, Reason::Pulling]);
    match (condition.kind, condition.status) {
        (ConditionType::Started, Status::True) => Some(("DEPLOY_SUCCESS", Normal)),
        (ConditionType::Started, Status::False) if because(&[Reason::EngineStopped]) => {
            Some(("EngineStopped", Normal))
        }
        (ConditionType::Started | ConditionType::ImageAvailable, Status::False) => {
            (!on_its_way).then_some(("DEPLOY_FAIL", Warning))
        }
        (ConditionType::Healthy, Status::True) => {
            because(&[Reason::ProbePassed]).then_some(("HEALTH_SUCCESS", Normal))
        }
        (ConditionType::Healthy, Status::False) if because(&[Reason::ProbeFailed]) => {
            Some(("HEALTH_TIMEOUT", Warning))
        }
        (ConditionType::Healthy, Status::False) => {
            because(&[Reason::ProbePending]).then_some(("HEALTH_RETRY", Normal))
        }
        (ConditionType::CrashLoop | ConditionType::Held | ConditionType::NameTaken, Status::True) => {
            Some(("RECOVERY_NEEDED", Warning))
        }
        (ConditionType::CrashLoop, Status::False) => Some(("Recovered", Normal)),
        (ConditionType::StorageReady | ConditionType::PortsFree, Status::False) => {
            (!on_its_way).then_some(("RECOVERY_NEEDED", Warning))
        }
        (ConditionType::DependenciesReady, Status::False) => Some(("DependenciesNotReady", Normal)),
        (ConditionType::DependenciesReady, Status::True) => Some(("DependenciesReady", Normal)),
        (ConditionType::Ready, Status::True) => Some(("Ready", Normal)),
        (_, _) => None,
    }
}

/// Milliseconds since 1970 as RFC 3339 in UTC, to the millisecond.
#[must_use]
pub fn rfc3339(wall_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(wall_ms).map(|time| format!("{time:.3}")).unwrap_or_default()
}
