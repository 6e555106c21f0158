//! The verbs that change how a service is kept: hands off, updates, the way back; and the graph.

use std::time::{Duration, Instant};

use aiplat_api::v1::{
    ApplyReply, PruneRequest, PullReply, RevisionInfo, RevisionText, RollbackRequest, StatusDoc,
};
use aiplat_core::condition::{Condition, ConditionType, Reason, Status, Word};

use crate::{
    support::{docs, server::Server, tool::Run},
    verbs::check,
};

/// The service at `index` is suspended, and says so.
fn suspend(server: &Server, index: usize) {
    server.change(|doc| {
        let it = &mut doc.services[index];
        it.status = Word::Suspended;
        it.message = "suspended by uid 0; `aiplatctl resume redis` ends it".to_owned();
        let mut condition = it.conditions[0].clone();
        condition.condition = Condition {
            kind: ConditionType::Suspended,
            status: Status::True,
            reason: Reason::Suspended,
            message: it.message.clone(),
        };
        it.conditions.push(condition);
    });
}

#[test]
fn suspend_says_who_and_resume_waits_until_it_is_over() {
    let server = Server::new(docs::broken());
    let index = server.state().doc.services.iter().position(|it| it.name == "redis").expect("it is there");
    suspend(&server, index);
    let run = server.run(&["suspend", "redis", "--for", "2h"]);
    check(&run, 0, &["redis Suspended  suspended by uid 0"], &[]);
    assert_eq!(server.state().asked.last().expect("asked").0, "POST /v1/services/redis/suspend?for=7200");
    let resume = server.start(&["resume", "redis"]);
    server.change(|doc| {
        doc.services[index].conditions.pop();
        doc.services[index].status = Word::Ready;
        doc.services[index].message.clear();
    });
    assert_eq!(resume.line(), "redis Ready");
    assert_eq!(resume.wait(), Some(0));
    check(&server.run(&["suspend"]), 2, &[], &["<NAME>..."]);
    check(&server.run(&["suspend", "reds"]), 4, &[], &["did you mean `redis`?"]);
    check(&server.run(&["suspend", "redis", "--for", "0s"]), 2, &[], &["a second or more"]);
    check(&server.run(&["release", "image/redis"]), 4, &[], &["there is no"]);
}

#[test]
fn pull_says_of_each_whether_its_tag_has_moved() {
    let server = Server::new(docs::well());
    let id = |digit: &str| Some(format!("sha256:{}", digit.repeat(64)));
    let image = "redis:7".to_owned();
    server.state().pull = PullReply { image, runs: id("a"), now: id("a"), moved: false, failure: None };
    check(&server.run(&["pull", "postgres"]), 0, &["postgres: redis:7 is what it runs (aaaaaaaaaaaa)"], &[]);
    server.state().pull.now = id("b");
    server.state().pull.moved = true;
    let moved = "means bbbbbbbbbbbb now, and it runs aaaaaaaaaaaa: `aiplatctl update postgres` moves to it";
    check(&server.run(&["pull", "postgres"]), 0, &[moved], &[]);
    server.state().pull.failure = Some("the registry does not answer".to_owned());
    check(&server.run(&["pull", "postgres"]), 1, &["the registry does not answer; on this machine"], &[]);
    let asked = server.state().asked.len();
    check(
        &server.run(&["update", "postgres", "--no-wait"]),
        0,
        &[],
        &["what its tag means on this machine is used"],
    );
    let orders: Vec<String> = server.state().asked[asked..].iter().map(|it| it.0.clone()).collect();
    assert_eq!(orders, ["POST /v1/services/postgres/pull", "POST /v1/services/postgres/update"]);
    let late = server.run(&["update", "postgres", "--timeout", "1s"]);
    check(&late, 3, &[], &["not within 1s: postgres", "the order is kept"]);
}

