//! A service that is a systemd unit.

mod own;

use std::collections::BTreeMap;

pub use own::{Hardening, OwnUnit, SANDBOX, TimerSpec};

use super::{Dependency, GpuRequest, ProbeSpec, RestartMode, Role};
use crate::ResourceId;

/// How every file begins that aiplatd writes for systemd.
pub const WRITTEN_BY: &str = "# Written by aiplatd";

/// What one service wants of systemd and of us.
#[derive(Debug, Clone, PartialEq)]
pub struct UnitSpec {
    /// The service's name in the file.
    pub service: String,
    /// The unit's name in systemd, with its suffix: `ollama.service`.
    pub unit: String,
    /// How far our hands reach.
    pub management: Management,
    /// The program of a unit whose file is ours; `None`: somebody else brings the unit.
    pub own: Option<OwnUnit>,
    /// Complete: `env_file` and `environment` merged. Empty: no drop-in.
    pub environment: BTreeMap<String, String>,
    /// What follows a failure that systemd leaves as it is: `No` leaves it too, anything else starts it again. Of a unit
    /// of ours it is also what systemd itself does.
    pub restart: RestartMode,
    /// What must be ready first.
    pub dependencies: BTreeMap<ResourceId, Dependency>,
    /// How readiness is found out; `None`: active is ready.
    pub probe: Option<ProbeSpec>,
    /// What holds the other probes back until it has passed, or its time is up.
    pub startup: Option<ProbeSpec>,
    /// What it is restarted for when it fails.
    pub liveness: Option<ProbeSpec>,
    /// What it asks of GPUs.
    pub gpus: Vec<GpuRequest>,
}

/// `management:` of a unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Management {
    /// It is looked at, gated on and spoken of; nothing is done to it.
    Observe,
    /// A drop-in, starts and restarts; nothing else.
    #[default]
    Configure,
    /// Unmasked and enabled as well.
    Full,
}

impl UnitSpec {
    /// The probe for `role`, if the file has one.
    #[must_use]
    pub fn probe_for(&self, role: Role) -> Option<&ProbeSpec> {
        match role {
            Role::Startup => self.startup.as_ref(),
            Role::Readiness => self.probe.as_ref(),
            Role::Liveness => self.liveness.as_ref(),
        }
    }

    /// The port at which it is asked, if it is.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        [Role::Readiness, Role::Startup, Role::Liveness]
            .into_iter()
            .find_map(|role| self.probe_for(role)?.kind.port())
    }

    /// The text of its `EnvironmentFile`, as man 5 `systemd.exec` reads it: within double quotes a backslash stands before
    /// `"`, `\`, a backtick and `$`, and nothing is expanded.
    #[must_use]
    pub fn environment_file(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.environment {
            text.push_str(name);
            text.push_str("=\"");
            for c in value.chars() {
                if matches!(c, '"' | '\\' | '`' | '$') {
                    text.push('\\');
                }
                text.push(c);
            }
            text.push_str("\"\n");
        }
        text
    }

    /// The text of its drop-in, which names the environment's file alone: a changed value needs a restart, and no reload of
    /// systemd.
    #[must_use]
    pub fn drop_in(&self, environment_path: &str) -> String {
        format!(
            "{WRITTEN_BY} for the service `{}` of platform.yaml, and written anew when it differs.\n\
             # To change a value, edit `environment:` there.\n\
             [Service]\n\
             EnvironmentFile=-{environment_path}\n",
            self.service
        )
    }
}
