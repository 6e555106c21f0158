//! Overlays and included files: what they come to, and what a person sees when they do not fit.

mod load_support;

use std::path::Path;

use aiplat_core::spec::Platform;
use load_support::{Disk, seen};

const BASE: &str = "\
apiVersion: aiplat/v1
name: home
services:
  web:
    image: nginx:1
    command: [nginx, -g, daemon off]
    environment: {A: base, B: base}
    ports: [\"8080:80\", \"8443:443\"]
    volumes: [\"./html:/html\", \"data:/data\"]
    labels: [tier=front]
    depends_on: [db]
    healthcheck: {test: [CMD, curl], interval: 5s, retries: 7}
  db:
    image: postgres:17
volumes: {data: {}}
gates: {CoreReady: [db]}
";

fn with_overlay(overlay: &str) -> Disk {
    Disk::with(BASE).and("platform.yaml.d/10-prod.yaml", overlay)
}

fn taken(disk: &Disk) -> Platform {
    let loaded = disk.load();
    loaded.platform.unwrap_or_else(|| panic!("{}", seen(disk)))
}

fn web(platform: &Platform) -> &aiplat_core::spec::ContainerSpec {
    platform.containers.values().find(|spec| spec.service == "web").expect("it is there")
}

fn ports(platform: &Platform) -> Vec<(Option<u16>, u16)> {
    web(platform).runtime.ports.iter().map(|port| (port.host_port, port.container_port)).collect()
}

/// `(target, source)`, in order.
fn mounts(platform: &Platform) -> Vec<String> {
    web(platform).runtime.mounts.iter().map(|mount| format!("{} {:?}", mount.target, mount.source)).collect()
}

#[test]
fn mappings_are_merged_and_single_values_replaced() {
    let platform =
        taken(&with_overlay("services: {web: {image: nginx:2, environment: {B: prod, C: prod}}}\n"));
    assert_eq!(web(&platform).runtime.image, "nginx:2");
    let environment: Vec<String> =
        web(&platform).runtime.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(environment, ["A=base", "B=prod", "C=prod"]);
}

#[test]
fn lists_and_mappings_of_the_same_things_are_merged_by_name() {
    let overlay = "services: {web: {environment: [B=prod, C=prod], labels: {tier: back, x: y}, depends_on: {db: {condition: service_started, restart: true}}}}\n";
    let platform = taken(&with_overlay(overlay));
    let runtime = &web(&platform).runtime;
    assert_eq!(runtime.environment["A"], "base");
    assert_eq!((runtime.environment["B"].as_str(), runtime.environment["C"].as_str()), ("prod", "prod"));
    assert_eq!((runtime.labels["tier"].as_str(), runtime.labels["x"].as_str()), ("back", "y"));
    assert!(web(&platform).policy.dependencies.values().all(|edge| edge.restart));
}

#[test]
fn commands_and_tests_are_replaced_as_a_whole() {
    let overlay = "services: {web: {command: [nginx-debug], healthcheck: {test: [CMD, wget]}}}\n";
    let platform = taken(&with_overlay(overlay));
    assert_eq!(web(&platform).runtime.command.as_deref(), Some(&["nginx-debug".to_owned()][..]));
    let probe = web(&platform).policy.probe.clone().expect("it has one");
    assert!(format!("{probe:?}").contains("wget") && !format!("{probe:?}").contains("curl"), "{probe:?}");
    assert_eq!(probe.retries, 7, "the rest of the healthcheck stays");
}

#[test]
fn another_probe_takes_the_place_of_the_one_below() {
    let platform = taken(&with_overlay("services: {web: {healthcheck: {tcp: {port: 80}}}}\n"));
    let probe = web(&platform).policy.probe.clone().expect("it has one");
    assert!(format!("{:?}", probe.kind).contains("Tcp"), "{probe:?}");
}

#[test]
fn ports_are_joined_and_mounts_replaced_by_their_target() {
    let overlay = "services: {web: {ports: [\"9090:90\", {target: 80, published: 8080}], volumes: [{type: tmpfs, target: /data}, \"./more:/more/\"]}}\n";
    let disk = with_overlay(overlay);
    let platform = taken(&disk);
    assert_eq!(ports(&platform), [(Some(8080), 80), (Some(8443), 443), (Some(9090), 90)]);
    let mounts = mounts(&platform);
    assert!(mounts[0].starts_with("/data Tmpfs") && mounts[1].contains("/srv/home/html"), "{mounts:?}");
    assert!(
        mounts[2].contains("/srv/home/more"),
        "an overlay's paths are relative to the platform: {mounts:?}"
    );
}

#[test]
fn reset_takes_away_and_override_replaces() {
    let overlay = "services: {web: {ports: !override [\"1:1\"], command: !reset null, environment: {A: !reset }, volumes: !reset []}}\n";
    let platform = taken(&with_overlay(overlay));
    assert_eq!(ports(&platform), [(Some(1), 1)]);
    assert_eq!(web(&platform).runtime.command, None);
    assert_eq!(web(&platform).runtime.environment.keys().collect::<Vec<_>>(), ["B"]);
    assert_eq!(web(&platform).runtime.mounts, []);
}

#[test]
fn reset_takes_away_what_an_anchor_brings_within_one_file() {
    let text = "apiVersion: aiplat/v1\nname: home\nx-base: &base {image: nginx:1, ports: [\"80:80\"]}\nservices:\n  web: {<<: *base, ports: !reset []}\n";
    assert_eq!(ports(&taken(&Disk::with(text))), []);
}

#[test]
fn nothing_behind_a_key_takes_nothing_away() {
    assert_eq!(ports(&taken(&with_overlay("services: {web: {ports: }}\n"))).len(), 2);
}

#[test]
fn overlays_come_in_lexical_order_and_only_the_yaml_files_among_them() {
    let disk = Disk::with(BASE)
        .and("platform.yaml.d/20.yaml", "services: {web: {image: nginx:20}}\n")
        .and("platform.yaml.d/100.yaml", "services: {web: {image: nginx:100}}\n")
        .and("platform.yaml.d/30.yaml.bak", "no yaml: [\n")
        .and("platform.yaml.d/.40.yaml", "no yaml: [\n")
        .and("platform.yaml.d/README", "no yaml: [\n");
    assert_eq!(web(&taken(&disk)).runtime.image, "nginx:20");
    assert!(!disk.asked.borrow().iter().any(|path| path.ends_with("README")));
}

#[test]
fn an_overlay_may_name_the_variables_and_uses_those_of_the_platform() {
    let disk = Disk::with(BASE)
        .and("platform.yaml.d/a.yaml", "env_file: [prod.env]\nservices: {web: {image: \"nginx:${TAG}\"}}\n")
        .and("prod.env", "TAG=7\n");
    assert_eq!(web(&taken(&disk)).runtime.image, "nginx:7");
}

const INCLUDING: &str = "apiVersion: aiplat/v1\nname: home\ninclude: [db/compose.yaml, {path: [web/a.yaml, web/b.yaml], project_directory: web/here, env_file: web.env}]\nservices: {}\n";

fn including() -> Disk {
    Disk::with(INCLUDING)
        .and("db/compose.yaml", "name: other\nservices: {db: {image: \"postgres:${TAG}\", volumes: [\"./init:/init\", \"data:/data\"]}}\nvolumes: {data: {}}\n")
        .and("db/.env", "TAG=17\n")
        .and("web/a.yaml", "include: [\"../../more/c.yaml\"]\nservices: {web: {image: \"nginx:${TAG}\", volumes: [\"./html:/html\"], environment: [SHARED]}}\n")
        .and("web/b.yaml", "services: {web: {ports: [\"80:80\"], depends_on: [db, cache]}}\n")
        .and("web.env", "TAG=1.29\nSHARED=theirs\n")
        .and(".env", "SHARED=ours\n")
        .and("more/c.yaml", "services: {cache: {image: redis:7}}\n")
}

#[test]
fn an_included_file_has_paths_and_variables_of_its_own() {
    let disk = including();
    let platform = taken(&disk);
    let runtime = &web(&platform).runtime;
    assert_eq!(runtime.image, "nginx:1.29");
    assert_eq!(runtime.environment["SHARED"], "ours", "the platform has the last word");
    assert!(mounts(&platform)[0].contains("/srv/home/web/here/html"), "{:?}", mounts(&platform));
    let all: Vec<&str> = platform.containers.values().map(|spec| spec.service.as_str()).collect();
    assert_eq!(all, ["cache", "db", "web"]);
    assert_eq!(platform.name, "home");
    let db = platform.containers.values().find(|spec| spec.service == "db").expect("it is there");
    assert_eq!(db.runtime.image, "postgres:17");
    assert!(format!("{:?}", db.runtime.mounts).contains("/srv/home/db/init"));
    let read = disk.load().read;
    for file in ["db/compose.yaml", "db/.env", "web/a.yaml", "web/b.yaml", "web.env", "more/c.yaml"] {
        assert!(read.contains(&Path::new("/srv/home").join(file)), "{file} is watched");
    }
}

#[test]
fn two_files_may_include_a_third_and_declare_the_same_network() {
    let disk = Disk::with(
        "apiVersion: aiplat/v1\nname: home\ninclude: [a.yaml, b.yaml]\nservices: {}\nnetworks: {back: {}}\n",
    )
    .and("a.yaml", "include: [c.yaml]\nservices: {a: {image: x:1, networks: [back]}}\nnetworks: {back: }\n")
    .and("b.yaml", "include: [c.yaml]\nservices: {b: {image: x:1, networks: [back]}}\nnetworks: {back: {}}\n")
    .and("c.yaml", "services: {c: {image: x:1}}\n");
    assert_eq!(taken(&disk).containers.len(), 3);
}

#[test]
fn an_overlay_changes_what_is_included() {
    let disk = including().and("platform.yaml.d/a.yaml", "services: {db: {image: postgres:18}}\n");
    let platform = taken(&disk);
    assert!(platform.containers.values().any(|spec| spec.runtime.image == "postgres:18"));
}

macro_rules! refused {
    ($($name:ident: $disk:expr;)*) => { $(
        #[test]
        fn $name() {
            insta::assert_snapshot!(seen(&$disk));
        }
    )* };
}

fn include(entry: &str) -> Disk {
    Disk::with(format!(
        "apiVersion: aiplat/v1\nname: home\ninclude: [{entry}]\nservices: {{web: {{image: nginx:1}}}}\n"
    ))
}

refused! {
    mistakes_are_shown_in_the_overlay_that_makes_them: with_overlay("services:\n  web:\n    prots: [\"80:80\"]\n    depends_on: [cache]\n  db: {restart: sometimes}\n");
    an_overlay_that_is_no_yaml: with_overlay("services: {web: [\n");
    an_empty_overlay: with_overlay("# nothing\n");
    an_overlay_that_is_a_list: with_overlay("- services\n");
    a_reset_of_nothing: with_overlay("services: {web: {prots: !reset []}}\n");
    an_overlay_that_ends_in_yml: Disk::with(BASE).and("platform.yaml.d/10-prod.yml", "services: {}\n");
    a_folder_of_overlays_that_cannot_be_listed: Disk { denied: vec!["/srv/home/platform.yaml.d".into()], ..Disk::with(BASE) };
    a_name_in_two_files: include("other.yaml").and("other.yaml", "services:\n  web: {image: httpd:2}\n");
    a_network_that_is_two_things: Disk::with("apiVersion: aiplat/v1\nname: home\ninclude: [other.yaml]\nservices: {}\nnetworks: {back: {internal: true}}\n").and("other.yaml", "networks: {back: {}}\n");
    a_mistake_in_an_included_file: include("db/compose.yaml").and("db/compose.yaml", "services:\n  db:\n    image: \"postgres:${TAG}\"\n    restart: sometimes\n");
    an_include_that_is_missing: include("nowhere.yaml");
    an_include_that_cannot_be_read: Disk { denied: vec!["/srv/home/db.yaml".into()], ..include("db.yaml") };
    a_file_that_includes_itself: include("a.yaml").and("a.yaml", "include: [b.yaml]\n").and("b.yaml", "include: [a.yaml]\n");
    a_remote_include: include("\"https://github.com/example/stack.git\", \"oci://registry.example.org/stack:1\"");
    sections_that_belong_to_the_platform: include("other.yaml").and("other.yaml", "reconcile: {mode: observe}\nenv_file: [x.env]\nservces: {}\n");
    entries_that_say_the_wrong_thing: include("{file: a.yaml}, {path: b.yaml, projct_directory: x}, [c.yaml]").and("b.yaml", "services: {}\n");
    a_file_included_with_two_sets_of_variables: include("a.yaml, {path: a.yaml, env_file: x.env}").and("a.yaml", "services: {a: {image: x:1}}\n").and("x.env", "A=1\n");
}

#[test]
fn files_without_end_are_refused() {
    let mut disk = include("f0.yaml");
    for number in 0..200 {
        let next = number + 1;
        disk = disk.and(&format!("f{number}.yaml"), format!("include: [f{next}.yaml]\n"));
    }
    let codes: Vec<&str> = disk.load().diagnostics.iter().map(|it| it.code).collect();
    assert_eq!(codes, ["file-too-complex"]);

    let entries: Vec<String> = (0..200).map(|number| format!("w{number}.yaml")).collect();
    let mut disk = include(&entries.join(", "));
    for entry in &entries {
        disk = disk.and(entry, "services: {}\n");
    }
    assert!(disk.load().has_errors());
    let large = format!("services: {{}}\nx-large: [{}]\n", "1, ".repeat(90_000));
    let disk =
        include("a.yaml, b.yaml, c.yaml").and("a.yaml", &large).and("b.yaml", &large).and("c.yaml", &large);
    let codes: Vec<&str> = disk.load().diagnostics.iter().map(|it| it.code).collect();
    assert_eq!(codes, ["file-too-complex"]);
}

#[test]
fn the_file_of_the_platform_may_not_be_written_through_any_of_its_parts() {
    let disk = Disk::with("apiVersion: aiplat/v1\nname: home\ninclude: [parts/a.yaml]\nservices: {web: {image: x:1, volumes: [\"./parts:/parts\", \"./platform.yaml.d:/d\"]}}\n")
        .and("parts/a.yaml", "services: {}\n");
    let codes: Vec<&str> = disk.load().diagnostics.iter().map(|it| it.code).collect();
    assert_eq!(codes, ["host-access", "host-access"]);
}
