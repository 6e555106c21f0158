//! The same platform brought up in several ways, one after the other, round by round.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};

use super::bed::{self, Bed, Block, Calibration, Noise};
use super::compose::Compose;
use super::numbers::{self, median, paired, ratio};
use super::shape::Shape;
use crate::docker::text;
use crate::process::capture;
use crate::{image, wait};

/// As many calls at once as aiplatd makes on two cores; more only adds latency.
const AT_ONCE: usize = 4;
const DEADLINE: Duration = Duration::from_secs(120);

/// A way to bring a platform up.
#[derive(Debug, Clone)]
pub enum Way {
    /// Bare calls of the engine's API by a client that knows what is coming.
    Floor,
    /// `aiplatd --once`, to its exit.
    Aiplatd,
    /// `aiplatd --once`, to the last start: without probes it then watches for a while whether all stay up.
    AiplatdStarts,
    /// `up -d`, with health checks at this interval.
    Compose(Compose, u32),
}

/// All rounds.
pub struct Contest {
    shape: Shape,
    ways: Vec<Way>,
    /// By round, then by way.
    rounds: Vec<Vec<Block<f64>>>,
    calibration: Calibration,
}

impl Way {
    /// All ways that this machine has: the floor first, then the one of ours that the others are compared with.
    pub fn all(bed: &Bed, shape: &Shape) -> Vec<Self> {
        let intervals: &[u32] = if shape.probe_secs.is_some() { &[5, 1] } else { &[5] };
        let compose = bed
            .compose
            .iter()
            .flat_map(|compose| intervals.iter().map(|secs| Self::Compose(compose.clone(), *secs)));
        let ours: &[Self] =
            if shape.probe_secs.is_some() { &[Self::Aiplatd] } else { &[Self::AiplatdStarts, Self::Aiplatd] };
        [Self::Floor].into_iter().chain(ours.iter().cloned()).chain(compose).collect()
    }

    fn title(&self, shape: &Shape) -> String {
        match self {
            Self::Floor => "bare API calls (the floor)".to_owned(),
            Self::Aiplatd if shape.probe_secs.is_some() => "`aiplatd --once`".to_owned(),
            Self::Aiplatd => "`aiplatd --once`, to its exit".to_owned(),
            Self::AiplatdStarts => "`aiplatd --once`, to the last start".to_owned(),
            Self::Compose(compose, secs) if shape.probe_secs.is_some() => {
                format!("{} `up -d`, interval {secs} s", compose.title())
            }
            Self::Compose(compose, _) => format!("{} `up -d`", compose.title()),
        }
    }

    fn bring_up(&self, bed: &Bed, shape: &Shape) -> Result<f64> {
        match self {
            Self::Floor => floor(bed, shape).context("the floor"),
            Self::Aiplatd => once(bed, shape),
            Self::AiplatdStarts => {
                let begun = bed::clock()?;
                once(bed, shape)?;
                Ok(bed.last_start(begun)?.saturating_sub(begun).as_secs_f64())
            }
            Self::Compose(compose, secs) => compose.up(bed, shape, *secs),
        }
    }
}

/// Measures all ways in each round, between two calibrations.
pub fn hold(bed: &Bed, shape: Shape, rounds: usize) -> Result<Contest> {
    let ways = Way::all(bed, &shape);
    let round = |number: usize| {
        eprintln!("  round {number} of {rounds}");
        ways.iter().map(|way| bed.block(|| way.bring_up(bed, &shape))).collect::<Result<Vec<_>>>()
    };
    let (rounds, calibration) = bed.calibrated(|| (1..=rounds).map(round).collect::<Result<Vec<_>>>())?;
    Ok(Contest { shape, ways, rounds, calibration })
}

impl Contest {
    /// As Markdown: the table, the calibration, the loud blocks.
    pub fn report(&self) -> String {
        let [floor, ours] = [0, 1].map(|way| self.times(way));
        let mut lines = vec![
            "| way | median | range | T / floor | efficiency, floor / T | T / aiplatd |".to_owned(),
            "|---|---|---|---|---|---|".to_owned(),
        ];
        for (index, way) in self.ways.iter().enumerate() {
            let times = self.times(index);
            lines.push(format!(
                "| {} | {} | {} | {} | {:.2} | {} |",
                way.title(&self.shape),
                numbers::time(median(&times)),
                numbers::span(&times),
                ratio(&paired(&times, &floor)),
                median(&paired(&floor, &times)),
                ratio(&paired(&times, &ours)),
            ));
        }
        format!("{}\n\n{}\n{}\n", lines.join("\n"), self.calibration.sentence(), self.loudness())
    }

    fn times(&self, way: usize) -> Vec<f64> {
        self.rounds.iter().map(|round| round[way].measured).collect()
    }

