//! Every key of a service: what is written in the file, and what the engine is then asked for. Through the real loader
//! and the real adapter.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use aiplat_core::{
    ResourceId,
    action::{Action, CreateContainer, OwnLabels},
    fingerprint,
    load::{Facts, Files, KeyRow, key_row, load, render},
    observed::ContainerId,
    spec::{InstanceId, Platform},
};
use aiplat_host::HostError;
use serde_json::{Map, Value, json};

use crate::{
    engine::{FakeEngine, answer_as},
    support::apply,
};

/// The files beside the platform.
struct Folder(String);

impl Files for Folder {
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, String> {
        let text = match path.to_str() {
            Some("/srv/platform.yaml") => &self.0,
            Some("/srv/web.env") => "FROM_FILE=1\n",
            Some("/srv/web.labels") => "com.example.tier=front\n",
            Some("/srv/seccomp.json") => "{\n  \"defaultAction\": \"SCMP_ACT_ERRNO\"\n}\n",
            _ => return Ok(None),
        };
        Ok(Some(text.as_bytes().to_vec()))
    }

    fn list(&self, _folder: &Path) -> Result<Option<Vec<PathBuf>>, String> {
        Ok(None)
    }
}

/// A state folder in which the file of the config `app` has been written.
fn state_dir() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("docker_fake");
    std::fs::create_dir_all(folder.join("configs")).unwrap();
    std::fs::write(folder.join("configs/app"), "a").unwrap();
    folder
}

/// A platform whose service `web` has these lines.
pub fn platform(lines: &str) -> Platform {
    let text = format!(
        "apiVersion: aiplat/v1\nname: home\nservices:\n  db: {{image: db, ipc: shareable}}\n  web:\n    {lines}\n    image: web:1\n\
         networks: {{default: , front: }}\nvolumes: {{data: }}\nconfigs: {{app: {{content: a}}}}\n"
    );
    // The last of two lines counts for nobody: a row that sets the image replaces it.
    let text = if lines.starts_with("image:") { text.replacen("    image: web:1\n", "", 1) } else { text };
    let facts = Facts {
        instance: InstanceId("i".to_owned()),
        state_dir: state_dir(),
        home: None,
        capacity: None,
        accept_compose: false,
    };
    let loaded = load(Path::new("/srv/platform.yaml"), &Folder(text.clone()), &facts);
    let seen = render(&loaded.diagnostics, &loaded.sources, false, 110);
    loaded.platform.unwrap_or_else(|| panic!("should load:\n{text}\n{seen}"))
}

/// What `plan` would ask for.
fn create(platform: &Platform) -> Action {
    let web = ResourceId::container("web");
    let spec = &platform.containers[&web];
    Action::CreateContainer(Box::new(CreateContainer {
        name: spec.host_name.clone(),
        labels: OwnLabels::of(platform, &web, fingerprint::of(&spec.runtime)),
        spec: Arc::new(spec.clone()),
        network: spec.live.first_network().cloned(),
        inherit: Vec::new(),
        joins: BTreeMap::from([(ResourceId::container("db"), ContainerId("d00d".to_owned()))]),
        gpus: None,
    }))
}

/// Path and body of the create call that an engine of that API version, with that log driver, gets.
async fn asked(
    platform: &Platform,
    version: &'static str,
    driver: &'static str,
) -> Result<(String, Value), HostError> {
    sent(create(platform), version, driver).await
}

