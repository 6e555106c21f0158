//! Every verb that asks the daemon, through the binary, against a daemon that is played.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use aiplat_api::v1::{ApplyReply, ApplyRequest, DiffReply, DiffRequest, EventType, LogRecord, StatusDoc};
use aiplat_core::{
    ResourceId,
    condition::{ConditionType, Reason, Status, Word},
    preview::{Preview, PreviewedAction, Wave},
};

use crate::support::{
    docs::{self, ago, event},
    server::Server,
    tool::{Run, command, finish, run},
};

/// A file that every loader takes.
pub(crate) const PLATFORM: &str =
    "apiVersion: aiplat/v1\nname: home-ai\nservices:\n  redis: {image: redis:7}\n";

#[track_caller]
pub(crate) fn check(run: &Run, code: i32, out: &[&str], err: &[&str]) {
    assert_eq!(run.code, Some(code), "{run:#?}");
    for part in out {
        assert!(run.out.contains(part), "stdout lacks {part:?}: {run:#?}");
    }
    for part in err {
        assert!(run.err.contains(part), "stderr lacks {part:?}: {run:#?}");
    }
    assert!(!run.out.contains('\u{1b}') && !run.err.contains('\u{1b}'), "a pipe has no colours: {run:#?}");
}

fn one_action() -> Preview {
    let action = PreviewedAction {
        resource: ResourceId::container("redis"),
        verb: "create".to_owned(),
        action: "create container home-ai-redis".to_owned(),
        cause: "it does not exist".to_owned(),
        interrupts: None,
    };
    Preview { waves: vec![Wave { actions: vec![action] }], ..Preview::default() }
}

#[test]
fn get_lists_every_kind_in_every_format() {
    let server = Server::new(docs::broken());
    check(&server.run(&["get", "services"]), 0, &["open-webui", "Pending", "0.0.0.0:3000 (LAN)"], &[]);
    check(&server.run(&["get", "svc", "-o", "wide"]), 0, &["IMAGE", "ghcr.io/berriai"], &[]);
    check(&server.run(&["get", "ctr", "-o", "name"]), 0, &["container/litellm\n"], &[]);
    check(&server.run(&["get", "images"]), 0, &["1.5 GiB of 4.0 GiB (37%)"], &[]);
    check(&server.run(&["get", "vol"]), 0, &["home-ai_pgdata", "no longer in the file"], &[]);
    check(&server.run(&["get", "networks"]), 0, &["home-ai_default"], &[]);
    check(&server.run(&["get", "gates"]), 0, &["CoreReady", "NotReady"], &[]);
    check(&server.run(&["get", "ev"]), 0, &["RECOVERY_NEEDED"], &[]);
    check(&server.run(&["get", "endpoints"]), 0, &["this machine"], &[]);
    check(&server.run(&["get", "svc/redis", "-o", "yaml"]), 0, &["name: redis", "status: Ready"], &[]);
    let json = server.run(&["get", "services", "redis", "postgres", "-o", "json"]);
    check(&json, 0, &[], &[]);
    let value: serde_json::Value = serde_json::from_str(&json.out).expect("it is JSON");
    assert_eq!(value.as_array().map(Vec::len), Some(2));
}

#[test]
fn a_name_that_nothing_has_is_4_with_the_nearest() {
    let server = Server::new(docs::broken());
    check(
        &server.run(&["get", "services", "litelm"]),
        4,
        &[],
        &["there is no `service/litelm`", "`litellm`"],
    );
    check(&server.run(&["describe", "opn-webui"]), 4, &[], &["did you mean `open-webui`?"]);
    check(&server.run(&["why", "gate/CoreRedy"]), 4, &[], &["did you mean `CoreReady`?"]);
    check(&server.run(&["is-ready", "nothing-like-it"]), 4, &[], &["there are: "]);
    check(&server.run(&["logs", "reds"]), 4, &[], &["did you mean `redis`?"]);
    check(&server.run(&["wait", "reds"]), 4, &[], &["did you mean `redis`?"]);
    check(&server.run(&["get"]), 2, &[], &["the kinds are services, ", "`aiplatctl get services`"]);
    check(&server.run(&["events", "--for", "reds"]), 4, &[], &["did you mean `redis`?"]);
}

