//! The machine behind the `Backend` port.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use aiplat_core::{
    Kind, ResourceId,
    action::Action,
    condition::{ErrorClass, Reason},
    observed::{ContainerId, EngineSettings, FileStamp, HeldPort, Listing, Observed, Reach, Sight},
    spec::{InstanceId, ProbeKind, Protocol},
};
use aiplat_host::{
    Backend, Hint, HostError, HostErrorKind, LogLine, LogOptions, LogStream, Progress, Target, Usage,
};
use aiplatd::events::rfc3339;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream, stream::BoxStream};
use tokio_util::sync::CancellationToken;

use super::{
    engine::{State, Written},
    host::{Inner, SimHost, wall_ms},
};

/// The machine as one daemon reaches it.
pub struct SimPort {
    pub(super) host: SimHost,
    pub(super) dead: CancellationToken,
}

impl SimPort {
    /// Nothing that a dead daemon has under way goes on.
    pub(super) async fn unless_dead<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            // Cancel-safe: a flag that stays set.
            () = self.dead.cancelled() => std::future::pending().await,
            // Given up with its daemon, which never sees an answer.
            value = work => value,
        }
    }
}

impl Backend for SimPort {
    fn observe<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Observed, HostError>> {
        let host = &self.host;
        {
            let mut inner = host.settle();
            inner.looks += 1;
            if target.id.kind == Kind::Image {
                inner.asked_for.insert(target.host_name.clone());
            }
        }
        let look = async move {
            if target.id.kind != Kind::Container {
                return host.read(|inner| inner.engine.look(target, &host.instance)).await;
            }
            // A listing and then an inspect, which waits for what is under way: other answers overtake this one.
            let (as_of, listed) = host.read(|inner| (inner.engine.moment(), inner.engine.listed())).await?;
            let waits = { host.settle().rng.below(10) };
            if waits == 0 {
                let most = 300;
                let wait = { host.settle().rng.below(most) };
                tokio::time::sleep(Duration::from_millis(wait)).await;
            }
            let inspect = |inner: &Inner| {
                let mut containers = listed.clone();
                inner.engine.add_details(&mut containers, &target.id, &host.instance);
                Observed::Containers(as_of, containers)
            };
            host.read(inspect).await
        };
        self.unless_dead(look).boxed()
    }

