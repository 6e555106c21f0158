//! The controller: runs the passes that the scheduler names, on tokio.
//!
//! One loop owns every decision; each pass is a task of its own, so that one that computes for long, or panics, disturbs no
//! other. All time is tokio's, so that a test can pause it.

use std::{
    any::Any,
    collections::HashMap,
    fmt::Debug,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use tokio::{
    task::{Id, JoinError, JoinSet},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::{
    handle::{Handle, PassGrant, Phase, Shared},
    permits::Permits,
    reconciler::{Outcome, Reconciler},
    scheduler::{Ended, Limits, Pass},
};

/// How a controller behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// What bounds it.
    pub limits: Limits,
    /// The loop takes a turn at least this often, so that its heartbeat shows that it lives. Some seconds: at most half of
    /// the watchdog's time.
    pub beat: Duration,
    /// How long a shutdown waits for the passes that run.
    pub shutdown_grace: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            beat: Duration::from_secs(2),
            shutdown_grace: Duration::from_secs(20),
        }
    }
}

/// How a controller stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "an abandoned pass should be logged"]
pub struct Stopped<K> {
    /// The keys whose passes did not end within the grace, and were dropped at an await, in order.
    pub abandoned: Vec<K>,
}

/// A controller that is not running yet.
pub struct Controller<K, R: ?Sized> {
    reconciler: Arc<R>,
    shared: Arc<Shared<K>>,
    beat: Duration,
    shutdown_grace: Duration,
    passes: JoinSet<Outcome<K>>,
    /// A task that panicked is known only by its id. Never iterated.
    keys: HashMap<Id, K>,
}

impl<K, R: ?Sized> Debug for Controller<K, R> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Controller").field("passes", &self.passes.len()).finish_non_exhaustive()
    }
}

