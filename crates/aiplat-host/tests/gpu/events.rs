//! What the driver tells of by itself.

use aiplat_core::observed::{GpuEvent, GpuEventKind};
use aiplat_host::{Gpus, gpu::LocalGpus};
use futures_util::stream::BoxStream;
use serde_json::json;

use crate::machine::{FIRST, Machine, SECOND, eventually, id, is_ready, next, the, until};

const XID: u64 = 8;
const MIG: u64 = 256;
/// `nvmlEventTypeGpuRecoveryAction`, which is newer than our bindings.
const RECOVERY: u64 = 32768;
const PSTATE: u64 = 4;

fn event(gpu: &str, kind: GpuEventKind) -> GpuEvent {
    GpuEvent { gpu: Some(id(gpu)), kind }
}

/// The GPUs of `machine`, and their events, to which somebody listens already.
async fn listened_to(machine: &Machine) -> (LocalGpus, BoxStream<'static, GpuEvent>) {
    let gpus = machine.gpus();
    let mut events = gpus.events();
    listening(machine, &mut events).await;
    (gpus, events)
}

/// Begins to read, so that the thread runs, and waits until it listens.
async fn listening(machine: &Machine, events: &mut BoxStream<'static, GpuEvent>) {
    let before = machine.called("nvmlEventSetWait_v2");
    tokio::select! {
        event = next(events) => panic!("nothing has happened yet: {event:?}"),
        () = eventually("a wait for events", || machine.called("nvmlEventSetWait_v2") > before) => {}
    }
}

#[tokio::test]
async fn an_application_error_is_told_and_the_gpu_stays_as_it_is() {
    let mut machine = Machine::with_two_gpus();
    let (gpus, mut events) = listened_to(&machine).await;
    let before = gpus.observe().await;
    machine.event(1, XID, 13);
    assert_eq!(next(&mut events).await, event(SECOND, GpuEventKind::Xid(13)));
    assert_eq!(gpus.observe().await, before);
}

#[tokio::test]
async fn a_hardware_error_comes_with_the_action_that_the_driver_asks_for() {
    let mut machine = Machine::with_two_gpus();
    let (gpus, mut events) = listened_to(&machine).await;
    machine.change(|scenario| scenario["gpus"][0]["recovery"] = json!(4));
    machine.event(0, XID, 95);
    assert_eq!(next(&mut events).await, event(FIRST, GpuEventKind::Xid(95)));
    let facts = gpus.observe().await;
    assert_eq!(the(&facts, FIRST).recovery, Some(aiplat_core::observed::Recovery::DrainAndReset));
}

/// It tells nothing of itself any more, its UUID neither.
#[tokio::test]
async fn the_error_of_a_gpu_that_fell_off_the_bus_names_it_still() {
    let mut machine = Machine::with_two_gpus();
    let (_gpus, mut events) = listened_to(&machine).await;
    machine.change(|scenario| scenario["gpus"][0]["lost"] = json!(15));
    machine.event(0, XID, 79);
    assert_eq!(next(&mut events).await, event(FIRST, GpuEventKind::Xid(79)));
}

#[tokio::test]
async fn a_gpu_that_is_divided_anew_is_told() {
    let mut machine = Machine::with_one_gpu();
    let (_gpus, mut events) = listened_to(&machine).await;
    machine.event(0, MIG, 0);
    assert_eq!(next(&mut events).await, event(FIRST, GpuEventKind::MigChanged));
}

#[tokio::test]
async fn an_event_that_is_newer_than_we_are_is_told_all_the_same() {
    let mut machine = Machine::with_one_gpu();
    let (_gpus, mut events) = listened_to(&machine).await;
    machine.event(0, RECOVERY, 0);
    let told = next(&mut events).await;
    assert!(matches!(&told.kind, GpuEventKind::Other(_)) && told.gpu == Some(id(FIRST)), "{told:?}");
}

/// An old driver knows fewer types, one GPU none at all: a set that asks for more is refused as a whole.
#[tokio::test]
async fn a_gpu_that_can_tell_of_nothing_does_not_silence_the_other() {
    let mut machine = Machine::with_two_gpus();
    machine.change(|scenario| {
        scenario["gpus"][0]["events"] = json!(0);
        scenario["gpus"][1]["events"] = json!(XID);
    });
    let (_gpus, mut events) = listened_to(&machine).await;
    machine.event(1, XID, 31);
    assert_eq!(next(&mut events).await, event(SECOND, GpuEventKind::Xid(31)));
}

#[tokio::test]
async fn a_gpu_that_cannot_be_registered_does_not_silence_the_other() {
    let mut machine = Machine::with_two_gpus();
    machine.change(|scenario| scenario["gpus"][0]["errors"] = json!({"nvmlDeviceRegisterEvents": 999}));
    let (_gpus, mut events) = listened_to(&machine).await;
    machine.event(1, XID, 31);
    assert_eq!(next(&mut events).await, event(SECOND, GpuEventKind::Xid(31)));
}

