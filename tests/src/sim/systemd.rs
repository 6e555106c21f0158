//! A simulated systemd: units with jobs, drop-ins, start limits and its own restarts, in paused time. The same clauses as a
//! real one (`contract::units`) say what it does.

mod apply;
mod daemon;
mod files;
mod jobs;
mod own;
mod people;
mod port;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aiplat_core::observed::{
    ActiveState, FileStamp, FolderFacts, Instance, Listener, LoadState, ObservedUnit,
};
use aiplat_host::UnitHint;
use tokio::sync::broadcast;

use jobs::Limit;
use own::Read;
pub use people::{bystander, packaged};

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

/// `Restart=`, as far as these tests use it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Restarts {
    /// An end is an end.
    #[default]
    No,
    /// systemd starts it again by itself, until the start limit.
    Always,
    /// The same where it has failed.
    OnFailure,
}

/// Who brings a unit that is not of aiplatd's writing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Package {
    #[default]
    Nobody,
    /// A package whose file is good, whatever stands in it: what it says is in the other fields.
    Good,
    /// A package with this file.
    File(String),
}

/// One unit of the simulated machine.
#[derive(Debug, Clone, Default)]
pub struct Unit {
    /// As systemd knows it; what can be told from the files is added by a look.
    pub seen: ObservedUnit,
    /// What its program does.
    pub program: Program,
    /// What systemd itself does when it ends.
    pub restarts: Restarts,
    /// What its program is given instead, whatever its files say.
    pub wrapped: BTreeMap<String, String>,
    /// Files that other people's drop-ins name with `EnvironmentFile=`: by the drop-in's path, what they set.
    pub others: BTreeMap<String, BTreeMap<String, String>>,
    /// A drop-in of somebody else's with an empty `EnvironmentFile=`: what earlier files name is void.
    pub void: Option<String>,
    /// The command line of its file, as it was last read; empty for one whose file is not modelled.
    pub command: String,
    /// The command lines of all its runs.
    pub runs: Vec<String>,
    /// It is being started for this long before it is active: `Type=notify`.
    pub activates_for: Duration,
    /// Who listens on its port in its place.
    pub imposter: Option<Listener>,
    /// What AppArmor denies it.
    pub denials: Vec<String>,
    /// The rest.
    pub inside: Inside,
}

/// What of a unit is nobody's to set but the simulation's.
#[derive(Debug, Clone, Default)]
pub struct Inside {
    package: Package,
    /// There is a link to /dev/null in front of its file; what `file_state` was before.
    mask: Option<String>,
    /// How often its file, its package's or ours, was written.
    written: u32,
    drop_in_written: u32,
    read: Read,
    /// Somebody on the bus asks systemd not to forget it.
    kept: bool,
    /// It was enabled when systemd last read its files: a target that is up wants it.
    is_wanted: bool,
    limit: Limit,
    /// How long systemd waits for its start, and before a restart; that it has done its work when it ends.
    start_timeout: Option<Duration>,
    restart_delay: Option<Duration>,
    is_oneshot: bool,
    /// Counts jobs: a later one takes the place of one that has not begun.
    jobs: u64,
}

impl Unit {
    /// Whether somebody else brings its file.
    pub(crate) fn is_packaged(&self) -> bool {
        self.inside.package != Package::Nobody
    }

    /// What systemd does not forget by itself.
    fn is_in_memory(&self) -> bool {
        let ObservedUnit { active, job, .. } = &self.seen;
        let is_busy = active.is_alive() || *active == ActiveState::Failed || job.is_some();
        // What was not found is looked for again whenever somebody asks.
        let is_wanted = self.inside.is_wanted && self.seen.load != LoadState::NotFound;
        self.inside.kept || is_wanted || is_busy
    }
}

/// The machine's systemd.
#[derive(Clone)]
pub struct Systemd {
    inner: Arc<Mutex<Inner>>,
    hints: broadcast::Sender<UnitHint>,
    daemon: Option<daemon::Daemon>,
}

#[derive(Default)]
pub(super) struct Inner {
    pub(super) units: BTreeMap<String, Unit>,
    folders: BTreeMap<String, FolderFacts>,
    instances: Vec<Instance>,
    away: Option<String>,
    reloads: u32,
    /// When somebody else has let it read its files.
    read_by_hand: Option<tokio::time::Instant>,
    calls: Vec<String>,
    looks: u64,
    runs: u32,
    fetched: u32,
    /// What programs do, by command line; any other serves.
    programs: BTreeMap<String, Program>,
}

impl Default for Systemd {
    fn default() -> Self {
        Self { inner: Arc::default(), hints: broadcast::channel(256).0, daemon: None }
    }
}

impl Inner {
    fn reload(&mut self) {
        for (name, unit) in &mut self.units {
            own::read(unit, name, &self.programs);
        }
    }

    /// The unit of that name, as systemd has it in memory from now on.
    fn loaded(&mut self, name: &str) -> Option<&mut Unit> {
        let unit = self.units.get_mut(name)?;
        if !unit.is_in_memory() {
            own::forget(unit);
            own::read(unit, name, &self.programs);
        } else if unit.seen.load == LoadState::NotFound {
            own::find(unit, name);
        }
        Some(unit)
    }

    fn entry(&mut self, name: &str) -> &mut Unit {
        let unit = self.units.entry(name.to_owned()).or_default();
        if unit.seen.own.unit_path.is_empty() {
            unit.seen.own = files::paths(name);
        }
        unit
    }
}

