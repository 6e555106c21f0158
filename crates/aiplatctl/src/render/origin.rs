//! The merged file with the place that set each value behind it; secrets left out.

use std::path::Path;

use aiplat_core::load::{Origin, Step};
use serde::Serialize;

use super::config::{redacted, without_secrets};
use super::style::{self, paint};
use super::text::clean;

/// A value for programs.
#[derive(Debug, Serialize)]
pub struct Row {
    path: String,
    value: Option<String>,
    file: String,
    line: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    variables: Vec<String>,
}

/// Every value with its file and line, for programs.
#[must_use]
pub fn rows(origins: &[Origin]) -> Vec<Row> {
    let shown = values(origins);
    let row = |(origin, value): (&Origin, Option<String>)| Row {
        path: path(&origin.path),
        value,
        file: origin.file.display().to_string(),
        line: origin.line,
        variables: origin.variables.clone(),
    };
    origins.iter().zip(shown).map(row).collect()
}

/// The same for people: YAML, with a remark behind each value. Files are named as seen from `folder`.
#[must_use]
pub fn yaml(origins: &[Origin], folder: &Path) -> String {
    let mut lines: Vec<(String, String)> = Vec::new();
    let mut before: &[Step] = &[];
    for (origin, value) in origins.iter().zip(values(origins)) {
        let steps = origin.path.as_slice();
        let common = before.iter().zip(steps).take_while(|(one, other)| one == other).count();
        let remark = remark(origin, folder);
        let mut line = "  ".repeat(common);
        for (at, step) in steps.iter().enumerate().skip(common) {
            match step {
                Step::Item(_) => line.push_str("- "),
                Step::Key(key) => {
                    line.push_str(&format!("{}:", scalar(key)));
                    if at + 1 < steps.len() {
                        lines.push((std::mem::replace(&mut line, "  ".repeat(at + 1)), String::new()));
                    }
                }
            }
        }
        let gap = if line.ends_with(':') { " " } else { "" };
        if let Some(value) = value {
            line.push_str(&format!("{gap}{}", scalar(&value)));
        }
        lines.push((line, remark));
        before = steps;
    }
    let column =
        lines.iter().map(|(line, _)| line.chars().count()).filter(|width| *width <= 60).max().unwrap_or(0);
    let mut out = String::new();
    for (line, remark) in lines {
        let padding = " ".repeat(column.saturating_sub(line.chars().count()) + 2);
        let remark =
            if remark.is_empty() { remark } else { paint(style::FAINT, &format!("{padding}# {remark}")) };
        out.push_str(&format!("{line}{remark}\n"));
    }
    out
}

fn remark(origin: &Origin, folder: &Path) -> String {
    let file = origin.file.strip_prefix(folder).unwrap_or(&origin.file);
    let variables: String =
        origin.variables.iter().map(|variable| format!(", {}", clean(variable))).collect();
    format!("{}:{}{variables}", file.display(), origin.line)
}

fn path(steps: &[Step]) -> String {
    let mut path = String::new();
    for step in steps {
        match step {
            Step::Key(key) if path.is_empty() => path.push_str(key),
            Step::Key(key) => path.push_str(&format!(".{key}")),
            Step::Item(at) => path.push_str(&format!("[{at}]")),
        }
    }
    path
}

/// The values, those of secrets left out.
fn values(origins: &[Origin]) -> Vec<Option<String>> {
    let mut before: Option<&Origin> = None;
    let value = |origin| {
        let value = value(origin, before);
        before = Some(origin);
        value
    };
    origins.iter().map(value).collect()
}

fn value(origin: &Origin, before: Option<&Origin>) -> Option<String> {
    let value = origin.value.as_ref()?;
    let name = origin.path.iter().rev().find_map(|step| match step {
        Step::Key(key) => Some(key.as_str()),
        Step::Item(_) => None,
    });
    let is_item = matches!(origin.path.last(), Some(Step::Item(_)));
    Some(match name {
        Some("command" | "entrypoint" | "test") if is_item => {
            // `--password` and its value are two entries of one list.
            let flag = before.filter(|it| it.path.len() == origin.path.len()).and_then(|it| it.value.clone());
            let words: Vec<String> = flag.into_iter().chain([value.clone()]).collect();
            without_secrets(&words).pop().unwrap_or_default()
        }
        Some("command" | "entrypoint" | "test") => {
            let words: Vec<String> = value.split_whitespace().map(str::to_owned).collect();
            let hidden = without_secrets(&words);
            if hidden == words { value.clone() } else { hidden.join(" ") }
        }
        Some(name) => match value.split_once('=').filter(|_| is_item) {
            Some((name, value)) => format!("{name}={}", redacted(name, value)),
            None => redacted(name, value),
        },
        None => value.clone(),
    })
}

/// A text as YAML takes it for one.
fn scalar(text: &str) -> String {
    let plain = !text.is_empty()
        && text.chars().all(|c| c.is_alphanumeric() || "_-./:@${}<> =".contains(c))
        && text.starts_with(|c: char| c.is_alphanumeric() || "/._$".contains(c))
        && !text.ends_with([' ', ':'])
        && !text.contains(": ");
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}
