//! The rarer options of a service, and how something is mounted.

use aiplat_core::spec::{Limits, MountOptions, Options, Recursive};
use serde_json::{Map, Value, json};

use super::{insert, redacted, size};

/// Options in Compose's words, and the limits for which `deploy` has none.
pub(super) fn words(options: &Options, limits: &Limits) -> Map<String, Value> {
    let Limits { memory: _, memory_reservation: _, memory_swap, nano_cpus: _, cpu_shares, cpuset, pids: _ } =
        limits;
    let mut map: Map<String, Value> = options
        .words()
        .into_iter()
        .map(|(key, value)| (key.to_owned(), without_secrets(key, value)))
        .collect();
    let swap = if *memory_swap < 0 { json!(memory_swap) } else { json!(size(*memory_swap)) };
    insert(&mut map, "memswap_limit", (*memory_swap != 0).then_some(swap));
    insert(&mut map, "cpu_shares", (*cpu_shares != 0).then_some(cpu_shares));
    insert(&mut map, "cpuset", (!cpuset.is_empty()).then_some(cpuset));
    map
}

/// Log drivers and device drivers are given tokens in their options.
fn without_secrets(name: &str, value: Value) -> Value {
    match value {
        Value::String(text) => json!(redacted(name, &text)),
        Value::Array(items) => items.into_iter().map(|item| without_secrets(name, item)).collect(),
        Value::Object(map) => {
            map.into_iter().map(|(name, value)| (name.clone(), without_secrets(&name, value))).collect()
        }
        other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => other,
    }
}

pub(super) fn mount_options(options: &MountOptions, value: &mut Value) {
    let MountOptions { propagation, recursive, nocopy, subpath, labels, mode } = options;
    if let Some(propagation) = propagation {
        value["bind"]["propagation"] = json!(propagation);
    }
    let recursive = match recursive {
        Recursive::Enabled => None,
        Recursive::Disabled => Some("disabled"),
        Recursive::Writable => Some("writable"),
        Recursive::Readonly => Some("readonly"),
    };
    if let Some(recursive) = recursive {
        value["bind"]["recursive"] = json!(recursive);
    }
    if *nocopy {
        value["volume"]["nocopy"] = json!(true);
    }
    if let Some(subpath) = subpath {
        value["volume"]["subpath"] = json!(subpath);
    }
    if !labels.is_empty() {
        let labels: Map<String, Value> =
            labels.iter().map(|(name, value)| (name.clone(), json!(redacted(name, value)))).collect();
        value["volume"]["labels"] = Value::Object(labels);
    }
    if let Some(mode) = mode {
        value["tmpfs"]["mode"] = json!(format!("{mode:o}"));
    }
}
