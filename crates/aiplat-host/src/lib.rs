//! The port to the hosts, and its adapters. Decides nothing: it observes, and it applies what was decided.

pub mod docker;
pub mod files;
pub mod folders;
pub mod gpu;
pub mod instances;
mod lines;
pub mod listeners;
pub mod machine;
mod mailbox;
pub mod model;
pub mod port;
pub mod probe;
pub mod systemd;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use port::{
    Backend, FileHost, Gpus, Hint, HostError, HostErrorKind, LogLine, LogOptions, LogStream, Machine, Models,
    Progress, SystemdOverview, Target, UnitAnswer, UnitHint, Units, Usage,
};

/// What these locks guard is whole between any two statements, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
