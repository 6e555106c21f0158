//! One service.

use std::{collections::BTreeSet, path::Path, time::Duration};

use super::{
    Cx, Fields, Item,
    configs::grants,
    environment::{environment, labels},
    files::absolute,
    health::health,
    lint::allowed,
    options::{self, Rarer, Reserved, limits, options},
    ports::ports,
    provider::provider,
    scalar::crop,
    storage::mounts,
    wiring::{depends_on, networks},
};
use crate::{
    load::{
        diagnostic::Problem,
        draft::{Edge, Health, ServiceDraft},
        keys::{DEPLOY, RESOURCES, SERVICE, UPDATE},
        text::{list, nearest, words},
        tree::{Place, Spanned, Value},
    },
    spec::{DependencyCondition, FailureAction, PullPolicy, RestartMode, UpdateOrder, UpdatePolicy},
};

/// Compose's.
const STOP_GRACE: Duration = Duration::from_secs(10);

pub(super) fn service(cx: &mut Cx<'_>, name: &str, place: Place, item: &Item<'_>) -> ServiceDraft {
    let mut fields = cx.fields(item, &SERVICE);
    let is_mapping = matches!(item.node.value, Value::Map(_));
    let places = fields.places();
    // With `network_mode` it is on none of them.
    let is_provided = places.contains_key("provider");
    let has_networks = is_mapping && !places.contains_key("network_mode") && !is_provided;
    let provided = provider(cx, &mut fields, name);
    let (reserved, update) = fields.take("deploy").map(|item| deploy(cx, &item)).unwrap_or_default();
    let limits = limits(cx, &mut fields, &reserved);
    let command_item = fields.take("command");
    let program = command_item.as_ref().and_then(|item| command(cx, item));
    let environment = environment(cx, &mut fields);
    let visible = environment.get("NVIDIA_VISIBLE_DEVICES");
    let Rarer { options, gpus } = options(cx, &mut fields, reserved.devices, visible);
    let draft = ServiceDraft {
        place,
        has_broken_command: program.is_none() && command_item.is_some_and(|item| !is_null(&item)),
        limits,
        update,
        options,
        gpus,
        unit: provided.and_then(Result::ok),
        places,
        image: image(cx, name, place, is_mapping, &mut fields),
        command: program,
        entrypoint: fields.take("entrypoint").and_then(|item| command(cx, &item)),
        environment,
        user: fields.take("user").and_then(|item| cx.parsed(&item, user)).map(|user| user.value),
        labels: labels(cx, &mut fields),
        stop_signal: fields
            .take("stop_signal")
            .and_then(|item| cx.parsed(&item, signal))
            .map(|signal| signal.value),
        stop_grace: fields
            .take("stop_grace_period")
            .and_then(|item| cx.duration(&item))
            .map_or(STOP_GRACE, |grace| grace.value),
        ports: fields.take("ports").map(|item| ports(cx, &item)).unwrap_or_default(),
        mounts: fields.take("volumes").map(|item| mounts(cx, &item)).unwrap_or_default(),
        configs: fields.take("configs").map(|item| grants(cx, &item)).unwrap_or_default(),
        networks: networks(cx, &mut fields, has_networks),
        depends_on: fields.take("depends_on").map(|item| depends_on(cx, &item)).unwrap_or_default(),
        health: fields.take("healthcheck").map_or(Health::Unsaid, |item| health(cx, &item)),
        restart: restart(cx, place, &mut fields),
        pull: fields.take("pull_policy").and_then(|item| pull_policy(cx, &item)),
        container_name: fields.take("container_name").and_then(|item| cx.parsed(&item, container_name)),
        profiles: profiles(cx, &mut fields),
        allow_host_access: fields
            .take("allow_host_access")
            .map(|item| host_access(cx, &item))
            .unwrap_or_default(),
        allowed: allowed(cx, &mut fields),
    };
    fields.done();
    joined(draft)
}

/// Whose namespace one joins comes first, and takes one along when it runs anew: the namespace is then another.
fn joined(mut draft: ServiceDraft) -> ServiceDraft {
    for (key, id) in draft.options.joins() {
        match draft.depends_on.iter_mut().find(|edge| edge.to == id.key()) {
            Some(edge) => (edge.required, edge.restart) = (true, true),
            None => draft.depends_on.push(Edge {
                place: draft.places.get(key).copied().unwrap_or(draft.place),
                to: id.key().to_owned(),
                condition: DependencyCondition::Started,
                required: true,
                restart: true,
            }),
        }
    }
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
        Some(item) if is_no_text(&item) => {
            cx.bad(
                &item,
                "YAML reads this as a number or a boolean: an image is a text, as in `redis:7.4-alpine`",
            );
            None
        }
        Some(item) => cx.parsed(&item, reference),
        None => {
            // What builds, extends or provides the service has been answered already.
            let answered =
                ["image", "build", "extends", "provider"].iter().any(|key| fields.excused.contains(key));
            if is_mapping && !answered && !fields.has("provider") {
                cx.sink.add(
                    Problem::error("missing-key", place, format!("the service `{name}` has no `image`"))
                        .help("write the image to run, as in `image: redis:7.4-alpine`"),
                );
            }
            None
        }
    }
}

/// Written so that YAML takes it for a number or a boolean; Compose refuses it where a text belongs.
fn is_no_text(item: &Item<'_>) -> bool {
    let Value::Scalar(scalar) = &item.node.value else { return false };
    let text = scalar.text.as_str();
    let is_plain = scalar.plain && scalar.written.is_none();
    is_plain && (matches!(text, "true" | "false") || text.parse::<f64>().is_ok_and(f64::is_finite))
}

