//! The server of a model: where it is asked, what it last said, and where it keeps what it pulls.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use crate::{
    ResourceId,
    action::FreeRoom,
    condition::Status,
    observed::{ASKED_AT, ContainerState, ModelAnswer, ModelEndpoint, ServerPlace},
    plan::{Members, World, incarnation, instances::is_ollama, readiness, room::engine_root, unit},
    spec::{ContainerSpec, MountSource, ProbeKind, Role, ServiceSpec, UnitSpec, Via},
    watch,
};

/// Where Ollama listens unless it is told otherwise.
const PORT: u16 = 11434;

/// What the present run of `runner` last said; `None`: it was not asked yet.
pub(super) fn answer<'a>(world: &World<'a>, runner: &ResourceId) -> Option<&'a ModelAnswer> {
    let server = world.observed.model_servers.get(runner)?;
    (server.run == incarnation(world, runner)).then_some(&server.answer)
}

/// The services that serve models: those that the file says so of, and every other Ollama, which may have some of an earlier file.
#[must_use]
pub fn servers<'a>(world: &World<'a>) -> BTreeSet<&'a ResourceId> {
    let runners = world.desired.models.values().map(|spec| &spec.runner);
    let others = world.desired.services().map(|(id, _)| id).filter(|id| is_ollama(world, id));
    runners.chain(others).collect()
}

/// Whether `runner` is ready, and was not asked since it runs.
#[must_use]
pub fn is_unasked(world: &World<'_>, runner: &ResourceId) -> bool {
    answer(world, runner).is_none() && readiness(world, runner).status == Status::True
}

/// Where the server of `runner` is asked; `None`: it does not run.
#[must_use]
pub fn endpoint(world: &World<'_>, runner: &ResourceId) -> Option<ModelEndpoint> {
    let spec = world.desired.service(runner)?;
    let set = environment(world, runner).remove("OLLAMA_HOST");
    let (host, port) = set.map(|set| listens_at(&set)).unwrap_or_default();
    let port = port.or_else(|| probed_port(spec)).unwrap_or(PORT);
    let place = match spec {
        ServiceSpec::Container(spec) => in_container(world, runner, spec)?,
        ServiceSpec::Unit(_) => {
            incarnation(world, runner)?;
            // One that listens on every address answers at the loopback one.
            ServerPlace::Host(host.filter(|host| !host.is_unspecified()).unwrap_or(ASKED_AT))
        }
    };
    Some(ModelEndpoint { service: runner.key().to_owned(), place, port })
}

fn in_container(world: &World<'_>, runner: &ResourceId, spec: &ContainerSpec) -> Option<ServerPlace> {
    let current =
        Members::of(world, runner, spec).current.filter(|it| it.state == ContainerState::Running)?;
    let is_inside = spec.policy.probe_for(Role::Readiness).is_some_and(|probe| probe.via == Via::Namespace);
    let networks = spec.live.networks.values().map(|network| network.host_name.as_str());
    let address = if is_inside { None } else { watch::address(current, networks) };
    Some(ServerPlace::Container { id: current.id.clone(), address })
}

/// What its process is started with, as far as that is known.
fn environment(world: &World<'_>, runner: &ResourceId) -> BTreeMap<String, String> {
    match world.desired.service(runner) {
        Some(ServiceSpec::Container(spec)) => spec.runtime.environment.clone(),
        Some(ServiceSpec::Unit(spec)) => unit_environment(world, spec),
        None => BTreeMap::new(),
    }
}

fn unit_environment(world: &World<'_>, spec: &UnitSpec) -> BTreeMap<String, String> {
    let seen = world.observed.units.get(&spec.unit);
    let mut set = seen.map(|seen| seen.environment.clone()).unwrap_or_default();
    set.extend(spec.environment.clone());
    // What the process has is what counts.
    set.extend(seen.and_then(|seen| seen.effective.clone()).unwrap_or_default());
    set
}

