//! What the engine's errors mean: a table from (status, text) to class, reason and next step. Pure.
//!
//! The texts are the engine's own, for it has no codes; they were recorded from 20.10 and 28.5. Where none matches,
//! the status decides.

use std::{io::ErrorKind, path::Path};

use aiplat_core::condition::{ErrorClass, Reason};

use super::client::{CallError, Since};
use crate::port::{HostError, HostErrorKind};

/// What an answer means, and what a person does about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meaning {
    pub(crate) class: ErrorClass,
    pub(crate) reason: Reason,
    /// Follows a semicolon: "check the name".
    pub(crate) next: &'static str,
}

/// All texts of a row must be in the answer, in lower case.
type Row = (&'static [&'static str], ErrorClass, Reason, &'static str);

use ErrorClass::{Changed, Denied, Rejected, Transient, Unsupported};

const AGAIN: &str = "aiplatd tries again";
const LOOK_AGAIN: &str = "aiplatd looks again";

/// Answers to anything but a pull. The first row that matches counts.
#[rustfmt::skip] // One row, one line.
const ANSWERS: &[Row] = &[
    (&["no space left on device"], Transient, Reason::DiskFull, "free space on the engine's disk (`docker system df` says what takes it)"),
    (&["port is already allocated"], Transient, Reason::PortTaken, "free the port, or publish another one"),
    (&["address already in use"], Transient, Reason::PortTaken, "free the port, or publish another one"),
    (&["exec:", "executable file not found"], Rejected, Reason::ExecutableMissing, "check `entrypoint` and `command`"),
    (&["exec:", "no such file or directory"], Rejected, Reason::ExecutableMissing, "check `entrypoint` and `command`"),
    (&["exec:", "is a directory"], Rejected, Reason::ExecutableMissing, "check `entrypoint` and `command`"),
    (&["exec:", "permission denied"], Rejected, Reason::ExecutableMissing, "make the program executable in its image"),
    (&["exec format error"], Rejected, Reason::ExecutableMissing, "take an image made for this machine's processor"),
    (&["bind source path does not exist"], Rejected, Reason::HostPathMissing, "make the path on this machine"),
    (&["unable to find user"], Rejected, Reason::ActionRejected, "check `user`: the image does not know it"),
    (&["unable to find group"], Rejected, Reason::ActionRejected, "check `user`: the image does not know its group"),
    (&["no matching entries in passwd"], Rejected, Reason::ActionRejected, "check `user`: the image does not know it"),
    (&["is already in use by container"], Changed, Reason::NameTaken, LOOK_AGAIN),
    (&["already in progress"], Changed, Reason::ActionFailed, LOOK_AGAIN),
    (&["cannot remove a running container"], Changed, Reason::Running, LOOK_AGAIN),
    (&["container is running"], Changed, Reason::Running, LOOK_AGAIN),
    (&["is not running"], Changed, Reason::Exited, LOOK_AGAIN),
    (&["is not paused"], Changed, Reason::ActionFailed, LOOK_AGAIN),
    (&["is marked for removal"], Changed, Reason::ActionFailed, LOOK_AGAIN),
    (&["endpoint with name", "already exists"], Changed, Reason::ActionFailed, LOOK_AGAIN),
    (&["network with name", "already exists"], Changed, Reason::NameTaken, LOOK_AGAIN),
    (&["has active endpoints"], Changed, Reason::InUse, "it goes when the last container has left it"),
    (&["volume is in use"], Changed, Reason::InUse, "remove the container that names it first"),
    (&["is not connected to"], Changed, Reason::ActionFailed, LOOK_AGAIN),
    (&["no such container"], Changed, Reason::Missing, LOOK_AGAIN),
    (&["no such image"], Changed, Reason::Missing, LOOK_AGAIN),
    (&["network", "not found"], Changed, Reason::Missing, LOOK_AGAIN),
    (&["no such network"], Changed, Reason::Missing, LOOK_AGAIN),
    (&["plugin", "not found"], Unsupported, Reason::Unsupported, "check `driver`, or install that plugin"),
    (&["unknown runtime specified"], Unsupported, Reason::Unsupported, "install that runtime, and name it in the engine's daemon.json"),
    (&["unknown or invalid runtime"], Unsupported, Reason::Unsupported, "install that runtime, and name it in the engine's daemon.json"),
    (&["does not match the specified platform"], Rejected, Reason::ImageNotFound, "pull that one with `docker pull --platform`, or take another `platform`"),
    (&["error gathering device information"], Rejected, Reason::HostPathMissing, "check `devices`: it is not on this machine"),
    (&["storage-opt is supported only"], Unsupported, Reason::Unsupported, "leave `storage_opt` out"),
    (&["could not select device driver"], Unsupported, Reason::Unsupported, "install what lets the engine hand out that device"),
    (&["pool overlaps"], Rejected, Reason::ActionRejected, "choose another subnet"),
    (&["invalid subnet"], Rejected, Reason::ActionRejected, "check the subnet"),
    (&["invalid cidr"], Rejected, Reason::ActionRejected, "check the subnet"),
    (&["fully subnetted"], Transient, Reason::ActionFailed, "remove unused networks with `docker network prune`, or name a subnet"),
    (&["non-overlapping"], Transient, Reason::ActionFailed, "remove unused networks with `docker network prune`, or name a subnet"),
    (&["user specified ip address"], Rejected, Reason::ActionRejected, "give the network a subnet, or leave the address out"),
    (&["address already in use by"], Changed, Reason::ActionFailed, LOOK_AGAIN),
    (&["minimum memory limit"], Rejected, Reason::ActionRejected, "raise the limit"),
    (&["range of cpus"], Rejected, Reason::ActionRejected, "lower the limit"),
    (&["permission denied"], Denied, Reason::PermissionDenied, "give the engine the permission"),
    (&["operation not permitted"], Denied, Reason::PermissionDenied, "give the engine the permission"),
    (&["not supported"], Unsupported, Reason::Unsupported, "leave it out, or upgrade the engine"),
];

