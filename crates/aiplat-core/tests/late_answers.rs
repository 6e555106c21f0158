//! Answers of a host overtake each other: what comes late undoes nothing that is younger.

use std::collections::BTreeMap;

use aiplat_core::{
    Kind, ResourceId, Timestamp,
    observed::{
        AsOf, ContainerDetail, ContainerId, ContainerState, Observed, ObservedContainer, ObservedState,
        Ownership,
    },
    spec::InstanceId,
};

fn instance() -> InstanceId {
    InstanceId("ours".to_owned())
}

fn web(as_of: u64, state: ContainerState, detail: Option<ContainerDetail>) -> ObservedContainer {
    ObservedContainer {
        id: ContainerId("c1".to_owned()),
        name: "web".to_owned(),
        image: "web:1".to_owned(),
        image_id: String::new(),
        state,
        owner: Some(Ownership {
            instance: instance(),
            resource: ResourceId::new(Kind::Container, "web"),
            fingerprint: None,
            depends_on: Vec::new(),
            gpus: None,
        }),
        compose: None,
        created: 0,
        networks: BTreeMap::new(),
        mounts: Vec::new(),
        ports: Vec::new(),
        detail,
        as_of: AsOf(as_of),
    }
}

fn record(observed: &mut ObservedState, as_of: u64, containers: Vec<ObservedContainer>) {
    observed.record(Observed::Containers(AsOf(as_of), containers), &instance(), Timestamp::ZERO);
}

fn state(observed: &ObservedState) -> Option<(ContainerState, bool)> {
    let container = observed.owned.values().flatten().next()?;
    Some((container.state.clone(), container.detail.is_some()))
}

#[test]
fn a_listing_from_before_a_start_does_not_undo_the_inspect_that_waited_for_it() {
    let mut observed = ObservedState::default();
    // Listed at 1, inspected at 5, when the start was done; another listing was asked for at 3 and comes last.
    record(&mut observed, 1, vec![web(5, ContainerState::Running, Some(ContainerDetail::default()))]);
    record(&mut observed, 3, vec![web(3, ContainerState::Created, None)]);
    assert_eq!(state(&observed), Some((ContainerState::Running, true)));
    // One that was asked for after that counts.
    record(&mut observed, 6, vec![web(6, ContainerState::Exited, None)]);
    assert_eq!(state(&observed), Some((ContainerState::Exited, false)));
}

#[test]
fn what_a_younger_listing_has_no_more_does_not_come_back_with_an_older_one() {
    let mut observed = ObservedState::default();
    record(&mut observed, 1, vec![web(1, ContainerState::Exited, None)]);
    record(&mut observed, 4, Vec::new());
    assert_eq!(state(&observed), None);
    record(&mut observed, 2, vec![web(3, ContainerState::Exited, Some(ContainerDetail::default()))]);
    assert_eq!(state(&observed), None);
}

#[test]
fn what_was_seen_after_a_listing_is_not_missed_for_being_absent_from_it() {
    let mut observed = ObservedState::default();
    record(&mut observed, 2, vec![web(3, ContainerState::Created, Some(ContainerDetail::default()))]);
    record(&mut observed, 1, Vec::new());
    assert_eq!(state(&observed), Some((ContainerState::Created, true)));
}
