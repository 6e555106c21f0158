//! Units that aiplatd writes itself: their files as text, and what is refused with a sentence.

mod load_support;

use aiplat_core::{
    ResourceId, fingerprint,
    spec::{Hardening, Management, UnitSpec},
};
use load_support::{Disk, codes, platform, with_services};

fn spec(entry: &str) -> UnitSpec {
    platform(&with_services(&format!("  agent: {entry}\n"))).units[&ResourceId::unit("agent")].clone()
}

fn files(entry: &str) -> String {
    let spec = spec(entry);
    let files = spec.unit_files("/var/lib/aiplatd/units/x.env");
    files.iter().map(|(name, text)| format!("--- {name}\n{text}")).collect()
}

/// The line of the unit's file that begins with `key=`.
fn line(entry: &str, key: &str) -> Option<String> {
    let text = files(entry);
    text.lines().find(|line| line.split_once('=').is_some_and(|(name, _)| name == key)).map(str::to_owned)
}

fn refused(entry: &str) -> Vec<&'static str> {
    codes(&with_services(&format!("  agent: {entry}\n")))
}

#[test]
fn the_files_of_a_service_and_of_its_timer() {
    insta::assert_snapshot!(files(
        "{provider: {type: systemd, options: {unit: my-agent, on_calendar: 'Mon..Fri 03:30'}}, command: /usr/bin/agent --all, \
         user: 'agent:gpu', working_dir: /srv/agent, environment: {TOKEN: a}, stop_signal: SIGINT, stop_grace_period: 1m30s}"
    ));
}

#[test]
fn a_unit_of_ours_needs_no_name() {
    let spec = spec("{provider: {type: systemd}, command: [/bin/x]}");
    assert_eq!((spec.unit.as_str(), spec.main()), ("aiplat-agent.service", "aiplat-agent.service"));
    assert_eq!(spec.management, Management::Configure);
    assert_eq!(spec.own.map(|own| own.hardening), Some(Hardening::Default));
}

#[test]
fn a_command_line_reaches_the_program_as_it_is_written() {
    for (command, expected) in [
        ("/bin/x 'a b' \"c\\\"d\"", r#"ExecStart="/bin/x" "a b" "c\"d""#),
        (r"[/bin/x, '100%', 'a\b', '']", r#"ExecStart="/bin/x" "100%%" "a\\b" """#),
        ("[/bin/x, '$$HOME', ';', '@y', \"t\\tb\"]", "ExecStart=\"/bin/x\" \"$$HOME\" \";\" \"@y\" \"t\tb\""),
    ] {
        let entry = format!("{{provider: {{type: systemd}}, command: {command}}}");
        assert_eq!(line(&entry, "ExecStart").as_deref(), Some(expected), "{command}");
    }
}

#[test]
fn who_restarts_it_and_how_it_stops_is_in_its_file() {
    let entry = |more: &str| format!("{{provider: {{type: systemd}}, command: [/bin/x]{more}}}");
    for (more, key, expected) in [
        ("", "Restart", Some("Restart=always")),
        (", restart: unless-stopped", "Restart", Some("Restart=always")),
        (", restart: on-failure", "Restart", Some("Restart=on-failure")),
        (", restart: 'no'", "Restart", Some("Restart=no")),
        ("", "TimeoutStopSec", Some("TimeoutStopSec=10000ms")),
        // 0 is for ever there.
        (", stop_grace_period: 0s", "TimeoutStopSec", Some("TimeoutStopSec=1ms")),
        (", user: '1000'", "User", Some("User=1000")),
        (", user: '1000'", "Group", None),
        ("", "EnvironmentFile", None),
        ("", "ProtectSystem", Some("ProtectSystem=full")),
        (", working_dir: /srv/100%", "WorkingDirectory", Some("WorkingDirectory=/srv/100%%")),
    ] {
        assert_eq!(line(&entry(more), key).as_deref(), expected, "{more} {key}");
    }
    let bare = "{provider: {type: systemd, options: {hardening: none}}, command: [/bin/x]}";
    assert_eq!(line(bare, "NoNewPrivileges"), None);
}

#[test]
fn only_what_a_process_has_from_its_start_needs_a_restart() {
    let print = |more: &str| {
        fingerprint::of(&spec(&format!("{{provider: {{type: systemd}}, command: [/bin/x, a]{more}}}")))
    };
    for same in [", stop_grace_period: 3s", ", stop_signal: INT", ", restart: on-failure"] {
        assert_eq!(print(same), print(""), "{same}");
    }
    for other in [", user: x", ", working_dir: /x", ", environment: {A: b}"] {
        assert_ne!(print(other), print(""), "{other}");
    }
}

#[test]
fn what_cannot_be_written_is_refused_by_name() {
    let provider = "provider: {type: systemd}";
    for (entry, code) in [
        (format!("{{{provider}, command: [agent]}}"), "bad-command"),
        (format!("{{{provider}, command: []}}"), "bad-command"),
        (format!("{{{provider}, command: [/bin/]}}"), "bad-command"),
        (format!("{{{provider}, command: ['/bin/$$x']}}"), "bad-command"),
        (format!("{{{provider}, command: [/bin/x, \"a\\nb\"]}}"), "bad-command"),
        (format!("{{{provider}, command: [/bin/x], management: observe}}"), "not-for-a-unit"),
        (format!("{{{provider}, command: [/bin/x], entrypoint: [/bin/y]}}"), "not-for-a-unit"),
        (format!("{{{provider}, command: [/bin/x], ports: ['80:80']}}"), "not-for-a-unit"),
        (format!("{{{provider}, command: [/bin/x], image: x}}"), "not-for-a-unit"),
        (format!("{{{provider}, command: [/bin/x], restart: 'on-failure:3'}}"), "not-for-a-unit"),
        (format!("{{{provider}}}"), "missing-key"),
        ("{provider: {type: systemd, options: {hardening: strict}}, command: [/bin/x]}".to_owned(), "bad-value"),
        ("{provider: {type: systemd, options: {on_calendar: '30 3 * * *'}}, command: [/bin/x]}".to_owned(), "bad-value"),
        (
            "{provider: {type: systemd, options: {on_calendar: daily}}, command: [/bin/x], restart: always}".to_owned(),
            "not-for-a-unit",
        ),
        (
            "{provider: {type: systemd, options: {on_calendar: daily}}, command: [/bin/x], healthcheck: {tcp: {port: 80}}}"
                .to_owned(),
            "not-for-a-unit",
        ),
    ] {
        assert!(refused(&entry).contains(&code), "{entry}: {:?}", refused(&entry));
    }
}

#[test]
fn every_problem_is_said_at_once() {
    let services = "  agent:\n    provider: {type: systemd, options: {on_calendar: dayly}}\n    command: agent --all\n    \
                    management: observe\n    restart: on-failure:3\n    ports: [\"80:80\"]\n";
    let loaded = Disk::with(with_services(services)).load();
    insta::assert_snapshot!(aiplat_core::load::render(&loaded.diagnostics, &loaded.sources, false, 100));
}

#[test]
fn a_command_that_cannot_be_read_is_one_mistake() {
    let entry = "{provider: {type: systemd}, command: '/bin/x \"open', user: agent}";
    assert_eq!(refused(entry).len(), 1, "{:?}", refused(entry));
}
