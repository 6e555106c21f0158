//! Why a process ended, told from how it ended and from what it said last: a guess, and therefore always with its
//! evidence. The class decides what follows, see [`FailureClass::is_permanent`].
//!
//! The texts are those of real programs; `tests/tails` holds the recordings that they are tested with.

use serde::{Deserialize, Serialize};

use crate::condition::Reason;

/// What kind of failure ended a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FailureClass {
    /// The engine stopped, restarted or was away: not counted, started again in order.
    EngineStopped,
    /// A declared dependency was not ready: not counted, started again when it is.
    DependencyDown,
    /// The kernel killed it for memory.
    OutOfMemory,
    /// What it wants to listen on is taken.
    PortInUse,
    /// It may not do what it wants to do with a file.
    PermissionDenied,
    /// A disk is full.
    DiskFull,
    /// Its program, a library or a module of it is not in the image, or is not for this machine.
    ImageDefect,
    /// It refuses its configuration.
    ConfigInvalid,
    /// A server refuses its password or key.
    WrongCredentials,
    /// Its data is of another version of the program.
    DataIncompatible,
    /// Driver and library of the GPU disagree.
    DriverMismatch,
    /// It cannot reach its GPU any more.
    GpuLost,
    /// The certificate authority limits us.
    AcmeLimited,
    /// It ran and did not answer its liveness probe: aiplatd ended it.
    Unresponsive,
    /// It ended with success although it is to run on.
    CompletedUnexpectedly,
    /// Anything else: tried again, ever more slowly.
    #[default]
    Unknown,
}

/// How a process ended.
#[derive(Debug, Clone, Copy)]
pub struct End<'a> {
    /// What it exited with.
    pub exit_code: i64,
    /// The kernel killed it for memory.
    pub oom_killed: bool,
    /// It ended because the engine did.
    pub with_engine: bool,
    /// A dependency that it needs was not ready when it ended.
    pub dependency_down: bool,
    /// It had only begun: later, a line of its log is about its work and says little about its end.
    pub at_start: bool,
    /// Its last lines, oldest first; 40 are enough.
    pub tail: &'a [String],
}

/// What is thought to have ended a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// The kind of failure.
    pub class: FailureClass,
    /// The line that says so; `None` where no line was needed.
    pub quote: Option<String>,
    /// What a person does about it; empty where nothing is known.
    pub advice: &'static str,
}

impl FailureClass {
    /// Every class, in the order in which they are told apart.
    pub const ALL: &'static [Self] = &[
        Self::EngineStopped,
        Self::DependencyDown,
        Self::OutOfMemory,
        Self::PortInUse,
        Self::PermissionDenied,
        Self::DiskFull,
        Self::ImageDefect,
        Self::ConfigInvalid,
        Self::WrongCredentials,
        Self::DataIncompatible,
        Self::DriverMismatch,
        Self::GpuLost,
        Self::AcmeLimited,
        Self::Unresponsive,
        Self::CompletedUnexpectedly,
        Self::Unknown,
    ];

    /// Whether another try changes nothing until a person, or what it was started on, has changed something: held
    /// after the second end in a row.
    #[must_use]
    pub fn is_permanent(self) -> bool {
        match self {
            Self::ImageDefect | Self::ConfigInvalid | Self::WrongCredentials | Self::DataIncompatible => true,
            Self::EngineStopped
            | Self::DependencyDown
            | Self::OutOfMemory
            | Self::PortInUse
            | Self::PermissionDenied
            | Self::DiskFull
            | Self::DriverMismatch
            | Self::GpuLost
            | Self::AcmeLimited
            | Self::Unresponsive
            | Self::CompletedUnexpectedly
            | Self::Unknown => false,
        }
    }

    /// What a condition says as its reason.
    #[must_use]
    pub fn reason(self) -> Reason {
        match self {
            Self::EngineStopped => Reason::EngineStopped,
            Self::DependencyDown => Reason::WaitingForDependencies,
            Self::OutOfMemory => Reason::OOMKilled,
            Self::PortInUse => Reason::PortTaken,
            Self::PermissionDenied => Reason::PermissionDenied,
            Self::DiskFull => Reason::DiskFull,
            Self::ImageDefect => Reason::ImageDefect,
            Self::ConfigInvalid => Reason::ConfigInvalid,
            Self::WrongCredentials => Reason::WrongCredentials,
            Self::DataIncompatible => Reason::DataIncompatible,
            Self::DriverMismatch => Reason::GPUDriverMismatch,
            Self::GpuLost => Reason::GPULost,
            Self::AcmeLimited => Reason::ACMELimited,
            Self::Unresponsive => Reason::Unresponsive,
            Self::CompletedUnexpectedly | Self::Unknown => Reason::Exited,
        }
    }

    /// In a few words, after "it ended with exit 1: "; empty where the exit code says all there is to say.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::EngineStopped => "the engine stopped",
            Self::DependencyDown => "a dependency was down",
            Self::OutOfMemory => "it was killed for memory",
            Self::PortInUse => "the address it listens on is taken",
            Self::PermissionDenied => "it lacks a permission",
            Self::DiskFull => "a disk is full",
            Self::ImageDefect => "its image lacks something it needs",
            Self::ConfigInvalid => "it refuses its configuration",
            Self::WrongCredentials => "its password or key is refused",
            Self::DataIncompatible => "its data is of another version",
            Self::DriverMismatch => "the GPU's driver and library disagree",
            Self::GpuLost => "it cannot reach its GPU",
            Self::AcmeLimited => "the certificate authority limits us",
            Self::Unresponsive => "it does not answer",
            Self::CompletedUnexpectedly => "it is to run on, and ended with success",
            Self::Unknown => "",
        }
    }
}

