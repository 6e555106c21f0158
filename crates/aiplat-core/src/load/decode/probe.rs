//! What one probe asks.

use std::collections::BTreeMap;

use super::{Cx, Fields, Item, files::absolute};
use crate::{
    load::{
        diagnostic::Problem,
        keys::{EXEC, HTTP, POSTGRES, REDIS, TCP, TLS},
        tree::{Place, Spanned, Value},
    },
    spec::{HttpProbe, Password, PostgresProbe, ProbeKind, RedisProbe, Scheme, Trust},
};

/// What a probe comes to.
pub(super) enum Asked {
    Kind(ProbeKind),
    /// `test: [NONE]`.
    Off(Place),
}

/// What `test` asks for.
enum Test {
    None,
    Exec(Vec<String>),
}

/// The one thing that is asked. `None`: nothing, or it could not be read, which has then been said.
pub(super) fn asked(cx: &mut Cx<'_>, kinds: &[Item<'_>]) -> Option<Asked> {
    if let [first, second, ..] = kinds {
        cx.sink.add(
            Problem::error("several-probes", second.place(), "a healthcheck asks one thing")
                .label("a second probe")
                .also(first.place(), "the first")
                .help("keep the one that says best whether the service can do its work"),
        );
        return None;
    }
    let item = kinds.first()?;
    let kind = match item.what.as_ref() {
        "`http`" => http(cx, item, Scheme::Http).map(ProbeKind::Http),
        "`https`" => http(cx, item, Scheme::Https(Trust::Anyone)).map(ProbeKind::Http),
        "`tcp`" => tcp(cx, item),
        "`redis`" => redis(cx, item).map(ProbeKind::Redis),
        "`postgres`" => postgres(cx, item).map(ProbeKind::Postgres),
        "`exec`" => exec(cx, item),
        _ => match test(cx, item)? {
            Test::None => return Some(Asked::Off(item.place())),
            Test::Exec(argv) => {
                cx.sink.add(Problem::note(
                    "healthcheck-test",
                    item.place(),
                    "`test` is run by aiplatd, and the engine's own check is switched off",
                ));
                Some(ProbeKind::Exec { argv })
            }
        },
    };
    kind.map(Asked::Kind)
}

/// `test` in the engine's own words.
pub(super) fn engine_test(cx: &mut Cx<'_>, item: &Item<'_>) -> Option<Vec<String>> {
    test(cx, item)?;
    match &item.node.value {
        Value::Scalar(scalar) => Some(vec!["CMD-SHELL".to_owned(), scalar.text.clone()]),
        Value::Seq(_) => Some(cx.strings(item)?.into_iter().map(|word| word.value).collect()),
        Value::Map(_) | Value::Broken => None,
    }
}

fn tcp(cx: &mut Cx<'_>, item: &Item<'_>) -> Option<ProbeKind> {
    let mut fields = cx.fields(item, &TCP);
    let port = required_port(cx, &mut fields, item);
    fields.done();
    port.map(|port| ProbeKind::Tcp { port })
}

fn exec(cx: &mut Cx<'_>, item: &Item<'_>) -> Option<ProbeKind> {
    let mut fields = cx.fields(item, &EXEC);
    let command = fields.take("command");
    let answered = fields.excused.contains("command");
    fields.done();
    let Some(command) = command else {
        if !answered && matches!(item.node.value, Value::Map(_)) {
            cx.sink
                .add(Problem::error("missing-key", item.place(), "`exec` needs a `command`").help(
                    "write the program and its arguments, as in `command: [pg_isready, -U, postgres]`",
                ));
        }
        return None;
    };
    let argv: Vec<String> = cx.strings(&command)?.into_iter().map(|word| word.value).collect();
    if argv.first().is_none_or(|program| program.trim().is_empty()) {
        let problem = Problem::error("bad-value", command.place(), "`command` names no program");
        cx.sink.add(problem.help("write the program and its arguments, as in `[pg_isready, -U, postgres]`"));
        return None;
    }
    Some(ProbeKind::Exec { argv })
}

