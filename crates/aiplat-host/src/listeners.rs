//! Who listens on a port of this machine: socket, inode, process, and the unit or container that the process belongs to.
//!
//! Of the network namespace of this process. A port of a container that is published is held here by the engine's proxy,
//! or by nobody at all: what containers publish is known from their listing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

pub use aiplat_core::observed::{Holder, Listener, Owner};
use aiplat_core::{
    observed::{ContainerId, HeldPort},
    spec::Protocol,
};

/// Thousands of processes with thousands of files each are not searched to the end.
const DEADLINE: Duration = Duration::from_secs(2);
/// `TCP_LISTEN`.
const TCP_LISTENS: &str = "0A";
/// A UDP socket that is bound and not connected is in `TCP_CLOSE`.
const UDP_BOUND: &str = "07";

/// The sockets that listen on `port`, by address. `proc` is the process file system: `/proc`.
pub async fn port_holders(proc: PathBuf, protocol: Protocol, port: u16) -> Vec<Listener> {
    let search = move || search(&proc, protocol, port, Instant::now() + DEADLINE);
    tokio::task::spawn_blocking(search).await.unwrap_or_default()
}

/// What holds a published port for the engine: as if nobody did, for whose it is is known from the listing.
const PROXIES: [&str; 2] = ["docker-proxy", "rootlesskit"];

/// The processes that listen on `ports`, as far as they can be seen.
pub async fn on_ports(proc: PathBuf, ports: Vec<(u16, Protocol)>) -> Vec<HeldPort> {
    let search = move || {
        let deadline = Instant::now() + DEADLINE;
        let held = ports.into_iter().flat_map(|(port, protocol)| {
            let listeners = search(&proc, protocol, port, deadline);
            listeners.into_iter().filter_map(move |it| held_port(port, protocol, it))
        });
        held.collect()
    };
    tokio::task::spawn_blocking(search).await.unwrap_or_default()
}

fn held_port(port: u16, protocol: Protocol, listener: Listener) -> Option<HeldPort> {
    let Listener { address, holder } = listener;
    let Holder::Process { pid, name, owner } = holder else { return None };
    if PROXIES.contains(&name.as_str()) {
        return None;
    }
    let (of, container) = match owner {
        Owner::Unit(unit) => (format!(" of {unit}"), None),
        Owner::Container(id) => (String::new(), Some(id)),
        Owner::Nothing => (String::new(), None),
    };
    Some(HeldPort { port, protocol, address, by: format!("process `{name}` (pid {pid}){of}"), container })
}

fn search(proc: &Path, protocol: Protocol, port: u16, deadline: Instant) -> Vec<Listener> {
    let sockets = sockets(proc, protocol, port);
    let wanted: BTreeSet<u64> = sockets.iter().map(|(_, inode)| *inode).collect();
    let holders = if wanted.is_empty() { BTreeMap::new() } else { holders(proc, &wanted, deadline) };
    let holder = |inode: &u64| holders.get(inode).map_or(Holder::Unknown, |pid| process(proc, *pid));
    let listeners =
        sockets.iter().map(|(address, inode)| Listener { address: *address, holder: holder(inode) });
    let mut listeners: Vec<Listener> = listeners.collect();
    listeners.sort_by_key(|listener| listener.address);
    // Several sockets of one process (`SO_REUSEPORT`) are one answer.
    listeners.dedup();
    listeners
}

/// Address and inode of each.
fn sockets(proc: &Path, protocol: Protocol, port: u16) -> Vec<(IpAddr, u64)> {
    let (tables, state) = match protocol {
        Protocol::Tcp => (["tcp", "tcp6"], TCP_LISTENS),
        Protocol::Udp => (["udp", "udp6"], UDP_BOUND),
    };
    let sockets = read_sockets(proc, tables, state).into_iter().filter(|socket| socket.port == port);
    sockets.map(|socket| (socket.address, socket.inode)).collect()
}

fn read_sockets(proc: &Path, tables: [&str; 2], state: &str) -> Vec<Socket> {
    let tables = tables.map(|table| fs::read_to_string(proc.join("net").join(table)).unwrap_or_default());
    let lines = tables.iter().flat_map(|table| table.lines());
    lines.filter_map(|line| socket(line, state)).collect()
}

/// A line of a table of sockets.
#[derive(Debug, PartialEq)]
struct Socket {
    address: IpAddr,
    port: u16,
    inode: u64,
}

/// `sl local_address rem_address st queues tr:when retrnsmt uid timeout inode ...`
fn socket(line: &str, state: &str) -> Option<Socket> {
    let mut words = line.split_whitespace();
    let (address, port) = words.nth(1)?.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let is_it = words.nth(1)? == state;
    let inode = words.nth(5)?.parse().ok().filter(|inode| *inode != 0)?;
    is_it.then_some(Socket { address: ip(address)?, port, inode })
}

/// The kernel prints addresses as numbers of this machine's byte order, four bytes at a time.
fn ip(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(hex.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            Some(Ipv6Addr::from(bytes).to_canonical())
        }
        _ => None,
    }
}

