//! What dpkg is told of the package.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::stage::put;
use crate::image;

const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

/// Writes `DEBIAN/` into the tree.
pub fn write(root: &Path, tree: &Path, semantic: &str) -> Result<()> {
    let size = size(tree)?.div_ceil(1024);
    let control = format!(
        "Package: aiplatd\n\
         Version: {version}\n\
         Architecture: {architecture}\n\
         Maintainer: the authors of aiplatd <aiplatd@localhost>\n\
         Section: admin\n\
         Priority: optional\n\
         Installed-Size: {size}\n\
         Depends: libc6 (>= {glibc}), libgcc-s1, systemd | systemd-standalone-sysusers\n\
         Recommends: docker.io | docker-ce\n\
         Suggests: bash-completion\n\
         Description: keeps a self-hosted AI platform the way a file says it should be\n \
         You edit platform.yaml; the daemon compares it with the Docker containers and\n \
         systemd units that are really there and converges, in dependency order, each\n \
         service gated on the readiness of what it needs. It stays, and keeps it so.\n",
        version = version(semantic),
        architecture = image::architecture(std::env::consts::ARCH),
        glibc = glibc(tree)?,
    );
    let folder = tree.join("DEBIAN");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("control"), control)?;
    for script in SCRIPTS {
        put(&root.join("deploy/debian").join(script), &folder.join(script), 0o755)?;
    }
    Ok(())
}

/// A version as dpkg orders it: what is before a release sorts before it.
pub fn version(semantic: &str) -> String {
    semantic.replace('-', "~")
}

/// The youngest glibc that a program in `tree` asks for: the least that a machine must have.
pub fn glibc(tree: &Path) -> Result<String> {
    let mut youngest = (2, 0);
    for name in ["aiplatd", "aiplatctl"] {
        let path = tree.join("usr/bin").join(name);
        let program = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        youngest = youngest.max(youngest_glibc(&program));
    }
    Ok(format!("{}.{}", youngest.0, youngest.1))
}

/// From the names of the symbol versions, which stand in the program as text.
fn youngest_glibc(program: &[u8]) -> (u32, u32) {
    const MARK: &[u8] = b"GLIBC_";
    let places = program.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK);
    let versions = places.filter_map(|(at, _)| {
        let rest = &program[at + MARK.len()..];
        let text: String = rest
            .iter()
            .take(8)
            .take_while(|b| b.is_ascii_digit() || **b == b'.')
            .map(|b| char::from(*b))
            .collect();
        let mut numbers = text.split('.').map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    });
    versions.max().unwrap_or((2, 0))
}

/// Bytes of all files.
fn size(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        bytes += if kind.is_dir() { size(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_youngest_glibc_is_found_by_number_and_not_by_letter() {
        assert_eq!(youngest_glibc(b"..GLIBC_2.9\0GLIBC_2.34\0GLIBC_2.2.5\0GLIBC_PRIVATE\0"), (2, 34));
        assert_eq!(youngest_glibc(b"static"), (2, 0));
    }

    #[test]
    fn a_candidate_sorts_before_its_release() {
        assert_eq!(version("1.0.0-rc.1"), "1.0.0~rc.1");
    }
}
