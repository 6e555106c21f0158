//! GPUs: who gets which, what waits for one, and what is left alone whatever becomes of one.

use aiplat_core::{
    ResourceId,
    action::Action,
    condition::{ConditionType, Status},
    inventory::{Gone, KnownGpu},
    observed::{
        CdiSpec, ContainerState, Driver, EngineSettings, GpuId, GpuMemory, GpuProcess, LoadedModel, LogWords,
        Mismatch, ModelAnswer, ModelFacts, ModelServer, NvidiaTools, ObservedGpu, Owner, Recovery, Vendor,
    },
    plan::{Command, plan, refused},
    spec::{DeviceRequest, DriverVersion, GpuNeeds, GpuRequest},
};
use aiplat_tests::{
    build::{Service, Sketch, all_gpus, gpus, gpus_named, service, sketch, unit},
    scene::Scene,
};

const GIB: u64 = 1 << 30;
const A: &str = "GPU-aaaaaaaa-0000-0000-0000-000000000000";
const B: &str = "GPU-bbbbbbbb-0000-0000-0000-000000000000";

fn id(name: &str) -> GpuId {
    GpuId(name.to_owned())
}

/// A card with so many GiB, all of which are free.
fn card(index: u32, gib: u64) -> ObservedGpu {
    ObservedGpu {
        index: Some(index),
        name: Some(format!("Card {gib}")),
        memory: Some(GpuMemory { total: gib * GIB, free: gib * GIB }),
        compute_capability: Some((8, 6)),
        processes: Some(Vec::new()),
        ..ObservedGpu::new(Vendor::Nvidia)
    }
}

fn ready() -> Driver {
    Driver::Ready { version: "550.54.15".to_owned(), cuda: Some("12.4".to_owned()) }
}

fn mismatch() -> Driver {
    Driver::Mismatch(Mismatch {
        module: Some("550.54.15".to_owned()),
        library: Some("550.90.07".to_owned()),
        history: None,
    })
}

/// `sketch` on a machine with these cards, NVIDIA's toolkit, and an engine that knows no CDI.
fn on(sketch: &Sketch, cards: &[(&str, u64)]) -> Scene {
    let mut scene = Scene::new(sketch);
    scene.observed.gpus.nvidia = ready();
    let cards = cards.iter().enumerate();
    scene.observed.gpus.gpus =
        cards.map(|(at, (name, gib))| (id(name), card(u32::try_from(at).unwrap_or(0), *gib))).collect();
    scene.observed.machine.nvidia_tools =
        Some(NvidiaTools { program: Some("/usr/bin/nvidia-ctk".to_owned()), ..NvidiaTools::default() });
    scene.observed.engine.settings = Some(EngineSettings::default());
    scene.observe();
    scene
}

fn needing(needs: GpuNeeds) -> GpuRequest {
    GpuRequest { needs, ..gpus(1) }
}

fn vram(gib: u64) -> GpuRequest {
    needing(GpuNeeds { vram: Some(gib * GIB), ..GpuNeeds::default() })
}

fn optional() -> GpuRequest {
    needing(GpuNeeds { optional: true, ..GpuNeeds::default() })
}

fn ollama(request: GpuRequest) -> Service {
    service("ollama").gpu(request)
}

/// The label of the service's containers, in the order in which they are listed.
fn labels(scene: &Scene, service: &str) -> Vec<String> {
    let members = scene.observed.owned.get(&ResourceId::container(service)).into_iter().flatten();
    let label = |owner: &aiplat_core::observed::Ownership| owner.gpus.as_ref().map(ToString::to_string);
    members.filter_map(|it| label(it.owner.as_ref()?)).collect()
}

/// What the engine is asked for when the service's container is made.
fn asked(scene: &Scene, service: &str) -> Option<Vec<DeviceRequest>> {
    let step = plan(&scene.world(), &ResourceId::container(service));
    match step.action.map(|planned| planned.action) {
        Some(Action::CreateContainer(create)) => create.gpus,
        other => panic!("it is about to be made, and not {other:?}"),
    }
}

fn allocated(scene: &Scene, id: &ResourceId) -> (Status, String) {
    let step = plan(&scene.world(), id);
    let found = step.conditions.into_iter().find(|it| it.kind == ConditionType::GPUAllocated);
    let found = found.expect("it is said of whoever asks for a GPU");
    (found.status, format!("{}: {}", found.reason, found.message))
}

/// The word of a table.
fn word(scene: &Scene, id: &ResourceId) -> String {
    let world = scene.world();
    format!("{:?}", aiplat_core::status::summary(&world, id, &plan(&world, id)).word)
}

