//! The clauses: what is done, and what is then seen.

use std::time::Duration;

use aiplat_core::{
    ResourceId,
    action::Action,
    condition::{ErrorClass, Reason},
    observed::{ContainerId, ContainerState},
};
use aiplat_host::{Hint, HostError};
use futures_util::{FutureExt, StreamExt};

use super::{Clause, Driver, Machine, Program, asked, errors};
use crate::{
    build::{Service, service, started},
    sim::Foreign,
};

/// Every clause, by the sentence that it proves.
pub const CLAUSES: &[(&str, Clause)] = &[
    ("what is predicted from the first start to the removal is what is seen", |machine| {
        lifecycle(machine).boxed_local()
    }),
    ("what is predicted of an edit is what is seen", |machine| edits(machine).boxed_local()),
    ("what is predicted of drift that is mended is what is seen", |machine| drift(machine).boxed_local()),
    ("creating what exists and removing what is gone are successes", |machine| {
        idempotence(machine).boxed_local()
    }),
    ("starting what runs and stopping what is stopped are successes", |machine| {
        start_and_stop(machine).boxed_local()
    }),
    ("what is not ours is refused and left as it is", |machine| ownership(machine).boxed_local()),
    ("a name that is taken is refused", |machine| names(machine).boxed_local()),
    ("an end is seen with its exit code", |machine| exit_code(machine).boxed_local()),
    ("hints begin with connected and name what changed", |machine| hints(machine).boxed_local()),
    ("a program that is not in the image fails at the start", |machine| {
        errors::missing_program(machine).boxed_local()
    }),
    ("a host port conflicts at the start and not before", |machine| {
        errors::taken_port(machine).boxed_local()
    }),
    ("a network that is missing is missed at the start", |machine| {
        errors::missing_network(machine).boxed_local()
    }),
    ("an image that is missing is missed at the creation", |machine| {
        errors::missing_image(machine).boxed_local()
    }),
    ("a host path that is missing is missed at the creation", |machine| {
        errors::missing_path(machine).boxed_local()
    }),
    ("a network that a container names is not removed", |machine| {
        errors::network_in_use(machine).boxed_local()
    }),
    ("a running container is not removed", |machine| errors::running_is_kept(machine).boxed_local()),
    ("what is handed back is the engine's to restart, until it is taken back", |machine| {
        asked::hand_back(machine).boxed_local()
    }),
    ("what a container uses is measured while it runs", |machine| asked::usage(machine).boxed_local()),
    ("the last lines of a container are read as long as it exists", |machine| {
        asked::log(machine).boxed_local()
    }),
    ("a volume is removed if it is ours and nobody names it", |machine| asked::volume(machine).boxed_local()),
    ("of two containers of ours the second cannot take the name of the first", |machine| {
        asked::own_name(machine).boxed_local()
    }),
];

pub(super) fn quick(name: &str) -> Service {
    service(name).with(|service| service.grace = Duration::from_secs(1))
}

/// A service `web` that runs.
pub(super) async fn running(machine: &dyn Machine) -> (Driver<'_>, ResourceId, ContainerId) {
    let mut driver = Driver::new(machine, &machine.sketch(vec![quick("web")]), Program::Serve);
    driver.converge().await;
    let id = driver.only("web").id.clone();
    (driver, ResourceId::container("web"), id)
}

#[track_caller]
pub(super) fn refused(result: Result<(), HostError>, class: ErrorClass, reason: Reason) {
    let error = result.expect_err("it is refused");
    assert_eq!((error.class, error.reason), (class, reason), "{error}");
}

async fn lifecycle(machine: &dyn Machine) {
    let port = machine.free_port();
    let full = || {
        let web = quick("web").port(port).volume("data", "/data").after("db", started());
        let web = web.with(|s| {
            s.networks.push("edge".to_owned());
            s.limits.memory = 64 << 20;
        });
        vec![quick("db"), web]
    };
    let mut driver = Driver::new(machine, &machine.sketch(full()), Program::Serve);
    let done = driver.converge().await;
    assert_eq!(done.iter().filter(|verb| verb.starts_with("start")).count(), 2, "{done:?}");
    let web = driver.only("web");
    assert_eq!(web.ports.len(), 1);
    assert!(web.networks.values().all(|endpoint| endpoint.ip.is_some()), "{:?}", web.networks);
    assert!(driver.converge().await.is_empty(), "nothing is due any more");
    driver.edit(&machine.sketch(vec![quick("db")]), Program::Serve);
    let done = driver.converge().await;
    assert!(done.contains(&"remove edge".to_owned()), "{done:?}");
}

