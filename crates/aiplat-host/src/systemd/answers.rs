//! A unit is asked at an address of the host, where anybody may answer: who listens there is looked up.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use aiplat_core::{
    observed::{Incarnation, elsewhere, stranger, who},
    spec::{ProbeKind, Protocol},
};

use super::Systemd;
use crate::{
    listeners::port_holders,
    port::UnitAnswer,
    probe::{self, Ask, Failed, Vantage},
};

/// Who answered is looked up no more often than this while all is well: it costs a walk through all processes.
const EVERY: Duration = Duration::from_secs(60);

/// What is known of who listens.
#[derive(Debug, Default)]
pub(super) struct Answers(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// When it was last seen that the unit itself listens on the port.
    seen: BTreeMap<(String, u16), Instant>,
    /// The run of each unit as it was last looked at.
    runs: BTreeMap<String, Option<Incarnation>>,
}

impl Answers {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_known(&self, unit: &str, port: u16) -> bool {
        self.lock().seen.get(&(unit.to_owned(), port)).is_some_and(|at| at.elapsed() < EVERY)
    }

    fn note(&self, unit: &str, port: u16, is_its: bool) {
        let key = (unit.to_owned(), port);
        if is_its {
            self.lock().seen.insert(key, Instant::now());
        } else {
            self.lock().seen.remove(&key);
        }
    }

    /// Another run may listen elsewhere: nothing is known of it.
    pub(super) fn note_run(&self, unit: &str, run: Option<&Incarnation>) {
        let mut known = self.lock();
        let before = known.runs.insert(unit.to_owned(), run.cloned());
        if before.is_some_and(|before| before.as_ref() != run) {
            known.seen.retain(|(name, _), _| name != unit);
        }
    }
}

impl Systemd {
    pub(super) async fn question(
        &self,
        unit: &str,
        address: IpAddr,
        kind: &ProbeKind,
        timeout: Duration,
    ) -> UnitAnswer {
        let Some(what) = Ask::of(kind) else {
            return UnitAnswer::unseen(Err(format!("{kind}: a unit has no container to run it in")));
        };
        let port = what.port();
        let answer = probe::ask(&Vantage::Address(address), &what, timeout).await;
        if answer.is_ok() && self.answers.is_known(unit, port) {
            return UnitAnswer::unseen(answer.map_err(|failed| failed.transcript));
        }
        let listeners = port_holders(self.options.proc.clone(), Protocol::Tcp, port).await;
        let stranger = stranger(&listeners, address, unit).map(who);
        self.answers.note(unit, port, answer.is_ok() && stranger.is_none());
        let said = match (answer, stranger) {
            (Ok(said), None) => Ok(said),
            (Ok(said), Some(who)) => Err(format!(
                "{said}; but that was {who}, which listens on port {port} in place of {unit}: stop one of the two, or let \
                 one of them listen elsewhere"
            )),
            (Err(Failed { transcript, .. }), Some(who)) => {
                Err(format!("{transcript}; port {port} is held by {who}, not by {unit}"))
            }
            (Err(Failed { transcript, is_refused }), None) if is_refused => {
                Err(format!("{transcript}; {}", elsewhere(&listeners, port)))
            }
            (Err(Failed { transcript, .. }), None) => Err(transcript),
        };
        UnitAnswer { said, listeners: Some(listeners) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_run_is_looked_up_anew() {
        let answers = Answers::default();
        let run = |name: &str| Some(Incarnation(name.to_owned()));
        answers.note_run("a.service", run("1").as_ref());
        answers.note("a.service", 80, true);
        answers.note_run("a.service", run("1").as_ref());
        assert!(answers.is_known("a.service", 80));
        answers.note_run("b.service", run("2").as_ref());
        assert!(answers.is_known("a.service", 80), "another unit's run is none of its own");
        answers.note_run("a.service", run("2").as_ref());
        assert!(!answers.is_known("a.service", 80));
        answers.note("a.service", 80, true);
        answers.note("a.service", 80, false);
        assert!(!answers.is_known("a.service", 80));
    }
}
