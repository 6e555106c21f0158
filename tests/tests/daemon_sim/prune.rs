//! Volumes that outlive their service go by name, and only those that nobody needs.

use std::{collections::BTreeSet, time::Duration};

use aiplat_core::plan::Kept;
use aiplat_tests::{
    build::{service, sketch},
    lab::{Lab, simulate},
    sim::Foreign,
};
use aiplatd::prune::{NotPruned, prune};

use crate::{converged, three};

async fn ask(lab: &Lab, names: &[&str], dry_run: bool) -> Result<(), NotPruned> {
    let names: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
    prune(lab.shared(), "uid 0", &names, dry_run).await
}

async fn refused(lab: &Lab, names: &[&str], because: &str) {
    let before = lab.host.settle().engine.volumes.clone();
    for dry_run in [true, false] {
        match ask(lab, names, dry_run).await {
            Err(NotPruned::Kept(kept)) => assert!(kept.to_string().contains(because), "{names:?}: {kept}"),
            other => panic!("{names:?}: {other:?}"),
        }
    }
    assert_eq!(lab.host.settle().engine.volumes, before, "nothing is gone: {}", lab.story());
}

#[test]
fn a_volume_goes_when_it_is_ours_and_neither_in_the_file_nor_in_a_container() {
    simulate(async {
        let file = sketch([service("db").volume("data", "/data"), service("a"), service("b")]);
        let lab = converged(&file, 1).await;
        refused(&lab, &["demo_data"], "it is in the file (volume/data)").await;
        lab.write(&sketch([service("a"), service("b")]));
        lab.pass(Duration::from_secs(1)).await;
        refused(&lab, &["demo_data"], "the file has been changed this very moment").await;
        lab.pass(Duration::from_secs(30)).await;
        lab.folder.write(b"services: [");
        lab.pass(Duration::from_secs(5)).await;
        refused(&lab, &["demo_data"], "the file on disk is not in force").await;
        lab.write(&sketch([service("a"), service("b")]));
        lab.pass(Duration::from_secs(10)).await;

        let user = Foreign {
            name: "theirs".to_owned(),
            volume: Some("demo_data".to_owned()),
            stopped: true,
            ..Foreign::default()
        };
        let user = lab.host.settle().engine.add_foreign(&user);
        refused(&lab, &["demo_data"], "mounted in container `theirs`, which is not ours; remove").await;
        lab.host.by_hand(|engine| engine.remove(&user, true).expect("it is there"));
        lab.host.by_hand(|engine| drop(engine.create_volume("theirs", [].into(), "local")));
        refused(&lab, &["demo_data", "theirs"], "`theirs` stays: it does not carry our labels").await;
        refused(&lab, &["data"], "name it as the engine does: `demo_data`").await;

        ask(&lab, &["demo_data"], true).await.expect("it may go");
        assert!(lab.host.settle().engine.volumes.contains_key("demo_data"), "a dry run changes nothing");
        ask(&lab, &["demo_data"], false).await.expect("it goes");
        assert!(!lab.host.settle().engine.volumes.contains_key("demo_data"));
        let events = lab.shared().lock().events.after(0);
        let event = events.iter().find(|event| event.reason == "VolumeRemoved").expect("it is told");
        assert_eq!(
            (event.resource.as_str(), event.message.as_str()),
            ("volume/data", "uid 0 removed volume `demo_data` and its data")
        );
        assert!(matches!(ask(&lab, &["demo_data"], false).await, Err(NotPruned::Kept(Kept::NoSuch(_)))));
    });
}

#[test]
fn no_volume_goes_while_its_removal_from_the_file_waits_for_a_person() {
    simulate(async {
        let lab = converged(&three(), 1).await;
        lab.write(&sketch([service("new")]));
        lab.pass(Duration::from_secs(10)).await;
        refused(&lab, &["demo_data"], "waits for `aiplatctl apply --confirm`").await;
    });
}
