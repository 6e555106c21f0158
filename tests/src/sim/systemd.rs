//! A simulated systemd: units with jobs, drop-ins, start limits and its own restarts, in paused time.

mod files;
mod own;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aiplat_core::{
    action::{Action, UnitVerb},
    condition::{ErrorClass, Reason},
    observed::{
        ActiveState, AsOf, FolderFacts, Incarnation, Instance, Listener, LoadState, ObservedUnit, OwnFiles,
        UnitEvidence, elsewhere, stranger,
    },
    spec::ProbeKind,
};
use aiplat_host::{HostError, HostErrorKind, LogOptions, LogStream, UnitAnswer, UnitHint, Units, Usage};
use futures_util::{
    FutureExt, StreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use tokio::{sync::broadcast, time::sleep};

/// What a unit's program does once it is started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Program {
    /// It runs, and answers.
    #[default]
    Serves,
    /// It runs, and answers nobody.
    Deaf,
    /// It ends this soon after its start, with this code and these last words.
    Ends(Duration, i32, &'static str),
}

/// One unit of the simulated machine.
#[derive(Debug, Clone, Default)]
pub struct Unit {
    /// As systemd shows it; what is ours, and what its process has, are kept up by the simulation.
    pub seen: ObservedUnit,
    /// What its program does.
    pub program: Program,
    /// `Restart=always`: systemd starts it again by itself, until the start limit.
    pub restarts: bool,
    /// What its program is given instead, whatever its files say.
    pub wrapped: BTreeMap<String, String>,
    /// Files that other people's drop-ins name with `EnvironmentFile=`: by the drop-in's path, what they set.
    pub others: BTreeMap<String, BTreeMap<String, String>>,
    /// When it was started of late.
    pub starts: Vec<tokio::time::Instant>,
    /// The command line of its file, as it was last read; empty for one that somebody else brings.
    pub command: String,
    /// The command lines of all its runs.
    pub runs: Vec<String>,
    /// How often its file was written.
    pub written: u32,
    /// It is being started for this long before it is active: `Type=notify`.
    pub activates_for: Duration,
    /// Who listens on its port in its place.
    pub imposter: Option<Listener>,
    /// What AppArmor denies it.
    pub denials: Vec<String>,
}

/// The machine's systemd.
#[derive(Clone)]
pub struct Systemd {
    inner: Arc<Mutex<Inner>>,
    hints: broadcast::Sender<UnitHint>,
}

#[derive(Default)]
pub(super) struct Inner {
    pub(super) units: BTreeMap<String, Unit>,
    folders: BTreeMap<String, FolderFacts>,
    instances: Vec<Instance>,
    away: Option<String>,
    reloads: u32,
    calls: Vec<String>,
    looks: u64,
    runs: u32,
    fetched: u32,
    /// What programs do that units of ours run, by command line; any other serves.
    programs: BTreeMap<String, Program>,
}

impl Inner {
    fn reload(&mut self) {
        for (name, unit) in &mut self.units {
            unit.seen.own.loaded = unit.seen.own.drop_in.is_some();
            unit.seen.needs_reload = false;
            if unit.seen.load == LoadState::Masked && !unit.seen.file_state.starts_with("masked") {
                unit.seen.load = LoadState::Loaded;
            }
            own::read(unit, name, &self.programs);
        }
    }
}

/// systemd's own defaults: five starts in ten seconds, 100 ms between them.
const LIMIT: usize = 5;
const LIMIT_WINDOW: Duration = Duration::from_secs(10);
const RESTART_SEC: Duration = Duration::from_millis(100);

impl Default for Systemd {
    fn default() -> Self {
        Self { inner: Arc::default(), hints: broadcast::channel(256).0 }
    }
}

impl Systemd {
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Installs a unit that does not run.
    pub fn install(&self, name: &str, unit: Unit) {
        let mut unit = unit;
        unit.seen.load = LoadState::Loaded;
        if unit.seen.file_state.is_empty() {
            unit.seen.file_state = "enabled".to_owned();
        }
        unit.seen.fragment = format!("/usr/lib/systemd/system/{name}");
        unit.seen.own = paths(name);
        self.lock().units.insert(name.to_owned(), unit);
        self.hint(name);
    }

    /// What the program with the command line `command`, as it stands in a unit's file, does from now on.
    pub fn program(&self, command: &str, program: Program) {
        self.lock().programs.insert(command.to_owned(), program);
    }

    /// A timer's time has come.
    pub fn fire(&self, timer: &str) {
        let is_waiting = self.lock().units.get(timer).is_some_and(|it| it.seen.active == ActiveState::Active);
        assert!(is_waiting, "{timer} does not wait");
        self.queue(&timer.replace(".timer", ".service"), "start");
    }

    /// The file of a unit is written, or removed, by hand.
    pub fn write_by_hand(&self, name: &str, text: Option<&str>) {
        let mut inner = self.lock();
        let programs = inner.programs.clone();
        own::write(inner.units.entry(name.to_owned()).or_default(), name, text, &programs);
        drop(inner);
        self.hint(name);
    }

    /// `systemctl daemon-reload`, by somebody else.
    pub fn reload_by_hand(&self) {
        self.lock().reload();
        drop(self.hints.send(UnitHint::Relist));
    }

    /// Changes a unit by hand, and says so.
    pub fn by_hand(&self, name: &str, change: impl FnOnce(&mut Unit)) {
        change(self.lock().units.get_mut(name).expect("the unit is installed"));
        self.hint(name);
    }

    /// `systemctl start`, by somebody else.
    pub fn start_by_hand(&self, name: &str) {
        self.queue(name, "start");
    }

    /// `systemctl stop`, by somebody else.
    pub fn stop_by_hand(&self, name: &str) {
        self.queue(name, "stop");
    }

    /// `systemctl restart`, by somebody else.
    pub fn restart_by_hand(&self, name: &str) {
        self.queue(name, "restart");
    }

    /// Its process is killed.
    pub fn kill(&self, name: &str) {
        self.ended(name, 9, true, "");
    }

    /// The bus goes away, or comes back.
    pub fn away(&self, why: Option<&str>) {
        self.lock().away = why.map(str::to_owned);
        let hint = match why {
            Some(reason) => UnitHint::Lost { reason: reason.to_owned() },
            None => UnitHint::Relist,
        };
        drop(self.hints.send(hint));
    }

    /// The machine is booted anew: nothing runs, nothing is remembered but the files.
    pub fn reboot(&self) {
        for unit in self.lock().units.values_mut() {
            unit.seen.active = ActiveState::Inactive;
            unit.seen.invocation = None;
            unit.seen.result = "success".to_owned();
            unit.seen.own.loaded = unit.seen.own.drop_in.is_some();
            unit.seen.effective = None;
            unit.starts.clear();
            unit.seen.systemd = format!("{}+", unit.seen.systemd);
        }
    }

    /// systemd unloads a unit that has ended, and forgets its last run with it.
    pub fn forget(&self, name: &str) {
        if let Some(unit) = self.lock().units.get_mut(name) {
            unit.seen.invocation = None;
        }
    }

    /// What systemd shows of a unit.
    #[must_use]
    pub fn unit(&self, name: &str) -> ObservedUnit {
        self.lock().units.get(name).map(|unit| unit.seen.clone()).unwrap_or_default()
    }

    /// Calls that changed something, so far.
    #[must_use]
    pub fn calls(&self) -> Vec<String> {
        self.lock().calls.clone()
    }

    /// A folder of the machine holds these files from now on, each of one byte.
    pub fn fill(&self, folder: &str, files: &[&str]) {
        let files = files.iter().map(|file| ((*file).to_owned(), 1)).collect();
        self.lock().folders.insert(folder.to_owned(), FolderFacts { files, cut: false });
    }

    /// These processes run on the machine.
    pub fn run_by_hand(&self, instances: Vec<Instance>) {
        self.lock().instances = instances;
    }

    /// `daemon-reload`s so far.
    #[must_use]
    pub fn reloads(&self) -> u32 {
        self.lock().reloads
    }

    /// How often a journal was fetched of a unit that runs.
    #[must_use]
    pub fn fetched(&self) -> u32 {
        self.lock().fetched
    }

    fn hint(&self, name: &str) {
        drop(self.hints.send(UnitHint::Changed(name.to_owned())));
    }

    fn queue(&self, name: &str, job: &'static str) {
        if let Some(unit) = self.lock().units.get_mut(name) {
            unit.seen.job = Some(job.to_owned());
        }
        self.hint(name);
        let (systemd, name) = (self.clone(), name.to_owned());
        drop(tokio::spawn(async move {
            sleep(Duration::from_millis(4)).await;
            if job != "start" {
                systemd.stopped(&name);
            }
            if job != "stop" {
                systemd.started(&name);
            }
            if let Some(unit) = systemd.lock().units.get_mut(&name) {
                unit.seen.job = None;
            }
            systemd.hint(&name);
        }));
    }

    fn stopped(&self, name: &str) {
        let mut inner = self.lock();
        let Some(unit) = inner.units.get_mut(name) else { return };
        unit.seen.active = ActiveState::Inactive;
        unit.seen.sub = "dead".to_owned();
        unit.seen.result = "success".to_owned();
        unit.seen.effective = None;
        unit.seen.main_pid = 0;
    }

    fn started(&self, name: &str) {
        let mut inner = self.lock();
        inner.runs += 1;
        let run = inner.runs;
        let Some(unit) = inner.units.get_mut(name) else { return };
        if unit.seen.active == ActiveState::Active {
            return;
        }
        let now = tokio::time::Instant::now();
        unit.starts.retain(|at| now.duration_since(*at) < LIMIT_WINDOW);
        if unit.starts.len() >= LIMIT {
            unit.seen.active = ActiveState::Failed;
            unit.seen.sub = "failed".to_owned();
            unit.seen.result = "start-limit-hit".to_owned();
            return;
        }
        unit.starts.push(now);
        let slow = unit.activates_for;
        unit.seen.active = if slow.is_zero() { ActiveState::Active } else { ActiveState::Activating };
        unit.seen.sub = if slow.is_zero() { "running" } else { "start" }.to_owned();
        unit.seen.result = "success".to_owned();
        unit.seen.main_pid = 1_000 + run;
        unit.seen.invocation = Some(Incarnation(format!("{run:032x}")));
        unit.runs.push(unit.command.clone());
        if name.ends_with(".timer") {
            unit.seen.sub = "waiting".to_owned();
            unit.seen.main_pid = 0;
            return;
        }
        let mut environment = unit.seen.environment.clone();
        for (_, variables) in unit.files() {
            environment.extend(variables);
        }
        environment.retain(|name, _| !unit.seen.unset.contains(name));
        environment.extend(unit.wrapped.clone());
        unit.seen.effective = Some(environment);
        // What it said is in the journal of its last run; this one has said nothing yet.
        unit.seen.tail.clear();
        if !slow.is_zero() {
            let (systemd, name, of) = (self.clone(), name.to_owned(), unit.seen.invocation.clone());
            drop(tokio::spawn(async move {
                sleep(slow).await;
                if let Some(unit) =
                    systemd.lock().units.get_mut(&name).filter(|unit| unit.seen.invocation == of)
                {
                    unit.seen.active = ActiveState::Active;
                    unit.seen.sub = "running".to_owned();
                }
                systemd.hint(&name);
            }));
        }
        if let Program::Ends(after, code, words) = unit.program {
            let (systemd, name, of) = (self.clone(), name.to_owned(), unit.seen.invocation.clone());
            drop(tokio::spawn(async move {
                sleep(after).await;
                if systemd.unit(&name).invocation == of {
                    systemd.ended(&name, code, false, words);
                }
            }));
        }
    }

    fn ended(&self, name: &str, status: i32, killed: bool, words: &str) {
        let again = {
            let mut inner = self.lock();
            let Some(unit) = inner.units.get_mut(name) else { return };
            if unit.seen.active != ActiveState::Active {
                return;
            }
            unit.seen.exit_status = status;
            unit.seen.killed = killed;
            unit.seen.effective = None;
            unit.seen.main_pid = 0;
            unit.seen.result = if killed {
                "signal".to_owned()
            } else if status == 0 {
                "success".to_owned()
            } else {
                "exit-code".to_owned()
            };
            unit.seen.tail = if words.is_empty() { Vec::new() } else { vec![words.to_owned()] };
            unit.seen.denials = unit.denials.clone();
            unit.seen.active = match (unit.restarts, status) {
                (true, _) => ActiveState::Activating,
                (false, 0) => ActiveState::Inactive,
                (false, _) => ActiveState::Failed,
            };
            unit.seen.sub = if unit.restarts { "auto-restart" } else { "dead" }.to_owned();
            unit.seen.restarts += u32::from(unit.restarts);
            unit.restarts
        };
        self.hint(name);
        if again {
            let (systemd, name) = (self.clone(), name.to_owned());
            drop(tokio::spawn(async move {
                sleep(RESTART_SEC).await;
                systemd.started(&name);
                systemd.hint(&name);
            }));
        }
    }

    fn change(&self, action: &Action) -> Result<(), HostError> {
        let refused = |message: String| {
            HostError::new(HostErrorKind::Refused, ErrorClass::Rejected, Reason::ActionRejected, message)
        };
        let mut inner = self.lock();
        if let Some(reason) = &inner.away {
            return Err(away(reason));
        }
        inner.calls.push(action.to_string());
        if let Action::WriteUnitFiles(files) = action {
            let unit = inner.units.get_mut(&files.unit).ok_or_else(|| refused("no such unit".to_owned()))?;
            unit.seen.own.drop_in = Some(files.drop_in.clone());
            unit.seen.own.environment = Some(files.environment.clone());
            unit.seen.needs_reload = !unit.seen.own.loaded;
        } else if let Action::RemoveUnitFiles { unit } = action {
            if let Some(unit) = inner.units.get_mut(unit) {
                unit.seen.own.drop_in = None;
                unit.seen.own.environment = None;
                unit.seen.needs_reload = unit.seen.own.loaded;
            }
        } else if let Action::WriteUnit(file) = action {
            let programs = inner.programs.clone();
            let unit = inner.units.entry(file.unit.clone()).or_default();
            own::write(unit, &file.unit, Some(&file.text), &programs);
            unit.seen.own.environment.clone_from(&file.environment);
        } else if let Action::RemoveUnit { unit: name } = action {
            if let Some(unit) = inner.units.get_mut(name) {
                own::write(unit, name, None, &BTreeMap::new());
                unit.seen.own.environment = None;
            }
        } else if *action == Action::ReloadSystemd {
            inner.reloads += 1;
            inner.reload();
            drop(self.hints.send(UnitHint::Relist));
        } else if let Action::Unit { unit: name, verb } = action {
            let unit = inner.units.get_mut(name).ok_or_else(|| refused(format!("no unit {name}")))?;
            match verb {
                UnitVerb::Start | UnitVerb::Stop | UnitVerb::Restart => {
                    drop(inner);
                    self.queue(name, verb.as_str());
                }
                UnitVerb::ResetFailed => {
                    unit.seen.active = ActiveState::Inactive;
                    unit.seen.result = "success".to_owned();
                    unit.starts.clear();
                }
                UnitVerb::Unmask => {
                    if unit.seen.file_state == "masked" {
                        unit.seen.file_state = "enabled".to_owned();
                    }
                    if !unit.seen.active.is_alive() {
                        unit.seen.load = LoadState::Loaded;
                    }
                }
                UnitVerb::Enable => unit.seen.file_state = "enabled".to_owned(),
                UnitVerb::Disable => unit.seen.file_state = "disabled".to_owned(),
            }
        } else {
            return Err(HostError::misdirected(action, "systemd"));
        }
        Ok(())
    }
}

/// Where what is ours of the unit `name` is, or would be.
fn paths(name: &str) -> OwnFiles {
    OwnFiles {
        drop_in_path: format!("/etc/systemd/system/{name}.d/50-aiplatd.conf"),
        environment_path: format!("/var/lib/aiplatd/units/{name}.env"),
        unit_path: format!("/etc/systemd/system/{name}"),
        ..OwnFiles::default()
    }
}

fn away(reason: &str) -> HostError {
    let message = reason.to_owned();
    HostError::new(HostErrorKind::Unreachable, ErrorClass::Transient, Reason::SystemdUnreachable, message)
}

impl Units for Systemd {
    fn observe<'a>(&'a self, unit: &'a str) -> BoxFuture<'a, Result<ObservedUnit, HostError>> {
        async move {
            sleep(Duration::from_micros(200)).await;
            let mut inner = self.lock();
            if let Some(reason) = &inner.away {
                return Err(away(reason));
            }
            inner.looks += 1;
            let as_of = AsOf(inner.looks);
            let seen =
                inner.units.get(unit).map(|it| ObservedUnit { layers: it.layers(), ..it.seen.clone() });
            let seen = seen.unwrap_or_else(|| ObservedUnit { own: paths(unit), ..ObservedUnit::default() });
            Ok(ObservedUnit { as_of, ..seen })
        }
        .boxed()
    }

    fn apply<'a>(&'a self, action: &'a Action) -> BoxFuture<'a, Result<(), HostError>> {
        async move {
            sleep(Duration::from_millis(1)).await;
            self.change(action)
        }
        .boxed()
    }

    fn hints(&self) -> BoxStream<'static, UnitHint> {
        let receiver = self.hints.subscribe();
        let rest = stream::unfold(receiver, |mut receiver| async move {
            match receiver.recv().await {
                Ok(hint) => Some((hint, receiver)),
                Err(broadcast::error::RecvError::Lagged(_)) => Some((UnitHint::Relist, receiver)),
                Err(broadcast::error::RecvError::Closed) => None,
            }
        });
        stream::iter([UnitHint::Relist]).chain(rest).boxed()
    }

    fn probe<'a>(
        &'a self,
        unit: &'a str,
        address: IpAddr,
        kind: &'a ProbeKind,
        _timeout: Duration,
    ) -> BoxFuture<'a, UnitAnswer> {
        async move {
            sleep(Duration::from_millis(1)).await;
            let inner = self.lock();
            let port = kind.port().unwrap_or_default();
            let found = inner.units.get(unit);
            let listeners = found.map(|found| found.listeners(unit)).unwrap_or_default();
            let who = stranger(&listeners, address, unit);
            let said = match who {
                Some(who) => Err(format!("{kind}: 200; but that was {who}")),
                None if found.is_some_and(|found| found.answers(unit, address)) => Ok(format!("{kind}: 200")),
                None if listeners.is_empty() => {
                    Err(format!("{kind}: refused; {}", elsewhere(&listeners, port)))
                }
                None => Err(format!("{kind}: refused")),
            };
            UnitAnswer { said, listeners: Some(listeners) }
        }
        .boxed()
    }

    fn evidence<'a>(&'a self, unit: &'a str) -> BoxFuture<'a, UnitEvidence> {
        async move {
            sleep(Duration::from_millis(1)).await;
            let mut inner = self.lock();
            inner.fetched += 1;
            let found = inner.units.get(unit);
            let denials = found.map(|found| found.denials.clone()).unwrap_or_default();
            UnitEvidence { journal: vec![format!("{unit} is up")], denials }
        }
        .boxed()
    }

    fn usage<'a>(&'a self, unit: &'a str) -> BoxFuture<'a, Result<Usage, HostError>> {
        async move {
            sleep(Duration::from_secs(1)).await;
            let inner = self.lock();
            let is_up = inner.units.get(unit).is_some_and(|unit| unit.seen.active.is_alive());
            let used = Usage { cpu_percent: 12.5, memory: 1 << 20, pids: 3, ..Usage::default() };
            is_up.then_some(used).ok_or_else(|| HostError::misdirected(unit, "a unit that does not run"))
        }
        .boxed()
    }

    fn folders(&self, paths: Vec<String>) -> BoxFuture<'_, BTreeMap<String, FolderFacts>> {
        async move {
            sleep(Duration::from_millis(1)).await;
            let folders = &self.lock().folders;
            let facts = |path: String| {
                let facts = folders.get(&path).cloned().unwrap_or_default();
                (path, facts)
            };
            paths.into_iter().map(facts).collect()
        }
        .boxed()
    }

    fn instances(&self, programs: BTreeSet<String>) -> BoxFuture<'_, Vec<Instance>> {
        async move {
            sleep(Duration::from_millis(1)).await;
            let inner = self.lock();
            inner.instances.iter().filter(|it| programs.contains(&it.program)).cloned().collect()
        }
        .boxed()
    }

    fn logs<'a>(
        &'a self,
        unit: &'a str,
        _options: &'a LogOptions,
    ) -> BoxFuture<'a, Result<LogStream, HostError>> {
        async move { Err(HostError::misdirected(format_args!("the journal of {unit}"), "this simulation")) }
            .boxed()
    }
}
