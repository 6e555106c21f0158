//! Conditions and reasons: the vocabulary of status. Both are API: stable, in the reference, one enum each.

use std::fmt;

use serde::{Deserialize, Serialize};

/// True, False, or not known. Never guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Status {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Its source cannot be reached, or has not been asked yet.
    Unknown,
}

impl Status {
    /// `True` or `False`.
    #[must_use]
    pub const fn of(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        })
    }
}

macro_rules! vocabulary {
    ($(#[doc = $about:literal])+ enum $type:ident { $($(#[doc = $doc:literal])+ $name:ident,)+ }) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $type { $($(#[doc = $doc])+ $name,)+ }

        impl $type {
            /// Every one with its explanation, for the generated reference and `aiplatctl explain`.
            pub const ALL: &'static [(Self, &'static str)] = &[$((Self::$name, concat!($($doc),+)),)+];
        }
    };
}

vocabulary! {
/// What is said of a resource, in the order of cure: `describe` prints the first abnormal one.
enum ConditionType {
    /// The engine answers.
    DockerReachable,
    /// systemd answers; said only where a service is one of its units.
    SystemdReachable,
    /// A file system that the platform lives on is short of room, or full (abnormal when True).
    DiskPressure,
    /// The machine asks for a restart (abnormal when True).
    RebootRequired,
    /// The engine runs with other settings than its file has, until somebody restarts it (abnormal when True).
    EngineRestartRequired,
    /// NVIDIA's kernel module and library are of different versions (abnormal when True).
    GPUDriverMismatch,
    /// The GPUs can be asked, and answer; said only where there is one.
    GPUReady,
    /// The file in force is valid.
    SpecValid,
    /// The ledger had to be given up (abnormal when True).
    LedgerLost,
    /// Another instance owns objects of this platform's name (abnormal when True).
    InstanceMismatch,
    /// The resource is part of the desired state.
    Accepted,
    /// A person keeps aiplatd's hands off it (abnormal when True).
    Suspended,
    /// A foreign object has its name (abnormal when True).
    NameTaken,
    /// systemd has read the unit's file, and nobody has forbidden it.
    UnitLoaded,
    /// What aiplatd writes for the unit is as the file says, and systemd has read it.
    DropInApplied,
    /// Somebody else's file has the last word on a variable of the unit, or the administrator on a setting of the engine
    /// (abnormal when True).
    Overridden,
    /// The image is on this machine.
    ImageAvailable,
    /// The files of its configs are written as the file says; said only of a service that has some.
    ConfigRendered,
    /// Volumes and paths exist, and nobody else has them open.
    StorageReady,
    /// The model fits on the disk of its server, or is there.
    SpaceAvailable,
    /// The host ports are free, or ours.
    PortsFree,
    /// It has the GPUs that it asks for; said only of a service that asks for some.
    GPUAllocated,
    /// What it depends on is ready.
    DependenciesReady,
    /// The model is being pulled.
    Pulling,
    /// The server has the model; the GPU is in the machine.
    Present,
    /// The GPU's driver answers.
    DriverOk,
    /// Its process runs, or has done its work.
    Started,
    /// The unit is active.
    Active,
    /// The unit listens on the port that it is asked at.
    Listening,
    /// Containers that depend on the unit reach it; it is no part of Ready, and nobody is kept from starting by it.
    Reachable,
    /// Its probe passes.
    Healthy,
    /// It computes on the GPU that it has; said only where that can be told, and no part of Ready.
    GPUInUse,
    /// It has every model that the file asks of it; it is no part of Ready.
    ModelsPresent,
    /// It restarts again and again (abnormal when True).
    CrashLoop,
    /// It differs from the file and is left so, for now (abnormal when True).
    Drifted,
    /// No further attempt until something changes (abnormal when True).
    Held,
    /// The same program runs a second time on this machine, and the file does not ask for it (abnormal when True).
    SecondInstance,
    /// Work on it goes on.
    Progressing,
    /// It does what the file says.
    Ready,
}
}

