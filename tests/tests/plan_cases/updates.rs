//! Tags that move, and updates that are ordered.

use std::time::Duration;

use aiplat_core::{
    ResourceId,
    plan::{Command, Entry, entries, moved},
};
use aiplat_tests::{
    build::{service, sketch},
    scene::Scene,
    sim::App,
};
use insta::assert_snapshot;

use crate::{check, ladder, of, orders::give};

/// `web` runs, and its tag has meant another image since; the new one is on this machine, and behaves as `app` says.
fn moved_on(app: &App) -> Scene {
    let mut scene = Scene::new(&sketch([service("web").probe().with(|s| s.networks.clear())]));
    scene.converge();
    scene.engine.install("web", "web:1#1", app);
    scene.engine.install("web", "web:1", &App::default());
    scene.engine.push("web:1");
    scene.engine.pull("web:1").expect("it is in the registry");
    scene.observe();
    scene
}

fn runs(scene: &Scene) -> Vec<String> {
    let containers = scene.engine.containers.values();
    containers.map(|it| format!("{} {:?} of {}", it.name, it.state, it.image_id)).collect()
}

#[test]
fn a_tag_that_moves_recreates_nothing_and_is_known() {
    let mut scene = moved_on(&App::default());
    scene.settle(Duration::from_secs(5));
    assert_snapshot!(check(&scene), @"converged");
    let moved = moved(&scene.world(), &ResourceId::container("web")).expect("it is known");
    assert_eq!((moved.runs.as_str(), moved.now.as_str()), ("sha256:web:1", "sha256:web:1#1"));
    assert_eq!(runs(&scene), ["demo-web Running of sha256:web:1"]);
}

#[test]
fn an_update_replaces_it_like_an_edit_and_is_over_then() {
    let mut scene = moved_on(&App::default());
    give(&mut scene, "web", Command::Update);
    let ladder = ladder(&mut scene, "web");
    let why = "because the tag web:1 means another image now, and `aiplatctl update` was given";
    let lines: Vec<&str> = ladder.lines().collect();
    assert!(lines[0].starts_with("create container demo-web--") && lines[0].ends_with(why), "{ladder}");
    assert!(lines[1].starts_with("stop container") && lines[1].ends_with(why), "{ladder}");
    scene.converge();
    assert_eq!(runs(&scene), ["demo-web Running of sha256:web:1#1"]);
    let id = ResourceId::container("web");
    assert_eq!(moved(&scene.world(), &id), None);
    assert_eq!(scene.ledger.get(&id).expect("a record").orders.image, None, "it is over");
    // What its tag means later was not ordered.
    scene.engine.push("web:1");
    scene.engine.pull("web:1").expect("it is in the registry");
    scene.settle(Duration::from_secs(5));
    assert_eq!(runs(&scene), ["demo-web Running of sha256:web:1#1"]);
}

#[test]
fn what_is_ordered_in_the_moment_in_which_an_update_is_done_is_not_lost() {
    let mut scene = moved_on(&App::default());
    give(&mut scene, "web", Command::Update);
    let id = ResourceId::container("web");
    let is_done = |entry: &Entry| matches!(entry, Entry::Updated(_));
    let mut decided = Vec::new();
    for _ in 0..60 {
        scene.look(&id);
        decided = entries(&scene.world(), &id, &scene.plan(&id));
        if decided.iter().any(is_done) {
            break;
        }
        scene.reconcile(&id);
        scene.probe();
        scene.pass(Duration::from_millis(500));
    }
    assert!(decided.iter().any(is_done), "the update comes to its end: {decided:?}");
    give(&mut scene, "web", Command::Stop);
    decided.into_iter().for_each(|entry| scene.ledger.enter(&id, entry));
    let orders = &scene.ledger.get(&id).expect("a record").orders;
    assert!(orders.stopped.is_some() && orders.image.is_none(), "{orders:?}");
}

#[test]
fn without_another_image_an_update_does_nothing() {
    let mut scene = Scene::new(&sketch([service("web").with(|s| s.networks.clear())]));
    scene.converge();
    give(&mut scene, "web", Command::Update);
    scene.settle(Duration::from_secs(5));
    assert_eq!(scene.engine.runs.get("web"), Some(&1));
    assert_snapshot!(check(&scene), @"converged");
}

#[test]
fn an_image_that_does_not_become_ready_is_taken_back_and_not_tried_again() {
    let mut scene = moved_on(&App::booting(Duration::from_secs(3_600)));
    give(&mut scene, "web", Command::Update);
    scene.settle(Duration::from_secs(60));
    assert_snapshot!(of(&scene, "web"), @"held (TakenBack): the last update was taken back, what served before serves: it was not ready within 3s: connection refused; edit its entry, or run `aiplatctl reset-failed web`, to try again");
    assert_eq!(runs(&scene), ["demo-web Running of sha256:web:1"]);
    let started = scene.engine.runs.get("web").copied();
    scene.settle(Duration::from_secs(60));
    assert_eq!(scene.engine.runs.get("web").copied(), started, "it is not tried again");

    // The next image under the tag is another matter.
    scene.engine.push("web:1");
    scene.engine.pull("web:1").expect("it is in the registry");
    scene.engine.install("web", "web:1#2", &App::default());
    scene.settle(Duration::from_secs(5));
    give(&mut scene, "web", Command::Update);
    scene.converge();
    assert_eq!(runs(&scene), ["demo-web Running of sha256:web:1#2"]);
}
