//! `${VAR}` and its family, on scalars that know where they stand.
//!
//! Variables come from env files alone, never from the environment of the daemon: a platform must mean the same
//! whoever starts it. A variable without a value is an error where Compose warns and puts in nothing, for a
//! reconciler would go on to recreate the container with the empty password.

use std::{collections::BTreeMap, ops::Range};

use super::{
    diagnostic::{Problem, Sink, SourceMap},
    text::nearest,
    tree::{Node, Place, Scalar, Value, Written},
};

/// Defaults within defaults within defaults end here.
const NESTING_MAX: usize = 32;
/// A file with its variables put in is no larger than this.
const OUTPUT_MAX: usize = 16 << 20;
/// So many of one text are kept.
const TROUBLES_MAX: usize = 20;
/// Further uses of one missing variable that are pointed at.
const USES_SHOWN: usize = 4;

/// A variable and where it was set.
#[derive(Debug, Clone)]
pub(super) struct Variable {
    pub(super) value: String,
    /// `platform.env:3`.
    pub(super) origin: String,
}

/// The variables of the env files, and how those are called.
#[derive(Debug, Clone, Default)]
pub(super) struct Variables {
    pub(super) known: BTreeMap<String, Variable>,
    /// For messages: the files in which a missing variable may be set.
    pub(super) files: Vec<String>,
}

/// What is wrong with a `$` at these bytes of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) at: Range<usize>,
    pub(super) kind: TroubleKind,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum TroubleKind {
    /// `$(`, `${`, `$1`: not a variable.
    Invalid,
    /// `${` without `}`.
    Unclosed,
    /// No value and no default.
    Undefined(String),
    /// `${VAR:?message}`.
    Required(String, String),
    /// `${secret.x}`.
    Reference(String),
    TooLarge,
}

/// A text with its variables put in, and the names of those it used.
pub(super) fn expand<'v>(
    text: &str,
    lookup: &dyn Fn(&str) -> Option<&'v str>,
) -> Result<(String, Vec<String>), Vec<Trouble>> {
    let mut run = Run { lookup, used: Vec::new(), troubles: Vec::new(), size: 0 };
    let out = run.expand(text, 0, 0);
    if run.troubles.is_empty() { Ok((out, run.used)) } else { Err(run.troubles) }
}

struct Run<'a, 'v> {
    lookup: &'a dyn Fn(&str) -> Option<&'v str>,
    used: Vec<String>,
    troubles: Vec<Trouble>,
    size: usize,
}

impl Run<'_, '_> {
    /// `offset`: where `text` begins in the whole.
    fn expand(&mut self, text: &str, offset: usize, nesting: usize) -> String {
        let mut out = String::new();
        let mut rest = 0;
        while let Some(dollar) = text[rest..].find('$').map(|found| rest + found) {
            out.push_str(&text[rest..dollar]);
            let after = &text[dollar + 1..];
            let name = name_length(after);
            let taken = if after.starts_with('$') {
                out.push('$');
                1
            } else if name > 0 {
                let value = self.value(&after[..name], offset + dollar..offset + dollar + 1 + name);
                out.push_str(&value);
                name
            } else if let Some(inner) = after.strip_prefix('{') {
                self.braces(inner, offset + dollar, nesting, &mut out)
            } else {
                self.trouble(offset + dollar..offset + dollar + 1, TroubleKind::Invalid);
                0
            };
            rest = dollar + 1 + taken;
        }
        out.push_str(&text[rest..]);
        out
    }

    /// What stands in `${ }`; answers how much of the text after `$` that is.
    fn braces(&mut self, inner: &str, dollar: usize, nesting: usize, out: &mut String) -> usize {
        let Some(end) = closing(inner).filter(|_| nesting < NESTING_MAX) else {
            self.trouble(dollar..dollar + 2 + inner.trim_end().len(), TroubleKind::Unclosed);
            return 1 + inner.len();
        };
        let content = &inner[..end];
        let at = dollar..dollar + 3 + end;
        let name = &content[..name_length(content)];
        let operation = &content[name.len()..];
        let argument = |skip: usize| (&operation[skip..], dollar + 2 + name.len() + skip);
        let value = (self.lookup)(name).map(str::to_owned);
        let filled = value.as_ref().is_some_and(|value| !value.is_empty());
        if name.is_empty() || operation.starts_with('.') {
            self.trouble(
                at,
                if is_reference(content) {
                    TroubleKind::Reference(content.to_owned())
                } else {
                    TroubleKind::Invalid
                },
            );
        } else if operation.is_empty() {
            out.push_str(&self.value(name, at));
        } else {
            let (kind, skip) = match operation.as_bytes() {
                [b':', kind @ (b'-' | b'?' | b'+'), ..] => (*kind, 2),
                [kind @ (b'-' | b'?' | b'+'), ..] => (*kind, 1),
                _ => {
                    self.trouble(at, TroubleKind::Invalid);
                    return 2 + end;
                }
            };
            let set = if skip == 2 { filled } else { value.is_some() };
            let (argument, offset) = argument(skip);
            match (kind, set) {
                (b'+', true) => out.push_str(&self.expand(argument, offset, nesting + 1)),
                (b'+', false) => {}
                (_, true) => out.push_str(&self.value(name, at)),
                (b'-', false) => out.push_str(&self.expand(argument, offset, nesting + 1)),
                (_, false) => {
                    let message = self.expand(argument, offset, nesting + 1);
                    self.trouble(at, TroubleKind::Required(name.to_owned(), message));
                }
            }
        }
        2 + end
    }

