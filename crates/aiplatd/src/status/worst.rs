//! Which service a platform's one sentence names: the one that explains the most.

use std::{cmp::Reverse, collections::BTreeSet};

use aiplat_api::v1::ServiceStatus;
use aiplat_core::condition::{ConditionType, Status, Word};

/// The one of `unwell` that explains the most: one that waits for nobody, then the worst word, then the one that the most of the
/// others wait for, then the first by name.
pub(super) fn worst<'a>(unwell: &[&'a ServiceStatus]) -> Option<&'a ServiceStatus> {
    let rank = |it: &&&ServiceStatus| {
        (merely_waits(it), rank(it.status), Reverse(explains(unwell, it)), it.name.clone())
    };
    unwell.iter().min_by_key(rank).copied()
}

/// Nothing else is wrong with it than what is wrong with what it depends on.
fn merely_waits(service: &ServiceStatus) -> bool {
    let waits = service.conditions.iter().any(|it| {
        it.condition.kind == ConditionType::DependenciesReady && it.condition.status != Status::True
    });
    waits
        && match service.status {
            Word::Pending
            | Word::Starting
            | Word::NotReady
            | Word::Degraded
            | Word::Unknown
            | Word::Pulling => true,
            // It has trouble of its own, or a person's word keeps it down.
            Word::CrashLoop
            | Word::Held
            | Word::Failed
            | Word::BackOff
            | Word::Stopped
            | Word::Suspended
            | Word::Ready
            | Word::Completed => false,
        }
}

/// How bad a word is; 0 is the worst.
fn rank(word: Word) -> u8 {
    match word {
        Word::CrashLoop | Word::Held | Word::Failed => 0,
        Word::BackOff => 1,
        Word::NotReady | Word::Pending => 2,
        Word::Unknown => 3,
        Word::Starting | Word::Pulling => 4,
        Word::Stopped => 5,
        Word::Suspended => 6,
        Word::Degraded | Word::Ready | Word::Completed => 7,
    }
}

/// How many of `unwell` depend on it, directly or not.
fn explains(unwell: &[&ServiceStatus], service: &ServiceStatus) -> usize {
    let (mut found, mut next) = (BTreeSet::new(), vec![service]);
    while let Some(on) = next.pop() {
        let dependants = unwell.iter().filter(|it| on.detail.dependants.contains(&it.name));
        next.extend(dependants.filter(|it| found.insert(it.name.as_str())).copied());
    }
    found.len()
}

#[cfg(test)]
mod tests {
    use aiplat_api::v1::{ServiceDetail, StatusCondition};
    use aiplat_core::condition::{Condition, Reason};

    use super::*;

    fn service(name: &str, status: Word, waits: bool, dependants: &[&str]) -> ServiceStatus {
        let condition = Condition {
            kind: ConditionType::DependenciesReady,
            status: Status::of(!waits),
            reason: Reason::WaitingForDependencies,
            message: String::new(),
        };
        let condition = StatusCondition { condition, last_transition_time: None, observed_generation: 1 };
        let dependants = dependants.iter().map(|name| (*name).to_owned()).collect();
        ServiceStatus {
            name: name.to_owned(),
            desired: true,
            kind: "ctr".to_owned(),
            status,
            since: None,
            restarts: 0,
            endpoint: String::new(),
            message: String::new(),
            why: Vec::new(),
            conditions: vec![condition],
            detail: ServiceDetail { dependants, ..ServiceDetail::default() },
        }
    }

    /// Whom it names of those.
    fn named(services: &[ServiceStatus]) -> Option<&str> {
        worst(&services.iter().collect::<Vec<_>>()).map(|it| it.name.as_str())
    }

    #[test]
    fn who_merely_waits_is_not_named_before_whom_it_waits_for() {
        let web = service("a-web", Word::Pending, true, &[]);
        let stopped = service("z-db", Word::Stopped, false, &["a-web"]);
        assert_eq!(named(&[web.clone(), stopped]), Some("z-db"));
        assert_eq!(named(&[web.clone(), service("z-db", Word::Starting, false, &[])]), Some("z-db"));
        assert_eq!(named(&[web]), Some("a-web"), "better than nobody");
        assert_eq!(named(&[]), None);
    }

    #[test]
    fn the_worst_word_comes_first_also_of_one_that_waits_as_well() {
        let starting = service("a", Word::Starting, false, &["b", "c"]);
        let back_off = service("b", Word::BackOff, false, &[]);
        let looping = service("c", Word::CrashLoop, true, &[]);
        assert_eq!(named(&[starting.clone(), back_off.clone(), looping]), Some("c"));
        assert_eq!(named(&[starting, back_off]), Some("b"));
    }

    #[test]
    fn of_two_alike_the_one_is_named_that_more_of_the_others_wait_for() {
        let [a, b] = [service("a", Word::Held, false, &[]), service("b", Word::Held, false, &["c"])];
        let [c, d] = [service("c", Word::Pending, true, &["d"]), service("d", Word::Pending, true, &[])];
        assert_eq!(named(&[a.clone(), b, c, d]), Some("b"));
        assert_eq!(named(&[service("z", Word::Held, false, &[]), a]), Some("a"), "the first by name");
    }
}
