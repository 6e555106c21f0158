//! `plan`: at most one action for one resource, decided from plain values.

mod container;
mod contents;
mod docker;
mod ended;
mod fight;
mod file;
mod gate;
mod gpu;
mod image;
mod instances;
mod machine;
mod members;
mod model;
mod moved;
mod network;
mod orders;
mod prune;
mod readiness;
mod record;
mod room;
mod running;
mod step;
mod suspended;
mod systemd;
mod unit;
mod volume;

use std::{fmt, time::Duration};

pub use docker::{DAEMON_JSON, docker_files};
pub use ended::paths_in_doubt;
pub use file::file_path;
pub use gate::{Gate, ports_in_doubt};
pub use gpu::{
    GpuReport, GpuUser, LogCheck, SightCheck, gpu_reports, log_due, sight_due, word_of_cpu, xid_sentence,
};
pub use instances::programs;
pub use machine::{capacity, is_known as machine_is_known};
pub use members::Members;
pub use model::{
    does_not_fit, endpoint as model_endpoint, folder as models_folder, is_too_large,
    is_unasked as is_model_server_unasked, model_word, removable as removable_model,
    servers as model_servers,
};
pub use moved::{Moved, image_now, moved};
pub use orders::{Command, order, refused};
pub use prune::{FILE_REFUSED, Kept, left_volumes, mounted_by, removable_volume};
pub use readiness::{Readiness, incarnation, readiness, replacement_pending};
pub use record::{Entry, entries};
pub use room::{NoRoom, Pressure, host_paths, places, pressure, pull_without_room, volume_place};
pub use running::waits_for;
pub(crate) use running::{is_starting, probe};
pub use systemd::units;
pub use unit::{
    Diagnosing, HOST_NAME, ReachCheck, Variable, add_evidence, diagnosing, folders_in_doubt, reaches,
    variables,
};

use crate::{
    Kind, ResourceId, Timestamp,
    action::{Action, UnitVerb},
    condition::{Condition, Reason},
    fingerprint::{self, Fingerprint, Fingerprinted},
    ledger::Ledger,
    observed::ObservedState,
    spec::{Mode, Platform},
};

/// All that a decision may look at.
#[derive(Debug, Clone, Copy)]
pub struct World<'a> {
    /// What the file asks for.
    pub desired: &'a Platform,
    /// What the hosts were last seen to be like.
    pub observed: &'a ObservedState,
    /// What cannot be observed.
    pub ledger: &'a Ledger,
    /// Boot time.
    pub now: Timestamp,
}

/// What one pass decides for one resource.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The next thing to do, if any.
    pub action: Option<Planned>,
    /// Where the resource stands.
    pub verdict: Verdict,
    /// When to look again without being told to.
    pub requeue: Requeue,
    /// What is to be said of it, in the order of cure.
    pub conditions: Vec<Condition>,
}

/// An action and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// What to do.
    pub action: Action,
    /// Why; someone reads it at three in the morning.
    pub cause: Cause,
}

/// Where a resource stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// As the file says.
    Converged,
    /// On its way: an action is due, or its time to become ready runs.
    Progressing,
    /// Something else must come first.
    Blocked {
        /// What, in the order of cure.
        on: Vec<Gate>,
    },
    /// It is not as the file says, and no action of ours is due.
    Unsatisfied {
        /// Why.
        reason: Reason,
        /// The whole sentence.
        message: String,
    },
    /// No further attempt until the spec or the cause changes.
    Held {
        /// Why.
        reason: Reason,
        /// The whole sentence, with its evidence.
        message: String,
    },
}

/// When a resource is planned again if nothing happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requeue {
    /// At once: an action was done.
    Now,
    /// After this long.
    After(Duration),
    /// When something that it looks at changes.
    OnChange,
}

