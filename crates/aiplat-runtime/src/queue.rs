//! The queue: when each key is due, and in which order due keys are taken.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    time::Duration,
};

/// The longest delay that is kept; a longer one is cut to it. Timers of the runtime do not reach much further, and a key
/// that is looked at once a year in vain does no harm.
pub const DELAY_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A moment on the controller's own clock: the time since its origin, which never steps back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(Duration);

impl Moment {
    /// When the clock began.
    pub const ORIGIN: Self = Self(Duration::ZERO);

    /// The moment at this distance from the origin.
    #[must_use]
    pub const fn at(since_origin: Duration) -> Self {
        Self(since_origin)
    }

    /// The distance from the origin.
    #[must_use]
    pub const fn since_origin(self) -> Duration {
        self.0
    }

    /// This much later; saturating.
    #[must_use]
    pub const fn after(self, delay: Duration) -> Self {
        Self(self.0.saturating_add(delay))
    }

    /// How long from here to there; zero if there is not later.
    #[must_use]
    pub const fn until(self, later: Self) -> Duration {
        later.0.saturating_sub(self.0)
    }
}

/// A place in an order of keys: the lesser goes first. Most urgent, then longest waiting, then by key, so that the same
/// input gives the same order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank<K> {
    /// The priority, highest first.
    pub priority: Reverse<u32>,
    /// Since when the key is due, or stands in line.
    pub since: Moment,
    /// The key.
    pub key: K,
}

#[derive(Debug)]
struct Slot {
    at: Moment,
    /// Known once the key is ready.
    priority: Option<u32>,
}

/// A queue of keys. A key has one slot, or is in flight, never both:
///
/// * `timed`: due at some time, perhaps already, its priority not read yet;
/// * `ready`: due, with its priority read: in the order in which keys are taken;
/// * in flight: taken and not finished; what is scheduled meanwhile is held, and gets its slot when the key is finished.
///
/// Bounded by the number of keys, not by the number of requests.
#[derive(Debug)]
pub struct Queue<K> {
    slots: BTreeMap<K, Slot>,
    timed: BTreeSet<(Moment, K)>,
    ready: BTreeSet<Rank<K>>,
    in_flight: BTreeMap<K, Option<Moment>>,
}

impl<K> Default for Queue<K> {
    fn default() -> Self {
        Self {
            slots: BTreeMap::new(),
            timed: BTreeSet::new(),
            ready: BTreeSet::new(),
            in_flight: BTreeMap::new(),
        }
    }
}

impl<K: Clone + Ord + Debug> Queue<K> {
    /// An empty queue.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks that the key is taken at `now + delay` or earlier. If it is scheduled already, the earlier time wins. If it is
    /// in flight, it is held, and taken once more after it is finished.
    pub fn schedule(&mut self, key: K, now: Moment, delay: Duration) {
        let at = now.after(delay.min(DELAY_MAX));
        if let Some(held) = self.in_flight.get_mut(&key) {
            *held = Some(held.map_or(at, |held| held.min(at)));
            return;
        }
        // A ready key goes back to `timed`, at the time it had: so its priority is read anew.
        let at = self.remove_slot(&key).map_or(at, |slot| slot.at.min(at));
        self.insert_slot(key, at);
    }

    /// The keys that are due and whose priority was not read since they were scheduled. Give each to [`Queue::rank`].
    /// Reading priorities is left to the caller because it is the reconciler's code, which must not run under our lock.
    #[must_use]
    pub fn unranked(&self, now: Moment) -> Vec<K> {
        self.timed.iter().take_while(|(at, _)| *at <= now).map(|(_, key)| key.clone()).collect()
    }

    /// Makes a due key ready, at this priority. A key that is not due, or gone, is left as it is.
    pub fn rank(&mut self, key: &K, priority: u32, now: Moment) {
        if let Some(slot) = self.slots.get_mut(key)
            && slot.at <= now
            && slot.priority.is_none()
        {
            slot.priority = Some(priority);
            let since = slot.at;
            self.timed.remove(&(since, key.clone()));
            self.ready.insert(Rank { priority: Reverse(priority), since, key: key.clone() });
        }
    }

    /// The ready key that goes first.
    #[must_use]
    pub fn first(&self) -> Option<&Rank<K>> {
        self.ready.first()
    }

    /// Takes a key, with whatever slot it has, ready or not: it is in flight now.
    ///
    /// # Panics
    /// If the key is in flight already: a key never runs twice at once.
    pub fn take(&mut self, key: &K) {
        self.remove_slot(key);
        let before = self.in_flight.insert(key.clone(), None);
        assert!(before.is_none(), "a key never runs twice at once: {key:?}");
    }

    /// Ends the flight of a key. If it was scheduled meanwhile, it has a slot again, at the earliest time asked for.
    ///
    /// # Panics
    /// If the key is not in flight.
    pub fn finish(&mut self, key: &K) {
        if let Some(at) = self.land(key) {
            self.insert_slot(key.clone(), at);
        }
    }

    /// Ends the flight of a key and lets it rest: its slot is at this time, whether or when it was scheduled meanwhile.
    /// Nothing is lost by that, since it is taken after all that was asked for.
    ///
    /// # Panics
    /// If the key is not in flight.
    pub fn finish_until(&mut self, key: &K, at: Moment) {
        self.land(key);
        self.insert_slot(key.clone(), at);
    }

    /// The earliest time at which a key that is not ready becomes due; it may be past.
    #[must_use]
    pub fn next_due(&self) -> Option<Moment> {
        self.timed.first().map(|(at, _)| *at)
    }

    /// Whether a key could be taken now, or could once its priority is read.
    #[must_use]
    pub fn any_due(&self, now: Moment) -> bool {
        !self.ready.is_empty() || self.next_due().is_some_and(|at| at <= now)
    }

    /// How many keys have a slot, due or not.
    #[must_use]
    pub fn scheduled(&self) -> usize {
        self.slots.len()
    }

    /// How many keys are ready.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.ready.len()
    }

    /// How many keys are in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    fn land(&mut self, key: &K) -> Option<Moment> {
        let held = self.in_flight.remove(key);
        assert!(held.is_some(), "only a key in flight is finished: {key:?}");
        held.flatten()
    }

    fn insert_slot(&mut self, key: K, at: Moment) {
        self.timed.insert((at, key.clone()));
        self.slots.insert(key, Slot { at, priority: None });
    }

    fn remove_slot(&mut self, key: &K) -> Option<Slot> {
        let slot = self.slots.remove(key)?;
        match slot.priority {
            Some(priority) => {
                self.ready.remove(&Rank { priority: Reverse(priority), since: slot.at, key: key.clone() })
            }
            None => self.timed.remove(&(slot.at, key.clone())),
        };
        Some(slot)
    }
}
