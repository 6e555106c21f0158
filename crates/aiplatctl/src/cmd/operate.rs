//! `start`, `stop`, `restart`, `reset-failed`: an order is given to the daemon, which keeps it; then we watch.

use std::time::Duration;

use aiplat_api::{
    client::{Client, ClientError},
    v1::{ServiceStatus, StatusDoc},
};
use aiplat_core::{
    condition::{ConditionType, Reason, Word},
    plan::Command,
};
use tokio::time::{Instant, timeout_at};

use super::{
    display::{Awaited, Display},
    watch,
};
use crate::{
    args::{Globals, OperateArgs},
    console,
    exit::{Code, Failure, Outcome},
    find::{Found, Target},
    render::{
        style::{self, paint},
        text::clean,
        why,
    },
    source,
};

pub(super) async fn run(globals: &Globals, args: &OperateArgs, command: Command) -> Outcome {
    let client = source::client(globals);
    let before = client.status().await?;
    let names = chosen(&before, args)?;
    if names.is_empty() {
        console::note("There is nothing to do.");
        return Ok(Code::Done);
    }
    let given = give(&client, &names, command).await?;
    let mut awaited = given.clone();
    if command == Command::ResetFailed {
        for name in &given {
            console::line(&reset(name, service(&before, name)))?;
        }
        awaited.retain(|name| service(&before, name).is_some_and(is_tried));
    }
    if !args.no_wait && !awaited.is_empty() {
        wait(globals, args, command, &before, &awaited).await?;
    }
    Ok(if given.len() < names.len() { Code::Failed } else { Code::Done })
}