#[test]
fn usage_is_2_and_foreign_words_are_answered() {
    let server = Server::new(docs::well());
    check(&server.run(&["get", "servces"]), 2, &[], &["did you mean `services`?"]);
    check(&server.run(&["ps", "-a"]), 2, &[], &["`aiplatctl get services`"]);
    check(&server.run(&["up", "-d"]), 2, &[], &["`aiplatctl apply --wait`"]);
    check(&server.run(&["down"]), 2, &[], &["`aiplatctl edit`"]);
    check(&server.run(&["descrbe", "x"]), 2, &[], &["did you mean `aiplatctl describe`?"]);
    check(&server.run(&["wait", "redis", "--for=condition=Redy"]), 2, &[], &["`Redy` is no condition"]);
    for word in ["ps", "up", "down"] {
        assert_eq!(server.run(&[word]).err.lines().count(), 1, "{word} is answered in one line");
    }
}

#[test]
fn status_is_3_unless_all_is_ready() {
    let server = Server::new(docs::broken());
    check(&server.run(&["status"]), 3, &["home-ai  NotReady", "Not well"], &[]);
    check(&server.run(&["status", "litellm"]), 3, &["CrashLoop since"], &[]);
    check(&server.run(&["status", "redis"]), 0, &["redis  Ready"], &[]);
    check(&server.run(&["status", "gate/CoreReady"]), 3, &["Members"], &[]);
    *server.state() = well_state(&server);
    check(&server.run(&["status"]), 0, &["home-ai  Ready"], &[]);
}

fn well_state(server: &Server) -> crate::support::server::State {
    let state = server.state();
    crate::support::server::State {
        pull: aiplat_api::v1::PullReply::default(),
        history: Vec::new(),
        texts: std::collections::BTreeMap::new(),
        doc: docs::well(),
        diff: state.diff.clone(),
        apply: state.apply.clone(),
        logs: state.logs.clone(),
        asked: Vec::new(),
        after_apply: None,
        systemd: None,
        refused: None,
        refusal_of_models: None,
        refusal: None,
    }
}

#[test]
fn why_prints_the_chain() {
    let server = Server::new(docs::broken());
    let chain = "open-webui waits for litellm · litellm waits for postgres · postgres StorageReady=False: \
                 /srv/ai/postgres is owned by 0:0, needs 999:999\n";
    let run = server.run(&["why", "open-webui"]);
    assert_eq!((run.code, run.out.as_str()), (Some(0), chain));
    check(&server.run(&["why"]), 0, &[chain, "ollama Degraded: on CPU"], &[]);
    check(&server.run(&["why", "redis"]), 0, &["redis is Ready since"], &[]);
    check(&server.run(&["why", "open-webui", "-o", "json"]), 0, &["\"status\": \"Pending\""], &[]);
}

#[test]
fn is_ready_is_an_exit_code() {
    let server = Server::new(docs::broken());
    let ready = server.run(&["is-ready", "redis"]);
    assert_eq!((ready.code, ready.out.as_str(), ready.err.as_str()), (Some(0), "", ""));
    let not = server.run(&["is-ready", "open-webui"]);
    check(&not, 3, &[], &["open-webui is not ready: open-webui waits for litellm"]);
    assert_eq!(not.err.lines().count(), 1);
    check(&server.run(&["is-ready"]), 3, &[], &["home-ai is not ready: 6 services"]);
    check(&server.run(&["is-ready", "container/migrate"]), 0, &[], &[]);
}

