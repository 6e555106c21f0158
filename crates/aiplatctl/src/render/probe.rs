//! `healthcheck` as it is understood, in the words of the file.

use std::collections::BTreeMap;

use aiplat_core::spec::{
    EngineCheck, HttpProbe, PostgresProbe, ProbeKind, ProbeSpec, RedisProbe, Role, Scheme, ServiceSpec,
    Trust, Via,
};
use serde_json::{Map, Value, json};

use super::config::{REDACTED, duration, insert, redacted, without_secrets};

/// All that the file says of a service's health.
pub(super) fn healthcheck(spec: ServiceSpec<'_>, is_off: bool, engine: Option<&EngineCheck>) -> Value {
    let [startup, readiness, liveness] = Role::ALL.map(|role| spec.probe_for(role));
    let probes = [("startup", startup), ("liveness", liveness)];
    let mut map = Map::new();
    if !is_off && (engine.is_some() || liveness.is_some()) {
        map.insert("source".to_owned(), json!("engine"));
        map.extend(engine.map(engine_check).unwrap_or_default());
    }
    if let Some(readiness) = readiness {
        map.extend(probe(readiness));
    }
    for (name, inner) in probes {
        insert(&mut map, name, inner.map(probe));
    }
    if map.is_empty() {
        return if is_off { json!({"disable": true}) } else { Value::Null };
    }
    // The time belongs to the first thing that is asked.
    let first = [startup, readiness, liveness].into_iter().flatten().next();
    if !map.contains_key("start_period") {
        insert(&mut map, "start_period", first.map(|first| duration(first.start_period)));
    }
    Value::Object(map)
}

fn engine_check(check: &EngineCheck) -> Map<String, Value> {
    let EngineCheck { test, interval, timeout, retries, start_period } = check;
    let mut map = Map::new();
    insert(&mut map, "test", (!test.is_empty()).then(|| without_secrets(test)));
    insert(&mut map, "interval", interval.map(duration));
    insert(&mut map, "timeout", timeout.map(duration));
    insert(&mut map, "retries", *retries);
    insert(&mut map, "start_period", start_period.map(duration));
    map
}

fn probe(probe: &ProbeSpec) -> Map<String, Value> {
    let ProbeSpec { kind, interval, timeout, retries, start_period: _, via } = probe;
    let (key, asked) = match kind {
        ProbeKind::Http(asked) => ("http", http(asked)),
        ProbeKind::Tcp { port } => ("tcp", json!({"port": port})),
        ProbeKind::Redis(asked) => ("redis", redis(asked)),
        ProbeKind::Postgres(asked) => ("postgres", postgres(asked)),
        ProbeKind::Exec { argv } => {
            ("test", std::iter::once("CMD".to_owned()).chain(without_secrets(argv)).collect())
        }
    };
    let mut map = Map::new();
    insert(&mut map, key, Some(asked));
    insert(&mut map, "interval", Some(duration(*interval)));
    insert(&mut map, "timeout", Some(duration(*timeout)));
    insert(&mut map, "retries", Some(*retries));
    insert(&mut map, "via", (*via == Via::Namespace).then_some("namespace"));
    map
}

fn http(http: &HttpProbe) -> Value {
    let HttpProbe { scheme, port, path, method, host, headers, status, body } = http;
    let mut map = Map::new();
    if let Scheme::Https(trust) = scheme {
        insert(&mut map, "scheme", Some("https"));
        insert(&mut map, "tls", authority(trust));
    }
    insert(&mut map, "port", Some(port));
    insert(&mut map, "path", Some(path));
    insert(&mut map, "method", Some(method));
    insert(&mut map, "host", host.as_ref());
    let secret = |name: &str, value: &str| match name.to_ascii_uppercase().as_str() {
        "AUTHORIZATION" | "COOKIE" => REDACTED.to_owned(),
        _ => redacted(&name.replace('-', "_"), value),
    };
    let headers: BTreeMap<&String, String> =
        headers.iter().map(|(name, value)| (name, secret(name, value))).collect();
    insert(&mut map, "headers", (!headers.is_empty()).then_some(headers));
    let range = |(from, to): &(u16, u16)| format!("{from}-{to}");
    insert(
        &mut map,
        "status",
        Some(match status.as_slice() {
            [one] => json!(range(one)),
            many => many.iter().map(range).collect(),
        }),
    );
    insert(&mut map, "body", body.as_ref());
    Value::Object(map)
}

fn redis(redis: &RedisProbe) -> Value {
    let RedisProbe { port, username, password, tls } = redis;
    let mut map = Map::new();
    insert(&mut map, "port", Some(port));
    insert(&mut map, "username", username.as_ref());
    insert(&mut map, "password", password.as_ref().map(|_| REDACTED));
    insert(&mut map, "tls", tls.as_ref().map(|trust| authority(trust).unwrap_or(json!(true))));
    Value::Object(map)
}

fn postgres(postgres: &PostgresProbe) -> Value {
    let PostgresProbe { port, user, database, password } = postgres;
    let mut map = Map::new();
    insert(&mut map, "port", Some(port));
    insert(&mut map, "user", Some(user));
    insert(&mut map, "database", database.as_ref());
    insert(&mut map, "password", password.as_ref().map(|_| REDACTED));
    Value::Object(map)
}

fn authority(trust: &Trust) -> Option<Value> {
    match trust {
        Trust::Anyone => None,
        Trust::Authority(file) => Some(json!({"ca": file})),
    }
}
