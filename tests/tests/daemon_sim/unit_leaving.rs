//! What a unit leaves: its entry, its name, the folder of its data. Nothing that runs is given up for what cannot take its place, and
//! `diff` knows of it beforehand.

use std::time::Duration;

use aiplat_core::{
    ResourceId,
    condition::{ConditionType, Reason, Status, Word},
    observed::ActiveState,
    plan, status,
};
use aiplat_tests::{
    build::{service, sketch},
    lab::{Lab, compiled_yaml, simulate},
    sim::systemd::Unit,
};

use crate::units::{ENOUGH, UNIT, becomes, booted, condition, file, summary};

const NOBODY: &str = "apiVersion: aiplat/v1\nname: test\nservices: {web: {image: \"web:1\"}}\n";
const AT_HOME: &str = "/usr/share/ollama/.ollama/models";

/// A platform of units alone: name, options, and whether aiplatd writes it.
fn units(entries: &[(&str, &str, bool)]) -> String {
    let entry = |(name, options, is_own): &(&str, &str, bool)| {
        let command = if *is_own { format!("    command: /usr/bin/{name}\n") } else { String::new() };
        format!("  {name}:\n    provider: {{type: systemd, options: {{{options}}}}}\n{command}")
    };
    let entries: String = entries.iter().map(entry).collect();
    format!("apiVersion: aiplat/v1\nname: test\nservices:\n  web: {{image: \"web:1\"}}\n{entries}")
}

async fn running(yaml: &str, packages: &[&str]) -> Lab {
    let mut lab = Lab::new(&sketch([service("web")]), 1);
    for name in packages {
        lab.systemd.install(name, Unit::default());
    }
    lab.write_yaml(yaml);
    lab.boot();
    lab.pass(ENOUGH).await;
    lab
}

async fn foretold(lab: &Lab, yaml: &str) -> (Vec<String>, String, Vec<String>) {
    let wanted = Some((Some(compiled_yaml(yaml)), String::new()));
    let reply = aiplatd::spec::diff(lab.shared(), wanted).await.expect("a plan");
    let actions = reply.preview.waves.iter().flat_map(|wave| &wave.actions);
    let blocked: Vec<String> =
        reply.preview.blocked.iter().map(|(id, text)| format!("{id}: {text}")).collect();
    let notes = reply.preview.notes.into_iter().map(|(_, text)| text).collect();
    (actions.map(|it| it.action.clone()).collect(), blocked.join("\n"), notes)
}

fn said_of(lab: &Lab, name: &str) -> (Word, String) {
    let state = lab.shared().lock();
    let world = state.world(lab.host.now()).expect("a file is in force");
    let id = ResourceId::unit(name);
    let summary = status::summary(&world, &id, &plan::plan(&world, &id));
    (summary.word, summary.message)
}

#[test]
fn what_runs_is_not_stopped_for_a_name_that_cannot_be_used() {
    simulate(async {
        let lab =
            running(&units(&[("noct", "unit: noct.service", true)]), &["backup.service", "m.service"]).await;
        lab.systemd.mask_by_hand("m.service");
        let calls = lab.systemd.calls();
        let run = lab.systemd.unit("noct.service").invocation;
        for (entry, why) in [
            (
                ("noct", "unit: backup.service", true),
                "/usr/lib/systemd/system/backup.service is there already",
            ),
            (("noct", "unit: m.service", true), "m.service is masked"),
            (("noct", "unit: ghost.service", false), "systemd has no unit ghost.service"),
        ] {
            let (actions, blocked, _) = foretold(&lab, &units(&[entry])).await;
            assert_eq!(actions, Vec::<String>::new(), "{why}");
            assert!(blocked.contains(why), "{blocked}");
            lab.write_yaml(&units(&[entry]));
            lab.pass(ENOUGH).await;
            let (_, message) = said_of(&lab, "noct");
            assert!(message.contains(why), "{message}");
            assert!(message.contains("noct.service is left as it is until then"), "{message}");
            assert_eq!(lab.systemd.calls(), calls);
            assert_eq!(lab.systemd.unit("noct.service").invocation, run);
        }
        // Nobody else waits for that.
        lab.systemd.install("late.service", Unit::default());
        let late = "  late:\n    provider: {type: systemd, options: {unit: late.service}}\n    environment: {A: \"1\"}\n";
        lab.write_yaml(&(units(&[("noct", "unit: ghost.service", false)]) + late));
        lab.pass(ENOUGH).await;
        assert_eq!(said_of(&lab, "late").0, Word::Ready, "{:?}", said_of(&lab, "late"));
        assert_eq!(lab.systemd.unit("noct.service").invocation, run);
        // The name becomes free, and the service moves.
        lab.systemd.install("ghost.service", Unit::default());
        lab.pass(Duration::from_secs(90)).await;
        assert_eq!(lab.systemd.unit("noct.service").active, ActiveState::Inactive, "{}", lab.story());
        assert_eq!(lab.systemd.unit("ghost.service").active, ActiveState::Active);
    });
}

