//! One reconcile pass: look, plan, do at most one thing, remember, look again.
//!
//! Nothing waits in here, and nothing is decided in here: `plan` decides (`aiplat-core`), the controller says when
//! (`aiplat-runtime`), the backend does (`aiplat-host`). A crash after any line leaves a world from which the next
//! pass goes on; there is no recovery code.

use std::sync::Arc;

use aiplat_core::{
    Kind, ResourceId,
    action::{Action, Pool},
    condition::{ErrorClass, Reason},
    plan::{self, Entry, Planned, Step},
};
use aiplat_host::{HostError, HostErrorKind};
use aiplat_runtime::{Class, Outcome, Permits, Reconciler, Requeue};
use futures_util::future::{BoxFuture, FutureExt};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info, info_span, warn};

use crate::{diagnosis, failure::failure, kept_logs, probes::Prober, shared::Shared};

/// Places for starts.
pub const STARTS: Class = Class("starts");
/// Places for pulls.
pub const PULLS: Class = Class("pulls");
/// Places for pulls of models.
pub const MODELS: Class = Class("models");

/// What runs a pass for each resource.
pub struct Passes {
    /// The daemon's parts.
    pub shared: Arc<Shared>,
    /// Probes what has to be probed.
    pub prober: Prober,
    /// Ends long calls when the daemon stops.
    pub shutdown: CancellationToken,
}

impl Passes {
    async fn pass(&self, id: &ResourceId, permits: &Permits) -> Outcome<ResourceId> {
        // What a hint or our own last write made stale is read again before anything is decided. Otherwise the last
        // listing is enough to see that there is nothing to do ...
        let mut looked = self.shared.lock().must_look(id);
        if looked && let Err(error) = self.shared.look(id).await {
            return retry_look(id, &error);
        }
        let Some(mut decision) = self.decide(id) else { return Outcome::done(Requeue::OnChange) };
        // ... but never enough to act on.
        if decision.step.action.is_some() && !looked {
            looked = true;
            if let Err(error) = self.shared.look(id).await {
                return retry_look(id, &error);
            }
            let Some(fresh) = self.decide(id) else { return Outcome::done(Requeue::OnChange) };
            decision = fresh;
        }
        debug_assert!(looked || decision.step.action.is_none(), "an action needs a fresh look");

        // A full pool ends the pass; it is planned anew when a place frees. Nothing waits here.
        let pool = decision.step.action.as_ref().and_then(|planned| planned.action.pool()).map(class);
        if let Some(class) = pool.filter(|class| !permits.try_take(*class)) {
            return Outcome::NeedsPermit(class);
        }

        // Said before it is done, so that the intent is visible during a slow call; remembered before it is done, so
        // that a crash in between over-counts a restart, which only makes us more careful.
        let mut wake = self.say(id, &decision.step);
        self.remember(id, decision.entries).await;
        // Before anything is done about it: a restart would take the evidence away.
        diagnosis::take_down(&self.shared, id, &decision.step).await;

        let requeue = match &decision.step.action {
            Some(planned) => {
                self.carry_out(id, planned).await;
                Requeue::Now
            }
            None => requeue(decision.step.requeue),
        };
        self.prober.follow(id);
        wake.retain(|other| other != id);
        Outcome::Done { requeue, wake }
    }

    /// The pure part. `None` before the first good file.
    fn decide(&self, id: &ResourceId) -> Option<Decision> {
        let state = self.shared.lock();
        let world = state.world(self.shared.now())?;
        let step = plan::plan(&world, id);
        let entries = plan::entries(&world, id, &step);
        Some(Decision { step, entries })
    }

