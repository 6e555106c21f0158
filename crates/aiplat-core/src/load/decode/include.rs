//! `include:`, as far as one file knows it.

use super::{Cx, Item};
use crate::load::{
    diagnostic::Problem,
    keys::INCLUDE,
    tree::{Node, Spanned, Value},
};

/// The entries that can be read.
pub(in crate::load) fn include_entries(cx: &mut Cx<'_>, include: &Node) -> Vec<IncludeEntry> {
    let items = cx.items(&Item::new("`include`", include)).unwrap_or_default();
    items.iter().filter_map(|item| entry(cx, item)).collect()
}

/// An entry of `include` as it stands in the file.
pub(in crate::load) struct IncludeEntry {
    /// The first is the file, the others are laid over it.
    pub(in crate::load) paths: Vec<Spanned<String>>,
    pub(in crate::load) project_directory: Option<Spanned<String>>,
    pub(in crate::load) env_files: Option<Vec<Spanned<String>>>,
}

fn entry(cx: &mut Cx<'_>, item: &Item<'_>) -> Option<IncludeEntry> {
    if !matches!(item.node.value, Value::Map(_)) {
        let path = cx.filled(item)?;
        return Some(IncludeEntry { paths: vec![path], project_directory: None, env_files: None });
    }
    let mut fields = cx.fields(item, &INCLUDE);
    let paths = match fields.take("path") {
        Some(path) => cx.string_or_strings(&path),
        None => {
            let problem = Problem::error("missing-key", item.place(), "an entry of `include` needs a `path`");
            cx.sink.add(problem.help("write the file, relative to this one"));
            None
        }
    };
    let project_directory = fields.take("project_directory").and_then(|item| cx.filled(&item));
    let env_files = fields.take("env_file").map(|item| cx.string_or_strings(&item).unwrap_or_default());
    fields.done();
    Some(IncludeEntry { paths: paths?, project_directory, env_files })
}
