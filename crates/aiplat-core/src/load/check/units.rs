//! Services that are units of systemd: what a unit can be told, and what it cannot.

use std::collections::BTreeMap;

use super::{Scene, own_units};
use crate::{
    load::{
        diagnostic::{Problem, Sink},
        draft::{Health, ServiceDraft, UnitDraft},
        tree::Place,
    },
    spec::{DependencyCondition, Management, ProbeKind, ProbeSpec, RestartMode, Via, WantedGpus},
};

/// The keys of a service that mean something for a unit.
const KEYS: [&str; 10] = [
    "provider",
    "management",
    "environment",
    "env_file",
    "depends_on",
    "healthcheck",
    "gpus",
    "restart",
    "profiles",
    "lint",
];

/// What runs under everything else.
const FOUNDATIONS: [&str; 5] =
    ["docker.service", "containerd.service", "dbus.service", "dbus-broker.service", "NetworkManager.service"];

pub(super) fn check(scene: &Scene<'_>, sink: &mut Sink) {
    let mut taken: BTreeMap<&str, (&str, Place)> = BTreeMap::new();
    for (name, service) in &scene.active {
        let Some(unit) = &service.unit else { continue };
        keys(name, &unit.unit.value, service, sink);
        foundations(name, unit, sink);
        probes(name, service, sink);
        if service.command.is_none() {
            restart(name, service, sink);
        }
        own_units::check(name, service, unit, sink);
        gpus(name, service, sink);
        if unit.management == Management::Observe && !service.environment.is_empty() {
            let place = service.places.get("environment").or(service.places.get("env_file"));
            sink.add(
                Problem::error(
                    "not-for-a-unit",
                    place.copied().unwrap_or(service.place),
                    format!("`{name}` is only observed: its environment is not aiplatd's to set"),
                )
                .help("remove it, or write `management: configure`"),
            );
        }
        match taken.get(unit.unit.value.as_str()) {
            Some((other, place)) => {
                let message =
                    format!("the services `{other}` and `{name}` are both the unit `{}`", unit.unit.value);
                sink.add(
                    Problem::error("name-taken", unit.unit.place, message)
                        .also(*place, format!("`{other}`"))
                        .help("keep one of them"),
                );
            }
            None => drop(taken.insert(&unit.unit.value, (name, unit.unit.place))),
        }
    }
    for (name, service) in &scene.active {
        edges(scene, name, service, sink);
    }
}

/// What aiplatd itself stands on is not aiplatd's to stop and start.
fn foundations(name: &str, unit: &UnitDraft, sink: &mut Sink) {
    let (unit_name, place) = (unit.unit.value.as_str(), unit.unit.place);
    // Parts of systemd itself hold the journal, devices, sessions and networks together.
    let is_engine = FOUNDATIONS.contains(&unit_name) || unit_name.starts_with("systemd-");
    if unit_name == "aiplatd.service" {
        let message = format!("`{name}` is aiplatd itself, which would stop and restart itself");
        sink.add(
            Problem::error("not-for-a-unit", place, message).help("remove it: systemd watches over aiplatd"),
        );
    } else if is_engine && unit.management != Management::Observe {
        let message = format!("`{name}` is {unit_name}, on which everything else here stands");
        let problem = Problem::error("not-for-a-unit", place, message);
        sink.add(problem.help("write `management: observe`, which only looks at it"));
    }
}

/// A unit is given no devices: whoever may open them does.
fn gpus(name: &str, service: &ServiceDraft, sink: &mut Sink) {
    let Some(place) = service.places.get("gpus") else { return };
    if service.gpus.iter().any(|request| request.wanted != WantedGpus::All) {
        let message = format!("`{name}` is a unit, which sees every GPU of the machine");
        sink.add(Problem::error("not-for-a-unit", *place, message).help(
            "write `count: all`; which of them it uses is a setting of its own, as in `environment: {CUDA_VISIBLE_DEVICES: GPU-…}`",
        ));
    }
}

