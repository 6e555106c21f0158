//! The machine itself: disks that fill up, and what is not done for that.

use aiplat_core::{
    ResourceId,
    condition::{ConditionType, ErrorClass, Reason, Status},
    ledger::Failure,
    observed::{
        Driver, EngineSettings, FileSystem, GpuId, GpuMemory, HostFacts, Mismatch, ObservedGpu, PullProgress,
        Room, Vendor,
    },
    plan::{self, capacity, plan},
};
use aiplat_tests::{
    build::{Sketch, service},
    scene::Scene,
};

const GIB: u64 = 1 << 30;

/// `scene` with the engine on a disk of 100 GiB of which so much is free.
pub(super) fn with_room(scene: &mut Scene, free: u64) {
    let room = Room { total: 100 * GIB, free, inodes: 1_000, inodes_free: 900 };
    let disk = FileSystem {
        source: "/dev/sda1".to_owned(),
        kind: "ext4".to_owned(),
        room: Some(room),
        ..FileSystem::default()
    };
    scene.observed.machine = HostFacts {
        file_systems: [("/".to_owned(), disk)].into(),
        mounted_on: [("/var/lib/docker".to_owned(), "/".to_owned())].into(),
        ..HostFacts::default()
    };
    scene.observed.engine.settings =
        Some(EngineSettings { data_root: "/var/lib/docker".to_owned(), ..EngineSettings::default() });
}

fn sketch() -> Sketch {
    aiplat_tests::build::sketch([service("db")])
}

fn said(scene: &Scene, id: &ResourceId, kind: ConditionType) -> Option<(Status, String)> {
    let step = plan(&scene.world(), id);
    let found = step.conditions.into_iter().find(|it| it.kind == kind)?;
    Some((found.status, format!("{}: {}", found.reason, found.message)))
}

#[test]
fn a_disk_with_room_is_no_news_and_one_that_is_short_of_it_is_told() {
    let mut scene = super::converged(&sketch());
    let pressure = |scene: &Scene| said(scene, &ResourceId::local(), ConditionType::DiskPressure);
    assert_eq!(pressure(&scene).map(|it| it.0), Some(Status::Unknown), "nobody has looked");
    with_room(&mut scene, 40 * GIB);
    assert_eq!(pressure(&scene).map(|it| it.0), Some(Status::False));
    with_room(&mut scene, 9 * GIB);
    assert_eq!(
        pressure(&scene),
        Some((
            Status::True,
            "DiskPressure: the file system / (ext4 on /dev/sda1) is short of room: 9.0 GiB of 100.0 GiB are free".to_owned()
        ))
    );
    assert_eq!(super::check(&scene), "converged", "nothing is done to what runs");
}

#[test]
fn nothing_is_pulled_while_the_engines_disk_is_short_of_room_and_everything_goes_on_when_there_is_some() {
    let mut scene = Scene::new(&sketch());
    scene.engine.images.clear();
    scene.observe();
    let image = scene.desired.images.keys().next().expect("it has one").clone();
    let pulls = |scene: &Scene| plan(&scene.world(), &image).action.is_some();
    with_room(&mut scene, 40 * GIB);
    assert!(pulls(&scene));
    with_room(&mut scene, 4 * GIB);
    assert!(!pulls(&scene));
    let why = aiplat_core::status::why(&scene.world(), &ResourceId::container("db"));
    let told = why.last().map(|link| link.sentence.clone()).unwrap_or_default();
    assert!(told.contains("nothing is pulled") && told.contains("4.0 GiB of 100.0 GiB are free"), "{told}");
    with_room(&mut scene, 6 * GIB);
    assert!(pulls(&scene), "6% is said, and no reason not to pull");
}

/// One image is missing, and its pull has come so far.
fn pulling(free: u64, done: u64, total: u64) -> (Scene, ResourceId) {
    let mut scene = Scene::new(&sketch());
    scene.engine.images.clear();
    scene.observe();
    with_room(&mut scene, free);
    let image = scene.desired.images.keys().next().expect("it has one").clone();
    scene.observed.pulls.insert(image.clone(), PullProgress { done, total });
    (scene, image)
}

