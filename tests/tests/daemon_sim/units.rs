//! Services that are units of systemd: every reason for which one is not well, and its cure.

use std::{collections::BTreeMap, time::Duration};

use aiplat_core::{
    Kind, ResourceId,
    condition::{ConditionType, Reason, Status, Word},
    observed::{ActiveState, FileStamp, LoadState},
    plan::{self, Command},
    status,
};
use aiplat_tests::{
    build::{service, sketch},
    lab::{Lab, simulate},
    sim::systemd::{Program, Restarts, Unit},
};

use tokio_util::sync::CancellationToken;

use crate::crash_points::{KINDS, Kind as Fault, fate};

pub const UNIT: &str = "ollama.service";
pub const ENOUGH: Duration = Duration::from_secs(10);

/// A unit with a probe, and a container that depends on it; `more` are lines of the unit's entry.
pub fn file(more: &str) -> String {
    format!(
        "apiVersion: aiplat/v1\nname: test\nservices:\n  ollama:\n    provider: {{type: systemd, options: {{unit: {UNIT}}}}}\n    \
         healthcheck: {{http: {{port: 11434, path: /}}, interval: 1s}}\n{more}  web:\n    image: web:1\n    \
         depends_on: {{ollama: {{condition: service_healthy, restart: true}}}}\n"
    )
}

/// A machine with that unit, not running, and `more` in the file; no daemon yet.
pub fn machine(more: &str, unit: Unit) -> Lab {
    let lab = Lab::new(&sketch([service("web")]), 1);
    lab.systemd.install(UNIT, unit);
    lab.write_yaml(&file(more));
    lab
}

pub async fn booted(more: &str, unit: Unit) -> Lab {
    let mut lab = machine(more, unit);
    lab.boot();
    lab.pass(ENOUGH).await;
    lab
}

/// Waits until the unit's service is printed as `word`.
pub async fn becomes(lab: &Lab, word: Word) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
    while summary(lab).0 != word {
        assert!(tokio::time::Instant::now() < deadline, "not {word}: {:?}\n{}", summary(lab), lab.story());
        lab.pass(Duration::from_millis(50)).await;
    }
}

pub fn summary(lab: &Lab) -> (Word, String) {
    let state = lab.shared().lock();
    let world = state.world(lab.host.now()).expect("a file is in force");
    let id = ResourceId::unit("ollama");
    let summary = status::summary(&world, &id, &plan::plan(&world, &id));
    (summary.word, summary.message)
}

/// Status and reason of one condition of the unit.
pub fn condition(lab: &Lab, kind: ConditionType) -> (Status, Reason) {
    let state = lab.shared().lock();
    let world = state.world(lab.host.now()).expect("a file is in force");
    let step = plan::plan(&world, &ResourceId::unit("ollama"));
    let found = step.conditions.iter().find(|it| it.kind == kind).expect("it is said");
    (found.status, found.reason)
}

pub fn order(lab: &Lab, command: Command) {
    let shared = lab.shared();
    let id = ResourceId::unit("ollama");
    let mut state = shared.lock();
    let world = state.world(lab.host.now()).expect("a file is in force");
    let by = aiplat_core::ledger::Order { by: "uid 0".to_owned(), wall_ms: 0 };
    for entry in plan::order(&world, &id, command, by, None) {
        state.ledger.enter(&id, entry);
    }
    drop(state);
    shared.schedule([id]);
}

pub(crate) fn web_runs(lab: &Lab) -> u32 {
    lab.host.settle().engine.runs.get("web").copied().unwrap_or_default()
}

pub const HOST: &str = "    environment: {OLLAMA_HOST: 0.0.0.0}\n";

#[test]
fn a_unit_is_configured_with_one_reload_started_and_waited_for() {
    simulate(async {
        let lab = booted(HOST, Unit::default()).await;
        becomes(&lab, Word::Ready).await;
        assert_eq!(
            lab.systemd.calls(),
            [
                "write drop-in and environment of ollama.service",
                "reload systemd (daemon-reload)",
                "start ollama.service"
            ]
        );
        let effective = lab.systemd.unit(UNIT).effective.expect("it runs");
        assert_eq!(effective.get("OLLAMA_HOST").map(String::as_str), Some("0.0.0.0"));
        lab.converged_within(ENOUGH).await;
        assert_eq!(web_runs(&lab), 1);
        lab.pass(Duration::from_secs(600)).await;
        assert_eq!(lab.systemd.calls().len(), 3, "a converged unit is left alone");
    });
}

