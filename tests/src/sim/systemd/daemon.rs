//! systemd as one daemon reaches it: with the faults of its machine, with a checker at every call, and no longer than the
//! daemon lives.

use std::time::Duration;

use aiplat_core::{
    action::Action,
    condition::{ErrorClass, Reason},
};
use aiplat_host::{HostError, HostErrorKind, UnitHint};
use futures_util::{
    StreamExt, future,
    stream::{self, BoxStream},
};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use super::Systemd;
use crate::sim::{Fate, SimHost, hints::deliver, host::Inner};

/// Who asks.
#[derive(Clone)]
pub(super) struct Daemon {
    host: SimHost,
    dead: CancellationToken,
}

/// A call takes so long.
const CALL: Duration = Duration::from_millis(1);

impl Systemd {
    /// The same systemd, as the daemon reaches it that is alive until `dead`.
    #[must_use]
    pub fn reached_by(&self, host: SimHost, dead: CancellationToken) -> Self {
        Self { daemon: Some(Daemon { host, dead }), ..self.clone() }
    }

    pub(super) async fn call(&self, action: &Action) -> Result<(), HostError> {
        let Some(daemon) = &self.daemon else {
            sleep(CALL).await;
            return self.change(action);
        };
        tokio::select! {
            biased;
            // Cancel-safe: a flag that stays set.
            () = daemon.dead.cancelled() => future::pending().await,
            // Given up with its daemon, which never sees an answer.
            done = self.attempt(&daemon.host, action) => done,
        }
    }

    async fn attempt(&self, host: &SimHost, action: &Action) -> Result<(), HostError> {
        let fate = host.settle().fate_of_unit();
        match fate {
            Fate::ErrorBefore => {
                sleep(CALL).await;
                return Err(failed(HostErrorKind::Refused, "systemd failed (injected)"));
            }
            Fate::HangBefore => return future::pending().await,
            Fate::CrashBefore(crash) => {
                crash.cancel();
                return future::pending().await;
            }
            Fate::Ok | Fate::LostReply | Fate::HangAfter | Fate::CrashAfter(_) => {}
        }
        sleep(CALL).await;
        // As it is now: what happened on the way is not the daemon's fault, and is within the checker's tolerance.
        host.settle().check_unit(action);
        let done = self.change(action);
        match fate {
            Fate::LostReply => Err(failed(HostErrorKind::OutcomeUnknown, "the reply was lost (injected)")),
            Fate::HangAfter => future::pending().await,
            Fate::CrashAfter(crash) => {
                crash.cancel();
                future::pending().await
            }
            Fate::Ok | Fate::ErrorBefore | Fate::HangBefore | Fate::CrashBefore(_) => done,
        }
    }

    /// Whether this look fails.
    pub(super) fn fails_to_look(&self) -> Result<(), HostError> {
        let Some(Daemon { host, .. }) = &self.daemon else { return Ok(()) };
        let mut inner = host.settle();
        let chance = inner.faults.read_error;
        if chance > 0 && inner.rng.percent(chance) {
            return Err(failed(HostErrorKind::Unreachable, "a read failed (injected)"));
        }
        Ok(())
    }

    /// Hints about units get lost, and come late or twice, as hints about containers do. One about the stream itself is
    /// never lost: the adapter makes it.
    pub(super) fn unreliable(&self, hints: BoxStream<'static, UnitHint>) -> BoxStream<'static, UnitHint> {
        let Some(Daemon { host, dead }) = self.daemon.clone() else { return hints };
        let (sender, receiver) = unbounded_channel();
        drop(tokio::spawn(dead.run_until_cancelled_owned(pass_on(host, hints, sender))));
        let next = |mut receiver: UnboundedReceiver<_>| async move {
            let hint = receiver.recv().await?;
            Some((hint, receiver))
        };
        stream::unfold(receiver, next).boxed()
    }
}

async fn pass_on(host: SimHost, mut hints: BoxStream<'static, UnitHint>, to: UnboundedSender<UnitHint>) {
    while let Some(hint) = hints.next().await {
        let mut inner = host.settle();
        let Inner { faults, rng, .. } = &mut *inner;
        let is_reliable = faults.hint_drop + faults.hint_double + faults.hint_delay == 0;
        match hint {
            // Where nothing is to go wrong no chance is used up: what is drawn for the engine stays as it is.
            UnitHint::Changed(_) if !is_reliable => deliver(std::slice::from_ref(&to), &hint, faults, rng),
            UnitHint::Changed(_) | UnitHint::Relist | UnitHint::Lost { .. } => drop(to.send(hint)),
        }
    }
}

fn failed(kind: HostErrorKind, message: &str) -> HostError {
    HostError::new(kind, ErrorClass::Transient, Reason::ActionFailed, message)
}
