//! The clauses about what a person asks for: hands off, the load, the log, a volume's end.

use std::time::Duration;

use aiplat_core::{
    ResourceId,
    action::Action,
    condition::{ErrorClass, Reason},
    observed::ContainerId,
    spec::Limits,
};
use aiplat_host::{LogLine, LogOptions, Usage};
use futures_util::TryStreamExt;

use super::{
    Driver, Machine, Program,
    clauses::{ended, quick, refused, running},
};
use crate::sim::Foreign;

pub(super) async fn hand_back(machine: &dyn Machine) {
    let (mut driver, id, container) = running(machine).await;
    let before = driver.only("web").incarnation();
    let restarts = |driver: &Driver<'_>| driver.only("web").detail.as_ref().map(|it| it.engine_restarts);
    assert_eq!(restarts(&driver), Some(false), "it is ours to restart");
    let hand_back = Action::HandBack { id: container.clone() };
    for _ in 0..2 {
        driver.apply(&id, &hand_back).await.expect("handed back, or already so");
    }
    driver.observe().await;
    assert_eq!(restarts(&driver), Some(true));
    // As it is planned: nobody else ordered that.
    assert_eq!(driver.converge().await, ["update web"]);
    assert_eq!(restarts(&driver), Some(false));
    assert_eq!(driver.only("web").incarnation(), before, "it ran on");
    assert_eq!(driver.only("web").detail.as_ref().map(|it| &it.limits), Some(&Limits::default()));

    let theirs = Foreign { name: machine.name("theirs"), ..Foreign::default() };
    let theirs = Action::HandBack { id: ContainerId(machine.foreign(&theirs)) };
    refused(driver.apply(&id, &theirs).await, ErrorClass::Changed, Reason::NameTaken);
    machine.remove(&container.0);
    refused(driver.apply(&id, &hand_back).await, ErrorClass::Changed, Reason::Missing);
}

pub(super) async fn usage(machine: &dyn Machine) {
    let limited = quick("web").with(|service| service.limits.memory = 64 << 20);
    let mut driver = Driver::new(machine, &machine.sketch(vec![limited]), Program::Serve);
    driver.converge().await;
    let container = driver.only("web").id.clone();
    let used = machine.backend().usage(&container).await.expect("it runs");
    if machine.accounts(&container.0) {
        assert!(used.pids >= 1 && used.memory > 0 && used.memory < used.memory_limit, "{used:?}");
        assert_eq!(used.memory_limit, 64 << 20, "its own limit");
    } else {
        assert_eq!(used, Usage::default(), "nothing is made up");
    }
    machine.kill(&container.0);
    let used = machine.backend().usage(&container).await.expect("it exists");
    assert_eq!((used.pids, used.memory), (0, 0), "what does not run uses nothing");
    machine.remove(&container.0);
    let error = machine.backend().usage(&container).await.expect_err("it is gone");
    assert_eq!((error.class, error.reason), (ErrorClass::Changed, Reason::Missing), "{error}");
}

async fn lines(machine: &dyn Machine, container: &ContainerId, tail: Option<u32>) -> Vec<LogLine> {
    let options = LogOptions { tail, ..LogOptions::default() };
    let lines = machine.backend().logs(container, &options).await.expect("it exists");
    lines.try_collect().await.expect("it is read to its end")
}

/// All lines, when there are `count` of them: the last may come a moment after the end.
async fn lines_in_full(machine: &dyn Machine, container: &ContainerId, count: usize) -> Vec<LogLine> {
    for _ in 0..100 {
        let all = lines(machine, container, None).await;
        if all.len() >= count {
            assert_eq!(all.len(), count, "{all:?}");
            return all;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("fewer than {count} lines");
}

pub(super) async fn log(machine: &dyn Machine) {
    let driver = ended(machine).await;
    let container = driver.only("web").id.clone();
    // Of two lines on two streams at once either may be the first.
    let all = lines_in_full(machine, &container, 2).await;
    let has = |stderr, words: &str| all.iter().any(|it| it.stderr == stderr && it.text.contains(words));
    assert!(has(false, "started") && has(true, "FATAL: ") && has(true, "crashes as asked"), "{all:?}");
    assert!(all.iter().all(|line| line.timestamp.ends_with('Z')), "{all:?}");
    assert_eq!(lines(machine, &container, Some(1)).await.first(), all.last(), "the last line of all");

    // Another run of the same container: its lines come after those of the one before.
    machine.start(&container.0);
    let both = lines_in_full(machine, &container, 4).await;
    assert_eq!(both.get(..2), Some(all.as_slice()), "both runs");
    assert_eq!(lines(machine, &container, Some(2)).await.as_slice(), &both[2..], "the last run");
    machine.remove(&container.0);
    let options = LogOptions::default();
    let error = machine.backend().logs(&container, &options).await.err().expect("it is gone");
    assert_eq!((error.class, error.reason), (ErrorClass::Changed, Reason::Missing), "{error}");
}

pub(super) async fn volume(machine: &dyn Machine) {
    let sketch = machine.sketch(vec![quick("web").volume("data", "/data")]);
    let mut driver = Driver::new(machine, &sketch, Program::Serve);
    driver.converge().await;
    let backend = machine.backend();
    let ours = machine.name("data");
    refused(backend.remove_volume(&ours).await, ErrorClass::Changed, Reason::InUse);
    let container = driver.only("web").id.clone();
    machine.kill(&container.0);
    refused(backend.remove_volume(&ours).await, ErrorClass::Changed, Reason::InUse);
    machine.remove(&container.0);
    driver.observe().await;
    assert!(driver.observed.volumes.contains_key(&ours), "it is still there");
    for _ in 0..2 {
        backend.remove_volume(&ours).await.expect("removed, or gone");
    }
    let theirs = machine.name("theirs");
    machine.foreign_volume(&theirs);
    refused(backend.remove_volume(&theirs).await, ErrorClass::Changed, Reason::NameTaken);
    driver.observe().await;
    assert!(!driver.observed.volumes.contains_key(&ours));
    assert!(driver.observed.volumes.contains_key(&theirs), "it is still there");
}

pub(super) async fn own_name(machine: &dyn Machine) {
    let sketch = machine.sketch(vec![quick("web"), quick("api")]);
    let mut driver = Driver::new(machine, &sketch, Program::Serve);
    driver.converge().await;
    let (web, api) = (driver.only("web").clone(), driver.only("api").clone());
    let rename = Action::RenameContainer { id: web.id.clone(), to: api.name.clone() };
    let id = ResourceId::container("web");
    refused(driver.apply(&id, &rename).await, ErrorClass::Changed, Reason::NameTaken);
    driver.observe().await;
    assert_eq!((&driver.only("web").name, &driver.only("api").name), (&web.name, &api.name));
    machine.remove(&api.id.0);
    driver.apply(&id, &rename).await.expect("the name is free now");
}
