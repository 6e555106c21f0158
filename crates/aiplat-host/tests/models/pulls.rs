//! Pulls: to their end, and in every way in which they do not come to it.

use std::{sync::Arc, time::Duration};

use aiplat_core::{
    condition::{ErrorClass, Reason},
    observed::PullProgress,
};
use aiplat_host::{HostErrorKind, Models, Progress};
use tokio_util::sync::CancellationToken;

use crate::server::{SIZE, adapter, endpoint, listen, say, start};

fn nothing() -> Progress {
    Arc::new(|_| {})
}

#[tokio::test]
async fn bytes_are_told_as_they_come_and_never_run_backwards() {
    let server = start();
    let (result, told) = server.pull("chat:8b").await;
    result.expect("it comes");
    let done: Vec<u64> = told.iter().map(|it| it.done).collect();
    assert!(done.is_sorted() && done.len() > 3, "{done:?}");
    assert_eq!(told.last(), Some(&PullProgress { done: SIZE, total: SIZE }));
    assert_eq!(server.store.pulled()[0].name, "chat:8b");
}

#[tokio::test]
async fn what_stands_still_is_given_up_though_lines_come_and_goes_on_where_it_was() {
    let server = start();
    let (result, told) = server.pull("stall").await;
    let error = result.expect_err("it stands still");
    assert_eq!((error.class, error.reason), (ErrorClass::Transient, Reason::RegistryUnavailable));
    assert!(error.message.contains("got no new byte for 400ms, at 500 B of 1000 B"), "{}", error.message);
    assert_eq!(told.last().map(|it| it.done), Some(SIZE / 2));
    let (result, told) = server.pull("stall").await;
    result.expect("it comes now");
    assert!(told.iter().all(|it| it.total == 0 || it.done >= SIZE / 2), "{told:?}");
}

#[tokio::test]
async fn what_breaks_off_is_tried_again_and_goes_on_where_it_was() {
    for (model, kind, reason) in [
        ("break", HostErrorKind::Refused, Reason::RegistryUnavailable),
        ("hangup", HostErrorKind::OutcomeUnknown, Reason::ModelServerUnreachable),
    ] {
        let server = start();
        let error = server.pull(model).await.0.expect_err("it breaks off");
        assert_eq!((error.kind, error.class, error.reason), (kind, ErrorClass::Transient, reason), "{error}");
        let (result, told) = server.pull(model).await;
        result.expect("it comes now");
        assert!(told.iter().all(|it| it.total == 0 || it.done >= SIZE / 2), "{told:?}");
    }
}

#[tokio::test]
async fn what_the_registry_lacks_is_told_apart_from_what_the_disk_has_no_room_for() {
    let server = start();
    let error = server.pull("missing:7b").await.0.expect_err("there is none");
    assert_eq!((error.class, error.reason), (ErrorClass::Rejected, Reason::ModelNotFound));
    assert!(error.message.contains("https://ollama.com/library/missing/tags lists"), "{}", error.message);
    let error = server.pull("full:7b").await.0.expect_err("it is full");
    assert_eq!((error.class, error.reason), (ErrorClass::Transient, Reason::DiskFull));
    assert!(error.message.contains("no space left on device"), "{}", error.message);
}

#[tokio::test]
async fn what_announces_more_than_there_is_room_for_is_ended_at_once() {
    let server = start();
    let small = server.of("slow", Some(10));
    let error =
        adapter().pull(&small, nothing(), CancellationToken::new()).await.expect_err("it is too large");
    assert_eq!((error.class, error.reason), (ErrorClass::Transient, Reason::DiskFull));
    assert!(
        error
            .message
            .contains("slow:latest needs 1000 B (as its pull announced), and 10 B are free on / (ext4"),
        "{}",
        error.message
    );
    assert!(server.store.pulled().is_empty());
    let large = server.of("chat", Some(1 << 40));
    adapter().pull(&large, nothing(), CancellationToken::new()).await.expect("it fits");
}

#[tokio::test]
async fn one_that_is_called_off_ends_and_its_server_stops() {
    let server = start();
    let pull = server.of("slow", None);
    let cancel = CancellationToken::new();
    let begun = cancel.clone();
    // The first byte calls it off.
    let progress: Progress = Arc::new(move |bytes| {
        if bytes.done > 0 {
            begun.cancel();
        }
    });
    let error = adapter().pull(&pull, progress, cancel).await.expect_err("it is called off");
    assert_eq!((error.kind, error.class), (HostErrorKind::OutcomeUnknown, ErrorClass::Changed));
    // The next one begins with what came by then: had the server gone on, nothing would be left of its minute.
    let (sender, mut first) = tokio::sync::mpsc::unbounded_channel();
    let progress: Progress = Arc::new(move |bytes| {
        // Who waited for the first of them has it.
        let _gone = sender.send(bytes);
    });
    let adapter = adapter();
    let again = adapter.pull(&pull, progress, CancellationToken::new());
    let bytes = tokio::select! {
        done = again => panic!("{done:?}"),
        bytes = async { loop { match first.recv().await { Some(it) if it.total > 0 => break it, _ => {} } } } => bytes,
    };
    assert!((1..SIZE / 2).contains(&bytes.done), "{bytes:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_has_done_nothing_and_one_that_refuses_is_quoted() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it is bound");
    let mut pull = start().of("x", None);
    pull.at = endpoint(free);
    let error =
        adapter().pull(&pull, nothing(), CancellationToken::new()).await.expect_err("nobody is there");
    assert_eq!((error.kind, error.reason), (HostErrorKind::Unreachable, Reason::ModelServerUnreachable));
    pull.at =
        endpoint(listen(|_, stream| say(stream, "400 Bad Request", r#"{"error":"invalid model name"}"#)));
    let error = adapter().pull(&pull, nothing(), CancellationToken::new()).await.expect_err("it refuses");
    assert_eq!((error.class, error.reason), (ErrorClass::Rejected, Reason::ModelNotFound));
    pull.at = endpoint(listen(|_, stream| {
        say(stream, "200 OK", "{\"status\":\"pulling manifest\"}\nnonsense\n{\"status\":\"who knows\"}\n");
    }));
    let error = adapter().pull(&pull, nothing(), CancellationToken::new()).await.expect_err("it says no end");
    assert!(error.message.contains("neither `success` nor what is wrong"), "{error}");
}

#[tokio::test]
async fn bytes_that_are_compared_for_a_while_have_not_stalled() {
    use std::io::Write;
    let address = listen(|_, stream| {
        let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
        let line = |status: &str| format!("{{\"status\":\"{status}\"}}\n");
        let bytes = "{\"status\":\"pulling abc\",\"digest\":\"sha256:abc\",\"total\":9,\"completed\":9}\n";
        let first = format!("{head}{bytes}{}", line("verifying sha256 digest"));
        drop(stream.write_all(first.as_bytes()));
        std::thread::sleep(Duration::from_millis(900));
        drop(stream.write_all(line("success").as_bytes()));
    });
    let mut pull = start().of("x", None);
    pull.at = endpoint(address);
    adapter().pull(&pull, nothing(), CancellationToken::new()).await.expect("nothing has stalled");
}
