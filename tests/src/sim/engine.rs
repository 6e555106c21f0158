//! A model of the Docker Engine, as `facts/docker-systemd-nvidia.md` found it. Pure: time and randomness are arguments.
//!
//! What the table says is modelled, traps included: a name index, ports that conflict only at the start, networks
//! that can be removed under stopped containers, labels of volumes that stick, volumes that appear because a
//! container names them.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use aiplat_core::{
    Timestamp,
    action::label,
    observed::{EngineSettings, HeldPort, ObservedFile, PublishedPort},
    spec::{PortBinding, Protocol},
};

pub use super::objects::{
    Connection, Container, Event, Image, Mounted, Network, NewContainer, State, Subject, Volume, Written,
};
use super::{app::App, rng, sight::Blind};

/// An engine's refusal: a status and its sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// The engine's words.
    pub message: String,
}

/// The answer to a call that changes something.
pub type Answer<T> = Result<T, Refusal>;

pub(crate) fn refuse<T>(status: u16, message: impl Into<String>) -> Answer<T> {
    Err(Refusal { status, message: message.into() })
}

/// The whole engine.
#[derive(Debug, Clone, Default)]
pub struct Engine {
    /// Its clock.
    pub now: Timestamp,
    /// How it says that it is set up.
    pub settings: Option<EngineSettings>,
    /// Who does not reach the GPUs that it was given.
    pub blind: Blind,
    /// What lets it hand out GPUs is there, and does not work.
    pub refuses_gpus: bool,
    /// Since when what ends with a GPU does not come back: driver and library disagree.
    pub gpus_frozen: Option<Timestamp>,
    /// By id.
    pub containers: BTreeMap<String, Container>,
    /// By id.
    pub networks: BTreeMap<String, Network>,
    /// By name.
    pub volumes: BTreeMap<String, Volume>,
    /// On this machine, by reference.
    pub images: BTreeMap<String, Image>,
    /// In the registry, by reference.
    pub registry: BTreeMap<String, Image>,
    /// How programs behave: by service (the key of our resource label), else by container name, else by image.
    pub apps: BTreeMap<String, App>,
    /// Files and folders of the host.
    pub paths: BTreeSet<String>,
    /// What is in the files of the host that matter, by path.
    pub files: BTreeMap<String, ObservedFile>,
    /// Those of them that somebody else has put there, and not in the place of one of ours.
    pub foreign_files: BTreeSet<String>,
    /// How often each of them has been written since.
    pub writes: BTreeMap<String, u32>,
    /// Host ports that processes outside of containers hold.
    pub processes: Vec<PublishedPort>,
    /// What has happened and nobody has been told yet.
    pub events: VecDeque<Event>,
    /// Starts so far, by name of the program (see `apps`).
    pub runs: BTreeMap<String, u32>,
    /// Programs that do not answer for now, whatever else holds.
    pub muted: BTreeSet<String>,
    /// Ids are made from this.
    pub ids_given: u64,
}

/// 1 January 2026: the wall time of boot.
const BOOT_SECS: i64 = 1_767_225_600;

impl Engine {
    /// An id that is unlike the ones before it, and not in their order.
    pub(crate) fn new_id(&mut self) -> String {
        self.ids_given += 1;
        let word =
            |n: u64| format!("{:016x}", rng::mix(self.ids_given.wrapping_mul(31).wrapping_add(n) ^ 0x5eed));
        (0..4).map(word).collect()
    }

    /// The key under which `apps` describes the program of `container`.
    pub(crate) fn program(&self, container: &Container) -> String {
        let service = container.labels.get(aiplat_core::action::label::RESOURCE);
        let service = service.and_then(|resource| resource.split_once('/')).map(|(_, key)| key.to_owned());
        let known = |key: &String| self.apps.contains_key(key);
        service.clone().filter(known).or_else(|| Some(container.name.clone()).filter(known)).unwrap_or_else(
            || {
                if self.apps.contains_key(&container.image) {
                    container.image.clone()
                } else {
                    service.unwrap_or_default()
                }
            },
        )
    }

    pub(crate) fn app(&self, container: &Container) -> App {
        let program = self.program(container);
        let of_image = self.apps.get(&program_of(&program, container.image_id.trim_start_matches("sha256:")));
        of_image.or_else(|| self.apps.get(&program)).cloned().unwrap_or_default()
    }

