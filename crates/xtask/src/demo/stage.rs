//! What the demo plays with: engine, daemon, client, file; and how it looks at them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;

use super::ctl::{Ctl, Service};
use super::daemon::{Binaries, Daemon};
use super::folder::Folder;
use super::table::Table;
use crate::docker::{self, Docker, items, text};
use crate::wait;

/// How long anything may take to settle.
pub const DEADLINE: Duration = Duration::from_secs(90);
/// How often it is looked at.
pub const GLANCE: Duration = Duration::from_millis(25);
const INSTANCE_LABEL: &str = "io.aiplat.instance";
const RESOURCE_LABEL: &str = "io.aiplat.resource";

/// Everything a scene needs.
#[derive(Debug)]
pub struct Stage {
    /// The engine.
    pub docker: Docker,
    /// The dev build.
    pub binaries: Binaries,
    /// The work folder.
    pub folder: Folder,
    /// The client.
    pub ctl: Ctl,
    /// The daemon; none between a kill and the next start.
    pub daemon: Option<Daemon>,
    /// The desired state as it was copied.
    pub file: String,
}

/// One run of a container: who, and since when.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// The container's id.
    pub id: String,
    /// Since when it runs.
    pub started: String,
    /// Whether it runs.
    pub running: bool,
}

/// How something healed.
#[derive(Debug)]
pub struct Healing {
    /// From the blow to the last service being settled.
    pub took: Duration,
    /// What `why` said while the service was down; each sentence once.
    pub whys: Vec<String>,
}

impl Stage {
    /// Waits until all services are settled, with a live table.
    pub fn converge(&mut self, floor: Duration) -> Result<Duration> {
        let mut table = Table::new(floor);
        wait::until("all services to be ready", DEADLINE, GLANCE, || {
            self.check_daemon()?;
            // Until it listens, there is nothing to see.
            let Ok(services) = self.ctl.services() else { return Ok(None) };
            // Nor before it has looked at the engine for the first time, some milliseconds later.
            if services.iter().all(|row| row.status == "Unknown") {
                return Ok(None);
            }
            table.show(&services)?;
            self.note_instance(&services)?;
            Ok((all_settled(&services) && self.ctl.is_ready()?).then(|| table.elapsed()))
        })
        .with_context(|| format!("the end of aiplatd's log:\n{}\nthis went wrong", self.folder.log_tail(15)))
    }

    /// Waits until `healed` holds and all services are settled, and collects what `why` says meanwhile.
    pub fn watch(&mut self, service: &str, healed: impl Fn(&Self) -> Result<bool>) -> Result<Healing> {
        let begun = Instant::now();
        let mut whys: Vec<String> = Vec::new();
        wait::until(&format!("{service} to heal"), DEADLINE, GLANCE, || {
            self.check_daemon()?;
            // Before the services: those of a moment before the healing were those of before the blow, ready and stale.
            let is_healed = healed(self)?;
            let services = self.ctl.services()?;
            let down = services.iter().any(|row| row.name == service && !row.is_settled());
            if down {
                let why = self.ctl.why(service)?;
                if !whys.contains(&why) {
                    whys.push(why);
                }
            }
            Ok((is_healed && all_settled(&services)).then(|| begun.elapsed()))
        })
        .map(|took| Healing { took, whys })
    }

    /// The services now.
    pub fn services(&mut self) -> Result<Vec<Service>> {
        self.check_daemon()?;
        self.ctl.services()
    }

    /// The containers that this aiplatd made, by service.
    pub fn runs(&self) -> Result<BTreeMap<String, Run>> {
        let filter = instance_filter(&self.instance()?);
        let listed = self.docker.get(&format!("/containers/json?all=1&filters={filter}"))?;
        let mut runs = BTreeMap::new();
        for container in listed.as_array().into_iter().flatten() {
            let id = text(container, "Id");
            let inspected = self.docker.get(&format!("/containers/{id}/json"))?;
            let resource = text(&container["Labels"], RESOURCE_LABEL);
            let service = resource.strip_prefix("container/").unwrap_or(resource).to_owned();
            let run = run_of(&inspected);
            // A service that was replaced a moment ago has its old container too, until that is removed.
            if run.running || !runs.contains_key(&service) {
                runs.insert(service, run);
            }
        }
        Ok(runs)
    }

