//! What NVIDIA's driver tells of by itself, on a thread of its own: waiting for it blocks.
//!
//! The stream ends with nobody's error: a wait that fails gives the session back, and the GPUs are enumerated anew. That a wait failed
//! says nothing of any GPU.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use aiplat_core::observed::{GpuEvent, GpuEventKind, GpuId};
use futures_util::{StreamExt, stream, stream::BoxStream};
use nvml_wrapper::{
    Device, EventSet, Nvml,
    bitmasks::event::EventTypes,
    enums::event::XidError,
    error::{Bits, NvmlError},
    struct_wrappers::event::EventData,
};
use tokio::sync::mpsc as channel;

use super::{
    Deadlines, GpuOptions,
    calls::Calls,
    session::{Session, Sessions, said},
};

/// One wait: the thread sees this often whether it is still wanted.
const WAIT: Duration = Duration::from_secs(1);
/// A stream that lived this long was a good one.
const GOOD_STREAM: Duration = Duration::from_secs(5);
/// Where there is no driver, whether there is one by now.
const NO_DRIVER: Duration = Duration::from_secs(10);
/// So many events wait for a reader who is slow.
const MAX_WAITING: usize = 256;
/// They come by the hundred on a healthy GPU, and nobody would look at it because of them.
const NOISE: EventTypes =
    EventTypes::PSTATE_CHANGE.union(EventTypes::CLOCK_CHANGE).union(EventTypes::POWER_SOURCE_CHANGE);

/// The events from now on, for ever. The thread starts with the first look at the stream, and ends with it.
pub(super) fn stream(options: Arc<GpuOptions>, sessions: Arc<Sessions>) -> BoxStream<'static, GpuEvent> {
    let state = Stream { options, sessions, listener: None };
    stream::unfold(state, |mut state| async move {
        let event = state.next().await;
        Some((event, state))
    })
    .boxed()
}

struct Stream {
    options: Arc<GpuOptions>,
    sessions: Arc<Sessions>,
    listener: Option<Reading>,
}

/// The thread, from the side of the reader.
struct Reading {
    events: channel::Receiver<GpuEvent>,
    calls: Arc<Calls>,
    /// That a call hangs is said once.
    hangs: bool,
    /// Dropped, it tells the thread to end.
    _wanted: mpsc::Sender<()>,
}

impl Stream {
    async fn next(&mut self) -> GpuEvent {
        loop {
            let Some(reading) = &mut self.listener else {
                match start(&self.options, &self.sessions) {
                    Ok(reading) => self.listener = Some(reading),
                    Err(error) => {
                        tokio::time::sleep(self.options.longest_pause).await;
                        return lost(format!("cannot start the thread gpu-events: {error}"));
                    }
                }
                continue;
            };
            let wait = reading.calls.patience().filter(|_| !reading.hangs).unwrap_or(WAIT);
            // An event stays in its channel whichever arm ends first.
            let event = tokio::select! {
                biased;
                event = reading.events.recv() => event,
                () = tokio::time::sleep(wait.max(Duration::from_millis(10))) => {
                    let overdue = reading.calls.overdue();
                    let news = overdue.filter(|_| !reading.hangs);
                    reading.hangs |= news.is_some();
                    match news {
                        Some(call) => return lost(format!("{call} has not come back: the driver hangs")),
                        None => continue,
                    }
                }
            };
            match event {
                Some(event) => {
                    reading.hangs = false;
                    return event;
                }
                None => {
                    self.listener = None;
                    tokio::time::sleep(self.options.first_pause).await;
                    return lost("the thread gpu-events has ended; report this as a bug".to_owned());
                }
            }
        }
    }
}

fn lost(reason: String) -> GpuEvent {
    GpuEvent { gpu: None, kind: GpuEventKind::Lost(reason) }
}

