//! What the machine's GPUs were last seen to be like. What could not be read is `None`, never zero.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Incarnation, Owner};
use crate::Timestamp;

/// A GPU's name for good, whatever slot it is moved to: `GPU-8f3a1c2e-…` as NVML gives it, `MIG-…` of a slice of one; of an AMD
/// or Intel GPU its place on the bus, as in `pci-0000:03:00.0`, for their drivers give no other that every card has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GpuId(pub String);

impl GpuId {
    /// As people write it, short and still unlike others: `GPU-8f3a1c2e`.
    #[must_use]
    pub fn short(&self) -> &str {
        // Drivers before R470 name a slice by its GPU and its two places in there.
        let old = self.0.starts_with("MIG-GPU-");
        let second = self.0.char_indices().filter(|(_, c)| *c == '-').map(|(at, _)| at).nth(1);
        if old || self.0.starts_with("pci-") { &self.0 } else { second.map_or(&self.0, |at| &self.0[..at]) }
    }
}

impl std::fmt::Display for GpuId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// All GPUs of the machine, and what the NVIDIA driver says of itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GpuFacts {
    /// NVIDIA's driver and library.
    pub nvidia: Driver,
    /// The GPUs, of all vendors.
    pub gpus: BTreeMap<GpuId, ObservedGpu>,
}

impl GpuFacts {
    /// Whether anybody has looked.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.nvidia != Driver::NotObserved
    }

    /// Takes in a newer look: while the driver cannot be asked, its GPUs are as they last were.
    pub fn take_in(&mut self, newer: Self) {
        let Self { nvidia, mut gpus } = newer;
        if !nvidia.tells_all() {
            let known = std::mem::take(&mut self.gpus).into_iter();
            gpus.extend(known.filter(|(_, gpu)| gpu.vendor == Vendor::Nvidia));
        }
        *self = Self { nvidia, gpus };
    }
}

impl Driver {
    /// The version of the kernel module that is loaded, as far as it is known.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        match self {
            Self::Ready { version, .. } => Some(version),
            Self::Mismatch(mismatch) => mismatch.module.as_deref(),
            Self::NotObserved
            | Self::Absent
            | Self::NoLibrary { .. }
            | Self::NotLoaded { .. }
            | Self::NoPermission { .. }
            | Self::Hung { .. }
            | Self::Failed { .. } => None,
        }
    }

    /// Whether the GPUs that it lists are all that there are, if it lists none too.
    fn tells_all(&self) -> bool {
        match self {
            Self::Absent | Self::NoLibrary { .. } | Self::NotLoaded { .. } | Self::Ready { .. } => true,
            Self::NotObserved
            | Self::NoPermission { .. }
            | Self::Mismatch(_)
            | Self::Hung { .. }
            | Self::Failed { .. } => false,
        }
    }
}

/// Whether NVIDIA's library can be asked. The states without a GPU are harmless and different: each has its own cure, if one
/// is wanted at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Driver {
    /// Nobody has looked yet.
    #[default]
    NotObserved,
    /// There is no NVIDIA card in this machine, and no library.
    Absent,
    /// There is a card, as the bus says, and no `libnvidia-ml.so.1`.
    NoLibrary {
        /// The card's place on the bus.
        card: String,
    },
    /// The library is there, and the kernel module is not loaded, or no device answers.
    NotLoaded {
        /// What the library said.
        message: String,
    },
    /// The devices may not be opened by this process.
    NoPermission {
        /// What the library said.
        message: String,
    },
    /// The library and the loaded kernel module are of different versions: whoever runs with the GPU runs on, and nobody
    /// else can begin.
    Mismatch(Mismatch),
    /// A call has not come back: the driver hangs, as `nvidia-smi` would.
    Hung {
        /// Which call.
        call: String,
    },
    /// It said something else.
    Failed {
        /// What.
        message: String,
    },
    /// It answers.
    Ready {
        /// The driver's version, as in `550.54.15`.
        version: String,
        /// The newest CUDA that it can run, as in `12.4`.
        cuda: Option<String>,
    },
}

