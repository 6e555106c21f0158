//! The life of a container, from creation to removal.

use std::{collections::BTreeMap, time::Duration};

use aiplat_core::{
    ResourceId,
    action::Action,
    condition::{ErrorClass, Reason},
    observed::{ContainerState, Observed, ObservedImage},
    spec::{ContainerRuntime, Limits, Mount, MountOptions, MountSource},
};
use aiplat_host::Backend;
use serde_json::{Value, json};

use crate::{
    fixture::Fixture,
    support::{apply, eventually, spec},
};

#[tokio::test]
async fn a_container_lives_and_goes() {
    let Some(fixture) = Fixture::new() else { return };
    let web = ResourceId::container("web");
    let mut create = fixture.spec(
        "web",
        ContainerRuntime {
            environment: BTreeMap::from([("A".to_owned(), "b=c".to_owned())]),
            labels: BTreeMap::from([("team".to_owned(), "x".to_owned())]),
            stop_signal: Some("SIGKILL".to_owned()),
            engine_health_off: true,
            ..fixture.runtime(&["sleep"])
        },
    );
    create.labels.depends_on = vec![ResourceId::container("db"), ResourceId::container("cache")];
    create.network = Some(spec::attachment("bridge", &["ignored"]));
    let fingerprint = create.labels.fingerprint.clone();
    let id = fixture.create(create.clone()).await.unwrap();

    let made = fixture.only("web").await;
    assert_eq!((made.name, &made.state), (fixture.name("web"), &ContainerState::Created));
    let owner = made.owner.unwrap();
    assert_eq!((owner.fingerprint, owner.depends_on.len()), (fingerprint, 2));
    let body = fixture.inspect(&id.0);
    assert_eq!(body["HostConfig"]["RestartPolicy"]["Name"], "no");
    assert_eq!(body["Config"]["Healthcheck"]["Test"], json!(["NONE"]));
    assert_eq!(body["Config"]["StopTimeout"], 1);
    assert_eq!(body["Config"]["StopSignal"], "SIGKILL");
    assert_eq!(body["Config"]["Labels"]["team"], "x");
    assert_eq!(body["Config"]["Env"].as_array().unwrap().iter().filter(|env| **env == "A=b=c").count(), 1);

    fixture.start("web", &id).await.unwrap();
    fixture.start("web", &id).await.unwrap();
    let running = fixture.only("web").await;
    assert_eq!(running.state, ContainerState::Running);
    assert!(running.networks["bridge"].ip.is_some() && !running.networks["bridge"].network_id.is_empty());
    assert!(running.incarnation().unwrap().0.contains('T'), "{:?}", running.incarnation());

    // Creating it once more is the same success, and makes no second one.
    assert_eq!(fixture.create(create).await.unwrap(), id);

    let refused =
        apply(&fixture.backend, &web, Action::RemoveContainer { id: id.clone() }).await.unwrap_err();
    assert_eq!((refused.class, refused.reason), (ErrorClass::Changed, Reason::Running), "{refused}");
    assert_eq!(fixture.only("web").await.state, ContainerState::Running, "it was not forced");

    let stop = Action::StopContainer { id: id.clone(), grace: Duration::from_secs(1) };
    apply(&fixture.backend, &web, stop.clone()).await.unwrap();
    apply(&fixture.backend, &web, stop).await.unwrap();
    let stopped = fixture.only("web").await;
    assert_eq!((stopped.state, stopped.detail.unwrap().exit_code), (ContainerState::Exited, 137));

    let rename = Action::RenameContainer { id: id.clone(), to: fixture.name("renamed") };
    apply(&fixture.backend, &web, rename.clone()).await.unwrap();
    apply(&fixture.backend, &web, rename).await.unwrap();
    assert_eq!(fixture.only("web").await.name, fixture.name("renamed"));

    let remove = Action::RemoveContainer { id };
    apply(&fixture.backend, &web, remove.clone()).await.unwrap();
    apply(&fixture.backend, &web, remove).await.unwrap();
    assert!(fixture.all("web").await.is_empty());
}

