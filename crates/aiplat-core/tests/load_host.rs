//! `host:` and `tier:`: what they mean on which machine, and what is refused with a sentence.

mod load_support;

use std::path::Path;

use aiplat_core::{
    ResourceId,
    load::{load, render},
    spec::{DiskPressure, DockerSpec, Platform},
    tier::Capacity,
};
use load_support::{Disk, facts, platform};

const GIB: u64 = 1 << 30;

/// What `text` is on a machine with so much memory, of itself and of its largest GPU.
fn on(text: &str, ram: u64, vram: u64) -> Platform {
    let disk = Disk::with(text);
    let capacity = Some(Capacity { vram: vram * GIB, ram: ram * GIB, cpus: 8 });
    let loaded =
        load(Path::new("/srv/home/platform.yaml"), &disk, &aiplat_core::load::Facts { capacity, ..facts() });
    loaded.platform.unwrap_or_else(|| panic!("{}", render(&loaded.diagnostics, &loaded.sources, false, 110)))
}

const TIERED: &str = "apiVersion: aiplat/v1
name: home
services:
  always: {image: x}
  large: {image: x, profiles: [performance]}
  small: {image: x, profiles: [minimal, standard]}
";

fn services(platform: &Platform) -> Vec<&str> {
    platform.containers.keys().map(ResourceId::key).collect()
}

#[test]
fn the_tier_of_the_machine_is_an_active_profile() {
    assert_eq!(services(&on(TIERED, 64, 24)), ["always", "large"]);
    assert_eq!(services(&on(TIERED, 64, 0)), ["always", "small"]);
    assert_eq!(services(&on(TIERED, 16, 8)), ["always", "small"]);
}

#[test]
fn a_machine_that_is_not_known_has_no_tier() {
    let platform = platform(TIERED);
    assert_eq!((services(&platform), &platform.host.tier), (vec!["always"], &None));
}

#[test]
fn the_files_own_rules_and_its_own_word_go_first() {
    let ruled = TIERED.replace(
        "services:",
        "host: {tiers: [{name: performance, ram: 8GiB, cpus: 4}, {name: minimal}]}\nservices:",
    );
    let tier = |platform: &Platform| platform.host.tier.clone().map(|tier| (tier.name, tier.because));
    let platform = on(&ruled, 16, 0);
    assert_eq!(services(&platform), ["always", "large"]);
    let because = "the machine has at least 8 GiB of memory and 4 threads".to_owned();
    assert_eq!(tier(&platform), Some(("performance".to_owned(), because)));
    let named = TIERED.replace("services:", "tier: minimal\nservices:");
    assert_eq!(services(&on(&named, 64, 24)), ["always", "small"]);
    assert_eq!(
        services(&load_support::platform(&named)),
        ["always", "small"],
        "also where the machine is not known"
    );
}

#[test]
fn shares_of_a_disk_are_percentages() {
    let text = TIERED.replace("services:", "host: {disk_pressure: {warn: 12.5%, stop_pulls: 3%}}\nservices:");
    assert_eq!(platform(&text).host.disk_pressure, DiskPressure { warn: 125, stop_pulls: 30 });
    let text = TIERED.replace("services:", "host: {disk_pressure: {warn: 2%}}\nservices:");
    let pressure = platform(&text).host.disk_pressure;
    assert_eq!(
        pressure,
        DiskPressure { warn: 20, stop_pulls: 20 },
        "pulls do not stop before anybody is warned"
    );
    assert_eq!(platform(TIERED).host.disk_pressure, DiskPressure { warn: 100, stop_pulls: 50 });
}

#[test]
fn the_engine_is_taken_charge_of_only_where_the_file_says_so() {
    let docker = |said: &str| {
        platform(&TIERED.replace("services:", &format!("host: {{docker: {said}}}\nservices:"))).host.docker
    };
    assert_eq!(platform(TIERED).host.docker, None);
    assert_eq!(docker("{manage: false}"), None);
    assert_eq!(docker("{}"), None);
    assert_eq!(docker("{manage: true}"), Some(DockerSpec { nvidia: false }));
    assert_eq!(docker("{manage: true, nvidia: true}"), Some(DockerSpec { nvidia: true }));
    let seen = load_support::seen(&Disk::with(
        TIERED.replace("services:", "host: {docker: {nvidia: true}}\nservices:"),
    ));
    assert!(seen.contains("nothing is added to daemon.json without `manage: true`"), "{seen}");
}

#[test]
fn everything_that_is_wrong_with_it_comes_at_once() {
    insta::assert_snapshot!(load_support::seen(&Disk::with(
        "apiVersion: aiplat/v1
name: home
tier: huge
host:
  disk_pressure: {warn: 5%, stop_pulls: 80%, stop: 1}
  tiers:
    - {name: big, vram: 0, ram: lots}
    - {vram: 8GiB}
    - {name: big, cpus: 0}
    - {name: '-x'}
  domain: ai.example.org
services: {}
"
    )));
}
