//! Who holds a host port.

use std::{fs, path::Path};

use aiplat_core::{
    observed::{ComposeOrigin, ObservedContainer},
    spec::Protocol,
};

/// A process that listens on a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) name: String,
    pub(super) pid: u32,
}

/// The port that a start error is about: `Bind for 0.0.0.0:8080 failed`, `listen tcp4 [::]:8080: bind`,
/// `failed to bind host port 0.0.0.0:8080/tcp`, `failed to bind host port for 0.0.0.0:8080:172.17.0.3:80/tcp`.
pub(super) fn port_in(message: &str) -> Option<(u16, Protocol)> {
    let protocol = if message.contains("listen udp") || message.contains("/udp") {
        Protocol::Udp
    } else {
        Protocol::Tcp
    };
    // The first of them that stands there: further ports of the sentence are the container's own.
    let after = [
        "Bind for ",
        "listen tcp4 ",
        "listen tcp6 ",
        "listen tcp ",
        "listen udp4 ",
        "listen udp6 ",
        "listen udp ",
        "host port for ",
        "host port ",
        "bind port ",
    ]
    .iter()
    .find_map(|words| message.split_once(words).map(|(_, after)| after))?;
    let after_address = match after.strip_prefix('[') {
        Some(v6) => v6.split_once("]:")?.1,
        // Older engines write `:::8080`.
        None => after.trim_start_matches(|c: char| c != ':').trim_start_matches(':'),
    };
    let digits: String = after_address.chars().take_while(char::is_ascii_digit).collect();
    Some((digits.parse().ok()?, protocol))
}

/// The container among `containers` that publishes the port, not `except` itself.
pub(super) fn container_on<'a>(
    containers: &'a [ObservedContainer],
    port: u16,
    protocol: Protocol,
    except: &str,
) -> Option<&'a ObservedContainer> {
    let publishes = |container: &&ObservedContainer| {
        container.id.0 != except
            && container.ports.iter().any(|held| held.host_port == port && held.protocol == protocol)
    };
    containers.iter().find(publishes)
}

/// "container `x` of the Compose project `y` in /srv/y".
pub(super) fn describe(name: &str, compose: Option<&ComposeOrigin>) -> String {
    match compose {
        None => format!("container `{name}`"),
        Some(ComposeOrigin { project, folder: None }) => {
            format!("container `{name}` of the Compose project `{project}`")
        }
        Some(ComposeOrigin { project, folder: Some(folder) }) => {
            format!("container `{name}` of the Compose project `{project}` in {folder}")
        }
    }
}

/// The process that holds the port, as far as /proc lets us see.
pub(super) fn process_on(port: u16, protocol: Protocol) -> Option<Process> {
    let tables: [&str; 2] = match protocol {
        Protocol::Tcp => ["/proc/net/tcp", "/proc/net/tcp6"],
        Protocol::Udp => ["/proc/net/udp", "/proc/net/udp6"],
    };
    let inode = tables.iter().find_map(|table| inode_in(&fs::read_to_string(table).ok()?, port, protocol))?;
    let link = format!("socket:[{inode}]");
    let pids =
        fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let pid: u32 = pids.into_iter().find(|pid| has_open(*pid, &link))?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(Process { name: name.trim().to_owned(), pid })
}

/// The inode of the socket that listens on `port`, from a table of /proc/net.
fn inode_in(table: &str, port: u16, protocol: Protocol) -> Option<u64> {
    // A TCP socket that listens is in state 0A, a UDP socket that is only bound in 07.
    let state = match protocol {
        Protocol::Tcp => "0A",
        Protocol::Udp => "07",
    };
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (_, local_port) = fields.get(1)?.rsplit_once(':')?;
        let matches = u16::from_str_radix(local_port, 16).ok()? == port && *fields.get(3)? == state;
        if matches { fields.get(9)?.parse().ok().filter(|inode| *inode != 0) } else { None }
    })
}

fn has_open(pid: u32, link: &str) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|target| target == Path::new(link)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_found_in_every_wording() {
        let tcp = |message: &str| assert_eq!(port_in(message), Some((18081, Protocol::Tcp)), "{message}");
        tcp(
            "driver failed programming external connectivity on endpoint p2 (31a3): Bind for 0.0.0.0:18081 failed: port is already allocated",
        );
        tcp(
            "driver failed programming external connectivity on endpoint p3 (6b1f): Error starting userland proxy: listen tcp4 0.0.0.0:18081: bind: address already in use",
        );
        tcp("Error starting userland proxy: listen tcp6 [::]:18081: bind: address already in use");
        tcp("Bind for :::18081 failed: port is already allocated");
        tcp("failed to bind host port 0.0.0.0:18081/tcp: address already in use");
        tcp("failed to bind host port for 0.0.0.0:18081:172.17.0.3:80/tcp: address already in use");
        assert_eq!(
            port_in("listen udp4 0.0.0.0:53: bind: address already in use"),
            Some((53, Protocol::Udp))
        );
        assert_eq!(port_in("something else: 80"), None);
    }

    #[test]
    fn a_listening_socket_is_told_from_a_connected_one() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 111 1\n\
             1: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 222 1\n";
        assert_eq!(inode_in(table, 8080, Protocol::Tcp), Some(222));
        assert_eq!(inode_in(table, 8081, Protocol::Tcp), None);
    }

    #[test]
    fn our_own_listener_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        assert_eq!(process_on(port, Protocol::Tcp).map(|process| process.pid), Some(std::process::id()));
    }
}