#[test]
fn history_lists_and_compares_and_rollback_goes_to_the_one_before() {
    let server = Server::new(docs::well());
    let file = "apiVersion: aiplat/v1\nname: home-ai\nservices:\n  redis: {image: redis:7}\n";
    {
        let mut state = server.state();
        for revision in [3, 4] {
            let (change, in_force) = ("redis (image)".to_owned(), revision == 4);
            let info =
                RevisionInfo { revision, time: docs::ago(5), change, in_force, ..RevisionInfo::default() };
            state.history.push(info);
            let text = file.replace("redis:7", &format!("redis:{revision}"));
            state
                .texts
                .insert(revision, RevisionText { revision, text, others: vec!["/etc/x/.env".to_owned()] });
        }
        state.apply = ApplyReply { generation: 5, ..ApplyReply::default() };
    }
    check(&server.run(&["history"]), 0, &["REVISION", "4 (in force)", "redis (image)"], &[]);
    check(
        &server.run(&["history", "3"]),
        0,
        &["-  redis: {image: redis:3}", "+  redis: {image: redis:4}"],
        &[".env"],
    );
    check(&server.run(&["history", "9"]), 4, &[], &["no revision 9"]);
    check(&server.run(&["rollback", "4"]), 0, &[], &["there is nothing to do"]);
    let back = server.run(&["rollback", "--yes"]);
    check(&back, 0, &["+  redis: {image: redis:3}", "Generation 5 is in force."], &["/etc/x/.env"]);
    let (path, body) = server.state().asked.last().cloned().expect("asked");
    let request: RollbackRequest = serde_json::from_str(&body).expect("a request");
    assert_eq!((path.as_str(), request.revision, request.confirm), ("POST /v1/rollback", 3, false));
    server.state().history.remove(0);
    check(&server.run(&["rollback"]), 1, &[], &["no earlier file"]);
}

#[test]
fn prune_shows_what_is_left_and_removes_a_volume_only_by_name_and_with_a_word() {
    let server = Server::new(docs::well());
    server.change(|doc| {
        let old = doc.resources.iter_mut().find(|it| it.host_name == "home-ai_old");
        old.expect("it is there").message = "its data stays".to_owned();
    });
    let list = server.run(&["prune"]);
    check(&list, 0, &["volume/old: its data stays\n    aiplatctl prune --volume home-ai_old"], &[]);
    assert!(!list.out.contains("home-ai_pgdata"), "it is in the file: {}", list.out);
    let named = ["prune", "--volume", "home-ai_old"];
    check(&server.run(&named), 2, &[], &["nothing was changed", "--yes"]);

    let requests = |server: &Server| -> Vec<PruneRequest> {
        let asked = std::mem::take(&mut server.state().asked);
        asked.iter().map(|(_, body)| serde_json::from_str(body).expect("a request")).collect()
    };
    let request = |dry_run| PruneRequest { volumes: vec!["home-ai_old".to_owned()], dry_run };
    assert_eq!(requests(&server), [request(true)], "it is only looked at without a word");
    let dry = server.run(&[&named[..], &["--dry-run"]].concat());
    check(&dry, 0, &["would remove volume home-ai_old"], &[]);
    assert_eq!(requests(&server), [request(true)]);
    let yes = server.run(&[&named[..], &["--yes"]].concat());
    check(&yes, 0, &["removed volume home-ai_old and its data"], &[]);
    assert_eq!(requests(&server), [request(true), request(false)], "it is checked before it is done");

    server.state().refusal = Some((409, "volume `home-ai_old` stays: it is in the file".to_owned()));
    let refused = server.run(&[&named[..], &["--yes"]].concat());
    check(&refused, 1, &[], &["stays: it is in the file"]);
    server.state().refusal = None;
    server.change(|doc| doc.resources.retain(|it| it.desired));
    check(&server.run(&["prune", "--dry-run"]), 0, &["Nothing of ours is left over."], &[]);
}

#[test]
fn prune_says_what_still_waits_to_be_removed_by_itself() {
    let server = Server::new(docs::well());
    server.change(|doc| {
        let mut leaving = doc.resources[0].clone();
        leaving.id = aiplat_core::ResourceId::container("web");
        leaving.desired = false;
        leaving.message = "confirm with `aiplatctl apply --confirm`".to_owned();
        doc.resources.push(leaving);
    });
    let said = "removes it by itself:\n  container/web: confirm with `aiplatctl apply --confirm`";
    check(&server.run(&["prune"]), 0, &[said], &[]);
}

#[test]
fn the_graph_is_a_tree_with_state_and_a_picture_for_other_tools() {
    let server = Server::new(docs::broken());
    let tree = server.run(&["graph"]);
    check(&tree, 0, &["postgres Held (healthy, restart)", "redis Ready (started)"], &[]);
    let dot = server.run(&["graph", "-o", "dot"]);
    check(&dot, 0, &["digraph platform {", "\"litellm\" -> \"redis\" [label=\"started\"]"], &[]);
    check(&server.run(&["graph", "-o", "mermaid"]), 0, &["graph LR\n", "-->|\"healthy, restart\"|"], &[]);
}

