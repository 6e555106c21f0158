//! The port to the hosts, and its adapters. Decides nothing: it observes, and it applies what was decided.

pub mod docker;
pub mod files;
pub mod port;
pub mod probe;

pub use port::{
    Backend, Hint, HostError, HostErrorKind, LogLine, LogOptions, LogStream, Progress, Target, Usage,
};
