//! From nothing.

use std::time::Duration;

use aiplat_core::{spec::PullPolicy, ResourceId};
use aiplat_tests::{
    build::{completed, healthy, optional, service, sketch, started},
    scene::Scene,
    sim::App,
};
use insta::assert_snapshot;

use crate::{check, ladder, of};

#[test]
fn nothing_is_decided_before_the_first_listing() {
    let scene = Scene::new(&sketch([service("web")]));
    assert_snapshot!(scene.text(), @"?");
}

#[test]
fn networks_and_volumes_come_first_and_containers_wait_for_them() {
    let mut scene = Scene::new(&sketch([service("db").volume("data", "/data")]));
    scene.observe();
    assert_snapshot!(scene.text(), @"?");
}

#[test]
fn an_image_that_is_absent_is_pulled() {
    let mut scene = Scene::new(&sketch([service("web")]));
    scene.engine.images.clear();
    scene.observe();
    assert_snapshot!(check(&scene), @"?");
}

#[test]
fn an_image_that_has_not_been_looked_for_closes_the_gate_without_a_pull() {
    let mut scene = Scene::new(&sketch([service("web")]));
    scene.observe();
    scene.observed.images.clear();
    assert_snapshot!(check(&scene), @"?");
}

#[test]
fn an_image_that_may_not_be_pulled_is_said_to_be_missing() {
    let mut scene = Scene::new(&sketch([service("web").with(|s| s.pull = PullPolicy::Never)]));
    scene.engine.images.clear();
    scene.observe();
    assert_snapshot!(check(&scene), @"?");
}

#[test]
fn an_image_that_is_always_pulled_is_pulled_once_for_each_change_of_its_users() {
    let always = |version| sketch([service("web").version(version).with(|s| s.pull = PullPolicy::Always)]);
    let mut scene = Scene::new(&always(1));
    scene.observe();
    let first = scene.line(&ResourceId::image("web:1"));
    scene.converge();
    let settled = scene.line(&ResourceId::image("web:1"));
    scene.edit(&always(2));
    let edited = scene.line(&ResourceId::image("web:1"));
    assert_snapshot!([first, settled, edited].join("\n"), @"?");
}

#[test]
fn an_image_that_the_registry_does_not_have_holds_its_service() {
    let mut scene = Scene::new(&sketch([service("web")]));
    scene.engine.images.clear();
    scene.engine.registry.clear();
    scene.settle(Duration::from_secs(5));
    assert_snapshot!(check(&scene), @"?");
}

#[test]
fn a_service_without_dependencies_is_created_and_started() {
    let mut scene = Scene::new(&sketch([service("web").with(|s| s.networks.clear())]));
    scene.observe();
    assert_snapshot!(ladder(&mut scene, "web"), @"?");
}

#[test]
fn a_second_network_is_connected_before_the_start() {
    let mut scene = Scene::new(&sketch([service("web").with(|s| s.networks.push("edge".to_owned()))]));
    scene.observe();
    for network in ["default", "edge"] {
        scene.reconcile(&ResourceId::network(network));
    }
    assert_snapshot!(ladder(&mut scene, "web"), @"?");
}

#[test]
fn a_container_is_made_while_its_dependency_starts_but_not_started() {
    let mut scene = Scene::new(&sketch([service("db").probe(), service("web").after("db", healthy())]));
    scene.observe();
    scene.reconcile(&ResourceId::network("default"));
    assert_snapshot!(ladder(&mut scene, "web"), @"?");
}

#[test]
fn a_dependency_that_has_not_been_probed_is_not_healthy() {
    let mut scene = Scene::new(&sketch([service("db").probe(), service("web").after("db", healthy())]));
    scene.converge();
    scene.by_hand(|engine| engine.kill("demo-web").expect("runs"));
    scene.observed.probes.clear();
    assert_snapshot!(check(&scene), @"?");
}

#[test]
fn a_dependency_whose_probe_has_not_passed_yet_is_waited_for() {
    let app = App::booting(Duration::from_secs(60));
    let mut scene = Scene::new(&sketch([service("db").probe().app(app), service("web").after("db", healthy())]));
    scene.settle(Duration::from_secs(2));
    assert_snapshot!(check(&scene), @"?");
}

