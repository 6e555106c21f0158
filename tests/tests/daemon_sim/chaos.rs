//! Seeds: everything goes wrong for a while, then nothing does, and the platform comes back.

use std::{collections::BTreeSet, time::Duration};

use aiplat_core::{ResourceId, ledger::Orders, plan::Command, spec::RestartMode};
use aiplat_tests::{
    build::Sketch,
    generate::{
        NAMES, configs, plain_sketches,
        units::{UNITS, units},
    },
    lab::{Lab, simulate},
    scene::Restart,
    sim::{Faults, Foreign, Rng},
};
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use crate::unit_chaos;

const SEEDS: u64 = 200;
const SEEDS_WITH_UNITS: u64 = 60;
/// Of chaos, each between nothing and three seconds.
const STEPS: u64 = 60;

/// What the platforms of one seed are drawn from.
struct Platforms {
    runner: TestRunner,
    /// Their services read configs.
    configured: bool,
    /// Some of their services are units.
    with_units: bool,
}

/// The same platforms for the same seed on every machine.
fn platform(from: &mut Platforms) -> Sketch {
    let Platforms { runner, configured, with_units } = from;
    let mut sketch = plain_sketches().new_tree(runner).expect("a platform").current();
    if *configured {
        sketch = configs().new_tree(runner).expect("some configs").current().on(sketch);
    }
    if *with_units {
        sketch = units().new_tree(runner).expect("some units").current().on(sketch);
    }
    for service in &mut sketch.services {
        // An edge needs a shared network.
        service.networks = vec!["default".to_owned()];
        // What fails for good when it is killed does not come back by itself.
        if service.restart == RestartMode::No {
            service.restart = RestartMode::Default;
        }
    }
    sketch
}

