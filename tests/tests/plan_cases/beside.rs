//! `order: start-first`: the replacement runs beside what it replaces.

use std::time::Duration;

use aiplat_core::{
    Kind, ResourceId,
    condition::{ConditionType, Status},
    plan::{Command, readiness},
    preview::{Preview, preview},
    spec::{FailureAction, OnChange},
    status,
};
use aiplat_tests::{
    build::{Service, Sketch, healthy, restarting, service, sketch},
    scene::Scene,
    sim::App,
};
use insta::assert_snapshot;

use crate::{check, converged, edited, ladder, of, orders::give, outcome};

fn program(version: u32, app: App) -> Service {
    service("web").probe().app(app).with(|s| {
        s.image = format!("web:{version}");
        s.start_first = true;
    })
}

fn second(app: App) -> Scene {
    edited(&sketch([program(1, App::default())]), &sketch([program(2, app)]))
}

/// Passes over everything until both run.
fn both_run(scene: &mut Scene) {
    for _ in 0..20 {
        scene.reconcile(&ResourceId::container("web"));
        if scene.containers().matches("Running").count() == 2 {
            return;
        }
    }
    panic!("they never run at once:\n{}", scene.containers());
}

/// The aliases on the default network of the container that ends in `name`.
fn aliases(scene: &Scene, is_old: bool) -> Vec<String> {
    let mut all = scene.engine.containers.values();
    let found = all.find(|container| (container.image == "web:1") == is_old).expect("it is there");
    found.networks.values().flat_map(|connection| connection.aliases.clone()).collect()
}