/// The errors of a pull, whether they came as a status or within the stream. The first row that matches counts.
#[rustfmt::skip] // One row, one line.
const PULLS: &[Row] = &[
    (&["no space left on device"], Transient, Reason::DiskFull, "free space on the engine's disk (`docker system df` says what takes it)"),
    (&["toomanyrequests"], Transient, Reason::RegistryUnavailable, "the registry limits us; log in, or wait"),
    (&["too many requests"], Transient, Reason::RegistryUnavailable, "the registry limits us; log in, or wait"),
    (&["status code 429"], Transient, Reason::RegistryUnavailable, "the registry limits us; log in, or wait"),
    (&["pull access denied"], Denied, Reason::RegistryDenied, "check the name, or log in with `docker login`"),
    (&["unauthorized"], Denied, Reason::RegistryDenied, "log in with `docker login`"),
    (&["authentication required"], Denied, Reason::RegistryDenied, "log in with `docker login`"),
    (&["no basic auth credentials"], Denied, Reason::RegistryDenied, "log in with `docker login`"),
    (&["denied"], Denied, Reason::RegistryDenied, "log in with `docker login`, with an account that may read it"),
    (&["403 forbidden"], Denied, Reason::RegistryDenied, "log in with `docker login`, with an account that may read it"),
    (&["manifest unknown"], Rejected, Reason::ImageNotFound, "check the name and the tag"),
    (&["manifest for", "not found"], Rejected, Reason::ImageNotFound, "check the name and the tag"),
    (&["no matching manifest"], Rejected, Reason::ImageNotFound, "the image is not made for this machine's platform: take another tag"),
    (&["name unknown"], Rejected, Reason::ImageNotFound, "check the name and the tag"),
    (&["repository", "not found"], Rejected, Reason::ImageNotFound, "check the name and the tag"),
    (&["invalid reference format"], Rejected, Reason::ImageNotFound, "check how the image is written"),
    (&["invalid tag format"], Rejected, Reason::ImageNotFound, "check how the image is written"),
    (&["unsupported", "manifest"], Unsupported, Reason::ImageNotFound, "the engine is too old for this image: take another tag, or upgrade it"),
    (&["http response to https client"], Unsupported, Reason::RegistryUnavailable, "name the registry in `insecure-registries` of the engine's daemon.json"),
    (&["x509"], Unsupported, Reason::RegistryUnavailable, "let the engine trust the registry's certificate (/etc/docker/certs.d)"),
];

/// What an error of anything but a pull means.
pub(crate) fn meaning(status: u16, text: &str) -> Meaning {
    find(ANSWERS, text).unwrap_or_else(|| meaning_of_status(status))
}

