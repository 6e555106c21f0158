//! What the tests of this workspace share: a simulated machine, builders, generators, checkers.

pub mod build;
pub mod check;
pub mod contract;
pub mod generate;
pub mod lab;
pub mod orders;
pub mod scene;
pub mod shape;
pub mod sim;
mod yaml;
