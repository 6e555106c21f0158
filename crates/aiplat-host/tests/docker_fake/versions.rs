//! Which API version is spoken.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use aiplat_core::condition::{ErrorClass, Reason};
use aiplat_host::Backend;

use crate::engine::{FakeEngine, answer_as, ok};

fn lists(path: &str) -> &'static str {
    if path.ends_with("/volumes") { r#"{"Volumes":[]}"# } else { "[]" }
}

#[tokio::test]
async fn a_newer_engine_is_spoken_to_in_the_version_that_we_know() {
    let engine = FakeEngine::absent();
    engine.listen(|request, stream| answer_as(stream, "1.53", 200, lists(&request.path)));
    engine.backend().observe_all().await.unwrap();
    assert!(
        engine.seen().iter().filter(|call| *call != "GET /_ping").all(|call| call.contains(" /v1.44/")),
        "{:?}",
        engine.seen()
    );
}

#[tokio::test]
async fn an_engine_that_is_too_old_is_refused_with_a_sentence() {
    let engine = FakeEngine::absent();
    engine.listen(|_, stream| answer_as(stream, "1.40", 200, "[]"));
    let error = engine.backend().observe_all().await.unwrap_err();
    assert_eq!((error.class, error.reason), (ErrorClass::Unsupported, Reason::Unsupported));
    assert!(error.message.contains("1.40") && error.message.contains("20.10"), "{error}");
    assert!(engine.seen().iter().all(|call| call == "GET /_ping"), "{:?}", engine.seen());
}

#[tokio::test]
async fn an_engine_that_names_its_version_only_in_a_body_is_asked_for_it() {
    let engine = FakeEngine::absent();
    engine.listen(|request, stream| {
        use std::io::Write;
        let body = match request.path.as_str() {
            "/_ping" => "\"OK\"",
            "/version" => r#"{"ApiVersion":"1.43"}"#,
            path => lists(path),
        };
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).ok();
    });
    engine.backend().observe_all().await.unwrap();
    assert!(engine.seen().iter().any(|call| call == "GET /v1.43/networks"), "{:?}", engine.seen());
}

#[tokio::test]
async fn an_upgrade_between_two_calls_is_noticed() {
    let upgraded = Arc::new(AtomicBool::new(false));
    let now = upgraded.clone();
    let engine = FakeEngine::absent();
    engine.listen(move |request, stream| {
        let (version, oldest) = if now.load(Ordering::SeqCst) { ("1.53", "1.44") } else { ("1.41", "1.12") };
        if request.path.starts_with("/v1.41/") && oldest == "1.44" {
            let text = "client version 1.41 is too old. Minimum supported API version is 1.44, please upgrade your client to a newer version";
            return answer_as(stream, version, 400, &format!(r#"{{"message":"{text}"}}"#));
        }
        answer_as(stream, version, 200, lists(&request.path));
    });
    let backend = engine.backend();
    backend.observe_all().await.unwrap();
    upgraded.store(true, Ordering::SeqCst);
    backend.observe_all().await.unwrap();
    assert!(engine.seen().iter().any(|call| call == "GET /v1.44/networks"), "{:?}", engine.seen());
}

#[tokio::test]
async fn the_version_is_asked_for_once() {
    let engine = FakeEngine::start(|request, stream| ok(stream, lists(&request.path)));
    let backend = engine.backend();
    backend.observe_all().await.unwrap();
    let pings = || engine.seen().iter().filter(|call| *call == "GET /_ping").count();
    let first = pings();
    backend.observe_all().await.unwrap();
    assert_eq!(pings(), first);
}
