//! From nothing to the file, and then silence.

use std::time::Duration;

use aiplat_tests::{
    build::{healthy, service, sketch, started},
    lab::{Lab, simulate},
    sim::App,
};

use aiplatd::status;

use crate::{converged, three};

#[test]
fn a_platform_converges_from_nothing() {
    simulate(async {
        let lab = converged(&three(), 1).await;
        lab.assert_safe();
        assert_eq!(lab.differences(), Vec::<String>::new());
    });
}

#[test]
fn a_converged_platform_makes_no_mutating_call_and_a_resync_is_one_listing() {
    simulate(async {
        let lab = converged(&three(), 1).await;
        let calls = lab.calls();
        let before = lab.host.settle().reads();
        lab.pass(Duration::from_secs(600)).await;
        let after = lab.host.settle().reads();
        assert_eq!(lab.calls(), calls, "{}", lab.story());
        let (looks, listings) = (after.0 - before.0, after.1 - before.1);
        assert!((9..=12).contains(&listings), "{listings} listings in ten minutes");
        // Three containers or fewer: the rotation inspects one at each resync.
        assert!(looks <= listings, "{looks} looks in {listings} resyncs");
    });
}

#[test]
fn a_new_daemon_on_a_converged_platform_makes_no_mutating_call() {
    simulate(async {
        let mut lab = converged(&three(), 1).await;
        let calls = lab.calls();
        lab.kill();
        lab.boot();
        lab.pass(Duration::from_secs(120)).await;
        assert_eq!(lab.calls(), calls, "{}", lab.story());
        lab.assert_safe();
    });
}

#[test]
fn without_a_ledger_a_converged_platform_is_adopted_as_it_runs() {
    simulate(async {
        let mut lab = converged(&three(), 1).await;
        let calls = lab.calls();
        lab.kill();
        lab.disk = aiplat_tests::sim::ports::Disk::default();
        lab.boot();
        lab.pass(Duration::from_secs(120)).await;
        assert_eq!(lab.calls(), calls, "{}", lab.story());
    });
}

#[test]
fn a_killed_container_is_back_within_a_second() {
    simulate(async {
        let lab = converged(&three(), 1).await;
        lab.host.by_hand(|engine| engine.kill("demo-web").expect("runs"));
        lab.converged_within(Duration::from_secs(1)).await;
        lab.assert_safe();
    });
}

#[test]
fn with_every_hint_lost_a_killed_container_is_back_within_a_resync() {
    simulate(async {
        let lab = converged(&three(), 1).await;
        lab.host.settle().faults.hint_drop = 100;
        lab.host.by_hand(|engine| engine.kill("demo-db").expect("runs"));
        lab.converged_within(Duration::from_secs(75)).await;
        lab.pass(Duration::from_secs(75)).await;
        assert_eq!(lab.differences(), Vec::<String>::new());
        lab.assert_safe();
    });
}

#[test]
fn with_every_hint_lost_a_platform_still_converges_from_nothing() {
    simulate(async {
        let mut lab = Lab::new(&three(), 1);
        lab.host.settle().faults.hint_drop = 100;
        lab.boot();
        lab.converged_within(Duration::from_secs(200)).await;
        lab.assert_safe();
    });
}

#[test]
fn a_dependency_that_was_killed_takes_its_restarting_dependant_along() {
    simulate(async {
        let lab = converged(&three(), 1).await;
        let runs = |lab: &Lab, name: &str| lab.host.settle().engine.runs.get(name).copied().unwrap_or(0);
        lab.host.by_hand(|engine| engine.kill("demo-db").expect("runs"));
        lab.pass(Duration::from_secs(20)).await;
        assert_eq!(
            (runs(&lab, "db"), runs(&lab, "web"), runs(&lab, "migrate")),
            (2, 2, 1),
            "{}",
            lab.story()
        );
        lab.assert_safe();
    });
}

