//! What a unit uses: from what systemd accounts for, and from its processes where it does not.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use zbus::OwnedObjectPath;

use super::{
    Systemd,
    bus::{CALL_DEADLINE, CallError, within},
    decode::Properties,
    errors::{self, Effect},
    names,
};
use crate::port::{HostError, Usage};

/// Between the two looks that make a rate.
const APART: Duration = Duration::from_secs(1);
/// The kernel tells times in these, on Linux of every architecture (`USER_HZ`).
const TICKS_PER_SECOND: u64 = 100;
/// The kernel prints sizes in these, and calls them kB.
const KIB: u64 = 1024;

impl Systemd {
    pub(super) async fn measure(&self, unit: &str) -> Result<Usage, HostError> {
        names::check(unit, "measure")?;
        let doing = format!("measure {unit}");
        let told = |error: CallError| errors::host_error(&doing, Effect::Read, &error);
        let path = self.loaded(unit).await.map_err(told)?;
        let (first, began) = (self.sample(unit, &path).await.map_err(told)?, tokio::time::Instant::now());
        tokio::time::sleep(APART).await;
        let second = self.sample(unit, &path).await.map_err(told)?;
        Ok(usage(&first, &second, began.elapsed(), machine_memory(&self.options.proc)))
    }

    async fn loaded(&self, unit: &str) -> Result<OwnedObjectPath, CallError> {
        let manager = self.bus.manager().await?;
        within(CALL_DEADLINE, manager.load_unit(unit)).await
    }

    async fn sample(&self, unit: &str, path: &OwnedObjectPath) -> Result<Sample, CallError> {
        let accounted = self.properties(path).await?.accounted();
        let manager = self.bus.manager().await?;
        let processes = within(CALL_DEADLINE, manager.get_unit_processes(unit)).await?;
        let pids: BTreeSet<u32> = processes.into_iter().map(|(_, pid, _)| pid).collect();
        let proc = self.options.proc.clone();
        let read = tokio::task::spawn_blocking(move || of_processes(&proc, &pids));
        Ok(Sample { accounted, processes: read.await.unwrap_or_default() })
    }
}

/// One moment of a unit.
#[derive(Debug, Default)]
struct Sample {
    accounted: Accounted,
    processes: Processes,
}

/// What systemd accounts for, by its properties' names. `None` where it does not: on control groups of version 1 it leaves
/// out CPU time, for it costs something there.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Accounted {
    /// `CPUUsageNSec`
    pub(super) cpu_ns: Option<u64>,
    /// `MemoryCurrent`
    pub(super) memory: Option<u64>,
    /// `MemoryMax`
    pub(super) memory_max: Option<u64>,
    /// `TasksCurrent`
    pub(super) tasks: Option<u64>,
    /// `IPIngressBytes`
    pub(super) received: Option<u64>,
    /// `IPEgressBytes`
    pub(super) sent: Option<u64>,
    /// `IOReadBytes`
    pub(super) read: Option<u64>,
    /// `IOWriteBytes`
    pub(super) written: Option<u64>,
}

/// The sum over its processes, as the kernel has it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Processes {
    cpu_ns: u64,
    /// Of each process alone: what the kernel keeps of their files is not theirs, and may be given up at any time.
    memory: u64,
    threads: u64,
}

impl Properties {
    pub(super) fn accounted(&self) -> Accounted {
        // The highest number there is stands for "not set", and for "no limit".
        let number = |name: &str| self.number(name).filter(|number| *number != u64::MAX);
        Accounted {
            cpu_ns: number("CPUUsageNSec"),
            memory: number("MemoryCurrent"),
            memory_max: number("MemoryMax"),
            tasks: number("TasksCurrent"),
            received: number("IPIngressBytes"),
            sent: number("IPEgressBytes"),
            read: number("IOReadBytes"),
            written: number("IOWriteBytes"),
        }
    }
}

