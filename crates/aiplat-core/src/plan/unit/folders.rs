//! Folders with data that a variable names: a program that is sent to another one starts without what it had, says nothing,
//! and downloads it again. So it is not sent there before the data are.

use std::collections::BTreeMap;

use super::Look;
use crate::{ResourceId, observed::FolderFacts, plan::World, spec::Management};

/// A variable that names a folder in which a program keeps what it cannot make again by itself.
struct DataFolder {
    variable: &'static str,
    /// Where they are without it, below the home of the unit's user.
    below_home: &'static str,
    parts: &'static [Part],
    /// What a person calls one of them.
    of: &'static str,
    /// How to part with one for good.
    drop: &'static str,
}

/// One folder in it.
struct Part {
    name: &'static str,
    /// Its files are named after their content: one that is smaller in the new folder is still being copied.
    by_content: bool,
    /// Files whose names have this in them are not whole, and nobody misses them.
    not_whole: &'static str,
}

static FOLDERS: [DataFolder; 1] = [DataFolder {
    variable: "OLLAMA_MODELS",
    below_home: ".ollama/models",
    parts: &[
        Part { name: "manifests", by_content: false, not_whole: "-partial" },
        Part { name: "blobs", by_content: true, not_whole: "-partial" },
    ],
    of: "models",
    drop: "ollama rm MODEL",
}];

/// One of these folders that is about to change.
struct Move {
    folder: &'static DataFolder,
    from: String,
    to: String,
}

/// The folders of the machine that have to be looked at before anything is done to the unit `id`.
#[must_use]
pub fn folders_in_doubt(world: &World<'_>, id: &ResourceId) -> Vec<String> {
    let Some(look) = world.desired.units.get(id).and_then(|spec| Look::of(world, id, spec)) else {
        return Vec::new();
    };
    let moves = look.moves();
    let paths = moves.iter().flat_map(|it| {
        let both = it.folder.parts.iter().flat_map(|part| [path(&it.from, part), path(&it.to, part)]);
        both.collect::<Vec<_>>()
    });
    paths.collect()
}

impl Look<'_> {
    /// The sentence of what would be left behind, were the environment of the file carried out.
    pub(super) fn left_behind(&self) -> Option<String> {
        self.moves().iter().find_map(|it| self.missing_there(it))
    }

    fn moves(&self) -> Vec<Move> {
        if self.spec.management == Management::Observe {
            return Vec::new();
        }
        // What does not run would be started with what its files say now.
        let runs = self.service.effective.as_ref().filter(|_| self.service.active.is_alive());
        let now = runs.cloned().unwrap_or_else(|| self.environment_now());
        let to_be = self.environment_to_be();
        let moves = FOLDERS.iter().filter_map(|folder| {
            let home = now.get("HOME").or(self.service.home.as_ref()).map(String::as_str);
            let (from, to) = (place(folder, &now, home)?, place(folder, &to_be, home)?);
            (from != to).then_some(Move { folder, from, to })
        });
        moves.collect()
    }

    fn missing_there(&self, it: &Move) -> Option<String> {
        let Move { folder, from, to } = it;
        let DataFolder { variable, below_home: _, parts, of, drop } = folder;
        let facts = |path: String| self.world.observed.folders.get(&path);
        let mut missing = 0;
        let mut example = None;
        for part in *parts {
            let (Some(old), Some(new)) = (facts(path(from, part)), facts(path(to, part))) else {
                return Some(format!(
                    "{variable} is to be {to} and is {from}: whether its {of} are there could not be found out yet; nothing is \
                     changed before"
                ));
            };
            let left = lacking(part, old, new);
            missing += left.len();
            example = example.or_else(|| left.first().map(|file| format!("{}/{file}", part.name)));
        }
        let example = example?;
        let (old, new) = (quoted(from), quoted(to));
        let user = if self.service.user.is_empty() { "root" } else { &self.service.user };
        let files = if missing == 1 { "file".to_owned() } else { format!("{missing} files") };
        Some(format!(
            "{variable} is to be {to}, which lacks {of} that {} has in {from} ({files}, {example} among them): copy them with \
             `mkdir -p {new} && cp -a {old}/. {new}/ && chown -R {user}: {new}`, and it goes on by itself; what is not wanted any \
             more is removed with `{drop}` first",
            self.spec.unit
        ))
    }
}

