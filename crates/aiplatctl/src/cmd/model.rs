//! `model pull` and `model rm`.

use std::time::Duration;

use aiplat_api::v1::{ModelStatus, RemoveModelRequest, StatusDoc};
use aiplat_core::{ResourceId, spec::ModelName};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, timeout_at};

use super::watch;
use crate::{
    args::{Globals, ModelCommand, ModelPullArgs, ModelRemoveArgs},
    console,
    exit::{Code, Failure, Outcome},
    find::no_such,
    render::{lists, models::short, text, text::clean},
    source,
};

pub(super) async fn run(globals: &Globals, command: &ModelCommand) -> Outcome {
    match command {
        ModelCommand::Pull(args) => pull(globals, args).await,
        ModelCommand::Rm(args) => remove(globals, args).await,
    }
}

/// The entry of a name, which may also be that of its model.
fn entry(doc: &StatusDoc, name: &str) -> Result<String, Failure> {
    let model: Option<ModelName> = name.parse().ok();
    let is_it = |it: &&ModelStatus| {
        it.name.as_deref() == Some(name)
            || model.as_ref().is_some_and(|model| it.model.parse().as_ref() == Ok(model))
    };
    let mut found = doc.models.iter().filter(is_it);
    let by_name = found.clone().find_map(|it| it.name.clone());
    match (by_name, found.next()) {
        (Some(name), _) => Ok(name),
        (None, Some(_)) => {
            Err(Failure::usage(format!("{} is not in the file, and is not pulled again", clean(name))).tip(
                "give it an entry under `models:`, and it is kept there; `ollama pull` moves it by hand",
            ))
        }
        (None, None) => {
            let known = doc.models.iter().filter_map(|it| it.name.as_deref()).collect();
            Err(no_such(&format!("model/{name}"), name, known))
        }
    }
}

async fn pull(globals: &Globals, args: &ModelPullArgs) -> Outcome {
    let client = source::client(globals);
    let before = client.status().await?;
    let names: Vec<String> = args.names.iter().map(|name| entry(&before, name)).collect::<Result<_, _>>()?;
    for name in &names {
        client.pull_model(name).await?;
    }
    if args.no_wait {
        for name in &names {
            console::line(&format!("{}: its pull is noted", clean(name)))?;
        }
        return Ok(Code::Done);
    }
    let mut failed = false;
    for name in &names {
        let was = model(&before, name).and_then(|it| it.digest.clone());
        failed |= !waited(globals, name, was.as_deref(), args.timeout).await?;
    }
    Ok(if failed { Code::Failed } else { Code::Done })
}

fn model<'a>(doc: &'a StatusDoc, name: &str) -> Option<&'a ModelStatus> {
    doc.models.iter().find(|it| it.name.as_deref() == Some(name))
}

/// Waits for a pull that was ordered, and tells what came of it; whether it was one.
async fn waited(globals: &Globals, name: &str, was: Option<&str>, limit: Duration) -> Result<bool, Failure> {
    let form = ProgressStyle::with_template("  {prefix}  {bar:24} {wide_msg}");
    let form = form.expect("our own template is well-formed").progress_chars("##-");
    // Draws nothing where stderr is no terminal.
    let bar = ProgressBar::new(0).with_style(form).with_prefix(clean(name));
    let deadline = Instant::now() + limit;
    let mut news = watch::follow(globals, None);
    loop {
        let Ok(doc) = timeout_at(deadline, watch::next(&mut news)).await else {
            bar.finish_and_clear();
            let limit = aiplat_core::time::human(limit);
            return Err(Failure::failed(format!("{} is not pulled within {limit}", clean(name)))
                .tip("aiplatd goes on; `aiplatctl get models -w` shows how"));
        };
        let doc = doc?;
        let Some(it) = model(&doc, name) else {
            return Err(Failure::failed(format!("{} has left the file meanwhile", clean(name))));
        };
        if let Some(pull) = it.pull {
            bar.set_length(pull.total.max(pull.done).max(1));
            bar.set_position(pull.done);
            bar.set_message(lists::progress(pull));
            continue;
        }
        if !it.ordered {
            bar.finish_and_clear();
            return told(name, it, was);
        }
        let resource = doc.resources.iter().find(|resource| resource.id == ResourceId::model(name));
        if resource.is_some_and(|resource| !resource.moving && !resource.message.is_empty()) {
            bar.finish_and_clear();
            return Err(Failure::failed(format!("{}: {}", clean(name), clean(&it.message)))
                .tip("its pull is noted, and made when that has changed"));
        }
    }
}

fn told(name: &str, it: &ModelStatus, was: Option<&str>) -> Result<bool, Failure> {
    let (name, model) = (clean(name), clean(&it.model));
    if let Some(failure) = &it.failure {
        console::line(&format!("{name}: {}", clean(failure)))?;
        return Ok(false);
    }
    let size = it.size.map(|size| format!(", {}", text::bytes(size))).unwrap_or_default();
    let now = it.digest.as_deref();
    console::line(&match (was, now) {
        (Some(was), Some(now)) if was == now => {
            format!("{name}: {model} is the newest there is ({})", short(now))
        }
        (Some(was), Some(now)) => {
            format!("{name}: {model} is newer now ({} instead of {}{size})", short(now), short(was))
        }
        (None, Some(now)) => format!("{name}: {model} is there ({}{size})", short(now)),
        (_, None) => format!("{name}: {model} is not there: {}", clean(&it.message)),
    })?;
    Ok(now.is_some())
}

async fn remove(globals: &Globals, args: &ModelRemoveArgs) -> Outcome {
    let ModelRemoveArgs { names, runner, dry_run, yes } = args;
    let client = source::client(globals);
    let doc = client.status().await?;
    // The name of an entry stands for its model.
    let named = |name: &String| model(&doc, name).map_or_else(|| name.clone(), |it| it.model.clone());
    let request =
        |name: &String, dry_run| RemoveModelRequest { model: named(name), runner: runner.clone(), dry_run };
    // All of them are looked at before the first one goes.
    let mut would = Vec::new();
    for name in names {
        would.push(client.remove_model(&request(name, true)).await?.message);
    }
    if *dry_run {
        for said in would {
            console::line(&clean(&said))?;
        }
        return Ok(Code::Done);
    }
    if !yes && !console::can_ask() {
        return Err(Failure::usage(
            "nobody can be asked here, and it would have to be pulled again: nothing was changed",
        )
        .tip("if this is meant, say so with --yes"));
    }
    let what: Vec<&str> =
        would.iter().map(|said| said.strip_prefix("would remove ").unwrap_or(said)).collect();
    if !yes && !console::confirm(&format!("Remove {}?", clean(&what.join(", ")))).await? {
        console::note("Nothing was changed.");
        return Ok(Code::Failed);
    }
    for name in names {
        console::line(&clean(&client.remove_model(&request(name, false)).await?.message))?;
    }
    Ok(Code::Done)
}
