//! What can be done to a host: each action is one call of it, and carries its cause.

mod model;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

pub use model::{FreeRoom, PullModel};

use crate::{
    ResourceId,
    fingerprint::Fingerprint,
    observed::{ContainerId, GivenGpus, OwnFiles},
    spec::{
        Attachment, ContainerSpec, ContentHash, DeviceRequest, FileSpec, InstanceId, Limits, NetworkSpec,
        Platform, VolumeSpec,
    },
};

/// One call of a host.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Make a network.
    CreateNetwork {
        /// Labels to write on it.
        labels: OwnLabels,
        /// What to make.
        spec: NetworkSpec,
    },
    /// Remove a network of ours that no container names.
    RemoveNetwork {
        /// Engine id.
        id: String,
        /// For the log.
        name: String,
    },
    /// Make a volume. There is no action that removes one.
    CreateVolume {
        /// Labels to write on it.
        labels: OwnLabels,
        /// What to make.
        spec: VolumeSpec,
    },
    /// Pull an image.
    PullImage {
        /// Reference as written.
        reference: String,
    },
    /// Let a server pull a model.
    PullModel(Box<PullModel>),
    /// Make a container, not started.
    CreateContainer(Box<CreateContainer>),
    /// Start it.
    StartContainer {
        /// Which.
        id: ContainerId,
    },
    /// Stop it: the signal, the grace, the kill.
    StopContainer {
        /// Which.
        id: ContainerId,
        /// How long it may take.
        grace: Duration,
    },
    /// Let a frozen one go on.
    UnpauseContainer {
        /// Which.
        id: ContainerId,
    },
    /// Remove a stopped one; its volumes stay, anonymous ones too.
    RemoveContainer {
        /// Which.
        id: ContainerId,
    },
    /// Give it another name.
    RenameContainer {
        /// Which.
        id: ContainerId,
        /// The new name.
        to: String,
    },
    /// Connect it to a network.
    Connect {
        /// Which.
        id: ContainerId,
        /// Network and names there.
        attachment: Attachment,
    },
    /// Disconnect it from a network.
    Disconnect {
        /// Which.
        id: ContainerId,
        /// The network's name.
        network: String,
    },
    /// Let the engine restart it (`unless-stopped`), which is otherwise ours to do. It runs on.
    HandBack {
        /// Which.
        id: ContainerId,
    },
    /// Write a file, in one piece: whoever reads it sees the old content or the new one.
    WriteFile(Box<WriteFile>),
    /// Remove a file of ours.
    RemoveFile {
        /// Where it is.
        path: String,
        /// What was last seen in it: another content is looked at first.
        content: ContentHash,
    },
    /// Write a unit's drop-in and the environment that it names. systemd is not told.
    WriteUnitFiles(Box<UnitFiles>),
    /// Remove both; the unit runs on.
    RemoveUnitFiles {
        /// Which unit.
        unit: String,
    },
    /// Write the complete file of a unit of ours, and the environment that it names. systemd is not told.
    WriteUnit(Box<UnitFile>),
    /// Remove both. The unit has been stopped.
    RemoveUnit {
        /// Which unit.
        unit: String,
    },
    /// Let systemd read its files anew (`daemon-reload`): one action for the whole machine.
    ReloadSystemd,
    /// Queue a job for a unit, or change what systemd remembers of it.
    Unit {
        /// Which unit.
        unit: String,
        /// What.
        verb: UnitVerb,
    },
    /// Change limits while it runs; the engine's own restart policy becomes `no` with it.
    UpdateLimits {
        /// Which.
        id: ContainerId,
        /// The new ones.
        limits: Limits,
    },
}

/// A file and what it takes the place of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteFile {
    /// What to write, and where.
    pub spec: FileSpec,
    /// What was last seen in its place; `None`: nothing, and what has come since is not overwritten.
    pub over: Option<ContentHash>,
}

