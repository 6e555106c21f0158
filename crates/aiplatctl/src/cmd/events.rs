//! `events`: what happened, and what happens.

use std::{collections::VecDeque, time::Duration};

use aiplat_api::{
    client::{Client, ClientError},
    v1::{Event, StatusDoc},
};
use jiff::Timestamp;
use tokio::time::sleep;

use super::{harmless, print_json, print_yaml, view};
use crate::{
    args::{EventsArgs, Format, Globals},
    console,
    exit::{Code, Failure, Outcome},
    render::{events, events::Moment, time},
    source::{self, Seen},
};

/// How long the daemon holds an answer back when nothing happens.
const HOLD: Duration = Duration::from_secs(30);
/// Between two attempts to reach it.
const RETRY: Duration = Duration::from_secs(1);
/// Lines that a following line is aligned with.
const ALIGNED: usize = 100;

pub(super) async fn run(globals: &Globals, args: &EventsArgs) -> Outcome {
    if args.output == Format::Env {
        return Err(Failure::usage("`-o env` prints what `get host` knows; events have `-o json`"));
    }
    let client = source::client(globals);
    let Seen { mut doc, live } = source::read(globals).await?;
    if live {
        doc.events = client.events(0).await?;
    }
    let found: Vec<Event> = doc.events.iter().filter(|event| is_asked_for(event, args)).cloned().collect();
    if let Some(about) = args.about.as_ref().filter(|_| found.is_empty()) {
        // No events of a service that exists are an answer; a name that nothing has is a mistake.
        about.find(&doc)?;
    }
    let mut printer = Printer { args, shown: VecDeque::new() };
    printer.print(&found)?;
    if args.watch {
        return watch(&client, &doc, &mut printer).await;
    }
    if found.is_empty() {
        console::note("There are no such events.");
    }
    // Events are the daemon's own: an engine that is away makes none of them old.
    Ok(if live { Code::Done } else { Code::NotReachable })
}

fn is_asked_for(event: &Event, args: &EventsArgs) -> bool {
    let since = args.since.map(|since| since.moment(Timestamp::now()));
    args.about.as_ref().is_none_or(|about| about.is_of(&event.resource))
        && args.kind.is_none_or(|kind| event.kind == kind)
        && since.is_none_or(|since| time::is_since(&event.time, since))
}

async fn watch(client: &Client, doc: &StatusDoc, printer: &mut Printer<'_>) -> Outcome {
    let mut after = doc.events.last().map_or(0, |event| event.number);
    let mut lost = false;
    loop {
        match client.events_after(after, HOLD).await {
            Ok(events) => {
                lost = false;
                after = events.iter().map(|event| event.number).max().unwrap_or(after);
                let asked: Vec<Event> =
                    events.into_iter().filter(|event| is_asked_for(event, printer.args)).collect();
                printer.print(&asked)?;
            }
            Err(ClientError::NotReachable(reason)) => {
                if !lost {
                    console::note(&format!("aiplatd is not reachable: {reason}; trying again"));
                }
                lost = true;
                sleep(RETRY).await;
                // A daemon that lost its ledger counts from the beginning: what it has then is all news.
                if let Ok(doc) = client.status().await {
                    let newest = doc.events.last().map_or(0, |event| event.number);
                    after = if newest < after { 0 } else { after };
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Prints events as they come, a line each, aligned with those before.
struct Printer<'a> {
    args: &'a EventsArgs,
    shown: VecDeque<Event>,
}

impl Printer<'_> {
    fn print(&mut self, events: &[Event]) -> Result<(), Failure> {
        match self.args.output {
            Format::Table | Format::Wide => self.rows(events),
            Format::Json if self.args.watch => {
                events.iter().try_for_each(|it| console::line(&harmless(&serde_json::json!(it).to_string())))
            }
            Format::Yaml if self.args.watch => events.iter().try_for_each(|event| {
                console::line("---")?;
                print_yaml(event)
            }),
            Format::Json => print_json(&events),
            Format::Yaml => print_yaml(&events),
            Format::Name | Format::Env => {
                events.iter().try_for_each(|event| console::line(&format!("event/{}", event.number)))
            }
        }
    }

    fn rows(&mut self, new: &[Event]) -> Result<(), Failure> {
        if new.is_empty() {
            return Ok(());
        }
        let first = self.shown.is_empty();
        self.shown.extend(new.iter().cloned());
        let wide = self.args.output == Format::Wide;
        let moment = match (self.args.watch, wide) {
            (true, _) => Moment::Time,
            (false, true) => Moment::Both,
            (false, false) => Moment::Age,
        };
        let view = view(wide);
        let lines = events::events(&self.shown, moment, view).lines(view.width);
        let old = lines.len().saturating_sub(new.len());
        let title = lines.first().filter(|_| first);
        let text: String = title.into_iter().chain(&lines[old..]).map(|line| format!("{line}\n")).collect();
        while self.shown.len() > ALIGNED {
            self.shown.pop_front();
        }
        console::print(&text)
    }
}
