//! Units whose file is aiplatd's: written, read, started, edited, taken away, and never anybody else's.

use std::time::Duration;

use aiplat_core::{
    Kind, ResourceId,
    condition::{ConditionType, Reason, Status, Word},
    observed::ActiveState,
    plan, status,
};
use aiplat_tests::{
    build::{service, sketch},
    lab::{Lab, compiled_yaml, simulate},
    sim::systemd::{Program, Unit},
};

const UNIT: &str = "my-agent.service";
const TIMER: &str = "my-agent.timer";
const ENOUGH: Duration = Duration::from_secs(10);
const NOBODY: &str = "apiVersion: aiplat/v1\nname: test\nservices: {web: {image: \"web:1\"}}\n";

/// A service with the entry `entry`, and a container that depends on it.
fn file(entry: &str) -> String {
    format!(
        "apiVersion: aiplat/v1\nname: test\nservices:\n  agent:\n{entry}  web:\n    image: web:1\n    \
         depends_on: {{agent: {{condition: service_healthy, restart: true}}}}\n"
    )
}

/// A unit of ours that runs `command`; `more` are lines of its entry.
fn own(command: &str, more: &str) -> String {
    file(&format!(
        "    provider: {{type: systemd, options: {{unit: {UNIT}}}}}\n    command: {command}\n{more}"
    ))
}

fn timer(command: &str) -> String {
    file(&format!(
        "    provider: {{type: systemd, options: {{unit: {UNIT}, on_calendar: daily}}}}\n    command: {command}\n"
    ))
}

async fn booted(yaml: &str) -> Lab {
    let mut lab = Lab::new(&sketch([service("web")]), 1);
    lab.write_yaml(yaml);
    lab.boot();
    lab.pass(ENOUGH).await;
    lab
}

async fn becomes(lab: &Lab, word: Word) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
    while summary(lab).0 != word {
        assert!(tokio::time::Instant::now() < deadline, "not {word}: {:?}\n{}", summary(lab), lab.story());
        lab.pass(Duration::from_millis(50)).await;
    }
}

fn summary(lab: &Lab) -> (Word, String) {
    let state = lab.shared().lock();
    let world = state.world(lab.host.now()).expect("a file is in force");
    let id = ResourceId::unit("agent");
    let summary = status::summary(&world, &id, &plan::plan(&world, &id));
    (summary.word, summary.message)
}

fn condition(lab: &Lab, kind: ConditionType) -> (Status, Reason) {
    let state = lab.shared().lock();
    let world = state.world(lab.host.now()).expect("a file is in force");
    let step = plan::plan(&world, &ResourceId::unit("agent"));
    let found = step.conditions.iter().find(|it| it.kind == kind).expect("it is said");
    (found.status, found.reason)
}

/// The calls since there were `before`.
fn since(lab: &Lab, before: usize) -> Vec<String> {
    lab.systemd.calls().split_off(before)
}

fn web_runs(lab: &Lab) -> u32 {
    lab.host.settle().engine.runs.get("web").copied().unwrap_or_default()
}

#[test]
fn a_unit_of_ours_is_written_started_and_waited_for_without_a_reload() {
    simulate(async {
        let lab = booted(&own("/usr/bin/agent --fast", "    environment: {TOKEN: a}\n")).await;
        becomes(&lab, Word::Ready).await;
        assert_eq!(
            lab.systemd.calls(),
            ["write unit file and environment of my-agent.service", "start my-agent.service"]
        );
        let unit = lab.systemd.unit(UNIT);
        let text = unit.own.unit_file.expect("it is written");
        assert!(text.contains("\nExecStart=\"/usr/bin/agent\" \"--fast\"\n"), "{text}");
        assert!(text.contains(&format!("EnvironmentFile={}\n", unit.own.environment_path)), "{text}");
        assert!(
            !text.contains("TOKEN"),
            "its values are root's to read, and its file is everybody's: {text}"
        );
        assert_eq!(unit.effective.expect("it runs").get("TOKEN").map(String::as_str), Some("a"));
        lab.converged_within(ENOUGH).await;
        assert_eq!(web_runs(&lab), 1);
        lab.pass(Duration::from_secs(600)).await;
        assert_eq!(lab.systemd.calls().len(), 2, "a converged unit is left alone");
    });
}

