//! Env files, in the grammar of Compose: quotes, `export`, comments, and variables of the lines above.

use std::collections::BTreeMap;

use super::{
    diagnostic::{Problem, Sink, SourceMap},
    interpolate::{TroubleKind, Variable, expand},
    tree::{FileId, Place, Span},
};

/// One line of an env file. `None`: the name alone, whose value comes from elsewhere.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) value: Option<Variable>,
    pub(super) place: Place,
}

/// Reads an env file. `base` is looked at for variables that no line above sets.
pub(super) fn parse(
    file: FileId,
    sources: &SourceMap,
    base: &BTreeMap<String, Variable>,
    sink: &mut Sink,
) -> Vec<Line> {
    let source = sources.file(file);
    let text = source.text.strip_prefix('\u{feff}').unwrap_or(&source.text);
    let name = source.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let mut reader = Reader { file, text, at: 0, start: source.text.len() - text.len(), sink };
    let mut lines: Vec<Line> = Vec::new();
    let mut above: BTreeMap<String, String> = BTreeMap::new();
    while let Some(raw) = reader.line() {
        let origin = || format!("{name}:{}", source.position(raw.place.span.start as usize).0);
        let value = match raw.value {
            None => None,
            Some((text, false)) => Some(text),
            Some((text, true)) => {
                let lookup = |var: &str| {
                    above
                        .get(var)
                        .map(String::as_str)
                        .or_else(|| base.get(var).map(|known| known.value.as_str()))
                };
                match expand(&text, &lookup) {
                    Ok((value, _)) => Some(value),
                    Err(troubles) => {
                        troubles.iter().for_each(|trouble| reader.variable(&trouble.kind, raw.place));
                        continue;
                    }
                }
            }
        };
        if let Some(value) = &value {
            above.insert(raw.name.clone(), value.clone());
        }
        let value = value.map(|value| Variable { value, origin: origin() });
        lines.push(Line { name: raw.name, value, place: raw.place });
    }
    lines
}

/// Reads an env file of `format: raw`: everything after `=` is the value.
pub(super) fn parse_raw(file: FileId, sources: &SourceMap, sink: &mut Sink) -> Vec<Line> {
    let source = sources.file(file);
    let mut lines = Vec::new();
    let mut start = 0;
    for line in source.text.split_inclusive('\n') {
        let place = place(file, start..start + line.trim_end().len());
        start += line.len();
        let line = line.trim_end_matches(['\n', '\r']);
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        match line.split_once('=') {
            Some((name, value)) if is_name(name) => {
                let value = Variable { value: value.to_owned(), origin: String::new() };
                lines.push(Line { name: name.to_owned(), value: Some(value), place });
            }
            _ if is_name(line.trim()) => {
                lines.push(Line { name: line.trim().to_owned(), value: None, place })
            }
            _ => sink.add(Problem::error("env-file-syntax", place, "this line is not `NAME=value`")),
        }
    }
    lines
}

/// Whether a name can stand before `=`.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '[' | ']'))
}

fn place(file: FileId, range: std::ops::Range<usize>) -> Place {
    let offset = |byte: usize| u32::try_from(byte).expect("files end at 4 MiB");
    Place::new(Span { file, start: offset(range.start), end: offset(range.end) })
}

struct RawLine {
    name: String,
    /// With it: whether variables are put in.
    value: Option<(String, bool)>,
    place: Place,
}

struct Reader<'a> {
    file: FileId,
    text: &'a str,
    at: usize,
    /// Where `text` begins in the file.
    start: usize,
    sink: &'a mut Sink,
}

impl Reader<'_> {
    fn line(&mut self) -> Option<RawLine> {
        loop {
            let rest = &self.text[self.at..];
            if rest.is_empty() {
                return None;
            }
            let line = rest.split('\n').next().unwrap_or_default();
            let content = line.trim();
            let begin = self.at + (line.len() - line.trim_start().len());
            let place = place(self.file, self.start + begin..self.start + begin + content.len());
            if content.is_empty() || content.starts_with('#') {
                self.at = (self.at + line.len() + 1).min(self.text.len());
                continue;
            }
            let exported = content.strip_prefix("export ").map_or(content, str::trim_start);
            let split = exported.find(['=', ':']).unwrap_or(exported.len());
            let name = exported[..split].trim_end();
            if !is_name(name) {
                self.bad_name(place);
                self.at = (self.at + line.len() + 1).min(self.text.len());
                continue;
            }
            let after_name = begin + (content.len() - exported.len()) + split;
            self.at = (self.at + line.len() + 1).min(self.text.len());
            let name = name.to_owned();
            if split == exported.len() {
                return Some(RawLine { name, value: None, place });
            }
            match self.value(after_name + 1, place) {
                Some(value) => return Some(RawLine { name, value: Some(value), place }),
                None => continue,
            }
        }
    }

    /// The value that begins at `from`; moves past it where it has several lines.
    fn value(&mut self, from: usize, place: Place) -> Option<(String, bool)> {
        let rest = &self.text[from..];
        let line = rest.split('\n').next().unwrap_or_default();
        let value = line.trim_start();
        let from = from + (line.len() - value.len());
        if let Some(quote @ ('"' | '\'')) = value.chars().next() {
            let inner = &self.text[from + 1..];
            let Some(end) = closing_quote(inner, quote) else {
                self.sink.add(
                    Problem::error("env-file-syntax", place, "a quote is not closed")
                        .help("close it, or put the other kind of quotes around the value"),
                );
                return None;
            };
            let tail = inner[end + 1..]
                .find('\n')
                .map_or(self.text.len(), |newline| from + 1 + end + 1 + newline + 1);
            self.at = self.at.max(tail);
            let inner = &inner[..end];
            return Some(if quote == '"' { (unescape(inner), true) } else { (inner.to_owned(), false) });
        }
        // A `#` is a comment only after a space: passwords may hold one.
        let comment = value
            .char_indices()
            .find(|(at, c)| *c == '#' && (*at == 0 || value[..*at].ends_with([' ', '\t'])));
        let value = comment.map_or(value, |(at, _)| &value[..at]);
        Some((value.trim_end().to_owned(), true))
    }

    fn bad_name(&mut self, place: Place) {
        self.sink.add(
            Problem::error("env-file-syntax", place, "this line is not `NAME=value`")
                .help("a name is made of letters, digits, `_`, `-` and `.`; comments start with `#`"),
        );
    }

    fn variable(&mut self, kind: &TroubleKind, place: Place) {
        let message = match kind {
            TroubleKind::Undefined(name) => format!("the variable `{name}` has no value"),
            TroubleKind::Required(name, message) => format!("`{name}` has no value: {message}"),
            TroubleKind::Reference(name) => {
                format!("the reference `${{{name}}}` is not supported in env files")
            }
            TroubleKind::Unclosed => "a `${` is not closed".to_owned(),
            TroubleKind::Invalid => "a `$` is not the start of a variable".to_owned(),
            TroubleKind::TooLarge => "with its variables put in, the value is too large".to_owned(),
        };
        self.sink.add(Problem::error("variable-undefined", place, message).help(
            "set it in a line above; if the `$` belongs to the value, put single quotes around the value",
        ));
    }
}

fn closing_quote(inner: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in inner.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote == '"' => escaped = true,
            c if c == quote => return Some(at),
            _ => {}
        }
    }
    None
}

/// The escapes of double quotes. An escaped `$` stays doubled, for variables are put in next.
fn unescape(inner: &str) -> String {
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('$') => out.push_str("$$"),
            Some(same @ ('"' | '\\' | '\'')) => out.push(same),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out
}
