//! A platform as it is understood, in the words of the file: merged, every name final, secrets left out.

mod configs;
mod gpus;
mod host;
mod options;
mod units;

use std::{collections::BTreeMap, time::Duration};

pub(super) use aiplat_core::secret::{REDACTED, redacted};
use aiplat_core::secret::{is_secret, without_password};
use aiplat_core::{
    Kind, ResourceId,
    spec::{
        ApplyMode, Attachment, ContainerLive, ContainerPolicy, ContainerRuntime, ContainerSpec, Dependency,
        DependencyCondition, FailureAction, ImageSpec, Limits, Mode, ModelSpec, Mount, MountSource,
        NetworkSpec, OnExhausted, Platform, RestartMode, RestartSettings, ServiceSpec, Settings, Subnet,
        UpdateOrder, UpdatePolicy, VolumeSpec,
    },
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use configs::{configs, grants};
use gpus::with_needs;
use options::{mount_options, words};
use units::unit;

/// The file that would say all of this explicitly.
#[derive(Debug, Serialize)]
pub struct Config {
    #[serde(rename = "apiVersion")]
    api_version: &'static str,
    name: String,
    #[serde(skip_serializing_if = "Value::is_null")]
    host: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    tier: Option<String>,
    reconcile: Reconcile,
    services: BTreeMap<String, Entry>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    networks: BTreeMap<String, Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    volumes: BTreeMap<String, Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    configs: BTreeMap<String, Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    models: BTreeMap<String, Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    gates: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Serialize)]
struct Reconcile {
    mode: &'static str,
    apply: &'static str,
    resync: String,
    restart_policy: RestartPolicy,
}

#[derive(Debug, Serialize)]
struct RestartPolicy {
    delay: String,
    max_delay: String,
    reset_after: String,
    crash_loop: u32,
    window: String,
    on_exhausted: &'static str,
}

/// A service, in the order in which a person writes its keys.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Entry {
    Container(Box<Service>),
    Unit(Box<units::Unit>),
}

#[derive(Debug, Serialize)]
struct Service {
    container_name: String,
    image: String,
    #[serde(skip_serializing_if = "Value::is_null")]
    pull_policy: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    entrypoint: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    environment: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ports: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    volumes: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    configs: Vec<Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    networks: BTreeMap<String, Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    depends_on: BTreeMap<String, Value>,
    #[serde(skip_serializing_if = "Value::is_null")]
    healthcheck: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    restart: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_signal: Option<String>,
    stop_grace_period: String,
    #[serde(skip_serializing_if = "Value::is_null")]
    deploy: Value,
    #[serde(flatten)]
    options: Map<String, Value>,
}

/// The platform in the words of the file.
#[must_use]
pub fn config(platform: &Platform) -> Config {
    let Platform {
        name,
        instance: _,
        generation: _,
        settings,
        host,
        networks,
        volumes,
        files,
        images: _,
        containers,
        units,
        models,
        gates,
        removals: _,
    } = platform;
    let of_engine = containers
        .values()
        .map(|spec| (spec.service.clone(), Entry::Container(Box::new(service(platform, spec)))));
    let of_systemd = units.values().map(|spec| (spec.service.clone(), Entry::Unit(Box::new(unit(spec)))));
    Config {
        api_version: "aiplat/v1",
        name: name.clone(),
        host: host::host(host),
        tier: host.named.clone(),
        reconcile: reconcile(settings),
        services: of_engine.chain(of_systemd).collect(),
        networks: networks.iter().map(|(id, spec)| (id.key().to_owned(), network(spec))).collect(),
        volumes: volumes.iter().map(|(id, spec)| (id.key().to_owned(), volume(spec))).collect(),
        configs: configs(files, containers),
        models: models.iter().map(|(id, spec)| (id.key().to_owned(), model(spec))).collect(),
        gates: gates
            .iter()
            .map(|(name, members)| (name.clone(), members.iter().map(member).collect()))
            .collect(),
    }
}

fn pull(images: &BTreeMap<ResourceId, ImageSpec>, spec: &ContainerSpec) -> Value {
    let image = images.get(&ResourceId::image(&spec.runtime.image));
    image.map(|image| json!(image.pull)).unwrap_or_default()
}

