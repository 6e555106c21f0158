//! Bytes to tree: anchors, aliases and merge keys resolved, within a budget, and every duplicate key named.

use std::{borrow::Cow, collections::BTreeMap};

use granit_parser::{Event, Parser, ScalarStyle, StructureStyle, Tag};

use super::{
    diagnostic::{Problem, Sink},
    syntax,
    tree::{Entry, FileId, Mark, Node, Place, Scalar, Span, Value},
};

/// Files larger than this are not looked at.
pub(super) const BYTES_MAX: usize = 4 << 20;
const DEPTH_MAX: usize = 64;
/// Of one file, and of all files of a platform together.
pub(super) const NODES_MAX: usize = 200_000;
const ALIASES_MAX: usize = 1_000;
/// How many times larger than written a file may become through aliases.
const EXPANSION_MAX: usize = 10;
/// Below this many nodes nobody counts how a file got so large.
const EXPANSION_FREE: usize = 10_000;

/// What a file is to the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// `platform.yaml` itself.
    Platform,
    /// An overlay or an included file.
    Part,
}

/// The one document of `text`; `None` where there is none, which has then been said.
pub(super) fn parse(file: FileId, role: Role, text: &str, sink: &mut Sink) -> Option<Node> {
    let options = granit_parser::options! {
        emit_comments: false,
        emit_unresolved_aliases: true,
        flow_nesting_limit: DEPTH_MAX,
        block_nesting_limit: DEPTH_MAX,
    };
    let builder = Builder {
        file,
        role,
        text,
        events: Parser::new_from_str_with_options(text, options),
        sink,
        anchors: BTreeMap::new(),
        written: 0,
        expanded: 0,
        aliases: 0,
        open: Vec::new(),
        mark: None,
    };
    builder.document().ok()
}

fn is_mark(tag: &str) -> bool {
    tag == "!reset" || tag == "!override"
}

// `Event` is not exhaustive: only a node has a tag.
#[allow(clippy::wildcard_enum_match_arm)]
fn mark_of(event: &Event<'_>) -> Option<Mark> {
    let tag = match event {
        Event::Scalar(_, _, _, tag) | Event::SequenceStart(_, _, tag) | Event::MappingStart(_, _, tag) => tag,
        _ => return None,
    };
    match tag.as_deref()?.original().as_ref() {
        "!reset" => Some(Mark::Reset),
        "!override" => Some(Mark::Override),
        _ => None,
    }
}

/// What is wrong has been recorded; nothing after it can be trusted.
struct Stop;

struct Anchor {
    node: Node,
    count: usize,
    depth: usize,
}

struct Builder<'a> {
    file: FileId,
    role: Role,
    text: &'a str,
    events: Parser<'a, granit_parser::StrInput<'a>>,
    sink: &'a mut Sink,
    anchors: BTreeMap<usize, Anchor>,
    /// Nodes in the text.
    written: usize,
    /// Nodes made by copying.
    expanded: usize,
    aliases: usize,
    /// Brackets that are not closed yet.
    open: Vec<Place>,
    /// That of the node that was read last, if it has one.
    mark: Option<(Mark, Place)>,
}

