//! The laws of the scheduler, one literal each. Seconds are written as numbers.

use std::{collections::BTreeMap, time::Duration};

use aiplat_runtime::{
    Backoff, Class, Limits, Moment, Outcome, Requeue, Scheduler,
    scheduler::{Ended, Misuse},
};

const START: Class = Class("start");
const PULL: Class = Class("pull");

/// A scheduler with a clock that is set by hand, a priority per key, and one letter per key.
struct Bench {
    scheduler: Scheduler<char>,
    priorities: BTreeMap<char, u32>,
    passes: BTreeMap<char, u64>,
    now: u64,
}

impl Bench {
    fn new(concurrency: usize, starts: usize, priorities: &[(char, u32)]) -> Self {
        let limits = Limits {
            concurrency,
            pools: BTreeMap::from([(START, starts), (PULL, 1)]),
            panic_backoff: Backoff {
                first: Duration::from_secs(4),
                factor: 2,
                max: Duration::from_secs(10),
                jitter_percent: 0,
            },
            now_in_a_row_max: 3,
            spin_delay: Duration::from_secs(5),
        };
        let priorities = priorities.iter().copied().collect();
        Self { scheduler: Scheduler::new(&limits), priorities, passes: BTreeMap::new(), now: 0 }
    }

    fn now(&self) -> Moment {
        Moment::at(Duration::from_secs(self.now))
    }

    fn schedule(&mut self, keys: &str) {
        for key in keys.chars() {
            self.scheduler.schedule(key, self.now(), Duration::ZERO);
        }
    }

    /// Begins every pass that may begin now, and says which, in order.
    fn begin(&mut self) -> String {
        let now = self.now();
        for key in self.scheduler.unranked(now) {
            self.scheduler.rank(&key, self.priorities.get(&key).copied().unwrap_or(0), now);
        }
        let mut begun = String::new();
        while let Some(pass) = self.scheduler.next(now) {
            self.passes.insert(pass.key, pass.number);
            begun.push(pass.key);
        }
        begun
    }

    fn try_take(&mut self, key: char, class: Class) -> bool {
        self.scheduler.try_take(&key, self.passes[&key], class)
    }

    fn holds(&self, key: char, class: Class) -> bool {
        self.scheduler.holds(&key, self.passes[&key], class)
    }

    fn done(&mut self, keys: &str) {
        for key in keys.chars() {
            assert_eq!(self.end(key, Outcome::done(Requeue::OnChange)), Ended::Well);
        }
    }

    fn needs(&mut self, keys: &str, class: Class) {
        for key in keys.chars() {
            assert_eq!(self.end(key, Outcome::NeedsPermit(class)), Ended::Well);
        }
    }

    fn end(&mut self, key: char, outcome: Outcome<char>) -> Ended {
        self.scheduler.finish(&key, outcome, self.now())
    }

    fn waiting(&self, class: Class) -> usize {
        self.scheduler.classes()[&class].waiting
    }
}

/// `a` runs and holds the only start; each of `keys` wanted one, in this order, a second apart, and stands in line.
fn full_pool(concurrency: usize, keys: &str, priorities: &[(char, u32)]) -> Bench {
    let mut bench = Bench::new(concurrency, 1, priorities);
    bench.schedule("a");
    assert_eq!(bench.begin(), "a");
    assert!(bench.try_take('a', START));
    for key in keys.chars() {
        bench.now += 1;
        bench.schedule(&key.to_string());
        assert_eq!(bench.begin(), key.to_string());
        assert!(!bench.try_take(key, START));
        bench.needs(&key.to_string(), START);
    }
    bench
}

#[test]
fn a_full_pool_never_blocks_keys_that_need_none() {
    let mut bench = full_pool(2, "stuvw", &[('s', 9), ('t', 9), ('u', 9), ('v', 9), ('w', 9)]);
    bench.schedule("c");
    assert_eq!(bench.begin(), "c", "five urgent keys in line take nothing of a cap of two");
    assert_eq!(bench.waiting(START), 5);
}

