//! `pull` and `update`: tags that mean another image now.

use std::{future::Future, time::Duration};

use aiplat_api::{
    client::Client,
    v1::{PullReply, ServiceStatus},
};
use aiplat_core::{
    ResourceId,
    condition::{ConditionType, Reason, Status, Word},
    observed::PullProgress,
    plan::Command,
};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, timeout_at};

use super::{operate::service, suspend::chosen_containers, watch};
use crate::{
    args::{Globals, ServicesArgs, UpdateArgs},
    console,
    exit::{Code, Failure, Outcome},
    render::{
        lists,
        style::{self, paint},
        text::{clean, short_id},
        why,
    },
    source,
};

pub(super) async fn run(globals: &Globals, args: &ServicesArgs) -> Outcome {
    let client = source::client(globals);
    let names = chosen_containers(&client.status().await?, args, "pull")?;
    let mut failed = false;
    for (name, reply) in ask(globals, &client, &names).await? {
        failed |= reply.failure.is_some();
        console::line(&finding(&name, &reply))?;
    }
    Ok(if failed { Code::Failed } else { Code::Done })
}

pub(super) async fn update(globals: &Globals, args: &UpdateArgs) -> Outcome {
    let client = source::client(globals);
    let names = chosen_containers(&client.status().await?, &args.services, "update")?;
    let (mut waiting, mut failed) = (Vec::new(), false);
    for (name, reply) in ask(globals, &client, &names).await? {
        if !reply.moved {
            failed |= reply.failure.is_some();
            console::line(&finding(&name, &reply))?;
            continue;
        }
        // What was built on this machine is in no registry, and its tag has moved all the same.
        if let Some(failure) = &reply.failure {
            let failure = clean(failure);
            console::note(&format!("{name}: {failure}; what its tag means on this machine is used"));
        }
        client.order(&name, Command::Update).await?;
        waiting.push((name, reply));
    }
    if !args.no_wait {
        wait(globals, &waiting, args.timeout).await?;
    }
    Ok(if failed { Code::Failed } else { Code::Done })
}

/// Waits until each is Ready, of the image that was found.
async fn wait(globals: &Globals, waiting: &[(String, PullReply)], limit: Duration) -> Result<(), Failure> {
    let deadline = Instant::now() + limit;
    let mut news = watch::follow(globals, None);
    let mut left: Vec<&(String, PullReply)> = waiting.iter().collect();
    while !left.is_empty() {
        let Ok(doc) = timeout_at(deadline, watch::next(&mut news)).await else {
            let names: Vec<&str> = left.iter().map(|(name, _)| name.as_str()).collect();
            let text = format!("not within {}: {}", aiplat_core::time::human(limit), names.join(", "));
            return Err(Failure::new(Code::NotReady, text)
                .tip("the order is kept; `aiplatctl get services -w` shows how it goes on"));
        };
        let doc = doc?;
        let mut still = Vec::new();
        for waited in left {
            let (name, reply) = waited;
            let Some(it) = service(&doc, name) else {
                return Err(Failure::new(Code::NoSuch, format!("{name} has left the file")));
            };
            if is_ready(it) && it.detail.image_id == reply.now {
                let word = paint(style::word(it.status), &it.status.to_string());
                let image = reply.now.as_deref().map(short_id).unwrap_or_default();
                console::line(&format!("{name} {word}  runs {image} now"))?;
            } else if is_over(it) {
                return Err(Failure::failed(why::chain(it)));
            } else {
                still.push(waited);
            }
        }
        left = still;
    }
    Ok(())
}

fn is_ready(service: &ServiceStatus) -> bool {
    let mut ready = service.conditions.iter().filter(|it| it.condition.kind == ConditionType::Ready);
    ready.any(|it| it.condition.status == Status::True)
}

/// It will not come by itself.
fn is_over(service: &ServiceStatus) -> bool {
    let mut ready = service.conditions.iter().filter(|it| it.condition.kind == ConditionType::Ready);
    matches!(service.status, Word::Held | Word::Failed | Word::CrashLoop)
        || ready.any(|it| it.condition.reason == Reason::TakenBack)
}

/// Pulls one after the other: several at once share one line to the registry.
async fn ask(
    globals: &Globals,
    client: &Client,
    names: &[String],
) -> Result<Vec<(String, PullReply)>, Failure> {
    let mut replies = Vec::new();
    for name in names {
        replies.push((name.clone(), shown(globals, name, client.pull(name)).await??));
    }
    Ok(replies)
}

/// Shows the bytes of a pull while it is waited for.
async fn shown<T>(globals: &Globals, name: &str, call: impl Future<Output = T>) -> Result<T, Failure> {
    let form = ProgressStyle::with_template("  {prefix}  {bar:24} {wide_msg}");
    let form = form.expect("our own template is well-formed").progress_chars("##-");
    // Draws nothing where stderr is no terminal.
    let bar = ProgressBar::new(0).with_style(form).with_prefix(clean(name));
    let mut news = watch::follow(globals, None);
    let mut call = std::pin::pin!(call);
    loop {
        let doc = tokio::select! {
            biased;
            // Not dropped before its end.
            done = &mut call => {
                bar.finish_and_clear();
                return Ok(done);
            }
            // Cancel-safe: a state that is not taken is followed by another one.
            doc = watch::next(&mut news) => doc?,
        };
        let image = service(&doc, name).map(|it| it.detail.image.as_str()).unwrap_or_default();
        let of_image = doc.resources.iter().find(|it| it.id == ResourceId::image(image));
        if let Some(pull) = of_image.and_then(|it| it.pull) {
            let PullProgress { done, total } = pull;
            bar.set_length(total.max(done).max(1));
            bar.set_position(done);
            bar.set_message(lists::progress(pull));
        }
    }
}

fn finding(name: &str, reply: &PullReply) -> String {
    let PullReply { image, runs, now, moved, failure } = reply;
    let image = clean(image);
    let id = |id: &Option<String>| id.as_deref().map_or("nothing", short_id).to_owned();
    let local = if *moved {
        let (runs, now) = (id(runs), id(now));
        format!("{image} means {now} now, and it runs {runs}: `aiplatctl update {name}` moves to it")
    } else if runs.is_none() {
        format!("{image} means {}, and nothing runs of it", id(now))
    } else {
        format!("{image} is what it runs ({})", id(runs))
    };
    match failure {
        None => format!("{name}: {local}"),
        Some(failure) => format!("{name}: {}; on this machine {local}", clean(failure)),
    }
}
