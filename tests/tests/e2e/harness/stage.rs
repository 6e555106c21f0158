//! One test's platform: its name, its folder, its daemon, and the guard.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use aiplat_api::v1::{DiffReply, StatusDoc};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{
    Engine, PATIENCE, all_ready, cannot_run,
    http::{self, Answer},
    private::PrivateEngine,
    process::{self, Finished, command, ctl_binary, daemon_binary, free_port},
    random,
    turn::Turn,
    until,
};

/// Marks what a test makes itself, in the role of somebody else.
const FOREIGN_LABEL: &str = "aiplat-e2e.stage";

/// A platform that belongs to one test. Dropping it takes down its daemon and whatever it made.
pub(crate) struct Stage {
    /// The platform's name: unique, so that tests never meet.
    pub(crate) name: String,
    pub(crate) engine: Engine,
    /// Where the daemon is told that the engine is.
    pub(crate) docker_socket: PathBuf,
    /// Environment of the daemons that are started from now on.
    pub(crate) env: BTreeMap<String, String>,
    /// What stands in front of the daemon's argv: nsenter and the like.
    pub(crate) wrapper: Vec<String>,
    folder: tempfile::TempDir,
    instance: String,
    ports: BTreeMap<&'static str, u16>,
    daemon: Option<Child>,
    private: Option<PrivateEngine>,
    _turn: Turn,
}

/// One run of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) id: String,
    pub(crate) started_at: String,
}

impl Stage {
    /// A stage on the machine's own engine; `None`, with the reason printed, where there is none.
    pub(crate) fn new() -> Option<Self> {
        let turn = Turn::take();
        match Engine::of_this_machine() {
            Ok(engine) => Some(Self::on(engine, turn)),
            Err(reason) => {
                cannot_run(&reason);
                None
            }
        }
    }

    /// A stage on an engine of its own, whose daemon lives in that engine's network: its probes reach the containers.
    pub(crate) fn on_private_engine() -> Option<Self> {
        let turn = Turn::take();
        let started = Engine::of_this_machine().and_then(|machine| PrivateEngine::start(&machine));
        match started {
            Ok(private) => {
                let mut stage = Self::on(private.engine.clone(), turn);
                stage.wrapper = private.in_its_network();
                stage.private = Some(private);
                Some(stage)
            }
            Err(reason) => {
                cannot_run(&reason);
                None
            }
        }
    }

    /// A stage whose daemon has put this file in force and made everything Ready.
    pub(crate) fn ready_with(yaml: &str) -> Option<Self> {
        let mut stage = Self::new()?;
        stage.save(yaml);
        stage.start();
        stage.ready();
        Some(stage)
    }

    /// The engine of a stage made by [`Self::on_private_engine`].
    pub(crate) fn private(&mut self) -> &mut PrivateEngine {
        self.private.as_mut().expect("the stage has an engine of its own")
    }

    /// A stage on `engine`.
    fn on(engine: Engine, turn: Turn) -> Self {
        let suffix = format!("{:08x}", random() & 0xffff_ffff);
        let folder = tempfile::Builder::new().prefix("aiplat-e2e-").tempdir().expect("a temporary folder");
        let stage = Self {
            name: format!("e2e-{suffix}"),
            docker_socket: engine.socket.clone(),
            engine,
            env: BTreeMap::new(),
            wrapper: Vec::new(),
            folder,
            instance: format!("e2e{suffix}"),
            ports: BTreeMap::from(["@port1", "@port2", "@port3"].map(|word| (word, free_port()))),
            daemon: None,
            private: None,
            _turn: turn,
        };
        // Known before the first start, so that the guard can find what any daemon of this stage made.
        fs::create_dir(stage.path("etc")).expect("a folder for the file, where nothing else is written");
        fs::create_dir(stage.state_dir()).expect("a state folder");
        fs::write(stage.state_dir().join("instance-id"), format!("{}\n", stage.instance))
            .expect("an instance id");
        stage
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("etc/platform.yaml")
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.path("state")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("aiplatd.sock")
    }

