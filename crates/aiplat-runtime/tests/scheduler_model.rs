//! The scheduler against a model that knows no sets and no shortcuts: every question is answered by a look at every key.
//! Beside the comparison, the laws are checked for themselves, in case both are wrong in the same way.

use std::{cmp::Reverse, collections::BTreeMap, time::Duration};

use aiplat_runtime::{
    Backoff, Class, Limits, Moment, Outcome, Requeue, Scheduler, backoff,
    scheduler::{Ended, Misuse},
};
use proptest::prelude::*;

const KEYS: usize = 6;
const CONCURRENCY: usize = 3;
const CLASSES: [(Class, usize); 2] = [(Class("start"), 2), (Class("pull"), 1)];
const REST: Backoff =
    Backoff { first: Duration::from_secs(4), factor: 2, max: Duration::from_secs(10), jitter_percent: 0 };

#[derive(Clone, Debug)]
enum Op {
    Schedule(usize, u64),
    Advance(u64),
    SetPriority(usize, u32),
    /// Read the priorities, and begin this many passes at most.
    Turn(usize),
    /// The nth pass that runs asks for a permit of a class.
    TryTake(usize, usize),
    /// The nth pass that runs ends.
    End(usize, End),
}

#[derive(Clone, Debug)]
enum End {
    Done(Requeue, Vec<usize>),
    NeedsPermit(usize),
    Panic,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..KEYS, 0u64..5).prop_map(|(key, delay)| Op::Schedule(key, delay)),
        2 => (0u64..5).prop_map(Op::Advance),
        1 => (0..KEYS, 0u32..3).prop_map(|(key, priority)| Op::SetPriority(key, priority)),
        4 => (1usize..4).prop_map(Op::Turn),
        3 => (0..CONCURRENCY, 0..CLASSES.len()).prop_map(|(nth, class)| Op::TryTake(nth, class)),
        4 => (0..CONCURRENCY, end()).prop_map(|(nth, end)| Op::End(nth, end)),
    ]
}

fn end() -> impl Strategy<Value = End> {
    let requeue = prop_oneof![
        Just(Requeue::Now),
        Just(Requeue::OnChange),
        (0u64..4).prop_map(|delay| Requeue::After(Duration::from_secs(delay)))
    ];
    prop_oneof![
        3 => (requeue, prop::collection::vec(0..KEYS, 0..3)).prop_map(|(requeue, wake)| End::Done(requeue, wake)),
        4 => (0..CLASSES.len()).prop_map(End::NeedsPermit),
        1 => Just(End::Panic),
    ]
}

type ModelRank = (Reverse<u32>, u64, usize);

#[derive(Clone, Debug)]
struct Run {
    number: u64,
    priority: u32,
    started: u64,
    held: Option<u64>,
    holds: Vec<usize>,
}

#[derive(Clone, Debug, Default)]
struct ModelKey {
    slot: Option<(u64, Option<u32>)>,
    run: Option<Run>,
    /// Class, priority, since.
    line: Option<(usize, u32, u64)>,
    panics: u32,
    not_before: u64,
    /// Law: scheduled, and no pass has begun since.
    wanted: bool,
}

struct Model {
    now: u64,
    keys: Vec<ModelKey>,
    priorities: [u32; KEYS],
    passes: u64,
}

impl Model {
    fn schedule(&mut self, key: usize, delay: u64) {
        let of_key = &mut self.keys[key];
        let at = (self.now + delay).max(of_key.not_before);
        let earlier = |one: Option<u64>| Some(one.map_or(at, |one| one.min(at)));
        match &mut of_key.run {
            Some(run) => run.held = earlier(run.held),
            None => of_key.slot = earlier(of_key.slot.map(|(at, _)| at)).map(|at| (at, None)),
        }
        of_key.wanted = true;
    }

    fn read_priorities(&mut self) {
        for (of_key, priority) in self.keys.iter_mut().zip(self.priorities) {
            if let Some((at, read @ None)) = &mut of_key.slot
                && *at <= self.now
            {
                *read = Some(priority);
                if let Some(line) = &mut of_key.line {
                    line.1 = priority;
                }
            }
        }
    }

    fn free(&self, class: usize) -> usize {
        let used = self
            .keys
            .iter()
            .filter_map(|key| key.run.as_ref())
            .filter(|run| run.holds.contains(&class))
            .count();
        assert!(used <= CLASSES[class].1, "law: no more permits are out than there are places");
        CLASSES[class].1 - used
    }

    fn line_rank(&self, key: usize) -> Option<(usize, ModelRank)> {
        self.keys[key].line.map(|(class, priority, since)| (class, (Reverse(priority), since, key)))
    }

