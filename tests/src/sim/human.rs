//! What others do to the engine: a person with the CLI, Docker Compose, another aiplatd, a process.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use aiplat_core::{
    action::label,
    observed::PublishedPort,
    spec::{PortBinding, Protocol},
};

use super::{
    Rng,
    engine::{Engine, Image, Mounted, Network, NewContainer, State},
};

/// A foreign container.
#[derive(Debug, Clone, Default)]
pub struct Foreign {
    /// Name.
    pub name: String,
    /// Made by this Compose project, in `/home/user/<project>`.
    pub compose: Option<String>,
    /// Labelled by another aiplatd.
    pub instance: Option<String>,
    /// Made from this image, which is there; from one of its own otherwise.
    pub image: Option<String>,
    /// Publishes this host port.
    pub port: Option<u16>,
    /// Writes to this volume.
    pub volume: Option<String>,
    /// Writes to this host path.
    pub bind: Option<String>,
    /// On this network, by name.
    pub network: Option<String>,
    /// Never started.
    pub stopped: bool,
}

impl Engine {
    /// Somebody runs a container. Panics where the engine refuses.
    pub fn add_foreign(&mut self, foreign: &Foreign) -> String {
        let Foreign { name, compose, instance, image, port, volume, bind, network, stopped } = foreign;
        let image = image.as_deref().unwrap_or("foreign:1");
        self.add_image(image, Image::default());
        let mut labels = BTreeMap::new();
        if let Some(project) = compose {
            labels.insert("com.docker.compose.project".to_owned(), project.clone());
            labels
                .insert("com.docker.compose.project.working_dir".to_owned(), format!("/home/user/{project}"));
        }
        if let Some(instance) = instance {
            labels.insert(label::INSTANCE.to_owned(), instance.clone());
            let service = name.split_once('-').map_or(name.as_str(), |(_, service)| service);
            labels.insert(label::RESOURCE.to_owned(), format!("container/{service}"));
        }
        self.paths.extend(bind.clone());
        let mounted = |volume: Option<String>, bind: Option<String>| Mounted {
            volume,
            bind,
            target: "/data".to_owned(),
            writable: true,
        };
        let mounts = match (volume, bind) {
            (None, None) => Vec::new(),
            (volume, bind) => vec![mounted(volume.clone(), bind.clone())],
        };
        let new = NewContainer {
            name: name.clone(),
            image: image.to_owned(),
            labels,
            network: network.clone().map(|network| (network, Vec::new())),
            mounts,
            bindings: port.iter().map(|port| tcp(*port)).collect(),
            ..NewContainer::default()
        };
        let id = self.create_container(new).expect("a foreign container is made");
        if !stopped {
            self.start(&id).expect("a foreign container starts");
        }
        id
    }

    /// A second network of that name, as two creates that outrun the engine's check for duplicates leave it.
    pub fn duplicate_network(&mut self, name: &str) {
        let Some(network) = self.find_network(name).cloned() else { return };
        let id = self.new_id();
        self.networks.insert(id.clone(), Network { id, ..network });
    }

    /// A process outside of containers listens on a host port.
    pub fn listen(&mut self, port: u16) {
        self.processes.push(published(port));
    }

    /// The engine goes down in order and comes back: every program gets its stop signal. `away` passes.
    pub fn restart_gracefully(&mut self, away: Duration) {
        for id in self.running() {
            let (_, exit_code) = self.stopping(&id, Duration::from_secs(15));
            self.end(&id, exit_code, false);
        }
        self.come_back(away);
    }

    /// The engine is killed and comes back: what ran is killed when it does.
    pub fn restart_killed(&mut self, away: Duration) {
        for id in self.running() {
            self.end(&id, 137, false);
        }
        self.come_back(away);
    }

    /// The engine is gone for a while, and its containers run on; those that end meanwhile are found with 255.
    pub fn restart_live(&mut self, away: Duration) {
        let before = self.running();
        let to = self.now + away;
        self.advance(to);
        for id in before {
            self.lose_exit_code(&id);
        }
        self.events.clear();
    }

    /// With live-restore, what ended while the engine was away is found with 255.
    pub fn lose_exit_code(&mut self, id: &str) {
        if let Some(container) =
            self.containers.get_mut(id).filter(|container| container.state == State::Exited)
        {
            container.exit_code = 255;
        }
    }

