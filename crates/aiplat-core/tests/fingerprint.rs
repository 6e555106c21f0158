//! The fingerprint is a promise: it is written on containers, and an upgrade of aiplatd must restart nobody.

use std::collections::BTreeMap;

use aiplat_core::{
    ResourceId,
    fingerprint::{self, Fingerprint},
    spec::{ContainerRuntime, EngineCheck, Mount, MountOptions, MountSource, Options, PortBinding, Protocol},
};

type Edit = fn(&mut ContainerRuntime);

fn full() -> ContainerRuntime {
    ContainerRuntime {
        image: "postgres:16-alpine".to_owned(),
        command: Some(vec!["-c".to_owned(), "max_connections=50".to_owned()]),
        entrypoint: Some(vec!["docker-entrypoint.sh".to_owned()]),
        environment: BTreeMap::from([("TZ".to_owned(), "UTC".to_owned())]),
        user: Some("999:999".to_owned()),
        labels: BTreeMap::from([("team".to_owned(), "ai".to_owned())]),
        stop_signal: Some("SIGINT".to_owned()),
        ports: vec![PortBinding {
            host_ip: [127, 0, 0, 1].into(),
            host_port: Some(5432),
            container_port: 5432,
            protocol: Protocol::Tcp,
        }],
        mounts: vec![Mount {
            target: "/var/lib/postgresql/data".to_owned(),
            source: MountSource::Volume {
                volume: ResourceId::volume("pgdata"),
                host_name: "p_pgdata".to_owned(),
            },
            read_only: false,
            options: MountOptions::default(),
        }],
        engine_health_off: true,
        engine_check: None,
        options: Options::default(),
    }
}

/// If this fails, `v1` has changed under the containers of our users: leave it as it was and add a `v2` beside it.
#[test]
fn v1_is_what_it_always_was() {
    assert_eq!(fingerprint::of(&full()).as_str(), "v1:0:6fa74d8170a7202971c78b41");
    let minimal = ContainerRuntime { image: "redis:7".to_owned(), ..ContainerRuntime::default() };
    assert_eq!(fingerprint::of(&minimal).as_str(), "v1:0:d0c704f59c56ad7ec9371e3e");
}

#[test]
fn every_field_counts() {
    let base = full();
    let edits: [(&str, Edit); 11] = [
        ("image", |r| r.image.push('x')),
        ("command", |r| r.command = None),
        ("entrypoint", |r| r.entrypoint = Some(Vec::new())),
        ("environment.TZ", |r| drop(r.environment.insert("TZ".to_owned(), "CET".to_owned()))),
        ("user", |r| r.user = None),
        ("labels.team", |r| r.labels.clear()),
        ("stop_signal", |r| r.stop_signal = None),
        ("ports", |r| r.ports.clear()),
        ("volumes./var/lib/postgresql/data", |r| r.mounts[0].read_only = true),
        ("healthcheck", |r| r.engine_health_off = false),
        ("healthcheck", |r| {
            let check = EngineCheck { retries: Some(3), ..EngineCheck::default() };
            (r.engine_health_off, r.engine_check) = (false, Some(check));
        }),
    ];
    for (field, edit) in edits {
        let mut edited = base.clone();
        edit(&mut edited);
        assert_ne!(fingerprint::of(&base), fingerprint::of(&edited), "{field} does not count");
        let changed = fingerprint::changed(&fingerprint::fields(&base), &fingerprint::fields(&edited));
        assert_eq!(changed, [field], "the change is named after another field");
    }
}

#[test]
fn values_cannot_pretend_to_be_other_fields() {
    let with = |environment: &[(&str, &str)]| ContainerRuntime {
        image: "i".to_owned(),
        environment: environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        ..ContainerRuntime::default()
    };
    assert_ne!(
        fingerprint::of(&with(&[("A", "1\n1:B=2")])),
        fingerprint::of(&with(&[("A", "1"), ("B", "2")]))
    );
}

#[test]
fn what_cannot_be_compared_is_left_alone() {
    for foreign in ["v2:0:abcdef", "v1:7f:abcdef", ""] {
        let print: Fingerprint = foreign.parse().expect("any text is a fingerprint");
        assert!(print.matches(&full()), "{foreign:?} would have been replaced");
    }
    let other: Fingerprint = "v1:0:abcdef".parse().expect("any text is a fingerprint");
    assert!(!other.matches(&full()));
}

#[test]
fn the_order_of_ports_is_no_change() {
    let mut one = full();
    one.ports.push(PortBinding { host_port: Some(1), ..one.ports[0].clone() });
    let mut other = one.clone();
    other.ports.reverse();
    assert_eq!(fingerprint::of(&one), fingerprint::of(&other));
}
