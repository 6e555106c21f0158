//! Hints on their way from a source that never waits to one consumer that may be slow.
//!
//! A task reads the source as fast as it speaks and folds what it says into a mailbox that can only hold each note once: a
//! consumer that is slow, or stuck, costs the host nothing and loses nothing but the order.

use std::{
    collections::{BTreeSet, VecDeque},
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{StreamExt, future::BoxFuture, stream, stream::BoxStream};
use tokio::{sync::Notify, task::JoinHandle, time::Instant};

use crate::lock;

/// A stream that lived this long was a good one: the next reconnect starts at the first delay again.
const GOOD_STREAM: Duration = Duration::from_secs(5);
/// Foreign churn (somebody's build farm) asks for one listing a second, not for one an event.
const RELIST_PAUSE: Duration = Duration::from_secs(1);
/// More changed things than this at once are a listing.
const MAX_CHANGED: usize = 4096;

/// One hint, about things that are called by `Key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Note<Key> {
    /// The source speaks from now on: list everything.
    Connected,
    /// It is silent, and why.
    Lost {
        /// For a person.
        reason: String,
    },
    /// Look at this again.
    Changed(Key),
    /// List everything.
    Relist,
}

/// Where hints come from.
pub(crate) trait Source<Key>: Send + Sync + 'static {
    /// The first pause before a reconnect; doubled with each, and jittered.
    const FIRST_DELAY: Duration;
    /// The longest.
    const MAX_DELAY: Duration;

    /// Connects, says so to the mailbox, and tells it what it hears; returns why it hears nothing any more.
    fn follow<'a>(&'a self, mailbox: &'a Mailbox<Key>) -> BoxFuture<'a, String>;
}

/// What `source` says from now on, for ever. Its task starts with the first look at the stream, so that this needs no
/// runtime of its own, and ends when the stream is dropped.
pub(crate) fn stream<Key, S>(source: S) -> BoxStream<'static, Note<Key>>
where
    Key: Ord + Send + 'static,
    S: Source<Key>,
{
    struct State<Key, S> {
        mailbox: Arc<Mailbox<Key>>,
        source: Option<S>,
        task: Option<Task>,
    }
    let state = State { mailbox: Arc::new(Mailbox::default()), source: Some(source), task: None };
    stream::unfold(state, |mut state| async move {
        if let Some(source) = state.source.take() {
            state.task = Some(Task(tokio::spawn(follow_for_ever(source, state.mailbox.clone()))));
        }
        let note = state.mailbox.next().await;
        Some((note, state))
    })
    .boxed()
}

struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn follow_for_ever<Key: Ord, S: Source<Key>>(source: S, mailbox: Arc<Mailbox<Key>>) {
    let mut delay = S::FIRST_DELAY;
    loop {
        let begun = Instant::now();
        let reason = source.follow(&mailbox).await;
        mailbox.lost(reason);
        if begun.elapsed() >= GOOD_STREAM {
            delay = S::FIRST_DELAY;
        }
        tokio::time::sleep(jittered(delay)).await;
        delay = (delay * 2).min(S::MAX_DELAY);
    }
}

/// Between half of it and all of it.
fn jittered(delay: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    delay / 2 + delay.mul_f64(f64::from(random) / f64::from(u32::MAX)) / 2
}

/// Every note at most once. One consumer.
#[derive(Debug)]
pub(crate) struct Mailbox<Key> {
    pending: Mutex<Pending<Key>>,
    bell: Notify,
}

#[derive(Debug)]
struct Pending<Key> {
    /// `Lost`, `Connected`, or one after the other.
    link: VecDeque<Note<Key>>,
    /// Why it is lost, as long as it is.
    lost: Option<String>,
    relist: bool,
    /// The last `Relist` was handed out; the next waits until then.
    quiet_until: Option<Instant>,
    changed: BTreeSet<Key>,
}

// Derived, it would ask for a `Key` that has a default.
impl<Key> Default for Mailbox<Key> {
    fn default() -> Self {
        let (link, changed) = (VecDeque::new(), BTreeSet::new());
        let pending = Pending { link, lost: None, relist: false, quiet_until: None, changed };
        Self { pending: Mutex::new(pending), bell: Notify::new() }
    }
}