    fn observe_all(&self) -> BoxFuture<'_, Result<Listing, HostError>> {
        self.host.settle().listings += 1;
        self.unless_dead(self.host.read(|inner| inner.engine.listing())).boxed()
    }

    fn apply<'a>(
        &'a self,
        id: &'a ResourceId,
        action: &'a Action,
        progress: Progress,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Result<(), HostError>> {
        let act = async move {
            if !matches!(action, Action::PullImage { .. }) {
                return self.host.act(id, action, &progress).await;
            }
            // Cancel-safe: a pull that is given up has done nothing.
            tokio::select! {
                biased;
                () = cancel.cancelled() => Err(called_off()),
                result = self.host.act(id, action, &progress) => result,
            }
        };
        self.unless_dead(act).boxed()
    }

    fn remove_volume<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), HostError>> {
        self.unless_dead(async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let mut inner = self.host.settle();
            if inner.away {
                return Err(SimHost::unreachable());
            }
            let done = inner.engine.remove_left_volume(&self.host.instance, name);
            inner.tell(&self.host.instance);
            self.host.changed.notify_one();
            done
        })
        .boxed()
    }

    fn stamps(&self, paths: Vec<String>) -> BoxFuture<'_, BTreeMap<String, FileStamp>> {
        let inner = self.host.settle();
        let stamp = |path: String| {
            if let Some(stamp) = inner.units.as_ref().and_then(|units| units.stamp(&path)) {
                return (path, stamp);
            }
            let writes = inner.engine.writes.get(&path).copied().unwrap_or_default();
            let stamp = if inner.engine.is_there(&path) { writes.to_string() } else { "absent".to_owned() };
            (path, FileStamp(stamp))
        };
        let stamps = paths.into_iter().map(stamp).collect();
        async move { stamps }.boxed()
    }

    fn port_holders(&self, ports: Vec<(u16, Protocol)>) -> BoxFuture<'_, Vec<HeldPort>> {
        let held = self.host.settle().engine.held_by_processes(&ports);
        async move { held }.boxed()
    }

    fn hints(&self) -> BoxStream<'static, Hint> {
        let mut inner = self.host.settle();
        let connected = !inner.away;
        let receiver = inner.hints.subscribe(connected);
        let dead = self.dead.clone();
        stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) })
            .take_until(dead.cancelled_owned())
            .boxed()
    }

    fn probe<'a>(
        &'a self,
        container: &'a ContainerId,
        _address: Option<IpAddr>,
        kind: &'a ProbeKind,
        _timeout: Duration,
    ) -> BoxFuture<'a, Result<String, String>> {
        let probe = async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let inner = self.host.settle();
            let answers = inner.engine.containers.get(&container.0).is_some_and(|c| inner.engine.answers(c));
            if answers {
                Ok(format!("{kind}: connected"))
            } else {
                Err(format!("{kind}: connection refused"))
            }
        };
        self.unless_dead(probe).boxed()
    }

    fn reach<'a>(
        &'a self,
        _container: &'a ContainerId,
        _host: &'a str,
        _port: u16,
        _timeout: Duration,
    ) -> BoxFuture<'a, Reach> {
        let connection = async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let inner = self.host.settle();
            let beyond = || inner.units.as_ref().map(super::Systemd::reach);
            let reach = inner.firewall.clone().or_else(beyond);
            reach.unwrap_or_else(|| Reach::Untried("this machine has no units".to_owned()))
        };
        self.unless_dead(connection).boxed()
    }

    fn sight<'a>(&'a self, container: &'a ContainerId, _timeout: Duration) -> BoxFuture<'a, Sight> {
        let look = async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            self.host.settle().engine.sight(container)
        };
        self.unless_dead(look).boxed()
    }

    fn logs<'a>(
        &'a self,
        container: &'a ContainerId,
        options: &'a LogOptions,
    ) -> BoxFuture<'a, Result<LogStream, HostError>> {
        // Whoever follows sees the present, and the end.
        let LogOptions { follow: _, tail, since } = options;
        let lines = async move {
            let read = |inner: &Inner| Some(inner.engine.containers.get(&container.0)?.log.clone());
            let written = self.host.read(read).await?.ok_or_else(|| gone(container))?;
            let skip =
                tail.map_or(0, |tail| written.len().saturating_sub(usize::try_from(tail).unwrap_or(0)));
            let lines = written.into_iter().skip(skip).map(|line| (wall_ms(line.at), line));
            let from = since.map_or(i64::MIN, |since| since.saturating_mul(1_000));
            let lines = lines.filter(|(at, _)| *at >= from).map(|(at, Written { at: _, stderr, text })| {
                Ok(LogLine { timestamp: rfc3339(at), stderr, text })
            });
            Ok(stream::iter(lines.collect::<Vec<_>>()).boxed())
        };
        self.unless_dead(lines).boxed()
    }

    fn settings(&self) -> BoxFuture<'_, Result<Option<EngineSettings>, HostError>> {
        let settings = self.host.settle().engine.settings.clone();
        async { Ok(settings) }.boxed()
    }

    fn volume_sizes(&self) -> BoxFuture<'_, Result<Option<BTreeMap<String, u64>>, HostError>> {
        self.host.settle().measurements += 1;
        let measure = |inner: &Inner| {
            let volumes = inner.engine.volumes.values();
            volumes.filter(|it| it.driver == "local").map(|it| (it.name.clone(), it.size)).collect()
        };
        self.unless_dead(async move { self.host.read(measure).await.map(Some) }).boxed()
    }

    fn usage<'a>(&'a self, container: &'a ContainerId) -> BoxFuture<'a, Result<Usage, HostError>> {
        async move {
            let inner = self.host.settle();
            let found = inner.engine.containers.get(&container.0).ok_or_else(|| gone(container))?;
            let own = u64::try_from(found.limits.memory).ok().filter(|own| *own > 0);
            let used =
                Usage { memory: 1 << 20, memory_limit: own.unwrap_or(1 << 30), pids: 1, ..Usage::default() };
            Ok(if found.state == State::Running { used } else { Usage::default() })
        }
        .boxed()
    }

    fn instance(&self) -> &InstanceId {
        &self.host.instance
    }
}

fn called_off() -> HostError {
    let (class, reason) = (ErrorClass::Changed, Reason::Pulling);
    HostError::new(
        HostErrorKind::OutcomeUnknown,
        class,
        reason,
        "the pull was called off; aiplatd looks again",
    )
}

fn gone(container: &ContainerId) -> HostError {
    let message = format!("container {container} is gone");
    HostError::new(HostErrorKind::Refused, ErrorClass::Changed, Reason::Missing, message)
}
