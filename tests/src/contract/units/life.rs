//! A unit's life: how it starts, ends, fails, comes back, and what is told of it.

use std::collections::BTreeSet;

use aiplat_core::{
    action::UnitVerb,
    observed::{ActiveState, ObservedUnit},
};
use aiplat_host::UnitHint;
use futures_util::StreamExt;

use super::{FAILS, Hand, Host, LAST_WORDS, PATIENCE, SERVES, hinted, packaged, service};

fn has_failed(seen: &ObservedUnit) -> bool {
    seen.active == ActiveState::Failed && seen.job.is_none()
}

pub(super) async fn stop(host: &dyn Host) {
    let (ask, unit) = packaged(host, "stopped", &service(SERVES, "")).await;
    let run = ask.started(&unit).await;
    assert!(run.invocation.is_some() && run.main_pid != 0 && run.effective.is_some(), "{run:?}");
    assert_eq!((run.sub.as_str(), run.result.as_str(), run.restarts), ("running", "success", 0));
    assert_eq!(ask.started(&unit).await.invocation, run.invocation, "it runs already");
    for _ in 0..2 {
        let stopped = ask.stopped(&unit).await;
        assert_eq!((&stopped.invocation, stopped.sub.as_str()), (&run.invocation, "dead"));
        assert_eq!((stopped.result.as_str(), stopped.exit_status, stopped.killed), ("success", 15, true));
        assert_eq!((stopped.main_pid, stopped.effective, stopped.tail.len()), (0, None, 0));
    }
    ask.tell(UnitVerb::Restart, &unit).await;
    let again =
        ask.until(&unit, "started", |seen| seen.active == ActiveState::Active && seen.job.is_none()).await;
    assert_ne!(again.invocation, run.invocation);
    assert_eq!((again.exit_status, again.killed), (0, false), "of the present run");
    // Somebody else's stop looks the same.
    host.systemctl(Hand::Stop, &unit);
    let stopped =
        ask.until(&unit, "stopped", |seen| seen.active == ActiveState::Inactive && seen.job.is_none()).await;
    assert_eq!((&stopped.invocation, stopped.result.as_str()), (&again.invocation, "success"));
    host.systemctl(Hand::Start, &unit);
    let by_hand =
        ask.until(&unit, "started", |seen| seen.active == ActiveState::Active && seen.job.is_none()).await;
    host.systemctl(Hand::Restart, &unit);
    ask.until(&unit, "restarted", |seen| seen.invocation != by_hand.invocation && seen.job.is_none()).await;
    ask.stopped(&unit).await;
}

pub(super) async fn as_a_whole(host: &dyn Host) {
    let (ask, broken) = packaged(host, "broken", &service(FAILS, "")).await;
    let wants = format!("[Unit]\nWants={broken}\n{}", service(SERVES, ""));
    let (_, needs) = packaged(host, "needs", &wants).await;
    let (_, alone) = packaged(host, "alone", &service(SERVES, "")).await;
    let units: BTreeSet<String> = [&broken, &needs, &alone].into_iter().cloned().collect();
    ask.tell(UnitVerb::Start, &broken).await;
    ask.until(&broken, "failed", has_failed).await;
    let seen = ask.0.overview(units.clone()).await.expect("it answers");
    assert!(seen.version.starts_with(|c: char| c.is_ascii_digit()), "{seen:?}");
    assert_eq!(seen.state, "degraded");
    assert_eq!(seen.failed.get(&broken), Some(&vec![broken.clone(), needs]), "{seen:?}");
    ask.tell(UnitVerb::ResetFailed, &broken).await;
    ask.until(&broken, "forgiven", |seen| seen.active == ActiveState::Inactive).await;
    let seen = ask.0.overview(units).await.expect("it answers");
    assert_eq!(seen.failed.get(&broken), None, "{seen:?}");
}

