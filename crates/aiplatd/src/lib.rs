//! The daemon as a library: `main` parses arguments and calls [`daemon::run`] with the real ports; the simulation
//! calls it with its own.
//!
//! Start reading at [`reconcile`].

pub mod args;
pub mod clock;
mod configs;
#[cfg(debug_assertions)]
pub mod crash;
pub mod daemon;
mod diagnosis;
pub mod events;
pub mod failure;
pub mod files;
pub mod hints;
pub mod history;
mod inventory;
pub mod kept_logs;
pub mod log;
mod machine;
pub mod metrics;
pub mod models;
pub mod notify;
pub mod ports;
pub mod probes;
pub mod prune;
mod pulls;
mod reaching;
pub mod reconcile;
pub mod server;
pub mod shared;
pub mod shutdown;
mod sight;
pub mod spec;
pub mod state;
pub mod status;
pub mod status_file;
pub mod store;
pub mod surroundings;
mod unit_files;
mod volumes;
