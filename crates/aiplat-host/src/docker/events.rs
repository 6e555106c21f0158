//! The engine's events, as hints.
//!
//! A task reads them as fast as they come and folds them into a mailbox that can only hold each hint once: a consumer
//! that is slow, or stuck, costs the engine nothing and loses nothing but the order.

use std::{
    collections::{BTreeSet, VecDeque},
    pin::pin,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aiplat_core::{Kind, ResourceId, observed::ContainerId, spec::InstanceId};
use futures_util::{StreamExt, stream, stream::BoxStream};
use tokio::{sync::Notify, task::JoinHandle, time::Instant};

use super::{
    calls::Endpoint,
    client::{Call, CallError, Client, Stream},
    lines::Lines,
    memory::Memory,
    observe,
    wire::Event,
};
use crate::port::Hint;

const FIRST_DELAY: Duration = Duration::from_millis(50);
const MAX_DELAY: Duration = Duration::from_secs(2);
/// A stream that lived this long was a good one: the next reconnect starts at the first delay again.
const GOOD_STREAM: Duration = Duration::from_secs(5);
/// The engine answers a subscription at once, or it hangs.
const SUBSCRIBE_DEADLINE: Duration = Duration::from_secs(10);
/// Foreign churn (somebody's build farm) asks for one listing a second, not for one an event.
const RELIST_PAUSE: Duration = Duration::from_secs(1);
/// More changed resources than this at once are a listing.
const MAX_CHANGED: usize = 4096;
/// An event with all its labels is a few kilobytes.
const MAX_EVENT: usize = 1 << 20;

/// Hints from now on, for ever. The reader ends when the stream is dropped.
pub(super) fn subscribe(
    client: Arc<Client>,
    memory: Arc<Memory>,
    instance: InstanceId,
) -> BoxStream<'static, Hint> {
    let mailbox = Arc::new(Mailbox::default());
    let reader = Reader { client, memory, instance, mailbox: mailbox.clone() };
    // The task starts with the first look at the stream, so that `hints()` needs no runtime of its own.
    let state = State { mailbox, reader: Some(reader), task: None };
    stream::unfold(state, |mut state| async move {
        if let Some(reader) = state.reader.take() {
            state.task = Some(Task(tokio::spawn(reader.run())));
        }
        let hint = state.mailbox.next().await;
        Some((hint, state))
    })
    .boxed()
}

struct State {
    mailbox: Arc<Mailbox>,
    reader: Option<Reader>,
    task: Option<Task>,
}

struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Reader {
    client: Arc<Client>,
    memory: Arc<Memory>,
    instance: InstanceId,
    mailbox: Arc<Mailbox>,
}

impl Reader {
    async fn run(self) {
        let mut delay = FIRST_DELAY;
        loop {
            let begun = Instant::now();
            let reason = self.connect_and_follow().await;
            // Whoever answers next may be another engine.
            self.client.forget_version();
            self.mailbox.lost(reason);
            if begun.elapsed() >= GOOD_STREAM {
                delay = FIRST_DELAY;
            }
            tokio::time::sleep(jittered(delay)).await;
            delay = (delay * 2).min(MAX_DELAY);
        }
    }