#[test]
fn a_unit_that_runs_as_the_file_says_is_adopted_without_a_restart() {
    simulate(async {
        let environment = BTreeMap::from([("OLLAMA_HOST".to_owned(), "0.0.0.0".to_owned())]);
        let mut unit = Unit::default();
        unit.seen.environment = environment;
        let mut lab = machine(HOST, unit);
        lab.systemd.start_by_hand(UNIT);
        lab.pass(Duration::from_secs(1)).await;
        lab.boot();
        lab.converged_within(ENOUGH).await;
        becomes(&lab, Word::Ready).await;
        assert_eq!(lab.systemd.calls(), Vec::<String>::new());
    });
}

#[test]
fn a_changed_value_restarts_it_without_a_reload_and_takes_its_follower_along() {
    simulate(async {
        let lab = booted(HOST, Unit::default()).await;
        lab.converged_within(ENOUGH).await;
        let before = (lab.systemd.reloads(), web_runs(&lab));
        lab.write_yaml(&file("    environment: {OLLAMA_HOST: 127.0.0.1}\n"));
        lab.pass(ENOUGH).await;
        becomes(&lab, Word::Ready).await;
        let effective = lab.systemd.unit(UNIT).effective.expect("it runs");
        assert_eq!(effective.get("OLLAMA_HOST").map(String::as_str), Some("127.0.0.1"));
        assert_eq!(lab.systemd.reloads(), before.0, "{:?}", lab.systemd.calls());
        assert_eq!(
            &lab.systemd.calls()[3..],
            ["write environment of ollama.service", "restart ollama.service"]
        );
        lab.converged_within(ENOUGH).await;
        assert_eq!(web_runs(&lab), before.1 + 1);
    });
}

#[test]
fn a_restart_that_does_not_come_about_is_made_up_for() {
    for kind in KINDS {
        simulate(async {
            let mut lab = booted(HOST, Unit::default()).await;
            lab.converged_within(ENOUGH).await;
            // The write, and then the restart.
            let crash = CancellationToken::new();
            let restart = lab.host.settle().faults.attempts + 1;
            lab.host.settle().faults.script.push((restart, fate(kind, &crash)));
            lab.write_yaml(&file("    environment: {OLLAMA_HOST: 127.0.0.1}\n"));
            if matches!(kind, Fault::CrashBefore | Fault::CrashAfter) {
                crash.cancelled().await;
                lab.kill();
                lab.boot();
            }
            lab.converged_within(Duration::from_secs(400)).await;
            let effective = lab.systemd.unit(UNIT).effective.expect("it runs");
            assert_eq!(effective.get("OLLAMA_HOST").map(String::as_str), Some("127.0.0.1"), "{kind:?}");
        });
    }
}

#[test]
fn a_variable_that_leaves_the_file_leaves_the_process() {
    simulate(async {
        let lab = booted("    environment: {A: \"1\", B: \"2\"}\n", Unit::default()).await;
        lab.converged_within(ENOUGH).await;
        lab.write_yaml(&file("    environment: {A: \"1\"}\n"));
        lab.pass(ENOUGH).await;
        assert_eq!(
            lab.systemd.unit(UNIT).effective,
            Some(BTreeMap::from([("A".to_owned(), "1".to_owned())]))
        );
        // With the last of them goes the drop-in.
        lab.write_yaml(&file(""));
        lab.pass(ENOUGH).await;
        let unit = lab.systemd.unit(UNIT);
        assert_eq!((unit.own.drop_in, unit.own.loaded), (None, false), "{:?}", lab.systemd.calls());
        assert_eq!(unit.effective, Some(BTreeMap::new()));
        becomes(&lab, Word::Ready).await;
    });
}

