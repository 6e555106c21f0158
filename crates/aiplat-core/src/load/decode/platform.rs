//! The file outside `services`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use super::{
    Cx, Fields, Item, Reader,
    configs::{self, config},
    declared::{network, volume},
    environment::missing_file,
    files::{Content, absolute},
    host::host,
    lint::allowed,
    models::model,
    names::{check_gate_name, check_key, check_service_name, is_platform_name},
    scalar::crop,
    service::service,
    settings::settings,
};
use crate::load::{
    Files,
    diagnostic::{Problem, Sink},
    draft::{Draft, GateDraft},
    env,
    interpolate::Variables,
    keys::ROOT,
    tree::{Node, Place, Span, Spanned, Value},
};

pub(in crate::load) const API_VERSION: &str = "aiplat/v1";
const SERVICES_MAX: usize = 2_000;

/// The variables of the env files; read before anything else, since everything else may use them.
pub(in crate::load) fn preamble(
    root: &Node,
    folder: &Path,
    files: &dyn Files,
    reader: &mut Reader,
    sink: &mut Sink,
) -> Variables {
    let mut paths: Vec<(String, Option<Place>)> = Vec::new();
    match root.get("env_file").map(|entry| &entry.node) {
        // Read again, and complained about, by `platform`.
        Some(Node { value: Value::Seq(items), .. }) => {
            paths.extend(items.iter().filter_map(|item| scalar(item).map(|text| (text, Some(item.place)))));
        }
        Some(node) => paths.extend(scalar(node).map(|text| (text, Some(node.place)))),
        None => paths.push((".env".to_owned(), None)),
    }
    let paths = paths.into_iter().map(|(path, place)| (absolute(folder, &path), place)).collect();
    env_variables(paths, files, reader, sink)
}

/// The variables of these files, later ones first; each with the place that names it.
pub(in crate::load) fn env_variables(
    paths: Vec<(PathBuf, Option<Place>)>,
    files: &dyn Files,
    reader: &mut Reader,
    sink: &mut Sink,
) -> Variables {
    let mut variables = Variables::default();
    for (path, place) in paths {
        match reader.read(files, &path, true, place, sink) {
            Content::Text(file) => {
                for line in env::parse(file, &reader.sources, &variables.known, sink) {
                    if let Some(value) = line.value {
                        variables.known.insert(line.name, value);
                    }
                }
                variables.files.push(path.display().to_string());
            }
            Content::Missing => {
                if let Some(place) = place {
                    sink.add(missing_file(&path, place).help("make the file, or remove it from `env_file`"));
                }
            }
            Content::Bad => {}
        }
    }
    variables
}

fn scalar(node: &Node) -> Option<String> {
    match &node.value {
        Value::Scalar(scalar) if !scalar.is_null() && !scalar.text.contains('$') => Some(scalar.text.clone()),
        Value::Scalar(_) | Value::Seq(_) | Value::Map(_) | Value::Broken => None,
    }
}

/// The whole file, as far as it can be read.
pub(in crate::load) fn platform(cx: &mut Cx<'_>, root: &Node, accept_compose: bool) -> Option<Draft> {
    let item = Item::new("the file", root);
    if !matches!(root.value, Value::Map(_)) {
        cx.sink.add(
            Problem::error("not-a-platform", root.place, "the file is not a mapping of `key: value` lines")
                .help("a platform begins with `apiVersion: aiplat/v1`, a `name:` and `services:`"),
        );
        return None;
    }
    let mut fields = cx.fields(&item, &ROOT);
    api_version(cx, &mut fields, root, accept_compose);
    env_files(cx, &mut fields);
    let include = fields.take("include");
    debug_assert!(include.is_none(), "it was carried out when the files were joined");
    let name = name(cx, &mut fields, root);
    let mut draft = Draft {
        name,
        settings: fields.take("reconcile").map(|item| settings(cx, &item)).unwrap_or_default(),
        host: host(cx, &mut fields),
        services: BTreeMap::new(),
        networks: BTreeMap::new(),
        volumes: BTreeMap::new(),
        configs: BTreeMap::new(),
        models: BTreeMap::new(),
        gates: BTreeMap::new(),
        active_profiles: active_profiles(cx, &mut fields, root),
        allowed: allowed(cx, &mut fields),
        unreadable: BTreeSet::new(),
    };
    services(cx, &mut fields, root, &mut draft);
    declarations(cx, &mut fields, &mut draft);
    gates(cx, &mut fields, &mut draft);
    // What a misspelt section declares is not unknown.
    draft.unreadable.extend(fields.excused.iter().copied());
    fields.done();
    Some(draft)
}

