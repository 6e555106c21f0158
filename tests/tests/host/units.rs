//! A unit as a peer of containers, under the installed and hardened aiplatd: every reason for which it is not well, reached
//! on a real systemd, and every way back.

use std::time::Instant;

use aiplat_core::condition::{ConditionType, Reason, Status, Word};

use crate::harness::{Host, report};

/// The demo's program, which speaks Ollama's API, as a program of the machine.
pub(crate) const UNIT: &str = "[Unit]\nDescription=Stand-in for Ollama\n[Service]\nExecStart=/usr/local/bin/ollama serve\n\
                    Environment=NAME=ollama PORT=11434\nRestart=on-failure\n[Install]\nWantedBy=multi-user.target\n";
pub(crate) const UNIT_FILE: &str = "/etc/systemd/system/ollama.service";
pub(crate) const FILE: &str = "/etc/aiplatd/platform.yaml";

/// The unit, a container that needs it, and one that it needs; `more` are lines of the unit's entry.
pub(crate) fn platform(more: &str) -> String {
    format!(
        r#"
apiVersion: aiplat/v1
name: demo
services:
  store:
    image: aiplat-demo:1
    command: [serve, NAME=store]
    healthcheck: {{http: {{port: 8080, path: /ready}}, interval: 1s}}
  ollama:
    provider: {{type: systemd, options: {{unit: ollama}}}}
    depends_on: {{store: {{condition: service_healthy}}}}
    healthcheck: {{http: {{port: 11434, path: /api/version}}, interval: 1s}}
{more}
  web:
    image: aiplat-demo:1
    command: [serve, NAME=web, "UPSTREAMS=ollama:11434"]
    depends_on: {{ollama: {{condition: service_healthy, restart: true}}}}
    healthcheck: {{http: {{port: 8080, path: /ready}}, interval: 1s}}
"#
    )
}

pub(crate) const KEEP: &str = "    environment: {OLLAMA_KEEP_ALIVE: 5m}";

/// A host with the package, the program and its unit, which does not run; nothing in the file yet.
pub(crate) fn host() -> Option<Host> {
    let host = with_program("/usr/local/bin/ollama")?;
    unit(&host, UNIT);
    Some(host)
}

/// A host with the package, and the demo's program at `path`.
pub(crate) fn with_program(path: &str) -> Option<Host> {
    let host = Host::boot()?;
    host.install("current.deb");
    let made = host.ok(&["docker", "create", "aiplat-demo:1"]);
    host.ok(&["docker", "cp", &format!("{}:/app", made.trim()), path]);
    host.ok(&["docker", "rm", made.trim()]);
    Some(host)
}

pub(crate) fn unit(host: &Host, text: &str) {
    host.write(UNIT_FILE, text);
    host.ok(&["systemctl", "daemon-reload"]);
}

pub(crate) fn property(host: &Host, name: &str) -> String {
    host.ok(&["systemctl", "show", "--property", name, "--value", "ollama"]).trim().to_owned()
}

/// Waits until the unit's condition `kind` is `status` for `reason`.
pub(crate) fn becomes(host: &Host, kind: ConditionType, status: Status, reason: Reason) {
    host.wait(&format!("{kind}={status} ({reason})"), |host| {
        let conditions = host.service("ollama").conditions;
        let mut found = conditions.iter().map(|it| &it.condition);
        found.any(|it| (it.kind, it.status, it.reason) == (kind, status, reason))
    });
}

pub(crate) fn word(host: &Host, word: Word) {
    host.wait(&format!("ollama is {word}"), |host| host.service("ollama").status == word);
}