    /// Writes down the conditions and their transitions; answers with those whose gates look at `id`, if they would
    /// see something new.
    fn say(&self, id: &ResourceId, step: &Step) -> Vec<ResourceId> {
        let mut state = self.shared.lock();
        let state = &mut *state;
        // What was done is seen now, also where no condition tells of it: a restart policy, a limit.
        let acted = state.acted.remove(id);
        let changed = state.note_conditions(id, step, self.shared.clock.wall_ms()) || acted;
        state.note_waiting(id, step);
        state.forget_if_gone(id, step);
        let wake = if state.readiness_changed(id, self.shared.now()) {
            state.desired.as_deref().map(|desired| desired.dependants(id)).unwrap_or_default()
        } else {
            Vec::new()
        };
        if changed || !wake.is_empty() {
            self.shared.changed();
            let spec = state.desired.as_deref().and_then(|desired| desired.service(id));
            if spec.is_some_and(|spec| !spec.gpus().is_empty()) {
                self.shared.gpus_used.notify_one();
            }
        }
        wake
    }

    async fn remember(&self, id: &ResourceId, entries: Vec<Entry>) {
        if entries.is_empty() {
            return;
        }
        {
            let mut state = self.shared.lock();
            for entry in entries {
                state.ledger.enter(id, entry);
            }
        }
        self.shared.commit(std::slice::from_ref(id)).await;
    }

    /// Does one thing to a host. Whatever the answer, the resource is looked at again before the next step: an unknown
    /// outcome is observed, never assumed.
    async fn carry_out(&self, id: &ResourceId, planned: &Planned) {
        let Planned { action, cause } = planned;
        info!(event = event_of(planned), service = id.key(), "{action}: {cause}");
        if let Action::StartContainer { id: container } = action {
            self.shared.lock().observed.record_start(container, self.shared.now());
        }
        // Its log goes with it, and is what a person asks for the morning after.
        if let Action::RemoveContainer { id: container } = action {
            kept_logs::keep(&self.shared, id, container).await;
        }
        let result = match self.unremembered(action) {
            Some(error) => Err(error),
            None => self.apply(id, action).await,
        };
        if let Err(error) = &result
            && error.kind == HostErrorKind::Unreachable
        {
            // Nothing was done, and nobody is to blame but the host: no attempt is counted.
            match id.kind {
                Kind::Unit | Kind::Host => self.shared.record_systemd_loss(&error.message),
                // A disk is not away; it fails.
                Kind::File => {}
                Kind::Model => self.shared.record_model_server_loss(id, &error.message),
                Kind::Container | Kind::Network | Kind::Volume | Kind::Image => {
                    self.shared.record_loss(&error.message);
                }
            }
            self.shared.lock().mark_stale(id);
            return;
        }
        self.note_result(id, planned, result);
        self.shared.changed();
    }

    async fn apply(&self, id: &ResourceId, action: &Action) -> Result<(), HostError> {
        let call = self.shared.apply(id, action, self.shared.pull_progress(id), self.shutdown.child_token());
        match tokio::time::timeout(action.deadline(), call).await {
            Ok(result) => result,
            Err(_elapsed) => Err(HostError::new(
                HostErrorKind::OutcomeUnknown,
                ErrorClass::Transient,
                Reason::ActionFailed,
                format!("{action} had no answer within {:?}", action.deadline()),
            )),
        }
    }

    /// Whose a file is stands in the ledger alone: one that could not be remembered there would be nobody's.
    fn unremembered(&self, action: &Action) -> Option<HostError> {
        let (Action::WriteFile(_) | Action::WriteUnitFiles(_) | Action::WriteUnit(_)) = action else {
            return None;
        };
        let why = self.shared.lock().store_failing.clone()?;
        let message = format!(
            "cannot {action}: the ledger, which says whose the file is, cannot be written ({why}); mend that, and it is tried again"
        );
        Some(HostError::new(HostErrorKind::Refused, ErrorClass::Transient, Reason::ActionFailed, message))
    }

