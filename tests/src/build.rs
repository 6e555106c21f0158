//! Platforms in a few words: `sketch([service("db").probe(), service("web").after("db", healthy())])`.

mod debug;
mod gpus;
mod units;

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use aiplat_core::{
    ResourceId, Timestamp,
    spec::{
        Attachment, ContainerLive, ContainerPolicy, ContainerRuntime, ContainerSpec, Content, Dependency,
        DependencyCondition, FailureAction, FileSpec, GpuRequest, HostSpec, ImageSpec, InstanceId, Limits,
        ModelSpec, Mount, MountOptions, MountSource, NetworkSpec, OnChange, Options, Platform, PortBinding,
        ProbeKind, ProbeSpec, Protocol, PullPolicy, Removals, RestartMode, Settings, UpdateOrder,
        UpdatePolicy, Via, VolumeSpec,
    },
};

pub(crate) use gpus::yaml as gpus_yaml;
pub use gpus::{all_gpus, gpus, gpus_named};
pub use units::{RUN, UnitService, unit};

use crate::sim::App;

/// Whose objects are ours in these tests.
#[must_use]
pub fn instance() -> InstanceId {
    InstanceId("test-instance".to_owned())
}

/// A platform before it is compiled. Plain data: generators make and shrink it.
#[derive(Clone)]
pub struct Sketch {
    /// Prefix of names on the host.
    pub name: String,
    /// In any order.
    pub services: Vec<Service>,
    /// Services that are units of systemd.
    pub units: Vec<UnitService>,
    /// Names of networks; `default` is always there.
    pub networks: Vec<String>,
    /// Of the file.
    pub settings: Settings,
    /// When removals may happen.
    pub removals: Removals,
    /// Networks and volumes that are somebody else's: key and name on the host.
    pub external: Vec<(String, String)>,
    /// Networks of ours with a `name:`: key and name on the host.
    pub names: Vec<(String, String)>,
    /// Networks without a route to the outside, by key: the simplest thing whose change makes one anew.
    pub internal: Vec<String>,
    /// Configs by key: what is in them, and what follows a change.
    pub configs: BTreeMap<String, (String, OnChange)>,
    /// Models: entry, model, and the service that serves it.
    pub models: Vec<(String, String, String)>,
}

/// One service, and how its program behaves.
#[derive(Clone)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Image reference.
    pub image: String,
    /// Environment: the simplest thing whose change recreates.
    pub version: u32,
    /// Networks by key.
    pub networks: Vec<String>,
    /// (volume key, target)
    pub volumes: Vec<(String, String)>,
    /// Host paths, mounted at the same path, and whether a missing one is made.
    pub binds: Vec<(String, bool)>,
    /// Configs by key, mounted at `/` and the key.
    pub configs: Vec<String>,
    /// Targets of anonymous volumes.
    pub anonymous: Vec<String>,
    /// Published host ports, onto port 80.
    pub ports: Vec<u16>,
    /// Edges.
    pub needs: BTreeMap<String, Dependency>,
    /// Probe.
    pub probe: Option<ProbeSpec>,
    /// `healthcheck.startup`.
    pub startup: Option<ProbeSpec>,
    /// `healthcheck.liveness`.
    pub liveness: Option<ProbeSpec>,
    /// Restart mode.
    pub restart: RestartMode,
    /// Limits.
    pub limits: Limits,
    /// `container_name`.
    pub container_name: Option<String>,
    /// `pull_policy`.
    pub pull: PullPolicy,
    /// `stop_grace_period`.
    pub grace: Duration,
    /// `deploy.update_config.failure_action`.
    pub on_failure: Option<FailureAction>,
    /// `deploy.update_config.order: start-first`.
    pub start_first: bool,
    /// `gpus`.
    pub gpus: Vec<GpuRequest>,
    /// How its program behaves.
    pub app: App,
}

