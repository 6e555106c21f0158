//! Models, as a status document shows them.

use std::net::SocketAddr;

use aiplat_api::v1::{LoadedModelStatus, ModelStatus};
use aiplat_core::{
    ResourceId,
    condition::Word,
    observed::{LoadedModel, ModelAnswer, ModelEndpoint, ModelFacts, ModelServer, ServerPlace},
    plan::{self, World},
    spec::{ModelName, ModelSpec},
    status,
};

use crate::state::State;

/// Those of the file, by name, and then those that its servers have besides.
pub(super) fn all(state: &State, world: &World<'_>) -> Vec<ModelStatus> {
    let mut all: Vec<ModelStatus> =
        world.desired.models.iter().map(|(id, spec)| wanted(state, world, id, spec)).collect();
    for runner in plan::model_servers(world) {
        let Some(facts) = world.observed.model_servers.get(runner).and_then(ModelServer::facts) else {
            continue;
        };
        let is_wanted =
            |name: &ModelName| world.desired.models_of(runner).any(|(_, spec)| spec.model == *name);
        all.extend(facts.models.iter().filter(|it| !is_wanted(&it.name)).map(|it| ModelStatus {
            name: None,
            model: it.name.to_string(),
            runner: runner.key().to_owned(),
            status: Word::Ready,
            message: "not in the file".to_owned(),
            size: Some(it.size),
            digest: Some(it.digest.clone()),
            loaded: facts.loaded(&it.name).map(loaded),
            pull: None,
            ordered: false,
            failure: None,
        }));
    }
    all
}

fn wanted(state: &State, world: &World<'_>, id: &ResourceId, spec: &ModelSpec) -> ModelStatus {
    let step = plan::plan(world, id);
    let summary = status::model_summary(world, id, &step);
    let facts: Option<&ModelFacts> =
        world.observed.model_servers.get(&spec.runner).and_then(ModelServer::facts);
    let stored = facts.and_then(|facts| facts.model(&spec.model));
    let pull = state.observed.pulls.get(id).copied();
    let announced = pull.map(|pull| pull.total).filter(|total| *total > 0);
    let to_come = || world.observed.model_sizes.get(id).and_then(|size| size.bytes()).or(announced);
    let record = state.ledger.get(id);
    ModelStatus {
        name: Some(id.key().to_owned()),
        model: spec.model.to_string(),
        runner: spec.runner.key().to_owned(),
        status: summary.word,
        message: summary.message,
        size: stored.map(|it| it.size).or_else(to_come),
        digest: stored.map(|it| it.digest.clone()),
        loaded: facts.and_then(|facts| facts.loaded(&spec.model)).map(loaded),
        pull,
        ordered: record.is_some_and(|record| record.orders.pull.is_some()),
        failure: record.and_then(|record| record.failure.as_ref()).map(|failure| failure.message.clone()),
    }
}

fn loaded(it: &LoadedModel) -> LoadedModelStatus {
    let LoadedModel { name: _, size, size_vram, expires_at } = it;
    LoadedModelStatus { size: *size, vram: *size_vram, expires_at: expires_at.clone() }
}

/// What the server of `runner` is, and where it is asked; nothing of a service that serves no models.
pub(super) fn server(world: &World<'_>, runner: &ResourceId) -> Option<String> {
    let server = world.observed.model_servers.get(runner)?;
    match &server.answer {
        ModelAnswer::Unreachable { why } => Some(format!("no answer: {why}")),
        ModelAnswer::Answers(facts) => {
            let ModelEndpoint { service: _, place, port } = plan::model_endpoint(world, runner)?;
            let at = match place {
                ServerPlace::Host(address) | ServerPlace::Container { address: Some(address), .. } => {
                    SocketAddr::new(address, port).to_string()
                }
                ServerPlace::Container { address: None, .. } => format!("127.0.0.1:{port} (inside)"),
            };
            Some(format!("Ollama {} at {at}", facts.version))
        }
    }
}
