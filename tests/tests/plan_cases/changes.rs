//! Edits of the file: the replacement ladder, and the way back.

use std::time::Duration;

use aiplat_core::ResourceId;
use aiplat_tests::{
    build::{Sketch, healthy, restarting, service, sketch},
    scene::Scene,
    sim::App,
};
use insta::assert_snapshot;

use crate::{check, ladder, of};

fn web(version: u32) -> Sketch {
    sketch([service("web").version(version).with(|s| s.networks.clear())])
}

#[test]
fn a_replacement_is_made_beside_the_old_one_and_the_old_one_goes_last() {
    let mut scene = Scene::new(&web(1));
    scene.converge();
    scene.edit(&web(2));
    scene.observe();
    assert_snapshot!(ladder(&mut scene, "web"), @"?");
}

#[test]
fn the_changed_fields_are_named() {
    let mut scene = Scene::new(&web(1));
    scene.converge();
    let mut edited = web(2);
    edited.service("web").ports.push(80);
    edited.service("web").image = "web:2".to_owned();
    scene.edit(&edited);
    scene.observe();
    assert_snapshot!(of(&scene, "web"), @"?");
}

#[test]
fn a_replacement_waits_for_its_image_and_the_old_one_serves_on() {
    let mut scene = Scene::new(&web(1));
    scene.converge();
    let mut edited = web(1);
    edited.service("web").image = "web:2".to_owned();
    scene.edit(&edited);
    scene.engine.images.remove("web:2");
    scene.observe();
    assert_snapshot!(check(&scene), @"?");
}

#[test]
fn a_replacement_whose_dependency_is_down_waits_beside_the_old_one() {
    let platform =
        |version| sketch([service("db").probe(), service("web").version(version).after("db", healthy())]);
    let mut scene = Scene::new(&platform(1));
    scene.converge();
    scene.edit(&platform(2));
    scene.by_hand(|engine| engine.kill("demo-db").expect("runs"));
    scene.reconcile(&ResourceId::container("web"));
    scene.observe();
    assert_snapshot!(of(&scene, "web"), @"?");
}

#[test]
fn one_edit_of_both_restarts_the_dependant_once() {
    let platform = |version| {
        sketch([
            service("db").version(version).probe(),
            service("web").version(version).after("db", restarting(healthy())),
        ])
    };
    let mut scene = Scene::new(&platform(1));
    scene.converge();
    scene.edit(&platform(2));
    scene.observe();
    scene.reconcile(&ResourceId::container("web"));
    scene.observe();
    let waits = of(&scene, "web");
    scene.converge();
    let runs = scene.engine.runs.clone();
    assert_snapshot!(format!("{waits}\n{}\nruns {runs:?}", check(&scene)), @"?");
}

#[test]
fn an_old_container_stays_until_its_replacement_is_ready() {
    let platform = |version, boot| {
        sketch([service("web").version(version).probe().app(App::booting(Duration::from_secs(boot)))])
    };
    let mut scene = Scene::new(&platform(1, 1));
    scene.converge();
    scene.edit(&platform(2, 20));
    scene.settle(Duration::from_secs(2));
    let starting = scene.containers();
    scene.converge();
    assert_snapshot!(format!("{starting}\n---\n{}", scene.containers()), @"?");
}

#[test]
fn an_edit_that_is_taken_back_before_it_is_carried_out_only_removes_the_candidate() {
    let mut scene = Scene::new(&web(1));
    scene.converge();
    scene.edit(&web(2));
    scene.observe();
    scene.reconcile(&ResourceId::container("web"));
    scene.edit(&web(1));
    scene.observe();
    assert_snapshot!(ladder(&mut scene, "web"), @"?");
}

#[test]
fn an_edit_that_is_taken_back_after_the_old_one_was_stopped_starts_the_old_one_again() {
    let platform = |version| {
        let boot = if version == 2 { 3_600 } else { 1 };
        let app = App { stop_exit: 0, ..App::booting(Duration::from_secs(boot)) };
        sketch([service("web").version(version).probe().app(app)])
    };
    let mut scene = Scene::new(&platform(1));
    scene.converge();
    scene.edit(&platform(2));
    scene.settle(Duration::from_secs(10));
    let broken = scene.containers();
    scene.edit(&platform(1));
    scene.observe();
    assert_snapshot!(format!("{broken}\n---\n{}", ladder(&mut scene, "web")), @"?");
}

#[test]
fn a_changed_container_name_is_a_rename() {
    let mut scene = Scene::new(&web(1));
    scene.converge();
    let mut edited = web(1);
    edited.service("web").container_name = Some("www".to_owned());
    scene.edit(&edited);
    scene.observe();
    assert_snapshot!(ladder(&mut scene, "web"), @"?");
}

#[test]
fn anonymous_volumes_go_along() {
    let platform = |version| {
        sketch([service("web").version(version).with(|s| {
            s.networks.clear();
            s.anonymous.push("/cache".to_owned());
        })])
    };
    let mut scene = Scene::new(&platform(1));
    scene.converge();
    let volume = |scene: &Scene| scene.engine.find("demo-web").expect("exists").mounts[0].volume.clone();
    let before = volume(&scene);
    scene.edit(&platform(2));
    scene.converge();
    assert_eq!(before, volume(&scene));
}

#[test]
fn a_changed_network_is_disconnected_and_connected() {
    let platform = |network: &str| sketch([service("web").with(|s| s.networks = vec![network.to_owned()])]);
    let mut scene = Scene::new(&platform("front"));
    scene.converge();
    scene.edit(&platform("back"));
    scene.observe();
    scene.reconcile(&ResourceId::network("back"));
    assert_snapshot!(ladder(&mut scene, "web"), @"?");
}
