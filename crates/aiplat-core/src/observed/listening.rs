//! Who listens on the port that a unit is asked at, and from which containers it was reached there.

use std::net::{IpAddr, Ipv4Addr};

use super::{ContainerId, Incarnation};
use crate::Timestamp;

/// One socket that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Where it listens; unspecified (`0.0.0.0`, `::`): on all addresses, and `::` as a rule on those of IPv4 as well.
    pub address: IpAddr,
    /// Who has it.
    pub holder: Holder,
}

/// Who has a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// The process with the lowest number of those that share it.
    Process {
        /// Its number.
        pid: u32,
        /// Its name, of 15 bytes at most.
        name: String,
        /// What it belongs to.
        owner: Owner,
    },
    /// The files of other users' processes may not be read, it is the kernel's, or there was no time to find it.
    Unknown,
}

/// What a process belongs to, by its control group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// A unit of systemd: `ollama.service`, `session-3.scope`.
    Unit(String),
    /// A container of Docker, Podman or containerd.
    Container(ContainerId),
    /// Neither.
    Nothing,
}

/// Who listened when one run of a unit was last asked, and this was looked up. systemd does not say when that changes: it is
/// looked up with the probes, with every one that fails, and once a minute while they pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// Which run was asked.
    pub incarnation: Incarnation,
    /// On which port.
    pub port: u16,
    /// Everybody who listens there.
    pub listeners: Vec<Listener>,
}

/// What came of the last connection from inside a container to a unit's port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// The unit's run.
    pub unit: Incarnation,
    /// The container's run.
    pub consumer: Incarnation,
    /// When.
    pub at: Timestamp,
    /// What came of it.
    pub reach: Reach,
}

/// What comes of a connection from inside a container to a port of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// It was taken.
    Connected(IpAddr),
    /// It was refused: nobody listens there, or a firewall says so.
    Refused(IpAddr),
    /// Nobody answered in time.
    NoAnswer(IpAddr),
    /// The container has no way to that address.
    NoRoute(IpAddr),
    /// It could not be tried; why, for a person.
    Untried(String),
}

/// Where a unit is asked.
pub const ASKED_AT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn is_asked(listener: &Listener, address: IpAddr) -> bool {
    listener.address == address || listener.address.is_unspecified()
}

impl Listener {
    /// Whether it is known to be somebody else's than `unit`'s. Nobody is called a stranger whose files may not be read.
    #[must_use]
    pub fn is_strange_to(&self, unit: &str) -> bool {
        match &self.holder {
            Holder::Process { owner: Owner::Unit(name), .. } => name != unit,
            Holder::Process { owner: Owner::Nothing, .. } | Holder::Unknown => false,
            Holder::Process { owner: Owner::Container(_), .. } => true,
        }
    }
}

/// Who listens at `address` and is somebody else for sure.
#[must_use]
pub fn stranger<'a>(listeners: &'a [Listener], address: IpAddr, unit: &str) -> Option<&'a Listener> {
    let asked = || listeners.iter().filter(|listener| is_asked(listener, address));
    if asked().all(|listener| listener.is_strange_to(unit)) { asked().next() } else { None }
}

/// The holder of a socket, as a sentence has it that knows no more of containers than their ids.
#[must_use]
pub fn who(listener: &Listener) -> String {
    match &listener.holder {
        Holder::Process { pid, name, owner: Owner::Unit(unit) } => {
            format!("{unit} (process {pid}, `{name}`)")
        }
        Holder::Process { pid, name, owner: Owner::Container(id) } => {
            format!("container {id} (process {pid}, `{name}`)")
        }
        Holder::Process { pid, name, owner: Owner::Nothing } => format!("process {pid} (`{name}`)"),
        Holder::Unknown => "another process".to_owned(),
    }
}

/// Where it listens instead of where it was asked.
#[must_use]
pub fn elsewhere(listeners: &[Listener], port: u16) -> String {
    if listeners.is_empty() {
        return format!("nobody listens on port {port}");
    }
    format!(
        "port {port} is listened on at {} only: let it listen on 127.0.0.1 or on all addresses",
        addresses(listeners.iter())
    )
}

