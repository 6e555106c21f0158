//! What belongs to somebody else is named in one sentence and never touched; the rest converges, and the end of the
//! conflict heals without an edit.

use std::net::TcpListener;

use aiplat_api::v1::StatusDoc;
use aiplat_core::condition::{ConditionType, Status, Word};
use serde_json::{Value, json};

use crate::harness::{Stage, all_ready, condition, has, service};

/// `web` meets the conflict, `other` has nothing to do with it.
const PLATFORM: &str = r#"
apiVersion: aiplat/v1
name: @name
services:
  web:
    image: aiplat-demo:1
    command: ["serve"]
    ports: ["@port1:8080"]
  other:
    image: aiplat-demo:1
    command: ["serve"]
"#;

/// On a volume that exists already.
const ON_A_VOLUME: &str = r#"
apiVersion: aiplat/v1
name: @name
volumes: {shared: {external: true, name: @name-shared}}
services:
  web:
    image: aiplat-demo:1
    command: ["serve"]
    volumes: ["shared:/data"]
  other:
    image: aiplat-demo:1
    command: ["serve"]
"#;

fn workload() -> Value {
    json!({"Image": "aiplat-demo:1", "Cmd": ["serve"]})
}

/// Starts the daemon into the conflict: `other` converges, and `kind` of `web` has a sentence with each of `words`.
/// `foreign` is not touched by any of it.
fn is_named(stage: &mut Stage, kind: ConditionType, foreign: Option<&str>, words: &[&str]) {
    let inspect = |stage: &Stage| {
        foreign.map(|id| stage.engine.inspect(id).expect("somebody else's container is there"))
    };
    let before = inspect(stage);
    stage.start();
    let status = stage.wait("the conflict is named and the rest converges", |status| {
        let abnormal = condition(status, Some("web"), kind)
            .is_some_and(|c| !c.is_normal() && c.status != Status::Unknown);
        abnormal && service(status, "other").status == Word::Ready
    });
    check_sentence(&status, kind, words);
    assert_eq!(inspect(stage), before, "somebody else's container is as it was");
}

fn check_sentence(status: &StatusDoc, kind: ConditionType, words: &[&str]) {
    let said = &condition(status, Some("web"), kind).expect("it is said").message;
    let row = service(status, "web");
    for word in words {
        assert!(said.contains(word), "`{word}` is not in the condition: {said}");
        assert!(row.message.contains(word), "`{word}` is not in the row: {}", row.message);
    }
    assert!(
        row.why.last().is_some_and(|last| last.contains(words[0])),
        "the chain ends with the cause: {:?}",
        row.why
    );
}

#[test]
fn a_foreign_container_with_our_name_is_named_and_its_removal_heals() {
    let Some(mut stage) = Stage::new() else { return };
    let name = format!("{}-web", stage.name);
    let id = stage.run_foreign(&name, workload());
    stage.save(PLATFORM);
    is_named(&mut stage, ConditionType::NameTaken, Some(&id), &[&name, "somebody else", "docker rm"]);
    stage.engine.delete(&format!("/containers/{id}?force=1"));
    stage.ready();
}

#[test]
fn a_container_of_docker_compose_with_our_name_is_named_with_its_project() {
    let Some(mut stage) = Stage::new() else { return };
    let name = format!("{}-web", stage.name);
    let mut config = workload();
    config["Labels"] = json!({
        "com.docker.compose.project": "legacy", "com.docker.compose.project.working_dir": "/srv/legacy"
    });
    let id = stage.run_foreign(&name, config);
    stage.save(PLATFORM);
    let words = [name.as_str(), "Docker Compose", "`legacy`", "/srv/legacy", "docker compose -p legacy down"];
    is_named(&mut stage, ConditionType::NameTaken, Some(&id), &words);
    stage.engine.post(&format!("/containers/{id}/rename?name={name}-old"), &Value::Null);
    stage.ready();
}

#[test]
fn a_volume_that_somebody_else_writes_to_is_not_opened_and_its_release_heals() {
    let Some(mut stage) = Stage::new() else { return };
    let volume = format!("{}-shared", stage.name);
    stage.make_foreign_volume(&volume);
    let mut config = workload();
    config["HostConfig"] = json!({"Mounts": [{"Type": "volume", "Source": volume, "Target": "/data"}]});
    let holder = format!("{}-holder", stage.name);
    let id = stage.run_foreign(&holder, config);
    stage.save(ON_A_VOLUME);
    is_named(&mut stage, ConditionType::StorageReady, Some(&id), &[&holder, &volume]);
    let said = stage.status().expect("it answers");
    let said = condition(&said, Some("web"), ConditionType::StorageReady).expect("it is said");
    assert_eq!(said.reason.to_string(), "VolumeInUse");
    assert!(!stage.runs().contains_key("web"), "two writers on one volume destroy it");
    stage.engine.post(&format!("/containers/{id}/stop?t=1"), &Value::Null);
    stage.ready();
}

