//! A machine and its GPUs in memory, which a test changes as it likes.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use aiplat_core::observed::{GpuEvent, GpuFacts, HostFacts};
use aiplat_host::{Gpus, Machine};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::BoxStream};
use tokio::sync::broadcast;

use super::ports::lock;

/// What there is. One that nobody has described is not known, as where nothing can be read.
#[derive(Clone)]
pub struct SimMachine {
    facts: Arc<Mutex<HostFacts>>,
    gpus: Arc<Mutex<GpuFacts>>,
    looks: Arc<AtomicUsize>,
    told: broadcast::Sender<GpuEvent>,
}

impl Default for SimMachine {
    fn default() -> Self {
        Self {
            facts: Arc::default(),
            gpus: Arc::default(),
            looks: Arc::default(),
            told: broadcast::Sender::new(64),
        }
    }
}

impl SimMachine {
    /// Changes the machine.
    pub fn change(&self, change: impl FnOnce(&mut HostFacts)) {
        change(&mut lock(&self.facts));
    }

    /// Changes the GPUs.
    pub fn change_gpus(&self, change: impl FnOnce(&mut GpuFacts)) {
        change(&mut lock(&self.gpus));
    }

    /// How often it was looked at.
    #[must_use]
    pub fn looks(&self) -> usize {
        self.looks.load(Ordering::Relaxed)
    }

    /// The driver tells of something.
    pub fn tell(&self, event: GpuEvent) {
        // Nobody may be listening.
        drop(self.told.send(event));
    }
}

impl Machine for SimMachine {
    fn facts(&self, paths: BTreeSet<String>) -> BoxFuture<'_, HostFacts> {
        self.looks.fetch_add(1, Ordering::Relaxed);
        let mut facts = lock(&self.facts).clone();
        // What nobody has put elsewhere is on the root.
        if facts.file_systems.contains_key("/") {
            for path in paths {
                facts.mounted_on.entry(path).or_insert_with(|| "/".to_owned());
            }
        }
        async { facts }.boxed()
    }
}

impl Gpus for SimMachine {
    fn observe(&self) -> BoxFuture<'_, GpuFacts> {
        let gpus = lock(&self.gpus).clone();
        async { gpus }.boxed()
    }

    fn events(&self) -> BoxStream<'static, GpuEvent> {
        let told = self.told.subscribe();
        futures_util::stream::unfold(told, |mut told| async {
            loop {
                match told.recv().await {
                    Ok(event) => return Some((event, told)),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        })
        .boxed()
    }
}
