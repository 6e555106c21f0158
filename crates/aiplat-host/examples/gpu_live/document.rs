//! The facts as JSON. A test of the adapter makes one too, of a machine that it knows.

use std::time::Duration;

use aiplat_core::observed::{Driver, GpuEvent, GpuFacts, GpuId, ObservedGpu};
use serde_json::{Value, json};

/// What it costs to look.
pub struct Costs {
    /// KiB in memory before anything is loaded.
    pub before: u64,
    /// KiB after the first look.
    pub after: u64,
    /// KiB with the events listened to.
    pub listening: u64,
    /// The first look, which loads the library and wakes the driver up.
    pub first: Duration,
    /// The next one.
    pub next: Duration,
    /// How long events were listened to.
    pub listened: Duration,
}

/// The document.
pub fn of(facts: &GpuFacts, events: &[GpuEvent], costs: &Costs) -> Value {
    let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    json!({
        "driver": driver(&facts.nvidia),
        "gpus": facts.gpus.iter().map(|(id, one)| gpu(id, one)).collect::<Vec<_>>(),
        "events": events.iter().map(|event| format!("{event:?}")).collect::<Vec<_>>(),
        "listened_ms": milliseconds(costs.listened),
        "first_look_ms": milliseconds(costs.first),
        "next_look_ms": milliseconds(costs.next),
        "kib": {"before": costs.before, "after": costs.after, "listening": costs.listening},
    })
}

fn driver(driver: &Driver) -> Value {
    match driver {
        Driver::Ready { version, cuda } => json!({"state": "ready", "version": version, "cuda": cuda}),
        Driver::NotObserved => json!({"state": "not observed"}),
        Driver::Absent => json!({"state": "absent"}),
        Driver::NoLibrary { card } => {
            json!({"state": "no library", "said": format!("the card is at {card}")})
        }
        Driver::NotLoaded { message } => json!({"state": "not loaded", "said": message}),
        Driver::NoPermission { message } => json!({"state": "no permission", "said": message}),
        Driver::Mismatch(mismatch) => json!({"state": "mismatch", "said": format!("{mismatch:?}")}),
        Driver::Hung { call } => json!({"state": "hung", "said": format!("{call} has not come back")}),
        Driver::Failed { message } => json!({"state": "failed", "said": message}),
    }
}

fn gpu(id: &GpuId, gpu: &ObservedGpu) -> Value {
    let ObservedGpu {
        vendor,
        index,
        name,
        bus,
        parent,
        mig,
        memory,
        compute_capability,
        utilisation,
        temperature,
        power,
        power_limit,
        persistence,
        recovery,
        processes,
        lost,
    } = gpu;
    let processes =
        processes.as_ref().map(|all| all.iter().map(|one| (one.pid, one.memory)).collect::<Vec<_>>());
    json!({
        "id": id, "vendor": vendor, "index": index, "name": name, "bus": bus, "parent": parent, "mig": mig,
        "memory": memory, "compute_capability": compute_capability.map(|(major, minor)| format!("{major}.{minor}")),
        "utilisation": utilisation, "temperature": temperature, "power": power, "power_limit": power_limit,
        "persistence": persistence, "recovery": recovery, "processes": processes, "lost": lost,
    })
}