/// What an error of a pull means. What nobody knows is taken for an outage, which is tried again for ever.
pub(crate) fn meaning_of_pull(status: u16, text: &str) -> Meaning {
    let unavailable = || Meaning {
        class: Transient,
        reason: Reason::RegistryUnavailable,
        next: "check this machine's network and the registry",
    };
    let by_status = || match status {
        404 => Meaning { class: Rejected, reason: Reason::ImageNotFound, next: "check the name and the tag" },
        401 | 403 => {
            Meaning { class: Denied, reason: Reason::RegistryDenied, next: "log in with `docker login`" }
        }
        _ => unavailable(),
    };
    find(PULLS, text).unwrap_or_else(by_status)
}

fn find(rows: &[Row], text: &str) -> Option<Meaning> {
    let text = text.to_lowercase();
    let row = rows.iter().find(|(needles, ..)| needles.iter().all(|needle| text.contains(needle)))?;
    let (_, class, reason, next) = *row;
    Some(Meaning { class, reason, next })
}

fn meaning_of_status(status: u16) -> Meaning {
    let (class, reason, next) = match status {
        401 | 403 => (Denied, Reason::PermissionDenied, "ask who runs the engine"),
        404 => (Changed, Reason::Missing, LOOK_AGAIN),
        409 => (Changed, Reason::ActionFailed, LOOK_AGAIN),
        501 => (Unsupported, Reason::Unsupported, "leave it out, or upgrade the engine"),
        400..=499 => (Rejected, Reason::ActionRejected, "correct it in the file"),
        _ => (Transient, Reason::ActionFailed, AGAIN),
    };
    Meaning { class, reason, next }
}

/// The error of a call that `doing` names: "start container `web`".
pub(crate) fn host_error(doing: &str, socket: &Path, error: CallError) -> HostError {
    let CallError::Answered { status, message } = error else { return no_answer(doing, socket, error) };
    let meaning = meaning(status.as_u16(), &message);
    refused(meaning, format!("cannot {doing}: the engine says \"{}\"; {}", tidy(&message), meaning.next))
}

/// A limit that the engine has left out.
pub(crate) const LIMIT_DISCARDED: Meaning = Meaning {
    class: Unsupported,
    reason: Reason::Unsupported,
    next: "take that limit out of the file, or let the kernel support it",
};

/// Whether a warning says that something which was asked for is not in force: "... Limitation discarded."
pub(crate) fn is_discarded(warning: &str) -> bool {
    let warning = warning.to_ascii_lowercase();
    warning.contains("discarded") || warning.contains("limited without swap")
}

/// The error of a pull of `reference`.
pub(crate) fn pull_error(reference: &str, socket: &Path, error: CallError) -> HostError {
    let CallError::Answered { status, message } = error else {
        return no_answer(&format!("pull {reference}"), socket, error);
    };
    pull_refused(reference, status.as_u16(), &message)
}

/// The error of a pull as the engine worded it; `status` is 0 for one within the stream.
pub(crate) fn pull_refused(reference: &str, status: u16, message: &str) -> HostError {
    let meaning = meaning_of_pull(status, message);
    refused(
        meaning,
        format!("cannot pull {reference}: the engine says \"{}\"; {}", tidy(message), meaning.next),
    )
}

/// A refusal with a sentence of our own.
pub(crate) fn refused(meaning: Meaning, message: String) -> HostError {
    HostError::new(HostErrorKind::Refused, meaning.class, meaning.reason, message)
}