    fn loudness(&self) -> String {
        let named = self.rounds.iter().enumerate().flat_map(|(round, blocks)| {
            self.ways.iter().zip(blocks).map(move |(way, block)| {
                let name = match way {
                    Way::Floor => "floor".to_owned(),
                    Way::Aiplatd => "aiplatd".to_owned(),
                    Way::AiplatdStarts => "aiplatd's starts".to_owned(),
                    Way::Compose(_, secs) => format!("compose {secs} s"),
                };
                (format!("{name} {}", round + 1), &block.noise)
            })
        });
        loudness(&named.collect::<Vec<_>>())
    }
}

/// How many blocks were disturbed, and which.
pub fn loudness(blocks: &[(String, &Noise)]) -> String {
    let worst = blocks.iter().map(|(_, noise)| noise.foreign).fold(0.0, f64::max);
    let loud: Vec<String> =
        blocks.iter().filter_map(|(name, noise)| Some(format!("{name} ({})", noise.loud()?))).collect();
    let count = format!("{} of {} blocks", loud.len(), blocks.len());
    let named = if loud.is_empty() { String::new() } else { format!(": {}", loud.join("; ")) };
    format!("Disturbed: {count}, at most {:.0} % foreign CPU{named}.", worst * 100.0)
}

/// From the start of `aiplatd --once` to its exit.
fn once(bed: &Bed, shape: &Shape) -> Result<f64> {
    let mut aiplatd = bed.aiplatd(shape)?;
    let begun = Instant::now();
    let finished = capture(aiplatd.arg("--once"), DEADLINE)?;
    let took = begun.elapsed();
    if !finished.ok() {
        bail!("aiplatd --once ended with {:?}: {}", finished.code, finished.said());
    }
    Ok(took.as_secs_f64())
}

/// A network, all containers created, then the starts: of a chain each when the one before is ready, else at once.
fn floor(bed: &Bed, shape: &Shape) -> Result<f64> {
    let (key, value) = bed.label();
    let name = bed.fresh_name();
    let labels = json!({ key: value });
    let container = json!({
        "Image": format!("{}:1", image::REPOSITORY), "Cmd": shape.command(), "Labels": labels,
        "HostConfig": {"NetworkMode": name, "RestartPolicy": {"Name": "unless-stopped"}},
    });
    let create = |index: &usize| {
        let created = bed.docker.post(&format!("/containers/create?name={name}-s{index}"), &container)?;
        Ok(text(&created, "Id").to_owned())
    };
    let begun = Instant::now();
    bed.docker.post("/networks/create", &json!({"Name": name, "Labels": labels, "CheckDuplicate": true}))?;
    let ids = at_once(&(0..shape.services).collect::<Vec<_>>(), create)?;
    let start = |id: &String| bed.docker.post(&format!("/containers/{id}/start"), &Value::Null).map(drop);
    if shape.chained {
        for id in &ids {
            start(id)?;
            wait_until_ready(&bed::address(&bed.docker, id)?)?;
        }
    } else {
        at_once(&ids, start)?;
    }
    Ok(begun.elapsed().as_secs_f64())
}

/// Does it to all, a few at once; the results are in the order of the items.
fn at_once<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> Result<R> + Sync) -> Result<Vec<R>> {
    let left = Mutex::new(items.iter().enumerate());
    let worker = || {
        let mut done = Vec::new();
        loop {
            let next = left.lock().map_err(|_| anyhow!("a worker panicked"))?.next();
            let Some((index, item)) = next else { return Ok(done) };
            done.push((index, work(item)?));
        }
    };
    let done = thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(worker)).collect();
        let joined =
            workers.into_iter().map(|worker| worker.join().map_err(|_| anyhow!("a worker panicked"))?);
        joined.collect::<Result<Vec<Vec<(usize, R)>>>>()
    })?;
    let mut done: Vec<(usize, R)> = done.into_iter().flatten().collect();
    done.sort_by_key(|(index, _)| *index);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

/// Asks `/ready` every 2 ms.
pub fn wait_until_ready(address: &str) -> Result<()> {
    wait::until("a container to be ready", DEADLINE, Duration::from_millis(2), || {
        // Refused while the process starts, which is no failure yet.
        Ok(is_ready(address).unwrap_or(false).then_some(()))
    })
}

fn is_ready(address: &str) -> std::io::Result<bool> {
    let address = (address, 8080);
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(b"GET /ready HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.starts_with("HTTP/1.1 200"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_shared_and_its_results_stay_in_order() {
        let doubled = at_once(&[1, 2, 3, 4, 5, 6, 7], |number| Ok(number * 2)).unwrap();
        assert_eq!(doubled, [2, 4, 6, 8, 10, 12, 14]);
        assert!(at_once(&[1], |_| bail!("no") as Result<()>).is_err());
    }

    #[test]
    fn disturbed_blocks_are_counted_and_named() {
        let noise = |foreign, foreign_events| Noise { foreign, foreign_events };
        let (quiet, loud) = (noise(0.01, 0), noise(0.34, 2));
        let said = loudness(&[("floor 1".to_owned(), &quiet), ("aiplatd 1".to_owned(), &loud)]);
        assert_eq!(
            said,
            "Disturbed: 1 of 2 blocks, at most 34 % foreign CPU: aiplatd 1 (34 % CPU, 2 foreign events)."
        );
    }
}
