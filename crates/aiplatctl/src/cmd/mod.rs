//! The verbs, one file each.

mod apply;
mod bundle;
mod completion;
mod config;
mod describe;
mod diff;
mod display;
mod doctor;
mod edit;
mod events;
mod exec;
mod explain;
mod get;
mod graph;
mod history;
mod is_ready;
mod logs;
mod model;
mod operate;
mod other;
mod progress;
mod prune;
mod pull;
mod schema;
mod status;
mod suspend;
mod top;
mod validate;
mod version;
mod wait;
mod watch;
mod why;

use self::apply::Consent;
use aiplat_core::plan::Command;
use jiff::Timestamp;
use serde::Serialize;

use crate::{
    args::{Args, DocFormat, Verb},
    console,
    exit::{Failure, Outcome},
    render::View,
};

/// Does what the command line says.
pub(crate) async fn run(args: Args) -> Outcome {
    let globals = &args.globals;
    match args.verb {
        Verb::Get(get) => get::run(globals, &get).await,
        Verb::Describe { name, output } => describe::run(globals, &name, output).await,
        Verb::Status { name, output } => status::run(globals, name.as_ref(), output).await,
        Verb::Why { name, output } => why::run(globals, name.as_ref(), output).await,
        Verb::Events(events) => events::run(globals, &events).await,
        Verb::Wait(wait) => wait::run(globals, &wait).await,
        Verb::IsReady { name } => is_ready::run(globals, name.as_ref()).await,
        Verb::Logs(logs) => logs::run(globals, &logs).await,
        Verb::Diff { file, output } => diff::run(globals, file.as_ref(), output).await,
        Verb::Validate { file, output } => validate::run(globals, file.as_ref(), output),
        Verb::Config { file, origin, output } => config::run(globals, file.as_ref(), origin, output),
        Verb::Explain { topic } => explain::run(topic.as_deref()),
        Verb::Schema => schema::run(),
        Verb::Apply(apply) => apply::run(globals, &apply).await,
        Verb::Edit { yes, confirm } => edit::run(globals, yes, confirm).await,
        Verb::History { revision, output } => history::run(globals, revision, output).await,
        Verb::Rollback { revision, yes, confirm } => {
            history::rollback(globals, revision, Consent { yes, confirm }).await
        }
        Verb::Prune(args) => prune::run(globals, &args).await,
        Verb::Start(args) => operate::run(globals, &args, Command::Start).await,
        Verb::Stop(args) => operate::run(globals, &args, Command::Stop).await,
        Verb::Restart(args) => operate::run(globals, &args, Command::Restart).await,
        Verb::ResetFailed(args) => operate::run(globals, &args, Command::ResetFailed).await,
        Verb::Pull(args) => pull::run(globals, &args).await,
        Verb::Update(args) => pull::update(globals, &args).await,
        Verb::Model(command) => model::run(globals, &command).await,
        Verb::Exec(args) => exec::run(globals, &args).await,
        Verb::Graph { output } => graph::run(globals, output).await,
        Verb::Top { names, watch, output } => top::run(globals, &names, watch, output).await,
        Verb::Suspend(args) => suspend::suspend(globals, &args).await,
        Verb::Resume(args) => suspend::resume(globals, &args).await,
        Verb::Release(args) => suspend::release(globals, &args).await,
        Verb::Doctor => doctor::run(globals).await,
        Verb::Bundle { output } => bundle::run(globals, output.as_ref()).await,
        Verb::Completion { shell } => completion::run(shell),
        Verb::Version { output } => version::run(globals, output).await,
        Verb::Other(words) => other::run(&words),
    }
}

/// The view of this terminal, now.
fn view(wide: bool) -> View {
    let width = if wide { None } else { console::screen().width };
    View { now: Timestamp::now(), width, wide }
}

/// Prints a value for programs.
fn print_json<T: Serialize>(value: &T) -> Result<(), Failure> {
    console::line(&json_text(value)?)
}

/// Prints a value for programs and people.
fn print_yaml<T: Serialize>(value: &T) -> Result<(), Failure> {
    console::line(&yaml_text(value)?)
}

fn json_text<T: Serialize>(value: &T) -> Result<String, Failure> {
    let json = serde_json::to_string_pretty(value).map_err(|error| Failure::failed(error.to_string()))?;
    Ok(harmless(&json))
}

fn yaml_text<T: Serialize>(value: &T) -> Result<String, Failure> {
    let yaml = serde_saphyr::to_string(value).map_err(|error| Failure::failed(error.to_string()))?;
    Ok(harmless(&yaml).trim_end().to_owned())
}

/// Prints `value` as asked; `false`: it was asked for as text.
fn print_doc<T: Serialize>(value: &T, format: DocFormat) -> Result<bool, Failure> {
    match format {
        DocFormat::Text => return Ok(false),
        DocFormat::Json => print_json(value)?,
        DocFormat::Yaml => print_yaml(value)?,
    }
    Ok(true)
}

/// JSON leaves the control characters above ASCII as they are; some terminals obey them. Both formats have this escape.
fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{7f}'..='\u{9f}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}