#[test]
fn events_are_filtered() {
    let mut doc = docs::broken();
    // Ages are of the real present here.
    let now = jiff::Timestamp::now().to_string();
    doc.events.push(event(6, 0, EventType::Warning, "VOLUME_LOST", "volume/pgdata", "it is gone"));
    doc.events[5].time = now;
    let server = Server::new(doc);
    let litellm = server.run(&["events", "--for", "litellm"]);
    check(&litellm, 0, &["RECOVERY_NEEDED"], &[]);
    assert!(!litellm.out.contains("redis"));
    let warnings = server.run(&["events", "--type", "warning", "--since", "1h"]);
    check(&warnings, 0, &["VOLUME_LOST"], &[]);
    assert!(!warnings.out.contains("HEALTH_SUCCESS"));
    check(&server.run(&["events", "--for", "volume/pgdata", "-o", "json"]), 0, &["it is gone"], &[]);
    check(&server.run(&["events", "--for", "migrate"]), 0, &[], &["no such events"]);
    // What the column OBJECT says can be asked for.
    let systemd = aiplat_core::ResourceId::systemd();
    server.change(|doc| doc.resources.push(docs::resource(systemd.clone(), "systemd", &[])));
    check(&server.run(&["events", "--for", &systemd.to_string()]), 0, &[], &["no such events"]);
    let reload = event(7, 0, EventType::Normal, "RELOAD", &systemd.to_string(), "systemd has read them");
    server.change(|doc| doc.events.push(reload.clone()));
    check(&server.run(&["events", "--for", &systemd.to_string()]), 0, &["systemd has read them"], &[]);
}

#[test]
fn events_are_followed() {
    let server = Server::new(docs::broken());
    let watch = server.start(&["events", "-w", "--for", "redis"]);
    let first: Vec<String> = (0..4).map(|_| watch.line()).collect();
    assert!(first[0].starts_with("TIME") && first[3].contains("HEALTH_SUCCESS"), "{first:?}");
    server.change(|doc| {
        doc.events.push(event(6, 0, EventType::Normal, "OTHER", "container/litellm", "not asked for"));
        doc.events.push(event(7, 0, EventType::Warning, "HEALTH_FAILED", "container/redis", "again"));
    });
    assert!(watch.line().contains("again"));
    assert_eq!(watch.interrupt(), Some(130));
}

#[test]
fn a_watch_in_a_pipe_appends_what_changed() {
    let server = Server::new(docs::broken());
    let watch = server.start(&["get", "services", "-w"]);
    let first: Vec<String> = (0..7).map(|_| watch.line()).collect();
    assert!(first[0].starts_with("NAME") && first[6].starts_with("redis"), "{first:?}");
    server.change(|doc| doc.services[4].status = Word::Starting);
    let line = watch.line();
    assert!(line.starts_with("postgres") && line.contains("Starting"), "{line}");
    server.change(|doc| doc.services[4].since = Some(ago(0)));
    server.change(|doc| doc.services[5].status = Word::NotReady);
    assert!(watch.line().starts_with("redis"), "an age alone is no news");
    assert_eq!(watch.interrupt(), Some(130));
}

#[test]
fn wait_ends_when_the_condition_holds() {
    let server = Server::new(docs::broken());
    check(&server.run(&["wait", "service/redis"]), 0, &["condition met"], &[]);
    check(&server.run(&["wait", "litellm", "--for=condition=CrashLoop"]), 0, &["litellm condition met"], &[]);
    check(&server.run(&["wait", "litellm", "--for=condition=Ready=False"]), 0, &[], &[]);
    let late = server.run(&["wait", "open-webui", "redis", "--timeout", "1s"]);
    check(
        &late,
        1,
        &["redis condition met"],
        &["has not become Ready=True within 1s: open-webui waits for litellm"],
    );
    let wait = server.start(&["wait", "open-webui", "--timeout=60s"]);
    server.change(|doc| {
        doc.services[3].status = Word::Ready;
        doc.services[3].conditions[0].condition.status = Status::True;
    });
    assert_eq!(wait.line(), "open-webui condition met");
    assert_eq!(wait.wait(), Some(0));
}

