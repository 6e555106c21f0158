//! The laws of the whole controller, on paused time, with passes that do anything: they take a while, want permits, wake
//! others, ask to run again, panic. The checker sits inside the passes, so that a law is checked at every step.

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::resume_unwind,
    sync::{Arc, Mutex, MutexGuard},
};

use aiplat_runtime::{Backoff, Class, Config, Limits, Outcome, Permits, Requeue};
use common::{Background, Key, Scripted, ms, run, settled};
use proptest::prelude::*;
use tokio::time::{Instant, sleep, sleep_until};

const KEYS: Key = 6;
const CONCURRENCY: usize = 3;
const CLASSES: [(Class, usize); 2] = [(Class("start"), 2), (Class("pull"), 1)];
/// From here on each pass is calm, so that a run ends.
const WILD_PASSES: usize = 200;
/// From here on a pass hangs: paused time would stand still in a spin, and the test with it.
const ENDLESS_PASSES: usize = 20_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// Somebody asked for a pass.
    Wanted(Key),
    Begun(Key),
    Ended(Key),
    Panicked(Key),
}

/// What the checker knows.
#[derive(Default)]
struct Facts {
    trace: Vec<(u128, Event)>,
    running: BTreeSet<Key>,
    taken: BTreeMap<Class, usize>,
    passes: usize,
    /// Law broken, in words.
    broken: Vec<String>,
}

#[derive(Clone)]
struct Checker {
    facts: Arc<Mutex<Facts>>,
    origin: Instant,
    seed: u64,
}

impl Checker {
    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().expect("no panic under this lock")
    }

    fn write(&self, event: Event) {
        let now = self.origin.elapsed().as_millis();
        self.facts().trace.push((now, event));
    }

    fn require(&self, law: bool, words: &str) {
        if !law {
            self.facts().broken.push(words.to_owned());
        }
    }

    /// A number that depends on the run, the key, and which pass it is; the same in each replay.
    fn choice(&self, key: Key, pass: usize) -> Choices {
        Choices(self.seed ^ (u64::from(key) << 32) ^ pass as u64)
    }
}

struct Choices(u64);

impl Choices {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 29)) % bound
    }
}

/// A pass while it lives; dropped also when it panics.
struct Living {
    checker: Checker,
    key: Key,
    holds: Option<Class>,
}

impl Living {
    fn begin(checker: &Checker, key: Key) -> (Self, usize) {
        checker.write(Event::Begun(key));
        let (fresh, count, passes) = {
            let mut facts = checker.facts();
            facts.passes += 1;
            (facts.running.insert(key), facts.running.len(), facts.passes)
        };
        checker.require(fresh, "a key runs twice at once");
        checker.require(count <= CONCURRENCY, "more passes run than the cap allows");
        (Self { checker: checker.clone(), key, holds: None }, passes)
    }

    fn hold(&mut self, class: Class, capacity: usize) {
        let taken = {
            let mut facts = self.checker.facts();
            let taken = facts.taken.entry(class).or_default();
            *taken += 1;
            *taken
        };
        self.holds = Some(class);
        self.checker.require(taken <= capacity, "more permits are out than there are places");
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        self.checker.write(Event::Ended(self.key));
        let mut facts = self.checker.facts();
        facts.running.remove(&self.key);
        if let Some(class) = self.holds {
            *facts.taken.get_mut(&class).expect("it was taken") -= 1;
        }
    }
}

async fn pass(checker: Checker, key: Key, permits: Permits) -> Outcome<Key> {
    let (mut living, nth) = Living::begin(&checker, key);
    let mut choices = checker.choice(key, nth);
    let calm = nth > WILD_PASSES;
    if nth > ENDLESS_PASSES {
        std::future::pending::<()>().await;
    }
    sleep(ms(choices.below(4))).await;
    if choices.below(2) == 0 {
        let (class, capacity) = CLASSES[choices.below(2) as usize];
        // Half of the passes ask; the others only look whether it is their turn, which must work as well.
        let got = if choices.below(2) == 0 { permits.try_take(class) } else { permits.holds(class) };
        if !got {
            checker.write(Event::Wanted(key));
            return Outcome::NeedsPermit(class);
        }
        living.hold(class, capacity);
        sleep(ms(choices.below(20))).await;
    }
    if calm {
        return Outcome::done(Requeue::OnChange);
    }
    if choices.below(8) == 0 {
        checker.write(Event::Wanted(key));
        resume_unwind(Box::new("a planned panic, without the noise of the hook"));
    }
    let wake: Vec<Key> = (0..choices.below(3)).map(|_| choices.below(KEYS.into()) as Key).collect();
    wake.iter().for_each(|other| checker.write(Event::Wanted(*other)));
    let requeue = match choices.below(4) {
        0 => Requeue::Now,
        1 => Requeue::After(ms(choices.below(50))),
        _ => Requeue::OnChange,
    };
    if requeue != Requeue::OnChange {
        checker.write(Event::Wanted(key));
    }
    Outcome::Done { requeue, wake }
}