#[test]
fn a_unit_and_two_containers_come_up_in_order_and_an_edit_restarts_it_without_a_reload() {
    let Some(host) = host() else { return };
    let both = |more: &str| {
        let chat = "  chat:\n    image: aiplat-demo:1\n    command: [serve, NAME=chat]\n    \
                    depends_on: {ollama: {condition: service_healthy}}\n";
        format!("{}{chat}", platform(more))
    };
    host.converge(&both(KEEP));
    assert_eq!(property(&host, "ActiveState"), "active");
    assert!(property(&host, "DropInPaths").contains("50-aiplatd.conf"));
    let folder = host.ok(&["stat", "--format=%a", "/etc/systemd/system/ollama.service.d"]);
    assert_eq!(folder.trim(), "755", "everybody may ask what a unit is told");
    let answer = host.ok(&["docker", "exec", "demo-web", "/app", "get", "http://ollama:11434/"]);
    assert!(answer.contains("\"name\":\"ollama\""), "{answer}");
    host.ok(&["docker", "exec", "demo-web", "/app", "get", "http://host.docker.internal:11434/"]);
    assert!(host.ok(&["aiplatctl", "logs", "ollama"]).contains("ollama: started"));
    assert!(host.ok(&["aiplatctl", "diff"]).contains("othing"), "the second pass plans nothing");

    let reloads = |host: &Host| host.ok(&["journalctl", "--unit=aiplatd"]).matches("reload systemd").count();
    let (run, before, runs) = (property(&host, "InvocationID"), reloads(&host), host.runs());
    let begun = Instant::now();
    host.write(FILE, &both("    environment: {OLLAMA_KEEP_ALIVE: 10m}"));
    let environ = "tr '\\0' '\\n' < /proc/$(systemctl show -p MainPID --value ollama)/environ";
    host.wait("the process has the new value", |host| {
        host.run(&["sh", "-c", environ]).out.contains("OLLAMA_KEEP_ALIVE=10m")
    });
    host.wait_ready();
    report(&format!("environment edit of a unit to Ready: {} ms", begun.elapsed().as_millis()));
    assert_ne!(property(&host, "InvocationID"), run);
    assert_eq!(reloads(&host), before);
    host.wait("by `restart: true` it follows", |host| {
        host.runs().get("demo-web").is_some_and(|run| *run != runs["demo-web"])
    });
    host.wait_ready();
    assert_eq!(host.runs()["demo-chat"], runs["demo-chat"], "the other one is left alone");
}

#[test]
fn a_killed_unit_is_ready_again_and_its_dependant_follows() {
    let Some(host) = host() else { return };
    host.converge(&platform(""));
    for restart in ["on-failure", "no"] {
        unit(&host, &UNIT.replace("Restart=on-failure", &format!("Restart={restart}")));
        let run = property(&host, "InvocationID");
        let begun = Instant::now();
        host.ok(&["systemctl", "kill", "--kill-whom=main", "--signal=KILL", "ollama"]);
        host.wait("it runs anew and is ready", |host| {
            property(host, "InvocationID") != run && host.service("ollama").status == Word::Ready
        });
        report(&format!(
            "kill -9 of a unit (Restart={restart}) to Ready: {} ms",
            begun.elapsed().as_millis()
        ));
        host.wait_ready();
    }
}

#[test]
fn a_unit_that_is_missing_masked_invalid_or_stopped_says_so_and_comes_back() {
    let Some(host) = host() else { return };
    host.converge(&platform(""));
    host.ok(&["systemctl", "stop", "ollama"]);
    becomes(&host, ConditionType::Active, Status::False, Reason::StoppedByAdministrator);
    word(&host, Word::Stopped);
    host.ok(&["aiplatctl", "start", "ollama"]);
    word(&host, Word::Ready);

    host.ok(&["systemctl", "stop", "ollama"]);
    host.ok(&["rm", UNIT_FILE]);
    host.ok(&["systemctl", "daemon-reload"]);
    becomes(&host, ConditionType::UnitLoaded, Status::False, Reason::UnitNotFound);
    host.ok(&["ln", "-s", "/dev/null", UNIT_FILE]);
    host.ok(&["systemctl", "daemon-reload"]);
    becomes(&host, ConditionType::UnitLoaded, Status::False, Reason::UnitMasked);
    host.ok(&["rm", UNIT_FILE]);
    unit(&host, "[Service]\nType=simple\n");
    becomes(&host, ConditionType::UnitLoaded, Status::False, Reason::UnitInvalid);
    unit(&host, UNIT);
    becomes(&host, ConditionType::UnitLoaded, Status::True, Reason::UnitDisabled);
    host.ok(&["aiplatctl", "start", "ollama"]);
    host.wait_ready();
}

