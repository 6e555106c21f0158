//! Where the programs of simulated units listen, and who reaches them there.

use std::net::IpAddr;

use aiplat_core::observed::{ActiveState, Holder, Listener, Owner, Reach};

use super::{
    Systemd,
    systemd::{Program, Unit},
};

/// The variable that says where a program of these tests listens: addresses, `none`; on all of them where it is not set.
const LISTEN: &str = "LISTEN";

/// What `host.docker.internal` is.
pub const GATEWAY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(172, 17, 0, 1));

fn is_at(listener: &Listener, address: IpAddr) -> bool {
    listener.address == address || listener.address.is_unspecified()
}

impl Unit {
    /// Who listens on the port that it is asked at.
    pub(super) fn listeners(&self, name: &str) -> Vec<Listener> {
        if let Some(imposter) = &self.imposter {
            return vec![imposter.clone()];
        }
        let wanted = self.seen.effective.as_ref().and_then(|environment| environment.get(LISTEN));
        let wanted = wanted.map_or("0.0.0.0", String::as_str);
        let is_up = self.seen.active == ActiveState::Active;
        let addresses = wanted.split(' ').filter_map(|address| address.parse().ok()).filter(|_| is_up);
        let owner = Owner::Unit(name.to_owned());
        let holder = Holder::Process { pid: self.seen.main_pid, name: "program".to_owned(), owner };
        addresses.map(|address| Listener { address, holder: holder.clone() }).collect()
    }

    /// Whether it answers at `address`.
    pub(crate) fn answers(&self, name: &str, address: IpAddr) -> bool {
        let listens = self.listeners(name).iter().any(|it| is_at(it, address));
        self.seen.active == ActiveState::Active && self.program == Program::Serves && listens
    }
}

impl Systemd {
    /// What comes of a connection from a container to the port of the only unit that containers ask.
    pub(super) fn reach(&self) -> Reach {
        let inner = self.lock();
        let mut listeners = inner.units.iter().flat_map(|(name, unit)| unit.listeners(name));
        if listeners.any(|it| is_at(&it, GATEWAY)) {
            Reach::Connected(GATEWAY)
        } else {
            Reach::Refused(GATEWAY)
        }
    }
}