    fn admits(&self, class: usize, rank: ModelRank) -> bool {
        let ahead = (0..KEYS)
            .filter_map(|key| self.line_rank(key))
            .filter(|(of, other)| *of == class && *other < rank);
        ahead.count() < self.free(class)
    }

    fn next(&mut self) -> Option<(usize, u64)> {
        if self.keys.iter().filter(|key| key.run.is_some()).count() >= CONCURRENCY {
            return None;
        }
        let idle = (0..KEYS).filter(|key| self.keys[*key].run.is_none());
        let ranks = idle.flat_map(|key| {
            let ready = match self.keys[key].slot {
                Some((at, Some(priority))) => Some((Reverse(priority), at, key)),
                Some((_, None)) | None => None,
            };
            let turn =
                self.line_rank(key).filter(|(class, rank)| self.admits(*class, *rank)).map(|(_, rank)| rank);
            ready.into_iter().chain(turn)
        });
        let (Reverse(priority), _, key) = ranks.min()?;
        self.passes += 1;
        let number = self.passes;
        let of_key = &mut self.keys[key];
        of_key.slot = None;
        of_key.wanted = false;
        of_key.run = Some(Run { number, priority, started: self.now, held: None, holds: Vec::new() });
        if let Some((class, _, _)) = self.keys[key].line {
            self.try_take(key, class);
        }
        Some((key, number))
    }

    fn try_take(&mut self, key: usize, class: usize) -> bool {
        let run = self.keys[key].run.clone().expect("it runs");
        if run.holds.contains(&class) {
            return true;
        }
        let in_line = self.line_rank(key).filter(|(of, _)| *of == class);
        let rank = in_line.map_or((Reverse(run.priority), run.started, key), |(_, rank)| rank);
        let admitted = self.admits(class, rank);
        if admitted {
            self.keys[key].run.as_mut().expect("it runs").holds.push(class);
            self.keys[key].line = self.keys[key].line.filter(|_| in_line.is_none());
        }
        admitted
    }

    fn end(&mut self, key: usize, end: &End) {
        let run = self.keys[key].run.clone().expect("it runs");
        let line = self.keys[key].line.take();
        match end {
            End::Panic => self.fail(key),
            End::NeedsPermit(class) if run.holds.contains(class) => self.fail(key),
            End::NeedsPermit(class) => {
                let since = line.filter(|(of, _, _)| of == class).map_or(self.now, |(_, _, since)| since);
                self.keys[key].line = Some((*class, run.priority, since));
                self.land(key);
            }
            End::Done(requeue, wake) => {
                self.land(key);
                let again =
                    matches!(requeue, Requeue::Now | Requeue::After(Duration::ZERO)) || wake.contains(&key);
                if !again {
                    self.keys[key].panics = 0;
                    self.keys[key].not_before = 0;
                }
                match requeue {
                    _ if again => self.schedule(key, 0),
                    Requeue::Now => unreachable!("handled above"),
                    Requeue::After(delay) => self.schedule(key, delay.as_secs()),
                    Requeue::OnChange => {}
                }
                for other in wake.iter().filter(|other| **other != key) {
                    self.schedule(*other, 0);
                }
            }
        }
    }

    fn land(&mut self, key: usize) {
        let run = self.keys[key].run.take().expect("it runs");
        self.keys[key].slot = run.held.map(|at| (at, None));
    }

    fn fail(&mut self, key: usize) {
        let of_key = &mut self.keys[key];
        of_key.run = None;
        of_key.panics += 1;
        of_key.not_before = self.now + backoff::delay(&REST, of_key.panics, 0).as_secs();
        of_key.slot = Some((of_key.not_before, None));
    }
}

struct Both {
    scheduler: Scheduler<usize>,
    model: Model,
}

impl Both {
    fn new() -> Self {
        let limits = Limits {
            concurrency: CONCURRENCY,
            pools: BTreeMap::from(CLASSES),
            panic_backoff: REST,
            now_in_a_row_max: u32::MAX,
            ..Limits::default()
        };
        let model = Model { now: 0, keys: vec![ModelKey::default(); KEYS], priorities: [0; KEYS], passes: 0 };
        Self { scheduler: Scheduler::new(&limits), model }
    }

    fn now(&self) -> Moment {
        Moment::at(Duration::from_secs(self.model.now))
    }

    fn running(&self) -> Vec<usize> {
        (0..KEYS).filter(|key| self.model.keys[*key].run.is_some()).collect()
    }

