//! `get -w`: on a terminal the table is redrawn in place; elsewhere a line is added for each row that changes.

use std::{collections::BTreeMap, time::Duration};

use aiplat_api::v1::StatusDoc;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::{MissedTickBehavior, interval, sleep},
};

use super::{get::Selection, view};
use crate::{
    args::{Format, Globals},
    console,
    exit::{Failure, Outcome},
    render::style::{self, paint},
    source::{self, Seen},
};

/// How long the daemon holds an answer back when nothing changes.
const HOLD: Duration = Duration::from_secs(30);
/// Between two attempts to reach it.
const RETRY: Duration = Duration::from_secs(1);
/// Ages grow by the second.
const TICK: Duration = Duration::from_secs(1);

/// What the daemon says, as it changes.
#[derive(Debug)]
pub(super) enum News {
    /// A state.
    State(Box<StatusDoc>),
    /// It is not reachable, in words.
    Lost(String),
}

/// Follows the state in a task of its own. Ends with the receiver.
pub(super) fn follow(globals: &Globals, after: Option<u64>) -> mpsc::Receiver<News> {
    let (sender, receiver) = mpsc::channel(1);
    let client = source::client(globals);
    tokio::spawn(async move {
        let mut after = after;
        loop {
            let answer = match after {
                Some(after) => client.status_after(after, HOLD).await,
                None => client.status().await,
            };
            let (news, pause) = match answer {
                Ok(doc) => {
                    // A daemon that answers at once with nothing new must not be asked in a loop.
                    let pause = if after == Some(doc.version) { RETRY } else { Duration::ZERO };
                    after = Some(doc.version);
                    (News::State(Box::new(doc)), pause)
                }
                Err(error) => {
                    // It may have been restarted, and count from the beginning.
                    after = None;
                    (News::Lost(error.to_string()), RETRY)
                }
            };
            if sender.send(news).await.is_err() {
                return;
            }
            sleep(pause).await;
        }
    });
    receiver
}

pub(super) async fn run(globals: &Globals, seen: Seen, selection: &Selection, format: Format) -> Outcome {
    let after = seen.live.then_some(seen.doc.version);
    let news = follow(globals, after);
    match format {
        Format::Table | Format::Wide if console::can_redraw() => {
            redraw(seen.doc, news, selection, format == Format::Wide).await
        }
        Format::Table | Format::Wide => append_rows(seen.doc, news, selection, format == Format::Wide).await,
        Format::Json | Format::Yaml | Format::Name | Format::Env => {
            append_values(seen.doc, news, selection, format).await
        }
    }
}

async fn redraw(
    mut doc: StatusDoc,
    mut news: mpsc::Receiver<News>,
    selection: &Selection,
    wide: bool,
) -> Outcome {
    let resized = signal(SignalKind::window_change());
    let mut resized =
        resized.map_err(|error| Failure::failed(format!("cannot watch the window: {error}")))?;
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut lost: Option<String> = None;
    let mut canvas = Canvas::default();
    console::hide_cursor()?;
    loop {
        canvas.draw(&picture(&doc, lost.as_deref(), selection, wide))?;
        // Each of the three can be dropped at any time: none of them holds anything.
        let resize = tokio::select! {
            biased;
            _ = resized.recv() => true,
            heard = news.recv() => {
                match heard {
                    Some(News::State(new)) => { doc = *new; lost = None; }
                    Some(News::Lost(why)) => lost = Some(why),
                    None => return Err(ended()),
                }
                false
            }
            _ = tick.tick() => false,
        };
        if resize {
            canvas.clear()?;
        }
    }
}

/// The lines to show.
fn picture(doc: &StatusDoc, lost: Option<&str>, selection: &Selection, wide: bool) -> Vec<String> {
    let screen = console::screen();
    let table = selection.table(doc, view(wide));
    // A line that is wider than the window would be wrapped, and the redraw would go to a wrong row.
    let mut lines = if table.is_empty() {
        vec![format!("There are no {}.", selection.listed.plural())]
    } else {
        table.lines(screen.width)
    };
    lines
        .extend(lost.map(|why| paint(style::UNDERWAY, &clip(&format!("{why}; trying again"), screen.width))));
    let room = screen.height.saturating_sub(1).max(2);
    if lines.len() > room {
        let hidden = lines.len() - (room - 1);
        lines.truncate(room - 1);
        lines.push(paint(style::FAINT, &format!("and {hidden} more lines than this window has")));
    }
    lines
}

fn clip(text: &str, width: Option<usize>) -> String {
    match width {
        Some(width) if text.chars().count() > width => {
            text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
        }
        Some(_) | None => text.to_owned(),
    }
}

/// Lines on the terminal that are drawn over.
#[derive(Debug, Default)]
pub(super) struct Canvas {
    drawn: Vec<String>,
}

impl Canvas {
    pub(super) fn draw(&mut self, lines: &[String]) -> Result<(), Failure> {
        if self.drawn == lines {
            return Ok(());
        }
        let mut out = String::new();
        if !self.drawn.is_empty() {
            out.push_str(&format!("\u{1b}[{}A", self.drawn.len()));
        }
        out.push('\r');
        for line in lines {
            out.push_str(line);
            // What the last picture had to the right of it goes.
            out.push_str("\u{1b}[K\n");
        }
        out.push_str("\u{1b}[J");
        self.drawn = lines.to_vec();
        console::control(&console::colors(&out))
    }

    /// After a change of its size nobody knows where the lines have gone.
    fn clear(&mut self) -> Result<(), Failure> {
        self.drawn.clear();
        console::control("\u{1b}[2J\u{1b}[H")
    }
}

async fn append_rows(
    first: StatusDoc,
    mut news: mpsc::Receiver<News>,
    selection: &Selection,
    wide: bool,
) -> Outcome {
    let mut known: Vec<String> = Vec::new();
    let mut titled = false;
    let mut doc = first;
    loop {
        let table = selection.table(&doc, view(wide));
        let lines = table.lines(None);
        let now = table.news();
        for (row, line) in now.iter().zip(lines.iter().skip(1)) {
            if !known.contains(row) {
                if !titled {
                    console::line(&lines[0])?;
                    titled = true;
                }
                console::line(line)?;
            }
        }
        known = now;
        doc = next(&mut news).await?;
    }
}

async fn append_values(
    first: StatusDoc,
    mut news: mpsc::Receiver<News>,
    selection: &Selection,
    format: Format,
) -> Outcome {
    let mut known = BTreeMap::new();
    let mut doc = first;
    loop {
        let mut now = BTreeMap::new();
        for (id, value) in selection.entries(&doc) {
            if known.get(&id) != Some(&value) {
                match format {
                    Format::Json => console::line(&super::harmless(&value.to_string()))?,
                    Format::Yaml => {
                        console::line("---")?;
                        super::print_yaml(&value)?;
                    }
                    Format::Name | Format::Table | Format::Wide | Format::Env => console::line(&id)?,
                }
            }
            now.insert(id, value);
        }
        known = now;
        doc = next(&mut news).await?;
    }
}

/// The next state. That the daemon is away is said once.
pub(super) async fn next(news: &mut mpsc::Receiver<News>) -> Result<StatusDoc, Failure> {
    let mut said = false;
    loop {
        match news.recv().await {
            Some(News::State(doc)) => return Ok(*doc),
            Some(News::Lost(why)) => {
                if !said {
                    console::note(&format!("{why}; trying again"));
                }
                said = true;
            }
            None => return Err(ended()),
        }
    }
}

fn ended() -> Failure {
    Failure::failed("the watch ended by itself: this is a mistake of aiplatctl")
}
