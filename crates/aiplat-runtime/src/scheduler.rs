//! The scheduler: which key runs next. Pure: time is an argument, and it runs nothing itself.
//!
//! It puts together the queue, the concurrency cap and the pools of permits. What holds at any time:
//!
//! * A key runs at most once at once; what schedules it meanwhile runs it once more.
//! * Of all keys that could run now, the one of the highest [`Rank`] goes first. Those are the ready keys, and the keys in
//!   line for a permit for which a place is free.
//! * A key in line takes no place under the cap, so that what needs no permit never queues behind it.
//! * A key in line that is scheduled runs without a permit as soon as it is due, and keeps its turn in line while it runs.
//!   A hint that came while it waited is so neither lost nor paid with the turn.
//! * No place of a pool goes to a less urgent key while a more urgent one stands in line for it.
//! * A pass gives back what it took when it ends, however it ends.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Debug},
    time::Duration,
};

use crate::{
    backoff::{self, Backoff},
    permits::Class,
    pools::{Pool, pools},
    queue::{DELAY_MAX, Moment, Queue, Rank},
    reconciler::{Outcome, Requeue},
};

/// What bounds the scheduler.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How many passes run at once; zero is read as one. More than all pools together, or long starts and pulls take every
    /// place and short work waits for them.
    pub concurrency: usize,
    /// How many passes may hold a permit of each class at once; zero is read as one. A class that is not here cannot be had.
    pub pools: BTreeMap<Class, usize>,
    /// How long a key rests after a panic. Nothing shortens it: a hint that comes meanwhile is kept.
    pub panic_backoff: Backoff,
    /// After this many passes of one key in a row that each asked for [`Requeue::Now`], the next waits `spin_delay`. More
    /// than the longest honest chain of actions on one resource; it keeps a key that never ends from starving the others.
    pub now_in_a_row_max: u32,
    /// How long a spinning key waits, unless something schedules it earlier.
    pub spin_delay: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            concurrency: 64,
            pools: BTreeMap::new(),
            panic_backoff: Backoff::BUG,
            now_in_a_row_max: 64,
            spin_delay: Duration::from_secs(1),
        }
    }
}

/// What became of a pass that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a broken contract must be reported"]
pub enum Ended {
    /// As it should.
    Well,
    /// It asked for [`Requeue::Now`] too often in a row, and waits a while. To be logged.
    Spinning,
    /// It broke the contract of the permits, and its key backs off as after a panic. To be reported as one.
    Misused(Misuse),
}

/// How a pass broke the contract of the permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misuse {
    /// It needs a permit of a class that has no pool: it would wait for ever.
    NoPool(Class),
    /// It held the permit that it says it needs: it would be given it again and again.
    HeldIt(Class),
}

impl fmt::Display for Misuse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPool(class) => {
                write!(formatter, "the pass needs a permit of class `{class}`, which has no pool")
            }
            Self::HeldIt(class) => {
                write!(formatter, "the pass held the permit of class `{class}` that it asked for")
            }
        }
    }
}

/// The counts of one class of permits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassStats {
    /// How many places there are.
    pub capacity: usize,
    /// How many are taken, by passes that run.
    pub used: usize,
    /// How many keys stand in line and do not run meanwhile for another reason.
    pub waiting: usize,
}

/// The totals since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Passes begun.
    pub passes: u64,
    /// Passes that panicked or broke the contract of the permits.
    pub panics: u64,
    /// Passes that ended without the permit they needed.
    pub permits_refused: u64,
    /// Passes that were slowed down because they asked for [`Requeue::Now`] too often in a row.
    pub spins: u64,
}

#[derive(Debug)]
struct Running {
    pass: u64,
    rank_priority: u32,
    started: Moment,
    holds: BTreeSet<Class>,
}

/// A key's place in line. It is kept while the key runs without the permit, and ends with the pass that gets it.
#[derive(Clone, Copy, Debug)]
struct InLine {
    class: Class,
    priority: u32,
    since: Moment,
}

/// What did not end well lately; forgotten at the first pass that ends calmly.
#[derive(Debug, Default)]
struct Streak {
    nows: u32,
    panics: u32,
    not_before: Moment,
}

/// A pass to run: of this key, and known by this number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pass<K> {
    /// The key.
    pub key: K,
    /// The number of the pass, from 1. What asks for permits by an older number gets none.
    pub number: u64,
}

/// See the module. `K` is what the daemon calls a resource.
#[derive(Debug)]
pub struct Scheduler<K> {
    concurrency: usize,
    panic_backoff: Backoff,
    now_in_a_row_max: u32,
    spin_delay: Duration,
    queue: Queue<K>,
    running: BTreeMap<K, Running>,
    in_line: BTreeMap<K, InLine>,
    pools: BTreeMap<Class, Pool<K>>,
    streaks: BTreeMap<K, Streak>,
    totals: Totals,
}

