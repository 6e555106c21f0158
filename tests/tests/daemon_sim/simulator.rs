//! The simulation itself: what it takes for true, and what it calls unsafe.

use std::time::Duration;

use aiplat_core::{ResourceId, plan::Command};
use aiplat_tests::{
    build::{healthy, service, sketch},
    lab::simulate,
    sim::App,
};

use crate::{converged, edited_on_a_full_disk};

#[test]
fn the_program_in_an_image_that_a_tag_has_come_to_mean_does_as_the_file_says() {
    simulate(async {
        let relying = service("web").after("db", healthy()).app(App::relying_on("db"));
        let lab = converged(&sketch([service("db").probe(), relying]), 1).await;
        lab.host.by_hand(|engine| {
            engine.push("web:1");
            engine.pull("web:1").expect("it is in the registry");
        });
        lab.pass(Duration::from_secs(61)).await;
        assert!(lab.order(&ResourceId::container("web"), Command::Update, None).await, "it is taken");
        lab.pass(Duration::from_secs(30)).await;
        let of = |lab: &aiplat_tests::lab::Lab| {
            let inner = lab.host.settle();
            let web = inner.engine.find("demo-web").expect("it is there").clone();
            (web.image_id.clone(), inner.engine.answers(&web))
        };
        assert_eq!(of(&lab), ("sha256:web:1#1".to_owned(), true));
        lab.write(&sketch([service("web"), service("jobs")]));
        lab.converged_within(Duration::from_secs(30)).await;
        assert_eq!(of(&lab), ("sha256:web:1#1".to_owned(), true), "it relies on nobody now");
    });
}

#[test]
fn what_is_in_force_after_a_start_with_a_broken_file_is_what_was_written_down() {
    simulate(async {
        let mut lab = edited_on_a_full_disk().await;
        lab.folder.write(b"services: [");
        lab.kill();
        lab.boot();
        lab.converged_within(Duration::from_secs(30)).await;
        lab.pass(Duration::from_secs(30)).await;
        assert!(lab.order(&ResourceId::container("web"), Command::Restart, None).await, "it is taken");
        lab.pass(Duration::from_secs(30)).await;
        lab.assert_safe();
    });
}

#[test]
fn to_make_a_container_on_a_network_in_the_moment_of_its_removal_is_a_race_that_the_adapter_decides() {
    let done = service("api").app(App::one_shot(Duration::from_millis(300)));
    let mut before = sketch([done]);
    before.internal.push("default".to_owned());
    let is_refused = |seed| {
        simulate(async {
            let lab = converged(&before, seed).await;
            // The grace of a removal is as long as a pull: the old one goes when the new one is made.
            lab.write(&sketch([service("web")]));
            lab.converged_within(Duration::from_secs(60)).await;
            lab.assert_safe();
            let inner = lab.host.settle();
            inner.calls.iter().any(|call| call.outcome.contains("names network"))
        })
    };
    assert!((0..20).any(is_refused), "no seed shows it");
}