#[test]
fn logs_are_interleaved_by_time_and_harmless() {
    let server = Server::new(docs::broken());
    let record = |service: &str, second: u32, text: &str| LogRecord {
        service: service.to_owned(),
        time: format!("2026-11-20T11:00:{second:02}.5Z"),
        stderr: false,
        text: text.to_owned(),
    };
    let redis = vec![record("redis", 1, "one"), record("redis", 3, "three\u{1b}[2J\u{7}")];
    let webui = vec![record("open-webui", 2, "two"), record("open-webui", 4, "four")];
    server.state().logs = [("redis".to_owned(), redis), ("open-webui".to_owned(), webui)].into();
    let both = server.run(&["logs", "redis", "svc/open-webui"]);
    check(&both, 0, &[], &[]);
    assert_eq!(both.out, "redis      | one\nopen-webui | two\nredis      | three\nopen-webui | four\n");
    let one = server.run(&["logs", "redis", "-n", "5", "--since", "2026-11-20T10:00:00Z", "-t"]);
    assert_eq!(one.out.lines().next(), Some("2026-11-20T11:00:01.5Z one"));
    let asked = server.state().asked.last().cloned().expect("it was asked");
    assert_eq!(asked.0, "GET /v1/logs/redis?follow=false&tail=5&since=2026-11-20T10%3A00%3A00Z");
    check(
        &server.run(&["logs", "--failed"]),
        1,
        &["open-webui"],
        &["cannot read the log of litellm: litellm has no container yet"],
    );
}

#[test]
fn logs_are_followed_from_one_run_to_the_next() {
    let server = Server::new(docs::broken());
    let record = |second: u32, text: &str| LogRecord {
        service: "redis".to_owned(),
        time: format!("2026-11-20T11:00:{second:02}.5Z"),
        stderr: false,
        text: text.to_owned(),
    };
    let (one, two) = (record(1, "one"), record(1, "at the same time"));
    server.state().logs = [("redis".to_owned(), vec![one.clone(), two.clone()])].into();
    let run = |server: &Server, run: &str, state: &str, word: Word| {
        server.change(|doc| {
            let redis = doc.services.iter_mut().find(|it| it.name == "redis").expect("it is there");
            redis.status = word;
            redis.detail.run = Some(run.to_owned());
            redis.detail.state = Some(state.to_owned());
        });
    };
    run(&server, "first", "running", Word::Ready);
    let follow = server.start(&["logs", "-f", "redis"]);
    assert_eq!([follow.line(), follow.line()], ["one", "at the same time"]);
    run(&server, "first", "exited", Word::BackOff);
    server.state().logs = [("redis".to_owned(), vec![one, two, record(9, "again")])].into();
    run(&server, "second", "running", Word::Ready);
    assert_eq!(follow.line(), "again", "what was shown is not shown again");
    run(&server, "second", "exited", Word::Stopped);
    assert_eq!(follow.wait(), Some(0), "nobody starts it");
}

#[test]
fn diff_says_by_its_exit_code_whether_there_is_something() {
    let server = Server::new(docs::well());
    check(&server.run(&["diff"]), 0, &["Nothing to do"], &[]);
    server.state().diff.preview = one_action();
    check(&server.run(&["diff"]), 1, &["Wave 1", "container/redis", "it does not exist"], &[]);
    check(&server.run(&["diff", "-o", "json"]), 1, &["\"waves\""], &[]);
    let file = server.folder().join("new.yaml");
    fs::write(
        &file,
        format!("{PLATFORM}    env_file: redis.env\n")
            .replace("{image: redis:7}\n", "\n    image: redis:7\n"),
    )
    .expect("it is written");
    fs::write(server.folder().join("redis.env"), "A=1\n").expect("it is written");
    let path = file.to_str().expect("it is text");
    check(&server.run(&["diff", "-f", path]), 1, &["Wave 1"], &[]);
    let (_, body) = server.state().asked.last().cloned().expect("it was asked");
    let request: DiffRequest = serde_json::from_str(&body).expect("it is a request");
    let upload = request.file.expect("the file is sent");
    let names: Vec<&str> = upload.files.keys().filter_map(|path| path.rsplit('/').next()).collect();
    assert_eq!((upload.root.as_str(), names), (path, vec!["new.yaml", "redis.env"]));
    fs::write(&file, "servces: {}\n").expect("it is written");
    check(&server.run(&["diff", "-f", path]), 2, &[], &["servces"]);
    server.state().diff =
        DiffReply { invalid: true, report: "line 3 is wrong".to_owned(), ..DiffReply::default() };
    check(&server.run(&["diff"]), 2, &[], &["line 3 is wrong"]);
    server.state().refusal = Some((500, "the ledger is locked".to_owned()));
    check(&server.run(&["diff"]), 2, &[], &["the ledger is locked"]);
}

