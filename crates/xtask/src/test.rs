//! `cargo xtask test`: everything that CI checks, as named steps with their times.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use crate::docker::{Docker, items, text};
use crate::engine::{self, Consent};
use crate::foreign::{self, Foreign};
use crate::leaks::Snapshot;
use crate::process::{self, capture, command, run};
use crate::step::{Outcome, Steps};
use crate::{image, licences, package, reference, sources, testhost};

/// Every step, in the order in which they run: cheap ones first.
pub const STEPS: [&str; 15] = [
    "tools", "fmt", "licences", "sources", "clippy", "docs", "engine", "image", "unit", "doc", "binaries",
    "contract", "e2e", "host", "leaks",
];
/// The steps of `cargo xtask check`.
pub const QUICK: [&str; 4] = ["fmt", "clippy", "docs", "unit"];
const BYSTANDER: &str = "xtask-test-bystander";
const TESTS_PACKAGE: &str = "aiplat-tests";

/// What `--only` selects, with what that needs.
pub fn select(only: &[String]) -> Result<Vec<&'static str>> {
    let wanted = |name: &str| only.is_empty() || only.iter().any(|word| word == name);
    if let Some(unknown) = only.iter().find(|word| !STEPS.contains(&word.as_str())) {
        bail!("no step is called `{unknown}`; there are: {}", STEPS.join(", "));
    }
    let on_engine = ["contract", "e2e", "host"].into_iter().any(wanted);
    let needed = |name: &str| match name {
        "engine" => on_engine || wanted("image") || wanted("leaks"),
        "image" => on_engine || wanted("leaks"),
        "leaks" => on_engine,
        "binaries" => wanted("e2e"),
        _ => false,
    };
    Ok(STEPS.into_iter().filter(|name| wanted(name) || needed(name)).collect())
}

