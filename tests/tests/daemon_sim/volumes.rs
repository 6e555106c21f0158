//! What volumes take on their disks: measured seldom, told with their age.

use std::time::Duration;

use aiplat_core::ResourceId;
use aiplat_tests::{
    lab::{Lab, simulate},
    scene::Restart,
};
use aiplatd::status;

const MINUTE: Duration = Duration::from_secs(60);

/// One service with a volume.
const FILE: &str = "apiVersion: aiplat/v1
name: test
services:
  db: {image: db:1, volumes: [\"data:/data\"]}
volumes: {data: {}}
";

fn lab() -> Lab {
    let mut lab = Lab::new(&aiplat_tests::build::sketch([aiplat_tests::build::service("db")]), 1);
    lab.write_yaml(FILE);
    lab.boot();
    lab
}

fn usage(lab: &Lab) -> aiplat_api::v1::VolumeUsage {
    let doc = status::document(lab.shared(), 0);
    let volume = doc.resources.into_iter().find(|it| it.id == ResourceId::volume("data"));
    volume.and_then(|it| it.usage).expect("a volume tells of its usage")
}

fn grow(lab: &Lab, size: u64) {
    lab.host.by_hand(|engine| engine.volumes.values_mut().for_each(|volume| volume.size = size));
}

#[test]
fn volumes_are_measured_when_the_first_work_is_done_and_then_every_ten_minutes() {
    simulate(async {
        let lab = lab();
        lab.pass(5 * MINUTE).await;
        let first = usage(&lab);
        assert_eq!((first.size, first.growth), (Some(0), None));
        assert!((150..300).contains(&first.measured_secs_ago.unwrap_or_default()), "it has its age");
        grow(&lab, 10 << 20);
        assert_eq!(usage(&lab).size, Some(0), "as of the last measurement");
        lab.pass(10 * MINUTE).await;
        let second = usage(&lab);
        assert_eq!(second.size, Some(10 << 20));
        let growth = second.growth.expect("it was measured twice");
        assert!(growth.bytes == 10 << 20 && (600..=602).contains(&growth.secs), "{growth:?}");
        lab.pass(60 * MINUTE).await;
        let measured = lab.host.settle().measurements;
        assert!((7..=8).contains(&measured), "{measured} measurements in 75 minutes");
    });
}

#[test]
fn an_engine_that_is_away_takes_no_size_away_and_the_age_tells_of_it() {
    simulate(async {
        let lab = lab();
        grow(&lab, 7);
        lab.pass(5 * MINUTE).await;
        let known = usage(&lab).size;
        assert!(known.is_some());
        let host = lab.host.clone();
        drop(tokio::spawn(async move { host.restart_engine(Restart::Live, 40 * MINUTE).await }));
        lab.pass(30 * MINUTE).await;
        let after = usage(&lab);
        assert_eq!(after.size, known);
        assert!(after.measured_secs_ago >= Some(1_800), "{after:?}");
    });
}
