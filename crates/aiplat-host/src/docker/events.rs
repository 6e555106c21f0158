//! The engine's events, as hints.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aiplat_core::{Kind, ResourceId, observed::ContainerId, spec::InstanceId};
use futures_util::{StreamExt, future::BoxFuture, stream::BoxStream};

use super::{
    calls::Endpoint,
    client::{Call, CallError, Client, Stream},
    memory::Memory,
    observe,
    wire::Event,
};
use crate::{
    lines::Lines,
    mailbox::{self, Mailbox, Note, Source},
    port::Hint,
};

/// The engine answers a subscription at once, or it hangs.
const SUBSCRIBE_DEADLINE: Duration = Duration::from_secs(10);
/// An event with all its labels is a few kilobytes.
const MAX_EVENT: usize = 1 << 20;

/// Hints from now on, for ever. The reader ends when the stream is dropped.
pub(super) fn subscribe(
    client: Arc<Client>,
    memory: Arc<Memory>,
    instance: InstanceId,
) -> BoxStream<'static, Hint> {
    let notes = mailbox::stream(Reader { client, memory, instance });
    notes
        .map(|note| match note {
            Note::Connected => Hint::Connected,
            Note::Lost { reason } => Hint::Lost { reason },
            Note::Changed(id) => Hint::Changed(id),
            Note::Relist => Hint::Relist,
        })
        .boxed()
}

struct Reader {
    client: Arc<Client>,
    memory: Arc<Memory>,
    instance: InstanceId,
}

impl Source<ResourceId> for Reader {
    const FIRST_DELAY: Duration = Duration::from_millis(50);
    const MAX_DELAY: Duration = Duration::from_secs(2);

    fn follow<'a>(&'a self, mailbox: &'a Mailbox<ResourceId>) -> BoxFuture<'a, String> {
        Box::pin(async {
            let reason = self.connect_and_read(mailbox).await;
            // Whoever answers next may be another engine.
            self.client.forget_version();
            reason
        })
    }
}

impl Reader {
    /// Returns why there are no events any more.
    async fn connect_and_read(&self, mailbox: &Mailbox<ResourceId>) -> String {
        let types = ["container", "network", "volume", "image"];
        // The engine answers before it has subscribed us. With a moment already past it hands out what it still
        // remembers since then, and so the gap is closed.
        let since =
            SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().saturating_sub(1);
        let call = Call::new(Endpoint::Events).filters(&[("type", &types)]).query("since", since.to_string());
        match tokio::time::timeout(SUBSCRIBE_DEADLINE, self.client.open(call)).await {
            Err(_) => {
                format!("the engine does not answer within {}", aiplat_core::time::human(SUBSCRIBE_DEADLINE))
            }
            Ok(Err(error)) => said(&error, self.client.socket()),
            Ok(Ok(stream)) => {
                mailbox.connected();
                self.read(stream, mailbox).await
            }
        }
    }

    async fn read(&self, mut stream: Stream, mailbox: &Mailbox<ResourceId>) -> String {
        let mut lines = Lines::new(MAX_EVENT);
        loop {
            match stream.next().await {
                // An event that had only half arrived is lost with it; the listing after the reconnect makes up for it.
                Ok(None) => return "the engine ended the stream of events".to_owned(),
                Err(error) => return said(&error, self.client.socket()),
                Ok(Some(piece)) => lines.push(&piece, |line, cut| self.take(line, cut, mailbox)),
            }
        }
    }

    fn take(&self, line: &[u8], cut: bool, mailbox: &Mailbox<ResourceId>) {
        if line.is_empty() {
            return;
        }
        let meant = match serde_json::from_slice::<Event>(line) {
            Ok(event) if !cut => meaning(&event, &self.instance, &self.memory),
            _ => Meaning::Relist,
        };
        match meant {
            Meaning::Nothing => {}
            Meaning::Changed(ids) => mailbox.changed(ids),
            Meaning::Relist => mailbox.relist(),
        }
    }
}

fn said(error: &CallError, socket: &std::path::Path) -> String {
    match error {
        CallError::Connect { source } => format!("Docker does not answer on {} ({source})", socket.display()),
        CallError::Broken { .. }
        | CallError::Answered { .. }
        | CallError::Malformed { .. }
        | CallError::Lacks { .. }
        | CallError::TooOld { .. } => error.to_string(),
    }
}

/// What an event tells us to look at.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    Nothing,
    Changed(BTreeSet<ResourceId>),
    Relist,
}

fn meaning(event: &Event, instance: &InstanceId, memory: &Memory) -> Meaning {
    let Event { kind, action, actor } = event;
    // "health_status: healthy", "exec_create: /bin/true".
    let word = action.split(':').next().unwrap_or_default();
    match kind.as_str() {
        "container" => container_event(word, event, instance, memory),
        "network" => match word {
            "connect" | "disconnect" => connection_event(event, memory),
            "create" | "destroy" | "remove" => Meaning::Relist,
            _ => Meaning::Nothing,
        },
        // Mounts and unmounts come with every start and stop, and change nothing.
        "volume" => match word {
            "create" | "destroy" | "prune" => Meaning::Relist,
            _ => Meaning::Nothing,
        },
        "image" => {
            let name = actor.attributes.get("name").map(String::as_str).unwrap_or_default();
            changed(memory.images_named(&[&actor.id, name]))
        }
        _ => Meaning::Nothing,
    }
}

