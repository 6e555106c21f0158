//! What is wrong with a file, where, and what to write instead.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Serialize;

use super::{
    lint::NAMES,
    tree::{FileId, Place, Span},
};

/// No more problems than this are kept of one file: past that, nobody reads on.
const PROBLEMS_MAX: usize = 500;

/// How much a diagnostic matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file is not taken: the last good one stays in force.
    Error,
    /// The file is taken; someone should look.
    Warning,
    /// A word that means something else than in Compose. Only in [`Loaded::differences`](super::Loaded::differences).
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Location {
    /// Bytes.
    pub span: Range<usize>,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

/// A further place that belongs to a diagnostic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Label {
    /// The file as it was named to the loader.
    pub file: PathBuf,
    /// Where in it.
    pub location: Location,
    /// What is there.
    pub text: String,
}

/// One problem of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How much it matters.
    pub severity: Severity,
    /// Stable kebab-case name, for machines and for the reference.
    pub code: &'static str,
    /// What is wrong, in one sentence.
    pub message: String,
    /// The file as it was named to the loader.
    pub file: PathBuf,
    /// Where in it; `None`: the file as a whole.
    pub location: Option<Location>,
    /// Beside the caret; may be empty.
    pub label: String,
    /// What else there is to know.
    pub notes: Vec<String>,
    /// What to write instead.
    pub help: Vec<String>,
    /// Other places that belong to it.
    pub secondary: Vec<Label>,
}

impl Diagnostic {
    /// Whether it keeps the file from being taken.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// The one-line form: `platform.yaml:12:5: message`.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(location) = &self.location {
            write!(f, "{}:{}:", location.line, location.column)?;
        }
        match self.severity {
            Severity::Error => {}
            Severity::Warning => f.write_str(" warning:")?,
            Severity::Note => f.write_str(" note:")?,
        }
        write!(f, " {}", self.message)
    }
}

/// The files that were read, for snippets.
#[derive(Debug, Clone, Default)]
pub struct SourceMap {
    files: Vec<SourceFile>,
}

/// One file that was read.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// As it was named to the loader.
    pub path: PathBuf,
    /// Its content.
    pub text: Arc<str>,
    /// Its lines are never shown: env files hold passwords, and diagnostics end up in logs.
    pub private: bool,
    line_starts: Vec<usize>,
}

impl SourceMap {
    /// The file that was read under `path`.
    #[must_use]
    pub fn get(&self, path: &Path) -> Option<&SourceFile> {
        self.files.iter().find(|file| file.path == path)
    }

    pub(super) fn find(&self, path: &Path) -> Option<FileId> {
        let at = self.files.iter().position(|file| file.path == path)?;
        u32::try_from(at).ok().map(FileId)
    }

    pub(super) fn add(&mut self, path: &Path, text: &str, private: bool) -> FileId {
        let starts = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        self.files.push(SourceFile {
            path: path.to_owned(),
            text: text.into(),
            private,
            line_starts: std::iter::once(0).chain(starts).collect(),
        });
        FileId(
            u32::try_from(self.files.len() - 1)
                .expect("the number of files is bounded by the size of the root"),
        )
    }

    pub(super) fn file(&self, id: FileId) -> &SourceFile {
        &self.files[id.0 as usize]
    }

    /// What was written at `span`.
    pub(super) fn slice(&self, span: Span) -> &str {
        self.file(span.file).text.get(span.range()).unwrap_or_default()
    }

    fn location(&self, span: Span) -> Location {
        let (line, column) = self.file(span.file).position(span.start as usize);
        Location { span: span.range(), line, column }
    }
}

impl SourceFile {
    /// The bytes of the lines `first` to `last`, from 1, as far as there are any.
    pub(super) fn lines(&self, first: usize, last: usize) -> Range<usize> {
        let start = self.line_starts.get(first.max(1) - 1).copied().unwrap_or(self.text.len());
        start..self.line_starts.get(last).copied().unwrap_or(self.text.len())
    }

    /// Line and column of a byte, both from 1.
    pub(super) fn position(&self, byte: usize) -> (usize, usize) {
        let line = self.line_starts.partition_point(|start| *start <= byte);
        let start = self.line_starts[line - 1];
        let column = self.text.get(start..byte).map_or(1, |before| before.chars().count() + 1);
        (line, column)
    }
}

/// A diagnostic in the making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    severity: Severity,
    code: &'static str,
    message: String,
    file: FileId,
    place: Option<Place>,
    label: String,
    notes: Vec<String>,
    help: Vec<String>,
    also: Vec<(Span, String)>,
    /// The service that it is about: its `lint.allow` counts.
    service: Option<String>,
}

impl Problem {
    fn new(severity: Severity, code: &'static str, place: Place, message: impl Into<String>) -> Self {
        Self {
            severity,
            code,
            message: message.into(),
            file: place.span.file,
            place: Some(place),
            label: String::new(),
            notes: Vec::new(),
            help: Vec::new(),
            also: Vec::new(),
            service: None,
        }
    }

