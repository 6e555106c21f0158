//! `healthcheck:`.

use std::{collections::BTreeMap, time::Duration};

use super::{Cx, Fields, Item};
use crate::{
    load::{
        diagnostic::Problem,
        draft::Health,
        keys::{HEALTHCHECK, HTTP, TCP},
        tree::{Spanned, Value},
    },
    spec::{HttpProbe, ProbeKind, ProbeSpec, Scheme},
};

/// Compose's.
const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(30);
const RETRIES: u32 = 3;

/// What `test` asks for.
enum Test {
    None,
    Exec(Vec<String>),
}

pub(super) fn health(cx: &mut Cx<'_>, item: &Item<'_>) -> Health {
    let mut fields = cx.fields(item, &HEALTHCHECK);
    let disable = fields.take("disable").map(|item| cx.flag(&item));
    // Something was said about it, if not in a form that is read.
    let answered = !fields.excused.is_empty() || matches!(disable, Some(None));
    let kinds = probe_kinds(&mut fields);
    let interval = fields.take("interval").map_or(Some(INTERVAL), |item| cx.period(&item));
    let timeout = fields.take("timeout").map_or(Some(TIMEOUT), |item| cx.period(&item));
    let retries = fields.take("retries").map_or(Some(3), |item| cx.integer(&item, 1, 1_000));
    let start_period =
        fields.take("start_period").map_or(Some(Duration::ZERO), |it| cx.duration(&it).map(|d| d.value));
    start_interval(cx, &mut fields);
    fields.done();
    if disable == Some(Some(true)) {
        return Health::Off(item.place());
    }
    if let [first, second, ..] = kinds.as_slice() {
        cx.sink.add(
            Problem::error("several-probes", second.place(), "a healthcheck asks one thing")
                .label("a second probe")
                .also(first.place(), "the first")
                .help("keep the one that says best whether the service can do its work"),
        );
        return Health::Broken;
    }
    let Some(kind) = kinds.first() else {
        if !answered && !matches!(item.node.value, Value::Broken | Value::Scalar(_) | Value::Seq(_)) {
            cx.sink.add(
                Problem::error("no-probe", item.place(), "the healthcheck says nothing about what to ask")
                    .help(
                        "add `http: {port: 8080, path: /health}`, `tcp: {port: 5432}` or `test: [CMD, ...]`",
                    )
                    .help("to switch off the image's own check, write `disable: true`"),
            );
        }
        return Health::Broken;
    };
    let kind = match probe(cx, kind) {
        Some(Probe::Kind(kind)) => kind,
        Some(Probe::Off) => return Health::Off(kind.place()),
        None => return Health::Broken,
    };
    match (interval, timeout, retries, start_period) {
        (Some(interval), Some(timeout), Some(retries), Some(start_period)) => Health::Probe(ProbeSpec {
            kind,
            interval,
            timeout,
            retries: u32::try_from(retries).unwrap_or(RETRIES),
            start_period,
        }),
        _ => Health::Broken,
    }
}

fn probe_kinds<'n>(fields: &mut Fields<'n>) -> Vec<Item<'n>> {
    ["test", "http", "tcp"].into_iter().filter_map(|name| fields.take(name)).collect()
}

fn start_interval(cx: &mut Cx<'_>, fields: &mut Fields<'_>) {
    let Some(item) = fields.take("start_interval") else { return };
    if cx.period(&item).is_some() {
        cx.sink.add(Problem::note(
            "start-interval",
            item.place(),
            "`start_interval` has no effect: aiplatd probes a starting service from 5 ms on, less and less often",
        ));
    }
}

enum Probe {
    Kind(ProbeKind),
    Off,
}

fn probe(cx: &mut Cx<'_>, item: &Item<'_>) -> Option<Probe> {
    match item.what.as_ref() {
        "`http`" => http(cx, item).map(|http| Probe::Kind(ProbeKind::Http(http))),
        "`tcp`" => {
            let mut fields = cx.fields(item, &TCP);
            let port = required_port(cx, &mut fields, item);
            fields.done();
            port.map(|port| Probe::Kind(ProbeKind::Tcp { port }))
        }
        _ => match test(cx, item)? {
            Test::None => Some(Probe::Off),
            Test::Exec(argv) => {
                cx.sink.add(Problem::note(
                    "healthcheck-test",
                    item.place(),
                    "`test` is run by aiplatd, and the engine's own check is switched off",
                ));
                Some(Probe::Kind(ProbeKind::Exec { argv }))
            }
        },
    }
}

fn required_port(cx: &mut Cx<'_>, fields: &mut Fields<'_>, item: &Item<'_>) -> Option<u16> {
    match fields.take("port") {
        Some(port) => cx.port(&port),
        None => {
            if matches!(item.node.value, Value::Map(_)) {
                cx.sink.add(
                    Problem::error("missing-key", item.place(), format!("{} needs a `port`", item.what))
                        .help("write the port inside the container, as in `port: 8080`; it need not be published"),
                );
            }
            None
        }
    }
}