fn services(cx: &mut Cx<'_>, fields: &mut Fields<'_>, root: &Node, draft: &mut Draft) {
    let Some(item) = fields.take("services") else {
        if !fields.excused.contains("services") {
            cx.sink.add(
                Problem::error("missing-key", first_key(root), "the file has no `services`")
                    .help("name what is to run under `services:`; to run nothing, write `services: {}`"),
            );
        }
        draft.unreadable.insert("services");
        return;
    };
    for (name, place, inner) in section(cx, &item, "services", &mut draft.unreadable) {
        if draft.services.len() == SERVICES_MAX {
            let message = format!("a platform has at most {SERVICES_MAX} services");
            cx.sink.add(Problem::error("too-many-services", place, message));
            break;
        }
        check_service_name(cx, name, place);
        cx.sink.scope = Some(name.to_owned());
        draft.services.insert(name.to_owned(), service(cx, name, place, &inner));
        cx.sink.scope = None;
    }
}

fn declarations(cx: &mut Cx<'_>, fields: &mut Fields<'_>, draft: &mut Draft) {
    if let Some(item) = fields.take("networks") {
        for (name, place, inner) in section(cx, &item, "networks", &mut draft.unreadable) {
            check_key(cx, name, place, "network");
            draft.networks.insert(name.to_owned(), network(cx, place, &inner));
        }
    }
    if let Some(item) = fields.take("volumes") {
        for (name, place, inner) in section(cx, &item, "volumes", &mut draft.unreadable) {
            check_key(cx, name, place, "volume");
            draft.volumes.insert(name.to_owned(), volume(cx, place, &inner));
        }
    }
    if let Some(item) = fields.take("configs") {
        for (name, place, inner) in section(cx, &item, "configs", &mut draft.unreadable) {
            configs::check_name(cx, name, place);
            draft.configs.insert(name.to_owned(), config(cx, place, &inner));
        }
    }
    if let Some(item) = fields.take("models") {
        for (name, place, inner) in section(cx, &item, "models", &mut draft.unreadable) {
            check_key(cx, name, place, "model");
            draft.models.insert(name.to_owned(), model(cx, name, place, &inner));
        }
    }
}

fn gates(cx: &mut Cx<'_>, fields: &mut Fields<'_>, draft: &mut Draft) {
    let Some(item) = fields.take("gates") else { return };
    for (name, place, inner) in section(cx, &item, "gates", &mut draft.unreadable) {
        check_gate_name(cx, name, place);
        let members = cx.distinct(&inner);
        if members.as_ref().is_some_and(Vec::is_empty) {
            let problem = Problem::error("bad-value", place, format!("the gate `{name}` waits for nothing"));
            cx.sink.add(problem.help(format!("name services, as in `{name}: [postgres, redis]`")));
        }
        draft.gates.insert(name.to_owned(), GateDraft { members: members.unwrap_or_default() });
    }
}

/// The lines of a section of named things. An empty section is Compose's: nothing is in it.
fn section<'n>(
    cx: &mut Cx<'_>,
    item: &Item<'n>,
    name: &'static str,
    unreadable: &mut BTreeSet<&'static str>,
) -> Vec<(&'n str, Place, Item<'n>)> {
    if item.is_null() && name != "services" {
        return Vec::new();
    }
    if item.is_null() {
        let problem = Problem::error("no-value", item.place(), "`services` is empty");
        cx.sink.add(problem.help("name what is to run; to run nothing, write `services: {}`"));
        unreadable.insert(name);
        return Vec::new();
    }
    let Some(entries) = cx.entries(item) else {
        unreadable.insert(name);
        return Vec::new();
    };
    let named = entries.into_iter().filter(|(key, ..)| !key.starts_with("x-"));
    let one = name.strip_suffix('s').unwrap_or(name);
    named
        .map(|(key, place, node)| (key, place, Item::new(format!("the {one} `{}`", crop(key)), node)))
        .collect()
}

