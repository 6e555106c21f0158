//! The reference in `docs/reference`, made from the tables that the code itself goes by.

use aiplat_api::metrics::METRICS;
use aiplat_core::{
    condition::{ConditionType, Reason, Word},
    load::{KeyRow, LINTS, all_keys, json_schema},
};
use clap::{Arg, Command};

/// Told at the top of every page.
const MADE: &str = "<!-- Made by `cargo xtask docs`; a change goes into the code's own tables. -->\n";

/// Every page, by its name in `docs/reference`.
#[must_use]
pub fn pages() -> Vec<(&'static str, String)> {
    vec![
        ("keys.md", keys()),
        ("conditions.md", conditions()),
        ("lints.md", lints()),
        ("metrics.md", metrics()),
        ("cli.md", cli()),
        ("platform.schema.json", schema()),
    ]
}

fn schema() -> String {
    format!("{:#}\n", json_schema())
}

/// A cell of a table: a bar would end it.
fn cell(text: &str) -> String {
    text.trim().replace('|', "\\|").replace('\n', " ")
}

fn table(heads: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut out = line(heads.iter().map(|head| (*head).to_owned()).collect());
    out.push_str(&line(vec!["---".to_owned(); heads.len()]));
    rows.into_iter().for_each(|row| out.push_str(&line(row.iter().map(|text| cell(text)).collect())));
    out
}

fn keys() -> String {
    let mut out = format!(
        "{MADE}# Keys of the platform file\n\n`*` stands for a name of yours, `[]` for an entry of a list. `aiplatctl explain \
         PATH` prints the same. Every word of the Compose specification is in exactly one of these tables.\n"
    );
    let rows = [
        (KeyRow::Supported, "## Read by this version\n", "takes"),
        (KeyRow::Ignored, "## Ignored, with a warning\n", ""),
        (KeyRow::Refused, "## Refused\n", ""),
        (KeyRow::Later, "## Not supported by this version\n", ""),
    ];
    let all = all_keys();
    for (row, title, takes) in rows {
        let keys = all.iter().filter(|key| key.row == row);
        let rows = keys.map(|key| {
            let mut cells = vec![format!("`{}`", key.path), key.text.clone()];
            cells.extend((!takes.is_empty()).then(|| key.takes.clone()));
            cells
        });
        let heads: Vec<&str> =
            ["key", "", takes].into_iter().take(if takes.is_empty() { 2 } else { 3 }).collect();
        out.push_str(&format!("\n{title}\n{}", table(&heads, rows)));
    }
    out
}

fn words<T: ToString>(all: &[(T, &str)]) -> String {
    table(
        &["word", ""],
        all.iter().map(|(word, text)| vec![format!("`{}`", word.to_string()), (*text).to_owned()]),
    )
}

fn conditions() -> String {
    let kinds = ConditionType::ALL.iter().map(|(kind, text)| {
        let normal = if kind.abnormal_when_true() { "False" } else { "True" };
        vec![format!("`{kind}`"), normal.to_owned(), (*text).to_owned()]
    });
    format!(
        "{MADE}# Conditions, reasons, words\n\nA condition is `{{type, status: True|False|Unknown, reason, message, \
         last_transition_time, observed_generation}}`. The types are in the order of cure: `describe` prints the first \
         abnormal one. Types and reasons are stable; scripts may compare them.\n\n## Conditions\n\n{}\n## Reasons\n\n{}\n## \
         The printed word\n\nThe first that holds, in this order.\n\n{}",
        table(&["type", "normal", "it says"], kinds),
        words(Reason::ALL),
        words(Word::ALL),
    )
}

fn lints() -> String {
    let mut out = format!(
        "{MADE}# Lints\n\nEvery warning of `aiplatctl validate` and of the daemon has a name. What is meant is allowed by it, \
         for the platform or for one service:\n\n```yaml\nlint: {{allow: [floating-tag]}}\nservices:\n  db: {{image: \
         \"postgres:17\", lint: {{allow: [backend-published]}}}}\n```\n"
    );
    for lint in &LINTS {
        out.push_str(&format!("\n## {}\n{} {}\n\n{}\n", lint.name, lint.summary, lint.why, lint.instead));
    }
    out
}

fn metrics() -> String {
    let rows = METRICS.iter().map(|metric| {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let kind = if metric.is_counter { "counter" } else { "gauge" };
        vec![format!("`{}`", metric.full_name()), kind.to_owned(), labels.join(" "), metric.help.to_owned()]
    });
    format!(
        "{MADE}# Metrics\n\nOff by default; `aiplatd --metrics-listen ADDR` serves them under `/metrics`. No secret and no free \
         text is in any of them.\n\n{}",
        table(&["name", "type", "labels", "it counts"], rows)
    )
}

fn cli() -> String {
    let command = crate::command();
    let mut out = format!("{MADE}# aiplatctl\n\n{}.\n\n## Everywhere\n\n", about(&command));
    out.push_str(&arguments(&command, true));
    out.push_str(&format!(
        "\n{}\n",
        command.get_after_help().map(ToString::to_string).unwrap_or_default().trim()
    ));
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        out.push_str(&format!("\n## {}\n\n{}.\n", verb.get_name(), about(verb)));
        let arguments = arguments(verb, false);
        if !arguments.is_empty() {
            out.push_str(&format!("\n{arguments}"));
        }
        if let Some(help) = verb.get_after_help() {
            let help = help.to_string();
            out.push_str(&format!("\n{}\n", help.split_whitespace().collect::<Vec<_>>().join(" ")));
        }
    }
    out
}

fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default().trim_end_matches('.').to_owned()
}

/// The arguments of a verb; `None` where it has none. Global ones are told once.
fn arguments(command: &Command, globals: bool) -> String {
    let rows: Vec<Vec<String>> = command
        .get_arguments()
        .filter(|argument| argument.is_global_set() == globals && !argument.is_hide_set())
        .map(|argument| {
            let default: Vec<String> =
                argument.get_default_values().iter().map(|it| it.to_string_lossy().into_owned()).collect();
            let default = if is_switch(argument) { String::new() } else { default.join(" ") };
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            vec![format!("`{}`", written(argument)), help, default]
        })
        .collect();
    if rows.is_empty() { String::new() } else { table(&["argument", "", "default"], rows) }
}

fn is_switch(argument: &Arg) -> bool {
    !argument.get_action().takes_values()
}

fn written(argument: &Arg) -> String {
    let names = argument.get_value_names().unwrap_or_default();
    let value: Vec<String> = names.iter().map(ToString::to_string).collect();
    let value = if value.is_empty() { argument.get_id().to_string().to_uppercase() } else { value.join(" ") };
    let possible: Vec<String> =
        argument.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    let value = if possible.is_empty() { value } else { possible.join("|") };
    match (argument.get_long(), argument.get_short()) {
        (None, None) => value,
        (long, short) => {
            let short = short.map(|short| format!("-{short}"));
            let long = long.map(|long| format!("--{long}"));
            let flags: Vec<String> = short.into_iter().chain(long).collect();
            let flags = flags.join(", ");
            if is_switch(argument) { flags } else { format!("{flags} {value}") }
        }
    }
}
