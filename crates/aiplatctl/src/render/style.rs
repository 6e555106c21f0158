//! Colours, by meaning.

use aiplat_api::v1::{EventType, ServiceStatus};
use aiplat_core::condition::{Condition, ConditionType, Status, Word};
use anstyle::{AnsiColor, Color, Style};

const fn color(color: AnsiColor) -> Style {
    Style::new().fg_color(Some(Color::Ansi(color)))
}

/// As it should be.
pub const GOOD: Style = color(AnsiColor::Green);
/// On its way.
pub const UNDERWAY: Style = color(AnsiColor::Yellow);
/// Not as it should be.
pub const BAD: Style = color(AnsiColor::Red);
/// What failed, in an error.
pub const ERROR: Style = color(AnsiColor::Red).bold();
/// What one looks for.
pub const STRONG: Style = Style::new().bold();
/// What one may skip.
pub const FAINT: Style = Style::new().dimmed();
/// Nothing special.
pub const PLAIN: Style = Style::new();

/// Colours of prefixes in `logs`, none of them a warning.
pub const PREFIXES: [Style; 6] = [
    color(AnsiColor::Cyan),
    color(AnsiColor::Magenta),
    color(AnsiColor::Blue),
    color(AnsiColor::BrightCyan),
    color(AnsiColor::BrightMagenta),
    color(AnsiColor::BrightBlue),
];

/// `text` in `style`.
#[must_use]
pub fn paint(style: Style, text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{style}{text}{style:#}") }
}

/// The colour of a status word.
#[must_use]
pub fn word(word: Word) -> Style {
    match word {
        Word::Ready | Word::Completed => GOOD,
        Word::Starting | Word::Pending | Word::Pulling | Word::BackOff | Word::Stopped | Word::Suspended => {
            UNDERWAY
        }
        Word::Held | Word::Unknown | Word::CrashLoop | Word::NotReady | Word::Degraded | Word::Failed => BAD,
    }
}

/// The colour of a condition.
#[must_use]
pub fn condition(condition: &Condition) -> Style {
    match condition.status {
        Status::Unknown => UNDERWAY,
        Status::True | Status::False if !condition.is_normal() => BAD,
        // Work going on is neither good nor bad.
        Status::True if condition.kind == ConditionType::Progressing => UNDERWAY,
        Status::True | Status::False => PLAIN,
    }
}

/// The colour of an event's type.
#[must_use]
pub fn event(kind: EventType) -> Style {
    match kind {
        EventType::Normal => PLAIN,
        EventType::Warning => UNDERWAY,
    }
}

/// Whether nothing is to be said about a service.
#[must_use]
pub fn is_well(service: &ServiceStatus) -> bool {
    matches!(service.status, Word::Ready | Word::Completed)
}