/// An image reference: `[registry/]path[:tag][@digest]`.
fn reference(text: &str) -> Result<String, String> {
    const FORM: &str = "write it as in `postgres:16-alpine` or `registry.local/app:1.4`";
    if text.is_empty() || text.chars().any(|c| c.is_whitespace() || c.is_control() || !c.is_ascii()) {
        return Err(FORM.to_owned());
    }
    let (name, digest) = text.split_once('@').map_or((text, None), |(name, digest)| (name, Some(digest)));
    if digest.is_some_and(|digest| digest.split_once(':').is_none_or(|(_, hex)| hex.len() < 32)) {
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
    if parts.len() > 1 && (parts[0].contains(['.', ':']) || parts[0].chars().any(|c| c.is_ascii_uppercase()))
    {
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

fn is_null(item: &Item<'_>) -> bool {
    matches!(&item.node.value, Value::Scalar(scalar) if scalar.is_null())
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

fn user(text: &str) -> Result<String, String> {
    let part =
        |part: &str| !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c == ':' || c == '\0');
    let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    if part(user) && group.is_none_or(part) {
        Ok(text.to_owned())
    } else {
        Err("write a user, or `user:group`, by name or number".to_owned())
    }
}

fn signal(text: &str) -> Result<String, String> {
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
        "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
        "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
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
        Err("it starts with a letter or digit; letters, digits, `_`, `.` and `-` follow, one at least"
            .to_owned())
    }
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
    if mode.is_some() && !fields.has("provider") {
        let message = "`restart` is carried out by aiplatd; the engine's own policy is `no`";
        cx.sink.add(Problem::note("restart", item.place(), message));
    }
    mode.unwrap_or(Spanned { value: RestartMode::Default, place: item.place() })
}

fn pull_policy(cx: &mut Cx<'_>, item: &Item<'_>) -> Option<Spanned<PullPolicy>> {
    let later =
        |text: &str| matches!(text, "daily" | "weekly" | "refresh" | "build") || text.starts_with("every_");
    if let Value::Scalar(scalar) = &item.node.value
        && later(&scalar.text)
    {
        let message = format!("`pull_policy: {}` is not supported by this version", crop(&scalar.text));
        cx.sink.add(
            Problem::error("not-supported", item.place(), message)
                .help("write `always`, `missing` or `never`"),
        );
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

fn deploy(cx: &mut Cx<'_>, item: &Item<'_>) -> (Reserved, UpdatePolicy) {
    let mut fields = cx.fields(item, &DEPLOY);
    if let Some(replicas) = fields.take("replicas") {
        let one = |text: &str| match text {
            "1" => Ok(()),
            _ => Err("a service is one container: write one service for each copy".to_owned()),
        };
        cx.parsed(&replicas, one);
    }
    let reserved = fields.take("resources").map(|item| {
        let mut fields = cx.fields(&item, &RESOURCES);
        let reserved = Reserved::read(cx, fields.take("limits"), fields.take("reservations"));
        fields.done();
        reserved
    });
    let update = fields.take("update_config").map(|item| update(cx, &item));
    fields.done();
    (reserved.unwrap_or_default(), update.unwrap_or_default())
}

fn update(cx: &mut Cx<'_>, item: &Item<'_>) -> UpdatePolicy {
    let mut fields = cx.fields(item, &UPDATE);
    let action = |text: &str| match text {
        "rollback" => Ok(FailureAction::Rollback),
        "pause" | "continue" => Ok(FailureAction::Pause),
        _ => Err("write `rollback` or `pause`".to_owned()),
    };
    let order = |text: &str| match text {
        "stop-first" => Ok(UpdateOrder::StopFirst),
        "start-first" => Ok(UpdateOrder::StartFirst),
        _ => Err("write `stop-first` or `start-first`".to_owned()),
    };
    let default = UpdatePolicy::default();
    let policy = UpdatePolicy {
        failure_action: fields
            .take("failure_action")
            .and_then(|item| cx.parsed(&item, action))
            .map(|action| action.value),
        monitor: fields
            .take("monitor")
            .and_then(|item| cx.duration(&item))
            .map_or(default.monitor, |monitor| monitor.value),
        order: fields
            .take("order")
            .and_then(|item| cx.parsed(&item, order))
            .map_or(default.order, |it| it.value),
    };
    fields.done();
    policy
}

fn profiles(cx: &mut Cx<'_>, fields: &mut Fields<'_>) -> Vec<Spanned<String>> {
    let Some(item) = fields.take("profiles") else { return Vec::new() };
    let mut seen = BTreeSet::new();
    let profiles = cx.strings(&item).unwrap_or_default();
    profiles
        .into_iter()
        .filter(|profile| cx.is_profile(profile) && seen.insert(profile.value.clone()))
        .collect()
}

/// What is allowed beyond the paths of the host; `cap:NAME` besides.
pub(in crate::load) const POWERS: [&str; 9] = [
    "privileged",
    "host-network",
    "host-pid",
    "host-ipc",
    "host-uts",
    "host-userns",
    "host-cgroup",
    "device-rules",
    "unconfined",
];

fn host_access(cx: &mut Cx<'_>, item: &Item<'_>) -> Vec<Spanned<String>> {
    let parse = |text: &str| {
        if text.starts_with('/') {
            return Ok(absolute(Path::new("/"), text).to_string_lossy().into_owned());
        }
        if let Some(capability) = text.strip_prefix("cap:") {
            return options::capability(capability).map(|name| format!("cap:{name}"));
        }
        if POWERS.contains(&text) {
            return Ok(text.to_owned());
        }
        Err(match nearest(text, POWERS) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("write an absolute path of the host, `cap:NAME`, or one of {}", list(&POWERS)),
        })
    };
    cx.items(item).unwrap_or_default().iter().filter_map(|item| cx.parsed(item, parse)).collect()
}
