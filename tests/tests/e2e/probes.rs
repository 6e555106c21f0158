//! Probes in their own protocols, restarts of what does not answer, and the way in where there is no address.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use aiplat_core::condition::{ConditionType, Reason, Status, Word};

use crate::harness::{Stage, service};

/// `GET path` of a service, from the host, at its address.
fn get(stage: &Stage, service: &str, path: &str) -> String {
    let container = stage.container(service).expect("it is there");
    let networks = container["NetworkSettings"]["Networks"].as_object().expect("it is on a network");
    let ip = networks.values().find_map(|network| network["IPAddress"].as_str()).expect("it has an address");
    let mut stream = TcpStream::connect((ip, 8080)).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a time-out can be set");
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

const TYPED: &str = r#"
apiVersion: aiplat/v1
name: @name
services:
  cache:
    image: aiplat-demo:1
    command: ["serve", "REDIS_PORT=6379", "PASSWORD=swordfish-1"]
    healthcheck: {redis: {password: "${CACHE_PASSWORD}"}, interval: 1s}
  db:
    image: aiplat-demo:1
    command: ["serve", "POSTGRES_PORT=5432", "PASSWORD=swordfish-2"]
    healthcheck: {postgres: {user: app, password: "${DB_PASSWORD}"}, interval: 1s}
  open:
    image: aiplat-demo:1
    command: ["serve", "POSTGRES_PORT=5432", "PASSWORD=swordfish-2"]
    healthcheck: {postgres: {user: app}, interval: 1s}
  web:
    image: aiplat-demo:1
    command: ["serve"]
    healthcheck: {http: {port: 8080, path: /, body: '"ready":true', status: [200]}, interval: 1s}
"#;

fn transcript(status: &aiplat_api::v1::StatusDoc, name: &str) -> String {
    service(status, name).detail.last_probe.as_ref().expect("it has been probed").transcript.clone()
}

#[test]
fn typed_probes_log_in_and_no_password_is_ever_shown() {
    let Some(mut stage) = Stage::new() else { return };
    let env = stage.config().with_file_name(".env");
    std::fs::write(&env, "CACHE_PASSWORD=swordfish-1\nDB_PASSWORD=swordfish-2\n").expect("an env file");
    stage.save(TYPED);
    stage.start();
    let status = stage.ready();
    assert!(transcript(&status, "cache").ends_with(":6379: PONG"));
    assert!(transcript(&status, "db").ends_with(":5432: ready for queries as app"));
    assert!(transcript(&status, "open").ends_with(":5432: accepts connections (password not checked)"));
    assert!(transcript(&status, "web").contains("its body contains"));

    std::fs::write(&env, "CACHE_PASSWORD=wrong-word-1\nDB_PASSWORD=wrong-word-2\n").expect("an env file");
    stage.put_in_force(&TYPED.replace("interval: 1s", "interval: 900ms"));
    let status = stage.wait("both are refused", |status| {
        ["cache", "db"].iter().all(|name| service(status, name).status == Word::NotReady)
    });
    assert!(transcript(&status, "cache").contains("WRONGPASS"), "{}", transcript(&status, "cache"));
    assert!(transcript(&status, "db").contains("28P01"), "{}", transcript(&status, "db"));
    assert_eq!(service(&status, "cache").restarts + service(&status, "db").restarts, 0);

    let config = stage.config().display().to_string();
    let shown = [
        stage.ctl(&["describe", "cache"]).said,
        stage.ctl(&["describe", "db"]).said,
        stage.ctl(&["why"]).said,
        stage.ctl(&["events"]).said,
        stage.ctl(&["config", "-f", &config]).said,
        serde_json::to_string(&status).expect("a document"),
        stage.log(),
    ]
    .concat();
    // The stand-ins have theirs on their command line, which is not a probe's doing.
    assert!(!shown.contains("wrong-word"), "a password of a probe is shown:\n{shown}");
}

const LIVENESS: &str = r#"
apiVersion: aiplat/v1
name: @name
services:
  web:
    image: aiplat-demo:1
    command: ["serve"]
    healthcheck:
      http: {port: 8080, path: /}
      liveness: {http: {port: 8080, path: /ready}, retries: 2}
      startup: {tcp: {port: 8080}}
      interval: 500ms
"#;

#[test]
fn what_does_not_answer_is_restarted_once_and_is_well_again() {
    let Some(mut stage) = Stage::ready_with(LIVENESS) else { return };
    let before = stage.runs();
    get(&stage, "web", "/fail");
    let status = stage.wait("it has been restarted", |status| {
        let row = service(status, "web");
        row.restarts == 1 && row.status == Word::Ready
    });
    let after = stage.runs();
    assert_eq!(after["web"].id, before["web"].id, "the same container");
    assert_ne!(after["web"].started_at, before["web"].started_at);
    let ending = service(&status, "web").detail.endings.first().expect("it is remembered").clone();
    assert!(ending.contains("no answer (GET http://") && ending.contains("503 Not OK"), "{ending}");
    let stopped = status.events.iter().find(|event| event.message.contains("it does not answer"));
    assert!(stopped.is_some_and(|event| event.message.contains("503 Not OK")), "{:#?}", status.events);
    let described = stage.ctl(&["describe", "web"]).said;
    assert!(described.contains("Liveness:") && described.contains("Startup:"), "{described}");
}

const RELYING: &str = r#"
apiVersion: aiplat/v1
name: @name
services:
  db:
    image: aiplat-demo:1
    command: ["serve", "TCP_PORT=5432"]
    healthcheck: {tcp: {port: 5432}, interval: 500ms}
  web:
    image: aiplat-demo:1
    command: ["serve", "UPSTREAMS=db:5432"]
    depends_on: {db: {condition: service_healthy}}
    healthcheck:
      http: {port: 8080, path: /deep}
      liveness: {http: {port: 8080, path: /deep}, retries: 4}
      interval: 500ms
      timeout: 5s
"#;

#[test]
fn while_its_dependency_is_down_a_service_waits_and_is_not_restarted() {
    let Some(mut stage) = Stage::ready_with(RELYING) else { return };
    let before = stage.runs();
    let stop = stage.ctl(&["stop", "db"]);
    assert_eq!(stop.code, Some(0), "{}", stop.said);
    let waits = |status: &aiplat_api::v1::StatusDoc| {
        let mut conditions = service(status, "web").conditions.iter().map(|it| &it.condition);
        conditions.any(|it| {
            it.kind == ConditionType::Ready
                && it.status == Status::False
                && it.reason == Reason::WaitingForDependencies
        })
    };
    let status = stage.wait("it waits for db", waits);
    let attempts = service(&status, "web").detail.probe_attempts;
    // Longer than four failures of its liveness probe would take.
    stage.wait("it is asked on", |status| service(status, "web").detail.probe_attempts > attempts + 8);
    assert_eq!(stage.runs()["web"], before["web"], "the same run");
    let start = stage.ctl(&["start", "db"]);
    assert_eq!(start.code, Some(0), "{}", start.said);
    let status = stage.ready();
    assert_eq!(service(&status, "web").restarts, 0);
    assert_eq!(stage.runs()["web"], before["web"], "the same run");
}

const INSIDE: &str = r#"
apiVersion: aiplat/v1
name: @name
services:
  web:
    image: aiplat-demo:1
    command: ["serve", "BIND=127.0.0.1"]
    healthcheck: {http: {port: 8080, path: /ready}, interval: 500ms, start_period: 10m}
"#;

#[test]
fn what_listens_on_loopback_only_says_so_and_can_be_asked_inside() {
    let Some(mut stage) = Stage::new() else { return };
    stage.save(INSIDE);
    stage.start();
    let found = |status: &aiplat_api::v1::StatusDoc| {
        let last = service(status, "web").detail.last_probe.as_ref();
        last.is_some_and(|last| last.transcript.contains("it listens only on 127.0.0.1 inside"))
    };
    stage.wait("it is found out", found);
    stage.put_in_force(&INSIDE.replace("interval:", "via: namespace, interval:"));
    let status = stage.ready();
    assert!(transcript(&status, "web").ends_with("127.0.0.1:8080/ready (inside): 200 OK"));
}

const ENGINE: &str = r#"
apiVersion: aiplat/v1
name: @name
services:
  web:
    image: aiplat-demo:1
    command: ["serve", "READY_AFTER=1500"]
    healthcheck: {source: engine, test: [CMD, /app, probe, "http://127.0.0.1:8080/ready"], interval: 1s, retries: 1}
"#;

#[test]
fn a_check_that_is_left_to_the_engine_is_run_by_it_and_followed() {
    let Some(mut stage) = Stage::new() else { return };
    stage.save(ENGINE);
    stage.start();
    stage.wait("the engine has found it unready", |status| service(status, "web").status == Word::NotReady);
    stage.ready();
    let container = stage.container("web").expect("it is there");
    assert_eq!(container["Config"]["Healthcheck"]["Test"][1], serde_json::json!("/app"));
    assert_eq!(container["State"]["Health"]["Status"], serde_json::json!("healthy"));
    get(&stage, "web", "/fail");
    stage.wait("its verdict is followed", |status| service(status, "web").status == Word::NotReady);
    get(&stage, "web", "/mend");
    stage.ready();
}
