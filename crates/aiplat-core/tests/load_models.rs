//! Top-level `models:`: what compiles, and what is refused with a sentence.

mod load_support;

use aiplat_core::{ResourceId, tier::Capacity};
use load_support::{Disk, codes, facts, platform, seen, with_services};

const OLLAMA: &str = "  ollama: {image: \"ollama/ollama:0.5.7\"}\n";

fn with(models: &str) -> String {
    format!("{}models:\n{models}", with_services(OLLAMA))
}

#[test]
fn a_model_is_served_by_a_container_or_by_a_unit() {
    let unit = "  host: {provider: {type: systemd, options: {unit: ollama.service}}}\n";
    let text = format!(
        "{}models:\n  chat: {{model: \"llama3.1:8b\", runner: ollama}}\n  embed: {{model: nomic-embed-text, runner: host}}\n",
        with_services(&format!("{OLLAMA}{unit}"))
    );
    let models = platform(&text).models;
    let of = |key: &str| {
        let spec = &models[&ResourceId::model(key)];
        (spec.model.to_string(), spec.runner.to_string())
    };
    assert_eq!(of("chat"), ("llama3.1:8b".to_owned(), "container/ollama".to_owned()));
    assert_eq!(of("embed"), ("nomic-embed-text:latest".to_owned(), "unit/host".to_owned()));
}

#[test]
fn a_profile_switches_a_model_on_and_the_tier_is_one() {
    let text = with(
        "  chat: {model: \"llama3.1:8b\", runner: ollama, profiles: [standard, performance]}\n  \
           small: {model: \"llama3.2:3b\", runner: ollama, profiles: [minimal]}\n  \
           embed: {model: nomic-embed-text, runner: ollama}\n",
    );
    let names = |capacity| {
        let facts = aiplat_core::load::Facts { capacity, ..facts() };
        let root = std::path::Path::new("/srv/home/platform.yaml");
        let loaded = aiplat_core::load::load(root, &Disk::with(&text), &facts);
        let models = loaded.platform.expect("it is good").models;
        models.keys().map(|id| id.key().to_owned()).collect::<Vec<_>>().join(" ")
    };
    let gib = |vram: u64, ram: u64| Some(Capacity { vram: vram << 30, ram: ram << 30, cpus: 8 });
    assert_eq!(names(None), "embed");
    assert_eq!(names(gib(24, 64)), "chat embed");
    assert_eq!(names(gib(0, 8)), "embed small");
}

#[test]
fn a_gate_may_wait_for_a_model() {
    let text = format!(
        "{}gates:\n  AIReady: [ollama, model/embed]\n",
        with("  embed: {model: nomic-embed-text, runner: ollama}\n")
    );
    let members = &platform(&text).gates["AIReady"];
    assert_eq!(members, &[ResourceId::container("ollama"), ResourceId::model("embed")]);
    for (member, code) in [("model/embde", "unknown-member"), ("model/off", "member-left-out")] {
        let models = "  embed: {model: nomic-embed-text, runner: ollama}\n  off: {model: x, runner: ollama, profiles: [x]}\n";
        assert_eq!(codes(&format!("{}gates:\n  AIReady: [{member}]\n", with(models))), [code], "{member}");
    }
}

#[test]
fn what_cannot_be_a_model_is_refused() {
    for (line, expected) in [
        ("chat: {model: \"llama3.1:8b\", runner: ollama}", &[][..]),
        ("chat: {model: \"llama3.1:8b\", runner: olama}", &["unknown-service"]),
        ("chat: {model: \"llama3.1:8b\"}", &["missing-key"]),
        ("chat: {runner: ollama}", &["missing-key"]),
        ("chat: {}", &["missing-key", "missing-key"]),
        ("chat:", &["no-value"]),
        ("chat: llama3.1", &["wrong-type"]),
        ("chat: {model: \"a b\", runner: ollama}", &["bad-value"]),
        ("chat: {model: \"x@sha256:00\", runner: ollama}", &["bad-value"]),
        ("\"a b\": {model: x, runner: ollama}", &["bad-name"]),
        ("chat: {model: x, runner: ollama, profile: [a]}", &["unknown-key"]),
        // Compose's words are known, whatever becomes of them.
        ("chat: {model: x, runner: ollama, context_size: 4096}", &["not-supported"]),
        ("chat: {model: x, runner: ollama, runtime_flags: [\"-x\"]}", &["refused-key"]),
        ("chat: {model: x, runner: ollama, name: y}", &["ignored-key"]),
        ("chat: {model: x, runner: ollama, x-mine: 1}", &[]),
    ] {
        assert_eq!(codes(&with(&format!("  {line}\n"))), expected, "{line}");
    }
}

#[test]
fn the_same_model_twice_on_one_server_is_a_slip_and_under_other_profiles_it_is_none() {
    let two = |one: &str, other: &str| {
        with(&format!(
            "  a: {{model: \"X\", runner: ollama{one}}}\n  b: {{model: \"registry.ollama.ai/library/x:latest\", runner: ollama{other}}}\n"
        ))
    };
    assert_eq!(codes(&two("", "")), ["model-twice"]);
    assert_eq!(codes(&two(", profiles: [p]", ", profiles: [q]")), Vec::<&str>::new());
    let elsewhere = format!(
        "{}models:\n  a: {{model: x, runner: ollama}}\n  b: {{model: x, runner: other}}\n",
        with_services(&format!("{OLLAMA}  other: {{image: \"ollama/ollama:0.5.7\"}}\n"))
    );
    assert_eq!(codes(&elsewhere), Vec::<&str>::new());
}

#[test]
fn a_model_whose_server_is_left_out_is_left_out_and_that_is_said() {
    let text = format!(
        "{}models:\n  chat: {{model: x, runner: ollama}}\n",
        with_services("  ollama: {image: \"ollama/ollama:0.5.7\", profiles: [gpu]}\n")
    );
    assert_eq!(codes(&text), ["model-left-out"]);
    assert!(Disk::with(&text).load().platform.expect("it is good").models.is_empty());
    let timer = "  ollama:\n    provider: {type: systemd, options: {unit: x.service, on_calendar: daily}}\n    command: [\"/usr/bin/x\"]\n";
    let text = format!("{}models:\n  chat: {{model: x, runner: ollama}}\n", with_services(timer));
    assert_eq!(codes(&text), ["bad-runner"]);
}

#[test]
fn all_of_it_is_said_at_once_with_its_places() {
    let text = with(
        "  chat: {model: \"llama3.1:8b\"}\n  \
           code: {model: \"codellama:13b:x\", runner: olama}\n  \
           embed: {model: nomic-embed-text, runner: ollama, context_size: 8192}\n  \
           again: {model: \"nomic-embed-text:latest\", runner: ollama}\n",
    );
    insta::assert_snapshot!(seen(&Disk::with(text)));
}
