//! The engine of this machine under contract. Every name is this run's own, and everything is removed, on panic too.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use aiplat_core::{
    action::label,
    spec::{ContainerRuntime, InstanceId},
};
use aiplat_host::{Backend, docker::DockerBackend};
use aiplat_tests::{
    contract::{Clause, Machine, Program},
    sim::Foreign,
};
use serde_json::{Value, json};

use crate::raw;

const IMAGE: &str = "aiplat-demo:1";

struct Docker {
    backend: DockerBackend,
    socket: PathBuf,
    prefix: String,
}

fn socket() -> PathBuf {
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    PathBuf::from(host.strip_prefix("unix://").unwrap_or("/var/run/docker.sock"))
}

/// Why nothing can be proved here, if nothing can.
pub(crate) fn is_ready() -> Result<(), String> {
    let socket = socket();
    let image = raw::call(&socket, "GET", &format!("/images/{IMAGE}/json"), &Value::Null);
    match image {
        None => Err(format!("no Docker Engine answers on {}", socket.display())),
        Some((200, _)) => Ok(()),
        Some(_) => Err(format!("the image {IMAGE} is missing; `cargo xtask test --only image` loads it")),
    }
}

pub(crate) fn check(clause: Clause) {
    // Two runs at once, and two clauses of one run, have names of their own.
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let prefix = format!(
        "act-{:x}-{:x}-{}",
        std::process::id(),
        clock.subsec_nanos(),
        COUNT.fetch_add(1, Ordering::SeqCst)
    );
    let socket = socket();
    let backend = DockerBackend::new(&socket, InstanceId(format!("{prefix}-instance")));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let machine = Docker { backend, socket, prefix };
    runtime.block_on(clause(&machine));
}

impl Docker {
    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = raw::call(&self.socket, method, path, body).expect("the engine answers");
        assert!(status < 400, "{method} {path}: {status} {answer}");
        answer
    }
}

impl Machine for Docker {
    fn backend(&self) -> &dyn Backend {
        &self.backend
    }

    fn prefix(&self) -> &str {
        &self.prefix
    }

    fn adapt(&self, runtime: &mut ContainerRuntime, program: Program) {
        IMAGE.clone_into(&mut runtime.image);
        let argv = match program {
            Program::Serve => vec!["serve"],
            Program::Exit3 => vec!["crash", "EXIT_CODE=3"],
            Program::Missing => {
                runtime.entrypoint = Some(vec!["/no-such-program".to_owned()]);
                vec![]
            }
        };
        runtime.command = Some(argv.into_iter().map(str::to_owned).collect());
    }

    fn foreign(&self, foreign: &Foreign) -> String {
        let Foreign { name, port, network, stopped, compose: _, instance: _, image: _, volume: _, bind: _ } =
            foreign;
        let ports = port.map(|port| json!({"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": port.to_string()}]}));
        let body = json!({
            "Image": IMAGE, "Cmd": ["serve"], "ExposedPorts": {"80/tcp": {}},
            "HostConfig": {"PortBindings": ports.unwrap_or(json!({})), "NetworkMode": network.as_deref().unwrap_or("bridge")},
        });
        let made = self.call("POST", &format!("/containers/create?name={name}"), &body);
        let id = made["Id"].as_str().expect("an id").to_owned();
        if !stopped {
            self.call("POST", &format!("/containers/{id}/start"), &Value::Null);
        }
        id
    }

    fn foreign_network(&self, name: &str) -> String {
        let made = self.call("POST", "/networks/create", &json!({"Name": name, "CheckDuplicate": true}));
        made["Id"].as_str().expect("an id").to_owned()
    }

    fn foreign_volume(&self, name: &str) {
        self.call("POST", "/volumes/create", &json!({"Name": name}));
    }

    fn kill(&self, id: &str) {
        self.call("POST", &format!("/containers/{id}/kill"), &Value::Null);
        // The signal is sent; the end follows.
        self.call("POST", &format!("/containers/{id}/wait"), &Value::Null);
    }

    fn start(&self, id: &str) {
        self.call("POST", &format!("/containers/{id}/start"), &Value::Null);
    }

    fn remove_network(&self, name: &str) {
        self.call("DELETE", &format!("/networks/{name}"), &Value::Null);
    }

    fn remove(&self, id: &str) {
        self.call("DELETE", &format!("/containers/{id}?force=1&v=1"), &Value::Null);
    }

    fn accounts(&self, id: &str) -> bool {
        let stats = self.call("GET", &format!("/containers/{id}/stats?stream=false"), &Value::Null);
        stats["memory_stats"]["usage"].is_u64()
    }

    fn free_port(&self) -> u16 {
        let listener = TcpListener::bind("0.0.0.0:0").expect("a socket");
        listener.local_addr().expect("an address").port()
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        let (socket, instance) = (&self.socket, self.backend.instance().0.clone());
        let mine = |object: &Value| {
            let name = object["Names"][0].as_str().or(object["Name"].as_str()).unwrap_or_default();
            name.trim_start_matches('/').starts_with(&self.prefix)
                || object["Labels"][label::INSTANCE].as_str() == Some(&instance)
        };
        let delete = |path: &str| drop(raw::call(socket, "DELETE", path, &Value::Null));
        let mut anonymous = Vec::new();
        for container in list(socket, "/containers/json?all=1").iter().filter(|object| mine(object)) {
            let mounts = container["Mounts"].as_array().cloned().unwrap_or_default();
            let volumes = mounts.iter().filter_map(|mount| mount["Name"].as_str().map(str::to_owned));
            anonymous.extend(volumes.filter(|name| name.len() == 64));
            delete(&format!("/containers/{}?force=1&v=1", container["Id"].as_str().unwrap_or_default()));
        }
        for network in list(socket, "/networks").iter().filter(|object| mine(object)) {
            delete(&format!("/networks/{}", network["Id"].as_str().unwrap_or_default()));
        }
        let volumes = list(socket, "/volumes");
        let volumes =
            volumes.iter().filter(|object| mine(object)).filter_map(|volume| volume["Name"].as_str());
        for name in volumes.map(str::to_owned).chain(anonymous) {
            delete(&format!("/volumes/{name}"));
        }
    }
}

fn list(socket: &Path, path: &str) -> Vec<Value> {
    match raw::call(socket, "GET", path, &Value::Null) {
        Some((200, Value::Array(all))) => all,
        Some((200, mut object)) => object["Volumes"].as_array_mut().map(std::mem::take).unwrap_or_default(),
        Some(_) | None => Vec::new(),
    }
}
