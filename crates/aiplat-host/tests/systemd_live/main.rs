//! The systemd adapter against a real systemd: PID 1 of a container, with its own bus and journal.
//!
//! Only with `AIPLAT_SYSTEMD_TESTS=required`, for it makes a Debian out of packages first (a minute, and 250 MB under
//! `target/`); `AIPLAT_SYSTEMD_IMAGE` names an image of such a machine that is there already. Otherwise every test says
//! why it proves nothing and passes.
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "../support/mod.rs"]
mod support;

mod environment;
mod figures;
mod hints;
mod image;
mod journal;
mod machine;
mod own;
mod states;
