//! `explain`: what a key, a condition, a reason, a printed word or a lint means; works without the daemon.

use aiplat_core::{
    condition::{ConditionType, Reason, Word},
    load::{KeyDoc, LINTS, Lint, all_keys, find_keys, keys_below, nearest},
};

use crate::{
    console,
    exit::{Code, Failure, Outcome},
    render::{
        style::{self, paint},
        text::clean,
    },
};

pub(super) fn run(topic: Option<&str>) -> Outcome {
    let text = match topic {
        None => overview(),
        Some(topic) => explain(topic)?,
    };
    console::print(&text)?;
    Ok(Code::Done)
}

fn overview() -> String {
    let mut out = String::from(
        "aiplatctl explain PATH        a key of the file, as in `explain services.healthcheck`\n\
         aiplatctl explain WORD        a condition, a reason, a printed word or a lint, as in `explain CrashLoop`\n\n\
         Lists: conditions, reasons, words, lints\n\nKeys of the file:\n",
    );
    out.push_str(&keys(&keys_at_top()));
    out
}

fn keys_at_top() -> Vec<KeyDoc> {
    all_keys().into_iter().filter(|key| !key.path.contains(['.', '['])).collect()
}

fn explain(topic: &str) -> Result<String, Failure> {
    let listed = match topic.to_ascii_lowercase().as_str() {
        "keys" => Some(keys(&keys_at_top())),
        "conditions" => Some(list(ConditionType::ALL)),
        "reasons" => Some(list(Reason::ALL)),
        "words" | "status" => Some(list(Word::ALL)),
        "lints" => Some(lints()),
        _ => None,
    };
    if let Some(listed) = listed {
        return Ok(listed);
    }
    let mut told = Vec::new();
    told.extend(
        word(Word::ALL, topic).map(|(name, text)| about(&name, "a word of the column STATUS", &text)),
    );
    told.extend(ConditionType::ALL.iter().find(|(kind, _)| is(&kind.to_string(), topic)).map(
        |(kind, text)| {
            let normal = if kind.abnormal_when_true() { "False" } else { "True" };
            about(&kind.to_string(), &format!("a condition; {normal} is the normal status"), text)
        },
    ));
    told.extend(word(Reason::ALL, topic).map(|(name, text)| about(&name, "a reason of a condition", &text)));
    told.extend(LINTS.iter().find(|lint| is(lint.name, topic)).map(lint));
    if !told.is_empty() {
        return Ok(told.join("\n"));
    }
    match find_keys(topic) {
        Ok(found) if found.len() == 1 => Ok(found.iter().map(key).collect()),
        Ok(found) => Ok(format!("Several keys are called so:\n\n{}", keys(&found))),
        Err(near) => Err(unknown(topic, near)),
    }
}

fn unknown(topic: &str, key: Option<String>) -> Failure {
    let names = || {
        let words = Word::ALL.iter().map(|(word, _)| word.to_string());
        let kinds = ConditionType::ALL.iter().map(|(kind, _)| kind.to_string());
        let reasons = Reason::ALL.iter().map(|(reason, _)| reason.to_string());
        words.chain(kinds).chain(reasons).chain(LINTS.iter().map(|lint| lint.name.to_owned()))
    };
    let names: Vec<String> = names().collect();
    // A word is tried first: it is whole, where a key may only be like the end of a path.
    let near = nearest(topic, names.iter().map(String::as_str)).map(str::to_owned).or(key);
    let failure = Failure::usage(format!("nothing is called `{}`", clean(topic)));
    match near {
        Some(near) => failure.tip(format!("did you mean `aiplatctl explain {near}`?")),
        None => failure.tip("`aiplatctl explain` lists what there is"),
    }
}

fn is(name: &str, topic: &str) -> bool {
    name.eq_ignore_ascii_case(topic)
}

fn word<T: ToString>(all: &[(T, &str)], topic: &str) -> Option<(String, String)> {
    all.iter()
        .map(|(word, text)| (word.to_string(), text.trim().to_owned()))
        .find(|(word, _)| is(word, topic))
}

fn about(name: &str, what: &str, text: &str) -> String {
    format!("{} ({what})\n  {}\n", paint(style::STRONG, name), text.trim())
}

fn list<T: ToString>(all: &[(T, &str)]) -> String {
    let rows: Vec<(String, String)> =
        all.iter().map(|(word, text)| (word.to_string(), text.trim().to_owned())).collect();
    columns(&rows)
}

fn lints() -> String {
    let rows: Vec<(String, String)> =
        LINTS.iter().map(|lint| (lint.name.to_owned(), lint.summary.to_owned())).collect();
    format!(
        "{}\nA lint is allowed with `lint: {{allow: [NAME]}}`, for the platform or for one service.\n",
        columns(&rows)
    )
}

fn lint(lint: &Lint) -> String {
    let Lint { name, summary, why, instead } = lint;
    format!(
        "{} (a lint)\n  {summary}\n\n  Why:      {why}\n  Instead:  {instead}\n  Allow it: lint: {{allow: [{name}]}}, for the \
         platform or for one service\n",
        paint(style::STRONG, name)
    )
}

fn keys(keys: &[KeyDoc]) -> String {
    columns(&keys.iter().map(|key| (key.path.clone(), short(key))).collect::<Vec<_>>())
}

/// The first sentence.
fn short(key: &KeyDoc) -> String {
    key.text.split_once(". ").map_or(key.text.as_str(), |(first, _)| first).to_owned()
}

fn key(key: &KeyDoc) -> String {
    let mut out = format!("{}\n  {}\n", paint(style::STRONG, &key.path), key.text);
    if !key.takes.is_empty() {
        out.push_str(&format!("\n  Takes: {}\n", key.takes));
    }
    let below = keys_below(&key.path);
    if !below.is_empty() {
        let rows: Vec<(String, String)> = below
            .iter()
            .map(|inner| {
                let name = inner.path.rsplit('.').next().unwrap_or_default().to_owned();
                (format!("  {name}"), short(inner))
            })
            .collect();
        out.push_str(&format!("\n  Its keys:\n{}", columns(&rows)));
    }
    out
}

fn columns(rows: &[(String, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    rows.iter().map(|(name, text)| format!("{name:width$}  {text}\n")).collect()
}
