//! The rarer keys of a service: what is refused, what excludes what, and what needs `allow_host_access`.

mod load_support;

use aiplat_core::{ResourceId, spec::Limits};
use load_support::{Disk, codes, platform, with_services};

/// A service `a` with these lines.
fn lines(lines: &[&str]) -> String {
    let lines: Vec<String> = lines.iter().map(|line| format!("    {line}\n")).collect();
    with_services(&format!("  a:\n    image: x:1\n{}", lines.concat()))
}

/// The messages of a file, each with its code, its label and its help.
fn messages(text: &str) -> Vec<String> {
    let shown = |diagnostic: aiplat_core::load::Diagnostic| {
        let help = diagnostic.help.join("; ");
        format!("{}: {} | {} | {help}", diagnostic.code, diagnostic.message, diagnostic.label)
    };
    Disk::with(text).load().diagnostics.into_iter().map(shown).collect()
}

/// The only thing that is wrong with `text`, which must hold each of `parts`.
fn says(text: &str, parts: &[&str]) {
    let messages = messages(text);
    assert_eq!(messages.len(), 1, "{text}\n{messages:#?}");
    for part in parts {
        assert!(messages[0].contains(part), "{part:?} is not in {:?}", messages[0]);
    }
}

#[test]
fn a_value_that_the_engine_would_refuse_is_refused_here() {
    for (line, part) in [
        ("working_dir: app", "starts with `/`"),
        ("hostname: a b", "63 at most"),
        ("cap_add: [NET_ADMN]", "did you mean `NET_ADMIN`?"),
        ("ulimits: {nofil: 1}", "did you mean `nofile`?"),
        ("ulimits: {nofile: {soft: 9, hard: 1}}", "above its hard limit"),
        ("ulimits: {nofile: {soft: 9}}", "has no `hard`"),
        ("tmpfs: /tmp:sizw=1m", "`sizw=1m` is not an option"),
        ("shm_size: 0", "more than zero"),
        ("extra_hosts: [a]", "a name and its address"),
        ("extra_hosts: {a: b}", "`host-gateway` for the host"),
        ("dns: [one]", "as in `1.1.1.1`"),
        ("mac_address: 02:42", "as in `02:42:ac:11:00:02`"),
        ("network_mode: hst", "did you mean `host`?"),
        ("network_mode: front", "`networks: [front]`"),
        ("pid: \"service:\"", "a name follows the `:`"),
        ("pid: private", "write `host`, `service:NAME` or `container:NAME`"),
        ("oom_score_adj: 2000", "the most is 1000"),
        ("cpuset: 3-1", "as in `0-2,4`"),
        ("mem_limit: 1m", "less than `6m`"),
        ("devices: [ttyUSB0]", "as in `/dev/ttyUSB0`"),
        ("devices: [\"/dev/null:/dev/null:rx\"]", "`rx` are no permissions"),
        ("device_cgroup_rules: [c 1 rwm]", "as in `c 189:* rmw`"),
        ("gpus: some", "only `all` is known"),
        ("gpus: [{count: 0}]", "how many, or `all`"),
        ("gpus: [{count: 1, device_ids: [a]}]", "exclude each other"),
        ("security_opt: [seccomp=none.json]", "/srv/home/none.json does not exist"),
        ("security_opt: [\"seccomp={\"]", "the profile is not JSON"),
        ("security_opt: [selinux]", "as in `no-new-privileges:true`"),
        ("platform: a/b/c/d", "as in `linux/arm64`"),
        ("expose: [0]", "port 0 is none"),
        ("blkio_config: {weight: 5}", "the least is 10"),
        ("blkio_config: {device_read_bps: [{path: /dev/sda}]}", "is not complete"),
        ("label_file: none.labels", "/srv/home/none.labels does not exist"),
        ("allow_host_access: [privilegd]", "did you mean `privileged`?"),
        ("deploy: {resources: {reservations: {devices: [{count: 1}]}}}", "needs `capabilities`"),
    ] {
        says(&lines(&[line]), &[part]);
    }
}

