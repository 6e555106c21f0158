//! What the daemon knows: one plain value behind one lock, which is never held across an await.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use aiplat_core::{
    Kind, ResourceId, Timestamp,
    condition::{ConditionType, Status},
    ledger::{Ledger, Record, Transition},
    observed::{Incarnation, Listing, Observed, ObservedState},
    plan::{self, Step, Verdict, World},
    preview,
    spec::{InstanceId, Platform},
};
use aiplat_host::{Backend, HostError, HostErrorKind, Target};
use aiplat_runtime::Handle;
use tokio::sync::watch;

use crate::{
    events::Events,
    ports::{Batch, Clock, SpecSource, StateStore},
    spec::SpecStatus,
};

/// The daemon's parts, shared by its tasks.
pub struct Shared {
    /// The hosts.
    pub host: Arc<dyn Backend>,
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
}

/// Everything that changes.
#[derive(Debug)]
pub struct State {
    /// The file in force; `None` before the first good one.
    pub desired: Option<Arc<Platform>>,
    /// What the hosts were last seen to be like.
    pub observed: ObservedState,
    /// What cannot be observed.
    pub ledger: Ledger,
    /// Why the ledger had to be given up for an older one, if it was.
    pub ledger_lost: Option<String>,
    /// Why the ledger cannot be written, while it cannot: we go on from memory, and say so.
    pub store_failing: Option<String>,
    /// The file on disk.
    pub spec: SpecStatus,
    /// What happened.
    pub events: Events,
    /// Actions done since the start, by verb and whether they succeeded.
    pub actions: BTreeMap<(&'static str, bool), u64>,
    /// How long the longest path of services is that waits for each container.
    pub heights: BTreeMap<ResourceId, u32>,
    /// Resources that must be looked at before they are acted on: a hint came, or we wrote.
    stale: BTreeSet<ResourceId>,
    /// What dependants last saw of a resource.
    seen: BTreeMap<ResourceId, Seen>,
    /// Resources whose last step was blocked or unsatisfied: looked at again when any container changes.
    pub waiting: BTreeSet<ResourceId>,
    /// Records that have changed since they were last written and may wait a second: transition times.
    pub unsaved: BTreeSet<ResourceId>,
    /// Where the rotation of inspects stands.
    rotation: usize,
}

/// What a dependant can see of a resource: a change of it wakes the dependants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    status: Status,
    message: String,
    incarnation: Option<Incarnation>,
    pending: bool,
}

/// A look takes no longer than this.
const LOOK_DEADLINE: Duration = Duration::from_secs(30);

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
        let state = State {
            desired: None,
            observed: ObservedState::default(),
            ledger,
            ledger_lost,
            store_failing: None,
            spec: SpecStatus::default(),
            events: Events::default(),
            actions: BTreeMap::new(),
            heights: BTreeMap::new(),
            stale: BTreeSet::new(),
            seen: BTreeMap::new(),
            waiting: BTreeSet::new(),
            unsaved: BTreeSet::new(),
            rotation: 0,
        };
        let crate::daemon::Ports { host, clock, store, source } = ports;
        Self {
            host,
            clock,
            store,
            source,
            instance,
            state_dir,
            handle: OnceLock::new(),
            state: Mutex::new(state),
            version: watch::Sender::new(1),
        }
    }

    /// The controller that runs the passes, which itself needs these parts: told once, before anything runs.
    ///
    /// # Panics
    /// When told twice.
    pub fn set_controller(&self, handle: Handle<ResourceId>) {
        assert!(self.handle.set(handle).is_ok(), "there is one controller");
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
        let target = {
            let mut state = self.lock();
            // Taken off before the read begins: a hint that comes during the read puts it back.
            state.stale.remove(id);
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
                Ok(())
            }
            Err(error) => {
                self.lock().stale.insert(id.clone());
                if error.kind == HostErrorKind::Unreachable {
                    self.record_loss(&error.message);
                }
                Err(error)
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
            Ok(listing) => {
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
        self.lock().stale.insert(id.clone());
        self.schedule([id]);
    }

    /// Writes the records of `ids`; when that fails we go on from memory, and say so.
    pub async fn commit(&self, ids: &[ResourceId]) {
        let records: BTreeMap<ResourceId, Option<Record>> = {
            let state = self.lock();
            ids.iter().map(|id| (id.clone(), state.ledger.get(id).cloned())).collect()
        };
        self.commit_batch(Batch { records, last_good: None }).await;
    }

    /// Writes a batch; when that fails we go on from memory, and say so.
    pub async fn commit_batch(&self, batch: Batch) {
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
            }
        }
    }
}

