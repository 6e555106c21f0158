//! A backend that ends the process at a chosen point, for tests of "the last pass died anywhere". Debug builds only.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use aiplat_core::{
    ResourceId,
    action::Action,
    observed::{ContainerId, FileStamp, HeldPort, Listing, Observed, ObservedFile, Reach, Sight},
    spec::{InstanceId, ProbeKind, Protocol},
};
use aiplat_host::{Backend, FileHost, Hint, HostError, LogOptions, LogStream, Progress, Target, Usage};
use futures_util::{future::BoxFuture, stream::BoxStream};
use tokio_util::sync::CancellationToken;

/// Counts the points around actions: 2k-1 lies before the k-th, 2k after it. At point `at` the process aborts, as
/// under SIGKILL: nothing is flushed, no destructor runs.
pub struct CrashAt<B> {
    inner: B,
    at: Arc<Point>,
}

/// The point, and how many were passed: one count for all that a process does.
#[derive(Debug)]
pub struct Point {
    at: u64,
    passed: AtomicU64,
}

impl Point {
    /// The `at`-th.
    #[must_use]
    pub fn new(at: u64) -> Arc<Self> {
        Arc::new(Self { at, passed: AtomicU64::new(0) })
    }

    fn pass(&self) {
        if self.passed.fetch_add(1, Ordering::SeqCst) + 1 == self.at {
            std::process::abort();
        }
    }
}

impl<B> CrashAt<B> {
    /// Aborts at point `at`.
    pub fn new(inner: B, at: Arc<Point>) -> Self {
        Self { inner, at }
    }

    fn point(&self) {
        self.at.pass();
    }
}

impl<B: Backend> Backend for CrashAt<B> {
    fn observe<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Observed, HostError>> {
        self.inner.observe(target)
    }

    fn observe_all(&self) -> BoxFuture<'_, Result<Listing, HostError>> {
        self.inner.observe_all()
    }

    fn apply<'a>(
        &'a self,
        id: &'a ResourceId,
        action: &'a Action,
        progress: Progress,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Result<(), HostError>> {
        Box::pin(async move {
            self.point();
            let result = self.inner.apply(id, action, progress, cancel).await;
            self.point();
            result
        })
    }

    fn remove_volume<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), HostError>> {
        Box::pin(async move {
            self.point();
            let result = self.inner.remove_volume(name).await;
            self.point();
            result
        })
    }

    fn hints(&self) -> BoxStream<'static, Hint> {
        self.inner.hints()
    }

    fn reach<'a>(
        &'a self,
        container: &'a ContainerId,
        host: &'a str,
        port: u16,
        timeout: Duration,
    ) -> BoxFuture<'a, Reach> {
        self.inner.reach(container, host, port, timeout)
    }

    fn sight<'a>(&'a self, container: &'a ContainerId, timeout: Duration) -> BoxFuture<'a, Sight> {
        self.inner.sight(container, timeout)
    }

    fn probe<'a>(
        &'a self,
        container: &'a ContainerId,
        address: Option<IpAddr>,
        kind: &'a ProbeKind,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<String, String>> {
        self.inner.probe(container, address, kind, timeout)
    }

    fn logs<'a>(
        &'a self,
        container: &'a ContainerId,
        options: &'a LogOptions,
    ) -> BoxFuture<'a, Result<LogStream, HostError>> {
        self.inner.logs(container, options)
    }

    fn port_holders(&self, ports: Vec<(u16, Protocol)>) -> BoxFuture<'_, Vec<HeldPort>> {
        self.inner.port_holders(ports)
    }

    fn stamps(&self, paths: Vec<String>) -> BoxFuture<'_, BTreeMap<String, FileStamp>> {
        self.inner.stamps(paths)
    }

    fn usage<'a>(&'a self, container: &'a ContainerId) -> BoxFuture<'a, Result<Usage, HostError>> {
        self.inner.usage(container)
    }

    fn instance(&self) -> &InstanceId {
        self.inner.instance()
    }

    fn version(&self) -> Option<String> {
        self.inner.version()
    }
}

impl<B: FileHost> FileHost for CrashAt<B> {
    fn observe<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<ObservedFile, HostError>> {
        self.inner.observe(path)
    }

    fn apply<'a>(&'a self, id: &'a ResourceId, action: &'a Action) -> BoxFuture<'a, Result<(), HostError>> {
        Box::pin(async move {
            self.point();
            let result = self.inner.apply(id, action).await;
            self.point();
            result
        })
    }
}
