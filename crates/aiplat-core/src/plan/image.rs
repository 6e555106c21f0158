//! The next step for one image: pulled when the file needs it, never removed.

use super::{Cause, Readiness, Step, World, container, room};
use crate::{
    ResourceId,
    action::Action,
    condition::{Condition, ConditionType, Reason},
    fingerprint::{self, Fingerprint},
    observed::ObservedImage,
    spec::PullPolicy,
    time::human,
};

pub(super) fn plan(world: &World<'_>, id: &ResourceId) -> Step {
    if let Some(step) = container::engine_away(world) {
        return step;
    }
    let Some(spec) = world.desired.images.get(id) else { return Step::converged() };
    let Readiness { status, reason, message, .. } = readiness(world, id);
    let conditions = vec![
        Condition::normal(ConditionType::Accepted, Reason::InFile),
        Condition { kind: ConditionType::Ready, status, reason, message: message.clone() },
    ];
    let pull = |cause| Step::act(Action::PullImage { reference: spec.reference.clone() }, cause);
    let step = match (world.observed.images.get(&spec.reference), spec.pull) {
        (None, _) => Step::progressing(),
        (Some(ObservedImage::Absent), PullPolicy::Never) => Step::unsatisfied(Reason::PullNever, message),
        (Some(ObservedImage::Absent), PullPolicy::Missing | PullPolicy::Always) => pull(Cause::Missing),
        (Some(ObservedImage::Present { .. }), PullPolicy::Always) if has_new_users(world, id) => {
            pull(Cause::PullAlways)
        }
        (Some(ObservedImage::Present { .. }), _) => Step::converged(),
    };
    step.with(conditions)
}

/// Fingerprints of the services that use the image.
pub(super) fn users(world: &World<'_>, id: &ResourceId) -> Vec<Fingerprint> {
    let users = world.desired.containers.values().filter(|spec| spec.runtime.image == id.key());
    users.map(|spec| fingerprint::of(&spec.runtime)).collect()
}

fn has_new_users(world: &World<'_>, id: &ResourceId) -> bool {
    let pulled = world.ledger.get(id).map(|record| record.pulled_for.as_slice()).unwrap_or_default();
    users(world, id).iter().any(|user| !pulled.contains(user))
}

/// The readiness of an image, in words.
pub(super) fn readiness(world: &World<'_>, id: &ResourceId) -> Readiness {
    let reference = id.key();
    let failure = world.ledger.get(id).and_then(|record| record.failure.as_ref());
    let pull = world.desired.images.get(id).map_or(PullPolicy::Missing, |spec| spec.pull);
    match (world.observed.images.get(reference), failure) {
        (Some(ObservedImage::Present { .. }), _) => Readiness::ready(Reason::Present),
        (None, None) => {
            Readiness::unknown(Reason::NotObserved, format!("image {reference} has not been looked for yet"))
        }
        (_, Some(failure)) if failure.room.is_some() => to_be_pulled(world, id),
        (_, Some(failure)) => {
            let next = match failure.retry_at {
                Some(at) => format!("next attempt in {}", human(world.now.until(at))),
                None => "next attempt on edit".to_owned(),
            };
            Readiness::not_ready(failure.reason, format!("{}, {next}", failure.message))
        }
        (Some(ObservedImage::Absent), None) if pull == PullPolicy::Never => Readiness::not_ready(
            Reason::PullNever,
            format!(
                "image {reference} is not on this machine and pull_policy is `never`: load it with `docker load`, or pull it"
            ),
        ),
        (Some(ObservedImage::Absent), None) => to_be_pulled(world, id),
    }
}

fn to_be_pulled(world: &World<'_>, id: &ResourceId) -> Readiness {
    match room::no_pull(world, id) {
        Some(gate) => Readiness::not_ready(gate.reason(), format!("{}: {gate}", id.key())),
        None => Readiness::progressing(Reason::Pulling, pulling(world, id)),
    }
}

/// Bytes, as `aiplatctl` counts them too.
const MIB: f64 = 1_048_576.0;

fn pulling(world: &World<'_>, id: &ResourceId) -> String {
    match world.observed.pulls.get(id) {
        Some(progress) if progress.total > 0 => format!(
            "pulling {}: {:.1} of {:.1} MiB",
            id.key(),
            progress.done as f64 / MIB,
            progress.total as f64 / MIB
        ),
        Some(_) | None => format!("pulling {}", id.key()),
    }
}
