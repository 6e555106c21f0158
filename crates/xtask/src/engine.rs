//! Makes sure that a Docker Engine answers: looks, says what it will do, asks, installs, starts, waits.

use std::fs::OpenOptions;
use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::docker::Docker;
use crate::process::{self, capture, command, run};
use crate::wait;

const START_DEADLINE: Duration = Duration::from_secs(60);
const DOCKERD_LOG: &str = "/var/log/aiplat-xtask-dockerd.log";

/// What may be done without a question.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Consent {
    /// `--yes` or `CI=true`.
    Given,
    /// Somebody sits at a terminal.
    Ask,
    /// Nobody to ask, nothing allowed.
    Missing,
}

/// What is needed before an engine answers.
#[derive(Debug, PartialEq)]
struct Remedy {
    install: bool,
    start: Start,
}

#[derive(Debug, PartialEq)]
enum Start {
    /// `systemctl start docker`.
    Systemd,
    /// `dockerd` in the background, in its own session.
    Background,
}

/// The consent that this invocation carries.
pub fn consent(yes: bool) -> Consent {
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    decide_consent(yes || ci, std::io::stdin().is_terminal() && std::io::stdout().is_terminal())
}

/// Returns an engine that answers, and its version.
pub fn ensure(consent: Consent) -> Result<(Docker, String)> {
    let docker = Docker::from_environment()?;
    match docker.version() {
        Ok(version) => return Ok((docker, version)),
        Err(error) if is_permission_denied(&error) => {
            bail!(
                "{} may not be opened by you: run this as root, or join the group docker",
                docker.socket().display()
            )
        }
        Err(_) => {}
    }
    let remedy = decide_remedy(process::find("dockerd").is_some(), Path::new("/run/systemd/system").is_dir());
    println!("No container engine answers at {}. To have one:", docker.socket().display());
    for line in explain(&remedy) {
        println!("  - {line}");
    }
    obtain(consent)?;
    if process::user_id()? != 0 {
        bail!("that needs root: run it again as root, or do the above by hand");
    }
    apply(&remedy)?;
    let version = wait::until(
        &format!("the engine to answer at {}", docker.socket().display()),
        START_DEADLINE,
        Duration::from_millis(100),
        || Ok(docker.version().ok()),
    )
    .with_context(|| format!("see {DOCKERD_LOG} or `journalctl -u docker` for the reason"))?;
    println!("The engine answers: {version}.");
    Ok((docker, version))
}

/// Sees to it that a program of the distribution is there; its package has its name.
pub fn ensure_package(program: &str, consent: Consent) -> Result<()> {
    if process::find(program).is_some() || Path::new("/usr/sbin").join(program).is_file() {
        return Ok(());
    }
    println!(
        "{program} is missing. To have it:\n  - install the distribution's package: apt-get install -y {program}"
    );
    obtain(consent)?;
    check_apt()?;
    apt_get(&["update", "-q"])?;
    apt_get(&["install", "-y", "-q", "--no-install-recommends", program])
}

fn is_permission_denied(error: &anyhow::Error) -> bool {
    let denied = |error: &std::io::Error| error.kind() == std::io::ErrorKind::PermissionDenied;
    error.chain().filter_map(|cause| cause.downcast_ref()).any(denied)
}

fn decide_consent(given: bool, terminal: bool) -> Consent {
    match (given, terminal) {
        (true, _) => Consent::Given,
        (false, true) => Consent::Ask,
        (false, false) => Consent::Missing,
    }
}

fn decide_remedy(installed: bool, systemd: bool) -> Remedy {
    Remedy { install: !installed, start: if systemd { Start::Systemd } else { Start::Background } }
}

fn explain(remedy: &Remedy) -> Vec<String> {
    let mut lines = Vec::new();
    if remedy.install {
        lines.push("install the distribution's packages: apt-get install -y --no-install-recommends docker.io iptables".into());
    }
    lines.push(match remedy.start {
        Start::Systemd => "start it: systemctl start docker".into(),
        Start::Background => {
            format!("start dockerd in the background (no systemd here), log in {DOCKERD_LOG}")
        }
    });
    lines
}

fn obtain(consent: Consent) -> Result<()> {
    match consent {
        Consent::Given => Ok(()),
        Consent::Ask => {
            if ask("Do this now? [y/N] ")? {
                return Ok(());
            }
            bail!("no engine, nothing done; start one yourself or answer y")
        }
        Consent::Missing => {
            bail!("there is no terminal to ask on: pass --yes, or set CI=true, to have it done")
        }
    }
}

/// Asks a yes-or-no question on the terminal; anything but y is no.
pub fn ask(question: &str) -> Result<bool> {
    print!("{question}");
    std::io::stdout().flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

fn apply(remedy: &Remedy) -> Result<()> {
    if remedy.install {
        install()?;
    }
    match remedy.start {
        Start::Systemd => {
            run(command("systemctl").args(["start", "docker"])).context("cannot start the engine")
        }
        Start::Background => start_in_background(),
    }
}

fn check_apt() -> Result<()> {
    if process::find("apt-get").is_none() {
        bail!("this is no Debian or Ubuntu (no apt-get): install it yourself and run this again");
    }
    Ok(())
}

fn install() -> Result<()> {
    check_apt()?;
    apt_get(&["update", "-q"])?;
    let mut arguments = vec!["install", "-y", "-q", "--no-install-recommends", "docker.io", "iptables"];
    // Debian 13 packages the command line apart from the engine.
    if capture(command("apt-cache").args(["show", "docker-cli"]), Duration::from_secs(60))?.ok() {
        arguments.push("docker-cli");
    }
    apt_get(&arguments)
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    run(command("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args(arguments))
        .context("cannot install the packages; look at the lines above, and at your sources list and network")
}

fn start_in_background() -> Result<()> {
    let log = OpenOptions::new().create(true).append(true).open(DOCKERD_LOG);
    let log = log.with_context(|| format!("cannot write {DOCKERD_LOG}"))?;
    let mut dockerd = process::in_own_session("dockerd");
    dockerd.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    dockerd.spawn().context("cannot start dockerd")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_terminal_only_an_explicit_yes_counts() {
        assert_eq!(decide_consent(false, false), Consent::Missing);
        assert_eq!(decide_consent(true, false), Consent::Given);
        assert_eq!(decide_consent(false, true), Consent::Ask);
        assert!(obtain(Consent::Missing).unwrap_err().to_string().contains("--yes"));
    }

    #[test]
    fn what_will_be_done_is_said_before() {
        let lines = explain(&decide_remedy(false, false)).join("\n");
        assert!(lines.contains("apt-get install") && lines.contains("dockerd in the background"), "{lines}");
        assert_eq!(explain(&decide_remedy(true, true)), ["start it: systemctl start docker"]);
    }
}
