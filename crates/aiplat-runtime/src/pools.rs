//! One pool of permits per class, each with its line of waiting keys.

use std::collections::{BTreeMap, BTreeSet};

use crate::{permits::Class, queue::Rank};

/// The places of one class. A place is not handed to a waiting key when it frees, but when that key is dispatched: until
/// then a more urgent key may still come and go first.
#[derive(Debug)]
pub(crate) struct Pool<K> {
    pub(crate) capacity: usize,
    pub(crate) used: usize,
    /// The keys that wait, and those that run without a permit for another reason and have not given up their place in
    /// line: a hint must not cost a key its turn.
    pub(crate) line: BTreeSet<Rank<K>>,
}

impl<K: Ord> Pool<K> {
    fn free(&self) -> usize {
        self.capacity - self.used
    }

    /// Whether a free place is left for this rank, in line or not, after each key ahead of it has had one.
    pub(crate) fn admits(&self, rank: &Rank<K>) -> bool {
        self.line.range(..rank).take(self.free()).count() < self.free()
    }

    /// The keys in line for which a place is free, first in line first.
    pub(crate) fn admitted(&self) -> impl Iterator<Item = &Rank<K>> {
        self.line.iter().take(self.free())
    }

    pub(crate) fn take(&mut self) {
        assert!(self.used < self.capacity, "no more permits are out than there are places");
        self.used += 1;
    }

    pub(crate) fn put_back(&mut self) {
        assert!(self.used > 0, "only a permit that is out is put back");
        self.used -= 1;
    }
}

/// Every class with its pool. A capacity of zero is read as one: nobody would ever leave that line.
pub(crate) fn pools<K: Ord>(capacities: &BTreeMap<Class, usize>) -> BTreeMap<Class, Pool<K>> {
    let pool = |capacity: usize| Pool { capacity: capacity.max(1), used: 0, line: BTreeSet::new() };
    capacities.iter().map(|(class, capacity)| (*class, pool(*capacity))).collect()
}