async fn edits(machine: &dyn Machine) {
    let version = |version| {
        machine.sketch(vec![quick("web").version(version).with(|s| s.anonymous.push("/scratch".to_owned()))])
    };
    let mut driver = Driver::new(machine, &version(1), Program::Serve);
    driver.converge().await;
    let before = driver.only("web").mounts.clone();
    driver.edit(&version(2), Program::Serve);
    let done = driver.converge().await;
    let expected = ["create web", "stop web", "rename web", "rename web", "start web", "remove web"];
    assert_eq!(done, expected);
    assert_eq!(driver.only("web").mounts, before, "the anonymous volume goes along");
    let mut limited = version(2);
    limited.service("web").limits.memory = 64 << 20;
    driver.edit(&limited, Program::Serve);
    assert_eq!(driver.converge().await, ["update web"]);
}

async fn drift(machine: &dyn Machine) {
    let (mut driver, id, container) = running(machine).await;
    let network = machine.name("default");
    let away = Action::Disconnect { id: container.clone(), network: network.clone() };
    driver.apply(&id, &away).await.expect("connected");
    driver.apply(&id, &away).await.expect("disconnecting what is not connected is a success");
    assert_eq!(driver.converge().await, ["connect web"]);
    let to = machine.name("by-hand");
    driver.apply(&id, &Action::RenameContainer { id: container.clone(), to }).await.expect("free");
    assert_eq!(driver.converge().await, ["rename web"]);
    // The network is made anew under a stopped container.
    machine.kill(&container.0);
    machine.remove_network(&network);
    let done = driver.converge().await;
    assert_eq!(done, ["create default", "disconnect web", "connect web", "start web"]);
    assert_eq!(driver.only("web").state, ContainerState::Running);
}

async fn idempotence(machine: &dyn Machine) {
    let sketch = machine.sketch(vec![quick("web").volume("data", "/data")]);
    let mut driver = Driver::new(machine, &sketch, Program::Serve);
    driver.observe().await;
    for id in [ResourceId::network("default"), ResourceId::volume("data"), ResourceId::container("web")] {
        let planned = driver.due(&id).expect("it is missing");
        for _ in 0..2 {
            driver.apply(&id, &planned.action).await.expect("made, or there");
        }
        driver.observe().await;
    }
    let container = driver.only("web").id.clone();
    let id = ResourceId::container("web");
    for _ in 0..2 {
        driver
            .apply(&id, &Action::RemoveContainer { id: container.clone() })
            .await
            .expect("removed, or gone");
    }
    let network = driver.network("default");
    let remove = Action::RemoveNetwork { id: network.id, name: network.name };
    for _ in 0..2 {
        driver.apply(&ResourceId::network("default"), &remove).await.expect("removed, or gone");
    }
}

async fn start_and_stop(machine: &dyn Machine) {
    let (mut driver, id, container) = running(machine).await;
    let start = Action::StartContainer { id: container.clone() };
    let stop = Action::StopContainer { id: container.clone(), grace: Duration::from_secs(1) };
    let before = driver.only("web").incarnation();
    driver.apply(&id, &start).await.expect("it runs already");
    driver.apply(&id, &Action::UnpauseContainer { id: container.clone() }).await.expect("it is not paused");
    driver.observe().await;
    assert_eq!(driver.only("web").incarnation(), before, "it was not started again");
    for _ in 0..2 {
        driver.apply(&id, &stop).await.expect("stopped");
    }
    driver.observe().await;
    assert_eq!(driver.only("web").state, ContainerState::Exited);
    driver.apply(&id, &start).await.expect("stopped");
    driver.observe().await;
    assert_ne!(driver.only("web").incarnation(), before, "another run");
}

