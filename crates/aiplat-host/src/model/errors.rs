//! What an error of a server of models means.

use aiplat_core::{
    action::PullModel,
    bytes,
    condition::{ErrorClass, Reason},
    observed::{ModelEndpoint, PullProgress},
    plan,
    spec::ModelName,
    time::human,
};

use super::host;
use crate::port::{HostError, HostErrorKind};

/// What a sentence of the server means, the first that fits: a part of it in lower case, class and reason.
const MEANINGS: &[(&str, ErrorClass, Reason)] = &[
    ("no space left on device", ErrorClass::Transient, Reason::DiskFull),
    ("disk quota exceeded", ErrorClass::Transient, Reason::DiskFull),
    // What Ollama makes of a registry's 404.
    ("file does not exist", ErrorClass::Rejected, Reason::ModelNotFound),
    ("manifest unknown", ErrorClass::Rejected, Reason::ModelNotFound),
    ("model not found", ErrorClass::Rejected, Reason::ModelNotFound),
    ("repository not found", ErrorClass::Rejected, Reason::ModelNotFound),
    ("invalid model name", ErrorClass::Rejected, Reason::ModelNotFound),
    ("requires a newer version of ollama", ErrorClass::Unsupported, Reason::Unsupported),
    ("unauthorized", ErrorClass::Denied, Reason::RegistryDenied),
    ("forbidden", ErrorClass::Denied, Reason::RegistryDenied),
    ("permission denied", ErrorClass::Denied, Reason::PermissionDenied),
    ("no such host", ErrorClass::Transient, Reason::RegistryUnavailable),
    ("connection refused", ErrorClass::Transient, Reason::RegistryUnavailable),
    ("connection reset", ErrorClass::Transient, Reason::RegistryUnavailable),
    ("timeout", ErrorClass::Transient, Reason::RegistryUnavailable),
    ("max retries exceeded", ErrorClass::Transient, Reason::RegistryUnavailable),
    ("unexpected eof", ErrorClass::Transient, Reason::RegistryUnavailable),
    ("too many requests", ErrorClass::Transient, Reason::RegistryUnavailable),
    ("bad gateway", ErrorClass::Transient, Reason::RegistryUnavailable),
    ("service unavailable", ErrorClass::Transient, Reason::RegistryUnavailable),
];

/// The server said no, in its own words.
pub(super) fn refused(doing: &str, model: &ModelName, at: &ModelEndpoint, said: &str) -> HostError {
    let lower = said.to_ascii_lowercase();
    let meaning = MEANINGS.iter().find(|(part, ..)| lower.contains(part));
    let (class, reason) =
        meaning.map_or((ErrorClass::Transient, Reason::ActionFailed), |(_, class, reason)| (*class, *reason));
    let message = format!("{} cannot {doing} {model}: {said}{}", at.service, advice(reason, model, at));
    HostError::new(HostErrorKind::Refused, class, reason, message)
}

fn advice(reason: Reason, model: &ModelName, at: &ModelEndpoint) -> String {
    if reason == Reason::ModelNotFound {
        format!("; its registry has no such model or tag: {} lists those that there are", model.page())
    } else if reason == Reason::DiskFull {
        "; make room on the disk of its models, and it goes on by itself where it was".to_owned()
    } else if reason == Reason::Unsupported {
        format!("; move {} to a newer Ollama", at.service)
    } else if reason == Reason::RegistryUnavailable {
        "; check this machine's network: what has come is kept".to_owned()
    } else if reason == Reason::PermissionDenied {
        format!("; let the user of {} write to the folder of its models", at.service)
    } else {
        String::new()
    }
}

/// The server could not be asked: nothing was done.
pub(super) fn away(doing: &str, model: &ModelName, at: &ModelEndpoint, why: &str) -> HostError {
    let message = format!("cannot {doing} {model}: {} does not answer at {}: {why}", at.service, host(at));
    HostError::new(HostErrorKind::Unreachable, ErrorClass::Transient, Reason::ModelServerUnreachable, message)
}

/// The connection broke under a pull; the server keeps what has come.
pub(super) fn broken(pull: &PullModel, why: &str) -> HostError {
    let PullModel { model, at, .. } = pull;
    let message =
        format!("the pull of {model} broke off, for {} hung up: {why}; what has come is kept", at.service);
    HostError::new(
        HostErrorKind::OutcomeUnknown,
        ErrorClass::Transient,
        Reason::ModelServerUnreachable,
        message,
    )
}

pub(super) fn stalled(pull: &PullModel, after: std::time::Duration, sum: PullProgress) -> HostError {
    let PullModel { model, at, .. } = pull;
    let message = format!(
        "{} pulled {model} and got no new byte for {}, at {} of {}; check this machine's network: the next attempt goes on there",
        at.service,
        human(after),
        bytes::human(sum.done),
        bytes::human(sum.total)
    );
    HostError::new(HostErrorKind::OutcomeUnknown, ErrorClass::Transient, Reason::RegistryUnavailable, message)
}

pub(super) fn called_off(pull: &PullModel) -> HostError {
    HostError::new(
        HostErrorKind::OutcomeUnknown,
        ErrorClass::Changed,
        Reason::Pulling,
        format!("the pull of {} was called off; what has come is kept", pull.model),
    )
}

/// What it announced is more than there is room for.
pub(super) fn too_large(pull: &PullModel, needed: u64) -> HostError {
    let message = plan::does_not_fit(pull, needed, "as its pull announced");
    HostError::new(HostErrorKind::Refused, ErrorClass::Transient, Reason::DiskFull, message)
}

#[cfg(test)]
mod tests {
    use aiplat_core::observed::ServerPlace;

    use super::*;

    #[test]
    fn each_sentence_of_the_server_has_its_class_and_its_cure() {
        let at = ModelEndpoint {
            service: "ollama".to_owned(),
            place: ServerPlace::Host([127, 0, 0, 1].into()),
            port: 1,
        };
        let model: ModelName = "llama3.1:8b".parse().expect("a name");
        for (said, class, reason, cure) in [
            (
                "pull model manifest: file does not exist",
                ErrorClass::Rejected,
                Reason::ModelNotFound,
                "https://ollama.com/library/llama3.1/tags",
            ),
            (
                "write /x: no space left on device",
                ErrorClass::Transient,
                Reason::DiskFull,
                "goes on by itself",
            ),
            (
                "pull model manifest: 412: The model you are attempting to pull requires a newer version of Ollama.",
                ErrorClass::Unsupported,
                Reason::Unsupported,
                "newer Ollama",
            ),
            (
                "Get \"https://registry.ollama.ai/v2/\": dial tcp: lookup registry.ollama.ai: no such host",
                ErrorClass::Transient,
                Reason::RegistryUnavailable,
                "network",
            ),
            ("pull model manifest: 401: unauthorized", ErrorClass::Denied, Reason::RegistryDenied, ""),
            ("who knows", ErrorClass::Transient, Reason::ActionFailed, "who knows"),
        ] {
            let error = refused("pull", &model, &at, said);
            assert_eq!((error.class, error.reason), (class, reason), "{said}");
            assert!(error.message.contains(said) && error.message.contains(cure), "{}", error.message);
        }
    }
}
