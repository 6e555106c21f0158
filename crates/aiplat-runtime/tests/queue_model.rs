//! The queue against a list: the simplest thing that could be right.

use std::{cmp::Reverse, time::Duration};

use aiplat_runtime::{
    Moment, Queue,
    queue::{DELAY_MAX, Rank},
};
use proptest::prelude::*;

const KEYS: u8 = 5;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn at(seconds: u64) -> Moment {
    Moment::at(secs(seconds))
}

/// Reads the priorities of all due keys, and takes the first.
fn take(queue: &mut Queue<u8>, now: Moment, priority: impl Fn(u8) -> u32) -> Option<u8> {
    for key in queue.unranked(now) {
        queue.rank(&key, priority(key), now);
    }
    let key = queue.first()?.key;
    queue.take(&key);
    Some(key)
}

fn take_all(queue: &mut Queue<u8>, now: Moment, priority: impl Fn(u8) -> u32) -> Vec<u8> {
    std::iter::from_fn(|| take(queue, now, &priority)).collect()
}

#[test]
fn the_earlier_time_wins_in_either_order() {
    for delays in [[10, 3], [3, 10]] {
        let mut queue = Queue::new();
        for delay in delays {
            queue.schedule(1, at(0), secs(delay));
        }
        assert_eq!(queue.scheduled(), 1, "one slot per key");
        assert_eq!(queue.next_due(), Some(at(3)));
        assert_eq!(take(&mut queue, at(2), |_| 0), None);
        assert_eq!(take(&mut queue, at(3), |_| 0), Some(1));
        queue.finish(&1);
        assert_eq!(queue.next_due(), None, "the later time is not kept");
    }
}

#[test]
fn a_key_in_flight_is_held_and_taken_once_more_at_the_earliest_time() {
    let mut queue = Queue::new();
    queue.schedule(1, at(0), secs(0));
    assert_eq!(take(&mut queue, at(0), |_| 0), Some(1));
    for delay in [9, 4, 7] {
        queue.schedule(1, at(1), secs(delay));
    }
    assert_eq!(take(&mut queue, at(100), |_| 0), None, "never twice at once");
    queue.finish(&1);
    assert_eq!(queue.next_due(), Some(at(5)));
    assert_eq!(take_all(&mut queue, at(5), |_| 0), [1]);
}

#[test]
fn the_most_urgent_goes_first_then_the_longest_due_then_the_key() {
    let mut queue = Queue::new();
    for (key, delay) in [(4, 0), (3, 0), (2, 1), (1, 2), (0, 2)] {
        queue.schedule(key, at(0), secs(delay));
    }
    let urgent = |key| if key == 1 { 7 } else { 0 };
    assert_eq!(take_all(&mut queue, at(2), urgent), [1, 3, 4, 2, 0]);
}

#[test]
fn scheduling_a_ready_key_reads_its_priority_anew_and_keeps_its_turn_among_equals() {
    let mut queue = Queue::new();
    queue.schedule(2, at(0), secs(0));
    queue.schedule(1, at(0), secs(1));
    for key in queue.unranked(at(1)) {
        queue.rank(&key, 0, at(1));
    }
    queue.schedule(1, at(1), secs(0));
    queue.schedule(2, at(1), secs(0));
    assert_eq!(queue.unranked(at(1)), [2, 1]);
    let mut other = Queue::new();
    std::mem::swap(&mut other, &mut queue);
    assert_eq!(take_all(&mut other, at(1), |_| 0), [2, 1]);
}

#[test]
fn delays_are_clamped() {
    let mut queue = Queue::new();
    queue.schedule(1, at(5), Duration::MAX);
    assert_eq!(queue.next_due(), Some(at(5).after(DELAY_MAX)));
}