fn platforms(seed: u64, with_units: bool) -> Platforms {
    let mut bytes = [0_u8; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    // Every other seed: what was found without configs is looked for without them.
    Platforms {
        runner: TestRunner::new_with_rng(Config::default(), rng),
        configured: seed % 2 == 1,
        with_units,
    }
}

/// How often the machine was booted.
async fn chaos(lab: &mut Lab, rng: &mut Rng, from: &mut Platforms) -> usize {
    lab.host.settle().faults = Faults::drawn(rng);
    // An end with exit 0 in the absence of engine and daemon cannot be told from a completion.
    let daemon_dies = rng.percent(50);
    let mut disk_full = false;
    let mut boots = 1;
    for _ in 0..rng.below(STEPS) {
        match rng.below(20) {
            0 if daemon_dies => {
                lab.kill();
                lab.pass(Duration::from_millis(rng.below(2_000))).await;
                lab.boot();
            }
            1 if !daemon_dies => {
                let how = *rng.pick(&[Restart::Graceful, Restart::Killed, Restart::Live]).expect("three");
                lab.host.restart_engine(how, Duration::from_millis(500 + rng.below(12_000))).await;
            }
            2 => lab.write(&platform(from)),
            3 => lab.folder.write(b"services: ["),
            4 => {
                disk_full = rng.percent(50);
                lab.disk.fill(disk_full);
            }
            // What cannot be saved does not outlive its daemon.
            9..=11 if !disk_full => order(lab, rng, from.with_units).await,
            5..=8 => {
                let mut chance = rng.fork();
                drop(lab.host.by_hand(|engine| engine.meddle(&mut chance)));
            }
            12..=16 if from.with_units => unit_chaos::meddle(lab, rng).await,
            17 if from.with_units => {
                unit_chaos::reboot(lab, rng, disk_full).await;
                boots += 1;
            }
            _ => {}
        }
        lab.pass(Duration::from_millis(rng.below(3_000))).await;
        lab.assert_safe();
    }
    boots
}

async fn order(lab: &Lab, rng: &mut Rng, with_units: bool) {
    let command = *rng.pick(&Command::ALL).expect("there are some");
    let services = NAMES.map(ResourceId::container).into_iter();
    let units = UNITS.map(|(name, _)| ResourceId::unit(name));
    let all: Vec<ResourceId> = services.chain(units.into_iter().filter(|_| with_units)).collect();
    let id = rng.pick(&all).expect("five at least");
    let lasts = rng.percent(30).then(|| Duration::from_secs(rng.below(60)));
    let _taken = lab.order(id, command, lasts).await;
}

/// People take their orders back, also those of a service that was gone for a moment which the daemon has not seen.
async fn let_go(lab: &Lab) {
    let mut held: BTreeSet<ResourceId> = lab.host.settle().orders.held().into_iter().collect();
    held.extend(lab.shared().lock().ledger.records.iter().filter_map(|(id, record)| {
        let Orders { stopped, suspended, .. } = &record.orders;
        (stopped.is_some() || suspended.is_some()).then(|| id.clone())
    }));
    for id in held {
        for command in [Command::Resume, Command::Start] {
            let _taken = lab.order(&id, command, None).await;
        }
    }
}

async fn run(seed: u64, with_units: bool) {
    let mut rng = Rng::new(seed);
    let mut from = platforms(seed, with_units);
    let mut lab = Lab::new(&platform(&mut from), seed);
    let bystander = Foreign { name: "bystander".to_owned(), port: Some(9_999), ..Foreign::default() };
    lab.host.by_hand(|engine| drop(engine.add_foreign(&bystander)));
    if with_units {
        unit_chaos::install(&lab);
    }
    lab.boot();
    let boots = chaos(&mut lab, &mut rng, &mut from).await;
    // Healed: no more faults, and a good file.
    let script = lab.host.settle().faults.script.len();
    assert_eq!(script, 0);
    lab.host.settle().faults = Faults::default();
    lab.disk.fill(false);
    lab.write(&platform(&mut from));
    lab.confirm().await;
    let_go(&lab).await;
    if with_units {
        unit_chaos::heal(&lab).await;
    }
    // A hung stop, then the longest back-off of a failed action, then a resync.
    lab.converged_within(Duration::from_secs(1_800)).await;
    lab.pass(Duration::from_secs(130)).await;
    lab.assert_safe();
    let differences = lab.differences();
    assert!(differences.is_empty(), "{differences:#?}\n{}", lab.story());
    let calls = |lab: &Lab| (lab.calls(), lab.systemd.calls().len());
    let before = calls(&lab);
    lab.pass(Duration::from_secs(75)).await;
    assert_eq!(calls(&lab), before, "quiet stays quiet\n{}", lab.story());
    if with_units {
        unit_chaos::assert_untouched(&lab, boots);
    }
}

/// Those of the suite, `most`; or one alone, `AIPLAT_SEED=17`; or others, `AIPLAT_SEED=200..1000`.
fn seeds(most: u64) -> std::ops::Range<u64> {
    let Ok(wanted) = std::env::var("AIPLAT_SEED") else { return 0..most };
    let number =
        |text: &str| text.parse::<u64>().expect("AIPLAT_SEED is a number, or a range like 200..1000");
    let seeds = match wanted.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => number(&wanted)..number(&wanted) + 1,
    };
    assert!(!seeds.is_empty(), "AIPLAT_SEED={wanted} is no seed at all");
    seeds
}

#[test]
fn after_any_chaos_the_platform_converges_and_stays_and_nothing_unsafe_was_done() {
    try_each(SEEDS, false);
}

#[test]
fn after_any_chaos_a_platform_with_units_converges_and_stays_and_nothing_unsafe_was_done() {
    try_each(SEEDS_WITH_UNITS, true);
}

#[expect(clippy::print_stderr, reason = "the output of a test")]
fn try_each(most: u64, with_units: bool) {
    let mut failed = Vec::new();
    for seed in seeds(most) {
        let result = std::panic::catch_unwind(|| simulate(run(seed, with_units)));
        if result.is_err() {
            eprintln!("that was seed {seed}");
            failed.push(seed);
        }
    }
    assert!(failed.is_empty(), "seeds {failed:?}");
}
