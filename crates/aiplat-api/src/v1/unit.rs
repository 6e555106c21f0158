//! Of a service that is a unit of systemd.

use aiplat_core::condition::ConditionType;
use serde::{Deserialize, Serialize};

/// What a unit of systemd has that a container has not.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct UnitDetail {
    /// With its suffix: `ollama.service`.
    pub name: String,
    /// `observe`, `configure` or `full`.
    pub management: String,
    /// The unit's file.
    pub file: String,
    /// `enabled`, `disabled`, `static`.
    pub enabled: String,
    /// Of its main process.
    pub pid: Option<u32>,
    /// The drop-in that aiplatd has written, if it has.
    pub drop_in: Option<String>,
    /// Other people's drop-ins.
    pub other_drop_ins: Vec<String>,
    /// What its process is given, by name.
    #[serde(default)]
    pub environment: Vec<UnitVariable>,
    /// The last lines of its journal when it last failed or stopped to be ready; what else was found out then is in
    /// `diagnosis`.
    pub journal: Vec<String>,
    /// What was found out when it last failed or stopped to be ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnosis: Option<DiagnosisDetail>,
    /// aiplatd has written the unit's file, and not only a drop-in.
    #[serde(default)]
    pub written: bool,
    /// What starts it, if it runs at times.
    #[serde(default)]
    pub timer: Option<TimerDetail>,
}

/// What was found out, once, when a unit failed or lost a stage of its readiness.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DiagnosisDetail {
    /// The stage: `Active`, `Listening` or `Healthy`.
    pub stage: ConditionType,
    /// When, in RFC 3339.
    pub time: String,
    /// Of which run.
    pub run: Option<String>,
    /// What systemd said of it: `failed (failed), exit 1`.
    pub state: String,
    /// How a run before it failed, where none has been Ready since: `failed with signal SIGKILL`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub before: String,
    /// Who listened on the port that it is asked at.
    pub holders: Vec<String>,
    /// The last exchange of its probe.
    pub probe: String,
    /// What AppArmor has denied it.
    pub denials: Vec<String>,
    /// It has been Ready since.
    pub mended: bool,
}

/// The timer of a unit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TimerDetail {
    /// With its suffix: `backup.timer`.
    pub name: String,
    /// As the file has it.
    pub on_calendar: String,
    /// When it starts its unit next, RFC 3339.
    pub next: Option<String>,
    /// When it last did.
    pub last: Option<String>,
}

/// A variable of a unit's process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitVariable {
    /// Its name.
    pub name: String,
    /// The value that counts; a secret is not shown.
    pub value: String,
    /// The file that sets it, or what else does.
    pub from: String,
    /// aiplatd has written that file.
    #[serde(default)]
    pub ours: bool,
}
