//! A draft without errors becomes a platform: every reference resolved, every name final.

use std::collections::BTreeMap;

use super::{
    check::{DEFAULT_NETWORK, Scene, container_name, network_name, networks_of, volume_name},
    draft::{
        AttachmentDraft, Draft, GrantDraft, Health, ModelDraft, MountDraft, NetworkDraft, ServiceDraft,
        SourceDraft, UnitDraft, VolumeDraft,
    },
};
use crate::{
    Kind, ResourceId, Timestamp,
    spec::{
        Attachment, ContainerLive, ContainerPolicy, ContainerRuntime, ContainerSpec, Content, Dependency,
        EngineCheck, FileSpec, Hardening, ImageSpec, InstanceId, ModelSpec, Mount, MountOptions, MountSource,
        Namespace, NetworkSpec, OnChange, Options, OwnUnit, Platform, PortBinding, PullPolicy, Removals,
        TimerSpec, UnitSpec, VolumeSpec,
    },
};

/// Compiles what the checks have passed. What no active service uses is not made, as in Compose.
pub(super) fn compile(scene: &Scene<'_>, instance: &InstanceId) -> Platform {
    let draft = scene.draft;
    let of_engine = scene.active.iter().filter(|(_, service)| service.unit.is_none());
    let containers: BTreeMap<ResourceId, ContainerSpec> = of_engine
        .map(|(name, service)| (ResourceId::container(name), container(scene, name, service)))
        .collect();
    let of_systemd = scene.active.iter().filter_map(|(name, service)| {
        Some((ResourceId::unit(name), unit(scene, name, service, service.unit.as_ref()?)))
    });
    let used_networks = containers.values().flat_map(|container| container.live.networks.keys());
    let networks = used_networks.map(|id| (id.clone(), network(draft, id.key()))).collect();
    let used_volumes = containers.values().flat_map(ContainerSpec::volumes);
    let volumes = used_volumes.map(|(id, _)| (id.clone(), volume(draft, id.key()))).collect();
    Platform {
        name: draft.name.clone(),
        instance: instance.clone(),
        generation: 0,
        settings: draft.settings.clone(),
        host: draft.host.clone(),
        networks,
        volumes,
        files: files(scene),
        images: images(scene),
        containers,
        units: of_systemd.collect(),
        models: models(scene),
        gates: gates(scene),
        removals: Removals::From(Timestamp::ZERO),
    }
}

/// A file for each config, mode and owner that an active service asks for.
fn files(scene: &Scene<'_>) -> BTreeMap<ResourceId, FileSpec> {
    let of_engine = scene.active.values().filter(|service| service.unit.is_none());
    let grants = of_engine.flat_map(|service| &service.configs);
    grants.filter_map(|grant| Some((file_id(scene, grant), file(scene, grant)?))).collect()
}

/// Those with the usual mode and owner bear the config's name; where a change recreates, each content has its own.
fn file_id(scene: &Scene<'_>, grant: &GrantDraft) -> ResourceId {
    let GrantDraft { place: _, source, target: _, mode, uid, gid } = grant;
    let number = |id: &Option<u32>| id.map_or_else(|| "own".to_owned(), |id| id.to_string());
    let is_usual = (*mode, *uid, *gid) == (0o444, None, None);
    let access = (!is_usual).then(|| format!("@{mode:04o}-{}-{}", number(uid), number(gid)));
    let recreates = on_change(scene, source) == OnChange::Recreate;
    let content = content(scene, source).filter(|_| recreates).map(|content| format!("@{}", content.short()));
    ResourceId::file(&format!("{source}{}{}", access.unwrap_or_default(), content.unwrap_or_default()))
}

fn file_path(scene: &Scene<'_>, id: &ResourceId) -> String {
    scene.state_dir.join("configs").join(id.key()).to_string_lossy().into_owned()
}

fn file(scene: &Scene<'_>, grant: &GrantDraft) -> Option<FileSpec> {
    let GrantDraft { place: _, source, target: _, mode, uid, gid } = grant;
    Some(FileSpec {
        config: source.clone(),
        path: file_path(scene, &file_id(scene, grant)),
        content: content(scene, source)?.clone(),
        mode: *mode,
        uid: *uid,
        gid: *gid,
    })
}

fn content<'a>(scene: &Scene<'a>, config: &str) -> Option<&'a Content> {
    scene.draft.configs.get(config)?.content.as_ref()
}

