//! What it takes to pull a model.

use crate::{observed::ModelEndpoint, spec::ModelName};

/// A model, and who is to pull it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullModel {
    /// Which model.
    pub model: ModelName,
    /// The server.
    pub at: ModelEndpoint,
    /// Bytes that are to come, where that is known; for a person.
    pub bytes: Option<u64>,
    /// Bytes that the disk of the server has room for; `None`: not known. A pull that announces more is ended at once.
    pub room: Option<FreeRoom>,
}

/// Room for a model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FreeRoom {
    /// Bytes that are free.
    pub free: u64,
    /// Of which file system, for a person: `/var/lib/docker (ext4 on /dev/sda1)`.
    pub on: String,
}
