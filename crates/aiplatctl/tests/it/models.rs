//! `get models`, `describe`, `model pull` and `model rm`.

use aiplat_api::v1::{LoadedModelStatus, ModelStatus, RemoveModelRequest, StatusDoc};
use aiplat_core::{
    ResourceId,
    condition::{ConditionType, Reason, Status, Word},
    observed::PullProgress,
};

use crate::{
    support::{docs, server::Server},
    verbs::check,
};

const GIB: u64 = 1 << 30;

fn model(name: Option<&str>, model: &str, status: Word, message: &str) -> ModelStatus {
    ModelStatus {
        name: name.map(str::to_owned),
        model: model.to_owned(),
        runner: "ollama".to_owned(),
        status,
        message: message.to_owned(),
        size: None,
        digest: None,
        loaded: None,
        pull: None,
        ordered: false,
        failure: None,
    }
}

/// Three of the file, in every state, and one that somebody has pulled by hand.
fn models() -> StatusDoc {
    let mut doc = docs::well();
    let mut ollama = docs::service("ollama", Word::Ready, 60, "1 of 3 models", &[]);
    ollama.detail.model_server = Some("Ollama 0.5.7 at 127.0.0.1:11434".to_owned());
    doc.services.push(ollama);
    let digest = |byte: char| Some(byte.to_string().repeat(64));
    doc.models = vec![
        ModelStatus {
            size: Some(5 * GIB),
            pull: Some(PullProgress { done: 2 * GIB, total: 5 * GIB }),
            ..model(
                Some("chat"),
                "llama3.1:8b",
                Word::Pulling,
                "ollama pulls llama3.1:8b: 2.0 GiB of 5.0 GiB (40%)",
            )
        },
        model(
            Some("code"),
            "codelama:13b",
            Word::Failed,
            "ollama cannot pull codelama:13b: file does not exist",
        ),
        ModelStatus {
            size: Some(GIB / 4),
            digest: digest('a'),
            loaded: Some(LoadedModelStatus {
                size: GIB,
                vram: GIB / 4,
                expires_at: "2026-11-20T12:04:00Z".to_owned(),
            }),
            ..model(Some("embed"), "nomic-embed-text:latest", Word::Ready, "")
        },
        ModelStatus {
            size: Some(4 * GIB),
            digest: digest('b'),
            loaded: Some(LoadedModelStatus { size: 4 * GIB, vram: 0, expires_at: String::new() }),
            ..model(None, "mistral:7b", Word::Ready, "not in the file")
        },
    ];
    for (entry, status) in [("chat", Word::Pulling), ("code", Word::Failed), ("embed", Word::Ready)] {
        let mut resource = docs::resource(ResourceId::model(entry), entry, &["ollama"]);
        resource.status = status;
        resource.moving = status == Word::Pulling;
        resource.message =
            if status == Word::Failed { "ollama cannot pull codelama:13b" } else { "" }.to_owned();
        resource.conditions = vec![docs::condition(
            ConditionType::Present,
            Status::of(status == Word::Ready),
            Reason::Present,
            "",
            3,
        )];
        doc.resources.push(resource);
    }
    doc
}

#[test]
fn models_are_listed_with_those_that_the_file_does_not_ask_for() {
    let server = Server::new(models());
    let list = server.run(&["get", "models"]);
    let rows: Vec<Vec<&str>> = list.out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["NAME", "MODEL", "RUNNER", "STATUS", "SIZE", "LOADED", "MESSAGE"]);
    assert_eq!(rows[1][..6], ["chat", "llama3.1:8b", "ollama", "Pulling", "5.0", "GiB"]);
    assert_eq!(rows[2][..4], ["code", "codelama:13b", "ollama", "Failed"]);
    assert_eq!(rows[3], ["embed", "nomic-embed-text:latest", "ollama", "Ready", "256", "MiB", "25%", "GPU"]);
    assert_eq!(
        rows[4],
        ["-", "mistral:7b", "ollama", "Ready", "4.0", "GiB", "CPU", "not", "in", "the", "file"]
    );
    check(
        &server.run(&["get", "models", "-o", "wide"]),
        0,
        &["DIGEST", "VRAM", "aaaaaaaaaaaa ", "256 MiB"],
        &[],
    );
    let names = server.run(&["get", "models", "-o", "name"]);
    assert_eq!(names.out, "model/chat\nmodel/code\nmodel/embed\nmodel/mistral:7b\n");
    for one in
        [&["get", "models", "mistral:7b"][..], &["get", "model/chat"], &["get", "model", "llama3.1:8b"]]
    {
        assert_eq!(server.run(one).out.lines().count(), 2, "{one:?}");
    }
    let json = server.run(&["get", "model/embed", "-o", "json"]);
    let value: serde_json::Value = serde_json::from_str(&json.out).expect("it is JSON");
    assert_eq!(
        (value["model"].as_str(), value["loaded"]["vram"].as_u64()),
        (Some("nomic-embed-text:latest"), Some(GIB / 4))
    );
    check(&server.run(&["get", "model/chta"]), 4, &[], &["did you mean `chat`"]);
}

