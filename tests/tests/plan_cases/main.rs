//! Plan cases: a world in, text out. One sentence each.
//!
//! The worlds are made on the model of the engine by the very plans under test, and then disturbed; so they are such as
//! occur. `check` is the one place that touches the API.

mod beside;
mod changes;
mod configs;
mod crashes;
mod docker;
mod drift;
mod engine;
mod first_start;
mod foreign;
mod gates;
mod gpus;
mod holds;
mod impossible;
mod liveness;
mod machine;
mod models;
mod namespaces;
mod orders;
mod removal;
mod returning;
mod suspended;
mod updates;

use aiplat_tests::{build::Sketch, scene::Scene};

/// What is planned, a line for each resource that is not as desired.
fn check(scene: &Scene) -> String {
    let lines: Vec<String> =
        scene.text().lines().filter(|line| !line.ends_with(": converged")).map(str::to_owned).collect();
    if lines.is_empty() { "converged".to_owned() } else { lines.join("\n") }
}

/// The same, and what there is in the engine.
fn outcome(scene: &Scene) -> String {
    format!("{}\n{}", check(scene), scene.containers())
}

/// `sketch` on a machine of its own, as it is when nothing is left to do.
fn converged(sketch: &Sketch) -> Scene {
    let mut scene = Scene::new(sketch);
    scene.converge();
    scene
}

/// `before` has converged, and `after` is in force.
fn edited(before: &Sketch, after: &Sketch) -> Scene {
    let mut scene = converged(before);
    scene.edit(after);
    scene.observe();
    scene
}

/// What is planned for one service.
fn of(scene: &Scene, service: &str) -> String {
    scene.line(&aiplat_core::ResourceId::container(service))
}

/// Each pass over one service until nothing is done any more, a line each, others untouched.
fn ladder(scene: &mut Scene, service: &str) -> String {
    let id = aiplat_core::ResourceId::container(service);
    let mut lines = Vec::new();
    for _ in 0..30 {
        scene.look(&id);
        scene.probe();
        lines.push(scene.line(&id));
        let pass = scene.reconcile(&id);
        match pass.outcome {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                lines.push(format!("  failed: {error}"));
                break;
            }
            None if lines.last().is_some_and(|line| line.starts_with("progressing")) => {
                scene.pass(std::time::Duration::from_millis(600));
                if lines.len() > 25 {
                    break;
                }
            }
            None => break,
        }
    }
    lines.dedup();
    scene.named(&lines.join("\n"))
}
