//! Models on a server that is slow, stalls, lacks them and fills up, under the real daemon.

use std::time::Duration;

use aiplat_core::{
    ResourceId,
    condition::{ConditionType, Status, Word},
    ledger::{Order, Orders},
    observed::{EngineSettings, FileSystem, PullProgress, Room},
    plan::{self, Entry},
    status,
};
use aiplat_tests::{
    build::{Sketch, service, sketch},
    lab::{Lab, simulate},
    sim::models::named,
};
use aiplatd::{models, status as document};

const SECOND: Duration = Duration::from_secs(1);
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

fn ollama() -> Sketch {
    sketch([service("ollama").probe()])
}

fn three() -> Sketch {
    ollama().model_on("ollama", "chat", "llama3.1:8b").model_on("ollama", "code", "codelama:13b").model_on(
        "ollama",
        "embed",
        "nomic-embed-text",
    )
}

/// The registry has them but for one whose name is wrong: a slow one of 500 seconds, and one of three.
fn lab(sketch: &Sketch) -> Lab {
    let lab = Lab::new(sketch, 1);
    lab.models.lock().offer("llama3.1:8b", 5_000 * MIB, 10 * MIB);
    lab.models.lock().offer("nomic-embed-text", 30 * MIB, 10 * MIB);
    lab
}

fn word(lab: &Lab, entry: &str) -> (Word, String) {
    let state = lab.shared().lock();
    let Some(world) = state.world(lab.host.now()) else { return (Word::Unknown, String::new()) };
    let id = ResourceId::model(entry);
    let summary = status::model_summary(&world, &id, &plan::plan(&world, &id));
    (summary.word, summary.message)
}

async fn becomes(lab: &Lab, entry: &str, wanted: Word, within: Duration) {
    let deadline = tokio::time::Instant::now() + within;
    while word(lab, entry).0 != wanted {
        assert!(
            tokio::time::Instant::now() < deadline,
            "{entry} is not {wanted}: {:?}\n{}",
            word(lab, entry),
            lab.story()
        );
        lab.pass(Duration::from_millis(200)).await;
    }
}

fn progress(lab: &Lab, entry: &str) -> Option<PullProgress> {
    lab.shared().lock().observed.pulls.get(&ResourceId::model(entry)).copied()
}

fn pulls(lab: &Lab, model: &str) -> usize {
    lab.models.lock().pulls.iter().filter(|(_, name)| *name == named(model)).count()
}

fn condition(lab: &Lab, id: &ResourceId, kind: ConditionType) -> (Status, String) {
    let state = lab.shared().lock();
    let world = state.world(lab.host.now()).expect("a file is in force");
    let found = plan::plan(&world, id).conditions.into_iter().find(|it| it.kind == kind).expect("it is said");
    (found.status, found.message)
}

fn room(lab: &Lab, free: u64) {
    let room = Some(Room { total: 100 * GIB, free, inodes: 0, inodes_free: 0 });
    lab.machine.change(|machine| {
        machine.file_systems.insert("/".to_owned(), FileSystem { room, ..FileSystem::default() });
    });
    let settings = EngineSettings { data_root: "/var/lib/docker".to_owned(), ..EngineSettings::default() };
    lab.host.by_hand(|engine| engine.settings = Some(settings));
}

#[test]
fn a_slow_one_and_one_that_does_not_exist_hold_up_nobody() {
    simulate(async {
        let mut lab = lab(&three());
        lab.boot();
        becomes(&lab, "embed", Word::Ready, 30 * SECOND).await;
        becomes(&lab, "code", Word::Failed, 30 * SECOND).await;
        assert_eq!(word(&lab, "chat").0, Word::Pulling);
        let seen = progress(&lab, "chat").expect("its bytes are known");
        lab.pass(10 * SECOND).await;
        let later = progress(&lab, "chat").expect("its bytes are known");
        assert!(seen.done < later.done && later.total == 5_000 * MIB, "{seen:?} {later:?}");
        let (present, said) = condition(&lab, &ResourceId::container("ollama"), ConditionType::ModelsPresent);
        assert_eq!(present, Status::False);
        assert!(said.starts_with("1 of 3 models: llama3.1:8b is being pulled, "), "{said}");
        assert_eq!(condition(&lab, &ResourceId::container("ollama"), ConditionType::Ready).0, Status::True);

        becomes(&lab, "chat", Word::Ready, 600 * SECOND).await;
        lab.pass(1_000 * SECOND).await;
        assert_eq!(pulls(&lab, "codelama:13b"), 1, "what does not exist is not asked for again");
        assert_eq!((pulls(&lab, "llama3.1:8b"), pulls(&lab, "nomic-embed-text")), (1, 1));
        lab.assert_safe();

        // The entry is corrected.
        lab.models.lock().offer("codellama:13b", 10 * MIB, 10 * MIB);
        let mut edited = three();
        edited.models[1].1 = "codellama:13b".to_owned();
        lab.write(&edited);
        lab.converged_within(30 * SECOND).await;
    });
}

