//! The rarer options on a real engine: it takes them, runs with them, and shows them as they were asked for.

use std::collections::{BTreeMap, BTreeSet};

use aiplat_core::{
    ResourceId,
    action::Action,
    observed::ContainerState,
    spec::{ContainerRuntime, Device, Limits, Logging, Namespace, Options, Ulimit},
};
use serde_json::{Value, json};

use crate::{
    fixture::Fixture,
    support::{apply, spec},
};

fn options(change: impl FnOnce(&mut Options)) -> Options {
    let mut options = Options::default();
    change(&mut options);
    options
}

/// A container of these options that runs, as the engine shows it.
async fn runs(fixture: &Fixture, service: &str, options: Options) -> Value {
    let runtime = ContainerRuntime { options, ..fixture.runtime(&["sleep"]) };
    let id = fixture.create(fixture.spec(service, runtime)).await.unwrap();
    fixture.start(service, &id).await.unwrap();
    assert_eq!(fixture.only(service).await.state, ContainerState::Running);
    fixture.inspect(&id.0)
}

fn texts(items: &[&str]) -> BTreeSet<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

#[tokio::test]
async fn the_engine_runs_with_what_was_asked_for() {
    let Some(fixture) = Fixture::new() else { return };
    let asked = options(|options| {
        let (process, confinement) = (&mut options.process, &mut options.confinement);
        process.working_dir = Some("/srv/app".to_owned());
        process.tty = true;
        process.ulimits = BTreeMap::from([("nofile".to_owned(), Ulimit { soft: 512, hard: 1024 })]);
        process.oom_score_adj = 100;
        process.shm_size = Some(8 << 20);
        process.tmpfs = BTreeMap::from([("/run".to_owned(), "size=1m,mode=1777".to_owned())]);
        process.logging = Some(Logging {
            driver: Some("json-file".to_owned()),
            options: BTreeMap::from([("max-size".to_owned(), "1m".to_owned())]),
        });
        confinement.read_only = true;
        confinement.cap_drop = texts(&["ALL"]);
        confinement.cap_add = texts(&["CHOWN"]);
        confinement.group_add = texts(&["44"]);
        confinement.security_opt = texts(&["no-new-privileges=true"]);
        options.identity.hostname = Some("web".to_owned());
        options.identity.dns = vec!["1.1.1.1".to_owned()];
        options.identity.dns_opt = vec!["ndots:1".to_owned()];
        options.identity.extra_hosts = vec![("db.example".to_owned(), "10.0.0.5".to_owned())];
        options.hardware.devices = vec![Device {
            source: "/dev/null".to_owned(),
            target: "/dev/nothing".to_owned(),
            permissions: "rw".to_owned(),
        }];
    });
    let seen = runs(&fixture, "app", asked).await;
    let (config, host) = (&seen["Config"], &seen["HostConfig"]);
    assert_eq!(
        (&config["WorkingDir"], &config["Hostname"], &config["Tty"]),
        (&json!("/srv/app"), &json!("web"), &json!(true))
    );
    let expected = [
        ("Ulimits", json!([{"Name": "nofile", "Soft": 512, "Hard": 1024}])),
        ("OomScoreAdj", json!(100)),
        ("ShmSize", json!(8 << 20)),
        ("Tmpfs", json!({"/run": "size=1m,mode=1777"})),
        ("ReadonlyRootfs", json!(true)),
        ("CapDrop", json!(["ALL"])),
        ("CapAdd", json!(["CHOWN"])),
        ("GroupAdd", json!(["44"])),
        ("Dns", json!(["1.1.1.1"])),
        ("DnsOptions", json!(["ndots:1"])),
        ("ExtraHosts", json!(["db.example:10.0.0.5"])),
        (
            "Devices",
            json!([{"PathOnHost": "/dev/null", "PathInContainer": "/dev/nothing", "CgroupPermissions": "rw"}]),
        ),
    ];
    for (name, value) in expected {
        assert_eq!(host[name], value, "{name}");
    }
    // To these the engine adds what its administrator has chosen for all.
    assert_eq!(
        (&host["LogConfig"]["Type"], &host["LogConfig"]["Config"]["max-size"]),
        (&json!("json-file"), &json!("1m"))
    );
}

