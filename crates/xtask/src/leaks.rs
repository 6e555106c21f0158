//! What is in the engine, before and after: proof that nothing was left and nothing foreign was touched.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::{Value, json};

use crate::docker::{Docker, items, text};
use crate::{image, testhost};

/// Everything in the engine, by kind and id, with what must not change about it.
#[derive(Debug, Default, PartialEq)]
pub struct Snapshot {
    objects: BTreeMap<Key, Object>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone)]
struct Key {
    kind: &'static str,
    id: String,
}

#[derive(Debug, PartialEq)]
struct Object {
    name: String,
    facts: Value,
}

impl Snapshot {
    /// Looks at all containers, networks, volumes and images.
    pub fn take(docker: &Docker) -> Result<Self> {
        let mut snapshot = Self::default();
        let containers = docker.get("/containers/json?all=1")?;
        for container in containers.as_array().into_iter().flatten() {
            let id = text(container, "Id");
            let inspected = docker.get(&format!("/containers/{id}/json"))?;
            snapshot.put(
                "container",
                id,
                text(&inspected, "Name").trim_start_matches('/'),
                container_facts(&inspected),
            );
        }
        for network in docker.get("/networks")?.as_array().into_iter().flatten() {
            snapshot.put("network", text(network, "Id"), text(network, "Name"), network_facts(network));
        }
        for volume in items(&docker.get("/volumes")?, "Volumes") {
            let facts = json!([volume["CreatedAt"], volume["Labels"], volume["Options"]]);
            snapshot.put("volume", text(volume, "Name"), text(volume, "Name"), facts);
        }
        for image in docker.get("/images/json")?.as_array().into_iter().flatten() {
            snapshot.put("image", text(image, "Id"), &image_name(image), image["RepoTags"].clone());
        }
        Ok(snapshot)
    }

    fn put(&mut self, kind: &'static str, id: &str, name: &str, facts: Value) {
        self.objects.insert(Key { kind, id: id.to_owned() }, Object { name: name.to_owned(), facts });
    }

    /// What is left over, missing or changed. Our own image may stay.
    pub fn differences(&self, after: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (key, object) in &self.objects {
            let title = format!("{} {}", key.kind, object.name);
            match after.objects.get(key) {
                None if is_our_image(key, object) => {}
                None => lines.push(format!("{title} is gone")),
                Some(now) if now.facts != object.facts && !is_our_image(key, object) => {
                    lines.push(format!("{title} was changed: {} is now {}", object.facts, now.facts));
                }
                Some(_) => {}
            }
        }
        for (key, object) in &after.objects {
            if !self.objects.contains_key(key) && !is_our_image(key, object) {
                lines.push(format!("{} {} was left behind", key.kind, object.name));
            }
        }
        lines
    }

    /// How many objects were looked at.
    pub fn len(&self) -> usize {
        self.objects.len()
    }
}

/// What a bystander's container keeps as long as nobody touches it: who it is, how it is configured, and that it
/// is the same run. Not its health log, which moves by itself.
pub fn container_facts(inspected: &Value) -> Value {
    let state = &inspected["State"];
    json!({
        "name": inspected["Name"], "image": inspected["Image"], "created": inspected["Created"],
        "state": [state["Status"], state["Pid"], state["StartedAt"], state["FinishedAt"], state["ExitCode"]],
        "restarts": inspected["RestartCount"], "config": inspected["Config"], "host": inspected["HostConfig"],
        "mounts": inspected["Mounts"], "networks": inspected["NetworkSettings"]["Networks"],
    })
}

fn network_facts(network: &Value) -> Value {
    json!([
        network["Name"],
        network["Created"],
        network["Driver"],
        network["IPAM"],
        network["Options"],
        network["Labels"]
    ])
}

fn image_name(image: &Value) -> String {
    let tags: Vec<&str> = items(image, "RepoTags").iter().filter_map(Value::as_str).collect();
    if tags.is_empty() { text(image, "Id").to_owned() } else { tags.join(" ") }
}

/// Ours by its tag, or untagged because a newer one took the tag. An untagged image of a failed test is so small
/// a leak that the rule stays simple.
fn is_our_image(key: &Key, object: &Object) -> bool {
    let ours = [image::REPOSITORY, testhost::REPOSITORY, "<none>"].map(|name| format!("{name}:"));
    key.kind == "image" && object.name.split(' ').all(|tag| ours.iter().any(|name| tag.starts_with(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(objects: &[(&'static str, &str, i32)]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        objects.iter().for_each(|(kind, name, facts)| snapshot.put(kind, name, name, json!(facts)));
        snapshot
    }

    #[test]
    fn the_same_is_no_difference() {
        let before = snapshot(&[("container", "a", 1), ("volume", "v", 1)]);
        assert!(before.differences(&snapshot(&[("container", "a", 1), ("volume", "v", 1)])).is_empty());
    }

    #[test]
    fn left_gone_and_changed_are_told_apart() {
        let before = snapshot(&[("container", "a", 1), ("network", "n", 1)]);
        let after = snapshot(&[("container", "a", 2), ("volume", "v", 1)]);
        let lines = before.differences(&after);
        assert_eq!(
            lines,
            ["container a was changed: 1 is now 2", "network n is gone", "volume v was left behind"]
        );
    }

    #[test]
    fn our_own_image_may_stay_and_no_other() {
        let lines =
            snapshot(&[]).differences(&snapshot(&[("image", "aiplat-demo:1", 1), ("image", "x:1", 1)]));
        assert_eq!(lines, ["image x:1 was left behind"]);
    }
}
