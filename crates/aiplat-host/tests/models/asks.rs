//! What a server, and a registry, are asked.

use std::net::TcpListener;

use aiplat_core::observed::{LoadedModel, ModelAnswer, ModelFacts, ServerPlace};
use aiplat_host::{
    Models,
    model::{ModelOptions, ModelServers},
};

use crate::server::{SIZE, adapter, adapter_with, endpoint, listen, say, start};

async fn facts(adapter: &ModelServers, server: &crate::server::Server) -> ModelFacts {
    match adapter.observe(&server.at).await {
        ModelAnswer::Answers(facts) => facts,
        ModelAnswer::Unreachable { why } => panic!("{why}"),
    }
}

#[tokio::test]
async fn a_server_says_what_it_has_and_what_of_it_is_on_a_gpu() {
    let server = start();
    let adapter = adapter();
    assert_eq!(facts(&adapter, &server).await.models, []);
    for model in ["on-gpu", "on-cpu:7b", "other"] {
        server.pull(model).await.0.expect("it comes");
    }
    let ModelFacts { version, models, loaded } = facts(&adapter, &server).await;
    assert_eq!(version, "0.5.7");
    let names: Vec<String> = models.iter().map(|it| format!("{} {}", it.name, it.size)).collect();
    assert_eq!(names, ["on-cpu:7b 1000", "on-gpu:latest 1000", "other:latest 1000"]);
    assert!(models.iter().all(|it| it.digest.len() == 64));
    let of = |name: &str, size_vram| LoadedModel {
        name: name.parse().expect("a name"),
        size: SIZE,
        size_vram,
        expires_at: "2099-01-01T00:00:00Z".to_owned(),
    };
    assert_eq!(loaded, [of("on-cpu:7b", 0), of("on-gpu", SIZE)]);
}

#[tokio::test]
async fn what_is_removed_is_gone_and_what_is_gone_is_removed() {
    let server = start();
    server.pull("old").await.0.expect("it comes");
    let adapter = adapter();
    let name = "OLD:latest".parse().expect("a name");
    // As the server has it: it is asked in the words of the listing.
    let stored = facts(&adapter, &server).await.model(&name).expect("it is there").name.clone();
    adapter.delete(&server.at, &stored).await.expect("it goes");
    assert_eq!(facts(&adapter, &server).await.models, []);
    adapter.delete(&server.at, &stored).await.expect("nothing is left to do");
}

#[tokio::test]
async fn who_does_not_answer_or_is_no_ollama_is_told_with_what_was_asked() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port is free").local_addr().expect("it is bound");
    let why = |answer| match answer {
        ModelAnswer::Unreachable { why } => why,
        ModelAnswer::Answers(facts) => panic!("{facts:?}"),
    };
    let adapter = adapter();
    let said = why(adapter.observe(&endpoint(free)).await);
    assert_eq!(said, format!("GET http://{free}/api/version: connection refused"));
    let other = listen(|_, stream| say(stream, "200 OK", "<html>"));
    let said = why(adapter.observe(&endpoint(other)).await);
    assert!(said.contains("an answer that is not Ollama's"), "{said}");
    let broken = listen(|_, stream| say(stream, "500 Internal Server Error", r#"{"error":"it burns"}"#));
    let said = why(adapter.observe(&endpoint(broken)).await);
    assert!(said.ends_with("/api/version: 500: it burns"), "{said}");
    let mut inside = endpoint(free);
    let id = aiplat_core::observed::ContainerId("0123".to_owned());
    inside.place = ServerPlace::Container { id, address: None };
    let said = why(adapter.observe(&inside).await);
    assert!(said.contains("(inside)"), "{said}");
}

#[tokio::test]
async fn a_list_that_is_null_and_a_name_that_is_none_are_nothing() {
    let address = listen(|request, stream| match request.target.as_str() {
        "/api/version" => say(stream, "200 OK", r#"{"version":"9"}"#),
        "/api/tags" => {
            say(stream, "200 OK", r#"{"models":[{"name":"<none>","size":1},{"name":"x","size":2}]}"#)
        }
        _ => say(stream, "200 OK", r#"{"models":null}"#),
    });
    match adapter().observe(&endpoint(address)).await {
        ModelAnswer::Answers(ModelFacts { version, models, loaded }) => {
            let names: Vec<String> = models.iter().map(|it| it.name.to_string()).collect();
            assert_eq!((version.as_str(), names, loaded), ("9", vec!["x:latest".to_owned()], vec![]));
        }
        ModelAnswer::Unreachable { why } => panic!("{why}"),
    }
}

#[tokio::test]
async fn the_registry_says_how_large_a_model_is_and_by_what_it_is_known() {
    const MANIFEST: &str = r#"{"schemaVersion":2,"config":{"digest":"sha256:c","size":7},"layers":[{"digest":"sha256:a","size":4000},{"digest":"sha256:b","size":35}]}"#;
    let registry = listen(|request, stream| match request.target.as_str() {
        "/v2/library/llama3.1/manifests/8b" => say(stream, "200 OK", MANIFEST),
        "/v2/library/odd/manifests/latest" => say(stream, "200 OK", "<html>"),
        _ => say(stream, "404 Not Found", "{}"),
    });
    let adapter = adapter_with(ModelOptions { registry: Some(registry), ..ModelOptions::default() });
    let ask = async |model: &str| adapter.manifest(&model.parse().expect("a name")).await;
    let found = ask("llama3.1:8b").await.expect("it is there");
    assert_eq!(found.bytes, 4042);
    // `printf %s "$MANIFEST" | sha256sum`: what Ollama lists as its digest.
    let digest = ring_digest(MANIFEST);
    assert_eq!(found.digest, digest);
    let said = ask("nobody").await.expect_err("it is not");
    assert_eq!(said, "registry.ollama.ai cannot be asked how large it is: it answers 404");
    let said = ask("odd").await.expect_err("it is none");
    assert!(said.contains("no manifest"), "{said}");
}

fn ring_digest(text: &str) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_machine_without_authorities_or_without_a_way_out_says_so() {
    let none = ModelOptions { authorities: Vec::new(), ..ModelOptions::default() };
    let said = adapter_with(none).manifest(&"x".parse().expect("a name")).await.expect_err("it cannot");
    assert!(said.contains("no list of authorities"), "{said}");
}