fn required_port(cx: &mut Cx<'_>, fields: &mut Fields<'_>, item: &Item<'_>) -> Option<u16> {
    match fields.take("port") {
        Some(port) => cx.port(&port),
        None => {
            if matches!(item.node.value, Value::Map(_)) {
                cx.sink.add(
                    Problem::error("missing-key", item.place(), format!("{} needs a `port`", item.what))
                        .help("write the port at which its program listens, as in `port: 8080`; a container need not publish it"),
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

fn http(cx: &mut Cx<'_>, item: &Item<'_>, scheme: Scheme) -> Option<HttpProbe> {
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
    let status = fields.take("status").map_or(Some(vec![(200, 399)]), |item| statuses(cx, &item));
    let scheme = scheme_of(cx, &mut fields, scheme);
    let body = fields.take("body").map(|item| (cx.filled(&item), item.place()));
    fields.done();
    if let (Some("HEAD"), Some((_, place))) = (method, &body) {
        cx.sink.add(
            Problem::error("bad-value", *place, "an answer to HEAD has no body").help("write `method: GET`"),
        );
        return None;
    }
    Some(HttpProbe {
        scheme: scheme?,
        port: port?,
        path: path?,
        method: method?.to_owned(),
        host: host.map(|host| host.value),
        headers,
        status: status?,
        body: match body {
            None => None,
            Some((text, _)) => Some(text?.value),
        },
    })
}

/// `scheme` and `tls`; `given` is what the key of the probe itself says.
fn scheme_of(cx: &mut Cx<'_>, fields: &mut Fields<'_>, given: Scheme) -> Option<Scheme> {
    let is_https = given != Scheme::Http;
    let written =
        fields.take("scheme").map(|item| (cx.word(&item, &[("http", false), ("https", true)]), item));
    let tls = fields.take("tls");
    let secure = match written {
        None => is_https,
        Some((Some(false), item)) if is_https => {
            let problem = Problem::error("bad-value", item.place(), "`https` cannot have the scheme `http`");
            cx.sink.add(problem.help("remove the line, or write `http:` for the probe"));
            return None;
        }
        Some((secure, _)) => secure?,
    };
    match (secure, tls) {
        (false, None) => Some(Scheme::Http),
        (true, None) => Some(Scheme::Https(Trust::Anyone)),
        (true, Some(item)) => trust(cx, &item).map(Scheme::Https),
        (false, Some(item)) => {
            let problem = Problem::error("bad-value", item.place(), "`tls` is for `scheme: https`");
            cx.sink.add(problem.help("add `scheme: https`, or remove it"));
            None
        }
    }
}

fn trust(cx: &mut Cx<'_>, item: &Item<'_>) -> Option<Trust> {
    let mut fields = cx.fields(item, &TLS);
    let verify = fields.take("verify").map(|item| cx.flag(&item));
    let ca = fields.take("ca").map(|item| (cx.filled(&item), item.place()));
    fields.done();
    match (verify, ca) {
        (None | Some(Some(false)), None) => Some(Trust::Anyone),
        (None | Some(Some(true)), Some((ca, _))) => {
            let ca = ca?;
            let path = absolute(&cx.base(ca.place).folder, &ca.value);
            Some(Trust::Authority(path.display().to_string()))
        }
        (Some(Some(false)), Some((_, place))) => {
            let message = "`ca` says whom to trust, and `verify: false` takes anybody's certificate";
            cx.sink.add(Problem::error("bad-value", place, message).help("remove one of the two"));
            None
        }
        (Some(Some(true)), None) => {
            cx.sink.add(
                Problem::error("missing-key", item.place(), "`verify: true` needs a `ca`")
                    .help("for what this machine trusts write `ca: /etc/ssl/certs/ca-certificates.crt`"),
            );
            None
        }
        (Some(None), _) => None,
    }
}

fn redis(cx: &mut Cx<'_>, item: &Item<'_>) -> Option<RedisProbe> {
    let mut fields = cx.fields(item, &REDIS);
    let port = fields.take("port").map_or(Some(6379), |item| cx.port(&item));
    let username = fields.take("username").map(|item| (cx.filled(&item), item.place()));
    let password = password(cx, &mut fields);
    let tls = fields.take("tls").map(|item| match &item.node.value {
        Value::Scalar(_) => cx.flag(&item).map(|flag| flag.then_some(Trust::Anyone)),
        Value::Map(_) | Value::Seq(_) | Value::Broken => trust(cx, &item).map(Some),
    });
    fields.done();
    if let (Some((_, place)), Some(None)) = (&username, &password) {
        let problem = Problem::error("missing-key", *place, "a `username` needs a `password`");
        cx.sink.add(problem.help("write it as a variable, as in `password: ${REDIS_PASSWORD}`"));
        return None;
    }
    let username = match username {
        None => None,
        Some((name, _)) => Some(name?.value),
    };
    Some(RedisProbe { port: port?, username, password: password?, tls: tls.unwrap_or(Some(None))? })
        .filter(|_| matches!(item.node.value, Value::Map(_)))
}

fn postgres(cx: &mut Cx<'_>, item: &Item<'_>) -> Option<PostgresProbe> {
    let mut fields = cx.fields(item, &POSTGRES);
    let port = fields.take("port").map_or(Some(5432), |item| cx.port(&item));
    let user = fields.take("user").map(|item| cx.filled(&item));
    let database = fields.take("database").map(|item| cx.filled(&item));
    let password = password(cx, &mut fields);
    let answered = fields.excused.contains("user");
    fields.done();
    if user.is_none() && !answered && matches!(item.node.value, Value::Map(_)) {
        cx.sink.add(
            Problem::error("missing-key", item.place(), "`postgres` needs a `user`")
                .help("write the user to log in as, as in `user: postgres`"),
        );
    }
    let database = match database {
        None => None,
        Some(name) => Some(name?.value),
    };
    Some(PostgresProbe { port: port?, user: user??.value, database, password: password? })
}

/// `None`: could not be read. An empty one is none: that is what a variable without a value means.
fn password(cx: &mut Cx<'_>, fields: &mut Fields<'_>) -> Option<Option<Password>> {
    let Some(item) = fields.take("password") else { return Some(None) };
    let text = cx.text(&item)?.value;
    Some((!text.is_empty()).then(|| Password::new(text)))
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

fn statuses(cx: &mut Cx<'_>, item: &Item<'_>) -> Option<Vec<(u16, u16)>> {
    let Value::Seq(_) = item.node.value else { return cx.parsed(item, status).map(|one| vec![one.value]) };
    let items = cx.items(item)?;
    if items.is_empty() {
        let problem = Problem::error("bad-value", item.place(), "`status` accepts nothing");
        cx.sink.add(problem.help("write the codes that are well, as in `[200, 301-308]`"));
        return None;
    }
    let mut all: Vec<(u16, u16)> = Vec::new();
    for item in &items {
        all.push(cx.parsed(item, status)?.value);
    }
    Some(all)
}

fn status(text: &str) -> Result<(u16, u16), String> {
    let code = |text: &str| text.trim().parse::<u16>().ok().filter(|code| (100..=599).contains(code));
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    match (code(from), code(to)) {
        (Some(from), Some(to)) if from <= to => Ok((from, to)),
        _ => Err("write a code or a range, as in `200` or `200-299`".to_owned()),
    }
}
