//! GPUs under the daemon: containers that lose theirs, memory that is given back, cards that come and go.

use std::{collections::BTreeSet, time::Duration};

use aiplat_core::{
    ResourceId,
    observed::{
        ContainerId, Driver, GpuId, GpuMemory, GpuProcess, Mismatch, NvidiaTools, ObservedGpu, Owner, Vendor,
    },
    plan::{Command, plan},
    spec::{GpuNeeds, GpuRequest},
    status,
};
use aiplat_tests::{
    build::{Service, all_gpus, gpus, healthy, restarting, service, sketch},
    lab::{Lab, simulate},
    sim::Blind,
};

const GIB: u64 = 1 << 30;
const SECOND: Duration = Duration::from_secs(1);

fn ready() -> Driver {
    Driver::Ready { version: "550.54.15".to_owned(), cuda: None }
}

/// A machine with a card of 24 GiB, and NVIDIA's toolkit.
fn with_a_card(lab: &Lab) {
    lab.machine.change(|machine| {
        machine.nvidia_tools =
            Some(NvidiaTools { program: Some("/usr/bin/nvidia-ctk".to_owned()), ..NvidiaTools::default() });
    });
    lab.machine.change_gpus(|gpus| {
        gpus.nvidia = ready();
        gpus.gpus.insert(GpuId("GPU-1".to_owned()), card());
    });
}

fn card() -> ObservedGpu {
    ObservedGpu {
        name: Some("Card".to_owned()),
        memory: Some(GpuMemory { total: 24 * GIB, free: 24 * GIB }),
        processes: Some(Vec::new()),
        ..ObservedGpu::new(Vendor::Nvidia)
    }
}

/// The services are up.
async fn on_a_card(services: impl IntoIterator<Item = Service>) -> Lab {
    let mut lab = Lab::new(&sketch(services), 1);
    with_a_card(&lab);
    lab.boot();
    lab.pass(40 * SECOND).await;
    lab
}

fn containers(lab: &Lab, service: &str) -> Vec<(ContainerId, bool)> {
    let state = lab.shared().lock();
    let members = state.observed.owned.get(&ResourceId::container(service)).cloned().unwrap_or_default();
    members.into_iter().map(|it| (it.id, it.state.is_alive())).collect()
}

fn calls(lab: &Lab, service: &str) -> Vec<String> {
    let id = ResourceId::container(service);
    let inner = lab.host.settle();
    inner.calls.iter().filter(|call| call.id == id).map(|call| call.verb.to_owned()).collect()
}

/// What a table says of the service.
fn message(lab: &Lab, service: &str) -> String {
    let (state, id) = (lab.shared().lock(), ResourceId::container(service));
    let world = state.world(lab.host.now()).expect("a file is in force");
    status::summary(&world, &id, &plan(&world, &id)).message
}

fn events(lab: &Lab, reason: &str) -> Vec<String> {
    let events = lab.shared().lock().events.after(0);
    events.into_iter().filter(|event| event.reason == reason).map(|event| event.message).collect()
}

#[test]
fn a_container_that_lost_its_gpu_is_restarted_once_and_its_dependants_after_it() {
    simulate(async {
        let dependant = service("webui").gpu(gpus(1)).after("ollama", restarting(healthy()));
        let lab = on_a_card([service("ollama").gpu(gpus(1)), dependant, service("plain")]).await;
        let before = [calls(&lab, "ollama"), calls(&lab, "webui"), calls(&lab, "plain")];
        let running: BTreeSet<_> = {
            let inner = lab.host.settle();
            let all = inner.engine.containers.iter();
            all.filter_map(|(id, it)| Some((ContainerId(id.clone()), it.started?))).collect()
        };
        // What a reload of systemd does.
        lab.host.settle().engine.blind = Blind::Runs(running);
        lab.pass(90 * SECOND).await;
        let done = |service: &str, before: &[String]| calls(&lab, service)[before.len()..].to_vec();
        assert_eq!(done("ollama", &before[0]), ["stop", "start"]);
        assert_eq!(done("webui", &before[1]), ["stop", "start"], "once, for both reasons");
        assert_eq!(done("plain", &before[2]), [""; 0]);
        let at = |service: &str, verb: &str| {
            let id = ResourceId::container(service);
            let inner = lab.host.settle();
            inner.calls.iter().rev().find(|call| call.id == id && call.verb == verb).map(|call| call.at)
        };
        assert!(at("webui", "stop") > at("ollama", "start"), "whom it depends on goes first");
        lab.pass(300 * SECOND).await;
        assert_eq!(done("ollama", &before[0]), ["stop", "start"], "it sees again, and is left alone");
        lab.assert_safe();
    });
}