/// Why an action is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The file asks for it and it is not there.
    Missing,
    /// It is made beside the one it replaces; these fields differ.
    Replacement {
        /// Field names; empty when it is not known what the old one was made from.
        changed: Vec<String>,
    },
    /// The old one makes way for its replacement; these fields differ.
    Replaced {
        /// Field names.
        changed: Vec<String>,
    },
    /// It starts beside the one it replaces (`order: start-first`); these fields differ.
    StartedBeside {
        /// Field names.
        changed: Vec<String>,
    },
    /// Its tag means another image now, and `aiplatctl update` was given.
    Moved {
        /// The reference.
        image: String,
    },
    /// It does not reach its GPU any more, and gets it anew with another run.
    GpuLost {
        /// What it said.
        said: String,
    },
    /// A network makes way for its replacement; these fields differ.
    Outdated {
        /// Field names.
        changed: Vec<String>,
    },
    /// The edit did not become ready, and what served before is brought back.
    TakenBack {
        /// What was wrong with it.
        why: String,
    },
    /// Made and not started yet.
    NotStarted,
    /// Its process has ended.
    Ended {
        /// `exit 1`, `exit 137 (SIGKILL)`, `exit 137 (out of memory)`.
        how: String,
        /// Restarts in a row before this one.
        attempt: u32,
    },
    /// Its process ended before we looked: healed, but not counted, for it says nothing of how often it happens.
    EndedUnseen {
        /// As in `Ended`.
        how: String,
    },
    /// It runs and does not answer its liveness probe.
    Unresponsive {
        /// The transcript.
        why: String,
        /// Restarts in a row before this one.
        attempt: u32,
    },
    /// It ended with the engine.
    EngineStopped,
    /// It ended while something that it needs was down, which is ready again.
    DependencyDown,
    /// It was held, and something that it was started on has changed.
    Released {
        /// As in `Ended`.
        how: String,
        /// What has changed.
        what: String,
    },
    /// We stopped it to start it again, or to try another one first.
    StoppedByUs,
    /// A dependency with `restart: true` runs anew.
    DependencyRestarted {
        /// Which.
        dependency: ResourceId,
    },
    /// No longer in the file.
    NotInFile,
    /// Its replacement is ready.
    Superseded,
    /// More containers than one service has.
    Stray,
    /// A second network for one entry of the file: of its earlier name, or made twice around a crash.
    StrayNetwork,
    /// The network has to be made anew.
    NetworkReplaced {
        /// Its name in the engine.
        network: String,
    },
    /// The name is needed for its successor.
    NameNeeded,
    /// It takes its final name.
    TakesName,
    /// The file connects it to that network.
    NotConnected {
        /// Its name in the engine.
        network: String,
    },
    /// Connected, but not as the file says: other names or addresses there, or a network that has been made anew.
    ConnectedWrongly {
        /// Its name in the engine.
        network: String,
    },
    /// It has been ready beside the one it replaces (`order: start-first`), and is connected anew under the service's name.
    TakesNameOn {
        /// The network's name in the engine.
        network: String,
    },
    /// The file does not connect it to that network.
    NotInNetworks {
        /// Its name in the engine.
        network: String,
    },
    /// Limits differ from the file.
    LimitsDiffer,
    /// The engine was told to restart it, which is aiplatd's to do.
    EngineRestarts,
    /// It cannot run as its image was made, and its reference means another one now.
    ImageReplaced {
        /// The reference.
        image: String,
    },
    /// `aiplatctl stop`.
    StopOrdered,
    /// `aiplatctl restart`.
    RestartOrdered,
    /// A restart of ours was remembered, and the run that it was to end goes on.
    RestartLost,
    /// `aiplatctl release`.
    ReleaseOrdered,
    /// Frozen by hand.
    Paused,
    /// `pull_policy: always`, and the file has changed.
    PullAlways,
    /// The server of a model lacks it.
    NotOnServer,
    /// `aiplatctl model pull`.
    PullOrdered,
    /// The engine could not remove it.
    Dead,
    /// What was written for a unit that the file no longer has.
    UnitNotInFile {
        /// Which unit.
        unit: String,
    },
    /// A file's content is not as the platform asks for.
    ContentDiffers {
        /// Lines that it gets.
        added: usize,
        /// Lines that it loses.
        removed: usize,
    },
    /// A file of ours was changed or removed by somebody else.
    FileMeddledWith,
    /// A config has another content than its process was started with.
    ContentChanged {
        /// Which configs.
        configs: Vec<String>,
    },
    /// A copy is kept of what is about to be changed.
    KeptBefore,
    /// The engine's own file lacks settings.
    EngineSettings {
        /// Which.
        added: Vec<String>,
    },
    /// A unit's drop-in or environment is not as the file says.
    FilesDiffer {
        /// Field names; empty when nothing has been written yet.
        changed: Vec<String>,
    },
    /// A unit's drop-in or environment was changed or removed by somebody else.
    FilesMeddledWith,
    /// A unit of ours has no file yet.
    UnitFileNew,
    /// The file of a unit of ours is not as platform.yaml says.
    UnitFileDiffers {
        /// Field names; empty when none is known, or nothing has been written yet.
        changed: Vec<String>,
    },
    /// The file of a unit of ours was changed or removed by somebody else.
    UnitFileMeddledWith,
    /// A unit runs with another environment than the file says.
    EnvironmentChanged {
        /// Field names.
        changed: Vec<String>,
    },
    /// A unit of ours runs as an earlier file had it.
    ProgramChanged {
        /// Field names.
        changed: Vec<String>,
    },
    /// systemd has not read these units' drop-ins, or the files of ours.
    DropInsUnread {
        /// Which units.
        units: Vec<String>,
        /// Running services that have a GPU, which a reload can take from them.
        endangered: Vec<String>,
    },
    /// `management: full`, and the unit is masked.
    Masked,
    /// `management: full`, and the unit does not start with the machine.
    Disabled,
}

