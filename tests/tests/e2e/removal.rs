//! What leaves the file leaves the host: late enough, in the right order, and never its data.

use std::time::{Duration, Instant};

use aiplat_api::v1::{ApplyReply, StatusDoc};
use aiplat_core::condition::{ConditionType, Status};
use serde_json::json;

use crate::harness::{PATIENCE, Stage, all_ready, condition, engine::outline, has, report, until};

const HEAD: &str = "apiVersion: aiplat/v1\nname: @name\nvolumes: {data: {}}\nservices:\n";
const DB: &str = "  db: {image: aiplat-demo:1, command: [serve], volumes: [\"data:/data\"]}\n";
const API: &str =
    "  api: {image: aiplat-demo:1, command: [serve], depends_on: {db: {condition: service_started}}}\n";
const WEB: &str =
    "  web: {image: aiplat-demo:1, command: [serve], depends_on: {api: {condition: service_started}}}\n";
const REST: &str = "  a: {image: aiplat-demo:1, command: [serve]}\n  b: {image: aiplat-demo:1, command: [serve]}\n  \
                    c: {image: aiplat-demo:1, command: [serve]}\n";

fn all() -> String {
    [HEAD, DB, API, WEB, REST].concat()
}

/// The file without its three layers, and without the volume that only they used.
fn without_layers() -> String {
    [&HEAD.replace("volumes: {data: {}}\n", ""), REST].concat()
}

#[test]
fn removed_services_go_after_the_grace_in_reverse_order_and_their_volume_stays() {
    let Some(mut stage) = Stage::ready_with(&all()) else { return };
    let runs = stage.runs();
    let recorder = stage.engine.record(&stage.label());
    let saved = Instant::now();
    stage.put_in_force(&without_layers());
    let gone = |name: &str| outline(&recorder.events()).contains(&format!("{name}:die"));
    assert!(until(PATIENCE, || gone("web")), "web is stopped");
    let waited = saved.elapsed();
    assert!(waited >= Duration::from_secs(2), "stopped {waited:?} after the edit");
    report(&format!("the first of the removed services stopped {} ms after the edit", waited.as_millis()));

    let events = recorder.wait("db is removed", |events| outline(events).contains(&"db:destroy".to_owned()));
    let ends = ["web:die", "web:destroy", "api:die", "api:destroy", "db:die", "db:destroy"];
    assert_eq!(outline(&events), ends, "dependants go first");
    let status = stage.settled();
    assert_eq!(status.services.len(), 3);
    let volume = status.resources.iter().find(|resource| resource.id.to_string() == "volume/data");
    let volume = volume.expect("a volume that the file no longer has is listed");
    assert!(!volume.desired, "{volume:#?}");
    assert_eq!(
        stage.engine.names("volumes", &stage.label()),
        [format!("{}_data", stage.name)],
        "its data stays"
    );
    let after = stage.runs();
    assert!(["a", "b", "c"].iter().all(|name| after[*name] == runs[*name]), "the others were not touched");
}

#[test]
fn a_service_that_comes_back_within_the_grace_was_never_gone() {
    let Some(mut stage) = Stage::ready_with(&all()) else { return };
    let runs = stage.runs();
    stage.put_in_force(&without_layers());
    stage.put_in_force(&all());
    stage.settled();
    assert_eq!(stage.runs(), runs);
}

/// The grace is about the file, not about its neighbours: a log, an editor's backup, a `git pull` of something else.
#[test]
fn a_busy_neighbour_of_the_file_does_not_put_off_a_removal() {
    let Some(mut stage) = Stage::ready_with(&all()) else { return };
    let neighbour = stage.config().with_file_name("neighbour.log");
    let begun = Instant::now();
    stage.put_in_force(&without_layers());
    let removed = until(Duration::from_secs(8), || {
        std::fs::write(&neighbour, format!("{:?}", begun.elapsed())).expect("the folder can be written");
        stage.engine.containers(&stage.label()).len() == 3
    });
    assert!(removed, "still there after {:?}: {:#?}", begun.elapsed(), stage.runs());
}

#[test]
fn removing_more_than_half_of_the_services_waits_for_a_word() {
    let Some(mut stage) = Stage::ready_with(&all()) else { return };
    let runs = stage.runs();
    let few = [HEAD, DB].concat();
    let status = stage.put_in_force(&few);
    let web = status
        .resources
        .iter()
        .find(|resource| resource.id.to_string() == "container/web")
        .expect("it is listed");
    assert!(web.message.contains("aiplatctl apply --confirm"), "{}", web.message);
    // Past the grace, with a daemon that was restarted in between: it still waits.
    stage.kill();
    stage.start();
    let waits = |status: &StatusDoc| {
        let web = status.resources.iter().find(|resource| resource.id.to_string() == "container/web");
        web.is_some_and(|web| web.message.contains("--confirm"))
    };
    stage.wait_within(Duration::from_secs(5), "it waits for a word after a restart too", waits);
    let removed = || stage.runs() != runs;
    assert!(!until(Duration::from_secs(3), removed), "nobody is removed past the grace: {:#?}", stage.runs());

    let answer =
        stage.call("POST", "/v1/apply", &json!({"content": null, "confirm": true})).expect("it answers");
    let reply: ApplyReply = serde_json::from_slice(&answer.body).expect("an ApplyReply");
    assert_eq!((reply.invalid, reply.needs_confirmation), (false, None));
    assert!(until(PATIENCE, || stage.runs().len() == 1), "they are removed: {:#?}", stage.runs());
    assert_eq!(stage.runs()["db"], runs["db"]);
    stage.settled();
}

