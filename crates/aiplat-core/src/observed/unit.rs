//! systemd units as they were last seen. Property names are those of `org.freedesktop.systemd1` (man 5
//! `org.freedesktop.systemd1`).

use std::collections::{BTreeMap, BTreeSet};

use super::{AsOf, FileStamp, Incarnation};
use crate::Timestamp;

/// Whether systemd itself can be asked. A broken bus makes nothing dead.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SystemdFacts {
    /// Why it is out of reach, if it is.
    pub away: Option<String>,
    /// When it last read its files anew, or aiplatd began to listen: what happened before is not known.
    pub reloaded_at: Option<Timestamp>,
}

/// What came of reading the unit's file: `LoadState`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum LoadState {
    /// Read, and good.
    Loaded,
    /// There is no such unit file.
    #[default]
    NotFound,
    /// Linked to /dev/null: somebody has forbidden it.
    Masked,
    /// A line of its file is not understood.
    BadSetting,
    /// Its file could not be read.
    Error,
    /// A word that this version does not know.
    Other(String),
}

/// `ActiveState`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ActiveState {
    /// It runs, or has done its work and counts as running.
    Active,
    /// It runs and reads its configuration again.
    Reloading,
    /// It does not run.
    #[default]
    Inactive,
    /// It does not run, and ended badly.
    Failed,
    /// It is being started, or waits for systemd's own restart.
    Activating,
    /// It is being stopped.
    Deactivating,
    /// A word that this version does not know.
    Other(String),
}

impl ActiveState {
    /// Whether a process of it may be alive.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        match self {
            Self::Active | Self::Reloading | Self::Activating | Self::Deactivating | Self::Other(_) => true,
            Self::Inactive | Self::Failed => false,
        }
    }
}

/// One unit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ObservedUnit {
    /// `Id`: systemd's own name for it; another one than it was asked for by where that is an alias. Empty: not known.
    pub name: String,
    /// What came of reading its file.
    pub load: LoadState,
    /// Why its file is not good; empty when it is.
    pub load_error: String,
    /// What it does.
    pub active: ActiveState,
    /// The same more precisely, in the words of its type: `running`, `auto-restart`.
    pub sub: String,
    /// `UnitFileState`: `enabled`, `disabled`, `static`, `masked`.
    pub file_state: String,
    /// `FragmentPath`: its file.
    pub fragment: String,
    /// What that looked like; `None` where there is none.
    pub fragment_stamp: Option<FileStamp>,
    /// `DropInPaths`: what is laid over it, as loaded.
    pub drop_ins: Vec<String>,
    /// `NeedDaemonReload`: a file has changed since systemd read it.
    pub needs_reload: bool,
    /// Which start of systemd this is of: another one after every boot, the same after a `daemon-reexec`. Opaque; only
    /// compared.
    pub systemd: String,
    /// `InvocationID`: its present or last run; `None` also of one that systemd has forgotten since it ended.
    pub invocation: Option<Incarnation>,
    /// `Result` of the last run: `success`, `exit-code`, `signal`, `core-dump`, `watchdog`, `timeout`, `oom-kill`,
    /// `start-limit-hit`, `resources`, ...
    pub result: String,
    /// systemd would have restarted it after that, had it not done so too often: its start limit, which `Result` names only
    /// where the last run itself had no fault.
    pub given_up: bool,
    /// `MainPID`; 0 when there is none.
    pub main_pid: u32,
    /// `ExecMainStatus`: exit code or signal of the main process's last end.
    pub exit_status: i32,
    /// `ExecMainCode` says that a signal ended it: `exit_status` is that signal.
    pub killed: bool,
    /// `NRestarts`: by systemd itself, since it was last started by a job.
    pub restarts: u32,
    /// The kind of the job that is queued or under way for it, if one is: `start`, `stop`, `restart`.
    pub job: Option<String>,
    /// `StateChangeTimestamp`, in milliseconds since 1970; for display.
    pub since_wall_ms: Option<i64>,
    /// `Environment`: what its files set, without those that `EnvironmentFile` names.
    pub environment: BTreeMap<String, String>,
    /// `EnvironmentFiles`, in order.
    pub environment_files: Vec<String>,
    /// The files that give it variables, the strongest last: first what they set themselves, then the files that they name.
    pub layers: Vec<Layer>,
    /// The last of its files in which `EnvironmentFile=` stands empty: what earlier ones name is void.
    pub files_void_in: Option<String>,
    /// `UnsetEnvironment`: taken away again from what all of them set, by name.
    pub unset: BTreeSet<String>,
    /// `User`: whom it runs as; empty: root.
    pub user: String,
    /// The home of that user; `None` where it is not known.
    pub home: Option<String>,
    /// The program that it starts: the last part of its path. Empty where it is not known.
    pub program: String,
    /// The environment that its main process was started with, from `/proc`; `None` where it cannot be read, or where the
    /// process has written over it (it then lacks the `INVOCATION_ID` that systemd gives to every service).
    pub effective: Option<BTreeMap<String, String>>,
    /// `NextElapseUSecRealtime` of a timer, in milliseconds since 1970.
    pub next_wall_ms: Option<i64>,
    /// `LastTriggerUSec` of a timer, in milliseconds since 1970.
    pub last_wall_ms: Option<i64>,
    /// What aiplatd has written for it.
    pub own: OwnFiles,
    /// The last lines that its last run wrote to the journal, oldest first, 40 at most; only of one that has failed.
    /// Hostile bytes: printable and short when it comes from an adapter.
    pub tail: Vec<String>,
    /// What AppArmor has denied its last run, a sentence each; only of one that has failed.
    pub denials: Vec<String>,
    /// When this was seen.
    pub as_of: AsOf,
}

/// What one file gives to a unit's process, as found on disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layer {
    /// The unit's own file, a drop-in, or a file that one of these names with `EnvironmentFile=`.
    pub path: String,
    /// The one that names it; `None`: `path` sets them itself, with `Environment=`.
    pub named_in: Option<String>,
    /// Name and value.
    pub variables: BTreeMap<String, String>,
}

/// The files that aiplatd writes for a unit, as found on disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnFiles {
    /// Where the drop-in is, or would be: `/etc/systemd/system/<unit>.d/50-aiplatd.conf`.
    pub drop_in_path: String,
    /// Where the environment is, or would be.
    pub environment_path: String,
    /// The drop-in's text, if it is there.
    pub drop_in: Option<String>,
    /// The environment's text, if it is there.
    pub environment: Option<String>,
    /// systemd has read the drop-in: its path is among `DropInPaths`.
    pub loaded: bool,
    /// Where a complete unit file of ours is, or would be: `/etc/systemd/system/<unit>`.
    pub unit_path: String,
    /// The text of what is there; it may be somebody else's.
    pub unit_file: Option<String>,
}
