//! Generators: platforms that can converge, histories, and worlds that no engine makes.

pub mod units;

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use aiplat_core::{
    Kind, ResourceId, Timestamp,
    classify::FailureClass,
    condition::{ErrorClass, Reason},
    ledger::{Failure, Ledger, Order, Orders, Record, Restart, Suspension, TakenBack, Until},
    observed::{
        AsOf, ContainerDetail, ContainerId, ContainerState, Endpoint, EngineHealth, Incarnation, Listing,
        ObservedContainer, ObservedImage, ObservedMount, ObservedNetwork, ObservedState, ObservedVolume,
        Ownership, ProbeFacts, PublishedPort,
    },
    spec::{FailureAction, InstanceId, Limits, OnChange, OnExhausted, Protocol, RestartMode, Role, Settings},
};
use proptest::{collection::vec, option, prelude::*, sample::select};

use crate::{
    build::{
        Service, Sketch, completed, healthy, instance, optional, restarting, service, sketch, started,
        tcp_probe,
    },
    sim::{App, Hang},
};

/// Names of services.
pub const NAMES: [&str; 5] = ["api", "db", "jobs", "web", "cache"];

#[derive(Debug, Clone)]
struct Choices {
    version: u32,
    image: u32,
    probe: bool,
    boot_ms: u64,
    one_shot: bool,
    crashes: u32,
    restart: RestartMode,
    edges: Vec<(usize, u8)>,
    networks: Vec<&'static str>,
    volume: Option<&'static str>,
    anonymous: bool,
    port: Option<u16>,
    memory: i64,
    renamed: bool,
    stop_exit: i64,
    start_first: bool,
    liveness: bool,
    startup: bool,
    hangs: u32,
    relies: bool,
}

fn choices() -> impl Strategy<Value = Choices> {
    let running = (
        any::<bool>(),
        0_u64..3_000,
        prop::bool::weighted(0.2),
        prop_oneof![4 => Just(0_u32), 1 => 1..3_u32],
    );
    let mode = prop_oneof![
        3 => Just(RestartMode::Default),
        1 => Just(RestartMode::Always),
        1 => Just(RestartMode::OnFailure(None)),
    ];
    let shape = (
        vec((0..5_usize, 0..6_u8), 0..3),
        prop::sample::subsequence(vec!["default", "front", "back"], 0..=2),
        option::weighted(0.4, select(vec!["data", "files"])),
        prop::bool::weighted(0.2),
        option::weighted(0.3, 8_000..8_003_u16),
    );
    let rest = (
        1..3_u32,
        1..3_u32,
        select(vec![0_i64, 1 << 28, 1 << 29]),
        prop::bool::weighted(0.1),
        select(vec![0, 143]),
        prop::bool::weighted(0.3),
        (
            any::<bool>(),
            prop::bool::weighted(0.2),
            prop_oneof![3 => Just(0_u32), 1 => 1..3_u32],
            any::<bool>(),
        ),
    );
    (running, mode, shape, rest).prop_map(|(running, restart, shape, rest)| {
        let (probe, boot_ms, one_shot, crashes) = running;
        let (edges, networks, volume, anonymous, port) = shape;
        let (version, image, memory, renamed, stop_exit, start_first, (liveness, startup, hangs, relies)) =
            rest;
        Choices {
            version,
            image,
            probe,
            boot_ms,
            one_shot,
            crashes,
            restart,
            edges,
            networks,
            volume,
            anonymous,
            port,
            memory,
            renamed,
            stop_exit,
            start_first,
            liveness,
            startup,
            hangs,
            relies,
        }
    })
}

/// Platforms whose programs behave well enough that they can converge: a one-shot is not restarted for ever, crashes
/// stop, nobody waits for the completion of what does not complete, and no two services want one host port.
/// Some of their services read configs.
pub fn sketches() -> impl Strategy<Value = Sketch> {
    (plain_sketches(), configs()).prop_map(|(sketch, configs)| configs.on(sketch))
}

