//! What no single section can know: references, cycles, ports and names against each other, power over the host.

mod addresses;
mod graph;
mod host;
mod lint;
mod models;
mod names;
mod options;
mod own_units;
mod powers;
mod probes;
mod references;
mod units;

pub(super) use addresses::Cidr;
pub(super) use host::Ours;
pub(super) use names::{container_name, network_name, volume_name};

use std::{collections::BTreeMap, path::Path};

use super::{
    diagnostic::Sink,
    draft::{AttachmentDraft, Draft, ModelDraft, ServiceDraft, is_active},
};

/// The network of services that name none.
pub(super) const DEFAULT_NETWORK: &str = "default";

/// The draft with its profiles applied.
pub(super) struct Scene<'a> {
    pub(super) draft: &'a Draft,
    /// The services that are to run.
    pub(super) active: BTreeMap<&'a str, &'a ServiceDraft>,
    /// Our own folder: what we write for services lies in it.
    pub(super) state_dir: &'a Path,
}

impl<'a> Scene<'a> {
    pub(super) fn new(draft: &'a Draft, state_dir: &'a Path) -> Self {
        let active = draft.services.iter().filter(|(_, service)| service.is_active(&draft.active_profiles));
        Self { draft, active: active.map(|(name, service)| (name.as_str(), service)).collect(), state_dir }
    }

    /// The services that profiles leave out.
    pub(super) fn left_out(&self) -> Vec<String> {
        self.draft.services.keys().filter(|name| !self.active.contains_key(name.as_str())).cloned().collect()
    }

    /// Whether one of a model's profiles is active, or it has none.
    pub(super) fn is_active(&self, model: &ModelDraft) -> bool {
        is_active(&model.profiles, &self.draft.active_profiles)
    }

    /// Whether it is active, and so is the service that serves it.
    pub(super) fn is_served(&self, model: &ModelDraft) -> bool {
        let runner = model.runner.as_ref().map(|runner| runner.value.as_str());
        self.is_active(model) && runner.is_some_and(|runner| self.active.contains_key(runner))
    }

    /// Whether a section could be read, so that a name which is not in it is unknown for sure.
    fn knows(&self, section: &str) -> bool {
        !self.draft.unreadable.contains(section)
    }
}

/// The networks of a service; `None` where they could not be read.
pub(super) fn networks_of(service: &ServiceDraft) -> Option<Vec<(&str, Option<&AttachmentDraft>)>> {
    match service.networks.as_deref()? {
        [] => Some(vec![(DEFAULT_NETWORK, None)]),
        attachments => Some(attachments.iter().map(|one| (one.network.as_str(), Some(one))).collect()),
    }
}

/// Every semantic check, all at once.
pub(super) fn check(scene: &Scene<'_>, ours: &Ours<'_>, sink: &mut Sink) {
    references::check(scene, sink);
    graph::check(scene, sink);
    addresses::check(scene, sink);
    names::check(scene, sink);
    options::check(scene, sink);
    host::check(scene, ours, sink);
    probes::check(scene, sink);
    units::check(scene, sink);
    models::check(scene, sink);
    references::unused(scene, sink);
    // Advice comes once the file is valid: with errors about, it would stand in the way of what must be mended.
    if !sink.has_errors() {
        lint::check(scene, sink);
    }
}
