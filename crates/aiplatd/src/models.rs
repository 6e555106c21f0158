//! Servers of models: asked when they have become ready, after a pull of ours, and every half minute. What they have is looked at
//! there; what is pulled is decided by `plan`, and what is removed by a person alone.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use aiplat_core::{
    ResourceId, Timestamp,
    action::{Action, PullModel},
    condition::{ErrorClass, Reason},
    load::{self, Origin, Step},
    observed::{ModelAnswer, ModelServer, PullProgress},
    plan::{self, Kept, World},
    spec::{ModelName, Platform},
};
use aiplat_host::{HostError, HostErrorKind, Progress};
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::shared::Shared;

/// How often a server that answers is asked: what somebody pulls or removes beside us is seen this late.
const EVERY: Duration = Duration::from_secs(30);
/// One that does not answer is asked again sooner.
const AGAIN: Duration = Duration::from_secs(5);

/// Asks the servers again and again, for ever.
pub async fn follow(shared: Arc<Shared>) {
    let mut asked: BTreeMap<ResourceId, Timestamp> = BTreeMap::new();
    loop {
        tokio::time::sleep(AGAIN).await;
        let now = shared.now();
        let due = shared.due_servers(&asked, now);
        join_all(due.iter().map(|runner| shared.ask_model_server(runner))).await;
        asked.extend(due.into_iter().map(|runner| (runner, now)));
    }
}

impl Shared {
    /// The servers that run and were not asked for a while.
    fn due_servers(&self, asked: &BTreeMap<ResourceId, Timestamp>, now: Timestamp) -> Vec<ResourceId> {
        let state = self.lock();
        let Some(world) = state.world(now) else { return Vec::new() };
        let is_due = |runner: &&ResourceId| {
            let answers = world.observed.model_servers.get(*runner).is_some_and(|it| it.facts().is_some());
            let was_asked = asked.get(*runner).filter(|at| now.since(**at) < EVERY);
            plan::incarnation(&world, runner).is_some()
                && (!answers || plan::is_model_server_unasked(&world, runner) || was_asked.is_none())
        };
        plan::model_servers(&world).into_iter().filter(is_due).cloned().collect()
    }

    /// Asks one server what it has, and plans who looks at that if it is news.
    async fn ask_model_server(&self, runner: &ResourceId) {
        let asked = {
            let state = self.lock();
            let world = state.world(self.now());
            world.and_then(|world| {
                Some((plan::model_endpoint(&world, runner)?, plan::incarnation(&world, runner)))
            })
        };
        let Some((endpoint, run)) = asked else { return };
        let answer = self.models.observe(&endpoint).await;
        self.take_in(runner, ModelServer { run, answer });
    }

    fn take_in(&self, runner: &ResourceId, server: ModelServer) {
        let concerned: Vec<ResourceId> = {
            let mut state = self.lock();
            if state.observed.model_servers.get(runner) == Some(&server) {
                return;
            }
            state.observed.model_servers.insert(runner.clone(), server);
            let desired = state.desired.as_deref();
            let models = desired.into_iter().flat_map(|desired| desired.models_of(runner));
            models.map(|(id, _)| id.clone()).chain([runner.clone()]).collect()
        };
        self.schedule(concerned);
        self.changed();
    }

    /// The server of the model `id` could not be reached when something was to be done.
    pub(crate) fn record_model_server_loss(&self, id: &ResourceId, why: &str) {
        let known = {
            let state = self.lock();
            let world = state.world(self.now());
            world.and_then(|world| {
                let runner = &world.desired.models.get(id)?.runner;
                Some((runner.clone(), plan::incarnation(&world, runner)))
            })
        };
        if let Some((runner, run)) = known {
            let answer = ModelAnswer::Unreachable { why: why.to_owned() };
            self.take_in(&runner, ModelServer { run, answer });
        }
    }

