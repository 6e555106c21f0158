//! What runs and does not answer; what waits for another; what has not begun yet.

use std::time::Duration;

use aiplat_core::{
    ResourceId,
    condition::ConditionType,
    observed::{Driver, Mismatch},
    plan::{Entry, readiness},
    spec::{OnExhausted, RestartMode},
};
use aiplat_tests::{
    build::{Service, gpus, healthy, service, sketch, started, tcp_probe},
    generate::gpus::two_cards,
    scene::Scene,
    sim::App,
};
use insta::assert_snapshot;

use crate::{converged, of};

fn web() -> Service {
    service("web").with(|s| s.networks.clear()).probe().liveness()
}

/// `time` passes; every probe that is due is made, and every pass that something asks for. The lines of what is done to
/// `web`, and when.
fn live(scene: &mut Scene, time: Duration) -> String {
    let id = ResourceId::container("web");
    let (began, mut lines) = (scene.now(), Vec::new());
    let end = began + time;
    while scene.now() < end {
        scene.observe();
        let due = scene.probe();
        for other in scene.resources() {
            let pass = scene.reconcile(&other);
            if let (true, Some(planned)) = (other == id, pass.step.action) {
                let at = aiplat_core::time::human(scene.now().since(began));
                lines.push(scene.named(&format!("{at}: {} because {}", planned.action, planned.cause)));
            }
        }
        let left = scene.now().until(end);
        scene.pass(due.unwrap_or(left).clamp(Duration::from_millis(1), Duration::from_millis(100)).min(left));
    }
    scene.observe();
    lines.join("\n")
}

#[test]
fn one_that_has_a_gpu_is_not_revived_while_driver_and_library_disagree() {
    let mut scene = converged(&sketch([web().gpu(gpus(1))]));
    scene.observed.gpus.nvidia = Driver::Mismatch(Mismatch::default());
    mute(&mut scene, "web");
    assert_eq!(live(&mut scene, Duration::from_secs(60)), "", "it would not come back");
    scene.observed.gpus.nvidia = two_cards().nvidia;
    let done = live(&mut scene, Duration::from_secs(20));
    assert!(done.contains("because it does not answer"), "{done}");
}

fn mute(scene: &mut Scene, service: &str) {
    scene.engine.muted.insert(service.to_owned());
}

/// Its probes are made until `time` has passed, and nothing is done about it.
fn probed(scene: &mut Scene, time: Duration) {
    let end = scene.now() + time;
    while scene.now() < end {
        let due = scene.probe().unwrap_or(time);
        let left = scene.now().until(end);
        scene.pass(due.clamp(Duration::from_millis(1), Duration::from_secs(1)).min(left));
    }
    scene.probe();
    scene.observe();
}

fn said(scene: &Scene, service: &str) -> String {
    let readiness = readiness(&scene.world(), &ResourceId::container(service));
    format!("{} {}: {}", readiness.status, readiness.reason, readiness.message)
}

fn condition(scene: &Scene, service: &str, kind: ConditionType) -> String {
    let step = scene.plan(&ResourceId::container(service));
    let found = step.conditions.iter().find(|condition| condition.kind == kind);
    found.map(|it| format!("{}={} {} {}", it.kind, it.status, it.reason, it.message)).unwrap_or_default()
}

/// What is planned for `web`, and what is said of its readiness.
fn state(scene: &Scene) -> String {
    format!("{}\n{}", of(scene, "web"), said(scene, "web"))
}

