//! What systemd's errors mean: a table from the error's D-Bus name to class, reason and next step. Pure.

use std::io;

use aiplat_core::condition::{ErrorClass, Reason};
use zbus::{DBusError, fdo};

use super::bus::CallError;
use crate::port::{HostError, HostErrorKind};

use ErrorClass::{Changed, Denied, Rejected, Transient, Unsupported};

/// What a call would have done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing: it looks.
    Read,
    /// It changes something, and may have done so without an answer.
    Write,
}

type Row = (&'static str, ErrorClass, Reason, &'static str);

const AGAIN: &str = "aiplatd tries again";
const LOOK_AGAIN: &str = "aiplatd looks again";
const AS_ROOT: &str = "run aiplatd as root";
/// A job is under way for it, or its file is the place of a mount, as in a container.
const BUSY: &str = "`systemctl list-jobs` shows a job that is under way, `findmnt` a mount over its file; aiplatd tries again";

/// By the error's name without `org.freedesktop.systemd1.`, `org.freedesktop.DBus.Error.` or `System.Error.`, of which no
/// two have one in common.
#[rustfmt::skip] // One row, one line.
const ANSWERS: &[Row] = &[
    // org.freedesktop.systemd1, as of systemd 252 and 257 (bus-common-errors.h).
    ("NoSuchUnit", Rejected, Reason::UnitNotFound, "check `unit`, or install the program that it belongs to"),
    ("UnitMasked", Rejected, Reason::UnitMasked, "`systemctl unmask` allows it again, or `management: full` lets aiplatd do so"),
    ("BadUnitSetting", Rejected, Reason::UnitInvalid, "`systemd-analyze verify` shows the line; correct it, then `systemctl daemon-reload`"),
    ("LoadFailed", Rejected, Reason::UnitInvalid, "`systemctl status` shows why its file cannot be read"),
    ("UnitGenerated", Rejected, Reason::ActionRejected, "it is made by a generator: enable it where it comes from"),
    ("UnitLinked", Rejected, Reason::ActionRejected, "its file is a link: enable it under its own name"),
    ("UnitBusy", Transient, Reason::ActionFailed, "`systemctl list-jobs` shows the job that is under way; aiplatd tries again"),
    ("OnlyByDependency", Rejected, Reason::ActionRejected, "its file has `RefuseManualStart=` or `RefuseManualStop=`: name the unit that pulls it in"),
    ("JobTypeNotApplicable", Rejected, Reason::ActionRejected, "a unit of this type cannot do that"),
    ("TransactionOrderIsCyclic", Rejected, Reason::ActionRejected, "`systemd-analyze verify` names the units that wait for each other"),
    ("TransactionJobsConflicting", Transient, Reason::ActionFailed, "`systemctl list-jobs` shows what it conflicts with; aiplatd tries again"),
    ("TransactionIsDestructive", Transient, Reason::ActionFailed, "`systemctl list-jobs` shows what it conflicts with; aiplatd tries again"),
    ("ShuttingDown", Transient, Reason::ActionFailed, "the machine is going down"),
    ("ConcurrencyLimitReached", Transient, Reason::ActionFailed, "its slice has `ConcurrencyHardMax=`: it starts when another unit there has ended; aiplatd tries again"),
    ("DiskFull", Transient, Reason::DiskFull, "free space on /run, where systemd keeps its state over a reload"),
    ("NoSuchJob", Changed, Reason::ActionFailed, LOOK_AGAIN),
    // org.freedesktop.DBus.Error
    ("AccessDenied", Denied, Reason::PermissionDenied, AS_ROOT),
    ("AuthFailed", Denied, Reason::PermissionDenied, AS_ROOT),
    ("InteractiveAuthorizationRequired", Denied, Reason::PermissionDenied, AS_ROOT),
    ("InvalidArgs", Rejected, Reason::UnitInvalid, "check `unit`: a template needs its instance (`name@instance.service`)"),
    ("FileNotFound", Rejected, Reason::UnitNotFound, "check `unit`, or install the program that it belongs to"),
    ("FileExists", Rejected, Reason::ActionRejected, "something else is in its place: `systemctl status` names the file"),
    ("NotSupported", Unsupported, Reason::Unsupported, "upgrade systemd"),
    ("UnknownMethod", Unsupported, Reason::Unsupported, "upgrade systemd"),
    ("UnknownInterface", Unsupported, Reason::Unsupported, "upgrade systemd"),
    ("UnknownObject", Changed, Reason::ActionFailed, LOOK_AGAIN),
    ("LimitsExceeded", Transient, Reason::ActionFailed, AGAIN),
    ("NoMemory", Transient, Reason::ActionFailed, AGAIN),
    ("ObjectPathInUse", Transient, Reason::ActionFailed, AGAIN),
    ("IOError", Transient, Reason::ActionFailed, "`dmesg` shows what the disk says; aiplatd tries again"),
    // System.Error: what systemd got from the kernel.
    ("EACCES", Denied, Reason::PermissionDenied, AS_ROOT),
    ("EPERM", Denied, Reason::PermissionDenied, AS_ROOT),
    ("EROFS", Denied, Reason::PermissionDenied, "mount that file system writable"),
    ("EAGAIN", Transient, Reason::ActionFailed, AGAIN),
    ("EBUSY", Transient, Reason::ActionFailed, BUSY),
    ("EMFILE", Transient, Reason::ActionFailed, "systemd has as many files open as it may; aiplatd tries again"),
    ("ENFILE", Transient, Reason::ActionFailed, "the machine has as many files open as it may; aiplatd tries again"),
    ("EDQUOT", Transient, Reason::DiskFull, "free space on that disk, or raise the quota"),
    ("ELOOP", Rejected, Reason::ActionRejected, "its file is a link, or a name of another unit: name that unit itself"),
    ("ENOENT", Rejected, Reason::UnitNotFound, "check `unit`, or install the program that it belongs to"),
    ("ENOSPC", Transient, Reason::DiskFull, "free space on that disk"),
];

