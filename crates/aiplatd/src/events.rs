//! What happened, for people: a bounded ring that outlives the daemon. One event a transition, never one a pass.

use std::collections::{BTreeMap, BTreeSet};

use aiplat_api::v1::{Event, EventType};
use aiplat_core::{
    ResourceId,
    condition::{Condition, ConditionType, Reason, Status},
};

use crate::ports::KeptEvent;

/// The newest events.
#[derive(Debug, Default)]
pub struct Events {
    /// By number.
    ring: BTreeMap<u64, KeptEvent>,
    last: u64,
    /// Numbers that came, or went, since the events were last written.
    unsaved: BTreeSet<u64>,
}

/// What concerns no single resource.
const PLATFORM: &str = "platform";
const DAEMON_STARTED: &str = "DaemonStarted";
const DAEMON_STOPPED: &str = "DaemonStopped";

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
        let is_again = |kept: &KeptEvent| {
            let KeptEvent { wall_ms: at, event } = kept;
            wall_ms.saturating_sub(*at) <= SAME_WITHIN_MS
                && event.kind == kind
                && event.reason == reason
                && event.resource == resource
                && is_same(&event.message, &message)
        };
        let again = self.ring.iter().find(|(_, kept)| is_again(kept)).map(|(number, _)| *number);
        let count = again.and_then(|number| self.forget(number)).map_or(1, |kept| kept.event.count + 1);
        self.last += 1;
        let event = Event {
            number: self.last,
            time: rfc3339(wall_ms),
            kind,
            reason: reason.to_owned(),
            resource: resource.to_owned(),
            message,
            count,
        };
        self.ring.insert(self.last, KeptEvent { wall_ms, event });
        self.unsaved.insert(self.last);
        while self.ring.len() > KEPT {
            let Some(oldest) = self.ring.keys().next().copied() else { break };
            self.forget(oldest);
        }
    }

    fn forget(&mut self, number: u64) -> Option<KeptEvent> {
        self.unsaved.insert(number);
        self.ring.remove(&number)
    }

    /// The events of the daemons before. Numbers go on well above theirs, for the last ones that they gave may not have
    /// been written: who follows the events misses none over a restart.
    #[must_use]
    pub fn remembering(kept: &[KeptEvent]) -> Self {
        let ring: BTreeMap<u64, KeptEvent> =
            kept.iter().map(|kept| (kept.event.number, kept.clone())).collect();
        let last = ring.keys().next_back().map_or(0, |last| last + KEPT as u64);
        Self { ring, last, unsaved: BTreeSet::new() }
    }

    /// The daemon starts. One that was killed, or went with the power, has left no word of its end.
    pub fn daemon_started(&mut self, wall_ms: i64) {
        let before = self.last_of(PLATFORM, &[DAEMON_STARTED, DAEMON_STOPPED]);
        let killed = before.is_some_and(|event| event.reason == DAEMON_STARTED);
        let version = env!("CARGO_PKG_VERSION");
        if killed {
            let said = format!(
                "aiplatd {version} started; the one before did not end by itself: it was killed, or the machine went down at once"
            );
            self.warn(wall_ms, DAEMON_STARTED, PLATFORM, said);
        } else {
            self.note(wall_ms, DAEMON_STARTED, PLATFORM, format!("aiplatd {version} started"));
        }
    }

    /// The daemon ends, and the services run on, or are stopped with the machine.
    pub fn daemon_stopped(&mut self, wall_ms: i64) {
        self.note(wall_ms, DAEMON_STOPPED, PLATFORM, "aiplatd was told to stop".to_owned());
    }

    /// What has to be written: events that came, and numbers that are to be forgotten.
    pub fn take_unsaved(&mut self) -> BTreeMap<u64, Option<KeptEvent>> {
        let numbers = std::mem::take(&mut self.unsaved);
        numbers.into_iter().map(|number| (number, self.ring.get(&number).cloned())).collect()
    }

    /// These could not be written: they are due again.
    pub fn still_unsaved(&mut self, numbers: impl IntoIterator<Item = u64>) {
        self.unsaved.extend(numbers);
    }

    /// The newest event of `resource` for one of these reasons.
    fn last_of(&self, resource: &str, reasons: &[&str]) -> Option<&Event> {
        let mut newest = self.ring.values().rev().map(|kept| &kept.event);
        newest.find(|event| event.resource == resource && reasons.contains(&event.reason.as_str()))
    }

    /// Events with a number above `after`, oldest first.
    #[must_use]
    pub fn after(&self, after: u64) -> Vec<Event> {
        // A number that nobody gave: of a daemon whose events were lost. Whoever has it starts anew.
        let after = if after > self.last { 0 } else { after };
        self.ring.range(after.saturating_add(1)..).map(|(_, kept)| kept.event.clone()).collect()
    }

    /// The newest `count`, oldest first.
    #[must_use]
    pub fn newest(&self, count: usize) -> Vec<Event> {
        let skip = self.ring.len().saturating_sub(count);
        self.ring.values().skip(skip).map(|kept| kept.event.clone()).collect()
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
        (ConditionType::DiskPressure, Status::True) => Some(("DiskPressure", Warning)),
        (ConditionType::DiskPressure, Status::False) => Some(("RoomEnough", Normal)),
        (ConditionType::RebootRequired, Status::True) => Some(("RebootRequired", Warning)),
        (ConditionType::GPUDriverMismatch, Status::True) => Some(("GPUDriverMismatch", Warning)),
        (ConditionType::GPUReady, Status::False) => Some(("GPUNotReady", Warning)),
        (ConditionType::GPUReady, Status::True) => Some(("GPUReady", Normal)),
        (ConditionType::SecondInstance, Status::True) => Some(("SecondInstance", Warning)),
        (ConditionType::Overridden, Status::True) if because(&[Reason::SetOtherwise]) => {
            Some(("SetOtherwise", Warning))
        }
        (ConditionType::Overridden, Status::True) => Some(("EnvironmentOverridden", Warning)),
        (ConditionType::EngineRestartRequired, Status::True) => Some(("EngineRestartRequired", Warning)),
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
    fn events_outlive_the_daemon_and_their_numbers_rise_over_a_restart() {
        let mut before = Events::default();
        before.daemon_started(0);
        before.warn(1, "DEPLOY_FAIL", "container/web", "it ended with exit 1, restart 3 in 930ms".to_owned());
        let first: Vec<u64> = before.take_unsaved().into_keys().collect();
        before.warn(2, "DEPLOY_FAIL", "container/web", "it ended with exit 1, restart 4 in 4s".to_owned());
        let unsaved = before.take_unsaved();
        assert_eq!(first, [1, 2]);
        assert_eq!(
            unsaved.iter().map(|(number, kept)| (*number, kept.is_some())).collect::<Vec<_>>(),
            [(2, false), (3, true)],
            "the one that was repeated goes"
        );
        before.still_unsaved(unsaved.into_keys());
        assert_eq!(before.take_unsaved().len(), 2, "what could not be written is due again");

        let kept: Vec<KeptEvent> = before.ring.values().cloned().collect();
        let mut after = Events::remembering(&kept);
        assert_eq!(after.after(1).len(), 1);
        assert!(after.take_unsaved().is_empty());
        after.daemon_started(3);
        let news = after.after(3);
        assert_eq!(news.len(), 1, "{news:?}");
        assert!(news[0].kind == EventType::Warning && news[0].message.contains("was killed"), "{news:?}");
        after.daemon_stopped(4);
        after.daemon_started(5);
        assert_eq!(after.newest(1)[0].message, format!("aiplatd {} started", env!("CARGO_PKG_VERSION")));
        assert_eq!(
            after.after(u64::MAX).len(),
            4,
            "a number that nobody gave; the two starts in order are one event"
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
