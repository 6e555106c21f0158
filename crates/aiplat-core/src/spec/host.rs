//! `host:` of the file: what it says of the machine itself.

use crate::tier::{Capacity, Tier, TierRule, decide, default_rules};

/// What the file says of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSpec {
    /// When a file system counts as short of room.
    pub disk_pressure: DiskPressure,
    /// The rules that give a tier, the first that fits.
    pub tiers: Vec<TierRule>,
    /// `tier:`, which goes before them.
    pub named: Option<String>,
    /// How the engine is set up; `None`: that is nobody's business but the administrator's.
    pub docker: Option<DockerSpec>,
    /// The tier in force, if the machine has one: decided with what was known of it when the file was read.
    pub tier: Option<Tier>,
}

impl Default for HostSpec {
    fn default() -> Self {
        Self {
            disk_pressure: DiskPressure::default(),
            tiers: default_rules(),
            named: None,
            docker: None,
            tier: None,
        }
    }
}

impl HostSpec {
    /// The tier that this file gives a machine of `capacity`.
    #[must_use]
    pub fn tier_of(&self, capacity: Option<Capacity>) -> Option<Tier> {
        decide(&self.tiers, self.named.as_deref(), capacity)
    }
}

/// `host.docker` with `manage: true`: aiplatd adds to the engine's `daemon.json` what it lacks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DockerSpec {
    /// The runtime `nvidia` as well.
    pub nvidia: bool,
}

/// `host.disk_pressure`: free room of a file system, in thousandths of all of it, of bytes or of inodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskPressure {
    /// Less than this is said.
    pub warn: u64,
    /// With less than this nothing is pulled.
    pub stop_pulls: u64,
}

impl Default for DiskPressure {
    fn default() -> Self {
        Self { warn: 100, stop_pulls: 50 }
    }
}
