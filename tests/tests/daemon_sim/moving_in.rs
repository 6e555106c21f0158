//! Moving in on a machine where a unit runs already: what others have laid over it, its data, its mask, and a second one.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use aiplat_core::{
    ResourceId,
    condition::{ConditionType, Reason, Status, Word},
    observed::{Instance, InstanceOwner, LoadState},
    plan::{self, Command},
};
use aiplat_tests::{
    build::{service, sketch},
    lab::{Lab, compiled_yaml, simulate},
    sim::{human::Foreign, systemd::Unit},
};

use super::units::{ENOUGH, HOST, UNIT, becomes, booted, condition, file, order, summary};

const LATE: &str = "/etc/systemd/system/ollama.service.d/90-local.conf";
const EARLY: &str = "/etc/systemd/system/ollama.service.d/10-early.conf";
const HOME: &str = "/usr/share/ollama";

fn map<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// What `diff` says of a file that is not in force: the sentences worth knowing, what is blocked, and the actions on the unit.
async fn foretold(lab: &Lab, yaml: &str) -> (Vec<String>, Vec<String>, Vec<String>) {
    let wanted = compiled_yaml(yaml);
    let reply = aiplatd::spec::diff(lab.shared(), Some((Some(wanted), String::new()))).await.expect("a plan");
    let of_unit = |id: &ResourceId| *id == ResourceId::unit("ollama");
    let actions = reply.preview.waves.iter().flat_map(|wave| &wave.actions);
    let sentences = |pairs: Vec<(ResourceId, String)>| pairs.into_iter().map(|(_, text)| text).collect();
    (
        sentences(reply.preview.notes.clone()),
        reply.preview.blocked.iter().filter(|(id, _)| of_unit(id)).map(|(_, text)| text.clone()).collect(),
        actions.filter(|it| of_unit(&it.resource)).map(|it| it.verb.clone()).collect(),
    )
}

/// A machine whose unit runs, and a daemon that does not know it yet.
async fn strange(unit: Unit) -> Lab {
    let mut lab = Lab::new(&sketch([service("web")]), 1);
    lab.systemd.install(UNIT, unit);
    lab.systemd.start_by_hand(UNIT);
    lab.write_yaml("apiVersion: aiplat/v1\nname: test\nservices: {web: {image: \"web:1\"}}\n");
    lab.boot();
    lab.pass(ENOUGH).await;
    lab
}

#[test]
fn the_first_diff_names_each_variable_that_others_set_and_who_wins() {
    simulate(async {
        let mut unit = Unit {
            others: BTreeMap::from([
                (LATE.to_owned(), map([("A", "late"), ("TOKEN", "canary")])),
                (EARLY.to_owned(), map([("B", "early")])),
            ]),
            ..Unit::default()
        };
        unit.seen.environment = map([("C", "own"), ("SAME", "1")]);
        unit.seen.unset = BTreeSet::from(["D".to_owned()]);
        let lab = strange(unit).await;
        let yaml = file("    environment: {A: x, B: x, C: x, D: x, E: x, SAME: \"1\", TOKEN: mine}\n");
        let (notes, _, actions) = foretold(&lab, &yaml).await;
        assert_eq!(
            notes,
            [
                "A: the file says `x`, and /etc/systemd/system/ollama.service.d/90-local.conf.env, named in \
                 /etc/systemd/system/ollama.service.d/90-local.conf says `late` and wins; change it there, or take A out of \
                 `environment:`",
                "B: the file says `x`, and wins over `early` in /etc/systemd/system/ollama.service.d/10-early.conf.env, named in \
                 /etc/systemd/system/ollama.service.d/10-early.conf",
                "C: the file says `x`, and wins over `own` in /usr/lib/systemd/system/ollama.service",
                "D: the file says `x`, and `UnsetEnvironment=` of the unit says not set and wins; change it there, or take D out of \
                 `environment:`",
                "TOKEN: the file says `<redacted>`, and /etc/systemd/system/ollama.service.d/90-local.conf.env, named in \
                 /etc/systemd/system/ollama.service.d/90-local.conf says `<redacted>` and wins; change it there, or take TOKEN out of \
                 `environment:`",
            ]
        );
        assert_eq!(actions, ["write", "restart"]);
        // What was foretold is what comes.
        lab.write_yaml(&yaml);
        lab.pass(ENOUGH).await;
        let effective = lab.systemd.unit(UNIT).effective.expect("it runs");
        assert_eq!(
            effective,
            map([("A", "late"), ("B", "x"), ("C", "x"), ("E", "x"), ("SAME", "1"), ("TOKEN", "canary")])
        );
        assert_eq!(
            condition(&lab, ConditionType::Overridden),
            (Status::True, Reason::EnvironmentOverridden),
            "{:?}",
            summary(&lab)
        );
        becomes(&lab, Word::Degraded).await;
        let (later, _, actions) = foretold(&lab, &yaml).await;
        assert_eq!(
            (later.len(), actions),
            (3, Vec::<String>::new()),
            "who has lost is not repeated: {later:?}"
        );
        // Its author takes it away.
        lab.systemd.by_hand(UNIT, |unit| {
            unit.others.clear();
            unit.seen.unset.clear();
        });
        lab.systemd.restart_by_hand(UNIT);
        becomes(&lab, Word::Ready).await;
        assert_eq!(condition(&lab, ConditionType::Overridden), (Status::False, Reason::AsDesired));
    });
}

