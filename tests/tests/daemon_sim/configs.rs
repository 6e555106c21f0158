//! Configs: written, followed, and left alone, whenever the daemon dies.

use std::time::Duration;

use aiplat_core::{
    Kind, ResourceId,
    condition::{ConditionType, Reason, Status},
    plan,
    spec::OnChange,
};
use aiplat_tests::{
    build::{Sketch, config_path, healthy, service, sketch},
    lab::{Lab, simulate},
};
use tokio_util::sync::CancellationToken;

use crate::{
    converged,
    crash_points::{KINDS, Kind as Fault, fate},
};

/// `web` reads a config and needs `db`, which reads none.
fn platform(text: &str, on_change: OnChange) -> Sketch {
    let services = [service("db").probe(), service("web").probe().after("db", healthy()).config("app")];
    sketch(services).config("app", text, on_change)
}

fn restarting(text: &str) -> Sketch {
    platform(text, OnChange::Restart)
}

fn runs(lab: &Lab, name: &str) -> u32 {
    lab.host.settle().engine.runs.get(name).copied().unwrap_or_default()
}

/// Status and reason of a condition of `web`.
fn condition(lab: &Lab, kind: ConditionType) -> (Status, Reason) {
    let state = lab.shared().lock();
    let world = state.world(lab.host.now()).expect("a file is in force");
    let step = plan::plan(&world, &ResourceId::container("web"));
    let found = step.conditions.iter().find(|it| it.kind == kind).expect("it is said");
    (found.status, found.reason)
}

#[test]
fn an_edit_of_a_config_is_one_restart_of_who_reads_it_and_of_nobody_else() {
    simulate(async {
        let lab = converged(&restarting("a"), 1).await;
        assert_eq!((runs(&lab, "web"), runs(&lab, "db")), (1, 1));
        assert_eq!(condition(&lab, ConditionType::ConfigRendered), (Status::True, Reason::AsDesired));
        lab.write(&restarting("b"));
        lab.converged_within(Duration::from_secs(30)).await;
        let calls = lab.calls();
        lab.pass(Duration::from_secs(600)).await;
        assert_eq!((runs(&lab, "web"), runs(&lab, "db")), (2, 1));
        assert_eq!(lab.calls(), calls, "and then nothing");
        lab.assert_safe();
    });
}

#[test]
fn a_config_that_nobody_follows_is_read_at_the_next_start() {
    simulate(async {
        let lab = converged(&platform("a", OnChange::Nothing), 1).await;
        lab.write(&platform("b", OnChange::Nothing));
        lab.converged_within(Duration::from_secs(30)).await;
        lab.pass(Duration::from_secs(120)).await;
        assert_eq!(runs(&lab, "web"), 1);
    });
}

#[test]
fn an_edit_that_is_undone_before_it_is_followed_restarts_nobody() {
    simulate(async {
        let lab = converged(&restarting("a"), 1).await;
        // While its dependency is down, nobody is stopped by choice.
        lab.host.by_hand(|engine| engine.muted.insert("db".to_owned()));
        lab.pass(Duration::from_secs(30)).await;
        lab.write(&restarting("b"));
        lab.pass(Duration::from_secs(30)).await;
        assert_eq!(runs(&lab, "web"), 1, "{}", lab.story());
        lab.write(&restarting("a"));
        lab.pass(Duration::from_secs(30)).await;
        lab.host.by_hand(|engine| engine.muted.remove("db"));
        lab.converged_within(Duration::from_secs(60)).await;
        lab.pass(Duration::from_secs(120)).await;
        assert_eq!(runs(&lab, "web"), 1, "{}", lab.story());
    });
}

#[test]
fn any_one_fault_during_an_edit_ends_with_one_restart() {
    let calls = simulate(async {
        let lab = converged(&restarting("a"), 1).await;
        let before = lab.host.settle().faults.attempts;
        lab.write(&restarting("b"));
        lab.converged_within(Duration::from_secs(60)).await;
        lab.pass(Duration::from_secs(5)).await;
        lab.host.settle().faults.attempts - before
    });
    assert_eq!(calls, 3, "a write, a stop and a start");
    for at in 0..calls {
        for kind in KINDS {
            simulate(async {
                let mut lab = converged(&restarting("a"), 1).await;
                let crash = CancellationToken::new();
                let from = lab.host.settle().faults.attempts;
                lab.host.settle().faults.script.push((from + at, fate(kind, &crash)));
                lab.write(&restarting("b"));
                if matches!(kind, Fault::CrashBefore | Fault::CrashAfter) {
                    crash.cancelled().await;
                    lab.kill();
                    lab.pass(Duration::from_millis(700)).await;
                    lab.boot();
                }
                lab.converged_within(Duration::from_secs(400)).await;
                lab.pass(Duration::from_secs(130)).await;
                lab.assert_safe();
                let found = (lab.differences(), runs(&lab, "web"), runs(&lab, "db"));
                assert_eq!(found, (Vec::new(), 2, 1), "{kind:?} at call {at}\n{}", lab.story());
            });
        }
    }
}

