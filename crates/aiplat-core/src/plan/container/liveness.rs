//! A container that runs and does not answer is restarted, as one that has ended would be.

use super::Look;
use crate::{
    condition::Reason,
    observed::ObservedContainer,
    plan::{
        Cause, Gate, Step,
        ended::{Count, count},
        gpu, running,
    },
    spec::{OnExhausted, RestartMode},
    time::human,
};

impl Look<'_> {
    /// Never more often than a crash would be answered: counted in the same window, with the same waits. It is not made
    /// anew after so many: a second container of the same file has no place in the set, and to remove the first one
    /// beforehand would lose its anonymous volumes.
    pub(super) fn revive(&self, current: &ObservedContainer) -> Option<Step> {
        let why = running::unresponsive(self.world, self.id, self.spec, current)?;
        let settings = &self.world.desired.settings.restart;
        let restarts = self.world.ledger.get(self.id).map(|record| &record.restarts);
        // Counted already: aiplatd died between that and the stop.
        let Count { attempt, counted: decided } = count(self.world, self.id, self.spec, current);
        match self.spec.policy.restart {
            RestartMode::No => return None,
            RestartMode::OnFailure(Some(most)) if attempt >= most => return None,
            RestartMode::Default | RestartMode::Always | RestartMode::OnFailure(_) => {}
        }
        if let Some(gate) = gpu::freeze(self.world, self.id) {
            return Some(Step::blocked(self.world, vec![gate]));
        }
        if settings.on_exhausted == OnExhausted::Hold && attempt >= settings.crash_loop {
            let message = format!(
                "it was restarted {attempt} times in a row and does not answer ({why}); on_exhausted is `hold`: edit its \
                 entry in the file to try again"
            );
            return Some(Step::held(Reason::CrashLoop, message));
        }
        let last = restarts.and_then(|it| it.recent.last().map(|last| last.at + it.delay(settings, attempt)));
        if let Some(until) = last.filter(|until| attempt > 0 && !decided && *until > self.world.now) {
            let wait = human(self.world.now.until(until));
            let message = format!("it does not answer ({why}), restart {} in {wait}", attempt + 1);
            return Some(Step::blocked(self.world, vec![Gate::BackOff { until, message }]));
        }
        Some(Step::act(self.stop(current), Cause::Unresponsive { why, attempt }))
    }
}
