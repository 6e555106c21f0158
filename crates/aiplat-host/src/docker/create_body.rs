//! The bodies of requests. Every field of a spec is named here, with no `..`: a new one fails to compile until it is
//! mapped.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use aiplat_core::{
    action::{CreateContainer, OwnLabels},
    spec::{
        Attachment, ContainerLive, ContainerPolicy, ContainerRuntime, ContainerSpec, EngineCheck, Limits,
        Mount, MountOptions, MountSource, NetworkSpec, PortBinding, Recursive, Subnet, VolumeSpec,
    },
};
use serde_json::{Map, Value, json};

use super::create_options;

/// The network mode, and the name of the pseudo-network, of a container without one.
pub(super) const NO_NETWORK: &str = "none";

/// What a lifted memory limit is set to, for the engine takes a zero for "as it is". Half of what the kernel has for
/// "unlimited", so that there is room for swap above it.
pub(super) const MEMORY_LIFTED: i64 = 1 << 62;
/// The kernel's own "unlimited": whole pages. (The engine leaves swap as it is when it is given the documented -1.)
const SWAP_LIFTED: i64 = i64::MAX - 4095;

/// The first CPU once more, after the others.
const CPUSET_MARK: &str = ",0";
/// The kernel's weight of those of whom nothing is said.
pub(super) const CPU_SHARES_LIFTED: i64 = 1024;

/// What a body depends on besides the file.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Engine {
    /// A hardware address belongs to a connection, not to the container.
    pub(super) mac_of_endpoint: bool,
    /// Containers that name no log driver get one that writes files.
    pub(super) log_files: bool,
}

/// The body of `POST /containers/create`.
pub(super) fn container(create: &CreateContainer, engine: &Engine) -> Value {
    let CreateContainer { name: _, labels: own, spec, network, inherit, joins, gpus } = create;
    let ContainerSpec { service: _, host_name: _, runtime, live, policy } = &**spec;
    let ContainerRuntime {
        image,
        command,
        entrypoint,
        environment,
        user,
        labels,
        stop_signal,
        ports,
        mounts,
        engine_health_off,
        engine_check,
        options,
    } = runtime;
    // Its networks come one by one: the first in `network`, the others by `Connect` before the start.
    let ContainerLive { networks: _, limits } = live;
    // Restarts, order and readiness are aiplatd's own work; the grace is also for those who stop it by hand.
    let ContainerPolicy {
        restart: _,
        on_change: _,
        dependencies: _,
        probe: _,
        startup: _,
        liveness: _,
        stop_grace,
        update: _,
        gpus: _,
    } = policy;

    let mut body = Map::new();
    let mut put = |name: &str, value: Value| drop(body.insert(name.to_owned(), value));
    put("Image", json!(image));
    put("Env", json!(environment.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()));
    put("Labels", json!(all_labels(labels, own)));
    put("StopTimeout", json!(seconds(*stop_grace)));
    put("ExposedPorts", exposed(ports, &options.identity.expose));
    if let Some(argv) = command {
        put("Cmd", json!(argv));
    }
    if let Some(argv) = entrypoint {
        // An empty list would be the image's; the engine's word for "none" is one empty string.
        put("Entrypoint", if argv.is_empty() { json!([""]) } else { json!(argv) });
    }
    if let Some(user) = user {
        put("User", json!(user));
    }
    if let Some(signal) = stop_signal {
        put("StopSignal", json!(signal));
    }
    if *engine_health_off {
        put("Healthcheck", json!({"Test": ["NONE"]}));
    } else if let Some(check) = engine_check {
        put("Healthcheck", healthcheck(check));
    }
    let mut host = host_config(ports, mounts, inherit, limits);
    // Its networks, or somebody else's; without either it has none.
    let mode = create_options::mode(&options.identity.network_mode, joins);
    let network_mode = mode.or_else(|| network.as_ref().map(|attachment| attachment.host_name.clone()));
    let network_mode = network_mode.unwrap_or_else(|| NO_NETWORK.to_owned());
    let mac_address = options.identity.mac_address.as_ref().filter(|_| engine.mac_of_endpoint);
    let mut end = network.as_ref().map(endpoint);
    if let Some(address) = mac_address {
        end.get_or_insert_with(|| json!({}))["MacAddress"] = json!(address);
    }
    if let Some(end) = end {
        put("NetworkingConfig", json!({"EndpointsConfig": {(network_mode.as_str()): end}}));
    }
    host.insert("NetworkMode".to_owned(), json!(network_mode));
    let mut halves = create_options::Halves {
        body: &mut body,
        host: &mut host,
        joins,
        log_files: engine.log_files,
        mac_of_container: !engine.mac_of_endpoint,
        gpus: gpus.as_deref(),
    };
    halves.put(options);
    body.insert("HostConfig".to_owned(), Value::Object(host));
    Value::Object(body)
}