#[test]
fn a_service_that_leaves_the_file_leaves_its_unit_running_without_our_drop_in() {
    simulate(async {
        let lab = booted(HOST, Unit::default()).await;
        lab.converged_within(ENOUGH).await;
        let run = lab.systemd.unit(UNIT).invocation;
        lab.write_yaml("apiVersion: aiplat/v1\nname: test\nservices: {web: {image: \"web:1\"}}\n");
        lab.pass(ENOUGH).await;
        let unit = lab.systemd.unit(UNIT);
        assert_eq!((unit.own.drop_in, unit.own.environment, unit.own.loaded), (None, None, false));
        assert_eq!((unit.active, unit.invocation), (ActiveState::Active, run));
        assert_eq!(lab.systemd.reloads(), 2);
        let state = lab.shared().lock();
        assert!(state.of_systemd().is_empty(), "nothing of it is remembered");
    });
}

#[test]
fn a_unit_that_is_missing_masked_or_unreadable_says_so_and_recovers_when_it_is_mended() {
    simulate(async {
        for (load, reason) in [
            (LoadState::NotFound, Reason::UnitNotFound),
            (LoadState::BadSetting, Reason::UnitInvalid),
            (LoadState::Error, Reason::UnitInvalid),
        ] {
            let lab = machine(HOST, Unit::default());
            lab.systemd.by_hand(UNIT, |unit| unit.seen.load = load.clone());
            let mut lab = lab;
            lab.boot();
            lab.pass(ENOUGH).await;
            assert_eq!(condition(&lab, ConditionType::UnitLoaded), (Status::False, reason));
            assert_eq!(summary(&lab).0, Word::Pending, "{:?}", summary(&lab));
            assert_eq!(lab.systemd.calls(), Vec::<String>::new());
            lab.systemd.by_hand(UNIT, |unit| unit.seen.load = LoadState::Loaded);
            becomes(&lab, Word::Ready).await;
            lab.kill();
        }
    });
}

#[test]
fn a_masked_unit_says_so_and_is_started_once_the_mask_is_gone() {
    simulate(async {
        let mut lab = machine("", Unit::default());
        lab.systemd.mask_by_hand(UNIT);
        lab.boot();
        lab.pass(ENOUGH).await;
        assert_eq!(condition(&lab, ConditionType::UnitLoaded), (Status::False, Reason::UnitMasked));
        assert_eq!(summary(&lab).0, Word::Pending, "{:?}", summary(&lab));
        assert_eq!(lab.systemd.calls(), Vec::<String>::new());
        lab.systemd.unmask_by_hand(UNIT);
        becomes(&lab, Word::Ready).await;
    });
}

#[test]
fn full_management_unmasks_and_enables() {
    simulate(async {
        let mut lab = machine("    management: full\n", Unit::default());
        lab.systemd.by_hand(UNIT, |unit| unit.seen.file_state = "disabled".to_owned());
        lab.systemd.mask_by_hand(UNIT);
        lab.boot();
        lab.pass(ENOUGH).await;
        becomes(&lab, Word::Ready).await;
        assert_eq!(
            lab.systemd.calls(),
            ["unmask ollama.service", "enable ollama.service", "start ollama.service"]
        );
    });
}

#[test]
fn an_observed_unit_is_spoken_of_and_never_touched() {
    simulate(async {
        let lab = booted("    management: observe\n", Unit::default()).await;
        assert_ne!(summary(&lab).0, Word::Ready);
        lab.systemd.start_by_hand(UNIT);
        becomes(&lab, Word::Ready).await;
        lab.systemd.kill(UNIT);
        lab.pass(ENOUGH).await;
        assert_eq!(lab.systemd.calls(), Vec::<String>::new());
    });
}

#[test]
fn a_killed_unit_is_started_by_systemd_or_else_by_us() {
    simulate(async {
        for restarts in [Restarts::Always, Restarts::No] {
            let lab = booted("", Unit { restarts, ..Unit::default() }).await;
            becomes(&lab, Word::Ready).await;
            let (calls, run) = (lab.systemd.calls().len(), lab.systemd.unit(UNIT).invocation);
            lab.systemd.kill(UNIT);
            lab.pass(Duration::from_secs(2)).await;
            becomes(&lab, Word::Ready).await;
            assert_ne!(lab.systemd.unit(UNIT).invocation, run);
            assert_eq!(
                lab.systemd.calls().len() - calls,
                usize::from(restarts == Restarts::No),
                "systemd's word comes first"
            );
        }
    });
}

