//! A hundred services: converged, ten killed at once, one edited. Only what changed is planned.

use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use aiplat_api::v1::DiffReply;
use aiplat_core::condition::Word;
use serde_json::{Value, json};

use crate::harness::{Stage, report, service, until};

const SERVICES: usize = 100;
/// Two cores start some three containers a second, others' tests beside them.
const PATIENCE: Duration = Duration::from_secs(300);

/// Ten chains of ten, so that there are edges; one service carries a version.
fn platform(version: &str) -> String {
    let mut yaml = "apiVersion: aiplat/v1\nname: @name\nservices:\n".to_owned();
    for number in 0..SERVICES {
        let _ = writeln!(yaml, "  s{number:02}:\n    image: aiplat-demo:1\n    command: [serve]");
        if number == 42 {
            let _ = writeln!(yaml, "    environment: {{VERSION: {version}}}");
        }
        if number % 10 > 0 {
            let _ = writeln!(yaml, "    depends_on: [s{:02}]", number - 1);
        }
    }
    yaml
}

#[test]
fn a_hundred_services_converge_heal_and_change_one_by_one() {
    let Some(mut stage) = Stage::new() else { return };
    stage.save(&platform("one"));
    let begun = Instant::now();
    stage.start();
    stage.wait_within(PATIENCE, "a hundred are Ready", |status| {
        status.services.len() == SERVICES && status.services.iter().all(|row| row.status == Word::Ready)
    });
    report(&format!("100 services from nothing: {:.1?}", begun.elapsed()));

    let before = stage.runs();
    assert_eq!(before.len(), SERVICES);
    let killed: Vec<String> = (0..SERVICES / 10).map(|number| format!("s{:02}", number * 10 + 5)).collect();
    let begun = Instant::now();
    for name in &killed {
        stage.engine.post(&format!("/containers/{}/kill?signal=KILL", before[name].id), &Value::Null);
    }
    let runs_anew = |name: &String| {
        let state = stage.engine.inspect(&before[name].id).map(|container| container["State"].clone());
        state.is_some_and(|it| {
            it["Running"] == json!(true) && it["StartedAt"] != json!(before[name].started_at)
        })
    };
    assert!(until(PATIENCE, || killed.iter().all(runs_anew)), "the ten run anew");
    let status = stage.wait_within(PATIENCE, "all are Ready", |status| {
        status.services.iter().all(|row| row.status == Word::Ready)
    });
    report(&format!("10 of 100 killed at once, all back: {:.1?}", begun.elapsed()));
    let counted: Vec<_> = killed.iter().map(|name| (name, service(&status, name).restarts)).collect();
    assert!(counted.iter().all(|(_, restarts)| *restarts == 1), "{counted:?}");
    let healed = stage.runs();
    for (name, run) in &before {
        let same = healed[name].started_at == run.started_at;
        assert_eq!(same, !killed.contains(name), "{name}: only the killed ones run anew");
    }

    let edited = platform("two");
    let body = json!({"file": {"root": stage.config(), "files": {stage.config().display().to_string(): stage.fill(&edited)}}});
    let begun = Instant::now();
    let answer = stage.call("POST", "/v1/diff", &body).expect("the daemon answers");
    report(&format!("diff of one edit among 100 services: {:.1?}", begun.elapsed()));
    let reply: DiffReply = serde_json::from_slice(&answer.body).expect("a plan");
    let actions: Vec<_> = reply.preview.waves.iter().flat_map(|wave| &wave.actions).collect();
    assert!(
        !actions.is_empty() && actions.iter().all(|action| action.resource.key() == "s42"),
        "{actions:#?}"
    );

    let begun = Instant::now();
    stage.put_in_force(&edited);
    stage.settled();
    report(&format!("one edit among 100 services, its predecessor removed: {:.1?}", begun.elapsed()));
    let after = stage.runs();
    for (name, run) in &healed {
        assert_eq!(after[name].id == run.id, name != "s42", "{name}: only the edited one is replaced");
        assert_eq!(after[name].started_at == run.started_at, name != "s42", "{name}");
    }
}
