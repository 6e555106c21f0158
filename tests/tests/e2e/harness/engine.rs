//! The engine, asked behind the daemon's back: what is really there, and what really happened.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use serde_json::{Value, json};

use super::{http, until};

/// The images that the tests run.
pub(crate) const IMAGES: [&str; 2] = ["aiplat-demo:1", "aiplat-demo:2"];

/// An engine behind a Unix socket.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    pub(crate) socket: PathBuf,
}

impl Engine {
    /// The engine of `DOCKER_HOST`, or the machine's own; the reason why tests cannot run on it otherwise.
    pub(crate) fn of_this_machine() -> Result<Self, String> {
        let host = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
        let socket = match host.as_deref() {
            None => Path::new("/var/run/docker.sock"),
            Some(host) => Path::new(
                host.strip_prefix("unix://").ok_or(format!("DOCKER_HOST={host} is no Unix socket"))?,
            ),
        };
        let engine = Self { socket: socket.to_owned() };
        engine.ping().map_err(|error| format!("no engine answers at {}: {error}", socket.display()))?;
        match IMAGES.iter().find(|image| engine.try_get(&format!("/images/{image}/json")).is_none()) {
            None => Ok(engine),
            Some(image) => {
                Err(format!("the image {image} is missing; `cargo xtask test --only image` loads it"))
            }
        }
    }

    pub(crate) fn ping(&self) -> std::io::Result<()> {
        http::request(&self.socket, "GET", "/_ping", b"").map(drop)
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> http::Answer {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        http::request(&self.socket, method, path, &body)
            .unwrap_or_else(|error| panic!("the engine did not answer to {method} {path}: {error}"))
    }

    /// GET; `None` when there is no such thing.
    pub(crate) fn try_get(&self, path: &str) -> Option<Value> {
        let answer = self.call("GET", path, &Value::Null);
        match answer.status {
            200 => Some(serde_json::from_slice(&answer.body).expect("the engine answers in JSON")),
            404 => None,
            status => panic!("the engine answered {status} to GET {path}: {}", answer.text()),
        }
    }

    /// POST that must succeed; an empty answer is null.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Value {
        let answer = self.call("POST", path, body);
        assert!(
            answer.status < 400,
            "the engine answered {} to POST {path}: {}",
            answer.status,
            answer.text()
        );
        serde_json::from_slice(&answer.body).unwrap_or(Value::Null)
    }

    /// DELETE; what is gone already is fine.
    pub(crate) fn delete(&self, path: &str) {
        drop(http::request(&self.socket, "DELETE", path, b""));
    }

    /// DELETE, whose answer nobody waits for.
    pub(crate) fn delete_in_background(&self, path: &str) {
        drop(http::send(&self.socket, "DELETE", path, b""));
    }

    /// A container's inspect by name or id.
    pub(crate) fn inspect(&self, name: &str) -> Option<Value> {
        self.try_get(&format!("/containers/{name}/json"))
    }

    /// Containers with this label, running or not.
    pub(crate) fn containers(&self, label: &str) -> Vec<Value> {
        let path = format!("/containers/json?all=1&filters={}", label_filter(label));
        items(&self.try_get(&path).unwrap_or_default())
    }

    /// Networks with this label: their ids by name.
    pub(crate) fn networks(&self, label: &str) -> BTreeMap<String, String> {
        let found = self.try_get(&format!("/networks?filters={}", label_filter(label))).unwrap_or_default();
        let text = |item: &Value, field: &str| item[field].as_str().unwrap_or_default().to_owned();
        items(&found).iter().map(|item| (text(item, "Name"), text(item, "Id"))).collect()
    }

    /// `/networks` or `/volumes` with this label, by name.
    pub(crate) fn names(&self, what: &str, label: &str) -> Vec<String> {
        let found = self.try_get(&format!("/{what}?filters={}", label_filter(label))).unwrap_or_default();
        let list = if what == "volumes" { items(&found["Volumes"]) } else { items(&found) };
        list.iter().filter_map(|item| item["Name"].as_str().map(str::to_owned)).collect()
    }