#[test]
fn a_converged_platform_asks_its_servers_now_and_then_and_pulls_nothing() {
    simulate(async {
        let mut lab = lab(&ollama().model_on("ollama", "embed", "nomic-embed-text"));
        lab.boot();
        lab.converged_within(60 * SECOND).await;
        lab.pass(600 * SECOND).await;
        assert_eq!(lab.models.lock().pulls.len(), 1);
        // Somebody removes it by hand: seen within half a minute, and put right.
        lab.models.lock().server("ollama").models.clear();
        lab.pass(31 * SECOND).await;
        lab.converged_within(10 * SECOND).await;
        assert_eq!(lab.models.lock().pulls.len(), 2);
    });
}

#[test]
fn a_pull_that_stalls_is_ended_and_the_next_one_goes_on_where_it_was() {
    simulate(async {
        let mut lab = lab(&ollama().model_on("ollama", "chat", "llama3.1:8b"));
        lab.models.lock().offer("llama3.1:8b", 500 * MIB, 10 * MIB).stalls = vec![200 * MIB];
        lab.boot();
        becomes(&lab, "chat", Word::BackOff, 120 * SECOND).await;
        let said = word(&lab, "chat").1;
        assert!(said.contains("got no new byte for 60s"), "{said}");
        becomes(&lab, "chat", Word::Pulling, 30 * SECOND).await;
        lab.pass(2 * SECOND).await;
        let done = progress(&lab, "chat").expect("its bytes are known").done;
        assert!(done >= 200 * MIB, "it begins where it was, and not at {done}");
        lab.converged_within(60 * SECOND).await;
        assert_eq!(pulls(&lab, "llama3.1:8b"), 2);
    });
}

#[test]
fn a_daemon_that_dies_under_a_pull_has_it_go_on_when_it_is_back() {
    simulate(async {
        let mut lab = lab(&ollama().model_on("ollama", "chat", "llama3.1:8b"));
        lab.boot();
        becomes(&lab, "chat", Word::Pulling, 30 * SECOND).await;
        lab.pass(100 * SECOND).await;
        lab.kill();
        lab.pass(10 * SECOND).await;
        let came = lab.models.lock().server("ollama").partial[&named("llama3.1:8b")];
        assert!((900 * MIB..1_100 * MIB).contains(&came), "nobody pulls without a daemon: {came}");
        lab.boot();
        lab.converged_within(450 * SECOND).await;
        lab.assert_safe();
    });
}

#[test]
fn a_daemon_that_is_stopped_does_not_wait_for_a_pull() {
    simulate(async {
        let mut lab = lab(&ollama().model_on("ollama", "chat", "llama3.1:8b"));
        lab.boot();
        becomes(&lab, "chat", Word::Pulling, 30 * SECOND).await;
        let before = tokio::time::Instant::now();
        lab.stop().await;
        assert!(before.elapsed() < 10 * SECOND, "{:?}", before.elapsed());
    });
}