fn first_key(root: &Node) -> Place {
    match &root.value {
        Value::Map(entries) => entries.first().map_or(root.place, |entry| entry.place),
        Value::Scalar(_) | Value::Seq(_) | Value::Broken => root.place,
    }
}

fn api_version(cx: &mut Cx<'_>, fields: &mut Fields<'_>, root: &Node, accept_compose: bool) {
    match fields.take("apiVersion") {
        Some(item) => {
            cx.word(&item, &[(API_VERSION, ())]);
        }
        None => {
            let (place, help) =
                (first_key(root), format!("write `apiVersion: {API_VERSION}` as the first line"));
            let is_compose = root.get("services").is_some();
            let message = if is_compose {
                "this is a Compose file: a platform begins with its `apiVersion`"
            } else {
                "the file has no `apiVersion`"
            };
            cx.sink.add(if accept_compose && is_compose {
                Problem::warning("api-version", place, message).help(help)
            } else {
                Problem::error("api-version", place, message).help(help)
            });
        }
    }
}

/// Read by `preamble`; what is wrong with its form is said here.
fn env_files(cx: &mut Cx<'_>, fields: &mut Fields<'_>) {
    let Some(item) = fields.take("env_file") else { return };
    for Spanned { value, place } in cx.string_or_strings(&item).unwrap_or_default() {
        if value.contains('$') {
            cx.sink.add(Problem::error(
                "bad-value",
                place,
                "`env_file` cannot hold variables: it is where they come from",
            ));
        }
    }
}

/// `name`, else what Compose would take.
fn name(cx: &mut Cx<'_>, fields: &mut Fields<'_>, root: &Node) -> String {
    const RULE: &str = "lower case letters, digits, `_` and `-`, starting with a letter or digit";
    if let Some(item) = fields.take("name") {
        let parse =
            |text: &str| if is_platform_name(text) { Ok(text.to_owned()) } else { Err(RULE.to_owned()) };
        return cx.parsed(&item, parse).map_or_else(|| "unnamed".to_owned(), |name| name.value);
    }
    let folder = || cx.bases.root().folder.file_name().map(|name| name.to_string_lossy().to_lowercase());
    let variable =
        cx.bases.root().variables.known.get("COMPOSE_PROJECT_NAME").map(|known| known.value.clone());
    let (source, raw) = match variable {
        Some(name) => ("from `COMPOSE_PROJECT_NAME`", name),
        None => ("that of the folder", folder().unwrap_or_default()),
    };
    let kept: String =
        raw.chars().filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(*c)).collect();
    let name = kept.trim_start_matches(['_', '-']).to_owned();
    let place = first_key(root);
    if name.is_empty() {
        let problem = Problem::error("missing-key", place, "the platform has no `name`");
        cx.sink.add(
            problem.help(
                "write `name: home-ai` or what you like: containers, networks and volumes begin with it",
            ),
        );
    } else {
        cx.sink.add(
            Problem::warning(
                "name-missing",
                place,
                format!("the platform has no `name`: taken is {source}, `{name}`"),
            )
            .help(format!("write `name: {name}`, so that moving the file renames nothing")),
        );
    }
    name
}

fn active_profiles(cx: &mut Cx<'_>, fields: &mut Fields<'_>, root: &Node) -> Vec<Spanned<String>> {
    let mut active = Vec::new();
    for profile in fields.take("active_profiles").and_then(|item| cx.distinct(&item)).unwrap_or_default() {
        if profile.value == "*" || cx.is_profile(&profile) {
            active.push(profile);
        }
    }
    let variable = cx
        .bases
        .root()
        .variables
        .known
        .get("COMPOSE_PROFILES")
        .map(|known| known.value.clone())
        .unwrap_or_default();
    // Nowhere in this file: an empty place at its start stands for that, and no message points there.
    let start = Span { end: root.place.span.start, ..root.place.span };
    for word in variable.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        active.push(Spanned { value: word.to_owned(), place: Place::new(start) });
    }
    active
}
