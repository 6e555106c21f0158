//! The metrics, which are a promise like the rest of the wire format: names, labels and what they count.

/// One metric of `/metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Without the prefix `aiplat_`, and without the `_total` of counters.
    pub name: &'static str,
    /// What it counts.
    pub help: &'static str,
    /// Whether it only grows.
    pub is_counter: bool,
    /// The names of its labels.
    pub labels: &'static [&'static str],
}

impl Metric {
    /// As it stands in `/metrics`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("aiplat_{}{}", self.name, if self.is_counter { "_total" } else { "" })
    }
}

/// Every metric.
pub const METRICS: [Metric; 32] = [
    Metric {
        name: "service_status",
        help: "1 for the printed word of each service",
        is_counter: false,
        labels: &["service", "status"],
    },
    Metric {
        name: "service_ready",
        help: "1 if the service does what it is there for",
        is_counter: false,
        labels: &["service"],
    },
    Metric {
        name: "service_restarts",
        help: "Restarts that were counted",
        is_counter: false,
        labels: &["service"],
    },
    Metric {
        name: "platform_condition",
        help: "Conditions of the platform; 1 where known",
        is_counter: false,
        labels: &["condition", "status"],
    },
    Metric { name: "spec_generation", help: "Accepted versions of the file", is_counter: false, labels: &[] },
    Metric {
        name: "actions",
        help: "Calls that change a host, since the start",
        is_counter: true,
        labels: &["action", "result"],
    },
    Metric { name: "passes", help: "Reconcile passes since the start", is_counter: true, labels: &[] },
    Metric {
        name: "controller_scheduled",
        help: "Resources with a pass ahead",
        is_counter: false,
        labels: &[],
    },
    Metric { name: "controller_running", help: "Passes that run", is_counter: false, labels: &[] },
    Metric {
        name: "controller_waiting_for_permit",
        help: "Resources that wait for a place to start or pull",
        is_counter: false,
        labels: &[],
    },
    Metric {
        name: "host_condition",
        help: "Conditions of the machine; 1 for the status that each has",
        is_counter: false,
        labels: &["condition", "status"],
    },
    Metric { name: "host_memory_bytes", help: "Memory of the machine", is_counter: false, labels: &[] },
    Metric {
        name: "host_memory_available_bytes",
        help: "Memory that a new program could get",
        is_counter: false,
        labels: &[],
    },
    Metric {
        name: "filesystem_size_bytes",
        help: "Size of a file system that the platform lives on",
        is_counter: false,
        labels: &["mount"],
    },
    Metric { name: "filesystem_free_bytes", help: "Free room of it", is_counter: false, labels: &["mount"] },
    Metric {
        name: "filesystem_inodes_free",
        help: "Files that it can still hold; absent where there is no bound",
        is_counter: false,
        labels: &["mount"],
    },
    Metric {
        name: "volume_size_bytes",
        help: "What a volume takes on its disk, as of the last measurement",
        is_counter: false,
        labels: &["volume"],
    },
    Metric {
        name: "volume_measured_seconds",
        help: "How long ago that was",
        is_counter: false,
        labels: &["volume"],
    },
    Metric {
        name: "gpu_memory_bytes",
        help: "Memory of a GPU",
        is_counter: false,
        labels: &["gpu", "model"],
    },
    Metric {
        name: "gpu_memory_free_bytes",
        help: "Memory of a GPU that a new process could get",
        is_counter: false,
        labels: &["gpu"],
    },
    Metric {
        name: "gpu_utilisation_percent",
        help: "How busy a GPU was in the last second",
        is_counter: false,
        labels: &["gpu"],
    },
    Metric { name: "gpu_temperature_celsius", help: "How hot a GPU is", is_counter: false, labels: &["gpu"] },
    Metric { name: "gpu_power_watts", help: "What a GPU draws", is_counter: false, labels: &["gpu"] },
    Metric {
        name: "gpu_present",
        help: "1 for a GPU that is in the machine, 0 for one that was",
        is_counter: false,
        labels: &["gpu"],
    },
    Metric {
        name: "gpu_memory_reserved_bytes",
        help: "What a service says it takes of a GPU's memory",
        is_counter: false,
        labels: &["gpu", "service"],
    },
    Metric {
        name: "gpu_memory_used_bytes",
        help: "What the processes of a service use of a GPU's memory",
        is_counter: false,
        labels: &["gpu", "service"],
    },
    Metric {
        name: "gpu_lost",
        help: "1 for a GPU that does not answer any more",
        is_counter: false,
        labels: &["gpu"],
    },
    Metric {
        name: "model_present",
        help: "1 for a model of the file that its server has, 0 for one that it lacks; absent where that is not known",
        is_counter: false,
        labels: &["model", "runner"],
    },
    Metric {
        name: "model_size_bytes",
        help: "Size of a model on the disk of its server",
        is_counter: false,
        labels: &["model", "runner"],
    },
    Metric {
        name: "model_pull_bytes",
        help: "Size of a model that is being pulled, as far as its pull has announced it",
        is_counter: false,
        labels: &["model", "runner"],
    },
    Metric {
        name: "model_pulled_bytes",
        help: "What of it has come",
        is_counter: false,
        labels: &["model", "runner"],
    },
    Metric {
        name: "model_vram_bytes",
        help: "Memory of GPUs that a loaded model takes; 0: it runs on the CPU",
        is_counter: false,
        labels: &["model", "runner"],
    },
];

/// What the metric `name` counts.
///
/// # Panics
/// When it is not in the table: nothing is counted that the reference does not name.
#[must_use]
pub fn help(name: &str) -> &'static str {
    let metric = METRICS.iter().find(|metric| metric.name == name);
    metric.map(|metric| metric.help).unwrap_or_else(|| panic!("the metric `{name}` is not in the table"))
}
