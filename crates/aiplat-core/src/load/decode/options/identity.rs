//! Who a service is in the network.

use std::{collections::BTreeSet, net::IpAddr};

use super::{
    super::{Cx, Fields, Item},
    namespace,
};
use crate::{
    load::{text::nearest, tree::Value},
    spec::{Identity, Namespace},
};

pub(super) fn identity(cx: &mut Cx<'_>, fields: &mut Fields<'_>) -> Identity {
    let address = |text: &str| match text.parse::<IpAddr>() {
        Ok(address) => Ok(address.to_string()),
        Err(_) => Err("write an address, as in `1.1.1.1`".to_owned()),
    };
    let word = |text: &str| {
        if text.is_empty() || text.contains(char::is_whitespace) {
            Err("write one word".to_owned())
        } else {
            Ok(text.to_owned())
        }
    };
    Identity {
        network_mode: cx.taken_parsed(fields, "network_mode", network_mode).unwrap_or_default(),
        hostname: cx.taken_parsed(fields, "hostname", host_name),
        domainname: cx.taken_parsed(fields, "domainname", host_name),
        dns: cx.taken_each(fields, "dns", address),
        dns_search: cx.taken_each(fields, "dns_search", word),
        dns_opt: cx.taken_each(fields, "dns_opt", word),
        extra_hosts: fields.take("extra_hosts").map(|item| extra_hosts(cx, &item)).unwrap_or_default(),
        mac_address: cx.taken_parsed(fields, "mac_address", mac_address),
        expose: expose(cx, fields),
    }
}

fn network_mode(text: &str) -> Result<Namespace, String> {
    let plain = [Namespace::None, Namespace::Bridge, Namespace::Host];
    if text == "default" {
        return Err("write `bridge`, or leave it out for a network of your own".to_owned());
    }
    namespace(text, &plain).map_err(|reason| match nearest(text, ["none", "bridge", "host"]) {
        Some(near) => format!("did you mean `{near}`?"),
        None if text.contains(':') || text.is_empty() => reason,
        None => format!("{reason}; a network of the file is named as `networks: [{text}]`"),
    })
}

/// What the kernel takes, and a resolver.
fn host_name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if (1..=63).contains(&text.len()) && text.chars().all(fits) && !text.starts_with(['-', '.']) {
        Ok(text.to_owned())
    } else {
        Err("write letters, digits, `-` and `.`, 63 at most".to_owned())
    }
}

/// Six pairs of hex digits, in lower case with colons.
pub(in crate::load::decode) fn mac_address(text: &str) -> Result<String, String> {
    let pairs: Vec<&str> = text.split([':', '-']).collect();
    let is_pair = |pair: &&str| pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit());
    if pairs.len() == 6 && pairs.iter().all(is_pair) {
        Ok(pairs.join(":").to_ascii_lowercase())
    } else {
        Err("write a hardware address, as in `02:42:ac:11:00:02`".to_owned())
    }
}

/// Sorted by name, the addresses of one name as they are written: an edit that only reorders lines recreates nothing.
fn extra_hosts(cx: &mut Cx<'_>, item: &Item<'_>) -> Vec<(String, String)> {
    let mut hosts = Vec::new();
    if let Value::Map(_) = item.node.value {
        for (name, _, node) in cx.entries(item).unwrap_or_default() {
            for inner in cx.one_or_more(Item::new(format!("`{name}`"), node)) {
                hosts.extend(cx.parsed(&inner, host_address).map(|address| (name.to_owned(), address.value)));
            }
        }
    } else {
        for inner in cx.items(item).unwrap_or_default() {
            hosts.extend(cx.parsed(&inner, extra_host).map(|host| host.value));
        }
    }
    hosts.sort_by(|(one, _), (other, _)| one.cmp(other));
    hosts.dedup();
    hosts
}

/// `name=address` or `name:address`.
fn extra_host(text: &str) -> Result<(String, String), String> {
    match text.split_once(['=', ':']) {
        Some((name, address)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), host_address(address.trim())?))
        }
        Some(_) | None => Err("write a name and its address, as in `db.example=10.0.0.5`".to_owned()),
    }
}

fn host_address(text: &str) -> Result<String, String> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    match bare.parse::<IpAddr>() {
        Ok(address) => Ok(address.to_string()),
        Err(_) if text == "host-gateway" => Ok(text.to_owned()),
        Err(_) => Err("write an address, or `host-gateway` for the host".to_owned()),
    }
}

fn expose(cx: &mut Cx<'_>, fields: &mut Fields<'_>) -> BTreeSet<String> {
    let Some(item) = fields.take("expose") else { return BTreeSet::new() };
    let mut exposed = BTreeSet::new();
    for item in cx.items(&item).unwrap_or_default() {
        let Some(ports) = cx.parsed(&item, super::super::ports::exposed) else { continue };
        exposed.extend(ports.value);
    }
    exposed
}