#[test]
fn what_somebody_else_has_stopped_stays_stopped_until_it_is_started() {
    simulate(async {
        let lab = booted("", Unit::default()).await;
        becomes(&lab, Word::Ready).await;
        lab.systemd.stop_by_hand(UNIT);
        lab.pass(Duration::from_secs(600)).await;
        let (word, message) = summary(&lab);
        assert_eq!(word, Word::Stopped);
        assert!(message.contains("aiplatctl start ollama"), "{message}");
        assert_eq!(condition(&lab, ConditionType::Active).1, Reason::StoppedByAdministrator);
        order(&lab, Command::Start);
        becomes(&lab, Word::Ready).await;
        let said = "start ollama.service: another run was ordered";
        let events = lab.shared().lock().events.newest(100);
        assert!(
            events.iter().any(|event| event.message == said),
            "it was not aiplatd that stopped it: {events:?}"
        );
        // Started by somebody else it is as good.
        lab.systemd.stop_by_hand(UNIT);
        lab.pass(ENOUGH).await;
        lab.systemd.start_by_hand(UNIT);
        becomes(&lab, Word::Ready).await;
    });
}

#[test]
fn what_was_stopped_while_the_daemon_was_down_stays_stopped() {
    simulate(async {
        let mut lab = booted("", Unit::default()).await;
        becomes(&lab, Word::Ready).await;
        lab.kill();
        lab.systemd.stop_by_hand(UNIT);
        lab.pass(ENOUGH).await;
        lab.systemd.let_go();
        lab.boot();
        lab.pass(ENOUGH).await;
        becomes(&lab, Word::Stopped).await;
        assert_eq!(condition(&lab, ConditionType::Active).1, Reason::StoppedByAdministrator);
        order(&lab, Command::Start);
        becomes(&lab, Word::Ready).await;
    });
}

#[test]
fn a_file_of_somebody_elses_in_the_place_of_the_drop_in_is_left_alone() {
    simulate(async {
        let mut lab = machine(HOST, Unit::default());
        let path = format!("/etc/systemd/system/{UNIT}.d/50-aiplatd.conf");
        lab.systemd.by_hand(UNIT, |unit| {
            unit.seen.own.drop_in_path = path;
            unit.seen.own.drop_in = Some("[Service]\nEnvironment=MINE=1\n".to_owned());
        });
        lab.boot();
        lab.pass(ENOUGH).await;
        assert_eq!(condition(&lab, ConditionType::NameTaken), (Status::True, Reason::NameTaken));
        assert!(
            summary(&lab).1.contains("50-aiplatd.conf is not of aiplatd's writing"),
            "{:?}",
            summary(&lab)
        );
        assert!(
            !lab.systemd.calls().iter().any(|call| call.starts_with("write")),
            "{:?}",
            lab.systemd.calls()
        );
        lab.systemd.by_hand(UNIT, |unit| unit.seen.own.drop_in = None);
        becomes(&lab, Word::Ready).await;
    });
}

#[test]
fn a_diff_of_a_file_with_a_new_unit_has_all_that_will_be_done() {
    simulate(async {
        let mut lab = Lab::new(&sketch([service("web")]), 1);
        lab.systemd.install(UNIT, Unit::default());
        lab.boot();
        lab.pass(ENOUGH).await;
        let wanted = aiplat_tests::lab::compiled_yaml(&file(HOST));
        let reply =
            aiplatd::spec::diff(lab.shared(), Some((Some(wanted), String::new()))).await.expect("a plan");
        let actions = reply.preview.waves.iter().flat_map(|wave| &wave.actions);
        let verbs: Vec<String> = actions
            .filter(|it| matches!(it.resource.kind, Kind::Unit | Kind::Host))
            .map(|it| format!("{} {}", it.verb, it.resource))
            .collect();
        assert_eq!(verbs, ["write unit/ollama", "reload host/systemd", "start unit/ollama"]);
    });
}