#[test]
fn a_pull_is_ended_only_when_what_is_still_to_come_does_not_fit() {
    let ends = |free, done, total| plan::pull_without_room(&pulling(free, done, total).0.world());
    assert_eq!(ends(10 * GIB, 0, 9 * GIB), None);
    assert_eq!(ends(10 * GIB, 30 * GIB, 39 * GIB), None, "most of it is there already");
    let no_room = ends(10 * GIB, GIB, 12 * GIB).expect("11 GiB do not fit into 10");
    assert_eq!(no_room.needed, 12 * GIB);
    for words in
        ["at least 11.0 GiB of it are still to come", "compressed", "10.0 GiB are free on the file system /"]
    {
        assert!(no_room.message.contains(words), "{}", no_room.message);
    }
    // 32 MiB less than that, and the disk would be full.
    assert!(ends(10 * GIB, 0, 10 * GIB - (16 << 20)).is_some());
    let (mut scene, _) = pulling(10 * GIB, GIB, 12 * GIB);
    scene.observed.machine = HostFacts::default();
    assert_eq!(plan::pull_without_room(&scene.world()), None, "nobody knows how much room there is");
}

#[test]
fn of_several_pulls_the_one_with_the_most_to_come_is_ended() {
    let (mut scene, image) = pulling(10 * GIB, 0, 6 * GIB);
    let other = ResourceId::image("other:1");
    scene.observed.pulls.insert(other.clone(), PullProgress { done: 0, total: 5 * GIB });
    assert_eq!(plan::pull_without_room(&scene.world()).map(|it| it.image), Some(image.clone()));
    scene.observed.pulls.insert(image, PullProgress { done: 4 * GIB, total: 6 * GIB });
    assert_eq!(plan::pull_without_room(&scene.world()), None);
}

#[test]
fn what_a_pull_has_unpacked_so_far_is_needed_by_the_next_one_too() {
    let (mut scene, image) = pulling(2 * GIB, 5 * GIB, 8 * GIB);
    scene.observed.room_before_pull.insert(image, 11 * GIB);
    let no_room = plan::pull_without_room(&scene.world()).expect("3 GiB do not fit into 2");
    assert_eq!(no_room.needed, 12 * GIB, "8 to come, and the 4 that it took beyond what it had loaded");
}

#[test]
fn an_image_that_does_not_fit_is_held_until_there_is_room() {
    let (mut scene, image) = pulling(10 * GIB, GIB, 12 * GIB);
    let no_room = plan::pull_without_room(&scene.world()).expect("it does not fit");
    scene.observed.pulls.clear();
    let now = scene.world().now;
    scene.ledger.entry(&image).failure = Some(Failure {
        action: "pull".to_owned(),
        class: ErrorClass::Transient,
        reason: Reason::DiskFull,
        message: no_room.message,
        attempts: 1,
        retry_at: Some(now),
        fingerprint: scene.desired.fingerprint(&image),
        room: Some(no_room.needed),
    });
    let step = plan(&scene.world(), &image);
    assert!(step.action.is_none(), "{step:?}");
    let (status, told) = said(&scene, &image, ConditionType::Ready).expect("it is said");
    assert_eq!(status, Status::False);
    for words in ["DiskFull", "it needs 12.0 GiB or more, and 10.0 GiB are free", "docker image prune"] {
        assert!(told.contains(words), "{told}");
    }
    let why = aiplat_core::status::why(&scene.world(), &ResourceId::container("db"));
    assert!(why.last().is_some_and(|link| link.sentence.contains("it needs 12.0 GiB or more")), "{why:?}");
    with_room(&mut scene, 13 * GIB);
    assert!(plan(&scene.world(), &image).action.is_some(), "there is room: no hand is needed");
}

