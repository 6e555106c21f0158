//! The stages of a unit's readiness: each lost by itself, with its reason, its cure and what was found out when it happened.

use std::{net::IpAddr, time::Duration};

use aiplat_core::{
    ResourceId,
    condition::{ConditionType, Reason, Status, Word},
    observed::{ContainerId, Holder, Listener, Owner, Reach, UnitDiagnosis},
    status,
};
use aiplat_tests::{
    build::{service, sketch},
    lab::{Lab, simulate},
    sim::{
        App,
        human::Foreign,
        listening::GATEWAY,
        systemd::{Program, Restarts, Unit},
    },
};

use crate::units::{ENOUGH, UNIT, becomes, booted, condition, file, machine, summary, web_runs};

fn listening_at(addresses: &str) -> String {
    format!("    environment: {{LISTEN: \"{addresses}\"}}\n")
}

fn diagnosis(lab: &Lab) -> Option<UnitDiagnosis> {
    lab.shared().lock().observed.diagnoses.get(&ResourceId::unit("ollama")).cloned()
}

fn chain(lab: &Lab, id: &ResourceId) -> Vec<String> {
    let state = lab.shared().lock();
    let world = state.world(lab.host.now()).expect("a file is in force");
    status::why(&world, id).into_iter().map(|link| link.sentence).collect()
}

/// Waits until the condition `kind` of the unit is `status` for `reason`.
async fn says(lab: &Lab, kind: ConditionType, status: Status, reason: Reason) {
    lab.pass(Duration::from_secs(1)).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
    while condition(lab, kind) != (status, reason) {
        assert!(
            tokio::time::Instant::now() < deadline,
            "{kind} is {:?}\n{}",
            condition(lab, kind),
            lab.story()
        );
        lab.pass(Duration::from_millis(50)).await;
    }
}

#[test]
fn a_unit_that_is_well_has_reached_each_stage() {
    simulate(async {
        let lab = booted("", Unit::default()).await;
        becomes(&lab, Word::Ready).await;
        says(&lab, ConditionType::Reachable, Status::True, Reason::Reached).await;
        assert_eq!(condition(&lab, ConditionType::Active), (Status::True, Reason::Running));
        assert_eq!(condition(&lab, ConditionType::Listening), (Status::True, Reason::Listens));
        assert_eq!(condition(&lab, ConditionType::Healthy), (Status::True, Reason::ProbePassed));
        assert_eq!(diagnosis(&lab), None, "nothing was lost");
    });
}

#[test]
fn a_stage_is_not_judged_before_the_one_that_it_needs() {
    simulate(async {
        let lab = booted("    restart: \"no\"\n", Unit::default()).await;
        becomes(&lab, Word::Ready).await;
        lab.systemd.kill(UNIT);
        lab.pass(ENOUGH).await;
        assert_eq!(condition(&lab, ConditionType::Active).0, Status::False);
        for kind in [ConditionType::Listening, ConditionType::Reachable, ConditionType::Healthy] {
            assert_eq!(condition(&lab, kind), (Status::Unknown, Reason::WaitingForStage), "{kind}");
        }
    });
}

#[test]
fn nobody_listens_is_told_from_a_bad_answer_and_looked_into_once() {
    simulate(async {
        let lab = booted(&listening_at("none"), Unit::default()).await;
        says(&lab, ConditionType::Listening, Status::False, Reason::NobodyListens).await;
        let (word, message) = summary(&lab);
        assert!(word == Word::NotReady && message.contains("nobody listens on port 11434"), "{message}");
        assert_eq!(condition(&lab, ConditionType::Active), (Status::True, Reason::Running));
        assert_eq!(condition(&lab, ConditionType::Healthy), (Status::Unknown, Reason::WaitingForStage));
        assert_eq!(condition(&lab, ConditionType::Ready), (Status::False, Reason::NobodyListens));
        assert_eq!(web_runs(&lab), 0, "its dependant waits");
        lab.pass(Duration::from_secs(600)).await;
        assert_eq!(lab.systemd.fetched(), 1, "the journal is fetched when it happens, and not again");
        let found = diagnosis(&lab).expect("it was looked into");
        assert_eq!((found.stage, found.mended), (ConditionType::Listening, false));
        assert_eq!(
            (found.journal.join("\n"), found.state.as_str()),
            (format!("{UNIT} is up"), "active (running)")
        );
        assert!(found.transcript.contains("refused"), "{found:?}");
        lab.write_yaml(&file(&listening_at("0.0.0.0")));
        becomes(&lab, Word::Ready).await;
        assert!(diagnosis(&lab).is_some_and(|found| found.mended), "it tells of the past now");
    });
}

