//! A service in the namespace of another: `network_mode: service:db`.

use aiplat_core::{ResourceId, spec::Namespace};
use aiplat_tests::{
    build::{Sketch, restarting, service, sketch, started},
    scene::Scene,
};
use insta::assert_snapshot;

use crate::{check, ladder, of};

fn platform(version: u32) -> Sketch {
    let db = service("db").version(version);
    let web = service("web").after("db", restarting(started())).with(|s| s.networks.clear());
    sketch([db, web])
}

/// As the loader compiles it.
fn join(scene: &mut Scene) {
    let web = scene.desired.containers.get_mut(&ResourceId::container("web")).expect("in the file");
    web.runtime.options.identity.network_mode = Namespace::Service(ResourceId::container("db"));
}

fn converged() -> Scene {
    let mut scene = Scene::new(&platform(1));
    join(&mut scene);
    scene.converge();
    scene
}

#[test]
fn it_is_made_when_the_other_exists_and_started_when_it_runs() {
    let mut scene = Scene::new(&platform(1));
    join(&mut scene);
    scene.observe();
    assert_snapshot!(of(&scene, "web"), @"blocked: waits for db");
    scene.converge();
    assert_snapshot!(check(&scene), @"converged");
}

#[test]
fn when_the_other_is_replaced_it_is_made_anew_beside_the_old_one() {
    let mut scene = converged();
    scene.edit(&platform(2));
    join(&mut scene);
    scene.observe();
    assert_snapshot!(of(&scene, "web"), @"converged");
    ladder(&mut scene, "db");
    assert_snapshot!(ladder(&mut scene, "web"), @r"
    create container demo-web--315549e1 because the container behind network_mode changed; made beside the old one
    stop container <demo-web> (grace 10s) because the container behind network_mode changed; its replacement is made and may start
    rename container <demo-web> to demo-web--<demo-web> because its replacement takes the name
    rename container <demo-web--315549e1> to demo-web because it takes its final name
    start container <demo-web> because it is not started and all it needs is ready
    remove container <demo-web--66b96829ea4d> because the one in its place is ready
    converged
    ");
    scene.converge();
    assert_snapshot!(check(&scene), @"converged");
}

#[test]
fn when_the_other_is_restarted_it_is_restarted() {
    let mut scene = converged();
    scene.by_hand(|engine| engine.kill("demo-db").expect("runs"));
    ladder(&mut scene, "db");
    scene.observe();
    assert_snapshot!(ladder(&mut scene, "web"), @r"
    stop container <demo-web> (grace 10s) because container/db was restarted (restart: true)
    start container <demo-web> because aiplatd had stopped it
    converged
    ");
}

#[test]
fn when_the_other_is_removed_by_hand_it_is_not_tried_in_vain() {
    let mut scene = converged();
    scene.by_hand(|engine| engine.remove("demo-db", true).expect("exists"));
    scene.converge();
    assert_snapshot!(check(&scene), @"converged");
    assert_eq!(
        scene.ledger.get(&ResourceId::container("web")).and_then(|record| record.failure.clone()),
        None
    );
}