#[tokio::test]
async fn a_stop_lets_its_grace_pass_before_the_kill() {
    let Some(fixture) = Fixture::new() else { return };
    // As process 1 without a handler it ignores SIGTERM.
    let id = fixture.run("deaf", &["sleep"]).await;
    let begun = std::time::Instant::now();
    let stop = Action::StopContainer { id, grace: Duration::from_millis(1200) };
    apply(&fixture.backend, &ResourceId::container("deaf"), stop).await.unwrap();
    assert!((2.0..6.0).contains(&begun.elapsed().as_secs_f64()), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn limits_are_set_changed_and_lifted_while_it_runs() {
    let Some(fixture) = Fixture::new() else { return };
    let app = ResourceId::container("app");
    let id = fixture.run("app", &["sleep"]).await;
    assert_eq!(fixture.only("app").await.detail.unwrap().limits, Limits::default());
    let limits =
        |memory: i64, nano_cpus, pids| Limits { memory: memory << 20, nano_cpus, pids, ..Limits::default() };
    for limits in
        [limits(64, 500_000_000, 50), limits(256, 1_000_000_000, 100), limits(32, 0, 100), limits(0, 0, 0)]
    {
        apply(&fixture.backend, &app, Action::UpdateLimits { id: id.clone(), limits: limits.clone() })
            .await
            .unwrap();
        let seen = fixture.only("app").await;
        assert_eq!((seen.state, seen.detail.unwrap().limits), (ContainerState::Running, limits));
    }
    let before = fixture.backend.calls().mutating();
    apply(&fixture.backend, &app, Action::UpdateLimits { id: id.clone(), limits: Limits::default() })
        .await
        .unwrap();
    assert_eq!(fixture.backend.calls().mutating(), before, "nothing differs, nothing is asked");

    let too_little = Action::UpdateLimits { id, limits: Limits { memory: 1000, ..Limits::default() } };
    let error = apply(&fixture.backend, &app, too_little).await.unwrap_err();
    assert_eq!((error.class, error.reason), (ErrorClass::Rejected, Reason::ActionRejected), "{error}");
}

#[tokio::test]
async fn a_frozen_container_goes_on() {
    let Some(fixture) = Fixture::new() else { return };
    let app = ResourceId::container("app");
    let id = fixture.run("app", &["sleep"]).await;
    let unpause = Action::UnpauseContainer { id: id.clone() };
    apply(&fixture.backend, &app, unpause.clone()).await.unwrap();
    let (status, answer) = fixture.by_hand("POST", &format!("/containers/{}/pause", id.0), &Value::Null);
    assert_eq!(status, 204, "{answer}");
    assert_eq!(fixture.only("app").await.state, ContainerState::Paused);
    apply(&fixture.backend, &app, unpause).await.unwrap();
    assert_eq!(fixture.only("app").await.state, ContainerState::Running);
}

#[tokio::test]
async fn an_end_is_seen_with_its_exit_code() {
    let Some(fixture) = Fixture::new() else { return };
    fixture.run("short", &["exit", "7"]).await;
    let ended = eventually("the end", async || {
        Some(fixture.only("short").await).filter(|container| container.state == ContainerState::Exited)
    });
    assert_eq!(ended.await.detail.unwrap().exit_code, 7);
}

#[tokio::test]
async fn volumes_binds_and_memory_are_mounted_and_anonymous_volumes_carried_over() {
    let Some(fixture) = Fixture::new() else { return };
    let data = ResourceId::volume("data");
    let name = fixture.name("data");
    let labels = spec::labels(&fixture.instance, data.clone());
    let create_volume = Action::CreateVolume { labels, spec: spec::volume(&name) };
    apply(&fixture.backend, &data, create_volume.clone()).await.unwrap();
    apply(&fixture.backend, &data, create_volume).await.unwrap();
    let Observed::Volume(_, Some(volume)) = fixture.look(data.clone(), &name).await else {
        panic!("no volume")
    };
    assert_eq!(volume.owner.unwrap().resource, data);

    let folder = tempfile::tempdir().unwrap();
    let made_for_it = folder.path().join("a/b").display().to_string();
    let mount = |target: &str, source, read_only| Mount {
        target: target.to_owned(),
        source,
        read_only,
        options: MountOptions::default(),
    };
    let mounts = vec![
        mount("/anonymous", MountSource::Anonymous, false),
        mount("/bind", MountSource::Bind { path: made_for_it.clone(), create: true }, true),
        mount("/data", MountSource::Volume { volume: data.clone(), host_name: name.clone() }, false),
        mount("/memory", MountSource::Tmpfs { size: Some(1 << 20) }, false),
    ];
    let runtime = ContainerRuntime { mounts, ..fixture.runtime(&["sleep"]) };
    let id = fixture.create(fixture.spec("old", runtime.clone())).await.unwrap();
    fixture.start("old", &id).await.unwrap();
    let seen = fixture.only("old").await.mounts;
    let at =
        |target: &str| seen.iter().find(|mount| mount.target == target).unwrap_or_else(|| panic!("{seen:?}"));
    assert_eq!((at("/bind").bind.as_deref(), at("/bind").writable), (Some(made_for_it.as_str()), false));
    assert_eq!(at("/data").volume.as_deref(), Some(name.as_str()));
    let anonymous = at("/anonymous").volume.clone().unwrap();

    let mut replacement = fixture.spec("new", runtime);
    replacement.inherit = vec![(anonymous.clone(), "/anonymous".to_owned())];
    fixture.create(replacement).await.unwrap();
    let new = fixture.only("new").await.mounts;
    assert_eq!(
        new.iter().find(|mount| mount.target == "/anonymous").unwrap().volume,
        Some(anonymous.clone())
    );

    // A removal leaves anonymous volumes alone.
    let old = ResourceId::container("old");
    apply(&fixture.backend, &old, Action::StopContainer { id: id.clone(), grace: Duration::ZERO })
        .await
        .unwrap();
    apply(&fixture.backend, &old, Action::RemoveContainer { id }).await.unwrap();
    let (status, _) = fixture.by_hand("GET", &format!("/volumes/{anonymous}"), &Value::Null);
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_missing_host_path_is_said_with_the_command() {
    let Some(fixture) = Fixture::new() else { return };
    let path = format!("/nonexistent/{}", fixture.prefix);
    let source = MountSource::Bind { path: path.clone(), create: false };
    let mounts =
        vec![Mount { target: "/x".to_owned(), source, read_only: false, options: MountOptions::default() }];
    let create = fixture.spec("app", ContainerRuntime { mounts, ..fixture.runtime(&["sleep"]) });
    let error = fixture.create(create).await.unwrap_err();
    assert_eq!((error.class, error.reason), (ErrorClass::Rejected, Reason::HostPathMissing));
    assert!(error.message.contains(&format!("mkdir -p '{path}'")), "{error}");
    assert!(fixture.all("app").await.is_empty());
}

#[tokio::test]
async fn images_are_looked_at_by_reference() {
    let Some(fixture) = Fixture::new() else { return };
    let reference = fixture.image.name.clone();
    let seen = fixture.look(ResourceId::image(&reference), &reference).await;
    assert!(
        matches!(&seen, Observed::Image(_, ObservedImage::Present { id, has_healthcheck: false }) if id.starts_with("sha256:")),
        "{seen:?}"
    );
    let missing = format!("{}/nothing:1", fixture.prefix);
    assert_eq!(
        fixture.look(ResourceId::image(&missing), &missing).await,
        Observed::Image(missing.clone(), ObservedImage::Absent)
    );
}

#[tokio::test]
async fn an_image_that_went_is_a_reason_to_look_again() {
    let Some(fixture) = Fixture::new() else { return };
    let runtime =
        ContainerRuntime { image: format!("{}/nothing:1", fixture.prefix), ..ContainerRuntime::default() };
    let error = fixture.create(fixture.spec("app", runtime)).await.unwrap_err();
    assert_eq!((error.class, error.reason), (ErrorClass::Changed, Reason::Missing), "{error}");
}

#[tokio::test]
#[allow(clippy::print_stderr, reason = "figures")]
async fn a_converged_look_costs_three_lists() {
    let Some(fixture) = Fixture::new() else { return };
    fixture.run("app", &["sleep"]).await;
    let before = fixture.backend.calls();
    let begun = std::time::Instant::now();
    for _ in 0..20 {
        fixture.backend.observe_all().await.unwrap();
    }
    eprintln!("three lists: {:.2} ms", begun.elapsed().as_secs_f64() * 50.0);
    assert_eq!(fixture.backend.calls().total() - before.total(), 60);
    assert_eq!(fixture.backend.calls().mutations, before.mutations);
    let begun = std::time::Instant::now();
    for _ in 0..20 {
        fixture.only("app").await;
    }
    eprintln!("a list and an inspect: {:.2} ms", begun.elapsed().as_secs_f64() * 50.0);
}
