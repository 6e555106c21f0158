//! What the file may do: be broken, be gone, take services away.

use std::{collections::BTreeSet, time::Duration};

use aiplat_core::{ResourceId, action::label, plan::Command};
use aiplat_tests::{
    build::{Sketch, service, sketch, started},
    lab::{Lab, simulate},
};

use crate::{converged, edited_on_a_full_disk, three};

#[test]
fn an_invalid_empty_unreadable_or_deleted_file_changes_nothing() {
    simulate(async {
        let lab = converged(&three(), 1).await;
        let calls = lab.calls();
        let contents: [&[u8]; 5] =
            [b"", b"\n", b"services: [", b"\xff\xfe", b"apiVersion: aiplat/v1\nname: demo\nservicse: {}\n"];
        for content in contents {
            lab.folder.write(content);
            lab.pass(Duration::from_secs(10)).await;
            assert!(lab.shared().lock().spec.refused.is_some(), "{content:?} is refused");
        }
        lab.folder.deny();
        lab.pass(Duration::from_secs(10)).await;
        lab.folder.delete();
        lab.pass(Duration::from_secs(120)).await;
        assert!(lab.shared().lock().spec.refused.is_some());
        assert_eq!(lab.calls(), calls, "{}", lab.story());
    });
}

#[test]
fn overlays_are_in_force_and_their_folder_does_not_just_vanish() {
    const ONE: &str = "platform.yaml.d/10.yaml";
    const TWO: &str = "platform.yaml.d/20.yaml";
    simulate(async {
        let lab = converged(&three(), 1).await;
        lab.folder.write_beside(ONE, b"services: {fourth: {image: \"web:1\"}}\n");
        lab.pass(Duration::from_secs(60)).await;
        let services = || lab.host.settle().engine.containers.len();
        assert_eq!(services(), 4, "{}", lab.story());
        lab.folder.write_beside(TWO, b"services: [");
        lab.pass(Duration::from_secs(10)).await;
        assert!(lab.shared().lock().spec.refused.is_some(), "an overlay that is no YAML is refused");
        lab.folder.delete_beside(ONE);
        lab.folder.delete_beside(TWO);
        lab.pass(Duration::from_secs(60)).await;
        let refused = lab.shared().lock().spec.refused.clone().expect("the folder is gone");
        assert!(refused.message.contains("platform.yaml.d does not exist any more"), "{}", refused.message);
        assert_eq!(services(), 4, "nobody is removed: {}", lab.story());
        lab.folder.write_beside(TWO, b"services: {}\n");
        lab.pass(Duration::from_secs(60)).await;
        assert!(lab.shared().lock().spec.refused.is_none());
        assert_eq!(services(), 3, "an overlay less is an edit: {}", lab.story());
    });
}

#[test]
fn no_prefix_of_a_valid_file_stops_or_removes_anything() {
    simulate(async {
        let lab = converged(&three(), 1).await;
        let yaml = three().yaml().into_bytes();
        for length in 0..yaml.len() {
            lab.folder.write(&yaml[..length]);
            lab.pass(Duration::from_millis(50)).await;
            // Some prefixes are valid files that say something else: a service may be replaced, but none goes.
            let inner = lab.host.settle();
            let resources = inner.engine.containers.values().filter_map(|c| c.labels.get(label::RESOURCE));
            let services: BTreeSet<&String> = resources.collect();
            assert_eq!(services.len(), 3, "after {length} bytes: {services:?}");
            assert!(inner.engine.volumes.contains_key("demo_data"));
        }
        lab.folder.write(&yaml);
        lab.converged_within(Duration::from_secs(60)).await;
    });
}

#[test]
fn a_daemon_that_starts_with_a_broken_file_keeps_to_the_last_good_one() {
    simulate(async {
        let mut lab = converged(&three(), 1).await;
        lab.kill();
        lab.folder.write(b"services: [");
        lab.host.by_hand(|engine| engine.kill("demo-web").expect("runs"));
        lab.boot();
        lab.converged_within(Duration::from_secs(10)).await;
        lab.assert_safe();
    });
}

#[test]
fn a_file_that_found_the_disk_full_is_written_down_when_it_is_not_any_more() {
    simulate(async {
        let mut lab = edited_on_a_full_disk().await;
        lab.disk.fill(false);
        // With the next look at everything, at the latest.
        lab.pass(Duration::from_secs(61)).await;
        lab.folder.write(b"services: [");
        lab.kill();
        lab.boot();
        lab.pass(Duration::from_secs(60)).await;
        assert_eq!(lab.differences(), Vec::<String>::new(), "the edit is in force: {}", lab.story());
        let history = aiplatd::history::list(lab.shared());
        assert_eq!(history.last().expect("the present one").change, "web (environment.VERSION)");
        lab.assert_safe();
    });
}

#[test]
fn an_order_does_not_outlive_its_service_also_when_that_goes_while_nobody_looks() {
    simulate(async {
        let mut lab = converged(&three(), 1).await;
        let web = ResourceId::container("web");
        assert!(lab.order(&web, Command::Stop, None).await, "it is taken");
        lab.pass(Duration::from_secs(5)).await;
        lab.kill();
        let mut without = three();
        without.services.retain(|service| service.name != "web");
        lab.write(&without);
        lab.host.by_hand(|engine| engine.remove("demo-web", true).expect("it is there"));
        lab.boot();
        lab.converged_within(Duration::from_secs(10)).await;
        lab.pass(Duration::from_secs(5)).await;
        assert!(!lab.disk.stored().ledger.records.contains_key(&web), "nothing is remembered of it");
        lab.write(&three());
        lab.converged_within(Duration::from_secs(10)).await;
        lab.assert_safe();
    });
}