fn on_change(scene: &Scene<'_>, config: &str) -> OnChange {
    scene.draft.configs.get(config).map(|config| config.on_change).unwrap_or_default()
}

fn config_mount(scene: &Scene<'_>, grant: &GrantDraft) -> Mount {
    let file = file_id(scene, grant);
    let source = MountSource::File { path: file_path(scene, &file), file };
    Mount { target: grant.target.clone(), source, read_only: true, options: MountOptions::default() }
}

fn images(scene: &Scene<'_>) -> BTreeMap<ResourceId, ImageSpec> {
    let mut images: BTreeMap<ResourceId, ImageSpec> = BTreeMap::new();
    for service in scene.active.values() {
        let Some(image) = &service.image else { continue };
        let pull = service.pull.as_ref().map_or(PullPolicy::Missing, |pull| pull.value);
        let spec = ImageSpec { reference: image.value.clone(), pull };
        images
            .entry(ResourceId::image(&image.value))
            .and_modify(|known| known.pull = known.pull.max(pull))
            .or_insert(spec);
    }
    images
}

fn models(scene: &Scene<'_>) -> BTreeMap<ResourceId, ModelSpec> {
    let served = scene.draft.models.iter().filter(|(_, model)| scene.is_served(model));
    let spec = |model: &ModelDraft| {
        let runner = service_id(scene, &model.runner.as_ref()?.value);
        Some(ModelSpec { model: model.model.as_ref()?.value.clone(), runner })
    };
    served.filter_map(|(name, model)| Some((ResourceId::model(name), spec(model)?))).collect()
}

fn gates(scene: &Scene<'_>) -> BTreeMap<String, Vec<ResourceId>> {
    let member = |text: &str| {
        let (kind, key) = text.split_once('/').unwrap_or(("container", text));
        let kind = Kind::ALL.into_iter().find(|known| known.as_str() == kind)?;
        match kind {
            Kind::Container | Kind::Unit => scene.active.contains_key(key).then(|| service_id(scene, key)),
            Kind::Network | Kind::Volume | Kind::Image | Kind::Host => Some(ResourceId::new(kind, key)),
            Kind::Model => {
                let is_served = scene.draft.models.get(key).is_some_and(|model| scene.is_served(model));
                is_served.then(|| ResourceId::model(key))
            }
            // The checks have refused it.
            Kind::File => None,
        }
    };
    let gates = scene.draft.gates.iter().map(|(name, gate)| {
        let mut members: Vec<ResourceId> =
            gate.members.iter().filter_map(|text| member(&text.value)).collect();
        members.sort();
        members.dedup();
        (name.clone(), members)
    });
    gates.collect()
}

/// The resource that the service `name` is.
fn service_id(scene: &Scene<'_>, name: &str) -> ResourceId {
    let is_unit = scene.active.get(name).is_some_and(|service| service.unit.is_some());
    if is_unit { ResourceId::unit(name) } else { ResourceId::container(name) }
}

fn unit(scene: &Scene<'_>, name: &str, service: &ServiceDraft, draft: &UnitDraft) -> UnitSpec {
    let ContainerPolicy {
        restart,
        on_change: _,
        dependencies,
        probe,
        startup,
        liveness,
        stop_grace: _,
        update: _,
        gpus,
    } = policy(scene, service);
    UnitSpec {
        service: name.to_owned(),
        unit: draft.unit.value.clone(),
        management: draft.management,
        own: own(service, draft),
        environment: service.environment.iter().map(|(name, it)| (name.clone(), it.value.clone())).collect(),
        restart,
        dependencies,
        probe,
        startup,
        liveness,
        gpus,
    }
}

/// What the unit runs, if its file is ours.
fn own(service: &ServiceDraft, draft: &UnitDraft) -> Option<OwnUnit> {
    let command = service.command.clone()?;
    let (user, group) = match service.user.as_deref().map(|user| user.split_once(':').ok_or(user)) {
        None => (None, None),
        Some(Ok((user, group))) => (Some(user.to_owned()), Some(group.to_owned())),
        Some(Err(user)) => (Some(user.to_owned()), None),
    };
    let timer = draft.on_calendar.as_ref().map(|calendar| TimerSpec {
        unit: timer_name(&draft.unit.value),
        on_calendar: calendar.value.clone(),
    });
    Some(OwnUnit {
        command,
        user,
        group,
        working_dir: service.options.process.working_dir.clone(),
        stop_signal: service.stop_signal.clone(),
        stop_grace: service.stop_grace,
        hardening: draft.hardening.as_ref().map_or(Hardening::default(), |hardening| hardening.value),
        timer,
    })
}

