//! systemd's signals, as hints.
//!
//! PID 1 folds signals together when it is busy, and says nothing to a client that has not subscribed: what a signal says
//! is never taken for news, only for a reason to look.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::{StreamExt, future::BoxFuture, stream::BoxStream};
use tokio::time::Instant;
use zbus::{Connection, Message, MessageStream, OwnedObjectPath};

use super::{
    bus::{Bus, CALL_DEADLINE, CallError, within},
    errors, names,
    proxies::{BUS, DaemonProxy, ManagerProxy, SYSTEMD},
};
use crate::mailbox::{self, Mailbox, Note, Source};

/// So long may systemd be off the bus while it starts itself anew (`daemon-reexec`) before it counts as lost.
const REEXEC: Duration = Duration::from_secs(3);

/// The signals that we ask the bus for. Not `UnitNew` and `UnitRemoved`: systemd loads and forgets units as they are
/// looked at, so that every look at a unit that does not exist would be the reason for the next one; and nothing happens
/// to a unit without a job, a change of its properties or a reload.
const RULES: &[&str] = &[
    "type='signal',sender='org.freedesktop.systemd1',interface='org.freedesktop.DBus.Properties',member='PropertiesChanged',path_namespace='/org/freedesktop/systemd1/unit'",
    "type='signal',sender='org.freedesktop.systemd1',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'",
    "type='signal',sender='org.freedesktop.systemd1',interface='org.freedesktop.systemd1.Manager',member='UnitFilesChanged'",
    "type='signal',sender='org.freedesktop.systemd1',interface='org.freedesktop.systemd1.Manager',member='Reloading'",
    "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='org.freedesktop.systemd1'",
];

/// "Look at this again." Never news: a hint may be lost, doubled, late or wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SystemdHint {
    /// The stream of hints has begun, or systemd is another process: look at all units now.
    Connected,
    /// The stream broke; what was observed may be stale. It reconnects by itself.
    Lost {
        /// Why, for a person.
        reason: String,
    },
    /// Something about this unit may have changed. Only of units that were looked at, by the names they were looked at.
    Changed(String),
    /// systemd has read its files anew, or they have changed: look at all units. A container may have lost its GPU.
    Reloaded,
}

/// Hints from now on, for ever. The reader ends when the stream is dropped.
pub(super) fn subscribe(bus: Arc<Bus>) -> BoxStream<'static, SystemdHint> {
    let notes = mailbox::stream(Reader { bus });
    notes
        .map(|note| match note {
            Note::Connected => SystemdHint::Connected,
            Note::Lost { reason } => SystemdHint::Lost { reason },
            Note::Changed(unit) => SystemdHint::Changed(unit),
            Note::Relist => SystemdHint::Reloaded,
        })
        .boxed()
}

struct Reader {
    bus: Arc<Bus>,
}

impl Source<String> for Reader {
    const FIRST_DELAY: Duration = Duration::from_millis(100);
    const MAX_DELAY: Duration = Duration::from_secs(5);

    fn follow<'a>(&'a self, mailbox: &'a Mailbox<String>) -> BoxFuture<'a, String> {
        Box::pin(async move {
            match self.connect_and_read(mailbox).await {
                Ok(reason) => reason,
                Err(error) => errors::said(&error),
            }
        })
    }
}

impl Reader {
    /// Returns why there are no signals any more.
    async fn connect_and_read(&self, mailbox: &Mailbox<String>) -> Result<String, CallError> {
        let connection = self.bus.dial().await?;
        // It takes in signals from here on.
        let mut signals = MessageStream::from(&connection);
        let daemon = within(CALL_DEADLINE, DaemonProxy::new(&connection)).await?;
        for rule in RULES {
            within(CALL_DEADLINE, daemon.add_match(rule)).await?;
        }
        self.subscribe(&connection, mailbox).await?;
        // Off the bus since then, while it starts itself anew.
        let mut back_until: Option<Instant> = None;
        loop {
            // Cancel-safe: a message that was not taken stays in the stream, and the other arm only waits.
            let message = tokio::select! {
                biased;
                message = signals.next() => message,
                () = due(back_until) => return Ok("systemd has left the bus".to_owned()),
            };
            let message = match message {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Err(CallError::Failed(error)),
                None => return Ok("the connection to the bus ended".to_owned()),
            };
            match meaning(&message) {
                Meaning::Nothing => {}
                Meaning::Relist => mailbox.relist(),
                Meaning::Changed(id) => {
                    let units: BTreeSet<String> = self.bus.known_as(&id);
                    if !units.is_empty() {
                        mailbox.changed(units);
                    }
                }
                Meaning::Gone => back_until = back_until.or(Some(Instant::now() + REEXEC)),
                Meaning::Back => {
                    back_until = None;
                    // It may have taken its clients over from itself, or know none of them.
                    self.bus.forget_kept();
                    self.subscribe(&connection, mailbox).await?;
                }
            }
        }
    }

