//! What is known of a GPU, and what happens to one.

use aiplat_core::observed::{Driver, GpuMemory, GpuProcess, ObservedGpu, Owner, Recovery, Vendor};
use aiplat_host::Gpus;
use serde_json::json;

use crate::machine::{FIRST, Machine, NOBODY, SECOND, id, is_ready, the, until};

const SLICE: &str = "MIG-0a1b2c3d-1111-2222-3333-444455556666";
const OTHER_SLICE: &str = "MIG-1b2c3d4e-1111-2222-3333-444455556666";

#[tokio::test]
async fn everything_that_the_driver_knows_of_a_gpu_is_read() {
    let machine = Machine::with_one_gpu();
    let facts = machine.gpus().observe().await;
    let gone = |pid, memory| GpuProcess { pid, memory, name: String::new(), owner: Owner::Nothing };
    let processes = vec![gone(NOBODY - 1, None), gone(NOBODY, Some(3_000))];
    let expected = ObservedGpu {
        index: Some(0),
        name: Some("NVIDIA GeForce RTX 4090".to_owned()),
        bus: Some("0000:01:00.0".to_owned()),
        mig: Some(false),
        memory: Some(GpuMemory { total: 24_000, free: 20_000 }),
        compute_capability: Some((8, 9)),
        utilisation: Some(37),
        temperature: Some(61),
        power: Some(120_500),
        power_limit: Some(450_000),
        persistence: Some(true),
        recovery: Some(Recovery::None),
        processes: Some(processes),
        ..ObservedGpu::new(Vendor::Nvidia)
    };
    assert_eq!(the(&facts, FIRST), &expected);
}

#[tokio::test]
async fn what_a_gpu_does_not_tell_is_unknown_and_never_zero() {
    let mut machine = Machine::with_one_gpu();
    machine.change(|scenario| scenario["gpus"] = json!([{"uuid": FIRST}]));
    let facts = machine.gpus().observe().await;
    assert_eq!(the(&facts, FIRST), &ObservedGpu { index: Some(0), ..ObservedGpu::new(Vendor::Nvidia) });
}

#[tokio::test]
async fn memory_pressure_and_who_causes_it_are_seen_anew_with_each_look() {
    let mut machine = Machine::with_one_gpu();
    let gpus = machine.gpus();
    assert!(is_ready(&gpus.observe().await));
    machine.change(|scenario| {
        scenario["gpus"][0]["memory"] = json!([24_000, 100, 23_000]);
        scenario["gpus"][0]["processes"] = json!((0..40).map(|pid| (pid, Some(575))).collect::<Vec<_>>());
    });
    let facts = gpus.observe().await;
    let gpu = the(&facts, FIRST);
    assert_eq!(gpu.memory, Some(GpuMemory { total: 24_000, free: 100 }));
    assert_eq!(gpu.processes.as_ref().map(Vec::len), Some(40));
}

#[tokio::test]
async fn a_process_is_told_with_its_program_and_what_it_is_part_of() {
    let mut machine = Machine::with_one_gpu();
    let own = std::process::id();
    machine.change(|scenario| scenario["gpus"][0]["processes"] = json!([[own, 1_000]]));
    let facts = machine.gpus().observe().await;
    let process = the(&facts, FIRST).processes.as_ref().and_then(|all| all.first()).expect("it is listed");
    let name = std::fs::read_to_string("/proc/self/comm").expect("this is Linux");
    assert_eq!((process.pid, process.name.as_str()), (own, name.trim_end()));
}

#[tokio::test]
async fn processes_that_may_not_be_seen_are_unknown_and_not_none() {
    let mut machine = Machine::with_one_gpu();
    let forbidden =
        json!({"nvmlDeviceGetComputeRunningProcesses_v3": 4, "nvmlDeviceGetComputeRunningProcesses_v2": 4});
    machine.change(|scenario| scenario["gpus"][0]["errors"] = forbidden);
    let facts = machine.gpus().observe().await;
    assert_eq!((&the(&facts, FIRST).processes, &the(&facts, FIRST).lost), (&None, &None));
}

#[tokio::test]
async fn persistence_mode_that_is_off_is_seen() {
    let mut machine = Machine::with_one_gpu();
    machine.change(|scenario| scenario["gpus"][0]["persistence"] = json!(false));
    let facts = machine.gpus().observe().await;
    assert_eq!(the(&facts, FIRST).persistence, Some(false));
}

#[tokio::test]
async fn each_recovery_action_is_told_and_a_new_one_by_its_number() {
    let mut machine = Machine::with_one_gpu();
    let gpus = machine.gpus();
    let actions = [
        Recovery::None,
        Recovery::Reset,
        Recovery::Reboot,
        Recovery::DrainPeers,
        Recovery::DrainAndReset,
        Recovery::Other(5),
    ];
    for (number, action) in actions.into_iter().enumerate() {
        machine.change(|scenario| scenario["gpus"][0]["recovery"] = json!(number));
        assert_eq!(the(&gpus.observe().await, FIRST).recovery, Some(action));
    }
    machine.change(|scenario| scenario["gpus"][0]["recovery"] = json!(null));
    assert_eq!(the(&gpus.observe().await, FIRST).recovery, None, "a driver that does not know the field");
}

