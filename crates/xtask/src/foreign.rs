//! A bystander: a container, a network and a volume that are nobody's business but their owner's.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::docker::{self, Docker, items, text};
use crate::image;
use crate::leaks::container_facts;

/// Marks what we made as a bystander; deliberately not one of aiplatd's own labels.
const LABEL: &str = "aiplat-demo.bystander";

/// A running bystander, and what it looked like when it started.
#[derive(Debug)]
pub struct Foreign {
    name: String,
    facts: Value,
}

impl Foreign {
    /// Starts one under this name; one of an earlier run goes first.
    pub fn start(docker: &Docker, name: &str) -> Result<Self> {
        remove(docker, name)?;
        Self::create(docker, name).context("cannot start a container that stands for somebody else's")
    }

    fn create(docker: &Docker, name: &str) -> Result<Self> {
        let labels = json!({ LABEL: name });
        docker.post("/networks/create", &json!({"Name": name, "Labels": labels, "CheckDuplicate": true}))?;
        docker.post("/volumes/create", &json!({"Name": name, "Labels": labels}))?;
        let container = json!({
            "Image": format!("{}:1", image::REPOSITORY), "Labels": labels, "Env": [format!("NAME={name}")],
            "HostConfig": {
                "NetworkMode": name, "RestartPolicy": {"Name": "unless-stopped"},
                "Mounts": [{"Type": "volume", "Source": name, "Target": "/data"}]},
        });
        docker.post(&format!("/containers/create?name={name}"), &container)?;
        docker.post(&format!("/containers/{name}/start"), &Value::Null)?;
        Ok(Self { name: name.to_owned(), facts: facts(docker, name)? })
    }

    /// Fails if it is not exactly as it was.
    pub fn check_untouched(&self, docker: &Docker) -> Result<()> {
        let now = facts(docker, &self.name)?;
        if now != self.facts {
            bail!("{} was touched: it was {} and is {now}", self.name, self.facts);
        }
        Ok(())
    }
}

/// Removes the container, the network and the volume of this name that carry our label.
pub fn remove(docker: &Docker, name: &str) -> Result<()> {
    let filter = docker::label_filter(&format!("{LABEL}={name}"));
    remove_labelled(docker, &filter).map(drop).with_context(|| format!("cannot remove {name}"))
}

/// Removes all containers, networks and volumes that a label filter finds; says what.
pub fn remove_labelled(docker: &Docker, filter: &str) -> Result<Vec<String>> {
    let mut removed = Vec::new();
    for container in
        docker.get(&format!("/containers/json?all=1&filters={filter}"))?.as_array().into_iter().flatten()
    {
        docker.delete(&format!("/containers/{}?force=1&v=1", text(container, "Id")))?;
        let name = items(container, "Names").first().and_then(Value::as_str).unwrap_or_default();
        removed.push(format!("container {}", name.trim_start_matches('/')));
    }
    for network in docker.get(&format!("/networks?filters={filter}"))?.as_array().into_iter().flatten() {
        docker.delete(&format!("/networks/{}", text(network, "Id")))?;
        removed.push(format!("network {}", text(network, "Name")));
    }
    for volume in items(&docker.get(&format!("/volumes?filters={filter}"))?, "Volumes") {
        docker.delete(&format!("/volumes/{}", text(volume, "Name")))?;
        removed.push(format!("volume {}", text(volume, "Name")));
    }
    Ok(removed)
}

fn facts(docker: &Docker, name: &str) -> Result<Value> {
    Ok(container_facts(&docker.get(&format!("/containers/{name}/json"))?))
}
