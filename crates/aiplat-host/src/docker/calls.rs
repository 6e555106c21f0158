//! The calls that this adapter makes of the engine, named once, and counted.

use std::{collections::BTreeMap, sync::Mutex};

use hyper::Method;

/// One call of the engine's API. Its method, its path and the name under which it is counted all follow from it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Endpoint<'a> {
    Ping,
    Version,
    Info,
    ListContainers,
    InspectContainer(&'a str),
    CreateContainer,
    StartContainer(&'a str),
    StopContainer(&'a str),
    UnpauseContainer(&'a str),
    RenameContainer(&'a str),
    UpdateContainer(&'a str),
    RemoveContainer(&'a str),
    ContainerLogs(&'a str),
    ContainerStats(&'a str),
    CreateExec(&'a str),
    StartExec(&'a str),
    InspectExec(&'a str),
    ListNetworks,
    InspectNetwork(&'a str),
    CreateNetwork,
    ConnectNetwork(&'a str),
    DisconnectNetwork(&'a str),
    RemoveNetwork(&'a str),
    ListVolumes,
    InspectVolume(&'a str),
    CreateVolume,
    RemoveVolume(&'a str),
    InspectImage(&'a str),
    PullImage,
    DiskUsage,
    Events,
}

/// How a call is counted: its method, and its path with the names taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallKind {
    /// `GET`, `POST`, `DELETE`.
    pub method: &'static str,
    /// For example `/containers/{id}/start`.
    pub path: &'static str,
}

/// What was asked of the engine since this adapter was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Calls {
    /// Calls that change nothing.
    pub reads: BTreeMap<CallKind, u64>,
    /// Calls that may change something, whether they did or not.
    pub mutations: BTreeMap<CallKind, u64>,
}

/// Counts as it goes.
#[derive(Debug, Default)]
pub(crate) struct Counter(Mutex<Calls>);

impl Counter {
    pub(crate) fn add(&self, endpoint: Endpoint<'_>) {
        let mut calls = super::lock(&self.0);
        let counts = if endpoint.mutates() { &mut calls.mutations } else { &mut calls.reads };
        *counts.entry(endpoint.kind()).or_default() += 1;
    }

    pub(crate) fn snapshot(&self) -> Calls {
        super::lock(&self.0).clone()
    }
}

impl Calls {
    /// How many calls may have changed something.
    #[must_use]
    pub fn mutating(&self) -> u64 {
        self.mutations.values().sum()
    }

    /// How many calls there were in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.mutating() + self.reads.values().sum::<u64>()
    }
}

impl<'a> Endpoint<'a> {
    /// Method, path before the name, the name, path after it.
    fn parts(self) -> (Method, &'static str, Option<&'a str>, &'static str) {
        match self {
            Self::Ping => (Method::GET, "/_ping", None, ""),
            Self::Version => (Method::GET, "/version", None, ""),
            Self::Info => (Method::GET, "/info", None, ""),
            Self::ListContainers => (Method::GET, "/containers/json", None, ""),
            Self::InspectContainer(id) => (Method::GET, "/containers/", Some(id), "/json"),
            Self::CreateContainer => (Method::POST, "/containers/create", None, ""),
            Self::StartContainer(id) => (Method::POST, "/containers/", Some(id), "/start"),
            Self::StopContainer(id) => (Method::POST, "/containers/", Some(id), "/stop"),
            Self::UnpauseContainer(id) => (Method::POST, "/containers/", Some(id), "/unpause"),
            Self::RenameContainer(id) => (Method::POST, "/containers/", Some(id), "/rename"),
            Self::UpdateContainer(id) => (Method::POST, "/containers/", Some(id), "/update"),
            Self::RemoveContainer(id) => (Method::DELETE, "/containers/", Some(id), ""),
            Self::ContainerStats(id) => (Method::GET, "/containers/", Some(id), "/stats"),
            Self::ContainerLogs(id) => (Method::GET, "/containers/", Some(id), "/logs"),
            Self::CreateExec(id) => (Method::POST, "/containers/", Some(id), "/exec"),
            Self::StartExec(id) => (Method::POST, "/exec/", Some(id), "/start"),
            Self::InspectExec(id) => (Method::GET, "/exec/", Some(id), "/json"),
            Self::ListNetworks => (Method::GET, "/networks", None, ""),
            Self::InspectNetwork(id) => (Method::GET, "/networks/", Some(id), ""),
            Self::CreateNetwork => (Method::POST, "/networks/create", None, ""),
            Self::ConnectNetwork(id) => (Method::POST, "/networks/", Some(id), "/connect"),
            Self::DisconnectNetwork(id) => (Method::POST, "/networks/", Some(id), "/disconnect"),
            Self::RemoveNetwork(id) => (Method::DELETE, "/networks/", Some(id), ""),
            Self::ListVolumes => (Method::GET, "/volumes", None, ""),
            Self::InspectVolume(name) => (Method::GET, "/volumes/", Some(name), ""),
            Self::CreateVolume => (Method::POST, "/volumes/create", None, ""),
            Self::RemoveVolume(name) => (Method::DELETE, "/volumes/", Some(name), ""),
            Self::InspectImage(reference) => (Method::GET, "/images/", Some(reference), "/json"),
            Self::PullImage => (Method::POST, "/images/create", None, ""),
            Self::DiskUsage => (Method::GET, "/system/df", None, ""),
            Self::Events => (Method::GET, "/events", None, ""),
        }
    }

    pub(crate) fn method(self) -> Method {
        self.parts().0
    }

    /// Path without the API version.
    pub(crate) fn path(self) -> String {
        let (_, before, name, after) = self.parts();
        // The references of images have slashes; no other name may reach out of its place in the path.
        let plain: &[u8] = if matches!(self, Self::InspectImage(_)) { b"-._~/:@" } else { b"-._~" };
        format!("{before}{}{after}", name.map(|name| escape(name, plain)).unwrap_or_default())
    }

    /// Whether it may change something. An exec counts: it runs a program.
    pub(crate) fn mutates(self) -> bool {
        self.method() != Method::GET
    }

    pub(crate) fn kind(self) -> CallKind {
        let path = match self {
            Self::Ping => "/_ping",
            Self::Version => "/version",
            Self::Info => "/info",
            Self::ListContainers => "/containers/json",
            Self::InspectContainer(_) => "/containers/{id}/json",
            Self::CreateContainer => "/containers/create",
            Self::StartContainer(_) => "/containers/{id}/start",
            Self::StopContainer(_) => "/containers/{id}/stop",
            Self::UnpauseContainer(_) => "/containers/{id}/unpause",
            Self::RenameContainer(_) => "/containers/{id}/rename",
            Self::UpdateContainer(_) => "/containers/{id}/update",
            Self::RemoveContainer(_) => "/containers/{id}",
            Self::ContainerStats(_) => "/containers/{id}/stats",
            Self::ContainerLogs(_) => "/containers/{id}/logs",
            Self::CreateExec(_) => "/containers/{id}/exec",
            Self::StartExec(_) => "/exec/{id}/start",
            Self::InspectExec(_) => "/exec/{id}/json",
            Self::ListNetworks => "/networks",
            Self::InspectNetwork(_) | Self::RemoveNetwork(_) => "/networks/{id}",
            Self::CreateNetwork => "/networks/create",
            Self::ConnectNetwork(_) => "/networks/{id}/connect",
            Self::DisconnectNetwork(_) => "/networks/{id}/disconnect",
            Self::ListVolumes => "/volumes",
            Self::InspectVolume(_) | Self::RemoveVolume(_) => "/volumes/{name}",
            Self::CreateVolume => "/volumes/create",
            Self::InspectImage(_) => "/images/{name}/json",
            Self::PullImage => "/images/create",
            Self::DiskUsage => "/system/df",
            Self::Events => "/events",
        };
        let method = if !self.mutates() {
            "GET"
        } else if self.method() == Method::DELETE {
            "DELETE"
        } else {
            "POST"
        };
        CallKind { method, path }
    }
}

/// Percent-encodes a query value.
pub(crate) fn escape_query(text: &str) -> String {
    escape(text, b"-._~")
}

fn escape(text: &str, plain: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_place_in_the_path() {
        assert_eq!(Endpoint::StartContainer("a?b#c/d").path(), "/containers/a%3Fb%23c%2Fd/start");
        assert_eq!(
            Endpoint::InspectImage("localhost:5000/a/b@sha256:0").path(),
            "/images/localhost:5000/a/b@sha256:0/json"
        );
    }

    #[test]
    fn reads_and_mutations_are_counted_apart() {
        let counter = Counter::default();
        counter.add(Endpoint::ListContainers);
        counter.add(Endpoint::InspectContainer("a"));
        counter.add(Endpoint::InspectContainer("b"));
        counter.add(Endpoint::RemoveNetwork("n"));
        let calls = counter.snapshot();
        assert_eq!((calls.total(), calls.mutating()), (4, 1));
        assert_eq!(calls.reads[&CallKind { method: "GET", path: "/containers/{id}/json" }], 2);
        assert_eq!(calls.mutations[&CallKind { method: "DELETE", path: "/networks/{id}" }], 1);
    }
}
