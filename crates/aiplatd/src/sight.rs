//! Looks from inside containers whether they reach the GPUs that they were given, where `sight_due` says that it is due.

use std::{sync::Arc, time::Duration};

use aiplat_core::{
    ResourceId,
    observed::{Sight, Sighted},
    plan::{self, SightCheck},
};

use crate::shared::Shared;

/// A look that is due is made so soon.
const EVERY: Duration = Duration::from_secs(2);
/// `nvidia-smi` waits for a driver that has gone to sleep.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The adapter bounds itself; this bound is for an adapter that does not.
const DEADLINE: Duration = Duration::from_secs(30);

/// Looks, for ever. One container after the other: each look takes a process in it.
pub(crate) async fn follow(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(EVERY).await;
        for (id, check) in shared.sights_due() {
            shared.look_from_inside(id, check).await;
        }
    }
}

impl Shared {
    fn sights_due(&self) -> Vec<(ResourceId, SightCheck)> {
        let state = self.lock();
        let Some(world) = state.world(self.now()) else { return Vec::new() };
        let asking = state.gpu_services().into_iter();
        asking.filter_map(|id| plan::sight_due(&world, &id).map(|check| (id, check))).collect()
    }

    async fn look_from_inside(&self, id: ResourceId, SightCheck { container, run }: SightCheck) {
        // What a reload that comes meanwhile does is not seen by this look.
        let at = self.now();
        let sight = match tokio::time::timeout(DEADLINE, self.host.sight(&container, TIMEOUT)).await {
            Ok(sight) => sight,
            Err(_elapsed) => Sight::Untried(format!("no outcome within {DEADLINE:?}")),
        };
        if let Sight::Untried(why) = &sight {
            tracing::debug!(service = id.key(), why, "It could not be asked whether it reaches its GPU.");
        }
        let is_news = {
            let mut state = self.lock();
            let before = state.observed.sights.get(&id).map(|known| known.sight.clone());
            let sighted = Sighted { run, at, sight };
            // Seen once more is no news; not reaching it is, as long as something is done about it.
            let is_news = before.as_ref() != Some(&sighted.sight) || matches!(sighted.sight, Sight::Blind(_));
            state.observed.sights.insert(id.clone(), sighted);
            is_news
        };
        if is_news {
            self.schedule([id]);
            self.changed();
        }
    }
}
