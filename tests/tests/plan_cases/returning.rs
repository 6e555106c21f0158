//! The automatic way back: an edit that does not become ready.

use std::time::Duration;

use aiplat_core::{ResourceId, spec::FailureAction, status};
use aiplat_tests::{
    build::{Service, Sketch, healthy, service, sketch},
    scene::Scene,
    sim::App,
};
use insta::assert_snapshot;

use crate::{check, edited, ladder, of, outcome};

/// `web`, whose second version behaves as `bad` says.
fn web(version: u32, bad: &App) -> Sketch {
    let app = if version == 2 { bad.clone() } else { App::default() };
    sketch([program(version).probe().app(app)])
}

/// A version is another program, and so another image.
fn program(version: u32) -> Service {
    service("web").with(|s| {
        s.networks.clear();
        s.image = format!("web:{version}");
    })
}

fn second(bad: &App) -> Scene {
    edited(&web(1, bad), &web(2, bad))
}

/// How it ends with the second version of `platform`.
fn outcome_of(platform: impl Fn(u32) -> Sketch) -> String {
    let mut scene = edited(&platform(1), &platform(2));
    scene.settle(Duration::from_secs(60));
    outcome(&scene)
}

fn never() -> App {
    App::booting(Duration::from_secs(3_600))
}