/// A platform `demo` of these services.
#[must_use]
pub fn sketch(services: impl IntoIterator<Item = Service>) -> Sketch {
    Sketch {
        name: "demo".to_owned(),
        services: services.into_iter().collect(),
        units: Vec::new(),
        networks: Vec::new(),
        settings: Settings::default(),
        removals: Removals::From(Timestamp::ZERO),
        external: Vec::new(),
        names: Vec::new(),
        internal: Vec::new(),
        configs: BTreeMap::new(),
        models: Vec::new(),
    }
}

/// A service on the default network that runs until it is stopped.
#[must_use]
pub fn service(name: &str) -> Service {
    Service {
        name: name.to_owned(),
        image: format!("{name}:1"),
        version: 1,
        networks: vec!["default".to_owned()],
        volumes: Vec::new(),
        binds: Vec::new(),
        configs: Vec::new(),
        anonymous: Vec::new(),
        ports: Vec::new(),
        needs: BTreeMap::new(),
        probe: None,
        startup: None,
        liveness: None,
        restart: RestartMode::Default,
        limits: Limits::default(),
        container_name: None,
        pull: PullPolicy::Missing,
        grace: Duration::from_secs(10),
        on_failure: None,
        start_first: false,
        gpus: Vec::new(),
        app: App::default(),
    }
}

/// An edge that waits until the other is healthy.
#[must_use]
pub fn healthy() -> Dependency {
    Dependency { condition: DependencyCondition::Healthy, required: true, restart: false }
}

/// An edge that waits until the other runs.
#[must_use]
pub fn started() -> Dependency {
    Dependency { condition: DependencyCondition::Started, ..healthy() }
}

/// An edge that waits until the other has done its work.
#[must_use]
pub fn completed() -> Dependency {
    Dependency { condition: DependencyCondition::CompletedSuccessfully, ..healthy() }
}

/// The same edge, restarting with the other.
#[must_use]
pub fn restarting(edge: Dependency) -> Dependency {
    Dependency { restart: true, ..edge }
}

/// The same edge, not required.
#[must_use]
pub fn optional(edge: Dependency) -> Dependency {
    Dependency { required: false, ..edge }
}

/// A TCP probe each second, three tries, no start period.
#[must_use]
pub fn tcp_probe() -> ProbeSpec {
    ProbeSpec {
        kind: ProbeKind::Tcp { port: 80 },
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        retries: 3,
        start_period: Duration::ZERO,
        via: Via::Address,
    }
}

/// The same with five tries: longer than any program of the generators takes to begin.
#[must_use]
pub fn patient_probe() -> ProbeSpec {
    ProbeSpec { retries: 5, ..tcp_probe() }
}

impl Service {
    /// Waits for `other`.
    #[must_use]
    pub fn after(mut self, other: &str, edge: Dependency) -> Self {
        self.needs.insert(other.to_owned(), edge);
        self
    }

    /// Is probed: see [`tcp_probe`].
    #[must_use]
    pub fn probe(mut self) -> Self {
        self.probe = Some(tcp_probe());
        self
    }

    /// Is restarted when it does not answer: see [`patient_probe`].
    #[must_use]
    pub fn liveness(mut self) -> Self {
        self.liveness = Some(patient_probe());
        self
    }

    /// Has a startup probe: see [`patient_probe`].
    #[must_use]
    pub fn startup(mut self) -> Self {
        self.startup = Some(patient_probe());
        self
    }

    /// Mounts a volume of the file.
    #[must_use]
    pub fn volume(mut self, key: &str, target: &str) -> Self {
        self.volumes.push((key.to_owned(), target.to_owned()));
        self
    }

