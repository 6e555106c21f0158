//! A changed service is changed in the cheapest way that does, and one of it runs at any time.

use aiplat_api::v1::StatusDoc;
use aiplat_core::condition::Word;
use serde_json::json;

use crate::harness::{
    PATIENCE, Stage, WEB_AND_OTHER, all_ready, engine::position, report, service, stage::Run, until,
};

fn renewed(stage: &Stage, old: &Run) -> bool {
    stage.runs().get("web").is_some_and(|run| run.id != old.id)
}

/// Edits, and checks with the engine's own events that `web` was replaced as it should be.
fn is_replaced(edit: impl Fn(&str) -> String) -> Option<Stage> {
    let mut stage = Stage::ready_with(WEB_AND_OTHER)?;
    let before = stage.runs();
    let old = &before["web"];
    let recorder = stage.engine.record(&stage.label());
    stage.put_in_force(&edit(WEB_AND_OTHER));
    let starting = stage.wait("the new one starts", |status| service(status, "web").status == Word::Starting);
    assert_eq!(service(&starting, "web").status, Word::Starting);
    assert!(stage.engine.inspect(&old.id).is_some(), "the old one is kept until the new one is Ready");
    let events = recorder.wait("the old one is removed", |events| {
        events.iter().any(|event| event.id == old.id && event.action == "destroy")
    });
    let status = stage.settled();
    let after = stage.runs();
    let new = &after["web"];
    assert_ne!(new.id, old.id);
    let at = |id: &str, action: &str| position(&events, id, action);
    assert!(
        at(&new.id, "create") < at(&old.id, "die"),
        "the new one is made beside the old one: {events:#?}"
    );
    assert!(at(&old.id, "die") < at(&new.id, "start"), "one of them runs at any time: {events:#?}");
    assert!(at(&new.id, "start") < at(&old.id, "destroy"), "the old one goes last: {events:#?}");
    assert_eq!(stage.container("web").expect("it bears the service's name")["Id"], json!(new.id));
    assert_eq!(stage.engine.containers(&stage.label()).len(), 2, "nothing is left over");
    assert_eq!(after["other"], before["other"], "the other one is not touched");
    assert_eq!(service(&status, "web").restarts, 0, "a replacement is no restart");
    Some(stage)
}

#[test]
fn a_changed_environment_replaces_the_container() {
    let Some(stage) = is_replaced(|yaml| yaml.replace("VALUE: a", "VALUE: b")) else { return };
    let env = &stage.container("web").expect("it is there")["Config"]["Env"];
    assert!(env.as_array().is_some_and(|env| env.contains(&json!("VALUE=b"))), "{env}");
}

#[test]
fn a_changed_image_replaces_the_container() {
    let edit = |yaml: &str| yaml.replacen("aiplat-demo:1", "aiplat-demo:2", 1);
    let Some(stage) = is_replaced(edit) else { return };
    assert_eq!(stage.container("web").expect("it is there")["Config"]["Image"], json!("aiplat-demo:2"));
}

#[test]
fn a_changed_port_replaces_the_container() {
    let Some(stage) = is_replaced(|yaml| yaml.replace("@port1", "@port2")) else { return };
    let port = stage.port("@port2");
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok(), "it answers at its new port {port}");
}

#[test]
fn an_edit_that_is_undone_while_it_is_made_ends_as_it_began() {
    let Some(mut stage) = Stage::ready_with(WEB_AND_OTHER) else { return };
    let before = stage.runs();
    stage.put_in_force(&WEB_AND_OTHER.replace("VALUE: a", "VALUE: b"));
    assert!(
        until(PATIENCE, || containers(&stage) == 3 || renewed(&stage, &before["web"])),
        "the replacement is made"
    );
    stage.put_in_force(WEB_AND_OTHER);
    ends_as_a(&mut stage);
}

#[test]
fn an_edit_that_is_undone_before_it_is_ready_ends_as_it_began() {
    let Some(mut stage) = Stage::ready_with(WEB_AND_OTHER) else { return };
    let before = stage.runs();
    stage.put_in_force(&WEB_AND_OTHER.replace("VALUE: a", "VALUE: b"));
    assert!(until(PATIENCE, || renewed(&stage, &before["web"])), "the replacement runs");
    stage.put_in_force(WEB_AND_OTHER);
    ends_as_a(&mut stage);
}

