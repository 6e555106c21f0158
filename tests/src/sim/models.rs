//! Servers of models, and the registry that they pull from, as far as the adapter for Ollama shows them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use aiplat_core::{
    action::PullModel,
    condition::{ErrorClass, Reason},
    observed::{
        LoadedModel, ModelAnswer, ModelEndpoint, ModelFacts, ModelManifest, PullProgress, ServerPlace,
        StoredModel,
    },
    plan,
    spec::ModelName,
};
use aiplat_host::{HostError, HostErrorKind, Models, Progress};
use futures_util::future::{BoxFuture, FutureExt};
use tokio_util::sync::CancellationToken;

use super::{SimHost, engine::State, ports::lock};

/// The adapter ends a pull that gets no new byte for this long.
pub const STALL: Duration = Duration::from_secs(60);
/// Bytes come in pieces of as much as comes in this time.
const PIECE: Duration = Duration::from_secs(1);

/// All servers of a machine, and the registry.
#[derive(Debug, Clone, Default)]
pub struct ModelWorld {
    /// What there is to be pulled.
    pub registry: BTreeMap<ModelName, Offer>,
    /// Servers by the service that each is. One that nobody has described is there, and has nothing.
    pub servers: BTreeMap<String, Server>,
    /// Pulls that were begun: service and model.
    pub pulls: Vec<(String, ModelName)>,
    /// Models that were removed: service and model.
    pub removed: Vec<(String, ModelName)>,
    /// The registry cannot be asked for manifests by anybody but the servers.
    pub is_closed: bool,
    /// What should never have been asked for.
    pub violations: Vec<String>,
}

/// A model of the registry.
#[derive(Debug, Clone)]
pub struct Offer {
    /// Bytes.
    pub size: u64,
    /// Its content.
    pub digest: String,
    /// Bytes a second.
    pub rate: u64,
    /// At so many bytes the next attempts get no further.
    pub stalls: Vec<u64>,
}

/// What a server has.
#[derive(Debug, Clone, Default)]
pub struct Server {
    /// Models on its disk.
    pub models: BTreeMap<ModelName, StoredModel>,
    /// What has come of those that were not pulled to their end.
    pub partial: BTreeMap<ModelName, u64>,
    /// Models in memory.
    pub loaded: Vec<LoadedModel>,
    /// It does not answer.
    pub is_away: bool,
    /// Bytes that its disk holds; `None`: more than anybody needs.
    pub room: Option<u64>,
}

impl ModelWorld {
    /// A registry that has all that generated platforms ask for.
    #[must_use]
    pub fn with_registry() -> Self {
        let mut world = Self::default();
        for model in crate::generate::MODELS {
            world.offer(model, 3 << 20, 1 << 20);
        }
        world
    }

    /// Puts a model into the registry: so many bytes, and so many a second.
    pub fn offer(&mut self, model: &str, size: u64, rate: u64) -> &mut Offer {
        let name = named(model);
        let offer = Offer { size, digest: format!("digest-of-{model}"), rate, stalls: Vec::new() };
        self.registry.insert(name.clone(), offer);
        self.registry.get_mut(&name).expect("it was put there")
    }

    /// The server of `service`.
    pub fn server(&mut self, service: &str) -> &mut Server {
        self.servers.entry(service.to_owned()).or_default()
    }

    /// Names of the models that `service` has.
    #[must_use]
    pub fn has(&self, service: &str) -> Vec<String> {
        let models = self.servers.get(service).map(|server| server.models.keys());
        models.into_iter().flatten().map(ToString::to_string).collect()
    }

    /// What the server at `at` says, where it runs.
    #[must_use]
    pub fn answer(&self, at: &ModelEndpoint, runs: bool) -> ModelAnswer {
        let server = self.servers.get(&at.service).cloned().unwrap_or_default();
        if !runs || server.is_away {
            return ModelAnswer::Unreachable { why: "connection refused".to_owned() };
        }
        ModelAnswer::Answers(ModelFacts {
            version: "0.5.7".to_owned(),
            models: server.models.into_values().collect(),
            loaded: server.loaded,
        })
    }