fn addresses<'a>(listeners: impl Iterator<Item = &'a Listener>) -> String {
    let mut addresses: Vec<String> = listeners.map(|listener| listener.address.to_string()).collect();
    addresses.dedup();
    addresses.join(", ")
}

impl Listening {
    /// Whether anybody listens where the unit is asked.
    #[must_use]
    pub fn is_asked_one(&self) -> bool {
        self.listeners.iter().any(|listener| is_asked(listener, ASKED_AT))
    }

    /// The addresses at which `unit` listens, as far as nobody else is known to: `127.0.0.1, ::1`.
    #[must_use]
    pub fn addresses(&self, unit: &str) -> String {
        addresses(self.of(unit))
    }

    /// Whether `unit` listens on its loopback addresses and nowhere else: no container can reach it there.
    #[must_use]
    pub fn is_loopback_only(&self, unit: &str) -> bool {
        self.of(unit).next().is_some() && self.of(unit).all(|listener| listener.address.is_loopback())
    }

    fn of<'a>(&'a self, unit: &'a str) -> impl Iterator<Item = &'a Listener> {
        self.listeners.iter().filter(move |listener| !listener.is_strange_to(unit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

    fn held(address: IpAddr, owner: Owner) -> Listener {
        Listener { address, holder: Holder::Process { pid: 7, name: "x".to_owned(), owner } }
    }

    fn unit(name: &str) -> Owner {
        Owner::Unit(name.to_owned())
    }

    fn listening(listeners: &[Listener]) -> Listening {
        let incarnation = Incarnation("1".to_owned());
        Listening { incarnation, port: 11434, listeners: listeners.to_vec() }
    }

    #[test]
    fn who_answers_for_a_unit_is_the_unit_or_is_named() {
        let stranger = |listeners: &[Listener]| stranger(listeners, ASKED_AT, "ollama.service").map(who);
        assert_eq!(stranger(&[held(ANY, unit("ollama.service"))]), None);
        assert_eq!(stranger(&[held(ASKED_AT, Owner::Nothing)]), None, "that is not known to be another");
        assert_eq!(stranger(&[Listener { address: ANY, holder: Holder::Unknown }]), None);
        assert_eq!(stranger(&[]), None);
        let other = stranger(&[held(ASKED_AT, unit("nginx.service"))]);
        assert_eq!(other.as_deref(), Some("nginx.service (process 7, `x`)"));
        let container = Owner::Container(ContainerId("0123456789abcdef".to_owned()));
        let other = stranger(&[held(ANY, container)]);
        assert_eq!(other.as_deref(), Some("container 0123456789ab (process 7, `x`)"));
        let bridge = IpAddr::V4(Ipv4Addr::new(172, 17, 0, 1));
        assert_eq!(stranger(&[held(bridge, unit("nginx.service"))]), None, "nobody asked there");
    }

    #[test]
    fn where_it_listens_instead_is_said() {
        let bridge = IpAddr::V4(Ipv4Addr::new(172, 17, 0, 1));
        assert_eq!(elsewhere(&[], 80), "nobody listens on port 80");
        assert!(elsewhere(&[held(bridge, Owner::Nothing)], 80).contains("at 172.17.0.1 only"));
    }

    #[test]
    fn only_the_loopback_addresses_of_the_unit_itself_are_out_of_reach() {
        let own = |address| held(address, unit("ollama.service"));
        let v6 = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);
        let is_out = |listeners: &[Listener]| listening(listeners).is_loopback_only("ollama.service");
        assert!(is_out(&[own(ASKED_AT), own(v6)]));
        assert!(!is_out(&[own(ASKED_AT), own(ANY)]));
        assert!(!is_out(&[]), "nothing is known");
        let proxy = held(ANY, unit("nginx.service"));
        assert!(is_out(&[own(ASKED_AT), proxy]), "another one's socket reaches nobody");
        assert_eq!(listening(&[own(ASKED_AT), own(v6)]).addresses("ollama.service"), "127.0.0.1, ::1");
    }
}