fn keys(name: &str, unit: &str, service: &ServiceDraft, sink: &mut Sink) {
    // One whose `command` could not be read is ours, too; what is wrong with that has been said.
    let is_ours = service.command.is_some() || service.has_broken_command;
    let has_meaning = |key: &str| KEYS.contains(&key) || (is_ours && own_units::KEYS.contains(&key));
    for (key, place) in service.places.iter().filter(|(key, _)| !has_meaning(key)) {
        let help = match *key {
            "image" => "one service is either a container or a unit: remove `image`, or `provider`",
            "ports" => {
                "a unit listens on the host itself: say where in its `environment`, or in its own file"
            }
            "networks" | "network_mode" => {
                "a unit is on the host's network; containers that depend on it find it by its service name"
            }
            "configs" => "a unit reads files of the host: write the file where its program looks for it",
            "volumes" => "a unit sees the host's folders: name them in its `environment`",
            "command" => "write what it runs, as in `command: [/usr/local/bin/agent]`, or remove it",
            "entrypoint" if is_ours => "write the whole command line as `command`",
            "entrypoint" | "user" | "working_dir" => {
                "its own file says what it runs: `systemctl edit --full` changes that; with `command` aiplatd writes that file"
            }
            "stop_grace_period" | "stop_signal" => {
                "its own file says how it stops, as `TimeoutStopSec=` and `KillSignal=`"
            }
            _ => "remove it",
        };
        let message = format!("`{key}` has no meaning for `{name}`, which is the systemd unit `{unit}`");
        sink.add(Problem::error("not-for-a-unit", *place, message).help(help));
    }
}

/// There is no container to run a check in, and no engine to leave it to.
fn probes(name: &str, service: &ServiceDraft, sink: &mut Sink) {
    let place = service.places.get("healthcheck").copied().unwrap_or(service.place);
    let refuse = |sink: &mut Sink, what: &str| {
        let message = format!("the `healthcheck` of `{name}` {what}, and `{name}` is a systemd unit");
        sink.add(
            Problem::error("not-for-a-unit", place, message)
                .help("ask it over the network, as in `healthcheck: {http: {port: 11434, path: /}}`"),
        );
    };
    match &service.health {
        Health::Engine(..) => refuse(sink, "is left to the engine"),
        Health::Probes(probes) => {
            let all = [&probes.startup, &probes.readiness, &probes.liveness];
            let runs = |probe: &ProbeSpec| matches!(probe.kind, ProbeKind::Exec { .. });
            if all.iter().any(|probe| probe.as_ref().is_some_and(runs)) {
                refuse(sink, "runs a program in a container");
            } else if all.iter().any(|probe| probe.as_ref().is_some_and(|probe| probe.via == Via::Namespace))
            {
                refuse(sink, "asks inside a container's network");
            }
        }
        Health::Unsaid | Health::Off(_) | Health::Broken => {}
    }
}

/// systemd counts its own restarts.
fn restart(name: &str, service: &ServiceDraft, sink: &mut Sink) {
    if let RestartMode::OnFailure(_) = service.restart.value {
        let message = format!("`restart: on-failure` says nothing to the unit of `{name}`");
        sink.add(
            Problem::error("not-for-a-unit", service.restart.place, message)
                .because("what follows each end is in the unit's file, as `Restart=`; aiplatd follows once systemd has given up")
                .help("write `always` or `no`, or leave it out"),
        );
    }
}

fn edges(scene: &Scene<'_>, name: &str, service: &ServiceDraft, sink: &mut Sink) {
    for edge in &service.depends_on {
        let unit = scene.active.get(edge.to.as_str()).and_then(|to| to.unit.as_ref());
        if unit.is_some() && edge.condition == DependencyCondition::CompletedSuccessfully {
            let message =
                format!("`{name}` waits for the unit `{}` to end, which units are not here for", edge.to);
            sink.add(
                Problem::error("never-completed", edge.place, message)
                    .help("write `condition: service_healthy` or `service_started`"),
            );
        }
        let joins = service.options.joins().any(|(_, on)| on.key() == edge.to);
        if unit.is_some() && joins {
            let message = format!("`{name}` joins the namespace of `{}`, which is a systemd unit", edge.to);
            sink.add(
                Problem::error("not-for-a-unit", edge.place, message)
                    .help("a unit is in the host's own: write `network_mode: host`"),
            );
        }
    }
}