#[test]
fn two_words_for_one_thing_may_not_differ() {
    let memory = |limit: &str| format!("deploy: {{resources: {{limits: {{memory: {limit}}}}}}}");
    says(&lines(&["mem_limit: 64m", &memory("65m")]), &["key-conflict", "`deploy.resources.limits.memory`"]);
    let spec =
        &platform(&lines(&["mem_limit: 64m", &memory("65536k")])).containers[&ResourceId::container("a")];
    assert_eq!(spec.live.limits, Limits { memory: 64 << 20, ..Limits::default() });
    says(&lines(&["cpus: 1", "cpu_quota: 50000"]), &["key-conflict", "`cpu_quota` and `cpus`"]);
    says(&lines(&["memswap_limit: 64m"]), &["key-conflict", "no limit to memory"]);
    says(&lines(&["mem_limit: 64m", "memswap_limit: 32m"]), &["key-conflict", "less than the memory alone"]);
    says(&lines(&["mem_limit: 64m", "mem_reservation: 65m"]), &["key-conflict", "raise the limit"]);
    // What the engine or the kernel does by itself is nothing to be said.
    let spec = &platform(&lines(&["mem_limit: 64m", "memswap_limit: 128m", "cpu_shares: 1024"])).containers
        [&ResourceId::container("a")];
    assert_eq!(spec.live.limits, Limits { memory: 64 << 20, ..Limits::default() });
}

#[test]
fn a_network_mode_stands_alone() {
    let both = format!("{}networks: {{n: }}\n", lines(&["network_mode: none", "networks: [n]"]));
    says(&both, &["key-conflict", "so it is on no `networks`"]);
    says(
        &lines(&["network_mode: none", "ports: [\"127.0.0.1:80:80\"]"]),
        &["key-conflict", "it has no network"],
    );
    says(&lines(&["network_mode: container:x", "hostname: a"]), &["key-conflict", "`hostname`"]);
    says(
        &lines(&["network_mode: none", "mac_address: \"02:42:ac:11:00:02\""]),
        &["key-conflict", "`mac_address`"],
    );
    let host = ["network_mode: host", "allow_host_access: [host-network]", "ports: [\"127.0.0.1:80:80\"]"];
    says(&lines(&host), &["key-conflict", "it listens on the host itself"]);
    assert_eq!(codes(&lines(&["network_mode: bridge", "ports: [\"127.0.0.1:80:80\"]"])), Vec::<&str>::new());
    assert!(platform(&lines(&["network_mode: none"])).networks.is_empty(), "no network is made for nobody");
}

#[test]
fn whose_namespace_one_joins_is_a_service_of_the_file_and_comes_first() {
    says(&lines(&["network_mode: service:b"]), &["unknown-service", "`a` depends on `b`"]);
    says(&lines(&["pid: service:a"]), &["dependency-cycle", "depends on itself"]);
    let joins = |ipc: &str| {
        with_services(&format!("  a: {{image: x:1, ipc: \"service:b\"}}\n  b: {{image: x:1{ipc}}}\n"))
    };
    says(&joins(""), &["key-conflict", "write `ipc: shareable` for `b`"]);
    assert_eq!(codes(&joins(", ipc: shareable")), Vec::<&str>::new());
    let text = with_services(
        "  a:\n    image: x:1\n    network_mode: service:b\n    depends_on: {b: {condition: service_healthy}}\n  b: {image: x:1, healthcheck: {tcp: {port: 1}}}\n",
    );
    let spec = &platform(&text).containers[&ResourceId::container("a")];
    let edge = spec.policy.dependencies[&ResourceId::container("b")];
    assert!(edge.restart && edge.required, "a namespace is gone with the run that made it");
    assert_eq!(edge.condition, aiplat_core::spec::DependencyCondition::Healthy, "as it is written");
    assert!(spec.live.networks.is_empty());
}