fn start(options: &Arc<GpuOptions>, sessions: &Arc<Sessions>) -> std::io::Result<Reading> {
    let (out, events) = channel::channel(MAX_WAITING);
    let (wanted, unwanted) = mpsc::channel();
    let calls = Arc::new(Calls::default());
    let listener = Listener {
        options: options.clone(),
        sessions: sessions.clone(),
        calls: calls.clone(),
        out: Out { out, missed: 0 },
        unwanted,
    };
    std::thread::Builder::new().name("gpu-events".to_owned()).spawn(move || listener.run())?;
    Ok(Reading { events, calls, hangs: false, _wanted: wanted })
}

/// The thread, from its own side.
struct Listener {
    options: Arc<GpuOptions>,
    sessions: Arc<Sessions>,
    calls: Arc<Calls>,
    out: Out,
    unwanted: mpsc::Receiver<()>,
}

/// Why a session is followed no longer.
enum End {
    Unwanted,
    /// The driver or its GPUs have changed, or somebody wants the session opened anew.
    Anew,
    Broken(String),
}

impl Listener {
    fn run(mut self) {
        let mut pause = self.options.first_pause;
        loop {
            let Ok(session) = self.sessions.acquire(&self.calls) else {
                // Why not is what a look tells; here there is nothing to be lost.
                if self.paused(NO_DRIVER.min(self.options.longest_pause)) {
                    return;
                }
                continue;
            };
            let begun = Instant::now();
            let end = self.follow(&session);
            let broken = match end {
                End::Unwanted => {
                    self.sessions.give_back(session, &self.calls);
                    return;
                }
                End::Anew => None,
                End::Broken(reason) => Some(reason),
            };
            if broken.is_some() {
                self.sessions.refresh(&session);
            }
            self.sessions.give_back(session, &self.calls);
            if let Some(reason) = broken {
                self.out.send(lost(reason));
                pause = if begun.elapsed() >= GOOD_STREAM { self.options.first_pause } else { pause };
                if self.paused(pause) {
                    return;
                }
                pause = (pause * 2).min(self.options.longest_pause);
            }
        }
    }

    /// True: it is not wanted any more.
    fn paused(&self, pause: Duration) -> bool {
        self.unwanted.recv_timeout(pause) != Err(mpsc::RecvTimeoutError::Timeout)
    }

    fn follow(&mut self, session: &Arc<Session>) -> End {
        let (nvml, deadlines) = (&session.nvml, self.options.deadlines);
        let registered = match register(nvml, &self.calls, deadlines) {
            Ok(registered) => registered,
            Err((call, error)) => return End::Broken(format!("{call}: {}", said(error))),
        };
        loop {
            if self.paused(Duration::ZERO) {
                return End::Unwanted;
            }
            match registered.wait(&self.calls, deadlines) {
                Ok(event) => self.out.send(registered.event(&event, &self.calls, deadlines)),
                Err(NvmlError::Timeout) => {}
                Err(error) => return End::Broken(format!("nvmlEventSetWait_v2: {}", said(error))),
            }
            if !self.sessions.is_current(session) {
                return End::Anew;
            }
            match self.calls.make("nvmlDeviceGetCount_v2", deadlines.call, || nvml.device_count()) {
                Ok(count) if count == registered.count => {}
                Ok(count) => {
                    let said = format!("the driver knows {count} GPUs, where it knew {}", registered.count);
                    self.out.send(GpuEvent { gpu: None, kind: GpuEventKind::Other(said) });
                    return End::Anew;
                }
                Err(error) => return End::Broken(format!("nvmlDeviceGetCount_v2: {}", said(error))),
            }
        }
    }
}

/// A set with all GPUs in it that can tell of anything.
struct Registered<'a> {
    set: Option<EventSet<'a>>,
    count: u32,
    ids: BTreeMap<String, GpuId>,
}

