//! The Docker adapter over the model: one action, looked at by id first, refused where the port says so.

use std::{collections::BTreeMap, time::Duration};

use aiplat_core::{
    Kind, ResourceId,
    action::{Action, CreateContainer, OwnLabels},
    condition::{ErrorClass, Reason},
    observed::ContainerId,
    spec::{Attachment, InstanceId, MountSource},
};
use aiplat_host::{HostError, HostErrorKind};

use super::{
    engine::{Answer, Container, Engine, Mounted, NewContainer, Refusal},
    look::ownership,
};

impl Engine {
    /// How long `action` takes from the moment the engine has it, and, for a stop, what the program exits with.
    #[must_use]
    pub fn takes(&self, action: &Action) -> (Duration, i64) {
        match action {
            Action::StopContainer { id, grace } => self.stopping(&id.0, *grace),
            Action::StartContainer { .. } => (Duration::from_millis(107), 0),
            Action::PullImage { .. } => (Duration::from_secs(2), 0),
            Action::CreateNetwork { .. }
            | Action::PullModel(_)
            | Action::RemoveNetwork { .. }
            | Action::CreateVolume { .. }
            | Action::CreateContainer(_)
            | Action::UnpauseContainer { .. }
            | Action::RemoveContainer { .. }
            | Action::RenameContainer { .. }
            | Action::Connect { .. }
            | Action::Disconnect { .. }
            | Action::HandBack { .. }
            | Action::WriteFile(_)
            | Action::RemoveFile { .. }
            | Action::WriteUnitFiles(_)
            | Action::RemoveUnitFiles { .. }
            | Action::WriteUnit(_)
            | Action::RemoveUnit { .. }
            | Action::ReloadSystemd
            | Action::Unit { .. }
            | Action::UpdateLimits { .. } => (Duration::from_millis(5), 0),
        }
    }

    /// Does `action` on `id` for `instance`. A stop is the end of one: who calls has let its time pass, and says how it ended.
    ///
    /// # Errors
    /// As the Docker adapter's.
    pub fn act(
        &mut self,
        instance: &InstanceId,
        id: &ResourceId,
        action: &Action,
        exit_code: i64,
    ) -> Result<(), HostError> {
        match action {
            Action::CreateNetwork { labels, spec } => {
                let driver = spec.driver.as_deref().unwrap_or("bridge");
                let made =
                    self.create_network(&spec.host_name, pairs(labels, &spec.labels), driver, spec.internal);
                let holder = self.find_network(&spec.host_name).map(|network| network.labels.clone());
                unless_ours(made.map(drop), instance, &labels.resource, holder)
            }
            Action::RemoveNetwork { id: engine_id, .. } => self.leave_network(instance, engine_id),
            Action::CreateVolume { labels, spec } => {
                let driver = spec.driver.as_deref().unwrap_or("local");
                let volume = self.create_volume(&spec.host_name, pairs(labels, &spec.labels), driver);
                if is_of(&volume.labels, instance, &labels.resource) {
                    Ok(())
                } else {
                    Err(foreign_name(&volume.name))
                }
            }
            Action::PullImage { reference } => self.pull(reference).map_err(pull_error),
            Action::WriteFile(write) => self.write(write),
            Action::RemoveFile { path, content } => self.unwrite(path, content),
            Action::PullModel(_)
            | Action::WriteUnitFiles(_)
            | Action::RemoveUnitFiles { .. }
            | Action::WriteUnit(_)
            | Action::RemoveUnit { .. }
            | Action::ReloadSystemd
            | Action::Unit { .. } => Err(HostError::misdirected(action, "the engine")),
            Action::CreateContainer(create) => self.make(instance, create),
            Action::StartContainer { id: container } => {
                self.guard(instance, id, container)?;
                self.start(&container.0).map_err(host_error)
            }
            Action::StopContainer { id: container, .. } => {
                self.guard(instance, id, container)?;
                self.end(&container.0, exit_code, false);
                Ok(())
            }
            Action::UnpauseContainer { id: container } => {
                let frozen = self.guard(instance, id, container)?.state == super::engine::State::Paused;
                if frozen { self.unpause(&container.0).map_err(host_error) } else { Ok(()) }
            }
            Action::RemoveContainer { id: container } => match self.guard(instance, id, container) {
                Ok(_) => self.remove(&container.0, false).map_err(host_error),
                Err(error) if error.reason == Reason::Missing => Ok(()),
                Err(error) => Err(error),
            },
            Action::RenameContainer { id: container, to } => {
                if self.guard(instance, id, container)?.name == *to {
                    return Ok(());
                }
                self.rename(&container.0, to).map_err(host_error)
            }
            Action::Connect { id: container, attachment } => {
                self.guard(instance, id, container)?;
                let Attachment { host_name, aliases, .. } = attachment;
                self.connect(host_name, &container.0, aliases.clone()).map_err(host_error)
            }
            Action::Disconnect { id: container, network } => {
                let connections = &self.guard(instance, id, container)?.networks;
                let Some(connection) = connections.get(network) else { return Ok(()) };
                let known = self.networks.get(&connection.network_id);
                let network = known.map_or(network, |known| &known.id).clone();
                self.disconnect(&network, &container.0).map_err(host_error)
            }
            Action::HandBack { id: container } => {
                self.guard(instance, id, container)?;
                self.restart_always(&container.0, true).map_err(host_error)
            }
            Action::UpdateLimits { id: container, limits } => {
                self.guard(instance, id, container)?;
                self.update(&container.0, limits.clone()).map_err(host_error)
            }
        }
    }

