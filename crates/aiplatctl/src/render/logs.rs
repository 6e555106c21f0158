//! Lines of logs.

use aiplat_api::v1::LogRecord;
use anstyle::Style;

use super::{style, style::paint, text};

/// How the lines of several services are told apart.
#[derive(Debug, Clone)]
pub struct Prefixes {
    names: Vec<String>,
    width: usize,
}

impl Prefixes {
    /// Prefixes for these services; one alone needs none.
    #[must_use]
    pub fn new(names: &[String]) -> Self {
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or_default();
        Self { names: names.to_vec(), width }
    }

    fn of(&self, name: &str) -> String {
        if self.names.len() < 2 {
            return String::new();
        }
        let at = self.names.iter().position(|known| known == name).unwrap_or_default();
        let style: Style = style::PREFIXES[at % style::PREFIXES.len()];
        let width = self.width;
        paint(style, &format!("{:<width$} | ", text::clean(name)))
    }
}

/// One line, ready to print.
#[must_use]
pub fn line(record: &LogRecord, prefixes: &Prefixes, timestamps: bool) -> String {
    let LogRecord { service, time, stderr: _, text } = record;
    let time =
        if timestamps { paint(style::FAINT, &format!("{} ", text::clean(time))) } else { String::new() };
    format!("{}{time}{}\n", prefixes.of(service), text::clean_log(text))
}
