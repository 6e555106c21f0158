//! A simulated machine.

pub mod act;
pub mod app;
pub mod engine;
pub mod human;
pub mod look;
pub mod operations;
pub mod rng;

pub use app::{App, Ending};
pub use engine::Engine;
pub use human::Foreign;
pub use rng::Rng;
