//! What happened.

use aiplat_api::v1::{Event, EventType};

use super::{
    View, style,
    table::{Table, cell, column, message},
    time::{age, second},
};

/// How the moment of an event is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// How long ago.
    Age,
    /// When, in UTC: for lines that stay on the screen while time goes on.
    Time,
    /// Both.
    Both,
}

/// `events`, the newest last.
#[must_use]
pub fn events<'a>(events: impl IntoIterator<Item = &'a Event>, moment: Moment, view: View) -> Table {
    let mut columns = Vec::new();
    if moment != Moment::Time {
        columns.push(column("AGE").volatile());
    }
    if moment != Moment::Age {
        // Beside the age it says the same twice.
        let time = column("TIME");
        columns.push(if moment == Moment::Both { time.drops(2) } else { time });
    }
    columns.extend([
        column("TYPE").drops(1),
        column("REASON"),
        column("OBJECT"),
        column("MESSAGE").flexible(),
    ]);
    let mut table = Table::new(&columns);
    for Event { number: _, time, kind, reason, resource, message: said, count } in events {
        let mut row = Vec::new();
        if moment != Moment::Time {
            row.push(age(view.now, time).into());
        }
        if moment != Moment::Age {
            row.push(second(time).into());
        }
        row.extend([
            cell(style::event(*kind), type_name(*kind)),
            cell(style::event(*kind), reason),
            resource.into(),
            message(&times(said, *count)),
        ]);
        table.push(row);
    }
    table
}

/// The sentence of something that has happened `count` times.
fn times(said: &str, count: u32) -> String {
    if count > 1 { format!("({count} times) {said}") } else { said.to_owned() }
}

/// The type as it is written.
#[must_use]
pub fn type_name(kind: EventType) -> &'static str {
    match kind {
        EventType::Normal => "Normal",
        EventType::Warning => "Warning",
    }
}
