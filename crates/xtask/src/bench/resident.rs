//! What the daemon costs while nothing happens.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::bed::{Bed, Noise};
use super::contest::loudness;
use super::load::{self, TICKS_PER_SECOND};
use super::shape::Shape;

const SERVICES: usize = 15;
/// The start is over, its memory given back or not, and the first resync is yet to come.
const SETTLE: Duration = Duration::from_secs(5);

/// One watched daemon.
pub struct Resident {
    title: &'static str,
    /// VmRSS, RssAnon and VmHWM, in KiB, at the end.
    memory: [u64; 3],
    processor: Duration,
    watched: Duration,
    noise: Noise,
}

/// Watches a daemon without probes, then one with.
pub fn measure(bed: &Bed, watch: Duration) -> Result<Vec<Resident>> {
    let quiet = Shape::flat(SERVICES);
    let probed = Shape { probe_secs: Some(10), ..quiet };
    [("no probes", quiet), ("an HTTP probe each, every 10 s", probed)]
        .into_iter()
        .map(|(title, shape)| {
            watched(bed, title, &shape, watch).with_context(|| format!("memory with {title}"))
        })
        .collect()
}

fn watched(bed: &Bed, title: &'static str, shape: &Shape, watch: Duration) -> Result<Resident> {
    let block = bed.block(|| {
        let mut daemon = bed.daemon(shape)?;
        thread::sleep(SETTLE);
        let begun = Instant::now();
        let before = ticks(daemon.pid())?;
        thread::sleep(watch);
        let used = ticks(daemon.pid())? - before;
        daemon.check_alive()?;
        let processor = Duration::from_secs_f64(used as f64 / TICKS_PER_SECOND);
        Ok((memory(daemon.pid())?, processor, begun.elapsed()))
    })?;
    let (memory, processor, watched) = block.measured;
    Ok(Resident { title, memory, processor, watched, noise: block.noise })
}

/// As Markdown.
pub fn report(all: &[Resident]) -> String {
    let mut lines = vec![
        "| 15 services, with | VmRSS | RssAnon | VmHWM | CPU time | of one core |".to_owned(),
        "|---|---|---|---|---|---|".to_owned(),
    ];
    for Resident { title, memory, processor, watched, noise: _ } in all {
        let [resident, anonymous, most] = memory.map(|kib| format!("{:.1} MiB", kib as f64 / 1024.0));
        lines.push(format!(
            "| {title} | {resident} | {anonymous} | {most} | {} ms in {:.0} s | {:.2} % |",
            processor.as_millis(),
            watched.as_secs_f64(),
            processor.as_secs_f64() / watched.as_secs_f64() * 100.0
        ));
    }
    let blocks: Vec<_> = all.iter().map(|one| (one.title.to_owned(), &one.noise)).collect();
    format!("{}\n\n{}\n", lines.join("\n"), loudness(&blocks))
}

fn ticks(pid: u32) -> Result<u64> {
    Ok(load::process(pid).context("aiplatd is gone")?.own)
}

fn memory(pid: u32) -> Result<[u64; 3]> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("aiplatd is gone")?;
    Ok(["VmRSS:", "RssAnon:", "VmHWM:"].map(|key| kib(&status, key)))
}

fn kib(status: &str, key: &str) -> u64 {
    let rest = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
    rest.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_by_its_key() {
        assert_eq!(kib("VmHWM:\t  99 kB\nVmRSS:\t  1234 kB\n", "VmRSS:"), 1234);
        assert!(memory(std::process::id()).unwrap()[0] > 0);
    }
}
