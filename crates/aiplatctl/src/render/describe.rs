//! Everything about one thing.

use std::fmt::Write as _;

use aiplat_api::v1::{
    CheckDetail, DiagnosisDetail, Event, GateStatus, ModelStatus, ResourceStatus, ServiceDetail,
    ServiceStatus, StatusCondition, StatusDoc, TimerDetail, UnitDetail, UnitVariable,
};
use aiplat_core::{Kind, observed::ProbeOutcome, spec::Role};

use super::{
    View, events, lists, models, style,
    style::paint,
    table::{Table, cell, column, message},
    text::{self, clean, count},
    time::{age_of, due, second},
    volumes, why,
};

/// Events that are shown, the newest.
const EVENTS: usize = 12;
/// Where the values of the facts begin.
const INDENT: usize = 14;

/// `describe` of a service.
#[must_use]
pub fn service(doc: &StatusDoc, service: &ServiceStatus, view: View) -> String {
    let ServiceStatus {
        name,
        desired: _,
        kind: _,
        status,
        since,
        restarts,
        endpoint,
        message,
        why: _,
        conditions,
        detail,
    } = service;
    let mut out = String::new();
    let word = paint(style::word(*status), &status.to_string());
    let since = age_of(view.now, since.as_deref());
    fact(&mut out, view, "Name", &paint(style::STRONG, &clean(name)));
    fact(
        &mut out,
        view,
        "Status",
        &format!("{word} since {since}, {}", count(*restarts as usize, "restart")),
    );
    fact(&mut out, view, "Message", &clean(message));
    fact(&mut out, view, "Next", &clean(&detail.next));
    fact(&mut out, view, "Endpoint", &clean(endpoint));
    facts(&mut out, view, detail);
    fact(&mut out, view, "GPU", &models::gpu(doc, name));
    // A chain of one link says what the message says.
    if !style::is_well(service) && service.why.len() > 1 {
        section(&mut out, "Why");
        for link in &service.why {
            let _ = writeln!(out, "  {}", super::text::wrap(&clean(link), view.width, 4));
        }
    }
    section(&mut out, "Conditions");
    out.push_str(&indented(&conditions_table(conditions, view), view));
    out.push_str(&served(doc, name, view));
    out.push_str(&environment(detail, view));
    if let Some(unit) = &detail.unit {
        diagnosis(&mut out, view, unit, detail);
    }
    if !detail.endings.is_empty() {
        section(&mut out, "Last endings");
        for ending in &detail.endings {
            let _ = writeln!(out, "  {}", clean(ending));
        }
    }
    out.push_str(&events_of(doc, view, &|event| why::is_about(event, service)));
    out
}

