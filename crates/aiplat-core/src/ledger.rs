//! What cannot be observed: the only thing that is stored. A plain value; the daemon persists it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    Kind, ResourceId, Timestamp,
    action::Action,
    classify::FailureClass,
    condition::{ConditionType, ErrorClass, Reason, Status},
    fingerprint::{FieldHashes, Fingerprint},
    inventory::KnownGpu,
    observed::{ContainerId, FileStamp, GpuId, Incarnation},
    spec::{ContentHash, ProbeSpec, RestartSettings, Role},
    tier::Judged,
};

/// Everything remembered, by resource.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// One record a resource; absent is the same as empty.
    pub records: BTreeMap<ResourceId, Record>,
    /// It was last written in another boot: what ran then was ended by the machine.
    #[serde(skip)]
    pub rebooted: bool,
}

/// What is remembered of one resource.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Restarts that were counted.
    pub restarts: RestartWindow,
    /// The last action that failed, if none has succeeded since.
    pub failure: Option<Failure>,
    /// Runs that we have ended ourselves, newest last: their end is no crash, also when an edit is undone.
    pub stopped: Vec<Incarnation>,
    /// The last run that ended while a dependency was down: no crash of its own.
    pub excused: Option<Incarnation>,
    /// What ran when its present container was started: an edge with `restart: true` compares.
    pub dependencies: BTreeMap<ResourceId, Incarnation>,
    /// Field hashes by fingerprint, of the containers that exist: so that a change can be named.
    pub fields: BTreeMap<Fingerprint, FieldHashes>,
    /// With `pull_policy: always`: the fingerprints of the users for which it was pulled.
    pub pulled_for: Vec<Fingerprint>,
    /// What it was made from when it was last Ready.
    pub proven: Option<Proven>,
    /// The last edit that was taken back.
    pub taken_back: Option<TakenBack>,
    /// What a person has ordered by hand.
    pub orders: Orders,
    /// What was put right of late, oldest first; bounded.
    pub reverts: Vec<Revert>,
    /// Of a systemd unit: what cannot be asked of systemd.
    pub unit: UnitRecord,
    /// Of a file: what aiplatd has written.
    pub file: FileRecord,
    /// Which contents of its configs its present run was started with.
    pub contents: Contents,
    /// Of the machine: what its tier is decided by.
    pub judged: Judged,
    /// Of the machine: the GPUs that were ever there, and have not been gone for long.
    pub inventory: BTreeMap<GpuId, KnownGpu>,
    /// Which GPUs it was given.
    pub gpus: AssignedGpus,
    /// When each condition last changed its status.
    pub transitions: BTreeMap<ConditionType, Transition>,
}

/// What is remembered of a systemd unit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UnitRecord {
    /// The unit that our files were written for, by name: what may be removed again.
    pub files_of: Option<String>,
    /// What they were last written from.
    pub written: Option<Fingerprint>,
    /// The complete unit files that are ours, by unit, and what their text is recognised by.
    pub owned: BTreeMap<String, String>,
    /// The run that had begun when they were last written, and has something that they no longer say.
    pub outdated: Option<Incarnation>,
    /// Of systemd itself: the files of ours that it was last let read anew, by unit, as they then looked.
    pub reread: BTreeMap<String, String>,
    /// What it was last started or restarted with.
    pub applied: Option<Fingerprint>,
    /// The run that this was to replace, if one was there: while it is still the one that runs, the restart has not come about.
    pub replacing: Option<Incarnation>,
    /// The last run that was seen active.
    pub active: Option<Incarnation>,
    /// The unit whose run that was; `None`: the one that it always was.
    pub active_of: Option<String>,
    /// The start of systemd that this was under.
    pub systemd: String,
}

/// Which GPUs a service was given: it gets the same again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AssignedGpus {
    /// By UUID.
    pub gpus: BTreeSet<GpuId>,
    /// What it had asked for: they are kept for as long as it asks for the same.
    pub asked: String,
    /// A person has given them up: it gets others, if it has to.
    pub given_up: bool,
    /// The container, and its run, that was restarted because it did not reach them; until one is seen to.
    pub restarted: Option<(ContainerId, Incarnation)>,
    /// A start with a GPU that the engine has refused to one that may do without.
    pub refused: Option<RefusedGpus>,
}

