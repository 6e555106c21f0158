//! Units that end: what systemd refuses, what is done at once, and what another try does not change.

use std::time::Duration;

use aiplat_core::{
    condition::{ConditionType, Reason, Status, Word},
    observed::ActiveState,
    plan::Command,
};
use aiplat_tests::{
    lab::{Lab, simulate},
    sim::systemd::{Program, Restarts, Unit},
};

use crate::units::{ENOUGH, HOST, UNIT, becomes, booted, condition, file, machine, order, summary};

#[test]
fn a_start_limit_is_forgiven_by_our_own_back_off() {
    simulate(async {
        let program = Program::Ends(Duration::from_millis(50), 1, "panic: no such host");
        let lab = booted("", Unit { restarts: Restarts::Always, program, ..Unit::default() }).await;
        assert!(
            lab.systemd.calls().iter().any(|call| call == "reset-failed ollama.service"),
            "{:?}",
            lab.systemd.calls()
        );
        lab.pass(Duration::from_secs(120)).await;
        assert_eq!(condition(&lab, ConditionType::CrashLoop).0, Status::True, "{:?}", summary(&lab));
        // Never faster than our back-off, whatever systemd would do.
        let calls = lab.systemd.calls().len();
        assert!(calls < 40, "{calls}");
        lab.systemd.by_hand(UNIT, |unit| unit.program = Program::Serves);
        order(&lab, Command::ResetFailed);
        becomes(&lab, Word::Ready).await;
    });
}

#[test]
fn a_start_that_systemd_refuses_after_a_plain_failure_is_forgiven_and_not_repeated() {
    simulate(async {
        let program = Program::Ends(Duration::from_millis(50), 1, "panic: no such host");
        let mut lab = machine("", Unit { program, ..Unit::default() });
        // Somebody has tried until systemd has had enough: what it then says of the unit is still the fault of its last run.
        for _ in 0..6 {
            lab.systemd.start_by_hand(UNIT);
            lab.pass(Duration::from_millis(100)).await;
        }
        assert_eq!(lab.systemd.unit(UNIT).result, "exit-code");
        lab.boot();
        lab.pass(ENOUGH).await;
        let calls = lab.systemd.calls();
        assert!(calls.iter().any(|call| call == "reset-failed ollama.service"), "{calls:?}");
        let starts = calls.iter().filter(|call| call.starts_with("start ")).count();
        assert!((2..=6).contains(&starts), "in our own time: {calls:?}");
        lab.systemd.by_hand(UNIT, |unit| unit.program = Program::Serves);
        becomes(&lab, Word::Ready).await;
    });
}

#[test]
fn an_ordered_restart_that_systemd_refuses_is_not_repeated_without_a_pause() {
    simulate(async {
        let program = Program::Ends(Duration::from_millis(50), 1, "panic: no such host");
        let lab = booted("", Unit { program, restarts: Restarts::Always, ..Unit::default() }).await;
        lab.pass(Duration::from_secs(60)).await;
        let before = lab.systemd.calls().len();
        for _ in 0..6 {
            order(&lab, Command::Restart);
            lab.pass(Duration::from_millis(300)).await;
        }
        lab.pass(ENOUGH).await;
        let calls = lab.systemd.calls().len() - before;
        assert!(calls <= 40, "{calls}: {:?}", lab.systemd.calls());
    });
}

#[test]
fn a_unit_that_is_done_at_once_runs_once_and_again_when_it_is_told_to() {
    simulate(async {
        let mut lab = machine("", Unit::default());
        lab.systemd.package(UNIT, Some("[Service]\nType=oneshot\nExecStart=/bin/true\n"));
        lab.systemd.program("/bin/true", Program::Ends(Duration::from_millis(20), 0, ""));
        lab.systemd.reload_by_hand();
        lab.boot();
        lab.pass(ENOUGH).await;
        becomes(&lab, Word::Stopped).await;
        lab.pass(Duration::from_secs(300)).await;
        let starts = |lab: &Lab| lab.systemd.calls().iter().filter(|call| call.starts_with("start ")).count();
        assert_eq!((starts(&lab), summary(&lab).0), (1, Word::Stopped), "{:?}", lab.systemd.calls());
        assert!(summary(&lab).1.contains("ended by itself with success"), "{:?}", summary(&lab));
        order(&lab, Command::Start);
        lab.pass(Duration::from_secs(300)).await;
        assert_eq!((starts(&lab), summary(&lab).0), (2, Word::Stopped), "{:?}", lab.systemd.calls());
    });
}

