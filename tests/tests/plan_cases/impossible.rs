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
    assert_snapshot!(in_state(ContainerState::Other("hibernating".to_owned())), @"?");
}

#[test]
fn a_container_that_the_engine_restarts_itself_is_waited_for() {
    assert_snapshot!(in_state(ContainerState::Restarting), @"?");
}

#[test]
fn a_container_that_is_being_removed_is_waited_for() {
    assert_snapshot!(in_state(ContainerState::Removing), @"?");
}

#[test]
fn a_running_container_without_detail_is_kept() {
    let mut scene = web();
    let members = scene.observed.owned.get_mut(&ResourceId::container("web")).expect("exists");
    members[0].detail = None;
    assert_snapshot!(of(&scene, "web"), @"?");
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
    assert_snapshot!(of(&scene, "web"), @"?");
}

#[test]
fn the_oldest_and_youngest_creation_times_are_taken_as_they_are() {
    let mut scene = web();
    for created in [i64::MIN, i64::MAX] {
        let members = scene.observed.owned.get_mut(&ResourceId::container("web")).expect("exists");
        members[0].created = created;
        assert_eq!(of(&scene, "web"), "converged");
    }
}