/// Path and body of the call that `create` becomes.
pub async fn sent(
    create: Action,
    version: &'static str,
    driver: &'static str,
) -> Result<(String, Value), HostError> {
    let calls: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
    let seen = calls.clone();
    let engine = FakeEngine::absent();
    engine.listen(move |request, stream| {
        if request.path.contains("/containers/create") {
            let body = serde_json::from_slice(&request.body).unwrap();
            seen.lock().unwrap().push((request.path.clone(), body));
            return answer_as(stream, version, 201, r#"{"Id":"made","Warnings":[]}"#);
        }
        let info = format!(r#"{{"LoggingDriver":"{driver}"}}"#);
        answer_as(stream, version, 200, if request.path.ends_with("/info") { &info } else { "\"OK\"" });
    });
    apply(&engine.backend(), &ResourceId::container("web"), create).await?;
    let call = calls.lock().unwrap().pop();
    Ok(call.expect("one call"))
}

/// What is in `after` and not the same in `before`; what is gone is `null`.
fn difference(before: &Value, after: &Value) -> Value {
    let (Value::Object(one), Value::Object(two)) = (before, after) else { return after.clone() };
    let names: BTreeSet<&String> = one.keys().chain(two.keys()).collect();
    let mut found = Map::new();
    for name in names.into_iter().filter(|name| !name.starts_with("io.aiplat.")) {
        match (one.get(name), two.get(name)) {
            (Some(one), Some(two)) if one != two => {
                let inner = difference(one, two);
                // Labels of ours alone.
                if inner.as_object().is_none_or(|map| !map.is_empty()) {
                    found.insert(name.clone(), inner);
                }
            }
            (None, Some(two)) => drop(found.insert(name.clone(), two.clone())),
            (Some(_), None) => drop(found.insert(name.clone(), Value::Null)),
            (Some(_) | None, _) => {}
        }
    }
    Value::Object(found)
}

/// Key, what is written, and what that changes in the body.
fn table() -> Vec<(&'static str, &'static str, Value)> {
    let mut rows = plain();
    rows.extend(process());
    rows.extend(confinement());
    rows.extend(identity());
    rows.extend(hardware());
    rows
}

fn host(config: Value) -> Value {
    json!({ "HostConfig": config })
}

fn plain() -> Vec<(&'static str, &'static str, Value)> {
    let mounted = |mount: Value| host(json!({ "Mounts": [mount] }));
    vec![
        ("image", "image: other:2", json!({"Image": "other:2"})),
        ("command", "command: echo 'a b'", json!({"Cmd": ["echo", "a b"]})),
        ("entrypoint", "entrypoint: [sh, -c]", json!({"Entrypoint": ["sh", "-c"]})),
        ("environment", "environment: {A: 1}", json!({"Env": ["A=1"]})),
        ("env_file", "env_file: web.env", json!({"Env": ["FROM_FILE=1"]})),
        (
            "ports",
            "ports: [\"8080:80\"]",
            json!({"ExposedPorts": {"80/tcp": {}}, "HostConfig": {"PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}}}),
        ),
        (
            "configs",
            "configs: [{source: app, target: /etc/app.conf}]",
            mounted(
                json!({"Type": "bind", "Source": state_dir().join("configs/app"), "Target": "/etc/app.conf", "ReadOnly": true}),
            ),
        ),
        (
            "volumes",
            "volumes: [\"data:/d:ro,nocopy\"]",
            mounted(
                json!({"Type": "volume", "Source": "home_data", "Target": "/d", "ReadOnly": true, "VolumeOptions": {"NoCopy": true}}),
            ),
        ),
        (
            "volumes",
            "volumes: [{type: volume, source: data, target: /d, volume: {subpath: a/b}}]",
            mounted(
                json!({"Type": "volume", "Source": "home_data", "Target": "/d", "ReadOnly": false, "VolumeOptions": {"Subpath": "a/b"}}),
            ),
        ),
        (
            "volumes",
            "volumes: [{type: volume, target: /d, volume: {labels: {a: b}}}]",
            mounted(
                json!({"Type": "volume", "Target": "/d", "ReadOnly": false, "VolumeOptions": {"Labels": {"a": "b"}}}),
            ),
        ),
        (
            "volumes",
            "volumes: [\"/tmp:/t:rslave\"]",
            mounted(
                json!({"Type": "bind", "Source": "/tmp", "Target": "/t", "ReadOnly": false, "BindOptions": {"Propagation": "rslave"}}),
            ),
        ),
        (
            "volumes",
            "volumes: [{type: bind, source: /tmp, target: /t, bind: {recursive: disabled, propagation: shared}}]",
            mounted(
                json!({"Type": "bind", "Source": "/tmp", "Target": "/t", "ReadOnly": false, "BindOptions": {"NonRecursive": true, "Propagation": "shared"}}),
            ),
        ),
        (
            "volumes",
            "volumes: [{type: bind, source: /tmp, target: /t, read_only: true, bind: {recursive: readonly}}]",
            mounted(
                json!({"Type": "bind", "Source": "/tmp", "Target": "/t", "ReadOnly": true, "BindOptions": {"ReadOnlyForceRecursive": true}}),
            ),
        ),
        (
            "volumes",
            "volumes: [{type: tmpfs, target: /t, tmpfs: {size: 1m, mode: 1777}}]",
            mounted(
                json!({"Type": "tmpfs", "Target": "/t", "ReadOnly": false, "TmpfsOptions": {"SizeBytes": 1_048_576, "Mode": 0o1777}}),
            ),
        ),
        (
            "networks",
            "networks: {default: , front: {priority: 10, gw_priority: 1, interface_name: eth7, mac_address: \"02:42:AC:11:00:02\", link_local_ips: [169.254.8.8], driver_opts: {a: 1}}}",
            json!({
                "HostConfig": {"NetworkMode": "home_front"},
                "NetworkingConfig": {"EndpointsConfig": {
                    "home_default": null,
                    "home_front": {
                        "Aliases": ["web"], "GwPriority": 1, "MacAddress": "02:42:ac:11:00:02",
                        "IPAMConfig": {"LinkLocalIPs": ["169.254.8.8"]},
                        "DriverOpts": {"a": "1", "com.docker.network.endpoint.ifname": "eth7"},
                    },
                }},
            }),
        ),
        ("depends_on", "depends_on: [db]", json!({})),
        ("healthcheck", "healthcheck: {disable: true}", json!({"Healthcheck": {"Test": ["NONE"]}})),
        ("restart", "restart: always", json!({})),
        ("user", "user: 1000:1000", json!({"User": "1000:1000"})),
        ("labels", "labels: {a: b}", json!({"Labels": {"a": "b"}})),
        ("label_file", "label_file: web.labels", json!({"Labels": {"com.example.tier": "front"}})),
        ("stop_signal", "stop_signal: SIGINT", json!({"StopSignal": "SIGINT"})),
        ("stop_grace_period", "stop_grace_period: 1m", json!({"StopTimeout": 60})),
        ("pull_policy", "pull_policy: never", json!({})),
        (
            "container_name",
            "container_name: site",
            json!({"NetworkingConfig": {"EndpointsConfig": {"home_default": {"Aliases": ["web", "site"]}}}}),
        ),
        (
            "deploy",
            "deploy: {resources: {limits: {cpus: 1.5, memory: 1g, pids: 9}, reservations: {memory: 64m, devices: [{driver: nvidia, count: 2, capabilities: [gpu, compute], options: {a: b}}]}}}",
            host(json!({
                "Memory": 1_073_741_824, "NanoCpus": 1_500_000_000, "PidsLimit": 9, "MemoryReservation": 67_108_864,
                "DeviceRequests": [{"Driver": "nvidia", "Count": 2, "Capabilities": [["gpu", "compute"]], "Options": {"a": "b"}}],
            })),
        ),
        ("profiles", "profiles: []", json!({})),
        ("attach", "attach: false", json!({})),
    ]
}

fn process() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        ("working_dir", "working_dir: /srv/app", json!({"WorkingDir": "/srv/app"})),
        ("init", "init: true", host(json!({"Init": true}))),
        ("tty", "tty: true", json!({"Tty": true})),
        ("stdin_open", "stdin_open: true", json!({"OpenStdin": true})),
        (
            "ulimits",
            "ulimits: {nofile: {soft: 1024, hard: 4096}, nproc: 100}",
            host(
                json!({"Ulimits": [{"Name": "nofile", "Soft": 1024, "Hard": 4096}, {"Name": "nproc", "Soft": 100, "Hard": 100}]}),
            ),
        ),
        ("oom_score_adj", "oom_score_adj: -100", host(json!({"OomScoreAdj": -100}))),
        ("oom_kill_disable", "oom_kill_disable: true", host(json!({"OomKillDisable": true}))),
        ("shm_size", "shm_size: 256m", host(json!({"ShmSize": 268_435_456}))),
        (
            "tmpfs",
            "tmpfs: [/run, \"/tmp:size=64m,mode=1777\"]",
            host(json!({"Tmpfs": {"/run": "", "/tmp": "size=64m,mode=1777"}})),
        ),
        (
            "logging",
            "logging: {driver: json-file, options: {max-size: 5m, max-file: 2}}",
            host(json!({"LogConfig": {"Type": "json-file", "Config": {"max-size": "5m", "max-file": "2"}}})),
        ),
        ("annotations", "annotations: [a=b]", host(json!({"Annotations": {"a": "b"}}))),
        ("platform", "platform: linux/amd64", json!({})),
        ("runtime", "runtime: nvidia", host(json!({"Runtime": "nvidia"}))),
        ("storage_opt", "storage_opt: {size: 10G}", host(json!({"StorageOpt": {"size": "10G"}}))),
        ("mem_limit", "mem_limit: 64m", host(json!({"Memory": 67_108_864}))),
        ("mem_reservation", "mem_reservation: 64m", host(json!({"MemoryReservation": 67_108_864}))),
        (
            "memswap_limit",
            "{mem_limit: 64m, memswap_limit: 96m",
            host(json!({"Memory": 67_108_864, "MemorySwap": 100_663_296})),
        ),
        ("mem_swappiness", "mem_swappiness: 0", host(json!({"MemorySwappiness": 0}))),
        ("cpus", "cpus: 0.5", host(json!({"NanoCpus": 500_000_000}))),
        ("cpu_shares", "cpu_shares: 512", host(json!({"CpuShares": 512}))),
        ("cpuset", "cpuset: 3,0-1", host(json!({"CpusetCpus": "0-1,3"}))),
        ("pids_limit", "pids_limit: 50", host(json!({"PidsLimit": 50}))),
        ("cpu_period", "cpu_period: 50ms", host(json!({"CpuPeriod": 50_000}))),
        ("cpu_quota", "cpu_quota: 25000", host(json!({"CpuQuota": 25_000}))),
        ("cpu_rt_period", "cpu_rt_period: 1000000", host(json!({"CpuRealtimePeriod": 1_000_000}))),
        ("cpu_rt_runtime", "cpu_rt_runtime: 400ms", host(json!({"CpuRealtimeRuntime": 400_000}))),
    ]
}

fn confinement() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        (
            "privileged",
            "{privileged: true, allow_host_access: [privileged]",
            host(json!({"Privileged": true})),
        ),
        ("read_only", "read_only: true", host(json!({"ReadonlyRootfs": true}))),
        (
            "cap_add",
            "cap_add: [net_bind_service, CAP_NET_ADMIN]",
            host(json!({"CapAdd": ["NET_ADMIN", "NET_BIND_SERVICE"]})),
        ),
        ("cap_drop", "cap_drop: [ALL]", host(json!({"CapDrop": ["ALL"]}))),
        (
            "security_opt",
            "security_opt: [no-new-privileges, \"seccomp:seccomp.json\", \"label:type:web_t\"]",
            host(
                json!({"SecurityOpt": ["label=type:web_t", "no-new-privileges=true", "seccomp={\"defaultAction\":\"SCMP_ACT_ERRNO\"}"]}),
            ),
        ),
        (
            "security_opt",
            "{security_opt: [systempaths=unconfined], allow_host_access: [unconfined]",
            host(json!({"MaskedPaths": [], "ReadonlyPaths": []})),
        ),
        (
            "sysctls",
            "sysctls: {net.core.somaxconn: 1024}",
            host(json!({"Sysctls": {"net.core.somaxconn": "1024"}})),
        ),
        ("group_add", "group_add: [video, 44]", host(json!({"GroupAdd": ["44", "video"]}))),
        ("pid", "pid: service:db", host(json!({"PidMode": "container:d00d"}))),
        ("ipc", "ipc: service:db", host(json!({"IpcMode": "container:d00d"}))),
        ("uts", "{uts: host, allow_host_access: [host-uts]", host(json!({"UTSMode": "host"}))),
        (
            "userns_mode",
            "{userns_mode: host, allow_host_access: [host-userns]",
            host(json!({"UsernsMode": "host"})),
        ),
        ("cgroup", "cgroup: private", host(json!({"CgroupnsMode": "private"}))),
        ("cgroup_parent", "cgroup_parent: media.slice", host(json!({"CgroupParent": "media.slice"}))),
    ]
}

fn identity() -> Vec<(&'static str, &'static str, Value)> {
    let mode = |mode: &str| json!({"HostConfig": {"NetworkMode": mode}, "NetworkingConfig": null});
    vec![
        ("network_mode", "network_mode: none", mode("none")),
        ("network_mode", "network_mode: bridge", mode("bridge")),
        ("network_mode", "{network_mode: host, allow_host_access: [host-network]", mode("host")),
        ("network_mode", "network_mode: service:db", mode("container:d00d")),
        ("network_mode", "network_mode: container:vpn", mode("container:vpn")),
        ("hostname", "hostname: web.example", json!({"Hostname": "web.example"})),
        ("domainname", "domainname: example", json!({"Domainname": "example"})),
        ("dns", "dns: 1.1.1.1", host(json!({"Dns": ["1.1.1.1"]}))),
        (
            "dns_search",
            "dns_search: [a.example, b.example]",
            host(json!({"DnsSearch": ["a.example", "b.example"]})),
        ),
        ("dns_opt", "dns_opt: [\"ndots:1\"]", host(json!({"DnsOptions": ["ndots:1"]}))),
        (
            "extra_hosts",
            "extra_hosts: [\"host.docker.internal:host-gateway\", \"db.example=10.0.0.5\", \"v6=[::1]\"]",
            host(
                json!({"ExtraHosts": ["db.example:10.0.0.5", "host.docker.internal:host-gateway", "v6:::1"]}),
            ),
        ),
        (
            "extra_hosts",
            "extra_hosts: {b: [10.0.0.2, 10.0.0.1], a: 10.0.0.3}",
            host(json!({"ExtraHosts": ["a:10.0.0.3", "b:10.0.0.2", "b:10.0.0.1"]})),
        ),
        (
            "mac_address",
            "mac_address: 02-42-ac-11-00-02",
            json!({"NetworkingConfig": {"EndpointsConfig": {"home_default": {"MacAddress": "02:42:ac:11:00:02"}}}}),
        ),
        (
            "expose",
            "expose: [80, \"53/udp\", 8000-8001]",
            json!({"ExposedPorts": {"80/tcp": {}, "53/udp": {}, "8000/tcp": {}, "8001/tcp": {}}}),
        ),
    ]
}

fn hardware() -> Vec<(&'static str, &'static str, Value)> {
    let device = |source: &str, target: &str, allowed: &str| json!({"PathOnHost": source, "PathInContainer": target, "CgroupPermissions": allowed});
    vec![
        (
            "devices",
            "{devices: [\"/dev/ttyUSB0:/dev/modem:rw\", {source: /dev/null}, /dev/dri], allow_host_access: [/dev/ttyUSB0]",
            host(json!({"Devices": [
                device("/dev/dri", "/dev/dri", "rwm"), device("/dev/null", "/dev/null", "rwm"), device("/dev/ttyUSB0", "/dev/modem", "rw"),
            ]})),
        ),
        (
            "devices",
            "devices: [nvidia.com/gpu=all]",
            host(json!({"DeviceRequests": [{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=all"]}]})),
        ),
        (
            "device_cgroup_rules",
            "{device_cgroup_rules: [\"c 189:* rmw\"], allow_host_access: [device-rules]",
            host(json!({"DeviceCgroupRules": ["c 189:* rmw"]})),
        ),
        ("gpus", "gpus: all", host(json!({"DeviceRequests": [{"Count": -1, "Capabilities": [["gpu"]]}]}))),
        (
            "gpus",
            "gpus: [{driver: nvidia, device_ids: [GPU-1], capabilities: [compute]}]",
            host(
                json!({"DeviceRequests": [{"Driver": "nvidia", "DeviceIDs": ["GPU-1"], "Capabilities": [["gpu", "compute"]]}]}),
            ),
        ),
        (
            "blkio_config",
            "blkio_config: {weight: 300, weight_device: [{path: /dev/sda, weight: 400}], device_read_bps: [{path: /dev/sda, rate: 1m}], device_write_iops: [{path: /dev/sda, rate: 30}]}",
            host(json!({
                "BlkioWeight": 300, "BlkioWeightDevice": [{"Path": "/dev/sda", "Weight": 400}],
                "BlkioDeviceReadBps": [{"Path": "/dev/sda", "Rate": 1_048_576}], "BlkioDeviceWriteIOps": [{"Path": "/dev/sda", "Rate": 30}],
            })),
        ),
    ]
}

/// A row that begins with a brace holds more than one key.
fn lines(row: &str) -> String {
    match row.strip_prefix('{') {
        Some(_) => format!("<<: {row}}}"),
        None => row.to_owned(),
    }
}

#[tokio::test]
async fn every_key_asks_the_engine_for_what_it_says() {
    let (_, plain) = asked(&platform("labels: {}"), "1.48", "journald").await.unwrap();
    let mut wrong = Vec::new();
    for (key, row, expected) in table() {
        let (_, body) = asked(&platform(&lines(row)), "1.48", "journald").await.unwrap();
        let found = difference(&plain, &body);
        if found != expected {
            wrong.push(format!("{key}: {row}\n  asks for {found}\n  and not  {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_key_of_a_service_is_left_out_of_the_table() {
    let schema: Value =
        serde_json::from_str(include_str!("../../../aiplat-core/tests/fixtures/compose-spec.json")).unwrap();
    let keys = schema["definitions"]["service"]["properties"].as_object().unwrap().keys();
    let supported: BTreeSet<&str> = keys
        .map(String::as_str)
        // With a `provider` a service is no container, and the engine is asked for nothing.
        .filter(|key| *key != "provider" && key_row(&["services", "*", key]) == Some(KeyRow::Supported))
        .collect();
    let table = table();
    let shown: BTreeSet<&str> = table.iter().map(|(key, ..)| *key).collect();
    assert_eq!(supported, shown);
}

#[tokio::test]
async fn the_platform_of_an_image_is_asked_for_in_the_query() {
    let (path, _) = asked(&platform("platform: linux/arm64"), "1.41", "journald").await.unwrap();
    assert_eq!(path, "/v1.41/containers/create?name=home-web&platform=linux%2Farm64");
}

#[tokio::test]
async fn a_log_without_bound_gets_one_where_the_engine_writes_files() {
    let log = |body: &Value| body["HostConfig"]["LogConfig"].clone();
    for (driver, expected) in [
        ("json-file", json!({"Config": {"max-file": "3", "max-size": "10m"}})),
        ("local", json!({"Config": {"max-file": "3", "max-size": "10m"}})),
        ("journald", Value::Null),
        ("", Value::Null),
    ] {
        let (_, body) = asked(&platform("labels: {}"), "1.41", driver).await.unwrap();
        assert_eq!(log(&body), expected, "{driver}");
    }
    let (_, body) = asked(&platform("logging: {options: {tag: web}}"), "1.41", "json-file").await.unwrap();
    assert_eq!(log(&body), json!({"Type": "", "Config": {"tag": "web"}}), "as it is written, and no more");
}

#[tokio::test]
async fn an_older_engine_takes_a_hardware_address_for_the_container() {
    let (_, body) = asked(&platform("mac_address: \"02:42:ac:11:00:02\""), "1.43", "journald").await.unwrap();
    assert_eq!(body["MacAddress"], "02:42:ac:11:00:02");
    assert_eq!(body["NetworkingConfig"], json!({"EndpointsConfig": {"home_default": {"Aliases": ["web"]}}}));
}

#[tokio::test]
async fn what_an_engine_is_too_old_for_is_refused_and_not_dropped() {
    let rows = [
        ("annotations: {a: b}", "1.42", "`annotations` needs Docker Engine 24 (API 1.43)"),
        ("devices: [a.example/b=c]", "1.43", "`devices: [a.example/b=c]` needs Docker Engine 25 (API 1.44)"),
        (
            "volumes: [{type: bind, source: /tmp, target: /t, bind: {recursive: writable}}]",
            "1.43",
            "`bind.recursive: writable` needs Docker Engine 25 (API 1.44)",
        ),
        (
            "volumes: [{type: volume, source: data, target: /d, volume: {subpath: a}}]",
            "1.44",
            "`volume.subpath` needs Docker Engine 26 (API 1.45)",
        ),
        (
            "networks: {default: {mac_address: \"02:42:ac:11:00:02\"}}",
            "1.43",
            "`networks.*.mac_address` needs Docker Engine 25 (API 1.44)",
        ),
        (
            "networks: {default: {gw_priority: 1}}",
            "1.47",
            "`networks.*.gw_priority` needs Docker Engine 28 (API 1.48)",
        ),
        (
            "networks: {default: {interface_name: e}}",
            "1.47",
            "`networks.*.interface_name` needs Docker Engine 28 (API 1.48)",
        ),
    ];
    for (row, version, sentence) in rows {
        let error = asked(&platform(row), version, "journald").await.unwrap_err();
        let expected =
            format!("cannot create container `home-web`: {sentence}, and this one speaks API {version}; ");
        assert!(error.message.starts_with(&expected), "{row}\n{error}\n{expected}");
        let (class, reason) = (error.class, error.reason);
        assert_eq!(class, aiplat_core::condition::ErrorClass::Unsupported, "{row}");
        assert_eq!(reason, aiplat_core::condition::Reason::Unsupported, "{row}");
    }
}

#[tokio::test]
async fn a_key_newer_than_what_we_were_written_against_is_asked_for_in_its_own_version() {
    let row = "networks: {default: {gw_priority: 1}}";
    let (path, _) = asked(&platform(row), "1.51", "journald").await.unwrap();
    assert!(path.starts_with("/v1.48/"), "{path}");
}
