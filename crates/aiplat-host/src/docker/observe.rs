//! From the engine's answers to what core knows of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    str::FromStr,
};

use aiplat_core::{
    Kind, ResourceId,
    action::label,
    observed::{
        AsOf, ComposeOrigin, ContainerDetail, ContainerId, ContainerState, Endpoint, EngineHealth, Listing,
        Observed, ObservedContainer, ObservedImage, ObservedMount, ObservedNetwork, ObservedVolume,
        Ownership, PublishedPort,
    },
    spec::{InstanceId, Limits, Protocol},
};
use futures_util::StreamExt;

use super::{
    DockerBackend,
    calls::Endpoint as Api,
    client::{Call, CallError},
    create_body,
    wire::{
        ContainerInspect, ContainerSummary, EndpointSettings, HostConfig, ImageInspect, Labels, List,
        MountPoint, Network, Port, Volume, VolumeList,
    },
};
use crate::{
    lines::{EVIDENCE_LINES, printable},
    port::{HostError, LogOptions, Target},
};

impl DockerBackend {
    pub(super) async fn look_at(&self, target: &Target) -> Result<Observed, HostError> {
        let Target { id, host_name } = target;
        let observed = match id.kind {
            Kind::Container => {
                self.containers_with_detail_of(id).await.map(|(as_of, all)| Observed::Containers(as_of, all))
            }
            // All of them: one of an earlier name, and a second one of the same, are found by their labels.
            Kind::Network => {
                let as_of = self.memory.moment();
                futures_util::try_join!(self.list_networks(), self.list_containers())
                    .map(|(networks, containers)| Observed::Networks(as_of, networks, containers))
            }
            Kind::Volume => {
                self.volume_named(host_name).await.map(|volume| Observed::Volume(host_name.clone(), volume))
            }
            Kind::Image => {
                self.image_of(host_name).await.map(|image| Observed::Image(host_name.clone(), image))
            }
            Kind::File | Kind::Unit | Kind::Model | Kind::Host => {
                return Err(HostError::misdirected(format_args!("look at {id}"), "the engine"));
            }
        };
        observed.map_err(|error| self.error(&format!("look at {id}"), error))
    }

    pub(super) async fn list_everything(&self) -> Result<Listing, HostError> {
        let as_of = self.memory.moment();
        let lists =
            futures_util::try_join!(self.list_containers(), self.list_networks(), self.list_volumes());
        let (containers, networks, volumes) =
            lists.map_err(|error| self.error("list what the engine has", error))?;
        Ok(Listing { as_of, containers, networks, volumes })
    }

    pub(super) async fn list_containers(&self) -> Result<Vec<ObservedContainer>, CallError> {
        let as_of = self.memory.moment();
        let List(listed) =
            self.client.read::<List<_>>(Call::new(Api::ListContainers).query("all", "1")).await?;
        let listed = listed.into_iter().filter_map(|summary| container(summary, as_of));
        let containers: Vec<ObservedContainer> = listed.collect();
        self.memory.learn_containers(&containers, self.instance_id());
        Ok(containers)
    }

    pub(super) async fn list_networks(&self) -> Result<Vec<ObservedNetwork>, CallError> {
        let List(networks) = self.client.read::<List<_>>(Call::new(Api::ListNetworks)).await?;
        Ok(networks.into_iter().map(network).collect())
    }

    async fn list_volumes(&self) -> Result<Vec<ObservedVolume>, CallError> {
        let list: VolumeList = self.client.read(Call::new(Api::ListVolumes)).await?;
        Ok(list.volumes.into_iter().map(volume).collect())
    }

    pub(super) async fn add_details(&self, container: &mut ObservedContainer) -> Result<(), HostError> {
        let inspected = found(self.inspect_container(&container.id).await);
        let inspected =
            inspected.map_err(|error| self.error(&format!("inspect container {}", container.id), error))?;
        // Removed since the listing: the next one will say so.
        if let Some(inspect) = inspected {
            container.as_of = self.memory.moment();
            add_detail(container, &inspect);
            self.add_evidence(container).await;
        }
        Ok(())
    }

