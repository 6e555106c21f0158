//! `validate`: all problems of a file at once.

use std::path::PathBuf;

use aiplat_core::load::Diagnostic;
use serde::Serialize;

use super::print_json;
use crate::{
    args::{Globals, ReportFormat},
    console,
    exit::{Code, Failure, Outcome},
    offline::{self, Offline, Rules},
    render::{
        style::{self, paint},
        text::{clean, count},
    },
    source,
};

/// The report for programs.
#[derive(Serialize)]
struct Report<'a> {
    file: String,
    valid: bool,
    diagnostics: &'a [Diagnostic],
    differences: &'a [Diagnostic],
}

pub(super) fn run(globals: &Globals, file: Option<&PathBuf>, output: ReportFormat) -> Outcome {
    // A file that is named may be a newcomer's; the platform file is the daemon's.
    let rules = if file.is_some() { Rules::Newcomer } else { Rules::Daemon };
    let offline = offline::read(globals, &source::file(globals, file), rules, None)?;
    let loaded = &offline.loaded;
    match output {
        ReportFormat::Text => console::print(&offline.report(&loaded.diagnostics))?,
        ReportFormat::Short => {
            let lines: String = loaded.diagnostics.iter().map(|it| clean(&it.to_string()) + "\n").collect();
            console::print(&lines)?;
        }
        ReportFormat::Json => print_json(&Report {
            file: offline.path.display().to_string(),
            valid: !loaded.has_errors(),
            diagnostics: &loaded.diagnostics,
            differences: &loaded.differences,
        })?,
    }
    if loaded.has_errors() {
        // The report has been printed; in JSON, that is all that may be.
        return Err(match output {
            ReportFormat::Text | ReportFormat::Short => Failure::usage(offline.tally()),
            ReportFormat::Json => Failure::quiet(Code::Usage),
        });
    }
    if output == ReportFormat::Text {
        console::print(&valid(&offline))?;
    }
    Ok(Code::Done)
}

/// What a valid file holds, and where it does not mean what it would mean to Compose.
fn valid(offline: &Offline) -> String {
    let Some(platform) = &offline.loaded.platform else { return String::new() };
    let mut parts = vec![
        count(platform.services().count(), "service"),
        count(platform.networks.len(), "network"),
        count(platform.volumes.len(), "volume"),
        count(platform.images.len(), "image"),
        count(platform.gates.len(), "gate"),
    ];
    let off = &offline.loaded.services_profile_off;
    if !off.is_empty() {
        parts.push(format!(
            "{} left out by profiles ({})",
            count(off.len(), "service"),
            clean(&off.join(", "))
        ));
    }
    let mut out = String::new();
    let word = paint(style::GOOD, "valid");
    if !offline.loaded.diagnostics.is_empty() {
        out.push('\n');
    }
    out.push_str(&format!("{} is {word}: {}\n", offline.path.display(), parts.join(", ")));
    if !offline.loaded.differences.is_empty() {
        out.push_str("\nNot quite as in Compose:\n");
    }
    for difference in &offline.loaded.differences {
        let line = difference.location.as_ref().map_or(0, |location| location.line);
        let elsewhere = difference.file != offline.path;
        let file = if elsewhere { format!("{}, ", difference.file.display()) } else { String::new() };
        let more: String = difference.notes.iter().map(|note| format!(" ({})", clean(note))).collect();
        out.push_str(&format!("  {file}line {line}: {}{more}\n", clean(&difference.message)));
    }
    out
}
