//! Ports of the host against each other, fixed addresses and subnets.

use std::{collections::BTreeMap, net::IpAddr};

use super::{Scene, networks_of};
use crate::{
    load::{
        diagnostic::{Problem, Sink},
        draft::NetworkDraft,
        tree::{Place, Spanned},
    },
    spec::{PortBinding, Protocol},
};

pub(super) fn check(scene: &Scene<'_>, sink: &mut Sink) {
    ports(scene, sink);
    subnets(scene, sink);
    fixed_addresses(scene, sink);
}

/// A service and the port that it publishes.
type Taker<'a> = (&'a str, &'a Spanned<PortBinding>);

fn ports(scene: &Scene<'_>, sink: &mut Sink) {
    let mut taken: BTreeMap<(u16, Protocol), Vec<Taker<'_>>> = BTreeMap::new();
    for (name, service) in &scene.active {
        for port in &service.ports {
            let Some(host_port) = port.value.host_port else { continue };
            let others = taken.entry((host_port, port.value.protocol)).or_default();
            if let Some((other, earlier)) =
                others.iter().find(|(_, it)| overlap(it.value.host_ip, port.value.host_ip))
            {
                let whose = if other == name {
                    format!("`{name}` publishes {} twice", port.value)
                } else {
                    format!("`{other}` and `{name}` both publish {}", port.value)
                };
                let whose = match [earlier.value.host_ip, port.value.host_ip] {
                    [one, other] if one == other => whose,
                    [one, other] => {
                        let all = if one.is_unspecified() { one } else { other };
                        format!("{whose}: {all} is every address")
                    }
                };
                sink.add(
                    Problem::error("port-taken", port.place, whose)
                        .also(earlier.place, format!("first here, by `{other}`"))
                        .help("choose another port of the host for one of them, or another address"),
                );
            } else {
                others.push((name, port));
            }
        }
    }
}

/// Two addresses cannot both be listened on at one port.
fn overlap(a: IpAddr, b: IpAddr) -> bool {
    a == b || (a.is_ipv4() == b.is_ipv4() && (a.is_unspecified() || b.is_unspecified()))
}

/// An address and a length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::load) struct Cidr {
    first: u128,
    last: u128,
    is_ipv4: bool,
}

impl Cidr {
    pub(in crate::load) fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let length: u32 = length.parse().ok().filter(|length| *length <= bits)?;
        let hosts = u128::MAX.checked_shr(128 - (bits - length)).unwrap_or_default();
        let first = number(address) & !hosts;
        Some(Self { first, last: first | hosts, is_ipv4: address.is_ipv4() })
    }

    fn contains(self, address: IpAddr) -> bool {
        self.is_ipv4 == address.is_ipv4() && (self.first..=self.last).contains(&number(address))
    }

    fn overlaps(self, other: Self) -> bool {
        self.is_ipv4 == other.is_ipv4 && self.first <= other.last && other.first <= self.last
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

fn subnets(scene: &Scene<'_>, sink: &mut Sink) {
    let mut known: Vec<(&str, Cidr, Place)> = Vec::new();
    for (name, network) in &scene.draft.networks {
        for Spanned { value, place } in &network.subnets {
            let Some(pool) = Cidr::parse(&value.subnet) else { continue };
            if let Some((other, _, earlier)) = known.iter().find(|(_, other, _)| other.overlaps(pool)) {
                let message = format!("the subnet {} of `{name}` overlaps one of `{other}`", value.subnet);
                sink.add(
                    Problem::error("subnet-overlap", *place, message)
                        .also(*earlier, format!("of `{other}`"))
                        .help("the engine refuses that: choose another subnet"),
                );
            }
            let outside = |address: &Option<String>| {
                address
                    .as_ref()
                    .filter(|text| text.parse().is_ok_and(|address| !pool.contains(address)))
                    .cloned()
            };
            if let Some(gateway) = outside(&value.gateway) {
                let message = format!("the gateway {gateway} is not in the subnet {}", value.subnet);
                sink.add(Problem::error("outside-subnet", *place, message));
            }
            let range = value.ip_range.as_ref().and_then(|range| Some((range, Cidr::parse(range)?)));
            if let Some((text, range)) = range
                && (range.first < pool.first || range.last > pool.last || range.is_ipv4 != pool.is_ipv4)
            {
                let message = format!("the range {text} is not in the subnet {}", value.subnet);
                sink.add(Problem::error("outside-subnet", *place, message));
            }
            known.push((name, pool, *place));
        }
    }
}

fn fixed_addresses(scene: &Scene<'_>, sink: &mut Sink) {
    let mut taken: BTreeMap<(&str, &str), (&str, Place)> = BTreeMap::new();
    for (name, service) in &scene.active {
        for (network, attachment) in networks_of(service).unwrap_or_default() {
            let Some(attachment) = attachment else { continue };
            for address in [&attachment.ipv4_address, &attachment.ipv6_address].into_iter().flatten() {
                in_a_subnet(network, scene.draft.networks.get(network), address, sink);
                if let Some((other, earlier)) = taken.get(&(network, address.value.as_str())) {
                    let message =
                        format!("`{other}` and `{name}` both take {} on `{network}`", address.value);
                    let problem = Problem::error("address-taken", address.place, message);
                    sink.add(
                        problem
                            .also(*earlier, format!("first here, by `{other}`"))
                            .help("choose another address"),
                    );
                } else {
                    taken.insert((network, &address.value), (name, address.place));
                }
            }
        }
    }
}

/// The engine gives fixed addresses only out of subnets that somebody configured.
fn in_a_subnet(name: &str, network: Option<&NetworkDraft>, address: &Spanned<String>, sink: &mut Sink) {
    let Ok(parsed) = address.value.parse::<IpAddr>() else { return };
    let subnets = network.map_or(&[][..], |network| &network.subnets);
    let pools: Vec<Cidr> = subnets.iter().filter_map(|pool| Cidr::parse(&pool.value.subnet)).collect();
    if network.is_some_and(|network| network.external) || pools.iter().any(|pool| pool.contains(parsed)) {
        return;
    }
    let subnets: Vec<&str> = subnets.iter().map(|pool| pool.value.subnet.as_str()).collect();
    let example = if parsed.is_ipv4() { "172.28.0.0/16" } else { "fd00:28::/64" };
    let (message, help) = match subnets.as_slice() {
        [] => (
            format!("`{name}` has no subnet of its own, so that {} cannot be promised", address.value),
            format!(
                "give the network one, `ipam: {{config: [{{subnet: \"{example}\"}}]}}`, or leave the address to the engine"
            ),
        ),
        subnets => (
            format!("{} is not in the subnet of `{name}`, {}", address.value, subnets.join(", ")),
            "choose an address in it, or leave the address to the engine".to_owned(),
        ),
    };
    sink.add(Problem::error("outside-subnet", address.place, message).help(help));
}
