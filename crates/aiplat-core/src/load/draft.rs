//! The platform as it was written: decoded, with places, names not yet resolved.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    diagnostic::Allowed,
    tree::{Place, Span, Spanned},
};
use crate::spec::{
    Content, DependencyCondition, EngineCheck, GpuRequest, Hardening, HostSpec, Limits, Management,
    ModelName, MountOptions, OnChange, Options, PortBinding, ProbeSpec, PullPolicy, RestartMode, Settings,
    Subnet, UpdatePolicy,
};
use crate::tier::Capacity;

/// All of the file.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) settings: Settings,
    pub(super) host: HostSpec,
    pub(super) services: BTreeMap<String, ServiceDraft>,
    /// Some services could not be decoded as mappings at all: nothing is unknown for sure.
    pub(super) networks: BTreeMap<String, NetworkDraft>,
    pub(super) volumes: BTreeMap<String, VolumeDraft>,
    pub(super) configs: BTreeMap<String, ConfigDraft>,
    pub(super) models: BTreeMap<String, ModelDraft>,
    pub(super) gates: BTreeMap<String, GateDraft>,
    pub(super) active_profiles: Vec<Spanned<String>>,
    /// Lints that are allowed everywhere.
    pub(super) allowed: BTreeSet<String>,
    /// Sections whose names are not known, because the section could not be read.
    pub(super) unreadable: BTreeSet<&'static str>,
}

/// One service.
#[derive(Debug)]
pub(super) struct ServiceDraft {
    pub(super) place: Place,
    pub(super) image: Option<Spanned<String>>,
    pub(super) command: Option<Vec<String>>,
    /// There is one, and it could not be read.
    pub(super) has_broken_command: bool,
    pub(super) entrypoint: Option<Vec<String>>,
    pub(super) environment: BTreeMap<String, EnvValue>,
    pub(super) user: Option<String>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) stop_signal: Option<String>,
    pub(super) stop_grace: Duration,
    pub(super) ports: Vec<Spanned<PortBinding>>,
    pub(super) mounts: Vec<MountDraft>,
    pub(super) configs: Vec<GrantDraft>,
    /// `None`: could not be read, so that nothing follows from what it lacks.
    pub(super) networks: Option<Vec<AttachmentDraft>>,
    pub(super) depends_on: Vec<Edge>,
    pub(super) health: Health,
    pub(super) restart: Spanned<RestartMode>,
    pub(super) pull: Option<Spanned<PullPolicy>>,
    pub(super) container_name: Option<Spanned<String>>,
    pub(super) limits: Limits,
    pub(super) update: UpdatePolicy,
    pub(super) options: Options,
    pub(super) gpus: Vec<GpuRequest>,
    /// It is a unit of systemd, and no container.
    pub(super) unit: Option<UnitDraft>,
    /// Where its keys are written.
    pub(super) places: BTreeMap<&'static str, Place>,
    pub(super) profiles: Vec<Spanned<String>>,
    pub(super) allow_host_access: Vec<Spanned<String>>,
    /// Lints that are allowed for it.
    pub(super) allowed: BTreeSet<String>,
}

/// The unit of systemd that a service is.
#[derive(Debug)]
pub(super) struct UnitDraft {
    pub(super) unit: Spanned<String>,
    pub(super) management: Management,
    /// `options.hardening`.
    pub(super) hardening: Option<Spanned<Hardening>>,
    /// `options.on_calendar`.
    pub(super) on_calendar: Option<Spanned<String>>,
}

/// The value of a variable.
#[derive(Debug, Clone)]
pub(super) struct EnvValue {
    pub(super) value: String,
    pub(super) place: Place,
    /// It stands in a file of the platform just so, and did not come out of a variable or an env file.
    pub(super) is_literal: bool,
}

