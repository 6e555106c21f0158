//! Licences, sources, bans and duplicates of all dependencies, from `cargo metadata`.
//!
//! What cargo-deny does, without its downloads. Advisories are not checked: their database is a git fetch.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use crate::docker::{items, text};
use crate::process::{self, stdout_of};
use crate::spdx;

/// The rules, from `licences/policy.txt`.
#[derive(Debug, Default, PartialEq)]
struct Policy {
    licences: BTreeSet<String>,
    sources: BTreeSet<String>,
    bans: BTreeMap<String, String>,
    duplicates: BTreeMap<String, String>,
}

/// Checks everything and reports all problems at once; says how much was checked.
pub fn check(root: &Path) -> Result<String> {
    let policy = parse_policy(include_str!("../licences/policy.txt"))?;
    let metadata = metadata(root, &["--locked"])
        .context("if Cargo.lock is out of date: `cargo build`, and commit Cargo.lock")?;
    let problems = problems(&policy, &metadata);
    if problems.is_empty() {
        return Ok(format!("{} packages", items(&metadata, "packages").len()));
    }
    for problem in &problems {
        println!("  {problem}");
    }
    bail!("{} problems with dependencies; the rules are in crates/xtask/licences/policy.txt", problems.len())
}

/// `cargo metadata`; with `--locked` it also says whether Cargo.lock is up to date.
pub fn metadata(root: &Path, flags: &[&str]) -> Result<Value> {
    let mut cargo = process::cargo();
    cargo.current_dir(root).args(["metadata", "--format-version", "1"]).args(flags);
    let json = stdout_of(&mut cargo, Duration::from_secs(300))?;
    serde_json::from_str(&json).context("cargo metadata did not answer in JSON")
}

fn parse_policy(rules: &str) -> Result<Policy> {
    let mut policy = Policy::default();
    for (index, line) in rules.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = || anyhow!("policy.txt line {}: `{line}` is no rule with its reason", index + 1);
        let (verb, subject) = line.split_once(' ').ok_or_else(wrong)?;
        match verb {
            "allow" => drop(policy.licences.insert(subject.to_owned())),
            "source" => drop(policy.sources.insert(subject.to_owned())),
            "ban" | "duplicate" => {
                let (name, reason) = subject.split_once(' ').ok_or_else(wrong)?;
                let rules = if verb == "ban" { &mut policy.bans } else { &mut policy.duplicates };
                rules.insert(name.to_owned(), reason.to_owned());
            }
            _ => return Err(wrong()),
        }
    }
    Ok(policy)
}

fn problems(policy: &Policy, metadata: &Value) -> Vec<String> {
    let packages = items(metadata, "packages");
    let mut problems: Vec<String> =
        packages.iter().flat_map(|package| package_problems(policy, package)).collect();
    problems.extend(duplicate_problems(policy, &shipped_versions(metadata)));
    problems
}

fn package_problems(policy: &Policy, package: &Value) -> Vec<String> {
    let name = text(package, "name");
    let title = format!("{name} {}", text(package, "version"));
    let licence = package["license"].as_str();
    let mut problems = Vec::new();
    match licence.map(|licence| spdx::is_satisfied(licence, &|id| policy.licences.contains(id))) {
        Some(Ok(true)) => {}
        Some(Ok(false)) => {
            problems.push(format!("{title}: licence `{}` is not allowed", licence.unwrap_or_default()))
        }
        Some(Err(error)) => problems.push(format!("{title}: {error}")),
        None => problems.push(format!("{title}: names no licence")),
    }
    // A package without a source is a member of this workspace, or a path dependency of one.
    if let Some(source) = package["source"].as_str()
        && !policy.sources.contains(source)
    {
        problems.push(format!("{title}: comes from `{source}`, which is not allowed"));
    }
    if let Some(reason) = policy.bans.get(name) {
        problems.push(format!("{title}: banned: {reason}"));
    }
    problems
}

