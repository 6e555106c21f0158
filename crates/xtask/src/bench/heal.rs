//! From the death of a container to its next start, by the engine's own clock.

use std::io::BufRead;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::bed::{Bed, Calibration, Noise};
use super::contest::loudness;
use super::numbers::{self, median, paired, ratio};
use super::shape::Shape;
use crate::docker::{self, text};

/// What was measured of one death.
#[derive(Debug, Clone, Copy)]
struct Death {
    /// From the `kill` event to the `start` event.
    from_kill: f64,
    /// From the `die` event to the `start` event.
    from_die: f64,
}

/// All deaths.
pub struct Heal {
    floor: Vec<Death>,
    ours: Vec<Death>,
    noise: Noise,
    calibration: Calibration,
}

/// Kills that many containers of a running aiplatd, each once so that no back-off is in the way, and as many that
/// a bare client starts again as soon as it reads of the death; in turns.
pub fn measure(bed: &Bed, deaths: usize) -> Result<Heal> {
    let (block, calibration) = bed.calibrated(|| {
        bed.block(|| {
            let mut daemon = bed.daemon(&Shape::flat(deaths))?;
            let measured = deaths_in_turns(bed, deaths)?;
            daemon.check_alive()?;
            Ok(measured)
        })
    })?;
    let (floor, ours) = block.measured;
    Ok(Heal { floor, ours, noise: block.noise, calibration })
}

fn deaths_in_turns(bed: &Bed, deaths: usize) -> Result<(Vec<Death>, Vec<Death>)> {
    let kept = bed.containers()?;
    let (mut floor, mut ours) = (Vec::new(), Vec::new());
    for container in kept.iter().take(deaths) {
        ours.push(death(bed, text(container, "Id"), false)?);
        // In the same network: in one that the engine resolves names for, a start takes longer.
        let plain = bed.start_plain(text(&container["HostConfig"], "NetworkMode"))?;
        floor.push(death(bed, &plain, true)?);
    }
    Ok((floor, ours))
}

/// Kills it and reads the engine's events until it is started again, by us or by aiplatd.
fn death(bed: &Bed, id: &str, by_us: bool) -> Result<Death> {
    let filter = docker::encode(&serde_json::json!({"container": [id]}).to_string());
    let mut events = bed.docker.stream(&format!("/events?filters={filter}"))?;
    bed.docker.post(&format!("/containers/{id}/kill"), &Value::Null)?;
    let (mut kill, mut die) = (None, None);
    let mut line = String::new();
    loop {
        line.clear();
        if events.read_line(&mut line).context("no event came in time")? == 0 {
            bail!("the engine ended its event stream");
        }
        let event: Value = serde_json::from_str(&line).unwrap_or(Value::Null);
        let at = event["timeNano"].as_u64();
        match text(&event, "Action") {
            "kill" => kill = at,
            "die" => {
                die = at;
                if by_us {
                    bed.docker.post(&format!("/containers/{id}/start"), &Value::Null)?;
                }
            }
            "start" => {
                let since = |from: Option<u64>| Some(at?.saturating_sub(from?) as f64 / 1e9);
                let both = since(kill).zip(since(die)).context("a start came before its death")?;
                return Ok(Death { from_kill: both.0, from_die: both.1 });
            }
            _ => {}
        }
    }
}

impl Heal {
    /// As Markdown.
    pub fn report(&self) -> String {
        let mut lines = vec![
            "| way | die event to start event | range | kill event to start event | range |".to_owned(),
            "|---|---|---|---|---|".to_owned(),
        ];
        let ways = [("bare API calls (the floor)", &self.floor), ("the daemon", &self.ours)];
        for (title, deaths) in ways {
            let [die, kill] = [from_die(deaths), from_kill(deaths)];
            let cell = |times: &[f64]| format!("{} | {}", numbers::time(median(times)), numbers::span(times));
            lines.push(format!("| {title} | {} | {} |", cell(&die), cell(&kill)));
        }
        let [floor, ours] = [from_die(&self.floor), from_die(&self.ours)];
        let over: Vec<f64> = ours.iter().zip(&floor).map(|(ours, floor)| ours - floor).collect();
        let summary = format!(
            "{} deaths each. Daemon / floor from the die event, paired: {}; the daemon adds {:+.1} ms (median).",
            ours.len(),
            ratio(&paired(&ours, &floor)),
            median(&over) * 1e3
        );
        let disturbed = loudness(&[("all deaths".to_owned(), &self.noise)]);
        let quality = format!("{}\n{disturbed}", self.calibration.sentence());
        format!("{}\n\n{summary}\n{quality}\n", lines.join("\n"))
    }
}

fn from_die(deaths: &[Death]) -> Vec<f64> {
    deaths.iter().map(|death| death.from_die).collect()
}

fn from_kill(deaths: &[Death]) -> Vec<f64> {
    deaths.iter().map(|death| death.from_kill).collect()
}