    /// The programs of the image `was` are in the image `is`, too.
    pub(crate) fn rebuild(&mut self, was: &str, is: &str) {
        let (was, is) = (was.trim_start_matches("sha256:"), is.trim_start_matches("sha256:"));
        let services = self.apps.keys().filter_map(|name| name.strip_suffix(&format!(" in {was}")));
        let programs = services.map(|service| (program_of(service, is), program_of(service, was)));
        for (new, old) in programs.collect::<Vec<_>>() {
            let app = self.apps.get(&old).cloned().unwrap_or_default();
            self.apps.entry(new).or_insert(app);
        }
    }

    /// The program of a service in an image, also in what somebody has pushed under its tag since: one of another image goes
    /// on as it did.
    pub fn install(&mut self, service: &str, image: &str, app: &App) {
        let meant = [&self.registry, &self.images].map(|images| images.get(image).map(|it| it.id(image)));
        for id in meant.into_iter().flatten() {
            self.apps.insert(program_of(service, id.trim_start_matches("sha256:")), app.clone());
        }
        self.apps.insert(program_of(service, image), app.clone());
        self.apps.insert(service.to_owned(), app.clone());
    }

    /// The same in every image that the tag `reference` has meant: a container may be of any of them.
    pub fn install_in_all(&mut self, service: &str, reference: &str, app: &App) {
        let last = self.registry.get(reference).map_or(0, |image| image.content);
        for content in 0..=last {
            let id = Image { content, ..Image::default() }.id(reference);
            self.install(service, id.trim_start_matches("sha256:"), app);
        }
    }

    /// Whether the program in `container` answers probes now.
    #[must_use]
    pub fn answers(&self, container: &Container) -> bool {
        let upstream = self.app(container).upstream;
        let answers = |name: &String| {
            let mut others = self.containers.values().filter(|other| self.program(other) == *name);
            others.any(|other| self.is_up(other, Duration::ZERO))
        };
        self.is_up(container, Duration::ZERO) && upstream.as_ref().is_none_or(answers)
    }

    /// Whether the program in `container` answers, or has ceased to by itself no longer than `ago`, whatever the service does
    /// that it relies on: what an aiplatd that has missed nothing may still take for well.
    #[must_use]
    pub fn is_up(&self, container: &Container, ago: Duration) -> bool {
        let (app, program) = (self.app(container), self.program(container));
        let Some(ran) = container.started.map(|at| self.now.since(at)) else { return false };
        let run = self.runs.get(&program).copied().unwrap_or_default();
        let hangs = app.hangs.is_some_and(|hang| run <= hang.times && ran >= hang.after + ago);
        container.state == State::Running && ran >= app.boot && !hangs && !self.muted.contains(&program)
    }

    /// The container of that id, or of that name.
    #[must_use]
    pub fn find(&self, id_or_name: &str) -> Option<&Container> {
        let by_name = || self.containers.values().find(|container| container.name == id_or_name);
        self.containers.get(id_or_name).or_else(by_name)
    }

    pub(crate) fn find_mut(&mut self, id_or_name: &str) -> Answer<&mut Container> {
        match self.find(id_or_name).map(|container| container.id.clone()) {
            Some(id) => Ok(self.containers.get_mut(&id).expect("found above")),
            None => refuse(404, format!("No such container: {id_or_name}")),
        }
    }

    /// The network of that id, or of that name if there is one only: the engine calls the others ambiguous.
    #[must_use]
    pub fn find_network(&self, id_or_name: &str) -> Option<&Network> {
        let by_name = || {
            let mut named = self.networks.values().filter(|network| network.name == id_or_name);
            named.next().filter(|_| named.next().is_none())
        };
        self.networks.get(id_or_name).or_else(by_name)
    }

    /// A container, running or not, that names `network`.
    #[must_use]
    pub fn user_of(&self, network: &Network) -> Option<&Container> {
        self.containers.values().find(|container| {
            container.networks.iter().any(|(name, connection)| {
                let by_name = connection.network_id.is_empty() && *name == network.name;
                connection.network_id == network.id || (by_name && self.find_network(name).is_some())
            })
        })
    }

    pub(crate) fn tell(&mut self, action: &'static str, labels: BTreeMap<String, String>) {
        self.events.push_back(Event { action, of: Subject::Labelled(labels) });
    }

