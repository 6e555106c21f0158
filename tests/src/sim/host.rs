//! `SimHost`: the model in virtual time, with faults, and with a checker at every call; `backend` puts it behind the port.
//!
//! Each daemon gets a port of its own (`port`): when that daemon is killed nothing that it still has under way reaches
//! the machine, as with a process.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aiplat_core::{
    Kind, ResourceId, Timestamp,
    action::Action,
    condition::{ErrorClass, Reason},
    observed::{PullProgress, Reach},
    spec::{Dependency, DependencyCondition, InstanceId, Platform},
};
use aiplat_host::{FileHost, HostError, HostErrorKind, Progress};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    Engine, Rng,
    backend::SimPort,
    faults::{Fate, Faults},
    hints::Hints,
};
use crate::{
    check::{self, units::Units},
    orders::Orders,
};

/// A simulated machine. Cheap to clone: all clones are the same machine.
#[derive(Clone)]
pub struct SimHost {
    inner: Arc<Mutex<Inner>>,
    pub(super) changed: Arc<Notify>,
    base: Instant,
    pub(super) instance: InstanceId,
}

/// Everything about the machine.
pub struct Inner {
    /// The engine.
    pub engine: Engine,
    /// What goes wrong.
    pub faults: Faults,
    /// The one source of chance.
    pub rng: Rng,
    /// Every mutating call that reached the machine.
    pub calls: Vec<Call>,
    /// Looks at one resource.
    pub looks: usize,
    /// Listings.
    pub listings: usize,
    /// Measurements of the volumes.
    pub measurements: usize,
    /// What the checkers found.
    pub violations: Vec<String>,
    /// The file in force, for the checkers.
    pub desired: Option<Platform>,
    /// What people have ordered.
    pub orders: Orders,
    /// References of images that a daemon has asked for: it is told of these.
    pub(super) asked_for: BTreeSet<String>,
    /// The one before it, and until when a call may still be of it.
    former: Option<(Platform, Timestamp)>,
    /// When each service was last seen ready, in truth.
    ready: BTreeMap<ResourceId, Timestamp>,
    /// When each network, by id, was last named by no container.
    unnamed: BTreeMap<String, Timestamp>,
    pub(super) hints: Hints,
    pub(super) away: bool,
    /// What containers reach at the host's address.
    pub units: Option<super::Systemd>,
    /// What becomes of a connection from a container to the host instead.
    pub firewall: Option<Reach>,
}

/// A mutating call.
#[derive(Debug, Clone)]
pub struct Call {
    /// When it had its effect.
    pub at: Timestamp,
    /// Of which resource.
    pub id: ResourceId,
    /// One word.
    pub verb: &'static str,
    /// The whole action.
    pub action: String,
    /// What became of it.
    pub outcome: String,
}

/// A gate was open when its daemon looked, which may be a few seconds ago.
const GATE_TOLERANCE: Duration = Duration::from_secs(5);

/// A container may be made on a network in the moment in which that is removed: the adapter asks, and refuses.
const NAMED_TOLERANCE: Duration = Duration::from_secs(1);

/// See `aiplat_host::docker`.
const PULL_STALLS: Duration = Duration::from_secs(120);

/// A call that is made so soon after an edit may be of the file before it, and after an order of the time before that.
const FORMER_TOLERANCE: Duration = Duration::from_secs(1);

impl SimHost {
    /// A machine with this engine. Needs a runtime, whose time is paused.
    #[must_use]
    pub fn new(engine: Engine, instance: InstanceId, seed: u64) -> Self {
        let inner = Inner {
            engine,
            faults: Faults::default(),
            rng: Rng::new(seed),
            calls: Vec::new(),
            looks: 0,
            listings: 0,
            measurements: 0,
            violations: Vec::new(),
            desired: None,
            orders: Orders::within(FORMER_TOLERANCE),
            asked_for: BTreeSet::new(),
            former: None,
            ready: BTreeMap::new(),
            unnamed: BTreeMap::new(),
            hints: Hints::default(),
            away: false,
            units: None,
            firewall: None,
        };
        let host = Self {
            inner: Arc::new(Mutex::new(inner)),
            changed: Arc::default(),
            base: Instant::now(),
            instance,
        };
        drop(tokio::spawn(host.clone().live()));
        host
    }

