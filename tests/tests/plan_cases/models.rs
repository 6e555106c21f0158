//! Models: pulled when their server is ready and lacks them, and there is room; never removed.

use aiplat_core::{
    ResourceId,
    condition::{ConditionType, Status, Word},
    ledger::{Order, Orders},
    observed::{LoadedModel, ModelAnswer, ModelServer, PullProgress, StoredModel},
    plan::{self, Command, Entry, plan},
    preview::preview,
    spec::{Limits, ModelName},
    status,
};
use aiplat_tests::{
    build::{Sketch, service, sketch, unit},
    scene::Scene,
    sim::models::named,
};

use super::machine::with_room;

const GIB: u64 = 1 << 30;

fn chat() -> ResourceId {
    ResourceId::model("chat")
}

fn with_chat() -> Sketch {
    sketch([service("ollama").probe()]).model_on("ollama", "chat", "llama3.1:8b")
}

/// The registry has the models of the tests.
fn scene(sketch: &Sketch) -> Scene {
    let mut scene = Scene::new(sketch);
    scene.models.offer("llama3.1:8b", 5 * GIB, GIB);
    scene.models.offer("nomic-embed-text", GIB / 4, GIB);
    scene
}

/// Its server is ready and was asked; nothing was pulled yet.
fn about_to_pull(sketch: &Sketch) -> Scene {
    let mut scene = scene(sketch);
    scene.observe();
    let id = ResourceId::container("ollama");
    for _ in 0..30 {
        scene.reconcile(&ResourceId::network("default"));
        scene.reconcile(&id);
        scene.probe();
        scene.pass(std::time::Duration::from_millis(100));
    }
    scene.observe();
    scene
}

fn pulls(scene: &Scene) -> Option<String> {
    plan(&scene.world(), &chat())
        .action
        .map(|planned| format!("{} because {}", planned.action, planned.cause))
}

fn said(scene: &Scene, id: &ResourceId, kind: ConditionType) -> Option<(Status, String)> {
    let step = plan(&scene.world(), id);
    let found = step.conditions.into_iter().find(|it| it.kind == kind)?;
    Some((found.status, format!("{}: {}", found.reason, found.message)))
}

fn word(scene: &Scene) -> (Word, String) {
    let step = plan(&scene.world(), &chat());
    let summary = status::model_summary(&scene.world(), &chat(), &step);
    (summary.word, summary.message)
}

fn has(scene: &mut Scene, models: &[(&str, &str)]) {
    for (model, digest) in models {
        let stored = StoredModel { name: named(model), digest: (*digest).to_owned(), size: GIB };
        scene.models.server("ollama").models.insert(named(model), stored);
    }
    scene.observe();
}

#[test]
fn a_model_waits_for_its_server_and_is_pulled_when_that_is_ready() {
    let mut scene = scene(&with_chat());
    scene.observe();
    assert_eq!(scene.line(&chat()), "blocked: waits for ollama");
    assert_eq!(word(&scene), (Word::Pending, "waits for ollama".to_owned()));
    let why = status::why(&scene.world(), &chat());
    assert_eq!(why[0].sentence, "chat waits for ollama");
    assert!(why.len() > 1, "and the chain goes on there: {why:?}");
    let mut scene = about_to_pull(&with_chat());
    assert_eq!(
        pulls(&scene).as_deref(),
        Some("pull model llama3.1:8b to ollama (5.0 GiB) because its server does not have it")
    );
    scene.converge();
    assert_eq!(super::check(&scene), "converged");
    assert_eq!((scene.models.has("ollama"), word(&scene).0), (vec!["llama3.1:8b".to_owned()], Word::Ready));
}

#[test]
fn a_server_that_was_not_asked_or_does_not_answer_lacks_nothing_that_is_known() {
    let mut scene = about_to_pull(&with_chat());
    let server = ResourceId::container("ollama");
    let run = scene.observed.model_servers[&server].run.clone();
    scene.observed.model_servers.remove(&server);
    assert_eq!((pulls(&scene), word(&scene).0), (None, Word::Unknown));
    let away = ModelAnswer::Unreachable { why: "GET http://x/api/version: connection refused".to_owned() };
    scene.observed.model_servers.insert(server.clone(), ModelServer { run, answer: away });
    assert_eq!(pulls(&scene), None);
    let (word, message) = word(&scene);
    assert!(word == Word::Unknown && message.contains("connection refused"), "{message}");
    let present = said(&scene, &chat(), ConditionType::Present).expect("it is said");
    assert_eq!(present.0, Status::Unknown);
    let of_service = said(&scene, &server, ConditionType::ModelsPresent).expect("it is said");
    assert_eq!(of_service.0, Status::Unknown);
}

