//! What it costs. No bound but one that a broken adapter would break: machines differ.

use std::time::{Duration, Instant};

use aiplat_core::{action::UnitVerb, observed::ActiveState};
use aiplat_host::systemd::SystemdHint::{Changed, Connected};

use crate::machine::{Machine, next, until};

const ROUNDS: usize = 20;

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[tokio::test]
#[allow(clippy::print_stderr, reason = "figures are for a person")]
async fn a_look_and_a_start_take_milliseconds() {
    let Some(machine) = Machine::boot().await else { return };
    // It is started more often than systemd lets a unit be by default.
    let text = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=/bin/sleep infinity\n";
    machine.write("web.service", text);
    machine.reload().await;
    let mut hints = machine.systemd.hints();
    assert_eq!(next(&mut hints).await, Connected);
    machine.look("web.service").await;
    let (mut looks, mut starts) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        machine.look("web.service").await;
        looks.push(begun.elapsed());
        let begun = Instant::now();
        machine.tell("web.service", UnitVerb::Start).await.unwrap();
        // As the daemon hears of it: the last hint is that of its `JobRemoved`.
        loop {
            until(&mut hints, &Changed("web.service".to_owned())).await;
            let web = machine.look("web.service").await;
            if web.active == ActiveState::Active && web.job.is_none() {
                break;
            }
        }
        starts.push(begun.elapsed());
        machine.tell("web.service", UnitVerb::Stop).await.unwrap();
        machine
            .until("web.service", "stopped", |unit| {
                unit.active == ActiveState::Inactive && unit.job.is_none()
            })
            .await;
    }
    let begun = Instant::now();
    machine.reload().await;
    let reload = begun.elapsed();
    let (look, start) = (median(looks), median(starts));
    eprintln!("observe one unit: {look:?}; start to the end of its job, seen: {start:?}; reload: {reload:?}");
    assert!(look < Duration::from_secs(1) && start < Duration::from_secs(2), "{look:?} {start:?}");
}
