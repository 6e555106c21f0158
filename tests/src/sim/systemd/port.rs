//! The `Units` port of a simulated systemd.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use aiplat_core::{
    action::Action,
    observed::{
        ActiveState, AsOf, FolderFacts, Instance, LoadState, ObservedUnit, UnitEvidence, elsewhere, stranger,
        who,
    },
    spec::ProbeKind,
};
use aiplat_host::{HostError, LogOptions, LogStream, SystemdOverview, UnitAnswer, UnitHint, Units, Usage};
use futures_util::{
    FutureExt, StreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use tokio::{sync::broadcast, time::sleep};

use super::{Systemd, Unit, apply::away, files::absent};

impl Systemd {
    /// A look at a unit, in no time.
    pub(crate) fn look(&self, unit: &str) -> Result<ObservedUnit, HostError> {
        let mut inner = self.lock();
        if let Some(reason) = &inner.away {
            return Err(away(reason));
        }
        inner.looks += 1;
        let as_of = AsOf(inner.looks);
        let seen = inner.loaded(unit).map_or_else(
            || absent(unit),
            |it| {
                // As the adapter asks for it: one that is broken would be remembered so.
                it.inside.kept = it.seen.load == LoadState::Loaded;
                it.view()
            },
        );
        Ok(ObservedUnit { as_of, ..seen })
    }
}

impl Units for Systemd {
    fn observe<'a>(&'a self, unit: &'a str) -> BoxFuture<'a, Result<ObservedUnit, HostError>> {
        async move {
            sleep(Duration::from_micros(200)).await;
            self.fails_to_look()?;
            self.look(unit)
        }
        .boxed()
    }

    fn apply<'a>(&'a self, action: &'a Action) -> BoxFuture<'a, Result<(), HostError>> {
        self.call(action).boxed()
    }

    fn hints(&self) -> BoxStream<'static, UnitHint> {
        let receiver = self.hints.subscribe();
        let rest = stream::unfold(receiver, |mut receiver| async move {
            match receiver.recv().await {
                Ok(hint) => Some((hint, receiver)),
                Err(broadcast::error::RecvError::Lagged(_)) => Some((UnitHint::Relist, receiver)),
                Err(broadcast::error::RecvError::Closed) => None,
            }
        });
        self.unreliable(stream::iter([UnitHint::Relist]).chain(rest).boxed())
    }

    fn probe<'a>(
        &'a self,
        unit: &'a str,
        address: IpAddr,
        kind: &'a ProbeKind,
        _timeout: Duration,
    ) -> BoxFuture<'a, UnitAnswer> {
        async move {
            sleep(Duration::from_millis(1)).await;
            let inner = self.lock();
            let port = kind.port().unwrap_or_default();
            let found = inner.units.get(unit);
            let listeners = found.map(|found| found.listeners(unit)).unwrap_or_default();
            let who = stranger(&listeners, address, unit).map(who);
            let said = match who {
                Some(who) => Err(format!("{kind}: 200; but that was {who}")),
                None if found.is_some_and(|found| found.answers(unit, address)) => Ok(format!("{kind}: 200")),
                None if listeners.is_empty() => {
                    Err(format!("{kind}: refused; {}", elsewhere(&listeners, port)))
                }
                None => Err(format!("{kind}: refused")),
            };
            UnitAnswer { said, listeners: Some(listeners) }
        }
        .boxed()
    }

    fn evidence<'a>(&'a self, unit: &'a str) -> BoxFuture<'a, UnitEvidence> {
        async move {
            sleep(Duration::from_millis(1)).await;
            let mut inner = self.lock();
            inner.fetched += 1;
            let found = inner.units.get(unit);
            let denials = found.map(|found| found.denials.clone()).unwrap_or_default();
            UnitEvidence { journal: vec![format!("{unit} is up")], denials }
        }
        .boxed()
    }

    fn usage<'a>(&'a self, unit: &'a str) -> BoxFuture<'a, Result<Usage, HostError>> {
        async move {
            sleep(Duration::from_secs(1)).await;
            let inner = self.lock();
            let is_up = inner.units.get(unit).is_some_and(|unit| unit.seen.active.is_alive());
            let used = Usage { cpu_percent: 12.5, memory: 1 << 20, pids: 3, ..Usage::default() };
            is_up.then_some(used).ok_or_else(|| HostError::misdirected(unit, "a unit that does not run"))
        }
        .boxed()
    }

    fn folders(&self, paths: Vec<String>) -> BoxFuture<'_, BTreeMap<String, FolderFacts>> {
        async move {
            sleep(Duration::from_millis(1)).await;
            let folders = &self.lock().folders;
            let facts = |path: String| {
                let facts = folders.get(&path).cloned().unwrap_or_default();
                (path, facts)
            };
            paths.into_iter().map(facts).collect()
        }
        .boxed()
    }

    fn instances(&self, programs: BTreeSet<String>) -> BoxFuture<'_, Vec<Instance>> {
        async move {
            sleep(Duration::from_millis(1)).await;
            let inner = self.lock();
            inner.instances.iter().filter(|it| programs.contains(&it.program)).cloned().collect()
        }
        .boxed()
    }

    fn overview(&self, units: BTreeSet<String>) -> BoxFuture<'_, Result<SystemdOverview, HostError>> {
        async move {
            sleep(Duration::from_millis(1)).await;
            let inner = self.lock();
            if let Some(reason) = &inner.away {
                return Err(away(reason));
            }
            let has_failed = |(name, unit): (&String, &Unit)| {
                let needs =
                    |it: &&String| *it == name || inner.units.get(*it).is_some_and(|other| other.names(name));
                let of = || (name.clone(), units.iter().filter(needs).cloned().collect());
                (unit.seen.active == ActiveState::Failed).then(of)
            };
            let failed: BTreeMap<String, Vec<String>> = inner.units.iter().filter_map(has_failed).collect();
            let state = if failed.is_empty() { "running" } else { "degraded" }.to_owned();
            Ok(SystemdOverview { version: "257".to_owned(), state, failed })
        }
        .boxed()
    }

    fn logs<'a>(
        &'a self,
        unit: &'a str,
        _options: &'a LogOptions,
    ) -> BoxFuture<'a, Result<LogStream, HostError>> {
        async move { Err(HostError::misdirected(format_args!("the journal of {unit}"), "this simulation")) }
            .boxed()
    }
}
