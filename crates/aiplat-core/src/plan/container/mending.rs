//! What can be changed of a container without ending its process: its networks, its limits.

use super::Look;
use crate::{
    action::Action,
    condition::Status,
    observed::{Endpoint, ObservedContainer},
    plan::{Cause, Members, Step, network},
    spec::{Attachment, Namespace},
};

impl Look<'_> {
    /// What can be changed of a container without ending its process.
    pub(super) fn mend(&self, current: &ObservedContainer) -> Option<Step> {
        self.connect(current).or_else(|| self.limit(current))
    }

    /// A network is made anew, or removed, only when no container, running or not, names it.
    pub(super) fn leave_networks(&self) -> Option<Step> {
        let Members { current, candidate, previous, .. } = &self.members;
        [current, candidate, previous].into_iter().flatten().find_map(|member| {
            let mut connections = member.networks.iter();
            let (network, _) =
                connections.find(|(name, end)| network::must_be_left(self.world, name, end))?;
            let action = Action::Disconnect { id: member.id.clone(), network: network.clone() };
            Some(Step::act(action, Cause::NetworkReplaced { network: network.clone() }))
        })
    }

    /// Connections are as in the file, on a container that runs or not.
    pub(super) fn connect(&self, container: &ObservedContainer) -> Option<Step> {
        let id = || container.id.clone();
        let wanted = &self.wanted_networks(container);
        for (network_id, attachment) in wanted {
            let network = attachment.host_name.clone();
            match container.networks.get(&network) {
                // A network that is not there yet, or about to be made anew, is waited for by the gates of the start.
                None if network::readiness(self.world, network_id).status != Status::True => {}
                None => {
                    let action = Action::Connect { id: id(), attachment: attachment.clone() };
                    let cause = self.naming(container, &network);
                    return Some(Step::act(action, cause.unwrap_or(Cause::NotConnected { network })));
                }
                Some(endpoint) if !self.is_as_wanted(attachment, endpoint) => {
                    // By name: the id may be that of a network that has been made anew since.
                    let action = Action::Disconnect { id: id(), network: network.clone() };
                    let cause = self.naming(container, &network);
                    return Some(Step::act(action, cause.unwrap_or(Cause::ConnectedWrongly { network })));
                }
                Some(_) => {}
            }
        }
        let extra = container.networks.iter().find(|(name, _)| {
            !matches!(name.as_str(), "none" | "host")
                && (name.as_str() != "bridge" || *self.mode() != Namespace::Bridge)
                && !wanted.values().any(|wanted| wanted.host_name == **name)
        });
        extra.map(|(name, _)| {
            let action = Action::Disconnect { id: id(), network: name.clone() };
            Step::act(action, Cause::NotInNetworks { network: name.clone() })
        })
    }

    fn mode(&self) -> &Namespace {
        &self.spec.runtime.options.identity.network_mode
    }

    fn is_as_wanted(&self, wanted: &Attachment, endpoint: &Endpoint) -> bool {
        let network = network::named(self.world, &wanted.host_name);
        let same_network =
            network.is_none_or(|network| endpoint.network_id.is_empty() || network.id == endpoint.network_id);
        let named = endpoint
            .aliases
            .as_ref()
            .is_none_or(|has| wanted.aliases.iter().all(|alias| has.contains(alias)));
        same_network && named
    }

    fn limit(&self, container: &ObservedContainer) -> Option<Step> {
        let limits = self.spec.live.limits.clone();
        let detail = container.detail.as_ref()?;
        let cause = if !limits.are_met_by(&detail.limits) {
            Cause::LimitsDiffer
        } else if detail.engine_restarts {
            Cause::EngineRestarts
        } else {
            return None;
        };
        Some(Step::act(Action::UpdateLimits { id: container.id.clone(), limits }, cause))
    }
}
