//! What a service needs of its GPUs, in the words of the file.

use aiplat_core::spec::{DeviceRequest, GpuNeeds, GpuRequest};
use serde_json::{Map, Value, json};

/// The entries of `gpus`, which the engine's half alone would leave without what only aiplatd looks at.
pub(super) fn with_needs(
    mut words: Map<String, Value>,
    requests: &[DeviceRequest],
    asked: &[GpuRequest],
) -> Map<String, Value> {
    let Some(Value::Array(entries)) = words.get_mut("gpus") else { return words };
    // Both are in the order of the file; what is no request for a GPU is in one of them only.
    let of_gpus = entries.iter_mut().zip(requests).filter(|(_, request)| request.wanted_gpus().is_some());
    for ((entry, _), asked) in of_gpus.zip(asked) {
        if let Value::Object(entry) = entry {
            entry.extend(needs(&asked.needs));
        }
    }
    words
}

pub(super) fn needs(needs: &GpuNeeds) -> Map<String, Value> {
    let GpuNeeds { min_vram, min_compute_capability, min_driver, vram, optional } = needs;
    let capability = min_compute_capability.map(|(major, minor)| json!(format!("{major}.{minor}")));
    let words = [
        ("min_vram", min_vram.map(|bytes| json!(bytes))),
        ("min_compute_capability", capability),
        ("min_driver", min_driver.as_ref().map(|version| json!(version.to_string()))),
        ("vram", vram.map(|bytes| json!(bytes))),
        ("optional", optional.then(|| json!(true))),
    ];
    words.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}
