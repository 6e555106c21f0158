//! What an action will have changed once it has succeeded: the other half of `diff`, and of the simulator's check on itself.

mod units;

use std::{collections::BTreeMap, time::Duration};

use crate::{
    ResourceId, Timestamp,
    action::{Action, CreateContainer, PullModel},
    observed::{
        AsOf, ContainerDetail, ContainerId, ContainerState, Endpoint, Incarnation, ModelAnswer, ModelServer,
        ObservedContainer, ObservedFile, ObservedImage, ObservedMount, ObservedNetwork, ObservedState,
        ObservedVolume, Ownership, ProbeFacts, ProbeOutcome, PublishedPort, StoredModel,
    },
    spec::{Attachment, DependencyCondition, FileSpec, MountSource, Platform, Role},
};

/// What the engine will only tell afterwards.
pub const AFTER_APPLY: &str = "(known after apply)";

/// Changes `observed` as `action` on `id` would: started services are taken to become ready, one-shots to complete,
/// pulls to succeed.
pub fn predict(
    observed: &mut ObservedState,
    desired: &Platform,
    id: &ResourceId,
    action: &Action,
    now: Timestamp,
) {
    match action {
        Action::CreateNetwork { labels, spec } => {
            let network = ObservedNetwork {
                id: format!("(new {})", spec.host_name),
                name: spec.host_name.clone(),
                owner: Some(ownership(labels)),
                compose: None,
                driver: spec.driver.clone().unwrap_or_else(|| "bridge".to_owned()),
                internal: spec.internal,
            };
            observed.networks.push(network);
        }
        Action::RemoveNetwork { id: network, .. } => observed.networks.retain(|other| other.id != *network),
        Action::CreateVolume { labels, spec } => {
            let volume = ObservedVolume {
                name: spec.host_name.clone(),
                owner: Some(ownership(labels)),
                compose: None,
                driver: spec.driver.clone().unwrap_or_else(|| "local".to_owned()),
            };
            observed.volumes.insert(spec.host_name.clone(), volume);
        }
        Action::PullImage { reference } => {
            let image = ObservedImage::Present { id: AFTER_APPLY.to_owned(), has_healthcheck: false };
            observed.images.insert(reference.clone(), image);
        }
        Action::PullModel(pull) => pulled(observed, desired, id, pull),
        Action::CreateContainer(create) => created(observed, desired, id, create),
        Action::StartContainer { id: container } => started(observed, desired, id, container, now),
        Action::StopContainer { id: container, .. } => change(observed, id, container, |c| {
            c.state = ContainerState::Exited;
            c.ports.clear();
            c.networks.values_mut().for_each(|endpoint| endpoint.ip = None);
            if let Some(detail) = &mut c.detail {
                detail.exit_code = 137;
            }
        }),
        Action::UnpauseContainer { id: container } => {
            change(observed, id, container, |c| c.state = ContainerState::Running);
        }
        Action::RemoveContainer { id: container } => {
            if let Some(members) = observed.owned.get_mut(id) {
                members.retain(|member| member.id != *container);
            }
            if observed.owned.get(id).is_some_and(Vec::is_empty) {
                observed.owned.remove(id);
            }
        }
        Action::RenameContainer { id: container, to } => {
            change(observed, id, container, |c| c.name.clone_from(to))
        }
        Action::Connect { id: container, attachment } => {
            let network = network_id(observed, desired, attachment);
            change(observed, id, container, |c| {
                c.networks.insert(attachment.host_name.clone(), endpoint(attachment, network));
            });
        }
        Action::Disconnect { id: container, network } => change(observed, id, container, |c| {
            c.networks.retain(|name, endpoint| name != network && endpoint.network_id != *network);
        }),
        Action::HandBack { id: container } => change(observed, id, container, |c| {
            if let Some(detail) = &mut c.detail {
                detail.engine_restarts = true;
            }
        }),
        Action::WriteFile(write) => {
            let FileSpec { config: _, path, content, mode, uid, gid } = &write.spec;
            let (uid, gid) = (uid.unwrap_or_default(), gid.unwrap_or_default());
            let file = ObservedFile::Present { content: content.clone(), mode: *mode, uid, gid };
            observed.own_files.insert(path.clone(), file);
        }
        Action::RemoveFile { path, .. } => {
            observed.own_files.insert(path.clone(), ObservedFile::Absent);
        }
        Action::WriteUnitFiles(_)
        | Action::RemoveUnitFiles { .. }
        | Action::WriteUnit(_)
        | Action::RemoveUnit { .. }
        | Action::ReloadSystemd
        | Action::Unit { .. } => {
            units::predict(observed, desired, id, action, now);
        }
        Action::UpdateLimits { id: container, limits } => change(observed, id, container, |c| {
            if let Some(detail) = &mut c.detail {
                detail.limits = limits.clone();
                detail.engine_restarts = false;
            }
        }),
    }
}

/// Its server has it.
fn pulled(observed: &mut ObservedState, desired: &Platform, id: &ResourceId, pull: &PullModel) {
    let runner = desired.models.get(id).map(|spec| &spec.runner);
    let server = runner.and_then(|runner| observed.model_servers.get_mut(runner));
    if let Some(ModelServer { answer: ModelAnswer::Answers(facts), .. }) = server {
        facts.models.retain(|model| model.name != pull.model);
        let (name, size) = (pull.model.clone(), pull.bytes.unwrap_or_default());
        facts.models.push(StoredModel { name, digest: AFTER_APPLY.to_owned(), size });
        facts.models.sort_by(|one, other| one.name.cmp(&other.name));
    }
}

