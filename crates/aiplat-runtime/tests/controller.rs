//! The laws of the controller, one literal each, in paused time.

mod common;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aiplat_runtime::{Class, Config, Controller, Limits, Outcome, Requeue, Settled};
use common::{Key, Scripted, ms, run, settled};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

const START: Class = Class("start");

/// What happened, in order, each with the milliseconds since the start of the test.
#[derive(Clone)]
struct Log(Arc<Mutex<Vec<String>>>, Instant);

impl Log {
    fn new() -> Self {
        Self(Arc::default(), Instant::now())
    }

    fn write(&self, line: impl std::fmt::Display) {
        self.0
            .lock()
            .expect("no panic under this lock")
            .push(format!("{} {line}", self.1.elapsed().as_millis()));
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("no panic under this lock"))
    }
}

fn config(concurrency: usize, starts: usize) -> Config {
    let limits = Limits { concurrency, pools: BTreeMap::from([(START, starts)]), ..Limits::default() };
    Config { limits, ..Config::default() }
}

/// Each pass takes 10 ms, and changes nothing.
fn slow_passes(log: &Log) -> Scripted {
    let log = log.clone();
    Scripted::new(move |key, _| {
        log.write(format_args!("{key} begins"));
        async move {
            sleep(ms(10)).await;
            Outcome::done(Requeue::OnChange)
        }
    })
}

