//! The machine and its GPUs: looked at every half minute, and when the driver tells of something. Nothing is done to either; what
//! they are decides what is pulled, and which tier's services the file has.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use aiplat_core::{
    Kind, ResourceId,
    condition::Condition,
    observed::{GpuEvent, GpuEventKind},
    plan,
    tier::{Judged, Judgement, Tier},
};
use futures_util::StreamExt;
use tokio::time::Instant;

use crate::{
    inventory,
    shared::Shared,
    spec::{self, Intent},
    state::State,
};

/// Disks fill within minutes, not within seconds.
const EVERY: Duration = Duration::from_secs(30);
/// While something is pulled, which fills a disk within seconds, and after the engine was away.
const SOON: Duration = Duration::from_secs(5);
/// A GPU that fails tells of it a hundred times in a second: one look at once, and then one in so long.
const STORM_PAUSE: Duration = Duration::from_secs(1);
/// An engine that has just come up may take a while; the machine is looked at without it meanwhile.
const ENGINE_PATIENCE: Duration = Duration::from_secs(2);
/// A GPU that sleeps takes seconds to wake up, and a driver that hangs says so by itself after half a minute: neither keeps the
/// rest from being looked at.
const GPU_PATIENCE: Duration = Duration::from_secs(5);
/// Who has begun with a GPU, or ended, has taken its memory or given it back so soon.
const SETTLED: Duration = Duration::from_secs(1);
/// The engine's settings change only with a restart of it: they are asked for again after so many looks.
const ASK_ENGINE_AT: u32 = 20;

/// Addresses by interface. Of IPv4: those of IPv6 that protect the privacy of who surfs change every day.
fn ipv4(addresses: Option<&BTreeMap<String, Vec<IpAddr>>>) -> Option<BTreeSet<(String, Ipv4Addr)>> {
    let of = |(interface, all): (&String, &Vec<IpAddr>)| {
        let ipv4 = |address: &IpAddr| match address {
            IpAddr::V4(address) => Some((interface.clone(), *address)),
            IpAddr::V6(_) => None,
        };
        all.iter().filter_map(ipv4).collect::<Vec<_>>()
    };
    Some(addresses?.iter().flat_map(of).collect())
}

/// Looks again and again, for ever. The first look was made before the file was read.
pub(crate) async fn follow(shared: Arc<Shared>) {
    let mut told = shared.gpus.events();
    let mut looks = 0_u32;
    // Where the services write to is known only now.
    shared.look_at_machine(false).await;
    let mut last = Instant::now();
    let mut due = last + EVERY;
    loop {
        tokio::select! {
            // The look first: events that come one after another must not keep it from being made.
            biased;
            // Cancel-safe: a moment that does not move.
            () = tokio::time::sleep_until(due) => {
                looks = looks.wrapping_add(1);
                shared.look_at_machine(looks.is_multiple_of(ASK_ENGINE_AT)).await;
                last = Instant::now();
                due = last + if shared.lock().pulls.is_empty() { EVERY } else { SOON };
            }
            // Cancel-safe: a word that nobody has taken is kept.
            () = shared.look_soon.notified() => due = due.min(last + SOON),
            // Cancel-safe: as above.
            () = shared.gpus_used.notified() => due = due.min(Instant::now() + SETTLED),
            // Cancel-safe: an event that is not taken stays in the stream.
            Some(event) = told.next() => {
                shared.note_gpu_event(&event);
                due = due.min(last + STORM_PAUSE);
            }
        }
    }
}

/// What the tiers are decided by so far.
pub(crate) fn judged(shared: &Shared) -> Judged {
    shared.lock().ledger.get(&ResourceId::local()).map(|record| record.judged.clone()).unwrap_or_default()
}

impl Shared {
    /// The engine is there again: it has read its settings anew, perhaps.
    pub(crate) fn engine_is_new(&self) {
        self.lock().engine_is_new = true;
        self.look_soon.notify_one();
    }