/// The service is not made, for this reason.
fn is_refused(scene: &Scene, contains: &[&str]) {
    let step = plan(&scene.world(), &ResourceId::container("ollama"));
    assert_eq!(step.action, None, "{step:?}");
    let (status, told) = allocated(scene, &ResourceId::container("ollama"));
    assert_eq!(status, Status::False, "{told}");
    for part in contains {
        assert!(told.contains(part), "`{part}` in: {told}");
    }
}

#[test]
fn a_service_gets_a_gpu_by_its_uuid_and_keeps_it_when_it_is_made_anew() {
    let wanted = sketch([ollama(gpus(1))]);
    let mut scene = on(&wanted, &[(A, 24), (B, 24)]);
    let request = DeviceRequest {
        driver: Some("nvidia".to_owned()),
        device_ids: vec![A.to_owned()],
        capabilities: vec!["gpu".to_owned()],
        ..DeviceRequest::default()
    };
    let before = asked_when_ready(&mut scene);
    assert_eq!(before, Some(vec![request.clone()]));
    scene.converge();
    assert_eq!(labels(&scene, "ollama"), [A]);
    // The numbers of the cards change with a boot, the UUIDs do not.
    scene.observed.gpus.gpus.get_mut(&id(A)).expect("it is there").index = Some(1);
    scene.observed.gpus.gpus.get_mut(&id(B)).expect("it is there").index = Some(0);
    assert_eq!(super::check(&scene), "converged");
    scene.edit(&sketch([ollama(gpus(1)).version(2)]));
    scene.converge();
    assert_eq!(labels(&scene, "ollama"), [A]);
    // Removed by hand, it is made with the same one again.
    scene.engine.containers.clear();
    scene.observe();
    assert_eq!(asked(&scene, "ollama"), Some(vec![request]));
}

/// What the engine is asked for first: networks come before.
fn asked_when_ready(scene: &mut Scene) -> Option<Vec<DeviceRequest>> {
    for network in scene.resources() {
        if network.kind == aiplat_core::Kind::Network {
            scene.reconcile(&network);
        }
    }
    scene.observe();
    asked(scene, "ollama")
}

#[test]
fn services_share_the_cards_out_whoever_is_planned_first() {
    let wanted = sketch([service("a").gpu(vram(10)), service("b").gpu(vram(10)), service("c").gpu(gpus(1))]);
    let mut scene = on(&wanted, &[(A, 24), (B, 24)]);
    scene.converge();
    let given = [labels(&scene, "a"), labels(&scene, "b"), labels(&scene, "c")];
    assert_eq!(given, [[A], [B], [A]]);
}

#[test]
fn all_gpus_without_a_requirement_are_asked_for_as_compose_does() {
    let mut scene = on(&sketch([ollama(all_gpus())]), &[(A, 24), (B, 24)]);
    assert_eq!(asked_when_ready(&mut scene), None, "as they are written");
    scene.converge();
    assert_eq!(labels(&scene, "ollama"), ["all"]);
}

#[test]
fn all_gpus_with_a_requirement_are_those_that_meet_it() {
    let needs = GpuNeeds { min_vram: Some(16 * GIB), ..GpuNeeds::default() };
    let mut scene = on(&sketch([ollama(GpuRequest { needs, ..all_gpus() })]), &[(A, 8), (B, 24)]);
    scene.converge();
    assert_eq!(labels(&scene, "ollama"), [B]);
}

#[test]
fn what_no_gpu_has_is_told_with_what_each_of_them_has() {
    let needs =
        GpuNeeds { min_vram: Some(24 * GIB), min_compute_capability: Some((9, 0)), ..GpuNeeds::default() };
    let scene = on(&sketch([ollama(needing(needs))]), &[(A, 8), (B, 24)]);
    is_refused(
        &scene,
        &[
            "GPUMissing: it needs a GPU with 24.0 GiB of memory and compute capability 9.0",
            "GPU-aaaaaaaa (Card 8) has 8.0 GiB of memory",
            "GPU-bbbbbbbb (Card 24) has compute capability 8.6",
        ],
    );
    let scene = on(&sketch([ollama(gpus(3))]), &[(A, 8), (B, 24)]);
    is_refused(&scene, &["it needs 3 GPUs", "GPU-aaaaaaaa (Card 8) fits"]);
    let old = GpuNeeds { min_driver: DriverVersion::parse("560"), ..GpuNeeds::default() };
    let scene = on(&sketch([ollama(needing(old))]), &[(A, 8)]);
    is_refused(&scene, &["driver 560 or newer, and 550.54.15 is loaded"]);
    let scene = on(&sketch([ollama(gpus_named(&["7"]))]), &[(A, 8)]);
    is_refused(&scene, &["it asks for GPU `7`", "there is GPU-aaaaaaaa (Card 8)"]);
}

