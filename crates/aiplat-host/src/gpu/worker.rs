//! One thread for life that looks at something that may hang.

use std::{
    fmt,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};

use crate::lock;

use super::calls::Calls;

/// So many may wait for one look; each waits no longer than a look may take, so that more of them are a mistake of ours.
const MAX_WAITING: usize = 64;
/// A thread that is between two calls is looked at again after this.
const BETWEEN_CALLS: Duration = Duration::from_millis(100);

type Job<Answer> = Box<dyn FnMut(&Calls) -> Answer + Send>;
type Ask<Answer> = oneshot::Sender<Answer>;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Silence {
    /// A call has not come back.
    Hung {
        /// Which.
        call: String,
    },
    /// The thread could not be started, or has ended.
    Ended {
        /// For a person.
        message: String,
    },
}

/// Does one job again and again, on a thread that starts with the first question and ends when this is dropped.
pub(super) struct Worker<Answer> {
    name: &'static str,
    look: Duration,
    calls: Arc<Calls>,
    /// Kept by the thread while it works, so that there are never two of them.
    job: Arc<Mutex<Job<Answer>>>,
    asks: Mutex<Option<mpsc::SyncSender<Ask<Answer>>>>,
}

impl<Answer> fmt::Debug for Worker<Answer> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("name", &self.name).field("calls", &self.calls).finish_non_exhaustive()
    }
}

impl<Answer: Clone + Send + 'static> Worker<Answer> {
    /// One whose `job` should take no longer than `look`.
    pub(super) fn new(
        name: &'static str,
        look: Duration,
        job: impl FnMut(&Calls) -> Answer + Send + 'static,
    ) -> Self {
        let job: Job<Answer> = Box::new(job);
        Self { name, look, calls: Arc::default(), job: Arc::new(Mutex::new(job)), asks: Mutex::default() }
    }

    /// What a look that begins now finds. While a call hangs, that is said at once, and nothing is added to what waits for it.
    pub(super) async fn ask(&self) -> Result<Answer, Silence> {
        if let Some(call) = self.calls.overdue() {
            return Err(Silence::Hung { call });
        }
        let (ask, mut answer) = oneshot::channel();
        self.send(ask)?;
        let until = Instant::now() + self.look;
        loop {
            let wait = self.calls.patience().unwrap_or(BETWEEN_CALLS);
            // The answer stays in its channel whichever arm ends first.
            tokio::select! {
                biased;
                answer = &mut answer => {
                    let ended = format!("the thread {} has ended while it was asked; report this as a bug", self.name);
                    return answer.map_err(|_| Silence::Ended { message: ended });
                }
                () = tokio::time::sleep(wait) => {}
            }
            // Between two calls there is none to name, and there is an end all the same.
            let late = || {
                self.calls.current().unwrap_or_else(|| format!("what {} does between two calls", self.name))
            };
            let late = (Instant::now() >= until).then(late);
            if let Some(call) = self.calls.overdue().or(late) {
                return Err(Silence::Hung { call });
            }
        }
    }

    fn send(&self, ask: Ask<Answer>) -> Result<(), Silence> {
        let mut asks = lock(&self.asks);
        let Some(thread) = asks.as_ref() else { return self.start(&mut asks, ask) };
        match thread.try_send(ask) {
            Ok(()) => Ok(()),
            Err(mpsc::TrySendError::Full(_)) => {
                let name = self.name;
                let message =
                    format!("{MAX_WAITING} questions wait for the thread {name}; report this as a bug");
                Err(Silence::Ended { message })
            }
            // It panicked: the next one begins anew.
            Err(mpsc::TrySendError::Disconnected(ask)) => self.start(&mut asks, ask),
        }
    }

    fn start(
        &self,
        asks: &mut Option<mpsc::SyncSender<Ask<Answer>>>,
        ask: Ask<Answer>,
    ) -> Result<(), Silence> {
        let (sender, receiver) = mpsc::sync_channel(MAX_WAITING);
        let (calls, job) = (self.calls.clone(), self.job.clone());
        let thread = std::thread::Builder::new().name(self.name.to_owned());
        thread.spawn(move || work(&receiver, &calls, &job)).map_err(|error| Silence::Ended {
            message: format!("cannot start the thread {}: {error}", self.name),
        })?;
        // It has room: nobody else has it yet.
        let _ = sender.try_send(ask);
        *asks = Some(sender);
        Ok(())
    }
}

/// Looks once for all who wait when the look begins: who asks while it is under way gets the next.
fn work<Answer: Clone>(asks: &mpsc::Receiver<Ask<Answer>>, calls: &Calls, job: &Mutex<Job<Answer>>) {
    while let Ok(first) = asks.recv() {
        let waiting: Vec<Ask<Answer>> = std::iter::once(first).chain(asks.try_iter()).collect();
        if waiting.iter().all(Ask::is_closed) {
            // They have gone while another call hung: nobody wants this look.
            continue;
        }
        let answer = lock(job)(calls);
        for ask in waiting {
            // Who has given up waiting is told at the next question.
            let _ = ask.send(answer.clone());
        }
    }
}
