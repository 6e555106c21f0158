//! `doctor`: each check, and the cure that it names.

use std::{fs, net::IpAddr, os::unix::fs::PermissionsExt as _};

use aiplat_api::v1::{FailedUnit, HostStatus, SystemdReport};
use aiplat_core::{
    ResourceId,
    condition::{ConditionType, Reason, Status, Word},
};

use crate::{
    support::{docs, server::Server, tool::run},
    verbs::{PLATFORM, check},
};

#[test]
fn doctor_names_a_cure_for_each_problem() {
    let server = Server::new(docs::well());
    let config = server.folder().join("platform.yaml");
    server.state().doc.platform.config = config.to_str().expect("it is text").to_owned();
    check(&server.run(&["doctor"]), 1, &["ok    daemon", "FAIL  platform file", "aiplatctl edit"], &[]);
    fs::write(&config, PLATFORM).expect("it is written");
    fs::set_permissions(&config, fs::Permissions::from_mode(0o666)).expect("it is ours");
    check(&server.run(&["doctor"]), 1, &["ok    platform file", "FAIL  file owner", "chmod go-w"], &[]);
    server.state().doc.platform.engine = None;
    check(&server.run(&["doctor"]), 1, &["skip  engine"], &[]);
    let none = server.folder().join("none.sock");
    check(&run(&none, server.folder(), &["doctor"]), 1, &["FAIL  daemon", "systemctl start aiplatd"], &[]);
}

#[test]
fn doctor_asks_systemd_and_names_what_keeps_a_unit_from_being_had() {
    let server = Server::new(docs::well());
    let doctor = |expected: &[&str]| check(&server.run(&["doctor"]), 1, expected, &[]);
    // Nobody needs it.
    doctor(&["skip  systemd        the system bus does not answer; no service of the file is a unit"]);
    server.change(|doc| doc.services[0].detail.unit = docs::ollama_detail().unit);
    doctor(&["FAIL  systemd        the system bus does not answer", "systemctl status dbus"]);
    let name = server.state().doc.services[0].name.clone();
    let failed = |name: &str, needed_by: &[&str]| FailedUnit {
        name: name.to_owned(),
        needed_by: needed_by.iter().map(|name| (*name).to_owned()).collect(),
    };
    let report = |version: &str, state: &str, failed: Vec<FailedUnit>| {
        server.state().systemd =
            Some(SystemdReport { version: version.to_owned(), state: state.to_owned(), failed });
    };
    report("257.4-1", "running", Vec::new());
    doctor(&[
        "ok    systemd        systemd 257.4-1 answers",
        "ok    systemd state  running",
        "ok    units          1 unit of the file",
    ]);
    report(
        "245 (245.4)",
        "degraded",
        vec![failed("srv-models.mount", &[&name]), failed("snapd.service", &[])],
    );
    doctor(&[
        "warn  systemd        systemd 245 (245.4) answers; aiplatd is tried with 252 and newer",
        "warn  systemd state  degraded: snapd.service has failed, which no service of the file needs",
        &format!("FAIL  failed unit    srv-models.mount has failed, which {name} needs"),
        "systemctl status srv-models.mount; journalctl -u srv-models.mount -e",
    ]);
    for (kind, status, reason, said, cure) in [
        (
            ConditionType::UnitLoaded,
            Status::False,
            Reason::UnitMasked,
            "FAIL  unit",
            "systemctl unmask ollama.service",
        ),
        (
            ConditionType::UnitLoaded,
            Status::False,
            Reason::UnitNotFound,
            "FAIL  unit",
            "systemctl list-unit-files",
        ),
        (
            ConditionType::UnitLoaded,
            Status::False,
            Reason::UnitInvalid,
            "FAIL  unit",
            "systemd-analyze verify ollama.service",
        ),
        (
            ConditionType::NameTaken,
            Status::True,
            Reason::NameTaken,
            "FAIL  unit",
            "systemctl cat ollama.service",
        ),
        (
            ConditionType::Overridden,
            Status::True,
            Reason::EnvironmentOverridden,
            "warn  unit",
            "systemctl cat ollama.service",
        ),
    ] {
        server.change(|doc| {
            doc.services[0].conditions = vec![docs::condition(kind, status, reason, "this is why", 1)];
        });
        doctor(&[&format!("{said}           {name}: this is why"), cure]);
    }
}

