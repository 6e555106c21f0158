//! The Docker adapter: the `Backend` port over the engine's HTTP API.
//!
//! One small client serves lists, inspects, changes and streams alike (`client`), with tolerant structs of our own for
//! what it answers (`wire`). What an error means is one table (`errors`). Nothing here decides: it observes, and it
//! applies what was decided, to nothing that does not carry our labels (`apply`).

mod apply;
mod calls;
mod client;
mod create_body;
mod create_needs;
mod create_options;
mod credentials;
mod errors;
mod events;
mod exec;
mod logs;
mod memory;
mod observe;
mod ports;
mod pull;
mod reach;
mod reference;
mod settings;
mod sight;
mod start;
mod stats;
mod vantage;
mod volumes;
mod wire;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use aiplat_core::{
    ResourceId,
    action::Action,
    observed::{ContainerId, EngineSettings, FileStamp, HeldPort, Listing, Observed, ObservedContainer},
    spec::{InstanceId, ProbeKind, Protocol},
};
use futures_util::{future::BoxFuture, stream::BoxStream};
use tokio_util::sync::CancellationToken;

pub use calls::{CallKind, Calls};

use crate::{
    files, listeners, lock,
    port::{Backend, Hint, HostError, LogOptions, LogStream, Progress, Target, Usage},
};

/// A Docker Engine behind a Unix socket. Made without touching it: every call connects by itself, so that an engine that
/// is away, or not installed yet, is an answer and not a failure to start.
#[derive(Debug)]
pub struct DockerBackend {
    client: Arc<client::Client>,
    instance: InstanceId,
    memory: Arc<memory::Memory>,
    execs: exec::Execs,
    refusals: vantage::Refusals,
    /// The Docker CLI's configuration, for registry credentials.
    credentials: PathBuf,
    /// A pull without progress for this long has failed.
    stall: Duration,
}

impl DockerBackend {
    /// An adapter for the engine behind `socket`; what carries the labels of `instance` is ours.
    #[must_use]
    pub fn new(socket: impl Into<PathBuf>, instance: InstanceId) -> Self {
        Self {
            client: client::Client::new(socket.into()),
            instance,
            memory: Arc::default(),
            execs: exec::Execs::default(),
            refusals: vantage::Refusals::default(),
            credentials: credentials::default_path(),
            stall: pull::STALL,
        }
    }

    /// Reads registry credentials from `path` instead of `$DOCKER_CONFIG/config.json` or `~/.docker/config.json`.
    #[must_use]
    pub fn with_credentials_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.credentials = path.into();
        self
    }

    /// Lets a pull without progress fail after `stall` instead of two minutes.
    #[must_use]
    pub fn with_pull_stall(mut self, stall: Duration) -> Self {
        self.stall = stall;
        self
    }

    /// The calls made of the engine so far.
    #[must_use]
    pub fn calls(&self) -> Calls {
        self.client.calls()
    }

    fn instance_id(&self) -> &InstanceId {
        &self.instance
    }

    /// The error of a call that `doing` names.
    fn error(&self, doing: &str, error: client::CallError) -> HostError {
        errors::host_error(doing, self.client.socket(), error)
    }
}

impl Backend for DockerBackend {
    fn observe<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Observed, HostError>> {
        Box::pin(self.look_at(target))
    }

    fn version(&self) -> Option<String> {
        self.client.described()
    }

    fn settings(&self) -> BoxFuture<'_, Result<Option<EngineSettings>, HostError>> {
        Box::pin(self.read_settings())
    }

    fn volume_sizes(&self) -> BoxFuture<'_, Result<Option<BTreeMap<String, u64>>, HostError>> {
        Box::pin(self.measure_volumes())
    }

    fn observe_all(&self) -> BoxFuture<'_, Result<Listing, HostError>> {
        Box::pin(self.list_everything())
    }

    fn detail<'a>(&'a self, container: &'a mut ObservedContainer) -> BoxFuture<'a, Result<(), HostError>> {
        Box::pin(self.add_details(container))
    }

    fn apply<'a>(
        &'a self,
        id: &'a ResourceId,
        action: &'a Action,
        progress: Progress,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Result<(), HostError>> {
        Box::pin(self.act(id, action, progress, cancel))
    }

    fn remove_volume<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), HostError>> {
        Box::pin(self.remove_left_volume(name))
    }

    fn stamps(&self, paths: Vec<String>) -> BoxFuture<'_, BTreeMap<String, FileStamp>> {
        Box::pin(files::stamps(paths))
    }

    fn port_holders(&self, ports: Vec<(u16, Protocol)>) -> BoxFuture<'_, Vec<HeldPort>> {
        Box::pin(listeners::on_ports("/proc".into(), ports))
    }

    fn hints(&self) -> BoxStream<'static, Hint> {
        events::subscribe(self.client.clone(), self.memory.clone(), self.instance.clone())
    }

    fn probe<'a>(
        &'a self,
        container: &'a ContainerId,
        address: Option<std::net::IpAddr>,
        kind: &'a ProbeKind,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<String, String>> {
        Box::pin(self.ask(container, address, kind, timeout))
    }

    fn reach<'a>(
        &'a self,
        container: &'a ContainerId,
        host: &'a str,
        port: u16,
        timeout: Duration,
    ) -> BoxFuture<'a, aiplat_core::observed::Reach> {
        Box::pin(self.reach_out(container, host, port, timeout))
    }

    fn sight<'a>(
        &'a self,
        container: &'a ContainerId,
        timeout: Duration,
    ) -> BoxFuture<'a, aiplat_core::observed::Sight> {
        Box::pin(self.look_for_gpus(container, timeout))
    }

    fn logs<'a>(
        &'a self,
        container: &'a ContainerId,
        options: &'a LogOptions,
    ) -> BoxFuture<'a, Result<LogStream, HostError>> {
        Box::pin(self.read_log(container, options))
    }

    fn usage<'a>(&'a self, container: &'a ContainerId) -> BoxFuture<'a, Result<Usage, HostError>> {
        Box::pin(self.measure(container))
    }

    fn instance(&self) -> &InstanceId {
        &self.instance
    }
}
