//! Units in the laws: who brings them, what happens to them behind our back, and what is left alone.

use std::collections::BTreeSet;

use aiplat_core::{
    ResourceId,
    condition::Reason,
    plan::{Command, Verdict},
    spec::Management,
};
use aiplat_tests::{
    build::Sketch,
    generate::units::{UNITS, sketches_with_units},
    scene::Scene,
    sim::Rng,
};
use proptest::{prelude::*, sample::Index};
use std::time::Duration;

fn names() -> [&'static str; UNITS.len()] {
    UNITS.map(|(name, _)| name)
}

/// A scene of `sketch` on a machine whose packages bring its units. What is only looked at somebody has started.
pub(crate) fn machine(sketch: &Sketch) -> Scene {
    let mut scene = Scene::new(sketch);
    scene.units_by_hand(|systemd| systemd.furnish(names()));
    start_observed(&mut scene);
    scene
}

fn start_observed(scene: &mut Scene) {
    for spec in scene.desired.units.clone().into_values() {
        if spec.management == Management::Observe {
            scene.units_by_hand(|systemd| systemd.start_by_hand(&spec.unit));
        }
    }
}

/// Something happens to some unit, or systemd is out of reach while somebody looks.
pub(crate) fn meddle(scene: &mut Scene, rng: &mut Rng) {
    if rng.percent(15) {
        scene.units_by_hand(|systemd| systemd.away(Some("the bus is gone")));
        scene.observe();
        for id in scene.resources() {
            drop(scene.reconcile(&id));
        }
        scene.units_by_hand(|systemd| systemd.away(None));
        return;
    }
    let name = *rng.pick(&names()).expect("there are some");
    scene.units_by_hand(|systemd| systemd.meddle(rng, name));
}

/// What nobody but a person can undo of a unit is undone, and what somebody has stopped is started.
pub(crate) fn heal(scene: &mut Scene) {
    scene.units_by_hand(|systemd| systemd.mend(names()));
    scene.pass(Duration::from_secs(1));
    scene.observe();
    for id in scene.managed_units() {
        for command in [Command::ResetFailed, Command::Start] {
            let _taken = scene.order(&id, command, None);
        }
    }
    start_observed(scene);
}

/// `stuck`, and whoever waits for one of them.
pub(crate) fn waiting_for(sketch: &Sketch, mut stuck: BTreeSet<String>) -> BTreeSet<String> {
    let services = sketch.services.iter().map(|service| (&service.name, &service.needs));
    let all: Vec<_> = services.chain(sketch.units.iter().map(|unit| (&unit.name, &unit.needs))).collect();
    for _ in &all {
        let waiting = all.iter().filter(|(_, needs)| needs.keys().any(|on| stuck.contains(on)));
        let waiting: Vec<String> = waiting.map(|(name, _)| (*name).clone()).collect();
        stuck.extend(waiting);
    }
    stuck
}

const FOREIGN: &str = "[Service]\nExecStart=/bin/other\n";

proptest! {
    #![proptest_config(crate::laws(48, 4_000))]

    #[test]
    fn a_file_of_somebody_elses_in_the_way_of_a_unit_is_left_alone_and_the_rest_converges(
        sketch in sketches_with_units(), which: Index, is_timer: bool,
    ) {
        let ours: Vec<_> =
            sketch.units.iter().filter(|unit| unit.management != Management::Observe && (unit.own.is_some() || unit.version > 0)).collect();
        if ours.is_empty() { return Ok(()) }
        let victim = *which.get(&ours);
        let name = if victim.timer && is_timer { victim.unit().replace(".service", ".timer") } else { victim.unit() };
        let mut scene = machine(&sketch);
        scene.units_by_hand(|systemd| match victim.own {
            Some(_) => systemd.write_by_hand(&name, Some(FOREIGN)),
            None => systemd.drop_in_by_hand(&name, Some(FOREIGN)),
        });
        let verdicts = scene.settle(Duration::from_secs(20));
        let verdict = &verdicts[&ResourceId::unit(&victim.name)];
        prop_assert!(matches!(verdict, Verdict::Unsatisfied { reason: Reason::NameTaken, .. }), "{verdict:?}");
        let own = scene.machine.systemd.unit(&name).own;
        let there = if victim.own.is_some() { own.unit_file } else { own.drop_in };
        prop_assert_eq!(there.as_deref(), Some(FOREIGN));
        prop_assert!(scene.machine.systemd.calls().iter().all(|call| !call.contains(&name)), "{:?}", scene.machine.systemd.calls());
        let mut stuck = waiting_for(&sketch, BTreeSet::from([victim.name.clone()]));
        // A model is pulled by a server that runs.
        let models = sketch.models.iter().filter(|(_, _, runner)| stuck.contains(runner));
        let models: Vec<String> = models.map(|(entry, _, _)| entry.clone()).collect();
        stuck.extend(models);
        for text in scene.differences() {
            let service = text.split([':', '/']).nth(1).unwrap_or_default();
            prop_assert!(stuck.contains(service) || text.starts_with(&name), "{text}");
        }
        // Once it is out of the way all is as the file says.
        scene.units_by_hand(|systemd| {
            match victim.own {
                Some(_) => systemd.write_by_hand(&name, None),
                None => systemd.drop_in_by_hand(&name, None),
            }
            systemd.reload_by_hand();
        });
        crate::assert_converged(&mut scene);
    }
}