#[test]
fn a_drop_in_stays_while_the_new_name_is_only_another_one_of_some_unit() {
    simulate(async {
        let lab = booted("    environment: {OLLAMA_HOST: 0.0.0.0}\n", Unit::default()).await;
        becomes(&lab, Word::Ready).await;
        lab.systemd.install("llm.service", Unit::default());
        lab.systemd.by_hand("llm.service", |unit| unit.seen.name = UNIT.to_owned());
        let calls = lab.systemd.calls();
        lab.write_yaml(&file("    environment: {OLLAMA_HOST: 0.0.0.0}\n").replace(UNIT, "llm.service"));
        lab.pass(ENOUGH).await;
        assert!(
            summary(&lab).1.contains("llm.service is another name of ollama.service"),
            "{:?}",
            summary(&lab)
        );
        assert_eq!(lab.systemd.calls(), calls);
    });
}

#[test]
fn one_reload_is_enough_for_all_that_leave() {
    simulate(async {
        let all = [
            ("zz", "unit: zz.service", true),
            ("backup", "unit: backup.service, on_calendar: daily", true),
            ("noct", "unit: noct.service", true),
        ];
        let lab = running(&units(&all), &[]).await;
        let (actions, ..) = foretold(&lab, &units(&[])).await;
        let reloads = |calls: &[String]| calls.iter().filter(|it| it.starts_with("reload")).count();
        assert_eq!(reloads(&actions), 1, "{actions:?}");
        let before = lab.systemd.calls().len();
        lab.write_yaml(&units(&[]));
        lab.confirm().await;
        lab.pass(ENOUGH).await;
        let calls = lab.systemd.calls().split_off(before);
        assert_eq!(reloads(&calls), 1, "{calls:?}");
        assert!(calls.last().is_some_and(|it| it.starts_with("reload")), "{calls:?}");
        assert!(
            lab.shared().lock().of_systemd().is_empty(),
            "nothing of them is remembered: {}",
            lab.story()
        );
    });
}

fn with_models() -> Unit {
    let mut unit = Unit::default();
    unit.seen.user = "ollama".to_owned();
    unit.seen.home = Some("/usr/share/ollama".to_owned());
    unit
}

fn fill(lab: &Lab, folder: &str) {
    lab.systemd.fill(&format!("{folder}/manifests"), &["library/llama3/8b"]);
    lab.systemd.fill(&format!("{folder}/blobs"), &["sha256-1"]);
}

#[test]
fn a_drop_in_stays_as_long_as_the_models_are_where_it_says() {
    simulate(async {
        let lab = booted("    environment: {OLLAMA_MODELS: /data/models}\n", with_models()).await;
        becomes(&lab, Word::Ready).await;
        fill(&lab, "/data/models");
        let calls = lab.systemd.calls();
        let command = "cp -a /data/models/. /usr/share/ollama/.ollama/models/";
        for yaml in [NOBODY.to_owned(), file("").replace(UNIT, "other.service")] {
            lab.systemd.install("other.service", Unit::default());
            let (actions, blocked, _) = foretold(&lab, &yaml).await;
            assert!(blocked.contains(command), "{blocked}");
            assert!(!actions.iter().any(|it| it.starts_with("remove drop-in")), "{actions:?}");
        }
        lab.write_yaml(NOBODY);
        lab.confirm().await;
        lab.pass(ENOUGH).await;
        assert_eq!(lab.systemd.calls(), calls);
        fill(&lab, AT_HOME);
        lab.pass(Duration::from_secs(60)).await;
        let gone = lab.systemd.calls().split_off(calls.len());
        assert_eq!(gone.len(), 2, "it goes on by itself: {gone:?}");
        assert_eq!(lab.systemd.unit(UNIT).own.drop_in, None);
    });
}

