//! A disk that fills up under a service that runs on it: said while it lasts, and over when there is room again.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use aiplat_api::v1::StatusDoc;
use aiplat_core::condition::{ConditionType, Reason, Status, Word};

use crate::harness::{
    Stage, all_ready, cannot_run, condition,
    process::{self, command},
    service,
};

/// The machine is looked at every half minute.
const PATIENCE: Duration = Duration::from_secs(60);

const WRITER: &str = r#"
apiVersion: aiplat/v1
name: @name
services:
  db:
    image: aiplat-demo:1
    command: [serve, "WRITE_FILE=/data/starts"]
    volumes: ["@disk:/data"]
    healthcheck: {http: {port: 8080, path: /write}, interval: 1s, retries: 2}
  web:
    image: aiplat-demo:1
    command: [serve]
    depends_on: {db: {condition: service_healthy}}
    healthcheck: {http: {port: 8080, path: /ready}, interval: 1s}
"#;

/// A small file system of a test's own, in memory. It is gone when this is dropped, after a panic too.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// The reason why there can be none, otherwise.
    fn mounted_at(path: &Path) -> Result<Self, String> {
        fs::create_dir(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut mount = command("mount");
        mount.args(["-t", "tmpfs", "-o", "size=8m,mode=1777", "aiplat-e2e"]).arg(path);
        let done = process::capture(&mut mount, Duration::from_secs(10));
        if done.code == Some(0) {
            Ok(Self(path.to_owned()))
        } else {
            Err(format!("no tmpfs can be mounted: {}", done.said))
        }
    }

    /// Writes until nothing fits any more.
    fn fill(&self) {
        let mut filler = fs::File::create(self.0.join("filler")).expect("there is room for a name");
        while filler.write_all(&[0; 4096]).is_ok() {}
    }

    fn make_room(&self) {
        fs::remove_file(self.0.join("filler")).expect("it is there");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a container of a stage that is being taken down may still have it.
        process::capture(command("umount").arg("--lazy").arg(&self.0), Duration::from_secs(10));
    }
}

fn storage(status: &StatusDoc) -> Option<Reason> {
    let found = condition(status, Some("db"), ConditionType::StorageReady)?;
    (found.status == Status::False).then_some(found.reason)
}

fn pressure(status: &StatusDoc) -> Option<String> {
    let conditions = &status.host.as_ref()?.conditions;
    let found =
        conditions.iter().map(|it| &it.condition).find(|it| it.kind == ConditionType::DiskPressure)?;
    (found.status == Status::True && found.reason == Reason::StorageFull).then(|| found.message.clone())
}

#[test]
fn a_disk_that_fills_up_under_a_service_is_told_to_the_end_and_cured_by_room_alone() {
    let Some(mut stage) = Stage::new() else { return };
    let place = stage.path("disk");
    let disk = match SmallDisk::mounted_at(&place) {
        Ok(disk) => disk,
        Err(reason) => return cannot_run(&reason),
    };
    let shown = place.display().to_string();
    stage.save(&WRITER.replace("@disk", &shown));
    stage.start();
    stage.ready();
    let before = stage.runs();

    disk.fill();
    let full = stage.wait_within(PATIENCE, "the disk is full, and db fails for it", |status| {
        let fails = service(status, "db").status == Word::NotReady;
        storage(status) == Some(Reason::StorageFull) && pressure(status).is_some() && fails
    });
    let told = pressure(&full).unwrap_or_default();
    assert!(told.contains(&format!("the file system {shown} (tmpfs on aiplat-e2e) is full")), "{told}");
    let probed = service(&full, "db").detail.last_probe.as_ref().map(|it| it.transcript.clone());
    assert!(probed.as_ref().is_some_and(|it| it.contains("507")), "it cannot write: {probed:?}");
    // The story, from the service that somebody misses to the disk, with the evidence.
    let why = stage.ctl(&["why", "web"]);
    for part in
        ["waits for db", "db StorageReady=False", &shown, "is full", "of 8.0 MiB are free", "db writes there"]
    {
        assert!(why.said.contains(part), "{part}: {}", why.said);
    }
    let paths = stage.ctl(&["get", "volumes"]);
    assert!(paths.said.contains("its file system is full"), "{}", paths.said);

    disk.make_room();
    let ready = stage.wait_within(PATIENCE, "there is room, and all is Ready", |status| {
        all_ready(status) && storage(status).is_none() && pressure(status).is_none()
    });
    assert_eq!(stage.runs(), before, "nobody was restarted for it");
    assert!(ready.services.iter().all(|it| it.restarts == 0), "{ready:?}");
    let events = stage.ctl(&["events", "--for", "db"]);
    assert!(events.said.contains("RECOVERY_NEEDED") && events.said.contains("is full"), "{}", events.said);
}