#[test]
fn what_does_not_answer_is_restarted_after_its_tries() {
    let mut scene = converged(&sketch([web()]));
    mute(&mut scene, "web");
    probed(&mut scene, Duration::from_millis(4_500));
    assert_snapshot!(of(&scene, "web"), @"unsatisfied (ProbeFailed): web's probe fails (attempt 65): connection refused");
    probed(&mut scene, Duration::from_secs(1));
    assert_snapshot!(state(&scene), @r"
    stop container <demo-web> (grace 10s) because it does not answer (connection refused), restart 1
    False Unresponsive: web does not answer: connection refused
    ");
}

#[test]
fn a_restart_helps_what_hung_and_is_counted() {
    let mut scene = Scene::new(&sketch([web().app(App::hanging(1, Duration::from_secs(3)))]));
    scene.observe();
    assert_snapshot!(live(&mut scene, Duration::from_secs(30)), @r"
    6ms: create container demo-web because it does not exist
    214ms: start container <demo-web> because it is not started and all it needs is ready
    7s: stop container <demo-web> (grace 10s) because it does not answer (connection refused), restart 1
    8s: start container <demo-web> because aiplatd had stopped it
    ");
    let record = scene.ledger.get(&ResourceId::container("web")).expect("a record");
    assert_eq!(record.restarts.total, 1);
    assert_snapshot!(record.restarts.recent[0].ending, @"no answer (connection refused)");
    assert_snapshot!(state(&scene), @r"
    converged
    True ProbePassed:
    ");
}

#[test]
fn restarts_of_what_does_not_answer_back_off_as_those_of_a_crash() {
    let mut scene = Scene::new(&sketch([web().app(App::hanging(u32::MAX, Duration::from_secs(1)))]));
    scene.observe();
    assert_snapshot!(live(&mut scene, Duration::from_secs(100)), @r"
    6ms: create container demo-web because it does not exist
    214ms: start container <demo-web> because it is not started and all it needs is ready
    5s: stop container <demo-web> (grace 10s) because it does not answer (connection refused), restart 1
    6s: start container <demo-web> because aiplatd had stopped it
    11s: stop container <demo-web> (grace 10s) because it does not answer (connection refused), restart 2
    11s: start container <demo-web> because aiplatd had stopped it
    17s: stop container <demo-web> (grace 10s) because it does not answer (connection refused), restart 3
    17s: start container <demo-web> because aiplatd had stopped it
    23s: stop container <demo-web> (grace 10s) because it does not answer (connection refused), restart 4
    23s: start container <demo-web> because aiplatd had stopped it
    31s: stop container <demo-web> (grace 10s) because it does not answer (connection refused), restart 5
    31s: start container <demo-web> because aiplatd had stopped it
    46s: stop container <demo-web> (grace 10s) because it does not answer (connection refused), restart 6
    46s: start container <demo-web> because aiplatd had stopped it
    78s: stop container <demo-web> (grace 10s) because it does not answer (connection refused), restart 7
    78s: start container <demo-web> because aiplatd had stopped it
    ");
    assert_snapshot!(condition(&scene, "web", ConditionType::CrashLoop), @"CrashLoop=True CrashLoop restarted 7 times within 10m (last end: no answer (connection refused))");
}

#[test]
fn a_restart_that_aiplatd_died_over_is_neither_counted_twice_nor_put_off() {
    let mut scene = converged(&sketch([web()]));
    mute(&mut scene, "web");
    probed(&mut scene, Duration::from_secs(6));
    let id = ResourceId::container("web");
    let step = scene.plan(&id);
    for entry in aiplat_core::plan::entries(&scene.world(), &id, &step) {
        if matches!(entry, Entry::Restart { .. }) {
            scene.ledger.enter(&id, entry);
        }
    }
    assert_snapshot!(of(&scene, "web"), @"stop container <demo-web> (grace 10s) because it does not answer (connection refused), restart 1");
    drop(scene.reconcile(&id));
    assert_eq!(scene.ledger.get(&id).expect("a record").restarts.total, 1);
    assert_snapshot!(of(&scene, "web"), @"start container <demo-web> because aiplatd had stopped it");
}

#[test]
fn where_no_end_is_healed_nothing_is_restarted_for_its_liveness() {
    let mut scene = converged(&sketch([web().restart(RestartMode::No)]));
    mute(&mut scene, "web");
    probed(&mut scene, Duration::from_secs(8));
    assert_snapshot!(of(&scene, "web"), @"unsatisfied (Unresponsive): web does not answer: connection refused");
}

#[test]
fn a_loop_of_restarts_is_held_where_the_file_says_hold() {
    let mut sketch = sketch([web().app(App::hanging(u32::MAX, Duration::from_secs(1)))]);
    sketch.settings.restart.on_exhausted = OnExhausted::Hold;
    sketch.settings.restart.crash_loop = 2;
    let mut scene = Scene::new(&sketch);
    live(&mut scene, Duration::from_secs(60));
    assert_snapshot!(of(&scene, "web"), @"held (CrashLoop): it was restarted 2 times in a row and does not answer (connection refused); on_exhausted is `hold`: edit its entry in the file to try again");
}

#[test]
fn while_a_dependency_is_down_nothing_is_restarted_for_it_and_nothing_is_counted() {
    let web = web().after("db", healthy()).app(App::relying_on("db"));
    let mut scene = converged(&sketch([service("db").probe(), web.clone()]));
    let run = scene.engine.find("demo-web").expect("it runs").started;
    mute(&mut scene, "db");
    live(&mut scene, Duration::from_secs(60));
    assert_snapshot!(state(&scene), @r"
    blocked: waits for db
    False WaitingForDependencies: web waits for db: connection refused
    ");
    assert_snapshot!(condition(&scene, "web", ConditionType::DependenciesReady), @"DependenciesReady=False WaitingForDependencies waits for db");
    scene.engine.muted.clear();
    live(&mut scene, Duration::from_secs(10));
    assert_snapshot!(state(&scene), @r"
    converged
    True ProbePassed:
    ");
    assert_eq!(scene.engine.find("demo-web").expect("it runs").started, run, "the same run");
    let record = scene.ledger.get(&ResourceId::container("web")).expect("a record");
    assert_eq!(record.restarts.total, 0);
}

#[test]
fn a_dependency_that_only_had_to_run_excuses_too_and_one_that_is_not_required_does_not() {
    let relying = |edge| web().after("db", edge).app(App::relying_on("db"));
    let outcome = |edge| {
        let mut scene = converged(&sketch([service("db").probe(), relying(edge)]));
        mute(&mut scene, "db");
        live(&mut scene, Duration::from_secs(20));
        scene.ledger.get(&ResourceId::container("web")).expect("a record").restarts.total
    };
    assert_eq!(outcome(started()), 0);
    assert!(outcome(aiplat_tests::build::optional(healthy())) > 0);
}

#[test]
fn a_wait_for_a_dependency_costs_nothing_of_the_time_to_become_ready() {
    let web = service("web").probe().after("db", healthy()).app(App::relying_on("db"));
    let mut scene = Scene::new(&sketch([service("db").probe(), web]));
    live(&mut scene, Duration::from_millis(1_200));
    mute(&mut scene, "db");
    live(&mut scene, Duration::from_secs(60));
    let facts = scene.observed.probes.values().find(|facts| !facts.waits_for.is_empty()).expect("it waits");
    assert_eq!(facts.healthy, None, "neither its tries nor its time are used up");
    scene.engine.muted.clear();
    scene.engine.muted.insert("web".to_owned());
    live(&mut scene, Duration::from_millis(2_200));
    assert_snapshot!(said(&scene, "web"), @"False ProbePending: web is starting (attempt 108, 2s of 3s): connection refused");
    live(&mut scene, Duration::from_secs(3));
    assert_snapshot!(said(&scene, "web"), @"False ProbeFailed: web's probe fails (attempt 111): connection refused");
}

#[test]
fn what_a_dependency_held_up_is_asked_as_soon_as_that_is_ready() {
    let slow = aiplat_core::spec::ProbeSpec { interval: Duration::from_secs(30), ..tcp_probe() };
    let web = service("web").after("db", healthy()).app(App::relying_on("db")).with(|s| s.probe = Some(slow));
    let mut scene = converged(&sketch([service("db").probe(), web]));
    mute(&mut scene, "db");
    live(&mut scene, Duration::from_secs(40));
    scene.engine.muted.clear();
    live(&mut scene, Duration::from_millis(1_500));
    assert_snapshot!(said(&scene, "web"), @"True ProbePassed:");
}

#[test]
fn startup_holds_the_other_probes_back() {
    let web = web().startup().app(App::booting(Duration::from_secs(4)));
    let mut scene = Scene::new(&sketch([web]));
    live(&mut scene, Duration::from_secs(3));
    assert_eq!(scene.observed.probes.len(), 1, "only startup is asked");
    assert_snapshot!(state(&scene), @r"
    progressing
    False ProbePending: web is starting (attempt 44, 2s of 5s): connection refused
    ");
    live(&mut scene, Duration::from_secs(3));
    assert_eq!(scene.observed.probes.len(), 3, "all three were asked");
    assert_snapshot!(state(&scene), @r"
    converged
    True ProbePassed:
    ");
}

#[test]
fn when_the_time_for_startup_is_up_liveness_begins_and_restarts() {
    let web = web().startup().app(App::booting(Duration::from_secs(3_600)));
    let mut scene = Scene::new(&sketch([web]));
    scene.observe();
    assert_snapshot!(live(&mut scene, Duration::from_secs(14)), @r"
    6ms: create container demo-web because it does not exist
    214ms: start container <demo-web> because it is not started and all it needs is ready
    10s: stop container <demo-web> (grace 10s) because it does not answer (connection refused), restart 1
    10s: start container <demo-web> because aiplatd had stopped it
    ");
}

#[test]
fn without_another_probe_startup_decides_and_a_late_success_counts() {
    let web = service("web").startup().app(App::booting(Duration::from_secs(8)));
    let mut scene = Scene::new(&sketch([web]));
    live(&mut scene, Duration::from_secs(7));
    assert_snapshot!(said(&scene, "web"), @"False ProbeFailed: web's probe fails (attempt 52): connection refused");
    live(&mut scene, Duration::from_secs(3));
    assert_snapshot!(said(&scene, "web"), @"True ProbePassed:");
}

#[test]
fn an_edit_that_does_not_answer_is_taken_back_and_not_restarted() {
    let mut scene = converged(&sketch([web()]));
    let hangs = App { stop_exit: 0, ..App::hanging(u32::MAX, Duration::ZERO) };
    let edit = web().version(2).with(|s| {
        s.image = "web:2".to_owned();
        s.liveness.as_mut().expect("it has one").retries = 1;
        s.app = hangs;
    });
    scene.edit(&sketch([edit]));
    assert_snapshot!(live(&mut scene, Duration::from_secs(12)), @r"
    6ms: create container demo-web--1848ed18 because environment.VERSION, image changed; made beside the old one
    207ms: stop container <demo-web> (grace 10s) because environment.VERSION, image changed; its replacement is made and may start
    313ms: rename container <demo-web--79e05a1d5c37> to demo-web--<demo-web--79e05a1d5c37> because its replacement takes the name
    419ms: rename container <demo-web> to demo-web because it takes its final name
    627ms: start container <demo-web> because it is not started and all it needs is ready
    1s: stop container <demo-web> (grace 10s) because it does not answer: connection refused; what served before is brought back
    2s: remove container 9534194f01ad because one service has one container
    2s: rename container <demo-web> to demo-web because it takes its final name
    2s: start container <demo-web> because aiplatd had stopped it
    ");
}

#[test]
fn after_a_restart_of_aiplatd_one_failure_says_nothing_yet() {
    let mut scene = converged(&sketch([web()]));
    let id = ResourceId::container("web");
    let step = scene.plan(&id);
    let ready = step.conditions.iter().find(|it| it.kind == ConditionType::Ready).expect("it is said");
    let since = aiplat_core::ledger::Transition { status: ready.status, reason: ready.reason, wall_ms: 0 };
    scene.ledger.entry(&id).transitions.insert(ConditionType::Ready, since);
    scene.restart_daemon();
    mute(&mut scene, "web");
    probed(&mut scene, Duration::from_millis(600));
    assert_snapshot!(said(&scene, "web"), @"Unknown ProbePending: web has not passed since aiplatd began to ask (attempt 31): connection refused");
    probed(&mut scene, Duration::from_secs(4));
    assert_snapshot!(said(&scene, "web"), @"False ProbeFailed: web's probe fails (attempt 49): connection refused");
}
