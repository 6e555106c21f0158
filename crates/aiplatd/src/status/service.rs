//! Services, as a status document shows them.

use aiplat_api::v1::{CheckDetail, ServiceDetail, ServiceStatus};
use aiplat_core::{
    ResourceId,
    condition::{ConditionType, Word},
    ledger::{Record, Restart},
    observed::{ObservedContainer, ProbeFacts, PublishedPort},
    plan::{self, Gate, Members, Requeue, Step, Verdict, World},
    spec::{ContainerSpec, DependencyCondition, MountSource, PortBinding, ProbeSpec, Role, ServiceSpec},
    status,
    time::human,
};

use super::{models, units, with_times};
use crate::{events::rfc3339, state::State};

/// All services of the file, and those that have left it while they were suspended, by name.
pub(super) fn all(state: &State, world: &World<'_>) -> Vec<ServiceStatus> {
    let mut all: Vec<ServiceStatus> =
        world.desired.services().map(|(id, spec)| service(state, world, id, spec)).collect();
    let is_kept =
        |id: &&ResourceId| !world.desired.wants(id) && world.ledger.suspension(id, world.now).is_some();
    all.extend(world.observed.owned.keys().filter(is_kept).map(|id| left(state, world, id)));
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all
}

/// One that the file no longer has: suspended, it stays as it is, and what the file said of it is not known any more.
fn left(state: &State, world: &World<'_>, id: &ResourceId) -> ServiceStatus {
    let step = plan::plan(world, id);
    let summary = status::summary(world, id, &step);
    let record = state.ledger.get(id);
    let containers = world.observed.owned.get(id).map(Vec::as_slice).unwrap_or_default();
    let current = containers.iter().find(|member| member.state.is_alive()).or(containers.first());
    ServiceStatus {
        name: id.key().to_owned(),
        desired: false,
        kind: "ctr".to_owned(),
        status: summary.word,
        since: record.and_then(|record| since(record, summary.word, &step)).map(rfc3339),
        restarts: record.map_or(0, |record| record.restarts.total),
        endpoint: String::new(),
        message: format!("no longer in the file; {}", summary.message),
        why: status::why(world, id).into_iter().map(|link| link.sentence).collect(),
        conditions: with_times(state, world.desired, id, &step),
        detail: ServiceDetail {
            image: current.map(|current| current.image.clone()).unwrap_or_default(),
            container: current.map(|current| current.name.clone()).unwrap_or_default(),
            container_id: current.map(|current| current.id.short().to_owned()),
            run: current.and_then(ObservedContainer::incarnation).map(|run| run.0),
            state: current.map(|current| format!("{:?}", current.state).to_lowercase()),
            next: next(&step),
            ..ServiceDetail::default()
        },
    }
}

fn service(state: &State, world: &World<'_>, id: &ResourceId, spec: ServiceSpec<'_>) -> ServiceStatus {
    let step = plan::plan(world, id);
    let summary = status::summary(world, id, &step);
    let why = if matches!(summary.word, Word::Ready | Word::Completed) {
        Vec::new()
    } else {
        status::why(world, id).into_iter().map(|link| link.sentence).collect()
    };
    let record = state.ledger.get(id);
    let since = record.and_then(|record| since(record, summary.word, &step));
    let (kind, endpoint, detail) = match spec {
        ServiceSpec::Container(spec) => {
            let ports = ports(spec, &Members::of(world, id, spec));
            let endpoints: Vec<String> = ports.iter().map(ToString::to_string).collect();
            ("ctr", endpoints.join(","), detail(state, world, id, spec, &step))
        }
        ServiceSpec::Unit(spec) => {
            ("unit", units::endpoint(spec), units::detail(state, world, id, spec, &step))
        }
    };
    let restarts = record.map_or(0, |record| record.restarts.total);
    ServiceStatus {
        name: spec.name().to_owned(),
        desired: true,
        kind: kind.to_owned(),
        status: summary.word,
        since: since.map(rfc3339),
        restarts: restarts.saturating_add(units::restarts(world, id)),
        endpoint,
        message: summary.message,
        why,
        conditions: with_times(state, world.desired, id, &step),
        detail,
    }
}

/// Since when the word is what it is.
fn since(record: &Record, word: Word, step: &Step) -> Option<i64> {
    let changed = |kind| record.transitions.get(&kind).map(|transition| transition.wall_ms);
    let started = changed(ConditionType::Started).or_else(|| changed(ConditionType::Active));
    let (ready, orders) = (changed(ConditionType::Ready), &record.orders);
    match word {
        // What is Ready and yet not well is so since the last thing around it went wrong.
        Word::Degraded => {
            let around = step.conditions.iter().filter(|it| !it.is_normal());
            around.filter_map(|it| changed(it.kind)).max().or(ready)
        }
        // It may have been down before somebody said that it should be, and it ends a while after that.
        Word::Stopped => orders.stopped.as_ref().map(|order| order.wall_ms).max(started),
        Word::Suspended => orders.suspended.as_ref().map(|it| it.order.wall_ms).or(ready),
        Word::CrashLoop => changed(ConditionType::CrashLoop).or(ready),
        Word::Held => changed(ConditionType::Held).or(ready),
        Word::Failed => started.or(ready),
        // It was not Ready before either when it was started, or ended.
        Word::BackOff | Word::Pulling | Word::Pending | Word::Starting | Word::NotReady => ready.max(started),
        Word::Ready | Word::Completed | Word::Unknown => ready,
    }
}

