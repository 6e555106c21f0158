//! The one session with NVIDIA's library that all users of it share.
//!
//! NVML counts its users, and only the last one who leaves ends the session: a session that is to be opened anew, because it failed
//! or because the driver or the library was exchanged, is first given back by everybody. Opening it is also the only judge of whether driver and
//! library belong together; their versions are evidence.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use aiplat_core::observed::Driver;
use nvml_wrapper::{Nvml, cuda_driver_version_major, cuda_driver_version_minor, error::NvmlError};

use crate::lock;

use super::{GpuOptions, calls::Calls, sysfs, versions::Stamp};

/// The other user looks each second whether it must give its session back.
const GIVEN_BACK: Duration = Duration::from_secs(3);

/// Opens it, keeps it, and holds back attempts that come too soon.
#[derive(Debug)]
pub(super) struct Sessions {
    options: Arc<GpuOptions>,
    slot: Mutex<Slot>,
    given_back: Condvar,
}

#[derive(Debug)]
struct Slot {
    open: Option<Arc<Session>>,
    /// The one that is being given back, and since when: it is waited for no longer than its users need to notice.
    closing: (Weak<Session>, Instant),
    /// What the last failure was, until when it is the answer, and over what: with another driver or library there is no waiting.
    failed: Option<(Driver, Instant, Stamp)>,
    pause: Duration,
    /// When a session may be opened anew because of a GPU that is lost.
    refreshed: Option<(Instant, Duration)>,
}

/// An open session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) nvml: Nvml,
    pub(super) version: String,
    pub(super) cuda: Option<String>,
    stamp: Stamp,
}

impl Sessions {
    pub(super) fn new(options: Arc<GpuOptions>) -> Self {
        let (closing, pause) = ((Weak::new(), Instant::now()), options.first_pause);
        let slot = Slot { open: None, closing, failed: None, pause, refreshed: None };
        Self { options, slot: Mutex::new(slot), given_back: Condvar::new() }
    }

