//! What the machine itself was last seen to be like: `host/local`. What could not be read is `None`, never zero and never
//! "no"; a look that fails keeps what the one before knew ([`HostFacts::take_in`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// The machine.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HostFacts {
    /// The processors.
    pub cpu: Option<Cpu>,
    /// The memory.
    pub memory: Option<Memory>,
    /// As `uname -r` prints it.
    pub kernel: Option<String>,
    /// As `/etc/os-release` calls itself for people.
    pub distribution: Option<String>,
    /// The hypervisor, or the container, that this is inside of, as systemd names them; `none` on a machine of metal.
    pub virtualisation: Option<String>,
    /// 1 or 2: which version of control groups the machine runs on. 1 also where both are mounted.
    pub cgroups: Option<u8>,
    /// Whether the clock is kept right by somebody.
    pub clock_synchronised: Option<bool>,
    /// What asks for a restart of the machine, as the distribution names it; empty: nothing does.
    pub reboot_required_by: Option<Vec<String>>,
    /// The machine's addresses, without those of loopback and of the engine's own networks, by interface.
    pub addresses: Option<BTreeMap<String, Vec<IpAddr>>>,
    /// Networks that the machine reaches directly or through a tunnel, besides the engine's own, as in `172.20.0.0/16`, and by
    /// which interface.
    pub routes: Option<Vec<Route>>,
    /// Programs that write firewall rules, and whether they do.
    pub firewalls: Option<Vec<Firewall>>,
    /// Packages that get in the way of a Docker Engine, and are installed.
    pub conflicting_packages: Option<Vec<String>>,
    /// File systems that something of the platform lives on, by where they are mounted.
    pub file_systems: BTreeMap<String, FileSystem>,
    /// On which of them a path is that was asked for.
    pub mounted_on: BTreeMap<String, String>,
    /// What there is of NVIDIA's container tools.
    pub nvidia_tools: Option<NvidiaTools>,
    /// The names of the flags that the engine was started with: what one of them sets must not stand in its file too.
    pub engine_flags: Option<BTreeSet<String>>,
}

/// The processors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cpu {
    /// As the kernel names it.
    pub model: String,
    /// Those that run programs, threads of one core counted each.
    pub threads: u32,
    /// Cores.
    pub cores: u32,
}

/// Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// What the kernel has to give: somewhat less than what is built in.
    pub total: u64,
    /// What a new program could get without swapping.
    pub available: u64,
}

/// A network that the machine has a route to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// Its first address.
    pub network: IpAddr,
    /// How many leading bits name it.
    pub prefix: u8,
    /// Through which interface.
    pub interface: String,
}

/// A program that writes firewall rules.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Firewall {
    /// As in `ufw`.
    pub name: String,
    /// Whether it is at work; `None`: it is installed, and cannot be asked.
    pub active: Option<bool>,
}

/// One file system.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FileSystem {
    /// The device, or what the kernel says instead.
    pub source: String,
    /// As in `ext4`.
    pub kind: String,
    /// Bytes and inodes; `None`: it did not answer in time.
    pub room: Option<Room>,
    /// A disk that turns; `None`: not a disk, or not known.
    pub rotational: Option<bool>,
    /// It may not be written.
    pub read_only: bool,
}

/// How much of a file system is free.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Room {
    /// Bytes, all of them.
    pub total: u64,
    /// Bytes that a process without privileges may still write.
    pub free: u64,
    /// Files that it can hold; 0: it makes them as they are needed.
    pub inodes: u64,
    /// Of which are free.
    pub inodes_free: u64,
}

impl Room {
    /// Of bytes or of inodes, whichever is scarcer: what is free, in thousandths of all.
    #[must_use]
    pub fn free_permille(self) -> u64 {
        let of = |free: u64, all: u64| {
            let parts = u128::from(free) * 1_000 / u128::from(all.max(1));
            if all == 0 { 1_000 } else { u64::try_from(parts).unwrap_or(1_000) }
        };
        of(self.free, self.total).min(of(self.inodes_free, self.inodes))
    }

    /// Whether inodes are scarcer than bytes.
    #[must_use]
    pub fn lacks_inodes_first(self) -> bool {
        let of_bytes = Self { inodes: 0, ..self };
        of_bytes.free_permille() > self.free_permille()
    }
}

/// What there is of NVIDIA's container tools.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NvidiaTools {
    /// Where `nvidia-container-runtime` is, or `nvidia-ctk`.
    pub program: Option<String>,
    /// Specifications of the Container Device Interface, by path.
    pub cdi_specs: BTreeMap<String, CdiSpec>,
    /// `/dev/char` has the links that keep a container's devices over a reload of systemd.
    pub dev_char_links: Option<bool>,
}

/// One specification of the Container Device Interface.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CdiSpec {
    /// As in `nvidia.com/gpu`.
    pub kind: String,
    /// The names of its devices, as in `0`, `GPU-8f3a…`, `all`.
    pub devices: Vec<String>,
    /// The driver's version that its library paths name, if they name one.
    pub driver: Option<String>,
    /// Why it cannot be read, if it cannot.
    pub broken: Option<String>,
}

