//! `apply --wait`: bars on a terminal, lines elsewhere, until all is Ready or the time is up.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal as _},
    time::Duration,
};

use aiplat_api::v1::{ServiceStatus, StatusDoc};
use aiplat_core::condition::{ConditionType, Reason, Word};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::time::{Instant, timeout_at};

use super::watch;
use crate::{
    args::Globals,
    console,
    exit::{Code, Failure, Outcome},
    render::{
        lists,
        style::{self, paint},
        text::{clean, count},
        why,
    },
};

/// Between two frames of the bars.
const FRAME: Duration = Duration::from_millis(120);

pub(super) async fn until_ready(globals: &Globals, generation: u64, limit: Duration) -> Outcome {
    let started = Instant::now();
    let mut news = watch::follow(globals, None);
    let mut display = Display::new(io::stderr().is_terminal());
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
        display.update(&doc, generation, started.elapsed());
        match outlook(&doc, generation) {
            Outlook::Ready => {
                display.end();
                let took = aiplat_core::time::human(started.elapsed());
                console::line(&format!("{} Ready after {took}.", count(doc.services.len(), "service")))?;
                return Ok(Code::Done);
            }
            Outlook::Hopeless => {
                display.end();
                return Err(Failure::failed(format!("it will not become Ready by itself:{}", reasons(&doc)))
                    .tip("`aiplatctl why` shows what is wrong, `aiplatctl edit` changes the file"));
            }
            Outlook::Underway => last = Some(doc),
        }
    }
}

/// Where things are going.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outlook {
    Ready,
    Underway,
    /// What is not Ready has failed for good, or waits for something that has.
    Hopeless,
}

fn outlook(doc: &StatusDoc, generation: u64) -> Outlook {
    let unready: Vec<&ServiceStatus> = doc.services.iter().filter(|it| !is_ready(it, generation)).collect();
    if unready.is_empty() {
        return Outlook::Ready;
    }
    let is_over = |word: Word| match word {
        Word::Held | Word::Failed | Word::Stopped | Word::Suspended => true,
        Word::Pending
        | Word::Unknown
        | Word::CrashLoop
        | Word::BackOff
        | Word::Pulling
        | Word::Starting
        | Word::NotReady
        | Word::Degraded
        | Word::Completed
        | Word::Ready => false,
    };
    let waits = |it: &&&ServiceStatus| it.status == Word::Pending;
    // An edit that was taken back is not tried again.
    let is_taken_back = |it: &ServiceStatus| {
        let mut ready = it.conditions.iter().filter(|it| it.condition.kind == ConditionType::Ready);
        ready.any(|it| it.condition.reason == Reason::TakenBack)
    };
    let over = unready.iter().filter(|it| is_over(it.status) || is_taken_back(it)).count();
    if over > 0 && over + unready.iter().filter(waits).count() == unready.len() {
        return Outlook::Hopeless;
    }
    Outlook::Underway
}

/// Ready, and not only from before this generation.
fn is_ready(service: &ServiceStatus, generation: u64) -> bool {
    let ready = service.conditions.iter().find(|it| it.condition.kind == ConditionType::Ready);
    why::is_ready(service) && ready.is_none_or(|it| it.observed_generation >= generation)
}

fn time_is_up(doc: Option<&StatusDoc>, limit: Duration) -> Failure {
    let limit = aiplat_core::time::human(limit);
    match doc {
        Some(doc) => Failure::failed(format!("not all is Ready within {limit}:{}", reasons(doc)))
            .tip("aiplatd goes on; `aiplatctl get services -w` shows how"),
        None => Failure::new(Code::NotReachable, format!("aiplatd has said nothing for {limit}"))
            .tip("`systemctl status aiplatd` says what it does"),
    }
}

fn reasons(doc: &StatusDoc) -> String {
    let unready = doc.services.iter().filter(|service| !why::is_ready(service));
    unready.map(|service| format!("\n  {}", why::painted_chain(service))).collect()
}

