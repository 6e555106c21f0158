//! Worlds that no engine makes: any observation, any ledger.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use aiplat_core::{
    Kind, ResourceId, Timestamp,
    classify::FailureClass,
    condition::{ErrorClass, Reason},
    ledger::{Failure, Ledger, Order, Orders, Record, Restart, Suspension, TakenBack, Until},
    observed::{
        AsOf, ContainerDetail, ContainerId, ContainerState, Endpoint, EngineHealth, Incarnation, Listing,
        ModelAnswer, ModelFacts, ModelServer, ObservedContainer, ObservedImage, ObservedMount,
        ObservedNetwork, ObservedState, ObservedVolume, Ownership, ProbeFacts, PublishedPort, StoredModel,
    },
    spec::{InstanceId, Limits, OnExhausted, Protocol, Role, Settings},
};
use proptest::{collection::vec, option, prelude::*, sample::select};

use super::NAMES;
use crate::build::instance;

pub(super) fn times() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        6 => (0_u64..8_000).prop_map(|secs| Timestamp::from_boot(Duration::from_secs(secs))),
        1 => Just(Timestamp::ZERO),
        1 => Just(Timestamp::from_boot(Duration::MAX)),
    ]
}

fn states() -> impl Strategy<Value = ContainerState> {
    select(vec![
        ContainerState::Created,
        ContainerState::Running,
        ContainerState::Running,
        ContainerState::Paused,
        ContainerState::Restarting,
        ContainerState::Exited,
        ContainerState::Exited,
        ContainerState::Dead,
        ContainerState::Removing,
        ContainerState::Other("hibernating".to_owned()),
    ])
}

fn instances() -> impl Strategy<Value = InstanceId> {
    prop_oneof![4 => Just(instance()), 1 => Just(InstanceId("other".to_owned()))]
}

fn owners(kind: Kind, fingerprints: Vec<String>) -> impl Strategy<Value = Option<Ownership>> {
    let resource = select(vec!["api", "db", "web", "gone", "default", "data"])
        .prop_map(move |key| ResourceId::new(kind, key));
    let print = option::of(select(fingerprints).prop_map(|text| text.parse().expect("any text")));
    let depends = vec(select(vec!["api", "db", "gone"]).prop_map(ResourceId::container), 0..3);
    let whole =
        (instances(), resource, print, depends).prop_map(|(instance, resource, fingerprint, depends_on)| {
            Ownership { instance, resource, fingerprint, depends_on, gpus: None }
        });
    option::weighted(0.8, whole)
}

fn details() -> impl Strategy<Value = ContainerDetail> {
    let health =
        option::of(select(vec![EngineHealth::Starting, EngineHealth::Healthy, EngineHealth::Unhealthy]));
    let limits = (select(vec![0, 1 << 28, -1, i64::MAX]), select(vec![0, 1, -1]))
        .prop_map(|(memory, pids)| Limits { memory, pids, ..Limits::default() });
    let code = select(vec![0, 1, 127, 128, 137, 139, 143, 255, i64::MIN]);
    let text = select(vec!["", "0001-01-01T00:00:00Z", "t1", "t2"]);
    let line = select(vec!["", "Error: Cannot find module 'x'", "nginx: [emerg] unknown directive", "bye"]);
    (text, code, any::<bool>(), health, limits, line, any::<bool>()).prop_map(
        |(started_at, exit_code, oom_killed, health, limits, line, engine_restarts)| ContainerDetail {
            started_at: started_at.to_owned(),
            finished_at: String::new(),
            exit_code,
            error: String::new(),
            oom_killed,
            health,
            limits,
            joins: std::collections::BTreeSet::new(),
            engine_restarts,
            tail: Some(line.to_owned()).filter(|line| !line.is_empty()).into_iter().collect(),
        },
    )
}

