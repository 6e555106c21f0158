//! The engine's own file: what is added to it, what stays, and what is left alone.

use aiplat_core::{
    ResourceId,
    action::{Action, WriteFile},
    condition::{ConditionType, Reason, Status},
    observed::{CdiSpec, EngineSettings, NvidiaTools, ObservedFile, Route},
    plan::{DAEMON_JSON, docker_files, plan},
    predict::predict,
    preview::preview,
    spec::{Content, DockerSpec},
};
use aiplat_tests::{build::service, scene::Scene};
use serde_json::{Value, json};

/// A platform that takes charge of the engine, on a machine whose `daemon.json` is this.
fn scene(text: Option<&str>) -> Scene {
    let mut scene = super::converged(&aiplat_tests::build::sketch([service("db")]));
    take_charge(&mut scene, false);
    scene.observed.engine.settings = Some(EngineSettings {
        log_driver: "json-file".to_owned(),
        runtimes: vec!["runc".to_owned()],
        ..EngineSettings::default()
    });
    let file = text.map_or(ObservedFile::Absent, |text| ObservedFile::Present {
        content: Content::new(text.as_bytes()),
        mode: 0o640,
        uid: 0,
        gid: 7,
    });
    scene.observed.own_files.insert(DAEMON_JSON.to_owned(), file);
    look(&mut scene);
    scene
}

fn take_charge(scene: &mut Scene, nvidia: bool) {
    scene.desired.host.docker = Some(DockerSpec { nvidia });
}

/// The places that are to be looked at and have not been are empty.
fn look(scene: &mut Scene) {
    for path in docker_files(&scene.desired, &scene.observed) {
        scene.observed.own_files.entry(path).or_insert(ObservedFile::Absent);
    }
}

fn next(scene: &Scene) -> Option<WriteFile> {
    let planned = plan(&scene.world(), &ResourceId::docker()).action?;
    let Action::WriteFile(write) = planned.action else { panic!("{}", planned.action) };
    Some(*write)
}

/// Everything that is written, in order, as if it were done.
fn writes(scene: &mut Scene) -> Vec<WriteFile> {
    let mut writes = Vec::new();
    while let Some(write) = next(scene) {
        let action = Action::WriteFile(Box::new(write.clone()));
        let (desired, now) = (scene.desired.clone(), scene.world().now);
        predict(&mut scene.observed, &desired, &ResourceId::docker(), &action, now);
        look(scene);
        writes.push(write);
        assert!(writes.len() < 5, "it comes to an end: {writes:?}");
    }
    writes
}

fn settings(write: &WriteFile) -> Value {
    serde_json::from_slice(write.spec.content.bytes()).expect("it is JSON")
}

fn said(scene: &Scene, kind: ConditionType) -> (Status, Reason, String) {
    let step = plan(&scene.world(), &ResourceId::docker());
    let found = step.conditions.into_iter().find(|it| it.kind == kind).expect("it is said");
    (found.status, found.reason, found.message)
}

#[test]
fn nothing_is_done_where_the_file_does_not_ask_for_it() {
    let mut scene = scene(Some("{}"));
    scene.desired.host.docker = None;
    assert_eq!(next(&scene), None);
    assert!(docker_files(&scene.desired, &scene.observed).is_empty());
}

#[test]
fn a_file_that_is_not_there_is_made_with_what_is_wanted() {
    let mut scene = scene(None);
    let writes = writes(&mut scene);
    assert_eq!(writes.len(), 1, "there is nothing to keep a copy of");
    assert_eq!(
        (writes[0].spec.path.as_str(), writes[0].spec.mode, &writes[0].over),
        (DAEMON_JSON, 0o644, &None)
    );
    assert_eq!(
        settings(&writes[0]),
        json!({
            "log-driver": "json-file", "log-opts": {"max-size": "10m", "max-file": "3"}, "live-restore": true,
            "default-address-pools": [{"base": "172.20.0.0/14", "size": 24}],
        })
    );
}

