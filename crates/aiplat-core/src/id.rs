//! Names of resources: `kind/name`, written the same in logs, labels, the CLI and tests.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The kinds of resource that aiplatd reconciles. Adding one here makes the compiler list the places that must know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A Docker network; keyed by its key in the file.
    Network,
    /// A Docker volume; keyed by its key in the file.
    Volume,
    /// A file of the host that aiplatd writes: what a config holds; keyed by the config's name.
    File,
    /// A Docker image; keyed by its reference as written.
    Image,
    /// The set of containers of one service; keyed by the service's name.
    Container,
    /// The systemd unit of one service; keyed by the service's name.
    Unit,
    /// A model that a service serves; keyed by its entry in `models:`.
    Model,
    /// A part of the machine, or all of it: `host/systemd`, `host/docker`, `host/local`.
    Host,
}

impl Kind {
    /// Every kind, in the order in which resources are listed.
    pub const ALL: [Self; 8] = [
        Self::Network,
        Self::Volume,
        Self::File,
        Self::Image,
        Self::Container,
        Self::Unit,
        Self::Model,
        Self::Host,
    ];

    /// The word before the slash.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Volume => "volume",
            Self::File => "file",
            Self::Image => "image",
            Self::Container => "container",
            Self::Unit => "unit",
            Self::Model => "model",
            Self::Host => "host",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A kind and an opaque key: `container/postgres`, `image/redis:7.4-alpine`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId {
    /// What it is.
    pub kind: Kind,
    key: Arc<str>,
}

impl ResourceId {
    /// A resource of `kind` under `key`.
    #[must_use]
    pub fn new(kind: Kind, key: impl Into<Arc<str>>) -> Self {
        Self { kind, key: key.into() }
    }

    /// `network/<key>`.
    #[must_use]
    pub fn network(key: &str) -> Self {
        Self::new(Kind::Network, key)
    }

    /// `volume/<key>`.
    #[must_use]
    pub fn volume(key: &str) -> Self {
        Self::new(Kind::Volume, key)
    }

    /// `file/<key>`.
    #[must_use]
    pub fn file(key: &str) -> Self {
        Self::new(Kind::File, key)
    }

    /// `image/<reference>`.
    #[must_use]
    pub fn image(reference: &str) -> Self {
        Self::new(Kind::Image, reference)
    }

    /// `container/<service>`.
    #[must_use]
    pub fn container(service: &str) -> Self {
        Self::new(Kind::Container, service)
    }

    /// `unit/<service>`.
    #[must_use]
    pub fn unit(service: &str) -> Self {
        Self::new(Kind::Unit, service)
    }

    /// `model/<key>`.
    #[must_use]
    pub fn model(key: &str) -> Self {
        Self::new(Kind::Model, key)
    }

    /// `host/systemd`.
    #[must_use]
    pub fn systemd() -> Self {
        Self::new(Kind::Host, "systemd")
    }

    /// `host/docker`: how the engine is set up, where the file takes charge of that.
    #[must_use]
    pub fn docker() -> Self {
        Self::new(Kind::Host, "docker")
    }

    /// `host/local`: the machine itself.
    #[must_use]
    pub fn local() -> Self {
        Self::new(Kind::Host, "local")
    }

    /// Whether it is what a person calls a service.
    #[must_use]
    pub fn is_service(&self) -> bool {
        matches!(self.kind, Kind::Container | Kind::Unit)
    }

    /// The part after the slash.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.key)
    }
}

/// A text that is not `kind/name`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{0}` is not a resource: write kind/name, with one of the kinds network, volume, file, image, container, unit, model, host"
)]
pub struct InvalidResourceId(String);

impl FromStr for ResourceId {
    type Err = InvalidResourceId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidResourceId(text.to_owned());
        let (kind, key) = text.split_once('/').ok_or_else(invalid)?;
        let kind = Kind::ALL.into_iter().find(|k| k.as_str() == kind).ok_or_else(invalid)?;
        if key.is_empty() { Err(invalid()) } else { Ok(Self::new(kind, key)) }
    }
}

impl Serialize for ResourceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ResourceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
