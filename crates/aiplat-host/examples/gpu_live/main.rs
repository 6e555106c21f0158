//! What the GPU adapter sees of this machine, and what it costs to look: a JSON document for `cargo xtask gpu-live`. It changes
//! nothing, and resets nothing.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its output is what it is for")]

mod document;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use aiplat_core::observed::{GpuEvent, GpuFacts};
use aiplat_host::{
    Gpus,
    gpu::{GpuOptions, LocalGpus},
};
use futures_util::StreamExt;

use document::Costs;

fn main() -> ExitCode {
    let seconds = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(5);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (facts, events, costs) = runtime.block_on(look(Duration::from_secs(seconds)));
    println!("{:#}", document::of(&facts, &events, &costs));
    ExitCode::SUCCESS
}

async fn look(listen: Duration) -> (GpuFacts, Vec<GpuEvent>, Costs) {
    let before = resident();
    let gpus = LocalGpus::new(GpuOptions::of_this_machine());
    let begun = Instant::now();
    gpus.observe().await;
    let first = begun.elapsed();
    let after = resident();
    let events: Vec<GpuEvent> = gpus.events().take_until(tokio::time::sleep(listen)).collect().await;
    let begun = Instant::now();
    let facts = gpus.observe().await;
    let costs =
        Costs { before, after, listening: resident(), first, next: begun.elapsed(), listened: listen };
    (facts, events, costs)
}

/// KiB that this process has in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}