fn no_answer(doing: &str, socket: &Path, error: CallError) -> HostError {
    let socket = socket.display();
    match error {
        CallError::Connect { source } if source.kind() == ErrorKind::PermissionDenied => HostError::new(
            HostErrorKind::Unreachable,
            Denied,
            Reason::PermissionDenied,
            format!(
                "cannot {doing}: {socket} may not be opened; run aiplatd as root, or add its user to the group `docker`"
            ),
        ),
        CallError::Connect { source } => HostError::new(
            HostErrorKind::Unreachable,
            Transient,
            Reason::EngineUnreachable,
            format!(
                "cannot {doing}: Docker does not answer on {socket} ({source}); start it with `systemctl start docker`"
            ),
        ),
        CallError::Broken { reason, mutating } => HostError::new(
            if mutating { HostErrorKind::OutcomeUnknown } else { HostErrorKind::Unreachable },
            Transient,
            Reason::EngineUnreachable,
            format!(
                "cannot tell whether it worked to {doing}: the connection to Docker broke ({reason}); {LOOK_AGAIN}"
            ),
        ),
        CallError::Malformed { reason } => HostError::new(
            HostErrorKind::OutcomeUnknown,
            Transient,
            Reason::ActionFailed,
            format!("cannot {doing}: the engine's answer cannot be read ({reason}); {LOOK_AGAIN}"),
        ),
        CallError::Lacks { since, found } => {
            let Since { api, engine, key } = since;
            refused(
                Meaning { class: Unsupported, reason: Reason::Unsupported, next: "upgrade the engine" },
                format!(
                    "cannot {doing}: `{key}` needs Docker Engine {engine} (API {api}), and this one speaks API {found}; \
                     upgrade the engine, or take `{key}` out of the file"
                ),
            )
        }
        CallError::TooOld { found } => HostError::new(
            HostErrorKind::Refused,
            Unsupported,
            Reason::Unsupported,
            format!(
                "cannot {doing}: this engine speaks API {found}, and aiplatd needs 1.41 (Docker 20.10) or newer; upgrade it"
            ),
        ),
        CallError::Answered { status, message } => {
            refused(meaning_of_status(status.as_u16()), format!("cannot {doing}: {}", tidy(&message)))
        }
    }
}

