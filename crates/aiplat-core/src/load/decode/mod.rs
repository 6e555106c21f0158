//! Tree to draft: every section on its own, all of its problems at once, and what could be read of it.

mod calendar;
mod configs;
mod declared;
mod environment;
mod files;
mod health;
mod host;
mod include;
mod lint;
mod models;
mod names;
mod options;
mod platform;
mod ports;
mod probe;
mod provider;
mod scalar;
mod service;
mod settings;
mod storage;
mod wiring;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

pub(super) use environment::missing_file;
pub(super) use files::{Content, Reader, absolute, normal};
pub(super) use include::{IncludeEntry, include_entries};
pub(super) use names::did_you_mean;
pub(super) use platform::{env_variables, platform, preamble};

use super::{
    Files,
    diagnostic::{Problem, Sink},
    keys::{Row, Shape, homes},
    layers::{Base, Bases},
    text::{list, nearest},
    tree::{Node, Place, Value},
};

/// A sentence that names more keys than this is not read.
const KEYS_LISTED: usize = 20;

/// What decoding needs beside the tree.
pub(super) struct Cx<'a> {
    pub(super) sink: &'a mut Sink,
    pub(super) files: &'a dyn Files,
    pub(super) reader: &'a mut Reader,
    /// For relative paths and variables.
    pub(super) bases: &'a Bases,
    pub(super) home: Option<&'a Path>,
}

/// A node and how messages call it: "`image`", "an entry of `ports`".
#[derive(Clone)]
pub(super) struct Item<'n> {
    pub(super) what: Cow<'static, str>,
    pub(super) node: &'n Node,
}

impl<'n> Item<'n> {
    fn new(what: impl Into<Cow<'static, str>>, node: &'n Node) -> Self {
        Self { what: what.into(), node }
    }

    pub(super) fn place(&self) -> Place {
        self.node.place
    }

    fn is_null(&self) -> bool {
        self.node.is_null()
    }
}

/// The keys of a mapping that are read.
pub(super) struct Fields<'n> {
    shape: &'static Shape,
    found: BTreeMap<&'static str, &'n Node>,
    asked: BTreeSet<&'static str>,
    written: BTreeSet<&'static str>,
    /// Keys that were there in another form, refused or misspelt, which has been said: they are not missed.
    pub(super) excused: BTreeSet<&'static str>,
}

impl<'n> Fields<'n> {
    /// The value of a key of this version.
    pub(super) fn take(&mut self, name: &'static str) -> Option<Item<'n>> {
        debug_assert!(self.shape.supported().any(|known| known == name), "`{name}` is not in the table");
        self.asked.insert(name);
        self.found.remove(name).map(|node| Item::new(format!("`{name}`"), node))
    }

    /// Whether the key was written, taken or not.
    pub(super) fn has(&self, name: &'static str) -> bool {
        self.written.contains(name)
    }

    /// Where the keys were written that are still to be taken.
    pub(super) fn places(&self) -> BTreeMap<&'static str, Place> {
        self.found.iter().map(|(name, node)| (*name, node.place)).collect()
    }

    /// Every key that the table promises has been looked at.
    pub(super) fn done(self) {
        debug_assert_eq!(
            self.shape.supported().filter(|name| !self.asked.contains(name)).collect::<Vec<_>>(),
            Vec::<&str>::new(),
            "keys of {} that nobody reads",
            self.shape.name
        );
    }
}

impl<'a> Cx<'a> {
    /// What the words at `place` are relative to.
    pub(super) fn base(&self, place: Place) -> &'a Base {
        self.bases.of(place)
    }
}

