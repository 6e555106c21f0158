//! A unit is asked at an address of the host, where anybody may answer: who listens there is looked up.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use aiplat_core::spec::{ProbeKind, Protocol};

use super::Systemd;
use crate::{
    listeners::{Holder, Listener, Owner, port_holders},
    probe::{self, Ask, Failed, Vantage},
};

/// Who answered is looked up no more often than this while all is well: it costs a walk through all processes.
const EVERY: Duration = Duration::from_secs(60);

/// When it was last seen that the unit itself listens on the port.
#[derive(Debug, Default)]
pub(super) struct Answers(Mutex<BTreeMap<(String, u16), Instant>>);

impl Answers {
    fn is_known(&self, unit: &str, port: u16) -> bool {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(&(unit.to_owned(), port)).is_some_and(|at| at.elapsed() < EVERY)
    }

    fn note(&self, unit: &str, port: u16, is_its: bool) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if is_its {
            seen.insert((unit.to_owned(), port), Instant::now());
        } else {
            seen.remove(&(unit.to_owned(), port));
        }
    }
}

impl Systemd {
    pub(super) async fn question(
        &self,
        unit: &str,
        address: IpAddr,
        kind: &ProbeKind,
        timeout: Duration,
    ) -> Result<String, String> {
        let what = Ask::of(kind).ok_or_else(|| format!("{kind}: a unit has no container to run it in"))?;
        let port = what.port();
        let answer = probe::ask(&Vantage::Address(address), &what, timeout).await;
        if answer.is_ok() && self.answers.is_known(unit, port) {
            return answer.map_err(|failed| failed.transcript);
        }
        let listeners = port_holders(self.options.proc.clone(), Protocol::Tcp, port).await;
        let stranger = stranger(&listeners, address, unit);
        self.answers.note(unit, port, answer.is_ok() && stranger.is_none());
        match (answer, stranger) {
            (Ok(said), None) => Ok(said),
            (Ok(said), Some(who)) => Err(format!(
                "{said}; but that was {who}, which listens on port {port} in place of {unit}: stop one of the two, or let \
                 one of them listen elsewhere"
            )),
            (Err(Failed { transcript, .. }), Some(who)) => {
                Err(format!("{transcript}; port {port} is held by {who}, not by {unit}"))
            }
            (Err(Failed { transcript, is_refused }), None) if is_refused => {
                Err(format!("{transcript}; {}", elsewhere(&listeners, port)))
            }
            (Err(Failed { transcript, .. }), None) => Err(transcript),
        }
    }
}

fn is_asked(listener: &Listener, address: IpAddr) -> bool {
    listener.address == address || listener.address.is_unspecified()
}

/// Who listens at `address` and is somebody else for sure. Nobody is called a stranger whose files may not be read.
fn stranger(listeners: &[Listener], address: IpAddr, unit: &str) -> Option<String> {
    let asked = || listeners.iter().filter(|listener| is_asked(listener, address));
    let is_its = |listener: &Listener| match &listener.holder {
        Holder::Process { owner: Owner::Unit(name), .. } => name == unit,
        Holder::Process { owner: Owner::Nothing, .. } | Holder::Unknown => true,
        Holder::Process { owner: Owner::Container(_), .. } => false,
    };
    if asked().any(is_its) { None } else { asked().next().map(who) }
}

fn who(listener: &Listener) -> String {
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
fn elsewhere(listeners: &[Listener], port: u16) -> String {
    if listeners.is_empty() {
        return format!("nobody listens on port {port}");
    }
    let addresses: Vec<String> = listeners.iter().map(|listener| listener.address.to_string()).collect();
    format!(
        "port {port} is listened on at {} only: let it listen on 127.0.0.1 or on all addresses",
        addresses.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use aiplat_core::observed::ContainerId;

    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

    fn held(address: IpAddr, owner: Owner) -> Listener {
        Listener { address, holder: Holder::Process { pid: 7, name: "x".to_owned(), owner } }
    }

    fn unit(name: &str) -> Owner {
        Owner::Unit(name.to_owned())
    }

    #[test]
    fn who_answers_for_a_unit_is_the_unit_or_is_named() {
        let stranger = |listeners: &[Listener]| stranger(listeners, LOOPBACK, "ollama.service");
        assert_eq!(stranger(&[held(ANY, unit("ollama.service"))]), None);
        assert_eq!(stranger(&[held(LOOPBACK, Owner::Nothing)]), None, "that is not known to be another");
        assert_eq!(stranger(&[Listener { address: ANY, holder: Holder::Unknown }]), None);
        assert_eq!(stranger(&[]), None);
        let other = stranger(&[held(LOOPBACK, unit("nginx.service"))]);
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
}
