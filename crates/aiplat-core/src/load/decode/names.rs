//! What may be a name.

use super::{Cx, scalar::crop};
use crate::load::{
    diagnostic::Problem,
    text::nearest,
    tree::{Place, Spanned},
};

const SERVICE_NAME_MAX: usize = 63;

pub(super) fn is_platform_name(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c))
}

pub(super) fn check_service_name(cx: &mut Cx<'_>, name: &str, place: Place) {
    let first = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !first || !name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c)) {
        let message = format!("`{}` cannot be the name of a service", crop(name));
        let help = "it starts with a letter or digit; letters, digits, `_`, `.` and `-` follow";
        cx.sink.add(Problem::error("bad-name", place, message).help(help));
    } else if name.len() > SERVICE_NAME_MAX {
        let message = format!(
            "the name of a service has at most {SERVICE_NAME_MAX} characters, for it is a host name too"
        );
        cx.sink.add(Problem::error("bad-name", place, message).label(format!("these are {}", name.len())));
    }
}

pub(super) fn check_key(cx: &mut Cx<'_>, name: &str, place: Place, kind: &str) {
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c)) {
        let message = format!("`{}` cannot be the name of a {kind}", crop(name));
        let help = "it is made of letters, digits, `_`, `.` and `-`";
        cx.sink.add(Problem::error("bad-name", place, message).help(help));
    }
}

pub(super) fn check_gate_name(cx: &mut Cx<'_>, name: &str, place: Place) {
    const TAKEN: [&str; 4] = ["Ready", "SpecValid", "InstanceMismatch", "LedgerLost"];
    let fits =
        name.starts_with(|c: char| c.is_ascii_uppercase()) && name.chars().all(|c| c.is_ascii_alphanumeric());
    if TAKEN.contains(&name) {
        let message = format!("`{name}` is a condition of every platform already");
        cx.sink
            .add(Problem::error("bad-name", place, message).help("choose another name, as in `CoreReady`"));
    } else if !fits {
        let message = format!("`{}` cannot be the name of a gate", crop(name));
        let help = "it is a word in CamelCase, as in `CoreReady`: it is the type of a condition";
        cx.sink.add(Problem::error("bad-name", place, message).help(help));
    }
}

/// The nearest of the names that a file gives to its things.
pub(in crate::load) fn did_you_mean<'k>(
    name: &str,
    known: impl IntoIterator<Item = &'k String>,
) -> Option<String> {
    nearest(name, known.into_iter().map(String::as_str)).map(|near| format!("did you mean `{near}`?"))
}

impl Cx<'_> {
    pub(super) fn is_profile(&mut self, profile: &Spanned<String>) -> bool {
        let first = profile.value.starts_with(|c: char| c.is_ascii_alphanumeric());
        let fits = first && profile.value.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
        if !fits {
            let message = format!("`{}` cannot be the name of a profile", crop(&profile.value));
            let help = "it starts with a letter or digit; letters, digits, `_`, `.` and `-` follow";
            self.sink.add(Problem::error("bad-name", profile.place, message).help(help));
        }
        fits
    }
}
