//! Names that must be those of something in the file.

use std::collections::{BTreeMap, BTreeSet};

use super::{DEFAULT_NETWORK, Scene, networks_of};
use crate::{
    Kind,
    load::{
        decode::did_you_mean,
        diagnostic::{Problem, Sink},
        draft::{ServiceDraft, SourceDraft},
        tree::{Place, Spanned},
    },
    spec::PullPolicy,
};

pub(super) fn check(scene: &Scene<'_>, sink: &mut Sink) {
    // Also of services that are left out: a name that is wrong today is wrong when the profile is switched on.
    for (name, service) in &scene.draft.services {
        networks(scene, name, service, sink);
        volumes(scene, name, service, sink);
        configs(scene, name, service, sink);
    }
    for (name, gate) in &scene.draft.gates {
        for member in &gate.members {
            gate_member(scene, name, member, sink);
        }
    }
    profiles(scene, sink);
    pull_policies(scene, sink);
}

fn networks(scene: &Scene<'_>, name: &str, service: &ServiceDraft, sink: &mut Sink) {
    let known = &scene.draft.networks;
    for (network, attachment) in networks_of(service).unwrap_or_default() {
        let Some(attachment) = attachment else { continue };
        if network != DEFAULT_NETWORK && scene.knows("networks") && !known.contains_key(network) {
            let message = format!("`{name}` is on the network `{network}`, which the file does not declare");
            let problem = Problem::error("unknown-network", attachment.place, message);
            sink.add(with_nearest(problem, network, known.keys(), || {
                format!("declare it at the top level of the file: `networks: {{{network}: {{}}}}`")
            }));
        }
    }
}

fn volumes(scene: &Scene<'_>, name: &str, service: &ServiceDraft, sink: &mut Sink) {
    let known = &scene.draft.volumes;
    for mount in &service.mounts {
        let SourceDraft::Volume(volume) = &mount.source else { continue };
        if scene.knows("volumes") && !known.contains_key(volume) {
            let message = format!("`{name}` mounts the volume `{volume}`, which the file does not declare");
            let problem = Problem::error("unknown-volume", mount.place, message);
            sink.add(with_nearest(problem, volume, known.keys(), || {
                format!("declare it at the top level of the file: `volumes: {{{volume}: {{}}}}`; for a folder of the host write `./{volume}`")
            }));
        }
    }
}

fn configs(scene: &Scene<'_>, name: &str, service: &ServiceDraft, sink: &mut Sink) {
    let known = &scene.draft.configs;
    for grant in &service.configs {
        let config = &grant.source;
        if scene.knows("configs") && !known.contains_key(config) {
            let message = format!("`{name}` mounts the config `{config}`, which the file does not declare");
            let problem = Problem::error("unknown-config", grant.place, message);
            sink.add(with_nearest(problem, config, known.keys(), || {
                format!(
                    "declare it at the top level of the file: `configs: {{{config}: {{file: ./{config}}}}}`"
                )
            }));
        }
    }
}

fn with_nearest<'k>(
    problem: Problem,
    name: &str,
    known: impl IntoIterator<Item = &'k String>,
    otherwise: impl FnOnce() -> String,
) -> Problem {
    match did_you_mean(name, known) {
        Some(near) => problem.label(near),
        None => problem.help(otherwise()),
    }
}

/// A member is a service, or `kind/name`.
fn gate_member(scene: &Scene<'_>, gate: &str, member: &Spanned<String>, sink: &mut Sink) {
    let Spanned { value, place } = member;
    let (kind, key) = value.split_once('/').unwrap_or(("container", value));
    let kind = if kind == "unit" { "container" } else { kind };
    let Some(kind) = Kind::ALL.into_iter().find(|known| known.as_str() == kind) else {
        return sink.add(unknown_kind(kind, *place));
    };
    let draft = scene.draft;
    let unknown = |what: &str| {
        Problem::error(
            "unknown-member",
            *place,
            format!("the gate `{gate}` waits for the {what} `{key}`, which is not in the file"),
        )
    };
    match kind {
        Kind::Container if draft.services.contains_key(key) && !scene.active.contains_key(key) => {
            sink.add(Problem::warning(
                "member-left-out",
                *place,
                format!("the gate `{gate}` does not wait for `{key}`: its profiles leave it out"),
            ))
        }
        Kind::Container if scene.knows("services") && !draft.services.contains_key(key) => {
            sink.add(with_nearest(unknown("service"), key, draft.services.keys(), || {
                "name a service of this file".to_owned()
            }));
        }
        Kind::Network
            if scene.knows("networks") && key != DEFAULT_NETWORK && !draft.networks.contains_key(key) =>
        {
            sink.add(with_nearest(unknown("network"), key, draft.networks.keys(), || {
                "name a network of this file".to_owned()
            }));
        }
        Kind::Volume if scene.knows("volumes") && !draft.volumes.contains_key(key) => {
            sink.add(with_nearest(unknown("volume"), key, draft.volumes.keys(), || {
                "name a volume of this file".to_owned()
            }));
        }
        Kind::Image
            if !draft
                .services
                .values()
                .any(|it| it.image.as_ref().is_some_and(|image| image.value == key)) =>
        {
            sink.add(unknown("image").help("write it just as the service does"));
        }
        Kind::Model if draft.models.get(key).is_some_and(|model| !scene.is_served(model)) => {
            let message =
                format!("the gate `{gate}` does not wait for the model `{key}`: profiles leave it out");
            sink.add(Problem::warning("member-left-out", *place, message));
        }
        Kind::Model if scene.knows("models") && !draft.models.contains_key(key) => {
            sink.add(with_nearest(unknown("model"), key, draft.models.keys(), || {
                "name an entry of `models:`".to_owned()
            }));
        }
        Kind::Host | Kind::File => sink.add(unknown_kind(kind.as_str(), *place)),
        Kind::Container | Kind::Unit | Kind::Network | Kind::Volume | Kind::Image | Kind::Model => {}
    }
}