// `Event` is not exhaustive: a kind that we do not know is answered like one that is out of place.
#[allow(clippy::wildcard_enum_match_arm)]
impl<'a> Builder<'a> {
    fn document(mut self) -> Result<Node, Stop> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentEnd => {}
                Event::DocumentStart(..) if root.is_none() => {
                    let (event, span) = self.next()?;
                    root = Some(self.node(event, span, 1)?);
                    self.misplaced_mark();
                }
                Event::DocumentStart(..) => return Err(self.second_document(span)),
                _ => break,
            }
        }
        match root {
            Some(node) if !node.is_null() => Ok(node),
            _ => Err(self.empty()),
        }
    }

    fn second_document(&mut self, span: granit_parser::Span) -> Stop {
        let place = self.place(span);
        self.stop(
            Problem::error(
                "several-documents",
                place,
                "a second YAML document starts here; a platform is one",
            )
            .help("join the two, or keep the second in a file of its own"),
        )
    }

    fn empty(&mut self) -> Stop {
        let (message, help) = match self.role {
            Role::Platform => (
                "the file is empty, and an empty file is not an empty platform",
                "to run nothing at all, write `apiVersion: aiplat/v1`, a `name:` and `services: {}`",
            ),
            Role::Part => (
                "the file is empty, and an empty file says nothing",
                "remove the file, or write `services: {}` into it",
            ),
        };
        self.stop(
            Problem::of_file("file-empty", self.file, message)
                .because("nothing is stopped or removed because of it: it may be half-written")
                .help(help),
        )
    }

    fn stop(&mut self, problem: Problem) -> Stop {
        self.sink.add(problem);
        Stop
    }

    fn next(&mut self) -> Result<(Event<'a>, granit_parser::Span), Stop> {
        match self.events.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => {
                let at = error.marker().byte_offset().unwrap_or(self.text.len());
                let problem = syntax::problem(self.file, self.text, error.kind(), at);
                Err(match self.open.last().filter(|open| open.span.start as usize != at) {
                    Some(open) => self.stop(problem.also(*open, "this bracket is still open")),
                    None => self.stop(problem),
                })
            }
            None => {
                let end = self.text.len();
                Err(self.stop(syntax::problem(
                    self.file,
                    self.text,
                    &granit_parser::ErrorKind::UnexpectedEof,
                    end,
                )))
            }
        }
    }

    fn place(&self, span: granit_parser::Span) -> Place {
        let range = span.byte_range().unwrap_or_default();
        let offset = |byte: usize| u32::try_from(byte.min(self.text.len())).expect("files end at 4 MiB");
        Place::new(Span { file: self.file, start: offset(range.start), end: offset(range.end) })
    }

    /// The place of a collection: all of it in `[ ]` or `{ }`, else its first line.
    fn first_line(&self, start: Place, end: Place) -> Place {
        let from = start.span.start as usize;
        let to = (end.span.end as usize).max(from);
        let text = self.text.get(from..to).unwrap_or_default();
        let line = text.split('\n').next().unwrap_or_default().trim_end();
        let span =
            Span { end: start.span.start + u32::try_from(line.len()).unwrap_or_default(), ..start.span };
        Place::new(span)
    }

    fn node(&mut self, event: Event<'a>, span: granit_parser::Span, depth: usize) -> Result<Node, Stop> {
        let start = self.place(span);
        self.written += 1;
        self.budget(start, depth)?;
        let anchor = event.anchor_id().unwrap_or_default();
        let tagged = span.tag_span().map_or(start, |tag| self.place(tag));
        let mark = mark_of(&event).map(|mark| (mark, tagged));
        let node = match event {
            Event::Scalar(text, style, _, tag) => {
                let written_plain = style == ScalarStyle::Plain;
                let (plain, known) = self.tag(tag.as_deref(), tagged, written_plain);
                let text = if written_plain && start.span.start == start.span.end {
                    Cow::Borrowed("")
                } else {
                    text
                };
                let scalar = Scalar { text: text.into_owned(), plain, written: None };
                Node { place: start, value: if known { Value::Scalar(scalar) } else { Value::Broken } }
            }
            Event::SequenceStart(style, _, tag) => {
                let (_, known) = self.tag(tag.as_deref(), tagged, false);
                let node = self.sequence(start, style, depth)?;
                if known { node } else { Node { value: Value::Broken, ..node } }
            }
            Event::MappingStart(style, _, tag) => {
                let (_, known) = self.tag(tag.as_deref(), tagged, false);
                let node = self.mapping(start, style, depth)?;
                if known { node } else { Node { value: Value::Broken, ..node } }
            }
            Event::Alias(id) => self.alias(id, start, depth)?,
            Event::UnresolvedAlias(name) => {
                self.sink.add(
                    Problem::error("unknown-anchor", start, format!("nothing above is marked `&{name}`"))
                        .help(format!("mark the value to repeat with `&{name}`; a text that starts with `*` needs quotes")),
                );
                Node { place: start, value: Value::Broken }
            }
            // The parser promises a node where a node belongs.
            other => {
                let message = format!("this is not YAML: unexpected {other:?}");
                return Err(self.stop(Problem::error("yaml-syntax", start, message)));
            }
        };
        if anchor != 0 {
            self.remember(anchor, &node, start)?;
        }
        self.mark = mark;
        Ok(node)
    }

    /// `!reset` and `!override` say what becomes of the entry of a mapping; nothing else can be laid over another.
    fn misplaced_mark(&mut self) {
        if let Some((_, place)) = self.mark.take() {
            self.sink.add(
                Problem::error(
                    "misplaced-tag",
                    place,
                    "this tag stands at the value of a key, and nowhere else",
                )
                .help("write it behind the key, as in `ports: !reset []` or `ports: !override [...]`"),
            );
        }
    }

    /// Whether the value reads as unquoted, and whether its tag means anything to us.
    fn tag(&mut self, tag: Option<&Tag>, place: Place, plain: bool) -> (bool, bool) {
        let Some(tag) = tag else { return (plain, true) };
        let written = tag.original();
        let known = match tag.core_suffix() {
            Some("str") => return (false, true),
            Some("int" | "float" | "bool" | "null" | "map" | "seq") => return (plain, true),
            _ if written == "!" => return (false, true),
            _ if is_mark(&written) => return (plain, true),
            _ => Problem::error("unknown-tag", place, format!("the tag `{written}` means nothing here"))
                .help("remove it; a text that starts with `!` needs quotes"),
        };
        self.sink.add(known);
        (plain, false)
    }

    fn sequence(&mut self, start: Place, style: StructureStyle, depth: usize) -> Result<Node, Stop> {
        let mut items = Vec::new();
        self.open.extend((style == StructureStyle::Flow).then_some(start));
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                let end = self.place(span);
                let place = self.collection(start, style, end);
                return Ok(Node { place, value: Value::Seq(items) });
            }
            items.push(self.node(event, span, depth + 1)?);
            self.misplaced_mark();
        }
    }

    fn mapping(&mut self, start: Place, style: StructureStyle, depth: usize) -> Result<Node, Stop> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut known: BTreeMap<String, usize> = BTreeMap::new();
        let mut merges: Option<Node> = None;
        let mut broken = false;
        self.open.extend((style == StructureStyle::Flow).then_some(start));
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                if let Some(sources) = merges {
                    self.merge(&mut entries, &mut known, sources);
                }
                let end = self.place(span);
                let place = self.collection(start, style, end);
                let value = if broken && entries.is_empty() { Value::Broken } else { Value::Map(entries) };
                return Ok(Node { place, value });
            }
            let key = self.node(event, span, depth + 1)?;
            self.misplaced_mark();
            let (event, span) = self.next()?;
            let mut node = self.node(event, span, depth + 1)?;
            let mark = self.mark.take().map_or(Mark::None, |(mark, _)| mark);
            if node.place.span.start == node.place.span.end {
                node.place = key.place; // Nothing was written: all there is to point at is the key.
            }
            let Some((name, is_merge)) = self.key_name(&key) else {
                broken = true;
                continue;
            };
            if let Some(first) = known.get(&name) {
                self.duplicate(&name, key.place, entries[*first].place);
            } else {
                known.insert(name.clone(), entries.len());
                // A merge stays in the list as a placeholder, so that a second `<<` finds it; `merge` takes it out.
                if is_merge {
                    merges =
                        Some(std::mem::replace(&mut node, Node { place: key.place, value: Value::Broken }));
                }
                entries.push(Entry { name, place: key.place, node, mark });
            }
        }
    }

    fn collection(&mut self, start: Place, style: StructureStyle, end: Place) -> Place {
        match style {
            StructureStyle::Flow => {
                self.open.pop();
                self.first_line(start, end)
            }
            StructureStyle::Block => {
                self.first_line(start, Place::new(Span { start: end.span.start, ..end.span }))
            }
        }
    }

    fn key_name(&mut self, key: &Node) -> Option<(String, bool)> {
        match &key.value {
            Value::Scalar(scalar) if scalar.is_null() => {
                self.sink.add(
                    Problem::error("yaml-key", key.place, "a `:` without a key before it")
                        .help("write the key; a value that starts with `:` needs quotes"),
                );
                None
            }
            Value::Scalar(scalar) => Some((scalar.text.clone(), scalar.plain && scalar.text == "<<")),
            Value::Seq(_) | Value::Map(_) => {
                self.sink
                    .add(Problem::error("yaml-key", key.place, "a list or a mapping cannot be a key").help(
                    "is this a `{{ template }}`? templates are not filled in here; put the text in quotes",
                ));
                None
            }
            Value::Broken => None,
        }
    }

    fn duplicate(&mut self, name: &str, second: Place, first: Place) {
        let problem = Problem::error("duplicate-key", second, format!("`{name}` is given twice"))
            .label("again here")
            .also(first, "first here");
        self.sink.add(if name == "<<" {
            problem.help("merge both at once: `<<: [*one, *other]`")
        } else {
            problem.help("keep one of the two: neither YAML nor we can tell which one you mean")
        });
    }

    /// Puts in what `<<` brings: what is written out wins, then the first source that has a key.
    fn merge(&mut self, entries: &mut Vec<Entry>, known: &mut BTreeMap<String, usize>, sources: Node) {
        entries.retain(|entry| entry.name != "<<" || !matches!(entry.node.value, Value::Broken));
        let place = sources.place;
        let sources = match sources.value {
            Value::Seq(items) => items,
            Value::Map(_) | Value::Scalar(_) | Value::Broken => vec![sources],
        };
        for source in sources {
            match source.value {
                Value::Map(merged) => {
                    for entry in merged {
                        if !known.contains_key(&entry.name) {
                            known.insert(entry.name.clone(), usize::MAX);
                            entries.push(entry);
                        }
                    }
                }
                Value::Broken => {}
                Value::Scalar(_) | Value::Seq(_) => {
                    self.sink.add(
                        Problem::error("yaml-merge", place, "`<<` takes a mapping, or a list of mappings")
                            .help("write `<<: *name`, where `&name` marks a mapping above"),
                    );
                }
            }
        }
    }

    fn alias(&mut self, id: usize, place: Place, depth: usize) -> Result<Node, Stop> {
        self.aliases += 1;
        let Some(anchor) = self.anchors.get(&id) else {
            self.sink.add(
                Problem::error("unknown-anchor", place, "this alias stands within what it repeats")
                    .help("an alias can repeat only what is complete above it"),
            );
            return Ok(Node { place, value: Value::Broken });
        };
        let (count, deepest) = (anchor.count, depth + anchor.depth - 1);
        self.expanded += count;
        self.budget(place, deepest)?;
        Ok(self.anchors[&id].node.through(place.span))
    }

    fn remember(&mut self, id: usize, node: &Node, place: Place) -> Result<(), Stop> {
        let (count, depth) = node.measure();
        // The copy is counted like any other, or nested anchors would cost memory that nobody sees.
        self.expanded += count;
        self.budget(place, 1)?;
        self.anchors.insert(id, Anchor { node: node.clone(), count, depth });
        Ok(())
    }

    fn budget(&mut self, place: Place, depth: usize) -> Result<(), Stop> {
        let nodes = self.written + self.expanded;
        let message = if depth > DEPTH_MAX {
            format!("the file is nested more than {DEPTH_MAX} levels deep")
        } else if nodes > NODES_MAX {
            format!("the file has more than {NODES_MAX} values, aliases counted by what they repeat")
        } else if self.aliases > ALIASES_MAX {
            format!("the file has more than {ALIASES_MAX} aliases")
        } else if nodes > EXPANSION_FREE.max(EXPANSION_MAX * self.written) {
            format!("aliases make the file more than {EXPANSION_MAX} times larger than it is written")
        } else {
            return Ok(());
        };
        Err(self.stop(
            Problem::error("file-too-complex", place, message).help("write less of it through aliases"),
        ))
    }
}
