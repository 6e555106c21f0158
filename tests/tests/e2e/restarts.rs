//! What ends is started again, or not, as its policy says; what loops is said to loop.

use std::time::{Duration, Instant};

use aiplat_api::v1::StatusDoc;
use aiplat_core::condition::{ConditionType, Status, Word};

use crate::harness::{Stage, has, moment, report, service};

const LOOPING: &str = r#"
apiVersion: aiplat/v1
name: @name
reconcile: {restart_policy: {delay: 500ms, max_delay: 300s}}
services:
  web:
    image: aiplat-demo:1
    command: ["crash", "CRASH_AFTER=100", "EXIT_CODE=3", "LOG_LINE=no such table: users"]
  other:
    image: aiplat-demo:1
    command: ["serve"]
"#;

#[test]
fn a_crash_loop_is_said_with_its_next_attempt_and_an_edit_is_tried_at_once() {
    let Some(mut stage) = Stage::new() else { return };
    stage.save(LOOPING);
    stage.start();
    let waiting = stage.wait("it backs off", |status| service(status, "web").status == Word::BackOff);
    let row = service(&waiting, "web");
    assert!(row.message.contains("exit 3") && row.message.contains(" in "), "{}", row.message);
    assert!(row.message.contains("restart"), "the next attempt is named: {}", row.message);

    let looping = stage.wait("it is said to loop", |status| {
        let row = service(status, "web");
        has(status, Some("web"), ConditionType::CrashLoop, Status::True)
            && row.status == Word::CrashLoop
            && row.message.contains("restart 6 in ")
    });
    let row = service(&looping, "web");
    assert!(row.restarts >= 5, "five restarts are a loop, not {}", row.restarts);
    assert!(row.message.contains("exit 3"), "{}", row.message);
    assert!(row.message.contains("no such table: users"), "its last line is the evidence: {}", row.message);
    report(&format!("crash loop: {}", row.message));
    assert_eq!(service(&looping, "other").status, Word::Ready, "who has nothing to do with it is Ready");

    // The next attempt is eight seconds away; an edit does not wait for it.
    let edited = Instant::now();
    stage.put_in_force(&LOOPING.replace(
        r#"["crash", "CRASH_AFTER=100", "EXIT_CODE=3", "LOG_LINE=no such table: users"]"#,
        r#"["serve"]"#,
    ));
    stage.wait("the edit is tried", |status| service(status, "web").status == Word::Ready);
    let waited = edited.elapsed();
    assert!(waited < Duration::from_secs(5), "an edit is tried at once, not after {waited:?}");
    stage
        .wait("the loop is over", |status| !has(status, Some("web"), ConditionType::CrashLoop, Status::True));
}

const JOBS: &str = r#"
apiVersion: aiplat/v1
name: @name
services:
  migrate:
    image: aiplat-demo:1
    command: ["job", "RUN_FOR=700", "EXIT_CODE=@port1"]
    restart: "no"
  web:
    image: aiplat-demo:1
    command: ["serve"]
    depends_on: {migrate: {condition: service_completed_successfully}}
"#;

#[test]
fn a_job_is_completed_once_and_its_dependant_starts_after_it() {
    let Some(mut stage) = Stage::new() else { return };
    stage.save(&JOBS.replace("@port1", "0"));
    stage.start();
    let status = stage.ready();
    assert_eq!(service(&status, "migrate").status, Word::Completed);
    let job = stage.container("migrate").expect("a completed job keeps its container");
    let ended = moment(job["State"]["FinishedAt"].as_str().unwrap_or_default());
    let started = moment(&stage.runs()["web"].started_at);
    assert!(started >= ended, "web started at {started}, the job ended at {ended}");

    // Neither a restart of the daemon nor a second pass runs it again.
    stage.kill();
    assert_eq!(stage.once().code, Some(0));
    stage.start();
    stage.settled();
    assert_eq!(stage.container("migrate").expect("it is there")["State"], job["State"]);
}

#[test]
fn a_job_that_fails_is_not_repeated_and_its_dependant_says_what_it_waits_for() {
    let Some(mut stage) = Stage::new() else { return };
    stage.save(&JOBS.replace("@port1", "4"));
    stage.start();
    let failed = |status: &StatusDoc| {
        service(status, "migrate").status == Word::Failed && service(status, "web").status == Word::Pending
    };
    let status = stage.wait("the job has failed", failed);
    assert!(
        service(&status, "migrate").message.contains("exit 4"),
        "{}",
        service(&status, "migrate").message
    );
    let why = &service(&status, "web").why;
    assert!(
        why.iter().any(|link| link.contains("migrate")) && why.last().is_some_and(|l| l.contains("exit 4")),
        "{why:?}"
    );
    assert_eq!(service(&status, "migrate").restarts, 0);
    assert!(!stage.runs().contains_key("web"));
    stage.put_in_force(&JOBS.replace("@port1", "0"));
    stage.ready();
}

#[test]
fn on_failure_counts_and_then_leaves_it() {
    let Some(mut stage) = Stage::new() else { return };
    let policy =
        LOOPING.replace("    command: [\"crash\"", "    restart: on-failure:2\n    command: [\"crash\"");
    stage.save(&policy);
    stage.start();
    let status = stage.wait("it is left", |status| service(status, "web").status == Word::Failed);
    assert_eq!(service(&status, "web").restarts, 2, "{}", service(&status, "web").message);
}