fn facts(out: &mut String, view: View, detail: &ServiceDetail) {
    let ServiceDetail {
        image,
        image_id,
        container,
        container_id,
        run: _,
        state,
        depends_on,
        dependants,
        networks,
        volumes,
        ports,
        probe,
        last_probe,
        probe_attempts,
        probe_failures,
        probe_retries,
        checks,
        endings: _,
        next: _,
        action_due: _,
        fingerprint,
        unit,
        model_server,
    } = detail;
    if let Some(unit) = unit {
        unit_facts(out, view, unit, state.as_deref());
    }
    let id = container_id.as_deref().map(|id| id.get(..12).unwrap_or(id));
    let parts = [id, state.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(", ");
    let container = if parts.is_empty() { container.clone() } else { format!("{container} ({parts})") };
    let made_from = image_id.as_deref().map(|id| format!(" ({})", text::short_id(id))).unwrap_or_default();
    if unit.is_none() {
        fact(out, view, "Image", &clean(&format!("{image}{made_from}")));
        fact(out, view, "Container", &clean(&container));
    }
    fact(out, view, "API", &clean(model_server.as_deref().unwrap_or_default()));
    list(out, view, "Ports", ports);
    list(out, view, "Networks", networks);
    list(out, view, "Volumes", volumes);
    list(out, view, "Depends on", depends_on);
    list(out, view, "Needed by", dependants);
    let attempts = count(*probe_attempts as usize, "attempt");
    fact(
        out,
        view,
        "Probe",
        &probe.as_ref().map(|probe| format!("{}, {attempts}", clean(probe))).unwrap_or_default(),
    );
    let last = last_probe.as_ref().map(|last| exchange(last, *probe_failures, *probe_retries));
    fact(out, view, "Last probe", &last.unwrap_or_default());
    for CheckDetail { role, what, attempts, failures, retries, last } in checks {
        let name = match role {
            Role::Startup => "Startup",
            Role::Readiness => "Readiness",
            Role::Liveness => "Liveness",
        };
        let attempts = count(*attempts as usize, "attempt");
        fact(out, view, name, &format!("{}, {attempts}", clean(what)));
        let last = last.as_ref().map(|last| exchange(last, *failures, *retries));
        fact(out, view, "  last", &last.unwrap_or_default());
    }
    fact(out, view, "Fingerprint", &clean(fingerprint.as_deref().unwrap_or_default()));
}

fn unit_facts(out: &mut String, view: View, unit: &UnitDetail, state: Option<&str>) {
    let UnitDetail {
        name,
        management,
        file,
        enabled,
        pid,
        drop_in,
        other_drop_ins,
        environment: _,
        journal: _,
        diagnosis: _,
        written,
        timer,
    } = unit;
    let pid = pid.map(|pid| format!("pid {pid}"));
    let parts = [state, Some(enabled.as_str()).filter(|word| !word.is_empty()), pid.as_deref()];
    let parts = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
    // What is started and watched, and may be enabled, is the timer where there is one.
    let unit = if timer.is_some() { clean(name) } else { clean(&format!("{name} ({parts})")) };
    fact(out, view, "Unit", &unit);
    let by = if *written { " (written by aiplatd)" } else { "" };
    fact(out, view, "Unit file", &format!("{}{by}", clean(file)));
    if let Some(TimerDetail { name, on_calendar, next, last }) = timer {
        fact(out, view, "Timer", &clean(&format!("{name} ({parts}; {on_calendar})")));
        let next = next.as_deref().map(|next| due(view.now, next));
        fact(out, view, "Next run", &clean(&next.unwrap_or_default()));
        fact(out, view, "Last run", &clean(&last.as_deref().map(second).unwrap_or_default()));
    }
    fact(out, view, "Management", &clean(management));
    fact(out, view, "Drop-in", &clean(drop_in.as_deref().unwrap_or_default()));
    list(out, view, "Others", other_drop_ins);
}

/// The models that a service has, or is to have.
fn served(doc: &StatusDoc, service: &str, view: View) -> String {
    let table = models::of_service(doc, service, view);
    if table.is_empty() {
        return String::new();
    }
    let mut out = String::new();
    section(&mut out, "Models");
    out.push_str(&indented(&table, view));
    out
}

/// What a unit's process is given, and by which file.
fn environment(detail: &ServiceDetail, view: View) -> String {
    let variables = detail.unit.as_ref().map(|unit| unit.environment.as_slice()).unwrap_or_default();
    if variables.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&[column("NAME"), column("VALUE"), column("FROM").flexible()]);
    for UnitVariable { name, value, from, ours } in variables {
        let from = if *ours { format!("{from} (aiplatd)") } else { from.clone() };
        table.push(vec![clean(name).into(), clean(value).into(), message(&from)]);
    }
    let mut out = String::new();
    section(&mut out, "Environment");
    out.push_str(&indented(&table, view));
    out
}

