//! What goes where, in both packages.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::process::{command, stdout_of};

const DOC: &str = "usr/share/doc/aiplatd";

/// Files of the repository, by their place on the machine.
const COPIED: [(&str, &str); 6] = [
    // Debian 12 and all with a merged /usr look there, and /etc/systemd/system is the administrator's.
    ("deploy/aiplatd.service", "usr/lib/systemd/system/aiplatd.service"),
    ("deploy/aiplatd.sysusers.conf", "usr/lib/sysusers.d/aiplatd.conf"),
    ("deploy/aiplatd.tmpfiles.conf", "usr/lib/tmpfiles.d/aiplatd.conf"),
    ("docs/reference/platform.schema.json", "usr/share/aiplatd/platform.schema.json"),
    ("deploy/prometheus/aiplatd.rules.yml", "usr/share/aiplatd/prometheus/aiplatd.rules.yml"),
    ("deploy/grafana/aiplatd.json", "usr/share/aiplatd/grafana/aiplatd.json"),
];

/// Lays out below `tree` what both packages have.
pub fn files(root: &Path, programs: &Path, tree: &Path) -> Result<()> {
    for name in ["aiplatd", "aiplatctl"] {
        put(&programs.join(name), &tree.join("usr/bin").join(name), 0o755)?;
    }
    for (from, to) in COPIED {
        put(&root.join(from), &tree.join(to), 0o644)?;
    }
    starter(root, tree)?;
    manual(programs, &tree.join("usr/share"))
}

/// The commented example, which tells editors where its schema lies: on the machine, no more in the repository.
fn starter(root: &Path, tree: &Path) -> Result<()> {
    let text = fs::read_to_string(root.join("examples/starter/platform.yaml"))?;
    let placed = text.replacen("../../docs/reference/", "/usr/share/aiplatd/", 1);
    ensure!(placed != text, "examples/starter/platform.yaml names no schema in its first line");
    let path = tree.join("usr/share/aiplatd/platform.yaml");
    fs::write(&path, placed)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
    Ok(())
}

/// Adds what Debian's policy asks for.
pub fn debian_only(root: &Path, tree: &Path) -> Result<()> {
    put(&root.join("deploy/debian/copyright"), &tree.join(DOC).join("copyright"), 0o644)?;
    let changelog = tree.join(DOC).join("changelog");
    put(&root.join("CHANGELOG.md"), &changelog, 0o644)?;
    compress(&[changelog])
}

/// Manual pages and completions.
fn manual(programs: &Path, share: &Path) -> Result<()> {
    stdout_of(command(programs.join("aiplat-manual")).arg(share), Duration::from_secs(60))?;
    let mut pages = Vec::new();
    for section in ["man1", "man8"] {
        for page in fs::read_dir(share.join("man").join(section))? {
            pages.push(page?.path());
        }
    }
    for folder in ["bash-completion/completions", "zsh/vendor-completions", "fish/vendor_completions.d"] {
        for script in fs::read_dir(share.join(folder))? {
            fs::set_permissions(script?.path(), fs::Permissions::from_mode(0o644))?;
        }
    }
    compress(&pages)
}

/// In place, and without the time of day, so that the same content is the same file.
fn compress(files: &[PathBuf]) -> Result<()> {
    for file in files {
        fs::set_permissions(file, fs::Permissions::from_mode(0o644))?;
    }
    stdout_of(command("gzip").args(["-9", "--no-name"]).args(files), Duration::from_secs(60)).map(drop)
}

/// Copies one file, with that mode, into folders that everybody may look into.
pub fn put(from: &Path, to: &Path, mode: u32) -> Result<()> {
    let folder = to.parent().context("a file lies in a folder")?;
    fs::create_dir_all(folder)?;
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(mode))?;
    Ok(())
}
