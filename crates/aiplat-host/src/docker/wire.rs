//! The engine's answers as far as we read them. Tolerant: a field that is missing, null or of another type is its
//! default, for one odd container (a newer engine's, Podman's) must not blind us to all the others.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

/// Labels of any object.
pub(crate) type Labels = BTreeMap<String, String>;

/// `GET /info`, as far as it says how the engine is set up.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct EngineInfo {
    #[serde(deserialize_with = "lenient")]
    pub(crate) server_version: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) docker_root_dir: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) driver: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) cgroup_driver: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) runtimes: BTreeMap<String, Value>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) default_runtime: String,
    #[serde(deserialize_with = "lenient", rename = "CDISpecDirs")]
    pub(crate) cdi_spec_dirs: Option<Vec<String>>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) default_address_pools: Vec<AddressPool>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) live_restore_enabled: bool,
    #[serde(deserialize_with = "lenient")]
    pub(crate) logging_driver: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) swarm: Swarm,
}

/// The swarm that the engine is part of, if it is.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Swarm {
    #[serde(deserialize_with = "lenient")]
    pub(crate) local_node_state: String,
}

/// A network out of which the engine makes networks.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct AddressPool {
    #[serde(deserialize_with = "lenient")]
    pub(crate) base: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) size: u8,
}

/// `GET /system/df`, as far as it is about volumes.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct DiskUsage {
    #[serde(deserialize_with = "lenient_list")]
    pub(crate) volumes: Vec<VolumeUsage>,
}

/// One volume of it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct VolumeUsage {
    #[serde(deserialize_with = "lenient")]
    pub(crate) name: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) usage_data: Option<UsageData>,
}

/// What the engine has measured.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct UsageData {
    /// -1: it could not be measured, as of every driver but `local`.
    #[serde(deserialize_with = "lenient")]
    pub(crate) size: Option<i64>,
}

/// One entry of `GET /containers/json`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ContainerSummary {
    #[serde(deserialize_with = "lenient")]
    pub(crate) id: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) names: Vec<String>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) image: String,
    #[serde(rename = "ImageID", deserialize_with = "lenient")]
    pub(crate) image_id: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) state: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) created: i64,
    #[serde(deserialize_with = "lenient")]
    pub(crate) labels: Labels,
    #[serde(deserialize_with = "lenient")]
    pub(crate) network_settings: NetworkSettings,
    #[serde(deserialize_with = "lenient_list")]
    pub(crate) mounts: Vec<MountPoint>,
    #[serde(deserialize_with = "lenient_list")]
    pub(crate) ports: Vec<Port>,
}

/// `NetworkSettings` of listings and inspects.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct NetworkSettings {
    #[serde(deserialize_with = "lenient")]
    pub(crate) networks: BTreeMap<String, EndpointSettings>,
}

/// One connection to a network.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct EndpointSettings {
    #[serde(rename = "NetworkID", deserialize_with = "lenient")]
    pub(crate) network_id: String,
    #[serde(rename = "IPAddress", deserialize_with = "lenient")]
    pub(crate) ip_address: String,
    #[serde(rename = "GlobalIPv6Address", deserialize_with = "lenient")]
    pub(crate) global_ipv6_address: String,
    #[serde(rename = "Aliases", deserialize_with = "lenient")]
    pub(crate) aliases: Vec<String>,
}

/// One mount of a container.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct MountPoint {
    #[serde(rename = "Type", deserialize_with = "lenient")]
    pub(crate) kind: String,
    #[serde(rename = "Name", deserialize_with = "lenient")]
    pub(crate) name: String,
    #[serde(rename = "Source", deserialize_with = "lenient")]
    pub(crate) source: String,
    #[serde(rename = "Destination", deserialize_with = "lenient")]
    pub(crate) destination: String,
    #[serde(rename = "RW", deserialize_with = "lenient")]
    pub(crate) rw: bool,
}

