//! The systemd adapter against a real systemd: PID 1 of a container, with its own bus and journal.
//!
//! `cargo xtask test --only host` makes the machine's image and runs these. Where `AIPLAT_HOST_IMAGE` does not name it the
//! tests say so and pass, unless `AIPLAT_ENGINE_TESTS=required`.
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "../contract/raw.rs"]
mod raw;

mod contract;
mod environment;
mod figures;
mod hints;
mod journal;
mod machine;
mod own;
