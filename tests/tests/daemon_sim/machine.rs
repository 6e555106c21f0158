//! The machine changes under the daemon: disks fill up, GPUs come and go, tiers with them.

use std::time::Duration;

use aiplat_core::{
    ResourceId,
    condition::{ConditionType, Reason},
    observed::{
        Cpu, Driver, EngineSettings, FileSystem, GpuEvent, GpuEventKind, GpuId, GpuMemory, Memory,
        ObservedGpu, Room, Vendor,
    },
};
use aiplat_tests::{
    build::{Sketch, service, sketch},
    lab::{Lab, compiled_yaml, simulate},
};

const GIB: u64 = 1 << 30;
const SECOND: Duration = Duration::from_secs(1);

/// A service for each tier, and one for all.
const TIERED: &str = "apiVersion: aiplat/v1
name: test
services:
  always: {image: always:1}
  large: {image: large:1, profiles: [performance]}
  small: {image: small:1, profiles: [minimal, standard]}
";

fn with_images() -> Sketch {
    sketch(["always", "large", "small"].map(service))
}

/// A machine of 64 GiB, with a GPU of 24 GiB.
fn strong(lab: &Lab) {
    lab.machine.change(|machine| {
        machine.cpu = Some(Cpu { model: "x".to_owned(), threads: 16, cores: 8 });
        machine.memory = Some(Memory { total: 64 * GIB, available: 32 * GIB });
    });
    lab.machine.change_gpus(|gpus| {
        gpus.nvidia = Driver::Ready { version: "550.54.15".to_owned(), cuda: None };
        let memory = Some(GpuMemory { total: 24 * GIB, free: 24 * GIB });
        gpus.gpus
            .insert(GpuId("GPU-1".to_owned()), ObservedGpu { memory, ..ObservedGpu::new(Vendor::Nvidia) });
    });
}

/// The file without a word of a tier; what is watched is that nothing but the services of `tier` is made.
fn write(lab: &Lab, tier: &str) {
    let meant = TIERED.replace("services:", &format!("tier: {tier}\nservices:"));
    lab.host.settle().desire(compiled_yaml(&meant));
    lab.folder.write(TIERED.as_bytes());
}

/// The file is in force on a machine of 64 GiB, with a GPU of 24 GiB. The next look is due in twenty seconds.
async fn on_a_strong_machine() -> Lab {
    let mut lab = Lab::new(&with_images(), 1);
    strong(&lab);
    write(&lab, "performance");
    lab.boot();
    // While it pulls it is looked at more often: the last such look is five seconds after the start.
    lab.pass(45 * SECOND).await;
    lab
}

fn running(lab: &Lab) -> Vec<String> {
    let state = lab.shared().lock();
    let alive = |(id, members): (&ResourceId, &Vec<aiplat_core::observed::ObservedContainer>)| {
        members.iter().any(|member| member.state.is_alive()).then(|| id.key().to_owned())
    };
    state.observed.owned.iter().filter_map(alive).collect()
}

fn events(lab: &Lab, reason: &str) -> Vec<String> {
    let events = lab.shared().lock().events.after(0);
    events.into_iter().filter(|event| event.reason == reason).map(|event| event.message).collect()
}

#[test]
fn the_tier_of_the_machine_decides_which_services_there_are() {
    simulate(async {
        let lab = on_a_strong_machine().await;
        assert_eq!(running(&lab), ["always", "large"]);
    });
}

#[test]
fn a_tier_is_lost_only_when_the_machine_was_seen_twice_to_be_weaker_and_that_is_said_first() {
    simulate(async {
        let lab = on_a_strong_machine().await;

        // One look, and then it is back: a hiccup.
        lab.machine.change_gpus(|gpus| gpus.gpus.clear());
        lab.pass(25 * SECOND).await;
        assert_eq!(events(&lab, "TierInDoubt").len(), 1);
        assert_eq!(running(&lab), ["always", "large"]);
        strong(&lab);
        lab.pass(61 * SECOND).await;
        assert_eq!(
            (running(&lab), events(&lab, "TierChanged")),
            (vec!["always".to_owned(), "large".to_owned()], vec![])
        );

        // A driver that hangs says nothing of what there is.
        lab.machine.change_gpus(|gpus| gpus.nvidia = Driver::Hung { call: "nvmlInit_v2".to_owned() });
        lab.pass(300 * SECOND).await;
        assert_eq!(running(&lab), ["always", "large"]);

        // It is gone for good.
        lab.machine.change_gpus(|gpus| {
            gpus.gpus.clear();
            gpus.nvidia = Driver::Absent;
        });
        write(&lab, "minimal");
        lab.pass(120 * SECOND).await;
        assert_eq!(running(&lab), ["always", "small"]);
        let changed = events(&lab, "TierChanged");
        assert_eq!(changed.len(), 1, "{changed:?}");
        assert!(changed[0].contains("minimal from now on, and no longer performance"), "{changed:?}");
    });
}

