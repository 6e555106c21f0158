//! The package is installed, the file is edited, and the platform is there.

use aiplat_core::condition::Word;

use crate::{
    PLATFORM,
    harness::{Host, report},
};

const FILE: &str = "/etc/aiplatd/platform.yaml";

#[test]
fn it_is_installed_runs_and_follows_the_file() {
    let Some(host) = Host::boot() else { return };
    host.install("current.deb");
    assert_eq!(host.property("ActiveState"), "active");
    assert_eq!(host.property("StatusText"), "home-ai: 0 of 0 services ready");
    // Root's alone, and the socket the group's.
    assert_eq!(host.ok(&["stat", "--format=%U:%G %a", FILE]).trim(), "root:root 600");
    assert_eq!(
        host.ok(&["stat", "--format=%U:%G %a", "/run/aiplatd/aiplatd.sock"]).trim(),
        "root:aiplat 660"
    );
    host.ok(&["aiplatctl", "validate"]);
    let schema = host.shell("sed -n 's/.*\\$schema=//p' /etc/aiplatd/platform.yaml");
    host.ok(&["test", "-s", schema.trim()]);

    host.converge(PLATFORM);
    host.wait("the status line says so", |host| host.property("StatusText") == "demo: 4 of 4 services ready");
    let answer = host.ok(&["docker", "exec", "demo-web", "/app", "get", "http://127.0.0.1:8080/"]);
    assert!(!answer.is_empty());

    // A new one loops: the line tells which.
    host.write(
        FILE,
        &PLATFORM.replace("services:\n", "services:\n  looper: {image: aiplat-demo:1, command: [crash]}\n"),
    );
    host.wait("it has looped", |host| {
        let status = host.status();
        status.is_some_and(|it| {
            it.services.iter().any(|it| it.name == "looper" && it.status == Word::CrashLoop)
        })
    });
    host.wait("the status line names it", |host| {
        host.property("StatusText").starts_with("demo: 4 of 5 services ready, looper CrashLoop")
    });
    let shown = host.run(&["systemctl", "status", "aiplatd", "--no-pager"]).said();
    assert!(shown.contains("4 of 5 services ready, looper CrashLoop"), "{shown}");
}

#[test]
fn a_reload_applies_the_file_and_fails_where_it_is_wrong() {
    let Some(host) = Host::boot() else { return };
    host.install("current.deb");
    host.converge(PLATFORM);
    // With this setting a saved file waits for a command, and a reload is one.
    host.write(FILE, &format!("{PLATFORM}reconcile: {{apply: on_command}}\n"));
    host.ok(&["systemctl", "reload", "aiplatd"]);
    let edited = PLATFORM.replace("NAME=alone]", "NAME=alone, READY_AFTER=1]");
    host.write(FILE, &format!("{edited}reconcile: {{apply: on_command}}\n"));
    let before = host.status().expect("it answers").platform.generation;
    host.ok(&["systemctl", "reload", "aiplatd"]);
    let status = host.status().expect("it answers");
    assert!(status.platform.generation > before, "{}", status.platform.sentence);
    host.wait_ready();

    host.write(FILE, "services: [");
    let refused = host.run(&["systemctl", "reload", "aiplatd"]);
    assert_ne!(refused.code, 0, "{}", refused.said());
    let journal = host.ok(&["journalctl", "--unit=aiplatd", "--no-pager", "--lines=20"]);
    assert!(journal.contains("is never closed"), "{journal}");
    assert_eq!((host.property("ActiveState"), host.runs().len()), ("active".to_owned(), 4));
}

#[test]
fn it_comes_back_after_a_kill_and_a_plain_stop_and_no_service_notices() {
    let Some(host) = Host::boot() else { return };
    host.install("current.deb");
    host.converge(PLATFORM);
    let runs = host.runs();
    let pid = host.property("MainPID");
    let begun = std::time::Instant::now();
    host.ok(&["kill", "-KILL", &pid]);
    host.wait("systemd has started it again", |host| {
        host.property("ActiveState") == "active" && host.property("MainPID") != pid
    });
    report(&format!("kill -9 of the daemon to active again: {} ms", begun.elapsed().as_millis()));
    host.wait_ready();
    assert_eq!(host.runs(), runs);

    let begun = std::time::Instant::now();
    host.ok(&["systemctl", "stop", "aiplatd"]);
    report(&format!("systemctl stop aiplatd: {} ms", begun.elapsed().as_millis()));
    assert_eq!((host.property("ActiveState"), host.runs()), ("inactive".to_owned(), runs.clone()));
    // Its last words are there for who asks meanwhile.
    assert!(host.read("/var/lib/aiplatd/status.json").is_some());
    host.ok(&["systemctl", "start", "aiplatd"]);
    host.wait_ready();
    host.ok(&["systemctl", "restart", "aiplatd"]);
    host.wait_ready();
    assert_eq!(host.runs(), runs);
}

#[test]
fn a_tarball_is_installed_as_its_readme_says() {
    let Some(host) = Host::boot() else { return };
    host.ok(&["tar", "-C", "/root", "-xzf", "/packages/current.tar.gz"]);
    let folder = host.shell("echo /root/aiplatd-*");
    let folder = folder.trim();
    let readme = host.read(&format!("{folder}/README.md")).expect("it has one");
    let (install, rest) = readme.split_once("The group `aiplat`").expect("it says how to install it");
    let (_, remove) = rest.split_once("To remove it").expect("it says how to remove it");
    host.shell(&format!("cd {folder}\n{}", commands(install)));
    assert_eq!(host.property("ActiveState"), "active");
    host.converge(PLATFORM);
    host.shell(&commands(remove));
    assert_eq!(host.shell("find /usr -name '*aiplat*' -not -path '*completions*' | sort"), "");
    assert_eq!(host.runs().len(), 4, "they run on");
}

/// The indented lines of a page.
fn commands(page: &str) -> String {
    page.lines().filter_map(|line| line.strip_prefix("    ")).collect::<Vec<_>>().join("\n")
}
