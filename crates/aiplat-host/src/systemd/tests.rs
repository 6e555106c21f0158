//! The adapter against a bus of our own: a socket that speaks D-Bus, and answers as systemd does.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use aiplat_core::{
    action::UnitVerb,
    condition::{ErrorClass, Reason},
    observed::{ActiveState, LoadState},
};
use futures_util::StreamExt;
use tokio::{net::UnixListener, task::JoinHandle};
use zbus::{
    Connection, Guid, Message, ObjectPath, Variant, connection, message::Type, names::OwnedErrorName,
};

use super::*;
use crate::{HostErrorKind, lock};

const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const NO_SUCH_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";
const DENIED: &str = "org.freedesktop.DBus.Error.AccessDenied";

/// A bus with systemd on it.
struct Bus {
    folder: tempfile::TempDir,
    systemd: Arc<Mutex<Fake>>,
    peers: Arc<Mutex<Vec<Connection>>>,
    accepting: JoinHandle<()>,
}

/// What the systemd on it answers.
#[derive(Default)]
struct Fake {
    /// Method calls so far: `StartUnit ollama.service`.
    calls: Vec<String>,
    /// Of every unit.
    properties: BTreeMap<String, Variant<'static>>,
    /// By method: the error that it answers with.
    refusals: BTreeMap<&'static str, &'static str>,
    has_install: bool,
}

