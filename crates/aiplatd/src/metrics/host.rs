//! The machine and its GPUs in numbers. What is not known has no line: a zero would be a lie.

use std::sync::atomic::AtomicU64;

use aiplat_api::{
    metrics::help,
    v1::{FileSystemStatus, GpuStatus, GpuUserStatus, HostStatus},
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

use super::ConditionLabels;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Mount {
    mount: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Gpu {
    gpu: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GpuService {
    gpu: String,
    service: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GpuModel {
    gpu: String,
    model: String,
}

pub(super) fn register(host: &HostStatus, registry: &mut Registry) {
    let conditions = Family::<ConditionLabels, Gauge>::default();
    for it in &host.conditions {
        let labels = ConditionLabels {
            condition: it.condition.kind.to_string(),
            status: it.condition.status.to_string(),
        };
        conditions.get_or_create(&labels).set(1);
    }
    registry.register("host_condition", help("host_condition"), conditions);
    let mut number = |name: &str, value: Option<u64>| {
        let Some(value) = value else { return };
        let gauge: Gauge = Gauge::default();
        gauge.set(signed(value));
        registry.register(name, help(name), gauge);
    };
    number("host_memory_bytes", host.memory);
    number("host_memory_available_bytes", host.memory_available);
    file_systems(&host.file_systems, registry);
    gpus(&host.gpus, registry);
}

pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn file_systems(all: &[FileSystemStatus], registry: &mut Registry) {
    let mut family = |name: &str, value: &dyn Fn(&FileSystemStatus) -> Option<u64>| {
        let family = Family::<Mount, Gauge>::default();
        for it in all {
            if let Some(value) = value(it) {
                family.get_or_create(&Mount { mount: it.mount.clone() }).set(signed(value));
            }
        }
        registry.register(name, help(name), family);
    };
    family("filesystem_size_bytes", &|it| it.total);
    family("filesystem_free_bytes", &|it| it.free);
    family("filesystem_inodes_free", &|it| it.inodes_free.filter(|_| it.inodes > Some(0)));
}

fn gpus(all: &[GpuStatus], registry: &mut Registry) {
    let memory = Family::<GpuModel, Gauge>::default();
    for it in all {
        if let Some(bytes) = it.memory {
            let model = it.name.clone().unwrap_or_default();
            memory.get_or_create(&GpuModel { gpu: it.id.clone(), model }).set(signed(bytes));
        }
    }
    registry.register("gpu_memory_bytes", help("gpu_memory_bytes"), memory);
    let mut of_services = |name: &str, value: &dyn Fn(&GpuUserStatus) -> Option<u64>| {
        let family = Family::<GpuService, Gauge>::default();
        for (it, user) in all.iter().flat_map(|it| it.used_by.iter().map(move |user| (it, user))) {
            if let Some(value) = value(user) {
                let labels = GpuService { gpu: it.id.clone(), service: user.service.clone() };
                family.get_or_create(&labels).set(signed(value));
            }
        }
        registry.register(name, help(name), family);
    };
    of_services("gpu_memory_reserved_bytes", &|user| user.reserved);
    of_services("gpu_memory_used_bytes", &|user| user.used);
    let power = Family::<Gpu, Gauge<f64, AtomicU64>>::default();
    for it in all {
        if let Some(milliwatts) = it.power {
            power.get_or_create(&Gpu { gpu: it.id.clone() }).set(f64::from(milliwatts) / 1_000.0);
        }
    }
    registry.register("gpu_power_watts", help("gpu_power_watts"), power);
    let mut family = |name: &str, value: &dyn Fn(&GpuStatus) -> Option<u64>| {
        let family = Family::<Gpu, Gauge>::default();
        for it in all {
            if let Some(value) = value(it) {
                family.get_or_create(&Gpu { gpu: it.id.clone() }).set(signed(value));
            }
        }
        registry.register(name, help(name), family);
    };
    family("gpu_memory_free_bytes", &|it| it.memory_free);
    family("gpu_utilisation_percent", &|it| it.utilisation.map(u64::from));
    family("gpu_temperature_celsius", &|it| it.temperature.map(u64::from));
    family("gpu_lost", &|it| Some(u64::from(it.lost)));
    family("gpu_present", &|it| Some(u64::from(!it.gone)));
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    fn rendered(host: &HostStatus) -> String {
        let mut registry = Registry::with_prefix("aiplat");
        register(host, &mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).expect("a String takes every text");
        text
    }

    #[test]
    fn what_is_not_known_has_no_line() {
        let gpu =
            GpuStatus { id: "GPU-1".to_owned(), memory_free: Some(7), lost: true, ..GpuStatus::default() };
        let disk = FileSystemStatus {
            mount: "/".to_owned(),
            total: Some(9),
            inodes: Some(0),
            inodes_free: Some(0),
            ..FileSystemStatus::default()
        };
        let text =
            rendered(&HostStatus { gpus: vec![gpu], file_systems: vec![disk], ..HostStatus::default() });
        for line in [
            "aiplat_gpu_memory_free_bytes{gpu=\"GPU-1\"} 7",
            "aiplat_gpu_lost{gpu=\"GPU-1\"} 1",
            "aiplat_filesystem_size_bytes{mount=\"/\"} 9",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        for name in [
            "gpu_power_watts{",
            "gpu_temperature_celsius{",
            "inodes_free{",
            "host_memory_bytes 0",
            "free_bytes{mount",
        ] {
            assert!(!text.contains(name), "{name}: {text}");
        }
    }

    #[test]
    fn power_is_in_watts() {
        let gpu = GpuStatus { id: "GPU-1".to_owned(), power: Some(41_500), ..GpuStatus::default() };
        let text = rendered(&HostStatus { gpus: vec![gpu], ..HostStatus::default() });
        assert!(text.contains("aiplat_gpu_power_watts{gpu=\"GPU-1\"} 41.5"), "{text}");
    }
}