/// Where it can be reached on the host: while one of an earlier file serves, where that is.
fn ports(spec: &ContainerSpec, members: &Members<'_>) -> Vec<PortBinding> {
    let published = members.current.map(|current| current.ports.as_slice()).unwrap_or_default();
    let serves_older = members.current.filter(|it| it.state.is_alive() && !members.current_matches);
    match serves_older.or(members.beside(spec)) {
        Some(older) => older.ports.iter().map(as_bound).collect(),
        None => spec.runtime.ports.iter().map(|port| on_host(port, published)).collect(),
    }
}

fn as_bound(port: &PublishedPort) -> PortBinding {
    let PublishedPort { host_ip, host_port, container_port, protocol } = port.clone();
    PortBinding { host_ip, host_port: Some(host_port), container_port, protocol }
}

/// `port` as it is on the host: where the file leaves the number to the engine, the one that it has chosen.
fn on_host(port: &PortBinding, published: &[PublishedPort]) -> PortBinding {
    let chosen = || {
        let own = |it: &&PublishedPort| {
            it.container_port == port.container_port
                && it.protocol == port.protocol
                && it.host_ip == port.host_ip
        };
        published.iter().find(own).map(|it| it.host_port)
    };
    PortBinding { host_port: port.host_port.or_else(chosen), ..port.clone() }
}

fn detail(
    state: &State,
    world: &World<'_>,
    id: &ResourceId,
    spec: &ContainerSpec,
    step: &Step,
) -> ServiceDetail {
    let members = Members::of(world, id, spec);
    let current = members.current;
    ServiceDetail {
        image: spec.runtime.image.clone(),
        image_id: current.map(|current| current.image_id.clone()).filter(|image| !image.is_empty()),
        container: spec.host_name.clone(),
        container_id: current.map(|current| current.id.short().to_owned()),
        run: current.and_then(|current| current.incarnation()).map(|run| run.0),
        state: current.map(|current| format!("{:?}", current.state).to_lowercase()),
        networks: spec
            .live
            .networks
            .values()
            .map(|network| network_line(&network.host_name, current))
            .collect(),
        volumes: volumes(spec),
        ports: ports(spec, &members)
            .iter()
            .map(|port| format!("{port}->{}/{}", port.container_port, port.protocol))
            .collect(),
        fingerprint: current.and_then(|current| current.fingerprint().map(ToString::to_string)),
        ..of_any(state, world, id, ServiceSpec::Container(spec), step)
    }
}

/// What there is to say of a service whatever runs it.
pub(super) fn of_any(
    state: &State,
    world: &World<'_>,
    id: &ResourceId,
    spec: ServiceSpec<'_>,
    step: &Step,
) -> ServiceDetail {
    let facts = |role| state.observed.probes.get(&(id.clone(), role));
    let readiness = facts(Role::Readiness);
    let record = state.ledger.get(id);
    let restarts = record.map(|record| record.restarts.recent.as_slice()).unwrap_or_default();
    let probe = spec.probe_for(Role::Readiness);
    let ending = |restart: &Restart| format!("{} after {}", restart.ending, human(restart.ran));
    ServiceDetail {
        depends_on: depends_on(spec),
        dependants: dependants(world, id),
        probe: probe.map(|probe| {
            let (every, budget) = (human(probe.interval), human(probe.budget()));
            format!("{} every {every}, {budget} to become ready", probe.kind)
        }),
        last_probe: readiness.and_then(|facts| facts.last.clone()),
        probe_attempts: readiness.map_or(0, |facts| facts.attempts),
        checks: [Role::Startup, Role::Liveness]
            .into_iter()
            .filter_map(|role| Some(check(role, spec.probe_for(role)?, facts(role))))
            .collect(),
        probe_failures: readiness.map_or(0, |facts| facts.failures),
        probe_retries: probe.map_or(0, |probe| probe.retries),
        endings: restarts.iter().rev().take(5).rev().map(ending).collect(),
        next: next(step),
        action_due: step.action.is_some(),
        model_server: models::server(world, id),
        ..ServiceDetail::default()
    }
}

fn check(role: Role, probe: &ProbeSpec, facts: Option<&ProbeFacts>) -> CheckDetail {
    CheckDetail {
        role,
        what: match role {
            Role::Startup => {
                format!("{} until it passes, within {}", probe.kind, human(probe.budget()))
            }
            Role::Readiness | Role::Liveness => {
                let (every, retries) = (human(probe.interval), probe.retries);
                format!("{} every {every}, restarted after {retries} failures in a row", probe.kind)
            }
        },
        attempts: facts.map_or(0, |facts| facts.attempts),
        failures: facts.map_or(0, |facts| facts.failures),
        retries: probe.retries,
        last: facts.and_then(|facts| facts.last.clone()),
    }
}

