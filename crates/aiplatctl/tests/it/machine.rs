//! `get host`, `get gpus`, `describe host`: the machine, for people and for shells.

use aiplat_api::v1::{
    EngineStatus, FileSystemStatus, GpuProcessStatus, GpuStatus, GpuUserStatus, HostStatus, StatusDoc,
    TierStatus,
};
use aiplat_core::condition::{Condition, ConditionType, Reason, Status};

use crate::{
    support::{docs, server::Server},
    verbs::check,
};

const GIB: u64 = 1 << 30;

fn machine() -> StatusDoc {
    let mut doc = docs::well();
    doc.host = Some(HostStatus {
        tier: Some(TierStatus {
            name: "standard".to_owned(),
            because: "not performance: too little".to_owned(),
        }),
        cpu: Some("AMD Ryzen 9 5950X".to_owned()),
        cores: Some(16),
        threads: Some(32),
        memory: Some(64 * GIB),
        clock_synchronised: Some(false),
        conflicting_packages: Some(vec!["podman-docker".to_owned()]),
        engine: Some(EngineStatus {
            version: "28.5.2".to_owned(),
            data_root: "/var/lib/docker".to_owned(),
            storage_driver: "overlay2".to_owned(),
            cgroup_driver: "systemd".to_owned(),
            runtimes: vec!["runc".to_owned()],
            default_runtime: "runc".to_owned(),
            ..EngineStatus::default()
        }),
        file_systems: vec![FileSystemStatus {
            mount: "/".to_owned(),
            source: "/dev/nvme0n1p2".to_owned(),
            kind: "ext4".to_owned(),
            total: Some(500 * GIB),
            free: Some(125 * GIB),
            medium: Some("flash".to_owned()),
            used_by: vec!["postgres".to_owned(), "the engine".to_owned()],
            ..FileSystemStatus::default()
        }],
        gpus: vec![GpuStatus {
            id: "GPU-8f3a1c2e-1111-2222-3333-444455556666".to_owned(),
            name: Some("NVIDIA GeForce RTX 3060".to_owned()),
            vendor: "nvidia".to_owned(),
            memory: Some(12 * GIB),
            memory_free: Some(3 * GIB),
            power: Some(41_500),
            power_limit: Some(170_000),
            message: "it does not answer any more: GPU is lost".to_owned(),
            index: Some(0),
            processes: Some(vec![GpuProcessStatus {
                pid: 4711,
                memory: Some(GIB),
                name: "python".to_owned(),
            }]),
            used_by: vec![
                GpuUserStatus {
                    service: "ollama".to_owned(),
                    runs: true,
                    reserved: Some(9 * GIB),
                    used: Some(7 * GIB),
                },
                GpuUserStatus { service: "vllm".to_owned(), runs: false, reserved: None, used: None },
            ],
            conditions: vec![
                Condition {
                    kind: ConditionType::Present,
                    status: Status::True,
                    reason: Reason::Present,
                    message: String::new(),
                },
                Condition {
                    kind: ConditionType::Healthy,
                    status: Status::False,
                    reason: Reason::GPULost,
                    message: "it does not answer any more".to_owned(),
                },
            ],
            ..GpuStatus::default()
        }],
        environment: [
            ("CPU_MODEL".to_owned(), "AMD \"Ryzen\" $(reboot) `x`".to_owned()),
            ("GPU_VRAM_MB".to_owned(), "12288".to_owned()),
            ("GPU_MODEL".to_owned(), String::new()),
        ]
        .into(),
        ..HostStatus::default()
    });
    doc
}

#[test]
fn the_machine_is_listed_fact_by_fact_and_what_is_not_known_is_left_out() {
    let server = Server::new(machine());
    let run = server.run(&["get", "host"]);
    let words = [
        "standard: not performance: too little",
        "AMD Ryzen 9 5950X, 16 cores, 32 threads",
        "nobody keeps it right",
        "podman-docker",
        "125 GiB of 500 GiB free (25%), ext4 on /dev/nvme0n1p2, flash; postgres, the engine",
        "gpu GPU-8f3a1c2e",
    ];
    check(&run, 0, &words, &[]);
    assert!(!run.out.contains("\nkernel") && !run.out.contains("\nrestart "), "{}", run.out);
    let json = server.run(&["get", "host", "-o", "json"]);
    let value: serde_json::Value = serde_json::from_str(&json.out).expect("it is JSON");
    assert_eq!(value["threads"], 32);
    assert!(value.get("kernel").is_none(), "absent, and not null");
    check(&server.run(&["describe", "host"]), 0, &["Facts:", "125 GiB of 500 GiB free"], &[]);
}

#[test]
fn the_environment_is_safe_to_source() {
    let run = Server::new(machine()).run(&["get", "host", "-o", "env"]);
    assert_eq!(run.out, "CPU_MODEL=\"AMD Ryzen (reboot) x\"\nGPU_MODEL=\nGPU_VRAM_MB=12288\n");
}

#[test]
fn gpus_are_listed_and_one_that_is_lost_says_so() {
    let server = Server::new(machine());
    let words = ["GPU-8f3a1c2e ", "12 GiB", "3.0 GiB", "41 W of 170 W", "it does not answer any more"];
    check(&server.run(&["get", "gpus", "-o", "wide"]), 0, &["GPU-8f3a1c2e-1111-2222-3333-444455556666"], &[]);
    check(&server.run(&["get", "gpus"]), 0, &words[..1], &[]);
    check(&server.run(&["get", "gpus", "-o", "name"]), 0, &["gpu/GPU-8f3a1c2e-1111"], &[]);
    check(&server.run(&["get", "gpus"]), 0, &["ollama, (vllm)"], &[]);
    check(&server.run(&["get", "gpu/GPU-none"]), 4, &[], &["there is no"]);
    check(&Server::new(docs::well()).run(&["get", "gpus"]), 0, &[], &["There are no gpus."]);
}

#[test]
fn a_gpu_is_described_with_who_has_it_by_its_name_its_beginning_and_its_number() {
    let server = Server::new(machine());
    let told = [
        "9.0 GiB reserved",
        "vllm",
        "does not run",
        "Present",
        "4711",
        "python, 1.0 GiB",
        "it does not answer any more",
    ];
    for name in ["gpu/GPU-8f3a1c2e", "gpu/0"] {
        check(&server.run(&["describe", name]), 0, &told, &[]);
    }
    check(&server.run(&["describe", "gpu/GPU-none"]), 4, &[], &["there is no"]);
}

#[test]
fn what_does_not_go_together_is_refused_with_the_way_out() {
    let server = Server::new(machine());
    check(&server.run(&["get", "services", "-o", "env"]), 2, &[], &["`get host`", "-o json"]);
    check(&server.run(&["events", "-o", "env"]), 2, &[], &["events have `-o json`"]);
    check(&server.run(&["get", "host", "mine"]), 2, &[], &["there is one host"]);
    check(&Server::new(docs::well()).run(&["get", "host"]), 1, &[], &["has not been looked at yet"]);
}