/// Why the engine has started nothing with a GPU, and how it was set up then: set up in another way it is tried again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RefusedGpus {
    /// Its sentence.
    pub said: String,
    /// Runtimes, toolkit, specifications and driver; only compared.
    pub set_up: String,
}

impl AssignedGpus {
    /// Whether it says more than nothing: an empty one may be that of a ledger that was lost.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.given_up || !self.gpus.is_empty()
    }
}

/// What is remembered of a file that aiplatd writes: whose it is cannot be read from it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FileRecord {
    /// Where it was written, or was about to be: what may be removed again.
    pub path: Option<String>,
    /// What is about to be written, until it is seen there: a crash in between leaves the old content, or this.
    pub writing: Option<ContentHash>,
    /// What was last seen there of our own writing. From then on whatever is in its place is a change of ours.
    pub written: Option<ContentHash>,
}

/// Which contents a run of a service was started with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Contents {
    /// The run; `None`: the one that was about to begin.
    pub run: Option<Incarnation>,
    /// The run before it: another one than this is the one that was about to begin.
    pub before: Option<Incarnation>,
    /// What was in the files, by `file/<key>`.
    pub seen: BTreeMap<ResourceId, ContentHash>,
}

/// Drift that was put right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revert {
    /// What was found: the sentence of the cause.
    pub what: String,
    /// When it was put right.
    pub at: Timestamp,
    /// Under which file: what an edit asks for is no drift.
    pub generation: u64,
}

/// When a condition took its present status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// The status since then.
    pub status: Status,
    /// The reason at that time.
    pub reason: Reason,
    /// Milliseconds since 1970, for display only.
    pub wall_ms: i64,
}

/// What a person has ordered of a service; kept until they order otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Orders {
    /// It is kept stopped.
    pub stopped: Option<Order>,
    /// This run is to end, and another to follow. Void once it has ended.
    pub restart: Option<Incarnation>,
    /// aiplatd's hands are off it.
    pub suspended: Option<Suspension>,
    /// It is to be made from this image, by content id: its tag meant that when the update was ordered.
    pub image: Option<String>,
    /// Of a model: it is to be pulled once more, also where it is there.
    pub pull: Option<Order>,
}

/// For how long a service is left alone, and by whose word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspension {
    /// Who ordered it.
    pub order: Order,
    /// When it ends by itself; `None`: with `resume` alone.
    pub until: Option<Until>,
    /// Handed back to the engine, which restarts it meanwhile.
    #[serde(default)]
    pub released: bool,
}

/// A moment that outlives the boot it was given in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Until {
    /// In this boot: what decides.
    pub at: Timestamp,
    /// Milliseconds since 1970: for display, and for telling `at` anew after a boot.
    pub wall_ms: i64,
    /// The same as a person reads it.
    pub text: String,
}

/// Who ordered it, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// `uid 0`, for a person.
    pub by: String,
    /// Milliseconds since 1970, for display only.
    pub wall_ms: i64,
}

/// A container that has been Ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proven {
    /// What it was made from.
    pub fingerprint: Fingerprint,
    /// How that was found out: what is brought back is asked in the same way.
    pub probe: Option<ProbeSpec>,
    /// As `probe`.
    #[serde(default)]
    pub startup: Option<ProbeSpec>,
    /// As `probe`.
    #[serde(default)]
    pub liveness: Option<ProbeSpec>,
}

impl Proven {
    /// The probe for `role`, if it was asked any.
    #[must_use]
    pub fn probe_for(&self, role: Role) -> Option<&ProbeSpec> {
        match role {
            Role::Startup => self.startup.as_ref(),
            Role::Readiness => self.probe.as_ref(),
            Role::Liveness => self.liveness.as_ref(),
        }
    }
}

/// An edit that did not become Ready, and is not tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenBack {
    /// What it asked for.
    pub fingerprint: Fingerprint,
    /// The image that was ordered with it by `aiplatctl update`, by content id.
    #[serde(default)]
    pub image: Option<String>,
    /// What was wrong with it.
    pub why: String,
}

/// Restarts of one resource.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RestartWindow {
    /// Starts that followed a crash, oldest first, of this boot; bounded.
    pub recent: Vec<Restart>,
    /// All that were ever counted for this service; what a table shows.
    pub total: u32,
    /// The spec they happened under: another one is tried at once.
    pub fingerprint: Option<Fingerprint>,
    /// What the last of them was started on.
    pub basis: Basis,
}

