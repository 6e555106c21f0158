//! End to end: the real `aiplatd` on a real engine, one law a test.
//!
//! Few and slow on purpose; what can be shown on the simulated host is shown there. Each test has a platform of its
//! own under a random name. Where no engine answers they say so and pass, unless `AIPLAT_ENGINE_TESTS=required`.

mod harness;
mod quickstart;
mod healing;
mod chain;
mod engine_restart;