    /// Removes the volume `name` with its data.
    ///
    /// # Errors
    /// As the Docker adapter's.
    pub fn remove_left_volume(&mut self, instance: &InstanceId, name: &str) -> Result<(), HostError> {
        let Some(volume) = self.volumes.get(name) else { return Ok(()) };
        if ownership(&volume.labels, Kind::Volume).is_none_or(|owner| owner.instance != *instance) {
            let message = format!("volume `{name}` does not carry our labels");
            return Err(refused(ErrorClass::Changed, Reason::NameTaken, message));
        }
        self.remove_volume(name).map_err(host_error)
    }

    fn guard(
        &self,
        instance: &InstanceId,
        id: &ResourceId,
        container: &ContainerId,
    ) -> Result<&Container, HostError> {
        let Some(found) = self.containers.get(&container.0) else {
            return Err(refused(
                ErrorClass::Changed,
                Reason::Missing,
                format!("container {container} is gone"),
            ));
        };
        if is_of(&found.labels, instance, id) {
            return Ok(found);
        }
        let message = format!("`{}` does not carry our labels for {id}", found.name);
        Err(refused(ErrorClass::Changed, Reason::NameTaken, message))
    }

    fn make(&mut self, instance: &InstanceId, create: &CreateContainer) -> Result<(), HostError> {
        let CreateContainer { name, labels, spec, network, inherit, joins, gpus: _ } = create;
        let runtime = &spec.runtime;
        let mut mounts = Vec::new();
        for mount in &runtime.mounts {
            let kept = || {
                inherit.iter().find(|(_, target)| *target == mount.target).map(|(volume, _)| volume.clone())
            };
            let (volume, bind) = match &mount.source {
                MountSource::Volume { host_name, .. } => (Some(host_name.clone()), None),
                MountSource::Bind { path, create } => {
                    if *create {
                        self.paths.insert(path.clone());
                    }
                    (None, Some(path.clone()))
                }
                MountSource::File { path, .. } => (None, Some(path.clone())),
                MountSource::Anonymous => (kept(), None),
                MountSource::Tmpfs { .. } => continue,
            };
            mounts.push(Mounted { volume, bind, target: mount.target.clone(), writable: !mount.read_only });
        }
        let carried =
            inherit.iter().filter(|(_, target)| !runtime.mounts.iter().any(|mount| mount.target == *target));
        mounts.extend(carried.map(|(volume, target)| Mounted {
            volume: Some(volume.clone()),
            bind: None,
            target: target.clone(),
            writable: true,
        }));
        let made = self.create_container(NewContainer {
            name: name.clone(),
            image: runtime.image.clone(),
            labels: pairs(labels, &runtime.labels),
            network: network
                .as_ref()
                .map(|attachment| (attachment.host_name.clone(), attachment.aliases.clone())),
            mounts,
            bindings: runtime.ports.clone(),
            limits: spec.live.limits.clone(),
            joins: joins.values().cloned().collect(),
            restart_always: false,
            health_off: runtime.engine_health_off,
        });
        match made {
            Ok(_) => Ok(()),
            Err(refusal) if refusal.status == 409 => {
                let holder = self.find(name).map(|holder| holder.labels.clone()).unwrap_or_default();
                let owner = ownership(&holder, Kind::Container);
                let same = owner.as_ref().is_some_and(|owner| owner.fingerprint == labels.fingerprint);
                if same && is_of(&holder, instance, &labels.resource) {
                    return Ok(());
                }
                // Ours: somebody looked too long ago. Foreign: a person decides.
                let ours = owner.is_some_and(|owner| owner.instance == *instance);
                Err(if ours { host_error(refusal) } else { foreign_name(name) })
            }
            Err(refusal) => Err(host_error(refusal)),
        }
    }