#[test]
fn an_alias_is_left_alone_and_its_unit_is_named() {
    let Some(host) = host() else { return };
    host.ok(&["ln", "-s", UNIT_FILE, "/etc/systemd/system/llm.service"]);
    host.ok(&["systemctl", "daemon-reload"]);
    host.write(FILE, &platform("").replace("unit: ollama}", "unit: llm}"));
    becomes(&host, ConditionType::UnitLoaded, Status::False, Reason::UnitAlias);
    assert!(host.ok(&["aiplatctl", "get", "services"]).contains("write `unit: ollama.service`"));
    assert_eq!(host.read("/etc/systemd/system/llm.service.d/50-aiplatd.conf"), None);
    host.converge(&platform(""));
}

#[test]
fn full_management_unmasks_enables_and_starts() {
    let Some(host) = host() else { return };
    host.ok(&["rm", UNIT_FILE]);
    host.write("/usr/lib/systemd/system/ollama.service", UNIT);
    host.ok(&["systemctl", "mask", "ollama"]);
    host.converge(&platform("    management: full"));
    assert_eq!(host.ok(&["systemctl", "is-enabled", "ollama"]).trim(), "enabled");
    assert_eq!(property(&host, "ActiveState"), "active");
}

#[test]
fn a_start_limit_is_forgiven_in_our_own_time_and_a_bad_configuration_is_held_with_its_line() {
    let Some(host) = host() else { return };
    let crashing = UNIT.replace("ollama serve", "ollama crash CRASH_AFTER=50 'LOG_LINE=nobody knows why'");
    unit(&host, &crashing.replace("Restart=on-failure", "Restart=always"));
    host.write(FILE, &platform(""));
    host.wait("systemd has given up once, and aiplatd has not", |host| {
        host.ok(&["aiplatctl", "events", "--for", "ollama"]).contains("reset-failed ollama.service")
    });
    host.wait("it is a crash loop", |host| host.service("ollama").status == Word::CrashLoop);
    let line = "invalid configuration: unknown key `prot`";
    unit(
        &host,
        &UNIT
            .replace("ollama serve", &format!("ollama crash CRASH_AFTER=50 'LOG_LINE={line}'"))
            .replace("on-failure", "no"),
    );
    host.ok(&["aiplatctl", "reset-failed", "--no-wait", "ollama"]);
    word(&host, Word::Held);
    let message = host.service("ollama").message;
    assert!(message.contains(line), "{message}");
    unit(&host, UNIT);
    host.ok(&["aiplatctl", "reset-failed", "--no-wait", "ollama"]);
    host.wait_ready();
}