#[test]
fn the_new_one_is_ready_before_the_old_one_ends() {
    let mut scene = second(App::default());
    let mut done = Vec::new();
    let id = ResourceId::container("web");
    for _ in 0..60 {
        let pass = scene.reconcile(&id);
        if let Some(planned) = pass.step.action {
            let alive = scene.containers().matches("Running").count();
            done.push(format!(
                "{} ({alive} run)",
                scene.named(&format!("{} because {}", planned.action, planned.cause))
            ));
        }
        scene.probe();
        scene.pass(Duration::from_millis(300));
    }
    assert_snapshot!(done.join("\n"), @r"
    create container demo-web--aa184300 because image changed; made beside the old one (1 run)
    start container <demo-web--aa184300> because image changed; the old one serves until it is ready (2 run)
    disconnect container <demo-web--aa184300> from network demo-default because it is ready, and takes the service's name on demo-default (2 run)
    connect container <demo-web--aa184300> to network demo-default because it is ready, and takes the service's name on demo-default (2 run)
    stop container <demo-web> (grace 10s) because the one in its place is ready (1 run)
    rename container <demo-web--9534194f01ad> to demo-web--<demo-web--9534194f01ad> because its replacement takes the name (1 run)
    rename container <demo-web> to demo-web because it takes its final name (1 run)
    remove container 9534194f01ad because the one in its place is ready (1 run)
    ");
    assert_eq!(check(&scene), "converged");
}

#[test]
fn until_it_serves_it_has_no_name_on_the_network() {
    let mut scene = second(App::booting(Duration::from_secs(2)));
    both_run(&mut scene);
    assert_eq!(aliases(&scene, true), ["web"]);
    assert_eq!(aliases(&scene, false), Vec::<String>::new());
    scene.converge();
    assert_eq!(aliases(&scene, false), ["web"]);
}

#[test]
fn meanwhile_who_would_start_for_it_waits_for_the_new_one() {
    let mut scene = second(App::booting(Duration::from_secs(2)));
    both_run(&mut scene);
    let readiness = readiness(&scene.world(), &ResourceId::container("web"));
    assert!(readiness.progressing, "{readiness:?}");
    assert_snapshot!(of(&scene, "web"), @"progressing");
}

#[test]
fn one_that_ceases_to_answer_beside_the_old_one_is_restarted_as_it_would_be_alone() {
    let program = |version, app| {
        let left_as_it_is = |s: &mut Service| s.on_failure = Some(FailureAction::Pause);
        sketch([program(version, app).liveness().with(left_as_it_is)])
    };
    // Its first run is the second of the program.
    let hangs = App::hanging(2, Duration::from_millis(900));
    let mut scene = edited(&program(1, App::default()), &program(2, hangs));
    both_run(&mut scene);
    let started = scene.engine.find("demo-web").expect("it serves").started;
    let mut lines = String::new();
    while scene.containers().matches("Running").count() == 2 {
        scene.probe();
        let pass = scene.reconcile(&ResourceId::container("web"));
        lines = pass
            .step
            .action
            .map(|it| scene.named(&format!("{} because {}", it.action, it.cause)))
            .unwrap_or_default();
        scene.pass(Duration::from_millis(500));
        assert!(
            scene.now().since(started.expect("it runs")) < Duration::from_secs(60),
            "{}",
            outcome(&scene)
        );
    }
    assert_snapshot!(lines, @"stop container <demo-web--aa184300> (grace 10s) because it does not answer (connection refused), restart 1");
    assert_eq!(scene.engine.find("demo-web").expect("it serves").started, started, "the old one serves on");
    scene.settle(Duration::from_secs(30));
    assert_snapshot!(outcome(&scene), @r"
    converged
    demo-web Running exit=0
    ");
}

#[test]
fn a_config_that_is_mended_meanwhile_is_read_by_the_new_one_at_once() {
    let platform = |version, config: &str| {
        let app = App::booting(Duration::from_secs(3_600));
        let left_as_it_is = |s: &mut Service| s.on_failure = Some(FailureAction::Pause);
        let app = if version == 1 { App::default() } else { app };
        let mut sketch = sketch([program(version, app).config("app").with(left_as_it_is)]);
        sketch.configs.insert("app".to_owned(), (config.to_owned(), OnChange::Restart));
        sketch
    };
    let mut scene = edited(&platform(1, "one"), &platform(2, "one"));
    both_run(&mut scene);
    scene.edit(&platform(2, "two"));
    scene.observe();
    scene.reconcile(&ResourceId::file("app"));
    let planned = scene.named(&of(&scene, "web"));
    assert_snapshot!(planned, @"stop container <demo-web--adf3dde7> (grace 10s) because the config app changed, which a process reads at its start");
}

#[test]
fn the_old_one_goes_first_where_what_the_new_one_waits_for_waits_for_its_port() {
    let before = sketch([program(1, App::default()).port(8_002)]);
    let after =
        sketch([service("db").probe().port(8_002), program(2, App::default()).after("db", healthy())]);
    let mut scene = edited(&before, &after);
    scene.settle(Duration::from_secs(30));
    assert_snapshot!(outcome(&scene), @r"
    converged
    demo-db Running exit=0
    demo-web Running exit=0
    ");
}

#[test]
fn one_that_never_becomes_ready_goes_and_the_old_one_never_stopped() {
    let mut scene = second(App::booting(Duration::from_secs(3_600)));
    let started = scene.engine.find("demo-web").expect("it serves").started;
    scene.settle(Duration::from_secs(60));
    assert_snapshot!(outcome(&scene), @r"
    container/web: held (TakenBack): the last edit was taken back, what served before serves: it was not ready within 3s: connection refused; edit its entry, or run `aiplatctl reset-failed web`, to try again
    demo-web Running exit=0
    ");
    assert_eq!(scene.engine.find("demo-web").expect("it serves").started, started);
}

#[test]
fn one_that_crashes_goes_too() {
    let mut scene = second(App::crashing(Duration::from_millis(200), 1));
    scene.settle(Duration::from_secs(60));
    assert_snapshot!(outcome(&scene), @r"
    container/web: held (TakenBack): the last edit was taken back, what served before serves: it ended 2 times in a row, last with exit 1; edit its entry, or run `aiplatctl reset-failed web`, to try again
    demo-web Running exit=0
    ");
}

#[test]
fn with_a_port_or_a_volume_of_its_own_the_old_one_goes_first() {
    for with in [
        |s: &mut Service| s.ports.push(8_080),
        |s: &mut Service| {
            s.volumes.push(("data".to_owned(), "/data".to_owned()));
        },
    ] {
        let version = |version| sketch([program(version, App::default()).with(with)]);
        let mut scene = edited(&version(1), &version(2));
        let ladder = ladder(&mut scene, "web");
        let stops = ladder.find("stop container").expect("the old one is stopped");
        assert!(stops < ladder.find("start container").expect("the new one is started"), "{ladder}");
    }
}

#[test]
fn stop_ends_both() {
    let mut scene = second(App::booting(Duration::from_secs(600)));
    both_run(&mut scene);
    let id = ResourceId::container("web");
    give(&mut scene, "web", Command::Stop);
    for _ in 0..4 {
        scene.reconcile(&id);
    }
    assert!(!scene.containers().contains("Running"), "{}", scene.containers());
}

/// `web` has been edited, and `worker` follows it.
fn followed() -> Scene {
    let with = |version| -> Sketch {
        let worker = service("worker").after("web", restarting(healthy()));
        sketch([program(version, App::default()), worker])
    };
    let mut scene = converged(&with(1));
    scene.edit(&with(2));
    scene.observe();
    scene
}

fn previewed(scene: &Scene) -> Preview {
    preview(&scene.desired, &scene.observed, &scene.ledger, scene.now())
}

#[test]
fn only_the_restart_of_a_follower_is_said_to_interrupt() {
    let preview = previewed(&followed());
    let actions = || preview.waves.iter().flat_map(|wave| &wave.actions);
    assert!(actions().any(|it| it.verb == "disconnect"), "{preview:#?}");
    let interrupting: Vec<String> = actions()
        .filter(|it| it.interrupts.is_some())
        .map(|it| format!("{} {}", it.verb, it.resource))
        .collect();
    assert_eq!(interrupting, ["stop container/worker"]);
}

#[test]
fn an_edit_is_done_only_when_nothing_is_left_to_plan() {
    let mut scene = followed();
    let is_ready = |scene: &Scene, id: &ResourceId| {
        let step = scene.plan(id);
        step.conditions.iter().any(|it| it.kind == ConditionType::Ready && it.status == Status::True)
    };
    let mut early = 0;
    for _ in 0..200 {
        let ids = scene.resources();
        let services = || ids.iter().filter(|id| id.kind == Kind::Container);
        if services().all(|id| is_ready(&scene, id)) {
            if !ids.iter().any(|id| status::is_moving(&scene.world(), id)) {
                assert_eq!(previewed(&scene), Preview::default());
                break;
            }
            early += 1;
        }
        for id in &ids {
            scene.reconcile(id);
        }
        scene.probe();
        scene.pass(Duration::from_millis(300));
        scene.observe();
    }
    assert!(early > 0, "all are Ready before the follower has followed");
    assert_eq!(scene.engine.runs.get("worker"), Some(&2), "the wait ended after it followed");
}

#[test]
fn a_dependant_that_follows_is_restarted_once_and_after_the_hand_over() {
    let mut scene = followed();
    scene.converge();
    assert_eq!(check(&scene), "converged");
    assert_eq!(scene.engine.runs.get("worker"), Some(&2), "started, and restarted once");
}

#[test]
fn another_edit_in_between_replaces_the_replacement() {
    let mut scene = second(App::booting(Duration::from_secs(600)));
    both_run(&mut scene);
    scene.edit(&sketch([program(3, App::default())]));
    scene.converge();
    assert_snapshot!(outcome(&scene), @r"
    converged
    demo-web Running exit=0
    ");
}
