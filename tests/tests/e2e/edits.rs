//! For each kind of edit: `diff` says beforehand what will be done and why, and the engine's own events show that exactly
//! that was done.

use std::collections::BTreeSet;

use aiplat_api::v1::DiffReply;
use serde_json::json;

use crate::harness::{Stage, WEB_AND_OTHER, engine::Event, report};

/// One service replaced: the new one is made beside the old one, which goes last.
const REPLACED: &[&str] = &["create", "stop", "rename", "rename", "start", "remove"];

/// What is written instead of what, the field that is named as the cause, and what is done.
const EDITS: &[(&str, &str, &str, &[&str])] = &[
    (
        "image: aiplat-demo:1\n    command: [\"serve\", \"READY_AFTER=400\"]",
        "image: aiplat-demo:2\n    command: [\"serve\", \"READY_AFTER=400\"]",
        "image",
        REPLACED,
    ),
    ("VALUE: a", "VALUE: b", "environment.VALUE", REPLACED),
    ("team: a", "team: b", "labels.team", REPLACED),
    ("@port1:8080", "@port2:8080", "ports", REPLACED),
    ("memory: 64m", "memory: 96m", "limits", &["update"]),
    ("networks: [default]\n", "networks: [default, side]\n", "side", &["connect"]),
    ("networks: [default, side]\n    deploy", "networks: [default]\n    deploy", "side", &["disconnect"]),
    ("path: /ready", "path: /health", "healthcheck", &[]),
    (
        "    environment: {VALUE",
        "    logging: {options: {max-size: 5m}}\n    environment: {VALUE",
        "logging",
        REPLACED,
    ),
];

#[test]
fn each_kind_of_edit_is_done_as_diff_said() {
    let Some(mut stage) = Stage::new() else { return };
    let mut yaml = WEB_AND_OTHER.to_owned();
    stage.save(&yaml);
    stage.start();
    stage.settled();
    for (from, to, field, expected) in EDITS {
        assert!(yaml.contains(from), "the edit of {field} edits something");
        yaml = yaml.replacen(from, to, 1);
        let body = json!({"file": {"root": stage.config(), "files": {stage.config().display().to_string(): stage.fill(&yaml)}}});
        let answer = stage.call("POST", "/v1/diff", &body).expect("the daemon answers");
        let reply: DiffReply = serde_json::from_slice(&answer.body).expect("a plan");
        assert!(!reply.invalid, "{}", reply.report);
        let actions: Vec<_> = reply.preview.waves.iter().flat_map(|wave| &wave.actions).collect();
        let said: Vec<&str> = actions.iter().map(|action| action.verb.as_str()).collect();
        assert_eq!(said, *expected, "{field}: {actions:#?}");
        assert!(actions.iter().all(|action| action.resource.to_string() == "container/web"), "{actions:#?}");
        let told = actions.iter().map(|action| action.cause.clone());
        let told: Vec<String> =
            told.chain(reply.without_action.iter().map(|(_, text)| text.clone())).collect();
        assert!(told.iter().any(|text| text.contains(field)), "{field} is the cause: {told:?}");

        let recorder = stage.engine.record_all();
        let before: BTreeSet<String> = stage.runs().into_values().map(|run| run.id).collect();
        stage.put_in_force(&yaml);
        stage.settled();
        let runs_anew = expected.len() > 1;
        // The engine tells of a thing when it is done, or a moment later.
        let done = |events: &[Event]| done(events, &stage.name, &before, runs_anew);
        let done = done(&recorder.wait("all that was done", |events| done(events).len() >= expected.len()));
        assert_eq!(done, *expected, "{field}: what the engine saw");
        report(&format!("{field}: {}", if done.is_empty() { "nothing".to_owned() } else { done.join(", ") }));
    }
}

/// The engine's events on our containers, as verbs of a plan. Starts and stops connect and disconnect by themselves.
fn done(events: &[Event], platform: &str, before: &BTreeSet<String>, runs_anew: bool) -> Vec<&'static str> {
    // Other tests have containers of their own.
    let is_ours = |event: &&Event| event.name.starts_with(platform);
    let mut ours = before.clone();
    ours.extend(events.iter().filter(is_ours).map(|event| event.id.clone()));
    let verb = |event: &Event| match event.action.as_str() {
        "create" => Some("create"),
        "start" => Some("start"),
        "die" => Some("stop"),
        "rename" => Some("rename"),
        "destroy" => Some("remove"),
        "update" => Some("update"),
        "connect" if !runs_anew => Some("connect"),
        "disconnect" if !runs_anew => Some("disconnect"),
        "pause" | "unpause" | "restart" => Some("other"),
        _ => None,
    };
    let mut verbs: Vec<_> = events.iter().filter(|event| ours.contains(&event.id)).filter_map(verb).collect();
    // Engine 20.10 tells twice of one disconnection.
    verbs.dedup_by(|one, other| *one == "disconnect" && *other == "disconnect");
    verbs
}
