//! `depends_on`: names, conditions that can come true, no cycles.

use std::collections::{BTreeMap, BTreeSet};

use super::{DEFAULT_NETWORK, Scene, networks_of};
use crate::{
    load::{
        decode::did_you_mean,
        diagnostic::{Problem, Sink},
        draft::{Edge, Health, ServiceDraft, SourceDraft},
    },
    spec::{DependencyCondition, RestartMode},
};

pub(super) fn check(scene: &Scene<'_>, sink: &mut Sink) {
    for (name, service) in &scene.draft.services {
        for edge in &service.depends_on {
            if !scene.draft.services.contains_key(&edge.to) {
                unknown(scene, name, edge, sink);
            }
        }
    }
    for (name, service) in &scene.active {
        for edge in &service.depends_on {
            match scene.active.get(edge.to.as_str()) {
                Some(_) if edge.to == *name => {} // A cycle, and said as one.
                Some(to) => {
                    condition(name, edge, to, sink);
                    reachable(scene, name, service, edge, to, sink);
                }
                None => left_out(scene, name, edge, sink),
            }
        }
    }
    cycles(scene, sink);
}

fn unknown(scene: &Scene<'_>, name: &str, edge: &Edge, sink: &mut Sink) {
    if !scene.knows("services") {
        return;
    }
    let message = format!("`{name}` depends on `{}`, which is not a service of this file", edge.to);
    let problem = Problem::error("unknown-service", edge.place, message);
    sink.add(match did_you_mean(&edge.to, scene.draft.services.keys().filter(|other| *other != name)) {
        Some(near) => problem.label(near),
        None => problem.help("name a service of this file, or remove the line"),
    });
}

fn left_out(scene: &Scene<'_>, name: &str, edge: &Edge, sink: &mut Sink) {
    let Some(to) = scene.draft.services.get(&edge.to) else { return };
    if !edge.required {
        return;
    }
    let profile = to.profiles.first().map_or("", |profile| &profile.value);
    let message = format!("`{name}` depends on `{}`, which its profiles leave out", edge.to);
    let problem = Problem::error("dependency-left-out", edge.place, message).help(format!(
        "switch it on with `active_profiles: [{profile}]`, or write `required: false` for this dependency"
    ));
    sink.add(match to.profiles.first() {
        Some(profile) => problem.also(profile.place, format!("`{}` has this profile", edge.to)),
        None => problem,
    });
}

fn condition(name: &str, edge: &Edge, to: &ServiceDraft, sink: &mut Sink) {
    let other = &edge.to;
    match (edge.condition, &to.health, to.restart.value) {
        (DependencyCondition::Healthy, Health::Off(off), _) => sink.add(
            Problem::error(
                "never-healthy",
                edge.place,
                format!("`{name}` waits for `{other}` to be healthy, but its health check is switched off"),
            )
            .also(*off, "switched off here")
            .help(format!("give `{other}` a `healthcheck`, or write `condition: service_started`")),
        ),
        (DependencyCondition::Healthy, Health::Probes(probes), _)
            if probes.readiness.is_none() && probes.startup.is_none() =>
        {
            sink.add(
                Problem::warning(
                    "health-unknown",
                    edge.place,
                    format!("`{name}` waits for `{other}` to be healthy, but `{other}` has a `liveness` probe only"),
                )
                .because("`liveness` restarts a service; without another probe, running counts as healthy")
                .help(format!("say in the `healthcheck` of `{other}` how it is found out that it is ready")),
            );
        }
        // A unit brings no check of its own; active is healthy, and nothing else was meant.
        (DependencyCondition::Healthy, Health::Unsaid, _) if to.unit.is_some() => {}
        (DependencyCondition::Healthy, Health::Unsaid, _) => sink.add(
            Problem::warning(
                "health-unknown",
                edge.place,
                format!("`{name}` waits for `{other}` to be healthy, but `{other}` has no `healthcheck`"),
            )
            .because("its image may bring one; if it does not, running counts as healthy")
            .of(name)
            .help(format!("give `{other}` a `healthcheck`, as in `healthcheck: {{tcp: {{port: 5432}}}}`")),
        ),
        (DependencyCondition::CompletedSuccessfully, _, RestartMode::Always) => sink.add(
            Problem::error(
                "never-completed",
                edge.place,
                format!("`{name}` waits for `{other}` to end, but it is restarted whenever it does"),
            )
            .also(to.restart.place, "restarted because of this")
            .help(format!("write `restart: on-failure` for `{other}`, or `condition: service_started`")),
        ),
        (
            DependencyCondition::Healthy
            | DependencyCondition::Started
            | DependencyCondition::CompletedSuccessfully,
            Health::Off(_) | Health::Unsaid | Health::Engine(..) | Health::Probes(_) | Health::Broken,
            RestartMode::Always | RestartMode::Default | RestartMode::No | RestartMode::OnFailure(_),
        ) => {}
    }
}

