//! Orders to units that cannot be carried out, and what is advised instead.

use std::time::Duration;

use aiplat_core::{
    ResourceId,
    condition::{ConditionType, Reason, Status, Word},
    observed::ActiveState,
    plan::{self, Command},
};
use aiplat_tests::{
    lab::{Lab, simulate},
    sim::systemd::Unit,
};

use crate::units::{ENOUGH, HOST, UNIT, becomes, booted, condition, machine, order, summary, web_runs};

/// Why an order to the unit's service is refused, if it is.
fn refused(lab: &Lab, command: Command) -> Option<String> {
    let state = lab.shared().lock();
    let world = state.world(lab.host.now()).expect("a file is in force");
    plan::refused(&world, &ResourceId::unit("ollama"), command)
}

#[test]
fn an_order_to_a_unit_whose_drop_in_is_somebody_elses_is_refused_with_the_cure_and_who_depends_on_it_is_served()
 {
    simulate(async {
        let mut lab = machine(HOST, Unit::default());
        lab.systemd.by_hand(UNIT, |unit| unit.seen.own.drop_in = Some("[Service]\n".to_owned()));
        lab.boot();
        lab.pass(ENOUGH).await;
        let orders = [Command::Start, Command::Stop, Command::Restart];
        for is_up in [false, true] {
            for command in orders {
                let why = refused(&lab, command).expect("nothing can be done");
                assert!(
                    why.contains("50-aiplatd.conf") && why.contains("such as 40-local.conf"),
                    "{is_up}: {why}"
                );
            }
            assert_eq!(refused(&lab, Command::Suspend), None);
            assert_eq!(web_runs(&lab), u32::from(is_up), "the unit itself is the one that is meant");
            lab.systemd.start_by_hand(UNIT);
            lab.pass(ENOUGH).await;
        }
        {
            let state = lab.shared().lock();
            let world = state.world(lab.host.now()).expect("a file is in force");
            let readiness = plan::readiness(&world, &ResourceId::unit("ollama"));
            assert_eq!(readiness.status, Status::True, "what runs serves as before");
        }
        let said = (condition(&lab, ConditionType::Ready).1, condition(&lab, ConditionType::NameTaken).0);
        assert_eq!(said, (Reason::FingerprintDiffers, Status::True), "and is not what the file says");
        lab.systemd.by_hand(UNIT, |unit| unit.seen.own.drop_in = None);
        becomes(&lab, Word::Ready).await;
        assert_eq!(orders.map(|command| refused(&lab, command)), [None, None, None]);
        // Masked, it would not come back; one that does not run is started once it may be.
        lab.systemd.mask_by_hand(UNIT);
        lab.pass(ENOUGH).await;
        let why = refused(&lab, Command::Restart).expect("it would not come back");
        assert!(why.contains("`systemctl unmask ollama.service`"), "{why}");
        lab.systemd.kill(UNIT);
        lab.pass(ENOUGH).await;
        assert_eq!(refused(&lab, Command::Start), None);
    });
}

#[test]
fn a_restart_is_carried_out_at_once_of_a_unit_that_is_being_started() {
    simulate(async {
        let slow = Unit { activates_for: Duration::from_secs(3_600), ..Unit::default() };
        let lab = booted("", slow).await;
        let run = lab.systemd.unit(UNIT).invocation;
        assert_eq!(lab.systemd.unit(UNIT).active, ActiveState::Activating);
        // Its `Type=` is corrected.
        lab.systemd.by_hand_unseen(UNIT, |unit| unit.activates_for = Duration::ZERO);
        order(&lab, Command::Restart);
        lab.pass(Duration::from_secs(2)).await;
        becomes(&lab, Word::Ready).await;
        assert_ne!(lab.systemd.unit(UNIT).invocation, run);
        assert_eq!(lab.systemd.calls(), ["start ollama.service", "restart ollama.service"]);
        lab.pass(Duration::from_secs(300)).await;
        assert_eq!(lab.systemd.calls().len(), 2, "once");
    });
}

#[test]
fn of_what_is_suspended_a_start_is_advised_after_its_resume() {
    simulate(async {
        let lab = booted("", Unit::default()).await;
        becomes(&lab, Word::Ready).await;
        let advice = "`aiplatctl resume ollama`, and then `aiplatctl start ollama`, starts it";
        order(&lab, Command::Suspend);
        lab.systemd.stop_by_hand(UNIT);
        lab.pass(ENOUGH).await;
        assert!(summary(&lab).1.contains(advice), "{:?}", summary(&lab));
        order(&lab, Command::Resume);
        becomes(&lab, Word::Stopped).await;
        assert!(!summary(&lab).1.contains("resume"), "{:?}", summary(&lab));
        order(&lab, Command::Stop);
        order(&lab, Command::Suspend);
        lab.pass(ENOUGH).await;
        assert!(summary(&lab).1.contains(advice), "{:?}", summary(&lab));
    });
}