#[test]
fn a_card_that_has_a_little_less_than_its_name_says_will_do() {
    let needs = GpuNeeds { min_vram: Some(8 * GIB), ..GpuNeeds::default() };
    let mut scene = on(&sketch([ollama(needing(needs))]), &[(A, 8)]);
    let card = scene.observed.gpus.gpus.get_mut(&id(A)).expect("it is there");
    card.memory = Some(GpuMemory { total: 8_188 << 20, free: 8_000 << 20 });
    scene.converge();
    assert_eq!(labels(&scene, "ollama"), [A]);
}

#[test]
fn each_state_of_the_driver_keeps_a_service_from_being_made_with_its_own_cure() {
    let cases = [
        (Driver::Absent, "GPUMissing: it asks for a GPU, and this machine has none"),
        (Driver::NoLibrary { card: "0000:01:00.0".to_owned() }, "GPUDriverMissing: there is an NVIDIA card"),
        (Driver::NotLoaded { message: "no".to_owned() }, "sudo modprobe nvidia"),
        (Driver::NoPermission { message: "no".to_owned() }, "GPUNoPermission: "),
        (
            mismatch(),
            "GPUDriverMismatch: the loaded NVIDIA kernel module 550.54.15 and the library 550.90.07",
        ),
        (Driver::Hung { call: "nvmlInit_v2".to_owned() }, "GPUHung: "),
        (Driver::Failed { message: "odd".to_owned() }, "GPUUnknown: "),
    ];
    for (driver, told) in cases {
        let mut scene = on(&sketch([ollama(gpus(1))]), &[]);
        scene.observed.gpus.nvidia = driver;
        is_refused(&scene, &[told]);
    }
    let mut scene = on(&sketch([ollama(gpus(1))]), &[]);
    scene.observed.gpus.nvidia = Driver::NotObserved;
    let (status, told) = allocated(&scene, &ResourceId::container("ollama"));
    assert_eq!(status, Status::Unknown, "nobody has looked, which is not none: {told}");
}

#[test]
fn a_card_of_another_vendor_is_none_that_the_engine_hands_out() {
    let mut scene = on(&sketch([ollama(gpus(1))]), &[]);
    scene.observed.gpus.nvidia = Driver::Absent;
    let amd = ObservedGpu { name: Some("Radeon".to_owned()), ..ObservedGpu::new(Vendor::Amd) };
    scene.observed.gpus.gpus = [(id("pci-0000:03:00.0"), amd)].into();
    is_refused(&scene, &["this machine has Radeon", "devices: [/dev/dri]"]);
}

#[test]
fn a_healthy_service_is_neither_restarted_nor_made_anew_while_driver_and_library_disagree() {
    let with = |version| sketch([ollama(gpus(1)).version(version)]);
    let mut scene = on(&with(1), &[(A, 24)]);
    scene.converge();
    scene.observed.gpus.nvidia = mismatch();
    assert_eq!(plan(&scene.world(), &ResourceId::container("ollama")).action, None);
    let id = ResourceId::container("ollama");
    let told = refused(&scene.world(), &id, Command::Restart).expect("a restart is refused");
    assert!(told.contains("nothing is done to ollama before this is mended"), "{told}");
    assert_eq!(refused(&scene.world(), &id, Command::Stop), None, "to stop it is a person's right");
    // An edit waits, and so does an order that was given before.
    scene.observed.gpus.nvidia = ready();
    assert!(scene.order(&id, Command::Restart, None), "nothing is wrong yet");
    assert!(plan(&scene.world(), &id).action.is_some(), "it would be carried out");
    scene.observed.gpus.nvidia = mismatch();
    assert_eq!(plan(&scene.world(), &id).action, None);
    scene.edit(&with(2));
    scene.observe();
    for _ in 0..5 {
        scene.reconcile(&id);
        scene.observe();
    }
    let members = &scene.observed.owned[&id];
    assert!(members.iter().any(|it| it.state == ContainerState::Running), "{members:?}");
    assert!(members.iter().all(|it| it.state != ContainerState::Exited), "{members:?}");
    // It goes on by itself when they agree again.
    scene.observed.gpus.nvidia = ready();
    scene.converge();
    assert_eq!(super::check(&scene), "converged");
}

