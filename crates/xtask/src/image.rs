//! The demo image: a static binary of ours and nothing else, loaded without a registry.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::docker::{self, Docker};
use crate::process::{self, stdout_of};
use crate::tar::Tar;
use crate::wait::seconds;

/// The tags: the same content, told apart by a label, so that a change of image can be shown.
pub const TAGS: [&str; 2] = ["1", "2"];
/// The image's name.
pub const REPOSITORY: &str = "aiplat-demo";
const CONTENT_LABEL: &str = "aiplat-demo.content";
const VERSION_LABEL: &str = "aiplat-demo.version";

/// Builds the binary; cargo makes the second time free.
pub fn build(root: &Path) -> Result<PathBuf> {
    // A target folder of its own: it does not wait for the lock of the other builds, and a plain release build of
    // the workspace does not overwrite the static binary with a dynamic one.
    let target = root.join("target/static");
    let mut cargo = process::cargo();
    cargo.current_dir(root).args([
        "rustc",
        "--quiet",
        "--package",
        "aiplat-demo-app",
        "--release",
        "--target-dir",
    ]);
    cargo.arg(&target).args(["--", "-C", "target-feature=+crt-static"]);
    stdout_of(&mut cargo, Duration::from_secs(600)).context("cannot build the demo's static binary")?;
    Ok(target.join("release/aiplat-demo-app"))
}

/// Loads every tag that the engine does not have with this content; says what it did.
pub fn import(docker: &Docker, binary: &Path) -> Result<String> {
    let begun = Instant::now();
    let content = std::fs::read(binary).with_context(|| format!("cannot read {}", binary.display()))?;
    let layer = root_fs(&content);
    let content_hash = hash(&layer);
    let mut loaded = Vec::new();
    for tag in TAGS {
        let config = config(tag, &content_hash);
        if !is_present(docker, tag, &config)? {
            load(docker, tag, &config.to_string(), &layer)
                .with_context(|| format!("cannot load the image {REPOSITORY}:{tag}"))?;
            loaded.push(format!("{REPOSITORY}:{tag}"));
        }
    }
    Ok(match loaded.as_slice() {
        [] => format!("{REPOSITORY}:1 and :2 are already there, with this content"),
        names => format!("loaded {} in {}", names.join(" and "), seconds(begun.elapsed())),
    })
}

fn root_fs(binary: &[u8]) -> Vec<u8> {
    Tar::default()
        .file("app", 0o755, binary)
        .folder("data", 0o777, 0)
        .folder("tmp", 0o1777, 0)
        .folder("etc", 0o755, 0)
        .file("etc/passwd", 0o644, b"root:x:0:0:root:/:/app\napp:x:1000:1000:app:/:/app\n")
        .file("etc/group", 0o644, b"root:x:0:\napp:x:1000:\n")
        .file("etc/nsswitch.conf", 0o644, b"hosts: files dns\n")
        .finish()
}

/// The image's configuration; the same content is the same image.
///
/// SIGKILL as the stop signal: the binary runs as process 1, where the kernel drops a SIGTERM that nobody handles,
/// and handling signals needs a crate; it has nothing to lose, and `docker stop` is immediate.
fn config(tag: &str, layer_hash: &str) -> Value {
    json!({
        "architecture": architecture(std::env::consts::ARCH), "os": "linux", "created": "2026-01-01T00:00:00Z",
        "config": {
            "Entrypoint": ["/app"], "Env": ["PATH=/", format!("VERSION={tag}")], "WorkingDir": "/", "StopSignal": "SIGKILL",
            "Labels": {CONTENT_LABEL: layer_hash, VERSION_LABEL: tag}},
        "history": [{"created": "2026-01-01T00:00:00Z", "created_by": "cargo xtask image"}],
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer_hash}")]},
    })
}

/// Go's name for the architecture, which images use, and Debian packages.
pub fn architecture(rust: &str) -> &str {
    match rust {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a String takes every write");
        hex
    })
}

/// By all of its configuration and not by its id: the containerd image store computes ids in its own way.
fn is_present(docker: &Docker, tag: &str, config: &Value) -> Result<bool> {
    let path = format!("/images/{REPOSITORY}:{tag}/json");
    let answer = docker.request("GET", &path, b"", "application/json")?;
    let image: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    let same = |key: &str| image["Config"][key] == config["config"][key];
    Ok(answer.status == 200 && ["Labels", "Entrypoint", "StopSignal", "Env"].into_iter().all(same))
}

/// `docker load`, not `docker import`: an import cannot set a stop signal.
fn load(docker: &Docker, tag: &str, config: &str, layer: &[u8]) -> Result<()> {
    let manifest = json!([{
        "Config": "config.json", "RepoTags": [format!("{REPOSITORY}:{tag}")], "Layers": ["layer.tar"]
    }]);
    let archive = Tar::default()
        .file("manifest.json", 0o644, manifest.to_string().as_bytes())
        .file("config.json", 0o644, config.as_bytes())
        .file("layer.tar", 0o644, layer)
        .finish();
    let answer = docker.success("POST", "/images/load?quiet=1", &archive, "application/x-tar")?;
    docker::check_progress(&answer.body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_binary_is_the_same_image_and_another_tag_is_another() {
        let image =
            |tag: &str, binary: &[u8]| hash(config(tag, &hash(&root_fs(binary))).to_string().as_bytes());
        assert_eq!(image("1", b"a"), image("1", b"a"));
        assert_ne!(image("1", b"a"), image("1", b"b"));
        assert_ne!(image("1", b"a"), image("2", b"a"));
    }
}
