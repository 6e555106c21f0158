//! Models that the file does not ask for. No plan removes one: whether a person's word may is decided here.

use super::servers;
use crate::{
    ResourceId,
    observed::{ModelAnswer, ModelServer, StoredModel},
    plan::{Kept, World},
    spec::ModelName,
};

/// Whether `model` may be removed from the server `runner`, or from the only one that has it.
///
/// # Errors
/// Why it is kept.
pub fn removable(
    world: &World<'_>,
    model: &ModelName,
    runner: Option<&str>,
) -> Result<(ResourceId, StoredModel), Kept> {
    let chosen = |id: &ResourceId| runner.is_none_or(|runner| runner == id.key());
    let known: Vec<(&ResourceId, &ModelServer)> = servers(world)
        .into_iter()
        .filter(|id| chosen(id))
        .filter_map(|id| Some((id, world.observed.model_servers.get(id)?)))
        .collect();
    let having: Vec<(&ResourceId, &StoredModel)> =
        known.iter().filter_map(|(id, server)| Some((*id, server.facts()?.model(model)?))).collect();
    match having.as_slice() {
        [] => Err(Kept::NoSuch(nowhere(model, runner, &known))),
        [(id, stored)] => match world.desired.models_of(id).find(|(_, spec)| spec.model == *model) {
            Some((entry, _)) => Err(Kept::Stays(format!(
                "{model} stays: the file asks for it as `models.{}`, and it would be pulled again; take that entry out of the \
                 file, and then `aiplatctl model rm {model}`",
                entry.key()
            ))),
            None => Ok(((*id).clone(), (*stored).clone())),
        },
        several => {
            let names: Vec<&str> = several.iter().map(|(id, _)| id.key()).collect();
            Err(Kept::Stays(format!(
                "{model} is on {}: say from which it is to be removed with `--runner {}`",
                names.join(" and on "),
                names[0]
            )))
        }
    }
}

fn nowhere(model: &ModelName, runner: Option<&str>, known: &[(&ResourceId, &ModelServer)]) -> String {
    let away = known.iter().find_map(|(id, server)| match &server.answer {
        ModelAnswer::Unreachable { why } => Some(format!("{} does not answer: {why}", id.key())),
        ModelAnswer::Answers(_) => None,
    });
    let on = runner.map(|runner| format!(" on {runner}")).unwrap_or_default();
    match away {
        Some(away) => format!("whether there is a model {model}{on} is not known, for {away}"),
        None => format!("there is no model {model}{on}; `aiplatctl get models` lists those that there are"),
    }
}
