//! Looks from inside containers whether they reach the GPUs that they were given, where `sight_due` says that it is due; and reads
//! once what each run has said of GPUs at its start.

use std::{sync::Arc, time::Duration};

use aiplat_core::{
    ResourceId,
    observed::{ContainerId, LogWords, Sight, Sighted},
    plan::{self, LogCheck, SightCheck},
};
use aiplat_host::LogOptions;
use futures_util::StreamExt;

use crate::shared::Shared;

/// A look that is due is made so soon.
const EVERY: Duration = Duration::from_secs(2);
/// `nvidia-smi` waits for a driver that has gone to sleep.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The adapter bounds itself; this bound is for an adapter that does not.
const DEADLINE: Duration = Duration::from_secs(30);

/// A program says how it is set up in its first lines.
const LINES: usize = 2_000;

/// Looks, for ever. One container after the other: each look takes a process in it.
pub(crate) async fn follow(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(EVERY).await;
        for (id, check) in shared.sights_due() {
            shared.look_from_inside(id, check).await;
        }
        for (id, check) in shared.logs_due() {
            shared.read_log(id, check).await;
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

    fn logs_due(&self) -> Vec<(ResourceId, LogCheck)> {
        let state = self.lock();
        let Some(world) = state.world(self.now()) else { return Vec::new() };
        let asking = state.gpu_services().into_iter();
        asking.filter_map(|id| plan::log_due(&world, &id).map(|check| (id, check))).collect()
    }

    async fn read_log(&self, id: ResourceId, LogCheck { run, running }: LogCheck) {
        let started = self.clock.wall_ms() / 1_000 - i64::try_from(running.as_secs()).unwrap_or(0);
        // The engine has seen it start before aiplatd did.
        let options = LogOptions { since: Some(started - 2), ..LogOptions::default() };
        let line = match tokio::time::timeout(DEADLINE, self.lines(&id, &options)).await {
            Ok(lines) => plan::word_of_cpu(lines.iter().map(String::as_str)),
            Err(_elapsed) => None,
        };
        let is_news = line.is_some();
        self.lock().observed.log_words.insert(id.clone(), LogWords { run, line });
        if is_news {
            self.schedule([id]);
            self.changed();
        }
    }

    /// The first lines that the service wrote; none where they cannot be read.
    async fn lines(&self, id: &ResourceId, options: &LogOptions) -> Vec<String> {
        enum Logged {
            Container(ContainerId),
            Unit(String),
        }
        let logged = {
            let state = self.lock();
            match state.desired.as_deref().and_then(|desired| desired.units.get(id)) {
                Some(spec) => Some(Logged::Unit(spec.unit.clone())),
                None => {
                    let members = state.observed.owned.get(id).into_iter().flatten();
                    let mut alive = members.filter(|member| member.state.is_alive());
                    alive.next().map(|member| Logged::Container(member.id.clone()))
                }
            }
        };
        let stream = match &logged {
            Some(Logged::Unit(unit)) => self.units.logs(unit, options).await,
            Some(Logged::Container(container)) => self.host.logs(container, options).await,
            None => return Vec::new(),
        };
        match stream {
            Ok(lines) => lines.take(LINES).filter_map(|line| async { Some(line.ok()?.text) }).collect().await,
            Err(error) => {
                tracing::debug!(service = id.key(), error = %error, "Its log cannot be read for words of its GPU.");
                Vec::new()
            }
        }
    }
}
