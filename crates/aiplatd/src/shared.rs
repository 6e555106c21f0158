//! The daemon's parts, and how its tasks look, list, hint and remember. The lock is never held across an await.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use aiplat_core::{
    Kind, ResourceId, Timestamp,
    action::Action,
    ledger::Ledger,
    observed::{Listing, Observed, ObservedContainer, ObservedUnit},
    plan,
    spec::InstanceId,
};
use aiplat_host::{Backend, FileHost, Gpus, HostError, HostErrorKind, Machine, Models, Progress, Units};
use aiplat_runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    ports::{Batch, Clock, SpecSource, StateStore},
    spec,
    state::State,
};

/// The daemon's parts, shared by its tasks.
pub struct Shared {
    /// The engine.
    pub host: Arc<dyn Backend>,
    /// systemd.
    pub units: Arc<dyn Units>,
    /// The files of configs.
    pub files: Arc<dyn FileHost>,
    /// What the machine consists of.
    pub machine: Arc<dyn Machine>,
    /// Its GPUs.
    pub gpus: Arc<dyn Gpus>,
    /// Servers of models.
    pub models: Arc<dyn Models>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Where the ledger is kept.
    pub store: Arc<dyn StateStore>,
    /// Where the file is.
    pub source: Arc<dyn SpecSource>,
    /// Whose objects are ours.
    pub instance: InstanceId,
    /// Our state folder: never mountable by a service.
    pub state_dir: PathBuf,
    handle: OnceLock<Handle<ResourceId>>,
    state: Mutex<State>,
    version: watch::Sender<u64>,
    /// Somebody wants the machine to be looked at before its time.
    pub(crate) look_soon: Notify,
    machine_goes_down: AtomicBool,
    /// A service that has a GPU has begun, or ended.
    pub(crate) gpus_used: Notify,
}

/// How often the mounted files of services that wait are looked at.
const FILES_EVERY: Duration = Duration::from_secs(2);
/// A look takes no longer than this.
pub(crate) const LOOK_DEADLINE: Duration = Duration::from_secs(30);

impl Shared {
    /// The parts of a daemon that has not looked at anything yet.
    #[must_use]
    pub fn new(
        ports: crate::daemon::Ports,
        instance: InstanceId,
        state_dir: PathBuf,
        ledger: Ledger,
        ledger_lost: Option<String>,
    ) -> Self {
        let state = State::remembering(ledger, ledger_lost);
        let crate::daemon::Ports { host, units, files, machine, gpus, models, clock, store, source } = ports;
        Self {
            host,
            units,
            files,
            machine,
            gpus,
            models,
            clock,
            store,
            source,
            instance,
            state_dir,
            handle: OnceLock::new(),
            state: Mutex::new(state),
            version: watch::Sender::new(1),
            look_soon: Notify::new(),
            machine_goes_down: AtomicBool::new(false),
            gpus_used: Notify::new(),
        }
    }

    /// The controller that runs the passes, which itself needs these parts: told once, before anything runs.
    ///
    /// # Panics
    /// When told twice.
    pub fn set_controller(&self, handle: Handle<ResourceId>) {
        assert!(self.handle.set(handle).is_ok(), "there is one controller");
    }

    /// The daemon's end will be the machine's.
    pub fn note_machine_goes_down(&self) {
        self.machine_goes_down.store(true, Ordering::Release);
    }

    /// Whether the daemon's end is the machine's.
    #[must_use]
    pub fn machine_goes_down(&self) -> bool {
        self.machine_goes_down.load(Ordering::Acquire)
    }

    /// Asks for a pass of each of `ids`.
    pub fn schedule(&self, ids: impl IntoIterator<Item = ResourceId>) {
        self.controller().schedule_all_now(ids);
    }

    /// Schedules passes.
    ///
    /// # Panics
    /// Before the controller has been told.
    #[must_use]
    pub fn controller(&self) -> &Handle<ResourceId> {
        self.handle.get().expect("the controller is told before anything runs")
    }

