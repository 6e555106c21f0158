//! What the Docker adapter would report of the model: listings without detail, looks with.

use std::collections::BTreeMap;

use aiplat_core::{
    Kind, ResourceId, Timestamp,
    action::label,
    observed::{
        AsOf, ComposeOrigin, ContainerDetail, ContainerId, ContainerState, Endpoint, EngineHealth, Listing,
        Observed, ObservedContainer, ObservedImage, ObservedMount, ObservedNetwork, ObservedVolume,
        Ownership,
    },
    spec::InstanceId,
};
use aiplat_host::Target;

use super::engine::{Container, Engine, Network, State, Volume};

impl Engine {
    /// Three lists.
    #[must_use]
    pub fn listing(&self) -> Listing {
        Listing {
            as_of: self.moment(),
            containers: self.listed(),
            networks: self.networks.values().map(network).collect(),
            volumes: self.volumes.values().map(volume).collect(),
        }
    }

    /// A look at one resource.
    #[must_use]
    pub fn look(&self, target: &Target, instance: &InstanceId) -> Observed {
        let Target { id, host_name } = target;
        match id.kind {
            Kind::Container => {
                let mut containers = self.listed();
                self.add_details(&mut containers, id, instance);
                Observed::Containers(self.moment(), containers)
            }
            Kind::Network => Observed::Networks(
                self.moment(),
                self.networks.values().map(network).collect(),
                self.listed(),
            ),
            Kind::Volume => Observed::Volume(host_name.clone(), self.volumes.get(host_name).map(volume)),
            Kind::Image => {
                let image = self.images.get(host_name).map_or(ObservedImage::Absent, |image| {
                    ObservedImage::Present { id: image.id(host_name), has_healthcheck: image.healthcheck }
                });
                Observed::Image(host_name.clone(), image)
            }
            Kind::File => Observed::File(host_name.clone(), self.file(host_name)),
            // Those are the other port's.
            Kind::Unit | Kind::Model | Kind::Host => Observed::Units(Vec::new()),
        }
    }

    /// The youngest first, as the engine lists them.
    pub(crate) fn listed(&self) -> Vec<ObservedContainer> {
        let mut containers: Vec<&Container> = self.containers.values().collect();
        containers.sort_by_key(|container| std::cmp::Reverse(container.serial));
        containers.into_iter().map(|container| listed(container, self.moment())).collect()
    }

    /// Now, as an adapter counts it.
    pub(crate) fn moment(&self) -> AsOf {
        AsOf(u64::try_from(self.now.since(Timestamp::ZERO).as_nanos()).unwrap_or(u64::MAX))
    }

    /// Inspects the containers of `id`, which may have changed since they were listed; one that is gone is left out.
    pub(crate) fn add_details(
        &self,
        containers: &mut Vec<ObservedContainer>,
        id: &ResourceId,
        instance: &InstanceId,
    ) {
        let is_ours = |owner: &Ownership| owner.instance == *instance && owner.resource == *id;
        containers.retain_mut(|observed| {
            if !observed.owner.as_ref().is_some_and(is_ours) {
                return true;
            }
            let Some(container) = self.containers.get(&observed.id.0) else { return false };
            *observed = listed(container, self.moment());
            self.add_detail(container, observed);
            true
        });
    }

    /// What an inspect shows of `container` and a listing does not.
    pub(crate) fn add_detail(&self, container: &Container, observed: &mut ObservedContainer) {
        for (name, connection) in &container.networks {
            if let Some(endpoint) = observed.networks.get_mut(name) {
                endpoint.aliases = Some(connection.aliases.clone());
            }
        }
        let health = || if self.answers(container) { EngineHealth::Healthy } else { EngineHealth::Starting };
        observed.detail = Some(ContainerDetail {
            started_at: time(container.started),
            finished_at: time(container.finished),
            exit_code: container.exit_code,
            error: container.error.clone(),
            oom_killed: container.oom_killed,
            health: container.engine_health.then(health),
            limits: container.limits.clone(),
            joins: container.joins.clone(),
            engine_restarts: container.restart_always,
            tail: self.last_words(container),
        });
    }
}

impl Engine {
    /// What the log of an ended run ends with.
    fn last_words(&self, container: &Container) -> Vec<String> {
        let ended_badly = container.state == State::Exited && container.exit_code != 0;
        let says = self.app(container).ends.and_then(|ending| ending.says);
        says.filter(|_| ended_badly).into_iter().collect()
    }
}

/// The engine's text for a time; for one that never was, Go's zero.
fn time(at: Option<Timestamp>) -> String {
    match at {
        None => "0001-01-01T00:00:00Z".to_owned(),
        Some(at) => format!("2026-01-01T00:00:00Z+{}ns", at.since_boot().as_nanos()),
    }
}

fn listed(container: &Container, as_of: AsOf) -> ObservedContainer {
    let state = match container.state {
        State::Created => ContainerState::Created,
        State::Running => ContainerState::Running,
        State::Paused => ContainerState::Paused,
        State::Exited => ContainerState::Exited,
        State::Dead => ContainerState::Dead,
    };
    let networks = container.networks.iter().map(|(name, connection)| {
        let endpoint =
            Endpoint { network_id: connection.network_id.clone(), ip: connection.ip, aliases: None };
        (name.clone(), endpoint)
    });
    let mounts = container.mounts.iter().map(|mount| ObservedMount {
        volume: mount.volume.clone(),
        bind: mount.bind.clone(),
        target: mount.target.clone(),
        writable: mount.writable,
    });
    ObservedContainer {
        id: ContainerId(container.id.clone()),
        name: container.name.clone(),
        image: container.image.clone(),
        image_id: container.image_id.clone(),
        state,
        owner: ownership(&container.labels, Kind::Container),
        compose: compose(&container.labels),
        created: container.created,
        networks: networks.collect(),
        mounts: mounts.collect(),
        ports: container.ports.clone(),
        detail: None,
        as_of,
    }
}

fn network(network: &Network) -> ObservedNetwork {
    ObservedNetwork {
        id: network.id.clone(),
        name: network.name.clone(),
        owner: ownership(&network.labels, Kind::Network),
        compose: compose(&network.labels),
        driver: network.driver.clone(),
        internal: network.internal,
    }
}

fn volume(volume: &Volume) -> ObservedVolume {
    ObservedVolume {
        name: volume.name.clone(),
        owner: ownership(&volume.labels, Kind::Volume),
        compose: compose(&volume.labels),
        driver: volume.driver.clone(),
    }
}

/// What our labels say; `None` unless they are whole and of that kind.
#[must_use]
pub fn ownership(labels: &BTreeMap<String, String>, kind: Kind) -> Option<Ownership> {
    let instance = labels.get(label::INSTANCE).filter(|instance| !instance.is_empty())?;
    let resource: ResourceId = labels.get(label::RESOURCE)?.parse().ok()?;
    let depends_on = labels.get(label::DEPENDS_ON).map(String::as_str).unwrap_or_default();
    (resource.kind == kind).then(|| Ownership {
        instance: InstanceId(instance.clone()),
        resource,
        fingerprint: labels.get(label::FINGERPRINT).and_then(|text| text.parse().ok()),
        depends_on: depends_on.split(',').filter_map(|id| id.parse().ok()).collect(),
        gpus: labels.get(label::GPUS).and_then(|text| text.parse().ok()),
    })
}

fn compose(labels: &BTreeMap<String, String>) -> Option<ComposeOrigin> {
    let project = labels.get("com.docker.compose.project")?.clone();
    Some(ComposeOrigin { project, folder: labels.get("com.docker.compose.project.working_dir").cloned() })
}
