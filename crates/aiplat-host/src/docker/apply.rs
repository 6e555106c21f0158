//! Actions: each is one mutating call, after a look by id at what it is done to.

use std::{io, path::Path};

use aiplat_core::{
    Kind, ResourceId,
    action::{Action, CreateContainer, OwnLabels},
    condition::{ErrorClass, Reason},
    observed::{ComposeOrigin, ContainerId, Ownership},
    spec::{Attachment, Limits, MountSource, NetworkSpec, VolumeSpec},
};
use tokio_util::sync::CancellationToken;

use super::{
    DockerBackend,
    calls::Endpoint,
    client::{Call, CallError},
    create_body, create_needs,
    errors::{self, Meaning},
    observe::{self, found},
    ports, start,
    wire::{ContainerInspect, Created, Network, Updated, Volume},
};
use crate::port::{HostError, Progress};

const CHANGED: Meaning =
    Meaning { class: ErrorClass::Changed, reason: Reason::Missing, next: "aiplatd looks again" };
const NOT_OURS: Meaning = Meaning { reason: Reason::NameTaken, ..CHANGED };
const NAME_TAKEN: Meaning = Meaning {
    class: ErrorClass::Rejected,
    reason: Reason::NameTaken,
    next: "remove it, or choose another name",
};

impl DockerBackend {
    pub(super) async fn act(
        &self,
        id: &ResourceId,
        action: &Action,
        progress: Progress,
        cancel: CancellationToken,
    ) -> Result<(), HostError> {
        match action {
            Action::CreateNetwork { labels, spec } => self.create_network(spec, labels).await,
            Action::RemoveNetwork { id: engine_id, name } => self.remove_network(engine_id, name).await,
            Action::CreateVolume { labels, spec } => self.create_volume(spec, labels).await,
            Action::PullImage { reference } => self.pull(reference, progress, cancel).await,
            Action::CreateContainer(create) => self.create_container(create).await,
            Action::StartContainer { id: container } => self.start(id, container).await,
            Action::StopContainer { id: container, grace } => {
                let call = Call::new(Endpoint::StopContainer(&container.0))
                    .query("t", create_body::seconds(*grace).to_string());
                self.change(id, container, "stop", call).await
            }
            Action::UnpauseContainer { id: container } => self.unpause(id, container).await,
            Action::RemoveContainer { id: container } => self.remove(id, container).await,
            Action::RenameContainer { id: container, to } => self.rename(id, container, to).await,
            Action::Connect { id: container, attachment } => self.connect(id, container, attachment).await,
            Action::Disconnect { id: container, network } => self.disconnect(id, container, network).await,
            Action::HandBack { id: container } => self.hand_back(id, container).await,
            Action::UpdateLimits { id: container, limits } => self.update(id, container, limits).await,
            Action::PullModel(_)
            | Action::WriteFile(_)
            | Action::RemoveFile { .. }
            | Action::WriteUnitFiles(_)
            | Action::RemoveUnitFiles { .. }
            | Action::WriteUnit(_)
            | Action::RemoveUnit { .. }
            | Action::ReloadSystemd
            | Action::Unit { .. } => Err(HostError::misdirected(action, "the engine")),
        }
    }

    /// Looks at the container by id; only what carries our labels for `id` is handed on to be acted upon.
    async fn guard(
        &self,
        id: &ResourceId,
        container: &ContainerId,
        verb: &str,
    ) -> Result<ContainerInspect, HostError> {
        let doing = || format!("{verb} container {container}");
        let inspected =
            found(self.inspect_container(container).await).map_err(|error| self.error(&doing(), error))?;
        let Some(inspect) = inspected else {
            return Err(errors::refused(
                CHANGED,
                format!("cannot {}: it is gone; aiplatd looks again", doing()),
            ));
        };
        let owner = observe::ownership(&inspect.config.labels, Kind::Container);
        if self.is_of(owner.as_ref(), id) && inspect.id == container.0 {
            return Ok(inspect);
        }
        let name = inspect.name.trim_start_matches('/');
        let message =
            format!("cannot {}: `{name}` does not carry our labels for {id}; nothing was done", doing());
        Err(errors::refused(NOT_OURS, message))
    }

    fn is_of(&self, owner: Option<&Ownership>, id: &ResourceId) -> bool {
        self.is_ours(owner) && owner.is_some_and(|owner| owner.resource == *id)
    }

