//! `networks:` and `depends_on:` of a service.

use std::collections::BTreeMap;

use super::{Cx, Fields, Item, options::mac_address};
use crate::{
    load::{
        diagnostic::Problem,
        draft::{AttachmentDraft, Edge},
        keys::{ATTACHMENT, DEPENDENCY},
        tree::{Place, Spanned, Value},
    },
    spec::DependencyCondition,
};

/// Under this the engine knows the name of an interface.
const INTERFACE_NAME: &str = "com.docker.network.endpoint.ifname";

/// `None` where it could not be read; empty where nothing is said.
pub(super) fn networks(
    cx: &mut Cx<'_>,
    fields: &mut Fields<'_>,
    has_networks: bool,
) -> Option<Vec<AttachmentDraft>> {
    let Some(item) = fields.take("networks") else {
        let elsewhere = ["networks", "extends"].iter().any(|key| fields.excused.contains(key));
        return if has_networks && !elsewhere { Some(Vec::new()) } else { None };
    };
    let plain = |network: String, place: Place| AttachmentDraft {
        place,
        network,
        aliases: Vec::new(),
        ipv4_address: None,
        ipv6_address: None,
        link_local_ips: Vec::new(),
        mac_address: None,
        driver_opts: BTreeMap::new(),
        gw_priority: 0,
        priority: 0,
    };
    if let Value::Map(_) = item.node.value {
        let mut attachments = Vec::new();
        for (name, place, node) in cx.entries(&item)? {
            let inner = Item::new(format!("`{name}`"), node);
            attachments.push(if inner.is_null() {
                plain(name.to_owned(), place)
            } else {
                attachment(cx, plain(name.to_owned(), place), &inner)
            });
        }
        return Some(attachments);
    }
    let names = cx.distinct(&item)?;
    Some(names.into_iter().map(|name| plain(name.value, name.place)).collect())
}

fn attachment(cx: &mut Cx<'_>, plain: AttachmentDraft, item: &Item<'_>) -> AttachmentDraft {
    let mut fields = cx.fields(item, &ATTACHMENT);
    let aliases = fields.take("aliases").and_then(|item| cx.distinct(&item)).unwrap_or_default();
    let v4 = |text: &str| match text.parse::<std::net::Ipv4Addr>() {
        Ok(address) => Ok(address.to_string()),
        Err(_) => Err("write an IPv4 address, as in `172.28.0.10`".to_owned()),
    };
    let v6 = |text: &str| match text.parse::<std::net::Ipv6Addr>() {
        Ok(address) => Ok(address.to_string()),
        Err(_) => Err("write an IPv6 address, as in `fd00::10`".to_owned()),
    };
    let link_local = |text: &str| match text.parse::<std::net::IpAddr>() {
        Ok(address) => Ok(address.to_string()),
        Err(_) => Err("write an address, as in `169.254.8.8`".to_owned()),
    };
    let link_local_ips = fields.take("link_local_ips").and_then(|item| cx.items(&item)).unwrap_or_default();
    let link_local_ips = link_local_ips
        .iter()
        .filter_map(|item| cx.parsed(item, link_local))
        .map(|address| address.value)
        .collect();
    let mut driver_opts: BTreeMap<String, String> = fields
        .take("driver_opts")
        .map(|item| cx.named_texts(&item))
        .unwrap_or_default()
        .into_iter()
        .map(|(name, text)| (name, text.value))
        .collect();
    if let Some(name) = fields.take("interface_name").and_then(|item| cx.parsed(&item, interface)) {
        driver_opts.insert(INTERFACE_NAME.to_owned(), name.value);
    }
    let mut number = |cx: &mut Cx<'_>, key| {
        fields.take(key).and_then(|item| cx.integer(&item, i64::from(i32::MIN), i64::from(i32::MAX)))
    };
    let (gw_priority, priority) = (number(cx, "gw_priority"), number(cx, "priority"));
    let attachment = AttachmentDraft {
        link_local_ips,
        driver_opts,
        gw_priority: gw_priority.unwrap_or(0),
        priority: priority.unwrap_or(0),
        mac_address: fields
            .take("mac_address")
            .and_then(|item| cx.parsed(&item, mac_address))
            .map(|mac| mac.value),
        aliases: aliases.into_iter().map(|alias| alias.value).collect(),
        ipv4_address: fields.take("ipv4_address").and_then(|item| cx.parsed(&item, v4)),
        ipv6_address: fields.take("ipv6_address").and_then(|item| cx.parsed(&item, v6)),
        ..plain
    };
    fields.done();
    attachment
}

/// What the kernel takes.
fn interface(text: &str) -> Result<String, String> {
    if (1..=15).contains(&text.len()) && !text.contains(|c: char| c == '/' || c.is_whitespace()) {
        Ok(text.to_owned())
    } else {
        Err("write at most 15 characters, as in `eth0`".to_owned())
    }
}

pub(super) fn depends_on(cx: &mut Cx<'_>, item: &Item<'_>) -> Vec<Edge> {
    if let Value::Map(_) = item.node.value {
        let mut edges = Vec::new();
        for (name, place, node) in cx.entries(item).unwrap_or_default() {
            edges.extend(edge(cx, name, place, &Item::new(format!("`{name}`"), node)));
        }
        return edges;
    }
    let started = |name: Spanned<String>| Edge {
        place: name.place,
        to: name.value,
        condition: DependencyCondition::Started,
        required: true,
        restart: false,
    };
    cx.distinct(item).unwrap_or_default().into_iter().map(started).collect()
}

fn edge(cx: &mut Cx<'_>, name: &str, place: Place, item: &Item<'_>) -> Option<Edge> {
    const HELP: &str =
        "write `condition: service_healthy`, `service_started` or `service_completed_successfully`";
    let words = [
        ("service_started", DependencyCondition::Started),
        ("service_healthy", DependencyCondition::Healthy),
        ("service_completed_successfully", DependencyCondition::CompletedSuccessfully),
    ];
    let mut fields = cx.fields(item, &DEPENDENCY);
    let condition = match fields.take("condition") {
        Some(condition) => cx.word(&condition, &words),
        None => {
            if matches!(item.node.value, Value::Map(_)) {
                let message = format!("the dependency on `{name}` has no `condition`");
                cx.sink.add(Problem::error("missing-key", place, message).help(HELP));
            }
            None
        }
    };
    let required = fields.take("required").and_then(|item| cx.flag(&item)).unwrap_or(true);
    let restart = match fields.take("restart") {
        Some(item) => {
            let restart = cx.flag(&item).unwrap_or(false);
            if restart {
                let message = "`restart: true` holds for crashes too (in Compose: for its own commands only)";
                cx.sink.add(Problem::note("depends-on-restart", item.place(), message));
            }
            restart
        }
        None => false,
    };
    fields.done();
    // Without a condition it is an edge all the same: unknown names and cycles are worth saying at once.
    let condition = condition.unwrap_or(DependencyCondition::Started);
    Some(Edge { place, to: name.to_owned(), condition, required, restart })
}