    /// The session that is open, or a new one; what the driver is like if there can be none. Blocks: for threads that may.
    pub(super) fn acquire(&self, calls: &Calls) -> Result<Arc<Session>, Driver> {
        let stamp = Stamp::now(&self.options);
        // Whoever has it for long is opening a session: then that is what hangs.
        let mut slot = calls.make("nvmlInit_v2", self.options.deadlines.open, || lock(&self.slot));
        if let Some(open) = slot.open.take_if(|open| open.stamp != stamp) {
            slot.close(open, calls, &self.options);
        }
        if let Some(open) = &slot.open {
            return Ok(open.clone());
        }
        let patience = GIVEN_BACK.saturating_sub(slot.closing.1.elapsed());
        let kept = |slot: &mut Slot| slot.closing.0.strong_count() > 0;
        let waited = self.given_back.wait_timeout_while(slot, patience, kept);
        let (mut slot, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() && kept(&mut slot) {
            return Err(Driver::Hung { call: "nvmlEventSetWait_v2".to_owned() });
        }
        if let Some((driver, until, over)) = &slot.failed
            && Instant::now() < *until
            && *over == stamp
        {
            return Err(driver.clone());
        }
        match self.open(&stamp, calls) {
            Ok(session) => {
                slot.failed = None;
                Ok(slot.open.insert(Arc::new(session)).clone())
            }
            // There is nothing to fail: the next look may find a card that was just put in.
            Err(Driver::Absent) => Err(Driver::Absent),
            Err(driver) => {
                slot.fail(driver.clone(), stamp, &self.options);
                Err(driver)
            }
        }
    }

    /// Whether `session` is still the one to use; one that is not must be given back with [`Sessions::give_back`].
    pub(super) fn is_current(&self, session: &Arc<Session>) -> bool {
        let stamp = Stamp::now(&self.options);
        let mut slot = lock(&self.slot);
        let current =
            slot.open.as_ref().is_some_and(|open| Arc::ptr_eq(open, session)) && session.stamp == stamp;
        if !current && slot.open.as_ref().is_some_and(|open| Arc::ptr_eq(open, session)) {
            slot.leave(session);
        }
        current
    }

    /// Leaves the session; whoever is the last to leave ends it.
    pub(super) fn give_back(&self, session: Arc<Session>, calls: &Calls) {
        calls.make("nvmlShutdown", self.options.deadlines.call, || drop(session));
        // Without the lock the one who waits could be told just before it waits.
        drop(lock(&self.slot));
        self.given_back.notify_all();
    }

    /// The session answers nothing any more, because of `error`: what the driver is like by that. It is opened anew after a pause.
    pub(super) fn failed(&self, session: &Arc<Session>, call: &str, error: NvmlError) -> Driver {
        let driver = self.driver_of(call, error);
        let mut slot = lock(&self.slot);
        slot.leave(session);
        slot.fail(driver.clone(), session.stamp.clone(), &self.options);
        driver
    }

    /// Everything answers: the next failure is a first one.
    pub(super) fn succeeded(&self) {
        let mut slot = lock(&self.slot);
        (slot.pause, slot.refreshed) = (self.options.first_pause, None);
    }

    /// A GPU is lost, or the events broke off: a new session may see more. Opened at once, and with pauses that grow, for
    /// meanwhile the old one serves the other GPUs.
    pub(super) fn refresh(&self, session: &Arc<Session>) {
        let mut slot = lock(&self.slot);
        let now = Instant::now();
        let pause = slot.refreshed.map_or(self.options.first_pause, |(_, pause)| pause);
        if slot.refreshed.is_none_or(|(at, pause)| now >= at + pause) {
            slot.refreshed = Some((now, (pause * 2).min(self.options.longest_pause)));
            slot.leave(session);
        }
    }

    fn open(&self, stamp: &Stamp, calls: &Calls) -> Result<Session, Driver> {
        let card = sysfs::nvidia_cards(&self.options.sys).into_iter().next();
        if card.is_none() && stamp.library.is_none() {
            return Err(Driver::Absent);
        }
        let path = self.options.library.as_os_str();
        let opened =
            calls.make("nvmlInit_v2", self.options.deadlines.open, || Nvml::builder().lib_path(path).init());
        let nvml = opened.map_err(|error| match (error, card) {
            (NvmlError::LibloadingError(_), Some(card)) if stamp.library.is_none() => {
                Driver::NoLibrary { card }
            }
            (error, _) => self.driver_of("nvmlInit_v2", error),
        })?;
        // Where the loader found it is seen only now.
        let stamp = Stamp::now(&self.options);
        // It may have opened with a library that is still in memory, long exchanged on disk.
        if stamp.outdates() {
            calls.make("nvmlShutdown", self.options.deadlines.call, || drop(nvml));
            return Err(Driver::Mismatch(stamp.mismatch(&self.options)));
        }
        let call = self.options.deadlines.call;
        let version = calls.make("nvmlSystemGetDriverVersion", call, || nvml.sys_driver_version()).ok();
        let cuda =
            calls.make("nvmlSystemGetCudaDriverVersion_v2", call, || nvml.sys_cuda_driver_version()).ok();
        let cuda = cuda
            .map(|cuda| format!("{}.{}", cuda_driver_version_major(cuda), cuda_driver_version_minor(cuda)));
        let version = version.or_else(|| stamp.module.clone()).unwrap_or_else(|| "unknown".to_owned());
        Ok(Session { nvml, version, cuda, stamp })
    }

    /// What the driver is like by an error of a call that everything depends on.
    fn driver_of(&self, call: &str, error: NvmlError) -> Driver {
        if matches!(error, NvmlError::LibRmVersionMismatch) {
            return Driver::Mismatch(Stamp::now(&self.options).mismatch(&self.options));
        }
        let (unloaded, forbidden) =
            (matches!(error, NvmlError::DriverNotLoaded), matches!(error, NvmlError::NoPermission));
        let message = format!("{call}: {}", said(error));
        match (unloaded, forbidden) {
            (true, _) => Driver::NotLoaded { message },
            (_, true) => Driver::NoPermission { message },
            (false, false) => Driver::Failed { message },
        }
    }
}

impl Slot {
    fn close(&mut self, open: Arc<Session>, calls: &Calls, options: &GpuOptions) {
        self.closing = (Arc::downgrade(&open), Instant::now());
        calls.make("nvmlShutdown", options.deadlines.call, || drop(open));
    }

    /// Whoever has `session` gives it back; the next one is a new one.
    fn leave(&mut self, session: &Arc<Session>) {
        if self.open.take_if(|open| Arc::ptr_eq(open, session)).is_some() {
            self.closing = (Arc::downgrade(session), Instant::now());
        }
    }

    fn fail(&mut self, driver: Driver, over: Stamp, options: &GpuOptions) {
        self.failed = Some((driver, Instant::now() + self.pause, over));
        self.pause = (self.pause * 2).min(options.longest_pause);
    }
}

/// What NVML said, with its number, under which it is found everywhere.
pub(super) fn said(error: NvmlError) -> String {
    let text = error.to_string();
    let ours = matches!(
        error,
        NvmlError::LibloadingError(_)
            | NvmlError::FailedToLoadSymbol(_)
            | NvmlError::Utf8Error(_)
            | NvmlError::NulError(_)
            | NvmlError::UnexpectedVariant(_)
    );
    if ours { text } else { format!("{text} (NVML error {})", u32::from(error)) }
}
