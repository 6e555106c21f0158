//! Safety checkers: what must hold at every call, whatever else is going on. Written against the model's own state and
//! the file, not with the code under test.

pub mod units;

use std::collections::BTreeMap;

use aiplat_core::{
    Kind, ResourceId,
    action::{Action, label},
    fingerprint,
    observed::ObservedFile,
    plan::Cause,
    spec::{ContainerSpec, DependencyCondition, OnChange, Platform, ProbeSpec},
};

use self::units::Units;
use crate::{
    orders::Orders,
    sim::engine::{Container, Engine, State},
};

/// The machine as it is, with nobody's mistakes about it.
#[derive(Clone, Copy)]
pub struct Truth<'a> {
    /// Its engine.
    pub engine: &'a Engine,
    /// Its systemd.
    pub units: &'a Units,
}

/// What an action is about to be done to.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// The machine before the effect.
    pub before: &'a Engine,
    /// Its units.
    pub units: &'a Units,
    /// The file in force.
    pub desired: &'a Platform,
    /// Of which resource.
    pub id: &'a ResourceId,
    /// What.
    pub action: &'a Action,
    /// What people have ordered.
    pub orders: &'a Orders,
}

/// Everything that `call` violates; empty when all is well. `exact_gates`: nothing has happened since the world was
/// looked at, so a gate that was open then is open now.
#[must_use]
pub fn violations(call: &Call<'_>, exact_gates: bool) -> Vec<String> {
    let mut found = Vec::new();
    found.extend(ownership(call));
    found.extend(one_running(call));
    found.extend(kept_until_replaced(call));
    found.extend(network_in_use(call));
    found.extend(call.orders.violations(call));
    if exact_gates {
        found.extend(gate_open(call));
    }
    found.into_iter().map(|text| format!("{text} ({} of {})", call.action, call.id)).collect()
}

/// S3, S12: what must be the same after a call as before it, whatever the call was.
#[must_use]
pub fn untouched(before: &Engine, after: &Engine, instance: &str) -> Vec<String> {
    let foreign =
        |labels: &BTreeMap<String, String>| labels.get(label::INSTANCE).is_none_or(|owner| owner != instance);
    let mut found = Vec::new();
    for (id, container) in before.containers.iter().filter(|(_, container)| foreign(&container.labels)) {
        if after.containers.get(id) != Some(container)
            && !ended_by_itself(container, after.containers.get(id))
        {
            found.push(format!("S12: foreign container {} changed", container.name));
        }
    }
    for (id, network) in before.networks.iter().filter(|(_, network)| foreign(&network.labels)) {
        if after.networks.get(id) != Some(network) {
            found.push(format!("S12: foreign network {} changed", network.name));
        }
    }
    for path in &before.foreign_files {
        if after.file(path) != before.file(path) {
            found.push(format!("S12: the foreign file {path} changed"));
        }
    }
    for (name, volume) in &before.volumes {
        if after.volumes.get(name) != Some(volume) {
            found.push(format!("S3: volume {name} changed or is gone"));
        }
    }
    found
}

fn ended_by_itself(before: &Container, after: Option<&Container>) -> bool {
    before.ends.is_some() && after.is_some_and(|after| after.state == State::Exited)
}

/// The container that `action` is done to.
#[must_use]
pub fn target(action: &Action) -> Option<&str> {
    match action {
        Action::StartContainer { id }
        | Action::StopContainer { id, .. }
        | Action::UnpauseContainer { id }
        | Action::RemoveContainer { id }
        | Action::RenameContainer { id, .. }
        | Action::Connect { id, .. }
        | Action::Disconnect { id, .. }
        | Action::HandBack { id }
        | Action::UpdateLimits { id, .. } => Some(&id.0),
        Action::CreateNetwork { .. }
        | Action::RemoveNetwork { .. }
        | Action::CreateVolume { .. }
        | Action::PullImage { .. }
        | Action::PullModel(_)
        | Action::CreateContainer(_)
        | Action::WriteFile(_)
        | Action::RemoveFile { .. }
        | Action::WriteUnitFiles(_)
        | Action::RemoveUnitFiles { .. }
        | Action::WriteUnit(_)
        | Action::RemoveUnit { .. }
        | Action::ReloadSystemd
        | Action::Unit { .. } => None,
    }
}

pub(crate) fn is_of(labels: &BTreeMap<String, String>, desired: &Platform, id: &ResourceId) -> bool {
    labels.get(label::INSTANCE) == Some(&desired.instance.0)
        && labels.get(label::RESOURCE) == Some(&id.to_string())
}

/// S1.
fn ownership(call: &Call<'_>) -> Option<String> {
    let labels = if let Action::RemoveNetwork { id, .. } = call.action {
        call.before.networks.get(id).map(|network| &network.labels)?
    } else {
        call.before.containers.get(target(call.action)?).map(|container| &container.labels)?
    };
    (!is_of(labels, call.desired, call.id)).then(|| "S1: its target does not carry our labels".to_owned())
}