/// What can be asked of systemd for one unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitVerb {
    /// `StartUnit`, mode `replace`.
    Start,
    /// `StopUnit`, mode `replace`.
    Stop,
    /// `RestartUnit`, mode `replace`.
    Restart,
    /// `ResetFailedUnit`: forgets its failure and its start limit.
    ResetFailed,
    /// `UnmaskUnitFiles`.
    Unmask,
    /// `EnableUnitFiles`: it starts with the machine.
    Enable,
    /// `DisableUnitFiles`: it no longer does.
    Disable,
}

/// The two files of a unit that are ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitFiles {
    /// Which unit.
    pub unit: String,
    /// The drop-in's text.
    pub drop_in: String,
    /// The environment's text.
    pub environment: String,
    /// Which of them are others than those that are there; for a person.
    pub touched: Touched,
}

/// The file of a unit of ours, or of its timer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitFile {
    /// Which unit.
    pub unit: String,
    /// Its file's text.
    pub text: String,
    /// The environment's text; `None`: there is to be none.
    pub environment: Option<String>,
    /// Which of them are others than those that are there; for a person.
    pub touched: Touched,
}

/// What becomes of the two files that an action is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Touched {
    /// The drop-in, or the unit's file, is written.
    pub text: bool,
    /// What becomes of the environment.
    pub environment: Change,
}

/// What becomes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is as it should be.
    Stays,
    /// It is written.
    Written,
    /// It is taken away.
    Removed,
}

impl Change {
    fn of(there: Option<&String>, wanted: Option<&String>) -> Self {
        match (there, wanted) {
            (there, wanted) if there == wanted => Self::Stays,
            (_, Some(_)) => Self::Written,
            (_, None) => Self::Removed,
        }
    }
}

impl Touched {
    /// `write drop-in and environment of ollama.service`, where the file with the text is called `text`.
    fn describe(self, text: &str, unit: &str) -> String {
        match (self.text, self.environment) {
            (true, Change::Written) => format!("write {text} and environment of {unit}"),
            (true, Change::Removed) => format!("write {text} of {unit} and remove its environment"),
            (true | false, Change::Stays) => format!("write {text} of {unit}"),
            (false, Change::Written) => format!("write environment of {unit}"),
            (false, Change::Removed) => format!("remove environment of {unit}"),
        }
    }
}

impl UnitFiles {
    /// The files of `unit`, in place of those that were `seen`.
    #[must_use]
    pub fn over(seen: &OwnFiles, unit: &str, drop_in: String, environment: String) -> Self {
        let touched = Touched {
            text: seen.drop_in.as_ref() != Some(&drop_in),
            environment: Change::of(seen.environment.as_ref(), Some(&environment)),
        };
        Self { unit: unit.to_owned(), drop_in, environment, touched }
    }
}

impl UnitFile {
    /// The file of `unit`, in place of what was `seen`.
    #[must_use]
    pub fn over(seen: &OwnFiles, unit: &str, text: String, environment: Option<String>) -> Self {
        let touched = Touched {
            text: seen.unit_file.as_ref() != Some(&text),
            environment: Change::of(seen.environment.as_ref(), environment.as_ref()),
        };
        Self { unit: unit.to_owned(), text, environment, touched }
    }
}

impl UnitVerb {
    /// As `systemctl` has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::ResetFailed => "reset-failed",
            Self::Unmask => "unmask",
            Self::Enable => "enable",
            Self::Disable => "disable",
        }
    }
}

/// How to make one container.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateContainer {
    /// Its name: the final one, or a temporary one beside the container that it replaces.
    pub name: String,
    /// Labels to write on it.
    pub labels: OwnLabels,
    /// What to make.
    pub spec: Arc<ContainerSpec>,
    /// The one network it is created on (engines before API 1.44 take one); the others are connected before the start.
    pub network: Option<Attachment>,
    /// Anonymous volumes of the container that it replaces: (volume name, target).
    pub inherit: Vec<(String, String)>,
    /// The containers of the services whose namespaces it joins.
    pub joins: BTreeMap<ResourceId, ContainerId>,
    /// What the engine is asked for in place of its requests for GPUs; `None`: as they are written.
    pub gpus: Option<Vec<DeviceRequest>>,
}

