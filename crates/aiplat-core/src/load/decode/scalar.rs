//! Single values, and the two shapes in which Compose writes maps and lists of them.

use std::{collections::BTreeMap, time::Duration};

use super::{Cx, Item};
use crate::load::{
    diagnostic::Problem,
    text::{duration, list, nearest},
    tree::{Node, Place, Scalar, Spanned, Value},
};

/// One line of `environment` or `labels`: a name, and its value unless only the name is written.
pub(super) struct Pair<'n> {
    pub(super) name: &'n str,
    pub(super) value: Option<String>,
    pub(super) place: Place,
    /// No variable was put in.
    pub(super) is_literal: bool,
}

impl Cx<'_> {
    /// Any single value that is not empty; `None` where it is none, which has then been said.
    pub(super) fn scalar<'n>(&mut self, item: &Item<'n>) -> Option<&'n Scalar> {
        match &item.node.value {
            Value::Scalar(scalar) if scalar.is_null() => {
                let problem = Problem::error("no-value", item.place(), format!("{} has no value", item.what));
                self.sink.add(problem.help("write one, or remove the line"));
                None
            }
            Value::Scalar(scalar) => Some(scalar),
            Value::Broken => None,
            Value::Seq(_) | Value::Map(_) => {
                self.expected(item, "a single value");
                None
            }
        }
    }

    /// A text, as it is written.
    pub(super) fn text(&mut self, item: &Item<'_>) -> Option<Spanned<String>> {
        let scalar = self.scalar(item)?;
        if scalar.text.contains('\0') {
            self.sink.add(Problem::error(
                "bad-value",
                item.place(),
                format!("{} holds a NUL character", item.what),
            ));
            return None;
        }
        Some(Spanned { value: scalar.text.clone(), place: item.place() })
    }

    /// A text in which something must stand.
    pub(super) fn filled(&mut self, item: &Item<'_>) -> Option<Spanned<String>> {
        let text = self.text(item)?;
        if text.value.trim().is_empty() {
            self.bad(item, "it is empty");
            return None;
        }
        Some(text)
    }

    /// A value of some grammar; `parse` says what is wrong and what to write.
    pub(super) fn parsed<T>(
        &mut self,
        item: &Item<'_>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<Spanned<T>> {
        let scalar = self.scalar(item)?;
        match parse(&scalar.text) {
            Ok(value) => Some(Spanned { value, place: item.place() }),
            Err(reason) => {
                self.bad(item, reason);
                None
            }
        }
    }

    /// Says what is wrong with a single value. Values that came out of variables are not shown.
    pub(super) fn bad(&mut self, item: &Item<'_>, reason: impl Into<String>) {
        let Value::Scalar(scalar) = &item.node.value else { return };
        let message = format!("{} cannot be `{}`", item.what, crop(scalar.shown()));
        let mut problem = Problem::error("bad-value", item.place(), message).label(reason);
        for origin in scalar.written.iter().flat_map(|written| &written.origins) {
            problem = problem.because(origin.clone());
        }
        self.sink.add(problem);
    }

    /// `true` or `false`, and nothing that YAML 1.1 also took for them.
    pub(super) fn flag(&mut self, item: &Item<'_>) -> Option<bool> {
        let parse = |text: &str| match text {
            "true" | "True" | "TRUE" => Ok(true),
            "false" | "False" | "FALSE" => Ok(false),
            "yes" | "on" | "y" | "Yes" | "On" | "YES" | "ON" | "1" => Err("write `true`".to_owned()),
            "no" | "off" | "n" | "No" | "Off" | "NO" | "OFF" | "0" => Err("write `false`".to_owned()),
            _ => Err("write `true` or `false`".to_owned()),
        };
        self.parsed(item, parse).map(|flag| flag.value)
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&mut self, item: &Item<'_>, words: &[(&str, T)]) -> Option<T> {
        let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
        let parse = |text: &str| match words.iter().find(|(name, _)| *name == text) {
            Some((_, value)) => Ok(*value),
            None => Err(match nearest(text, names.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if names.len() == 1 => format!("only {} is known", list(&names)),
                None => format!("write one of {}", list(&names)),
            }),
        };
        self.parsed(item, parse).map(|word| word.value)
    }

    /// A whole number within bounds.
    pub(super) fn integer(&mut self, item: &Item<'_>, least: i64, most: i64) -> Option<i64> {
        let parse = |text: &str| match text.parse::<i64>() {
            Ok(number) if number < least => Err(format!("the least is {least}")),
            Ok(number) if number > most => Err(format!("the most is {most}")),
            Ok(number) => Ok(number),
            Err(_) => Err("write a whole number".to_owned()),
        };
        self.parsed(item, parse).map(|number| number.value)
    }

    /// A port number.
    pub(super) fn port(&mut self, item: &Item<'_>) -> Option<u16> {
        let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
        self.parsed(item, |text| port(text).ok_or_else(|| "write a port from 1 to 65535".to_owned()))
            .map(|p| p.value)
    }

    /// A duration as Compose writes it.
    pub(super) fn duration(&mut self, item: &Item<'_>) -> Option<Spanned<Duration>> {
        self.parsed(item, duration)
    }

    /// A duration above zero.
    pub(super) fn period(&mut self, item: &Item<'_>) -> Option<Duration> {
        let parse = |text: &str| match duration(text)? {
            Duration::ZERO => Err("it must be more than zero".to_owned()),
            period => Ok(period),
        };
        self.parsed(item, parse).map(|period| period.value)
    }

    /// A list of texts.
    pub(super) fn strings(&mut self, item: &Item<'_>) -> Option<Vec<Spanned<String>>> {
        let items = self.items(item)?;
        Some(items.iter().filter_map(|item| self.text(item)).collect())
    }

    /// A text, or a list of texts.
    pub(super) fn string_or_strings(&mut self, item: &Item<'_>) -> Option<Vec<Spanned<String>>> {
        match &item.node.value {
            Value::Scalar(_) => self.filled(item).map(|text| vec![text]),
            Value::Seq(_) | Value::Map(_) | Value::Broken => self.strings(item),
        }
    }

    /// Lists in which the same word twice is a slip.
    pub(super) fn distinct(&mut self, item: &Item<'_>) -> Option<Vec<Spanned<String>>> {
        let mut first: BTreeMap<String, Place> = BTreeMap::new();
        let mut distinct = Vec::new();
        for text in self.strings(item)? {
            match first.get(&text.value) {
                Some(place) => self.sink.add(
                    Problem::error(
                        "duplicate-entry",
                        text.place,
                        format!("`{}` is listed twice", crop(&text.value)),
                    )
                    .also(*place, "first here")
                    .help("remove one of the two"),
                ),
                None => {
                    first.insert(text.value.clone(), text.place);
                    distinct.push(text);
                }
            }
        }
        Some(distinct)
    }

    /// A map of single values, or a list of `NAME=value`.
    pub(super) fn pairs<'n>(&mut self, item: &Item<'n>) -> Vec<Pair<'n>> {
        match &item.node.value {
            Value::Seq(_) => self.listed_pairs(item),
            Value::Map(_) | Value::Scalar(_) | Value::Broken => {
                let mut pairs = Vec::new();
                for (name, place, node) in self.entries(item).unwrap_or_default() {
                    let inner = Item::new(format!("`{name}`"), node);
                    if inner.is_null() {
                        pairs.push(Pair { name, value: None, place, is_literal: true });
                    } else if let Some(text) = self.text(&inner) {
                        pairs.push(Pair {
                            name,
                            value: Some(text.value),
                            place,
                            is_literal: is_literal(node),
                        });
                    }
                }
                pairs
            }
        }
    }

    fn listed_pairs<'n>(&mut self, item: &Item<'n>) -> Vec<Pair<'n>> {
        let mut pairs: BTreeMap<&'n str, Pair<'n>> = BTreeMap::new();
        for inner in self.items(item).unwrap_or_default() {
            if let Value::Map(entries) = &inner.node.value {
                let name = entries.first().map_or("NAME", |entry| entry.name.as_str());
                let problem =
                    Problem::error("wrong-type", inner.place(), format!("{} takes `NAME=value`", inner.what));
                let help = if name.contains('=') {
                    "a `: ` makes a mapping of it: write the whole entry in quotes, as in `- 'A={\"b\": 1}'`"
                        .to_owned()
                } else {
                    format!("write `- {name}=value`, or leave out the `- ` on every line")
                };
                self.sink.add(problem.label("this is a mapping").help(help));
                continue;
            }
            if self.text(&inner).is_none() {
                continue;
            }
            let Value::Scalar(scalar) = &inner.node.value else { continue };
            let (name, value) = match scalar.text.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (scalar.text.as_str(), None),
            };
            let pair = Pair { name, value, place: inner.place(), is_literal: scalar.written.is_none() };
            if let Some(earlier) = pairs.insert(name, pair) {
                let message = format!("`{}` is listed twice; the last one holds", crop(name));
                let problem = Problem::warning("duplicate-entry", inner.place(), message);
                self.sink.add(problem.also(earlier.place, "first here").help("remove one of the two"));
            }
        }
        pairs.into_values().collect()
    }

    /// `driver_opts`, `headers`: names to single values.
    pub(super) fn named_texts(&mut self, item: &Item<'_>) -> BTreeMap<String, Spanned<String>> {
        let mut map = BTreeMap::new();
        for (name, _, node) in self.entries(item).unwrap_or_default() {
            if let Some(text) = self.text(&Item::new(format!("`{name}`"), node)) {
                map.insert(name.to_owned(), text);
            }
        }
        map
    }

    /// Labels, none of which may be ours.
    pub(super) fn labels(&mut self, item: &Item<'_>) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::new();
        for Pair { name, value, place, is_literal: _ } in self.pairs(item) {
            if self.may_label(name, place) {
                labels.insert(name.to_owned(), value.unwrap_or_default());
            }
        }
        labels
    }

    /// Whether a label may be given by a file; that it may not is said.
    pub(super) fn may_label(&mut self, name: &str, place: Place) -> bool {
        let is_ours = name.starts_with("io.aiplat.");
        if is_ours {
            self.sink.add(
                Problem::error("reserved-label", place, format!("the label `{name}` is aiplatd's own"))
                    .help("choose a name outside `io.aiplat.`: those say what belongs to which platform"),
            );
        }
        !is_ours
    }
}

fn is_literal(node: &Node) -> bool {
    matches!(&node.value, Value::Scalar(scalar) if scalar.written.is_none())
}

/// A value as messages show it: short, and on one line.
pub(super) fn crop(text: &str) -> String {
    if text.is_empty() {
        return "\"\"".to_owned();
    }
    let mut short: String = text.chars().take(60).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(60).is_some() {
        short.push('…');
    }
    short
}
