//! What people do by hand, and how it is mended.

use std::{collections::BTreeMap, time::Duration};

use aiplat_core::{ResourceId, spec::Limits};
use aiplat_tests::{
    build::{service, sketch},
    scene::Scene,
    sim::engine::State,
};
use insta::assert_snapshot;

use crate::{check, ladder, of};

fn web() -> Scene {
    let mut scene = Scene::new(&sketch([service("web").with(|s| s.networks.push("edge".to_owned()))]));
    scene.converge();
    scene
}

#[test]
fn a_converged_platform_plans_nothing() {
    assert_snapshot!(check(&web()), @"converged");
}

#[test]
fn a_container_that_was_removed_is_made_again() {
    let mut scene = web();
    scene.by_hand(|engine| engine.remove("demo-web", true).expect("exists"));
    assert_snapshot!(ladder(&mut scene, "web"), @r"
    create container demo-web because it does not exist
    connect container <demo-web> to network demo-edge because it is not connected to demo-edge
    start container <demo-web> because it is not started and all it needs is ready
    converged
    ");
}

#[test]
fn a_network_that_was_disconnected_is_connected() {
    let mut scene = web();
    scene.by_hand(|engine| engine.disconnect("demo-edge", "demo-web").expect("connected"));
    assert_snapshot!(ladder(&mut scene, "web"), @r"
    connect container <demo-web> to network demo-edge because it is not connected to demo-edge
    converged
    ");
}

#[test]
fn a_network_that_was_connected_is_disconnected() {
    let mut scene = web();
    scene.by_hand(|engine| {
        engine.create_network("other", BTreeMap::new(), "bridge", false).expect("free");
        engine.connect("other", "demo-web", Vec::new()).expect("not connected");
    });
    assert_snapshot!(ladder(&mut scene, "web"), @r"
    disconnect container <demo-web> from network other because other is not among its networks
    converged
    ");
}

#[test]
fn a_connection_without_the_services_name_is_made_again() {
    let mut scene = web();
    scene.by_hand(|engine| {
        engine.disconnect("demo-edge", "demo-web").expect("connected");
        engine.connect("demo-edge", "demo-web", vec!["other".to_owned()]).expect("not connected");
    });
    assert_snapshot!(ladder(&mut scene, "web"), @r"
    disconnect container <demo-web> from network demo-edge because its connection to demo-edge is not as in the file
    connect container <demo-web> to network demo-edge because it is not connected to demo-edge
    converged
    ");
}

#[test]
fn a_network_that_was_made_anew_gets_the_stopped_container_back() {
    let mut scene = web();
    scene.by_hand(|engine| {
        engine.kill("demo-web").expect("runs");
        engine.remove_network("demo-edge").expect("unused");
    });
    scene.reconcile(&ResourceId::network("edge"));
    assert_snapshot!(ladder(&mut scene, "web"), @r"
    disconnect container <demo-web> from network demo-edge because its connection to demo-edge is not as in the file
    connect container <demo-web> to network demo-edge because it is not connected to demo-edge
    start container <demo-web> because it ended with exit 137 (SIGKILL), restart 1
    converged
    ");
}

#[test]
fn a_renamed_container_gets_its_name_back() {
    let mut scene = web();
    scene.by_hand(|engine| engine.rename("demo-web", "by-hand").expect("free"));
    assert_snapshot!(ladder(&mut scene, "web"), @r"
    rename container <by-hand> to demo-web because it takes its final name
    converged
    ");
}

#[test]
fn a_paused_container_goes_on() {
    let mut scene = web();
    scene.by_hand(|engine| engine.pause("demo-web").expect("runs"));
    assert_snapshot!(ladder(&mut scene, "web"), @r"
    unpause container <demo-web> because it was paused by hand
    converged
    ");
}

#[test]
fn limits_are_changed_without_a_restart() {
    let mut scene = web();
    let limits = Limits { memory: 1 << 30, ..Limits::default() };
    scene.edit(&sketch([service("web").with(|s| {
        s.networks.push("edge".to_owned());
        s.limits = limits;
    })]));
    scene.observe();
    assert_snapshot!(ladder(&mut scene, "web"), @r"
    update limits and restart policy of container <demo-web> because its limits differ from the file
    converged
    ");
}

#[test]
fn a_limit_that_is_lifted_takes_a_replacement() {
    let limits = Limits { memory: 1 << 30, ..Limits::default() };
    let mut scene = Scene::new(&sketch([service("web").with(|s| s.limits = limits)]));
    scene.converge();
    scene.edit(&sketch([service("web")]));
    scene.observe();
    assert_snapshot!(ladder(&mut scene, "web"), @r"
    update limits and restart policy of container <demo-web> because its limits differ from the file
    converged
    ");
}

#[test]
fn a_volume_that_was_removed_is_made_again_and_its_service_waits() {
    let mut scene = Scene::new(&sketch([service("db").volume("data", "/data")]));
    scene.converge();
    scene.by_hand(|engine| {
        engine.remove("demo-db", true).expect("exists");
        engine.remove_volume("demo-data").expect("unused");
    });
    assert_snapshot!(check(&scene), @r"
    volume/data: create volume demo-data because it does not exist
    container/db: blocked: waits for volume/data: it does not exist yet
    ");
}

#[test]
fn a_second_running_container_of_a_service_is_stopped_and_removed() {
    let mut scene = web();
    let copy = scene.engine.find("demo-web").expect("runs").clone();
    scene.by_hand(|engine| {
        let id = format!("{:064x}", 7);
        let second = aiplat_tests::sim::engine::Container {
            id: id.clone(),
            name: "copy".to_owned(),
            created: copy.created - 100,
            ..copy.clone()
        };
        engine.containers.insert(id, second);
    });
    assert_snapshot!(ladder(&mut scene, "web"), @r"
    stop container <copy> (grace 10s) because one service has one container
    remove container <copy> because one service has one container
    converged
    ");
}

#[test]
fn a_container_that_the_engine_left_dead_is_removed() {
    let mut scene = web();
    let id = scene.id_of("demo-web");
    scene.by_hand(|engine| {
        engine.kill("demo-web").expect("runs");
        engine.containers.get_mut(&id).expect("exists").state = State::Dead;
    });
    assert_snapshot!(ladder(&mut scene, "web"), @r"
    remove container <demo-web> because the engine left it dead
    create container demo-web because it does not exist
    connect container <demo-web> to network demo-edge because it is not connected to demo-edge
    start container <demo-web> because it is not started and all it needs is ready
    converged
    ");
}

#[test]
fn a_stop_by_hand_is_healed() {
    let mut scene = web();
    let id = scene.id_of("demo-web");
    scene.by_hand(|engine| engine.end(&id, 143, false));
    assert_snapshot!(of(&scene, "web"), @"start container <demo-web> because it ended with exit 143 (SIGTERM), restart 1");
}

#[test]
fn a_container_of_an_older_aiplatd_with_an_unknown_fingerprint_is_left_alone() {
    let mut scene = web();
    let id = scene.id_of("demo-web");
    scene.by_hand(|engine| {
        let container = engine.containers.get_mut(&id).expect("exists");
        container.labels.insert(aiplat_core::action::label::FINGERPRINT.to_owned(), "v9:k1:abc".to_owned());
    });
    scene.pass(Duration::from_secs(1));
    assert_snapshot!(check(&scene), @"converged");
}

/// Somebody disconnects it as often as it is connected, a minute apart.
fn fought(times: u32) -> Scene {
    let mut scene = web();
    for _ in 0..times {
        scene.by_hand(|engine| {
            let id = engine.find("demo-web").expect("it is there").id.clone();
            engine.disconnect("demo-edge", &id).expect("it is connected");
        });
        ladder(&mut scene, "web");
        scene.pass(Duration::from_secs(60));
    }
    scene
}

#[test]
fn what_is_undone_a_sixth_time_within_ten_minutes_is_a_fight_that_aiplatd_leaves() {
    let mut scene = fought(5);
    scene.by_hand(|engine| {
        let id = engine.find("demo-web").expect("it is there").id.clone();
        engine.disconnect("demo-edge", &id).expect("it is connected");
    });
    assert_snapshot!(of(&scene, "web"), @"held (FoughtOver): somebody undoes what aiplatd does: it is not connected to demo-edge, put right 6 times within 10m; it is left so for 4m: find out who does that, or take the wheel with `aiplatctl suspend web`; `aiplatctl reset-failed web` tries at once (again in 4m)");
    scene.pass(Duration::from_secs(600));
    assert_snapshot!(ladder(&mut scene, "web"), @r"
    connect container <demo-web> to network demo-edge because it is not connected to demo-edge
    converged
    ");
}

#[test]
fn one_more_hand_or_another_thing_is_no_fight() {
    let mut scene = fought(4);
    scene.by_hand(|engine| {
        let id = engine.find("demo-web").expect("it is there").id.clone();
        engine.disconnect("demo-edge", &id).expect("it is connected");
    });
    assert_snapshot!(ladder(&mut scene, "web"), @r"
    connect container <demo-web> to network demo-edge because it is not connected to demo-edge
    converged
    ");
    scene.by_hand(|engine| engine.pause("demo-web").expect("it runs"));
    assert_snapshot!(ladder(&mut scene, "web"), @r"
    unpause container <demo-web> because it was paused by hand
    converged
    ");
}

#[test]
fn an_edit_is_no_fight() {
    let mut scene = Scene::new(&sketch([service("web").with(|s| s.limits.memory = 1)]));
    scene.converge();
    for edit in 2..20 {
        scene.edit(&sketch([service("web").with(|s| s.limits.memory = edit)]));
        scene.observe();
        assert!(ladder(&mut scene, "web").contains("update limits"), "edit {edit}");
    }
}