    /// The guard, then one call whose answer says nothing.
    async fn change(
        &self,
        id: &ResourceId,
        container: &ContainerId,
        verb: &str,
        call: Call<'_>,
    ) -> Result<(), HostError> {
        let inspect = self.guard(id, container, verb).await?;
        self.call(&doing(verb, &inspect), call).await
    }

    /// One call whose answer says nothing. 304, "it is so already", is a success.
    async fn call(&self, doing: &str, call: Call<'_>) -> Result<(), HostError> {
        self.client.send(call).await.map(drop).map_err(|error| self.error(doing, error))
    }

    async fn start(&self, id: &ResourceId, container: &ContainerId) -> Result<(), HostError> {
        let inspect = self.guard(id, container, "start").await?;
        match self.client.send(Call::new(Endpoint::StartContainer(&container.0))).await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.explain_start(&inspect, error).await),
        }
    }

    async fn unpause(&self, id: &ResourceId, container: &ContainerId) -> Result<(), HostError> {
        let inspect = self.guard(id, container, "unpause").await?;
        if inspect.state.status != "paused" {
            return Ok(());
        }
        self.call(&doing("unpause", &inspect), Call::new(Endpoint::UnpauseContainer(&container.0))).await
    }

    /// Neither `force` nor `v`: what runs is not removed, and what it has written is not lost.
    async fn remove(&self, id: &ResourceId, container: &ContainerId) -> Result<(), HostError> {
        let inspect = match self.guard(id, container, "remove").await {
            Ok(inspect) => inspect,
            Err(error) if error.reason == Reason::Missing => return Ok(()),
            Err(error) => return Err(error),
        };
        let removed = found(self.client.send(Call::new(Endpoint::RemoveContainer(&container.0))).await);
        removed.map(drop).map_err(|error| self.error(&doing("remove", &inspect), error))
    }

    async fn rename(&self, id: &ResourceId, container: &ContainerId, to: &str) -> Result<(), HostError> {
        let inspect = self.guard(id, container, "rename").await?;
        if inspect.name.trim_start_matches('/') == to {
            return Ok(());
        }
        let call = Call::new(Endpoint::RenameContainer(&container.0)).query("name", to);
        match self.client.send(call).await {
            Ok(_) => Ok(()),
            Err(error) if is_name_taken(&error) => Err(self.explain_name(to, error).await),
            Err(error) => Err(self.error(&doing("rename", &inspect), error)),
        }
    }

    async fn connect(
        &self,
        id: &ResourceId,
        container: &ContainerId,
        attachment: &Attachment,
    ) -> Result<(), HostError> {
        let inspect = self.guard(id, container, "connect").await?;
        let doing = format!("{} to network `{}`", doing("connect", &inspect), attachment.host_name);
        // A container that was made without any network has to leave the engine's stand-in for none first.
        if inspect.network_settings.networks.contains_key(create_body::NO_NETWORK) {
            self.leave(&doing, container, create_body::NO_NETWORK).await?;
        }
        let body = create_body::connect(&container.0, attachment);
        let call = Call::new(Endpoint::ConnectNetwork(&attachment.host_name))
            .since(create_needs::of_attachment(attachment))
            .json(&body);
        self.call(&doing, call).await
    }

    async fn disconnect(
        &self,
        id: &ResourceId,
        container: &ContainerId,
        network: &str,
    ) -> Result<(), HostError> {
        let inspect = self.guard(id, container, "disconnect").await?;
        let Some(connection) = inspect.network_settings.networks.get(network) else { return Ok(()) };
        let doing = format!("{} from network {network}", doing("disconnect", &inspect));
        // By its id, for a name may be ambiguous; by its name where that network is gone, or was never joined.
        let known = match connection.network_id.as_str() {
            "" => None,
            id => found(self.client.read::<Network>(Call::new(Endpoint::InspectNetwork(id))).await)
                .map_err(|error| self.error(&doing, error))?,
        };
        let network = known.as_ref().map_or(network, |known| &known.id);
        self.leave(&doing, container, network).await
    }

    async fn leave(&self, doing: &str, container: &ContainerId, network: &str) -> Result<(), HostError> {
        let body = serde_json::json!({"Container": container.0});
        self.call(doing, Call::new(Endpoint::DisconnectNetwork(network)).json(&body)).await
    }

    /// What the engine restarts by a policy of its own, somebody's hand gave that to.
    async fn hand_back(&self, id: &ResourceId, container: &ContainerId) -> Result<(), HostError> {
        let inspect = self.guard(id, container, "release").await?;
        if inspect.host_config.restart_policy.is_set() {
            return Ok(());
        }
        let body = serde_json::json!({"RestartPolicy": {"Name": "unless-stopped"}});
        let call = Call::new(Endpoint::UpdateContainer(&container.0)).json(&body);
        self.call(&doing("release", &inspect), call).await
    }

    async fn update(
        &self,
        id: &ResourceId,
        container: &ContainerId,
        limits: &Limits,
    ) -> Result<(), HostError> {
        let inspect = self.guard(id, container, "update").await?;
        let mut body = create_body::update(limits, &observe::limits(&inspect.host_config));
        if inspect.host_config.restart_policy.is_set() {
            body.insert("RestartPolicy".to_owned(), serde_json::json!({"Name": "no"}));
        }
        if body.is_empty() {
            return Ok(());
        }
        let doing = doing("update", &inspect);
        let call = Call::new(Endpoint::UpdateContainer(&container.0)).json(&body);
        let (_, answer) = self.client.send(call).await.map_err(|error| self.error(&doing, error))?;
        // Of the body only its warnings matter, and an engine that sends none has none.
        let Updated { warnings } = serde_json::from_slice(&answer).unwrap_or_default();
        // What the kernel cannot do the engine leaves out, and calls it a success.
        match warnings.iter().find(|warning| errors::is_discarded(warning)) {
            Some(warning) => {
                let meaning = errors::LIMIT_DISCARDED;
                let next = meaning.next;
                Err(errors::refused(
                    meaning,
                    format!("cannot {doing}: the engine says \"{warning}\"; {next}"),
                ))
            }
            None => Ok(()),
        }
    }

    async fn create_container(&self, create: &CreateContainer) -> Result<(), HostError> {
        let doing = format!("create container `{}`", create.name);
        for mount in &create.spec.runtime.mounts {
            if let MountSource::Bind { path, create } = &mount.source {
                prepare_host_path(&doing, path, *create).await?;
            } else if let MountSource::File { path, .. } = &mount.source {
                // The daemon then looks at it, and writes it anew.
                prepare_host_path(&doing, path, false).await?;
            }
        }
        let engine = self.engine().await.map_err(|error| self.error(&doing, error))?;
        let mut call = Call::new(Endpoint::CreateContainer)
            .query("name", &create.name)
            .since(create_needs::of_container(create))
            .json(&create_body::container(create, &engine));
        if let Some(platform) = &create.spec.runtime.options.process.platform {
            call = call.query("platform", platform);
        }
        match self.client.read::<Created>(call).await {
            Ok(Created { id, warnings }) => {
                self.memory.learn_container(&id, &create.labels.resource);
                for warning in warnings {
                    tracing::warn!(container = %create.name, %warning, "The engine warned about a container.");
                }
                Ok(())
            }
            Err(error) if is_name_taken(&error) => self.accept_or_explain(create, error).await,
            Err(error) => match start::missing_path(&error) {
                Some(path) => {
                    Err(errors::refused(start::HOST_PATH_MISSING, start::host_path_missing(&doing, path)))
                }
                None => Err(self.error(&doing, error)),
            },
        }
    }

    /// What a body depends on.
    async fn engine(&self) -> Result<create_body::Engine, CallError> {
        let version = self.client.engine_version().await?;
        let driver = self.client.log_driver().await;
        Ok(create_body::Engine {
            mac_of_endpoint: version >= create_needs::MAC_OF_ENDPOINT,
            log_files: driver.is_some_and(|driver| matches!(driver.as_str(), "json-file" | "local")),
        })
    }

    /// The name is taken. By what this very call would have made: an earlier one of ours succeeded unheard.
    async fn accept_or_explain(&self, create: &CreateContainer, error: CallError) -> Result<(), HostError> {
        let OwnLabels { instance: _, resource, fingerprint, depends_on: _, gpus } = &create.labels;
        let holder = found(self.inspect_container(&ContainerId(create.name.clone())).await);
        if let Ok(Some(holder)) = &holder {
            let owner = observe::ownership(&holder.config.labels, Kind::Container);
            let same =
                owner.as_ref().is_some_and(|owner| owner.fingerprint == *fingerprint && owner.gpus == *gpus);
            if same && self.is_of(owner.as_ref(), resource) {
                return Ok(());
            }
        }
        Err(self.explain_name(&create.name, error).await)
    }

    async fn explain_name(&self, name: &str, error: CallError) -> HostError {
        match found(self.inspect_container(&ContainerId(name.to_owned())).await) {
            Ok(Some(holder)) => {
                let owner = observe::ownership(&holder.config.labels, Kind::Container);
                let compose = observe::compose_origin(&holder.config.labels);
                self.name_taken("container", name, owner.as_ref(), compose.as_ref())
            }
            // It was freed meanwhile, or cannot be looked at: the engine's own sentence, and another look.
            Ok(None) | Err(_) => self.error(&format!("give the name `{name}` to a container"), error),
        }
    }

    /// Ours: somebody looked too long ago. Foreign: a person decides.
    fn name_taken(
        &self,
        what: &str,
        name: &str,
        owner: Option<&Ownership>,
        compose: Option<&ComposeOrigin>,
    ) -> HostError {
        let (meaning, whose) = match (owner, compose) {
            (Some(owner), _) if owner.instance == *self.instance_id() => {
                let resource = &owner.resource;
                return errors::refused(
                    NOT_OURS,
                    format!("the name is taken: {what} `{name}` is ours for {resource}; aiplatd looks again"),
                );
            }
            (Some(owner), _) => (
                Meaning { reason: Reason::InstanceMismatch, ..NAME_TAKEN },
                format!("another aiplatd instance ({})", owner.instance),
            ),
            (None, Some(ComposeOrigin { project, folder })) => {
                let folder = folder.as_ref().map(|folder| format!(" in {folder}")).unwrap_or_default();
                (NAME_TAKEN, format!("Docker Compose's project `{project}`{folder}"))
            }
            (None, None) => (NAME_TAKEN, "somebody else".to_owned()),
        };
        let way_in = match (what, compose) {
            ("container", Some(ComposeOrigin { project, folder: _ })) => {
                format!(
                    "take it down there with `docker compose -p {project} down` (volumes stay), or set `container_name`"
                )
            }
            ("container", None) => {
                format!(
                    "remove it with `docker stop {name} && docker rm {name}`, or set another `container_name`"
                )
            }
            _ => format!("use it as it is with `external: true` and `name: {name}`"),
        };
        errors::refused(meaning, format!("the name is taken: {what} `{name}` belongs to {whose}; {way_in}"))
    }

    async fn create_network(&self, spec: &NetworkSpec, labels: &OwnLabels) -> Result<(), HostError> {
        let name = &spec.host_name;
        let doing = format!("create network `{name}`");
        refuse_external(spec.external, &doing)?;
        let call = Call::new(Endpoint::CreateNetwork)
            .since(create_needs::of_network(spec))
            .json(&create_body::network(spec, labels));
        let Err(error) = self.client.send(call).await else { return Ok(()) };
        if !matches!(&error, CallError::Answered { status, .. } if status.as_u16() == 409) {
            return Err(self.error(&doing, error));
        }
        let holder = self.network_named(name).await.map_err(|error| self.error(&doing, error))?;
        match holder {
            Some(holder) if self.is_of(holder.owner.as_ref(), &labels.resource) => Ok(()),
            Some(holder) => {
                Err(self.name_taken("network", name, holder.owner.as_ref(), holder.compose.as_ref()))
            }
            None => Err(self.error(&doing, error)),
        }
    }

    /// The engine removes a network that only stopped containers name, and these can then never start again: so we ask.
    async fn remove_network(&self, engine_id: &str, name: &str) -> Result<(), HostError> {
        let doing = format!("remove network `{name}`");
        let inspected =
            found(self.client.read::<Network>(Call::new(Endpoint::InspectNetwork(engine_id))).await);
        let Some(network) = inspected.map_err(|error| self.error(&doing, error))? else { return Ok(()) };
        let network = observe::network(network);
        if !self.is_ours(network.owner.as_ref()) || network.id != engine_id {
            return Err(errors::refused(
                NOT_OURS,
                format!("cannot {doing}: it does not carry our labels; nothing was done"),
            ));
        }
        let containers = self.list_containers().await.map_err(|error| self.error(&doing, error))?;
        let networks = self.list_networks().await.map_err(|error| self.error(&doing, error))?;
        let is_only = !networks.iter().any(|other| other.name == network.name && other.id != network.id);
        let names_it = |(other, endpoint): (&String, &aiplat_core::observed::Endpoint)| {
            // A container that has never run knows its networks by name only: any of that name will do.
            let by_name = endpoint.network_id.is_empty() && *other == network.name;
            endpoint.network_id == network.id || (by_name && is_only)
        };
        if let Some(user) = containers.iter().find(|container| container.networks.iter().any(names_it)) {
            let user = ports::describe(&user.name, user.compose.as_ref());
            let in_use = Meaning { reason: Reason::InUse, ..CHANGED };
            return Err(errors::refused(
                in_use,
                format!("cannot {doing}: {user} names it; it goes when the last container has left it"),
            ));
        }
        let removed = found(self.client.send(Call::new(Endpoint::RemoveNetwork(engine_id))).await);
        removed.map(drop).map_err(|error| self.error(&doing, error))
    }

    /// The engine answers 201 for a volume that exists, with its old labels: they are what counts.
    async fn create_volume(&self, spec: &VolumeSpec, labels: &OwnLabels) -> Result<(), HostError> {
        let name = &spec.host_name;
        let doing = format!("create volume `{name}`");
        refuse_external(spec.external, &doing)?;
        let call = Call::new(Endpoint::CreateVolume).json(&create_body::volume(spec, labels));
        let made = self.client.read::<Volume>(call).await.map_err(|error| self.error(&doing, error))?;
        let volume = observe::volume(made);
        if self.is_of(volume.owner.as_ref(), &labels.resource) {
            return Ok(());
        }
        Err(self.name_taken("volume", name, volume.owner.as_ref(), volume.compose.as_ref()))
    }

    /// Without `force`, which lets the engine forget a volume that its driver could not remove.
    pub(super) async fn remove_left_volume(&self, name: &str) -> Result<(), HostError> {
        let doing = format!("remove volume `{name}`");
        let Some(volume) = self.volume_named(name).await.map_err(|error| self.error(&doing, error))? else {
            return Ok(());
        };
        if !self.is_ours(volume.owner.as_ref()) || volume.name != name {
            return Err(errors::refused(
                NOT_OURS,
                format!("cannot {doing}: it does not carry our labels; nothing was done"),
            ));
        }
        let removed = found(self.client.send(Call::new(Endpoint::RemoveVolume(name))).await);
        removed.map(drop).map_err(|error| self.error(&doing, error))
    }
}

