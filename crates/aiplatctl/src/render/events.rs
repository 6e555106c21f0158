//! What happened.

use aiplat_api::v1::{Event, EventType};

use super::{
    View, style,
    table::{Table, cell, column, message},
    time::age,
};

/// `events`, the newest last.
#[must_use]
pub fn events<'a>(events: impl IntoIterator<Item = &'a Event>, view: View) -> Table {
    let mut columns = vec![column("AGE").volatile()];
    if view.wide {
        columns.push(column("TIME"));
    }
    columns.extend([column("TYPE").drops(1), column("REASON"), column("OBJECT"), column("MESSAGE").flexible()]);
    let mut table = Table::new(&columns);
    for Event { number: _, time, kind, reason, resource, message: said } in events {
        let mut row = vec![age(view.now, time).into()];
        if view.wide {
            row.push(time.into());
        }
        row.extend([
            cell(style::event(*kind), type_name(*kind)),
            cell(style::event(*kind), reason),
            resource.into(),
            message(said),
        ]);
        table.push(row);
    }
    table
}

/// The type as it is written.
#[must_use]
pub fn type_name(kind: EventType) -> &'static str {
    match kind {
        EventType::Normal => "Normal",
        EventType::Warning => "Warning",
    }
}