impl Planned {
    /// What it interrupts, for `diff`: `None` when users notice nothing.
    #[must_use]
    pub fn interrupts(&self) -> Option<&'static str> {
        match (&self.action, &self.cause) {
            (Action::StopContainer { .. }, Cause::NotInFile | Cause::Stray | Cause::StopOrdered) => {
                Some("the service ends")
            }
            (Action::StopContainer { .. }, Cause::Superseded) => None,
            (Action::StopContainer { .. }, _) => Some("the service is down until its next start is ready"),
            // Nobody knows it there yet: the old one still serves.
            (Action::Disconnect { .. }, Cause::TakesNameOn { .. }) => None,
            (Action::Disconnect { .. }, _) => Some("its connections on that network"),
            (Action::Unit { verb: UnitVerb::Stop, .. }, _) => Some("the service ends"),
            (Action::Unit { verb: UnitVerb::Restart, .. }, _) => {
                Some("the service is down until its next start is ready")
            }
            (Action::ReloadSystemd, Cause::DropInsUnread { endangered, .. }) if !endangered.is_empty() => {
                Some("containers with a GPU may lose it, and are then to be restarted")
            }
            (_, _) => None,
        }
    }
}

impl Cause {
    /// `image, ports changed`.
    pub(crate) fn fields(changed: &[String]) -> String {
        match changed {
            [] => "its settings differ from the file".to_owned(),
            [one] => format!("{one} changed"),
            many => format!("{} changed", many.join(", ")),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("it does not exist"),
            Self::Replacement { changed } => write!(f, "{}; made beside the old one", Self::fields(changed)),
            Self::Replaced { changed } => {
                write!(f, "{}; its replacement is made and may start", Self::fields(changed))
            }
            Self::StartedBeside { changed } => {
                write!(f, "{}; the old one serves until it is ready", Self::fields(changed))
            }
            Self::Moved { image } => {
                write!(f, "the tag {image} means another image now, and `aiplatctl update` was given")
            }
            Self::Outdated { changed } => {
                write!(f, "{}, and no container is connected: it is made anew", Self::fields(changed))
            }
            Self::GpuLost { said } => write!(f, "it does not reach its GPU any more ({said})"),
            Self::TakenBack { why } => write!(f, "{why}; what served before is brought back"),
            Self::NotStarted => f.write_str("it is not started and all it needs is ready"),
            Self::Ended { how, attempt } => {
                write!(f, "it ended with {how}, restart {}", attempt + 1)
            }
            Self::EndedUnseen { how } => {
                write!(f, "it ended with {how} before aiplatd looked")
            }
            Self::Unresponsive { why, attempt } => {
                write!(f, "it does not answer ({why}), restart {}", attempt + 1)
            }
            Self::EngineStopped => f.write_str("it ended with the engine"),
            Self::DependencyDown => f.write_str("it ended while a dependency was down"),
            Self::Released { how, what } => write!(f, "{what} since it ended with {how}: it is tried again"),
            Self::StoppedByUs => f.write_str("aiplatd had stopped it"),
            Self::DependencyRestarted { dependency } => {
                write!(f, "{dependency} was restarted (restart: true)")
            }
            Self::NotInFile => f.write_str("it is no longer in the file"),
            Self::Superseded => f.write_str("the one in its place is ready"),
            Self::Stray => f.write_str("one service has one container"),
            Self::StrayNetwork => f.write_str("one entry of the file has one network"),
            Self::NetworkReplaced { network } => {
                write!(f, "{network} is made anew, as the file has changed it")
            }
            Self::NameNeeded => f.write_str("its replacement takes the name"),
            Self::TakesName => f.write_str("it takes its final name"),
            Self::NotConnected { network } => write!(f, "it is not connected to {network}"),
            Self::ConnectedWrongly { network } => {
                write!(f, "its connection to {network} is not as in the file")
            }
            Self::TakesNameOn { network } => {
                write!(f, "it is ready, and takes the service's name on {network}")
            }
            Self::NotInNetworks { network } => write!(f, "{network} is not among its networks"),
            Self::LimitsDiffer => f.write_str("its limits differ from the file"),
            Self::ImageReplaced { image } => {
                write!(f, "it cannot run from its image, and {image} means another one now")
            }
            Self::StopOrdered => f.write_str("`aiplatctl stop` was given"),
            Self::RestartOrdered => f.write_str("another run was ordered"),
            Self::RestartLost => f.write_str("the restart before has not come about"),
            Self::ReleaseOrdered => f.write_str("`aiplatctl release` was given"),
            Self::EngineRestarts => {
                f.write_str("the engine was told to restart it, and there would be two who do")
            }
            Self::Paused => f.write_str("it was paused by hand"),
            Self::PullAlways => f.write_str("pull_policy is always"),
            Self::NotOnServer => f.write_str("its server does not have it"),
            Self::PullOrdered => f.write_str("`aiplatctl model pull` was given"),
            Self::Dead => f.write_str("the engine left it dead"),
            Self::UnitNotInFile { unit } => {
                write!(f, "it is no longer in the file; {unit} itself is left as it is")
            }
            Self::ContentDiffers { added: 0, removed: 0 } => {
                f.write_str("its content differs (in the order of its lines, or in its end)")
            }
            Self::ContentDiffers { added, removed } => {
                let of = if added + removed == 1 { "line" } else { "lines" };
                write!(f, "its content differs (+{added} -{removed} {of})")
            }
            Self::FileMeddledWith => f.write_str("somebody has changed or removed it"),
            Self::ContentChanged { configs } => {
                let of = if configs.len() == 1 { "the config" } else { "the configs" };
                write!(f, "{of} {} changed, which a process reads at its start", configs.join(", "))
            }
            Self::KeptBefore => f.write_str("a copy of what is there is kept before it is changed"),
            Self::EngineSettings { added } => write!(f, "it lacks {}", added.join(", ")),
            Self::FilesDiffer { changed } if changed.is_empty() => {
                f.write_str("its environment is not written as the file says")
            }
            Self::FilesDiffer { changed } => f.write_str(&Self::fields(changed)),
            Self::FilesMeddledWith => f.write_str("somebody has changed or removed them"),
            Self::UnitFileNew => f.write_str("the unit is new, and has no file yet"),
            Self::UnitFileDiffers { changed } if changed.is_empty() => {
                f.write_str("it is not as platform.yaml says")
            }
            Self::UnitFileDiffers { changed } => f.write_str(&Self::fields(changed)),
            Self::UnitFileMeddledWith => f.write_str("somebody has changed or removed it"),
            Self::EnvironmentChanged { changed } => {
                write!(f, "{}; a unit reads its environment at its start", Self::fields(changed))
            }
            Self::ProgramChanged { changed } => {
                write!(f, "{}; it runs on as it was started until then", Self::fields(changed))
            }
            Self::DropInsUnread { units, endangered } => {
                write!(f, "files of {} came, went or changed", units.join(", "))?;
                if endangered.is_empty() {
                    return Ok(());
                }
                write!(f, "; a reload can take the GPU from {}, which run", endangered.join(", "))
            }
            Self::Masked => f.write_str("it is masked, and `management` is `full`"),
            Self::Disabled => f.write_str("it does not start with the machine, and `management` is `full`"),
        }
    }
}

