//! The file outside `services`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::{
    Cx, Fields, Item, Reader,
    files::{Content, absolute},
    scalar::crop,
    service::{missing_file, service},
};
use crate::{
    load::{
        Files,
        diagnostic::{Problem, Sink},
        draft::{Draft, GateDraft, NetworkDraft, VolumeDraft},
        env,
        interpolate::Variables,
        keys::{IPAM, IPAM_CONFIG, NETWORK, RECONCILE, RESTART_POLICY, ROOT, VOLUME},
        text::nearest,
        tree::{Node, Place, Span, Spanned, Value},
    },
    spec::{ApplyMode, Mode, OnExhausted, RestartSettings, Settings, Subnet},
};

pub(in crate::load) const API_VERSION: &str = "aiplat/v1";
const SERVICES_MAX: usize = 2_000;
const SERVICE_NAME_MAX: usize = 63;

/// The variables of the env files; read before anything else, since everything else may use them.
pub(in crate::load) fn preamble(
    root: &Node,
    folder: &Path,
    files: &dyn Files,
    reader: &mut Reader,
    sink: &mut Sink,
) -> Variables {
    let mut variables = Variables::default();
    let mut paths: Vec<(String, Option<Place>)> = Vec::new();
    match root.get("env_file").map(|entry| &entry.node) {
        // Read again, and complained about, by `platform`.
        Some(Node { value: Value::Seq(items), .. }) => {
            paths.extend(items.iter().filter_map(|item| scalar(item).map(|text| (text, Some(item.place)))));
        }
        Some(node) => paths.extend(scalar(node).map(|text| (text, Some(node.place)))),
        None => paths.push((".env".to_owned(), None)),
    }
    for (path, place) in paths {
        let path = absolute(folder, &path);
        match reader.read(files, &path, place, sink) {
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
    let mut unreadable = BTreeSet::new();
    let name = name(cx, &mut fields, root);
    let mut draft = Draft {
        name,
        settings: fields.take("reconcile").map(|item| settings(cx, &item)).unwrap_or_default(),
        services: BTreeMap::new(),
        networks: BTreeMap::new(),
        volumes: BTreeMap::new(),
        gates: BTreeMap::new(),
        active_profiles: active_profiles(cx, &mut fields, root),
        unreadable: BTreeSet::new(),
    };
    match fields.take("services") {
        Some(item) => {
            for (name, place, inner) in section(cx, &item, "services", &mut unreadable) {
                if draft.services.len() == SERVICES_MAX {
                    let message = format!("a platform has at most {SERVICES_MAX} services");
                    cx.sink.add(Problem::error("too-many-services", place, message));
                    break;
                }
                check_service_name(cx, name, place);
                draft.services.insert(name.to_owned(), service(cx, name, place, &inner));
            }
        }
        None => {
            if !fields.excused.contains("include") && !fields.excused.contains("services") {
                cx.sink.add(
                    Problem::error("missing-key", first_key(root), "the file has no `services`")
                        .help("name what is to run under `services:`; to run nothing, write `services: {}`"),
                );
            }
            unreadable.insert("services");
        }
    }
    if let Some(item) = fields.take("networks") {
        for (name, place, inner) in section(cx, &item, "networks", &mut unreadable) {
            check_key(cx, name, place, "network");
            draft.networks.insert(name.to_owned(), network(cx, place, &inner));
        }
    }
    if let Some(item) = fields.take("volumes") {
        for (name, place, inner) in section(cx, &item, "volumes", &mut unreadable) {
            check_key(cx, name, place, "volume");
            draft.volumes.insert(name.to_owned(), volume(cx, place, &inner));
        }
    }
    if let Some(item) = fields.take("gates") {
        for (name, place, inner) in section(cx, &item, "gates", &mut unreadable) {
            check_gate_name(cx, name, place);
            let members = cx.distinct(&inner);
            if members.as_ref().is_some_and(Vec::is_empty) {
                let problem = Problem::error("bad-value", place, format!("the gate `{name}` waits for nothing"));
                cx.sink.add(problem.help(format!("name services, as in `{name}: [postgres, redis]`")));
            }
            draft.gates.insert(name.to_owned(), GateDraft { members: members.unwrap_or_default() });
        }
    }
    // What a misspelt section declares is not unknown.
    unreadable.extend(fields.excused.iter().copied());
    fields.done();
    Some(Draft { unreadable, ..draft })
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
    named.map(|(key, place, node)| (key, place, Item::new(format!("the {one} `{}`", crop(key)), node))).collect()
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
            let (place, help) = (first_key(root), format!("write `apiVersion: {API_VERSION}` as the first line"));
            let is_compose = root.get("services").is_some();
            let message = if is_compose {
                "this is a Compose file; as a platform it lacks only its `apiVersion`"
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
            cx.sink.add(Problem::error("bad-value", place, "`env_file` cannot hold variables: it is where they come from"));
        }
    }
}

/// `name`, else what Compose would take.
fn name(cx: &mut Cx<'_>, fields: &mut Fields<'_>, root: &Node) -> String {
    const RULE: &str = "lower case letters, digits, `_` and `-`, starting with a letter or digit";
    if let Some(item) = fields.take("name") {
        let parse = |text: &str| if is_platform_name(text) { Ok(text.to_owned()) } else { Err(RULE.to_owned()) };
        return cx.parsed(&item, parse).map_or_else(|| "unnamed".to_owned(), |name| name.value);
    }
    let folder = || cx.folder.file_name().map(|name| name.to_string_lossy().to_lowercase());
    let variable = cx.variables.known.get("COMPOSE_PROJECT_NAME").map(|known| known.value.clone());
    let (source, raw) = match variable {
        Some(name) => ("from `COMPOSE_PROJECT_NAME`", name),
        None => ("that of the folder", folder().unwrap_or_default()),
    };
    let kept: String = raw.chars().filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(*c)).collect();
    let name = kept.trim_start_matches(['_', '-']).to_owned();
    let place = first_key(root);
    if name.is_empty() {
        let problem = Problem::error("missing-key", place, "the platform has no `name`");
        cx.sink.add(problem.help("write `name: home-ai` or what you like: containers, networks and volumes begin with it"));
    } else {
        cx.sink.add(
            Problem::warning("name-missing", place, format!("the platform has no `name`: taken is {source}, `{name}`"))
                .help(format!("write `name: {name}`, so that moving the file renames nothing")),
        );
    }
    name
}