    fn value(&mut self, name: &str, at: Range<usize>) -> String {
        match (self.lookup)(name) {
            Some(value) if self.size + value.len() > OUTPUT_MAX => {
                self.size = OUTPUT_MAX;
                self.trouble(at, TroubleKind::TooLarge);
                String::new()
            }
            Some(value) => {
                self.size += value.len();
                self.used.push(name.to_owned());
                value.to_owned()
            }
            None => {
                self.trouble(at, TroubleKind::Undefined(name.to_owned()));
                String::new()
            }
        }
    }

    fn trouble(&mut self, at: Range<usize>, kind: TroubleKind) {
        if self.troubles.len() < TROUBLES_MAX {
            self.troubles.push(Trouble { at, kind });
        }
    }
}

fn name_length(text: &str) -> usize {
    let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    let end =
        text.bytes().position(|byte| !byte.is_ascii_alphanumeric() && byte != b'_').unwrap_or(text.len());
    if first { end } else { 0 }
}

/// The `}` that closes, with `${ }` inside it skipped.
fn closing(inner: &str) -> Option<usize> {
    let bytes = inner.as_bytes();
    let (mut at, mut open) = (0, 0_usize);
    while at < bytes.len() {
        match bytes[at] {
            b'$' if bytes.get(at + 1) == Some(&b'$') => at += 1,
            b'$' if bytes.get(at + 1) == Some(&b'{') => {
                open += 1;
                at += 1;
            }
            b'}' if open == 0 => return Some(at),
            b'}' => open -= 1,
            _ => {}
        }
        at += 1;
    }
    None
}

/// `secret.x`, `service.x.host`: what later versions put in.
fn is_reference(content: &str) -> bool {
    let heads = ["secret", "config", "volume", "network", "service", "model", "host", "gpu"];
    content.split_once('.').is_some_and(|(head, _)| heads.contains(&head.trim()))
}

/// Puts the variables into a whole tree. `x-*` are left alone: nobody reads them, except through an alias, where
/// they are copies of their own.
/// `size` counts the bytes of all files of a platform.
pub(super) fn interpolate(
    root: &mut Node,
    variables: &Variables,
    sources: &SourceMap,
    size: &mut usize,
    sink: &mut Sink,
) {
    let mut pass = Pass { variables, sources, sink, missing: BTreeMap::new(), size };
    match &mut root.value {
        // Where the variables come from cannot depend on them.
        Value::Map(entries) => {
            let others =
                entries.iter_mut().filter(|entry| entry.name != "env_file" && !entry.name.starts_with("x-"));
            others.for_each(|entry| pass.node(&mut entry.node));
        }
        Value::Scalar(_) | Value::Seq(_) | Value::Broken => pass.node(root),
    }
    pass.finish();
}

struct Pass<'a> {
    variables: &'a Variables,
    sources: &'a SourceMap,
    sink: &'a mut Sink,
    missing: BTreeMap<String, Vec<Place>>,
    size: &'a mut usize,
}

