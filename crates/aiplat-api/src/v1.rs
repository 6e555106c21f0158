//! Wire types, version 1. Changed by addition only: a new field is optional; a removal or a new meaning is `v2`.
//!
//! | method and path | verb | answers |
//! |---|---|---|
//! | `GET /v1/version` | read | [`Version`] |
//! | `GET /v1/status?after=N&timeout=SECS` | read | [`StatusDoc`]; with `after`, when its version is above N, or after the timeout |
//! | `GET /v1/events?after=N&timeout=SECS` | read | [`Vec<Event>`], those with a number above N |
//! | `POST /v1/diff` ([`DiffRequest`]) | read | [`DiffReply`] |
//! | `GET /v1/logs/{service}?follow=&tail=&since=&previous=` | read | lines of JSON, one [`LogRecord`] each |
//! | `POST /v1/apply` ([`ApplyRequest`]) | administer | [`ApplyReply`] |
//! | `GET /v1/usage` | read | [`Vec<ServiceUsage>`] of what runs, after a second or two |
//! | `GET /v1/history` | read | [`Vec<RevisionInfo>`], the one in force last |
//! | `GET /v1/history/{revision}` | administer | [`RevisionText`] |
//! | `POST /v1/rollback` ([`RollbackRequest`]) | administer | [`ApplyReply`] |
//! | `POST /v1/prune` ([`PruneRequest`]) | administer | [`PruneReply`] |
//! | `POST /v1/reload` | operate | [`Done`] |
//! | `POST /v1/services/{service}/{start,stop,restart,reset-failed,update,resume,release}` | operate | [`Done`] |
//! | `POST /v1/services/{service}/pull` | operate | [`PullReply`], when the engine has pulled |
//! | `POST /v1/models/{model}/pull` | operate | [`Done`]; the model by its entry in the file |
//! | `POST /v1/models/remove` ([`RemoveModelRequest`]) | administer | [`Done`], when its server has removed it |
//! | `POST /v1/services/{service}/suspend?for=SECS` | operate | [`Done`]; without `for` until `resume` |
//!
//! Errors have a status of 4xx or 5xx and an [`Error`] as their body.

mod host;
mod model;
mod systemd;
mod unit;
mod volume;

use aiplat_core::{
    ResourceId,
    condition::{Condition, Word},
    observed::{ProbeOutcome, PullProgress},
    preview::Preview,
    spec::Role,
};
use serde::{Deserialize, Serialize};

pub use host::{
    EngineStatus, FileSystemStatus, GpuProcessStatus, GpuStatus, GpuUserStatus, HostStatus, TierStatus,
};
pub use model::{LoadedModelStatus, ModelStatus, RemoveModelRequest};
pub use systemd::{FailedUnit, SystemdReport};
pub use unit::{DiagnosisDetail, TimerDetail, UnitDetail, UnitVariable};
pub use volume::{HostPathStatus, VolumeGrowth, VolumeUsage};

/// The state of everything at one moment: what every read verb renders, and what `status.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusDoc {
    /// Rises with every change.
    pub version: u64,
    /// RFC 3339.
    pub time: String,
    /// The daemon and the file.
    pub platform: PlatformStatus,
    /// In the file's order of names.
    pub services: Vec<ServiceStatus>,
    /// Every resource, services' containers included.
    pub resources: Vec<ResourceStatus>,
    /// Named conditions over several resources.
    pub gates: Vec<GateStatus>,
    /// The machine; absent while it has not been looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostStatus>,
    /// The models of the file, and those that its servers have besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<ModelStatus>,
    /// The newest last; bounded.
    pub events: Vec<Event>,
}

/// The platform as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlatformStatus {
    /// `name:` of the file; empty before the first good one.
    pub name: String,
    /// Identity of the state folder.
    pub instance: String,
    /// Version of the daemon.
    pub daemon: String,
    /// Path of `platform.yaml`.
    pub config: String,
    /// Counts the accepted files.
    pub generation: u64,
    /// `auto` or `observe`.
    pub mode: String,
    /// DockerReachable, SpecValid, LedgerLost, InstanceMismatch, Ready.
    pub conditions: Vec<StatusCondition>,
    /// The diagnostics of the file on disk, rendered without colour; empty when it is valid.
    pub spec_report: String,
    /// One human sentence, the same as in `systemctl status aiplatd`.
    pub sentence: String,
    /// Engine version and API, when known.
    pub engine: Option<String>,
}

/// A condition and since when it has its status.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusCondition {
    /// Type, status, reason, message.
    #[serde(flatten)]
    pub condition: Condition,
    /// RFC 3339; absent when it is not known.
    pub last_transition_time: Option<String>,
    /// The generation it was computed for.
    pub observed_generation: u64,
}