#[test]
fn a_service_whose_gpu_is_gone_is_not_moved_to_another() {
    let mut scene = on(&sketch([ollama(gpus(1))]), &[(A, 24), (B, 24)]);
    scene.converge();
    let taken_out = scene.observed.gpus.gpus.remove(&id(A)).expect("it was there");
    let ollama = ResourceId::container("ollama");
    assert_eq!(plan(&scene.world(), &ollama).action, None, "it runs on");
    scene.engine.containers.clear();
    scene.observe();
    let inventory = &mut scene.ledger.entry(&ResourceId::local()).inventory;
    let gone = Gone { wall_ms: 0, since: "since the boot of 2026-11-21 05:10 UTC".to_owned() };
    inventory.insert(id(A), KnownGpu { name: taken_out.name, bus: None, gone: Some(gone) });
    is_refused(
        &scene,
        &["GPUGone: GPU-aaaaaaaa (Card 24), which it has, is gone since the boot of 2026-11-21 05:10 UTC"],
    );
    // A person's word moves it.
    scene.order(&ollama, Command::ResetFailed, None);
    scene.converge();
    assert_eq!(labels(&scene, "ollama"), [B]);
    assert_eq!(super::check(&scene), "converged");
}

#[test]
fn nothing_is_started_on_a_gpu_that_has_failed_and_what_runs_on_it_is_left() {
    type Fail = fn(&mut ObservedGpu);
    let failed: [(Fail, &str); 3] = [
        (|gpu| gpu.lost = Some("GPU is lost".to_owned()), "GPULost: "),
        (|gpu| gpu.recovery = Some(Recovery::DrainAndReset), "GPUUnhealthy: the driver asks for a reset"),
        (
            |gpu| gpu.recovery = Some(Recovery::Reboot),
            "GPUUnhealthy: the driver asks for a restart of the machine",
        ),
    ];
    for (fail, told) in failed {
        let mut scene = on(&sketch([ollama(gpus(1))]), &[(A, 24), (B, 24)]);
        scene.converge();
        fail(scene.observed.gpus.gpus.get_mut(&id(A)).expect("it is there"));
        assert_eq!(plan(&scene.world(), &ResourceId::container("ollama")).action, None);
        scene.engine.containers.clear();
        scene.observe();
        is_refused(&scene, &[told]);
    }
}

#[test]
fn an_optional_gpu_is_done_without_and_taken_when_there_is_one() {
    let mut scene = on(&sketch([ollama(optional())]), &[]);
    scene.observed.gpus.nvidia = Driver::Absent;
    assert_eq!(asked_when_ready(&mut scene), Some(Vec::new()));
    scene.converge();
    assert_eq!(labels(&scene, "ollama"), ["none"]);
    let (status, told) = allocated(&scene, &ResourceId::container("ollama"));
    assert_eq!(status, Status::False);
    assert!(told.contains("it runs without a GPU, as `optional` allows"), "{told}");
    assert_eq!(word(&scene, &ResourceId::container("ollama")), "Degraded");
    scene.observed.gpus.nvidia = ready();
    scene.observed.gpus.gpus = [(id(A), card(0, 24))].into();
    scene.converge();
    assert_eq!(labels(&scene, "ollama"), [A]);
    assert_eq!(word(&scene, &ResourceId::container("ollama")), "Ready");
    // It goes from under it: the service runs on, and is made without one only when it has ended.
    scene.observed.gpus.gpus.clear();
    assert_eq!(plan(&scene.world(), &ResourceId::container("ollama")).action, None);
}

#[test]
fn a_gpu_is_handed_out_by_the_container_device_interface_where_engine_and_specification_know_it() {
    let spec = |driver: &str, devices: &[&str]| CdiSpec {
        kind: "nvidia.com/gpu".to_owned(),
        devices: devices.iter().map(|device| (*device).to_owned()).collect(),
        driver: Some(driver.to_owned()),
        broken: None,
    };
    let with = |specs: Option<CdiSpec>, toolkit: bool| {
        let mut scene = on(&sketch([ollama(gpus(1))]), &[(A, 24)]);
        scene.observed.engine.settings =
            Some(EngineSettings { cdi_dirs: Some(vec!["/etc/cdi".to_owned()]), ..EngineSettings::default() });
        scene.observed.machine.nvidia_tools = Some(NvidiaTools {
            program: toolkit.then(|| "/usr/bin/nvidia-ctk".to_owned()),
            cdi_specs: specs.map(|spec| ("/etc/cdi/nvidia.yaml".to_owned(), spec)).into_iter().collect(),
            dev_char_links: None,
        });
        scene
    };
    let by_cdi = |name: &str| {
        vec![DeviceRequest {
            driver: Some("cdi".to_owned()),
            device_ids: vec![format!("nvidia.com/gpu={name}")],
            ..DeviceRequest::default()
        }]
    };
    let mut scene = with(Some(spec("550.54.15", &["0", A, "all"])), false);
    assert_eq!(asked_when_ready(&mut scene), Some(by_cdi(A)));
    scene.converge();
    assert_eq!(labels(&scene, "ollama"), [format!("cdi:{A}")]);
    // Of the only card its number will do, where the specification has no UUIDs.
    let mut scene = with(Some(spec("550.54.15", &["0", "all"])), false);
    assert_eq!(asked_when_ready(&mut scene), Some(by_cdi("0")));
    // One of another driver leads to the wrong libraries.
    let scene = with(Some(spec("535.1", &["0", A])), false);
    is_refused(
        &scene,
        &[
            "CDISpecStale: /etc/cdi/nvidia.yaml was made for driver 535.1, and 550.54.15 is loaded",
            "nvidia-ctk cdi generate",
        ],
    );
    let mut scene = with(Some(spec("535.1", &["0", A])), true);
    assert!(
        asked_when_ready(&mut scene).is_some_and(|requests| requests[0].driver.as_deref() == Some("nvidia"))
    );
    let scene = with(None, false);
    is_refused(&scene, &["CDISpecStale: the engine knows no GPU by the Container Device Interface any more"]);
    let mut scene = on(&sketch([ollama(gpus(1))]), &[(A, 24)]);
    scene.observed.machine.nvidia_tools = Some(NvidiaTools::default());
    is_refused(&scene, &["GPURuntimeMissing: ", "nvidia-container-toolkit"]);
}