/// Waiting for a service that cannot be reached is a slip, unless the two meet on a volume or one of them ends.
fn reachable(
    scene: &Scene<'_>,
    name: &str,
    service: &ServiceDraft,
    edge: &Edge,
    to: &ServiceDraft,
    sink: &mut Sink,
) {
    let (Some(here), Some(there)) = (networks_of(service), networks_of(to)) else { return };
    let declared = |name: &str| name == DEFAULT_NETWORK || scene.draft.networks.contains_key(name);
    if !here.iter().chain(&there).all(|(network, _)| declared(network)) {
        return; // Said already; which network was meant decides the rest.
    }
    let shares_network = here.iter().any(|(network, _)| there.iter().any(|(other, _)| network == other));
    let volume = |source: &SourceDraft| match source {
        SourceDraft::Volume(name) => Some(name.clone()),
        SourceDraft::Bind { path, .. } => Some(path.clone()),
        SourceDraft::Anonymous | SourceDraft::Tmpfs { .. } => None,
    };
    let volumes: BTreeSet<String> = service.mounts.iter().filter_map(|mount| volume(&mount.source)).collect();
    let shares_volume =
        to.mounts.iter().filter_map(|mount| volume(&mount.source)).any(|one| volumes.contains(&one));
    if shares_network || shares_volume || edge.condition == DependencyCondition::CompletedSuccessfully {
        return;
    }
    let names = |networks: &[(&str, _)]| {
        super::super::text::list(&networks.iter().map(|(network, _)| *network).collect::<Vec<_>>())
    };
    let network = there.first().map_or("", |(network, _)| network);
    let message = format!("`{name}` depends on `{}`, but the two share no network", edge.to);
    let problem = if edge.required {
        Problem::error("no-shared-network", edge.place, message)
    } else {
        Problem::warning("no-shared-network", edge.place, message).of(name)
    };
    sink.add(
        problem
            .because(format!("`{name}` is on {}, `{}` on {}", names(&here), edge.to, names(&there)))
            .help(format!("add `{network}` to the `networks` of `{name}`, or remove the dependency")),
    );
}

/// Walks depth first without recursion: a chain may be as long as the file has services.
fn cycles(scene: &Scene<'_>, sink: &mut Sink) {
    let mut done: BTreeSet<&str> = BTreeSet::new();
    for root in scene.active.keys().copied() {
        let mut path: Vec<(&str, usize)> = vec![(root, 0)];
        let mut on_path: BTreeMap<&str, usize> = BTreeMap::from([(root, 0)]);
        while let Some((name, next)) = path.last_mut() {
            let name = *name;
            let edge = scene.active.get(name).and_then(|service| service.depends_on.get(*next));
            *next += 1;
            match edge {
                _ if done.contains(name) => drop(path.pop()),
                Some(edge) if !scene.active.contains_key(edge.to.as_str()) => {}
                Some(edge) => match on_path.get(edge.to.as_str()) {
                    Some(start) if *start < path.len() && path[*start].0 == edge.to => {
                        report(scene, &path[*start..], sink);
                    }
                    _ => {
                        on_path.insert(&edge.to, path.len());
                        path.push((&edge.to, 0));
                    }
                },
                None => {
                    done.insert(name);
                    on_path.remove(name);
                    path.pop();
                }
            }
        }
    }
}

fn report(scene: &Scene<'_>, path: &[(&str, usize)], sink: &mut Sink) {
    // The edge in use of each is the one before the next to look at.
    let edges = path.iter().filter_map(|(name, next)| {
        let edge = scene.active.get(name)?.depends_on.get(next.checked_sub(1)?)?;
        Some((*name, edge))
    });
    let edges: Vec<(&str, &Edge)> = edges.collect();
    let Some((first, edge)) = edges.first() else { return };
    let names: Vec<&str> = edges.iter().map(|(name, _)| *name).chain([*first]).collect();
    let message = match edges.len() {
        1 => format!("`{first}` depends on itself"),
        _ => format!("the services wait for each other in a circle: {}", names.join(" -> ")),
    };
    let mut problem = Problem::error("dependency-cycle", edge.place, message);
    if edges.len() > 1 {
        problem = problem.label(format!("`{first}` waits for `{}`", edge.to));
    }
    for (name, edge) in edges.iter().skip(1).take(8) {
        problem = problem.also(edge.place, format!("`{name}` waits for `{}`", edge.to));
    }
    sink.add(problem.help("remove one of the dependencies: none of these services could ever start first"));
}