/// The engine takes what is left out, or zero, from the image.
fn healthcheck(check: &EngineCheck) -> Value {
    let EngineCheck { test, interval, timeout, retries, start_period } = check;
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| drop(body.insert(name.to_owned(), value));
    if !test.is_empty() {
        put("Test", json!(test));
    }
    for (name, time) in [("Interval", interval), ("Timeout", timeout), ("StartPeriod", start_period)] {
        if let Some(time) = time {
            put(name, json!(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)));
        }
    }
    if let Some(retries) = retries {
        put("Retries", json!(retries));
    }
    Value::Object(body)
}

fn host_config(
    ports: &[PortBinding],
    mounts: &[Mount],
    inherit: &[(String, String)],
    limits: &Limits,
) -> Map<String, Value> {
    let Limits { memory, memory_reservation, memory_swap, nano_cpus, cpu_shares, cpuset, pids } = limits;
    let mut config = Map::new();
    let mut put = |name: &str, value: Value| drop(config.insert(name.to_owned(), value));
    put("RestartPolicy", json!({"Name": "no"}));
    put("Mounts", json!(all_mounts(mounts, inherit)));
    put("PortBindings", bindings(ports));
    let numbers = [
        ("Memory", memory),
        ("MemoryReservation", memory_reservation),
        ("MemorySwap", memory_swap),
        ("NanoCpus", nano_cpus),
        ("CpuShares", cpu_shares),
        ("PidsLimit", pids),
    ];
    for (name, limit) in numbers {
        if *limit != 0 {
            put(name, json!(limit));
        }
    }
    if !cpuset.is_empty() {
        put("CpusetCpus", json!(cpuset));
    }
    config
}

/// The mounts of the file, then the anonymous volumes that are carried over. Where the file now mounts something else
/// on the same path, the file wins.
fn all_mounts(mounts: &[Mount], inherit: &[(String, String)]) -> Vec<Value> {
    let inherited = |target: &str| inherit.iter().find(|(_, at)| at == target).map(|(name, _)| name.as_str());
    let declared = mounts.iter().map(|mount| one_mount(mount, inherited(&mount.target)));
    let carried = inherit.iter().filter(|(_, target)| !mounts.iter().any(|mount| mount.target == *target));
    declared
        .chain(carried.map(|(name, target)| json!({"Type": "volume", "Source": name, "Target": target})))
        .collect()
}

fn one_mount(mount: &Mount, inherited: Option<&str>) -> Value {
    let Mount { target, source, read_only, options } = mount;
    let mut body = match source {
        MountSource::Volume { volume: _, host_name } => json!({"Type": "volume", "Source": host_name}),
        MountSource::Bind { path, create: _ } | MountSource::File { path, .. } => {
            json!({"Type": "bind", "Source": path})
        }
        MountSource::Anonymous => match inherited {
            Some(name) => json!({"Type": "volume", "Source": name}),
            None => json!({"Type": "volume"}),
        },
        MountSource::Tmpfs { size: Some(size) } => {
            json!({"Type": "tmpfs", "TmpfsOptions": {"SizeBytes": size}})
        }
        MountSource::Tmpfs { size: None } => json!({"Type": "tmpfs"}),
    };
    body["Target"] = json!(target);
    body["ReadOnly"] = json!(read_only);
    let MountOptions { propagation, recursive, nocopy, subpath, labels, mode } = options;
    if let Some(propagation) = propagation {
        body["BindOptions"]["Propagation"] = json!(propagation);
    }
    match recursive {
        Recursive::Enabled => {}
        Recursive::Disabled => body["BindOptions"]["NonRecursive"] = json!(true),
        Recursive::Writable => body["BindOptions"]["ReadOnlyNonRecursive"] = json!(true),
        Recursive::Readonly => body["BindOptions"]["ReadOnlyForceRecursive"] = json!(true),
    }
    if *nocopy {
        body["VolumeOptions"]["NoCopy"] = json!(true);
    }
    if let Some(subpath) = subpath {
        body["VolumeOptions"]["Subpath"] = json!(subpath);
    }
    if !labels.is_empty() {
        body["VolumeOptions"]["Labels"] = json!(labels);
    }
    if let Some(mode) = mode {
        body["TmpfsOptions"]["Mode"] = json!(mode);
    }
    body
}