/// One port of a container.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Port {
    #[serde(rename = "IP", deserialize_with = "lenient")]
    pub(crate) ip: String,
    #[serde(rename = "PublicPort", deserialize_with = "lenient")]
    pub(crate) public_port: Option<u16>,
    #[serde(rename = "PrivatePort", deserialize_with = "lenient")]
    pub(crate) private_port: u16,
    #[serde(rename = "Type", deserialize_with = "lenient")]
    pub(crate) kind: String,
}

/// `GET /containers/{id}/json`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ContainerInspect {
    #[serde(deserialize_with = "lenient")]
    pub(crate) id: String,
    /// The file on this machine that is `/etc/hosts` inside.
    #[serde(deserialize_with = "lenient")]
    pub(crate) hosts_path: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) name: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) state: State,
    #[serde(deserialize_with = "lenient")]
    pub(crate) config: Config,
    #[serde(deserialize_with = "lenient")]
    pub(crate) host_config: HostConfig,
    #[serde(deserialize_with = "lenient")]
    pub(crate) network_settings: NetworkSettings,
}

/// `State` of an inspect.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct State {
    #[serde(deserialize_with = "lenient")]
    pub(crate) status: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) exit_code: i64,
    #[serde(deserialize_with = "lenient")]
    pub(crate) error: String,
    #[serde(rename = "OOMKilled", deserialize_with = "lenient")]
    pub(crate) oom_killed: bool,
    #[serde(deserialize_with = "lenient")]
    pub(crate) pid: i64,
    #[serde(deserialize_with = "lenient")]
    pub(crate) started_at: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) finished_at: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) health: Option<Health>,
}

/// `State.Health`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Health {
    #[serde(deserialize_with = "lenient")]
    pub(crate) status: String,
}

/// `Config` of an inspect, of a container or an image.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Config {
    #[serde(deserialize_with = "lenient")]
    pub(crate) labels: Labels,
    #[serde(deserialize_with = "lenient")]
    pub(crate) tty: bool,
    #[serde(deserialize_with = "lenient")]
    pub(crate) healthcheck: Option<Healthcheck>,
}

/// `Config.Healthcheck`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Healthcheck {
    #[serde(deserialize_with = "lenient")]
    pub(crate) test: Vec<String>,
}

/// `HostConfig` of an inspect.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct HostConfig {
    #[serde(deserialize_with = "lenient")]
    pub(crate) memory: i64,
    #[serde(deserialize_with = "lenient")]
    pub(crate) nano_cpus: i64,
    #[serde(deserialize_with = "lenient")]
    pub(crate) pids_limit: i64,
    #[serde(deserialize_with = "lenient")]
    pub(crate) memory_reservation: i64,
    #[serde(deserialize_with = "lenient")]
    pub(crate) memory_swap: i64,
    #[serde(deserialize_with = "lenient")]
    pub(crate) cpu_shares: i64,
    #[serde(deserialize_with = "lenient")]
    pub(crate) cpuset_cpus: String,
    /// `container:<id>` where it is another container's; so are the next two.
    #[serde(deserialize_with = "lenient")]
    pub(crate) network_mode: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) pid_mode: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) ipc_mode: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) restart_policy: RestartPolicy,
    /// `80/tcp` to host addresses.
    #[serde(deserialize_with = "lenient")]
    pub(crate) port_bindings: BTreeMap<String, Option<Vec<HostPort>>>,
}

/// What the engine does when a container ends.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct RestartPolicy {
    /// Empty and `no` mean nothing.
    #[serde(deserialize_with = "lenient")]
    pub(crate) name: String,
}

impl RestartPolicy {
    pub(crate) fn is_set(&self) -> bool {
        !matches!(self.name.as_str(), "" | "no")
    }
}

/// One published port as asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct HostPort {
    #[serde(deserialize_with = "lenient")]
    pub(crate) host_port: String,
}

/// A network, listed or inspected.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Network {
    #[serde(deserialize_with = "lenient")]
    pub(crate) id: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) name: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) driver: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) internal: bool,
    #[serde(deserialize_with = "lenient")]
    pub(crate) labels: Labels,
}

/// `GET /volumes`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct VolumeList {
    #[serde(deserialize_with = "lenient_list")]
    pub(crate) volumes: Vec<Volume>,
}