#[test]
fn a_unit_that_listens_elsewhere_says_where() {
    simulate(async {
        let lab = booted(&listening_at("127.0.0.2"), Unit::default()).await;
        says(&lab, ConditionType::Listening, Status::False, Reason::ListensElsewhere).await;
        assert!(summary(&lab).1.contains("at 127.0.0.2 only"), "{:?}", summary(&lab));
    });
}

#[test]
fn who_listens_in_its_place_is_named_and_is_in_the_diagnosis() {
    simulate(async {
        let mut lab = machine("", Unit::default());
        let owner = Owner::Container(ContainerId("0123456789abcdef".to_owned()));
        let holder = Holder::Process { pid: 7, name: "ollama".to_owned(), owner };
        let imposter = Listener { address: IpAddr::from([0, 0, 0, 0]), holder };
        lab.systemd.by_hand(UNIT, |unit| unit.imposter = Some(imposter));
        lab.boot();
        says(&lab, ConditionType::Listening, Status::False, Reason::PortHeldByOther).await;
        assert!(summary(&lab).1.contains("held by container 0123456789ab"), "{:?}", summary(&lab));
        lab.pass(ENOUGH).await;
        let found = diagnosis(&lab).expect("it was looked into");
        assert_eq!(found.holders, ["container 0123456789ab (process 7, `ollama`): 0.0.0.0"]);
        lab.systemd.by_hand(UNIT, |unit| unit.imposter = None);
        becomes(&lab, Word::Ready).await;
    });
}

#[test]
fn a_container_that_holds_the_port_is_named_by_its_name_also_on_the_hosts_network_and_behind_the_engines_proxy()
 {
    simulate(async {
        let proxy = Owner::Unit("docker.service".to_owned());
        for (name, owner) in [("nginx", None), ("docker-proxy", Some(proxy))] {
            let mut lab = machine("", Unit::default());
            lab.host.by_hand(|engine| {
                let port = owner.is_some().then_some(11_434);
                drop(engine.add_foreign(&Foreign { name: "lb".to_owned(), port, ..Foreign::default() }));
            });
            let id = lab.host.settle().engine.find("lb").expect("it is there").id.clone();
            let owner = owner.unwrap_or(Owner::Container(ContainerId(id)));
            let holder = Holder::Process { pid: 7, name: name.to_owned(), owner };
            let imposter = Listener { address: IpAddr::from([0, 0, 0, 0]), holder };
            lab.systemd.by_hand(UNIT, |unit| unit.imposter = Some(imposter));
            lab.boot();
            says(&lab, ConditionType::Listening, Status::False, Reason::PortHeldByOther).await;
            let (_, message) = summary(&lab);
            assert!(message.contains("held by container `lb`, which is not ours"), "{message}");
            lab.pass(ENOUGH).await;
            let found = diagnosis(&lab).expect("it was looked into");
            assert!(found.holders[0].contains("container `lb`"), "{:?}", found.holders);
            lab.kill();
        }
    });
}