impl<K: Clone + Ord + Debug> Scheduler<K> {
    /// A scheduler with nothing to do.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        let Limits { concurrency, pools: capacities, panic_backoff, now_in_a_row_max, spin_delay } = limits;
        Self {
            concurrency: (*concurrency).max(1),
            panic_backoff: *panic_backoff,
            now_in_a_row_max: *now_in_a_row_max,
            spin_delay: *spin_delay,
            queue: Queue::new(),
            running: BTreeMap::new(),
            in_line: BTreeMap::new(),
            pools: pools(capacities),
            streaks: BTreeMap::new(),
            totals: Totals::default(),
        }
    }

    /// Asks for a pass that begins at `now + delay` or earlier, and after this call. In three cases it is later: the cap is
    /// reached, the key runs, or it rests after a panic.
    pub fn schedule(&mut self, key: K, now: Moment, delay: Duration) {
        let rest = self.streaks.get(&key).map_or(Duration::ZERO, |streak| now.until(streak.not_before));
        self.queue.schedule(key, now, delay.max(rest));
    }

    /// The keys whose priority is to be read: give it to [`Scheduler::rank`] before [`Scheduler::next`].
    #[must_use]
    pub fn unranked(&self, now: Moment) -> Vec<K> {
        self.queue.unranked(now)
    }

    /// The priority of a due key. It counts for its place in line too, if it stands in one.
    pub fn rank(&mut self, key: &K, priority: u32, now: Moment) {
        self.queue.rank(key, priority, now);
        if let Some(place) = self.leave_line(key) {
            self.enter_line(key, InLine { priority, ..place });
        }
    }

    /// The next pass to run, if one may: it runs now, until [`Scheduler::finish`] or [`Scheduler::fail`].
    pub fn next(&mut self, now: Moment) -> Option<Pass<K>> {
        if self.running.len() >= self.concurrency {
            return None;
        }
        let admitted = self
            .pools
            .values()
            .filter_map(|pool| pool.admitted().find(|rank| !self.running.contains_key(&rank.key)))
            .min();
        let Rank { priority: Reverse(priority), since: _, key } =
            self.queue.first().into_iter().chain(admitted).min()?.clone();
        self.queue.take(&key);
        self.totals.passes += 1;
        let number = self.totals.passes;
        let running = Running { pass: number, rank_priority: priority, started: now, holds: BTreeSet::new() };
        self.running.insert(key.clone(), running);
        // A key in line that runs only because it is due may have its turn all the same.
        if let Some(place) = self.in_line.get(&key) {
            self.try_take(&key, number, place.class);
        }
        Some(Pass { key, number })
    }

    /// Whether this pass holds a permit of the class.
    #[must_use]
    pub fn holds(&self, key: &K, pass: u64, class: Class) -> bool {
        self.running.get(key).is_some_and(|running| running.pass == pass && running.holds.contains(&class))
    }

    /// Gives a pass that runs a permit of the class, if a place is free and no more urgent key stands in line for it. True
    /// if the pass holds one now.
    pub fn try_take(&mut self, key: &K, pass: u64, class: Class) -> bool {
        let Some(running) = self.running.get_mut(key).filter(|running| running.pass == pass) else {
            return false;
        };
        if running.holds.contains(&class) {
            return true;
        }
        let Some(pool) = self.pools.get_mut(&class) else { return false };
        let place = self.in_line.get(key).filter(|place| place.class == class);
        let rank = match place {
            Some(place) => place.rank(key),
            None => {
                Rank { priority: Reverse(running.rank_priority), since: running.started, key: key.clone() }
            }
        };
        if !pool.admits(&rank) {
            return false;
        }
        pool.take();
        running.holds.insert(class);
        if place.is_some() {
            self.leave_line(key);
        }
        true
    }

    /// Ends a pass that returned.
    ///
    /// # Panics
    /// If the key does not run.
    pub fn finish(&mut self, key: &K, outcome: Outcome<K>, now: Moment) -> Ended {
        match outcome {
            Outcome::Done { requeue, wake } => self.done(key, requeue, wake, now),
            Outcome::NeedsPermit(class) => match self.needs_permit(key, class, now) {
                Ok(()) => Ended::Well,
                Err(misuse) => {
                    self.fail(key, now);
                    Ended::Misused(misuse)
                }
            },
        }
    }

    /// Ends a pass that panicked: the key rests for the back-off, and then runs again.
    ///
    /// # Panics
    /// If the key does not run.
    pub fn fail(&mut self, key: &K, now: Moment) {
        let Running { pass, .. } = self.end_pass(key);
        self.leave_line(key);
        self.totals.panics += 1;
        let streak = self.streaks.entry(key.clone()).or_default();
        streak.panics = streak.panics.saturating_add(1);
        streak.not_before =
            now.after(backoff::delay(&self.panic_backoff, streak.panics, pass).min(DELAY_MAX));
        self.queue.finish_until(key, streak.not_before);
    }

    fn done(&mut self, key: &K, requeue: Requeue, wake: Vec<K>, now: Moment) -> Ended {
        self.end_pass(key);
        self.leave_line(key);
        self.queue.finish(key);
        let requeue = if wake.contains(key) { Requeue::Now } else { requeue };
        for other in wake.into_iter().filter(|other| other != key) {
            self.schedule(other, now, Duration::ZERO);
        }
        match requeue {
            Requeue::Now | Requeue::After(Duration::ZERO) => self.again(key, now),
            Requeue::After(delay) => {
                self.streaks.remove(key);
                self.schedule(key.clone(), now, delay);
                Ended::Well
            }
            Requeue::OnChange => {
                self.streaks.remove(key);
                Ended::Well
            }
        }
    }

    /// At once again, unless that has been so for too long.
    fn again(&mut self, key: &K, now: Moment) -> Ended {
        let streak = self.streaks.entry(key.clone()).or_default();
        streak.nows = streak.nows.saturating_add(1);
        if streak.nows <= self.now_in_a_row_max {
            self.schedule(key.clone(), now, Duration::ZERO);
            return Ended::Well;
        }
        self.totals.spins += 1;
        self.schedule(key.clone(), now, self.spin_delay);
        Ended::Spinning
    }

    /// The streak is left as it is: a key that panics with the permit in hand backs off more each time, although it ends
    /// well without one in between.
    fn needs_permit(&mut self, key: &K, class: Class, now: Moment) -> Result<(), Misuse> {
        let running = &self.running[key];
        if !self.pools.contains_key(&class) {
            return Err(Misuse::NoPool(class));
        }
        if running.holds.contains(&class) {
            return Err(Misuse::HeldIt(class));
        }
        let priority = running.rank_priority;
        self.totals.permits_refused += 1;
        self.end_pass(key);
        self.queue.finish(key);
        // Who ran meanwhile because of a hint keeps the place that it had, or frequent hints would starve it.
        let since =
            self.leave_line(key).filter(|place| place.class == class).map_or(now, |place| place.since);
        self.enter_line(key, InLine { class, priority, since });
        Ok(())
    }

    /// Frees what the pass took of the cap and of the pools.
    fn end_pass(&mut self, key: &K) -> Running {
        let running = self.running.remove(key).expect("only a key that runs ends its pass");
        for class in &running.holds {
            self.pools.get_mut(class).expect("a permit that was given has a pool").put_back();
        }
        running
    }

    fn enter_line(&mut self, key: &K, place: InLine) {
        let pool = self.pools.get_mut(&place.class).expect("a line belongs to a pool");
        pool.line.insert(place.rank(key));
        self.in_line.insert(key.clone(), place);
    }

    fn leave_line(&mut self, key: &K) -> Option<InLine> {
        let place = self.in_line.remove(key)?;
        let pool = self.pools.get_mut(&place.class).expect("a line belongs to a pool");
        pool.line.remove(&place.rank(key));
        Some(place)
    }
}