#[test]
fn an_edited_command_is_one_reload_and_one_restart_and_takes_its_follower_along() {
    simulate(async {
        let lab = booted(&own("/usr/bin/agent one", "")).await;
        lab.converged_within(ENOUGH).await;
        lab.write_yaml(&own("/usr/bin/agent two", ""));
        lab.pass(ENOUGH).await;
        becomes(&lab, Word::Ready).await;
        assert_eq!(
            since(&lab, 2),
            [
                "write unit file of my-agent.service",
                "reload systemd (daemon-reload)",
                "restart my-agent.service"
            ]
        );
        lab.systemd.by_hand(UNIT, |unit| {
            assert_eq!(unit.runs, ["\"/usr/bin/agent\" \"one\"", "\"/usr/bin/agent\" \"two\""]);
        });
        lab.converged_within(ENOUGH).await;
        assert_eq!(web_runs(&lab), 2);
    });
}

#[test]
fn an_edited_variable_restarts_without_a_reload_and_a_stop_that_may_take_longer_reloads_without_a_restart() {
    simulate(async {
        let lab = booted(&own("/usr/bin/agent", "    environment: {A: \"1\"}\n")).await;
        lab.converged_within(ENOUGH).await;
        lab.write_yaml(&own("/usr/bin/agent", "    environment: {A: \"2\"}\n"));
        lab.pass(ENOUGH).await;
        assert_eq!(since(&lab, 2), ["write environment of my-agent.service", "restart my-agent.service"]);
        lab.write_yaml(&own("/usr/bin/agent", "    environment: {A: \"2\"}\n    stop_grace_period: 1m\n"));
        lab.pass(ENOUGH).await;
        assert_eq!(since(&lab, 4), ["write unit file of my-agent.service", "reload systemd (daemon-reload)"]);
        // With the last variable goes the file that holds them.
        lab.write_yaml(&own("/usr/bin/agent", "    stop_grace_period: 1m\n"));
        lab.pass(ENOUGH).await;
        let unit = lab.systemd.unit(UNIT);
        assert_eq!((unit.own.environment, unit.effective), (None, Some(Default::default())));
        let write = "write unit file of my-agent.service and remove its environment";
        assert_eq!(since(&lab, 6).first().map(String::as_str), Some(write));
        lab.converged_within(ENOUGH).await;
    });
}

#[test]
fn a_service_that_leaves_the_file_is_stopped_and_nothing_of_it_stays() {
    simulate(async {
        let lab = booted(&own("/usr/bin/agent", "    environment: {A: \"1\"}\n    management: full\n")).await;
        lab.converged_within(ENOUGH).await;
        assert_eq!(lab.systemd.unit(UNIT).file_state, "enabled", "{:?}", lab.systemd.calls());
        let before = lab.systemd.calls().len();
        lab.write_yaml(NOBODY);
        lab.pass(ENOUGH).await;
        assert_eq!(
            since(&lab, before),
            [
                "stop my-agent.service",
                "disable my-agent.service",
                "remove unit file of my-agent.service",
                "reload systemd (daemon-reload)"
            ]
        );
        let unit = lab.systemd.unit(UNIT);
        assert_eq!((unit.own.unit_file, unit.own.environment), (None, None));
        assert_eq!((unit.active, unit.fragment.as_str()), (ActiveState::Inactive, ""));
        let state = lab.shared().lock();
        assert!(state.of_systemd().is_empty(), "nothing of it is remembered");
    });
}

