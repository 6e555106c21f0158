//! The whole plan: `plan` and `predict`, iterated to a fixpoint. What `diff` prints.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    Kind, ResourceId, Timestamp,
    ledger::Ledger,
    observed::{ObservedImage, ObservedState},
    plan::{Requeue, Verdict, World, plan},
    predict::predict,
    spec::Platform,
};

/// Actions that can be done side by side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wave {
    /// In order of resource.
    pub actions: Vec<PreviewedAction>,
}

/// One action of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviewedAction {
    /// Of which resource.
    pub resource: ResourceId,
    /// One word: `create`, `stop`.
    pub verb: String,
    /// The whole action.
    pub action: String,
    /// Why.
    pub cause: String,
    /// What it interrupts, if anything.
    pub interrupts: Option<String>,
}

/// What the daemon would do from here, if nothing else happened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// Waves of actions, in order; empty when everything is as the file says.
    pub waves: Vec<Wave>,
    /// What cannot be done, and why: `(resource, sentence)`.
    pub blocked: Vec<(ResourceId, String)>,
}

/// A chain of as many services as a file may have, each taking a handful of steps, fits; nothing sane needs more.
const WAVES_MAX: usize = 20_000;

/// Every resource that has something to plan: what the file asks for, and what of ours is there.
#[must_use]
pub fn resources(desired: &Platform, observed: &ObservedState) -> BTreeSet<ResourceId> {
    let mut ids: BTreeSet<ResourceId> = desired.ids().cloned().collect();
    ids.extend(observed.owned.keys().cloned());
    let owners = observed.networks.values().map(|network| &network.owner);
    let owners = owners.chain(observed.volumes.values().map(|volume| &volume.owner));
    let ours = owners.flatten().filter(|owner| owner.instance == desired.instance);
    ids.extend(ours.map(|owner| owner.resource.clone()));
    ids
}

/// The plan from `observed` to what `desired` asks for. Waits (grace, back-off) are taken to pass; an image that
/// has not been looked for is taken to be there.
#[must_use]
pub fn preview(desired: &Platform, observed: &ObservedState, ledger: &Ledger, now: Timestamp) -> Preview {
    let mut observed = observed.clone();
    let mut ledger = ledger.clone();
    let mut now = now;
    for image in desired.images.values() {
        let present = ObservedImage::Present { id: String::new(), has_healthcheck: false };
        observed.images.entry(image.reference.clone()).or_insert(present);
    }
    let ids = resources(desired, &observed);
    let mut waves = Vec::new();
    let mut pending = ids.clone();
    while waves.len() < WAVES_MAX {
        let world = World { desired, observed: &observed, ledger: &ledger, now };
        let steps: Vec<_> = pending.iter().map(|id| (id, plan(&world, id))).collect();
        let due: Vec<_> = steps
            .iter()
            .filter_map(|(id, step)| step.action.as_ref().map(|planned| (*id, step, planned)))
            .collect();
        if due.is_empty() {
            let wait = steps.iter().filter_map(|(_, step)| match step.requeue {
                Requeue::After(wait) => Some(wait),
                Requeue::Now | Requeue::OnChange => None,
            });
            let Some(wait) = wait.min().filter(|_| pending.len() == ids.len()) else {
                if pending.len() == ids.len() {
                    return Preview { waves, blocked: blocked(&steps) };
                }
                pending = ids.clone();
                continue;
            };
            // At least a millisecond, so that a wait of zero cannot hold the loop.
            now = now + wait.max(std::time::Duration::from_millis(1));
            if now.since_boot() > std::time::Duration::from_secs(400 * 86_400) {
                return Preview { waves, blocked: blocked(&steps) };
            }
            continue;
        }
        let actions = due.iter().map(|(id, _, planned)| PreviewedAction {
            resource: (*id).clone(),
            verb: planned.action.verb().to_owned(),
            action: planned.action.to_string(),
            cause: planned.cause.to_string(),
            interrupts: planned.interrupts().map(str::to_owned),
        });
        waves.push(Wave { actions: actions.collect() });
        let mut remembered = Vec::new();
        for (id, step, _) in &due {
            let entries = crate::plan::entries(&world, id, step);
            remembered.extend(entries.into_iter().map(|entry| ((*id).clone(), entry)));
        }
        let done: Vec<_> =
            due.iter().map(|(id, _, planned)| ((*id).clone(), planned.action.clone())).collect();
        pending = affected(desired, &done);
        for (id, entry) in remembered {
            ledger.enter(&id, entry);
        }
        for (id, action) in &done {
            predict(&mut observed, desired, id, action, now);
            // It is taken to succeed this time.
            if let Some(record) = ledger.records.get_mut(id) {
                record.failure = None;
            }
        }
    }
    Preview { waves, blocked: Vec::new() }
}

/// Whose step may differ after these actions: their own resources, and what looks at those. Everything is planned
/// once more before the end, so that this is a matter of speed only.
fn affected(desired: &Platform, done: &[(ResourceId, crate::action::Action)]) -> BTreeSet<ResourceId> {
    let mut ids: BTreeSet<ResourceId> = done.iter().map(|(id, _)| id.clone()).collect();
    for (id, spec) in &desired.containers {
        if done.iter().any(|(other, _)| other.kind != Kind::Container || spec.needs(other)) {
            ids.insert(id.clone());
        }
    }
    ids
}

fn blocked(steps: &[(&ResourceId, crate::plan::Step)]) -> Vec<(ResourceId, String)> {
    let sentence = |verdict: &Verdict| match verdict {
        Verdict::Blocked { on } => {
            let gates: Vec<String> = on.iter().map(ToString::to_string).collect();
            Some(gates.join("; "))
        }
        Verdict::Unsatisfied { message, .. } | Verdict::Held { message, .. } => Some(message.clone()),
        Verdict::Converged | Verdict::Progressing => None,
    };
    steps.iter().filter_map(|(id, step)| Some(((*id).clone(), sentence(&step.verdict)?))).collect()
}
