//! The engine away, and modes in which nothing is done.

use std::time::Duration;

use aiplat_core::{ResourceId, spec::Mode};
use aiplat_tests::{
    build::{healthy, restarting, service, sketch},
    scene::{Restart, Scene},
};
use insta::assert_snapshot;

use crate::{check, ladder, of};

fn pair() -> Scene {
    let mut scene =
        Scene::new(&sketch([service("db").probe(), service("web").after("db", restarting(healthy()))]));
    scene.converge();
    scene
}

#[test]
fn nothing_is_dead_because_a_socket_is() {
    let mut scene = pair();
    let now = scene.now();
    scene.observed.record_loss("connection refused".to_owned(), now);
    assert_snapshot!(check(&scene), @r"
    network/default: blocked: the engine does not answer: connection refused
    image/db:1: blocked: the engine does not answer: connection refused
    image/web:1: blocked: the engine does not answer: connection refused
    container/db: blocked: the engine does not answer: connection refused
    container/web: blocked: the engine does not answer: connection refused
    ");
}

#[test]
fn containers_that_outlived_the_engine_are_left_alone() {
    let mut scene = pair();
    scene.restart_engine(Restart::Live);
    assert_snapshot!(check(&scene), @"converged");
}

#[test]
fn after_the_engine_the_dependency_comes_back_first() {
    let mut scene = pair();
    scene.restart_engine(Restart::Killed);
    let first = check(&scene);
    scene.converge();
    assert_snapshot!(format!("{first}\n---\n{}\n{}", check(&scene), scene.containers()), @r"
    container/db: start container <demo-db> because it ended with the engine
    container/web: blocked: waits for db
    ---
    converged
    demo-db Running exit=0
    demo-web Running exit=0
    ");
}

#[test]
fn observe_mode_says_what_it_would_do() {
    let mut scene = pair();
    scene.by_hand(|engine| engine.kill("demo-web").expect("runs"));
    scene.desired.settings.mode = Mode::Observe;
    assert_snapshot!(check(&scene), @"container/web: unsatisfied (ObserveOnly): reconcile.mode is `observe`: would start container <demo-web> because it ended with exit 137 (SIGKILL), restart 1");
}

#[test]
fn observe_mode_says_nothing_of_what_is_as_desired() {
    let mut scene = pair();
    scene.desired.settings.mode = Mode::Observe;
    assert_snapshot!(check(&scene), @"converged");
}

#[test]
fn a_dependency_that_restarted_takes_its_dependant_along_once_it_is_ready() {
    let mut scene = pair();
    scene.by_hand(|engine| engine.kill("demo-db").expect("runs"));
    let down = of(&scene, "web");
    scene.reconcile(&ResourceId::container("db"));
    scene.observe();
    let starting = of(&scene, "web");
    scene.pass(Duration::from_secs(1));
    scene.probe();
    scene.pass(Duration::from_secs(1));
    scene.probe();
    assert_snapshot!(format!("{down}\n{starting}\n{}", ladder(&mut scene, "web")), @r"
    converged
    converged
    stop container <demo-web> (grace 10s) because container/db was restarted (restart: true)
    start container <demo-web> because aiplatd had stopped it
    converged
    ");
}

#[test]
fn a_dependency_that_restarted_while_aiplatd_was_down_is_followed_from_the_ledger() {
    let mut scene = pair();
    scene.engine.kill("demo-db").expect("runs");
    scene.engine.start("demo-db").expect("stopped");
    scene.restart_daemon();
    for _ in 0..2 {
        scene.probe();
        scene.pass(Duration::from_secs(1));
    }
    assert_snapshot!(of(&scene, "web"), @"stop container <demo-web> (grace 10s) because container/db was restarted (restart: true)");
}

#[test]
fn without_a_record_what_runs_is_adopted_as_it_is() {
    let mut scene = pair();
    scene.ledger = aiplat_core::ledger::Ledger::default();
    scene.restart_daemon();
    scene.pass(Duration::from_secs(1));
    scene.probe();
    let step = check(&scene);
    scene.settle(Duration::from_secs(5));
    let record = scene.ledger.get(&ResourceId::container("web")).map(|record| record.dependencies.len());
    assert_snapshot!(format!("{step}\n{record:?} incarnation remembered"), @r"
    converged
    Some(1) incarnation remembered
    ");
}

#[test]
fn an_edge_without_restart_follows_nobody() {
    let mut scene = Scene::new(&sketch([service("db").probe(), service("web").after("db", healthy())]));
    scene.converge();
    scene.by_hand(|engine| engine.kill("demo-db").expect("runs"));
    scene.converge();
    assert_snapshot!(check(&scene), @"converged");
}