    async fn containers_with_detail_of(
        &self,
        id: &ResourceId,
    ) -> Result<(AsOf, Vec<ObservedContainer>), CallError> {
        let mut containers = Vec::new();
        let listed_at = self.memory.moment();
        for mut container in self.list_containers().await? {
            if is_of(&container, id, self.instance_id()) {
                match found(self.inspect_container(&container.id).await)? {
                    Some(inspect) => {
                        // After the answer: an inspect waits for a start or stop under way, and shows its end.
                        container.as_of = self.memory.moment();
                        add_detail(&mut container, &inspect);
                        self.add_evidence(&mut container).await;
                    }
                    // Removed between the listing and this look.
                    None => continue,
                }
            }
            containers.push(container);
        }
        Ok((listed_at, containers))
    }

    /// The last words of a run that ended badly. A log that cannot be read is no reason not to look at the rest.
    async fn add_evidence(&self, container: &mut ObservedContainer) {
        let ended = container.state == ContainerState::Exited;
        let Some(detail) = container.detail.as_mut().filter(|detail| ended && detail.exit_code != 0) else {
            return;
        };
        let begins = self.memory.log_begins(&container.id, &detail.started_at, &detail.finished_at);
        let options = LogOptions { tail: Some(EVIDENCE_LINES), ..LogOptions::default() };
        let Ok(mut lines) = self.read_log(&container.id, &options).await else { return };
        while let Some(Ok(line)) = lines.next().await {
            let text = printable(&line.text);
            // One container's log is that of all of its runs.
            if !text.is_empty() && !is_before(&line.timestamp, &begins) {
                detail.tail.push(text);
            }
        }
    }

    pub(super) async fn inspect_container(&self, id: &ContainerId) -> Result<ContainerInspect, CallError> {
        self.client.read(Call::new(Api::InspectContainer(&id.0))).await
    }

    /// The network of exactly this name; of several, ours. (The engine's filter finds parts of names, and an inspect
    /// finds ids as well.)
    pub(super) async fn network_named(&self, name: &str) -> Result<Option<ObservedNetwork>, CallError> {
        let call = Call::new(Api::ListNetworks).filters(&[("name", &[name])]);
        let List(networks) = self.client.read::<List<_>>(call).await?;
        let mut named: Vec<ObservedNetwork> =
            networks.into_iter().map(network).filter(|network| network.name == name).collect();
        named.sort_by_key(|network| !self.is_ours(network.owner.as_ref()));
        Ok(named.into_iter().next())
    }

    pub(super) async fn volume_named(&self, name: &str) -> Result<Option<ObservedVolume>, CallError> {
        let inspected = self.client.read(Call::new(Api::InspectVolume(name))).await;
        Ok(found(inspected)?.map(volume))
    }

    async fn image_of(&self, reference: &str) -> Result<ObservedImage, CallError> {
        let inspected = self.client.read::<ImageInspect>(Call::new(Api::InspectImage(reference))).await;
        let image = match found(inspected)? {
            None => ObservedImage::Absent,
            Some(image) => {
                let test = image.config.healthcheck.unwrap_or_default().test;
                let has_healthcheck = test.first().is_some_and(|first| first != "NONE");
                ObservedImage::Present { id: image.id, has_healthcheck }
            }
        };
        self.memory.learn_image(reference, &image);
        Ok(image)
    }

    pub(super) fn is_ours(&self, owner: Option<&Ownership>) -> bool {
        owner.is_some_and(|owner| owner.instance == *self.instance_id())
    }
}

/// `None` for a 404: it is not there, which is an answer.
pub(super) fn found<T>(result: Result<T, CallError>) -> Result<Option<T>, CallError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(CallError::Answered { status, .. }) if status.as_u16() == 404 => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_of(container: &ObservedContainer, id: &ResourceId, instance: &InstanceId) -> bool {
    container.owner.as_ref().is_some_and(|owner| owner.instance == *instance && owner.resource == *id)
}

