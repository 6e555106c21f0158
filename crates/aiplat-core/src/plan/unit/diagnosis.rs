//! What is written down once, when a unit fails or loses a stage of its readiness, and shown until it happens again.

use super::Look;
use crate::{
    ResourceId,
    condition::{Condition, ConditionType, Reason, Status},
    observed::{ActiveState, Listener, UnitDiagnosis, UnitEvidence},
    plan::{Step, World, ended, gate, running},
    secret,
    spec::Role,
};

/// So many lines of the journal fit on a screen beside the rest.
const LINES: usize = 30;

/// What is to be done about the diagnosis of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Diagnosing {
    /// It stays as it is.
    Stays,
    /// It is Ready again: what is known tells of the past.
    Mended,
    /// A stage was lost: this is to be kept. Of a run that goes on its journal is to be fetched first.
    New {
        /// What is known.
        diagnosis: Box<UnitDiagnosis>,
        /// The unit whose journal is to be fetched, if it is.
        fetch: Option<String>,
    },
}

/// What `step`, the one of the unit `id`, says about its diagnosis.
#[must_use]
pub fn diagnosing(world: &World<'_>, id: &ResourceId, step: &Step) -> Diagnosing {
    let Some(look) = of_program(world, id) else { return Diagnosing::Stays };
    let known = world.observed.diagnoses.get(id);
    let is = |kind, status| step.conditions.iter().any(|it| it.kind == kind && it.status == status);
    // One that loops is Ready for a moment each time.
    if is(ConditionType::Ready, Status::True) && is(ConditionType::CrashLoop, Status::False) {
        return if known.is_some_and(|known| !known.mended) { Diagnosing::Mended } else { Diagnosing::Stays };
    }
    let Some(stage) = look.lost(&step.conditions) else { return Diagnosing::Stays };
    let new = look.diagnosis(stage);
    match known.filter(|known| !known.mended && (known.stage, &known.run) == (stage, &new.run)) {
        // The journal may take a moment to have the last words.
        Some(same) if new.journal.len() <= same.journal.len() || !look.has_failed() => Diagnosing::Stays,
        Some(_) | None => {
            let fetch = (!look.has_failed()).then(|| look.spec.unit.clone());
            Diagnosing::New { diagnosis: Box::new(new), fetch }
        }
    }
}

/// Adds to `diagnosis` what was fetched for the unit `id`.
pub fn add_evidence(
    world: &World<'_>,
    id: &ResourceId,
    diagnosis: &mut UnitDiagnosis,
    evidence: UnitEvidence,
) {
    let Some(look) = of_program(world, id) else { return };
    diagnosis.journal = look.shown(&evidence.journal);
    diagnosis.denials = look.shown(&evidence.denials);
}

/// What runs the program: of one that runs at times not the timer.
fn of_program<'a>(world: &'a World<'a>, id: &'a ResourceId) -> Option<Look<'a>> {
    let look = Look::of(world, id, world.desired.units.get(id)?)?;
    Some(Look { unit: look.service, ..look })
}

