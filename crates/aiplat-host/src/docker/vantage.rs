//! Where a container is asked from: at its address, or inside its network namespace where it has none.

use std::{
    collections::BTreeMap,
    fs, io,
    net::IpAddr,
    os::fd::OwnedFd,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use aiplat_core::{observed::ContainerId, spec::ProbeKind};

use super::DockerBackend;
use crate::probe::{self, Ask, Failed, Namespace, Vantage};

/// A container that refuses connections is looked into from inside this often, and not at once: most are just starting.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// A connection inside needs no longer.
const LOOK_TIMEOUT: Duration = Duration::from_millis(500);
/// Containers that are long gone are forgotten beyond this.
const MAX_REMEMBERED: usize = 1024;

/// What is known of containers that refuse connections at their address.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<BTreeMap<(ContainerId, u16), Refusal>>);

#[derive(Debug, Clone, Copy)]
struct Refusal {
    looked: Instant,
    only_inside: bool,
}

impl DockerBackend {
    pub(super) async fn ask(
        &self,
        container: &ContainerId,
        address: Option<IpAddr>,
        kind: &ProbeKind,
        timeout: Duration,
    ) -> Result<String, String> {
        if let ProbeKind::Exec { argv } = kind {
            return self.exec(container, argv, timeout).await;
        }
        let Some(what) = Ask::of(kind) else { return Err(format!("{kind}: nothing to ask")) };
        let port = what.port();
        let vantage = match address {
            Some(address) => Vantage::Address(address),
            None => match self.namespace_of(container).await {
                Ok(namespace) => Vantage::Namespace(namespace),
                Err(why) => return Err(format!("{kind}: {why}")),
            },
        };
        let result = probe::ask(&vantage, &what, timeout).await;
        let Failed { transcript, is_refused } = match result {
            Ok(said) => return Ok(said),
            Err(failed) => failed,
        };
        if is_refused && address.is_some() && self.listens_only_inside(container, port).await {
            return Err(format!(
                "{transcript}; it listens only on 127.0.0.1 inside, where no other container reaches it: let it listen on \
                 0.0.0.0, or, if nobody else is to reach it, write `via: namespace` for the probe"
            ));
        }
        Err(transcript)
    }

    /// Its network namespace, held open.
    pub(crate) async fn namespace_of(&self, container: &ContainerId) -> Result<Namespace, String> {
        let inspect = self.inspect_container(container).await.map_err(|error| error.to_string())?;
        let pid = inspect.state.pid;
        if pid <= 0 {
            return Err("the container does not run".to_owned());
        }
        let file = fs::File::open(format!("/proc/{pid}/ns/net")).map_err(|error| unopened(pid, &error))?;
        // The descriptor is taken before the check, so that no other process that got the same number can be meant.
        let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        if !cgroup.contains(&container.0) {
            return Err(format!("process {pid} is not the container's"));
        }
        Ok(Namespace(Arc::new(OwnedFd::from(file))))
    }

    /// Whether `port` is open on 127.0.0.1 inside; asked now and then, for the answer costs a thread.
    async fn listens_only_inside(&self, container: &ContainerId, port: u16) -> bool {
        let key = (container.clone(), port);
        if let Some(known) = self.refusals.known(&key) {
            return known;
        }
        let only_inside = match self.namespace_of(container).await {
            Ok(namespace) => namespace.connect(port, LOOK_TIMEOUT).await.is_ok(),
            Err(_) => false,
        };
        self.refusals.learn(key, only_inside);
        only_inside
    }
}

fn unopened(pid: i64, error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::PermissionDenied {
        "the container has no address to reach it at, and aiplatd may not enter its network namespace: run it as root"
            .to_owned()
    } else if error.kind() == io::ErrorKind::NotFound {
        format!("its process {pid} is not visible here: aiplatd has to run on the host, not in a container")
    } else {
        format!("its network namespace cannot be opened: {error}")
    }
}

impl Refusals {
    /// `None`: it is time to look.
    fn known(&self, key: &(ContainerId, u16)) -> Option<bool> {
        let mut known = super::lock(&self.0);
        if known.len() > MAX_REMEMBERED {
            known.clear();
        }
        let fresh = Refusal { looked: Instant::now(), only_inside: false };
        let refusal = known.entry(key.clone()).or_insert(fresh);
        (refusal.looked.elapsed() < LOOK_AGAIN).then_some(refusal.only_inside)
    }

    fn learn(&self, key: (ContainerId, u16), only_inside: bool) {
        super::lock(&self.0).insert(key, Refusal { looked: Instant::now(), only_inside });
    }
}
