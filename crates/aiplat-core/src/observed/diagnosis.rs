//! What is found out once, when a unit fails or loses a stage of its readiness.

use super::Incarnation;
use crate::condition::ConditionType;

/// What one run of a unit has left behind. Hostile bytes: printable and short when it comes from an adapter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitEvidence {
    /// The last lines that its processes wrote to the journal, oldest first, 40 at most.
    pub journal: Vec<String>,
    /// What AppArmor has denied it, a sentence each, ten at most.
    pub denials: Vec<String>,
}

/// Everything that was found out when it happened. Nothing in it is a secret any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitDiagnosis {
    /// The stage that was lost: `Active`, `Listening` or `Healthy`.
    pub stage: ConditionType,
    /// Of which run.
    pub run: Option<Incarnation>,
    /// In milliseconds since 1970; for display.
    pub wall_ms: i64,
    /// What systemd said of it: `failed (failed), exit 1`.
    pub state: String,
    /// How its last run failed: `failed with exit 1`; empty where none did since it was Ready.
    pub failure: String,
    /// The line of its journal that tells why, as an appendix to a sentence: ` (its last line: ...)`.
    pub quote: String,
    /// The last lines of its journal, oldest first.
    pub journal: Vec<String>,
    /// Who listened on the port that it is asked at; empty where that was not looked up.
    pub holders: Vec<String>,
    /// The last exchange of its probe.
    pub transcript: String,
    /// What AppArmor has denied it.
    pub denials: Vec<String>,
    /// It has been Ready since: it tells of the past.
    pub mended: bool,
}
