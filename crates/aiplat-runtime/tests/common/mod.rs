//! A reconciler made of two closures, and a controller that runs it in the background.

use std::{sync::Arc, time::Duration};

use aiplat_runtime::{Config, Controller, Handle, Outcome, Permits, Reconciler, Settled, Stopped};
use futures_util::future::BoxFuture;
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

/// A key of the tests.
pub type Key = u32;

type PassFn = dyn Fn(Key, Permits) -> BoxFuture<'static, Outcome<Key>> + Send + Sync;

type PanicFn = dyn Fn(Key, &str) + Send + Sync;

/// Does what the closures say.
pub struct Scripted {
    pub priority: Box<dyn Fn(Key) -> u32 + Send + Sync>,
    pub pass: Box<PassFn>,
    pub on_panic: Box<PanicFn>,
}

impl Scripted {
    /// All keys alike, panics unnoticed.
    pub fn new<F>(pass: impl Fn(Key, Permits) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Outcome<Key>> + Send + 'static,
    {
        Self {
            priority: Box::new(|_| 0),
            pass: Box::new(move |key, permits| Box::pin(pass(key, permits))),
            on_panic: Box::new(|_, _| ()),
        }
    }
}

impl Reconciler<Key> for Scripted {
    fn priority(&self, key: &Key) -> u32 {
        (self.priority)(*key)
    }

    fn reconcile(&self, key: Key, permits: Permits) -> BoxFuture<'_, Outcome<Key>> {
        (self.pass)(key, permits)
    }

    fn on_panic(&self, key: &Key, message: &str) {
        (self.on_panic)(*key, message);
    }
}

/// A controller that runs in the background.
pub struct Background {
    pub handle: Handle<Key>,
    pub cancel: CancellationToken,
    pub task: JoinHandle<Stopped<Key>>,
}

/// Runs a controller in the background; dropped with the runtime.
pub fn run(scripted: Scripted, config: &Config) -> Background {
    let controller = Controller::new(Arc::new(scripted), config);
    let handle = controller.handle();
    let cancel = CancellationToken::new();
    let task = tokio::spawn(controller.run(cancel.clone()));
    Background { handle, cancel, task }
}

/// So many milliseconds.
pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Waits until the controller has settled, for an hour of paused time at most: a hang is a failure, not a test that never
/// ends.
pub async fn settled(handle: &Handle<Key>) -> Settled {
    timeout(ms(3_600_000), handle.settled())
        .await
        .unwrap_or_else(|_| panic!("it never settles: {:?}", handle.stats()))
}