#[test]
fn models_are_not_left_for_a_path_that_nobody_expands_nor_for_another_home() {
    simulate(async {
        for (value, why) in [
            ("OLLAMA_MODELS: relative/x", "`relative/x`, which is no absolute path"),
            ("OLLAMA_MODELS: \"~/models\"", "`~/models`, which is no absolute path"),
            ("HOME: /srv/home", "is to be /srv/home/.ollama/models, which lacks models"),
        ] {
            let lab = booted("", with_models()).await;
            becomes(&lab, Word::Ready).await;
            fill(&lab, AT_HOME);
            let calls = lab.systemd.calls();
            let yaml = file(&format!("    environment: {{{value}}}\n"));
            let (actions, blocked, _) = foretold(&lab, &yaml).await;
            assert_eq!(actions, Vec::<String>::new());
            assert!(blocked.contains(why), "{blocked}");
            lab.write_yaml(&yaml);
            lab.pass(ENOUGH).await;
            assert_eq!(condition(&lab, ConditionType::Held), (Status::True, Reason::DataLeftBehind));
            assert_eq!(lab.systemd.calls(), calls);
        }
    });
}

#[test]
fn a_drop_in_that_only_observing_leaves_behind_is_spoken_of() {
    simulate(async {
        let lab = booted("    environment: {OLLAMA_HOST: 0.0.0.0}\n", Unit::default()).await;
        becomes(&lab, Word::Ready).await;
        let calls = lab.systemd.calls();
        let yaml = file("    management: observe\n");
        let (actions, _, notes) = foretold(&lab, &yaml).await;
        assert_eq!(actions, Vec::<String>::new());
        let path = lab.systemd.unit(UNIT).own.drop_in_path;
        let is_it = |note: &String| note.starts_with(&format!("{path} stays"));
        assert!(notes.iter().any(is_it), "{notes:?}");
        lab.write_yaml(&yaml);
        lab.pass(ENOUGH).await;
        assert_eq!(lab.systemd.calls(), calls);
        lab.systemd.drop_in_by_hand(UNIT, None);
        let (_, _, notes) = foretold(&lab, &yaml).await;
        assert!(!notes.iter().any(is_it), "{notes:?}");
    });
}

#[test]
fn what_serves_is_degraded_and_no_less_while_its_edit_cannot_be_written() {
    simulate(async {
        let lab = booted("    environment: {OLLAMA_HOST: 0.0.0.0}\n", Unit::default()).await;
        becomes(&lab, Word::Ready).await;
        lab.disk.fill(true);
        lab.write_yaml(&file("    environment: {OLLAMA_HOST: 0.0.0.0, KEEP: \"1\"}\n"));
        lab.pass(ENOUGH).await;
        assert_eq!(summary(&lab).0, Word::Degraded, "{:?}", summary(&lab));
        lab.disk.fill(false);
        becomes(&lab, Word::Ready).await;
    });
}

#[test]
fn the_first_diff_takes_a_unit_that_runs_to_be_ready() {
    simulate(async {
        let mut lab = Lab::new(&sketch([service("web")]), 1);
        lab.systemd.install(UNIT, Unit::default());
        lab.systemd.start_by_hand(UNIT);
        lab.write_yaml("apiVersion: aiplat/v1\nname: test\nservices: {}\n");
        lab.boot();
        lab.pass(ENOUGH).await;
        let wanted = Some((Some(compiled_yaml(&file(""))), String::new()));
        let preview = aiplatd::spec::diff(lab.shared(), wanted).await.expect("a plan").preview;
        assert_eq!(preview.blocked, []);
        let actions: Vec<String> =
            preview.waves.iter().flat_map(|wave| &wave.actions).map(|it| it.action.clone()).collect();
        assert!(actions.iter().any(|it| it.contains("start")), "{actions:?}");
    });
}
