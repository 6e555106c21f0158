//! Servers of models as they last answered. Unknown is never none: a server that was not asked, or did not answer, says nothing
//! of what it has.

use std::net::IpAddr;

use super::{ContainerId, Incarnation, PullProgress};
use crate::spec::ModelName;

/// Where a server of models is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelEndpoint {
    /// The service that it is, for people.
    pub service: String,
    /// From where, and at which address.
    pub place: ServerPlace,
    /// On which port it listens.
    pub port: u16,
}

/// From where a server is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerPlace {
    /// A unit: at an address of the host.
    Host(IpAddr),
    /// A container: at its address, or inside its network namespace where it has none.
    Container {
        /// Which.
        id: ContainerId,
        /// Its address.
        address: Option<IpAddr>,
    },
}

/// What the server of one service last said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelServer {
    /// The run of the service that was asked: what another one said is void.
    pub run: Option<Incarnation>,
    /// What came of it.
    pub answer: ModelAnswer,
}

/// What came of asking a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelAnswer {
    /// No answer that could be read.
    Unreachable {
        /// What was asked, and why there is none.
        why: String,
    },
    /// It answers.
    Answers(ModelFacts),
}

/// What a server has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelFacts {
    /// Its version.
    pub version: String,
    /// The models that it could load, in order of name.
    pub models: Vec<StoredModel>,
    /// Those that are in memory now.
    pub loaded: Vec<LoadedModel>,
}

/// A model that a server has on its disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredModel {
    /// Which.
    pub name: ModelName,
    /// The SHA-256 of its manifest, in hexadecimal digits: another one is another content.
    pub digest: String,
    /// Bytes on the disk.
    pub size: u64,
}

/// A model that a server has in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedModel {
    /// Which.
    pub name: ModelName,
    /// Bytes in all.
    pub size: u64,
    /// Of these, on a GPU: 0 is a model that runs on the CPU alone.
    pub size_vram: u64,
    /// When it is put out of memory unless somebody uses it, RFC 3339; empty: not told.
    pub expires_at: String,
}

/// What a model consists of, by the manifest of its registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelManifest {
    /// Bytes of all its parts.
    pub bytes: u64,
    /// The SHA-256 of the manifest, as servers tell it ([`StoredModel::digest`]).
    pub digest: String,
}

/// What is known of the size of a model that is not there yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelSize {
    /// What its registry says, or why it could not be asked; `None`: not asked yet.
    pub manifest: Option<Result<ModelManifest, String>>,
    /// What its last pull announced, and what of it has arrived: the server keeps that.
    pub announced: Option<PullProgress>,
}

impl ModelServer {
    /// What it has; `None`: it does not answer.
    #[must_use]
    pub fn facts(&self) -> Option<&ModelFacts> {
        match &self.answer {
            ModelAnswer::Answers(facts) => Some(facts),
            ModelAnswer::Unreachable { .. } => None,
        }
    }
}

impl ModelFacts {
    /// The model of this name, if it has it.
    #[must_use]
    pub fn model(&self, name: &ModelName) -> Option<&StoredModel> {
        self.models.iter().find(|model| model.name == *name)
    }

    /// The model of this name in memory, if it is there.
    #[must_use]
    pub fn loaded(&self, name: &ModelName) -> Option<&LoadedModel> {
        self.loaded.iter().find(|model| model.name == *name)
    }
}

impl ModelSize {
    /// Bytes of the whole model, as far as they are known.
    #[must_use]
    pub fn bytes(&self) -> Option<u64> {
        let of_manifest = self.manifest.as_ref().and_then(|manifest| Some(manifest.as_ref().ok()?.bytes));
        of_manifest.or_else(|| Some(self.announced?.total).filter(|total| *total > 0))
    }

    /// Bytes that are still to be pulled, as far as they are known.
    #[must_use]
    pub fn needed(&self) -> Option<u64> {
        Some(self.bytes()?.saturating_sub(self.announced.unwrap_or_default().done))
    }
}