#[test]
fn what_somebody_else_decides_is_no_reason_to_restart_a_unit_that_runs() {
    simulate(async {
        let unit =
            Unit { others: BTreeMap::from([(LATE.to_owned(), map([("A", "late")]))]), ..Unit::default() };
        let lab = strange(unit).await;
        let run = lab.systemd.unit(UNIT).invocation;
        lab.write_yaml(&file("    environment: {A: x}\n"));
        lab.pass(Duration::from_secs(600)).await;
        becomes(&lab, Word::Degraded).await;
        assert_eq!(lab.systemd.unit(UNIT).invocation, run, "{:?}", lab.systemd.calls());
    });
}

#[test]
fn describe_names_the_file_of_each_variable_and_no_secret() {
    simulate(async {
        let mut unit = Unit {
            others: BTreeMap::from([(LATE.to_owned(), map([("A", "late"), ("API_KEY", "canary")]))]),
            wrapped: map([("W", "program")]),
            ..Unit::default()
        };
        unit.seen.environment = map([("C", "own")]);
        let lab = booted("    environment: {A: x, B: \"2\", W: mine}\n", unit).await;
        becomes(&lab, Word::Degraded).await;
        let document = aiplatd::status::document(lab.shared(), 0);
        let service =
            document.services.into_iter().find(|service| service.name == "ollama").expect("it is there");
        let environment = service.detail.unit.expect("it is a unit").environment;
        let seen: Vec<(&str, &str, bool)> =
            environment.iter().map(|it| (it.name.as_str(), it.value.as_str(), it.ours)).collect();
        assert_eq!(
            seen,
            [
                ("A", "late", false),
                ("API_KEY", "<redacted>", false),
                ("B", "2", true),
                ("C", "own", false),
                ("W", "program", false)
            ]
        );
        assert!(environment[0].from.ends_with(LATE), "{environment:?}");
        assert_eq!(environment[3].from, "/usr/lib/systemd/system/ollama.service");
        assert!(environment[4].from.starts_with("its process"), "{environment:?}");
    });
}

fn variable(lab: &Lab, name: &str) -> (String, String) {
    let document = aiplatd::status::document(lab.shared(), 0);
    let service =
        document.services.into_iter().find(|service| service.name == "ollama").expect("it is there");
    let environment = service.detail.unit.expect("it is a unit").environment;
    let found = environment.into_iter().find(|it| it.name == name).expect("it is said");
    (found.value, found.from)
}