#[test]
fn a_container_that_was_given_its_gpu_by_cdi_does_not_start_with_a_stale_specification() {
    let mut scene = on(&sketch([ollama(gpus(1))]), &[(A, 24)]);
    let settings =
        EngineSettings { cdi_dirs: Some(vec!["/etc/cdi".to_owned()]), ..EngineSettings::default() };
    scene.observed.engine.settings = Some(settings);
    let spec = |driver: &str| CdiSpec {
        kind: "nvidia.com/gpu".to_owned(),
        devices: vec![A.to_owned()],
        driver: Some(driver.to_owned()),
        broken: None,
    };
    let tools = |driver: &str| NvidiaTools {
        program: Some("/usr/bin/nvidia-ctk".to_owned()),
        cdi_specs: [("/etc/cdi/nvidia.yaml".to_owned(), spec(driver))].into(),
        dev_char_links: None,
    };
    scene.observed.machine.nvidia_tools = Some(tools("550.54.15"));
    scene.converge();
    scene.observed.machine.nvidia_tools = Some(tools("535.1"));
    assert_eq!(super::check(&scene), "converged", "what runs, runs");
    let container = scene.observed.owned[&ResourceId::container("ollama")][0].id.clone();
    scene.engine.kill(&container.0).expect("it runs");
    scene.pass(std::time::Duration::from_secs(10));
    scene.observe();
    is_refused(&scene, &["CDISpecStale"]);
}

#[test]
fn what_does_not_fit_into_a_gpus_memory_waits_and_names_who_has_it() {
    let wanted = sketch([ollama(vram(10)), service("vllm").gpu(vram(16))]);
    let mut scene = on(&wanted, &[(A, 24)]);
    scene.converge();
    assert_eq!(word(&scene, &ResourceId::container("ollama")), "Ready");
    let vllm = ResourceId::container("vllm");
    let (status, told) = allocated(&scene, &vllm);
    assert_eq!(status, Status::False);
    assert_eq!(
        told,
        "GPUMemoryTaken: it takes 16.0 GiB of GPU-aaaaaaaa (Card 24), of which 14.0 GiB of 24.0 GiB are left: ollama has 10.0 \
         GiB; stop one of them, or lower what `vram` says"
    );
    scene.order(&ResourceId::container("ollama"), Command::Stop, None);
    scene.converge();
    assert_eq!(word(&scene, &ResourceId::container("vllm")), "Ready", "there is room now");
    scene.order(&ResourceId::container("ollama"), Command::Start, None);
    scene.converge();
    assert!(allocated(&scene, &ResourceId::container("ollama")).1.contains("vllm has 16.0 GiB"));
    assert_eq!(word(&scene, &ResourceId::container("ollama")), "Pending");
}

#[test]
fn what_strangers_and_greedy_services_use_of_a_gpu_counts() {
    let wanted = sketch([ollama(vram(4)), service("vllm").gpu(vram(10))]);
    let mut scene = on(&wanted, &[(A, 24)]);
    scene.converge();
    scene.order(&ResourceId::container("vllm"), Command::Stop, None);
    scene.converge();
    scene.order(&ResourceId::container("vllm"), Command::Start, None);
    scene.observe();
    let ollama = scene.observed.owned[&ResourceId::container("ollama")][0].id.clone();
    let card = scene.observed.gpus.gpus.get_mut(&id(A)).expect("it is there");
    let process = |pid, gib: u64, name: &str, owner| GpuProcess {
        pid,
        memory: Some(gib * GIB),
        name: name.to_owned(),
        owner,
    };
    card.processes = Some(vec![
        process(7, 9, "ollama", Owner::Container(ollama)),
        process(8, 6, "python", Owner::Nothing),
    ]);
    card.memory = Some(GpuMemory { total: 24 * GIB, free: 9 * GIB });
    let (_, told) = allocated(&scene, &ResourceId::container("vllm"));
    assert!(told.contains("9.0 GiB of 24.0 GiB are left"), "{told}");
    assert!(told.contains("ollama has 9.0 GiB, python (pid 8) has 6.0 GiB"), "{told}");
    // One that says less than it uses, and a driver that names nobody.
    let card = scene.observed.gpus.gpus.get_mut(&id(A)).expect("it is there");
    card.processes = None;
    let (_, told) = allocated(&scene, &ResourceId::container("vllm"));
    assert!(told.contains("9.0 GiB of 24.0 GiB are left"), "taken is taken, whoever has it: {told}");
}

