//! The table of keys in words, for `aiplatctl explain` and the reference.

use super::{
    keys::{Grammar, KeyRow, ROOT, Row, Shape},
    text::nearest,
};

/// No key lies deeper; a table that contained itself would end here.
const DEPTH_MAX: usize = 8;

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyDoc {
    /// As in `services.*.ports[].target`: `*` stands for a name of the user's, `[]` for an entry of a list.
    pub path: String,
    /// Whether it is read.
    pub row: KeyRow,
    /// What may be written as its value; empty where it is not read.
    pub takes: String,
    /// What it does, or why it is not read, or what to do instead.
    pub text: String,
}

impl KeyDoc {
    /// The path without `*` and `[]`, as people type it.
    #[must_use]
    pub fn short(&self) -> String {
        short(&self.path)
    }
}

fn short(path: &str) -> String {
    let steps =
        path.split('.').map(|step| step.trim_end_matches("[]")).filter(|step| !matches!(*step, "" | "*"));
    steps.collect::<Vec<_>>().join(".")
}

/// Every key of the table, each before what lies in it.
#[must_use]
pub fn all_keys() -> Vec<KeyDoc> {
    let mut keys = Vec::new();
    collect("", &ROOT, 0, &mut keys);
    keys
}

/// The keys that `topic` may mean: the one at that path, or all that are called so. The names of the user's may be left
/// out: `services.healthcheck`, `healthcheck` and `services.web.healthcheck` are the same.
///
/// # Errors
/// With the nearest path, if there is none.
pub fn find_keys(topic: &str) -> Result<Vec<KeyDoc>, Option<String>> {
    let all = all_keys();
    let typed = short(topic);
    let named = |path: &str| all.iter().filter(|key| key.short() == path).cloned().collect::<Vec<_>>();
    let found = named(&typed);
    if !found.is_empty() {
        return Ok(found);
    }
    // `services.web.image`: the second word is a name.
    let words: Vec<&str> = typed.split('.').collect();
    if let [section, _, rest @ ..] = words.as_slice() {
        let found = named(&[&[*section], rest].concat().join("."));
        if !found.is_empty() && !rest.is_empty() {
            return Ok(found);
        }
    }
    let ends = |key: &&KeyDoc| key.short().strip_suffix(&typed).is_some_and(|rest| rest.ends_with('.'));
    let found: Vec<KeyDoc> = all.iter().filter(ends).cloned().collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let paths: Vec<String> = all.iter().map(KeyDoc::short).collect();
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let lasts: Vec<String> = paths.iter().map(|path| last(path)).collect();
    let near = nearest(&typed, paths.iter().map(String::as_str));
    Err(near.or_else(|| nearest(&last(&typed), lasts.iter().map(String::as_str))).map(str::to_owned))
}

/// The keys directly below `path`, which is one of [`all_keys`].
#[must_use]
pub fn keys_below(path: &str) -> Vec<KeyDoc> {
    let below = |key: &KeyDoc| {
        let rest = key.path.strip_prefix(path)?;
        let rest = rest.trim_start_matches("[]").trim_start_matches(".*").trim_start_matches("[]");
        rest.strip_prefix('.').filter(|rest| !rest.contains('.')).map(|_| key.clone())
    };
    all_keys().iter().filter_map(below).collect()
}

fn collect(prefix: &str, shape: &'static Shape, depth: usize, keys: &mut Vec<KeyDoc>) {
    for key in shape.keys {
        let path = if prefix.is_empty() { key.name.to_owned() } else { format!("{prefix}.{}", key.name) };
        let doc = |row, takes: String, text: String| KeyDoc { path: path.clone(), row, takes, text };
        match &key.row {
            Row::Supported { grammar, doc: text } => {
                keys.push(doc(KeyRow::Supported, words(*grammar), (*text).to_owned()));
                if depth < DEPTH_MAX {
                    inner(&path, *grammar, depth + 1, keys);
                }
            }
            Row::Later { until_then } => {
                let text = match *until_then {
                    "" => "Not supported by this version.".to_owned(),
                    until_then => format!("Not supported by this version; {until_then}."),
                };
                keys.push(doc(KeyRow::Later, String::new(), text));
            }
            Row::Refused { reason, instead } => {
                keys.push(doc(
                    KeyRow::Refused,
                    String::new(),
                    format!("Refused: {reason}. Instead: {instead}."),
                ));
            }
            Row::Ignored { reason } => {
                keys.push(doc(KeyRow::Ignored, String::new(), format!("Without effect: {reason}.")));
            }
        }
    }
}

fn inner(path: &str, grammar: Grammar, depth: usize, keys: &mut Vec<KeyDoc>) {
    match grammar {
        Grammar::Shape(shape) => collect(path, shape, depth, keys),
        Grammar::List(of) => inner(&format!("{path}[]"), *of, depth, keys),
        Grammar::Named(of) => inner(&format!("{path}.*"), *of, depth, keys),
        Grammar::Either(choices) => choices.iter().for_each(|choice| inner(path, *choice, depth, keys)),
        Grammar::Text
        | Grammar::Scalar
        | Grammar::Anything
        | Grammar::Flag
        | Grammar::Integer
        | Grammar::Number
        | Grammar::Duration
        | Grammar::Size
        | Grammar::Nothing
        | Grammar::OneOf(_) => {}
    }
}

/// A grammar in words.
fn words(grammar: Grammar) -> String {
    match grammar {
        Grammar::Text => "text".to_owned(),
        Grammar::Scalar => "text or a number".to_owned(),
        Grammar::Anything => "a single value, or nothing".to_owned(),
        Grammar::Flag => "`true` or `false`".to_owned(),
        Grammar::Integer => "a whole number".to_owned(),
        Grammar::Number => "a number".to_owned(),
        Grammar::Duration => "a duration, as in `1m30s`".to_owned(),
        Grammar::Size => "a size, as in `512m`".to_owned(),
        Grammar::Nothing => "nothing".to_owned(),
        Grammar::OneOf(words) if words.len() > 12 => "one of a list of names".to_owned(),
        Grammar::OneOf(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        Grammar::List(of) => format!("a list of ({})", words(*of)),
        Grammar::Named(of) => format!("names, each with ({})", words(*of)),
        Grammar::Shape(_) => "a mapping".to_owned(),
        Grammar::Either(choices) => {
            let mut choices: Vec<String> = choices.iter().map(|choice| words(*choice)).collect();
            choices.dedup();
            choices.join(", or ")
        }
    }
}