#[test]
fn a_later_drop_in_that_makes_our_file_void_is_named_and_no_restart_is_tried() {
    simulate(async {
        let lab = booted(HOST, Unit::default()).await;
        becomes(&lab, Word::Ready).await;
        lab.systemd.by_hand(UNIT, |unit| unit.void = Some(LATE.to_owned()));
        lab.systemd.reload_by_hand();
        lab.systemd.restart_by_hand(UNIT);
        becomes(&lab, Word::Degraded).await;
        let calls = lab.systemd.calls();
        lab.pass(Duration::from_secs(300)).await;
        assert_eq!(lab.systemd.calls(), calls);
        assert_eq!(condition(&lab, ConditionType::Overridden), (Status::True, Reason::EnvironmentOverridden));
        let (_, message) = summary(&lab);
        let said = "OLLAMA_HOST: the file says `0.0.0.0`, and the empty `EnvironmentFile=` in \
                    /etc/systemd/system/ollama.service.d/90-local.conf";
        assert!(message.contains(said), "{message}");
        let (notes, _, _) = foretold(&lab, &file(HOST)).await;
        assert!(notes.iter().any(|note| note.starts_with(said)), "{notes:?}");
        assert!(!message.contains("write `OLLAMA_HOST"), "it is there already: {message}");
    });
}

#[test]
fn describe_tells_what_runs_from_what_the_next_start_will_be_given() {
    simulate(async {
        let lab = booted("    environment: {KEEP: 5m}\n", Unit::default()).await;
        becomes(&lab, Word::Ready).await;
        lab.systemd.by_hand(UNIT, |unit| {
            unit.others.insert(LATE.to_owned(), map([("KEEP", "1h"), ("FOO", "x")]));
        });
        lab.pass(ENOUGH).await;
        let (value, from) = variable(&lab, "KEEP");
        assert_eq!(value, "5m");
        assert!(from.starts_with("its process, as /var/lib/aiplatd/units/ollama.service.env"), "{from}");
        let next = format!("from its next start on {LATE}.env, named in {LATE} counts, which says `1h`");
        assert!(from.ends_with(&next), "{from}");
        let (value, from) = variable(&lab, "FOO");
        assert_eq!(value, "(not set)");
        assert!(from.contains("was started without it; from its next start on"), "{from}");
    });
}

const MODELS: &str = "    environment: {OLLAMA_MODELS: /data/models}\n";

fn with_models() -> Unit {
    let mut unit = Unit::default();
    unit.seen.user = "ollama".to_owned();
    unit.seen.home = Some(HOME.to_owned());
    unit
}

fn fill(lab: &Lab, folder: &str) {
    lab.systemd.fill(&format!("{folder}/manifests"), &["library/llama3/8b"]);
    lab.systemd.fill(&format!("{folder}/blobs"), &["sha256-1", "sha256-2-partial-0"]);
}

#[test]
fn a_unit_is_not_sent_to_a_folder_that_lacks_its_models() {
    simulate(async {
        let lab = strange(with_models()).await;
        fill(&lab, "/usr/share/ollama/.ollama/models");
        let run = lab.systemd.unit(UNIT).invocation;
        let (_, blocked, actions) = foretold(&lab, &file(MODELS)).await;
        let command = "`mkdir -p /data/models && cp -a /usr/share/ollama/.ollama/models/. /data/models/ && chown -R ollama: \
                       /data/models`";
        assert!(blocked.iter().any(|it| it.contains(command)), "{blocked:?}");
        assert_eq!(actions, Vec::<String>::new());

        lab.write_yaml(&file(MODELS));
        lab.pass(ENOUGH).await;
        assert_eq!(condition(&lab, ConditionType::Held), (Status::True, Reason::DataLeftBehind));
        let (word, message) = summary(&lab);
        assert_eq!(word, Word::Degraded, "it serves: {message}");
        assert!(message.contains(command), "{message}");
        // Neither it nor its dependants are touched, whatever happens to it.
        lab.pass(Duration::from_secs(600)).await;
        assert_eq!(lab.systemd.calls(), Vec::<String>::new());
        assert_eq!(lab.differences(), ["unit/ollama: runs with OLLAMA_MODELS=None and not /data/models"]);
        assert_eq!(lab.systemd.unit(UNIT).invocation, run);

        // Half of a copy is not enough.
        lab.systemd.fill("/data/models/manifests", &["library/llama3/8b"]);
        lab.pass(ENOUGH).await;
        assert_eq!(lab.systemd.calls(), Vec::<String>::new());
        assert!(summary(&lab).1.contains("(1 file, blobs/sha256-1)"), "{:?}", summary(&lab));
        lab.systemd.fill("/data/models/blobs", &["sha256-1"]);
        becomes(&lab, Word::Ready).await;
        let effective = lab.systemd.unit(UNIT).effective.expect("it runs");
        assert_eq!(effective.get("OLLAMA_MODELS").map(String::as_str), Some("/data/models"));
    });
}

