//! Gates that another container closes, or a process: it writes to our volume, or holds our port.

use std::net::IpAddr;

use super::{Gate, in_folder};
use crate::{
    ResourceId,
    observed::{
        ContainerId, HeldPort, Holder, Listener, ObservedContainer, Owner, Ownership, PublishedPort, who,
    },
    plan::World,
    spec::{ContainerSpec, MountSource, PortBinding, Protocol},
};

/// What listens for the engine on a port that a container publishes.
const ENGINE_LISTENERS: [&str; 2] = ["docker-proxy", "rootlesskit"];

/// Two writers on one volume destroy it. Services of one file share by choice; a foreign container, or one of
/// ours that the file no longer has (a service that was renamed), does not.
pub(in crate::plan) fn volumes_in_use(world: &World<'_>, id: &ResourceId, spec: &ContainerSpec) -> Vec<Gate> {
    let mut gates = Vec::new();
    for mount in spec.runtime.mounts.iter().filter(|mount| !mount.read_only) {
        let (what, volume, bind) = match &mount.source {
            MountSource::Volume { host_name, .. } => (format!("volume `{host_name}`"), Some(host_name), None),
            MountSource::Bind { path, .. } => (format!("host path `{path}`"), None, Some(path)),
            MountSource::File { .. } | MountSource::Anonymous | MountSource::Tmpfs { .. } => continue,
        };
        let writes = |container: &&ObservedContainer| {
            container.state.is_alive()
                && container.mounts.iter().any(|other| {
                    other.writable
                        && ((volume.is_some() && other.volume.as_ref() == volume)
                            || (bind.is_some() && other.bind.as_ref() == bind))
                })
        };
        if let Some(holder) = outsiders(world, id).find(writes) {
            gates.push(Gate::VolumeInUse {
                message: format!(
                    "{what} is open for writing in {}: stop that first (`docker stop {}`)",
                    describe(world, holder),
                    holder.name
                ),
            });
        }
    }
    gates
}

pub(in crate::plan) fn ports_taken(world: &World<'_>, id: &ResourceId, spec: &ContainerSpec) -> Vec<Gate> {
    let mut gates = Vec::new();
    let is_leaving = |holder: &ObservedContainer| {
        let ours = holder.owner.as_ref().filter(|_| holder.is_owned_by(&world.desired.instance));
        ours.is_some_and(|owner| !world.desired.wants(&owner.resource))
    };
    for binding in &spec.runtime.ports {
        let holds = |container: &&ObservedContainer| {
            container.state.is_alive() && container.ports.iter().any(|port| overlaps(binding, port))
        };
        let others = world.observed.owned.iter().filter(|(other, _)| *other != id).flat_map(|(_, set)| set);
        if let Some(holder) = world.observed.foreign.iter().chain(others).find(holds) {
            gates.push(Gate::PortTaken {
                message: format!(
                    "host port {binding} is held by {}: {}",
                    describe(world, holder),
                    if is_leaving(holder) {
                        "it is no longer in the file, and the port is free once it is removed"
                    } else {
                        "stop that, or publish another port"
                    }
                ),
            });
        } else if let Some(HeldPort { by, container, .. }) = held_by_process(world, id, binding) {
            let of = container.as_ref().map(|id| format!(" of {}", named(world, id))).unwrap_or_default();
            let message =
                format!("host port {binding} is held by {by}{of}: stop that, or publish another port");
            gates.push(Gate::PortTaken { message });
        }
    }
    gates
}

/// The host ports that the service `id` is about to take: whether a process holds one has to be looked at first.
#[must_use]
pub fn ports_in_doubt(world: &World<'_>, id: &ResourceId) -> Vec<(u16, Protocol)> {
    let Some(spec) = world.desired.containers.get(id) else { return Vec::new() };
    let has = |binding: &PortBinding| {
        let mut members = world.observed.owned.get(id).into_iter().flatten();
        members.any(|it| it.state.is_alive() && it.ports.iter().any(|port| overlaps(binding, port)))
    };
    let wanted = spec.runtime.ports.iter().filter(|binding| !has(binding));
    wanted.filter_map(|binding| Some((binding.host_port?, binding.protocol))).collect()
}

/// The container that publishes the TCP port `port` at `address` of the host.
fn publisher(world: &World<'_>, address: IpAddr, port: u16) -> Option<String> {
    let publishes = |container: &&ObservedContainer| {
        let mut ports = container.ports.iter();
        container.state.is_alive()
            && ports.any(|it| {
                it.host_port == port
                    && (it.host_ip.is_unspecified() || it.host_ip == address)
                    && it.protocol == Protocol::Tcp
            })
    };
    let all = world.observed.foreign.iter().chain(world.observed.owned.values().flatten());
    all.into_iter().find(publishes).map(|container| describe(world, container))
}