    /// The label of all that the daemons of this stage make.
    pub(crate) fn label(&self) -> String {
        format!("io.aiplat.instance={}", self.instance)
    }

    /// One of the stage's own host ports, written `@port1` to `@port3` in its files.
    pub(crate) fn port(&self, word: &str) -> u16 {
        self.ports[word]
    }

    /// `text` with the stage's own name and ports.
    pub(crate) fn fill(&self, text: &str) -> String {
        let named = text.replace("@name", &self.name);
        self.ports.iter().fold(named, |text, (word, port)| text.replace(word, &port.to_string()))
    }

    /// Saves the file as most editors do: written beside and renamed over the old one. `@name` and `@port1` stand for
    /// the stage's own.
    pub(crate) fn save(&self, yaml: &str) {
        let beside = self.path("etc/platform.yaml.new");
        fs::write(&beside, self.fill(yaml)).expect("the file can be written");
        fs::rename(beside, self.config()).expect("the file can be renamed");
    }

    /// Saves the file and waits until it is in force.
    pub(crate) fn put_in_force(&mut self, yaml: &str) -> StatusDoc {
        let before = self.status().expect("the daemon answers").platform.generation;
        self.save(yaml);
        self.wait("the edit is in force", |status| status.platform.generation > before)
    }

    /// The daemon's command line, to be spawned by the caller.
    pub(crate) fn command(&self) -> Command {
        self.command_at(&self.state_dir(), &self.socket())
    }

    /// The command line of a daemon with another state folder or socket.
    pub(crate) fn command_at(&self, state_dir: &Path, socket: &Path) -> Command {
        let binary = daemon_binary().display().to_string();
        let words: Vec<String> = self.wrapper.iter().cloned().chain([binary]).collect();
        let (program, arguments) = words.split_first().expect("it has the binary");
        let mut aiplatd = command(program);
        aiplatd.args(arguments).arg("--config").arg(self.config()).arg("--state-dir").arg(state_dir);
        aiplatd.arg("--socket").arg(socket).arg("--docker-socket").arg(&self.docker_socket);
        aiplatd.envs(&self.env).stdin(Stdio::null());
        aiplatd
    }

    /// Starts the daemon and waits until its API answers.
    pub(crate) fn start(&mut self) {
        self.spawn();
        let ok = until(PATIENCE, || {
            self.check_alive();
            self.status().is_ok()
        });
        assert!(ok, "the daemon's API does not answer");
    }