/// What tells of a driver and a library that do not belong together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mismatch {
    /// Of the kernel module that is loaded.
    pub module: Option<String>,
    /// Of the library on disk.
    pub library: Option<String>,
    /// What the package manager did to it last, as in `2026-11-20 06:12 upgrade libnvidia-compute-550 550.54 550.90`.
    pub history: Option<String>,
}

/// Who made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Vendor {
    /// Asked through NVML.
    Nvidia,
    /// Asked through sysfs.
    Amd,
    /// Asked through sysfs.
    Intel,
}

/// One GPU, or one slice of a GPU (MIG).
#[derive(Debug, Clone, PartialEq)]
pub struct ObservedGpu {
    /// Who made it.
    pub vendor: Vendor,
    /// As the vendor's tools number them now; changes with the slots and the boots.
    pub index: Option<u32>,
    /// The model, as in `NVIDIA GeForce RTX 4090`.
    pub name: Option<String>,
    /// Its place on the bus, as in `0000:01:00.0`.
    pub bus: Option<String>,
    /// Of a slice: the GPU that it is of.
    pub parent: Option<GpuId>,
    /// Whether it is divided into slices, which are listed by themselves.
    pub mig: Option<bool>,
    /// Its memory.
    pub memory: Option<GpuMemory>,
    /// Major and minor, as in 8.9.
    pub compute_capability: Option<(u32, u32)>,
    /// Of the last second, in percent.
    pub utilisation: Option<u32>,
    /// Degrees Celsius.
    pub temperature: Option<u32>,
    /// What it draws, in milliwatts.
    pub power: Option<u32>,
    /// What it may draw, in milliwatts.
    pub power_limit: Option<u32>,
    /// The driver stays loaded when nobody uses it.
    pub persistence: Option<bool>,
    /// What the driver asks to have done.
    pub recovery: Option<Recovery>,
    /// Who computes on it; `None`: not known, which is not nobody.
    pub processes: Option<Vec<GpuProcess>>,
    /// It does not answer any more: what was said.
    pub lost: Option<String>,
}

impl ObservedGpu {
    /// One of which nothing is known but that it is there.
    #[must_use]
    pub fn new(vendor: Vendor) -> Self {
        Self {
            vendor,
            index: None,
            name: None,
            bus: None,
            parent: None,
            mig: None,
            memory: None,
            compute_capability: None,
            utilisation: None,
            temperature: None,
            power: None,
            power_limit: None,
            persistence: None,
            recovery: None,
            processes: None,
            lost: None,
        }
    }
}

/// Whether a container reaches its GPUs, as it looked from inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighted {
    /// The run that looked.
    pub run: Incarnation,
    /// When.
    pub at: Timestamp,
    /// What it saw.
    pub sight: Sight,
}

/// What a run's own log says of GPUs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogWords {
    /// The run.
    pub run: Incarnation,
    /// The line in which it says that it has found none; `None`: there is none such.
    pub line: Option<String>,
}

/// What NVIDIA's library says inside a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sight {
    /// It lists so many GPUs.
    Sees(usize),
    /// It lists none, or cannot begin: what it said.
    Blind(String),
    /// It could not be asked (`nvidia-smi` is not in there): why.
    Untried(String),
}

/// What a container was given of the GPUs when it was made, as its label says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenGpus {
    /// Which.
    pub gpus: Given,
    /// By the Container Device Interface, whose specification the engine reads at each start.
    pub cdi: bool,
}

/// Which GPUs a container was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    /// None: it may do without.
    None,
    /// Whichever there are at its start.
    All,
    /// These.
    These(BTreeSet<GpuId>),
}

impl std::fmt::Display for GivenGpus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.cdi {
            f.write_str("cdi:")?;
        }
        match &self.gpus {
            Given::None => f.write_str("none"),
            Given::All => f.write_str("all"),
            Given::These(gpus) => {
                let names: Vec<&str> = gpus.iter().map(|gpu| gpu.0.as_str()).collect();
                f.write_str(&names.join(","))
            }
        }
    }
}