fn container(summary: ContainerSummary, as_of: AsOf) -> Option<ObservedContainer> {
    let ContainerSummary {
        id,
        names,
        image,
        image_id,
        state,
        created,
        labels,
        network_settings,
        mounts,
        ports,
    } = summary;
    if id.is_empty() {
        tracing::warn!("The engine listed a container without an id.");
        return None;
    }
    // Links of other containers appear as further names, with a second slash.
    let name = names.iter().map(|name| name.trim_start_matches('/')).find(|name| !name.contains('/'));
    Some(ObservedContainer {
        name: name.unwrap_or_default().to_owned(),
        image,
        image_id,
        state: container_state(&state),
        owner: ownership(&labels, Kind::Container),
        compose: compose_origin(&labels),
        created,
        networks: endpoints(&network_settings.networks),
        mounts: mounts.into_iter().map(mount).collect(),
        ports: published(&ports),
        detail: None,
        as_of,
        id: ContainerId(id),
    })
}

fn container_state(word: &str) -> ContainerState {
    match word {
        "created" => ContainerState::Created,
        "running" => ContainerState::Running,
        "paused" => ContainerState::Paused,
        "restarting" => ContainerState::Restarting,
        "exited" => ContainerState::Exited,
        "dead" => ContainerState::Dead,
        "removing" => ContainerState::Removing,
        other => ContainerState::Other(other.to_owned()),
    }
}

/// What our labels say. Without a readable instance and resource of the right kind, an object is somebody else's.
pub(super) fn ownership(labels: &Labels, kind: Kind) -> Option<Ownership> {
    let instance = labels.get(label::INSTANCE).filter(|instance| !instance.is_empty())?;
    let resource: ResourceId = labels.get(label::RESOURCE)?.parse().ok()?;
    if resource.kind != kind {
        return None;
    }
    let fingerprint = labels.get(label::FINGERPRINT).and_then(|text| text.parse().ok());
    // A dependency of a kind that a newer aiplatd wrote is skipped: it only orders a removal.
    let depends_on = labels.get(label::DEPENDS_ON).map(String::as_str).unwrap_or_default();
    let depends_on = depends_on.split(',').filter_map(|id| id.trim().parse().ok()).collect();
    // What a newer aiplatd writes there is not understood, and so nothing is made anew for it.
    let gpus = labels.get(label::GPUS).and_then(|text| text.parse().ok());
    Some(Ownership { instance: InstanceId(instance.clone()), resource, fingerprint, depends_on, gpus })
}

pub(super) fn compose_origin(labels: &Labels) -> Option<ComposeOrigin> {
    let project = labels.get("com.docker.compose.project")?.clone();
    Some(ComposeOrigin { project, folder: labels.get("com.docker.compose.project.working_dir").cloned() })
}

/// Connections by network name. `none` is no network.
fn endpoints(networks: &BTreeMap<String, EndpointSettings>) -> BTreeMap<String, Endpoint> {
    let real = networks.iter().filter(|(name, _)| *name != create_body::NO_NETWORK);
    real.map(|(name, settings)| {
        let EndpointSettings { network_id, ip_address, global_ipv6_address, aliases: _ } = settings;
        let ip = ip_address.parse().or_else(|_| global_ipv6_address.parse()).ok();
        (name.clone(), Endpoint { network_id: network_id.clone(), ip, aliases: None })
    })
    .collect()
}

fn mount(mount: MountPoint) -> ObservedMount {
    let MountPoint { kind, name, source, destination, rw } = mount;
    ObservedMount {
        volume: (kind == "volume" && !name.is_empty()).then_some(name),
        bind: (kind == "bind").then_some(source),
        target: destination,
        writable: rw,
    }
}

