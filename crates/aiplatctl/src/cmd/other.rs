//! Words of docker, docker compose, kubectl and systemctl, answered with ours in one line.

use std::ffi::OsString;

use crate::{
    exit::{Failure, Outcome},
    find::nearest,
    render::text::clean,
};

/// What people type out of habit, and what does it here.
const WORDS: &[(&str, &str)] = &[
    ("ps", "`aiplatctl get services` lists what runs"),
    ("ls", "`aiplatctl get services` lists what runs"),
    ("list", "`aiplatctl get services` lists what runs"),
    ("up", "`aiplatctl apply --wait` puts the platform file in force and waits; saving the file is enough"),
    ("create", "`aiplatctl edit` adds a service to the platform file"),
    (
        "down",
        "`systemctl stop aiplatd` lets everything run on; a service is removed by taking it out with `aiplatctl edit`",
    ),
    (
        "delete",
        "a declared service cannot be deleted: take it out of the platform file with `aiplatctl edit`",
    ),
    ("rm", "a declared service cannot be deleted: take it out of the platform file with `aiplatctl edit`"),
    ("log", "`aiplatctl logs NAME` shows the log of a service"),
    ("inspect", "`aiplatctl describe NAME` shows all that is known"),
    ("show", "`aiplatctl describe NAME` shows all that is known"),
    ("plan", "`aiplatctl diff` shows what would be done"),
    ("check", "`aiplatctl validate` checks the file, `aiplatctl doctor` the machine"),
    ("lint", "`aiplatctl validate` checks the file"),
    ("port", "`aiplatctl get endpoints` lists the published addresses"),
    ("cat", "`aiplatctl config` shows the file as it is understood"),
    ("help", "`aiplatctl --help` lists the verbs, `aiplatctl VERB --help` explains one"),
];

pub(super) fn run(words: &[OsString]) -> Outcome {
    let word = words.first().map(|word| clean(&word.to_string_lossy())).unwrap_or_default();
    if let Some((_, answer)) = WORDS.iter().find(|(known, _)| *known == word) {
        return Err(Failure::usage(format!("aiplatctl has no `{word}`: {answer}")));
    }
    let failure = Failure::usage(format!("aiplatctl has no verb `{word}`"));
    let command = crate::command();
    let verbs: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
    Err(match nearest(&word, verbs.iter().copied()) {
        Some(near) => failure.tip(format!("did you mean `aiplatctl {near}`?")),
        None => failure.tip("`aiplatctl --help` lists the verbs"),
    })
}
