//! `doctor`: each check, and the cure that it names.

use std::{fs, os::unix::fs::PermissionsExt as _};

use aiplat_api::v1::{FailedUnit, SystemdReport};
use aiplat_core::condition::{ConditionType, Reason, Status};

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
