//! Models, as people see them.

use aiplat_api::v1::{LoadedModelStatus, ModelStatus, StatusDoc};

use super::{
    View, lists, style,
    table::{Table, cell, column, message},
    text,
};

/// Digits of a digest that tell two apart, as Ollama prints them.
const DIGEST: usize = 12;

/// `get models`: those of the file, and those that its servers have besides.
#[must_use]
pub fn models(doc: &StatusDoc, names: &[String], view: View) -> Table {
    let mut columns = vec![
        column("NAME"),
        column("MODEL"),
        column("RUNNER").drops(2),
        column("STATUS"),
        column("SIZE").drops(1),
        column("LOADED").drops(3),
    ];
    if view.wide {
        columns.extend([column("DIGEST"), column("VRAM")]);
    }
    // It counts the bytes of a pull: that alone is no news.
    columns.push(column("MESSAGE").flexible().volatile());
    let mut table = Table::new(&columns);
    for it in doc.models.iter().filter(|it| is_chosen(it, names)) {
        let mut row = vec![
            it.name.as_deref().unwrap_or("-").into(),
            (&it.model).into(),
            (&it.runner).into(),
            cell(style::word(it.status), &it.status.to_string()),
            it.size.map(text::bytes).unwrap_or_default().into(),
            it.loaded.as_ref().map(on_what).unwrap_or_default().into(),
        ];
        if view.wide {
            row.push(it.digest.as_deref().map(short).unwrap_or_default().into());
            row.push(it.loaded.as_ref().map(|it| text::bytes(it.vram)).unwrap_or_default().into());
        }
        row.push(message(&it.message));
        table.push(row);
    }
    table
}

/// Whether it was asked for, by its entry or by its name.
#[must_use]
pub fn is_chosen(it: &ModelStatus, names: &[String]) -> bool {
    lists::chosen(names, &it.model) || it.name.as_ref().is_some_and(|name| lists::chosen(names, name))
}

/// The models of one service: for `describe`.
#[must_use]
pub fn of_service(doc: &StatusDoc, service: &str, view: View) -> Table {
    let columns = [
        column("NAME"),
        column("MODEL"),
        column("STATUS"),
        column("SIZE").drops(1),
        column("LOADED").drops(2),
        column("MESSAGE").flexible(),
    ];
    let mut table = Table::new(&columns);
    for it in doc.models.iter().filter(|it| it.runner == service) {
        table.push(vec![
            it.name.as_deref().unwrap_or("-").into(),
            (&it.model).into(),
            cell(style::word(it.status), &it.status.to_string()),
            it.size.map(text::bytes).unwrap_or_default().into(),
            it.loaded.as_ref().map(|it| until(it, view)).unwrap_or_default().into(),
            message(&it.message),
        ]);
    }
    table
}

/// What of the memory of all GPUs the models of `service` take; nothing where none is in memory.
#[must_use]
pub fn gpu(doc: &StatusDoc, service: &str) -> String {
    let loaded: Vec<&LoadedModelStatus> =
        doc.models.iter().filter(|it| it.runner == service).filter_map(|it| it.loaded.as_ref()).collect();
    if loaded.is_empty() {
        return String::new();
    }
    let (size, vram) =
        loaded.iter().fold((0_u64, 0_u64), |(size, vram), it| (size + it.size, vram + it.vram));
    let of = text::count(loaded.len(), "loaded model");
    match vram {
        0 => format!("none of it is used: {of} ({}) on the CPU", text::bytes(size)),
        vram => format!("{} of {} of {of}", text::bytes(vram), text::bytes(size)),
    }
}

/// `100% GPU`, `38% GPU`, `CPU`
fn on_what(it: &LoadedModelStatus) -> String {
    match it.vram.saturating_mul(100).checked_div(it.size) {
        None | Some(0) => "CPU".to_owned(),
        Some(percent) => format!("{}% GPU", percent.min(100)),
    }
}

fn until(it: &LoadedModelStatus, view: View) -> String {
    let expires: Option<jiff::Timestamp> = it.expires_at.parse().ok();
    let left =
        expires.map(|at| at.duration_since(view.now).as_secs()).filter(|secs| (1..86_400).contains(secs));
    match left.and_then(|secs| u64::try_from(secs).ok()) {
        Some(secs) => {
            let left = aiplat_core::time::human(std::time::Duration::from_secs(secs));
            format!("{}, for {left}", on_what(it))
        }
        None => on_what(it),
    }
}

/// The first digits of a digest.
#[must_use]
pub fn short(digest: &str) -> &str {
    digest.get(..DIGEST).unwrap_or(digest)
}
