//! Executes the probes that `watch` asks for: one task a probe of a service, ended when there is nothing to probe.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aiplat_core::{
    ResourceId,
    observed::{ASKED_AT, ContainerId, Incarnation, Listening, ProbeFacts, ProbeOutcome},
    plan,
    spec::{ProbeSpec, Role},
    watch::{ProbeSchedule, watch},
};
use aiplat_host::UnitAnswer;
use tokio::{
    sync::Notify,
    task::{AbortHandle, JoinSet},
};

use crate::{reaching::Reacher, shared::Shared};

/// The probing tasks.
#[derive(Clone)]
pub struct Prober {
    shared: Arc<Shared>,
    reacher: Reacher,
    tasks: Arc<Mutex<Tasks>>,
}

#[derive(Default)]
struct Tasks {
    running: BTreeMap<(ResourceId, Role), Following>,
    set: JoinSet<()>,
}

/// What a task follows: another run or another probe needs another task.
struct Following {
    incarnation: Incarnation,
    probe: ProbeSpec,
    task: AbortHandle,
    /// Something that `watch` looks at may have changed: the next probe may be due sooner.
    again: Arc<Notify>,
}

impl Prober {
    /// A prober that follows nothing yet. Its tasks end with it.
    #[must_use]
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { reacher: Reacher::new(Arc::clone(&shared)), shared, tasks: Arc::default() }
    }

    /// Probes `id` from now on as `watch` says, where it says so.
    pub fn follow(&self, id: &ResourceId) {
        for role in Role::ALL {
            self.follow_one(&(id.clone(), role));
        }
        self.reacher.follow(id);
    }

    fn follow_one(&self, key: &Key) {
        let schedule = next(&self.shared, key);
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let tasks = &mut *tasks;
        while tasks.set.try_join_next().is_some() {}
        let Some(schedule) = schedule else {
            if let Some(old) = tasks.running.remove(key) {
                old.task.abort();
                suspend(&self.shared, key);
            }
            return;
        };
        if let Some(following) = tasks.running.get(key)
            && following.incarnation == schedule.incarnation
            && following.probe == schedule.probe
            && !following.task.is_finished()
        {
            following.again.notify_one();
            return;
        }
        let again = Arc::new(Notify::new());
        let task = tasks.set.spawn(run(
            Arc::clone(&self.shared),
            self.reacher.clone(),
            key.clone(),
            Arc::clone(&again),
        ));
        let following = Following { incarnation: schedule.incarnation, probe: schedule.probe, task, again };
        if let Some(old) = tasks.running.insert(key.clone(), following) {
            old.task.abort();
        }
    }
}

/// Of which service, and what for.
type Key = (ResourceId, Role);

fn next(shared: &Shared, (id, role): &Key) -> Option<ProbeSchedule> {
    let state = shared.lock();
    watch(&state.world(shared.now())?, id, *role)
}

/// A liveness probe that is held up begins anew: what failed before a dependency was seen to be down does not count.
fn suspend(shared: &Shared, (id, role): &Key) {
    if *role == Role::Liveness && shared.lock().observed.probes.remove(&(id.clone(), *role)).is_some() {
        shared.schedule([id.clone()]);
    }
}

async fn run(shared: Arc<Shared>, reacher: Reacher, key: Key, again: Arc<Notify>) {
    let Some(first) = next(&shared, &key) else { return };
    let following = first.incarnation.clone();
    begin(&shared, &key, &following);
    while let Some(schedule) = next(&shared, &key).filter(|schedule| schedule.incarnation == following) {
        tokio::select! {
            biased;
            // Cancel-safe: the time is computed anew.
            () = tokio::time::sleep(schedule.after) => {}
            // Cancel-safe: a permit that is not taken stays.
            () = again.notified() => continue,
        }
        let ProbeSchedule { container, role: _, incarnation: _, address, probe, after: _ } = schedule;
        let asked = shared.now();
        let call = ask(&shared, &key.0, container.as_ref(), address, &probe);
        // The adapter bounds itself; this bound is for an adapter that does not.
        let answer = match tokio::time::timeout(probe.timeout + Duration::from_secs(5), call).await {
            Ok(answer) => answer,
            Err(_elapsed) => {
                UnitAnswer::unseen(Err(format!("{}: no answer within {:?}", probe.kind, probe.timeout)))
            }
        };
        if let (Some(listeners), Some(port)) = (answer.listeners, probe.kind.port()) {
            let listening = Listening { incarnation: following.clone(), port, listeners };
            shared.lock().observed.listening.insert(key.0.clone(), listening);
        }
        record(&shared, &key, &following, &probe, asked, answer.said);
        reacher.follow(&key.0);
    }
}

async fn ask(
    shared: &Shared,
    id: &ResourceId,
    container: Option<&ContainerId>,
    address: Option<IpAddr>,
    probe: &ProbeSpec,
) -> UnitAnswer {
    match container {
        Some(container) => {
            UnitAnswer::unseen(shared.host.probe(container, address, &probe.kind, probe.timeout).await)
        }
        None => {
            let unit = shared.lock().host_name(id);
            shared.units.probe(&unit, address.unwrap_or(ASKED_AT), &probe.kind, probe.timeout).await
        }
    }
}

/// The time to become ready runs from the first look, not from the first answer.
fn begin(shared: &Shared, key: &Key, incarnation: &Incarnation) {
    let now = shared.now();
    let mut state = shared.lock();
    let facts = state.observed.probes.get(key);
    if facts.is_none_or(|facts| facts.incarnation != *incarnation) {
        state.observed.probes.insert(key.clone(), ProbeFacts::new(incarnation.clone(), now));
    }
}

fn record(
    shared: &Shared,
    key: &Key,
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
    let (id, _) = key;
    let waits_for = if passed {
        Vec::new()
    } else {
        state.world(now).map(|world| plan::waits_for(&world, id)).unwrap_or_default()
    };
    let Some(facts) = state.observed.probes.get_mut(key).filter(|facts| facts.incarnation == *incarnation)
    else {
        return;
    };
    let first = facts.attempts == 0;
    let before = facts.healthy;
    facts.record(outcome, probe, waits_for);
    // A steady service costs its probe and nothing else; while a threshold is pending every result is a hint.
    let news = first || before != facts.healthy || facts.healthy != Some(true) || !passed;
    drop(state);
    if news {
        shared.schedule([id.clone()]);
    }
}