    /// Starts the daemon and waits for nothing.
    pub(crate) fn spawn(&mut self) {
        assert!(self.daemon.is_none(), "the stage has one daemon");
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_path()).expect("a log file");
        let mut aiplatd = self.command();
        aiplatd.stdout(log.try_clone().expect("a file can be cloned")).stderr(log);
        self.daemon = Some(aiplatd.spawn().expect("aiplatd can be started"));
    }

    /// `aiplatd --once` to its end.
    pub(crate) fn once(&self) -> Finished {
        process::capture(self.command().arg("--once"), Duration::from_secs(60))
    }

    /// The daemon's process id.
    pub(crate) fn pid(&self) -> u32 {
        self.daemon.as_ref().expect("the daemon runs").id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        process::signal(self.pid(), signal);
    }

    /// SIGKILL, as the kernel's out-of-memory killer does it.
    pub(crate) fn kill(&mut self) {
        let mut daemon = self.daemon.take().expect("the daemon runs");
        daemon.kill().expect("our own child can be killed");
        daemon.wait().expect("our own child can be waited for");
    }

    /// SIGTERM, and its exit code.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.exit_code(Duration::from_secs(20))
    }

    /// Waits for the daemon's end; its exit code, or `None` if a signal ended it.
    pub(crate) fn exit_code(&mut self, within: Duration) -> Option<i32> {
        let mut daemon = self.daemon.take().expect("the daemon runs");
        let status = process::wait_for_exit(&mut daemon, within);
        status.unwrap_or_else(|| panic!("the daemon did not end within {within:?}")).code()
    }

    fn check_alive(&mut self) {
        let ended = self.daemon.as_mut().and_then(|daemon| daemon.try_wait().ok().flatten());
        assert!(ended.is_none(), "the daemon has ended by itself: {ended:?}");
    }

    /// One call of the daemon's API.
    pub(crate) fn call(&self, method: &str, path: &str, body: &Value) -> std::io::Result<Answer> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        http::request(&self.socket(), method, path, body.as_bytes())
    }

    /// `aiplatctl` with these words, on this daemon.
    pub(crate) fn ctl(&self, words: &[&str]) -> Finished {
        let mut command = command(ctl_binary());
        command.arg("--socket").arg(self.socket()).args(words);
        process::capture(&mut command, Duration::from_secs(120))
    }

    pub(crate) fn status(&self) -> std::io::Result<StatusDoc> {
        self.status_after(0, 0)
    }

    fn status_after(&self, version: u64, secs: u64) -> std::io::Result<StatusDoc> {
        let answer = self.call("GET", &format!("/v1/status?after={version}&timeout={secs}"), &Value::Null)?;
        Ok(serde_json::from_slice(&answer.body)?)
    }

    /// Waits until the status satisfies `holds`, and returns it.
    pub(crate) fn wait(&mut self, what: &str, holds: impl Fn(&StatusDoc) -> bool) -> StatusDoc {
        self.wait_within(PATIENCE, what, holds)
    }

    pub(crate) fn wait_within(
        &mut self,
        patience: Duration,
        what: &str,
        holds: impl Fn(&StatusDoc) -> bool,
    ) -> StatusDoc {
        let deadline = Instant::now() + patience;
        let mut version = 0;
        loop {
            self.check_alive();
            match self.status_after(version, 1) {
                Ok(status) if holds(&status) => return status,
                Ok(status) => version = status.version,
                // It is still starting, or is being replaced.
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
            assert!(Instant::now() < deadline, "not within {patience:?}: {what}");
        }
    }

    /// Waits until everything is Ready.
    pub(crate) fn ready(&mut self) -> StatusDoc {
        self.wait("everything is Ready", all_ready)
    }

    /// Waits until everything is Ready and the daemon's own plan holds nothing any more.
    pub(crate) fn settled(&mut self) -> StatusDoc {
        // What starts has nothing planned either, until it is Ready.
        self.ready();
        let planned = || -> Option<DiffReply> {
            let answer = self.call("POST", "/v1/diff", &json!({"file": null})).ok()?;
            serde_json::from_slice(&answer.body).ok()
        };
        let nothing = |reply: DiffReply| reply.preview.waves.is_empty() && reply.preview.blocked.is_empty();
        assert!(until(PATIENCE, || planned().is_some_and(nothing)), "the plan stays {:#?}", planned());
        self.ready()
    }

    /// The container of a service, by its name on the host.
    pub(crate) fn container(&self, service: &str) -> Option<Value> {
        self.engine.inspect(&format!("{}-{service}", self.name))
    }

    /// The running container of each service. Panics if a service has two.
    pub(crate) fn runs(&self) -> BTreeMap<String, Run> {
        let mut runs = BTreeMap::new();
        for (service, run) in self.all_runs() {
            let before = runs.insert(service.clone(), run);
            assert!(before.is_none(), "{service} runs twice");
        }
        runs
    }

    /// What runs of one service, which may be two containers while one hands over to the other.
    pub(crate) fn runs_of(&self, service: &str) -> Vec<Run> {
        self.all_runs().into_iter().filter(|(of, _)| of == service).map(|(_, run)| run).collect()
    }

    fn all_runs(&self) -> Vec<(String, Run)> {
        let run = |listed: &Value| -> Option<(String, Run)> {
            let id = listed["Id"].as_str().expect("a container has an id").to_owned();
            let inspect = self.engine.inspect(&id).filter(|it| it["State"]["Running"] == json!(true))?;
            let resource = inspect["Config"]["Labels"]["io.aiplat.resource"].as_str().unwrap_or_default();
            let started_at = inspect["State"]["StartedAt"].as_str().unwrap_or_default().to_owned();
            Some((resource.trim_start_matches("container/").to_owned(), Run { id, started_at }))
        };
        self.engine.containers(&self.label()).iter().filter_map(run).collect()
    }

    /// What the container `id` answers at its own address on the default network.
    pub(crate) fn ask(&self, id: &str, path: &str) -> std::io::Result<Answer> {
        let inspect = self.engine.inspect(id).unwrap_or_default();
        let endpoint = &inspect["NetworkSettings"]["Networks"][format!("{}_default", self.name)];
        http::request_at(endpoint["IPAddress"].as_str().unwrap_or_default(), 8080, path)
    }

    /// Runs a program in the container of a service.
    pub(crate) fn exec(&self, service: &str, argv: &[&str]) -> Finished {
        let socket = self.docker_socket.display().to_string();
        self.ctl(&[&["exec", "--docker-socket", &socket, service, "--"][..], argv].concat())
    }

    /// Runs a container as somebody else would; `config` as for the engine's create call. Answers with its id.
    pub(crate) fn run_foreign(&self, name: &str, mut config: Value) -> String {
        config["Labels"][FOREIGN_LABEL] = json!(self.name);
        let created = self.engine.post(&format!("/containers/create?name={name}"), &config);
        let id = created["Id"].as_str().expect("a container has an id").to_owned();
        self.engine.post(&format!("/containers/{id}/start"), &Value::Null);
        id
    }

    /// Makes a volume as somebody else would.
    pub(crate) fn make_foreign_volume(&self, name: &str) {
        self.engine.post("/volumes/create", &json!({"Name": name, "Labels": {FOREIGN_LABEL: self.name}}));
    }

    /// Makes a network as somebody else would.
    pub(crate) fn make_foreign_network(&self, name: &str) {
        self.engine.post("/networks/create", &json!({"Name": name, "Labels": {FOREIGN_LABEL: self.name}}));
    }

    /// The daemon's log so far, all runs of it.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.path("aiplatd.log")
    }

    /// What a person needs to see why a test failed.
    #[allow(clippy::print_stderr, reason = "a failing test shows its evidence")]
    fn explain(&self) {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(40)..).unwrap_or_default().join("\n");
        let status = match self.status() {
            Ok(status) => outline(&status),
            Err(error) => format!("none: {error}"),
        };
        let file = fs::read_to_string(self.config()).unwrap_or_default();
        eprintln!("--- log of aiplatd ({})\n{tail}\n--- status\n{status}\n--- file\n{file}", self.name);
    }
}

