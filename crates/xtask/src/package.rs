//! `cargo xtask package`: what an administrator installs, a `.deb` and a `.tar.gz` of the same files.
//!
//! By `dpkg-deb` from a staging folder: debhelper would bring hundreds of packages to run one program.

mod control;
mod stage;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::options::Package;
use crate::process::{self, command, run, stdout_of};
use crate::{image, wait};

const README: &str = include_str!("package/README.md");

/// The folder of the packages, below the repository.
const FOLDER: &str = "target/package";

/// Builds the programs, and both packages of them; says where they are.
pub fn build(root: &Path, options: &Package) -> Result<String> {
    if process::find("dpkg-deb").is_none() {
        bail!(
            "dpkg-deb is missing: install the distribution's package `dpkg` (every Debian and Ubuntu has it)"
        );
    }
    let begun = std::time::Instant::now();
    let programs = programs(root, options.dev)?;
    let version = options.version.as_deref().unwrap_or(env!("CARGO_PKG_VERSION"));
    let build = Build { root, programs: &programs, out: &root.join(FOLDER), dev: options.dev };
    let built = [build.deb(version)?, build.tarball(version)?];
    let mut lines = String::new();
    for path in built {
        let size = std::fs::metadata(&path)?.len() / 1024;
        writeln!(lines, "{} ({size} KiB)", path.display())?;
    }
    Ok(format!("{lines}packaged in {}", wait::seconds(begun.elapsed())))
}

/// What the tests of the installed package install: `current.deb`, `newer.deb` and `current.tar.gz` of the dev build, in
/// a folder of their own.
pub fn for_tests(root: &Path) -> Result<PathBuf> {
    let programs = programs(root, true)?;
    let version = env!("CARGO_PKG_VERSION");
    let out = fresh(&root.join(FOLDER).join("test"))?;
    let build = Build { root, programs: &programs, out: &out, dev: true };
    std::fs::rename(build.deb(version)?, out.join("current.deb"))?;
    std::fs::rename(build.deb(&format!("{version}+next"))?, out.join("newer.deb"))?;
    std::fs::rename(build.tarball(version)?, out.join("current.tar.gz"))?;
    Ok(out)
}

/// The folder with the built programs, the manual's writer among them.
fn programs(root: &Path, dev: bool) -> Result<PathBuf> {
    let mut cargo = process::cargo();
    cargo.current_dir(root).args(["build", "--package", "aiplatd", "--package", "aiplatctl"]);
    cargo.args(["--package", "aiplat-manual"]);
    if !dev {
        cargo.arg("--release");
    }
    run(&mut cargo)?;
    Ok(root.join("target").join(if dev { "debug" } else { "release" }))
}

/// Programs that are built, and where their packages go.
struct Build<'a> {
    root: &'a Path,
    programs: &'a Path,
    out: &'a Path,
    dev: bool,
}

impl Build<'_> {
    fn deb(&self, version: &str) -> Result<PathBuf> {
        let tree = fresh(&self.out.join("deb"))?;
        stage::files(self.root, self.programs, &tree)?;
        stage::debian_only(self.root, &tree)?;
        control::write(self.root, &tree, version)?;
        let architecture = image::architecture(std::env::consts::ARCH);
        let deb = self.out.join(format!("aiplatd_{}_{architecture}.deb", control::version(version)));
        let mut dpkg_deb = command("dpkg-deb");
        // The dev build is large and lives for minutes.
        let compression = if self.dev { "-Znone" } else { "-Zxz" };
        dpkg_deb.args(["--root-owner-group", compression, "--build"]);
        dpkg_deb.arg(&tree).arg(&deb).envs(epoch(self.root)?);
        stdout_of(&mut dpkg_deb, Duration::from_secs(300))?;
        std::fs::remove_dir_all(&tree)?;
        Ok(deb)
    }

    fn tarball(&self, version: &str) -> Result<PathBuf> {
        let name = format!("aiplatd-{version}-{}", std::env::consts::ARCH);
        let tree = fresh(&self.out.join(&name))?;
        stage::files(self.root, self.programs, &tree)?;
        let readme = README.replace("@version", version).replace("@glibc", &control::glibc(&tree)?);
        std::fs::write(tree.join("README.md"), readme)?;
        std::fs::copy(self.root.join("LICENSE"), tree.join("LICENSE"))?;
        let archive = self.out.join(format!("{name}.tar.gz"));
        let mut tar = command("tar");
        tar.arg("--create").arg("--gzip").arg("--file").arg(&archive).arg("--directory").arg(self.out);
        tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner"]);
        tar.args(epoch(self.root)?.map(|(_, seconds)| format!("--mtime=@{seconds}"))).arg(&name);
        stdout_of(&mut tar, Duration::from_secs(300))?;
        std::fs::remove_dir_all(&tree)?;
        Ok(archive)
    }
}

/// An empty folder.
fn fresh(folder: &Path) -> Result<PathBuf> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder.to_owned())
}

/// The time of all files in the packages: that of the commit, so that the same source makes the same package. Without
/// git the files keep their own.
fn epoch(root: &Path) -> Result<Option<(&'static str, String)>> {
    const NAME: &str = "SOURCE_DATE_EPOCH";
    if let Ok(set) = std::env::var(NAME) {
        return Ok(Some((NAME, set)));
    }
    if process::find("git").is_none() {
        return Ok(None);
    }
    let mut git = command("git");
    git.current_dir(root).args(["log", "-1", "--format=%ct"]);
    let asked = process::capture(&mut git, Duration::from_secs(10))?;
    Ok(asked.ok().then(|| (NAME, asked.stdout.trim().to_owned())))
}