#[test]
fn apply_shows_the_plan_and_sends_the_file() {
    let server = Server::new(docs::well());
    server.state().diff.preview = one_action();
    server.state().apply = ApplyReply { generation: 5, ..ApplyReply::default() };
    let file = server.folder().join("new.yaml");
    fs::write(&file, PLATFORM).expect("it is written");
    let path = file.to_str().expect("it is text").to_owned();
    check(&server.run(&["apply", "-f", &path]), 0, &["container/redis", "Generation 5 is in force."], &[]);
    let (_, body) = server.state().asked.last().cloned().expect("it was asked");
    let request: ApplyRequest = serde_json::from_str(&body).expect("it is a request");
    assert_eq!(request, ApplyRequest { content: Some(PLATFORM.to_owned()), confirm: false });
    server.state().diff.needs_confirmation = Some("this removes 4 of 6 services".to_owned());
    let asked = server.state().asked.len();
    check(
        &server.run(&["apply", "-f", &path]),
        1,
        &["Needs --confirm: this removes 4"],
        &["Nothing was changed"],
    );
    assert_eq!(server.state().asked.len(), asked + 1, "only the plan was asked for");
    check(&server.run(&["apply", "-f", &path, "--confirm"]), 0, &["Generation 5"], &[]);
    fs::write(&file, "services: []\n").expect("it is written");
    check(&server.run(&["apply", "-f", &path]), 2, &[], &["services"]);
    server.state().refusal = Some((403, "only root may apply".to_owned()));
    check(&server.run(&["apply"]), 1, &[], &["only root may apply"]);
}

#[test]
fn a_file_that_is_not_there_is_refused_before_anything_is_planned() {
    let server = Server::new(docs::well());
    let missing = server.folder().join("nowhere.yaml").display().to_string();
    server.state().doc.platform.config.clone_from(&missing);
    let run = server.run(&["apply", "--yes"]);
    check(&run, 2, &[], &[&format!("{missing} does not exist"), "aiplatctl apply -f FILE"]);
    check(&server.run(&["apply", "--yes", "-f", &missing]), 2, &[], &[&missing, "does not exist"]);
    assert!(server.state().asked.is_empty(), "no plan was asked for: {:?}", server.state().asked);
}

#[test]
fn apply_says_when_it_asks() {
    let server = Server::new(docs::well());
    check(&server.run(&["apply", "--help"]), 0, &["without one (a script, a pipe, cron)"], &[]);
}