#[test]
fn the_stages_of_readiness_are_told_apart() {
    let Some(host) = host() else { return };
    // Active, and nobody listens.
    unit(&host, &UNIT.replace("PORT=11434", "PORT=11999"));
    host.write(FILE, &platform(""));
    becomes(&host, ConditionType::Listening, Status::False, Reason::NobodyListens);
    becomes(&host, ConditionType::Active, Status::True, Reason::Running);
    let said = host.ok(&["aiplatctl", "describe", "ollama"]);
    for part in ["Diagnosis:", "Listening, ", "active (running)", "ollama: started"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // Somebody else answers.
    host.ok(&["systemd-run", "--unit=imposter", "/usr/local/bin/ollama", "serve", "PORT=11434"]);
    becomes(&host, ConditionType::Listening, Status::False, Reason::PortHeldByOther);
    host.wait("the other one is named", |host| host.service("ollama").message.contains("imposter.service"));
    assert_ne!(host.service("ollama").status, Word::Ready);
    host.ok(&["systemctl", "stop", "imposter"]);
    // It listens where nobody asks.
    unit(&host, &UNIT.replace("PORT=11434", "PORT=11434 BIND=127.0.0.2"));
    host.ok(&["systemctl", "restart", "ollama"]);
    becomes(&host, ConditionType::Listening, Status::False, Reason::ListensElsewhere);
    host.wait("the other address is named", |host| {
        host.service("ollama").message.contains("at 127.0.0.2 only")
    });
    // It listens and is not ready for long.
    unit(&host, &UNIT.replace("PORT=11434", "PORT=11434 READY_AFTER=600000"));
    host.ok(&["systemctl", "restart", "ollama"]);
    becomes(&host, ConditionType::Healthy, Status::False, Reason::ProbeFailed);
    host.wait("the answer is quoted", |host| host.service("ollama").message.contains("503"));
    becomes(&host, ConditionType::Listening, Status::True, Reason::Listens);
    unit(&host, UNIT);
    host.ok(&["systemctl", "restart", "ollama"]);
    host.wait_ready();
}

#[test]
fn whether_containers_reach_it_is_tried_from_inside_them() {
    let Some(host) = host() else { return };
    // On loopback alone it serves the host, and no container.
    unit(&host, &UNIT.replace("PORT=11434", "PORT=11434 BIND=127.0.0.1"));
    host.write(FILE, &platform(""));
    becomes(&host, ConditionType::Reachable, Status::False, Reason::ListensOnLoopback);
    word(&host, Word::Degraded);
    host.wait("the cure is said", |host| host.service("ollama").message.contains("OLLAMA_HOST: 0.0.0.0"));
    unit(&host, UNIT);
    host.ok(&["systemctl", "restart", "ollama"]);
    becomes(&host, ConditionType::Reachable, Status::True, Reason::Reached);
    // A firewall is seen with the next run, and so is its end.
    let rule = ["INPUT", "!", "-i", "lo", "-p", "tcp", "--dport", "11434", "-j"];
    for (target, reason) in [("DROP", Reason::ConnectionTimedOut), ("REJECT", Reason::ConnectionRefused)] {
        let rule = |verb| [&["iptables", verb], &rule[..], &[target]].concat();
        host.ok(&rule("-I"));
        host.ok(&["systemctl", "restart", "ollama"]);
        becomes(&host, ConditionType::Reachable, Status::False, reason);
        host.ok(&rule("-D"));
        becomes(&host, ConditionType::Reachable, Status::True, Reason::Reached);
    }
}

#[test]
fn a_start_without_end_and_a_disabled_unit_are_named() {
    let Some(host) = host() else { return };
    unit(&host, &UNIT.replace("[Service]", "[Service]\nType=notify\nTimeoutStartSec=infinity"));
    host.write(FILE, &platform(""));
    becomes(&host, ConditionType::Active, Status::False, Reason::ActivatingTooLong);
    becomes(&host, ConditionType::UnitLoaded, Status::True, Reason::UnitDisabled);
    word(&host, Word::NotReady);
    unit(&host, UNIT);
    host.ok(&["systemctl", "stop", "ollama"]);
    host.ok(&["systemctl", "enable", "--now", "ollama"]);
    becomes(&host, ConditionType::UnitLoaded, Status::True, Reason::AsDesired);
    host.wait_ready();
    host.ok(&["systemctl", "disable", "--now", "ollama"]);
    host.write(FILE, &platform("    management: observe"));
    host.reboot();
    becomes(&host, ConditionType::Active, Status::False, Reason::UnitDisabled);
}

#[test]
fn the_vendors_file_may_be_rewritten_and_systemd_started_anew() {
    let Some(host) = host() else { return };
    host.converge(&platform(KEEP));
    unit(&host, &UNIT.replace("Stand-in", "Another stand-in"));
    assert!(property(&host, "DropInPaths").contains("50-aiplatd.conf"), "the drop-in survives");
    host.wait("it is an event", |host| {
        host.ok(&["aiplatctl", "events", "--for", "ollama"]).contains("ollama.service was written anew")
    });
    let run = property(&host, "InvocationID");
    host.ok(&["systemctl", "daemon-reexec"]);
    host.ok(&["systemctl", "restart", "ollama"]);
    host.wait("aiplatd has seen it", |host| {
        property(host, "InvocationID") != run
            && host.service("ollama").detail.run == Some(property(host, "InvocationID"))
    });
    host.wait_ready();
    host.ok(&["systemctl", "kill", "--kill-whom=main", "--signal=KILL", "aiplatd"]);
    host.ok(&["systemctl", "stop", "ollama"]);
    host.wait("a stop while the daemon was down stays one", |host| {
        host.run(&["aiplatctl", "get", "services"]).code == 0
            && host.service("ollama").status == Word::Stopped
    });
    host.ok(&["systemctl", "start", "ollama"]);
    host.wait_ready();
}

#[test]
fn a_value_of_somebody_elses_drop_in_is_named() {
    let Some(host) = host() else { return };
    host.ok(&["mkdir", "-p", "/etc/systemd/system/ollama.service.d"]);
    host.write("/etc/systemd/system/ollama.service.d/99-ours.env", "OLLAMA_KEEP_ALIVE=1h\n");
    host.write(
        "/etc/systemd/system/ollama.service.d/99-ours.conf",
        "[Service]\nEnvironmentFile=/etc/systemd/system/ollama.service.d/99-ours.env\n",
    );
    host.ok(&["systemctl", "daemon-reload"]);
    host.write(FILE, &platform(KEEP));
    becomes(&host, ConditionType::Drifted, Status::True, Reason::EnvironmentOverridden);
    host.wait("both values and the other drop-in are named", |host| {
        let message = host.service("ollama").message;
        ["`1h`", "`5m`", "99-ours.conf"].iter().all(|part| message.contains(part))
    });
}

#[test]
fn a_unit_that_runs_is_adopted_and_one_that_leaves_the_file_runs_on() {
    let Some(host) = host() else { return };
    unit(&host, &UNIT.replace("NAME=ollama", "NAME=ollama OLLAMA_KEEP_ALIVE=5m"));
    host.ok(&["systemctl", "start", "ollama"]);
    let run = property(&host, "InvocationID");
    host.converge(&platform(KEEP));
    assert_eq!(property(&host, "InvocationID"), run, "where nothing differs nothing is restarted");
    assert!(!property(&host, "DropInPaths").contains("50-aiplatd.conf"), "and nothing is written");
    host.write(FILE, &platform("    environment: {OLLAMA_KEEP_ALIVE: 10m}"));
    host.wait("the drop-in is there", |host| property(host, "DropInPaths").contains("50-aiplatd.conf"));
    host.wait_ready();
    let run = property(&host, "InvocationID");

    let (head, _) =
        platform("").split_once("  ollama:").map(|(a, b)| (a.to_owned(), b.to_owned())).expect("it is there");
    host.write("/root/without.yaml", &head);
    let plan = host.run(&["aiplatctl", "diff", "--file", "/root/without.yaml"]).said();
    assert!(plan.contains("ollama.service itself is left as it is"), "{plan}");
    host.ok(&["aiplatctl", "apply", "--yes", "--confirm", "--file", "/root/without.yaml"]);
    host.wait("the drop-in is gone", |host| !property(host, "DropInPaths").contains("50-aiplatd.conf"));
    assert_eq!(property(&host, "InvocationID"), run);
    assert_eq!(host.run(&["test", "-e", "/etc/systemd/system/ollama.service.d"]).code, 1);
}

#[test]
fn stop_and_suspend_outlive_a_boot_and_the_rest_comes_up_with_it() {
    let Some(host) = host() else { return };
    host.converge(&platform(""));
    host.reboot();
    host.wait_ready();
    assert_eq!(property(&host, "ActiveState"), "active", "it is not enabled: aiplatd starts it");
    host.ok(&["aiplatctl", "stop", "ollama"]);
    host.reboot();
    word(&host, Word::Stopped);
    host.ok(&["aiplatctl", "start", "ollama"]);
    host.wait_ready();
    host.ok(&["aiplatctl", "suspend", "ollama"]);
    host.ok(&["systemctl", "stop", "ollama"]);
    word(&host, Word::Suspended);
    assert_eq!(property(&host, "ActiveState"), "inactive");
    host.ok(&["aiplatctl", "resume", "ollama"]);
    word(&host, Word::Stopped);
    host.ok(&["aiplatctl", "start", "ollama"]);
    host.wait_ready();
}
