//! What a container uses, from the engine's two samples a second apart.

use std::collections::BTreeMap;

use aiplat_core::observed::ContainerId;
use serde::Deserialize;

use super::{DockerBackend, calls::Endpoint, client::Call, create_body};
use crate::port::{HostError, Usage};

/// `GET /containers/{id}/stats`. What a kernel does not account for is missing, or null.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Stats {
    cpu_stats: Cpu,
    precpu_stats: Cpu,
    memory_stats: Memory,
    blkio_stats: Disks,
    pids_stats: Pids,
    networks: Option<BTreeMap<String, Network>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Cpu {
    cpu_usage: CpuUsage,
    system_cpu_usage: Option<u64>,
    online_cpus: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CpuUsage {
    total_usage: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Memory {
    usage: Option<u64>,
    limit: Option<u64>,
    stats: Option<BTreeMap<String, u64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Disks {
    io_service_bytes_recursive: Option<Vec<Transfer>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Transfer {
    op: String,
    value: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Pids {
    current: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Network {
    rx_bytes: u64,
    tx_bytes: u64,
}

/// A limit that was lifted while the container ran is a number that no machine has.
const LIFTED: u64 = create_body::MEMORY_LIFTED.cast_unsigned();

impl DockerBackend {
    pub(super) async fn measure(&self, container: &ContainerId) -> Result<Usage, HostError> {
        let call = Call::new(Endpoint::ContainerStats(&container.0)).query("stream", "false");
        let stats: Stats = self
            .client
            .read(call)
            .await
            .map_err(|error| self.error(&format!("measure container {container}"), error))?;
        Ok(usage(&stats))
    }
}

fn usage(stats: &Stats) -> Usage {
    let Stats { cpu_stats, precpu_stats, memory_stats, blkio_stats, pids_stats, networks } = stats;
    let networks = networks.iter().flatten().map(|(_, network)| network);
    let (received, sent) = networks.fold((0_u64, 0_u64), |(received, sent), network| {
        (received.saturating_add(network.rx_bytes), sent.saturating_add(network.tx_bytes))
    });
    let transfers = || blkio_stats.io_service_bytes_recursive.iter().flatten();
    let moved = |op: &str| {
        let of_op = transfers().filter(|transfer| transfer.op.eq_ignore_ascii_case(op));
        of_op.fold(0_u64, |sum, transfer| sum.saturating_add(transfer.value))
    };
    // Version 1 of cgroups has the first name, version 2 the second.
    let inactive = memory_stats.stats.as_ref();
    let inactive = inactive.and_then(|it| it.get("total_inactive_file").or_else(|| it.get("inactive_file")));
    Usage {
        cpu_percent: cpu_percent(cpu_stats, precpu_stats),
        memory: memory_stats.usage.unwrap_or(0).saturating_sub(inactive.copied().unwrap_or(0)),
        memory_limit: memory_stats.limit.filter(|limit| *limit < LIFTED).unwrap_or(0),
        received,
        sent,
        read: moved("read"),
        written: moved("write"),
        pids: pids_stats.current.unwrap_or(0),
    }
}

/// Its share of what all CPUs did meanwhile.
fn cpu_percent(now: &Cpu, before: &Cpu) -> f64 {
    let used = now.cpu_usage.total_usage.saturating_sub(before.cpu_usage.total_usage);
    let passed = now.system_cpu_usage.unwrap_or(0).saturating_sub(before.system_cpu_usage.unwrap_or(0));
    let cpus = f64::from(now.online_cpus.unwrap_or(1).max(1));
    if passed == 0 { 0.0 } else { used as f64 / passed as f64 * cpus * 100.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_one_of_two_cpus_is_fifty_percent_and_the_page_cache_is_not_counted() {
        let text = r#"{
            "cpu_stats": {"cpu_usage": {"total_usage": 1500}, "system_cpu_usage": 12000, "online_cpus": 2},
            "precpu_stats": {"cpu_usage": {"total_usage": 1000}, "system_cpu_usage": 10000},
            "memory_stats": {"usage": 1000, "limit": 4000, "stats": {"total_inactive_file": 300}},
            "blkio_stats": {"io_service_bytes_recursive": [
                {"op": "Read", "value": 10}, {"op": "Write", "value": 20}, {"op": "read", "value": 1}]},
            "pids_stats": {"current": 7},
            "networks": {"eth0": {"rx_bytes": 5, "tx_bytes": 6}, "eth1": {"rx_bytes": 1, "tx_bytes": 1}}
        }"#;
        let seen = usage(&serde_json::from_str(text).expect("it is JSON"));
        assert!((seen.cpu_percent - 50.0).abs() < 1e-9, "{}", seen.cpu_percent);
        assert_eq!((seen.memory, seen.memory_limit, seen.pids), (700, 4_000, 7));
        assert_eq!((seen.received, seen.sent, seen.read, seen.written), (6, 7, 11, 20));
    }

    #[test]
    fn a_limit_that_was_lifted_is_none() {
        let limit = |limit: i64| {
            let text = format!(r#"{{"memory_stats": {{"usage": 1000, "limit": {limit}}}}}"#);
            usage(&serde_json::from_str(&text).expect("it is JSON")).memory_limit
        };
        assert_eq!(limit(create_body::MEMORY_LIFTED), 0);
        assert_eq!(limit(64 << 30), 64 << 30);
    }

    #[test]
    fn what_is_not_accounted_for_is_zero() {
        let text =
            r#"{"networks": null, "blkio_stats": {"io_service_bytes_recursive": null}, "memory_stats": {}}"#;
        assert_eq!(usage(&serde_json::from_str(text).expect("it is JSON")), Usage::default());
    }
}