#[tokio::test]
async fn a_log_of_which_nothing_is_said_is_bounded() {
    let Some(fixture) = Fixture::new() else { return };
    let seen = runs(&fixture, "app", Options::default()).await;
    let log = &seen["HostConfig"]["LogConfig"];
    if matches!(log["Type"].as_str(), Some("json-file" | "local")) {
        assert_eq!((&log["Config"]["max-file"], &log["Config"]["max-size"]), (&json!("3"), &json!("10m")));
    } else {
        assert_eq!(log["Config"]["max-size"], Value::Null, "only files grow without bound");
    }
}

#[tokio::test]
async fn a_namespace_of_another_container_is_joined_by_its_id() {
    let Some(fixture) = Fixture::new() else { return };
    let db = fixture.run("db", &["sleep"]).await;
    let of_db = || Namespace::Service(ResourceId::container("db"));
    let asked = options(|options| {
        options.identity.network_mode = of_db();
        options.confinement.pid = of_db();
    });
    let runtime = ContainerRuntime { options: asked, ..fixture.runtime(&["sleep"]) };
    let mut create = fixture.spec("web", runtime);
    create.joins = BTreeMap::from([(ResourceId::container("db"), db.clone())]);
    let web = fixture.create(create).await.unwrap();
    fixture.start("web", &web).await.unwrap();
    let seen = fixture.only("web").await;
    assert_eq!(seen.detail.unwrap().joins, BTreeSet::from([db]));
    assert!(seen.networks.is_empty(), "{:?}", seen.networks);
}

#[tokio::test]
async fn every_limit_is_changed_and_lifted_while_it_runs() {
    let Some(fixture) = Fixture::new() else { return };
    let app = ResourceId::container("app");
    let id = fixture.run("app", &["sleep"]).await;
    let many = Limits {
        memory: 64 << 20,
        memory_reservation: 32 << 20,
        memory_swap: 96 << 20,
        nano_cpus: 500_000_000,
        cpu_shares: 512,
        cpuset: "0".to_owned(),
        pids: 50,
    };
    let no_swap_limit = Limits { memory_swap: -1, cpuset: String::new(), ..many.clone() };
    let less =
        Limits { memory: 32 << 20, memory_reservation: 0, memory_swap: 0, cpu_shares: 0, ..many.clone() };
    for limits in [many, no_swap_limit, less, Limits::default()] {
        // A reservation is lifted to the limit, and shows again when that goes: the next pass sees to it.
        let mut seen = None;
        for _ in 0..2 {
            let update = Action::UpdateLimits { id: id.clone(), limits: limits.clone() };
            apply(&fixture.backend, &app, update).await.unwrap();
            seen = fixture.only("app").await.detail;
            if seen.as_ref().is_some_and(|detail| detail.limits == limits) {
                break;
            }
        }
        assert_eq!(seen.unwrap().limits, limits);
        assert_eq!(fixture.only("app").await.state, ContainerState::Running);
    }
    let mut create = fixture.spec("made", fixture.runtime(&["sleep"]));
    create.network = Some(spec::attachment("bridge", &[]));
    let limits = Limits {
        memory: 64 << 20,
        memory_swap: -1,
        cpu_shares: 2,
        cpuset: "0".to_owned(),
        ..Limits::default()
    };
    std::sync::Arc::get_mut(&mut create.spec).unwrap().live.limits = limits.clone();
    fixture.create(create).await.unwrap();
    assert_eq!(fixture.only("made").await.detail.unwrap().limits, limits, "made with what is then observed");
}