    fn apply(&mut self, op: &Op) {
        let now = self.now();
        match op {
            Op::Schedule(key, delay) => {
                self.scheduler.schedule(*key, now, Duration::from_secs(*delay));
                self.model.schedule(*key, *delay);
            }
            Op::Advance(by) => self.model.now += by,
            Op::SetPriority(key, priority) => self.model.priorities[*key] = *priority,
            Op::Turn(most) => self.turn(*most),
            Op::TryTake(nth, class) => {
                if let Some(key) = self.running().get(*nth) {
                    let number = self.model.keys[*key].run.as_ref().expect("it runs").number;
                    assert!(
                        !self.scheduler.try_take(key, number - 1, CLASSES[*class].0),
                        "an old pass gets no permit"
                    );
                    let got = self.scheduler.try_take(key, number, CLASSES[*class].0);
                    assert_eq!(got, self.model.try_take(*key, *class), "permit for {key}");
                    assert_eq!(self.scheduler.holds(key, number, CLASSES[*class].0), got);
                }
            }
            Op::End(nth, end) => {
                if let Some(key) = self.running().get(*nth) {
                    self.end(*key, end);
                }
            }
        }
        self.compare();
    }

    fn turn(&mut self, most: usize) {
        let now = self.now();
        for key in self.scheduler.unranked(now) {
            self.scheduler.rank(&key, self.model.priorities[key], now);
        }
        self.model.read_priorities();
        for _ in 0..most {
            let before = self.running();
            let next = self.scheduler.next(now).map(|pass| (pass.key, pass.number));
            if let Some((key, _)) = next {
                assert!(!before.contains(&key), "law: a key never runs twice at once");
            }
            assert_eq!(next, self.model.next(), "the next pass");
        }
    }

    fn end(&mut self, key: usize, end: &End) {
        let now = self.now();
        match end {
            End::Panic => self.scheduler.fail(&key, now),
            End::NeedsPermit(class) => {
                let held = self.model.keys[key].run.as_ref().expect("it runs").holds.contains(class);
                let ended = self.scheduler.finish(&key, Outcome::NeedsPermit(CLASSES[*class].0), now);
                let expected =
                    if held { Ended::Misused(Misuse::HeldIt(CLASSES[*class].0)) } else { Ended::Well };
                assert_eq!(ended, expected);
            }
            End::Done(requeue, wake) => {
                let ended =
                    self.scheduler.finish(&key, Outcome::Done { requeue: *requeue, wake: wake.clone() }, now);
                assert_eq!(ended, Ended::Well);
            }
        }
        self.model.end(key, end);
    }

    fn compare(&self) {
        let keys = &self.model.keys;
        assert_eq!(self.scheduler.running(), self.running().len());
        assert!(self.scheduler.running() <= CONCURRENCY, "law: the cap holds");
        assert_eq!(self.scheduler.scheduled(), keys.iter().filter(|key| key.slot.is_some()).count());
        let classes = self.scheduler.classes();
        for (index, (class, capacity)) in CLASSES.iter().enumerate() {
            let waits = |key: &&ModelKey| key.run.is_none() && key.line.is_some_and(|(of, _, _)| of == index);
            assert_eq!(classes[class].used, capacity - self.model.free(index), "permits out of {class}");
            assert_eq!(classes[class].waiting, keys.iter().filter(waits).count(), "waiting for {class}");
        }
        let due = |key: &ModelKey| key.slot.is_some_and(|(at, _)| at <= self.model.now);
        let busy = keys.iter().any(|key| key.run.is_some() || key.line.is_some() || due(key));
        assert_eq!(self.scheduler.is_settled(self.now()), !busy);
    }

    /// From here on every pass takes what it waits for and ends well: everything must come to rest, with nothing lost.
    fn quiesce(&mut self) {
        for _ in 0..1000 {
            for key in self.running() {
                self.end(key, &End::Done(Requeue::OnChange, Vec::new()));
            }
            self.turn(CONCURRENCY);
            self.compare();
            if self.running().is_empty() {
                if self.scheduler.next_due().is_none() {
                    assert!(self.scheduler.is_settled(self.now()), "nothing runs, so nothing may be stuck");
                    assert!(!self.model.keys.iter().any(|key| key.wanted), "law: no lost wake-up");
                    assert!(
                        self.scheduler.classes().values().all(|class| class.used == 0),
                        "law: permits are freed"
                    );
                    return;
                }
                self.model.now += 1;
            }
        }
        panic!("law: no livelock");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_scheduler_does_what_the_model_does(ops in prop::collection::vec(op(), 1..120)) {
        let mut both = Both::new();
        for op in &ops {
            both.apply(op);
        }
        both.quiesce();
    }
}
