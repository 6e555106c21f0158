//! What `get` lists.

use aiplat_api::v1::{ResourceStatus, ServiceDetail, ServiceStatus, StatusDoc};
use aiplat_core::{
    Kind,
    condition::{Status, Word},
    observed::PullProgress,
};

use super::{
    View, style,
    table::{Table, cell, column, message},
    text,
    time::{age_of, due},
};

/// `get services`.
#[must_use]
pub fn services<'a>(services: impl IntoIterator<Item = &'a ServiceStatus>, view: View) -> Table {
    let mut columns = vec![
        column("NAME"),
        column("TYPE"),
        column("STATUS"),
        column("SINCE").drops(2).volatile(),
        column("RESTARTS").drops(3),
        column("ENDPOINT").drops(1),
    ];
    if view.wide {
        columns.extend([column("CONTAINER"), column("IMAGE")]);
    }
    columns.push(column("MESSAGE").flexible());
    let mut table = Table::new(&columns);
    for it in services {
        let ServiceStatus { name, kind, status, since, restarts, endpoint, message: said, .. } = it;
        let mut row = vec![
            name.into(),
            kind.into(),
            cell(style::word(*status), &status.to_string()),
            age_of(view.now, since.as_deref()).into(),
            restarts.to_string().into(),
            reach(endpoint).into(),
        ];
        if view.wide {
            row.extend([(&it.detail.container).into(), (&it.detail.image).into()]);
        }
        row.push(message(&next_run(&it.detail, view).filter(|_| said.is_empty()).unwrap_or(said.clone())));
        table.push(row);
    }
    table
}

/// `get containers`.
#[must_use]
pub fn containers(doc: &StatusDoc, names: &[String], view: View) -> Table {
    let mut columns = vec![column("NAME"), column("CONTAINER").drops(3), column("STATUS")];
    columns.extend([column("STATE").drops(2), column("ID").drops(1)]);
    if view.wide {
        columns.push(column("IMAGE"));
    }
    columns.push(column("MESSAGE").flexible());
    let mut table = Table::new(&columns);
    for it in resources(doc, Kind::Container, names) {
        let owner = doc.services.iter().find(|service| service.name == it.id.key());
        let detail = owner.map(|service| &service.detail);
        let id = detail.and_then(|detail| detail.container_id.as_deref()).unwrap_or_default();
        let id = if view.wide { id } else { short(id) };
        let mut row = vec![it.id.key().into(), (&it.host_name).into(), word(it.status)];
        row.push(detail.and_then(|detail| detail.state.as_deref()).unwrap_or_default().into());
        row.push(id.into());
        if view.wide {
            row.push(detail.map_or("", |detail| detail.image.as_str()).into());
        }
        row.push(resource_message(it));
        table.push(row);
    }
    table
}

/// `get units`.
#[must_use]
pub fn units(doc: &StatusDoc, names: &[String], view: View) -> Table {
    let mut columns = vec![column("NAME"), column("UNIT").drops(3), column("STATUS")];
    columns.extend([column("STATE").drops(2), column("ENABLED").drops(1)]);
    if view.wide {
        columns.extend([column("PID"), column("DROP-IN")]);
    }
    columns.push(column("MESSAGE").flexible());
    let mut table = Table::new(&columns);
    for it in resources(doc, Kind::Unit, names) {
        let owner = doc.services.iter().find(|service| service.name == it.id.key());
        let detail = owner.map(|service| &service.detail);
        let unit = detail.and_then(|detail| detail.unit.as_ref());
        let mut row = vec![it.id.key().into(), (&it.host_name).into(), word(it.status)];
        row.push(detail.and_then(|detail| detail.state.as_deref()).unwrap_or_default().into());
        row.push(unit.map_or("", |unit| unit.enabled.as_str()).into());
        if view.wide {
            row.push(unit.and_then(|unit| unit.pid).map(|pid| pid.to_string()).unwrap_or_default().into());
            row.push(unit.and_then(|unit| unit.drop_in.as_deref()).unwrap_or_default().into());
        }
        let next = detail.and_then(|detail| next_run(detail, view)).filter(|_| it.message.is_empty());
        row.push(next.map_or_else(|| resource_message(it), |next| message(&next)));
        table.push(row);
    }
    table
}

/// What there is to say of a unit that waits for its timer.
fn next_run(detail: &ServiceDetail, view: View) -> Option<String> {
    let next = detail.unit.as_ref()?.timer.as_ref()?.next.as_deref()?;
    Some(format!("runs next at {}", due(view.now, next)))
}

/// `get images`.
#[must_use]
pub fn images(doc: &StatusDoc, names: &[String]) -> Table {
    let columns = [
        column("IMAGE"),
        column("STATUS"),
        column("PULLED").drops(2),
        column("USED-BY").drops(1),
        column("MESSAGE").flexible(),
    ];
    let mut table = Table::new(&columns);
    for it in resources(doc, Kind::Image, names) {
        let pulled = it.pull.map(progress).unwrap_or_default();
        let row = vec![
            it.id.key().into(),
            word(it.status),
            pulled.into(),
            it.used_by.join(",").into(),
            resource_message(it),
        ];
        table.push(row);
    }
    table
}

