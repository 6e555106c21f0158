//! What the controller asks of the one who knows what the keys mean.

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::permits::{Class, Permits};

/// When a pass wants its key to be looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requeue {
    /// At once, as after an action: there may be a next one. Many of these in a row are slowed down,
    /// see [`Limits::now_in_a_row_max`](crate::Limits::now_in_a_row_max).
    Now,
    /// After this time, or earlier if something schedules the key. Clamped to [`DELAY_MAX`](crate::queue::DELAY_MAX).
    After(Duration),
    /// When something schedules the key; the controller does nothing by itself.
    OnChange,
}

/// How a pass ended. There is no error: trouble with a resource is that resource's condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<K> {
    /// The pass looked, and did what there was to do.
    Done {
        /// When this key is due again.
        requeue: Requeue,
        /// The keys that are due now because of what this pass saw or did. Its own key here means [`Requeue::Now`].
        wake: Vec<K>,
    },
    /// The pass wanted to do what needs a permit of this class, and [`Permits::try_take`] gave none. It did nothing. The
    /// key leaves its place under the concurrency cap, stands in the line of the class, and is planned anew, holding the
    /// permit, when its turn comes. Whatever schedules it meanwhile still runs it, without the permit.
    NeedsPermit(Class),
}

impl<K> Outcome<K> {
    /// Done, nothing to wake.
    #[must_use]
    pub const fn done(requeue: Requeue) -> Self {
        Self::Done { requeue, wake: Vec::new() }
    }
}

/// One pass over one key: observe, plan, at most one action. Implemented by the daemon and by the tests.
pub trait Reconciler<K>: Send + Sync {
    /// How urgent a key is: due keys run highest first, which is meant to be the length of the longest path that waits for
    /// the key. A quick look-up. Read when the key becomes due and again whenever it is scheduled, so a change of the graph
    /// takes effect with the scheduling of the keys that it moves.
    fn priority(&self, key: &K) -> u32;

    /// One pass. Nothing waits inside: what is not so yet is a requeue or a hint. Never runs twice at once for one key.
    fn reconcile(&self, key: K, permits: Permits) -> BoxFuture<'_, Outcome<K>>;

    /// A pass of this key panicked, or broke the contract of the permits; the message says how. The key backs off and is
    /// tried again; no other key is touched. Called from the controller's loop: it must not block.
    fn on_panic(&self, key: &K, message: &str) {
        let (_, _) = (key, message);
    }
}