impl<Key: Ord> Mailbox<Key> {
    pub(crate) fn connected(&self) {
        self.put(|pending| {
            pending.lost = None;
            // It asks for a listing itself.
            pending.relist = false;
            if pending.link.back() != Some(&Note::Connected) {
                pending.link.push_back(Note::Connected);
            }
        });
    }

    /// Said once for as long as the reason is the same.
    pub(crate) fn lost(&self, reason: String) {
        self.put(|pending| {
            if pending.lost.as_ref() != Some(&reason) {
                // What the consumer has not heard yet is overtaken by this.
                pending.link.clear();
                pending.link.push_back(Note::Lost { reason: reason.clone() });
                pending.lost = Some(reason);
            }
        });
    }

    pub(crate) fn relist(&self) {
        self.put(|pending| pending.relist = true);
    }

    pub(crate) fn changed(&self, keys: BTreeSet<Key>) {
        self.put(|pending| {
            pending.changed.extend(keys);
            if pending.changed.len() > MAX_CHANGED {
                pending.changed.clear();
                pending.relist = true;
            }
        });
    }

    fn put(&self, change: impl FnOnce(&mut Pending<Key>)) {
        change(&mut lock(&self.pending));
        self.bell.notify_one();
    }

    pub(crate) async fn next(&self) -> Note<Key> {
        loop {
            let due = {
                let mut pending = lock(&self.pending);
                if let Some(note) = pending.take(Instant::now()) {
                    return note;
                }
                pending.quiet_until.filter(|_| pending.relist)
            };
            // Both arms only wait: `pending` is looked at anew whichever ends first, so nothing is lost with the other.
            let mut bell = pin!(self.bell.notified());
            match due {
                None => bell.as_mut().await,
                Some(due) => tokio::select! {
                    biased;
                    () = &mut bell => {}
                    () = tokio::time::sleep_until(due) => {}
                },
            }
        }
    }
}

impl<Key: Ord> Pending<Key> {
    fn take(&mut self, now: Instant) -> Option<Note<Key>> {
        if let Some(note) = self.link.pop_front() {
            return Some(note);
        }
        if let Some(key) = self.changed.pop_first() {
            return Some(Note::Changed(key));
        }
        if self.relist && self.quiet_until.is_none_or(|until| until <= now) {
            self.relist = false;
            self.quiet_until = Some(now + RELIST_PAUSE);
            return Some(Note::Relist);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(mailbox: &Mailbox<u32>) -> Vec<Note<u32>> {
        let mut pending = lock(&mailbox.pending);
        std::iter::from_fn(|| pending.take(Instant::now())).collect()
    }

    #[tokio::test]
    async fn a_mailbox_nobody_empties_holds_every_note_once() {
        let mailbox = Mailbox::default();
        mailbox.connected();
        for n in 0..10_000 {
            mailbox.changed([n % 3].into());
            mailbox.relist();
        }
        mailbox.lost("gone".to_owned());
        mailbox.lost("gone".to_owned());
        mailbox.connected();
        let lost = Note::Lost { reason: "gone".to_owned() };
        let expected = [lost, Note::Connected, Note::Changed(0), Note::Changed(1), Note::Changed(2)];
        assert_eq!(drain(&mailbox), expected);
    }

    #[tokio::test]
    async fn relists_are_spaced_and_none_is_lost() {
        let mailbox = Mailbox::<u32>::default();
        mailbox.relist();
        assert_eq!(mailbox.next().await, Note::Relist);
        mailbox.relist();
        let begun = Instant::now();
        assert_eq!(mailbox.next().await, Note::Relist);
        assert!(begun.elapsed() >= RELIST_PAUSE - Duration::from_millis(50));
    }

    #[tokio::test]
    async fn more_changes_than_fit_are_a_listing() {
        let mailbox = Mailbox::default();
        for n in 0..=u32::try_from(MAX_CHANGED).expect("it fits") {
            mailbox.changed([n].into());
        }
        assert_eq!(drain(&mailbox), [Note::Relist]);
    }

    #[test]
    fn delays_are_jittered_within_their_half() {
        for _ in 0..100 {
            let (all, delay) = (Duration::from_secs(2), jittered(Duration::from_secs(2)));
            assert!(delay >= all / 2 && delay <= all, "{delay:?}");
        }
    }
}
