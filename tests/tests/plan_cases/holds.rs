//! What the class of a failure decides: what is held, what is tried on, what is not held against anybody.

use std::time::Duration;

use aiplat_core::{
    ResourceId,
    condition::{ConditionType, Status},
    observed::FileStamp,
    plan::{Command, paths_in_doubt},
};
use aiplat_tests::{
    build::{Service, healthy, service, sketch},
    scene::Scene,
    sim::App,
};
use insta::assert_snapshot;

use crate::{check, ladder, of, orders::give};

const BAD_CONFIG: &str = r#"nginx: [emerg] unknown directive "lisen" in /etc/nginx/nginx.conf:3"#;

/// It ends a moment after each start, saying `line`.
fn ending(line: &str) -> Service {
    service("web").with(|s| s.networks.clear()).app(App::crashing(Duration::from_millis(200), 1).saying(line))
}

/// Passes until it is not tried any more, or has been tried ten times; how often it ran.
fn exhaust(scene: &mut Scene) -> u32 {
    let id = ResourceId::container("web");
    scene.observe();
    let mut runs = 0;
    for _ in 0..400 {
        let pass = scene.reconcile(&id);
        runs += u32::from(pass.step.action.is_some_and(|planned| planned.action.verb() == "start"));
        if runs == 10 {
            break;
        }
        scene.pass(Duration::from_secs(1));
    }
    runs
}

fn held(service: Service) -> Scene {
    let mut scene = Scene::new(&sketch([service]));
    assert_eq!(exhaust(&mut scene), 2, "held after the second try");
    scene
}

fn condition(scene: &Scene, kind: ConditionType) -> String {
    let step = scene.plan(&ResourceId::container("web"));
    let found = step.conditions.iter().find(|condition| condition.kind == kind).expect("it is said");
    format!("{}={} ({})", found.kind, found.status, found.reason)
}

