//! The engine's other calls: what is done to containers, networks and volumes once they exist.

use std::{collections::BTreeMap, time::Duration};

use aiplat_core::{Timestamp, spec::Limits};

use super::engine::{Answer, Connection, Engine, Image, Network, State, Volume, Written, address, refuse};

impl Engine {
    /// SIGKILL. 409 when it does not run.
    pub fn kill(&mut self, id: &str) -> Answer<()> {
        let container = self.find_mut(id)?;
        if !matches!(container.state, State::Running | State::Paused) {
            return refuse(409, format!("Container {} is not running", container.id));
        }
        self.end(id, 137, false);
        Ok(())
    }

    /// Freezes it.
    pub fn pause(&mut self, id: &str) -> Answer<()> {
        let container = self.find_mut(id)?;
        if container.state != State::Running {
            return refuse(409, format!("Container {} is not running", container.id));
        }
        container.state = State::Paused;
        let labels = container.labels.clone();
        self.tell("pause", labels);
        Ok(())
    }

    /// Lets it go on.
    pub fn unpause(&mut self, id: &str) -> Answer<()> {
        let container = self.find_mut(id)?;
        if container.state != State::Paused {
            return refuse(500, format!("Container {} is not paused", container.id));
        }
        container.state = State::Running;
        let labels = container.labels.clone();
        self.tell("unpause", labels);
        Ok(())
    }

    /// Removes it; its volumes stay. What runs is refused unless forced.
    pub fn remove(&mut self, id: &str, force: bool) -> Answer<()> {
        let container = self.find_mut(id)?;
        let (id, state) = (container.id.clone(), container.state);
        if matches!(state, State::Running | State::Paused) {
            if !force {
                return refuse(409, format!("You cannot remove a running container {id}."));
            }
            self.end(&id, 137, false);
        }
        if let Some(container) = self.containers.remove(&id) {
            self.tell("destroy", container.labels);
        }
        Ok(())
    }

    /// Gives it another name.
    pub fn rename(&mut self, id: &str, to: &str) -> Answer<()> {
        if let Some(holder) = self.containers.values().find(|container| container.name == to) {
            let holder = &holder.id;
            return refuse(
                409,
                format!(
                    "Conflict. The container name \"/{to}\" is already in use by container \"{holder}\"."
                ),
            );
        }
        let container = self.find_mut(id)?;
        to.clone_into(&mut container.name);
        let labels = container.labels.clone();
        self.tell("rename", labels);
        Ok(())
    }

    /// Changes its limits; zero leaves them, as the engine has it.
    pub fn update(&mut self, id: &str, limits: Limits) -> Answer<()> {
        let container = self.find_mut(id)?;
        container.limits = limits;
        // As the adapter does: the engine's own policy goes with it.
        container.restart_always = false;
        let labels = container.labels.clone();
        self.tell("update", labels);
        Ok(())
    }

    /// Lets the engine restart it when the engine itself starts, or no longer.
    pub fn restart_always(&mut self, id: &str, restarts: bool) -> Answer<()> {
        let container = self.find_mut(id)?;
        container.restart_always = restarts;
        let labels = container.labels.clone();
        self.tell("update", labels);
        Ok(())
    }

    /// Connects it to a network, by the network's id or name.
    pub fn connect(&mut self, network: &str, id: &str, aliases: Vec<String>) -> Answer<()> {
        let Some(network) = self.find_network(network).cloned() else {
            return refuse(404, format!("network {network} not found"));
        };
        let container = self.find_mut(id)?;
        let runs = matches!(container.state, State::Running | State::Paused);
        if runs && container.networks.contains_key(&network.name) {
            let name = &container.name;
            return refuse(
                403,
                format!("endpoint with name {name} already exists in network {}", network.name),
            );
        }
        let ip = runs.then(|| address(&network, container.serial));
        let connection = Connection { network_id: network.id.clone(), ip, aliases };
        container.networks.insert(network.name, connection);
        let labels = container.labels.clone();
        self.tell("connect", labels);
        Ok(())
    }

    /// Disconnects it. A network that is gone is 404, and so is, for a container that runs, nothing else.
    pub fn disconnect(&mut self, network: &str, id: &str) -> Answer<()> {
        let name = self.find_network(network).map(|network| network.name.clone());
        let Some(name) = name else {
            // The entry of a network that is gone can be taken off a stopped container under its old name.
            let container = self.find_mut(id)?;
            let stopped = !matches!(container.state, State::Running | State::Paused);
            if stopped && container.networks.remove(network).is_some() {
                let labels = container.labels.clone();
                self.tell("disconnect", labels);
                return Ok(());
            }
            return refuse(404, format!("network {network} not found"));
        };
        let container = self.find_mut(id)?;
        if container.networks.remove(&name).is_none() {
            return refuse(500, format!("container {} is not connected to the network {name}", container.id));
        }
        let labels = container.labels.clone();
        self.tell("disconnect", labels);
        Ok(())
    }

    /// Makes a network; 409 when its name is taken.
    pub fn create_network(
        &mut self,
        name: &str,
        labels: BTreeMap<String, String>,
        driver: &str,
        internal: bool,
    ) -> Answer<String> {
        if self.networks.values().any(|network| network.name == name) {
            return refuse(409, format!("network with name {name} already exists"));
        }
        let id = self.new_id();
        let (name, driver) = (name.to_owned(), driver.to_owned());
        self.networks
            .insert(id.clone(), Network { id: id.clone(), name, labels: labels.clone(), driver, internal });
        self.tell("network create", labels);
        Ok(id)
    }