    /// Begins a pull: what had come before of it.
    ///
    /// # Errors
    /// Where it cannot be begun.
    pub fn begin(&mut self, pull: &PullModel, runs: bool) -> Result<(), HostError> {
        let PullModel { model, at, bytes: _, room } = pull;
        if !runs || self.server(&at.service).is_away {
            return Err(unreachable(pull));
        }
        self.pulls.push((at.service.clone(), model.clone()));
        let Some(offer) = self.registry.get(model) else {
            return Err(error(
                HostErrorKind::Refused,
                ErrorClass::Rejected,
                Reason::ModelNotFound,
                format!("{} cannot pull {model}: file does not exist", at.service),
            ));
        };
        let to_come = offer.size.saturating_sub(self.come(pull));
        match room {
            Some(room) if plan::is_too_large(to_come, room) => {
                let said = plan::does_not_fit(pull, to_come, "as its pull announced");
                Err(error(HostErrorKind::Refused, ErrorClass::Transient, Reason::DiskFull, said))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn come(&self, pull: &PullModel) -> u64 {
        let server = self.servers.get(&pull.at.service);
        server.and_then(|server| server.partial.get(&pull.model)).copied().unwrap_or_default()
    }

    /// One more piece comes.
    ///
    /// # Errors
    /// Where it does not.
    pub fn piece(&mut self, pull: &PullModel, runs: bool) -> Result<Piece, HostError> {
        let PullModel { model, at, .. } = pull;
        if !runs || self.server(&at.service).is_away {
            let said = format!("the pull of {model} broke off");
            let reason = Reason::ModelServerUnreachable;
            return Err(error(HostErrorKind::OutcomeUnknown, ErrorClass::Transient, reason, said));
        }
        let Some(offer) = self.registry.get(model).cloned() else {
            return Err(unreachable(pull));
        };
        let come = self.come(pull);
        if offer.stalls.first().is_some_and(|at| come >= *at) {
            self.registry.get_mut(model).expect("it is there").stalls.remove(0);
            return Ok(Piece::None);
        }
        let bound = offer.stalls.first().copied().unwrap_or(offer.size);
        let now = come.saturating_add(offer.rate).min(bound).min(offer.size);
        let server = self.server(&at.service);
        let stored: u64 = server.models.values().map(|model| model.size).sum();
        if server.room.is_some_and(|room| stored.saturating_add(now) > room) {
            let said = format!("{} cannot pull {model}: no space left on device", at.service);
            return Err(error(HostErrorKind::Refused, ErrorClass::Transient, Reason::DiskFull, said));
        }
        if now < offer.size {
            server.partial.insert(model.clone(), now);
            return Ok(Piece::Some(PullProgress { done: now, total: offer.size }));
        }
        server.partial.remove(model);
        let stored = StoredModel { name: model.clone(), digest: offer.digest, size: offer.size };
        server.models.insert(model.clone(), stored);
        Ok(Piece::Last)
    }

    /// Pulls to the end, in no time.
    ///
    /// # Errors
    /// As a pull in its time.
    pub fn pull_at_once(&mut self, pull: &PullModel, runs: bool) -> Result<(), HostError> {
        self.begin(pull, runs)?;
        loop {
            match self.piece(pull, runs)? {
                Piece::Some(_) => {}
                Piece::Last => return Ok(()),
                Piece::None => return Err(stalled(pull)),
            }
        }
    }
}

/// What has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// Some bytes, and more are to come.
    Some(PullProgress),
    /// The last of them.
    Last,
    /// Nothing.
    None,
}

/// The name of a model. Panics where it is none.
#[must_use]
pub fn named(model: &str) -> ModelName {
    model.parse().expect("a model's name")
}

fn error(kind: HostErrorKind, class: ErrorClass, reason: Reason, message: String) -> HostError {
    HostError::new(kind, class, reason, message)
}

fn unreachable(pull: &PullModel) -> HostError {
    let said = format!("cannot pull {}: {} does not answer", pull.model, pull.at.service);
    error(HostErrorKind::Unreachable, ErrorClass::Transient, Reason::ModelServerUnreachable, said)
}

fn stalled(pull: &PullModel) -> HostError {
    let said = format!("{} pulled {} and got no new byte for 60s", pull.at.service, pull.model);
    error(HostErrorKind::OutcomeUnknown, ErrorClass::Transient, Reason::RegistryUnavailable, said)
}

/// The same, shared by a test and the daemon.
#[derive(Debug, Clone, Default)]
pub struct SimModels(Arc<Mutex<ModelWorld>>);

impl SimModels {
    /// What there is, locked.
    pub fn lock(&self) -> MutexGuard<'_, ModelWorld> {
        lock(&self.0)
    }

    /// As one daemon on `host` reaches it.
    #[must_use]
    pub fn reached_by(&self, host: SimHost, dead: CancellationToken) -> ModelPort {
        ModelPort { models: self.clone(), host, dead }
    }
}

/// The servers as one daemon reaches them.
pub struct ModelPort {
    models: SimModels,
    host: SimHost,
    dead: CancellationToken,
}

impl ModelPort {
    fn runs(&self, at: &ModelEndpoint) -> bool {
        match &at.place {
            ServerPlace::Host(_) => true,
            ServerPlace::Container { id, .. } => {
                let inner = self.host.settle();
                inner.engine.containers.get(&id.0).is_some_and(|it| it.state == State::Running)
            }
        }
    }