    /// Publishes a host port.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.ports.push(port);
        self
    }

    /// Mounts a host path; a missing one is not made.
    #[must_use]
    pub fn bind(mut self, path: &str) -> Self {
        self.binds.push((path.to_owned(), false));
        self
    }

    /// Mounts a config of the sketch.
    #[must_use]
    pub fn config(mut self, key: &str) -> Self {
        self.configs.push(key.to_owned());
        self
    }

    /// Has this restart mode.
    #[must_use]
    pub fn restart(mut self, mode: RestartMode) -> Self {
        self.restart = mode;
        self
    }

    /// Asks for GPUs: see [`gpus`].
    #[must_use]
    pub fn gpu(mut self, request: GpuRequest) -> Self {
        self.gpus.push(request);
        self
    }

    /// Its program behaves so.
    #[must_use]
    pub fn app(mut self, app: App) -> Self {
        self.app = app;
        self
    }

    /// Another version of its settings: recreates.
    #[must_use]
    pub fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// Changes anything else.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn spec(&self, sketch: &Sketch) -> ContainerSpec {
        let Self {
            name,
            image,
            version,
            networks,
            volumes,
            binds,
            configs,
            anonymous: targets,
            ports,
            needs,
            probe,
            startup,
            liveness,
            restart,
            limits,
            container_name,
            pull: _,
            grace,
            on_failure,
            start_first,
            gpus,
            app: _,
        } = self;
        let volume = |(key, target): &(String, String)| Mount {
            target: target.clone(),
            source: MountSource::Volume { volume: ResourceId::volume(key), host_name: sketch.host_name(key) },
            read_only: false,
            options: MountOptions::default(),
        };
        let bind = |(path, create): &(String, bool)| Mount {
            target: path.clone(),
            source: MountSource::Bind { path: path.clone(), create: *create },
            read_only: false,
            options: MountOptions::default(),
        };
        let anonymous = |target: &String| Mount {
            target: target.clone(),
            source: MountSource::Anonymous,
            read_only: false,
            options: MountOptions::default(),
        };
        let config = |key: &String| Mount {
            target: format!("/{key}"),
            source: MountSource::File { file: sketch.file_id(key), path: sketch.config_path(key) },
            read_only: true,
            options: MountOptions::default(),
        };
        let mut mounts: Vec<Mount> = volumes
            .iter()
            .map(volume)
            .chain(binds.iter().map(bind))
            .chain(targets.iter().map(anonymous))
            .chain(configs.iter().map(config))
            .collect();
        mounts.sort_by(|a, b| a.target.cmp(&b.target));
        let attach = |key: &String| {
            let attachment = Attachment {
                host_name: sketch.host_name(key),
                aliases: vec![name.clone()],
                ..Attachment::default()
            };
            (ResourceId::network(key), attachment)
        };
        ContainerSpec {
            service: name.clone(),
            host_name: container_name.clone().unwrap_or_else(|| sketch.host_name(name)),
            runtime: ContainerRuntime {
                image: image.clone(),
                environment: BTreeMap::from([("VERSION".to_owned(), version.to_string())]),
                ports: ports.iter().map(|port| binding(*port)).collect(),
                mounts,
                engine_health_off: probe.is_some() || startup.is_some() || liveness.is_some(),
                options: Options { hardware: gpus::hardware(gpus), ..Options::default() },
                ..ContainerRuntime::default()
            },
            live: ContainerLive { networks: networks.iter().map(attach).collect(), limits: limits.clone() },
            policy: ContainerPolicy {
                restart: *restart,
                on_change: configs.iter().map(|key| (sketch.file_id(key), sketch.follows(key))).collect(),
                dependencies: needs.iter().map(|(on, edge)| (sketch.id_of(on), *edge)).collect(),
                probe: probe.clone(),
                startup: startup.clone(),
                liveness: liveness.clone(),
                stop_grace: *grace,
                update: UpdatePolicy {
                    failure_action: *on_failure,
                    order: if *start_first { UpdateOrder::StartFirst } else { UpdateOrder::StopFirst },
                    ..UpdatePolicy::default()
                },
                gpus: gpus.clone(),
            },
        }
    }
}

/// Where the config `key` is on the host.
#[must_use]
pub fn config_path(key: &str) -> String {
    format!("/var/lib/aiplatd/configs/{key}")
}

fn binding(port: u16) -> PortBinding {
    PortBinding {
        host_ip: IpAddr::from([0, 0, 0, 0]),
        host_port: Some(port),
        container_port: 80,
        protocol: Protocol::Tcp,
    }
}

impl Sketch {
    /// Has a config with this text.
    #[must_use]
    pub fn config(mut self, key: &str, text: &str, on_change: OnChange) -> Self {
        self.configs.insert(key.to_owned(), (text.to_owned(), on_change));
        self
    }