    fn note_result(&self, id: &ResourceId, planned: &Planned, result: Result<(), HostError>) {
        let Planned { action, cause } = planned;
        let now = self.shared.now();
        let mut state = self.shared.lock();
        state.mark_stale(id);
        state.acted.insert(id.clone());
        *state.actions.entry((action.verb(), result.is_ok())).or_default() += 1;
        let fingerprint = state.desired.as_deref().and_then(|desired| desired.fingerprint(id));
        if state.ledger.note_done(id, action) {
            state.unsaved.insert(id.clone());
        }
        let record = state.ledger.entry(id);
        match result {
            Ok(()) => {
                record.failure = None;
                let text = format!("{action}: {cause}");
                state.events.note(self.shared.clock.wall_ms(), event_of(planned), &id.to_string(), text);
            }
            Err(error) => {
                let failed = failure(id, action.verb(), &error, fingerprint, record.failure.as_ref(), now);
                let news = record.failure.as_ref().is_none_or(|before| before.message != failed.message);
                record.failure = Some(failed);
                if news {
                    warn!(%action, class = ?error.class, "{error}");
                }
                // A path that is missing may be a config that somebody has removed.
                if error.class == ErrorClass::Changed || error.reason == Reason::HostPathMissing {
                    let parts = state.mark_parts_stale(id);
                    self.shared.schedule(parts);
                }
                if error.class != ErrorClass::Changed && news {
                    state.events.warn(
                        self.shared.clock.wall_ms(),
                        "DEPLOY_FAIL",
                        &id.to_string(),
                        error.to_string(),
                    );
                }
            }
        }
    }
}

/// What the pure part of a pass came to.
struct Decision {
    step: Step,
    entries: Vec<Entry>,
}

impl Reconciler<ResourceId> for Passes {
    /// The longest critical path first: what the most services wait for.
    fn priority(&self, key: &ResourceId) -> u32 {
        self.shared.lock().priority(key)
    }

    fn reconcile(&self, key: ResourceId, permits: Permits) -> BoxFuture<'_, Outcome<ResourceId>> {
        async move {
            let generation = self.shared.lock().desired.as_ref().map_or(0, |desired| desired.generation);
            let span = info_span!("reconcile", resource = %key, generation);
            self.pass(&key, &permits).instrument(span).await
        }
        .boxed()
    }

    /// A mistake of ours concerns the one resource it was made with.
    fn on_panic(&self, key: &ResourceId, message: &str) {
        let text = format!("a mistake in aiplatd: {message}; please report it");
        self.shared.lock().events.warn(self.shared.clock.wall_ms(), "InternalError", &key.to_string(), text);
        self.shared.changed();
    }
}

/// The host could not be asked. Its return is a hint for everything; this timer only makes us correct without hints.
fn retry_look(id: &ResourceId, error: &HostError) -> Outcome<ResourceId> {
    info!(resource = %id, error = %error, "It could not be looked at; trying again.");
    let wait = match error.kind {
        HostErrorKind::Unreachable => std::time::Duration::from_secs(5),
        HostErrorKind::OutcomeUnknown | HostErrorKind::Refused => std::time::Duration::from_secs(1),
    };
    Outcome::done(Requeue::After(wait))
}

fn requeue(requeue: plan::Requeue) -> Requeue {
    match requeue {
        plan::Requeue::Now => Requeue::Now,
        plan::Requeue::After(delay) => Requeue::After(delay),
        plan::Requeue::OnChange => Requeue::OnChange,
    }
}

fn class(pool: Pool) -> Class {
    match pool {
        Pool::Starts => STARTS,
        Pool::Pulls => PULLS,
        Pool::Models => MODELS,
    }
}

/// The event type of an action (capability I1).
fn event_of(planned: &Planned) -> &'static str {
    match planned.action.verb() {
        "start" => "DEPLOY_START",
        "pull" => "Pulling",
        "create" => "Created",
        "remove" => "Removed",
        "stop" => "Stopping",
        _ => "Changed",
    }
}