/// The labels that make an object ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnLabels {
    /// `io.aiplat.instance`.
    pub instance: InstanceId,
    /// `io.aiplat.resource`.
    pub resource: ResourceId,
    /// `io.aiplat.fingerprint`.
    pub fingerprint: Option<Fingerprint>,
    /// `io.aiplat.depends-on`, on containers.
    pub depends_on: Vec<ResourceId>,
    /// `io.aiplat.gpus`, on containers that ask for GPUs.
    pub gpus: Option<GivenGpus>,
}

/// The label names, part of the interface.
pub mod label {
    /// Whose object it is.
    pub const INSTANCE: &str = "io.aiplat.instance";
    /// Which resource it is of.
    pub const RESOURCE: &str = "io.aiplat.resource";
    /// What it was made from.
    pub const FINGERPRINT: &str = "io.aiplat.fingerprint";
    /// Which containers it depended on when it was made, comma-separated.
    pub const DEPENDS_ON: &str = "io.aiplat.depends-on";
    /// Which GPUs it was given when it was made.
    pub const GPUS: &str = "io.aiplat.gpus";
}

impl OwnLabels {
    /// Of a network or volume.
    #[must_use]
    pub fn of(platform: &Platform, id: &ResourceId, fingerprint: Fingerprint) -> Self {
        Self {
            instance: platform.instance.clone(),
            resource: id.clone(),
            fingerprint: Some(fingerprint),
            depends_on: Vec::new(),
            gpus: None,
        }
    }

    /// Name and value of each label.
    #[must_use]
    pub fn to_pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs =
            vec![(label::INSTANCE, self.instance.to_string()), (label::RESOURCE, self.resource.to_string())];
        pairs.extend(
            self.fingerprint.as_ref().map(|fingerprint| (label::FINGERPRINT, fingerprint.to_string())),
        );
        pairs.extend(self.gpus.as_ref().map(|gpus| (label::GPUS, gpus.to_string())));
        if !self.depends_on.is_empty() {
            let names: Vec<String> = self.depends_on.iter().map(ToString::to_string).collect();
            pairs.push((label::DEPENDS_ON, names.join(",")));
        }
        pairs
    }
}

/// Models that are pulled at once, from all servers together: more would only share one line to the registry.
pub const MODELS_AT_ONCE: usize = 3;

/// A bounded pool of places that a class of actions shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pool {
    /// Container starts: more than twice the cores only adds latency.
    Starts,
    /// Image pulls.
    Pulls,
    /// Pulls of models, which take hours: they hold up no image.
    Models,
}

impl Action {
    /// The pool that this action needs a place in.
    #[must_use]
    pub fn pool(&self) -> Option<Pool> {
        match self {
            Self::StartContainer { .. } => Some(Pool::Starts),
            Self::PullImage { .. } => Some(Pool::Pulls),
            Self::PullModel(_) => Some(Pool::Models),
            Self::CreateNetwork { .. }
            | Self::RemoveNetwork { .. }
            | Self::CreateVolume { .. }
            | Self::CreateContainer(_)
            | Self::StopContainer { .. }
            | Self::UnpauseContainer { .. }
            | Self::RemoveContainer { .. }
            | Self::RenameContainer { .. }
            | Self::Connect { .. }
            | Self::Disconnect { .. }
            | Self::HandBack { .. }
            | Self::WriteFile(_)
            | Self::RemoveFile { .. }
            | Self::WriteUnitFiles(_)
            | Self::RemoveUnitFiles { .. }
            | Self::WriteUnit(_)
            | Self::RemoveUnit { .. }
            | Self::ReloadSystemd
            | Self::Unit { .. }
            | Self::UpdateLimits { .. } => None,
        }
    }

