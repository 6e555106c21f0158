//! What a service asks of the machine's GPUs. `gpus`, `deploy.resources.reservations.devices`, `runtime: nvidia` and a device
//! by the name of the Container Device Interface are one request, written in four ways.

use std::fmt;

use super::DeviceRequest;

/// One request for GPUs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuRequest {
    /// How many, or which.
    pub wanted: WantedGpus,
    /// What each of them must be like.
    pub needs: GpuNeeds,
    /// How it was written: what decides which words the engine is given.
    pub written: WrittenGpus,
}

/// How many GPUs, or which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WantedGpus {
    /// All that fit.
    All,
    /// So many of those that fit.
    Count(usize),
    /// These very ones, by index or UUID as the driver has them.
    These(Vec<String>),
}

/// What a GPU must be like for a service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GpuNeeds {
    /// Bytes that it has in all, free or not.
    pub min_vram: Option<u64>,
    /// Major and minor, as in 8.0.
    pub min_compute_capability: Option<(u32, u32)>,
    /// Of NVIDIA's driver.
    pub min_driver: Option<DriverVersion>,
    /// Bytes that the service takes of each: with less free it does not start.
    pub vram: Option<u64>,
    /// It starts without a GPU where it cannot have one.
    pub optional: bool,
}

/// The key that a request was written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WrittenGpus {
    /// A request to the engine (`gpus`, `deploy.resources.reservations.devices`): aiplatd chooses the GPUs, and puts their UUIDs
    /// in its place.
    Request,
    /// The engine gets it as it was written: `runtime: nvidia`, and devices by the name of the Container Device Interface.
    AsItIs,
    /// Of a unit: it sees all GPUs of the machine, whatever anybody says.
    Unit,
}

/// A driver's version, which is compared number by number: `550.54.15` is newer than `550.9`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DriverVersion(pub Vec<u32>);

impl DriverVersion {
    /// Reads `550`, `550.54` or `550.54.15`; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Result<Vec<u32>, _> = text.split('.').map(str::parse).collect();
        parts.ok().filter(|parts| parts.len() <= 4).map(Self)
    }
}

impl fmt::Display for DriverVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.0.iter().map(|part| format!("{part:02}")).collect();
        f.write_str(&parts.join("."))
    }
}

/// The kind of NVIDIA's GPUs in the Container Device Interface.
pub const CDI_KIND: &str = "nvidia.com/gpu";

impl DeviceRequest {
    /// Whether the engine's driver for NVIDIA would carry it out: any other is its own driver's matter.
    #[must_use]
    pub fn is_for_gpus(&self) -> bool {
        let capable = self.capabilities.iter().any(|known| known == "gpu" || known == "nvidia");
        match self.driver.as_deref() {
            None | Some("" | "nvidia") => capable,
            Some("cdi") => !self.cdi_gpus().is_empty(),
            Some(_) => false,
        }
    }

    /// Of a request to the driver `cdi`: the GPUs that it names.
    fn cdi_gpus(&self) -> Vec<String> {
        self.device_ids.iter().filter_map(|name| cdi_gpu(name)).map(str::to_owned).collect()
    }

    /// What it asks for; `None` if that is no GPU.
    #[must_use]
    pub fn wanted_gpus(&self) -> Option<(WantedGpus, WrittenGpus)> {
        if !self.is_for_gpus() {
            return None;
        }
        if self.driver.as_deref() == Some("cdi") {
            return Some((WantedGpus::named(self.cdi_gpus()), WrittenGpus::AsItIs));
        }
        let wanted = match usize::try_from(self.count) {
            _ if !self.device_ids.is_empty() => WantedGpus::named(self.device_ids.clone()),
            Ok(count) if count > 0 => WantedGpus::Count(count),
            Ok(_) | Err(_) => WantedGpus::All,
        };
        Some((wanted, WrittenGpus::Request))
    }
}

impl WantedGpus {
    /// The GPUs of these names, one of which may be `all`.
    #[must_use]
    pub fn named(names: Vec<String>) -> Self {
        if names.iter().any(|name| name == "all") { Self::All } else { Self::These(names) }
    }
}

/// The GPU that a device's name in the Container Device Interface means: `0` of `nvidia.com/gpu=0`.
#[must_use]
pub fn cdi_gpu(name: &str) -> Option<&str> {
    name.split_once('=').filter(|(kind, _)| *kind == CDI_KIND).map(|(_, gpu)| gpu)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_a_driver_are_compared_number_by_number() {
        let version = |text| DriverVersion::parse(text).expect("a version");
        assert!(version("550.54.15") > version("550.9"));
        assert!(version("550.54.15") >= version("550"));
        assert!(version("470.256.02") < version("525"));
        assert_eq!(DriverVersion::parse("new"), None);
        assert_eq!(DriverVersion::parse(""), None);
        assert_eq!(version("550.54.05").to_string(), "550.54.05");
    }

    #[test]
    fn a_request_is_for_gpus_only_where_nvidias_driver_would_carry_it_out() {
        let request = |driver: Option<&str>, capability: &str, ids: &[&str]| DeviceRequest {
            driver: driver.map(str::to_owned),
            count: if ids.is_empty() { -1 } else { 0 },
            capabilities: vec![capability.to_owned()],
            device_ids: ids.iter().map(|id| (*id).to_owned()).collect(),
            ..DeviceRequest::default()
        };
        let all = Some((WantedGpus::All, WrittenGpus::Request));
        assert_eq!(request(None, "gpu", &[]).wanted_gpus(), all);
        assert_eq!(request(Some("nvidia"), "gpu", &["all"]).wanted_gpus(), all);
        assert_eq!(request(Some("amd"), "gpu", &[]).wanted_gpus(), None);
        assert_eq!(request(None, "tpu", &[]).wanted_gpus(), None);
        let two = request(None, "gpu", &["0", "GPU-8f3a"]).wanted_gpus();
        let named = WantedGpus::These(vec!["0".to_owned(), "GPU-8f3a".to_owned()]);
        assert_eq!(two, Some((named, WrittenGpus::Request)));
        let cdi = request(Some("cdi"), "", &["nvidia.com/gpu=0", "vendor.com/net=a"]).wanted_gpus();
        assert_eq!(cdi, Some((WantedGpus::These(vec!["0".to_owned()]), WrittenGpus::AsItIs)));
        assert_eq!(request(Some("cdi"), "", &["vendor.com/net=a"]).wanted_gpus(), None);
    }
}
