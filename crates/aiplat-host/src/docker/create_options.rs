//! The rarer options of a container in the body of its creation.

use std::collections::{BTreeMap, BTreeSet};

use aiplat_core::{
    ResourceId,
    observed::ContainerId,
    spec::{
        Blkio, Confinement, Device, DeviceRequest, Hardware, Identity, Logging, Namespace, Options, Process,
        Ulimit,
    },
};
use serde_json::{Map, Value, json};

/// The two halves of a body, and what they are made with.
pub(super) struct Halves<'a> {
    /// The container's own.
    pub(super) body: &'a mut Map<String, Value>,
    /// `HostConfig`.
    pub(super) host: &'a mut Map<String, Value>,
    /// The containers of the services whose namespaces it joins.
    pub(super) joins: &'a BTreeMap<ResourceId, ContainerId>,
    /// The engine writes logs to files, whose size somebody has to bound.
    pub(super) log_files: bool,
    /// The hardware address goes into the body; else it is in the endpoint.
    pub(super) mac_of_container: bool,
    /// What is asked for in place of the requests of the file.
    pub(super) gpus: Option<&'a [DeviceRequest]>,
}

impl Halves<'_> {
    pub(super) fn put(&mut self, options: &Options) {
        let Options { process, confinement, identity, hardware } = options;
        self.process(process);
        self.confinement(confinement);
        self.identity(identity);
        self.hardware(hardware);
    }

    fn body(&mut self, name: &str, value: impl Into<Value>) {
        self.body.insert(name.to_owned(), value.into());
    }

    fn host(&mut self, name: &str, value: impl Into<Value>) {
        self.host.insert(name.to_owned(), value.into());
    }

    fn process(&mut self, process: &Process) {
        let Process {
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
            // Of the query.
            platform: _,
            runtime,
            storage_opt,
        } = process;
        working_dir.iter().for_each(|folder| self.body("WorkingDir", folder.as_str()));
        init.iter().for_each(|init| self.host("Init", *init));
        if *tty {
            self.body("Tty", true);
        }
        if *stdin_open {
            self.body("OpenStdin", true);
        }
        if !ulimits.is_empty() {
            let one = |(name, Ulimit { soft, hard }): (&String, &Ulimit)| json!({"Name": name, "Soft": soft, "Hard": hard});
            self.host("Ulimits", ulimits.iter().map(one).collect::<Vec<_>>());
        }
        if *oom_score_adj != 0 {
            self.host("OomScoreAdj", *oom_score_adj);
        }
        if *oom_kill_disable {
            self.host("OomKillDisable", true);
        }
        shm_size.iter().for_each(|size| self.host("ShmSize", *size));
        self.map("Tmpfs", tmpfs);
        self.logging(logging.as_ref());
        self.map("Annotations", annotations);
        runtime.iter().for_each(|runtime| self.host("Runtime", runtime.as_str()));
        self.map("StorageOpt", storage_opt);
    }

    /// Nothing is said: files that grow without bound are what fills disks. Not part of the fingerprint, so that it
    /// comes with the next recreate and restarts nobody.
    fn logging(&mut self, logging: Option<&Logging>) {
        match logging {
            Some(Logging { driver, options }) => {
                self.host(
                    "LogConfig",
                    json!({"Type": driver.as_deref().unwrap_or_default(), "Config": options}),
                );
            }
            None if self.log_files => {
                self.host("LogConfig", json!({"Config": {"max-file": "3", "max-size": "10m"}}));
            }
            None => {}
        }
    }

    fn confinement(&mut self, confinement: &Confinement) {
        let Confinement {
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
        } = confinement;
        if *privileged {
            self.host("Privileged", true);
        }
        if *read_only {
            self.host("ReadonlyRootfs", true);
        }
        self.set("CapAdd", cap_add);
        self.set("CapDrop", cap_drop);
        // No word of the engine's: its client asks for nothing to be hidden.
        let unconfined = "systempaths=unconfined";
        let options: BTreeSet<String> =
            security_opt.iter().filter(|option| *option != unconfined).cloned().collect();
        self.set("SecurityOpt", &options);
        if security_opt.contains(unconfined) {
            self.host("MaskedPaths", json!([]));
            self.host("ReadonlyPaths", json!([]));
        }
        self.map("Sysctls", sysctls);
        self.set("GroupAdd", group_add);
        let modes = [
            ("PidMode", pid),
            ("IpcMode", ipc),
            ("UTSMode", uts),
            ("UsernsMode", userns),
            ("CgroupnsMode", cgroup),
        ];
        for (name, namespace) in modes {
            if let Some(mode) = mode(namespace, self.joins) {
                self.host(name, mode);
            }
        }
        cgroup_parent.iter().for_each(|parent| self.host("CgroupParent", parent.as_str()));
    }

    fn identity(&mut self, identity: &Identity) {
        let Identity {
            // With the networks.
            network_mode: _,
            hostname,
            domainname,
            dns,
            dns_search,
            dns_opt,
            extra_hosts,
            mac_address,
            // With the ports.
            expose: _,
        } = identity;
        hostname.iter().for_each(|name| self.body("Hostname", name.as_str()));
        domainname.iter().for_each(|name| self.body("Domainname", name.as_str()));
        self.list("Dns", dns);
        self.list("DnsSearch", dns_search);
        self.list("DnsOptions", dns_opt);
        let hosts: Vec<String> =
            extra_hosts.iter().map(|(name, address)| format!("{name}:{address}")).collect();
        self.list("ExtraHosts", &hosts);
        if self.mac_of_container {
            mac_address.iter().for_each(|address| self.body("MacAddress", address.as_str()));
        }
    }

    fn hardware(&mut self, hardware: &Hardware) {
        let Hardware {
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
        } = hardware;
        if !devices.is_empty() {
            let one = |Device { source, target, permissions }: &Device| json!({"PathOnHost": source, "PathInContainer": target, "CgroupPermissions": permissions});
            self.host("Devices", devices.iter().map(one).collect::<Vec<_>>());
        }
        self.list("DeviceCgroupRules", device_cgroup_rules);
        let cdi = (!cdi_devices.is_empty()).then(|| json!({"Driver": "cdi", "DeviceIDs": cdi_devices}));
        let requests = self.gpus.unwrap_or(requests);
        let requests: Vec<Value> = requests.iter().map(device_request).chain(cdi).collect();
        if !requests.is_empty() {
            self.host("DeviceRequests", requests);
        }
        self.blkio(blkio);
        let numbers = [
            ("CpuPeriod", cpu_period),
            ("CpuQuota", cpu_quota),
            ("CpuRealtimePeriod", cpu_rt_period),
            ("CpuRealtimeRuntime", cpu_rt_runtime),
            ("MemorySwappiness", mem_swappiness),
        ];
        for (name, number) in numbers {
            number.iter().for_each(|number| self.host(name, *number));
        }
    }

    fn blkio(&mut self, blkio: &Blkio) {
        let Blkio {
            weight,
            weight_device,
            device_read_bps,
            device_write_bps,
            device_read_iops,
            device_write_iops,
        } = blkio;
        weight.iter().for_each(|weight| self.host("BlkioWeight", *weight));
        let lists = [
            ("BlkioWeightDevice", "Weight", weight_device),
            ("BlkioDeviceReadBps", "Rate", device_read_bps),
            ("BlkioDeviceWriteBps", "Rate", device_write_bps),
            ("BlkioDeviceReadIOps", "Rate", device_read_iops),
            ("BlkioDeviceWriteIOps", "Rate", device_write_iops),
        ];
        for (name, key, list) in lists.into_iter().filter(|(_, _, list)| !list.is_empty()) {
            let one = |(path, value): &(String, i64)| json!({"Path": path, (key): value});
            self.host(name, list.iter().map(one).collect::<Vec<_>>());
        }
    }

    fn map(&mut self, name: &str, entries: &BTreeMap<String, String>) {
        if !entries.is_empty() {
            self.host(name, json!(entries));
        }
    }

    fn list(&mut self, name: &str, items: &[String]) {
        if !items.is_empty() {
            self.host(name, items);
        }
    }

    fn set(&mut self, name: &str, items: &BTreeSet<String>) {
        if !items.is_empty() {
            self.host(name, json!(items));
        }
    }
}

