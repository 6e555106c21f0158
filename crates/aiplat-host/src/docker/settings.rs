//! How the engine is set up, in its own words.

use aiplat_core::observed::EngineSettings;

use super::{
    DockerBackend,
    calls::Endpoint,
    client::Call,
    wire::{AddressPool, EngineInfo},
};
use crate::port::HostError;

impl DockerBackend {
    pub(super) async fn read_settings(&self) -> Result<Option<EngineSettings>, HostError> {
        let info: EngineInfo = self
            .client
            .read(Call::new(Endpoint::Info))
            .await
            .map_err(|error| self.error("ask the engine how it is set up", error))?;
        Ok(Some(settings(info)))
    }
}

fn settings(info: EngineInfo) -> EngineSettings {
    let EngineInfo {
        server_version,
        docker_root_dir,
        driver,
        cgroup_driver,
        runtimes,
        default_runtime,
        cdi_spec_dirs,
        default_address_pools,
        live_restore_enabled,
        logging_driver,
        swarm,
    } = info;
    EngineSettings {
        version: server_version,
        data_root: docker_root_dir,
        cgroup_driver,
        runtimes: runtimes.into_keys().collect(),
        default_runtime,
        // An engine that knows the interface and has it switched off lists no folder.
        cdi_dirs: cdi_spec_dirs.filter(|folders| !folders.is_empty()),
        address_pools: default_address_pools
            .into_iter()
            .map(|AddressPool { base, size }| (base, size))
            .collect(),
        live_restore: live_restore_enabled,
        storage_driver: driver,
        log_driver: logging_driver,
        swarm: !matches!(swarm.local_node_state.as_str(), "" | "inactive"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_knows_no_cdi_has_no_folders_and_odd_fields_do_not_matter() {
        let info = serde_json::json!({
            "ServerVersion": "20.10.24", "DockerRootDir": "/var/lib/docker", "Driver": "overlay2",
            "CgroupDriver": "systemd", "Runtimes": {"runc": {"path": "runc"}, "nvidia": {"path": "x"}},
            "DefaultRuntime": "runc", "CDISpecDirs": null, "DefaultAddressPools": null, "LiveRestoreEnabled": "odd",
        });
        let settings = settings(serde_json::from_value(info).expect("it is read leniently"));
        assert_eq!(
            (settings.runtimes, settings.cdi_dirs),
            (vec!["nvidia".to_owned(), "runc".to_owned()], None)
        );
        assert_eq!((settings.cgroup_driver.as_str(), settings.live_restore), ("systemd", false));
    }

    #[test]
    fn folders_and_pools_are_as_the_engine_says() {
        let info = serde_json::json!({
            "CDISpecDirs": ["/etc/cdi", "/var/run/cdi"],
            "DefaultAddressPools": [{"Base": "172.20.0.0/14", "Size": 24}],
        });
        let settings = settings(serde_json::from_value(info).expect("it is read"));
        assert_eq!(settings.cdi_dirs.map(|folders| folders.len()), Some(2));
        assert_eq!(settings.address_pools, [("172.20.0.0/14".to_owned(), 24)]);
    }
}
