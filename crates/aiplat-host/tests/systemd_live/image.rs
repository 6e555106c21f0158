//! A Debian with systemd and D-Bus, as an image of the engine.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::support::{random, raw};

const PACKAGES: &str = "systemd,systemd-sysv,dbus";
const SUITE: &str = "bookworm";

/// Dropped, it is removed, unless somebody else made it.
pub struct Image {
    pub name: String,
    is_ours: bool,
    socket: PathBuf,
}

impl Image {
    pub fn acquire(socket: &Path) -> Self {
        let socket = socket.to_owned();
        if let Ok(name) = std::env::var("AIPLAT_SYSTEMD_IMAGE") {
            return Self { name, is_ours: false, socket };
        }
        let (repo, tag) = ("aiplat-host-systemd", random());
        let path = format!("/images/create?fromSrc=-&repo={repo}&tag={tag}");
        let archive = fs::read(archive()).unwrap();
        let (status, answer) =
            raw::call(&socket, "POST", &path, "application/x-tar", &archive).expect("an answer");
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
        Self { name: format!("{repo}:{tag}"), is_ours: true, socket }
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        if self.is_ours {
            raw::json(&self.socket, "DELETE", &format!("/images/{}", self.name), &Value::Null);
        }
    }
}

/// Its root file system as an archive, made once.
fn archive() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let archive = target.join(format!("systemd-{SUITE}.tar"));
    // Test processes that start at once wait for the first of them.
    let lock = fs::File::create(archive.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    if !archive.exists() {
        let folder = tempfile::tempdir_in(target).unwrap();
        let root = folder.path().join("root");
        let unfinished = folder.path().join("root.tar");
        let include = format!("--include={PACKAGES}");
        let root_text = root.to_str().unwrap();
        run("debootstrap", &["--variant=minbase", &include, SUITE, root_text, &mirror()]);
        run("tar", &["-C", root_text, "-cf", unfinished.to_str().unwrap(), "."]);
        fs::rename(unfinished, &archive).unwrap();
    }
    archive
}

/// The first mirror that this machine installs its own packages from.
fn mirror() -> String {
    let sources = fs::read_to_string("/etc/apt/sources.list.d/debian.sources").unwrap();
    let uris = sources.lines().find_map(|line| line.strip_prefix("URIs:")).expect("a mirror");
    uris.split_whitespace().next().expect("a mirror").to_owned()
}

#[allow(
    clippy::disallowed_methods,
    reason = "a test makes the machine that it runs against; nothing runs on a user's host"
)]
fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().expect(program);
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}
