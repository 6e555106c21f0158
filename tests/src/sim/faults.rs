//! What goes wrong, and how often.

use tokio_util::sync::CancellationToken;

use super::Rng;

/// Rates in percent; all zero by default.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// A mutating call fails and has done nothing.
    pub error: u32,
    /// A mutating call is done and its reply is lost.
    pub lost_reply: u32,
    /// A mutating call never returns; half of those are done.
    pub hang: u32,
    /// A look or a listing fails.
    pub read_error: u32,
    /// A hint never arrives.
    pub hint_drop: u32,
    /// A hint arrives twice.
    pub hint_double: u32,
    /// A hint arrives up to two seconds late, and so out of order.
    pub hint_delay: u32,
    /// What happens at the n-th mutating call from now, counted from 0.
    pub script: Vec<(usize, Fate)>,
    /// Mutating calls so far.
    pub attempts: usize,
}

/// What becomes of one mutating call.
#[derive(Debug, Clone)]
pub enum Fate {
    /// It is done, and says so.
    Ok,
    /// It fails and has done nothing.
    ErrorBefore,
    /// It is done, and the reply is lost.
    LostReply,
    /// It never returns, and has done nothing.
    HangBefore,
    /// It never returns, and is done.
    HangAfter,
    /// The daemon dies before its effect.
    CrashBefore(CancellationToken),
    /// The daemon dies after its effect.
    CrashAfter(CancellationToken),
}

impl Faults {
    /// Each class on or off, with a rate of its own.
    #[must_use]
    pub fn drawn(rng: &mut Rng) -> Self {
        let mut rate =
            |most: u64| if rng.percent(50) { u32::try_from(rng.below(most)).unwrap_or(0) } else { 0 };
        Self {
            error: rate(25),
            lost_reply: rate(25),
            hang: rate(4),
            read_error: rate(15),
            hint_drop: rate(101),
            hint_double: rate(50),
            hint_delay: rate(80),
            script: Vec::new(),
            attempts: 0,
        }
    }

    /// The same for a call of systemd. Where nothing is to go wrong no chance is used up: what is drawn for the engine stays as it is.
    pub(crate) fn fate_of_unit(&mut self, rng: &mut Rng) -> Fate {
        let Self { error, lost_reply, hang, script, .. } = self;
        if *error + *lost_reply + *hang == 0 && script.is_empty() {
            self.attempts += 1;
            return Fate::Ok;
        }
        self.fate(rng)
    }

    pub(crate) fn fate(&mut self, rng: &mut Rng) -> Fate {
        let now = self.attempts;
        self.attempts += 1;
        if let Some(index) = self.script.iter().position(|(at, _)| *at == now) {
            return self.script.remove(index).1;
        }
        if rng.percent(self.error) {
            Fate::ErrorBefore
        } else if rng.percent(self.lost_reply) {
            Fate::LostReply
        } else if rng.percent(self.hang) {
            if rng.percent(50) { Fate::HangBefore } else { Fate::HangAfter }
        } else {
            Fate::Ok
        }
    }
}
