//! What a person orders with `aiplatctl`: carried out, kept, and said.

use aiplat_core::condition::{ConditionType, Status, Word};

use crate::harness::{DB_AND_WEB, PATIENCE, Stage, service, until};

/// `web` follows `db`.
fn ready() -> Option<Stage> {
    Stage::ready_with(&DB_AND_WEB.replace("service_healthy}", "service_healthy, restart: true}"))
}

#[test]
fn what_is_stopped_stays_so_over_a_kill_of_the_daemon_until_it_is_started() {
    let Some(mut stage) = ready() else { return };
    let before = stage.runs();
    let stop = stage.ctl(&["stop", "db"]);
    assert_eq!(stop.code, Some(0), "{}", stop.said);
    assert!(stop.said.contains("db Stopped"), "{}", stop.said);
    let status = stage.wait("the dependant is told", |status| {
        let mut conditions = service(status, "web").conditions.iter().map(|it| &it.condition);
        conditions.any(|it| it.kind == ConditionType::DependenciesReady && it.status == Status::False)
    });
    assert_eq!(service(&status, "web").status, Word::Degraded);
    assert_eq!(stage.runs().get("web"), before.get("web"), "its dependant stays up");

    stage.kill();
    stage.start();
    stage.wait("a new daemon keeps the order", |status| service(status, "db").status == Word::Stopped);
    assert_eq!(stage.container("db").expect("it is kept")["State"]["Running"], serde_json::json!(false));
    let status = stage.ctl(&["get", "services", "-o", "wide"]);
    assert!(status.said.contains("aiplatctl start db"), "{}", status.said);

    let start = stage.ctl(&["start", "db"]);
    assert_eq!(start.code, Some(0), "{}", start.said);
    assert!(start.said.contains("db Ready"), "{}", start.said);
    let old = before["web"].started_at.clone();
    let followed = until(PATIENCE, || stage.runs().get("web").is_some_and(|run| run.started_at != old));
    assert!(followed, "who follows db has followed");
    stage.settled();
}

#[test]
fn a_restart_is_a_new_run_of_the_same_container_and_counts_as_no_crash() {
    let Some(mut stage) = ready() else { return };
    let before = stage.runs();
    let restart = stage.ctl(&["restart", "web"]);
    assert_eq!(restart.code, Some(0), "{}", restart.said);
    let after = stage.runs();
    assert_eq!(after["web"].id, before["web"].id);
    assert_ne!(after["web"].started_at, before["web"].started_at);
    assert_eq!(after["db"], before["db"], "the other one is not touched");
    let status = stage.settled();
    assert_eq!(service(&status, "web").restarts, 0, "an order is no crash");
    let event = status.events.iter().find(|event| event.reason == "Operated").expect("it is on record");
    assert!(event.message.contains("uid 0") && event.message.contains("restart"), "{}", event.message);
}

#[test]
fn orders_for_what_is_not_there_are_refused_by_name() {
    let Some(stage) = ready() else { return };
    let typo = stage.ctl(&["restart", "webb"]);
    assert_eq!(typo.code, Some(4), "{}", typo.said);
    assert!(typo.said.contains("did you mean `web`"), "{}", typo.said);
    let nobody = stage.ctl(&["restart"]);
    assert_eq!(nobody.code, Some(2), "{}", nobody.said);
    let image = stage.ctl(&["stop", "image/aiplat-demo:1"]);
    assert_eq!(image.code, Some(2), "{}", image.said);
    let well = stage.ctl(&["restart", "--failed"]);
    assert_eq!(well.code, Some(0), "{}", well.said);
    assert!(well.said.contains("nothing to do"), "{}", well.said);
}
