//! What `aiplatctl` does beyond orders: hands off, updates, the way back, programs, pictures.

use aiplat_core::condition::{ConditionType, Status, Word};
use serde_json::{Value, json};

use crate::harness::{DB_AND_WEB, PATIENCE, Stage, has, service, until};

#[test]
fn a_suspended_service_is_left_alone_over_a_kill_of_the_daemon_until_it_is_resumed() {
    let Some(mut stage) = Stage::ready_with(DB_AND_WEB) else { return };
    let suspend = stage.ctl(&["suspend", "db", "--for", "2h"]);
    assert_eq!(suspend.code, Some(0), "{}", suspend.said);
    assert!(suspend.said.contains("db Suspended") && suspend.said.contains("until 20"), "{}", suspend.said);
    stage.kill();
    let db = stage.container("db").expect("it exists")["Id"].as_str().expect("an id").to_owned();
    stage.engine.post(&format!("/containers/{db}/kill"), &Value::Null);
    stage.start();
    let status = stage.wait("it is seen to have ended", |status| {
        let db = service(status, "db");
        db.status == Word::Suspended && db.message.contains("it does not run")
    });
    assert!(service(&status, "db").message.contains("`aiplatctl resume db` ends it"));
    let diff = stage.ctl(&["diff"]);
    assert!(diff.said.contains("suspended by uid") && diff.said.contains("would start"), "{}", diff.said);
    let refused = stage.ctl(&["start", "db"]);
    assert_eq!(refused.code, Some(1), "{}", refused.said);
    assert!(refused.said.contains("aiplatctl resume db"), "{}", refused.said);
    let resume = stage.ctl(&["resume", "db"]);
    assert_eq!(resume.code, Some(0), "{}", resume.said);
    stage.settled();
    assert_eq!(stage.runs()["db"].id, db, "the same container was started again");
}

#[test]
fn a_released_service_is_restarted_by_the_engine_and_taken_back_without_a_restart() {
    let Some(mut stage) = Stage::ready_with(DB_AND_WEB) else { return };
    let before = stage.runs();
    let policy = |stage: &Stage, name: &str| {
        let it = stage.container(name).expect("it exists");
        it["HostConfig"]["RestartPolicy"]["Name"].as_str().unwrap_or_default().to_owned()
    };
    let release = stage.ctl(&["release", "db"]);
    assert_eq!(release.code, Some(0), "{}", release.said);
    assert_eq!((policy(&stage, "db").as_str(), policy(&stage, "web").as_str()), ("unless-stopped", "no"));
    assert_eq!(stage.ctl(&["resume", "db"]).code, Some(0));
    stage.settled();
    assert_eq!(policy(&stage, "db"), "no");
    assert_eq!(stage.runs(), before, "nobody was restarted");
}

#[test]
fn a_tag_that_moves_is_told_and_moved_to_only_by_update() {
    let Some(mut stage) = Stage::new() else { return };
    let tag = format!("aiplat-e2e-{}", stage.name);
    let retag = |stage: &Stage, image: &str| {
        stage.engine.post(&format!("/images/{image}/tag?repo={tag}&tag=1"), &Value::Null);
    };
    retag(&stage, "aiplat-demo:1");
    stage.save(&DB_AND_WEB.replacen("aiplat-demo:1", &format!("{tag}:1"), 1));
    stage.start();
    stage.ready();
    let before = stage.runs();
    // Another image under the same tag: what runs, committed with a label more.
    let made = stage.engine.post(
        &format!("/commit?container={}&repo={tag}&tag=1", before["db"].id),
        &json!({"Labels": {"aiplat-e2e": "moved"}, "Cmd": ["serve"]}),
    );
    let pull = stage.ctl(&["pull", "db"]);
    assert_eq!(pull.code, Some(1), "no registry has it: {}", pull.said);
    assert!(pull.said.contains("`aiplatctl update db` moves to it"), "{}", pull.said);
    stage.wait("get images says it", |status| {
        status.resources.iter().any(|it| it.message.contains("aiplatctl update db"))
    });
    assert_eq!(stage.runs(), before, "a tag that moves by itself recreates nothing");

    let update = stage.ctl(&["update", "db"]);
    assert_eq!(update.code, Some(0), "{}", update.said);
    stage.settled();
    let after = stage.runs();
    assert_eq!(after["web"], before["web"], "the other one is not touched");
    assert_ne!(after["db"].id, before["db"].id);
    assert_eq!(stage.container("db").expect("it exists")["Image"], made["Id"]);
    assert_eq!(stage.stop(), Some(0));
    stage.engine.delete(&format!("/containers/{}?force=1", after["db"].id));
    stage.engine.delete(&format!("/images/{tag}:1"));
}

