//! systemd as a whole.

use serde::{Deserialize, Serialize};

/// What systemd says of itself, asked when somebody wants to know.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemdReport {
    /// Its version: `252.39-1~deb12u1`.
    pub version: String,
    /// `running`, `degraded`, `starting`, ...
    pub state: String,
    /// The units that have failed, by name.
    pub failed: Vec<FailedUnit>,
}

/// A unit that has failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedUnit {
    /// With its suffix: `srv-models.mount`.
    pub name: String,
    /// The services of the file whose unit it is, or whose unit's file asks for it.
    pub needed_by: Vec<String>,
}
