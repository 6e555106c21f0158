//! The page that the figures are published on.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::bed::Bed;
use super::contest::Contest;
use super::heal::Heal;
use super::load::cores;
use super::numbers;
use super::resident::{self, Resident};
use crate::process::{command, stdout_of};

/// Markdown under construction.
pub struct Page {
    text: String,
}

impl Page {
    /// The head: what this is, and the machine.
    pub fn new(root: &Path, engine: &str, bed: &Bed) -> Result<Self> {
        let compose = bed.compose.as_ref().map_or_else(
            || "none on this machine, so its rows are missing".to_owned(),
            |compose| {
                format!(
                    "{}; {} of its every figure is its own start",
                    compose.title(),
                    numbers::time(compose.own_start)
                )
            },
        );
        let kernel =
            fs::read_to_string("/proc/sys/kernel/osrelease").context("cannot read the kernel's version")?;
        let facts = [
            ("date", asked(command("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]))?),
            ("commit", commit(root)?),
            ("kernel", kernel.trim().to_owned()),
            ("processor", format!("{} cores, {}", cores(), processor())),
            ("engine", engine.to_owned()),
            ("Compose", compose),
            ("load average at the start", load_average()),
            ("rounds", if bed.quick { "few: `--quick`".to_owned() } else { "all".to_owned() }),
        ];
        let rows: Vec<String> = facts.iter().map(|(name, fact)| format!("| {name} | {fact} |")).collect();
        Ok(Self { text: format!("{HEAD}\n| | |\n|---|---|\n{}\n", rows.join("\n")) })
    }

    /// A chain of five, gated on readiness.
    pub fn chain(&mut self, ready_after: u32, contest: &Contest) {
        let heading = format!("A chain of five, each ready {ready_after} ms after its start");
        let words = if self.text.contains(CHAIN) { "As above.\n" } else { CHAIN };
        self.section(&heading, words, &contest.report());
    }

    /// Fifteen without edges.
    pub fn flat(&mut self, contest: &Contest) {
        self.section("Fifteen services, flat, no probes", FLAT, &contest.report());
    }

    /// Healing.
    pub fn heal(&mut self, heal: &Heal) {
        self.section("A container is killed", HEAL, &heal.report());
    }

    /// Memory and processor at rest.
    pub fn resident(&mut self, all: &[Resident]) {
        self.section("The daemon at rest", RESIDENT, &resident::report(all));
    }

    /// The page.
    pub fn finish(self) -> String {
        self.text + END
    }

    fn section(&mut self, heading: &str, words: &str, figures: &str) {
        self.text += &format!("\n## {heading}\n{words}\n{figures}");
    }
}

fn commit(root: &Path) -> Result<String> {
    let git = |arguments: &[&str]| asked(command("git").current_dir(root).args(arguments));
    let commit = git(&["rev-parse", "--short", "HEAD"])?;
    // This page itself does not change what is measured.
    let changes = git(&["status", "--porcelain", "--", ".", ":!docs"])?;
    Ok(if changes.is_empty() { commit } else { format!("{commit}, with changes that are not committed") })
}

fn asked(command: &mut Command) -> Result<String> {
    Ok(stdout_of(command, Duration::from_secs(10))?.trim().to_owned())
}

fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find(|line| line.starts_with("model name"));
    model.and_then(|line| line.split_once(": ")).map_or("unknown", |(_, model)| model).to_owned()
}

fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

const HEAD: &str = "\
# Measurements

Written by `cargo xtask bench --write`; the figures that lose stand here like those that win.

How to read it:
- Within a round every way is measured once, one after the other, and the ways of a round are compared in pairs. A ratio
  is the median of those pairs, with its range. Seconds of different runs or machines say nothing about each other.
- The **floor** is what the engine itself needs: bare calls of its API by a client that knows what is coming.
  **Efficiency** is floor / T: 1.00 is the engine's own time.
- *Disturbed* blocks had more than 10 % of the processor used by others, or containers of others came or went in the
  engine meanwhile (their events are counted): the engine's own time for those cannot be told from ours. They are
  counted and named, and they stay in the medians.
- A plain container is calibrated before and after a section. If that moved by more than 15 %, the section says so.
";

const CHAIN: &str = "\
Five services, each `depends_on` the one before with `service_healthy`, an HTTP check with `interval: 5s`. aiplatd: from
the start of `aiplatd --once` with an empty state folder to its exit. Compose: `up -d`, the same readiness asked from
inside the container (`/app probe`), every 5 s and also every 1 s; it does not wait for the last service. The floor: a
network, five creates, then the starts, each once `/ready` of the one before, asked every 2 ms, answers 200. It starts
nothing before all is created, as aiplatd does: an efficiency a little above 1.00 is possible.
";

const FLAT: &str = "\
Nothing to wait for: this is the engine's own work, and there is nothing for anybody to win. *To the last start* is what
the floor and Compose do as well; then `aiplatd --once` watches services without a probe for 2 s, for a program that dies
at its start runs for a moment too, and only then says that they are ready. Compose does not look.
";

const HEAL: &str = "\
`docker kill` (SIGKILL) of one container after another of a running daemon, each once, so that no back-off is in the way;
in turns with a bare client that reads the engine's events and calls `start` at once. By the engine's own clock
(`timeNano`).
";

const RESIDENT: &str = "\
The release build, 5 s after all 15 containers run; memory at the end of the time watched. The kernel counts processor
time in steps of 10 ms. A daemon on an engine where containers of others come and go is not at rest: see *disturbed*.
";

const END: &str = "
## Do it again

    cargo xtask bench            # about ten minutes; prints this page
    cargo xtask bench --quick    # two rounds
    cargo xtask bench --write    # and writes it to docs/measurements.md

It needs root or the group `docker`, and a quiet machine. Everything it makes carries the label `aiplat-bench.run` and is
removed again; what a killed run left is removed by the next one.
";
