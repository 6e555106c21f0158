//! Restart windows: the first restart is immediate, then the wait doubles; a long run forgives.

use std::time::Duration;

use aiplat_core::{
    ResourceId, Timestamp,
    classify::FailureClass,
    fingerprint::Fingerprint,
    ledger::{Basis, Ledger, Restart, RestartWindow},
    spec::RestartSettings,
};

fn print(text: &str) -> Fingerprint {
    text.parse().expect("any text is a fingerprint")
}

fn at(secs: u64) -> Timestamp {
    Timestamp::from_boot(Duration::from_secs(secs))
}

fn restart(at_secs: u64, ran_secs: u64) -> Restart {
    Restart {
        of: None,
        at: at(at_secs),
        ran: Duration::from_secs(ran_secs),
        ending: "exit 1".to_owned(),
        class: FailureClass::Unknown,
    }
}

#[test]
fn the_first_restart_is_immediate_and_then_the_wait_doubles_to_the_cap() {
    let window = RestartWindow::default();
    let settings = RestartSettings::default();
    assert_eq!(window.delay(&settings, 0), Duration::ZERO);
    for (in_a_row, full) in
        [(1, 1), (2, 2), (3, 4), (8, 128), (9, 256), (10, 300), (1_000, 300), (u32::MAX, 300)]
    {
        let delay = window.delay(&settings, in_a_row);
        let full = Duration::from_secs(full);
        assert!(
            delay <= full && delay >= full * 9 / 10,
            "{in_a_row} in a row waits {delay:?}, not about {full:?}"
        );
    }
}

#[test]
fn a_run_of_reset_after_starts_the_count_anew() {
    let settings = RestartSettings::default();
    let mut window = RestartWindow::default();
    for second in 0..4 {
        window.count(restart(second, 0), &print("a"), Basis::default());
    }
    assert_eq!(window.in_a_row(&settings, &print("a"), Duration::ZERO), 4);
    assert_eq!(
        window.in_a_row(&settings, &print("a"), Duration::from_secs(600)),
        0,
        "the present run is long"
    );
    window.count(restart(700, 600), &print("a"), Basis::default());
    assert_eq!(
        window.in_a_row(&settings, &print("a"), Duration::ZERO),
        1,
        "the run before the last restart was long"
    );
}

#[test]
fn another_spec_is_tried_at_once() {
    let settings = RestartSettings::default();
    let mut window = RestartWindow::default();
    for second in 0..6 {
        window.count(restart(second, 0), &print("a"), Basis::default());
    }
    assert_eq!(window.within_window(&settings, &print("a"), at(10)), 6);
    assert_eq!(window.in_a_row(&settings, &print("b"), Duration::ZERO), 0);
    assert_eq!(window.within_window(&settings, &print("b"), at(10)), 0);
    assert_eq!(window.total, 6, "what a table shows goes on counting");
}

#[test]
fn the_window_forgets_what_is_older_than_it() {
    let settings = RestartSettings::default();
    let mut window = RestartWindow::default();
    for second in [0, 100, 590] {
        window.count(restart(second, 0), &print("a"), Basis::default());
    }
    assert_eq!(window.within_window(&settings, &print("a"), at(600)), 3);
    assert_eq!(window.within_window(&settings, &print("a"), at(701)), 1);
}

#[test]
fn restarts_shortly_before_the_engine_was_lost_are_forgiven() {
    let id = ResourceId::container("x");
    let mut ledger = Ledger::default();
    ledger.entry(&id).restarts.count(restart(100, 0), &print("a"), Basis::default());
    ledger.entry(&id).restarts.count(restart(195, 0), &print("a"), Basis::default());
    assert_eq!(ledger.forgive_restarts_since(at(200)), std::slice::from_ref(&id));
    let window = &ledger.get(&id).expect("it has a record").restarts;
    assert_eq!(window.total, 1);
    assert_eq!(window.recent.len(), 1);
    assert_eq!(window.recent[0].at, at(100), "an older crash was a crash");
}

#[test]
fn boot_times_of_another_boot_mean_nothing() {
    let id = ResourceId::container("x");
    let mut ledger = Ledger::default();
    ledger.entry(&id).restarts.count(restart(100, 0), &print("a"), Basis::default());
    ledger.forget_boot_times();
    let window = &ledger.get(&id).expect("it has a record").restarts;
    assert!(window.recent.is_empty());
    assert_eq!(window.total, 1);
}
