//! The machine, as far as it is known. What could not be read is absent, which is not zero and not "no".

use std::{collections::BTreeMap, net::IpAddr};

use aiplat_core::{condition::Condition, plan::Pressure};
use serde::{Deserialize, Serialize};

use super::{HostPathStatus, StatusCondition};

/// The machine and its GPUs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostStatus {
    /// What it is strong enough for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<TierStatus>,
    /// The processors, as the kernel names them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// Of these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores: Option<u32>,
    /// Threads of one core counted each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<u32>,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Bytes that a new program could get.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_available: Option<u64>,
    /// As `uname -r` prints it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// As it calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distribution: Option<String>,
    /// `none` on a machine of metal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtualisation: Option<String>,
    /// 1 or 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroups: Option<u8>,
    /// Whether somebody keeps the clock right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_synchronised: Option<bool>,
    /// What asks for a restart of the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reboot_required_by: Option<Vec<String>>,
    /// By interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addresses: Option<BTreeMap<String, Vec<IpAddr>>>,
    /// Networks that the machine reaches directly, as in `172.20.0.0/16 by wg0`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routes: Option<Vec<String>>,
    /// Programs that write firewall rules, and whether they are at work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub firewalls: Option<BTreeMap<String, Option<bool>>>,
    /// Packages that get in the engine's way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflicting_packages: Option<Vec<String>>,
    /// The engine's own settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<EngineStatus>,
    /// File systems that the platform lives on.
    pub file_systems: Vec<FileSystemStatus>,
    /// Paths of the machine that services write to.
    pub host_paths: Vec<HostPathStatus>,
    /// NVIDIA's driver in a sentence; absent where there is nothing of NVIDIA's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver_version: Option<String>,
    /// Specifications of the Container Device Interface, by path: what they are of.
    pub cdi_specs: BTreeMap<String, String>,
    /// The driver's versions that they were made for, by path, where they name one.
    pub cdi_drivers: BTreeMap<String, String>,
    /// The GPUs, of all vendors.
    pub gpus: Vec<GpuStatus>,
    /// The settings of `get host -o env`, by name.
    pub environment: BTreeMap<String, String>,
    /// DiskPressure, RebootRequired and so on.
    pub conditions: Vec<StatusCondition>,
}

/// The tier in force.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierStatus {
    /// Its name.
    pub name: String,
    /// Which rule has decided it, and what the better ones lacked.
    pub because: String,
}

/// What the engine says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EngineStatus {
    /// Its version.
    pub version: String,
    /// Where it keeps everything.
    pub data_root: String,
    /// As in `overlay2`.
    pub storage_driver: String,
    /// `systemd` or `cgroupfs`.
    pub cgroup_driver: String,
    /// As in `nvidia`.
    pub runtimes: Vec<String>,
    /// The one that is used where nothing is said.
    pub default_runtime: String,
    /// Containers run on while it restarts.
    pub live_restore: bool,
    /// It knows the Container Device Interface.
    pub cdi: bool,
    /// The networks out of which it makes networks.
    pub address_pools: Vec<String>,
}

/// One file system.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FileSystemStatus {
    /// Where it is mounted.
    pub mount: String,
    /// The device.
    pub source: String,
    /// As in `ext4`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Bytes; absent: it does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free: Option<u64>,
    /// Files that it can hold; 0: as many as there is room for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inodes: Option<u64>,
    /// Of which are free.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inodes_free: Option<u64>,
    /// `disk` turns, `flash` does not; absent: neither, or not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub medium: Option<String>,
    /// It may not be written.
    pub read_only: bool,
    /// How short of room it is; absent: it is not, or that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pressure: Option<Pressure>,
    /// What of the platform lives there.
    pub used_by: Vec<String>,
}

/// One GPU, or one slice of one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GpuStatus {
    /// As in `GPU-8f3a1c2e-...`.
    pub id: String,
    /// The model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `nvidia`, `amd`, `intel`.
    pub vendor: String,
    /// As the vendor's tools number it now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
    /// Its place on the bus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bus: Option<String>,
    /// Of a slice: the GPU that it is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_free: Option<u64>,
    /// As in `8.9`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compute_capability: Option<String>,
    /// Percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub utilisation: Option<u32>,
    /// Degrees Celsius.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<u32>,
    /// Milliwatts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power: Option<u32>,
    /// Milliwatts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power_limit: Option<u32>,
    /// Processes that compute on it; absent: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processes: Option<Vec<GpuProcessStatus>>,
    /// It does not answer any more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub lost: bool,
    /// It was in this machine, and is not any more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
    /// The services that have it, or are to have it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub used_by: Vec<GpuUserStatus>,
    /// `Present`, `DriverOk`, `Healthy`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// What is wrong with it; empty when nothing is.
    pub message: String,
}

/// A service that has a GPU.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GpuUserStatus {
    /// Its name in the file.
    pub service: String,
    /// It runs.
    pub runs: bool,
    /// Bytes that it says it takes (`vram`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserved: Option<u64>,
    /// Bytes that its processes use; absent: the driver does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<u64>,
}

/// A process that computes on a GPU.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuProcessStatus {
    /// Its number on the machine.
    pub pid: u32,
    /// Bytes; absent: the driver does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// The name of its program; empty: it has ended.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
}