/// What was found out when a unit last failed or stopped to be ready.
fn diagnosis(out: &mut String, view: View, unit: &UnitDetail, detail: &ServiceDetail) {
    let UnitDetail { journal, diagnosis, .. } = unit;
    if journal.is_empty() && diagnosis.is_none() {
        return;
    }
    section(out, "Diagnosis");
    let narrow = View { width: view.width.map(|width| width.saturating_sub(2)), ..view };
    let mut facts = String::new();
    if let Some(found) = diagnosis {
        let DiagnosisDetail { stage, time, run, state, before, holders, probe, denials, mended } = found;
        let age = age_of(view.now, Some(time));
        let since = if *mended { "; it has been Ready since" } else { "" };
        fact(&mut facts, narrow, "Lost", &clean(&format!("{stage}, {age} ago{since}")));
        fact(&mut facts, narrow, "State", &clean(state));
        fact(&mut facts, narrow, "Before that", &clean(before));
        list(&mut facts, narrow, "Port", holders);
        fact(&mut facts, narrow, "Probe", &clean(probe));
        list(&mut facts, narrow, "Denied", denials);
        // What is above tells of a run that is over.
        let is_over = unit.timer.is_none() && detail.run.is_some() && *run != detail.run;
        let now = if is_over { run_now(unit, detail) } else { String::new() };
        fact(&mut facts, narrow, "Run since", &clean(&now));
    }
    if !journal.is_empty() {
        facts.push_str("Journal:\n");
    }
    for line in journal {
        let _ = writeln!(facts, "  {}", clean(line));
    }
    for line in facts.lines() {
        let _ = writeln!(out, "  {line}");
    }
}