    /// Looks once, and takes in what was found.
    pub(crate) async fn look_at_machine(&self, ask_engine: bool) {
        let is_unknown = {
            let mut state = self.lock();
            std::mem::take(&mut state.engine_is_new) || state.observed.engine.settings.is_none()
        };
        if ask_engine || is_unknown {
            self.ask_engine().await;
        }
        let paths = self.places();
        let gpus = tokio::time::timeout(GPU_PATIENCE, self.gpus.observe());
        let (facts, gpus) = tokio::join!(self.machine.facts(paths), gpus);
        let (judgement, is_news, inventory) = {
            let mut state = self.lock();
            let before = self.said(&state);
            let gpus_before = state.observed.gpus.clone();
            let addresses = ipv4(state.observed.machine.addresses.as_ref());
            state.observed.machine.take_in(facts);
            self.note_addresses(&mut state, addresses);
            if let Ok(gpus) = gpus {
                state.observed.gpus.take_in(gpus);
            }
            let inventory = inventory::take(&mut state, self.now(), self.clock.wall_ms());
            let known = state.ledger.get(&ResourceId::local()).and_then(|record| record.judged.capacity);
            let capacity = plan::capacity(&state.observed, known);
            let judgement = state.ledger.entry(&ResourceId::local()).judged.take(capacity);
            let is_news = before != self.said(&state) || judgement != Judgement::Same || inventory;
            if gpus_before != state.observed.gpus {
                self.schedule(state.gpu_services());
            }
            (judgement, is_news, inventory)
        };
        if inventory {
            self.commit(&[ResourceId::local()]).await;
        }
        self.end_pull_without_room();
        if !is_news {
            // More room is no news of the machine's; it may be all that an image waits for.
            let images: Vec<ResourceId> = {
                let waiting = &self.lock().waiting;
                waiting.iter().filter(|id| id.kind == Kind::Image).cloned().collect()
            };
            self.schedule(images);
            return;
        }
        self.judge(judgement).await;
        // Who waits for room, and what says how much there is.
        let due: BTreeSet<ResourceId> = {
            let state = self.lock();
            state.waiting.iter().cloned().chain(state.ids()).collect()
        };
        self.schedule(due);
        self.changed();
    }

    /// A machine that has another address is another one to those who knew it by the old one.
    fn note_addresses(&self, state: &mut State, before: Option<BTreeSet<(String, Ipv4Addr)>>) {
        let after = ipv4(state.observed.machine.addresses.as_ref());
        let (Some(before), Some(after)) = (before, after) else { return };
        let told = |these: &[&(String, Ipv4Addr)]| {
            these.iter().map(|(on, address)| format!("{address} on {on}")).collect::<Vec<_>>().join(", ")
        };
        let (came, went) =
            (after.difference(&before).collect::<Vec<_>>(), before.difference(&after).collect::<Vec<_>>());
        let said = match (came.is_empty(), went.is_empty()) {
            (true, true) => return,
            (false, true) => format!("the machine has {} too now", told(&came)),
            (true, false) => format!("the machine no longer has {}", told(&went)),
            (false, false) => format!("the machine has {} now, and no longer {}", told(&came), told(&went)),
        };
        let (wall, host) = (self.clock.wall_ms(), ResourceId::local().to_string());
        if went.is_empty() {
            state.events.note(wall, "AddressChanged", &host, said);
        } else {
            let said =
                format!("{said}; `aiplatctl doctor` says what is still published at an address that is gone");
            state.events.warn(wall, "AddressChanged", &host, said);
        }
    }

    /// Paths whose file systems matter: where the engine and we ourselves keep everything, and where services write to.
    fn places(&self) -> BTreeSet<String> {
        let state = self.lock();
        let places = state.world(self.now()).map(|world| plan::places(&world)).unwrap_or_default();
        let engine = state.observed.engine.settings.as_ref().map(|settings| settings.data_root.clone());
        let own = self.state_dir.display().to_string();
        places.into_keys().chain(engine).chain([own]).collect()
    }