impl Cx<'_> {
    /// The fields of a mapping, with every other key answered from the table.
    pub(super) fn fields<'n>(&mut self, item: &Item<'n>, shape: &'static Shape) -> Fields<'n> {
        let mut fields = Fields {
            shape,
            found: BTreeMap::new(),
            asked: BTreeSet::new(),
            written: BTreeSet::new(),
            excused: BTreeSet::new(),
        };
        let Some(entries) = self.entries(item) else { return fields };
        for (name, place, node) in entries {
            match shape.find(name) {
                Some(key) => match &key.row {
                    Row::Supported { .. } => {
                        fields.written.insert(key.name);
                        fields.found.insert(key.name, node);
                    }
                    Row::Later { until_then } => {
                        fields.excused.insert(key.name);
                        self.later(name, place, shape, until_then);
                    }
                    Row::Refused { reason, instead } => {
                        fields.excused.insert(key.name);
                        self.sink.add(
                            Problem::error("refused-key", place, format!("`{name}` is not taken: {reason}"))
                                .help(*instead),
                        );
                    }
                    Row::Ignored { reason } => self.sink.add(
                        Problem::warning(
                            if key.name == "version" { "version-ignored" } else { "ignored-key" },
                            place,
                            format!("`{name}` has no effect here: {reason}"),
                        )
                        .help("remove it"),
                    ),
                },
                None if name.starts_with("x-") => {}
                None => fields.excused.extend(self.unknown(name, place, shape)),
            }
        }
        fields
    }

    fn later(&mut self, name: &str, place: Place, shape: &Shape, until_then: &str) {
        let message = format!("`{name}` of {} is not supported by this version", shape.name);
        let problem = Problem::error("not-supported", place, message);
        const OTHERWISE: &str =
            "leave it out; where the service cannot do without it, keep that service under Compose for now";
        self.sink.add(problem.help(if until_then.is_empty() { OTHERWISE } else { until_then }));
    }

    /// Answers which key was probably meant.
    fn unknown(&mut self, name: &str, place: Place, shape: &'static Shape) -> Option<&'static str> {
        let problem =
            Problem::error("unknown-key", place, format!("`{name}` is not a key of {}", shape.name));
        let known = shape.keys.iter().map(|key| key.name);
        let near = nearest(name, known);
        self.sink.add(match (near, homes(name)) {
            (Some(near), homes) if !homes.is_empty() => problem
                .label(format!("did you mean `{near}`? `{name}` is a key of {}", homes.join(" and ")))
                .help("otherwise check the indentation"),
            (_, homes) if !homes.is_empty() => problem
                .label(format!("this is a key of {}", homes.join(" and ")))
                .help("check the indentation"),
            (Some(near), _) => problem.label(format!("did you mean `{near}`?")),
            (None, _) => {
                let known: Vec<&str> = shape.supported().collect();
                let (first, rest) = known.split_at(known.len().min(KEYS_LISTED));
                let more = match rest.len() {
                    0 => String::new(),
                    more => format!(", and {more} more that `aiplatctl schema` lists"),
                };
                problem.help(format!("its keys are {}{more}; `x-{name}` would be left alone", list(first)))
            }
        });
        near
    }

    /// The lines of a mapping; `None` where it is none, which has then been said.
    pub(super) fn entries<'n>(&mut self, item: &Item<'n>) -> Option<Vec<(&'n str, Place, &'n Node)>> {
        match &item.node.value {
            Value::Map(entries) => {
                Some(entries.iter().map(|entry| (entry.name.as_str(), entry.place, &entry.node)).collect())
            }
            Value::Broken => None,
            Value::Scalar(_) | Value::Seq(_) => {
                self.expected(item, "a mapping (`key: value`)");
                None
            }
        }
    }

    /// The entries of a list; `None` where it is none, which has then been said.
    pub(super) fn items<'n>(&mut self, item: &Item<'n>) -> Option<Vec<Item<'n>>> {
        match &item.node.value {
            Value::Seq(items) => {
                let what = format!("an entry of {}", item.what);
                Some(items.iter().map(|node| Item::new(what.clone(), node)).collect())
            }
            Value::Broken => None,
            Value::Scalar(_) | Value::Map(_) => {
                self.expected(item, "a list (`[a, b]`, or lines that start with `- `)");
                None
            }
        }
    }

    /// Says that a value is of the wrong sort.
    pub(super) fn expected(&mut self, item: &Item<'_>, wanted: &str) {
        let found = match &item.node.value {
            Value::Broken => return,
            Value::Scalar(scalar) if scalar.is_null() => "nothing is written",
            Value::Scalar(_) => "this is a single value",
            Value::Seq(_) => "this is a list",
            Value::Map(_) => "this is a mapping",
        };
        let problem = Problem::error("wrong-type", item.place(), format!("{} takes {wanted}", item.what));
        self.sink.add(problem.label(found));
    }
}