#[test]
fn restart_no_leaves_a_failed_unit_as_it_is() {
    simulate(async {
        let program = Program::Ends(Duration::from_millis(50), 3, "");
        let lab = booted("    restart: \"no\"\n", Unit { program, ..Unit::default() }).await;
        lab.pass(Duration::from_secs(60)).await;
        assert_eq!(condition(&lab, ConditionType::Active), (Status::False, Reason::UnitFailed));
        assert_eq!(lab.systemd.calls(), ["start ollama.service"]);
    });
}

#[test]
fn what_does_not_answer_is_not_ready_and_says_so() {
    simulate(async {
        let lab = booted("", Unit { program: Program::Deaf, ..Unit::default() }).await;
        lab.pass(Duration::from_secs(60)).await;
        assert_eq!(condition(&lab, ConditionType::Active).0, Status::True);
        assert_eq!(condition(&lab, ConditionType::Healthy), (Status::False, Reason::ProbeFailed));
        assert_eq!(web_runs(&lab), 0, "its dependant waits");
        lab.systemd.by_hand(UNIT, |unit| unit.program = Program::Serves);
        becomes(&lab, Word::Ready).await;
    });
}

#[test]
fn a_unit_file_that_is_written_anew_is_an_event_and_no_drift() {
    simulate(async {
        let lab = booted(HOST, Unit::default()).await;
        becomes(&lab, Word::Ready).await;
        let calls = lab.systemd.calls();
        for stamp in ["1", "2"] {
            lab.systemd.by_hand(UNIT, |unit| unit.seen.fragment_stamp = Some(FileStamp(stamp.to_owned())));
            lab.pass(ENOUGH).await;
        }
        let events = lab.shared().lock().events.newest(100);
        assert_eq!(events.iter().filter(|event| event.reason == "UnitFileChanged").count(), 1);
        assert_eq!((lab.systemd.calls(), summary(&lab).0), (calls, Word::Ready));
    });
}

#[test]
fn a_unit_file_that_is_written_anew_without_a_word_to_systemd_is_an_event_within_seconds_whoever_looks_first()
{
    simulate(async {
        let mut unit = Unit::default();
        unit.seen.fragment_stamp = Some(FileStamp("0".to_owned()));
        let lab = booted(HOST, unit).await;
        becomes(&lab, Word::Ready).await;
        let written = |lab: &Lab| {
            let events = lab.shared().lock().events.newest(100);
            let counts =
                events.iter().filter(|event| event.reason == "UnitFileChanged").map(|event| event.count);
            counts.sum::<u32>()
        };
        for (times, is_asked_for_a_diff) in [(1, false), (2, true)] {
            let stamp = Some(FileStamp(times.to_string()));
            lab.systemd.by_hand_unseen(UNIT, |unit| unit.seen.fragment_stamp = stamp);
            if is_asked_for_a_diff {
                aiplatd::spec::diff(lab.shared(), None).await.expect("a plan");
            } else {
                lab.pass(Duration::from_secs(6)).await;
            }
            assert_eq!(written(&lab), times);
        }
        lab.pass(Duration::from_secs(300)).await;
        assert_eq!((written(&lab), summary(&lab).0), (2, Word::Ready));
    });
}

#[test]
fn a_value_that_somebody_else_sets_is_named_and_not_fought_over() {
    simulate(async {
        let wrapped = BTreeMap::from([("OLLAMA_HOST".to_owned(), "10.0.0.1".to_owned())]);
        let lab = booted(HOST, Unit { wrapped, ..Unit::default() }).await;
        lab.pass(Duration::from_secs(600)).await;
        assert_eq!(condition(&lab, ConditionType::Drifted), (Status::True, Reason::EnvironmentOverridden));
        let (word, message) = summary(&lab);
        assert_eq!(word, Word::Degraded);
        assert!(message.contains("10.0.0.1") && message.contains("0.0.0.0"), "{message}");
        assert_eq!(lab.systemd.calls().len(), 3, "{:?}", lab.systemd.calls());
    });
}

