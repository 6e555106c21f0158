//! Whether a container reaches the host: a connection from inside its network namespace.

use std::{fs, io, io::Read, net::IpAddr, path::Path, time::Duration};

use aiplat_core::observed::{ContainerId, Reach};

use super::DockerBackend;
use crate::probe;

/// A container's hosts file is its own to write: more of it is not read.
const MAX_HOSTS: u64 = 64 << 10;

impl DockerBackend {
    pub(super) async fn reach_out(
        &self,
        container: &ContainerId,
        host: &str,
        port: u16,
        timeout: Duration,
    ) -> Reach {
        match self.way_out(container, host).await {
            Err(why) => Reach::Untried(why),
            Ok((namespace, address)) => {
                of(address, namespace.connect_to(address, port, timeout).await.map(drop))
            }
        }
    }

    /// Where it is, and where `host` is from there.
    async fn way_out(
        &self,
        container: &ContainerId,
        host: &str,
    ) -> Result<(probe::Namespace, IpAddr), String> {
        let inspect = self.inspect_container(container).await.map_err(|error| error.to_string())?;
        let hosts = read(Path::new(&inspect.hosts_path));
        let hosts = hosts.map_err(|error| format!("the container's hosts file cannot be read: {error}"))?;
        let address = address(&hosts, host).ok_or_else(|| format!("the container knows no `{host}`"))?;
        Ok((self.namespace_of(container).await?, address))
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = Vec::new();
    fs::File::open(path)?.take(MAX_HOSTS).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// `172.17.0.1<tab>host.docker.internal`
fn address(hosts: &str, name: &str) -> Option<IpAddr> {
    hosts.lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address = words.next()?;
        words.any(|word| word == name).then(|| address.parse().ok())?
    })
}

fn of(address: IpAddr, connected: io::Result<()>) -> Reach {
    let Err(error) = connected else { return Reach::Connected(address) };
    let is = |kinds: &[io::ErrorKind]| kinds.contains(&error.kind());
    if is(&[io::ErrorKind::ConnectionRefused, io::ErrorKind::ConnectionReset]) {
        Reach::Refused(address)
    } else if is(&[io::ErrorKind::TimedOut, io::ErrorKind::WouldBlock]) {
        Reach::NoAnswer(address)
    } else if is(&[io::ErrorKind::NetworkUnreachable]) {
        Reach::NoRoute(address)
    } else if is(&[io::ErrorKind::HostUnreachable, io::ErrorKind::PermissionDenied]) {
        // What a firewall that refuses says, or a host that nobody has found.
        Reach::Refused(address)
    } else {
        Reach::Untried(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_where_the_containers_hosts_file_has_it() {
        let hosts = "127.0.0.1\tlocalhost\n172.17.0.1\tollama # not host.docker.internal\n\
                     172.18.0.1\ta host.docker.internal\n172.18.0.5\tweb\n";
        assert_eq!(address(hosts, "host.docker.internal"), Some(IpAddr::from([172, 18, 0, 1])));
        assert_eq!(address(hosts, "nobody"), None);
        assert_eq!(address("host-gateway host.docker.internal\n", "host.docker.internal"), None);
    }

    #[test]
    fn each_way_in_which_a_connection_fails_is_told_apart() {
        let at = IpAddr::from([172, 17, 0, 1]);
        let failed = |kind: io::ErrorKind| of(at, Err(kind.into()));
        assert_eq!(of(at, Ok(())), Reach::Connected(at));
        assert_eq!(failed(io::ErrorKind::ConnectionRefused), Reach::Refused(at));
        assert_eq!(failed(io::ErrorKind::HostUnreachable), Reach::Refused(at));
        assert_eq!(failed(io::ErrorKind::TimedOut), Reach::NoAnswer(at));
        assert_eq!(failed(io::ErrorKind::NetworkUnreachable), Reach::NoRoute(at));
        assert!(matches!(failed(io::ErrorKind::Other), Reach::Untried(_)), "no fault of the unit");
    }
}
