//! A controller over keys: it decides *when* a key is reconciled, never *what* is done.
//!
//! The parts, from pure to not:
//! * [`backoff`]: how long to wait after a failure. A function.
//! * [`queue`]: one slot per key, the earlier time wins, a key in flight is held and runs once more. Time is an argument.
//! * [`scheduler`]: the queue, the concurrency cap and the permits together: which key runs next. Pure as well, so that
//!   every law about order, permits and lost wake-ups is tested without a runtime.
//! * [`controller`]: the thin shell on tokio that runs the passes, and [`handle`], what the rest of the daemon holds.
//!
//! What is deliberately absent: errors (a pass is infallible; a panic is that key's trouble only), retries other than
//! those a pass asks for, any knowledge of the keys, of Docker or of `aiplat-core`, and any wall clock.

pub mod backoff;
pub mod controller;
pub mod handle;
pub mod permits;
mod pools;
pub mod queue;
pub mod reconciler;
pub mod scheduler;

pub use backoff::{Backoff, ErrorClass};
pub use controller::{Config, Controller, Stopped};
pub use handle::{Handle, Settled, Stats};
pub use permits::{Class, Permits};
pub use queue::{Moment, Queue, Rank};
pub use reconciler::{Outcome, Reconciler, Requeue};
pub use scheduler::{ClassStats, Limits, Scheduler, Totals};