#[test]
fn what_another_run_of_the_server_said_is_void() {
    let mut scene = about_to_pull(&with_chat());
    let server = scene.observed.model_servers.values_mut().next().expect("it was asked");
    server.run = Some(aiplat_core::observed::Incarnation("another".to_owned()));
    assert_eq!(scene.line(&chat()), "progressing");
    assert!(plan::is_model_server_unasked(&scene.world(), &ResourceId::container("ollama")));
}

#[test]
fn a_name_is_compared_whole_and_as_ollama_does() {
    let mut scene = about_to_pull(&with_chat());
    has(&mut scene, &[("llama3.1:8b-instruct-q4_0", "a"), ("llama3.1", "b")]);
    assert!(pulls(&scene).is_some(), "neither is it");
    has(&mut scene, &[("registry.ollama.ai/library/LLAMA3.1:8B", "c")]);
    assert_eq!(pulls(&scene), None);
    assert_eq!(word(&scene).0, Word::Ready);
}

#[test]
fn what_does_not_fit_is_not_begun_and_goes_on_by_itself_when_there_is_room() {
    let mut scene = about_to_pull(&with_chat());
    with_room(&mut scene, 40 * GIB);
    assert!(pulls(&scene).is_some());
    let space = |scene: &Scene| said(scene, &chat(), ConditionType::SpaceAvailable);
    assert_eq!(space(&scene).map(|it| it.0), Some(Status::True));
    with_room(&mut scene, 5 * GIB);
    assert_eq!(pulls(&scene), None, "nothing would be left beside it");
    let (status, message) = space(&scene).expect("it is said");
    assert_eq!(status, Status::False);
    assert_eq!(
        message,
        "DiskPressure: llama3.1:8b needs 5.0 GiB (by the manifest of its registry), and 5.0 GiB are free on / (ext4 on \
         /dev/sda1), where ollama keeps its models: make room there, or remove a model that nobody uses with `aiplatctl model \
         rm MODEL` (`aiplatctl get models` lists them); it goes on by itself"
    );
    assert_eq!(word(&scene).0, Word::Pending);
    with_room(&mut scene, 6 * GIB);
    assert!(pulls(&scene).is_some(), "6% is said, and no reason not to pull");
    with_room(&mut scene, 4 * GIB);
    scene.observed.model_sizes.clear();
    assert_eq!(pulls(&scene), None, "less than 5% of the disk, however large it is");
}

#[test]
fn what_came_of_an_earlier_attempt_and_what_is_there_under_another_tag_need_no_room() {
    let mut scene = about_to_pull(&with_chat());
    with_room(&mut scene, 6 * GIB);
    let size = scene.observed.model_sizes.get_mut(&chat()).expect("the registry was asked");
    size.announced = Some(PullProgress { done: 3 * GIB, total: 5 * GIB });
    assert_eq!(
        pulls(&scene).as_deref(),
        Some("pull model llama3.1:8b to ollama (2.0 GiB) because its server does not have it")
    );
    let mut scene = about_to_pull(&with_chat());
    has(&mut scene, &[("llama3.1:latest", "digest-of-llama3.1:8b")]);
    with_room(&mut scene, 6 * GIB);
    assert_eq!(
        pulls(&scene).as_deref(),
        Some("pull model llama3.1:8b to ollama (0 B) because its server does not have it")
    );
}

#[test]
fn where_the_registry_cannot_be_asked_what_the_pull_announced_counts() {
    let mut scene = about_to_pull(&with_chat());
    with_room(&mut scene, 6 * GIB);
    let size = scene.observed.model_sizes.get_mut(&chat()).expect("the registry was asked");
    size.manifest = Some(Err("no way out".to_owned()));
    assert!(pulls(&scene).is_some_and(|it| it.starts_with("pull model llama3.1:8b to ollama because")));
    let size = scene.observed.model_sizes.get_mut(&chat()).expect("it is there");
    size.announced = Some(PullProgress { done: 0, total: 7 * GIB });
    assert_eq!(pulls(&scene), None);
    let (_, message) = said(&scene, &chat(), ConditionType::SpaceAvailable).expect("it is said");
    assert!(message.contains("needs 7.0 GiB (as its pull announced)"), "{message}");
}