#[test]
fn what_cannot_fit_is_not_begun_and_comes_when_there_is_room() {
    simulate(async {
        let mut lab = lab(&three());
        // Less than chat needs, and more than embed does.
        room(&lab, 6 * GIB);
        lab.models.lock().offer("llama3.1:8b", 20 * GIB, GIB);
        lab.boot();
        becomes(&lab, "embed", Word::Ready, 60 * SECOND).await;
        becomes(&lab, "chat", Word::Pending, 60 * SECOND).await;
        let (space, said) = condition(&lab, &ResourceId::model("chat"), ConditionType::SpaceAvailable);
        assert_eq!(space, Status::False);
        assert!(
            said.contains("needs 20.0 GiB (by the manifest of its registry), and 6.0 GiB are free"),
            "{said}"
        );
        assert_eq!(pulls(&lab, "llama3.1:8b"), 0);
        room(&lab, 60 * GIB);
        becomes(&lab, "chat", Word::Ready, 120 * SECOND).await;
        lab.assert_safe();
    });
}

#[test]
fn what_turns_out_too_large_is_ended_at_once_and_waits_for_room() {
    simulate(async {
        let mut lab = lab(&ollama().model_on("ollama", "chat", "llama3.1:8b"));
        room(&lab, 6 * GIB);
        lab.models.lock().is_closed = true;
        lab.models.lock().offer("llama3.1:8b", 20 * GIB, GIB);
        lab.boot();
        becomes(&lab, "chat", Word::BackOff, 60 * SECOND).await;
        let said = word(&lab, "chat").1;
        assert!(said.contains("needs 20.0 GiB (as its pull announced), and 6.0 GiB are free"), "{said}");
        assert!(lab.models.lock().server("ollama").partial.is_empty(), "not one byte of it has come");
        room(&lab, 60 * GIB);
        becomes(&lab, "chat", Word::Ready, 200 * SECOND).await;
    });
}

#[test]
fn a_disk_that_fills_under_a_pull_keeps_what_has_come() {
    simulate(async {
        let mut lab = lab(&ollama().model_on("ollama", "chat", "llama3.1:8b"));
        lab.models.lock().server("ollama").room = Some(1_000 * MIB);
        lab.boot();
        becomes(&lab, "chat", Word::BackOff, 300 * SECOND).await;
        let said = word(&lab, "chat").1;
        assert!(said.contains("no space left on device"), "{said}");
        let (space, _) = condition(&lab, &ResourceId::model("chat"), ConditionType::SpaceAvailable);
        assert_eq!(space, Status::False);
        lab.models.lock().server("ollama").room = None;
        becomes(&lab, "chat", Word::Pulling, 60 * SECOND).await;
        lab.pass(2 * SECOND).await;
        assert!(progress(&lab, "chat").is_some_and(|it| it.done >= 990 * MIB));
        lab.converged_within(500 * SECOND).await;
    });
}

#[test]
fn a_pull_is_called_off_when_its_entry_goes_and_the_model_that_is_there_stays() {
    simulate(async {
        let mut lab = lab(&three());
        lab.boot();
        becomes(&lab, "embed", Word::Ready, 30 * SECOND).await;
        becomes(&lab, "chat", Word::Pulling, 30 * SECOND).await;
        lab.write(&ollama());
        lab.pass(5 * SECOND).await;
        let came = lab.models.lock().server("ollama").partial[&named("llama3.1:8b")];
        lab.pass(60 * SECOND).await;
        assert_eq!(lab.models.lock().server("ollama").partial[&named("llama3.1:8b")], came);
        assert_eq!(lab.models.lock().has("ollama"), ["nomic-embed-text:latest"]);
        assert!(lab.models.lock().removed.is_empty());
        assert!(lab.shared().lock().observed.pulls.is_empty());
    });
}

#[test]
fn a_server_that_does_not_answer_is_asked_until_it_does() {
    simulate(async {
        let mut lab = lab(&ollama().model_on("ollama", "embed", "nomic-embed-text"));
        lab.models.lock().server("ollama").is_away = true;
        lab.boot();
        lab.pass(20 * SECOND).await;
        let (word, said) = word(&lab, "embed");
        assert!(word == Word::Unknown && said.contains("connection refused"), "{word} {said}");
        assert_eq!(pulls(&lab, "nomic-embed-text"), 0);
        lab.models.lock().server("ollama").is_away = false;
        lab.converged_within(20 * SECOND).await;
    });
}

