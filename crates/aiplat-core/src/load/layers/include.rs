//! `include:`, as in Compose: the services, networks, volumes and gates of other files, each with paths and variables
//! of its own.

use std::path::{Path, PathBuf};

use super::{Base, Join, Role, merge};
use crate::load::{
    decode::{Content, Cx, IncludeEntry, absolute, env_variables, include_entries, missing_file},
    diagnostic::Problem,
    keys::ROOT,
    tree::{Entry, FileId, Mark, Node, Place, Spanned, Value},
};

/// Files that include files that include files end here.
const DEPTH_MAX: usize = 16;
/// No platform includes more files.
const FILES_MAX: usize = 100;
/// What an included file brings.
const SECTIONS: [&str; 7] = ["services", "networks", "volumes", "secrets", "configs", "models", "gates"];
/// What it may say of itself, to no effect in another's platform, as in Compose.
const OWN: [&str; 3] = ["apiVersion", "name", "version"];

/// An entry of `include`, resolved.
struct Included {
    /// The first is the file, the others are laid over it.
    paths: Vec<(PathBuf, Place)>,
    base: Base,
}

impl Join<'_> {
    /// `tree` with what it includes.
    pub(super) fn includes(&mut self, mut tree: Node, base: usize, chain: &[PathBuf]) -> Node {
        let Value::Map(entries) = &mut tree.value else { return tree };
        let Some(at) = entries.iter().position(|entry| entry.name == "include") else { return tree };
        let include = entries.remove(at);
        // Whether an entry replaces what another layer included cannot be told once it is carried out.
        if include.mark != Mark::None {
            self.sink.add(
                Problem::error(
                    "misplaced-tag",
                    include.place,
                    "`include` cannot be taken back by an overlay",
                )
                .help(
                    "take the entry out of the file that has it; `!reset` what it brings, service by service",
                ),
            );
            return tree;
        }
        if chain.len() > DEPTH_MAX {
            let message = format!("files include each other more than {DEPTH_MAX} levels deep");
            self.sink.add(
                Problem::error("file-too-complex", include.place, message).help("include the last ones here"),
            );
            return tree;
        }
        for included in self.resolve(&include.node, base) {
            if let Some(more) = self.included(included, chain) {
                self.import(&mut tree, more);
            }
        }
        tree
    }

    fn resolve(&mut self, include: &Node, base: usize) -> Vec<Included> {
        let parent = self.bases.all[base].clone();
        let mut cx =
            Cx { sink: self.sink, files: self.files, reader: self.reader, bases: &self.bases, home: None };
        let entries = include_entries(&mut cx, include);
        let path = |text: &Spanned<String>| absolute(&parent.folder, &text.value);
        let mut resolved = Vec::new();
        for IncludeEntry { paths, project_directory, env_files } in entries {
            if let Some(remote) = paths.iter().find(|path| is_remote(&path.value)) {
                self.sink.add(refused(remote));
                continue;
            }
            let paths: Vec<(PathBuf, Place)> = paths.iter().map(|text| (path(text), text.place)).collect();
            let Some((first, _)) = paths.first() else { continue };
            let folder = match &project_directory {
                Some(folder) => path(folder),
                None => first.parent().unwrap_or(Path::new("")).to_owned(),
            };
            let env_files = match env_files {
                Some(files) => files.iter().map(|text| (path(text), Some(text.place))).collect(),
                None => vec![(absolute(&folder, ".env"), None)],
            };
            let mut variables = env_variables(env_files, self.files, self.reader, self.sink);
            // The platform has the last word, as in Compose.
            variables.known.extend(parent.variables.known.clone());
            variables.files.extend(parent.variables.files.iter().cloned());
            resolved.push(Included { paths, base: Base { folder, variables } });
        }
        resolved
    }

    /// The tree of one entry; `None` where there is nothing new in it.
    fn included(&mut self, included: Included, chain: &[PathBuf]) -> Option<Node> {
        let Included { paths, base } = included;
        let (first, place) = paths.first().cloned()?;
        if chain.contains(&first) {
            let way: Vec<String> =
                chain.iter().chain([&first]).map(|path| path.display().to_string()).collect();
            let message = format!("{} includes itself: {}", first.display(), way.join(" → "));
            self.sink.add(Problem::error("include-cycle", place, message).help("remove this entry"));
            return None;
        }
        if let Some(known) = self.reader.sources.find(&first).filter(|_| self.parts.contains(&first)) {
            self.again(&first, place, known, &base);
            return None;
        }
        if self.parts.len() + paths.len() > FILES_MAX {
            let message = format!("a platform is made of at most {FILES_MAX} files");
            self.sink.add(Problem::error("file-too-complex", place, message).help("include fewer files"));
            return None;
        }
        let base = self.bases.add(base);
        let chain: Vec<PathBuf> = chain.iter().cloned().chain([first]).collect();
        let mut whole: Option<Node> = None;
        for (path, place) in paths {
            let Some((file, tree)) = self.part(&path, place) else { continue };
            let mut tree = self.layer(file, tree, base, &chain);
            whole = Some(match whole {
                Some(below) => merge::overlay(below, tree, self.sink),
                None => {
                    merge::settle(&mut tree);
                    tree
                }
            });
        }
        whole
    }

    fn part(&mut self, path: &Path, place: Place) -> Option<(FileId, Node)> {
        match self.reader.read(self.files, path, false, Some(place), self.sink) {
            Content::Text(file) => {
                self.parts.push(path.to_owned());
                Some((file, self.parse(file, Role::Part)?))
            }
            Content::Missing => {
                let help = "make the file, or remove the entry of `include`; paths are relative to the file that includes";
                self.sink.add(missing_file(path, place).help(help));
                None
            }
            Content::Bad => None,
        }
    }

    /// Twice the same thing is one thing, as where two files include a third; with other words it cannot be.
    fn again(&mut self, path: &Path, place: Place, known: FileId, base: &Base) {
        let before = self.bases.of.get(&known).map(|at| &self.bases.all[*at]);
        let values = |base: &Base| -> Vec<(String, String)> {
            base.variables
                .known
                .iter()
                .map(|(name, variable)| (name.clone(), variable.value.clone()))
                .collect()
        };
        if before.is_none_or(|before| before.folder == base.folder && values(before) == values(base)) {
            return;
        }
        let message = format!("{} is included twice, with another folder or other variables", path.display());
        self.sink.add(
            Problem::error("included-twice", place, message)
                .because("its services would have to mean two things at once")
                .help(
                    "include it once; for a second copy of a service, copy the file and rename the service",
                ),
        );
    }

    /// Puts the sections of an included file beside those of `tree`.
    fn import(&mut self, tree: &mut Node, more: Node) {
        let (Value::Map(entries), Value::Map(more)) = (&mut tree.value, more.value) else { return };
        for section in more {
            let name = section.name.as_str();
            if OWN.contains(&name) || name.starts_with("x-") {
                continue;
            }
            if !SECTIONS.contains(&name) && ROOT.find(name).is_some() {
                self.sink.add(elsewhere(&section));
                continue;
            }
            match entries.iter_mut().find(|known| known.name == section.name) {
                Some(known) if SECTIONS.contains(&name) => self.join_section(known, section),
                // A typo once more; each is answered where it stands.
                Some(_) | None => entries.push(section),
            }
        }
    }

    fn join_section(&mut self, known: &mut Entry, section: Entry) {
        if known.node.is_null() {
            known.node.value = Value::Map(Vec::new());
        }
        let (Value::Map(names), Value::Map(more)) = (&mut known.node.value, section.node.value) else {
            return;
        };
        for entry in more {
            match names.iter().find(|name| name.name == entry.name) {
                // As in Compose: the same network or volume may be declared wherever it is used.
                Some(same) if section.name != "services" && alike(&same.node, &entry.node) => {}
                Some(same) => {
                    let one = section.name.trim_end_matches('s');
                    let message = format!("the {one} `{}` is in two files", entry.name);
                    self.sink.add(
                        Problem::error("defined-twice", entry.place, message)
                            .label("included here")
                            .also(same.place, "and here")
                            .help("rename one of them; to change what a file includes, use an overlay: a second `path` of the entry, or a file in `platform.yaml.d`"),
                    );
                }
                None => names.push(entry),
            }
        }
    }
}

