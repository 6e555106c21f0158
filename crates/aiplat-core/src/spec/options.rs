//! The rarer options of a container, by what they are about. Each says itself in Compose's words: the fingerprint and
//! `aiplatctl config` are both made of those.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::ResourceId;

/// Keys of Compose and their values; what is at its default is left out.
pub type Words = Vec<(&'static str, Value)>;

/// Everything of a container that is not in a field of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// What its process is given.
    pub process: Process,
    /// What it may do.
    pub confinement: Confinement,
    /// Who it is in the network.
    pub identity: Identity,
    /// What of the machine it gets.
    pub hardware: Hardware,
}

/// What its process is given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// `None`: the image's.
    pub working_dir: Option<String>,
    /// A small init as process 1; `None`: as the engine is configured.
    pub init: Option<bool>,
    /// A terminal.
    pub tty: bool,
    /// Standard input stays open.
    pub stdin_open: bool,
    /// By name, as in `nofile`.
    pub ulimits: BTreeMap<String, Ulimit>,
    /// -1000 to 1000; more is killed sooner.
    pub oom_score_adj: i64,
    /// The kernel does not kill it for memory.
    pub oom_kill_disable: bool,
    /// Bytes of `/dev/shm`; `None`: the engine's default.
    pub shm_size: Option<i64>,
    /// File systems in memory: target to mount options.
    pub tmpfs: BTreeMap<String, String>,
    /// `None`: the engine's default driver, with a bound on its files where it knows one.
    pub logging: Option<Logging>,
    /// Notes for the runtime.
    pub annotations: BTreeMap<String, String>,
    /// `linux/amd64`; `None`: the machine's own.
    pub platform: Option<String>,
    /// The OCI runtime; `None`: the engine's default.
    pub runtime: Option<String>,
    /// Options of the storage driver.
    pub storage_opt: BTreeMap<String, String>,
}

/// One limit of the kernel on a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// What is in force; -1 is none.
    pub soft: i64,
    /// How far it may be raised; -1 is none.
    pub hard: i64,
}

/// `logging:`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logging {
    /// `None`: the engine's default.
    pub driver: Option<String>,
    /// Of the driver.
    pub options: BTreeMap<String, String>,
}

/// What a container may do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// Everything.
    pub privileged: bool,
    /// No writes to its own file system.
    pub read_only: bool,
    /// Without `CAP_`, in capitals.
    pub cap_add: BTreeSet<String>,
    /// Without `CAP_`, in capitals.
    pub cap_drop: BTreeSet<String>,
    /// `name=value`; the profile of `seccomp=` itself, not its path.
    pub security_opt: BTreeSet<String>,
    /// Settings of the kernel in its namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// Further groups of its process.
    pub group_add: BTreeSet<String>,
    /// Whose processes it sees.
    pub pid: Namespace,
    /// Whose shared memory it sees.
    pub ipc: Namespace,
    /// Whose host name it has.
    pub uts: Namespace,
    /// Whose users it has.
    pub userns: Namespace,
    /// Whose control groups it sees.
    pub cgroup: Namespace,
    /// The control group that its own is made in.
    pub cgroup_parent: Option<String>,
}

/// One of the kernel's namespaces: of its own, or somebody else's.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Namespace {
    /// Nothing is said: the engine's default, and for the network that of `networks`.
    #[default]
    Unsaid,
    /// Of its own.
    Private,
    /// Of its own, and others may join.
    Shareable,
    /// None at all.
    None,
    /// The engine's own bridge, without names.
    Bridge,
    /// The host's.
    Host,
    /// That of a service of this file, by `container/<service>`.
    Service(ResourceId),
    /// That of a container which is not of this file, by name.
    Container(String),
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsaid => Ok(()),
            Self::Private => f.write_str("private"),
            Self::Shareable => f.write_str("shareable"),
            Self::None => f.write_str("none"),
            Self::Bridge => f.write_str("bridge"),
            Self::Host => f.write_str("host"),
            Self::Service(id) => write!(f, "service:{}", id.key()),
            Self::Container(name) => write!(f, "container:{name}"),
        }
    }
}

impl Namespace {
    /// The service whose namespace it is.
    #[must_use]
    pub fn service(&self) -> Option<&ResourceId> {
        match self {
            Self::Service(id) => Some(id),
            Self::Unsaid
            | Self::Private
            | Self::Shareable
            | Self::None
            | Self::Bridge
            | Self::Host
            | Self::Container(_) => None,
        }
    }

    fn word(&self) -> Option<Value> {
        (*self != Self::Unsaid).then(|| json!(self.to_string()))
    }
}

/// Who a container is in the network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Unsaid: its `networks`.
    pub network_mode: Namespace,
    /// `None`: the engine's, the container's short id.
    pub hostname: Option<String>,
    /// NIS domain.
    pub domainname: Option<String>,
    /// Name servers.
    pub dns: Vec<String>,
    /// Domains to try.
    pub dns_search: Vec<String>,
    /// Options of the resolver.
    pub dns_opt: Vec<String>,
    /// Lines of `/etc/hosts`: name and address.
    pub extra_hosts: Vec<(String, String)>,
    /// On the network that it is made on.
    pub mac_address: Option<String>,
    /// Ports that it says it listens on: `80/tcp`.
    pub expose: BTreeSet<String>,
}