fn is_platform_name(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c))
}

fn check_service_name(cx: &mut Cx<'_>, name: &str, place: Place) {
    let first = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !first || !name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c)) {
        let message = format!("`{}` cannot be the name of a service", crop(name));
        let help = "it starts with a letter or digit; letters, digits, `_`, `.` and `-` follow";
        cx.sink.add(Problem::error("bad-name", place, message).help(help));
    } else if name.len() > SERVICE_NAME_MAX {
        let message = format!("the name of a service has at most {SERVICE_NAME_MAX} characters, for it is a host name too");
        cx.sink.add(Problem::error("bad-name", place, message).label(format!("these are {}", name.len())));
    }
}

fn check_key(cx: &mut Cx<'_>, name: &str, place: Place, kind: &str) {
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c)) {
        let message = format!("`{}` cannot be the name of a {kind}", crop(name));
        let help = "it is made of letters, digits, `_`, `.` and `-`";
        cx.sink.add(Problem::error("bad-name", place, message).help(help));
    }
}

fn check_gate_name(cx: &mut Cx<'_>, name: &str, place: Place) {
    const TAKEN: [&str; 4] = ["Ready", "SpecValid", "InstanceMismatch", "LedgerLost"];
    let fits = name.starts_with(|c: char| c.is_ascii_uppercase()) && name.chars().all(|c| c.is_ascii_alphanumeric());
    if TAKEN.contains(&name) {
        let message = format!("`{name}` is a condition of every platform already");
        cx.sink.add(Problem::error("bad-name", place, message).help("choose another name, as in `CoreReady`"));
    } else if !fits {
        let message = format!("`{}` cannot be the name of a gate", crop(name));
        let help = "it is a word in CamelCase, as in `CoreReady`: it is the type of a condition";
        cx.sink.add(Problem::error("bad-name", place, message).help(help));
    }
}

fn active_profiles(cx: &mut Cx<'_>, fields: &mut Fields<'_>, root: &Node) -> Vec<Spanned<String>> {
    let mut active = Vec::new();
    for profile in fields.take("active_profiles").and_then(|item| cx.distinct(&item)).unwrap_or_default() {
        if profile.value == "*" || cx.is_profile(&profile) {
            active.push(profile);
        }
    }
    let variable = cx.variables.known.get("COMPOSE_PROFILES").map(|known| known.value.clone()).unwrap_or_default();
    // Nowhere in this file: an empty place at its start stands for that, and no message points there.
    let start = Span { end: root.place.span.start, ..root.place.span };
    for word in variable.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        active.push(Spanned { value: word.to_owned(), place: Place::new(start) });
    }
    active
}

