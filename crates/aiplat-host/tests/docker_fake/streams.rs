//! Streams that break, flood, or never begin.

use std::{
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};

use aiplat_core::ResourceId;
use aiplat_host::{Backend, Hint};
use futures_util::{Stream, StreamExt};

use crate::engine::{FakeEngine, answer_as, begin, ok, piece, until_hung_up};

async fn next(hints: &mut (impl Stream<Item = Hint> + Unpin)) -> Hint {
    tokio::time::timeout(Duration::from_secs(10), hints.next())
        .await
        .expect("a hint within ten seconds")
        .unwrap()
}

fn event(service: usize, action: &str) -> String {
    let labels = format!(r#""io.aiplat.instance":"i","io.aiplat.resource":"container/s{service}""#);
    format!(
        r#"{{"Type":"container","Action":"{action}","Actor":{{"ID":"c{service}","Attributes":{{{labels}}}}}}}"#
    )
}

#[tokio::test]
async fn a_stream_that_breaks_within_an_event_is_lost_and_found_again() {
    let engine = FakeEngine::start(|_, stream| {
        begin(stream);
        piece(stream, &format!("{}\n", event(1, "die"))).unwrap();
        let half = event(2, "die");
        piece(stream, &half[..half.len() / 2]).unwrap();
    });
    let mut hints = engine.backend().hints();
    // A hint that was not taken may have been overtaken by the next loss, so the round is waited for more than once.
    let mut seen = Vec::new();
    let whole = Hint::Changed(ResourceId::container("s1"));
    let is_lost = |hint: &Hint| matches!(hint, Hint::Lost { .. });
    while !(seen.iter().any(is_lost) && seen.contains(&Hint::Connected) && seen.contains(&whole)) {
        seen.push(next(&mut hints).await);
    }
    assert!(!seen.contains(&Hint::Changed(ResourceId::container("s2"))), "{seen:?}");
    let subscriptions = || engine.seen().iter().filter(|call| call.contains("/events")).count();
    crate::support::eventually("another subscription", async || (subscriptions() > 1).then_some(())).await;
}

#[tokio::test]
async fn an_event_in_pieces_is_one_event_and_nonsense_is_a_listing() {
    let engine = FakeEngine::start(|_, stream| {
        begin(stream);
        for byte in format!("{}\nnonsense\n", event(1, "die")).chars() {
            piece(stream, &byte.to_string()).unwrap();
        }
        until_hung_up(stream);
    });
    let mut hints = engine.backend().hints();
    let mut seen = vec![next(&mut hints).await, next(&mut hints).await, next(&mut hints).await];
    seen.sort_by_key(ToString::to_string);
    assert_eq!(seen, [Hint::Changed(ResourceId::container("s1")), Hint::Connected, Hint::Relist]);
}

#[tokio::test]
async fn an_engine_that_comes_later_is_found() {
    let engine = FakeEngine::absent();
    let mut hints = engine.backend().hints();
    assert!(matches!(next(&mut hints).await, Hint::Lost { reason } if reason.contains("does not answer")));
    tokio::time::sleep(Duration::from_millis(300)).await;
    engine.listen(|request, stream| match request.path.as_str() {
        "/_ping" => answer_as(stream, "1.41", 200, "\"OK\""),
        _ => {
            begin(stream);
            until_hung_up(stream);
        }
    });
    let begun = Instant::now();
    assert_eq!(next(&mut hints).await, Hint::Connected);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_subscription_that_is_refused_is_said_once_and_tried_again() {
    let engine =
        FakeEngine::start(|_, stream| crate::engine::answer(stream, 503, r#"{"message":"starting up"}"#));
    let mut hints = engine.backend().hints();
    assert!(matches!(next(&mut hints).await, Hint::Lost { reason } if reason.contains("starting up")));
    assert!(tokio::time::timeout(Duration::from_millis(700), hints.next()).await.is_err(), "said once");
    assert!(engine.seen().iter().filter(|call| call.contains("/events")).count() > 2, "{:?}", engine.seen());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stuck_consumer_does_not_slow_the_engine_down() {
    const EVENTS: usize = 200_000;
    let (done, is_done) = mpsc::channel();
    let done = Mutex::new(done);
    let engine = FakeEngine::start(move |_, stream| {
        begin(stream);
        let begun = Instant::now();
        let batch: Vec<String> = (0..100).map(|n| event(n, "die") + "\n").collect();
        let batch = batch.concat();
        for _ in 0..EVENTS / 100 {
            piece(stream, &batch).unwrap();
        }
        piece(stream, &format!("{}\n", event(100, "die"))).unwrap();
        done.lock().unwrap().send(begun.elapsed()).unwrap();
        until_hung_up(stream);
    });
    let mut hints = engine.backend().hints();
    assert_eq!(next(&mut hints).await, Hint::Connected);
    // From here on nobody reads. All 34 MB of events fit no socket buffer: the engine is done only if our reader reads.
    let took =
        tokio::task::spawn_blocking(move || is_done.recv_timeout(Duration::from_secs(60))).await.unwrap();
    let took = took.expect("the engine has written all its events");
    assert!(took < Duration::from_secs(60), "{took:?}");
    let (last, mut seen) = (Hint::Changed(ResourceId::container("s100")), Vec::new());
    while seen.last() != Some(&last) {
        seen.push(next(&mut hints).await);
    }
    let services: std::collections::BTreeSet<String> = seen.iter().map(ToString::to_string).collect();
    assert_eq!(services.len(), 101, "none is lost");
    // What was still on its way when the reading began is some hundred kilobytes.
    assert!(seen.len() < EVENTS / 10, "{} hints of {EVENTS} events", seen.len());
}

#[tokio::test]
async fn a_stream_that_is_dropped_unsubscribes() {
    let (hung_up, was_hung_up) = mpsc::channel();
    let hung_up = Arc::new(Mutex::new(hung_up));
    let engine = FakeEngine::start(move |_, stream| {
        begin(stream);
        until_hung_up(stream);
        hung_up.lock().unwrap().send(()).ok();
    });
    let mut hints = engine.backend().hints();
    assert_eq!(next(&mut hints).await, Hint::Connected);
    drop(hints);
    let closed = tokio::task::spawn_blocking(move || was_hung_up.recv_timeout(Duration::from_secs(5)));
    closed.await.unwrap().expect("the connection is closed");
}

#[tokio::test]
async fn foreign_churn_asks_for_one_listing_a_second() {
    let engine = FakeEngine::start(|request, stream| {
        if !request.path.contains("/events") {
            return ok(stream, "[]");
        }
        begin(stream);
        let foreign = r#"{"Type":"container","Action":"die","Actor":{"ID":"f","Attributes":{"name":"x"}}}"#;
        while piece(stream, &format!("{foreign}\n")).is_ok() {
            std::thread::sleep(Duration::from_millis(2));
        }
    });
    let mut hints = engine.backend().hints();
    let begun = Instant::now();
    let mut relists = 0;
    while begun.elapsed() < Duration::from_millis(2500) {
        let hint = tokio::time::timeout(Duration::from_millis(500), hints.next()).await;
        relists += usize::from(matches!(hint, Ok(Some(Hint::Relist))));
    }
    assert!((2..=4).contains(&relists), "{relists}");
}
