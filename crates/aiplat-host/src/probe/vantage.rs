//! From where a container is asked: the host, or the inside of its network namespace.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::{net::TcpStream, sync::oneshot};

/// Where a probe connects from, and to.
#[derive(Debug, Clone)]
pub(crate) enum Vantage {
    /// From the host, to this address.
    Address(IpAddr),
    /// To 127.0.0.1, or else ::1, inside.
    Namespace(Namespace),
}

/// The network namespace of a container: an open `/proc/PID/ns/net`, which stays what it is when the process is gone.
#[derive(Debug, Clone)]
pub(crate) struct Namespace(pub(crate) Arc<OwnedFd>);

impl Vantage {
    pub(crate) async fn connect(&self, port: u16, timeout: Duration) -> io::Result<TcpStream> {
        match self {
            Self::Address(address) => TcpStream::connect(SocketAddr::new(*address, port)).await,
            Self::Namespace(namespace) => namespace.connect(port, timeout).await,
        }
    }

    /// As transcripts have it.
    pub(super) fn address(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip(), port)
    }

    pub(super) fn ip(&self) -> IpAddr {
        match self {
            Self::Address(address) => *address,
            Self::Namespace(_) => Ipv4Addr::LOCALHOST.into(),
        }
    }

    pub(super) fn inside(&self) -> &'static str {
        match self {
            Self::Address(_) => "",
            Self::Namespace(_) => " (inside)",
        }
    }
}

impl Namespace {
    /// A socket belongs for life to the namespace of the thread that makes it. That thread is one of its own, which ends
    /// with the call: no other code ever runs in there.
    pub(crate) async fn connect(&self, port: u16, timeout: Duration) -> io::Result<TcpStream> {
        let loopback = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        self.connect_to_first(loopback.to_vec(), port, timeout).await
    }

    /// As above, to somewhere else than itself.
    pub(crate) async fn connect_to(
        &self,
        address: IpAddr,
        port: u16,
        timeout: Duration,
    ) -> io::Result<TcpStream> {
        self.connect_to_first(vec![address], port, timeout).await
    }

    async fn connect_to_first(
        &self,
        addresses: Vec<IpAddr>,
        port: u16,
        timeout: Duration,
    ) -> io::Result<TcpStream> {
        let (answer, answered) = oneshot::channel();
        let namespace = Arc::clone(&self.0);
        let thread = std::thread::Builder::new().name("netns-probe".to_owned());
        drop(thread.spawn(move || {
            // Nobody waits any more when the probe has timed out.
            drop(answer.send(connect_inside(&namespace, &addresses, port, timeout)));
        })?);
        let stream = answered.await.map_err(|_| io::Error::other("the probe's thread has panicked"))??;
        TcpStream::from_std(stream)
    }
}

fn connect_inside(
    namespace: &OwnedFd,
    addresses: &[IpAddr],
    port: u16,
    timeout: Duration,
) -> io::Result<std::net::TcpStream> {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).map_err(|error| {
        io::Error::other(format!(
            "aiplatd cannot enter the container's network namespace ({}): run it as root with CAP_SYS_ADMIN",
            super::plain(&error.into())
        ))
    })?;
    let connect = |ip: &IpAddr| std::net::TcpStream::connect_timeout(&SocketAddr::new(*ip, port), timeout);
    let mut addresses = addresses.iter();
    let first = addresses.next().map_or_else(|| Err(io::ErrorKind::InvalidInput.into()), connect);
    let stream = first.or_else(|first| {
        // A namespace without IPv6 has no better reason to give than the first one.
        addresses.find_map(|ip| connect(ip).ok()).ok_or(first)
    })?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}
