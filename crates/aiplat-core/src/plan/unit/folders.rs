//! Folders with data that a variable names: a program that is sent to another one starts without what it had, says nothing,
//! and downloads it again. So it is not sent there before the data are.

use std::collections::BTreeMap;

use super::{Look, environment, leaving};
use crate::{
    ResourceId,
    observed::{FolderFacts, ObservedUnit},
    plan::World,
    spec::{Management, UnitSpec},
};

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
    /// What it is set to instead, where that depends on the folder that the program is started in.
    to: Result<String, String>,
}

/// The folders of the machine that have to be looked at before anything is done to the unit `id`.
#[must_use]
pub fn folders_in_doubt(world: &World<'_>, id: &ResourceId) -> Vec<String> {
    let mut moves = match world.desired.units.get(id) {
        Some(spec) => Look::of(world, id, spec).map(|look| look.moves()).unwrap_or_default(),
        None => Vec::new(),
    };
    moves.extend(leaving::let_go(world, id).into_iter().flat_map(moves_without_ours));
    let paths = moves.iter().flat_map(|it| {
        let both = it.to.as_ref().into_iter().flat_map(|to| [&it.from, to]);
        both.flat_map(|folder| it.folder.parts.iter().map(|part| path(folder, part))).collect::<Vec<_>>()
    });
    paths.collect()
}

/// Where the unit of `spec` keeps its models; where the installer of Ollama has them, if its own files do not say.
pub(in crate::plan) fn models_folder(world: &World<'_>, spec: &UnitSpec) -> Option<String> {
    const INSTALLED: &str = "/usr/share/ollama/.ollama/models";
    let Some(unit) = world.observed.units.get(&spec.unit) else {
        let set = spec.environment.get(FOLDERS[0].variable).filter(|path| path.starts_with('/'));
        return Some(set.map_or(INSTALLED, String::as_str).to_owned());
    };
    let mut environment = environment::now(unit);
    environment.extend(spec.environment.clone());
    environment.extend(unit.effective.clone().unwrap_or_default());
    let home = environment.get("HOME").or(unit.home.as_ref()).map(String::as_str);
    if odd(&FOLDERS[0], &environment).is_some() {
        return None;
    }
    Some(place(&FOLDERS[0], &environment, home).unwrap_or_else(|| INSTALLED.to_owned()))
}

impl Look<'_> {
    /// The sentence of what would be left behind, were the environment of the file carried out.
    pub(super) fn left_behind(&self) -> Option<String> {
        self.moves().iter().find_map(|it| missing_there(self.world, it, &self.spec.unit, self.service))
    }

    fn moves(&self) -> Vec<Move> {
        if self.spec.management == Management::Observe {
            return Vec::new();
        }
        moves(self.service, &self.environment_to_be())
    }
}

/// The sentence of what the unit `name` would leave behind at its next start, were what we wrote for it removed.
pub(super) fn left_behind_without_ours(world: &World<'_>, name: &str, unit: &ObservedUnit) -> Option<String> {
    moves_without_ours(unit).iter().find_map(|it| missing_there(world, it, name, unit))
}

fn moves_without_ours(unit: &ObservedUnit) -> Vec<Move> {
    moves(unit, &environment::without_ours(unit))
}

/// What changes its place when `unit` is next started, with the environment `to_be`.
fn moves(unit: &ObservedUnit, to_be: &BTreeMap<String, String>) -> Vec<Move> {
    let by_files = environment::now(unit);
    // What does not run would be started with what its files say now.
    let runs = unit.effective.as_ref().filter(|_| unit.active.is_alive());
    let now = runs.unwrap_or(&by_files);
    let home = now.get("HOME").or(unit.home.as_ref());
    // One that no file sets is what systemd gives to the unit's user, and goes on giving.
    let otherwise = if by_files.contains_key("HOME") { unit.home.as_ref() } else { home };
    let home_to_be = to_be.get("HOME").or(otherwise);
    let moves = FOLDERS.iter().filter_map(|folder| {
        let from = place(folder, now, home.map(String::as_str));
        if let Some(odd) = odd(folder, to_be).filter(|_| odd(folder, now) != odd(folder, to_be)) {
            // Where it is now may not be known either: then nothing is there to be compared.
            return Some(Move { folder, from: from.unwrap_or_default(), to: Err(odd.to_owned()) });
        }
        let (from, to) = (from?, place(folder, to_be, home_to_be.map(String::as_str))?);
        (from != to).then_some(Move { folder, from, to: Ok(to) })
    });
    moves.collect()
}

fn missing_there(world: &World<'_>, it: &Move, name: &str, unit: &ObservedUnit) -> Option<String> {
    let Move { folder, from, to } = it;
    let DataFolder { variable, below_home, parts, of, drop } = folder;
    let to = match to {
        Ok(to) => to,
        Err(odd) => {
            return Some(format!(
                "{variable} is to be `{odd}`, which is no absolute path: neither systemd nor the program expands `~` or a variable \
                 in it, so that {name} would start without its {of}; write the folder as it is, from `/` on"
            ));
        }
    };
    let facts = |path: String| world.observed.folders.get(&path);
    let mut missing = 0;
    let mut example = None;
    let what = format!("the folder of its {of} ({variable}, or {below_home} below HOME)");
    for part in *parts {
        let (Some(old), Some(new)) = (facts(path(from, part)), facts(path(to, part))) else {
            return Some(format!(
                "{what} is to be {to} and is {from}: whether its {of} are there could not be found out yet; nothing is changed \
                 before"
            ));
        };
        let left = lacking(part, old, new);
        missing += left.len();
        example = example.or_else(|| left.first().map(|file| format!("{}/{file}", part.name)));
    }
    let example = example?;
    let (old, new) = (quoted(from), quoted(to));
    let user = if unit.user.is_empty() { "root" } else { &unit.user };
    let files = if missing == 1 {
        format!("1 file, {example}")
    } else {
        format!("{missing} files, {example} among them")
    };
    Some(format!(
        "{what} is to be {to}, which lacks {of} that {name} has in {from} ({files}): copy them with \
         `mkdir -p {new} && cp -a {old}/. {new}/ && chown -R {user}: {new}`, and it goes on by itself; what is not wanted any \
         more is removed with `{drop}` first"
    ))
}

/// What `environment` sets it to, where that is a folder only together with the one that the program is started in.
fn odd<'a>(folder: &DataFolder, environment: &'a BTreeMap<String, String>) -> Option<&'a str> {
    let set = environment.get(folder.variable).map(String::as_str);
    set.filter(|path| !path.is_empty() && !path.starts_with('/'))
}

/// Where the program keeps them with this environment; `None` where that cannot be told.
fn place(folder: &DataFolder, environment: &BTreeMap<String, String>, home: Option<&str>) -> Option<String> {
    let set = environment.get(folder.variable).filter(|path| path.starts_with('/'));
    // Set to nothing is as not set.
    if odd(folder, environment).is_some() {
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
