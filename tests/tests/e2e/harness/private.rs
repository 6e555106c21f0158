//! An engine of a test's own, beside the machine's, that can be stopped and killed at will.
//!
//! It lives in namespaces of its own (mounts, network, processes), under a first process that reaps: when that one is
//! killed, the kernel ends all that the engine has started, whatever state the engine is in.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::Duration,
};

use rustix::process::Signal;

use super::{
    Engine, PATIENCE,
    engine::IMAGES,
    process::{self, command, succeed},
    until,
};

/// A private engine with the demo images.
pub(crate) struct PrivateEngine {
    pub(crate) engine: Engine,
    folder: tempfile::TempDir,
    /// Holds the namespaces.
    holder: Child,
    /// The first process in them.
    inside: u32,
    dockerd: Option<Child>,
}

impl PrivateEngine {
    /// Starts one; the reason why that cannot be done here otherwise.
    pub(crate) fn start(machine: &Engine) -> Result<Self, String> {
        for program in ["unshare", "nsenter", "dockerd", "docker-init", "ip", "mount"] {
            find(program).ok_or(format!("a private engine needs `{program}`"))?;
        }
        let folder =
            tempfile::Builder::new().prefix("aiplat-e2e-engine-").tempdir().expect("a temporary folder");
        fs::write(folder.path().join("daemon.json"), "{}").expect("a file in our own folder");
        let mut holder = command("unshare")
            .args([
                "--mount",
                "--net",
                "--pid",
                "--fork",
                "--mount-proc",
                "--kill-child=KILL",
                "docker-init",
                "--",
            ])
            .args(["sleep", "infinity"])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("namespaces cannot be made: {error}"))?;
        let mut inside = None;
        until(Duration::from_secs(5), || {
            inside = child_of(holder.id()).filter(|pid| command_name(*pid) == "docker-init");
            inside.is_some() || holder.try_wait().is_ok_and(|ended| ended.is_some())
        });
        let Some(inside) = inside else {
            drop(holder.kill());
            let ended = holder.wait();
            return Err(format!("namespaces for a private engine cannot be made here (unshare: {ended:?})"));
        };
        let engine = Engine { socket: folder.path().join("docker.sock") };
        let mut private = Self { engine, folder, holder, inside, dockerd: None };
        private.prepare();
        private.start_engine();
        for image in IMAGES {
            private.engine.load(&machine.save(image));
        }
        Ok(private)
    }

    fn prepare(&self) {
        let run = |words: &[&str]| drop(succeed(self.enter(&["--mount", "--net", "--pid"]).args(words)));
        run(&["mount", "--make-rprivate", "/"]);
        // The machine's own engine keeps its sockets and pid files there.
        run(&["mount", "-t", "tmpfs", "tmpfs", "/run"]);
        run(&["ip", "link", "set", "lo", "up"]);
    }

    fn enter(&self, namespaces: &[&str]) -> std::process::Command {
        let mut nsenter = command("nsenter");
        nsenter.arg("--target").arg(self.inside.to_string()).args(namespaces).arg("--");
        nsenter
    }

    /// What stands in front of a command line so that it reaches the addresses of this engine's containers.
    pub(crate) fn in_its_network(&self) -> Vec<String> {
        ["nsenter", "--target", &self.inside.to_string(), "--net", "--"].map(str::to_owned).into()
    }

    /// Starts dockerd and waits until it answers.
    pub(crate) fn start_engine(&mut self) {
        let path = |name: &str| self.folder.path().join(name);
        let log = fs::OpenOptions::new().create(true).append(true).open(path("log")).expect("a log file");
        let mut dockerd = self.enter(&["--mount", "--net", "--pid"]);
        dockerd.arg("dockerd").arg("--config-file").arg(path("daemon.json"));
        dockerd.arg("--host").arg(format!("unix://{}", path("docker.sock").display()));
        dockerd.arg("--data-root").arg(path("data")).arg("--exec-root").arg(path("exec"));
        dockerd.arg("--pidfile").arg(path("pid"));
        dockerd.stdin(Stdio::null()).stdout(log.try_clone().expect("a file can be cloned")).stderr(log);
        self.dockerd = Some(dockerd.spawn().expect("nsenter can be started"));
        assert!(
            until(PATIENCE, || self.engine.ping().is_ok()),
            "the private engine does not answer: {}",
            self.log()
        );
    }

    /// Ends dockerd with `signal` and waits until it is gone. SIGTERM stops its containers, SIGKILL leaves them.
    pub(crate) fn end_engine(&mut self, signal: Signal) {
        let mut nsenter = self.dockerd.take().expect("the private engine runs");
        let dockerd = child_of(nsenter.id()).expect("nsenter has forked dockerd");
        process::signal(dockerd, signal);
        assert!(
            process::wait_for_exit(&mut nsenter, PATIENCE).is_some(),
            "dockerd did not end: {}",
            self.log()
        );
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for PrivateEngine {
    fn drop(&mut self) {
        drop(self.holder.kill());
        drop(self.holder.wait());
        if let Some(mut dockerd) = self.dockerd.take() {
            drop(dockerd.wait());
        }
        // The kernel unmounts what was mounted inside once the last process in there is gone.
        let gone = || fs::remove_dir_all(self.folder.path().join("data")).is_ok();
        until(Duration::from_secs(5), || gone() || !self.folder.path().join("data").exists());
    }
}

/// The one child of a process.
fn child_of(pid: u32) -> Option<u32> {
    fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
        .ok()?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

fn command_name(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

/// Where a program lies on the PATH.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders
        .iter()
        .map(PathBuf::as_path)
        .chain([Path::new("/usr/sbin")])
        .map(|folder| folder.join(program))
        .find(|p| p.is_file())
}