impl Bus {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("bus")).unwrap();
        let (systemd, peers) = (Arc::<Mutex<Fake>>::default(), Arc::<Mutex<Vec<Connection>>>::default());
        let accepting = tokio::spawn(accept(listener, systemd.clone(), peers.clone()));
        Self { folder, systemd, peers, accepting }
    }

    fn adapter(&self) -> Systemd {
        Systemd::new(SystemdOptions {
            address: Some(format!("unix:path={}", self.folder.path().join("bus").display())),
            units: self.folder.path().join("system"),
            ..SystemdOptions::of_this_machine(self.folder.path().join("units"))
        })
    }

    fn set<const N: usize>(&self, properties: [(&str, Variant<'static>); N]) {
        let properties = properties.map(|(name, value)| (name.to_owned(), value));
        lock(&self.systemd).properties.extend(properties);
    }

    fn refuse(&self, method: &'static str, error: &'static str) {
        lock(&self.systemd).refusals.insert(method, error);
    }

    /// How often this was called.
    fn count(&self, call: &str) -> usize {
        lock(&self.systemd).calls.iter().filter(|made| *made == call).count()
    }

    /// Sends a signal to everybody.
    async fn signal<B>(&self, path: &str, interface: &str, member: &str, body: &B)
    where
        B: serde::Serialize + zbus::wire::DynamicType,
    {
        let signal = Message::signal(path.to_owned(), interface.to_owned(), member.to_owned());
        let signal = signal.build(body).unwrap();
        let peers = lock(&self.peers).clone();
        for peer in peers {
            // One that has hung up hears nothing.
            drop(peer.send(&signal).await);
        }
    }

    async fn job_removed(&self, unit: &str) {
        let job = ObjectPath::try_from("/org/freedesktop/systemd1/job/1").unwrap();
        self.signal("/org/freedesktop/systemd1", MANAGER, "JobRemoved", &(1_u32, job, unit, "done")).await;
    }

    async fn owner_changed(&self, old: &str, new: &str) {
        let body = ("org.freedesktop.systemd1", old, new);
        self.signal("/org/freedesktop/DBus", "org.freedesktop.DBus", "NameOwnerChanged", &body).await;
    }

    async fn hang_up(&self) {
        let peers: Vec<Connection> = lock(&self.peers).drain(..).collect();
        for peer in peers {
            peer.close().await.unwrap();
        }
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: UnixListener, systemd: Arc<Mutex<Fake>>, peers: Arc<Mutex<Vec<Connection>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let stream = stream.into_std().unwrap();
        let builder = connection::Builder::unix_stream(stream).server(Guid::generate()).p2p();
        let (systemd, peers) = (systemd.clone(), peers.clone());
        tokio::spawn(async move {
            let Ok(mut messages) = builder.build_message_stream().await else { return };
            let connection = Connection::from(&messages);
            lock(&peers).push(connection.clone());
            while let Some(Ok(message)) = messages.next().await {
                if message.message_type() == Type::MethodCall {
                    answer(&connection, &message, &systemd).await.unwrap();
                }
            }
        });
    }
}

async fn answer(to: &Connection, call: &Message, systemd: &Mutex<Fake>) -> zbus::Result<()> {
    let header = call.header();
    let method = header.member().unwrap().as_str();
    let argument = call.body().deserialize::<(String,)>().map(|(argument,)| argument);
    let argument =
        argument.or_else(|_| call.body().deserialize::<(String, String)>().map(|(first, _)| first));
    let (refusal, properties, has_install) = {
        let mut systemd = lock(systemd);
        systemd.calls.push(format!("{method} {}", argument.unwrap_or_default()).trim_end().to_owned());
        (systemd.refusals.get(method).copied(), systemd.properties.clone(), systemd.has_install)
    };
    if let Some(error) = refusal {
        return to.reply_error(&header, OwnedErrorName::try_from(error).unwrap(), &"No, it says.").await;
    }
    let job = ObjectPath::try_from("/org/freedesktop/systemd1/job/1").unwrap();
    match method {
        "Hello" => to.reply(&header, &":1.7").await,
        "LoadUnit" => {
            let path = ObjectPath::try_from("/org/freedesktop/systemd1/unit/x_2eservice").unwrap();
            to.reply(&header, &path).await
        }
        "StartUnit" | "StopUnit" | "RestartUnit" => to.reply(&header, &job).await,
        "GetAll" => to.reply(&header, &properties).await,
        "Get" if header.path().is_some_and(|path| *path == job) => {
            to.reply(&header, &Variant::from("start")).await
        }
        "Get" => to.reply(&header, &Variant::from("252.39")).await,
        "ListUnitsFiltered" => {
            let failed = |name: &str| {
                let text = |text: &str| text.to_owned();
                let state = (text("loaded"), text("failed"), text("failed"));
                (
                    text(name),
                    text(""),
                    state.0,
                    state.1,
                    state.2,
                    text(""),
                    job.clone(),
                    0_u32,
                    text(""),
                    job.clone(),
                )
            };
            to.reply(&header, &vec![failed("srv-models.mount"), failed("other.service")]).await
        }
        "EnableUnitFiles" => to.reply(&header, &(has_install, Vec::<(String, String, String)>::new())).await,
        "UnmaskUnitFiles" => to.reply(&header, &Vec::<(String, String, String)>::new()).await,
        _ => to.reply(&header, &()).await,
    }
}

/// The next hint, which comes soon or not at all.
async fn next(hints: &mut BoxStream<'static, SystemdHint>) -> SystemdHint {
    tokio::time::timeout(Duration::from_secs(10), hints.next()).await.expect("a hint").expect("for ever")
}

fn running() -> [(&'static str, Variant<'static>); 4] {
    [
        ("Id", "x.service".into()),
        ("LoadState", "loaded".into()),
        ("ActiveState", "active".into()),
        ("SubState", "running".into()),
    ]
}

#[tokio::test]
async fn a_unit_is_looked_at_and_kept_loaded_once() {
    let bus = Bus::new();
    bus.set(running());
    let job = ObjectPath::try_from("/org/freedesktop/systemd1/job/1").unwrap();
    let drop_in = bus.folder.path().join("system/x.service.d/50-aiplatd.conf").display().to_string();
    bus.set([("Job", Variant::new((1_u32, job))), ("DropInPaths", Variant::new(vec![drop_in]))]);
    let systemd = bus.adapter();
    let first = systemd.observe("x.service").await.unwrap();
    assert_eq!((first.load, first.active), (LoadState::Loaded, ActiveState::Active));
    assert_eq!(first.job.as_deref(), Some("start"));
    assert!(first.own.loaded, "systemd names our drop-in");
    let second = systemd.observe("x.service").await.unwrap();
    assert!(second.as_of > first.as_of);
    assert_eq!((bus.count("LoadUnit x.service"), bus.count("Ref"), bus.count("Hello")), (2, 1, 1));
    assert_eq!(systemd.version().await.as_deref(), Some("252.39"));
}

#[tokio::test]
async fn what_has_failed_is_told_with_the_units_that_name_it() {
    let bus = Bus::new();
    bus.set([("Requires", Variant::new(vec!["srv-models.mount", "sysinit.target"]))]);
    let systemd = bus.adapter();
    let units = ["x.service".to_owned()].into();
    let seen = Units::overview(&systemd, units).await.unwrap();
    assert_eq!((seen.version.as_str(), seen.state.as_str()), ("252.39", "252.39"), "this bus knows one word");
    let needed_by = |name: &str| seen.failed[name].join(", ");
    assert_eq!(
        (needed_by("srv-models.mount"), needed_by("other.service")),
        ("x.service".to_owned(), String::new())
    );
    bus.refuse("ListUnitsFiltered", DENIED);
    let error = Units::overview(&systemd, BTreeSet::new()).await.unwrap_err();
    assert!(error.message.starts_with("cannot ask systemd how it is: "), "{error}");
}

#[tokio::test]
async fn a_unit_that_is_not_there_is_an_observation_and_not_kept() {
    let bus = Bus::new();
    let why = (NO_SUCH_UNIT.to_owned(), "Unit x.service not found.".to_owned());
    bus.set([("LoadState", "not-found".into()), ("LoadError", Variant::new(why))]);
    let unit = bus.adapter().observe("x.service").await.unwrap();
    assert_eq!((unit.load, unit.load_error.as_str()), (LoadState::NotFound, "Unit x.service not found."));
    assert_eq!(bus.count("Ref"), 0);
}

#[tokio::test]
async fn a_unit_that_is_masked_is_let_go_so_that_systemd_sees_the_mask_taken_away() {
    let bus = Bus::new();
    bus.set(running());
    let systemd = bus.adapter();
    for (load, kept, let_go) in
        [("loaded", 1, 0), ("masked", 1, 1), ("masked", 1, 1), ("loaded", 2, 1), ("bad-setting", 2, 2)]
    {
        bus.set([("LoadState", load.into())]);
        systemd.observe("x.service").await.unwrap();
        assert_eq!((bus.count("Ref"), bus.count("Unref")), (kept, let_go), "{load}");
    }
}

#[tokio::test]
async fn verbs_are_the_calls_that_systemctl_makes() {
    let bus = Bus::new();
    lock(&bus.systemd).has_install = true;
    let systemd = bus.adapter();
    let unit = "x.service".to_owned();
    for (verb, call) in [
        (UnitVerb::Start, "StartUnit x.service"),
        (UnitVerb::Stop, "StopUnit x.service"),
        (UnitVerb::Restart, "RestartUnit x.service"),
        (UnitVerb::ResetFailed, "ResetFailedUnit x.service"),
    ] {
        systemd.apply(&Action::Unit { unit: unit.clone(), verb }).await.unwrap();
        assert_eq!(bus.count(call), 1);
    }
    systemd.apply(&Action::Unit { unit: unit.clone(), verb: UnitVerb::Enable }).await.unwrap();
    systemd.apply(&Action::Unit { unit, verb: UnitVerb::Unmask }).await.unwrap();
    systemd.apply(&Action::ReloadSystemd).await.unwrap();
    assert_eq!((bus.count("EnableUnitFiles"), bus.count("UnmaskUnitFiles"), bus.count("Reload")), (1, 2, 1));
}

#[tokio::test]
async fn a_refusal_is_a_sentence_with_a_class() {
    let bus = Bus::new();
    let systemd = bus.adapter();
    let unit = "x.service".to_owned();
    for (error, class, reason) in [
        (NO_SUCH_UNIT, ErrorClass::Rejected, Reason::UnitNotFound),
        ("org.freedesktop.systemd1.UnitMasked", ErrorClass::Rejected, Reason::UnitMasked),
        ("org.freedesktop.systemd1.ShuttingDown", ErrorClass::Transient, Reason::ActionFailed),
        ("org.freedesktop.systemd1.SomethingNew", ErrorClass::Transient, Reason::ActionFailed),
        (DENIED, ErrorClass::Denied, Reason::PermissionDenied),
        ("System.Error.EROFS", ErrorClass::Denied, Reason::PermissionDenied),
    ] {
        bus.refuse("StartUnit", error);
        let start = Action::Unit { unit: unit.clone(), verb: UnitVerb::Start };
        let refused = systemd.apply(&start).await.expect_err("refused");
        assert_eq!((refused.kind, refused.class, refused.reason), (HostErrorKind::Refused, class, reason));
        let beginning = "cannot start x.service: systemd says \"No, it says\"; ";
        assert!(refused.message.starts_with(beginning), "{refused}");
    }
    bus.refuse("StartUnit", "org.freedesktop.DBus.Error.NoReply");
    let start = Action::Unit { unit, verb: UnitVerb::Start };
    let unknown = systemd.apply(&start).await.expect_err("unanswered");
    assert_eq!(unknown.kind, HostErrorKind::OutcomeUnknown);
}

#[tokio::test]
async fn what_is_not_loaded_is_stopped_and_has_not_failed() {
    let bus = Bus::new();
    let systemd = bus.adapter();
    for (verb, method) in [
        (UnitVerb::Stop, "StopUnit"),
        (UnitVerb::ResetFailed, "ResetFailedUnit"),
        (UnitVerb::Start, "StartUnit"),
    ] {
        bus.refuse(method, NO_SUCH_UNIT);
        let done = systemd.apply(&Action::Unit { unit: "x.service".to_owned(), verb }).await;
        assert_eq!(done.is_ok(), verb != UnitVerb::Start, "{verb:?}");
    }
}

#[tokio::test]
async fn a_unit_without_an_install_section_cannot_be_enabled() {
    let bus = Bus::new();
    let enable = Action::Unit { unit: "x.service".to_owned(), verb: UnitVerb::Enable };
    let error = bus.adapter().apply(&enable).await.expect_err("nothing to enable");
    assert_eq!((error.kind, error.class), (HostErrorKind::Refused, ErrorClass::Rejected));
    assert!(error.message.contains("no `[Install]` section"), "{error}");
}

#[tokio::test]
async fn an_action_of_the_engine_is_our_mistake() {
    let pull = Action::PullImage { reference: "a:1".to_owned() };
    let error = Bus::new().adapter().apply(&pull).await.expect_err("not systemd's");
    assert_eq!(error.class, ErrorClass::Bug);
}

#[tokio::test]
async fn a_name_that_is_none_reaches_neither_bus_nor_disk() {
    let bus = Bus::new();
    let systemd = bus.adapter();
    let unit = "../../etc/x.service".to_owned();
    assert_eq!(systemd.observe(&unit).await.expect_err("no name").class, ErrorClass::Rejected);
    for action in [
        Action::RemoveUnitFiles { unit: unit.clone() },
        Action::Unit { unit: unit.clone(), verb: UnitVerb::Start },
    ] {
        assert_eq!(systemd.apply(&action).await.expect_err("no name").class, ErrorClass::Rejected);
    }
    assert!(systemd.logs(&unit, &LogOptions::default()).await.is_err());
    assert!(lock(&bus.systemd).calls.is_empty());
}

#[tokio::test]
async fn without_a_bus_nothing_is_done_and_the_next_call_finds_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bus");
    let systemd = Systemd::new(SystemdOptions {
        address: Some(format!("unix:path={}", path.display())),
        ..SystemdOptions::of_this_machine(folder.path())
    });
    let error = systemd.observe("x.service").await.expect_err("no bus");
    assert_eq!((error.kind, error.reason), (HostErrorKind::Unreachable, Reason::SystemdUnreachable));
    assert_eq!(systemd.version().await, None);
    let (fake, peers) = (Arc::default(), Arc::default());
    let accepting = tokio::spawn(accept(UnixListener::bind(&path).unwrap(), fake, peers));
    assert_eq!(systemd.version().await.as_deref(), Some("252.39"));
    accepting.abort();
}