impl std::str::FromStr for GivenGpus {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (cdi, names) = text.strip_prefix("cdi:").map_or((false, text), |names| (true, names));
        let named = |name: &str| GpuId(name.trim().to_owned());
        let gpus = match names {
            "" | "none" => Given::None,
            "all" => Given::All,
            names => Given::These(names.split(',').map(named).collect()),
        };
        Ok(Self { gpus, cdi })
    }
}

/// Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuMemory {
    /// All of it.
    pub total: u64,
    /// What a new process could get.
    pub free: u64,
}

/// A process that computes on a GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuProcess {
    /// Its number on the host.
    pub pid: u32,
    /// Bytes; `None`: the driver does not say.
    pub memory: Option<u64>,
    /// The name of its program; empty where it has ended meanwhile.
    pub name: String,
    /// What it is part of, as its control group says.
    pub owner: Owner,
}

/// What the driver asks to have done about a GPU (`NVML_FI_DEV_GET_GPU_RECOVERY_ACTION`), which is worth more than any table of
/// XIDs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recovery {
    /// Nothing.
    None,
    /// Reset it, when nobody uses it.
    Reset,
    /// Restart the machine.
    Reboot,
    /// Take the work off it that talks to other GPUs.
    DrainPeers,
    /// Take all work off it, then reset it.
    DrainAndReset,
    /// Something that this version has no name for: NVIDIA's number. Above 4 it differs between drivers what a number means.
    Other(u32),
}

/// Something that the driver told of by itself. Like every hint it may be lost; what it says is looked at anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuEvent {
    /// Of which GPU; `None`: of the driver as a whole.
    pub gpu: Option<GpuId>,
    /// What.
    pub kind: GpuEventKind,
}

/// What a driver tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GpuEventKind {
    /// An error of this number in NVIDIA's catalogue.
    Xid(u64),
    /// The GPU was divided anew.
    MigChanged,
    /// Something else: what there is to know is seen by looking.
    Other(String),
    /// The stream broke: what happened meanwhile was not told.
    Lost(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_the_driver_cannot_be_asked_its_gpus_are_as_they_last_were() {
        let gpu = |id: &str, vendor| (GpuId(id.to_owned()), ObservedGpu::new(vendor));
        let ready = Driver::Ready { version: "550.54.15".to_owned(), cuda: None };
        let known = [gpu("GPU-1", Vendor::Nvidia), gpu("pci-0000:03:00.0", Vendor::Amd)];
        let mut facts = GpuFacts { nvidia: ready.clone(), gpus: known.into_iter().collect() };
        let hung = Driver::Hung { call: "nvmlDeviceGetCount_v2".to_owned() };
        facts.take_in(GpuFacts { nvidia: hung.clone(), gpus: BTreeMap::new() });
        assert_eq!(facts, GpuFacts { nvidia: hung, gpus: BTreeMap::from([gpu("GPU-1", Vendor::Nvidia)]) });
        facts.take_in(GpuFacts { nvidia: ready, gpus: BTreeMap::new() });
        assert_eq!(facts.gpus, BTreeMap::new(), "a driver that answers knows which there are");
    }

    #[test]
    fn what_a_container_was_given_is_read_as_it_was_written() {
        for text in ["none", "all", "cdi:all", "GPU-1,GPU-2", "cdi:GPU-1"] {
            let Ok(given) = text.parse::<GivenGpus>();
            assert_eq!(given.to_string(), text);
        }
        let Ok(one) = "cdi:GPU-1".parse::<GivenGpus>();
        assert_eq!(one.gpus, Given::These([GpuId("GPU-1".to_owned())].into()));
    }

    #[test]
    fn a_short_id_is_the_first_group_and_of_a_bus_all_of_it() {
        let short = |id: &str| GpuId(id.to_owned()).short().to_owned();
        assert_eq!(short("GPU-8f3a1c2e-1111-2222-3333-444455556666"), "GPU-8f3a1c2e");
        assert_eq!(short("MIG-0a1b2c3d-1111-2222-3333-444455556666"), "MIG-0a1b2c3d");
        assert_eq!(short("pci-0000:03:00.0"), "pci-0000:03:00.0");
        assert_eq!(short("odd"), "odd");
        let old = "MIG-GPU-8f3a1c2e-1111-2222-3333-444455556666/1/0";
        assert_eq!(short(old), old);
    }
}