    /// Removes whatever has this label; answers whether there was nothing to remove.
    pub(crate) fn remove_labelled(&self, label: &str) -> bool {
        let containers = self.containers(label);
        for container in &containers {
            self.delete(&format!("/containers/{}?force=1&v=1", container["Id"].as_str().unwrap_or_default()));
        }
        let mut nothing = containers.is_empty();
        for kind in ["networks", "volumes"] {
            let names = self.names(kind, label);
            nothing &= names.is_empty();
            names.iter().for_each(|name| self.delete(&format!("/{kind}/{name}")));
        }
        nothing
    }

    /// The bytes of `docker save`.
    pub(crate) fn save(&self, image: &str) -> Vec<u8> {
        self.call("GET", &format!("/images/{image}/get"), &Value::Null).body
    }

    /// `docker load`.
    pub(crate) fn load(&self, archive: &[u8]) {
        let answer =
            http::request(&self.socket, "POST", "/images/load?quiet=1", archive).expect("the engine answers");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// Records the events of the containers with this label from now on.
    pub(crate) fn record(&self, label: &str) -> Recorder {
        self.recorder(&format!("/events?filters={}", label_filter(label)))
    }

    /// Records everything that happens to containers and their connections, whosever they are.
    pub(crate) fn record_all(&self) -> Recorder {
        self.recorder("/events")
    }

    fn recorder(&self, path: &str) -> Recorder {
        let stream = http::send(&self.socket, "GET", path, b"").expect("the engine streams events");
        stream.set_read_timeout(None).expect("a socket without a timeout");
        let lines = BufReader::new(stream.try_clone().expect("a socket can be cloned")).lines();
        let events = Arc::<Mutex<Vec<Event>>>::default();
        let seen = Arc::clone(&events);
        // The head and the blank line after it are no JSON and fall out here.
        let events_of = move || {
            for event in lines.map_while(Result::ok).filter_map(|line| Event::parse(&line)) {
                seen.lock().unwrap_or_else(PoisonError::into_inner).push(event);
            }
        };
        Recorder { stream, events, thread: Some(std::thread::spawn(events_of)) }
    }
}

fn items(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

fn label_filter(label: &str) -> String {
    let encode = |byte: u8| {
        if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    json!({ "label": [label] }).to_string().bytes().map(encode).collect()
}

/// One event of a container.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// `start`, `die`, `destroy`, `rename`, ...
    pub(crate) action: String,
    pub(crate) id: String,
    /// The service, by our label; empty for a connection.
    pub(crate) service: String,
    /// The container's name; empty for a connection.
    pub(crate) name: String,
}

impl Event {
    fn parse(line: &str) -> Option<Self> {
        let event: Value = serde_json::from_str(line).ok()?;
        let attributes = &event["Actor"]["Attributes"];
        let is_connection = event["Type"] == json!("network");
        let id = if is_connection { &attributes["container"] } else { &event["Actor"]["ID"] };
        // A connection's event does not tell whose container it is.
        let resource = if is_connection { Some("") } else { attributes["io.aiplat.resource"].as_str() };
        Some(Self {
            action: event["Action"].as_str()?.to_owned(),
            id: id.as_str()?.to_owned(),
            service: resource?.trim_start_matches("container/").to_owned(),
            name: if is_connection { "" } else { attributes["name"].as_str().unwrap_or_default() }.to_owned(),
        })
    }
}

/// The engine's events, as they came.
pub(crate) struct Recorder {
    stream: UnixStream,
    events: Arc<Mutex<Vec<Event>>>,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the recording satisfies `holds`, and returns it.
    pub(crate) fn wait(&self, what: &str, holds: impl Fn(&[Event]) -> bool) -> Vec<Event> {
        let ok = until(Duration::from_secs(30), || holds(&self.events()));
        assert!(ok, "the engine did not report within 30s: {what}; it reported {:#?}", self.events());
        self.events()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        drop(self.stream.shutdown(Shutdown::Both));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Where the first `action` of the container `id` stands. Panics if there is none.
pub(crate) fn position(events: &[Event], id: &str, action: &str) -> usize {
    let found = events.iter().position(|event| event.id == id && event.action == action);
    found.unwrap_or_else(|| panic!("no {action} of {id} in {events:#?}"))
}

/// "service:action" of those events that begin, end and remove runs.
pub(crate) fn outline(events: &[Event]) -> Vec<String> {
    let told = |event: &&Event| ["create", "start", "die", "destroy"].contains(&event.action.as_str());
    events.iter().filter(told).map(|event| format!("{}:{}", event.service, event.action)).collect()
}
