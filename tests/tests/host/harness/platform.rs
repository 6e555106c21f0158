//! What aiplatd and its services are like on the host.

use std::collections::BTreeMap;

use aiplat_api::v1::{ServiceStatus, StatusDoc};
use aiplat_core::condition::Word;
use serde_json::Value;

use super::Host;

const FILE: &str = "/etc/aiplatd/platform.yaml";

impl Host {
    /// Installs a package of the folder: `current.deb`, `newer.deb`. What it said.
    pub(crate) fn install(&self, deb: &str) -> String {
        // The host lives for a minute: what dpkg flushes to disk nobody reads again.
        let ran = self.run(&["dpkg", "--force-unsafe-io", "--install", &format!("/packages/{deb}")]);
        assert_eq!(ran.code, 0, "{}", ran.said());
        ran.said()
    }

    /// Saves the platform file, and waits until all of its services are Ready.
    pub(crate) fn converge(&self, yaml: &str) {
        self.write(FILE, yaml);
        let services = yaml.matches("image:").count() + yaml.matches("provider:").count();
        self.wait("the platform is ready", |host| {
            host.status().is_some_and(|status| status.services.len() == services && is_ready(&status))
        });
    }

    /// What the daemon says of itself; `None` while it does not answer.
    pub(crate) fn status(&self) -> Option<StatusDoc> {
        let ran = self.run(&["aiplatctl", "status", "--output", "json"]);
        let is_fresh = !ran.err.contains("not reachable");
        serde_json::from_str(&ran.out).ok().filter(|_| is_fresh)
    }

    /// What the daemon says of one service; it is in the file, and waited for.
    pub(crate) fn service(&self, name: &str) -> ServiceStatus {
        let mut found = None;
        self.wait(&format!("{name} is known"), |host| {
            let services = host.status().map(|status| status.services).unwrap_or_default();
            found = services.into_iter().find(|service| service.name == name);
            found.is_some()
        });
        found.expect("it was waited for")
    }

    /// Waits until every service is Ready.
    pub(crate) fn wait_ready(&self) {
        self.wait("the platform is ready", |host| host.status().is_some_and(|status| is_ready(&status)));
    }

    /// One property of the daemon's unit.
    pub(crate) fn property(&self, name: &str) -> String {
        let value = self.ok(&["systemctl", "show", "aiplatd", "--value", "--property", name]);
        value.trim().to_owned()
    }

    /// An inspect of each container on the host, by name.
    pub(crate) fn containers(&self) -> BTreeMap<String, Value> {
        let ids = self.ok(&["docker", "ps", "--all", "--quiet"]);
        let mut argv = vec!["docker", "inspect"];
        argv.extend(ids.split_whitespace());
        if argv.len() == 2 {
            return BTreeMap::new();
        }
        let list: Vec<Value> = serde_json::from_str(&self.ok(&argv)).expect("docker inspect answers in JSON");
        let name = |it: &Value| it["Name"].as_str().unwrap_or_default().trim_start_matches('/').to_owned();
        list.into_iter().map(|it| (name(&it), it)).collect()
    }

    /// The id of each container: the same id is the same container.
    pub(crate) fn ids(&self) -> BTreeMap<String, String> {
        let text = |it: &Value| it["Id"].as_str().unwrap_or_default().to_owned();
        self.containers().into_iter().map(|(name, it)| (name, text(&it))).collect()
    }

    /// When each running container was started: the same moment is the same run.
    pub(crate) fn runs(&self) -> BTreeMap<String, String> {
        let text = |it: &Value| it["State"]["StartedAt"].as_str().unwrap_or_default().to_owned();
        let running =
            self.containers().into_iter().filter(|(_, it)| it["State"]["Running"] == Value::Bool(true));
        running.map(|(name, it)| (name, text(&it))).collect()
    }
}

fn is_ready(status: &StatusDoc) -> bool {
    status.services.iter().all(|service| service.status == Word::Ready)
}