/// What the engine says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineSettings {
    /// Its version.
    pub version: String,
    /// Where it keeps everything.
    pub data_root: String,
    /// `systemd` or `cgroupfs`: with the former a reload of systemd can take a container's GPU.
    pub cgroup_driver: String,
    /// The names of its runtimes, as in `nvidia`.
    pub runtimes: Vec<String>,
    /// Which of them is used where nothing is said.
    pub default_runtime: String,
    /// Where it reads specifications of the Container Device Interface; `None`: it knows none of that.
    pub cdi_dirs: Option<Vec<String>>,
    /// The networks out of which it makes networks: address and prefix.
    pub address_pools: Vec<(String, u8)>,
    /// Containers run on while it restarts.
    pub live_restore: bool,
    /// Its storage driver, as in `overlay2`.
    pub storage_driver: String,
    /// The log driver of containers that name none.
    pub log_driver: String,
    /// It is part of a swarm, in which containers do not outlive its restart.
    pub swarm: bool,
}

impl HostFacts {
    /// Takes in a newer look: what that one could not read stays as it was.
    pub fn take_in(&mut self, newer: Self) {
        fn keep<T>(known: &mut Option<T>, newer: Option<T>) {
            if newer.is_some() {
                *known = newer;
            }
        }
        let Self {
            cpu,
            memory,
            kernel,
            distribution,
            virtualisation,
            cgroups,
            clock_synchronised,
            reboot_required_by,
            addresses,
            routes,
            firewalls,
            conflicting_packages,
            file_systems,
            mounted_on,
            nvidia_tools,
            engine_flags,
        } = newer;
        keep(&mut self.cpu, cpu);
        keep(&mut self.memory, memory);
        keep(&mut self.kernel, kernel);
        keep(&mut self.distribution, distribution);
        keep(&mut self.virtualisation, virtualisation);
        keep(&mut self.cgroups, cgroups);
        keep(&mut self.clock_synchronised, clock_synchronised);
        keep(&mut self.reboot_required_by, reboot_required_by);
        keep(&mut self.addresses, addresses);
        keep(&mut self.routes, routes);
        keep(&mut self.firewalls, firewalls);
        keep(&mut self.conflicting_packages, conflicting_packages);
        keep(&mut self.nvidia_tools, nvidia_tools);
        keep(&mut self.engine_flags, engine_flags);
        // A file system that does not answer is not another one; one that is not in use any more is not kept.
        let before = std::mem::take(&mut self.file_systems);
        self.file_systems = file_systems;
        for (mount, now) in &mut self.file_systems {
            let was = before.get(mount).filter(|was| was.source == now.source);
            now.room = now.room.or_else(|| was.and_then(|was| was.room));
        }
        self.mounted_on = mounted_on;
    }

    /// The file system that `path` is on, if that is known.
    #[must_use]
    pub fn file_system_of(&self, path: &str) -> Option<(&str, &FileSystem)> {
        let mount = self.mounted_on.get(path)?;
        self.file_systems.get_key_value(mount).map(|(mount, of)| (mount.as_str(), of))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_that_failed_keeps_what_the_one_before_knew() {
        let on = |room| FileSystem { source: "/dev/sda1".to_owned(), room, ..FileSystem::default() };
        let room = Room { total: 100, free: 7, ..Room::default() };
        let mut facts = HostFacts {
            cgroups: Some(2),
            kernel: Some("6.1".to_owned()),
            file_systems: BTreeMap::from([("/".to_owned(), on(Some(room))), ("/gone".to_owned(), on(None))]),
            ..HostFacts::default()
        };
        facts.take_in(HostFacts {
            kernel: Some("6.2".to_owned()),
            file_systems: BTreeMap::from([("/".to_owned(), on(None))]),
            ..HostFacts::default()
        });
        assert_eq!((facts.cgroups, facts.kernel.as_deref()), (Some(2), Some("6.2")));
        assert_eq!(facts.file_systems, BTreeMap::from([("/".to_owned(), on(Some(room)))]));
        let other = FileSystem { source: "/dev/sdb1".to_owned(), ..on(None) };
        facts.take_in(HostFacts {
            file_systems: BTreeMap::from([("/".to_owned(), other.clone())]),
            ..HostFacts::default()
        });
        assert_eq!(facts.file_systems["/"], other, "the room of another disk says nothing of this one");
    }

    #[test]
    fn the_scarcer_of_bytes_and_inodes_counts() {
        let room = |free, inodes, inodes_free| Room { total: 1_000, free, inodes, inodes_free };
        assert_eq!(room(500, 0, 0).free_permille(), 500, "btrfs has no number of inodes");
        assert_eq!(room(500, 1_000, 20).free_permille(), 20);
        assert_eq!(room(0, 1_000, 1_000).free_permille(), 0);
        assert_eq!(
            Room { total: u64::MAX, free: u64::MAX, inodes: 0, inodes_free: 0 }.free_permille(),
            1_000
        );
    }
}