    fn come_back(&mut self, away: Duration) {
        let to = self.now + away;
        self.advance(to);
        let again: Vec<String> =
            self.containers.values().filter(|c| c.restart_always).map(|c| c.id.clone()).collect();
        for id in again {
            // A start that fails leaves it down, as the engine does.
            let _refused = self.start(&id);
        }
        self.events.clear();
    }

    /// Ids of what runs.
    #[must_use]
    pub fn running(&self) -> Vec<String> {
        let running = self.containers.values().filter(|c| matches!(c.state, State::Running | State::Paused));
        running.map(|container| container.id.clone()).collect()
    }

    /// Now and then it is a file that the container mounts: changed, or removed. When is the clock's to say, so that the
    /// other chances of a seed stay as they are.
    fn meddle_with_a_file(&mut self, id: &str) -> Option<String> {
        let mounts = self.containers.get(id)?.mounts.iter().filter_map(|mount| mount.bind.clone());
        let ours = |path: &String| self.files.contains_key(path) && !self.foreign_files.contains(path);
        let path = mounts.into_iter().find(ours)?;
        match self.now.since_boot().as_millis() % 8 {
            0 => self.put_file(&path, b"by hand"),
            1 => self.remove_file(&path),
            _ => return None,
        }
        Some(format!("{path} is changed or removed"))
    }

    /// A person does one thing by hand to something of ours; says what.
    pub fn meddle(&mut self, rng: &mut Rng) -> Option<String> {
        let ours =
            self.containers.values().filter(|container| container.labels.contains_key(label::RESOURCE));
        let ids: Vec<(String, String)> =
            ours.map(|container| (container.id.clone(), container.name.clone())).collect();
        let (id, name) = rng.pick(&ids)?.clone();
        if let Some(what) = self.meddle_with_a_file(&id) {
            return Some(what);
        }
        let (what, done) = match rng.below(11) {
            0 => ("kill", self.kill(&id)),
            // Who stops what then exits with 0 has completed it, where the file does not say `restart: always`.
            1 => ("stop", {
                let (_, exit_code) = self.stopping(&id, Duration::from_secs(10));
                self.end(&id, if exit_code == 0 { 143 } else { exit_code }, false);
                Ok(())
            }),
            2 => ("rm -f", self.remove(&id, true)),
            3 => ("rename", self.rename(&id, &format!("{name}-by-hand"))),
            4 => ("pause", self.pause(&id)),
            5 => ("disconnect", {
                let networks: Vec<String> = self.containers.get(&id)?.networks.keys().cloned().collect();
                match rng.pick(&networks) {
                    Some(network) => self.disconnect(network, &id),
                    None => Ok(()),
                }
            }),
            6 => ("start", self.start(&id)),
            7 => ("network create, twice at once", {
                let names: Vec<String> = self.networks.values().map(|network| network.name.clone()).collect();
                rng.pick(&names).iter().for_each(|network| self.duplicate_network(network));
                Ok(())
            }),
            8 => ("pull, of a tag that has moved", {
                let image = self.containers.get(&id)?.image.clone();
                self.push(&image);
                self.pull(&image)
            }),
            9 => ("rmi -f", {
                let image = self.containers.get(&id)?.image.clone();
                self.untag(&image);
                Ok(())
            }),
            _ => ("network rm", {
                let names: Vec<String> = self.networks.values().map(|network| network.name.clone()).collect();
                match rng.pick(&names) {
                    Some(network) => self.remove_network(network),
                    None => Ok(()),
                }
            }),
        };
        done.is_ok().then(|| format!("docker {what} {name}"))
    }
}

fn tcp(port: u16) -> PortBinding {
    PortBinding {
        host_ip: IpAddr::from([0, 0, 0, 0]),
        host_port: Some(port),
        container_port: 80,
        protocol: Protocol::Tcp,
    }
}

fn published(port: u16) -> PublishedPort {
    PublishedPort {
        host_ip: IpAddr::from([0, 0, 0, 0]),
        host_port: port,
        container_port: port,
        protocol: Protocol::Tcp,
    }
}
