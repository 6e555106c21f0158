//! The systemd adapter: units over D-Bus, their two files of ours, and their journal.
//!
//! One connection to the bus serves calls (`bus`), another one signals (`hints`), so that a flood of signals holds back no
//! answer. What an error means is one table (`errors`). Nothing here decides: it observes, and it applies what was decided.

mod answers;
mod apparmor;
mod apply;
mod bus;
mod decode;
mod environ;
mod errors;
mod files;
mod hints;
mod journal;
mod layers;
mod names;
mod observe;
mod overview;
mod proxies;
#[cfg(test)]
mod tests;
mod usage;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use aiplat_core::{
    action::Action,
    observed::{FolderFacts, Instance, ObservedUnit, UnitEvidence},
    spec::ProbeKind,
};
use futures_util::{StreamExt, future::BoxFuture, stream::BoxStream};

pub use hints::SystemdHint;

use crate::{
    folders, instances,
    port::{HostError, LogOptions, LogStream, SystemdOverview, UnitAnswer, UnitHint, Units, Usage},
};

/// Where the adapter finds systemd and what belongs to it.
#[derive(Debug, Clone)]
pub struct SystemdOptions {
    /// The D-Bus address; `None`: the system bus.
    pub address: Option<String>,
    /// Where drop-ins are written: `/etc/systemd/system`.
    pub units: PathBuf,
    /// Where environments are written, as the units see it: a folder of our own, made 0700.
    pub environment: PathBuf,
    /// The process file system in which the units' process ids are found: `/proc`.
    pub proc: PathBuf,
    /// The folder of the journal's files; `None`: this machine's.
    pub journal: Option<PathBuf>,
}

/// The systemd of a machine. Made without touching it: it connects to the bus with the first call, and again after a loss,
/// so that a bus that is away is an answer and not a failure to start.
#[derive(Debug)]
pub struct Systemd {
    options: SystemdOptions,
    bus: Arc<bus::Bus>,
    answers: answers::Answers,
}

impl SystemdOptions {
    /// Those of this machine, with environments in `environment`.
    #[must_use]
    pub fn of_this_machine(environment: impl Into<PathBuf>) -> Self {
        Self {
            address: None,
            units: PathBuf::from("/etc/systemd/system"),
            environment: environment.into(),
            proc: PathBuf::from("/proc"),
            journal: None,
        }
    }
}

impl Systemd {
    /// An adapter for the systemd that `options` lead to.
    #[must_use]
    pub fn new(options: SystemdOptions) -> Self {
        let bus = Arc::new(bus::Bus::new(options.address.clone()));
        Self { options, bus, answers: answers::Answers::default() }
    }

    /// Looks at one unit now. That there is no such unit is an observation.
    ///
    /// # Errors
    /// When systemd cannot be asked, or our own files cannot be read.
    pub async fn observe(&self, unit: &str) -> Result<ObservedUnit, HostError> {
        self.look_at(unit).await
    }

    /// Does one action on units, their files or systemd itself. A start, stop or restart is done when its job is queued:
    /// what comes of it is observed. Removing what is gone is a success.
    ///
    /// # Errors
    /// When it was not done, or that is not known.
    pub async fn apply(&self, action: &Action) -> Result<(), HostError> {
        self.act(action).await
    }

    /// Hints about units that were looked at, from now on, for ever: it reconnects by itself.
    #[must_use]
    pub fn hints(&self) -> BoxStream<'static, SystemdHint> {
        hints::subscribe(self.bus.clone())
    }

    /// A unit's journal: what its processes wrote and what systemd says of it, over all its runs.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn logs(&self, unit: &str, options: &LogOptions) -> Result<LogStream, HostError> {
        names::check(unit, "read the journal of")?;
        journal::read(self.options.journal.as_deref(), unit, options)
    }

    /// systemd's version, for people: `252.39-1~deb12u1`. `None` when it cannot be asked.
    pub async fn version(&self) -> Option<String> {
        self.bus.version().await.ok()
    }
}

impl Units for Systemd {
    fn observe<'a>(&'a self, unit: &'a str) -> BoxFuture<'a, Result<ObservedUnit, HostError>> {
        Box::pin(self.look_at(unit))
    }

    fn apply<'a>(&'a self, action: &'a Action) -> BoxFuture<'a, Result<(), HostError>> {
        Box::pin(self.act(action))
    }

    fn hints(&self) -> BoxStream<'static, UnitHint> {
        let hint = |hint| match hint {
            SystemdHint::Connected | SystemdHint::Reloaded => UnitHint::Relist,
            SystemdHint::Lost { reason } => UnitHint::Lost { reason },
            SystemdHint::Changed(unit) => UnitHint::Changed(unit),
        };
        Self::hints(self).map(hint).boxed()
    }

    fn probe<'a>(
        &'a self,
        unit: &'a str,
        address: IpAddr,
        kind: &'a ProbeKind,
        timeout: Duration,
    ) -> BoxFuture<'a, UnitAnswer> {
        Box::pin(self.question(unit, address, kind, timeout))
    }

    fn evidence<'a>(&'a self, unit: &'a str) -> BoxFuture<'a, UnitEvidence> {
        Box::pin(self.evidence_of(unit))
    }

    fn logs<'a>(
        &'a self,
        unit: &'a str,
        options: &'a LogOptions,
    ) -> BoxFuture<'a, Result<LogStream, HostError>> {
        Box::pin(Self::logs(self, unit, options))
    }

    fn usage<'a>(&'a self, unit: &'a str) -> BoxFuture<'a, Result<Usage, HostError>> {
        Box::pin(self.measure(unit))
    }

    fn folders(&self, paths: Vec<String>) -> BoxFuture<'_, BTreeMap<String, FolderFacts>> {
        Box::pin(folders::folders(paths))
    }

    fn overview(&self, units: BTreeSet<String>) -> BoxFuture<'_, Result<SystemdOverview, HostError>> {
        Box::pin(self.overall(units))
    }

    fn instances(&self, programs: BTreeSet<String>) -> BoxFuture<'_, Vec<Instance>> {
        Box::pin(instances::instances(self.options.proc.clone(), programs))
    }
}