/// All texts of a row must be in one line, in lower case.
struct Row {
    needles: &'static [&'static str],
    /// For this exit code only.
    exit: Option<i64>,
    /// The line names the cause itself, and not only that there is one: it is preferred to later lines that do not.
    names_cause: bool,
    class: FailureClass,
    advice: &'static str,
}

const fn row(class: FailureClass, advice: &'static str, needles: &'static [&'static str]) -> Row {
    Row { needles, exit: None, names_cause: true, class, advice }
}

const fn row_at(
    exit: i64,
    class: FailureClass,
    advice: &'static str,
    needles: &'static [&'static str],
) -> Row {
    Row { exit: Some(exit), ..row(class, advice, needles) }
}

/// A line that tells the kind of failure and not the cause.
const fn vague(class: FailureClass, advice: &'static str, needles: &'static [&'static str]) -> Row {
    Row { names_cause: false, ..row(class, advice, needles) }
}

use FailureClass::{
    AcmeLimited, ConfigInvalid, DataIncompatible, DiskFull, DriverMismatch, GpuLost, ImageDefect,
    OutOfMemory, PermissionDenied, PortInUse, Unknown, WrongCredentials,
};

const FREE_PORT: &str = "give it another port, or end what listens there";
const PERMIT: &str = "give its user the right to that path (`user:` in the file, or `chown` on the host)";
const SPACE: &str = "free space on that disk";
const MEMORY: &str = "raise `deploy.resources.limits.memory`, or give it less to do";
const OTHER_IMAGE: &str = "take an image that has it, or check `command` and `entrypoint`";
const PLATFORM: &str = "take an image made for this machine's processor";
const CONFIGURE: &str = "correct the setting that the line names";
const PASSWORD: &str = "make the password here and in the server the same; aiplatd changes neither";
const VERSION: &str = "take the image of the version that wrote the data, or migrate the data";
const DRIVER: &str = "reload the driver's module, or reboot";
const DEVICE: &str = "see that the host still has the GPU, and recreate the container";
const LATER: &str = "wait until the time that the authority names";

/// The first row that matches a line counts. Of several lines, the last that names a cause; else the last that matches.
#[rustfmt::skip] // One row, one line.
const ROWS: &[Row] = &[
    // Looks like another class, and passes by itself or says nothing of a cure.
    row(Unknown, "", &["host not found in upstream"]),
    row(Unknown, "grant its database user that right", &["permission denied for table"]),
    row(Unknown, "grant its database user that right", &["permission denied for schema"]),
    row(Unknown, "restore the data from a backup", &["could not locate a valid checkpoint record"]),
    row(DriverMismatch, DRIVER, &["driver/library version mismatch"]),
    row(DriverMismatch, DRIVER, &["cuda driver version is insufficient"]),
    row(GpuLost, DEVICE, &["failed to initialize nvml: unknown error"]),
    row(GpuLost, DEVICE, &["no cuda-capable device is detected"]),
    row(GpuLost, DEVICE, &["cuda error", "initialization error"]),
    row(GpuLost, DEVICE, &["gpu is lost"]),
    row(OutOfMemory, MEMORY, &["memoryerror"]),
    row(OutOfMemory, MEMORY, &["cannot allocate memory"]),
    row(OutOfMemory, MEMORY, &["unable to allocate", "gib"]),
    row(OutOfMemory, MEMORY, &["javascript heap out of memory"]),
    row(OutOfMemory, MEMORY, &["java.lang.outofmemoryerror"]),
    row(OutOfMemory, MEMORY, &["fatal error:", "memory"]),
    row(OutOfMemory, MEMORY, &["terminate called", "bad_alloc"]),
    row(OutOfMemory, MEMORY, &["could not reserve enough space for"]),
    row(OutOfMemory, MEMORY, &["memory allocation of", "failed"]),
    row(PortInUse, FREE_PORT, &["address already in use"]),
    vague(PortInUse, FREE_PORT, &["eaddrinuse"]),
    row(PortInUse, FREE_PORT, &["port", "is already in use"]),
    row(DiskFull, SPACE, &["no space left on device"]),
    vague(DiskFull, SPACE, &["enospc"]),
    row(DiskFull, SPACE, &["out of disk space"]),
    row(DiskFull, SPACE, &["disk quota exceeded"]),
    row(DiskFull, SPACE, &["database or disk is full"]),
    row(WrongCredentials, PASSWORD, &["password authentication failed"]),
    row(WrongCredentials, PASSWORD, &["wrongpass"]),
    row(WrongCredentials, PASSWORD, &["invalid username-password pair"]),
    row(WrongCredentials, PASSWORD, &["access denied for user"]),
    row(WrongCredentials, PASSWORD, &["no pg_hba.conf entry"]),
    row(WrongCredentials, PASSWORD, &["mismatching encryption keys"]),
    row(WrongCredentials, PASSWORD, &["authenticationerror"]),
    vague(WrongCredentials, PASSWORD, &["noauth authentication required"]),
    row(DataIncompatible, VERSION, &["was initialized by postgresql version"]),
    row(DataIncompatible, VERSION, &["can't handle rdb format version"]),
    row(DataIncompatible, "see that the right folder is mounted", &["is not a valid data directory"]),
    vague(DataIncompatible, VERSION, &["database files are incompatible with server"]),
    row(AcmeLimited, LATER, &["acme:error:ratelimited"]),
    row(ImageDefect, PLATFORM, &["exec format error"]),
    row(ImageDefect, PLATFORM, &["cannot execute binary file"]),
    row(ImageDefect, OTHER_IMAGE, &["executable file not found"]),
    row(ImageDefect, OTHER_IMAGE, &["bad interpreter"]),
    row(ImageDefect, OTHER_IMAGE, &["modulenotfounderror"]),
    row(ImageDefect, OTHER_IMAGE, &["importerror"]),
    vague(ImageDefect, OTHER_IMAGE, &["no module named"]),
    row(ImageDefect, OTHER_IMAGE, &["could not import module"]),
    row(ImageDefect, OTHER_IMAGE, &["can't open file", "no such file or directory"]),
    row(ImageDefect, OTHER_IMAGE, &["cannot find module"]),
    row(ImageDefect, OTHER_IMAGE, &["cannot find package"]),
    vague(ImageDefect, OTHER_IMAGE, &["err_module_not_found"]),
    row(ImageDefect, OTHER_IMAGE, &["error while loading shared libraries"]),
    row(ImageDefect, OTHER_IMAGE, &["symbol lookup error"]),
    row(ImageDefect, OTHER_IMAGE, &["[dumb-init]", "no such file or directory"]),
    row(ImageDefect, OTHER_IMAGE, &["exec: ", "no such file or directory"]),
    row(ImageDefect, "check `user`: the image does not know it", &["unable to find user"]),
    row(ImageDefect, OTHER_IMAGE, &["unsupportedclassversionerror"]),
    row(ImageDefect, OTHER_IMAGE, &["noclassdeffounderror"]),
    row(ImageDefect, OTHER_IMAGE, &["unable to access jarfile"]),
    row(ImageDefect, OTHER_IMAGE, &["failed opening required"]),
    row(ConfigInvalid, CONFIGURE, &["syntaxerror: ", "json"]),
    row(ImageDefect, "take an image whose program is whole, and made for this machine", &[": syntax error: "]),
    row(ImageDefect, OTHER_IMAGE, &["cannot open shared object file"]),
    row(ImageDefect, OTHER_IMAGE, &["version `glibc", "not found"]),
    row(ImageDefect, OTHER_IMAGE, &["could not access file", "no such file or directory"]),
    row(ImageDefect, OTHER_IMAGE, &["could not find or load main class"]),
    row(ImageDefect, "take an image whose program is whole", &["syntaxerror: "]),
    row_at(127, ImageDefect, OTHER_IMAGE, &["not found"]),
    row_at(127, ImageDefect, OTHER_IMAGE, &["no such file or directory"]),
    row_at(126, ImageDefect, "make the program executable in its image", &["permission denied"]),
    row(PermissionDenied, PERMIT, &["permission denied"]),
    vague(PermissionDenied, PERMIT, &["eacces"]),
    row(PermissionDenied, PERMIT, &["accessdeniedexception"]),
    row(PermissionDenied, PERMIT, &["innodb", "must be writable"]),
    row(PermissionDenied, PERMIT, &["error listing data dir"]),
    row(PermissionDenied, PERMIT, &["has wrong ownership"]),
    row(PermissionDenied, PERMIT, &["has invalid permissions"]),
    row(PermissionDenied, "name another user with `user:`", &["\"root\" execution", "not permitted"]),
    row(PermissionDenied, "name another user with `user:`", &["to run", "as root!"]),
    row(ConfigInvalid, CONFIGURE, &["unrecognized configuration parameter"]),
    row(ConfigInvalid, CONFIGURE, &["invalid value for parameter"]),
    row(ConfigInvalid, CONFIGURE, &["invalid cidr mask"]),
    row(ConfigInvalid, CONFIGURE, &["loading configuration file failed"]),
    row(ConfigInvalid, CONFIGURE, &["invalid command '", "misspelled"]),
    row(ConfigInvalid, CONFIGURE, &["bad option at line"]),
    row(ConfigInvalid, CONFIGURE, &["invalid value", "for flag"]),
    row(ConfigInvalid, CONFIGURE, &["unknown keyword"]),
    row(ConfigInvalid, CONFIGURE, &["parse config"]),
    row(ConfigInvalid, CONFIGURE, &["invalid maximum heap size"]),
    row(ConfigInvalid, CONFIGURE, &["error while setting value"]),
    row(ConfigInvalid, CONFIGURE, &["unable to open pwfile"]),
    row(ConfigInvalid, CONFIGURE, &["unknown configuration variable"]),
    row(ConfigInvalid, CONFIGURE, &["is not allowed in node_options"]),
    row(ConfigInvalid, CONFIGURE, &["[err_socket_bad_port]"]),
    row(ConfigInvalid, CONFIGURE, &["unable to parse value for entry"]),
    row(ConfigInvalid, CONFIGURE, &["parameter not set"]),
    row(ConfigInvalid, CONFIGURE, &["invalid port in"]),
    row(ConfigInvalid, CONFIGURE, &["error: ", " is required"]),
    row(ConfigInvalid, CONFIGURE, &["improperlyconfigured"]),
    row(ConfigInvalid, CONFIGURE, &["superuser password is not specified"]),
    row(ConfigInvalid, CONFIGURE, &["bad directive or wrong number of arguments"]),
    row(ConfigInvalid, CONFIGURE, &["argument must be"]),
    row(ConfigInvalid, CONFIGURE, &["can't open config file"]),
    row(ConfigInvalid, CONFIGURE, &["error loading config"]),
    row(ConfigInvalid, CONFIGURE, &["reading config file"]),
    row(ConfigInvalid, CONFIGURE, &["loading initial config"]),
    row(ConfigInvalid, CONFIGURE, &["adapting config using"]),
    row(ConfigInvalid, CONFIGURE, &["yaml.scanner.scannererror"]),
    row(ConfigInvalid, CONFIGURE, &["yaml.parser.parsererror"]),
    row(ConfigInvalid, CONFIGURE, &["yaml: line "]),
    row(ConfigInvalid, CONFIGURE, &["yaml: unmarshal errors"]),
    row(ConfigInvalid, CONFIGURE, &["tomldecodeerror"]),
    row(ConfigInvalid, CONFIGURE, &["jsondecodeerror"]),
    row(ConfigInvalid, CONFIGURE, &["validation error", "for "]),
    row(ConfigInvalid, CONFIGURE, &["unrecognized arguments"]),
    row(ConfigInvalid, CONFIGURE, &["error parsing commandline"]),
    row(ConfigInvalid, CONFIGURE, &["invalid literal for int()"]),
    row(ConfigInvalid, CONFIGURE, &["unknown variable"]),
    row(ConfigInvalid, CONFIGURE, &["unknown option"]),
    row(ConfigInvalid, CONFIGURE, &["unrecognized option"]),
    row(ConfigInvalid, CONFIGURE, &["unbound variable"]),
    row(ConfigInvalid, CONFIGURE, &["invalid configuration"]),
    row(ConfigInvalid, CONFIGURE, &["invalid config"]),
    row(ConfigInvalid, CONFIGURE, &["failed to parse config"]),
    row(ConfigInvalid, CONFIGURE, &["could not parse config"]),
    row(ConfigInvalid, CONFIGURE, &["configuration error"]),
    vague(ConfigInvalid, CONFIGURE, &["[emerg]"]),
    vague(ConfigInvalid, CONFIGURE, &["configuration file", "contains errors"]),
    vague(ConfigInvalid, CONFIGURE, &["fatal config file error"]),
];

/// Levels below error.
const HARMLESS: &[&str] = &["warn", "warning", "info", "debug", "notice", "trace"];

/// What ended a process: what the host knows comes first, then its exit code and what it said.
#[must_use]
pub fn classify(end: &End<'_>) -> Diagnosis {
    let End { exit_code, oom_killed, with_engine, dependency_down, at_start, tail } = *end;
    let told = |class, advice| Diagnosis { class, quote: None, advice };
    if with_engine {
        return told(FailureClass::EngineStopped, "");
    }
    if oom_killed {
        return told(
            FailureClass::OutOfMemory,
            "raise `deploy.resources.limits.memory`, or give it less to do",
        );
    }
    if dependency_down {
        return told(FailureClass::DependencyDown, "");
    }
    if exit_code == 0 {
        return told(FailureClass::CompletedUnexpectedly, "");
    }
    let lines = from_first_traceback(tail).iter().rev().filter(|_| at_start);
    let said: Vec<_> = lines.filter_map(|line| Some((line, meaning(exit_code, line)?))).collect();
    match said.iter().find(|(_, row)| row.names_cause).or(said.first()) {
        Some((line, row)) => Diagnosis { class: row.class, quote: Some((*line).clone()), advice: row.advice },
        None => told(FailureClass::Unknown, ""),
    }
}

/// What Python says before it dies of an exception is about something else.
fn from_first_traceback(tail: &[String]) -> &[String] {
    let begins = |line: &String| line.trim_start().starts_with("Traceback (most recent call last)");
    tail.iter().position(begins).map_or(tail, |first| &tail[first..])
}

fn meaning(exit_code: i64, line: &str) -> Option<&'static Row> {
    let line = line.to_lowercase();
    if is_harmless(&line) {
        return None;
    }
    ROWS.iter().find(|row| {
        row.exit.is_none_or(|code| code == exit_code)
            && row.needles.iter().all(|needle| line.contains(needle))
    })
}

/// Whether one of the first words of `line` is a level below error: `2026-11-21 06:20:11 WARNING ...`,
/// `level=info msg=...`, `{"level":"warn",...}`. Redis says `# Warning: Could not create ...` of what it ends for.
fn is_harmless(line: &str) -> bool {
    let words = line.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty());
    words.take(6).any(|word| HARMLESS.contains(&word)) && !line.contains("# warning: could not")
}