/// A volume, listed or inspected.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Volume {
    #[serde(deserialize_with = "lenient")]
    pub(crate) name: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) driver: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) labels: Labels,
}

/// `GET /images/{name}/json`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ImageInspect {
    #[serde(deserialize_with = "lenient")]
    pub(crate) id: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) config: Config,
}

/// The answer to a creation.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Created {
    #[serde(deserialize_with = "lenient")]
    pub(crate) id: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) warnings: Vec<String>,
}

/// The answer to an update.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Updated {
    #[serde(deserialize_with = "lenient")]
    pub(crate) warnings: Vec<String>,
}

/// `GET /exec/{id}/json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ExecInspect {
    #[serde(rename = "Running", deserialize_with = "lenient")]
    pub(crate) running: bool,
    #[serde(rename = "ExitCode", deserialize_with = "lenient")]
    pub(crate) exit_code: Option<i64>,
    #[serde(rename = "Pid", deserialize_with = "lenient")]
    pub(crate) pid: i32,
}

/// One line of `GET /events`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Event {
    #[serde(rename = "Type", deserialize_with = "lenient")]
    pub(crate) kind: String,
    #[serde(rename = "Action", deserialize_with = "lenient")]
    pub(crate) action: String,
    #[serde(rename = "Actor", deserialize_with = "lenient")]
    pub(crate) actor: Actor,
}

/// What an event is about.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Actor {
    #[serde(rename = "ID", deserialize_with = "lenient")]
    pub(crate) id: String,
    /// A container's labels are among them.
    #[serde(rename = "Attributes", deserialize_with = "lenient")]
    pub(crate) attributes: Labels,
}

/// One line of a pull.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PullLine {
    #[serde(deserialize_with = "lenient")]
    pub(crate) id: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) status: String,
    #[serde(rename = "progressDetail", deserialize_with = "lenient")]
    pub(crate) progress: LayerProgress,
    #[serde(deserialize_with = "lenient")]
    pub(crate) error: Option<String>,
}

/// Bytes of one layer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct LayerProgress {
    #[serde(deserialize_with = "lenient")]
    pub(crate) current: u64,
    #[serde(deserialize_with = "lenient")]
    pub(crate) total: u64,
}

/// A listing. Odd entries are left out; an answer that is no list at all is an error, for "nothing is there" would be
/// the most dangerous thing to conclude from it.
#[derive(Debug)]
pub(crate) struct List<T>(pub(crate) Vec<T>);

impl<'de, T: DeserializeOwned> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(readable(Vec::deserialize(deserializer)?)))
    }
}

fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(T::deserialize(Value::deserialize(deserializer)?).unwrap_or_default())
}

fn lenient_list<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Vec<T>, D::Error> {
    lenient(deserializer).map(readable)
}

fn readable<T: DeserializeOwned>(values: Vec<Value>) -> Vec<T> {
    values.into_iter().filter_map(|value| T::deserialize(value).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_odd_container_costs_only_its_odd_fields() {
        let json = r#"[
            {"Id":"a","Names":["/x"],"State":"stopping","Labels":null,"Ports":null,"Mounts":"?","Created":"late"},
            {"Id":"b","Labels":{"k":"v"},"NetworkSettings":{"Networks":{"n":{"NetworkID":7}}}},
            "not an object"
        ]"#;
        let List(all): List<ContainerSummary> = serde_json::from_str(json).expect("readable");
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].state.as_str(), all[0].created), ("stopping", 0));
        assert_eq!(all[1].labels["k"], "v");
        assert_eq!(all[1].network_settings.networks["n"].network_id, "");
    }

    #[test]
    fn an_answer_that_is_no_list_is_not_an_empty_list() {
        assert!(serde_json::from_str::<List<ContainerSummary>>("null").is_err());
        assert!(serde_json::from_str::<List<ContainerSummary>>(r#"{"message":"?"}"#).is_err());
        let volumes: VolumeList =
            serde_json::from_str(r#"{"Volumes":null,"Warnings":null}"#).expect("as the engine has it");
        assert!(volumes.volumes.is_empty());
    }
}
