//! One service.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    Cx, Fields, Item,
    files::{Content, absolute},
    health::health,
    ports::ports,
    scalar::{Pair, crop},
    storage::mounts,
};
use crate::{
    load::{
        diagnostic::Problem,
        draft::{AttachmentDraft, Edge, Health, ServiceDraft},
        env,
        keys::{ATTACHMENT, DEPENDENCY, DEPLOY, ENV_FILE, LIMITS, RESOURCES, SERVICE},
        text::{ByteSize, nano_cpus, words},
        tree::{Place, Spanned, Value},
    },
    spec::{DependencyCondition, Limits, PullPolicy, RestartMode},
};

/// Compose's.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// The engine refuses less.
const MEMORY_MIN: i64 = 6 << 20;

pub(super) fn service(cx: &mut Cx<'_>, name: &str, place: Place, item: &Item<'_>) -> ServiceDraft {
    let mut fields = cx.fields(item, &SERVICE);
    let is_mapping = matches!(item.node.value, Value::Map(_));
    let draft = ServiceDraft {
        place,
        image: image(cx, name, place, is_mapping, &mut fields),
        command: fields.take("command").and_then(|item| command(cx, &item)),
        entrypoint: fields.take("entrypoint").and_then(|item| command(cx, &item)),
        environment: environment(cx, &mut fields),
        user: fields.take("user").and_then(|item| cx.parsed(&item, user)).map(|user| user.value),
        labels: fields.take("labels").map(|item| cx.labels(&item)).unwrap_or_default(),
        stop_signal: fields.take("stop_signal").and_then(|item| cx.parsed(&item, signal)).map(|signal| signal.value),
        stop_grace: fields
            .take("stop_grace_period")
            .and_then(|item| cx.duration(&item))
            .map_or(STOP_GRACE, |grace| grace.value),
        ports: fields.take("ports").map(|item| ports(cx, &item)).unwrap_or_default(),
        mounts: fields.take("volumes").map(|item| mounts(cx, &item)).unwrap_or_default(),
        networks: networks(cx, &mut fields, is_mapping),
        depends_on: fields.take("depends_on").map(|item| depends_on(cx, &item)).unwrap_or_default(),
        health: fields.take("healthcheck").map_or(Health::Unsaid, |item| health(cx, &item)),
        restart: restart(cx, place, &mut fields),
        pull: fields.take("pull_policy").and_then(|item| pull_policy(cx, &item)),
        container_name: fields.take("container_name").and_then(|item| cx.parsed(&item, container_name)),
        limits: fields.take("deploy").map(|item| deploy(cx, &item)).unwrap_or_default(),
        profiles: profiles(cx, &mut fields),
        allow_host_access: fields.take("allow_host_access").map(|item| host_paths(cx, &item)).unwrap_or_default(),
    };
    fields.done();
    draft
}

fn image(
    cx: &mut Cx<'_>,
    name: &str,
    place: Place,
    is_mapping: bool,
    fields: &mut Fields<'_>,
) -> Option<Spanned<String>> {
    match fields.take("image") {
        Some(item) => cx.parsed(&item, reference),
        None => {
            // What builds, extends or provides the service has been answered already.
            let answered = ["image", "build", "extends", "provider"].iter().any(|key| fields.excused.contains(key));
            if is_mapping && !answered {
                cx.sink.add(
                    Problem::error("missing-key", place, format!("the service `{name}` has no `image`"))
                        .help("write the image to run, as in `image: redis:7.4-alpine`"),
                );
            }
            None
        }
    }
}

