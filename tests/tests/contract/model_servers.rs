//! The contract of servers of models: the simulated ones, and the adapter with the stand-in of the examples on the wire.

use aiplat_core::observed::{ModelEndpoint, ServerPlace};
use aiplat_tests::{
    build::instance,
    contract::models::{Place, holds},
    lab::simulate,
    scene::START,
    sim::{Engine, SimHost, SimModels},
};
use tokio_util::sync::CancellationToken;

use crate::server;

#[test]
fn the_simulation_keeps_it() {
    simulate(async {
        let models = SimModels::default();
        models.lock().offer("good:1", 4 << 20, 1 << 20);
        models.lock().offer("slow:1", 100 << 20, 1 << 20);
        models.lock().offer("stall:1", 4 << 20, 1 << 20).stalls = vec![2 << 20];
        models.lock().server("away").is_away = true;
        let host = SimHost::new(Engine { now: START, ..Engine::default() }, instance(), 1);
        let port = models.reached_by(host, CancellationToken::new());
        let at = |service: &str| ModelEndpoint {
            service: service.to_owned(),
            place: ServerPlace::Host([127, 0, 0, 1].into()),
            port: 11434,
        };
        holds(&Place {
            models: &port,
            at: at("ollama"),
            away: at("away"),
            good: "good:1",
            missing: "missing:1",
            stalls: "stall:1",
            slow: "slow:1",
        })
        .await;
    });
}

#[tokio::test]
async fn the_adapter_keeps_it_on_the_wire() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it is bound");
    let running = server::start();
    holds(&Place {
        models: &server::adapter(),
        at: running.at.clone(),
        away: server::endpoint(free),
        good: "good:1",
        missing: "missing:1",
        stalls: "stall:1",
        slow: "slow:1",
    })
    .await;
    assert_eq!(running.store.pulled().len(), 1, "what stalled and came is there, the good one was removed");
}