#[test]
fn a_unit_that_somebody_else_brings_is_never_written_over() {
    simulate(async {
        let mut lab = Lab::new(&sketch([service("web")]), 1);
        lab.systemd.install(UNIT, Unit::default());
        lab.write_yaml(&own("/usr/bin/agent", ""));
        lab.boot();
        lab.pass(ENOUGH).await;
        assert_eq!(condition(&lab, ConditionType::NameTaken), (Status::True, Reason::NameTaken));
        let (word, message) = summary(&lab);
        assert_eq!(word, Word::Pending);
        assert!(message.contains("/usr/lib/systemd/system/my-agent.service"), "{message}");
        assert_eq!(lab.systemd.calls(), Vec::<String>::new());
        // Without a command of its own the service is that unit, and nothing of ours is in its way.
        lab.write_yaml(&file("    provider: {type: systemd, options: {unit: my-agent}}\n"));
        becomes(&lab, Word::Ready).await;
        assert_eq!(lab.systemd.calls(), ["start my-agent.service"]);
    });
}

#[test]
fn what_runs_under_a_name_that_is_taken_serves_nobody_and_takes_no_order() {
    simulate(async {
        let mut lab = Lab::new(&sketch([service("web")]), 1);
        lab.systemd.install(UNIT, Unit::default());
        lab.systemd.start_by_hand(UNIT);
        lab.write_yaml(&own("/usr/bin/agent", ""));
        lab.boot();
        lab.pass(ENOUGH).await;
        assert_eq!(lab.systemd.unit(UNIT).active, ActiveState::Active);
        assert_eq!(condition(&lab, ConditionType::Ready), (Status::False, Reason::NameTaken));
        assert_eq!(web_runs(&lab), 0, "its dependant waits");
        let state = lab.shared().lock();
        let world = state.world(lab.host.now()).expect("a file is in force");
        for command in [plan::Command::Start, plan::Command::Stop, plan::Command::Restart] {
            let why = plan::refused(&world, &ResourceId::unit("agent"), command);
            assert!(why.is_some_and(|why| why.contains("choose another `unit:`")), "{command:?}");
        }
        assert_eq!(lab.systemd.calls(), Vec::<String>::new());
    });
}

#[test]
fn a_file_of_an_administrators_is_never_written_over_and_one_that_says_the_same_is_taken_over() {
    simulate(async {
        let mut lab = booted(&own("/usr/bin/agent", "")).await;
        becomes(&lab, Word::Ready).await;
        let text = lab.systemd.unit(UNIT).own.unit_file.expect("it is written");
        lab.kill();
        for (written, word) in
            [("[Service]\nExecStart=/bin/other\n", Word::Pending), (text.as_str(), Word::Ready)]
        {
            let mut lab = Lab::new(&sketch([service("web")]), 1);
            lab.systemd.write_by_hand(UNIT, Some(written));
            lab.write_yaml(&own("/usr/bin/agent", ""));
            lab.boot();
            lab.pass(ENOUGH).await;
            becomes(&lab, word).await;
            assert_eq!(lab.systemd.unit(UNIT).own.unit_file.as_deref(), Some(written));
            lab.kill();
        }
    });
}

#[test]
fn a_file_that_is_edited_or_removed_by_hand_comes_back_and_says_so() {
    simulate(async {
        let lab = booted(&own("/usr/bin/agent", "")).await;
        lab.converged_within(ENOUGH).await;
        let text = lab.systemd.unit(UNIT).own.unit_file;
        let run = lab.systemd.unit(UNIT).invocation;
        for by_hand in [Some("[Service]\nExecStart=/bin/other\n"), None] {
            let before = lab.systemd.calls().len();
            lab.systemd.write_by_hand(UNIT, by_hand);
            lab.pass(ENOUGH).await;
            assert_eq!(lab.systemd.unit(UNIT).own.unit_file, text);
            assert_eq!(
                since(&lab, before),
                ["write unit file of my-agent.service", "reload systemd (daemon-reload)"]
            );
        }
        assert_eq!(lab.systemd.unit(UNIT).invocation, run, "what runs was never anything else");
        let events = lab.shared().lock().events.newest(100);
        let meddled =
            events.iter().filter(|event| event.message.contains("somebody has changed or removed it"));
        assert_eq!(meddled.map(|event| event.count).sum::<u32>(), 2);
        becomes(&lab, Word::Ready).await;
    });
}

