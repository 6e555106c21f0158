//! The platform, or one service, on one screen.

use std::{collections::BTreeMap, fmt::Write as _};

use aiplat_api::v1::{PlatformStatus, ServiceStatus, StatusDoc};
use aiplat_core::condition::{ConditionType, Status, Word};

use super::{View, describe, lists, style, style::paint, text, text::clean, time, why};

/// Whether everything is as the file says.
#[must_use]
pub fn is_ready(doc: &StatusDoc) -> bool {
    let ready = doc.platform.conditions.iter().find(|it| it.condition.kind == ConditionType::Ready);
    match ready {
        Some(ready) => ready.condition.status == Status::True,
        None => doc.services.iter().all(why::is_ready),
    }
}

/// `status`.
#[must_use]
pub fn platform(doc: &StatusDoc, view: View) -> String {
    let PlatformStatus {
        name,
        daemon,
        config,
        generation,
        mode,
        conditions,
        spec_report,
        sentence,
        engine,
        ..
    } = &doc.platform;
    let mut out = String::new();
    let word = if is_ready(doc) { paint(style::GOOD, "Ready") } else { paint(style::BAD, "NotReady") };
    let name = if name.is_empty() { "platform".to_owned() } else { clean(name) };
    let sentence = if sentence.is_empty() { counts(doc) } else { clean(sentence) };
    let head = format!("{}  {word}  ", paint(style::STRONG, &name));
    let _ = writeln!(out, "{head}{}", text::wrap(&sentence, view.width, name.len() + 4));
    let engine = engine.as_deref().map_or_else(|| "engine not known".to_owned(), clean);
    let facts = format!(
        "generation {generation} · {} · {} · aiplatd {} · {engine}",
        clean(mode),
        clean(config),
        clean(daemon)
    );
    let _ = writeln!(out, "{}", paint(style::FAINT, &text::wrap(&facts, view.width, 0)));
    for condition in
        conditions.iter().filter(|it| !it.condition.is_normal() && it.condition.kind != ConditionType::Ready)
    {
        let _ = writeln!(out, "{}", why::condition(condition));
    }
    if let Some(findings) = findings(spec_report) {
        let _ = writeln!(out, "{}", text::wrap(&findings, view.width, 2));
    }
    describe::section(&mut out, "Services");
    let _ = writeln!(out, "  {}", painted_counts(doc));
    if !doc.gates.is_empty() {
        describe::section(&mut out, "Gates");
        out.push_str(&describe::indented(&lists::gates(doc, &[], view), view));
    }
    let unwell = why::unwell(doc);
    if !unwell.is_empty() {
        describe::section(&mut out, "Not well");
        for service in &unwell {
            out.push_str(&symptom(service, view));
        }
    }
    let leftovers: Vec<String> =
        doc.resources.iter().filter(|it| !it.desired).map(|it| clean(&it.id.to_string())).collect();
    if !leftovers.is_empty() {
        let said = format!("No longer in the file: {}.", leftovers.join(", "));
        let _ = writeln!(out, "\n{}", text::wrap(&said, view.width, 2));
    }
    out
}

/// How much there is to say of the file on disk. The text of it is long, and the same every day.
fn findings(report: &str) -> Option<String> {
    let of = |level: &str| {
        let is_head = |line: &&str| {
            let rest = line.strip_prefix(level);
            rest.is_some_and(|rest| rest.starts_with(':') || rest.starts_with('['))
        };
        report.lines().filter(is_head).count()
    };
    let parts = [(of("error"), "error"), (of("warning"), "warning")];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, one)| text::count(number, one))
        .collect();
    (!parts.is_empty())
        .then(|| format!("{} in the file; `aiplatctl validate` shows what, and where", parts.join(" and ")))
}

fn symptom(service: &ServiceStatus, view: View) -> String {
    let since = time::age_of(view.now, service.since.as_deref());
    let word = paint(style::word(service.status), &service.status.to_string());
    let chain = text::wrap(&why::painted_chain(service), view.width, 4);
    format!("  {}  {word} since {since}\n    {chain}\n", paint(style::STRONG, &clean(&service.name)))
}

/// `status NAME`: what `describe` says first.
#[must_use]
pub fn service(service: &ServiceStatus, view: View) -> String {
    let mut out = String::new();
    let word = paint(style::word(service.status), &service.status.to_string());
    let since = time::age_of(view.now, service.since.as_deref());
    let restarts = text::count(service.restarts as usize, "restart");
    let _ =
        writeln!(out, "{}  {word} since {since}, {restarts}", paint(style::STRONG, &clean(&service.name)));
    let id = service.detail.container_id.as_deref().map(|id| id.get(..12).unwrap_or(id));
    let engine = [id, service.detail.state.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let facts = [&service.detail.image, &service.detail.container, &engine, &service.endpoint];
    let facts: Vec<String> =
        facts.into_iter().filter(|fact| !fact.is_empty()).map(|fact| clean(fact)).collect();
    let _ = writeln!(out, "{}", paint(style::FAINT, &text::wrap(&facts.join(" · "), view.width, 0)));
    if !style::is_well(service) {
        let _ = writeln!(out, "{}", text::wrap(&why::painted_chain(service), view.width, 2));
    }
    for condition in service.conditions.iter().filter(|it| !it.condition.is_normal()) {
        let _ = writeln!(out, "  {}", text::wrap(&why::condition(condition), view.width, 4));
    }
    if !service.detail.next.is_empty() {
        let _ = writeln!(out, "next: {}", clean(&service.detail.next));
    }
    out
}

/// `6 services: 4 Ready, 1 CrashLoop, 1 Pending`.
#[must_use]
pub fn counts(doc: &StatusDoc) -> String {
    anstream::adapter::strip_str(&painted_counts(doc)).to_string()
}

fn painted_counts(doc: &StatusDoc) -> String {
    let mut counted: BTreeMap<Word, usize> = BTreeMap::new();
    for service in &doc.services {
        *counted.entry(service.status).or_default() += 1;
    }
    // The good news first, then the worst.
    let rank = |word: Word| {
        (!matches!(word, Word::Ready | Word::Completed), if word == Word::Ready { 0 } else { 1 }, word)
    };
    let mut counted: Vec<(Word, usize)> = counted.into_iter().collect();
    counted.sort_by_key(|(word, _)| rank(*word));
    let parts: Vec<String> = counted
        .into_iter()
        .map(|(word, number)| paint(style::word(word), &format!("{number} {word}")))
        .collect();
    match doc.services.len() {
        0 => "no services".to_owned(),
        number => format!("{}: {}", text::count(number, "service"), parts.join(", ")),
    }
}
