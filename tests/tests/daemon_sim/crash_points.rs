//! The daemon dies before or after each call, or the call fails or loses its reply: always the same end.

use std::time::Duration;

use aiplat_core::spec::Management;
use aiplat_tests::{
    build::{Sketch, UnitService, healthy, started, unit},
    lab::{Lab, simulate},
    sim::{Fate, engine::State, systemd::packaged},
};
use tokio_util::sync::CancellationToken;

use crate::{converged, three};

/// What happens at one call.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Error,
    LostReply,
    HangBefore,
    HangAfter,
    CrashBefore,
    CrashAfter,
}

pub(crate) const KINDS: [Kind; 6] =
    [Kind::Error, Kind::LostReply, Kind::HangBefore, Kind::HangAfter, Kind::CrashBefore, Kind::CrashAfter];

pub(crate) fn fate(kind: Kind, crash: &CancellationToken) -> Fate {
    match kind {
        Kind::Error => Fate::ErrorBefore,
        Kind::LostReply => Fate::LostReply,
        Kind::HangBefore => Fate::HangBefore,
        Kind::HangAfter => Fate::HangAfter,
        Kind::CrashBefore => Fate::CrashBefore(crash.clone()),
        Kind::CrashAfter => Fate::CrashAfter(crash.clone()),
    }
}

/// Names and states at the end, and how often each program was started.
fn ending(lab: &Lab) -> String {
    let inner = lab.host.settle();
    let mut lines: Vec<String> = inner
        .engine
        .containers
        .values()
        .map(|c| format!("{} {:?} {:?}", c.name, c.state, c.networks.keys()))
        .collect();
    lines.sort();
    format!("{lines:#?} {:?} {:?}", inner.engine.volumes.keys(), inner.engine.runs)
}

async fn until(lab: &mut Lab, points: &[(usize, Kind)]) {
    let mut crashes = Vec::new();
    for (at, kind) in points {
        let crash = CancellationToken::new();
        lab.host.settle().faults.script.push((*at, fate(*kind, &crash)));
        if matches!(kind, Kind::CrashBefore | Kind::CrashAfter) {
            crashes.push(crash);
        }
    }
    lab.boot();
    for crash in crashes {
        // A point that is never reached is none.
        if tokio::time::timeout(Duration::from_secs(300), crash.cancelled()).await.is_ok() {
            lab.kill();
            lab.pass(Duration::from_millis(700)).await;
            lab.boot();
        }
    }
    lab.converged_within(Duration::from_secs(400)).await;
    lab.pass(Duration::from_secs(130)).await;
    lab.assert_safe();
    let twice = lab.host.settle().engine.containers.values().filter(|c| c.state == State::Running).count();
    assert_eq!(twice, 2, "db and web run, once each: {}", lab.story());
}

fn reference() -> (usize, String) {
    simulate(async {
        let lab = converged(&three(), 1).await;
        let attempts = lab.host.settle().faults.attempts;
        (attempts, ending(&lab))
    })
}

#[test]
fn any_one_fault_at_any_call_ends_in_the_same_state() {
    let (calls, expected) = reference();
    assert!(calls >= 8, "networks, a volume, three creates and three starts: {calls}");
    for at in 0..calls {
        for kind in KINDS {
            simulate(async {
                let mut lab = Lab::new(&three(), 1);
                until(&mut lab, &[(at, kind)]).await;
                assert_eq!(ending(&lab), expected, "{kind:?} at call {at}\n{}", lab.story());
            });
        }
    }
}

#[test]
fn any_two_crashes_end_in_the_same_state() {
    let (calls, expected) = reference();
    for first in 0..calls {
        for second in first + 1..calls + 2 {
            for (one, other) in [(Kind::CrashBefore, Kind::CrashAfter), (Kind::CrashAfter, Kind::LostReply)] {
                simulate(async {
                    let mut lab = Lab::new(&three(), 1);
                    until(&mut lab, &[(first, one), (second, other)]).await;
                    assert_eq!(
                        ending(&lab),
                        expected,
                        "{one:?} at {first}, {other:?} at {second}\n{}",
                        lab.story()
                    );
                });
            }
        }
    }
}

#[test]
fn any_one_fault_during_a_replacement_ends_with_the_new_version_and_its_data() {
    let mut edited = three();
    edited.service("db").version = 2;
    edited.service("web").version = 2;
    let calls = simulate(async {
        let lab = converged(&three(), 1).await;
        let before = lab.host.settle().faults.attempts;
        lab.write(&edited);
        lab.converged_within(Duration::from_secs(60)).await;
        lab.pass(Duration::from_secs(5)).await;
        lab.host.settle().faults.attempts - before
    });
    for at in 0..calls {
        for kind in KINDS {
            simulate(async {
                let mut lab = converged(&three(), 1).await;
                let crash = CancellationToken::new();
                let from = lab.host.settle().faults.attempts;
                lab.host.settle().faults.script.push((from + at, fate(kind, &crash)));
                lab.write(&edited);
                if matches!(kind, Kind::CrashBefore | Kind::CrashAfter) {
                    crash.cancelled().await;
                    lab.kill();
                    lab.boot();
                }
                lab.converged_within(Duration::from_secs(400)).await;
                lab.pass(Duration::from_secs(130)).await;
                lab.assert_safe();
                assert_eq!(lab.differences(), Vec::<String>::new(), "{kind:?} at call {at}");
            });
        }
    }
}

/// The same three, a unit of a package's between two of them, and one of our own that needs both.
fn with_units() -> Sketch {
    let mut sketch = three();
    sketch.service("web").needs.insert("gpu".to_owned(), healthy());
    let own = UnitService { own: Some(1), management: Management::Full, ..unit("agent") };
    sketch
        .with_units([unit("gpu").after("db", healthy()), own.after("web", started()).after("gpu", healthy())])
}

#[test]
fn any_one_fault_at_any_call_for_a_unit_ends_in_the_same_state() {
    let lab = |sketch: &Sketch| {
        let lab = Lab::new(sketch, 1);
        lab.systemd.package("gpu-package.service", Some(&packaged(1)));
        lab
    };
    let calls = simulate(async {
        let mut lab = lab(&with_units());
        lab.boot();
        lab.converged_within(Duration::from_secs(60)).await;
        lab.pass(Duration::from_secs(5)).await;
        lab.host.settle().faults.attempts
    });
    assert!(
        calls >= 14,
        "eight for containers, a write, a reload and a start, a write, a start and an enabling: {calls}"
    );
    for at in 0..calls {
        for kind in KINDS {
            simulate(async {
                let mut lab = lab(&with_units());
                until(&mut lab, &[(at, kind)]).await;
                assert_eq!(lab.differences(), Vec::<String>::new(), "{kind:?} at call {at}\n{}", lab.story());
                // Nothing that runs was started twice.
                for (name, unit) in lab.systemd.snapshot() {
                    assert_eq!(unit.runs.len(), 1, "{name}, {kind:?} at call {at}\n{}", lab.story());
                }
            });
        }
    }
}