fn dependants(world: &World<'_>, id: &ResourceId) -> Vec<String> {
    let others = world.desired.services().filter(|(_, other)| other.dependencies().contains_key(id));
    others.map(|(_, other)| other.name().to_owned()).collect()
}

fn depends_on(spec: ServiceSpec<'_>) -> Vec<String> {
    let line = |(on, edge): (&ResourceId, &aiplat_core::spec::Dependency)| {
        let condition = match edge.condition {
            DependencyCondition::Started => "service_started",
            DependencyCondition::Healthy => "service_healthy",
            DependencyCondition::CompletedSuccessfully => "service_completed_successfully",
        };
        let mut line = format!("{} ({condition})", on.key());
        if edge.restart {
            line.push_str(", restart");
        }
        if !edge.required {
            line.push_str(", not required");
        }
        line
    };
    spec.dependencies().iter().map(line).collect()
}

fn network_line(name: &str, current: Option<&ObservedContainer>) -> String {
    match current.and_then(|current| current.networks.get(name)?.ip) {
        Some(ip) => format!("{name} ({ip})"),
        None => name.to_owned(),
    }
}

fn volumes(spec: &ContainerSpec) -> Vec<String> {
    let line = |mount: &aiplat_core::spec::Mount| {
        let source = match &mount.source {
            MountSource::Volume { host_name, .. } => host_name.clone(),
            MountSource::Bind { path, .. } => path.clone(),
            MountSource::File { file, .. } => file.to_string(),
            MountSource::Anonymous => "(anonymous)".to_owned(),
            MountSource::Tmpfs { .. } => "(memory)".to_owned(),
        };
        format!("{source}:{}{}", mount.target, if mount.read_only { ":ro" } else { "" })
    };
    spec.runtime.mounts.iter().map(line).collect()
}

fn next(step: &Step) -> String {
    match (&step.action, step.requeue) {
        (Some(planned), _) => format!("{} because {}", planned.action, planned.cause),
        (None, Requeue::After(wait)) if is_attempt(step) => format!("tried again in {}", human(wait)),
        (None, Requeue::After(wait)) => format!("looked at again in {}", human(wait)),
        (None, Requeue::Now | Requeue::OnChange) => String::new(),
    }
}

/// Whether the time that it waits for is that of its next attempt.
fn is_attempt(step: &Step) -> bool {
    match &step.verdict {
        Verdict::Blocked { on } => {
            on.iter().any(|gate| matches!(gate, Gate::BackOff { .. } | Gate::Failed { .. }))
        }
        Verdict::Converged | Verdict::Progressing | Verdict::Unsatisfied { .. } | Verdict::Held { .. } => {
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use aiplat_core::{
        condition::{Condition, Reason, Status},
        ledger::{Order, Transition},
        spec::Protocol,
    };

    use super::*;

    /// `Ready` has been False for long; `Started` has changed at `started`.
    fn record(started: i64) -> Record {
        let at = |status, wall_ms| Transition { status, reason: Reason::Exited, wall_ms };
        let mut record = Record::default();
        record.transitions.insert(ConditionType::Ready, at(Status::False, 1_000));
        record.transitions.insert(ConditionType::Started, at(Status::False, started));
        record.transitions.insert(ConditionType::CrashLoop, at(Status::True, 4_000));
        record
    }

    fn step() -> Step {
        let conditions: Vec<Condition> = Vec::new();
        Step { action: None, verdict: Verdict::Converged, requeue: Requeue::OnChange, conditions }
    }

    #[test]
    fn since_is_the_age_of_the_word() {
        let order = || Order { by: "uid 0".to_owned(), wall_ms: 5_000 };
        let mut stopped = record(2_000);
        stopped.orders.stopped = Some(order());
        assert_eq!(since(&stopped, Word::Stopped, &step()), Some(5_000), "it was down before");
        let mut ended = record(9_000);
        ended.orders.stopped = Some(order());
        assert_eq!(since(&ended, Word::Stopped, &step()), Some(9_000), "it took its time to end");
        assert_eq!(since(&record(2_000), Word::CrashLoop, &step()), Some(4_000));
        assert_eq!(since(&record(2_000), Word::Pending, &step()), Some(2_000));
        assert_eq!(since(&record(2_000), Word::Unknown, &step()), Some(1_000));
    }

    #[test]
    fn a_port_that_the_engine_has_chosen_is_told_by_where_it_leads() {
        let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let binding = |host_port, container_port| PortBinding {
            host_ip: ip,
            host_port,
            container_port,
            protocol: Protocol::Tcp,
        };
        let published = |host_port, container_port| PublishedPort {
            host_ip: ip,
            host_port,
            container_port,
            protocol: Protocol::Tcp,
        };
        let ports = [published(32_768, 80), published(32_769, 81)];
        assert_eq!(on_host(&binding(None, 81), &ports), binding(Some(32_769), 81));
        assert_eq!(on_host(&binding(Some(8_000), 80), &ports), binding(Some(8_000), 80));
        assert_eq!(on_host(&binding(None, 81), &[]), binding(None, 81));
    }
}