#[test]
fn a_stop_by_somebody_else_counts_also_of_what_is_being_started() {
    simulate(async {
        for is_ours_to_begin in [true, false] {
            let mut lab = machine("", Unit::default());
            if !is_ours_to_begin {
                lab.systemd.start_by_hand(UNIT);
            }
            lab.boot();
            lab.pass(ENOUGH).await;
            becomes(&lab, Word::Ready).await;
            lab.systemd.by_hand(UNIT, |unit| unit.activates_for = Duration::from_secs(80));
            lab.systemd.restart_by_hand(UNIT);
            lab.pass(Duration::from_secs(2)).await;
            assert_eq!(lab.systemd.unit(UNIT).active, ActiveState::Activating);
            let calls = lab.systemd.calls().len();
            lab.systemd.stop_by_hand(UNIT);
            becomes(&lab, Word::Stopped).await;
            lab.pass(Duration::from_secs(300)).await;
            assert_eq!(lab.systemd.calls().len(), calls, "{:?}", lab.systemd.calls());
            order(&lab, Command::Start);
            becomes(&lab, Word::Ready).await;
            lab.kill();
        }
    });
}

#[test]
fn a_stop_by_somebody_else_counts_also_of_what_systemd_is_about_to_restart() {
    simulate(async {
        let mut lab = machine("", Unit::default());
        let text = "[Service]\nExecStart=/bin/fails\nRestart=always\nRestartSec=30s\n";
        lab.systemd.package(UNIT, Some(text));
        // So soon that nobody sees it active.
        lab.systemd.program("/bin/fails", Program::Ends(Duration::ZERO, 1, "panic: no such host"));
        lab.systemd.reload_by_hand();
        lab.boot();
        lab.pass(ENOUGH).await;
        assert_eq!(lab.systemd.unit(UNIT).sub, "auto-restart");
        let calls = lab.systemd.calls().len();
        lab.systemd.stop_by_hand(UNIT);
        becomes(&lab, Word::Stopped).await;
        lab.pass(Duration::from_secs(300)).await;
        assert_eq!(lab.systemd.calls().len(), calls, "{:?}", lab.systemd.calls());
    });
}

#[test]
fn a_bad_configuration_is_held_with_its_line_and_an_edit_is_tried_at_once() {
    simulate(async {
        let words = "Error: invalid configuration: unknown field `prot` in config.json line 3";
        let program = Program::Ends(Duration::from_millis(50), 1, words);
        let lab = booted(HOST, Unit { program, ..Unit::default() }).await;
        becomes(&lab, Word::Held).await;
        let (_, message) = summary(&lab);
        assert!(message.contains("unknown field `prot`"), "{message}");
        let starts = |lab: &Lab| lab.systemd.calls().iter().filter(|call| call.starts_with("start")).count();
        assert_eq!(starts(&lab), 2);
        lab.systemd.by_hand(UNIT, |unit| unit.program = Program::Serves);
        lab.pass(Duration::from_secs(600)).await;
        assert_eq!(starts(&lab), 2);
        lab.write_yaml(&file("    environment: {OLLAMA_HOST: 127.0.0.1}\n"));
        becomes(&lab, Word::Ready).await;
    });
}

#[test]
fn what_cannot_be_set_up_is_held_with_its_reason_also_where_systemd_tries_five_times_first() {
    simulate(async {
        for (status, cure) in [(217, "its `User=` does not exist"), (203, "`ExecStart=`")] {
            let program = Program::Ends(Duration::from_millis(5), status, "");
            let lab = booted("", Unit { program, restarts: Restarts::Always, ..Unit::default() }).await;
            becomes(&lab, Word::Held).await;
            let (_, message) = summary(&lab);
            assert!(message.contains(&format!("exit {status}")) && message.contains(cure), "{message}");
            let calls = lab.systemd.calls();
            assert_eq!(
                calls,
                ["start ollama.service", "reset-failed ollama.service", "start ollama.service"]
            );
            lab.pass(Duration::from_secs(600)).await;
            assert_eq!(lab.systemd.calls().len(), 3, "{:?}", lab.systemd.calls());
        }
    });
}