    /// Programs end in their own time, whether anybody calls or not.
    async fn live(self) {
        loop {
            let next = {
                let inner = self.settle();
                inner.engine.next_end().map(|at| inner.engine.now.until(at))
            };
            let wait = next.unwrap_or(Duration::from_secs(3_600)).min(Duration::from_secs(3_600));
            tokio::select! {
                biased;
                // Cancel-safe: a permit that is not taken stays.
                () = self.changed.notified() => {}
                // Cancel-safe: the time is computed anew.
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Boot time of the machine.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        crate::scene::START + self.base.elapsed()
    }

    /// The machine, with everything that was due done.
    pub fn settle(&self) -> MutexGuard<'_, Inner> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.now();
        inner.engine.advance(now);
        inner.note_ready();
        inner.forget_gone();
        inner.tell(&self.instance);
        inner
    }

    /// Something is done to the machine by hand.
    pub fn by_hand<T>(&self, act: impl FnOnce(&mut Engine) -> T) -> T {
        let mut inner = self.settle();
        let done = act(&mut inner.engine);
        inner.note_ready();
        inner.tell(&self.instance);
        drop(inner);
        self.changed.notify_one();
        done
    }

    /// The files of the machine, as one daemon reaches them.
    #[must_use]
    pub fn files(&self, dead: CancellationToken) -> Arc<dyn FileHost> {
        Arc::new(SimPort { host: self.clone(), dead })
    }

    /// The port of one daemon.
    #[must_use]
    pub fn port(&self, alive: CancellationToken) -> Arc<SimPort> {
        Arc::new(SimPort { host: self.clone(), dead: alive })
    }

    /// The engine goes away, and comes back after `away` as `how` says.
    pub async fn restart_engine(&self, how: crate::scene::Restart, away: Duration) {
        use crate::scene::Restart;
        let running = {
            let mut inner = self.settle();
            let running = inner.engine.running();
            if how == Restart::Graceful {
                for id in &running {
                    let (_, exit_code) = inner.engine.stopping(id, Duration::from_secs(15));
                    inner.engine.end(id, exit_code, false);
                }
                inner.tell(&self.instance);
            }
            inner.away = true;
            inner.hints.lose();
            running
        };
        tokio::time::sleep(away).await;
        let mut inner = self.settle();
        for id in &running {
            match how {
                Restart::Graceful => {}
                Restart::Killed => inner.engine.end(id, 137, false),
                Restart::Live => inner.engine.lose_exit_code(id),
            }
        }
        inner.engine.events.clear();
        inner.away = false;
        inner.hints.connect();
    }

    fn error(kind: HostErrorKind, class: ErrorClass, reason: Reason, message: &str) -> HostError {
        HostError::new(kind, class, reason, message)
    }

    pub(super) fn unreachable() -> HostError {
        Self::error(
            HostErrorKind::Unreachable,
            ErrorClass::Transient,
            Reason::EngineUnreachable,
            "the engine is away",
        )
    }

    pub(super) async fn read<T>(&self, read: impl Fn(&Inner) -> T) -> Result<T, HostError> {
        let fails = {
            let mut inner = self.settle();
            let chance = inner.faults.read_error;
            inner.rng.percent(chance)
        };
        tokio::time::sleep(Duration::from_micros(900)).await;
        // What is read is the state of this moment; the answer is on its way for a while.
        let value = {
            let inner = self.settle();
            if inner.away {
                return Err(Self::unreachable());
            }
            read(&inner)
        };
        tokio::time::sleep(Duration::from_micros(600)).await;
        if fails {
            return Err(Self::error(
                HostErrorKind::Refused,
                ErrorClass::Transient,
                Reason::ActionFailed,
                "a read failed (injected)",
            ));
        }
        Ok(value)
    }

    pub(super) async fn act(
        &self,
        id: &ResourceId,
        action: &Action,
        progress: &Progress,
    ) -> Result<(), HostError> {
        let mut fate = self.settle().fate();
        if matches!(action, Action::PullImage { .. }) && matches!(fate, Fate::HangBefore | Fate::HangAfter) {
            // The adapter gives a pull up that makes no progress.
            tokio::time::sleep(PULL_STALLS).await;
            fate = Fate::ErrorBefore;
        }
        let (takes, exit_code) = self.settle().engine.takes(action);
        match fate {
            Fate::ErrorBefore => {
                tokio::time::sleep(Duration::from_millis(2)).await;
                let (class, message) = (ErrorClass::Transient, "the engine failed (injected)");
                return Err(Self::error(HostErrorKind::Refused, class, Reason::ActionFailed, message));
            }
            Fate::HangBefore => return std::future::pending().await,
            Fate::CrashBefore(crash) => {
                crash.cancel();
                return std::future::pending().await;
            }
            Fate::Ok | Fate::LostReply | Fate::HangAfter | Fate::CrashAfter(_) => {}
        }
        if let Action::PullImage { reference } = action {
            let size = self.settle().engine.registry.get(reference).map_or(0, |image| image.size);
            progress(PullProgress { done: 1 << 20, total: size.max(4 << 20) });
        }
        self.settle().check(id, action);
        tokio::time::sleep(takes).await;
        let done = self.effect(id, action, exit_code);
        self.changed.notify_one();
        match fate {
            Fate::LostReply => Err(Self::error(
                HostErrorKind::OutcomeUnknown,
                ErrorClass::Transient,
                Reason::ActionFailed,
                "the reply was lost (injected)",
            )),
            Fate::HangAfter => std::future::pending().await,
            Fate::CrashAfter(crash) => {
                crash.cancel();
                std::future::pending().await
            }
            Fate::Ok | Fate::ErrorBefore | Fate::HangBefore | Fate::CrashBefore(_) => {
                tokio::time::sleep(Duration::from_micros(300)).await;
                done
            }
        }
    }

    fn effect(&self, id: &ResourceId, action: &Action, exit_code: i64) -> Result<(), HostError> {
        let mut inner = self.settle();
        if inner.away && id.kind != Kind::File {
            return Err(Self::unreachable());
        }
        let before = inner.engine.clone();
        let done = inner.engine.act(&self.instance, id, action, exit_code);
        let touched = check::untouched(&before, &inner.engine, &self.instance.0);
        inner.violations.extend(touched);
        let outcome = done.as_ref().map_or_else(ToString::to_string, |()| "ok".to_owned());
        let at = inner.engine.now;
        inner.calls.push(Call {
            at,
            id: id.clone(),
            verb: action.verb(),
            action: action.to_string(),
            outcome,
        });
        inner.note_ready();
        inner.tell(&self.instance);
        done
    }
}

impl Inner {
    pub(super) fn fate_of_unit(&mut self) -> Fate {
        let Self { faults, rng, .. } = self;
        faults.fate_of_unit(rng)
    }