#[test]
fn a_file_that_was_removed_and_let_be_missing_is_read_again_under_what_runs() {
    simulate(async {
        let lab = booted(&own("/usr/bin/agent", "")).await;
        lab.converged_within(ENOUGH).await;
        let run = lab.systemd.unit(UNIT).invocation;
        lab.systemd.write_by_hand(UNIT, None);
        lab.systemd.reload_by_hand();
        lab.pass(ENOUGH).await;
        becomes(&lab, Word::Ready).await;
        // What runs may be of a file that nobody has seen: systemd has read what somebody did.
        let calls = [
            "write unit file of my-agent.service",
            "reload systemd (daemon-reload)",
            "restart my-agent.service",
        ];
        assert_eq!(since(&lab, 2), calls);
        assert_ne!(lab.systemd.unit(UNIT).invocation, run);
        lab.pass(Duration::from_secs(600)).await;
        assert_eq!(since(&lab, 5), Vec::<String>::new());
    });
}

#[test]
fn an_edit_by_hand_that_was_let_run_is_undone_with_a_restart() {
    simulate(async {
        let mut lab = booted(&own("/usr/bin/agent", "")).await;
        lab.converged_within(ENOUGH).await;
        lab.kill();
        lab.systemd.write_by_hand(UNIT, Some("[Service]\nExecStart=/bin/other\n"));
        lab.systemd.reload_by_hand();
        lab.systemd.restart_by_hand(UNIT);
        lab.pass(ENOUGH).await;
        lab.boot();
        lab.pass(ENOUGH).await;
        becomes(&lab, Word::Ready).await;
        lab.systemd.by_hand(UNIT, |unit| {
            assert_eq!(unit.runs.last().map(String::as_str), Some("\"/usr/bin/agent\""), "{:?}", unit.runs);
        });
    });
}

#[test]
fn another_name_a_command_that_goes_and_one_that_comes_converge() {
    simulate(async {
        let lab = booted(&own("/usr/bin/agent", "")).await;
        lab.converged_within(ENOUGH).await;
        // Another name: the old unit goes.
        lab.write_yaml(&file("    provider: {type: systemd}\n    command: /usr/bin/agent\n"));
        lab.pass(ENOUGH).await;
        becomes(&lab, Word::Ready).await;
        assert_eq!(lab.systemd.unit(UNIT).own.unit_file, None);
        assert_eq!(lab.systemd.unit("aiplat-agent.service").active, ActiveState::Active);
        // No command any more: it is a unit of somebody else's, which is not there.
        lab.write_yaml(&file("    provider: {type: systemd, options: {unit: aiplat-agent}}\n"));
        lab.pass(ENOUGH).await;
        assert_eq!(condition(&lab, ConditionType::UnitLoaded), (Status::False, Reason::UnitNotFound));
        assert_eq!(lab.systemd.unit("aiplat-agent.service").own.unit_file, None);
        // A vendor's unit, with our drop-in, and then one of ours.
        lab.systemd.install("ollama.service", Unit::default());
        lab.write_yaml(&file(
            "    provider: {type: systemd, options: {unit: ollama}}\n    environment: {A: \"1\"}\n",
        ));
        lab.pass(ENOUGH).await;
        becomes(&lab, Word::Ready).await;
        lab.write_yaml(&own("/usr/bin/agent", "    environment: {A: \"1\"}\n"));
        lab.pass(ENOUGH).await;
        becomes(&lab, Word::Ready).await;
        let vendors = lab.systemd.unit("ollama.service");
        assert_eq!((vendors.own.drop_in, vendors.own.loaded), (None, false));
        assert_eq!(vendors.active, ActiveState::Active, "it is somebody else's, and runs on");
        lab.converged_within(ENOUGH).await;
    });
}