/// Where the program keeps them with this environment; `None` where that cannot be told.
fn place(folder: &DataFolder, environment: &BTreeMap<String, String>, home: Option<&str>) -> Option<String> {
    let set = environment.get(folder.variable).filter(|path| path.starts_with('/'));
    // Set to nothing is as not set; a relative path depends on where the program is started.
    let is_odd =
        environment.get(folder.variable).is_some_and(|path| !path.is_empty() && !path.starts_with('/'));
    if is_odd {
        return None;
    }
    let whole = match set {
        Some(path) => path.clone(),
        None => format!("{}/{}", home?.trim_end_matches('/'), folder.below_home),
    };
    let trimmed = whole.trim_end_matches('/');
    Some(if trimmed.is_empty() { "/".to_owned() } else { trimmed.to_owned() })
}

fn path(folder: &str, part: &Part) -> String {
    format!("{}/{}", folder.trim_end_matches('/'), part.name)
}

/// What is in `old` and not in `new`. Of a folder that was not read to its end nothing can be said to be missing.
fn lacking<'a>(part: &Part, old: &'a FolderFacts, new: &FolderFacts) -> Vec<&'a str> {
    if new.cut {
        return Vec::new();
    }
    let is_there = |name: &String, size: &u64| {
        new.files.get(name).is_some_and(|found| !part.by_content || found >= size)
    };
    let files = old.files.iter().filter(|(name, _)| !name.contains(part.not_whole));
    files.filter(|(name, size)| !is_there(name, size)).map(|(name, _)| name.as_str()).collect()
}

/// For a shell, as it is where nothing in it is special.
fn quoted(path: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if path.chars().all(is_plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(files: &[(&str, u64)], cut: bool) -> FolderFacts {
        FolderFacts { files: files.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect(), cut }
    }

    #[test]
    fn where_the_models_are_without_the_variable_is_below_the_home() {
        let at = |set: &[(&str, &str)], home: Option<&str>| {
            let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            place(&FOLDERS[0], &set.iter().map(pair).collect(), home)
        };
        let home = Some("/usr/share/ollama");
        let default = Some("/usr/share/ollama/.ollama/models".to_owned());
        assert_eq!(at(&[], home), default);
        assert_eq!(at(&[("OLLAMA_MODELS", "")], home), default);
        assert_eq!(at(&[("OLLAMA_MODELS", "/data//")], None).as_deref(), Some("/data"));
        assert_eq!(at(&[("OLLAMA_MODELS", "models")], home), None, "nobody knows from where");
        assert_eq!(at(&[], None), None);
    }

    #[test]
    fn what_is_missing_is_what_nobody_could_make_again() {
        let [manifests, blobs] = FOLDERS[0].parts else { panic!("two parts") };
        let old = facts(&[("a", 5), ("b", 5), ("c-partial-0", 5)], false);
        assert_eq!(lacking(blobs, &old, &facts(&[("a", 5), ("b", 4)], false)), ["b"], "still being copied");
        assert_eq!(lacking(manifests, &old, &facts(&[("a", 1), ("b", 9)], false)), Vec::<&str>::new());
        assert_eq!(lacking(blobs, &old, &facts(&[], false)), ["a", "b"]);
        assert_eq!(lacking(blobs, &old, &facts(&[], true)), Vec::<&str>::new(), "it was not read to its end");
        assert_eq!(lacking(blobs, &facts(&[], false), &facts(&[], false)), Vec::<&str>::new());
    }

    #[test]
    fn a_path_is_written_as_a_shell_reads_it() {
        assert_eq!(quoted("/srv/ai_1/models-v2.0"), "/srv/ai_1/models-v2.0");
        assert_eq!(quoted("/srv/my models"), "'/srv/my models'");
        assert_eq!(quoted("/srv/it's"), "'/srv/it'\\''s'");
    }
}
