//! Half-written, random and hostile files: never a panic, never a smaller platform than was meant, never slow.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "how long a bomb takes is what is tested"
)]

mod load_support;

use std::time::{Duration, Instant};

use load_support::{Disk, codes};
use proptest::prelude::*;

const FILE: &str = "\
apiVersion: aiplat/v1
name: home
networks: {back: {}}
volumes: {data: {}}
services:
  db:
    image: postgres:16
    networks: [back]
    volumes: [\"data:/var/lib/postgresql/data\"]
    healthcheck: {tcp: {port: 5432}}
  web:
    image: \"nginx:1.27\"
    networks: [back]
    ports:
      - \"8080:80\"
    depends_on:
      db: {condition: service_healthy}
gates: {CoreReady: [db, web]}
";

/// A prefix is taken only where it is a complete file of its own. Nobody can tell that apart from a deliberate one,
/// which is why removals wait for the file to be quiet, and a large one for a person.
#[test]
fn a_prefix_is_taken_only_where_it_is_complete_yaml_that_lists_its_services() {
    let mut taken = Vec::new();
    for end in 0..=FILE.len() {
        let prefix = &FILE[..end];
        let loaded = Disk::with(prefix).load();
        assert_eq!(loaded.platform.is_none(), loaded.has_errors(), "{prefix}");
        if let Some(platform) = loaded.platform {
            let listed = ["  db:", "  web:"].iter().filter(|name| prefix.contains(**name)).count();
            assert_eq!(platform.containers.len(), listed, "{prefix}");
            let (line, at) = (prefix.lines().count(), prefix.lines().last().unwrap_or_default());
            taken.push(format!("{line:>2} {at}{}", if prefix.ends_with('\n') { "\\n" } else { "" }));
        }
    }
    insta::assert_snapshot!(taken.join("\n"));
}

#[test]
fn bombs_are_defused_at_once() {
    let laughs = |levels: usize, width: usize| {
        let mut text = "x-0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
        for level in 1..levels {
            let uses = vec![format!("*a{}", level - 1); width].join(", ");
            text.push_str(&format!("x-{level}: &a{level} [{uses}]\n"));
        }
        text + "services: {}\n"
    };
    let nested = |open: &str, close: &str, depth: usize| {
        format!("services: {}{}\n", open.repeat(depth), close.repeat(depth))
    };
    let merges = "x-a: &a {k: v}\nservices:\n".to_owned()
        + &(0..1_500).map(|n| format!("  s{n}: {{<<: *a}}\n")).collect::<String>();
    let anchors = (0..60).map(|n| format!("{}a{n}: &a{n}\n", " ".repeat(n))).collect::<String>()
        + &" ".repeat(60)
        + "x: ["
        + &"1, ".repeat(50_000)
        + "1]\n";
    let table = [
        ("billion laughs", laughs(9, 9), "file-too-complex"),
        ("two laughs, wide", laughs(3, 900), "file-too-complex"),
        ("brackets", nested("[", "]", 20_000), "file-too-complex"),
        ("braces", nested("{a: ", "}", 20_000), "file-too-complex"),
        ("open brackets", "[".repeat(1 << 20), "file-too-complex"),
        ("dashes", "- ".repeat(1 << 20), "file-too-complex"),
        ("aliases", merges, "file-too-complex"),
        ("nested anchors", anchors, "file-too-complex"),
        ("values", format!("x: [{}]\n", "1,".repeat(300_000)), "file-too-complex"),
        (
            "services",
            "services:\n".to_owned()
                + &(0..2_001).map(|n| format!("  s{n}: {{image: x}}\n")).collect::<String>(),
            "too-many-services",
        ),
        (
            "dollars",
            format!("services: {{a: {{image: \"{}\"}}}}\n", "$".repeat((1 << 20) + 1)),
            "interpolation",
        ),
        (
            "defaults",
            format!("services: {{a: {{image: \"{}x{}\"}}}}\n", "${A:-".repeat(100_000), "}".repeat(100_000)),
            "interpolation",
        ),
        (
            "a chain",
            "apiVersion: aiplat/v1\nname: a\nservices:\n".to_owned()
                + &(0..2_000)
                    .map(|n| format!("  s{n}: {{image: x, depends_on: [s{}]}}\n", (n + 1) % 2_000))
                    .collect::<String>(),
            "dependency-cycle",
        ),
    ];
    for (name, text, code) in table {
        let start = Instant::now();
        let found = codes(&text);
        let took = start.elapsed();
        assert!(found.contains(&code), "{name}: {found:?}");
        assert!(took < Duration::from_secs(5), "{name} took {took:?}");
        println!("{name:>20} {took:?} {} diagnostics", found.len());
    }
}

#[test]
fn variables_do_not_multiply_without_end() {
    let env = format!("A={}\n", "x".repeat(1 << 20));
    let text = format!(
        "apiVersion: aiplat/v1\nname: a\nservices: {{a: {{image: x, command: \"{}\"}}}}\n",
        "$A".repeat(1_000)
    );
    let loaded = Disk::with(text).and(".env", env).load();
    assert!(loaded.diagnostics.iter().any(|diagnostic| diagnostic.code == "file-too-complex"));
    let start = Instant::now();
    let doubling = "A0=xxxxxxxxxxxxxxxx\n".to_owned()
        + &(1..40).map(|n| format!("A{n}=$A{0}$A{0}\n", n - 1)).collect::<String>();
    let loaded = Disk::with("apiVersion: aiplat/v1\nname: a\nservices: {}\n").and(".env", doubling).load();
    assert!(loaded.has_errors() && start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn thousands_of_mistakes_are_cut_short() {
    let text = "apiVersion: aiplat/v1\nname: a\nservices:\n".to_owned()
        + &(0..1_900).map(|n| format!("  s{n}: {{imgae: x}}\n")).collect::<String>();
    let loaded = Disk::with(text).load();
    assert_eq!(loaded.diagnostics.len(), 501);
    assert_eq!(loaded.diagnostics[0].message, "there are 1400 more problems than these 500");
}

#[test]
fn two_thousand_services_load_in_time_to_watch() {
    let text = "apiVersion: aiplat/v1\nname: a\nservices:\n".to_owned()
        + &(0..2_000)
            .map(|n| {
                let needs = if n == 0 { String::new() } else { format!(", depends_on: [s{}]", n / 2) };
                format!(
                    "  s{n}: {{image: \"x:{n}\", ports: [\"{}:80\"], environment: {{A: \"{n}\"}}{needs}}}\n",
                    10_000 + n
                )
            })
            .collect::<String>();
    let start = Instant::now();
    let loaded = Disk::with(text).load();
    let took = start.elapsed();
    // s0 and s1 both lead to s0.
    assert!(loaded.platform.is_some(), "{:?}", loaded.diagnostics.first());
    println!("2,000 services: {took:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
}

/// Whatever comes in: no panic, and a platform exactly where there is no error.
fn survives(bytes: &[u8]) {
    let disk = Disk::with(bytes).and(".env", bytes);
    let loaded = disk.load();
    assert_eq!(loaded.platform.is_none(), loaded.has_errors());
    let rendered = aiplat_core::load::render(&loaded.diagnostics, &loaded.sources, false, 80);
    assert_eq!(rendered.is_empty(), loaded.diagnostics.is_empty());
    let _ = aiplat_core::load::render(&loaded.diagnostics, &loaded.sources, true, 20);
    let _ = aiplat_core::load::render(&loaded.differences, &loaded.sources, false, 200);
    for diagnostic in &loaded.diagnostics {
        if let Some(location) = &diagnostic.location {
            let text = &loaded.sources.get(&diagnostic.file).expect("read").text;
            assert!(text.get(location.span.clone()).is_some(), "{diagnostic}");
        }
    }
}

fn yamlish() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "apiVersion",
        "aiplat/v1",
        "name",
        "services",
        "networks",
        "volumes",
        "gates",
        "image",
        "ports",
        "depends_on",
        "healthcheck",
        "environment",
        "command",
        "test",
        "http",
        "port",
        "80:80",
        "v:/v",
        "&a",
        "*a",
        "<<",
        "!!str",
        "!reset",
        "|",
        ">-",
        "~",
        "null",
        "true",
        "${A}",
        "${A:-b}",
        "$",
        "$$",
        "${",
        "\"",
        "'",
        "a b",
        "é",
        "10s",
        "1g",
        "-",
        "- ",
        "? ",
        ": ",
        ":",
        ",",
        "[",
        "]",
        "{",
        "}",
        "\n",
        "\n  ",
        "\n    ",
        "\n      ",
        "\t",
        "# c",
        "---",
        "...",
        "%YAML 1.2",
        "\\",
        "@",
        "\u{0}",
        "\u{feff}",
        "\r\n",
        "x-a",
        "restart",
        "always",
        "web",
        "db",
        "/etc",
        "CMD",
        "interval",
        "deploy",
        "resources",
        "limits",
        "default",
        "external",
        "ipam",
        "config",
        "subnet",
    ]);
    prop::collection::vec(word, 0..60).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        survives(&bytes);
    }

    #[test]
    fn random_yaml_does_no_harm(text in yamlish()) {
        survives(text.as_bytes());
    }

    #[test]
    fn a_good_file_with_a_random_wound_does_no_harm(at in 0..FILE.len(), cut in 0..20_usize, put in yamlish()) {
        let end = (at + cut).min(FILE.len());
        survives(format!("{}{put}{}", &FILE[..at], &FILE[end..]).as_bytes());
    }

    #[test]
    fn a_five_service_file_with_a_lost_line_does_no_harm(line in 0..100_usize, other in 0..100_usize) {
        let lines: Vec<&str> = include_str!("fixtures/five.yaml").lines().collect();
        let kept: Vec<&str> = lines.iter().enumerate().filter(|(at, _)| *at != line && *at != other).map(|(_, line)| *line).collect();
        survives(kept.join("\n").as_bytes());
    }
}