pub(crate) fn members<'a>(
    engine: &'a Engine,
    desired: &'a Platform,
    id: &'a ResourceId,
) -> impl Iterator<Item = &'a Container> {
    engine.containers.values().filter(move |container| is_of(&container.labels, desired, id))
}

/// What it was made from.
pub(crate) fn print(container: &Container) -> Option<&str> {
    container.labels.get(label::FINGERPRINT).map(String::as_str)
}

pub(crate) fn is_alive(container: &Container) -> bool {
    matches!(container.state, State::Running | State::Paused)
}

/// S2.
fn one_running(call: &Call<'_>) -> Option<String> {
    let Action::StartContainer { id } = call.action else { return None };
    let beside = call.desired.containers.get(call.id).is_some_and(ContainerSpec::starts_first);
    let running = members(call.before, call.desired, call.id).filter(|other| is_alive(other)).count();
    if beside && running <= 1 {
        return None;
    }
    let other =
        members(call.before, call.desired, call.id).find(|other| other.id != id.0 && is_alive(other))?;
    Some(format!("S2: {} still runs", other.name))
}

/// S8: what serves goes only when what replaces it exists, or already serves, or by order.
fn kept_until_replaced(call: &Call<'_>) -> Option<String> {
    let spec = call.desired.containers.get(call.id)?;
    let wanted = fingerprint::of(&spec.runtime);
    let is_wanted = |other: &Container| print(other) == Some(wanted.as_str());
    // Of several old ones that have served, one is enough to go back to.
    let remains = |gone: &str| {
        let mut others = members(call.before, call.desired, call.id).filter(|other| other.id != gone);
        others.any(|other| is_wanted(other) || is_alive(other) || other.started.is_some())
    };
    let container = call.before.containers.get(target(call.action)?)?;
    let goes = matches!(call.action, Action::RemoveContainer { .. } | Action::StopContainer { .. });
    let served = container.state != State::Dead && container.started.is_some();
    let ordered = matches!(call.action, Action::StopContainer { .. }) && call.orders.is_stopped(call.id);
    let lost = goes && served && !ordered && !is_wanted(container) && !remains(&container.id);
    lost.then(|| "S8: nothing is there to replace it".to_owned())
}

/// S13.
fn network_in_use(call: &Call<'_>) -> Option<String> {
    let Action::RemoveNetwork { id, .. } = call.action else { return None };
    let network = call.before.networks.get(id)?;
    call.before.user_of(network).map(|user| format!("S13: {} names it", user.name))
}

/// S7: what a start waits for holds.
fn gate_open(call: &Call<'_>) -> Option<String> {
    let Action::StartContainer { .. } = call.action else { return None };
    let spec = call.desired.containers.get(call.id)?;
    let truth = Truth { engine: call.before, units: call.units };
    spec.policy.dependencies.iter().filter(|(_, edge)| edge.required).find_map(|(on, edge)| {
        (!satisfied(truth, call.desired, on, edge.condition))
            .then(|| format!("S7: it waits for {on} to be {:?}", edge.condition))
    })
}

/// S14: what does not answer is not restarted while a dependency does not run.
#[must_use]
pub fn blamed(truth: Truth<'_>, desired: &Platform, id: &ResourceId, cause: &Cause) -> Option<String> {
    let Cause::Unresponsive { .. } = cause else { return None };
    let spec = desired.containers.get(id)?;
    let mut required = spec.policy.dependencies.iter().filter(|(_, edge)| edge.required);
    let (on, _) = required.find(|(on, _)| !satisfied(truth, desired, on, DependencyCondition::Started))?;
    Some(format!("S14: {id} is restarted for {on}, which does not run"))
}

/// Whether `on` satisfies `condition`, in truth.
#[must_use]
pub fn satisfied(
    truth: Truth<'_>,
    desired: &Platform,
    on: &ResourceId,
    condition: DependencyCondition,
) -> bool {
    assert!(on.is_service(), "edges lead to services");
    let Truth { engine, units } = truth;
    if on.kind == Kind::Unit {
        return units::is_satisfied(units, desired, on, condition);
    }
    let done = |container: &Container| {
        container.state == State::Exited && container.exit_code == 0 && container.started.is_some()
    };
    let spec = desired.containers.get(on);
    let probe = |container: &Container| {
        // One of an earlier file is asked as that file said, which nobody here remembers.
        let is_of_file =
            |spec: &&ContainerSpec| print(container) == Some(fingerprint::of(&spec.runtime).as_str());
        spec.filter(is_of_file).and_then(|spec| spec.policy.probe.as_ref())
    };
    // That a program has ceased to answer is known when it has failed often enough, and one interval later at most.
    let is_well =
        |probe: &ProbeSpec, container: &Container| engine.is_up(container, probe.budget() + probe.interval);
    let any = |holds: &dyn Fn(&Container) -> bool| members(engine, desired, on).any(holds);
    match condition {
        DependencyCondition::Started => any(&|container| is_alive(container) || done(container)),
        DependencyCondition::Healthy => any(&|container| {
            done(container)
                || (container.state == State::Running
                    && probe(container).is_none_or(|probe| is_well(probe, container)))
        }),
        DependencyCondition::CompletedSuccessfully => any(&|container| done(container)),
    }
}