/// The engine's sentence without the layers that every start error passes through.
pub(crate) fn tidy(message: &str) -> String {
    let mut text = message.trim();
    for layer in [
        "failed to create task for container: ",
        "failed to create shim task: ",
        "OCI runtime create failed: ",
        "runc create failed: ",
        "unable to start container process: ",
    ] {
        text = text.strip_prefix(layer).unwrap_or(text);
    }
    let text = text.strip_suffix(": unknown").unwrap_or(text);
    text.trim_end_matches(['.', ' ']).replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: u16, text: &str, class: ErrorClass, reason: Reason) {
        let meaning = meaning(status, text);
        assert_eq!((meaning.class, meaning.reason), (class, reason), "{status} {text}");
    }

    #[track_caller]
    fn check_pull(status: u16, text: &str, class: ErrorClass, reason: Reason) {
        let meaning = meaning_of_pull(status, text);
        assert_eq!((meaning.class, meaning.reason), (class, reason), "{status} {text}");
    }

    #[test]
    fn failed_starts_of_20_10_and_28_5() {
        check(
            500,
            "driver failed programming external connectivity on endpoint p2 (31a3): Bind for 0.0.0.0:18080 failed: port is already allocated",
            Transient,
            Reason::PortTaken,
        );
        check(
            500,
            "driver failed programming external connectivity on endpoint p3 (6b1f): Error starting userland proxy: listen tcp4 0.0.0.0:18081: bind: address already in use",
            Transient,
            Reason::PortTaken,
        );
        check(
            500,
            "failed to set up container networking: driver failed programming external connectivity on endpoint x (1): failed to bind host port 0.0.0.0:18081/tcp: address already in use",
            Transient,
            Reason::PortTaken,
        );
        check(
            400,
            r#"failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: "/nope": stat /nope: no such file or directory: unknown"#,
            Rejected,
            Reason::ExecutableMissing,
        );
        check(
            400,
            r#"failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: "nope": executable file not found in $PATH: unknown"#,
            Rejected,
            Reason::ExecutableMissing,
        );
        check(
            500,
            "unable to find user nobody: no matching entries in passwd file",
            Rejected,
            Reason::ActionRejected,
        );
        check(
            400,
            r#"invalid mount config for type "bind": bind source path does not exist: /tmp/rec/gone"#,
            Rejected,
            Reason::HostPathMissing,
        );
        check(404, "network rec-missing not found", Changed, Reason::Missing);
        check(404, "No such container: rec-c", Changed, Reason::Missing);
        check(500, "mkdir /var/lib/docker/overlay2/x: no space left on device", Transient, Reason::DiskFull);
    }

    #[test]
    fn other_refusals_of_20_10() {
        check(
            409,
            r#"Conflict. The container name "/rec-a" is already in use by container "6a6d". You have to remove (or rename) that container to be able to reuse that name."#,
            Changed,
            Reason::NameTaken,
        );
        check(404, "No such image: nope:1", Changed, Reason::Missing);
        check(
            409,
            "You cannot remove a running container 45dc. Stop the container before attempting removal or force remove",
            Changed,
            Reason::Running,
        );
        check(409, "removal of container 45dc is already in progress", Changed, Reason::ActionFailed);
        check(500, "Container bd15 is not paused", Changed, Reason::ActionFailed);
        check(
            403,
            "endpoint with name rec-a already exists in network rec-net",
            Changed,
            Reason::ActionFailed,
        );
        check(500, "container bd15 is not connected to the network rec-net", Changed, Reason::ActionFailed);
        check(
            403,
            "error while removing network: network rec-net id 709b has active endpoints",
            Changed,
            Reason::InUse,
        );
        check(409, "network with name rec-net already exists", Changed, Reason::NameTaken);
        check(404, r#"plugin "nope" not found"#, Unsupported, Reason::Unsupported);
        check(400, "Unknown runtime specified nvidia", Unsupported, Reason::Unsupported);
        check(400, "unknown or invalid runtime name: nvidia", Unsupported, Reason::Unsupported);
        let platform = "image with reference a:1 was found but does not match the specified platform: wanted linux/arm64, actual: linux/amd64";
        check(404, platform, Rejected, Reason::ImageNotFound);
        let device = r#"error gathering device information while adding custom device "/dev/x": no such file or directory"#;
        check(500, device, Rejected, Reason::HostPathMissing);
        let storage = "--storage-opt is supported only for overlay over xfs with 'pquota' mount option";
        check(500, storage, Unsupported, Reason::Unsupported);
        check(
            404,
            r#"create rec-v: error looking up volume plugin nope: plugin "nope" not found"#,
            Unsupported,
            Reason::Unsupported,
        );
        check(403, "Pool overlaps with other one on this address space", Rejected, Reason::ActionRejected);
        check(500, "Invalid subnet banana : invalid CIDR address: banana", Rejected, Reason::ActionRejected);
        check(400, "Minimum memory limit allowed is 6MB", Rejected, Reason::ActionRejected);
        check(
            400,
            "Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available",
            Rejected,
            Reason::ActionRejected,
        );
    }

    #[test]
    fn what_no_text_explains_is_decided_by_the_status() {
        check(500, "something new", Transient, Reason::ActionFailed);
        check(503, "", Transient, Reason::ActionFailed);
        check(404, "page not found", Changed, Reason::Missing);
        check(409, "?", Changed, Reason::ActionFailed);
        check(400, "?", Rejected, Reason::ActionRejected);
        check(403, "authorization denied by plugin x", Denied, Reason::PermissionDenied);
        check(501, "?", Unsupported, Reason::Unsupported);
    }

    #[test]
    fn pulls() {
        check_pull(
            500,
            r#"Get "http://127.0.0.1:5999/v2/": dial tcp 127.0.0.1:5999: connect: connection refused"#,
            Transient,
            Reason::RegistryUnavailable,
        );
        check_pull(
            500,
            r#"Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io on 10.0.0.1:53: no such host"#,
            Transient,
            Reason::RegistryUnavailable,
        );
        check_pull(
            400,
            "invalid reference format: repository name must be lowercase",
            Rejected,
            Reason::ImageNotFound,
        );
        check_pull(
            404,
            "manifest for redis:nope not found: manifest unknown: manifest unknown",
            Rejected,
            Reason::ImageNotFound,
        );
        check_pull(
            404,
            "no matching manifest for linux/arm64/v8 in the manifest list entries",
            Rejected,
            Reason::ImageNotFound,
        );
        check_pull(
            404,
            "pull access denied for x, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
            Denied,
            Reason::RegistryDenied,
        );
        check_pull(500, "unauthorized: authentication required", Denied, Reason::RegistryDenied);
        check_pull(
            500,
            "toomanyrequests: You have reached your pull rate limit.",
            Transient,
            Reason::RegistryUnavailable,
        );
        check_pull(
            0,
            "received unexpected HTTP status: 503 Service Unavailable",
            Transient,
            Reason::RegistryUnavailable,
        );
        check_pull(
            0,
            "failed to register layer: write /x: no space left on device",
            Transient,
            Reason::DiskFull,
        );
        check_pull(
            500,
            "http: server gave HTTP response to HTTPS client",
            Unsupported,
            Reason::RegistryUnavailable,
        );
    }

    #[test]
    fn the_engines_sentence_is_quoted_without_its_layers() {
        let said = r#"failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: "/nope": stat /nope: no such file or directory: unknown"#;
        assert_eq!(tidy(said), r#"exec: "/nope": stat /nope: no such file or directory"#);
    }
}
