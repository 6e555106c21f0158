//! The engine goes away under the daemon, in each of its ways.

use std::time::Duration;

use aiplat_core::{
    ResourceId,
    condition::{ConditionType, Word},
};
use aiplat_tests::{
    lab::{Lab, simulate},
    scene::Restart,
    sim::systemd::Unit,
};

use crate::{converged, three, units};

fn counted(lab: &Lab) -> u32 {
    let state = lab.shared().lock();
    ["db", "web", "migrate"]
        .map(|name| state.ledger.get(&ResourceId::container(name)).map_or(0, |record| record.restarts.total))
        .iter()
        .sum()
}

async fn restart(how: Restart, away: Duration) -> Lab {
    let lab = converged(&three(), 1).await;
    lab.host.restart_engine(how, away).await;
    lab.converged_within(Duration::from_secs(60)).await;
    lab.pass(Duration::from_secs(60)).await;
    lab.assert_safe();
    assert_eq!(lab.differences(), Vec::<String>::new(), "{}", lab.story());
    assert_eq!(counted(&lab), 0, "no crash is counted\n{}", lab.story());
    lab
}

#[test]
fn an_engine_that_is_restarted_in_order_counts_no_crash_and_everything_comes_back() {
    simulate(async { drop(restart(Restart::Graceful, Duration::from_millis(1_500)).await) });
}

#[test]
fn an_engine_that_is_killed_counts_no_crash_and_everything_comes_back() {
    simulate(async { drop(restart(Restart::Killed, Duration::from_secs(11)).await) });
}

#[test]
fn an_engine_that_restarts_under_running_containers_restarts_nobody() {
    simulate(async {
        let lab = restart(Restart::Live, Duration::from_secs(5)).await;
        let runs = lab.host.settle().engine.runs.clone();
        assert!(runs.values().all(|runs| *runs == 1), "{runs:?}");
    });
}

#[test]
fn nothing_is_tried_while_the_engine_is_away() {
    simulate(async {
        let lab = converged(&three(), 1).await;
        let calls = lab.calls();
        let away = lab.host.clone();
        let task =
            tokio::spawn(async move { away.restart_engine(Restart::Live, Duration::from_secs(120)).await });
        lab.pass(Duration::from_secs(100)).await;
        assert_eq!(lab.calls(), calls);
        task.await.expect("the engine comes back");
        lab.pass(Duration::from_secs(60)).await;
        assert_eq!(lab.calls(), calls, "{}", lab.story());
    });
}

#[test]
fn a_daemon_that_starts_before_the_engine_waits_for_it() {
    simulate(async {
        let mut lab = Lab::new(&three(), 1);
        let away = lab.host.clone();
        drop(tokio::spawn(
            async move { away.restart_engine(Restart::Killed, Duration::from_secs(20)).await },
        ));
        lab.pass(Duration::from_millis(10)).await;
        lab.boot();
        lab.converged_within(Duration::from_secs(60)).await;
        lab.assert_safe();
    });
}

#[test]
fn a_machine_that_is_rebooted_brings_everything_back_whatever_its_programs_exit_with() {
    for exit_code in [143, 0] {
        simulate(async {
            let mut sketch = three();
            for service in &mut sketch.services {
                service.app.stop_exit = exit_code;
            }
            let mut lab = converged(&sketch, 1).await;
            lab.kill();
            lab.host.restart_engine(Restart::Graceful, Duration::from_secs(30)).await;
            lab.disk.reboot();
            lab.boot();
            lab.converged_within(Duration::from_secs(60)).await;
            lab.assert_safe();
        });
    }
}

#[test]
fn a_unit_is_started_after_a_boot_where_the_machine_does_not_start_it() {
    for (state, started_by_us) in [("disabled", true), ("enabled", false)] {
        simulate(async {
            let mut lab = units::booted("", Unit::default()).await;
            units::becomes(&lab, Word::Ready).await;
            lab.systemd.by_hand(units::UNIT, |unit| state.clone_into(&mut unit.seen.file_state));
            let before = lab.systemd.calls().len();
            let ready_since = |lab: &Lab| {
                let state = lab.shared().lock();
                let record = state.ledger.get(&ResourceId::unit("ollama")).expect("it is known");
                record.transitions.get(&ConditionType::Ready).expect("it was ready").wall_ms
            };
            let earlier = ready_since(&lab);
            lab.kill();
            lab.systemd.reboot();
            lab.disk.reboot();
            // It may run again before anybody looks.
            lab.pass(Duration::from_secs(1)).await;
            lab.boot();
            lab.pass(units::ENOUGH).await;
            units::becomes(&lab, Word::Ready).await;
            assert_eq!(lab.systemd.calls().len() > before, started_by_us, "{:?}", lab.systemd.calls());
            assert!(ready_since(&lab) > earlier, "nothing has been ready over a boot");
        });
    }
}
