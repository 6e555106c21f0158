//! The reference is what the code's tables say.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::support::tool::run;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// `cargo xtask docs` sets it: the pages are written instead of compared.
const WRITE: &str = "AIPLAT_WRITE_DOCS";

#[test]
fn every_page_of_the_reference_is_as_the_tables_say() {
    let folder = repository().join("docs/reference");
    for (name, text) in aiplatctl::reference::pages() {
        let path = folder.join(name);
        if std::env::var_os(WRITE).is_some() {
            fs::write(&path, &text).expect("it can be written");
        }
        let there = fs::read_to_string(&path).unwrap_or_default();
        assert!(there == text, "docs/reference/{name} is stale: run `cargo xtask docs`");
    }
}

/// An alert on a metric that does not exist never fires, and nobody notices.
#[test]
fn alerts_name_only_metrics_and_labels_that_there_are() {
    let path = repository().join("deploy/prometheus/aiplatd.rules.yml");
    let text = fs::read_to_string(path).expect("it is there");
    let rules: serde_json::Value = serde_saphyr::from_str(&text).expect("it is YAML");
    let rules = rules["groups"][0]["rules"].as_array().expect("a list of rules");
    assert!(rules.len() > 10, "{}", rules.len());
    for rule in rules {
        let expr = rule["expr"].as_str().expect("it has an expression");
        let Some(name) =
            expr.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').find(|it| it.starts_with("aiplat_"))
        else {
            assert!(expr.starts_with("up{"), "{expr}");
            continue;
        };
        let metric = aiplat_api::metrics::METRICS.iter().find(|metric| metric.full_name() == name);
        let labels = metric.unwrap_or_else(|| panic!("{name} is in no table")).labels;
        let matchers =
            expr.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or("", |(inside, _)| inside);
        for matcher in matchers.split(',').filter(|it| !it.is_empty()) {
            let label = matcher.trim().split(['=', '!', '~']).next().unwrap_or_default();
            assert!(labels.contains(&label), "{expr}: {name} has no label {label}");
        }
        let said = rule["annotations"].to_string();
        for label in
            said.split("$labels.").skip(1).map(|rest| rest.split([' ', '}']).next().unwrap_or_default())
        {
            assert!(labels.contains(&label), "{said}: {name} has no label {label}");
        }
    }
}

#[test]
fn no_example_gets_a_warning() {
    for entry in fs::read_dir(repository().join("examples")).expect("it can be listed") {
        let example = entry.expect("it can be read").path().join("platform.yaml");
        if !example.is_file() {
            continue;
        }
        let folder = example.parent().expect("it lies in a folder");
        let run = run(
            &folder.join("none.sock"),
            folder,
            &["validate", "-f", &example.to_string_lossy(), "-o", "short"],
        );
        assert_eq!((run.code, run.out.as_str()), (Some(0), ""), "{}", example.display());
    }
}

/// What a package puts in place has its services commented out; they have to be right all the same.
#[test]
fn the_starter_is_valid_as_it_is_and_with_its_comments_taken_away() {
    let starter =
        fs::read_to_string(repository().join("examples/starter/platform.yaml")).expect("it is there");
    let (head, services) = starter.split_once("services: {}\n").expect("it begins with nothing");
    let bare = |line: &str| line.strip_prefix("# ").or(line.strip_prefix('#')).unwrap_or(line).to_owned();
    let services: Vec<String> = services.lines().map(bare).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("platform.yaml");
    fs::write(&file, format!("{head}{}\n", services.join("\n"))).expect("it can be written");
    fs::write(folder.path().join(".env"), "PG_PASSWORD=mellon-17\n").expect("it can be written");
    let run =
        run(&folder.path().join("none.sock"), folder.path(), &["validate", "-f", &file.to_string_lossy()]);
    let said = format!("{}{}", run.out, run.err);
    assert_eq!(run.code, Some(0), "{said}");
    assert!(said.contains("is valid: 2 services") && !said.contains("warning"), "{said}");
}

#[test]
fn explain_tells_of_keys_words_and_lints() {
    let folder = tempfile::tempdir().expect("a folder");
    let explain = |topic: &[&str]| {
        let run = run(&folder.path().join("none.sock"), folder.path(), &[&["explain"], topic].concat());
        (run.code, format!("{}{}", run.out, run.err))
    };
    let cases: [(&str, &[&str]); 12] = [
        ("services.healthcheck", &["services.*.healthcheck", "Its keys:", "start_period"]),
        ("healthcheck", &["services.*.healthcheck", "Its keys:"]),
        (
            "services.web.healthcheck.http.port",
            &["The port at which it listens: inside the container, or on the host for a unit."],
        ),
        ("services.*.ports[].target", &["The port inside the container."]),
        ("services.build", &["Refused: aiplatd runs images and builds none"]),
        ("driver_opts", &["Several keys are called so", "networks.*.driver_opts", "volumes.*.driver_opts"]),
        (
            "CrashLoop",
            &[
                "a word of the column STATUS",
                "a condition; False is the normal status",
                "a reason of a condition",
            ],
        ),
        ("porttaken", &["PortTaken (a reason of a condition)", "held by somebody else"]),
        ("floating-tag", &["Instead:  Name a version", "allow: [floating-tag]"]),
        ("lints", &["default-password", "single-file-bind"]),
        ("reasons", &["WaitingForDependencies"]),
        ("conditions", &["DependenciesReady"]),
    ];
    for (topic, parts) in cases {
        let (code, text) = explain(&[topic]);
        assert_eq!(code, Some(0), "{topic}: {text}");
        for part in parts {
            assert!(text.contains(part), "{topic}: {part}: {text}");
        }
    }
    let (code, text) = explain(&[]);
    assert!(code == Some(0) && text.contains("services") && text.contains("lints"), "{text}");
    for (wrong, near) in
        [("services.helthcheck", "healthcheck"), ("CrashLop", "CrashLoop"), ("floatingtags", "floating-tag")]
    {
        let (code, text) = explain(&[wrong]);
        assert!(code == Some(2) && text.contains(near), "{wrong}: {code:?} {text}");
    }
}