    async fn subscribe(&self, connection: &Connection, mailbox: &Mailbox<String>) -> Result<(), CallError> {
        let manager = within(CALL_DEADLINE, ManagerProxy::new(connection)).await?;
        match within(CALL_DEADLINE, manager.subscribe()).await {
            Ok(()) => {}
            Err(error) if errors::is(&error, "AlreadySubscribed") => {}
            Err(error) => return Err(error),
        }
        mailbox.connected();
        Ok(())
    }
}

async fn due(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// What a signal tells us to look at.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    Nothing,
    /// By systemd's own name.
    Changed(String),
    Relist,
    /// systemd has left the bus.
    Gone,
    /// There is a systemd on the bus again.
    Back,
}

fn meaning(message: &Message) -> Meaning {
    let header = message.header();
    let (Some(interface), Some(member)) = (header.interface(), header.member()) else {
        // An answer to a call.
        return Meaning::Nothing;
    };
    let body = message.body();
    // A signal whose body cannot be read is a reason to look at everything.
    match (interface.as_str(), member.as_str()) {
        ("org.freedesktop.DBus.Properties", "PropertiesChanged") => {
            let path = header.path().map(|path| path.as_str()).unwrap_or_default();
            names::from_path(path).map_or(Meaning::Nothing, Meaning::Changed)
        }
        ("org.freedesktop.systemd1.Manager", "JobRemoved") => {
            // Whatever its result is: `done`, `failed`, `canceled`, `timeout`, `dependency`, `skipped`, ...
            match body.deserialize::<(u32, OwnedObjectPath, String, String)>() {
                Ok((_id, _job, unit, _result)) => Meaning::Changed(unit),
                Err(_) => Meaning::Relist,
            }
        }
        ("org.freedesktop.systemd1.Manager", "UnitFilesChanged") => Meaning::Relist,
        ("org.freedesktop.systemd1.Manager", "Reloading") => match body.deserialize::<bool>() {
            // What it says of its units is not settled before it has finished.
            Ok(true) => Meaning::Nothing,
            Ok(false) | Err(_) => Meaning::Relist,
        },
        (BUS, "NameOwnerChanged") => match body.deserialize::<(String, String, String)>() {
            Ok((name, _old, _new)) if name != SYSTEMD => Meaning::Nothing,
            Ok((_name, _old, new)) if new.is_empty() => Meaning::Gone,
            Ok(_) => Meaning::Back,
            Err(_) => Meaning::Relist,
        },
        _ => Meaning::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use zbus::ObjectPath;

    use super::*;

    const MANAGER: &str = "org.freedesktop.systemd1.Manager";

    fn signal<B>(path: &str, interface: &str, member: &str, body: &B) -> Message
    where
        B: serde::Serialize + zbus::wire::DynamicType,
    {
        Message::signal(path.to_owned(), interface.to_owned(), member.to_owned()).build(body).unwrap()
    }

    fn manager<B>(member: &str, body: &B) -> Meaning
    where
        B: serde::Serialize + zbus::wire::DynamicType,
    {
        meaning(&signal("/org/freedesktop/systemd1", MANAGER, member, body))
    }

    #[test]
    fn every_end_of_a_job_is_a_hint() {
        let job = ObjectPath::try_from("/org/freedesktop/systemd1/job/7").unwrap();
        for result in ["done", "canceled", "timeout", "failed", "dependency", "skipped", "new-word"] {
            let seen = manager("JobRemoved", &(7_u32, &job, "x.service", result));
            assert_eq!(seen, Meaning::Changed("x.service".to_owned()), "{result}");
        }
        assert_eq!(manager("JobRemoved", &("x.service",)), Meaning::Relist, "of another shape");
    }

    #[test]
    fn the_end_of_a_reload_is_a_listing_and_its_beginning_nothing() {
        assert_eq!(manager("Reloading", &(true,)), Meaning::Nothing);
        assert_eq!(manager("Reloading", &(false,)), Meaning::Relist);
        assert_eq!(manager("UnitFilesChanged", &()), Meaning::Relist);
        assert_eq!(manager("StartupFinished", &(1_u64,)), Meaning::Nothing);
    }

    #[test]
    fn a_changed_property_names_its_unit() {
        let changed = |path: &str| {
            let properties = "org.freedesktop.DBus.Properties";
            meaning(&signal(path, properties, "PropertiesChanged", &("whatever",)))
        };
        let unit = "/org/freedesktop/systemd1/unit/ollama_2eservice";
        assert_eq!(changed(unit), Meaning::Changed("ollama.service".to_owned()));
        assert_eq!(changed("/org/freedesktop/systemd1"), Meaning::Nothing);
    }

    #[test]
    fn systemd_comes_and_goes_by_its_name_alone() {
        let owner = |name: &str, old: &str, new: &str| {
            meaning(&signal("/org/freedesktop/DBus", BUS, "NameOwnerChanged", &(name, old, new)))
        };
        assert_eq!(owner(SYSTEMD, ":1.1", ""), Meaning::Gone);
        assert_eq!(owner(SYSTEMD, "", ":1.9"), Meaning::Back);
        assert_eq!(owner("org.freedesktop.login1", ":1.1", ""), Meaning::Nothing);
    }
}
