//! Keeps what is found out when a unit fails or loses a stage of its readiness. What that is, and when, `diagnosing` says.

use std::time::Duration;

use aiplat_core::{
    ResourceId,
    observed::UnitEvidence,
    plan::{self, Diagnosing, Step},
};

use crate::shared::Shared;

/// A journal that is not read by then is left unread.
const DEADLINE: Duration = Duration::from_secs(5);

/// Takes down what `step` says of the unit `id`.
pub(crate) async fn take_down(shared: &Shared, id: &ResourceId, step: &Step) {
    let (mut diagnosis, fetch) = {
        let mut state = shared.lock();
        let diagnosing = state.world(shared.now()).map(|world| plan::diagnosing(&world, id, step));
        match diagnosing.unwrap_or(Diagnosing::Stays) {
            Diagnosing::Stays => return,
            Diagnosing::Mended => {
                if let Some(known) = state.observed.diagnoses.get_mut(id) {
                    known.mended = true;
                }
                return;
            }
            Diagnosing::New { diagnosis, fetch } => (diagnosis, fetch),
        }
    };
    let evidence = match fetch {
        Some(unit) => {
            let call = shared.units.evidence(&unit);
            Some(tokio::time::timeout(DEADLINE, call).await.unwrap_or_else(|_| UnitEvidence::default()))
        }
        None => None,
    };
    diagnosis.wall_ms = shared.clock.wall_ms();
    let mut state = shared.lock();
    if let (Some(evidence), Some(world)) = (evidence, state.world(shared.now())) {
        plan::add_evidence(&world, id, &mut diagnosis, evidence);
    }
    state.observed.diagnoses.insert(id.clone(), *diagnosis);
    drop(state);
    shared.changed();
}
