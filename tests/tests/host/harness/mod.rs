//! The test host: a machine that a test installs on, breaks and restarts, and a guard that takes it down.

mod exec;
mod host;
mod platform;

#[path = "../../e2e/harness/engine.rs"]
#[allow(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
mod engine;
#[path = "../../e2e/harness/http.rs"]
#[allow(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
mod http;

use std::{
    io::Write,
    time::{Duration, Instant},
};

pub(crate) use exec::Ran;
pub(crate) use host::Host;

/// Nothing that is waited for takes longer than this on a busy machine of two cores.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Looks until `holds`, or until `within` is over; answers whether it came to hold.
pub(crate) fn until(within: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + within;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        // The pause between two looks, not a guess of how long something takes.
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Says why a test did not run, and lets it pass, unless the tests were required to run.
pub(crate) fn cannot_run(reason: &str) {
    let required = std::env::var("AIPLAT_ENGINE_TESTS").is_ok_and(|value| value == "required");
    assert!(!required, "AIPLAT_ENGINE_TESTS=required, but it cannot run: {reason}");
    say(&format!("did not run: {reason}; `cargo xtask test --only host` makes what it needs"));
}

/// Prints a figure for who reads the output of the tests.
pub(crate) fn report(figure: &str) {
    say(&format!("figure: {figure}"));
}

/// To the real standard error: the test harness keeps what the print macros say of a test that passes.
fn say(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}
