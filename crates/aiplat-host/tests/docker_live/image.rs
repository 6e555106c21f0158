//! The test image, out of nothing: one static program of ours in an archive.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, OnceLock},
};

use sha2::{Digest, Sha256};

use crate::support::{random, raw};

/// One use of the image; with the last one it is removed.
pub struct Image {
    pub name: String,
    socket: PathBuf,
}

static USES: Mutex<Option<(String, usize)>> = Mutex::new(None);

impl Image {
    pub fn acquire(socket: &Path) -> Self {
        let mut uses = USES.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (name, count) = uses.take().unwrap_or_else(|| (import(socket), 0));
        *uses = Some((name.clone(), count + 1));
        Self { name, socket: socket.to_owned() }
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let mut uses = USES.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *uses = match uses.take() {
            Some((name, count)) if count > 1 => Some((name, count - 1)),
            _ => {
                raw::json(
                    &self.socket,
                    "DELETE",
                    &format!("/images/{}", self.name),
                    &serde_json::Value::Null,
                );
                None
            }
        };
    }
}

fn import(socket: &Path) -> String {
    let (repo, tag) = ("aiplat-host-test", random());
    let path =
        format!("/images/create?fromSrc=-&repo={repo}&tag={tag}&changes=ENTRYPOINT%20%5B%22%2Ftool%22%5D");
    let (status, answer) =
        raw::call(socket, "POST", &path, "application/x-tar", &archive()).expect("an answer");
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
    format!("{repo}:{tag}")
}

/// An archive that holds `/tool`.
pub fn archive() -> Vec<u8> {
    static ARCHIVE: OnceLock<Vec<u8>> = OnceLock::new();
    ARCHIVE.get_or_init(|| tar(&[("tool", &std::fs::read(compiled()).unwrap(), 0o755)])).clone()
}

/// The program, compiled once for each version of its source.
#[allow(
    clippy::disallowed_methods,
    reason = "a test compiles the workload of its containers; nothing runs on a user's host"
)]
fn compiled() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/tool.rs");
    let hash = hex(&Sha256::digest(std::fs::read(&source).unwrap()));
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tool-{}", &hash[..12]));
    if !program.exists() {
        let unfinished = program.with_extension(random());
        let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let status = Command::new(compiler)
            .args([
                "--edition",
                "2024",
                "-O",
                "-C",
                "target-feature=+crt-static",
                "-C",
                "strip=symbols",
                "-o",
            ])
            .args([&unfinished, &source])
            .status()
            .expect("rustc runs");
        assert!(status.success(), "the test program does not compile");
        std::fs::rename(unfinished, &program).unwrap();
    }
    program
}

/// A `ustar` archive of (path, content, mode).
pub fn tar(files: &[(&str, &[u8], u32)]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (path, content, mode) in files {
        let mut header = [0_u8; 512];
        let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, path);
        put(100, &format!("{mode:07o}"));
        put(108, "0000000");
        put(116, "0000000");
        put(124, &format!("{:011o}", content.len()));
        put(136, "00000000000");
        put(148, "        ");
        put(156, "0");
        put(257, "ustar\u{0}00");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        archive.extend_from_slice(&header);
        archive.extend_from_slice(content);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
