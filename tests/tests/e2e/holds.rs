//! What another try does not change is held, with the line that says so, and released by its cure.

use std::fs;

use aiplat_core::condition::{ConditionType, Status, Word};

use crate::harness::{Stage, has, report, service};

const REFUSING: &str = r#"
apiVersion: aiplat/v1
name: @name
services:
  web:
    image: aiplat-demo:1
    command: ["serve", "CONFIG_FILE=/app.conf"]
    volumes: ["@file:/app.conf:ro"]
  other:
    image: aiplat-demo:1
    command: ["serve"]
"#;

#[test]
fn a_bad_configuration_is_held_after_two_tries_and_mending_the_mounted_file_is_enough() {
    let Some(mut stage) = Stage::new() else { return };
    let file = stage.path("app.conf");
    fs::write(&file, "port = 80\nlisen 80\n").expect("written");
    stage.save(&REFUSING.replace("@file", &file.display().to_string()));
    stage.start();
    let held = stage.wait("it is held", |status| service(status, "web").status == Word::Held);
    let row = service(&held, "web");
    assert_eq!(row.restarts, 1, "the second try is the last");
    assert!(row.message.contains("/app.conf line 2: `lisen 80`"), "the line is quoted: {}", row.message);
    assert!(row.message.contains("aiplatctl reset-failed web"), "{}", row.message);
    assert!(has(&held, Some("web"), ConditionType::Held, Status::True));
    assert_eq!(service(&held, "other").status, Word::Ready);
    report(&format!("held: {}", row.message));

    // A restart of the daemon is no reason to try again.
    stage.kill();
    stage.start();
    let held = stage.wait("it is still held", |status| service(status, "web").status == Word::Held);
    assert_eq!(service(&held, "web").restarts, 1);

    fs::write(&file, "port = 80\nlisten = 80\n").expect("written");
    let ready = stage.ready();
    assert!(has(&ready, Some("web"), ConditionType::Held, Status::False), "nothing is held any more");
}

const BROKEN: &str = r#"
apiVersion: aiplat/v1
name: @name
services:
  web:
    image: aiplat-demo:1
    entrypoint: ["/no/such/program"]
"#;

#[test]
fn a_missing_executable_is_tried_twice_and_an_edit_is_tried_at_once() {
    let Some(mut stage) = Stage::new() else { return };
    stage.save(BROKEN);
    stage.start();
    let held = stage.wait("it is held", |status| service(status, "web").status == Word::Held);
    let row = service(&held, "web");
    assert!(row.message.contains("/no/such/program"), "{}", row.message);
    let tries = stage.log().matches("start container").count();
    assert!(tries >= 2, "it was tried twice, not {tries} times:\n{}", stage.log());
    stage.put_in_force(&BROKEN.replace(r#"entrypoint: ["/no/such/program"]"#, "command: [serve]"));
    stage.ready();
}

const LOOPING: &str = r#"
apiVersion: aiplat/v1
name: @name
services:
  web:
    image: aiplat-demo:1
    command: ["crash", "CRASH_AFTER=300", "LOG_LINE=panic: the first one"]
"#;

#[test]
fn the_last_lines_of_a_run_that_is_over_and_of_a_container_that_is_gone_can_be_read() {
    let Some(mut stage) = Stage::new() else { return };
    stage.save(LOOPING);
    stage.start();
    stage.wait("it has crashed twice", |status| service(status, "web").restarts >= 2);
    let said = stage.ctl(&["logs", "web", "--previous"]);
    assert_eq!(said.code, Some(0), "{}", said.said);
    assert!(said.said.contains("panic: the first one"), "{}", said.said);

    stage.put_in_force(
        &LOOPING.replace(r#"["crash", "CRASH_AFTER=300", "LOG_LINE=panic: the first one"]"#, "[serve]"),
    );
    stage.ready();
    stage.settled();
    assert!(stage.log().contains("remove container"), "its predecessor is gone");
    let said = stage.ctl(&["logs", "web", "--previous"]);
    assert!(said.said.contains("panic: the first one"), "{}", said.said);

    // It outlives its service, too.
    stage.put_in_force(
        "apiVersion: aiplat/v1\nname: @name\nservices:\n  other: {image: \"aiplat-demo:1\", command: [serve]}\n",
    );
    stage.settled();
    let said = stage.ctl(&["logs", "web", "--previous"]);
    assert_eq!(said.code, Some(0), "{}", said.said);
    assert!(said.said.contains(": started"), "{}", said.said);
}
