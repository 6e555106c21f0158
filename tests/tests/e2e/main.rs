//! End to end: the real `aiplatd` on a real engine, one law a test.
//!
//! Few and slow on purpose; what can be shown on the simulated host is shown there. Each test has a platform of its
//! own under a random name. Where no engine answers they say so and pass, unless `AIPLAT_ENGINE_TESTS=required`.

mod access;
mod beside;
mod chain;
mod changes;
mod configs;
mod conflicts;
mod crash;
mod edits;
mod engine_restart;
mod following;
mod full_disk;
mod harness;
mod healing;
mod holds;
mod hundred;
mod lifecycle;
mod models;
mod options;
mod orders;
mod probes;
mod quickstart;
mod removal;
mod restarts;
mod spec_file;
mod verbs;
