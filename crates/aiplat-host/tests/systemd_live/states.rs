//! A unit's life, and each way in which it can fail.

use aiplat_core::{
    action::{Action, UnitVerb},
    condition::{ErrorClass, Reason},
    observed::{ActiveState, LoadState},
};

use crate::machine::Machine;

#[tokio::test]
async fn a_unit_is_configured_started_restarted_and_left_alone() {
    let Some(machine) = Machine::boot().await else { return };
    machine.service("web.service", "/bin/sleep infinity").await;
    let before = machine.look("web.service").await;
    assert_eq!((before.load, before.active), (LoadState::Loaded, ActiveState::Inactive));
    assert_eq!((before.own.drop_in, before.own.loaded, before.needs_reload), (None, false, false));

    let odd = "a \"b\" $HOME `c` \\ d";
    let files = machine.files("web.service", &[("ODD", odd), ("PLAIN", "1")]).await;
    machine.systemd.apply(&files).await.unwrap();
    let written = machine.look("web.service").await;
    // `NeedDaemonReload` does not say so: systemd has not seen the folder either.
    assert!(!written.own.loaded && written.own.drop_in.is_some());
    machine.reload().await;
    let loaded = machine.look("web.service").await;
    assert!(loaded.own.loaded && !loaded.needs_reload);
    assert_eq!(loaded.environment_files, [loaded.own.environment_path]);

    let first = machine.started("web.service").await;
    let effective = first.effective.expect("readable");
    assert_eq!((effective["ODD"].as_str(), effective["PLAIN"].as_str()), (odd, "1"));
    // Another value needs a restart, and no reload.
    let files = machine.files("web.service", &[("PLAIN", "2")]).await;
    machine.systemd.apply(&files).await.unwrap();
    assert!(!machine.look("web.service").await.needs_reload);
    machine.tell("web.service", UnitVerb::Restart).await.unwrap();
    let second = machine
        .until("web.service", "another run", |unit| {
            unit.effective.as_ref().is_some_and(|environment| environment["PLAIN"] == "2")
        })
        .await;
    assert_ne!(second.invocation, first.invocation);

    machine.systemd.apply(&Action::RemoveUnitFiles { unit: "web.service".to_owned() }).await.unwrap();
    machine.reload().await;
    let left = machine.look("web.service").await;
    assert_eq!(
        (left.active, &left.invocation, left.drop_ins),
        (ActiveState::Active, &second.invocation, vec![])
    );
    machine.tell("web.service", UnitVerb::Stop).await.unwrap();
    let stopped = machine
        .until("web.service", "stopped", |unit| unit.active == ActiveState::Inactive && unit.job.is_none())
        .await;
    assert_eq!(stopped.invocation, left.invocation, "systemd would have forgotten it with the unit");
    assert_eq!((stopped.result.as_str(), stopped.main_pid, stopped.effective), ("success", 0, None));
}

