//! `apply --wait`: until all is Ready and nothing is left to do, or the time is up.

use std::time::Duration;

use aiplat_api::v1::{ModelStatus, ServiceStatus, StatusDoc};
use aiplat_core::{
    ResourceId,
    condition::{ConditionType, Word},
};
use tokio::time::{Instant, timeout_at};

use super::{
    display::{Awaited, Display},
    watch,
};
use crate::{
    args::Globals,
    console,
    exit::{Code, Failure, Outcome},
    render::{
        text::{clean, count},
        why,
    },
};

pub(super) async fn until_done(globals: &Globals, generation: u64, limit: Duration) -> Outcome {
    let started = Instant::now();
    let mut news = watch::follow(globals, None);
    let mut display = Display::new("ready");
    let mut last: Option<StatusDoc> = None;
    loop {
        let Ok(doc) = timeout_at(started + limit, watch::next(&mut news)).await else {
            display.end();
            return Err(time_is_up(last.as_ref(), limit));
        };
        let doc = doc?;
        if doc.platform.generation < generation {
            continue;
        }
        let awaited: Vec<Awaited<'_>> =
            in_file(&doc).map(|service| Awaited { service, done: is_ready(service, generation) }).collect();
        display.update(&doc, &awaited);
        match outlook(&doc, generation) {
            Outlook::Done => {
                display.end();
                let took = aiplat_core::time::human(started.elapsed());
                console::line(&format!("{} Ready after {took}.", count(awaited.len(), "service")))?;
                return Ok(Code::Done);
            }
            Outlook::Hopeless => {
                display.end();
                return Err(Failure::failed(format!("there is nothing left to wait for:{}", reasons(&doc)))
                    .tip("`aiplatctl why` shows what is wrong, `aiplatctl edit` changes the file"));
            }
            Outlook::Underway => last = Some(doc),
        }
    }
}

/// Where things are going.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outlook {
    /// All is Ready, and nothing is left to do: an edit has more to it than a new container that answers.
    Done,
    Underway,
    /// What is not Ready has failed for good, or waits for something that has.
    Hopeless,
}

fn outlook(doc: &StatusDoc, generation: u64) -> Outlook {
    // What aiplatd is at work on, or waits for, is its own to say.
    if doc.resources.iter().any(|it| it.moving) {
        Outlook::Underway
    } else if in_file(doc).all(|it| is_ready(it, generation)) && missing(doc).next().is_none() {
        Outlook::Done
    } else {
        Outlook::Hopeless
    }
}

/// What has left the file is nobody's edit to wait for.
fn in_file(doc: &StatusDoc) -> impl Iterator<Item = &ServiceStatus> {
    doc.services.iter().filter(|service| service.desired)
}

/// Models of the file that their servers do not have, or of which that is not known.
fn missing(doc: &StatusDoc) -> impl Iterator<Item = &ModelStatus> {
    doc.models.iter().filter(|it| it.name.is_some() && it.status != Word::Ready)
}

/// Ready, and not only from before this generation.
fn is_ready(service: &ServiceStatus, generation: u64) -> bool {
    let ready = service.conditions.iter().find(|it| it.condition.kind == ConditionType::Ready);
    why::is_ready(service) && ready.is_none_or(|it| it.observed_generation >= generation)
}

fn time_is_up(doc: Option<&StatusDoc>, limit: Duration) -> Failure {
    let limit = aiplat_core::time::human(limit);
    match doc {
        Some(doc) => Failure::failed(format!("not all is done within {limit}:{}", reasons(doc)))
            .tip("aiplatd goes on; `aiplatctl get services -w` shows how"),
        None => Failure::new(Code::NotReachable, format!("aiplatd has said nothing for {limit}"))
            .tip("`systemctl status aiplatd` says what it does"),
    }
}

fn reasons(doc: &StatusDoc) -> String {
    let unready = in_file(doc).filter(|service| !why::is_ready(service));
    let chains: String = unready.map(|service| format!("\n  {}", why::painted_chain(service))).collect();
    let name = |it: &ModelStatus| clean(it.name.as_deref().unwrap_or(&it.model));
    let models: String = missing(doc)
        .map(|it| format!("\n  model/{} {}: {}", name(it), it.status, clean(&it.message)))
        .collect();
    if !chains.is_empty() || !models.is_empty() {
        return chains + &models;
    }
    let next = |id: &ResourceId| {
        let mut services = doc.services.iter();
        services.find(|it| it.name == id.key()).map(|it| it.detail.next.as_str()).filter(|it| !it.is_empty())
    };
    let moving = doc.resources.iter().filter(|it| it.moving);
    moving.map(|it| format!("\n  {}: {}", it.id, clean(next(&it.id).unwrap_or(&it.message)))).collect()
}