/// Runs the selected steps; true if none failed.
pub fn test(root: &Path, selected: &[&'static str], consent: Consent) -> Result<bool> {
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    let mut steps = Steps::new(ci);
    let mut bench = Bench::default();
    for &name in selected {
        steps.run(name, || bench.step(root, name, consent));
    }
    if let Some(docker) = &bench.docker {
        foreign::remove(docker, BYSTANDER)?;
    }
    Ok(steps.finish())
}

/// What the steps on the engine share.
#[derive(Default)]
struct Bench {
    docker: Option<Docker>,
    before: Option<(Snapshot, Foreign)>,
}

impl Bench {
    fn step(&mut self, root: &Path, name: &str, consent: Consent) -> Result<Outcome> {
        let said = match name {
            "tools" => tools()?,
            "fmt" => cargo(root, &["fmt", "--all", "--check"])?,
            "licences" => licences::check(root)?,
            "sources" => sources::check(root)?,
            "clippy" => cargo(root, &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?,
            "docs" => reference::check(root)?,
            "unit" => unit(root, self.docker.is_some())?,
            "doc" => cargo(root, &["test", "--workspace", "--doc"])?,
            "binaries" => cargo(root, &["build", "--package", "aiplatd", "--package", "aiplatctl"])?,
            "engine" => {
                let (docker, version) = engine::ensure(consent)?;
                self.docker = Some(docker);
                version
            }
            "image" | "contract" | "e2e" | "host" | "leaks" => return self.engine_step(root, name, consent),
            other => bail!("no step is called `{other}`"),
        };
        Ok(Outcome::Passed(said))
    }

    fn engine_step(&mut self, root: &Path, name: &str, consent: Consent) -> Result<Outcome> {
        let Some(docker) = self.docker.clone() else {
            return Ok(Outcome::Skipped("no container engine answers, see the step `engine`".into()));
        };
        let said = match name {
            "image" => {
                let said = image::import(&docker, &image::build(root)?)?;
                let bystander = Foreign::start(&docker, BYSTANDER)?;
                self.before = Some((Snapshot::take(&docker)?, bystander));
                said
            }
            "leaks" => self.leaks(&docker)?,
            "host" => host(root, &docker, consent)?,
            suite => engine_tests(root, suite, &[])?,
        };
        Ok(Outcome::Passed(said))
    }

    fn leaks(&self, docker: &Docker) -> Result<String> {
        let (before, bystander) =
            self.before.as_ref().context("there is no snapshot of before: `image` failed")?;
        bystander.check_untouched(docker)?;
        let differences = before.differences(&Snapshot::take(docker)?);
        if differences.is_empty() {
            return Ok(format!("{} objects as before; the image {} stays", before.len(), image::REPOSITORY));
        }
        differences.iter().for_each(|line| println!("  {line}"));
        bail!("the engine is not as it was: {}", differences.join("; "))
    }
}

fn tools() -> Result<String> {
    let mut found = Vec::new();
    for (verb, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        let installed = || capture(process::cargo().args([verb, "--version"]), Duration::from_secs(60));
        if !installed()?.ok() {
            if process::find("rustup").is_none() {
                bail!("cargo {verb} is missing: install the component {component} of your Rust toolchain");
            }
            run(command("rustup").args(["component", "add", component]))?;
        }
        found.push(installed()?.stdout.trim().to_owned());
    }
    found.push(if has_nextest() {
        "nextest".to_owned()
    } else {
        "no nextest, cargo test instead".to_owned()
    });
    Ok(found.join(", "))
}

fn has_nextest() -> bool {
    capture(process::cargo().args(["nextest", "--version"]), Duration::from_secs(60))
        .is_ok_and(|found| found.ok())
}

fn cargo(root: &Path, arguments: &[&str]) -> Result<String> {
    run(process::cargo().current_dir(root).args(arguments))?;
    Ok(String::new())
}

/// The test targets of the package `aiplat-tests`, by whether they need an engine.
#[derive(Debug, Default, PartialEq)]
struct Targets {
    engine: Vec<String>,
    plain: Vec<String>,
}

fn targets(metadata: &Value) -> Targets {
    let package = items(metadata, "packages").iter().find(|package| text(package, "name") == TESTS_PACKAGE);
    let tests = package.map_or(&[][..], |package| items(package, "targets"));
    let names = tests.iter().filter(|target| items(target, "kind").iter().any(|kind| kind == "test"));
    let (engine, plain) =
        names.map(|target| text(target, "name").to_owned()).partition(|name| needs_engine(name));
    Targets { engine, plain }
}

fn needs_engine(target: &str) -> bool {
    ["contract", "host", "systemd"].contains(&target) || target.starts_with("e2e")
}

/// The tests of the crates too have a few that want an engine: with one at hand they must not pass without it.
fn unit(root: &Path, with_engine: bool) -> Result<String> {
    let targets = targets(&licences::metadata(root, &[])?);
    let cargo = |arguments: &[&str]| {
        let mut cargo = process::cargo();
        cargo.current_dir(root).args(arguments);
        if with_engine {
            cargo.env("AIPLAT_ENGINE_TESTS", "required");
        }
        run(&mut cargo).map(|()| String::new())
    };
    if has_nextest() {
        let filter = nextest_filter(&targets);
        return cargo(&["nextest", "run", "--workspace", "--no-fail-fast", "-E", &filter]);
    }
    cargo(&["test", "--workspace", "--exclude", TESTS_PACKAGE, "--tests", "--no-fail-fast"])?;
    let mut arguments = vec!["test", "--package", TESTS_PACKAGE, "--lib", "--no-fail-fast"];
    arguments.extend(targets.plain.iter().flat_map(|name| ["--test", name.as_str()]));
    cargo(&arguments)
}

/// Only targets that exist: nextest refuses a filter that names an unknown binary.
fn nextest_filter(targets: &Targets) -> String {
    let engine = targets.engine.iter().map(|name| format!("binary(={name})")).collect::<Vec<_>>();
    if engine.is_empty() {
        return "all()".to_owned();
    }
    format!("not (package(={TESTS_PACKAGE}) & ({}))", engine.join(" | "))
}

/// The installed package on a machine of its own, and the systemd of such a machine under contract.
fn host(root: &Path, docker: &Docker, consent: Consent) -> Result<String> {
    let said = testhost::ensure(root, docker, consent)?;
    println!("{said}");
    let packages = package::for_tests(root)?.display().to_string();
    let image = testhost::image();
    let environment = [("AIPLAT_HOST_IMAGE", image.as_str()), ("AIPLAT_HOST_PACKAGES", &packages)];
    // The cheaper one first: what systemd does not do as the clauses say, nothing above it does right.
    engine_tests(root, "systemd", &environment)?;
    engine_tests(root, "host", &environment)?;
    Ok(said)
}

/// Runs the suite, which must exist: a suite that went missing would pass for ever.
fn engine_tests(root: &Path, suite: &str, environment: &[(&str, &str)]) -> Result<String> {
    let targets = targets(&licences::metadata(root, &[])?);
    let names: Vec<&String> = targets.engine.iter().filter(|name| name.starts_with(suite)).collect();
    if names.is_empty() {
        return Err(anyhow!("the package {TESTS_PACKAGE} has no test target {suite}"));
    }
    let mut cargo = process::cargo();
    cargo.current_dir(root).env("AIPLAT_ENGINE_TESTS", "required").envs(environment.iter().copied());
    cargo.args(["test", "--package", TESTS_PACKAGE, "--no-fail-fast"]);
    cargo.args(names.iter().flat_map(|name| ["--test", name.as_str()]));
    run(&mut cargo)?;
    Ok(String::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn selected(words: &[&str]) -> Vec<&'static str> {
        select(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn a_subset_brings_what_it_needs() {
        assert_eq!(selected(&[]), STEPS);
        assert_eq!(selected(&["clippy", "fmt"]), ["fmt", "clippy"]);
        assert_eq!(selected(&["host"]), ["engine", "image", "host", "leaks"]);
        assert_eq!(selected(&["e2e"]), ["engine", "image", "binaries", "e2e", "leaks"]);
        assert!(select(&["typo".to_owned()]).unwrap_err().to_string().contains("contract"));
    }

    #[test]
    fn engine_bound_targets_are_found_by_name() {
        let target = |name: &str, kind: &str| json!({"name": name, "kind": [kind]});
        let metadata = json!({"packages": [{"name": "aiplat-tests", "targets": [
            target("aiplat_tests", "lib"), target("contract", "test"), target("e2e_drift", "test"), target("laws", "test")]}]});
        let targets = targets(&metadata);
        assert_eq!(
            targets,
            Targets { engine: vec!["contract".into(), "e2e_drift".into()], plain: vec!["laws".into()] }
        );
        assert_eq!(
            nextest_filter(&targets),
            "not (package(=aiplat-tests) & (binary(=contract) | binary(=e2e_drift)))"
        );
    }
}