    /// Removes a network; 403 while a running container uses it, and no refusal for stopped ones.
    pub fn remove_network(&mut self, id_or_name: &str) -> Answer<()> {
        let Some(network) = self.find_network(id_or_name).cloned() else {
            return refuse(404, format!("network {id_or_name} not found"));
        };
        let uses = |container: &super::engine::Container| {
            matches!(container.state, State::Running | State::Paused)
                && container.networks.values().any(|connection| connection.network_id == network.id)
        };
        if self.containers.values().any(uses) {
            let Network { name, id, .. } = &network;
            return refuse(
                403,
                format!("error while removing network: network {name} id {id} has active endpoints"),
            );
        }
        self.networks.remove(&network.id);
        self.tell("network destroy", network.labels);
        Ok(())
    }

    /// Makes a volume. One of that name stays as it is, labels included, and the answer is the same.
    pub fn create_volume(&mut self, name: &str, labels: BTreeMap<String, String>, driver: &str) -> Volume {
        let made =
            Volume { name: name.to_owned(), labels: labels.clone(), driver: driver.to_owned(), size: 0 };
        let volume = self.volumes.entry(name.to_owned()).or_insert(made).clone();
        self.tell("volume create", labels);
        volume
    }

    /// Removes a volume; 409 while a container, running or not, names it.
    pub fn remove_volume(&mut self, name: &str) -> Answer<()> {
        let names_it = |container: &super::engine::Container| {
            container.mounts.iter().any(|mount| mount.volume.as_deref() == Some(name))
        };
        if self.containers.values().any(names_it) {
            return refuse(409, format!("remove {name}: volume is in use"));
        }
        match self.volumes.remove(name) {
            Some(volume) => {
                self.tell("volume destroy", volume.labels);
                Ok(())
            }
            None => refuse(404, format!("get {name}: no such volume")),
        }
    }

    /// Pulls from the registry.
    pub fn pull(&mut self, reference: &str) -> Answer<()> {
        match self.registry.get(reference).cloned() {
            Some(image) => {
                self.images.insert(reference.to_owned(), image);
                self.tell_of_image("pull", reference);
                Ok(())
            }
            None => refuse(404, format!("manifest for {reference} not found: manifest unknown")),
        }
    }

    /// Somebody pushes another image under the tag; it is on this machine with the next pull. The programs in it do as
    /// those of the one before.
    pub fn push(&mut self, reference: &str) {
        let image = self.registry.entry(reference.to_owned()).or_default();
        let was = image.id(reference);
        image.content += 1;
        let is = image.id(reference);
        self.rebuild(&was, &is);
    }

    /// `docker rmi -f`: the tag means nothing any more; what was made from it runs on.
    pub fn untag(&mut self, reference: &str) {
        if self.images.remove(reference).is_some() {
            self.tell_of_image("untag", reference);
        }
    }

    /// Puts an image on this machine, and into the registry.
    pub fn add_image(&mut self, reference: &str, image: Image) {
        self.images.insert(reference.to_owned(), image.clone());
        self.registry.insert(reference.to_owned(), image);
    }

    /// How long a stop takes, and what the program then exits with.
    #[must_use]
    pub fn stopping(&self, id: &str, grace: Duration) -> (Duration, i64) {
        let Some(container) = self.find(id) else { return (Duration::ZERO, 0) };
        let app = self.app(container);
        match container.state {
            State::Running if app.stop_takes <= grace => (app.stop_takes, app.stop_exit),
            State::Running | State::Paused => (grace, 137),
            State::Created | State::Exited | State::Dead => (Duration::ZERO, 0),
        }
    }

    /// Its process is gone. Nothing if none ran.
    pub fn end(&mut self, id: &str, exit_code: i64, oom: bool) {
        let now = self.now;
        let says = self.find(id).and_then(|container| self.app(container).ends?.says);
        let Ok(container) = self.find_mut(id) else { return };
        if !matches!(container.state, State::Running | State::Paused) {
            return;
        }
        let last = says.filter(|_| exit_code != 0);
        container.log.extend(last.map(|text| Written { at: now, stderr: true, text }));
        container.state = State::Exited;
        container.finished = Some(now);
        container.exit_code = exit_code;
        container.oom_killed = oom;
        container.ends = None;
        container.ports.clear();
        container.networks.values_mut().for_each(|connection| connection.ip = None);
        let labels = container.labels.clone();
        self.tell("die", labels);
    }

    /// When the next program ends by itself.
    #[must_use]
    pub fn next_end(&self) -> Option<Timestamp> {
        let running = self.containers.values().filter(|container| container.state == State::Running);
        running.filter_map(|container| container.ends.map(|(at, ..)| at)).min()
    }

    /// Time passes up to `to`; programs end when their time has come.
    pub fn advance(&mut self, to: Timestamp) {
        while let Some(at) = self.next_end().filter(|at| *at <= to) {
            self.now = self.now.max(at);
            let due = self.containers.values().filter(|c| c.state == State::Running);
            let due = due.filter_map(|c| Some((c.id.clone(), c.ends?))).find(|(_, (when, ..))| *when == at);
            let Some((id, (_, exit_code, oom))) = due else { break };
            self.end(&id, exit_code, oom);
        }
        self.now = self.now.max(to);
    }
}
