//! Which file and line set each value of a platform.

use std::path::{Path, PathBuf};

use super::{
    Files,
    decode::Reader,
    diagnostic::{Sink, SourceMap},
    layers,
    tree::{Node, Value},
};

/// One value of the merged file, and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The way to it, from the top of the file.
    pub path: Vec<Step>,
    /// The value with its variables put in, which may be a secret; `None`: an empty mapping or list, or nothing.
    pub value: Option<String>,
    /// The file as it was named to the loader.
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
    /// `TAG is set at .env:3`, for each variable in it.
    pub variables: Vec<String>,
}

/// One step on the way to a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A key of a mapping.
    Key(String),
    /// An entry of a list, from 0.
    Item(usize),
}

/// Every value of the platform at `root` after overlays and included files are joined, in the order in which it is
/// written. What is wrong with the files is for [`load`](super::load) to say.
#[must_use]
pub fn origins(root: &Path, files: &dyn Files) -> Vec<Origin> {
    let (mut reader, mut sink) = (Reader::default(), Sink::default());
    let Some(assembled) = layers::assemble(root, files, &mut reader, &mut sink) else { return Vec::new() };
    let mut walk = Walk { sources: &reader.sources, path: Vec::new(), found: Vec::new() };
    walk.node(&assembled.tree);
    walk.found
}

struct Walk<'a> {
    sources: &'a SourceMap,
    path: Vec<Step>,
    found: Vec<Origin>,
}

impl Walk<'_> {
    fn node(&mut self, node: &Node) {
        match &node.value {
            Value::Map(entries) if !entries.is_empty() => {
                for entry in entries.iter().filter(|entry| !entry.name.starts_with("x-")) {
                    self.inner(Step::Key(entry.name.clone()), &entry.node);
                }
            }
            Value::Seq(items) if !items.is_empty() => {
                for (at, item) in items.iter().enumerate() {
                    self.inner(Step::Item(at), item);
                }
            }
            Value::Scalar(scalar) => {
                let value = (!scalar.is_null()).then(|| scalar.text.clone());
                let variables = scalar.written.iter().flat_map(|written| written.origins.clone()).collect();
                self.found(node, value, variables);
            }
            Value::Map(_) | Value::Seq(_) => self.found(node, None, Vec::new()),
            Value::Broken => {}
        }
    }

    fn inner(&mut self, step: Step, node: &Node) {
        self.path.push(step);
        self.node(node);
        self.path.pop();
    }

    fn found(&mut self, node: &Node, value: Option<String>, variables: Vec<String>) {
        let source = self.sources.file(node.place.span.file);
        let (line, _) = source.position(node.place.span.start as usize);
        self.found.push(Origin {
            path: self.path.clone(),
            value,
            file: source.path.clone(),
            line,
            variables,
        });
    }
}