/// A wait that fails says nothing of any GPU: the facts stay, and the stream goes on.
#[tokio::test]
async fn a_wait_that_fails_loses_no_gpu_and_the_stream_comes_back() {
    let mut machine = Machine::with_two_gpus();
    let (gpus, mut events) = listened_to(&machine).await;
    machine.change(|scenario| scenario["errors"] = json!({"nvmlEventSetWait_v2": 999}));
    let told = next(&mut events).await;
    assert!(matches!(&told.kind, GpuEventKind::Lost(why) if why.contains("NVML error 999")), "{told:?}");
    let facts = until(&gpus, is_ready).await;
    assert!(facts.gpus.len() == 2 && facts.gpus.values().all(|gpu| gpu.lost.is_none()), "{facts:?}");
    machine.change(|scenario| scenario["errors"] = json!({}));
    let waits = machine.called("nvmlEventSetWait_v2");
    loop {
        tokio::select! {
            told = next(&mut events) => assert!(matches!(&told.kind, GpuEventKind::Lost(_)), "{told:?}"),
            () = eventually("another wait", || machine.called("nvmlEventSetWait_v2") > waits) => break,
        }
    }
    machine.event(0, XID, 43);
    let told = next(&mut events).await;
    assert_eq!(told, event(FIRST, GpuEventKind::Xid(43)));
}

#[tokio::test]
async fn a_gpu_that_comes_or_goes_is_a_hint_and_the_new_one_is_listened_to() {
    let mut machine = Machine::with_one_gpu();
    let (_gpus, mut events) = listened_to(&machine).await;
    machine.change(|scenario| {
        let second = crate::machine::gpu(SECOND, "00000000:02:00.0");
        scenario["gpus"].as_array_mut().expect("a list").push(second);
    });
    let told = next(&mut events).await;
    let said = "the driver knows 2 GPUs, where it knew 1";
    assert_eq!(told, GpuEvent { gpu: None, kind: GpuEventKind::Other(said.to_owned()) });
    listening(&machine, &mut events).await;
    machine.event(1, XID, 13);
    assert_eq!(next(&mut events).await, event(SECOND, GpuEventKind::Xid(13)));
}

/// NVML counts its users: a session that one of both keeps open is not opened anew for the other.
#[tokio::test]
async fn facts_and_events_give_a_dead_session_back_together() {
    let mut machine = Machine::with_one_gpu();
    let (gpus, mut events) = listened_to(&machine).await;
    assert!(is_ready(&gpus.observe().await));
    assert_eq!(machine.called("nvmlInit_v2"), 1, "one session for both");
    machine.change(|scenario| scenario["generation"] = json!(1));
    // Read on, for the thread of the events notices too.
    let healed = async { until(&gpus, is_ready).await };
    let facts = tokio::select! {
        facts = healed => facts,
        () = async { loop { next(&mut events).await; } } => unreachable!("it has no end"),
    };
    assert_eq!(the(&facts, FIRST).lost, None);
}

/// Nothing fails for the events when one GPU is lost, and they give their session back all the same.
#[tokio::test]
async fn the_events_give_their_session_back_for_a_gpu_that_is_lost() {
    let mut machine = Machine::with_two_gpus();
    let (gpus, _events) = listened_to(&machine).await;
    machine.change(|scenario| scenario["gpus"][0]["lost"] = json!(15));
    let facts = until(&gpus, |facts| is_ready(facts) && machine.called("nvmlInit_v2") > 1).await;
    assert_eq!(the(&facts, SECOND).lost, None);
}

#[tokio::test]
async fn a_change_of_power_state_wakes_nobody() {
    let mut machine = Machine::with_one_gpu();
    machine.change(|scenario| scenario["gpus"][0]["events"] = json!(XID | PSTATE));
    let (_gpus, mut events) = listened_to(&machine).await;
    // The double refuses what is not supported, and tells only of what was asked for.
    machine.event(0, PSTATE, 0);
    machine.event(0, XID, 13);
    assert_eq!(next(&mut events).await, event(FIRST, GpuEventKind::Xid(13)));
}

#[tokio::test]
async fn the_thread_ends_with_the_stream() {
    let machine = Machine::with_one_gpu();
    let (gpus, events) = listened_to(&machine).await;
    drop(events);
    eventually("the release of the set", || machine.called("nvmlEventSetFree") == 1).await;
    // Nobody uses the session but the adapter itself, which has not looked yet and looks now.
    assert!(is_ready(&gpus.observe().await));
}

#[tokio::test]
async fn on_a_machine_without_a_driver_the_stream_is_silent_and_loads_nothing() {
    let machine = Machine::bare();
    let mut events = machine.gpus().events();
    let told = tokio::time::timeout(std::time::Duration::from_millis(300), next(&mut events)).await;
    assert!(told.is_err(), "{told:?}");
}
