//! Every word of Compose is in exactly one row of the table, and none is ever taken for a typo.

mod load_support;

use std::collections::BTreeSet;

use aiplat_core::load::{KeyRow, json_schema, key_row};
use load_support::{Disk, schema::fits, with_services};
use serde_json::Value;

fn compose() -> Value {
    serde_json::from_str(include_str!("fixtures/compose-spec.json")).expect("the schema is JSON")
}

/// Walks the schema as it applies to a file, and calls `visit` with the path of every key of every object in it.
fn walk(root: &Value, node: &Value, path: &mut Vec<String>, visit: &mut dyn FnMut(&[String])) {
    assert!(path.len() < 24, "the schema of Compose is not recursive: {path:?}");
    if let Some(reference) = node.get("$ref").and_then(Value::as_str) {
        let pointer = reference.strip_prefix('#').expect("references are local");
        walk(root, root.pointer(pointer).expect("references hold"), path, visit);
    }
    for choices in ["oneOf", "anyOf", "allOf"] {
        for choice in node.get(choices).and_then(Value::as_array).into_iter().flatten() {
            walk(root, choice, path, visit);
        }
    }
    for (name, inner) in node.get("properties").and_then(Value::as_object).into_iter().flatten() {
        path.push(name.clone());
        visit(path);
        walk(root, inner, path, visit);
        path.pop();
    }
    for (pattern, inner) in node.get("patternProperties").and_then(Value::as_object).into_iter().flatten() {
        if pattern != "^x-" {
            path.push("*".to_owned());
            walk(root, inner, path, visit);
            path.pop();
        }
    }
    if let Some(items) = node.get("items") {
        path.push("[]".to_owned());
        walk(root, items, path, visit);
        path.pop();
    }
}

#[test]
fn every_key_of_compose_is_in_the_table() {
    let schema = compose();
    let (mut unknown, mut seen, mut definitions) = (Vec::new(), 0, BTreeSet::new());
    walk(&schema, &schema, &mut Vec::new(), &mut |path| {
        seen += 1;
        definitions.insert(path.last().cloned());
        let steps: Vec<&str> = path.iter().map(String::as_str).collect();
        // The old form of `external`, with a name in it, is answered as such.
        let is_old_external = path.len() == 4 && path[2] == "external";
        if key_row(&steps).is_none() && !is_old_external {
            unknown.push(path.join("."));
        }
    });
    assert_eq!(unknown, Vec::<String>::new());
    assert!(seen > 250, "the walk saw only {seen} keys");

    // No key of any object of the schema was out of reach of the walk.
    let mut all = BTreeSet::new();
    collect(&schema, &mut all);
    let missed: Vec<_> = all.into_iter().filter(|key| !definitions.contains(&Some(key.clone()))).collect();
    assert_eq!(missed, Vec::<String>::new());
}

