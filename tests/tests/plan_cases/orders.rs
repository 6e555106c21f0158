//! What a person orders by a verb.

use std::time::Duration;

use aiplat_core::{ResourceId, plan::Command, spec::RestartMode};
use aiplat_tests::{
    build::{Sketch, healthy, restarting, service, sketch},
    scene::Scene,
    sim::{App, engine::Image},
};
use insta::assert_snapshot;

use crate::{check, converged, edited, ladder, of};

fn pair() -> Sketch {
    sketch([
        service("db").probe().with(|s| s.networks.clear()),
        service("web").after("db", restarting(healthy())).with(|s| s.networks.clear()),
    ])
}

pub(crate) fn give(scene: &mut Scene, service: &str, command: Command) {
    assert!(scene.order(&ResourceId::container(service), command, None), "it is taken");
}

#[test]
fn stopped_it_stays_stopped_and_its_dependants_stay_up() {
    let mut scene = converged(&pair());
    give(&mut scene, "db", Command::Stop);
    assert_snapshot!(ladder(&mut scene, "db"), @r"
    stop container <demo-db> (grace 10s) because `aiplatctl stop` was given
    unsatisfied (StoppedByHand): uid 0 stopped it with `aiplatctl stop db`; `aiplatctl start db` starts it
    ");
    assert_snapshot!(check(&scene), @"container/db: unsatisfied (StoppedByHand): uid 0 stopped it with `aiplatctl stop db`; `aiplatctl start db` starts it");
    give(&mut scene, "db", Command::Start);
    assert_snapshot!(ladder(&mut scene, "db"), @r"
    start container <demo-db> because aiplatd had stopped it
    progressing
    converged
    ");
}

#[test]
fn what_is_stopped_is_not_made_anew_by_an_edit_until_it_is_started() {
    let mut scene = converged(&pair());
    give(&mut scene, "web", Command::Stop);
    scene.settle(Duration::from_secs(5));
    let mut edited = pair();
    edited.service("web").version = 2;
    scene.edit(&edited);
    scene.observe();
    let stopped = of(&scene, "web");
    give(&mut scene, "web", Command::Start);
    scene.converge();
    assert_snapshot!(format!("{stopped}\n{}", check(&scene)), @r"
    unsatisfied (StoppedByHand): uid 0 stopped it with `aiplatctl stop web`; `aiplatctl start web` starts it
    converged
    ");
}

#[test]
fn a_dependant_of_what_is_stopped_waits_with_its_start() {
    let mut scene = Scene::new(&pair());
    give(&mut scene, "db", Command::Stop);
    scene.settle(Duration::from_secs(5));
    assert_snapshot!(check(&scene), @r"
    container/db: unsatisfied (StoppedByHand): uid 0 stopped it with `aiplatctl stop db`; `aiplatctl start db` starts it
    container/web: blocked: waits for db
    ");
}

#[test]
fn restarted_it_runs_once_more_and_who_follows_follows() {
    let mut scene = converged(&pair());
    give(&mut scene, "db", Command::Restart);
    assert_snapshot!(ladder(&mut scene, "db"), @r"
    stop container <demo-db> (grace 10s) because another run was ordered
    start container <demo-db> because aiplatd had stopped it
    progressing
    converged
    ");
    scene.converge();
    give(&mut scene, "web", Command::Restart);
    scene.converge();
    assert_snapshot!(format!("{}\nruns {:?}", check(&scene), scene.engine.runs), @r#"
    converged
    runs {"db": 2, "web": 3}
    "#);
}

#[test]
fn several_that_are_restarted_at_once_run_anew_once_each_whom_they_need_first() {
    let mut scene = converged(&pair());
    give(&mut scene, "web", Command::Restart);
    give(&mut scene, "db", Command::Restart);
    let web = ResourceId::container("web");
    assert!(scene.reconcile(&web).outcome.is_none(), "it is not ended before db is");
    assert_snapshot!(of(&scene, "web"), @"blocked: waits until db runs anew");
    scene.converge();
    assert_snapshot!(format!("{}\nruns {:?}", check(&scene), scene.engine.runs), @r#"
    converged
    runs {"db": 2, "web": 2}
    "#);
}

#[test]
fn a_job_that_has_failed_for_good_is_tried_once_more_by_start() {
    let job = service("job").app(App::crashing(Duration::from_millis(300), 3));
    let mut scene = Scene::new(&sketch([job.with(|s| {
        s.networks.clear();
        s.restart = RestartMode::No;
    })]));
    scene.settle(Duration::from_secs(5));
    let before = of(&scene, "job");
    give(&mut scene, "job", Command::Start);
    assert_snapshot!(format!("{before}\n{}", of(&scene, "job")), @r"
    unsatisfied (Failed): it ended with exit 3, and its restart policy leaves it so
    start container <demo-job> because another run was ordered
    ");
    scene.settle(Duration::from_secs(5));
    assert_eq!(scene.engine.runs.get("job"), Some(&2), "once more, and no more than that");
}

#[test]
fn restarted_while_its_edit_cannot_be_made_it_runs_on() {
    let mut after = pair();
    after.service("web").image = "nowhere:1".to_owned();
    let mut scene = edited(&pair(), &after);
    scene.by_hand(|engine| {
        engine.untag("nowhere:1");
        engine.registry.remove("nowhere:1");
    });
    give(&mut scene, "web", Command::Restart);
    scene.settle(Duration::from_secs(5));
    assert_eq!(scene.engine.running().len(), 2, "{}", scene.containers());
    scene.by_hand(|engine| engine.add_image("nowhere:1", Image::default()));
    scene.converge();
    assert_eq!((check(&scene).as_str(), scene.engine.runs["web"]), ("converged", 2), "and is replaced once");
}

#[test]
fn an_order_to_restart_starts_what_waits_for_its_next_attempt() {
    let crashing = App::crashing_times(3, Duration::from_millis(300), 1);
    let platform = sketch([service("web").app(crashing).with(|s| s.networks.clear())]);
    let mut scene = Scene::new(&platform);
    scene.settle(Duration::from_millis(1_500));
    let waits = of(&scene, "web");
    give(&mut scene, "web", Command::Restart);
    assert_snapshot!(format!("{waits}\n{}", of(&scene, "web")), @r"
    blocked: it ended with exit 1, restart 3 in 960ms (again in 960ms)
    start container <demo-web> because another run was ordered
    ");
}

#[test]
fn an_edit_that_was_taken_back_is_tried_again_after_reset_failed() {
    let web = |version: u32| {
        let app = if version == 2 { App::booting(Duration::from_secs(3_600)) } else { App::default() };
        sketch([service("web").probe().app(app).with(|s| {
            s.networks.clear();
            s.image = format!("web:{version}");
        })])
    };
    let mut scene = converged(&web(1));
    scene.edit(&web(2));
    scene.settle(Duration::from_secs(60));
    let taken_back = of(&scene, "web");
    give(&mut scene, "web", Command::ResetFailed);
    scene.observe();
    assert_snapshot!(format!("{taken_back}\n{}", of(&scene, "web")), @r"
    held (TakenBack): the last edit was taken back, what served before serves: it was not ready within 3s: connection refused; edit its entry, or run `aiplatctl reset-failed web`, to try again
    create container demo-web--aa184300 because image changed; made beside the old one
    ");
}

#[test]
fn a_restarted_job_does_its_work_again() {
    let job = service("job").app(App::one_shot(Duration::from_millis(300))).with(|s| s.networks.clear());
    let mut scene = converged(&sketch([job]));
    assert_eq!(scene.engine.runs.get("job"), Some(&1));
    give(&mut scene, "job", Command::Restart);
    assert_snapshot!(of(&scene, "job"), @"start container <demo-job> because another run was ordered");
    scene.converge();
    assert_eq!(check(&scene), "converged");
    assert_eq!(scene.engine.runs.get("job"), Some(&2), "once more, and no more than that");
}
