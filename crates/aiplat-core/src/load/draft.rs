//! The platform as it was written: decoded, with places, names not yet resolved.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::tree::{Place, Spanned};
use crate::spec::{
    DependencyCondition, Limits, PortBinding, ProbeSpec, PullPolicy, RestartMode, Settings, Subnet,
    UpdatePolicy,
};

/// All of the file.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) settings: Settings,
    pub(super) services: BTreeMap<String, ServiceDraft>,
    /// Some services could not be decoded as mappings at all: nothing is unknown for sure.
    pub(super) networks: BTreeMap<String, NetworkDraft>,
    pub(super) volumes: BTreeMap<String, VolumeDraft>,
    pub(super) gates: BTreeMap<String, GateDraft>,
    pub(super) active_profiles: Vec<Spanned<String>>,
    /// Sections whose names are not known, because the section could not be read.
    pub(super) unreadable: BTreeSet<&'static str>,
}

/// One service.
#[derive(Debug)]
pub(super) struct ServiceDraft {
    pub(super) place: Place,
    pub(super) image: Option<Spanned<String>>,
    pub(super) command: Option<Vec<String>>,
    pub(super) entrypoint: Option<Vec<String>>,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) user: Option<String>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) stop_signal: Option<String>,
    pub(super) stop_grace: Duration,
    pub(super) ports: Vec<Spanned<PortBinding>>,
    pub(super) mounts: Vec<MountDraft>,
    /// `None`: could not be read, so that nothing follows from what it lacks.
    pub(super) networks: Option<Vec<AttachmentDraft>>,
    pub(super) depends_on: Vec<Edge>,
    pub(super) health: Health,
    pub(super) restart: Spanned<RestartMode>,
    pub(super) pull: Option<Spanned<PullPolicy>>,
    pub(super) container_name: Option<Spanned<String>>,
    pub(super) deploy: Deploy,
    pub(super) profiles: Vec<Spanned<String>>,
    pub(super) allow_host_access: Vec<Spanned<String>>,
}

/// `deploy:`.
#[derive(Debug, Default)]
pub(super) struct Deploy {
    pub(super) limits: Limits,
    pub(super) update: UpdatePolicy,
}

/// `healthcheck:`.
#[derive(Debug)]
pub(super) enum Health {
    /// Nothing is said: the image's own check counts.
    Unsaid,
    /// `disable: true` or `NONE`.
    Off(Place),
    Probe(ProbeSpec),
    /// Could not be read.
    Broken,
}

/// One mount.
#[derive(Debug)]
pub(super) struct MountDraft {
    pub(super) place: Place,
    pub(super) target: String,
    pub(super) source: SourceDraft,
    pub(super) read_only: bool,
}

#[derive(Debug)]
pub(super) enum SourceDraft {
    Volume(String),
    Bind { path: String, create: bool },
    Anonymous,
    Tmpfs { size: Option<i64> },
}

/// One network of a service.
#[derive(Debug)]
pub(super) struct AttachmentDraft {
    pub(super) place: Place,
    pub(super) network: String,
    pub(super) aliases: Vec<String>,
    pub(super) ipv4_address: Option<Spanned<String>>,
    pub(super) ipv6_address: Option<Spanned<String>>,
}

/// One edge of `depends_on`.
#[derive(Debug)]
pub(super) struct Edge {
    pub(super) place: Place,
    pub(super) to: String,
    pub(super) condition: DependencyCondition,
    pub(super) required: bool,
    pub(super) restart: bool,
}

/// One entry of top-level `networks`.
#[derive(Debug)]
pub(super) struct NetworkDraft {
    pub(super) place: Place,
    pub(super) name: Option<Spanned<String>>,
    pub(super) external: bool,
    pub(super) driver: Option<String>,
    pub(super) driver_opts: BTreeMap<String, String>,
    pub(super) internal: bool,
    pub(super) enable_ipv6: bool,
    pub(super) attachable: bool,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) subnets: Vec<Spanned<Subnet>>,
}

/// One entry of top-level `volumes`.
#[derive(Debug)]
pub(super) struct VolumeDraft {
    pub(super) place: Place,
    pub(super) name: Option<Spanned<String>>,
    pub(super) external: bool,
    pub(super) driver: Option<String>,
    pub(super) driver_opts: BTreeMap<String, Spanned<String>>,
    pub(super) labels: BTreeMap<String, String>,
}

/// One gate.
#[derive(Debug)]
pub(super) struct GateDraft {
    pub(super) members: Vec<Spanned<String>>,
}

impl ServiceDraft {
    /// Whether one of its profiles is active, or it has none.
    pub(super) fn is_active(&self, active: &[Spanned<String>]) -> bool {
        self.profiles.is_empty()
            || active
                .iter()
                .any(|on| on.value == "*" || self.profiles.iter().any(|profile| profile.value == on.value))
    }
}