fn reconcile(settings: &Settings) -> Reconcile {
    let Settings { mode, apply, resync, restart } = settings;
    let RestartSettings { delay, max_delay, reset_after, crash_loop, window, on_exhausted } = restart;
    Reconcile {
        mode: match mode {
            Mode::Auto => "auto",
            Mode::Observe => "observe",
        },
        apply: match apply {
            ApplyMode::OnSave => "on_save",
            ApplyMode::OnCommand => "on_command",
        },
        resync: duration(*resync),
        restart_policy: RestartPolicy {
            delay: duration(*delay),
            max_delay: duration(*max_delay),
            reset_after: duration(*reset_after),
            crash_loop: *crash_loop,
            window: duration(*window),
            on_exhausted: match on_exhausted {
                OnExhausted::Retry => "retry",
                OnExhausted::Hold => "hold",
            },
        },
    }
}

fn service(platform: &Platform, spec: &ContainerSpec) -> Service {
    let ContainerSpec { service: _, host_name, runtime, live, policy } = spec;
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
    let ContainerLive { networks, limits } = live;
    let ContainerPolicy {
        restart,
        on_change: _,
        dependencies,
        probe: _,
        startup: _,
        liveness: _,
        stop_grace,
        update,
        gpus,
    } = policy;
    let argv = |argv: &Option<Vec<String>>| argv.as_ref().map(|argv| without_secrets(argv));
    Service {
        container_name: host_name.clone(),
        image: image.clone(),
        pull_policy: pull(&platform.images, spec),
        entrypoint: argv(entrypoint),
        command: argv(command),
        user: user.clone(),
        environment: environment.iter().map(|(name, value)| (name.clone(), redacted(name, value))).collect(),
        labels: labels.iter().map(|(name, value)| (name.clone(), redacted(name, value))).collect(),
        ports: ports.iter().map(port).collect(),
        volumes: mounts.iter().filter_map(mount).collect(),
        configs: grants(&platform.files, mounts),
        networks: networks.iter().map(|(id, it)| (id.key().to_owned(), attachment(spec, it))).collect(),
        depends_on: dependencies.iter().map(|(id, it)| (id.key().to_owned(), dependency(*it))).collect(),
        healthcheck: super::probe::healthcheck(
            ServiceSpec::Container(spec),
            *engine_health_off,
            engine_check.as_ref(),
        ),
        restart: restart_word(*restart),
        stop_signal: stop_signal.clone(),
        stop_grace_period: duration(*stop_grace),
        deploy: deploy(limits, update),
        options: with_needs(words(options, limits), &options.hardware.requests, gpus),
    }
}

fn restart_word(mode: RestartMode) -> Option<String> {
    match mode {
        RestartMode::Default => None,
        RestartMode::No => Some("no".to_owned()),
        RestartMode::Always => Some("always".to_owned()),
        RestartMode::OnFailure(None) => Some("on-failure".to_owned()),
        RestartMode::OnFailure(Some(times)) => Some(format!("on-failure:{times}")),
    }
}

fn port(port: &aiplat_core::spec::PortBinding) -> String {
    let ip = match port.host_ip {
        std::net::IpAddr::V4(ip) => ip.to_string(),
        std::net::IpAddr::V6(ip) => format!("[{ip}]"),
    };
    let host = port.host_port.map(|port| port.to_string()).unwrap_or_default();
    format!("{ip}:{host}:{}/{}", port.container_port, port.protocol)
}

/// `None`: it is among the `configs`.
fn mount(mount: &Mount) -> Option<Value> {
    let Mount { target, source, read_only, options } = mount;
    let mut value = match source {
        MountSource::Volume { volume, host_name: _ } => {
            json!({"type": "volume", "source": volume.key(), "target": target})
        }
        MountSource::Bind { path, create } => {
            json!({"type": "bind", "source": path, "target": target, "bind": {"create_host_path": create}})
        }
        MountSource::File { .. } => return None,
        MountSource::Anonymous => json!({"type": "volume", "target": target}),
        MountSource::Tmpfs { size: None } => json!({"type": "tmpfs", "target": target}),
        MountSource::Tmpfs { size: Some(size) } => {
            json!({"type": "tmpfs", "target": target, "tmpfs": {"size": size}})
        }
    };
    if *read_only {
        value["read_only"] = json!(true);
    }
    mount_options(options, &mut value);
    Some(value)
}

