//! The real systemd as a machine under contract: one machine for all clauses, each with names of its own.

use std::panic::AssertUnwindSafe;

use aiplat_host::Units;
use aiplat_tests::contract::units::{CLAUSES, Hand, Host};
use futures_util::FutureExt;

use crate::machine::Machine;

struct Real<'a> {
    machine: &'a Machine,
    prefix: String,
}

impl Host for Real<'_> {
    fn units(&self) -> &dyn Units {
        &self.machine.systemd
    }

    fn name(&self, name: &str) -> String {
        format!("{}-{name}.service", self.prefix)
    }

    fn package(&self, unit: &str, text: Option<&str>) {
        self.machine.package(unit, text);
    }

    fn systemctl(&self, hand: Hand, unit: &str) {
        let verb: &[&str] = match hand {
            Hand::Start => &["start"],
            Hand::Stop => &["stop"],
            Hand::Restart => &["restart"],
            Hand::Mask => &["mask"],
            Hand::Unmask => &["unmask"],
            Hand::Kill => &["kill", "--signal=KILL"],
        };
        self.machine.by_hand(&[&["systemctl"], verb, &[unit]].concat());
    }

    fn reload(&self) {
        self.machine.by_hand(&["systemctl", "daemon-reload"]);
    }

    fn reexec(&self) {
        self.machine.by_hand(&["systemctl", "daemon-reexec"]);
    }

    fn time_comes(&self, _timer: &str) {
        // By itself, within two seconds: the clause waits for what follows.
    }
}

#[tokio::test]
#[allow(clippy::print_stderr, reason = "a clause that is broken is told from its neighbours")]
async fn the_real_systemd_keeps_every_clause() {
    let Some(machine) = Machine::boot().await else { return };
    let only = std::env::var("AIPLAT_CLAUSE").unwrap_or_default();
    let mut broken = Vec::new();
    for (index, (sentence, clause)) in CLAUSES.iter().enumerate() {
        if !sentence.contains(&only) {
            continue;
        }
        let host = Real { machine: &machine, prefix: format!("c{index}") };
        // One broken clause does not hide the others.
        if AssertUnwindSafe(clause(&host)).catch_unwind().await.is_err() {
            eprintln!("broken: {sentence}");
            broken.push(*sentence);
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}