fn device_request(request: &DeviceRequest) -> Value {
    let DeviceRequest { driver, count, device_ids, capabilities, options } = request;
    let mut body = Map::new();
    body.extend(driver.iter().map(|driver| ("Driver".to_owned(), json!(driver))));
    if device_ids.is_empty() {
        body.insert("Count".to_owned(), json!(count));
    } else {
        body.insert("DeviceIDs".to_owned(), json!(device_ids));
    }
    // A list of alternatives, each a list of what is needed together. The driver `cdi` is chosen by its name alone.
    if !capabilities.is_empty() {
        body.insert("Capabilities".to_owned(), json!([capabilities]));
    }
    if !options.is_empty() {
        body.insert("Options".to_owned(), json!(options));
    }
    Value::Object(body)
}

/// A namespace in the engine's words; `None`: its default.
pub(super) fn mode(namespace: &Namespace, joins: &BTreeMap<ResourceId, ContainerId>) -> Option<String> {
    match namespace {
        Namespace::Unsaid => None,
        // `plan` names the container of every service that is joined; without one the engine says which is missing.
        Namespace::Service(id) => Some(format!("container:{}", joins.get(id).map_or(id.key(), |id| &id.0))),
        Namespace::Private
        | Namespace::Shareable
        | Namespace::None
        | Namespace::Bridge
        | Namespace::Host
        | Namespace::Container(_) => Some(namespace.to_string()),
    }
}