#[tokio::test]
async fn each_way_of_failing_has_its_own_words() {
    let Some(machine) = Machine::boot().await else { return };
    let absent = machine.look("absent.service").await;
    assert_eq!(
        (absent.load, absent.load_error.as_str()),
        (LoadState::NotFound, "Unit absent.service not found.")
    );
    let refused = machine.tell("absent.service", UnitVerb::Start).await.expect_err("there is none");
    assert_eq!((refused.class, refused.reason), (ErrorClass::Rejected, Reason::UnitNotFound), "{refused}");
    machine.tell("absent.service", UnitVerb::Stop).await.unwrap();
    machine.tell("absent.service", UnitVerb::ResetFailed).await.unwrap();

    machine.write("bad.service", "[Service]\nType=simple\n");
    machine.write("fails.service", "[Service]\nExecStart=/bin/cat /nonexistent\n");
    machine.write(
        "loops.service",
        "[Unit]\nStartLimitBurst=2\nStartLimitIntervalSec=60\n[Service]\nRestart=always\nRestartSec=10ms\nExecStart=/bin/cat /nonexistent\n",
    );
    machine.write("killed.service", "[Service]\nExecStart=/bin/sleep infinity\n");
    machine.write(
        "slow.service",
        "[Service]\nType=notify\nTimeoutStartSec=200ms\nExecStart=/bin/sleep infinity\n",
    );
    machine.reload().await;

    let bad = machine.look("bad.service").await;
    assert_eq!(bad.load, LoadState::BadSetting, "{bad:?}");
    let refused = machine.tell("bad.service", UnitVerb::Start).await.expect_err("it cannot be");
    assert_eq!((refused.class, refused.reason), (ErrorClass::Rejected, Reason::UnitInvalid), "{refused}");

    machine.tell("fails.service", UnitVerb::Start).await.unwrap();
    let said = "/bin/cat: /nonexistent: No such file or directory";
    let fails = machine.until("fails.service", "its words", |unit| !unit.tail.is_empty()).await;
    assert_eq!((fails.active, fails.result.as_str()), (ActiveState::Failed, "exit-code"));
    assert_eq!((fails.exit_status, fails.killed, fails.tail), (1, false, vec![said.to_owned()]));
    machine.tell("fails.service", UnitVerb::ResetFailed).await.unwrap();
    assert_eq!(machine.look("fails.service").await.active, ActiveState::Inactive);

    machine.tell("loops.service", UnitVerb::Start).await.unwrap();
    let loops =
        machine.until("loops.service", "the start limit", |unit| unit.result == "start-limit-hit").await;
    assert_eq!(loops.active, ActiveState::Failed);
    let loops = machine.until("loops.service", "its last words", |unit| !unit.tail.is_empty()).await;
    assert_eq!(loops.tail, [said], "of its last run, not of all");

    machine.started("killed.service").await;
    machine.by_hand(&["systemctl", "kill", "--signal=KILL", "killed.service"]);
    let killed = machine.until("killed.service", "killed", |unit| unit.active == ActiveState::Failed).await;
    assert_eq!((killed.result.as_str(), killed.exit_status, killed.killed), ("signal", 9, true));

    machine.tell("slow.service", UnitVerb::Start).await.unwrap();
    let starting = machine.look("slow.service").await;
    assert_eq!((starting.active, starting.job.as_deref()), (ActiveState::Activating, Some("start")));
    let slow = machine.until("slow.service", "too slow", |unit| unit.active == ActiveState::Failed).await;
    assert_eq!(slow.result, "timeout");
}

#[tokio::test]
async fn a_mask_is_taken_away_and_a_unit_starts_with_the_machine() {
    let Some(machine) = Machine::boot().await else { return };
    machine.write("plain.service", "[Service]\nExecStart=/bin/sleep infinity\n");
    machine.write(
        "boots.service",
        "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n",
    );
    machine.reload().await;
    // One that was good when it was looked at, and one that never was.
    assert_eq!(machine.look("boots.service").await.load, LoadState::Loaded);
    machine.by_hand(&["systemctl", "mask", "--runtime", "boots.service"]);
    machine.by_hand(&["systemctl", "mask", "plain.service"]);
    machine.reload().await;
    for unit in ["plain.service", "boots.service"] {
        assert_eq!(machine.look(unit).await.load, LoadState::Masked, "{unit}");
        let refused = machine.tell(unit, UnitVerb::Start).await.expect_err("masked");
        let meant = (refused.class, refused.reason);
        assert_eq!(meant, (ErrorClass::Rejected, Reason::UnitMasked), "{unit} {refused}");
        machine.tell(unit, UnitVerb::Unmask).await.unwrap();
        // Without a reload of systemd.
        machine.until(unit, "unmasked", |unit| unit.load == LoadState::Loaded).await;
    }

    assert_eq!(machine.look("boots.service").await.file_state, "disabled");
    machine.tell("boots.service", UnitVerb::Enable).await.unwrap();
    machine.reload().await;
    assert_eq!(machine.look("boots.service").await.file_state, "enabled");
    let error = machine.tell("plain.service", UnitVerb::Enable).await.expect_err("nothing to enable");
    assert_eq!(error.class, ErrorClass::Rejected, "{error}");
}