/// An image reference: `[registry/]path[:tag][@digest]`.
fn reference(text: &str) -> Result<String, String> {
    const FORM: &str = "write it as in `postgres:16-alpine` or `registry.local/app:1.4`";
    if text.is_empty() || text.chars().any(|c| c.is_whitespace() || c.is_control() || !c.is_ascii()) {
        return Err(FORM.to_owned());
    }
    let (name, digest) = text.split_once('@').map_or((text, None), |(name, digest)| (name, Some(digest)));
    if digest.is_some_and(|digest| !digest.split_once(':').is_some_and(|(_, hex)| hex.len() >= 32)) {
        return Err("after the `@` comes a digest, as in `@sha256:...`".to_owned());
    }
    let path_start = name.rfind('/').map_or(0, |slash| slash + 1);
    let (repository, tag) = match name[path_start..].split_once(':') {
        Some((last, tag)) => (&name[..path_start + last.len()], Some(tag)),
        None => (name, None),
    };
    let tag_fits = |tag: &str| {
        (1..=128).contains(&tag.len())
            && !tag.starts_with(['.', '-'])
            && tag.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
    };
    if tag.is_some_and(|tag| !tag_fits(tag)) {
        return Err("the tag after the `:` is made of letters, digits, `_`, `.` and `-`".to_owned());
    }
    let mut parts: Vec<&str> = repository.split('/').collect();
    if parts.len() > 1 && (parts[0].contains(['.', ':']) || parts[0].chars().any(|c| c.is_ascii_uppercase())) {
        parts.remove(0); // The registry: a host name, which may hold capitals and a port.
    }
    let path_fits = |part: &&str| {
        part.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.-".contains(c))
    };
    if parts.iter().any(|part| part.chars().any(|c| c.is_ascii_uppercase())) {
        return Err("the name of an image is in lower case".to_owned());
    }
    if parts.iter().all(path_fits) { Ok(text.to_owned()) } else { Err(FORM.to_owned()) }
}

fn command(cx: &mut Cx<'_>, item: &Item<'_>) -> Option<Vec<String>> {
    match &item.node.value {
        Value::Scalar(scalar) if scalar.is_null() => None,
        Value::Scalar(_) => cx.parsed(item, words).map(|words| words.value),
        Value::Seq(_) | Value::Map(_) | Value::Broken => {
            let words = cx.strings(item)?;
            Some(words.into_iter().map(|word| word.value).collect())
        }
    }
}

/// `env_file` in order, then `environment`.
fn environment(cx: &mut Cx<'_>, fields: &mut Fields<'_>) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::new();
    for item in fields.take("env_file").map(|item| env_files(cx, item)).unwrap_or_default() {
        env_file(cx, &item, &mut environment);
    }
    for Pair { name, value, place } in fields.take("environment").map(|item| cx.pairs(&item)).unwrap_or_default() {
        if name.is_empty() || name.contains(|c: char| c == '=' || c == '\0' || c.is_whitespace()) {
            let message = format!("`{}` cannot be the name of a variable", crop(name));
            cx.sink.add(Problem::error("bad-value", place, message).help("write `NAME: value`, or `- NAME=value`"));
            continue;
        }
        match value {
            Some(value) => drop(environment.insert(name.to_owned(), value)),
            None => match cx.variables.known.get(name) {
                Some(known) => drop(environment.insert(name.to_owned(), known.value.clone())),
                None => {
                    environment.remove(name);
                    cx.sink.add(
                        Problem::warning("variable-undefined", place, format!("`{name}` has no value and is left out"))
                            .because("a name alone takes its value from the env file of the platform, never from the environment of the daemon")
                            .help(format!("write a value; an empty one is `{name}: \"\"`")),
                    );
                }
            },
        }
    }
    environment
}

fn env_files<'n>(cx: &mut Cx<'_>, item: Item<'n>) -> Vec<Item<'n>> {
    match &item.node.value {
        Value::Scalar(_) => vec![item],
        Value::Seq(_) | Value::Map(_) | Value::Broken => cx.items(&item).unwrap_or_default(),
    }
}