/// Whether two values say the same.
fn alike(one: &Node, other: &Node) -> bool {
    let empty =
        |node: &Node| node.is_null() || matches!(&node.value, Value::Map(entries) if entries.is_empty());
    match (&one.value, &other.value) {
        _ if empty(one) && empty(other) => true,
        (Value::Scalar(one), Value::Scalar(other)) => one.text == other.text && one.plain == other.plain,
        (Value::Seq(one), Value::Seq(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| alike(one, other))
        }
        (Value::Map(one), Value::Map(other)) => {
            let same =
                |entry: &Entry| other.iter().any(|it| it.name == entry.name && alike(&it.node, &entry.node));
            one.len() == other.len() && one.iter().all(same)
        }
        (Value::Scalar(_) | Value::Seq(_) | Value::Map(_) | Value::Broken, _) => false,
    }
}

fn is_remote(path: &str) -> bool {
    const SCHEMES: [&str; 7] = ["http://", "https://", "oci://", "git://", "ssh://", "git@", "github.com/"];
    SCHEMES.iter().any(|scheme| path.starts_with(scheme)) || path.ends_with(".git") || path.contains(".git#")
}

fn refused(path: &Spanned<String>) -> Problem {
    Problem::error("refused-key", path.place, "`include` takes files of this machine only")
        .because("what lies elsewhere changes without anybody editing this platform, and cannot be read while the network is down")
        .help("fetch the file, for instance with `git clone`, and include the copy")
}

fn elsewhere(section: &Entry) -> Problem {
    let message =
        format!("`{}` belongs to the whole platform, and cannot be in an included file", section.name);
    Problem::error("not-in-include", section.place, message).help(match section.name.as_str() {
        "env_file" => "write it in the entry: `include: [{path: FILE, env_file: FILE}]`",
        _ => "move it to the platform's own file",
    })
}
