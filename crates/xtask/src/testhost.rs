//! The image of the test host: Debian with systemd, its bus and a Docker Engine, for tests of the installed package.
//!
//! Made by debootstrap from the mirror that this machine itself uses, once for each content of the recipe.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::docker::{self, Docker, items};
use crate::engine::{self, Consent};
use crate::process::{self, command, stdout_of};
use crate::wait::seconds;

/// The image's name; its tag is the recipe's hash.
pub const REPOSITORY: &str = "aiplat-testhost";

/// What the host consists of. Every word is part of the image's tag.
struct Recipe {
    suite: &'static str,
    packages: &'static [&'static str],
    /// Nobody reads these in there.
    left_out: &'static [&'static str],
    /// How the image is run.
    changes: &'static [&'static str],
}

const RECIPE: Recipe = Recipe {
    suite: "bookworm",
    packages: &["systemd", "systemd-sysv", "dbus", "iproute2", "procps", "docker.io", "iptables"],
    left_out: &[
        "var/cache/apt/archives",
        "var/lib/apt/lists",
        "usr/share/doc",
        "usr/share/man",
        "usr/share/locale",
    ],
    changes: &["ENV container=docker", "CMD [\"/lib/systemd/systemd\"]"],
};

/// The name of the image that the recipe makes.
pub fn image() -> String {
    format!("{REPOSITORY}:{}", RECIPE.tag())
}

/// Sees to it that the engine has the image; says what it did.
pub fn ensure(root: &Path, docker: &Docker, consent: Consent) -> Result<String> {
    let image = image();
    if docker.request("GET", &format!("/images/{image}/json"), b"", "application/json")?.status == 200 {
        return Ok(format!("{image} is already there"));
    }
    if process::user_id()? != 0 {
        bail!("the test host is made by debootstrap, which needs root: run it as root");
    }
    engine::ensure_package("debootstrap", consent)?;
    let begun = Instant::now();
    let folder = root.join("target/testhost");
    let rootfs = folder.join("rootfs");
    clear(&rootfs)?;
    let made = make(&rootfs).and_then(|()| import(docker, &folder, &rootfs));
    clear(&rootfs)?;
    made.context("cannot make the test host; what debootstrap said stands above")?;
    forget_older(docker, &image)?;
    Ok(format!("made {image} in {}", seconds(begun.elapsed())))
}

fn make(rootfs: &Path) -> Result<()> {
    fs::create_dir_all(rootfs)?;
    let mut debootstrap = command("debootstrap");
    debootstrap.args(["--variant=minbase", &format!("--include={}", RECIPE.packages.join(","))]);
    debootstrap.arg(RECIPE.suite).arg(rootfs).arg(mirror()?);
    // It says a thousand lines; they are of use when it fails.
    let finished = process::capture(&mut debootstrap, Duration::from_secs(600))?;
    if !finished.ok() {
        let said = finished.said();
        let tail: Vec<&str> = said.lines().rev().take(20).collect();
        tail.iter().rev().for_each(|line| println!("  {line}"));
        bail!("debootstrap failed");
    }
    for path in RECIPE.left_out {
        clear(&rootfs.join(path))?;
    }
    Ok(())
}

fn import(docker: &Docker, folder: &Path, rootfs: &Path) -> Result<()> {
    let archive = folder.join("rootfs.tar");
    stdout_of(
        command("tar").arg("-C").arg(rootfs).arg("-cf").arg(&archive).arg("."),
        Duration::from_secs(120),
    )?;
    let mut path = format!("/images/create?fromSrc=-&repo={REPOSITORY}&tag={}", RECIPE.tag());
    for change in RECIPE.changes {
        write!(path, "&changes={}", docker::encode(change))?;
    }
    let file = fs::File::open(&archive)?;
    let answer = docker.upload(&path, file)?;
    fs::remove_file(&archive)?;
    docker::check_progress(&answer.body)
}

/// A folder, if it is there.
fn clear(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}

/// Images of other recipes.
fn forget_older(docker: &Docker, image: &str) -> Result<()> {
    for listed in docker.get("/images/json")?.as_array().into_iter().flatten() {
        let tags = items(listed, "RepoTags").iter().filter_map(|tag| tag.as_str());
        for tag in tags.filter(|tag| tag.starts_with(&format!("{REPOSITORY}:")) && *tag != image) {
            docker.delete(&format!("/images/{tag}"))?;
        }
    }
    Ok(())
}

impl Recipe {
    fn tag(&self) -> String {
        let Self { suite, packages, left_out, changes } = self;
        let text = [packages.join(" "), left_out.join(" "), changes.join(" ")].join("\n");
        let hash = Sha256::digest(format!("{suite}\n{text}").as_bytes());
        hash.iter().take(6).fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
    }
}

/// The mirror of this machine. Read where it stands: its name is nobody else's business.
fn mirror() -> Result<String> {
    const OVERRIDE: &str = "AIPLAT_DEBIAN_MIRROR";
    if let Ok(mirror) = std::env::var(OVERRIDE) {
        return Ok(mirror);
    }
    let mut texts = vec![PathBuf::from("/etc/apt/sources.list")];
    texts.extend(
        fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|entry| entry.path()),
    );
    texts.sort();
    let found = texts.iter().filter_map(|path| mirror_in(&fs::read_to_string(path).ok()?)).next();
    found.with_context(|| {
        format!("this machine's apt sources name no mirror of Debian: set {OVERRIDE} to the address of one")
    })
}

/// The first mirror of Debian in a list of sources, of the old or of the new form.
fn mirror_in(sources: &str) -> Option<String> {
    let lines = sources.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let words = lines.flat_map(|line| {
        let is_source = line.starts_with("URIs:") || line.starts_with("deb ");
        line.split_whitespace().filter(move |_| is_source).map(str::to_owned).collect::<Vec<_>>()
    });
    words.into_iter().find(|word| word.contains("://") && word.trim_end_matches('/').ends_with("/debian"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_found_in_both_forms_of_sources() {
        let new = "Types: deb\n# URIs: http://old.example.org/debian\nURIs: http://deb.debian.org/debian\n\nURIs: http://deb.debian.org/debian-security";
        assert_eq!(mirror_in(new).as_deref(), Some("http://deb.debian.org/debian"));
        let old = "deb-src http://x.debian.org/debian a\ndeb [trusted=yes] http://deb.debian.org/debian/ bookworm main";
        assert_eq!(mirror_in(old).as_deref(), Some("http://deb.debian.org/debian/"));
        assert_eq!(mirror_in("deb http://archive.ubuntu.com/ubuntu noble main"), None);
    }

    #[test]
    fn another_recipe_is_another_image() {
        let other = Recipe { suite: "trixie", ..RECIPE };
        assert_ne!(other.tag(), RECIPE.tag());
    }
}
