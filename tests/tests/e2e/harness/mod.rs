//! What every end-to-end test stands on: a platform of its own on a real engine, a real daemon, and a guard that
//! takes down exactly what was made, after a panic too.

pub(crate) mod engine;
pub(crate) mod http;
pub(crate) mod look;
mod platforms;
pub(crate) mod private;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod stage;
mod turn;

use std::{
    hash::{BuildHasher, Hasher},
    io::Write,
    time::{Duration, Instant},
};

pub(crate) use engine::Engine;
pub(crate) use look::{all_ready, condition, has, moment, service};
pub(crate) use platforms::{DB_AND_WEB, WEB_AND_OTHER};
pub(crate) use stage::Stage;

/// Nothing that is waited for takes longer than this on a busy machine of two cores.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

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
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A number that another test, in this process or another, does not get.
pub(crate) fn random() -> u64 {
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

/// Says why a test did not run, and lets it pass, unless the tests were required to run.
pub(crate) fn cannot_run(reason: &str) {
    let required = std::env::var("AIPLAT_ENGINE_TESTS").is_ok_and(|value| value == "required");
    assert!(!required, "AIPLAT_ENGINE_TESTS=required, but it cannot run: {reason}");
    say(&format!("did not run: {reason}"));
}

/// Prints a figure for who reads the output of the tests.
pub(crate) fn report(figure: &str) {
    say(&format!("figure: {figure}"));
}

/// To the real standard error: the test harness keeps what the print macros say of a test that passes.
fn say(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}
