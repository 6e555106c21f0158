//! Who can talk to whom: containers to each other, containers to the units of the machine, others to what is published.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use aiplat_api::v1::{ServiceStatus, StatusDoc};
use aiplat_core::condition::{Condition, ConditionType, Reason, Status};

use super::{Check, Facts, Grade, check};
use crate::render::{
    lists,
    text::{clean, count},
};

/// Out of which an engine that is told nothing makes the first of its networks.
const ENGINE_RANGE: &str = "172.16.0.0/12";

pub(super) fn checks(facts: &Facts<'_>) -> Vec<Check> {
    let Some(doc) = facts.doc else { return Vec::new() };
    let mut checks = between_containers(doc);
    checks.extend(needed_units(doc).map(|unit| to_unit(doc, unit)));
    checks.extend(firewalls(doc));
    checks.extend(published(doc, is_here));
    checks
}

fn desired(doc: &StatusDoc) -> impl Iterator<Item = &ServiceStatus> {
    doc.services.iter().filter(|it| it.desired)
}

fn find<'a>(doc: &'a StatusDoc, name: &str) -> Option<&'a ServiceStatus> {
    desired(doc).find(|it| it.name == name)
}

/// Who is run by the engine, and runs.
fn runs_in_container(service: &ServiceStatus) -> bool {
    service.detail.unit.is_none() && service.detail.state.as_deref() == Some("running")
}

/// The networks of a container, and whether it has an address there: `home-ai_default (172.18.0.3)`.
fn networks(service: &ServiceStatus) -> impl Iterator<Item = (&str, bool)> {
    service.detail.networks.iter().map(|line| match line.split_once(" (") {
        Some((name, _)) => (name, true),
        None => (line.as_str(), false),
    })
}

/// Whether those that depend on each other have addresses where they look for each other. The connection itself is the
/// program's: aiplatd makes none in its name.
fn between_containers(doc: &StatusDoc) -> Vec<Check> {
    let name = "containers";
    let (mut pairs, mut checks) = (0, Vec::new());
    for service in desired(doc).filter(|it| runs_in_container(it)) {
        let on = service.detail.depends_on.iter().filter_map(|line| line.split_once(" (")).map(|(on, _)| on);
        for other in on.filter_map(|on| find(doc, on)).filter(|it| runs_in_container(it)) {
            let shared: Vec<(&str, bool)> = networks(service)
                .filter_map(|(network, here)| {
                    let (_, there) = networks(other).find(|(name, _)| *name == network)?;
                    Some((network, here && there))
                })
                .collect();
            // One in somebody's else network has none of its own.
            let Some((network, _)) = shared.first() else { continue };
            pairs += 1;
            if !shared.iter().any(|(_, both)| *both) {
                let (one, other) = (clean(&service.name), clean(&other.name));
                let found =
                    format!("{one} depends on {other}, and one of them has no address on {}", clean(network));
                checks.push(check(name, Grade::Fail, found).cure(format!("aiplatctl restart {other} {one}")));
            }
        }
    }
    if checks.is_empty() && pairs > 0 {
        let found = format!(
            "those that depend on each other have addresses on a shared network ({})",
            count(pairs, "pair")
        );
        checks.push(check(name, Grade::Ok, found));
    }
    checks
}

/// Units of the file that containers depend on.
fn needed_units(doc: &StatusDoc) -> impl Iterator<Item = &ServiceStatus> {
    let by_container = |name: &String| find(doc, name).is_some_and(|it| it.detail.unit.is_none());
    desired(doc).filter(move |it| it.detail.unit.is_some() && it.detail.dependants.iter().any(by_container))
}

fn reachable(unit: &ServiceStatus) -> Option<&Condition> {
    unit.conditions.iter().map(|it| &it.condition).find(|it| it.kind == ConditionType::Reachable)
}

/// As tried from inside the containers that need it.
fn to_unit(doc: &StatusDoc, unit: &ServiceStatus) -> Check {
    let (name, shown) = ("unit reach", clean(&unit.name));
    let Some(found) = reachable(unit) else {
        return check(
            name,
            Grade::Skipped,
            format!("{shown}: the file does not say at which port it is asked"),
        );
    };
    let said = format!("{shown}: {}", clean(&found.message));
    match (found.status, found.reason) {
        (Status::True, Reason::Reached) => check(name, Grade::Ok, said),
        (Status::True | Status::Unknown, _) => check(name, Grade::Skipped, said),
        (Status::False, Reason::ConnectionTimedOut) => {
            let cure =
                port(unit).zip(active(doc).next()).map(|(port, firewall)| opening(doc, firewall, port));
            check(name, Grade::Fail, said).cure(cure.unwrap_or_else(|| format!("aiplatctl describe {shown}")))
        }
        (Status::False, _) => check(name, Grade::Fail, said).cure(format!("aiplatctl describe {shown}")),
    }
}

