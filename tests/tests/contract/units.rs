//! The simulated systemd as a machine under contract. The real one is in the target `systemd`, which wants a machine of its
//! own.

use std::time::Duration;

use aiplat_host::Units;
use aiplat_tests::{
    contract::units::{CLAUSES, Clause, DONE, FAILS, Hand, Host, LAST_WORDS},
    lab::simulate,
    sim::{Systemd, systemd::Program},
};

struct Simulated(Systemd);

impl Host for Simulated {
    fn units(&self) -> &dyn Units {
        &self.0
    }

    fn name(&self, name: &str) -> String {
        format!("{name}.service")
    }

    fn package(&self, unit: &str, text: Option<&str>) {
        self.0.package(unit, text);
    }

    fn systemctl(&self, hand: Hand, unit: &str) {
        match hand {
            Hand::Start => self.0.start_by_hand(unit),
            Hand::Stop => self.0.stop_by_hand(unit),
            Hand::Restart => self.0.restart_by_hand(unit),
            Hand::Mask => self.0.mask_by_hand(unit),
            Hand::Unmask => self.0.unmask_by_hand(unit),
            Hand::Kill => self.0.kill(unit),
        }
    }

    fn reload(&self) {
        self.0.reload_by_hand();
    }

    fn reexec(&self) {
        self.0.reexec();
    }

    fn time_comes(&self, timer: &str) {
        self.0.fire(timer);
    }
}

fn check(clause: Clause) {
    simulate(async move {
        let systemd = Systemd::default();
        let soon = Duration::from_millis(2);
        for (command, program) in
            [(FAILS, Program::Ends(soon, 2, LAST_WORDS)), (DONE, Program::Ends(soon, 0, ""))]
        {
            systemd.program(command, program.clone());
            // As the file of a unit of ours has it.
            let words: Vec<String> = command.split(' ').map(|word| format!("\"{word}\"")).collect();
            systemd.program(&words.join(" "), program);
        }
        clause(&Simulated(systemd)).await;
    });
}

#[test]
fn the_simulated_systemd_keeps_every_clause() {
    let broken: Vec<&str> = crate::chosen(CLAUSES)
        .filter(|(_, clause)| !crate::holds(|| check(*clause)))
        .map(|(sentence, _)| sentence)
        .collect();
    assert!(broken.is_empty(), "{broken:#?}");
}