pub(super) async fn failure(host: &dyn Host) {
    let (ask, unit) = packaged(host, "fails", &service(FAILS, "")).await;
    ask.tell(UnitVerb::Start, &unit).await;
    let failed =
        ask.until(&unit, "failed with its words", |seen| has_failed(seen) && !seen.tail.is_empty()).await;
    assert_eq!((failed.result.as_str(), failed.exit_status, failed.killed), ("exit-code", 2, false));
    assert_eq!((failed.tail.as_slice(), failed.sub.as_str()), (&[LAST_WORDS.to_owned()][..], "failed"));
    assert_eq!((failed.main_pid, failed.restarts), (0, 0));
    ask.tell(UnitVerb::Stop, &unit).await;
    assert_eq!(ask.settled(&unit).await.active, ActiveState::Failed, "there is nothing to stop");
    ask.tell(UnitVerb::Start, &unit).await;
    let again = |seen: &ObservedUnit| {
        has_failed(seen) && seen.invocation != failed.invocation && !seen.tail.is_empty()
    };
    let again = ask.until(&unit, "failed again", again).await;
    assert_eq!(again.tail, [LAST_WORDS], "of its last run, not of all");
    for _ in 0..2 {
        ask.tell(UnitVerb::ResetFailed, &unit).await;
        let forgiven = ask.look(&unit).await;
        assert_eq!((&forgiven.active, forgiven.result.as_str()), (&ActiveState::Inactive, "success"));
        assert_eq!((&forgiven.invocation, forgiven.exit_status), (&again.invocation, 2));
        assert!(forgiven.tail.is_empty(), "{:?}", forgiven.tail);
    }
    // Of one that runs there is nothing to forgive.
    let (_, unit) = packaged(host, "is-well", &service(SERVES, "")).await;
    let run = ask.started(&unit).await;
    ask.tell(UnitVerb::ResetFailed, &unit).await;
    let well = ask.look(&unit).await;
    assert_eq!((&well.active, &well.invocation), (&ActiveState::Active, &run.invocation));
    ask.stopped(&unit).await;
}

pub(super) async fn kill(host: &dyn Host) {
    let (ask, unit) = packaged(host, "killed", &service(SERVES, "")).await;
    let run = ask.started(&unit).await;
    host.systemctl(Hand::Kill, &unit);
    let killed = ask.until(&unit, "failed", has_failed).await;
    assert_eq!((killed.result.as_str(), killed.exit_status, killed.killed), ("signal", 9, true));
    assert_eq!((&killed.invocation, killed.main_pid), (&run.invocation, 0));
    ask.tell(UnitVerb::ResetFailed, &unit).await;
}

pub(super) async fn restarted(host: &dyn Host) {
    let (ask, unit) = packaged(host, "restarts", &service(SERVES, "Restart=on-failure\n")).await;
    let mut run = ask.started(&unit).await;
    for restarts in 1..=2 {
        host.systemctl(Hand::Kill, &unit);
        let is_back =
            |seen: &ObservedUnit| seen.active == ActiveState::Active && seen.invocation != run.invocation;
        let next = ask.until(&unit, "back", is_back).await;
        assert_eq!((next.restarts, next.result.as_str()), (restarts, "success"));
        run = next;
    }
    ask.stopped(&unit).await;
    assert_eq!(ask.started(&unit).await.restarts, 0, "since it was started by a job");
    ask.stopped(&unit).await;
}

pub(super) async fn stopped_in_between(host: &dyn Host) {
    let (ask, unit) = packaged(host, "waits", &service(SERVES, "Restart=always\nRestartSec=3600s\n")).await;
    let run = ask.started(&unit).await;
    host.systemctl(Hand::Kill, &unit);
    let waits = ask.until(&unit, "waiting", |seen| seen.sub == "auto-restart").await;
    assert_eq!(
        (&waits.active, waits.result.as_str(), waits.restarts),
        (&ActiveState::Activating, "signal", 0)
    );
    assert_eq!((waits.exit_status, waits.killed, waits.main_pid), (9, true, 0));
    ask.tell(UnitVerb::ResetFailed, &unit).await;
    assert_eq!(ask.look(&unit).await.active, ActiveState::Activating);
    let stopped = ask.stopped(&unit).await;
    assert_eq!((&stopped.invocation, stopped.sub.as_str()), (&run.invocation, "dead"));
    // A restart does not wait for it.
    ask.started(&unit).await;
    host.systemctl(Hand::Kill, &unit);
    ask.until(&unit, "waiting", |seen| seen.sub == "auto-restart").await;
    ask.tell(UnitVerb::Restart, &unit).await;
    ask.until(&unit, "running", |seen| seen.active == ActiveState::Active && seen.job.is_none()).await;
    ask.stopped(&unit).await;
}

pub(super) async fn start_limit(host: &dyn Host) {
    let (ask, unit) = packaged(host, "loops", &service(FAILS, "Restart=always\n")).await;
    ask.tell(UnitVerb::Start, &unit).await;
    let hit = |seen: &ObservedUnit| has_failed(seen) && seen.given_up && !seen.tail.is_empty();
    let limit = ask.until(&unit, "the start limit", hit).await;
    assert_eq!(limit.result, "exit-code", "the fault of its last run is not lost");
    assert_eq!(
        (limit.exit_status, limit.restarts, limit.tail.as_slice()),
        (2, 5, &[LAST_WORDS.to_owned()][..])
    );
    for verb in [UnitVerb::Start, UnitVerb::Restart] {
        ask.tell(verb, &unit).await;
        let still = ask.settled(&unit).await;
        assert_eq!((&still.active, &still.invocation), (&ActiveState::Failed, &limit.invocation));
        assert!(still.given_up);
    }
    ask.tell(UnitVerb::ResetFailed, &unit).await;
    let forgiven = ask.look(&unit).await;
    assert_eq!((&forgiven.active, forgiven.result.as_str()), (&ActiveState::Inactive, "success"));
    assert_eq!((forgiven.restarts, forgiven.given_up), (0, false));
    host.package(&unit, Some(&service(SERVES, "Restart=always\n")));
    ask.reload().await;
    ask.started(&unit).await;
    ask.stopped(&unit).await;
}

