//! The contract of the `Backend` port, on the model always, and on the engine of this machine where one answers.
//!
//! `AIPLAT_ENGINE_TESTS=required` makes a missing engine, or a missing `aiplat-demo:1`, a failure.

mod docker;
mod files;
mod model_servers;
#[path = "../../../examples/demo-app/src/models.rs"]
mod models;
#[allow(dead_code, reason = "the stand-in listens where it is told; here it listens where there is a port")]
#[path = "../../../examples/demo-app/src/ollama.rs"]
mod ollama;
mod raw;
#[path = "../../../examples/demo-app/src/request.rs"]
mod request;
#[allow(dead_code, reason = "what the tests of the adapter itself need besides")]
#[path = "../../../crates/aiplat-host/tests/models/server.rs"]
mod server;
mod simulated;
mod units;

use aiplat_tests::contract::{CLAUSES, Clause};

/// Those whose sentences contain `AIPLAT_CLAUSE`.
fn chosen<C: Copy>(clauses: &[(&'static str, C)]) -> impl Iterator<Item = (&'static str, C)> {
    let only = std::env::var("AIPLAT_CLAUSE").unwrap_or_default();
    clauses.iter().copied().filter(move |(sentence, _)| sentence.contains(&only))
}

fn clauses() -> impl Iterator<Item = (&'static str, Clause)> {
    chosen(CLAUSES)
}

#[test]
fn the_model_keeps_every_clause() {
    let broken: Vec<&str> =
        clauses().filter(|(_, clause)| !holds(|| simulated::check(*clause))).map(|(s, _)| s).collect();
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
#[allow(clippy::print_stderr, reason = "a test that proves nothing says so")]
fn the_engine_keeps_every_clause() {
    if let Err(reason) = docker::is_ready() {
        assert!(std::env::var("AIPLAT_ENGINE_TESTS").as_deref() != Ok("required"), "{reason}");
        eprintln!("not tested: {reason}");
        return;
    }
    let broken: Vec<&str> =
        clauses().filter(|(_, clause)| !holds(|| docker::check(*clause))).map(|(s, _)| s).collect();
    assert!(broken.is_empty(), "{broken:#?}");
}

/// One broken clause does not hide the others.
fn holds(check: impl FnOnce()) -> bool {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)).is_ok()
}
