//! The adapter's facts beside those of nvidia-smi.

use anyhow::{Result, bail};
use serde_json::Value;

use crate::docker::{items, text};

/// What nvidia-smi is asked for, in the order of its columns.
pub const FIELDS: [&str; 14] = [
    "index",
    "uuid",
    "name",
    "pci.bus_id",
    "driver_version",
    "memory.total",
    "memory.free",
    "temperature.gpu",
    "power.draw",
    "enforced.power.limit",
    "persistence_mode",
    "mig.mode.current",
    "compute_cap",
    "utilization.gpu",
];
/// A GPU's memory fills and empties between two looks.
const MEMORY_SLACK: f64 = 0.02;
const DEGREES_SLACK: f64 = 10.0;
const WATTS_SLACK: f64 = 1.0;

/// One fact of one GPU.
#[derive(Debug, PartialEq)]
pub struct Row {
    gpu: String,
    fact: &'static str,
    ours: Option<String>,
    theirs: Option<String>,
    /// What is to be said of it.
    pub verdict: Verdict,
}

/// How two values of a fact compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// They are equal.
    Same,
    /// They are as near as two looks can be.
    Near,
    /// It moves too fast to be judged.
    Shown,
    /// They are not.
    Differs,
}

/// How a fact is judged.
#[derive(Clone, Copy)]
enum Rule {
    Equal,
    Within(f64),
    Moving,
}

impl Verdict {
    /// Whether somebody must look at it.
    pub fn is_bad(self) -> bool {
        self == Self::Differs
    }

    fn word(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Near => "near",
            Self::Shown => "moves",
            Self::Differs => "**differs**",
        }
    }
}

impl Row {
    /// As a line of a table.
    pub fn line(&self) -> String {
        let said = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".to_owned());
        let Self { gpu, fact, ours, theirs, verdict } = self;
        format!("| {gpu} | {fact} | {} | {} | {} |", said(ours), said(theirs), verdict.word())
    }

    fn new(gpu: &str, fact: &'static str, rule: Rule, ours: Option<String>, theirs: Option<String>) -> Self {
        let number = |value: &Option<String>| value.as_ref().and_then(|value| value.parse::<f64>().ok());
        let apart = number(&ours).zip(number(&theirs)).map(|(ours, theirs)| (ours - theirs).abs());
        let verdict = match (rule, apart) {
            (_, _) if ours == theirs => Verdict::Same,
            (Rule::Within(slack), Some(apart)) if apart <= slack => Verdict::Near,
            (Rule::Moving, Some(_)) => Verdict::Shown,
            (Rule::Equal | Rule::Within(_) | Rule::Moving, _) => Verdict::Differs,
        };
        Self { gpu: gpu.to_owned(), fact, ours, theirs, verdict }
    }
}

/// All facts of all GPUs that either of both knows. Slices are not in nvidia-smi's list.
pub fn rows(document: &Value, smi: &str) -> Result<Vec<Row>> {
    let ours: Vec<&Value> = items(document, "gpus")
        .iter()
        .filter(|gpu| text(gpu, "vendor") == "nvidia" && gpu["parent"].is_null())
        .collect();
    let mut rows = Vec::new();
    let mut seen = Vec::new();
    for line in smi.lines().filter(|line| !line.trim().is_empty()) {
        let columns: Vec<&str> = line.split(", ").map(str::trim).collect();
        let Ok(columns) = <[&str; FIELDS.len()]>::try_from(columns) else {
            bail!("nvidia-smi was asked for {} columns and said: {line}", FIELDS.len());
        };
        let uuid = columns[1];
        seen.push(uuid);
        match ours.iter().find(|gpu| text(gpu, "id") == uuid) {
            Some(gpu) => rows.extend(of_gpu(&document["driver"], gpu, columns)),
            None => rows.push(presence(uuid, None, Some("present"))),
        }
    }
    let unseen = ours.iter().map(|gpu| text(gpu, "id")).filter(|id| !seen.contains(id));
    rows.extend(unseen.map(|id| presence(id, Some("present"), None)));
    Ok(rows)
}

fn presence(id: &str, ours: Option<&str>, theirs: Option<&str>) -> Row {
    Row::new(short(id), "presence", Rule::Equal, ours.map(str::to_owned), theirs.map(str::to_owned))
}

