//! The adapter for servers of models, against the stand-in of the examples on the wire.

#[path = "../../../../examples/demo-app/src/models.rs"]
mod models;
#[allow(dead_code, reason = "the stand-in listens where it is told; here it listens where there is a port")]
#[path = "../../../../examples/demo-app/src/ollama.rs"]
mod ollama;
#[path = "../../../../examples/demo-app/src/request.rs"]
mod request;

mod asks;
mod pulls;
mod server;