    /// True once the saved file and the host agree.
    pub fn agrees_with_the_file(&self) -> Result<bool> {
        self.ctl.plans_nothing(&self.folder.file())
    }

    /// Starts aiplatd.
    pub fn start_daemon(&mut self) -> Result<()> {
        self.daemon = Some(Daemon::start(&self.binaries, &self.folder)?);
        Ok(())
    }

    /// Fails if aiplatd is gone.
    pub fn check_daemon(&mut self) -> Result<()> {
        self.daemon.as_mut().context("aiplatd is not running")?.check_alive()
    }

    fn instance(&self) -> Result<String> {
        std::fs::read_to_string(self.folder.instance_file()).context("aiplatd has made no container yet")
    }

    /// Notes the instance label as soon as a container shows it: names are unique in an engine, so the container
    /// of that name is ours if our daemon is at it.
    fn note_instance(&self, services: &[Service]) -> Result<()> {
        if self.folder.instance_file().exists() {
            return Ok(());
        }
        let platform = platform_name(&self.file);
        let ours: Vec<String> = services.iter().map(|row| format!("/{platform}-{}", row.name)).collect();
        let listed = self
            .docker
            .get(&format!("/containers/json?all=1&filters={}", docker::label_filter(INSTANCE_LABEL)))?;
        let is_ours = |container: &&Value| {
            items(container, "Names")
                .iter()
                .any(|name| name.as_str().is_some_and(|name| ours.iter().any(|our| our == name)))
        };
        match listed.as_array().into_iter().flatten().find(is_ours) {
            Some(container) => {
                std::fs::write(self.folder.instance_file(), text(&container["Labels"], INSTANCE_LABEL))
                    .context("cannot note the instance")
            }
            None => Ok(()),
        }
    }
}

/// Whether there are services and nothing is left to do for any.
pub fn all_settled(services: &[Service]) -> bool {
    !services.is_empty() && services.iter().all(Service::is_settled)
}

/// The services whose container runs anew, in the order of their start.
pub fn restarted(before: &BTreeMap<String, Run>, after: &BTreeMap<String, Run>) -> Vec<String> {
    let mut fresh: Vec<(&str, &str)> = after
        .iter()
        .filter(|(service, run)| before.get(*service) != Some(*run))
        .map(|(service, run)| (run.started.as_str(), service.as_str()))
        .collect();
    fresh.sort_unstable();
    fresh.into_iter().map(|(_, service)| service.to_owned()).collect()
}

/// The filter for all that this instance made.
pub fn instance_filter(instance: &str) -> String {
    docker::label_filter(&format!("{INSTANCE_LABEL}={instance}"))
}

fn run_of(inspected: &Value) -> Run {
    let state = &inspected["State"];
    Run {
        id: text(inspected, "Id").to_owned(),
        started: text(state, "StartedAt").to_owned(),
        running: state["Running"].as_bool().unwrap_or(false),
    }
}

/// The platform's name, which is the prefix of its containers.
fn platform_name(file: &str) -> &str {
    let name = file.lines().find_map(|line| line.strip_prefix("name:")).unwrap_or_default();
    name.split('#').next().unwrap_or_default().trim().trim_matches(['"', '\''])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(started: &str) -> Run {
        Run { id: "1".to_owned(), started: started.to_owned(), running: true }
    }

    #[test]
    fn what_runs_anew_is_listed_in_the_order_of_its_start() {
        let before = BTreeMap::from([
            ("a".to_owned(), run("1")),
            ("b".to_owned(), run("1")),
            ("c".to_owned(), run("1")),
        ]);
        let after = BTreeMap::from([
            ("a".to_owned(), run("3")),
            ("b".to_owned(), run("1")),
            ("c".to_owned(), run("2")),
        ]);
        assert_eq!(restarted(&before, &after), ["c", "a"]);
    }

    #[test]
    fn the_platforms_name_is_read_from_its_line() {
        assert_eq!(platform_name("apiVersion: aiplat/v1\nname: \"quickstart\"  # prefix\n"), "quickstart");
    }
}
