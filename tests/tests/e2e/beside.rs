//! `order: start-first`: the replacement is ready before what it replaces ends, and an edit that is not leaves it alone.

use aiplat_api::v1::StatusDoc;
use aiplat_core::condition::Word;
use serde_json::{Value, json};

use crate::harness::{
    PATIENCE, Stage,
    engine::{Event, position},
    service,
    stage::Run,
    until,
};

const PLATFORM: &str = r#"
apiVersion: aiplat/v1
name: @name
services:
  web:
    image: aiplat-demo:1
    command: ["serve", "NAME=old"]
    stop_grace_period: 1s
    healthcheck: {http: {port: 8080, path: /ready}, interval: 5s}
    deploy: {update_config: {order: start-first, monitor: 1s}}
  follower:
    image: aiplat-demo:1
    command: ["serve"]
    depends_on: {web: {condition: service_healthy, restart: true}}
  client:
    image: aiplat-demo:1
    command: ["serve"]
"#;

/// The file with another command for `web`.
fn edited(line: &str) -> String {
    let yaml = PLATFORM.replace(r#"command: ["serve", "NAME=old"]"#, line);
    assert_ne!(yaml, PLATFORM, "the edit edits something");
    yaml
}

fn is_ready(stage: &Stage, id: &str) -> bool {
    stage.ask(id, "/ready").is_ok_and(|answer| answer.status == 200)
}

/// Who answers to the service's name on its network.
fn answers_to_its_name(stage: &Stage) -> String {
    let got = stage.exec("client", &["/app", "get", "http://web:8080/"]);
    let body: Value = serde_json::from_str(&got.said).unwrap_or_else(|_| panic!("{got:?}"));
    body["name"].as_str().unwrap_or_default().to_owned()
}

fn bears_its_name(stage: &Stage, id: &str) -> bool {
    let inspect = stage.engine.inspect(id).unwrap_or_default();
    let aliases = &inspect["NetworkSettings"]["Networks"][format!("{}_default", stage.name)]["Aliases"];
    aliases.as_array().is_some_and(|aliases| aliases.contains(&json!("web")))
}

/// The one that was started beside `old`.
fn started_beside(stage: &Stage, old: &Run) -> Run {
    let mut new = None;
    let found = until(PATIENCE, || {
        new = stage.runs_of("web").into_iter().find(|run| run.id != old.id);
        new.is_some()
    });
    assert!(found, "another one is started: {:#?}", stage.runs_of("web"));
    new.expect("it was found")
}

#[test]
fn the_old_one_answers_until_the_new_one_is_ready_and_then_its_name_moves() {
    let Some(mut stage) = Stage::ready_with(PLATFORM) else { return };
    let before = stage.runs();
    let old = &before["web"];
    assert_eq!(answers_to_its_name(&stage), "old");
    let recorder = stage.engine.record_all();
    stage.put_in_force(&edited(r#"command: ["serve", "NAME=new", "READY_AFTER=6000"]"#));
    let new = started_beside(&stage, old);
    assert!(is_ready(&stage, &old.id), "the old one answers");
    assert_eq!(answers_to_its_name(&stage), "old");
    assert!(bears_its_name(&stage, &old.id) && !bears_its_name(&stage, &new.id), "the name has not moved");
    assert_eq!(stage.runs_of("follower"), [before["follower"].clone()], "nobody follows what is not ready");
    // Asked last: so it was not ready in all of the above either.
    assert!(!is_ready(&stage, &new.id), "the new one takes its time");

    let ends = |events: &[Event]| events.iter().any(|event| event.id == old.id && event.action == "die");
    recorder.wait("the old one ends", ends);
    assert!(is_ready(&stage, &new.id), "the new one was ready before the old one ended");
    stage.settled();
    let follows = |events: &[Event]| {
        let at = |action: &str| events.iter().any(|it| it.id == before["follower"].id && it.action == action);
        at("start") && events.iter().any(|event| event.id == old.id && event.action == "destroy")
    };
    let events = recorder.wait("the old one is removed, and the follower has followed", follows);
    let at = |id: &str, action: &str| position(&events, id, action);
    let named = events.iter().rposition(|event| event.id == new.id && event.action == "connect");
    let named = named.expect("it was connected by its name");
    assert!(at(&new.id, "create") < at(&new.id, "start"), "{events:#?}");
    assert!(at(&new.id, "start") < named, "it is started without the name: {events:#?}");
    assert!(named < at(&old.id, "die"), "the name moves before the old one ends: {events:#?}");
    assert!(at(&old.id, "die") < at(&before["follower"].id, "die"), "the follower follows: {events:#?}");
    let starts = events.iter().filter(|it| it.id == before["follower"].id && it.action == "start").count();
    assert_eq!(starts, 1, "and once: {events:#?}");
    assert_eq!(answers_to_its_name(&stage), "new");
    assert_eq!(stage.container("web").expect("it bears the service's name")["Id"], json!(new.id));
    assert_eq!(stage.runs()["web"], new, "it was started once");
    assert_eq!(stage.runs()["client"], before["client"], "the other one is not touched");
    assert_eq!(stage.engine.containers(&stage.label()).len(), 3, "nothing is left over");
}

#[test]
fn an_edit_that_fails_never_touches_the_old_one() {
    let Some(mut stage) = Stage::ready_with(PLATFORM) else { return };
    let before = stage.runs();
    let edits = [
        (r#"command: ["crash", "CRASH_AFTER=100", "EXIT_CODE=3"]"#, "times in a row"),
        (r#"entrypoint: ["/no/such/program"]"#, "/no/such/program"),
        (r#"command: ["serve", "READY_AFTER=3600000"]"#, "it was not ready within"),
    ];
    for (edit, why) in edits {
        stage.put_in_force(&edited(edit));
        let status = stage.wait("the edit is taken back", |status: &StatusDoc| {
            let web = service(status, "web");
            web.message.contains("was taken back")
                && web.message.contains(why)
                && web.status == Word::Degraded
        });
        let done = until(PATIENCE, || stage.engine.containers(&stage.label()).len() == 3);
        assert!(done, "{edit}: nothing is left over: {status:#?}");
        assert_eq!(stage.runs(), before, "{edit}: what served has not been touched");
        assert!(bears_its_name(&stage, &before["web"].id), "{edit}: on its network too");
    }
    stage.put_in_force(PLATFORM);
    stage.settled();
    assert_eq!(stage.runs(), before, "undoing the edit is nothing to do");
}

/// Made, started, disconnected, connected by its name, the old one stopped, two renamed: the points lie after each.
#[test]
fn killed_in_the_middle_one_serves_at_any_time_and_the_new_one_in_the_end() {
    for point in [2, 4, 6, 8, 10, 12] {
        let Some(mut stage) = Stage::ready_with(PLATFORM) else { return };
        let before = stage.runs();
        stage.kill();
        stage.save(&edited(r#"command: ["serve", "NAME=new", "READY_AFTER=500"]"#));
        stage.env.insert("AIPLATD_CRASH_AT".to_owned(), point.to_string());
        stage.spawn();
        assert_eq!(stage.exit_code(PATIENCE), None, "point {point} is reached: {}", stage.log());
        let meanwhile = stage.runs_of("web");
        let serves =
            meanwhile.iter().find(|run| bears_its_name(&stage, &run.id) && is_ready(&stage, &run.id));
        assert!(serves.is_some(), "point {point}: one serves under the name: {meanwhile:#?}");

        stage.env.clear();
        stage.start();
        let status = stage.settled();
        let three = || stage.engine.containers(&stage.label()).len() == 3;
        assert!(until(PATIENCE, three), "point {point}: no container is left over");
        let after = stage.runs();
        assert_ne!(after["web"].id, before["web"].id, "point {point}");
        for run in meanwhile.iter().filter(|run| run.id != before["web"].id) {
            assert_eq!(after["web"], *run, "point {point}: the new one ran already, and runs on");
        }
        let named = stage.container("web").expect("it bears its name");
        assert_eq!(named["Id"], json!(after["web"].id), "point {point}");
        assert_eq!(answers_to_its_name(&stage), "new", "point {point}");
        assert_eq!(after["client"], before["client"], "point {point}");
        assert_eq!(service(&status, "web").restarts, 0, "point {point}: a hand-over is no restart");
    }
}
