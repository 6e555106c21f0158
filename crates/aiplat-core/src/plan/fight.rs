//! Drift that comes back: somebody undoes what we do, again and again. Whoever it is, neither of us wins; we stop first,
//! and say so.

use std::time::Duration;

use super::{Cause, Requeue, Step, Verdict, World};
use crate::{
    Kind, ResourceId, Timestamp,
    condition::{Condition, ConditionType, Reason},
    ledger::Revert,
    time::human,
};

/// More reverts of one thing than this, within [`WINDOW`], are a fight.
const REVERTS_MAX: usize = 5;
/// See [`REVERTS_MAX`].
const WINDOW: Duration = Duration::from_secs(600);

impl Cause {
    /// Whether the world has been changed behind our back, as far as this tells: it may also be the file that is new,
    /// which is why reverts count under one file only.
    fn is_drift(&self) -> bool {
        match self {
            Self::Missing
            | Self::NotOnServer
            | Self::TakesName
            | Self::NotConnected { .. }
            | Self::ConnectedWrongly { .. }
            | Self::NotInNetworks { .. }
            | Self::LimitsDiffer
            | Self::EngineRestarts
            | Self::FilesMeddledWith
            | Self::UnitFileMeddledWith
            | Self::FileMeddledWith
            // Who writes that file anew, again and again, has another tool for it.
            | Self::EngineSettings { .. }
            | Self::Paused => true,
            Self::Replacement { .. }
            | Self::Replaced { .. }
            | Self::StartedBeside { .. }
            | Self::TakesNameOn { .. }
            | Self::Outdated { .. }
            | Self::TakenBack { .. }
            | Self::GpuLost { .. }
            | Self::NotStarted
            | Self::KeptBefore
            | Self::Ended { .. }
            | Self::EndedUnseen { .. }
            | Self::Unresponsive { .. }
            | Self::EngineStopped
            | Self::DependencyDown
            | Self::Released { .. }
            | Self::StoppedByUs
            | Self::DependencyRestarted { .. }
            | Self::NotInFile
            | Self::Superseded
            | Self::Stray
            | Self::StrayNetwork
            | Self::NetworkReplaced { .. }
            | Self::NameNeeded
            | Self::ImageReplaced { .. }
            | Self::StopOrdered
            | Self::RestartOrdered
            | Self::RestartLost
            | Self::ReleaseOrdered
            | Self::Moved { .. }
            | Self::PullAlways
            | Self::PullOrdered
            | Self::UnitNotInFile { .. }
            | Self::FilesDiffer { .. }
            | Self::UnitFileNew
            | Self::UnitFileDiffers { .. }
            | Self::ContentDiffers { .. }
            | Self::ContentChanged { .. }
            | Self::EnvironmentChanged { .. }
            | Self::ProgramChanged { .. }
            | Self::DropInsUnread { .. }
            | Self::Masked
            | Self::Disabled
            | Self::Dead => false,
        }
    }
}

/// What is remembered of `step`, if it puts something right. Another try of what has failed puts right what nobody has
/// undone.
pub(super) fn revert(world: &World<'_>, id: &ResourceId, step: &Step) -> Option<Revert> {
    let cause = &step.action.as_ref()?.cause;
    let has_failed = world.ledger.get(id).is_some_and(|record| record.failure.is_some());
    (cause.is_drift() && !has_failed).then(|| Revert {
        what: cause.to_string(),
        at: world.now,
        generation: world.desired.generation,
    })
}

/// When the last reverts of `what` were, under the file in force, within the window; oldest first.
fn reverts(world: &World<'_>, id: &ResourceId, what: &str) -> Vec<Timestamp> {
    let Some(record) = world.ledger.get(id) else { return Vec::new() };
    let same = record.reverts.iter().filter(|revert| {
        revert.what == what
            && revert.generation == world.desired.generation
            && world.now.since(revert.at) < WINDOW
    });
    same.map(|revert| revert.at).collect()
}

impl Step {
    /// What has been put right too often is left as it is, until the oldest of it is ten minutes ago.
    pub(super) fn unless_fought(self, world: &World<'_>, id: &ResourceId) -> Self {
        let Some(planned) = self.action.as_ref().filter(|planned| planned.cause.is_drift()) else {
            return self;
        };
        let what = planned.cause.to_string();
        let reverts = reverts(world, id, &what);
        let Some(oldest) = reverts.first().filter(|_| reverts.len() > REVERTS_MAX) else { return self };
        let wait = world.now.until(*oldest + WINDOW);
        let name = id.key();
        let way_out = match id.kind {
            Kind::Model => {
                format!(", or take it out of the file; `aiplatctl model pull {name}` tries at once")
            }
            Kind::Container | Kind::Unit => format!(
                ", or take the wheel with `aiplatctl suspend {name}`; `aiplatctl reset-failed {name}` tries at once"
            ),
            Kind::Network | Kind::Volume | Kind::File | Kind::Image | Kind::Host => String::new(),
        };
        let message = format!(
            "somebody undoes what aiplatd does: {what}, put right {} times within {}; it is left so for {}: find out who \
             does that{way_out}",
            reverts.len(),
            human(WINDOW),
            human(wait),
        );
        let mut conditions = self.conditions;
        conditions.retain(|condition| condition.kind != ConditionType::Held);
        conditions.push(Condition::abnormal(ConditionType::Held, Reason::FoughtOver, message.clone()));
        Self {
            action: None,
            verdict: Verdict::Held { reason: Reason::FoughtOver, message },
            requeue: Requeue::After(wait),
            conditions,
        }
    }
}