fn four() -> Sketch {
    sketch([
        service("a").volume("data", "/data"),
        service("b").after("a", started()),
        service("c").after("b", started()),
        service("d"),
    ])
}

fn without(names: &[&str]) -> Sketch {
    let mut sketch = four();
    sketch.services.retain(|service| !names.contains(&service.name.as_str()));
    for service in &mut sketch.services {
        service.needs.retain(|on, _| !names.contains(&on.as_str()));
    }
    sketch
}

#[test]
fn a_removed_service_goes_after_the_grace_and_not_before() {
    simulate(async {
        let lab = converged(&four(), 1).await;
        lab.write(&without(&["d"]));
        lab.pass(Duration::from_millis(1_900)).await;
        assert!(lab.host.settle().engine.find("demo-d").is_some(), "still there within the grace");
        lab.converged_within(Duration::from_secs(3)).await;
        lab.assert_safe();
    });
}

#[test]
fn services_are_removed_in_reverse_order_and_their_volumes_stay() {
    simulate(async {
        let lab = converged(&four(), 1).await;
        let from = lab.calls();
        lab.write(&without(&["b", "c"]));
        lab.converged_within(Duration::from_secs(10)).await;
        let inner = lab.host.settle();
        let done: Vec<String> =
            inner.calls[from..].iter().map(|call| format!("{} {}", call.verb, call.id.key())).collect();
        assert_eq!(done, ["stop c", "remove c", "stop b", "remove b"]);
        assert!(inner.engine.volumes.contains_key("demo_data"));
    });
}

#[test]
fn a_file_that_removes_most_services_waits_for_a_person_also_after_a_restart_of_the_daemon() {
    simulate(async {
        let mut lab = converged(&four(), 1).await;
        let calls = lab.calls();
        lab.write(&without(&["a", "b", "c"]));
        lab.pass(Duration::from_secs(120)).await;
        assert_eq!(lab.calls(), calls, "{}", lab.story());
        lab.kill();
        lab.boot();
        lab.pass(Duration::from_secs(120)).await;
        assert_eq!(lab.calls(), calls, "{}", lab.story());
    });
}

#[test]
fn a_service_that_comes_back_within_the_grace_was_never_away() {
    simulate(async {
        let lab = converged(&four(), 1).await;
        let calls = lab.calls();
        lab.write(&without(&["d"]));
        lab.pass(Duration::from_millis(1_500)).await;
        lab.write(&four());
        lab.pass(Duration::from_secs(60)).await;
        assert_eq!(lab.calls(), calls, "{}", lab.story());
    });
}

#[test]
fn a_file_that_goes_back_and_forth_ends_as_it_began() {
    simulate(async {
        let lab: Lab = converged(&three(), 1).await;
        let mut other = three();
        other.service("db").version = 2;
        other.service("web").image = "web:2".to_owned();
        for pause in [30, 500, 5_000] {
            for sketch in [&other, &three()] {
                lab.write(sketch);
                lab.pass(Duration::from_millis(pause)).await;
            }
            lab.converged_within(Duration::from_secs(60)).await;
        }
        lab.assert_safe();
    });
}

#[test]
fn the_last_ten_good_files_outlive_a_kill_and_one_of_them_is_gone_back_to() {
    simulate(async {
        let mut lab = converged(&three(), 1).await;
        for version in 2..14 {
            let mut edited = three();
            edited.service("web").version = version;
            lab.write(&edited);
            lab.pass(Duration::from_secs(3)).await;
        }
        // What is not good is none of them.
        lab.folder.write(b"services: [");
        lab.pass(Duration::from_secs(3)).await;
        lab.kill();
        lab.boot();
        lab.pass(Duration::from_secs(5)).await;
        let kept = aiplatd::history::list(lab.shared());
        let numbers: Vec<u64> = kept.iter().map(|it| it.revision).collect();
        assert_eq!(numbers, (4..=13).collect::<Vec<_>>());
        assert_eq!(kept.iter().filter(|it| it.in_force).count(), 1);
        assert!(kept.iter().all(|it| it.change == "web (environment.VERSION)"), "{kept:#?}");
        assert!(kept.iter().all(|it| it.images.contains_key("web")), "{kept:#?}");

        let reply = aiplatd::history::rollback(lab.shared(), 5, false).await.expect("it is kept");
        assert!(!reply.invalid && reply.needs_confirmation.is_none(), "{reply:?}");
        let beside = reply.kept.expect("what was on disk is kept");
        let kept = lab.shared().source.read(beside.as_ref()).expect("it can be read");
        assert_eq!(kept.as_deref(), Some(&b"services: ["[..]), "{beside}");
        let last = aiplatd::history::list(lab.shared()).pop().expect("the present one");
        assert_eq!((last.in_force, last.back_to), (true, Some(5)));
        let mut fifth = three();
        fifth.service("web").version = 5;
        assert_eq!(aiplatd::history::text(lab.shared(), reply.generation).expect("kept").text, fifth.yaml());
        lab.pass(Duration::from_secs(10)).await;
        lab.assert_safe();
    });
}
