//! A file that cannot be put in force changes nothing: the last good one stays.

use std::{collections::BTreeMap, fs, io::Write, time::Duration};

use aiplat_api::v1::StatusDoc;
use aiplat_core::condition::{ConditionType, Status};

use crate::harness::{PATIENCE, Stage, all_ready, condition, has, stage::Run, until};

const PLATFORM: &str = r#"apiVersion: aiplat/v1
name: @name
volumes: {data: {}}
services:
  first:
    image: aiplat-demo:1
    command: ["serve", "NAME=first"]
    volumes: ["data:/data"]
  second:
    image: aiplat-demo:1
    command: ["serve", "NAME=second"]
    depends_on: {first: {condition: service_started}}
  third:
    image: aiplat-demo:1
    command: ["serve", "NAME=third"]
"#;

const UNKNOWN_KEY: &str =
    "apiVersion: aiplat/v1\nname: @name\nservices:\n  first:\n    imaeg: aiplat-demo:1\n";

fn converged() -> Option<(Stage, BTreeMap<String, Run>)> {
    let mut stage = Stage::new()?;
    stage.save(PLATFORM);
    stage.start();
    stage.ready();
    let runs = stage.runs();
    Some((stage, runs))
}

fn refused(status: &StatusDoc) -> bool {
    has(status, None, ConditionType::SpecValid, Status::False)
}

fn accepted(status: &StatusDoc) -> bool {
    has(status, None, ConditionType::SpecValid, Status::True) && all_ready(status)
}

/// Whoever was in force is in force, and nobody was touched.
fn nothing_changed(stage: &Stage, status: &StatusDoc, runs: &BTreeMap<String, Run>) {
    let names: Vec<&str> = status.services.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["first", "second", "third"], "the last good file is in force");
    assert_eq!(&stage.runs(), runs, "nobody was touched");
}

#[test]
fn an_invalid_or_empty_file_is_shown_with_its_place_and_changes_nothing() {
    let Some((mut stage, runs)) = converged() else { return };
    let cases = [
        ("an unknown key", UNKNOWN_KEY, "imaeg"),
        ("no YAML", "apiVersion: [aiplat/v1\nservices: {", "platform.yaml"),
        ("empty", "", "platform.yaml"),
        ("whitespace", "  \n\n   \n", "platform.yaml"),
        ("a comment", "# nothing yet\n", "platform.yaml"),
        ("null", "~\n", "platform.yaml"),
        ("binary", "\u{0}\u{1}\u{2}\n", "platform.yaml"),
    ];
    for (what, content, in_report) in cases {
        fs::write(stage.config(), stage.fill(content)).expect("the file can be written");
        let status = stage.wait(&format!("{what}: it is refused"), refused);
        assert!(status.platform.spec_report.contains(in_report), "{what}: {}", status.platform.spec_report);
        nothing_changed(&stage, &status, &runs);
        stage.save(PLATFORM);
        let status = stage.wait(&format!("{what}: mending it recovers"), accepted);
        assert_eq!(status.platform.spec_report, "", "{what}");
        nothing_changed(&stage, &status, &runs);
    }
}

#[test]
fn the_report_of_a_mistake_points_at_it() {
    let Some((mut stage, _)) = converged() else { return };
    stage.save(UNKNOWN_KEY);
    let status = stage.wait("it is refused", refused);
    let report = &status.platform.spec_report;
    assert!(
        report.contains("platform.yaml:5:5") && report.contains('^') && report.contains("image"),
        "{report}"
    );
    let said = condition(&status, None, ConditionType::SpecValid).expect("it is always said");
    assert!(said.message.contains("the last good file stays in force"), "{}", said.message);
}