fn env_file(cx: &mut Cx<'_>, item: &Item<'_>, environment: &mut BTreeMap<String, String>) {
    let (path, required, raw) = match &item.node.value {
        Value::Map(_) => {
            let mut fields = cx.fields(item, &ENV_FILE);
            let path = match fields.take("path") {
                Some(path) => cx.filled(&path),
                None => {
                    let problem = Problem::error("missing-key", item.place(), "an entry of `env_file` needs a `path`");
                    cx.sink.add(problem.help("write the file, relative to this one"));
                    None
                }
            };
            let required = fields.take("required").and_then(|item| cx.flag(&item)).unwrap_or(true);
            let raw = fields.take("format").and_then(|item| cx.word(&item, &[("raw", true)])).unwrap_or(false);
            fields.done();
            (path, required, raw)
        }
        Value::Scalar(_) | Value::Seq(_) | Value::Broken => (cx.filled(item), true, false),
    };
    let Some(Spanned { value, place }) = path else { return };
    let path = absolute(cx.folder, &value);
    let file = match cx.reader.read(cx.files, &path, Some(place), cx.sink) {
        Content::Text(file) => file,
        Content::Bad => return,
        Content::Missing => {
            if required {
                cx.sink.add(missing_file(&path, place).help("make the file, or write `{path: ..., required: false}`"));
            }
            return;
        }
    };
    let lines = if raw {
        env::parse_raw(file, &cx.reader.sources, cx.sink)
    } else {
        env::parse(file, &cx.reader.sources, &cx.variables.known, cx.sink)
    };
    for line in lines {
        match line.value.or_else(|| cx.variables.known.get(&line.name).cloned()) {
            Some(variable) => drop(environment.insert(line.name, variable.value)),
            None => drop(environment.remove(&line.name)),
        }
    }
}

pub(super) fn missing_file(path: &std::path::Path, place: Place) -> Problem {
    Problem::error("file-missing", place, format!("{} does not exist", path.display()))
}

fn user(text: &str) -> Result<String, String> {
    let part = |part: &str| !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c == ':' || c == '\0');
    let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    if part(user) && group.is_none_or(part) {
        Ok(text.to_owned())
    } else {
        Err("write a user, or `user:group`, by name or number".to_owned())
    }
}

fn signal(text: &str) -> Result<String, String> {
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
        "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF",
        "WINCH", "IO", "PWR", "SYS",
    ];
    let name = text.strip_prefix("SIG").unwrap_or(text);
    let is_number = text.parse::<u8>().is_ok_and(|number| (1..=64).contains(&number));
    if is_number || NAMES.contains(&name) || name.starts_with("RTMIN") || name.starts_with("RTMAX") {
        Ok(text.to_owned())
    } else {
        Err("write a signal, as in `SIGTERM` or `SIGINT`".to_owned())
    }
}

fn container_name(text: &str) -> Result<String, String> {
    let first = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    let rest = text.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    if first && rest && text.len() > 1 {
        Ok(text.to_owned())
    } else {
        Err("it starts with a letter or digit; letters, digits, `_`, `.` and `-` follow".to_owned())
    }
}

/// `None` where it could not be read; empty where nothing is said.
fn networks(cx: &mut Cx<'_>, fields: &mut Fields<'_>, is_mapping: bool) -> Option<Vec<AttachmentDraft>> {
    let Some(item) = fields.take("networks") else {
        let elsewhere = ["networks", "network_mode", "extends"].iter().any(|key| fields.excused.contains(key));
        return if is_mapping && !elsewhere { Some(Vec::new()) } else { None };
    };
    let plain = |network: String, place: Place| AttachmentDraft {
        place,
        network,
        aliases: Vec::new(),
        ipv4_address: None,
        ipv6_address: None,
    };
    if let Value::Map(_) = item.node.value {
        let mut attachments = Vec::new();
        for (name, place, node) in cx.entries(&item)? {
            let inner = Item::new(format!("`{name}`"), node);
            attachments.push(if inner.is_null() {
                plain(name.to_owned(), place)
            } else {
                attachment(cx, plain(name.to_owned(), place), &inner)
            });
        }
        return Some(attachments);
    }
    let names = cx.distinct(&item)?;
    Some(names.into_iter().map(|name| plain(name.value, name.place)).collect())
}