    /// Looks at the model `id`: at its server and, where that lacks it, how large it is.
    pub(crate) async fn look_at_model(&self, id: &ResourceId) {
        let spec = {
            let mut state = self.lock();
            state.mark_fresh(id);
            state.desired.as_deref().and_then(|desired| desired.models.get(id).cloned())
        };
        let Some(spec) = spec else { return };
        self.ask_model_server(&spec.runner).await;
        let is_missing = {
            let state = self.lock();
            let facts = state.observed.model_servers.get(&spec.runner).and_then(ModelServer::facts);
            facts.is_some_and(|facts| facts.model(&spec.model).is_none())
        };
        if is_missing {
            self.look_for_size(id, &spec.model).await;
        }
    }

    /// Its registry is asked once before each pull: a machine without a way out there does not wait for it in each pass.
    async fn look_for_size(&self, id: &ResourceId, model: &ModelName) {
        let is_known = self.lock().observed.model_sizes.get(id).is_some_and(|size| size.manifest.is_some());
        if is_known {
            return;
        }
        let manifest = self.models.manifest(model).await;
        if let Err(why) = &manifest {
            tracing::debug!(resource = %id, reason = %why, "How large a model is will be known when its pull has begun.");
        }
        self.lock().observed.model_sizes.entry(id.clone()).or_default().manifest = Some(manifest);
    }

    /// The sizes of all models of a file that is not in force yet, as far as they are not there and its registries tell.
    pub(crate) async fn look_for_sizes(&self, desired: &Platform) {
        let missing: Vec<(ResourceId, ModelName)> = {
            let state = self.lock();
            let is_missing = |runner: &ResourceId, model: &ModelName| {
                let server = state.observed.model_servers.get(runner).and_then(ModelServer::facts);
                server.is_none_or(|facts| facts.model(model).is_none())
            };
            // What is known of an entry is of the file in force.
            let is_same = |id: &ResourceId, model: &ModelName| {
                let known = state.desired.as_deref().and_then(|desired| desired.models.get(id));
                known.is_none_or(|known| known.model == *model)
            };
            let all = desired.models.iter().map(|(id, spec)| (id, &spec.runner, &spec.model));
            let missing = all.filter(|(id, runner, model)| is_missing(runner, model) && is_same(id, model));
            missing.map(|(id, _, model)| (id.clone(), model.clone())).collect()
        };
        join_all(missing.iter().map(|(id, model)| self.look_for_size(id, model))).await;
    }

    /// Lets the server of the model `id` pull it. It is called off when the file does not ask for it any more.
    pub(crate) async fn pull_model(
        &self,
        id: &ResourceId,
        action: &Action,
        progress: Progress,
        cancel: CancellationToken,
    ) -> Result<(), HostError> {
        let Action::PullModel(pull) = action else {
            return Err(HostError::misdirected(action, "a server of models"));
        };
        progress(PullProgress::default());
        let result = tokio::select! {
            biased;
            result = self.models.pull(pull, progress, cancel) => result,
            // The other call is dropped with this, and the server stops.
            () = self.until_unwanted(id, &pull.model) => Err(called_off(pull)),
        };
        let mut state = self.lock();
        let announced = state.observed.pulls.remove(id).filter(|progress| progress.total > 0);
        match (&result, announced) {
            (Ok(()), _) => drop(state.observed.model_sizes.remove(id)),
            (Err(_), announced) => {
                let size = state.observed.model_sizes.entry(id.clone()).or_default();
                size.announced = announced.or(size.announced);
                // The network may have come back meanwhile.
                size.manifest = size.manifest.take().filter(Result::is_ok);
            }
        }
        result
    }

    async fn until_unwanted(&self, id: &ResourceId, model: &ModelName) {
        let mut versions = self.versions();
        loop {
            let wanted = {
                let state = self.lock();
                let spec = state.desired.as_deref().and_then(|desired| desired.models.get(id));
                spec.is_some_and(|spec| spec.model == *model)
            };
            if !wanted || versions.changed().await.is_err() {
                return;
            }
        }
    }
}