#[test]
fn a_dependency_whose_probe_fails_for_its_whole_budget_is_unhealthy_and_its_dependant_waits_on() {
    let app = App::booting(Duration::from_secs(3_600));
    let mut scene = Scene::new(&sketch([service("db").probe().app(app), service("web").after("db", healthy())]));
    scene.settle(Duration::from_secs(10));
    assert_snapshot!(check(&scene), @"?");
}

#[test]
fn a_dependency_that_only_has_to_be_started_opens_the_gate_when_it_runs() {
    let app = App::booting(Duration::from_secs(60));
    let mut scene = Scene::new(&sketch([service("db").probe().app(app), service("web").after("db", started())]));
    scene.settle(Duration::from_secs(2));
    assert_snapshot!(scene.containers(), @"?");
}

#[test]
fn a_one_shot_is_waited_for_until_it_has_completed() {
    let platform = sketch([
        service("migrate").app(App::one_shot(Duration::from_secs(20))),
        service("web").after("migrate", completed()),
    ]);
    let mut scene = Scene::new(&platform);
    scene.settle(Duration::from_secs(2));
    let running = check(&scene);
    scene.converge();
    assert_snapshot!(format!("{running}\n---\n{}\n{}", check(&scene), scene.containers()), @"?");
}

#[test]
fn a_one_shot_that_is_made_and_not_started_has_not_completed() {
    let platform = sketch([service("migrate"), service("web").after("migrate", completed())]);
    let mut scene = Scene::new(&platform);
    scene.observe();
    scene.reconcile(&ResourceId::network("default"));
    scene.reconcile(&ResourceId::container("migrate"));
    scene.reconcile(&ResourceId::container("web"));
    scene.observe();
    assert_snapshot!(of(&scene, "web"), @"?");
}

#[test]
fn a_one_shot_that_fails_keeps_its_dependant_waiting_and_is_tried_again() {
    let platform = sketch([
        service("migrate").app(App::crashing(Duration::from_secs(1), 3)),
        service("web").after("migrate", completed()),
    ]);
    let mut scene = Scene::new(&platform);
    for _ in 0..40 {
        for id in scene.resources() {
            scene.reconcile(&id);
        }
        scene.pass(Duration::from_millis(100));
    }
    scene.observe();
    assert_snapshot!(check(&scene), @"?");
}

#[test]
fn a_dependency_that_is_not_required_is_waited_for_only_while_it_is_on_its_way() {
    let platform = |app| sketch([service("cache").probe().app(app), service("web").after("cache", optional(healthy()))]);
    let mut starting = Scene::new(&platform(App::booting(Duration::from_secs(3_600))));
    starting.settle(Duration::from_millis(1_500));
    let waits = of(&starting, "web");
    starting.pass(Duration::from_secs(10));
    starting.settle(Duration::from_secs(5));
    assert_snapshot!(format!("{waits}\n{}", starting.containers()), @"?");
}

#[test]
fn a_chain_comes_up_in_order_and_stays() {
    let mut scene = Scene::new(&sketch([
        service("a").probe(),
        service("b").probe().after("a", healthy()),
        service("c").probe().after("b", healthy()),
    ]));
    scene.converge();
    assert_snapshot!(format!("{}\n{}", check(&scene), scene.containers()), @"?");
}

#[test]
fn a_missing_host_path_holds_the_container_and_is_named() {
    let mut scene = Scene::new(&sketch([service("web").bind("/srv/web")]));
    scene.settle(Duration::from_secs(5));
    assert_snapshot!(check(&scene), @"?");
}

#[test]
fn a_program_that_is_not_in_the_image_holds_the_container() {
    let app = App { missing_executable: true, ..App::default() };
    let mut scene = Scene::new(&sketch([service("web").app(app)]));
    scene.settle(Duration::from_secs(5));
    assert_snapshot!(check(&scene), @"?");
}

#[test]
fn an_external_network_that_is_missing_is_said_and_never_made() {
    let mut platform = sketch([service("web").with(|s| s.networks = vec!["edge".to_owned()])]);
    platform.external.push(("edge".to_owned(), "proxy".to_owned()));
    let mut scene = Scene::new(&platform);
    scene.observe();
    assert_snapshot!(check(&scene), @"?");
}

#[test]
fn an_external_volume_that_is_missing_is_said_and_never_made() {
    let mut platform = sketch([service("db").volume("data", "/data")]);
    platform.external.push(("data".to_owned(), "old-data".to_owned()));
    let mut scene = Scene::new(&platform);
    scene.settle(Duration::from_secs(5));
    assert_snapshot!(check(&scene), @"?");
}