/// What a run was started on, besides its spec: a change of it may be the cure. Only what is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Basis {
    /// The paths of the host that it mounts.
    pub files: BTreeMap<String, FileStamp>,
    /// The runs of its dependencies.
    pub dependencies: BTreeMap<ResourceId, Incarnation>,
}

impl Basis {
    /// The first thing that is known to be another than it was, in words.
    #[must_use]
    pub fn change(&self, now: &Self) -> Option<String> {
        let file = self.files.iter().find(|(path, was)| now.files.get(*path).is_some_and(|is| is != *was));
        let run =
            |(on, was): &(&ResourceId, &Incarnation)| now.dependencies.get(*on).is_some_and(|is| is != *was);
        let dependency = self.dependencies.iter().find(run);
        file.map(|(path, _)| format!("{path} has changed"))
            .or_else(|| dependency.map(|(on, _)| format!("{} runs anew", on.key())))
    }
}

/// A start that followed a crash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// The run whose end it answers; one end is counted once, however often its start is tried.
    pub of: Option<Incarnation>,
    /// When it was decided.
    pub at: Timestamp,
    /// How long the run had lasted that ended before it.
    pub ran: Duration,
    /// How that run ended: `exit 1`.
    pub ending: String,
    /// What is thought to have ended it.
    #[serde(default)]
    pub class: FailureClass,
}

/// An action that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// One word of the action: `start`, `pull`.
    pub action: String,
    /// Decides the retry.
    pub class: ErrorClass,
    /// For the condition.
    pub reason: Reason,
    /// What failed, to what, why, and what to do.
    pub message: String,
    /// Failures in a row.
    pub attempts: u32,
    /// The next attempt; `None`: not before the spec or the resource changes.
    pub retry_at: Option<Timestamp>,
    /// The spec it happened under: another one is tried at once.
    pub fingerprint: Option<Fingerprint>,
    /// Of a pull that was ended for want of room: bytes that must be free for another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<u64>,
}

/// Restarts kept in one window at most: more than any window counts.
const RECENT_MAX: usize = 64;

impl Ledger {
    /// The record of `id`, if there is one.
    #[must_use]
    pub fn get(&self, id: &ResourceId) -> Option<&Record> {
        self.records.get(id)
    }

    /// Whether `id` ran when it was last looked at in an earlier boot.
    #[must_use]
    pub fn ran_before_reboot(&self, id: &ResourceId) -> bool {
        let started = self.get(id).and_then(|record| record.transitions.get(&ConditionType::Started));
        self.rebooted && started.is_some_and(|started| started.reason == Reason::Running)
    }

    /// The record of `id`, made when absent.
    pub fn entry(&mut self, id: &ResourceId) -> &mut Record {
        self.records.entry(id.clone()).or_default()
    }

    /// `action` on `id` was done, or has failed: what was ordered once is not done once more. Answers whether there was such
    /// an order.
    pub fn note_done(&mut self, id: &ResourceId, action: &Action) -> bool {
        match (action, self.records.get_mut(id)) {
            (Action::PullModel(_), Some(record)) => record.orders.pull.take().is_some(),
            (_, _) => false,
        }
    }

    /// After a boot, boot times mean nothing: what is measured in them is forgotten.
    pub fn forget_boot_times(&mut self) {
        self.rebooted = true;
        for record in self.records.values_mut() {
            record.restarts.recent.clear();
            record.failure = None;
            record.reverts.clear();
        }
        let units = self.records.iter_mut().filter(|(id, _)| id.kind == Kind::Unit);
        for (_, record) in units {
            // Nothing has run on over the boot. Containers are seen to have ended; a unit may run again before anybody looks.
            for kind in OF_ONE_RUN {
                record.transitions.remove(&kind);
            }
        }
    }

    /// After a boot, what ends at a moment of the wall clock ends then still.
    pub fn tell_moments_anew(&mut self, now: Timestamp, wall_ms: i64) {
        let suspended = self.records.values_mut().filter_map(|record| record.orders.suspended.as_mut());
        for until in suspended.filter_map(|suspended| suspended.until.as_mut()) {
            let left = u64::try_from(until.wall_ms.saturating_sub(wall_ms)).unwrap_or(0);
            until.at = now + Duration::from_millis(left);
        }
    }