#[test]
fn one_that_is_unknown_is_held_until_its_entry_changes_and_keeps_no_other_from_coming() {
    let before = with_chat().model_on("ollama", "code", "codelama:13b").model_on(
        "ollama",
        "embed",
        "nomic-embed-text",
    );
    let mut scene = scene(&before);
    scene.converge();
    let code = ResourceId::model("code");
    assert_eq!(
        scene.line(&code),
        "held (ModelNotFound): ollama cannot pull codelama:13b: file does not exist; it is tried again when its entry in the \
         file is edited, or with `aiplatctl model pull code`"
    );
    let step = plan(&scene.world(), &code);
    assert_eq!(status::model_summary(&scene.world(), &code, &step).word, Word::Failed);
    assert_eq!(scene.models.has("ollama"), ["llama3.1:8b", "nomic-embed-text:latest"]);
    let (status, message) =
        said(&scene, &ResourceId::container("ollama"), ConditionType::ModelsPresent).expect("it is said");
    assert_eq!(status, Status::False);
    assert!(
        message
            .contains("2 of 3 models: codelama:13b is missing (ModelNotFound): `aiplatctl why model/code`"),
        "{message}"
    );
    let ready = said(&scene, &ResourceId::container("ollama"), ConditionType::Ready).expect("it is said");
    assert_eq!(ready.0, Status::True, "it is no part of Ready");
    let mut after = with_chat().model_on("ollama", "embed", "nomic-embed-text");
    after = after.model_on("ollama", "code", "codellama:13b");
    scene.models.offer("codellama:13b", GIB, GIB);
    scene.edit(&after);
    scene.converge();
    assert_eq!(super::check(&scene), "converged");
}

#[test]
fn a_pull_that_is_under_way_is_told_in_bytes_where_one_looks() {
    let mut scene = about_to_pull(&with_chat());
    scene.observed.pulls.insert(chat(), PullProgress { done: 2 * GIB, total: 5 * GIB });
    assert_eq!(
        word(&scene),
        (Word::Pulling, "ollama pulls llama3.1:8b: 2.0 GiB of 5.0 GiB (40%)".to_owned())
    );
    let pulling = said(&scene, &chat(), ConditionType::Pulling).expect("it is said");
    assert_eq!(pulling.0, Status::True);
    let id = ResourceId::container("ollama");
    assert_eq!(
        said(&scene, &id, ConditionType::ModelsPresent),
        Some((Status::False, "Pulling: 0 of 1 model: llama3.1:8b is being pulled, 40%".to_owned()))
    );
    let summary = status::summary(&scene.world(), &id, &plan(&scene.world(), &id));
    assert_eq!((summary.word, summary.message.contains("40%")), (Word::Ready, true), "{}", summary.message);
}

#[test]
fn an_order_pulls_once_what_is_there_and_its_failure_takes_nothing_away() {
    let mut scene = scene(&with_chat());
    scene.converge();
    let ordered = |scene: &mut Scene| {
        let order = Order { by: "uid 0".to_owned(), wall_ms: 0 };
        scene.ledger.enter(&chat(), Entry::Orders(Orders { pull: Some(order), ..Orders::default() }));
    };
    ordered(&mut scene);
    assert!(pulls(&scene).is_some_and(|it| it.ends_with("because `aiplatctl model pull` was given")));
    scene.models.registry.get_mut(&named("llama3.1:8b")).expect("it is there").digest = "newer".to_owned();
    scene.converge();
    assert_eq!(super::check(&scene), "converged");
    assert_eq!(scene.models.server("ollama").models[&named("llama3.1:8b")].digest, "newer");
    ordered(&mut scene);
    scene.models.registry.clear();
    scene.converge();
    assert_eq!(super::check(&scene), "converged", "it was one attempt");
    assert_eq!(scene.models.pulls.len(), 3);
    assert_eq!(word(&scene).0, Word::Ready);
}

#[test]
fn an_entry_that_leaves_the_file_leaves_its_model() {
    let mut scene = scene(&with_chat().model_on("ollama", "embed", "nomic-embed-text"));
    scene.converge();
    scene.edit(&with_chat());
    scene.converge();
    assert_eq!(super::check(&scene), "converged");
    assert_eq!(scene.models.has("ollama").len(), 2);
}

#[test]
fn only_a_model_that_the_file_does_not_ask_for_may_be_removed() {
    let mut scene = scene(&with_chat());
    scene.converge();
    has(&mut scene, &[("llama3.1:8b-instruct", "x")]);
    let of = |scene: &Scene, model: &str, runner: Option<&str>| {
        let name: ModelName = named(model);
        match plan::removable_model(&scene.world(), &name, runner) {
            Ok((server, stored)) => format!("{} from {server}", stored.name),
            Err(kept) => kept.to_string(),
        }
    };
    assert_eq!(of(&scene, "llama3.1:8b-instruct", None), "llama3.1:8b-instruct from container/ollama");
    assert!(of(&scene, "llama3.1:8B", None).contains("the file asks for it as `models.chat`"));
    assert!(of(&scene, "llama3", None).contains("there is no model llama3:latest;"));
    assert!(of(&scene, "llama3.1:8b-instruct", Some("other")).contains("there is no model"));
}

