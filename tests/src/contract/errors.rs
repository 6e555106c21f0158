//! The clauses about what the engine refuses, when, and what is left afterwards.

use aiplat_core::{
    ResourceId,
    action::Action,
    condition::{ErrorClass, Reason},
    observed::ContainerState,
};

use super::{
    Driver, Machine, Program,
    clauses::{quick, refused, running},
};
use crate::sim::Foreign;

/// Everything is made and nothing is started.
async fn created<'a>(
    machine: &'a dyn Machine,
    service: crate::build::Service,
    program: Program,
) -> (Driver<'a>, Action) {
    let mut driver = Driver::new(machine, &machine.sketch(vec![service]), program);
    for _ in 0..10 {
        driver.observe().await;
        for id in driver.resources() {
            match driver.due(&id).map(|planned| planned.action) {
                Some(start @ Action::StartContainer { .. }) => return (driver, start),
                Some(action) => driver.apply(&id, &action).await.expect("it is made"),
                None => {}
            }
        }
    }
    panic!("nothing is to be started");
}

fn web() -> ResourceId {
    ResourceId::container("web")
}

pub(super) async fn missing_program(machine: &dyn Machine) {
    let (mut driver, start) = created(machine, quick("web"), Program::Missing).await;
    refused(driver.apply(&web(), &start).await, ErrorClass::Rejected, Reason::ExecutableMissing);
    driver.observe().await;
    assert_eq!(driver.only("web").state, ContainerState::Created);
}

pub(super) async fn taken_port(machine: &dyn Machine) {
    let port = machine.free_port();
    let (mut driver, start) = created(machine, quick("web").port(port), Program::Serve).await;
    let holder =
        machine.foreign(&Foreign { name: machine.name("holder"), port: Some(port), ..Foreign::default() });
    refused(driver.apply(&web(), &start).await, ErrorClass::Transient, Reason::PortTaken);
    driver.observe().await;
    assert_eq!(driver.only("web").state, ContainerState::Created);
    assert!(driver.only("web").ports.is_empty(), "it holds no port");
    machine.remove(&holder);
    driver.apply(&web(), &start).await.expect("the port is free now");
}

pub(super) async fn missing_network(machine: &dyn Machine) {
    let (mut driver, start) = created(machine, quick("web"), Program::Serve).await;
    machine.remove_network(&machine.name("default"));
    refused(driver.apply(&web(), &start).await, ErrorClass::Changed, Reason::Missing);
    driver.observe().await;
    assert_eq!(driver.only("web").state, ContainerState::Created);
}

pub(super) async fn missing_image(machine: &dyn Machine) {
    let mut driver = Driver::new(machine, &machine.sketch(vec![quick("web")]), Program::Serve);
    driver.observe().await;
    let network = ResourceId::network("default");
    let make = driver.due(&network).expect("due");
    driver.apply(&network, &make.action).await.expect("made");
    driver.observe().await;
    let Some(Action::CreateContainer(mut create)) = driver.due(&web()).map(|planned| planned.action) else {
        panic!("it is to be made")
    };
    let mut spec = (*create.spec).clone();
    spec.runtime.image = "aiplat-no-such-image:0".to_owned();
    create.spec = std::sync::Arc::new(spec);
    refused(
        driver.apply(&web(), &Action::CreateContainer(create)).await,
        ErrorClass::Changed,
        Reason::Missing,
    );
}

pub(super) async fn missing_path(machine: &dyn Machine) {
    let path = format!("/tmp/{}", machine.name("no-such-folder"));
    let service = quick("web").bind(&path).with(|s| s.networks.clear());
    let mut driver = Driver::new(machine, &machine.sketch(vec![service]), Program::Serve);
    driver.observe().await;
    let make = driver.due(&web()).expect("due");
    refused(driver.apply(&web(), &make.action).await, ErrorClass::Rejected, Reason::HostPathMissing);
}

pub(super) async fn network_in_use(machine: &dyn Machine) {
    let (driver, _start) = created(machine, quick("web"), Program::Serve).await;
    let network = driver.network("default");
    let remove = Action::RemoveNetwork { id: network.id, name: network.name };
    let id = ResourceId::network("default");
    // The engine would: the container is only made. Its next start would then fail.
    refused(driver.apply(&id, &remove).await, ErrorClass::Changed, Reason::InUse);
    let container = driver.only("web").id.clone();
    driver.apply(&web(), &Action::RemoveContainer { id: container }).await.expect("stopped");
    driver.apply(&id, &remove).await.expect("nobody names it");
}

pub(super) async fn running_is_kept(machine: &dyn Machine) {
    let (mut driver, id, container) = running(machine).await;
    let error = driver.apply(&id, &Action::RemoveContainer { id: container }).await.expect_err("it runs");
    assert_eq!(error.class, ErrorClass::Changed, "{error}");
    driver.observe().await;
    assert_eq!(driver.only("web").state, ContainerState::Running);
}
