//! A service that a person keeps to themselves.

use std::time::Duration;

use aiplat_core::{
    ResourceId,
    condition::{ConditionType, Word},
    plan::Command,
    preview::preview,
    spec::RestartMode,
    status,
};
use aiplat_tests::{
    build::{Sketch, healthy, restarting, service, sketch},
    scene::Scene,
};
use insta::assert_snapshot;

use crate::{check, of, orders::give};

fn pair() -> Sketch {
    sketch([service("db").probe(), service("web").after("db", restarting(healthy()))])
}

/// `db` is suspended in a world that has converged.
fn suspended() -> Scene {
    let mut scene = Scene::new(&pair());
    scene.converge();
    give(&mut scene, "db", Command::Suspend);
    scene
}

fn end(scene: &mut Scene, service: &str) {
    let id = scene.desired.containers[&ResourceId::container(service)].host_name.clone();
    let id = scene.engine.find(&id).expect("it exists").id.clone();
    scene.engine.end(&id, 1, false);
    scene.observe();
}

fn word(scene: &Scene, service: &str) -> Word {
    let id = ResourceId::container(service);
    status::summary(&scene.world(), &id, &scene.plan(&id)).word
}

#[test]
fn it_is_not_healed_and_its_dependants_gates_still_look_at_it() {
    let mut scene = suspended();
    assert_eq!(word(&scene, "db"), Word::Suspended, "also while it does well");
    end(&mut scene, "db");
    scene.settle(Duration::from_secs(20));
    assert_eq!(scene.engine.runs.get("db"), Some(&1), "it was not started again");
    assert_eq!(word(&scene, "db"), Word::Suspended);
    assert_snapshot!(check(&scene), @"container/db: unsatisfied (Suspended): suspended by uid 0; `aiplatctl resume db` ends it; would start container <demo-db> because it ended with exit 1, restart 1");
    end(&mut scene, "web");
    scene.settle(Duration::from_secs(5));
    assert_snapshot!(of(&scene, "web"), @"blocked: waits for db");
    give(&mut scene, "db", Command::Resume);
    scene.converge();
    assert_snapshot!(check(&scene), @"converged");
}

#[test]
fn an_edit_is_only_said_and_holds_up_nobody_else() {
    let mut scene = suspended();
    let mut edited = pair();
    edited.service("db").version = 2;
    edited.service("web").version = 2;
    scene.edit(&edited);
    scene.observe();
    let now = scene.now();
    let preview = preview(&scene.desired, &scene.observed, &scene.ledger, now);
    let (id, said) = preview.blocked.first().expect("it is said");
    assert_eq!(id.key(), "db");
    assert!(said.starts_with("suspended by uid 0") && said.contains("would create container"), "{said}");
    scene.settle(Duration::from_secs(20));
    assert_eq!(scene.engine.runs.get("web"), Some(&2), "the other one is replaced");
    assert_eq!(scene.engine.runs.get("db"), Some(&1));
    give(&mut scene, "db", Command::Resume);
    scene.converge();
    assert_eq!(scene.engine.runs.get("db"), Some(&2));
}

#[test]
fn what_has_left_the_file_stays_until_it_is_resumed() {
    let mut scene = suspended();
    scene.edit(&sketch([service("web")]));
    scene.settle(Duration::from_secs(20));
    assert!(scene.engine.find("demo-db").is_some_and(|db| db.started.is_some()), "it runs on");
    assert_snapshot!(of(&scene, "db"), @"unsatisfied (Suspended): suspended by uid 0; `aiplatctl resume db` ends it; would stop container <demo-db> (grace 10s) because it is no longer in the file");
    let ready = scene.plan(&ResourceId::container("db")).conditions;
    let ready = ready.iter().find(|it| it.kind == ConditionType::Ready).expect("it is said");
    assert_snapshot!(ready.message, @"it is no longer in the file, and is removed after `aiplatctl resume db`");
    give(&mut scene, "db", Command::Resume);
    scene.settle(Duration::from_secs(20));
    assert!(scene.engine.find("demo-db").is_none());
}

#[test]
fn its_network_is_not_made_anew_under_it() {
    let mut scene = suspended();
    let before = scene.engine.networks.clone();
    let mut edited = pair();
    edited.internal.push("default".to_owned());
    scene.edit(&edited);
    scene.settle(Duration::from_secs(10));
    assert_eq!(scene.engine.networks, before);
    let network = scene.plan(&ResourceId::network("default"));
    let said = status::sentence(&network);
    assert!(said.contains("`demo-db` has left it, whose service is suspended"), "{said}");
    give(&mut scene, "db", Command::Resume);
    scene.converge();
    assert_ne!(scene.engine.networks, before);
}