#[test]
fn a_server_is_described_on_one_screen_with_its_api_its_gpu_and_its_models() {
    let server = Server::new(models());
    let words = [
        "API:          Ollama 0.5.7 at 127.0.0.1:11434",
        "GPU:          256 MiB of 5.0 GiB of 2 loaded models",
        "Models:",
        "codelama:13b",
        "mistral:7b",
        "ollama pulls llama3.1:8b: 2.0 GiB of 5.0 GiB (40%)",
    ];
    let run = server.run(&["describe", "ollama"]);
    check(&run, 0, &words[..5], &[]);
    assert!(run.out.lines().count() < 40, "{}", run.out);
    check(&server.run(&["why"]), 0, &["model/code: ollama cannot pull codelama:13b"], &[]);
    let one = server.run(&["describe", "model/embed"]);
    check(
        &one,
        0,
        &["Runner:       ollama", "256 MiB", "In memory:    1.0 GiB, 256 MiB of it on a GPU"],
        &[],
    );
}

#[test]
fn a_pull_is_ordered_and_what_came_of_it_is_told() {
    let server = Server::new(models());
    check(&server.run(&["model", "pull", "embed", "--no-wait"]), 0, &["embed: its pull is noted"], &[]);
    let (path, _) = server.state().asked.last().cloned().expect("asked");
    assert_eq!(path, "POST /v1/models/embed/pull");
    // By the name of its model, too. It is what its registry has: nothing is ordered any more.
    check(
        &server.run(&["model", "pull", "Nomic-Embed-Text"]),
        0,
        &["is the newest there is (aaaaaaaaaaaa)"],
        &[],
    );
    check(&server.run(&["model", "pull", "mistral:7b"]), 2, &[], &["is not in the file", "under `models:`"]);
    check(&server.run(&["model", "pull", "nobody"]), 4, &[], &["there is no `model/nobody`"]);
    server.change(|doc| doc.models[1].failure = Some("ollama cannot pull codelama:13b".to_owned()));
    check(&server.run(&["model", "pull", "code"]), 1, &["code: ollama cannot pull codelama:13b"], &[]);
    server.change(|doc| {
        doc.models[1].ordered = true;
        let waiting =
            doc.resources.iter_mut().find(|it| it.id == ResourceId::model("code")).expect("it is there");
        waiting.message = "waits for ollama".to_owned();
        doc.models[1].message = "waits for ollama".to_owned();
    });
    check(&server.run(&["model", "pull", "code"]), 1, &[], &["code: waits for ollama", "its pull is noted"]);
}

#[test]
fn a_model_is_removed_only_with_a_word_and_checked_before() {
    let server = Server::new(models());
    let requests = |server: &Server| -> Vec<RemoveModelRequest> {
        let asked = std::mem::take(&mut server.state().asked);
        asked.iter().map(|(_, body)| serde_json::from_str(body).expect("a request")).collect()
    };
    let request =
        |model: &str, dry_run| RemoveModelRequest { model: model.to_owned(), runner: None, dry_run };
    check(&server.run(&["model", "rm", "mistral:7b"]), 2, &[], &["nothing was changed", "--yes"]);
    assert_eq!(requests(&server), [request("mistral:7b", true)], "it is only looked at without a word");
    check(&server.run(&["model", "rm", "mistral:7b", "--dry-run"]), 0, &["would remove mistral:7b"], &[]);
    assert_eq!(requests(&server), [request("mistral:7b", true)]);
    check(&server.run(&["model", "rm", "mistral:7b", "--yes"]), 0, &["removed mistral:7b"], &[]);
    assert_eq!(requests(&server), [request("mistral:7b", true), request("mistral:7b", false)]);
    // The name of an entry stands for its model, which the daemon then refuses.
    server.state().refusal_of_models = Some((409, "llama3.1:8b stays: the file asks for it".to_owned()));
    check(&server.run(&["model", "rm", "chat", "--yes"]), 1, &[], &["the file asks for it"]);
    assert_eq!(requests(&server), [request("llama3.1:8b", true)]);
    let of_one = ["model", "rm", "mistral:7b", "--runner", "other", "--yes"];
    server.state().refusal_of_models = None;
    check(&server.run(&of_one), 0, &[], &[]);
    assert!(requests(&server).iter().all(|it| it.runner.as_deref() == Some("other")));
}

#[test]
fn an_apply_that_waits_is_not_done_before_the_models_are_there() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "apiVersion: aiplat/v1\nname: x\nservices: {}\n").expect("it is written");
    let mut waiting = models();
    waiting.platform.config = file.path().display().to_string();
    waiting.models.remove(1);
    waiting.resources.retain(|it| it.id != ResourceId::model("code"));
    waiting.resources.iter_mut().for_each(|it| it.moving = false);
    let server = Server::new(waiting);
    let wait = ["apply", "--yes", "--wait", "--timeout", "20s"];
    let stuck = server.run(&wait);
    check(&stuck, 1, &[], &["nothing left to wait for", "model/chat Pulling: ollama pulls llama3.1:8b"]);
    server.change(|doc| doc.models[0].status = Word::Ready);
    check(&server.run(&wait), 0, &["Ready after"], &[]);
}