#[test]
fn exec_wants_a_program_and_a_service_that_runs() {
    let server = Server::new(docs::broken());
    check(&server.run(&["exec", "redis"]), 2, &[], &["ARGV"]);
    check(
        &server.run(&["exec", "litellm", "--", "sh"]),
        3,
        &[],
        &["litellm does not run", "aiplatctl why litellm"],
    );
    server.change(|doc| {
        let it = doc.services.iter_mut().find(|it| it.name == "litellm").expect("it is there");
        it.detail.state = Some("running".to_owned());
    });
    let run = server.run(&["exec", "--docker-socket", "/nowhere/docker.sock", "litellm", "--", "sh"]);
    check(&run, 1, &[], &["cannot reach the engine at /nowhere/docker.sock", "--docker-socket"]);
}

#[test]
fn a_start_that_waits_for_what_somebody_has_stopped_says_so_at_once() {
    let server = Server::new(docs::well());
    let stopped = "uid 0 stopped it with `aiplatctl stop redis`; `aiplatctl start redis` starts it";
    server.change(|doc| {
        let id = aiplat_core::ResourceId::container("postgres");
        doc.resources.push(docs::resource(id, "home-ai-postgres", &["postgres"]));
        let it = doc.services.iter_mut().find(|it| it.name == "postgres").expect("it is there");
        it.status = Word::Pending;
        it.message = "waits for redis".to_owned();
        it.why = vec!["postgres waits for redis".to_owned(), format!("redis Started=False: {stopped}")];
    });
    let run = server.run(&["start", "postgres", "--timeout", "60s"]);
    let said = format!("postgres waits for redis · redis Started=False: {stopped}");
    check(&run, 1, &[], &[&said, "the order is kept: postgres starts by itself"]);
    let stop = server.run(&["stop", "postgres", "--timeout", "60s"]);
    check(&stop, 1, &[], &["the order is kept: postgres is not started once that is cured"]);
    // On its way, it is waited for.
    server.change(|doc| {
        let it = doc.resources.iter_mut().find(|it| it.host_name == "home-ai-postgres");
        it.expect("it is there").moving = true;
    });
    check(
        &server.run(&["start", "postgres", "--timeout", "1s"]),
        3,
        &[],
        &["not within 1s", "waits for redis"],
    );
}

#[test]
fn an_order_that_cannot_be_carried_out_ends_at_once_and_keeps_no_other_from_it() {
    let server = Server::new(docs::well());
    let why = "nothing is done to postgres before this is mended: the place of the drop-in is taken";
    server.state().refused = Some(("postgres".to_owned(), why.to_owned()));
    check(&server.run(&["restart", "postgres", "--timeout", "60s"]), 1, &[], &[&format!("error: {why}")]);
    let both = server.run(&["start", "postgres", "open-webui", "--timeout", "60s"]);
    check(&both, 1, &["open-webui Ready"], &[&format!("postgres: {why}")]);
    let asked: Vec<String> = server.state().asked.iter().map(|(what, _)| what.clone()).collect();
    assert_eq!(asked.last().map(String::as_str), Some("POST /v1/services/open-webui/start"));
}

#[test]
fn what_has_no_image_and_no_engine_is_left_out_of_all_with_a_word() {
    let server = Server::new(docs::well());
    server.change(|doc| {
        let id = aiplat_core::ResourceId::unit("open-webui");
        doc.resources.push(docs::resource(id, "open-webui.service", &[]));
        let (kind, reason) = (ConditionType::Suspended, Reason::Released);
        doc.services[1].conditions.push(docs::condition(kind, Status::True, reason, "released", 1));
    });
    for verb in ["pull", "update", "release"] {
        let asked = server.state().asked.len();
        let run = server.run(&[verb, "--all"]);
        assert!(
            run.err.contains(&format!(
                "open-webui is a unit of systemd, and left out: `{verb}` is for containers"
            )),
            "{run:#?}"
        );
        let state = server.state();
        let of_unit = state.asked[asked..].iter().filter(|(what, _)| what.contains("/open-webui/")).count();
        let of_postgres = state.asked[asked..].iter().filter(|(what, _)| what.contains("/postgres/")).count();
        assert_eq!((of_unit, of_postgres), (0, 1), "{verb}: {:?}", state.asked);
    }
}

#[test]
fn reset_failed_says_what_it_has_come_to() {
    let server = Server::new(docs::broken());
    let held = server.run(&["reset-failed", "litellm", "redis", "--no-wait"]);
    let out = ["litellm: what has failed is forgotten", "redis: there is nothing to reset, it is Ready"];
    check(&held, 0, &out, &[]);
    server.change(|doc| {
        let it = doc.services.iter_mut().find(|it| it.name == "redis").expect("it is there");
        it.status = Word::Stopped;
        it.message = "uid 0 stopped it; `aiplatctl start redis` starts it".to_owned();
    });
    let stopped = "redis: there is nothing to reset, it is stopped: uid 0 stopped it; `aiplatctl start redis` starts it";
    check(&server.run(&["reset-failed", "redis"]), 0, &[stopped], &[]);
}