#[test]
fn it_ends_by_itself_in_its_time_and_outlives_a_boot() {
    let mut scene = Scene::new(&pair());
    scene.converge();
    let id = ResourceId::container("db");
    assert!(scene.order(&id, Command::Suspend, Some(Duration::from_secs(60))), "it is taken");
    end(&mut scene, "db");
    assert_snapshot!(of(&scene, "db"), @"unsatisfied (Suspended): suspended by uid 0 until 12:00; `aiplatctl resume db` ends it; would start container <demo-db> because it ended with exit 1, restart 1 (again in 60s)");

    // `diff` does not wait for it to pass.
    let preview = preview(&scene.desired, &scene.observed, &scene.ledger, scene.now());
    assert!(preview.waves.is_empty() && preview.blocked[0].1.contains("would start"), "{preview:#?}");

    // Half of the time is left at the wall, whatever the new boot's clock says.
    let (mut rebooted, now) = (scene.ledger.clone(), scene.now());
    rebooted.tell_moments_anew(aiplat_core::Timestamp::ZERO, 30_000);
    let soon = aiplat_core::Timestamp::from_boot(Duration::from_secs(29));
    assert!(rebooted.suspension(&id, soon).is_some());
    assert!(rebooted.suspension(&id, soon + Duration::from_secs(1)).is_none());
    rebooted.tell_moments_anew(now, 90_000);
    assert!(rebooted.suspension(&id, now).is_none(), "its time passed while the machine was off");

    scene.settle(Duration::from_secs(70));
    assert_snapshot!(check(&scene), @"converged");
}

#[test]
fn released_the_engine_restarts_it_until_it_is_taken_back() {
    let mut scene = suspended();
    give(&mut scene, "db", Command::Release);
    assert_snapshot!(of(&scene, "db"), @"release container <demo-db> to the engine because `aiplatctl release` was given");
    scene.settle(Duration::from_secs(5));
    assert!(scene.engine.find("demo-db").expect("it runs on").restart_always);
    assert!(!scene.engine.find("demo-web").expect("it runs on").restart_always);
    assert_eq!(scene.engine.runs.get("db"), Some(&1));
    assert_snapshot!(of(&scene, "db"), @"converged");
    assert_eq!(word(&scene, "db"), Word::Suspended);
    give(&mut scene, "db", Command::Resume);
    scene.converge();
    assert!(!scene.engine.find("demo-db").expect("it runs on").restart_always);
    assert_eq!(scene.engine.runs.get("db"), Some(&1), "taken back without a restart");
}

#[test]
fn a_job_that_is_released_is_not_run_again_and_again() {
    let mut scene = Scene::new(&sketch([service("db").restart(RestartMode::No)]));
    scene.converge();
    give(&mut scene, "db", Command::Release);
    scene.settle(Duration::from_secs(5));
    assert!(!scene.engine.find("demo-db").expect("it runs on").restart_always);
    let id = ResourceId::container("db");
    let said = status::summary(&scene.world(), &id, &scene.plan(&id));
    assert_snapshot!(said.message, @"released by uid 0; by `restart: no` nobody restarts it; `aiplatctl resume db` takes it back");
}

#[test]
fn what_is_released_stays_with_the_engine_when_it_is_suspended_too() {
    let mut scene = suspended();
    give(&mut scene, "db", Command::Release);
    scene.settle(Duration::from_secs(5));
    give(&mut scene, "db", Command::Suspend);
    scene.settle(Duration::from_secs(5));
    let id = ResourceId::container("db");
    let said = status::summary(&scene.world(), &id, &scene.plan(&id));
    assert_eq!(said.word, Word::Suspended);
    assert_snapshot!(said.message, @"released to the engine by uid 0, which restarts it now; `aiplatctl resume db` takes it back");
    give(&mut scene, "db", Command::Resume);
    scene.converge();
    assert!(
        !scene.engine.find("demo-db").expect("it runs on").restart_always,
        "there is one who restarts it"
    );
}

#[test]
fn that_it_is_down_is_said_of_one_that_is_suspended() {
    let mut scene = suspended();
    end(&mut scene, "db");
    let id = ResourceId::container("db");
    let summary = status::summary(&scene.world(), &id, &scene.plan(&id));
    let why: Vec<String> = status::why(&scene.world(), &id).into_iter().map(|link| link.sentence).collect();
    assert_snapshot!(format!("{}\n{}", summary.message, why.join("\n")), @r"
    suspended by uid 0; `aiplatctl resume db` ends it; it does not run: it ended with exit 1
    db Suspended=True: suspended by uid 0; `aiplatctl resume db` ends it; it does not run: it ended with exit 1
    ");
}