#[test]
fn an_empty_store_and_one_that_is_there_hold_up_nobody() {
    simulate(async {
        for is_filled in [false, true] {
            let mut lab = strange(with_models()).await;
            if is_filled {
                fill(&lab, "/usr/share/ollama/.ollama/models");
                fill(&lab, "/data/models");
            }
            lab.write_yaml(&file(MODELS));
            lab.pass(ENOUGH).await;
            becomes(&lab, Word::Ready).await;
            assert!(lab.systemd.unit(UNIT).effective.is_some_and(|it| it.contains_key("OLLAMA_MODELS")));
            lab.kill();
        }
    });
}

#[test]
fn the_way_back_is_watched_as_well_also_of_a_unit_that_does_not_run() {
    simulate(async {
        let lab = booted(MODELS, with_models()).await;
        becomes(&lab, Word::Ready).await;
        fill(&lab, "/data/models");
        // Without the variable it would look at home again.
        lab.write_yaml(&file(""));
        lab.pass(ENOUGH).await;
        assert_eq!(condition(&lab, ConditionType::Held), (Status::True, Reason::DataLeftBehind));
        lab.systemd.stop_by_hand(UNIT);
        lab.pass(ENOUGH).await;
        assert_eq!(condition(&lab, ConditionType::Held), (Status::True, Reason::DataLeftBehind));
        // The file is as it was.
        lab.write_yaml(&file(MODELS));
        lab.pass(ENOUGH).await;
        assert_eq!(condition(&lab, ConditionType::Held).0, Status::False, "{:?}", summary(&lab));
    });
}

#[test]
fn a_masked_unit_that_runs_serves_on_and_says_that_it_will_not_come_back() {
    simulate(async {
        let lab = booted("", Unit::default()).await;
        becomes(&lab, Word::Ready).await;
        lab.systemd.mask_by_hand(UNIT);
        becomes(&lab, Word::Degraded).await;
        let (_, message) = summary(&lab);
        assert!(message.contains("is masked") && message.contains("does not come back"), "{message}");
        assert_eq!(condition(&lab, ConditionType::UnitLoaded), (Status::False, Reason::UnitMasked));
        assert_eq!(condition(&lab, ConditionType::Ready).0, Status::True);
        // Once it has ended its dependants wait, and nobody starts it.
        lab.systemd.kill(UNIT);
        becomes(&lab, Word::Pending).await;
        assert_eq!(lab.systemd.calls(), ["start ollama.service"]);
    });
}

#[test]
fn full_management_takes_the_mask_from_a_unit_that_runs() {
    simulate(async {
        let lab = booted("    management: full\n", Unit::default()).await;
        becomes(&lab, Word::Ready).await;
        let run = lab.systemd.unit(UNIT).invocation;
        lab.systemd.mask_by_hand(UNIT);
        lab.pass(ENOUGH).await;
        becomes(&lab, Word::Ready).await;
        let unit = lab.systemd.unit(UNIT);
        assert_eq!((unit.load, unit.invocation), (LoadState::Loaded, run));
        assert_eq!(
            lab.systemd.calls(),
            ["start ollama.service", "unmask ollama.service", "reload systemd (daemon-reload)"]
        );
    });
}

