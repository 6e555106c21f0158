//! Models, on the wire.

use aiplat_core::{condition::Word, observed::PullProgress};
use serde::{Deserialize, Serialize};

/// A model that the file asks for, or that a server has besides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelStatus {
    /// Its entry in the file; absent: the file does not ask for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// As its server names it: `llama3.1:8b`.
    pub model: String,
    /// The service that serves it.
    pub runner: String,
    /// The printed word.
    pub status: Word,
    /// What is wrong, or going on; empty when all is well.
    pub message: String,
    /// Bytes on the disk of its server; of one that is still to be pulled, as its registry or its pull has told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The SHA-256 of its manifest; absent while the server does not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// It is in memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loaded: Option<LoadedModelStatus>,
    /// Bytes of a pull in progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull: Option<PullProgress>,
    /// A person has ordered a pull of it that has not been made yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ordered: bool,
    /// Why its last pull failed, if that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// A model in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadedModelStatus {
    /// Bytes in all.
    pub size: u64,
    /// Of these, on a GPU.
    pub vram: u64,
    /// RFC 3339: when it is put out of memory unless somebody uses it; empty: not told.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub expires_at: String,
}

/// Removes a model from a server. Only one that the file does not ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveModelRequest {
    /// As its server names it, or as Ollama would understand it.
    pub model: String,
    /// The service that has it; absent: the only one that does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner: Option<String>,
    /// Only say whether it may be.
    #[serde(default)]
    pub dry_run: bool,
}