impl<K, R> Controller<K, R>
where
    K: Clone + Ord + Debug + Send + Sync + 'static,
    R: Reconciler<K> + ?Sized + 'static,
{
    /// A controller for this reconciler. What is scheduled before it runs is kept until then.
    #[must_use]
    pub fn new(reconciler: Arc<R>, config: &Config) -> Self {
        Self {
            reconciler,
            shared: Arc::new(Shared::new(&config.limits)),
            // A beat of zero would spin, one beyond a day is no beat.
            beat: config.beat.clamp(Duration::from_millis(10), Duration::from_secs(24 * 60 * 60)),
            shutdown_grace: config.shutdown_grace.min(Duration::from_secs(24 * 60 * 60)),
            passes: JoinSet::new(),
            keys: HashMap::new(),
        }
    }

    /// A handle to schedule keys with.
    #[must_use]
    pub fn handle(&self) -> Handle<K> {
        Handle::new(Arc::clone(&self.shared))
    }

    /// Runs until cancelled. Then it takes no new key, and waits for the passes that run, for the grace at most. If this
    /// future is dropped, the passes are dropped with it, and the controller counts as stopped.
    pub async fn run(mut self, cancel: CancellationToken) -> Stopped<K> {
        let _stop = StopOnDrop(Arc::clone(&self.shared));
        loop {
            self.dispatch();
            self.shared.end_turn();
            let wake_at = self.next_turn();
            let mut cancelled = false;
            let mut joined = None;
            tokio::select! {
                biased;
                // Cancel-safe: it only looks at a flag, which stays set.
                () = cancel.cancelled() => cancelled = true,
                // Cancel-safe: a task that is not returned stays in the set.
                Some(result) = self.passes.join_next_with_id() => joined = Some(result),
                // Cancel-safe: a notification that arrived at a dropped future is kept for the next one. Even a lost one
                // would only cost a beat, since each turn looks at the whole state.
                () = self.shared.work.notified() => {}
                // Cancel-safe: a timer has no state but its time, which each turn computes anew.
                () = sleep_until(wake_at) => {}
            }
            if let Some(result) = joined {
                self.end_pass(result);
                self.end_passes();
            }
            if cancelled {
                return self.shut_down().await;
            }
        }
    }

    /// Starts every pass that may run now.
    fn dispatch(&mut self) {
        let now = self.shared.now();
        let unranked = self.shared.lock().scheduler.unranked(now);
        let ranked: Vec<_> = unranked.into_iter().map(|key| (self.priority(&key), key)).collect();
        for (priority, key) in ranked {
            self.shared.lock().scheduler.rank(&key, priority, now);
        }
        loop {
            // A statement of its own, so that the lock is free when the pass is spawned.
            let next = self.shared.lock().scheduler.next(now);
            let Some(pass) = next else { break };
            self.spawn(pass);
        }
    }

    fn spawn(&mut self, Pass { key, number }: Pass<K>) {
        let reconciler = Arc::clone(&self.reconciler);
        let shared = Arc::clone(&self.shared);
        let permits = Permits::new(PassGrant { shared, key: key.clone(), number });
        let of_pass = key.clone();
        // Called inside the task, so that a panic before the first await is the task's as well.
        let task = self.passes.spawn(async move { reconciler.reconcile(of_pass, permits).await });
        self.keys.insert(task.id(), key);
    }

    /// When the loop must wake by itself: when a key becomes due, and at the next beat. A ready key needs no timer: it waits
    /// for a pass to end.
    fn next_turn(&self) -> Instant {
        let beat = Instant::now() + self.beat;
        let next_due = self.shared.lock().scheduler.next_due();
        next_due.map_or(beat, |at| self.shared.instant(at).min(beat))
    }

    /// Ends every further pass that has returned, so that a turn sees them all.
    fn end_passes(&mut self) {
        while let Some(result) = self.passes.try_join_next_with_id() {
            self.end_pass(result);
        }
    }

    fn end_pass(&mut self, result: Result<(Id, Outcome<K>), JoinError>) {
        let id = result.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let key = self.keys.remove(&id).expect("each task has its key");
        let now = self.shared.now();
        match result {
            Ok((_, outcome)) => {
                let ended = self.shared.lock().scheduler.finish(&key, outcome, now);
                match ended {
                    Ended::Well => {}
                    Ended::Spinning => {
                        warn!(?key, "A key asks to run again at once, over and over; it is slowed down.")
                    }
                    Ended::Misused(misuse) => self.report_panic(&key, &misuse.to_string()),
                }
            }
            Err(failure) => {
                self.shared.lock().scheduler.fail(&key, now);
                // A task is cancelled only if the runtime shuts down; the key rests then as well.
                let message = failure
                    .try_into_panic()
                    .map_or_else(|other| other.to_string(), |panic| message_of(&*panic));
                self.report_panic(&key, &message);
            }
        }
    }

    async fn shut_down(mut self) -> Stopped<K> {
        self.shared.set_phase(Phase::Stopping);
        let deadline = Instant::now() + self.shutdown_grace;
        while !self.passes.is_empty() && Instant::now() < deadline {
            self.shared.end_turn();
            let wake_at = deadline.min(Instant::now() + self.beat);
            let mut joined = None;
            tokio::select! {
                biased;
                // Cancel-safe: a task that is not returned stays in the set.
                Some(result) = self.passes.join_next_with_id() => joined = Some(result),
                // Cancel-safe: a timer has no state but its time, which each turn computes anew.
                () = sleep_until(wake_at) => {}
            }
            if let Some(result) = joined {
                self.end_pass(result);
            }
        }
        self.end_passes();
        let abandoned = self.shared.lock().scheduler.running_keys().cloned().collect();
        // The passes that are left are aborted as the set is dropped. We do not wait for that: a task that does not reach
        // an await cannot be ended, and must not hold up the shutdown.
        Stopped { abandoned }
    }

    fn priority(&self, key: &K) -> u32 {
        catch_unwind(AssertUnwindSafe(|| self.reconciler.priority(key))).unwrap_or_else(|panic| {
            self.report_panic(key, &message_of(&*panic));
            0
        })
    }

    fn report_panic(&self, key: &K, message: &str) {
        error!(?key, message, "A pass panicked; its key backs off.");
        // Whatever the callback does, the loop goes on.
        if catch_unwind(AssertUnwindSafe(|| self.reconciler.on_panic(key, message))).is_err() {
            error!(?key, "The report of a panic panicked.");
        }
    }
}

/// However the loop ends, also by a panic or by being dropped, who waits for it is told.
struct StopOnDrop<K>(Arc<Shared<K>>);

impl<K> Drop for StopOnDrop<K> {
    fn drop(&mut self) {
        self.0.set_phase(Phase::Stopped);
    }
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&'static str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("the panic has no text").to_owned()
}
