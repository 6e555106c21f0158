//! What a person or an accident does to our containers is healed, and the dependants behave as the file says.

use std::time::{Duration, Instant};

use aiplat_core::condition::{ConditionType, Status, Word};
use serde_json::{Value, json};

use crate::harness::{PATIENCE, Stage, all_ready, has, moment, service, until};

/// `follower` asked to be restarted with `db`, `other` did not. `db` takes its time, so that there is something to see.
const PLATFORM: &str = r#"
apiVersion: aiplat/v1
name: @name
services:
  db:
    image: aiplat-demo:1
    command: ["serve", "TCP_PORT=5432", "READY_AFTER=1500"]
    healthcheck: {tcp: {port: 5432}, interval: 5s}
  follower:
    image: aiplat-demo:1
    command: ["serve"]
    depends_on: {db: {condition: service_healthy, restart: true}}
    healthcheck: {http: {port: 8080, path: /ready}, interval: 5s}
  last:
    image: aiplat-demo:1
    command: ["serve"]
    depends_on: {follower: {condition: service_healthy, restart: true}}
  other:
    image: aiplat-demo:1
    command: ["serve"]
    depends_on: {db: {condition: service_healthy}}
"#;

/// Breaks `db` by `accident`, and checks who followed and who stayed.
fn heals_in_order(mut stage: Stage, accident: impl Fn(&Stage, &str)) -> Stage {
    let before = stage.runs();
    accident(&stage, &before["db"].id);
    let waiting = stage.wait("the dependants see that db is gone", |status| {
        has(status, Some("other"), ConditionType::DependenciesReady, Status::False)
            && has(status, Some("follower"), ConditionType::DependenciesReady, Status::False)
    });
    assert_eq!(
        service(&waiting, "other").status,
        Word::Degraded,
        "it runs on, and says that something is wrong"
    );
    let meanwhile = stage.runs();
    assert_eq!(meanwhile.get("other"), before.get("other"), "nobody is stopped because a dependency is down");
    assert_eq!(meanwhile.get("follower"), before.get("follower"), "nobody follows before it is Ready again");

    let renewed = |stage: &Stage| {
        let now = stage.runs();
        ["db", "follower", "last"].iter().all(|name| now.get(*name).is_some_and(|run| *run != before[*name]))
    };
    assert!(
        until(PATIENCE, || renewed(&stage)),
        "db is healed and the followers are restarted: {:#?}",
        stage.runs()
    );
    let healed = stage.wait("everything is Ready again", |status| {
        all_ready(status) && status.services.iter().all(|service| service.status == Word::Ready)
    });
    let after = stage.runs();
    assert_eq!(after["other"], before["other"], "who did not ask for it is not restarted");
    let ready = |name: &str| moment(service(&healed, name).since.as_deref().unwrap_or_default());
    let started = |name: &str| moment(&after[name].started_at);
    assert!(
        started("follower") >= ready("db"),
        "follower started at {}, db was Ready at {}",
        started("follower"),
        ready("db")
    );
    assert!(started("last") >= ready("follower"));
    stage
}

#[test]
fn a_killed_service_is_started_again_and_only_who_asked_for_it_follows() {
    let Some(stage) = Stage::ready_with(PLATFORM) else { return };
    let id = stage.runs()["db"].id.clone();
    let stage = heals_in_order(stage, |stage, id| {
        stage.engine.post(&format!("/containers/{id}/kill"), &Value::Null);
    });
    assert_eq!(stage.runs()["db"].id, id, "a crash needs no new container");
}

#[test]
fn a_removed_service_is_made_anew_and_only_who_asked_for_it_follows() {
    let Some(stage) = Stage::ready_with(PLATFORM) else { return };
    heals_in_order(stage, |stage, id| stage.engine.delete(&format!("/containers/{id}?force=1")));
}

#[test]
fn a_restart_policy_that_was_given_by_hand_is_taken_away_and_nobody_is_restarted() {
    let Some(mut stage) = Stage::ready_with(PLATFORM) else { return };
    let before = stage.runs();
    let policy = |stage: &Stage| {
        stage.container("other").unwrap_or_default()["HostConfig"]["RestartPolicy"]["Name"].clone()
    };
    let id = before["other"].id.clone();
    stage.engine.post(&format!("/containers/{id}/update"), &json!({"RestartPolicy": {"Name": "always"}}));
    assert!(until(PATIENCE, || policy(&stage) == json!("no")), "{}", policy(&stage));
    stage.settled();
    assert_eq!(stage.runs(), before, "nobody is restarted for it");
}

#[test]
fn a_disconnected_network_is_connected_again_with_its_names_and_nobody_is_restarted() {
    let Some(mut stage) = Stage::ready_with(PLATFORM) else { return };
    let before = stage.runs();
    let network = format!("{}_default", stage.name);
    let body = json!({"Container": before["db"].id, "Force": true});
    stage.engine.post(&format!("/networks/{network}/disconnect"), &body);
    let connected = |stage: &Stage| {
        let inspect = stage.container("db").unwrap_or_default();
        let aliases = &inspect["NetworkSettings"]["Networks"][&network]["Aliases"];
        aliases.as_array().is_some_and(|aliases| aliases.contains(&json!("db")))
    };
    let ok = until(PATIENCE, || connected(&stage));
    assert!(ok, "db is connected again, under its name: {:#?}", stage.container("db"));
    stage.ready();
    assert_eq!(stage.runs(), before, "nobody is restarted for it");
}

#[test]
fn a_paused_service_goes_on_and_a_stopped_one_is_started() {
    let Some(mut stage) = Stage::ready_with(PLATFORM) else { return };
    let before = stage.runs();
    stage.engine.post(&format!("/containers/{}/pause", before["other"].id), &Value::Null);
    let goes_on = |stage: &Stage| stage.container("other").is_some_and(|c| c["State"]["Status"] == "running");
    assert!(until(PATIENCE, || goes_on(&stage)), "other goes on");
    assert_eq!(stage.runs(), before);
    stage.engine.post(&format!("/containers/{}/stop?t=1", before["other"].id), &Value::Null);
    assert!(until(PATIENCE, || goes_on(&stage)), "other is started");
    stage.ready();
    let after = stage.runs();
    assert_eq!((&after["other"].id, &after["db"]), (&before["other"].id, &before["db"]));
}

/// What a container in the middle of its removal looks like must not send the plan in circles.
#[test]
fn a_diff_is_answered_while_a_container_is_being_removed() {
    let Some(mut stage) = Stage::ready_with(PLATFORM) else { return };
    for _ in 0..4 {
        let old = stage.runs()["other"].clone();
        stage.engine.delete_in_background(&format!("/containers/{}?force=1", old.id));
        let renewed = |stage: &Stage| stage.runs().get("other").is_some_and(|run| *run != old);
        let ok = until(PATIENCE, || {
            let asked = Instant::now();
            let answer = stage.call("POST", "/v1/diff", &json!({"file": null}));
            assert!(
                answer.is_ok() && asked.elapsed() < Duration::from_secs(5),
                "{answer:?} after {:?}",
                asked.elapsed()
            );
            renewed(&stage)
        });
        assert!(ok, "other is made anew");
        stage.ready();
    }
}
