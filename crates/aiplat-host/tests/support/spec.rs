//! Builders of what core asks for.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use aiplat_core::{
    ResourceId,
    action::{CreateContainer, OwnLabels},
    fingerprint,
    spec::{
        Attachment, ContainerLive, ContainerPolicy, ContainerRuntime, ContainerSpec, InstanceId, NetworkSpec,
        PortBinding, Protocol, RestartMode, UpdatePolicy, VolumeSpec,
    },
};

pub fn labels(instance: &InstanceId, resource: ResourceId) -> OwnLabels {
    OwnLabels { instance: instance.clone(), resource, fingerprint: None, depends_on: Vec::new(), gpus: None }
}

/// A container of `service` under `name`.
pub fn create(
    instance: &InstanceId,
    service: &str,
    name: &str,
    runtime: ContainerRuntime,
) -> CreateContainer {
    let fingerprint = Some(fingerprint::of(&runtime));
    let policy = ContainerPolicy {
        on_change: BTreeMap::new(),
        restart: RestartMode::Default,
        dependencies: BTreeMap::new(),
        probe: None,
        startup: None,
        liveness: None,
        stop_grace: Duration::from_secs(1),
        update: UpdatePolicy::default(),
        gpus: Vec::new(),
    };
    let spec = ContainerSpec {
        service: service.to_owned(),
        host_name: name.to_owned(),
        runtime,
        live: ContainerLive::default(),
        policy,
    };
    CreateContainer {
        name: name.to_owned(),
        labels: OwnLabels { fingerprint, ..labels(instance, ResourceId::container(service)) },
        spec: Arc::new(spec),
        network: None,
        inherit: Vec::new(),
        joins: BTreeMap::new(),
        gpus: None,
    }
}

pub fn attachment(network: &str, aliases: &[&str]) -> Attachment {
    let aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
    Attachment { host_name: network.to_owned(), aliases, ..Attachment::default() }
}

pub fn network(name: &str) -> NetworkSpec {
    NetworkSpec {
        host_name: name.to_owned(),
        external: false,
        driver: None,
        driver_opts: BTreeMap::new(),
        internal: false,
        enable_ipv6: false,
        ipv4_off: false,
        attachable: false,
        labels: BTreeMap::new(),
        subnets: Vec::new(),
        ipam_driver: None,
        ipam_options: BTreeMap::new(),
    }
}

pub fn volume(name: &str) -> VolumeSpec {
    VolumeSpec {
        host_name: name.to_owned(),
        external: false,
        driver: None,
        driver_opts: BTreeMap::new(),
        labels: BTreeMap::new(),
    }
}

/// `127.0.0.1:<host_port>` to port 80 inside.
pub fn port(host_port: u16) -> PortBinding {
    let host_ip = std::net::Ipv4Addr::LOCALHOST.into();
    PortBinding { host_ip, host_port: Some(host_port), container_port: 80, protocol: Protocol::Tcp }
}
