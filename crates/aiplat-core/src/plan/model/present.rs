//! What is said of a service about the models that it is to serve: its dependants may work with those that are there, so that
//! it is no part of Ready.

use super::{Look, readiness};
use crate::{
    ResourceId,
    condition::{Condition, ConditionType, Reason, Status},
    observed::PullProgress,
    plan::{Readiness, Step, World},
};

/// `step` of the service `id`, with what there is to say of its models.
pub(in crate::plan) fn apply(world: &World<'_>, id: &ResourceId, step: Step) -> Step {
    step.saying(condition(world, id))
}

/// Nothing of a service that serves none.
fn condition(world: &World<'_>, id: &ResourceId) -> Option<Condition> {
    let kind = ConditionType::ModelsPresent;
    let models: Vec<(&ResourceId, Readiness)> =
        world.desired.models_of(id).map(|(model, _)| (model, readiness(world, model))).collect();
    if models.is_empty() {
        return None;
    }
    let missing: Vec<&(&ResourceId, Readiness)> =
        models.iter().filter(|(_, it)| it.status != Status::True).collect();
    let Some((_, first)) = missing.first() else {
        return Some(Condition::normal(kind, Reason::Present));
    };
    // Of a service that does not run, or does not answer, nothing is known.
    if missing.iter().all(|(_, it)| is_unknown(it)) {
        return Some(Condition::unknown(kind, first.reason, first.message.clone()));
    }
    let there = models.len() - missing.len();
    let said: Vec<String> = missing.iter().filter_map(|(model, it)| said(world, model, it)).collect();
    let reason = if missing.iter().any(|(_, it)| it.reason == Reason::Pulling) {
        Reason::Pulling
    } else {
        first.reason
    };
    let of = if models.len() == 1 { "model" } else { "models" };
    Some(Condition::abnormal(kind, reason, format!("{there} of {} {of}: {}", models.len(), said.join("; "))))
}

fn is_unknown(readiness: &Readiness) -> bool {
    readiness.status == Status::Unknown || readiness.reason == Reason::WaitingForDependencies
}

/// `codellama:13b is being pulled, 41%`
fn said(world: &World<'_>, id: &ResourceId, readiness: &Readiness) -> Option<String> {
    let model = &Look::of(world, id)?.spec.model;
    let Some(PullProgress { done, total }) = world.observed.pulls.get(id) else {
        let Readiness { reason, progressing, .. } = readiness;
        // Its own sentence is where it is; here are those of all of them.
        return Some(match progressing {
            true => format!("{model} is not there yet"),
            false => format!("{model} is missing ({reason}): `aiplatctl why {id}`"),
        });
    };
    Some(match done.saturating_mul(100).checked_div(*total) {
        Some(percent) => format!("{model} is being pulled, {}%", percent.min(100)),
        None => format!("{model} is being pulled"),
    })
}