    fn leave_network(&mut self, instance: &InstanceId, engine_id: &str) -> Result<(), HostError> {
        let Some(network) = self.networks.get(engine_id) else { return Ok(()) };
        if network.labels.get(aiplat_core::action::label::INSTANCE) != Some(&instance.0) {
            let message = format!("network `{}` does not carry our labels", network.name);
            return Err(refused(ErrorClass::Changed, Reason::NameTaken, message));
        }
        // The engine removes it under stopped containers, which can then never start again: so the adapter asks.
        if let Some(user) = self.user_of(network) {
            let message = format!("container `{}` names network `{}`", user.name, network.name);
            return Err(refused(ErrorClass::Changed, Reason::InUse, message));
        }
        self.remove_network(engine_id).map_err(host_error)
    }
}

fn pairs(own: &OwnLabels, users: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut labels = users.clone();
    labels.extend(own.to_pairs().into_iter().map(|(name, value)| (name.to_owned(), value)));
    labels
}

fn is_of(labels: &BTreeMap<String, String>, instance: &InstanceId, id: &ResourceId) -> bool {
    ownership(labels, id.kind).is_some_and(|owner| owner.instance == *instance && owner.resource == *id)
}

/// A 409 is a success when the holder of the name is what the call would have made.
fn unless_ours(
    made: Answer<()>,
    instance: &InstanceId,
    resource: &ResourceId,
    holder: Option<BTreeMap<String, String>>,
) -> Result<(), HostError> {
    match made {
        Ok(()) => Ok(()),
        Err(refusal) if refusal.status == 409 => match holder {
            Some(labels) if is_of(&labels, instance, resource) => Ok(()),
            Some(_) | None => Err(foreign_name(resource.key())),
        },
        Err(refusal) => Err(host_error(refusal)),
    }
}

fn foreign_name(name: &str) -> HostError {
    refused(ErrorClass::Rejected, Reason::NameTaken, format!("the name `{name}` is taken"))
}

fn refused(class: ErrorClass, reason: Reason, message: String) -> HostError {
    HostError::new(HostErrorKind::Refused, class, reason, message)
}

fn pull_error(refusal: Refusal) -> HostError {
    refused(ErrorClass::Rejected, Reason::ImageNotFound, refusal.message)
}

/// The adapter's table, for the answers that the model gives.
fn host_error(refusal: Refusal) -> HostError {
    let Refusal { status, message } = refusal;
    let says = |text: &str| message.contains(text);
    let (class, reason) = if says("port is already allocated") {
        (ErrorClass::Transient, Reason::PortTaken)
    } else if says("could not select device driver") {
        (ErrorClass::Unsupported, Reason::Unsupported)
    } else if says("exec:") {
        (ErrorClass::Rejected, Reason::ExecutableMissing)
    } else if says("bind source path does not exist") {
        (ErrorClass::Rejected, Reason::HostPathMissing)
    } else if says("volume is in use") {
        (ErrorClass::Changed, Reason::InUse)
    } else {
        match status {
            404 => (ErrorClass::Changed, Reason::Missing),
            409 if says("already in use by container") => (ErrorClass::Changed, Reason::NameTaken),
            403 if says("active endpoints") => (ErrorClass::Changed, Reason::InUse),
            403 | 409 => (ErrorClass::Changed, Reason::ActionFailed),
            400..=499 => (ErrorClass::Rejected, Reason::ActionRejected),
            _ if says("is not paused") || says("is not connected to") => {
                (ErrorClass::Changed, Reason::ActionFailed)
            }
            _ => (ErrorClass::Transient, Reason::ActionFailed),
        }
    };
    refused(class, reason, message)
}
