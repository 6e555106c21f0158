//! One machine.

use std::{
    collections::hash_map::RandomState,
    fs::{self, File},
    hash::{BuildHasher, Hasher},
    io::Read,
    os::fd::OwnedFd,
    path::PathBuf,
    time::{Duration, Instant},
};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use serde_json::{Value, json};

use super::{
    PATIENCE, Ran, cannot_run,
    engine::{Engine, IMAGES},
    exec, until,
};

/// A machine with systemd, its bus and a Docker Engine. Dropping it takes it down, with all that runs on it.
pub(crate) struct Host {
    engine: Engine,
    container: String,
}

impl Host {
    /// A machine that has just come up, with the demo's images and nothing of ours installed; `None`, with the reason
    /// printed, where there cannot be one.
    pub(crate) fn boot() -> Option<Self> {
        match Self::try_boot() {
            Ok(host) => Some(host),
            Err(reason) => {
                cannot_run(&reason);
                None
            }
        }
    }

    fn try_boot() -> Result<Self, String> {
        let engine = Engine::of_this_machine()?;
        let variable = |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set"));
        let body = creation(&variable("AIPLAT_HOST_IMAGE")?, &variable("AIPLAT_HOST_PACKAGES")?);
        let suffix = RandomState::new().build_hasher().finish() & 0xffff_ffff;
        let created = engine.post(&format!("/containers/create?name=e2e-host-{suffix:08x}"), &body);
        let container = created["Id"].as_str().expect("a container has an id").to_owned();
        let host = Self { engine, container };
        host.start();
        for image in IMAGES {
            host.write_bytes("/var/tmp/image.tar", &host.engine.save(image));
            host.ok(&["docker", "load", "--quiet", "--input", "/var/tmp/image.tar"]);
        }
        Ok(host)
    }

    /// Switches it on and waits until systemd says that it is up, and the engine answers.
    fn start(&self) {
        self.engine.post(&format!("/containers/{}/start", self.container), &Value::Null);
        let is_up = || {
            let state = exec::run(&self.engine, &self.container, &["systemctl", "is-system-running"]);
            state.is_ok_and(|ran| ["running", "degraded"].contains(&ran.out.trim()))
        };
        assert!(
            until(PATIENCE, is_up),
            "the host did not come up: {}",
            self.run(&["systemctl", "list-jobs"]).said()
        );
        self.wait("the engine answers", |host| host.run(&["docker", "version"]).code == 0);
    }

    /// `systemctl poweroff`, and on again; how long it took to go down. Its disks stay, `/run` and `/tmp` do not.
    pub(crate) fn reboot(&self) -> Duration {
        let begun = Instant::now();
        self.run(&["systemctl", "poweroff"]);
        let path = format!("/containers/{}/json", self.container);
        let is_off = || {
            let inspect = self.engine.try_get(&path).expect("it is there");
            inspect["State"]["Running"] == json!(false)
        };
        assert!(until(Duration::from_secs(100), is_off), "the host does not go down");
        let took = begun.elapsed();
        self.start();
        took
    }

    /// Runs a command to its end; any exit code is a value.
    pub(crate) fn run(&self, argv: &[&str]) -> Ran {
        let ran = exec::run(&self.engine, &self.container, argv);
        ran.unwrap_or_else(|error| panic!("cannot run {argv:?} on the host: {error}"))
    }

    /// Runs a command that must succeed; what it printed.
    pub(crate) fn ok(&self, argv: &[&str]) -> String {
        let ran = self.run(argv);
        assert_eq!(ran.code, 0, "{argv:?} said:\n{}", ran.said());
        ran.out
    }

    /// Runs a line of shell that must succeed.
    pub(crate) fn shell(&self, line: &str) -> String {
        self.ok(&["sh", "-ec", line])
    }

    /// Looks until `holds`, and panics, with what the journal says, if it does not within [`PATIENCE`].
    pub(crate) fn wait(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        assert!(until(PATIENCE, || holds(self)), "not within {PATIENCE:?}: {what}");
    }

    /// Writes a file as an editor does: beside it, and renamed over it.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let beside = format!("{path}.new");
        self.write_bytes(&beside, text.as_bytes());
        self.ok(&["mv", &beside, path]);
    }

    fn write_bytes(&self, path: &str, bytes: &[u8]) {
        let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::WRONLY;
        let mut file =
            File::from(self.open(path, flags).unwrap_or_else(|error| panic!("cannot write {path}: {error}")));
        std::io::Write::write_all(&mut file, bytes)
            .unwrap_or_else(|error| panic!("cannot write {path}: {error}"));
    }

    /// The content of a file; `None` where there is none.
    pub(crate) fn read(&self, path: &str) -> Option<String> {
        let mut text = String::new();
        File::from(self.open(path, OFlags::RDONLY).ok()?).read_to_string(&mut text).ok()?;
        Some(text)
    }

    /// Through the root of its first process, and never out of it: links of the host are the host's.
    fn open(&self, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let inspect = self.engine.inspect(&self.container).expect("the host is there");
        let root = File::open(PathBuf::from(format!("/proc/{}/root", inspect["State"]["Pid"])));
        let root = root.unwrap_or_else(|error| panic!("cannot look into the host; is this root? {error}"));
        // The kernel refuses a mode where nothing can be made.
        let mode = Mode::from_raw_mode(if flags.contains(OFlags::CREATE) { 0o644 } else { 0 });
        openat2(root, path, flags | OFlags::CLOEXEC, mode, ResolveFlags::IN_ROOT)
    }

    /// What a person needs to see why a test failed.
    #[allow(clippy::print_stderr, reason = "a failing test shows its evidence")]
    fn explain(&self) {
        for argv in [
            &["journalctl", "--no-pager", "--lines=60", "--unit=aiplatd", "--output=short-precise"][..],
            &["docker", "ps", "--all"],
            &["systemctl", "--failed", "--no-pager"],
        ] {
            let said = exec::run(&self.engine, &self.container, argv);
            eprintln!(
                "--- {}\n{}",
                argv.join(" "),
                said.map_or_else(|error| error.to_string(), |ran| ran.said())
            );
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.explain();
        }
        self.engine.delete(&format!("/containers/{}?force=1&v=1", self.container));
    }
}

/// Capabilities by name, for `privileged` needs more than some machines may give.
fn creation(image: &str, packages: &str) -> Value {
    json!({
        "Image": image,
        "Hostname": "testhost",
        "Volumes": {"/var/lib/docker": {}},
        "HostConfig": {
            "CapAdd": ["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "MKNOD"],
            "SecurityOpt": ["seccomp=unconfined", "apparmor=unconfined"],
            "CgroupnsMode": "host",
            "Binds": ["/sys/fs/cgroup:/sys/fs/cgroup:rw", format!("{}:/packages:ro", real(packages))],
            "Tmpfs": {"/run": "", "/run/lock": "", "/tmp": ""},
        },
    })
}

fn real(path: &str) -> String {
    fs::canonicalize(path).map_or_else(|_| path.to_owned(), |path| path.display().to_string())
}