#[test]
fn of_two_that_want_the_last_memory_at_once_one_starts() {
    let wanted = sketch([service("one").gpu(vram(16)), service("two").gpu(vram(16))]);
    let mut scene = on(&wanted, &[(A, 24)]);
    // Both are made, and neither is started yet.
    for _ in 0..3 {
        for id in scene.resources() {
            let starts = |scene: &Scene| {
                let step = plan(&scene.world(), &id);
                step.action.is_some_and(|planned| matches!(planned.action, Action::StartContainer { .. }))
            };
            if !starts(&scene) {
                scene.reconcile(&id);
                scene.observe();
            }
        }
    }
    let starts = |name: &str| {
        let step = plan(&scene.world(), &ResourceId::container(name));
        step.action.is_some_and(|planned| matches!(planned.action, Action::StartContainer { .. }))
    };
    assert_eq!((starts("one"), starts("two")), (true, false));
}

#[test]
fn a_unit_waits_for_a_gpu_too_and_is_not_restarted_while_driver_and_library_disagree() {
    let mut wanted = sketch([]);
    let mut ollama = unit("ollama");
    ollama.own = Some(1);
    ollama.gpus = vec![GpuRequest { written: aiplat_core::spec::WrittenGpus::Unit, ..all_gpus() }];
    wanted.units = vec![ollama];
    let mut scene = on(&wanted, &[]);
    scene.observed.gpus.nvidia = Driver::Absent;
    scene.converge();
    let id = ResourceId::unit("ollama");
    let (status, told) = allocated(&scene, &id);
    assert_eq!((status, told.starts_with("GPUMissing")), (Status::False, true), "{told}");
    assert_eq!(word(&scene, &id), "Pending");
    scene.observed.gpus.nvidia = ready();
    scene.observed.gpus.gpus = [(self::id(A), card(0, 24))].into();
    scene.converge();
    assert_eq!(word(&scene, &id), "Ready");
    scene.observed.gpus.nvidia = mismatch();
    assert!(refused(&scene.world(), &id, Command::Restart).is_some());
    scene.observed.gpus.nvidia = ready();
    assert!(scene.order(&id, Command::Restart, None));
    assert!(plan(&scene.world(), &id).action.is_some());
    scene.observed.gpus.nvidia = mismatch();
    assert_eq!(plan(&scene.world(), &id).action, None);
}

/// What is said of whether the service computes on its GPU.
fn in_use(scene: &Scene) -> Option<(Status, String)> {
    let step = plan(&scene.world(), &ResourceId::container("ollama"));
    let found = step.conditions.into_iter().find(|it| it.kind == ConditionType::GPUInUse)?;
    Some((found.status, found.message))
}

/// The server of the service has `model` in memory, so much of it on the GPU.
fn loads(scene: &mut Scene, size: u64, size_vram: u64) {
    let id = ResourceId::container("ollama");
    let loaded = LoadedModel {
        name: "llama3.1:8b".parse().expect("a name"),
        size,
        size_vram,
        expires_at: String::new(),
    };
    let facts = ModelFacts { version: "0.5".to_owned(), models: Vec::new(), loaded: vec![loaded] };
    let run = aiplat_core::plan::incarnation(&scene.world(), &id);
    let server = ModelServer { run, answer: ModelAnswer::Answers(facts) };
    scene.observed.model_servers.insert(id, server);
}