fn register<'a>(
    nvml: &'a Nvml,
    calls: &Calls,
    deadlines: Deadlines,
) -> Result<Registered<'a>, (&'static str, NvmlError)> {
    let call = "nvmlDeviceGetCount_v2";
    let count = calls.make(call, deadlines.call, || nvml.device_count()).map_err(|error| (call, error))?;
    // A GPU that cannot be registered takes the whole set with it: then the others are registered in another.
    let mut passed_over = BTreeSet::new();
    loop {
        let call = "nvmlEventSetCreate";
        let mut set = Some(
            calls.make(call, deadlines.call, || nvml.create_event_set()).map_err(|error| (call, error))?,
        );
        let (mut ids, mut any) = (BTreeMap::new(), false);
        for index in (0..count).filter(|index| !passed_over.contains(index)).collect::<Vec<_>>() {
            let handle =
                calls.make("nvmlDeviceGetHandleByIndex_v2", deadlines.open, || nvml.device_by_index(index));
            let Ok(device) = handle else { continue };
            if let Ok(uuid) = calls.make("nvmlDeviceGetUUID", deadlines.call, || device.uuid()) {
                ids.insert(same(&device), GpuId(uuid));
            }
            let types = calls.make("nvmlDeviceGetSupportedEventTypes", deadlines.call, || supported(&device));
            if types.is_empty() {
                continue;
            }
            let Some(empty) = set.take() else { break };
            match calls
                .make("nvmlDeviceRegisterEvents", deadlines.call, || device.register_events(types, empty))
            {
                Ok(full) => (set, any) = (Some(full), true),
                Err(_) => {
                    passed_over.insert(index);
                    break;
                }
            }
        }
        if let Some(set) = set {
            return Ok(Registered { set: Some(set).filter(|_| any), count, ids });
        }
    }
}

/// All that the installed driver can tell of this GPU, types included that are newer than our bindings, which give their
/// bits only in an error.
fn supported(device: &Device<'_>) -> EventTypes {
    let types = match device.supported_event_types_strict() {
        Ok(types) => types,
        Err(NvmlError::IncorrectBits(Bits::U64(bits))) => EventTypes::from_bits_retain(bits),
        Err(_) => EventTypes::empty(),
    };
    types.difference(NOISE)
}

/// Two handles of one GPU are the same pointer, which only this shows: a GPU that is lost does not tell its UUID with the event
/// that says so.
fn same(device: &Device<'_>) -> String {
    format!("{device:?}")
}

impl Registered<'_> {
    /// Where no GPU tells of anything, this is a pause.
    fn wait(&self, calls: &Calls, deadlines: Deadlines) -> Result<EventData<'_>, NvmlError> {
        let Some(set) = &self.set else {
            std::thread::sleep(WAIT);
            return Err(NvmlError::Timeout);
        };
        let milliseconds = u32::try_from(WAIT.as_millis()).unwrap_or(1000);
        calls.make("nvmlEventSetWait_v2", WAIT + deadlines.call, || set.wait(milliseconds))
    }

    fn event(&self, event: &EventData<'_>, calls: &Calls, deadlines: Deadlines) -> GpuEvent {
        let asked =
            || calls.make("nvmlDeviceGetUUID", deadlines.call, || event.device.uuid()).ok().map(GpuId);
        let gpu = self.ids.get(&same(&event.device)).cloned().or_else(asked);
        let kind = match (&event.event_data, event.event_type) {
            (Some(XidError::Value(number)), _) => GpuEventKind::Xid(*number),
            (Some(XidError::Unknown), _) => GpuEventKind::Xid(999),
            (None, EventTypes::MIG_CONFIG_CHANGE) => GpuEventKind::MigChanged,
            (None, EventTypes::SINGLE_BIT_ECC_ERROR) => {
                GpuEventKind::Other("a memory error was corrected".to_owned())
            }
            (None, EventTypes::DOUBLE_BIT_ECC_ERROR) => {
                GpuEventKind::Other("a memory error could not be corrected".to_owned())
            }
            (None, _) => GpuEventKind::Other(
                "the driver told of something that this version has no name for".to_owned(),
            ),
        };
        GpuEvent { gpu, kind }
    }
}

/// To a reader who may be slow: what he misses is told as that.
struct Out {
    out: channel::Sender<GpuEvent>,
    missed: u64,
}

impl Out {
    fn send(&mut self, event: GpuEvent) {
        if self.missed > 0
            && self.out.try_send(lost(format!("{} events were not read in time", self.missed))).is_ok()
        {
            self.missed = 0;
        }
        if self.out.try_send(event).is_err() {
            self.missed += 1;
        }
    }
}