    /// The state, locked. A pass that panicked with it locked left a plain value: it is used as it is.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Boot time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Tells those who watch that something they may show has changed.
    pub fn changed(&self) {
        self.version.send_modify(|version| *version += 1);
    }

    /// Rises with every change.
    #[must_use]
    pub fn versions(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Looks at `id` afresh and takes in what is seen.
    ///
    /// # Errors
    /// When its host cannot be asked. What was known stays.
    pub async fn look(&self, id: &ResourceId) -> Result<(), HostError> {
        if *id == ResourceId::local() {
            // It is looked at by the clock, and nothing is done to it.
            return Ok(());
        }
        if *id == ResourceId::docker() {
            return self.look_at_engine_file().await;
        }
        if matches!(id.kind, Kind::Unit | Kind::Host) {
            return self.look_at_units(id).await;
        }
        if id.kind == Kind::File {
            return self.look_at_config(id).await;
        }
        if id.kind == Kind::Model {
            self.look_at_model(id).await;
            return Ok(());
        }
        let target = {
            let mut state = self.lock();
            // Taken off before the read begins: a hint that comes during the read puts it back.
            state.mark_fresh(id);
            state.target(id)
        };
        let observed = match tokio::time::timeout(LOOK_DEADLINE, self.host.observe(&target)).await {
            Ok(result) => result,
            Err(_elapsed) => Err(timed_out(&format!("looking at {id} took longer than 30s"))),
        };
        match observed {
            Ok(observed) => {
                let waiting = self.lock().record(observed, &self.instance, self.clock.now());
                self.schedule(waiting);
                self.look_at_configs_of(id).await;
                self.look_at_files(id).await;
                self.look_at_ports(id).await;
                Ok(())
            }
            Err(error) => {
                self.lock().mark_stale(id);
                if error.kind == HostErrorKind::Unreachable {
                    self.record_loss(&error.message);
                }
                Err(error)
            }
        }
    }

    /// Looks afresh at the unit that `id` is, and at the one that it was; at all of them for systemd itself.
    async fn look_at_units(&self, id: &ResourceId) -> Result<(), HostError> {
        let names = {
            let mut state = self.lock();
            state.mark_fresh(id);
            state.unit_names(id)
        };
        let mut seen = Vec::with_capacity(names.len());
        for name in names {
            match self.observe_unit(&name).await {
                Ok(unit) => seen.push((name, unit)),
                Err(error) => {
                    self.lock().mark_stale(id);
                    if error.kind == HostErrorKind::Unreachable {
                        self.record_systemd_loss(&error.message);
                    }
                    return Err(error);
                }
            }
        }
        self.note_systemd_back();
        self.note_rewritten(Some(id), &seen);
        // Who waits for systemd to read a drop-in sees that it has.
        let waiting = self.lock().record(Observed::Units(seen), &self.instance, self.clock.now());
        self.schedule(waiting);
        self.look_at_folders(id).await;
        if id.kind == Kind::Unit {
            self.schedule([ResourceId::systemd()]);
        }
        Ok(())
    }

    async fn observe_unit(&self, name: &str) -> Result<ObservedUnit, HostError> {
        match tokio::time::timeout(LOOK_DEADLINE, self.units.observe(name)).await {
            Ok(result) => result,
            Err(_elapsed) => Err(timed_out(&format!("looking at {name} took longer than 30s"))),
        }
    }

    /// systemd cannot be reached: nothing is dead for that.
    pub fn record_systemd_loss(&self, reason: &str) {
        let mut state = self.lock();
        let is_news = state.observed.systemd.away.is_none();
        state.observed.record_systemd_loss(reason.to_owned());
        if is_news {
            let said = format!("systemd does not answer: {reason}");
            state.events.warn(self.clock.wall_ms(), "SystemdLost", "platform", said);
            tracing::warn!(reason, "systemd is out of reach; no unit is touched until it answers.");
        }
        let ids = if is_news { state.of_systemd() } else { Vec::new() };
        drop(state);
        // Whoever could not look tries again in its own time: telling everybody each time would never end.
        self.schedule(ids);
        self.changed();
    }

    /// Looks at units that a file asks for which is not in force yet; one that cannot be looked at stays unknown.
    pub async fn look_for_units(&self, names: BTreeSet<String>) {
        let mut seen = Vec::with_capacity(names.len());
        for name in names {
            if let Ok(unit) = self.observe_unit(&name).await {
                seen.push((name, unit));
            }
        }
        // What is seen here for the first time is no news to the next look.
        self.note_rewritten(None, &seen);
        self.lock().observed.record(Observed::Units(seen), &self.instance, self.clock.now());
    }

    fn note_systemd_back(&self) {
        let mut state = self.lock();
        if state.observed.systemd.away.is_some() {
            let said = "systemd answers again".to_owned();
            state.events.note(self.clock.wall_ms(), "SystemdBack", "platform", said);
        }
    }

    /// Looks at every unit again.
    pub fn relist_units(&self) {
        let ids = {
            let mut state = self.lock();
            state.observed.systemd.reloaded_at = Some(self.now());
            let ids = state.of_systemd();
            for id in &ids {
                state.mark_stale(id);
            }
            ids
        };
        self.schedule(ids);
    }

    /// Does one action to the host that it is for.
    ///
    /// # Errors
    /// As the host has it.
    pub async fn apply(
        &self,
        id: &ResourceId,
        action: &Action,
        progress: Progress,
        cancel: CancellationToken,
    ) -> Result<(), HostError> {
        match id.kind {
            Kind::Host if *id == ResourceId::docker() => self.files.apply(id, action).await,
            Kind::Unit | Kind::Host => self.units.apply(action).await,
            Kind::File => self.files.apply(id, action).await,
            Kind::Image => self.pull(id, action, progress, cancel).await,
            Kind::Model => self.pull_model(id, action, progress, cancel).await,
            Kind::Container | Kind::Network | Kind::Volume => {
                self.host.apply(id, action, progress, cancel).await
            }
        }
    }

    /// Looks at what `id` mounts from the host, while it is in trouble; answers whether anything is another than it was.
    async fn look_at_files(&self, id: &ResourceId) -> bool {
        let paths = {
            let state = self.lock();
            state.world(self.now()).map(|world| plan::paths_in_doubt(&world, id)).unwrap_or_default()
        };
        if paths.is_empty() {
            return false;
        }
        let stamps = self.host.stamps(paths).await;
        let files = &mut self.lock().observed.files;
        let is_news = stamps.iter().any(|(path, stamp)| files.get(path).is_some_and(|known| known != stamp));
        files.extend(stamps);
        is_news
    }

    /// Follows the files of services that wait, for ever: who mends a mounted configuration is not made to wait.
    pub async fn follow_files(&self) {
        loop {
            tokio::time::sleep(FILES_EVERY).await;
            let waiting: Vec<ResourceId> = self.lock().waiting.iter().cloned().collect();
            for id in waiting {
                if self.look_at_files(&id).await
                    || self.look_at_folders(&id).await
                    || self.look_at_ports(&id).await
                {
                    self.schedule([id]);
                }
            }
        }
    }

    /// Lists everything and plans everything.
    ///
    /// # Errors
    /// When the engine cannot be asked.
    pub async fn relist(&self) -> Result<(), HostError> {
        let listed = match tokio::time::timeout(LOOK_DEADLINE, self.host.observe_all()).await {
            Ok(result) => result,
            Err(_elapsed) => Err(timed_out("listing containers, networks and volumes took longer than 30s")),
        };
        match listed {
            Ok(mut listing) => {
                self.inspect_in_rotation(&mut listing).await;
                let ids = self.lock().record_listing(listing, &self.instance, self.clock.now());
                self.changed();
                self.schedule(ids);
                Ok(())
            }
            Err(error) => {
                self.record_loss(&error.message);
                Err(error)
            }
        }
    }

    /// What a listing does not show (limits, aliases, start times) is inspected in rotation: a thirtieth of our
    /// containers at each listing, so that a converged platform of any size costs three lists and little more.
    async fn inspect_in_rotation(&self, listing: &mut Listing) {
        let instance = &self.instance;
        let mut ours: Vec<&mut ObservedContainer> =
            listing.containers.iter_mut().filter(|container| container.is_owned_by(instance)).collect();
        let turns = self.lock().rotation.take(ours.len());
        for turn in turns {
            if let Some(container) = ours.get_mut(turn)
                && let Err(error) = self.host.detail(container).await
            {
                tracing::debug!(error = %error, "A container could not be inspected in its turn.");
            }
        }
    }

    /// The engine cannot be reached: nothing is dead for that, and deaths around it are not held against anybody.
    pub fn record_loss(&self, reason: &str) {
        let now = self.clock.now();
        let mut state = self.lock();
        if state.observed.engine.away.is_none() {
            let forgiven = state.ledger.forgive_restarts_since(now);
            state.unsaved.extend(forgiven);
            state.events.warn(
                self.clock.wall_ms(),
                "EngineLost",
                "platform",
                format!("the engine does not answer: {reason}"),
            );
            tracing::warn!(reason, "The engine is out of reach; nothing is touched until it answers.");
        }
        state.observed.record_loss(reason.to_owned(), now);
        drop(state);
        self.changed();
    }

    /// A hint: `id` must be looked at before it is acted on.
    pub fn hint(&self, id: ResourceId) {
        self.lock().mark_stale(&id);
        self.schedule([id]);
    }

    /// A hint: the unit of this name must be looked at.
    pub fn hint_unit(&self, name: &str) {
        let ids = {
            let mut state = self.lock();
            let is_it = |id: &ResourceId| id.kind == Kind::Unit && state.unit_names(id).contains(name);
            let ids: Vec<ResourceId> = state.of_systemd().into_iter().filter(is_it).collect();
            for id in &ids {
                state.mark_stale(id);
            }
            ids
        };
        self.schedule(ids);
    }

    /// Writes the records of `ids`; when that fails we go on from memory, and say so.
    pub async fn commit(&self, ids: &[ResourceId]) {
        let records = self.lock().records(ids);
        self.commit_batch(Batch { records, ..Batch::default() }).await;
    }

    /// Writes what may wait a second, and what could not be written before.
    pub async fn save(&self) {
        let batch = {
            let mut state = self.lock();
            let unsaved = std::mem::take(&mut state.unsaved);
            let files = std::mem::take(&mut state.files_unsaved);
            Batch {
                records: state.records(&unsaved),
                last_good: files.then(|| spec::last_good(&state)),
                history: files.then(|| state.history.clone()),
                events: state.events.take_unsaved(),
            }
        };
        if batch != Batch::default() {
            self.commit_batch(batch).await;
        }
    }

    /// Writes a batch; when that fails we go on from memory, and say so.
    pub async fn commit_batch(&self, batch: Batch) {
        let ids: Vec<ResourceId> = batch.records.keys().cloned().collect();
        let has_files = batch.last_good.is_some() || batch.history.is_some();
        let events: Vec<u64> = batch.events.keys().copied().collect();
        let result = self.store.commit(batch).await;
        let mut state = self.lock();
        match result {
            Ok(()) => {
                if state.store_failing.take().is_some() {
                    state.events.note(
                        self.clock.wall_ms(),
                        "LedgerWritable",
                        "platform",
                        "the state folder can be written again".to_owned(),
                    );
                }
            }
            Err(error) => {
                let message = error.to_string();
                if state.store_failing.as_ref() != Some(&message) {
                    tracing::error!(error = %message, "The ledger cannot be written; going on from memory.");
                    let text =
                        format!("the ledger cannot be written: {message}; healing goes on from memory");
                    state.events.warn(self.clock.wall_ms(), "LedgerUnwritable", "platform", text);
                }
                state.store_failing = Some(message);
                // Tried again with the next flush: a later success for others says nothing of these.
                state.unsaved.extend(ids);
                state.files_unsaved |= has_files;
                state.events.still_unsaved(events);
            }
        }
    }
}

pub(crate) fn timed_out(message: &str) -> HostError {
    use aiplat_core::condition::{ErrorClass, Reason};
    HostError::new(HostErrorKind::OutcomeUnknown, ErrorClass::Transient, Reason::ActionFailed, message)
}
