//! What volumes take on their disks.

use std::collections::BTreeMap;

use super::{
    DockerBackend,
    calls::Endpoint,
    client::Call,
    wire::{DiskUsage, UsageData, VolumeUsage},
};
use crate::port::HostError;

impl DockerBackend {
    pub(super) async fn measure_volumes(&self) -> Result<Option<BTreeMap<String, u64>>, HostError> {
        // From API 1.42 on the engine measures nothing else for this; an older one passes the word over, and measures images
        // and containers too.
        let call = Call::new(Endpoint::DiskUsage).query("type", "volume");
        let DiskUsage { volumes } =
            self.client.read(call).await.map_err(|error| self.error("measure the volumes", error))?;
        Ok(Some(volumes.into_iter().filter_map(size).collect()))
    }
}

fn size(volume: VolumeUsage) -> Option<(String, u64)> {
    let VolumeUsage { name, usage_data } = volume;
    let UsageData { size } = usage_data?;
    Some((name, u64::try_from(size?).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_that_cannot_be_measured_has_no_size_which_is_not_zero() {
        let answer = serde_json::json!({"LayersSize": 7, "Images": [], "Volumes": [
            {"Name": "data", "UsageData": {"RefCount": 1, "Size": 4096}},
            {"Name": "empty", "UsageData": {"RefCount": 0, "Size": 0}},
            {"Name": "nfs", "UsageData": {"RefCount": 0, "Size": -1}},
            {"Name": "odd", "UsageData": null},
            7,
        ]});
        let usage: DiskUsage = serde_json::from_value(answer).expect("it is read leniently");
        let sizes: BTreeMap<String, u64> = usage.volumes.into_iter().filter_map(size).collect();
        assert_eq!(sizes, BTreeMap::from([("data".to_owned(), 4096), ("empty".to_owned(), 0)]));
        let none: DiskUsage = serde_json::from_value(serde_json::json!({"Volumes": null})).expect("as well");
        assert!(none.volumes.is_empty());
    }
}
