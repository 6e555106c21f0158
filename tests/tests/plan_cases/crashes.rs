//! Ends, and what follows them.

use std::time::Duration;

use aiplat_core::{
    ResourceId,
    condition::ConditionType,
    spec::{OnExhausted, RestartMode},
    status,
};
use aiplat_tests::{
    build::{Service, completed, instance, service, sketch},
    scene::{Restart, Scene},
    sim::{App, Ending, engine::State},
};
use insta::assert_snapshot;

use crate::{check, of};

fn web() -> Service {
    service("web").with(|s| s.networks.clear())
}

/// It has been seen to run, and then `time` has passed.
fn ran(service: Service, time: Duration) -> Scene {
    let mut scene = Scene::new(&sketch([service]));
    scene.observe();
    crate::ladder(&mut scene, "web");
    scene.pass(time);
    scene.observe();
    scene
}

/// The state after the `n`-th crash, each `ran` after its start, seen at once.
fn crashed(service: Service, times: u32, ran: Duration) -> Scene {
    let app = App::crashing(ran, 1);
    let mut scene = Scene::new(&sketch([service.app(app)]));
    let id = ResourceId::container("web");
    scene.observe();
    let mut crashes = 0;
    for _ in 0..2_000 {
        let pass = scene.reconcile(&id);
        let running = scene.engine.find("demo-web").is_some_and(|c| c.state == State::Running);
        if pass.outcome.is_some() && !running {
            continue;
        }
        if running {
            scene.look(&id);
            scene.pass(ran);
            scene.look(&id);
            crashes += 1;
            if crashes == times {
                break;
            }
        } else {
            scene.pass(Duration::from_millis(500));
        }
    }
    scene
}

#[test]
fn the_first_crash_is_restarted_at_once() {
    assert_snapshot!(of(&crashed(web(), 1, Duration::from_secs(3)), "web"), @"start container <demo-web> because it ended with exit 1, restart 1");
}

#[test]
fn the_second_crash_in_a_row_waits_about_a_second() {
    assert_snapshot!(of(&crashed(web(), 2, Duration::from_secs(3)), "web"), @"blocked: it ended with exit 1, restart 2 in 930ms (again in 930ms)");
}

