//! A simulated machine.

pub mod act;
pub mod app;
pub mod backend;
pub mod engine;
pub mod faults;
pub mod files;
pub mod hints;
pub mod host;
pub mod human;
pub mod listening;
pub mod look;
pub mod machine;
pub mod models;
pub mod objects;
pub mod operations;
pub mod ports;
pub mod rng;
mod sight;
pub mod systemd;

pub use app::{App, Ending, Hang};
pub use engine::Engine;
pub use faults::{Fate, Faults};
pub use host::SimHost;
pub use human::Foreign;
pub use machine::SimMachine;
pub use models::SimModels;
pub use rng::Rng;
pub use sight::Blind;
pub use systemd::Systemd;
