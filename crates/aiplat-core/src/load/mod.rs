//! Reads a platform file into a [`Platform`], with every mistake at once.
//!
//! Bytes become a tree in which every value knows where it was written (`parse`); variables are put in
//! (`interpolate`); overlays and included files are joined to it (`layers`); each section is decoded on its own against the one table of keys (`keys`, `decode`); then
//! come the checks that need the whole file (`check`), and only a file without errors is compiled (`compile`).
//! Nothing stops at the first mistake, and what is wrong is said once: whoever meets its traces later is silent.
//!
//! Deliberately absent: I/O (files come through [`Files`]), the environment of the process, serde (it stops at the
//! first error and knows no places), and any guess about what was meant.

mod check;
mod compile;
mod decode;
mod diagnostic;
mod draft;
mod env;
mod explain;
mod interpolate;
mod keys;
mod layers;
mod lint;
mod origin;
mod parse;
mod render;
mod schema;
mod syntax;
mod text;
mod tree;

use std::path::{Path, PathBuf};

pub use diagnostic::{Diagnostic, Label, Location, Severity, SourceFile, SourceMap};
pub use explain::{KeyDoc, all_keys, find_keys, keys_below};
pub use keys::{KeyRow, key_row};
pub use lint::{LINTS, Lint};
pub use origin::{Origin, Step, origins};
pub use render::render;
pub use schema::json_schema;
pub use text::{ByteSize, nearest};

use crate::{
    spec::{InstanceId, Platform},
    tier::Capacity,
};
use check::{Ours, Scene};
use decode::{Cx, Reader};
use diagnostic::{Allowed, Sink};
use draft::Draft;
use layers::Assembled;

/// The files of a platform. The I/O lives with the caller.
pub trait Files {
    /// The bytes of `path`; `None`: it does not exist.
    ///
    /// # Errors
    /// Says why it cannot be read, in words for the user.
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, String>;

    /// The paths of what lies in `folder`, in any order; `None`: it does not exist.
    ///
    /// # Errors
    /// Says why it cannot be listed, in words for the user.
    fn list(&self, folder: &Path) -> Result<Option<Vec<PathBuf>>, String>;
}

/// What a file's meaning depends on besides its text.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Whose platform it is.
    pub instance: InstanceId,
    /// Our own state: no container may mount it.
    pub state_dir: PathBuf,
    /// What `~` stands for; `None` in the daemon, which has no home.
    pub home: Option<PathBuf>,
    /// What the machine is strong enough for; `None`: not known, and then no rule gives a tier.
    pub capacity: Option<Capacity>,
    /// Take a plain Compose file, with a warning: for `diff -f` and `validate` on a newcomer's file. The daemon
    /// insists on `apiVersion`.
    pub accept_compose: bool,
}

/// What became of a file.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// `None` if there is any error. Its generation is 0 and its removals are due at once: the caller sets both.
    pub platform: Option<Platform>,
    /// Errors and warnings, in order of file and position.
    pub diagnostics: Vec<Diagnostic>,
    /// Words whose meaning or default differs from Compose's, each once. `validate` prints them.
    pub differences: Vec<Diagnostic>,
    /// Every file read or looked for, the root first: what to watch.
    pub read: Vec<PathBuf>,
    /// Every folder that was looked through for overlays, whether it exists or not: what to watch as well.
    pub folders: Vec<PathBuf>,
    /// For [`render`].
    pub sources: SourceMap,
    /// Services that profiles leave out.
    pub services_profile_off: Vec<String>,
}

impl Loaded {
    /// Whether something keeps the file from being taken.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// Reads the platform at `root` and whatever it names.
pub fn load(root: &Path, files: &dyn Files, facts: &Facts) -> Loaded {
    let mut sink = Sink::default();
    let mut reader = Reader::default();
    let assembled = layers::assemble(root, files, &mut reader, &mut sink);
    let mut services_profile_off = Vec::new();
    let mut allowed = Allowed::default();
    let mut platform = None;
    if let Some((draft, parts)) = assembled.and_then(|it| draft(it, files, &mut reader, facts, &mut sink)) {
        let scene = Scene::new(&draft, &facts.state_dir);
        check::check(&scene, &Ours { root, parts: &parts, state_dir: &facts.state_dir }, &mut sink);
        services_profile_off = scene.left_out();
        allowed = draft.allowed();
        if !sink.has_errors() {
            platform = Some(compile::compile(&scene, &facts.instance));
        }
    }
    let Reader { sources, read, folders } = reader;
    let (diagnostics, differences) = sink.finish(&sources, &allowed);
    Loaded { platform, diagnostics, differences, read, folders, sources, services_profile_off }
}

fn draft(
    assembled: Assembled,
    files: &dyn Files,
    reader: &mut Reader,
    facts: &Facts,
    sink: &mut Sink,
) -> Option<(Draft, Vec<PathBuf>)> {
    let Assembled { tree, bases, parts } = assembled;
    let home = facts.home.as_deref();
    let mut cx = Cx { sink, files, reader, bases: &bases, home };
    let mut draft = decode::platform(&mut cx, &tree, facts.accept_compose)?;
    draft.take_tier(facts.capacity, tree.place);
    Some((draft, parts))
}
