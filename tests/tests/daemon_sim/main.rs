//! The real daemon on the simulated machine, in virtual time, with safety checkers at every call.

mod chaos;
mod configs;
mod converge;
mod crash_points;
mod docker;
mod engine;
mod gpu_chaos;
mod gpus;
mod holds;
mod machine;
mod models;
mod moving_in;
mod own_units;
mod prune;
mod shutdown;
mod simulator;
mod spec_file;
mod stages;
mod unit_chaos;
mod unit_ends;
mod unit_leaving;
mod unit_moves;
mod unit_orders;
mod units;
mod volumes;

use std::time::Duration;

use aiplat_tests::{
    build::{Sketch, completed, healthy, restarting, service, sketch},
    lab::Lab,
    sim::App,
};

/// Three services in a row, a one-shot among them, a volume, a restarting edge.
fn three() -> Sketch {
    sketch([
        service("db").probe().volume("data", "/data").app(App::booting(Duration::from_millis(400))),
        service("migrate").after("db", healthy()).app(App::one_shot(Duration::from_millis(300))),
        service("web").probe().after("migrate", completed()).after("db", restarting(healthy())).port(8_080),
    ])
}

/// A daemon on a fresh machine, converged.
async fn converged(sketch: &Sketch, seed: u64) -> Lab {
    let mut lab = Lab::new(sketch, seed);
    lab.boot();
    lab.converged_within(Duration::from_secs(60)).await;
    // Predecessors go, probes settle.
    lab.pass(Duration::from_secs(5)).await;
    lab
}

/// The same of three services, one of which is then edited while the state folder is full.
async fn edited_on_a_full_disk() -> Lab {
    let lab = converged(&three(), 1).await;
    lab.disk.fill(true);
    let mut edited = three();
    edited.service("web").version = 2;
    lab.write(&edited);
    lab.converged_within(Duration::from_secs(60)).await;
    lab
}