/// What of the machine a container gets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hardware {
    /// Device files of the host.
    pub devices: Vec<Device>,
    /// Devices by the name of the Container Device Interface: `vendor.com/class=name`.
    pub cdi_devices: Vec<String>,
    /// Rules of the device control group: `c 1:3 mr`.
    pub device_cgroup_rules: Vec<String>,
    /// `gpus` and `deploy.resources.reservations.devices`.
    pub requests: Vec<DeviceRequest>,
    /// Limits on block devices. Not live: many kernels have none of them, which only shows in what the engine drops.
    pub blkio: Blkio,
    /// Not live: the engine changes no running container between these and `cpus`.
    pub cpu_period: Option<i64>,
    /// See `cpu_period`.
    pub cpu_quota: Option<i64>,
    /// Microseconds.
    pub cpu_rt_period: Option<i64>,
    /// Microseconds.
    pub cpu_rt_runtime: Option<i64>,
    /// 0 to 100.
    pub mem_swappiness: Option<i64>,
}

/// One device file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Device {
    /// On the host.
    pub source: String,
    /// In the container.
    pub target: String,
    /// Of `r`, `w` and `m`.
    pub permissions: String,
}

/// Devices that a driver hands out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRequest {
    /// `None`: whichever has the capabilities.
    pub driver: Option<String>,
    /// -1: all.
    pub count: i64,
    /// These very ones, instead of a count.
    pub device_ids: Vec<String>,
    /// All of them.
    pub capabilities: Vec<String>,
    /// Of the driver.
    pub options: BTreeMap<String, String>,
}

/// `blkio_config:`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blkio {
    /// 10 to 1000.
    pub weight: Option<i64>,
    /// Path and weight.
    pub weight_device: Vec<(String, i64)>,
    /// Path and bytes a second.
    pub device_read_bps: Vec<(String, i64)>,
    /// Path and bytes a second.
    pub device_write_bps: Vec<(String, i64)>,
    /// Path and operations a second.
    pub device_read_iops: Vec<(String, i64)>,
    /// Path and operations a second.
    pub device_write_iops: Vec<(String, i64)>,
}

impl Options {
    /// Every option that is set, in Compose's words and a fixed order.
    #[must_use]
    pub fn words(&self) -> Words {
        let Self { process, confinement, identity, hardware } = self;
        let mut words = process.words();
        words.extend(confinement.words());
        words.extend(identity.words());
        words.extend(hardware.words());
        words
    }

    /// The services whose namespaces it joins, each with the key that says so.
    pub fn joins(&self) -> impl Iterator<Item = (&'static str, &ResourceId)> {
        let Confinement { pid, ipc, .. } = &self.confinement;
        let all = [("network_mode", &self.identity.network_mode), ("pid", pid), ("ipc", ipc)];
        all.into_iter().filter_map(|(key, namespace)| Some((key, namespace.service()?)))
    }
}

impl Process {
    fn words(&self) -> Words {
        let Self {
            working_dir,
            init,
            tty,
            stdin_open,
            ulimits,
            oom_score_adj,
            oom_kill_disable,
            shm_size,
            tmpfs,
            logging,
            annotations,
            platform,
            runtime,
            storage_opt,
        } = self;
        let ulimits: BTreeMap<&String, Value> = ulimits
            .iter()
            .map(|(name, Ulimit { soft, hard })| (name, json!({"hard": hard, "soft": soft})))
            .collect();
        let tmpfs: Vec<String> = tmpfs.iter().map(|(target, options)| mount_text(target, options)).collect();
        present([
            ("working_dir", some(working_dir)),
            ("init", some(init)),
            ("tty", set(*tty)),
            ("stdin_open", set(*stdin_open)),
            ("ulimits", (!ulimits.is_empty()).then(|| json!(ulimits))),
            ("oom_score_adj", (*oom_score_adj != 0).then(|| json!(oom_score_adj))),
            ("oom_kill_disable", set(*oom_kill_disable)),
            ("shm_size", some(shm_size)),
            ("tmpfs", (!tmpfs.is_empty()).then(|| json!(tmpfs))),
            ("logging", logging.as_ref().map(Logging::word)),
            ("annotations", map(annotations)),
            ("platform", some(platform)),
            ("runtime", some(runtime)),
            ("storage_opt", map(storage_opt)),
        ])
    }
}

impl Logging {
    fn word(&self) -> Value {
        let Self { driver, options } = self;
        json!({"driver": driver, "options": options})
    }
}

