//! Laws of `plan`, over generated platforms, histories and impossible worlds. Safety is checked by `Scene` at every action.

mod impossible;
mod units;

use std::time::Duration;

use aiplat_core::{
    ResourceId, Timestamp,
    action::{Action, label},
    condition::{Condition, Reason, Status},
    plan::{Command, Verdict},
    predict::predict,
    preview::preview,
    spec::{FailureAction, Management, RestartMode},
};
use aiplat_tests::{
    build::{Service, Sketch, instance, tcp_probe},
    generate::units::sketches_with_units as sketches,
    scene::{Restart, Scene},
    shape::shape,
    sim::{
        App, Foreign, Rng,
        engine::{Container, State},
    },
};
use proptest::{prelude::*, sample::Index, test_runner::RngSeed};

use crate::units::{heal, machine};

/// Some passes over random resources, with time and people in between.
fn disturb(scene: &mut Scene, rng: &mut Rng, steps: u32, by_hand: bool) {
    scene.observe();
    // Not both: an end with exit 0 in the absence of engine and daemon cannot be told from a completion.
    let daemon_dies = rng.percent(50);
    for _ in 0..steps {
        let ids = scene.resources();
        match rng.below(16) {
            0 => scene.pass(Duration::from_millis(rng.below(3_000))),
            1 if by_hand => {
                let Scene { engine, .. } = scene;
                let _what = engine.meddle(rng);
                scene.observe();
            }
            14 if by_hand => units::meddle(scene, rng),
            2 => drop(scene.probe()),
            3 if daemon_dies && rng.percent(10) => drop(scene.restart_daemon()),
            4 if !daemon_dies && rng.percent(10) => {
                let how = [Restart::Graceful, Restart::Killed, Restart::Live];
                scene.restart_engine(*rng.pick(&how).expect("three"));
            }
            5 | 6 if by_hand => {
                let services = ids.iter().filter(|id| id.is_service()).cloned().collect::<Vec<_>>();
                let command = *rng.pick(&Command::ALL).expect("there are some");
                let lasts = rng.percent(30).then(|| Duration::from_secs(rng.below(60)));
                if let Some(id) = rng.pick(&services) {
                    let _taken = scene.order(id, command, lasts);
                }
            }
            _ => {
                if let Some(id) = rng.pick(&ids) {
                    drop(scene.reconcile(&id.clone()));
                }
            }
        }
        // Chance passes must not be planned on what an app did meanwhile.
        scene.observe();
    }
}

/// People remove what they have put in the place of a file before aiplatd has seen its own there, as its sentence asks.
fn clear_the_way(scene: &mut Scene) {
    scene.observe();
    for (id, spec) in scene.desired.files.clone() {
        let step = scene.plan(&id);
        let is_taken = |it: &Condition| it.reason == Reason::NameTaken && it.status == Status::False;
        if step.conditions.iter().any(is_taken) && !scene.engine.foreign_files.contains(&spec.path) {
            scene.engine.remove_file(&spec.path);
        }
    }
}

/// People take their orders back, and try once more what has failed for good: a job that nothing restarts.
fn let_go(scene: &mut Scene) {
    clear_the_way(scene);
    for id in scene.orders.held() {
        for command in [Command::Resume, Command::Start] {
            let _taken = scene.order(&id, command, None);
        }
    }
    heal(scene);
    scene.settle(Duration::from_secs(20));
    for (id, spec) in scene.desired.containers.clone() {
        if spec.policy.restart == RestartMode::No {
            let_it_complete(scene, &id);
        }
    }
}

fn let_it_complete(scene: &mut Scene, id: &ResourceId) {
    let of_it = |text: &&String| text.starts_with(&id.to_string());
    if scene.differences().iter().any(|text| of_it(&text)) {
        assert!(scene.order(id, Command::Restart, None), "it is taken");
        scene.settle(Duration::from_secs(20));
    }
}