#[test]
fn a_secret_that_somebody_else_sets_is_named_and_not_shown() {
    simulate(async {
        for (name, ours, theirs) in [
            ("BASIC_AUTH", "canary-one", "canary-two"),
            ("DATABASE_URL", "postgres://u:canary-one@db/x", "postgres://u:canary-two@db/x"),
        ] {
            let wrapped = BTreeMap::from([(name.to_owned(), theirs.to_owned())]);
            let more = format!("    environment: {{{name}: \"{ours}\"}}\n");
            let lab = booted(&more, Unit { wrapped, ..Unit::default() }).await;
            becomes(&lab, Word::Degraded).await;
            let (_, message) = summary(&lab);
            assert!(message.contains(name) && !message.contains("canary"), "{message}");
        }
    });
}

#[test]
fn a_drop_in_that_somebody_removes_comes_back_and_a_fight_is_left() {
    simulate(async {
        let lab = booted(HOST, Unit::default()).await;
        becomes(&lab, Word::Ready).await;
        for _ in 0..12 {
            lab.systemd.by_hand(UNIT, |unit| unit.seen.own.drop_in = None);
            lab.pass(Duration::from_secs(3)).await;
        }
        assert_eq!(condition(&lab, ConditionType::Held), (Status::True, Reason::FoughtOver));
        lab.pass(Duration::from_secs(900)).await;
        becomes(&lab, Word::Ready).await;
    });
}

#[test]
fn stop_restart_and_suspend_are_those_of_any_service() {
    simulate(async {
        let mut lab = booted("", Unit::default()).await;
        becomes(&lab, Word::Ready).await;
        order(&lab, Command::Stop);
        becomes(&lab, Word::Stopped).await;
        lab.kill();
        lab.boot();
        lab.pass(Duration::from_secs(120)).await;
        assert_eq!(lab.systemd.unit(UNIT).active, ActiveState::Inactive, "a stop outlives the daemon");
        order(&lab, Command::Start);
        becomes(&lab, Word::Ready).await;
        let run = lab.systemd.unit(UNIT).invocation;
        order(&lab, Command::Restart);
        lab.pass(ENOUGH).await;
        becomes(&lab, Word::Ready).await;
        assert_ne!(lab.systemd.unit(UNIT).invocation, run);
        order(&lab, Command::Suspend);
        becomes(&lab, Word::Suspended).await;
        let calls = lab.systemd.calls().len();
        lab.systemd.kill(UNIT);
        lab.pass(Duration::from_secs(120)).await;
        assert_eq!(lab.systemd.calls().len(), calls);
        order(&lab, Command::Resume);
        becomes(&lab, Word::Ready).await;
    });
}

#[test]
fn a_bus_that_is_away_makes_nothing_dead_and_its_return_heals() {
    simulate(async {
        let lab = booted("", Unit::default()).await;
        becomes(&lab, Word::Ready).await;
        let calls = lab.systemd.calls().len();
        lab.systemd.away(Some("connection refused"));
        becomes(&lab, Word::Unknown).await;
        lab.pass(Duration::from_secs(300)).await;
        assert_eq!(lab.systemd.calls().len(), calls);
        lab.systemd.kill(UNIT);
        lab.systemd.away(None);
        becomes(&lab, Word::Ready).await;
    });
}

#[test]
fn a_unit_may_depend_on_a_container() {
    simulate(async {
        let lab = Lab::new(&sketch([service("web").probe()]), 1);
        lab.systemd.install(UNIT, Unit::default());
        let web = "  web: {image: \"web:1\", healthcheck: {http: {port: 80, path: /}, interval: 1s}}\n";
        lab.write_yaml(&format!(
            "apiVersion: aiplat/v1\nname: test\nservices:\n  ollama:\n    provider: {{type: systemd, options: {{unit: ollama}}}}\n    \
             depends_on: {{web: {{condition: service_healthy, restart: true}}}}\n{web}"
        ));
        let mut lab = lab;
        lab.boot();
        lab.pass(ENOUGH).await;
        becomes(&lab, Word::Ready).await;
        assert_eq!(web_runs(&lab), 1);
        lab.host.by_hand(|engine| engine.kill("test-web")).expect("it runs");
        lab.pass(ENOUGH).await;
        becomes(&lab, Word::Ready).await;
        assert_eq!(lab.systemd.calls(), ["start ollama.service", "restart ollama.service"]);
    });
}
