//! The Docker adapter against the engine of this machine.
//!
//! Without one, every test says why it proves nothing and passes; with `AIPLAT_ENGINE_TESTS=required` it fails.
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "../support/mod.rs"]
mod support;

mod containers;
mod fixture;
mod hints;
mod image;
mod names;
mod networks;
mod options;
mod probes_and_logs;
mod pulls;
mod registry;
mod starts;