fn published(ports: &[Port]) -> Vec<PublishedPort> {
    let mut published: Vec<PublishedPort> = ports
        .iter()
        .filter_map(|port| {
            let protocol = match port.kind.as_str() {
                "tcp" => Protocol::Tcp,
                "udp" => Protocol::Udp,
                _ => return None,
            };
            // Podman leaves the address out where it means all of them.
            let host_ip = if port.ip.is_empty() { "0.0.0.0" } else { &port.ip };
            let host_port = port.public_port.filter(|port| *port != 0)?;
            let host_ip = IpAddr::from_str(host_ip).ok()?;
            Some(PublishedPort { host_ip, host_port, container_port: port.private_port, protocol })
        })
        .collect();
    published.sort_by_key(|port| (port.host_ip, port.host_port, port.protocol));
    published
}

/// Whether `stamp` is of a moment before `start`; both as Go prints them: RFC 3339 in UTC, the fraction without the zeros
/// at its end, so that text does not sort as time.
fn is_before(stamp: &str, start: &str) -> bool {
    let parts = |text: &str| {
        let (seconds, fraction) =
            text.trim_end_matches('Z').split_once('.').unwrap_or((text.trim_end_matches('Z'), ""));
        (seconds.to_owned(), format!("{fraction:0<9}"))
    };
    !stamp.is_empty() && parts(stamp) < parts(start)
}

fn add_detail(container: &mut ObservedContainer, inspect: &ContainerInspect) {
    let ContainerInspect { id: _, hosts_path: _, name: _, state, config: _, host_config, network_settings } =
        inspect;
    // The inspect is younger than the listing.
    if !state.status.is_empty() {
        container.state = container_state(&state.status);
    }
    container.networks = endpoints(&network_settings.networks);
    // Engines before 25 add the container's own short id to its aliases.
    let short = container.id.short();
    for (name, endpoint) in &mut container.networks {
        let aliases = network_settings.networks.get(name).map(|settings| settings.aliases.iter());
        endpoint.aliases = aliases.map(|aliases| aliases.filter(|alias| *alias != short).cloned().collect());
    }
    container.detail = Some(ContainerDetail {
        started_at: state.started_at.clone(),
        finished_at: state.finished_at.clone(),
        exit_code: state.exit_code,
        error: state.error.clone(),
        oom_killed: state.oom_killed,
        health: state.health.as_ref().and_then(|health| engine_health(&health.status)),
        limits: limits(host_config),
        joins: joins(host_config),
        engine_restarts: host_config.restart_policy.is_set(),
        tail: Vec::new(),
    });
}

fn engine_health(word: &str) -> Option<EngineHealth> {
    match word {
        "starting" => Some(EngineHealth::Starting),
        "healthy" => Some(EngineHealth::Healthy),
        "unhealthy" => Some(EngineHealth::Unhealthy),
        _ => None,
    }
}

/// Limits in force; those that `create_body` wrote to lift a limit read as none.
pub(super) fn limits(config: &HostConfig) -> Limits {
    let HostConfig {
        memory,
        nano_cpus,
        pids_limit,
        memory_reservation,
        memory_swap,
        cpu_shares,
        cpuset_cpus,
        network_mode: _,
        pid_mode: _,
        ipc_mode: _,
        restart_policy: _,
        port_bindings: _,
    } = config;
    let bytes = |limit: i64| if limit >= create_body::MEMORY_LIFTED { 0 } else { limit.max(0) };
    let memory = bytes(*memory);
    Limits {
        memory,
        // As much as there is at most is no reservation, and how one is lifted: the engine takes no more.
        memory_reservation: Some(bytes(*memory_reservation)).filter(|kept| *kept != memory).unwrap_or(0),
        memory_swap: match *memory_swap {
            // Nothing is counted, or as the engine has it by itself.
            _ if memory == 0 => 0,
            swap if swap == memory.saturating_mul(2) => 0,
            swap if swap >= create_body::MEMORY_LIFTED => -1,
            swap => swap,
        },
        nano_cpus: if create_body::is_cpu_lifted(*nano_cpus) { 0 } else { (*nano_cpus).max(0) },
        cpu_shares: if *cpu_shares == create_body::CPU_SHARES_LIFTED { 0 } else { (*cpu_shares).max(0) },
        cpuset: if create_body::is_cpuset_lifted(cpuset_cpus) { String::new() } else { cpuset_cpus.clone() },
        pids: (*pids_limit).max(0),
    }
}