impl Confinement {
    fn words(&self) -> Words {
        let Self {
            privileged,
            read_only,
            cap_add,
            cap_drop,
            security_opt,
            sysctls,
            group_add,
            pid,
            ipc,
            uts,
            userns,
            cgroup,
            cgroup_parent,
        } = self;
        let list = |items: &BTreeSet<String>| (!items.is_empty()).then(|| json!(items));
        present([
            ("privileged", set(*privileged)),
            ("read_only", set(*read_only)),
            ("cap_add", list(cap_add)),
            ("cap_drop", list(cap_drop)),
            ("security_opt", list(security_opt)),
            ("sysctls", map(sysctls)),
            ("group_add", list(group_add)),
            ("pid", pid.word()),
            ("ipc", ipc.word()),
            ("uts", uts.word()),
            ("userns_mode", userns.word()),
            ("cgroup", cgroup.word()),
            ("cgroup_parent", some(cgroup_parent)),
        ])
    }
}

impl Identity {
    fn words(&self) -> Words {
        let Self {
            network_mode,
            hostname,
            domainname,
            dns,
            dns_search,
            dns_opt,
            extra_hosts,
            mac_address,
            expose,
        } = self;
        let list = |items: &Vec<String>| (!items.is_empty()).then(|| json!(items));
        let hosts: Vec<String> =
            extra_hosts.iter().map(|(name, address)| format!("{name}={address}")).collect();
        present([
            ("network_mode", network_mode.word()),
            ("hostname", some(hostname)),
            ("domainname", some(domainname)),
            ("dns", list(dns)),
            ("dns_search", list(dns_search)),
            ("dns_opt", list(dns_opt)),
            ("extra_hosts", list(&hosts)),
            ("mac_address", some(mac_address)),
            ("expose", (!expose.is_empty()).then(|| json!(expose))),
        ])
    }
}

impl Hardware {
    fn words(&self) -> Words {
        let Self {
            devices,
            cdi_devices,
            device_cgroup_rules,
            requests,
            blkio,
            cpu_period,
            cpu_quota,
            cpu_rt_period,
            cpu_rt_runtime,
            mem_swappiness,
        } = self;
        let device =
            |Device { source, target, permissions }: &Device| format!("{source}:{target}:{permissions}");
        let devices: Vec<String> = devices.iter().map(device).chain(cdi_devices.iter().cloned()).collect();
        let requests: Vec<Value> = requests.iter().map(DeviceRequest::word).collect();
        present([
            ("devices", (!devices.is_empty()).then(|| json!(devices))),
            ("device_cgroup_rules", (!device_cgroup_rules.is_empty()).then(|| json!(device_cgroup_rules))),
            ("gpus", (!requests.is_empty()).then(|| json!(requests))),
            ("blkio_config", (*blkio != Blkio::default()).then(|| blkio.word())),
            ("cpu_period", some(cpu_period)),
            ("cpu_quota", some(cpu_quota)),
            ("cpu_rt_period", some(cpu_rt_period)),
            ("cpu_rt_runtime", some(cpu_rt_runtime)),
            ("mem_swappiness", some(mem_swappiness)),
        ])
    }
}

impl DeviceRequest {
    fn word(&self) -> Value {
        let Self { driver, count, device_ids, capabilities, options } = self;
        let count = match count {
            _ if !device_ids.is_empty() => None,
            -1 => Some(json!("all")),
            count => Some(json!(count)),
        };
        let words = present([
            ("capabilities", Some(json!(capabilities))),
            ("count", count),
            ("device_ids", (!device_ids.is_empty()).then(|| json!(device_ids))),
            ("driver", some(driver)),
            ("options", map(options)),
        ]);
        words.into_iter().collect()
    }
}

impl Blkio {
    fn word(&self) -> Value {
        let Self {
            weight,
            weight_device,
            device_read_bps,
            device_write_bps,
            device_read_iops,
            device_write_iops,
        } = self;
        let each = |key: &str, all: &[(String, i64)]| {
            let all: Vec<Value> =
                all.iter().map(|(path, value)| json!({"path": path, (key): value})).collect();
            (!all.is_empty()).then(|| json!(all))
        };
        let words = present([
            ("weight", some(weight)),
            ("weight_device", each("weight", weight_device)),
            ("device_read_bps", each("rate", device_read_bps)),
            ("device_write_bps", each("rate", device_write_bps)),
            ("device_read_iops", each("rate", device_read_iops)),
            ("device_write_iops", each("rate", device_write_iops)),
        ]);
        words.into_iter().collect()
    }
}

fn present<const N: usize>(all: [(&'static str, Option<Value>); N]) -> Words {
    all.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}

fn some<T: Serialize>(value: &Option<T>) -> Option<Value> {
    value.as_ref().map(|value| json!(value))
}

fn set(flag: bool) -> Option<Value> {
    flag.then_some(Value::Bool(true))
}

fn map(entries: &BTreeMap<String, String>) -> Option<Value> {
    (!entries.is_empty()).then(|| json!(entries))
}

fn mount_text(target: &str, options: &str) -> String {
    if options.is_empty() { target.to_owned() } else { format!("{target}:{options}") }
}