/// Errors that say that systemd, or the bus, is not there.
const AWAY: &[&str] = &[
    "Disconnected",
    "ServiceUnknown",
    "NameHasNoOwner",
    "NoServer",
    "Spawn.ExecFailed",
    "Spawn.ChildExited",
    "Spawn.ServiceNotFound",
    "ENOTCONN",
    "ECONNRESET",
];
/// Errors that say that nobody knows whether it was done.
const UNANSWERED: &[&str] = &["NoReply", "Timeout", "TimedOut", "ETIMEDOUT"];

/// What an answer means, and what a person does about it.
pub(super) fn meaning(name: &str) -> (ErrorClass, Reason, &'static str) {
    let row = ANSWERS.iter().find(|(known, ..)| *known == name);
    row.map_or((Transient, Reason::ActionFailed, AGAIN), |(_, class, reason, next)| (*class, *reason, next))
}

/// The error of a call that `doing` names: "start ollama.service".
pub(super) fn host_error(doing: &str, effect: Effect, error: &CallError) -> HostError {
    match error {
        CallError::Connect { address, source } => no_connection(doing, address, source),
        CallError::TimedOut { after } => {
            unanswered(doing, effect, &format!("no answer within {}", aiplat_core::time::human(*after)))
        }
        CallError::Failed(error) => match answered(error) {
            Some((name, text)) if AWAY.contains(&name.as_str()) => away(doing, &text),
            Some((name, text)) if UNANSWERED.contains(&name.as_str()) => unanswered(doing, effect, &text),
            Some((name, text)) => {
                let (class, reason, next) = meaning(&name);
                let message = format!("cannot {doing}: systemd says \"{}\"; {next}", tidy(&text, &name));
                HostError::new(HostErrorKind::Refused, class, reason, message)
            }
            None => unanswered(doing, effect, &error.to_string()),
        },
    }
}