#[test]
fn one_edit_of_a_whole_chain_restarts_each_service_once() {
    simulate(async {
        let platform = |version| {
            sketch([
                service("db").version(version).probe(),
                service("api")
                    .version(version)
                    .probe()
                    .after("db", aiplat_tests::build::restarting(healthy())),
                service("web")
                    .version(version)
                    .probe()
                    .after("api", aiplat_tests::build::restarting(healthy())),
            ])
        };
        let lab = converged(&platform(1), 1).await;
        lab.write(&platform(2));
        lab.converged_within(Duration::from_secs(60)).await;
        lab.pass(Duration::from_secs(120)).await;
        let runs = lab.host.settle().engine.runs.clone();
        assert!(runs.values().all(|runs| *runs == 2), "{runs:?}\n{}", lab.story());
        lab.assert_safe();
    });
}

#[test]
fn one_service_that_cannot_start_delays_only_who_waits_for_it() {
    simulate(async {
        let broken = App { missing_executable: true, ..App::default() };
        let mut lab = Lab::new(
            &sketch([
                service("broken").app(broken),
                service("waiter").after("broken", started()),
                service("db").probe(),
                service("web").after("db", healthy()),
            ]),
            1,
        );
        lab.boot();
        lab.pass(Duration::from_secs(30)).await;
        let differences = lab.differences();
        assert!(
            differences.iter().all(|text| text.contains("broken") || text.contains("waiter")),
            "{differences:?}"
        );
        let calls = lab.calls();
        lab.pass(Duration::from_secs(300)).await;
        assert!(lab.calls() - calls < 15, "a hold is not a storm: {}", lab.story());
        lab.assert_safe();
    });
}

#[test]
fn a_crash_loop_backs_off_and_an_edit_is_tried_at_once() {
    simulate(async {
        let platform = |version, app| sketch([service("web").version(version).app(app)]);
        let mut lab = Lab::new(&platform(1, App::crashing(Duration::from_millis(1), 1)), 1);
        lab.boot();
        lab.pass(Duration::from_secs(600)).await;
        let starts = |lab: &Lab| lab.host.settle().calls.iter().filter(|call| call.verb == "start").count();
        assert!((8..=13).contains(&starts(&lab)), "{} starts in ten minutes\n{}", starts(&lab), lab.story());
        lab.write(&platform(2, App::default()));
        lab.converged_within(Duration::from_secs(2)).await;
        lab.assert_safe();
    });
}

#[test]
fn a_full_state_folder_keeps_nobody_from_being_healed() {
    simulate(async {
        let lab = converged(&three(), 1).await;
        lab.disk.fill(true);
        lab.host.by_hand(|engine| engine.kill("demo-web").expect("runs"));
        lab.converged_within(Duration::from_secs(2)).await;
        assert!(lab.shared().lock().store_failing.is_some(), "and it is said");
        lab.disk.fill(false);
        lab.host.by_hand(|engine| engine.kill("demo-web").expect("runs"));
        lab.converged_within(Duration::from_secs(5)).await;
        assert!(lab.shared().lock().store_failing.is_none());
    });
}

#[test]
fn the_endpoint_is_that_of_what_serves() {
    simulate(async {
        let slow = || service("slow").probe().app(App::booting(Duration::from_secs(30)));
        let mut lab = Lab::new(&sketch([service("web").port(8080)]), 1);
        lab.boot();
        lab.converged_within(Duration::from_secs(5)).await;
        let endpoint = |lab: &Lab| status::document(lab.shared(), 0).services.pop().expect("web").endpoint;
        let before = endpoint(&lab);
        lab.write(&sketch([slow(), service("web").port(9090).after("slow", healthy())]));
        lab.pass(Duration::from_secs(10)).await;
        assert_eq!(endpoint(&lab), before, "the old one serves until its replacement may start");
        lab.converged_within(Duration::from_secs(60)).await;
        assert_eq!(endpoint(&lab), before.replace("8080", "9090"));
    });
}