fn containers(stage: &Stage) -> usize {
    stage.engine.containers(&stage.label()).len()
}

fn ends_as_a(stage: &mut Stage) {
    assert!(until(PATIENCE, || containers(stage) == 2), "nothing is left over: {:#?}", stage.runs());
    let status = stage.settled();
    assert_eq!(containers(stage), 2, "nothing is left over");
    let env = stage.container("web").expect("it bears the service's name")["Config"]["Env"].clone();
    assert!(env.as_array().is_some_and(|env| env.contains(&json!("VALUE=a"))), "{env}");
    let row = service(&status, "web");
    assert_eq!(
        (row.restarts, &row.detail.endings),
        (0, &vec![]),
        "who was stopped by us has not crashed: {row:#?}"
    );
}

/// Edits `web` into something that does not work: what served before serves again, and goes on to.
fn is_taken_back(edit: &str, why: &str) {
    let Some(mut stage) = Stage::ready_with(WEB_AND_OTHER) else { return };
    let before = stage.runs();
    let bad = WEB_AND_OTHER.replace(r#"command: ["serve", "READY_AFTER=400"]"#, edit);
    assert_ne!(bad, WEB_AND_OTHER);
    stage.put_in_force(&bad);
    let status = stage.wait("the edit is taken back", |status: &StatusDoc| {
        let web = service(status, "web");
        web.message.contains("was taken back") && web.status == Word::Degraded
    });
    assert!(service(&status, "web").message.contains(why), "{}", service(&status, "web").message);
    assert_eq!(stage.runs()["web"].id, before["web"].id, "the old one serves");
    assert_eq!(stage.runs()["other"], before["other"], "the other one is not touched");
    assert_eq!(stage.container("web").expect("it bears the service's name")["Id"], json!(before["web"].id));
    assert_eq!(containers(&stage), 2, "nothing is left over");

    let runs = stage.runs();
    stage.kill();
    stage.start();
    stage.wait("a new daemon knows it", |status: &StatusDoc| {
        service(status, "web").message.contains("was taken back")
    });
    assert_eq!(stage.runs(), runs, "it is not tried again");
    stage.put_in_force(WEB_AND_OTHER);
    stage.settled();
    assert_eq!(stage.runs(), runs, "undoing the edit is nothing to do");
}

#[test]
fn an_edit_that_never_answers_is_taken_back() {
    let never = "command: [\"serve\", \"READY_AFTER=3600000\"]\n    stop_grace_period: 1s";
    is_taken_back(never, "it was not ready within");
}

#[test]
fn an_edit_whose_program_is_missing_is_taken_back() {
    is_taken_back("entrypoint: [\"/no/such/program\"]", "/no/such/program");
}

#[test]
fn an_edit_that_crashes_is_taken_back() {
    is_taken_back(r#"command: ["crash", "CRASH_AFTER=100", "EXIT_CODE=3"]"#, "times in a row");
}

#[test]
fn a_changed_network_is_connected_and_disconnected_live() {
    let Some(mut stage) = Stage::ready_with(WEB_AND_OTHER) else { return };
    let before = stage.runs();
    let networks = |stage: &Stage| -> Vec<String> {
        let inspect = stage.container("web").unwrap_or_default();
        let networks = inspect["NetworkSettings"]["Networks"].as_object().cloned().unwrap_or_default();
        networks.keys().map(|name| name.trim_start_matches(&format!("{}_", stage.name)).to_owned()).collect()
    };
    stage.put_in_force(&WEB_AND_OTHER.replacen("networks: [default]", "networks: [default, side]", 1));
    assert!(until(PATIENCE, || networks(&stage) == ["default", "side"]), "{:?}", networks(&stage));
    stage.settled();
    assert_eq!(stage.runs(), before, "nobody is restarted for a connection");
    stage.put_in_force(WEB_AND_OTHER);
    assert!(until(PATIENCE, || networks(&stage) == ["default"]), "{:?}", networks(&stage));
    stage.settled();
    assert_eq!(stage.runs(), before, "nobody is restarted for a disconnection");
}

#[test]
fn a_network_whose_settings_or_name_change_is_made_anew_under_running_services() {
    let Some(mut stage) = Stage::ready_with(WEB_AND_OTHER) else { return };
    let before = stage.runs();
    let networks = |stage: &Stage| stage.engine.networks(&stage.label());
    let connected = |stage: &Stage, network: &str| {
        let on = |service: &str| {
            let inspect = stage.container(service).unwrap_or_default();
            inspect["NetworkSettings"]["Networks"][network]["NetworkID"].as_str().map(str::to_owned)
        };
        [on("web"), on("other")]
    };
    let default = format!("{}_default", stage.name);
    let old = networks(&stage)[&default].clone();

    stage.put_in_force(&WEB_AND_OTHER.replace("default: {},", "default: {labels: {team: search}},"));
    let is_new = |stage: &Stage| networks(stage).get(&default).is_some_and(|id| *id != old);
    assert!(until(PATIENCE, || is_new(&stage)), "{:?}", networks(&stage));
    stage.settled();
    let new = Some(networks(&stage)[&default].clone());
    assert_eq!(connected(&stage, &default), [new.clone(), new], "both came back");
    assert_eq!(stage.runs(), before, "nobody is restarted for a network");

    let own = format!("{}-own", stage.name);
    stage.put_in_force(&WEB_AND_OTHER.replace("default: {},", &format!("default: {{name: {own}}},")));
    assert!(until(PATIENCE, || networks(&stage).contains_key(&own)), "{:?}", networks(&stage));
    assert!(until(PATIENCE, || !networks(&stage).contains_key(&default)), "{:?}", networks(&stage));
    stage.settled();
    let new = Some(networks(&stage)[&own].clone());
    assert_eq!(connected(&stage, &own), [new.clone(), new], "both have moved");
    assert_eq!(stage.runs(), before, "nobody is restarted for a network's name");
}

#[test]
fn a_second_network_of_one_name_is_removed() {
    let Some(mut stage) = Stage::ready_with(WEB_AND_OTHER) else { return };
    let default = format!("{}_default", stage.name);
    let list = stage.engine.try_get("/networks").expect("the engine lists");
    let ours = list.as_array().and_then(|all| all.iter().find(|network| network["Name"] == json!(default)));
    let labels = ours.expect("it is there")["Labels"].clone();
    // What two creates around a SIGKILL leave; the engine checks for duplicates only when it is asked to.
    let twin = json!({"Name": default, "Labels": labels, "CheckDuplicate": false});
    let twin = stage.engine.post("/networks/create", &twin)["Id"].as_str().unwrap_or_default().to_owned();
    let is_gone = || stage.engine.try_get(&format!("/networks/{twin}")).is_none();
    assert!(until(PATIENCE, is_gone), "the one that nobody uses goes");
    stage.settled();
}

#[test]
fn a_changed_memory_limit_is_set_live() {
    let Some(mut stage) = Stage::ready_with(WEB_AND_OTHER) else { return };
    let before = stage.runs();
    let memory = |stage: &Stage| stage.container("web").unwrap_or_default()["HostConfig"]["Memory"].clone();
    assert_eq!(memory(&stage), json!(64 << 20));
    stage.put_in_force(&WEB_AND_OTHER.replace("memory: 64m", "memory: 96m"));
    assert!(until(PATIENCE, || memory(&stage) == json!(96 << 20)), "{}", memory(&stage));
    stage.settled();
    assert_eq!(stage.runs(), before, "nobody is restarted for a limit");
}

#[test]
fn a_replacement_whose_image_is_missing_leaves_the_old_one_and_is_not_called_ready() {
    let Some(mut stage) = Stage::ready_with(WEB_AND_OTHER) else { return };
    let before = stage.runs();
    let missing = WEB_AND_OTHER.replacen("aiplat-demo:1", "127.0.0.1:1/nowhere:1", 1);
    let status = stage.put_in_force(&missing);
    assert!(!all_ready(&status), "an edit that is not done is not Ready: {}", status.platform.sentence);
    let status = stage.wait("the missing image is named", |status: &StatusDoc| {
        service(status, "web").message.contains("127.0.0.1:1/nowhere:1")
    });
    assert_eq!(stage.runs(), before, "{:#?}", status.services);
    stage.kill();
    let once = stage.once();
    report(&format!("--once while an edit cannot be put in force: exit {:?}", once.code));
    assert_eq!(once.code, Some(3), "an edit that cannot be put in force is not success: {}", once.said);
}