#[tokio::test]
async fn signals_are_hints_by_the_names_that_were_asked_for() {
    let bus = Bus::new();
    bus.set(running());
    let systemd = bus.adapter();
    let mut hints = systemd.hints();
    assert_eq!(next(&mut hints).await, SystemdHint::Connected);
    assert_eq!(bus.count("Subscribe"), 1);
    systemd.observe("alias.service").await.unwrap();
    bus.job_removed("foreign.service").await;
    bus.job_removed("x.service").await;
    assert_eq!(next(&mut hints).await, SystemdHint::Changed("alias.service".to_owned()));
    let properties =
        ("org.freedesktop.systemd1.Unit", BTreeMap::<String, Variant<'_>>::new(), Vec::<String>::new());
    let path = "/org/freedesktop/systemd1/unit/x_2eservice";
    bus.signal(path, "org.freedesktop.DBus.Properties", "PropertiesChanged", &properties).await;
    assert_eq!(next(&mut hints).await, SystemdHint::Changed("alias.service".to_owned()));
    bus.signal("/org/freedesktop/systemd1", MANAGER, "Reloading", &(true,)).await;
    bus.signal("/org/freedesktop/systemd1", MANAGER, "Reloading", &(false,)).await;
    assert_eq!(next(&mut hints).await, SystemdHint::Reloaded);
}

#[tokio::test]
async fn a_systemd_that_starts_itself_anew_is_subscribed_to_again() {
    let bus = Bus::new();
    bus.set(running());
    let systemd = bus.adapter();
    systemd.observe("x.service").await.unwrap();
    let mut hints = systemd.hints();
    assert_eq!(next(&mut hints).await, SystemdHint::Connected);
    // The second of two subscribers is told so.
    bus.refuse("Subscribe", "org.freedesktop.systemd1.AlreadySubscribed");
    bus.owner_changed(":1.1", "").await;
    bus.owner_changed("", ":1.9").await;
    assert_eq!(next(&mut hints).await, SystemdHint::Connected, "it was not lost: it came back in time");
    assert_eq!((bus.count("Subscribe"), bus.count("Hello")), (2, 2));
    systemd.observe("x.service").await.unwrap();
    assert_eq!(bus.count("Ref"), 2, "the new one is asked to keep it, too");
}

#[tokio::test]
async fn a_systemd_that_stays_away_is_lost() {
    let bus = Bus::new();
    let mut hints = bus.adapter().hints();
    assert_eq!(next(&mut hints).await, SystemdHint::Connected);
    bus.refuse("Subscribe", "org.freedesktop.DBus.Error.NameHasNoOwner");
    bus.owner_changed(":1.1", "").await;
    let SystemdHint::Lost { reason } = next(&mut hints).await else { panic!("not lost") };
    assert_eq!(reason, "systemd has left the bus");
}

#[tokio::test]
async fn a_bus_that_hangs_up_is_connected_to_again_by_both() {
    let bus = Bus::new();
    bus.set(running());
    let systemd = bus.adapter();
    let mut hints = systemd.hints();
    assert_eq!(next(&mut hints).await, SystemdHint::Connected);
    systemd.observe("x.service").await.unwrap();
    bus.hang_up().await;
    assert!(matches!(next(&mut hints).await, SystemdHint::Lost { .. }));
    assert_eq!(next(&mut hints).await, SystemdHint::Connected);
    systemd.observe("x.service").await.unwrap();
    assert_eq!(bus.count("Ref"), 2);
}