/// The process with the lowest number for each inode, as far as it was found.
fn holders(proc: &Path, wanted: &BTreeSet<u64>, deadline: Instant) -> BTreeMap<u64, u32> {
    let mut found = BTreeMap::new();
    for pid in processes(proc) {
        if found.len() == wanted.len() || Instant::now() >= deadline {
            break;
        }
        for inode in inodes(proc, pid) {
            if wanted.contains(&inode) {
                found.entry(inode).or_insert(pid);
            }
        }
    }
    found
}

/// The numbers of all processes, the lowest first.
pub(crate) fn processes(proc: &Path) -> Vec<u32> {
    let processes = fs::read_dir(proc).into_iter().flatten().flatten();
    let mut pids: Vec<u32> = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    pids
}

/// The sockets of a process; none where its files may not be read, or it is gone.
pub(crate) fn inodes(proc: &Path, pid: u32) -> impl Iterator<Item = u64> {
    let files = fs::read_dir(proc.join(pid.to_string()).join("fd")).into_iter().flatten().flatten();
    files.filter_map(|file| socket_inode(&fs::read_link(file.path()).ok()?))
}

/// Every TCP socket that listens: its port, by inode.
pub(crate) fn listening(proc: &Path) -> BTreeMap<u64, u16> {
    let sockets = read_sockets(proc, ["tcp", "tcp6"], TCP_LISTENS);
    sockets.into_iter().map(|socket| (socket.inode, socket.port)).collect()
}

/// What a process belongs to.
pub(crate) fn owner_of(proc: &Path, pid: u32) -> Owner {
    let init = fs::read_to_string(proc.join("1/cgroup")).unwrap_or_default();
    let cgroup = fs::read(proc.join(pid.to_string()).join("cgroup")).unwrap_or_default();
    owner(&String::from_utf8_lossy(&cgroup), machine(&init))
}

