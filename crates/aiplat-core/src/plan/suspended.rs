//! A service that a person keeps to themselves: it is looked at, probed and spoken of like any other, and nothing is done
//! to it. One that was released is handed to the engine first, which then restarts it in our place.

use std::time::Duration;

use super::{Cause, Requeue, Step, Verdict, World};
use crate::{
    Kind, ResourceId,
    action::Action,
    condition::{Condition, ConditionType, Reason},
    ledger::Suspension,
    spec::RestartMode,
};

/// `step` of the service `id`, with our hands off it if a person wants that.
pub(super) fn apply(world: &World<'_>, id: &ResourceId, mut step: Step) -> Step {
    let kind = ConditionType::Suspended;
    let Some(suspension) = world.ledger.suspension(id, world.now) else {
        // Without a listing there is nothing to say of it at all.
        let is_known = match id.kind {
            Kind::Unit => world.observed.systemd.away.is_none(),
            Kind::Container
            | Kind::Network
            | Kind::Volume
            | Kind::File
            | Kind::Image
            | Kind::Model
            | Kind::Host => world.observed.engine.listed,
        };
        if is_known && world.desired.wants(id) {
            insert(&mut step, Condition::normal(kind, Reason::AsDesired));
        }
        return step;
    };
    let said = sentence(world, id, suspension);
    let reason = if suspension.released { Reason::Released } else { Reason::Suspended };
    insert(&mut step, Condition::abnormal(kind, reason, said.clone()));
    if let Some(release) = hand_back(world, id, suspension) {
        return release.with(step.conditions);
    }
    if let Some(planned) = step.action.take() {
        step.verdict = if suspension.released && planned.cause == Cause::EngineRestarts {
            // As it was ordered.
            Verdict::Converged
        } else {
            let message = format!("{said}; would {} because {}", planned.action, planned.cause);
            Verdict::Unsatisfied { reason, message }
        };
        step.requeue = Requeue::OnChange;
    }
    if let Some(until) = &suspension.until {
        step.requeue = sooner(step.requeue, world.now.until(until.at));
    }
    step
}

/// In its place in the order of cure.
fn insert(step: &mut Step, condition: Condition) {
    let place = step.conditions.iter().position(|it| it.kind > condition.kind);
    step.conditions.insert(place.unwrap_or(step.conditions.len()), condition);
}

/// Each of its containers that runs is restarted by the engine from now on. One that does not run has nobody to restart
/// it: the engine would start it when it starts itself, and it was not running.
fn hand_back(world: &World<'_>, id: &ResourceId, suspension: &Suspension) -> Option<Step> {
    if !suspension.released || !world.observed.engine.listed {
        return None;
    }
    if runs_once(world, id) {
        return None;
    }
    let mut members = world.observed.owned.get(id)?.iter().filter(|member| member.state.is_alive());
    let ours = members.find(|member| member.detail.as_ref().is_some_and(|detail| !detail.engine_restarts))?;
    Some(Step::act(Action::HandBack { id: ours.id.clone() }, Cause::ReleaseOrdered))
}

/// The engine would run a job again and again that is to run once: `restart: no` is left as it is.
fn runs_once(world: &World<'_>, id: &ResourceId) -> bool {
    world.desired.containers.get(id).is_some_and(|spec| spec.policy.restart == RestartMode::No)
}

fn sooner(requeue: Requeue, wait: Duration) -> Requeue {
    match requeue {
        Requeue::Now => Requeue::Now,
        Requeue::After(other) => Requeue::After(other.min(wait)),
        Requeue::OnChange => Requeue::After(wait),
    }
}

fn sentence(world: &World<'_>, id: &ResourceId, suspension: &Suspension) -> String {
    let Suspension { order, until, released } = suspension;
    let name = id.key();
    if *released {
        let by = &order.by;
        if runs_once(world, id) {
            return format!(
                "released by {by}; by `restart: no` nobody restarts it; `aiplatctl resume {name}` takes it back"
            );
        }
        return format!(
            "released to the engine by {by}, which restarts it now; `aiplatctl resume {name}` takes it back"
        );
    }
    let until = until.as_ref().map(|until| format!(" until {}", until.text)).unwrap_or_default();
    format!("suspended by {}{until}; `aiplatctl resume {name}` ends it", order.by)
}