#[test]
fn the_back_off_doubles() {
    let waits: Vec<String> =
        (1..=9).map(|times| of(&crashed(web(), times, Duration::from_millis(50)), "web")).collect();
    assert_snapshot!(waits.join("\n"), @r"
    start container <demo-web> because it ended with exit 1, restart 1
    blocked: it ended with exit 1, restart 2 in 930ms (again in 930ms)
    blocked: it ended with exit 1, restart 3 in 1s (again in 1s)
    blocked: it ended with exit 1, restart 4 in 3s (again in 3s)
    blocked: it ended with exit 1, restart 5 in 7s (again in 7s)
    blocked: it ended with exit 1, restart 6 in 14s (again in 14s)
    blocked: it ended with exit 1, restart 7 in 30s (again in 30s)
    blocked: it ended with exit 1, restart 8 in 57s (again in 57s)
    blocked: it ended with exit 1, restart 9 in 2m (again in 2m)
    ");
}

#[test]
fn a_long_run_starts_the_count_anew() {
    assert_snapshot!(of(&crashed(web(), 4, Duration::from_secs(601)), "web"), @"start container <demo-web> because it ended with exit 1, restart 1");
}

#[test]
fn five_restarts_in_ten_minutes_are_a_crash_loop_that_is_tried_on() {
    let scene = crashed(web(), 6, Duration::from_secs(1));
    let step = scene.plan(&ResourceId::container("web"));
    let said = step.conditions.iter().find(|c| c.kind == ConditionType::CrashLoop);
    let said = said.map(|c| format!("CrashLoop={} {}", c.status, c.message)).unwrap_or_default();
    assert_snapshot!(format!("{}\n{said}", of(&scene, "web")), @r"
    blocked: it ended with exit 1, restart 6 in 14s (again in 14s)
    CrashLoop=True restarted 5 times within 10m (last end: exit 1)
    ");
}

#[test]
fn a_crash_loop_is_held_where_the_file_says_hold() {
    let mut scene = crashed(web(), 6, Duration::from_secs(1));
    scene.desired.settings.restart.on_exhausted = OnExhausted::Hold;
    assert_snapshot!(of(&scene, "web"), @"held (CrashLoop): it ended 6 times in a row, last with exit 1; on_exhausted is `hold`; it is tried again when its entry in the file is edited, or with `aiplatctl reset-failed web`");
}

#[test]
fn an_edit_is_tried_at_once_after_a_crash_loop() {
    let mut scene = crashed(web(), 8, Duration::from_secs(1));
    scene.edit(&sketch([web().version(2)]));
    scene.observe();
    assert_snapshot!(crate::ladder(&mut scene, "web"), @r"
    create container demo-web--3e96e6a6 because environment.VERSION changed; made beside the old one
    rename container <demo-web> to demo-web--<demo-web> because its replacement takes the name
    rename container <demo-web--3e96e6a6> to demo-web because it takes its final name
    start container <demo-web> because it is not started and all it needs is ready
    remove container <demo-web--79e05a1d5c37> because the one in its place is ready
    converged
    ");
}

#[test]
fn a_program_that_ends_before_anybody_sees_it_run_backs_off_too() {
    let mut scene = Scene::new(&sketch([web().app(App::crashing(Duration::from_nanos(1), 1))]));
    scene.observe();
    let id = ResourceId::container("web");
    for _ in 0..8 {
        scene.reconcile(&id);
    }
    scene.look(&id);
    assert_snapshot!(of(&scene, "web"), @"blocked: it ended with exit 1, restart 2 in 930ms (again in 930ms)");
}

#[test]
fn exit_0_without_a_restart_mode_is_completed() {
    let mut scene = Scene::new(&sketch([web().app(App::one_shot(Duration::from_secs(1)))]));
    scene.converge();
    assert_snapshot!(format!("{}\n{}", check(&scene), scene.containers()), @r"
    converged
    demo-web Exited exit=0
    ");
}

#[test]
fn exit_0_with_restart_always_is_restarted() {
    let service = web().restart(RestartMode::Always).app(App::one_shot(Duration::from_secs(1)));
    let scene = ran(service, Duration::from_secs(2));
    assert_snapshot!(of(&scene, "web"), @"start container <demo-web> because it ended with exit 0, restart 1");
}

#[test]
fn a_failure_with_restart_no_stays_failed() {
    let mut scene =
        Scene::new(&sketch([web().restart(RestartMode::No).app(App::crashing(Duration::from_secs(1), 3))]));
    scene.converge();
    assert_snapshot!(format!("{}\n{}", check(&scene), scene.containers()), @r"
    container/web: unsatisfied (Failed): it ended with exit 3, and its restart policy leaves it so
    demo-web Exited exit=3
    ");
}

#[test]
fn on_failure_gives_up_after_its_number_of_attempts() {
    let mode = RestartMode::OnFailure(Some(2));
    let lines: Vec<String> = (1..=3)
        .map(|times| of(&crashed(web().restart(mode), times, Duration::from_secs(1)), "web"))
        .collect();
    assert_snapshot!(lines.join("\n"), @r"
    start container <demo-web> because it ended with exit 1, restart 1
    blocked: it ended with exit 1, restart 2 in 930ms (again in 930ms)
    unsatisfied (Failed): it ended with exit 1, and its restart policy leaves it so
    ");
}

#[test]
fn on_failure_leaves_exit_0_completed() {
    let mut scene = Scene::new(&sketch([web()
        .restart(RestartMode::OnFailure(None))
        .app(App::one_shot(Duration::from_secs(1)))]));
    scene.converge();
    assert_snapshot!(check(&scene), @"converged");
}

#[test]
fn a_kill_by_hand_is_healed_and_counted() {
    let mut scene = Scene::new(&sketch([web()]));
    scene.converge();
    scene.by_hand(|engine| engine.kill("demo-web").expect("runs"));
    assert_snapshot!(of(&scene, "web"), @"start container <demo-web> because it ended with exit 137 (SIGKILL), restart 1");
}

#[test]
fn running_out_of_memory_is_named() {
    let ending = Ending { after: Duration::from_secs(1), exit_code: 137, oom: true, says: None, times: 1 };
    let scene = ran(web().app(App { ends: Some(ending), ..App::default() }), Duration::from_secs(2));
    assert_snapshot!(of(&scene, "web"), @"start container <demo-web> because it ended with exit 137 (out of memory), restart 1");
}

#[test]
fn an_end_that_aiplatd_did_not_see_is_healed_and_not_counted() {
    let mut scene = Scene::new(&sketch([web()]));
    scene.converge();
    scene.engine.kill("demo-web").expect("runs");
    scene.restart_daemon();
    assert_snapshot!(of(&scene, "web"), @"start container <demo-web> because it ended with exit 137 (SIGKILL) before aiplatd looked");
}

#[test]
fn an_end_with_the_engine_is_healed_and_not_counted() {
    let mut scene = Scene::new(&sketch([web()]));
    scene.converge();
    scene.restart_engine(Restart::Killed);
    assert_snapshot!(of(&scene, "web"), @"start container <demo-web> because it ended with the engine");
}

#[test]
fn an_end_shortly_before_the_engine_was_lost_is_its_doing() {
    let mut scene = Scene::new(&sketch([web()]));
    scene.converge();
    scene.by_hand(|engine| engine.kill("demo-web").expect("runs"));
    scene.pass(Duration::from_secs(3));
    scene.restart_engine(Restart::Graceful);
    assert_snapshot!(of(&scene, "web"), @"start container <demo-web> because it ended with the engine");
}

#[test]
fn an_end_long_before_the_engine_was_lost_is_a_crash() {
    let mut scene = Scene::new(&sketch([web()]));
    scene.converge();
    scene.by_hand(|engine| engine.kill("demo-web").expect("runs"));
    scene.pass(Duration::from_secs(30));
    scene.restart_engine(Restart::Graceful);
    assert_snapshot!(of(&scene, "web"), @"start container <demo-web> because it ended with exit 137 (SIGKILL), restart 1");
}

#[test]
fn a_service_that_obeys_the_engines_stop_with_exit_0_comes_back_with_it() {
    let mut scene = Scene::new(&sketch([web().app(App { stop_exit: 0, ..App::default() })]));
    scene.converge();
    scene.restart_engine(Restart::Graceful);
    assert_snapshot!(of(&scene, "web"), @"start container <demo-web> because it ended with the engine");
}

#[test]
fn a_one_shot_that_had_completed_does_not_run_again_when_the_engine_restarts() {
    let mut scene = Scene::new(&sketch([
        service("migrate").app(App::one_shot(Duration::from_secs(1))),
        web().after("migrate", completed()),
    ]));
    scene.converge();
    scene.pass(Duration::from_secs(60));
    scene.restart_engine(Restart::Graceful);
    assert_snapshot!(of(&scene, "migrate"), @"converged");
}

#[test]
fn a_one_shot_that_completed_shortly_before_the_engine_was_lost_does_not_run_again() {
    let mut scene = Scene::new(&sketch([
        service("migrate").app(App::one_shot(Duration::from_secs(1))),
        web().after("migrate", completed()),
    ]));
    scene.settle(Duration::from_secs(3));
    scene.restart_engine(Restart::Graceful);
    assert_snapshot!(of(&scene, "migrate"), @"converged");
}

#[test]
fn an_end_that_only_a_listing_has_shown_is_looked_at_before_anything_follows() {
    let mut scene = Scene::new(&sketch([web()]));
    scene.converge();
    scene.engine.kill("demo-web").expect("runs");
    let (listing, now) = (scene.engine.listing(), scene.now());
    scene.observed.record_listing(listing, &instance(), now);
    assert_snapshot!(of(&scene, "web"), @"progressing");
    scene.observe();
    assert_snapshot!(of(&scene, "web"), @"start container <demo-web> because it ended with exit 137 (SIGKILL), restart 1");
}

#[test]
fn a_loop_that_waits_long_counts_what_came_in_a_row() {
    let scene = crashed(web(), 12, Duration::from_millis(50));
    let step = scene.plan(&ResourceId::container("web"));
    let summary = status::summary(&scene.world(), &ResourceId::container("web"), &step);
    assert_snapshot!(summary.message, @"restarted 11 times in a row (last end: exit 1); it ended with exit 1, restart 12 in 4m");
}

#[test]
fn one_that_nobody_probes_and_that_keeps_ending_is_ready_when_it_has_run_for_a_moment() {
    let looping = web().app(App::crashing_times(2, Duration::from_millis(300), 1));
    let mut scene = Scene::new(&sketch([looping]));
    let id = ResourceId::container("web");
    scene.observe();
    let mut seen: Vec<String> = Vec::new();
    for _ in 0..100 {
        scene.reconcile(&id);
        scene.observe();
        let is_up = scene.engine.find("demo-web").is_some_and(|it| it.state == State::Running);
        let ready = scene.plan(&id).conditions.into_iter().find(|it| it.kind == ConditionType::Ready);
        let line =
            ready.map(|it| format!("run {:?}: {} ({})", scene.engine.runs.get("web"), it.status, it.message));
        seen.extend(line.filter(|line| is_up && seen.last() != Some(line)));
        scene.pass(Duration::from_millis(100));
        scene.observe();
    }
    assert_snapshot!(seen.join("\n"), @r"
    run Some(1): True ()
    run Some(2): True ()
    run Some(3): False (web runs, and has ended 2 times in a row before: it is ready when it has run for 5s)
    run Some(3): True ()
    ");
}

#[test]
fn what_a_program_says_of_its_own_secrets_in_its_last_line_is_not_repeated() {
    let app = App::crashing(Duration::from_millis(10), 1)
        .saying("cannot log in with token=s3cr3t-value at postgres://admin:hidden-pw@db:5432/app");
    let mut scene = Scene::new(&sketch([service("web").app(app)]));
    scene.settle(Duration::from_secs(20));
    let why = status::why(&scene.world(), &ResourceId::container("web"));
    let told = why.iter().map(|link| link.sentence.clone()).collect::<Vec<_>>().join("\n");
    assert!(told.contains("cannot log in with token=<redacted>"), "{told}");
    assert!(!told.contains("s3cr3t-value") && !told.contains("hidden-pw"), "{told}");
}
