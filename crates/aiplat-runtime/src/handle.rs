//! What the rest of the daemon holds of a controller: schedule keys, see how it stands, wait until it is settled.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use crate::{
    permits::{Class, Grant},
    queue::Moment,
    scheduler::{ClassStats, Limits, Scheduler, Totals},
};

/// How far the controller's life has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Takes keys and runs passes; or will, once it is run.
    Open,
    /// Waits for the passes that run, and takes no key any more.
    Stopping,
    /// Its loop has ended.
    Stopped,
}

pub(crate) struct State<K> {
    pub(crate) scheduler: Scheduler<K>,
    pub(crate) phase: Phase,
}

/// What the loop, the handles and the passes share. The lock is held for a few look-ups in maps, never across an await and
/// never while code of the reconciler runs.
pub(crate) struct Shared<K> {
    state: Mutex<State<K>>,
    /// Something was scheduled: the loop takes a turn.
    pub(crate) work: Notify,
    /// The loop has taken a turn, or ended.
    turned: Notify,
    turns: AtomicU64,
    origin: Instant,
}

impl<K: Clone + Ord + Debug> Shared<K> {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            state: Mutex::new(State { scheduler: Scheduler::new(limits), phase: Phase::Open }),
            work: Notify::new(),
            turned: Notify::new(),
            turns: AtomicU64::new(0),
            origin: Instant::now(),
        }
    }

    pub(crate) fn now(&self) -> Moment {
        Moment::at(self.origin.elapsed())
    }

    pub(crate) fn instant(&self, moment: Moment) -> Instant {
        self.origin + moment.since_origin()
    }
}

impl<K> Shared<K> {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().expect("the scheduler's assertions hold")
    }

    pub(crate) fn end_turn(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
        self.turned.notify_waiters();
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        // Also called while the loop unwinds from an assertion of the scheduler: those who wait must still be told.
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).phase = phase;
        self.turned.notify_waiters();
    }
}

/// A controller as others see it. Cheap to clone. No call blocks, but for a lock that is never held for long. Bounded by
/// the number of keys: to schedule a key a thousand times costs one slot.
pub struct Handle<K>(Arc<Shared<K>>);

impl<K> Clone for Handle<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K> Debug for Handle<K> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Handle").finish_non_exhaustive()
    }
}

/// How a controller settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// When the next key becomes due, if nothing is scheduled earlier. None if nothing is.
    pub next_due: Option<Instant>,
    /// The controller has stopped: it settled only because nothing runs any more.
    pub stopped: bool,
}

/// How a controller stands, for metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Keys that have a time at which they are due, past or not, and do not run.
    pub scheduled: usize,
    /// Those of them that are due, and wait for the cap only.
    pub ready: usize,
    /// Passes that run.
    pub running: usize,
    /// Keys that wait for a permit, of any class, and do not run meanwhile for another reason.
    pub waiting_for_permit: usize,
    /// The classes of permits one by one.
    pub classes: BTreeMap<Class, ClassStats>,
    /// The totals since the start.
    pub totals: Totals,
    /// When the next key becomes due; not later than now if one is.
    pub next_due: Option<Instant>,
}

impl<K: Clone + Ord + Debug> Handle<K> {
    pub(crate) fn new(shared: Arc<Shared<K>>) -> Self {
        Self(shared)
    }

    /// Asks for a pass of the key that begins after this call, when the delay has passed, or earlier: an earlier time that
    /// was asked for before wins. The delay is clamped to [`DELAY_MAX`](crate::queue::DELAY_MAX). False, and nothing is
    /// done, if the controller is stopping.
    pub fn schedule(&self, key: K, delay: Duration) -> bool {
        self.schedule_all([key], delay)
    }

    /// [`Handle::schedule`] without a delay.
    pub fn schedule_now(&self, key: K) -> bool {
        self.schedule_all([key], Duration::ZERO)
    }

    /// [`Handle::schedule`] for each of these keys, together: no pass begins in between.
    pub fn schedule_all(&self, keys: impl IntoIterator<Item = K>, delay: Duration) -> bool {
        // Collected first: the iterator is the caller's code, which must not run under our lock.
        let keys: Vec<K> = keys.into_iter().collect();
        let now = self.0.now();
        let mut state = self.0.lock();
        if state.phase != Phase::Open {
            return false;
        }
        for key in keys {
            state.scheduler.schedule(key, now, delay);
        }
        drop(state);
        self.0.work.notify_one();
        true
    }

    /// [`Handle::schedule_all`] without a delay.
    pub fn schedule_all_now(&self, keys: impl IntoIterator<Item = K>) -> bool {
        self.schedule_all(keys, Duration::ZERO)
    }

    /// Resolves when nothing runs, nothing is due, and nothing waits for a permit, or when the controller has stopped. What
    /// was scheduled before this call is seen. A key that is due later does not hinder it: see [`Settled::next_due`].
    pub async fn settled(&self) -> Settled {
        loop {
            // Made before the look: it is told of every turn since it was made, also of one between the look and the wait.
            let turned = self.0.turned.notified();
            if let Some(settled) = self.look_settled() {
                return settled;
            }
            turned.await;
        }
    }

    fn look_settled(&self) -> Option<Settled> {
        let now = self.0.now();
        let state = self.0.lock();
        let stopped = state.phase == Phase::Stopped;
        (stopped || state.scheduler.is_settled(now))
            .then(|| Settled { next_due: state.scheduler.next_due().map(|at| self.0.instant(at)), stopped })
    }

    /// How it stands now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let now = self.0.now();
        let state = self.0.lock();
        let scheduler = &state.scheduler;
        let classes = scheduler.classes();
        let next_due = if scheduler.ready() > 0 { Some(now) } else { scheduler.next_due() };
        Stats {
            scheduled: scheduler.scheduled(),
            ready: scheduler.ready(),
            running: scheduler.running(),
            waiting_for_permit: classes.values().map(|class| class.waiting).sum(),
            classes,
            totals: scheduler.totals(),
            next_due: next_due.map(|at| self.0.instant(at)),
        }
    }

    /// The heartbeat: how many turns the loop has taken. It takes one at least every [`Config::beat`](crate::Config::beat),
    /// also while it stops. Who feeds a watchdog feeds it only if this number has changed.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.0.turns.load(Ordering::Relaxed)
    }

    /// Whether the controller's loop has ended.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.lock().phase == Phase::Stopped
    }
}

/// The permits of one pass, given by the scheduler.
pub(crate) struct PassGrant<K> {
    pub(crate) shared: Arc<Shared<K>>,
    pub(crate) key: K,
    pub(crate) number: u64,
}

impl<K: Clone + Ord + Debug + Send + Sync> Grant for PassGrant<K> {
    fn holds(&self, class: Class) -> bool {
        self.shared.lock().scheduler.holds(&self.key, self.number, class)
    }

    fn try_take(&self, class: Class) -> bool {
        self.shared.lock().scheduler.try_take(&self.key, self.number, class)
    }
}
