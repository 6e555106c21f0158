//! What is held, and what lets it go.

use std::time::Duration;

use aiplat_core::{ResourceId, condition::ConditionType};
use aiplat_tests::{
    build::{Sketch, service, sketch},
    lab::{Lab, simulate},
    sim::App,
};

const FILE: &str = "/srv/web.conf";

/// It refuses its configuration, which it reads from a mounted file, at its first `times` starts.
fn refusing(times: u32) -> Sketch {
    let app = App::crashing_times(times, Duration::from_millis(300), 1)
        .saying("nginx: [emerg] unknown directive \"lisen\" in /etc/nginx/nginx.conf:3");
    sketch([service("db").probe(), service("web").app(app).bind(FILE)])
}

async fn booted(sketch: &Sketch) -> Lab {
    let mut lab = Lab::new(sketch, 1);
    lab.host.by_hand(|engine| {
        engine.paths.insert(FILE.to_owned());
    });
    lab.boot();
    lab.pass(Duration::from_secs(60)).await;
    lab
}

fn starts(lab: &Lab) -> u32 {
    lab.host.settle().engine.runs.get("web").copied().unwrap_or_default()
}

fn is_held(lab: &Lab) -> bool {
    let state = lab.shared().lock();
    let record = state.ledger.get(&ResourceId::container("web"));
    let held = record.and_then(|record| record.transitions.get(&ConditionType::Held));
    held.is_some_and(|held| held.status == aiplat_core::condition::Status::True)
}

#[test]
fn a_bad_configuration_is_tried_twice_and_a_mended_file_is_tried_at_once() {
    simulate(async {
        let lab = booted(&refusing(2)).await;
        assert!(is_held(&lab), "{}", lab.story());
        assert_eq!(starts(&lab), 2);
        lab.pass(Duration::from_secs(3_600)).await;
        assert_eq!(starts(&lab), 2, "nothing has changed");
        lab.host.by_hand(|engine| {
            engine.writes.insert(FILE.to_owned(), 1);
        });
        lab.converged_within(Duration::from_secs(5)).await;
        assert_eq!(starts(&lab), 3);
        assert!(!is_held(&lab));
    });
}

#[test]
fn each_change_of_the_file_is_one_try() {
    simulate(async {
        let lab = booted(&refusing(9)).await;
        for change in 1..=3 {
            lab.host.by_hand(|engine| {
                engine.writes.insert(FILE.to_owned(), change);
            });
            lab.pass(Duration::from_secs(60)).await;
            assert_eq!(starts(&lab), 2 + change, "{}", lab.story());
            assert!(is_held(&lab));
        }
    });
}

#[test]
fn a_hold_outlives_its_daemon() {
    simulate(async {
        let mut lab = booted(&refusing(2)).await;
        lab.kill();
        lab.boot();
        lab.pass(Duration::from_secs(600)).await;
        assert_eq!(starts(&lab), 2, "{}", lab.story());
        lab.host.by_hand(|engine| {
            engine.writes.insert(FILE.to_owned(), 1);
        });
        lab.converged_within(Duration::from_secs(5)).await;
    });
}

#[test]
fn a_rebuilt_image_is_tried_at_once() {
    simulate(async {
        let broken =
            App::crashing(Duration::from_millis(300), 1).saying("ModuleNotFoundError: No module named 'x'");
        let mut lab = Lab::new(&sketch([service("web").app(broken)]), 1);
        lab.boot();
        lab.pass(Duration::from_secs(60)).await;
        assert!(is_held(&lab), "{}", lab.story());
        assert_eq!(starts(&lab), 2);
        rebuild(&lab, &App::default());
        lab.converged_within(Duration::from_secs(5)).await;
        assert!(!is_held(&lab));
        assert_eq!(starts(&lab), 3);
    });
}

#[test]
fn a_rebuilt_image_with_the_same_defect_is_held_again_and_one_that_is_gone_is_pulled() {
    simulate(async {
        let broken =
            App::crashing(Duration::from_millis(300), 1).saying("ModuleNotFoundError: No module named 'x'");
        let mut lab = Lab::new(&sketch([service("web").app(broken.clone())]), 1);
        lab.boot();
        lab.pass(Duration::from_secs(60)).await;
        rebuild(&lab, &broken);
        lab.pass(Duration::from_secs(60)).await;
        assert!(is_held(&lab), "{}", lab.story());
        assert_eq!(starts(&lab), 4, "another image is another two tries");
        lab.host.by_hand(|engine| {
            engine.push("web:1");
            engine.install("web", "web:1#2", &App::default());
            engine.untag("web:1");
        });
        // A pull takes two seconds.
        lab.converged_within(Duration::from_secs(5)).await;
        assert_eq!(starts(&lab), 5);
        lab.assert_safe();
    });
}

/// Another image is made under the tag, with this program in it.
fn rebuild(lab: &Lab, app: &App) {
    lab.host.by_hand(|engine| {
        engine.push("web:1");
        engine.install("web", "web:1#1", app);
        engine.pull("web:1").expect("it is in the registry");
    });
}

#[test]
fn what_the_host_lacks_is_tried_again_and_is_nobodys_fight() {
    simulate(async {
        let mut lab = Lab::new(&sketch([service("web").bind(FILE)]), 1);
        lab.boot();
        lab.pass(Duration::from_secs(180)).await;
        assert!(!is_held(&lab), "nobody undoes anything: {}", lab.story());
        assert_eq!(starts(&lab), 0);
        lab.host.by_hand(|engine| {
            engine.paths.insert(FILE.to_owned());
        });
        lab.converged_within(Duration::from_secs(31)).await;
        assert_eq!(starts(&lab), 1);
    });
}
