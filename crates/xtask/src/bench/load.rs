//! Who used the processor: the share of a measurement that was somebody else's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Instant;

use anyhow::{Context, Result};

/// Ticks a second in /proc: USER_HZ, which is 100 on every architecture that we build for.
pub const TICKS_PER_SECOND: f64 = 100.0;
/// Parent of the kernel's own threads, which work for whoever caused it.
const KTHREADD: u32 = 2;

/// The clocks of one moment.
#[derive(Debug, Clone)]
pub struct Reading {
    at: Instant,
    /// Ticks that any process used, and those that another guest of this machine's host took from us.
    used: u64,
    /// The part of them that the engine, our own processes and our containers used.
    ours: u64,
}

/// One process, as /proc/PID/stat tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct Process {
    name: String,
    parent: u32,
    /// utime + stime.
    pub own: u64,
    /// Those, and of children that ended and were waited for: of a whole family the sum loses nothing.
    with_ended_children: u64,
}

impl Reading {
    /// Reads now. The engine counts as ours, and of the containers those with these ids.
    pub fn take(containers: &BTreeSet<String>) -> Result<Self> {
        let processes = processes();
        let roots = roots(&processes, containers);
        let ours = family(&processes, &roots).iter().map(|pid| processes[pid].with_ended_children).sum();
        let stat = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
        Ok(Self { at: Instant::now(), used: used(&stat), ours })
    }

    /// The share of all cores that went to others since `earlier`.
    pub fn foreign_since(&self, earlier: &Self) -> f64 {
        let used = self.used.saturating_sub(earlier.used);
        let foreign = used.saturating_sub(self.ours.saturating_sub(earlier.ours));
        let offered = (self.at - earlier.at).as_secs_f64() * TICKS_PER_SECOND * cores() as f64;
        foreign as f64 / offered.max(1.0)
    }
}

/// How many cores there are.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// One process, if it lives.
pub fn process(pid: u32) -> Option<Process> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// user, nice, system, steal. Interrupts are nobody's.
fn used(stat: &str) -> u64 {
    let fields: Vec<u64> = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .filter_map(|n| n.parse().ok())
        .collect();
    [0, 1, 2, 7].into_iter().filter_map(|index| fields.get(index)).sum()
}

/// The ids of all processes.
pub fn pids() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn processes() -> BTreeMap<u32, Process> {
    pids().into_iter().filter_map(|pid| Some((pid, process(pid)?))).collect()
}

fn parse(stat: &str) -> Option<Process> {
    // The name is in brackets and may hold any character, brackets too.
    let (head, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let own = number(11)? + number(12)?;
    Some(Process {
        name: head.split_once('(')?.1.to_owned(),
        parent: u32::try_from(number(1)?).ok()?,
        own,
        with_ended_children: own + number(13)? + number(14)?,
    })
}

/// We ourselves, the engine, its containerd, the shims of our containers, and the kernel.
fn roots(processes: &BTreeMap<u32, Process>, containers: &BTreeSet<String>) -> BTreeSet<u32> {
    let engine: Option<u32> =
        fs::read_to_string("/run/docker.pid").ok().and_then(|text| text.trim().parse().ok());
    let is_ours = |(pid, process): &(&u32, &Process)| match process.name.as_str() {
        // systemd starts it beside the engine; a containerd of another engine is that engine's child.
        "containerd" => process.parent == 1,
        // The storage driver of some engines: it is started for every mount, and stays behind on its own.
        "fuse-overlayfs" => true,
        // A shim belongs to nobody: its parent is process 1. The kernel cuts names after 15 bytes.
        "containerd-shim" => shim_of(**pid).is_some_and(|id| containers.contains(&id)),
        _ => false,
    };
    let found = processes.iter().filter(is_ours).map(|(pid, _)| *pid);
    found.chain([std::process::id(), KTHREADD]).chain(engine).collect()
}

fn shim_of(pid: u32) -> Option<String> {
    let argv = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
    argv.split('\0').skip_while(|word| *word != "-id").nth(1).map(str::to_owned)
}

/// The roots and all that descend from them.
fn family(processes: &BTreeMap<u32, Process>, roots: &BTreeSet<u32>) -> BTreeSet<u32> {
    let mut family: BTreeSet<u32> = roots.iter().copied().filter(|pid| processes.contains_key(pid)).collect();
    loop {
        let children = processes
            .iter()
            .filter(|(pid, process)| family.contains(&process.parent) && !family.contains(pid));
        let found: Vec<u32> = children.map(|(pid, _)| *pid).collect();
        if found.is_empty() {
            return family;
        }
        family.extend(found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let line = "42 (a) b)) S 7 1 1 0 -1 4194304 1 2 3 4 100 20 3 4 20 0 1 0 500 0 0";
        let expected = Process { name: "a) b)".into(), parent: 7, own: 120, with_ended_children: 127 };
        assert_eq!(parse(line), Some(expected));
        assert!(process(std::process::id()).is_some());
    }

    #[test]
    fn a_family_is_found_whatever_the_order_of_ids() {
        let process = |parent| Process { name: String::new(), parent, own: 0, with_ended_children: 0 };
        let processes = BTreeMap::from([(1, process(0)), (5, process(9)), (7, process(1)), (9, process(7))]);
        assert_eq!(family(&processes, &BTreeSet::from([7, 99])), BTreeSet::from([5, 7, 9]));
    }

    #[test]
    fn what_others_used_is_what_is_left() {
        assert_eq!(used("cpu  10 1 5 999 50 7 7 3 0 0\ncpu0 1 1 1"), 19);
        let at = Instant::now();
        let before = Reading { at, used: 100, ours: 50 };
        let after = Reading { at: at + std::time::Duration::from_secs(1), used: 160, ours: 100 };
        let share = after.foreign_since(&before) * cores() as f64;
        assert!((share - 0.1).abs() < 1e-9, "{share}");
    }
}