fn port(unit: &ServiceStatus) -> Option<u16> {
    lists::addresses(&unit.endpoint).find_map(|it| Some(it.parse::<SocketAddr>().ok()?.port()))
}

/// Firewalls that are at work.
fn active(doc: &StatusDoc) -> impl Iterator<Item = &str> {
    let all = doc.host.iter().flat_map(|host| &host.firewalls).flatten();
    all.filter(|(_, active)| **active == Some(true)).map(|(name, _)| name.as_str())
}

/// How a container is let through to a port of the machine.
fn opening(doc: &StatusDoc, firewall: &str, port: u16) -> String {
    let engine = doc.host.as_ref().and_then(|host| host.engine.as_ref());
    let pool = engine.and_then(|engine| engine.address_pools.first()?.split_whitespace().next());
    let range = clean(pool.unwrap_or(ENGINE_RANGE));
    match firewall {
        "ufw" => format!("sudo ufw allow from {range} to any port {port} proto tcp"),
        "firewalld" => format!(
            "sudo firewall-cmd --permanent --zone=docker --add-port={port}/tcp && sudo firewall-cmd --reload"
        ),
        _ => format!("let {range} in to port {port}, in the chain of /etc/nftables.conf that filters input"),
    }
}

/// Rules that people write do not hold for what Docker publishes, for its own come first; and they may keep a container from a
/// unit's port.
fn firewalls(doc: &StatusDoc) -> Vec<Check> {
    active(doc).flat_map(|firewall| of_firewall(doc, firewall)).collect()
}

fn of_firewall(doc: &StatusDoc, firewall: &str) -> Vec<Check> {
    let (name, shown) = ("firewall", clean(firewall));
    let mut checks = Vec::new();
    let past: Vec<String> = desired(doc)
        .filter(|it| it.detail.unit.is_none())
        .filter(|it| lists::addresses(&it.endpoint).any(|address| !lists::is_local(address)))
        .map(|it| format!("{} at {}", clean(&it.name), clean(&it.endpoint)))
        .collect();
    if !past.is_empty() {
        let found =
            format!("{shown} is at work, and what Docker publishes goes past it: {}", past.join(", "));
        let cure = "publish at 127.0.0.1 what is not for others: `ports: [\"127.0.0.1:80:80\"]`";
        checks.push(check(name, Grade::Warn, found).cure(cure));
    }
    for (unit, port) in needed_units(doc).filter_map(|it| Some((it, port(it)?))) {
        // Whom it keeps out is told by the connection that was tried; whom nobody has tried it may keep out.
        let untried =
            reachable(unit).is_none_or(|it| it.reason != Reason::Reached && it.status != Status::False);
        if untried {
            let found =
                format!("{shown} is at work, and containers need {} at port {port}", clean(&unit.name));
            checks.push(check(name, Grade::Warn, found).cure(opening(doc, firewall, port)));
        }
    }
    if checks.is_empty() {
        checks.push(check(name, Grade::Ok, format!("{shown} is at work, and in nobody's way")));
    }
    checks
}

/// Whether the addresses that the file publishes at are this machine's still: DHCP may have given it another one.
fn published(doc: &StatusDoc, is_here: impl Fn(IpAddr) -> bool) -> Vec<Check> {
    let name = "addresses";
    let (mut named, mut checks) = (0, Vec::new());
    for service in desired(doc) {
        for address in lists::addresses(&service.endpoint).filter_map(|it| it.parse::<SocketAddr>().ok()) {
            if address.ip().is_loopback() || address.ip().is_unspecified() {
                continue;
            }
            named += 1;
            if !is_here(address.ip()) {
                let found = format!(
                    "{} is published at {address}, which is no address of this machine{}",
                    clean(&service.name),
                    own_addresses(doc)
                );
                checks.push(
                    check(name, Grade::Fail, found)
                        .cure("aiplatctl edit (`ports`), or give the machine that address for good"),
                );
            }
        }
    }
    if checks.is_empty() && named > 0 {
        checks.push(check(
            name,
            Grade::Ok,
            "what is published at an address of its own is at one of this machine's",
        ));
    }
    checks
}

fn own_addresses(doc: &StatusDoc) -> String {
    let all = doc.host.iter().flat_map(|host| &host.addresses).flatten();
    let all: Vec<String> = all.flat_map(|(_, addresses)| addresses).map(ToString::to_string).collect();
    if all.is_empty() { String::new() } else { format!("; it has {}", all.join(", ")) }
}

/// Only what is the machine's own can be bound.
fn is_here(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_address_of_this_machine_is_here() {
        assert!(is_here(IpAddr::from([127, 0, 0, 1])));
        assert!(!is_here(IpAddr::from([192, 0, 2, 7])), "it is reserved for documentation");
    }
}
