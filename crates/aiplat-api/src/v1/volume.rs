//! Data on the disks of the machine. What is not known is absent, which is not zero.

use aiplat_core::plan::Pressure;
use serde::{Deserialize, Serialize};

/// What a volume takes, and the room that there is for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VolumeUsage {
    /// Bytes, as the engine last measured them; absent: not measured, or of a driver that cannot tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// How many seconds ago that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured_secs_ago: Option<u64>,
    /// How much it has grown; absent until it has been measured twice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub growth: Option<VolumeGrowth>,
    /// Where the file system is mounted that it lives on; absent: in memory, on another machine, or not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mount: Option<String>,
    /// Free bytes there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free: Option<u64>,
    /// How short of room that one is; absent: it is not, or that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pressure: Option<Pressure>,
}

/// How much a volume has grown within the last day, or since the daemon first measured it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeGrowth {
    /// Bytes; fewer than none: it has shrunk.
    pub bytes: i64,
    /// In so many seconds.
    pub secs: u64,
}

/// A path of the machine that services write to. What is in it is not counted: only the room around it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostPathStatus {
    /// The path.
    pub path: String,
    /// Where its file system is mounted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mount: Option<String>,
    /// Free bytes there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free: Option<u64>,
    /// How short of room that one is; absent: it is not, or that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pressure: Option<Pressure>,
    /// Services that write there.
    pub used_by: Vec<String>,
}