#[test]
fn apply_waits_for_its_own_generation() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), PLATFORM).expect("it is written");
    let config = file.path().display().to_string();
    let at = |generation: u64, word: Word| -> StatusDoc {
        let mut doc = docs::well();
        doc.platform.generation = generation;
        doc.platform.config.clone_from(&config);
        for service in &mut doc.services {
            service.status = word;
            service.conditions[0].condition.status = Status::of(word == Word::Ready);
            service.conditions[0].observed_generation = generation;
        }
        doc.resources[0].moving = word == Word::Starting;
        doc
    };
    let server = Server::new(at(4, Word::Ready));
    server.state().apply = ApplyReply { generation: 5, ..ApplyReply::default() };
    server.state().after_apply = Some(at(5, Word::Starting));
    let apply = server.start(&["apply", "--wait", "--timeout", "60s"]);
    let lines: Vec<String> = (0..2).map(|_| apply.line()).collect();
    assert_eq!(lines[1], "Generation 5 is in force.");
    server.change(|doc| *doc = StatusDoc { version: doc.version, ..at(5, Word::Ready) });
    assert!(apply.line().starts_with("2 services Ready after"), "{:?}", apply.rest());
    assert_eq!(apply.wait(), Some(0));
    // All answer, and one has yet to follow another.
    let mut follows = at(5, Word::Ready);
    follows.resources[0].moving = true;
    let (id, left) = (follows.resources[0].id.to_string(), "the old one is still there");
    left.clone_into(&mut follows.resources[0].message);
    server.state().after_apply = Some(follows);
    let run = server.run(&["apply", "--wait", "--timeout=1s"]);
    check(&run, 1, &[], &["not all is done within 1s", &format!("{id}: {left}")]);
    server.state().after_apply = Some(at(5, Word::Starting));
    check(
        &server.run(&["apply", "--wait", "--timeout=1s"]),
        1,
        &[],
        &["not all is done within 1s", "Starting"],
    );
    server.state().after_apply = Some(at(5, Word::Failed));
    check(&server.run(&["apply", "--wait", "--timeout=60s"]), 1, &[], &["nothing left to wait for"]);
    // It is tried again for ever.
    server.state().after_apply = Some(at(5, Word::CrashLoop));
    check(&server.run(&["apply", "--wait", "--timeout=60s"]), 1, &[], &["nothing left to wait for"]);
}

/// An editor that replaces the file by another one.
fn editor(folder: &Path, text: &str) -> String {
    let (script, new) = (folder.join("editor"), folder.join("edited.yaml"));
    fs::write(&new, text).expect("it is written");
    fs::write(&script, format!("#!/bin/sh\ncp {} \"$1\"\n", new.display())).expect("it is written");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("it is ours");
    script.to_str().expect("it is text").to_owned()
}

#[test]
fn edit_loses_nothing() {
    let server = Server::new(docs::well());
    let config = server.folder().join("platform.yaml");
    fs::write(&config, PLATFORM).expect("it is written");
    server.state().doc.platform.config = config.to_str().expect("it is text").to_owned();
    server.state().diff.preview = one_action();
    server.state().apply = ApplyReply { generation: 5, ..ApplyReply::default() };
    let edit = |text: &str, args: &[&str]| {
        let mut command = command(&server.socket(), server.folder(), args);
        command
            .env("PATH", "/usr/bin:/bin")
            .env("VISUAL", editor(server.folder(), text))
            .env("TMPDIR", server.folder());
        finish(command)
    };
    check(&edit(PLATFORM, &["edit"]), 2, &[], &["there is no terminal to ask on"]);
    check(&edit(PLATFORM, &["edit", "--yes"]), 0, &[], &["Nothing was changed"]);
    let new = PLATFORM.replace("redis:7", "redis:8");
    check(
        &edit(&new, &["edit", "--yes"]),
        0,
        &["-  redis: {image: redis:7}\n+  redis: {image: redis:8}", "Wave 1", "Generation 5"],
        &[],
    );
    let (_, body) = server.state().asked.last().cloned().expect("it was asked");
    assert!(body.contains("redis:8"));
    let broken = edit("servces: {}\n", &["edit", "--yes"]);
    check(&broken, 2, &[], &["servces", "What you wrote is kept in "]);
    let kept =
        broken.err.split("kept in ").nth(1).and_then(|rest| rest.split(".yaml").next()).expect("it is named");
    assert_eq!(fs::read_to_string(format!("{kept}.yaml")).expect("it is there"), "servces: {}\n");
    server.state().refusal = Some((403, "only root may apply".to_owned()));
    check(&edit(&new, &["edit", "--yes"]), 1, &[], &["only root may apply"]);
}

