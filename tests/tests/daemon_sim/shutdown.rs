//! When the machine goes down.

use std::time::Duration;

use aiplat_core::{ResourceId, ledger::Order, plan};
use aiplat_tests::{
    build::{Sketch, healthy, service, sketch, started},
    lab::{Lab, simulate},
    sim::engine::State,
};

use crate::converged;

/// `web` needs `api`, which needs `db` and `cache`; `alone` needs nobody.
fn chain() -> Sketch {
    sketch([
        service("db").probe().volume("data", "/data"),
        service("cache").probe(),
        service("api").probe().after("db", healthy()).after("cache", started()),
        service("web").probe().after("api", healthy()).port(8_080),
        service("alone").probe(),
    ])
}

/// The services in the order in which they were stopped.
fn stopped(lab: &Lab) -> Vec<String> {
    let inner = lab.host.settle();
    let stops = inner.calls.iter().filter(|call| call.action.starts_with("stop "));
    stops.map(|call| call.id.key().to_owned()).collect()
}

fn running(lab: &Lab) -> Vec<String> {
    let inner = lab.host.settle();
    let running = inner.engine.containers.values().filter(|it| it.state == State::Running);
    let mut names: Vec<String> = running.map(|it| it.name.clone()).collect();
    names.sort();
    names
}

fn order(lab: &Lab, service: &str, command: plan::Command) {
    let id = ResourceId::container(service);
    let mut state = lab.shared().lock();
    let by = Order { by: "uid 0".to_owned(), wall_ms: 0 };
    let entries = state.world(lab.shared().now()).map(|world| plan::order(&world, &id, command, by, None));
    entries.into_iter().flatten().for_each(|entry| state.ledger.enter(&id, entry));
    drop(state);
    lab.shared().schedule([id]);
}

/// `web` needs the unit `agent`, which needs the timer's `sweep`, which needs `db`.
const THROUGH_UNITS: &str = "apiVersion: aiplat/v1
name: demo
services:
  db: {image: \"db:1\"}
  sweep:
    provider: {type: systemd, options: {unit: sweep.service, on_calendar: daily}}
    command: [/usr/bin/sweep]
    depends_on: [db]
  agent:
    provider: {type: systemd, options: {unit: agent.service}}
    command: [/usr/bin/agent]
    depends_on: [sweep]
  web: {image: \"web:1\", depends_on: [agent]}
";

#[test]
fn the_order_of_containers_holds_by_way_of_units_which_systemd_stops_in_its_own_time() {
    simulate(async {
        let mut lab = Lab::new(&sketch([service("db"), service("web")]), 1);
        lab.write_yaml(THROUGH_UNITS);
        lab.boot();
        lab.converged_within(Duration::from_secs(120)).await;
        lab.power_off().await;
        assert_eq!(stopped(&lab), ["web", "db"], "{}", lab.story());
    });
}

#[test]
fn dependants_stop_before_what_they_need_and_the_next_boot_counts_nothing() {
    simulate(async {
        let mut lab = converged(&chain(), 1).await;
        lab.power_off().await;
        assert_eq!(running(&lab), Vec::<String>::new(), "{}", lab.story());
        let order = stopped(&lab);
        let place = |name: &str| order.iter().position(|it| it == name).expect(name);
        assert_eq!(order.len(), 5, "each once: {order:?}");
        assert!(place("web") < place("api") && place("api") < place("db") && place("api") < place("cache"));
        lab.boot();
        lab.converged_within(Duration::from_secs(60)).await;
        lab.assert_safe();
        let state = lab.shared().lock();
        for name in ["db", "cache", "api", "web", "alone"] {
            let record = state.ledger.get(&ResourceId::container(name)).expect("it is remembered");
            assert_eq!(record.restarts.total, 0, "{name} was not restarted, the machine was");
        }
    });
}

#[test]
fn a_plain_stop_of_the_daemon_stops_nothing() {
    simulate(async {
        let mut lab = converged(&chain(), 1).await;
        let before = running(&lab);
        lab.stop().await;
        lab.pass(Duration::from_secs(30)).await;
        assert_eq!((running(&lab), stopped(&lab)), (before, Vec::new()));
    });
}

#[test]
fn what_was_released_is_left_to_the_engine_which_starts_it_at_the_next_boot() {
    simulate(async {
        let mut lab = converged(&chain(), 1).await;
        order(&lab, "api", plan::Command::Release);
        lab.pass(Duration::from_secs(2)).await;
        lab.power_off().await;
        assert_eq!(running(&lab), ["demo-api"], "{}", lab.story());
        assert!(!stopped(&lab).contains(&"api".to_owned()));
    });
}

#[test]
fn an_engine_that_refuses_does_not_keep_the_machine_from_going_down() {
    simulate(async {
        let mut lab = converged(&chain(), 1).await;
        lab.host.settle().faults.error = 100;
        lab.power_off().await;
        lab.host.settle().faults.error = 0;
        // Nothing worked; but it ended, for each is tried once.
        assert_eq!(running(&lab).len(), 5, "{}", lab.story());
        lab.boot();
        lab.converged_within(Duration::from_secs(60)).await;
    });
}
