//! Odd answers to single calls.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    time::Duration,
};

use aiplat_core::{
    ResourceId,
    action::Action,
    condition::{ErrorClass, Reason},
    observed::{ContainerId, ContainerState, Observed},
};
use aiplat_host::{Backend, HostErrorKind, Target};

use crate::{
    engine::{FakeEngine, answer, ok, until_hung_up},
    support::{apply, spec},
};

const OURS: &str = r#"{"Id":"c1","Name":"/web","State":{"Status":"exited"},
    "Config":{"Labels":{"io.aiplat.instance":"i","io.aiplat.resource":"container/web"}}}"#;

fn web() -> ResourceId {
    ResourceId::container("web")
}

fn c1() -> ContainerId {
    ContainerId("c1".to_owned())
}

/// An engine that has one container of ours, and answers `status` and `text` to whatever would change it.
fn refusing(status: u16, text: &'static str) -> FakeEngine {
    FakeEngine::start(move |request, stream| match request.method.as_str() {
        "GET" => ok(stream, OURS),
        _ => answer(stream, status, &serde_json::json!({"message": text}).to_string()),
    })
}

#[tokio::test]
async fn one_odd_container_does_not_hide_the_others() {
    let engine = FakeEngine::start(|request, stream| {
        ok(
            stream,
            match request.path.as_str() {
                "/v1.41/containers/json?all=1" => {
                    r#"[{"Id":"a","Names":["/odd"],"State":"stopping","Labels":7,"NetworkSettings":null,"Ports":[{"IP":1}]},
                    {"Id":"b","Names":["/x/alias","/plain"],"State":"running","Labels":{"com.docker.compose.project":"p",
                     "com.docker.compose.project.working_dir":"/srv/p"}}, {"Names":["/without-id"]}, null]"#
                }
                "/v1.41/networks" => r#"[{"Id":"n","Name":"n"}]"#,
                _ => r#"{"Volumes":null}"#,
            },
        );
    });
    let listing = engine.backend().observe_all().await.unwrap();
    let [odd, plain] = listing.containers.as_slice() else { panic!("{listing:?}") };
    assert_eq!((odd.name.as_str(), &odd.state), ("odd", &ContainerState::Other("stopping".to_owned())));
    assert_eq!((plain.name.as_str(), &plain.state), ("plain", &ContainerState::Running));
    assert_eq!(plain.compose.as_ref().unwrap().folder.as_deref(), Some("/srv/p"));
    assert_eq!((listing.networks.len(), listing.volumes.len()), (1, 0));
}

#[tokio::test]
async fn an_answer_that_is_no_list_is_an_error_and_not_an_empty_engine() {
    let engine = FakeEngine::start(|_, stream| ok(stream, "{}"));
    let error = engine.backend().observe_all().await.unwrap_err();
    assert_eq!((error.class, error.kind), (ErrorClass::Transient, HostErrorKind::OutcomeUnknown), "{error}");
}