/// One service: a row of the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Its name in the file.
    pub name: String,
    /// False: it has left the file while it was suspended.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub desired: bool,
    /// `ctr`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The printed word.
    pub status: Word,
    /// RFC 3339: since when the word holds.
    pub since: Option<String>,
    /// Restarts that were counted.
    pub restarts: u32,
    /// `127.0.0.1:4000`; published addresses, comma-separated; empty when none.
    pub endpoint: String,
    /// What is wrong and what to do; empty when all is well.
    pub message: String,
    /// The chain from the symptom to the cause, one sentence a link; empty when all is well.
    pub why: Vec<String>,
    /// The same as of its container resource, in the order of cure.
    pub conditions: Vec<StatusCondition>,
    /// What it needs and is: for `describe`.
    pub detail: ServiceDetail,
}

/// What `describe` prints beyond the conditions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ServiceDetail {
    /// Image as written.
    pub image: String,
    /// Content id of what its container was made from, if there is one.
    #[serde(default)]
    pub image_id: Option<String>,
    /// Container name on the host.
    pub container: String,
    /// Engine id of the current container, if any.
    pub container_id: Option<String>,
    /// Which run of it: another text after every start; absent while nothing is known of it.
    #[serde(default)]
    pub run: Option<String>,
    /// The engine's word for its state.
    pub state: Option<String>,
    /// `service (condition)[, restart]`, one each.
    pub depends_on: Vec<String>,
    /// Services that depend on it.
    pub dependants: Vec<String>,
    /// Networks by engine name, with the address where known.
    pub networks: Vec<String>,
    /// `source:target[:ro]`.
    pub volumes: Vec<String>,
    /// `127.0.0.1:8001->8001/tcp`.
    pub ports: Vec<String>,
    /// What is probed, and how often.
    pub probe: Option<String>,
    /// The last exchange.
    pub last_probe: Option<ProbeOutcome>,
    /// Probes made of this run.
    pub probe_attempts: u32,
    /// Of these, failures in a row up to now.
    #[serde(default)]
    pub probe_failures: u32,
    /// Failures in a row that make it unhealthy.
    #[serde(default)]
    pub probe_retries: u32,
    /// Its startup and liveness probes.
    #[serde(default)]
    pub checks: Vec<CheckDetail>,
    /// How its last runs ended, oldest first.
    pub endings: Vec<String>,
    /// What is done next and when, or empty.
    pub next: String,
    /// Whether `next` does something, and is not only a look.
    #[serde(default)]
    pub action_due: bool,
    /// Fingerprint of the current container.
    pub fingerprint: Option<String>,
    /// Of a service that serves models: what it is and where it is asked, `Ollama 0.5.7 at 127.0.0.1:11434`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_server: Option<String>,
    /// Of a service that is a unit of systemd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<UnitDetail>,
}

/// A startup or liveness probe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckDetail {
    /// What it is for.
    pub role: Role,
    /// What is asked, how often, and what follows.
    pub what: String,
    /// Probes made of this run.
    pub attempts: u32,
    /// Of these, failures in a row up to now.
    pub failures: u32,
    /// Failures in a row that count.
    pub retries: u32,
    /// The last exchange.
    pub last: Option<ProbeOutcome>,
}

/// One resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResourceStatus {
    /// `kind/name`.
    pub id: ResourceId,
    /// Its name on the host.
    pub host_name: String,
    /// False: no longer in the file.
    pub desired: bool,
    /// Ready or not, in one word.
    pub status: Word,
    /// What is wrong; empty when all is well.
    pub message: String,
    /// In the order of cure.
    pub conditions: Vec<StatusCondition>,
    /// Services that use it.
    pub used_by: Vec<String>,
    /// Bytes of a pull in progress.
    pub pull: Option<PullProgress>,
    /// Of a volume: what it takes, and the room that there is for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<VolumeUsage>,
    /// It is on its way somewhere by itself: something is still done to it, or what it waits for is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub moving: bool,
}

/// A gate of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateStatus {
    /// Its name in the file.
    pub name: String,
    /// Whether all members are Ready.
    pub condition: StatusCondition,
    /// Members.
    pub members: Vec<ResourceId>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Rises; gaps mean nothing.
    pub number: u64,
    /// RFC 3339.
    pub time: String,
    /// `Normal` or `Warning`.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// CamelCase or one of capability I1's words: `DEPLOY_START`, `HEALTH_SUCCESS`, `RECOVERY_NEEDED`.
    pub reason: String,
    /// `container/litellm`, or `platform`.
    pub resource: String,
    /// A sentence.
    pub message: String,
    /// How often it has happened: the same again within an hour is one event, with the newest sentence and number.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub count: u32,
}

fn yes() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_yes(value: &bool) -> bool {
    *value
}

fn once() -> u32 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_once(count: &u32) -> bool {
    *count == 1
}

/// Whether an event is good or bad news.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventType {
    /// As expected.
    Normal,
    /// A person may want to look.
    Warning,
}

/// Asks for the plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiffRequest {
    /// A file to plan instead of the one in force.
    pub file: Option<SpecUpload>,
}

