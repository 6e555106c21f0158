//! Worlds that the engine does not make, or that this version does not know: a verdict, and no action that could hurt.

use aiplat_core::{
    ResourceId,
    observed::{ContainerId, ContainerState},
};
use aiplat_tests::{
    build::{service, sketch},
    scene::Scene,
};
use insta::assert_snapshot;

use crate::of;

fn web() -> Scene {
    let mut scene = Scene::new(&sketch([service("web")]));
    scene.converge();
    scene.observe();
    scene
}

fn in_state(state: ContainerState) -> String {
    let mut scene = web();
    let members = scene.observed.owned.get_mut(&ResourceId::container("web")).expect("exists");
    members[0].state = state;
    of(&scene, "web")
}

#[test]
fn an_unknown_state_is_said_and_left_alone() {
    assert_snapshot!(in_state(ContainerState::Other("hibernating".to_owned())), @"unsatisfied (NotObserved): the engine reports the state `hibernating`, which this version does not know");
}

#[test]
fn a_container_that_the_engine_restarts_itself_is_waited_for() {
    assert_snapshot!(in_state(ContainerState::Restarting), @"progressing");
}

#[test]
fn a_container_that_is_being_removed_is_waited_for() {
    assert_snapshot!(in_state(ContainerState::Removing), @"progressing");
}

#[test]
fn a_running_container_without_detail_is_kept() {
    let mut scene = web();
    let members = scene.observed.owned.get_mut(&ResourceId::container("web")).expect("exists");
    members[0].detail = None;
    assert_snapshot!(of(&scene, "web"), @"converged");
}

#[test]
fn of_two_that_run_the_one_that_matches_the_file_stays() {
    let mut scene = web();
    let members = scene.observed.owned.get_mut(&ResourceId::container("web")).expect("exists");
    let mut second = members[0].clone();
    second.id = ContainerId("0".repeat(64));
    second.name = "older".to_owned();
    if let Some(owner) = &mut second.owner {
        owner.fingerprint = Some("v1:0:abcdef".parse().expect("any text"));
    }
    members.push(second);
    assert_snapshot!(of(&scene, "web"), @"stop container 000000000000 (grace 10s) because one service has one container");
}

#[test]
fn the_oldest_and_youngest_creation_times_are_taken_as_they_are() {
    let mut scene = web();
    let members = scene.observed.owned.get_mut(&ResourceId::container("web")).expect("exists");
    let mut second = members[0].clone();
    second.id = ContainerId("0".repeat(64));
    second.state = ContainerState::Exited;
    members.push(second);
    for (one, other) in [(i64::MIN, i64::MAX), (i64::MAX, i64::MIN)] {
        let members = scene.observed.owned.get_mut(&ResourceId::container("web")).expect("exists");
        (members[0].created, members[1].created) = (one, other);
        assert_eq!(of(&scene, "web"), "remove container 000000000000 because one service has one container");
    }
}

#[test]
fn a_preview_ends_whatever_state_a_container_is_in() {
    let states =
        [ContainerState::Removing, ContainerState::Restarting, ContainerState::Other("odd".to_owned())];
    let lines = states.map(|state| {
        let mut scene = web();
        let members = scene.observed.owned.get_mut(&ResourceId::container("web")).expect("exists");
        members[0].state = state;
        let now = scene.now();
        let preview = aiplat_core::preview::preview(&scene.desired, &scene.observed, &scene.ledger, now);
        let verbs = preview.waves.iter().flat_map(|wave| &wave.actions).map(|action| action.verb.clone());
        format!("{} {:?}", verbs.collect::<Vec<_>>().join(", "), preview.blocked)
    });
    assert_snapshot!(lines.join("\n"), @r#"
    create, start []
     []
     [(ResourceId { kind: Container, key: "web" }, "the engine reports the state `odd`, which this version does not know")]
    "#);
}