impl Look<'_> {
    /// Its last run ended badly, and no other one has begun.
    pub(super) fn has_failed(&self) -> bool {
        self.unit.active == ActiveState::Failed || self.unit.sub == "auto-restart"
    }

    fn lost(&self, conditions: &[Condition]) -> Option<ConditionType> {
        let find = |kind| conditions.iter().find(|it| it.kind == kind && it.status == Status::False);
        let is_late = |it: &Condition| it.reason == Reason::ActivatingTooLong;
        if self.has_failed() || find(ConditionType::Active).is_some_and(is_late) {
            return Some(ConditionType::Active);
        }
        let is_silent = |it: &Condition| matches!(it.reason, Reason::ProbeFailed | Reason::Unresponsive);
        let listening = find(ConditionType::Listening);
        listening.or_else(|| find(ConditionType::Healthy).filter(|it| is_silent(it))).map(|it| it.kind)
    }

    fn diagnosis(&self, stage: ConditionType) -> UnitDiagnosis {
        let run = self.unit.invocation.as_ref();
        let world = self.world;
        let known = world.observed.diagnoses.get(self.id);
        // Of a unit that fails in more than one way before it is Ready again, how it ended is not forgotten.
        let earlier = known.filter(|known| !known.mended);
        let (failure, quote) = if self.has_failed() {
            (format!("failed with {}", self.ending()), self.fresh_evidence())
        } else {
            earlier.map(|known| (known.failure.clone(), known.quote.clone())).unwrap_or_default()
        };
        let last = |role| running::facts(world, self.id, run, role).and_then(|facts| facts.last.as_ref());
        let asked = [Role::Liveness, Role::Readiness, Role::Startup].into_iter().filter_map(last);
        // What answered has ended: that it did once says nothing of the end.
        let asked = asked.filter(|last| !last.passed || !self.has_failed());
        let transcript = asked.max_by_key(|last| (!last.passed, last.at));
        UnitDiagnosis {
            stage,
            run: run.cloned(),
            wall_ms: 0,
            state: self.state_words(),
            failure,
            quote,
            journal: self.shown(&self.unit.tail),
            holders: self.holders(),
            transcript: transcript.map(|last| last.transcript.clone()).unwrap_or_default(),
            denials: self.shown(&self.unit.denials),
            mended: false,
        }
    }

    /// Who listened on the port when this was last looked up. The socket of a run that has ended went with it.
    fn holders(&self) -> Vec<String> {
        let run = self.unit.invocation.as_ref();
        let known = self.world.observed.listening.get(self.id).filter(|it| Some(&it.incarnation) == run);
        let Some(listening) = known else { return Vec::new() };
        let stays = |it: &&Listener| !self.has_failed() || it.is_strange_to(&self.spec.unit);
        let named = |it| gate::holder(self.world, it, listening.port);
        listening.listeners.iter().filter(stays).map(|it| format!("{}: {}", named(it), it.address)).collect()
    }

    fn state_words(&self) -> String {
        let active = format!("{:?}", self.unit.active).to_lowercase();
        let state = if self.unit.sub.is_empty() { active } else { format!("{active} ({})", self.unit.sub) };
        let has_ended = self.has_failed();
        if has_ended { format!("{state}, {}", self.ending()) } else { state }
    }

    fn shown(&self, lines: &[String]) -> Vec<String> {
        let skip = lines.len().saturating_sub(LINES);
        lines.iter().skip(skip).map(|line| self.redacted(line)).collect()
    }

    /// Without the secrets that the file gives it.
    fn redacted(&self, line: &str) -> String {
        secret::redacted_for(line, &self.spec.environment)
    }

    fn fresh_evidence(&self) -> String {
        let mut said = self.redacted(&ended::quoted(&self.diagnose(), self.unit.tail.last()));
        if let Some(denial) = self.unit.denials.last() {
            said.push_str("; ");
            said.push_str(&self.redacted(denial));
        }
        said
    }

    /// The line of its journal that tells why it failed, as an appendix to a sentence. Once known it is said until it has been
    /// Ready again, also where the journal does not have that of this very run.
    pub(super) fn evidence(&self) -> String {
        let fresh = self.fresh_evidence();
        if !fresh.is_empty() {
            return fresh;
        }
        let known = self.world.observed.diagnoses.get(self.id).filter(|known| !known.mended);
        known.map(|known| known.quote.clone()).unwrap_or_default()
    }

    /// How its last run failed, as an appendix to what is said of the next try; nothing once it has been Ready.
    pub(super) fn failed_before(&self) -> String {
        let known = self.world.observed.diagnoses.get(self.id);
        match known.filter(|known| !known.mended && !known.failure.is_empty()) {
            Some(known) => format!("; before that it {}{}", known.failure, known.quote),
            None => String::new(),
        }
    }
}
