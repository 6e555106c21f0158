//! How a wait goes: bars on a terminal, lines elsewhere.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal as _},
    time::Duration,
};

use aiplat_api::v1::{ModelStatus, ServiceStatus, StatusDoc};
use aiplat_core::condition::Word;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::time::Instant;

use crate::{
    console,
    exit::Failure,
    render::{
        lists,
        style::{self, paint},
        text::{clean, wrap},
    },
};

/// Between two frames of the bars.
const FRAME: Duration = Duration::from_millis(120);

/// Services that are waited for, as they come.
pub(super) struct Display {
    bars: Option<Bars>,
    words: BTreeMap<String, (Word, String)>,
    began: Instant,
}

struct Bars {
    multi: MultiProgress,
    all: ProgressBar,
    each: BTreeMap<String, ProgressBar>,
}

/// A service that is waited for.
#[derive(Clone, Copy)]
pub(super) struct Awaited<'a> {
    pub(super) service: &'a ServiceStatus,
    /// It has come to where it is waited for.
    pub(super) done: bool,
}

impl Display {
    /// `what` is counted: `ready`.
    pub(super) fn new(what: &str) -> Self {
        let bars = io::stderr().is_terminal().then(|| {
            let multi = MultiProgress::new();
            let form = format!("{{bar:24}} {{pos}}/{{len}} {what}, {{elapsed}}");
            let all = multi.add(ProgressBar::new(0).with_style(template(&form)));
            all.enable_steady_tick(FRAME);
            Bars { multi, all, each: BTreeMap::new() }
        });
        Self { bars, words: BTreeMap::new(), began: Instant::now() }
    }

    /// What was so before is no news.
    pub(super) fn after(mut self, before: &[ServiceStatus]) -> Self {
        self.words = before.iter().map(|it| (it.name.clone(), (it.status, waits(it)))).collect();
        self
    }

    /// Shows what has changed of `awaited`, and the pulls of their images.
    pub(super) fn update(&mut self, doc: &StatusDoc, awaited: &[Awaited<'_>]) {
        let width = awaited.iter().map(|it| it.service.name.len()).max().unwrap_or_default();
        for Awaited { service, done } in awaited {
            let now = (service.status, waits(service));
            if self.words.get(&service.name) == Some(&now) {
                continue;
            }
            self.words.insert(service.name.clone(), now);
            let since = aiplat_core::time::human(self.began.elapsed());
            let line = format!("{since:>5}  {}", said(service, width));
            match &self.bars {
                None => console::note(line.trim_end()),
                // What is done stays on the screen; what goes on has a bar.
                Some(bars) if *done => {
                    bars.say(&line);
                }
                Some(_) => {}
            }
        }
        self.models(doc, awaited);
        if let Some(bars) = &mut self.bars {
            bars.update(doc, awaited, width);
        }
    }

    /// A line for each model of `awaited` that has another word than before; its bytes are a bar where there are bars.
    fn models(&mut self, doc: &StatusDoc, awaited: &[Awaited<'_>]) {
        let is_awaited = |it: &&ModelStatus| awaited.iter().any(|other| other.service.name == it.runner);
        for it in doc.models.iter().filter(|it| it.name.is_some()).filter(is_awaited) {
            let key = format!("model/{}", it.name.as_deref().unwrap_or_default());
            if self.words.get(&key).map(|(word, _)| *word) == Some(it.status) {
                continue;
            }
            // It has come, and its server has not been asked since.
            let was = self.words.get(&key).map(|(word, _)| *word);
            if was == Some(Word::Pulling) && it.status == Word::Pending {
                continue;
            }
            let is_first = self.words.insert(key.clone(), (it.status, String::new())).is_none();
            // What was there before is no news.
            if is_first && it.status == Word::Ready {
                continue;
            }
            let since = aiplat_core::time::human(self.began.elapsed());
            let word = paint(style::word(it.status), &it.status.to_string());
            let said = if it.message.is_empty() { clean(&it.model) } else { clean(&it.message) };
            let line = format!("{since:>5}  {}  {word}  {said}", clean(&key));
            match &self.bars {
                None => console::note(line.trim_end()),
                Some(bars) if it.pull.is_none() => {
                    bars.say(&line);
                }
                Some(_) => {}
            }
        }
    }

    /// Prints a line to stdout, above the bars.
    pub(super) fn line(&self, text: &str) -> Result<(), Failure> {
        let text = wrap(text, console::screen().width, 2);
        match &self.bars {
            Some(bars) => bars.multi.suspend(|| console::line(&text)),
            None => console::line(&text),
        }
    }

    pub(super) fn end(&mut self) {
        if let Some(bars) = self.bars.take() {
            bars.all.finish_and_clear();
            bars.each.values().for_each(ProgressBar::finish_and_clear);
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.end();
    }
}

/// What it waits for, where that is what it does; other messages change with every attempt.
fn waits(service: &ServiceStatus) -> String {
    if service.status == Word::Pending { service.message.clone() } else { String::new() }
}

fn said(service: &ServiceStatus, width: usize) -> String {
    let word = paint(style::word(service.status), &format!("{:<9}", service.status.to_string()));
    format!("{:<width$}  {word}  {}", clean(&service.name), clean(&service.message))
}

impl Bars {
    /// A line above the bars, which stays. What cannot be written there is lost with the terminal.
    fn say(&self, line: &str) {
        let line = wrap(line.trim_end(), console::screen().width, 2);
        drop(self.multi.println(console::colors_of_notes(&line)));
    }

    fn update(&mut self, doc: &StatusDoc, awaited: &[Awaited<'_>], width: usize) {
        let done = awaited.iter().filter(|it| it.done).count();
        self.all.set_length(awaited.len() as u64);
        self.all.set_position(done as u64);
        let mut shown = BTreeMap::new();
        // More bars than the window has rows would scroll it.
        let room = console::screen().height.min(40).saturating_sub(3);
        for Awaited { service, .. } in awaited.iter().filter(|it| !it.done).take(room) {
            let bar = self.bar(&service.name, "  {spinner} {wide_msg}");
            bar.set_message(console::colors_of_notes(&said(service, width)));
            shown.insert(service.name.clone(), bar);
        }
        let is_awaited = |name: &String| awaited.iter().any(|it| it.service.name == *name);
        for resource in doc.resources.iter().filter(|it| it.used_by.iter().any(is_awaited)) {
            if let Some(pull) = resource.pull {
                let key = resource.id.to_string();
                // A narrow terminal can do without the picture, not without the name.
                let is_narrow = console::screen().width.is_some_and(|width| width < 80);
                let form =
                    if is_narrow { "    {wide_msg} {prefix}" } else { "    {bar:24} {prefix}  {wide_msg}" };
                let bar = self.bar(&key, form);
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
