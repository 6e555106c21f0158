//! The live table: redrawn on a terminal, one line per change elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::ctl::Service;
use crate::wait::seconds;

/// Shows services as they change.
#[derive(Debug)]
pub struct Table {
    begun: Instant,
    terminal: bool,
    drawn: usize,
    last: Vec<Service>,
    floor: Duration,
}

impl Table {
    /// A table that starts its clock now and shows the engine's floor beside it.
    pub fn new(floor: Duration) -> Self {
        let terminal = std::io::stdout().is_terminal();
        Self { begun: Instant::now(), terminal, drawn: 0, last: Vec::new(), floor }
    }

    /// Shows the state of now.
    pub fn show(&mut self, services: &[Service]) -> Result<()> {
        if self.terminal {
            self.redraw(services)?;
        } else {
            for line in changes(&self.last, services) {
                println!("  {:>7}  {line}", seconds(self.begun.elapsed()));
            }
        }
        self.last = services.to_vec();
        Ok(())
    }

    fn redraw(&mut self, services: &[Service]) -> Result<()> {
        let mut out = std::io::stdout().lock();
        if self.drawn > 0 {
            write!(out, "\x1b[{}A", self.drawn)?;
        }
        let mut lines = rows(services);
        lines.push(format!(
            "{} so far; the engine alone: {}",
            seconds(self.begun.elapsed()),
            seconds(self.floor)
        ));
        for line in &lines {
            writeln!(out, "\x1b[2K  {line}")?;
        }
        out.flush()?;
        self.drawn = lines.len();
        Ok(())
    }

    /// Since its start.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }
}

/// The table of a moment.
pub fn rows(services: &[Service]) -> Vec<String> {
    let width = |pick: fn(&Service) -> &str, title: &str| {
        services.iter().map(|service| pick(service).len()).chain([title.len()]).max().unwrap_or_default()
    };
    let name = width(|service| &service.name, "NAME");
    let status = width(|service| &service.status, "STATUS");
    let endpoint = width(|service| &service.endpoint, "ENDPOINT");
    let line = |a: &str, b: &str, c: &str, d: &str, e: &str| {
        let message: String = e.chars().take(60).collect();
        format!("{a:name$}  {b:status$}  {c:>8}  {d:endpoint$}  {message}").trim_end().to_owned()
    };
    let mut lines = vec![line("NAME", "STATUS", "RESTARTS", "ENDPOINT", "MESSAGE")];
    lines.extend(services.iter().map(|service| {
        line(
            &service.name,
            &service.status,
            &service.restarts.to_string(),
            &service.endpoint,
            &service.message,
        )
    }));
    lines
}

/// What a log without a terminal should say: each change of status, once.
fn changes(before: &[Service], now: &[Service]) -> Vec<String> {
    let status_before =
        |name: &str| before.iter().find(|service| service.name == name).map(|service| &service.status);
    let changed = now.iter().filter(|service| status_before(&service.name) != Some(&service.status));
    changed
        .map(|service| {
            format!("{} {} {}", service.name, service.status, service.message).trim_end().to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str, status: &str) -> Service {
        let (restarts, endpoint, message) = (0, "-".to_owned(), String::new());
        Service { name: name.to_owned(), status: status.to_owned(), restarts, endpoint, message }
    }

    #[test]
    fn a_log_says_each_change_once() {
        let before = [service("db", "Starting"), service("web", "Pending")];
        let now = [service("db", "Ready"), service("web", "Pending")];
        assert_eq!(changes(&before, &now), ["db Ready"]);
        assert!(changes(&now, &now).is_empty());
    }

    #[test]
    fn the_table_is_aligned() {
        let lines = rows(&[service("open-webui", "Ready"), service("db", "Pending")]);
        assert_eq!(lines[0], "NAME        STATUS   RESTARTS  ENDPOINT  MESSAGE");
        assert_eq!(lines[2], "db          Pending         0  -");
    }
}
