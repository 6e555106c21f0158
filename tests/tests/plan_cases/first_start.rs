//! From nothing.

use std::time::Duration;

use aiplat_core::{ResourceId, condition::Word, spec::PullPolicy, status};
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
    assert_snapshot!(scene.text(), @r"
    network/default: blocked: the engine has not been listed yet
    image/web:1: blocked: the engine has not been listed yet
    container/web: blocked: the engine has not been listed yet
    ");
}

#[test]
fn networks_and_volumes_come_first_and_containers_wait_for_them() {
    let mut scene = Scene::new(&sketch([service("db").volume("data", "/data")]));
    scene.observe();
    assert_snapshot!(scene.text(), @r"
    network/default: create network demo-default because it does not exist
    volume/data: create volume demo-data because it does not exist
    image/db:1: converged
    container/db: blocked: waits for network/default: it does not exist yet; waits for volume/data: it does not exist yet
    ");
}

#[test]
fn an_image_that_is_absent_is_pulled() {
    let mut scene = Scene::new(&sketch([service("web")]));
    scene.engine.images.clear();
    scene.observe();
    assert_snapshot!(check(&scene), @r"
    network/default: create network demo-default because it does not exist
    image/web:1: pull web:1 because it does not exist
    container/web: blocked: pulling web:1; waits for network/default: it does not exist yet
    ");
}

#[test]
fn an_image_that_has_not_been_looked_for_closes_the_gate_without_a_pull() {
    let mut scene = Scene::new(&sketch([service("web")]));
    scene.observe();
    scene.observed.images.clear();
    assert_snapshot!(check(&scene), @r"
    network/default: create network demo-default because it does not exist
    image/web:1: progressing
    container/web: blocked: image web:1 has not been looked for yet; waits for network/default: it does not exist yet
    ");
}

#[test]
fn an_image_that_may_not_be_pulled_is_said_to_be_missing() {
    let mut scene = Scene::new(&sketch([service("web").with(|s| s.pull = PullPolicy::Never)]));
    scene.engine.images.clear();
    scene.observe();
    assert_snapshot!(check(&scene), @r"
    network/default: create network demo-default because it does not exist
    image/web:1: unsatisfied (PullNever): image web:1 is not on this machine and pull_policy is `never`: load it with `docker load`, or pull it
    container/web: blocked: image web:1 is not on this machine and pull_policy is `never`: load it with `docker load`, or pull it; waits for network/default: it does not exist yet
    ");
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
    assert_snapshot!([first, settled, edited].join("\n"), @r"
    pull web:1 because pull_policy is always
    converged
    pull web:1 because pull_policy is always
    ");
}

#[test]
fn an_image_that_the_registry_does_not_have_holds_its_service() {
    let mut scene = Scene::new(&sketch([service("web")]));
    scene.engine.images.clear();
    scene.engine.registry.clear();
    scene.settle(Duration::from_secs(5));
    assert_snapshot!(check(&scene), @r"
    image/web:1: held (ImageNotFound): manifest for web:1 not found: manifest unknown
    container/web: blocked: manifest for web:1 not found: manifest unknown, next attempt on edit
    ");
}

#[test]
fn a_service_without_dependencies_is_created_and_started() {
    let mut scene = Scene::new(&sketch([service("web").with(|s| s.networks.clear())]));
    scene.observe();
    assert_snapshot!(ladder(&mut scene, "web"), @r"
    create container demo-web because it does not exist
    start container <demo-web> because it is not started and all it needs is ready
    converged
    ");
}

#[test]
fn a_second_network_is_connected_before_the_start() {
    let mut scene = Scene::new(&sketch([service("web").with(|s| s.networks.push("edge".to_owned()))]));
    scene.observe();
    for network in ["default", "edge"] {
        scene.reconcile(&ResourceId::network(network));
    }
    assert_snapshot!(ladder(&mut scene, "web"), @r"
    create container demo-web because it does not exist
    connect container <demo-web> to network demo-edge because it is not connected to demo-edge
    start container <demo-web> because it is not started and all it needs is ready
    converged
    ");
}

#[test]
fn a_container_is_made_while_its_dependency_starts_but_not_started() {
    let mut scene = Scene::new(&sketch([service("db").probe(), service("web").after("db", healthy())]));
    scene.observe();
    scene.reconcile(&ResourceId::network("default"));
    assert_snapshot!(ladder(&mut scene, "web"), @r"
    create container demo-web because it does not exist
    blocked: waits for db
    ");
}

#[test]
fn a_dependency_that_has_not_been_probed_is_not_healthy() {
    let mut scene = Scene::new(&sketch([service("db").probe(), service("web").after("db", healthy())]));
    scene.converge();
    scene.by_hand(|engine| engine.kill("demo-web").expect("runs"));
    scene.observed.probes.clear();
    assert_snapshot!(check(&scene), @r"
    container/db: progressing
    container/web: blocked: waits for db
    ");
}

#[test]
fn a_dependency_whose_probe_has_not_passed_yet_is_waited_for() {
    let app = App::booting(Duration::from_secs(60));
    let mut scene =
        Scene::new(&sketch([service("db").probe().app(app), service("web").after("db", healthy())]));
    scene.settle(Duration::from_secs(2));
    assert_snapshot!(check(&scene), @r"
    container/db: progressing
    container/web: blocked: waits for db
    ");
}

#[test]
fn a_dependency_whose_probe_fails_for_its_whole_budget_is_unhealthy_and_its_dependant_waits_on() {
    let app = App::booting(Duration::from_secs(3_600));
    let mut scene =
        Scene::new(&sketch([service("db").probe().app(app), service("web").after("db", healthy())]));
    scene.settle(Duration::from_secs(10));
    assert_snapshot!(check(&scene), @r"
    container/db: unsatisfied (ProbeFailed): db's probe fails (attempt 56): connection refused
    container/web: blocked: waits for db
    ");
}

#[test]
fn a_dependency_that_only_has_to_be_started_opens_the_gate_when_it_runs() {
    let app = App::booting(Duration::from_secs(60));
    let mut scene =
        Scene::new(&sketch([service("db").probe().app(app), service("web").after("db", started())]));
    scene.settle(Duration::from_secs(2));
    assert_snapshot!(scene.containers(), @r"
    demo-db Running exit=0
    demo-web Running exit=0
    ");
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
    assert_snapshot!(format!("{running}\n---\n{}\n{}", check(&scene), scene.containers()), @r"
    container/web: blocked: waits for migrate
    ---
    converged
    demo-migrate Exited exit=0
    demo-web Running exit=0
    ");
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
    assert_snapshot!(of(&scene, "web"), @"blocked: waits for migrate");
}

#[test]
fn a_one_shot_that_fails_keeps_its_dependant_waiting_and_is_tried_again() {
    let platform = sketch([
        service("migrate").app(App::crashing(Duration::from_secs(1), 3)),
        service("web").after("migrate", completed()),
    ]);
    let mut scene = Scene::new(&platform);
    scene.observe();
    for _ in 0..40 {
        for id in scene.resources() {
            scene.reconcile(&id);
        }
        scene.pass(Duration::from_millis(100));
    }
    scene.observe();
    assert_snapshot!(check(&scene), @"container/web: blocked: waits for migrate");
}

#[test]
fn a_dependency_that_is_not_required_is_waited_for_only_while_it_is_on_its_way() {
    let platform =
        |app| sketch([service("cache").probe().app(app), service("web").after("cache", optional(healthy()))]);
    let mut starting = Scene::new(&platform(App::booting(Duration::from_secs(3_600))));
    starting.settle(Duration::from_millis(1_500));
    let waits = of(&starting, "web");
    starting.pass(Duration::from_secs(10));
    starting.settle(Duration::from_secs(5));
    assert_snapshot!(format!("{waits}\n{}", starting.containers()), @r"
    blocked: waits for cache
    demo-cache Running exit=0
    demo-web Running exit=0
    ");
}

#[test]
fn a_chain_comes_up_in_order_and_stays() {
    let mut scene = Scene::new(&sketch([
        service("a").probe(),
        service("b").probe().after("a", healthy()),
        service("c").probe().after("b", healthy()),
    ]));
    scene.converge();
    assert_snapshot!(format!("{}\n{}", check(&scene), scene.containers()), @r"
    converged
    demo-a Running exit=0
    demo-b Running exit=0
    demo-c Running exit=0
    ");
}

#[test]
fn a_missing_host_path_holds_the_container_and_is_named() {
    let mut scene = Scene::new(&sketch([service("web").bind("/srv/web")]));
    scene.settle(Duration::from_secs(5));
    assert_snapshot!(check(&scene), @r#"container/web: held (HostPathMissing): invalid mount config for type "bind": bind source path does not exist: /srv/web; it is tried again when its entry in the file is edited, or with `aiplatctl reset-failed web`"#);
}

#[test]
fn a_program_that_is_not_in_the_image_holds_the_container() {
    let app = App { missing_executable: true, ..App::default() };
    let mut scene = Scene::new(&sketch([service("web").app(app)]));
    scene.settle(Duration::from_secs(5));
    assert_snapshot!(check(&scene), @r#"container/web: held (ExecutableMissing): failed to create task for container: exec: "/nope": stat /nope: no such file or directory; it is tried again when its entry in the file is edited, or with `aiplatctl reset-failed web`"#);
}

#[test]
fn an_external_network_that_is_missing_is_said_and_never_made() {
    let mut platform = sketch([service("web").with(|s| s.networks = vec!["edge".to_owned()])]);
    platform.external.push(("edge".to_owned(), "proxy".to_owned()));
    let mut scene = Scene::new(&platform);
    scene.observe();
    assert_snapshot!(check(&scene), @r"
    network/edge: unsatisfied (ExternalMissing): external network `proxy` does not exist: create it with `docker network create proxy`
    container/web: blocked: waits for network/edge: external network `proxy` does not exist: create it with `docker network create proxy`
    ");
}

#[test]
fn an_external_volume_that_is_missing_is_said_and_never_made() {
    let mut platform = sketch([service("db").volume("data", "/data")]);
    platform.external.push(("data".to_owned(), "old-data".to_owned()));
    let mut scene = Scene::new(&platform);
    scene.settle(Duration::from_secs(5));
    assert_snapshot!(check(&scene), @r"
    volume/data: unsatisfied (ExternalMissing): external volume `old-data` does not exist: create it with `docker volume create old-data`
    container/db: blocked: waits for volume/data: external volume `old-data` does not exist: create it with `docker volume create old-data`
    ");
}

#[test]
fn while_it_starts_it_says_what_it_is_waited_for() {
    let mut scene = Scene::new(&sketch([service("db").probe()]));
    let id = ResourceId::container("db");
    let mut said = Vec::new();
    for _ in 0..10 {
        scene.observe();
        let summary = status::summary(&scene.world(), &id, &scene.plan(&id));
        if summary.word == Word::Starting {
            said.push(summary.message);
        }
        scene.resources().iter().for_each(|id| drop(scene.reconcile(id)));
    }
    said.dedup();
    assert_snapshot!(said.join("\n"), @r"
    it is being started; it has 3s to answer tcp :80
    db has not been probed yet: it has 3s to answer tcp :80
    ");
}
