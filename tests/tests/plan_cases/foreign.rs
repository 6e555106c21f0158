//! Names that are taken, and whose they are.

use std::collections::BTreeMap;

use aiplat_core::action::label;
use aiplat_tests::{
    build::{service, sketch},
    scene::Scene,
    sim::Foreign,
};
use insta::assert_snapshot;

use crate::{check, of};

fn foreign(name: &str) -> Foreign {
    Foreign { name: name.to_owned(), ..Foreign::default() }
}

fn scene() -> Scene {
    Scene::new(&sketch([service("db").volume("data", "/data")]))
}

#[test]
fn a_foreign_container_of_our_name_is_never_touched() {
    let mut scene = scene();
    scene.by_hand(|engine| drop(engine.add_foreign(&foreign("demo-db"))));
    assert_snapshot!(of(&scene, "db"), @"blocked: the name is taken: container `demo-db` belongs to somebody else; remove it with `docker stop demo-db && docker rm demo-db`, or set another `container_name`; waits for network/default: it does not exist yet; waits for volume/data: it does not exist yet");
}

#[test]
fn a_compose_container_of_our_name_is_named_with_its_project_and_the_way_in() {
    let mut scene = scene();
    scene.by_hand(|engine| {
        engine.add_foreign(&Foreign { compose: Some("shop".to_owned()), ..foreign("demo-db") });
    });
    assert_snapshot!(of(&scene, "db"), @"blocked: the name is taken: container `demo-db` belongs to Docker Compose's project `shop` in /home/user/shop; take it down there with `docker compose -p shop down` (volumes stay), or set `container_name`; waits for network/default: it does not exist yet; waits for volume/data: it does not exist yet");
}

#[test]
fn a_container_of_another_instance_is_a_mismatch_with_one_command() {
    let mut scene = scene();
    scene.by_hand(|engine| {
        engine.add_foreign(&Foreign { instance: Some("other-instance".to_owned()), ..foreign("demo-db") });
    });
    assert_snapshot!(of(&scene, "db"), @"blocked: container `demo-db` belongs to another aiplatd, instance other-instance: use another name; or, only if that aiplatd and its state folder are gone for good, stop this one and take its objects over with `echo other-instance > instance-id` in this one's state folder (its --state-dir); waits for network/default: it does not exist yet; waits for volume/data: it does not exist yet");
}

#[test]
fn a_foreign_network_of_our_name_is_not_used() {
    let mut scene = scene();
    scene.by_hand(|engine| {
        engine.create_network("demo-default", BTreeMap::new(), "bridge", false).expect("free");
    });
    assert_snapshot!(check(&scene), @r"
    network/default: blocked: the name is taken: network `demo-default` belongs to somebody else; use it as it is with `external: true` and `name: demo-default`
    volume/data: create volume demo-data because it does not exist
    container/db: blocked: waits for network/default: the name is taken: network `demo-default` belongs to somebody else; use it as it is with `external: true` and `name: demo-default`; waits for volume/data: it does not exist yet
    ");
}

#[test]
fn a_compose_network_of_our_name_may_be_used_as_external() {
    let mut scene = scene();
    let labels = BTreeMap::from([("com.docker.compose.project".to_owned(), "shop".to_owned())]);
    scene.by_hand(|engine| {
        drop(engine.create_network("demo-default", labels, "bridge", false).expect("free"))
    });
    assert_snapshot!(check(&scene), @r"
    network/default: blocked: the name is taken: network `demo-default` belongs to Docker Compose's project `shop`; use it as it is with `external: true` and `name: demo-default`
    volume/data: create volume demo-data because it does not exist
    container/db: blocked: waits for network/default: the name is taken: network `demo-default` belongs to Docker Compose's project `shop`; use it as it is with `external: true` and `name: demo-default`; waits for volume/data: it does not exist yet
    ");
}

#[test]
fn a_foreign_volume_of_our_name_is_not_used() {
    let mut scene = scene();
    scene.by_hand(|engine| drop(engine.create_volume("demo-data", BTreeMap::new(), "local")));
    assert_snapshot!(check(&scene), @r"
    network/default: create network demo-default because it does not exist
    volume/data: blocked: the name is taken: volume `demo-data` belongs to somebody else; use it as it is with `external: true` and `name: demo-data`
    container/db: blocked: waits for network/default: it does not exist yet; waits for volume/data: the name is taken: volume `demo-data` belongs to somebody else; use it as it is with `external: true` and `name: demo-data`
    ");
}

#[test]
fn a_volume_of_another_instance_is_a_mismatch() {
    let mut scene = scene();
    let labels = BTreeMap::from([
        (label::INSTANCE.to_owned(), "other-instance".to_owned()),
        (label::RESOURCE.to_owned(), "volume/data".to_owned()),
    ]);
    scene.by_hand(|engine| drop(engine.create_volume("demo-data", labels, "local")));
    assert_snapshot!(check(&scene), @r"
    network/default: create network demo-default because it does not exist
    volume/data: blocked: volume `demo-data` belongs to another aiplatd, instance other-instance: use another name; or, only if that aiplatd and its state folder are gone for good, stop this one and take its objects over with `echo other-instance > instance-id` in this one's state folder (its --state-dir)
    container/db: blocked: waits for network/default: it does not exist yet; waits for volume/data: volume `demo-data` belongs to another aiplatd, instance other-instance: use another name; or, only if that aiplatd and its state folder are gone for good, stop this one and take its objects over with `echo other-instance > instance-id` in this one's state folder (its --state-dir)
    ");
}

#[test]
fn a_foreign_network_is_used_when_the_file_says_that_it_is_external() {
    let mut platform = sketch([service("web").with(|s| s.networks = vec!["edge".to_owned()])]);
    platform.external.push(("edge".to_owned(), "proxy".to_owned()));
    let mut scene = Scene::new(&platform);
    scene.engine.create_network("proxy", BTreeMap::new(), "bridge", false).expect("free");
    scene.converge();
    assert_snapshot!(format!("{}\n{}", check(&scene), scene.containers()), @r"
    converged
    demo-web Running exit=0
    ");
}

#[test]
fn a_running_service_keeps_running_under_its_temporary_name_when_its_own_is_taken() {
    let mut scene = scene();
    scene.converge();
    scene.by_hand(|engine| {
        engine.rename("demo-db", "demo-db-by-hand").expect("free");
        engine.add_foreign(&foreign("demo-db"));
    });
    assert_snapshot!(of(&scene, "db"), @"converged");
}

#[test]
fn foreign_containers_on_a_foreign_port_and_volume_say_nothing() {
    let mut scene = scene();
    scene.converge();
    scene.by_hand(|engine| {
        engine.add_foreign(&Foreign {
            port: Some(99),
            volume: Some("theirs".to_owned()),
            ..foreign("other")
        });
    });
    assert_snapshot!(check(&scene), @"converged");
}