#[test]
fn the_tier_is_the_same_after_a_restart_before_the_driver_answers() {
    simulate(async {
        let mut lab = on_a_strong_machine().await;
        lab.kill();
        lab.machine.change_gpus(|gpus| *gpus = aiplat_core::observed::GpuFacts::default());
        lab.boot();
        lab.pass(300 * SECOND).await;
        assert_eq!(running(&lab), ["always", "large"]);
    });
}

/// The engine keeps its things on the root's file system.
fn on_a_disk(lab: &Lab) {
    let settings = EngineSettings { data_root: "/var/lib/docker".to_owned(), ..EngineSettings::default() };
    lab.host.by_hand(|engine| engine.settings = Some(settings));
}

/// So much of 100 GiB is free there.
fn with_room(lab: &Lab, free: u64) {
    let room = Some(Room { total: 100 * GIB, free, inodes: 0, inodes_free: 0 });
    lab.machine.change(|machine| {
        machine.file_systems.insert("/".to_owned(), FileSystem { room, ..FileSystem::default() });
    });
}

#[test]
fn a_pull_that_does_not_fit_is_ended_and_begun_again_when_there_is_room() {
    simulate(async {
        let mut lab = Lab::new(&sketch([service("db")]), 1);
        lab.host.by_hand(|engine| {
            engine.images.clear();
            engine.registry.values_mut().for_each(|image| image.size = 60 * GIB);
        });
        on_a_disk(&lab);
        with_room(&lab, 50 * GIB);
        lab.boot();
        lab.pass(600 * SECOND).await;
        assert!(running(&lab).is_empty());
        let told = events(&lab, "DEPLOY_FAIL");
        assert!(told[0].contains("at least 59.9 GiB of it are still to come"), "{told:?}");
        assert!(told.len() == 2 && told[1].contains("it needs 60.0 GiB or more"), "{told:?}");
        let pulls = |lab: &Lab| {
            let inner = lab.host.settle();
            inner.calls.iter().filter(|call| call.action.to_string().starts_with("pull")).count()
        };
        let before = pulls(&lab);
        assert!(before <= 1, "it is not tried again and again: {before}");
        with_room(&lab, 55 * GIB);
        lab.pass(120 * SECOND).await;
        assert_eq!(pulls(&lab), before, "five more are not enough");
        with_room(&lab, 70 * GIB);
        lab.converged_within(60 * SECOND).await;
        assert_eq!(running(&lab), ["db"]);
    });
}

#[test]
fn what_waits_for_room_goes_on_by_itself_when_there_is_some() {
    simulate(async {
        let mut lab = Lab::new(&sketch([service("db")]), 1);
        lab.host.by_hand(|engine| engine.images.clear());
        on_a_disk(&lab);
        with_room(&lab, GIB);
        lab.boot();
        lab.pass(60 * SECOND).await;
        assert!(running(&lab).is_empty());
        assert_eq!(events(&lab, "DiskPressure").len(), 1);
        with_room(&lab, 50 * GIB);
        lab.converged_within(90 * SECOND).await;
        assert_eq!(running(&lab), ["db"]);
        assert_eq!(events(&lab, "RoomEnough").len(), 1);
    });
}

#[test]
fn a_disk_that_fills_up_under_a_service_stops_nobody_and_is_over_with_the_room() {
    simulate(async {
        let mut lab = Lab::new(&sketch([service("db")]), 1);
        on_a_disk(&lab);
        with_room(&lab, 50 * GIB);
        lab.boot();
        lab.converged_within(60 * SECOND).await;
        let calls = lab.calls();
        with_room(&lab, 1 << 20);
        lab.pass(60 * SECOND).await;
        let said = |lab: &Lab| {
            let state = lab.shared().lock();
            let transitions =
                &state.ledger.get(&ResourceId::container("db")).expect("it has a record").transitions;
            transitions[&ConditionType::StorageReady].reason
        };
        assert_eq!(said(&lab), Reason::StorageFull);
        let told = events(&lab, "RECOVERY_NEEDED");
        assert!(told.len() == 1 && told[0].ends_with("db writes there"), "{told:?}");
        with_room(&lab, 50 * GIB);
        lab.pass(60 * SECOND).await;
        assert_ne!(said(&lab), Reason::StorageFull);
        assert_eq!(lab.calls(), calls, "nothing was done to what runs");
    });
}