/// Everything is as the file says, nothing is planned, the preview is empty, and so it stays.
#[track_caller]
fn assert_converged(scene: &mut Scene) {
    let verdicts = scene.settle(Duration::from_secs(20));
    let mut differences = scene.differences();
    differences.extend(scene.orders.undone(&scene.engine, &scene.desired));
    assert!(differences.is_empty(), "{differences:#?}\n{}\n{}", scene.text(), scene.containers());
    let open: Vec<_> = verdicts.iter().filter(|(_, verdict)| **verdict != Verdict::Converged).collect();
    assert!(open.is_empty(), "{open:#?}");
    let before = (scene.engine.containers.clone(), scene.machine.systemd.calls());
    scene.observe();
    for id in scene.resources() {
        let pass = scene.reconcile(&id);
        assert!(pass.outcome.is_none(), "a converged world plans nothing: {id}: {:?}", pass.step.action);
    }
    let now = scene.now();
    let preview = preview(&scene.desired, &scene.observed, &scene.ledger, now);
    assert!(preview.waves.is_empty() && preview.blocked.is_empty(), "{preview:#?}");
    let after = (scene.engine.containers.clone(), scene.machine.systemd.calls());
    assert_eq!(before, after, "a second pass changes nothing");
}

/// The containers of a service that run, and since when.
fn runs_of(scene: &Scene, service: &str) -> Vec<(String, Option<Timestamp>)> {
    let id = ResourceId::container(service).to_string();
    let of_it = |it: &&Container| it.labels.get(label::RESOURCE) == Some(&id) && it.state == State::Running;
    scene.engine.containers.values().filter(of_it).map(|it| (it.id.clone(), it.started)).collect()
}

fn is_job(service: &Service) -> bool {
    service.app.ends.as_ref().is_some_and(|end| end.exit_code == 0)
}

/// `sketch` with an edit of one service that never gets ready, or crashes again and again.
fn broken(sketch: &Sketch, name: &str, never_ready: bool) -> Sketch {
    let mut edited = sketch.clone();
    let service = edited.service(name);
    service.on_failure = Some(FailureAction::Rollback);
    service.image = format!("{name}-broken:1");
    if never_ready {
        service.probe = Some(tcp_probe());
        service.app = App::booting(Duration::from_secs(100_000));
    } else {
        service.app = App::crashing(Duration::from_millis(200), 1);
    }
    edited
}

fn ending(scene: &Scene) -> String {
    let engine = &scene.engine;
    let networks: Vec<&String> = engine.networks.values().map(|network| &network.name).collect();
    let mut networks: Vec<String> = networks.into_iter().cloned().collect();
    networks.sort();
    let volumes: Vec<&String> = engine.volumes.keys().filter(|name| name.len() < 64).collect();
    format!("{}\n{networks:?}\n{volumes:?}\n{}", scene.containers(), scene.units_text())
}