    /// Who keeps our hands off `id` at `now`, if anybody does.
    #[must_use]
    pub fn suspension(&self, id: &ResourceId, now: Timestamp) -> Option<&Suspension> {
        let suspended = self.get(id)?.orders.suspended.as_ref()?;
        suspended.until.as_ref().is_none_or(|until| until.at > now).then_some(suspended)
    }

    /// The engine went away: restarts of the last ten seconds were its doing and are not counted.
    pub fn forgive_restarts_since(&mut self, lost: Timestamp) -> Vec<ResourceId> {
        let mut forgiven = Vec::new();
        for (id, record) in &mut self.records {
            let before = record.restarts.recent.len();
            record.restarts.recent.retain(|restart| lost.since(restart.at) > ENGINE_STOP_WINDOW);
            let gone = before - record.restarts.recent.len();
            if gone > 0 {
                record.restarts.total =
                    record.restarts.total.saturating_sub(u32::try_from(gone).unwrap_or(0));
                forgiven.push(id.clone());
            }
        }
        forgiven
    }
}

/// What of a unit is told of its present run, and of no earlier one.
const OF_ONE_RUN: [ConditionType; 5] = [
    ConditionType::Active,
    ConditionType::Listening,
    ConditionType::Reachable,
    ConditionType::Healthy,
    ConditionType::Ready,
];

/// Reverts kept in `Record::reverts`: more than make a fight, of several things.
pub(crate) const REVERTS_KEPT: usize = 32;

/// Runs kept in `Record::stopped`: more than one service has containers.
pub(crate) const STOPPED_MAX: usize = 8;

/// A death this soon before the engine is lost is the engine's doing.
pub const ENGINE_STOP_WINDOW: Duration = Duration::from_secs(10);

impl RestartWindow {
    /// Counts a restart under `fingerprint`, on `basis`.
    pub fn count(&mut self, restart: Restart, fingerprint: &Fingerprint, basis: Basis) {
        self.basis = basis;
        if self.fingerprint.as_ref() != Some(fingerprint) {
            self.recent.clear();
            self.fingerprint = Some(fingerprint.clone());
        }
        self.recent.push(restart);
        self.total = self.total.saturating_add(1);
        if self.recent.len() > RECENT_MAX {
            self.recent.remove(0);
        }
    }

    /// Whether the end of `run` has been counted already.
    #[must_use]
    pub fn has_counted(&self, run: &Incarnation) -> bool {
        self.recent.last().is_some_and(|restart| restart.of.as_ref() == Some(run))
    }

    /// Restarts in a row under `fingerprint`, with no run of `reset_after` or longer between them. `ran` is how
    /// long the present or last run lasted.
    #[must_use]
    pub fn in_a_row(&self, settings: &RestartSettings, fingerprint: &Fingerprint, ran: Duration) -> u32 {
        if self.fingerprint.as_ref() != Some(fingerprint) || ran >= settings.reset_after {
            return 0;
        }
        let mut count = 0;
        for restart in self.recent.iter().rev() {
            count += 1;
            if restart.ran >= settings.reset_after {
                break;
            }
        }
        count
    }

    /// Restarts within the window before `now` under `fingerprint`.
    #[must_use]
    pub fn within_window(
        &self,
        settings: &RestartSettings,
        fingerprint: &Fingerprint,
        now: Timestamp,
    ) -> u32 {
        if self.fingerprint.as_ref() != Some(fingerprint) {
            return 0;
        }
        let recent = self.recent.iter().filter(|restart| now.since(restart.at) <= settings.window).count();
        u32::try_from(recent).unwrap_or(u32::MAX)
    }

    /// How long the restart after `in_a_row` counted ones waits: the first is immediate, then `delay` doubled up
    /// to `max_delay`, less up to a tenth so that services that fell together do not rise together.
    #[must_use]
    pub fn delay(&self, settings: &RestartSettings, in_a_row: u32) -> Duration {
        let Some(doublings) = in_a_row.checked_sub(1) else { return Duration::ZERO };
        let factor = 2_u32.checked_pow(doublings.min(20)).unwrap_or(u32::MAX);
        let full = settings.delay.saturating_mul(factor).min(settings.max_delay);
        let seed = self.fingerprint.as_ref().map_or(0, |fp| fp.as_str().bytes().map(u32::from).sum::<u32>());
        let percent = (seed.wrapping_mul(31).wrapping_add(in_a_row.wrapping_mul(17))) % 11;
        full.saturating_sub(full / 100 * percent)
    }
}
