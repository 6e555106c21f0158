//! The distribution, its packages, and whether it asks for a restart of the machine.

use std::{collections::BTreeSet, fs, path::Path};

use super::{setting, text};

pub(super) fn distribution(root: &Path) -> Option<String> {
    let release = text(&root.join("etc/os-release")).or_else(|| text(&root.join("usr/lib/os-release")))?;
    setting(&release, "PRETTY_NAME").or_else(|| setting(&release, "NAME"))
}

/// What asks for a restart: Debian's and Ubuntu's own word; elsewhere, that the running kernel's modules are gone, as they are
/// after its package was replaced.
pub(super) fn reboot_required_by(root: &Path) -> Option<Vec<String>> {
    let run = root.join("run");
    if run.join("reboot-required").exists() {
        let packages = text(&run.join("reboot-required.pkgs")).unwrap_or_default();
        let names: BTreeSet<&str> = packages.lines().map(str::trim).filter(|name| !name.is_empty()).collect();
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        return Some(if names.is_empty() { vec!["the distribution".to_owned()] } else { names });
    }
    let kernel = text(&root.join("proc/sys/kernel/osrelease"))?.trim().to_owned();
    let modules: Vec<String> = fs::read_dir(root.join("lib/modules"))
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().join("modules.dep").exists())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    // A container has none, and a kernel with everything built in needs none.
    let replaced = !modules.is_empty() && !modules.contains(&kernel);
    Some(if replaced { vec![format!("the kernel, {kernel}, whose modules are gone")] } else { Vec::new() })
}

/// Packages that get in the way of one another, as dpkg knows them: those of [`CONFLICTING`] that are installed.
pub(super) fn conflicting_packages(root: &Path) -> Option<Vec<String>> {
    let status = text(&root.join("var/lib/dpkg/status"))?;
    let installed: BTreeSet<&str> = status
        .split("\n\n")
        .filter(|entry| entry.lines().any(|line| line == "Status: install ok installed"))
        .filter_map(|entry| entry.lines().find_map(|line| line.strip_prefix("Package: ")))
        .collect();
    let found = CONFLICTING.iter().filter(|(name, unless)| {
        installed.contains(name) && unless.is_none_or(|other| installed.contains(other))
    });
    Some(found.map(|(name, _)| (*name).to_owned()).collect())
}

/// Packages that another engine, or an older one, or no engine at all is in; the second: only beside this one. Docker's own
/// installation guide names them.
const CONFLICTING: [(&str, Option<&str>); 6] = [
    ("podman-docker", None),
    ("docker-compose", None),
    ("docker-engine", None),
    ("docker.io", Some("docker-ce")),
    ("containerd", Some("containerd.io")),
    ("runc", Some("containerd.io")),
];

/// The names of the flags of a `dockerd` that runs; `None`: none does, or its command line cannot be read.
pub(super) fn engine_flags(root: &Path) -> Option<BTreeSet<String>> {
    let processes = fs::read_dir(root.join("proc")).ok()?.flatten();
    let mut command_lines = processes.filter_map(|process| {
        process.file_name().to_str()?.parse::<u32>().ok()?;
        text(&process.path().join("cmdline"))
    });
    let line = command_lines.find(|line| {
        let program = line.split('\0').next().unwrap_or_default();
        program.rsplit('/').next() == Some("dockerd")
    })?;
    let flags = line.split('\0').skip(1).filter_map(|word| word.strip_prefix("--"));
    Some(flags.map(|flag| flag.split('=').next().unwrap_or(flag).to_owned()).collect())
}
