//! The live table: redrawn on a terminal, one line per change elsewhere.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::ctl::Service;
use super::say;
use crate::wait::seconds;

/// A message that only changed its words stays for this long: they come faster than anybody reads.
const READABLE: Duration = Duration::from_secs(1);

/// Shows services as they change.
#[derive(Debug)]
pub struct Table {
    begun: Instant,
    /// How wide the terminal is; none if there is none.
    width: Option<usize>,
    drawn: Vec<String>,
    shown: Vec<Shown>,
    floor: Duration,
}

/// A service as it is on the screen, and since when.
#[derive(Debug, Clone)]
struct Shown {
    service: Service,
    since: Instant,
}

impl Table {
    /// A table that starts its clock now and shows the engine's floor beside it.
    pub fn new(floor: Duration) -> Self {
        Self { begun: Instant::now(), width: say::width(), drawn: Vec::new(), shown: Vec::new(), floor }
    }

    /// Shows the state of now.
    pub fn show(&mut self, services: &[Service]) -> Result<()> {
        let before = self.shown.iter().map(|shown| shown.service.clone()).collect::<Vec<_>>();
        self.shown = settle(&self.shown, services, Instant::now());
        match self.width {
            Some(width) => self.redraw(width),
            None => {
                for line in changes(&before, services) {
                    println!("  {:>7}  {line}", seconds(self.begun.elapsed()));
                }
                Ok(())
            }
        }
    }

    fn redraw(&mut self, width: usize) -> Result<()> {
        let services: Vec<Service> = self.shown.iter().map(|shown| shown.service.clone()).collect();
        let mut lines = rows(&services);
        lines.push(format!(
            "{} so far; the engine alone: {}",
            seconds(self.begun.elapsed()),
            seconds(self.floor)
        ));
        // A line that wraps would be two, and the cursor would come back to the wrong one.
        let lines: Vec<String> = lines.iter().map(|line| format!("  {}", cut(line, width - 2))).collect();
        std::io::stdout().write_all(repaint(&self.drawn, &lines).as_bytes())?;
        std::io::stdout().flush()?;
        self.drawn = lines;
        Ok(())
    }

    /// Since its start.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }
}

/// What is shown next: news at once if the word changed, new words for the same state only when the old could be read.
fn settle(shown: &[Shown], services: &[Service], now: Instant) -> Vec<Shown> {
    let next = |service: &Service| {
        let old = shown.iter().find(|shown| shown.service.name == service.name);
        let keep = |old: &&Shown| {
            let same_word = old.service.status == service.status;
            old.service == *service || (same_word && now.duration_since(old.since) < READABLE)
        };
        old.filter(keep).cloned().unwrap_or_else(|| Shown { service: service.clone(), since: now })
    };
    services.iter().map(next).collect()
}

/// The bytes that turn the old lines on the screen into the new ones, without a blank in between.
fn repaint(old: &[String], new: &[String]) -> String {
    let up = if old.is_empty() { String::new() } else { format!("\x1b[{}A", old.len()) };
    let lines = new.iter().enumerate().map(|(index, line)| match old.get(index) {
        Some(same) if same == line => "\n".to_owned(),
        Some(_) | None => format!("\r{line}\x1b[K\n"),
    });
    up + &lines.collect::<String>()
}

/// At most that many characters, with a sign that there was more.
fn cut(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.to_owned();
    }
    let kept: String = line.chars().take(width.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// The table of a moment.
pub fn rows(services: &[Service]) -> Vec<String> {
    let width = |pick: fn(&Service) -> &str, title: &str| {
        services.iter().map(|service| pick(service).len()).chain([title.len()]).max().unwrap_or_default()
    };
    let name = width(|service| &service.name, "NAME");
    let status = width(|service| &service.status, "STATUS");
    let endpoint = width(|service| &service.endpoint, "ENDPOINT");
    let line = |a: &str, b: &str, c: &str, d: &str| {
        format!("{a:name$}  {b:status$}  {c:endpoint$}  {d}").trim_end().to_owned()
    };
    let mut lines = vec![line("NAME", "STATUS", "ENDPOINT", "MESSAGE")];
    lines.extend(
        services
            .iter()
            .map(|service| line(&service.name, &service.status, &service.endpoint, &service.message)),
    );
    lines
}

/// What a log without a terminal should say: each change of status, once.
fn changes(before: &[Service], now: &[Service]) -> Vec<String> {
    let status_before =
        |name: &str| before.iter().find(|service| service.name == name).map(|service| &service.status);
    let width = now.iter().map(|service| service.name.len()).max().unwrap_or_default();
    let changed = now.iter().filter(|service| status_before(&service.name) != Some(&service.status));
    changed
        .map(|Service { name, status, message, .. }| {
            format!("{name:width$}  {status:8}  {message}").trim_end().to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str, status: &str) -> Service {
        let (endpoint, message) = ("-".to_owned(), String::new());
        Service { name: name.to_owned(), status: status.to_owned(), endpoint, message }
    }

    #[test]
    fn a_log_says_each_change_once() {
        let before = [service("db", "Starting"), service("web", "Pending")];
        let now = [service("db", "Ready"), service("web", "Pending")];
        assert_eq!(changes(&before, &now), ["db   Ready"]);
        assert!(changes(&now, &now).is_empty());
    }

    #[test]
    fn new_words_for_the_same_state_wait_until_the_old_could_be_read() {
        let at = Instant::now();
        let saying = |message: &str| [Service { message: message.to_owned(), ..service("web", "Pending") }];
        let first = settle(&[], &saying("waits for db"), at);
        let soon = settle(&first, &saying("waits for cache"), at + READABLE / 2);
        assert_eq!(soon[0].service.message, "waits for db");
        let later = settle(&soon, &saying("waits for cache"), at + READABLE);
        assert_eq!(later[0].service.message, "waits for cache");
        assert_eq!(settle(&first, &[service("web", "Ready")], at)[0].service.status, "Ready");
    }

    #[test]
    fn only_changed_lines_are_painted_and_none_wraps() {
        let lines = |words: [&str; 2]| words.map(str::to_owned);
        assert_eq!(repaint(&lines(["a", "b"]), &lines(["a", "c"])), "\x1b[2A\n\rc\x1b[K\n");
        assert_eq!((cut("abcdef", 4), cut("abcd", 4)), ("abc…".to_owned(), "abcd".to_owned()));
    }

    #[test]
    fn the_table_is_aligned() {
        let lines = rows(&[service("open-webui", "Ready"), service("db", "Pending")]);
        assert_eq!(lines[0], "NAME        STATUS   ENDPOINT  MESSAGE");
        assert_eq!(lines[2], "db          Pending  -");
    }
}
