//! The text gate: what must not be written in this repository, whatever compiles.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// A rule about lines of text.
struct Rule {
    name: &'static str,
    applies_to: fn(&str) -> bool,
    breaks: fn(&str) -> bool,
    instead: &'static str,
}

// Written in pieces, so that this file does not break its own rules.
const TODO: &str = concat!("todo", "!(");
const IGNORE: &str = concat!("#[ign", "ore]");
const SHELL: &str = concat!("sh", " -c");

const RULES: [Rule; 3] = [
    Rule {
        name: "todo",
        applies_to: is_rust,
        breaks: |line| line.contains(TODO),
        instead: "finish it, or open an issue",
    },
    Rule {
        name: "ignored-test",
        applies_to: is_rust,
        breaks: |line| line.contains(IGNORE),
        instead: "give the reason: #[ignore = \"...\"]",
    },
    Rule {
        name: "shell",
        applies_to: is_product_code,
        breaks: runs_a_shell,
        instead: "argv only; for a container's own shell end the line with `// gate: shell: why`",
    },
];

/// Hosts that anybody may be pointed at: the public registries themselves.
const PUBLIC: [&str; 12] = [
    "crates.io",
    "docs.rs",
    "github.com",
    "githubusercontent.com",
    "debian.org",
    "ubuntu.com",
    "canonical.com",
    "pypi.org",
    "pythonhosted.org",
    "docker.com",
    "docker.io",
    "rust-lang.org",
];

/// Checks every text file of the repository; reports all findings at once.
pub fn check(root: &Path) -> Result<String> {
    let files = files(root)?;
    let mirrors = machine_mirrors();
    let mut findings = Vec::new();
    for path in &files {
        let Ok(text) = std::fs::read_to_string(path) else { continue };
        let name = path.strip_prefix(root).unwrap_or(path).to_string_lossy();
        findings.extend(findings_in(&name, &text, &mirrors));
    }
    if findings.is_empty() {
        return Ok(format!("{} files", files.len()));
    }
    for finding in &findings {
        println!("  {finding}");
    }
    bail!("{} lines that must not be there", findings.len())
}

fn findings_in(name: &str, text: &str, mirrors: &BTreeSet<String>) -> Vec<String> {
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for rule in RULES.iter().filter(|rule| (rule.applies_to)(name)) {
            let waived = line.contains(&format!("gate: {}: ", rule.name));
            if (rule.breaks)(line) && !waived {
                findings.push(format!("{name}:{}: {}: {}", index + 1, rule.name, rule.instead));
            }
        }
        // The host is not repeated in the message: it must not spread into logs either.
        if mirrors.iter().any(|mirror| line.contains(mirror.as_str())) {
            findings.push(format!(
                "{name}:{}: mirror: the name of this machine's package mirror; remove it",
                index + 1
            ));
        }
    }
    findings
}

fn is_rust(name: &str) -> bool {
    name.ends_with(".rs")
}

fn is_product_code(name: &str) -> bool {
    is_rust(name)
        && name.starts_with("crates/")
        && !name.starts_with("crates/xtask/")
        && !name.contains("/tests")
}

/// `sh -c` as one string, or as two neighbouring arguments. Comments may talk about it.
fn runs_a_shell(line: &str) -> bool {
    let code = line.trim_start();
    if code.starts_with("//") {
        return false;
    }
    code.contains(SHELL) || (code.contains("sh\"") && code.contains("\"-c\""))
}

fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries =
            std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let kind = entry.file_type()?;
            let skipped = [".git", "target"].iter().any(|name| entry.file_name() == *name);
            if kind.is_dir() && !skipped {
                folders.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The hosts that this machine fetches packages from, other than the public ones. Read from its configuration: a
/// list of them in here would be the leak that this gate is about.
fn machine_mirrors() -> BTreeSet<String> {
    let home = std::env::var("HOME").unwrap_or_default();
    let cargo = std::env::var("CARGO_HOME").unwrap_or_else(|_| format!("{home}/.cargo"));
    let mut text = String::new();
    let mut paths: Vec<PathBuf> =
        ["config.toml", "config"].iter().map(|name| Path::new(&cargo).join(name)).collect();
    paths.extend(["/etc/pip.conf".into(), "/etc/apt/sources.list".into(), "/etc/apt/apt.conf".into()]);
    paths.extend([format!("{home}/.config/pip/pip.conf").into(), format!("{home}/.npmrc").into()]);
    for folder in ["/etc/apt/sources.list.d", "/etc/apt/apt.conf.d"] {
        paths.extend(std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()));
    }
    for path in paths {
        text.push_str(&std::fs::read_to_string(path).unwrap_or_default());
        text.push('\n');
    }
    let is_registry = |name: &str| {
        ["_PROXY", "_INDEX_URL", "_REGISTRY", "RUSTUP_DIST_SERVER", "RUSTUP_UPDATE_ROOT"]
            .iter()
            .any(|end| name.to_uppercase().ends_with(end))
    };
    for (_, value) in std::env::vars().filter(|(name, _)| is_registry(name)) {
        text.push_str(&value);
        text.push('\n');
    }
    hosts(&text)
}

/// The hosts of all URLs in the text that are neither public nor this machine itself.
fn hosts(text: &str) -> BTreeSet<String> {
    let uncommented = text.lines().filter(|line| !line.trim_start().starts_with(['#', '/']));
    let after_scheme = uncommented.flat_map(|line| line.split("://").skip(1));
    let host = |rest: &str| {
        let authority = rest.split(['/', '"', '\'', ' ', ';', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default().split(':').next().unwrap_or_default();
        host.to_owned()
    };
    let is_public =
        |host: &str| PUBLIC.iter().any(|public| host == *public || host.ends_with(&format!(".{public}")));
    // A bare address is no name, and documentation is full of them.
    let is_address = |host: &str| host.chars().all(|c| c.is_ascii_digit() || c == '.');
    let is_local = |host: &str| !host.contains('.') || is_address(host);
    after_scheme.map(host).filter(|host| !is_public(host) && !is_local(host)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, line: &str) -> usize {
        findings_in(name, line, &BTreeSet::from(["mirror.example.net".to_owned()])).len()
    }

    #[test]
    fn each_rule_finds_its_line_where_it_applies() {
        assert_eq!(found("crates/aiplatd/src/a.rs", &format!("    {TODO})")), 1);
        assert_eq!(found("tests/tests/a.rs", IGNORE), 1);
        assert_eq!(found("crates/aiplatd/src/a.rs", &format!("run(\"{SHELL} x\")")), 1);
        assert_eq!(found("crates/aiplatd/src/a.rs", "[\"/bin/sh\", \"-c\", script]"), 1);
        assert_eq!(found("crates/xtask/src/a.rs", &format!("run(\"{SHELL} x\")")), 0);
        assert_eq!(found("crates/aiplatd/src/a.rs", &format!("// never `{SHELL}` on the host")), 0);
    }

    #[test]
    fn a_line_may_waive_a_rule_with_a_reason() {
        let line = "[\"/bin/sh\", \"-c\"] // gate: shell: the container's own shell, as Compose's CMD-SHELL means it";
        assert_eq!(found("crates/aiplat-core/src/a.rs", line), 0);
    }

    #[test]
    fn a_mirror_is_found_in_any_file() {
        assert_eq!(found("docs/a.md", "see https://mirror.example.net/x"), 1);
        assert_eq!(found("docs/a.md", "see https://crates.io"), 0);
    }

    #[test]
    fn hosts_are_those_of_urls_that_are_not_public() {
        let text = "URIs: http://deb.debian.org/debian\n# http://old.example.org\nindex-url = https://u:p@proxy.example.org:8443/simple\nx = \"http://localhost:80\"";
        assert_eq!(hosts(text), BTreeSet::from(["proxy.example.org".to_owned()]));
    }
}