fn settings(cx: &mut Cx<'_>, item: &Item<'_>) -> Settings {
    let mut fields = cx.fields(item, &RECONCILE);
    let default = Settings::default();
    let modes = [("auto", Mode::Auto), ("observe", Mode::Observe)];
    let applies = [("on_save", ApplyMode::OnSave), ("on_command", ApplyMode::OnCommand)];
    let settings = Settings {
        mode: fields.take("mode").and_then(|item| cx.word(&item, &modes)).unwrap_or(default.mode),
        apply: fields.take("apply").and_then(|item| cx.word(&item, &applies)).unwrap_or(default.apply),
        resync: fields.take("resync").and_then(|item| resync(cx, &item)).unwrap_or(default.resync),
        restart: fields.take("restart_policy").map(|item| restart_policy(cx, &item)).unwrap_or(default.restart),
    };
    fields.done();
    settings
}

fn resync(cx: &mut Cx<'_>, item: &Item<'_>) -> Option<std::time::Duration> {
    let parse = |text: &str| {
        let resync = crate::load::text::duration(text)?;
        match resync.as_secs() {
            0 => Err("the least is `1s`: every resync lists everything".to_owned()),
            1..=86_400 => Ok(resync),
            _ => Err("the most is `24h`".to_owned()),
        }
    };
    cx.parsed(item, parse).map(|resync| resync.value)
}

fn restart_policy(cx: &mut Cx<'_>, item: &Item<'_>) -> RestartSettings {
    let mut fields = cx.fields(item, &RESTART_POLICY);
    let default = RestartSettings::default();
    let delay = fields.take("delay").and_then(|item| cx.duration(&item));
    let longest = fields.take("max_delay").and_then(|item| cx.period(&item)).unwrap_or(default.max_delay);
    if let Some(delay) = delay.as_ref().filter(|delay| delay.value > longest) {
        let problem = Problem::error("bad-value", delay.place, "`delay` is longer than `max_delay`");
        cx.sink.add(problem.help("the first wait is `delay`; it doubles up to `max_delay`"));
    }
    let exhausted = [("retry", OnExhausted::Retry), ("hold", OnExhausted::Hold)];
    let crash_loop = fields.take("crash_loop").and_then(|item| cx.integer(&item, 1, 1_000));
    let settings = RestartSettings {
        delay: delay.map_or(default.delay, |delay| delay.value),
        max_delay: longest,
        reset_after: fields.take("reset_after").and_then(|item| cx.period(&item)).unwrap_or(default.reset_after),
        crash_loop: crash_loop.and_then(|count| u32::try_from(count).ok()).unwrap_or(default.crash_loop),
        window: fields.take("window").and_then(|item| cx.period(&item)).unwrap_or(default.window),
        on_exhausted: fields
            .take("on_exhausted")
            .and_then(|item| cx.word(&item, &exhausted))
            .unwrap_or(default.on_exhausted),
    };
    fields.done();
    settings
}

/// `external`, with Compose's old mapping form answered.
fn external(cx: &mut Cx<'_>, fields: &mut Fields<'_>) -> bool {
    let Some(item) = fields.take("external") else { return false };
    if let Value::Map(_) = item.node.value {
        let problem = Problem::error("wrong-type", item.place(), "`external` takes `true` or `false`");
        cx.sink.add(problem.label("an old form of Compose").help("write `external: true`, and `name: ...` beside it"));
        return true;
    }
    cx.flag(&item).unwrap_or(false)
}

/// An external thing is somebody else's: nothing but its name can be said of it.
fn external_alone(cx: &mut Cx<'_>, item: &Item<'_>, kind: &str) {
    for (name, place, _) in cx.entries(item).unwrap_or_default() {
        if !matches!(name, "external" | "name") && !name.starts_with("x-") {
            let message = format!("`{name}` says how to make a {kind}, but this one is `external`");
            let help = "remove this line, or the `external: true`";
            cx.sink.add(Problem::error("external-conflict", place, message).help(help));
        }
    }
}

