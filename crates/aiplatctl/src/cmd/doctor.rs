//! `doctor`: is this machine fit? All checks at once, each problem with the command that cures it. A module for each family of
//! checks: a new one is a module and a line in [`FAMILIES`].

mod daemon;
mod disks;
mod engine;
mod file;
mod host;
mod machine;
mod network;
mod services;
mod systemd;

use std::path::PathBuf;

use aiplat_api::{
    client::ClientError,
    v1::{StatusDoc, SystemdReport},
};

use serde_json::Value;

use crate::{
    args::Globals,
    console,
    engine::Engine,
    exit::{Code, Outcome},
    render::{
        style::{self, paint},
        text::count,
    },
    source,
};

/// The families, in the order in which they are shown: what the others stand on first.
static FAMILIES: [fn(&Facts<'_>) -> Vec<Check>; 9] = [
    daemon::checks,
    engine::checks,
    file::checks,
    systemd::checks,
    disks::checks,
    machine::checks,
    host::checks,
    network::checks,
    services::checks,
];

/// What the checks look at besides the machine.
struct Facts<'a> {
    globals: &'a Globals,
    /// What the daemon says, if it answers.
    doc: Option<&'a StatusDoc>,
    /// Why it does not.
    silence: Option<ClientError>,
    /// What systemd says of itself; `None` where there was no daemon to ask it.
    systemd: Option<Result<SystemdReport, ClientError>>,
    /// What the engine itself says of how it is set up (`GET /info`); asked only where there is no daemon that knows.
    engine: Option<Value>,
    /// The file in question.
    config: PathBuf,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grade {
    Ok,
    /// It works, and someone should look.
    Warn,
    Fail,
    /// It could not be looked at; something else says why.
    Skipped,
}

/// One check.
#[derive(Debug)]
struct Check {
    name: &'static str,
    grade: Grade,
    found: String,
    cure: String,
}

fn check(name: &'static str, grade: Grade, found: impl Into<String>) -> Check {
    Check { name, grade, found: found.into(), cure: String::new() }
}

impl Check {
    fn cure(mut self, cure: impl Into<String>) -> Self {
        self.cure = cure.into();
        self
    }
}

pub(super) async fn run(globals: &Globals) -> Outcome {
    let Examined { text, failed } = examine(globals).await;
    console::print(&text)?;
    Ok(if failed { Code::Failed } else { Code::Done })
}

/// What all checks came to.
pub(super) struct Examined {
    /// For a terminal.
    pub(super) text: String,
    /// Any of them.
    pub(super) failed: bool,
}

/// Makes all checks.
pub(super) async fn examine(globals: &Globals) -> Examined {
    let client = source::client(globals);
    let (doc, silence) = match client.status().await {
        Ok(doc) => (Some(doc), None),
        Err(error) => (None, Some(error)),
    };
    let systemd = if doc.is_some() { Some(client.systemd().await) } else { None };
    let config =
        doc.as_ref().map_or_else(|| globals.config.clone(), |doc| doc.platform.config.clone().into());
    let engine = match (&doc, crate::engine::socket()) {
        (None, Ok(socket)) => Engine::new(&socket).ask("/info").await.ok(),
        (Some(_), _) | (None, Err(_)) => None,
    };
    let facts = Facts { globals, doc: doc.as_ref(), silence, systemd, engine, config };
    let checks: Vec<Check> = FAMILIES.iter().flat_map(|checks| checks(&facts)).collect();
    let failed = checks.iter().any(|check| check.grade == Grade::Fail);
    Examined { text: render(&checks), failed }
}

fn render(checks: &[Check]) -> String {
    let mut out = String::new();
    for Check { name, grade, found, cure } in checks {
        let (word, style) = match grade {
            Grade::Ok => ("ok", style::GOOD),
            Grade::Warn => ("warn", style::UNDERWAY),
            Grade::Fail => ("FAIL", style::BAD),
            Grade::Skipped => ("skip", style::FAINT),
        };
        out.push_str(&format!("{}  {name:<14} {found}\n", paint(style, &format!("{word:<4}"))));
        if !cure.is_empty() && *grade != Grade::Ok {
            out.push_str(&format!("      {:<14} {}\n", "", paint(style::STRONG, cure)));
        }
    }
    let failed = checks.iter().filter(|check| check.grade == Grade::Fail).count();
    let warned = checks.iter().filter(|check| check.grade == Grade::Warn).count();
    out.push_str(&match (failed, warned) {
        (0, 0) => "\nAll is well.\n".to_owned(),
        (0, _) => format!("\n{}.\n", count(warned, "warning")),
        (_, 0) => format!("\n{} failed.\n", count(failed, "check")),
        (_, _) => format!("\n{} failed, {}.\n", count(failed, "check"), count(warned, "warning")),
    });
    out
}