    fn fate(&mut self) -> Fate {
        let Self { faults, rng, .. } = self;
        faults.fate(rng)
    }

    pub(super) fn tell(&mut self, instance: &InstanceId) {
        let Self { engine, hints, faults, rng, away, asked_for, .. } = self;
        for event in std::mem::take(&mut engine.events) {
            if let Some(hint) = super::hints::hint_of(&event, instance, asked_for).filter(|_| !*away) {
                hints.send(hint, faults, rng);
            }
        }
    }

    fn note_ready(&mut self) {
        let units = self.units();
        let Self { engine, desired, ready, unnamed, .. } = self;
        unnamed.retain(|id, _| engine.networks.contains_key(id));
        for network in engine.networks.values().filter(|network| engine.user_of(network).is_none()) {
            unnamed.insert(network.id.clone(), engine.now);
        }
        let Some(desired) = desired else { return };
        let truth = check::Truth { engine, units: &units };
        for id in desired.containers.keys().chain(desired.units.keys()) {
            if check::satisfied(truth, desired, id, DependencyCondition::Healthy) {
                ready.insert(id.clone(), engine.now);
            }
        }
    }

    fn forget_gone(&mut self) {
        let units = self.units();
        let Self { engine, desired, former, orders, .. } = self;
        let former = former.as_ref().filter(|(_, until)| *until >= engine.now).map(|(former, _)| former);
        for file in former.into_iter().chain(desired.as_ref()) {
            orders.forget_gone(engine, &units, file);
        }
    }