/// Published ports must be exposed too, or the engine drops them without a word.
fn exposed(ports: &[PortBinding], expose: &BTreeSet<String>) -> Value {
    let all = ports.iter().map(inside).chain(expose.iter().cloned());
    all.map(|port| (port, json!({}))).collect::<Map<_, _>>().into()
}

fn bindings(ports: &[PortBinding]) -> Value {
    let mut bindings: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for port in ports {
        let PortBinding { host_ip, host_port, container_port: _, protocol: _ } = port;
        // As written: an empty address would publish on every IPv6 address as well as on 0.0.0.0.
        let host_ip = host_ip.to_string();
        let host_port = host_port.map(|port| port.to_string()).unwrap_or_default();
        bindings.entry(inside(port)).or_default().push(json!({"HostIp": host_ip, "HostPort": host_port}));
    }
    json!(bindings)
}

fn inside(port: &PortBinding) -> String {
    format!("{}/{}", port.container_port, port.protocol)
}

fn endpoint(attachment: &Attachment) -> Value {
    let Attachment {
        host_name,
        aliases,
        ipv4_address,
        ipv6_address,
        link_local_ips,
        mac_address,
        driver_opts,
        gw_priority,
        // The order in which they are connected.
        priority: _,
    } = attachment;
    let mut endpoint = Map::new();
    // The engine's own networks know no aliases, and refuse them.
    if !aliases.is_empty() && !matches!(host_name.as_str(), "bridge" | "host" | NO_NETWORK) {
        endpoint.insert("Aliases".to_owned(), json!(aliases));
    }
    let mut fixed = Map::new();
    fixed.extend(ipv4_address.as_ref().map(|ip| ("IPv4Address".to_owned(), json!(ip))));
    fixed.extend(ipv6_address.as_ref().map(|ip| ("IPv6Address".to_owned(), json!(ip))));
    if !link_local_ips.is_empty() {
        fixed.insert("LinkLocalIPs".to_owned(), json!(link_local_ips));
    }
    if !fixed.is_empty() {
        endpoint.insert("IPAMConfig".to_owned(), Value::Object(fixed));
    }
    endpoint.extend(mac_address.as_ref().map(|address| ("MacAddress".to_owned(), json!(address))));
    if !driver_opts.is_empty() {
        endpoint.insert("DriverOpts".to_owned(), json!(driver_opts));
    }
    if *gw_priority != 0 {
        endpoint.insert("GwPriority".to_owned(), json!(gw_priority));
    }
    Value::Object(endpoint)
}

/// The body of `POST /networks/{id}/connect`.
pub(super) fn connect(container: &str, attachment: &Attachment) -> Value {
    json!({"Container": container, "EndpointConfig": endpoint(attachment)})
}

/// The body of `POST /containers/{id}/update`: only what differs from `current`. Swap follows memory as the engine sets
/// it at a creation (twice the memory), or it would refuse a larger limit.
pub(super) fn update(limits: &Limits, current: &Limits) -> Map<String, Value> {
    let Limits { memory, memory_reservation, memory_swap, nano_cpus, cpu_shares, cpuset, pids } = limits;
    let mut body = Map::new();
    if *cpuset != current.cpuset {
        let cpus = if cpuset.is_empty() { cpuset_lifted() } else { cpuset.clone() };
        body.insert("CpusetCpus".to_owned(), json!(cpus));
    }
    let mut put = |name: &str, value: i64| drop(body.insert(name.to_owned(), json!(value)));
    let is_same_swap = *memory_swap == current.memory_swap || (*memory_swap == 0 && current.memory_swap < 0);
    if *memory != current.memory || !is_same_swap {
        put("Memory", if *memory > 0 { *memory } else { MEMORY_LIFTED });
        put(
            "MemorySwap",
            match *memory_swap {
                _ if *memory == 0 => SWAP_LIFTED,
                0 => memory.saturating_mul(2),
                1.. => *memory_swap,
                _ => SWAP_LIFTED,
            },
        );
    }
    if *memory_reservation != current.memory_reservation {
        let lifted = if *memory > 0 { *memory } else { MEMORY_LIFTED };
        put("MemoryReservation", if *memory_reservation > 0 { *memory_reservation } else { lifted });
    }
    if *cpu_shares != current.cpu_shares {
        put("CpuShares", if *cpu_shares > 0 { *cpu_shares } else { CPU_SHARES_LIFTED });
    }
    if *nano_cpus != current.nano_cpus {
        put("NanoCpus", if *nano_cpus > 0 { *nano_cpus } else { cpu_lifted() });
    }
    if *pids != current.pids {
        put("PidsLimit", if *pids > 0 { *pids } else { -1 });
    }
    body
}

