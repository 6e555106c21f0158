//! The daemon adds to the engine's own file what it lacks, once, and restarts nothing.

use std::time::Duration;

use aiplat_core::{
    ResourceId,
    condition::{ConditionType, Status},
    observed::{EngineSettings, ObservedFile},
    plan::DAEMON_JSON,
};
use aiplat_tests::{
    build::{service, sketch},
    lab::{Lab, simulate},
};

const SECOND: Duration = Duration::from_secs(1);

const FILE: &str = "apiVersion: aiplat/v1
name: test
host: {docker: {manage: true}}
services:
  db: {image: \"db:1\"}
";

fn text(lab: &Lab, path: &str) -> Option<String> {
    match lab.host.settle().engine.file(path) {
        ObservedFile::Present { content, .. } => Some(String::from_utf8_lossy(content.bytes()).into_owned()),
        ObservedFile::Absent | ObservedFile::Obstructed { .. } => None,
    }
}

fn restart_required(lab: &Lab) -> Option<Status> {
    let state = lab.shared().lock();
    let record = state.ledger.get(&ResourceId::docker())?;
    Some(record.transitions.get(&ConditionType::EngineRestartRequired)?.status)
}

#[test]
fn the_engines_file_is_merged_once_and_the_engine_left_to_a_person() {
    simulate(async {
        let mut lab = Lab::new(&sketch([service("db")]), 1);
        lab.host.by_hand(|engine| {
            engine.put_file(DAEMON_JSON, br#"{"debug": true}"#);
            engine.settings =
                Some(EngineSettings { log_driver: "json-file".to_owned(), ..EngineSettings::default() });
        });
        lab.write_yaml(FILE);
        lab.boot();
        lab.pass(60 * SECOND).await;
        let after = text(&lab, DAEMON_JSON).expect("it is there");
        assert!(after.contains("\"debug\": true") && after.contains("\"live-restore\": true"), "{after}");
        let copies: Vec<String> = {
            let inner = lab.host.settle();
            inner.engine.files.keys().filter(|path| path.contains(".before-")).cloned().collect()
        };
        assert_eq!(copies.len(), 1, "{copies:?}");
        assert_eq!(text(&lab, &copies[0]).as_deref(), Some(r#"{"debug": true}"#));
        assert_eq!(restart_required(&lab), Some(Status::True));

        // It is written once, whatever the administrator makes of it.
        let calls = lab.calls();
        lab.host.by_hand(|engine| engine.put_file(DAEMON_JSON, after.replace("true", "false").as_bytes()));
        lab.pass(300 * SECOND).await;
        assert_eq!(lab.calls(), calls, "{}", lab.story());
        assert!(text(&lab, DAEMON_JSON).is_some_and(|text| text.contains("\"live-restore\": false")));

        // Somebody has restarted the engine with it.
        lab.host.by_hand(|engine| {
            let settings = engine.settings.as_mut().expect("it is there");
            settings.address_pools = vec![("172.20.0.0/14".to_owned(), 24)];
        });
        lab.pass(900 * SECOND).await;
        assert_eq!(restart_required(&lab), Some(Status::False));
        lab.assert_safe();
    });
}
