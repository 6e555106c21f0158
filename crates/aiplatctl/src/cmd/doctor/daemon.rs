//! The daemon: whether it answers, and what it says is wrong with itself.

use aiplat_api::{
    client::{ClientError, NotReachable},
    v1::StatusDoc,
};
use aiplat_core::condition::{ConditionType, Status};

use super::{Check, Facts, Grade, check};
use crate::render::text::clean;

pub(super) fn checks(facts: &Facts<'_>) -> Vec<Check> {
    let answers = match (facts.doc, &facts.silence) {
        (Some(doc), _) => {
            let (version, socket) = (clean(&doc.platform.daemon), facts.globals.socket.display());
            check("daemon", Grade::Ok, format!("aiplatd {version} answers at {socket}"))
        }
        (None, Some(error)) => {
            let cure = ClientError::not_reachable(error).map(NotReachable::next_step).unwrap_or_default();
            check("daemon", Grade::Fail, error.to_string()).cure(cure)
        }
        (None, None) => check("daemon", Grade::Skipped, "not asked"),
    };
    std::iter::once(answers).chain(platform(facts.doc)).collect()
}

/// What the daemon itself says is wrong with it.
fn platform(doc: Option<&StatusDoc>) -> Vec<Check> {
    let Some(doc) = doc else { return Vec::new() };
    let told = |kind: ConditionType| match kind {
        ConditionType::SpecValid => Some(("file in force", "aiplatctl validate")),
        ConditionType::LedgerLost => Some(("ledger", "journalctl -u aiplatd -e")),
        ConditionType::InstanceMismatch => Some(("instance", "aiplatctl why")),
        // The checks of the engine, and of systemd, say it.
        ConditionType::DockerReachable
        | ConditionType::DiskPressure
        | ConditionType::RebootRequired
        | ConditionType::EngineRestartRequired
        | ConditionType::GPUDriverMismatch
        | ConditionType::GPUReady
        | ConditionType::SystemdReachable
        | ConditionType::UnitLoaded
        | ConditionType::DropInApplied
        | ConditionType::Overridden
        | ConditionType::SecondInstance
        | ConditionType::Active
        | ConditionType::Listening
        | ConditionType::Reachable
        | ConditionType::Accepted
        | ConditionType::Suspended
        | ConditionType::NameTaken
        | ConditionType::ImageAvailable
        | ConditionType::ConfigRendered
        | ConditionType::StorageReady
        | ConditionType::SpaceAvailable
        | ConditionType::Pulling
        | ConditionType::Present
        | ConditionType::ModelsPresent
        | ConditionType::PortsFree
        | ConditionType::GPUAllocated
        | ConditionType::DriverOk
        | ConditionType::GPUInUse
        | ConditionType::DependenciesReady
        | ConditionType::Started
        | ConditionType::Healthy
        | ConditionType::CrashLoop
        | ConditionType::Drifted
        | ConditionType::Held
        | ConditionType::Progressing
        | ConditionType::Ready => None,
    };
    let abnormal = doc.platform.conditions.iter().filter(|it| !it.condition.is_normal());
    let checks = abnormal.filter_map(|it| {
        let (name, cure) = told(it.condition.kind)?;
        let said = if it.condition.message.is_empty() {
            it.condition.reason.to_string()
        } else {
            clean(&it.condition.message)
        };
        // What could not be looked at yet is not broken.
        let grade = match it.condition.status {
            Status::Unknown => Grade::Skipped,
            Status::True | Status::False => Grade::Fail,
        };
        Some(check(name, grade, said).cure(cure))
    });
    checks.collect()
}
