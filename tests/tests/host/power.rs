//! The machine goes down and comes up again.

use std::collections::BTreeMap;

use crate::{
    PLATFORM,
    harness::{Host, report},
};

/// The moments in `State` of the services' containers, by service.
fn moments(host: &Host, field: &str) -> BTreeMap<String, String> {
    let moment = |it: &serde_json::Value| it["State"][field].as_str().unwrap_or_default().to_owned();
    host.containers()
        .iter()
        .map(|(name, it)| (name.trim_start_matches("demo-").to_owned(), moment(it)))
        .collect()
}

/// What the journal of this boot and those before says of stops, oldest first.
fn stopped(host: &Host) -> Vec<String> {
    let journal = host.ok(&["journalctl", "--unit=aiplatd", "--no-pager", "--output=cat"]);
    let stops =
        journal.lines().filter(|line| line.contains("the machine goes down") && line.contains("service="));
    stops.filter_map(|line| Some(line.split("service=\"").nth(1)?.split('"').next()?.to_owned())).collect()
}

#[test]
fn a_shutdown_stops_the_services_in_order_and_a_boot_starts_them_in_order() {
    let Some(host) = Host::boot() else { return };
    host.install("current.deb");
    host.converge(PLATFORM);
    let before = host.runs();
    let took = host.reboot();
    let begun = std::time::Instant::now();
    host.wait_ready();
    report(&format!("poweroff with four services: {} ms", took.as_millis()));
    report(&format!("systemd is up to everything is Ready: {} ms", begun.elapsed().as_millis()));

    let order = stopped(&host);
    let place =
        |name: &str| order.iter().position(|it| it == name).unwrap_or_else(|| panic!("{name}: {order:?}"));
    assert!(place("web") < place("api") && place("api") < place("db"), "{order:?}");
    assert_eq!(order.len(), 4, "each once: {order:?}");

    let started = moments(&host, "StartedAt");
    assert!(started["db"] < started["api"] && started["api"] < started["web"], "{started:?}");
    for (name, run) in host.runs() {
        assert_ne!(before[&name], run, "{name} runs anew");
    }
    // The same containers, and nobody is blamed for having ended.
    let status = host.status().expect("it answers");
    assert!(status.services.iter().all(|it| it.restarts == 0), "{:#?}", status.services);
}

/// `web` needs a unit that aiplatd writes.
const WITH_A_UNIT: &str = "apiVersion: aiplat/v1
name: demo
services:
  agent:
    provider: {type: systemd, options: {unit: agent.service}}
    command: [/bin/sleep, infinity]
  web:
    image: aiplat-demo:1
    command: [serve, NAME=web]
    depends_on: {agent: {condition: service_started}}
";

#[test]
fn a_unit_of_our_own_ends_after_the_containers_that_need_it_and_starts_before_them() {
    let Some(host) = Host::boot() else { return };
    host.install("current.deb");
    host.converge(WITH_A_UNIT);
    host.reboot();
    host.wait_ready();
    let units = ["journalctl", "--unit=aiplatd", "--unit=agent", "--no-pager", "--output=cat"];
    let journal = host.ok(&units);
    let place = |words: [&str; 2]| {
        let lines: Vec<&str> = journal.lines().collect();
        let line = lines.iter().rposition(|line| words.iter().all(|word| line.contains(word)));
        line.unwrap_or_else(|| panic!("{words:?}: {journal}"))
    };
    let (web, agent) = (
        place(["the machine goes down", "service=\"web\""]),
        place(["Stopped agent.service", "of platform.yaml"]),
    );
    assert!(web < agent, "the unit ends last: {journal}");
}

#[test]
fn without_the_daemon_the_machine_goes_down_and_what_was_stopped_stays_so() {
    let Some(host) = Host::boot() else { return };
    host.install("current.deb");
    host.converge(PLATFORM);
    host.ok(&["aiplatctl", "stop", "web"]);
    host.ok(&["systemctl", "stop", "aiplatd"]);
    host.reboot();
    host.wait("the others are ready again", |host| {
        host.status()
            .is_some_and(|it| it.platform.sentence.starts_with("demo: 3 of 4 services ready, web Stopped"))
    });
    assert!(!host.runs().contains_key("demo-web"));
}