#[test]
fn a_person_removes_what_the_file_does_not_ask_for_and_nothing_else() {
    simulate(async {
        let mut lab = lab(&ollama().model_on("ollama", "embed", "nomic-embed-text"));
        lab.boot();
        lab.converged_within(60 * SECOND).await;
        // Pulled by hand a moment ago: nobody has seen it yet.
        let stored =
            aiplat_core::observed::StoredModel { name: named("old:7b"), digest: "d".to_owned(), size: GIB };
        lab.models.lock().server("ollama").models.insert(named("old:7b"), stored);
        let remove = async |model: &str, dry_run| {
            let said = models::remove(lab.shared(), "uid 0", &named(model), None, dry_run).await;
            said.unwrap_or_else(|kept| format!("{kept:?}"))
        };
        assert!(remove("nomic-embed-text", false).await.contains("the file asks for it as `models.embed`"));
        assert!(remove("nobody", false).await.contains("there is no model nobody:latest"));
        assert_eq!(remove("old:7b", true).await, "would remove old:7b (1.0 GiB) from ollama");
        assert!(lab.models.lock().removed.is_empty());
        assert_eq!(remove("OLD:7b", false).await, "removed old:7b (1.0 GiB) from ollama");
        assert_eq!(lab.models.lock().has("ollama"), ["nomic-embed-text:latest"]);
        let events = lab.shared().lock().events.after(0);
        let told = events.iter().find(|event| event.reason == "ModelRemoved").expect("it is an event");
        assert!(told.message.starts_with("uid 0 removed old:7b"), "{}", told.message);
    });
}

#[test]
fn an_order_to_pull_survives_the_daemon_and_is_carried_out_once() {
    simulate(async {
        let mut lab = lab(&ollama().model_on("ollama", "embed", "nomic-embed-text"));
        lab.boot();
        lab.converged_within(60 * SECOND).await;
        let id = ResourceId::model("embed");
        let order = Order { by: "uid 0".to_owned(), wall_ms: 0 };
        lab.shared()
            .lock()
            .ledger
            .enter(&id, Entry::Orders(Orders { pull: Some(order), ..Orders::default() }));
        lab.shared().commit(std::slice::from_ref(&id)).await;
        lab.kill();
        lab.models.lock().offer("nomic-embed-text", 30 * MIB, 10 * MIB).digest = "newer".to_owned();
        lab.boot();
        lab.pass(60 * SECOND).await;
        assert_eq!(pulls(&lab, "nomic-embed-text"), 2);
        let doc = document::document(lab.shared(), 1);
        let seen = doc.models.iter().find(|it| it.name.as_deref() == Some("embed")).expect("it is there");
        assert_eq!((seen.digest.as_deref(), seen.ordered), (Some("newer"), false));
        lab.kill();
        lab.boot();
        lab.pass(60 * SECOND).await;
        assert_eq!(pulls(&lab, "nomic-embed-text"), 2, "the order is done");
    });
}

#[test]
fn the_status_shows_models_beside_those_of_the_file_and_what_the_hardware_profile_calls_them() {
    simulate(async {
        let mut lab = lab(&three());
        let stored =
            aiplat_core::observed::StoredModel { name: named("old:7b"), digest: "d".to_owned(), size: GIB };
        lab.models.lock().server("ollama").models.insert(named("old:7b"), stored);
        room(&lab, 60 * GIB);
        lab.boot();
        becomes(&lab, "embed", Word::Ready, 30 * SECOND).await;
        lab.pass(31 * SECOND).await;
        let doc = document::document(lab.shared(), 1);
        let rows: Vec<String> = doc
            .models
            .iter()
            .map(|it| {
                format!("{} {} {} {}", it.name.as_deref().unwrap_or("-"), it.model, it.runner, it.status)
            })
            .collect();
        assert_eq!(
            rows,
            [
                "chat llama3.1:8b ollama Pulling",
                "code codelama:13b ollama Failed",
                "embed nomic-embed-text:latest ollama Ready",
                "- old:7b ollama Ready"
            ]
        );
        let environment = doc.host.expect("the machine is known").environment;
        assert_eq!(environment["DEFAULT_MODELS"], "codelama:13b,llama3.1:8b,nomic-embed-text:latest");
    });
}