#[test]
fn a_model_that_runs_on_the_cpu_beside_a_free_gpu_is_told_and_one_that_is_too_large_is_no_fault() {
    let mut scene = on(&sketch([ollama(gpus(1))]), &[(A, 24)]);
    scene.converge();
    assert_eq!(in_use(&scene), None, "nothing is in memory, and nothing can be told");
    loads(&mut scene, 5 * GIB, 0);
    let (status, told) = in_use(&scene).expect("it is told");
    assert_eq!(status, Status::False);
    assert!(
        told.starts_with(
            "llama3.1:8b is in memory and not on the GPU, though GPU-aaaaaaaa has 24.0 GiB free"
        ),
        "{told}"
    );
    assert_eq!(word(&scene, &ResourceId::container("ollama")), "Degraded");
    assert_eq!(
        plan(&scene.world(), &ResourceId::container("ollama")).action,
        None,
        "it serves, and goes on serving"
    );
    loads(&mut scene, 40 * GIB, 20 * GIB);
    let (status, told) = in_use(&scene).expect("it is told");
    assert_eq!(status, Status::True);
    assert!(told.starts_with("50% of llama3.1:8b is on the GPU, the rest in the machine's memory"), "{told}");
    loads(&mut scene, 5 * GIB, 5 * GIB);
    assert_eq!(in_use(&scene), Some((Status::True, "llama3.1:8b is on the GPU".to_owned())));
}

#[test]
fn what_a_run_has_said_of_its_gpu_at_its_start_is_told_while_nothing_is_loaded() {
    let mut scene = on(&sketch([ollama(gpus(1))]), &[(A, 24)]);
    scene.converge();
    let id = ResourceId::container("ollama");
    scene.pass(std::time::Duration::from_secs(20));
    scene.observe();
    let due = aiplat_core::plan::log_due(&scene.world(), &id).expect("its log is to be read, once");
    let line = Some("msg=\"no compatible GPUs were discovered\"".to_owned());
    scene.observed.log_words.insert(id.clone(), LogWords { run: due.run, line });
    assert_eq!(aiplat_core::plan::log_due(&scene.world(), &id), None);
    let (status, told) = in_use(&scene).expect("it is told");
    assert_eq!(status, Status::False);
    assert!(
        told.contains("no compatible GPUs were discovered") && told.contains("aiplatctl restart ollama"),
        "{told}"
    );
    loads(&mut scene, 5 * GIB, 5 * GIB);
    assert_eq!(
        in_use(&scene).map(|it| it.0),
        Some(Status::True),
        "a model that is on the GPU is worth more than a line"
    );
}

#[test]
fn an_error_of_a_program_says_nothing_of_the_card_and_one_of_the_card_keeps_others_off_it() {
    let mut scene = on(&sketch([ollama(gpus(1))]), &[(A, 24)]);
    scene.converge();
    let said = |scene: &Scene, number| aiplat_core::plan::xid_sentence(&scene.world(), Some(&id(A)), number);
    let (of_program, of_card) = (said(&scene, 31), said(&scene, 79));
    assert!(
        of_program.starts_with("GPU-aaaaaaaa (Card 24), on which ollama runs reports XID 31: a page fault"),
        "{of_program}"
    );
    assert!(
        of_program.ends_with("that is an error of a program and says nothing of the card"),
        "{of_program}"
    );
    assert!(of_card.contains("the GPU has fallen off the bus"), "{of_card}");
    // Whatever the number: what is started is decided by what the driver asks for.
    assert_eq!(super::check(&scene), "converged");
    let card = scene.observed.gpus.gpus.get_mut(&id(A)).expect("it is there");
    card.recovery = Some(Recovery::DrainAndReset);
    assert!(said(&scene, 48).contains("nothing more is started on it before that"));
    assert_eq!(plan(&scene.world(), &ResourceId::container("ollama")).action, None, "and nothing is stopped");
}

#[test]
fn a_gpu_that_was_divided_is_no_whole_one_any_more_and_a_slice_is_given_by_its_name() {
    const SLICE: &str = "MIG-cccccccc-0000-0000-0000-000000000000";
    let mut scene = on(&sketch([ollama(gpus(1))]), &[(A, 24)]);
    scene.converge();
    let gpus_now = &mut scene.observed.gpus.gpus;
    gpus_now.get_mut(&id(A)).expect("it is there").mig = Some(true);
    gpus_now.insert(id(SLICE), ObservedGpu { parent: Some(id(A)), ..card(0, 10) });
    assert_eq!(plan(&scene.world(), &ResourceId::container("ollama")).action, None, "what runs, runs");
    scene.engine.containers.clear();
    scene.observe();
    is_refused(
        &scene,
        &["GPUGone: GPU-aaaaaaaa (Card 24) is divided into slices now (MIG)", "name a slice in `device_ids`"],
    );
    scene.edit(&sketch([ollama(gpus_named(&[SLICE]))]));
    scene.converge();
    assert_eq!(labels(&scene, "ollama"), [SLICE]);
    // The slice is gone with the next division: nobody is moved to another.
    scene.observed.gpus.gpus.remove(&id(SLICE));
    scene.observed.gpus.gpus.insert(id("MIG-dddddddd"), ObservedGpu { parent: Some(id(A)), ..card(0, 10) });
    scene.engine.containers.clear();
    scene.observe();
    is_refused(&scene, &["GPUGone: MIG-cccccccc, which it has, is gone"]);
}