#[test]
fn a_rest_replaces_what_was_held() {
    let mut queue = Queue::new();
    queue.schedule(1, at(0), secs(0));
    take(&mut queue, at(0), |_| 0);
    queue.schedule(1, at(0), secs(0));
    queue.finish_until(&1, at(8));
    assert_eq!((queue.next_due(), queue.scheduled()), (Some(at(8)), 1));
}

#[test]
#[should_panic(expected = "a key never runs twice at once")]
fn taking_a_key_twice_is_our_bug() {
    let mut queue = Queue::new();
    queue.take(&1);
    queue.take(&1);
}

#[derive(Clone, Debug)]
enum Op {
    Schedule(u8, u64),
    Advance(u64),
    SetPriority(u8, u32),
    Take,
    Finish(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..KEYS, 0u64..6).prop_map(|(key, delay)| Op::Schedule(key, delay)),
        1 => (0u64..4).prop_map(Op::Advance),
        1 => (0..KEYS, 0u32..3).prop_map(|(key, priority)| Op::SetPriority(key, priority)),
        3 => Just(Op::Take),
        2 => (0usize..5).prop_map(Op::Finish),
    ]
}

/// What is asked of each key: a slot at a time, its priority once read; or in flight, with what is held.
#[derive(Clone, Copy, Debug)]
enum Model {
    Idle,
    Slot { at: u64, priority: Option<u32> },
    InFlight { held: Option<u64> },
}

fn earlier(one: Option<u64>, other: u64) -> u64 {
    one.map_or(other, |one| one.min(other))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_queue_does_what_a_list_does(ops in prop::collection::vec(op(), 1..80)) {
        let mut queue = Queue::new();
        let mut model = [Model::Idle; KEYS as usize];
        let mut priorities = [0u32; KEYS as usize];
        let mut now = 0u64;
        for op in ops {
            match op {
                Op::Schedule(key, delay) => {
                    queue.schedule(key, at(now), secs(delay));
                    let asked = now + delay;
                    let of_key = &mut model[key as usize];
                    *of_key = match *of_key {
                        Model::Idle => Model::Slot { at: asked, priority: None },
                        Model::Slot { at, .. } => Model::Slot { at: at.min(asked), priority: None },
                        Model::InFlight { held } => Model::InFlight { held: Some(earlier(held, asked)) },
                    };
                }
                Op::Advance(by) => now += by,
                Op::SetPriority(key, priority) => priorities[key as usize] = priority,
                Op::Take => {
                    let taken = take(&mut queue, at(now), |key| priorities[key as usize]);
                    for (of_key, read) in model.iter_mut().zip(priorities) {
                        if let Model::Slot { at, priority: priority @ None } = of_key && *at <= now {
                            *priority = Some(read);
                        }
                    }
                    let ranks = (0..KEYS).filter_map(|key| match model[key as usize] {
                        Model::Slot { at: since, priority: Some(priority) } => {
                            Some(Rank { priority: Reverse(priority), since: at(since), key })
                        }
                        Model::Idle | Model::Slot { .. } | Model::InFlight { .. } => None,
                    });
                    prop_assert_eq!(taken, ranks.min().map(|rank| rank.key));
                    if let Some(key) = taken {
                        model[key as usize] = Model::InFlight { held: None };
                    }
                }
                Op::Finish(nth) => {
                    let in_flight = |key: &u8| matches!(model[*key as usize], Model::InFlight { .. });
                    if let Some(key) = (0..KEYS).filter(in_flight).nth(nth) {
                        queue.finish(&key);
                        let Model::InFlight { held } = model[key as usize] else { unreachable!("filtered above") };
                        model[key as usize] = held.map_or(Model::Idle, |at| Model::Slot { at, priority: None });
                    }
                }
            }
            let slots = model.iter().filter(|of_key| matches!(of_key, Model::Slot { .. })).count();
            let in_flight = model.iter().filter(|of_key| matches!(of_key, Model::InFlight { .. })).count();
            prop_assert_eq!((queue.scheduled(), queue.in_flight()), (slots, in_flight));
        }
    }
}