    /// Returns why there are no events any more.
    async fn connect_and_follow(&self) -> String {
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
                self.mailbox.connected();
                self.follow(stream).await
            }
        }
    }

    async fn follow(&self, mut stream: Stream) -> String {
        let mut lines = Lines::new(MAX_EVENT);
        loop {
            match stream.next().await {
                // An event that had only half arrived is lost with it; the listing after the reconnect makes up for it.
                Ok(None) => return "the engine ended the stream of events".to_owned(),
                Err(error) => return said(&error, self.client.socket()),
                Ok(Some(piece)) => lines.push(&piece, |line, cut| self.take(line, cut)),
            }
        }
    }

    fn take(&self, line: &[u8], cut: bool) {
        if line.is_empty() {
            return;
        }
        let meant = match serde_json::from_slice::<Event>(line) {
            Ok(event) if !cut => meaning(&event, &self.instance, &self.memory),
            _ => Meaning::Relist,
        };
        match meant {
            Meaning::Nothing => {}
            Meaning::Changed(ids) => self.mailbox.changed(ids),
            Meaning::Relist => self.mailbox.relist(),
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

/// Between half of it and all of it.
fn jittered(delay: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    delay / 2 + delay.mul_f64(f64::from(random) / f64::from(u32::MAX)) / 2
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

/// Every hint at most once. One consumer.
#[derive(Debug, Default)]
struct Mailbox {
    pending: Mutex<Pending>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct Pending {
    /// `Lost`, `Connected`, or one after the other.
    link: VecDeque<Hint>,
    /// Why it is lost, as long as it is.
    lost: Option<String>,
    relist: bool,
    /// The last `Relist` was handed out; the next waits until then.
    quiet_until: Option<Instant>,
    changed: BTreeSet<ResourceId>,
}

impl Mailbox {
    fn connected(&self) {
        self.put(|pending| {
            pending.lost = None;
            // It asks for a listing itself.
            pending.relist = false;
            if pending.link.back() != Some(&Hint::Connected) {
                pending.link.push_back(Hint::Connected);
            }
        });
    }

    /// Said once for as long as the reason is the same.
    fn lost(&self, reason: String) {
        self.put(|pending| {
            if pending.lost.as_ref() != Some(&reason) {
                // What the consumer has not heard yet is overtaken by this.
                pending.link.clear();
                pending.link.push_back(Hint::Lost { reason: reason.clone() });
                pending.lost = Some(reason);
            }
        });
    }

    fn relist(&self) {
        self.put(|pending| pending.relist = true);
    }

    fn changed(&self, ids: BTreeSet<ResourceId>) {
        self.put(|pending| {
            pending.changed.extend(ids);
            if pending.changed.len() > MAX_CHANGED {
                pending.changed.clear();
                pending.relist = true;
            }
        });
    }

    fn put(&self, change: impl FnOnce(&mut Pending)) {
        change(&mut super::lock(&self.pending));
        self.bell.notify_one();
    }

    async fn next(&self) -> Hint {
        loop {
            let due = {
                let mut pending = super::lock(&self.pending);
                if let Some(hint) = pending.take(Instant::now()) {
                    return hint;
                }
                pending.quiet_until.filter(|_| pending.relist)
            };
            // Both arms only wait: `pending` is looked at anew whichever ends first, so nothing is lost with the other.
            let mut bell = pin!(self.bell.notified());
            match due {
                None => bell.as_mut().await,
                Some(due) => tokio::select! {
                    biased;
                    () = &mut bell => {}
                    () = tokio::time::sleep_until(due) => {}
                },
            }
        }
    }
}

impl Pending {
    fn take(&mut self, now: Instant) -> Option<Hint> {
        if let Some(hint) = self.link.pop_front() {
            return Some(hint);
        }
        if let Some(id) = self.changed.pop_first() {
            return Some(Hint::Changed(id));
        }
        if self.relist && self.quiet_until.is_none_or(|until| until <= now) {
            self.relist = false;
            self.quiet_until = Some(now + RELIST_PAUSE);
            return Some(Hint::Relist);
        }
        None
    }
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

    fn drain(pending: &mut Pending) -> Vec<String> {
        std::iter::from_fn(|| pending.take(Instant::now())).map(|hint| hint.to_string()).collect()
    }

    #[tokio::test]
    async fn a_mailbox_nobody_empties_holds_every_hint_once() {
        let mailbox = Mailbox::default();
        mailbox.connected();
        for n in 0..10_000 {
            mailbox.changed([ResourceId::container(&format!("s{}", n % 3))].into());
            mailbox.relist();
        }
        mailbox.lost("gone".to_owned());
        mailbox.lost("gone".to_owned());
        mailbox.connected();
        let seen = drain(&mut super::super::lock(&mailbox.pending));
        assert_eq!(
            seen,
            [
                "lost: gone",
                "connected",
                "changed container/s0",
                "changed container/s1",
                "changed container/s2"
            ]
        );
    }

    #[tokio::test]
    async fn relists_are_spaced_and_none_is_lost() {
        let mailbox = Mailbox::default();
        mailbox.relist();
        assert_eq!(mailbox.next().await, Hint::Relist);
        mailbox.relist();
        let begun = Instant::now();
        assert_eq!(mailbox.next().await, Hint::Relist);
        assert!(begun.elapsed() >= RELIST_PAUSE - Duration::from_millis(50));
    }

    #[tokio::test]
    async fn more_changes_than_fit_are_a_listing() {
        let mailbox = Mailbox::default();
        for n in 0..=MAX_CHANGED {
            mailbox.changed([ResourceId::container(&n.to_string())].into());
        }
        assert_eq!(drain(&mut super::super::lock(&mailbox.pending)), ["relist"]);
    }

    #[test]
    fn delays_are_jittered_within_their_half() {
        for _ in 0..100 {
            let delay = jittered(MAX_DELAY);
            assert!(delay >= MAX_DELAY / 2 && delay <= MAX_DELAY, "{delay:?}");
        }
    }
}