pub(super) async fn refused_start(host: &dyn Host) {
    let (ask, unit) = packaged(host, "refused", &service(FAILS, "")).await;
    let mut last = None;
    // As often as systemd lets anybody start a unit within ten seconds.
    for _ in 0..5 {
        ask.tell(UnitVerb::Start, &unit).await;
        let failed = |seen: &ObservedUnit| has_failed(seen) && seen.invocation != last;
        last = ask.until(&unit, "another failure", failed).await.invocation;
    }
    ask.tell(UnitVerb::Start, &unit).await;
    let refused = ask.settled(&unit).await;
    assert_eq!((&refused.active, &refused.invocation), (&ActiveState::Failed, &last), "nothing was started");
    assert_eq!((refused.result.as_str(), refused.exit_status), ("exit-code", 2), "and nothing says so");
    ask.tell(UnitVerb::ResetFailed, &unit).await;
    ask.tell(UnitVerb::Start, &unit).await;
    ask.until(&unit, "one more failure", |seen| has_failed(seen) && seen.invocation != last).await;
}

pub(super) async fn slow_start(host: &dyn Host) {
    let (ask, unit) = packaged(host, "slow", &service(SERVES, "Type=notify\nTimeoutStartSec=500ms\n")).await;
    ask.tell(UnitVerb::Start, &unit).await;
    let starting = ask.until(&unit, "being started", |seen| seen.main_pid != 0).await;
    assert_eq!((starting.active, starting.sub.as_str()), (ActiveState::Activating, "start"));
    assert_eq!(starting.job.as_deref(), Some("start"));
    // A stop is one, whatever it was about to become.
    let stopped = ask.stopped(&unit).await;
    assert_eq!((stopped.active, &stopped.invocation), (ActiveState::Inactive, &starting.invocation));
    assert_eq!((stopped.result.as_str(), stopped.exit_status, stopped.killed), ("success", 15, true));
    ask.tell(UnitVerb::Start, &unit).await;
    let again = |seen: &ObservedUnit| seen.main_pid != 0 && seen.invocation != stopped.invocation;
    let starting = ask.until(&unit, "being started again", again).await;
    let late = ask.until(&unit, "too late", has_failed).await;
    assert_eq!((late.result.as_str(), &late.invocation), ("timeout", &starting.invocation));
    ask.tell(UnitVerb::ResetFailed, &unit).await;
}

pub(super) async fn hints(host: &dyn Host) {
    let (ask, unit) = packaged(host, "told", &service(SERVES, "")).await;
    let mut hints = host.units().hints();
    let first = tokio::time::timeout(PATIENCE, hints.next()).await.expect("in time");
    assert_eq!(first, Some(UnitHint::Relist));
    let changed = UnitHint::Changed(unit.clone());
    ask.started(&unit).await;
    hinted(&mut hints, &changed).await;
    for hand in [Hand::Stop, Hand::Start, Hand::Kill] {
        ask.settled(&unit).await;
        forget(&mut hints);
        host.systemctl(hand, &unit);
        hinted(&mut hints, &changed).await;
    }
    for mask in [true, false] {
        forget(&mut hints);
        if mask {
            host.systemctl(Hand::Mask, &unit);
        } else {
            ask.tell(UnitVerb::Unmask, &unit).await;
        }
        hinted(&mut hints, &UnitHint::Relist).await;
    }
    forget(&mut hints);
    host.reload();
    hinted(&mut hints, &UnitHint::Relist).await;
    ask.tell(UnitVerb::ResetFailed, &unit).await;
}

/// Takes all hints that are there.
fn forget(hints: &mut futures_util::stream::BoxStream<'static, UnitHint>) {
    use futures_util::FutureExt;
    while hints.next().now_or_never().is_some() {}
}

pub(super) async fn reexec(host: &dyn Host) {
    let (ask, unit) = packaged(host, "goes-on", &service(SERVES, "")).await;
    let before = ask.started(&unit).await;
    let mut hints = host.units().hints();
    hinted(&mut hints, &UnitHint::Relist).await;
    host.reexec();
    hinted(&mut hints, &UnitHint::Relist).await;
    let after = ask.until(&unit, "active", |seen| seen.active == ActiveState::Active).await;
    assert_eq!((&after.invocation, &after.systemd), (&before.invocation, &before.systemd));
    let stopped = ask.stopped(&unit).await;
    assert_eq!(stopped.invocation, before.invocation, "it is still asked not to forget it");
}