#[test]
fn nothing_is_pulled_to_a_server_that_a_person_keeps_to_themselves() {
    let mut scene = about_to_pull(&with_chat());
    assert!(scene.order(&ResourceId::container("ollama"), Command::Suspend, None));
    assert_eq!(pulls(&scene), None);
    assert!(scene.line(&chat()).contains("`aiplatctl resume ollama`"), "{}", scene.line(&chat()));
}

#[test]
fn a_preview_of_a_first_start_shows_the_pulls_with_their_sizes() {
    let mut scene = scene(&with_chat());
    scene.observe();
    scene.look(&chat());
    let manifest = aiplat_core::observed::ModelManifest { bytes: 5 * GIB, digest: "d".to_owned() };
    scene.observed.model_sizes.entry(chat()).or_default().manifest = Some(Ok(manifest));
    let found = preview(&scene.desired, &scene.observed, &scene.ledger, scene.now());
    let actions: Vec<String> =
        found.waves.iter().flat_map(|wave| &wave.actions).map(|it| it.action.clone()).collect();
    assert_eq!(actions.last().map(String::as_str), Some("pull model llama3.1:8b to ollama (5.0 GiB)"));
    assert!(found.blocked.is_empty(), "{:?}", found.blocked);
}

#[test]
fn where_a_server_is_asked_follows_what_it_was_told() {
    let mut limited = service("ollama").probe();
    limited.limits = Limits::default();
    let mut scene = about_to_pull(&sketch([limited]).model_on("ollama", "chat", "llama3.1:8b"));
    let server = ResourceId::container("ollama");
    let port = |scene: &Scene| plan::model_endpoint(&scene.world(), &server).map(|it| it.port);
    assert_eq!(port(&scene), Some(80), "where its probe asks");
    let spec = scene.desired.containers.get_mut(&server).expect("it is there");
    spec.policy.probe = None;
    assert_eq!(port(&scene), Some(11434));
    let spec = scene.desired.containers.get_mut(&server).expect("it is there");
    spec.runtime.environment.insert("OLLAMA_HOST".to_owned(), "0.0.0.0:11500".to_owned());
    assert_eq!(port(&scene), Some(11500));
}

#[test]
fn the_disk_of_the_models_is_that_of_the_mount_that_holds_them() {
    let folder = |sketch: &Sketch, change: &dyn Fn(&mut Scene)| {
        let mut scene = Scene::new(sketch);
        with_room(&mut scene, GIB);
        change(&mut scene);
        let runner = scene.desired.models.values().next().expect("there is one").runner.clone();
        plan::models_folder(&scene.world(), &runner)
    };
    let engine = Some("/var/lib/docker".to_owned());
    assert_eq!(folder(&with_chat(), &|_| {}), engine, "its own layer");
    let mut bound = with_chat();
    bound.service("ollama").binds.push(("/root/.ollama".to_owned(), true));
    bound.service("ollama").binds.push(("/root".to_owned(), true));
    assert_eq!(folder(&bound, &|_| {}).as_deref(), Some("/root/.ollama"));
    let elsewhere = |scene: &mut Scene| {
        let spec = scene.desired.containers.get_mut(&ResourceId::container("ollama")).expect("it is there");
        spec.runtime.environment.insert("OLLAMA_MODELS".to_owned(), "/models".to_owned());
    };
    assert_eq!(folder(&bound, &elsewhere), engine);
    let mut volume = with_chat();
    volume.service("ollama").volumes.push(("data".to_owned(), "/root/.ollama".to_owned()));
    assert_eq!(folder(&volume, &|_| {}), engine);
    let other_driver = |scene: &mut Scene| {
        scene
            .desired
            .volumes
            .values_mut()
            .for_each(|it| drop(it.driver_opts.insert("o".to_owned(), "bind".to_owned())));
    };
    assert_eq!(folder(&volume, &other_driver), None, "nobody knows where that is");
    let of_unit = Sketch { units: vec![unit("ollama")], ..sketch([]) }.model_on("ollama", "chat", "x");
    assert_eq!(folder(&of_unit, &|_| {}).as_deref(), Some("/usr/share/ollama/.ollama/models"));
}

#[test]
fn what_is_in_memory_is_known_beside_what_is_on_the_disk() {
    let mut scene = scene(&with_chat());
    scene.converge();
    let name = named("llama3.1:8b");
    let on_cpu = LoadedModel { name: name.clone(), size: 6 * GIB, size_vram: 0, expires_at: String::new() };
    scene.models.server("ollama").loaded.push(on_cpu.clone());
    scene.look(&chat());
    let server = &scene.observed.model_servers[&ResourceId::container("ollama")];
    assert_eq!(server.facts().and_then(|facts| facts.loaded(&name)), Some(&on_cpu));
    assert_eq!(super::check(&scene), "converged", "nothing follows from it here");
}