    pub(super) fn error(code: &'static str, place: Place, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, place, message)
    }

    /// Something that a person may allow by its name, which is in the table of lints.
    pub(super) fn warning(code: &'static str, place: Place, message: impl Into<String>) -> Self {
        debug_assert!(NAMES.contains(&code), "`{code}` is not in the table of lints");
        Self::new(Severity::Warning, code, place, message)
    }

    pub(super) fn note(code: &'static str, place: Place, message: impl Into<String>) -> Self {
        Self::new(Severity::Note, code, place, message)
    }

    /// An error of the file as a whole.
    pub(super) fn of_file(code: &'static str, file: FileId, message: impl Into<String>) -> Self {
        let start = Place::new(Span { file, start: 0, end: 0 });
        Self { place: None, ..Self::error(code, start, message) }
    }

    /// A warning of the file as a whole.
    pub(super) fn warning_of_file(code: &'static str, file: FileId, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::of_file(code, file, message) }
    }

    /// It is about this service.
    pub(super) fn of(mut self, service: &str) -> Self {
        self.service = Some(service.to_owned());
        self
    }

    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    pub(super) fn because(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    pub(super) fn also(mut self, place: Place, label: impl Into<String>) -> Self {
        self.also.push((place.span, label.into()));
        self
    }

    /// Like `help`, if there is one.
    pub(super) fn maybe_help(self, help: Option<String>) -> Self {
        match help {
            Some(help) => self.help(help),
            None => self,
        }
    }

    fn finish(self, sources: &SourceMap) -> Diagnostic {
        let via = self.place.and_then(|place| place.via);
        let also = self.also.into_iter().chain(via.map(|span| (span, "used here".to_owned())));
        let label = |(span, text): (Span, String)| Label {
            file: sources.file(span.file).path.clone(),
            location: sources.location(span),
            text,
        };
        Diagnostic {
            severity: self.severity,
            code: self.code,
            message: self.message,
            file: sources.file(self.file).path.clone(),
            location: self.place.map(|place| sources.location(place.span)),
            label: self.label,
            notes: self.notes,
            help: self.help,
            secondary: also.map(label).collect(),
        }
    }
}

/// The warnings that the file allows by name.
#[derive(Debug, Default)]
pub(super) struct Allowed {
    pub(super) everywhere: BTreeSet<String>,
    pub(super) of_services: BTreeMap<String, BTreeSet<String>>,
}

impl Allowed {
    fn covers(&self, problem: &Problem) -> bool {
        let of_service = problem.service.as_ref().and_then(|service| self.of_services.get(service));
        problem.severity == Severity::Warning
            && (self.everywhere.contains(problem.code)
                || of_service.is_some_and(|names| names.contains(problem.code)))
    }
}

/// Collects problems; nothing stops at the first.
#[derive(Debug, Default)]
pub(super) struct Sink {
    /// The service whose words are being read, if it is one's.
    pub(super) scope: Option<String>,
    problems: Vec<Problem>,
    left_out: usize,
    /// One place each for words that differ from Compose's, with the number of further ones.
    differences: Vec<(Problem, usize)>,
}

impl Sink {
    pub(super) fn add(&mut self, mut problem: Problem) {
        if problem.service.is_none() {
            problem.service.clone_from(&self.scope);
        }
        if problem.severity == Severity::Note {
            match self.differences.iter_mut().find(|(known, _)| known.code == problem.code) {
                Some((_, more)) => *more += 1,
                None => self.differences.push((problem, 0)),
            }
        } else if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        } else {
            self.left_out += 1;
        }
    }

    pub(super) fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// Problems and differences, in order of file and position, each once.
    pub(super) fn finish(
        mut self,
        sources: &SourceMap,
        allowed: &Allowed,
    ) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
        self.problems.retain(|problem| !allowed.covers(problem));
        if let (true, Some(last)) = (self.left_out > 0, self.problems.last().cloned()) {
            let message = format!("there are {} more problems than these {PROBLEMS_MAX}", self.left_out);
            self.problems.push(Problem::of_file("too-many-problems", last.file, message));
        }
        let position = |problem: &Problem| (problem.file, problem.place.map(|place| place.span));
        self.problems.sort_by_key(position);
        let mut seen = BTreeSet::new();
        let fresh =
            self.problems.into_iter().filter(|it| seen.insert((position(it), it.code, it.message.clone())));
        let problems = fresh.map(|problem| problem.finish(sources)).collect();
        self.differences.sort_by_key(|(problem, _)| position(problem));
        let differences = self.differences.into_iter().map(|(problem, more)| {
            let problem = match more {
                0 => problem,
                1 => problem.because("and in 1 more place"),
                _ => problem.because(format!("and in {more} more places")),
            };
            problem.finish(sources)
        });
        (problems, differences.collect())
    }
}