/// One sentence for a person, without what was being done.
pub(super) fn said(error: &CallError) -> String {
    match error {
        CallError::Connect { address, source } => format!("{address} does not answer ({})", cause(source)),
        CallError::TimedOut { after } => {
            format!("systemd does not answer within {}", aiplat_core::time::human(*after))
        }
        CallError::Failed(error) => match answered(error) {
            Some((name, text)) => tidy(&text, &name),
            None => error.to_string(),
        },
    }
}

/// Whether the answer is the error `name`, without its prefix.
pub(super) fn is(error: &CallError, name: &str) -> bool {
    matches!(error, CallError::Failed(error) if answered(error).is_some_and(|(said, _)| said == name))
}

/// Name, without its prefix, and text of an error that came as an answer.
fn answered(error: &zbus::Error) -> Option<(String, String)> {
    let (name, text) = if let zbus::Error::MethodError(name, text, _) = error {
        (name.as_str().to_owned(), text.clone().unwrap_or_default())
    } else if let zbus::Error::FDO(error) = error {
        if let fdo::Error::ZBus(inner) = error.as_ref() {
            return answered(inner);
        }
        (error.name().as_str().to_owned(), error.description().unwrap_or_default().to_owned())
    } else {
        // The connection broke, or what came makes no sense.
        return None;
    };
    let prefixes = ["org.freedesktop.systemd1.", "org.freedesktop.DBus.Error.", "System.Error."];
    let short = prefixes.iter().find_map(|prefix| name.strip_prefix(prefix));
    Some((short.unwrap_or(&name).to_owned(), text))
}

fn no_connection(doing: &str, address: &str, source: &zbus::Error) -> HostError {
    let source = cause(source);
    let (class, reason, next) = if source.kind() == io::ErrorKind::PermissionDenied {
        (Denied, Reason::PermissionDenied, AS_ROOT)
    } else {
        let next = "is systemd in charge of this machine? Then `systemctl start dbus`";
        (Transient, Reason::SystemdUnreachable, next)
    };
    let message = format!("cannot {doing}: {address} does not answer ({source}); {next}");
    HostError::new(HostErrorKind::Unreachable, class, reason, message)
}

fn cause(error: &zbus::Error) -> io::Error {
    let (zbus::Error::InputOutput(source) | zbus::Error::Connection(source, _)) = error else {
        return io::Error::other(error.to_string());
    };
    // The error itself is shared; its kind and its words are what is needed of it.
    io::Error::new(source.kind(), source.to_string())
}

fn away(doing: &str, text: &str) -> HostError {
    let message = format!("cannot {doing}: systemd is not on the bus ({text}); {AGAIN}");
    HostError::new(HostErrorKind::Unreachable, Transient, Reason::SystemdUnreachable, message)
}

fn unanswered(doing: &str, effect: Effect, why: &str) -> HostError {
    let (kind, message) = match effect {
        Effect::Read => (
            HostErrorKind::Unreachable,
            format!("cannot {doing}: systemd does not answer ({why}); {LOOK_AGAIN}"),
        ),
        Effect::Write => (
            HostErrorKind::OutcomeUnknown,
            format!(
                "cannot tell whether it worked to {doing}: systemd does not answer ({why}); {LOOK_AGAIN}"
            ),
        ),
    };
    HostError::new(kind, Transient, Reason::SystemdUnreachable, message)
}