#[test]
fn a_freed_place_goes_to_the_most_urgent_in_line() {
    let mut bench = full_pool(9, "bcde", &[('d', 9), ('e', 9)]);
    for expected in ["d", "e", "b", "c"] {
        bench.done(&bench.passes.keys().filter(|key| bench.holds(**key, START)).collect::<String>());
        assert_eq!(bench.begin(), expected);
        assert!(
            bench.holds(expected.chars().next().expect("one key"), START),
            "its turn begins with the permit"
        );
    }
}

#[test]
fn one_class_does_not_wait_for_another() {
    let mut bench = full_pool(9, "b", &[]);
    bench.schedule("p");
    assert_eq!(bench.begin(), "p");
    assert!(bench.try_take('p', PULL));
    assert!(!bench.try_take('p', START));
}

#[test]
fn a_place_is_not_given_away_before_the_key_can_run() {
    // The place frees while the cap is reached: the key that comes last and is more urgent still goes first.
    let mut bench = full_pool(2, "b", &[('u', 9)]);
    bench.schedule("x");
    assert_eq!(bench.begin(), "x");
    bench.schedule("y");
    bench.scheduler.schedule('u', bench.now(), Duration::ZERO);
    bench.done("x");
    assert_eq!(bench.begin(), "u");
    bench.needs("u", START);
    assert_eq!(bench.begin(), "y");
    bench.done("a");
    assert_eq!(bench.begin(), "u", "not b, which has waited longer");
    assert!(bench.holds('u', START));
}

#[test]
fn a_less_urgent_pass_does_not_snatch_a_place_that_a_more_urgent_key_waits_for() {
    let mut bench = full_pool(2, "u", &[('u', 9)]);
    bench.schedule("l");
    assert_eq!(bench.begin(), "l");
    bench.done("a");
    assert!(!bench.try_take('l', START), "the free place is for u");
    assert_eq!(bench.begin(), "u");
}

#[test]
fn a_more_urgent_pass_goes_before_the_line() {
    let mut bench = full_pool(2, "b", &[('u', 9)]);
    bench.schedule("u");
    assert_eq!(bench.begin(), "u");
    bench.done("a");
    assert!(bench.try_take('u', START));
    assert_eq!(bench.begin(), "", "the place is taken, b waits on");
}

#[test]
fn a_hint_runs_a_key_that_waits_for_a_permit() {
    let mut bench = full_pool(9, "b", &[]);
    bench.schedule("b");
    assert_eq!(bench.begin(), "b");
    assert!(!bench.holds('b', START));
    bench.schedule("b");
    bench.needs("b", START);
    assert_eq!(bench.begin(), "b", "nor is a hint lost that came during such a pass");
    bench.needs("b", START);
    assert_eq!((bench.begin().as_str(), bench.waiting(START)), ("", 1));
}

#[test]
fn a_hint_does_not_cost_a_key_its_turn() {
    let mut bench = full_pool(9, "bc", &[]);
    bench.schedule("b");
    assert_eq!(bench.begin(), "b");
    bench.done("a");
    assert_eq!(bench.begin(), "", "the place that frees meanwhile is not c's: b was first");
    assert!(bench.try_take('b', START), "and b may have it in this very pass");
    let mut bench = full_pool(9, "bc", &[]);
    bench.now += 10;
    bench.schedule("b");
    assert_eq!(bench.begin(), "b");
    bench.needs("b", START);
    bench.done("a");
    assert_eq!(bench.begin(), "b", "it has waited since before c");
}

#[test]
fn a_hint_that_comes_with_the_turn_makes_one_pass_with_the_permit() {
    let mut bench = full_pool(9, "b", &[]);
    bench.schedule("b");
    bench.done("a");
    assert_eq!(bench.begin(), "b");
    assert!(bench.holds('b', START));
    bench.done("b");
    assert_eq!(bench.begin(), "");
}

#[test]
fn a_key_that_needs_nothing_any_more_leaves_the_line() {
    let mut bench = full_pool(9, "bc", &[]);
    bench.schedule("b");
    bench.begin();
    bench.done("b");
    bench.done("a");
    assert_eq!(bench.begin(), "c");
}

#[test]
fn a_changed_priority_counts_in_the_line() {
    let mut bench = full_pool(9, "bc", &[]);
    bench.priorities.insert('c', 9);
    bench.schedule("c");
    assert_eq!(bench.begin(), "c");
    bench.needs("c", START);
    bench.done("a");
    assert_eq!(bench.begin(), "c");
}

