//! The package goes, the services stay.

use std::collections::BTreeMap;

use crate::{PLATFORM, harness::Host, units};

const FILE: &str = "/etc/aiplatd/platform.yaml";

#[test]
fn a_removal_hands_the_services_to_the_engine_which_brings_them_up_at_the_next_boot() {
    let Some(host) = Host::boot() else { return };
    host.install("current.deb");
    host.converge(PLATFORM);
    let runs = host.runs();
    let said = host.ok(&["dpkg", "--remove", "aiplatd"]);
    assert!(said.contains("web Suspended  released to the engine"), "by the daemon itself: {said}");
    assert!(said.contains("The engine restarts the containers from now on"), "{said}");
    assert_eq!(host.runs(), runs);
    for (name, container) in host.containers() {
        assert_eq!(container["HostConfig"]["RestartPolicy"]["Name"], "unless-stopped", "{name}");
    }
    host.reboot();
    host.wait("the engine has started them", |host| host.runs().len() == 4);
    assert!(host.read(FILE).is_some(), "the file is the administrator's");

    // Installed again, it leaves them where they are, and says how to take them back.
    let said = host.install("current.deb");
    assert!(said.contains("aiplatctl resume --all"), "{said}");
    let (runs, ids) = (host.runs(), host.ids());
    host.ok(&["aiplatctl", "resume", "--all"]);
    // The engine starts in no order: `api` runs on a run of `db` that was not ready yet, and follows it (`restart: true`).
    host.wait("api follows db", |host| {
        host.runs().get("demo-api").is_some_and(|run| *run != runs["demo-api"])
    });
    host.wait_ready();
    let others = |mut runs: BTreeMap<String, String>| {
        runs.remove("demo-api");
        runs
    };
    assert_eq!((others(host.runs()), host.ids()), (others(runs), ids));
}

#[test]
fn a_removal_hands_them_back_also_while_the_daemon_is_stopped() {
    let Some(host) = Host::boot() else { return };
    host.install("current.deb");
    host.converge(PLATFORM);
    host.ok(&["systemctl", "stop", "aiplatd"]);
    host.ok(&["dpkg", "--remove", "aiplatd"]);
    for (name, container) in host.containers() {
        assert_eq!(container["HostConfig"]["RestartPolicy"]["Name"], "unless-stopped", "{name}");
    }
}

#[test]
fn a_purge_leaves_nothing_of_an_unused_installation() {
    let Some(host) = Host::boot() else { return };
    host.install("current.deb");
    host.ok(&["dpkg", "--purge", "aiplatd"]);
    let left = "find /etc /var/lib /run /usr -path /var/lib/docker -prune -o -name '*aiplat*' -print";
    let left: Vec<String> = host
        .shell(left)
        .lines()
        .filter(|path| !path.starts_with("/var/lib/dpkg"))
        .map(str::to_owned)
        .collect();
    assert_eq!(left, Vec::<String>::new());
    assert_eq!(host.run(&["systemctl", "cat", "aiplatd"]).code, 1);
}

#[test]
fn a_purge_says_what_it_leaves() {
    let Some(host) = Host::boot() else { return };
    host.install("current.deb");
    host.converge(PLATFORM);
    let said = host.ok(&["dpkg", "--purge", "aiplatd"]);
    assert!(said.contains("platform.yaml, which you have edited"), "{said}");
    assert!(said.contains("containers 4, networks 1, volumes 1"), "{said}");
    assert!(host.read(FILE).is_some());
    assert_eq!(host.ok(&["ls", "/var/lib/aiplatd"]).trim(), "instance-id");
    assert_eq!(host.runs().len(), 4);

    // By that file a later installation knows them as its own.
    let runs = host.runs();
    host.install("current.deb");
    host.ok(&["aiplatctl", "resume", "--all"]);
    host.wait_ready();
    assert_eq!(host.runs(), runs);
}

#[test]
fn with_units_in_the_file_the_containers_are_handed_back_and_a_purge_leaves_what_a_unit_uses() {
    let Some(host) = units::host() else { return };
    host.converge(&units::platform(units::KEEP));
    let said = host.ok(&["dpkg", "--remove", "aiplatd"]);
    assert!(
        said.contains("The engine restarts the containers from now on") && !said.contains("error"),
        "{said}"
    );
    for (name, container) in host.containers() {
        assert_eq!(container["HostConfig"]["RestartPolicy"]["Name"], "unless-stopped", "{name}");
    }
    let said = host.ok(&["dpkg", "--purge", "aiplatd"]);
    assert!(said.contains("/etc/systemd/system/ollama.service.d/50-aiplatd.conf"), "{said}");
    host.ok(&["systemctl", "restart", "ollama"]);
    let environ = "tr '\\0' '\\n' < /proc/$(systemctl show -p MainPID --value ollama)/environ";
    assert!(host.shell(environ).contains("OLLAMA_KEEP_ALIVE=5m"), "it goes on with what the file said");
}
