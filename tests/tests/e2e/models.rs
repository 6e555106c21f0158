//! Models on a server that speaks Ollama's API, end to end: pulled side by side, told of in bytes, removed only by a person.

use aiplat_api::v1::{ModelStatus, StatusDoc};
use aiplat_core::condition::{ConditionType, Status, Word};

use crate::harness::{PATIENCE, Stage, condition, service, until};

const PLATFORM: &str = r#"
apiVersion: aiplat/v1
name: @name
models:
  chat: {model: "slow-chat:8b", runner: ollama}
  code: {model: "missing:13b", runner: ollama}
  embed: {model: "embed-on-cpu", runner: ollama}
services:
  ollama:
    image: aiplat-demo:1
    command: ["serve", "OLLAMA_HOST=0.0.0.0:11434", "PULL_MS=6000", "PULL_SIZE=50000000"]
    stop_grace_period: 2s
    healthcheck: {http: {port: 11434, path: /api/tags}, interval: 1s}
"#;

fn model<'a>(status: &'a StatusDoc, model: &str) -> Option<&'a ModelStatus> {
    status.models.iter().find(|it| it.model == model)
}

fn is(status: &StatusDoc, name: &str, word: Word) -> bool {
    model(status, name).is_some_and(|it| it.status == word)
}

#[test]
fn three_models_come_side_by_side_and_one_that_does_not_exist_holds_up_nobody() {
    let Some(mut stage) = Stage::new() else { return };
    stage.save(&stage.fill(PLATFORM));
    stage.start();
    let status = stage.wait("a slow one is told of in bytes", |status| {
        is(status, "embed-on-cpu:latest", Word::Ready)
            && is(status, "missing:13b", Word::Failed)
            && model(status, "slow-chat:8b")
                .and_then(|it| it.pull)
                .is_some_and(|it| it.done > 0 && it.done < it.total)
    });
    let missing = model(&status, "missing:13b").expect("it is in the file");
    assert!(missing.message.contains("file does not exist"), "{}", missing.message);
    let embed = model(&status, "embed-on-cpu:latest").expect("it is in the file");
    assert_eq!(embed.loaded.as_ref().map(|it| it.vram), Some(0), "it is in memory, and none of it on a GPU");
    let ollama = service(&status, "ollama");
    assert_eq!(ollama.status, Word::Ready, "its models are no part of it");
    let present = condition(&status, Some("ollama"), ConditionType::ModelsPresent).expect("it is said");
    assert_eq!(present.status, Status::False);

    let status = stage.wait("it comes", |status| is(status, "slow-chat:8b", Word::Ready));
    assert_eq!(model(&status, "slow-chat:8b").and_then(|it| it.size), Some(50_000_000));

    let screen = stage.ctl(&["describe", "ollama"]).said;
    for part in ["API:", "Ollama 1 at ", "Models:", "slow-chat:8b", "missing:13b", "embed-on-cpu:latest"] {
        assert!(screen.contains(part), "{part}: {screen}");
    }
    let wait = stage.ctl(&["apply", "--yes", "--wait"]);
    assert_eq!(wait.code, Some(1), "{}", wait.said);
    assert!(wait.said.contains("model/code Failed: ollama cannot pull missing:13b"), "{}", wait.said);
    let why = stage.ctl(&["why", "model/code"]);
    assert!(why.said.contains("ModelNotFound"), "{}", why.said);
}

#[test]
fn a_model_goes_by_a_persons_word_alone() {
    let Some(mut stage) = Stage::new() else { return };
    let well =
        PLATFORM.replace("  code: {model: \"missing:13b\", runner: ollama}\n", "").replace("slow-", "");
    stage.save(&stage.fill(&well));
    stage.start();
    stage.wait("both come", |status| {
        is(status, "chat:8b", Word::Ready) && is(status, "embed-on-cpu:latest", Word::Ready)
    });
    let wait = stage.ctl(&["apply", "--yes", "--wait"]);
    assert_eq!(wait.code, Some(0), "{}", wait.said);

    let kept = stage.ctl(&["model", "rm", "chat", "--yes"]);
    assert_eq!(kept.code, Some(1), "{}", kept.said);
    assert!(kept.said.contains("the file asks for it as `models.chat`"), "{}", kept.said);
    assert!(kept.said.contains("platform.yaml:5"), "with its line: {}", kept.said);

    let again = stage.ctl(&["model", "pull", "chat"]);
    assert_eq!(again.code, Some(0), "{}", again.said);
    assert!(again.said.contains("chat:8b is the newest there is"), "{}", again.said);

    stage.put_in_force(&well.replace("  chat: {model: \"chat:8b\", runner: ollama}\n", ""));
    let status = stage.settled();
    assert!(model(&status, "chat:8b").is_some_and(|it| it.name.is_none()), "it stays where it is");
    let list = stage.ctl(&["get", "models"]);
    assert!(list.said.contains("not in the file"), "{}", list.said);
    let gone = stage.ctl(&["model", "rm", "chat:8b", "--yes"]);
    assert_eq!(gone.code, Some(0), "{}", gone.said);
    assert!(gone.said.contains("removed chat:8b (47.6 MiB) from ollama"), "{}", gone.said);
    assert!(until(PATIENCE, || stage.status().is_ok_and(|status| model(&status, "chat:8b").is_none())));
    let nobody = stage.ctl(&["model", "rm", "chat:8b", "--yes"]);
    assert_eq!(nobody.code, Some(4), "{}", nobody.said);
    let event = stage.ctl(&["events"]);
    assert!(event.said.contains("uid 0") && event.said.contains("removed chat:8b"), "{}", event.said);
}
