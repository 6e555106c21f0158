//! The reference is what the code's tables say.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use aiplat_api::metrics::Metric;

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
        let named = metrics_in(expr);
        assert!(!named.is_empty() || expr.starts_with("up{"), "{expr}");
        check_labels(expr, &rule["annotations"].to_string(), "$labels.", &named);
    }
}

/// A panel of a metric that does not exist stays empty, and is taken for good news.
#[test]
fn the_dashboard_shows_only_metrics_and_labels_that_there_are_and_leaves_none_out() {
    let path = repository().join("deploy/grafana/aiplatd.json");
    let text = fs::read_to_string(path).expect("it is there");
    let dashboard: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    let panels = dashboard["panels"].as_array().expect("a list of panels");
    let mut shown = BTreeSet::new();
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let targets = panel["targets"].as_array().expect("a panel shows something");
        assert!(!targets.is_empty(), "{}", panel["title"]);
        for target in targets {
            let expr = target["expr"].as_str().expect("it has an expression");
            let named = metrics_in(expr);
            assert!(!named.is_empty(), "{expr}");
            check_labels(expr, target["legendFormat"].as_str().unwrap_or_default(), "{{", &named);
            shown.extend(named.iter().map(|metric| metric.name));
        }
    }
    // Told by words in tables, not by curves.
    let not_curves = ["service_status", "spec_generation", "volume_measured_seconds"];
    let all = aiplat_api::metrics::METRICS.iter().map(|metric| metric.name);
    let missing: Vec<&str> = all.filter(|name| !shown.contains(name) && !not_curves.contains(name)).collect();
    assert!(missing.is_empty(), "no panel shows {missing:?}");
}

/// The metrics that an expression names; each must be in the table.
fn metrics_in(expr: &str) -> Vec<&'static Metric> {
    let words = expr.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let names = words.filter(|word| word.starts_with("aiplat_"));
    let find = |name: &str| {
        let metric = aiplat_api::metrics::METRICS.iter().find(|metric| metric.full_name() == name);
        metric.unwrap_or_else(|| panic!("{name} is in no table"))
    };
    names.map(find).collect()
}

/// Labels that an expression asks for, and those that a text shows after `mark`, are those of its metrics.
fn check_labels(expr: &str, said: &str, mark: &str, metrics: &[&Metric]) {
    let has = |label: &str| metrics.iter().any(|metric| metric.labels.contains(&label));
    let inside = expr.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(inside, _)| inside);
    for matcher in inside.filter(|_| !metrics.is_empty()).flat_map(|inside| inside.split(',')) {
        let label = matcher.trim().split(['=', '!', '~']).next().unwrap_or_default();
        assert!(has(label), "{expr}: there is no label {label}");
    }
    for label in said.split(mark).skip(1).map(|rest| rest.split([' ', '}']).next().unwrap_or_default()) {
        assert!(has(label), "{said}: {expr} has no label {label}");
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