#[test]
fn half_a_file_removes_nothing_and_the_whole_one_recovers() {
    let Some((mut stage, runs)) = converged() else { return };
    let whole = stage.fill(PLATFORM);
    for eighth in 1..8 {
        let half = &whole[..whole.len() * eighth / 8];
        let generation = stage.status().expect("it answers").platform.generation;
        // Truncated and written in place, as `cp` and some editors do.
        fs::write(stage.config(), half).expect("the file can be written");
        let judged = |status: &StatusDoc| refused(status) || status.platform.generation > generation;
        stage.wait(&format!("{eighth}/8 of the file are judged"), judged);
        assert_eq!(
            stage.engine.containers(&stage.label()).len(),
            3,
            "{eighth}/8: nobody is removed:\n{half}"
        );
        fs::write(stage.config(), &whole).expect("the file can be written");
        let status = stage.wait(&format!("{eighth}/8: the whole file recovers"), |status| {
            accepted(status) && status.services.len() == 3
        });
        nothing_changed(&stage, &status, &runs);
    }
}

#[test]
fn a_file_that_is_still_open_for_writing_is_not_judged() {
    let Some((mut stage, runs)) = converged() else { return };
    let whole = stage.fill(PLATFORM).replace("NAME=third", "NAME=third-edited");
    // Cut where what is there so far is a valid file of its own, with two services and another image.
    let cut = whole.find("aiplat-demo:1\n    command: [\"serve\", \"NAME=second").expect("it is there")
        + "aip".len();
    let (head, tail) = whole.split_at(cut);
    let before = stage.status().expect("it answers").platform.generation;
    let mut file = fs::File::create(stage.config()).expect("the file can be truncated");
    file.write_all(head.as_bytes()).expect("it can be written");
    let judged =
        || stage.status().is_ok_and(|status| refused(&status) || status.platform.generation > before);
    assert!(!until(Duration::from_secs(1), judged), "half a file was judged while its writer had it open");
    file.write_all(tail.as_bytes()).expect("it can be written");
    drop(file);
    stage
        .wait("the whole file is in force", |status| accepted(status) && status.platform.generation > before);
    stage.settled();
    let after = stage.runs();
    assert_eq!((&after["first"], &after["second"]), (&runs["first"], &runs["second"]));
    assert_ne!(after["third"], runs["third"], "the edit is in force");
}

#[test]
fn an_unreadable_or_deleted_file_changes_nothing_and_its_return_recovers() {
    let Some((mut stage, runs)) = converged() else { return };
    fs::remove_file(stage.config()).expect("it is there");
    let status = stage.wait("it is missed", refused);
    let said = condition(&status, None, ConditionType::SpecValid).expect("it is always said");
    assert!(said.message.contains("does not exist"), "{}", said.message);
    nothing_changed(&stage, &status, &runs);

    fs::create_dir(stage.config()).expect("its place is free");
    let status = stage.wait("a folder is no file", |status| {
        refused(status)
            && !condition(status, None, ConditionType::SpecValid)
                .is_some_and(|c| c.message.contains("does not exist"))
    });
    assert!(!status.platform.spec_report.is_empty());
    nothing_changed(&stage, &status, &runs);

    fs::remove_dir(stage.config()).expect("it is empty");
    stage.save(PLATFORM);
    let status = stage.wait("its return recovers", accepted);
    nothing_changed(&stage, &status, &runs);
}

#[test]
fn after_a_restart_of_the_daemon_the_last_good_file_is_in_force_under_a_broken_one() {
    let Some((mut stage, mut runs)) = converged() else { return };
    for (what, content) in [("invalid", Some(UNKNOWN_KEY)), ("empty", Some("")), ("deleted", None)] {
        stage.kill();
        match content {
            Some(content) => stage.save(content),
            None => fs::remove_file(stage.config()).expect("it is there"),
        }
        stage.start();
        let status = stage.wait(what, |status| refused(status) && all_ready(status));
        nothing_changed(&stage, &status, &runs);
        // The last good file is not only shown, it is healed by.
        stage.engine.delete(&format!("/containers/{}?force=1", runs["third"].id));
        let healed = || stage.runs().get("third").is_some_and(|run| *run != runs["third"]);
        assert!(until(PATIENCE, healed), "{what}: third is made anew");
        let healed = stage.runs();
        assert_eq!((&healed["first"], &healed["second"]), (&runs["first"], &runs["second"]), "{what}");
        runs = healed;
        stage.save(PLATFORM);
        let status = stage.wait("mending it recovers", accepted);
        nothing_changed(&stage, &status, &runs);
    }
}
