//! Connects to units from inside the containers that depend on them, where `reaches` says that it is due.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aiplat_core::{
    ResourceId,
    observed::{Reach, Reached},
    plan::{self, HOST_NAME, ReachCheck},
};
use tokio::task::JoinSet;

use crate::shared::Shared;

/// A connection on one machine takes no longer, unless something swallows it.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The adapter bounds itself; this bound is for an adapter that does not.
const DEADLINE: Duration = Duration::from_secs(10);

/// The connections that are under way.
#[derive(Clone)]
pub(crate) struct Reacher {
    shared: Arc<Shared>,
    under_way: Arc<Mutex<BTreeSet<Pair>>>,
    tasks: Arc<Mutex<JoinSet<()>>>,
}

/// The unit, and the service from inside which it is reached.
type Pair = (ResourceId, ResourceId);

impl Reacher {
    /// Nothing is under way yet. Its tasks end with it.
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, under_way: Arc::default(), tasks: Arc::default() }
    }

    /// Tries what is due for `id`: its unit, or from inside its container.
    pub(crate) fn follow(&self, id: &ResourceId) {
        let due = {
            let state = self.shared.lock();
            state.world(self.shared.now()).map(|world| plan::reaches(&world, id)).unwrap_or_default()
        };
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        for check in due {
            let pair = (check.unit.clone(), check.consumer.clone());
            if lock(&self.under_way).insert(pair.clone()) {
                let (shared, under_way) = (Arc::clone(&self.shared), Arc::clone(&self.under_way));
                tasks.spawn(async move {
                    run(&shared, pair.clone(), check).await;
                    lock(&under_way).remove(&pair);
                });
            }
        }
    }
}

fn lock(under_way: &Mutex<BTreeSet<Pair>>) -> MutexGuard<'_, BTreeSet<Pair>> {
    under_way.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn run(shared: &Shared, pair: Pair, check: ReachCheck) {
    let ReachCheck { unit, run, consumer, container, consumer_run, port } = check;
    let call = shared.host.reach(&container, HOST_NAME, port, TIMEOUT);
    let reach = match tokio::time::timeout(DEADLINE, call).await {
        Ok(reach) => reach,
        Err(_elapsed) => Reach::Untried(format!("no outcome within {DEADLINE:?}")),
    };
    if let Reach::Untried(why) = &reach {
        tracing::debug!(%unit, %consumer, why, "It could not be tried whether the unit is reached.");
    }
    let reached = Reached { unit: run, consumer: consumer_run, at: shared.now(), reach };
    let mut state = shared.lock();
    let is_news = state.observed.reached.get(&pair).is_none_or(|before| before.reach != reached.reach);
    let desired = state.desired.clone();
    let is_wanted = |id: &ResourceId| desired.as_deref().is_some_and(|desired| desired.service(id).is_some());
    state.observed.reached.retain(|(unit, consumer), _| is_wanted(unit) && is_wanted(consumer));
    state.observed.reached.insert(pair, reached);
    drop(state);
    if is_news {
        shared.schedule([unit]);
    }
}