#[tokio::test]
async fn a_container_that_goes_between_listing_and_inspect_is_gone() {
    let engine = FakeEngine::start(|request, stream| match request.path.as_str() {
        "/v1.41/containers/json?all=1" => ok(
            stream,
            r#"[{"Id":"c1","State":"running","Labels":{"io.aiplat.instance":"i","io.aiplat.resource":"container/web"}}]"#,
        ),
        _ => answer(stream, 404, r#"{"message":"No such container: c1"}"#),
    });
    let target = Target { id: web(), host_name: String::new() };
    let observed = engine.backend().observe(&target).await.unwrap();
    assert!(matches!(&observed, Observed::Containers(_, all) if all.is_empty()), "{observed:?}");
}

#[tokio::test]
async fn a_hung_call_ends_with_its_caller_and_closes_its_connection() {
    let (hung_up, was_hung_up) = mpsc::channel();
    let hung_up = std::sync::Mutex::new(hung_up);
    let engine = FakeEngine::start(move |_, stream| {
        until_hung_up(stream);
        hung_up.lock().unwrap().send(()).ok();
    });
    let backend = engine.backend();
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    assert!(tokio::time::timeout(Duration::from_millis(100), backend.observe_all()).await.is_err());
    let closed = tokio::task::spawn_blocking(move || {
        (0..3).all(|_| was_hung_up.recv_timeout(Duration::from_secs(5)).is_ok())
    });
    assert!(closed.await.unwrap(), "all three connections are closed");
    assert_eq!(tasks(), before, "no task is left");
}

#[tokio::test]
async fn a_server_error_is_tried_again() {
    let engine = refusing(500, "something broke");
    let error = apply(&engine.backend(), &web(), Action::RemoveContainer { id: c1() }).await.unwrap_err();
    assert_eq!((error.class, error.kind), (ErrorClass::Transient, HostErrorKind::Refused));
    assert!(error.message.contains("\"something broke\""), "{error}");
}

#[tokio::test]
async fn what_is_so_already_is_a_success() {
    for (status, action) in [
        (304, Action::StartContainer { id: c1() }),
        (304, Action::StopContainer { id: c1(), grace: Duration::ZERO }),
        (404, Action::RemoveContainer { id: c1() }),
    ] {
        apply(&refusing(status, "").backend(), &web(), action).await.unwrap();
    }
}

#[tokio::test]
async fn a_removal_in_progress_is_a_reason_to_look_again() {
    let engine = refusing(409, "removal of container c1 is already in progress");
    let error = apply(&engine.backend(), &web(), Action::RemoveContainer { id: c1() }).await.unwrap_err();
    assert_eq!((error.class, error.kind), (ErrorClass::Changed, HostErrorKind::Refused));
}

#[tokio::test]
async fn a_removal_asks_neither_for_force_nor_for_volumes() {
    let engine = refusing(204, "");
    apply(&engine.backend(), &web(), Action::RemoveContainer { id: c1() }).await.unwrap();
    assert_eq!(engine.seen().last().unwrap(), "DELETE /v1.41/containers/c1");
}

#[tokio::test]
async fn a_broken_connection_leaves_the_outcome_of_a_change_unknown() {
    let engine = FakeEngine::start(|request, stream| {
        if request.method == "GET" {
            ok(stream, OURS);
        }
    });
    let error = apply(&engine.backend(), &web(), Action::StartContainer { id: c1() }).await.unwrap_err();
    assert_eq!((error.kind, error.class), (HostErrorKind::OutcomeUnknown, ErrorClass::Transient), "{error}");

    let silent = FakeEngine::start(|_, _| {});
    let error = silent.backend().observe_all().await.unwrap_err();
    assert_eq!(
        (error.kind, error.reason),
        (HostErrorKind::Unreachable, Reason::EngineUnreachable),
        "{error}"
    );
}

#[tokio::test]
async fn an_absent_engine_is_an_answer() {
    let engine = FakeEngine::absent();
    let error = engine.backend().observe_all().await.unwrap_err();
    assert_eq!((error.kind, error.class), (HostErrorKind::Unreachable, ErrorClass::Transient));
    assert!(
        error.message.contains("docker.sock") && error.message.contains("systemctl start docker"),
        "{error}"
    );
}

#[tokio::test]
async fn nothing_is_done_to_what_does_not_carry_our_labels() {
    let others = [
        r#"{"Id":"c1","Name":"/x","Config":{"Labels":{}}}"#,
        r#"{"Id":"c1","Config":{"Labels":{"io.aiplat.instance":"j","io.aiplat.resource":"container/web"}}}"#,
        r#"{"Id":"c1","Config":{"Labels":{"io.aiplat.instance":"i","io.aiplat.resource":"container/other"}}}"#,
        // A name or the beginning of an id finds a container, too; only the whole id is meant.
        r#"{"Id":"c1234","Config":{"Labels":{"io.aiplat.instance":"i","io.aiplat.resource":"container/web"}}}"#,
        "{}",
    ];
    for other in others {
        let engine = FakeEngine::start(move |_, stream| ok(stream, other));
        let backend = engine.backend();
        let attachment = spec::attachment("n", &[]);
        for action in [
            Action::StartContainer { id: c1() },
            Action::StopContainer { id: c1(), grace: Duration::ZERO },
            Action::UnpauseContainer { id: c1() },
            Action::RemoveContainer { id: c1() },
            Action::RenameContainer { id: c1(), to: "y".to_owned() },
            Action::Connect { id: c1(), attachment },
            Action::Disconnect { id: c1(), network: "n".to_owned() },
            Action::UpdateLimits {
                id: c1(),
                limits: aiplat_core::spec::Limits { memory: 1 << 30, ..Default::default() },
            },
            Action::RemoveNetwork { id: "c1".to_owned(), name: "n".to_owned() },
        ] {
            let what = action.to_string();
            let id = if what.starts_with("remove network") { ResourceId::network("n") } else { web() };
            let error = apply(&backend, &id, action).await.unwrap_err();
            assert_eq!(
                (error.kind, error.class),
                (HostErrorKind::Refused, ErrorClass::Changed),
                "{what}: {error}"
            );
        }
        assert_eq!(backend.calls().mutating(), 0, "{:?}", engine.seen());
    }
}

/// An engine that has the volume `p_old` with `labels`, and answers `status` and `text` to its removal.
fn with_volume(labels: &'static str, status: u16, text: &'static str) -> FakeEngine {
    FakeEngine::start(move |request, stream| match request.method.as_str() {
        "GET" => ok(stream, &format!(r#"{{"Name":"p_old","Labels":{labels}}}"#)),
        _ => answer(stream, status, &serde_json::json!({"message": text}).to_string()),
    })
}

const OUR_VOLUME: &str = r#"{"io.aiplat.instance":"i","io.aiplat.resource":"volume/old"}"#;

#[tokio::test]
async fn a_volume_of_ours_goes_without_force_and_one_that_is_gone_is_a_success() {
    let engine = with_volume(OUR_VOLUME, 204, "");
    engine.backend().remove_volume("p_old").await.unwrap();
    assert_eq!(engine.seen().last().unwrap(), "DELETE /v1.41/volumes/p_old");
    // Gone before the look, and between the look and the call.
    let gone =
        FakeEngine::start(|_, stream| answer(stream, 404, r#"{"message":"get p_old: no such volume"}"#));
    gone.backend().remove_volume("p_old").await.unwrap();
    assert_eq!(gone.backend().calls().mutating(), 0, "{:?}", gone.seen());
    with_volume(OUR_VOLUME, 404, "get p_old: no such volume").backend().remove_volume("p_old").await.unwrap();
}

#[tokio::test]
async fn a_volume_that_is_not_ours_is_never_removed() {
    for labels in [
        "null",
        r#"{"io.aiplat.resource":"volume/old"}"#,
        r#"{"io.aiplat.instance":"j","io.aiplat.resource":"volume/old"}"#,
        r#"{"io.aiplat.instance":"i","io.aiplat.resource":"network/old"}"#,
    ] {
        let engine = with_volume(labels, 204, "");
        let error = engine.backend().remove_volume("p_old").await.unwrap_err();
        assert_eq!((error.class, error.reason), (ErrorClass::Changed, Reason::NameTaken), "{error}");
        assert!(error.message.contains("does not carry our labels; nothing was done"), "{error}");
        assert!(engine.seen().iter().all(|call| !call.starts_with("DELETE")), "{:?}", engine.seen());
    }
    // The engine answers with another one than was asked for.
    let engine = with_volume(OUR_VOLUME, 204, "");
    engine.backend().remove_volume("p_o").await.unwrap_err();
    assert!(engine.seen().iter().all(|call| !call.starts_with("DELETE")), "{:?}", engine.seen());
}

#[tokio::test]
async fn a_volume_in_use_stays_and_the_sentence_says_what_to_do() {
    let engine = with_volume(OUR_VOLUME, 409, "remove p_old: volume is in use - [c1]");
    let error = engine.backend().remove_volume("p_old").await.unwrap_err();
    assert_eq!((error.class, error.reason), (ErrorClass::Changed, Reason::InUse), "{error}");
    assert!(error.message.contains("remove the container that names it first"), "{error}");
}

#[tokio::test]
async fn an_object_of_another_instance_is_named_as_such() {
    let engine = FakeEngine::start(|request, stream| match request.path.as_str() {
        "/v1.41/volumes/create" => ok(
            stream,
            r#"{"Name":"p_data","Labels":{"io.aiplat.instance":"other","io.aiplat.resource":"volume/data"}}"#,
        ),
        _ => ok(stream, "[]"),
    });
    let backend = engine.backend();
    let labels = spec::labels(backend.instance(), ResourceId::volume("data"));
    let action = Action::CreateVolume { labels, spec: spec::volume("p_data") };
    let error = apply(&backend, &ResourceId::volume("data"), action).await.unwrap_err();
    assert_eq!((error.class, error.reason), (ErrorClass::Rejected, Reason::InstanceMismatch));
    assert!(error.message.contains("instance (other)"), "{error}");
}

#[tokio::test]
async fn calls_are_counted_by_kind() {
    let engine = FakeEngine::start(|request, stream| {
        ok(stream, if request.path.ends_with("/volumes") { r#"{"Volumes":[]}"# } else { "[]" });
    });
    let backend = engine.backend();
    backend.observe_all().await.unwrap();
    let first = backend.calls();
    backend.observe_all().await.unwrap();
    assert_eq!(backend.calls().total() - first.total(), 3, "three lists, whatever the size");
    assert_eq!(backend.calls().mutating(), 0);
}

#[tokio::test]
async fn a_stalled_pull_fails_and_a_cancelled_one_hangs_up() {
    let lines = Arc::new(AtomicU32::new(0));
    let count = lines.clone();
    let engine = FakeEngine::start(move |_, stream| {
        crate::engine::begin(stream);
        crate::engine::piece(stream, "{\"status\":\"Pulling from x\"}\r\n").ok();
        until_hung_up(stream);
        count.fetch_add(1, Ordering::SeqCst);
    });
    let backend = engine.backend().with_pull_stall(Duration::from_millis(100));
    let id = ResourceId::image("x:1");
    let pull = Action::PullImage { reference: "x:1".to_owned() };
    let error = apply(&backend, &id, pull.clone()).await.unwrap_err();
    assert_eq!((error.class, error.reason), (ErrorClass::Transient, Reason::RegistryUnavailable), "{error}");

    let backend = engine.backend();
    let cancel = tokio_util::sync::CancellationToken::new();
    let soon = cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        soon.cancel();
    });
    let error = backend.apply(&id, &pull, crate::support::no_progress(), cancel).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Changed, "{error}");
    crate::support::eventually("both connections closed", async || {
        (lines.load(Ordering::SeqCst) == 2).then_some(())
    })
    .await;
    assert!(
        engine.seen().iter().any(|call| call == "POST /v1.41/images/create?fromImage=x&tag=1"),
        "{:?}",
        engine.seen()
    );
}

#[tokio::test]
async fn a_pull_tells_what_is_to_come_in_time_to_be_ended() {
    const GIB: u64 = 1 << 30;
    let finished = Arc::new(AtomicU32::new(0));
    let count = finished.clone();
    let engine = FakeEngine::start(move |_, stream| {
        crate::engine::begin(stream);
        let mut say = |line: String| crate::engine::piece(stream, &format!("{line}\r\n"));
        let layer = |id: &str, status: &str, current: u64, total: u64| {
            format!(
                r#"{{"id":"{id}","status":"{status}","progressDetail":{{"current":{current},"total":{total}}}}}"#
            )
        };
        say(layer("a", "Pulling fs layer", 0, 0)).unwrap();
        say(layer("b", "Waiting", 0, 0)).unwrap();
        say(layer("a", "Downloading", 4096, 2 * GIB)).unwrap();
        say(layer("b", "Downloading", 4096, 7 * GIB)).unwrap();
        // Whoever does not hang up gets all of it.
        until_hung_up(stream);
        count.fetch_add(1, Ordering::SeqCst);
    });
    let cancel = tokio_util::sync::CancellationToken::new();
    let (told, end) = (Arc::new(std::sync::Mutex::new(Vec::new())), cancel.clone());
    let seen = told.clone();
    let progress: aiplat_host::Progress = Arc::new(move |progress| {
        seen.lock().unwrap().push(progress);
        if progress.total - progress.done > 8 * GIB {
            end.cancel();
        }
    });
    let (id, pull) = (ResourceId::image("x:1"), Action::PullImage { reference: "x:1".to_owned() });
    let error = engine.backend().apply(&id, &pull, progress, cancel).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Changed, "{error}");
    crate::support::eventually("the connection closed", async || {
        (finished.load(Ordering::SeqCst) == 1).then_some(())
    })
    .await;
    let last = told.lock().unwrap().last().copied().unwrap();
    assert_eq!((last.done, last.total), (8192, 9 * GIB), "ended before any layer was there");
}
