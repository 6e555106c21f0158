//! The chain from the symptom to the cause.

use std::fmt::Write as _;

use aiplat_api::v1::{Event, EventType, ResourceStatus, ServiceStatus, StatusCondition, StatusDoc};
use aiplat_core::{
    Kind, ResourceId,
    condition::{Status, Word},
};
use jiff::Timestamp;

use super::{View, events, style, style::paint, text, time};

/// Between two links.
const LINK: &str = " · ";

/// The chain of one service in one line: `a waits for b · b waits for c · c Started=False: ...`. Empty if it has none.
#[must_use]
pub fn chain(service: &ServiceStatus) -> String {
    if service.why.is_empty() && !style::is_well(service) {
        return format!("{} {}: {}", service.name, service.status, text::clean(&service.message));
    }
    service.why.iter().map(|link| text::clean(link)).collect::<Vec<_>>().join(LINK)
}

/// [`chain`] with the cause, its last link, in the colour of the service's word.
#[must_use]
pub fn painted_chain(service: &ServiceStatus) -> String {
    let chain = chain(service);
    let (links, cause) = match chain.rfind(LINK) {
        Some(at) => chain.split_at(at + LINK.len()),
        None => ("", chain.as_str()),
    };
    format!("{links}{}", paint(style::word(service.status), cause))
}

/// `why NAME`.
#[must_use]
pub fn service(doc: &StatusDoc, service: &ServiceStatus, view: View) -> String {
    let mut out = String::new();
    if style::is_well(service) {
        let since = time::age_of(view.now, service.since.as_deref());
        let word = paint(style::GOOD, &service.status.to_string());
        let _ = writeln!(out, "{} is {word} since {since}.", service.name);
    } else {
        let _ = writeln!(out, "{}", text::wrap(&painted_chain(service), view.width, 2));
    }
    let next = text::clean(&service.detail.next);
    if !next.is_empty() {
        let _ = writeln!(out, "{}", text::wrap(&format!("next: {next}"), view.width, 2));
    }
    if style::is_well(service) {
        out.push_str(&around(doc, service, view));
    }
    out
}

/// What is not as it should be around a service that is well.
fn around(doc: &StatusDoc, service: &ServiceStatus, view: View) -> String {
    let mut out = String::new();
    for condition in service.conditions.iter().filter(|it| !it.condition.is_normal()) {
        let _ = writeln!(out, "  {}", text::wrap(&self::condition(condition), view.width, 4));
    }
    if let Some(probe) = service.detail.last_probe.as_ref().filter(|probe| !probe.passed) {
        let said = format!("last probe failed: {}", text::clean(&probe.transcript));
        let _ = writeln!(out, "  {}", text::wrap(&said, view.width, 4));
    }
    let hour = hour_before(view.now);
    let warnings: Vec<&Event> = doc
        .events
        .iter()
        .filter(|event| {
            event.kind == EventType::Warning && is_about(event, service) && time::is_since(&event.time, hour)
        })
        .collect();
    if warnings.is_empty() {
        let _ = writeln!(out, "No warnings in the last hour.");
    } else {
        let _ = writeln!(out, "Warnings of the last hour:");
        out.push_str(&events::events(warnings, events::Moment::Age, view).render(view.width));
    }
    out
}

/// Whether an event is of this service.
#[must_use]
pub fn is_about(event: &Event, service: &ServiceStatus) -> bool {
    event.resource.parse::<ResourceId>().is_ok_and(|id| id.is_service() && id.key() == service.name)
}

fn hour_before(now: Timestamp) -> Timestamp {
    now.saturating_sub(std::time::Duration::from_secs(3_600)).unwrap_or(Timestamp::MIN)
}

/// `why` without a name: the platform's own trouble first, then every service that is not well, causes before symptoms.
#[must_use]
pub fn all(doc: &StatusDoc, view: View) -> String {
    let mut out = String::new();
    for condition in doc.platform.conditions.iter().filter(|it| tells(it)) {
        let said = format!("platform {}", self::condition(condition));
        let _ = writeln!(out, "{}", text::wrap(&said, view.width, 2));
    }
    let unwell = unwell(doc);
    for service in &unwell {
        let _ = writeln!(out, "{}", text::wrap(&painted_chain(service), view.width, 2));
    }
    let is_stuck = |it: &ResourceStatus| {
        let has_failed = matches!(it.status, Word::Failed | Word::BackOff);
        it.status == Word::Pending || (it.id.kind == Kind::Model && has_failed)
    };
    let not_as_said = doc.resources.iter().filter(|it| !it.id.is_service() && it.desired && is_stuck(it));
    // Of those that wait because of it, the chain says it already.
    let is_said = |message: &str| unwell.iter().any(|it| chain(it).contains(&text::clean(message)));
    for resource in not_as_said.filter(|it| !is_said(&it.message)) {
        let said = format!("{}: {}", resource.id, text::clean(&resource.message));
        let _ = writeln!(out, "{}", text::wrap(&said, view.width, 2));
    }
    if out.is_empty() {
        let services = text::count(doc.services.len(), "service");
        let _ = writeln!(out, "All is well: {services} as the file says.");
    } else if unwell.is_empty() {
        let _ = writeln!(out, "All services are well; what is said above is not.");
    }
    out
}

/// The services of which there is something to say, causes before symptoms.
#[must_use]
pub fn unwell(doc: &StatusDoc) -> Vec<&ServiceStatus> {
    let mut unwell: Vec<&ServiceStatus> =
        doc.services.iter().filter(|service| !style::is_well(service)).collect();
    unwell.sort_by_key(|service| service.why.len());
    unwell
}

/// Whether a condition of the platform says something that no service says.
fn tells(condition: &StatusCondition) -> bool {
    use aiplat_core::condition::ConditionType as Type;
    let it = &condition.condition;
    // That a removal waits for a person's word is no service's affair.
    let asks = it.reason == aiplat_core::condition::Reason::ConfirmationNeeded;
    !it.is_normal() && (asks || !matches!(it.kind, Type::Ready | Type::Progressing))
}

/// `Healthy=False ProbeFailed: GET ... answered 503`.
#[must_use]
pub fn condition(condition: &StatusCondition) -> String {
    let it = &condition.condition;
    let head = format!("{}={}", it.kind, it.status);
    let message = text::clean(&it.message);
    let said = if message.is_empty() { it.reason.to_string() } else { message };
    format!("{}: {said}", paint(style::condition(it), &head))
}

/// Whether a service does what its dependants need of it.
#[must_use]
pub fn is_ready(service: &ServiceStatus) -> bool {
    let kind = aiplat_core::condition::ConditionType::Ready;
    let ready = service.conditions.iter().find(|it| it.condition.kind == kind);
    match (service.status, ready) {
        (Word::Completed, _) => true,
        (_, Some(ready)) => ready.condition.status == Status::True,
        (word, None) => matches!(word, Word::Ready | Word::Degraded),
    }
}

/// `why` of a gate: the chains of those members that keep it shut.
#[must_use]
pub fn gate(doc: &StatusDoc, gate: &aiplat_api::v1::GateStatus, view: View) -> String {
    let mut out = format!("{} {}\n", text::clean(&gate.name), condition(&gate.condition));
    let shut = gate.condition.condition.status != Status::True;
    for service in doc.services.iter().filter(|service| shut && !is_ready(service)) {
        if gate.members.iter().any(|id| id.key() == service.name) {
            let _ = writeln!(out, "{}", text::wrap(&painted_chain(service), view.width, 2));
        }
    }
    out
}