/// The timer of the unit `name`, as systemd would name it.
pub(super) fn timer_name(name: &str) -> String {
    format!("{}.timer", name.strip_suffix(".service").unwrap_or(name))
}

pub(super) fn container(scene: &Scene<'_>, name: &str, service: &ServiceDraft) -> ContainerSpec {
    let draft = scene.draft;
    let host_name = container_name(draft, name, service);
    let networks = networks_of(service).unwrap_or_default();
    let attachment = |(network, attachment): (&str, Option<&AttachmentDraft>)| {
        (ResourceId::network(network), attach(draft, name, service, network, attachment))
    };
    ContainerSpec {
        service: name.to_owned(),
        host_name,
        runtime: ContainerRuntime { options: options(scene, service), ..runtime(scene, service) },
        live: ContainerLive {
            networks: networks.into_iter().map(attachment).collect(),
            limits: service.limits.clone(),
        },
        policy: policy(scene, service),
    }
}

fn runtime(scene: &Scene<'_>, service: &ServiceDraft) -> ContainerRuntime {
    let mounted = service.mounts.iter().map(|one| mount(scene.draft, one));
    let configs = service.configs.iter().map(|grant| config_mount(scene, grant));
    let mut mounts: Vec<Mount> = mounted.chain(configs).collect();
    mounts.sort_by(|a, b| a.target.cmp(&b.target));
    // Sorted as well: an edit that only reorders lines must not recreate the container.
    let mut ports: Vec<PortBinding> = service.ports.iter().map(|port| port.value.clone()).collect();
    ports.sort();
    ports.dedup();
    ContainerRuntime {
        image: service.image.as_ref().map(|image| image.value.clone()).unwrap_or_default(),
        command: service.command.clone(),
        entrypoint: service.entrypoint.clone(),
        environment: service.environment.iter().map(|(name, it)| (name.clone(), it.value.clone())).collect(),
        user: service.user.clone(),
        labels: service.labels.clone(),
        stop_signal: service.stop_signal.clone(),
        ports,
        mounts,
        engine_health_off: !matches!(service.health, Health::Unsaid | Health::Engine(..)),
        engine_check: match &service.health {
            Health::Engine(check, _) => Some(check.clone()).filter(|check| *check != EngineCheck::default()),
            Health::Unsaid | Health::Off(_) | Health::Probes(_) | Health::Broken => None,
        },
        options: service.options.clone(),
    }
}

/// A container reaches a unit that it depends on under the service's name, and at `host.docker.internal`: both are the
/// host as the engine sees it from inside. What the file says of such a name stands.
fn options(scene: &Scene<'_>, service: &ServiceDraft) -> Options {
    const HOST: &str = "host.docker.internal";
    let mut options = service.options.clone();
    let units: Vec<&str> = service
        .depends_on
        .iter()
        .map(|edge| edge.to.as_str())
        .filter(|name| service_id(scene, name).kind == Kind::Unit)
        .collect();
    let hosts = &mut options.identity.extra_hosts;
    let own_network = matches!(options.identity.network_mode, Namespace::Bridge | Namespace::Unsaid);
    for name in units.iter().copied().chain((!units.is_empty()).then_some(HOST)).filter(|_| own_network) {
        if !hosts.iter().any(|(known, _)| known == name) {
            hosts.push((name.to_owned(), "host-gateway".to_owned()));
        }
    }
    options
}

fn mount(draft: &Draft, mount: &MountDraft) -> Mount {
    let source = match &mount.source {
        SourceDraft::Volume(key) => {
            MountSource::Volume { volume: ResourceId::volume(key), host_name: volume_name(draft, key) }
        }
        SourceDraft::Bind { path, create } => MountSource::Bind { path: path.clone(), create: *create },
        SourceDraft::Anonymous => MountSource::Anonymous,
        SourceDraft::Tmpfs { size } => MountSource::Tmpfs { size: *size },
    };
    Mount { target: mount.target.clone(), source, read_only: mount.read_only, options: mount.options.clone() }
}

