//! Services that are units of systemd: what compiles, and what is refused with a sentence.

mod load_support;

use aiplat_core::{
    ResourceId,
    spec::{Management, RestartMode},
};
use load_support::{Disk, codes, platform, with_services};

const OLLAMA: &str = "  ollama:\n    provider: {type: systemd, options: {unit: ollama.service}}\n";

fn report(services: &str) -> String {
    let loaded = Disk::with(with_services(services)).load();
    aiplat_core::load::render(&loaded.diagnostics, &loaded.sources, false, 100)
}

#[test]
fn a_unit_is_a_service_without_an_image() {
    let text = with_services(&format!(
        "{OLLAMA}    environment: {{OLLAMA_HOST: 0.0.0.0}}\n    healthcheck: {{http: {{port: 11434, path: /api/tags}}}}\n"
    ));
    let platform = platform(&text);
    let spec = &platform.units[&ResourceId::unit("ollama")];
    assert_eq!((spec.service.as_str(), spec.unit.as_str()), ("ollama", "ollama.service"));
    assert_eq!((spec.management, spec.restart), (Management::Configure, RestartMode::Default));
    assert_eq!(spec.environment_file(), "OLLAMA_HOST=\"0.0.0.0\"\n");
    assert!(spec.probe.is_some());
    assert!(platform.containers.is_empty() && platform.networks.is_empty() && platform.images.is_empty());
    assert!(platform.wants(&ResourceId::systemd()));
}

#[test]
fn a_value_is_written_so_that_systemd_reads_it_back() {
    let text = with_services(&format!(
        "{OLLAMA}    environment:\n      A: 'a \"b\" $$c `d` \\e # f'\n      B: |-\n        two\n        lines\n"
    ));
    let spec = &platform(&text).units[&ResourceId::unit("ollama")];
    assert_eq!(spec.environment_file(), "A=\"a \\\"b\\\" \\$c \\`d\\` \\\\e # f\"\nB=\"two\nlines\"\n");
}

#[test]
fn what_aiplatd_stands_on_is_only_looked_at_and_itself_not_even_that() {
    let with = |unit: &str, more: &str| {
        let text = format!("  base:\n    provider: {{type: systemd, options: {{unit: {unit}}}}}\n{more}");
        (codes(&with_services(&text)), report(&text))
    };
    let observed = "    management: observe\n";
    for unit in [
        "docker",
        "containerd.service",
        "dbus.service",
        "dbus-broker",
        "systemd-journald.service",
        "NetworkManager",
    ] {
        for more in ["", "    management: configure\n", "    management: full\n"] {
            let (codes, report) = with(unit, more);
            assert_eq!(codes, ["not-for-a-unit"], "{unit} {more}");
            assert!(report.contains("write `management: observe`"), "{report}");
        }
        let (codes, _) = with(unit, observed);
        assert_eq!(codes, Vec::<String>::new(), "{unit}");
    }
    for more in ["", observed] {
        let (codes, report) = with("aiplatd", more);
        assert_eq!(codes, ["not-for-a-unit"]);
        assert!(report.contains("which would stop and restart itself"), "{report}");
    }
}

#[test]
fn units_and_containers_depend_on_each_other_and_find_each_other() {
    let text = with_services(&format!(
        "{OLLAMA}    depends_on: [db]\n  db: {{image: x}}\n  web:\n    image: x\n    depends_on: {{ollama: {{condition: service_healthy}}}}\n  alone: {{image: x, extra_hosts: [\"ollama=10.0.0.1\"], depends_on: [ollama]}}\n"
    ));
    let platform = platform(&text);
    let (unit, db) = (ResourceId::unit("ollama"), ResourceId::container("db"));
    assert!(platform.units[&unit].dependencies.contains_key(&db));
    assert_eq!(platform.dependants(&unit).len(), 2);
    let hosts = |name: &str| {
        platform.containers[&ResourceId::container(name)].runtime.options.identity.extra_hosts.clone()
    };
    let pair = |name: &str, address: &str| (name.to_owned(), address.to_owned());
    let gateway = pair("host.docker.internal", "host-gateway");
    assert_eq!(hosts("web"), [pair("ollama", "host-gateway"), gateway.clone()]);
    assert_eq!(hosts("alone"), [pair("ollama", "10.0.0.1"), gateway], "what the file says of a name stands");
    assert_eq!(hosts("db"), []);
}

