//! Edits of the file: the replacement ladder, and the way back.

use std::time::Duration;

use aiplat_core::ResourceId;
use aiplat_tests::{
    build::{Service, Sketch, healthy, restarting, service, sketch},
    scene::Scene,
    sim::{App, Foreign},
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
    assert_snapshot!(ladder(&mut scene, "web"), @r"
    create container demo-web--3e96e6a6 because environment.VERSION changed; made beside the old one
    stop container <demo-web> (grace 10s) because environment.VERSION changed; its replacement is made and may start
    rename container <demo-web> to demo-web--<demo-web> because its replacement takes the name
    rename container <demo-web--3e96e6a6> to demo-web because it takes its final name
    start container <demo-web> because it is not started and all it needs is ready
    progressing
    remove container <demo-web--79e05a1d5c37> because the one in its place is ready
    converged
    ");
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
    assert_snapshot!(of(&scene, "web"), @"create container demo-web--b494067e because environment.VERSION, image, ports changed; made beside the old one");
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
    assert_snapshot!(check(&scene), @r"
    image/web:2: pull web:2 because it does not exist
    container/web: blocked: pulling web:2
    ");
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
    assert_snapshot!(of(&scene, "web"), @"blocked: waits for db");
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
    assert_snapshot!(format!("{waits}\n{}\nruns {runs:?}", check(&scene)), @r#"
    blocked: waits until db runs anew
    converged
    runs {"db": 2, "web": 2}
    "#);
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
    assert_snapshot!(format!("{starting}\n---\n{}", scene.containers()), @r"
    demo-web Running exit=0
    demo-web--9534194f01ad Exited exit=143
    ---
    demo-web Running exit=0
    ");
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
    assert_snapshot!(ladder(&mut scene, "web"), @r"
    remove container <demo-web--3e96e6a6> because the one in its place is ready
    converged
    ");
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
    scene.settle(Duration::from_secs(2));
    let broken = scene.containers();
    scene.edit(&platform(1));
    scene.observe();
    assert_snapshot!(format!("{broken}\n---\n{}", ladder(&mut scene, "web")), @r"
    demo-web Running exit=0
    demo-web--9534194f01ad Exited exit=0
    ---
    stop container <demo-web> (grace 10s) because environment.VERSION changed; its replacement is made and may start
    rename container <demo-web> to demo-web--<demo-web> because its replacement takes the name
    rename container <demo-web--<demo-web>> to demo-web because it takes its final name
    start container <demo-web> because aiplatd had stopped it
    progressing
    remove container <demo-web--66b96829ea4d> because the one in its place is ready
    converged
    ");
}

#[test]
fn a_changed_container_name_is_a_rename() {
    let mut scene = Scene::new(&web(1));
    scene.converge();
    let mut edited = web(1);
    edited.service("web").container_name = Some("www".to_owned());
    scene.edit(&edited);
    scene.observe();
    assert_snapshot!(ladder(&mut scene, "web"), @r"
    rename container <demo-web> to www because it takes its final name
    converged
    ");
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
    assert_snapshot!(ladder(&mut scene, "web"), @r"
    connect container <demo-web> to network demo-back because it is not connected to demo-back
    disconnect container <demo-web> from network demo-front because demo-front is not among its networks
    converged
    ");
}

#[test]
fn a_volume_that_the_file_has_dropped_does_not_follow_into_the_replacement() {
    let mut scene = Scene::new(&sketch([service("db").volume("data", "/data")]));
    scene.converge();
    scene.edit(&sketch([service("db")]));
    scene.converge();
    assert_eq!(scene.engine.find("demo-db").expect("exists").mounts, []);
    assert!(scene.engine.volumes.contains_key("demo-data"), "its data stays");
}

#[test]
fn two_services_that_swap_their_ports_both_come_up() {
    let platform = |a, b| sketch([service("a").port(a), service("b").port(b)]);
    let mut scene = Scene::new(&platform(80, 81));
    scene.converge();
    scene.edit(&platform(81, 80));
    scene.converge();
    assert_snapshot!(format!("{}\n{}", check(&scene), scene.containers()), @r"
    converged
    demo-a Running exit=0
    demo-b Running exit=0
    ");
}

fn on_networks() -> Sketch {
    let both = |service: &mut Service| service.networks.push("back".to_owned());
    sketch([service("api").with(both), service("db").with(both), service("web")])
}

/// Every pass over everything until nothing is done any more, each action that was done on a line.
fn everything(scene: &mut Scene) -> String {
    let mut lines = Vec::new();
    for _ in 0..100 {
        let mut done = false;
        for id in scene.resources() {
            let pass = scene.reconcile(&id);
            if let (Some(planned), Some(result)) = (&pass.step.action, &pass.outcome) {
                lines.push(format!("{} because {}", planned.action, planned.cause));
                assert!(result.is_ok(), "{result:?} {lines:?}");
                done = true;
            }
        }
        scene.pass(Duration::from_millis(600));
        scene.observe();
        scene.probe();
        if !done {
            break;
        }
    }
    scene.named(&lines.join("\n"))
}

#[test]
fn a_changed_network_is_made_anew_without_restarting_anybody() {
    let mut scene = Scene::new(&on_networks());
    scene.converge();
    scene.edit(&Sketch { internal: vec!["back".to_owned()], ..on_networks() });
    scene.observe();
    assert_snapshot!(check(&scene), @r"
    network/back: blocked: waits until the connection of container `demo-api` is gone
    container/api: disconnect container <demo-api> from network demo-back because demo-back is made anew, as the file has changed it
    container/db: disconnect container <demo-db> from network demo-back because demo-back is made anew, as the file has changed it
    ");
    assert_snapshot!(everything(&mut scene), @r"
    disconnect container <demo-api> from network demo-back because demo-back is made anew, as the file has changed it
    disconnect container <demo-db> from network demo-back because demo-back is made anew, as the file has changed it
    remove network demo-back because internal changed, and no container is connected: it is made anew
    create network demo-back because it does not exist
    connect container <demo-api> to network demo-back because it is not connected to demo-back
    connect container <demo-db> to network demo-back because it is not connected to demo-back
    ");
    assert_snapshot!(check(&scene), @"converged");
}

#[test]
fn a_changed_network_is_left_as_it_is_while_a_stranger_is_on_it() {
    let mut scene = Scene::new(&on_networks());
    scene.converge();
    scene.by_hand(|engine| {
        engine.add_foreign(&Foreign {
            name: "theirs".to_owned(),
            network: Some("demo-back".to_owned()),
            ..Foreign::default()
        });
    });
    scene.edit(&Sketch { internal: vec!["back".to_owned()], ..on_networks() });
    scene.observe();
    assert_snapshot!(check(&scene), @"network/back: unsatisfied (FingerprintDiffers): internal changed, and it can only be made anew once container `theirs`, which is not of this file, has left it: `docker network disconnect demo-back theirs`");
    scene.by_hand(|engine| engine.disconnect("demo-back", "theirs").expect("connected"));
    everything(&mut scene);
    assert_snapshot!(check(&scene), @"converged");
}

#[test]
fn a_network_with_another_name_is_made_beside_the_old_one_which_goes_when_all_have_left_it() {
    let mut scene = Scene::new(&on_networks());
    scene.converge();
    scene.edit(&Sketch { names: vec![("back".to_owned(), "shared".to_owned())], ..on_networks() });
    scene.observe();
    assert_snapshot!(everything(&mut scene), @r"
    create network shared because it does not exist
    connect container <demo-api> to network shared because it is not connected to shared
    connect container <demo-db> to network shared because it is not connected to shared
    disconnect container <demo-api> from network demo-back because demo-back is not among its networks
    disconnect container <demo-db> from network demo-back because demo-back is not among its networks
    remove network demo-back because one entry of the file has one network
    ");
    assert_snapshot!(check(&scene), @"converged");
}

#[test]
fn of_two_networks_of_one_name_the_unused_one_goes() {
    let mut scene = Scene::new(&on_networks());
    scene.converge();
    scene.by_hand(|engine| engine.duplicate_network("demo-back"));
    assert_snapshot!(everything(&mut scene), @"remove network demo-back because one entry of the file has one network");
    assert_snapshot!(check(&scene), @"converged");
}

#[test]
fn of_two_networks_of_one_name_that_nobody_uses_yet_one_goes_before_anything_is_made_on_it() {
    let mut scene = Scene::new(&on_networks());
    scene.observe();
    for network in ["default", "back"] {
        scene.reconcile(&ResourceId::network(network));
        scene.by_hand(|engine| engine.duplicate_network(&format!("demo-{network}")));
    }
    assert_snapshot!(check(&scene), @r"
    network/back: remove network demo-back because one entry of the file has one network
    network/default: remove network demo-default because one entry of the file has one network
    container/api: blocked: waits for network/back: it exists twice; the one without containers is removed; waits for network/default: it exists twice; the one without containers is removed
    container/db: blocked: waits for network/back: it exists twice; the one without containers is removed; waits for network/default: it exists twice; the one without containers is removed
    container/web: blocked: waits for network/default: it exists twice; the one without containers is removed
    ");
    everything(&mut scene);
    assert_snapshot!(check(&scene), @"converged");
}

#[test]
fn two_services_may_swap_their_container_names() {
    let named = |api: &str, web: &str| {
        sketch([service("api").with(|s| s.container_name = Some(api.to_owned())), {
            service("web").with(|s| s.container_name = Some(web.to_owned()))
        }])
    };
    let mut scene = Scene::new(&named("one", "two"));
    scene.converge();
    scene.edit(&named("two", "one"));
    scene.observe();
    assert_snapshot!(everything(&mut scene), @r"
    rename container <two> to two--<two> because its replacement takes the name
    rename container <one> to one because it takes its final name
    rename container <two> to two because it takes its final name
    ");
    assert_snapshot!(check(&scene), @"converged");
}
