//! Units whose file is ours, and timers: what systemd makes of the files that core writes.

use std::time::Duration;

use aiplat_core::{
    action::{Action, UnitFile, UnitVerb},
    observed::{ActiveState, LoadState},
    spec::{Hardening, Management, OwnUnit, RestartMode, TimerSpec, UnitSpec},
};
use aiplat_host::LogOptions;
use futures_util::StreamExt;

use crate::machine::Machine;

fn spec(command: &[&str], on_calendar: Option<&str>) -> UnitSpec {
    let timer = |it: &str| TimerSpec { unit: "job.timer".to_owned(), on_calendar: it.to_owned() };
    UnitSpec {
        service: "job".to_owned(),
        unit: "job.service".to_owned(),
        management: Management::Configure,
        own: Some(OwnUnit {
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            user: Some("nobody".to_owned()),
            group: None,
            working_dir: Some("/".to_owned()),
            stop_signal: Some("SIGINT".to_owned()),
            stop_grace: Duration::from_secs(3),
            hardening: Hardening::Default,
            timer: on_calendar.map(timer),
        }),
        environment: [("ODD".to_owned(), "a \"b\" $c".to_owned())].into(),
        restart: RestartMode::No,
        dependencies: Default::default(),
        probe: None,
        startup: None,
        liveness: None,
    }
}

async fn write(machine: &Machine, spec: &UnitSpec) {
    let own = machine.look(&spec.unit).await.own;
    for (name, text) in spec.unit_files(&own.environment_path) {
        let environment = (name == spec.unit).then(|| spec.environment_file());
        let file = UnitFile { unit: name.to_owned(), text, environment };
        machine.systemd.apply(&Action::WriteUnit(Box::new(file))).await.unwrap();
    }
}

#[tokio::test]
async fn a_new_file_is_read_without_a_reload_another_with_one_and_a_removed_one_is_forgotten() {
    let Some(machine) = Machine::boot().await else { return };
    // A look before it is there must not make it missing for good.
    assert_eq!(machine.look("job.service").await.load, LoadState::NotFound);
    write(&machine, &spec(&["/bin/sleep", "infinity"], None)).await;
    let new = machine.look("job.service").await;
    assert_eq!((new.load, new.needs_reload, new.file_state.as_str()), (LoadState::Loaded, false, "disabled"));
    assert_eq!(new.fragment, new.own.unit_path);
    let first = machine.started("job.service").await;
    assert_eq!(first.effective.expect("readable")["ODD"], "a \"b\" $c");

    write(&machine, &spec(&["/bin/sleep", "1000"], None)).await;
    assert!(machine.look("job.service").await.needs_reload);
    machine.reload().await;
    let read = machine.look("job.service").await;
    assert_eq!((read.needs_reload, &read.invocation), (false, &first.invocation));

    machine.tell("job.service", UnitVerb::Enable).await.unwrap();
    assert_eq!(machine.look("job.service").await.file_state, "enabled");
    machine.tell("job.service", UnitVerb::Disable).await.unwrap();
    assert_eq!(machine.look("job.service").await.file_state, "disabled");
    machine.tell("job.service", UnitVerb::Stop).await.unwrap();
    machine
        .until("job.service", "stopped", |it| it.active == ActiveState::Inactive && it.job.is_none())
        .await;
    machine.systemd.apply(&Action::RemoveUnit { unit: "job.service".to_owned() }).await.unwrap();
    assert!(machine.look("job.service").await.needs_reload);
    machine.reload().await;
    let gone = machine.look("job.service").await;
    assert_eq!((gone.load, gone.needs_reload, gone.fragment.as_str()), (LoadState::NotFound, false, ""));
}

#[tokio::test]
async fn a_command_line_reaches_the_program_word_by_word() {
    let Some(machine) = Machine::boot().await else { return };
    let words = ["a b", "100%", "$HOME", "${HOME}", "q\"q", "b\\s", ";", "", "t\tb", "@x", "ä"];
    let command: Vec<&str> = ["/usr/bin/printf", "[%s]"].into_iter().chain(words).collect();
    write(&machine, &spec(&command, None)).await;
    machine.tell("job.service", UnitVerb::Start).await.unwrap();
    let wanted: String = words.iter().map(|word| format!("[{word}]")).collect();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        let lines: Vec<_> =
            machine.systemd.logs("job.service", &LogOptions::default()).await.unwrap().collect().await;
        let lines: Vec<String> = lines.into_iter().filter_map(|line| Some(line.ok()?.text)).collect();
        if lines.contains(&wanted) {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{wanted} is not among {lines:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_timer_starts_its_unit_and_another_time_needs_a_reload_alone() {
    let Some(machine) = Machine::boot().await else { return };
    write(&machine, &spec(&["/bin/true"], Some("*:*:0/2"))).await;
    machine.started("job.timer").await;
    machine.until("job.timer", "it has fired", |it| it.last_wall_ms.is_some()).await;
    machine.until("job.service", "it has run", |it| it.invocation.is_some() && it.result == "success").await;

    write(&machine, &spec(&["/bin/false"], Some("*:*:0/2"))).await;
    machine.reload().await;
    let failed = |it: &aiplat_core::observed::ObservedUnit| it.active == ActiveState::Failed;
    let failed = machine.until("job.service", "a run has failed", failed).await;
    assert_eq!((failed.result.as_str(), failed.exit_status), ("exit-code", 1));

    let before = machine.look("job.timer").await;
    write(&machine, &spec(&["/bin/false"], Some("*-*-* 00:00:00 UTC"))).await;
    machine.reload().await;
    let after = machine
        .until("job.timer", "the new time counts", |it| {
            it.next_wall_ms.is_some_and(|next| next % 86_400_000 == 0)
        })
        .await;
    assert_eq!(after.invocation, before.invocation, "it is the same run of the timer");

    write(&machine, &spec(&["/bin/false"], Some("*-*-* 99:00"))).await;
    machine.reload().await;
    machine.tell("job.timer", UnitVerb::Stop).await.unwrap();
    let bad = machine.until("job.timer", "it is refused", |it| it.load == LoadState::BadSetting).await;
    assert!(!bad.load_error.is_empty());
}