/// What there is to see.
impl<K: Clone + Ord + Debug> Scheduler<K> {
    /// The earliest time at which a key becomes due that is not known to be; it may be past.
    #[must_use]
    pub fn next_due(&self) -> Option<Moment> {
        self.queue.next_due()
    }

    /// Nothing runs, nothing is due, and nothing stands in line for a permit.
    #[must_use]
    pub fn is_settled(&self, now: Moment) -> bool {
        self.running.is_empty() && self.in_line.is_empty() && !self.queue.any_due(now)
    }

    /// How many keys have a time at which they are due, past or not; a key in flight has none.
    #[must_use]
    pub fn scheduled(&self) -> usize {
        self.queue.scheduled()
    }

    /// How many keys are due and could run but for the cap.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.queue.ready()
    }

    /// How many passes run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// The keys whose passes run, in order.
    pub fn running_keys(&self) -> impl Iterator<Item = &K> {
        self.running.keys()
    }

    /// Each class of permits.
    #[must_use]
    pub fn classes(&self) -> BTreeMap<Class, ClassStats> {
        let stats = |pool: &Pool<K>| ClassStats {
            capacity: pool.capacity,
            used: pool.used,
            waiting: pool.line.iter().filter(|rank| !self.running.contains_key(&rank.key)).count(),
        };
        self.pools.iter().map(|(class, pool)| (*class, stats(pool))).collect()
    }

    /// The totals since the start.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }
}

impl InLine {
    fn rank<K: Clone>(&self, key: &K) -> Rank<K> {
        Rank { priority: Reverse(self.priority), since: self.since, key: key.clone() }
    }
}