/// Who has a socket of the host, with the container by its name: one that publishes the port, for which the engine listens, or
/// one on the host's own network.
pub(in crate::plan) fn holder(world: &World<'_>, listener: &Listener, port: u16) -> String {
    match &listener.holder {
        Holder::Process { pid, name, owner: Owner::Container(id) } => {
            format!("{} (process {pid}, `{name}`)", named(world, id))
        }
        Holder::Process { name, .. } if ENGINE_LISTENERS.contains(&name.as_str()) => {
            publisher(world, listener.address, port).unwrap_or_else(|| who(listener))
        }
        Holder::Process { owner: Owner::Unit(_) | Owner::Nothing, .. } | Holder::Unknown => who(listener),
    }
}

/// The container of that id by its name, and whose it is; one that no listing has shown by its id.
fn named(world: &World<'_>, id: &ContainerId) -> String {
    let mut all = world.observed.foreign.iter().chain(world.observed.owned.values().flatten());
    let found = all.find(|container| container.id == *id);
    found.map_or_else(|| format!("container {id}"), |container| describe(world, container))
}

/// The process that keeps `id` from taking the port; not one of its own containers on the host's network, which makes way.
fn held_by_process<'a>(world: &World<'a>, id: &ResourceId, binding: &PortBinding) -> Option<&'a HeldPort> {
    let own = world.observed.owned.get(id).map(Vec::as_slice).unwrap_or_default();
    world.observed.held_ports.get(id)?.iter().find(|held| {
        let HeldPort { port, protocol, address, by: _, container } = held;
        let held =
            PublishedPort { host_ip: *address, host_port: *port, container_port: *port, protocol: *protocol };
        let is_own = container.as_ref().is_some_and(|container| own.iter().any(|it| it.id == *container));
        overlaps(binding, &held) && !is_own
    })
}

/// Whether somebody else's container holds one of the ports.
pub(in crate::plan) fn is_port_foreign(world: &World<'_>, spec: &ContainerSpec) -> bool {
    let holds = |container: &ObservedContainer| {
        let mut ports = container.ports.iter();
        container.state.is_alive()
            && ports.any(|port| spec.runtime.ports.iter().any(|own| overlaps(own, port)))
    };
    world.observed.foreign.iter().any(holds)
}

pub(in crate::plan) fn overlaps(binding: &PortBinding, port: &PublishedPort) -> bool {
    binding.host_port == Some(port.host_port)
        && binding.protocol == port.protocol
        && binding.host_ip.is_ipv4() == port.host_ip.is_ipv4()
        && (binding.host_ip == port.host_ip
            || binding.host_ip.is_unspecified()
            || port.host_ip.is_unspecified())
}

/// Containers that are not of the services in the file: foreign ones, and ours that are to be removed.
fn outsiders<'a>(world: &World<'a>, id: &'a ResourceId) -> impl Iterator<Item = &'a ObservedContainer> {
    let desired = world.desired;
    let leaving = world.observed.owned.iter().filter(move |(other, _)| *other != id && !desired.wants(other));
    world.observed.foreign.iter().chain(leaving.flat_map(|(_, set)| set))
}

/// Which container, and whose.
pub(in crate::plan) fn describe(world: &World<'_>, container: &ObservedContainer) -> String {
    match (&container.compose, &container.owner) {
        (Some(origin), _) => {
            format!(
                "container `{}` of Docker Compose's project `{}`{}",
                container.name,
                origin.project,
                in_folder(origin)
            )
        }
        (None, Some(owner)) if owner.instance != world.desired.instance => {
            format!("container `{}` of {}", container.name, another_platform(container, owner))
        }
        (None, Some(owner)) => format!("container `{}` ({})", container.name, owner.resource),
        (None, None) => format!("container `{}`, which is not ours", container.name),
    }
}

/// The platform of another aiplatd on this machine. Its name is the beginning of its containers' names, unless the file
/// there names them itself.
fn another_platform(container: &ObservedContainer, owner: &Ownership) -> String {
    let of_service = container.name.strip_suffix(owner.resource.key());
    match of_service.and_then(|name| name.strip_suffix('-')).filter(|name| !name.is_empty()) {
        Some(platform) => format!("another aiplatd's platform `{platform}` ({})", owner.resource),
        None => format!("another aiplatd, instance {} ({})", owner.instance, owner.resource),
    }
}