/// A spec that is sent: the file, and those that it names, by absolute path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpecUpload {
    /// Path of the main file as the user sees it; relative names are relative to it.
    pub root: String,
    /// Contents by path.
    pub files: std::collections::BTreeMap<String, String>,
}

/// The plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiffReply {
    /// What would be done; empty waves: nothing.
    pub preview: Preview,
    /// Diagnostics of the file, rendered without colour; with `invalid` there is no plan.
    pub report: String,
    /// The file has errors.
    pub invalid: bool,
    /// Set when the file removes more than half of the services or renames the platform.
    pub needs_confirmation: Option<String>,
    /// Without a file of the client's: why the file on disk is not the one that is compared.
    #[serde(default)]
    pub not_in_force: Option<String>,
    /// What the client's file changes that needs no action of the engine: probes, dependencies.
    #[serde(default)]
    pub without_action: Vec<(ResourceId, String)>,
}

/// Puts a file in force: validates, writes it to the daemon's path atomically, and wakes the daemon. Root only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplyRequest {
    /// The new content of `platform.yaml`; `None`: the file on disk as it is.
    pub content: Option<String>,
    /// Removing more than half of the services, or renaming the platform, is meant.
    pub confirm: bool,
}

/// What an apply did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplyReply {
    /// The generation now in force.
    pub generation: u64,
    /// Diagnostics; with `invalid` nothing was written.
    pub report: String,
    /// The file has errors.
    pub invalid: bool,
    /// Why it needs `--confirm`, if it does and was not given: nothing was written.
    pub needs_confirmation: Option<String>,
    /// Of a rollback: where the text that was on disk and not in force is kept.
    #[serde(default)]
    pub kept: Option<String>,
}

/// What a running service uses.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ServiceUsage {
    /// Its name in the file.
    pub service: String,
    /// Of one CPU, in percent: 250 are two and a half.
    pub cpu_percent: f64,
    /// Bytes, without what the kernel would give up.
    pub memory: u64,
    /// Bytes that it may use: its own limit, or all of the machine; 0: its limit was lifted while it ran.
    pub memory_limit: u64,
    /// Bytes received since its start.
    pub received: u64,
    /// Bytes sent.
    pub sent: u64,
    /// Bytes read from disks.
    pub read: u64,
    /// Bytes written to disks.
    pub written: u64,
    /// Processes and threads.
    pub pids: u64,
    /// The GPUs that it has; empty: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gpus: Vec<String>,
    /// Bytes that its processes use of their memory; absent: it has none, or the driver does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_memory: Option<u64>,
}

/// A file that was in force.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevisionInfo {
    /// Its generation.
    pub revision: u64,
    /// RFC 3339: when it came into force.
    pub time: String,
    /// What it changed, in a line.
    pub change: String,
    /// What its services ran in the end, by name: content ids of images.
    pub images: std::collections::BTreeMap<String, String>,
    /// It is the present one.
    pub in_force: bool,
    /// It came into force by going back to this one.
    #[serde(default)]
    pub back_to: Option<u64>,
    /// Services whose edit did not become Ready, and was taken back.
    #[serde(default)]
    pub taken_back: Vec<String>,
}

/// The file itself. It may hold secrets, as the file does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevisionText {
    /// Its generation.
    pub revision: u64,
    /// `platform.yaml` as it was.
    pub text: String,
    /// Files that it named and that are different now; going back leaves them as they are.
    pub others: Vec<String>,
}

/// Puts an earlier file in force.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollbackRequest {
    /// Which.
    pub revision: u64,
    /// Removing more than half of the services, or renaming the platform, is meant.
    pub confirm: bool,
}

/// Removes volumes, with their data, that the file no longer has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneRequest {
    /// As the engine names them. None is removed unless all of them may be.
    pub volumes: Vec<String>,
    /// Only say whether they may be.
    #[serde(default)]
    pub dry_run: bool,
}

/// Volumes that were removed, or would have been.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneReply {
    /// As the engine names them.
    pub volumes: Vec<String>,
}

/// What a pull found out about one service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullReply {
    /// The reference as written.
    pub image: String,
    /// What its container was made from, by content id; absent where there is none.
    pub runs: Option<String>,
    /// What the tag means on this machine now, by content id.
    pub now: Option<String>,
    /// `update` would make it anew.
    pub moved: bool,
    /// Why the registry could not be asked, if it could not: the above is of this machine alone.
    pub failure: Option<String>,
}

/// Versions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The daemon's.
    pub daemon: String,
    /// The wire format's: `v1`.
    pub api: String,
    /// The engine's version and API, when known.
    pub engine: Option<String>,
}

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRecord {
    /// Whose.
    pub service: String,
    /// RFC 3339.
    pub time: String,
    /// From stderr.
    pub stderr: bool,
    /// The line.
    pub text: String,
}

/// It was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// What, in a sentence.
    pub message: String,
}

/// It was not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    /// What failed, to what, why, and what to do next.
    pub message: String,
}