#[test]
fn what_is_held_is_tried_again_once_its_own_file_is_mended_and_read() {
    simulate(async {
        for restart in ["no", "always"] {
            let text = |program: &str| format!("[Service]\nExecStart={program}\nRestart={restart}\n");
            let mut lab = machine("", Unit::default());
            lab.systemd.program("/bin/missing", Program::Ends(Duration::from_millis(5), 203, ""));
            lab.systemd.package(UNIT, Some(&text("/bin/missing")));
            lab.systemd.reload_by_hand();
            lab.boot();
            lab.pass(ENOUGH).await;
            becomes(&lab, Word::Held).await;
            let said = "or /usr/lib/systemd/system/ollama.service is and systemd has read that";
            assert!(summary(&lab).1.contains(said), "{:?}", summary(&lab));
            // Another file that is no better is held again, and not tried for ever.
            lab.systemd.program("/bin/missing too", Program::Ends(Duration::from_millis(5), 203, ""));
            lab.systemd.package(UNIT, Some(&text("/bin/missing too")));
            lab.systemd.reload_by_hand();
            lab.pass(Duration::from_secs(600)).await;
            becomes(&lab, Word::Held).await;
            let calls = lab.systemd.calls().len();
            lab.systemd.package(UNIT, Some(&text("/bin/there")));
            lab.pass(Duration::from_secs(300)).await;
            assert_eq!(
                (summary(&lab).0, lab.systemd.calls().len()),
                (Word::Held, calls),
                "nobody has read it"
            );
            lab.systemd.reload_by_hand();
            becomes(&lab, Word::Ready).await;
            lab.kill();
        }
    });
}

#[test]
fn while_it_waits_to_be_forgiven_a_unit_says_that_systemd_has_given_up_and_how_it_ended() {
    simulate(async {
        let program = Program::Ends(Duration::from_millis(50), 1, "panic: no such host");
        let lab = booted("", Unit { restarts: Restarts::Always, program, ..Unit::default() }).await;
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        while condition(&lab, ConditionType::Active).1 != Reason::StartLimitHit {
            assert!(tokio::time::Instant::now() < deadline, "{:?}", summary(&lab));
            lab.pass(Duration::from_millis(50)).await;
        }
        let (_, message) = summary(&lab);
        assert!(message.contains("exit 1 (systemd has given up), restart"), "{message}");
    });
}

#[test]
fn who_only_observes_a_unit_at_its_start_limit_is_told_to_reset_it_first() {
    simulate(async {
        let program = Program::Ends(Duration::from_millis(50), 1, "panic: no such host");
        let unit = Unit { restarts: Restarts::Always, program, ..Unit::default() };
        let lab = booted("    management: observe\n", unit).await;
        lab.systemd.start_by_hand(UNIT);
        lab.pass(ENOUGH).await;
        assert_eq!(condition(&lab, ConditionType::Active).1, Reason::StartLimitHit);
        let (_, message) = summary(&lab);
        let cure = "`systemctl reset-failed ollama.service` has systemd forget that, and then `systemctl start ollama.service`";
        assert!(message.contains(cure), "{message}");
    });
}

#[test]
fn a_program_that_is_missing_is_held_with_the_line_to_mend() {
    simulate(async {
        let program = Program::Ends(Duration::from_millis(5), 203, "");
        let lab = booted("", Unit { program, ..Unit::default() }).await;
        becomes(&lab, Word::Held).await;
        assert!(summary(&lab).1.contains("`ExecStart=`"), "{:?}", summary(&lab));
        assert_eq!(lab.systemd.calls().len(), 2, "{:?}", lab.systemd.calls());
    });
}
