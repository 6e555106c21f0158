//! A driver that hangs: who asks is answered, and the driver is asked no second time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use aiplat_core::observed::{Driver, GpuEventKind, GpuFacts};
use aiplat_host::{Gpus, gpu::LocalGpus};
use serde_json::json;

use crate::machine::{Machine, is_ready, next, until};

/// No call of the double takes that long, on any machine that works.
const CALL: Duration = Duration::from_secs(2);

fn impatient(machine: &Machine) -> LocalGpus {
    let mut options = machine.options();
    (options.deadlines.call, options.deadlines.open) = (CALL, CALL);
    LocalGpus::new(options)
}

fn hung(call: &str) -> Driver {
    Driver::Hung { call: call.to_owned() }
}

fn threads(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("our threads").filter_map(Result::ok);
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|found| found.trim() == name).count()
}

#[tokio::test]
async fn a_call_that_hangs_is_named_at_once_to_everybody_and_made_only_once() {
    let mut machine = Machine::with_one_gpu();
    let gpus = impatient(&machine);
    assert!(is_ready(&gpus.observe().await));
    let call = "nvmlDeviceGetTemperature";
    let before = machine.called(call);
    machine.change(|scenario| scenario["hang"] = json!([call]));
    assert_eq!(gpus.observe().await.nvidia, hung(call));
    for _ in 0..100 {
        let asked = Instant::now();
        assert_eq!(gpus.observe().await, GpuFacts { nvidia: hung(call), ..GpuFacts::default() });
        assert!(asked.elapsed() < CALL, "it waited for the call that hangs");
    }
    assert_eq!(machine.called(call), before + 1, "the call that hangs was made again");
    machine.change(|scenario| scenario["hang"] = json!([]));
    until(&gpus, is_ready).await;
}

#[tokio::test]
async fn an_initialisation_that_hangs_is_a_hang_too() {
    let mut machine = Machine::with_one_gpu();
    machine.change(|scenario| scenario["hang"] = json!(["nvmlInit_v2"]));
    let gpus = impatient(&machine);
    assert_eq!(gpus.observe().await.nvidia, hung("nvmlInit_v2"));
    assert_eq!(gpus.observe().await.nvidia, hung("nvmlInit_v2"));
    assert_eq!(machine.called("nvmlInit_v2"), 1);
}

#[tokio::test]
async fn many_who_ask_while_it_hangs_pile_up_no_threads() {
    let mut machine = Machine::with_one_gpu();
    machine.change(|scenario| scenario["hang"] = json!(["nvmlDeviceGetName"]));
    let gpus = Arc::new(impatient(&machine));
    let before = threads("gpu-nvidia");
    let asked: Vec<_> = (0..50)
        .map(|_| {
            let gpus = gpus.clone();
            tokio::spawn(async move { gpus.observe().await.nvidia })
        })
        .collect();
    for asked in asked {
        assert_eq!(asked.await.expect("an answer"), hung("nvmlDeviceGetName"));
    }
    assert!(threads("gpu-nvidia") <= before + 1, "more than one thread asks the driver");
    assert_eq!(machine.called("nvmlDeviceGetName"), 1);
}

/// A thread that hangs must not keep the process from ending: this test, and its process with it, ends while the call hangs.
#[test]
fn a_process_ends_while_a_call_hangs() {
    let mut machine = Machine::with_one_gpu();
    machine.change(|scenario| scenario["hang"] = json!(["nvmlDeviceGetUUID"]));
    let begun = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let gpus = impatient(&machine);
    let facts = runtime.block_on(gpus.observe());
    assert_eq!(facts.nvidia, hung("nvmlDeviceGetUUID"));
    drop(gpus);
    drop(runtime);
    // Nothing of this waited for the thread, which still hangs.
    assert!(begun.elapsed() < CALL * 4, "{:?}", begun.elapsed());
    std::mem::forget(machine);
}

/// It is the stream of events that opens the session: who looks meanwhile does not try it a second time.
#[tokio::test]
async fn an_initialisation_that_hangs_for_the_events_is_a_hang_for_the_facts() {
    let mut machine = Machine::with_one_gpu();
    machine.change(|scenario| scenario["hang"] = json!(["nvmlInit_v2"]));
    let gpus = impatient(&machine);
    let mut events = gpus.events();
    let event = next(&mut events).await;
    assert!(
        matches!(event.kind, GpuEventKind::Lost(said) if said.starts_with("nvmlInit_v2 has not come back"))
    );
    assert_eq!(gpus.observe().await.nvidia, hung("nvmlInit_v2"));
    assert_eq!(machine.called("nvmlInit_v2"), 1);
}

#[tokio::test]
async fn a_wait_for_events_that_hangs_is_told_once() {
    let mut machine = Machine::with_one_gpu();
    let gpus = impatient(&machine);
    let mut events = gpus.events();
    machine.change(|scenario| scenario["hang"] = json!(["nvmlEventSetWait_v2"]));
    let event = next(&mut events).await;
    assert_eq!(event.gpu, None);
    let said = "nvmlEventSetWait_v2 has not come back: the driver hangs";
    assert_eq!(event.kind, GpuEventKind::Lost(said.to_owned()));
    machine.change(|scenario| scenario["hang"] = json!([]));
    machine.event(0, 8, 13);
    // Still hanging or not, it is not said twice.
    let told = tokio::time::timeout(CALL, next(&mut events)).await;
    assert!(told.is_err() || matches!(told, Ok(event) if event.kind == GpuEventKind::Xid(13)));
}