/// The same cases in each run, so that a failure can be seen again and nobody's change fails by chance. `AIPLAT_SEED=17` tries
/// others, to hunt.
fn laws(cases: u32, max_shrink_iters: u32) -> ProptestConfig {
    let seed = std::env::var("AIPLAT_SEED").map_or(0, |seed| seed.parse().expect("AIPLAT_SEED is a number"));
    let rng_seed = RngSeed::Fixed(seed);
    ProptestConfig {
        cases,
        max_shrink_iters,
        rng_seed,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(laws(48, 4_000))]

    #[test]
    fn from_nothing_every_platform_converges_and_stays(sketch in sketches()) {
        let mut scene = machine(&sketch);
        assert_converged(&mut scene);
    }

    #[test]
    fn from_any_history_every_platform_converges_and_stays(
        before in sketches(), after in sketches(), seed: u64, steps in 0_u32..120,
    ) {
        let mut rng = Rng::new(seed);
        let mut scene = machine(&before);
        disturb(&mut scene, &mut rng, steps, true);
        scene.edit(&after);
        disturb(&mut scene, &mut rng, steps / 4, true);
        let_go(&mut scene);
        assert_converged(&mut scene);
    }

    #[test]
    fn there_and_back_is_where_it_began(a in sketches(), b in sketches(), seed: u64, steps in 0_u32..60) {
        let mut rng = Rng::new(seed);
        let mut scene = machine(&a);
        assert_converged(&mut scene);
        let began = ending(&scene);
        scene.edit(&b);
        disturb(&mut scene, &mut rng, steps, false);
        scene.edit(&a);
        let_go(&mut scene);
        assert_converged(&mut scene);
        // Volumes stay, whoever asked for them. `management: full` may enable a unit, which `configure` does not undo; and
        // `observe` touches nothing, also not what was written under another word.
        let observed: Vec<&str> = scene.desired.units.values().filter(|it| it.management == Management::Observe).map(|it| it.unit.as_str()).collect();
        let is_left = |line: &str| observed.iter().any(|unit| line.starts_with(unit));
        let of_interest = |line: &&str| line.contains("Running") || (line.contains(".service:") && !is_left(line));
        let enabled_or_not = |line: &str| line.replacen(" enabled ", " disabled ", 1);
        let what_runs = |text: &str| text.lines().filter(of_interest).map(enabled_or_not).collect::<Vec<_>>();
        prop_assert_eq!(what_runs(&began), what_runs(&ending(&scene)));
    }

    #[test]
    fn an_edit_that_fails_is_taken_back_and_undoing_it_is_nothing_to_do(
        sketch in sketches(), which: Index, never_ready: bool, seed: u64, steps in 0_u32..40,
    ) {
        let services: Vec<&Service> = sketch.services.iter().filter(|service| !is_job(service)).collect();
        if services.is_empty() { return Ok(()) }
        let name = which.get(&services).name.clone();
        let mut scene = machine(&sketch);
        assert_converged(&mut scene);
        let (id, was) = (ResourceId::container(&name), runs_of(&scene, &name));
        scene.edit(&broken(&sketch, &name, never_ready));
        disturb(&mut scene, &mut Rng::new(seed), steps, false);
        let_go(&mut scene);
        let verdict = scene.plan(&id).verdict;
        prop_assert!(matches!(verdict, Verdict::Held { reason: Reason::TakenBack, .. }), "{:?}\n{}", verdict, scene.text());
        let now = runs_of(&scene, &name);
        prop_assert_eq!((now.len(), &now[0].0), (1, &was[0].0), "what served serves\n{}", scene.containers());
        if steps == 0 && scene.desired.containers[&id].starts_first() {
            prop_assert_eq!(&now, &was, "and was never stopped");
        }
        scene.edit(&sketch);
        assert_converged(&mut scene);
        prop_assert_eq!(runs_of(&scene, &name), now);
    }

    #[test]
    fn a_tag_that_moves_recreates_nothing_until_an_update_is_ordered_of_that_one(
        sketch in sketches(), which: Index, gone: bool,
    ) {
        if sketch.services.is_empty() { return Ok(()) }
        let mut scene = machine(&sketch);
        assert_converged(&mut scene);
        let before = scene.engine.containers.clone();
        for service in &sketch.services {
            scene.engine.push(&service.image);
            // What is removed is pulled again, and means another image then.
            if gone { scene.engine.untag(&service.image) } else { scene.engine.pull(&service.image).expect("it is there") }
        }
        scene.settle(Duration::from_secs(20));
        prop_assert_eq!(&before, &scene.engine.containers);
        let updated = which.get(&sketch.services);
        prop_assert!(scene.order(&ResourceId::container(&updated.name), Command::Update, None));
        assert_converged(&mut scene);
        for container in scene.engine.containers.values() {
            let service = sketch.services.iter().find(|it| it.image == container.image).expect("it is of the file");
            let is_of_before = before.contains_key(&container.id);
            prop_assert_eq!(is_of_before, service.name != updated.name, "{}", scene.containers());
        }
    }

    #[test]
    fn the_order_of_passes_is_irrelevant_for_the_end(sketch in sketches(), seed: u64) {
        let mut orderly = machine(&sketch);
        assert_converged(&mut orderly);
        let mut chaotic = machine(&sketch);
        disturb(&mut chaotic, &mut Rng::new(seed), 80, false);
        let_go(&mut chaotic);
        assert_converged(&mut chaotic);
        prop_assert_eq!(ending(&orderly), ending(&chaotic));
    }

    #[test]
    fn foreign_objects_in_the_way_are_left_alone_and_the_rest_converges(sketch in sketches(), seed: u64) {
        let mut rng = Rng::new(seed);
        let mut scene = machine(&sketch);
        let Some(victim) = rng.pick(&sketch.services).cloned() else { return Ok(()) };
        let name = scene.desired.containers[&ResourceId::container(&victim.name)].host_name.clone();
        scene.engine.add_foreign(&Foreign { name, port: Some(8_000), ..Foreign::default() });
        let foreign = scene.engine.containers.clone();
        scene.settle(Duration::from_secs(20));
        for (id, container) in foreign {
            prop_assert_eq!(scene.engine.containers.get(&id), Some(&container));
        }
        // Who neither is the victim, nor waits for it, nor wants that port.
        let mut stuck = std::collections::BTreeSet::from([victim.name]);
        stuck.extend(sketch.services.iter().filter(|s| s.ports.contains(&8_000)).map(|s| s.name.clone()));
        let mut stuck = units::waiting_for(&sketch, stuck);
        let models: Vec<String> =
            sketch.models.iter().filter(|(.., runner)| stuck.contains(runner)).map(|(entry, ..)| entry.clone()).collect();
        stuck.extend(models);
        for text in scene.differences() {
            let service = text.split([':', '/']).nth(1).unwrap_or_default();
            prop_assert!(stuck.contains(service), "{text}");
        }
    }

    #[test]
    fn predictions_agree_with_what_the_engine_then_shows(sketch in sketches(), after in sketches(), seed: u64) {
        let mut rng = Rng::new(seed);
        let mut scene = machine(&sketch);
        scene.observe();
        let mut edited = false;
        for step in 0..120 {
            if step == 60 && !edited {
                edited = true;
                scene.edit(&after);
            }
            let ids = scene.resources();
            let Some(id) = rng.pick(&ids).cloned() else { break };
            scene.observe();
            let mut predicted = scene.observed.clone();
            let now = scene.now();
            let pass = scene.reconcile(&id);
            let (Some(planned), Some(Ok(()))) = (&pass.step.action, &pass.outcome) else {
                scene.pass(Duration::from_millis(rng.below(800)));
                scene.probe();
                continue;
            };
            predict(&mut predicted, &scene.desired, &id, &planned.action, now);
            let alive = !matches!(planned.action, Action::StartContainer { .. });
            prop_assert_eq!(shape(&predicted, &instance(), &id, alive), shape(&scene.observed, &instance(), &id, alive), "{}", planned.action);
        }
    }

    #[test]
    fn the_preview_ends_and_is_what_then_happens(sketch in sketches()) {
        let mut scene = machine(&sketch);
        scene.observe();
        // What runs already has been asked whether it answers.
        for _ in 0..3 {
            scene.probe();
            scene.pass(Duration::from_millis(50));
        }
        scene.observe();
        let now = scene.now();
        let before = preview(&scene.desired, &scene.observed, &scene.ledger, now);
        let mut planned: Vec<String> =
            before.waves.iter().flat_map(|wave| &wave.actions).map(|action| format!("{} {}", action.verb, action.resource)).collect();
        let mut done = Vec::new();
        for _ in 0..400 {
            for id in scene.resources() {
                let pass = scene.reconcile(&id);
                if let (Some(planned), Some(Ok(()))) = (&pass.step.action, &pass.outcome) {
                    done.push(format!("{} {id}", planned.action.verb()));
                }
            }
            scene.probe();
            scene.pass(Duration::from_millis(50));
        }
        // Crashes are not foreseen.
        let crash = |service: &aiplat_tests::build::Service| {
            service.app.hangs.is_some() || service.app.ends.as_ref().is_some_and(|end| end.exit_code != 0)
        };
        if !sketch.services.iter().any(crash) {
            planned.sort();
            done.sort();
            prop_assert_eq!(planned, done);
        }
    }
}
