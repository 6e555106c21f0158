//! `environment:` and `env_file:` of a service.

use std::{collections::BTreeMap, path::Path};

use super::{
    Cx, Fields, Item,
    files::{Content, absolute},
    scalar::{Pair, crop},
};
use crate::load::{
    diagnostic::Problem,
    draft::EnvValue,
    env,
    keys::ENV_FILE,
    tree::{Place, Spanned, Value},
};

/// `env_file` in order, then `environment`.
pub(super) fn environment(cx: &mut Cx<'_>, fields: &mut Fields<'_>) -> BTreeMap<String, EnvValue> {
    let mut environment = BTreeMap::new();
    for item in fields.take("env_file").map(|item| env_files(cx, item)).unwrap_or_default() {
        env_file(cx, &item, &mut environment);
    }
    for Pair { name, value, place, is_literal } in
        fields.take("environment").map(|item| cx.pairs(&item)).unwrap_or_default()
    {
        if name.is_empty() || name.contains(|c: char| c == '=' || c == '\0' || c.is_whitespace()) {
            let message = format!("`{}` cannot be the name of a variable", crop(name));
            cx.sink.add(
                Problem::error("bad-value", place, message).help("write `NAME: value`, or `- NAME=value`"),
            );
            continue;
        }
        match value {
            Some(value) => drop(environment.insert(name.to_owned(), EnvValue { value, place, is_literal })),
            None => match cx.base(place).variables.known.get(name) {
                Some(known) => {
                    let value = EnvValue { value: known.value.clone(), place, is_literal: false };
                    environment.insert(name.to_owned(), value);
                }
                None => {
                    environment.remove(name);
                    cx.sink.add(
                        Problem::warning("variable-left-out", place, format!("`{name}` has no value and is left out"))
                            .because("a name alone takes its value from the env file of the platform, never from the environment of the daemon")
                            .help(format!("write a value; an empty one is `{name}: \"\"`")),
                    );
                }
            },
        }
    }
    environment
}

fn env_files<'n>(cx: &mut Cx<'_>, item: Item<'n>) -> Vec<Item<'n>> {
    match &item.node.value {
        Value::Scalar(_) => vec![item],
        Value::Seq(_) | Value::Map(_) | Value::Broken => cx.items(&item).unwrap_or_default(),
    }
}

fn env_file(cx: &mut Cx<'_>, item: &Item<'_>, environment: &mut BTreeMap<String, EnvValue>) {
    let (path, required, raw) = match &item.node.value {
        Value::Map(_) => {
            let mut fields = cx.fields(item, &ENV_FILE);
            let path = match fields.take("path") {
                Some(path) => cx.filled(&path),
                None => {
                    let problem =
                        Problem::error("missing-key", item.place(), "an entry of `env_file` needs a `path`");
                    cx.sink.add(problem.help("write the file, relative to this one"));
                    None
                }
            };
            let required = fields.take("required").and_then(|item| cx.flag(&item)).unwrap_or(true);
            let raw =
                fields.take("format").and_then(|item| cx.word(&item, &[("raw", true)])).unwrap_or(false);
            fields.done();
            (path, required, raw)
        }
        Value::Scalar(_) | Value::Seq(_) | Value::Broken => (cx.filled(item), true, false),
    };
    let Some(Spanned { value, place }) = path else { return };
    let path = absolute(&cx.base(place).folder, &value);
    let file = match cx.reader.read(cx.files, &path, true, Some(place), cx.sink) {
        Content::Text(file) => file,
        Content::Bad => return,
        Content::Missing => {
            if required {
                cx.sink.add(
                    missing_file(&path, place).help("make the file, or write `{path: ..., required: false}`"),
                );
            }
            return;
        }
    };
    let base = cx.base(place);
    let lines = if raw {
        env::parse_raw(file, &cx.reader.sources, cx.sink)
    } else {
        env::parse(file, &cx.reader.sources, &base.variables.known, cx.sink)
    };
    for line in lines {
        match line.value.or_else(|| base.variables.known.get(&line.name).cloned()) {
            Some(variable) => {
                let value = EnvValue { value: variable.value, place: line.place, is_literal: false };
                environment.insert(line.name, value);
            }
            None => drop(environment.remove(&line.name)),
        }
    }
}

/// `label_file` in order, then `labels`.
pub(super) fn labels(cx: &mut Cx<'_>, fields: &mut Fields<'_>) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for item in fields.take("label_file").map(|item| env_files(cx, item)).unwrap_or_default() {
        let Some(Spanned { value, place }) = cx.filled(&item) else { continue };
        let base = cx.base(place);
        let path = absolute(&base.folder, &value);
        let file = match cx.reader.read(cx.files, &path, true, Some(place), cx.sink) {
            Content::Text(file) => file,
            Content::Bad => continue,
            Content::Missing => {
                cx.sink.add(missing_file(&path, place).help("make the file, or remove the line"));
                continue;
            }
        };
        for line in env::parse(file, &cx.reader.sources, &base.variables.known, cx.sink) {
            let value = line.value.map(|value| value.value).unwrap_or_default();
            if cx.may_label(&line.name, place) {
                labels.insert(line.name, value);
            }
        }
    }
    labels.extend(fields.take("labels").map(|item| cx.labels(&item)).unwrap_or_default());
    labels
}

pub(in crate::load) fn missing_file(path: &Path, place: Place) -> Problem {
    Problem::error("file-missing", place, format!("{} does not exist", path.display()))
}