#[test]
fn a_port_that_a_foreign_container_holds_is_named_and_its_release_heals() {
    let Some(mut stage) = Stage::new() else { return };
    let port = stage.port("@port1").to_string();
    let mut config = workload();
    config["ExposedPorts"] = json!({"8080/tcp": {}});
    config["HostConfig"] = json!({"PortBindings": {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": port}]}});
    let holder = format!("{}-holder", stage.name);
    let id = stage.run_foreign(&holder, config);
    stage.save(PLATFORM);
    is_named(&mut stage, ConditionType::PortsFree, Some(&id), &[&holder, &port]);
    stage.engine.delete(&format!("/containers/{id}?force=1"));
    stage.ready();
}

/// Starts the daemon while this very process holds the port of `web`.
fn against_a_process(stage: &mut Stage) -> (TcpListener, StatusDoc) {
    let holder = TcpListener::bind(("127.0.0.1", stage.port("@port1"))).expect("the port is free");
    stage.save(PLATFORM);
    stage.start();
    let pid = format!("pid {}", std::process::id());
    let status = stage.wait("the holder is named and the rest converges", |status| {
        service(status, "web").message.contains(&pid) && service(status, "other").status == Word::Ready
    });
    (holder, status)
}

#[test]
fn a_port_that_a_process_holds_is_named_and_its_release_heals() {
    let Some(mut stage) = Stage::new() else { return };
    let (holder, status) = against_a_process(&mut stage);
    let row = service(&status, "web");
    assert!(row.message.contains(&stage.port("@port1").to_string()), "{}", row.message);
    drop(holder);
    stage.ready();
}

#[test]
fn a_port_that_a_process_holds_is_not_called_free() {
    let Some(mut stage) = Stage::new() else { return };
    let (_holder, status) = against_a_process(&mut stage);
    let said = condition(&status, Some("web"), ConditionType::PortsFree).expect("it is said");
    assert_eq!((said.status, said.reason.to_string().as_str()), (Status::False, "PortTaken"), "{said:?}");
}

#[test]
fn a_missing_image_is_named_and_its_arrival_heals() {
    let Some(mut stage) = Stage::new() else { return };
    // Nobody listens on that port: the registry is away.
    let repository = format!("127.0.0.1:1/{}", stage.name);
    let image = format!("{repository}:1");
    stage.save(&PLATFORM.replacen("aiplat-demo:1", &image, 1));
    is_named(&mut stage, ConditionType::ImageAvailable, None, &[&image]);
    stage.engine.post(&format!("/images/aiplat-demo:1/tag?repo={repository}&tag=1"), &Value::Null);
    let _tag = Untag(&stage.engine.clone(), image);
    stage.ready();
    drop(stage);
}

/// Takes a tag off again.
struct Untag<'a>(&'a crate::harness::Engine, String);

impl Drop for Untag<'_> {
    fn drop(&mut self) {
        self.0.delete(&format!("/images/{}?force=1&noprune=1", self.1));
    }
}

#[test]
fn a_network_of_somebody_else_with_our_name_is_named() {
    let Some(mut stage) = Stage::new() else { return };
    let network = format!("{}_default", stage.name);
    stage.make_foreign_network(&network);
    stage.save(PLATFORM);
    stage.start();
    // The image may not have been looked for yet, and is then named first.
    stage.wait("the holder of the name is named, and why it keeps `web` down", |status| {
        let is_named = |resource: &aiplat_api::v1::ResourceStatus| {
            resource.id.to_string() == "network/default" && resource.message.contains("somebody else")
        };
        status.resources.iter().any(is_named)
            && service(status, "web").why.iter().any(|link| link.contains("external: true"))
    });
    stage.engine.delete(&format!("/networks/{network}"));
    stage.ready();
}

#[test]
fn five_mistakes_in_one_file_come_back_together_with_carets() {
    let Some(mut stage) = Stage::new() else { return };
    let broken = r#"apiVersion: aiplat/v1
name: @name
networks: {left: {}, right: {}}
services:
  web:
    image: aiplat-demo:1
    comand: ["serve"]
    networks: [left]
    depends_on: [db]
  db:
    image: aiplat-demo:1
    networks: [right]
    ports: ["99999:80"]
  a:
    image: aiplat-demo:1
    depends_on: [b]
  b:
    image: aiplat-demo:1
    depends_on: [a, nobody]
"#;
    let words = ["comand", "command", "left", "right", "nobody", "99999", "cycle"];
    stage.save(broken);
    let once = stage.once();
    assert_eq!(once.code, Some(2), "{}", once.said);

    stage.save(PLATFORM);
    stage.start();
    stage.ready();
    stage.save(broken);
    let status =
        stage.wait("it is refused", |status| has(status, None, ConditionType::SpecValid, Status::False));
    let report = &status.platform.spec_report;
    for word in words {
        assert!(report.contains(word), "`{word}` is not in the report:\n{report}");
    }
    let carets = report.lines().filter(|line| line.contains('^')).count();
    assert!(carets >= 5, "{carets} places are shown:\n{report}");
    assert!(all_ready(&status), "what was in force runs on");
}
