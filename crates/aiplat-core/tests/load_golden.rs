//! One whole file, compiled.

mod load_support;

use aiplat_core::{ResourceId, load::render};
use load_support::Disk;

fn five() -> Disk {
    Disk::with(include_str!("fixtures/five.yaml"))
        .and("platform.env", "# variables\nPG_PASSWORD='s3cr$et'\n")
        .and("litellm.env", "export LITELLM_LOG=\"INFO\"\nDEBUG=true\nGREETING=hello world # a comment\nMODEL=${PG_PASSWORD}-$GREETING\n")
}

#[test]
fn five_services_compile_to_this_platform() {
    let loaded = five().load();
    assert_eq!(render(&loaded.diagnostics, &loaded.sources, false, 100), "");
    insta::assert_debug_snapshot!(loaded.platform.expect("the file is right"));
}

#[test]
fn words_that_differ_from_compose_are_listed_apart() {
    let loaded = five().load();
    insta::assert_snapshot!(render(&loaded.differences, &loaded.sources, false, 100));
}

#[test]
fn every_file_read_or_looked_for_is_named_once_the_root_first() {
    let disk = five();
    let loaded = disk.load();
    let read: Vec<String> = loaded.read.iter().map(|path| path.display().to_string()).collect();
    assert_eq!(
        read,
        [
            "/srv/home/platform.yaml",
            "/srv/home/platform.env",
            "/srv/home/litellm.env",
            "/srv/home/absent.env"
        ]
    );
    assert_eq!(loaded.services_profile_off, ["shell"]);
}

#[test]
fn loading_twice_gives_the_same() {
    let (one, two) = (five().load(), five().load());
    assert_eq!(one.platform, two.platform);
    assert_eq!(one.differences, two.differences);
}

#[test]
fn nothing_is_an_empty_platform_only_when_it_says_so() {
    let platform = load_support::platform("apiVersion: aiplat/v1\nname: home\nservices: {}\n");
    assert!(platform.containers.is_empty() && platform.networks.is_empty());
}

#[test]
fn the_default_network_exists_only_for_those_who_use_it() {
    let platform = load_support::platform(&load_support::with_services(
        "  a: {image: x, networks: [b]}\nnetworks: {b: }\n",
    ));
    assert_eq!(platform.networks.keys().collect::<Vec<_>>(), [&ResourceId::network("b")]);
    let platform = load_support::platform(&load_support::with_services("  a: {image: x}\n"));
    assert_eq!(platform.networks[&ResourceId::network("default")].host_name, "home_default");
}

#[test]
fn names_on_the_host_are_compose_s_but_for_the_container() {
    let text = load_support::with_services(
        "  a: {image: x, networks: {default: {aliases: [also, a, cc]}}, volumes: [\"v:/v\", \"w:/w\", \"e:/e\"]}\n  b: {image: x, container_name: cc}\nvolumes: {v: , w: {name: other}, e: {external: true}}\n",
    );
    let platform = load_support::platform(&text);
    let a = &platform.containers[&ResourceId::container("a")];
    assert_eq!(a.host_name, "home-a");
    assert_eq!(a.live.networks[&ResourceId::network("default")].aliases, ["a", "also", "cc"]);
    let volumes: Vec<&str> = a.volumes().map(|(_, name)| name).collect();
    assert_eq!(volumes, ["e", "home_v", "other"]);
    let b = &platform.containers[&ResourceId::container("b")];
    assert_eq!(b.live.networks[&ResourceId::network("default")].aliases, ["b", "cc"]);
}

#[test]
fn a_compose_file_is_taken_with_a_warning_where_the_caller_says_so() {
    let disk = Disk::with("services:\n  web: {image: nginx:1}\n");
    let facts = aiplat_core::load::Facts { accept_compose: true, ..load_support::facts() };
    let loaded = aiplat_core::load::load(std::path::Path::new("/srv/home/platform.yaml"), &disk, &facts);
    assert_eq!(loaded.platform.expect("taken").name, "home");
    let codes: Vec<&str> = loaded.diagnostics.iter().map(|diagnostic| diagnostic.code).collect();
    assert_eq!(codes, ["api-version", "name-missing"]);
}

#[test]
fn the_name_falls_back_as_in_compose() {
    let name = |text: &str, env: &str| {
        Disk::with(text).and(".env", env).load().platform.map(|platform| platform.name)
    };
    let text = "apiVersion: aiplat/v1\nservices: {}\n";
    assert_eq!(name(text, "").as_deref(), Some("home"));
    assert_eq!(name(text, "COMPOSE_PROJECT_NAME=My_Shop\n").as_deref(), Some("y_hop"));
    assert_eq!(
        name("apiVersion: aiplat/v1\nname: ${N}\nservices: {}\n", "N=shop\nCOMPOSE_PROJECT_NAME=other")
            .as_deref(),
        Some("shop")
    );
}