#[test]
fn a_configuration_that_is_refused_twice_is_not_tried_a_third_time() {
    let scene = held(ending(BAD_CONFIG));
    assert_snapshot!(of(&scene, "web"), @r#"held (ConfigInvalid): it ended 2 times in a row, last with exit 1 (it refuses its configuration: `nginx: [emerg] unknown directive "lisen" in /etc/nginx/nginx.conf:3`); correct the setting that the line names; it is tried again when its entry in the file is edited, or with `aiplatctl reset-failed web`"#);
    assert_snapshot!(condition(&scene, ConditionType::Held), @"Held=True (ConfigInvalid)");
    assert_snapshot!(condition(&scene, ConditionType::Started), @"Started=False (ConfigInvalid)");
    assert_snapshot!(condition(&scene, ConditionType::CrashLoop), @"CrashLoop=False (AsDesired)");
}

#[test]
fn each_permanent_class_is_held_and_says_what_to_do() {
    for line in [
        "ModuleNotFoundError: No module named 'prisma'",
        "FATAL:  password authentication failed for user \"litellm\"",
        "FATAL:  database files are incompatible with server",
    ] {
        let scene = held(ending(line));
        let said = of(&scene, "web");
        assert!(said.contains(line) && said.contains("aiplatctl reset-failed web"), "{said}");
    }
}

#[test]
fn what_may_pass_by_itself_is_tried_on() {
    for line in [
        "listen tcp :80: bind: address already in use",
        "write /data/x: no space left on device",
        "open /data/x: permission denied",
        "panic: runtime error",
    ] {
        let mut scene = Scene::new(&sketch([ending(line)]));
        assert_eq!(exhaust(&mut scene), 10, "{line}");
        assert_eq!(condition(&scene, ConditionType::Held), "Held=False (AsDesired)", "{line}");
    }
}

#[test]
fn a_line_of_its_work_is_no_reason_for_its_end() {
    let web = ending(BAD_CONFIG).app(App::crashing(Duration::from_secs(90), 1).saying(BAD_CONFIG));
    let mut scene = Scene::new(&sketch([web]));
    assert!(exhaust(&mut scene) > 2, "it is tried on");
    assert_eq!(condition(&scene, ConditionType::Held), "Held=False (AsDesired)");
}

#[test]
fn an_edit_is_tried_at_once() {
    let mut scene = held(ending(BAD_CONFIG));
    scene.edit(&sketch([ending(BAD_CONFIG).version(2).app(App::default())]));
    scene.observe();
    assert_snapshot!(ladder(&mut scene, "web"), @r"
    create container demo-web--3e96e6a6 because environment.VERSION changed; made beside the old one
    rename container <demo-web> to demo-web--<demo-web> because its replacement takes the name
    rename container <demo-web--3e96e6a6> to demo-web because it takes its final name
    start container <demo-web> because it is not started and all it needs is ready
    remove container <demo-web--79e05a1d5c37> because the one in its place is ready
    converged
    ");
}

#[test]
fn reset_failed_is_a_try() {
    let mut scene = held(ending(BAD_CONFIG));
    give(&mut scene, "web", Command::ResetFailed);
    assert_snapshot!(of(&scene, "web"), @"start container <demo-web> because it ended with exit 1, restart 1");
    assert_eq!(exhaust(&mut scene), 1, "one try, for the same mistake is held again");
}

#[test]
fn a_changed_file_that_it_mounts_releases_it_for_one_try() {
    let mut scene = Scene::new(&sketch([ending(BAD_CONFIG).bind("/srv/web.conf")]));
    scene.engine.paths.insert("/srv/web.conf".to_owned());
    let stamp = |scene: &mut Scene, text: &str| {
        scene.observed.files.insert("/srv/web.conf".to_owned(), FileStamp(text.to_owned()));
    };
    stamp(&mut scene, "1");
    assert_eq!(exhaust(&mut scene), 2);
    assert_eq!(paths_in_doubt(&scene.world(), &ResourceId::container("web")), ["/srv/web.conf"]);
    assert_snapshot!(of(&scene, "web"), @r#"held (ConfigInvalid): it ended 2 times in a row, last with exit 1 (it refuses its configuration: `nginx: [emerg] unknown directive "lisen" in /etc/nginx/nginx.conf:3`); correct the setting that the line names; it is tried again when its entry in the file is edited or /srv/web.conf changes, or with `aiplatctl reset-failed web`"#);
    stamp(&mut scene, "2");
    assert_snapshot!(of(&scene, "web"), @"start container <demo-web> because /srv/web.conf has changed since it ended with exit 1: it is tried again");
    assert_eq!(exhaust(&mut scene), 1, "one try for one change");
    assert!(of(&scene, "web").starts_with("held (ConfigInvalid)"));
}

#[test]
fn an_end_while_a_dependency_is_down_is_not_counted() {
    let db = service("db").probe().with(|s| s.networks.clear());
    let web = service("web").with(|s| s.networks.clear()).after("db", healthy());
    let mut scene = Scene::new(&sketch([db, web]));
    scene.converge();
    scene.by_hand(|engine| {
        engine.kill("demo-db").expect("runs");
        engine.kill("demo-web").expect("runs");
    });
    let id = ResourceId::container("web");
    assert_snapshot!(of(&scene, "web"), @"blocked: waits for db");
    scene.reconcile(&id);
    assert_eq!(scene.ledger.get(&id).map(|record| record.excused.is_some()), Some(true));
    ladder(&mut scene, "db");
    assert_snapshot!(of(&scene, "web"), @"start container <demo-web> because it ended while a dependency was down");
    scene.converge();
    assert_eq!(check(&scene), "converged");
    assert_eq!(scene.ledger.get(&id).map(|record| record.restarts.total), Some(0));
    let db = ResourceId::container("db");
    assert_eq!(scene.ledger.get(&db).map(|record| record.restarts.total), Some(1), "db's own end is its own");
}

#[test]
fn a_service_that_is_ready_again_is_not_held() {
    let mut scene = held(ending(BAD_CONFIG));
    scene.edit(&sketch([ending(BAD_CONFIG).version(2).app(App::default())]));
    scene.converge();
    let step = scene.plan(&ResourceId::container("web"));
    let held = step.conditions.iter().find(|condition| condition.kind == ConditionType::Held);
    assert_eq!(held.map(|held| held.status), Some(Status::False));
}

/// The tag `web:1` means another image from now on, whose program runs.
fn rebuilt(scene: &mut Scene) {
    scene.engine.push("web:1");
    scene.engine.pull("web:1").expect("it is in the registry");
    scene.engine.install("web", "web:1#1", &App::default());
    scene.observe();
}

#[test]
fn a_defect_of_the_image_is_released_by_another_image_under_its_tag() {
    let mut scene = held(ending("ModuleNotFoundError: No module named 'prisma'"));
    assert_snapshot!(of(&scene, "web"), @"held (ImageDefect): it ended 2 times in a row, last with exit 1 (its image lacks something it needs: `ModuleNotFoundError: No module named 'prisma'`); take an image that has it, or check `command` and `entrypoint`; it is tried again when its entry in the file is edited or web:1 is another image, or with `aiplatctl reset-failed web`");
    rebuilt(&mut scene);
    assert_snapshot!(ladder(&mut scene, "web"), @r"
    remove container <demo-web> because it cannot run from its image, and web:1 means another one now
    create container demo-web because it does not exist
    start container <demo-web> because it is not started and all it needs is ready
    converged
    ");
}

#[test]
fn a_missing_program_is_released_by_another_image_too() {
    let app = App { missing_executable: true, ..App::default() };
    let mut scene = Scene::new(&sketch([service("web").with(|s| s.networks.clear()).app(app)]));
    exhaust(&mut scene);
    assert!(of(&scene, "web").starts_with("held (ExecutableMissing)"), "{}", of(&scene, "web"));
    rebuilt(&mut scene);
    assert_snapshot!(ladder(&mut scene, "web"), @r"
    remove container <demo-web> because it cannot run from its image, and web:1 means another one now
    create container demo-web because it does not exist
    start container <demo-web> because it is not started and all it needs is ready
    converged
    ");
}

#[test]
fn what_has_data_of_its_own_is_not_made_anew_for_that() {
    let with_data = ending("ModuleNotFoundError: No module named 'prisma'")
        .with(|s| s.anonymous.push("/scratch".to_owned()));
    let mut scene = held(with_data);
    rebuilt(&mut scene);
    assert!(of(&scene, "web").starts_with("held (ImageDefect)"), "{}", of(&scene, "web"));
}
