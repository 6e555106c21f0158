//! Events of the real engine, as hints.

use std::{collections::BTreeSet, time::Duration};

use aiplat_core::{ResourceId, action::Action};
use aiplat_host::{Backend, Hint};
use futures_util::{Stream, StreamExt};
use serde_json::{Value, json};

use crate::{
    fixture::Fixture,
    support::{apply, spec},
};

/// Hints until `wanted` has come.
async fn until(hints: &mut (impl Stream<Item = Hint> + Unpin), wanted: &Hint) -> Vec<Hint> {
    let mut seen = Vec::new();
    while seen.last() != Some(wanted) {
        let next = tokio::time::timeout(Duration::from_secs(10), hints.next()).await;
        seen.push(next.unwrap_or_else(|_| panic!("no {wanted} within ten seconds, but {seen:?}")).unwrap());
    }
    seen
}

/// Hints until none has come for 300 ms.
async fn drain(hints: &mut (impl Stream<Item = Hint> + Unpin)) -> Vec<Hint> {
    let mut seen = Vec::new();
    while let Ok(Some(hint)) = tokio::time::timeout(Duration::from_millis(300), hints.next()).await {
        seen.push(hint);
    }
    seen
}

#[tokio::test]
async fn a_death_a_disconnection_and_a_removal_of_ours_are_heard_of() {
    let Some(fixture) = Fixture::new() else { return };
    let mut hints = fixture.backend.hints();
    assert_eq!(hints.next().await, Some(Hint::Connected));
    let app = Hint::Changed(ResourceId::container("app"));
    let front = fixture.network("front").await;
    let mut create = fixture.spec("app", fixture.runtime(&["sleep"]));
    create.network = Some(spec::attachment(&front.name, &["app"]));
    let id = fixture.create(create).await.unwrap();
    fixture.start("app", &id).await.unwrap();
    until(&mut hints, &app).await;
    drain(&mut hints).await;

    // By hand, of a running container: the event names it by id only.
    fixture.by_hand("POST", &format!("/networks/{}/disconnect", front.name), &json!({"Container": id.0}));
    until(&mut hints, &app).await;
    drain(&mut hints).await;

    fixture.by_hand("POST", &format!("/containers/{}/kill", id.0), &Value::Null);
    until(&mut hints, &app).await;
    drain(&mut hints).await;

    fixture.by_hand("DELETE", &format!("/containers/{}", id.0), &Value::Null);
    until(&mut hints, &app).await;
}

#[tokio::test]
async fn foreign_deaths_are_listings_and_name_nobody() {
    let Some(fixture) = Fixture::new() else { return };
    let mut hints = fixture.backend.hints();
    assert_eq!(hints.next().await, Some(Hint::Connected));
    let id = fixture.foreign(&fixture.name("foreign"), &json!({}), &json!({}));
    fixture.by_hand("POST", &format!("/containers/{id}/start"), &Value::Null);
    let seen = until(&mut hints, &Hint::Relist).await;
    assert!(!seen.iter().any(|hint| matches!(hint, Hint::Changed(_))), "{seen:?}");
}

#[tokio::test]
async fn our_own_probes_are_not_heard_of() {
    let Some(fixture) = Fixture::new() else { return };
    let mut hints = fixture.backend.hints();
    let id = fixture.run("app", &["sleep"]).await;
    drain(&mut hints).await;
    let exec = aiplat_core::spec::ProbeKind::Exec { argv: vec!["/tool".to_owned(), "say".to_owned()] };
    fixture.backend.probe(&id, None, &exec, Duration::from_secs(5)).await.unwrap();
    let ours: BTreeSet<String> = drain(&mut hints)
        .await
        .iter()
        .filter(|hint| matches!(hint, Hint::Changed(_)))
        .map(ToString::to_string)
        .collect();
    assert!(ours.is_empty(), "{ours:?}");
}

#[tokio::test]
async fn an_image_that_goes_is_heard_of_by_whoever_looked() {
    let Some(fixture) = Fixture::new() else { return };
    let (repo, tag) = (fixture.name("tagged"), "1");
    let reference = format!("{repo}:{tag}");
    let mut hints = fixture.backend.hints();
    assert_eq!(hints.next().await, Some(Hint::Connected));
    fixture.look(ResourceId::image(&reference), &reference).await;
    fixture.by_hand(
        "POST",
        &format!("/images/{}/tag?repo={repo}&tag={tag}", fixture.image.name),
        &Value::Null,
    );
    let image = Hint::Changed(ResourceId::image(&reference));
    until(&mut hints, &image).await;
    fixture.look(ResourceId::image(&reference), &reference).await;
    fixture.by_hand("DELETE", &format!("/images/{reference}"), &Value::Null);
    until(&mut hints, &image).await;
}

#[tokio::test]
async fn a_stuck_consumer_does_not_slow_the_engine_down() {
    let Some(fixture) = Fixture::new() else { return };
    let mut hints = fixture.backend.hints();
    assert_eq!(hints.next().await, Some(Hint::Connected));
    let app = ResourceId::container("app");
    let id = fixture.run("app", &["sleep"]).await;
    let rename = async |to: &str| {
        let to = fixture.name(to);
        apply(&fixture.backend, &app, Action::RenameContainer { id: id.clone(), to }).await.unwrap();
    };
    // Nobody looks at the hints while the engine has a hundred things to tell.
    let begun = std::time::Instant::now();
    for _ in 0..50 {
        rename("a").await;
        rename("b").await;
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
    let seen = until(&mut hints, &Hint::Changed(app)).await;
    assert!(seen.len() < 20, "{seen:?}");
}