    pub(crate) fn tell_of_image(&mut self, action: &'static str, reference: &str) {
        self.events.push_back(Event { action, of: Subject::Image(reference.to_owned()) });
    }

    /// Makes a container. A network that does not exist is only missed at the start; a volume appears.
    pub fn create_container(&mut self, new: NewContainer) -> Answer<String> {
        let NewContainer {
            name,
            image,
            labels,
            network,
            mounts,
            bindings,
            limits,
            joins,
            restart_always,
            health_off,
        } = new;
        if let Some(holder) = self.containers.values().find(|container| container.name == name) {
            let holder = &holder.id;
            return refuse(
                409,
                format!(
                    "Conflict. The container name \"/{name}\" is already in use by container \"{holder}\"."
                ),
            );
        }
        let Some(found) = self.images.get(&image).cloned() else {
            return refuse(404, format!("No such image: {image}"));
        };
        if let Some(path) =
            mounts.iter().filter_map(|mount| mount.bind.as_ref()).find(|path| !self.is_there(path))
        {
            return refuse(
                400,
                format!("invalid mount config for type \"bind\": bind source path does not exist: {path}"),
            );
        }
        let mut mounts = mounts;
        for target in &found.volumes {
            if !mounts.iter().any(|mount| mount.target == *target) {
                mounts.push(Mounted { volume: None, bind: None, target: target.clone(), writable: true });
            }
        }
        for mount in mounts.iter_mut().filter(|mount| mount.bind.is_none()) {
            let volume = mount.volume.get_or_insert_with(String::new);
            if volume.is_empty() {
                *volume = self.new_id();
            }
            // The engine makes a volume that a container names, and writes none of our labels on it.
            let made =
                Volume { name: volume.clone(), labels: BTreeMap::new(), driver: "local".to_owned(), size: 0 };
            self.volumes.entry(volume.clone()).or_insert(made);
        }
        let id = self.new_id();
        let secs = i64::try_from(self.now.since_boot().as_secs()).unwrap_or(0);
        let networks = network.map(|(name, aliases)| (name, Connection { aliases, ..Connection::default() }));
        let container = Container {
            id: id.clone(),
            name,
            image_id: found.id(&image),
            image,
            labels: labels.clone(),
            created: BOOT_SECS + secs,
            serial: self.ids_given,
            state: State::Created,
            started: None,
            finished: None,
            exit_code: 0,
            error: String::new(),
            oom_killed: false,
            networks: networks.into_iter().collect(),
            mounts,
            read: BTreeMap::new(),
            bindings,
            ports: Vec::new(),
            limits,
            joins,
            ends: None,
            restart_always,
            engine_health: found.healthcheck && !health_off,
            log: Vec::new(),
        };
        self.containers.insert(id.clone(), container);
        self.tell("create", labels);
        Ok(id)
    }

    /// Whom it joins must be there, and run.
    fn join(&self, container: &Container) -> Answer<()> {
        for id in &container.joins {
            match self.containers.get(&id.0).map(|other| other.state) {
                Some(State::Running | State::Paused) => {}
                Some(State::Created | State::Exited | State::Dead) => {
                    return refuse(409, format!("cannot join network of a non running container: {id}"));
                }
                None => return refuse(404, format!("No such container: {id}")),
            }
        }
        Ok(())
    }