#[test]
fn a_permit_that_was_not_used_is_freed_when_the_pass_ends() {
    let mut bench = full_pool(9, "bc", &[]);
    bench.done("a");
    assert_eq!(bench.begin(), "b");
    bench.done("b");
    assert_eq!(bench.begin(), "c");
}

#[test]
fn a_panic_frees_the_permit_and_no_hint_shortens_the_rest() {
    let mut bench = full_pool(9, "b", &[]);
    bench.schedule("a");
    bench.scheduler.fail(&'a', bench.now());
    assert_eq!(bench.begin(), "b", "the place is free");
    for (rest, pass) in [(4, "the first"), (8, "the second"), (10, "the capped")] {
        let until = bench.now + rest;
        bench.schedule("a");
        bench.now = until - 1;
        bench.schedule("a");
        assert_eq!(bench.begin(), "", "{pass} rest is not over");
        bench.now = until;
        assert_eq!(bench.begin(), "a", "{pass} rest is over");
        bench.scheduler.fail(&'a', bench.now());
    }
    bench.now += 10;
    assert_eq!(bench.begin(), "a");
    bench.done("a");
    bench.schedule("a");
    assert_eq!(bench.begin(), "a", "a pass that ends calmly ends the rest");
    bench.scheduler.fail(&'a', bench.now());
    assert_eq!(bench.scheduler.next_due(), Some(Moment::at(Duration::from_secs(bench.now + 4))));
}

#[test]
fn a_key_that_never_ends_is_slowed_down_and_starves_nobody() {
    let mut bench = Bench::new(1, 1, &[('s', 9)]);
    bench.schedule("sc");
    for _ in 0..3 {
        assert_eq!(bench.begin(), "s");
        assert_eq!(bench.end('s', Outcome::done(Requeue::Now)), Ended::Well);
    }
    assert_eq!(bench.begin(), "s");
    assert_eq!(bench.end('s', Outcome::done(Requeue::After(Duration::ZERO))), Ended::Spinning);
    assert_eq!(bench.begin(), "c");
    bench.done("c");
    assert_eq!(bench.scheduler.next_due(), Some(Moment::at(Duration::from_secs(5))));
    bench.schedule("s");
    assert_eq!(bench.begin(), "s", "a hint is not slowed down");
    bench.done("s");
    bench.schedule("s");
    assert_eq!(bench.begin(), "s");
    assert_eq!(bench.end('s', Outcome::done(Requeue::Now)), Ended::Well, "one calm end, and it counts anew");
    assert_eq!(bench.scheduler.totals().spins, 1);
}

#[test]
fn a_pass_wakes_others_and_itself() {
    let mut bench = Bench::new(9, 1, &[]);
    bench.schedule("a");
    bench.begin();
    assert_eq!(
        bench.end('a', Outcome::Done { requeue: Requeue::OnChange, wake: vec!['c', 'b', 'a', 'c'] }),
        Ended::Well
    );
    assert_eq!(bench.begin(), "abc");
}

#[test]
fn a_class_without_a_pool_is_a_fault_of_that_key_only() {
    let mut bench = Bench::new(9, 1, &[]);
    bench.schedule("ab");
    bench.begin();
    let class = Class("push");
    assert!(!bench.try_take('a', class));
    assert_eq!(bench.end('a', Outcome::NeedsPermit(class)), Ended::Misused(Misuse::NoPool(class)));
    bench.done("b");
    bench.now += 4;
    assert_eq!(bench.begin(), "a");
}

#[test]
fn asking_again_for_the_permit_in_hand_is_a_fault_and_no_livelock() {
    let mut bench = full_pool(9, "b", &[]);
    bench.done("a");
    assert_eq!(bench.begin(), "b");
    assert_eq!(bench.end('b', Outcome::NeedsPermit(START)), Ended::Misused(Misuse::HeldIt(START)));
    assert_eq!((bench.begin().as_str(), bench.scheduler.classes()[&START].used), ("", 0));
}

#[test]
fn a_limit_of_zero_is_one() {
    let mut bench = Bench::new(0, 0, &[]);
    bench.schedule("ab");
    assert_eq!(bench.begin(), "a");
    assert!(bench.try_take('a', START));
    bench.done("a");
    assert_eq!(bench.begin(), "b");
}