/// Gives the order to each, and answers with those that have taken it. Of several, one that cannot be done keeps none of the
/// others from it.
async fn give(client: &Client, names: &[String], command: Command) -> Result<Vec<String>, Failure> {
    let mut given = Vec::with_capacity(names.len());
    for name in names {
        match client.order(name, command).await {
            Ok(_) => given.push(name.clone()),
            Err(ClientError::Api { status: 409, message }) if names.len() > 1 => {
                console::note(&format!("{}: {}", clean(name), clean(&message)));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(given)
}

async fn wait(
    globals: &Globals,
    args: &OperateArgs,
    command: Command,
    before: &StatusDoc,
    names: &[String],
) -> Outcome {
    let deadline = Instant::now() + args.timeout;
    let mut news = watch::follow(globals, None);
    let mut display = Display::new("done").after(&before.services);
    let mut waiting: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut last = before.clone();
    while !waiting.is_empty() {
        let Ok(doc) = timeout_at(deadline, watch::next(&mut news)).await else {
            return Err(time_is_up(&last, &waiting, args.timeout));
        };
        last = doc?;
        let awaited = waiting.iter().filter_map(|name| service(&last, name));
        let awaited: Vec<Awaited<'_>> = awaited.map(|service| Awaited { service, done: false }).collect();
        display.update(&last, &awaited);
        let mut still = Vec::new();
        for name in waiting {
            let Some(now) = service(&last, name) else {
                return Err(Failure::new(Code::NoSuch, format!("{name} has left the file")));
            };
            let (was, moving) = (service(before, name), is_moving(&last, name));
            match progress(command, was, now, moving) {
                Progress::Done => display
                    .line(&format!("{name} {}", paint(style::word(now.status), &now.status.to_string())))?,
                Progress::Underway => still.push(name),
                Progress::Hopeless => return Err(Failure::failed(why::chain(now))),
                Progress::Waits => {
                    let then = match command {
                        Command::Stop => "is not started",
                        Command::Start
                        | Command::Restart
                        | Command::ResetFailed
                        | Command::Update
                        | Command::Suspend
                        | Command::Resume
                        | Command::Release => "starts by itself",
                    };
                    return Err(Failure::failed(why::chain(now))
                        .tip(format!("the order is kept: {name} {then} once that is cured")));
                }
            }
        }
        waiting = still;
    }
    Ok(Code::Done)
}

/// Whether aiplatd is at work on a service, or on what it waits for.
fn is_moving(doc: &StatusDoc, name: &str) -> bool {
    doc.resources.iter().any(|it| it.id.is_service() && it.id.key() == name && it.moving)
}

/// Whether there is something to wait for once the failures of a service are forgotten, that was like this before.
fn is_tried(before: &ServiceStatus) -> bool {
    match before.status {
        Word::Held | Word::CrashLoop | Word::BackOff | Word::Starting => true,
        Word::Suspended
        | Word::Unknown
        | Word::Pulling
        | Word::Pending
        | Word::NotReady
        | Word::Degraded
        | Word::Stopped
        | Word::Completed
        | Word::Failed
        | Word::Ready => false,
    }
}

/// What `reset-failed` has come to, of a service that was like this before.
fn reset(name: &str, before: Option<&ServiceStatus>) -> String {
    match before {
        Some(it) if it.status == Word::Stopped => {
            format!("{name}: there is nothing to reset, it is stopped: {}", clean(&it.message))
        }
        Some(it) if it.status == Word::Suspended => {
            format!("{name}: what has failed is forgotten; it is left alone: {}", clean(&it.message))
        }
        Some(it) if it.status == Word::Pending => {
            format!("{name}: what has failed is forgotten; it is Pending: {}", clean(&it.message))
        }
        Some(it) if style::is_well(it) => format!("{name}: there is nothing to reset, it is {}", it.status),
        Some(_) | None => format!("{name}: what has failed is forgotten, and it is tried at once"),
    }
}

/// The services that are meant.
fn chosen(doc: &StatusDoc, args: &OperateArgs) -> Result<Vec<String>, Failure> {
    let is_failed = |it: &&ServiceStatus| !style::is_well(it) && it.status != Word::Stopped;
    let in_file = || doc.services.iter().filter(|it| it.desired);
    if args.all {
        return Ok(in_file().map(|it| it.name.clone()).collect());
    }
    if args.failed {
        return Ok(in_file().filter(is_failed).map(|it| it.name.clone()).collect());
    }
    args.names.iter().map(|target| name(doc, target)).collect()
}

/// The name of a service that is meant.
pub(super) fn name(doc: &StatusDoc, target: &Target) -> Result<String, Failure> {
    match target.find(doc)? {
        Found::Service(service) => Ok(service.name.clone()),
        Found::Resource(_) | Found::Gate(_) => Err(Failure::usage(format!("{target} is no service"))
            .tip("`aiplatctl get services` lists the services")),
    }
}

pub(super) fn service<'a>(doc: &'a StatusDoc, name: &str) -> Option<&'a ServiceStatus> {
    doc.services.iter().find(|it| it.name == name)
}

enum Progress {
    Done,
    Underway,
    /// It will not come by itself.
    Hopeless,
    /// It waits for something that is not on its way.
    Waits,
}

fn progress(command: Command, before: Option<&ServiceStatus>, now: &ServiceStatus, moving: bool) -> Progress {
    let is_other_run = before.is_none_or(|before| before.detail.run != now.detail.run);
    let is_up = matches!(now.status, Word::Ready | Word::Completed | Word::Degraded);
    let is_over = matches!(now.status, Word::Held | Word::Failed | Word::CrashLoop);
    // A unit that has done its work is not told from one that somebody has stopped; it has run.
    let has_run = now.status == Word::Stopped && is_other_run && has_ended_by_itself(now);
    let done = match command {
        Command::Stop => now.status == Word::Stopped,
        // The others are given by verbs of their own, which wait for something else.
        Command::Start
        | Command::ResetFailed
        | Command::Update
        | Command::Suspend
        | Command::Resume
        | Command::Release => is_up || has_run,
        Command::Restart => (is_up && is_other_run) || has_run,
    };
    if done {
        Progress::Done
    } else if is_over && is_other_run {
        Progress::Hopeless
    } else if now.status == Word::Pending && !moving {
        Progress::Waits
    } else {
        Progress::Underway
    }
}

fn has_ended_by_itself(now: &ServiceStatus) -> bool {
    let mut of_unit = now.conditions.iter().map(|it| &it.condition);
    of_unit.any(|it| it.kind == ConditionType::Active && it.reason == Reason::StoppedByAdministrator)
}

fn time_is_up(doc: &StatusDoc, waiting: &[&str], limit: Duration) -> Failure {
    let limit = aiplat_core::time::human(limit);
    let chains: Vec<String> = waiting.iter().filter_map(|name| service(doc, name)).map(why::chain).collect();
    Failure::new(Code::NotReady, format!("not within {limit}: {}", chains.join("; ")))
        .tip("the order is kept; `aiplatctl get services -w` shows how it goes on")
}