fn collect(node: &Value, keys: &mut BTreeSet<String>) {
    match node {
        Value::Object(map) => {
            if let Some(Value::Object(properties)) = map.get("properties") {
                keys.extend(properties.keys().cloned());
            }
            map.values().for_each(|inner| collect(inner, keys));
        }
        Value::Array(items) => items.iter().for_each(|inner| collect(inner, keys)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn no_word_of_compose_gets_the_typo_message() {
    let schema = compose();
    let keys = |pointer: &str| -> Vec<String> {
        schema.pointer(pointer).and_then(Value::as_object).expect(pointer).keys().cloned().collect()
    };
    let files = keys("/properties").into_iter().map(|key| format!("apiVersion: aiplat/v1\n{key}: x\n"));
    let services = keys("/definitions/service/properties")
        .into_iter()
        .map(|key| with_services(&format!("  a: {{{key}: x}}\n")));
    let inner = |section: &'static str, definition: &str| {
        let keys = keys(&format!("/definitions/{definition}/properties")).into_iter();
        keys.map(move |key| with_services(&format!("  a: {{image: x, {section}: {{{key}: x}}}}\n")))
    };
    let top = |section: &'static str, definition: &str| {
        let keys = keys(&format!("/definitions/{definition}/properties")).into_iter();
        keys.map(move |key| {
            format!("apiVersion: aiplat/v1\nservices: {{}}\n{section}: {{a: {{{key}: x}}}}\n")
        })
    };
    let all = files
        .chain(services)
        .chain(inner("healthcheck", "healthcheck"))
        .chain(inner("deploy", "deployment"))
        .chain(top("networks", "network"))
        .chain(top("volumes", "volume"));
    for text in all {
        let typos: Vec<_> = Disk::with(&text)
            .load()
            .diagnostics
            .into_iter()
            .filter(|diagnostic| diagnostic.code == "unknown-key")
            .collect();
        assert!(typos.is_empty(), "{text}\n{typos:?}");
    }
}

#[test]
fn rows() {
    let row = |path: &str| key_row(&path.split(' ').collect::<Vec<_>>());
    assert_eq!(row("services * image"), Some(KeyRow::Supported));
    assert_eq!(row("services * ports [] target"), Some(KeyRow::Supported));
    assert_eq!(row("services * depends_on * restart"), Some(KeyRow::Supported));
    assert_eq!(row("services * gpus [] count"), Some(KeyRow::Supported));
    assert_eq!(row("services * gpus [] min_vram"), Some(KeyRow::Supported));
    assert_eq!(row("services * secrets"), Some(KeyRow::Later));
    assert_eq!(row("services * build context"), Some(KeyRow::Refused));
    assert_eq!(row("services * deploy placement constraints"), Some(KeyRow::Ignored));
    assert_eq!(row("services * imgae"), None);
    assert_eq!(row("services * image x"), None);
}

#[test]
fn the_schema_for_editors_takes_what_the_loader_takes() {
    let schema = json_schema();
    let good = serde_json::json!({
        "apiVersion": "aiplat/v1", "name": "a", "x-mine": 1, "env_file": ["a.env"],
        "services": {"web": {
            "image": "x", "ports": [80, "80:80", {"target": 80}], "environment": {"A": 1, "B": null}, "restart": false,
            "networks": {"default": null}, "depends_on": {"db": {"condition": "service_healthy"}},
            "healthcheck": {"http": {"port": 80}, "interval": "5s"}, "deploy": {"resources": {"limits": {"cpus": 1.5}}},
            "volumes": ["v:/v", {"type": "bind", "source": "/a", "target": "/b"}], "command": null, "entrypoint": ["a"]}},
        "networks": {"a": null, "b": {"internal": true}}, "gates": {"CoreReady": ["web"]}, "reconcile": {"mode": "observe"},
    });
    assert!(fits(&schema, &good));
    let bad = [
        serde_json::json!({"apiVersion": "aiplat/v1"}),
        serde_json::json!({"apiVersion": "aiplat/v1", "services": {}, "nmae": "x"}),
        serde_json::json!({"apiVersion": "aiplat/v1", "services": {"a": {"imgae": "x"}}}),
        serde_json::json!({"apiVersion": "aiplat/v1", "services": {"a": {"gpus": 3}}}),
        serde_json::json!({"apiVersion": "aiplat/v1", "services": {"a": {"provider": {"typ": "systemd"}}}}),
        serde_json::json!({"apiVersion": "aiplat/v1", "services": {"a": {"build": "."}}}),
        serde_json::json!({"apiVersion": "aiplat/v1", "services": []}),
        serde_json::json!({"apiVersion": "aiplat/v1", "services": {"a": {"ports": "80"}}}),
    ];
    for value in bad {
        assert!(!fits(&schema, &value), "{value}");
    }
}

#[test]
fn every_key_of_the_schema_is_described() {
    fn check(schema: &Value, path: &str) {
        for (name, inner) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let text = inner["description"].as_str().unwrap_or_default();
            assert!(text.len() > 3, "{path}.{name} has no description");
        }
        match schema {
            Value::Object(map) => map.iter().for_each(|(key, inner)| check(inner, &format!("{path}/{key}"))),
            Value::Array(items) => items.iter().for_each(|inner| check(inner, path)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    check(&json_schema(), "");
}

#[test]
fn the_schema_is_a_promise() {
    insta::assert_json_snapshot!(json_schema());
}