impl Pass<'_> {
    fn node(&mut self, node: &mut Node) {
        match &mut node.value {
            Value::Scalar(scalar) => {
                if scalar.text.contains('$') && !self.scalar(scalar, node.place) {
                    node.value = Value::Broken;
                }
            }
            Value::Seq(items) => items.iter_mut().for_each(|item| self.node(item)),
            Value::Map(entries) => {
                for entry in entries.iter_mut().filter(|entry| !entry.name.starts_with("x-")) {
                    self.node(&mut entry.node);
                }
            }
            Value::Broken => {}
        }
    }

    fn scalar(&mut self, scalar: &mut Scalar, place: Place) -> bool {
        let known = &self.variables.known;
        match expand(&scalar.text, &|name| known.get(name).map(|variable| variable.value.as_str())) {
            Ok((text, used)) => {
                *self.size += text.len();
                if *self.size > OUTPUT_MAX {
                    self.report(
                        &Trouble { at: 0..scalar.text.len(), kind: TroubleKind::TooLarge },
                        scalar,
                        place,
                    );
                    return false;
                }
                let origin =
                    |name: &String| known.get(name).map(|var| format!("`{name}` is set at {}", var.origin));
                let origins = used.iter().filter_map(origin).collect();
                let written = std::mem::replace(&mut scalar.text, text);
                // Only `$$` was there: nothing to hide.
                if !used.is_empty() || scalar.text != written.replace("$$", "$") {
                    scalar.written = Some(Written { text: written, origins });
                }
                true
            }
            Err(troubles) => {
                for trouble in &troubles {
                    self.report(trouble, scalar, place);
                }
                false
            }
        }
    }

    fn report(&mut self, trouble: &Trouble, scalar: &Scalar, place: Place) {
        let at = self.narrow(&trouble.at, scalar, place);
        let shown = scalar.text.get(trouble.at.clone()).unwrap_or_default();
        self.sink.add(match &trouble.kind {
            TroubleKind::Undefined(name) => {
                self.missing.entry(name.clone()).or_default().push(at);
                return;
            }
            TroubleKind::Required(name, message) if message.is_empty() => Problem::error(
                "variable-required",
                at,
                format!("`{name}` has no value, and the file requires one"),
            )
            .help(self.where_to_set(name)),
            TroubleKind::Required(name, message) => {
                Problem::error("variable-required", at, format!("`{name}` has no value: {message}"))
                    .help(self.where_to_set(name))
            }
            TroubleKind::Reference(_) => Problem::error(
                "not-supported",
                at,
                format!("the reference `{shown}` is not supported by this version"),
            )
            .help("write the value here, or set a variable in an env file"),
            TroubleKind::Unclosed => Problem::error("interpolation", at, "this `${` is not closed")
                .help("add the `}`; to mean a `$` itself, write `$$`"),
            TroubleKind::Invalid => Problem::error(
                "interpolation",
                at,
                format!("`{shown}` is not a variable"),
            )
            .help("to mean a `$` itself, write `$$`; a variable is `$NAME`, `${NAME}` or `${NAME:-default}`"),
            TroubleKind::TooLarge => Problem::error(
                "file-too-complex",
                at,
                "with its variables put in, the file has more than 16 MiB",
            ),
        });
    }

    /// The place of a part of the text, where the text stands in the file as it is.
    fn narrow(&self, part: &Range<usize>, scalar: &Scalar, place: Place) -> Place {
        let written = self.sources.slice(place.span);
        let quote = usize::from(!scalar.plain && written.starts_with(['"', '\'']));
        match written.get(quote..quote + scalar.text.len()) {
            Some(same) if same == scalar.text => place.part(quote + part.start..quote + part.end),
            _ => place,
        }
    }

    fn where_to_set(&self, name: &str) -> String {
        match self.variables.files.as_slice() {
            [] => format!(
                "write `{name}=...` into a file `.env` beside this one, or name a file with `env_file:`"
            ),
            files => format!("write `{name}=...` into {}", files.join(" or ")),
        }
    }

    fn finish(self) {
        for (name, places) in &self.missing {
            let mut problem = Problem::error(
                "variable-undefined",
                places[0],
                format!("the variable `{name}` has no value"),
            )
            .because("variables come from env files, never from the environment of the daemon");
            for place in places.iter().skip(1).take(USES_SHOWN) {
                problem = problem.also(*place, "and here");
            }
            if places.len() > USES_SHOWN + 1 {
                problem = problem.because(format!("and in {} more places", places.len() - USES_SHOWN - 1));
            }
            if let Some(known) = nearest(name, self.variables.known.keys().map(String::as_str)) {
                problem = problem.label(format!("did you mean `{known}`?"));
            }
            let default =
                format!("or give a default, as in `${{{name}:-default}}`; an empty one is `${{{name}:-}}`");
            self.sink.add(match name.as_str() {
                // What people mean by it is where the file lies, and that needs no variable.
                "PWD" => problem.help("write `./` for the folder of this file"),
                _ => problem.help(self.where_to_set(name)).help(default),
            });
        }
    }
}
