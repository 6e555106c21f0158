//! Configs: their files, and who is started again for them.

use std::time::Duration;

use aiplat_core::{ResourceId, preview::preview, spec::OnChange};
use aiplat_tests::{
    build::{Sketch, config_path, healthy, restarting, service, sketch},
    scene::Scene,
};

use crate::{check, converged, edited, of};

/// `web` with a config of this text.
fn web(text: &str, on_change: OnChange) -> Sketch {
    sketch([service("web").config("app").with(|s| s.networks.clear())]).config("app", text, on_change)
}

fn file(scene: &Scene) -> String {
    scene.line(&ResourceId::file("app"))
}

fn runs(scene: &Scene, name: &str) -> u32 {
    scene.engine.runs.get(name).copied().unwrap_or_default()
}

/// Each wave of the preview in a line.
fn waves(scene: &Scene) -> Vec<String> {
    let preview = preview(&scene.desired, &scene.observed, &scene.ledger, scene.now());
    let wave = |wave: &aiplat_core::preview::Wave| {
        let said = wave.actions.iter().map(|it| {
            let interrupts = it.interrupts.as_ref().map(|what| format!(" ({what})")).unwrap_or_default();
            format!("{}: {}{interrupts}", it.action, it.cause)
        });
        scene.named(&said.collect::<Vec<_>>().join(" | "))
    };
    preview.waves.iter().map(wave).collect()
}

#[test]
fn a_file_is_written_before_its_container_is_made() {
    let mut scene = Scene::new(&web("a", OnChange::Restart));
    scene.observe();
    assert_eq!(file(&scene), "write file /var/lib/aiplatd/configs/app because it does not exist");
    let image = ResourceId::image("web:1");
    drop(scene.reconcile(&image));
    assert_eq!(of(&scene, "web"), "blocked: waits for file/app: it is not written yet");
    drop(scene.reconcile(&ResourceId::file("app")));
    assert!(of(&scene, "web").starts_with("create container demo-web"), "{}", of(&scene, "web"));
}

#[test]
fn diff_counts_the_lines_and_names_what_is_interrupted() {
    let scene = edited(&web("a\nb\nc\n", OnChange::Restart), &web("a\nB\nc\nd\n", OnChange::Restart));
    assert_eq!(
        waves(&scene),
        [
            "write file /var/lib/aiplatd/configs/app: its content differs (+2 -1 lines)",
            "stop container <demo-web> (grace 10s): the config app changed, which a process reads at its start \
             (the service is down until its next start is ready)",
            "start container <demo-web>: aiplatd had stopped it",
        ]
    );
}

#[test]
fn a_change_that_nobody_follows_is_written_and_that_is_all() {
    let mut scene = edited(&web("a", OnChange::Nothing), &web("b", OnChange::Nothing));
    assert_eq!(waves(&scene), ["write file /var/lib/aiplatd/configs/app: its content differs (+1 -1 lines)"]);
    scene.converge();
    assert_eq!(runs(&scene, "web"), 1);
}

#[test]
fn a_change_that_recreates_goes_the_way_of_every_edit() {
    let mut scene = edited(&web("a", OnChange::Recreate), &web("b", OnChange::Recreate));
    scene.converge();
    assert_eq!((check(&scene), runs(&scene, "web")), ("converged".to_owned(), 2));
    assert_eq!(scene.engine.containers.len(), 1);
}

#[test]
fn one_edit_is_one_restart_and_undoing_it_in_time_is_none() {
    let mut scene = converged(&web("a", OnChange::Restart));
    scene.edit(&web("b", OnChange::Restart));
    scene.observe();
    // Written, and not followed yet: a process that has seen `a` is right again when `a` is.
    drop(scene.reconcile(&ResourceId::file("app")));
    assert!(of(&scene, "web").starts_with("stop container"), "{}", of(&scene, "web"));
    scene.edit(&web("a", OnChange::Restart));
    scene.converge();
    assert_eq!((check(&scene), runs(&scene, "web")), ("converged".to_owned(), 1));
    scene.edit(&web("b", OnChange::Restart));
    scene.converge();
    assert_eq!((check(&scene), runs(&scene, "web")), ("converged".to_owned(), 2));
}