#[test]
fn one_that_stays_blind_is_made_anew_and_then_left() {
    simulate(async {
        let lab = on_a_card([service("ollama").gpu(gpus(1))]).await;
        let (first, _) = containers(&lab, "ollama")[0].clone();
        lab.host.settle().engine.blind = Blind::Containers([first.clone()].into());
        lab.pass(300 * SECOND).await;
        let now = containers(&lab, "ollama");
        assert_eq!(now.len(), 1, "{now:?}");
        assert!(now[0].0 != first && now[0].1, "another runs: {now:?}");
        let calls_then = calls(&lab, "ollama").len();
        // What nothing helps is told, and not tried for ever.
        lab.host.settle().engine.blind = Blind::All;
        lab.pass(900 * SECOND).await;
        let tried = calls(&lab, "ollama")[calls_then..].to_vec();
        assert_eq!(tried.iter().filter(|verb| *verb == "start").count(), 2, "{tried:?}");
        assert_eq!(tried.iter().filter(|verb| *verb == "create").count(), 1, "{tried:?}");
        let told = message(&lab, "ollama");
        assert!(told.contains("it was restarted and made anew in vain"), "{told}");
        assert!(told.contains("Failed to initialize NVML: Unknown Error"), "{told}");
        lab.assert_safe();
    });
}

#[test]
fn a_mismatch_wins_over_blindness() {
    simulate(async {
        let lab = on_a_card([service("ollama").gpu(gpus(1))]).await;
        let before = calls(&lab, "ollama").len();
        lab.machine.change_gpus(|gpus| gpus.nvidia = Driver::Mismatch(Mismatch::default()));
        lab.pass(40 * SECOND).await;
        lab.host.settle().engine.blind = Blind::All;
        lab.pass(300 * SECOND).await;
        assert_eq!(calls(&lab, "ollama").len(), before, "it runs on, and nothing is done to it");
        lab.assert_safe();
    });
}

#[test]
fn a_reload_of_systemd_lets_containers_be_looked_into_at_once() {
    simulate(async {
        let lab = on_a_card([service("ollama").gpu(gpus(1))]).await;
        lab.host.settle().engine.blind = Blind::Containers([containers(&lab, "ollama")[0].0.clone()].into());
        let before = calls(&lab, "ollama").len();
        lab.systemd.reload_by_hand();
        lab.pass(20 * SECOND).await;
        assert!(calls(&lab, "ollama").len() > before, "it is not waited for the minute");
    });
}

#[test]
fn memory_that_is_given_back_lets_the_next_one_start() {
    simulate(async {
        let vram = |gib: u64| GpuRequest {
            needs: GpuNeeds { vram: Some(gib * GIB), ..GpuNeeds::default() },
            ..gpus(1)
        };
        let lab = on_a_card([service("ollama").gpu(vram(16)), service("vllm").gpu(vram(12))]).await;
        let ollama = containers(&lab, "ollama")[0].0.clone();
        lab.machine.change_gpus(|gpus| {
            let card = gpus.gpus.values_mut().next().expect("there is one");
            let owner = Owner::Container(ollama);
            card.memory = Some(GpuMemory { total: 24 * GIB, free: 9 * GIB });
            card.processes =
                Some(vec![GpuProcess { pid: 7, memory: Some(15 * GIB), name: "ollama".to_owned(), owner }]);
        });
        lab.pass(40 * SECOND).await;
        assert_eq!(containers(&lab, "vllm").iter().filter(|it| it.1).count(), 0);
        assert!(message(&lab, "vllm").contains("ollama has 16.0 GiB"));
        lab.order(&ResourceId::container("ollama"), Command::Stop, None).await;
        lab.machine.change_gpus(|gpus| *gpus.gpus.values_mut().next().expect("there is one") = card());
        // Within seconds: nobody waits for the next look at the machine.
        lab.pass(10 * SECOND).await;
        assert_eq!(containers(&lab, "vllm").iter().filter(|it| it.1).count(), 1);
        lab.assert_safe();
    });
}

#[test]
fn a_card_that_does_not_come_back_with_the_boot_is_gone_and_not_none() {
    simulate(async {
        let mut lab = on_a_card([service("ollama").gpu(all_gpus())]).await;
        assert_eq!(events(&lab, "GPUFound").len(), 1);
        lab.kill();
        lab.disk.reboot();
        lab.machine.change_gpus(|gpus| gpus.gpus.clear());
        lab.boot();
        lab.pass(40 * SECOND).await;
        let gone = events(&lab, "GPUGone");
        assert_eq!(gone.len(), 1, "{gone:?}");
        assert!(gone[0].contains("GPU-1 (Card) is gone since the boot of "), "{gone:?}");
        lab.machine.change_gpus(|gpus| {
            gpus.gpus.insert(GpuId("GPU-1".to_owned()), card());
        });
        lab.pass(40 * SECOND).await;
        assert_eq!(events(&lab, "GPUBack").len(), 1);
    });
}