#[test]
fn version_names_all_four() {
    let server = Server::new(docs::well());
    check(
        &server.run(&["version"]),
        0,
        &["aiplatctl  0.1.0 (API v1)", "aiplatd    0.1.0 (API v1)", "Docker 20.10.24"],
        &[],
    );
    check(
        &server.run(&["version", "-o", "json"]),
        0,
        &["\"client\": \"0.1.0\"", "\"daemon\": \"0.1.0\""],
        &[],
    );
}

#[test]
fn without_the_daemon_the_last_state_is_shown_as_such() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let socket = folder.path().join("none.sock");
    let run = |args: &[&str]| run(&socket, folder.path(), args);
    let unreachable = ["aiplatd is not reachable", "there is no socket at", "systemctl start aiplatd"];
    check(&run(&["get", "services"]), 5, &[], &unreachable);
    check(&run(&["get", "services"]), 5, &[], &["status.json does not exist"]);
    let mut doc = docs::broken();
    doc.time = (jiff::Timestamp::now() - jiff::SignedDuration::from_mins(3)).to_string();
    let json = serde_json::to_vec(&doc).expect("it is JSON");
    fs::write(folder.path().join("status.json"), json).expect("it is written");
    let stale = ["showing what it last wrote 3m ago"];
    check(&run(&["get", "services"]), 5, &["litellm"], &stale);
    check(&run(&["get", "services", "-o", "json"]), 5, &["litellm"], &stale);
    check(&run(&["describe", "litellm"]), 5, &["home-ai-litellm"], &stale);
    check(&run(&["status"]), 5, &["NotReady"], &stale);
    check(&run(&["why", "open-webui"]), 5, &["waits for litellm"], &stale);
    check(&run(&["graph"]), 5, &["litellm"], &stale);
    check(&run(&["events"]), 5, &["DEPLOY_START"], &stale);
    for args in
        [&["diff"][..], &["apply"], &["logs", "redis"], &["is-ready"], &["wait", "redis"], &["edit", "--yes"]]
    {
        check(&run(args), 5, &[], &["aiplatd is not reachable"]);
    }
    check(&run(&["version"]), 5, &["aiplatctl  0.1.0"], &["aiplatd is not reachable"]);
    fs::write(folder.path().join("status.json"), "{").expect("it is written");
    check(&run(&["status"]), 5, &[], &["is not what this version writes"]);
}

#[test]
fn each_way_of_being_away_has_its_sentence() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let dead = folder.path().join("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&dead).expect("it binds"));
    let run = |socket: &Path| run(socket, folder.path(), &["version"]);
    check(&run(&dead), 5, &[], &["nobody listens at", "journalctl -u aiplatd"]);
    let below = folder.path().join("dead.sock/x.sock");
    check(&run(&below), 5, &[], &["cannot connect to", "--socket"]);
}

#[test]
fn a_daemon_that_speaks_otherwise_is_no_panic() {
    let server = Server::new(docs::well());
    server.state().refusal = Some((500, "a mistake of ours".to_owned()));
    check(&server.run(&["status"]), 1, &[], &["a mistake of ours"]);
    server.state().refusal = Some((200, "no document".to_owned()));
    check(&server.run(&["status"]), 1, &[], &["cannot be read", "aiplatctl version"]);
}

#[test]
fn what_was_seen_before_the_engine_went_away_is_3_and_said_to_be_old() {
    let server = Server::new(docs::well());
    let message = "the engine does not answer: it is being restarted";
    server.change(|doc| {
        let (kind, reason) = (ConditionType::DockerReachable, Reason::EngineUnreachable);
        doc.platform.conditions.push(docs::condition(kind, Status::False, reason, message, 1));
    });
    let old = ["the engine does not answer: it is being restarted; what is shown is what was last seen"];
    check(&server.run(&["get", "services"]), 3, &["postgres"], &old);
    check(&server.run(&["why", "postgres"]), 3, &["postgres is Ready"], &old);
    check(&server.run(&["describe", "postgres"]), 3, &["postgres"], &old);
    check(&server.run(&["events"]), 0, &[], &old);
}