#[test]
fn a_foreign_file_is_never_touched_and_its_consumer_waits_for_a_person() {
    simulate(async {
        let mut lab = Lab::new(&restarting("a"), 1);
        lab.host.by_hand(|engine| engine.add_foreign_file(&config_path("app"), b"somebody's"));
        lab.boot();
        lab.pass(Duration::from_secs(130)).await;
        assert_eq!(condition(&lab, ConditionType::ConfigRendered), (Status::False, Reason::NameTaken));
        assert_eq!((runs(&lab, "web"), runs(&lab, "db")), (0, 1), "the rest converges");
        lab.assert_safe();
        lab.host.by_hand(|engine| {
            engine.foreign_files.clear();
            engine.remove_file(&config_path("app"));
        });
        lab.converged_within(Duration::from_secs(120)).await;
        assert_eq!(runs(&lab, "web"), 1);
    });
}

#[test]
fn what_is_changed_by_hand_is_healed_with_the_next_listing_and_said() {
    simulate(async {
        let lab = converged(&restarting("a"), 1).await;
        lab.host.by_hand(|engine| engine.put_file(&config_path("app"), b"by hand"));
        lab.converged_within(Duration::from_secs(61)).await;
        lab.host.by_hand(|engine| engine.remove_file(&config_path("app")));
        lab.converged_within(Duration::from_secs(61)).await;
        assert_eq!(runs(&lab, "web"), 1, "its process has seen no other");
        let events = lab.shared().lock().events.newest(100);
        let said = events.iter().filter(|event| event.message.contains("somebody has changed or removed it"));
        assert!(said.count() > 0, "{events:#?}");
    });
}

#[test]
fn a_file_that_is_gone_when_its_container_is_started_is_written_first() {
    simulate(async {
        let lab = converged(&restarting("a"), 1).await;
        lab.host.by_hand(|engine| {
            engine.remove_file(&config_path("app"));
            let id = engine.find("demo-web").expect("it is there").id.clone();
            engine.kill(&id).expect("it runs");
        });
        lab.converged_within(Duration::from_secs(30)).await;
        assert_eq!(runs(&lab, "web"), 2);
        lab.assert_safe();
    });
}

#[test]
fn a_config_that_leaves_the_file_leaves_the_disk_after_its_container() {
    simulate(async {
        let lab = converged(&restarting("a"), 1).await;
        let without = sketch([service("db").probe(), service("web").probe().after("db", healthy())]);
        lab.write(&without);
        lab.converged_within(Duration::from_secs(60)).await;
        assert!(lab.host.settle().engine.files.is_empty());
        lab.pass(Duration::from_secs(120)).await;
        let state = lab.shared().lock();
        let left: Vec<&ResourceId> = state.ledger.records.keys().filter(|id| id.kind == Kind::File).collect();
        assert!(left.is_empty(), "nothing is remembered of it: {left:?}");
    });
}

#[test]
fn a_restart_of_the_daemon_restarts_nobody() {
    simulate(async {
        let mut lab = converged(&restarting("a"), 1).await;
        lab.kill();
        lab.boot();
        lab.pass(Duration::from_secs(120)).await;
        assert_eq!(runs(&lab, "web"), 1);
        lab.kill();
        // An edit in its absence is followed when it is back.
        lab.write(&restarting("b"));
        lab.boot();
        lab.converged_within(Duration::from_secs(60)).await;
        assert_eq!((runs(&lab, "web"), runs(&lab, "db")), (2, 1));
    });
}

#[test]
fn what_was_changed_by_hand_is_put_right_before_a_start_and_not_taken_for_read() {
    simulate(async {
        let lab = converged(&restarting("a"), 1).await;
        lab.host.by_hand(|engine| {
            engine.put_file(&config_path("app"), b"by hand");
            let id = engine.find("demo-web").expect("it is there").id.clone();
            engine.kill(&id).expect("it runs");
        });
        lab.converged_within(Duration::from_secs(30)).await;
        assert_eq!(runs(&lab, "web"), 2, "it was started once, on the right content: {}", lab.story());
    });
}

#[test]
fn a_file_whose_owner_cannot_be_remembered_is_not_written() {
    simulate(async {
        let mut lab = converged(&sketch([service("db").probe()]), 1).await;
        lab.disk.fill(true);
        lab.write(&restarting("a"));
        lab.pass(Duration::from_secs(10)).await;
        assert!(lab.host.settle().engine.files.is_empty(), "{}", lab.story());
        lab.kill();
        lab.disk.fill(false);
        lab.boot();
        lab.converged_within(Duration::from_secs(120)).await;
        lab.write(&sketch([service("db").probe()]));
        lab.converged_within(Duration::from_secs(60)).await;
    });
}
