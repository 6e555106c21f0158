//! Generators: platforms that can converge, histories, and worlds that no engine makes.

pub mod gpus;
mod unit_worlds;
pub mod units;
mod worlds;

use std::time::Duration;

use aiplat_core::spec::{FailureAction, OnChange, RestartMode};
use proptest::{collection::vec, option, prelude::*, sample::select};

pub use unit_worlds::with_units;
pub use worlds::{ledgers, observations, settings};

use crate::{
    build::{Service, Sketch, completed, healthy, optional, restarting, service, sketch, started, tcp_probe},
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
/// Some of their services read configs, some serve models, and some ask for GPUs.
pub fn sketches() -> impl Strategy<Value = Sketch> {
    (plain_sketches(), configs(), models(), gpus::requests()).prop_map(
        |(sketch, configs, models, requests)| gpus::asking(on(configs.on(sketch), &models), &requests),
    )
}

/// Entries of `models:`: which model, and on which service, by its place in [`NAMES`].
pub fn models() -> impl Strategy<Value = Vec<(&'static str, usize)>> {
    vec((select(MODELS.to_vec()), 0..NAMES.len()), 0..3)
}

/// What entries of generated platforms name. The registry of a scene has all of them.
pub const MODELS: [&str; 3] = ["llama3.2:3b", "nomic-embed-text", "hf.co/u/r:Q4"];

/// `sketch` with those of `models` whose service is there, and runs all the time.
fn on(mut sketch: Sketch, models: &[(&'static str, usize)]) -> Sketch {
    for (model, index) in models {
        let runner = sketch.services.iter().find(|it| it.name == NAMES[*index] && it.app.ends.is_none());
        let Some(runner) = runner.map(|runner| runner.name.clone()) else { continue };
        // The same model twice on one server is refused.
        if !sketch.models.iter().any(|(_, other, on)| other == model && *on == runner) {
            let entry = format!("m{}", sketch.models.len());
            sketch.models.push((entry, (*model).to_owned(), runner));
        }
    }
    sketch
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