fn attachment(cx: &mut Cx<'_>, plain: AttachmentDraft, item: &Item<'_>) -> AttachmentDraft {
    let mut fields = cx.fields(item, &ATTACHMENT);
    let aliases = fields.take("aliases").and_then(|item| cx.distinct(&item)).unwrap_or_default();
    let v4 = |text: &str| match text.parse::<std::net::Ipv4Addr>() {
        Ok(address) => Ok(address.to_string()),
        Err(_) => Err("write an IPv4 address, as in `172.28.0.10`".to_owned()),
    };
    let v6 = |text: &str| match text.parse::<std::net::Ipv6Addr>() {
        Ok(address) => Ok(address.to_string()),
        Err(_) => Err("write an IPv6 address, as in `fd00::10`".to_owned()),
    };
    let attachment = AttachmentDraft {
        aliases: aliases.into_iter().map(|alias| alias.value).collect(),
        ipv4_address: fields.take("ipv4_address").and_then(|item| cx.parsed(&item, v4)),
        ipv6_address: fields.take("ipv6_address").and_then(|item| cx.parsed(&item, v6)),
        ..plain
    };
    fields.done();
    attachment
}

fn depends_on(cx: &mut Cx<'_>, item: &Item<'_>) -> Vec<Edge> {
    if let Value::Map(_) = item.node.value {
        let mut edges = Vec::new();
        for (name, place, node) in cx.entries(item).unwrap_or_default() {
            edges.extend(edge(cx, name, place, &Item::new(format!("`{name}`"), node)));
        }
        return edges;
    }
    let started = |name: Spanned<String>| Edge {
        place: name.place,
        to: name.value,
        condition: DependencyCondition::Started,
        required: true,
        restart: false,
    };
    cx.distinct(item).unwrap_or_default().into_iter().map(started).collect()
}

fn edge(cx: &mut Cx<'_>, name: &str, place: Place, item: &Item<'_>) -> Option<Edge> {
    const HELP: &str = "write `condition: service_healthy`, `service_started` or `service_completed_successfully`";
    let words = [
        ("service_started", DependencyCondition::Started),
        ("service_healthy", DependencyCondition::Healthy),
        ("service_completed_successfully", DependencyCondition::CompletedSuccessfully),
    ];
    let mut fields = cx.fields(item, &DEPENDENCY);
    let condition = match fields.take("condition") {
        Some(condition) => cx.word(&condition, &words),
        None => {
            if matches!(item.node.value, Value::Map(_)) {
                let message = format!("the dependency on `{name}` has no `condition`");
                cx.sink.add(Problem::error("missing-key", place, message).help(HELP));
            }
            None
        }
    };
    let required = fields.take("required").and_then(|item| cx.flag(&item)).unwrap_or(true);
    let restart = match fields.take("restart") {
        Some(item) => {
            let restart = cx.flag(&item).unwrap_or(false);
            if restart {
                let message = "`restart: true` holds for crashes too (in Compose: for its own commands only)";
                cx.sink.add(Problem::note("depends-on-restart", item.place(), message));
            }
            restart
        }
        None => false,
    };
    fields.done();
    // Without a condition it is an edge all the same: unknown names and cycles are worth saying at once.
    let condition = condition.unwrap_or(DependencyCondition::Started);
    Some(Edge { place, to: name.to_owned(), condition, required, restart })
}

fn restart(cx: &mut Cx<'_>, service: Place, fields: &mut Fields<'_>) -> Spanned<RestartMode> {
    let Some(item) = fields.take("restart") else {
        return Spanned { value: RestartMode::Default, place: service };
    };
    let parse = |text: &str| match text {
        "no" | "false" => Ok(RestartMode::No),
        "always" | "unless-stopped" => Ok(RestartMode::Always),
        "on-failure" => Ok(RestartMode::OnFailure(None)),
        "true" => Err("write `always`".to_owned()),
        other => match other.strip_prefix("on-failure:") {
            Some(times) => match times.parse::<u32>() {
                Ok(times) if times > 0 => Ok(RestartMode::OnFailure(Some(times))),
                _ => Err("after `on-failure:` comes how often, as in `on-failure:5`".to_owned()),
            },
            None => Err("write `no`, `always`, `unless-stopped`, `on-failure` or `on-failure:5`".to_owned()),
        },
    };
    let mode = cx.parsed(&item, parse);
    if mode.is_some() {
        let message = "`restart` is carried out by aiplatd; the engine's own policy is `no`";
        cx.sink.add(Problem::note("restart", item.place(), message));
    }
    mode.unwrap_or(Spanned { value: RestartMode::Default, place: item.place() })
}

