//! Volumes in numbers. One that has not been measured has no line.

use aiplat_api::{metrics::help, v1::ResourceStatus};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Volume {
    volume: String,
}

pub(super) fn register(resources: &[ResourceStatus], registry: &mut Registry) {
    let (sizes, ages) = (Family::<Volume, Gauge>::default(), Family::<Volume, Gauge>::default());
    for it in resources {
        let measured = it.usage.as_ref().and_then(|usage| Some((usage.size?, usage.measured_secs_ago?)));
        let Some((size, age)) = measured else { continue };
        let labels = Volume { volume: it.host_name.clone() };
        sizes.get_or_create(&labels).set(super::host::signed(size));
        ages.get_or_create(&labels).set(super::host::signed(age));
    }
    registry.register("volume_size_bytes", help("volume_size_bytes"), sizes);
    registry.register("volume_measured_seconds", help("volume_measured_seconds"), ages);
}
