//! The process: exit codes, signals, and what systemd is told.

use std::{
    fs,
    os::unix::net::UnixDatagram,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::harness::{PATIENCE, Stage, all_ready};

const PLATFORM: &str =
    "apiVersion: aiplat/v1\nname: @name\nservices:\n  web: {image: aiplat-demo:1, command: [serve]}\n";

#[test]
fn once_ends_with_0_when_ready_2_when_invalid_and_3_when_not_ready() {
    let Some(stage) = Stage::new() else { return };
    stage.save(PLATFORM);
    let ready = stage.once();
    assert_eq!(ready.code, Some(0), "{}", ready.said);
    let runs = stage.runs();

    stage.save("apiVersion: aiplat/v1\nname: @name\nservices: {web: {imaeg: x}}\n");
    let invalid = stage.once();
    assert_eq!(invalid.code, Some(2), "{}", invalid.said);
    assert!(invalid.said.contains("imaeg"), "{}", invalid.said);

    fs::remove_file(stage.config()).expect("it is there");
    let missing = stage.once();
    assert_eq!(missing.code, Some(2), "{}", missing.said);

    stage.save(&PLATFORM.replace("[serve]", "[job, EXIT_CODE=3], restart: \"no\""));
    let not_ready = stage.once();
    assert_eq!(not_ready.code, Some(3), "{}", not_ready.said);
    assert!(not_ready.said.contains("exit 3"), "{}", not_ready.said);

    stage.save(PLATFORM);
    assert_eq!(stage.once().code, Some(0));
    assert_eq!(stage.runs().len(), runs.len());
}

#[test]
fn once_prints_every_mistake_with_its_place() {
    let Some(stage) = Stage::new() else { return };
    stage.save(
        "apiVersion: aiplat/v1\nname: @name\nservices: {web: {imaeg: x}, db: {image: x, prots: [1]}}\n",
    );
    let invalid = stage.once();
    assert_eq!(invalid.code, Some(2), "{}", invalid.said);
    for words in ["imaeg", "prots", "^"] {
        assert!(
            invalid.said.contains(words),
            "`{words}` is not said to who has no other window: {}",
            invalid.said
        );
    }
}

#[test]
fn once_removes_what_the_file_no_longer_has_and_stops_nothing_else() {
    let Some(stage) = Stage::new() else { return };
    stage.save(&format!("{PLATFORM}  gone: {{image: aiplat-demo:1, command: [serve]}}\n"));
    let first = stage.once();
    assert_eq!(first.code, Some(0), "{}", first.said);
    let before = stage.runs();
    stage.save(PLATFORM);
    let second = stage.once();
    assert_eq!(second.code, Some(0), "{}", second.said);
    let after = stage.runs();
    assert_eq!((after.len(), &after["web"]), (1, &before["web"]));
    assert_eq!(stage.engine.containers(&stage.label()).len(), 1);
}

/// What systemd would hear.
struct Listener(UnixDatagram);

impl Listener {
    fn of(stage: &mut Stage) -> Self {
        let path = stage.path("notify");
        let socket = UnixDatagram::bind(&path).expect("the socket can be bound");
        stage.env.insert("NOTIFY_SOCKET".to_owned(), path.display().to_string());
        stage.env.insert("WATCHDOG_USEC".to_owned(), "6000000".to_owned());
        Self(socket)
    }

    /// Reads on until a line is `wanted`, and returns all lines that it read.
    fn hear(&self, what: &str, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut heard = Vec::new();
        let mut buffer = [0; 4096];
        while let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
        {
            self.0.set_read_timeout(Some(left)).expect("a timeout that is not zero");
            let Ok(length) = self.0.recv(&mut buffer) else { break };
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            heard.extend(text.lines().map(str::to_owned));
            if text.lines().any(&wanted) {
                return heard;
            }
        }
        panic!("systemd did not hear {what}; it heard {heard:#?}");
    }
}

#[test]
fn systemd_hears_that_it_is_ready_how_it_is_that_it_lives_and_that_it_stops() {
    let Some(mut stage) = Stage::new() else { return };
    let listener = Listener::of(&mut stage);
    stage.save(PLATFORM);
    stage.start();
    listener.hear("READY", |line| line == "READY=1");
    let sentence = format!("STATUS={}: 1 of 1 services ready", stage.name);
    listener.hear("the sentence", |line| line == sentence);
    assert_eq!(stage.ready().platform.sentence, sentence.trim_start_matches("STATUS="));
    // The watchdog is fed while nothing else happens, well within its time.
    for _ in 0..2 {
        let begun = Instant::now();
        listener.hear("WATCHDOG", |line| line == "WATCHDOG=1");
        assert!(begun.elapsed() < Duration::from_secs(6), "the watchdog is fed in time");
    }
    stage.signal(Signal::TERM);
    listener.hear("STOPPING", |line| line == "STOPPING=1");
    assert_eq!(stage.exit_code(PATIENCE), Some(0));
}

#[test]
fn sighup_reads_the_file_again() {
    let Some(mut stage) = Stage::new() else { return };
    let listener = Listener::of(&mut stage);
    stage.save(PLATFORM);
    // The same file under a name in a folder that nobody watches: an edit there comes with no hint.
    let elsewhere = stage.path("elsewhere");
    fs::create_dir(&elsewhere).expect("a folder");
    let twin = elsewhere.join("twin.yaml");
    fs::hard_link(stage.config(), &twin).expect("the same file system");
    stage.start();
    stage.ready();
    listener.hear("READY", |line| line == "READY=1");
    let before = stage.runs();
    let generation = stage.status().expect("it answers").platform.generation;
    fs::write(&twin, stage.fill(&PLATFORM.replace("[serve]", "[serve, NAME=edited]")))
        .expect("it can be written");
    stage.signal(Signal::HUP);
    let heard = listener.hear("READY after RELOADING", |line| line == "READY=1");
    assert!(heard.iter().any(|line| line == "RELOADING=1"), "{heard:?}");
    stage.wait("the edit is in force", |status| status.platform.generation > generation && all_ready(status));
    stage.settled();
    assert_ne!(stage.runs()["web"].id, before["web"].id);
}

#[test]
fn status_json_is_the_same_document_for_the_group_and_not_for_the_world() {
    use std::os::unix::fs::PermissionsExt;
    let Some(mut stage) = Stage::ready_with(PLATFORM) else { return };
    assert_eq!(stage.stop(), Some(0));
    let path = stage.state_dir().join("status.json");
    let mode = fs::metadata(&path).expect("it is written at the end at the latest").permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    let document: aiplat_api::v1::StatusDoc =
        serde_json::from_slice(&fs::read(&path).expect("it can be read")).expect("a StatusDoc");
    assert!(all_ready(&document), "{:#?}", document.services);
    let mode = fs::metadata(stage.state_dir()).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o007, 0, "others see nothing of the state folder");
}