/// What a lifted CPU limit is set to: every CPU there is (the engine refuses more, and takes a zero for "as it is"),
/// less one billionth, by which it is told from a limit that somebody wrote.
fn cpu_lifted() -> i64 {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    i64::try_from(cpus).unwrap_or(1) * 1_000_000_000 - 1
}

/// What a lifted choice of CPUs is set to: all of them, in a spelling that nobody else uses.
fn cpuset_lifted() -> String {
    // Not what this process may run on, which may be fewer.
    let online = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    let online = online.trim();
    let cpus = if online.is_empty() { "0" } else { online };
    format!("{cpus}{CPUSET_MARK}")
}

/// Whether `cpuset` is a value of `cpuset_lifted`.
pub(super) fn is_cpuset_lifted(cpuset: &str) -> bool {
    cpuset.ends_with(CPUSET_MARK)
}

/// Whether `nano_cpus` is a value of `cpu_lifted`.
pub(super) fn is_cpu_lifted(nano_cpus: i64) -> bool {
    nano_cpus % 1_000_000_000 == 999_999_999
}

/// The body of `POST /networks/create`.
pub(super) fn network(spec: &NetworkSpec, own: &OwnLabels) -> Value {
    let NetworkSpec {
        host_name,
        external: _,
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
    } = spec;
    let mut body = json!({
        "Name": host_name,
        "CheckDuplicate": true,
        "Driver": driver.as_deref().unwrap_or("bridge"),
        "Options": driver_opts,
        "Internal": internal,
        "EnableIPv6": enable_ipv6,
        "Attachable": attachable,
        "Labels": all_labels(labels, own),
    });
    if *ipv4_off {
        body["EnableIPv4"] = json!(false);
    }
    if !subnets.is_empty() || ipam_driver.is_some() || !ipam_options.is_empty() {
        let driver = ipam_driver.as_deref().unwrap_or("default");
        body["IPAM"] = json!({"Driver": driver, "Config": subnets.iter().map(pool).collect::<Vec<_>>()});
    }
    if !ipam_options.is_empty() {
        body["IPAM"]["Options"] = json!(ipam_options);
    }
    body
}

fn pool(subnet: &Subnet) -> Value {
    let Subnet { subnet, gateway, ip_range, aux_addresses } = subnet;
    let mut pool = json!({"Subnet": subnet});
    if let Some(gateway) = gateway {
        pool["Gateway"] = json!(gateway);
    }
    if let Some(range) = ip_range {
        pool["IPRange"] = json!(range);
    }
    if !aux_addresses.is_empty() {
        pool["AuxiliaryAddresses"] = json!(aux_addresses);
    }
    pool
}

/// The body of `POST /volumes/create`.
pub(super) fn volume(spec: &VolumeSpec, own: &OwnLabels) -> Value {
    let VolumeSpec { host_name, external: _, driver, driver_opts, labels } = spec;
    json!({
        "Name": host_name,
        "Driver": driver.as_deref().unwrap_or("local"),
        "DriverOpts": driver_opts,
        "Labels": all_labels(labels, own),
    })
}

/// The user's labels, and ours over them.
fn all_labels(labels: &BTreeMap<String, String>, own: &OwnLabels) -> BTreeMap<String, String> {
    let mut all = labels.clone();
    all.extend(own.to_pairs().into_iter().map(|(name, value)| (name.to_owned(), value)));
    all
}

