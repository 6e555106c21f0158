//! Configs, in the words of the file. What is in them is not shown: it may have come out of a variable that is a secret.

use std::collections::BTreeMap;

use aiplat_core::{
    ResourceId,
    spec::{ContainerSpec, FileSpec, Mount, MountSource, OnChange},
};
use serde_json::{Map, Value, json};

use super::insert;

/// Top-level `configs`.
pub(super) fn configs(
    files: &BTreeMap<ResourceId, FileSpec>,
    containers: &BTreeMap<ResourceId, ContainerSpec>,
) -> BTreeMap<String, Value> {
    let config = |(id, file): (&ResourceId, &FileSpec)| {
        let mut users = containers.values().filter_map(|spec| spec.policy.on_change.get(id));
        let on_change = match users.next().copied().unwrap_or_default() {
            OnChange::Restart => None,
            OnChange::Recreate => Some("recreate"),
            OnChange::Nothing => Some("none"),
        };
        let mut map = Map::new();
        insert(&mut map, "content", Some(format!("({} bytes, not shown)", file.content.bytes().len())));
        insert(&mut map, "on_change", on_change);
        (file.config.clone(), Value::Object(map))
    };
    files.iter().map(config).collect()
}

/// `configs` of a service.
pub(super) fn grants(files: &BTreeMap<ResourceId, FileSpec>, mounts: &[Mount]) -> Vec<Value> {
    let grant = |mount: &Mount| {
        let MountSource::File { file, path: _ } = &mount.source else { return None };
        let FileSpec { config, path: _, content: _, mode, uid, gid } = files.get(file)?;
        let mut map = Map::new();
        insert(&mut map, "source", Some(config));
        insert(&mut map, "target", Some(&mount.target));
        insert(&mut map, "mode", Some(format!("{mode:04o}")));
        insert(&mut map, "uid", uid.map(|uid| uid.to_string()));
        insert(&mut map, "gid", gid.map(|gid| gid.to_string()));
        Some(json!(map))
    };
    mounts.iter().filter_map(grant).collect()
}