fn pull_policy(cx: &mut Cx<'_>, item: &Item<'_>) -> Option<Spanned<PullPolicy>> {
    let later = |text: &str| {
        matches!(text, "daily" | "weekly" | "refresh" | "build") || text.starts_with("every_")
    };
    if let Value::Scalar(scalar) = &item.node.value
        && later(&scalar.text)
    {
        let message = format!("`pull_policy: {}` is not supported by this version", crop(&scalar.text));
        cx.sink.add(Problem::error("not-supported", item.place(), message).help("write `always`, `missing` or `never`"));
        return None;
    }
    let words = [
        ("always", PullPolicy::Always),
        ("missing", PullPolicy::Missing),
        ("if_not_present", PullPolicy::Missing),
        ("never", PullPolicy::Never),
    ];
    let value = cx.word(item, &words)?;
    if value == PullPolicy::Always {
        let message = "`always` pulls at a start and after an edit, never in a loop";
        cx.sink.add(Problem::note("pull-policy", item.place(), message));
    }
    Some(Spanned { value, place: item.place() })
}

fn deploy(cx: &mut Cx<'_>, item: &Item<'_>) -> Limits {
    let mut fields = cx.fields(item, &DEPLOY);
    if let Some(replicas) = fields.take("replicas") {
        let one = |text: &str| match text {
            "1" => Ok(()),
            _ => Err("a service is one container: write one service for each copy".to_owned()),
        };
        cx.parsed(&replicas, one);
    }
    let limits = fields.take("resources").map(|item| {
        let mut fields = cx.fields(&item, &RESOURCES);
        let limits = fields.take("limits").map(|item| limits(cx, &item));
        fields.done();
        limits.unwrap_or_default()
    });
    fields.done();
    limits.unwrap_or_default()
}

fn limits(cx: &mut Cx<'_>, item: &Item<'_>) -> Limits {
    let mut fields = cx.fields(item, &LIMITS);
    let memory = |text: &str| match text.parse::<ByteSize>()?.0 {
        bytes if (1..MEMORY_MIN).contains(&bytes) => Err("the engine refuses less than `6m`".to_owned()),
        bytes => Ok(bytes),
    };
    // Compose writes "no limit" as -1; so does the engine.
    let pids = fields.take("pids").and_then(|item| cx.integer(&item, -1, i64::from(u32::MAX)));
    let limits = Limits {
        memory: fields.take("memory").and_then(|item| cx.parsed(&item, memory)).map_or(0, |memory| memory.value),
        nano_cpus: fields.take("cpus").and_then(|item| cx.parsed(&item, nano_cpus)).map_or(0, |cpus| cpus.value),
        pids: pids.unwrap_or_default().max(0),
    };
    fields.done();
    limits
}

fn profiles(cx: &mut Cx<'_>, fields: &mut Fields<'_>) -> Vec<Spanned<String>> {
    let Some(item) = fields.take("profiles") else { return Vec::new() };
    let mut seen = BTreeSet::new();
    let profiles = cx.strings(&item).unwrap_or_default();
    profiles.into_iter().filter(|profile| cx.is_profile(profile) && seen.insert(profile.value.clone())).collect()
}

impl Cx<'_> {
    pub(super) fn is_profile(&mut self, profile: &Spanned<String>) -> bool {
        let first = profile.value.starts_with(|c: char| c.is_ascii_alphanumeric());
        let fits = first && profile.value.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
        if !fits {
            let message = format!("`{}` cannot be the name of a profile", crop(&profile.value));
            let help = "it starts with a letter or digit; letters, digits, `_`, `.` and `-` follow";
            self.sink.add(Problem::error("bad-name", profile.place, message).help(help));
        }
        fits
    }
}

fn host_paths(cx: &mut Cx<'_>, item: &Item<'_>) -> Vec<Spanned<String>> {
    let parse = |text: &str| {
        if text.starts_with('/') {
            Ok(absolute(std::path::Path::new("/"), text).to_string_lossy().into_owned())
        } else {
            Err("write an absolute path of the host".to_owned())
        }
    };
    cx.items(item).unwrap_or_default().iter().filter_map(|item| cx.parsed(item, parse)).collect()
}
