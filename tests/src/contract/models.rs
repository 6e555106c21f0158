//! What the daemon relies on of servers of models: the same for the simulated ones and for the stand-in on the wire.

use std::sync::{Arc, Mutex};

use aiplat_core::{
    action::{FreeRoom, PullModel},
    condition::{ErrorClass, Reason},
    observed::{ModelAnswer, ModelEndpoint, ModelFacts, PullProgress},
};
use aiplat_host::{HostError, HostErrorKind, Models, Progress};
use tokio_util::sync::CancellationToken;

use crate::sim::models::named;

/// A server under contract, which has nothing yet, and names of models that behave in a certain way there.
pub struct Place<'a> {
    /// The port.
    pub models: &'a dyn Models,
    /// The server.
    pub at: ModelEndpoint,
    /// A server that does not answer.
    pub away: ModelEndpoint,
    /// One that comes at once.
    pub good: &'a str,
    /// One that the registry does not have.
    pub missing: &'a str,
    /// One of which half comes, and then nothing; the second attempt comes to its end.
    pub stalls: &'a str,
    /// One that takes long.
    pub slow: &'a str,
}

impl Place<'_> {
    async fn facts(&self) -> ModelFacts {
        match self.models.observe(&self.at).await {
            ModelAnswer::Answers(facts) => facts,
            ModelAnswer::Unreachable { why } => panic!("{why}"),
        }
    }

    async fn has(&self, model: &str) -> bool {
        self.facts().await.model(&named(model)).is_some()
    }

    fn of(&self, model: &str, free: Option<u64>) -> PullModel {
        let room = free.map(|free| FreeRoom { free, on: "/".to_owned() });
        PullModel { model: named(model), at: self.at.clone(), bytes: None, room }
    }

    /// Pulls, and answers with the bytes as they were told.
    async fn pull(&self, pull: &PullModel) -> (Result<(), HostError>, Vec<PullProgress>) {
        let told: Arc<Mutex<Vec<PullProgress>>> = Arc::default();
        let of_call = Arc::clone(&told);
        let progress: Progress = Arc::new(move |bytes| of_call.lock().expect("no panic").push(bytes));
        let result = self.models.pull(pull, progress, CancellationToken::new()).await;
        let told = told.lock().expect("no panic").iter().filter(|it| it.total > 0).copied().collect();
        (result, told)
    }
}

/// All of it, in one life of a server. Panics where something does not hold.
pub async fn holds(place: &Place<'_>) {
    assert_eq!(place.facts().await.models, [], "nothing is there yet");
    asks(place).await;
    pulls(place).await;
    ends(place).await;
    let stored = place.facts().await.model(&named(place.good)).expect("it is there").name.clone();
    place.models.delete(&place.at, &stored).await.expect("what is there is removed");
    assert!(!place.has(place.good).await);
    place.models.delete(&place.at, &stored).await.expect("what is gone is a success");
}

async fn asks(place: &Place<'_>) {
    let away = place.models.observe(&place.away).await;
    assert!(matches!(away, ModelAnswer::Unreachable { .. }), "{away:?}");
    let nobody = PullModel { at: place.away.clone(), ..place.of(place.good, None) };
    let error = place.pull(&nobody).await.0.expect_err("nobody is there");
    assert_eq!(error.kind, HostErrorKind::Unreachable, "nothing was done: {error}");
}

async fn pulls(place: &Place<'_>) {
    let (result, told) = place.pull(&place.of(place.good, Some(1 << 40))).await;
    result.expect("what the registry has, and the disk has room for, comes");
    assert!(told.iter().map(|it| it.done).is_sorted(), "bytes never run backwards: {told:?}");
    let stored = place.facts().await.model(&named(place.good)).expect("it is there").clone();
    assert!(!stored.digest.is_empty() && stored.size > 0, "{stored:?}");
    let (result, _) = place.pull(&place.of(place.good, None)).await;
    result.expect("what is there is pulled again");

    let error = place.pull(&place.of(place.missing, None)).await.0.expect_err("there is none");
    assert_eq!((error.class, error.reason), (ErrorClass::Rejected, Reason::ModelNotFound), "{error}");
    assert!(!place.has(place.missing).await);
}

async fn ends(place: &Place<'_>) {
    let small = place.of(place.slow, Some(1));
    let error = place.pull(&small).await.0.expect_err("it is too large");
    assert_eq!((error.class, error.reason), (ErrorClass::Transient, Reason::DiskFull), "{error}");

    let (result, before) = place.pull(&place.of(place.stalls, None)).await;
    let error = result.expect_err("no byte comes any more");
    assert_eq!((error.class, error.reason), (ErrorClass::Transient, Reason::RegistryUnavailable), "{error}");
    assert!(!place.has(place.stalls).await, "half of it is not it");
    let (result, after) = place.pull(&place.of(place.stalls, None)).await;
    result.expect("it comes now");
    let came = before.last().map_or(0, |it| it.done);
    assert!(came > 0 && after.iter().all(|it| it.done >= came), "it goes on where it was: {came} {after:?}");

    let cancel = CancellationToken::new();
    let begun = cancel.clone();
    let progress: Progress = Arc::new(move |_| begun.cancel());
    let called_off = place.models.pull(&place.of(place.slow, None), progress, cancel).await;
    let error = called_off.expect_err("it is called off");
    assert_eq!((error.kind, error.class), (HostErrorKind::OutcomeUnknown, ErrorClass::Changed), "{error}");
    assert!(!place.has(place.slow).await);
}