fn network(cx: &mut Cx<'_>, place: Place, item: &Item<'_>) -> NetworkDraft {
    let empty = Node { place, value: Value::Map(Vec::new()) };
    let item = &if item.is_null() { Item::new(item.what.clone(), &empty) } else { item.clone() };
    let mut fields = cx.fields(item, &NETWORK);
    let mut flag = |cx: &mut Cx<'_>, name| fields.take(name).and_then(|item| cx.flag(&item)).unwrap_or(false);
    let (internal, enable_ipv6, attachable) = (flag(cx, "internal"), flag(cx, "enable_ipv6"), flag(cx, "attachable"));
    let opts = fields.take("driver_opts").map(|item| cx.named_texts(&item)).unwrap_or_default();
    let draft = NetworkDraft {
        place,
        name: fields.take("name").and_then(|item| cx.filled(&item)),
        external: external(cx, &mut fields),
        driver: fields.take("driver").and_then(|item| cx.parsed(&item, network_driver)).map(|driver| driver.value),
        driver_opts: opts.into_iter().map(|(name, text)| (name, text.value)).collect(),
        internal,
        enable_ipv6,
        attachable,
        labels: fields.take("labels").map(|item| cx.labels(&item)).unwrap_or_default(),
        subnets: fields.take("ipam").map(|item| ipam(cx, &item)).unwrap_or_default(),
    };
    fields.done();
    if draft.external {
        external_alone(cx, item, "network");
    }
    draft
}

fn network_driver(text: &str) -> Result<String, String> {
    match text {
        "host" | "none" | "null" => Err("this is no network of containers; `network_mode` is not supported by this version".to_owned()),
        "" => Err("write one, as in `bridge`".to_owned()),
        driver => Ok(driver.to_owned()),
    }
}

fn ipam(cx: &mut Cx<'_>, item: &Item<'_>) -> Vec<Spanned<Subnet>> {
    let mut fields = cx.fields(item, &IPAM);
    fields.take("driver").and_then(|item| cx.word(&item, &[("default", ())]));
    let pools = fields.take("config").and_then(|item| cx.items(&item)).unwrap_or_default();
    fields.done();
    pools.iter().filter_map(|pool| subnet(cx, pool)).collect()
}

fn subnet(cx: &mut Cx<'_>, item: &Item<'_>) -> Option<Spanned<Subnet>> {
    let mut fields = cx.fields(item, &IPAM_CONFIG);
    let pool = |text: &str| match crate::load::check::Cidr::parse(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err("write an address and a length, as in `172.28.0.0/16`".to_owned()),
    };
    let address = |text: &str| match text.parse::<std::net::IpAddr>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("write an address, as in `172.28.0.1`".to_owned()),
    };
    let subnet = match fields.take("subnet") {
        Some(item) => cx.parsed(&item, pool),
        None => {
            if matches!(item.node.value, Value::Map(_)) {
                let problem = Problem::error("missing-key", item.place(), "an entry of `ipam.config` needs a `subnet`");
                cx.sink.add(problem.help("write the pool, as in `subnet: 172.28.0.0/16`"));
            }
            None
        }
    };
    let gateway = fields.take("gateway").and_then(|item| cx.parsed(&item, address));
    let ip_range = fields.take("ip_range").and_then(|item| cx.parsed(&item, pool));
    fields.done();
    let Spanned { value, place } = subnet?;
    let text = |text: Option<Spanned<String>>| text.map(|text| text.value);
    Some(Spanned { value: Subnet { subnet: value, gateway: text(gateway), ip_range: text(ip_range) }, place })
}

fn volume(cx: &mut Cx<'_>, place: Place, item: &Item<'_>) -> VolumeDraft {
    let empty = Node { place, value: Value::Map(Vec::new()) };
    let item = &if item.is_null() { Item::new(item.what.clone(), &empty) } else { item.clone() };
    let mut fields = cx.fields(item, &VOLUME);
    let draft = VolumeDraft {
        place,
        name: fields.take("name").and_then(|item| cx.filled(&item)),
        external: external(cx, &mut fields),
        driver: fields.take("driver").and_then(|item| cx.filled(&item)).map(|driver| driver.value),
        driver_opts: fields.take("driver_opts").map(|item| cx.named_texts(&item)).unwrap_or_default(),
        labels: fields.take("labels").map(|item| cx.labels(&item)).unwrap_or_default(),
    };
    fields.done();
    if draft.external {
        external_alone(cx, item, "volume");
    }
    draft
}

/// The nearest of the names that a file gives to its things.
pub(in crate::load) fn did_you_mean<'k>(name: &str, known: impl IntoIterator<Item = &'k String>) -> Option<String> {
    nearest(name, known.into_iter().map(String::as_str)).map(|near| format!("did you mean `{near}`?"))
}
