//! Signals of a real systemd.

use aiplat_core::{action::UnitVerb, observed::ActiveState};
use aiplat_host::systemd::SystemdHint::{Changed, Connected, Lost, Reloaded};

use crate::machine::{Machine, next, until};

#[tokio::test]
async fn a_change_is_hinted_at_and_a_look_is_not() {
    let Some(machine) = Machine::boot().await else { return };
    machine.service("web.service", "/bin/sleep infinity").await;
    machine.service("marker.service", "/bin/sleep infinity").await;
    let mut hints = machine.systemd.hints();
    assert_eq!(next(&mut hints).await, Connected);
    let web = Changed("web.service".to_owned());
    machine.look("web.service").await;
    machine.look("marker.service").await;
    machine.tell("web.service", UnitVerb::Start).await.unwrap();
    until(&mut hints, &web).await;
    machine
        .until("web.service", "active", |unit| unit.active == ActiveState::Active && unit.job.is_none())
        .await;
    // What its start is still worth saying comes before the marker, which was told later.
    let marker = Changed("marker.service".to_owned());
    machine.started("marker.service").await;
    until(&mut hints, &marker).await;
    machine.until("marker.service", "settled", |unit| unit.job.is_none()).await;
    machine.tell("marker.service", UnitVerb::Stop).await.unwrap();
    machine
        .until("marker.service", "stopped", |unit| unit.active == ActiveState::Inactive && unit.job.is_none())
        .await;
    for _ in 0..20 {
        machine.look("web.service").await;
        machine.look("absent.service").await;
    }
    machine.tell("marker.service", UnitVerb::Start).await.unwrap();
    let echoes = until(&mut hints, &marker).await;
    assert!(!echoes.iter().any(|hint| *hint == Changed("absent.service".to_owned())), "{echoes:?}");
    assert!(echoes.iter().filter(|hint| **hint == web).count() <= 1, "{echoes:?}");

    machine.reload().await;
    until(&mut hints, &Reloaded).await;
}

#[tokio::test]
async fn it_goes_on_after_systemd_and_the_bus_were_started_anew() {
    let Some(machine) = Machine::boot().await else { return };
    machine.service("web.service", "/bin/sleep infinity").await;
    let before = machine.started("web.service").await;
    let mut hints = machine.systemd.hints();
    assert_eq!(next(&mut hints).await, Connected);
    machine.by_hand(&["systemctl", "daemon-reexec"]);
    let meanwhile = until(&mut hints, &Connected).await;
    assert!(!meanwhile.iter().any(|hint| matches!(hint, Lost { .. })), "{meanwhile:?}");
    let after = machine.until("web.service", "active", |unit| unit.active == ActiveState::Active).await;
    assert_eq!(after.invocation, before.invocation);

    machine.by_hand(&["systemctl", "kill", "--signal=KILL", "dbus.service"]);
    let mut lost = false;
    loop {
        match next(&mut hints).await {
            Lost { .. } => lost = true,
            Connected if lost => break,
            Connected | Changed(_) | Reloaded => {}
        }
    }
    machine.tell("web.service", UnitVerb::Stop).await.unwrap();
    until(&mut hints, &Changed("web.service".to_owned())).await;
}