/// The address and the port that `OLLAMA_HOST` names, each where it does.
fn listens_at(set: &str) -> (Option<IpAddr>, Option<u16>) {
    let (scheme, rest) = set.trim().split_once("://").unwrap_or(("", set.trim()));
    let bare = rest.split('/').next().unwrap_or_default();
    let of_scheme = match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    if let Ok(ip) = bare.trim_matches(['[', ']']).parse::<IpAddr>() {
        return (Some(ip), of_scheme);
    }
    let (host, port) = bare.rsplit_once(':').unwrap_or((bare, ""));
    (host.trim_matches(['[', ']']).parse().ok(), port.parse().ok().or(of_scheme))
}

fn probed_port(spec: ServiceSpec<'_>) -> Option<u16> {
    [Role::Readiness, Role::Startup, Role::Liveness].into_iter().find_map(|role| {
        let probe = spec.probe_for(role)?;
        match &probe.kind {
            ProbeKind::Http(_) | ProbeKind::Tcp { .. } => probe.kind.port(),
            ProbeKind::Exec { .. } | ProbeKind::Redis(_) | ProbeKind::Postgres(_) => None,
        }
    })
}

/// The folder of the host below which the server of `runner` keeps its models; `None`: it cannot be told.
#[must_use]
pub fn folder(world: &World<'_>, runner: &ResourceId) -> Option<String> {
    match world.desired.service(runner)? {
        ServiceSpec::Container(spec) => of_container(world, spec),
        ServiceSpec::Unit(spec) => unit::models_folder(world, spec),
    }
}

fn of_container(world: &World<'_>, spec: &ContainerSpec) -> Option<String> {
    let environment = &spec.runtime.environment;
    let home = environment.get("HOME").map_or("/root", String::as_str);
    let inside = match environment.get("OLLAMA_MODELS").filter(|path| path.starts_with('/')) {
        Some(path) => path.clone(),
        None => format!("{}/.ollama/models", home.trim_end_matches('/')),
    };
    let covers = |target: &str| {
        let target = target.trim_end_matches('/');
        inside.strip_prefix(target).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let mounts = spec.runtime.mounts.iter().filter(|mount| covers(&mount.target));
    match mounts.max_by_key(|mount| mount.target.len()).map(|mount| &mount.source) {
        Some(MountSource::Bind { path, .. }) => Some(path.clone()),
        // A driver, or an option of it, may keep the data elsewhere.
        Some(MountSource::Volume { volume, .. }) => {
            let volume = world.desired.volumes.get(volume)?;
            let is_plain = volume.driver.as_deref().is_none_or(|driver| driver == "local")
                && volume.driver_opts.is_empty();
            engine_root(world).filter(|_| is_plain).map(str::to_owned)
        }
        Some(MountSource::Anonymous) | None => engine_root(world).map(str::to_owned),
        Some(MountSource::Tmpfs { .. } | MountSource::File { .. }) => None,
    }
}

/// The folder, and what is free on the file system that it is on; `None`: not known.
pub(super) fn room(world: &World<'_>, runner: &ResourceId) -> Option<(String, FreeRoom)> {
    let folder = folder(world, runner)?;
    let (mount, file_system) = world.observed.machine.file_system_of(&folder)?;
    let free = file_system.room.filter(|room| room.total > 0)?.free;
    let on = format!("{mount} ({} on {})", file_system.kind, file_system.source);
    Some((folder, FreeRoom { free, on }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ollama_host_may_name_address_port_or_both() {
        let ip = |text: &str| text.parse::<IpAddr>().ok();
        for (set, host, port) in [
            ("0.0.0.0", ip("0.0.0.0"), None),
            ("0.0.0.0:11500", ip("0.0.0.0"), Some(11500)),
            (":11500", None, Some(11500)),
            ("http://10.0.0.2:1/", ip("10.0.0.2"), Some(1)),
            ("http://0.0.0.0", ip("0.0.0.0"), Some(80)),
            ("[::1]:5", ip("::1"), Some(5)),
            ("::1", ip("::1"), None),
            ("ollama.lan:5", None, Some(5)),
            ("", None, None),
        ] {
            assert_eq!(listens_at(set), (host, port), "{set}");
        }
    }
}