fn attachment(spec: &ContainerSpec, attachment: &Attachment) -> Value {
    let Attachment {
        host_name: _,
        aliases,
        ipv4_address,
        ipv6_address,
        link_local_ips,
        mac_address,
        driver_opts,
        gw_priority,
        priority,
    } = attachment;
    // Every container answers to its service's name and to its own.
    let own = |alias: &&String| **alias == spec.service || **alias == spec.host_name;
    let aliases: Vec<&String> = aliases.iter().filter(|alias| !own(alias)).collect();
    let mut map = Map::new();
    insert(&mut map, "aliases", (!aliases.is_empty()).then_some(aliases));
    insert(&mut map, "ipv4_address", ipv4_address.as_ref());
    insert(&mut map, "ipv6_address", ipv6_address.as_ref());
    insert(&mut map, "link_local_ips", (!link_local_ips.is_empty()).then_some(link_local_ips));
    insert(&mut map, "mac_address", mac_address.as_ref());
    insert(&mut map, "driver_opts", (!driver_opts.is_empty()).then_some(driver_opts));
    insert(&mut map, "gw_priority", (*gw_priority != 0).then_some(gw_priority));
    insert(&mut map, "priority", (*priority != 0).then_some(priority));
    Value::Object(map)
}

fn dependency(dependency: Dependency) -> Value {
    let Dependency { condition, required, restart } = dependency;
    let condition = match condition {
        DependencyCondition::Started => "service_started",
        DependencyCondition::Healthy => "service_healthy",
        DependencyCondition::CompletedSuccessfully => "service_completed_successfully",
    };
    json!({"condition": condition, "required": required, "restart": restart})
}

fn deploy(limits: &Limits, update: &UpdatePolicy) -> Value {
    let UpdatePolicy { failure_action, monitor, order } = *update;
    let mut map = Map::new();
    insert(&mut map, "resources", Some(resources(limits)).filter(|resources| !resources.is_empty()));
    let mut config = Map::new();
    let word = |action: FailureAction| match action {
        FailureAction::Rollback => "rollback",
        FailureAction::Pause => "pause",
    };
    insert(&mut config, "failure_action", failure_action.map(word));
    insert(&mut config, "monitor", (monitor != UpdatePolicy::default().monitor).then(|| duration(monitor)));
    insert(&mut config, "order", (order == UpdateOrder::StartFirst).then_some("start-first"));
    insert(&mut map, "update_config", (!config.is_empty()).then_some(config));
    if map.is_empty() { Value::Null } else { Value::Object(map) }
}

fn resources(limits: &Limits) -> Map<String, Value> {
    let Limits { memory, memory_reservation, memory_swap: _, nano_cpus, cpu_shares: _, cpuset: _, pids } =
        limits;
    let mut most = Map::new();
    insert(&mut most, "memory", (*memory != 0).then(|| size(*memory)));
    insert(&mut most, "cpus", (*nano_cpus != 0).then(|| format!("{}", *nano_cpus as f64 / 1e9)));
    insert(&mut most, "pids", (*pids != 0).then_some(pids));
    let mut kept = Map::new();
    insert(&mut kept, "memory", (*memory_reservation != 0).then(|| size(*memory_reservation)));
    let mut map = Map::new();
    insert(&mut map, "limits", Some(most).filter(|most| !most.is_empty()));
    insert(&mut map, "reservations", Some(kept).filter(|kept| !kept.is_empty()));
    map
}

fn network(spec: &NetworkSpec) -> Value {
    let NetworkSpec {
        host_name,
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
    } = spec;
    let mut map = named(host_name, *external, driver.as_ref(), driver_opts, labels);
    insert(&mut map, "internal", internal.then_some(true));
    insert(&mut map, "enable_ipv6", enable_ipv6.then_some(true));
    insert(&mut map, "enable_ipv4", ipv4_off.then_some(false));
    insert(&mut map, "attachable", attachable.then_some(true));
    let pools: Vec<Value> = subnets
        .iter()
        .map(|Subnet { subnet, gateway, ip_range, aux_addresses }| {
            let mut pool = Map::new();
            insert(&mut pool, "subnet", Some(subnet));
            insert(&mut pool, "gateway", gateway.as_ref());
            insert(&mut pool, "ip_range", ip_range.as_ref());
            insert(&mut pool, "aux_addresses", (!aux_addresses.is_empty()).then_some(aux_addresses));
            Value::Object(pool)
        })
        .collect();
    let mut ipam = Map::new();
    insert(&mut ipam, "driver", ipam_driver.as_ref());
    insert(&mut ipam, "config", (!pools.is_empty()).then_some(pools));
    insert(&mut ipam, "options", (!ipam_options.is_empty()).then_some(ipam_options));
    insert(&mut map, "ipam", Some(ipam).filter(|ipam| !ipam.is_empty()));
    Value::Object(map)
}

fn volume(spec: &VolumeSpec) -> Value {
    let VolumeSpec { host_name, external, driver, driver_opts, labels } = spec;
    Value::Object(named(host_name, *external, driver.as_ref(), driver_opts, labels))
}