/// Shows how things go.
struct Display {
    bars: Option<Bars>,
    words: BTreeMap<String, Word>,
}

struct Bars {
    multi: MultiProgress,
    all: ProgressBar,
    each: BTreeMap<String, ProgressBar>,
}

impl Display {
    fn new(terminal: bool) -> Self {
        let bars = terminal.then(|| {
            let multi = MultiProgress::new();
            let all =
                multi.add(ProgressBar::new(0).with_style(template("{bar:24} {pos}/{len} ready, {elapsed}")));
            all.enable_steady_tick(FRAME);
            Bars { multi, all, each: BTreeMap::new() }
        });
        Self { bars, words: BTreeMap::new() }
    }

    fn update(&mut self, doc: &StatusDoc, generation: u64, elapsed: Duration) {
        let width = doc.services.iter().map(|it| it.name.len()).max().unwrap_or_default();
        for service in &doc.services {
            let old = self.words.insert(service.name.clone(), service.status);
            if old == Some(service.status) {
                continue;
            }
            let word = paint(style::word(service.status), &format!("{:<9}", service.status.to_string()));
            let since = aiplat_core::time::human(elapsed);
            let line =
                format!("{since:>5}  {:<width$}  {word}  {}", clean(&service.name), clean(&service.message));
            match &self.bars {
                None => console::note(line.trim_end()),
                // What is done stays on the screen; what goes on has a bar.
                Some(bars) if is_ready(service, generation) => {
                    drop(bars.multi.println(console::colors_of_notes(line.trim_end())));
                }
                Some(_) => {}
            }
        }
        if let Some(bars) = &mut self.bars {
            bars.update(doc, generation, width);
        }
    }

    fn end(&mut self) {
        if let Some(bars) = self.bars.take() {
            bars.all.finish_and_clear();
            bars.each.values().for_each(ProgressBar::finish_and_clear);
        }
    }
}

impl Bars {
    fn update(&mut self, doc: &StatusDoc, generation: u64, width: usize) {
        let ready = doc.services.iter().filter(|service| is_ready(service, generation)).count();
        self.all.set_length(doc.services.len() as u64);
        self.all.set_position(ready as u64);
        let mut shown = BTreeMap::new();
        // More bars than the window has rows would scroll it.
        let room = console::screen().height.min(40).saturating_sub(3);
        for service in doc.services.iter().filter(|service| !is_ready(service, generation)).take(room) {
            let word = paint(style::word(service.status), &format!("{:<9}", service.status.to_string()));
            let text = format!("{:<width$}  {word}  {}", clean(&service.name), clean(&service.message));
            let bar = self.bar(&service.name, "  {spinner} {wide_msg}");
            bar.set_message(console::colors_of_notes(&text));
            shown.insert(service.name.clone(), bar);
        }
        for resource in &doc.resources {
            if let Some(pull) = resource.pull {
                let key = resource.id.to_string();
                // The name comes last: it is what a narrow terminal can do without.
                let bar = self.bar(&key, "    {bar:24} {prefix}  {wide_msg}");
                bar.set_message(clean(resource.id.key()));
                bar.set_length(pull.total.max(pull.done).max(1));
                bar.set_position(pull.done);
                bar.set_prefix(lists::progress(pull));
                shown.insert(key, bar);
            }
        }
        for (key, bar) in std::mem::replace(&mut self.each, shown) {
            if !self.each.contains_key(&key) {
                bar.finish_and_clear();
            }
        }
    }

    fn bar(&self, key: &str, form: &str) -> ProgressBar {
        match self.each.get(key) {
            Some(bar) => bar.clone(),
            None => {
                let bar = self.multi.insert_before(&self.all, ProgressBar::new(0).with_style(template(form)));
                bar.enable_steady_tick(FRAME);
                bar
            }
        }
    }
}

fn template(form: &str) -> ProgressStyle {
    ProgressStyle::with_template(form).expect("our own templates are well-formed").progress_chars("##-")
}
