//! Units that the installed aiplatd writes itself, on a real systemd.

use std::time::Instant;

use aiplat_core::condition::{ConditionType, Reason, Status, Word};

use crate::{
    harness::{Host, report},
    units::with_program,
};

const FILE: &str = "/etc/aiplatd/platform.yaml";
const PROGRAM: &str = "/usr/local/bin/agent";
const UNIT_FILE: &str = "/etc/systemd/system/my-agent.service";

/// A unit of ours that says `name`, and a container that needs it; `more` are lines of the unit's entry.
fn platform(name: &str, more: &str) -> String {
    format!(
        r#"
apiVersion: aiplat/v1
name: demo
services:
  agent:
    provider: {{type: systemd, options: {{unit: my-agent}}}}
    command: [{PROGRAM}, serve, NAME={name}, PORT=11434]
    user: nobody
    healthcheck: {{http: {{port: 11434, path: /ready}}, interval: 1s}}
{more}
  web:
    image: aiplat-demo:1
    command: [serve, NAME=web, "UPSTREAMS=agent:11434"]
    depends_on: {{agent: {{condition: service_healthy, restart: true}}}}
    healthcheck: {{http: {{port: 8080, path: /ready}}, interval: 1s}}
"#
    )
}

fn property(host: &Host, unit: &str, name: &str) -> String {
    host.ok(&["systemctl", "show", "--property", name, "--value", unit]).trim().to_owned()
}

fn reloads(host: &Host) -> usize {
    host.ok(&["journalctl", "--unit=aiplatd"]).matches("reload systemd (daemon-reload): ").count()
}

fn says(host: &Host, name: &str) {
    host.wait(&format!("the program says {name}"), |host| {
        let answer = host.run(&["docker", "exec", "demo-web", "/app", "get", "http://agent:11434/"]);
        answer.out.contains(&format!("\"name\":\"{name}\""))
    });
}

#[test]
fn a_unit_of_ours_lives_and_goes_with_its_entry() {
    let Some(host) = with_program(PROGRAM) else { return };
    host.converge(&platform("one", "    environment: {TOKEN: secret-canary}"));
    says(&host, "one");
    assert_eq!((reloads(&host), property(&host, "my-agent", "User").as_str()), (0, "nobody"));
    assert_eq!(property(&host, "my-agent", "NoNewPrivileges"), "yes");
    assert_eq!(host.ok(&["stat", "--format=%a %U", UNIT_FILE]).trim(), "644 root");
    assert!(!host.read(UNIT_FILE).expect("it is written").contains("canary"));
    host.ok(&["systemd-analyze", "verify", "my-agent.service"]);
    assert!(host.ok(&["aiplatctl", "diff"]).contains("othing"), "the second pass plans nothing");

    let run = property(&host, "my-agent", "InvocationID");
    let begun = Instant::now();
    host.write(FILE, &platform("two", "    environment: {TOKEN: secret-canary}"));
    says(&host, "two");
    host.wait_ready();
    report(&format!("edited command of a unit of ours to Ready: {} ms", begun.elapsed().as_millis()));
    let edited = property(&host, "my-agent", "InvocationID");
    assert_ne!(edited, run);
    let starts = host.ok(&["journalctl", "--unit=my-agent", "--output=cat"]).matches(": started").count();
    assert_eq!((reloads(&host), starts), (1, 2), "one reload and one restart for one edit");

    // Another hand on its file: it comes back, and what runs runs on.
    let text = host.read(UNIT_FILE).expect("it is there");
    host.write(UNIT_FILE, &format!("{text}# by hand\n"));
    host.wait("the file is as it was", |host| host.read(UNIT_FILE).as_deref() == Some(&text));
    host.wait_ready();
    assert_eq!(property(&host, "my-agent", "InvocationID"), edited);
    assert!(
        host.ok(&["aiplatctl", "events", "--for", "agent"]).contains("somebody has changed or removed it")
    );

    host.ok(&["systemctl", "kill", "--kill-whom=main", "--signal=KILL", "my-agent"]);
    host.wait("systemd has restarted it", |host| property(host, "my-agent", "InvocationID") != edited);
    host.wait_ready();
    // A crash of the daemon in the middle of an edit.
    host.write(FILE, &platform("three", ""));
    host.wait("the new file is there", |host| {
        host.read(UNIT_FILE).is_some_and(|text| text.contains("NAME=three"))
    });
    host.ok(&["systemctl", "kill", "--kill-whom=main", "--signal=KILL", "aiplatd"]);
    says(&host, "three");
    host.wait_ready();

    host.write(
        "/root/without.yaml",
        "apiVersion: aiplat/v1\nname: demo\nservices: {alone: {image: aiplat-demo:1}}\n",
    );
    host.ok(&["aiplatctl", "apply", "--yes", "--confirm", "--file", "/root/without.yaml"]);
    host.wait("nothing of it is left", |host| property(host, "my-agent", "LoadState") == "not-found");
    assert_eq!(
        (host.read(UNIT_FILE), property(&host, "my-agent", "ActiveState").as_str()),
        (None, "inactive")
    );
}

#[test]
fn a_timer_of_ours_fires_and_a_name_that_is_taken_is_left_alone() {
    let Some(host) = with_program(PROGRAM) else { return };
    let job = |unit: &str| {
        format!(
            "apiVersion: aiplat/v1\nname: demo\nservices:\n  job:\n    provider: {{type: systemd, options: {{unit: {unit}, \
             on_calendar: \"*:*:0/2\"}}}}\n    command: [/usr/bin/touch, /srv/fired]\n"
        )
    };
    let vendors = "/usr/lib/systemd/system/taken.service";
    host.write(vendors, "[Service]\nExecStart=/bin/true\n");
    host.ok(&["systemctl", "daemon-reload"]);
    host.write(FILE, &job("taken"));
    host.wait("the name is taken", |host| {
        let conditions = host.service("job").conditions;
        let mut found = conditions.iter().map(|it| &it.condition);
        found.any(|it| {
            (it.kind, it.status, it.reason) == (ConditionType::NameTaken, Status::True, Reason::NameTaken)
                // As systemd names it: through `/lib`, where that is a link.
                && it.message.contains(vendors.trim_start_matches("/usr"))
        })
    });
    assert_eq!(host.read("/etc/systemd/system/taken.service"), None);

    host.write(FILE, &job("job"));
    host.wait("it has fired", |host| host.read("/srv/fired").is_some());
    host.wait("its service is Ready", |host| host.service("job").status == Word::Ready);
    host.wait("the next run is told", |host| {
        let said = host.ok(&["aiplatctl", "describe", "job"]);
        let told = ["Next run", "Last run", "job.timer (active", "*:*:0/2)"];
        told.iter().all(|words| said.contains(words))
    });
    assert!(host.ok(&["aiplatctl", "get", "services"]).contains("runs next at"));
    host.reboot();
    host.ok(&["rm", "-f", "/srv/fired"]);
    host.wait("it fires after a boot, and is enabled nowhere", |host| host.read("/srv/fired").is_some());
    host.ok(&["aiplatctl", "stop", "job"]);
    // What was last seen of it may be from before it was started.
    host.wait("its timer is stopped", |host| property(host, "job.timer", "ActiveState") == "inactive");
}
