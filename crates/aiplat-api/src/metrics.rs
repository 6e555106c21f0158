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
pub const METRICS: [Metric; 10] = [
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