#[test]
fn full_management_takes_the_mask_from_a_unit_that_has_failed() {
    simulate(async {
        let lab = booted("    management: full\n", Unit::default()).await;
        becomes(&lab, Word::Ready).await;
        lab.systemd.mask_by_hand(UNIT);
        lab.systemd.kill(UNIT);
        lab.pass(ENOUGH).await;
        becomes(&lab, Word::Ready).await;
        assert_eq!(
            lab.systemd.calls(),
            [
                "start ollama.service",
                "unmask ollama.service",
                "reload systemd (daemon-reload)",
                "start ollama.service"
            ],
            "systemd does not look at the mask of what has failed before a reload"
        );
    });
}

#[test]
fn full_management_takes_the_mask_from_a_unit_that_was_stopped_and_that_others_keep_in_memory() {
    simulate(async {
        let lab = booted("    management: full\n", Unit::default()).await;
        becomes(&lab, Word::Ready).await;
        // `systemctl mask --now`. It is enabled: a target wants it, and systemd does not forget it.
        lab.systemd.mask_by_hand(UNIT);
        lab.systemd.stop_by_hand(UNIT);
        becomes(&lab, Word::Stopped).await;
        assert_eq!(lab.systemd.unit(UNIT).load, LoadState::Loaded);
        assert_eq!(
            lab.systemd.calls(),
            ["start ollama.service", "unmask ollama.service", "reload systemd (daemon-reload)"]
        );
        order(&lab, Command::Start);
        becomes(&lab, Word::Ready).await;
        order(&lab, Command::Stop);
        becomes(&lab, Word::Stopped).await;
        lab.systemd.mask_by_hand(UNIT);
        lab.pass(ENOUGH).await;
        assert_eq!(lab.systemd.unit(UNIT).load, LoadState::Loaded, "{:?}", lab.systemd.calls());
        assert_eq!(lab.systemd.reloads(), 2);
    });
}

fn instance(pid: u32, owner: InstanceOwner, ports: &[u16]) -> Instance {
    Instance { program: "ollama".to_owned(), pid, owner, ports: ports.to_vec() }
}