fn attach(
    draft: &Draft,
    name: &str,
    service: &ServiceDraft,
    network: &str,
    attachment: Option<&AttachmentDraft>,
) -> Attachment {
    let mut aliases = vec![name.to_owned()];
    let container = service.container_name.iter().map(|name| &name.value);
    for alias in container.chain(attachment.into_iter().flat_map(|attachment| &attachment.aliases)) {
        if !aliases.contains(alias) {
            aliases.push(alias.clone());
        }
    }
    let fixed = |address: Option<&super::tree::Spanned<String>>| address.map(|address| address.value.clone());
    Attachment {
        host_name: network_name(draft, network),
        aliases,
        ipv4_address: fixed(attachment.and_then(|attachment| attachment.ipv4_address.as_ref())),
        ipv6_address: fixed(attachment.and_then(|attachment| attachment.ipv6_address.as_ref())),
        link_local_ips: attachment.map(|attachment| attachment.link_local_ips.clone()).unwrap_or_default(),
        mac_address: attachment.and_then(|attachment| attachment.mac_address.clone()),
        driver_opts: attachment.map(|attachment| attachment.driver_opts.clone()).unwrap_or_default(),
        gw_priority: attachment.map_or(0, |attachment| attachment.gw_priority),
        priority: attachment.map_or(0, |attachment| attachment.priority),
    }
}

fn policy(scene: &Scene<'_>, service: &ServiceDraft) -> ContainerPolicy {
    // An edge to a service that its profiles leave out is `required: false`, or the checks had refused it.
    let edges = service.depends_on.iter().filter(|edge| scene.active.contains_key(edge.to.as_str()));
    let dependency = |edge: &super::draft::Edge| Dependency {
        condition: edge.condition,
        required: edge.required,
        restart: edge.restart,
    };
    let (startup, probe, liveness) = match &service.health {
        Health::Probes(probes) => (&probes.startup, &probes.readiness, &probes.liveness),
        Health::Engine(_, liveness) => (&None, &None, &liveness.as_deref().cloned()),
        Health::Unsaid | Health::Off(_) | Health::Broken => (&None, &None, &None),
    };
    ContainerPolicy {
        restart: service.restart.value,
        on_change: service
            .configs
            .iter()
            .map(|grant| (file_id(scene, grant), on_change(scene, &grant.source)))
            .collect(),
        dependencies: edges.map(|edge| (service_id(scene, &edge.to), dependency(edge))).collect(),
        probe: probe.clone(),
        startup: startup.clone(),
        liveness: liveness.clone(),
        stop_grace: service.stop_grace,
        update: service.update,
        gpus: service.gpus.clone(),
    }
}

fn network(draft: &Draft, key: &str) -> NetworkSpec {
    let host_name = network_name(draft, key);
    let Some(network) = draft.networks.get(key) else {
        assert_eq!(key, DEFAULT_NETWORK, "the checks refuse networks that are not declared");
        return NetworkSpec {
            host_name,
            external: false,
            driver: None,
            driver_opts: BTreeMap::new(),
            internal: false,
            enable_ipv6: false,
            ipv4_off: false,
            attachable: false,
            labels: BTreeMap::new(),
            subnets: Vec::new(),
            ipam_driver: None,
            ipam_options: BTreeMap::new(),
        };
    };
    let NetworkDraft {
        place: _,
        name: _,
        external,
        driver,
        driver_opts,
        internal,
        enable_ipv6,
        ipv4_off,
        attachable,
        labels,
        subnets,
        ipam_driver,
        ipam_options,
    } = network;
    NetworkSpec {
        host_name,
        external: *external,
        driver: driver.clone(),
        driver_opts: driver_opts.clone(),
        internal: *internal,
        enable_ipv6: *enable_ipv6,
        ipv4_off: *ipv4_off,
        attachable: *attachable,
        labels: labels.clone(),
        subnets: subnets.iter().map(|subnet| subnet.value.clone()).collect(),
        ipam_driver: ipam_driver.clone(),
        ipam_options: ipam_options.clone(),
    }
}

fn volume(draft: &Draft, key: &str) -> VolumeSpec {
    let VolumeDraft { place: _, name: _, external, driver, driver_opts, labels } = &draft.volumes[key];
    VolumeSpec {
        host_name: volume_name(draft, key),
        external: *external,
        driver: driver.clone(),
        driver_opts: driver_opts.iter().map(|(name, text)| (name.clone(), text.value.clone())).collect(),
        labels: labels.clone(),
    }
}