#[test]
fn a_unit_on_loopback_alone_is_not_reached_and_says_what_to_write() {
    simulate(async {
        let mut lab = machine(&listening_at("127.0.0.1"), Unit::default());
        lab.boot();
        says(&lab, ConditionType::Reachable, Status::False, Reason::ListensOnLoopback).await;
        becomes(&lab, Word::Degraded).await;
        let (_, message) = summary(&lab);
        for part in
            ["127.0.0.1 only", "web cannot reach it", "OLLAMA_HOST: 0.0.0.0", "`environment:` of `ollama`"]
        {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert_eq!(condition(&lab, ConditionType::Ready).0, Status::True);
        lab.pass(ENOUGH).await;
        assert_eq!(web_runs(&lab), 1, "who depends on it is not kept from starting: it would never be tried");
        lab.write_yaml(&file(&listening_at("0.0.0.0")));
        says(&lab, ConditionType::Reachable, Status::True, Reason::Reached).await;
        becomes(&lab, Word::Ready).await;
    });
}

#[test]
fn the_chain_of_who_fails_goes_on_to_the_unit_that_it_cannot_reach() {
    simulate(async {
        let app = App::crashing(Duration::from_secs(2), 1).saying("cannot connect to ollama:11434");
        let mut lab = Lab::new(&sketch([service("web").app(app)]), 1);
        lab.systemd.install(UNIT, Unit::default());
        lab.write_yaml(&file(&listening_at("127.0.0.1")));
        lab.boot();
        says(&lab, ConditionType::Reachable, Status::False, Reason::ListensOnLoopback).await;
        lab.pass(Duration::from_secs(20)).await;
        let chain = chain(&lab, &ResourceId::container("web"));
        let [own, beyond] = chain.as_slice() else { panic!("{chain:#?}") };
        assert!(own.contains("cannot connect to ollama"), "{own}");
        assert!(beyond.starts_with("ollama Reachable=False: ") && beyond.contains("OLLAMA_HOST"), "{beyond}");
    });
}

#[test]
fn without_a_container_that_runs_the_address_alone_is_judged() {
    simulate(async {
        let mut lab = machine("", Unit::default());
        lab.write_yaml(&file("").replace("image: web:1", "image: absent:1\n    pull_policy: never"));
        lab.boot();
        says(&lab, ConditionType::Reachable, Status::True, Reason::ListensForContainers).await;
        assert_eq!(web_runs(&lab), 0);
    });
}

#[test]
fn what_keeps_containers_from_it_is_told_apart_and_found_out_when_it_is_mended() {
    simulate(async {
        for (reach, reason, words) in [
            (Reach::NoAnswer(GATEWAY), Reason::ConnectionTimedOut, "a firewall drops"),
            (Reach::Refused(GATEWAY), Reason::ConnectionRefused, "refused at 172.17.0.1:11434"),
            (Reach::NoRoute(GATEWAY), Reason::NoRoute, "internal: true"),
        ] {
            let mut lab = machine("", Unit::default());
            lab.host.settle().firewall = Some(reach);
            lab.boot();
            says(&lab, ConditionType::Reachable, Status::False, reason).await;
            let (word, message) = summary(&lab);
            assert!(word == Word::Degraded && message.contains(words), "{word} {message}");
            lab.host.settle().firewall = None;
            becomes(&lab, Word::Ready).await;
            assert_eq!(condition(&lab, ConditionType::Reachable), (Status::True, Reason::Reached));
            lab.kill();
        }
    });
}

#[test]
fn the_line_that_tells_why_it_fails_stays_until_it_is_ready_again() {
    simulate(async {
        for restarts in [Restarts::Always, Restarts::No] {
            let words = "panic: no such host";
            let program = Program::Ends(Duration::from_millis(700), 1, words);
            let lab = booted("", Unit { restarts, program, ..Unit::default() }).await;
            assert!(summary(&lab).1.contains(words), "{:?}", summary(&lab));
            for _ in 0..400 {
                lab.pass(Duration::from_millis(50)).await;
                let (mut word, mut message) = summary(&lab);
                if word == Word::Starting && !message.contains(words) {
                    // It has begun this very moment, and is asked in the next.
                    lab.pass(Duration::from_millis(10)).await;
                    (word, message) = summary(&lab);
                }
                // It answers for a moment each time, and then all is well.
                assert!(
                    word == Word::Ready || message.contains(words),
                    "{word}: {message:?}\n{}",
                    lab.story()
                );
            }
            lab.systemd.by_hand(UNIT, |unit| unit.program = Program::Serves);
        }
    });
}

#[test]
fn a_failure_is_written_down_once_with_all_that_was_found_out() {
    simulate(async {
        let words = "cannot open /srv/models: permission denied";
        let program = Program::Ends(Duration::from_millis(50), 3, words);
        let denials = vec!["AppArmor's profile `ollama` denied open of `/srv/models` (r)".to_owned()];
        let lab =
            booted("    restart: \"no\"\n", Unit { program, denials: denials.clone(), ..Unit::default() })
                .await;
        lab.pass(ENOUGH).await;
        let found = diagnosis(&lab).expect("it was looked into");
        assert_eq!((found.stage, found.state.as_str()), (ConditionType::Active, "failed (failed), exit 3"));
        assert_eq!((found.journal, found.denials), (vec![words.to_owned()], denials));
        assert!(summary(&lab).1.contains("denied open of `/srv/models`"), "{:?}", summary(&lab));
    });
}

#[test]
fn of_a_killed_run_no_process_is_named_and_what_follows_it_is_told_apart() {
    simulate(async {
        let lab = booted("    restart: \"no\"\n", Unit::default()).await;
        becomes(&lab, Word::Ready).await;
        let first = lab.systemd.unit(UNIT).invocation;
        lab.systemd.kill(UNIT);
        lab.pass(ENOUGH).await;
        let found = diagnosis(&lab).expect("it was looked into");
        assert_eq!(
            (found.stage, found.state.as_str()),
            (ConditionType::Active, "failed (failed), signal SIGKILL")
        );
        assert_eq!(
            (found.holders, found.transcript.as_str()),
            (Vec::new(), ""),
            "what listened and answered is dead"
        );
        assert_eq!(found.run, first);

        lab.systemd.by_hand(UNIT, |unit| unit.program = Program::Deaf);
        lab.systemd.start_by_hand(UNIT);
        says(&lab, ConditionType::Healthy, Status::False, Reason::ProbeFailed).await;
        lab.pass(ENOUGH).await;
        let found = diagnosis(&lab).expect("it was looked into");
        assert_eq!((found.stage, found.run), (ConditionType::Healthy, lab.systemd.unit(UNIT).invocation));
        assert_eq!(
            (found.state.as_str(), found.holders.len()),
            ("active (running)", 1),
            "{:?}",
            found.holders
        );
        let document = aiplatd::status::document(lab.shared(), 0);
        let service =
            document.services.into_iter().find(|service| service.name == "ollama").expect("it is there");
        let detail = service.detail.unit.and_then(|unit| unit.diagnosis).expect("it is told");
        assert!(detail.before.contains("failed with signal SIGKILL"), "{detail:?}");
    });
}

#[test]
fn no_secret_of_the_file_is_in_a_diagnosis() {
    simulate(async {
        let program = Program::Ends(Duration::from_millis(50), 3, "refused: canary-1 is no token");
        let more = "    restart: \"no\"\n    environment: {API_TOKEN: canary-1}\n";
        let lab = booted(more, Unit { program, ..Unit::default() }).await;
        lab.pass(ENOUGH).await;
        let found = format!("{:?} {}", diagnosis(&lab).expect("it was looked into"), summary(&lab).1);
        assert!(found.contains("is no token") && !found.contains("canary"), "{found}");
    });
}

#[test]
fn a_start_that_takes_too_long_says_so_and_what_comes_of_it_late_counts() {
    simulate(async {
        let unit = Unit { activates_for: Duration::from_secs(300), ..Unit::default() };
        let lab = booted("", unit).await;
        says(&lab, ConditionType::Active, Status::False, Reason::ActivatingTooLong).await;
        let (word, message) = summary(&lab);
        assert!(
            word == Word::NotReady && message.contains("systemctl status ollama.service"),
            "{word} {message}"
        );
        lab.pass(Duration::from_secs(250)).await;
        becomes(&lab, Word::Ready).await;
        assert_eq!(lab.systemd.calls(), ["start ollama.service"], "nothing is done about it");
    });
}

#[test]
fn a_disabled_unit_is_started_by_us_and_left_alone_where_it_is_only_observed() {
    simulate(async {
        let disabled = || {
            let mut unit = Unit::default();
            unit.seen.file_state = "disabled".to_owned();
            unit
        };
        let lab = booted("", disabled()).await;
        becomes(&lab, Word::Ready).await;
        assert_eq!(condition(&lab, ConditionType::UnitLoaded), (Status::True, Reason::UnitDisabled));

        let lab = booted("    management: observe\n", disabled()).await;
        says(&lab, ConditionType::Active, Status::False, Reason::UnitDisabled).await;
        assert!(summary(&lab).1.contains("systemctl enable ollama.service"), "{:?}", summary(&lab));
        lab.systemd.start_by_hand(UNIT);
        becomes(&lab, Word::Ready).await;
        assert_eq!(lab.systemd.calls(), Vec::<String>::new());
    });
}

#[test]
fn an_observed_unit_that_fails_is_not_said_to_be_restarted() {
    simulate(async {
        let lab = booted("    management: observe\n", Unit::default()).await;
        lab.systemd.start_by_hand(UNIT);
        becomes(&lab, Word::Ready).await;
        lab.systemd.kill(UNIT);
        says(&lab, ConditionType::Active, Status::False, Reason::UnitFailed).await;
        assert!(summary(&lab).1.contains("`systemctl start ollama.service`"), "{:?}", summary(&lab));
        lab.systemd.start_by_hand(UNIT);
        becomes(&lab, Word::Ready).await;
        lab.systemd.stop_by_hand(UNIT);
        says(&lab, ConditionType::Active, Status::False, Reason::StoppedByAdministrator).await;
        assert_eq!(lab.systemd.calls(), Vec::<String>::new());
    });
}