/// `get networks` and `get files`.
#[must_use]
pub fn named(doc: &StatusDoc, kind: Kind, names: &[String]) -> Table {
    let title = match kind {
        Kind::Host => "HOST",
        Kind::File => "PATH",
        Kind::Network | Kind::Volume | Kind::Image | Kind::Container | Kind::Unit | Kind::Model => "NETWORK",
    };
    let columns = [
        column("NAME"),
        column(title).drops(2),
        column("STATUS"),
        column("USED-BY").drops(1),
        column("MESSAGE").flexible(),
    ];
    let mut table = Table::new(&columns);
    for it in resources(doc, kind, names) {
        let row = vec![
            it.id.key().into(),
            (&it.host_name).into(),
            word(it.status),
            it.used_by.join(",").into(),
            resource_message(it),
        ];
        table.push(row);
    }
    table
}

/// `get gates`.
#[must_use]
pub fn gates(doc: &StatusDoc, names: &[String], view: View) -> Table {
    let columns = [
        column("NAME"),
        column("STATUS"),
        column("SINCE").drops(2).volatile(),
        column("MEMBERS").drops(1),
        column("MESSAGE").flexible(),
    ];
    let mut table = Table::new(&columns);
    for gate in doc.gates.iter().filter(|gate| chosen(names, &gate.name)) {
        let members: Vec<&str> = gate.members.iter().map(aiplat_core::ResourceId::key).collect();
        let row = vec![
            (&gate.name).into(),
            word(gate_word(gate.condition.condition.status)),
            age_of(view.now, gate.condition.last_transition_time.as_deref()).into(),
            members.join(",").into(),
            message(&gate.condition.condition.message),
        ];
        table.push(row);
    }
    table
}

/// `get endpoints`.
#[must_use]
pub fn endpoints<'a>(services: impl IntoIterator<Item = &'a ServiceStatus>) -> Table {
    let mut table = Table::new(&[column("SERVICE"), column("ADDRESS"), column("REACH"), column("STATUS")]);
    for it in services {
        for address in addresses(&it.endpoint) {
            let reach = if is_local(address) { "this machine" } else { "LAN" };
            table.push(vec![(&it.name).into(), address.into(), reach.into(), word(it.status)]);
        }
    }
    table
}

/// The resources of a kind, those named if any are.
pub(super) fn resources<'a>(
    doc: &'a StatusDoc,
    kind: Kind,
    names: &'a [String],
) -> impl Iterator<Item = &'a ResourceStatus> {
    let of_kind = doc.resources.iter().filter(move |it| it.id.kind == kind);
    of_kind.filter(|it| names.is_empty() || chosen(names, it.id.key()) || chosen(names, &it.host_name))
}

/// Whether `name` was asked for.
pub(crate) fn chosen(names: &[String], name: &str) -> bool {
    names.is_empty() || names.iter().any(|wanted| wanted == name)
}

/// The word of a gate.
#[must_use]
pub fn gate_word(status: Status) -> Word {
    match status {
        Status::True => Word::Ready,
        Status::False => Word::NotReady,
        Status::Unknown => Word::Unknown,
    }
}

pub(super) fn word(word: Word) -> super::table::Cell {
    cell(style::word(word), &word.to_string())
}

pub(super) fn resource_message(resource: &ResourceStatus) -> super::table::Cell {
    match (resource.desired, resource.message.is_empty()) {
        (true, _) => message(&resource.message),
        (false, true) => message("no longer in the file"),
        (false, false) => message(&format!("no longer in the file; {}", resource.message)),
    }
}

/// `4.2 GiB of 12 GiB (35%)`.
#[must_use]
pub fn progress(pull: PullProgress) -> String {
    let PullProgress { done, total } = pull;
    match (done.saturating_mul(100)).checked_div(total) {
        Some(percent) => format!("{} of {} ({}%)", text::bytes(done), text::bytes(total), percent.min(100)),
        None => text::bytes(done),
    }
}

/// The first twelve characters of an engine's id, as its own tools print it.
fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// The addresses that a service is published at.
pub(crate) fn addresses(endpoint: &str) -> impl Iterator<Item = &str> {
    endpoint
        .split(',')
        .map(|it| it.trim().trim_end_matches(" (LAN)"))
        .filter(|it| !it.is_empty() && *it != "-")
}

/// Addresses, with a word where others than this machine reach them.
fn reach(endpoint: &str) -> String {
    let marked =
        addresses(endpoint).map(|it| if is_local(it) { it.to_owned() } else { format!("{it} (LAN)") });
    marked.collect::<Vec<_>>().join(",")
}

/// Whether only this machine reaches it there.
pub(crate) fn is_local(address: &str) -> bool {
    let host =
        address.split('/').next().unwrap_or_default().rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
