//! Compose's options of a service, end to end: what the engine is asked for, and what follows an edit.

use aiplat_core::condition::Word;
use serde_json::json;

use crate::harness::{PATIENCE, Stage, service, until};

const PLATFORM: &str = r#"
apiVersion: aiplat/v1
name: @name
services:
  vpn:
    image: aiplat-demo:1
    command: ["serve"]
    environment: {VALUE: a}
    hostname: gate
    cap_drop: [ALL]
    tmpfs: /scratch:size=1m
    mem_limit: 64m
    stop_grace_period: 2s
  app:
    image: aiplat-demo:1
    command: ["serve", "PORT=9090"]
    network_mode: service:vpn
    read_only: true
    stop_grace_period: 2s
"#;

/// Whether `app` runs in the network of the `vpn` that runs now.
fn is_joined(stage: &Stage) -> bool {
    let runs = stage.runs();
    let (Some(vpn), Some(app)) = (runs.get("vpn"), stage.container("app")) else { return false };
    let is_up = app["State"]["Running"] == json!(true);
    is_up && app["HostConfig"]["NetworkMode"] == json!(format!("container:{}", vpn.id))
}

#[test]
fn a_service_in_the_network_of_another_follows_it() {
    let Some(mut stage) = Stage::ready_with(PLATFORM) else { return };
    assert!(is_joined(&stage), "{:#?}", stage.runs());
    let before = stage.runs();
    stage.put_in_force(&PLATFORM.replace("VALUE: a", "VALUE: b"));
    assert!(
        until(PATIENCE, || stage.runs().get("vpn").is_some_and(|run| run.id != before["vpn"].id)),
        "vpn is replaced"
    );
    assert!(until(PATIENCE, || is_joined(&stage)), "app is made anew: {:#?}", stage.runs());
    let status = stage.settled();
    assert_eq!(service(&status, "app").status, Word::Ready);
    let (app, after) = (&before["app"], stage.runs());
    assert_ne!(app.id, after["app"].id, "the engine joins a container once and for all");
}

#[test]
fn a_limit_is_changed_while_it_runs() {
    let Some(mut stage) = Stage::ready_with(PLATFORM) else { return };
    let before = stage.runs();
    let edit = PLATFORM
        .replace("mem_limit: 64m", "mem_limit: 96m\n    cpus: 0.5\n    cpu_shares: 512\n    cpuset: 0");
    stage.put_in_force(&edit);
    let seen = |name: &str| stage.container("vpn").map(|vpn| vpn["HostConfig"][name].clone());
    assert!(until(PATIENCE, || seen("Memory") == Some(json!(96 << 20))), "{:?}", seen("Memory"));
    let limits = [seen("NanoCpus"), seen("CpuShares"), seen("CpusetCpus")].map(Option::unwrap_or_default);
    assert_eq!(limits, [json!(500_000_000), json!(512), json!("0")]);
    stage.settled();
    let after = stage.runs();
    assert_eq!(
        (&before["vpn"].id, &before["app"].id),
        (&after["vpn"].id, &after["app"].id),
        "nobody was made anew"
    );
}