#[test]
fn an_apply_that_removes_more_than_half_is_refused_without_the_word_and_writes_nothing() {
    let Some(mut stage) = Stage::ready_with(&all()) else { return };
    let few = stage.fill(&[HEAD, DB].concat());
    let answer =
        stage.call("POST", "/v1/apply", &json!({"content": few, "confirm": false})).expect("it answers");
    let reply: ApplyReply = serde_json::from_slice(&answer.body).expect("an ApplyReply");
    let question = reply.needs_confirmation.expect("it asks");
    assert!(question.contains("removes 5 of 6 services"), "{question}");
    assert_eq!(std::fs::read_to_string(stage.config()).expect("it is there"), stage.fill(&all()));
    let answer =
        stage.call("POST", "/v1/apply", &json!({"content": few, "confirm": true})).expect("it answers");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(until(PATIENCE, || stage.runs().len() == 1), "they are removed: {:#?}", stage.runs());
    assert_eq!(std::fs::read_to_string(stage.config()).expect("it is there"), few);
    stage.settled();
}

#[test]
fn another_name_waits_for_a_word() {
    let Some(mut stage) = Stage::ready_with(&all()) else { return };
    let runs = stage.runs();
    stage.save(&all().replace("name: @name", "name: @name-renamed"));
    let status = stage.wait("it asks", |status| has(status, None, ConditionType::SpecValid, Status::False));
    let said = condition(&status, None, ConditionType::SpecValid).expect("it is said");
    assert_eq!(said.reason.to_string(), "ConfirmationNeeded");
    assert_eq!((status.platform.name.as_str(), stage.runs()), (stage.name.as_str(), runs));
    stage.save(&all());
    stage.wait("the old name is in force", |status| {
        all_ready(status) && has(status, None, ConditionType::SpecValid, Status::True)
    });
}

#[test]
fn a_volume_that_the_file_no_longer_has_goes_by_name_and_nothing_else_does() {
    let Some(mut stage) = Stage::ready_with(&all()) else { return };
    let platform = stage.name.clone();
    let volume = |name: &str| format!("{platform}_{name}");
    let (data, theirs) = (volume("data"), volume("theirs"));
    stage.make_foreign_volume(&theirs);
    let prune = |stage: &Stage, name: &str, more: &str| stage.ctl(&["prune", "--volume", name, more]);
    let refused = |stage: &Stage, name: &str, code: i32, because: &str| {
        for more in ["--dry-run", "--yes"] {
            let run = prune(stage, name, more);
            assert_eq!(run.code, Some(code), "{name} {more}: {}", run.said);
            assert!(run.said.contains(because), "{name} {more}: {}", run.said);
        }
    };
    refused(&stage, &data, 1, "it is in the file (volume/data)");
    stage.put_in_force(&without_layers());
    assert!(until(PATIENCE, || stage.runs().len() == 3), "db is removed: {:#?}", stage.runs());
    stage.settled();

    let list = stage.ctl(&["prune"]);
    assert_eq!(list.code, Some(0), "{}", list.said);
    assert!(list.said.contains(&format!("aiplatctl prune --volume {data}")), "{}", list.said);
    refused(&stage, "data", 4, &format!("name it as the engine does: `{data}`"));
    refused(&stage, &theirs, 1, "does not carry our labels");
    // Somebody else's, and not running: its volume is in use all the same.
    let user = volume("user");
    let config = json!({"Image": "aiplat-demo:1", "Cmd": ["serve"], "HostConfig": {"Binds": [format!("{data}:/data")]}});
    let id = stage.run_foreign(&user, config);
    stage.engine.post(&format!("/containers/{id}/kill"), &json!(null));
    refused(&stage, &data, 1, &format!("mounted in container `{user}`, which is not ours; remove"));
    stage.engine.delete(&format!("/containers/{id}?force=1"));

    let dry = prune(&stage, &data, "--dry-run");
    assert_eq!(
        (dry.code, dry.said.contains(&format!("would remove volume {data}"))),
        (Some(0), true),
        "{}",
        dry.said
    );
    let unasked = stage.ctl(&["prune", "--volume", &data]);
    assert_eq!(unasked.code, Some(2), "nobody can be asked here: {}", unasked.said);
    assert_eq!(stage.engine.names("volumes", &stage.label()), std::slice::from_ref(&data), "nothing is gone");
    let runs = stage.runs();
    let done = prune(&stage, &data, "--yes");
    assert_eq!(done.code, Some(0), "{}", done.said);
    assert!(stage.engine.names("volumes", &stage.label()).is_empty());
    assert!(stage.engine.try_get(&format!("/volumes/{theirs}")).is_some(), "the foreign one stays");
    let events = stage.ctl(&["events", "--for", "volume/data"]);
    assert!(events.said.contains("VolumeRemoved") && events.said.contains("uid "), "{}", events.said);
    let list = stage.ctl(&["prune"]);
    assert!(list.said.contains("Nothing of ours is left over"), "{}", list.said);
    assert_eq!(stage.runs(), runs);
    refused(&stage, &data, 4, "there is no volume");
}