fn called_off(pull: &PullModel) -> HostError {
    HostError::new(
        HostErrorKind::OutcomeUnknown,
        ErrorClass::Changed,
        Reason::NotInFile,
        format!("the pull of {} was called off: the file does not ask for it any more", pull.model),
    )
}

/// Where the entry is that keeps it, if one does: so that it is found.
fn with_place(shared: &Shared, world: &World<'_>, model: &ModelName, kept: Kept) -> NotRemoved {
    let Kept::Stays(why) = &kept else { return NotRemoved::Kept(kept) };
    let entry = world.desired.models.iter().find(|(_, spec)| spec.model == *model);
    let is_it = |origin: &Origin| match (origin.path.as_slice(), &entry) {
        ([Step::Key(section), Step::Key(name), ..], Some((id, _))) => section == "models" && name == id.key(),
        (_, _) => false,
    };
    let origins = load::origins(shared.source.root(), &*shared.source);
    let place = origins.iter().find(|origin| is_it(origin));
    match place {
        Some(Origin { file, line, .. }) => {
            NotRemoved::Kept(Kept::Stays(format!("{why}; it is at {}:{line}", file.display())))
        }
        None => NotRemoved::Kept(kept),
    }
}

/// Why a model stays where it is.
#[derive(Debug)]
pub enum NotRemoved {
    /// It may not go, or is nowhere.
    Kept(Kept),
    /// Its server cannot be asked, or refused.
    Host(HostError),
}

/// Removes `model` from the server `runner`, or from the only one that has it; `by` is who asked for it. A call of its own,
/// which no plan and no pass makes: an order that waited could meet a file that asks for the model by then.
///
/// # Errors
/// Why it stays.
pub async fn remove(
    shared: &Shared,
    by: &str,
    model: &ModelName,
    runner: Option<&str>,
    dry_run: bool,
) -> Result<String, NotRemoved> {
    let stays = |why: &str| NotRemoved::Kept(Kept::Stays(format!("{model} stays: {why}")));
    // What was last seen is good enough to show, and not to lose data over.
    let servers: Vec<ResourceId> = {
        let state = shared.lock();
        let world = state.world(shared.now());
        world.map(|world| plan::model_servers(&world).into_iter().cloned().collect()).unwrap_or_default()
    };
    join_all(servers.iter().map(|server| shared.ask_model_server(server))).await;
    let (server, stored) = {
        let state = shared.lock();
        let world = state
            .world(shared.now())
            .ok_or_else(|| stays("no file is in force that could say which models are left over"))?;
        plan::removable_model(&world, model, runner)
            .map_err(|kept| with_place(shared, &world, model, kept))?
    };
    let what = format!("{} ({}) from {}", stored.name, aiplat_core::bytes::human(stored.size), server.key());
    if dry_run {
        return Ok(format!("would remove {what}"));
    }
    let endpoint = {
        let state = shared.lock();
        if state.spec.refused.is_some() {
            return Err(stays(plan::FILE_REFUSED));
        }
        state.world(shared.now()).and_then(|world| plan::model_endpoint(&world, &server))
    };
    let gone = || NotRemoved::Kept(Kept::NoSuch(format!("{} does not run", server.key())));
    let result = shared.models.delete(&endpoint.ok_or_else(gone)?, &stored.name).await;
    // Whatever came of it, what there is now is shown.
    shared.ask_model_server(&server).await;
    let (wall_ms, of) = (shared.clock.wall_ms(), server.to_string());
    let mut state = shared.lock();
    match result {
        Ok(()) => {
            state.events.note(wall_ms, "ModelRemoved", &of, format!("{by} removed {what}"));
            Ok(format!("removed {what}"))
        }
        Err(error) => {
            state.events.warn(wall_ms, "ModelNotRemoved", &of, format!("{by} asked for it: {error}"));
            Err(NotRemoved::Host(error))
        }
    }
}