/// Runs `args`, and changes the document once the order of `args` has been given.
fn after_the_order(server: &Server, args: &[&str], change: impl FnOnce(&mut StatusDoc)) -> Run {
    let asked = server.state().asked.len();
    std::thread::scope(|scope| {
        let run = scope.spawn(|| server.run(args));
        let deadline = Instant::now() + Duration::from_secs(30);
        while !server.state().asked[asked..].iter().any(|(what, _)| what.starts_with("POST /v1/services/")) {
            assert!(Instant::now() < deadline, "no order was given");
            std::thread::yield_now();
        }
        server.change(change);
        run.join().expect("it has run")
    })
}

#[test]
fn reset_failed_waits_for_what_is_tried_again() {
    let server = Server::new(docs::broken());
    let run = after_the_order(&server, &["reset-failed", "litellm", "--timeout", "30s"], |doc| {
        let it = doc.services.iter_mut().find(|it| it.name == "litellm").expect("it is there");
        (it.status, it.detail.run) = (Word::Ready, Some("another".to_owned()));
    });
    check(&run, 0, &["litellm: what has failed is forgotten", "litellm Ready"], &[]);
    let server = Server::new(docs::broken());
    let late = server.run(&["reset-failed", "litellm", "--timeout", "1s"]);
    check(&late, 3, &["what has failed is forgotten"], &["not within 1s"]);
}

#[test]
fn a_start_of_a_unit_that_is_done_at_once_is_done() {
    let server = Server::new(docs::well());
    let stopped = |run: &str, doc: &mut StatusDoc| {
        let it = doc.services.iter_mut().find(|it| it.name == "postgres").expect("it is there");
        let (kind, reason) = (ConditionType::Active, Reason::StoppedByAdministrator);
        it.conditions.push(docs::condition(kind, Status::False, reason, "it has ended by itself", 1));
        (it.status, it.detail.run) = (Word::Stopped, Some(run.to_owned()));
    };
    server.change(|doc| stopped("one", doc));
    let args = ["start", "postgres", "--timeout", "1s"];
    check(&server.run(&args), 3, &[], &["not within 1s"]);
    let run = after_the_order(&server, &["start", "postgres", "--timeout", "30s"], |doc| stopped("two", doc));
    check(&run, 0, &["postgres Stopped"], &[]);
}

#[test]
fn history_marks_what_was_taken_back_and_what_went_back() {
    let server = Server::new(docs::well());
    let info = |revision, back_to, taken_back: &[&str]| RevisionInfo {
        revision,
        time: docs::ago(5),
        change: "redis (image)".to_owned(),
        back_to,
        taken_back: taken_back.iter().map(|name| (*name).to_owned()).collect(),
        in_force: revision == 3,
        ..RevisionInfo::default()
    };
    server.state().history = vec![info(1, None, &[]), info(2, None, &["redis"]), info(3, Some(1), &[])];
    let rows = ["redis (image); taken back: redis", "back to revision 1, changing redis (image)"];
    check(&server.run(&["history"]), 0, &rows, &[]);
}

#[test]
fn rollback_from_a_broken_file_goes_back_to_the_one_in_force_and_keeps_the_text() {
    let server = Server::new(docs::well());
    let text = "apiVersion: aiplat/v1\nname: home-ai\nservices:\n  redis: {image: redis:7}\n".to_owned();
    server.change(|doc| {
        let (kind, reason) = (ConditionType::SpecValid, Reason::SpecInvalid);
        let message = "line 1 is no YAML; the last good file stays in force";
        doc.platform.conditions = vec![docs::condition(kind, Status::False, reason, message, 1)];
    });
    for revision in [3, 4] {
        let mut state = server.state();
        let info = RevisionInfo { revision, in_force: revision == 4, ..RevisionInfo::default() };
        state.history.push(info);
        state.texts.insert(revision, RevisionText { revision, text: text.clone(), others: Vec::new() });
    }
    let kept = "/etc/aiplatd/platform.yaml.refused-2026-11-20T12-00-00Z";
    server.state().apply = ApplyReply { generation: 4, kept: Some(kept.to_owned()), ..ApplyReply::default() };
    let run = server.run(&["rollback", "--yes"]);
    let notes = ["the file on disk is not in force (line 1 is no YAML", &format!("is kept in {kept}.")];
    check(&run, 0, &["Generation 4 is in force."], &notes);
    let (_, body) = server.state().asked.last().cloned().expect("asked");
    let request: RollbackRequest = serde_json::from_str(&body).expect("a request");
    assert_eq!(request.revision, 4, "what is on disk is what one goes back from");
}