#[test]
fn a_timer_is_started_and_its_runs_are_systemds() {
    simulate(async {
        let lab = booted(&timer("/usr/bin/backup")).await;
        becomes(&lab, Word::Ready).await;
        assert_eq!(
            lab.systemd.calls(),
            [
                "write unit file of my-agent.service",
                "write unit file of my-agent.timer",
                "start my-agent.timer"
            ]
        );
        assert_eq!(condition(&lab, ConditionType::Ready).0, Status::True);
        assert_eq!(web_runs(&lab), 1, "who depends on it does not wait for a run");
        lab.systemd.program("\"/usr/bin/backup\"", Program::Ends(Duration::from_secs(1), 0, ""));
        lab.write_yaml(&timer("/usr/bin/backup all"));
        lab.systemd
            .program("\"/usr/bin/backup\" \"all\"", Program::Ends(Duration::from_secs(1), 3, "no space"));
        lab.pass(ENOUGH).await;
        assert_eq!(
            since(&lab, 3),
            ["write unit file of my-agent.service", "reload systemd (daemon-reload)"],
            "no run is made for an edit"
        );
        lab.systemd.fire(TIMER);
        lab.pass(ENOUGH).await;
        assert_eq!(condition(&lab, ConditionType::Ready), (Status::False, Reason::RunFailed));
        let (_, message) = summary(&lab);
        assert!(message.contains("exit 3") && message.contains("no space"), "{message}");
        {
            let state = lab.shared().lock();
            let world = state.world(lab.host.now()).expect("a file is in force");
            let chain = status::why(&world, &ResourceId::unit("agent"));
            let [why] = chain.as_slice() else { panic!("{chain:?}") };
            let told = (why.sentence.matches("exit 3").count(), why.sentence.matches("no space").count());
            assert_eq!(told, (1, 1), "one run is told of once: {}", why.sentence);
        }
        assert_eq!(lab.systemd.calls().len(), 5, "the next run is its timer's");
        lab.systemd.by_hand(UNIT, |unit| unit.program = Program::Ends(Duration::from_secs(1), 0, ""));
        lab.systemd.fire(TIMER);
        lab.pass(ENOUGH).await;
        becomes(&lab, Word::Ready).await;
        assert_eq!(lab.systemd.calls().len(), 5);
    });
}

#[test]
fn a_timer_that_goes_leaves_the_service_to_run_all_the_time_and_goes_with_it() {
    simulate(async {
        let lab = booted(&timer("/usr/bin/agent")).await;
        becomes(&lab, Word::Ready).await;
        lab.write_yaml(&own("/usr/bin/agent", ""));
        lab.pass(ENOUGH).await;
        becomes(&lab, Word::Ready).await;
        assert_eq!(lab.systemd.unit(TIMER).own.unit_file, None);
        assert_eq!(lab.systemd.unit(UNIT).active, ActiveState::Active);
        lab.write_yaml(&timer("/usr/bin/agent"));
        lab.pass(ENOUGH).await;
        becomes(&lab, Word::Ready).await;
        assert_eq!(lab.systemd.unit(TIMER).active, ActiveState::Active);
        lab.write_yaml(NOBODY);
        lab.pass(ENOUGH).await;
        for name in [UNIT, TIMER] {
            let unit = lab.systemd.unit(name);
            assert_eq!((unit.own.unit_file, unit.active), (None, ActiveState::Inactive), "{name}");
        }
        assert!(lab.shared().lock().of_systemd().is_empty(), "nothing of it is remembered");
    });
}