fn ownership(labels: &crate::action::OwnLabels) -> Ownership {
    Ownership {
        instance: labels.instance.clone(),
        resource: labels.resource.clone(),
        fingerprint: labels.fingerprint.clone(),
        depends_on: labels.depends_on.clone(),
        gpus: labels.gpus.clone(),
    }
}

fn endpoint(attachment: &Attachment, network_id: String) -> Endpoint {
    Endpoint { network_id, ip: None, aliases: Some(attachment.aliases.clone()) }
}

/// The id of the network of that name; of several, of ours.
fn network_id(observed: &ObservedState, desired: &Platform, attachment: &Attachment) -> String {
    let named = observed.networks.iter().filter(|network| network.name == attachment.host_name);
    let is_ours = |owner: &Ownership| owner.instance == desired.instance;
    let network = named.min_by_key(|network| !network.owner.as_ref().is_some_and(is_ours));
    network.map(|network| network.id.clone()).unwrap_or_default()
}

fn created(observed: &mut ObservedState, desired: &Platform, id: &ResourceId, create: &CreateContainer) {
    let CreateContainer { name, labels, spec, network, inherit, joins, gpus: _ } = create;
    let newest = observed.owned.values().flatten().map(|container| container.created).max().unwrap_or(0);
    let networks: BTreeMap<String, Endpoint> = network
        .iter()
        .map(|attachment| {
            (attachment.host_name.clone(), endpoint(attachment, network_id(observed, desired, attachment)))
        })
        .collect();
    let container = ObservedContainer {
        id: ContainerId(format!("(new {name})")),
        name: name.clone(),
        image: spec.runtime.image.clone(),
        image_id: match observed.images.get(&spec.runtime.image) {
            Some(ObservedImage::Present { id, .. }) => id.clone(),
            Some(ObservedImage::Absent) | None => String::new(),
        },
        state: ContainerState::Created,
        owner: Some(ownership(labels)),
        compose: None,
        created: newest.saturating_add(1),
        networks,
        mounts: mounts(spec, inherit),
        ports: Vec::new(),
        detail: Some(ContainerDetail {
            limits: spec.live.limits.clone(),
            joins: joins.values().cloned().collect(),
            ..ContainerDetail::default()
        }),
        as_of: AsOf::default(),
    };
    observed.owned.entry(id.clone()).or_default().push(container);
}

fn mounts(spec: &crate::spec::ContainerSpec, inherit: &[(String, String)]) -> Vec<ObservedMount> {
    let declared = spec.runtime.mounts.iter().filter_map(|mount| {
        let (volume, bind) = match &mount.source {
            MountSource::Volume { host_name, .. } => (Some(host_name.clone()), None),
            MountSource::Bind { path, .. } | MountSource::File { path, .. } => (None, Some(path.clone())),
            MountSource::Anonymous => {
                let kept = inherit.iter().find(|(_, target)| *target == mount.target);
                (Some(kept.map_or_else(|| AFTER_APPLY.to_owned(), |(volume, _)| volume.clone())), None)
            }
            MountSource::Tmpfs { .. } => return None,
        };
        Some(ObservedMount { volume, bind, target: mount.target.clone(), writable: !mount.read_only })
    });
    let mut mounts: Vec<ObservedMount> = declared.collect();
    for (volume, target) in inherit {
        if !mounts.iter().any(|mount| mount.target == *target) {
            mounts.push(ObservedMount {
                volume: Some(volume.clone()),
                bind: None,
                target: target.clone(),
                writable: true,
            });
        }
    }
    mounts
}

fn change(
    observed: &mut ObservedState,
    id: &ResourceId,
    container: &ContainerId,
    apply: impl FnOnce(&mut ObservedContainer),
) {
    let members = observed.owned.get_mut(id);
    if let Some(member) =
        members.and_then(|members| members.iter_mut().find(|member| member.id == *container))
    {
        apply(member);
    }
}

fn started(
    observed: &mut ObservedState,
    desired: &Platform,
    id: &ResourceId,
    container: &ContainerId,
    now: Timestamp,
) {
    let completes = desired.services().any(|(_, spec)| {
        let edge = spec.dependencies().get(id);
        edge.is_some_and(|edge| edge.condition == DependencyCondition::CompletedSuccessfully)
    });
    let ports = desired.containers.get(id).map(|spec| spec.runtime.ports.clone()).unwrap_or_default();
    let mut incarnation = None;
    change(observed, id, container, |c| {
        c.state = if completes { ContainerState::Exited } else { ContainerState::Running };
        let detail = c.detail.get_or_insert_default();
        detail.started_at = format!("{AFTER_APPLY} {}", detail.started_at.len());
        detail.exit_code = 0;
        detail.error.clear();
        if !completes {
            c.ports = ports
                .iter()
                .filter_map(|port| {
                    Some(PublishedPort {
                        host_ip: port.host_ip,
                        host_port: port.host_port?,
                        container_port: port.container_port,
                        protocol: port.protocol,
                    })
                })
                .collect();
        }
        incarnation = c.incarnation();
    });
    if let Some(incarnation) = incarnation {
        becomes_ready(observed, id, incarnation, now);
    }
}

/// Its probes pass.
pub(crate) fn becomes_ready(
    observed: &mut ObservedState,
    id: &ResourceId,
    incarnation: Incarnation,
    now: Timestamp,
) {
    let passed =
        ProbeOutcome { at: now, passed: true, transcript: AFTER_APPLY.to_owned(), took: Duration::ZERO };
    let facts = ProbeFacts {
        has_passed: true,
        healthy: Some(true),
        attempts: 1,
        last: Some(passed),
        ..ProbeFacts::new(incarnation, now)
    };
    for role in Role::ALL {
        observed.probes.insert((id.clone(), role), facts.clone());
    }
}