impl Systemd {
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Installs a unit that does not run, with a file that is good.
    pub fn install(&self, name: &str, unit: Unit) {
        let mut unit = unit;
        unit.inside.package = Package::Good;
        unit.seen.load = LoadState::Loaded;
        if unit.seen.file_state.is_empty() {
            unit.seen.file_state = "enabled".to_owned();
        }
        unit.inside.is_wanted = unit.seen.file_state == "enabled";
        unit.seen.fragment = files::packaged(name);
        unit.seen.own = files::paths(name);
        self.lock().units.insert(name.to_owned(), unit);
        self.hint(name);
    }

    /// A package writes the file of a unit, or takes it away. systemd is not told.
    pub fn package(&self, name: &str, text: Option<&str>) {
        let mut inner = self.lock();
        let unit = inner.entry(name);
        unit.inside.package = text.map_or(Package::Nobody, |text| Package::File(text.to_owned()));
        unit.inside.written += 1;
    }

    /// What the program with the command line `command`, as it stands in a unit's file, does from now on.
    pub fn program(&self, command: &str, program: Program) {
        self.lock().programs.insert(command.to_owned(), program);
    }

    /// A timer's time has come.
    pub fn fire(&self, timer: &str) {
        {
            let mut inner = self.lock();
            let unit = inner.units.get_mut(timer).filter(|it| it.seen.active == ActiveState::Active);
            let unit = unit.unwrap_or_else(|| panic!("{timer} does not wait"));
            unit.seen.last_wall_ms = Some(unit.seen.last_wall_ms.unwrap_or_default() + 1);
        }
        self.queue(&timer.replace(".timer", ".service"), "start");
    }

    /// The file of a unit in /etc is written, or removed, by hand.
    pub fn write_by_hand(&self, name: &str, text: Option<&str>) {
        own::write(self.lock().entry(name), text);
        self.hint(name);
    }

    /// `systemctl daemon-reload`, by somebody else.
    pub fn reload_by_hand(&self) {
        let mut inner = self.lock();
        inner.reload();
        inner.read_by_hand = Some(tokio::time::Instant::now());
        drop(inner);
        self.relist();
    }

    /// `systemctl daemon-reexec`: everything runs on.
    pub fn reexec(&self) {
        self.reload_by_hand();
    }

    /// `systemctl mask`, which reloads.
    pub fn mask_by_hand(&self, name: &str) {
        let mut inner = self.lock();
        let seen = &inner.entry(name).seen.file_state;
        let before = seen.clone();
        inner.entry(name).inside.mask.get_or_insert(before);
        drop(inner);
        self.reload_by_hand();
    }

    /// `systemctl unmask`, which reloads.
    pub fn unmask_by_hand(&self, name: &str) {
        self.lock().entry(name).unmask();
        self.reload_by_hand();
    }

    /// Changes a unit by hand, and says so.
    pub fn by_hand(&self, name: &str, change: impl FnOnce(&mut Unit)) {
        change(self.lock().units.get_mut(name).expect("the unit is installed"));
        self.hint(name);
    }

    /// Changes a unit by hand, and nobody says so.
    pub fn by_hand_unseen(&self, name: &str, change: impl FnOnce(&mut Unit)) {
        change(self.lock().units.get_mut(name).expect("the unit is installed"));
    }

    /// What the file at `path` looks like, if it is that of a unit.
    pub(crate) fn stamp(&self, path: &str) -> Option<FileStamp> {
        let inner = self.lock();
        let mut units = inner.units.values().map(Unit::view);
        units.find(|unit| unit.fragment == path)?.fragment_stamp
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
        match why {
            Some(reason) => drop(self.hints.send(UnitHint::Lost { reason: reason.to_owned() })),
            None => self.relist(),
        }
    }

    /// The machine is booted anew: nothing runs, nothing is remembered but the files. What is enabled is started.
    pub fn reboot(&self) {
        let mut enabled = Vec::new();
        {
            let mut inner = self.lock();
            let Inner { units, programs, .. } = &mut *inner;
            for (name, unit) in units {
                own::forget(unit);
                own::read(unit, name, programs);
                unit.inside.limit = Limit::default();
                unit.inside.kept = false;
                unit.seen.systemd.push('+');
                if unit.seen.load == LoadState::Loaded && unit.seen.file_state == "enabled" {
                    enabled.push(name.clone());
                }
            }
        }
        enabled.iter().for_each(|name| self.queue(name, "start"));
    }

    /// Who asked systemd not to forget its units has left the bus: those that have ended, and that nothing wants, are forgotten.
    pub fn let_go(&self) {
        for unit in self.lock().units.values_mut() {
            unit.inside.kept = false;
        }
    }

    /// Whether somebody else has let it read its files less than a second ago: who looked before that may do so, too.
    pub(crate) fn was_read_of_late(&self) -> bool {
        self.lock().read_by_hand.is_some_and(|at| at.elapsed() < Duration::from_secs(1))
    }

    /// What systemd shows of a unit.
    #[must_use]
    pub fn unit(&self, name: &str) -> ObservedUnit {
        self.lock().units.get(name).map(Unit::view).unwrap_or_default()
    }

    /// The units that it knows, by name.
    #[must_use]
    pub fn snapshot(&self) -> BTreeMap<String, Unit> {
        self.lock().units.clone()
    }

    /// Whether anybody has brought a unit, or asked for one to be.
    pub(crate) fn has_units(&self) -> bool {
        !self.lock().units.is_empty()
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

    fn relist(&self) {
        drop(self.hints.send(UnitHint::Relist));
    }
}
