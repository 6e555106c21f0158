//! Every state of the driver.

use std::{fs, time::Duration};

use aiplat_core::observed::{Driver, GpuFacts, Mismatch};
use aiplat_host::{Gpus, gpu::LocalGpus};
use serde_json::json;

use crate::machine::{FIRST, Machine, is_ready, the, until};

#[tokio::test]
async fn no_card_and_no_library_is_absent_and_loads_nothing() {
    let machine = Machine::bare();
    assert_eq!(machine.gpus().observe().await, GpuFacts { nvidia: Driver::Absent, ..GpuFacts::default() });
}

#[tokio::test]
async fn a_card_without_the_library_is_named_by_its_place_on_the_bus() {
    let machine = Machine::bare();
    machine.plug_in("0000:00:02.0", "0x8086", "0x030000");
    machine.plug_in("0000:01:00.1", "0x10de", "0x040300"); // its sound
    machine.plug_in("0000:01:00.0", "0x10de", "0x030000");
    let facts = machine.gpus().observe().await;
    assert_eq!(facts.nvidia, Driver::NoLibrary { card: "0000:01:00.0".to_owned() });
}

#[tokio::test]
async fn a_library_that_is_none_is_a_failure_and_not_an_absence() {
    let machine = Machine::with_one_gpu();
    fs::write(machine.path("lib/libnvidia-ml.so.550.54.15"), "no library").expect("written");
    let facts = machine.gpus().observe().await;
    let Driver::Failed { message } = facts.nvidia else { panic!("{facts:?}") };
    assert!(message.starts_with("nvmlInit_v2: a libloading error occurred"), "{message}");
}

#[tokio::test]
async fn a_driver_that_answers_is_ready_with_its_version_and_cuda() {
    let machine = Machine::with_one_gpu();
    let facts = machine.gpus().observe().await;
    let ready = Driver::Ready { version: "550.54.15".to_owned(), cuda: Some("12.4".to_owned()) };
    assert_eq!(facts.nvidia, ready);
}

#[tokio::test]
async fn a_module_that_is_not_loaded_and_is_loaded_later_is_seen_both_times() {
    let mut machine = Machine::with_one_gpu();
    machine.change(|scenario| scenario["errors"] = json!({"nvmlInit_v2": 9}));
    let gpus = machine.gpus();
    let facts = gpus.observe().await;
    let message = "nvmlInit_v2: NVIDIA driver is not loaded (NVML error 9)".to_owned();
    assert_eq!(facts, GpuFacts { nvidia: Driver::NotLoaded { message }, ..GpuFacts::default() });
    machine.change(|scenario| scenario["errors"] = json!({}));
    assert_eq!(until(&gpus, is_ready).await.gpus.len(), 1);
}

#[tokio::test]
async fn a_driver_without_a_device_is_not_ready() {
    let mut machine = Machine::with_one_gpu();
    machine.change(|scenario| scenario["gpus"] = json!([]));
    let facts = machine.gpus().observe().await;
    assert!(
        matches!(&facts.nvidia, Driver::NotLoaded { message } if message.contains("no GPU")),
        "{facts:?}"
    );
}

#[tokio::test]
async fn devices_that_may_not_be_opened_are_a_matter_of_permission() {
    let mut machine = Machine::with_one_gpu();
    machine.change(|scenario| scenario["errors"] = json!({"nvmlInit_v2": 4}));
    let facts = machine.gpus().observe().await;
    assert!(
        matches!(&facts.nvidia, Driver::NoPermission { message } if message.contains("NVML error 4")),
        "{facts:?}"
    );
}

#[tokio::test]
async fn an_unknown_error_is_told_with_its_number() {
    let mut machine = Machine::with_one_gpu();
    machine.change(|scenario| scenario["errors"] = json!({"nvmlInit_v2": 999}));
    let facts = machine.gpus().observe().await;
    let message = "nvmlInit_v2: an internal driver error occurred (NVML error 999)".to_owned();
    assert_eq!(facts.nvidia, Driver::Failed { message });
}

#[tokio::test]
async fn a_mismatch_at_the_start_is_told_with_both_versions_and_the_history() {
    let mut machine = Machine::with_one_gpu();
    upgrade(&mut machine);
    let gpus = machine.gpus();
    assert_eq!(
        gpus.observe().await,
        GpuFacts { nvidia: Driver::Mismatch(evidence()), ..GpuFacts::default() }
    );
}

/// Our session was opened before the upgrade and would go on working: what everybody else meets must be seen all the same.
#[tokio::test]
async fn a_mismatch_that_begins_under_an_open_session_is_seen() {
    let mut machine = Machine::with_one_gpu();
    let gpus = machine.gpus();
    assert!(is_ready(&gpus.observe().await));
    upgrade(&mut machine);
    until(&gpus, |facts| facts.nvidia == Driver::Mismatch(evidence())).await;
}