#[test]
fn a_crash_between_any_two_steps_changes_nothing_of_the_end() {
    simulate(async {
        for crash_after in 1..=6 {
            let mut lab = booted(&own("/usr/bin/agent one", "    environment: {A: \"1\"}\n")).await;
            lab.converged_within(ENOUGH).await;
            for (yaml, last) in [(own("/usr/bin/agent two", ""), true), (NOBODY.to_owned(), false)] {
                let before = lab.systemd.calls().len();
                lab.write_yaml(&yaml);
                let deadline = tokio::time::Instant::now() + ENOUGH;
                while lab.systemd.calls().len() < before + crash_after
                    && tokio::time::Instant::now() < deadline
                {
                    lab.pass(Duration::from_micros(300)).await;
                }
                lab.kill();
                lab.boot();
                lab.pass(ENOUGH).await;
                lab.converged_within(ENOUGH).await;
                let unit = lab.systemd.unit(UNIT);
                assert_eq!(unit.own.unit_file.is_some(), last, "{crash_after}: {:?}", lab.systemd.calls());
                if last {
                    lab.systemd.by_hand(UNIT, |unit| {
                        assert_eq!(unit.runs, ["\"/usr/bin/agent\" \"one\"", "\"/usr/bin/agent\" \"two\""]);
                    });
                }
            }
            lab.kill();
        }
    });
}

#[test]
fn a_diff_of_a_new_unit_of_ours_has_all_that_will_be_done() {
    simulate(async {
        let lab = booted(NOBODY).await;
        let reply = aiplatd::spec::diff(
            lab.shared(),
            Some((Some(compiled_yaml(&timer("/usr/bin/backup"))), String::new())),
        )
        .await
        .expect("a plan");
        let actions = reply.preview.waves.iter().flat_map(|wave| &wave.actions);
        let of_unit = actions.filter(|it| matches!(it.resource.kind, Kind::Unit | Kind::Host));
        let said: Vec<(&str, &str)> = of_unit.map(|it| (it.action.as_str(), it.cause.as_str())).collect();
        let new = "the unit is new, and has no file yet";
        assert_eq!(
            said,
            [
                ("write unit file of my-agent.service", new),
                ("write unit file of my-agent.timer", new),
                ("start my-agent.timer", "it is not started and all it needs is ready")
            ]
        );
    });
}

#[test]
fn no_file_is_written_for_a_unit_while_it_cannot_be_remembered_whose_it_is() {
    simulate(async {
        let ours = own("/usr/bin/agent", "    environment: {A: \"1\"}\n");
        let packages = file(&format!(
            "    provider: {{type: systemd, options: {{unit: {UNIT}}}}}\n    environment: {{A: \"1\"}}\n"
        ));
        for (yaml, is_packaged) in [(ours, false), (packages, true)] {
            let mut lab = booted(NOBODY).await;
            if is_packaged {
                lab.systemd.package(UNIT, Some("[Service]\nExecStart=/usr/bin/packaged\n"));
            }
            lab.disk.fill(true);
            lab.write_yaml(&yaml);
            lab.pass(ENOUGH).await;
            assert_eq!(lab.systemd.calls(), [] as [&str; 0]);
            assert!(
                summary(&lab).1.contains("the ledger, which says whose the file is"),
                "{:?}",
                summary(&lab)
            );
            // The next daemon knows of nothing that was not remembered, and the file in its place is the one before.
            lab.kill();
            lab.write_yaml(NOBODY);
            lab.disk.fill(false);
            lab.boot();
            lab.pass(ENOUGH).await;
            lab.converged_within(ENOUGH).await;
            lab.write_yaml(&yaml);
            lab.converged_within(ENOUGH).await;
        }
    });
}

#[test]
fn a_unit_of_ours_whose_file_somebody_has_removed_is_stopped_with_its_entry() {
    simulate(async {
        for is_read in [false, true] {
            let mut lab = booted(&own("/usr/bin/agent", "")).await;
            lab.converged_within(ENOUGH).await;
            lab.kill();
            lab.systemd.write_by_hand(UNIT, None);
            if is_read {
                lab.systemd.reload_by_hand();
            }
            lab.write_yaml(NOBODY);
            lab.boot();
            lab.pass(ENOUGH).await;
            assert_eq!(lab.systemd.unit(UNIT).active, ActiveState::Inactive, "{}", lab.story());
            lab.converged_within(ENOUGH).await;
        }
    });
}
