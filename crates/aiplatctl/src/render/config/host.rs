//! `host:`, where the file has one.

use aiplat_core::{
    spec::{DiskPressure, DockerSpec, HostSpec},
    tier::TierRule,
};
use serde_json::{Value, json};

/// Null where it says nothing that would not hold anyway.
pub(super) fn host(host: &HostSpec) -> Value {
    let HostSpec { disk_pressure, tiers, named: _, docker, tier: _ } = host;
    let default = HostSpec::default();
    let said = HostSpec { named: None, tier: None, ..host.clone() };
    if said == default {
        return Value::Null;
    }
    let DiskPressure { warn, stop_pulls } = *disk_pressure;
    let share = |permille: u64| match permille % 10 {
        0 => format!("{}%", permille / 10),
        tenth => format!("{}.{tenth}%", permille / 10),
    };
    let rule = |TierRule { name, vram, ram, cpus }: &TierRule| {
        let fields = [
            ("name", Some(json!(name))),
            ("vram", vram.map(|bytes| json!(bytes))),
            ("ram", ram.map(|bytes| json!(bytes))),
            ("cpus", cpus.map(|cpus| json!(cpus))),
        ];
        let fields = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Value::Object(fields.collect())
    };
    let mut written = json!({
        "disk_pressure": {"warn": share(warn), "stop_pulls": share(stop_pulls)},
        "tiers": tiers.iter().map(rule).collect::<Vec<_>>(),
    });
    if let Some(DockerSpec { nvidia }) = docker {
        written["docker"] = json!({"manage": true, "nvidia": nvidia});
    }
    written
}
