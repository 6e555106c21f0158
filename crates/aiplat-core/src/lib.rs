//! The decisions of aiplatd, as pure functions over plain values.
//!
//! `compile` turns `platform.yaml` into a flat graph of resources, `plan` picks at most one action for one
//! resource, `watch` says what to probe and when, `predict` says what an action will change, and `preview`
//! iterates the two to the whole plan. The daemon, `aiplatctl diff`, the simulator and the property tests all
//! run these same functions.
//!
//! Deliberately absent: I/O, clocks, randomness, the environment, hash maps, async. `clippy.toml` of this
//! crate keeps it so.

pub mod action;
pub mod bytes;
pub mod changes;
pub mod classify;
pub mod condition;
pub mod fingerprint;
pub mod id;
pub mod inventory;
pub mod ledger;
pub mod load;
pub mod observed;
pub mod plan;
pub mod predict;
pub mod preview;
pub mod secret;
pub mod shutdown;
pub mod spec;
pub mod status;
pub mod tier;
pub mod time;
pub mod watch;

pub use id::{Kind, ResourceId};
pub use time::Timestamp;