/// XID 79: it fell off the bus. The others go on, its name is still known, and a session that begins anew finds it healed.
#[tokio::test]
async fn a_gpu_that_is_lost_is_lost_under_its_name_and_the_other_goes_on() {
    let mut machine = Machine::with_two_gpus();
    let gpus = machine.gpus();
    assert_eq!(gpus.observe().await.gpus.len(), 2);
    machine.change(|scenario| scenario["gpus"][0]["lost"] = json!(15));
    let facts = gpus.observe().await;
    assert!(is_ready(&facts), "{facts:?}");
    let said = "nvmlDeviceGetHandleByIndex_v2: device fell off the bus or has otherwise become inacessible (NVML error 15)";
    let expected = ObservedGpu {
        index: Some(0),
        name: Some("NVIDIA GeForce RTX 4090".to_owned()),
        bus: Some("0000:01:00.0".to_owned()),
        compute_capability: Some((8, 9)),
        lost: Some(said.to_owned()),
        ..ObservedGpu::new(Vendor::Nvidia)
    };
    assert_eq!(the(&facts, FIRST), &expected);
    assert_eq!((the(&facts, SECOND).utilisation, &the(&facts, SECOND).lost), (Some(37), &None));
    until(&gpus, |_| machine.called("nvmlInit_v2") >= 2).await;
    machine.change(|scenario| scenario["gpus"][0]["lost"] = json!(null));
    until(&gpus, |facts| the(facts, FIRST).lost.is_none()).await;
}

#[tokio::test]
async fn a_gpu_that_was_lost_before_we_came_is_named_by_its_place_on_the_bus() {
    let mut machine = Machine::with_two_gpus();
    machine.change(|scenario| scenario["gpus"][1]["lost"] = json!(15));
    let facts = machine.gpus().observe().await;
    let lost = the(&facts, "pci-0000:02:00.0");
    assert!(lost.lost.is_some() && lost.bus.as_deref() == Some("0000:02:00.0"), "{lost:?}");
    assert_eq!(facts.gpus.len(), 2);
}

#[tokio::test]
async fn a_gpu_that_is_lost_while_it_is_asked_tells_nothing_of_before() {
    let mut machine = Machine::with_two_gpus();
    machine.change(|scenario| scenario["gpus"][0]["errors"] = json!({"nvmlDeviceGetPowerUsage": 16}));
    let facts = machine.gpus().observe().await;
    assert_eq!(the(&facts, SECOND).lost, None);
    let lost = facts.gpus.values().find(|gpu| gpu.lost.is_some()).expect("a lost one");
    assert_eq!((lost.memory, &lost.processes), (None, &None));
    assert!(lost.lost.as_deref().is_some_and(|said| said.contains("NVML error 16")), "{lost:?}");
}

#[tokio::test]
async fn a_gpu_that_is_gone_is_not_listed() {
    let mut machine = Machine::with_two_gpus();
    let gpus = machine.gpus();
    assert_eq!(gpus.observe().await.gpus.len(), 2);
    machine.change(|scenario| drop(scenario["gpus"].as_array_mut().map(|gpus| gpus.remove(0))));
    let facts = gpus.observe().await;
    assert_eq!(facts.gpus.keys().collect::<Vec<_>>(), [&id(SECOND)]);
    assert_eq!(the(&facts, SECOND).index, Some(0));
}

#[tokio::test]
async fn slices_are_gpus_of_their_own_and_change_with_the_division() {
    let mut machine = Machine::with_one_gpu();
    let gpus = machine.gpus();
    let slice = |uuid: &str| json!({"uuid": uuid, "name": "NVIDIA A100 MIG 1g.5gb", "memory": [5_000, 4_900, 50], "processes": []});
    machine.change(|scenario| {
        scenario["gpus"][0]["mig"] = json!(true);
        scenario["gpus"][0]["utilisation"] = json!(null);
        scenario["gpus"][0]["slices"] = json!([null, slice(SLICE), slice(OTHER_SLICE)]);
    });
    let facts = gpus.observe().await;
    assert_eq!((the(&facts, FIRST).mig, facts.gpus.len()), (Some(true), 3));
    let expected = ObservedGpu {
        index: Some(1),
        name: Some("NVIDIA A100 MIG 1g.5gb".to_owned()),
        bus: Some("0000:01:00.0".to_owned()),
        parent: Some(id(FIRST)),
        memory: Some(GpuMemory { total: 5_000, free: 4_900 }),
        compute_capability: Some((8, 9)),
        processes: Some(Vec::new()),
        ..ObservedGpu::new(Vendor::Nvidia)
    };
    assert_eq!(the(&facts, SLICE), &expected);
    machine.change(|scenario| scenario["gpus"][0]["slices"] = json!([slice(OTHER_SLICE)]));
    let facts = gpus.observe().await;
    assert_eq!(facts.gpus.keys().collect::<Vec<_>>(), [&id(FIRST), &id(OTHER_SLICE)]);
    machine.change(|scenario| scenario["gpus"][0]["mig"] = json!(false));
    assert_eq!(gpus.observe().await.gpus.len(), 1);
    assert!(matches!(gpus.observe().await.nvidia, Driver::Ready { .. }));
}