/// As [`slow_passes`], but each wants a start, and says whether it could have it.
fn starts(log: &Log) -> Scripted {
    let log = log.clone();
    Scripted::new(move |key, permits| {
        let outcome = if permits.try_take(START) { "starts" } else { "needs a permit" };
        log.write(format_args!("{key} {outcome}"));
        async move {
            if !permits.holds(START) {
                return Outcome::NeedsPermit(START);
            }
            sleep(ms(10)).await;
            Outcome::done(Requeue::OnChange)
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_key_runs_at_its_time_or_earlier() {
    let log = Log::new();
    let background = run(slow_passes(&log), &config(8, 1));
    background.handle.schedule(1, ms(5000));
    background.handle.schedule(2, ms(7000));
    background.handle.schedule(2, ms(3000));
    background.handle.schedule(2, ms(9000));
    background.handle.schedule(3, Duration::MAX);
    sleep(ms(20_000)).await;
    assert_eq!(log.take(), ["3000 2 begins", "5000 1 begins"]);
}

#[tokio::test(start_paused = true)]
async fn a_key_scheduled_while_it_runs_runs_once_more_after_it_ends() {
    let log = Log::new();
    let background = run(slow_passes(&log), &config(8, 1));
    background.handle.schedule_now(1);
    sleep(ms(5)).await;
    background.handle.schedule(1, ms(100));
    background.handle.schedule_now(1);
    background.handle.schedule_now(1);
    settled(&background.handle).await;
    assert_eq!(log.take(), ["0 1 begins", "10 1 begins"]);
}

#[tokio::test(start_paused = true)]
async fn the_most_urgent_goes_first_under_the_cap() {
    let log = Log::new();
    let scripted = Scripted { priority: Box::new(|key| key), ..slow_passes(&log) };
    let background = run(scripted, &config(2, 1));
    background.handle.schedule_all_now(1..=5);
    sleep(ms(15)).await;
    background.handle.schedule_now(9);
    settled(&background.handle).await;
    let expected = ["0 5 begins", "0 4 begins", "10 3 begins", "10 2 begins", "20 9 begins", "20 1 begins"];
    assert_eq!(log.take(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_pool_gives_its_places_in_order_and_a_create_never_waits_for_starts() {
    let log = Log::new();
    let Scripted { pass: start, .. } = starts(&log);
    let Scripted { pass: create, .. } = slow_passes(&log);
    let scripted = Scripted {
        priority: Box::new(|key| key),
        pass: Box::new(
            move |key, permits| if key < 100 { start(key, permits) } else { create(key, permits) },
        ),
        on_panic: Box::new(|_, _| ()),
    };
    let background = run(scripted, &config(2, 1));
    background.handle.schedule_all_now([1, 2, 3]);
    sleep(ms(5)).await;
    background.handle.schedule_now(100);
    assert_eq!(background.handle.stats().waiting_for_permit, 2);
    settled(&background.handle).await;
    let expected = [
        "0 3 starts",
        "0 2 needs a permit",
        "0 1 needs a permit",
        "5 100 begins",
        "10 2 starts",
        "20 1 starts",
    ];
    assert_eq!(log.take(), expected);
    assert_eq!(background.handle.stats().totals.permits_refused, 2);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_an_event_of_its_key_and_gives_back_its_permit() {
    let log = Log::new();
    let (of_pass, of_panic) = (log.clone(), log.clone());
    let passes = AtomicUsize::new(0);
    let scripted = Scripted {
        on_panic: Box::new(move |key, message| of_panic.write(format_args!("{key} panics: {message}"))),
        ..Scripted::new(move |key, permits| {
            assert!(permits.try_take(START), "the only place is free");
            let nth = passes.fetch_add(1, Ordering::Relaxed);
            // The first dies before its first await, the second after it.
            assert!(nth != 0, "as {}", "text");
            let log = of_pass.clone();
            async move {
                sleep(ms(1)).await;
                if nth == 1 {
                    std::panic::panic_any("literal");
                }
                log.write(format_args!("{key} ends"));
                Outcome::done(Requeue::OnChange)
            }
        })
    };
    let background = run(scripted, &config(1, 1));
    background.handle.schedule_now(1);
    sleep(ms(20_000)).await;
    background.handle.schedule_now(2);
    settled(&background.handle).await;
    let lines = log.take();
    let text: Vec<_> = lines.iter().map(|line| line.split_once(' ').expect("time first").1).collect();
    assert_eq!(text, ["1 panics: as text", "1 panics: literal", "1 ends", "2 ends"]);
    let times: Vec<u64> =
        lines.iter().map(|line| line.split(' ').next().expect("time").parse().expect("ms")).collect();
    assert!((800..=1002).contains(&times[1]), "about a second after the first: {lines:?}");
    assert!((1600..=2003).contains(&(times[2] - times[1])), "about two after the second: {lines:?}");
    assert_eq!(background.handle.stats().totals.panics, 2);
}

#[tokio::test(start_paused = true)]
async fn neither_a_panicking_priority_nor_a_panicking_report_ends_the_loop() {
    let log = Log::new();
    let scripted = Scripted {
        priority: Box::new(|key| if key == 1 { panic!("no such key") } else { 0 }),
        on_panic: Box::new(|_, _| panic!("nor here")),
        ..slow_passes(&log)
    };
    let background = run(scripted, &config(8, 1));
    background.handle.schedule_all_now([1, 2]);
    settled(&background.handle).await;
    assert_eq!(log.take(), ["0 1 begins", "0 2 begins"]);
}

#[tokio::test(start_paused = true)]
async fn a_broken_contract_of_the_permits_is_reported() {
    let log = Log::new();
    let of_panic = log.clone();
    let scripted = Scripted {
        on_panic: Box::new(move |key, message| of_panic.write(format_args!("{key}: {message}"))),
        ..Scripted::new(|_, _| async { Outcome::NeedsPermit(Class("push")) })
    };
    let background = run(scripted, &config(8, 1));
    background.handle.schedule_now(1);
    settled(&background.handle).await;
    assert_eq!(log.take(), ["0 1: the pass needs a permit of class `push`, which has no pool"]);
}

#[tokio::test(start_paused = true)]
async fn settled_waits_for_what_runs_is_due_or_stands_in_line_and_tells_the_next_time() {
    let log = Log::new();
    let background = run(starts(&log), &config(8, 1));
    let begin = Instant::now();
    background.handle.schedule_all_now([1, 2, 3]);
    background.handle.schedule(4, ms(60_000));
    let at_rest = settled(&background.handle).await;
    assert_eq!(begin.elapsed(), ms(30));
    assert_eq!(at_rest, Settled { next_due: Some(begin + ms(60_000)), stopped: false });
    assert_eq!(background.handle.stats().next_due, at_rest.next_due);
    sleep(ms(59_975)).await;
    assert!(timeout(ms(2), background.handle.settled()).await.is_err(), "4 runs");
    assert_eq!(settled(&background.handle).await, Settled { next_due: None, stopped: false });
}

#[tokio::test(start_paused = true)]
async fn settled_sees_what_was_scheduled_before_the_controller_ran() {
    let log = Log::new();
    let controller = Controller::new(Arc::new(slow_passes(&log)), &config(8, 1));
    let handle = controller.handle();
    handle.schedule_now(1);
    assert!(timeout(ms(100), handle.settled()).await.is_err());
    let task = tokio::spawn(controller.run(CancellationToken::new()));
    settled(&handle).await;
    assert_eq!(log.take(), ["100 1 begins"]);
    task.abort();
    assert!(task.await.expect_err("aborted").is_cancelled());
    assert!(settled(&handle).await.stopped, "a dropped loop leaves nobody waiting");
    assert!(handle.is_stopped());
}

#[tokio::test(start_paused = true)]
async fn shutdown_takes_no_key_and_waits_for_the_passes_that_run() {
    let log = Log::new();
    let background = run(slow_passes(&log), &config(1, 1));
    background.handle.schedule_all_now([1, 2]);
    sleep(ms(5)).await;
    background.cancel.cancel();
    let begin = Instant::now();
    sleep(ms(1)).await;
    assert!(!background.handle.schedule_now(3), "the caller is told");
    assert!(!background.handle.is_stopped());
    let stopped = background.task.await.expect("the loop returns");
    assert_eq!((stopped.abandoned, begin.elapsed()), (vec![], ms(5)));
    assert_eq!(log.take(), ["0 1 begins"]);
    assert!(settled(&background.handle).await.stopped);
}

#[tokio::test(start_paused = true)]
async fn shutdown_abandons_what_does_not_end_within_the_grace() {
    let scripted = Scripted::new(|key, _| async move {
        if key == 1 {
            sleep(ms(3000)).await;
        } else {
            std::future::pending::<()>().await;
        }
        Outcome::done(Requeue::Now)
    });
    let background = run(scripted, &Config { shutdown_grace: ms(7000), beat: ms(500), ..config(8, 1) });
    background.handle.schedule_all_now([3, 1, 2]);
    sleep(ms(1)).await;
    background.cancel.cancel();
    let begin = Instant::now();
    let turns = background.handle.turns();
    let stopped = background.task.await.expect("the loop returns");
    assert_eq!((stopped.abandoned, begin.elapsed()), (vec![2, 3], ms(7000)));
    assert!(background.handle.turns() - turns >= 14, "the heartbeat goes on while it stops");
}

#[tokio::test(start_paused = true)]
async fn the_heart_beats_without_work_and_while_a_pass_hangs() {
    let background =
        run(Scripted::new(|_, _| std::future::pending()), &Config { beat: ms(2000), ..config(1, 1) });
    for hangs in [false, true] {
        if hangs {
            background.handle.schedule_all_now([1, 2]);
        }
        for _ in 0..10 {
            let turns = background.handle.turns();
            sleep(ms(2001)).await;
            let taken = background.handle.turns() - turns;
            assert!((1..=3).contains(&taken), "{taken} turns in a beat: neither dead nor spinning");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn permits_end_with_their_pass_even_if_they_are_kept() {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&kept);
    let scripted = Scripted::new(move |_, permits| {
        assert!(permits.try_take(START), "free each time");
        keep.lock().expect("no panic under this lock").push(permits);
        async { Outcome::done(Requeue::OnChange) }
    });
    let background = run(scripted, &config(1, 1));
    for key in [1, 2, 1] {
        background.handle.schedule_now(key);
        settled(&background.handle).await;
    }
    let kept = kept.lock().expect("no panic under this lock");
    assert_eq!(kept.len(), 3);
    assert!(kept.iter().all(|permits| !permits.holds(START) && !permits.try_take(START)));
}

/// Real threads and real time: many tasks schedule few keys, and each waits for a pass that begins after it asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_wake_up_is_lost_between_threads() {
    const KEYS: usize = 4;
    let begun: Arc<[AtomicUsize; KEYS]> = Arc::default();
    let in_pass = Arc::clone(&begun);
    let scripted = Scripted::new(move |key, permits| {
        in_pass[key as usize].fetch_add(1, Ordering::SeqCst);
        async move {
            tokio::task::yield_now().await;
            if permits.try_take(START) {
                Outcome::done(Requeue::OnChange)
            } else {
                Outcome::NeedsPermit(START)
            }
        }
    });
    let background = run(scripted, &config(3, 1));
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let (handle, begun) = (background.handle.clone(), Arc::clone(&begun));
        tasks.spawn(async move {
            for round in 0..200 {
                let key = (task + round) % KEYS;
                let before = begun[key].load(Ordering::SeqCst);
                handle.schedule_now(key as Key);
                let seen = async {
                    while begun[key].load(Ordering::SeqCst) == before {
                        tokio::task::yield_now().await;
                    }
                };
                timeout(Duration::from_secs(20), seen).await.expect("a pass begins after each wake-up");
            }
        });
    }
    while let Some(result) = tasks.join_next().await {
        result.expect("no task fails");
    }
    timeout(Duration::from_secs(20), background.handle.settled()).await.expect("it settles");
    let stats = background.handle.stats();
    assert_eq!((stats.running, stats.waiting_for_permit, stats.ready, stats.scheduled), (0, 0, 0, 0));
}
