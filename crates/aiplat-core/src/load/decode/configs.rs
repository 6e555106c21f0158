//! `configs:`, at the top level and of a service.

use std::path::Path;

use super::{
    Cx, Item,
    environment::missing_file,
    files::{absolute, normal},
    scalar::crop,
};
use crate::{
    load::{
        diagnostic::Problem,
        draft::{ConfigDraft, GrantDraft},
        keys::{CONFIG, CONFIG_GRANT},
        tree::{Place, Spanned, Value},
    },
    spec::{Content, OnChange},
};

/// Everybody in the container may read it; nobody writes.
const MODE: u32 = 0o444;
/// The name of a file has at most 255 bytes, and ours has an ending.
const NAME_MAX: usize = 200;

pub(super) fn check_name(cx: &mut Cx<'_>, name: &str, place: Place) {
    let first = name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let fits = first && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    if !fits || name.len() > NAME_MAX {
        let message = format!("`{}` cannot be the name of a config", crop(name));
        let help = format!(
            "it starts with a letter, a digit or `_`; letters, digits, `_`, `.` and `-` follow, {NAME_MAX} in all at most"
        );
        cx.sink.add(Problem::error("bad-name", place, message).help(help));
    }
}

pub(super) fn config(cx: &mut Cx<'_>, place: Place, item: &Item<'_>) -> ConfigDraft {
    let mut fields = cx.fields(item, &CONFIG);
    let sources = ["file", "content", "environment"].map(|key| fields.take(key));
    let on_change = fields.take("on_change").and_then(|item| on_change(cx, &item)).unwrap_or_default();
    let is_answered = !fields.excused.is_empty() || !matches!(item.node.value, Value::Map(_));
    fields.done();
    let [file, content, environment] = sources;
    let given: Vec<&Item<'_>> = [&file, &content, &environment].into_iter().flatten().collect();
    if let [first, second, ..] = given.as_slice() {
        let message = format!("{} and {} both say what is in {}", first.what, second.what, item.what);
        let problem = Problem::error("key-conflict", second.place(), message);
        cx.sink.add(problem.also(first.place(), "the first").help("keep one of them"));
        return ConfigDraft { place, content: None, on_change };
    }
    let bytes = match (&file, &content, &environment) {
        (Some(file), _, _) => from_file(cx, file),
        (None, Some(content), _) => cx.text(content).map(|text| text.value.into_bytes()),
        (None, None, Some(variable)) => from_variable(cx, variable),
        (None, None, None) => {
            if !is_answered {
                let message = format!("nothing says what is in {}", item.what);
                let problem = Problem::error("missing-key", place, message);
                cx.sink
                    .add(problem.help("write `file:`, the path of a file, or `content:`, the text itself"));
            }
            None
        }
    };
    let at = given.first().map_or(place, |item| item.place());
    let bytes = bytes.filter(|bytes| is_small_enough(cx, item, at, bytes.len()));
    ConfigDraft { place, content: bytes.map(Content::new), on_change }
}

fn is_small_enough(cx: &mut Cx<'_>, item: &Item<'_>, at: Place, bytes: usize) -> bool {
    let fits = bytes <= Content::BYTES_MAX;
    if !fits {
        let message = format!("{} has {} KiB, and a config has at most 500", item.what, bytes >> 10);
        let problem = Problem::error("file-too-large", at, message);
        cx.sink.add(problem.help("mount it with `volumes:`; what is in it is then no business of aiplatd's"));
    }
    fits
}

fn from_file(cx: &mut Cx<'_>, item: &Item<'_>) -> Option<Vec<u8>> {
    let Spanned { value, place } = cx.filled(item)?;
    let path = absolute(&cx.base(place).folder, &value);
    match cx.reader.bytes(cx.files, &path) {
        Ok(Some(bytes)) => Some(bytes),
        Ok(None) => {
            let problem = missing_file(&path, place);
            cx.sink.add(problem.help("make the file; its path is relative to the file that names it"));
            None
        }
        Err(error) => {
            let message = format!("cannot read {}: {error}", path.display());
            cx.sink.add(Problem::error("file-unreadable", place, message));
            None
        }
    }
}

