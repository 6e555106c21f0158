//! The quickstart, from nothing to nothing left to do.

use std::time::Instant;

use crate::harness::{PATIENCE, Stage, all_ready, proxy::Proxy, report, until};

/// `examples/quickstart/platform.yaml` under the stage's own name and ports.
fn quickstart() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/quickstart/platform.yaml");
    let text = std::fs::read_to_string(path).expect("the quickstart is an example of this repository");
    let own = text
        .replace("name: quickstart", "name: @name")
        .replace("3000:", "@port1:")
        .replace("5678:", "@port2:");
    assert!(
        own.contains("@name") && own.contains("@port1") && own.contains("@port2"),
        "the quickstart has changed"
    );
    own
}

#[test]
fn the_quickstart_is_ready_from_nothing_and_a_second_pass_changes_nothing() {
    let Some(mut stage) = Stage::new() else { return };
    let proxy = Proxy::start(stage.path("engine.sock"), &stage.engine.socket);
    stage.docker_socket.clone_from(&proxy.socket);
    stage.save(&quickstart());
    let begun = Instant::now();
    let first = stage.once();
    assert_eq!(first.code, Some(0), "{}", first.said);
    report(&format!("quickstart, six services from nothing: {} ms", begun.elapsed().as_millis()));
    let runs = stage.runs();
    assert_eq!(runs.len(), 6, "{runs:?}");

    let changes = proxy.changes().len();
    let begun = Instant::now();
    let second = stage.once();
    assert_eq!(second.code, Some(0), "{}", second.said);
    report(&format!("quickstart, nothing to do: {} ms", begun.elapsed().as_millis()));
    assert_eq!(proxy.changes()[changes..], [""; 0], "a converged platform is not touched");

    // The daemon takes over what `--once` left, and touches nothing either.
    stage.start();
    let status = stage.ready();
    let open = |gate: &aiplat_api::v1::GateStatus| gate.condition.condition.is_normal();
    assert!(status.gates.len() == 2 && status.gates.iter().all(open), "{:?}", status.gates);
    assert_eq!(proxy.changes()[changes..], [""; 0], "a converged platform is not touched");
    assert_eq!(stage.runs(), runs);
}

/// On an engine of its own: what others do to the machine's is a reason to look, too.
#[test]
fn a_converged_resync_costs_three_lists_and_at_most_one_inspect() {
    let Some(mut stage) = Stage::on_private_engine() else { return };
    let proxy = Proxy::start(stage.path("engine.sock"), &stage.engine.socket);
    stage.docker_socket.clone_from(&proxy.socket);
    stage.save(&quickstart().replace("name: @name", "name: @name\nreconcile: {resync: 2s}"));
    stage.start();
    stage.wait("everything is Ready", all_ready);

    let seen = proxy.bursts().len();
    assert!(until(PATIENCE, || proxy.bursts().len() >= seen + 5), "resyncs go on");
    // Whole ones only: neither the one in which it converged nor the one that may be going on now.
    let bursts = proxy.bursts();
    let resyncs = &bursts[seen + 1..seen + 4];
    let sizes: Vec<usize> = resyncs.iter().map(Vec::len).collect();
    report(&format!("calls of three converged resyncs of six services: {sizes:?}"));
    for calls in resyncs {
        let lists = calls.iter().filter(|call| is_list(call)).count();
        let inspects = calls.iter().filter(|call| is_inspect(call)).count();
        assert!(inspects <= 1, "at most one inspect: {calls:#?}");
        assert_eq!((lists, calls.len()), (3, 3 + inspects), "three lists and nothing else: {calls:#?}");
    }
}

fn is_list(call: &str) -> bool {
    ["GET /containers/json", "GET /networks", "GET /volumes"].iter().any(|list| call.starts_with(list))
}

fn is_inspect(call: &str) -> bool {
    call.starts_with("GET /containers/") && call.ends_with("/json")
}
