//! Services of the file: whether they do what they are there for.

use aiplat_api::v1::ServiceStatus;
use aiplat_core::condition::Word;

use super::{Check, Facts, Grade, check};
use crate::render::{style, text::clean};

pub(super) fn checks(facts: &Facts<'_>) -> Vec<Check> {
    let Some(doc) = facts.doc else { return Vec::new() };
    let all: Vec<&ServiceStatus> = doc.services.iter().filter(|it| it.desired).collect();
    if all.is_empty() {
        return Vec::new();
    }
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
