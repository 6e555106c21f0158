//! One test's corner of the engine: an instance of its own, names of its own, and nothing left of it afterwards.

use std::{net::TcpListener, path::PathBuf};

use aiplat_core::{
    ResourceId,
    action::{Action, CreateContainer},
    observed::{ContainerId, Observed, ObservedContainer, ObservedNetwork},
    spec::{ContainerRuntime, InstanceId},
};
use aiplat_host::{Backend, HostError, Target, docker::DockerBackend};
use serde_json::{Value, json};

use crate::{
    image::Image,
    support::{self, apply, raw, spec},
};

/// Dropped, also by a panic, it removes all that carries its instance or its prefix.
pub struct Fixture {
    pub backend: DockerBackend,
    pub instance: InstanceId,
    pub prefix: String,
    pub image: Image,
    socket: PathBuf,
}

impl Fixture {
    /// `None`, with the reason on stderr, where no engine answers.
    #[allow(clippy::print_stderr, reason = "a test that proves nothing says so")]
    pub fn new() -> Option<Self> {
        let socket = support::socket();
        if raw::json(&socket, "GET", "/version", &Value::Null).is_none() {
            let reason = format!("no Docker Engine answers on {}", socket.display());
            assert!(std::env::var("AIPLAT_ENGINE_TESTS").as_deref() != Ok("required"), "{reason}");
            eprintln!("not tested: {reason}");
            return None;
        }
        let prefix = format!("aht-{}", support::random());
        let instance = InstanceId(format!("{prefix}-instance"));
        let backend =
            DockerBackend::new(&socket, instance.clone()).with_credentials_file("/nonexistent/config.json");
        Some(Self { backend, instance, prefix, image: Image::acquire(&socket), socket })
    }

    /// A name of this test's own.
    pub fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// The test image with these arguments.
    pub fn runtime(&self, argv: &[&str]) -> ContainerRuntime {
        let command = Some(argv.iter().map(|arg| (*arg).to_owned()).collect());
        ContainerRuntime { image: self.image.name.clone(), command, ..ContainerRuntime::default() }
    }

    /// How to create `container/<service>`, without networks.
    pub fn spec(&self, service: &str, runtime: ContainerRuntime) -> CreateContainer {
        spec::create(&self.instance, service, &self.name(service), runtime)
    }

    pub async fn create(&self, create: CreateContainer) -> Result<ContainerId, HostError> {
        let id = create.labels.resource.clone();
        apply(&self.backend, &id, Action::CreateContainer(Box::new(create))).await?;
        Ok(self.only(id.key()).await.id)
    }

    /// Creates and starts `container/<service>` on the engine's default bridge.
    pub async fn run(&self, service: &str, argv: &[&str]) -> ContainerId {
        let mut create = self.spec(service, self.runtime(argv));
        create.network = Some(spec::attachment("bridge", &[]));
        let id = self.create(create).await.unwrap();
        self.start(service, &id).await.unwrap();
        id
    }

    pub async fn start(&self, service: &str, id: &ContainerId) -> Result<(), HostError> {
        apply(&self.backend, &ResourceId::container(service), Action::StartContainer { id: id.clone() }).await
    }

    pub async fn network(&self, key: &str) -> ObservedNetwork {
        let (id, name) = (ResourceId::network(key), self.name(key));
        let labels = spec::labels(&self.instance, id.clone());
        apply(&self.backend, &id, Action::CreateNetwork { labels, spec: spec::network(&name) })
            .await
            .unwrap();
        self.networks_named(&name).await.into_iter().next().expect("it was made")
    }

    pub async fn networks_named(&self, name: &str) -> Vec<ObservedNetwork> {
        let Observed::Networks(_, mut networks, _) = self.look(ResourceId::network("any"), name).await else {
            panic!("not networks")
        };
        networks.retain(|network| network.name == name);
        networks
    }

    pub async fn look(&self, id: ResourceId, host_name: &str) -> Observed {
        self.backend.observe(&Target { id, host_name: host_name.to_owned() }).await.unwrap()
    }

    /// The containers of `container/<service>`.
    pub async fn all(&self, service: &str) -> Vec<ObservedContainer> {
        let id = ResourceId::container(service);
        let Observed::Containers(_, all) = self.look(id.clone(), "").await else { panic!("not containers") };
        let is_it = |container: &ObservedContainer| {
            container.is_owned_by(&self.instance)
                && container.owner.as_ref().is_some_and(|owner| owner.resource == id)
        };
        all.into_iter().filter(is_it).collect()
    }

    pub async fn only(&self, service: &str) -> ObservedContainer {
        let mut all = self.all(service).await;
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    /// What a person, or another program, does at the engine.
    pub fn by_hand(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        raw::json(&self.socket, method, path, body).expect("an answer")
    }

    /// A foreign container of this test, created, with further fields of the body.
    pub fn foreign(&self, name: &str, labels: &Value, host_config: &Value) -> String {
        let body = json!({"Image": self.image.name, "Cmd": ["sleep"], "Labels": labels, "ExposedPorts": {"80/tcp": {}}, "HostConfig": host_config});
        let (status, answer) = self.by_hand("POST", &format!("/containers/create?name={name}"), &body);
        assert_eq!(status, 201, "{answer}");
        answer["Id"].as_str().unwrap().to_owned()
    }

    pub fn inspect(&self, id: &str) -> Value {
        self.by_hand("GET", &format!("/containers/{id}/json"), &Value::Null).1
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let mine = |object: &Value| {
            let name = object["Names"][0].as_str().or(object["Name"].as_str()).unwrap_or_default();
            name.trim_start_matches('/').starts_with(&self.prefix)
                || object["Labels"]["io.aiplat.instance"].as_str() == Some(&self.instance.0)
        };
        let list = |path: &str| match raw::json(&self.socket, "GET", path, &Value::Null) {
            Some((200, Value::Array(all))) => all,
            Some((200, mut object)) => {
                object["Volumes"].as_array_mut().map(std::mem::take).unwrap_or_default()
            }
            _ => Vec::new(),
        };
        // Anonymous volumes that were carried over count as named ones for the engine.
        let mut anonymous = Vec::new();
        for container in list("/containers/json?all=1").iter().filter(|object| mine(object)) {
            let id = container["Id"].as_str().unwrap_or_default();
            let mounts = container["Mounts"].as_array().into_iter().flatten();
            anonymous.extend(
                mounts
                    .filter_map(|mount| mount["Name"].as_str().map(str::to_owned))
                    .filter(|name| name.len() == 64),
            );
            raw::json(&self.socket, "DELETE", &format!("/containers/{id}?force=1&v=1"), &Value::Null);
        }
        for volume in anonymous {
            raw::json(&self.socket, "DELETE", &format!("/volumes/{volume}"), &Value::Null);
        }
        for network in list("/networks").iter().filter(|object| mine(object)) {
            let id = network["Id"].as_str().unwrap_or_default();
            raw::json(&self.socket, "DELETE", &format!("/networks/{id}"), &Value::Null);
        }
        for volume in list("/volumes").iter().filter(|object| mine(object)) {
            let name = volume["Name"].as_str().unwrap_or_default();
            raw::json(&self.socket, "DELETE", &format!("/volumes/{name}"), &Value::Null);
        }
    }
}

/// A port of 127.0.0.1 that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