impl ConditionType {
    /// Whether `True` is the abnormal status.
    #[must_use]
    pub fn abnormal_when_true(self) -> bool {
        match self {
            Self::LedgerLost
            | Self::DiskPressure
            | Self::RebootRequired
            | Self::EngineRestartRequired
            | Self::GPUDriverMismatch
            | Self::InstanceMismatch
            | Self::Suspended
            | Self::NameTaken
            | Self::Overridden
            | Self::SecondInstance
            | Self::CrashLoop
            | Self::Drifted
            | Self::Held => true,
            Self::DockerReachable
            | Self::SystemdReachable
            | Self::GPUReady
            | Self::UnitLoaded
            | Self::DropInApplied
            | Self::Active
            | Self::Listening
            | Self::Reachable
            | Self::SpecValid
            | Self::Accepted
            | Self::ImageAvailable
            | Self::ConfigRendered
            | Self::StorageReady
            | Self::SpaceAvailable
            | Self::Pulling
            | Self::Present
            | Self::ModelsPresent
            | Self::DriverOk
            | Self::GPUInUse
            | Self::PortsFree
            | Self::GPUAllocated
            | Self::DependenciesReady
            | Self::Started
            | Self::Healthy
            | Self::Progressing
            | Self::Ready => false,
        }
    }
}

impl fmt::Display for ConditionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Why a condition has its status. CamelCase words that scripts may compare.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Reason { $($(#[doc = $doc])+ $name,)+ }

        impl Reason {
            /// Every reason with its explanation, for the generated reference and `aiplatctl explain`.
            pub const ALL: &'static [(Self, &'static str)] = &[$((Self::$name, concat!($($doc),+)),)+];
        }
    };
}

