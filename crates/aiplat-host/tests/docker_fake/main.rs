//! The Docker adapter against an engine that misbehaves.
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "../support/mod.rs"]
mod support;

mod engine;
mod gpus;
mod keys;
mod odd_answers;
mod streams;
mod versions;