fn containers(fingerprints: Vec<String>) -> impl Strategy<Value = ObservedContainer> {
    let endpoint = (
        select(vec!["", "n1", "n2"]),
        option::of(Just(IpAddr::from([10, 0, 0, 2]))),
        option::of(vec(select(vec!["api", "db"]), 0..2)),
    );
    let endpoint = endpoint.prop_map(|(id, ip, aliases)| Endpoint {
        network_id: id.to_owned(),
        ip,
        aliases: aliases.map(|all| all.into_iter().map(str::to_owned).collect()),
    });
    let networks = prop::collection::btree_map(
        select(vec!["demo-default".to_owned(), "host".to_owned(), "x".to_owned()]),
        endpoint,
        0..3,
    );
    let mount = (option::of(select(vec!["demo-data".to_owned(), "v".to_owned()])), any::<bool>()).prop_map(
        |(volume, writable)| ObservedMount { volume, bind: None, target: "/data".to_owned(), writable },
    );
    let port = (8_000..8_003_u16).prop_map(|host_port| PublishedPort {
        host_ip: IpAddr::from([0, 0, 0, 0]),
        host_port,
        container_port: 80,
        protocol: Protocol::Tcp,
    });
    let identity =
        ("[0-9a-f]{1,14}", select(vec!["demo-api", "demo-db", "demo-web", "demo-web--1", "x", ""]), states());
    let created = prop_oneof![4 => 0..9_i64, 1 => Just(i64::MIN), 1 => Just(i64::MAX)];
    let parts = (
        identity,
        owners(Kind::Container, fingerprints),
        created,
        networks,
        vec(mount, 0..2),
        vec(port, 0..2),
        option::weighted(0.8, details()),
        select(vec!["", "i", "j"]),
    );
    parts.prop_map(|((id, name, state), owner, created, networks, mounts, ports, detail, image)| {
        ObservedContainer {
            id: ContainerId(id),
            name: name.to_owned(),
            image: "x".to_owned(),
            image_id: image.to_owned(),
            state,
            owner,
            compose: None,
            created,
            networks,
            mounts,
            ports,
            detail,
            as_of: AsOf::default(),
        }
    })
}

/// Any observation at all, put together by the code that takes in listings. `fingerprints` are those that may occur.
pub fn observations(fingerprints: Vec<String>) -> impl Strategy<Value = ObservedState> {
    let network = (
        select(vec!["demo-default", "demo-front", "x"]),
        select(vec!["n1", "n2"]),
        owners(Kind::Network, vec![String::new(), "v1:0:0".to_owned()]),
    )
        .prop_map(|(name, id, owner)| ObservedNetwork {
            id: id.to_owned(),
            name: name.to_owned(),
            owner,
            compose: None,
            driver: "bridge".to_owned(),
            internal: false,
        })
        .boxed();
    let volume = (select(vec!["demo-data", "demo-files"]), owners(Kind::Volume, vec![String::new()]))
        .prop_map(|(name, owner)| ObservedVolume {
            name: name.to_owned(),
            owner,
            compose: None,
            driver: "local".to_owned(),
        })
        .boxed();
    let listing = || {
        let containers = vec(containers(fingerprints.clone()), 0..6);
        (containers, vec(network.clone(), 0..3), vec(volume.clone(), 0..2)).prop_map(
            |(containers, networks, volumes)| Listing {
                as_of: AsOf::default(),
                containers,
                networks,
                volumes,
            },
        )
    };
    let facts = (any::<bool>(), any::<bool>(), option::of(times()), any::<bool>());
    let parts = (listing(), listing(), times(), times(), facts, select(vec!["", "t1", "t2"]));
    parts.prop_map(|(first, second, then, now, (listed, away, lost_at, healthy), run)| {
        let mut observed = ObservedState::default();
        observed.record_listing(first, &instance(), then);
        observed.record_listing(second, &instance(), now);
        observed.engine.listed = listed || !away;
        observed.engine.away = (away && !listed).then(|| "refused".to_owned());
        observed.engine.lost_at = lost_at;
        for name in NAMES {
            let present = ObservedImage::Present { id: "i".to_owned(), has_healthcheck: false };
            observed.images.insert(format!("{name}:1"), present);
        }
        for (id, members) in &observed.owned {
            let (said, model) = models_of(members.len(), healthy, lost_at.is_some());
            observed.model_servers.insert(id.clone(), ModelServer { run: model, answer: said });
            let incarnation = members.first().and_then(ObservedContainer::incarnation);
            let incarnation = incarnation.unwrap_or_else(|| Incarnation(run.to_owned()));
            let facts = ProbeFacts { healthy: Some(healthy), ..ProbeFacts::new(incarnation, then) };
            for role in Role::ALL {
                observed.probes.insert((id.clone(), role), facts.clone());
            }
        }
        observed
    })
}