fn usage(first: &Sample, second: &Sample, apart: Duration, machine: u64) -> Usage {
    let Sample { accounted, processes } = second;
    let spent = match (first.accounted.cpu_ns, accounted.cpu_ns) {
        (Some(before), Some(after)) => after.saturating_sub(before),
        (_, _) => processes.cpu_ns.saturating_sub(first.processes.cpu_ns),
    };
    Usage {
        cpu_percent: spent as f64 / apart.as_nanos().max(1) as f64 * 100.0,
        // systemd counts cached files as well: a model that was read once would count for ever.
        memory: if processes.memory > 0 { processes.memory } else { accounted.memory.unwrap_or_default() },
        memory_limit: accounted.memory_max.map_or(machine, |limit| limit.min(machine)),
        received: accounted.received.unwrap_or_default(),
        sent: accounted.sent.unwrap_or_default(),
        read: accounted.read.unwrap_or_default(),
        written: accounted.written.unwrap_or_default(),
        pids: accounted.tasks.unwrap_or(processes.threads),
    }
}

fn of_processes(proc: &Path, pids: &BTreeSet<u32>) -> Processes {
    let mut sum = Processes::default();
    for pid in pids {
        let read = |file: &str| fs::read_to_string(proc.join(pid.to_string()).join(file)).unwrap_or_default();
        sum.cpu_ns += cpu_ns(&read("stat")).unwrap_or_default();
        let status = read("status");
        // Anonymous and shared, without files.
        sum.memory += (field(&status, "RssAnon") + field(&status, "RssShmem")) * KIB;
        sum.threads += field(&status, "Threads");
    }
    sum
}

/// User and system time, man 5 `proc`: the name before them may have blanks and brackets in it.
fn cpu_ns(stat: &str) -> Option<u64> {
    let (_, after) = stat.rsplit_once(')')?;
    let mut words = after.split_whitespace().skip(11).map(str::parse::<u64>);
    let ticks = words.next()?.ok()? + words.next()?.ok()?;
    Some(ticks * (1_000_000_000 / TICKS_PER_SECOND))
}

/// `Name:  12 kB`; 0 where it is missing.
fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or_default()
}

fn machine_memory(proc: &Path) -> u64 {
    field(&fs::read_to_string(proc.join("meminfo")).unwrap_or_default(), "MemTotal") * KIB
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(cpu_ns: Option<u64>, processes: Processes) -> Sample {
        Sample { accounted: Accounted { cpu_ns, ..Accounted::default() }, processes }
    }

    #[test]
    fn what_systemd_does_not_account_for_is_told_by_its_processes() {
        let processes = |cpu_ns| Processes { cpu_ns, memory: 7, threads: 3 };
        let second = Duration::from_secs(1);
        let told = |before, after| {
            usage(&sample(before, processes(0)), &sample(after, processes(250_000_000)), second, 100)
        };
        let by_systemd = told(Some(1_000_000_000), Some(3_000_000_000));
        assert!((by_systemd.cpu_percent - 200.0).abs() < 0.01, "{by_systemd:?}");
        let by_processes = told(None, None);
        assert!((by_processes.cpu_percent - 25.0).abs() < 0.01, "{by_processes:?}");
        assert_eq!((by_processes.memory, by_processes.pids, by_processes.memory_limit), (7, 3, 100));
    }

    #[test]
    fn a_limit_is_no_more_than_the_machine_has() {
        let with = |memory_max| {
            let mut sample = sample(None, Processes::default());
            sample.accounted.memory_max = memory_max;
            usage(&sample, &sample, APART, 100).memory_limit
        };
        assert_eq!((with(None), with(Some(50)), with(Some(500))), (100, 50, 100));
    }

    #[test]
    fn times_and_sizes_are_read_from_the_process() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 3 0 1000 1 2 3";
        assert_eq!(cpu_ns(stat), Some(2_000_000_000));
        assert_eq!(cpu_ns("nothing"), None);
        let status = "Name:\tx\nRssAnon:\t    12 kB\nRssFile:\t 9 kB\nRssShmem:\t 4 kB\nThreads:\t3\n";
        assert_eq!((field(status, "RssAnon"), field(status, "Threads"), field(status, "Rss")), (12, 3, 0));
    }
}
