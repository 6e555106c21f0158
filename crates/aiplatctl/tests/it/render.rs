//! Documents to text, at the widths that terminals have.

use aiplat_api::v1::{DiagnosisDetail, DiffReply, LogRecord, ServiceStatus, TimerDetail, UnitDetail};
use aiplat_core::{
    ResourceId,
    condition::ConditionType,
    preview::{Preview, PreviewedAction, Wave},
};
use aiplatctl::render::{View, describe, events, lists, logs, plan, status, volumes, why};

use crate::support::docs::{self, NOW};

fn view(width: usize) -> View {
    View { now: NOW.parse().expect("it is a moment"), width: Some(width), wide: false }
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

fn check(name: &str, text: &str) {
    insta::assert_snapshot!(name, plain(text));
}

#[test]
fn services_fit_the_terminal() {
    let doc = docs::broken();
    for width in [60, 80, 120, 200] {
        let text = lists::services(&doc.services, view(width)).render(Some(width));
        assert!(plain(&text).lines().all(|line| line.chars().count() <= width), "{text}");
        check(&format!("services_{width}"), &text);
    }
}

#[test]
fn wide_has_every_column() {
    let doc = docs::broken();
    let wide = View { width: None, wide: true, ..view(0) };
    check("services_wide", &lists::services(&doc.services, wide).render(None));
    check("containers_wide", &lists::containers(&doc, &[], wide).render(None));
}

#[test]
fn every_word_has_its_colour() {
    let text = lists::services(&docs::every_word().services, view(100)).render(Some(100));
    insta::assert_snapshot!("every_word", text.replace('\u{1b}', "ESC"));
}

#[test]
fn what_waits_for_its_timer_says_when_it_runs_next() {
    let mut doc = docs::well();
    let backup = &mut doc.services[1];
    backup.name = "backup".to_owned();
    backup.kind = "unit".to_owned();
    backup.detail.state = Some("active (waiting)".to_owned());
    backup.detail.unit = Some(UnitDetail {
        name: "backup.service".to_owned(),
        management: "configure".to_owned(),
        file: "/etc/systemd/system/backup.service".to_owned(),
        enabled: "disabled".to_owned(),
        written: true,
        timer: Some(TimerDetail {
            name: "backup.timer".to_owned(),
            on_calendar: "daily".to_owned(),
            next: Some("2099-11-21T03:00:00.5Z".to_owned()),
            last: Some("2026-11-19T03:00:00.5Z".to_owned()),
        }),
        ..UnitDetail::default()
    });
    let listed = plain(&lists::services(&doc.services, view(200)).render(Some(200)));
    assert!(listed.contains("runs next at 2099-11-21T03:00:00Z (in "), "{listed}");
    let described = plain(&describe::service(&doc, &doc.services[1], view(100)));
    for part in [
        "backup.service (written by aiplatd)",
        "backup.timer (active (waiting), disabled; daily)",
        "2026-11-19T03:00:00Z",
    ] {
        assert!(described.contains(part), "{part}: {described}");
    }
}

#[test]
fn the_other_lists() {
    use aiplat_core::Kind;
    let doc = docs::broken();
    let width = Some(100);
    check("containers", &lists::containers(&doc, &[], view(100)).render(width));
    check("images", &lists::images(&doc, &[]).render(width));
    check("volumes", &volumes::volumes(&doc, &[], view(100)).render(width));
    check("volumes_measured", &volumes::volumes(&docs::with_volumes(), &[], view(120)).render(Some(120)));
    check("networks", &lists::named(&doc, Kind::Network, &[]).render(width));
    check("gates", &lists::gates(&doc, &[], view(100)).render(width));
    check("endpoints", &lists::endpoints(&doc.services).render(width));
    check("events", &events::events(&doc.events, events::Moment::Age, view(100)).render(width));
}

#[test]
fn a_service_is_described() {
    let doc = docs::broken();
    for (name, width) in [("litellm", 80), ("litellm", 140), ("redis", 100)] {
        let service = doc.services.iter().find(|service| service.name == name).expect("it is there");
        check(&format!("describe_{name}_{width}"), &describe::service(&doc, service, view(width)));
    }
    let found = doc.services.iter().find(|service| service.name == "ollama").expect("it is there");
    let unit = ServiceStatus { detail: docs::ollama_detail(), ..found.clone() };
    check("describe_ollama_120", &describe::service(&doc, &unit, view(120)));
    let measured = docs::with_volumes();
    let volume =
        measured.resources.iter().find(|it| it.id == ResourceId::volume("pgdata")).expect("it is there");
    check("describe_volume", &describe::resource(&measured, volume, view(100)));
    let image = doc.resources.last().expect("there are some");
    check("describe_image", &describe::resource(&doc, image, view(100)));
    check("describe_gate", &describe::gate(&doc, &doc.gates[0], view(100)));
}

#[test]
fn what_was_found_out_of_a_unit_is_one_section() {
    let doc = docs::broken();
    let mut service = doc.services.iter().find(|it| it.name == "redis").expect("it is there").clone();
    let mut unit = UnitDetail { name: "ollama.service".to_owned(), ..UnitDetail::default() };
    unit.journal = vec!["listen tcp 127.0.0.1:11434: bind: address already in use".to_owned()];
    unit.diagnosis = Some(DiagnosisDetail {
        stage: ConditionType::Active,
        time: NOW.to_owned(),
        run: Some("90c1a2b3c4d5".to_owned()),
        state: "failed (failed), exit 1".to_owned(),
        before: String::new(),
        holders: vec!["container 0123456789ab (process 7, `ollama`): 0.0.0.0".to_owned()],
        probe: "GET http://127.0.0.1:11434/api/tags: connection refused".to_owned(),
        denials: vec!["AppArmor's profile `ollama` denied open of `/srv/models` (r)".to_owned()],
        mended: true,
    });
    service.detail.unit = Some(unit);
    let text = plain(&describe::service(&doc, &service, view(100)));
    let (_, section) = text.split_once("\nDiagnosis:\n").expect("it has a section");
    let lines: Vec<&str> = section.lines().take_while(|line| line.starts_with("  ")).collect();
    insta::assert_snapshot!("describe_diagnosis", lines.join("\n"));
}

#[test]
fn what_was_found_out_of_a_run_that_is_over_names_the_present_one() {
    let doc = docs::broken();
    let mut service = doc.services.iter().find(|it| it.name == "redis").expect("it is there").clone();
    let mut unit = UnitDetail { pid: Some(900), ..UnitDetail::default() };
    unit.diagnosis = Some(DiagnosisDetail {
        stage: ConditionType::Healthy,
        time: NOW.to_owned(),
        run: Some("90c1a2b3c4d5".to_owned()),
        state: "active (running)".to_owned(),
        before: "failed with signal SIGKILL".to_owned(),
        holders: Vec::new(),
        probe: String::new(),
        denials: Vec::new(),
        mended: false,
    });
    service.detail.unit = Some(unit);
    service.detail.state = Some("active (running)".to_owned());
    service.detail.run = Some("90c1a2b3c4d5".to_owned());
    let text = plain(&describe::service(&doc, &service, view(100)));
    assert!(text.contains("  Before that:  failed with signal SIGKILL\n"), "{text}");
    assert!(!text.contains("Run since"), "it is the present one: {text}");
    service.detail.run = Some("4f1c2a90e8d7".to_owned());
    let text = plain(&describe::service(&doc, &service, view(100)));
    assert!(text.contains("  Run since:    4f1c2a90, active (running), pid 900\n"), "{text}");
}

#[test]
fn the_platform_is_one_screen() {
    check("status_broken", &status::platform(&docs::broken(), view(100)));
    check("status_well", &status::platform(&docs::well(), view(100)));
    let mut invalid = docs::well();
    "error: `servces` is not a key of the file\n --> platform.yaml:3:1\n  |\n3 | servces: {}\n  | ^^^^^^^\n\n\
     warning[floating-tag]: `redis:latest` may mean another image tomorrow\n --> platform.yaml:5:12\n\n\
     warning[public-port]: port 6379 is published on all addresses\n --> platform.yaml:6:12\n"
        .clone_into(&mut invalid.platform.spec_report);
    check("status_invalid", &status::platform(&invalid, view(100)));
    let doc = docs::broken();
    check("status_litellm", &status::service(&doc.services[0], view(80)));
}

#[test]
fn why_goes_from_the_symptom_to_the_cause() {
    let doc = docs::broken();
    check("why_all", &why::all(&doc, view(100)));
    check("why_all_well", &why::all(&docs::well(), view(100)));
    for service in &doc.services {
        check(&format!("why_{}", service.name), &why::service(&doc, service, view(100)));
    }
}

#[test]
fn what_a_container_wrote_does_not_reach_the_terminal() {
    let mut doc = docs::broken();
    for service in &mut doc.services {
        service.message.push_str("\u{1b}[2J\u{1b}]0;owned\u{7}\nsecond line\u{202e}");
        service.why = vec![format!("{}\u{1b}[31m\r", service.message)];
    }
    doc.platform.sentence.push_str("\u{1b}[5m");
    doc.events[0].message.push('\u{9b}');
    let services: String = doc.services.iter().map(|it| describe::service(&doc, it, view(100))).collect();
    let lists = lists::services(&doc.services, view(100)).render(Some(100));
    for text in [services, lists, status::platform(&doc, view(100)), why::all(&doc, view(100))] {
        let text = plain(&text);
        let bad = text
            .chars()
            .find(|c| c.is_control() && *c != '\n')
            .or_else(|| text.chars().find(|c| *c == '\u{202e}'));
        assert_eq!(bad, None, "{text:?}");
        assert!(!text.contains("owned\u{7}") && !text.contains("[2J"), "{text}");
    }
}

#[test]
fn log_lines_are_told_apart() {
    let record = |service: &str, text: &str| LogRecord {
        service: service.to_owned(),
        time: "2026-11-20T11:59:58.123Z".to_owned(),
        stderr: false,
        text: text.to_owned(),
    };
    let two = logs::Prefixes::new(&["redis".to_owned(), "open-webui".to_owned()]);
    let one = logs::Prefixes::new(&["redis".to_owned()]);
    let lines = [
        logs::line(&record("redis", "ready\n"), &two, false),
        logs::line(&record("open-webui", "\u{1b}[31mred\u{1b}[2J"), &two, true),
        logs::line(&record("redis", "alone"), &one, false),
    ];
    insta::assert_snapshot!("logs", lines.concat().replace('\u{1b}', "ESC"));
}

/// A first network, then a database, then what needs it; and a container that is made anew.
fn preview() -> Preview {
    let action = |resource: ResourceId, verb: &str, action: &str, cause: &str, interrupts: Option<&str>| {
        PreviewedAction {
            resource,
            verb: verb.to_owned(),
            action: action.to_owned(),
            cause: cause.to_owned(),
            interrupts: interrupts.map(str::to_owned),
        }
    };
    let (db, web) = (ResourceId::container("postgres"), ResourceId::container("open-webui"));
    let missing = "it does not exist";
    let down = Some("the service is down until its next start is ready");
    let wave = |actions: Vec<PreviewedAction>| Wave { actions };
    Preview {
        waves: vec![
            wave(vec![
                action(
                    ResourceId::network("default"),
                    "create",
                    "create network home-ai_default",
                    missing,
                    None,
                ),
                action(
                    web.clone(),
                    "create",
                    "create container home-ai-open-webui.new",
                    "image changed; made beside the old one",
                    None,
                ),
            ]),
            wave(vec![action(db.clone(), "create", "create container home-ai-postgres", missing, None)]),
            wave(vec![action(
                db,
                "start",
                "start container home-ai-postgres",
                "it is not started and all it needs is ready",
                None,
            )]),
            wave(vec![action(
                web.clone(),
                "stop",
                "stop container 3f2a (grace 10s)",
                "image changed; its replacement is made and may start",
                down,
            )]),
            wave(vec![action(
                web,
                "start",
                "start container home-ai-open-webui",
                "it is not started and all it needs is ready",
                None,
            )]),
        ],
        blocked: vec![(ResourceId::container("litellm"), "port 4000 is held by nginx (pid 812)".to_owned())],
        notes: vec![(
            ResourceId::unit("ollama"),
            "OLLAMA_HOST: the file says `0.0.0.0`, and /etc/x.conf says `::` and wins".to_owned(),
        )],
    }
}

#[test]
fn a_plan_is_read_by_resource_and_wave() {
    let reply = DiffReply { preview: preview(), ..DiffReply::default() };
    check("plan", &plan::plan(&reply, None));
    check("plan_60", &plan::plan(&reply, Some(60)));
    check("plan_nothing", &plan::plan(&DiffReply::default(), None));
    let risky = DiffReply {
        needs_confirmation: Some("this removes 4 of 6 services".to_owned()),
        report: "platform.yaml:2:1: warning: `version` has no effect here\n".to_owned(),
        ..reply
    };
    check("plan_needs_confirmation", &plan::plan(&risky, None));
}

#[test]
fn who_follows_a_replacement_stands_behind_it() {
    let action = |name: &str, verb: &str| PreviewedAction {
        resource: ResourceId::container(name),
        verb: verb.to_owned(),
        action: format!("{verb} container {name}"),
        cause: "so".to_owned(),
        interrupts: None,
    };
    // Beside the old one, which ends when the new one is ready; the worker follows while that is tidied up.
    let waves = [
        vec![action("web", "create")],
        vec![action("web", "start")],
        vec![action("web", "stop")],
        vec![action("web", "rename"), action("worker", "stop")],
        vec![action("web", "remove"), action("worker", "start")],
        vec![action("web", "remove")],
    ];
    let waves = waves.into_iter().map(|actions| Wave { actions }).collect();
    let reply = DiffReply { preview: Preview { waves, ..Preview::default() }, ..DiffReply::default() };
    let text = plain(&plan::plan(&reply, None));
    let (web, worker) = (text.find("container/web"), text.find("container/worker"));
    assert!(web < worker && text.contains("Wave 2") && !text.contains("Wave 3"), "{text}");
}