    /// Starts it. 304 (it runs already) is `Ok`.
    pub fn start(&mut self, id: &str) -> Answer<()> {
        let container = self.find_mut(id)?.clone();
        match container.state {
            State::Running => return Ok(()),
            State::Paused => return refuse(409, "cannot start a paused container, try unpause instead"),
            State::Dead => return refuse(409, "container is marked for removal and cannot be started"),
            State::Created | State::Exited => {}
        }
        let program = self.program(&container);
        let app = self.app(&container);
        let started = self.join(&container).and_then(|()| self.publish(&container));
        let started = started.and_then(|ports| Ok((ports, self.attach(&container)?)));
        let started = started.and_then(|it| self.mounted(&container).map(|()| it));
        let read = self.contents(&container);
        let has_gpu = container.labels.get(label::GPUS).is_some_and(|gpus| gpus != "none");
        let started = if self.refuses_gpus && has_gpu && started.is_ok() {
            refuse(500, "could not select device driver \"nvidia\" with capabilities: [[gpu]]")
        } else if app.missing_executable && started.is_ok() {
            refuse(
                400,
                "failed to create task for container: exec: \"/nope\": stat /nope: no such file or directory",
            )
        } else {
            started
        };
        let now = self.now;
        match started {
            Err(refusal) => {
                let container = self.find_mut(id)?;
                container.error.clone_from(&refusal.message);
                container.exit_code = if refusal.status == 400 { 127 } else { 128 };
                Err(refusal)
            }
            Ok((ports, networks)) => {
                let runs = self.runs.entry(program).or_default();
                *runs += 1;
                let run = *runs;
                let ends = app.ends.filter(|ending| run <= ending.times);
                let container = self.find_mut(id)?;
                container.state = State::Running;
                container.started = Some(now);
                container.finished = None;
                container.exit_code = 0;
                container.error.clear();
                container.log.push(Written { at: now, stderr: false, text: "started".to_owned() });
                container.oom_killed = false;
                container.ports = ports;
                container.read = read;
                container.networks = networks;
                container.ends = ends.map(|ending| (now + ending.after, ending.exit_code, ending.oom));
                let labels = container.labels.clone();
                self.tell("start", labels);
                Ok(())
            }
        }
    }

    fn publish(&self, container: &Container) -> Answer<Vec<PublishedPort>> {
        let mut ports = Vec::new();
        for binding in &container.bindings {
            let in_use: Vec<PublishedPort> =
                self.ports_in_use().cloned().chain(ports.iter().cloned()).collect();
            let taken = |port: u16| {
                in_use.iter().any(|held| {
                    held.host_port == port
                        && held.protocol == binding.protocol
                        && same_address(held.host_ip, binding.host_ip)
                })
            };
            let host_port = match binding.host_port {
                Some(port) if taken(port) => {
                    let ip = binding.host_ip;
                    return refuse(500, format!("Bind for {ip}:{port} failed: port is already allocated"));
                }
                Some(port) => port,
                None => (32_768..u16::MAX).find(|port| !taken(*port)).unwrap_or(0),
            };
            let PortBinding { host_ip, host_port: _, container_port, protocol } = *binding;
            ports.push(PublishedPort { host_ip, host_port, container_port, protocol });
        }
        Ok(ports)
    }

    fn ports_in_use(&self) -> impl Iterator<Item = &PublishedPort> {
        self.containers.values().flat_map(|container| &container.ports).chain(&self.processes)
    }

    /// A stopped container keeps the id of its network: one that was made anew under the same name is not found.
    fn attach(&self, container: &Container) -> Answer<BTreeMap<String, Connection>> {
        let mut networks = container.networks.clone();
        for (name, connection) in &mut networks {
            let wanted = if connection.network_id.is_empty() { name } else { &connection.network_id };
            let Some(network) = self.find_network(wanted) else {
                return refuse(404, format!("network {wanted} not found"));
            };
            connection.network_id.clone_from(&network.id);
            connection.ip = Some(address(network, container.serial));
        }
        Ok(networks)
    }
}

impl Engine {
    /// What a look at the machine's sockets shows of `ports`.
    #[must_use]
    pub fn held_by_processes(&self, ports: &[(u16, Protocol)]) -> Vec<HeldPort> {
        let asked = self.processes.iter().filter(|it| ports.contains(&(it.host_port, it.protocol)));
        let held = asked.map(|it| HeldPort {
            port: it.host_port,
            protocol: it.protocol,
            address: it.host_ip,
            by: "process `python3` (pid 7)".to_owned(),
            container: None,
        });
        held.collect()
    }
}

pub(crate) fn same_address(a: IpAddr, b: IpAddr) -> bool {
    a.is_ipv4() == b.is_ipv4() && (a == b || a.is_unspecified() || b.is_unspecified())
}

pub(crate) fn address(network: &Network, serial: u64) -> IpAddr {
    let subnet = network.id.bytes().map(u64::from).sum::<u64>() % 200;
    let host = serial % 60_000 + 2;
    let byte = |n: u64| u8::try_from(n % 256).unwrap_or(0);
    IpAddr::V4(Ipv4Addr::new(10, byte(subnet), byte(host / 256), byte(host)))
}

fn program_of(service: &str, image: &str) -> String {
    format!("{service} in {image}")
}