/// Configs for a platform: what they hold, and which services read which.
#[derive(Debug, Clone)]
pub struct Configs {
    texts: Vec<(&'static str, u32, OnChange)>,
    readers: Vec<Option<&'static str>>,
}

/// Two configs, and who reads them.
pub fn configs() -> impl Strategy<Value = Configs> {
    let follows = || select(vec![OnChange::Restart, OnChange::Recreate, OnChange::Nothing]);
    let texts = (1..4_u32, follows(), 1..4_u32, follows());
    let readers = vec(option::weighted(0.4, select(vec!["app", "common"])), NAMES.len());
    (texts, readers).prop_map(|((app, follow, common, other), readers)| Configs {
        texts: vec![("app", app, follow), ("common", common, other)],
        readers,
    })
}

impl Configs {
    /// The same platform, whose services read these.
    #[must_use]
    pub fn on(self, mut sketch: Sketch) -> Sketch {
        let text = |(key, version, follows): (&str, u32, OnChange)| {
            (key.to_owned(), (format!("v{version}"), follows))
        };
        sketch.configs = self.texts.into_iter().map(text).collect();
        for service in &mut sketch.services {
            let reads = NAMES.iter().position(|name| *name == service.name);
            let reads = reads.and_then(|index| self.readers.get(index).copied().flatten());
            service.configs = reads.map(str::to_owned).into_iter().collect();
        }
        sketch
    }
}

/// The same without configs.
pub fn plain_sketches() -> impl Strategy<Value = Sketch> {
    let internal = prop::sample::subsequence(vec!["default", "front", "back"], 0..=2);
    (vec((any::<bool>(), choices()), NAMES.len()), internal).prop_map(|(all, internal)| {
        let present: Vec<(usize, &Choices)> = all
            .iter()
            .enumerate()
            .filter(|(_, (is, _))| *is)
            .map(|(index, (_, choices))| (index, choices))
            .collect();
        let mut ports = std::collections::BTreeSet::new();
        let services: Vec<Service> =
            present.iter().map(|(index, choices)| one(*index, choices, &present, &mut ports)).collect();
        Sketch { internal: internal.into_iter().map(str::to_owned).collect(), ..sketch(services) }
    })
}

fn one(
    index: usize,
    choices: &Choices,
    present: &[(usize, &Choices)],
    ports: &mut std::collections::BTreeSet<u16>,
) -> Service {
    let name = NAMES[index];
    let app =
        App { boot: Duration::from_millis(choices.boot_ms), stop_exit: choices.stop_exit, ..App::default() };
    let app = match (choices.one_shot, choices.crashes) {
        (true, _) => App { ends: App::one_shot(Duration::from_millis(300 + choices.boot_ms)).ends, ..app },
        (false, 0) => app,
        (false, times) => App { ends: App::crashing_times(times, Duration::from_millis(700), 1).ends, ..app },
    };
    // What follows the end of a job is nothing, or another try where it has failed.
    let ends_for_good = choices.one_shot && choices.restart == RestartMode::Always;
    let restart = if ends_for_good { RestartMode::No } else { choices.restart };
    let mut service = service(name).version(choices.version).restart(restart).app(app);
    // What completes is another program than what serves: another image.
    let program = if choices.one_shot { "-job" } else { "" };
    service.image = format!("{name}{program}:{}", choices.image);
    service.probe = (choices.probe && !choices.one_shot).then(tcp_probe);
    // What hangs is healed only where it is asked whether it still answers.
    if choices.liveness && !choices.one_shot {
        service = service.liveness();
        let hang = Hang { after: Duration::from_millis(choices.boot_ms + 900), times: choices.hangs };
        service.app.hangs = (choices.hangs > 0).then_some(hang);
    }
    if choices.startup && !choices.one_shot {
        service = service.startup();
    }
    service.networks = choices.networks.iter().map(|network| (*network).to_owned()).collect();
    service.limits.memory = choices.memory;
    // Taken back or not, a platform with a bad edit does not end as its file says.
    service.on_failure = Some(FailureAction::Pause);
    service.start_first = choices.start_first;
    service.volumes =
        choices.volume.iter().map(|volume| ((*volume).to_owned(), "/data".to_owned())).collect();
    if choices.anonymous {
        service.anonymous.push("/scratch".to_owned());
    }
    service.ports = choices.port.into_iter().filter(|port| ports.insert(*port)).collect();
    service.container_name = choices.renamed.then(|| format!("{name}-own"));
    for (on, kind) in &choices.edges {
        // Only backwards: no cycles.
        let Some((on, other)) = present.iter().find(|(other, _)| other == on && *other < index) else {
            continue;
        };
        let edge = match kind {
            _ if other.one_shot => completed(),
            0 => started(),
            1 => restarting(healthy()),
            2 => optional(healthy()),
            _ => healthy(),
        };
        if choices.relies && edge.required && !other.one_shot {
            service.app.upstream = Some(NAMES[*on].to_owned());
        }
        service.needs.insert(NAMES[*on].to_owned(), edge);
    }
    service
}

fn times() -> impl Strategy<Value = Timestamp> {
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
            Ownership { instance, resource, fingerprint, depends_on }
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

fn orders() -> impl Strategy<Value = Orders> {
    let by = || Order { by: "uid 0".to_owned(), wall_ms: 0 };
    let until =
        option::of(times()).prop_map(|at| Some(Until { at: at?, wall_ms: 0, text: "12:00".to_owned() }));
    let suspended =
        (until, any::<bool>()).prop_map(move |(until, released)| Suspension { order: by(), until, released });
    let image = select(vec!["i".to_owned(), "j".to_owned()]);
    let run = select(vec!["t1", "t2"]).prop_map(|run| Incarnation(run.to_owned()));
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
    })
}

/// Any ledger.
pub fn ledgers(fingerprints: Vec<String>) -> impl Strategy<Value = Ledger> {
    let classes = select(FailureClass::ALL.to_vec());
    let restart = (times(), 0_u64..4_000, classes).prop_map(|(at, ran, class)| Restart {
        of: None,
        at,
        ran: Duration::from_secs(ran),
        ending: "exit 1".to_owned(),
        class,
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
        });
    let returned = option::weighted(0.2, select(fingerprints.clone())).prop_map(|print| {
        let fingerprint = print?.parse().expect("any text");
        Some(TakenBack { fingerprint, image: None, why: "it crashed".to_owned() })
    });
    let record = (
        vec(restart, 0..8),
        option::weighted(0.3, failure),
        select(fingerprints),
        any::<bool>(),
        orders(),
        returned,
    )
        .prop_map(|(recent, failure, print, depends, orders, taken_back)| {
            let mut record = Record { failure, orders, taken_back, ..Record::default() };
            record.restarts.recent = recent;
            record.restarts.fingerprint = Some(print.parse().expect("any text"));
            if depends {
                record.dependencies =
                    BTreeMap::from([(ResourceId::container("db"), Incarnation("old".to_owned()))]);
            }
            record
        });
    prop::collection::btree_map(
        select(vec!["api", "db", "web"]).prop_map(ResourceId::container),
        record,
        0..3,
    )
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
