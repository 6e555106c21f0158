//! What services of a sketch ask of GPUs.

use aiplat_core::spec::{DeviceRequest, GpuNeeds, GpuRequest, Hardware, WantedGpus, WrittenGpus};

/// So many GPUs.
#[must_use]
pub fn gpus(count: usize) -> GpuRequest {
    GpuRequest { wanted: WantedGpus::Count(count), ..all_gpus() }
}

/// All GPUs.
#[must_use]
pub fn all_gpus() -> GpuRequest {
    GpuRequest { wanted: WantedGpus::All, needs: GpuNeeds::default(), written: WrittenGpus::Request }
}

/// These very GPUs.
#[must_use]
pub fn gpus_named(names: &[&str]) -> GpuRequest {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    GpuRequest { wanted: WantedGpus::These(names), ..all_gpus() }
}

/// The same in the engine's words.
pub(super) fn hardware(gpus: &[GpuRequest]) -> Hardware {
    let request = |request: &GpuRequest| {
        let (count, device_ids) = match &request.wanted {
            WantedGpus::All => (-1, Vec::new()),
            WantedGpus::Count(count) => (i64::try_from(*count).unwrap_or(i64::MAX), Vec::new()),
            WantedGpus::These(names) => (0, names.clone()),
        };
        DeviceRequest { count, device_ids, capabilities: vec!["gpu".to_owned()], ..DeviceRequest::default() }
    };
    Hardware { requests: gpus.iter().map(request).collect(), ..Hardware::default() }
}

/// As a person would write it: the lines of `gpus:`.
pub(crate) fn yaml(gpus: &[GpuRequest]) -> String {
    let mut out = String::new();
    for (nth, GpuRequest { wanted, needs, .. }) in gpus.iter().enumerate() {
        let GpuNeeds { min_vram, min_compute_capability, min_driver, vram, optional } = needs;
        let wanted = match wanted {
            WantedGpus::All => "count: all".to_owned(),
            WantedGpus::Count(count) => format!("count: {count}"),
            WantedGpus::These(names) => format!("device_ids: [{}]", names.join(", ")),
        };
        let words = [
            Some(wanted),
            min_vram.map(|bytes| format!("min_vram: {bytes}")),
            min_compute_capability
                .map(|(major, minor)| format!("min_compute_capability: \"{major}.{minor}\"")),
            min_driver.as_ref().map(|version| format!("min_driver: \"{version}\"")),
            vram.map(|bytes| format!("vram: {bytes}")),
            optional.then(|| "optional: true".to_owned()),
        ];
        let words: Vec<String> = words.into_iter().flatten().collect();
        if nth == 0 {
            out.push_str("    gpus:\n");
        }
        out.push_str(&format!("      - {{{}}}\n", words.join(", ")));
    }
    out
}
