//! What people, packages and programs do to units behind the daemon's back.

use std::time::Duration;

use aiplat_core::{observed::LoadState, plan::Command};
use aiplat_tests::{
    check::units::BYSTANDER,
    generate::units::{UNITS, packaged},
    lab::Lab,
    sim::{Rng, systemd::Program},
};

/// A unit that no file names.
fn bystander() -> String {
    format!("{BYSTANDER}.service")
}

/// Packages bring a unit for each name, and one that no file names, which runs.
pub(crate) fn install(lab: &Lab) {
    for (name, _) in UNITS {
        lab.systemd.package(&format!("{name}-package.service"), Some(&packaged(0)));
    }
    lab.systemd.package(&bystander(), Some(&packaged(0)));
    lab.systemd.start_by_hand(&bystander());
}

/// Something happens to some unit.
pub(crate) async fn meddle(lab: &Lab, rng: &mut Rng) {
    let systemd = &lab.systemd;
    let name = rng.pick(&UNITS).expect("there are some").0;
    let packages = format!("{name}-package.service");
    let ours = format!("{name}-own.service");
    let unit = if rng.percent(50) { &packages } else { &ours };
    let is_there = systemd.unit(unit).load != LoadState::NotFound;
    // What was ready until now is known to have been.
    drop(lab.host.settle());
    match rng.below(12) {
        0 | 1 => systemd.kill(unit),
        2 => systemd.stop_by_hand(unit),
        3 if is_there => systemd.start_by_hand(unit),
        4 if is_there => systemd.restart_by_hand(unit),
        5 => systemd.mask_by_hand(&packages),
        6 => systemd.unmask_by_hand(&packages),
        7 => {
            systemd.package(&packages, Some(&packaged(rng.below(9))));
            if rng.percent(70) {
                systemd.reload_by_hand();
            }
        }
        8 => systemd.reexec(),
        9 => {
            systemd.away(Some("the bus is gone"));
            lab.pass(Duration::from_millis(rng.below(5_000))).await;
            systemd.away(None);
        }
        10 => {
            if systemd.unit(&ours).own.unit_file.is_some() {
                let text = "[Service]\nExecStart=/bin/other\n";
                systemd.write_by_hand(&ours, rng.percent(50).then_some(text));
            }
        }
        _ => {
            let program = Program::Ends(Duration::from_millis(rng.below(3_000)), 1, "it crashed");
            if is_there {
                systemd.by_hand(unit, |unit| unit.program = program);
            }
        }
    }
}

/// Nothing is wrong with any unit any more: what nobody but a person can undo is undone.
pub(crate) async fn heal(lab: &Lab) {
    let systemd = &lab.systemd;
    for (name, _) in UNITS {
        let packages = format!("{name}-package.service");
        systemd.unmask_by_hand(&packages);
        systemd.package(&packages, Some(&packaged(1)));
        for unit in [packages, format!("{name}-own.service")] {
            if systemd.snapshot().contains_key(&unit) {
                systemd.by_hand(&unit, |unit| unit.program = Program::Serves);
            }
        }
    }
    systemd.reload_by_hand();
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

/// What no file names runs as it did.
pub(crate) fn assert_untouched(lab: &Lab) {
    let runs = lab.systemd.snapshot().get(&bystander()).map(|unit| unit.runs.len());
    assert_eq!(runs, Some(1), "{}", lab.story());
}