    /// Nothing that a dead daemon has under way goes on.
    async fn unless_dead<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            // Cancel-safe: a flag that stays set.
            () = self.dead.cancelled() => std::future::pending().await,
            // Given up with its daemon, which never sees an answer.
            value = work => value,
        }
    }

    async fn pull_in_time(&self, pull: &PullModel, progress: Progress) -> Result<(), HostError> {
        let runs = self.runs(&pull.at);
        if !runs {
            let said = format!("{} is asked to pull, and does not run", pull.at.service);
            self.models.lock().violations.push(said);
        }
        self.models.lock().begin(pull, runs)?;
        loop {
            tokio::time::sleep(PIECE).await;
            let runs = self.runs(&pull.at);
            let piece = self.models.lock().piece(pull, runs)?;
            match piece {
                Piece::Some(bytes) => progress(bytes),
                Piece::Last => return Ok(()),
                Piece::None => {
                    tokio::time::sleep(STALL).await;
                    return Err(stalled(pull));
                }
            }
        }
    }
}

impl Models for ModelPort {
    fn observe<'a>(&'a self, at: &'a ModelEndpoint) -> BoxFuture<'a, ModelAnswer> {
        self.unless_dead(async {
            tokio::time::sleep(Duration::from_millis(2)).await;
            let runs = self.runs(at);
            self.models.lock().answer(at, runs)
        })
        .boxed()
    }

    fn manifest<'a>(&'a self, model: &'a ModelName) -> BoxFuture<'a, Result<ModelManifest, String>> {
        self.unless_dead(async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let world = self.models.lock();
            match world.registry.get(model).filter(|_| !world.is_closed) {
                Some(offer) => Ok(ModelManifest { bytes: offer.size, digest: offer.digest.clone() }),
                None => Err("the registry answers 404".to_owned()),
            }
        })
        .boxed()
    }

    fn pull<'a>(
        &'a self,
        pull: &'a PullModel,
        progress: Progress,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Result<(), HostError>> {
        self.unless_dead(async move {
            tokio::select! {
                biased;
                () = cancel.cancelled() => {
                    let said = format!("the pull of {} was called off", pull.model);
                    Err(error(HostErrorKind::OutcomeUnknown, ErrorClass::Changed, Reason::Pulling, said))
                }
                done = self.pull_in_time(pull, progress) => done,
            }
        })
        .boxed()
    }

    fn delete<'a>(
        &'a self,
        at: &'a ModelEndpoint,
        model: &'a ModelName,
    ) -> BoxFuture<'a, Result<(), HostError>> {
        self.unless_dead(async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let mut world = self.models.lock();
            world.removed.push((at.service.clone(), model.clone()));
            world.server(&at.service).models.remove(model);
            Ok(())
        })
        .boxed()
    }
}
