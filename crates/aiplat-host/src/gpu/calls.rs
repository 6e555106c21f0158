//! Which call is under way on a thread, and since when: what is looked at by those who wait for the thread.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use crate::lock;

/// The call of one thread.
#[derive(Debug, Default)]
pub(super) struct Calls {
    current: Mutex<Option<Call>>,
}

#[derive(Debug, Clone, Copy)]
struct Call {
    name: &'static str,
    due: Instant,
}

impl Calls {
    /// Makes a call that should be back within `allowed`.
    pub(super) fn make<T>(&self, name: &'static str, allowed: Duration, call: impl FnOnce() -> T) -> T {
        *lock(&self.current) = Some(Call { name, due: Instant::now() + allowed });
        let answer = call();
        *lock(&self.current) = None;
        answer
    }

    /// The call that should be back by now.
    pub(super) fn overdue(&self) -> Option<String> {
        let now = Instant::now();
        lock(&self.current).filter(|call| call.due <= now).map(|call| call.name.to_owned())
    }

    /// The call that is under way, overdue or not.
    pub(super) fn current(&self) -> Option<String> {
        lock(&self.current).map(|call| call.name.to_owned())
    }

    /// How long from now on the call that is under way may still take; `None`: there is none.
    pub(super) fn patience(&self) -> Option<Duration> {
        lock(&self.current).map(|call| call.due.saturating_duration_since(Instant::now()))
    }
}