fn unknown_kind(kind: &str, place: Place) -> Problem {
    const LATER: [&str; 6] = ["task", "gpu", "host", "secret", "directory", "file"];
    if LATER.contains(&kind) {
        Problem::error("not-supported", place, format!("`{kind}/...` is not supported by this version"))
            .help("take it out of the gate")
    } else {
        Problem::error("unknown-member", place, format!("`{kind}` is not a kind of resource")).help(
            "write the name of a service, or `container/x`, `unit/x`, `network/x`, `volume/x`, `image/x`, `model/x`",
        )
    }
}

fn profiles(scene: &Scene<'_>, sink: &mut Sink) {
    let known: BTreeSet<&String> = scene
        .draft
        .services
        .values()
        .flat_map(|service| &service.profiles)
        .chain(scene.draft.models.values().flat_map(|model| &model.profiles))
        .map(|profile| &profile.value)
        .collect();
    for Spanned { value, place } in &scene.draft.active_profiles {
        let is_here = place.span.start < place.span.end;
        if is_here && scene.knows("services") && value != "*" && !known.contains(value) {
            let nobody = if scene.draft.models.is_empty() { "no service" } else { "no service and no model" };
            let message = format!("{nobody} has the profile `{value}`");
            let problem = Problem::warning("unknown-profile", *place, message);
            sink.add(with_nearest(problem, value, known.iter().copied(), || "remove it".to_owned()));
        }
    }
}

/// One image has one policy.
fn pull_policies(scene: &Scene<'_>, sink: &mut Sink) {
    let mut first: BTreeMap<&str, (&str, &Spanned<PullPolicy>)> = BTreeMap::new();
    for (name, service) in &scene.active {
        let (Some(image), Some(pull)) = (&service.image, &service.pull) else { continue };
        let (other, earlier) = *first.entry(&image.value).or_insert((name, pull));
        if earlier.value != pull.value
            && (earlier.value == PullPolicy::Never || pull.value == PullPolicy::Never)
        {
            let message = format!(
                "`{other}` and `{name}` do not agree on whether `{}` may be pulled; it may",
                image.value
            );
            sink.add(
                Problem::warning("pull-policy-conflict", pull.place, message)
                    .of(name)
                    .also(earlier.place, format!("of `{other}`"))
                    .help("write the same `pull_policy` for both"),
            );
        }
    }
}

/// What is declared and not used.
pub(super) fn unused(scene: &Scene<'_>, sink: &mut Sink) {
    let draft = scene.draft;
    let services = draft.services.values();
    // With errors about, some use may just not have been understood.
    if sink.has_errors() {
        return;
    }
    let networks: BTreeSet<&str> = services
        .clone()
        .flat_map(|service| networks_of(service).unwrap_or_default())
        .map(|(name, _)| name)
        .collect();
    for (name, network) in &draft.networks {
        if !networks.contains(name.as_str()) && name != DEFAULT_NETWORK {
            let message = format!("no service is on the network `{name}`: it is not made");
            sink.add(
                Problem::warning("unused-network", network.place, message)
                    .help("remove it, or name it in a service"),
            );
        }
    }
    let configs: BTreeSet<&str> =
        services.clone().flat_map(|it| &it.configs).map(|grant| grant.source.as_str()).collect();
    for (name, config) in &draft.configs {
        if !configs.contains(name.as_str()) {
            let message = format!("no service mounts the config `{name}`: it is not written");
            let problem = Problem::warning("unused-config", config.place, message);
            sink.add(problem.help("remove it, or name it in the `configs` of a service"));
        }
    }
    let volumes: BTreeSet<&str> = services
        .flat_map(|service| &service.mounts)
        .filter_map(|mount| match &mount.source {
            SourceDraft::Volume(name) => Some(name.as_str()),
            SourceDraft::Bind { .. } | SourceDraft::Anonymous | SourceDraft::Tmpfs { .. } => None,
        })
        .collect();
    for (name, volume) in &draft.volumes {
        if !volumes.contains(name.as_str()) {
            let message = format!("no service mounts the volume `{name}`: it is not made");
            sink.add(Problem::warning("unused-volume", volume.place, message).help("remove it, or mount it"));
        }
    }
}