/// The versions of every crate that is linked into our Linux binaries: normal dependencies only.
fn shipped_versions(metadata: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let nodes: BTreeMap<&str, &Value> =
        items(&metadata["resolve"], "nodes").iter().map(|node| (text(node, "id"), node)).collect();
    let mut todo: Vec<&str> = items(metadata, "packages")
        .iter()
        .filter(|package| is_product(package))
        .map(|p| text(p, "id"))
        .collect();
    let mut seen = BTreeSet::new();
    while let Some(id) = todo.pop() {
        if seen.insert(id)
            && !is_proc_macro(metadata, id)
            && let Some(node) = nodes.get(id)
        {
            todo.extend(
                items(node, "deps").iter().filter(|edge| is_shipped(edge)).map(|edge| text(edge, "pkg")),
            );
        }
    }
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in items(metadata, "packages").iter().filter(|package| seen.contains(text(package, "id"))) {
        versions
            .entry(text(package, "name").to_owned())
            .or_default()
            .insert(text(package, "version").to_owned());
    }
    versions
}

/// Runs in the compiler: it is not linked, nor is what it needs.
fn is_proc_macro(metadata: &Value, id: &str) -> bool {
    let package = items(metadata, "packages").iter().find(|package| text(package, "id") == id);
    let targets = package.map_or(&[][..], |package| items(package, "targets"));
    targets.iter().any(|target| items(target, "kind").iter().any(|kind| kind == "proc-macro"))
}

fn is_product(package: &Value) -> bool {
    package["source"].is_null() && matches!(text(package, "name"), "aiplatd" | "aiplatctl")
}

fn is_shipped(edge: &Value) -> bool {
    let foreign = |target: &str| {
        ["windows", "macos", "wasm", "redox", "hermit", "apple"].iter().any(|os| target.contains(os))
    };
    items(edge, "dep_kinds")
        .iter()
        .any(|kind| kind["kind"].is_null() && !kind["target"].as_str().is_some_and(foreign))
}

fn duplicate_problems(policy: &Policy, versions: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let duplicated = |name: &str| versions.get(name).is_some_and(|versions| versions.len() > 1);
    let new = versions.iter().filter(|(name, _)| duplicated(name) && !policy.duplicates.contains_key(*name));
    let describe = |(name, versions): (&String, &BTreeSet<String>)| {
        let versions: Vec<&str> = versions.iter().map(String::as_str).collect();
        format!(
            "{name}: linked in versions {}; unify them, or accept it with a reason",
            versions.join(" and ")
        )
    };
    let settled = policy.duplicates.keys().filter(|name| !duplicated(name));
    let stale =
        settled.map(|name| format!("{name}: is linked once by now; remove its line `duplicate {name}`"));
    new.map(describe).chain(stale).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn policy() -> Policy {
        parse_policy("allow MIT\nsource registry+crates\nban serde_yaml frozen\nduplicate y known").unwrap()
    }

    fn package(name: &str, licence: &str, source: &str) -> Value {
        json!({"name": name, "version": "1.0.0", "id": name, "license": licence, "source": source})
    }

    #[test]
    fn our_own_policy_is_well_formed() {
        assert!(parse_policy(include_str!("../licences/policy.txt")).unwrap().licences.contains("MIT"));
        assert!(parse_policy("ban openssl").is_err(), "a ban owes a reason");
    }

    #[test]
    fn licence_source_and_ban_are_each_reported() {
        assert!(package_problems(&policy(), &package("good", "MIT", "registry+crates")).is_empty());
        let bad = package_problems(&policy(), &package("serde_yaml", "GPL-3.0", "git+https://example.org"));
        assert_eq!(bad.len(), 3, "{bad:?}");
    }

    #[test]
    fn a_second_linked_version_is_reported_and_a_dev_one_is_not() {
        let edge = |id: &str, kind: Value| json!({"pkg": id, "dep_kinds": [{"kind": kind, "target": null}]});
        let metadata = json!({
            "packages": [
                {"name": "aiplatd", "version": "0.1.0", "id": "aiplatd", "source": null},
                {"name": "x", "version": "1.0.0", "id": "x1"}, {"name": "x", "version": "2.0.0", "id": "x2"},
                {"name": "y", "version": "1.0.0", "id": "y1"}, {"name": "y", "version": "2.0.0", "id": "y2"}],
            "resolve": {"nodes": [{"id": "aiplatd", "deps":
                [edge("x1", Value::Null), edge("x2", Value::Null), edge("y1", Value::Null), edge("y2", json!("dev"))]}]},
        });
        let problems = duplicate_problems(&policy(), &shipped_versions(&metadata));
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].starts_with("x: linked in versions 1.0.0 and 2.0.0"), "{problems:?}");
        assert!(problems[1].starts_with("y: is linked once by now"), "{problems:?}");
    }
}