/// A container that needs a unit, on a machine with a firewall.
fn with_a_unit() -> Server {
    let server = Server::new(docs::well());
    server.change(|doc| {
        doc.host = Some(HostStatus {
            firewalls: Some([("ufw".to_owned(), Some(true))].into()),
            addresses: Some([("eth0".to_owned(), vec![IpAddr::from([127, 0, 0, 9])])].into()),
            ..HostStatus::default()
        });
        let name = doc.services[1].name.clone();
        let unit = &mut doc.services[0];
        unit.detail.unit = docs::ollama_detail().unit;
        unit.detail.dependants = vec![name];
        unit.endpoint = "127.0.0.1:11434".to_owned();
    });
    server
}

#[test]
fn doctor_tells_who_cannot_reach_whom_and_what_lets_them() {
    let server = with_a_unit();
    let name = server.state().doc.services[0].name.clone();
    let doctor = |expected: &[&str]| check(&server.run(&["doctor"]), 1, expected, &[]);
    let allow = "sudo ufw allow from 172.16.0.0/12 to any port 11434 proto tcp";
    doctor(&[
        &format!("warn  firewall       ufw is at work, and containers need {name} at port 11434"),
        allow,
    ]);
    let reachable = |status, reason, said: &str| {
        server.change(|doc| {
            doc.services[0].conditions =
                vec![docs::condition(ConditionType::Reachable, status, reason, said, 1)];
        });
    };
    reachable(Status::False, Reason::ConnectionTimedOut, "no answer on port 11434 from web");
    doctor(&[&format!("FAIL  unit reach     {name}: no answer on port 11434 from web"), allow]);
    reachable(Status::True, Reason::Reached, "port 11434 from web");
    doctor(&[
        &format!("ok    unit reach     {name}: port 11434"),
        "ok    firewall       ufw is at work, and in nobody's way",
    ]);
}

#[test]
fn doctor_tells_of_containers_without_an_address_and_of_addresses_that_are_gone() {
    let server = Server::new(docs::well());
    let (one, other) = {
        let doc = &server.state().doc;
        (doc.services[0].name.clone(), doc.services[1].name.clone())
    };
    let doctor = |expected: &[&str]| check(&server.run(&["doctor"]), 1, expected, &[]);
    server.change(|doc| {
        doc.host = Some(HostStatus {
            addresses: Some([("eth0".to_owned(), vec![IpAddr::from([10, 0, 0, 9])])].into()),
            ..HostStatus::default()
        });
        for (service, address) in doc.services.iter_mut().zip(["a", "b"]) {
            service.detail.state = Some("running".to_owned());
            service.detail.networks = vec![format!("home-ai_default ({address})")];
        }
        doc.services[1].detail.depends_on = vec![format!("{one} (service_healthy)")];
        doc.services[1].endpoint = "127.0.0.1:80".to_owned();
    });
    doctor(&[
        "ok    containers     those that depend on each other have addresses on a shared network (1 pair)",
    ]);
    server.change(|doc| {
        doc.services[0].detail.networks = vec!["home-ai_default".to_owned()];
        // Reserved for documentation: no machine has it.
        doc.services[1].endpoint = "192.0.2.7:80".to_owned();
        doc.services[1].status = Word::CrashLoop;
    });
    doctor(&[
        &format!(
            "FAIL  containers     {other} depends on {one}, and one of them has no address on home-ai_default"
        ),
        &format!("aiplatctl restart {one} {other}"),
        &format!(
            "FAIL  addresses      {other} is published at 192.0.2.7:80, which is no address of this machine; it has 10.0.0.9"
        ),
        &format!("{other} CrashLoop"),
        &format!("aiplatctl why {other}"),
    ]);
}

#[test]
fn doctor_tells_what_the_engine_lacks_and_who_restarts_it() {
    let server = Server::new(docs::well());
    let doctor = |expected: &[&str]| check(&server.run(&["doctor"]), 1, expected, &[]);
    let mut engine = docs::resource(ResourceId::docker(), "docker", &[]);
    server.change(|doc| doc.resources.push(engine.clone()));
    doctor(&["ok    daemon.json    the engine has what the platform asks for"]);
    let said = |kind, status, reason, said: &str| docs::condition(kind, status, reason, said, 1);
    engine.conditions = vec![
        said(ConditionType::Overridden, Status::True, Reason::SetOtherwise, "live-restore is false"),
        said(
            ConditionType::EngineRestartRequired,
            Status::True,
            Reason::EngineRestartRequired,
            "runs with other",
        ),
        said(ConditionType::Ready, Status::False, Reason::SettingsInvalid, "no valid JSON"),
    ];
    server.change(|doc| *doc.resources.last_mut().expect("it was put there") = engine.clone());
    doctor(&[
        "warn  daemon.json    live-restore is false",
        "sudoedit /etc/docker/daemon.json",
        "warn  daemon.json    runs with other",
        "sudo systemctl restart docker",
        "FAIL  daemon.json    no valid JSON",
    ]);
}