reasons! {
    /// As the file says.
    AsDesired,
    /// In the file in force.
    InFile,
    /// No longer in the file.
    NotInFile,
    /// It does not exist yet.
    Missing,
    /// It exists.
    Present,
    /// Not looked at yet.
    NotObserved,
    /// The engine does not answer.
    EngineUnreachable,
    /// The engine answers.
    EngineReachable,
    /// systemd does not answer on the bus.
    SystemdUnreachable,
    /// systemd answers.
    SystemdReachable,
    /// systemd knows no unit of that name.
    UnitNotFound,
    /// The name is an alias: the unit itself has another one.
    UnitAlias,
    /// The unit is masked: somebody has forbidden it.
    UnitMasked,
    /// systemd does not understand the unit's file.
    UnitInvalid,
    /// systemd has not read the drop-in yet.
    ReloadPending,
    /// The unit's process is given other values than the file says, by somebody else's drop-in or by the unit itself.
    EnvironmentOverridden,
    /// The folder that a variable of the unit is to name lacks what the present one holds.
    DataLeftBehind,
    /// The same program runs a second time, outside the file.
    SecondInstance,
    /// The unit has failed, and systemd does not start it again.
    UnitFailed,
    /// The unit failed too often too fast, and systemd refuses to start it.
    StartLimitHit,
    /// systemd restarts the unit by itself.
    RestartedBySystemd,
    /// Its timer waits for the next run.
    Scheduled,
    /// The last run that its timer has started failed.
    RunFailed,
    /// The unit was stopped by somebody else, or has ended by itself with success.
    StoppedByAdministrator,
    /// systemd does not start the unit with the machine.
    UnitDisabled,
    /// The unit is being started, for longer than it may take.
    ActivatingTooLong,
    /// It is not judged before an earlier stage of readiness is reached.
    WaitingForStage,
    /// The unit listens where it is asked.
    Listens,
    /// Nobody listens on the port that the unit is asked at.
    NobodyListens,
    /// The unit listens, and not where it is asked.
    ListensElsewhere,
    /// Somebody else listens on the port that the unit is asked at.
    PortHeldByOther,
    /// The unit listens on an address that containers may reach; no container has tried yet.
    ListensForContainers,
    /// The unit listens on loopback addresses only, where no container reaches it.
    ListensOnLoopback,
    /// A connection from inside each container that depends on it was taken.
    Reached,
    /// A connection from inside a container that depends on it was refused.
    ConnectionRefused,
    /// A connection from inside a container that depends on it had no answer: as a rule a firewall.
    ConnectionTimedOut,
    /// A container that depends on it has no way to the host.
    NoRoute,
    /// A container, network, volume or unit of the same name, or a file in the same place, belongs to somebody else.
    NameTaken,
    /// Objects of this platform's name belong to another aiplatd instance.
    InstanceMismatch,
    /// The image, or the model, is being pulled.
    Pulling,
    /// The image is not on this machine and its pull policy is `never`.
    PullNever,
    /// The registry does not have the image, or not for this platform.
    ImageNotFound,
    /// The registry refused our credentials.
    RegistryDenied,
    /// The registry does not answer, or limits us.
    RegistryUnavailable,
    /// The registry has no such model.
    ModelNotFound,
    /// The server of the model does not answer.
    ModelServerUnreachable,
    /// An external network or volume does not exist.
    ExternalMissing,
    /// Another running container has the volume or host path open for writing.
    VolumeInUse,
    /// The host path does not exist.
    HostPathMissing,
    /// The host port is held by somebody else.
    PortTaken,
    /// It waits for what it depends on.
    WaitingForDependencies,
    /// It waits for a network, volume or image of its own.
    WaitingForResources,
    /// It waits for the next restart attempt.
    BackOff,
    /// Five restarts or more within ten minutes.
    CrashLoop,
    /// Its program is not in the image.
    ExecutableMissing,
    /// Its program, a library or a module of it is not in the image, or is not for this machine.
    ImageDefect,
    /// It refuses its configuration.
    ConfigInvalid,
    /// A server refuses its password or key.
    WrongCredentials,
    /// Its data is of another version of the program.
    DataIncompatible,
    /// Driver and library of the GPU disagree.
    GPUDriverMismatch,
    /// It cannot reach its GPU any more.
    GPULost,
    /// The certificate authority limits us.
    ACMELimited,
    /// The process has ended.
    Exited,
    /// The kernel killed it for memory.
    OOMKilled,
    /// It ended because the engine did; it is started again and nothing is counted.
    EngineStopped,
    /// It runs.
    Running,
    /// It is being started.
    Starting,
    /// A person keeps it stopped with `aiplatctl stop`.
    StoppedByHand,
    /// A person keeps aiplatd's hands off it with `aiplatctl suspend`.
    Suspended,
    /// A person has handed it back to the engine with `aiplatctl release`.
    Released,
    /// It has done its work.
    Completed,
    /// It has ended badly and its restart policy leaves it so.
    Failed,
    /// Its probe passes.
    ProbePassed,
    /// Its probe has not passed yet, and its time is not up.
    ProbePending,
    /// Its probe fails.
    ProbeFailed,
    /// It runs and fails its liveness probe: it is restarted.
    Unresponsive,
    /// It has no probe: running is healthy.
    NoProbe,
    /// It differs from the file.
    FingerprintDiffers,
    /// An edit did not become ready; what served before was brought back.
    TakenBack,
    /// Somebody undoes, again and again, what aiplatd puts right.
    FoughtOver,
    /// A disruptive change waits for another one.
    ReplacementPending,
    /// A removal waits until the file has been unchanged for two seconds.
    RemovalGrace,
    /// A removal waits for `aiplatctl apply --confirm`.
    ConfirmationNeeded,
    /// Containers still name the network.
    InUse,
    /// `reconcile.mode` is `observe`.
    ObserveOnly,
    /// The host refused the action.
    ActionRejected,
    /// The host could not carry out the action this time.
    ActionFailed,
    /// We lack the permission.
    PermissionDenied,
    /// The host cannot do this.
    Unsupported,
    /// The disk is full.
    DiskFull,
    /// The disk is short of room.
    DiskPressure,
    /// A disk that it writes to is full.
    StorageFull,
    /// No disk is short of room.
    RoomEnough,
    /// The distribution, or the kernel's own package, asks for a restart of the machine.
    RebootRequired,
    /// The administrator has set it otherwise, and that stays.
    SetOtherwise,
    /// The engine has not read its file since that was changed.
    EngineRestartRequired,
    /// The engine's own file cannot be understood, and is left alone.
    SettingsInvalid,
    /// A tool has to be installed, or run, by a person first.
    ToolMissing,
    /// There is a card, and no driver for it.
    GPUDriverMissing,
    /// The GPU's devices may not be opened.
    GPUNoPermission,
    /// The driver does not answer.
    GPUHung,
    /// The driver answers with an error.
    GPUUnknown,
    /// No GPU of this machine is as the service asks.
    GPUMissing,
    /// The GPU that the service has is not in this machine any more.
    GPUGone,
    /// The driver asks for a reset of the GPU, or for a restart of the machine.
    GPUUnhealthy,
    /// It has a GPU, and computes on the CPU.
    OnCPU,
    /// Too little of the GPU's memory is left.
    GPUMemoryTaken,
    /// The engine cannot hand out GPUs: NVIDIA's container toolkit is missing, or not set up.
    GPURuntimeMissing,
    /// The specification of the Container Device Interface was made for another driver, or cannot be read.
    CDISpecStale,
    /// A mistake of ours; please report it.
    InternalError,
    /// The file in force is the one on disk.
    SpecAccepted,
    /// The file on disk is not valid; the last good one stays in force.
    SpecInvalid,
    /// The file on disk is gone; the last good one stays in force.
    SpecMissing,
    /// The ledger was read as it was left.
    LedgerIntact,
    /// The ledger was damaged and an older one is used.
    LedgerDamaged,
    /// Every member is Ready.
    AllReady,
    /// Some members are not Ready.
    MembersNotReady,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// One statement about a resource, as computed; when it last changed is in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// What is said.
    #[serde(rename = "type")]
    pub kind: ConditionType,
    /// Whether it holds.
    pub status: Status,
    /// Why.
    pub reason: Reason,
    /// A sentence for a person: what, why, what to do. Empty when all is well.
    pub message: String,
}