    /// How long the call may take before its outcome counts as unknown.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        match self {
            Self::PullImage { .. } => Duration::from_secs(3_600),
            // One that makes no progress is ended long before: this is 40 GB over a slow line.
            Self::PullModel(_) => Duration::from_secs(86_400),
            Self::StopContainer { grace, .. } => *grace + Duration::from_secs(30),
            Self::StartContainer { .. } => Duration::from_secs(120),
            Self::CreateNetwork { .. }
            | Self::RemoveNetwork { .. }
            | Self::CreateVolume { .. }
            | Self::CreateContainer(_)
            | Self::UnpauseContainer { .. }
            | Self::RemoveContainer { .. }
            | Self::RenameContainer { .. }
            | Self::Connect { .. }
            | Self::Disconnect { .. }
            | Self::HandBack { .. }
            | Self::WriteFile(_)
            | Self::RemoveFile { .. }
            | Self::WriteUnitFiles(_)
            | Self::RemoveUnitFiles { .. }
            | Self::WriteUnit(_)
            | Self::RemoveUnit { .. }
            | Self::ReloadSystemd
            | Self::Unit { .. }
            | Self::UpdateLimits { .. } => Duration::from_secs(60),
        }
    }

    /// One word for metrics and the first column of `diff`.
    #[must_use]
    pub const fn verb(&self) -> &'static str {
        match self {
            Self::CreateNetwork { .. } | Self::CreateVolume { .. } | Self::CreateContainer(_) => "create",
            Self::RemoveNetwork { .. } | Self::RemoveContainer { .. } => "remove",
            Self::PullImage { .. } | Self::PullModel(_) => "pull",
            Self::StartContainer { .. } => "start",
            Self::StopContainer { .. } => "stop",
            Self::UnpauseContainer { .. } => "unpause",
            Self::RenameContainer { .. } => "rename",
            Self::Connect { .. } => "connect",
            Self::Disconnect { .. } => "disconnect",
            Self::HandBack { .. } => "release",
            Self::UpdateLimits { .. } => "update",
            Self::WriteFile(_) | Self::WriteUnitFiles(_) | Self::WriteUnit(_) => "write",
            Self::RemoveFile { .. } | Self::RemoveUnitFiles { .. } | Self::RemoveUnit { .. } => "remove",
            Self::ReloadSystemd => "reload",
            Self::Unit { verb, .. } => verb.as_str(),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = self.verb();
        match self {
            Self::CreateNetwork { spec, .. } => write!(f, "{verb} network {}", spec.host_name),
            Self::RemoveNetwork { name, .. } => write!(f, "{verb} network {name}"),
            Self::CreateVolume { spec, .. } => write!(f, "{verb} volume {}", spec.host_name),
            Self::PullImage { reference } => write!(f, "{verb} {reference}"),
            Self::PullModel(pull) => {
                write!(f, "{verb} model {} to {}", pull.model, pull.at.service)?;
                match pull.bytes {
                    Some(bytes) => write!(f, " ({})", crate::bytes::human(bytes)),
                    None => Ok(()),
                }
            }
            Self::CreateContainer(create) => write!(f, "{verb} container {}", create.name),
            Self::StartContainer { id } | Self::UnpauseContainer { id } | Self::RemoveContainer { id } => {
                write!(f, "{verb} container {id}")
            }
            Self::StopContainer { id, grace } => {
                write!(f, "{verb} container {id} (grace {})", crate::time::human(*grace))
            }
            Self::RenameContainer { id, to } => write!(f, "{verb} container {id} to {to}"),
            Self::Connect { id, attachment } => {
                write!(f, "{verb} container {id} to network {}", attachment.host_name)
            }
            Self::Disconnect { id, network } => write!(f, "{verb} container {id} from network {network}"),
            Self::HandBack { id } => write!(f, "{verb} container {id} to the engine"),
            Self::UpdateLimits { id, .. } => write!(f, "{verb} limits and restart policy of container {id}"),
            Self::WriteFile(write) => write!(f, "{verb} file {}", write.spec.path),
            Self::RemoveFile { path, .. } => write!(f, "{verb} file {path}"),
            Self::WriteUnitFiles(files) => f.write_str(&files.touched.describe("drop-in", &files.unit)),
            Self::RemoveUnitFiles { unit } => write!(f, "{verb} drop-in and environment of {unit}"),
            Self::WriteUnit(file) => f.write_str(&file.touched.describe("unit file", &file.unit)),
            Self::RemoveUnit { unit } => write!(f, "{verb} unit file of {unit}"),
            Self::ReloadSystemd => write!(f, "{verb} systemd (daemon-reload)"),
            Self::Unit { unit, .. } => write!(f, "{verb} {unit}"),
        }
    }
}