#[test]
fn an_address_that_changes_is_told_and_one_that_cannot_be_read_is_not() {
    simulate(async {
        let mut lab = Lab::new(&sketch([service("db")]), 1);
        let has = |addresses: Option<Vec<std::net::IpAddr>>| {
            lab.machine
                .change(|machine| machine.addresses = addresses.map(|all| [("eth0".to_owned(), all)].into()));
        };
        let ip = |last| std::net::IpAddr::from([192, 168, 1, last]);
        has(Some(vec![ip(5)]));
        lab.boot();
        lab.pass(45 * SECOND).await;
        assert!(events(&lab, "AddressChanged").is_empty(), "the first look is no change");
        let has = |addresses: Option<Vec<std::net::IpAddr>>| {
            lab.machine
                .change(|machine| machine.addresses = addresses.map(|all| [("eth0".to_owned(), all)].into()));
        };
        has(None);
        lab.pass(45 * SECOND).await;
        has(Some(vec![ip(5), "2001:db8::7".parse().expect("an address")]));
        lab.pass(45 * SECOND).await;
        assert!(events(&lab, "AddressChanged").is_empty(), "{:?}", events(&lab, "AddressChanged"));
        has(Some(vec![ip(7)]));
        lab.pass(45 * SECOND).await;
        let told = events(&lab, "AddressChanged");
        let words = "the machine has 192.168.1.7 on eth0 now, and no longer 192.168.1.5 on eth0";
        assert!(told.len() == 1 && told[0].starts_with(words), "{told:?}");
    });
}

#[test]
fn what_the_driver_tells_of_is_an_event_and_is_looked_at_at_once() {
    simulate(async {
        let mut lab = Lab::new(&sketch([service("db")]), 1);
        strong(&lab);
        lab.boot();
        lab.converged_within(60 * SECOND).await;
        lab.machine.change_gpus(|gpus| {
            let gpu = gpus.gpus.get_mut(&GpuId("GPU-1".to_owned())).expect("it is there");
            gpu.lost = Some("GPU is lost".to_owned());
        });
        lab.machine.tell(GpuEvent { gpu: Some(GpuId("GPU-1".to_owned())), kind: GpuEventKind::Xid(79) });
        lab.pass(SECOND).await;
        assert!(events(&lab, "GPUXid")[0].contains("XID 79"), "{:?}", events(&lab, "GPUXid"));
        let state = lab.shared().lock();
        let transitions = &state.ledger.get(&ResourceId::local()).expect("it has a record").transitions;
        let ready = transitions.get(&ConditionType::GPUReady).expect("it is said");
        assert_eq!(ready.status, aiplat_core::condition::Status::False);
    });
}

#[test]
fn a_storm_of_events_is_looked_at_at_once_and_then_once_a_second() {
    simulate(async {
        let mut lab = Lab::new(&sketch([service("db")]), 1);
        strong(&lab);
        lab.boot();
        lab.converged_within(60 * SECOND).await;
        let xid = || GpuEvent { gpu: Some(GpuId("GPU-1".to_owned())), kind: GpuEventKind::Xid(48) };
        lab.pass(2 * SECOND).await;
        let before = lab.machine.looks();
        lab.machine.tell(xid());
        lab.pass(Duration::from_millis(1)).await;
        assert_eq!(lab.machine.looks(), before + 1, "at once");
        // A hundred in a second, for ten seconds.
        for _ in 0..1_000 {
            lab.machine.tell(xid());
            lab.pass(Duration::from_millis(10)).await;
        }
        let looks = lab.machine.looks() - before;
        assert!((10..=12).contains(&looks), "{looks} looks");
        lab.machine.tell(xid());
        lab.pass(2 * SECOND).await;
        assert_eq!(lab.machine.looks() - before, looks + 1, "and once after the last of them");
        assert_eq!(events(&lab, "GPUXid").len(), 1, "the same again is one event with a count");
    });
}
