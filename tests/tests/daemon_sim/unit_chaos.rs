//! What people, packages and programs do to units behind the daemon's back.

use std::time::Duration;

use aiplat_core::plan::Command;
use aiplat_tests::{
    generate::units::UNITS,
    lab::Lab,
    scene::Restart,
    sim::{Rng, systemd::bystander},
};

fn names() -> [&'static str; UNITS.len()] {
    UNITS.map(|(name, _)| name)
}

/// Packages bring a unit for each name, and one that no file names, which runs and is enabled.
pub(crate) fn install(lab: &Lab) {
    lab.systemd.furnish(names());
    lab.systemd.by_hand(&bystander(), |unit| "enabled".clone_into(&mut unit.seen.file_state));
}

/// Something happens to some unit.
pub(crate) async fn meddle(lab: &Lab, rng: &mut Rng) {
    let systemd = &lab.systemd;
    // What was ready until now is known to have been.
    drop(lab.host.settle());
    if rng.percent(8) {
        systemd.away(Some("the bus is gone"));
        lab.pass(Duration::from_millis(rng.below(5_000))).await;
        systemd.away(None);
        return;
    }
    let name = *rng.pick(&names()).expect("there are some");
    systemd.meddle(rng, name);
}

/// The machine is booted anew, or its power fails; nothing is saved any more where the disk is full.
pub(crate) async fn reboot(lab: &mut Lab, rng: &mut Rng, disk_full: bool) {
    let in_order = !disk_full && rng.percent(50);
    if in_order {
        // What may wait a second has been saved.
        lab.pass(Duration::from_millis(1_500)).await;
    }
    lab.kill();
    let how = if in_order { Restart::Graceful } else { Restart::Killed };
    lab.systemd.away(Some("the machine goes down"));
    lab.host.restart_engine(how, Duration::from_secs(5)).await;
    lab.systemd.away(None);
    lab.systemd.reboot();
    lab.disk.reboot();
    // aiplatd is one of those that are started with the machine, in any order.
    lab.pass(Duration::from_millis(rng.below(20))).await;
    lab.boot();
}

/// Nothing is wrong with any unit any more: what nobody but a person can undo is undone.
pub(crate) async fn heal(lab: &Lab) {
    lab.systemd.mend(names());
    lab.pass(Duration::from_secs(5)).await;
    start_stopped(lab).await;
}

/// Somebody starts what somebody has stopped, and what is only looked at.
async fn start_stopped(lab: &Lab) {
    let units = lab.host.settle().desired.as_ref().map(|desired| desired.units.clone()).unwrap_or_default();
    for (id, spec) in units {
        for command in [Command::ResetFailed, Command::Start] {
            let _taken = lab.order(&id, command, None).await;
        }
        if spec.management == aiplat_core::spec::Management::Observe {
            lab.systemd.start_by_hand(&spec.unit);
        }
    }
}

/// What no file names runs as it did: once since each boot.
pub(crate) fn assert_untouched(lab: &Lab, boots: usize) {
    let runs = lab.systemd.snapshot().get(&bystander()).map(|unit| unit.runs.len());
    assert_eq!(runs, Some(boots), "{}", lab.story());
}
