//! One test's machine: a container whose PID 1 is systemd, seen from outside through its `/proc/<pid>/root`.

use std::{
    collections::hash_map::RandomState,
    fs,
    hash::{BuildHasher, Hasher},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use aiplat_core::{
    action::{Action, UnitVerb},
    observed::{ActiveState, ObservedUnit},
};
use aiplat_host::{
    HostError,
    systemd::{Systemd, SystemdHint, SystemdOptions},
};
use aiplat_tests::contract::units::Asking;
use futures_util::{StreamExt, stream::BoxStream};
use serde_json::{Value, json};

use crate::raw;

/// Before ours, so that a mask there hides a unit of ours.
const MASKS: &str = "/etc/systemd/system:/run/systemd/system";

/// Dropped, also by a panic, it leaves nothing.
pub struct Machine {
    pub systemd: Systemd,
    /// The same path inside and outside: what systemd says of its files is then true of ours.
    folder: tempfile::TempDir,
    container: String,
    socket: PathBuf,
}

impl Machine {
    /// `None`, with the reason on stderr, where there is no image of such a machine.
    #[allow(clippy::print_stderr, reason = "a test that proves nothing says so")]
    pub async fn boot() -> Option<Self> {
        let Ok(image) = std::env::var("AIPLAT_HOST_IMAGE") else {
            let is_required = std::env::var("AIPLAT_ENGINE_TESTS").as_deref() == Ok("required");
            assert!(!is_required, "AIPLAT_HOST_IMAGE is not set");
            eprintln!(
                "not tested: AIPLAT_HOST_IMAGE is not set; `cargo xtask test --only host` makes that image"
            );
            return None;
        };
        let host = std::env::var("DOCKER_HOST").unwrap_or_default();
        let socket = PathBuf::from(host.strip_prefix("unix://").unwrap_or("/var/run/docker.sock"));
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        for name in ["system", "package"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let container = create(&socket, &image, folder.path().to_str().unwrap());
        // Made before anything can fail, so that what fails leaves no container behind.
        let mut machine = Self {
            systemd: Systemd::new(SystemdOptions::of_this_machine("/nonexistent")),
            folder,
            container,
            socket,
        };
        machine.start();
        machine.settle().await;
        Some(machine)
    }

    fn start(&mut self) {
        let (status, answer) = self.call("POST", "start", &Value::Null);
        assert_eq!(status, 204, "{answer}");
        let pid = self.call("GET", "json", &Value::Null).1["State"]["Pid"].as_u64().unwrap();
        let root = PathBuf::from(format!("/proc/{pid}/root"));
        self.systemd = Systemd::new(SystemdOptions {
            address: Some(format!("unix:path={}", root.join("run/dbus/system_bus_socket").display())),
            units: self.folder.path().join("system"),
            environment: self.folder.path().join("environment"),
            proc: root.join("proc"),
            journal: Some(root.join("var/log/journal")),
        });
    }

    /// Until it has booted.
    async fn settle(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            match self.systemd.observe("multi-user.target").await {
                Ok(target) if target.active == ActiveState::Active => return,
                seen => assert!(Instant::now() < deadline, "it does not boot: {seen:?}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A package writes the file of a unit, or takes it away; systemd is not told.
    pub fn package(&self, unit: &str, text: Option<&str>) {
        let path = self.folder.path().join("package").join(unit);
        match text {
            Some(text) => fs::write(path, text).unwrap(),
            None => fs::remove_file(path).unwrap(),
        }
    }

    /// Writes a unit's file; systemd is not told.
    pub fn write(&self, unit: &str, text: &str) {
        let path = self.path(unit);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Where `write` writes it.
    pub fn path(&self, unit: &str) -> PathBuf {
        self.folder.path().join("system").join(unit)
    }

    /// Writes a service that runs `command`, and lets systemd read it.
    pub async fn service(&self, unit: &str, command: &str) {
        self.write(unit, &format!("[Service]\nExecStart={command}\n"));
        self.reload().await;
    }

    /// The port, as the clauses ask it.
    pub fn ask(&self) -> Asking<'_> {
        Asking(&self.systemd)
    }

    pub async fn reload(&self) {
        self.ask().reload().await;
    }

    pub async fn tell(&self, unit: &str, verb: UnitVerb) -> Result<(), HostError> {
        self.ask().try_to(verb, unit).await
    }

    pub async fn look(&self, unit: &str) -> ObservedUnit {
        self.ask().look(unit).await
    }

    /// Looks until it is as wanted.
    pub async fn until(
        &self,
        unit: &str,
        what: &str,
        wanted: impl Fn(&ObservedUnit) -> bool,
    ) -> ObservedUnit {
        self.ask().until(unit, what, wanted).await
    }

    pub async fn started(&self, unit: &str) -> ObservedUnit {
        self.ask().started(unit).await
    }

    /// What the daemon would write for a unit with this environment.
    pub async fn files(&self, unit: &str, environment: &[(&str, &str)]) -> Action {
        self.ask().files(unit, environment).await
    }

    /// What a person does at the machine; returns when it has ended.
    pub fn by_hand(&self, arguments: &[&str]) {
        let body = json!({"Cmd": arguments, "AttachStdout": true, "AttachStderr": true});
        let (status, exec) = self.call("POST", "exec", &body);
        assert_eq!(status, 201, "{exec}");
        let exec = exec["Id"].as_str().unwrap();
        let start = json!({"Detach": false});
        raw::call(&self.socket, "POST", &format!("/exec/{exec}/start"), &start).expect("an answer");
        let inspect = format!("/exec/{exec}/json");
        let (_, ended) = raw::call(&self.socket, "GET", &inspect, &Value::Null).expect("an answer");
        assert_eq!(ended["ExitCode"], 0, "{arguments:?}: {ended}");
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let path = format!("/containers/{}/{path}", self.container);
        raw::call(&self.socket, method, &path, body).expect("an answer")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let path = format!("/containers/{}?force=1&v=1", self.container);
        raw::call(&self.socket, "DELETE", &path, &Value::Null);
    }
}

fn create(socket: &Path, image: &str, folder: &str) -> String {
    let body = json!({
        "Image": image,
        "Cmd": ["/lib/systemd/systemd"],
        "Env": ["container=docker", format!("SYSTEMD_UNIT_PATH={MASKS}:{folder}/system:{folder}/package:")],
        "HostConfig": {
            "CapAdd": ["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "MKNOD"],
            "SecurityOpt": ["seccomp=unconfined", "apparmor=unconfined"],
            "CgroupnsMode": "host",
            "Binds": ["/sys/fs/cgroup:/sys/fs/cgroup:rw", format!("{folder}:{folder}")],
            "Tmpfs": {"/run": "", "/run/lock": "", "/tmp": ""},
        },
    });
    let suffix = RandomState::new().build_hasher().finish() & 0xffff_ffff;
    let name = format!("aht-systemd-{suffix:08x}");
    let (status, answer) =
        raw::call(socket, "POST", &format!("/containers/create?name={name}"), &body).expect("an answer");
    assert_eq!(status, 201, "{answer}");
    name
}

/// The next hint, which comes soon or not at all.
pub async fn next(hints: &mut BoxStream<'static, SystemdHint>) -> SystemdHint {
    tokio::time::timeout(Duration::from_secs(10), hints.next()).await.expect("a hint").expect("for ever")
}

/// Takes hints until this one.
pub async fn until(hints: &mut BoxStream<'static, SystemdHint>, wanted: &SystemdHint) -> Vec<SystemdHint> {
    let mut before = Vec::new();
    loop {
        let hint = next(hints).await;
        if hint == *wanted {
            return before;
        }
        before.push(hint);
    }
}

/// Looks until there is something to see.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within ten seconds");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
