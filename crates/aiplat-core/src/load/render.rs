//! Diagnostics as a person reads them: in the manner of rustc, with carets.

use std::{collections::BTreeMap, path::Path};

use annotate_snippets::{
    Annotation, AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet, normalize_untrusted_str,
    renderer::DecorStyle,
};

use super::diagnostic::{Diagnostic, Severity, SourceFile, SourceMap};

/// Lines around the carets that are shown.
const CONTEXT: usize = 1;
/// Places further apart than this get snippets of their own.
const WINDOW: usize = 40;

/// All of `diagnostics`, one after the other, ready to print. Lines of env files are not shown: they hold passwords.
#[must_use]
pub fn render(diagnostics: &[Diagnostic], sources: &SourceMap, color: bool, width: usize) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.term_width(width.max(40)).decor_style(DecorStyle::Ascii);
    let mut out = String::new();
    for diagnostic in diagnostics {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&renderer.render(&[group(diagnostic, sources)]));
        out.push('\n');
    }
    out
}

fn group<'a>(diagnostic: &'a Diagnostic, sources: &'a SourceMap) -> Group<'a> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let title = level.primary_title(normalize_untrusted_str(&diagnostic.message)).id(diagnostic.code);
    let mut elements: Vec<Element<'a>> = Vec::new();
    for (path, places) in places(diagnostic) {
        elements.extend(snippets(path, sources.get(path), places));
    }
    if diagnostic.location.is_none() {
        elements.push(Origin::path(diagnostic.file.display().to_string()).into());
    }
    for note in &diagnostic.notes {
        elements.push(Level::NOTE.message(normalize_untrusted_str(note)).into());
    }
    for help in &diagnostic.help {
        elements.push(Level::HELP.message(normalize_untrusted_str(help)).into());
    }
    title.elements(elements)
}

/// One caret.
struct Mark<'a> {
    kind: AnnotationKind,
    start: usize,
    end: usize,
    line: usize,
    column: usize,
    label: &'a str,
}

/// The carets by file, that of the diagnostic first.
fn places<'a>(diagnostic: &'a Diagnostic) -> Vec<(&'a Path, Vec<Mark<'a>>)> {
    let mut files: Vec<(&Path, Vec<Mark<'_>>)> = Vec::new();
    let primary = diagnostic
        .location
        .iter()
        .map(|location| (&diagnostic.file, location, &diagnostic.label, AnnotationKind::Primary));
    let further = diagnostic
        .secondary
        .iter()
        .map(|label| (&label.file, &label.location, &label.text, AnnotationKind::Context));
    for (file, location, label, kind) in primary.chain(further) {
        let (start, end) = (location.span.start, location.span.end);
        let mark = Mark { kind, start, end, line: location.line, column: location.column, label };
        match files.iter_mut().find(|(known, _)| *known == file.as_path()) {
            Some((_, marks)) => marks.push(mark),
            None => files.push((file, vec![mark])),
        }
    }
    files
}

fn snippets<'a>(path: &'a Path, source: Option<&'a SourceFile>, marks: Vec<Mark<'a>>) -> Vec<Element<'a>> {
    let name = path.display().to_string();
    let Some(source) = source.filter(|source| !source.private) else {
        let first = marks.first().map_or((1, 1), |mark| (mark.line, mark.column));
        return vec![Origin::path(name).line(first.0).char_column(first.1).into()];
    };
    // The caret of the diagnostic leads; the others join it where they are near.
    let mut windows: Vec<(usize, usize, Vec<Mark<'a>>)> = Vec::new();
    for mark in marks {
        let near =
            windows.iter_mut().find(|(from, to, _)| mark.line + WINDOW >= *from && mark.line <= *to + WINDOW);
        match near {
            Some((from, to, marks)) => {
                (*from, *to) = ((*from).min(mark.line), (*to).max(mark.line));
                marks.push(mark);
            }
            None => windows.push((mark.line, mark.line, vec![mark])),
        }
    }
    windows.into_iter().map(|(from, to, marks)| snippet(&name, source, from, to, &marks).into()).collect()
}

fn snippet<'a>(
    name: &str,
    source: &'a SourceFile,
    from: usize,
    to: usize,
    marks: &[Mark<'a>],
) -> Snippet<'a, Annotation<'a>> {
    let first = from.saturating_sub(CONTEXT).max(1);
    let bytes = source.lines(first, to + CONTEXT);
    let text = &source.text[bytes.clone()];
    // Two carets at one place would be drawn twice: their labels are joined.
    let mut merged: BTreeMap<(usize, usize), (AnnotationKind, Vec<&str>)> = BTreeMap::new();
    for mark in marks {
        let start = mark.start.clamp(bytes.start, bytes.end) - bytes.start;
        let end = mark
            .end
            .clamp(mark.start, bytes.end.max(mark.start))
            .saturating_sub(bytes.start)
            .clamp(start, text.len());
        let entry = merged.entry((start, end)).or_insert((mark.kind, Vec::new()));
        if matches!(mark.kind, AnnotationKind::Primary) {
            entry.0 = AnnotationKind::Primary;
        }
        entry.1.push(mark.label);
    }
    let annotations = merged.into_iter().map(|((start, end), (kind, labels))| {
        let labels: Vec<&str> = labels.into_iter().filter(|label| !label.is_empty()).collect();
        let label = (!labels.is_empty()).then(|| normalize_untrusted_str(&labels.join("; ")));
        kind.span(start..end).label(label)
    });
    Snippet::source(text).path(name.to_owned()).line_start(first).annotations(annotations)
}
