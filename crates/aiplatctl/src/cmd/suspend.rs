//! `suspend`, `release` and `resume`: whose hands are on a service.

use std::time::Duration;

use aiplat_api::{
    client::Client,
    v1::{ServiceStatus, StatusDoc},
};
use aiplat_core::{
    Kind,
    condition::{ConditionType, Reason, Status},
    plan::Command,
};
use tokio::time::timeout;

use super::{
    operate::{name, service},
    watch,
};
use crate::{
    args::{Globals, ServicesArgs, SuspendArgs},
    console,
    exit::{Code, Failure, Outcome},
    find::{Found, Target},
    render::{
        style::{self, paint},
        text::clean,
    },
    source,
};

/// The order is written down at once; its first pass comes right after.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn suspend(globals: &Globals, args: &SuspendArgs) -> Outcome {
    let client = source::client(globals);
    let names = chosen(&client.status().await?, &args.services, name)?;
    for name in &names {
        client.suspend(name, args.lasts).await?;
    }
    shown(globals, &names, Status::True, |_| true).await
}

pub(super) async fn resume(globals: &Globals, args: &ServicesArgs) -> Outcome {
    let client = source::client(globals);
    let doc = client.status().await?;
    // What has left the file meanwhile is let go of, too.
    let names = match args.all {
        true => doc.services.iter().map(|it| it.name.clone()).collect(),
        false => chosen(&doc, args, suspended_name)?,
    };
    order(&client, &names, Command::Resume).await?;
    shown(globals, &names, Status::False, |_| true).await
}

pub(super) async fn release(globals: &Globals, args: &ServicesArgs) -> Outcome {
    let client = source::client(globals);
    let names = chosen_containers(&client.status().await?, args, "release")?;
    order(&client, &names, Command::Release).await?;
    // The word is there before the engine has been told; what is announced is what has been done.
    shown(globals, &names, Status::True, |it| {
        !it.detail.action_due && suspended(it) == Some(Reason::Released)
    })
    .await
}

async fn order(client: &Client, names: &[String], command: Command) -> Result<(), Failure> {
    for name in names {
        client.order(name, command).await?;
    }
    Ok(())
}

pub(super) fn chosen(
    doc: &StatusDoc,
    args: &ServicesArgs,
    name: impl Fn(&StatusDoc, &Target) -> Result<String, Failure>,
) -> Result<Vec<String>, Failure> {
    if args.all {
        return Ok(doc.services.iter().filter(|it| it.desired).map(|it| it.name.clone()).collect());
    }
    args.names.iter().map(|target| name(doc, target)).collect()
}

/// The services that `verb` is for; `--all` are those that are containers, where a unit has no part in it, which is said.
pub(super) fn chosen_containers(
    doc: &StatusDoc,
    args: &ServicesArgs,
    verb: &str,
) -> Result<Vec<String>, Failure> {
    let is_unit =
        |name: &String| doc.resources.iter().any(|it| it.id.kind == Kind::Unit && it.id.key() == name);
    let names = chosen(doc, args, name)?;
    let (units, names): (Vec<String>, Vec<String>) =
        names.into_iter().partition(|name| args.all && is_unit(name));
    for name in units {
        let name = clean(&name);
        console::note(&format!("{name} is a unit of systemd, and left out: `{verb}` is for containers"));
    }
    Ok(names)
}

/// What has left the file while it was suspended is a service no more, and can be let go of all the same.
fn suspended_name(doc: &StatusDoc, target: &Target) -> Result<String, Failure> {
    match target.find(doc)? {
        Found::Resource(it) if it.id.is_service() => Ok(it.id.key().to_owned()),
        Found::Service(_) | Found::Resource(_) | Found::Gate(_) => name(doc, target),
    }
}

fn suspended(service: &ServiceStatus) -> Option<Reason> {
    let condition = service.conditions.iter().find(|it| it.condition.kind == ConditionType::Suspended)?;
    (condition.condition.status == Status::True).then_some(condition.condition.reason)
}

/// Waits until the daemon says so, and prints its words.
async fn shown(
    globals: &Globals,
    names: &[String],
    wanted: Status,
    done: impl Fn(&ServiceStatus) -> bool,
) -> Outcome {
    let mut news = watch::follow(globals, None);
    let is_as_wanted = |it: &ServiceStatus| Status::of(suspended(it).is_some()) == wanted && done(it);
    let doc = timeout(PATIENCE, async {
        loop {
            let doc = watch::next(&mut news).await?;
            if names.iter().all(|name| service(&doc, name).is_none_or(is_as_wanted)) {
                return Ok::<_, Failure>(doc);
            }
        }
    });
    let Ok(doc) = doc.await else {
        return Err(Failure::failed("the order is kept, and has not been carried out within 30s")
            .tip("`aiplatctl why` says what is in the way"));
    };
    let doc = doc?;
    for name in names {
        let Some(it) = service(&doc, name) else {
            console::line(&format!("{} is no longer in the file, and is removed", clean(name)))?;
            continue;
        };
        let word = paint(style::word(it.status), &it.status.to_string());
        console::line(format!("{name} {word}  {}", clean(&it.message)).trim_end())?;
    }
    Ok(Code::Done)
}
