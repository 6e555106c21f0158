//! The YAML parser's complaints in the words of someone who edits a file.

use granit_parser::ErrorKind;

use super::{
    diagnostic::Problem,
    tree::{FileId, Place, Span},
};

struct Advice {
    message: String,
    help: &'static str,
}

fn advice(message: impl Into<String>, help: &'static str) -> Advice {
    Advice { message: message.into(), help }
}

/// The problem behind a syntax error at byte `at`.
pub(super) fn problem(file: FileId, text: &str, kind: &ErrorKind, at: usize) -> Problem {
    let at = at.min(text.len());
    if let Some(tab) = tab(text, kind, at) {
        let place = place(file, text, tab);
        return Problem::error("yaml-tab", place, "a tab where YAML allows only spaces")
            .label("this is a tab")
            .help("indent with spaces");
    }
    if text[..at].ends_with('$') && text[at..].starts_with('{') {
        return Problem::error(
            "yaml-syntax",
            place(file, text, at),
            "within `[ ]` and `{ }`, a `${VAR}` needs quotes",
        )
        .help("write `\"${VAR}\"`: to YAML, the `{` alone begins a mapping");
    }
    let at = opening_quote(text, kind, at).unwrap_or(at);
    let Advice { message, help } = explain(kind);
    let code = if *kind == ErrorKind::RecursionLimitExceeded { "file-too-complex" } else { "yaml-syntax" };
    let problem = Problem::error(code, place(file, text, at), message).maybe_help(
        // The caret of an unclosed bracket or quote stands at its start; everything else that ends at the end is cut off.
        if help.is_empty() { None } else { Some(help.to_owned()) },
    );
    if is_cut_off(kind) || text[at..].trim().is_empty() {
        problem.because("the file may be half-written")
    } else {
        problem
    }
}

/// One character, or the last one of the file where it ends.
fn place(file: FileId, text: &str, at: usize) -> Place {
    let mut at = at;
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let end = text[at..].chars().next().filter(|c| *c != '\n').map_or(at, |c| at + c.len_utf8());
    let offset = |byte: usize| u32::try_from(byte).expect("files end at 4 MiB");
    Place::new(Span { file, start: offset(at), end: offset(end) })
}

/// The parser names the start of the text in which it met the tab; find the tab itself.
fn tab(text: &str, kind: &ErrorKind, at: usize) -> Option<usize> {
    let is_tab = matches!(
        kind,
        ErrorKind::TabNotAllowed
            | ErrorKind::TabInBlockIndentation
            | ErrorKind::TabInIndentation
            | ErrorKind::TabInPlainScalar
            | ErrorKind::TabAtBlockScalarStart
    );
    let line = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let found = || text[at..].find('\t').map(|offset| at + offset);
    // Also where the parser got over the tab and stumbled later in the same line.
    let indented = text[line..].starts_with('\t') && !text[line..at].trim_start().is_empty();
    if is_tab {
        found().or_else(|| text[line..at].find('\t').map(|offset| line + offset))
    } else if indented || text[line..].starts_with('\t') {
        Some(line)
    } else {
        None
    }
}

/// The parser names the line that cannot belong to a quoted text; what is wrong is the quote that began it.
fn opening_quote(text: &str, kind: &ErrorKind, at: usize) -> Option<usize> {
    matches!(kind, ErrorKind::InvalidQuotedScalarIndent).then(|| text[..at].rfind(['"', '\'']))?
}

fn is_cut_off(kind: &ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::UnexpectedEofFlowSequence
            | ErrorKind::UnexpectedEofFlowMapping
            | ErrorKind::UnexpectedEofImplicitFlowMapping
            | ErrorKind::UnexpectedEofBlockSequence
            | ErrorKind::UnexpectedEofBlockMapping
            | ErrorKind::UnexpectedEof
            | ErrorKind::UnclosedFlowCollection { .. }
            | ErrorKind::UnclosedQuotedScalar
    )
}

