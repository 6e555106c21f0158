//! Configs on a real engine: a process reads the content that was there at its start, and one edit is one restart.

use std::{fs, path::PathBuf};

use aiplat_core::condition::{ConditionType, Reason, Status, Word};

use crate::harness::{PATIENCE, Stage, condition, service, stage::Run, until};

/// `web` refuses to run with a config that is not made of `key = value` lines, and quotes the wrong one.
const PLATFORM: &str = r#"
apiVersion: aiplat/v1
name: @name
services:
  web:
    image: aiplat-demo:1
    command: ["serve", "CONFIG_FILE=/etc/app.conf"]
    configs: [{source: app, target: /etc/app.conf, mode: 0440}]
    healthcheck: {http: {port: 8080, path: /ready}}
  other:
    image: aiplat-demo:1
    command: ["serve"]
configs:
  app: {file: ./app.conf}
"#;

fn source(stage: &Stage) -> PathBuf {
    stage.path("etc/app.conf")
}

fn edit(stage: &Stage, text: &str) {
    fs::write(source(stage), text).expect("the source can be written");
}

/// Where aiplatd writes it.
fn written(stage: &Stage) -> PathBuf {
    stage.state_dir().join("configs/app@0440-own-own")
}

fn ready() -> Option<Stage> {
    let mut stage = Stage::new()?;
    edit(&stage, "colour = red\n");
    stage.save(PLATFORM);
    stage.start();
    stage.settled();
    Some(stage)
}

fn web(stage: &Stage) -> Run {
    stage.runs()["web"].clone()
}

/// Waits until `web` runs anew, as the same container.
fn follows(stage: &mut Stage, before: &Run) {
    let again = || stage.runs().get("web").is_some_and(|run| run.started_at != before.started_at);
    assert!(until(PATIENCE, again), "web is started again: {}", stage.log());
    assert_eq!(web(stage).id, before.id, "it is the same container");
}

#[test]
fn an_edit_of_the_source_restarts_who_reads_it_once_and_nobody_else() {
    let Some(mut stage) = ready() else { return };
    let before = stage.runs();
    assert_eq!(fs::read_to_string(written(&stage)).expect("it is written"), "colour = red\n");
    edit(&stage, "colour = blue\n");
    follows(&mut stage, &before["web"]);
    stage.settled();
    let after = stage.runs();
    assert_eq!(after["other"], before["other"], "the other one is not touched");
    let of_web = stage.status().map(|status| service(&status, "web").restarts);
    assert_eq!(of_web.expect("the daemon answers"), 0, "it is no crash");

    // What the process has read is shown by what it says of it.
    edit(&stage, "no such line\n");
    let said = stage.wait("web refuses what it has read", |status| {
        service(status, "web").message.contains("`no such line`")
    });
    assert_ne!(service(&said, "web").status, Word::Ready);
    edit(&stage, "colour = green\n");
    stage.wait("the edit is the cure", |status| service(status, "web").status == Word::Ready);
    assert_eq!(stage.runs()["other"], before["other"]);
}

#[test]
fn an_edit_while_aiplatd_is_dead_is_followed_once_when_it_is_back() {
    let Some(mut stage) = ready() else { return };
    let before = stage.runs();
    stage.kill();
    edit(&stage, "colour = blue\n");
    stage.start();
    follows(&mut stage, &before["web"]);
    stage.settled();
    let first = stage.runs();
    stage.kill();
    stage.start();
    stage.settled();
    assert_eq!(stage.runs(), first, "and only once");
    assert_eq!(first["other"], before["other"]);
}

#[test]
fn aiplatd_dies_around_each_step_of_an_edit() {
    // A write, a stop and a start: six points around them.
    for point in 1..=6 {
        let Some(mut stage) = ready() else { return };
        let before = stage.runs();
        stage.stop();
        edit(&stage, "colour = blue\n");
        stage.env.insert("AIPLATD_CRASH_AT".to_owned(), point.to_string());
        stage.spawn();
        assert_eq!(stage.exit_code(PATIENCE), None, "point {point} is reached: {}", stage.log());
        stage.env.clear();
        stage.start();
        stage.settled();
        follows(&mut stage, &before["web"]);
        assert_eq!(stage.runs()["other"], before["other"], "point {point}");
        assert_eq!(fs::read_to_string(written(&stage)).expect("it is written"), "colour = blue\n");
        let first = web(&stage);
        stage.stop();
        stage.start();
        stage.settled();
        assert_eq!(web(&stage), first, "point {point}: one restart, and no more");
    }
}

#[test]
fn a_foreign_file_in_its_place_is_left_alone_and_one_that_is_removed_is_healed() {
    let Some(mut stage) = Stage::new() else { return };
    edit(&stage, "colour = red\n");
    fs::create_dir_all(written(&stage).parent().expect("it has a folder")).expect("made");
    fs::write(written(&stage), "somebody's").expect("written");
    let often = PLATFORM.replace("services:\n", "reconcile: {resync: 2s}\nservices:\n");
    stage.save(&often);
    stage.start();
    stage.wait("web waits for a person", |status| {
        let rendered = condition(status, Some("web"), ConditionType::ConfigRendered);
        rendered.is_some_and(|it| (it.status, it.reason) == (Status::False, Reason::NameTaken))
    });
    stage.wait("the rest converges", |status| service(status, "other").status == Word::Ready);
    assert_eq!(fs::read_to_string(written(&stage)).expect("it is there"), "somebody's");
    fs::remove_file(written(&stage)).expect("removed");
    stage.wait("its own is written with the next listing", |status| {
        service(status, "web").status == Word::Ready
    });
    assert_eq!(fs::read_to_string(written(&stage)).expect("it is written"), "colour = red\n");
    let run = web(&stage);

    let without = often
        .replace("    configs: [{source: app, target: /etc/app.conf, mode: 0440}]\n", "")
        .replace(", \"CONFIG_FILE=/etc/app.conf\"", "")
        .replace("configs:\n  app: {file: ./app.conf}\n", "");
    stage.put_in_force(&without);
    assert!(until(PATIENCE, || !written(&stage).exists()), "what nothing mounts is removed: {}", stage.log());
    assert_ne!(web(&stage).id, run.id);
}
