//! Seeds: everything goes wrong with the GPUs for a while, then nothing does. What must never happen meanwhile is checked at each
//! call: that of somebody who runs on a GPU is ended while driver and library disagree.

use std::time::Duration;

use aiplat_core::{
    ResourceId,
    observed::{ContainerId, Driver, GpuEvent, GpuEventKind, GpuId, Mismatch, Recovery},
    plan::Command,
};
use aiplat_tests::{
    build::{Sketch, all_gpus, gpus, healthy, restarting, service, sketch},
    generate::gpus::two_cards,
    lab::{Lab, simulate},
    sim::{Blind, Rng},
};

const SEEDS: u64 = 24;
const STEPS: u64 = 25;

fn platform(version: u32, both: bool) -> Sketch {
    let mut services = vec![
        service("app").version(version).after("db", restarting(healthy())),
        service("db").gpu(gpus(1)).liveness().version(version),
        service("cache").gpu(all_gpus()).version(1),
    ];
    if both {
        services.push(service("web").gpu(gpus(2)).after("db", healthy()));
    }
    sketch(services)
}

/// Driver and library disagree from now on, or belong together.
fn mismatch(lab: &Lab, is: bool) {
    let now = lab.host.now();
    lab.machine.change_gpus(|gpus| {
        gpus.nvidia = if is { Driver::Mismatch(Mismatch::default()) } else { two_cards().nvidia };
    });
    let frozen = &mut lab.host.settle().engine.gpus_frozen;
    *frozen = is.then_some(frozen.unwrap_or(now));
}

fn a_card() -> GpuId {
    two_cards().gpus.into_keys().next().expect("there are two")
}

async fn chaos(lab: &mut Lab, rng: &mut Rng) {
    for _ in 0..rng.below(STEPS) {
        match rng.below(12) {
            0 | 1 => mismatch(lab, rng.percent(60)),
            2 => {
                let running = lab.host.settle();
                let all = running.engine.containers.iter();
                let runs = all.filter_map(|(id, it)| Some((ContainerId(id.clone()), it.started?))).collect();
                drop(running);
                lab.host.settle().engine.blind = Blind::Runs(runs);
                lab.systemd.reload_by_hand();
            }
            3 => {
                let recovery = rng.percent(50).then_some(Recovery::DrainAndReset);
                lab.machine.change_gpus(|gpus| {
                    if let Some(gpu) = gpus.gpus.get_mut(&a_card()) {
                        gpu.recovery = recovery;
                    }
                });
            }
            4 => {
                let is_there = rng.percent(50);
                lab.machine.change_gpus(|gpus| {
                    if is_there {
                        gpus.gpus = two_cards().gpus;
                    } else {
                        gpus.gpus.remove(&a_card());
                    }
                });
            }
            // Of an application's errors nothing follows.
            5 => lab.machine.tell(GpuEvent { gpu: Some(a_card()), kind: GpuEventKind::Xid(31) }),
            6 => {
                lab.kill();
                lab.boot();
            }
            7 => lab.write(&platform(1 + u32::try_from(rng.below(3)).unwrap_or(0), rng.percent(50))),
            8 => {
                let name = *rng.pick(&["app", "db", "cache"]).expect("three");
                let command = *rng.pick(&[Command::Restart, Command::ResetFailed]).expect("two");
                let _taken = lab.order(&ResourceId::container(name), command, None).await;
            }
            9 => {
                let mut chance = rng.fork();
                drop(lab.host.by_hand(|engine| engine.meddle(&mut chance)));
            }
            _ => {}
        }
        lab.pass(Duration::from_millis(rng.below(45_000))).await;
        lab.assert_safe();
    }
}

async fn run(seed: u64) {
    let mut rng = Rng::new(seed);
    let mut lab = Lab::new(&platform(1, true), seed);
    lab.machine.change_gpus(|gpus| *gpus = two_cards());
    lab.boot();
    chaos(&mut lab, &mut rng).await;
    // Healed.
    lab.machine.change_gpus(|gpus| *gpus = two_cards());
    mismatch(&lab, false);
    lab.host.settle().engine.blind = Blind::None;
    lab.write(&platform(9, true));
    lab.confirm().await;
    lab.converged_within(Duration::from_secs(1_800)).await;
    lab.pass(Duration::from_secs(130)).await;
    lab.assert_safe();
    let calls = lab.calls();
    lab.pass(Duration::from_secs(200)).await;
    assert_eq!(lab.calls(), calls, "quiet stays quiet\n{}", lab.story());
}

#[test]
fn after_any_chaos_of_gpus_the_platform_converges_and_nothing_was_ended_for_a_driver() {
    let failed: Vec<u64> =
        (0..SEEDS).filter(|seed| std::panic::catch_unwind(|| simulate(run(*seed))).is_err()).collect();
    assert!(failed.is_empty(), "seeds {failed:?}");
}
