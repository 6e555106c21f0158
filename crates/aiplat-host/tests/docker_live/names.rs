//! Names that somebody else holds, and things that are not ours.

use aiplat_core::{
    ResourceId,
    action::Action,
    condition::{ErrorClass, Reason},
    observed::ContainerId,
};
use aiplat_host::HostErrorKind;
use serde_json::{Value, json};

use crate::{
    fixture::Fixture,
    support::{apply, spec},
};

fn compose() -> Value {
    json!({"com.docker.compose.project": "shop", "com.docker.compose.project.working_dir": "/srv/shop"})
}

#[tokio::test]
async fn a_foreign_containers_name_is_refused_and_it_is_left_alone() {
    let Some(fixture) = Fixture::new() else { return };
    let foreign = fixture.foreign(&fixture.name("web"), &json!({}), &json!({}));
    let error = fixture.create(fixture.spec("web", fixture.runtime(&["sleep"]))).await.unwrap_err();
    assert_eq!(
        (error.class, error.reason, error.kind),
        (ErrorClass::Rejected, Reason::NameTaken, HostErrorKind::Refused)
    );
    assert!(error.message.contains("somebody else") && error.message.contains("docker rm"), "{error}");
    assert_eq!(fixture.inspect(&foreign)["State"]["Status"], "created");
}

#[tokio::test]
async fn composes_container_is_named_with_project_folder_and_the_way_in() {
    let Some(fixture) = Fixture::new() else { return };
    fixture.foreign(&fixture.name("web"), &compose(), &json!({}));
    let error = fixture.create(fixture.spec("web", fixture.runtime(&["sleep"]))).await.unwrap_err();
    assert_eq!((error.class, error.reason), (ErrorClass::Rejected, Reason::NameTaken));
    for part in ["`shop`", "/srv/shop", "docker compose -p shop down"] {
        assert!(error.message.contains(part), "{part} in: {error}");
    }
}

#[tokio::test]
async fn a_name_of_ours_with_another_fingerprint_is_a_reason_to_look_again() {
    let Some(fixture) = Fixture::new() else { return };
    fixture.create(fixture.spec("web", fixture.runtime(&["sleep"]))).await.unwrap();
    let error = fixture.create(fixture.spec("web", fixture.runtime(&["sleep", "1"]))).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Changed, "{error}");
}

#[tokio::test]
async fn a_rename_onto_a_taken_name_is_refused() {
    let Some(fixture) = Fixture::new() else { return };
    let taken = fixture.name("taken");
    fixture.foreign(&taken, &compose(), &json!({}));
    let id = fixture.create(fixture.spec("web", fixture.runtime(&["sleep"]))).await.unwrap();
    let rename = Action::RenameContainer { id, to: taken };
    let error = apply(&fixture.backend, &ResourceId::container("web"), rename).await.unwrap_err();
    assert_eq!((error.class, error.reason), (ErrorClass::Rejected, Reason::NameTaken), "{error}");
    assert_eq!(fixture.only("web").await.name, fixture.name("web"));
}

#[tokio::test]
async fn foreign_networks_and_volumes_are_refused_and_pointed_to_external() {
    let Some(fixture) = Fixture::new() else { return };
    let name = fixture.name("thing");
    fixture.by_hand("POST", "/networks/create", &json!({"Name": name, "Labels": compose()}));
    let labels = spec::labels(&fixture.instance, ResourceId::network("thing"));
    let create = Action::CreateNetwork { labels, spec: spec::network(&name) };
    let error = apply(&fixture.backend, &ResourceId::network("thing"), create).await.unwrap_err();
    assert_eq!((error.class, error.reason), (ErrorClass::Rejected, Reason::NameTaken));
    assert!(error.message.contains("`shop`") && error.message.contains("external: true"), "{error}");

    fixture.by_hand("POST", "/volumes/create", &json!({"Name": name}));
    let labels = spec::labels(&fixture.instance, ResourceId::volume("thing"));
    let create = Action::CreateVolume { labels, spec: spec::volume(&name) };
    let error = apply(&fixture.backend, &ResourceId::volume("thing"), create).await.unwrap_err();
    assert_eq!((error.class, error.reason), (ErrorClass::Rejected, Reason::NameTaken));
    assert!(error.message.contains("external: true"), "{error}");
}

#[tokio::test]
async fn what_is_not_ours_is_not_touched() {
    let Some(fixture) = Fixture::new() else { return };
    let foreign = fixture.foreign(&fixture.name("foreign"), &compose(), &json!({}));
    let half = json!({"io.aiplat.instance": fixture.instance.0});
    let broken = fixture.foreign(&fixture.name("broken"), &half, &json!({}));
    let web = ResourceId::container("web");
    let before = fixture.backend.calls().mutating();
    for id in [foreign, broken].map(ContainerId) {
        let rename = Action::RenameContainer { id: id.clone(), to: fixture.name("x") };
        for action in
            [Action::StartContainer { id: id.clone() }, Action::RemoveContainer { id: id.clone() }, rename]
        {
            let what = action.to_string();
            let error = apply(&fixture.backend, &web, action).await.unwrap_err();
            assert_eq!(
                (error.kind, error.class),
                (HostErrorKind::Refused, ErrorClass::Changed),
                "{what}: {error}"
            );
        }
        assert_eq!(fixture.inspect(&id.0)["State"]["Status"], "created");
    }
    assert_eq!(fixture.backend.calls().mutating(), before, "refused before anything was asked");
}