impl Condition {
    /// Whether it is as one wants it.
    #[must_use]
    pub fn is_normal(&self) -> bool {
        match self.status {
            Status::Unknown => false,
            Status::True => !self.kind.abnormal_when_true(),
            // What is not at work is as well as what is.
            Status::False => {
                self.kind.abnormal_when_true()
                    || matches!(self.kind, ConditionType::Progressing | ConditionType::Pulling)
            }
        }
    }
}

/// The class of a host's error: it decides the retry, nobody else does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ErrorClass {
    /// Capped back-off, for ever.
    Transient,
    /// The world differs from what was observed: look again now, at most three times in a row.
    Changed,
    /// No retry until the spec or the resource changes.
    Rejected,
    /// Slow and loud.
    Denied,
    /// Until the host changes.
    Unsupported,
    /// Our mistake; this resource only.
    Bug,
}

vocabulary! {
/// The one word that a table prints: the first that holds, in this order.
enum Word {
    /// A person keeps aiplatd's hands off it.
    Suspended,
    /// No further attempt until something changes.
    Held,
    /// The source cannot be reached.
    Unknown,
    /// Restarts again and again, and is not ready.
    CrashLoop,
    /// Waits for its next attempt.
    BackOff,
    /// An image, or a model, is on its way.
    Pulling,
    /// Waits for something before it can start.
    Pending,
    /// Started, not ready yet, within its time.
    Starting,
    /// Runs and is not ready.
    NotReady,
    /// It serves, with something wrong around it: a dependency that is down, an edit that was taken back or waits.
    Degraded,
    /// A person keeps it stopped.
    Stopped,
    /// Done, successfully.
    Completed,
    /// Ended badly and stays so.
    Failed,
    /// As desired.
    Ready,
}
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