#[test]
fn what_the_administrator_has_set_stays_is_told_and_is_kept_beside() {
    let before =
        r#"{"log-opts": {"max-size": "50m"}, "live-restore": false, "insecure-registries": ["r:5000"]}"#;
    let mut scene = scene(Some(before));
    let (status, reason, message) = said(&scene, ConditionType::Overridden);
    assert_eq!((status, reason), (Status::True, Reason::SetOtherwise));
    for words in ["`live-restore` is false there, and not true", "`log-opts.max-size` is \"50m\" there"] {
        assert!(message.contains(words), "{message}");
    }
    let writes = writes(&mut scene);
    assert_eq!(writes.len(), 2);
    assert!(writes[0].spec.path.starts_with("/etc/docker/daemon.json.before-"), "{writes:?}");
    assert_eq!((writes[0].spec.content.bytes(), &writes[0].over), (before.as_bytes(), &None));
    let FileOf { mode, uid, gid } = access(&writes[1]);
    assert_eq!((mode, uid, gid), (0o640, Some(0), Some(7)), "as it was");
    let after = settings(&writes[1]);
    assert_eq!(after["insecure-registries"], json!(["r:5000"]));
    assert_eq!(after["log-opts"], json!({"max-size": "50m", "max-file": "3"}));
    assert_eq!(after["live-restore"], json!(false));
}

struct FileOf {
    mode: u32,
    uid: Option<u32>,
    gid: Option<u32>,
}

fn access(write: &WriteFile) -> FileOf {
    FileOf { mode: write.spec.mode, uid: write.spec.uid, gid: write.spec.gid }
}

#[test]
fn a_file_that_cannot_be_understood_is_left_alone_with_the_reason() {
    for (text, words) in [("{\"log-driver\": }", "line 1"), ("[]", "it is no object"), ("{} x", "trailing")] {
        let scene = scene(Some(text));
        assert_eq!(next(&scene), None);
        let (status, reason, message) = said(&scene, ConditionType::Ready);
        assert_eq!((status, reason), (Status::False, Reason::SettingsInvalid), "{message}");
        assert!(message.contains(words) && message.contains("is left alone"), "{message}");
    }
    let mut linked = scene(None);
    let what = "a symbolic link".to_owned();
    linked.observed.own_files.insert(DAEMON_JSON.to_owned(), ObservedFile::Obstructed { what });
    assert_eq!(next(&linked), None);
    assert!(writes(&mut scene(Some("\n"))).len() == 2, "an empty one is as good as none, and kept");
}