fn timed_out(message: &str) -> HostError {
    use aiplat_core::condition::{ErrorClass, Reason};
    HostError::new(HostErrorKind::OutcomeUnknown, ErrorClass::Transient, Reason::ActionFailed, message)
}

impl State {
    /// The world as it is known now; `None` before the first good file.
    #[must_use]
    pub fn world(&self, now: Timestamp) -> Option<World<'_>> {
        let desired = self.desired.as_deref()?;
        Some(World { desired, observed: &self.observed, ledger: &self.ledger, now })
    }

    /// Everything there is to plan.
    #[must_use]
    pub fn ids(&self) -> BTreeSet<ResourceId> {
        self.desired.as_deref().map(|desired| preview::resources(desired, &self.observed)).unwrap_or_default()
    }

    /// Whether `id` must be looked at before anything is decided.
    #[must_use]
    pub fn must_look(&self, id: &ResourceId) -> bool {
        if self.stale.contains(id) {
            return true;
        }
        match id.kind {
            Kind::Image => !self.observed.images.contains_key(id.key()),
            Kind::Container => {
                let members = self.observed.owned.get(id).map(Vec::as_slice).unwrap_or_default();
                members.iter().any(|member| member.detail.is_none())
            }
            Kind::Network | Kind::Volume => false,
        }
    }

    /// What we wrote to, or were told of.
    pub fn mark_stale(&mut self, id: &ResourceId) {
        self.stale.insert(id.clone());
    }

    /// The host found something else than was observed: what `id` is made from must be looked at too. Answers with
    /// what is to be planned for that.
    pub fn mark_parts_stale(&mut self, id: &ResourceId) -> Vec<ResourceId> {
        let spec = self.desired.as_deref().and_then(|desired| desired.containers.get(id));
        let parts: Vec<ResourceId> = spec.map(|spec| spec.parts().collect()).unwrap_or_default();
        self.stale.extend(parts.iter().cloned());
        parts
    }

    /// Whether dependants see something else of `id` than before.
    pub fn readiness_changed(&mut self, id: &ResourceId, now: Timestamp) -> bool {
        let Some(world) = self.world(now) else { return false };
        let readiness = plan::readiness(&world, id);
        let seen = Seen {
            status: readiness.status,
            // The message counts attempts: only that of a failure is worth a pass of the dependants.
            message: if readiness.progressing { String::new() } else { readiness.message },
            incarnation: plan::incarnation(&world, id),
            pending: plan::replacement_pending(&world, id),
        };
        let changed = self.seen.get(id) != Some(&seen);
        self.seen.insert(id.clone(), seen);
        changed
    }

    /// Writes down when conditions changed their status, as events too; answers whether any did. `Unknown` is no
    /// news: a source that is away says nothing, and a value that comes back the same has not changed.
    pub fn note_conditions(&mut self, id: &ResourceId, step: &Step, wall_ms: i64) -> bool {
        let mut changed = false;
        for condition in step.conditions.iter().filter(|condition| condition.status != Status::Unknown) {
            let transitions = &mut self.ledger.entry(id).transitions;
            let before = transitions.get(&condition.kind);
            if before
                .is_some_and(|before| before.status == condition.status && before.reason == condition.reason)
            {
                continue;
            }
            let same_status = before.filter(|before| before.status == condition.status);
            let since = same_status.map_or(wall_ms, |before| before.wall_ms);
            let transition =
                Transition { status: condition.status, reason: condition.reason, wall_ms: since };
            let is_first_and_normal =
                before.is_none() && condition.is_normal() && condition.kind != ConditionType::Ready;
            transitions.insert(condition.kind, transition);
            self.unsaved.insert(id.clone());
            changed = true;
            if !is_first_and_normal {
                self.events.transition(wall_ms, id, condition);
            }
        }
        changed
    }

    /// Remembers who waits for something that only a look at other containers shows.
    pub fn note_waiting(&mut self, id: &ResourceId, step: &Step) {
        match step.verdict {
            Verdict::Blocked { .. } | Verdict::Unsatisfied { .. } | Verdict::Held { .. } => {
                self.waiting.insert(id.clone());
            }
            Verdict::Converged | Verdict::Progressing => {
                self.waiting.remove(id);
            }
        }
    }

    /// What is neither in the file nor on the host needs no memory.
    pub fn forget_if_gone(&mut self, id: &ResourceId, step: &Step) {
        let wanted = self.desired.as_deref().is_none_or(|desired| desired.wants(id));
        if !wanted && step.verdict == Verdict::Converged && self.ledger.records.remove(id).is_some() {
            self.seen.remove(id);
            self.unsaved.insert(id.clone());
        }
    }

    /// How urgent `id` is: what many services wait for comes first, and what a container is made from before it.
    #[must_use]
    pub fn priority(&self, id: &ResourceId) -> u32 {
        match id.kind {
            Kind::Network | Kind::Volume => u32::MAX,
            Kind::Image => u32::MAX - 1,
            Kind::Container => self.heights.get(id).copied().unwrap_or(0),
        }
    }

    /// Puts a file in force.
    pub fn accept(&mut self, platform: Arc<Platform>) {
        self.heights = platform.critical_paths();
        self.desired = Some(platform);
    }

    /// What to ask the host for.
    fn target(&self, id: &ResourceId) -> Target {
        Target { id: id.clone(), host_name: self.host_name(id) }
    }

    /// The name by which its host knows `id`.
    #[must_use]
    pub fn host_name(&self, id: &ResourceId) -> String {
        let desired = self.desired.as_deref();
        let owned = |owner: &Option<aiplat_core::observed::Ownership>| {
            owner.as_ref().is_some_and(|o| o.resource == *id)
        };
        let host_name = match id.kind {
            Kind::Network => desired
                .and_then(|platform| platform.networks.get(id))
                .map(|spec| spec.host_name.clone())
                .or_else(|| {
                    self.observed.networks.values().find(|n| owned(&n.owner)).map(|n| n.name.clone())
                }),
            Kind::Volume => desired
                .and_then(|platform| platform.volumes.get(id))
                .map(|spec| spec.host_name.clone())
                .or_else(|| self.observed.volumes.values().find(|v| owned(&v.owner)).map(|v| v.name.clone())),
            Kind::Container => {
                desired.and_then(|platform| platform.containers.get(id)).map(|spec| spec.host_name.clone())
            }
            Kind::Image => None,
        };
        host_name.unwrap_or_else(|| id.key().to_owned())
    }

    /// Takes in a fresh look, and says which waiting resources may see something new.
    fn record(&mut self, observed: Observed, instance: &InstanceId, now: Timestamp) -> Vec<ResourceId> {
        let before = self.outline();
        self.observed.record(observed, instance, now);
        if self.outline() == before { Vec::new() } else { self.waiting.iter().cloned().collect() }
    }

    fn record_listing(
        &mut self,
        listing: Listing,
        instance: &InstanceId,
        now: Timestamp,
    ) -> BTreeSet<ResourceId> {
        let mut ids = self.ids();
        self.observed.record_listing(listing, instance, now);
        ids.extend(self.ids());
        self.rotate();
        ids
    }

    /// What a listing does not show (limits, aliases, start times) is inspected in rotation: a thirtieth of the
    /// containers at each resync, so that a converged platform of any size costs three lists.
    fn rotate(&mut self) {
        let containers: Vec<ResourceId> = self.observed.owned.keys().cloned().collect();
        if containers.is_empty() {
            return;
        }
        let share = containers.len().div_ceil(30);
        // The first listing of a new daemon has no detail yet, and everything is inspected anyway.
        for offset in 0..share {
            let index = (self.rotation + offset) % containers.len();
            self.stale.extend(containers.get(index).cloned());
        }
        self.rotation = (self.rotation + share) % containers.len();
    }

    /// Names, states and ports of all containers: what gates of other resources look at.
    fn outline(&self) -> u64 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        for container in self.observed.owned.values().flatten().chain(&self.observed.foreign) {
            container.id.hash(&mut hasher);
            container.name.hash(&mut hasher);
            container.state.is_alive().hash(&mut hasher);
            container.networks.len().hash(&mut hasher);
        }
        self.observed.networks.len().hash(&mut hasher);
        hasher.finish()
    }
}