#[test]
fn power_over_the_host_has_to_be_named() {
    for (line, word) in [
        ("privileged: true", "privileged"),
        ("network_mode: host", "host-network"),
        ("pid: host", "host-pid"),
        ("ipc: host", "host-ipc"),
        ("uts: host", "host-uts"),
        ("userns_mode: host", "host-userns"),
        ("cgroup: host", "host-cgroup"),
        ("cap_add: [SYS_ADMIN]", "cap:SYS_ADMIN"),
        ("cap_add: [cap_sys_ptrace]", "cap:SYS_PTRACE"),
        ("cap_add: [ALL]", "cap:ALL"),
        ("security_opt: [seccomp:unconfined]", "unconfined"),
        ("security_opt: [systempaths=unconfined]", "unconfined"),
        ("devices: [/dev/sda]", "/dev/sda"),
        ("devices: [/dev/../dev/mem]", "/dev/mem"),
        ("device_cgroup_rules: [\"b 8:0 r\"]", "device-rules"),
    ] {
        let advice = format!("add `allow_host_access: [\"{word}\"]` to `a`");
        says(&lines(&[line]), &["host-access", "gives `a` power over the host", &advice]);
        let allowed = format!("allow_host_access: [\"{word}\"]");
        assert_eq!(codes(&lines(&[line, &allowed])), Vec::<&str>::new(), "the advice holds: {line}");
        assert_eq!(codes(&lines(&[&allowed])), ["unused-permission"], "what is not needed is said: {word}");
    }
}

#[test]
fn harmless_options_need_nothing() {
    for line in [
        "cap_add: [NET_BIND_SERVICE, CHOWN, NET_ADMIN, SYS_NICE, IPC_LOCK]",
        "cap_drop: [ALL]",
        "devices: [/dev/null, /dev/net/tun, /dev/fuse, /dev/dri/renderD128, /dev/kfd, /dev/nvidia0]",
        "gpus: all",
        "security_opt: [no-new-privileges]",
        "privileged: false",
        "cgroup: private",
        "ipc: shareable",
    ] {
        assert_eq!(codes(&lines(&[line])), Vec::<&str>::new(), "{line}");
    }
}

#[test]
fn who_may_do_everything_need_not_name_each_power() {
    let both = [
        "privileged: true",
        "allow_host_access: [privileged]",
        "cap_add: [SYS_ADMIN]",
        "devices: [/dev/sda]",
    ];
    assert_eq!(codes(&lines(&both)), Vec::<&str>::new());
}

#[test]
fn labels_of_a_file_are_those_of_the_service() {
    let disk = Disk::with(lines(&["label_file: [a.labels]", "labels: {tier: back}"]))
        .and("a.labels", "tier=front\ncom.example.team=\"ai\"\n");
    let platform = disk.load().platform.expect("the file is right");
    let labels = &platform.containers[&ResourceId::container("a")].runtime.labels;
    assert_eq!(format!("{labels:?}"), r#"{"com.example.team": "ai", "tier": "back"}"#);
    let ours = Disk::with(lines(&["label_file: a.labels"])).and("a.labels", "io.aiplat.instance=x\n").load();
    assert_eq!(ours.diagnostics[0].code, "reserved-label");
}

#[test]
fn the_order_of_lines_recreates_nothing() {
    let print = |list: &[&str]| {
        let platform = platform(&lines(list));
        platform.fingerprint(&ResourceId::container("a"))
    };
    assert_eq!(
        print(&[
            "cap_add: [CHOWN, KILL]",
            "extra_hosts: {a: 10.0.0.1, b: 10.0.0.2}",
            "devices: [/dev/null, /dev/fuse]"
        ]),
        print(&[
            "devices: [/dev/fuse, /dev/null]",
            "extra_hosts: [\"b:10.0.0.2\", \"a:10.0.0.1\"]",
            "cap_add: [KILL, CAP_CHOWN]"
        ]),
    );
    assert_ne!(print(&["cap_add: [CHOWN]"]), print(&["cap_drop: [CHOWN]"]));
    assert_eq!(
        print(&["cpus: 1", "mem_limit: 64m", "cpuset: 0", "cpu_shares: 2"]),
        print(&[]),
        "these are live"
    );
}
