//! The unit itself: sound, tight, and nothing is broken by that.

use crate::{
    PLATFORM,
    harness::{Host, report},
};

#[test]
fn it_is_verified_and_at_most_a_third_exposed() {
    let Some(host) = Host::boot() else { return };
    host.install("current.deb");
    let unit = "/usr/lib/systemd/system/aiplatd.service";
    // There is no `man` on the host to look the pages up with.
    assert_eq!(host.run(&["systemd-analyze", "verify", "--man=no", unit]).said(), "");
    let judged =
        host.run(&["systemd-analyze", "security", "--offline=true", "--threshold=32", "--no-pager", unit]);
    let level =
        judged.out.lines().rfind(|line| line.contains("exposure level")).unwrap_or_default().to_owned();
    report(level.trim());
    assert_eq!(judged.code, 0, "{level}");
}

/// Processes of the hanging check, as the host numbers them.
fn hanging(host: &Host) -> Vec<String> {
    let top = host.run(&["docker", "top", "demo-alone", "-o", "pid,args"]).out;
    let lines = top.lines().filter(|line| line.contains("NAME=hang"));
    lines.filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect()
}

#[test]
fn under_it_a_check_that_hangs_is_killed_whoever_it_runs_as() {
    let Some(host) = Host::boot() else { return };
    host.install("current.deb");
    let check = "healthcheck: {test: [CMD, /app, serve, NAME=hang, PORT=9999], interval: 1s, timeout: 1s}";
    let (head, alone) = PLATFORM.split_once("  alone:").expect("it is the last one");
    let alone = alone.replace("healthcheck: {http: {port: 8080, path: /ready}, interval: 2s}", check);
    host.write("/etc/aiplatd/platform.yaml", &format!("{head}  alone:\n    user: \"1000\"{alone}"));
    let mut first = Vec::new();
    host.wait("the check hangs", |host| {
        first = hanging(host);
        !first.is_empty()
    });
    host.wait("it was killed, and is asked again", |host| {
        let now = hanging(host);
        !now.is_empty() && first.iter().all(|pid| !now.contains(pid))
    });
    assert!(hanging(&host).len() <= 1, "they do not pile up");
}

#[test]
fn under_it_the_holder_of_a_port_is_found_and_a_missing_folder_is_made() {
    let Some(host) = Host::boot() else { return };
    host.install("current.deb");
    host.converge(PLATFORM);
    host.ok(&["docker", "cp", "demo-web:/app", "/usr/local/bin/squatter"]);
    host.ok(&["aiplatctl", "stop", "web"]);
    host.ok(&[
        "systemd-run",
        "--unit=squatter",
        "--uid=nobody",
        "/usr/local/bin/squatter",
        "serve",
        "PORT=3000",
    ]);
    host.wait("it listens", |host| host.ok(&["ss", "--listening", "--tcp", "--numeric"]).contains(":3000 "));
    host.ok(&["aiplatctl", "start", "--no-wait", "web"]);
    host.wait("the holder has a name", |host| {
        host.run(&["aiplatctl", "why", "web"]).said().contains("squatter")
    });
    host.ok(&["systemctl", "stop", "squatter"]);
    // It would be tried again by itself, later than a test wants to wait.
    host.ok(&["aiplatctl", "reset-failed", "--no-wait", "web"]);
    host.wait_ready();

    let mounting = |path: &str| {
        PLATFORM
            .replace("network_mode: none", &format!("network_mode: none\n    volumes: [\"{path}:/data\"]"))
    };
    host.write("/etc/aiplatd/platform.yaml", &mounting("/srv/ai/alone"));
    host.wait("it is made", |host| host.run(&["test", "-d", "/srv/ai/alone"]).code == 0);
    host.write("/etc/aiplatd/platform.yaml", &mounting("/var/lib/other/alone"));
    host.wait("it is said", |host| {
        let said = host.run(&["aiplatctl", "why", "alone"]).said();
        said.contains("mkdir -p '/var/lib/other/alone'") && said.contains("ReadWritePaths=/var/lib/other")
    });
    host.ok(&["mkdir", "-p", "/var/lib/other/alone"]);
    host.ok(&["aiplatctl", "reset-failed", "--no-wait", "alone"]);
    host.wait_ready();
}

#[test]
fn a_folder_that_it_may_not_write_to_is_named_with_the_way_out() {
    let Some(host) = Host::boot() else { return };
    host.install("current.deb");
    host.ok(&["mkdir", "-p", "/var/lib/ai", "/etc/systemd/system/aiplatd.service.d"]);
    host.write("/var/lib/ai/platform.yaml", PLATFORM);
    host.write(
        "/etc/systemd/system/aiplatd.service.d/here.conf",
        "[Service]\nEnvironment=AIPLATD_CONFIG=/var/lib/ai/platform.yaml\n",
    );
    host.ok(&["systemctl", "daemon-reload"]);
    host.ok(&["systemctl", "restart", "aiplatd"]);
    host.wait_ready();
    host.write("/root/new.yaml", &PLATFORM.replace("interval: 2s", "interval: 3s"));
    let apply =
        ["aiplatctl", "--config=/var/lib/ai/platform.yaml", "apply", "--yes", "--file", "/root/new.yaml"];
    let refused = host.run(&apply);
    assert_ne!(refused.code, 0, "{}", refused.said());
    assert!(refused.said().contains("ReadWritePaths=/var/lib/ai"), "{}", refused.said());
    assert_eq!(host.read("/var/lib/ai/platform.yaml").as_deref(), Some(PLATFORM));

    host.write("/etc/systemd/system/aiplatd.service.d/write.conf", "[Service]\nReadWritePaths=/var/lib/ai\n");
    host.ok(&["systemctl", "daemon-reload"]);
    host.ok(&["systemctl", "restart", "aiplatd"]);
    host.wait_ready();
    host.ok(&apply);
    assert!(host.read("/var/lib/ai/platform.yaml").is_some_and(|text| text.contains("interval: 3s")));
}

#[test]
fn under_it_a_config_is_written_and_an_edit_of_its_source_restarts_who_reads_it() {
    let Some(host) = Host::boot() else { return };
    host.install("current.deb");
    let (source, written) = ("/etc/aiplatd/app.conf", "/var/lib/aiplatd/configs/app");
    host.write(source, "colour = red\n");
    host.converge(
        "apiVersion: aiplat/v1\nname: demo\nservices:\n  web:\n    image: aiplat-demo:1\n    \
         command: [serve, CONFIG_FILE=/etc/app.conf]\n    configs: [{source: app, target: /etc/app.conf}]\n    \
         healthcheck: {http: {port: 8080, path: /ready}, interval: 1s}\nconfigs: {app: {file: ./app.conf}}\n",
    );
    let started =
        |host: &Host| host.ok(&["docker", "inspect", "--format={{.Id}} {{.State.StartedAt}}", "demo-web"]);
    let before = started(&host);
    assert_eq!(host.read(written).as_deref(), Some("colour = red\n"));
    host.write(source, "colour = blue\n");
    host.wait("it runs anew", |host| started(host) != before);
    host.wait_ready();
    assert_eq!(host.read(written).as_deref(), Some("colour = blue\n"));
    assert_eq!(before.split(' ').next(), started(&host).split(' ').next(), "it is the same container");
    assert!(host.ok(&["aiplatctl", "diff"]).contains("othing"), "the second pass plans nothing");
}
