//! Options of a service that exclude each other, and namespaces of other services.

use super::Scene;
use crate::{
    load::{
        diagnostic::{Problem, Sink},
        draft::ServiceDraft,
        tree::Place,
    },
    spec::{Namespace, Options},
};

pub(super) fn check(scene: &Scene<'_>, sink: &mut Sink) {
    for (name, service) in &scene.draft.services {
        let mut conflicts = Conflicts { name, service, sink };
        conflicts.network_mode();
        conflicts.cpus();
        conflicts.names();
        conflicts.ipc(scene);
        conflicts.tmpfs();
    }
}

struct Conflicts<'a> {
    name: &'a str,
    service: &'a ServiceDraft,
    sink: &'a mut Sink,
}

impl Conflicts<'_> {
    fn options(&self) -> &Options {
        &self.service.options
    }

    /// `key` is written, and cannot be.
    fn add(&mut self, key: &'static str, with: &'static str, message: String, help: &str) {
        let place = |key: &str| self.service.places.get(key).copied();
        let problem = Problem::error("key-conflict", place(key).unwrap_or(self.service.place), message);
        let problem = match place(with) {
            Some(with) => problem.also(with, "because of this"),
            None => problem,
        };
        self.sink.add(problem.help(help));
    }

    fn written(&self, key: &str) -> Option<Place> {
        self.service.places.get(key).copied()
    }

    fn network_mode(&mut self) {
        let mode = self.options().identity.network_mode.clone();
        if mode == Namespace::Unsaid {
            return;
        }
        let name = self.name;
        if self.written("networks").is_some() {
            let message = format!("`{name}` has `network_mode: {mode}`, and so it is on no `networks`");
            self.add("networks", "network_mode", message, "remove one of the two");
        }
        if self.written("mac_address").is_some() && mode != Namespace::Bridge {
            let message = format!("`{name}` has no network of its own to have a `mac_address` on");
            self.add("mac_address", "network_mode", message, "remove it");
        }
        let (why, ports_help) = match &mode {
            Namespace::None => ("it has no network", "remove the ports, or the `network_mode`".to_owned()),
            Namespace::Host => (
                "it listens on the host itself",
                "remove the ports: every port that it listens on is one of the host".to_owned(),
            ),
            Namespace::Service(id) => (
                "the network is that of another service",
                format!("publish the ports of `{}` instead", id.key()),
            ),
            Namespace::Container(_) => {
                ("the network is that of another container", "publish them there".to_owned())
            }
            Namespace::Bridge | Namespace::Unsaid | Namespace::Private | Namespace::Shareable => return,
        };
        if !self.service.ports.is_empty() {
            let message = format!("`{name}` cannot publish `ports` with `network_mode: {mode}`: {why}");
            self.add("ports", "network_mode", message, &ports_help);
        }
        if matches!(mode, Namespace::Service(_) | Namespace::Container(_)) {
            for key in ["hostname", "domainname", "dns", "dns_search", "dns_opt", "extra_hosts", "expose"] {
                if self.written(key).is_some() {
                    let message = format!("`{name}` cannot have `{key}` with `network_mode: {mode}`: {why}");
                    self.add(key, "network_mode", message, "remove it, or write it there");
                }
            }
        }
    }

    fn cpus(&mut self) {
        let hardware = &self.options().hardware;
        let quota = [("cpu_quota", hardware.cpu_quota), ("cpu_period", hardware.cpu_period)];
        if self.service.limits.nano_cpus == 0 {
            return;
        }
        for (key, _) in quota.into_iter().filter(|(_, value)| value.is_some()) {
            let message = format!("`{key}` and `cpus` are two ways to say the same thing");
            let with = if self.written("cpus").is_some() { "cpus" } else { "deploy" };
            self.add(key, with, message, "keep `cpus`: two CPUs are a quota of twice the period");
        }
    }

    /// The host's name is the host's.
    fn names(&mut self) {
        if self.options().confinement.uts != Namespace::Host {
            return;
        }
        for key in ["hostname", "domainname"] {
            if self.written(key).is_some() {
                let message = format!("`{}` has the host's name, and no `{key}` of its own", self.name);
                self.add(key, "uts", message, "remove one of the two");
            }
        }
    }

    /// Shared memory is joined only where it is offered.
    fn ipc(&mut self, scene: &Scene<'_>) {
        let Some(id) = self.options().confinement.ipc.service().cloned() else { return };
        let Some(other) = scene.draft.services.get(id.key()) else { return };
        if !matches!(other.options.confinement.ipc, Namespace::Shareable | Namespace::Host) {
            let message =
                format!("`{}` joins the shared memory of `{}`, which does not share it", self.name, id.key());
            self.add("ipc", "ipc", message, &format!("write `ipc: shareable` for `{}`", id.key()));
        }
    }

    fn tmpfs(&mut self) {
        let (name, service) = (self.name, self.service);
        for mount in &service.mounts {
            if service.options.process.tmpfs.contains_key(&mount.target) {
                let place = self.written("tmpfs").unwrap_or(service.place);
                let message = format!("`{name}` mounts two things at {}", mount.target);
                let problem = Problem::error("target-taken", place, message);
                self.sink.add(problem.also(mount.place, "the first").help("give one of them another target"));
            }
        }
    }
}