impl World<'_> {
    /// The fields in which `wanted` differs from what the object with `print` was made from; empty when that is not
    /// known any more.
    fn changed_fields(
        &self,
        id: &ResourceId,
        print: Option<&Fingerprint>,
        wanted: &impl Fingerprinted,
    ) -> Vec<String> {
        let known = print.and_then(|print| self.ledger.get(id)?.fields.get(print));
        known.map(|before| fingerprint::changed(before, &fingerprint::fields(wanted))).unwrap_or_default()
    }
}

/// The dependencies of the container `id` that are not ready, whether it runs or not.
#[must_use]
pub fn closed_dependencies(world: &World<'_>, id: &ResourceId) -> Vec<Gate> {
    let spec = world.desired.service(id);
    spec.map(|spec| gate::dependencies(world, spec.dependencies())).unwrap_or_default()
}

/// What a person should know of `id` before anything is done, though nothing waits for it: somebody else sets a variable of
/// its unit, or its program runs twice.
#[must_use]
pub fn notes(world: &World<'_>, id: &ResourceId) -> Vec<String> {
    let mut notes = unit::notes(world, id);
    notes.extend(instances::note(world, id));
    if docker::is_it(id) {
        notes.extend(docker::notes(world));
    }
    notes
}

/// An object of this platform's that belongs to another aiplatd instance, if there is one: our state folder was
/// lost, or another daemon manages the same platform.
#[must_use]
pub fn instance_mismatch(world: &World<'_>) -> Option<Gate> {
    let World { desired, observed, .. } = world;
    let names = |name: &str| {
        desired.containers.values().any(|spec| spec.host_name == name)
            || desired.networks.values().any(|spec| !spec.external && spec.host_name == name)
            || desired.volumes.values().any(|spec| !spec.external && spec.host_name == name)
    };
    let containers = observed.foreign.iter().map(|c| ("container", &c.name, &c.owner));
    let networks = observed.networks.iter().map(|n| ("network", &n.name, &n.owner));
    let volumes = observed.volumes.values().map(|v| ("volume", &v.name, &v.owner));
    let (what, name, owner) = containers.chain(networks).chain(volumes).find(|(_, name, owner)| {
        owner.as_ref().is_some_and(|owner| owner.instance != desired.instance) && names(name)
    })?;
    Some(gate::name_taken(world, what, name, owner.as_ref(), None))
}

/// Decides the next step for `id`. Total: any world gives a step, and the same world gives the same step.
#[must_use]
pub fn plan(world: &World<'_>, id: &ResourceId) -> Step {
    let step = match id.kind {
        Kind::Network => network::plan(world, id),
        Kind::Volume => volume::plan(world, id),
        Kind::File => file::plan(world, id),
        Kind::Image => image::plan(world, id),
        Kind::Container => suspended::apply(world, id, container::plan(world, id)),
        Kind::Unit => suspended::apply(world, id, unit::plan(world, id)),
        Kind::Model => model::plan(world, id),
        Kind::Host if *id == ResourceId::local() => machine::plan(world),
        Kind::Host if docker::is_it(id) => docker::plan(world),
        Kind::Host => systemd::plan(world, id),
    };
    let step = gpu::apply(world, id, model::apply(world, id, room::apply(world, id, step)));
    let step = instances::apply(world, id, step.unless_failed(world, id).unless_fought(world, id));
    match world.desired.settings.mode {
        Mode::Auto => step,
        Mode::Observe => step.observe_only(),
    }
}