async fn ownership(machine: &dyn Machine) {
    let (mut driver, id, ours) = running(machine).await;
    let name = machine.name("theirs");
    let theirs = ContainerId(machine.foreign(&Foreign { name: name.clone(), ..Foreign::default() }));
    let other = ResourceId::container("other");
    for (id, target) in [(&id, theirs.clone()), (&other, ours.clone())] {
        let to = machine.name("renamed");
        for action in [
            Action::StopContainer { id: target.clone(), grace: Duration::ZERO },
            Action::RemoveContainer { id: target.clone() },
            Action::RenameContainer { id: target.clone(), to },
            Action::StartContainer { id: target.clone() },
        ] {
            let error = driver.apply(id, &action).await.expect_err("it is not ours");
            assert_eq!(error.class, ErrorClass::Changed, "{error}");
        }
    }
    driver.observe().await;
    assert_eq!(driver.only("web").state, ContainerState::Running);
    let foreign =
        driver.observed.foreign.iter().find(|container| container.id == theirs).expect("still there");
    assert_eq!((foreign.name.as_str(), &foreign.state), (name.as_str(), &ContainerState::Running));
}

async fn names(machine: &dyn Machine) {
    let sketch = machine.sketch(vec![quick("web").volume("data", "/data")]);
    let mut driver = Driver::new(machine, &sketch, Program::Serve);
    driver.observe().await;
    let (network, volume, container) =
        (ResourceId::network("default"), ResourceId::volume("data"), ResourceId::container("web"));
    let (make_network, make_volume) = (driver.due(&network).expect("due"), driver.due(&volume).expect("due"));
    machine.foreign_network(&machine.name("default"));
    machine.foreign_volume(&machine.name("data"));
    refused(driver.apply(&network, &make_network.action).await, ErrorClass::Rejected, Reason::NameTaken);
    refused(driver.apply(&volume, &make_volume.action).await, ErrorClass::Rejected, Reason::NameTaken);
    let sketch = machine.sketch(vec![quick("web").with(|s| s.networks.clear())]);
    driver.edit(&sketch, Program::Serve);
    driver.observe().await;
    let make = driver.due(&container).expect("due");
    let foreign = machine.foreign(&Foreign { name: machine.name("web"), ..Foreign::default() });
    refused(driver.apply(&container, &make.action).await, ErrorClass::Rejected, Reason::NameTaken);
    machine.remove(&foreign);
    driver.apply(&container, &make.action).await.expect("the name is free now");
    driver.observe().await;
    let id = driver.only("web").id.clone();
    machine.foreign(&Foreign { name: machine.name("taken"), stopped: true, ..Foreign::default() });
    let rename = Action::RenameContainer { id: id.clone(), to: machine.name("taken") };
    let error = driver.apply(&container, &rename).await.expect_err("it is taken");
    assert_eq!(error.reason, Reason::NameTaken, "{error}");
    let same = Action::RenameContainer { id, to: machine.name("web") };
    driver.apply(&container, &same).await.expect("it has that name");
}

/// A service `web` that has ended with 3.
pub(super) async fn ended(machine: &dyn Machine) -> Driver<'_> {
    let sketch = machine.sketch(vec![quick("web").restart(aiplat_core::spec::RestartMode::No)]);
    let mut driver = Driver::new(machine, &sketch, Program::Exit3);
    driver.observe().await;
    let container = ResourceId::container("web");
    for _ in 0..40 {
        for id in driver.resources() {
            if let Some(planned) = driver.due(&id) {
                driver.apply(&id, &planned.action).await.expect("it is done");
            }
            driver.observe().await;
        }
        let ended =
            driver.observed.owned.get(&container).is_some_and(|all| all[0].state == ContainerState::Exited);
        if ended {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    driver
}

async fn exit_code(machine: &dyn Machine) {
    let driver = ended(machine).await;
    let web = driver.only("web");
    let detail = web.detail.as_ref().expect("it was inspected");
    assert_eq!((&web.state, detail.exit_code), (&ContainerState::Exited, 3));
}

async fn hints(machine: &dyn Machine) {
    let mut hints = machine.backend().hints();
    let patience = Duration::from_secs(10);
    let first = tokio::time::timeout(patience, hints.next()).await.expect("within ten seconds");
    assert_eq!(first, Some(Hint::Connected));
    let (_driver, id, container) = running(machine).await;
    machine.kill(&container.0);
    let told = async {
        loop {
            if hints.next().await == Some(Hint::Changed(id.clone())) {
                return;
            }
        }
    };
    tokio::time::timeout(patience, told).await.expect("the kill is told");
}