/// Whole seconds, as the engine counts graces; a fraction is rounded up.
pub(super) fn seconds(grace: Duration) -> u64 {
    grace.as_secs() + u64::from(grace.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aiplat_core::{
        ResourceId,
        spec::{InstanceId, Protocol, RestartMode, UpdatePolicy},
    };

    use super::{container as body_of, *};

    fn container(create: &CreateContainer) -> Value {
        body_of(create, &Engine::default())
    }

    fn create(runtime: ContainerRuntime) -> CreateContainer {
        let policy = ContainerPolicy {
            on_change: BTreeMap::new(),
            restart: RestartMode::Default,
            dependencies: BTreeMap::new(),
            probe: None,
            startup: None,
            liveness: None,
            stop_grace: Duration::from_millis(10_500),
            update: UpdatePolicy::default(),
            gpus: Vec::new(),
        };
        let (service, host_name) = ("web".to_owned(), "p-web-1".to_owned());
        let resource = ResourceId::container("web");
        let spec = ContainerSpec { service, host_name, runtime, live: ContainerLive::default(), policy };
        CreateContainer {
            name: "p-web-1".to_owned(),
            labels: OwnLabels {
                instance: InstanceId("i".to_owned()),
                resource,
                fingerprint: None,
                depends_on: vec![],
                gpus: None,
            },
            spec: Arc::new(spec),
            network: None,
            inherit: Vec::new(),
            joins: BTreeMap::new(),
            gpus: None,
        }
    }

    fn mount(target: &str, source: MountSource) -> Mount {
        Mount { target: target.to_owned(), source, read_only: false, options: MountOptions::default() }
    }

    #[test]
    fn the_least_body_asks_for_nothing_of_the_engines_own() {
        let body =
            container(&create(ContainerRuntime { image: "a:1".to_owned(), ..ContainerRuntime::default() }));
        assert_eq!(
            body["HostConfig"],
            json!({"NetworkMode": "none", "RestartPolicy": {"Name": "no"}, "Mounts": [], "PortBindings": {}})
        );
        assert_eq!(body["StopTimeout"], json!(11));
        assert_eq!(body.get("Cmd"), None, "the image's own");
        assert_eq!(body.get("Healthcheck"), None, "the image's own");
    }

    #[test]
    fn anonymous_volumes_are_carried_over_unless_the_file_mounts_there() {
        let mut create = create(ContainerRuntime {
            mounts: vec![
                mount("/anonymous", MountSource::Anonymous),
                mount(
                    "/data",
                    MountSource::Volume { volume: ResourceId::volume("d"), host_name: "p_d".to_owned() },
                ),
                mount("/new", MountSource::Anonymous),
            ],
            ..ContainerRuntime::default()
        });
        create.inherit = [("v1", "/anonymous"), ("v2", "/data"), ("v3", "/image")]
            .map(|(v, t)| (v.to_owned(), t.to_owned()))
            .to_vec();
        let body = container(&create);
        let mounts = body["HostConfig"]["Mounts"].as_array().expect("a list");
        let seen: Vec<_> =
            mounts.iter().map(|m| (m["Source"].as_str(), m["Target"].as_str().unwrap_or(""))).collect();
        assert_eq!(
            seen,
            [(Some("v1"), "/anonymous"), (Some("p_d"), "/data"), (None, "/new"), (Some("v3"), "/image")]
        );
    }

    #[test]
    fn published_ports_are_exposed_too() {
        let port = |host_ip: &str, host_port, protocol| PortBinding {
            host_ip: host_ip.parse().expect("an address"),
            host_port,
            container_port: 80,
            protocol,
        };
        let ports = vec![port("0.0.0.0", Some(8080), Protocol::Tcp), port("127.0.0.1", None, Protocol::Udp)];
        let body = container(&create(ContainerRuntime { ports, ..ContainerRuntime::default() }));
        assert_eq!(body["ExposedPorts"], json!({"80/tcp": {}, "80/udp": {}}));
        let expected = json!({
            "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}],
            "80/udp": [{"HostIp": "127.0.0.1", "HostPort": ""}],
        });
        assert_eq!(body["HostConfig"]["PortBindings"], expected);
    }

    #[test]
    fn an_empty_entrypoint_is_none_and_not_the_images() {
        let body =
            container(&create(ContainerRuntime { entrypoint: Some(vec![]), ..ContainerRuntime::default() }));
        assert_eq!(body["Entrypoint"], json!([""]));
    }

    #[test]
    fn an_update_names_only_what_differs() {
        let limits = |memory, nano_cpus, pids| Limits { memory, nano_cpus, pids, ..Limits::default() };
        assert!(update(&limits(5, 6, 7), &limits(5, 6, 7)).is_empty());
        let body = Value::from(update(&limits(100, 0, 7), &limits(50, 0, 7)));
        assert_eq!(body, json!({"Memory": 100, "MemorySwap": 200}));
        let lifted = update(&limits(0, 0, 0), &limits(50, 1, 7));
        assert_eq!((&lifted["Memory"], &lifted["PidsLimit"]), (&json!(MEMORY_LIFTED), &json!(-1)));
        assert!(is_cpu_lifted(lifted["NanoCpus"].as_i64().unwrap_or(0)));
    }
}