// A table, and longer than sixty lines for that. The parser's enum is not exhaustive and has a hundred variants, most of which nobody will ever meet.
#[allow(clippy::wildcard_enum_match_arm)]
fn explain(kind: &ErrorKind) -> Advice {
    match kind {
        ErrorKind::UnclosedFlowCollection { open } => {
            advice(format!("this `{open}` is never closed"), "close it, or put the text in quotes")
        }
        ErrorKind::UnexpectedEofFlowSequence | ErrorKind::ExpectedFlowSequenceSeparator => {
            advice("a list in `[ ]` goes wrong here", "separate its entries with `,` and close it with `]`")
        }
        ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnexpectedEofImplicitFlowMapping
        | ErrorKind::ExpectedFlowMappingSeparator => advice(
            "a mapping in `{ }` goes wrong here",
            "separate its entries with `,` and close it with `}`",
        ),
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            advice(format!("`{open}` is closed with `{close}`"), "close a bracket with its own kind")
        }
        ErrorKind::MisplacedFlowCollectionEnd => {
            advice("a closing bracket without an opening one", "remove it, or put the text in quotes")
        }
        ErrorKind::InvalidColonPlacement => advice(
            "a `key: value` where none can stand",
            "is a bracket above not closed? else put the text in quotes",
        ),
        ErrorKind::UnclosedQuotedScalar | ErrorKind::InvalidQuotedScalarIndent => {
            advice("a quoted text is not closed", "add the closing quote at the end of its line")
        }
        ErrorKind::DocumentIndicatorInQuotedScalar => {
            advice("a quoted text runs into `---`", "add the closing quote before it")
        }
        ErrorKind::InvalidTrailingSingleQuotedScalar | ErrorKind::InvalidTrailingDoubleQuotedScalar => {
            advice(
                "text follows a closing quote",
                "put the whole value in one pair of quotes; write `''` for a single quote within single quotes",
            )
        }
        ErrorKind::UnknownQuotedScalarEscape
        | ErrorKind::InvalidQuotedScalarHexEscape
        | ErrorKind::InvalidUnicodeEscape => advice(
            "an unknown escape in a double-quoted text",
            "write the backslash twice, or use single quotes, in which a backslash is just a backslash",
        ),
        ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidMappingValueWhitespace => advice(
            "a `key: value` where none can stand",
            "check the indentation of this line and of the one above; a value that holds `: ` needs quotes",
        ),
        ErrorKind::MappingKeyNotAllowed
        | ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::SimpleKeyExpected
        | ErrorKind::InvalidSimpleKey
        | ErrorKind::InvalidIndentation
        | ErrorKind::UnexpectedEofBlockMapping => advice(
            "a `key: value` was expected here",
            "check the indentation, and that a `:` and a space follow the key",
        ),
        ErrorKind::ExpectedBlockSequenceEntry
        | ErrorKind::BlockSequenceEntryNotAllowed
        | ErrorKind::BlockEntryInFlowCollection
        | ErrorKind::UnexpectedEofBlockSequence => {
            advice("a `- entry` goes wrong here", "entries of one list start in the same column")
        }
        ErrorKind::UnexpectedCharacter { character } if character.is_control() => {
            advice("a control character", "remove it")
        }
        ErrorKind::UnexpectedCharacter { character } => {
            advice(format!("no value can start with `{character}`"), "put the value in quotes")
        }
        ErrorKind::MissingAnchorOrAliasName => advice(
            "`*` and `&` start the name of an alias or an anchor, and none follows",
            "put the value in quotes",
        ),
        ErrorKind::RecursionLimitExceeded => {
            advice("the file is nested more than 64 levels deep", "a platform needs fewer than ten")
        }
        ErrorKind::InvalidBlockScalarIndent | ErrorKind::InvalidBlockScalarHeader => advice(
            "a text block after `|` or `>` goes wrong here",
            "indent all of its lines deeper than its key",
        ),
        ErrorKind::BomInsideDocument => advice("a byte order mark in the middle of the file", "remove it"),
        other => advice(format!("this is not YAML: {other}"), ""),
    }
}
