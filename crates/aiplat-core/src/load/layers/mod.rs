//! The files of a platform as one tree: `platform.yaml`, the overlays in `platform.yaml.d`, and what they include.
//!
//! Each file is parsed and its variables are put in on its own; then overlays are laid over the root in lexical order,
//! and what is included is put beside. Every value goes on knowing in which file it was written.

mod include;
mod merge;
mod overlays;
mod unique;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    Files,
    decode::{Content, Reader, preamble},
    diagnostic::{Problem, Sink},
    interpolate::{Variables, interpolate},
    parse::{self, NODES_MAX, Role},
    tree::{FileId, Node, Place, Value},
};

pub(super) use overlays::folder_of as overlay_folder;

/// What the words of a file are relative to.
#[derive(Debug, Clone, Default)]
pub(super) struct Base {
    /// For its paths.
    pub(super) folder: PathBuf,
    /// For its `${VAR}`, and for names of variables without a value.
    pub(super) variables: Variables,
}

/// The base of every file: that of the platform, and one for each entry of `include`.
#[derive(Debug, Default)]
pub(super) struct Bases {
    all: Vec<Base>,
    of: BTreeMap<FileId, usize>,
}

impl Bases {
    /// The base of the platform itself.
    pub(super) fn root(&self) -> &Base {
        &self.all[0]
    }

    /// The base of what is written at `place`.
    pub(super) fn of(&self, place: Place) -> &Base {
        &self.all[self.of.get(&place.span.file).copied().unwrap_or_default()]
    }

    fn add(&mut self, base: Base) -> usize {
        self.all.push(base);
        self.all.len() - 1
    }
}

/// All files of a platform as one tree.
pub(super) struct Assembled {
    pub(super) tree: Node,
    pub(super) bases: Bases,
    /// The YAML files it was made from, the root first.
    pub(super) parts: Vec<PathBuf>,
}

/// Reads the platform at `root` and joins what belongs to it; `None` where there is nothing to go on with.
pub(super) fn assemble(
    root: &Path,
    files: &dyn Files,
    reader: &mut Reader,
    sink: &mut Sink,
) -> Option<Assembled> {
    let mut join = Join {
        files,
        reader,
        sink,
        bases: Bases::default(),
        parts: vec![root.to_owned()],
        nodes: 0,
        size: 0,
    };
    let file = join.root(root)?;
    let tree = join.parse(file, Role::Platform)?;
    let mut layers = vec![(file, tree)];
    layers.extend(join.overlays(root));
    let folder = root.parent().unwrap_or_else(|| Path::new("")).to_owned();
    let env_file = layers
        .iter()
        .map(|(_, tree)| only(tree, "env_file"))
        .reduce(|base, over| merge::overlay(base, over, &mut Sink::default()))?;
    let variables = preamble(&env_file, &folder, files, join.reader, join.sink);
    let base = join.bases.add(Base { folder, variables });
    let mut whole: Option<Node> = None;
    for (file, tree) in layers {
        let tree = join.layer(file, tree, base, &[root.to_owned()]);
        whole = Some(match whole {
            Some(below) => merge::overlay(below, tree, join.sink),
            None => {
                let mut tree = tree;
                merge::settle(&mut tree);
                tree
            }
        });
    }
    let Join { bases, parts, .. } = join;
    Some(Assembled { tree: whole?, bases, parts })
}

/// The entry `name` alone.
fn only(tree: &Node, name: &str) -> Node {
    let entries = tree.get(name).into_iter().cloned().collect();
    Node { place: tree.place, value: Value::Map(entries) }
}

/// The work of joining, and what it has cost so far.
struct Join<'a> {
    files: &'a dyn Files,
    reader: &'a mut Reader,
    sink: &'a mut Sink,
    bases: Bases,
    parts: Vec<PathBuf>,
    /// Values of all files together.
    nodes: usize,
    /// Bytes of all values with their variables put in.
    size: usize,
}

impl Join<'_> {
    fn root(&mut self, root: &Path) -> Option<FileId> {
        match self.reader.read(self.files, root, false, None, self.sink) {
            Content::Text(file) => Some(file),
            Content::Missing => {
                let file = self.reader.sources.add(root, "", false);
                let message = format!("{} does not exist", root.display());
                self.sink.add(Problem::of_file("file-missing", file, message));
                None
            }
            Content::Bad => None,
        }
    }

    fn parse(&mut self, file: FileId, role: Role) -> Option<Node> {
        let text = self.reader.sources.file(file).text.clone();
        let tree = parse::parse(file, role, &text, self.sink)?;
        self.nodes += tree.measure().0;
        if self.nodes > NODES_MAX {
            let message = format!("the files of this platform have more than {NODES_MAX} values together");
            self.sink.add(
                Problem::of_file("file-too-complex", file, message)
                    .help("include fewer files, or smaller ones"),
            );
            return None;
        }
        if role == Role::Part && !matches!(tree.value, Value::Map(_)) {
            self.sink.add(
                Problem::error(
                    "not-a-platform",
                    tree.place,
                    "the file is not a mapping of `key: value` lines",
                )
                .help("it begins with `services:` or another section of a platform"),
            );
            return None;
        }
        Some(tree)
    }

    /// One file with its variables put in and what it includes beside it.
    fn layer(&mut self, file: FileId, mut tree: Node, base: usize, chain: &[PathBuf]) -> Node {
        self.bases.of.insert(file, base);
        let variables = self.bases.all[base].variables.clone();
        interpolate(&mut tree, &variables, &self.reader.sources, &mut self.size, self.sink);
        self.includes(tree, base, chain)
    }
}