/// What a server of models may have said, of this run or of another.
fn models_of(members: usize, answers: bool, has_one: bool) -> (ModelAnswer, Option<Incarnation>) {
    let run = members.is_multiple_of(2).then(|| Incarnation("another".to_owned()));
    if !answers {
        return (ModelAnswer::Unreachable { why: "refused".to_owned() }, run);
    }
    let name = super::MODELS[members % super::MODELS.len()].parse().expect("a model's name");
    let stored = StoredModel { name, digest: String::new(), size: u64::MAX };
    let models = has_one.then_some(stored).into_iter().collect();
    (ModelAnswer::Answers(ModelFacts { models, ..ModelFacts::default() }), run)
}

fn orders() -> impl Strategy<Value = Orders> {
    let by = || Order { by: "uid 0".to_owned(), wall_ms: 0 };
    let until =
        option::of(times()).prop_map(|at| Some(Until { at: at?, wall_ms: 0, text: "12:00".to_owned() }));
    let suspended =
        (until, any::<bool>()).prop_map(move |(until, released)| Suspension { order: by(), until, released });
    let image = select(vec!["i".to_owned(), "j".to_owned()]);
    let run = runs();
    let parts = (
        prop::bool::weighted(0.2),
        option::weighted(0.2, suspended),
        option::weighted(0.2, image),
        option::weighted(0.2, run),
    );
    parts.prop_map(move |(stopped, suspended, image, restart)| Orders {
        stopped: stopped.then(by),
        restart,
        suspended,
        image,
        pull: None,
    })
}

/// Any record of a service.
pub(super) fn records(fingerprints: Vec<String>) -> impl Strategy<Value = Record> {
    let classes = select(FailureClass::ALL.to_vec());
    let restart = (times(), 0_u64..4_000, classes, option::of(runs())).prop_map(|(at, ran, class, of)| {
        Restart { of, at, ran: Duration::from_secs(ran), ending: "exit 1".to_owned(), class }
    });
    let failure = (
        select(vec!["start", "create", "pull", "stop"]),
        option::of(times()),
        option::of(select(fingerprints.clone())),
    )
        .prop_map(|(action, retry_at, print)| Failure {
            action: action.to_owned(),
            class: ErrorClass::Transient,
            reason: Reason::ActionFailed,
            message: "it failed".to_owned(),
            attempts: 1,
            retry_at,
            fingerprint: print.map(|text| text.parse().expect("any text")),
            room: None,
        });
    let returned = option::weighted(0.2, select(fingerprints.clone())).prop_map(|print| {
        let fingerprint = print?.parse().expect("any text");
        Some(TakenBack { fingerprint, image: None, why: "it crashed".to_owned() })
    });
    let stopped = vec(runs(), 0..2);
    let parts = (
        vec(restart, 0..8),
        option::weighted(0.3, failure),
        select(fingerprints),
        any::<bool>(),
        orders(),
        returned,
        stopped,
    );
    parts.prop_map(|(recent, failure, print, depends, orders, taken_back, stopped)| {
        let mut record = Record { failure, orders, taken_back, stopped, ..Record::default() };
        record.restarts.recent = recent;
        record.restarts.fingerprint = Some(print.parse().expect("any text"));
        if depends {
            record.dependencies =
                BTreeMap::from([(ResourceId::container("db"), Incarnation("old".to_owned()))]);
        }
        record
    })
}

/// Names of runs.
pub(super) fn runs() -> impl Strategy<Value = Incarnation> {
    select(vec!["t1", "t2"]).prop_map(|run| Incarnation(run.to_owned()))
}

/// Any ledger of containers.
pub fn ledgers(fingerprints: Vec<String>) -> impl Strategy<Value = Ledger> {
    let ids = select(vec!["api", "db", "web"]).prop_map(ResourceId::container);
    prop::collection::btree_map(ids, records(fingerprints), 0..3)
        .prop_map(|records| Ledger { records, ..Ledger::default() })
}

/// Settings, sane and odd.
pub fn settings() -> impl Strategy<Value = Settings> {
    let durations =
        || select(vec![Duration::ZERO, Duration::from_secs(1), Duration::from_secs(300), Duration::MAX]);
    (durations(), durations(), durations(), 0..6_u32, any::<bool>()).prop_map(
        |(delay, max_delay, reset, crash_loop, hold)| {
            let mut settings = Settings::default();
            settings.restart.delay = delay;
            settings.restart.max_delay = max_delay;
            settings.restart.reset_after = reset;
            settings.restart.crash_loop = crash_loop;
            settings.restart.on_exhausted = if hold { OnExhausted::Hold } else { OnExhausted::Retry };
            settings
        },
    )
}