fn of_gpu(driver: &Value, gpu: &Value, columns: [&str; FIELDS.len()]) -> Vec<Row> {
    let [
        index,
        uuid,
        name,
        bus,
        version,
        total,
        free,
        temperature,
        draw,
        limit,
        persistence,
        mig,
        capability,
        load,
    ] = columns.map(known);
    let id = short(uuid.unwrap_or_default());
    let words = |value: &Value| value.as_str().map(str::to_owned);
    let number = |value: &Value| value.as_u64().map(|number| number.to_string());
    let enabled =
        |value: &Value| value.as_bool().map(|on| if on { "Enabled" } else { "Disabled" }.to_owned());
    let mib = |value: &Value| value.as_u64().map(|bytes| (bytes / 1024 / 1024).to_string());
    let watts = |value: &Value| value.as_u64().map(|milliwatts| format!("{:.2}", milliwatts as f64 / 1000.0));
    let slack = total.and_then(|total| total.parse::<f64>().ok()).unwrap_or(0.0) * MEMORY_SLACK;
    let theirs = |value: Option<&str>| value.map(str::to_owned);
    // A driver that cannot divide this GPU says so by silence, to nvidia-smi as to us.
    let mig = mig.or(gpu["mig"].as_bool().filter(|on| !on).map(|_| "Disabled"));
    vec![
        Row::new(id, "index", Rule::Equal, number(&gpu["index"]), theirs(index)),
        Row::new(id, "name", Rule::Equal, words(&gpu["name"]), theirs(name)),
        Row::new(id, "bus", Rule::Equal, words(&gpu["bus"]), bus.map(address)),
        Row::new(id, "driver", Rule::Equal, words(&driver["version"]), theirs(version)),
        Row::new(id, "memory, MiB", Rule::Equal, mib(&gpu["memory"]["total"]), theirs(total)),
        Row::new(id, "free memory, MiB", Rule::Within(slack), mib(&gpu["memory"]["free"]), theirs(free)),
        Row::new(
            id,
            "temperature",
            Rule::Within(DEGREES_SLACK),
            number(&gpu["temperature"]),
            theirs(temperature),
        ),
        Row::new(id, "power, W", Rule::Moving, watts(&gpu["power"]), theirs(draw)),
        Row::new(id, "power limit, W", Rule::Within(WATTS_SLACK), watts(&gpu["power_limit"]), theirs(limit)),
        Row::new(id, "persistence mode", Rule::Equal, enabled(&gpu["persistence"]), theirs(persistence)),
        Row::new(id, "MIG", Rule::Equal, enabled(&gpu["mig"]), theirs(mig)),
        Row::new(
            id,
            "compute capability",
            Rule::Equal,
            words(&gpu["compute_capability"]),
            theirs(capability),
        ),
        Row::new(id, "utilisation", Rule::Moving, number(&gpu["utilisation"]), theirs(load)),
    ]
}

/// `[N/A]`, `[Not Supported]` and the like are not known.
fn known(column: &str) -> Option<&str> {
    (!column.starts_with('[') && !column.is_empty()).then_some(column)
}

/// `GPU-8f3a1c2e`.
fn short(uuid: &str) -> &str {
    uuid.match_indices('-').nth(1).map_or(uuid, |(at, _)| &uuid[..at])
}

/// As the kernel writes it.
fn address(bus: &str) -> String {
    let bus = bus.to_lowercase();
    bus.strip_prefix("0000").filter(|rest| rest.len() == "0000:01:00.0".len()).unwrap_or(&bus).to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{SMI, document};
    use super::*;

    #[test]
    fn a_machine_that_is_seen_rightly_differs_nowhere() {
        let rows = rows(&document(), SMI).unwrap();
        assert_eq!(rows.len(), 26);
        let bad: Vec<&Row> = rows.iter().filter(|row| row.verdict.is_bad()).collect();
        assert!(bad.is_empty(), "{bad:?}");
    }

    #[test]
    fn each_wrong_fact_is_found() {
        let wrong = [
            ("0, GPU-8f", "7, GPU-8f", "index"),
            ("RTX 4090, 00000000:01", "RTX 4080, 00000000:01", "name"),
            ("00000000:01:00.0", "00000000:09:00.0", "bus"),
            ("01:00.0, 550.54.15", "01:00.0, 550.90.07", "driver"),
            ("24564, 23790, 63", "24576, 23790, 63", "memory, MiB"),
            ("24564, 23790, 63", "24564, 12000, 63", "free memory, MiB"),
            ("23790, 63", "23790, 90", "temperature"),
            ("23790, 63", "23790, [N/A]", "temperature"),
            ("118.02, 450.00", "118.02, 300.00", "power limit, W"),
            ("450.00, Enabled, Disabled", "450.00, Disabled, Disabled", "persistence mode"),
            ("Enabled, Disabled", "Enabled, Enabled", "MIG"),
            ("Disabled, 8.9", "Disabled, 9.0", "compute capability"),
        ];
        for (right, other, fact) in wrong {
            let smi = SMI.replacen(right, other, 1);
            assert_ne!(smi, SMI, "{right}");
            let rows = rows(&document(), &smi).unwrap();
            let bad: Vec<&str> = rows.iter().filter(|row| row.verdict.is_bad()).map(|row| row.fact).collect();
            assert_eq!(bad, [fact], "{other}");
        }
    }

    #[test]
    fn a_gpu_that_only_one_of_both_sees_is_found() {
        let first = SMI.lines().next().unwrap();
        let missed = rows(&document(), first).unwrap();
        assert_eq!(missed.iter().filter(|row| row.verdict.is_bad()).count(), 1);
        let third = format!("{SMI}{}", first.replace("GPU-8f3a1c2e", "GPU-99999999"));
        let missed = rows(&document(), &third).unwrap();
        let bad: Vec<String> = missed.iter().filter(|row| row.verdict.is_bad()).map(Row::line).collect();
        assert_eq!(bad, ["| GPU-99999999 | presence | unknown | present | **differs** |"]);
    }

    #[test]
    fn an_answer_of_other_columns_is_an_error() {
        assert!(rows(&document(), "No devices were found").is_err());
    }
}