#[test]
fn a_second_instance_is_named_with_its_port_and_left_alone() {
    simulate(async {
        let lab = booted("", Unit::default()).await;
        becomes(&lab, Word::Ready).await;
        assert_eq!(condition(&lab, ConditionType::SecondInstance).0, Status::False);
        lab.host.by_hand(|engine| {
            engine.add_foreign(&Foreign {
                name: "old-ollama".to_owned(),
                image: Some("docker.io/ollama/ollama:0.6".to_owned()),
                ..Foreign::default()
            })
        });
        let unit = |name: &str| InstanceOwner::Unit(name.to_owned());
        lab.systemd.run_by_hand(vec![
            instance(10, unit(UNIT), &[11434]),
            instance(11, unit("ollama-test.service"), &[11435]),
            // A client listens nowhere.
            instance(12, unit("session-3.scope"), &[]),
        ]);
        lab.pass(Duration::from_secs(120)).await;
        assert_eq!(condition(&lab, ConditionType::SecondInstance), (Status::True, Reason::SecondInstance));
        let message = message(&lab, "ollama");
        for part in [
            "ollama.service",
            "`old-ollama`",
            "ollama/ollama:0.6",
            "ollama-test.service (process 11, port 11435)",
        ] {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert!(!message.contains("session-3"), "{message}");
        assert_eq!(
            summary(&lab),
            (Word::Ready, message),
            "it is said in the list, and no fault of the service"
        );
        assert_eq!(lab.systemd.calls(), ["start ollama.service"]);
        let (notes, ..) = foretold(&lab, &file("")).await;
        assert!(notes.iter().any(|note| note.contains("port 11435")), "{notes:?}");
        let events = lab.shared().lock().events.newest(100);
        assert!(events.iter().any(|event| event.reason == "SecondInstance"), "{events:?}");
    });
}

#[test]
fn two_that_the_file_asks_for_are_meant() {
    simulate(async {
        let mut web = service("web");
        web.image = "ollama/ollama:0.6".to_owned();
        let mut lab = Lab::new(&sketch([web]), 1);
        lab.systemd.install(UNIT, Unit::default());
        let mut two = Unit::default();
        two.seen.program = "ollama".to_owned();
        lab.systemd.install("ollama-two.service", two);
        let entry = |name: &str| format!("    provider: {{type: systemd, options: {{unit: {name}}}}}\n");
        lab.write_yaml(&format!(
            "apiVersion: aiplat/v1\nname: test\nservices:\n  ollama:\n{}  two:\n{}  web: {{image: \"ollama/ollama:0.6\"}}\n",
            entry(UNIT),
            entry("ollama-two.service")
        ));
        let unit = |name: &str| InstanceOwner::Unit(name.to_owned());
        let both =
            vec![instance(10, unit(UNIT), &[11434]), instance(11, unit("ollama-two.service"), &[11435])];
        lab.systemd.run_by_hand(both.clone());
        lab.boot();
        lab.pass(Duration::from_secs(120)).await;
        for name in ["ollama", "two", "web"] {
            assert_eq!(message(&lab, name), "", "{name}");
        }
        // A third one beside them is named, once, with all whom it is one too many to.
        let third = instance(12, InstanceOwner::Nobody, &[11500]);
        lab.systemd.run_by_hand([both, vec![third]].concat());
        lab.pass(Duration::from_secs(120)).await;
        let said = message(&lab, "ollama");
        assert!(said.contains("process 12, port 11500") && !said.contains("11435"), "{said}");
        assert!(
            said.contains("besides ollama.service and ollama-two.service and service `web` as"),
            "{said}"
        );
        for name in ["two", "web"] {
            assert_eq!(message(&lab, name), "", "{name}: one pair is one word");
        }
        let events = lab.shared().lock().events.newest(100);
        assert_eq!(events.iter().filter(|event| event.reason == "SecondInstance").count(), 1);
    });
}

/// The sentence of a second instance of the service.
fn message(lab: &Lab, service: &str) -> String {
    let state = lab.shared().lock();
    let world = state.world(lab.host.now()).expect("a file is in force");
    let id = if service == "web" { ResourceId::container(service) } else { ResourceId::unit(service) };
    let step = plan::plan(&world, &id);
    let found = step.conditions.iter().find(|it| it.kind == ConditionType::SecondInstance);
    found.map(|it| it.message.clone()).unwrap_or_default()
}

#[test]
fn an_edit_that_needs_no_action_is_named_by_diff() {
    simulate(async {
        let lab = booted(HOST, Unit::default()).await;
        becomes(&lab, Word::Ready).await;
        let edited = file(HOST).replace("interval: 1s", "interval: 2s").replace("path: /", "path: /api");
        let wanted = compiled_yaml(&edited);
        let reply =
            aiplatd::spec::diff(lab.shared(), Some((Some(wanted), String::new()))).await.expect("a plan");
        assert_eq!(reply.preview.waves, []);
        assert_eq!(
            reply.without_action,
            [(
                ResourceId::unit("ollama"),
                "healthcheck changed, which aiplatd follows without touching it".to_owned()
            )]
        );
    });
}

#[test]
fn a_unit_that_the_file_has_under_another_name_is_no_second_one() {
    simulate(async {
        let lab = booted("", Unit::default()).await;
        lab.systemd.install("llm.service", Unit::default());
        lab.systemd.by_hand("llm.service", |unit| unit.seen.name = UNIT.to_owned());
        lab.systemd.run_by_hand(vec![instance(10, InstanceOwner::Unit(UNIT.to_owned()), &[11434])]);
        let mut yaml = file("").replace(UNIT, "llm.service");
        yaml.push_str("  other: {image: \"ollama/ollama:1\"}\n");
        let (notes, ..) = foretold(&lab, &yaml).await;
        assert_eq!(notes, Vec::<String>::new());
    });
}