fn doing(verb: &str, container: &ContainerInspect) -> String {
    format!("{verb} container `{}`", container.name.trim_start_matches('/'))
}

fn is_name_taken(error: &CallError) -> bool {
    match error {
        CallError::Answered { status, message } => {
            errors::meaning(status.as_u16(), message).reason == Reason::NameTaken
        }
        CallError::Connect { .. }
        | CallError::Broken { .. }
        | CallError::Malformed { .. }
        | CallError::Lacks { .. }
        | CallError::TooOld { .. } => false,
    }
}

/// `plan` never asks for this: what is external is somebody else's to make.
fn refuse_external(external: bool, doing: &str) -> Result<(), HostError> {
    let bug = Meaning { class: ErrorClass::Bug, reason: Reason::InternalError, next: "please report it" };
    if external {
        return Err(errors::refused(
            bug,
            format!("cannot {doing}: it is external; this is a mistake of aiplatd, please report it"),
        ));
    }
    Ok(())
}

/// The engine never makes the host path of a mount (with `Binds` it would, as root, silently): where the file asks for
/// it we do, and where it does not a missing path is said.
async fn prepare_host_path(doing: &str, path: &str, create: bool) -> Result<(), HostError> {
    let made = if create { tokio::fs::create_dir_all(path).await } else { Ok(()) };
    let exists = match made {
        // A file, or a socket, is as good as a folder.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => true,
        Err(error) => return Err(cannot_make(doing, path, &error)),
        Ok(()) => tokio::fs::try_exists(Path::new(path)).await.unwrap_or(true),
    };
    if exists {
        return Ok(());
    }
    Err(errors::refused(start::HOST_PATH_MISSING, start::host_path_missing(doing, path)))
}

fn cannot_make(doing: &str, path: &str, error: &io::Error) -> HostError {
    let is = |kind| error.kind() == kind;
    let (class, reason) = if is(io::ErrorKind::StorageFull) {
        (ErrorClass::Transient, Reason::DiskFull)
    } else if is(io::ErrorKind::PermissionDenied) || is(io::ErrorKind::ReadOnlyFilesystem) {
        (ErrorClass::Denied, Reason::PermissionDenied)
    } else {
        (ErrorClass::Rejected, Reason::HostPathMissing)
    };
    let meaning = Meaning { class, reason, next: "make it yourself" };
    let folder = Path::new(path).parent().unwrap_or(Path::new("/"));
    let unit = crate::files::read_only(folder, error).map(|cure| format!(" ({cure})")).unwrap_or_default();
    errors::refused(
        meaning,
        format!("cannot {doing}: {path} cannot be made ({error}); make it with `mkdir -p '{path}'`{unit}"),
    )
}