#[test]
fn one_that_never_answers_is_taken_back_when_its_time_is_up() {
    assert_snapshot!(outcome_of(|version| web(version, &never())), @r"
    container/web: held (TakenBack): the last edit was taken back, what served before serves: it was not ready within 3s: connection refused; edit its entry, or run `aiplatctl reset-failed web`, to try again
    demo-web Running exit=0
    ");
}

#[test]
fn one_that_crashes_twice_is_taken_back() {
    let mut scene = second(&App::crashing(Duration::from_millis(300), 3));
    assert_snapshot!(ladder(&mut scene, "web"), @r"
    create container demo-web--aa184300 because image changed; made beside the old one
    stop container <demo-web> (grace 10s) because image changed; its replacement is made and may start
    rename container <demo-web> to demo-web--<demo-web> because its replacement takes the name
    rename container <demo-web--aa184300> to demo-web because it takes its final name
    start container <demo-web> because it is not started and all it needs is ready
    progressing
    start container <demo-web> because it ended with exit 3, restart 1
    progressing
    remove container <demo-web> because it ended 2 times in a row, last with exit 3; what served before is brought back
    rename container <demo-web--<demo-web>> to demo-web because it takes its final name
    start container <demo-web> because aiplatd had stopped it
    progressing
    held (TakenBack): the last edit was taken back, what served before serves: it ended 2 times in a row, last with exit 3; edit its entry, or run `aiplatctl reset-failed web`, to try again
    ");
}

#[test]
fn one_whose_program_is_missing_is_taken_back_at_once() {
    assert_snapshot!(outcome_of(|version| web(version, &App { missing_executable: true, ..App::default() })), @r#"
    container/web: held (TakenBack): the last edit was taken back, what served before serves: failed to create task for container: exec: "/nope": stat /nope: no such file or directory; edit its entry, or run `aiplatctl reset-failed web`, to try again
    demo-web Running exit=0
    "#);
}

#[test]
fn one_without_a_probe_is_watched_for_a_moment() {
    let platform = |version| {
        let app = if version == 2 { App::crashing(Duration::from_millis(1_500), 1) } else { App::default() };
        sketch([program(version).app(app)])
    };
    assert_snapshot!(outcome_of(platform), @r"
    container/web: held (TakenBack): the last edit was taken back, what served before serves: it ended 2 times in a row, last with exit 1; edit its entry, or run `aiplatctl reset-failed web`, to try again
    demo-web Running exit=0
    ");
}

#[test]
fn one_that_is_to_be_left_as_it_is_stays() {
    let platform = |version| {
        let mut sketch = web(version, &never());
        sketch.service("web").on_failure = Some(FailureAction::Pause);
        sketch
    };
    assert_snapshot!(outcome_of(platform), @r"
    container/web: unsatisfied (ProbeFailed): web's probe fails (attempt 106): connection refused
    demo-web Running exit=0
    demo-web--79e05a1d5c37 Exited exit=143
    ");
}

#[test]
fn one_that_writes_to_a_volume_stays_unless_the_file_says_otherwise() {
    let platform = |version| {
        let mut sketch = web(version, &never());
        sketch.service("web").volumes.push(("data".to_owned(), "/data".to_owned()));
        sketch
    };
    assert_snapshot!(outcome_of(platform), @r"
    container/web: unsatisfied (ProbeFailed): web's probe fails (attempt 106): connection refused
    demo-web Running exit=0
    demo-web--79e05a1d5c37 Exited exit=143
    ");
}

#[test]
fn undone_after_it_was_taken_back_it_is_as_it_was_and_done_again_it_is_not_tried_again() {
    let mut scene = second(&never());
    scene.settle(Duration::from_secs(60));
    scene.edit(&web(1, &never()));
    scene.observe();
    let undone = check(&scene);
    scene.edit(&web(2, &never()));
    scene.observe();
    assert_snapshot!(format!("{undone}\n---\n{}", check(&scene)), @r"
    converged
    ---
    container/web: held (TakenBack): the last edit was taken back, what served before serves: it was not ready within 3s: connection refused; edit its entry, or run `aiplatctl reset-failed web`, to try again
    ");
}

#[test]
fn the_next_edit_is_tried() {
    let mut scene = second(&never());
    scene.settle(Duration::from_secs(60));
    scene.edit(&web(3, &never()));
    scene.observe();
    scene.converge();
    assert_snapshot!(outcome(&scene), @r"
    converged
    demo-web Running exit=0
    ");
}

#[test]
fn an_edit_of_a_bad_edit_still_goes_back_to_what_has_served() {
    let mut scene = second(&never());
    scene.settle(Duration::from_secs(2));
    let third = |version| sketch([program(version).probe().app(never())]);
    scene.edit(&third(3));
    scene.observe();
    scene.settle(Duration::from_secs(2));
    let trying = scene.containers();
    scene.settle(Duration::from_secs(60));
    assert_snapshot!(format!("{trying}\n---\n{}", outcome(&scene)), @r"
    demo-web Running exit=0
    demo-web--79e05a1d5c37 Exited exit=143
    ---
    container/web: held (TakenBack): the last edit was taken back, what served before serves: it was not ready within 3s: connection refused; edit its entry, or run `aiplatctl reset-failed web`, to try again
    demo-web Running exit=0
    ");
}

#[test]
fn a_dependant_is_started_once_by_an_edit_that_is_taken_back() {
    let platform = |version| {
        let mut sketch = web(version, &never());
        sketch.services.push(service("api").after("web", healthy()).with(|s| s.networks.clear()));
        sketch
    };
    let mut scene = edited(&platform(1), &platform(2));
    scene.settle(Duration::from_secs(60));
    assert_snapshot!(format!("{}\nruns {:?}", of(&scene, "api"), scene.engine.runs), @r#"
    converged
    runs {"api": 1, "web": 3}
    "#);
}

#[test]
fn what_has_never_served_is_not_gone_back_to() {
    let platform = |version| sketch([program(version).app(App::crashing(Duration::from_millis(300), 3))]);
    let mut scene = Scene::new(&platform(1));
    scene.settle(Duration::from_secs(20));
    scene.edit(&platform(2));
    scene.settle(Duration::from_secs(20));
    assert_snapshot!(said(&scene), @r"
    CrashLoop: restarted 6 times within 10m (last end: exit 3); it ended with exit 3, restart 7 in 10s
    why: web CrashLoop=True: restarted 6 times within 10m (last end: exit 3); it ended with exit 3, restart 7 in 10s
    ");
}

#[test]
fn the_edit_is_still_told_of_when_what_is_back_fails_too() {
    let mut scene = second(&never());
    scene.settle(Duration::from_secs(60));
    scene.by_hand(|engine| {
        let id = engine.find("demo-web").expect("it is back").id.clone();
        engine.end(&id, 1, false);
    });
    assert_snapshot!(said(&scene), @r"
    Starting: it ended with exit 1, restart 1; the last edit was taken back, what served before is not ready either: it was not ready within 3s: connection refused; edit its entry, or run `aiplatctl reset-failed web`, to try again
    why: web Started=False: it ended with exit 1, restart 1; the last edit was taken back, what served before is not ready either: it was not ready within 3s: connection refused; edit its entry, or run `aiplatctl reset-failed web`, to try again
    ");
}

#[test]
fn what_is_on_its_way_back_is_said_to_be_so_and_for_how_long() {
    let platform = |version| {
        let app = if version == 2 { never() } else { App::booting(Duration::from_secs(2)) };
        sketch([program(version).probe().app(app)])
    };
    let mut scene = edited(&platform(1), &platform(2));
    for _ in 0..50 {
        scene.settle(Duration::from_millis(500));
        if said(&scene).contains("taken back") {
            break;
        }
    }
    assert_snapshot!(said(&scene), @r"
    Starting: web is starting (attempt 31, 533ms of 3s): connection refused; the last edit was taken back, what served before has been coming back for 538ms: it was not ready within 3s: connection refused; edit its entry, or run `aiplatctl reset-failed web`, to try again
    why: web Healthy=False: web is starting (attempt 31, 533ms of 3s): connection refused; the last edit was taken back, what served before has been coming back for 538ms: it was not ready within 3s: connection refused; edit its entry, or run `aiplatctl reset-failed web`, to try again
    ");
    scene.settle(Duration::from_secs(60));
    assert!(said(&scene).contains("what served before serves: "), "{}", said(&scene));
}

/// What `get` and `why` say of `web`.
fn said(scene: &Scene) -> String {
    let id = ResourceId::container("web");
    let summary = status::summary(&scene.world(), &id, &scene.plan(&id));
    let why: Vec<String> = status::why(&scene.world(), &id).into_iter().map(|link| link.sentence).collect();
    scene.named(&format!("{}: {}\nwhy: {}", summary.word, summary.message, why.join("; ")))
}

#[test]
fn what_is_back_does_not_pay_for_the_ends_of_the_edit() {
    let mut scene = second(&App::crashing(Duration::from_millis(300), 3));
    scene.settle(Duration::from_secs(60));
    scene.by_hand(|engine| {
        let id = engine.find("demo-web").expect("it is back").id.clone();
        engine.end(&id, 1, false);
    });
    assert_snapshot!(of(&scene, "web"), @"start container <demo-web> because it ended with exit 1, restart 1");
}