#[test]
fn a_disk_that_is_mounted_in_two_places_is_told_of_once() {
    let mut scene = super::converged(&sketch());
    with_room(&mut scene, 9 * GIB);
    let machine = &mut scene.observed.machine;
    let disk = machine.file_systems["/"].clone();
    machine.file_systems.insert("/var/lib".to_owned(), disk);
    machine.mounted_on.insert("/srv".to_owned(), "/".to_owned());
    machine.mounted_on.insert("/var/lib/docker".to_owned(), "/var/lib".to_owned());
    let (_, told) = said(&scene, &ResourceId::local(), ConditionType::DiskPressure).expect("it is said");
    assert_eq!(told.matches("is short of room").count(), 1, "{told}");
    assert!(told.contains("the file system / ("), "{told}");
}

#[test]
fn a_service_that_runs_on_a_full_disk_says_so() {
    let mut scene = super::converged(&sketch());
    with_room(&mut scene, 1 << 20);
    let storage =
        said(&scene, &ResourceId::container("db"), ConditionType::StorageReady).expect("it is said");
    assert_eq!(storage.0, Status::False);
    assert!(
        storage.1.starts_with("StorageFull: the file system / (ext4 on /dev/sda1) is full"),
        "{}",
        storage.1
    );
    assert_eq!(super::check(&scene), "converged", "and it runs on");
}

#[test]
fn inodes_run_out_before_bytes_do() {
    let mut scene = super::converged(&sketch());
    with_room(&mut scene, 40 * GIB);
    let disk = scene.observed.machine.file_systems.get_mut("/").expect("it is there");
    disk.room.as_mut().expect("it answers").inodes_free = 0;
    let (_, told) = said(&scene, &ResourceId::local(), ConditionType::DiskPressure).expect("it is said");
    assert!(told.contains("StorageFull") && told.contains("0 of 1000 inodes are free"), "{told}");
}

#[test]
fn where_everything_lives_is_the_engines_folder_and_the_paths_that_services_write_to() {
    let mut scene = super::converged(&sketch());
    with_room(&mut scene, 40 * GIB);
    let places = plan::places(&scene.world());
    let users: Vec<&str> = places["/var/lib/docker"].iter().map(String::as_str).collect();
    assert_eq!(users, ["db", "the engine"]);
}

fn with_driver(scene: &mut Scene, driver: Driver) {
    with_room(scene, 40 * GIB);
    scene.observed.gpus.nvidia = driver;
}

#[test]
fn the_states_without_a_gpu_are_told_apart_and_only_those_that_are_wrong_are_said() {
    let mut scene = super::converged(&sketch());
    let gpu = |scene: &Scene| said(scene, &ResourceId::local(), ConditionType::GPUReady);
    with_driver(&mut scene, Driver::Absent);
    assert_eq!(gpu(&scene), None, "a machine without a GPU lacks nothing");
    for (driver, words) in [
        (Driver::NoLibrary { card: "0000:01:00.0".to_owned() }, "GPUDriverMissing"),
        (Driver::NotLoaded { message: "Driver Not Loaded".to_owned() }, "sudo modprobe nvidia"),
        (Driver::NoPermission { message: "Insufficient Permissions".to_owned() }, "DeviceAllow="),
        (Driver::Hung { call: "nvmlInit_v2".to_owned() }, "GPUHung"),
        (Driver::Failed { message: "Unknown Error".to_owned() }, "Unknown Error"),
    ] {
        with_driver(&mut scene, driver);
        let (status, told) = gpu(&scene).expect("it is said");
        assert!(status == Status::False && told.contains(words), "{told}");
    }
    with_driver(&mut scene, Driver::Ready { version: "550.54.15".to_owned(), cuda: None });
    assert_eq!(gpu(&scene).map(|it| it.0), Some(Status::True));
    let lost = ObservedGpu { lost: Some("GPU is lost".to_owned()), ..ObservedGpu::new(Vendor::Nvidia) };
    scene.observed.gpus.gpus.insert(GpuId("GPU-8f3a1c2e-1".to_owned()), lost);
    let (_, told) = gpu(&scene).expect("it is said");
    assert!(told.starts_with("GPULost: GPU-8f3a1c2e does not answer any more (GPU is lost)"), "{told}");
}

