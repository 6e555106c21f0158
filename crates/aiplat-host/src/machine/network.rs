//! Addresses, routes and firewalls.

use std::{collections::BTreeMap, net::IpAddr, path::Path};

use aiplat_core::observed::{Firewall, Route};
use nix::sys::socket::SockaddrLike as _;
use procfs_core::{FromRead as _, net::RouteEntries};

use super::{setting, text};

/// Interfaces that the engine makes: what they have is not the machine's to the outside.
fn is_engines(interface: &str) -> bool {
    ["docker", "br-", "veth"].iter().any(|prefix| interface.starts_with(prefix))
}

/// Addresses that others can reach the machine at, by interface.
pub(super) fn addresses() -> Option<BTreeMap<String, Vec<IpAddr>>> {
    let mut found: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
    for interface in nix::ifaddrs::getifaddrs().ok()? {
        let Some(address) = interface.address else { continue };
        let address = match address.family() {
            Some(nix::sys::socket::AddressFamily::Inet) => {
                address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()))
            }
            Some(nix::sys::socket::AddressFamily::Inet6) => {
                address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip()))
            }
            _ => None,
        };
        let is_outward = |address: &IpAddr| match address {
            IpAddr::V4(address) => !address.is_loopback() && !address.is_link_local(),
            IpAddr::V6(address) => !address.is_loopback() && !address.is_unicast_link_local(),
        };
        if let Some(address) = address.filter(is_outward).filter(|_| !is_engines(&interface.interface_name)) {
            found.entry(interface.interface_name).or_default().push(address);
        }
    }
    Some(found)
}

/// Where the machine sends packets directly or through a tunnel, without the default route and the engine's own networks. Of
/// IPv4: the engine's pools are of IPv4.
pub(super) fn routes(root: &Path) -> Option<Vec<Route>> {
    let entries = RouteEntries::from_file(root.join("proc/net/route")).ok()?;
    let route = |entry: procfs_core::net::RouteEntry| {
        let prefix = u8::try_from(u32::from(entry.mask).count_ones()).ok()?;
        let is_of_interest = prefix > 0 && !is_engines(&entry.iface);
        is_of_interest.then_some(Route {
            network: IpAddr::V4(entry.destination),
            prefix,
            interface: entry.iface,
        })
    };
    let mut routes: Vec<Route> = entries.0.into_iter().filter_map(route).collect();
    routes.sort();
    routes.dedup();
    Some(routes)
}

/// Programs that write firewall rules: those that are installed.
pub(super) fn firewalls(root: &Path) -> Option<Vec<Firewall>> {
    let mut found = Vec::new();
    if let Some(settings) = text(&root.join("etc/ufw/ufw.conf")) {
        let active = setting(&settings, "ENABLED").map(|value| value.eq_ignore_ascii_case("yes"));
        found.push(Firewall { name: "ufw".to_owned(), active });
    }
    if root.join("etc/firewalld").exists() {
        let active = Some(root.join("run/firewalld.pid").exists());
        found.push(Firewall { name: "firewalld".to_owned(), active });
    }
    if root.join("etc/nftables.conf").exists() {
        let active = Some(root.join("etc/systemd/system/sysinit.target.wants/nftables.service").exists());
        found.push(Firewall { name: "nftables".to_owned(), active });
    }
    Some(found)
}