/// The containers whose namespaces it has joined.
fn joins(config: &HostConfig) -> BTreeSet<ContainerId> {
    let modes = [&config.network_mode, &config.pid_mode, &config.ipc_mode];
    modes
        .into_iter()
        .filter_map(|mode| Some(ContainerId(mode.strip_prefix("container:")?.to_owned())))
        .collect()
}

pub(super) fn network(network: Network) -> ObservedNetwork {
    let Network { id, name, driver, internal, labels } = network;
    let owner = ownership(&labels, Kind::Network);
    ObservedNetwork { id, name, owner, compose: compose_origin(&labels), driver, internal }
}

pub(super) fn volume(volume: Volume) -> ObservedVolume {
    let Volume { name, driver, labels } = volume;
    ObservedVolume { name, owner: ownership(&labels, Kind::Volume), compose: compose_origin(&labels), driver }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn broken_labels_make_an_object_foreign() {
        let ours = [(label::INSTANCE, "i"), (label::RESOURCE, "container/web")];
        assert!(ownership(&labels(&ours), Kind::Container).is_some());
        assert_eq!(ownership(&labels(&ours), Kind::Network), None, "of another kind");
        assert_eq!(ownership(&labels(&ours[..1]), Kind::Container), None, "half of them");
        let unreadable = [(label::INSTANCE, "i"), (label::RESOURCE, "web")];
        assert_eq!(ownership(&labels(&unreadable), Kind::Container), None, "not kind/name");
        let empty = [(label::INSTANCE, ""), (label::RESOURCE, "container/web")];
        assert_eq!(ownership(&labels(&empty), Kind::Container), None, "no instance");
    }

    #[test]
    fn dependencies_are_read_and_unknown_ones_skipped() {
        let labels = labels(&[
            (label::INSTANCE, "i"),
            (label::RESOURCE, "container/web"),
            (label::DEPENDS_ON, "container/db,pod/ollama, container/cache"),
        ]);
        let owner = ownership(&labels, Kind::Container).expect("ours");
        assert_eq!(owner.depends_on, [ResourceId::container("db"), ResourceId::container("cache")]);
    }

    #[test]
    fn a_port_without_an_address_is_on_all_of_them() {
        let port = |ip: &str, public_port, kind: &str| Port {
            ip: ip.to_owned(),
            public_port,
            private_port: 8_080,
            kind: kind.to_owned(),
        };
        let ports = [
            port("", Some(80), "tcp"),
            port("::", Some(80), "tcp"),
            port("", None, "tcp"),
            port("1.2.3.4", Some(53), "udp"),
            port("", Some(9), "sctp"),
        ];
        let seen: Vec<String> = published(&ports)
            .iter()
            .map(|port| {
                format!("{} {}->{}/{}", port.host_ip, port.host_port, port.container_port, port.protocol)
            })
            .collect();
        assert_eq!(seen, ["0.0.0.0 80->8080/tcp", "1.2.3.4 53->8080/udp", ":: 80->8080/tcp"]);
    }

    #[test]
    fn an_unknown_state_is_kept_as_a_word_and_may_be_alive() {
        assert_eq!(container_state("stopping"), ContainerState::Other("stopping".to_owned()));
        assert!(container_state("stopping").is_alive());
    }

    #[test]
    fn lifted_limits_read_as_none() {
        let config = |memory, nano_cpus, pids_limit| HostConfig {
            memory,
            nano_cpus,
            pids_limit,
            ..HostConfig::default()
        };
        assert_eq!(limits(&config(create_body::MEMORY_LIFTED, 3_999_999_999, -1)), Limits::default());
        let (memory, nano_cpus, pids) = (64 << 20, 2_000_000_000, 10);
        let expected = Limits { memory, nano_cpus, pids, ..Limits::default() };
        assert_eq!(limits(&config(memory, nano_cpus, pids)), expected);
    }
}
