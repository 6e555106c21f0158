//! aiplatd dies anywhere and is started again: the workloads do not notice.

use aiplat_core::condition::Word;
use serde_json::Value;

use crate::harness::{PATIENCE, Stage, all_ready, service, until};

const PLATFORM: &str = r#"
apiVersion: aiplat/v1
name: @name
volumes: {data: {}}
services:
  db:
    image: aiplat-demo:1
    command: ["serve", "TCP_PORT=5432", "READY_AFTER=200", "WRITE_FILE=/data/starts"]
    volumes: ["data:/data"]
    healthcheck: {tcp: {port: 5432}, interval: 5s}
  api:
    image: aiplat-demo:1
    command: ["serve"]
    depends_on: {db: {condition: service_healthy, restart: true}}
    healthcheck: {http: {port: 8080, path: /ready}, interval: 5s}
  web:
    image: aiplat-demo:1
    command: ["serve"]
    depends_on: {api: {condition: service_healthy}}
"#;

/// One network, one volume, three containers made and started: eight actions, sixteen points around them.
const ACTIONS: u64 = 8;

fn dies_and_comes_back(point: u64) -> Option<()> {
    let mut stage = Stage::new()?;
    stage.save(PLATFORM);
    stage.env.insert("AIPLATD_CRASH_AT".to_owned(), point.to_string());
    stage.spawn();
    assert_eq!(
        stage.exit_code(PATIENCE),
        None,
        "point {point} is reached, and a signal ends it: {}",
        stage.log()
    );
    let before = stage.runs();

    stage.env.clear();
    stage.start();
    let status = stage.settled();
    let after = stage.runs();
    for (name, run) in &before {
        assert_eq!(after.get(name), Some(run), "{name} ran when aiplatd died at point {point}, and runs on");
    }
    assert_eq!(after.len(), 3, "point {point}: {after:#?}");
    assert_eq!(stage.engine.containers(&stage.label()).len(), 3, "point {point}: no container is left over");
    assert!(
        status.services.iter().all(|row| row.status == Word::Ready && row.restarts == 0),
        "{:#?}",
        status.services
    );
    assert_eq!(starts_of_db(&stage), 1, "point {point}: db was started once");
    Some(())
}

/// How often `db` was started, by its own count on its volume.
fn starts_of_db(stage: &Stage) -> u64 {
    let answer = stage.ask(&stage.runs()["db"].id, "/").expect("db answers");
    let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
    body["starts"].as_u64().expect("it counts its starts")
}

#[test]
fn killed_before_any_of_its_first_actions_it_ends_in_the_same_state() {
    for action in [1, 3, 6, 8] {
        if dies_and_comes_back(2 * action - 1).is_none() {
            return;
        }
    }
}

#[test]
fn killed_after_any_of_its_first_actions_it_ends_in_the_same_state() {
    for action in [2, 5, 6, ACTIONS] {
        if dies_and_comes_back(2 * action).is_none() {
            return;
        }
    }
}

/// A replacement is made, the old one stopped, names are swapped, the new one started, the old one removed.
#[test]
fn killed_in_the_middle_of_a_replacement_it_ends_with_the_new_one() {
    for point in [2, 4, 6, 9] {
        let Some(mut stage) = Stage::ready_with(PLATFORM) else { return };
        let before = stage.runs();
        stage.kill();
        stage.save(&PLATFORM.replace(
            "command: [\"serve\"]\n    depends_on: {api",
            "command: [\"serve\", \"NAME=new\"]\n    depends_on: {api",
        ));
        stage.env.insert("AIPLATD_CRASH_AT".to_owned(), point.to_string());
        stage.spawn();
        assert_eq!(stage.exit_code(PATIENCE), None, "point {point} is reached: {}", stage.log());
        stage.env.clear();
        stage.start();
        stage.settled();
        let after = stage.runs();
        assert_eq!((&after["db"], &after["api"]), (&before["db"], &before["api"]), "point {point}");
        assert_ne!(after["web"].id, before["web"].id, "point {point}");
        assert_eq!(
            stage.container("web").expect("it bears its name")["Id"],
            after["web"].id,
            "point {point}"
        );
        // What is on its way out of the engine is not planned any more.
        let three = || stage.engine.containers(&stage.label()).len() == 3;
        assert!(until(PATIENCE, three), "point {point}: no container is left over");
    }
}

#[test]
fn neither_sigterm_nor_sigkill_stops_a_workload() {
    let Some(mut stage) = Stage::ready_with(PLATFORM) else { return };
    let runs = stage.runs();
    assert_eq!(stage.stop(), Some(0), "SIGTERM is a clean end");
    assert_eq!(stage.runs(), runs);
    assert!(!stage.socket().exists(), "a socket that nobody listens at only misleads");
    stage.start();
    stage.settled();
    assert_eq!(stage.runs(), runs);
    stage.kill();
    assert_eq!(stage.runs(), runs);

    // What died while nobody looked is healed, and is no crash loop.
    stage.engine.post(&format!("/containers/{}/kill", runs["web"].id), &Value::Null);
    stage.start();
    let status = stage
        .wait("web runs again", |status| all_ready(status) && service(status, "web").status == Word::Ready);
    stage.settled();
    let after = stage.runs();
    assert_eq!((&after["db"], &after["api"]), (&runs["db"], &runs["api"]), "{:#?}", status.services);
    assert_eq!(after["web"].id, runs["web"].id);
}
