//! The file as a tree in which every value knows where it was written.

use std::ops::Range;

/// A file of the [`SourceMap`](super::SourceMap).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileId(pub(super) u32);

/// Bytes of a file. 32 bits suffice: files end at 4 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    pub(super) file: FileId,
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Span {
    pub(super) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// Where something was written and, if it got to its place through an alias, where that stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) span: Span,
    pub(super) via: Option<Span>,
}

impl Place {
    pub(super) fn new(span: Span) -> Self {
        Self { span, via: None }
    }

    /// A part of it.
    pub(super) fn part(self, range: Range<usize>) -> Self {
        let at = |offset: usize| self.span.start + u32::try_from(offset).unwrap_or(u32::MAX);
        let span = Span { file: self.span.file, start: at(range.start), end: at(range.end) };
        Self { span, via: self.via }
    }
}

/// A value with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spanned<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

/// One value of the file.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Scalar(Scalar),
    Seq(Vec<Node>),
    Map(Vec<Entry>),
    /// Something was wrong here and has been said: whoever meets it passes over in silence.
    Broken,
}

/// One line of a mapping.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) node: Node,
    pub(super) mark: Mark,
}

/// What an entry does to the one that it is laid over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// The two are merged.
    None,
    /// `!reset`: it is taken away.
    Reset,
    /// `!override`: this one takes its place.
    Override,
}

/// A text, not yet a number or anything else: what it means depends on who asks, never on YAML's guess.
#[derive(Debug, Clone)]
pub(super) struct Scalar {
    pub(super) text: String,
    /// Written without quotes, so that `null` means nothing and `true` is a boolean.
    pub(super) plain: bool,
    /// As it was written, if variables were put in. Messages show this: values may be secret.
    pub(super) written: Option<Written>,
}

/// How a scalar looked before its variables were put in.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub(super) text: String,
    /// `REDIS_PORT is set at platform.env:3`, one for each variable.
    pub(super) origins: Vec<String>,
}

impl Scalar {
    pub(super) fn is_null(&self) -> bool {
        // What a variable filled in is text, also when it is empty: `${X:-}` says that empty is meant.
        self.plain
            && self.written.is_none()
            && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    /// What messages may show of it.
    pub(super) fn shown(&self) -> &str {
        self.written.as_ref().map_or(&self.text, |written| &written.text)
    }
}

impl Node {
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.is_null())
    }

    /// A copy that got to its place through the alias at `alias`.
    pub(super) fn through(&self, alias: Span) -> Self {
        let place = |place: Place| Place { via: place.via.or(Some(alias)), ..place };
        let value = match &self.value {
            Value::Scalar(scalar) => Value::Scalar(scalar.clone()),
            Value::Seq(items) => Value::Seq(items.iter().map(|item| item.through(alias)).collect()),
            Value::Map(entries) => Value::Map(
                entries
                    .iter()
                    .map(|entry| Entry {
                        name: entry.name.clone(),
                        place: place(entry.place),
                        node: entry.node.through(alias),
                        mark: entry.mark,
                    })
                    .collect(),
            ),
            Value::Broken => Value::Broken,
        };
        Self { place: place(self.place), value }
    }

    /// How many nodes it is, and how deep.
    pub(super) fn measure(&self) -> (usize, usize) {
        let inner = |sizes: &mut dyn Iterator<Item = (usize, usize)>| {
            sizes.fold((1, 1), |(count, depth), (c, d)| (count + c, depth.max(d + 1)))
        };
        match &self.value {
            Value::Scalar(_) | Value::Broken => (1, 1),
            Value::Seq(items) => inner(&mut items.iter().map(Self::measure)),
            Value::Map(entries) => inner(&mut entries.iter().map(|entry| entry.node.measure())),
        }
    }

    /// The value under `name`, if this is a mapping that has it.
    pub(super) fn get(&self, name: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.name == name),
            Value::Scalar(_) | Value::Seq(_) | Value::Broken => None,
        }
    }
}
