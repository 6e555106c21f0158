//! The one table of keys. Every word of the Compose specification is in exactly one row of it, so that none is
//! ever taken for a typo; the walk, the editor's schema and the reference are made from it.

mod options;
mod probes;
mod root;
mod service;

pub(super) use options::{
    BLKIO, BLKIO_RATE, BLKIO_WEIGHT, DEVICE, GPU, LOGGING, RESERVATIONS, RESERVED_DEVICE, ULIMIT,
};
pub(super) use probes::{EXEC, HEALTHCHECK, HTTP, POSTGRES, PROBE, REDIS, TCP, TLS};
pub(super) use root::{
    CONFIG, CONFIG_GRANT, DEPENDENCY, DISK_PRESSURE, DOCKER, HOST, INCLUDE, IPAM, IPAM_CONFIG, LINT, MODEL,
    NETWORK, RECONCILE, RESTART_POLICY, ROOT, TIER, VOLUME,
};
pub(super) use service::{
    ATTACHMENT, BIND_OPTIONS, DEPLOY, ENV_FILE, LIMITS, PORT, PROVIDER, PROVIDER_OPTIONS, RESOURCES, SERVICE,
    TMPFS_OPTIONS, UPDATE, VOLUME_MOUNT, VOLUME_OPTIONS,
};

/// The keys of one kind of mapping.
#[derive(Debug)]
pub(super) struct Shape {
    /// As in "is not a key of a service".
    pub(super) name: &'static str,
    pub(super) keys: &'static [Key],
}

/// One key and what becomes of it.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) row: Row,
}

/// The row of the table in which a key is.
#[derive(Debug)]
pub(super) enum Row {
    /// Read, with this grammar; the text is for editors.
    Supported { grammar: Grammar, doc: &'static str },
    /// A word of a later version. The second is what to do until then, if there is something.
    Later { until_then: &'static str },
    /// Never: why, and what to do instead.
    Refused { reason: &'static str, instead: &'static str },
    /// Without effect here, which is said.
    Ignored { reason: &'static str },
}

/// What may be written as a value. Loose where the decoder is exact: it serves editors.
#[derive(Debug, Clone, Copy)]
pub(super) enum Grammar {
    Text,
    /// Text, or a number without quotes.
    Scalar,
    /// Also empty: a scalar, a boolean or nothing.
    Anything,
    Flag,
    Integer,
    Number,
    Duration,
    Size,
    Nothing,
    OneOf(&'static [&'static str]),
    List(&'static Grammar),
    /// A mapping from names to this.
    Named(&'static Grammar),
    Shape(&'static Shape),
    Either(&'static [Grammar]),
}

/// Where a key stands in the table. For tests and the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRow {
    /// Read by this version.
    Supported,
    /// "Not supported by this version".
    Later,
    /// Refused with a reason and a way out.
    Refused,
    /// Ignored with a warning.
    Ignored,
}

const fn key(name: &'static str, doc: &'static str, grammar: Grammar) -> Key {
    Key { name, row: Row::Supported { grammar, doc } }
}

const fn later(name: &'static str) -> Key {
    Key { name, row: Row::Later { until_then: "" } }
}

const fn later_but(name: &'static str, until_then: &'static str) -> Key {
    Key { name, row: Row::Later { until_then } }
}

const fn refused(name: &'static str, reason: &'static str, instead: &'static str) -> Key {
    Key { name, row: Row::Refused { reason, instead } }
}

const fn ignored(name: &'static str, reason: &'static str) -> Key {
    Key { name, row: Row::Ignored { reason } }
}

const STRINGS: Grammar = Grammar::List(&Grammar::Scalar);
const STRING_OR_STRINGS: Grammar = Grammar::Either(&[Grammar::Scalar, STRINGS]);
const LIST_OR_MAP: Grammar = Grammar::Either(&[Grammar::Named(&Grammar::Anything), STRINGS]);
const COMMAND: Grammar = Grammar::Either(&[Grammar::Nothing, Grammar::Text, STRINGS]);

impl Shape {
    pub(super) fn find(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// The keys that this version reads.
    pub(super) fn supported(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().filter(|key| matches!(key.row, Row::Supported { .. })).map(|key| key.name)
    }
}

/// The row of the key at `path`, as in `["services", "*", "ports", "[]", "target"]`: `*` stands for a name of the
/// user's, `[]` for an entry of a list. What stands under a key that this version does not read is in that key's row.
#[must_use]
pub fn key_row(path: &[&str]) -> Option<KeyRow> {
    let mut grammars = vec![Grammar::Shape(&ROOT)];
    let mut row = KeyRow::Supported;
    for step in path {
        let mut next = Vec::new();
        for grammar in grammars.into_iter().flat_map(alternatives) {
            match (grammar, *step) {
                (Grammar::List(inner), "[]") | (Grammar::Named(inner), "*") => next.push(*inner),
                (Grammar::Shape(shape), name) => match shape.find(name).map(|key| &key.row) {
                    Some(Row::Supported { grammar, .. }) => next.push(*grammar),
                    Some(Row::Later { .. }) => return Some(KeyRow::Later),
                    Some(Row::Refused { .. }) => return Some(KeyRow::Refused),
                    Some(Row::Ignored { .. }) => return Some(KeyRow::Ignored),
                    None => {}
                },
                _ => {}
            }
        }
        if next.is_empty() {
            return None;
        }
        row = KeyRow::Supported;
        grammars = next;
    }
    Some(row)
}

fn alternatives(grammar: Grammar) -> Vec<Grammar> {
    match grammar {
        Grammar::Either(choices) => choices.iter().copied().flat_map(alternatives).collect(),
        Grammar::Text
        | Grammar::Scalar
        | Grammar::Anything
        | Grammar::Flag
        | Grammar::Integer
        | Grammar::Number
        | Grammar::Duration
        | Grammar::Size
        | Grammar::Nothing
        | Grammar::OneOf(_)
        | Grammar::List(_)
        | Grammar::Named(_)
        | Grammar::Shape(_) => vec![grammar],
    }
}

/// The kinds of mapping in which `word` is a key that this version reads.
pub(super) fn homes(word: &str) -> Vec<&'static str> {
    let shapes: [&'static Shape; 8] =
        [&ROOT, &SERVICE, &HEALTHCHECK, &HTTP, &LIMITS, &NETWORK, &VOLUME, &RECONCILE];
    shapes
        .into_iter()
        .filter(|shape| shape.supported().any(|known| known == word))
        .map(|shape| shape.name)
        .collect()
}