#[test]
fn one_that_may_do_without_is_not_taken_down_for_a_gpu_that_the_engine_cannot_hand_out() {
    let mut scene = on(&sketch([ollama(optional())]), &[]);
    scene.observed.gpus.nvidia = Driver::Absent;
    scene.converge();
    // A card, and no toolkit: what runs without one runs on.
    scene.observed.gpus.nvidia = ready();
    scene.observed.gpus.gpus = [(id(A), card(0, 24))].into();
    scene.observed.machine.nvidia_tools = Some(NvidiaTools::default());
    let before = scene.containers();
    scene.converge();
    assert_eq!(scene.containers(), before);
    let (_, told) = allocated(&scene, &ResourceId::container("ollama"));
    assert!(
        told.contains("it runs without a GPU, as `optional` allows: the engine cannot hand out GPUs"),
        "{told}"
    );
    assert_eq!(word(&scene, &ResourceId::container("ollama")), "Degraded");
}

#[test]
fn one_that_may_do_without_comes_back_when_the_engine_refuses_to_start_it_with_a_gpu() {
    let mut scene = on(&sketch([ollama(optional())]), &[]);
    scene.observed.gpus.nvidia = Driver::Absent;
    scene.converge();
    // The toolkit is there, and does not work.
    scene.engine.refuses_gpus = true;
    scene.observed.gpus.nvidia = ready();
    scene.observed.gpus.gpus = [(id(A), card(0, 24))].into();
    scene.converge();
    assert_eq!(labels(&scene, "ollama"), ["none"]);
    let (_, told) = allocated(&scene, &ResourceId::container("ollama"));
    assert!(told.contains("could not select device driver"), "{told}");
    assert_eq!(super::check(&scene), "converged", "and it is not tried again and again");
    // Set up in another way it is tried once more.
    scene.engine.refuses_gpus = false;
    scene.observed.engine.settings =
        Some(EngineSettings { runtimes: vec!["nvidia".to_owned()], ..EngineSettings::default() });
    scene.converge();
    assert_eq!(labels(&scene, "ollama"), [A]);
}

#[test]
fn one_that_waits_for_memory_holds_none_back_from_others() {
    let wanted =
        sketch([service("big").gpu(vram(20)), service("first").gpu(vram(16)), service("small").gpu(vram(4))]);
    let mut scene = on(&wanted, &[(A, 24)]);
    scene.order(&ResourceId::container("big"), Command::Stop, None);
    scene.converge();
    scene.order(&ResourceId::container("big"), Command::Start, None);
    scene.converge();
    let words = ["big", "first", "small"].map(|name| word(&scene, &ResourceId::container(name)));
    assert_eq!(words, ["Pending", "Ready", "Ready"]);
}

#[test]
fn what_a_service_takes_of_a_card_decides_which_one_it_gets_and_a_person_moves_it_to_one_with_room() {
    let mut scene = on(&sketch([ollama(vram(20))]), &[(A, 12), (B, 24)]);
    scene.converge();
    assert_eq!(labels(&scene, "ollama"), [B]);
    let scene = on(&sketch([ollama(vram(48))]), &[(A, 12), (B, 24)]);
    is_refused(
        &scene,
        &["it needs a GPU with 48.0 GiB of memory", "with `optional: true` it would start without"],
    );
    // Its card is taken by somebody else while it is stopped: it waits, until a person lets it go elsewhere.
    let mut scene = on(&sketch([ollama(vram(10))]), &[(A, 24), (B, 24)]);
    scene.converge();
    assert_eq!(labels(&scene, "ollama"), [A]);
    scene.order(&ResourceId::container("ollama"), Command::Stop, None);
    scene.converge();
    scene.observed.gpus.gpus.get_mut(&id(A)).expect("it is there").memory =
        Some(GpuMemory { total: 24 * GIB, free: GIB });
    scene.order(&ResourceId::container("ollama"), Command::Start, None);
    scene.converge();
    assert_eq!(word(&scene, &ResourceId::container("ollama")), "Pending");
    scene.order(&ResourceId::container("ollama"), Command::ResetFailed, None);
    scene.converge();
    assert_eq!(labels(&scene, "ollama"), [B]);
    assert_eq!(word(&scene, &ResourceId::container("ollama")), "Ready");
}

#[test]
fn all_gpus_are_those_that_have_what_the_service_takes() {
    let needs = GpuNeeds { vram: Some(16 * GIB), ..GpuNeeds::default() };
    let mut scene = on(&sketch([ollama(GpuRequest { needs, ..all_gpus() })]), &[(A, 8), (B, 24)]);
    scene.converge();
    assert_eq!(labels(&scene, "ollama"), [B]);
}
