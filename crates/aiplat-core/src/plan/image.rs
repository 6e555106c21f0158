//! The next step for one image: pulled when the file needs it, never removed.

use super::{Cause, Readiness, Step, World, container, gate};
use crate::{
    ResourceId,
    action::Action,
    condition::{Condition, ConditionType, Reason},
    fingerprint::{self, Fingerprint},
    observed::ObservedImage,
    spec::PullPolicy,
};

pub(super) fn plan(world: &World<'_>, id: &ResourceId) -> Step {
    if let Some(step) = container::engine_away(world) {
        return step;
    }
    let Some(spec) = world.desired.images.get(id) else { return Step::converged() };
    let Readiness { status, reason, message, .. } = gate::image_readiness(world, id);
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