fn scripted(checker: &Checker) -> Scripted {
    let (of_pass, of_priority, of_panic) = (checker.clone(), checker.clone(), checker.clone());
    Scripted {
        priority: Box::new(move |key| {
            let passes = of_priority.facts().passes;
            of_priority.choice(key, passes / 20).below(3) as u32
        }),
        on_panic: Box::new(move |key, _| of_panic.write(Event::Panicked(key))),
        ..Scripted::new(move |key, permits| pass(of_pass.clone(), key, permits))
    }
}

/// One request from outside: when, which key, with which delay; in milliseconds.
type Request = (u64, Key, u64);

/// Plays the requests, waits until all has come to rest, checks the laws, and returns what happened.
async fn play(seed: u64, requests: &[Request]) -> Vec<(u128, Event)> {
    let checker = Checker { facts: Arc::default(), origin: Instant::now(), seed };
    let panic_backoff = Backoff { first: ms(5), factor: 2, max: ms(40), jitter_percent: 50 };
    let limits = Limits {
        concurrency: CONCURRENCY,
        pools: BTreeMap::from(CLASSES),
        panic_backoff,
        ..Limits::default()
    };
    let Background { handle, cancel, task } =
        run(scripted(&checker), &Config { limits, ..Config::default() });
    for (at, key, delay) in requests {
        sleep_until(checker.origin + ms(*at)).await;
        checker.write(Event::Wanted(*key));
        assert!(handle.schedule(*key, ms(*delay)), "it is not stopping");
    }
    let mut rests = 0;
    while let Some(at) = settled(&handle).await.next_due {
        {
            let facts = checker.facts();
            let at_rest = facts.running.is_empty() && facts.taken.values().all(|taken| *taken == 0);
            assert!(at_rest, "settled, yet busy");
        }
        sleep_until(at).await;
        rests += 1;
        assert!(rests < 10_000, "it never comes to rest");
    }
    let stats = handle.stats();
    assert_eq!((stats.scheduled, stats.running, stats.waiting_for_permit), (0, 0, 0));
    assert!(stats.classes.values().all(|class| class.used == 0), "every permit is freed: {stats:?}");
    cancel.cancel();
    assert!(task.await.expect("the loop returns").abandoned.is_empty());
    let facts = std::mem::take(&mut *checker.facts());
    assert_eq!(facts.broken, Vec::<String>::new());
    facts.trace
}

/// Each time a pass was wanted, one has begun since.
fn check_no_lost_wake_up(trace: &[(u128, Event)]) {
    let mut wanted = BTreeMap::new();
    for (at, event) in trace {
        match event {
            Event::Wanted(key) => {
                wanted.entry(*key).or_insert(*at);
            }
            Event::Begun(key) => {
                wanted.remove(key);
            }
            Event::Ended(_) | Event::Panicked(_) => {}
        }
    }
    assert!(wanted.is_empty(), "wanted, and never begun since: {wanted:?}");
}

fn play_once(seed: u64, requests: &[Request]) -> Vec<(u128, Event)> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().expect("a runtime").block_on(play(seed, requests))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_laws_hold_whatever_the_passes_do(
        seed: u64,
        mut requests in prop::collection::vec((0u64..400, 0..KEYS, 0u64..60), 1..60),
    ) {
        requests.sort_by_key(|(at, _, _)| *at);
        let trace = play_once(seed, &requests);
        check_no_lost_wake_up(&trace);
        prop_assert_eq!(trace, play_once(seed, &requests), "same input, same trace");
    }
}

#[test]
fn the_wild_passes_do_what_the_laws_are_about() {
    let requests: Vec<Request> = (0..60).map(|nth| (nth * 7, nth as Key % KEYS, nth % 13)).collect();
    let trace = play_once(11, &requests);
    let count = |wanted: fn(&Event) -> bool| trace.iter().filter(|(_, event)| wanted(event)).count();
    let (begun, panicked) =
        (count(|event| matches!(event, Event::Begun(_))), count(|event| matches!(event, Event::Panicked(_))));
    assert!(begun > WILD_PASSES && panicked > 5, "{begun} passes, {panicked} panics");
}