fn from_variable(cx: &mut Cx<'_>, item: &Item<'_>) -> Option<Vec<u8>> {
    let Spanned { value: name, place } = cx.filled(item)?;
    let known = cx.base(place).variables.known.get(&name);
    if known.is_none() {
        let message = format!("`{}` has no value, and a config is to hold it", crop(&name));
        cx.sink.add(
            Problem::error("variable-missing", place, message)
                .because("variables come from the env file of the platform, never from the environment of the daemon")
                .help(format!("write `{}=...` in `.env`", crop(&name))),
        );
    }
    known.map(|known| known.value.clone().into_bytes())
}

fn on_change(cx: &mut Cx<'_>, item: &Item<'_>) -> Option<OnChange> {
    let is_reload = match &item.node.value {
        Value::Scalar(scalar) => scalar.text == "reload",
        Value::Map(entries) => entries.iter().any(|entry| entry.name == "reload"),
        Value::Seq(_) | Value::Broken => false,
    };
    if is_reload {
        let message = "`on_change: reload` is not supported by this version";
        let problem = Problem::error("not-supported", item.place(), message);
        cx.sink.add(problem.help("write `restart`, or `none` and reload the service yourself"));
        return None;
    }
    let words =
        [("restart", OnChange::Restart), ("recreate", OnChange::Recreate), ("none", OnChange::Nothing)];
    cx.word(item, &words)
}

/// `configs:` of a service.
pub(super) fn grants(cx: &mut Cx<'_>, item: &Item<'_>) -> Vec<GrantDraft> {
    let items = cx.items(item).unwrap_or_default();
    items.iter().filter_map(|item| grant(cx, item)).collect()
}

fn grant(cx: &mut Cx<'_>, item: &Item<'_>) -> Option<GrantDraft> {
    if !matches!(item.node.value, Value::Map(_)) {
        let Spanned { value, place } = cx.filled(item)?;
        let target = target_path(&value);
        return Some(GrantDraft { place, source: value, target, mode: MODE, uid: None, gid: None });
    }
    let mut fields = cx.fields(item, &CONFIG_GRANT);
    let source = match fields.take("source") {
        Some(source) => cx.filled(&source),
        None => {
            let message = "an entry of `configs` needs a `source`";
            let problem = Problem::error("missing-key", item.place(), message);
            cx.sink.add(problem.help("write the name of a config of this file"));
            None
        }
    };
    let target = fields.take("target").map(|target| cx.parsed(&target, target_of));
    let mode = fields.take("mode").map(|mode| cx.parsed(&mode, permissions));
    let id = |cx: &mut Cx<'_>, item: Option<Item<'_>>| {
        item.and_then(|item| cx.integer(&item, 0, i64::from(u32::MAX) - 1))
            .and_then(|id| u32::try_from(id).ok())
    };
    let (uid, gid) = (fields.take("uid"), fields.take("gid"));
    let (uid, gid) = (id(cx, uid), id(cx, gid));
    fields.done();
    let Spanned { value: source, place } = source?;
    let target = match target {
        Some(target) => target?.value,
        None => target_path(&source),
    };
    let mode = match mode {
        Some(mode) => mode?.value,
        None => MODE,
    };
    Some(GrantDraft { place, source, target, mode, uid, gid })
}

fn target_of(text: &str) -> Result<String, String> {
    let path = target_path(text);
    if text.trim().is_empty() || path == "/" || text.ends_with('/') {
        return Err("write the path of one file inside the container".to_owned());
    }
    Ok(path)
}

/// As in Compose: what is relative is so to the root.
fn target_path(text: &str) -> String {
    normal(&Path::new("/").join(text)).to_string_lossy().into_owned()
}

/// Octal digits, as `chmod` has them.
fn permissions(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        Ok(_) | Err(_) => Err("write octal digits, as in `0440`".to_owned()),
    }
}