#[test]
fn a_start_by_somebody_else_has_read_what_is_there() {
    let mut scene = converged(&web("a", OnChange::Restart));
    scene.edit(&web("b", OnChange::Restart));
    scene.observe();
    drop(scene.reconcile(&ResourceId::file("app")));
    let id = scene.id_of("demo-web");
    scene.pass(Duration::from_millis(5));
    scene.by_hand(|engine| {
        engine.end(&id, 143, false);
        engine.start(&id).expect("it starts");
    });
    scene.converge();
    assert_eq!(
        (check(&scene), runs(&scene, "web")),
        ("converged".to_owned(), 2),
        "nobody starts it once more"
    );
}

#[test]
fn what_depends_is_started_after_what_it_depends_on_and_once() {
    let both = |text: &str| {
        let services = [
            service("db").probe().config("app"),
            service("web").after("db", restarting(healthy())).config("app"),
        ];
        sketch(services).config("app", text, OnChange::Restart)
    };
    let mut scene = converged(&both("a"));
    scene.edit(&both("b"));
    scene.observe();
    drop(scene.reconcile(&ResourceId::file("app")));
    assert_eq!(of(&scene, "web"), "blocked: waits until db runs anew");
    assert!(of(&scene, "db").starts_with("stop container"), "{}", of(&scene, "db"));
    scene.converge();
    assert_eq!((runs(&scene, "db"), runs(&scene, "web")), (2, 2));
    let started = |name: &str| scene.engine.find(name).and_then(|it| it.started);
    assert!(started("demo-db") < started("demo-web"));
}

#[test]
fn a_foreign_file_in_its_place_is_named_and_left_alone() {
    let mut scene = Scene::new(&web("a", OnChange::Restart));
    scene.by_hand(|engine| engine.add_foreign_file(&config_path("app"), b"somebody's"));
    scene.converge();
    let said = "the place of the config `app` is taken: /var/lib/aiplatd/configs/app is a file that is not of aiplatd's \
                writing; look at it, and if it may go, remove it: aiplatd then writes its own";
    assert_eq!(file(&scene), format!("blocked: {said}"));
    assert_eq!(of(&scene, "web"), format!("blocked: waits for file/app: {said}"));
    scene.by_hand(|engine| {
        engine.foreign_files.clear();
        engine.remove_file(&config_path("app"));
    });
    scene.converge();
    assert_eq!((check(&scene), runs(&scene, "web")), ("converged".to_owned(), 1));
}

#[test]
fn a_crash_between_the_record_and_the_write_makes_nobody_an_owner() {
    let mut scene = Scene::new(&web("a", OnChange::Restart));
    scene.observe();
    let id = ResourceId::file("app");
    // Remembered, and then the process dies: somebody is faster than our next start.
    let step = scene.plan(&id);
    for entry in aiplat_core::plan::entries(&scene.world(), &id, &step) {
        scene.ledger.enter(&id, entry);
    }
    scene.by_hand(|engine| engine.add_foreign_file(&config_path("app"), b"somebody's"));
    scene.converge();
    assert!(file(&scene).starts_with("blocked: the place of the config `app` is taken"), "{}", file(&scene));
}

#[test]
fn what_somebody_changes_or_removes_is_put_right_and_nobody_is_restarted() {
    let mut scene = converged(&web("a", OnChange::Restart));
    scene.by_hand(|engine| engine.put_file(&config_path("app"), b"by hand"));
    assert_eq!(
        file(&scene),
        "write file /var/lib/aiplatd/configs/app because somebody has changed or removed it"
    );
    scene.converge();
    scene.by_hand(|engine| engine.remove_file(&config_path("app")));
    assert_eq!(
        file(&scene),
        "write file /var/lib/aiplatd/configs/app because somebody has changed or removed it"
    );
    scene.converge();
    assert_eq!((check(&scene), runs(&scene, "web")), ("converged".to_owned(), 1));
}

#[test]
fn a_file_goes_when_nothing_mounts_it_any_more() {
    let without = sketch([service("web").with(|s| s.networks.clear())]);
    let mut scene = edited(&web("a", OnChange::Restart), &without);
    assert_eq!(file(&scene), "blocked: waits until container `demo-web` is gone");
    scene.converge();
    assert!(scene.engine.files.is_empty(), "{:?}", scene.engine.files);
    assert_eq!(check(&scene), "converged");
    assert!(!scene.resources().contains(&ResourceId::file("app")) || file(&scene) == "converged");
}
