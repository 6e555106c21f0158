//! Starts that fail, and what is said of them.

use std::net::TcpListener;

use aiplat_core::{
    condition::{ErrorClass, Reason},
    observed::ContainerState,
    spec::{ContainerRuntime, Mount, MountOptions, MountSource},
};
use aiplat_host::HostError;
use serde_json::{Value, json};

use crate::{
    fixture::{Fixture, free_port},
    support::spec,
};

async fn start_on(fixture: &Fixture, port: u16) -> Result<(), HostError> {
    let runtime = ContainerRuntime { ports: vec![spec::port(port)], ..fixture.runtime(&["serve", "80"]) };
    let mut create = fixture.spec("app", runtime);
    create.network = Some(spec::attachment("bridge", &[]));
    let id = fixture.create(create).await.unwrap();
    fixture.start("app", &id).await
}

#[tokio::test]
async fn a_published_port_is_published() {
    let Some(fixture) = Fixture::new() else { return };
    let port = free_port();
    start_on(&fixture, port).await.unwrap();
    let seen = fixture.only("app").await.ports;
    assert_eq!((seen.len(), seen[0].host_port, seen[0].host_ip.to_string().as_str()), (1, port, "127.0.0.1"));
    std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
}

#[tokio::test]
async fn a_port_that_a_container_publishes_is_said_with_the_container() {
    let Some(fixture) = Fixture::new() else { return };
    let (port, name) = (free_port(), fixture.name("holder"));
    let labels =
        json!({"com.docker.compose.project": "shop", "com.docker.compose.project.working_dir": "/srv/shop"});
    let binding =
        json!({"PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": port.to_string()}]}});
    let holder = fixture.foreign(&name, &labels, &binding);
    fixture.by_hand("POST", &format!("/containers/{holder}/start"), &Value::Null);
    let error = start_on(&fixture, port).await.unwrap_err();
    assert_eq!((error.class, error.reason), (ErrorClass::Transient, Reason::PortTaken));
    for part in [port.to_string(), name, "`shop` in /srv/shop".to_owned()] {
        assert!(error.message.contains(&part), "{part} in: {error}");
    }
    assert_eq!(fixture.only("app").await.state, ContainerState::Created);
}

#[tokio::test]
async fn a_port_that_a_process_holds_is_said_with_its_name_and_pid() {
    let Some(fixture) = Fixture::new() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let error = start_on(&fixture, port).await.unwrap_err();
    assert_eq!((error.class, error.reason), (ErrorClass::Transient, Reason::PortTaken));
    let who = format!("(pid {})", std::process::id());
    assert!(error.message.contains(&who) && error.message.contains(&port.to_string()), "{error}");
    drop(listener);
    fixture.start("app", &fixture.only("app").await.id).await.unwrap();
}

#[tokio::test]
async fn a_missing_program_is_rejected() {
    let Some(fixture) = Fixture::new() else { return };
    for (service, program) in [("path", "/nope"), ("name", "nope"), ("folder", "/etc")] {
        let runtime = ContainerRuntime { entrypoint: Some(vec![program.to_owned()]), ..fixture.runtime(&[]) };
        let id = fixture.create(fixture.spec(service, runtime)).await.unwrap();
        let error = fixture.start(service, &id).await.unwrap_err();
        assert_eq!((error.class, error.reason), (ErrorClass::Rejected, Reason::ExecutableMissing), "{error}");
        assert!(error.message.contains("entrypoint") || error.message.contains("executable"), "{error}");
        let seen = fixture.only(service).await;
        assert_eq!(seen.state, ContainerState::Created);
        assert!(!seen.detail.unwrap().error.is_empty());
    }
}

#[tokio::test]
async fn an_unknown_user_is_rejected() {
    let Some(fixture) = Fixture::new() else { return };
    let runtime = ContainerRuntime { user: Some("nobody-here".to_owned()), ..fixture.runtime(&["sleep"]) };
    let id = fixture.create(fixture.spec("app", runtime)).await.unwrap();
    let error = fixture.start("app", &id).await.unwrap_err();
    assert_eq!((error.class, error.reason), (ErrorClass::Rejected, Reason::ActionRejected), "{error}");
    assert!(error.message.contains("`user`"), "{error}");
}

#[tokio::test]
async fn a_host_path_that_went_is_said_at_the_start() {
    let Some(fixture) = Fixture::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gone").display().to_string();
    let source = MountSource::Bind { path: path.clone(), create: true };
    let mounts =
        vec![Mount { target: "/x".to_owned(), source, read_only: false, options: MountOptions::default() }];
    let create = fixture.spec("app", ContainerRuntime { mounts, ..fixture.runtime(&["sleep"]) });
    let id = fixture.create(create).await.unwrap();
    std::fs::remove_dir(&path).unwrap();
    let error = fixture.start("app", &id).await.unwrap_err();
    assert_eq!((error.class, error.reason), (ErrorClass::Rejected, Reason::HostPathMissing));
    assert!(error.message.contains(&format!("mkdir -p '{path}'")), "{error}");
}

#[tokio::test]
async fn starting_what_is_gone_is_a_reason_to_look_again() {
    let Some(fixture) = Fixture::new() else { return };
    let id = fixture.create(fixture.spec("app", fixture.runtime(&["sleep"]))).await.unwrap();
    fixture.by_hand("DELETE", &format!("/containers/{}", id.0), &Value::Null);
    let error = fixture.start("app", &id).await.unwrap_err();
    assert_eq!((error.class, error.reason), (ErrorClass::Changed, Reason::Missing), "{error}");
}