/// `socket:[640]`
fn socket_inode(link: &Path) -> Option<u64> {
    link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

fn process(proc: &Path, pid: u32) -> Holder {
    Holder::Process { pid, name: program_of(proc, pid), owner: owner_of(proc, pid) }
}

/// The name of a process's program; empty where there is none any more.
pub(crate) fn program_of(proc: &Path, pid: u32) -> String {
    let comm = fs::read(proc.join(pid.to_string()).join("comm")).unwrap_or_default();
    crate::lines::printable(&String::from_utf8_lossy(&comm))
}

/// `hierarchy:controllers:path`, one line for version 2 and one for each controller of version 1.
fn paths(cgroup: &str) -> impl Iterator<Item = &str> {
    cgroup.lines().filter_map(|line| line.splitn(3, ':').nth(2))
}

/// Where the control groups of this machine begin, told from that of its first process: a machine may itself be a
/// container, and then its own id is in every path.
fn machine(init: &str) -> &str {
    paths(init).find_map(|path| path.strip_suffix("/init.scope")).unwrap_or_default()
}

fn owner(cgroup: &str, machine: &str) -> Owner {
    let paths = || paths(cgroup).map(|path| path.strip_prefix(machine).unwrap_or(path));
    if let Some(id) = paths().flat_map(|path| path.split('/')).find_map(container) {
        return Owner::Container(id);
    }
    // The first: a unit of a user's own systemd belongs to `user@1000.service`.
    let is_unit = |part: &&str| part.ends_with(".service") || part.ends_with(".scope");
    let unit = paths().flat_map(|path| path.split('/')).find(is_unit);
    unit.map_or(Owner::Nothing, |unit| Owner::Unit(unit.to_owned()))
}

/// `<id>`, `docker-<id>.scope`, `libpod-<id>.scope`, `cri-containerd-<id>.scope`, where the id is 64 hex digits.
fn container(part: &str) -> Option<ContainerId> {
    let part = part.strip_suffix(".scope").unwrap_or(part);
    let id = part.rsplit('-').next().unwrap_or(part);
    let is_id = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| ContainerId(id.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, UdpSocket},
        os::unix::fs::symlink,
    };

    use super::*;

    const HEAD: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
    const ID: &str = "54f7728add2d54f7728add2d54f7728add2d54f7728add2d54f7728add2d5412";

    fn line(local: &str, state: &str, inode: u64) -> String {
        format!(
            "   0: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0 100 0 0 10 0\n"
        )
    }

    /// A process file system of our own, as a machine of little byte order has it.
    struct Proc(tempfile::TempDir);

    impl Proc {
        fn new(tables: &[(&str, String)], processes: &[(u32, u64, &str)]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join("net")).unwrap();
            for (table, lines) in tables {
                fs::write(folder.path().join("net").join(table), format!("{HEAD}{lines}")).unwrap();
            }
            for (pid, inode, cgroup) in processes {
                let process = folder.path().join(pid.to_string());
                fs::create_dir_all(process.join("fd")).unwrap();
                symlink("/dev/null", process.join("fd/0")).unwrap();
                symlink(format!("socket:[{inode}]"), process.join("fd/3")).unwrap();
                fs::write(process.join("comm"), format!("p{pid}\n")).unwrap();
                fs::write(process.join("cgroup"), cgroup).unwrap();
            }
            Self(folder)
        }

        fn search(&self, protocol: Protocol) -> Vec<(String, Holder)> {
            let found = search(self.0.path(), protocol, 11434, Instant::now() + DEADLINE);
            found.into_iter().map(|listener| (listener.address.to_string(), listener.holder)).collect()
        }
    }

    fn holder(pid: u32, owner: Owner) -> Holder {
        Holder::Process { pid, name: format!("p{pid}"), owner }
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn sockets_of_both_families_lead_to_their_units_and_containers() {
        let v4 = line("0100007F:2CAA", "0A", 11) + &line("0100007F:2CAB", "0A", 12);
        let v6 = line("00000000000000000000000000000000:2CAA", "0A", 13)
            + &line("00000000000000000000000001000000:2CAA", "0A", 14)
            + &line("0000000000000000FFFF00000100007F:2CAA", "01", 15);
        let container = format!("12:memory:/docker/{ID}\n1:name=systemd:/docker/{ID}\n");
        let proc = Proc::new(
            &[("tcp", v4), ("tcp6", v6)],
            &[(20, 11, "0::/system.slice/ollama.service\n"), (19, 13, &container), (21, 13, "0::/\n")],
        );
        let expected = [
            ("127.0.0.1", holder(20, Owner::Unit("ollama.service".to_owned()))),
            ("::", holder(19, Owner::Container(ContainerId(ID.to_owned())))),
            ("::1", Holder::Unknown),
        ];
        let expected = expected.map(|(address, holder)| (address.to_owned(), holder));
        assert_eq!(proc.search(Protocol::Tcp), expected);
        assert_eq!(proc.search(Protocol::Udp), []);
    }

    #[test]
    fn a_process_belongs_to_what_its_control_group_says() {
        let unit = |name: &str| Owner::Unit(name.to_owned());
        let container = || Owner::Container(ContainerId(ID.to_owned()));
        for (cgroup, expected) in [
            ("0::/system.slice/ollama.service\n".to_owned(), unit("ollama.service")),
            (
                "3:cpu:/\n1:name=systemd:/system.slice/ollama.service\n0::/\n".to_owned(),
                unit("ollama.service"),
            ),
            ("0::/user.slice/user-0.slice/session-3.scope\n".to_owned(), unit("session-3.scope")),
            (
                "0::/user.slice/user-1.slice/user@1.service/app.slice/x.service\n".to_owned(),
                unit("user@1.service"),
            ),
            (format!("0::/system.slice/docker-{ID}.scope\n"), container()),
            (format!("0::/machine.slice/libpod-{ID}.scope/container\n"), container()),
            (format!("4:pids:/docker/{ID}\n"), container()),
            ("0::/\n".to_owned(), Owner::Nothing),
            (String::new(), Owner::Nothing),
        ] {
            assert_eq!(owner(&cgroup, machine("0::/init.scope\n")), expected, "{cgroup}");
        }
    }

    #[test]
    fn a_machine_that_is_a_container_is_none_to_its_own_processes() {
        let init = format!("2:pids:/docker/{ID}\n1:name=systemd:/docker/{ID}/init.scope\n");
        let inside = |path: &str| {
            owner(&format!("2:pids:/docker/{ID}{path}\n1:name=systemd:/docker/{ID}{path}\n"), machine(&init))
        };
        assert_eq!(inside("/system.slice/ollama.service"), Owner::Unit("ollama.service".to_owned()));
        let inner = ID.replace('5', "6");
        assert_eq!(inside(&format!("/docker/{inner}")), Owner::Container(ContainerId(inner)));
        assert_eq!(inside(""), Owner::Nothing);
    }

    #[test]
    fn lines_that_are_none_are_skipped() {
        for text in
            ["", "  sl  local_address rem_address", "0: zz:2CAA 0:0 0A 0:0 0:0 0 0 0 11", "0: 00:2CAA 0:0 0A"]
        {
            assert_eq!(socket(text, TCP_LISTENS), None, "{text}");
        }
        assert_eq!(socket(&line("00000000:2CAA", "0A", 0), TCP_LISTENS), None, "no inode");
    }

    #[tokio::test]
    async fn our_own_sockets_are_found() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        for (protocol, port) in [
            (Protocol::Tcp, tcp.local_addr().unwrap().port()),
            (Protocol::Udp, udp.local_addr().unwrap().port()),
        ] {
            let found = port_holders(PathBuf::from("/proc"), protocol, port).await;
            let ours = found.iter().find(|listener| listener.address.is_loopback()).expect("ours");
            let Holder::Process { pid, .. } = ours.holder else { panic!("{found:?}") };
            assert_eq!(pid, std::process::id());
        }
    }
}
