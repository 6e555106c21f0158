//! `cargo xtask gpu-live`: what the GPU adapter sees on a machine with a real NVIDIA GPU, beside what nvidia-smi says. It
//! changes nothing, and resets nothing.

mod compare;

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::docker::{items, text};
use crate::process::{self, command, stdout_of};

use compare::{Row, Verdict};

/// So long events are waited for.
const LISTEN_SECS: &str = "5";
/// Building the adapter included.
const LOOK: Duration = Duration::from_secs(1200);
const PAGE: &str = "docs/gpu-live.md";

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The adapter and nvidia-smi agree.
    Same,
    /// They do not; the page says where.
    Different,
    /// There is no GPU to look at.
    NoGpu,
}

/// Looks, compares and writes the page.
pub fn run(root: &Path) -> Result<Outcome> {
    let document = stdout_of(
        process::cargo().current_dir(root).args([
            "run",
            "--quiet",
            "--package",
            "aiplat-host",
            "--example",
            "gpu_live",
            "--",
            LISTEN_SECS,
        ]),
        LOOK,
    )?;
    let document: Value =
        serde_json::from_str(&document).context("the example gpu_live did not answer in JSON")?;
    if let Some(said) = no_gpu(&document) {
        println!("{said}");
        return Ok(Outcome::NoGpu);
    }
    let query = format!("--query-gpu={}", compare::FIELDS.join(","));
    let smi = stdout_of(
        command("nvidia-smi").args([&query, "--format=csv,noheader,nounits"]),
        Duration::from_secs(60),
    )?;
    let rows = compare::rows(&document, &smi)?;
    let page = page(&facts(root)?, &document, &rows);
    fs::write(root.join(PAGE), &page).with_context(|| format!("cannot write {PAGE}"))?;
    println!("{page}\nwritten to {PAGE}");
    Ok(if rows.iter().any(|row| row.verdict.is_bad()) { Outcome::Different } else { Outcome::Same })
}

/// What to say where there is nothing to compare.
fn no_gpu(document: &Value) -> Option<String> {
    let driver = &document["driver"];
    let nvidia = items(document, "gpus").iter().any(|gpu| text(gpu, "vendor") == "nvidia");
    let said = driver["said"].as_str().map(|said| format!(" ({said})")).unwrap_or_default();
    let state = text(driver, "state");
    (!nvidia).then(|| {
        format!("no NVIDIA GPU can be asked on this machine: the driver is {state}{said}; nothing is written")
    })
}