#[test]
fn a_mismatch_names_both_versions_and_what_the_package_manager_did() {
    let mut scene = super::converged(&sketch());
    with_driver(
        &mut scene,
        Driver::Mismatch(Mismatch {
            module: Some("550.54.15".to_owned()),
            library: Some("550.90.07".to_owned()),
            history: Some("2026-11-20 06:12:01 upgrade libnvidia-compute-550".to_owned()),
        }),
    );
    let (status, told) =
        said(&scene, &ResourceId::local(), ConditionType::GPUDriverMismatch).expect("it is said");
    assert_eq!(status, Status::True);
    for words in ["550.54.15", "550.90.07", "upgrade libnvidia-compute-550", "restart the machine"] {
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn a_gpu_that_cannot_be_asked_is_not_none() {
    let mut scene = super::converged(&sketch());
    with_driver(&mut scene, Driver::Absent);
    assert_eq!(capacity(&scene.observed, None), None, "processors and memory are not known");
    let machine = &mut scene.observed.machine;
    machine.cpu = Some(aiplat_core::observed::Cpu { model: "x".to_owned(), threads: 8, cores: 4 });
    machine.memory = Some(aiplat_core::observed::Memory { total: 32 * GIB, available: GIB });
    let vram = |scene: &Scene| capacity(&scene.observed, None).map(|capacity| capacity.vram);
    assert_eq!(vram(&scene), Some(0));
    scene.observed.gpus.nvidia = Driver::NotLoaded { message: "Driver Not Loaded".to_owned() };
    assert_eq!(vram(&scene), Some(0), "it never had one");
    let had = aiplat_core::tier::Capacity { vram: 8 * GIB, ram: 32 * GIB, cpus: 8 };
    assert_eq!(capacity(&scene.observed, Some(had)), None, "its driver is being replaced");
    scene.observed.gpus.nvidia = Driver::Hung { call: "nvmlInit_v2".to_owned() };
    assert_eq!(vram(&scene), None);
    scene.observed.gpus.nvidia = Driver::Ready { version: "550".to_owned(), cuda: None };
    let gpu = |memory| ObservedGpu { memory, ..ObservedGpu::new(Vendor::Nvidia) };
    let of = |total| Some(GpuMemory { total, free: 0 });
    scene.observed.gpus.gpus.insert(GpuId("GPU-1".to_owned()), gpu(of(8 * GIB)));
    scene.observed.gpus.gpus.insert(GpuId("GPU-2".to_owned()), gpu(of(24 * GIB)));
    assert_eq!(vram(&scene), Some(24 * GIB), "of the largest");
    scene.observed.gpus.gpus.insert(GpuId("GPU-3".to_owned()), gpu(None));
    assert_eq!(vram(&scene), None, "one of them has not said");
}

#[test]
fn a_driver_that_was_upgraded_under_its_module_asks_for_a_restart_whatever_the_distribution_says() {
    let mut scene = super::converged(&sketch());
    let required = |scene: &Scene| said(scene, &ResourceId::local(), ConditionType::RebootRequired);
    assert_eq!(required(&scene), None, "nobody has looked");
    scene.observed.gpus.nvidia = Driver::Mismatch(Mismatch::default());
    let (status, told) = required(&scene).expect("it is said");
    assert_eq!(status, Status::True);
    assert!(told.contains("for NVIDIA's driver;"), "{told}");
    scene.observed.gpus.nvidia = Driver::Absent;
    scene.observed.machine.reboot_required_by = Some(Vec::new());
    assert_eq!(required(&scene).map(|it| it.0), Some(Status::False));
}
