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
    /// With the time of each, in milliseconds since 1970.
    ring: VecDeque<(i64, Event)>,
    last: u64,
}

/// Events kept.
const KEPT: usize = 1_000;
/// The same event within this is the same event again: a service that flaps does not push everything else out.
const SAME_WITHIN_MS: i64 = 3_600_000;

/// Whether two sentences differ in nothing but how often and when: `restart 3 in 4s`, `restart 4 in 930ms`. Another
/// container, exit code or generation is another event: the order of a rollout can be read from the events.
fn is_same(one: &str, other: &str) -> bool {
    lasting(one).eq(lasting(other))
}

/// The words of `text` without those that count attempts and time.
fn lasting(text: &str) -> impl Iterator<Item = &str> {
    let mut before = "";
    text.split_whitespace().filter(move |word| {
        let counts = matches!(
            std::mem::replace(&mut before, *word),
            "restart" | "attempt" | "in" | "within" | "(attempt"
        );
        !(counts && word.starts_with(|c: char| c.is_ascii_digit()))
    })
}

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
        let again = self.ring.iter().position(|(at, event)| {
            wall_ms.saturating_sub(*at) <= SAME_WITHIN_MS
                && event.kind == kind
                && event.reason == reason
                && event.resource == resource
                && is_same(&event.message, &message)
        });
        let count = again.and_then(|at| self.ring.remove(at)).map_or(1, |(_, event)| event.count + 1);
        let event = Event {
            number: self.last,
            time: rfc3339(wall_ms),
            kind,
            reason: reason.to_owned(),
            resource: resource.to_owned(),
            message,
            count,
        };
        self.ring.push_back((wall_ms, event));
        if self.ring.len() > KEPT {
            self.ring.pop_front();
        }
    }

    /// Events with a number above `after`, oldest first.
    #[must_use]
    pub fn after(&self, after: u64) -> Vec<Event> {
        self.ring.iter().map(|(_, event)| event).filter(|event| event.number > after).cloned().collect()
    }

    /// The newest `count`, oldest first.
    #[must_use]
    pub fn newest(&self, count: usize) -> Vec<Event> {
        let skip = self.ring.len().saturating_sub(count);
        self.ring.iter().skip(skip).map(|(_, event)| event.clone()).collect()
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
        (ConditionType::Started, Status::False) if because(&[Reason::StoppedByHand]) => {
            Some(("Stopped", Normal))
        }
        (ConditionType::Started, Status::False) if because(&[Reason::WaitingForDependencies]) => {
            Some(("DependencyDown", Normal))
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
        (ConditionType::CrashLoop | ConditionType::Held, Status::False) => Some(("Recovered", Normal)),
        (ConditionType::StorageReady | ConditionType::PortsFree, Status::False) => {
            (!on_its_way).then_some(("RECOVERY_NEEDED", Warning))
        }
        (ConditionType::SecondInstance, Status::True) => Some(("SecondInstance", Warning)),
        (ConditionType::Overridden, Status::True) => Some(("EnvironmentOverridden", Warning)),
        (ConditionType::DependenciesReady, Status::False) => Some(("DependenciesNotReady", Normal)),
        (ConditionType::DependenciesReady, Status::True) => Some(("DependenciesReady", Normal)),
        (ConditionType::Suspended, Status::True) => Some(("Suspended", Normal)),
        (ConditionType::Suspended, Status::False) => Some(("Resumed", Normal)),
        (ConditionType::Ready, Status::True) => Some(("Ready", Normal)),
        (_, _) => None,
    }
}

/// Milliseconds since 1970 as RFC 3339 in UTC, to the millisecond.
#[must_use]
pub fn rfc3339(wall_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(wall_ms).map(|time| format!("{time:.3}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_again_is_one_event_with_a_count_and_a_new_number() {
        let mut events = Events::default();
        events.warn(0, "DEPLOY_FAIL", "container/web", "it ended with exit 1, restart 3 in 930ms".to_owned());
        events.note(1, "Ready", "container/db", String::new());
        events.warn(2, "DEPLOY_FAIL", "container/web", "it ended with exit 1, restart 4 in 4s".to_owned());
        let seen: Vec<_> =
            events.after(0).into_iter().map(|event| (event.number, event.message, event.count)).collect();
        assert_eq!(
            seen,
            [(2, String::new(), 1), (3, "it ended with exit 1, restart 4 in 4s".to_owned(), 2)],
            "who has seen number 1 sees number 3"
        );
    }

    #[test]
    fn another_container_exit_code_or_generation_is_another_event() {
        for (one, other) in [
            ("stop container 08f89a4b6abd (grace 10s)", "stop container 19f89a4b6abd (grace 10s)"),
            ("it ended with exit 1, restart 2 in 4s", "it ended with exit 2, restart 3 in 7s"),
            ("p.yaml is in force (generation 5)", "p.yaml is in force (generation 6)"),
        ] {
            assert!(!is_same(one, other), "{one}");
        }
        assert!(is_same(
            "it is starting (attempt 2, 12ms of 15s): refused",
            "it is starting (attempt 9, 12ms of 15s): refused"
        ));
    }

    #[test]
    fn another_resource_another_sentence_or_another_hour_is_another_event() {
        let mut events = Events::default();
        for (at, of, text) in [(0, "a", "x"), (1, "b", "x"), (2, "a", "y"), (SAME_WITHIN_MS + 3, "a", "x")] {
            events.warn(at, "DEPLOY_FAIL", of, text.to_owned());
        }
        assert_eq!(events.after(0).len(), 4);
    }
}