/// The present run: `4f1c2a90, active (running), pid 812`.
fn run_now(unit: &UnitDetail, detail: &ServiceDetail) -> String {
    let run = detail.run.as_deref().map(|run| run.get(..8).unwrap_or(run));
    let pid = unit.pid.map(|pid| format!("pid {pid}"));
    [run, detail.state.as_deref(), pid.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn exchange(probe: &ProbeOutcome, failures: u32, retries: u32) -> String {
    let ProbeOutcome { at: _, passed, transcript, took } = probe;
    let word = if *passed { paint(style::GOOD, "passed") } else { paint(style::BAD, "failed") };
    // While it starts its time counts and not its tries; what an older daemon says has no count.
    let tries = if (1..=retries).contains(&failures) {
        format!(" (failure {failures} of {retries})")
    } else {
        String::new()
    };
    format!("{word} in {}{tries}: {}", aiplat_core::time::human(*took), clean(transcript))
}

/// `describe` of a resource that is not a service's container.
#[must_use]
pub fn resource(doc: &StatusDoc, resource: &ResourceStatus, view: View) -> String {
    let ResourceStatus {
        id,
        host_name,
        desired,
        status,
        message,
        conditions,
        used_by,
        pull,
        usage,
        moving: _,
    } = resource;
    let mut out = String::new();
    fact(&mut out, view, "Name", &paint(style::STRONG, &clean(&id.to_string())));
    fact(&mut out, view, "Status", &paint(style::word(*status), &status.to_string()));
    fact(&mut out, view, "Message", &clean(message));
    fact(&mut out, view, "Name on host", &clean(host_name));
    fact(&mut out, view, "In the file", if *desired { "yes" } else { "no longer" });
    let model = doc.models.iter().find(|it| id.kind == Kind::Model && it.name.as_deref() == Some(id.key()));
    list(&mut out, view, if model.is_some() { "Runner" } else { "Used by" }, used_by);
    if let Some(model) = model {
        model_facts(&mut out, view, model);
    }
    fact(&mut out, view, "Pulled", &pull.map(lists::progress).unwrap_or_default());
    for (name, said) in usage.iter().flat_map(volumes::facts) {
        fact(&mut out, view, name, &clean(&said));
    }
    section(&mut out, "Conditions");
    out.push_str(&indented(&conditions_table(conditions, view), view));
    let name = id.to_string();
    out.push_str(&events_of(doc, view, &|event| event.resource == name));
    out
}

fn model_facts(out: &mut String, view: View, model: &ModelStatus) {
    let loaded = model
        .loaded
        .as_ref()
        .map(|it| format!("{}, {} of it on a GPU", text::bytes(it.size), text::bytes(it.vram)));
    fact(out, view, "Size", &model.size.map(text::bytes).unwrap_or_default());
    fact(out, view, "Digest", &clean(model.digest.as_deref().unwrap_or_default()));
    fact(out, view, "In memory", &loaded.unwrap_or_default());
    fact(out, view, "Ordered", if model.ordered { "a pull, which has not been made yet" } else { "" });
}

/// `describe` of a gate.
#[must_use]
pub fn gate(doc: &StatusDoc, gate: &GateStatus, view: View) -> String {
    let GateStatus { name, condition, members } = gate;
    let mut out = String::new();
    let word = lists::gate_word(condition.condition.status);
    let since = age_of(view.now, condition.last_transition_time.as_deref());
    fact(&mut out, view, "Name", &paint(style::STRONG, &clean(name)));
    fact(&mut out, view, "Status", &format!("{} since {since}", paint(style::word(word), &word.to_string())));
    fact(&mut out, view, "Message", &clean(&condition.condition.message));
    section(&mut out, "Members");
    let mut table = Table::new(&[column("NAME"), column("STATUS"), column("MESSAGE").flexible()]);
    for id in members {
        let member = doc.resources.iter().find(|resource| resource.id == *id);
        let status = member.map(|member| member.status);
        let word = status.map_or_else(|| "-".to_owned(), |status| status.to_string());
        let style = status.map_or(style::PLAIN, style::word);
        let said = member.map_or("", |member| member.message.as_str());
        table.push(vec![id.to_string().into(), cell(style, &word), message(said)]);
    }
    out.push_str(&indented(&table, view));
    out
}

/// Conditions as a table, in the order of cure.
#[must_use]
pub fn conditions_table(conditions: &[StatusCondition], view: View) -> Table {
    let columns = [
        column("TYPE"),
        column("STATUS"),
        column("SINCE").drops(1).volatile(),
        column("REASON"),
        column("MESSAGE").flexible(),
    ];
    let mut table = Table::new(&columns);
    for StatusCondition { condition, last_transition_time, observed_generation: _ } in conditions {
        let style = style::condition(condition);
        table.push(vec![
            condition.kind.to_string().into(),
            cell(style, &condition.status.to_string()),
            age_of(view.now, last_transition_time.as_deref()).into(),
            condition.reason.to_string().into(),
            message(&condition.message),
        ]);
    }
    table
}

fn events_of(doc: &StatusDoc, view: View, about: &dyn Fn(&Event) -> bool) -> String {
    let mut found: Vec<&Event> = doc.events.iter().rev().filter(|event| about(event)).take(EVENTS).collect();
    found.reverse();
    if found.is_empty() {
        return String::new();
    }
    let mut out = String::new();
    section(&mut out, "Events");
    out.push_str(&indented(&events::events(found, events::Moment::Age, view), view));
    out
}

/// A table two columns to the right.
pub(super) fn indented(table: &Table, view: View) -> String {
    if table.is_empty() {
        return "  none\n".to_owned();
    }
    let lines = table.lines(view.width.map(|width| width.saturating_sub(2)));
    lines.iter().map(|line| format!("  {line}\n")).collect()
}

pub(super) fn section(out: &mut String, title: &str) {
    let _ = writeln!(out, "\n{}", paint(style::STRONG, &format!("{title}:")));
}

/// `Name:   value`; nothing where there is no value.
fn fact(out: &mut String, view: View, name: &str, value: &str) {
    if !value.is_empty() {
        let value = super::text::wrap(value, view.width, INDENT);
        let _ = writeln!(out, "{:<INDENT$}{value}", format!("{name}:"));
    }
}

fn list(out: &mut String, view: View, name: &str, values: &[String]) {
    for (at, value) in values.iter().enumerate() {
        if at == 0 {
            fact(out, view, name, &clean(value));
        } else {
            let _ = writeln!(out, "{:<INDENT$}{}", "", super::text::wrap(&clean(value), view.width, INDENT));
        }
    }
}