/// The loader gives out the library that is in memory, under the same name, for as long as anybody has it open.
#[tokio::test]
async fn a_library_that_is_in_memory_from_before_the_upgrade_hides_no_mismatch() {
    let mut machine = Machine::with_one_gpu();
    let holds_it = machine.gpus();
    assert!(is_ready(&holds_it.observe().await));
    upgrade(&mut machine);
    machine.change(|scenario| scenario["errors"] = json!({}));
    assert_eq!(machine.gpus().observe().await.nvidia, Driver::Mismatch(evidence()));
    assert_eq!(machine.called("nvmlInit_v2"), 2, "the initialisation did not succeed");
}

/// The pause after a failure is for the driver that failed: another one is asked at once.
#[tokio::test]
async fn after_a_mismatch_the_module_of_the_new_version_makes_it_ready_again() {
    let mut machine = Machine::with_one_gpu();
    upgrade(&mut machine);
    let gpus = patient(&machine);
    assert!(!is_ready(&gpus.observe().await));
    machine.load_module(Some("550.90.07"));
    machine.change(|scenario| {
        (scenario["driver"], scenario["generation"], scenario["errors"]) =
            (json!("550.90.07"), json!(1), json!({}));
    });
    let facts = gpus.observe().await;
    assert!(matches!(&facts.nvidia, Driver::Ready { version, .. } if version == "550.90.07"), "{facts:?}");
}

/// The same version is loaded anew: nothing on disk tells of it, and every handle and session is dead.
#[tokio::test]
async fn a_driver_that_is_reloaded_is_asked_in_a_new_session() {
    let mut machine = Machine::with_one_gpu();
    let gpus = machine.gpus();
    assert!(is_ready(&gpus.observe().await));
    machine.change(|scenario| scenario["generation"] = json!(1));
    let broken = gpus.observe().await;
    assert!(
        matches!(&broken.nvidia, Driver::Failed { message } if message.contains("NVML error 999")),
        "{broken:?}"
    );
    let facts = until(&gpus, is_ready).await;
    assert_eq!(the(&facts, FIRST).lost, None);
    assert_eq!(machine.called("nvmlInit_v2"), 2);
}

#[tokio::test]
async fn a_session_that_fails_is_not_opened_anew_with_every_look() {
    let mut machine = Machine::with_one_gpu();
    machine.change(|scenario| scenario["errors"] = json!({"nvmlInit_v2": 999}));
    let gpus = patient(&machine);
    let first = gpus.observe().await;
    assert_eq!(gpus.observe().await, first);
    assert_eq!(machine.called("nvmlInit_v2"), 1);
}

#[tokio::test]
async fn what_an_old_library_lacks_is_unknown_and_nothing_else_is() {
    let machine = Machine::with_one_gpu();
    let newer = [
        "nvmlDeviceGetMemoryInfo_v2",
        "nvmlDeviceGetComputeRunningProcesses_v3",
        "nvmlDeviceGetMigMode",
        "nvmlSystemGetCudaDriverVersion_v2",
        "nvmlDeviceGetFieldValues",
    ];
    fs::remove_file(machine.path("lib/libnvidia-ml.so.1")).expect("removed");
    machine.install_library("550.54.15", &newer);
    let facts = machine.gpus().observe().await;
    assert_eq!(facts.nvidia, Driver::Ready { version: "550.54.15".to_owned(), cuda: None });
    let gpu = the(&facts, FIRST);
    assert_eq!((gpu.memory, gpu.mig, gpu.recovery, &gpu.lost), (None, None, None, &None));
    assert_eq!(gpu.temperature, Some(61));
    // The older function of the same use.
    assert_eq!(gpu.processes.as_ref().map(Vec::len), Some(2));
    for function in newer {
        assert_eq!(machine.called(function), 0, "{function} was found after all");
    }
}

#[tokio::test]
async fn what_an_old_driver_lacks_under_a_newer_library_is_unknown() {
    let mut machine = Machine::with_one_gpu();
    machine.change(|scenario| {
        scenario["missing"] = json!(["nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetFieldValues"])
    });
    let facts = machine.gpus().observe().await;
    let gpu = the(&facts, FIRST);
    assert_eq!((gpu.memory, gpu.recovery, &gpu.lost), (None, None, &None));
    assert_eq!(gpu.utilisation, Some(37));
}

/// One that opens no second session of its own accord while a test runs.
fn patient(machine: &Machine) -> LocalGpus {
    let mut options = machine.options();
    (options.first_pause, options.longest_pause) = (Duration::from_secs(600), Duration::from_secs(600));
    LocalGpus::new(options)
}

/// What `unattended-upgrades` leaves behind: another library, the same module, and a session that begins now fails.
fn upgrade(machine: &mut Machine) {
    let log = "2026-11-20 06:12:33 upgrade libnvidia-compute-550:amd64 550.54.15-1 550.90.07-1\n";
    fs::write(machine.path("log/dpkg.log"), log).expect("written");
    machine.change(|scenario| scenario["errors"] = json!({"nvmlInit_v2": 18}));
    machine.install_library("550.90.07", &[]);
}

fn evidence() -> Mismatch {
    Mismatch {
        module: Some("550.54.15".to_owned()),
        library: Some("550.90.07".to_owned()),
        history: Some("2026-11-20 06:12 upgrade libnvidia-compute-550 550.54.15-1 550.90.07-1".to_owned()),
    }
}