fn test(cx: &mut Cx<'_>, item: &Item<'_>) -> Option<Test> {
    // Compose's `CMD-SHELL` means the container's own shell; nothing of ours runs one on the host.
    let argv = |script: &str| vec!["/bin/sh".to_owned(), "-c".to_owned(), script.to_owned()]; // gate: shell: in the container
    let shell = |script: &str| Test::Exec(argv(script));
    if matches!(item.node.value, Value::Scalar(_)) {
        return cx.filled(item).map(|script| shell(&script.value));
    }
    let words = cx.strings(item)?;
    let complaint = match words.split_first() {
        Some((first, rest)) => match (first.value.as_str(), rest) {
            ("NONE", []) => return Some(Test::None),
            ("CMD", [_, ..]) => {
                return Some(Test::Exec(rest.iter().map(|word| word.value.clone()).collect()));
            }
            ("CMD-SHELL", [script]) => return Some(shell(&script.value)),
            ("CMD-SHELL", [_, _, ..]) => "after `CMD-SHELL` comes one text; quote the whole command",
            ("CMD" | "CMD-SHELL", []) => "the command is missing",
            ("NONE", [_, ..]) => "nothing can follow `NONE`",
            _ => "a list starts with `CMD`, `CMD-SHELL` or `NONE`",
        },
        None => "the list is empty",
    };
    let place = words.first().map_or(item.place(), |word| word.place);
    cx.sink.add(
        Problem::error("bad-test", place, "`test` does not say how to run its command")
            .label(complaint)
            .help("write `test: [CMD, curl, -f, http://localhost]`, or `test: [CMD-SHELL, \"curl -f http://localhost || exit 1\"]`"),
    );
    None
}

fn http(cx: &mut Cx<'_>, item: &Item<'_>) -> Option<HttpProbe> {
    let mut fields = cx.fields(item, &HTTP);
    let port = required_port(cx, &mut fields, item);
    let path = match fields.take("path") {
        Some(path) => cx.parsed(&path, http_path).map(|path| path.value),
        None => Some("/".to_owned()),
    };
    let methods = ["GET", "HEAD", "POST", "PUT", "OPTIONS"].map(|method| (method, method));
    let method = fields.take("method").map_or(Some("GET"), |item| cx.word(&item, &methods));
    let host = fields.take("host").and_then(|item| cx.parsed(&item, header_value));
    let headers = fields.take("headers").map(|item| headers(cx, &item)).unwrap_or_default();
    let status =
        fields.take("status").map_or(Some((200, 399)), |item| cx.parsed(&item, status).map(|s| s.value));
    let scheme = fields.take("scheme").map_or(Some(Scheme::Http), |item| scheme(cx, &item));
    fields.done();
    Some(HttpProbe {
        scheme: scheme?,
        port: port?,
        path: path?,
        method: method?.to_owned(),
        host: host.map(|host| host.value),
        headers,
        status: status?,
    })
}

fn scheme(cx: &mut Cx<'_>, item: &Item<'_>) -> Option<Scheme> {
    if let Value::Scalar(scalar) = &item.node.value
        && scalar.text == "https"
    {
        let message = "`scheme: https` is not supported by this version";
        cx.sink.add(
            Problem::error("not-supported", item.place(), message)
                .help("write `tcp: {port: 443}` until then"),
        );
        return None;
    }
    cx.word(item, &[("http", Scheme::Http)])
}

fn http_path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err("a path starts with `/`".to_owned());
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control() || !c.is_ascii()) {
        return Err("write spaces and other characters percent-encoded, as in `%20`".to_owned());
    }
    Ok(text.to_owned())
}

fn header_value(text: &str) -> Result<String, String> {
    let fits = !text.is_empty() && text.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte));
    if fits { Ok(text.to_owned()) } else { Err("a header is one line of ASCII".to_owned()) }
}

fn headers(cx: &mut Cx<'_>, item: &Item<'_>) -> BTreeMap<String, String> {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let mut headers = BTreeMap::new();
    for (name, Spanned { value, place }) in cx.named_texts(item) {
        if name.is_empty() || !name.chars().all(token) {
            let message = format!("`{}` cannot be the name of a header", super::scalar::crop(&name));
            cx.sink.add(
                Problem::error("bad-value", place, message).help("write one as in `Accept` or `X-Probe`"),
            );
        } else if let Err(reason) = header_value(&value) {
            cx.sink.add(
                Problem::error("bad-value", place, format!("the header `{name}` goes wrong")).label(reason),
            );
        } else {
            headers.insert(name, value);
        }
    }
    headers
}

fn status(text: &str) -> Result<(u16, u16), String> {
    let code = |text: &str| text.trim().parse::<u16>().ok().filter(|code| (100..=599).contains(code));
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    match (code(from), code(to)) {
        (Some(from), Some(to)) if from <= to => Ok((from, to)),
        _ => Err("write a code or a range, as in `200` or `200-299`".to_owned()),
    }
}