    async fn ask_engine(&self) {
        match tokio::time::timeout(ENGINE_PATIENCE, self.host.settings()).await {
            Ok(Ok(Some(settings))) => self.lock().observed.engine.settings = Some(settings),
            Ok(Err(error)) => {
                tracing::debug!(error = %error, "The engine cannot be asked how it is set up.");
            }
            Ok(Ok(None)) | Err(_) => {}
        }
    }

    /// What is said of the machine: another text is worth a pass of everything.
    fn said(&self, state: &State) -> Vec<Condition> {
        let world = state.world(self.now());
        world.map(|world| plan::plan(&world, &ResourceId::local()).conditions).unwrap_or_default()
    }

    fn tier(&self) -> Option<Tier> {
        self.lock().desired.as_ref()?.host.tier.clone()
    }

    /// A tier is lost only when the machine was seen twice to be weaker, and that is said before it happens.
    async fn judge(&self, judgement: Judgement) {
        match judgement {
            Judgement::Same => {}
            Judgement::Doubted(capacity) => {
                let mut state = self.lock();
                let Some(host) = state.desired.as_ref().map(|desired| desired.host.clone()) else { return };
                let (now, then) = (host.tier.clone(), host.tier_of(Some(capacity)));
                let name = |tier: &Option<Tier>| tier.as_ref().map(|tier| tier.name.clone());
                if name(&now) != name(&then) {
                    let said = format!(
                        "the machine seems to have {capacity} now: if the next look says so too, its tier is {} instead of {}",
                        name(&then).unwrap_or_else(|| "none".to_owned()),
                        name(&now).unwrap_or_else(|| "none".to_owned())
                    );
                    state.events.warn(
                        self.clock.wall_ms(),
                        "TierInDoubt",
                        &ResourceId::local().to_string(),
                        said,
                    );
                }
            }
            Judgement::Changed(_) => {
                self.commit(&[ResourceId::local()]).await;
                let before = self.tier();
                spec::reload(self, Intent::default()).await;
                let after = self.tier();
                let name = |tier: &Option<Tier>| tier.as_ref().map(|tier| tier.name.clone());
                if let Some(Tier { name: new, because }) =
                    after.as_ref().filter(|_| before.is_some() && name(&before) != name(&after))
                {
                    let old = name(&before).unwrap_or_default();
                    let said =
                        format!("the machine's tier is {new} from now on, and no longer {old}: {because}");
                    self.lock().events.warn(
                        self.clock.wall_ms(),
                        "TierChanged",
                        &ResourceId::local().to_string(),
                        said,
                    );
                }
            }
        }
    }

    /// What the driver tells of by itself is an event; what follows from it is seen by looking.
    fn note_gpu_event(&self, event: &GpuEvent) {
        let GpuEvent { gpu, kind } = event;
        let of = gpu.as_ref().map_or_else(|| "the driver".to_owned(), |gpu| gpu.short().to_owned());
        let mut state = self.lock();
        let wall = self.clock.wall_ms();
        let resource = ResourceId::local().to_string();
        match kind {
            GpuEventKind::Xid(number) => {
                let world = state.world(self.now());
                let said = world.map(|world| plan::xid_sentence(&world, gpu.as_ref(), *number));
                let said = said.unwrap_or_else(|| format!("{of} reports XID {number}"));
                state.events.warn(wall, "GPUXid", &resource, said);
            }
            GpuEventKind::MigChanged => {
                state.events.note(wall, "GPUPartitioned", &resource, format!("{of} was divided anew"));
            }
            GpuEventKind::Other(what) => {
                state.events.note(wall, "GPUEvent", &resource, format!("{of}: {what}"));
            }
            GpuEventKind::Lost(why) => {
                tracing::debug!(reason = %why, "The driver's events are away.");
            }
        }
    }
}
