//! Units whose file is ours, and timers: what systemd makes of the texts that core writes.

use std::time::Duration;

use aiplat_core::{action::UnitVerb, observed::LoadState, spec::UnitSpec};
use aiplat_host::LogOptions;
use aiplat_tests::contract::units::wanted_own;
use futures_util::StreamExt;

use crate::machine::Machine;

fn spec(command: &[&str], on_calendar: Option<&str>) -> UnitSpec {
    wanted_own("job.service", command, on_calendar, &[])
}

#[tokio::test]
async fn a_command_line_reaches_the_program_word_by_word() {
    let Some(machine) = Machine::boot().await else { return };
    let words = ["a b", "100%", "$HOME", "${HOME}", "q\"q", "b\\s", ";", "", "t\tb", "@x", "ä"];
    let command: Vec<&str> = ["/usr/bin/printf", "[%s]"].into_iter().chain(words).collect();
    machine.ask().write_own(&spec(&command, None)).await;
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
async fn another_time_needs_a_reload_alone_and_one_that_is_none_is_refused() {
    let Some(machine) = Machine::boot().await else { return };
    let ask = machine.ask();
    ask.write_own(&spec(&["/bin/false"], Some("*-01-01 00:00:01"))).await;
    let before = ask.started("job.timer").await;
    ask.write_own(&spec(&["/bin/false"], Some("*-*-* 00:00:00 UTC"))).await;
    ask.reload().await;
    let is_midnight = |at: i64| at % 86_400_000 == 0;
    let new = |seen: &aiplat_core::observed::ObservedUnit| seen.next_wall_ms.is_some_and(is_midnight);
    let after = ask.until("job.timer", "the new time counts", new).await;
    assert_eq!(after.invocation, before.invocation, "it is the same run of the timer");

    ask.write_own(&spec(&["/bin/false"], Some("*-*-* 99:00"))).await;
    ask.reload().await;
    ask.tell(UnitVerb::Stop, "job.timer").await;
    let bad = ask.until("job.timer", "it is refused", |it| it.load == LoadState::BadSetting).await;
    assert!(!bad.load_error.is_empty());
}
