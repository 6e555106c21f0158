//! Names in the engine, each of which is one thing's alone; targets of mounts within one container.

use std::collections::BTreeMap;

use super::Scene;
use crate::load::{
    diagnostic::{Problem, Sink},
    draft::{Draft, ServiceDraft},
    tree::Place,
};

/// `<platform>-<service>`, or as the service says.
pub(in crate::load) fn container_name(draft: &Draft, name: &str, service: &ServiceDraft) -> String {
    service
        .container_name
        .as_ref()
        .map_or_else(|| format!("{}-{name}", draft.name), |name| name.value.clone())
}

/// `<platform>_<key>`, or as the network says.
pub(in crate::load) fn network_name(draft: &Draft, key: &str) -> String {
    let network = draft.networks.get(key);
    match network.and_then(|network| network.name.as_ref()) {
        Some(name) => name.value.clone(),
        // Compose's rule: what exists already is called as its key says.
        None if network.is_some_and(|network| network.external) => key.to_owned(),
        None => format!("{}_{key}", draft.name),
    }
}

/// `<platform>_<key>`, or as the volume says.
pub(in crate::load) fn volume_name(draft: &Draft, key: &str) -> String {
    let volume = draft.volumes.get(key);
    match volume.and_then(|volume| volume.name.as_ref()) {
        Some(name) => name.value.clone(),
        None if volume.is_some_and(|volume| volume.external) => key.to_owned(),
        None => format!("{}_{key}", draft.name),
    }
}

pub(super) fn check(scene: &Scene<'_>, sink: &mut Sink) {
    let draft = scene.draft;
    let containers =
        scene.active.iter().filter(|(_, service)| service.unit.is_none()).map(|(name, service)| {
            let place = service.container_name.as_ref().map_or(service.place, |name| name.place);
            (service.container_name.is_some(), *name, container_name(draft, name, service), place)
        });
    distinct("services", "container", containers, sink);
    let networks = draft.networks.iter().map(|(key, network)| {
        let place = network.name.as_ref().map_or(network.place, |name| name.place);
        (network.name.is_some(), key.as_str(), network_name(draft, key), place)
    });
    distinct("networks", "network", networks.clone(), sink);
    networks.for_each(|(written, _, name, place)| engine_network(written, &name, place, sink));
    let volumes = draft.volumes.iter().map(|(key, volume)| {
        let place = volume.name.as_ref().map_or(volume.place, |name| name.place);
        (volume.name.is_some(), key.as_str(), volume_name(draft, key), place)
    });
    distinct("volumes", "volume", volumes.clone(), sink);
    volumes
        .filter(|(written, ..)| *written)
        .for_each(|(_, _, name, place)| plain_name("volume", &name, place, sink));
    for (name, service) in &draft.services {
        targets(name, service, sink);
    }
}

fn distinct<'a>(
    what: &str,
    kind: &str,
    names: impl Iterator<Item = (bool, &'a str, String, Place)>,
    sink: &mut Sink,
) {
    // Names that were written come last: those are what to point at, and to change.
    let mut names: Vec<_> = names.collect();
    names.sort_by_key(|(written, ..)| *written);
    let mut taken: BTreeMap<String, (&str, Place)> = BTreeMap::new();
    for (_, key, name, place) in names {
        match taken.get(&name) {
            Some((other, earlier)) => {
                let (one, two) = (key.min(*other), key.max(*other));
                let message = format!("the {what} `{one}` and `{two}` would both be the {kind} `{name}`");
                sink.add(
                    Problem::error("name-taken", place, message)
                        .also(*earlier, format!("`{other}`"))
                        .help("give one of them another name"),
                );
            }
            None => drop(taken.insert(name, (key, place))),
        }
    }
}

/// The engine's own networks are no place for services: `host` gives up all isolation, and `bridge` knows no names.
fn engine_network(written: bool, name: &str, place: Place, sink: &mut Sink) {
    if matches!(name, "host" | "none" | "bridge" | "default") {
        let message = format!("the network `{name}` is the engine's own");
        sink.add(
            Problem::error("engine-network", place, message)
                .because("services find each other by name only on networks made for them; a service alone may have `network_mode`")
                .help("leave the `name` out, or choose another"),
        );
    } else if written {
        plain_name("network", name, place, sink);
    }
}

fn plain_name(kind: &str, name: &str, place: Place, sink: &mut Sink) {
    let first = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !first || !name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c)) {
        let message = format!("`{name}` cannot be the name of a {kind}");
        let help = "it starts with a letter or digit; letters, digits, `_`, `.` and `-` follow";
        sink.add(Problem::error("bad-name", place, message).help(help));
    }
}

fn targets(name: &str, service: &ServiceDraft, sink: &mut Sink) {
    let mut taken: BTreeMap<&str, Place> = BTreeMap::new();
    let mounts = service.mounts.iter().map(|mount| (mount.target.as_str(), mount.place));
    let configs = service.configs.iter().map(|grant| (grant.target.as_str(), grant.place));
    for (target, place) in mounts.chain(configs) {
        match taken.get(target) {
            Some(earlier) => sink.add(
                Problem::error("target-taken", place, format!("`{name}` mounts two things at {target}"))
                    .also(*earlier, "the first")
                    .help("give one of them another target"),
            ),
            None => drop(taken.insert(target, place)),
        }
    }
}
