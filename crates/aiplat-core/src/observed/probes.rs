//! What was found out by asking and by looking again and again, of one run each.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Incarnation;
use crate::{ResourceId, Timestamp, spec::ProbeSpec};

/// When we saw one container run and end; in memory only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sighting {
    /// The run that these times are of.
    pub incarnation: Option<Incarnation>,
    /// First seen running in this incarnation.
    pub running_since: Option<Timestamp>,
    /// Last seen running.
    pub last_running: Option<Timestamp>,
    /// First seen ended, after having been seen running or not.
    pub ended_at: Option<Timestamp>,
    /// When we last started this container, whatever run came of it: one that dies within the start call is never
    /// seen running.
    pub started_by_us: Option<Timestamp>,
}

/// One incarnation as probed by us.
#[derive(Debug, Clone, PartialEq)]
pub struct ProbeFacts {
    /// What was probed.
    pub incarnation: Incarnation,
    /// When its first probe was made.
    pub since: Timestamp,
    /// From when its time to become ready runs: since its first probe, or since it last waited for a dependency.
    pub budget_from: Timestamp,
    /// Probes made.
    pub attempts: u32,
    /// Failures in a row.
    pub failures: u32,
    /// It has passed at least once.
    pub has_passed: bool,
    /// The verdict so far: `None` until it has passed, or failed often enough.
    pub healthy: Option<bool>,
    /// The dependencies that were not ready when the last probe failed: it is not to blame.
    pub waits_for: Vec<ResourceId>,
    /// The last exchange.
    pub last: Option<ProbeOutcome>,
}

/// One exchange of a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeOutcome {
    /// When it ended.
    pub at: Timestamp,
    /// It passed.
    pub passed: bool,
    /// What was asked and answered, for a person: `GET http://172.18.0.3:4000/health: 503 Service Unavailable`.
    pub transcript: String,
    /// How long it took.
    pub took: Duration,
}

impl ProbeFacts {
    /// Facts of an incarnation that has not been probed.
    #[must_use]
    pub fn new(incarnation: Incarnation, now: Timestamp) -> Self {
        Self {
            incarnation,
            since: now,
            budget_from: now,
            attempts: 0,
            failures: 0,
            has_passed: false,
            healthy: None,
            waits_for: Vec::new(),
            last: None,
        }
    }

    /// Counts one exchange. One pass makes it healthy. A service that has never passed has its whole budget
    /// ([`ProbeSpec::budget`]), however often it was asked meanwhile; after that, `retries` failures in a row make
    /// it unhealthy. Neither verdict is final.
    ///
    /// A failure while dependencies are not ready (`waits_for`) costs it nothing: its tries and its time begin anew. It is
    /// not healthy meanwhile, and not until it has passed again.
    pub fn record(&mut self, outcome: ProbeOutcome, spec: &ProbeSpec, waits_for: Vec<ResourceId>) {
        self.attempts = self.attempts.saturating_add(1);
        self.waits_for = if outcome.passed { Vec::new() } else { waits_for };
        if outcome.passed {
            self.failures = 0;
            self.has_passed = true;
            self.healthy = Some(true);
        } else if !self.waits_for.is_empty() {
            self.failures = 0;
            self.budget_from = outcome.at;
            self.healthy = None;
        } else {
            self.failures = self.failures.saturating_add(1);
            let exhausted = if self.has_passed {
                self.failures >= spec.retries.max(1)
            } else {
                outcome.at.since(self.budget_from) >= spec.budget()
            };
            if exhausted {
                self.healthy = Some(false);
            }
        }
        self.last = Some(outcome);
    }
}

impl Sighting {
    /// When this run began, as far as we know: seen running, or started by us and dead before anybody looked.
    #[must_use]
    pub fn began(&self) -> Option<Timestamp> {
        self.running_since.or(self.started_by_us)
    }

    pub(super) fn record(&mut self, incarnation: Option<Incarnation>, is_alive: bool, now: Timestamp) {
        if incarnation.is_some() && incarnation != self.incarnation {
            *self = Self { incarnation, started_by_us: self.started_by_us, ..Self::default() };
        }
        if is_alive {
            self.running_since.get_or_insert(now);
            self.last_running = Some(now);
            self.ended_at = None;
        } else {
            self.ended_at.get_or_insert(now);
        }
    }
}