/// `healthcheck:`.
#[derive(Debug)]
pub(super) enum Health {
    /// Nothing is said: the image's own check counts.
    Unsaid,
    /// `disable: true` or `NONE`.
    Off(Place),
    /// `source: engine`, with what the engine is told, and a liveness probe of ours beside it.
    Engine(EngineCheck, Option<Box<ProbeSpec>>),
    Probes(Box<Probes>),
    /// Could not be read.
    Broken,
}

/// Probes of ours; at least one.
#[derive(Debug)]
pub(super) struct Probes {
    pub(super) startup: Option<ProbeSpec>,
    pub(super) readiness: Option<ProbeSpec>,
    pub(super) liveness: Option<ProbeSpec>,
}

/// One mount.
#[derive(Debug)]
pub(super) struct MountDraft {
    pub(super) place: Place,
    pub(super) target: String,
    pub(super) source: SourceDraft,
    pub(super) read_only: bool,
    pub(super) options: MountOptions,
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
    pub(super) link_local_ips: Vec<String>,
    pub(super) mac_address: Option<String>,
    pub(super) driver_opts: BTreeMap<String, String>,
    pub(super) gw_priority: i64,
    pub(super) priority: i64,
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
    pub(super) ipv4_off: bool,
    pub(super) attachable: bool,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) subnets: Vec<Spanned<Subnet>>,
    pub(super) ipam_driver: Option<String>,
    pub(super) ipam_options: BTreeMap<String, String>,
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

/// One entry of top-level `configs`.
#[derive(Debug)]
pub(super) struct ConfigDraft {
    pub(super) place: Place,
    /// `None`: could not be read, which has been said.
    pub(super) content: Option<Content>,
    pub(super) on_change: OnChange,
}

/// One entry of a service's `configs`.
#[derive(Debug)]
pub(super) struct GrantDraft {
    pub(super) place: Place,
    pub(super) source: String,
    pub(super) target: String,
    pub(super) mode: u32,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
}

/// One entry of top-level `models`.
#[derive(Debug)]
pub(super) struct ModelDraft {
    pub(super) place: Place,
    /// `None`: could not be read, which has been said; so for `runner`, unless none is written.
    pub(super) model: Option<Spanned<ModelName>>,
    pub(super) runner: Option<Spanned<String>>,
    pub(super) is_without_runner: bool,
    pub(super) profiles: Vec<Spanned<String>>,
}

/// One gate.
#[derive(Debug)]
pub(super) struct GateDraft {
    pub(super) members: Vec<Spanned<String>>,
}

impl Draft {
    /// What `lint.allow` says, everywhere.
    pub(super) fn allowed(&self) -> Allowed {
        let of_services = self.services.iter().map(|(name, service)| (name.clone(), service.allowed.clone()));
        Allowed { everywhere: self.allowed.clone(), of_services: of_services.collect() }
    }
}

impl Draft {
    /// Decides the tier, whose name is an active profile from here on.
    pub(super) fn take_tier(&mut self, capacity: Option<Capacity>, start: Place) {
        self.host.tier = self.host.tier_of(capacity);
        // As with COMPOSE_PROFILES: nowhere in this file, and no message points there.
        let nowhere = Place::new(Span { end: start.span.start, ..start.span });
        let profile = self.host.tier.as_ref().map(|tier| tier.name.clone());
        self.active_profiles.extend(profile.map(|value| Spanned { value, place: nowhere }));
    }
}

impl ServiceDraft {
    /// Whether one of its profiles is active, or it has none.
    pub(super) fn is_active(&self, active: &[Spanned<String>]) -> bool {
        is_active(&self.profiles, active)
    }
}

/// Whether one of `profiles` is active, or there is none.
pub(super) fn is_active(profiles: &[Spanned<String>], active: &[Spanned<String>]) -> bool {
    let is_on =
        |on: &Spanned<String>| on.value == "*" || profiles.iter().any(|profile| profile.value == on.value);
    profiles.is_empty() || active.iter().any(is_on)
}
