//! The engine goes away under the daemon and comes back: nobody is dead for that, nothing is counted, and everything
//! is back in order.

use std::time::Instant;

use aiplat_core::condition::{ConditionType, Status, Word};
use rustix::process::Signal;

use crate::harness::{Stage, all_ready, has, moment, proxy::Proxy, report, service};

const PLATFORM: &str = r#"
apiVersion: aiplat/v1
name: @name
volumes: {data: {}}
services:
  db:
    image: aiplat-demo:1
    command: ["serve", "TCP_PORT=5432", "READY_AFTER=700", "WRITE_FILE=/data/starts"]
    volumes: ["data:/data"]
    healthcheck: {tcp: {port: 5432}, interval: 5s}
  api:
    image: aiplat-demo:1
    command: ["serve", "READY_AFTER=300"]
    ports: ["@port1:8080"]
    depends_on: {db: {condition: service_healthy, restart: true}}
    healthcheck: {http: {port: 8080, path: /ready}, interval: 5s}
  web:
    image: aiplat-demo:1
    command: ["serve"]
    depends_on: {api: {condition: service_healthy}}
"#;

/// Ends the engine with `signal`, starts it again, and checks what the daemon made of it.
fn survives(signal: Signal) {
    let Some(mut stage) = Stage::on_private_engine() else { return };
    stage.save(PLATFORM);
    stage.start();
    stage.ready();

    stage.private().end_engine(signal);
    let away = stage.wait("the daemon sees that the engine is away", |status| {
        has(status, None, ConditionType::DockerReachable, Status::False)
    });
    let unknown =
        |status: &aiplat_api::v1::StatusDoc| status.services.iter().all(|s| s.status == Word::Unknown);
    assert!(unknown(&away), "nothing is said to be dead because a socket is: {:#?}", away.services);

    let begun = Instant::now();
    stage.private().start_engine();
    let back = stage.wait("everything is Ready again", |status| {
        all_ready(status) && has(status, None, ConditionType::DockerReachable, Status::True)
    });
    report(&format!("Ready {} ms after the start of dockerd ({signal:?})", begun.elapsed().as_millis()));
    for row in &back.services {
        assert_eq!((row.restarts, row.status), (0, Word::Ready), "{} counts no restart: {row:#?}", row.name);
        let looping = has(&back, Some(&row.name), ConditionType::CrashLoop, Status::True);
        assert!(!looping && row.detail.endings.is_empty(), "{row:#?}");
    }
    let runs = stage.runs();
    let ready = |name: &str| moment(service(&back, name).since.as_deref().unwrap_or_default());
    for (name, dependency) in [("api", "db"), ("web", "api")] {
        assert!(
            moment(&runs[name].started_at) >= ready(dependency),
            "{name} started at {}, {dependency} was Ready at {}",
            runs[name].started_at,
            ready(dependency)
        );
    }
    // Nobody is restarted a second time for what the engine did.
    stage.settled();
    assert_eq!(stage.runs(), runs);
}

#[test]
fn a_graceful_restart_of_the_engine_counts_no_restart_and_ends_in_order() {
    survives(Signal::TERM);
}

#[test]
fn a_killed_engine_counts_no_restart_and_ends_in_order() {
    survives(Signal::KILL);
}

#[test]
fn a_broken_connection_is_no_death() {
    let Some(mut stage) = Stage::new() else { return };
    let proxy = Proxy::start(stage.path("engine.sock"), &stage.engine.socket);
    stage.docker_socket.clone_from(&proxy.socket);
    stage.save(PLATFORM);
    stage.start();
    stage.ready();
    let (runs, changes) = (stage.runs(), proxy.changes());
    proxy.cut();
    stage.wait("the daemon sees that the engine is away", |status| {
        has(status, None, ConditionType::DockerReachable, Status::False)
    });
    proxy.mend();
    let back = stage.wait("the engine is back", |status| {
        all_ready(status) && has(status, None, ConditionType::DockerReachable, Status::True)
    });
    assert!(back.services.iter().all(|row| row.restarts == 0), "{:#?}", back.services);
    assert_eq!((stage.runs(), proxy.changes()), (runs, changes), "nothing was done to anybody");
}

#[test]
fn a_daemon_without_an_engine_says_so_and_converges_when_it_comes() {
    let Some(mut stage) = Stage::new() else { return };
    let real = stage.engine.socket.clone();
    stage.docker_socket = stage.path("engine.sock");
    stage.save(PLATFORM);
    stage.start();
    let away = stage.wait("it says that the engine is away", |status| {
        has(status, None, ConditionType::DockerReachable, Status::False)
    });
    assert!(away.platform.sentence.contains("the engine does not answer"), "{}", away.platform.sentence);
    let _proxy = Proxy::start(stage.path("engine.sock"), &real);
    stage.ready();
}