/// How the machine differs from what the file asks for; empty when it is as asked.
#[must_use]
pub fn differences(engine: &Engine, desired: &Platform) -> Vec<String> {
    let mut found = Vec::new();
    for (id, spec) in &desired.containers {
        found.extend(service_differs(engine, desired, id, spec).map(|text| format!("{id}: {text}")));
    }
    let ours =
        engine.containers.values().filter(|c| c.labels.get(label::INSTANCE) == Some(&desired.instance.0));
    for container in ours {
        let resource = container.labels.get(label::RESOURCE).cloned().unwrap_or_default();
        if !desired.containers.keys().any(|id| id.to_string() == resource) {
            found.push(format!("{} is not in the file", container.name));
        }
    }
    for spec in desired.networks.values() {
        if engine.find_network(&spec.host_name).is_none() {
            found.push(format!("network {} is missing", spec.host_name));
        }
    }
    for network in
        engine.networks.values().filter(|n| n.labels.get(label::INSTANCE) == Some(&desired.instance.0))
    {
        if !desired.networks.values().any(|spec| spec.host_name == network.name) {
            found.push(format!("network {} is not in the file", network.name));
        }
    }
    found.extend(files_differ(engine, desired));
    for spec in desired.volumes.values() {
        if !engine.volumes.contains_key(&spec.host_name) {
            found.push(format!("volume {} is missing", spec.host_name));
        }
    }
    found
}

/// Files that are not as the file says, and files of aiplatd's writing that nothing asks for.
fn files_differ(engine: &Engine, desired: &Platform) -> Vec<String> {
    let mut found = Vec::new();
    for spec in desired.files.values() {
        let is_right = match engine.file(&spec.path) {
            ObservedFile::Present { content, mode, .. } => content == spec.content && mode == spec.mode,
            ObservedFile::Absent | ObservedFile::Obstructed { .. } => false,
        };
        if !is_right {
            found.push(format!("{} is not as the file says", spec.path));
        }
    }
    for (path, file) in &engine.files {
        let is_ours = matches!(file, ObservedFile::Present { uid: 0, .. });
        if is_ours && !desired.files.values().any(|spec| spec.path == *path) {
            found.push(format!("{path} is not in the file"));
        }
    }
    found
}

/// The config of which the run of `container` has seen another content than the file asks for.
fn unread(container: &Container, desired: &Platform, spec: &ContainerSpec) -> Option<String> {
    let restarts = spec.policy.on_change.iter().filter(|(_, follows)| **follows == OnChange::Restart);
    let mut files = restarts.filter_map(|(id, _)| desired.files.get(id));
    let unread = files.find(|file| container.read.get(&file.path) != Some(file.content.hash()))?;
    Some(format!("has not read {}", unread.path))
}

fn service_differs(
    engine: &Engine,
    desired: &Platform,
    id: &ResourceId,
    spec: &ContainerSpec,
) -> Option<String> {
    let all: Vec<&Container> = members(engine, desired, id).collect();
    let [container] = all.as_slice() else {
        let names: Vec<&str> = all.iter().map(|container| container.name.as_str()).collect();
        return Some(format!("{} containers: {names:?}", all.len()));
    };
    let works = container.state == State::Exited && container.exit_code == 0 && container.started.is_some();
    let one_shot =
        engine.app(container).ends.is_some_and(|ending| ending.exit_code == 0 && ending.times == u32::MAX);
    if container.state != State::Running && !(works && one_shot) {
        return Some(format!("{:?} (exit {})", container.state, container.exit_code));
    }
    if container.name != spec.host_name {
        return Some(format!("is called {}", container.name));
    }
    if print(container) != Some(fingerprint::of(&spec.runtime).as_str()) {
        return Some("is of another file".to_owned());
    }
    if container.state == State::Running
        && let Some(unread) = unread(container, desired, spec)
    {
        return Some(unread);
    }
    let wanted: Vec<&String> = spec.live.networks.values().map(|attachment| &attachment.host_name).collect();
    let mut has: Vec<&String> = container.networks.keys().collect();
    has.sort();
    let mut sorted = wanted.clone();
    sorted.sort();
    if has != sorted {
        return Some(format!("is on {has:?}, not {wanted:?}"));
    }
    // What has done its work needs no limits.
    (container.state == State::Running && container.limits != spec.live.limits)
        .then(|| "has other limits".to_owned())
}