    /// Puts another file in force.
    pub fn desire(&mut self, desired: Platform) {
        let until = self.engine.now + FORMER_TOLERANCE;
        self.former = self.desired.replace(desired).map(|former| (former, until));
    }

    fn check(&mut self, id: &ResourceId, action: &Action) {
        let Some(desired) = &self.desired else { return };
        let found = self.objections(desired, id, action);
        let former = self.former.as_ref().filter(|(_, until)| *until >= self.engine.now);
        let excused = former.is_some_and(|(former, _)| self.objections(former, id, action).is_empty());
        if !excused {
            self.violations.extend(found);
        }
    }

    fn objections(&self, desired: &Platform, id: &ResourceId, action: &Action) -> Vec<String> {
        let Self { engine, orders, .. } = self;
        let units = self.units();
        let call = check::Call { before: engine, units: &units, desired, id, action, orders };
        let needs = desired.containers.get(id).map(|spec| &spec.policy.dependencies);
        let mut found = check::violations(&call, true);
        found.retain(|violation| !(self.was_free(action) && violation.starts_with("S13")));
        self.judged(found, needs)
    }

    /// What is left of what a checker found, where what the action waited for was ready a moment ago.
    fn judged(
        &self,
        mut found: Vec<String>,
        needs: Option<&BTreeMap<ResourceId, Dependency>>,
    ) -> Vec<String> {
        let now = self.engine.now;
        let recently =
            |on: &ResourceId| self.ready.get(on).is_some_and(|at| now.since(*at) <= GATE_TOLERANCE);
        let were_open = needs.is_some_and(|needs| needs.keys().all(recently));
        found.retain(|violation| !(were_open && violation.starts_with("S7")));
        found.into_iter().map(|violation| format!("{now}: {violation}")).collect()
    }

    fn was_free(&self, action: &Action) -> bool {
        let Action::RemoveNetwork { id, .. } = action else { return false };
        self.unnamed.get(id).is_some_and(|at| self.engine.now.since(*at) <= NAMED_TOLERANCE)
    }

    /// The units of the machine, as they are now.
    pub(super) fn units(&self) -> Units {
        self.units.as_ref().map(super::Systemd::snapshot).unwrap_or_default()
    }

    /// The same for an action on a unit, or on systemd.
    pub(super) fn check_unit(&mut self, action: &Action) {
        let Some(desired) = &self.desired else { return };
        let found = self.unit_objections(desired, action);
        let former = self.former.as_ref().filter(|(_, until)| *until >= self.engine.now);
        let excused = former.is_some_and(|(former, _)| self.unit_objections(former, action).is_empty());
        if !excused {
            self.violations.extend(found);
        }
    }

    fn unit_objections(&self, desired: &Platform, action: &Action) -> Vec<String> {
        let units = self.units();
        let truth = check::Truth { engine: &self.engine, units: &units };
        let was_read = self.units.as_ref().is_some_and(super::Systemd::was_read_of_late);
        let call = check::units::UnitCall { truth, desired, action, orders: &self.orders, was_read };
        let spec = check::units::unit_of(action).and_then(|unit| check::units::service_of(desired, unit));
        self.judged(check::units::violations(&call), spec.map(|(_, spec)| &spec.dependencies))
    }

    /// Looks and listings so far.
    #[must_use]
    pub fn reads(&self) -> (usize, usize) {
        (self.looks, self.listings)
    }
}

/// Milliseconds since 1970 at the machine's wall.
pub(crate) fn wall_ms(at: Timestamp) -> i64 {
    1_767_225_600_000 + i64::try_from(at.since_boot().as_millis()).unwrap_or(0)
}