#[test]
fn an_edit_is_gone_back_from_and_a_refused_one_is_not_lost() {
    let Some(mut stage) = Stage::ready_with(DB_AND_WEB) else { return };
    let first = std::fs::read_to_string(stage.config()).expect("the file");
    let edited = DB_AND_WEB.replacen("    command", "    environment: {COLOUR: blue}\n    command", 1);
    stage.put_in_force(&edited);
    stage.settled();
    let history = stage.ctl(&["history"]);
    assert!(
        history.said.contains("(in force)") && history.said.contains("db (environment"),
        "{}",
        history.said
    );
    let diff = stage.ctl(&["history", "1"]);
    assert!(diff.said.contains("+    environment: {COLOUR: blue}"), "{}", diff.said);

    stage.save("services: [\n");
    stage.wait("the file is refused", |status| has(status, None, ConditionType::SpecValid, Status::False));
    let back = stage.ctl(&["rollback", "--yes"]);
    assert_eq!(back.code, Some(0), "{}", back.said);
    assert!(back.said.contains("the file on disk is not in force"), "{}", back.said);
    let on_disk = std::fs::read_to_string(stage.config()).expect("the file");
    assert_eq!(on_disk, stage.fill(&edited), "the one in force is back");
    let folder = stage.config().parent().expect("its folder").to_owned();
    let files = std::fs::read_dir(folder).expect("its folder").filter_map(Result::ok);
    let mut kept = files.filter(|it| it.file_name().to_string_lossy().contains(".yaml.refused-"));
    let kept = kept.next().expect("what was on disk is kept").path();
    assert_eq!(std::fs::read_to_string(kept).expect("it can be read"), "services: [\n");

    // An edit that changes nothing is part of what one goes back from.
    stage.save(&format!("{edited}\n# a note\n"));
    let apply = stage.ctl(&["apply", "--yes"]);
    assert_eq!(apply.code, Some(0), "{}", apply.said);
    let rollback = stage.ctl(&["rollback", "1", "--yes"]);
    assert_eq!(rollback.code, Some(0), "{}", rollback.said);
    assert!(rollback.said.contains("-    environment: {COLOUR: blue}"), "{}", rollback.said);
    assert!(rollback.said.contains("-# a note"), "{}", rollback.said);
    assert_eq!(std::fs::read_to_string(stage.config()).expect("the file"), first);
    stage.settled();
    let env = stage.container("db").expect("it exists")["Config"]["Env"].to_string();
    assert!(!env.contains("COLOUR"), "{env}");
    let nothing = stage.ctl(&["rollback", "77"]);
    assert_eq!(nothing.code, Some(4), "{}", nothing.said);
}

#[test]
fn a_program_runs_in_the_container_with_its_own_streams_and_exit_code() {
    let Some(stage) = Stage::ready_with(DB_AND_WEB) else { return };
    let exec = |argv: &[&str]| stage.exec("db", argv);
    let missing = exec(&["/no/such/program"]);
    assert!(missing.code.is_some_and(|code| code > 0), "{}", missing.said);
    let nobody = stage.ctl(&["exec", "nobody", "--", "x"]);
    assert_eq!(nobody.code, Some(4), "{}", nobody.said);
    assert_eq!(stage.ctl(&["exec", "db"]).code, Some(2), "nothing to run");
    let works = exec(&["/app", "get", "http://127.0.0.1:8080/ready"]);
    assert_eq!(works.code, Some(0), "{}", works.said);
    assert!(!works.said.trim().is_empty(), "its output is ours");
    let fails = exec(&["/app", "probe", "http://127.0.0.1:1/"]);
    assert!(fails.code.is_some_and(|code| code != 0), "{}", fails.said);
    assert!(until(PATIENCE, || stage.runs().contains_key("db")), "it runs on");
}

#[test]
fn the_graph_and_the_load_of_what_runs_are_printed() {
    let Some(stage) = Stage::ready_with(DB_AND_WEB) else { return };
    let graph = stage.ctl(&["graph"]);
    assert_eq!(graph.code, Some(0), "{}", graph.said);
    assert!(graph.said.contains("web Ready\n└─ db Ready (healthy)"), "{}", graph.said);
    let top = stage.ctl(&["top", "web"]);
    assert_eq!(top.code, Some(0), "{}", top.said);
    assert!(
        top.said.contains("MEMORY") && top.said.contains("web") && !top.said.contains("db"),
        "{}",
        top.said
    );
    let dot = stage.ctl(&["graph", "-o", "dot"]);
    assert!(dot.said.contains("\"web\" -> \"db\" [label=\"healthy\"]"), "{}", dot.said);
}