#[test]
fn nothing_is_added_that_would_keep_the_engine_from_starting() {
    // The options of one log driver are errors to another.
    let journal =
        settings(writes(&mut scene(Some(r#"{"log-driver": "journald"}"#))).last().expect("written"));
    assert!(journal.get("log-opts").is_none(), "{journal}");
    // A swarm refuses live-restore.
    let mut swarm = scene(None);
    swarm.observed.engine.settings.as_mut().expect("it is there").swarm = true;
    assert!(said(&swarm, ConditionType::Overridden).2.contains("part of a swarm"));
    assert!(settings(&writes(&mut swarm)[0]).get("live-restore").is_none());
    // Networks where the machine has others cut those off.
    let mut vpn = scene(None);
    let network = std::net::IpAddr::from([172, 22, 5, 0]);
    vpn.observed.machine.routes = Some(vec![Route { network, prefix: 24, interface: "wg0".to_owned() }]);
    assert!(said(&vpn, ConditionType::Overridden).2.contains("the machine reaches 172.22.5.0/24 by wg0"));
    assert!(settings(&writes(&mut vpn)[0]).get("default-address-pools").is_none());
    // What is said by a flag too is an error.
    let mut flags = scene(None);
    flags.observed.machine.engine_flags = Some(["log-driver", "host"].map(str::to_owned).into());
    let after = settings(&writes(&mut flags)[0]);
    assert!(after.get("log-driver").is_none() && after.get("log-opts").is_none(), "{after}");
    // How it runs is not known: nothing is written on a guess.
    let mut silent = scene(None);
    silent.observed.engine.settings = None;
    assert_eq!(next(&silent), None);
}

#[test]
fn a_restart_is_asked_for_while_the_engine_says_something_else_than_its_file() {
    let mut scene = scene(None);
    writes(&mut scene);
    let (status, reason, message) = said(&scene, ConditionType::EngineRestartRequired);
    assert_eq!((status, reason), (Status::True, Reason::EngineRestartRequired));
    for words in [
        "live-restore, default-address-pools",
        "sudo systemctl restart docker",
        "it ends all containers",
        "aiplatd never does that",
    ] {
        assert!(message.contains(words), "{message}");
    }
    assert_eq!(said(&scene, ConditionType::Ready).0, Status::True, "the file is as it is to be");
    let engine = scene.observed.engine.settings.as_mut().expect("it is there");
    engine.live_restore = true;
    engine.address_pools = vec![("172.20.0.0/14".to_owned(), 24)];
    assert_eq!(said(&scene, ConditionType::EngineRestartRequired).0, Status::False);
}

#[test]
fn the_runtime_of_nvidia_is_added_where_its_toolkit_is_and_asked_for_where_it_is_not() {
    let mut scene = scene(None);
    take_charge(&mut scene, true);
    scene.observed.machine.nvidia_tools = Some(NvidiaTools::default());
    let done = writes(&mut scene);
    assert!(settings(&done[0]).get("runtimes").is_none());
    let (status, reason, message) = said(&scene, ConditionType::Ready);
    assert_eq!((status, reason), (Status::False, Reason::ToolMissing));
    assert!(message.contains("nvidia-container-toolkit"), "{message}");
    let program = Some("/usr/bin/nvidia-container-runtime".to_owned());
    scene.observed.machine.nvidia_tools = Some(NvidiaTools { program, ..NvidiaTools::default() });
    let after = settings(writes(&mut scene).last().expect("it is written"));
    assert_eq!(after["runtimes"]["nvidia"]["path"], json!("nvidia-container-runtime"));
    assert!(said(&scene, ConditionType::EngineRestartRequired).2.contains("runtimes"));
    // An engine that knows CDI wants a specification, which a tool of NVIDIA's makes.
    let engine = scene.observed.engine.settings.as_mut().expect("it is there");
    engine.cdi_dirs = Some(vec!["/etc/cdi".to_owned()]);
    assert!(said(&scene, ConditionType::Ready).2.contains("sudo nvidia-ctk cdi generate"));
    let tools = scene.observed.machine.nvidia_tools.as_mut().expect("they are there");
    let kind = "nvidia.com/gpu".to_owned();
    tools.cdi_specs.insert("/etc/cdi/nvidia.yaml".to_owned(), CdiSpec { kind, ..CdiSpec::default() });
    assert_eq!(said(&scene, ConditionType::Ready).0, Status::True);
}

#[test]
fn a_runtime_of_the_administrators_is_not_mixed_with_ours() {
    let mut scene =
        scene(Some(r#"{"runtimes": {"nvidia": {"path": "/opt/own"}, "kata": {"path": "kata"}}}"#));
    take_charge(&mut scene, true);
    let program = Some("/usr/bin/nvidia-container-runtime".to_owned());
    scene.observed.machine.nvidia_tools = Some(NvidiaTools { program, ..NvidiaTools::default() });
    let after = settings(writes(&mut scene).last().expect("it is written"));
    assert_eq!(after["runtimes"], json!({"nvidia": {"path": "/opt/own"}, "kata": {"path": "kata"}}));
}

#[test]
fn who_writes_the_file_anew_again_and_again_is_left_alone_for_a_while() {
    let mut scene = scene(None);
    let mut written = 0;
    for _ in 0..10 {
        let step = plan(&scene.world(), &ResourceId::docker());
        if step.action.is_none() {
            break;
        }
        written += 1;
        for entry in aiplat_core::plan::entries(&scene.world(), &ResourceId::docker(), &step) {
            scene.ledger.enter(&ResourceId::docker(), entry);
        }
    }
    assert_eq!(written, 6);
    let (_, reason, message) = said(&scene, ConditionType::Held);
    assert_eq!(reason, Reason::FoughtOver, "{message}");
}

#[test]
fn diff_shows_both_writes_and_who_restarts_the_engine() {
    let scene = scene(Some("{}"));
    let world = scene.world();
    let preview = preview(world.desired, world.observed, world.ledger, world.now);
    let actions: Vec<String> = preview
        .waves
        .iter()
        .flat_map(|wave| &wave.actions)
        .map(|action| format!("{}: {}", action.action, action.cause))
        .collect();
    assert_eq!(actions.len(), 2, "{actions:?}");
    assert!(actions[0].contains("write file /etc/docker/daemon.json.before-"), "{actions:?}");
    assert!(actions[1].contains("write file /etc/docker/daemon.json: it lacks"), "{actions:?}");
    let notes: Vec<&str> = preview.notes.iter().map(|(_, note)| note.as_str()).collect();
    assert!(notes.iter().any(|note| note.contains("at its next restart, which is left to you")), "{notes:?}");
}
