//! What is no longer in the file.

use std::{collections::BTreeMap, time::Duration};

use aiplat_core::{ResourceId, spec::Removals};
use aiplat_tests::{
    build::{Sketch, service, sketch, started},
    scene::Scene,
};
use insta::assert_snapshot;

use crate::{check, ladder};

fn chain() -> Sketch {
    sketch([
        service("db").volume("data", "/data"),
        service("api").after("db", started()),
        service("web").after("api", started()),
    ])
}

#[test]
fn a_removal_waits_for_the_grace() {
    let mut scene = Scene::new(&chain());
    scene.converge();
    let mut rest = sketch([service("db").volume("data", "/data"), service("api").after("db", started())]);
    rest.removals = Removals::From(scene.now() + Duration::from_secs(2));
    scene.edit(&rest);
    scene.observe();
    assert_snapshot!(check(&scene), @"container/web: blocked: is no longer in the file; removed once the file has been unchanged for 2s (again in 2s)");
}

#[test]
fn a_removal_of_most_of_it_waits_for_a_person() {
    let mut scene = Scene::new(&chain());
    scene.converge();
    let mut rest = sketch([service("db").volume("data", "/data")]);
    rest.removals = Removals::AwaitConfirmation;
    scene.edit(&rest);
    scene.observe();
    assert_snapshot!(check(&scene), @r"
    container/api: blocked: is no longer in the file, which removes more than half of the services or renames the platform; confirm with `aiplatctl apply --confirm`
    container/web: blocked: is no longer in the file, which removes more than half of the services or renames the platform; confirm with `aiplatctl apply --confirm`
    ");
}

#[test]
fn dependants_are_removed_first() {
    let mut scene = Scene::new(&chain());
    scene.converge();
    scene.edit(&sketch([service("other")]));
    scene.observe();
    let mut order = Vec::new();
    for _ in 0..20 {
        for service in ["api", "db", "web"] {
            let pass = scene.reconcile(&ResourceId::container(service));
            if let (Some(planned), Some(Ok(()))) = (&pass.step.action, &pass.outcome) {
                order.push(format!("{} {service}", planned.action.verb()));
            }
        }
    }
    assert_snapshot!(order.join(", "), @"stop web, remove web, stop api, remove api, stop db, remove db");
}

#[test]
fn a_removed_service_is_stopped_and_then_removed() {
    let mut scene = Scene::new(&sketch([service("web"), service("db")]));
    scene.converge();
    scene.edit(&sketch([service("db")]));
    scene.observe();
    assert_snapshot!(ladder(&mut scene, "web"), @r"
    stop container <demo-web> (grace 10s) because it is no longer in the file
    remove container <demo-web> because it is no longer in the file
    converged
    ");
}

#[test]
fn the_volume_of_a_removed_service_stays() {
    let mut scene = Scene::new(&chain());
    scene.converge();
    scene.edit(&sketch([service("other")]));
    scene.converge();
    let volumes: Vec<&String> = scene.engine.volumes.keys().collect();
    assert_snapshot!(format!("{}\n{}\n{volumes:?}", check(&scene), scene.containers()), @r#"
    converged
    demo-other Running exit=0
    ["demo-data"]
    "#);
}

#[test]
fn a_network_that_is_no_longer_in_the_file_is_removed_when_the_last_container_has_left_it() {
    let with_edge = || service("web").with(|s| s.networks.push("edge".to_owned()));
    let mut scene = Scene::new(&sketch([with_edge()]));
    scene.converge();
    scene.edit(&sketch([service("web")]));
    scene.observe();
    let first = check(&scene);
    scene.reconcile(&ResourceId::container("web"));
    scene.observe();
    assert_snapshot!(format!("{first}\n---\n{}", check(&scene)), @r"
    network/edge: blocked: waits until the connection of container `demo-web` is gone
    container/web: disconnect container <demo-web> from network demo-edge because demo-edge is not among its networks
    ---
    network/edge: remove network demo-edge because it is no longer in the file
    ");
}

#[test]
fn a_network_that_a_foreign_container_names_stays() {
    let mut scene = Scene::new(&sketch([service("web").with(|s| s.networks = vec!["edge".to_owned()])]));
    scene.converge();
    scene.by_hand(|engine| {
        engine.add_foreign(&aiplat_tests::sim::Foreign {
            name: "guest".to_owned(),
            network: Some("demo-edge".to_owned()),
            stopped: true,
            ..Default::default()
        });
    });
    scene.edit(&sketch([service("web")]));
    scene.converge();
    assert_snapshot!(check(&scene), @"network/edge: blocked: waits until the connection of container `guest` is gone");
}

#[test]
fn networks_of_others_are_not_removed() {
    let mut scene = Scene::new(&sketch([service("web")]));
    scene.by_hand(|engine| {
        drop(engine.create_network("theirs", BTreeMap::new(), "bridge", false).expect("free"))
    });
    scene.converge();
    assert!(scene.engine.find_network("theirs").is_some());
}

#[test]
fn a_service_that_comes_back_within_the_grace_was_never_away() {
    let mut scene = Scene::new(&chain());
    scene.converge();
    let mut rest = sketch([service("db").volume("data", "/data"), service("api").after("db", started())]);
    rest.removals = Removals::From(scene.now() + Duration::from_secs(2));
    scene.edit(&rest);
    scene.observe();
    scene.edit(&chain());
    scene.observe();
    assert_snapshot!(check(&scene), @"converged");
}