/// A status in a screenful: words, messages and abnormal conditions.
fn outline(status: &StatusDoc) -> String {
    let mut text = format!("generation {}: {}\n", status.platform.generation, status.platform.sentence);
    for service in &status.services {
        text.push_str(&format!("{} {}: {}\n", service.name, service.status, service.message));
        for said in service.conditions.iter().filter(|said| !said.condition.is_normal()) {
            let c = &said.condition;
            text.push_str(&format!("    {}={} {}: {}\n", c.kind, c.status, c.reason, c.message));
        }
    }
    for event in status.events.iter().rev().take(20).rev() {
        text.push_str(&format!("{} {} {}: {}\n", event.time, event.reason, event.resource, event.message));
    }
    text + &status.platform.spec_report
}

impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.explain();
        }
        if let Some(mut daemon) = self.daemon.take() {
            // SIGTERM lets it end what it has begun, so that nothing is made after the guard has looked.
            let told = Pid::from_raw(daemon.id().cast_signed())
                .is_some_and(|pid| kill_process(pid, Signal::TERM).is_ok());
            let patience = if told { Duration::from_secs(10) } else { Duration::ZERO };
            let _killed_if_it_lives_on = process::wait_for_exit(&mut daemon, patience);
        }
        if self.private.is_some() {
            // All of it ends with its engine.
            return;
        }
        let labels = [self.label(), format!("{FOREIGN_LABEL}={}", self.name)];
        // A network is let go a moment after its last container.
        until(Duration::from_secs(10), || labels.iter().all(|label| self.engine.remove_labelled(label)));
    }
}
