//! Services of the file: whether they do what they are there for.

use aiplat_api::v1::ServiceStatus;
use aiplat_core::condition::{ConditionType, Status, Word};

use super::{Check, Facts, Grade, check};
use crate::render::{style, text::clean};

pub(super) fn checks(facts: &Facts<'_>) -> Vec<Check> {
    let Some(doc) = facts.doc else { return Vec::new() };
    let all: Vec<&ServiceStatus> = doc.services.iter().filter(|it| it.desired).collect();
    if all.is_empty() {
        return Vec::new();
    }
    let mut checks = readiness(&all);
    checks.extend(all.iter().flat_map(|service| gpus(service)));
    checks
}

/// Whether a service has the GPU that it asks for, and computes on it.
fn gpus(service: &ServiceStatus) -> Vec<Check> {
    let kinds = [ConditionType::GPUAllocated, ConditionType::GPUInUse];
    let said = service.conditions.iter().map(|it| &it.condition).filter(|it| kinds.contains(&it.kind));
    let told = said.map(|it| {
        let name = "gpu of a service";
        let service = clean(&service.name);
        let found = format!("{service}: {}", clean(&it.message));
        match it.status {
            Status::True if it.message.is_empty() => {
                check(name, Grade::Ok, format!("{service} has what it asks for"))
            }
            Status::True => check(name, Grade::Ok, found),
            Status::False => check(name, Grade::Fail, found).cure(format!("aiplatctl describe {service}")),
            Status::Unknown => check(name, Grade::Skipped, found),
        }
    });
    told.collect()
}

fn readiness(all: &[&ServiceStatus]) -> Vec<Check> {
    let name = "services";
    let unwell: Vec<&&ServiceStatus> = all.iter().filter(|it| !style::is_well(it)).collect();
    let well = all.len() - unwell.len();
    let found = format!("{well} of {} are ready", all.len());
    let Some(first) = unwell.first() else { return vec![check(name, Grade::Ok, found)] };
    let told: Vec<String> = unwell.iter().map(|it| format!("{} {}", clean(&it.name), it.status)).collect();
    // These serve, or a person's word or time is all that they need.
    let is_no_failure = |it: &&&ServiceStatus| match it.status {
        Word::Stopped | Word::Suspended | Word::Pulling | Word::Starting | Word::Degraded => true,
        Word::Held
        | Word::Unknown
        | Word::CrashLoop
        | Word::BackOff
        | Word::Pending
        | Word::NotReady
        | Word::Completed
        | Word::Failed
        | Word::Ready => false,
    };
    let grade = if unwell.iter().all(is_no_failure) { Grade::Warn } else { Grade::Fail };
    let cure = if unwell.len() == 1 {
        format!("aiplatctl why {}", clean(&first.name))
    } else {
        "aiplatctl why".to_owned()
    };
    vec![check(name, grade, format!("{found}: {}", told.join(", "))).cure(cure)]
}