    fn content(&self, key: &str) -> Content {
        Content::new(self.configs[key].0.as_bytes())
    }

    fn follows(&self, key: &str) -> OnChange {
        self.configs[key].1
    }

    fn file_id(&self, key: &str) -> ResourceId {
        match self.follows(key) {
            OnChange::Restart | OnChange::Nothing => ResourceId::file(key),
            OnChange::Recreate => ResourceId::file(&format!("{key}@{}", self.content(key).short())),
        }
    }

    fn config_path(&self, key: &str) -> String {
        config_path(self.file_id(key).key())
    }

    fn file(&self, key: &str) -> FileSpec {
        FileSpec {
            config: key.to_owned(),
            path: self.config_path(key),
            content: self.content(key),
            mode: 0o444,
            uid: None,
            gid: None,
        }
    }

    /// The name on the host of `key`.
    #[must_use]
    pub fn host_name(&self, key: &str) -> String {
        let named = self.external.iter().chain(&self.names).find(|(other, _)| other == key);
        named.map(|(_, name)| name.clone()).unwrap_or_else(|| format!("{}-{key}", self.name))
    }

    /// Compiled.
    #[must_use]
    pub fn platform(&self) -> Platform {
        let external = |key: &str| self.external.iter().any(|(other, _)| other == key);
        let used = self.services.iter().flat_map(|service| &service.networks);
        let networks = self.networks.iter().chain(used).map(|key| {
            let spec = NetworkSpec {
                host_name: self.host_name(key),
                external: external(key),
                driver: None,
                driver_opts: BTreeMap::new(),
                internal: self.internal.contains(key),
                enable_ipv6: false,
                attachable: false,
                labels: BTreeMap::new(),
                subnets: Vec::new(),
                ipv4_off: false,
                ipam_driver: None,
                ipam_options: BTreeMap::new(),
            };
            (ResourceId::network(key), spec)
        });
        let volumes = self.services.iter().flat_map(|service| &service.volumes).map(|(key, _)| {
            let spec = VolumeSpec {
                host_name: self.host_name(key),
                external: external(key),
                driver: None,
                driver_opts: BTreeMap::new(),
                labels: BTreeMap::new(),
            };
            (ResourceId::volume(key), spec)
        });
        let files = self.services.iter().flat_map(|service| &service.configs);
        let files = files.map(|key| (self.file_id(key), self.file(key)));
        let images = self.services.iter().map(|service| {
            let spec = ImageSpec { reference: service.image.clone(), pull: service.pull };
            (ResourceId::image(&service.image), spec)
        });
        let containers =
            self.services.iter().map(|service| (ResourceId::container(&service.name), service.spec(self)));
        Platform {
            name: self.name.clone(),
            instance: instance(),
            generation: 1,
            settings: self.settings.clone(),
            host: HostSpec::default(),
            networks: networks.collect(),
            volumes: volumes.collect(),
            files: files.collect(),
            images: images.collect(),
            containers: containers.collect(),
            units: self.units.iter().map(|unit| (ResourceId::unit(&unit.name), unit.spec(self))).collect(),
            models: self.models.iter().map(|it| self.model(it)).collect(),
            gates: BTreeMap::new(),
            removals: self.removals,
        }
    }

    /// The same, with a model that the service `runner` serves.
    #[must_use]
    pub fn model_on(mut self, runner: &str, entry: &str, model: &str) -> Self {
        self.models.push((entry.to_owned(), model.to_owned(), runner.to_owned()));
        self
    }

    fn model(&self, (entry, model, runner): &(String, String, String)) -> (ResourceId, ModelSpec) {
        let is_unit = self.units.iter().any(|unit| unit.name == *runner);
        let runner = if is_unit { ResourceId::unit(runner) } else { ResourceId::container(runner) };
        (ResourceId::model(entry), ModelSpec { model: model.parse().expect("a model's name"), runner })
    }

    /// The service of that name; panics if there is none.
    #[must_use]
    pub fn service(&mut self, name: &str) -> &mut Service {
        self.services.iter_mut().find(|service| service.name == name).expect("a service of the sketch")
    }
}