fn container_event(word: &str, event: &Event, instance: &InstanceId, memory: &Memory) -> Meaning {
    let Event { kind: _, action: _, actor } = event;
    let owner =
        observe::ownership(&actor.attributes, Kind::Container).filter(|owner| owner.instance == *instance);
    let ours = owner.is_some();
    match (word, &owner) {
        ("destroy", _) => memory.forget_container(&actor.id),
        (_, Some(owner)) => memory.learn_container(&actor.id, &owner.resource),
        (_, None) => memory.learn_foreign(&actor.id),
    }
    match word {
        // What people and probes do to look at a container, or with its files.
        "exec_create" | "exec_start" | "exec_die" | "exec_detach" | "attach" | "detach" | "resize"
        | "top" | "copy" | "export" | "commit" | "archive-path" | "extract-to-dir" | "checkpoint" => {
            Meaning::Nothing
        }
        _ if ours => changed(owner.map(|owner| owner.resource).into_iter().collect()),
        // They may take or free our names, ports and volumes.
        "create" | "start" | "restart" | "die" | "stop" | "destroy" | "remove" | "rename" => Meaning::Relist,
        _ => Meaning::Nothing,
    }
}

/// It names the container by id only.
fn connection_event(event: &Event, memory: &Memory) -> Meaning {
    let Some(container) = event.actor.attributes.get("container") else { return Meaning::Relist };
    match memory.resource_of(&ContainerId(container.clone())) {
        Some(Some(resource)) => Meaning::Changed([resource].into()),
        Some(None) => Meaning::Nothing,
        None => Meaning::Relist,
    }
}

fn changed(ids: BTreeSet<ResourceId>) -> Meaning {
    if ids.is_empty() { Meaning::Nothing } else { Meaning::Changed(ids) }
}

#[cfg(test)]
mod tests {
    use aiplat_core::{action::label, observed::ObservedImage};

    use super::*;

    const CONTAINER: &str = "c0ffee";

    fn event(kind: &str, action: &str, id: &str, attributes: &[(&str, &str)]) -> Event {
        let attributes =
            attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let actor = super::super::wire::Actor { id: id.to_owned(), attributes };
        Event { kind: kind.to_owned(), action: action.to_owned(), actor }
    }

    fn ours(action: &str) -> Event {
        let labels = [(label::INSTANCE, "i"), (label::RESOURCE, "container/web"), ("name", "p-web-1")];
        event("container", action, CONTAINER, &labels)
    }

    fn foreign(action: &str) -> Event {
        event("container", action, "f00", &[("name", "x")])
    }

    #[track_caller]
    fn check(memory: &Memory, event: &Event, expected: &str) {
        let text = match meaning(event, &InstanceId("i".to_owned()), memory) {
            Meaning::Nothing => "nothing".to_owned(),
            Meaning::Relist => "relist".to_owned(),
            Meaning::Changed(ids) => ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        };
        assert_eq!(text, expected, "{event:?}");
    }

    #[test]
    fn events_of_ours_name_their_resource_and_noise_names_nothing() {
        let memory = Memory::default();
        for action in
            ["create", "start", "die", "oom", "destroy", "pause", "health_status: healthy", "update"]
        {
            check(&memory, &ours(action), "container/web");
        }
        for action in
            ["exec_create: /bin/true", "exec_start: /bin/true", "exec_die", "top", "attach", "resize"]
        {
            check(&memory, &ours(action), "nothing");
        }
    }

    #[test]
    fn foreign_churn_is_a_listing_and_foreign_health_nothing() {
        let memory = Memory::default();
        for action in ["create", "start", "die", "destroy", "rename"] {
            check(&memory, &foreign(action), "relist");
        }
        for action in ["health_status: unhealthy", "exec_die", "kill", "pause"] {
            check(&memory, &foreign(action), "nothing");
        }
        let other = [(label::INSTANCE, "other"), (label::RESOURCE, "container/web")];
        check(&memory, &event("container", "die", "f01", &other), "relist");
        check(&memory, &event("volume", "destroy", "v", &[]), "relist");
        check(&memory, &event("volume", "mount", "v", &[]), "nothing");
        check(&memory, &event("network", "destroy", "n", &[("name", "n")]), "relist");
        check(&memory, &event("daemon", "reload", "d", &[]), "nothing");
    }

    #[test]
    fn a_connection_is_known_by_what_was_learnt_of_its_container() {
        let memory = Memory::default();
        let connect = |id| event("network", "disconnect", "n", &[("container", id), ("name", "n")]);
        check(&memory, &connect(CONTAINER), "relist");
        check(&memory, &ours("create"), "container/web");
        check(&memory, &foreign("create"), "relist");
        check(&memory, &connect(CONTAINER), "container/web");
        check(&memory, &connect("f00"), "nothing");
        check(&memory, &ours("destroy"), "container/web");
        check(&memory, &connect(CONTAINER), "relist");
    }

    #[test]
    fn an_image_event_concerns_whoever_was_looked_at_under_that_name_or_content() {
        let memory = Memory::default();
        let present = ObservedImage::Present { id: "sha256:1".to_owned(), has_healthcheck: false };
        memory.learn_image("redis", &present);
        check(&memory, &event("image", "pull", "redis:latest", &[("name", "redis")]), "image/redis");
        check(&memory, &event("image", "delete", "sha256:1", &[("name", "sha256:1")]), "image/redis");
        check(&memory, &event("image", "pull", "nginx:1", &[("name", "nginx")]), "nothing");
    }
}