/// systemd's sentence on one line; its error's name where it has none.
fn tidy(text: &str, name: &str) -> String {
    let text = text.trim().trim_end_matches('.').replace(['\n', '\r'], " ");
    if text.is_empty() { name.to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;

    #[test]
    fn no_name_has_two_rows() {
        let mut names: Vec<&str> = ANSWERS.iter().map(|(name, ..)| *name).collect();
        names.extend(AWAY);
        names.extend(UNANSWERED);
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn a_refusal_says_what_to_whom_why_and_what_to_do() {
        let denied = fdo::Error::AccessDenied("Permission denied".to_owned());
        let error =
            host_error("start x.service", Effect::Write, &CallError::Failed(zbus::Error::from(denied)));
        assert_eq!(error.kind, HostErrorKind::Refused);
        assert_eq!((error.class, error.reason), (Denied, Reason::PermissionDenied));
        assert_eq!(
            error.message,
            "cannot start x.service: systemd says \"Permission denied\"; run aiplatd as root"
        );
    }

    #[test]
    fn what_is_busy_is_tried_again_and_says_who_keeps_it_busy() {
        let errno = |text: &str| {
            let message = zbus::Message::method_call("/", "Start").build(&()).unwrap();
            let name = zbus::names::OwnedErrorName::try_from("System.Error.EBUSY").unwrap();
            CallError::Failed(zbus::Error::MethodError(name, Some(text.to_owned()), message))
        };
        let error = host_error("unmask x.service", Effect::Write, &errno("Device or resource busy"));
        assert_eq!((error.kind, error.class), (HostErrorKind::Refused, Transient));
        assert_eq!(
            error.message,
            "cannot unmask x.service: systemd says \"Device or resource busy\"; `systemctl list-jobs` shows a job that is under \
             way, `findmnt` a mount over its file; aiplatd tries again"
        );
        for name in ["UnitBusy", "ObjectPathInUse", "EAGAIN", "ConcurrencyLimitReached"] {
            assert!(ANSWERS.iter().any(|(known, class, ..)| *known == name && *class == Transient), "{name}");
        }
    }

    #[test]
    fn a_full_disk_is_named_whoever_says_so() {
        for name in ["DiskFull", "ENOSPC", "EDQUOT"] {
            assert_eq!(meaning(name).1, Reason::DiskFull, "{name}");
        }
    }

    #[test]
    fn without_an_answer_only_a_change_may_have_been_made() {
        let error = CallError::TimedOut { after: Duration::from_secs(5) };
        assert_eq!(host_error("look at x.service", Effect::Read, &error).kind, HostErrorKind::Unreachable);
        let written = host_error("start x.service", Effect::Write, &error);
        assert_eq!(written.kind, HostErrorKind::OutcomeUnknown);
        assert_eq!(
            written.message,
            "cannot tell whether it worked to start x.service: systemd does not answer (no answer within 5s); aiplatd looks again"
        );
        let broken = zbus::Error::InputOutput(Arc::new(io::Error::from(io::ErrorKind::BrokenPipe)));
        let error = host_error("start x.service", Effect::Write, &CallError::Failed(broken));
        assert_eq!(error.kind, HostErrorKind::OutcomeUnknown);
    }

    #[test]
    fn a_bus_without_systemd_is_out_of_reach() {
        for error in [
            fdo::Error::ServiceUnknown("no".to_owned()),
            fdo::Error::NameHasNoOwner("no".to_owned()),
            fdo::Error::Disconnected("no".to_owned()),
        ] {
            let error = CallError::Failed(zbus::Error::from(error));
            let error = host_error("start x.service", Effect::Write, &error);
            assert_eq!(error.kind, HostErrorKind::Unreachable);
            assert_eq!(error.reason, Reason::SystemdUnreachable);
        }
    }

    #[test]
    fn a_socket_that_may_not_be_opened_is_denied() {
        let source = zbus::Error::InputOutput(Arc::new(io::Error::from(io::ErrorKind::PermissionDenied)));
        let error = CallError::Connect { address: "the system bus".to_owned(), source };
        let error = host_error("look at x.service", Effect::Read, &error);
        assert_eq!((error.kind, error.class), (HostErrorKind::Unreachable, Denied));
        assert_eq!(
            error.message,
            "cannot look at x.service: the system bus does not answer (permission denied); run aiplatd as root"
        );
    }
}
