//! Documents to render, a daemon to talk to, and the binary itself.

pub(crate) mod docs;
pub(crate) mod server;
pub(crate) mod tool;
