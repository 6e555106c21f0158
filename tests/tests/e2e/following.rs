//! What `aiplatctl` says and waits for, where one service follows another or waits for it.

use aiplat_core::condition::Word;

use crate::harness::{Stage, service};

const PLATFORM: &str = r#"
apiVersion: aiplat/v1
name: @name
services:
  db:
    image: aiplat-demo:1
    command: ["serve"]
    environment: {COLOUR: red}
    ports: ["127.0.0.1::8080"]
    healthcheck: {http: {port: 8080, path: /ready}}
  web:
    image: aiplat-demo:1
    command: ["serve"]
    depends_on: {db: {condition: service_healthy, restart: true}}
    healthcheck: {http: {port: 8080, path: /ready}}
"#;

fn ready(yaml: &str) -> Option<Stage> {
    let mut stage = Stage::new()?;
    stage.save(yaml);
    stage.start();
    stage.ready();
    Some(stage)
}

#[test]
fn apply_wait_ends_when_the_second_diff_is_empty() {
    let beside = PLATFORM
        .replace("    ports: [\"127.0.0.1::8080\"]\n", "    deploy: {update_config: {order: start-first}}\n");
    let Some(stage) = ready(&beside) else { return };
    let before = stage.runs();
    stage.save(&beside.replace("red", "blue"));
    let apply = stage.ctl(&["apply", "--wait", "--timeout", "2m"]);
    assert_eq!(apply.code, Some(0), "{}", apply.said);
    let after = stage.runs();
    assert_ne!(after["db"].id, before["db"].id, "it is another container");
    assert_ne!(after["web"].started_at, before["web"].started_at, "who follows it has followed");
    let diff = stage.ctl(&["diff"]);
    assert_eq!(diff.code, Some(0), "{}", diff.said);
}

#[test]
fn a_start_that_waits_for_what_was_stopped_by_hand_ends_with_its_name() {
    let Some(stage) = ready(PLATFORM) else { return };
    assert_eq!(stage.ctl(&["stop", "web", "db"]).code, Some(0));
    let start = stage.ctl(&["start", "web", "--timeout", "10m"]);
    assert_eq!(start.code, Some(1), "{}", start.said);
    for said in ["web waits for db", "stopped it with", "`aiplatctl start db`", "the order is kept"] {
        assert!(start.said.contains(said), "{said}: {}", start.said);
    }
    let cured = stage.ctl(&["start", "db", "web"]);
    assert_eq!(cured.code, Some(0), "{}", cured.said);
}

#[test]
fn the_port_that_the_engine_has_chosen_is_shown() {
    let Some(stage) = ready(PLATFORM) else { return };
    let ports = &stage.container("db").expect("it runs")["NetworkSettings"]["Ports"]["8080/tcp"];
    let chosen = ports[0]["HostPort"].as_str().expect("the engine has chosen one").to_owned();
    for verb in [&["get", "services", "-o", "wide"][..], &["describe", "db"]] {
        let shown = stage.ctl(verb);
        assert!(shown.said.contains(&format!("127.0.0.1:{chosen}")), "{}", shown.said);
    }
}

#[test]
fn what_is_suspended_and_dropped_from_the_file_is_listed_until_it_is_resumed() {
    let Some(mut stage) = ready(PLATFORM) else { return };
    assert_eq!(stage.ctl(&["suspend", "web"]).code, Some(0));
    let alone = PLATFORM.split_once("  web:\n").expect("it has two").0;
    stage.put_in_force(alone);
    let status = stage.wait("it has left the file", |status| {
        status.services.iter().any(|it| it.name == "web" && !it.desired)
    });
    let web = service(&status, "web");
    assert_eq!(web.status, Word::Suspended);
    assert!(web.message.starts_with("no longer in the file; suspended by uid 0"), "{}", web.message);
    let list = stage.ctl(&["get", "services"]);
    assert!(list.said.contains("Suspended"), "{}", list.said);
    assert_eq!(stage.ctl(&["is-ready"]).code, Some(0), "what is in the file is ready");
    let resume = stage.ctl(&["resume", "web"]);
    assert_eq!(resume.code, Some(0), "{}", resume.said);
    assert!(resume.said.contains("is removed"), "{}", resume.said);
    stage.wait("it is gone", |status| !status.services.iter().any(|it| it.name == "web"));
}