fn named(
    host_name: &str,
    external: bool,
    driver: Option<&String>,
    driver_opts: &BTreeMap<String, String>,
    labels: &BTreeMap<String, String>,
) -> Map<String, Value> {
    let hidden = |map: &BTreeMap<String, String>| -> Option<BTreeMap<String, String>> {
        let hidden = map.iter().map(|(name, value)| (name.clone(), redacted(name, value))).collect();
        (!map.is_empty()).then_some(hidden)
    };
    let mut map = Map::new();
    insert(&mut map, "name", Some(host_name));
    insert(&mut map, "external", external.then_some(true));
    insert(&mut map, "driver", driver);
    insert(&mut map, "driver_opts", hidden(driver_opts));
    insert(&mut map, "labels", hidden(labels));
    map
}

pub(super) fn insert<T: Serialize>(map: &mut Map<String, Value>, key: &str, value: Option<T>) {
    if let Some(value) = value {
        map.insert(key.to_owned(), json!(value));
    }
}

fn model(spec: &ModelSpec) -> Value {
    let ModelSpec { model, runner } = spec;
    json!({"model": model, "runner": runner.key()})
}

fn member(id: &ResourceId) -> String {
    match id.kind {
        Kind::Container | Kind::Unit => id.key().to_owned(),
        Kind::Network | Kind::Volume | Kind::File | Kind::Image | Kind::Model | Kind::Host => id.to_string(),
    }
}

/// `--password=word` and `--password word` without the word.
pub(crate) fn without_secrets(argv: &[String]) -> Vec<String> {
    let mut is_value = false;
    let redact = |arg: &String| {
        let was_flag = std::mem::take(&mut is_value);
        match arg.strip_prefix("--").map(|flag| flag.split_once('=')) {
            Some(Some((flag, value))) => format!("--{flag}={}", redacted(flag, value)),
            Some(None) => {
                is_value = is_secret(&arg[2..]);
                arg.clone()
            }
            None if was_flag => REDACTED.to_owned(),
            None => without_password(arg),
        }
    };
    argv.iter().map(redact).collect()
}

/// Exact, in the words of the file: `1h30m`, `1500ms`.
pub(super) fn duration(duration: Duration) -> String {
    let (seconds, millis) = (duration.as_secs(), duration.subsec_millis());
    if millis > 0 || seconds == 0 {
        return if duration.is_zero() { "0s".to_owned() } else { format!("{}ms", duration.as_millis()) };
    }
    let parts = [(seconds / 3_600, "h"), (seconds % 3_600 / 60, "m"), (seconds % 60, "s")];
    parts
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, unit)| format!("{number}{unit}"))
        .collect()
}

/// Exact, in the words of the file: `512m`.
fn size(bytes: i64) -> String {
    let units = [(1 << 30, "g"), (1 << 20, "m"), (1 << 10, "k")];
    match units.into_iter().find(|(unit, _)| bytes % unit == 0) {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => format!("{bytes}b"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_left_out_and_paths_to_them_are_not() {
        assert_eq!(redacted("POSTGRES_PASSWORD", "hunter2"), REDACTED);
        assert_eq!(redacted("openai_api_key", "sk-1"), REDACTED);
        assert_eq!(redacted("POSTGRES_PASSWORD_FILE", "/run/secrets/pg"), "/run/secrets/pg");
        assert_eq!(redacted("TOKEN", ""), "");
        for name in ["MYSQL_PWD", "PGPASS", "redis_pw", "BASIC_AUTH"] {
            assert_eq!(redacted(name, "hunter2"), REDACTED, "{name}");
        }
        for name in ["PWD", "PASSIVE_PORTS", "AUTHOR", "COMPASSION"] {
            assert_eq!(redacted(name, "shown"), "shown", "{name}");
        }
        let argv = ["serve", "--requirepass=a", "--password", "b", "--port", "80"].map(str::to_owned);
        assert_eq!(
            without_secrets(&argv),
            ["serve", "--requirepass=<redacted>", "--password", "<redacted>", "--port", "80"]
        );
        assert_eq!(
            redacted("DATABASE_URL", "postgres://u:p@ss@db:5432/x"),
            "postgres://u:<redacted>@db:5432/x"
        );
        assert_eq!(redacted("URL", "http://host:80/a@b:c"), "http://host:80/a@b:c");
    }

    #[test]
    fn durations_and_sizes_are_exact() {
        assert_eq!(duration(Duration::from_secs(5_400)), "1h30m");
        assert_eq!(duration(Duration::from_millis(1_500)), "1500ms");
        assert_eq!(duration(Duration::ZERO), "0s");
        assert_eq!(size(512 << 20), "512m");
        assert_eq!(size(1_000), "1000b");
    }
}
