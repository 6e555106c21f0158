//! The journal of a real systemd.

use std::time::Duration;

use aiplat_core::{
    action::UnitVerb,
    observed::{ActiveState, UnitEvidence},
};
use aiplat_host::{LogLine, LogOptions, Units, systemd::Systemd};
use futures_util::StreamExt;

use crate::machine::{Machine, eventually};

async fn lines(systemd: &Systemd, options: LogOptions) -> Vec<LogLine> {
    let stream = systemd.logs("talks.service", &options).await.unwrap();
    stream.map(|line| line.unwrap()).collect().await
}

fn has(lines: &[LogLine], text: &str) -> bool {
    lines.iter().any(|line| line.text == text)
}

#[tokio::test]
async fn a_journal_is_read_to_its_end_and_followed() {
    let Some(machine) = Machine::boot().await else { return };
    // Escaped once for systemd and once for printf: a byte that is no text, and a line in two.
    machine.service("talks.service", r"/usr/bin/printf 'one\\ntw\\377o\\n'").await;
    // Looked at, it is not forgotten when it ends.
    machine.look("talks.service").await;
    machine.tell("talks.service", UnitVerb::Start).await.unwrap();
    machine
        .until("talks.service", "ended", |unit| {
            unit.active == ActiveState::Inactive && unit.invocation.is_some() && unit.job.is_none()
        })
        .await;
    let all = eventually("both lines", async || {
        let all = lines(&machine.systemd, LogOptions::default()).await;
        (has(&all, "one") && has(&all, "tw\u{fffd}o")).then_some(all)
    })
    .await;
    assert!(
        all.iter().all(|line| line.timestamp.ends_with('Z') && line.timestamp.starts_with("20")),
        "{all:?}"
    );
    assert!(all.iter().any(|line| line.text.starts_with("Started talks.service")), "systemd's own: {all:?}");
    assert_eq!(lines(&machine.systemd, LogOptions { tail: Some(2), ..LogOptions::default() }).await.len(), 2);
    let future = LogOptions { since: Some(32_503_680_000), ..LogOptions::default() };
    assert!(lines(&machine.systemd, future).await.is_empty());

    let follow = LogOptions { follow: true, tail: Some(0), since: None };
    let mut following = machine.systemd.logs("talks.service", &follow).await.unwrap();
    let (line, started) = tokio::join!(
        tokio::time::timeout(Duration::from_secs(10), following.next()),
        // A follower that looks later than the start hears of the next one.
        async {
            for _ in 0..3 {
                machine.tell("talks.service", UnitVerb::Restart).await?;
                machine.until("talks.service", "ended", |unit| unit.job.is_none()).await;
            }
            Ok::<(), aiplat_host::HostError>(())
        }
    );
    started.unwrap();
    let line = line.expect("in time").expect("it goes on").unwrap();
    assert!(!line.text.is_empty());
}

#[tokio::test]
async fn the_evidence_of_a_run_that_goes_on_is_its_own_journal() {
    let Some(machine) = Machine::boot().await else { return };
    machine.write(
        "stays.service",
        "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/echo it is up\n",
    );
    machine.reload().await;
    machine.tell("stays.service", UnitVerb::Start).await.unwrap();
    machine.until("stays.service", "active", |unit| unit.active == ActiveState::Active).await;
    let evidence = eventually("its line", async || {
        let evidence = machine.systemd.evidence("stays.service").await;
        (!evidence.journal.is_empty()).then_some(evidence)
    })
    .await;
    assert_eq!((evidence.journal, evidence.denials), (vec!["it is up".to_owned()], Vec::new()));
    let nothing = machine.systemd.evidence("absent.service").await;
    assert_eq!(nothing, UnitEvidence::default());
}