#[test]
fn what_a_unit_cannot_be_told_is_refused_by_name() {
    for (line, code) in [
        ("image: x", "not-for-a-unit"),
        ("ports: [\"80:80\"]", "not-for-a-unit"),
        ("networks: [default]", "not-for-a-unit"),
        ("volumes: [\"/srv:/srv\"]", "not-for-a-unit"),
        ("entrypoint: [x]", "not-for-a-unit"),
        ("user: nobody", "not-for-a-unit"),
        ("stop_grace_period: 3s", "not-for-a-unit"),
        ("restart: on-failure", "not-for-a-unit"),
        ("healthcheck: {test: [CMD, x]}", "not-for-a-unit"),
        ("healthcheck: {source: engine}", "not-for-a-unit"),
        ("healthcheck: {http: {port: 80}, via: namespace}", "not-for-a-unit"),
        ("management: all", "bad-value"),
    ] {
        let text = with_services(&format!("{OLLAMA}    {line}\n"));
        assert!(codes(&text).contains(&code), "{line}: {}", report(&format!("{OLLAMA}    {line}\n")));
    }
}

#[test]
fn a_provider_that_is_not_whole_is_refused_by_name() {
    for (entry, code) in [
        ("provider: {type: systemd}", "missing-key"),
        ("provider: {options: {unit: x}}", "missing-key"),
        ("provider: {type: launchd, options: {unit: x}}", "bad-value"),
        ("provider: {type: systemd, options: {unit: x.timer}}", "bad-value"),
        ("provider: {type: systemd, options: {unit: \"x@.service\"}}", "bad-value"),
        ("provider: {type: systemd, options: {unit: \"../x\"}}", "bad-value"),
        ("provider: {type: systemd, options: {unit: x, on_calendar: daily}}", "not-for-a-unit"),
        ("provider: {type: systemd, options: {unit: x, hardening: none}}", "not-for-a-unit"),
        ("{image: x, management: full}", "not-for-a-container"),
    ] {
        let text = with_services(&format!(
            "  a: {}\n",
            if entry.starts_with('{') { entry.to_owned() } else { format!("{{{entry}}}") }
        ));
        let found = codes(&text);
        assert!(found.contains(&code), "{entry}: {found:?}");
        assert_eq!(
            found.iter().filter(|it| **it == "missing-key").count(),
            usize::from(code == "missing-key"),
            "{entry}"
        );
    }
}

#[test]
fn two_services_are_not_one_unit() {
    let text = with_services(&format!(
        "{OLLAMA}  other:\n    provider: {{type: systemd, options: {{unit: ollama}}}}\n"
    ));
    assert_eq!(codes(&text), ["name-taken"]);
}

#[test]
fn what_ends_or_is_joined_is_no_unit() {
    let text = with_services(&format!(
        "{OLLAMA}  a: {{image: x, depends_on: {{ollama: {{condition: service_completed_successfully}}}}}}\n"
    ));
    assert_eq!(codes(&text), ["never-completed"]);
    let text = with_services(&format!("{OLLAMA}  a: {{image: x, network_mode: \"service:ollama\"}}\n"));
    assert!(codes(&text).contains(&"not-for-a-unit"), "{:?}", codes(&text));
}

#[test]
fn the_sentences() {
    let services = format!("{OLLAMA}    ports: [\"11434:11434\"]\n    image: ollama/ollama\n");
    insta::assert_snapshot!(report(&services));
}

#[test]
fn a_unit_is_told_of_no_container() {
    let of = |more: &str| {
        report(&format!("  agent:\n    provider: {{type: systemd}}\n    command: /bin/x\n    {more}\n"))
    };
    let folder = of("working_dir: rel");
    assert!(folder.contains("a path is absolute here") && !folder.contains("container"), "{folder}");
    let port = of("healthcheck: {http: {path: /}}");
    assert!(port.contains("write the port at which its program listens"), "{port}");
}
