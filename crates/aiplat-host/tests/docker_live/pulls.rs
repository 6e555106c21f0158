//! Pulls from a registry of our own, which has its moods.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use aiplat_core::{
    ResourceId,
    action::Action,
    condition::{ErrorClass, Reason},
    observed::{Observed, ObservedImage, PullProgress},
};
use aiplat_host::{Backend, HostError, docker::DockerBackend};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    fixture::{Fixture, free_port},
    registry::{Mood, Registry},
    support,
};

async fn pull(backend: &DockerBackend, reference: &str) -> (Result<(), HostError>, Vec<PullProgress>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = seen.clone();
    let progress: aiplat_host::Progress = Arc::new(move |progress| record.lock().unwrap().push(progress));
    let action = Action::PullImage { reference: reference.to_owned() };
    let result =
        backend.apply(&ResourceId::image(reference), &action, progress, CancellationToken::new()).await;
    let seen = seen.lock().unwrap().clone();
    (result, seen)
}

fn forget(fixture: &Fixture, reference: &str) {
    fixture.by_hand("DELETE", &format!("/images/{reference}"), &Value::Null);
}

#[track_caller]
fn check(result: Result<(), HostError>, class: ErrorClass, reason: Reason) -> String {
    let error = result.unwrap_err();
    assert_eq!((error.class, error.reason), (class, reason), "{error}");
    error.message
}

#[tokio::test]
async fn an_image_is_pulled_with_its_bytes() {
    let Some(fixture) = Fixture::new() else { return };
    let registry = Registry::start(Mood::Kind);
    let reference = format!("{}/kind:1", registry.address);
    let (result, progress) = pull(&fixture.backend, &reference).await;
    result.unwrap();
    let seen = fixture.look(ResourceId::image(&reference), &reference).await;
    forget(&fixture, &reference);
    assert!(matches!(seen, Observed::Image(_, ObservedImage::Present { .. })), "{seen:?}");
    let last = progress.last().unwrap();
    assert!(last.done == last.total && last.total >= 3 << 20, "{last:?}");
    assert!(progress.iter().any(|p| p.done > 0 && p.done < p.total), "something in between: {progress:?}");
    assert!(progress.is_sorted_by_key(|p| p.done), "never backwards: {progress:?}");
}

#[tokio::test]
async fn what_the_registry_does_not_have_is_rejected() {
    let Some(fixture) = Fixture::new() else { return };
    let registry = Registry::start(Mood::Kind);
    for reference in [format!("{}/kind:2", registry.address), format!("{}/kind", registry.address)] {
        let said =
            check(pull(&fixture.backend, &reference).await.0, ErrorClass::Rejected, Reason::ImageNotFound);
        assert!(said.contains("check the name and the tag"), "{said}");
    }
    let foreign = Registry::start(Mood::Foreign);
    let reference = format!("{}/foreign:1", foreign.address);
    let said = check(pull(&fixture.backend, &reference).await.0, ErrorClass::Rejected, Reason::ImageNotFound);
    assert!(said.contains("platform"), "{said}");
    check(pull(&fixture.backend, "Not A Reference").await.0, ErrorClass::Rejected, Reason::ImageNotFound);
}

#[tokio::test]
async fn a_private_registry_wants_credentials_and_gets_them_from_the_file() {
    let Some(fixture) = Fixture::new() else { return };
    let registry = Registry::start(Mood::Private);
    let reference = format!("{}/private:1", registry.address);
    let said = check(pull(&fixture.backend, &reference).await.0, ErrorClass::Denied, Reason::RegistryDenied);
    assert!(said.contains("docker login"), "{said}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    let backend =
        || DockerBackend::new(support::socket(), fixture.instance.clone()).with_credentials_file(&file);
    std::fs::write(&file, json!({"auths": {}, "credsStore": "pass"}).to_string()).unwrap();
    let said = check(pull(&backend(), &reference).await.0, ErrorClass::Denied, Reason::RegistryDenied);
    assert!(said.contains("docker-credential-pass"), "{said}");

    let auths = json!({"auths": {(registry.address.as_str()): {"auth": "YW5uOnMzY3JldA=="}}});
    std::fs::write(&file, auths.to_string()).unwrap();
    let (result, _) = pull(&backend(), &reference).await;
    forget(&fixture, &reference);
    result.unwrap();
}

#[tokio::test]
async fn a_registry_that_limits_fails_or_is_away_is_tried_again() {
    let Some(fixture) = Fixture::new() else { return };
    for mood in [Mood::Limited, Mood::Down] {
        let registry = Registry::start(mood);
        let (result, _) = pull(&fixture.backend, &format!("{}/x:1", registry.address)).await;
        check(result, ErrorClass::Transient, Reason::RegistryUnavailable);
    }
    let (result, _) = pull(&fixture.backend, &format!("127.0.0.1:{}/x:1", free_port())).await;
    let said = check(result, ErrorClass::Transient, Reason::RegistryUnavailable);
    assert!(said.contains("connection refused"), "{said}");
}

#[tokio::test]
async fn a_pull_that_stalls_fails_and_a_cancelled_one_ends_at_once() {
    let Some(fixture) = Fixture::new() else { return };
    let registry = Registry::start(Mood::Stalls);
    let reference = format!("{}/stalls:1", registry.address);
    let impatient = DockerBackend::new(support::socket(), fixture.instance.clone())
        .with_pull_stall(Duration::from_secs(2));
    let (result, _) = pull(&impatient, &reference).await;
    let said = check(result, ErrorClass::Transient, Reason::RegistryUnavailable);
    assert!(said.contains("no progress for 2s"), "{said}");

    let cancel = CancellationToken::new();
    let soon = cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        soon.cancel();
    });
    let begun = std::time::Instant::now();
    let action = Action::PullImage { reference: reference.clone() };
    let result =
        fixture.backend.apply(&ResourceId::image(&reference), &action, support::no_progress(), cancel).await;
    assert!(
        result.is_err() && begun.elapsed() < Duration::from_secs(2),
        "{result:?} after {:?}",
        begun.elapsed()
    );
}