/// Of the machine and the day.
fn facts(root: &Path) -> Result<Vec<(&'static str, String)>> {
    let asked = |command: &mut std::process::Command| -> Result<String> {
        Ok(stdout_of(command, Duration::from_secs(10))?.trim().to_owned())
    };
    let kernel =
        fs::read_to_string("/proc/sys/kernel/osrelease").context("cannot read the kernel's version")?;
    Ok(vec![
        ("date", asked(command("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]))?),
        (
            "commit",
            asked(command("git").current_dir(root).args(["rev-parse", "--short", "HEAD"]))
                .unwrap_or_default(),
        ),
        ("kernel", kernel.trim().to_owned()),
    ])
}

fn page(facts: &[(&'static str, String)], document: &Value, rows: &[Row]) -> String {
    let driver = &document["driver"];
    let number = |key: &str| document[key].as_u64().unwrap_or(0);
    let mib = |key: &str| format!("{:.1} MiB", document["kib"][key].as_u64().unwrap_or(0) as f64 / 1024.0);
    let mut lines = vec![
        "# The GPU adapter on a real GPU".to_owned(),
        String::new(),
        "Written by `cargo xtask gpu-live`, which changes nothing and resets nothing. Each fact stands beside what nvidia-smi said of it \
         a moment later; what moves by itself is judged with slack, or not at all."
            .to_owned(),
        String::new(),
        "| | |\n|---|---|".to_owned(),
    ];
    let driver = [("driver", text(driver, "version").to_owned()), ("CUDA", text(driver, "cuda").to_owned())];
    lines.extend(facts.iter().chain(&driver).map(|(name, fact)| format!("| {name} | {fact} |")));
    lines
        .extend([String::new(), "| GPU | fact | aiplatd | nvidia-smi | |\n|---|---|---|---|---|".to_owned()]);
    lines.extend(rows.iter().map(Row::line));
    let bad = rows.iter().filter(|row| row.verdict.is_bad()).count();
    let unjudged = rows.iter().filter(|row| row.verdict == Verdict::Shown).count();
    lines.extend([
        String::new(),
        format!("{bad} of {} facts differ; {unjudged} are shown and not judged.", rows.len()),
        String::new(),
        format!("- Events: {} in {} s.", items(document, "events").len(), number("listened_ms") / 1000),
        format!(
            "- Time: the first look took {} ms (it loads the library), the next {} ms.",
            number("first_look_ms"),
            number("next_look_ms")
        ),
        format!(
            "- Memory of the process: {} before, {} after the first look, {} with the events listened to.",
            mib("before"),
            mib("after"),
            mib("listening")
        ),
    ]);
    lines.extend(
        items(document, "events").iter().filter_map(Value::as_str).map(|event| format!("  - `{event}`")),
    );
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The document of the adapter's own test, of two GPUs that its double of NVIDIA's library makes up.
    pub(super) const DOCUMENT: &str = include_str!("../../aiplat-host/testdata/gpu-live.json");
    /// What nvidia-smi of driver 550 printed for such a machine; the second card does not measure its temperature.
    pub(super) const SMI: &str = "\
0, GPU-8f3a1c2e-1111-2222-3333-444455556666, NVIDIA GeForce RTX 4090, 00000000:01:00.0, 550.54.15, 24564, 23790, 63, 118.02, 450.00, Enabled, Disabled, 8.9, 12
1, GPU-0b1c2d3e-1111-2222-3333-444455556666, NVIDIA GeForce RTX 4090, 00000000:02:00.0, 550.54.15, 24564, 23790, [N/A], 121.40, 450.00, Enabled, [N/A], 8.9, 40
";

    pub(super) fn document() -> Value {
        serde_json::from_str(DOCUMENT).expect("the document")
    }

    #[test]
    fn the_page_says_what_was_compared_and_what_it_costs() {
        let document = document();
        let rows = compare::rows(&document, SMI).unwrap();
        let page = page(&[("date", "2026-11-21 12:00 UTC".to_owned())], &document, &rows);
        for line in [
            "| date | 2026-11-21 12:00 UTC |",
            "| driver | 550.54.15 |",
            "| CUDA | 12.4 |",
            "| GPU-8f3a1c2e | bus | 0000:01:00.0 | 0000:01:00.0 | same |",
            "| GPU-8f3a1c2e | temperature | 61 | 63 | near |",
            "| GPU-0b1c2d3e | temperature | unknown | unknown | same |",
            "0 of 26 facts differ; 4 are shown and not judged.",
            "- Events: 0 in 5 s.",
            "- Memory of the process: 4.0 MiB before, 16.0 MiB after the first look, 16.2 MiB with the events listened to.",
        ] {
            assert!(page.contains(line), "`{line}` is not in\n{page}");
        }
    }

    #[test]
    fn a_machine_without_a_gpu_says_so() {
        let none = serde_json::json!({"driver": {"state": "absent"}, "gpus": [{"vendor": "intel"}]});
        assert!(no_gpu(&none).unwrap().contains("the driver is absent; nothing is written"));
        let hung = serde_json::json!({"driver": {"state": "hung", "said": "nvmlInit_v2 has not come back"}, "gpus": []});
        assert!(no_gpu(&hung).unwrap().contains("hung (nvmlInit_v2 has not come back)"));
        assert_eq!(no_gpu(&document()), None);
    }
}
