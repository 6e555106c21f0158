//! What the daemon relies on, said once: the same clauses for the model and for a real engine. Without this the
//! simulator proves the wrong engine.

mod asked;
mod clauses;
mod driver;
mod errors;
pub mod files;
pub mod models;
pub mod units;

use aiplat_core::spec::{ContainerRuntime, InstanceId};
use aiplat_host::Backend;
use futures_util::future::LocalBoxFuture;

pub use clauses::CLAUSES;
pub use driver::Driver;

use crate::{build::Sketch, sim::Foreign};

/// A machine under contract, and the hand of a person at its engine. Whatever is made there goes when it is dropped.
pub trait Machine {
    /// The port.
    fn backend(&self) -> &dyn Backend;
    /// Begins every name that a test gives.
    fn prefix(&self) -> &str;
    /// Makes the programs of a sketch such as this machine can run.
    fn adapt(&self, runtime: &mut ContainerRuntime, program: Program);
    /// Somebody runs a container; its id.
    fn foreign(&self, foreign: &Foreign) -> String;
    /// Somebody makes a network; its id.
    fn foreign_network(&self, name: &str) -> String;
    /// Somebody makes a volume.
    fn foreign_volume(&self, name: &str);
    /// `docker kill`.
    fn kill(&self, id: &str);
    /// `docker network rm`.
    fn remove_network(&self, name: &str);
    /// `docker start`.
    fn start(&self, id: &str);
    /// `docker rm -f`.
    fn remove(&self, id: &str);
    /// Whether this machine's kernel accounts for what the container uses: in a sandbox it may not.
    fn accounts(&self, id: &str) -> bool;
    /// A host port that nobody holds.
    fn free_port(&self) -> u16;
    /// Whose objects are ours.
    fn instance(&self) -> InstanceId {
        self.backend().instance().clone()
    }
    /// A name of this test's own.
    fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix())
    }
    /// A sketch with names of this test's own.
    fn sketch(&self, services: Vec<crate::build::Service>) -> Sketch {
        Sketch { name: self.prefix().to_owned(), ..crate::build::sketch(services) }
    }
}

/// What runs in a container of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// Runs until it is stopped.
    Serve,
    /// Exits with 3 at once.
    Exit3,
    /// Is not in the image.
    Missing,
}

/// One clause.
pub type Clause = for<'a> fn(&'a dyn Machine) -> LocalBoxFuture<'a, ()>;
