//! debug
#![allow(clippy::all, clippy::print_stdout)]
use aiplat_tests::{build::*, scene::*};
use std::time::Duration;
fn main() {
    let mut scene = Scene::new(&sketch([service("db").probe(), service("web").after("db", healthy())]));
    scene.observe();
    for i in 0..30 {
        for id in scene.resources() { let p = scene.reconcile(&id); println!("{i} {id} {:?}", p.step.action.map(|a| a.action.to_string())); }
        let n = scene.probe();
        println!("{:?} {:?} {:?}", scene.now(), n, scene.observed.probes);
        scene.pass(n.unwrap_or(Duration::from_secs(1)).max(Duration::from_millis(1)));
    }
}
