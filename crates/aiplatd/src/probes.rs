//! Executes the probes that `watch` asks for: one task a probed service, ended when there is nothing to probe.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aiplat_core::{
    ResourceId,
    observed::{Incarnation, ProbeFacts, ProbeOutcome},
    spec::ProbeSpec,
    watch::{ProbeSchedule, watch},
};
use tokio::task::{AbortHandle, JoinSet};

use crate::shared::Shared;

/// The probing tasks.
#[derive(Clone)]
pub struct Prober {
    shared: Arc<Shared>,
    tasks: Arc<Mutex<Tasks>>,
}

#[derive(Default)]
struct Tasks {
    running: BTreeMap<ResourceId, Following>,
    set: JoinSet<()>,
}

/// What a task follows: another run or another probe needs another task.
struct Following {
    incarnation: Incarnation,
    probe: ProbeSpec,
    task: AbortHandle,
}

impl Prober {
    /// A prober that follows nothing yet. Its tasks end with it.
    #[must_use]
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, tasks: Arc::default() }
    }

    /// Probes `id` from now on as `watch` says, if it says so.
    pub fn follow(&self, id: &ResourceId) {
        let schedule = next(&self.shared, id);
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let tasks = &mut *tasks;
        while tasks.set.try_join_next().is_some() {}
        let Some(schedule) = schedule else {
            if let Some(old) = tasks.running.remove(id) {
                old.task.abort();
            }
            return;
        };
        let same = tasks.running.get(id).is_some_and(|following| {
            following.incarnation == schedule.incarnation
                && following.probe == schedule.probe
                && !following.task.is_finished()
        });
        if same {
            return;
        }
        let task = tasks.set.spawn(run(Arc::clone(&self.shared), id.clone()));
        let following = Following { incarnation: schedule.incarnation, probe: schedule.probe, task };
        if let Some(old) = tasks.running.insert(id.clone(), following) {
            old.task.abort();
        }
    }
}

fn next(shared: &Shared, id: &ResourceId) -> Option<ProbeSchedule> {
    let state = shared.lock();
    watch(&state.world(shared.now())?, id)
}

async fn run(shared: Arc<Shared>, id: ResourceId) {
    let Some(first) = next(&shared, &id) else { return };
    let following = first.incarnation.clone();
    begin(&shared, &id, &following);
    while let Some(schedule) = next(&shared, &id).filter(|schedule| schedule.incarnation == following) {
        tokio::time::sleep(schedule.after).await;
        let ProbeSchedule { container, address, probe, .. } = schedule;
        let asked = shared.now();
        // The adapter bounds itself; this bound is for an adapter that does not.
        let call = shared.host.probe(&container, address, &probe.kind, probe.timeout);
        let result = match tokio::time::timeout(probe.timeout + Duration::from_secs(5), call).await {
            Ok(result) => result,
            Err(_elapsed) => Err(format!("{}: no answer within {:?}", probe.kind, probe.timeout)),
        };
        record(&shared, &id, &following, &probe, asked, result);
    }
}

/// The time to become ready runs from the first look, not from the first answer.
fn begin(shared: &Shared, id: &ResourceId, incarnation: &Incarnation) {
    let now = shared.now();
    let mut state = shared.lock();
    let facts = state.observed.probes.get(id);
    if facts.is_none_or(|facts| facts.incarnation != *incarnation) {
        state.observed.probes.insert(id.clone(), ProbeFacts::new(incarnation.clone(), now));
    }
}

fn record(
    shared: &Shared,
    id: &ResourceId,
    incarnation: &Incarnation,
    probe: &ProbeSpec,
    asked: aiplat_core::Timestamp,
    result: Result<String, String>,
) {
    let now = shared.now();
    let passed = result.is_ok();
    let transcript = result.unwrap_or_else(|failed| failed);
    let outcome = ProbeOutcome { at: now, passed, transcript, took: now.since(asked) };
    let mut state = shared.lock();
    let Some(facts) = state.observed.probes.get_mut(id).filter(|facts| facts.incarnation == *incarnation)
    else {
        return;
    };
    let first = facts.attempts == 0;
    let before = facts.healthy;
    facts.record(outcome, probe);
    // A steady service costs its probe and nothing else; while a threshold is pending every result is a hint.
    let news = first || before != facts.healthy || facts.healthy != Some(true) || !passed;
    drop(state);
    if news {
        shared.schedule([id.clone()]);
    }
}
